//! Device certificates: made by us, signed from a request, or registered as they are.

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot::authority::common_name;
use crate::iot::own_arn;
use crate::iot::x509::{self, CertificateFacts};
use crate::request::{Call, listed, object, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sward_aws_wire::api::ApiResponse;
use sward_store::{Row, Tx, Value};

const ACTIVE: &str = "ACTIVE";
const INACTIVE: &str = "INACTIVE";
/// What AWS writes into the certificates it makes.
const SUBJECT: &str = "AWS IoT Certificate";

/// One registered certificate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CertificateRow {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) pem: String,
    pub(crate) ca_id: Option<String>,
    pub(crate) mode: String,
    pub(crate) not_before_ms: i64,
    pub(crate) not_after_ms: i64,
    pub(crate) created_ms: i64,
    pub(crate) modified_ms: i64,
}

impl CertificateRow {
    fn read(row: &Row) -> Outcome<Self> {
        Ok(CertificateRow {
            id: row.text("id")?,
            status: row.text("status")?,
            pem: row.text("pem")?,
            ca_id: row.opt_text("ca_id")?,
            mode: row.text("mode")?,
            not_before_ms: row.int("not_before_ms")?,
            not_after_ms: row.int("not_after_ms")?,
            created_ms: row.int("created_ms")?,
            modified_ms: row.int("modified_ms")?,
        })
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == ACTIVE
    }
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let id = matched.arg(0);
    match matched.name {
        "CreateKeysAndCertificate" => create_with_keys(control, call).await,
        "CreateCertificateFromCsr" => create_from_csr(control, call).await,
        "RegisterCertificateWithoutCA" => register(control, call).await,
        "RegisterCertificate" => Err(Fault::new(
            Refusal::Unsupported,
            "no CA certificate of yours is registered",
        )
        .help("use register-certificate-without-ca")),
        "ListCertificates" => list(control, call).await,
        "DescribeCertificate" => describe(control, call, id).await,
        "UpdateCertificate" => update(control, call, id).await,
        "DeleteCertificate" => delete(control, call, id).await,
        _ => Err(call.unknown()),
    }
}

/// The certificate of that id.
pub(crate) async fn certificate(
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
) -> Outcome<Option<CertificateRow>> {
    let row = tx
        .optional(
            "SELECT * FROM iot_certificates WHERE account = $1 AND region = $2 AND id = $3",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                id.into(),
            ],
        )
        .await?;
    row.as_ref().map(CertificateRow::read).transpose()
}

async fn existing(tx: &mut Tx, scope: &Scope, id: &str) -> Outcome<CertificateRow> {
    certificate(tx, scope, id)
        .await?
        .ok_or_else(|| Fault::not_found("certificate", id))
}

/// The certificate that a principal's ARN names.
pub(super) async fn of_principal(
    tx: &mut Tx,
    scope: &Scope,
    principal: &str,
) -> Outcome<CertificateRow> {
    let arn = own_arn(scope, "principal", principal)?;
    let Some(id) = arn.resource_after("cert/") else {
        return Err(Fault::field(
            "principal",
            format!("principal {principal} is not a certificate"),
        ));
    };
    existing(tx, scope, id).await
}

/// Every registration of a certificate, whatever account and region it is in.
pub(crate) async fn by_fingerprint(tx: &mut Tx, id: &str) -> Outcome<Vec<(Scope, CertificateRow)>> {
    let rows = tx
        .all(
            "SELECT * FROM iot_certificates WHERE id = $1 ORDER BY account, region",
            &[id.into()],
        )
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        let (Ok(account), Ok(region)) = (row.text("account")?.parse(), row.text("region")?.parse())
        else {
            continue;
        };
        found.push((Scope { account, region }, CertificateRow::read(row)?));
    }
    Ok(found)
}

struct New<'a> {
    der: &'a [u8],
    status: &'a str,
    ca_id: Option<&'a str>,
    mode: &'a str,
}

