//! The MQTT topics of jobs.

/// Which execution a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobReference<'t> {
    /// `$next`: the head of the queue.
    Next,
    /// A job.
    Id(&'t str),
}

/// What a device asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'t> {
    /// `jobs/get`: the pending list.
    GetPending,
    /// `jobs/start-next`.
    StartNext,
    /// `jobs/<id>/get`.
    Describe(JobReference<'t>),
    /// `jobs/<id>/update`.
    Update(&'t str),
}

/// A request topic, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTopic<'t> {
    pub thing: &'t str,
    /// The namespace, without the prefix `namespace-`.
    pub namespace: Option<&'t str>,
    pub request: Request<'t>,
}

impl<'t> RequestTopic<'t> {
    /// Recognises `$aws/things/T/jobs/…` requests, with and without namespace.
    #[must_use]
    pub fn parse(topic: &'t str) -> Option<Self> {
        let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once('/')?;
        let mut levels = rest.strip_prefix("jobs/")?.split('/');
        let (first, second, third) = (levels.next()?, levels.next(), levels.next());
        if thing.is_empty() || levels.next().is_some() {
            return None;
        }
        let (namespace, request) = match (first, second, third) {
            ("get", None, None) => (None, Request::GetPending),
            ("start-next", None, None) => (None, Request::StartNext),
            (start, None, None) => {
                let namespace = start.strip_prefix("start-next-namespace-")?;
                (Some(namespace), Request::StartNext)
            }
            ("namespace", ..) => return None,
            (id, Some(verb), None) if id.starts_with("namespace-") => {
                // The pending list of a namespace.
                let namespace = id.strip_prefix("namespace-")?;
                (
                    Some(namespace),
                    (verb == "get").then_some(Request::GetPending)?,
                )
            }
            (id, Some(verb), None) => (None, Request::of_job(id, verb)?),
            (id, Some(middle), Some(verb)) => {
                let namespace = middle.strip_prefix("namespace-")?;
                (Some(namespace), Request::of_job(id, verb)?)
            }
            _ => return None,
        };
        (namespace != Some("")).then_some(RequestTopic {
            thing,
            namespace,
            request,
        })
    }

    /// The topic of the pending list's notifications.
    #[must_use]
    pub fn notify(thing: &str, namespace: Option<&str>) -> String {
        match namespace {
            None => format!("$aws/things/{thing}/jobs/notify"),
            Some(name) => format!("$aws/things/{thing}/jobs/notify-namespace-{name}"),
        }
    }

    /// The topic of the head's notifications.
    #[must_use]
    pub fn notify_next(thing: &str, namespace: Option<&str>) -> String {
        match namespace {
            None => format!("$aws/things/{thing}/jobs/notify-next"),
            Some(name) => format!("$aws/things/{thing}/jobs/notify-next-namespace-{name}"),
        }
    }

    /// The topic of the answer to a request topic.
    #[must_use]
    pub fn reply(request_topic: &str, accepted: bool) -> String {
        let end = if accepted { "accepted" } else { "rejected" };
        format!("{request_topic}/{end}")
    }
}

impl<'t> Request<'t> {
    fn of_job(id: &'t str, verb: &str) -> Option<Self> {
        match (id, verb) {
            ("", _) => None,
            ("$next", "get") => Some(Request::Describe(JobReference::Next)),
            (id, "get") => Some(Request::Describe(JobReference::Id(id))),
            ("$next", _) => None,
            (id, "update") => Some(Request::Update(id)),
            _ => None,
        }
    }
}
