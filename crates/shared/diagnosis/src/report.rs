//! A diagnosed failure as a plain value, and its renderings.

use crate::{Diagnose, Kind, Place};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt;

/// One link of a report: one layer's view of the failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What this layer was doing when it failed: a lower-case fragment.
    pub message: String,
    /// The stable name, absent for errors of other libraries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The thing at fault as this layer knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What the reader can do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A whole failure: its class, and its links from the outermost to the root cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The class of the outermost error.
    pub kind: Kind,
    /// Whether the same call may succeed later by itself.
    pub retryable: bool,
    /// From what was attempted to the root cause; never empty.
    pub links: Vec<Link>,
}

impl Report {
    /// Starts a report that has no error type of its own, for binaries and borders.
    pub fn new(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Report {
            kind,
            retryable: kind.is_retryable(),
            links: vec![Link {
                message: message.into(),
                code: Some(code.to_owned()),
                place: None,
                hint: None,
            }],
        }
    }

    /// The chain of a diagnosed error, ours first and then the sources of other libraries.
    pub fn of(error: &dyn Diagnose) -> Self {
        let mut links = Vec::new();
        let mut current = error;
        loop {
            links.push(Link {
                message: current.to_string(),
                code: Some(current.code().to_owned()),
                place: current.place(),
                hint: current.hint().map(std::borrow::Cow::into_owned),
            });
            match current.because() {
                Some(inner) => current = inner,
                None => break,
            }
        }
        let mut foreign: Option<&dyn Error> = current.source();
        while let Some(source) = foreign {
            links.push(Link {
                message: source.to_string(),
                code: None,
                place: None,
                hint: None,
            });
            foreign = source.source();
        }
        Report {
            kind: error.kind(),
            retryable: error.is_retryable(),
            links,
        }
    }

    /// Names the thing at fault in the outermost link.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.links[0].place = Some(place);
        self
    }

    /// Adds a next step to the outermost link.
    #[must_use]
    pub fn help(mut self, hint: impl Into<String>) -> Self {
        self.links[0].hint = Some(hint.into());
        self
    }

    /// Hangs another failure below this one as its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: &dyn Diagnose) -> Self {
        let cause = Report::of(cause);
        self.retryable = cause.retryable;
        self.links.extend(cause.links);
        self
    }

    /// Hangs an error of another library below this one.
    #[must_use]
    pub fn caused_by_error(mut self, cause: &dyn Error) -> Self {
        let mut current = Some(cause);
        while let Some(error) = current {
            self.links.push(Link {
                message: error.to_string(),
                code: None,
                place: None,
                hint: None,
            });
            current = error.source();
        }
        self
    }

    /// The stable name of the outermost link.
    #[must_use]
    pub fn code(&self) -> &str {
        self.links[0].code.as_deref().unwrap_or("unknown")
    }

    /// The first place named in the chain.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.links.iter().find_map(|link| link.place.as_ref())
    }

    /// The hint nearest to the root cause, which is the most exact one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.links
            .iter()
            .rev()
            .find_map(|link| link.hint.as_deref())
    }

    /// The messages of the chain, joined by `: `.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = String::new();
        for link in &self.links {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&link.message);
        }
        text
    }

    /// Chain, place where the chain does not already name it, and hint: for an API message.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut text = self.chain();
        if let Some(place) = self.place().map(ToString::to_string)
            && !text.contains(&place)
        {
            text.push_str(&format!(" ({place})"));
        }
        if let Some(hint) = self.hint() {
            text.push_str("; ");
            text.push_str(hint);
        }
        text
    }

    /// Several lines for a person at a terminal, without colour and without a final newline.
    #[must_use]
    pub fn terminal(&self) -> String {
        let mut text = format!("error: {}", self.links[0].message);
        if let Some(place) = self.place() {
            text.push_str(&format!("\n   at: {place}"));
        }
        for link in &self.links[1..] {
            text.push_str("\n  why: ");
            text.push_str(&link.message);
        }
        if let Some(hint) = self.hint() {
            text.push_str("\n help: ");
            text.push_str(hint);
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

impl Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    #[derive(Debug)]
    struct Inner;
    impl fmt::Display for Inner {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("connection refused")
        }
    }
    impl Error for Inner {}

    #[derive(Debug)]
    struct Fetch(Inner);
    impl fmt::Display for Fetch {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot fetch the artifact")
        }
    }
    impl Error for Fetch {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    impl Diagnose for Fetch {
        fn kind(&self) -> Kind {
            Kind::Unavailable
        }
        fn code(&self) -> &'static str {
            "artifact-fetch"
        }
        fn place(&self) -> Option<Place> {
            Some(Place::Url {
                url: "http://127.0.0.1:1/a".into(),
            })
        }
        fn hint(&self) -> Option<Cow<'static, str>> {
            Some("start the cloud".into())
        }
    }

    #[derive(Debug)]
    struct Deploy(Fetch);
    impl fmt::Display for Deploy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("deployment failed")
        }
    }
    impl Error for Deploy {}
    impl Diagnose for Deploy {
        fn kind(&self) -> Kind {
            self.0.kind()
        }
        fn code(&self) -> &'static str {
            "deployment-failed"
        }
        fn because(&self) -> Option<&dyn Diagnose> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_report_keeps_every_link_with_place_and_hint_of_the_inner_layer() {
        let report = Deploy(Fetch(Inner)).report();
        assert_eq!(report.kind, Kind::Unavailable);
        assert!(report.retryable);
        assert_eq!(report.code(), "deployment-failed");
        assert_eq!(
            report.chain(),
            "deployment failed: cannot fetch the artifact: connection refused"
        );
        assert_eq!(
            report.one_line(),
            "deployment failed: cannot fetch the artifact: connection refused (http://127.0.0.1:1/a); start the cloud"
        );
        assert_eq!(
            report.terminal(),
            "error: deployment failed\n   at: http://127.0.0.1:1/a\n  why: cannot fetch the artifact\n  why: connection refused\n help: start the cloud"
        );
    }

    #[test]
    fn a_report_survives_the_wire() {
        let report = Deploy(Fetch(Inner)).report();
        let text = serde_json::to_string(&report).expect("a report serialises");
        assert_eq!(
            serde_json::from_str::<Report>(&text).expect("and comes back"),
            report
        );
    }

    #[test]
    fn a_report_can_be_built_at_a_border() {
        let report = Report::new(Kind::Device, "write", "cannot write the file")
            .at(Place::file("/x"))
            .help("free some space")
            .caused_by_error(&Inner);
        assert_eq!(
            report.one_line(),
            "cannot write the file: connection refused (/x); free some space"
        );
        assert!(!report.retryable);
    }
}
