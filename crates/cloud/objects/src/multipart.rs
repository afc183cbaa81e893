//! Multipart uploads: parts are blobs of their own, and completing joins them into one.

use crate::checksum::Algorithm;
use crate::conditions::check_write;
use crate::object::replace;
use crate::row::{Attributes, ObjectRow};
use crate::service::{Bucket, discard, find_object};
use crate::xml::{self, answer, empty, iso, set};
use crate::{Code, Objects, S3Error, S3Request, Upload, read, tagging, upload};
use md5::{Digest as _, Md5};
use sward_aws_wire::xml::element;
use sward_net::http::{Body, Response};
use sward_store::{Row, Tx};

/// Smallest size of a part that is not the last, in bytes.
const LEAST_PART: u64 = 5 * 1024 * 1024;
const MOST_PARTS: i64 = 10_000;

struct Started {
    id: String,
    attributes: Attributes,
    tags: Option<String>,
    algorithm: Option<Algorithm>,
}

struct Part {
    number: i64,
    blob: String,
    size: u64,
    etag: String,
    checksum: Option<String>,
    modified_ms: i64,
}

impl Part {
    fn of(row: &Row) -> Result<Self, S3Error> {
        Ok(Part {
            number: row.int("number")?,
            blob: row.text("blob")?,
            size: u64::try_from(row.int("size")?).unwrap_or(0),
            etag: row.text("etag")?,
            checksum: row.opt_text("checksum")?,
            modified_ms: row.int("modified_ms")?,
        })
    }
}

pub(crate) async fn create(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let id = objects.blobs().new_id();
    let algorithm = upload::algorithms(request).first().copied();
    let mut attributes = Attributes::of(request);
    if algorithm.is_some() {
        let full = request
            .header("x-amz-checksum-type")
            .map_or(algorithm == Some(Algorithm::Crc64Nvme), |kind| {
                kind.eq_ignore_ascii_case("FULL_OBJECT")
            });
        let kind = if full { "FULL_OBJECT" } else { "COMPOSITE" };
        attributes.checksum_type = Some(kind.to_owned());
    }
    let [account, region] = bucket.scope();
    let mut tx = objects.store().begin().await?;
    tx.execute(
        "INSERT INTO s3_upload
         (account, region, id, bucket, key, attributes, tags, algorithm, started_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            account,
            region,
            id.as_str().into(),
            bucket.name.as_str().into(),
            request.key.as_str().into(),
            attributes.to_json().into(),
            tagging::of_header(request)?.into(),
            algorithm.map(Algorithm::name).into(),
            objects.now_ms().into(),
        ],
    )
    .await?;
    tx.commit().await?;
    let mut response = answer(
        "InitiateMultipartUploadResult",
        &[
            element("Bucket", &bucket.name),
            element("Key", &request.key),
            element("UploadId", &id),
        ]
        .concat(),
    );
    if let Some(algorithm) = algorithm {
        set(&mut response, "x-amz-checksum-algorithm", algorithm.name());
        set(
            &mut response,
            "x-amz-checksum-type",
            attributes.checksum_type.as_deref().unwrap_or("COMPOSITE"),
        );
    }
    Ok(response)
}

async fn started(tx: &mut Tx, request: &S3Request, bucket: &Bucket) -> Result<Started, S3Error> {
    let id = request.query("uploadId").unwrap_or_default();
    let row = tx
        .optional(
            "SELECT * FROM s3_upload WHERE id = $1 AND bucket = $2 AND key = $3",
            &[
                id.into(),
                bucket.name.as_str().into(),
                request.key.as_str().into(),
            ],
        )
        .await?
        .ok_or_else(|| {
            S3Error::new(
                Code::NoSuchUpload,
                format!("the upload {id} does not exist, was completed or aborted"),
            )
        })?;
    Ok(Started {
        id: row.text("id")?,
        attributes: serde_json::from_str(&row.text("attributes")?).unwrap_or_default(),
        tags: row.opt_text("tags")?,
        algorithm: row
            .opt_text("algorithm")?
            .and_then(|name| Algorithm::parse(&name)),
    })
}

async fn parts(tx: &mut Tx, upload: &str) -> Result<Vec<Part>, S3Error> {
    tx.all(
        "SELECT * FROM s3_part WHERE upload = $1 ORDER BY number",
        &[upload.into()],
    )
    .await?
    .iter()
    .map(Part::of)
    .collect()
}

