//! The command line: AWS's names and short forms.

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use sward_ipc_model::{FailureHandlingPolicy, Qos};

/// Interacts with the Greengrass core software on this device.
#[derive(Debug, Parser)]
#[command(
    name = "greengrass-cli",
    version = super::VERSION,
    propagate_version = true,
    disable_help_subcommand = false
)]
pub(super) struct Cli {
    /// The root of the core; else GGC_ROOT_PATH, else where this program is linked from.
    #[arg(long = "ggcRootPath", global = true, value_name = "PATH")]
    pub(super) root: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Retrieve component information and stop or restart components.
    Component {
        #[command(subcommand)]
        command: Option<Component>,
    },
    /// Create local deployments and ask how they went.
    Deployment {
        #[command(subcommand)]
        command: Option<Deployment>,
    },
    /// Publish and subscribe to local topics.
    Pubsub {
        #[command(subcommand)]
        command: Option<PubSub>,
    },
    /// Publish and subscribe to topics of AWS IoT Core.
    Iotcore {
        #[command(subcommand)]
        command: Option<IotCore>,
    },
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// AWS's lines.
    #[default]
    Text,
    /// The answer of the core as it is, on one line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Component {
    /// Print the components, their versions, states and configurations.
    List {
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Print one component.
    Details {
        #[arg(short, long, value_name = "COMPONENT")]
        name: String,
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Restart components.
    Restart {
        /// Names, separated by commas.
        #[arg(short, long, value_name = "COMPONENTS")]
        names: String,
    },
    /// Stop components.
    Stop {
        /// Names, separated by commas.
        #[arg(short, long, value_name = "COMPONENTS")]
        names: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Deployment {
    /// Create a local deployment.
    Create(Box<Create>),
    /// Print how a deployment went.
    Status {
        #[arg(short = 'i', long = "deploymentId", value_name = "ID")]
        deployment_id: String,
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Print the local deployments.
    List {
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Ask a local deployment to stop.
    Cancel {
        #[arg(short = 'i', long = "deploymentId", value_name = "ID")]
        deployment_id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// A component to deploy, and its version; may be repeated.
    #[arg(short, long, value_name = "NAME=VERSION", value_parser = pair)]
    pub(super) merge: Vec<(String, String)>,
    /// Components to remove, separated by commas; may be repeated.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) remove: Vec<String>,
    /// The thing group whose components are changed.
    #[arg(short, long = "groupId", value_name = "GROUP")]
    pub(super) group_id: Option<String>,
    /// A folder of recipes.
    #[arg(short, long = "recipeDir", value_name = "DIR")]
    pub(super) recipe_dir: Option<PathBuf>,
    /// A folder of artifacts, laid out NAME/VERSION/FILE.
    #[arg(short, long = "artifactDir", value_name = "DIR")]
    pub(super) artifact_dir: Option<PathBuf>,
    /// The user and group that run a component; may be repeated.
    #[arg(long = "runWith", value_name = "NAME:posixUser=USER[:GROUP]", value_parser = pair)]
    pub(super) run_with: Vec<(String, String)>,
    /// Limits of components, as JSON or a file of it.
    #[arg(long = "systemLimits", value_name = "JSON")]
    pub(super) system_limits: Option<String>,
    /// Changes of components' configurations, as JSON or a file of it:
    /// {NAME: {"MERGE": {…}, "RESET": ["/pointer"]}}.
    #[arg(short = 'c', long = "update-config", value_name = "JSON")]
    pub(super) update_config: Option<String>,
    /// What to do when the deployment fails (short: -fp).
    #[arg(long = "failure-handling-policy", value_name = "POLICY", value_enum)]
    pub(super) failure_handling_policy: Option<Policy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Policy {
    #[value(name = "ROLLBACK")]
    Rollback,
    #[value(name = "DO_NOTHING")]
    DoNothing,
}

impl From<Policy> for FailureHandlingPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Rollback => FailureHandlingPolicy::Rollback,
            Policy::DoNothing => FailureHandlingPolicy::DoNothing,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PubSub {
    /// Publish a message, or the content of a file.
    Pub {
        #[arg(short, long)]
        topic: String,
        #[arg(short, long)]
        message: String,
    },
    /// Print the messages of a topic until the core stops.
    Sub {
        #[arg(short, long)]
        topic: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum IotCore {
    /// Publish a message, or the content of a file.
    Pub {
        #[arg(short, long)]
        topic: String,
        #[arg(short, long)]
        message: String,
        #[arg(short, long, value_enum, default_value = "0")]
        qos: QosArgument,
    },
    /// Print the messages of a topic until the core stops.
    Sub {
        #[arg(short, long)]
        topic: String,
        #[arg(short, long, value_enum, default_value = "0")]
        qos: QosArgument,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum QosArgument {
    #[value(name = "0")]
    AtMostOnce,
    #[value(name = "1")]
    AtLeastOnce,
}

impl From<QosArgument> for Qos {
    fn from(qos: QosArgument) -> Self {
        match qos {
            QosArgument::AtMostOnce => Qos::AtMostOnce,
            QosArgument::AtLeastOnce => Qos::AtLeastOnce,
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("\"{text}\" should be in KEY=VALUE format")),
    }
}

/// Short forms of two letters, which our parser cannot take, as their long ones.
pub(super) fn spell_out(arguments: Vec<OsString>) -> Vec<OsString> {
    let policy = "--failure-handling-policy";
    arguments
        .into_iter()
        .map(|argument| match argument.to_str() {
            Some("-fp") => policy.into(),
            Some(text) => match text.strip_prefix("-fp=") {
                Some(value) => format!("{policy}={value}").into(),
                None => argument,
            },
            None => argument,
        })
        .collect()
}

/// The usage of a command.
pub(super) fn usage(path: &[&str]) -> String {
    let mut command = Cli::command();
    command.build();
    let mut found = &mut command;
    for name in path {
        found = match found.find_subcommand_mut(name) {
            Some(inner) => inner,
            None => return String::new(),
        };
    }
    found.render_help().to_string()
}
