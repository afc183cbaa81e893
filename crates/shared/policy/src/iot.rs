//! AWS IoT policies: what a certificate may do.
//!
//! ```
//! # use sward_policy::iot::*;
//! let policy = Policy::parse(
//!     r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Publish",
//!         "Resource":"arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/*"}}"#,
//! )?;
//! let set = PolicySet::compile([Attached::to_certificate("P", policy)]);
//! let bound = set.bind(&Context { client_id: Some("core1".into()), ..Context::default() });
//! let topics = "arn:aws:iot:us-east-1:123456789012:topic/";
//! assert!(bound.allows_in("iot:Publish", topics, "core1/hello"));
//! assert!(!bound.allows_in("iot:Publish", topics, "core2/hello"));
//! # Ok::<(), sward_policy::PolicyError>(())
//! ```

use crate::condition::Variables;
use crate::pattern::Text;
use crate::statement::{Bound, Document, Rules, decide, is_greengrass};
use crate::{Decision, Effect, PolicyError};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most characters of a policy document, blanks not counted.
pub const MAX_DOCUMENT_LENGTH: usize = 2048;

const RULES: Rules = Rules {
    principal: false,
    resource_optional: false,
    max_length: Some(MAX_DOCUMENT_LENGTH),
};

/// A valid policy document.
#[derive(Clone, Debug)]
pub struct Policy {
    document: Document,
}

impl Policy {
    /// Parses a document; an error is what AWS calls `MalformedPolicyException`.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        Ok(Policy {
            document: Document::parse(json, &RULES)?,
        })
    }
}

/// A policy and the way it reached the caller.
#[derive(Clone, Debug)]
pub struct Attached {
    name: Arc<str>,
    policy: Arc<Policy>,
    from_group: bool,
}

impl Attached {
    /// Attached to the certificate itself.
    pub fn to_certificate(name: &str, policy: impl Into<Arc<Policy>>) -> Self {
        Attached {
            name: name.into(),
            policy: policy.into(),
            from_group: false,
        }
    }

    /// Attached to a thing group of the caller's thing; it grants no `greengrass:` action.
    pub fn to_thing_group(name: &str, policy: impl Into<Arc<Policy>>) -> Self {
        Attached {
            from_group: true,
            ..Attached::to_certificate(name, policy)
        }
    }
}

/// What is known about a connection or a request. Everything absent is simply not known, and a
/// resource that needs it does not match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// MQTT client identifier.
    pub client_id: Option<String>,
    /// The thing attached to the certificate (with several: the one named like the client).
    pub thing: Option<Thing>,
    /// The certificate that authenticated the connection.
    pub certificate: Option<Certificate>,
    /// Address of the peer, without port.
    pub source_ip: Option<String>,
    /// Now, in milliseconds since the epoch; feeds `aws:CurrentTime` and `aws:EpochTime`.
    pub now_ms: Option<u64>,
}

/// A thing as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// Its name.
    pub name: String,
    /// Its type, when it has one.
    pub type_name: Option<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// A certificate as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Certificate id: SHA-256 of the DER in lower-case hex.
    pub id: String,
    /// Serial number, as decimal text.
    pub serial_number: String,
    /// Subject by AWS's attribute names (`CommonName`, `Organization`, …), first value each.
    pub subject: BTreeMap<String, String>,
    /// Issuer, likewise.
    pub issuer: BTreeMap<String, String>,
    /// Subject alternative names by kind (`DNSName`, `RFC822Name`, `IPAddress`, …).
    pub alternative_names: BTreeMap<String, Vec<String>>,
}

fn strip_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    start
        .eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

fn find_ignoring_case<'m, V>(map: &'m BTreeMap<String, V>, key: &str) -> Option<&'m V> {
    map.iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value)
}

impl Context {
    fn thing_value(&self, name: &str) -> Option<Cow<'_, str>> {
        if name.eq_ignore_ascii_case("IsAttached") {
            let attached = if self.thing.is_some() {
                "true"
            } else {
                "false"
            };
            return Some(Cow::Borrowed(attached));
        }
        let thing = self.thing.as_ref()?;
        if name.eq_ignore_ascii_case("ThingName") {
            return Some(Cow::Borrowed(&thing.name));
        }
        if name.eq_ignore_ascii_case("ThingTypeName") {
            return thing.type_name.as_deref().map(Cow::Borrowed);
        }
        let key = strip_ignoring_case(name, "Attributes[")?.strip_suffix(']')?;
        thing.attributes.get(key).map(|v| Cow::Borrowed(v.as_str()))
    }

    fn certificate_values(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let certificate = self.certificate.as_ref()?;
        if name.eq_ignore_ascii_case("SerialNumber") {
            return Some(vec![Cow::Borrowed(&certificate.serial_number)]);
        }
        if let Some(key) = strip_ignoring_case(name, "Subject.") {
            let value = find_ignoring_case(&certificate.subject, key)?;
            return Some(vec![Cow::Borrowed(value)]);
        }
        if let Some(key) = strip_ignoring_case(name, "Issuer.") {
            let value = find_ignoring_case(&certificate.issuer, key)?;
            return Some(vec![Cow::Borrowed(value)]);
        }
        let key = strip_ignoring_case(name, "SubjectAlternativeName.")?;
        // `…List` holds every value, the plain name the first.
        match find_ignoring_case(&certificate.alternative_names, key) {
            Some(values) => values.first().map(|v| vec![Cow::Borrowed(v.as_str())]),
            None => {
                let all = key.strip_suffix("List").or(key.strip_suffix("list"))?;
                let values = find_ignoring_case(&certificate.alternative_names, all)?;
                Some(values.iter().map(|v| Cow::Borrowed(v.as_str())).collect())
            }
        }
    }
}