pub(crate) async fn put_part(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    if request.header("x-amz-copy-source").is_some() {
        return Err(S3Error::new(
            Code::NotImplemented,
            "a part cannot be copied from an object here",
        ));
    }
    let number = request
        .query("partNumber")
        .and_then(|text| text.parse::<i64>().ok())
        .filter(|number| (1..=MOST_PARTS).contains(number))
        .ok_or_else(|| S3Error::new(Code::InvalidArgument, "partNumber is not 1 to 10000"))?;
    let upload = started(&mut objects.store().read().await?, request, bucket).await?;
    let mut algorithms = upload::algorithms(request);
    if let Some(algorithm) = upload.algorithm
        && !algorithms.contains(&algorithm)
    {
        algorithms.push(algorithm);
    }
    let stored = upload::store(objects.blobs(), request, body, &algorithms).await?;
    let checksum = upload
        .algorithm
        .and_then(|algorithm| stored.checksum(algorithm))
        .map(str::to_owned);
    let [account, region] = bucket.scope();
    let mut tx = objects.store().begin().await?;
    // Aborted while the bytes came: then there is nothing to be a part of.
    started(&mut tx, request, bucket).await?;
    let before = tx
        .optional(
            "SELECT blob FROM s3_part WHERE upload = $1 AND number = $2",
            &[upload.id.as_str().into(), number.into()],
        )
        .await?;
    if let Some(before) = before {
        discard(&mut tx, bucket, &before.text("blob")?).await?;
    }
    tx.execute(
        "INSERT INTO s3_part
         (account, region, upload, number, blob, size, etag, checksum, modified_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (upload, number) DO UPDATE SET blob = excluded.blob, size = excluded.size,
            etag = excluded.etag, checksum = excluded.checksum,
            modified_ms = excluded.modified_ms",
        &[
            account,
            region,
            upload.id.into(),
            number.into(),
            stored.id.as_str().into(),
            i64::try_from(stored.size).unwrap_or(i64::MAX).into(),
            stored.md5.as_str().into(),
            checksum.into(),
            objects.now_ms().into(),
        ],
    )
    .await?;
    let mut response = empty(200);
    set(&mut response, "etag", &format!("\"{}\"", stored.md5));
    for (algorithm, value) in &stored.checksums {
        set(&mut response, algorithm.header(), value);
    }
    stored.keep();
    tx.commit().await?;
    objects.garbage().notify_one();
    Ok(response)
}

pub(crate) async fn complete(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let document = upload::text(request, body).await?;
    let wanted: xml::CompleteMultipartUpload = xml::parse(&document)?;
    let mut tx = objects.store().read().await?;
    let upload = started(&mut tx, request, bucket).await?;
    let parts = chosen(parts(&mut tx, &upload.id).await?, &wanted.parts)?;
    let existing = find_object(&mut tx, &bucket.name, &request.key).await?;
    check_write(request, existing.as_ref())?;
    drop(tx);
    let (new, stored) = join(objects, request, &upload, &parts).await?;
    check_promises(request, &upload, &new)?;
    let mut tx = objects.store().begin().await?;
    // Completed twice at once: the second finds no upload any more.
    started(&mut tx, request, bucket).await?;
    replace(&mut tx, request, bucket, &new).await?;
    remove(&mut tx, bucket, &upload.id).await?;
    stored.keep();
    tx.commit().await?;
    objects.garbage().notify_one();
    let mut content = [
        element("Location", &format!("/{}/{}", bucket.name, request.key)),
        element("Bucket", &bucket.name),
        element("Key", &request.key),
        element("ETag", &format!("\"{}\"", new.etag)),
    ]
    .concat();
    if let Some(algorithm) = upload.algorithm
        && let Some(value) = new.attributes.checksums.get(algorithm.header())
    {
        content.push_str(&element(&algorithm.element(), value));
        if let Some(kind) = &new.attributes.checksum_type {
            content.push_str(&element("ChecksumType", kind));
        }
    }
    Ok(answer("CompleteMultipartUploadResult", &content))
}

/// What the caller says of the whole object holds for what the parts have become.
fn check_promises(request: &S3Request, upload: &Started, new: &ObjectRow) -> Result<(), S3Error> {
    if let Some(size) = request.header("x-amz-mp-object-size")
        && size.parse() != Ok(new.size)
    {
        return Err(S3Error::new(
            Code::InvalidRequest,
            format!("the parts have {} bytes, not {size}", new.size),
        ));
    }
    let Some(algorithm) = upload.algorithm else {
        return Ok(());
    };
    let header = algorithm.header();
    // Some clients leave out the count of parts behind a composite checksum.
    let without_count = |value: &str| value.split('-').next().map(str::to_owned);
    if let (Some(promised), Some(found)) =
        (request.header(header), new.attributes.checksums.get(header))
        && without_count(promised) != without_count(found)
    {
        return Err(S3Error::new(
            Code::BadDigest,
            format!("the parts together do not match {header}"),
        ));
    }
    Ok(())
}

/// The uploaded parts that the caller names, in its order.
fn chosen(mut uploaded: Vec<Part>, wanted: &[xml::CompletedPart]) -> Result<Vec<Part>, S3Error> {
    if wanted.is_empty() {
        return Err(S3Error::new(
            Code::MalformedXML,
            "the document names no parts",
        ));
    }
    if wanted
        .windows(2)
        .any(|pair| pair[0].number >= pair[1].number)
    {
        return Err(S3Error::new(
            Code::InvalidPartOrder,
            "the parts are not in ascending order",
        ));
    }
    let mut parts = Vec::with_capacity(wanted.len());
    for want in wanted {
        let position = uploaded
            .iter()
            .position(|part| part.number == want.number && part.etag == want.etag.trim_matches('"'))
            .ok_or_else(|| {
                S3Error::new(
                    Code::InvalidPart,
                    format!("part {} was not uploaded with this ETag", want.number),
                )
            })?;
        parts.push(uploaded.swap_remove(position));
    }
    let all_but_last = &parts[..parts.len() - 1];
    if let Some(small) = all_but_last.iter().find(|part| part.size < LEAST_PART) {
        return Err(S3Error::new(
            Code::EntityTooSmall,
            format!("part {} has less than {LEAST_PART} bytes", small.number),
        ));
    }
    Ok(parts)
}

async fn join(
    objects: &Objects,
    request: &S3Request,
    upload: &Started,
    parts: &[Part],
) -> Result<(ObjectRow, crate::blobs::Stored), S3Error> {
    let mut attributes = upload.attributes.clone();
    let full = attributes.checksum_type.as_deref() == Some("FULL_OBJECT");
    let algorithms: Vec<Algorithm> = upload.algorithm.filter(|_| full).into_iter().collect();
    let mut sink = objects.blobs().sink(&algorithms);
    let mut etags = Md5::new();
    for part in parts {
        etags.update(hex::decode(&part.etag).unwrap_or_default());
        read::append(objects, &mut sink, &part.blob, &mut |_| {}).await?;
    }
    let stored = sink.finish().await?;
    if full {
        attributes.add_checksums(&stored.checksums);
    } else if let Some(algorithm) = upload.algorithm {
        let values: Vec<String> = parts
            .iter()
            .filter_map(|part| part.checksum.clone())
            .collect();
        if let Some(value) = algorithm.composite(&values) {
            attributes
                .checksums
                .insert(algorithm.header().to_owned(), value);
        }
    }
    let new = ObjectRow {
        key: request.key.clone(),
        blob: stored.id.clone(),
        size: stored.size,
        etag: format!("{}-{}", hex::encode(etags.finalize()), parts.len()),
        sha256: stored.sha256.clone(),
        attributes,
        tags: upload.tags.clone(),
        modified_ms: objects.now_ms(),
    };
    Ok((new, stored))
}

pub(crate) async fn abort(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let mut tx = objects.store().begin().await?;
    let upload = started(&mut tx, request, bucket).await?;
    remove(&mut tx, bucket, &upload.id).await?;
    tx.commit().await?;
    objects.garbage().notify_one();
    Ok(empty(204))
}

async fn remove(tx: &mut Tx, bucket: &Bucket, upload: &str) -> Result<(), S3Error> {
    for part in parts(tx, upload).await? {
        discard(tx, bucket, &part.blob).await?;
    }
    tx.execute("DELETE FROM s3_part WHERE upload = $1", &[upload.into()])
        .await?;
    tx.execute("DELETE FROM s3_upload WHERE id = $1", &[upload.into()])
        .await?;
    Ok(())
}

pub(crate) async fn list_parts(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let mut tx = objects.store().read().await?;
    let upload = started(&mut tx, request, bucket).await?;
    let mut content = [
        element("Bucket", &bucket.name),
        element("Key", &request.key),
        element("UploadId", &upload.id),
        element("IsTruncated", "false"),
    ]
    .concat();
    for part in parts(&mut tx, &upload.id).await? {
        content.push_str(&format!(
            "<Part>{}{}{}{}</Part>",
            element("PartNumber", &part.number.to_string()),
            element("LastModified", &iso(part.modified_ms)),
            element("ETag", &format!("\"{}\"", part.etag)),
            element("Size", &part.size.to_string()),
        ));
    }
    Ok(answer("ListPartsResult", &content))
}

pub(crate) async fn list_uploads(
    objects: &Objects,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let rows = objects
        .store()
        .read()
        .await?
        .all(
            "SELECT id, key, started_ms FROM s3_upload WHERE bucket = $1 ORDER BY key, id",
            &[bucket.name.as_str().into()],
        )
        .await?;
    let mut content = [
        element("Bucket", &bucket.name),
        element("IsTruncated", "false"),
    ]
    .concat();
    for row in rows {
        content.push_str(&format!(
            "<Upload>{}{}{}</Upload>",
            element("Key", &row.text("key")?),
            element("UploadId", &row.text("id")?),
            element("Initiated", &iso(row.int("started_ms")?)),
        ));
    }
    Ok(answer("ListMultipartUploadsResult", &content))
}
