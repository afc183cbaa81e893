//! What a recipe's lifecycle says, made ready to run (core-device §1.9).
//!
//! Reading never fails: a step that is wrong fails when it is run, with the status code of its own
//! (`RUN_CONFIG_NOT_VALID` …), as components expect. Keys match ignoring case.

use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// A lifecycle step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepKind {
    Bootstrap,
    Install,
    Startup,
    Run,
    Shutdown,
    Recover,
    Uninstall,
}

impl StepKind {
    /// The name in a recipe, lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StepKind::Bootstrap => "bootstrap",
            StepKind::Install => "install",
            StepKind::Startup => "startup",
            StepKind::Run => "run",
            StepKind::Shutdown => "shutdown",
            StepKind::Recover => "recover",
            StepKind::Uninstall => "uninstall",
        }
    }

    /// What it may take where the recipe says nothing; `None` for as long as it likes.
    fn default_timeout(self) -> Option<Duration> {
        let seconds = match self {
            StepKind::Run => return None,
            StepKind::Shutdown => 15,
            StepKind::Recover => 60,
            StepKind::Bootstrap | StepKind::Install | StepKind::Startup | StepKind::Uninstall => {
                120
            }
        };
        Some(Duration::from_secs(seconds))
    }

    const ALL: [StepKind; 7] = [
        StepKind::Bootstrap,
        StepKind::Install,
        StepKind::Startup,
        StepKind::Run,
        StepKind::Shutdown,
        StepKind::Recover,
        StepKind::Uninstall,
    ];
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When a step is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// A program of this name is on the PATH.
    OnPath(String),
    /// A file exists.
    Exists(String),
}

/// A `Skipif`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkipIf {
    pub(crate) is_negated: bool,
    pub(crate) condition: Condition,
}

/// One step as it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The script; `None` where a map has none, which is a fault.
    pub(crate) script: Option<String>,
    /// The key path of the script below the component, such as `lifecycle.run.Script`.
    pub(crate) script_name: String,
    pub(crate) requires_privilege: bool,
    /// `Err` holds the text that cannot be understood.
    pub(crate) skip_if: Option<Result<SkipIf, String>>,
    pub(crate) timeout: Option<Duration>,
    /// Variables in the order written.
    pub(crate) environment: Vec<(String, String)>,
}

/// A whole lifecycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifecycle {
    steps: Vec<(StepKind, Step)>,
    /// Variables of all steps.
    pub(crate) environment: Vec<(String, String)>,
    /// After so long without an error the count of errors starts anew; an hour where unset.
    pub(crate) error_reset: Option<Duration>,
}

impl Lifecycle {
    /// Reads the selected and interpolated lifecycle of a component.
    #[must_use]
    pub(crate) fn read(value: &Value) -> Lifecycle {
        let Value::Object(map) = value else {
            return Lifecycle::default();
        };
        let steps = StepKind::ALL
            .into_iter()
            .filter_map(|kind| {
                let (key, value) = entry(map, kind.as_str())?;
                Some((kind, read_step(kind, key, value)?))
            })
            .collect();
        Lifecycle {
            steps,
            environment: environment(find(map, "setenv")),
            error_reset: find(map, "errorResetTime").and_then(seconds),
        }
    }

    /// A step that would do something.
    #[must_use]
    pub(crate) fn step(&self, kind: StepKind) -> Option<&Step> {
        self.steps
            .iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, step)| step)
    }
}

fn read_step(kind: StepKind, key: &str, value: &Value) -> Option<Step> {
    let plain = |script: String| Step {
        script: Some(script),
        script_name: format!("lifecycle.{key}"),
        requires_privilege: false,
        skip_if: None,
        timeout: kind.default_timeout(),
        environment: Vec::new(),
    };
    let map = match value {
        Value::Null => return None,
        Value::Object(map) if map.is_empty() => return None,
        Value::Object(map) => map,
        other => {
            let script = text(other);
            return (!script.is_empty()).then(|| plain(script));
        }
    };
    let script = entry(map, "script");
    let is_empty = script.is_some_and(|(_, value)| text(value).is_empty());
    if is_empty {
        return None;
    }
    Some(Step {
        script: script.map(|(_, value)| text(value)),
        script_name: script.map_or(format!("lifecycle.{key}"), |(name, _)| {
            format!("lifecycle.{key}.{name}")
        }),
        requires_privilege: find(map, "requiresPrivilege").is_some_and(boolean),
        skip_if: find(map, "skipif")
            .map(text)
            .filter(|text| !text.trim().is_empty())
            .map(|text| read_skip_if(&text).ok_or(text)),
        timeout: find(map, "timeout")
            .and_then(seconds)
            .or(kind.default_timeout()),
        environment: environment(find(map, "setenv")),
    })
}

fn entry<'a>(map: &'a Map<String, Value>, key: &str) -> Option<(&'a String, &'a Value)> {
    map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))
}

fn find<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    entry(map, key).map(|(_, value)| value)
}

