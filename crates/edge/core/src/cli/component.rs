//! `component list|details|restart|stop`.

use super::arguments::{Component, Output};
use super::error::CliError;
use std::io::Write;
use sward_ipc_client::Client;
use sward_ipc_model::{
    ComponentDetails, Empty, GetComponentDetails, GetComponentDetailsRequest, ListComponents,
    RequestStatus, RestartComponent, RestartComponentRequest, StopComponent, StopComponentRequest,
};

pub(super) async fn run(
    command: Component,
    client: &Client,
    stdout: &mut impl Write,
) -> Result<(), CliError> {
    match command {
        Component::List { output } => list(output, client, stdout).await,
        Component::Details { name, output } => details(name, output, client, stdout).await,
        Component::Restart { names } => {
            for name in split_names(&names) {
                let request = RestartComponentRequest {
                    component_name: name.to_owned(),
                };
                let answer = client.call::<RestartComponent>(&request).await?;
                check(answer.restart_status, answer.message, "restart", name)?;
            }
            Ok(())
        }
        Component::Stop { names } => {
            for name in split_names(&names) {
                let request = StopComponentRequest {
                    component_name: name.to_owned(),
                };
                let answer = client.call::<StopComponent>(&request).await?;
                check(answer.stop_status, answer.message, "stop", name)?;
            }
            Ok(())
        }
    }
}

/// Names separated by `,` or `&`, blanks around them ignored.
fn split_names(names: &str) -> impl Iterator<Item = &str> {
    names.split([',', '&']).map(str::trim)
}

fn check(
    status: RequestStatus,
    message: Option<String>,
    verb: &str,
    name: &str,
) -> Result<(), CliError> {
    match status {
        RequestStatus::Succeeded => Ok(()),
        RequestStatus::Failed => {
            Err(CliError::Message(message.unwrap_or_else(|| {
                format!("Failed to {verb} component {name}")
            })))
        }
    }
}

async fn list(output: Output, client: &Client, stdout: &mut impl Write) -> Result<(), CliError> {
    let mut answer = client.call::<ListComponents>(&Empty {}).await?;
    if let Some(components) = &mut answer.components {
        components.sort_by(|a, b| a.component_name.cmp(&b.component_name));
    }
    if output == Output::Json {
        writeln!(stdout, "{}", serde_json::to_string(&answer)?)?;
        return Ok(());
    }
    writeln!(stdout, "Components currently running in Greengrass:")?;
    for component in answer.components.iter().flatten() {
        write_component(component, stdout)?;
    }
    Ok(())
}

async fn details(
    name: String,
    output: Output,
    client: &Client,
    stdout: &mut impl Write,
) -> Result<(), CliError> {
    let request = GetComponentDetailsRequest {
        component_name: name,
    };
    let answer = client.call::<GetComponentDetails>(&request).await?;
    if output == Output::Json {
        writeln!(stdout, "{}", serde_json::to_string(&answer)?)?;
        return Ok(());
    }
    write_component(&answer.component_details, stdout)
}

fn write_component(component: &ComponentDetails, stdout: &mut impl Write) -> Result<(), CliError> {
    let version = component.version.as_deref().unwrap_or("null");
    let configuration = match &component.configuration {
        Some(configuration) => serde_json::to_string(configuration)?,
        None => "null".to_owned(),
    };
    writeln!(stdout, "Component Name: {}", component.component_name)?;
    writeln!(stdout, "    Version: {version}")?;
    writeln!(stdout, "    State: {}", component.state)?;
    writeln!(stdout, "    Configuration: {configuration}")?;
    Ok(())
}
