use super::memory::{Fault, MemoryFileSystem};
use super::*;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const DIRECTORY: &str = "/journal";

const SMALL: JournalOptions = JournalOptions {
    segment_bytes: 200,
    max_record_bytes: 1000,
    lazy_sync: Some(std::time::Duration::from_secs(1)),
};

fn open(fs: &MemoryFileSystem) -> Result<(Journal, Vec<Vec<u8>>), JournalError> {
    let (journal, records) = Journal::open(Arc::new(fs.clone()), Path::new(DIRECTORY), SMALL)?;
    for pair in records.windows(2) {
        assert_eq!(pair[0].sequence.next(), pair[1].sequence, "no gaps");
    }
    let payloads = records.into_iter().map(|record| record.payload).collect();
    Ok((journal, payloads))
}

fn texts(payloads: &[Vec<u8>]) -> Vec<&str> {
    payloads
        .iter()
        .map(|payload| std::str::from_utf8(payload).expect("a text"))
        .collect()
}

#[test]
fn records_come_back_in_order_over_many_segments() {
    let fs = MemoryFileSystem::new(1);
    let (mut journal, records) = open(&fs).expect("a new journal");
    assert!(records.is_empty());
    let expected: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; usize::from(n)]).collect();
    for (index, payload) in expected.iter().enumerate() {
        let sequence = journal.append(payload).expect("there is room");
        assert_eq!(sequence, Sequence(index as u64 + 1));
    }
    journal.sync().expect("a sync");
    let (journal, records) = open(&fs.after_power_cut()).expect("it opens again");
    assert_eq!(records, expected);
    assert_eq!(journal.next_sequence(), Sequence(51));
    assert_eq!(journal.recovered(), &Recovered::default());
}

#[test]
fn a_compaction_replaces_the_content_and_sequences_go_on() {
    let fs = MemoryFileSystem::new(2);
    let (mut journal, _) = open(&fs).expect("a new journal");
    for n in 0..30 {
        journal.append(format!("old {n}").as_bytes()).expect("room");
    }
    let kept: [&[u8]; 2] = [b"a", b"b"];
    journal.compact(kept).expect("a compaction");
    assert_eq!(journal.append(b"c").expect("room"), Sequence(33));
    journal.sync().expect("a sync");
    let (mut journal, records) = open(&fs.after_power_cut()).expect("it opens again");
    assert_eq!(texts(&records), ["a", "b", "c"]);
    assert_eq!(journal.append(b"d").expect("room"), Sequence(34));
}

#[test]
fn trimming_drops_whole_segments_only() {
    let fs = MemoryFileSystem::new(3);
    let (mut journal, _) = open(&fs).expect("a new journal");
    for _ in 0..40 {
        journal.append(b"0123456789").expect("room");
    }
    let before = journal.size_bytes();
    journal.trim(Sequence(20)).expect("a trim");
    assert!(journal.size_bytes() < before * 3 / 4);
    journal.sync().expect("a sync");
    let (journal, records) = open(&fs.after_power_cut()).expect("it opens again");
    assert!(
        records.len() >= 21 && records.len() < 40,
        "{}",
        records.len()
    );
    assert_eq!(journal.next_sequence(), Sequence(41));
}

#[test]
fn damage_in_the_middle_ends_the_content_and_keeps_the_rest_aside() {
    let fs = MemoryFileSystem::new(4);
    let (mut journal, _) = open(&fs).expect("a new journal");
    for n in 10..40 {
        journal
            .append(format!("record {n}").as_bytes())
            .expect("room");
    }
    journal.sync().expect("a sync");
    drop(journal);
    let first = "/journal/0000000000000000-0000000000000001.log";
    fs.damage(Path::new(first), 32 + 25 + 20);
    let (journal, records) = open(&fs).expect("it opens again");
    assert_eq!(texts(&records), ["record 10"]);
    assert!(journal.recovered().damaged_segments > 1);
    assert!(journal.recovered().cut_bytes > 100);
    let names = fs.list(Path::new(DIRECTORY)).expect("a list");
    assert!(
        names.iter().any(|name| name.ends_with(".damaged")),
        "{names:?}"
    );
}

