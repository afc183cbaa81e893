use super::*;
use crate::deployer::ports::{ArtifactBody, ArtifactRequest, BoxFuture, CloudError};
use base64::Engine as _;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::sync::Mutex;
use sward_diagnosis::Diagnose;
use sward_recipe::Permission;

/// A source of one object, whose connections may end early and which may not know ranges.
#[derive(Default)]
struct Source {
    object: Vec<u8>,
    /// Bytes after which each connection ends, the last one for ever.
    ends_after: Mutex<Vec<usize>>,
    ignores_offset: bool,
    offsets: Mutex<Vec<u64>>,
}

impl ArtifactSource for Source {
    fn open(&self, request: ArtifactRequest) -> BoxFuture<'_, Result<ArtifactBody, CloudError>> {
        self.offsets.lock().expect("no panic").push(request.offset);
        let offset = if self.ignores_offset {
            0
        } else {
            request.offset
        };
        let start = usize::try_from(offset).expect("small");
        let mut ends = self.ends_after.lock().expect("no panic");
        let length = match ends.len() {
            0 => usize::MAX,
            _ => ends.remove(0),
        };
        let end = self.object.len().min(start.saturating_add(length));
        let mut chunks: Vec<_> = self.object[start..end]
            .chunks(3)
            .map(|chunk| Ok(bytes::Bytes::copy_from_slice(chunk)))
            .collect();
        if end < self.object.len() {
            chunks.push(Err(CloudError::Unreachable {
                url: request.uri,
                reason: "connection reset".into(),
            }));
        }
        let body = ArtifactBody {
            total_bytes: Some(self.object.len() as u64),
            offset,
            chunks: futures_util::stream::iter(chunks).boxed(),
        };
        Box::pin(std::future::ready(Ok(body)))
    }
}

struct World {
    root: tempfile::TempDir,
    source: Arc<Source>,
    artifacts: Artifacts,
    id: ComponentId,
}

fn world(source: Source) -> World {
    let root = tempfile::tempdir().expect("a folder");
    let source = Arc::new(source);
    let store = ComponentStore::open(root.path()).expect("a store");
    let limits = ArtifactLimits {
        store_bytes: 4096,
        free_bytes: 0,
    };
    World {
        artifacts: Artifacts::new(store, source.clone(), limits),
        id: (
            "com.A".parse().expect("a name"),
            "1.0.0".parse().expect("a version"),
        ),
        source,
        root,
    }
}

fn digest(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(bytes))
}

fn artifact(uri: &str, content: Option<&[u8]>, unarchive: Unarchive) -> Artifact {
    Artifact {
        uri: uri.to_owned(),
        digest: content.map(digest),
        algorithm: content.map(|_| "SHA-256".to_owned()),
        unarchive,
        permission: Permission::default(),
        unknown: serde_json::Map::new(),
    }
}

impl World {
    async fn prepare(&self, artifact: Artifact) -> Result<(), ArtifactError> {
        self.artifacts.prepare(&self.id, None, &[artifact]).await
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root.path().join("packages").join(path)
    }
}

const OBJECT: &[u8] = b"0123456789abcdef";
const URI: &str = "s3://bucket/dir/tool.bin";

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let world = world(Source {
        object: OBJECT.to_vec(),
        ends_after: Mutex::new(vec![5, 6]),
        ..Source::default()
    });
    let wanted = || artifact(URI, Some(OBJECT), Unarchive::None);
    for _ in 0..2 {
        let error = world.prepare(wanted()).await.expect_err("it breaks off");
        assert!(error.is_retryable(), "{error}");
        assert!(!world.file("artifacts/com.A/1.0.0/tool.bin").exists());
    }
    world.prepare(wanted()).await.expect("the rest comes");
    let file = world.file("artifacts/com.A/1.0.0/tool.bin");
    assert_eq!(fs::read(&file).expect("it is there"), OBJECT);
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o577, 0o440, "{mode:o}");
    world.prepare(wanted()).await.expect("it is there already");
    assert_eq!(*world.source.offsets.lock().expect("no panic"), [0, 5, 11]);
}

#[tokio::test]
async fn a_source_that_ignores_ranges_is_read_from_the_start() {
    let world = world(Source {
        object: OBJECT.to_vec(),
        ends_after: Mutex::new(vec![5]),
        ignores_offset: true,
        ..Source::default()
    });
    let wanted = || artifact(URI, Some(OBJECT), Unarchive::None);
    world.prepare(wanted()).await.expect_err("it breaks off");
    world.prepare(wanted()).await.expect("it comes whole");
    let file = world.file("artifacts/com.A/1.0.0/tool.bin");
    assert_eq!(fs::read(file).expect("it is there"), OBJECT);
}

#[tokio::test]
async fn a_wrong_digest_is_tried_again_and_then_an_error_that_leaves_nothing() {
    let world = world(Source {
        object: OBJECT.to_vec(),
        ..Source::default()
    });
    let error = world
        .prepare(artifact(URI, Some(b"other"), Unarchive::None))
        .await
        .expect_err("the digest is wrong");
    assert!(
        matches!(error, ArtifactError::WrongDigest { .. }),
        "{error}"
    );
    assert!(!error.is_retryable());
    assert_eq!(world.source.offsets.lock().expect("no panic").len(), 3);
    let folder = world.file("artifacts/com.A/1.0.0");
    assert_eq!(fs::read_dir(folder).expect("it is there").count(), 0);
}

