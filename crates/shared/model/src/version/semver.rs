//! One version, as the nucleus's library reads it.

use std::cmp::Ordering;

/// How much of a version must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Three numbers: component versions.
    Strict,
    /// One to three numbers: the operand of a comparison.
    Loose,
    /// One to three numbers, `x` or `*` for minor and patch, a leading `v`.
    Npm,
}

/// A version taken apart. `text` is what was written, without blanks around and without the `v`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Semver {
    pub(super) text: String,
    pub(super) major: u32,
    pub(super) minor: Option<u32>,
    pub(super) patch: Option<u32>,
    pub(super) suffix: Vec<String>,
    pub(super) build: Option<String>,
}

impl Semver {
    pub(super) fn parse(text: &str, form: Form) -> Result<Self, &'static str> {
        let mut text = trim(text);
        if form == Form::Npm
            && let Some(rest) = text.strip_prefix(['v', 'V'])
        {
            text = trim(rest);
        }
        let (main, suffix) = split_suffix(text);
        let (numbers, suffix, build) = match suffix {
            None => {
                let (numbers, build) = split_build(main)?;
                (numbers, Vec::new(), build)
            }
            Some(suffix) => {
                let (kept, build) = split_build(suffix)?;
                // Of two builds neither is one: the whole stays suffix.
                let kept = if build.is_some() { kept } else { suffix };
                (main, split_like_java(kept, '.'), build)
            }
        };
        let parts = split_like_java(numbers, '.');
        Ok(Semver {
            text: text.to_owned(),
            major: number(parts.first(), false)?.ok_or("it has no major number")?,
            minor: part(parts.get(1), form, "it has no minor number")?,
            patch: part(parts.get(2), form, "it has no patch number")?,
            suffix: suffix.into_iter().map(str::to_owned).collect(),
            build: build.map(str::to_owned),
        })
    }

    /// The same version with missing numbers as 0, for ranges.
    pub(super) fn extrapolated(&self) -> Self {
        let (minor, patch) = (
            self.minor.unwrap_or_default(),
            self.patch.unwrap_or_default(),
        );
        let mut text = format!("{}.{minor}.{patch}", self.major);
        if !self.suffix.is_empty() {
            text.push('-');
            text.push_str(&self.suffix.join("."));
        }
        if let Some(build) = &self.build {
            text.push('+');
            text.push_str(build);
        }
        Semver {
            text,
            minor: Some(minor),
            patch: Some(patch),
            ..self.clone()
        }
    }

    /// The text without the build.
    pub(super) fn core(&self) -> &str {
        match &self.build {
            None => &self.text,
            Some(build) => self
                .text
                .strip_suffix(build.as_str())
                .and_then(|text| text.strip_suffix('+'))
                .unwrap_or(&self.text),
        }
    }

    /// Equal but for the build. Text decides, so `1.2` and `1.2.0` differ.
    pub(super) fn is_equivalent_to(&self, other: &Self) -> bool {
        self.core() == other.core()
    }

    /// Whether it is greater in the nucleus's own order, which is not total: words and numbers of
    /// a suffix compare as text, so that `2` < `10` < `1a` < `2`.
    pub(super) fn is_greater_than(&self, other: &Self) -> bool {
        let numbers = |version: &Self| {
            (
                version.major,
                version.minor.unwrap_or_default(),
                version.patch.unwrap_or_default(),
            )
        };
        match numbers(self).cmp(&numbers(other)) {
            Ordering::Less => return false,
            Ordering::Greater => return true,
            Ordering::Equal => {}
        }
        match (self.suffix.is_empty(), other.suffix.is_empty()) {
            (true, false) => return true,
            (false, true) => return false,
            _ => {}
        }
        for (own, others) in self.suffix.iter().zip(&other.suffix) {
            let order = match (own.parse::<i32>(), others.parse::<i32>()) {
                // Java subtracts, and the difference may overflow.
                (Ok(own), Ok(others)) => own.wrapping_sub(others).cmp(&0),
                _ => compare_words(own, others),
            };
            match order {
                Ordering::Less => return false,
                Ordering::Greater => return true,
                Ordering::Equal => {}
            }
        }
        self.suffix.len() > other.suffix.len()
    }

    /// A total order that agrees with the nucleus's wherever that is an order.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| match (self.suffix.is_empty(), other.suffix.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_suffixes(&self.suffix, &other.suffix),
            })
    }
}

fn compare_suffixes(left: &[String], right: &[String]) -> Ordering {
    for (left, right) in left.iter().zip(right) {
        let order = match (left.parse::<i32>(), right.parse::<i32>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => compare_words(left, right),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

fn compare_words(left: &str, right: &str) -> Ordering {
    let fold = |text: &str| {
        text.chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    fold(left).cmp(&fold(right))
}

/// Java's `trim`: all up to the blank goes, controls included.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Main part and suffix: the first hyphen splits, unless a build begins before it.
fn split_suffix(text: &str) -> (&str, Option<&str>) {
    match text.split_once('-') {
        Some((main, suffix)) if !main.contains('+') => (main, Some(suffix)),
        _ => (text, None),
    }
}

/// Text before the build, and the build where there is exactly one.
fn split_build(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if text.ends_with('+') {
        return Err("its build is empty");
    }
    let parts = split_like_java(text, '+');
    let before = parts.first().copied().unwrap_or_default();
    Ok((before, (parts.len() == 2).then(|| parts[1])))
}

/// Java's `split`: empty parts at the end vanish, but the empty text has one part.
fn split_like_java(text: &str, separator: char) -> Vec<&str> {
    if text.is_empty() {
        return vec![""];
    }
    let mut parts: Vec<&str> = text.split(separator).collect();
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

/// A number of the version; `None` for a wildcard where one may stand.
fn number(part: Option<&&str>, wildcard: bool) -> Result<Option<u32>, &'static str> {
    let part = part.copied().unwrap_or_default();
    if wildcard && matches!(part, "x" | "X" | "*") {
        return Ok(None);
    }
    if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("three numbers are needed, joined by dots");
    }
    match part.parse::<i32>() {
        Ok(number) => Ok(Some(number.unsigned_abs())),
        Err(_) => Err("a number is larger than 2147483647"),
    }
}

fn part(
    part: Option<&&str>,
    form: Form,
    missing: &'static str,
) -> Result<Option<u32>, &'static str> {
    if part.is_none() {
        return match form {
            Form::Strict => Err(missing),
            Form::Loose | Form::Npm => Ok(None),
        };
    }
    number(part, form == Form::Npm)
}
