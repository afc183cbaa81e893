//! `sward device create`: everything a core device needs, made through the AWS APIs alone.
//!
//! The private key is made here and never leaves the root: the cloud signs a request for it. The
//! root then holds `config.yaml` (what `sward core --root DIR` starts from), `certs/` and nothing
//! that only our own core could read: an AWS nucleus takes the same files by `--init-config`.

mod cloud_side;
mod root_files;

use crate::api::Client;
use crate::cli::{DeviceOptions, Output};
use crate::place::CloudDirectory;
use std::path::PathBuf;
use sward_diagnosis::{Diagnose, Place, Report};
use sward_model::{ThingGroupName, ThingName};

/// What was made.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: ThingName,
    pub(crate) thing_arn: String,
    pub(crate) certificate_arn: String,
    pub(crate) root: PathBuf,
}

/// Runs the command and prints what was made.
pub(crate) async fn create_and_print(options: DeviceOptions) -> Result<(), Report> {
    let output = options.output;
    let device = create(options).await?;
    show(&device, output);
    Ok(())
}

/// Makes the device in the cloud and writes its root.
pub(crate) async fn create(options: DeviceOptions) -> Result<Device, Report> {
    let name: ThingName = options
        .name
        .parse()
        .map_err(|error: sward_model::NameError| {
            error.report().at(Place::Setting {
                name: "NAME".into(),
            })
        })?;
    let groups = options
        .groups
        .iter()
        .map(|group| group.parse())
        .collect::<Result<Vec<ThingGroupName>, _>>()
        .map_err(|error| {
            error.report().at(Place::Setting {
                name: "--group".into(),
            })
        })?;
    let directory = CloudDirectory::find(&options.cloud)?;
    let endpoints = directory.endpoints()?;
    let client = Client::new(&directory)?;

    let root = root_files::Root::prepare(&options.root)?;
    let identity = cloud_side::create_identity(&client, &endpoints, &name, &groups, &root).await?;
    root.write_configuration(&root_files::Configuration {
        thing_name: &name,
        endpoints: &endpoints,
        role_alias: cloud_side::ROLE_ALIAS,
        default_user: options.component_default_user.as_deref(),
        cloud_ca: &directory.ca(),
    })?;
    Ok(Device {
        thing_arn: identity.thing_arn,
        certificate_arn: identity.certificate_arn,
        name,
        root: root.path().to_owned(),
    })
}

fn show(device: &Device, output: Output) {
    crate::environment::say(&match output {
        Output::Json => format!(
            "{:#}\n",
            serde_json::json!({
                "thingName": device.name,
                "thingArn": device.thing_arn,
                "certificateArn": device.certificate_arn,
                "root": device.root,
            })
        ),
        Output::Text => format!(
            "created {}\n  root         {}\n  certificate  {}\nstart it with: sward core --root {}\n",
            device.thing_arn,
            device.root.display(),
            device.certificate_arn,
            crate::environment::quoted(&device.root.display().to_string()),
        ),
    });
}