#[tokio::test]
async fn a_file_that_changed_on_disk_is_fetched_again_but_one_without_digest_is_taken() {
    let world = world(Source {
        object: OBJECT.to_vec(),
        ..Source::default()
    });
    let file = world.file("artifacts/com.A/1.0.0/tool.bin");
    make_folder(file.parent().expect("a folder")).expect("it is made");
    fs::write(&file, b"tampered").expect("it is written");
    world
        .prepare(artifact(URI, None, Unarchive::None))
        .await
        .expect("nothing is known against it");
    assert_eq!(fs::read(&file).expect("it is there"), b"tampered");
    world
        .prepare(artifact(URI, Some(OBJECT), Unarchive::None))
        .await
        .expect("it is fetched");
    assert_eq!(fs::read(&file).expect("it is there"), OBJECT);
    let error = world
        .prepare(artifact("s3://bucket/other", None, Unarchive::None))
        .await
        .expect_err("it is not here");
    assert!(matches!(error, ArtifactError::NoDigest { .. }), "{error}");
}

#[tokio::test]
async fn what_the_store_has_no_room_for_is_refused() {
    let world = world(Source {
        object: vec![7; 5000],
        ..Source::default()
    });
    let error = world
        .prepare(artifact(URI, Some(&[7; 5000]), Unarchive::None))
        .await
        .expect_err("it is too large");
    assert!(matches!(error, ArtifactError::StoreFull { .. }), "{error}");
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = zip::write::SimpleFileOptions::default();
        if name.ends_with('/') {
            writer.add_directory(*name, options).expect("an entry");
        } else {
            writer.start_file(*name, options).expect("an entry");
            writer.write_all(content).expect("its content");
        }
    }
    writer.finish().expect("an archive").into_inner()
}

#[tokio::test]
async fn an_archive_is_unpacked_whole_and_again_when_it_changes() {
    let first = zip(&[
        ("a/", b""),
        ("a/run.sh", b"one"),
        ("b.txt", b"two"),
        ("gone", b"x"),
    ]);
    let one = world(Source {
        object: first.clone(),
        ..Source::default()
    });
    let uri = "greengrass:tool.zip";
    one.prepare(artifact(uri, Some(&first), Unarchive::Zip))
        .await
        .expect("it is unpacked");
    let folder = one.file("artifacts-unarchived/com.A/1.0.0/tool");
    assert_eq!(
        fs::read(folder.join("a/run.sh")).expect("it is there"),
        b"one"
    );
    let mode = fs::metadata(folder.join("a"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    let second = zip(&[("a/run.sh", b"new")]);
    let file = one.file("artifacts/com.A/1.0.0/tool.zip");
    fs::remove_file(&file).expect("it is removed");
    fs::write(&file, &second).expect("it is written");
    one.prepare(artifact(uri, None, Unarchive::Zip))
        .await
        .expect("it is unpacked again");
    assert_eq!(
        fs::read(folder.join("a/run.sh")).expect("it is there"),
        b"new"
    );
    assert!(!folder.join("gone").exists());
}

#[tokio::test]
async fn an_archive_cannot_leave_its_folder_nor_grow_without_bound() {
    for (name, content) in [
        ("../evil", b"x".as_slice()),
        ("/etc/evil", b"x"),
        ("a/../../evil", b"x"),
        ("bomb", &[0; 5000]),
    ] {
        let archive = zip(&[("good", b"x"), (name, content)]);
        let world = world(Source {
            object: archive.clone(),
            ..Source::default()
        });
        let result = world
            .prepare(artifact("s3://b/tool.zip", Some(&archive), Unarchive::Zip))
            .await;
        let folder = world.file("artifacts-unarchived/com.A/1.0.0");
        assert!(!world.root.path().join("evil").exists());
        assert!(!world.file("artifacts-unarchived/com.A/1.0.0/evil").exists());
        match result {
            Err(error) => {
                assert!(
                    matches!(error, ArtifactError::Unzip { .. }),
                    "{name}: {error}"
                );
                assert_eq!(fs::read_dir(folder).expect("it is there").count(), 0);
            }
            // A leading slash may be read as a path inside the folder.
            Ok(()) => assert_eq!(name, "/etc/evil"),
        }
    }
}

#[test]
fn uris_that_nobody_serves_are_refused_with_their_code() {
    use sward_deployment::DeploymentErrorCode as Code;
    let check = |uri: &str, code: Code| {
        let id = (
            "com.A".parse().expect("a name"),
            "1.0.0".parse().expect("a version"),
        );
        let error = Artifacts::check(&id, &[artifact(uri, None, Unarchive::None)])
            .expect_err("nobody serves it");
        assert_eq!(error.codes(), [Code::ArtifactUriNotValid, code], "{uri}");
    };
    check("", Code::EmptyArtifactUri);
    check("file.zip", Code::EmptyArtifactScheme);
    check("ftp://x/y", Code::UnsupportedArtifactScheme);
    check("docker:alpine", Code::UnsupportedArtifactScheme);
    check("s3://bucket", Code::S3ArtifactUriNotValid);
}
