//! A connection's policies, asked with the names that MQTT uses.

use sward_mqtt::Text;
use sward_policy::iot::BoundPolicies;

/// Answers "may it", remembering the last answer, which is nearly always asked for again.
pub(crate) struct Judge {
    policies: BoundPolicies,
    client: String,
    topic: String,
    filter: String,
    /// The will that the broker keeps: its topic, and whether it is retained.
    will: Option<(Text, bool)>,
    published: Option<(Text, bool)>,
    received: Option<(Text, bool)>,
}

impl Judge {
    /// `arn` is `arn:aws:iot:<region>:<account>:`.
    pub(crate) fn new(arn: &str, policies: BoundPolicies) -> Judge {
        Judge {
            policies,
            client: format!("{arn}client/"),
            topic: format!("{arn}topic/"),
            filter: format!("{arn}topicfilter/"),
            will: None,
            published: None,
            received: None,
        }
    }

    /// Takes new policies.
    pub(crate) fn replace(&mut self, policies: BoundPolicies) {
        self.policies = policies;
        self.published = None;
        self.received = None;
    }

    pub(crate) fn connect(&self, client_id: &str) -> bool {
        self.policies
            .allows_in("iot:Connect", &self.client, client_id)
    }

    /// Remembers the will that was allowed.
    pub(crate) fn remember_will(&mut self, topic: &Text, retain: bool) {
        self.will = Some((topic.detached(), retain));
    }

    /// Whether the will, if there is one, is still allowed. Once it is not, it is forgotten.
    pub(crate) fn allows_will(&mut self) -> bool {
        let Some((topic, retain)) = self.will.take() else {
            return true;
        };
        let allowed = self.publish_once(&topic) && (!retain || self.retain(&topic));
        if allowed {
            self.will = Some((topic, retain));
        }
        allowed
    }

    pub(crate) fn publish_once(&self, topic: &str) -> bool {
        self.policies.allows_in("iot:Publish", &self.topic, topic)
    }

    pub(crate) fn publish(&mut self, topic: &Text) -> bool {
        if let Some((known, answer)) = &self.published
            && known == topic
        {
            return *answer;
        }
        let answer = self.publish_once(topic);
        self.published = Some((topic.detached(), answer));
        answer
    }

    pub(crate) fn retain(&self, topic: &str) -> bool {
        self.policies
            .allows_in("iot:RetainPublish", &self.topic, topic)
    }

    pub(crate) fn subscribe(&self, filter: &str) -> bool {
        self.policies
            .allows_in("iot:Subscribe", &self.filter, filter)
    }

    pub(crate) fn receive(&mut self, topic: &Text) -> bool {
        if let Some((known, answer)) = &self.received
            && known == topic
        {
            return *answer;
        }
        let answer = self.policies.allows_in("iot:Receive", &self.topic, topic);
        self.received = Some((topic.detached(), answer));
        answer
    }
}
