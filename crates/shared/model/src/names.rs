//! Names that people choose: components, things, groups, policies, role aliases.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// Why a text is not a name of the given kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty { what: &'static str },
    /// The text is longer than AWS allows.
    #[error("{what} has {length} characters, {limit} are allowed")]
    TooLong {
        what: &'static str,
        length: usize,
        limit: usize,
    },
    /// A character that is not allowed, and where (characters from 0).
    #[error("{what} \"{text}\" holds {character:?} at position {position}, allowed are {allowed}")]
    Character {
        what: &'static str,
        text: String,
        character: char,
        position: usize,
        allowed: &'static str,
    },
    /// The text has another shape than expected (ids, ARNs).
    #[error("{what} \"{text}\" is not of the form {expected}")]
    Shape {
        what: &'static str,
        text: String,
        expected: &'static str,
    },
}

impl Diagnose for NameError {
    fn kind(&self) -> Kind {
        match self {
            NameError::TooLong { .. } => Kind::TooLarge,
            _ => Kind::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        "name-invalid"
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
}

pub(crate) struct Rule {
    pub(crate) what: &'static str,
    pub(crate) limit: usize,
    pub(crate) allowed: &'static str,
    pub(crate) is_allowed: fn(char) -> bool,
}

impl Rule {
    pub(crate) fn check(&self, text: &str) -> Result<(), NameError> {
        if text.is_empty() {
            return Err(NameError::Empty { what: self.what });
        }
        let length = text.chars().count();
        if length > self.limit {
            return Err(NameError::TooLong {
                what: self.what,
                length,
                limit: self.limit,
            });
        }
        let is_folder_word = matches!(text, "." | "..");
        match text
            .chars()
            .enumerate()
            .find(|(_, character)| is_folder_word || !(self.is_allowed)(*character))
        {
            None => Ok(()),
            Some((position, character)) => Err(NameError::Character {
                what: self.what,
                text: text.to_owned(),
                character,
                position,
                allowed: self.allowed,
            }),
        }
    }
}

/// Declares a checked string type: parse, display, order, serde as text.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                $rule.check(text)?;
                Ok($name(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                $rule.check(&text)?;
                Ok($name(text))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use checked_text;

checked_text!(
    /// The name of a component: 1 to 128 of `[a-zA-Z0-9-_.]`. It names folders too, so `.` and
    /// `..` are none.
    ComponentName,
    Rule {
        what: "component name",
        limit: 128,
        allowed: "letters, digits, '-', '_' and '.', not '.' or '..' alone",
        is_allowed: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
    }
);

checked_text!(
    /// The name of a thing: 1 to 128 of `[a-zA-Z0-9:_-]`.
    ThingName,
    Rule {
        what: "thing name",
        limit: 128,
        allowed: "letters, digits, ':', '_' and '-'",
        is_allowed: |c| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-'),
    }
);

checked_text!(
    /// The name of a thing group: 1 to 128 of `[a-zA-Z0-9:_-]`.
    ThingGroupName,
    Rule {
        what: "thing group name",
        limit: 128,
        allowed: "letters, digits, ':', '_' and '-'",
        is_allowed: |c| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-'),
    }
);

checked_text!(
    /// The name of an IoT policy: 1 to 128 of `[\w+=,.@-]`.
    PolicyName,
    Rule {
        what: "policy name",
        limit: 128,
        allowed: "letters, digits and '_+=,.@-'",
        is_allowed: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-'),
    }
);

checked_text!(
    /// The name of a role alias: 1 to 128 of `[\w=,@-]`.
    RoleAliasName,
    Rule {
        what: "role alias",
        limit: 128,
        allowed: "letters, digits and '_=,@-'",
        is_allowed: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '=' | ',' | '@' | '-'),
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_kind() {
        fn check<T: FromStr<Err = NameError> + fmt::Display>(text: &str, good: bool) {
            match text.parse::<T>() {
                Ok(name) => assert!(good && name.to_string() == text, "{text}"),
                Err(error) => assert!(!good, "{text}: {error}"),
            }
        }
        check::<ComponentName>("com.example.Hello_World-1", true);
        check::<ComponentName>("", false);
        check::<ComponentName>("a b", false);
        check::<ComponentName>(".", false);
        check::<ComponentName>("..", false);
        check::<ComponentName>("...", true);
        check::<ComponentName>(&"x".repeat(128), true);
        check::<ComponentName>(&"x".repeat(129), false);
        check::<ThingName>("core:1_a-b", true);
        check::<ThingName>("core/1", false);
        check::<ThingGroupName>("Group1", true);
        check::<PolicyName>("a+=,.@-_b", true);
        check::<RoleAliasName>("Alias.1", false);
    }

    #[test]
    fn an_error_names_character_and_position() {
        let error = "core/1"
            .parse::<ThingName>()
            .expect_err("a slash is refused");
        assert_eq!(
            error.to_string(),
            "thing name \"core/1\" holds '/' at position 4, allowed are letters, digits, ':', '_' and '-'"
        );
    }
}
