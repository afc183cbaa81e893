//! Core devices: what they reported of themselves.

use super::{effective, revisions, tags};
use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::request::{Call, listed, object, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use sward_aws_wire::api::ApiResponse;
use sward_store::{Row, Tx, Value};

struct Device {
    thing: String,
    core_version: Option<String>,
    platform: Option<String>,
    architecture: Option<String>,
    runtime: String,
    status: String,
    updated_ms: i64,
}

impl Device {
    fn read(row: &Row) -> Outcome<Self> {
        Ok(Device {
            thing: row.text("thing")?,
            core_version: row.opt_text("core_version")?,
            platform: row.opt_text("platform")?,
            architecture: row.opt_text("architecture")?,
            runtime: row.text("runtime")?,
            status: row.text("status")?,
            updated_ms: row.int("updated_ms")?,
        })
    }
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let thing = matched.arg(0);
    match matched.name {
        "ListCoreDevices" => list(control, call).await,
        "GetCoreDevice" => get(control, call, thing).await,
        "DeleteCoreDevice" => delete(control, call, thing).await,
        "ListEffectiveDeployments" => effective_deployments(control, call, thing).await,
        "ListInstalledComponents" => installed(control, call, thing).await,
        _ => Err(call.unknown()),
    }
}

fn key(scope: &Scope, thing: &str) -> [Value; 3] {
    [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        thing.into(),
    ]
}

async fn device(tx: &mut Tx, scope: &Scope, thing: &str) -> Outcome<Device> {
    let row = tx
        .optional(
            "SELECT * FROM gg_core_devices WHERE account = $1 AND region = $2 AND thing = $3",
            &key(scope, thing),
        )
        .await?;
    match row {
        Some(row) => Device::read(&row),
        None => Err(Fault::not_found("CORE_DEVICE", thing)
            .help("a core device appears when it reports its status for the first time")),
    }
}

/// Whether a device has ever reported.
pub(super) async fn exists(tx: &mut Tx, scope: &Scope, thing: &str) -> Outcome<bool> {
    Ok(tx
        .optional(
            "SELECT thing FROM gg_core_devices WHERE account = $1 AND region = $2 AND thing = $3",
            &key(scope, thing),
        )
        .await?
        .is_some())
}

fn arn(scope: &Scope, thing: &str) -> String {
    format!(
        "arn:aws:greengrass:{}:{}:coreDevices:{thing}",
        scope.region, scope.account
    )
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 100, 100)?;
    let status = match call.query("status") {
        None => None,
        Some(status @ ("HEALTHY" | "UNHEALTHY")) => Some(status),
        Some(other) => {
            return Err(Fault::field(
                "status",
                format!("\"{other}\" is not HEALTHY or UNHEALTHY"),
            ));
        }
    };
    let runtime = call.query("runtime");
    let scope = &call.scope;
    let mut tx = control.read().await?;
    let of_group: Option<BTreeSet<String>> = match call.query("thingGroupArn") {
        None => None,
        Some(group) => {
            let mut things = BTreeSet::new();
            let rows = tx
                .all(
                    "SELECT thing FROM gg_effective
                     WHERE account = $1 AND region = $2 AND target = $3 AND succeeded = 1",
                    &key(scope, group),
                )
                .await?;
            for row in &rows {
                things.insert(row.text("thing")?);
            }
            Some(things)
        }
    };
    let rows = tx
        .all(
            "SELECT * FROM gg_core_devices WHERE account = $1 AND region = $2 ORDER BY thing",
            &[scope.account.as_str().into(), scope.region.as_str().into()],
        )
        .await?;
    let mut devices = Vec::new();
    for row in &rows {
        let device = Device::read(row)?;
        let wanted = status.is_none_or(|status| device.status == status)
            && runtime.is_none_or(|runtime| device.runtime == runtime)
            && of_group
                .as_ref()
                .is_none_or(|things| things.contains(&device.thing));
        if wanted {
            devices.push(device);
        }
    }
    let (part, token) = page.cut(devices, |device| device.thing.clone());
    let items = part
        .into_iter()
        .map(|device| {
            object([
                ("coreDeviceThingName", Some(json!(device.thing))),
                ("status", Some(json!(device.status))),
                (
                    "lastStatusUpdateTimestamp",
                    Some(seconds(device.updated_ms)),
                ),
                ("platform", device.platform.map(Json::from)),
                ("architecture", device.architecture.map(Json::from)),
                ("runtime", Some(json!(device.runtime))),
            ])
        })
        .collect();
    Ok(listed("coreDevices", items, "nextToken", token))
}

