//! The handle: opening, dispatch, and what the rest of the cloud asks of objects.

use crate::access::Access;
use crate::blobs::Blobs;
use crate::row::ObjectRow;
use crate::{
    Code, MIGRATIONS, Operation, S3Error, S3Request, Upload, buckets, listing, multipart, object,
    read, sweep, tagging,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use sward_model::{AccountId, Region};
use sward_net::http::{Body, Response};
use sward_store::{Store, Tx, Value};
use sward_task::Tasks;
use tokio::sync::Notify;

/// How to open the object store.
#[derive(Clone, Debug)]
pub struct ObjectsOptions {
    /// Where blobs are.
    pub directory: PathBuf,
    /// Never waits for the disk.
    pub ephemeral: bool,
    /// Now, in milliseconds since 1970.
    pub now_ms: fn() -> i64,
    /// Fills a buffer with random bytes.
    pub fill: fn(&mut [u8]),
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    pub size: u64,
    /// Of the whole object.
    pub sha256: [u8; 32],
}

/// The object store. Clones share it.
#[derive(Clone, Debug)]
pub struct Objects {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    blobs: Blobs,
    now_ms: fn() -> i64,
    tasks: Tasks,
    garbage: Notify,
    /// Before the first request: what is older and has no row was left by a crash.
    opened: SystemTime,
}

impl Objects {
    /// Migrates the tables and makes the blob directory. Reads stream in tasks of `tasks`.
    pub async fn open(
        store: Store,
        options: ObjectsOptions,
        tasks: &Tasks,
    ) -> Result<Self, S3Error> {
        let opened = SystemTime::now();
        store.migrate(MIGRATIONS).await?;
        let blobs = Blobs::open(options.directory, options.ephemeral, options.fill)?;
        Ok(Objects {
            inner: Arc::new(Inner {
                store,
                blobs,
                now_ms: options.now_ms,
                tasks: tasks.clone(),
                garbage: Notify::new(),
                opened,
            }),
        })
    }

    /// Starts the sweeper of blobs that no row names any more.
    pub fn run(&self, tasks: &Tasks) {
        tasks.spawn_essential("objects-sweep", sweep::run(self.clone(), tasks.token()));
    }

    /// Answers a verified request.
    pub async fn call(
        &self,
        request: &S3Request,
        upload: Upload,
        access: &dyn Access,
    ) -> Result<Response<Body>, S3Error> {
        // Each entry of this one is judged by itself.
        if request.operation != Operation::DeleteObjects {
            access
                .check(request.operation.action(), &request.resource())
                .await?;
        }
        match request.operation {
            Operation::ListBuckets => buckets::list(self, access).await,
            Operation::CreateBucket => buckets::create(self, request, upload, access).await,
            operation => {
                let bucket = self.bucket(&request.bucket, access).await?;
                self.in_bucket(operation, request, upload, access, &bucket)
                    .await
            }
        }
    }

    async fn in_bucket(
        &self,
        operation: Operation,
        request: &S3Request,
        upload: Upload,
        access: &dyn Access,
        bucket: &Bucket,
    ) -> Result<Response<Body>, S3Error> {
        match operation {
            Operation::ListBuckets | Operation::CreateBucket => Err(S3Error::new(
                Code::InternalError,
                "this operation has no bucket to be in",
            )),
            Operation::DeleteBucket => buckets::delete(self, bucket).await,
            Operation::HeadBucket => Ok(buckets::head(bucket)),
            Operation::GetBucketLocation => Ok(buckets::location(bucket)),
            Operation::GetBucketVersioning => Ok(buckets::versioning(bucket)),
            Operation::PutBucketVersioning => {
                buckets::put_versioning(self, request, upload, bucket).await
            }
            Operation::GetBucketTagging => tagging::get_bucket(bucket),
            Operation::PutBucketTagging => tagging::put_bucket(self, request, upload, bucket).await,
            Operation::DeleteBucketTagging => tagging::delete_bucket(self, bucket).await,
            Operation::GetBucketPolicy => Err(S3Error::new(
                Code::NoSuchBucketPolicy,
                "the bucket has no policy",
            )),
            Operation::GetBucketEncryption => Err(S3Error::new(
                Code::ServerSideEncryptionConfigurationNotFoundError,
                "the bucket has no encryption configuration",
            )),
            Operation::GetBucketAcl => Ok(buckets::acl(bucket)),
            Operation::ListObjects | Operation::ListObjectsV2 => {
                listing::list(self, request, bucket).await
            }
            Operation::ListMultipartUploads => multipart::list_uploads(self, bucket).await,
            Operation::DeleteObjects => {
                object::delete_many(self, request, upload, access, bucket).await
            }
            Operation::PutObject => object::put(self, request, upload, bucket).await,
            Operation::CopyObject => object::copy(self, request, access, bucket).await,
            Operation::GetObject => read::get(self, request, bucket).await,
            Operation::HeadObject => read::head(self, request, bucket).await,
            Operation::DeleteObject => object::delete(self, request, bucket).await,
            Operation::GetObjectTagging => tagging::get_object(self, request, bucket).await,
            Operation::PutObjectTagging => tagging::put_object(self, request, upload, bucket).await,
            Operation::DeleteObjectTagging => tagging::delete_object(self, request, bucket).await,
            Operation::CreateMultipartUpload => multipart::create(self, request, bucket).await,
            Operation::UploadPart => multipart::put_part(self, request, upload, bucket).await,
            Operation::CompleteMultipartUpload => {
                multipart::complete(self, request, upload, bucket).await
            }
            Operation::AbortMultipartUpload => multipart::abort(self, request, bucket).await,
            Operation::ListParts => multipart::list_parts(self, request, bucket).await,
        }
    }

    /// Size and SHA-256 of an object of the account; nothing where there is none.
    pub async fn facts(
        &self,
        account: &AccountId,
        bucket: &str,
        key: &str,
    ) -> Result<Option<ObjectFacts>, S3Error> {
        let mut tx = self.store().read().await?;
        let row = tx
            .optional(
                "SELECT o.* FROM s3_object o JOIN s3_bucket b ON b.name = o.bucket
                 WHERE o.bucket = $1 AND o.key = $2 AND b.account = $3",
                &[bucket.into(), key.into(), account.as_str().into()],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let object = ObjectRow::of(&row)?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&object.sha256, &mut sha256)
            .map_err(|_| S3Error::new(Code::InternalError, "a stored digest is damaged"))?;
        Ok(Some(ObjectFacts {
            size: object.size,
            sha256,
        }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.inner.now_ms)()
    }

    pub(crate) fn opened(&self) -> SystemTime {
        self.inner.opened
    }

    pub(crate) fn garbage(&self) -> &Notify {
        &self.inner.garbage
    }

    /// The bucket, if it exists and belongs to the caller's account.
    pub(crate) async fn bucket(&self, name: &str, access: &dyn Access) -> Result<Bucket, S3Error> {
        let mut tx = self.store().read().await?;
        let bucket = find_bucket(&mut tx, name).await?.ok_or_else(|| {
            S3Error::new(
                Code::NoSuchBucket,
                format!("the bucket {name} does not exist"),
            )
        })?;
        if bucket.account != access.caller().account {
            return Err(S3Error::new(
                Code::AccessDenied,
                format!("the bucket {name} belongs to another account"),
            ));
        }
        Ok(bucket)
    }
}

/// A bucket's row.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) name: String,
    pub(crate) tags: Option<String>,
    pub(crate) versioning: Option<String>,
    pub(crate) created_ms: i64,
}

impl Bucket {
    /// Account and region, the first columns of every row in it.
    pub(crate) fn scope(&self) -> [Value; 2] {
        [self.account.as_str().into(), self.region.as_str().into()]
    }
}

pub(crate) async fn find_bucket(tx: &mut Tx, name: &str) -> Result<Option<Bucket>, S3Error> {
    let row = tx
        .optional("SELECT * FROM s3_bucket WHERE name = $1", &[name.into()])
        .await?;
    row.map(|row| bucket_of(&row)).transpose()
}

pub(crate) fn bucket_of(row: &sward_store::Row) -> Result<Bucket, S3Error> {
    let damaged = |_| S3Error::new(Code::InternalError, "a bucket's row is damaged");
    Ok(Bucket {
        account: row.text("account")?.parse().map_err(damaged)?,
        region: row.text("region")?.parse().map_err(damaged)?,
        name: row.text("name")?,
        tags: row.opt_text("tags")?,
        versioning: row.opt_text("versioning")?,
        created_ms: row.int("created_ms")?,
    })
}

/// An object of a bucket, if it exists.
pub(crate) async fn find_object(
    tx: &mut Tx,
    bucket: &str,
    key: &str,
) -> Result<Option<ObjectRow>, S3Error> {
    let row = tx
        .optional(
            "SELECT * FROM s3_object WHERE bucket = $1 AND key = $2",
            &[bucket.into(), key.into()],
        )
        .await?;
    Ok(row.map(|row| ObjectRow::of(&row)).transpose()?)
}

/// Marks a blob as named by no row; the sweeper removes it after the commit.
pub(crate) async fn discard(tx: &mut Tx, bucket: &Bucket, blob: &str) -> Result<(), S3Error> {
    let [account, region] = bucket.scope();
    tx.execute(
        "INSERT INTO s3_garbage (account, region, blob) VALUES ($1, $2, $3)
         ON CONFLICT (blob) DO NOTHING",
        &[account, region, blob.into()],
    )
    .await?;
    Ok(())
}
