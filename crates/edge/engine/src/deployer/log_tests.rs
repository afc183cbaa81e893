use super::*;
use crate::deployer::message::RequestDocument;
use proptest::prelude::*;
use serde_json::json;
use sward_deployment::LocalRequest;
use sward_deployment::tree::StampedTree;

fn request(id: u8, source: DeploymentSource) -> DeploymentRequest {
    DeploymentRequest {
        id: format!("d{id}"),
        source,
        document: RequestDocument::Fleet("{}".into()),
    }
}

fn intent(id: u8) -> Intent {
    let snapshot = match json!({"A": {"version": "1.0.0", "configuration": {}}}) {
        Value::Object(map) => StampedTree::of(&map, 5),
        _ => StampedTree::new(),
    };
    Intent::new(
        &format!("d{id}"),
        source_of(id),
        Planned {
            spec: LocalRequest::default().to_spec(&BTreeMap::new()),
            memberships: BTreeSet::new(),
            versions: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            plan: Plan::default(),
            target: Map::new(),
            timestamp_ms: 1,
            snapshot,
            broken_before: BTreeSet::new(),
        },
    )
}

/// An id belongs to one source.
fn source_of(id: u8) -> DeploymentSource {
    match id % 3 {
        0 => DeploymentSource::Jobs,
        1 => DeploymentSource::Shadow,
        _ => DeploymentSource::Local,
    }
}

/// What the actor can do next.
#[derive(Clone, Debug)]
enum Action {
    Queue(u8),
    Activate,
    RollBack,
    Finish(bool),
    CancelQueued(usize),
    Report(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0u8..60).prop_map(Action::Queue),
        Just(Action::Activate),
        Just(Action::RollBack),
        any::<bool>().prop_map(Action::Finish),
        (0usize..4).prop_map(Action::CancelQueued),
        (0usize..4).prop_map(Action::Report),
    ]
}

impl Action {
    /// The entry that the actor would write, if it can do this now.
    fn entry(self, log: &DeploymentLog) -> Option<Entry> {
        let finished = |request: &DeploymentRequest, status| Entry::Finished {
            update: DeploymentStatusUpdate::new(request, None, status, 1),
        };
        match self {
            Action::Queue(id) => {
                let request = request(id, source_of(id));
                let is_known = log.requests.iter().any(|one| one.id == request.id);
                (!is_known).then_some(Entry::Queued { request })
            }
            Action::Activate => {
                let id = log.requests.front()?.id.get(1..)?.parse().ok()?;
                log.open.is_none().then(|| Entry::Activating {
                    intent: Box::new(intent(id)),
                })
            }
            Action::RollBack => log.open.as_ref().map(|_| Entry::RollingBack {
                failure: DeploymentFailure::new("it broke", &[]),
            }),
            Action::Finish(good) => {
                let status = match good {
                    true => DeploymentStatus::Succeeded,
                    false => DeploymentStatus::Failed,
                };
                Some(finished(log.requests.front()?, status))
            }
            Action::CancelQueued(at) => {
                let request = log.requests.get(at + 1)?;
                Some(finished(request, DeploymentStatus::Canceled))
            }
            Action::Report(at) => {
                let id = log.unreported.get(at)?.id.clone();
                Some(Entry::Reported { id })
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What a rewrite of the journal keeps is all there was to know.
    #[test]
    fn the_fewest_entries_have_the_same_sum(
        actions in prop::collection::vec(action(), 0..150)
    ) {
        let mut log = DeploymentLog::default();
        let mut records = Vec::new();
        for action in actions {
            if let Some(entry) = action.entry(&log) {
                records.push(entry.encode());
                log.apply(entry);
            }
        }
        let (sum, unreadable) = DeploymentLog::replay(records.iter().map(Vec::as_slice));
        prop_assert_eq!(unreadable, 0);
        prop_assert_eq!(&sum, &log);
        let fewest: Vec<Vec<u8>> = log.entries().iter().map(Entry::encode).collect();
        let (again, _) = DeploymentLog::replay(fewest.iter().map(Vec::as_slice));
        prop_assert_eq!(again, log);
    }
}

#[test]
fn an_intent_keeps_what_it_needs_to_undo_itself() {
    let intent = intent(1);
    let entry = Entry::Activating {
        intent: Box::new(intent.clone()),
    };
    let Ok(Entry::Activating { intent: again }) = Entry::decode(&entry.encode()) else {
        panic!("it comes back");
    };
    assert_eq!(*again, intent);
    let snapshot = again.snapshot();
    assert_eq!(snapshot.value_at(&["a", "version"]), Some(json!("1.0.0")));
    assert!(
        snapshot.get(&["A", "configuration"]).is_some(),
        "empty maps too"
    );
}

/// Damaged records are counted and passed over; nothing panics.
#[test]
fn damaged_records_are_passed_over() {
    let iterations: u64 = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let seeds = [
        Entry::Queued {
            request: request(1, DeploymentSource::Shadow),
        },
        Entry::Activating {
            intent: Box::new(intent(1)),
        },
        Entry::RollingBack {
            failure: DeploymentFailure::new("it broke", &[]),
        },
        Entry::Reported { id: "d1".into() },
    ]
    .map(|entry| entry.encode());
    let mut state = 0x0dd_ba11_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap_or(0) % below.max(1)
    };
    for _ in 0..iterations {
        let mut records = seeds.clone();
        let record = &mut records[next(seeds.len())];
        for _ in 0..=next(3) {
            let at = next(record.len());
            match next(3) {
                0 => record[at] = u8::try_from(next(256)).unwrap_or(0),
                1 => record.truncate(at),
                _ => record.insert(at, b"{}[],:\"0"[next(8)]),
            }
            if record.is_empty() {
                break;
            }
        }
        let (log, unreadable) = DeploymentLog::replay(records.iter().map(Vec::as_slice));
        assert!(unreadable <= 1);
        drop(log.open.map(|open| open.intent.snapshot()));
    }
}

#[test]
fn an_intent_knows_who_asked_for_it_although_its_request_gave_way() {
    let mut log = DeploymentLog::default();
    // The second comes between the first one's point of no return and its record.
    for id in [1, 4] {
        log.apply(Entry::Queued {
            request: request(id, DeploymentSource::Shadow),
        });
    }
    log.apply(Entry::Activating {
        intent: Box::new(intent(1)),
    });
    assert_eq!(log.requests.len(), 1);
    let open = log.open.as_ref().expect("it is carried out");
    assert_eq!(open.intent.id, "d1");
    assert_eq!(open.intent.source, Some(DeploymentSource::Shadow));
}
