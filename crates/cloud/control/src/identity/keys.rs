//! Access keys: the owner's, made at the first start.

use super::schema::GLOBAL;
use super::{IdentifyError, Identity, IdentityError, Rights, Signer, iam_arn};
use sward_aws_wire::api::Caller;
use sward_model::{AccountId, Arn, Region};
use sward_sigv4::SignatureError;
use sward_store::Value;

/// A long-lived access key. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The oldest access key of the account's root user; made now if there is none.
    pub async fn owner_key(&self, account: &AccountId) -> Result<AccessKey, IdentityError> {
        let owner = iam_arn(account, "root");
        let mut tx = self.store().begin().await?;
        let row = tx
            .optional(
                "SELECT access_key_id, secret FROM identity_access_key
                 WHERE account = $1 AND region = $2 AND owner_arn = $3
                 ORDER BY created_ms, access_key_id",
                &[
                    account.as_str().into(),
                    GLOBAL.into(),
                    owner.to_string().into(),
                ],
            )
            .await?;
        if let Some(row) = row {
            return Ok(AccessKey {
                access_key_id: row.text("access_key_id")?,
                secret_access_key: row.text("secret")?,
            });
        }
        let key = AccessKey {
            access_key_id: self.unique_id("AKIA", 16),
            secret_access_key: self.secret(),
        };
        tx.execute(
            "INSERT INTO identity_access_key
             (account, region, access_key_id, secret, owner_arn, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                account.as_str().into(),
                GLOBAL.into(),
                Value::from(&key.access_key_id),
                Value::from(&key.secret_access_key),
                owner.to_string().into(),
                self.now_ms().into(),
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(key)
    }

    pub(super) async fn identify_key(
        &self,
        id: &str,
        region: Region,
    ) -> Result<Signer, IdentifyError> {
        let mut tx = self.store().read().await?;
        let row = tx
            .optional(
                "SELECT account, secret, owner_arn FROM identity_access_key
                 WHERE access_key_id = $1",
                &[Value::from(id)],
            )
            .await?;
        let Some(row) = row else {
            // A session's key without its token is no more known than any other.
            return Err(SignatureError::UnknownKey(id.to_owned()).into());
        };
        let damaged = |_| IdentityError::Damaged { what: "access key" };
        let account: AccountId = row.text("account")?.parse().map_err(damaged)?;
        let arn: Arn = row.text("owner_arn")?.parse().map_err(damaged)?;
        Ok(Signer {
            secret_access_key: row.text("secret")?,
            caller: Caller {
                account,
                region,
                arn,
                credential: id.to_owned(),
            },
            rights: Rights::Owner,
        })
    }
}
