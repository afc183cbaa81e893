//! Requirements on versions: alternatives of comparisons that must all hold.

use super::ComponentVersion;
use super::semver::{Form, Semver};
use super::tokens::{self, Token};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// The longest requirement that is read, in bytes; merged ones of large fleets stay far below.
const LONGEST: usize = 64 * 1024;

/// Why a text is not a version requirement.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("version requirement \"{text}\" is invalid: {reason}")]
pub struct RequirementError {
    /// The text as given.
    pub text: String,
    /// What is wrong, as a fragment.
    pub reason: &'static str,
}

impl Diagnose for RequirementError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "version-requirement-invalid"
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("write a range such as ^1.0.0 or >=1.0.0 <2.0.0; a pre-release must start with a letter".into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    version: Semver,
}

impl Comparison {
    fn is_satisfied_by(&self, version: &Semver) -> bool {
        let equal = || version.is_equivalent_to(&self.version);
        let greater = || version.is_greater_than(&self.version);
        match self.operator {
            Operator::Equal => equal(),
            Operator::Less => !greater() && !equal(),
            Operator::LessOrEqual => !greater() || equal(),
            Operator::Greater => greater(),
            Operator::GreaterOrEqual => greater() || equal(),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.operator.as_str(), self.version.text)
    }
}

/// Comparisons that must all hold.
type All = Vec<Comparison>;

/// A requirement on a version, such as `>=1.0.0 <2.0.0`.
///
/// `Display` gives the normalised text (`^1.0.0` becomes `>=1.0.0 <2.0.0`), which parses to the
/// same requirement and is what goes to the cloud and into merges. Equality is that of the
/// normalised text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionRequirement {
    /// One of these must hold; never empty, nor is any of its members.
    alternatives: Vec<All>,
    text: String,
}

impl VersionRequirement {
    fn new(alternatives: Vec<All>) -> Self {
        let text = alternatives
            .iter()
            .map(|all| {
                let parts: Vec<String> = all.iter().map(ToString::to_string).collect();
                parts.join(" ")
            })
            .collect::<Vec<_>>()
            .join(" || ");
        VersionRequirement { alternatives, text }
    }

    /// Every version (`>=0.0.0`).
    #[must_use]
    pub fn any() -> Self {
        VersionRequirement::new(vec![vec![every_version()]])
    }

    /// Exactly this version (`=V`); builds of it count as equal.
    #[must_use]
    pub fn exactly(version: &ComponentVersion) -> Self {
        VersionRequirement::new(vec![vec![Comparison {
            operator: Operator::Equal,
            version: version.0.clone(),
        }]])
    }

    /// The requirements of several dependers in one, as the nucleus merges them: the normalised
    /// texts are joined by blanks and read again. An `||` inside a member is not put into
    /// parentheses, so the others bind to its nearest alternative only, and the order counts.
    ///
    /// # Errors
    /// When the joined text cannot be read, which happens where a member names a version that is
    /// no version of its own, such as `=1.0.0-1`. No members give [`VersionRequirement::any`].
    pub fn all_of<'a>(
        members: impl IntoIterator<Item = &'a VersionRequirement>,
    ) -> Result<Self, RequirementError> {
        let texts: Vec<&str> = members
            .into_iter()
            .map(|member| member.text.as_str())
            .collect();
        texts.join(" ").parse()
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the version satisfies this requirement.
    ///
    /// A lone comparison takes pre-releases as they come in the order. Where several must hold,
    /// a pre-release needs a comparison that names a pre-release of the same three numbers.
    #[must_use]
    pub fn is_satisfied_by(&self, version: &ComponentVersion) -> bool {
        self.admits(&version.0)
    }

    pub(super) fn admits(&self, version: &Semver) -> bool {
        self.alternatives.iter().any(|all| {
            all.iter().all(|one| one.is_satisfied_by(version))
                && (all.len() == 1 || version.suffix.is_empty() || names_pre_release(all, version))
        })
    }
}

fn names_pre_release(all: &All, version: &Semver) -> bool {
    all.iter().any(|comparison| {
        let named = &comparison.version;
        !named.suffix.is_empty()
            && (named.major, named.minor, named.patch)
                == (version.major, version.minor, version.patch)
    })
}

impl FromStr for VersionRequirement {
    type Err = RequirementError;
    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let fail = |reason| RequirementError {
            text: shorten(text),
            reason,
        };
        if text.len() > LONGEST {
            return Err(fail("it is longer than 65536 bytes"));
        }
        let tokens = tokens::prefix(if text.is_empty() { "*" } else { text }).map_err(fail)?;
        let alternatives = evaluate(tokens).map_err(fail)?;
        Ok(VersionRequirement::new(alternatives))
    }
}

fn shorten(text: &str) -> String {
    const SHOWN: usize = 200;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(SHOWN).collect();
    short.push('…');
    short
}

/// A binary operator that waits for its operands, the right one first.
struct Pending {
    is_or: bool,
    right: Option<Vec<All>>,
}

