use super::*;
use async_trait::async_trait;
use http_body_util::BodyExt as _;
use listing::Selection;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use sward_aws_wire::api::Caller;
use sward_model::{AccountId, Region};
use sward_net::http;
use sward_store::{Store, StoreOptions, Value};
use sward_task::Tasks;

struct Owner(Caller);

#[async_trait]
impl Access for Owner {
    fn caller(&self) -> &Caller {
        &self.0
    }

    async fn check(&self, action: &str, resource: &str) -> Result<(), S3Error> {
        if resource.contains("forbidden") {
            return Err(S3Error::new(Code::AccessDenied, format!("no {action}")));
        }
        Ok(())
    }
}

fn owner(account: &str) -> Owner {
    Owner(Caller {
        account: account.parse().expect("12 digits"),
        region: Region::default(),
        arn: format!("arn:aws:iam::{account}:root")
            .parse()
            .expect("an ARN"),
        credential: "AKIA".to_owned(),
    })
}

fn fill(buffer: &mut [u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    for (index, byte) in buffer.iter_mut().enumerate() {
        *byte = number[index % 8];
    }
}

struct World {
    directory: tempfile::TempDir,
    store: Store,
    objects: Objects,
}

async fn world() -> World {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(StoreOptions {
        directory: directory.path().to_owned(),
        ephemeral: true,
    })
    .await
    .expect("a store");
    let options = ObjectsOptions {
        directory: directory.path().join("blobs"),
        ephemeral: true,
        now_ms: || 1_800_000_000_000,
        fill,
    };
    let objects = Objects::open(store.clone(), options, &Tasks::new())
        .await
        .expect("opens");
    World {
        directory,
        store,
        objects,
    }
}

type Answer = (u16, Vec<(String, String)>, Vec<u8>);

impl World {
    async fn send(
        &self,
        access: &Owner,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Code> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let request = S3Request::parse(method, path, query, headers, None)
            .map_err(|error| error.s3_code())?;
        let upload = Upload {
            body: http::full(body.to_vec()),
            decoder: None,
            sha256: None,
        };
        let response = self
            .objects
            .call(&request, upload, access)
            .await
            .map_err(|error| error.s3_code())?;
        let (head, body) = response.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| {
                let value = value.to_str().unwrap_or_default();
                (name.as_str().to_owned(), value.to_owned())
            })
            .collect();
        let body = body.collect().await.expect("a body").to_bytes().to_vec();
        Ok((head.status.as_u16(), headers, body))
    }

    async fn ok(&self, method: &str, target: &str, body: &[u8]) -> String {
        let answer = self
            .send(&owner("123456789012"), method, target, &[], body)
            .await
            .expect("accepted");
        String::from_utf8(answer.2).expect("text")
    }

    async fn refused(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Code {
        self.send(&owner("123456789012"), method, target, headers, b"body")
            .await
            .expect_err("refused")
    }

    fn blob_files(&self) -> usize {
        fn count(path: &std::path::Path) -> usize {
            std::fs::read_dir(path).map_or(0, |entries| {
                entries
                    .flatten()
                    .map(|entry| {
                        if entry.path().is_dir() {
                            count(&entry.path())
                        } else {
                            1
                        }
                    })
                    .sum()
            })
        }
        count(&self.directory.path().join("blobs"))
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer
        .1
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn an_object_is_written_read_in_ranges_replaced_and_swept() {
    let world = world().await;
    let me = owner("123456789012");
    world.ok("PUT", "/bucket", b"").await;
    let put = world
        .send(
            &me,
            "PUT",
            "/bucket/dir/a%20key",
            &[
                ("content-type", "text/plain"),
                ("content-encoding", "aws-chunked,gzip"),
                ("x-amz-meta-colour", "green"),
                ("x-amz-checksum-crc32", "DUoRhQ=="),
                ("x-amz-tagging", "a=1&b=2"),
            ],
            b"hello world",
        )
        .await
        .expect("stored");
    assert_eq!(
        header(&put, "etag"),
        Some("\"5eb63bbbe01eeed093cb22bb8f5acdc3\"")
    );
    let get = world
        .send(
            &me,
            "GET",
            "/bucket/dir/a%20key",
            &[("x-amz-checksum-mode", "ENABLED")],
            b"",
        )
        .await
        .expect("there");
    assert_eq!((get.0, get.2.as_slice()), (200, &b"hello world"[..]));
    assert_eq!(header(&get, "content-type"), Some("text/plain"));
    assert_eq!(header(&get, "content-encoding"), Some("gzip"));
    assert_eq!(header(&get, "x-amz-meta-colour"), Some("green"));
    assert_eq!(header(&get, "x-amz-checksum-crc32"), Some("DUoRhQ=="));
    assert_eq!(header(&get, "x-amz-tagging-count"), Some("2"));
    assert_eq!(
        header(&get, "last-modified"),
        Some("Fri, 15 Jan 2027 08:00:00 GMT")
    );
    let part = world
        .send(
            &me,
            "GET",
            "/bucket/dir/a%20key",
            &[("range", "bytes=6-8")],
            b"",
        )
        .await
        .expect("there");
    assert_eq!((part.0, part.2.as_slice()), (206, &b"wor"[..]));
    assert_eq!(header(&part, "content-range"), Some("bytes 6-8/11"));
    let head = world
        .send(&me, "HEAD", "/bucket/dir/a%20key", &[], b"")
        .await
        .expect("there");
    assert_eq!(
        (header(&head, "content-length"), head.2.len()),
        (Some("11"), 0)
    );
    let same = [("if-none-match", "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"")];
    let unchanged = world
        .send(&me, "GET", "/bucket/dir/a%20key", &same, b"")
        .await
        .expect("there");
    assert_eq!(unchanged.0, 304);
    assert_eq!(
        world
            .refused("GET", "/bucket/dir/a%20key", &[("if-match", "other")])
            .await,
        Code::PreconditionFailed
    );
    assert_eq!(
        world
            .refused("PUT", "/bucket/dir/a%20key", &[("if-none-match", "*")])
            .await,
        Code::PreconditionFailed
    );
    let facts = world
        .objects
        .facts(&AccountId::default(), "bucket", "dir/a key")
        .await
        .expect("read")
        .expect("there");
    assert_eq!(facts.size, 11);
    assert_eq!(
        hex::encode(facts.sha256),
        "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
    );
    world.ok("PUT", "/bucket/dir/a%20key", b"").await;
    sweep::sweep_garbage(&world.objects).await.expect("swept");
    assert_eq!(world.blob_files(), 1);
    assert_eq!(world.ok("GET", "/bucket/dir/a%20key", b"").await, "");
    world.ok("DELETE", "/bucket/dir/a%20key", b"").await;
    world.ok("DELETE", "/bucket/dir/a%20key", b"").await;
    sweep::sweep_garbage(&world.objects).await.expect("swept");
    assert_eq!(world.blob_files(), 0);
    assert_eq!(
        world.refused("GET", "/bucket/dir/a%20key", &[]).await,
        Code::NoSuchKey
    );
}

#[tokio::test]
async fn bytes_that_do_not_match_are_never_published() {
    let world = world().await;
    world.ok("PUT", "/bucket", b"").await;
    let check = async |headers: &[(&str, &str)], expected: Code| {
        assert_eq!(
            world.refused("PUT", "/bucket/k", headers).await,
            expected,
            "{headers:?}"
        );
    };
    check(
        &[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")],
        Code::BadDigest,
    )
    .await;
    check(&[("content-md5", "?")], Code::InvalidDigest).await;
    check(
        &[("x-amz-checksum-sha256", "AAAA")],
        Code::XAmzContentChecksumMismatch,
    )
    .await;
    check(&[("content-length", "3")], Code::IncompleteBody).await;
    check(&[("content-length", "99999999999")], Code::EntityTooLarge).await;
    assert_eq!(
        world.refused("GET", "/bucket/k", &[]).await,
        Code::NoSuchKey
    );
    assert_eq!(world.blob_files(), 0);
}

#[tokio::test]
async fn buckets_belong_to_their_account() {
    let world = world().await;
    let other = owner("111111111111");
    world.ok("PUT", "/bucket", b"").await;
    world.ok("PUT", "/bucket", b"").await;
    for (method, target, expected) in [
        ("PUT", "/bucket", Code::BucketAlreadyExists),
        ("GET", "/bucket/k", Code::AccessDenied),
        ("PUT", "/bucket/k", Code::AccessDenied),
        ("GET", "/none", Code::NoSuchBucket),
        ("PUT", "/Bad_Name", Code::InvalidBucketName),
    ] {
        let found = world.send(&other, method, target, &[], b"").await;
        assert_eq!(found.expect_err("refused"), expected, "{method} {target}");
    }
    assert_eq!(
        world.refused("GET", "/bucket/forbidden", &[]).await,
        Code::AccessDenied
    );
    assert!(
        world
            .ok("GET", "/", b"")
            .await
            .contains("<Name>bucket</Name>")
    );
    assert!(
        world
            .ok("GET", "/bucket?location", b"")
            .await
            .contains("></LocationConstraint>")
    );
    world.ok("PUT", "/bucket/k", b"x").await;
    assert_eq!(
        world.refused("DELETE", "/bucket", &[]).await,
        Code::BucketNotEmpty
    );
    let delete =
        b"<Delete><Object><Key>k</Key></Object><Object><Key>forbidden</Key></Object></Delete>";
    let deleted = world.ok("POST", "/bucket?delete", delete).await;
    assert!(
        deleted.contains("<Deleted><Key>k</Key></Deleted>"),
        "{deleted}"
    );
    assert!(deleted.contains("<Code>AccessDenied</Code>"), "{deleted}");
    world.ok("DELETE", "/bucket", b"").await;
    assert_eq!(
        world.refused("HEAD", "/bucket", &[]).await,
        Code::NoSuchBucket
    );
}

#[tokio::test]
async fn parts_become_one_object() {
    let world = world().await;
    let me = owner("123456789012");
    world.ok("PUT", "/bucket", b"").await;
    let started = world.ok("POST", "/bucket/big?uploads", b"").await;
    let id = started
        .split("<UploadId>")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .expect("an id")
        .to_owned();
    let first = vec![7_u8; 5 * 1024 * 1024];
    let mut document = String::from("<CompleteMultipartUpload>");
    for (number, bytes) in [(1, first.as_slice()), (2, b"tail")] {
        let target = format!("/bucket/big?partNumber={number}&uploadId={id}");
        let answer = world
            .send(&me, "PUT", &target, &[], bytes)
            .await
            .expect("stored");
        let etag = header(&answer, "etag").expect("an ETag");
        document.push_str(&format!(
            "<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>"
        ));
    }
    document.push_str("</CompleteMultipartUpload>");
    assert_eq!(
        world
            .refused("POST", &format!("/bucket/big?uploadId={id}"), &[])
            .await,
        Code::MalformedXML
    );
    assert!(
        world
            .ok("GET", &format!("/bucket/big?uploadId={id}"), b"")
            .await
            .contains("<Size>4</Size>")
    );
    let done = world
        .ok(
            "POST",
            &format!("/bucket/big?uploadId={id}"),
            document.as_bytes(),
        )
        .await;
    assert!(done.contains("-2&quot;</ETag>"), "{done}");
    let tail = world
        .send(&me, "GET", "/bucket/big", &[("range", "bytes=-6")], b"")
        .await
        .expect("there");
    assert_eq!(tail.2, b"\x07\x07tail");
    sweep::sweep_garbage(&world.objects).await.expect("swept");
    assert_eq!(world.blob_files(), 1);
    assert_eq!(
        world
            .refused("DELETE", &format!("/bucket/big?uploadId={id}"), &[])
            .await,
        Code::NoSuchUpload
    );
}

/// What a listing must say, computed the slow way.
fn model(
    keys: &BTreeSet<String>,
    prefix: &str,
    delimiter: Option<&str>,
) -> (Vec<String>, Vec<String>) {
    let (mut plain, mut prefixes) = (Vec::new(), Vec::<String>::new());
    for key in keys.iter().filter(|key| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        match delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len())) {
            Some(end) => {
                let common = key[..prefix.len() + end].to_owned();
                if prefixes.last() != Some(&common) {
                    prefixes.push(common);
                }
            }
            None => plain.push(key.clone()),
        }
    }
    (plain, prefixes)
}

#[test]
fn listings_agree_with_a_model_whatever_the_page_size() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let world = runtime.block_on(world());
    let strategy = (
        prop::collection::btree_set("[ab/\u{10ffff}ä]{1,5}", 0..14),
        "[ab/]{0,2}",
        prop::option::of(prop::sample::select(vec!["/", "ab"])),
        1_usize..6,
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(256));
    let result = runner.run(&strategy, |(keys, prefix, delimiter, limit)| {
        let found = runtime.block_on(walk(&world, &keys, &prefix, delimiter, limit));
        prop_assert_eq!(found, model(&keys, &prefix, delimiter));
        Ok(())
    });
    result.expect("the model agrees");
}

async fn walk(
    world: &World,
    keys: &BTreeSet<String>,
    prefix: &str,
    delimiter: Option<&str>,
    limit: usize,
) -> (Vec<String>, Vec<String>) {
    let mut tx = world.store.begin().await.expect("begins");
    for key in keys {
        tx.execute(
            "INSERT INTO s3_object VALUES ('a', 'r', 'model', $1, 'x', 0, 'e', 's', '{}', NULL, 0)",
            &[Value::from(key)],
        )
        .await
        .expect("inserts");
    }
    let (mut plain, mut prefixes) = (Vec::new(), Vec::new());
    let mut after = String::new();
    loop {
        let selection = Selection {
            bucket: "model",
            prefix,
            delimiter,
            after: &after,
            limit,
        };
        let page = selection.page(&mut tx).await.expect("a page");
        assert!(page.objects.len() + page.prefixes.len() <= limit);
        plain.extend(page.objects.into_iter().map(|object| object.key));
        prefixes.extend(page.prefixes);
        match page.next {
            Some(next) => after = next,
            None => return (plain, prefixes),
        }
    }
}

/// Deterministic mutations of every document that S3 takes; none may panic.
#[test]
fn mutated_documents_never_panic() {
    let iterations: u64 = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let seeds = [
        "<Delete><Quiet>true</Quiet><Object><Key>a&amp;b</Key></Object></Delete>",
        "<CompleteMultipartUpload><Part><ETag>\"a\"</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        "<CreateBucketConfiguration xmlns=\"x\"><LocationConstraint>r</LocationConstraint></CreateBucketConfiguration>",
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for _ in 0..iterations {
        let mut text: Vec<char> = seeds[(next() % 5) as usize].chars().collect();
        for _ in 0..next() % 4 {
            let position = (next() % text.len() as u64) as usize;
            let other = "<>/&;\"=a\0é![]-?"
                .chars()
                .nth((next() % 15) as usize)
                .unwrap_or('x');
            match next() % 3 {
                0 => text[position] = other,
                1 => text.insert(position, other),
                _ if text.len() > 1 => drop(text.remove(position)),
                _ => {}
            }
        }
        let text: String = text.into_iter().collect();
        let results = [
            xml::parse::<xml::Delete>(&text).is_ok(),
            xml::parse::<xml::CompleteMultipartUpload>(&text).is_ok(),
            xml::parse::<xml::Tagging>(&text).is_ok(),
            xml::parse::<xml::VersioningConfiguration>(&text).is_ok(),
            xml::parse::<xml::CreateBucketConfiguration>(&text).is_ok(),
        ];
        if results.contains(&true) {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} {refused}");
}

/// Polls a future this many times at most, then drops it, as a server does when its client leaves.
async fn interrupted<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn an_upload_that_is_given_up_at_any_point_harms_nothing() {
    let world = world().await;
    let me = owner("123456789012");
    world.ok("PUT", "/bucket", b"").await;
    let (old, new) = (b"old".to_vec(), vec![7; 1024 * 1024]);
    world.ok("PUT", "/bucket/k", &old).await;
    let mut completed = false;
    for polls in 1..1000 {
        let put = world.send(&me, "PUT", "/bucket/k", &[], &new);
        completed = interrupted(put, polls).await.is_some();
        // The database's thread may still be at the commit: the next writer comes after it.
        drop(world.store.begin().await.expect("a transaction"));
        let found = world.send(&me, "GET", "/bucket/k", &[], b"").await;
        let body = found
            .unwrap_or_else(|code| panic!("{code:?} after {polls} polls"))
            .2;
        assert!(body == old || body == new, "after {polls} polls");
        if completed {
            break;
        }
    }
    assert!(completed);
    let unfinished = world.directory.path().join("blobs/new");
    let empty = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
        while std::fs::read_dir(&unfinished).expect("listed").count() > 0 {
            tick.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), empty)
        .await
        .expect("nothing is left of the uploads that were given up");
}

#[tokio::test]
async fn keys_in_documents_keep_their_blanks() {
    let world = world().await;
    world.ok("PUT", "/bucket", b"").await;
    for key in ["a", "%20a%20", "a%0A", "a%3C%26"] {
        world.ok("PUT", &format!("/bucket/{key}"), b"x").await;
    }
    let document = "<Delete><Object><Key> a </Key></Object>\n  \
                    <Object><Key>a&#10;</Key></Object>\
                    <Object><Key>a&lt;&amp;</Key></Object></Delete>";
    world
        .ok("POST", "/bucket?delete", document.as_bytes())
        .await;
    let listed = world.ok("GET", "/bucket?list-type=2", b"").await;
    assert!(listed.contains("<Key>a</Key>"), "{listed}");
    assert!(listed.contains("<KeyCount>1</KeyCount>"), "{listed}");
}

#[tokio::test]
async fn what_is_said_of_the_whole_is_checked_when_parts_are_joined() {
    let world = world().await;
    let me = owner("123456789012");
    world.ok("PUT", "/bucket", b"").await;
    let full = [
        ("x-amz-checksum-algorithm", "CRC32"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ];
    let started = world
        .send(&me, "POST", "/bucket/k?uploads", &full, b"")
        .await;
    let started = String::from_utf8(started.expect("started").2).expect("text");
    let (_, rest) = started.split_once("<UploadId>").expect("an id");
    let (id, _) = rest.split_once('<').expect("an id");
    let part = format!("/bucket/k?partNumber=1&uploadId={id}");
    world.ok("PUT", &part, b"hello world").await;
    let document = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
        <ETag>5eb63bbbe01eeed093cb22bb8f5acdc3</ETag></Part></CompleteMultipartUpload>";
    let complete = async |headers: &[(&str, &str)]| {
        let target = format!("/bucket/k?uploadId={id}");
        let answer = world.send(&me, "POST", &target, headers, document).await;
        answer.map(|answer| answer.0)
    };
    assert_eq!(
        complete(&[("x-amz-checksum-crc32", "AAAAAA==")]).await,
        Err(Code::BadDigest)
    );
    assert_eq!(
        complete(&[("x-amz-mp-object-size", "12")]).await,
        Err(Code::InvalidRequest)
    );
    assert_eq!(
        world.refused("GET", "/bucket/k", &[]).await,
        Code::NoSuchKey
    );
    let right = [
        ("x-amz-checksum-crc32", "DUoRhQ=="),
        ("x-amz-mp-object-size", "11"),
    ];
    assert_eq!(complete(&right).await, Ok(200));
    assert_eq!(world.ok("GET", "/bucket/k", b"").await, "hello world");
}
