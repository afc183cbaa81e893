//! Walks over a JSON text and checks it, without keeping anything.

use super::words::plain_length;

/// Nesting that `serde_json` refuses.
const MAX_DEPTH: usize = 128;

/// Where and why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) reason: &'static str,
}

/// A JSON string in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    /// Quotes included.
    pub(super) span: &'a [u8],
    pub(super) has_escape: bool,
    content: &'a str,
}

impl<'a> Text<'a> {
    /// Between the quotes, escapes as they are.
    pub(super) fn content(&self) -> &'a str {
        self.content
    }

    /// Whether it means `expected`.
    pub(super) fn is(&self, expected: &str) -> bool {
        if self.has_escape {
            serde_json::from_slice::<String>(self.span).is_ok_and(|text| text == expected)
        } else {
            self.content == expected
        }
    }
}

#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Cursor {
            text,
            bytes: text.as_bytes(),
            position: 0,
            depth: 0,
        }
    }

    fn fault<T>(&self, reason: &'static str) -> Result<T, Fault> {
        Err(Fault {
            offset: self.position,
            reason,
        })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.position += 1;
        }
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), Fault> {
        self.skip_blanks();
        if self.peek() == Some(byte) {
            self.position += 1;
            Ok(())
        } else {
            self.fault(reason)
        }
    }

    /// Notes a member, and finds fault where it was there before.
    pub(super) fn once(&self, is_there: &mut bool) -> Result<(), Fault> {
        if std::mem::replace(is_there, true) {
            return self.fault("a member is repeated");
        }
        Ok(())
    }

    /// Nothing but blanks may follow.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.skip_blanks();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("text follows the end"),
        }
    }

    /// Reads an object and calls `member` behind the colon of each member.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(b'{', "an object is expected")?;
        self.descend()?;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.position += 1;
        } else {
            loop {
                self.skip_blanks();
                let key = self.string()?;
                self.expect(b':', "a colon is expected")?;
                member(self, key)?;
                self.skip_blanks();
                match self.peek() {
                    Some(b',') => self.position += 1,
                    Some(b'}') => {
                        self.position += 1;
                        break;
                    }
                    _ => return self.fault("a comma or the object's end is expected"),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Fault> {
        self.expect(b'[', "a list is expected")?;
        self.descend()?;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.position += 1;
        } else {
            loop {
                self.value()?;
                self.skip_blanks();
                match self.peek() {
                    Some(b',') => self.position += 1,
                    Some(b']') => {
                        self.position += 1;
                        break;
                    }
                    _ => return self.fault("a comma or the list's end is expected"),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth >= MAX_DEPTH {
            return self.fault("the nesting is too deep");
        }
        Ok(())
    }

    /// Reads any value and answers its text.
    pub(super) fn value(&mut self) -> Result<&'a [u8], Fault> {
        self.skip_blanks();
        let start = self.position;
        match self.peek() {
            Some(b'{') => self.object(|cursor, _| cursor.value().map(|_| ()))?,
            Some(b'[') => self.array()?,
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => return self.fault("a value is expected"),
        }
        Ok(&self.bytes[start..self.position])
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if self.bytes[self.position..].starts_with(word) {
            self.position += word.len();
            Ok(())
        } else {
            self.fault("a value is expected")
        }
    }

    /// Whether `null` comes; it is read then, and nothing else is.
    pub(super) fn null(&mut self) -> Result<bool, Fault> {
        self.skip_blanks();
        if self.peek() == Some(b'n') {
            self.word(b"null")?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Reads a string or `null`.
    pub(super) fn nullable_text(&mut self) -> Result<Option<Text<'a>>, Fault> {
        if self.null()? {
            return Ok(None);
        }
        self.string().map(Some)
    }

    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.position;
        if self.peek() != Some(b'"') {
            return self.fault("a text is expected");
        }
        self.position += 1;
        let mut has_escape = false;
        loop {
            self.position += plain_length(&self.bytes[self.position..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escape = true;
                    self.escape()?;
                }
                Some(_) => return self.fault("a control character in a text"),
                None => return self.fault("a text is cut off"),
            }
        }
        let content = &self.text[start + 1..self.position];
        self.position += 1;
        Ok(Text {
            span: &self.bytes[start..self.position],
            has_escape,
            content,
        })
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.position += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.position += 1;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => self.fault("an escape that does not exist"),
        }
    }

    /// Behind the backslash; surrogates must come in pairs.
    fn unicode_escape(&mut self) -> Result<(), Fault> {
        match self.code_unit()? {
            0xdc00..=0xdfff => self.fault("half a surrogate pair"),
            0xd800..=0xdbff => {
                if !self.bytes[self.position..].starts_with(b"\\u") {
                    return self.fault("half a surrogate pair");
                }
                self.position += 1;
                match self.code_unit()? {
                    0xdc00..=0xdfff => Ok(()),
                    _ => self.fault("half a surrogate pair"),
                }
            }
            _ => Ok(()),
        }
    }

    /// `u` and four hexadecimal digits.
    fn code_unit(&mut self) -> Result<u32, Fault> {
        self.position += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.fault("four hexadecimal digits are expected");
            };
            unit = unit * 16 + digit;
            self.position += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        match self.peek() {
            Some(b'0') => self.position += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.fault("a digit is expected"),
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.position += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.position;
        while let Some(b'0'..=b'9') = self.peek() {
            self.position += 1;
        }
        if start == self.position {
            return self.fault("a digit is expected");
        }
        Ok(())
    }
}