#[test]
fn a_journal_whose_beginning_is_damaged_says_that_it_lost_its_content() {
    let fs = MemoryFileSystem::new(15);
    let (mut journal, _) = open(&fs).expect("a new journal");
    journal.append(b"one").expect("room");
    let kept: [&[u8]; 1] = [b"two"];
    journal.compact(kept).expect("a compaction");
    drop(journal);
    fs.damage(
        Path::new("/journal/0000000000000001-0000000000000002.log"),
        9,
    );
    let (journal, records) = open(&fs).expect("it opens again");
    assert!(records.is_empty());
    assert_eq!(journal.recovered().damaged_segments, 1);
    assert!(journal.recovered().cut_bytes > 32);
}

#[test]
fn a_compaction_that_leaves_an_old_file_behind_has_worked() {
    let fs = MemoryFileSystem::new(16);
    let (mut journal, _) = open(&fs).expect("a new journal");
    journal.append(b"old").expect("room");
    journal.sync().expect("a sync");
    // It is created, written, synced, renamed, its folder is synced, and then the old one goes.
    fs.fail_at(fs.operations() + 6, Fault::NoSpace);
    let kept: [&[u8]; 1] = [b"new"];
    journal.compact(kept).expect("the new content is there");
    journal.append(b"more").expect("room");
    journal.sync().expect("a sync");
    drop(journal);
    assert_eq!(fs.list(Path::new(DIRECTORY)).expect("a list").len(), 2);
    let (_, records) = open(&fs).expect("it opens again");
    assert_eq!(texts(&records), ["new", "more"]);
    assert_eq!(fs.list(Path::new(DIRECTORY)).expect("a list").len(), 1);
}

#[test]
fn a_full_disk_costs_one_record_and_nothing_before_or_after_it() {
    let fs = MemoryFileSystem::new(5);
    let (mut journal, _) = open(&fs).expect("a new journal");
    journal.append(b"before").expect("room");
    fs.fail_at(fs.operations() + 1, Fault::NoSpace);
    let error = journal.append(b"lost").expect_err("the disk is full");
    assert!(matches!(error, JournalError::Io { .. }));
    journal.append(b"after").expect("there is room again");
    journal.sync().expect("a sync");
    let (_, records) = open(&fs.after_power_cut()).expect("it opens again");
    assert_eq!(texts(&records), ["before", "after"]);
}

#[test]
fn after_a_failed_sync_only_a_compaction_helps() {
    let fs = MemoryFileSystem::new(6);
    let (mut journal, _) = open(&fs).expect("a new journal");
    journal.append(b"one").expect("room");
    fs.fail_at(fs.operations() + 1, Fault::NoSpace);
    journal.sync().expect_err("the sync fails");
    for error in [
        journal.append(b"two").expect_err("unknown state"),
        journal.sync().expect_err("unknown state"),
    ] {
        assert!(matches!(error, JournalError::Failed { .. }), "{error}");
    }
    let kept: [&[u8]; 1] = [b"one"];
    journal.compact(kept).expect("written anew");
    journal.append(b"two").expect("room");
    journal.sync().expect("a sync");
    let (_, records) = open(&fs.after_power_cut()).expect("it opens again");
    assert_eq!(texts(&records), ["one", "two"]);
}

#[test]
fn a_record_beyond_the_limit_is_refused() {
    let fs = MemoryFileSystem::new(7);
    let (mut journal, _) = open(&fs).expect("a new journal");
    let error = journal.append(&[0; 1001]).expect_err("too large");
    assert_eq!(
        error.to_string(),
        "a record of 1001 bytes is larger than the limit of 1000"
    );
    journal.append(&[0; 1000]).expect("just fits");
}

#[test]
fn a_journal_of_a_later_version_is_refused_and_left_alone() {
    let fs = MemoryFileSystem::new(8);
    drop(open(&fs).expect("a new journal"));
    let name = "/journal/0000000000000000-0000000000000001.log";
    let mut bytes = fs.read(Path::new(name)).expect("a segment");
    bytes[7] = 9;
    let checksum = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&checksum.to_le_bytes());
    fs.create(Path::new(name))
        .and_then(|mut file| file.append(&bytes))
        .expect("a segment");
    let error = open(&fs).map(drop).expect_err("not ours to read");
    assert!(matches!(error, JournalError::Version { version: 9, .. }));
    assert_eq!(fs.read(Path::new(name)).expect("still there"), bytes);
}

