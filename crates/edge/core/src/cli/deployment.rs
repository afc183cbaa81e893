//! `deployment create|status|list|cancel`.

use super::arguments::{Create, Deployment, Output};
use super::connect;
use super::error::CliError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use sward_ipc_model::{
    CancelLocalDeployment, CancelLocalDeploymentRequest, CreateLocalDeployment,
    CreateLocalDeploymentRequest, Document, Empty, GetLocalDeploymentStatus,
    GetLocalDeploymentStatusRequest, ListLocalDeployments, LocalDeployment, RunWithInfo,
    SystemResourceLimits,
};
use sward_task::Tasks;

pub(super) async fn run(
    command: Deployment,
    root: &Path,
    tasks: &Tasks,
    stdout: &mut impl Write,
) -> Result<(), CliError> {
    match command {
        Deployment::Create(options) => {
            // What is wrong with the options is said whether or not a core runs.
            let request = request(*options)?;
            let client = connect::connect(root, tasks).await?;
            let answer = client.call::<CreateLocalDeployment>(&request).await?;
            let id = answer.deployment_id.unwrap_or_default();
            writeln!(stdout, "Local deployment submitted! Deployment Id: {id}")?;
        }
        Deployment::Status {
            deployment_id,
            output,
        } => {
            let client = connect::connect(root, tasks).await?;
            let request = GetLocalDeploymentStatusRequest {
                deployment_id: Some(deployment_id),
            };
            let answer = client.call::<GetLocalDeploymentStatus>(&request).await?;
            if output == Output::Json {
                writeln!(stdout, "{}", serde_json::to_string(&answer)?)?;
            } else {
                write_status(&answer.deployment, stdout)?;
            }
        }
        Deployment::List { output } => {
            let client = connect::connect(root, tasks).await?;
            let answer = client.call::<ListLocalDeployments>(&Empty {}).await?;
            if output == Output::Json {
                writeln!(stdout, "{}", serde_json::to_string(&answer)?)?;
            } else {
                write_list(answer.local_deployments.as_deref().unwrap_or(&[]), stdout)?;
            }
        }
        Deployment::Cancel { deployment_id } => {
            let client = connect::connect(root, tasks).await?;
            let request = CancelLocalDeploymentRequest {
                deployment_id: Some(deployment_id),
            };
            let answer = client.call::<CancelLocalDeployment>(&request).await?;
            writeln!(stdout, "{}", answer.message.unwrap_or_default())?;
        }
    }
    Ok(())
}

fn write_status(deployment: &LocalDeployment, stdout: &mut impl Write) -> Result<(), CliError> {
    writeln!(
        stdout,
        "{}: {}",
        deployment.deployment_id, deployment.status
    )?;
    if let Some(created_on) = &deployment.created_on {
        writeln!(stdout, "Created on: {created_on}")?;
    }
    let Some(details) = &deployment.deployment_status_details else {
        return Ok(());
    };
    if deployment.status != "FAILED" {
        return Ok(());
    }
    let join = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(", "));
    for (label, value) in [
        (
            "Detailed Status",
            details.detailed_deployment_status.clone(),
        ),
        (
            "Deployment Error Stack",
            join(&details.deployment_error_stack),
        ),
        (
            "Deployment Error Types",
            join(&details.deployment_error_types),
        ),
        (
            "Deployment Failure Cause",
            details.deployment_failure_cause.clone(),
        ),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            writeln!(stdout, "{label}: {value}")?;
        }
    }
    Ok(())
}

fn write_list(deployments: &[LocalDeployment], stdout: &mut impl Write) -> Result<(), CliError> {
    for (index, deployment) in deployments.iter().enumerate() {
        if index > 0 {
            writeln!(stdout)?;
        }
        writeln!(stdout, "Deployment ID: {}", deployment.deployment_id)?;
        if let Some(created_on) = &deployment.created_on {
            writeln!(stdout, "Created on: {created_on}")?;
        }
        writeln!(stdout, "Status: {}", deployment.status)?;
    }
    Ok(())
}

/// The request that the options of `create` mean. No option at all is a request too.
pub(super) fn request(options: Create) -> Result<CreateLocalDeploymentRequest, CliError> {
    let non_empty = |names: Vec<String>| {
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        (!names.is_empty()).then_some(names)
    };
    let versions: BTreeMap<String, String> = options.merge.into_iter().collect();
    let run_with = run_with(options.run_with, options.system_limits.as_deref())?;
    Ok(CreateLocalDeploymentRequest {
        group_name: options.group_id,
        root_component_versions_to_add: (!versions.is_empty()).then_some(versions),
        root_components_to_remove: non_empty(options.remove),
        component_to_configuration: options
            .update_config
            .as_deref()
            .map(update_config)
            .transpose()?,
        component_to_run_with_info: (!run_with.is_empty()).then_some(run_with),
        recipe_directory_path: options.recipe_dir.map(absolute).transpose()?,
        artifacts_directory_path: options.artifact_dir.map(absolute).transpose()?,
        failure_handling_policy: options.failure_handling_policy.map(Into::into),
    })
}

/// A folder as the core must name it: `~/` and relative paths mean something here only.
fn absolute(path: PathBuf) -> Result<String, CliError> {
    let expanded = match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path,
    };
    let absolute = std::path::absolute(&expanded).map_err(|source| CliError::File {
        path: expanded,
        source,
    })?;
    Ok(absolute.display().to_string())
}

/// The content of the file of that name where there is one, else the text itself.
fn file_or_text(text: &str) -> Result<String, CliError> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

fn update_config(text: &str) -> Result<BTreeMap<String, Document>, CliError> {
    let changes: BTreeMap<String, Document> = serde_json::from_str(&file_or_text(text)?)
        .map_err(|error| CliError::UpdateConfig(error.into()))?;
    for (component, change) in &changes {
        for (key, value) in change {
            let is_known = match key.as_str() {
                "MERGE" => value.is_object(),
                "RESET" => value
                    .as_array()
                    .is_some_and(|list| list.iter().all(Value::is_string)),
                _ => false,
            };
            if !is_known {
                let reason = format!(
                    "{component} has \"{key}\", expected are \"MERGE\" with an object \
                     and \"RESET\" with a list of pointers"
                );
                return Err(CliError::UpdateConfig(reason.into()));
            }
        }
    }
    Ok(changes)
}

fn run_with(
    users: Vec<(String, String)>,
    limits: Option<&str>,
) -> Result<BTreeMap<String, RunWithInfo>, CliError> {
    let mut infos: BTreeMap<String, RunWithInfo> = BTreeMap::new();
    for (key, user) in users {
        let Some((component, option)) = key.split_once(':') else {
            return Err(CliError::RunWith(key));
        };
        let info = infos.entry(component.to_owned()).or_default();
        match option {
            "posixUser" => info.posix_user = Some(user),
            "windowsUser" => info.windows_user = Some(user),
            other => return Err(CliError::RunWith(other.to_owned())),
        }
    }
    if let Some(text) = limits {
        let limits: BTreeMap<String, SystemResourceLimits> =
            serde_json::from_str(&file_or_text(text)?).map_err(CliError::SystemLimits)?;
        for (component, limits) in limits {
            infos.entry(component).or_default().system_resource_limits = Some(limits);
        }
    }
    Ok(infos)
}
