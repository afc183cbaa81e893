//! Tags of buckets and objects, kept as JSON pairs.

use crate::conditions::no_such_key;
use crate::service::{Bucket, find_object};
use crate::xml::{self, answer, empty};
use crate::{Code, Objects, S3Error, S3Request, Upload, upload};
use percent_encoding::percent_decode_str;
use sward_aws_wire::xml::element;
use sward_net::http::{Body, Response};
use sward_store::Value;

type Tags = Vec<(String, String)>;

const MOST_OBJECT_TAGS: usize = 10;
const MOST_BUCKET_TAGS: usize = 50;

fn read(json: &str) -> Tags {
    serde_json::from_str(json).unwrap_or_default()
}

pub(crate) fn count(json: &str) -> usize {
    read(json).len()
}

fn checked(tags: Tags, most: usize) -> Result<String, S3Error> {
    let invalid = |message: String| S3Error::new(Code::InvalidTag, message);
    if tags.len() > most {
        return Err(invalid(format!("{} tags, at most {most}", tags.len())));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(invalid(format!(
                "the tag {key} is not 1 to 128 characters with a value of 256 at most"
            )));
        }
        if tags[..index].iter().any(|(other, _)| other == key) {
            return Err(invalid(format!("the tag {key} is given twice")));
        }
    }
    Ok(serde_json::to_string(&tags).expect("pairs of texts serialise"))
}

/// The tags in the `x-amz-tagging` header of an upload, in the form of a URL's query.
pub(crate) fn of_header(request: &S3Request) -> Result<Option<String>, S3Error> {
    let Some(header) = request.header("x-amz-tagging") else {
        return Ok(None);
    };
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let tags = header
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect();
    checked(tags, MOST_OBJECT_TAGS).map(Some)
}

async fn of_body(request: &S3Request, body: Upload, most: usize) -> Result<String, S3Error> {
    let document = upload::text(request, body).await?;
    let tagging: xml::Tagging = xml::parse(&document)?;
    let tags = tagging
        .set
        .tags
        .into_iter()
        .map(|tag| (tag.key, tag.value))
        .collect();
    checked(tags, most)
}

fn shown(json: Option<&str>) -> Response<Body> {
    let mut content = String::from("<TagSet>");
    for (key, value) in json.map(read).unwrap_or_default() {
        content.push_str(&format!(
            "<Tag>{}{}</Tag>",
            element("Key", &key),
            element("Value", &value)
        ));
    }
    content.push_str("</TagSet>");
    answer("Tagging", &content)
}

pub(crate) fn get_bucket(bucket: &Bucket) -> Result<Response<Body>, S3Error> {
    match bucket.tags.as_deref() {
        Some(tags) if count(tags) > 0 => Ok(shown(Some(tags))),
        _ => Err(S3Error::new(Code::NoSuchTagSet, "the bucket has no tags")),
    }
}

pub(crate) async fn put_bucket(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let tags = of_body(request, body, MOST_BUCKET_TAGS).await?;
    set_bucket(objects, bucket, tags.into()).await
}

pub(crate) async fn delete_bucket(
    objects: &Objects,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    set_bucket(objects, bucket, Value::Null).await
}

async fn set_bucket(
    objects: &Objects,
    bucket: &Bucket,
    tags: Value,
) -> Result<Response<Body>, S3Error> {
    let mut tx = objects.store().begin().await?;
    tx.execute(
        "UPDATE s3_bucket SET tags = $2 WHERE name = $1",
        &[bucket.name.as_str().into(), tags],
    )
    .await?;
    tx.commit().await?;
    Ok(empty(204))
}

pub(crate) async fn get_object(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let mut tx = objects.store().read().await?;
    let object = find_object(&mut tx, &bucket.name, &request.key)
        .await?
        .ok_or_else(|| no_such_key(&request.key))?;
    Ok(shown(object.tags.as_deref()))
}

pub(crate) async fn put_object(
    objects: &Objects,
    request: &S3Request,
    body: Upload,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let tags = of_body(request, body, MOST_OBJECT_TAGS).await?;
    set_object(objects, request, bucket, tags.into(), 200).await
}

pub(crate) async fn delete_object(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    set_object(objects, request, bucket, Value::Null, 204).await
}

async fn set_object(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
    tags: Value,
    status: u16,
) -> Result<Response<Body>, S3Error> {
    let mut tx = objects.store().begin().await?;
    let changed = tx
        .execute(
            "UPDATE s3_object SET tags = $3 WHERE bucket = $1 AND key = $2",
            &[
                bucket.name.as_str().into(),
                request.key.as_str().into(),
                tags,
            ],
        )
        .await?;
    if changed == 0 {
        return Err(no_such_key(&request.key));
    }
    tx.commit().await?;
    Ok(empty(status))
}
