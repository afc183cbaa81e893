//! Which group asked for which root components: what lets the deployments of several groups, of
//! the thing itself and of local requests stand side by side (core-device §5.1, §6.6, §6.13).
//!
//! [`GroupRecords`] is read from and written to `services.DeploymentService` in AWS's layout:
//! `GroupToRootComponents`, `GroupToLastDeployment`, `ComponentToGroups`.

use crate::document::{DeploymentSpec, LOCAL_DEPLOYMENT_GROUP, RunningRoots};
use crate::tree::{Node, StampedTree};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A root component as one group asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootRecord {
    /// The version it resolved to.
    pub version: String,
    /// The configuration's ARN, or the deployment's id.
    pub config_arn: String,
    /// The group's name.
    pub config_name: String,
}

/// The last deployment of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastDeployment {
    /// When it was created, ms.
    pub timestamp_ms: i64,
    /// The configuration's ARN, or the deployment's id.
    pub config_arn: String,
}

/// What is recorded of all groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRecords {
    /// By group and component.
    pub roots: BTreeMap<String, BTreeMap<String, RootRecord>>,
    /// By group.
    pub last: BTreeMap<String, LastDeployment>,
}

/// A root of another group: component, group, exact version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRoot {
    pub component: String,
    pub group: String,
    pub version: String,
}

impl GroupRecords {
    /// Reads `services.DeploymentService`; what is not understood is left out.
    #[must_use]
    pub fn read(service: Option<&StampedTree>) -> Self {
        let mut records = GroupRecords::default();
        let Some(service) = service else {
            return records;
        };
        for (group, node) in maps_below(service, "GroupToRootComponents") {
            let roots = records.roots.entry(group.to_owned()).or_default();
            for (component, root) in node.iter() {
                let Some(root) = root.as_map() else { continue };
                roots.insert(
                    component.to_owned(),
                    RootRecord {
                        version: text(root, "version"),
                        config_arn: text(root, "groupConfigArn"),
                        config_name: text(root, "groupConfigName"),
                    },
                );
            }
        }
        for (group, last) in maps_below(service, "GroupToLastDeployment") {
            let timestamp = last.value_at(&["timestamp"]).and_then(|v| v.as_i64());
            records.last.insert(
                group.to_owned(),
                LastDeployment {
                    timestamp_ms: timestamp.unwrap_or_default(),
                    config_arn: text(last, "configArn"),
                },
            );
        }
        records
    }

    /// `GroupToRootComponents` and `GroupToLastDeployment` as they are stored.
    #[must_use]
    pub fn to_maps(&self) -> (Map<String, Value>, Map<String, Value>) {
        let roots = self.roots.iter().map(|(group, roots)| {
            let roots: Map<String, Value> = roots
                .iter()
                .map(|(component, root)| {
                    let value = json!({
                        "groupConfigArn": root.config_arn,
                        "groupConfigName": root.config_name,
                        "version": root.version,
                    });
                    (component.clone(), value)
                })
                .collect();
            (group.clone(), Value::Object(roots))
        });
        let last = self.last.iter().map(|(group, last)| {
            let value = json!({"configArn": last.config_arn, "timestamp": last.timestamp_ms});
            (group.clone(), value)
        });
        (roots.collect(), last.collect())
    }

    /// The thing groups recorded here: what the membership is taken to be where the cloud cannot
    /// be asked.
    #[must_use]
    pub fn thing_groups(&self) -> BTreeSet<String> {
        self.roots
            .keys()
            .filter(|group| group.starts_with("thinggroup/"))
            .cloned()
            .collect()
    }

    /// The roots of all groups but this one that still count: those of the thing itself, of local
    /// deployments, and of groups that the device is a member of.
    #[must_use]
    pub fn other_roots(&self, group: &str, memberships: &BTreeSet<String>) -> Vec<OtherRoot> {
        self.roots
            .iter()
            .filter(|(other, _)| *other != group && counts(other, memberships))
            .flat_map(|(other, roots)| {
                roots.iter().map(|(component, root)| OtherRoot {
                    component: component.clone(),
                    group: other.clone(),
                    version: root.version.clone(),
                })
            })
            .collect()
    }

