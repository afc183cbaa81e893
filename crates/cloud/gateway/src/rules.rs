//! Which topics a client may name, before any policy is asked (cloud facts §5).

use sward_mqtt::topic::{is_valid_topic, parse_subscription};

/// Longest topic of a client, in bytes.
const TOPIC: usize = 256;
/// Longest reserved topic, in bytes.
const RESERVED: usize = 512;
/// Most `/` in a topic.
const SLASHES: usize = 7;

/// What a topic that is published to is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Between clients.
    Ordinary,
    /// `$aws/…`: a service's.
    Reserved,
}

/// Checks a topic that a client publishes to.
pub(crate) fn check_publish(topic: &str) -> Result<Kind, &'static str> {
    if !is_valid_topic(topic) {
        return Err("the topic is empty or holds a wildcard");
    }
    let Some(rest) = topic.strip_prefix("$aws/") else {
        if topic.starts_with('$') {
            return Err("topics that begin with $ are reserved");
        }
        return depth(topic).map(|()| Kind::Ordinary);
    };
    if let Some(ingest) = rest.strip_prefix("rules/") {
        // The prefix `$aws/rules/RULE/` does not count.
        let (_, inner) = ingest.split_once('/').unwrap_or((ingest, ""));
        depth(inner)?;
    }
    if topic.len() > RESERVED {
        return Err("the reserved topic is longer than 512 bytes");
    }
    Ok(Kind::Reserved)
}

/// Checks a subscription's text; the filter that policies are asked about comes back.
pub(crate) fn check_subscribe(text: &str) -> Result<&str, &'static str> {
    let parsed = parse_subscription(text).ok_or("the topic filter is not valid")?;
    let filter = parsed.filter;
    if filter.starts_with("$aws/") {
        if filter.len() > RESERVED {
            return Err("the reserved filter is longer than 512 bytes");
        }
    } else if filter.starts_with('$') {
        return Err("topics that begin with $ are reserved");
    } else {
        depth(filter)?;
    }
    Ok(filter)
}

/// Checks a topic that a service publishes to; services may use reserved ones.
pub(crate) fn check_service_topic(topic: &str) -> Result<(), &'static str> {
    if !is_valid_topic(topic) {
        return Err("it is empty or holds a wildcard");
    }
    if topic.starts_with('$') {
        return Ok(());
    }
    depth(topic)
}

fn depth(topic: &str) -> Result<(), &'static str> {
    if topic.len() > TOPIC {
        return Err("the topic is longer than 256 bytes");
    }
    if topic.bytes().filter(|byte| *byte == b'/').count() > SLASHES {
        return Err("the topic has more than 7 slashes");
    }
    Ok(())
}

/// Checks a client id.
pub(crate) fn check_client_id(client_id: &str) -> Result<(), &'static str> {
    if client_id.len() > 128 {
        return Err("the client id is longer than 128 bytes");
    }
    if client_id.starts_with('$') && !client_id.starts_with("$GEN/") {
        return Err("client ids that begin with $ are reserved");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_checked_as_the_limits_say() {
        let ordinary = Ok(Kind::Ordinary);
        let reserved = Ok(Kind::Reserved);
        let refused = |topic: &str| check_publish(topic).is_err();
        assert_eq!(check_publish("a/b"), ordinary);
        assert_eq!(check_publish("1/2/3/4/5/6/7/8"), ordinary);
        assert!(refused("1/2/3/4/5/6/7/8/9"));
        assert_eq!(check_publish(&"x".repeat(256)), ordinary);
        assert!(refused(&"x".repeat(257)));
        assert!(refused("a/+"));
        assert!(refused("$SYS/x"));
        assert!(refused("$share/g/x"));
        assert_eq!(check_publish("$aws/things/T/shadow/update"), reserved);
        assert_eq!(check_publish("$aws/rules/R/1/2/3/4/5/6/7/8"), reserved);
        assert!(refused("$aws/rules/R/1/2/3/4/5/6/7/8/9"));
        assert!(refused(&format!("$aws/{}", "x".repeat(508))));
        assert_eq!(check_subscribe("$share/g/a/+"), Ok("a/+"));
        assert_eq!(
            check_subscribe("$aws/things/+/jobs/#"),
            Ok("$aws/things/+/jobs/#")
        );
        assert!(check_subscribe("$SYS/#").is_err());
        assert!(check_subscribe("a/#/b").is_err());
        assert!(check_client_id(&"c".repeat(129)).is_err());
        assert!(check_client_id("$x").is_err());
        assert!(check_client_id("core1#2").is_ok());
    }
}
