//! YAML to [`Node`]: events of a parser, and the nucleus's rules for what they mean.
//!
//! Only the first document is read, and only until its value is complete. Aliases are not
//! followed: `*name` is the text `name`, so nothing in a recipe can grow beyond its own size.

use crate::error::{Category, RecipeError};
use crate::node::{self, DEEPEST, Data, KeyIndex, Node};
use crate::scalar::{self, Written};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

/// How many aliases without an anchor are read in one text.
const MOST_UNKNOWN_ALIASES: usize = 100;

/// The value of the first document; `None` where there is none.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, RecipeError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_characters(text)?;
    let mut text = std::borrow::Cow::Borrowed(text);
    for _ in 0..MOST_UNKNOWN_ALIASES {
        match read(&text) {
            Ok(node) => return Ok(node),
            Err(Fault::Recipe(error)) => return Err(error),
            Err(Fault::Scan(error)) => match quote_unknown_alias(&text, &error) {
                Some(quoted) => text = std::borrow::Cow::Owned(quoted),
                None => return Err(syntax(&error)),
            },
        }
    }
    Err(RecipeError::new(
        Category::TooLarge,
        "",
        1,
        format!("has more than {MOST_UNKNOWN_ALIASES} aliases without an anchor"),
    ))
}

/// The JSON value of any YAML text (a configuration file), by the rules that hold for recipes;
/// `null` where it holds nothing.
///
/// # Errors
/// Where the text is no YAML, or holds a number that JSON has not.
pub fn yaml_value(text: &str) -> Result<serde_json::Value, RecipeError> {
    match parse(text)? {
        Some(node) => node.value(""),
        None => Ok(serde_json::Value::Null),
    }
}

enum Fault {
    Scan(ScanError),
    Recipe(RecipeError),
}

impl From<RecipeError> for Fault {
    fn from(error: RecipeError) -> Self {
        Fault::Recipe(error)
    }
}

fn syntax(error: &ScanError) -> RecipeError {
    let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX);
    RecipeError::new(
        Category::Syntax,
        "",
        line,
        format!("is no YAML: {}", error.info()),
    )
}

/// Characters that YAML has no place for.
fn check_characters(text: &str) -> Result<(), RecipeError> {
    let is_printable = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let mut line = 1;
    for character in text.chars() {
        if character == '\n' {
            line += 1;
        } else if !is_printable(character) {
            return Err(RecipeError::new(
                Category::Syntax,
                "",
                line,
                format!("is no YAML: it holds the character {character:?}"),
            ));
        }
    }
    Ok(())
}

/// The parser refuses an alias without an anchor, to the nucleus it is text like any alias:
/// `*name` becomes `"name"`.
fn quote_unknown_alias(text: &str, error: &ScanError) -> Option<String> {
    if !error.info().contains("unknown anchor") {
        return None;
    }
    let (at, star) = text.char_indices().nth(error.marker().index())?;
    if star != '*' {
        return None;
    }
    let name = alias_name(&text[at..])?;
    let end = at + 1 + name.len();
    Some(format!("{}\"{name}\"{}", &text[..at], &text[end..]))
}

/// The name behind a star.
fn alias_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('*')?;
    let end = name
        .find(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'))
        .unwrap_or(name.len());
    Some(&name[..end])
}

/// A list or map that is still open.
enum Open {
    List(Vec<Node>),
    Map {
        entries: Vec<(String, Node)>,
        index: KeyIndex,
        key: Option<String>,
        /// A key that is no text, which no recipe may have.
        fault: Option<Box<RecipeError>>,
    },
}

struct Builder<'a> {
    text: &'a str,
    open: Vec<(Open, u32)>,
    /// Byte offset of the character that `passed` counts to.
    at: usize,
    passed: usize,
}