#[test]
fn the_real_file_system_does_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let directory = folder.path().join("a/b");
    let fs: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
    let (mut journal, _) = Journal::open(fs.clone(), &directory, SMALL).expect("a new journal");
    for n in 0..30 {
        journal.append(format!("{n}").as_bytes()).expect("room");
    }
    let kept: [&[u8]; 1] = [b"kept"];
    journal.compact(kept).expect("a compaction");
    journal.append(b"more").expect("room");
    journal.sync().expect("a sync");
    drop(journal);
    // A torn tail, as a crash leaves it.
    let name = std::fs::read_dir(&directory)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .next()
        .expect("one segment");
    let mut bytes = std::fs::read(&name).expect("a segment");
    bytes.extend_from_slice(&[3, 0, 0, 0, 9]);
    std::fs::write(&name, &bytes).expect("a segment");
    let (journal, records) = Journal::open(fs, &directory, SMALL).expect("it opens again");
    let payloads: Vec<Vec<u8>> = records.into_iter().map(|record| record.payload).collect();
    assert_eq!(texts(&payloads), ["kept", "more"]);
    assert_eq!(journal.recovered().cut_bytes, 5);
}

/// What a program does with a journal.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    AppendAll(usize),
    Sync,
    /// Keeps every second record.
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..90_usize).prop_map(Step::Append),
        1 => (0..4_usize).prop_map(Step::AppendAll),
        2 => Just(Step::Sync),
        1 => Just(Step::Compact),
    ];
    proptest::collection::vec(step, 1..14)
}

/// What must and may be found after a cut.
#[derive(Clone, Debug, Default)]
struct Model {
    content: Vec<Vec<u8>>,
    synced: usize,
    /// The content of a compaction that did not come to its end.
    maybe: Option<Vec<Vec<u8>>>,
    number: u8,
}

impl Model {
    fn payload(&mut self, length: usize) -> Vec<u8> {
        self.number = self.number.wrapping_add(1);
        vec![self.number; length]
    }

    /// Does the steps until one fails.
    fn run(&mut self, journal: &mut Journal, steps: &[Step]) {
        for step in steps {
            let result = match step {
                Step::Append(length) => {
                    let payload = self.payload(*length);
                    self.content.push(payload.clone());
                    journal.append(&payload).map(drop)
                }
                Step::AppendAll(count) => {
                    let payloads: Vec<_> = (0..*count).map(|n| self.payload(n * 9)).collect();
                    self.content.extend(payloads.iter().cloned());
                    journal
                        .append_all(payloads.iter().map(Vec::as_slice))
                        .map(drop)
                }
                Step::Sync => journal
                    .sync()
                    .inspect(|()| self.synced = self.content.len()),
                Step::Compact => {
                    let kept: Vec<_> = self.content.iter().step_by(2).cloned().collect();
                    self.maybe = Some(kept.clone());
                    journal
                        .compact(kept.iter().map(Vec::as_slice))
                        .inspect(|()| {
                            self.synced = kept.len();
                            self.content = kept;
                            self.maybe = None;
                        })
                }
            };
            if result.is_err() {
                return;
            }
        }
    }

    fn allows(&self, found: &[Vec<u8>]) -> bool {
        let is_prefix = found.len() >= self.synced && self.content.starts_with(found);
        is_prefix || self.maybe.as_deref() == Some(found)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The power goes at every single write of a random program, then again during the recovery.
    #[test]
    fn after_a_cut_at_any_write_a_prefix_with_everything_synced_is_found(
        steps in steps(),
        seed in 1..u64::MAX,
    ) {
        for cut in 1.. {
            let fs = MemoryFileSystem::new(seed.wrapping_add(cut));
            fs.fail_at(cut, Fault::PowerCut);
            let mut model = Model::default();
            if let Ok((mut journal, _)) = open(&fs) {
                model.run(&mut journal, &steps);
            }
            let was_cut = fs.operations() >= cut;
            let again = fs.after_power_cut();
            again.fail_at(1 + cut % 3, Fault::PowerCut);
            drop(open(&again));
            let again = again.after_power_cut();
            let (mut journal, found) = open(&again).expect("a torn journal opens");
            prop_assert!(model.allows(&found), "cut {cut}: {found:?} of {model:?}");
            journal.append(b"next").expect("it can be written");
            journal.sync().expect("and synced");
            drop(journal);
            let (_, after) = open(&again.after_power_cut()).expect("it opens again");
            prop_assert_eq!(after.len(), found.len() + 1);
            if !was_cut {
                break;
            }
        }
    }
}

#[test]
fn mutated_segments_are_cut_and_never_panic() {
    let iterations = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000_u64);
    let fs = MemoryFileSystem::new(9);
    let (mut journal, _) = open(&fs).expect("a new journal");
    for n in 0..4_u8 {
        journal.append(&vec![n; 9 * usize::from(n)]).expect("room");
    }
    drop(journal);
    let name = Path::new("/journal/0000000000000000-0000000000000001.log");
    let original = fs.read(name).expect("a segment");
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("below a usize")
    };
    let mut survivors = 0_u64;
    for _ in 0..iterations {
        let mut bytes = original.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = u8::try_from(random(256)).expect("a byte"),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, 0xff),
                _ => bytes.extend_from_slice(&original[original.len().min(at)..]),
            }
        }
        let fs = MemoryFileSystem::new(10);
        fs.create(name)
            .and_then(|mut file| file.append(&bytes))
            .expect("a segment");
        let (mut journal, found) = open(&fs).unwrap_or_else(|error| panic!("{error}"));
        assert!(found.len() <= 4);
        survivors += found.len() as u64;
        journal.append(b"x").expect("it can be written");
    }
    assert!(survivors > 0, "some mutations leave records whole");
}