async fn insert(control: &Control, scope: &Scope, new: New<'_>) -> Outcome<(String, String)> {
    let facts = CertificateFacts::read(new.der)
        .ok_or_else(|| Fault::field("certificatePem", "the certificate is not X.509"))?;
    let id = x509::fingerprint(new.der);
    let pem = x509::der_to_pem(new.der);
    let now = control.now_ms();
    let mut tx = control.write().await?;
    if certificate(&mut tx, scope, &id).await?.is_some() {
        return Err(Fault::new(
            Refusal::AlreadyExists,
            format!("certificate {id} is registered already"),
        )
        .with("resourceId", id.as_str())
        .with("resourceArn", scope.iot("cert", &id).to_string()));
    }
    tx.execute(
        "INSERT INTO iot_certificates (account, region, id, status, pem, der, ca_id, mode,
            not_before_ms, not_after_ms, created_ms, modified_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            Value::from(&id),
            new.status.into(),
            Value::from(&pem),
            new.der.into(),
            new.ca_id.into(),
            new.mode.into(),
            facts.not_before_ms.into(),
            facts.not_after_ms.into(),
            now.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    // Nobody can be connected with it yet, so the directory's watchers need not ask again.
    Ok((id, pem))
}

fn status_of(active: bool) -> &'static str {
    if active { ACTIVE } else { INACTIVE }
}