    /// The roots recorded for a group that are still there, each at the version that runs.
    #[must_use]
    pub fn running_roots(&self, group: &str, services: Option<&StampedTree>) -> RunningRoots {
        let roots = self.roots.get(group).into_iter().flatten();
        roots
            .filter_map(|(component, _)| {
                let version = services?.value_at(&[component.as_str(), "version"])?;
                Some((component.clone(), version.as_str()?.to_owned()))
            })
            .collect()
    }

    /// Whether a newer deployment of the same group came before this one.
    #[must_use]
    pub fn is_stale(&self, spec: &DeploymentSpec) -> bool {
        let (Some(group), Some(timestamp)) = (&spec.group_name, spec.timestamp_ms) else {
            return false;
        };
        self.last
            .get(group)
            .is_some_and(|last| timestamp < last.timestamp_ms)
    }

    /// Records a deployment that was applied, and forgets groups that the device has left.
    /// `versions` are those that the roots resolved to.
    pub fn record(
        &mut self,
        spec: &DeploymentSpec,
        id: &str,
        versions: &BTreeMap<String, String>,
        memberships: &BTreeSet<String>,
    ) {
        let group = spec.group().to_owned();
        let config_arn = spec
            .configuration_arn
            .clone()
            .unwrap_or_else(|| id.to_owned());
        let roots = spec
            .roots()
            .map(|root| {
                let record = RootRecord {
                    version: versions.get(&root.name).cloned().unwrap_or_default(),
                    config_arn: config_arn.clone(),
                    config_name: group.clone(),
                };
                (root.name.clone(), record)
            })
            .collect();
        self.roots.insert(group.clone(), roots);
        self.last.insert(
            group.clone(),
            LastDeployment {
                timestamp_ms: spec.timestamp_ms.unwrap_or_default(),
                config_arn,
            },
        );
        let stays = |other: &String| *other == group || counts(other, memberships);
        self.roots.retain(|other, _| stays(other));
        self.last.retain(|other, _| stays(other));
    }

    /// `ComponentToGroups`: for each component the configurations that want it, directly or
    /// through what depends on it. `dependencies` names what each component depends on.
    #[must_use]
    pub fn component_to_groups(
        &self,
        dependencies: &BTreeMap<String, Vec<String>>,
    ) -> Map<String, Value> {
        let mut wanted: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (component, root) in self.roots.values().flatten() {
            let mut reached = BTreeSet::new();
            let mut next = vec![component.clone()];
            while let Some(at) = next.pop() {
                if !reached.insert(at.clone()) {
                    continue;
                }
                next.extend(dependencies.get(&at).into_iter().flatten().cloned());
                wanted
                    .entry(at)
                    .or_default()
                    .insert(root.config_arn.clone(), root.config_name.clone());
            }
        }
        wanted
            .into_iter()
            .map(|(component, groups)| (component, json!(groups)))
            .collect()
    }
}

fn counts(group: &str, memberships: &BTreeSet<String>) -> bool {
    group == LOCAL_DEPLOYMENT_GROUP || group.starts_with("thing/") || memberships.contains(group)
}

fn maps_below<'a>(
    service: &'a StampedTree,
    key: &str,
) -> impl Iterator<Item = (&'a str, &'a StampedTree)> {
    service
        .get_map(&[key])
        .into_iter()
        .flat_map(StampedTree::iter)
        .filter_map(|(key, node)| Some((key, Node::as_map(node)?)))
}

