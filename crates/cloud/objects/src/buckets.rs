//! Buckets.

use crate::access::Access;
use crate::service::{Bucket, bucket_of, find_bucket};
use crate::xml::{self, answer, empty, iso, set};
use crate::{Code, Objects, S3Error, S3Request, Upload, upload};
use sward_aws_wire::xml::{element, escape};
use sward_net::http::{Body, Response};

/// The region that AWS leaves unsaid in bucket locations.
const DEFAULT_REGION: &str = "us-east-1";

pub(crate) async fn list(
    objects: &Objects,
    access: &dyn Access,
) -> Result<Response<Body>, S3Error> {
    let account = &access.caller().account;
    let mut tx = objects.store().read().await?;
    let rows = tx
        .all(
            "SELECT * FROM s3_bucket WHERE account = $1 ORDER BY name",
            &[account.as_str().into()],
        )
        .await?;
    let mut content = format!(
        "<Owner>{}</Owner><Buckets>",
        element("ID", account.as_str())
    );
    for row in rows {
        let bucket = bucket_of(&row)?;
        content.push_str(&format!(
            "<Bucket>{}{}</Bucket>",
            element("Name", &bucket.name),
            element("CreationDate", &iso(bucket.created_ms))
        ));
    }
    content.push_str("</Buckets>");
    Ok(answer("ListAllMyBucketsResult", &content))
}

pub(crate) async fn create(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    access: &dyn Access,
) -> Result<Response<Body>, S3Error> {
    let name = &request.bucket;
    check_name(name)?;
    let document = upload::text(request, body).await?;
    let region = &access.caller().region;
    if !document.trim().is_empty() {
        let location = xml::parse::<xml::CreateBucketConfiguration>(&document)?.location;
        if let Some(location) = location.filter(|location| !location.is_empty())
            && location != region.as_str()
        {
            return Err(S3Error::new(
                Code::IllegalLocationConstraintException,
                format!("the location {location} is not the region {region} of this request"),
            ));
        }
    }
    let account = &access.caller().account;
    let mut tx = objects.store().begin().await?;
    if let Some(existing) = find_bucket(&mut tx, name).await? {
        return match existing {
            existing if existing.account != *account => Err(S3Error::new(
                Code::BucketAlreadyExists,
                format!("another account has a bucket named {name}"),
            )),
            // As AWS does, for old clients.
            existing if existing.region.as_str() == DEFAULT_REGION => Ok(created(name)),
            _ => Err(S3Error::new(
                Code::BucketAlreadyOwnedByYou,
                format!("the bucket {name} exists already and is yours"),
            )),
        };
    }
    tx.execute(
        "INSERT INTO s3_bucket (account, region, name, created_ms) VALUES ($1, $2, $3, $4)",
        &[
            account.as_str().into(),
            region.as_str().into(),
            name.as_str().into(),
            objects.now_ms().into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(created(name))
}

fn created(name: &str) -> Response<Body> {
    let mut response = empty(200);
    set(&mut response, "location", &format!("/{name}"));
    response
}

fn check_name(name: &str) -> Result<(), S3Error> {
    let edge = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = name.as_bytes();
    let valid = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        })
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::IpAddr>().is_err();
    if valid {
        Ok(())
    } else {
        Err(S3Error::new(
            Code::InvalidBucketName,
            format!("{name} is not 3 to 63 of lower-case letters, digits, '-' and '.'"),
        ))
    }
}

pub(crate) async fn delete(objects: &Objects, bucket: &Bucket) -> Result<Response<Body>, S3Error> {
    let name = bucket.name.as_str();
    let mut tx = objects.store().begin().await?;
    let object = tx
        .optional(
            "SELECT key FROM s3_object WHERE bucket = $1 LIMIT 1",
            &[name.into()],
        )
        .await?;
    if object.is_some() {
        return Err(S3Error::new(
            Code::BucketNotEmpty,
            format!("the bucket {name} still holds objects"),
        ));
    }
    tx.execute(
        "INSERT INTO s3_garbage (account, region, blob)
         SELECT p.account, p.region, p.blob FROM s3_part p
         JOIN s3_upload u ON u.id = p.upload WHERE u.bucket = $1",
        &[name.into()],
    )
    .await?;
    for sql in [
        "DELETE FROM s3_part WHERE upload IN (SELECT id FROM s3_upload WHERE bucket = $1)",
        "DELETE FROM s3_upload WHERE bucket = $1",
        "DELETE FROM s3_bucket WHERE name = $1",
    ] {
        tx.execute(sql, &[name.into()]).await?;
    }
    tx.commit().await?;
    objects.garbage().notify_one();
    Ok(empty(204))
}

pub(crate) fn head(bucket: &Bucket) -> Response<Body> {
    let mut response = empty(200);
    set(&mut response, "x-amz-bucket-region", bucket.region.as_str());
    response
}

pub(crate) fn location(bucket: &Bucket) -> Response<Body> {
    let region = bucket.region.as_str();
    let shown = if region == DEFAULT_REGION { "" } else { region };
    answer("LocationConstraint", &escape(shown))
}

pub(crate) fn versioning(bucket: &Bucket) -> Response<Body> {
    let status = bucket.versioning.as_deref();
    answer(
        "VersioningConfiguration",
        &status.map(|s| element("Status", s)).unwrap_or_default(),
    )
}

pub(crate) async fn put_versioning(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let document = upload::text(request, body).await?;
    let status = xml::parse::<xml::VersioningConfiguration>(&document)?.status;
    let status = status
        .filter(|status| matches!(status.as_str(), "Enabled" | "Suspended"))
        .ok_or_else(|| {
            S3Error::new(
                Code::MalformedXML,
                "Status is neither Enabled nor Suspended",
            )
        })?;
    if status == "Enabled" {
        tracing::warn!(
            bucket = bucket.name,
            "versioning is noted, but older versions of objects are not kept"
        );
    }
    let mut tx = objects.store().begin().await?;
    tx.execute(
        "UPDATE s3_bucket SET versioning = $2 WHERE name = $1",
        &[bucket.name.as_str().into(), status.into()],
    )
    .await?;
    tx.commit().await?;
    Ok(empty(200))
}

pub(crate) fn acl(bucket: &Bucket) -> Response<Body> {
    let owner = element("ID", bucket.account.as_str());
    answer(
        "AccessControlPolicy",
        &format!(
            "<Owner>{owner}</Owner><AccessControlList><Grant>\
             <Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:type=\"CanonicalUser\">{owner}</Grantee>\
             <Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
        ),
    )
}
