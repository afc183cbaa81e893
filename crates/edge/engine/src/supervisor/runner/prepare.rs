//! Everything before the start of a script: user, folders, variables. Blocking.

use super::user::{self, Question, Refusal, RunAs};
use super::{MARKER, environment, give, skip};
use crate::supervisor::lifecycle::{Step, StepKind};
use crate::supervisor::spec::Plan;
use crate::supervisor::status::Trouble;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use sward_sys::UserDatabase;
use sward_sys::command::{Isolation, isolate};

/// What holds for all components.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) root: PathBuf,
    /// `setenv` of the root.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) default_user: Option<String>,
    pub(crate) shell: String,
}

/// The command of a step, ready to be spawned; `None` if there is nothing to run.
pub(crate) fn prepare(
    surroundings: &Surroundings,
    plan: &Plan,
    step: StepKind,
    marker: &str,
) -> Result<Option<Command>, Refusal> {
    let Some(found) = plan.lifecycle.step(step) else {
        return Ok(None);
    };
    let Some(script) = &found.script else {
        return Err(Refusal::new(Trouble::NotValid, "it has no script"));
    };
    if is_skipped(surroundings, found)? {
        return Ok(None);
    }
    let run_as = run_as(surroundings, plan, found)?;
    make_folders(plan, step, &run_as)?;
    let variables = environment::build(
        std::env::vars_os(),
        &surroundings.environment,
        &run_as,
        plan,
        step,
    );
    let mut command = Command::new(&surroundings.shell);
    command
        .arg("-c")
        .arg(script)
        .env_clear()
        .envs(variables)
        .env(MARKER, marker)
        .current_dir(&plan.spec.work_directory)
        // Left open: a component that reads its input waits, as under the nucleus.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let identity = match run_as {
        RunAs::Own => None,
        RunAs::Other(account) => Some(account.identity),
    };
    isolate(
        &mut command,
        Isolation {
            identity,
            ..Isolation::default()
        },
    );
    Ok(Some(command))
}

fn is_skipped(surroundings: &Surroundings, step: &Step) -> Result<bool, Refusal> {
    match &step.skip_if {
        None => Ok(false),
        Some(Ok(condition)) => {
            let path = environment::search_path(std::env::var_os("PATH").as_deref());
            Ok(skip::is_skipped(condition, &path, &surroundings.root))
        }
        Some(Err(text)) => Err(Refusal::new(
            Trouble::NotValid,
            format!("its skipif {text:?} is neither \"onpath PROGRAM\" nor \"exists FILE\""),
        )),
    }
}

fn run_as(surroundings: &Surroundings, plan: &Plan, step: &Step) -> Result<RunAs, Refusal> {
    let is_root = sward_sys::is_root();
    // The files are only read where they can matter.
    let users = if is_root {
        UserDatabase::read().map_err(|error| Refusal::new(Trouble::Io, error.to_string()))?
    } else {
        UserDatabase::default()
    };
    let question = Question {
        requires_privilege: step.requires_privilege,
        component_user: plan.spec.posix_user.as_deref(),
        default_user: surroundings.default_user.as_deref(),
        is_root,
        own_user_id: sward_sys::own_user_id(),
        own_group_id: sward_sys::own_group_id(),
    };
    user::resolve(&question, &users)
}

/// The working folder, and what belongs to the component's user in it and in its artifacts.
fn make_folders(plan: &Plan, step: StepKind, run_as: &RunAs) -> Result<(), Refusal> {
    let work = &plan.spec.work_directory;
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| Refusal::new(Trouble::Io, format!("{path}: {error}"))
    };
    if !work.is_dir() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(work.parent().unwrap_or(work))
            .and_then(|()| {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(work)
            })
            .map_err(failed(work))?;
    }
    let RunAs::Other(account) = run_as else {
        return Ok(());
    };
    let is_first_step = match step {
        StepKind::Install | StepKind::Bootstrap => true,
        StepKind::Startup | StepKind::Run => plan.lifecycle.step(StepKind::Install).is_none(),
        _ => false,
    };
    if is_first_step {
        give::whole(work, account).map_err(failed(work))?;
        for folder in &plan.spec.artifact_directories {
            give::content(folder, account).map_err(failed(folder))?;
        }
    }
    Ok(())
}
