//! Reason codes of MQTT 5, which also stand for the return codes of 3.1.1.

use std::fmt;

/// One byte that says how something went. From 0x80 on it is a failure.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub u8);

#[rustfmt::skip]
impl Reason {
    pub const SUCCESS: Reason = Reason(0x00);
    pub const GRANTED_QOS_1: Reason = Reason(0x01);
    pub const GRANTED_QOS_2: Reason = Reason(0x02);
    pub const DISCONNECT_WITH_WILL: Reason = Reason(0x04);
    pub const NO_MATCHING_SUBSCRIBERS: Reason = Reason(0x10);
    pub const NO_SUBSCRIPTION_EXISTED: Reason = Reason(0x11);
    pub const CONTINUE_AUTHENTICATION: Reason = Reason(0x18);
    pub const REAUTHENTICATE: Reason = Reason(0x19);
    pub const UNSPECIFIED_ERROR: Reason = Reason(0x80);
    pub const MALFORMED_PACKET: Reason = Reason(0x81);
    pub const PROTOCOL_ERROR: Reason = Reason(0x82);
    pub const IMPLEMENTATION_SPECIFIC: Reason = Reason(0x83);
    pub const UNSUPPORTED_PROTOCOL_VERSION: Reason = Reason(0x84);
    pub const CLIENT_IDENTIFIER_NOT_VALID: Reason = Reason(0x85);
    pub const BAD_USER_NAME_OR_PASSWORD: Reason = Reason(0x86);
    pub const NOT_AUTHORIZED: Reason = Reason(0x87);
    pub const SERVER_UNAVAILABLE: Reason = Reason(0x88);
    pub const SERVER_BUSY: Reason = Reason(0x89);
    pub const BANNED: Reason = Reason(0x8a);
    pub const SERVER_SHUTTING_DOWN: Reason = Reason(0x8b);
    pub const BAD_AUTHENTICATION_METHOD: Reason = Reason(0x8c);
    pub const KEEP_ALIVE_TIMEOUT: Reason = Reason(0x8d);
    pub const SESSION_TAKEN_OVER: Reason = Reason(0x8e);
    pub const TOPIC_FILTER_INVALID: Reason = Reason(0x8f);
    pub const TOPIC_NAME_INVALID: Reason = Reason(0x90);
    pub const PACKET_IDENTIFIER_IN_USE: Reason = Reason(0x91);
    pub const PACKET_IDENTIFIER_NOT_FOUND: Reason = Reason(0x92);
    pub const RECEIVE_MAXIMUM_EXCEEDED: Reason = Reason(0x93);
    pub const TOPIC_ALIAS_INVALID: Reason = Reason(0x94);
    pub const PACKET_TOO_LARGE: Reason = Reason(0x95);
    pub const MESSAGE_RATE_TOO_HIGH: Reason = Reason(0x96);
    pub const QUOTA_EXCEEDED: Reason = Reason(0x97);
    pub const ADMINISTRATIVE_ACTION: Reason = Reason(0x98);
    pub const PAYLOAD_FORMAT_INVALID: Reason = Reason(0x99);
    pub const RETAIN_NOT_SUPPORTED: Reason = Reason(0x9a);
    pub const QOS_NOT_SUPPORTED: Reason = Reason(0x9b);
    pub const USE_ANOTHER_SERVER: Reason = Reason(0x9c);
    pub const SERVER_MOVED: Reason = Reason(0x9d);
    pub const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: Reason = Reason(0x9e);
    pub const CONNECTION_RATE_EXCEEDED: Reason = Reason(0x9f);
    pub const MAXIMUM_CONNECT_TIME: Reason = Reason(0xa0);
    pub const SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: Reason = Reason(0xa1);
    pub const WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: Reason = Reason(0xa2);

