//! The `Condition` block: operators over the keys of a request.

use crate::PolicyError;
use crate::pattern::{Template, Text};
use crate::statement::is_thing_variable;
use serde_json::Value;
use std::borrow::Cow;
use std::net::IpAddr;

/// The keys of a request, as variables and condition keys see them. Names ignore ASCII case.
pub(crate) trait Variables {
    /// All values of a key; `None` when the request has no such key.
    fn values<'v>(&'v self, key: &str) -> Option<Vec<Cow<'v, str>>>;
}

/// One operator with one key and its values.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    operator: Operator,
    negated: bool,
    if_exists: bool,
    quantifier: Quantifier,
    key: String,
    values: Vec<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    One,
    Any,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    EqualsIgnoreCase,
    Like,
    Number(Order),
    Date(Order),
    Bool,
    Ip,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Order::Equal => left == right,
            Order::Less => left < right,
            Order::LessOrEqual => left <= right,
            Order::Greater => left > right,
            Order::GreaterOrEqual => left >= right,
        }
    }

    fn parse(name: &str) -> Option<(Order, bool)> {
        Some(match name {
            "Equals" => (Order::Equal, false),
            "NotEquals" => (Order::Equal, true),
            "LessThan" => (Order::Less, false),
            "LessThanEquals" => (Order::LessOrEqual, false),
            "GreaterThan" => (Order::Greater, false),
            "GreaterThanEquals" => (Order::GreaterOrEqual, false),
            _ => return None,
        })
    }
}

fn operator(name: &str) -> Option<(Operator, bool)> {
    Some(match name {
        "StringEquals" | "BinaryEquals" => (Operator::Equals, false),
        "StringNotEquals" => (Operator::Equals, true),
        "StringEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, true),
        "StringLike" | "ArnLike" | "ArnEquals" => (Operator::Like, false),
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (Operator::Like, true),
        "Bool" => (Operator::Bool, false),
        "IpAddress" => (Operator::Ip, false),
        "NotIpAddress" => (Operator::Ip, true),
        "Null" => (Operator::Null, false),
        _ => {
            if let Some(order) = name.strip_prefix("Numeric") {
                let (order, negated) = Order::parse(order)?;
                (Operator::Number(order), negated)
            } else {
                let (order, negated) = Order::parse(name.strip_prefix("Date")?)?;
                (Operator::Date(order), negated)
            }
        }
    })
}

impl Condition {
    /// Parses a whole `Condition` member.
    pub(crate) fn parse(
        value: &Value,
        pointer: &str,
        variables: bool,
    ) -> Result<Vec<Condition>, PolicyError> {
        let Some(operators) = value.as_object() else {
            return Err(PolicyError::member(pointer, "Condition must be an object"));
        };
        let mut conditions = Vec::new();
        for (full_name, keys) in operators {
            let at = format!("{pointer}/{full_name}");
            let (quantifier, name) = if let Some(rest) = full_name.strip_prefix("ForAllValues:") {
                (Quantifier::All, rest)
            } else if let Some(rest) = full_name.strip_prefix("ForAnyValue:") {
                (Quantifier::Any, rest)
            } else {
                (Quantifier::One, full_name.as_str())
            };
            let (name, if_exists) = match name.strip_suffix("IfExists") {
                Some(name) => (name, true),
                None => (name, false),
            };
            let Some((operator, negated)) = operator(name) else {
                return Err(PolicyError::member(at, "unknown condition operator"));
            };
            let Some(keys) = keys.as_object() else {
                return Err(PolicyError::member(at, "an object of keys is expected"));
            };
            for (key, values) in keys {
                conditions.push(Condition {
                    operator,
                    negated,
                    if_exists,
                    quantifier,
                    key: key.clone(),
                    values: values_of(values, &format!("{at}/{key}"), operator, variables)?,
                });
            }
        }
        Ok(conditions)
    }

    pub(crate) fn uses_thing(&self) -> bool {
        is_thing_variable(&self.key)
            || self
                .values
                .iter()
                .flat_map(Template::variables)
                .any(is_thing_variable)
    }