impl Variables for Context {
    fn values<'v>(&'v self, key: &str) -> Option<Vec<Cow<'v, str>>> {
        let one = |value: Option<&'v str>| Some(vec![Cow::Borrowed(value?)]);
        if let Some(name) = strip_ignoring_case(key, "iot:Connection.Thing.") {
            return Some(vec![self.thing_value(name)?]);
        }
        if let Some(name) = strip_ignoring_case(key, "iot:Certificate.") {
            return self.certificate_values(name);
        }
        match key.to_ascii_lowercase().as_str() {
            "iot:clientid" => one(self.client_id.as_deref()),
            "iot:certificateid" => one(self.certificate.as_ref().map(|c| c.id.as_str())),
            "iot:sourceip" | "aws:sourceip" => one(self.source_ip.as_deref()),
            "aws:securetransport" => one(Some("true")),
            "aws:currenttime" | "aws:epochtime" => {
                let seconds = self.now_ms? as f64 / 1000.0;
                Some(vec![Cow::Owned(seconds.to_string())])
            }
            _ => None,
        }
    }
}

/// All policies of a certificate, compiled.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Arc<[Attached]>,
}

impl PolicySet {
    /// Compiles the union of policies: those of the certificate and those of the groups of its
    /// thing, ancestors included.
    pub fn compile(policies: impl IntoIterator<Item = Attached>) -> Self {
        PolicySet {
            policies: policies.into_iter().collect(),
        }
    }

    /// Whether there is no policy at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Puts a connection's values in place of variables and judges the conditions, once.
    ///
    /// Bind again when the context, the policies or (for conditions on the time) the hour change.
    #[must_use]
    pub fn bind(&self, context: &Context) -> BoundPolicies {
        let mut statements = Vec::new();
        for attached in self.policies.iter() {
            for (index, statement) in attached.policy.document.statements.iter().enumerate() {
                statements.extend(statement.bind(
                    &attached.name,
                    index,
                    attached.from_group,
                    context,
                ));
            }
        }
        // Denies first: the first match then decides.
        statements.sort_by_key(|bound: &Bound| bound.effect == Effect::Allow);
        let hot = HOT_ACTIONS.map(|action| {
            let fits = |(_, bound): &(usize, &Bound)| bound.has_action(action);
            let all = statements.iter().enumerate().filter(fits);
            all.map(|(index, _)| index as u32).collect()
        });
        BoundPolicies {
            inner: Arc::new(Inner { statements, hot }),
        }
    }

    /// One decision with its reason; for a stream of decisions use [`PolicySet::bind`].
    #[must_use]
    pub fn evaluate(&self, action: &str, resource: &str, context: &Context) -> Decision {
        self.bind(context).decide(action, resource)
    }
}

/// The actions judged for every packet; the statements that name them are found beforehand.
const HOT_ACTIONS: [&str; 5] = [
    "iot:Connect",
    "iot:Publish",
    "iot:Receive",
    "iot:Subscribe",
    "iot:RetainPublish",
];

#[derive(Debug, Default)]
struct Inner {
    statements: Vec<Bound>,
    hot: [Box<[u32]>; 5],
}

/// The policies of one connection, ready to decide without allocation. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BoundPolicies {
    inner: Arc<Inner>,
}

impl BoundPolicies {
    /// Whether the action on the resource is allowed.
    #[must_use]
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        self.allows_in(action, resource, "")
    }

    /// The same with the resource in two pieces, such as
    /// `("arn:aws:iot:us-east-1:123456789012:topic/", "a/b")`, so that nothing is joined.
    #[must_use]
    pub fn allows_in(&self, action: &str, prefix: &str, name: &str) -> bool {
        let text = Text::new(prefix, name);
        let statements = &self.inner.statements;
        if let Some(hot) = HOT_ACTIONS.iter().position(|known| *known == action) {
            return self.inner.hot[hot]
                .iter()
                .map(|index| &statements[*index as usize])
                .find(|bound| bound.has_resource(text, false))
                .is_some_and(|bound| bound.effect == Effect::Allow);
        }
        let greengrass = is_greengrass(action);
        statements
            .iter()
            .find(|bound| bound.has_action(action) && bound.has_resource(text, greengrass))
            .is_some_and(|bound| bound.effect == Effect::Allow)
    }

    /// The decision with its reason, for logs and explanations.
    #[must_use]
    pub fn decide(&self, action: &str, resource: &str) -> Decision {
        decide(self.inner.statements.iter(), action, resource)
    }
}