async fn get(control: &Control, call: &Call<'_>, thing: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let device = device(&mut tx, &call.scope, thing).await?;
    let tags = tags::get(&mut tx, &call.scope, &arn(&call.scope, thing)).await?;
    Ok(ok(object([
        ("coreDeviceThingName", Some(json!(device.thing))),
        ("coreVersion", device.core_version.map(Json::from)),
        ("platform", device.platform.map(Json::from)),
        ("architecture", device.architecture.map(Json::from)),
        ("runtime", Some(json!(device.runtime))),
        ("status", Some(json!(device.status))),
        (
            "lastStatusUpdateTimestamp",
            Some(seconds(device.updated_ms)),
        ),
        ("tags", Some(json!(tags))),
    ])))
}

async fn delete(control: &Control, call: &Call<'_>, thing: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    device(&mut tx, scope, thing).await?;
    for row in effective::of_device(&mut tx, scope, thing).await? {
        // A device that never came back from a deployment that was cancelled may go.
        let busy = row.status == "IN_PROGRESS"
            && revisions::deployment(&mut tx, scope, &row.deployment)
                .await?
                .is_some_and(|deployment| deployment.status == "ACTIVE");
        if !busy {
            continue;
        }
        return Err(Fault::conflict(
            "CORE_DEVICE",
            thing,
            format!(
                "deployment {} is in progress on core device {thing}",
                row.deployment
            ),
        )
        .help("cancel the deployment first"));
    }
    for table in [
        "gg_core_devices",
        "gg_installed",
        "gg_effective",
        "gg_status_chunks",
    ] {
        tx.execute(
            &format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND thing = $3"),
            &key(scope, thing),
        )
        .await?;
    }
    tags::clear(&mut tx, scope, &arn(scope, thing)).await?;
    tx.commit().await?;
    Ok(ApiResponse::empty(204))
}

async fn effective_deployments(
    control: &Control,
    call: &Call<'_>,
    thing: &str,
) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 100, 100)?;
    let scope = &call.scope;
    let mut tx = control.read().await?;
    device(&mut tx, scope, thing).await?;
    let rows = effective::of_device(&mut tx, scope, thing).await?;
    let (part, token) = page.cut(rows, |row| row.target.clone());
    let mut items = Vec::new();
    for row in part {
        let deployment = revisions::deployment(&mut tx, scope, &row.deployment).await?;
        let (name, job) = deployment.map_or((None, None), |one| (one.name, one.job));
        let has_errors = !(row.error_stack.is_empty() && row.error_types.is_empty());
        items.push(object([
            ("deploymentId", Some(json!(row.deployment))),
            ("deploymentName", Some(json!(name.unwrap_or_default()))),
            ("iotJobId", job.clone().map(Json::from)),
            (
                "iotJobArn",
                job.map(|job| json!(scope.iot("job", &job).to_string())),
            ),
            ("targetArn", Some(json!(row.target))),
            ("coreDeviceExecutionStatus", Some(json!(row.status))),
            ("reason", row.reason.map(Json::from)),
            ("creationTimestamp", Some(seconds(row.created_ms))),
            ("modifiedTimestamp", Some(seconds(row.modified_ms))),
            (
                "statusDetails",
                has_errors.then(
                    || json!({ "errorStack": row.error_stack, "errorTypes": row.error_types }),
                ),
            ),
        ]));
    }
    Ok(listed("effectiveDeployments", items, "nextToken", token))
}

async fn installed(control: &Control, call: &Call<'_>, thing: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 100, 100)?;
    let all = match call.query("topologyFilter") {
        None | Some("ROOT") => false,
        Some("ALL") => true,
        Some(other) => {
            return Err(Fault::field(
                "topologyFilter",
                format!("\"{other}\" is not ALL or ROOT"),
            ));
        }
    };
    let mut tx = control.read().await?;
    device(&mut tx, &call.scope, thing).await?;
    let rows: Vec<Row> = tx
        .all(
            "SELECT * FROM gg_installed WHERE account = $1 AND region = $2 AND thing = $3
             ORDER BY component",
            &key(&call.scope, thing),
        )
        .await?;
    let mut items = Vec::new();
    for row in &rows {
        let is_root = row.int("is_root")? != 0;
        if !(all || is_root) {
            continue;
        }
        let codes: Json = serde_json::from_str(&row.text("codes")?).unwrap_or_else(|_| json!([]));
        items.push(object([
            ("componentName", Some(json!(row.text("component")?))),
            ("componentVersion", row.opt_text("version")?.map(Json::from)),
            ("lifecycleState", Some(json!(row.text("state")?))),
            (
                "lifecycleStateDetails",
                row.opt_text("details")?.map(Json::from),
            ),
            ("isRoot", Some(json!(is_root))),
            (
                "lastStatusChangeTimestamp",
                Some(seconds(row.int("changed_ms")?)),
            ),
            (
                "lastReportedTimestamp",
                Some(seconds(row.int("reported_ms")?)),
            ),
            (
                "lastInstallationSource",
                row.opt_text("source")?.map(Json::from),
            ),
            ("lifecycleStatusCodes", Some(codes)),
        ]));
    }
    let (part, token) = page.cut(items, |item| item["componentName"].to_string());
    Ok(listed("installedComponents", part, "nextToken", token))
}