    /// Whether the request meets the condition.
    pub(crate) fn holds(&self, variables: &dyn Variables) -> bool {
        let actual = variables.values(&self.key).filter(|list| !list.is_empty());
        if self.operator == Operator::Null {
            let wanted = self.values.iter().any(|value| value.is_text("true"));
            return actual.is_none() == wanted;
        }
        let Some(actual) = actual else {
            // An absent key meets negated operators, …IfExists and ForAllValues. Of no values, none
            // is any.
            return self.if_exists
                || match self.quantifier {
                    Quantifier::All => true,
                    Quantifier::Any => false,
                    Quantifier::One => self.negated,
                };
        };
        let one = |text: &str| self.values.iter().any(|v| self.meets(v, text, variables));
        let test = |text: &Cow<'_, str>| one(text) != self.negated;
        match self.quantifier {
            Quantifier::All => actual.iter().all(test),
            Quantifier::Any => actual.iter().any(test),
            Quantifier::One if self.negated => actual.iter().all(test),
            Quantifier::One => actual.iter().any(test),
        }
    }

    fn meets(&self, wanted: &Template, actual: &str, variables: &dyn Variables) -> bool {
        let value = |name: &str| variables.values(name)?.into_iter().next();
        if self.operator == Operator::Like {
            return wanted
                .bind(value)
                .is_some_and(|pattern| pattern.matches(Text::new(actual, "")));
        }
        let Some(wanted) = wanted.text(value) else {
            return false;
        };
        match self.operator {
            Operator::Equals => wanted == actual,
            Operator::EqualsIgnoreCase => wanted.eq_ignore_ascii_case(actual),
            Operator::Bool => wanted.eq_ignore_ascii_case(actual),
            Operator::Number(order) => match (actual.parse::<f64>(), wanted.parse::<f64>()) {
                (Ok(left), Ok(right)) => order.holds(left, right),
                _ => false,
            },
            Operator::Date(order) => match (epoch_ms(actual), epoch_ms(&wanted)) {
                (Some(left), Some(right)) => order.holds(left, right),
                _ => false,
            },
            Operator::Ip => actual.parse().is_ok_and(|ip| in_network(ip, &wanted)),
            Operator::Like | Operator::Null => false,
        }
    }
}

fn values_of(
    value: &Value,
    pointer: &str,
    operator: Operator,
    variables: bool,
) -> Result<Vec<Template>, PolicyError> {
    let one = |value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            _ => {
                return Err(PolicyError::member(
                    pointer,
                    "a text, number or boolean is expected here",
                ));
            }
        };
        Ok(if operator == Operator::Like {
            Template::compile(&text, variables)
        } else {
            Template::compile_text(&text, variables)
        })
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

fn in_network(ip: IpAddr, network: &str) -> bool {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base, bits.parse().ok()),
        None => (network, Some(128)),
    };
    let (Ok(base), Some(bits)) = (base.parse::<IpAddr>(), bits) else {
        return false;
    };
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            let shift = 32 - u32::min(bits, 32);
            u64::from(base.to_bits()) >> shift == u64::from(ip.to_bits()) >> shift
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            let shift = 128 - u32::min(bits, 128);
            base.to_bits().checked_shr(shift) == ip.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

