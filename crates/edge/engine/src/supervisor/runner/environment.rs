//! The variables a script sees (core-device §3.3), later ones over earlier ones.

use super::MARKER;
use super::user::RunAs;
use crate::supervisor::lifecycle::StepKind;
use crate::supervisor::spec::Plan;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Folders that are always searched.
const STANDARD_PATH: [&str; 4] = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"];

/// Everything but the marker, which the starter adds last.
pub(crate) fn build(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    core: &BTreeMap<String, String>,
    run_as: &RunAs,
    plan: &Plan,
    step: StepKind,
) -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<OsString, OsString> = inherited.into_iter().collect();
    all.remove(OsStr::new(MARKER));
    let path = search_path(all.get(OsStr::new("PATH")).map(OsString::as_os_str));
    all.insert("PATH".into(), path.join(":").into());
    if let RunAs::Other(account) = run_as
        && let Some(user) = &account.user
    {
        for (name, value) in [
            ("HOME", &user.home),
            ("USER", &user.name),
            ("LOGNAME", &user.name),
            ("SHELL", &user.shell),
        ] {
            all.insert(name.into(), value.into());
        }
    }
    let mut set = |name: &str, value: &str| {
        // What no environment can hold is left out; a recipe must not keep a core from starting it.
        if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
            all.insert(name.into(), value.into());
        }
    };
    for map in [&plan.spec.environment, core, &plan.spec.setenv] {
        for (name, value) in map {
            set(name, value);
        }
    }
    if step == StepKind::Uninstall {
        set("GREENGRASS_COMPONENT_VERSION", &plan.spec.version);
    }
    let of_step = plan.lifecycle.step(step).map(|step| &*step.environment);
    for (name, value) in plan
        .lifecycle
        .environment
        .iter()
        .chain(of_step.unwrap_or_default())
    {
        set(name, value);
    }
    all
}

/// The folders of a PATH, each once, with the standard ones behind them.
pub(crate) fn search_path(path: Option<&OsStr>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let given = path.map(OsStr::to_string_lossy).unwrap_or_default();
    for folder in given.split(':').chain(STANDARD_PATH) {
        if !folder.is_empty() && !found.iter().any(|known| known == folder) {
            found.push(folder.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::spec::ComponentSpec;
    use serde_json::json;

    #[test]
    fn inner_settings_win() {
        let lifecycle = json!({
            "setenv": {"A": "lifecycle", "B": "lifecycle", "SVCUID": "mine"},
            "run": {"script": "r", "setenv": {"A": "step", "BAD=NAME": "x"}},
        });
        let mut spec = ComponentSpec::new(
            "c".parse().expect("a name"),
            "1.2.3",
            lifecycle,
            "/work".into(),
        );
        spec.environment = BTreeMap::from([
            ("SVCUID".into(), "token".into()),
            ("D".into(), "token".into()),
        ]);
        spec.setenv = BTreeMap::from([
            ("B".into(), "component".into()),
            ("C".into(), "component".into()),
        ]);
        let core = BTreeMap::from([("C".into(), "core".into()), ("E".into(), "core".into())]);
        let inherited = [
            ("E", "inherited"),
            ("F", "inherited"),
            ("PATH", "/x:/bin:/x"),
            (MARKER, "old"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let plan = Plan::new(spec);
        let all = build(inherited.clone(), &core, &RunAs::Own, &plan, StepKind::Run);
        let get = |name: &str| {
            all.get(OsStr::new(name))
                .map(|value| value.to_string_lossy().into_owned())
        };
        for (name, value) in [
            ("A", "step"),
            ("B", "lifecycle"),
            ("C", "component"),
            ("D", "token"),
            ("E", "core"),
            ("F", "inherited"),
            ("SVCUID", "mine"),
            ("PATH", "/x:/bin:/usr/bin:/sbin:/usr/sbin"),
        ] {
            assert_eq!(get(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(get(MARKER), None);
        assert_eq!(get("BAD=NAME"), None);
        let uninstall = build(inherited, &core, &RunAs::Own, &plan, StepKind::Uninstall);
        let version = uninstall.get(OsStr::new("GREENGRASS_COMPONENT_VERSION"));
        assert_eq!(
            version.map(|value| value.to_string_lossy()),
            Some("1.2.3".into())
        );
    }
}
