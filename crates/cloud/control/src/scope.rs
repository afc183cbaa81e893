//! The two names that every row belongs to, and who speaks with a client certificate.

use sward_aws_wire::api::Caller;
use sward_model::{AccountId, Arn, CertificateId, Region};
use sward_policy::iot::{Certificate, Context, Thing};

/// The account and region of a call; the first two columns of every table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub account: AccountId,
    pub region: Region,
}

impl Scope {
    /// The scope of a signed call.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        Scope {
            account: caller.account.clone(),
            region: caller.region.clone(),
        }
    }

    /// An IoT ARN in this scope.
    #[must_use]
    pub fn iot(&self, kind: &str, id: &str) -> Arn {
        Arn::iot(&self.region, &self.account, kind, id)
    }
}

/// A device as its certificate says: what the gateway and the data plane authorize.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub scope: Scope,
    pub certificate_id: CertificateId,
    /// The things that the certificate is attached to, in the order of their names.
    pub things: Vec<Thing>,
    /// What policies may ask of the certificate.
    pub certificate: Certificate,
}

impl Principal {
    /// The certificate's ARN.
    #[must_use]
    pub fn arn(&self) -> Arn {
        Arn::certificate(
            &self.scope.region,
            &self.scope.account,
            &self.certificate_id,
        )
    }

    /// The attached thing of that name.
    #[must_use]
    pub fn thing(&self, name: &str) -> Option<&Thing> {
        self.things.iter().find(|thing| thing.name == name)
    }

    /// The thing whose variables apply to a client id: the only one, or of several the one that
    /// the client id names (cloud.md §3).
    #[must_use]
    pub fn thing_for_client(&self, client_id: &str) -> Option<&Thing> {
        match self.things.as_slice() {
            [only] => Some(only),
            _ => self.thing(client_id),
        }
    }

    /// What policies are judged with on a connection.
    #[must_use]
    pub fn mqtt_context(&self, client_id: &str, source_ip: Option<String>, now_ms: i64) -> Context {
        Context {
            client_id: Some(client_id.to_owned()),
            thing: self.thing_for_client(client_id).cloned(),
            certificate: Some(self.certificate.clone()),
            source_ip,
            now_ms: u64::try_from(now_ms).ok(),
        }
    }

    /// What policies are judged with on an HTTPS call: there is no client id, so thing variables
    /// have a value only when the certificate speaks for exactly one thing.
    #[must_use]
    pub fn https_context(&self, now_ms: i64) -> Context {
        Context {
            client_id: None,
            thing: self.thing_for_client("").cloned(),
            certificate: Some(self.certificate.clone()),
            source_ip: None,
            now_ms: u64::try_from(now_ms).ok(),
        }
    }

    /// The caller that a data-plane operation sees.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller {
            account: self.scope.account.clone(),
            region: self.scope.region.clone(),
            arn: self.arn(),
            credential: self.certificate_id.to_string(),
        }
    }
}
