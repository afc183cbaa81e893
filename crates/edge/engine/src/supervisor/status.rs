//! What the supervisor tells: states, status codes, failures.

use super::lifecycle::StepKind;
use sward_model::{ComponentName, ComponentState};

/// Why a component is in its state (core-device §4.6), spelled as the cloud sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusCode {
    None,
    InstallError,
    InstallConfigNotValid,
    InstallIoError,
    InstallMissingDefaultRunWith,
    InstallTimeout,
    StartupError,
    StartupConfigNotValid,
    StartupIoError,
    StartupMissingDefaultRunWith,
    StartupTimeout,
    RunError,
    RunMissingDefaultRunWith,
    RunConfigNotValid,
    RunIoError,
    RunTimeout,
    ShutdownError,
    ShutdownTimeout,
    UninstallTimeout,
    UninstallError,
}

impl StatusCode {
    /// The public spelling, such as `RUN_ERROR`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StatusCode::None => "NONE",
            StatusCode::InstallError => "INSTALL_ERROR",
            StatusCode::InstallConfigNotValid => "INSTALL_CONFIG_NOT_VALID",
            StatusCode::InstallIoError => "INSTALL_IO_ERROR",
            StatusCode::InstallMissingDefaultRunWith => "INSTALL_MISSING_DEFAULT_RUNWITH",
            StatusCode::InstallTimeout => "INSTALL_TIMEOUT",
            StatusCode::StartupError => "STARTUP_ERROR",
            StatusCode::StartupConfigNotValid => "STARTUP_CONFIG_NOT_VALID",
            StatusCode::StartupIoError => "STARTUP_IO_ERROR",
            StatusCode::StartupMissingDefaultRunWith => "STARTUP_MISSING_DEFAULT_RUNWITH",
            StatusCode::StartupTimeout => "STARTUP_TIMEOUT",
            StatusCode::RunError => "RUN_ERROR",
            StatusCode::RunMissingDefaultRunWith => "RUN_MISSING_DEFAULT_RUNWITH",
            StatusCode::RunConfigNotValid => "RUN_CONFIG_NOT_VALID",
            StatusCode::RunIoError => "RUN_IO_ERROR",
            StatusCode::RunTimeout => "RUN_TIMEOUT",
            StatusCode::ShutdownError => "SHUTDOWN_ERROR",
            StatusCode::ShutdownTimeout => "SHUTDOWN_TIMEOUT",
            StatusCode::UninstallTimeout => "UNINSTALL_TIMEOUT",
            StatusCode::UninstallError => "UNINSTALL_ERROR",
        }
    }

    /// The code of an error that a component reports of itself.
    pub(crate) fn of_state(state: ComponentState) -> StatusCode {
        match state {
            ComponentState::New | ComponentState::Installed => StatusCode::InstallError,
            ComponentState::Starting => StatusCode::StartupError,
            ComponentState::Running => StatusCode::RunError,
            ComponentState::Stopping => StatusCode::ShutdownError,
            ComponentState::Errored | ComponentState::Broken | ComponentState::Finished => {
                StatusCode::None
            }
        }
    }

    pub(crate) fn of_step(step: StepKind, trouble: Trouble) -> StatusCode {
        use StepKind::{Install, Run, Startup};
        match (step, trouble) {
            (Install, Trouble::Exit) => StatusCode::InstallError,
            (Install, Trouble::Timeout) => StatusCode::InstallTimeout,
            (Install, Trouble::NotValid) => StatusCode::InstallConfigNotValid,
            (Install, Trouble::Io) => StatusCode::InstallIoError,
            (Install, Trouble::NoUser) => StatusCode::InstallMissingDefaultRunWith,
            (Startup, Trouble::Exit) => StatusCode::StartupError,
            (Startup, Trouble::Timeout) => StatusCode::StartupTimeout,
            (Startup, Trouble::NotValid) => StatusCode::StartupConfigNotValid,
            (Startup, Trouble::Io) => StatusCode::StartupIoError,
            (Startup, Trouble::NoUser) => StatusCode::StartupMissingDefaultRunWith,
            (Run, Trouble::Exit) => StatusCode::RunError,
            (Run, Trouble::Timeout) => StatusCode::RunTimeout,
            (Run, Trouble::NotValid) => StatusCode::RunConfigNotValid,
            (Run, Trouble::Io) => StatusCode::RunIoError,
            (Run, Trouble::NoUser) => StatusCode::RunMissingDefaultRunWith,
            (StepKind::Shutdown, Trouble::Timeout) => StatusCode::ShutdownTimeout,
            (StepKind::Shutdown, _) => StatusCode::ShutdownError,
            (StepKind::Uninstall, Trouble::Timeout) => StatusCode::UninstallTimeout,
            (StepKind::Uninstall, _) => StatusCode::UninstallError,
            (StepKind::Bootstrap | StepKind::Recover, _) => StatusCode::None,
        }
    }
}

/// What kept a step from ending well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It ended with another code than 0, or by a signal.
    Exit,
    /// It took longer than it may.
    Timeout,
    /// The recipe's text for it cannot be understood.
    NotValid,
    /// The operating system refused to start it.
    Io,
    /// No user is known to run it as.
    NoUser,
}

/// How a step failed, with what a person needs to see why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: StatusCode,
    /// One sentence, such as `startup script exited with code 1`.
    pub reason: String,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// The last lines it printed, oldest first; those of stderr where it printed any there.
    pub last_output: Vec<String>,
}

/// A component as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentStatus {
    pub name: ComponentName,
    pub version: String,
    pub is_root: bool,
    pub is_builtin: bool,
    pub state: ComponentState,
    /// Of the last failure while ERRORED or BROKEN, else `NONE`.
    pub status_code: StatusCode,
    /// In words: why it failed, or what an INSTALLED one waits for; empty where there is nothing
    /// to say.
    pub status_reason: String,
    /// The last failure, kept until the component runs or finishes again.
    pub failure: Option<Failure>,
    /// Nothing more will happen by itself: it runs or has finished as wanted, or it is BROKEN.
    pub is_settled: bool,
}

/// A component changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChanged {
    pub component: ComponentName,
    pub version: String,
    pub previous: ComponentState,
    pub state: ComponentState,
    pub status_code: StatusCode,
    pub status_reason: String,
    pub exit_code: Option<i32>,
    /// It was removed; this is its last event.
    pub is_removed: bool,
}

/// How a wait for components ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All run or have finished.
    Fine,
    /// One is BROKEN.
    Broken(Box<ComponentStatus>),
    /// The deadline passed; these were not there yet.
    TimedOut(Vec<ComponentStatus>),
}

/// How a single step ended that was run outside of the state machine (`bootstrap`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// There is no such step, or it is skipped.
    Nothing,
    /// It ended by itself with this code.
    Exited(i32),
    Failed(Failure),
}
