//! Client tokens: a create call that is repeated gets its first answer again.

use crate::fault::{Fault, Outcome};
use crate::scope::Scope;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use sward_aws_wire::api::ApiResponse;
use sward_store::{Tx, Value};

/// How long an answer is kept.
const LIFE_MS: i64 = 8 * 3_600_000;

/// A create call with its token, if it has one.
pub(super) struct Once<'a> {
    operation: &'static str,
    token: Option<&'a str>,
    request: String,
}

impl<'a> Once<'a> {
    /// Checks the token's form. The request's identity is the hash of its body.
    pub(super) fn new(
        operation: &'static str,
        token: Option<&'a str>,
        body: &[u8],
    ) -> Outcome<Self> {
        let good = |token: &str| {
            (1..=64).contains(&token.len())
                && token
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if let Some(token) = token.filter(|token| !good(token)) {
            return Err(Fault::field(
                "clientToken",
                format!("\"{token}\" is not 1 to 64 letters, digits and '-'"),
            ));
        }
        Ok(Once {
            operation,
            token,
            request: hex::encode(Sha256::digest(body)),
        })
    }

    /// The first answer, when this very call was answered before.
    pub(super) async fn earlier(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        now: i64,
    ) -> Outcome<Option<ApiResponse>> {
        let Some(token) = self.token else {
            return Ok(None);
        };
        let found = tx
            .optional(
                "SELECT request, response FROM gg_tokens WHERE account = $1 AND region = $2
                 AND operation = $3 AND token = $4 AND created_ms > $5",
                &[
                    scope.account.as_str().into(),
                    scope.region.as_str().into(),
                    self.operation.into(),
                    token.into(),
                    (now - LIFE_MS).into(),
                ],
            )
            .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        if row.text("request")? != self.request {
            return Err(Fault::conflict(
                "clientToken",
                token,
                format!("client token {token} was used for another request"),
            ));
        }
        let body: Json = serde_json::from_str(&row.text("response")?).unwrap_or_default();
        Ok(Some(ApiResponse::json(201, &body)))
    }

    /// Keeps the answer.
    pub(super) async fn keep(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        response: &Json,
        now: i64,
    ) -> Outcome<()> {
        let Some(token) = self.token else {
            return Ok(());
        };
        tx.execute(
            "DELETE FROM gg_tokens WHERE created_ms <= $1",
            &[(now - LIFE_MS).into()],
        )
        .await?;
        tx.execute(
            "INSERT INTO gg_tokens
             (account, region, operation, token, request, response, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                self.operation.into(),
                token.into(),
                Value::from(&self.request),
                response.to_string().into(),
                now.into(),
            ],
        )
        .await?;
        Ok(())
    }
}
