//! Statements of IAM and IoT documents: parsing, binding to a caller, deciding.

use crate::condition::{Condition, Variables};
use crate::pattern::{Pattern, Template, Text, action_matches};
use crate::{Decision, Effect, PolicyError};
use serde_json::{Map, Value};
use std::sync::Arc;
use sward_diagnosis::Place;

/// What a kind of document must and may hold.
pub(crate) struct Rules {
    /// Whether statements carry `Principal` (resource and trust policies) or must not.
    pub(crate) principal: bool,
    /// Whether a statement may go without `Resource`.
    pub(crate) resource_optional: bool,
    /// Most characters that are not blank.
    pub(crate) max_length: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) actions: Vec<String>,
    pub(crate) actions_negated: bool,
    pub(crate) resources: Option<Vec<Resource>>,
    pub(crate) resources_negated: bool,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) principals: Option<Principals>,
}

/// One element of `Resource`.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    template: Template,
    uses_thing: bool,
}

/// Who a statement of a resource or trust policy speaks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principals {
    pub(crate) negated: bool,
    /// `(kind, name)`, such as `("Service", "credentials.iot.amazonaws.com")`; `("*", "*")`.
    pub(crate) entries: Vec<(String, String)>,
}

/// Thing variables are for MQTT only; `greengrass:` actions do not see them.
pub(crate) fn is_thing_variable(name: &str) -> bool {
    const PREFIX: &str = "iot:connection.thing.";
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

impl Document {
    pub(crate) fn parse(text: &str, rules: &Rules) -> Result<Self, PolicyError> {
        if let Some(limit) = rules.max_length {
            let length = text.chars().filter(|c| !c.is_whitespace()).count();
            if length > limit {
                return Err(PolicyError::TooLong { length, limit });
            }
        }
        let value: Value = serde_json::from_str(text).map_err(|error| PolicyError::Syntax {
            line: error.line(),
            column: error.column(),
            reason: error.to_string(),
        })?;
        let object = object(&value, "")?;
        known_members(object, "", &["Version", "Id", "Statement"])?;
        let variables = match object.get("Version") {
            None => false,
            Some(Value::String(version)) if version == "2012-10-17" => true,
            Some(Value::String(version)) if version == "2008-10-17" => false,
            Some(_) => {
                return Err(PolicyError::member(
                    "/Version",
                    "Version must be \"2012-10-17\" or \"2008-10-17\"",
                ));
            }
        };
        let statements = match object.get("Statement") {
            Some(Value::Array(list)) if !list.is_empty() => list
                .iter()
                .enumerate()
                .map(|(i, value)| statement(value, &format!("/Statement/{i}"), variables, rules))
                .collect::<Result<_, _>>()?,
            Some(value @ Value::Object(_)) => {
                vec![statement(value, "/Statement", variables, rules)?]
            }
            Some(_) => {
                return Err(PolicyError::member(
                    "/Statement",
                    "Statement must be an object or a list of at least one",
                ));
            }
            None => return Err(PolicyError::member("", "Statement is missing")),
        };
        Ok(Document { statements })
    }
}

fn object<'v>(value: &'v Value, pointer: &str) -> Result<&'v Map<String, Value>, PolicyError> {
    value
        .as_object()
        .ok_or_else(|| PolicyError::member(pointer, "an object is expected here"))
}

fn known_members(
    object: &Map<String, Value>,
    pointer: &str,
    known: &[&str],
) -> Result<(), PolicyError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(PolicyError::member(
            format!("{pointer}/{key}"),
            format!("{key} is not a member known here"),
        )),
    }
}

/// A string or a list of strings, not empty.
fn strings(value: &Value, pointer: &str) -> Result<Vec<String>, PolicyError> {
    let wrong = || PolicyError::member(pointer, "a text or a list of texts is expected here");
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(list) if !list.is_empty() => list
            .iter()
            .map(|item| item.as_str().map(String::from).ok_or_else(wrong))
            .collect(),
        _ => Err(wrong()),
    }
}