fn read(text: &str) -> Result<Option<Node>, Fault> {
    let mut builder = Builder {
        text,
        open: Vec::new(),
        at: 0,
        passed: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(Fault::Scan)?;
        if matches!(event, Event::DocumentEnd | Event::StreamEnd) {
            break;
        }
        if let Some(node) = builder.take(event, span)? {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

impl Builder<'_> {
    /// Takes in one event; the document's value, when that was its last.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, Fault> {
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        match event {
            Event::Scalar(text, style, _, tag) => {
                if self.wants_key() {
                    self.key(text.into_owned());
                    return Ok(None);
                }
                let tag = tag.as_deref().and_then(tag_name);
                let written = Written {
                    text: self.without_added_end(&text, style, span),
                    is_plain: style == ScalarStyle::Plain,
                    tag,
                };
                Ok(self.node(scalar::resolve(&written, line)))
            }
            Event::Alias(_) => {
                let name = self.alias(span).to_owned();
                if self.wants_key() {
                    self.key(name);
                    return Ok(None);
                }
                Ok(self.node(Node::text(name, line)))
            }
            Event::SequenceStart(..) => {
                self.start(Open::List(Vec::new()), line)?;
                Ok(None)
            }
            Event::MappingStart(..) => {
                let open = Open::Map {
                    entries: Vec::new(),
                    index: KeyIndex::new(),
                    key: None,
                    fault: None,
                };
                self.start(open, line)?;
                Ok(None)
            }
            Event::SequenceEnd | Event::MappingEnd => Ok(self.end()),
            _ => Ok(None),
        }
    }

    /// A block text whose last line the document ends without a line break has none either; the
    /// parser adds one.
    fn without_added_end<'t>(&self, text: &'t str, style: ScalarStyle, span: Span) -> &'t str {
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if !is_block || self.text.ends_with(['\n', '\r']) || span.end.index() < self.length() {
            return text;
        }
        text.strip_suffix('\n').unwrap_or(text)
    }

    /// The characters of the whole text.
    fn length(&self) -> usize {
        self.passed + self.text[self.at..].chars().count()
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some((Open::Map { key: None, .. }, _)))
    }

    fn key(&mut self, text: String) {
        if let Some((Open::Map { key, .. }, _)) = self.open.last_mut() {
            *key = Some(text);
        }
    }

    fn start(&mut self, open: Open, line: u32) -> Result<(), RecipeError> {
        if let Some((
            Open::Map {
                key: None, fault, ..
            },
            _,
        )) = self.open.last_mut()
        {
            let problem = "is no YAML that a recipe may have: a key is a list or a map";
            let error = RecipeError::new(Category::Syntax, "", line, problem)
                .help("put placeholders such as {{name}} into quotes, or replace them");
            fault.get_or_insert(Box::new(error));
        }
        if self.open.len() >= DEEPEST {
            let problem = format!("is nested deeper than {DEEPEST} levels");
            return Err(RecipeError::new(Category::TooLarge, "", line, problem));
        }
        self.open.push((open, line));
        Ok(())
    }

    fn end(&mut self) -> Option<Node> {
        let (open, line) = self.open.pop()?;
        let data = match open {
            Open::List(items) => Data::List(items),
            Open::Map {
                fault: Some(error), ..
            } => Data::Faulty(error),
            Open::Map { entries, .. } => Data::Map(entries),
        };
        if self.wants_key() {
            self.key(String::new());
            return None;
        }
        self.node(Node { data, line })
    }

    /// Puts a complete value where it belongs; gives it back where it is the document's.
    fn node(&mut self, node: Node) -> Option<Node> {
        match self.open.last_mut() {
            None => return Some(node),
            Some((Open::List(items), _)) => items.push(node),
            Some((
                Open::Map {
                    entries,
                    index,
                    key,
                    ..
                },
                _,
            )) => {
                let key = key.take().unwrap_or_default();
                node::insert(entries, index, key, node);
            }
        }
        None
    }

    /// The name of the alias that begins at this span. Spans count characters and only go up, so
    /// the text is walked once.
    fn alias(&mut self, span: Span) -> &str {
        let ahead = span.start.index().saturating_sub(self.passed);
        let rest = &self.text[self.at..];
        let step = rest
            .char_indices()
            .nth(ahead)
            .map_or(rest.len(), |(offset, _)| offset);
        self.at += step;
        self.passed += ahead;
        alias_name(&self.text[self.at..]).unwrap_or_default()
    }
}

/// The tag's name without the prefix of YAML's own; `None` for `!`, which says nothing.
fn tag_name(tag: &Tag) -> Option<&str> {
    let is_bare = matches!(
        (tag.handle.as_str(), tag.suffix.as_str()),
        ("!", "") | ("", "!") | ("", "")
    );
    if is_bare {
        return None;
    }
    let own = tag.is_yaml_core_schema() || tag.handle == "!!";
    Some(if own { &tag.suffix } else { "custom" })
}