mod handle {
    use super::*;

    async fn open_handle(fs: &MemoryFileSystem) -> (JournalHandle, Vec<Record>) {
        let storage = Storage::start().expect("a thread");
        JournalHandle::open(&storage, Arc::new(fs.clone()), Path::new(DIRECTORY), SMALL)
            .await
            .expect("it opens")
    }

    #[tokio::test]
    async fn what_was_synced_is_there_and_sequences_are_told_at_once() {
        let fs = MemoryFileSystem::new(11);
        let (handle, _) = open_handle(&fs).await;
        for n in 0..100_u64 {
            assert_eq!(handle.append(vec![b'x'; 5]), Sequence(n + 1));
        }
        handle.sync().await.expect("a sync");
        let (_, records) = open_handle(&fs.after_power_cut()).await;
        assert_eq!(records.len(), 100);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_whoever_syncs_and_mended_by_a_compaction() {
        let fs = MemoryFileSystem::new(12);
        let (handle, _) = open_handle(&fs).await;
        handle.append(b"one".to_vec());
        handle.sync().await.expect("a sync");
        fs.fail_at(fs.operations() + 1, Fault::NoSpace);
        handle.append(b"two".to_vec());
        handle.sync().await.expect_err("the disk is full");
        assert!(handle.failure().is_some());
        handle.append(b"three".to_vec());
        handle.sync().await.expect_err("there would be a gap");
        let content = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
        handle
            .compact(move || content.to_vec())
            .await
            .expect("written anew");
        handle.append(b"four".to_vec());
        handle.sync().await.expect("a sync");
        let (_, records) = open_handle(&fs.after_power_cut()).await;
        let payloads: Vec<_> = records.into_iter().map(|record| record.payload).collect();
        assert_eq!(texts(&payloads), ["one", "two", "three", "four"]);
    }

    #[tokio::test]
    async fn a_rewrite_sees_everything_and_is_followed_by_what_comes_later() {
        let fs = MemoryFileSystem::new(14);
        let (handle, _) = open_handle(&fs).await;
        for n in 0..40_u8 {
            handle.append(vec![n; 20]);
        }
        assert_eq!(handle.records().await.expect("readable").len(), 40);
        handle
            .rewrite(|records| {
                assert_eq!(records.len(), 40);
                vec![records[39].payload.clone()]
            })
            .await
            .expect("rewritten");
        handle.append(b"later".to_vec());
        handle.sync().await.expect("a sync");
        let (_, records) = open_handle(&fs.after_power_cut()).await;
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].payload, [39; 20]);
    }

    #[tokio::test]
    async fn an_append_that_nobody_waits_for_is_durable_soon() {
        let fs = MemoryFileSystem::new(13);
        let storage = Storage::start().expect("a thread");
        let (handle, _) =
            JournalHandle::open(&storage, Arc::new(fs.clone()), Path::new(DIRECTORY), SMALL)
                .await
                .expect("it opens");
        handle.append(b"lazy".to_vec());
        drop((handle, storage));
        // The thread ends with its last handle, and does what was delayed first.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        loop {
            let (_, records) = open_handle(&fs.clone_durable()).await;
            if records.len() == 1 {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "never synced");
            tokio::task::yield_now().await;
        }
    }
}