/// `Name` or `NotName`, never both; the flag says which.
fn either<'v>(
    object: &'v Map<String, Value>,
    name: &str,
    pointer: &str,
) -> Result<Option<(&'v Value, bool, String)>, PolicyError> {
    let negative = format!("Not{name}");
    match (object.get(name), object.get(&negative)) {
        (Some(_), Some(_)) => Err(PolicyError::member(
            pointer,
            format!("{name} and {negative} exclude each other"),
        )),
        (Some(value), None) => Ok(Some((value, false, format!("{pointer}/{name}")))),
        (None, Some(value)) => Ok(Some((value, true, format!("{pointer}/{negative}")))),
        (None, None) => Ok(None),
    }
}

fn statement(
    value: &Value,
    pointer: &str,
    variables: bool,
    rules: &Rules,
) -> Result<Statement, PolicyError> {
    let object = object(value, pointer)?;
    known_members(
        object,
        pointer,
        &[
            "Sid",
            "Effect",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
            "Principal",
            "NotPrincipal",
        ],
    )?;
    let sid = match object.get("Sid") {
        None => None,
        Some(Value::String(sid)) => Some(sid.clone()),
        Some(_) => {
            return Err(PolicyError::member(
                format!("{pointer}/Sid"),
                "Sid must be a text",
            ));
        }
    };
    let effect = match object.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => {
            return Err(PolicyError::member(
                format!("{pointer}/Effect"),
                "Effect must be \"Allow\" or \"Deny\"",
            ));
        }
    };
    let Some((value, actions_negated, at)) = either(object, "Action", pointer)? else {
        return Err(PolicyError::member(pointer, "Action is missing"));
    };
    let actions = actions(value, &at)?;
    let (resources, resources_negated) = match either(object, "Resource", pointer)? {
        Some((value, negated, at)) => (Some(resources(value, &at, variables)?), negated),
        None if rules.resource_optional => (None, false),
        None => return Err(PolicyError::member(pointer, "Resource is missing")),
    };
    let conditions = match object.get("Condition") {
        None => Vec::new(),
        Some(value) => Condition::parse(value, &format!("{pointer}/Condition"), variables)?,
    };
    let principals = match (either(object, "Principal", pointer)?, rules.principal) {
        (None, false) => None,
        (Some((value, negated, at)), true) => Some(principals(value, negated, &at)?),
        (Some((_, _, at)), false) => {
            return Err(PolicyError::member(at, "Principal is not allowed here"));
        }
        (None, true) => return Err(PolicyError::member(pointer, "Principal is missing")),
    };
    Ok(Statement {
        sid,
        effect,
        actions,
        actions_negated,
        resources,
        resources_negated,
        conditions,
        principals,
    })
}

fn actions(value: &Value, pointer: &str) -> Result<Vec<String>, PolicyError> {
    let actions = strings(value, pointer)?;
    for action in &actions {
        let fits = action == "*"
            || action.split_once(':').is_some_and(|(service, name)| {
                !service.is_empty() && !name.is_empty() && !name.contains(':')
            });
        if !fits {
            return Err(PolicyError::member(
                pointer,
                format!("\"{action}\" is not an action of the form service:Name"),
            ));
        }
    }
    Ok(actions)
}

fn resources(value: &Value, pointer: &str, variables: bool) -> Result<Vec<Resource>, PolicyError> {
    let texts = strings(value, pointer)?;
    texts
        .iter()
        .map(|text| {
            if text != "*" && !text.starts_with("arn:") && !text.starts_with('*') {
                return Err(PolicyError::member(
                    pointer,
                    format!("\"{text}\" is not an ARN nor \"*\""),
                ));
            }
            let template = Template::compile(text, variables);
            let uses_thing = template.variables().any(is_thing_variable);
            Ok(Resource {
                template,
                uses_thing,
            })
        })
        .collect()
}

fn principals(value: &Value, negated: bool, pointer: &str) -> Result<Principals, PolicyError> {
    let entries = match value {
        Value::String(text) if text == "*" => vec![("*".into(), "*".into())],
        Value::Object(kinds) if !kinds.is_empty() => {
            let mut entries = Vec::new();
            for (kind, names) in kinds {
                let at = format!("{pointer}/{kind}");
                if !["AWS", "Service", "Federated", "CanonicalUser"].contains(&kind.as_str()) {
                    return Err(PolicyError::member(at, "unknown kind of principal"));
                }
                for name in strings(names, &at)? {
                    entries.push((kind.clone(), name));
                }
            }
            entries
        }
        _ => {
            return Err(PolicyError::member(
                pointer,
                "Principal must be \"*\" or an object",
            ));
        }
    };
    Ok(Principals { negated, entries })
}

