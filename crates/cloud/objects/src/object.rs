//! Writing, copying and deleting objects.

use crate::access::Access;
use crate::blobs::Stored;
use crate::conditions::{check_write, no_such_key};
use crate::request::{bucket_arn, object_arn};
use crate::row::{Attributes, ObjectRow};
use crate::service::{Bucket, discard, find_object};
use crate::xml::{self, answer, empty, iso, set};
use crate::{Code, Objects, S3Error, S3Request, Upload, tagging, upload};
use percent_encoding::percent_decode_str;
use sward_aws_wire::xml::element;
use sward_net::http::{Body, Response};
use sward_store::Tx;

/// Keys that one DeleteObjects may name.
const MOST_DELETES: usize = 1000;

pub(crate) async fn put(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let tags = tagging::of_header(request)?;
    let algorithms = upload::algorithms(request);
    let stored = upload::store(objects.blobs(), request, body, &algorithms).await?;
    let mut attributes = Attributes::of(request);
    attributes.add_checksums(&stored.checksums);
    let new = ObjectRow {
        key: request.key.clone(),
        blob: stored.id.clone(),
        size: stored.size,
        etag: stored.md5.clone(),
        sha256: stored.sha256.clone(),
        attributes,
        tags,
        modified_ms: objects.now_ms(),
    };
    publish(objects, request, bucket, &new, stored).await?;
    let mut response = empty(200);
    set(&mut response, "etag", &format!("\"{}\"", new.etag));
    new.attributes.set_checksum_headers(&mut response);
    Ok(response)
}

/// Makes a stored blob an object, in place of the one that has its key.
pub(crate) async fn publish(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
    new: &ObjectRow,
    stored: Stored,
) -> Result<(), S3Error> {
    let mut tx = objects.store().begin().await?;
    replace(&mut tx, request, bucket, new).await?;
    stored.keep();
    tx.commit().await?;
    objects.garbage().notify_one();
    Ok(())
}

pub(crate) async fn replace(
    tx: &mut Tx,
    request: &S3Request,
    bucket: &Bucket,
    new: &ObjectRow,
) -> Result<(), S3Error> {
    // The bucket may have gone while the bytes came.
    if crate::service::find_bucket(tx, &bucket.name)
        .await?
        .is_none()
    {
        return Err(S3Error::new(
            Code::NoSuchBucket,
            format!("the bucket {} does not exist", bucket.name),
        ));
    }
    let existing = find_object(tx, &bucket.name, &new.key).await?;
    check_write(request, existing.as_ref())?;
    if let Some(existing) = existing {
        discard(tx, bucket, &existing.blob).await?;
    }
    let [account, region] = bucket.scope();
    tx.execute(
        "INSERT INTO s3_object (account, region, bucket, key, blob, size, etag, sha256,
                                attributes, tags, modified_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (bucket, key) DO UPDATE SET blob = excluded.blob, size = excluded.size,
            etag = excluded.etag, sha256 = excluded.sha256, attributes = excluded.attributes,
            tags = excluded.tags, modified_ms = excluded.modified_ms",
        &[
            account,
            region,
            bucket.name.as_str().into(),
            new.key.as_str().into(),
            new.blob.as_str().into(),
            i64::try_from(new.size).unwrap_or(i64::MAX).into(),
            new.etag.as_str().into(),
            new.sha256.as_str().into(),
            new.attributes.to_json().into(),
            new.tags.clone().into(),
            new.modified_ms.into(),
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn copy(
    objects: &Objects,
    request: &S3Request,
    access: &dyn Access,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let (source_bucket, source_key) = copy_source(request)?;
    access
        .check("s3:GetObject", &object_arn(&source_bucket, &source_key))
        .await?;
    objects.bucket(&source_bucket, access).await?;
    let mut tx = objects.store().read().await?;
    let source = find_object(&mut tx, &source_bucket, &source_key)
        .await?
        .ok_or_else(|| no_such_key(&source_key))?;
    drop(tx);
    let replaces = |header: &str| {
        request
            .header(header)
            .is_some_and(|directive| directive.eq_ignore_ascii_case("replace"))
    };
    let mut attributes = source.attributes.clone();
    if replaces("x-amz-metadata-directive") {
        attributes.headers = Attributes::of(request).headers;
    }
    let tags = if replaces("x-amz-tagging-directive") {
        tagging::of_header(request)?
    } else {
        source.tags.clone()
    };
    let stored = crate::read::duplicate(objects, &source).await?;
    let new = ObjectRow {
        key: request.key.clone(),
        blob: stored.id.clone(),
        attributes,
        tags,
        modified_ms: objects.now_ms(),
        ..source
    };
    publish(objects, request, bucket, &new, stored).await?;
    Ok(answer(
        "CopyObjectResult",
        &[
            element("ETag", &format!("\"{}\"", new.etag)),
            element("LastModified", &iso(new.modified_ms)),
        ]
        .concat(),
    ))
}

fn copy_source(request: &S3Request) -> Result<(String, String), S3Error> {
    let invalid = || S3Error::new(Code::InvalidArgument, "x-amz-copy-source is not BUCKET/KEY");
    let source = request.header("x-amz-copy-source").unwrap_or_default();
    let source = percent_decode_str(source)
        .decode_utf8()
        .map_err(|_| invalid())?;
    let source = source.strip_prefix('/').unwrap_or(&source);
    match source.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
            Ok((bucket.to_owned(), key.to_owned()))
        }
        _ => Err(invalid()),
    }
}

pub(crate) async fn delete(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let mut tx = objects.store().begin().await?;
    remove(&mut tx, bucket, &request.key).await?;
    tx.commit().await?;
    objects.garbage().notify_one();
    Ok(empty(204))
}

/// Deleting what does not exist is a success.
async fn remove(tx: &mut Tx, bucket: &Bucket, key: &str) -> Result<(), S3Error> {
    if let Some(existing) = find_object(tx, &bucket.name, key).await? {
        discard(tx, bucket, &existing.blob).await?;
        tx.execute(
            "DELETE FROM s3_object WHERE bucket = $1 AND key = $2",
            &[bucket.name.as_str().into(), key.into()],
        )
        .await?;
    }
    Ok(())
}

pub(crate) async fn delete_many(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    access: &dyn Access,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let document = upload::text(request, body).await?;
    let delete: xml::Delete = xml::parse(&document)?;
    if delete.objects.is_empty() || delete.objects.len() > MOST_DELETES {
        return Err(S3Error::new(
            Code::MalformedXML,
            format!(
                "the document names {} objects, not 1 to 1000",
                delete.objects.len()
            ),
        ));
    }
    let mut content = String::new();
    let mut allowed = Vec::new();
    for entry in delete.objects {
        match access
            .check("s3:DeleteObject", &object_arn(&bucket.name, &entry.key))
            .await
        {
            Ok(()) => allowed.push(entry.key),
            Err(error) => content.push_str(&format!(
                "<Error>{}{}{}</Error>",
                element("Key", &entry.key),
                element("Code", error.s3_code().as_str()),
                element("Message", &error.to_string())
            )),
        }
    }
    let mut tx = objects.store().begin().await?;
    for key in allowed {
        remove(&mut tx, bucket, &key).await?;
        if !delete.quiet {
            content.push_str(&format!("<Deleted>{}</Deleted>", element("Key", &key)));
        }
    }
    tx.commit().await?;
    objects.garbage().notify_one();
    tracing::debug!(bucket = bucket_arn(&bucket.name), "objects deleted");
    Ok(answer("DeleteResult", &content))
}
