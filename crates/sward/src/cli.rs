//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A private AWS IoT Greengrass: cloud, core devices and their tools.
#[derive(Debug, Parser)]
#[command(
    name = "sward",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Sward {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a private Greengrass with a device and a hello-world component, and follow its log
    Up(UpOptions),
    /// Run the cloud service
    Cloud(sward_server::CloudArgs),
    /// Run a core device (`sward core --help` lists its options)
    #[command(disable_help_flag = true)]
    Core(CoreOptions),
    /// Make things of the device's side
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Print the shell exports for AWS clients: eval "$(sward env)"
    Env(EnvOptions),
}

#[derive(Debug, Args)]
pub(crate) struct CoreOptions {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Folder of all state: cloud in DIR/cloud, devices in DIR/devices/NAME
    #[arg(long, default_value = ".sward", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// How many core devices to run, named core1, core2, …
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) devices: u32,
    /// Port of the AWS APIs [default: as last time, else 8080 or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) api_port: Option<u16>,
    /// Port of the devices' HTTPS and MQTT [default: as last time, else 8443 or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) device_port: Option<u16>,
    /// Port of MQTT [default: as last time, else 8883 or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) mqtt_port: Option<u16>,
    /// Do not deploy the hello-world component
    #[arg(long)]
    pub(crate) no_hello: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Make thing, certificate, policy, role alias and a root folder for `sward core --root DIR`
    Create(DeviceOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DeviceOptions {
    /// Name of the thing
    pub(crate) name: String,
    /// Thing group to join; made if it does not exist; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Root folder of the core to write
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,
    /// User and group, USER[:GROUP], that components run as when the core runs as root
    /// [default: ggc_user:ggc_group where they exist, else nobody]
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) component_default_user: Option<String>,
    #[command(flatten)]
    pub(crate) cloud: CloudPlace,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct EnvOptions {
    #[command(flatten)]
    pub(crate) cloud: CloudPlace,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CloudPlace {
    /// Data directory of the cloud [default: .sward/cloud here or in a folder above]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}