/// Milliseconds of a W3C date (`2026-01-02`, `2026-01-02T03:04:05Z`, fractions allowed) or of
/// epoch seconds.
fn epoch_ms(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then_some((seconds * 1000.0) as i64);
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let hour: i64 = time.next()?.parse().ok()?;
    let minute: i64 = time.next()?.parse().ok()?;
    let second: f64 = time.next().unwrap_or("0").parse().ok()?;
    let in_range = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&second);
    in_range.then(|| {
        let minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute;
        minutes * 60_000 + (second * 1000.0) as i64
    })
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static [(&'static str, &'static [&'static str])]);

    impl Variables for Fixed {
        fn values<'v>(&'v self, key: &str) -> Option<Vec<Cow<'v, str>>> {
            let (_, values) = self.0.iter().find(|(k, _)| k.eq_ignore_ascii_case(key))?;
            Some(values.iter().map(|v| Cow::Borrowed(*v)).collect())
        }
    }

    const REQUEST: Fixed = Fixed(&[
        ("aws:SourceIp", &["10.1.2.3"]),
        ("aws:CurrentTime", &["2026-03-01T12:00:00Z"]),
        ("aws:SecureTransport", &["true"]),
        ("n", &["5"]),
        ("name", &["Core-1"]),
        ("tags", &["a", "b"]),
    ]);

    fn check(condition: &str, expected: bool) {
        let value = serde_json::from_str(condition).expect("the table holds JSON");
        let parsed = Condition::parse(&value, "", true).expect("the table holds conditions");
        let holds = parsed.iter().all(|c| c.holds(&REQUEST));
        assert_eq!(holds, expected, "{condition}");
    }

    #[test]
    fn operators() {
        for (condition, expected) in [
            (r#"{"StringEquals":{"name":"Core-1"}}"#, true),
            (r#"{"StringEquals":{"name":["x","Core-1"]}}"#, true),
            (r#"{"StringEquals":{"name":"Core-*"}}"#, false),
            (r#"{"StringLike":{"name":"Core-*"}}"#, true),
            (r#"{"StringLike":{"name":"${name}"}}"#, true),
            (r#"{"StringEquals":{"NAME":"${name}"}}"#, true),
            (r#"{"StringEqualsIgnoreCase":{"name":"core-1"}}"#, true),
            (r#"{"StringNotEquals":{"name":"Core-1"}}"#, false),
            (r#"{"StringNotEquals":{"absent":"x"}}"#, true),
            (r#"{"StringEquals":{"absent":"x"}}"#, false),
            (r#"{"StringEqualsIfExists":{"absent":"x"}}"#, true),
            (r#"{"Null":{"absent":"true"}}"#, true),
            (r#"{"Null":{"name":true}}"#, false),
            (r#"{"Bool":{"aws:SecureTransport":true}}"#, true),
            (r#"{"IpAddress":{"aws:SourceIp":"10.1.0.0/16"}}"#, true),
            (
                r#"{"IpAddress":{"aws:SourceIp":["10.2.0.0/16","0.0.0.0/0"]}}"#,
                true,
            ),
            (r#"{"NotIpAddress":{"aws:SourceIp":"10.1.0.0/16"}}"#, false),
            (r#"{"IpAddress":{"aws:SourceIp":"10.1.0.0/x"}}"#, false),
            (r#"{"IpAddress":{"aws:SourceIp":"::/0"}}"#, false),
            (r#"{"NumericLessThan":{"n":6}}"#, true),
            (r#"{"NumericGreaterThanEquals":{"n":"5"}}"#, true),
            (r#"{"NumericEquals":{"n":"x"}}"#, false),
            (
                r#"{"DateLessThan":{"aws:CurrentTime":"2026-03-01T12:00:01Z"}}"#,
                true,
            ),
            (
                r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-03-01"}}"#,
                true,
            ),
            (
                r#"{"DateGreaterThan":{"aws:CurrentTime":"nonsense"}}"#,
                false,
            ),
            (
                r#"{"ForAllValues:StringEquals":{"tags":["a","b","c"]}}"#,
                true,
            ),
            (r#"{"ForAllValues:StringEquals":{"tags":["a"]}}"#, false),
            (r#"{"ForAnyValue:StringEquals":{"tags":["a"]}}"#, true),
            (r#"{"ForAnyValue:StringNotEquals":{"tags":["a"]}}"#, true),
            (r#"{"ForAnyValue:StringNotEquals":{"absent":"a"}}"#, false),
            (r#"{"ForAllValues:StringEquals":{"absent":"a"}}"#, true),
            (r#"{"StringEquals":{"name":"Core-1","n":"6"}}"#, false),
        ] {
            check(condition, expected);
        }
    }

    #[test]
    fn unknown_operators_are_refused() {
        let value = serde_json::json!({"StringIsh": {"a": "b"}});
        assert!(Condition::parse(&value, "", true).is_err());
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000)),
            ("2026-03-01T12:00:00.5Z", Some(1_772_366_400_500)),
            ("12", Some(12_000)),
            ("2026-13-01", None),
            ("", None),
        ] {
            assert_eq!(epoch_ms(text), expected, "{text}");
        }
    }
}
