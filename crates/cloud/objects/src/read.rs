//! Reading objects.

use crate::blobs::Stored;
use crate::conditions::{self, Verdict, no_such_key, range};
use crate::row::ObjectRow;
use crate::service::{Bucket, find_object};
use crate::xml::{empty, set};
use crate::{Objects, S3Error, S3Request};
use bytes::Bytes;
use std::io::SeekFrom;
use sward_net::http::{self, Body, BodyError, Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

/// Bytes read at once.
const PIECE: usize = 128 * 1024;
/// Pieces read ahead of the client.
const AHEAD: usize = 2;

pub(crate) async fn head(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let object = find(objects, request, bucket).await?;
    if conditions::check(request, &object)? == Verdict::NotModified {
        return Ok(not_modified(request, &object));
    }
    let (mut response, (first, last)) = start(request, &object)?;
    let length = length(&object, first, last);
    set(&mut response, "content-length", &length.to_string());
    Ok(response)
}

pub(crate) async fn get(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    // An object that is replaced between row and file is looked up again.
    let mut attempts = 0;
    let (object, file) = loop {
        let object = find(objects, request, bucket).await?;
        match open(objects, &object).await {
            Ok(file) => break (object, file),
            Err(_) if attempts < 3 => attempts += 1,
            Err(error) => return Err(error),
        }
    };
    if conditions::check(request, &object)? == Verdict::NotModified {
        return Ok(not_modified(request, &object));
    }
    let (response, (first, last)) = start(request, &object)?;
    let length = length(&object, first, last);
    Ok(response.map(|_| stream(objects, file, first, length)))
}

async fn find(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<ObjectRow, S3Error> {
    let mut tx = objects.store().read().await?;
    find_object(&mut tx, &bucket.name, &request.key)
        .await?
        .ok_or_else(|| no_such_key(&request.key))
}

async fn open(objects: &Objects, object: &ObjectRow) -> Result<File, S3Error> {
    let path = objects.blobs().path(&object.blob);
    File::open(&path).await.map_err(|source| S3Error::File {
        what: "open",
        path,
        source,
    })
}

fn not_modified(request: &S3Request, object: &ObjectRow) -> Response<Body> {
    let mut response = empty(304);
    object.set_headers(request, &mut response);
    response
}

/// The head of the answer, and the first and last byte to send.
fn start(request: &S3Request, object: &ObjectRow) -> Result<(Response<Body>, (u64, u64)), S3Error> {
    let mut response = empty(200);
    object.set_headers(request, &mut response);
    let size = object.size;
    let Some((first, last)) = range(request.header("range"), size)? else {
        return Ok((response, (0, size.saturating_sub(1))));
    };
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    set(
        &mut response,
        "content-range",
        &format!("bytes {first}-{last}/{size}"),
    );
    // A checksum is the whole object's.
    for algorithm in crate::checksum::Algorithm::ALL {
        response.headers_mut().remove(algorithm.header());
    }
    response.headers_mut().remove("x-amz-checksum-type");
    Ok((response, (first, last)))
}

fn length(object: &ObjectRow, first: u64, last: u64) -> u64 {
    if object.size == 0 {
        0
    } else {
        last - first + 1
    }
}

fn stream(objects: &Objects, file: File, first: u64, length: u64) -> Body {
    if length == 0 {
        return http::full(Bytes::new());
    }
    let (sender, body) = http::channel(AHEAD, Some(length));
    objects
        .tasks()
        .spawn("objects-read", feed(file, first, length, sender));
    body
}

async fn feed(
    mut file: File,
    first: u64,
    length: u64,
    sender: mpsc::Sender<Result<Bytes, BodyError>>,
) {
    if first > 0
        && let Err(error) = file.seek(SeekFrom::Start(first)).await
    {
        fail(&sender, error).await;
        return;
    }
    let mut left = length;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let mut piece = vec![0; size];
        if let Err(error) = file.read_exact(&mut piece).await {
            fail(&sender, error).await;
            return;
        }
        left -= size as u64;
        // The client has gone: nobody needs the rest.
        if sender.send(Ok(piece.into())).await.is_err() {
            return;
        }
    }
}

async fn fail(sender: &mpsc::Sender<Result<Bytes, BodyError>>, error: std::io::Error) {
    tracing::error!(%error, "a blob could not be read");
    if sender.send(Err(error.into())).await.is_err() {
        tracing::debug!("the reader of a failed blob has gone");
    }
}

/// Copies the bytes of an object to a new blob.
pub(crate) async fn duplicate(objects: &Objects, source: &ObjectRow) -> Result<Stored, S3Error> {
    let mut sink = objects.blobs().sink(&[]);
    append(objects, &mut sink, &source.blob, &mut |_| {}).await?;
    sink.finish().await
}

/// Appends the bytes of a blob to a sink.
pub(crate) async fn append(
    objects: &Objects,
    sink: &mut crate::blobs::Sink,
    blob: &str,
    seen: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(), S3Error> {
    let path = objects.blobs().path(blob);
    let failed = |what| {
        let path = path.clone();
        move |source| S3Error::File { what, path, source }
    };
    let mut file = File::open(&path).await.map_err(failed("open"))?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).await.map_err(failed("read"))?;
        if count == 0 {
            return Ok(());
        }
        seen(&piece[..count]);
        sink.buffer().extend_from_slice(&piece[..count]);
        sink.flush_if_full().await?;
    }
}