fn text(tree: &StampedTree, key: &str) -> String {
    match tree.value_at(&[key]) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::LocalRequest;

    fn spec(group: &str, components: &[&str], timestamp_ms: i64) -> DeploymentSpec {
        let request = LocalRequest {
            request_id: Some("r".into()),
            request_timestamp_ms: timestamp_ms,
            components_to_merge: Some(
                components
                    .iter()
                    .map(|name| ((*name).to_owned(), "*".to_owned()))
                    .collect(),
            ),
            ..LocalRequest::default()
        };
        DeploymentSpec {
            group_name: Some(group.to_owned()),
            ..request.to_spec(&RunningRoots::new())
        }
    }

    fn versions(components: &[&str]) -> BTreeMap<String, String> {
        components
            .iter()
            .map(|name| ((*name).to_owned(), "1.0.0".to_owned()))
            .collect()
    }

    #[test]
    fn groups_stand_side_by_side_until_the_device_leaves_one() {
        let both: BTreeSet<String> = ["thinggroup/G1".into(), "thinggroup/G2".into()].into();
        let mut records = GroupRecords::default();
        records.record(
            &spec("thinggroup/G1", &["A"], 10),
            "d1",
            &versions(&["A"]),
            &both,
        );
        records.record(
            &spec("thinggroup/G2", &["B"], 11),
            "d2",
            &versions(&["B"]),
            &both,
        );
        records.record(
            &spec("LOCAL_DEPLOYMENT", &["C"], 12),
            "d3",
            &versions(&["C"]),
            &both,
        );
        let others = records.other_roots("thinggroup/G2", &both);
        let names: Vec<&str> = others.iter().map(|root| root.component.as_str()).collect();
        assert_eq!(names, ["C", "A"]);
        let only_second: BTreeSet<String> = ["thinggroup/G2".into()].into();
        let others = records.other_roots("thinggroup/G2", &only_second);
        assert_eq!(others.len(), 1);
        records.record(
            &spec("thinggroup/G2", &["B"], 13),
            "d4",
            &versions(&["B"]),
            &only_second,
        );
        assert!(!records.roots.contains_key("thinggroup/G1"));
        assert!(!records.last.contains_key("thinggroup/G1"));
    }

    #[test]
    fn records_survive_the_tree() {
        let mut records = GroupRecords::default();
        records.record(
            &spec("thing/T", &["A"], 10),
            "d1",
            &versions(&["A"]),
            &BTreeSet::new(),
        );
        let (roots, last) = records.to_maps();
        let mut service = StampedTree::new();
        service.set(&["GroupToRootComponents"], &Value::Object(roots), 1);
        service.set(&["GroupToLastDeployment"], &Value::Object(last), 1);
        assert_eq!(GroupRecords::read(Some(&service)), records);
    }

    #[test]
    fn an_older_deployment_of_the_same_group_is_stale() {
        let mut records = GroupRecords::default();
        records.record(
            &spec("thing/T", &["A"], 10),
            "d1",
            &versions(&["A"]),
            &BTreeSet::new(),
        );
        assert!(records.is_stale(&spec("thing/T", &[], 9)));
        assert!(!records.is_stale(&spec("thing/T", &[], 10)));
        assert!(!records.is_stale(&spec("thing/U", &[], 9)));
    }

    #[test]
    fn a_dependency_belongs_to_the_groups_of_all_that_need_it() {
        let mut records = GroupRecords::default();
        let none = BTreeSet::new();
        records.record(&spec("thing/T", &["A"], 10), "d1", &versions(&["A"]), &none);
        records.record(
            &spec("LOCAL_DEPLOYMENT", &["B"], 10),
            "d2",
            &versions(&["B"]),
            &none,
        );
        let dependencies = [
            ("A".to_owned(), vec!["C".to_owned()]),
            ("B".to_owned(), vec!["C".to_owned()]),
        ]
        .into();
        assert_eq!(
            Value::Object(records.component_to_groups(&dependencies)),
            json!({
                "A": {"d1": "thing/T"},
                "B": {"d2": "LOCAL_DEPLOYMENT"},
                "C": {"d1": "thing/T", "d2": "LOCAL_DEPLOYMENT"},
            })
        );
    }
}
