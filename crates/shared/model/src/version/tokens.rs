//! A requirement's text taken apart and put into prefix order.
//!
//! The nucleus's library reads a requirement in four steps, and what it accepts follows from them
//! and not from a grammar: blanks vanish everywhere, an AND appears only between a version and an
//! operator, `a-b` is one version unless `b` alone is a version, and the rest is a shunting yard
//! whose left-over tokens are ignored.

use super::semver::{Form, Semver};

/// One token. Operators carry no text; what stands in their place where a version is needed has
/// none either, and that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Version(String),
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Tilde,
    Caret,
    Hyphen,
    And,
    Or,
    Open,
    Close,
}

impl Token {
    fn is_unary(&self) -> bool {
        use Token::{Caret, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Tilde};
        matches!(
            self,
            Equal | Less | LessOrEqual | Greater | GreaterOrEqual | Tilde | Caret
        )
    }
}

/// The tokens in prefix order: an operator, then its operands from the last to the first.
pub(super) fn prefix(text: &str) -> Result<Vec<Token>, &'static str> {
    let tokens = join_false_ranges(tokens(text));
    let mut queue = shunt(group_alternatives(tokens))?;
    queue.reverse();
    Ok(queue)
}

fn tokens(text: &str) -> Vec<Token> {
    let text = text
        .replace("||", "|")
        .replace("<=", "≤")
        .replace(">=", "≥");
    let mut tokens: Vec<Token> = Vec::new();
    let mut version = String::new();
    for character in text.chars().filter(|c| *c != ' ') {
        let special = match character {
            '|' => Token::Or,
            '=' => Token::Equal,
            '<' => Token::Less,
            '≤' => Token::LessOrEqual,
            '>' => Token::Greater,
            '≥' => Token::GreaterOrEqual,
            '-' => Token::Hyphen,
            '~' => Token::Tilde,
            '^' => Token::Caret,
            '(' => Token::Open,
            ')' => Token::Close,
            other => {
                version.push(other);
                continue;
            }
        };
        if !version.is_empty() {
            tokens.push(Token::Version(std::mem::take(&mut version)));
        }
        if special.is_unary() && matches!(tokens.last(), Some(Token::Version(_))) {
            tokens.push(Token::And);
        }
        tokens.push(special);
    }
    if !version.is_empty() {
        tokens.push(Token::Version(version));
    }
    tokens
}

/// `1.0.0-rc.1` was cut at its hyphen: it is joined again when `rc.1` is no version.
fn join_false_ranges(tokens: Vec<Token>) -> Vec<Token> {
    let mut joined = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        if let (Token::Version(left), [Token::Hyphen, Token::Version(right), after @ ..]) =
            (first, tail)
            && Semver::parse(right, Form::Npm).is_err()
        {
            joined.push(Token::Version(format!("{left}-{right}")));
            rest = after;
        } else {
            joined.push(first.clone());
            rest = tail;
        }
    }
    joined
}

/// OR binds least: parentheses go around all between ORs.
fn group_alternatives(tokens: Vec<Token>) -> Vec<Token> {
    let mut grouped = Vec::with_capacity(tokens.len() + 2);
    grouped.push(Token::Open);
    for token in tokens {
        if token == Token::Or {
            grouped.extend([Token::Close, Token::Or, Token::Open]);
        } else {
            grouped.push(token);
        }
    }
    grouped.push(Token::Close);
    grouped
}

fn shunt(tokens: Vec<Token>) -> Result<Vec<Token>, &'static str> {
    let mut queue = Vec::with_capacity(tokens.len());
    let mut stack = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            Token::Version(_) => queue.push(token),
            Token::Close => loop {
                match stack.pop() {
                    None => return Err("a parenthesis is closed that was not opened"),
                    Some(Token::Open) => break,
                    Some(operator) => queue.push(operator),
                }
            },
            unary if unary.is_unary() => {
                // Whatever follows is the operand; an operator in its place is lost.
                queue.push(tokens.next().ok_or("an operator has no version")?);
                queue.push(unary);
            }
            other => stack.push(other),
        }
    }
    queue.extend(stack.into_iter().rev());
    Ok(queue)
}
