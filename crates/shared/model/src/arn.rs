//! ARNs: the global names of resources (cloud.md §1.2, patterns).

use crate::names::NameError;
use crate::{
    AccountId, CertificateId, ComponentName, ComponentVersion, Region, ThingGroupName, ThingName,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An ARN taken apart: `arn:partition:service:region:account:resource`.
///
/// `account` is text, because AWS's own components carry `aws` there, and `region` may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    pub partition: String,
    pub service: String,
    pub region: String,
    pub account: String,
    /// All that follows the account, with its own separators.
    pub resource: String,
}

impl Arn {
    fn new(service: &str, region: &str, account: &str, resource: String) -> Self {
        Arn {
            partition: "aws".to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            resource,
        }
    }

    /// Any resource of IoT Core, such as `("thing", "core1")`.
    #[must_use]
    pub fn iot(region: &Region, account: &AccountId, kind: &str, id: &str) -> Self {
        Arn::new(
            "iot",
            region.as_str(),
            account.as_str(),
            format!("{kind}/{id}"),
        )
    }

    /// A thing.
    #[must_use]
    pub fn thing(region: &Region, account: &AccountId, name: &ThingName) -> Self {
        Arn::iot(region, account, "thing", name.as_str())
    }

    /// A thing group.
    #[must_use]
    pub fn thing_group(region: &Region, account: &AccountId, name: &ThingGroupName) -> Self {
        Arn::iot(region, account, "thinggroup", name.as_str())
    }

    /// A device certificate.
    #[must_use]
    pub fn certificate(region: &Region, account: &AccountId, id: &CertificateId) -> Self {
        Arn::iot(region, account, "cert", id.as_str())
    }

    /// A component without a version.
    #[must_use]
    pub fn component(region: &Region, account: &AccountId, name: &ComponentName) -> Self {
        Arn::new(
            "greengrass",
            region.as_str(),
            account.as_str(),
            format!("components:{name}"),
        )
    }

    /// One version of a component.
    #[must_use]
    pub fn component_version(
        region: &Region,
        account: &AccountId,
        name: &ComponentName,
        version: &ComponentVersion,
    ) -> Self {
        Arn::new(
            "greengrass",
            region.as_str(),
            account.as_str(),
            format!("components:{name}:versions:{version}"),
        )
    }

    /// The configuration ARN of a deployment revision, found only in the device document:
    /// `configuration:thing/NAME:REV` or `configuration:thinggroup/NAME:REV`.
    #[must_use]
    pub fn configuration(
        region: &Region,
        account: &AccountId,
        target: &DeploymentTarget,
        revision: u64,
    ) -> Self {
        Arn::new(
            "greengrass",
            region.as_str(),
            account.as_str(),
            format!("configuration:{}:{revision}", target.resource()),
        )
    }

    /// The part of the resource behind `prefix`, if it begins so.
    #[must_use]
    pub fn resource_after(&self, prefix: &str) -> Option<&str> {
        self.resource.strip_prefix(prefix)
    }

    /// Component name and version of a component (version) ARN.
    #[must_use]
    pub fn as_component(&self) -> Option<(ComponentName, Option<ComponentVersion>)> {
        if self.service != "greengrass" {
            return None;
        }
        let rest = self.resource_after("components:")?;
        match rest.split_once(":versions:") {
            None => Some((rest.parse().ok()?, None)),
            Some((name, version)) => Some((name.parse().ok()?, Some(version.parse().ok()?))),
        }
    }

    /// The thing or thing group that this ARN names as a deployment target.
    #[must_use]
    pub fn as_target(&self) -> Option<DeploymentTarget> {
        if self.service != "iot" {
            return None;
        }
        if let Some(name) = self.resource_after("thing/") {
            return Some(DeploymentTarget::Thing(name.parse().ok()?));
        }
        let name = self.resource_after("thinggroup/")?;
        Some(DeploymentTarget::ThingGroup(name.parse().ok()?))
    }
}

impl FromStr for Arn {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let shape = || NameError::Shape {
            what: "ARN",
            text: text.to_owned(),
            expected: "arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE",
        };
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return Err(shape());
        }
        let mut next = || parts.next().map(str::to_owned).ok_or_else(shape);
        let arn = Arn {
            partition: next()?,
            service: next()?,
            region: next()?,
            account: next()?,
            resource: next()?,
        };
        if arn.partition.is_empty() || arn.service.is_empty() || arn.resource.is_empty() {
            return Err(shape());
        }
        Ok(arn)
    }
}

impl TryFrom<String> for Arn {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> String {
        arn.to_string()
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// What a deployment is for: one thing, or all members of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentTarget {
    Thing(ThingName),
    ThingGroup(ThingGroupName),
}

impl DeploymentTarget {
    /// `thing/NAME` or `thinggroup/NAME`, as ARNs spell it.
    #[must_use]
    pub fn resource(&self) -> String {
        match self {
            DeploymentTarget::Thing(name) => format!("thing/{name}"),
            DeploymentTarget::ThingGroup(name) => format!("thinggroup/{name}"),
        }
    }

    /// The target's IoT ARN.
    #[must_use]
    pub fn arn(&self, region: &Region, account: &AccountId) -> Arn {
        match self {
            DeploymentTarget::Thing(name) => Arn::thing(region, account, name),
            DeploymentTarget::ThingGroup(name) => Arn::thing_group(region, account, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_come_apart_and_back() {
        for text in [
            "arn:aws:iot:us-east-1:123456789012:thing/core1",
            "arn:aws:greengrass:us-east-1:aws:components:aws.greengrass.Nucleus:versions:2.18.0",
            "arn:aws:s3:::bucket/key:with:colons",
        ] {
            assert_eq!(text.parse::<Arn>().expect("an ARN").to_string(), text);
        }
        for text in [
            "",
            "arn",
            "arn:aws:iot",
            "urn:aws:iot:r:a:x",
            "arn:aws:iot:r:a:",
        ] {
            assert!(text.parse::<Arn>().is_err(), "{text}");
        }
    }

    #[test]
    fn targets_and_components_are_recognised() {
        let arn: Arn = "arn:aws:iot:us-east-1:123456789012:thinggroup/G"
            .parse()
            .expect("an ARN");
        assert_eq!(
            arn.as_target(),
            Some(DeploymentTarget::ThingGroup("G".parse().expect("a name")))
        );
        let arn: Arn = "arn:aws:greengrass:us-east-1:123456789012:components:a.b:versions:1.0.0"
            .parse()
            .expect("an ARN");
        let (name, version) = arn.as_component().expect("a component");
        assert_eq!(name, "a.b");
        assert_eq!(version.expect("a version").to_string(), "1.0.0");
    }
}
