//! Texts with `*`, `?` and `${variables}`, compiled once and matched without allocation.
//!
//! `*` matches any run of characters, `/` and `:` included; `?` one character. `${*}`, `${?}` and
//! `${$}` are the literal characters. Any other `${name}` is a variable (documents of version
//! 2012-10-17 only); the value of a variable is literal text, whatever it contains.
//!
//! A run needs to back up to the last `*` only, so matching is linear for each `*`, never
//! exponential.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    AnyRun,
    AnyOne,
    Variable(Box<str>),
}

/// A pattern whose variables have no values yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
    has_variables: bool,
}

/// A pattern ready to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Box<[Part]>,
}

impl Template {
    /// Compiles a text. With `variables` off (documents of 2008), `${…}` is ordinary text.
    pub(crate) fn compile(text: &str, variables: bool) -> Self {
        Template::compile_with(text, variables, true)
    }

    /// Compiles a text in which only variables are special; `*` and `?` are themselves.
    pub(crate) fn compile_text(text: &str, variables: bool) -> Self {
        Template::compile_with(text, variables, false)
    }

    fn compile_with(text: &str, variables: bool, wildcards: bool) -> Self {
        let mut builder = Builder::default();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if variables
                && let Some(inner) = rest.strip_prefix("${")
                && let Some(end) = inner.find('}')
            {
                match &inner[..end] {
                    literal @ ("*" | "?" | "$") => builder.literal(literal),
                    name => builder.push(Part::Variable(name.trim().into())),
                }
                rest = &inner[end + 1..];
                continue;
            }
            let length = character.len_utf8();
            match character {
                '*' if wildcards => builder.any_run(),
                '?' if wildcards => builder.push(Part::AnyOne),
                _ => builder.literal(&rest[..length]),
            }
            rest = &rest[length..];
        }
        let parts = builder.finish();
        let has_variables = parts.iter().any(|part| matches!(part, Part::Variable(_)));
        Template {
            parts,
            has_variables,
        }
    }

    /// Names of the variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(&**name),
            _ => None,
        })
    }

    /// Whether the template is exactly this text.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        matches!(&*self.parts, [Part::Literal(bytes)] if **bytes == *text.as_bytes())
    }

    /// The text with values in place of variables, for a template of [`Template::compile_text`].
    pub(crate) fn text<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> Option<String> {
        let mut text = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => text.extend_from_slice(bytes),
                Part::Variable(name) => text.extend_from_slice(value(name)?.as_bytes()),
                Part::AnyRun => text.push(b'*'),
                Part::AnyOne => text.push(b'?'),
            }
        }
        String::from_utf8(text).ok()
    }

    /// The pattern with values in place of variables; `None` when one has no value.
    pub(crate) fn bind<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> Option<Pattern> {
        if !self.has_variables {
            return Some(Pattern {
                parts: self.parts.clone().into_boxed_slice(),
            });
        }
        let mut builder = Builder::default();
        for part in &self.parts {
            match part {
                Part::Variable(name) => builder.literal(&value(name)?),
                Part::Literal(bytes) => builder.bytes(bytes),
                Part::AnyRun => builder.any_run(),
                Part::AnyOne => builder.push(Part::AnyOne),
            }
        }
        Some(Pattern {
            parts: builder.finish().into_boxed_slice(),
        })
    }
}

#[derive(Default)]
struct Builder {
    parts: Vec<Part>,
    literal: Vec<u8>,
}

impl Builder {
    fn literal(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.literal.extend_from_slice(bytes);
    }

    fn any_run(&mut self) {
        if self.literal.is_empty() && matches!(self.parts.last(), Some(Part::AnyRun)) {
            return;
        }
        self.push(Part::AnyRun);
    }

    fn push(&mut self, part: Part) {
        self.flush();
        self.parts.push(part);
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            let bytes = std::mem::take(&mut self.literal).into_boxed_slice();
            self.parts.push(Part::Literal(bytes));
        }
    }

    fn finish(mut self) -> Vec<Part> {
        self.flush();
        self.parts
    }
}

/// A text in two pieces, so that an ARN prefix and a topic need not be joined for a decision.
#[derive(Clone, Copy)]
pub(crate) struct Text<'t> {
    head: &'t [u8],
    tail: &'t [u8],
}

impl<'t> Text<'t> {
    pub(crate) fn new(head: &'t str, tail: &'t str) -> Self {
        Text {
            head: head.as_bytes(),
            tail: tail.as_bytes(),
        }
    }

    fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    fn at(&self, index: usize) -> u8 {
        match self.head.get(index) {
            Some(byte) => *byte,
            None => self.tail[index - self.head.len()],
        }
    }