/// A leaf as text, as the nucleus coerces it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn boolean(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => matches!(&**text, "true" | "yes" | "on" | "t" | "y" | "Y"),
        _ => false,
    }
}

/// Seconds as a number or a text of one; anything else counts as unset.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Longer than a century is "no limit" to any practical purpose, and stays representable.
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(3.2e9)))
}

fn environment(value: Option<&Value>) -> Vec<(String, String)> {
    let Some(Value::Object(map)) = value else {
        return Vec::new();
    };
    map.iter()
        .filter(|(_, value)| !value.is_object() && !value.is_array())
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// `[!] (onpath|exists) <blank>+ <argument>`
fn read_skip_if(text: &str) -> Option<SkipIf> {
    let text = text.trim();
    let (is_negated, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let (word, argument) = rest.split_once(char::is_whitespace)?;
    let argument = argument.trim().to_owned();
    if argument.is_empty() {
        return None;
    }
    let condition = match word {
        "onpath" => Condition::OnPath(argument),
        "exists" => Condition::Exists(argument),
        _ => return None,
    };
    Some(SkipIf {
        is_negated,
        condition,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop_oneof![
                "NaN",
                "inf",
                "-1",
                "1e400",
                "!",
                "onpath \\PC*",
                "\\PC{0,8}"
            ]
            .prop_map(Value::from),
        ];
        let keys =
            "(?i)(run|install|script|timeout|skipif|setenv|requiresPrivilege|errorResetTime)";
        leaf.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map(keys, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// A recipe can hold anything: reading it never panics, and a step that is found has a
        /// script or lacks one, but is never empty.
        #[test]
        fn any_value_is_read(value in values()) {
            let lifecycle = Lifecycle::read(&value);
            for kind in StepKind::ALL {
                if let Some(step) = lifecycle.step(kind) {
                    prop_assert_ne!(step.script.as_deref(), Some(""));
                    prop_assert!(step.timeout.is_none_or(|timeout| timeout.as_secs() <= 3_200_000_000));
                }
            }
        }
    }

    #[test]
    fn a_step_is_a_text_or_a_map() {
        fn check(step: Value, expected: Option<(&str, &str)>) {
            let lifecycle = Lifecycle::read(&json!({ "Run": step.clone() }));
            let found = lifecycle
                .step(StepKind::Run)
                .map(|step| (step.script.as_deref().unwrap_or("-"), &*step.script_name));
            assert_eq!(found, expected, "{step}");
        }
        check(json!("echo hi"), Some(("echo hi", "lifecycle.Run")));
        check(
            json!({"Script": "echo hi"}),
            Some(("echo hi", "lifecycle.Run.Script")),
        );
        check(json!({"script": 5}), Some(("5", "lifecycle.Run.script")));
        check(json!(""), None);
        check(json!({"Script": ""}), None);
        check(json!({"Script": "", "RequiresPrivilege": true}), None);
        check(json!(null), None);
        check(json!({}), None);
        check(
            json!({"RequiresPrivilege": true}),
            Some(("-", "lifecycle.Run")),
        );
    }

    #[test]
    fn fields_are_coerced() {
        let lifecycle = Lifecycle::read(&json!({
            "Setenv": {"A": 1, "B": true, "C": "x", "D": {"no": 1}},
            "errorResetTime": "2",
            "INSTALL": {"script": "s", "requiresprivilege": "yes", "timeout": "5", "setenv": {"E": 1.5}},
            "startup": {"script": "s", "RequiresPrivilege": "TRUE", "Timeout": "soon"},
        }));
        let expected = [("A", "1"), ("B", "true"), ("C", "x")];
        assert_eq!(
            lifecycle.environment,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        assert_eq!(lifecycle.error_reset, Some(Duration::from_secs(2)));
        let install = lifecycle.step(StepKind::Install).expect("a step");
        assert!(install.requires_privilege);
        assert_eq!(install.timeout, Some(Duration::from_secs(5)));
        assert_eq!(install.environment, [("E".to_owned(), "1.5".to_owned())]);
        let startup = lifecycle.step(StepKind::Startup).expect("a step");
        assert!(!startup.requires_privilege, "only exact words are true");
        assert_eq!(startup.timeout, Some(Duration::from_secs(120)));
        assert_eq!(lifecycle.step(StepKind::Run), None);
    }

    #[test]
    fn skip_conditions() {
        fn check(text: &str, expected: Option<(bool, Condition)>) {
            let found = read_skip_if(text).map(|skip| (skip.is_negated, skip.condition));
            assert_eq!(found, expected, "{text:?}");
        }
        let on_path = |name: &str| Condition::OnPath(name.to_owned());
        check("onpath git", Some((false, on_path("git"))));
        check("  ! onpath \t git ", Some((true, on_path("git"))));
        check("!onpath nosuch", Some((true, on_path("nosuch"))));
        check(
            "exists /a b",
            Some((false, Condition::Exists("/a b".to_owned()))),
        );
        check("This is broken", None);
        check("onpath", None);
        check("onpath ", None);
        check("", None);
    }
}
