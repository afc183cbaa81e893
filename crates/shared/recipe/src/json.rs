//! JSON to [`Node`], by Jackson's rules: strict, the last of two equal keys wins, nothing after
//! the first value is read.

use crate::error::{Category, RecipeError};
use crate::node::{self, DEEPEST, Data, KeyIndex, Node, Scalar};

/// The first value of the text; `None` where there is none.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, RecipeError> {
    let mut reader = Reader {
        text,
        at: 0,
        line: 1,
    };
    reader.blanks();
    if reader.peek().is_none() {
        return Ok(None);
    }
    reader.value(0).map(Some)
}

struct Reader<'a> {
    text: &'a str,
    /// Byte offset, always at a character.
    at: usize,
    line: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        if character == '\n' {
            self.line += 1;
        }
        Some(character)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.take();
        }
    }

    fn fault(&self, problem: impl Into<String>) -> RecipeError {
        RecipeError::new(Category::Syntax, "", self.line, problem)
    }

    fn unexpected(&self, wanted: &str) -> RecipeError {
        match self.peek() {
            None => self.fault(format!("is no JSON: it ends where {wanted} is needed")),
            Some(found) => self.fault(format!(
                "is no JSON: {found:?} stands where {wanted} is needed"
            )),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, RecipeError> {
        if depth > DEEPEST {
            let problem = format!("is nested deeper than {DEEPEST} levels");
            return Err(RecipeError::new(Category::TooLarge, "", self.line, problem));
        }
        let line = self.line;
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.list(depth),
            Some('"') => Ok(Node::text(self.string()?, line)),
            Some('-' | '0'..='9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, RecipeError> {
        let line = self.line;
        self.take();
        let (mut entries, mut index) = (Vec::new(), KeyIndex::new());
        self.blanks();
        if self.peek() == Some('}') {
            self.take();
        } else {
            loop {
                self.blanks();
                if self.peek() != Some('"') {
                    return Err(self.unexpected("a key in double quotes"));
                }
                let key = self.string()?;
                self.blanks();
                if self.peek() != Some(':') {
                    return Err(self.unexpected("a colon"));
                }
                self.take();
                self.blanks();
                let value = self.value(depth + 1)?;
                node::insert(&mut entries, &mut index, key, value);
                if self.ends('}')? {
                    break;
                }
            }
        }
        Ok(Node {
            data: Data::Map(entries),
            line,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Node, RecipeError> {
        let line = self.line;
        self.take();
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(']') {
            self.take();
        } else {
            loop {
                self.blanks();
                items.push(self.value(depth + 1)?);
                if self.ends(']')? {
                    break;
                }
            }
        }
        Ok(Node {
            data: Data::List(items),
            line,
        })
    }

    /// Whether the container ends here; otherwise a comma was taken.
    fn ends(&mut self, close: char) -> Result<bool, RecipeError> {
        self.blanks();
        match self.peek() {
            Some(',') => {
                self.take();
                Ok(false)
            }
            Some(found) if found == close => {
                self.take();
                Ok(true)
            }
            _ => Err(self.unexpected(&format!("a comma or {close:?}"))),
        }
    }

    fn string(&mut self) -> Result<String, RecipeError> {
        self.take();
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(self.unexpected("the end of a text")),
                Some('"') => {
                    self.take();
                    return Ok(text);
                }
                Some('\\') => {
                    self.take();
                    text.push(self.escape()?);
                }
                Some(control) if control < ' ' => {
                    return Err(self.fault(format!(
                        "is no JSON: a text holds the control character {control:?}"
                    )));
                }
                Some(character) => {
                    text.push(character);
                    self.take();
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, RecipeError> {
        Ok(match self.take() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('u') => {
                let first = self.code_unit()?;
                match char::from_u32(first) {
                    Some(character) => character,
                    None => self.low_surrogate(first)?,
                }
            }
            _ => return Err(self.fault("is no JSON: an escape in a text is unknown")),
        })
    }

    /// Half of a pair needs the other half; alone it becomes `?`, as Java writes it.
    fn low_surrogate(&mut self, high: u32) -> Result<char, RecipeError> {
        const ALONE: char = '?';
        let is_high = (0xD800..0xDC00).contains(&high);
        if !is_high || !self.text[self.at..].starts_with("\\u") {
            return Ok(ALONE);
        }
        let back = self.at;
        self.at += 2;
        let low = self.code_unit()?;
        if !(0xDC00..0xE000).contains(&low) {
            self.at = back;
            return Ok(ALONE);
        }
        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        Ok(char::from_u32(code).unwrap_or(ALONE))
    }

    fn code_unit(&mut self) -> Result<u32, RecipeError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|digit| digit.to_digit(16));
            let digit =
                digit.ok_or_else(|| self.fault("is no JSON: \\u needs four hexadecimal digits"))?;
            self.take();
            code = code * 16 + digit;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Node, RecipeError> {
        let (start, line) = (self.at, self.line);
        if self.peek() == Some('-') {
            self.take();
        }
        let zero_first = self.peek() == Some('0');
        if self.digits()? > 1 && zero_first {
            return Err(self.fault("is no JSON: a number begins with 0"));
        }
        if self.peek() == Some('.') {
            self.take();
            self.digits()?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.take();
            if matches!(self.peek(), Some('+' | '-')) {
                self.take();
            }
            self.digits()?;
        }
        node::decimal(&self.text[start..self.at], line)
            .ok_or_else(|| self.fault("is no JSON: a number cannot be read"))
    }

    fn digits(&mut self) -> Result<usize, RecipeError> {
        let start = self.at;
        while matches!(self.peek(), Some('0'..='9')) {
            self.take();
        }
        match self.at - start {
            0 => Err(self.unexpected("a digit")),
            count => Ok(count),
        }
    }

    fn word(&mut self) -> Result<Node, RecipeError> {
        let line = self.line;
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(rest.len());
        let word = &rest[..end];
        let data = match word {
            "null" => Data::Null,
            "true" | "false" => Data::Scalar {
                text: word.to_owned(),
                scalar: Scalar::Boolean(word == "true"),
            },
            _ => return Err(self.unexpected("a value")),
        };
        self.at += end;
        Ok(Node { data, line })
    }
}