    fn starts_with_at(&self, from: usize, wanted: &[u8]) -> bool {
        if self.len() - from < wanted.len() {
            return false;
        }
        let in_head = self.head.len().saturating_sub(from).min(wanted.len());
        let (first, second) = wanted.split_at(in_head);
        let tail_from = (from + in_head).saturating_sub(self.head.len());
        (in_head == 0 || self.head[from..from + in_head] == *first)
            && (second.is_empty() || self.tail[tail_from..tail_from + second.len()] == *second)
    }

    /// Length of the UTF-8 character at `from`, which is at a character's start or inside one
    /// after a `*`; then single bytes are right as well.
    fn character_length(&self, from: usize) -> usize {
        let length = match self.at(from) {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => 1,
        };
        length.min(self.len() - from)
    }
}

impl Pattern {
    /// Whether the whole text fits the pattern.
    pub(crate) fn matches(&self, text: Text<'_>) -> bool {
        let (mut part, mut at) = (0, 0);
        // Where to resume when a part fails: behind the last `*`, one byte further each time.
        let mut resume: Option<(usize, usize)> = None;
        loop {
            let advanced = match self.parts.get(part) {
                Some(Part::AnyRun) => {
                    if part + 1 == self.parts.len() {
                        return true;
                    }
                    resume = Some((part + 1, at));
                    Some(at)
                }
                Some(Part::Literal(bytes)) => {
                    text.starts_with_at(at, bytes).then(|| at + bytes.len())
                }
                Some(Part::AnyOne) if at < text.len() => Some(at + text.character_length(at)),
                Some(Part::AnyOne | Part::Variable(_)) => None,
                None if at == text.len() => return true,
                None => None,
            };
            match (advanced, resume) {
                (Some(next), _) => {
                    at = next;
                    part += 1;
                }
                (None, Some((from_part, from))) if from < text.len() => {
                    let next = from + text.character_length(from);
                    resume = Some((from_part, next));
                    part = from_part;
                    at = next;
                }
                (None, _) => return false,
            }
        }
    }
}

/// Whether an action (`iot:Publish`) fits a pattern (`iot:Pub*`): ASCII case is ignored.
pub(crate) fn action_matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.as_bytes(), action.as_bytes());
    let (mut p, mut a) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    loop {
        let fits = match pattern.get(p) {
            Some(b'*') => {
                resume = Some((p + 1, a));
                p += 1;
                continue;
            }
            Some(b'?') => a < action.len(),
            Some(byte) => action.get(a).is_some_and(|b| b.eq_ignore_ascii_case(byte)),
            None if a == action.len() => return true,
            None => false,
        };
        match (fits, resume) {
            (true, _) => (p, a) = (p + 1, a + 1),
            (false, Some((from_p, from_a))) if from_a < action.len() => {
                resume = Some((from_p, from_a + 1));
                (p, a) = (from_p, from_a + 1);
            }
            (false, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let bound = Template::compile(pattern, true)
            .bind(|name| (name == "v").then_some(Cow::Borrowed("a*b")))
            .expect("only the variable v is used");
        let whole = bound.matches(Text::new(text, ""));
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (head, tail) = text.split_at(at);
            assert_eq!(
                bound.matches(Text::new(head, tail)),
                whole,
                "{pattern} {head}|{tail}"
            );
        }
        whole
    }

    #[test]
    fn wildcards_and_escapes() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b:c", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("a*b*c", "axbxbxc", true),
            ("*ab", "aab", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*?", "", false),
            ("*?", "é", true),
            ("${*}", "*", true),
            ("${*}", "a", false),
            ("${?}${$}", "?$", true),
            ("x/${v}", "x/a*b", true),
            ("x/${v}", "x/azb", false),
            ("x${", "x${", true),
            ("+/#", "+/#", true),
            ("+/#", "a/b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn an_unknown_variable_binds_to_nothing() {
        assert_eq!(Template::compile("a${nope}", true).bind(|_| None), None);
        assert!(
            Template::compile("a${nope}", false)
                .bind(|_| None)
                .is_some()
        );
    }

    #[test]
    fn actions_ignore_case() {
        assert!(action_matches("iot:*", "IoT:Publish"));
        assert!(action_matches("iot:Pub*h", "iot:publish"));
        assert!(action_matches("*", "s3:GetObject"));
        assert!(!action_matches("iot:Publish", "iot:PublishX"));
        assert!(!action_matches("s3:Get?", "s3:Get"));
    }

    /// The obvious recursive definition.
    fn model(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| model(rest, &text[n..])),
            Some(('?', rest)) => !text.is_empty() && model(rest, &text[1..]),
            Some((c, rest)) => text.first() == Some(c) && model(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let p: Vec<char> = pattern.chars().collect();
            let t: Vec<char> = text.chars().collect();
            prop_assert_eq!(matches(&pattern, &text), model(&p, &t));
        }
    }
}