    /// The name in kebab-case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::SUCCESS => "success",
            Reason::GRANTED_QOS_1 => "granted-qos-1",
            Reason::GRANTED_QOS_2 => "granted-qos-2",
            Reason::DISCONNECT_WITH_WILL => "disconnect-with-will",
            Reason::NO_MATCHING_SUBSCRIBERS => "no-matching-subscribers",
            Reason::NO_SUBSCRIPTION_EXISTED => "no-subscription-existed",
            Reason::CONTINUE_AUTHENTICATION => "continue-authentication",
            Reason::REAUTHENTICATE => "reauthenticate",
            Reason::UNSPECIFIED_ERROR => "unspecified-error",
            Reason::MALFORMED_PACKET => "malformed-packet",
            Reason::PROTOCOL_ERROR => "protocol-error",
            Reason::IMPLEMENTATION_SPECIFIC => "implementation-specific-error",
            Reason::UNSUPPORTED_PROTOCOL_VERSION => "unsupported-protocol-version",
            Reason::CLIENT_IDENTIFIER_NOT_VALID => "client-identifier-not-valid",
            Reason::BAD_USER_NAME_OR_PASSWORD => "bad-user-name-or-password",
            Reason::NOT_AUTHORIZED => "not-authorized",
            Reason::SERVER_UNAVAILABLE => "server-unavailable",
            Reason::SERVER_BUSY => "server-busy",
            Reason::BANNED => "banned",
            Reason::SERVER_SHUTTING_DOWN => "server-shutting-down",
            Reason::BAD_AUTHENTICATION_METHOD => "bad-authentication-method",
            Reason::KEEP_ALIVE_TIMEOUT => "keep-alive-timeout",
            Reason::SESSION_TAKEN_OVER => "session-taken-over",
            Reason::TOPIC_FILTER_INVALID => "topic-filter-invalid",
            Reason::TOPIC_NAME_INVALID => "topic-name-invalid",
            Reason::PACKET_IDENTIFIER_IN_USE => "packet-identifier-in-use",
            Reason::PACKET_IDENTIFIER_NOT_FOUND => "packet-identifier-not-found",
            Reason::RECEIVE_MAXIMUM_EXCEEDED => "receive-maximum-exceeded",
            Reason::TOPIC_ALIAS_INVALID => "topic-alias-invalid",
            Reason::PACKET_TOO_LARGE => "packet-too-large",
            Reason::MESSAGE_RATE_TOO_HIGH => "message-rate-too-high",
            Reason::QUOTA_EXCEEDED => "quota-exceeded",
            Reason::ADMINISTRATIVE_ACTION => "administrative-action",
            Reason::PAYLOAD_FORMAT_INVALID => "payload-format-invalid",
            Reason::RETAIN_NOT_SUPPORTED => "retain-not-supported",
            Reason::QOS_NOT_SUPPORTED => "qos-not-supported",
            Reason::USE_ANOTHER_SERVER => "use-another-server",
            Reason::SERVER_MOVED => "server-moved",
            Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED => "shared-subscriptions-not-supported",
            Reason::CONNECTION_RATE_EXCEEDED => "connection-rate-exceeded",
            Reason::MAXIMUM_CONNECT_TIME => "maximum-connect-time",
            Reason::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED => "subscription-identifiers-not-supported",
            Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED => "wildcard-subscriptions-not-supported",
            Reason(_) => "unknown-reason",
        }
    }
}

impl Reason {
    /// Whether it says that something failed.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.0 >= 0x80
    }

    /// The CONNACK return code of 3.1.1 that says this best.
    #[must_use]
    pub fn to_return_code(self) -> u8 {
        match self {
            Reason::SUCCESS => 0,
            Reason::UNSUPPORTED_PROTOCOL_VERSION => 1,
            Reason::CLIENT_IDENTIFIER_NOT_VALID => 2,
            Reason::BAD_USER_NAME_OR_PASSWORD | Reason::BAD_AUTHENTICATION_METHOD => 4,
            Reason::NOT_AUTHORIZED | Reason::BANNED => 5,
            _ => 3,
        }
    }

    /// The reason that a CONNACK return code of 3.1.1 stands for.
    #[must_use]
    pub fn from_return_code(code: u8) -> Option<Reason> {
        Some(match code {
            0 => Reason::SUCCESS,
            1 => Reason::UNSUPPORTED_PROTOCOL_VERSION,
            2 => Reason::CLIENT_IDENTIFIER_NOT_VALID,
            3 => Reason::SERVER_UNAVAILABLE,
            4 => Reason::BAD_USER_NAME_OR_PASSWORD,
            5 => Reason::NOT_AUTHORIZED,
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
