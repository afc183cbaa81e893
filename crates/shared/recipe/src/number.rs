//! Numbers as Java prints them, since scripts see them so.

use serde_json::Number;

/// A number's text: integers as they are, fractions as `Double.toString` prints them (`1.0`,
/// `1.0E10`, `1.0E-7`).
#[must_use]
pub fn java_number(number: &Number) -> String {
    if number.is_f64() {
        java_double(number.as_f64().unwrap_or_default())
    } else {
        number.to_string()
    }
}

fn java_double(value: f64) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return format!("{sign}0.0");
    }
    let (digits, exponent) = shortest(magnitude);
    if (1e-3..1e7).contains(&magnitude) {
        return format!("{sign}{}", positional(&digits, exponent));
    }
    let (first, rest) = digits.split_at(1);
    let rest = if rest.is_empty() { "0" } else { rest };
    format!("{sign}{first}.{rest}E{exponent}")
}

/// The fewest digits that name this number, and the exponent of the first one.
fn shortest(magnitude: f64) -> (String, i32) {
    let parts = |text: &str| {
        let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits: String = digits.chars().filter(|c| *c != '.').collect();
        (digits, exponent.parse().unwrap_or_default())
    };
    let (digits, exponent) = parts(&format!("{magnitude:e}"));
    if digits.len() > 1 {
        return (digits, exponent);
    }
    // Java takes the nearest number of two digits where one would do (4.9E-324).
    let (digits, exponent) = parts(&format!("{magnitude:.1e}"));
    let digits = digits.strip_suffix('0').unwrap_or(&digits).to_owned();
    (digits, exponent)
}

fn positional(digits: &str, exponent: i32) -> String {
    match usize::try_from(exponent) {
        Err(_) => {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            format!("0.{zeros}{digits}")
        }
        Ok(exponent) if exponent + 1 >= digits.len() => {
            let zeros = "0".repeat(exponent + 1 - digits.len());
            format!("{digits}{zeros}.0")
        }
        Ok(exponent) => {
            let (whole, part) = digits.split_at(exponent + 1);
            format!("{whole}.{part}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::java_double;

    #[test]
    fn doubles_print_as_in_java() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.1, "1.1"),
            (100.0, "100.0"),
            (1_234_567.0, "1234567.0"),
            (12_345_678.0, "1.2345678E7"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1e10, "1.0E10"),
            (1e-3, "0.001"),
            (0.0123, "0.0123"),
            (9.99e-4, "9.99E-4"),
            (1e-7, "1.0E-7"),
            (-1.5e300, "-1.5E300"),
            (4.9e-324, "4.9E-324"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(java_double(value), text);
        }
    }
}