/// Evaluates the prefix order; tokens that nothing asks for are ignored.
fn evaluate(tokens: Vec<Token>) -> Result<Vec<All>, &'static str> {
    let mut tokens = tokens.into_iter();
    let mut pending: Vec<Pending> = Vec::new();
    loop {
        let token = tokens.next().ok_or("an operand is missing")?;
        let mut value = match token {
            Token::And | Token::Or => {
                pending.push(Pending {
                    is_or: token == Token::Or,
                    right: None,
                });
                continue;
            }
            Token::Open | Token::Close => return Err("parentheses do not match"),
            Token::Version(text) => bare_version(&text)?,
            Token::Hyphen => {
                let upper = operand(tokens.next())?;
                let lower = operand(tokens.next())?;
                hyphen(&lower, &upper)?
            }
            unary => unary_operator(&unary, &operand(tokens.next())?)?,
        };
        loop {
            match pending.pop() {
                None => return Ok(value),
                Some(Pending { is_or, right: None }) => {
                    pending.push(Pending {
                        is_or,
                        right: Some(value),
                    });
                    break;
                }
                Some(Pending {
                    is_or,
                    right: Some(right),
                }) => value = combine(value, is_or, right)?,
            }
        }
    }
}

fn combine(mut left: Vec<All>, is_or: bool, mut right: Vec<All>) -> Result<Vec<All>, &'static str> {
    if is_or {
        left.append(&mut right);
        return Ok(left);
    }
    match (left.as_mut_slice(), right.as_mut_slice()) {
        ([left_all], [right_all]) => {
            left_all.append(right_all);
            Ok(left)
        }
        // Grouping puts every OR outside of every AND, so no text leads here.
        _ => Err("an alternative stands inside a conjunction"),
    }
}

fn operand(token: Option<Token>) -> Result<String, &'static str> {
    match token {
        Some(Token::Version(text)) => Ok(text),
        _ => Err("an operator has no version"),
    }
}

fn every_version() -> Comparison {
    comparison(
        Operator::GreaterOrEqual,
        Semver {
            text: "0.0.0".to_owned(),
            major: 0,
            minor: Some(0),
            patch: Some(0),
            suffix: Vec::new(),
            build: None,
        },
    )
}

fn comparison(operator: Operator, version: Semver) -> Comparison {
    Comparison { operator, version }
}

fn bare_version(text: &str) -> Result<Vec<All>, &'static str> {
    if matches!(text, "*" | "latest") {
        return Ok(vec![vec![every_version()]]);
    }
    let version = Semver::parse(text, Form::Npm)?;
    if version.minor.is_some() && version.patch.is_some() {
        return Ok(vec![vec![comparison(Operator::Equal, version)]]);
    }
    tilde(&version)
}

fn unary_operator(token: &Token, text: &str) -> Result<Vec<All>, &'static str> {
    let operator = match token {
        Token::Tilde => return tilde(&Semver::parse(text, Form::Npm)?),
        Token::Caret => return caret(&Semver::parse(text, Form::Npm)?),
        Token::Less => Operator::Less,
        Token::LessOrEqual => Operator::LessOrEqual,
        Token::Greater => Operator::Greater,
        Token::GreaterOrEqual => Operator::GreaterOrEqual,
        _ => Operator::Equal,
    };
    let version = Semver::parse(text, Form::Loose)?;
    Ok(vec![vec![comparison(operator, version)]])
}

/// `>=from <next`, where `next` is three numbers.
fn from_to(from: &Semver, next: [Option<u32>; 3]) -> Result<Vec<All>, &'static str> {
    Ok(vec![vec![
        comparison(Operator::GreaterOrEqual, from.extrapolated()),
        comparison(Operator::Less, plain(next)?),
    ]])
}

fn plain(numbers: [Option<u32>; 3]) -> Result<Semver, &'static str> {
    let [Some(major), Some(minor), Some(patch)] = numbers else {
        return Err("the end of the range is larger than 2147483647");
    };
    Semver::parse(&format!("{major}.{minor}.{patch}"), Form::Loose)
}

fn tilde(version: &Semver) -> Result<Vec<All>, &'static str> {
    let next = match version.minor {
        Some(minor) => [Some(version.major), minor.checked_add(1), Some(0)],
        None => [version.major.checked_add(1), Some(0), Some(0)],
    };
    from_to(version, next)
}

fn caret(version: &Semver) -> Result<Vec<All>, &'static str> {
    let next = match (version.major, version.minor, version.patch) {
        (0, None, _) => [Some(1), Some(0), Some(0)],
        (0, Some(0), None) => [Some(0), Some(1), Some(0)],
        (0, Some(0), Some(patch)) => [Some(0), Some(0), patch.checked_add(1)],
        (0, Some(minor), _) => [Some(0), minor.checked_add(1), Some(0)],
        (major, _, _) => [major.checked_add(1), Some(0), Some(0)],
    };
    from_to(version, next)
}

/// `lower - upper`: a partial upper end takes in all versions that begin so.
fn hyphen(lower: &str, upper: &str) -> Result<Vec<All>, &'static str> {
    let lower = Semver::parse(lower, Form::Npm)?;
    let upper = Semver::parse(upper, Form::Npm)?;
    match (upper.minor, upper.patch) {
        (Some(_), Some(_)) => Ok(vec![vec![
            comparison(Operator::GreaterOrEqual, lower.extrapolated()),
            comparison(Operator::LessOrEqual, upper),
        ]]),
        (Some(minor), None) => from_to(&lower, [Some(upper.major), minor.checked_add(1), Some(0)]),
        (None, _) => from_to(&lower, [upper.major.checked_add(1), Some(0), Some(0)]),
    }
}

impl TryFrom<String> for VersionRequirement {
    type Error = RequirementError;
    fn try_from(text: String) -> Result<Self, RequirementError> {
        text.parse()
    }
}

impl From<VersionRequirement> for String {
    fn from(requirement: VersionRequirement) -> String {
        requirement.text
    }
}

impl fmt::Display for VersionRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for VersionRequirement {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for VersionRequirement {}

impl Hash for VersionRequirement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