async fn create_with_keys(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let active = call.flag("setAsActive")?;
    let key = control.keys().take().await?;
    let authority = control.authority();
    let der = authority
        .device_certificate(&key.public_der, common_name(SUBJECT), control.now_ms())
        .map_err(|error| Fault::of(Refusal::Internal, &error))?;
    let new = New {
        der: &der,
        status: status_of(active),
        ca_id: Some(authority.id()),
        mode: "DEFAULT",
    };
    let (id, pem) = insert(control, &call.scope, new).await?;
    Ok(ok(json!({
        "certificateArn": call.scope.iot("cert", &id).to_string(),
        "certificateId": id,
        "certificatePem": pem,
        "keyPair": { "PublicKey": key.public_pem, "PrivateKey": key.private_pem },
    })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CsrBody {
    certificate_signing_request: String,
}

async fn create_from_csr(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let active = call.flag("setAsActive")?;
    let body: CsrBody = call.body()?;
    let request = x509::signing_request(&body.certificate_signing_request)?;
    let authority = control.authority();
    let subject = if request.subject.iter().next().is_none() {
        common_name(SUBJECT)
    } else {
        request.subject
    };
    let der = authority
        .device_certificate(&request.public_key, subject, control.now_ms())
        .map_err(|error| {
            let mut fault = Fault::field(
                "certificateSigningRequest",
                "the public key is of a kind that cannot be signed",
            );
            fault.report = fault.report.caused_by(&error);
            fault
        })?;
    let new = New {
        der: &der,
        status: status_of(active),
        ca_id: Some(authority.id()),
        mode: "DEFAULT",
    };
    let (id, pem) = insert(control, &call.scope, new).await?;
    Ok(ok(json!({
        "certificateArn": call.scope.iot("cert", &id).to_string(),
        "certificateId": id,
        "certificatePem": pem,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterBody {
    certificate_pem: String,
    #[serde(default)]
    status: Option<String>,
}

async fn register(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let body: RegisterBody = call.body()?;
    let der = x509::pem_to_der(&body.certificate_pem)
        .ok_or_else(|| Fault::field("certificatePem", "the certificate is not PEM"))?;
    let status = match body.status.as_deref() {
        None => ACTIVE,
        Some(status @ (ACTIVE | INACTIVE | "REVOKED")) => status,
        Some(other) => return Err(bad_status(other)),
    };
    let new = New {
        der: &der,
        status,
        ca_id: None,
        mode: "SNI_ONLY",
    };
    let (id, _) = insert(control, &call.scope, new).await?;
    Ok(ok(json!({
        "certificateArn": call.scope.iot("cert", &id).to_string(),
        "certificateId": id,
    })))
}

fn bad_status(status: &str) -> Fault {
    Fault::field(
        "newStatus",
        format!("\"{status}\" is not one of ACTIVE, INACTIVE, REVOKED"),
    )
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["pageSize"], &["marker"], 25, 250)?;
    let mut tx = control.read().await?;
    let rows = tx
        .all(
            "SELECT * FROM iot_certificates WHERE account = $1 AND region = $2
             ORDER BY created_ms, id",
            &[
                call.scope.account.as_str().into(),
                call.scope.region.as_str().into(),
            ],
        )
        .await?;
    let mut certificates = rows
        .iter()
        .map(CertificateRow::read)
        .collect::<Outcome<Vec<_>>>()?;
    if !call.flag("isAscendingOrder")? {
        certificates.reverse();
    }
    let (part, token) = page.cut(certificates, |row| row.id.clone());
    let items = part
        .into_iter()
        .map(|row| {
            json!({
                "certificateArn": call.scope.iot("cert", &row.id).to_string(),
                "certificateId": row.id,
                "status": row.status,
                "certificateMode": row.mode,
                "creationDate": seconds(row.created_ms),
            })
        })
        .collect();
    Ok(listed("certificates", items, "nextMarker", token))
}

async fn describe(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let row = existing(&mut tx, &call.scope, id).await?;
    let description = object([
        (
            "certificateArn",
            Some(json!(call.scope.iot("cert", &row.id).to_string())),
        ),
        ("certificateId", Some(json!(row.id))),
        ("caCertificateId", row.ca_id.map(Json::from)),
        ("status", Some(json!(row.status))),
        ("certificatePem", Some(json!(row.pem))),
        ("ownedBy", Some(json!(call.scope.account.as_str()))),
        ("creationDate", Some(seconds(row.created_ms))),
        ("lastModifiedDate", Some(seconds(row.modified_ms))),
        ("customerVersion", Some(json!(1))),
        ("transferData", Some(json!({}))),
        (
            "validity",
            Some(json!({
                "notBefore": seconds(row.not_before_ms),
                "notAfter": seconds(row.not_after_ms),
            })),
        ),
        ("certificateMode", Some(json!(row.mode))),
    ]);
    Ok(ok(json!({ "certificateDescription": description })))
}

async fn update(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let status = match call.query("newStatus") {
        Some(status @ (ACTIVE | INACTIVE | "REVOKED")) => status,
        other => return Err(bad_status(other.unwrap_or(""))),
    };
    let scope = &call.scope;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, id).await?;
    tx.execute(
        "UPDATE iot_certificates SET status = $4, modified_ms = $5
         WHERE account = $1 AND region = $2 AND id = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            id.into(),
            status.into(),
            control.now_ms().into(),
        ],
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn delete(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let force = call.flag("forceDelete")?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, id).await?;
    if row.is_active() {
        return Err(Fault::new(
            Refusal::CertificateState,
            format!("certificate {id} is ACTIVE"),
        )
        .help("set it to INACTIVE before deleting it"));
    }
    let arn = scope.iot("cert", id).to_string();
    let args: [Value; 3] = [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        id.into(),
    ];
    let things = tx
        .all(
            "SELECT thing FROM iot_thing_principals
             WHERE account = $1 AND region = $2 AND certificate = $3",
            &args,
        )
        .await?;
    if let Some(thing) = things.first() {
        return Err(Fault::new(
            Refusal::DeleteConflict,
            format!(
                "certificate {id} is attached to thing {}",
                thing.text("thing")?
            ),
        )
        .help("detach it from its things first"));
    }
    let target: [Value; 3] = [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        Value::from(&arn),
    ];
    let policies = tx
        .all(
            "SELECT policy FROM iot_policy_targets
             WHERE account = $1 AND region = $2 AND target = $3",
            &target,
        )
        .await?;
    if let Some(policy) = policies.first().filter(|_| !force) {
        return Err(Fault::new(
            Refusal::DeleteConflict,
            format!(
                "policy {} is attached to certificate {id}",
                policy.text("policy")?
            ),
        )
        .help("detach its policies first, or force the deletion"));
    }
    tx.execute(
        "DELETE FROM iot_policy_targets WHERE account = $1 AND region = $2 AND target = $3",
        &target,
    )
    .await?;
    tx.execute(
        "DELETE FROM iot_certificates WHERE account = $1 AND region = $2 AND id = $3",
        &args,
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}
