//! The first deployment: a hello-world component, through the cloud's API like any other.

use super::progress::Progress;
use crate::api::Client;
use crate::place::Endpoints;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use sward_diagnosis::{Diagnose as _, Kind, Place, Report};

/// The component's name.
pub(super) const COMPONENT: &str = "com.example.HelloWorld";
const VERSION: &str = "1.0.0";
const RECIPE: &str = include_str!("../../../../examples/hello-world/recipe.yaml");
/// How long the first deployment may take before we stop waiting (it goes on by itself).
const DEADLINE: Duration = Duration::from_secs(60);

/// Deploys the component to the device, unless this folder has seen that already.
pub(super) async fn deploy_once(
    client: &Client,
    endpoints: &Endpoints,
    device: &str,
    directory: &Path,
    progress: &Progress,
) -> Result<(), Report> {
    let marker = directory.join("hello-world.deployed");
    if marker.exists() {
        return Ok(());
    }
    let mut step = progress.begin(&format!("deploying {COMPONENT} to {device}"));
    create_component(client).await?;
    let deployment = create_deployment(client, endpoints, device).await?;
    let began = Instant::now();
    loop {
        let status = status_of(client, device, &deployment).await?;
        match status.as_deref() {
            Some("COMPLETED" | "SUCCEEDED") => break,
            Some(failed @ ("FAILED" | "REJECTED" | "CANCELED")) => {
                return Err(Report::new(
                    Kind::Component,
                    "hello-world",
                    format!("the first deployment ended as {failed}"),
                )
                .at(Place::file(
                    directory.join("devices").join(device).join("logs"),
                )));
            }
            other => step.update(&format!(
                "deploying {COMPONENT} to {device}: {}",
                other.unwrap_or("waiting for the device")
            )),
        }
        if began.elapsed() > DEADLINE {
            return Err(Report::new(
                Kind::Timeout,
                "hello-world",
                "the device does not report the deployment",
            )
            .at(Place::file(
                directory.join("devices").join(format!("{device}.out")),
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(&marker, &deployment).map_err(|error| {
        Report::new(
            Kind::Device,
            "hello-world",
            "cannot remember the first deployment",
        )
        .at(Place::file(&marker))
        .caused_by_error(&error)
    })?;
    step.done(&format!("{COMPONENT} {VERSION} is deployed to {device}"));
    Ok(())
}

async fn create_component(client: &Client) -> Result<(), Report> {
    use base64::Engine as _;
    let recipe = base64::engine::general_purpose::STANDARD.encode(RECIPE);
    let body = json!({ "inlineRecipe": recipe });
    match client
        .json(
            "greengrass",
            "POST",
            "/greengrass/v2/createComponentVersion",
            &body,
        )
        .await
    {
        Ok(_) => Ok(()),
        // A start that was interrupted has made it already.
        Err(refusal) if refusal.code() == Some("ConflictException") => Ok(()),
        Err(refusal) => Err(refusal.report()),
    }
}

async fn create_deployment(
    client: &Client,
    endpoints: &Endpoints,
    device: &str,
) -> Result<String, Report> {
    let body = json!({
        "targetArn": format!("arn:aws:iot:{}:{}:thing/{device}", endpoints.region, endpoints.account),
        "deploymentName": "hello-world",
        "components": { COMPONENT: { "componentVersion": VERSION } },
    });
    let answer = client
        .json("greengrass", "POST", "/greengrass/v2/deployments", &body)
        .await?;
    answer["deploymentId"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| {
            Report::new(
                Kind::Internal,
                "api-answer",
                "the cloud's answer lacks deploymentId",
            )
        })
}

/// The execution status of the deployment on the device; none before the device was heard of.
async fn status_of(
    client: &Client,
    device: &str,
    deployment: &str,
) -> Result<Option<String>, Report> {
    let path = format!("/greengrass/v2/coreDevices/{device}/effectiveDeployments");
    let answer = match client.json("greengrass", "GET", &path, &Value::Null).await {
        Ok(answer) => answer,
        Err(refusal) if refusal.is_missing() => return Ok(None),
        Err(refusal) => return Err(refusal.report()),
    };
    Ok(answer["effectiveDeployments"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row["deploymentId"] == deployment)
        .and_then(|row| row["coreDeviceExecutionStatus"].as_str())
        .map(str::to_owned))
}