/// A statement with a caller's values in it, its conditions already found to hold.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    policy: Arc<str>,
    statement: Box<str>,
    pub(crate) effect: Effect,
    actions: Arc<[String]>,
    actions_negated: bool,
    /// `None`: any resource.
    resources: Option<Vec<(Pattern, bool)>>,
    resources_negated: bool,
    /// The conditions, or a negated resource list, look at the thing.
    uses_thing: bool,
    from_group: bool,
}

impl Statement {
    /// Binds to a caller; `None` when a condition does not hold or no resource is left.
    pub(crate) fn bind(
        &self,
        policy: &Arc<str>,
        index: usize,
        from_group: bool,
        variables: &dyn Variables,
    ) -> Option<Bound> {
        if !self.conditions.iter().all(|c| c.holds(variables)) {
            return None;
        }
        let single = |name: &str| variables.values(name)?.into_iter().next();
        let mut uses_thing = self.conditions.iter().any(Condition::uses_thing);
        let resources = match &self.resources {
            None => None,
            Some(list) => {
                let bound: Vec<_> = list
                    .iter()
                    .filter_map(|r| Some((r.template.bind(single)?, r.uses_thing)))
                    .collect();
                // An allow of "not this" with an unknown "this" would match too much, a deny
                // without it too little.
                let lost = bound.len() < list.len();
                let too_much = self.resources_negated && lost && self.effect == Effect::Allow;
                if too_much || (bound.is_empty() && !self.resources_negated) {
                    return None;
                }
                uses_thing |= self.resources_negated && list.iter().any(|r| r.uses_thing);
                Some(bound)
            }
        };
        Some(Bound {
            policy: policy.clone(),
            statement: match &self.sid {
                Some(sid) => sid.as_str().into(),
                None => index.to_string().into(),
            },
            effect: self.effect,
            actions: self.actions.clone().into(),
            actions_negated: self.actions_negated,
            resources,
            resources_negated: self.resources_negated,
            uses_thing,
            from_group,
        })
    }
}

impl Bound {
    pub(crate) fn has_action(&self, action: &str) -> bool {
        let named = self.actions.iter().any(|p| action_matches(p, action));
        named != self.actions_negated
    }

    /// Whether the resource fits. `greengrass` calls see no thing variables, and group policies
    /// do not grant them.
    pub(crate) fn has_resource(&self, resource: Text<'_>, greengrass: bool) -> bool {
        if greengrass && (self.uses_thing || self.from_group) {
            return false;
        }
        let Some(resources) = &self.resources else {
            return true;
        };
        let named = resources
            .iter()
            .filter(|(_, uses_thing)| !(greengrass && *uses_thing))
            .any(|(pattern, _)| pattern.matches(resource));
        named != self.resources_negated
    }

    pub(crate) fn denial(&self) -> Decision {
        Decision::ExplicitlyDenied {
            policy: self.policy.to_string(),
            statement: self.statement.to_string(),
        }
    }
}

pub(crate) fn is_greengrass(action: &str) -> bool {
    const PREFIX: &str = "greengrass:";
    action
        .get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The decision with its reason, over all statements.
pub(crate) fn decide<'b>(
    statements: impl Iterator<Item = &'b Bound>,
    action: &str,
    resource: &str,
) -> Decision {
    let greengrass = is_greengrass(action);
    let text = Text::new(resource, "");
    let mut allowed = false;
    for bound in statements {
        if bound.has_action(action) && bound.has_resource(text, greengrass) {
            match bound.effect {
                Effect::Deny => return bound.denial(),
                Effect::Allow => allowed = true,
            }
        }
    }
    if allowed {
        Decision::Allowed
    } else {
        Decision::ImplicitlyDenied {
            missing: Place::permission(action, resource),
        }
    }
}
