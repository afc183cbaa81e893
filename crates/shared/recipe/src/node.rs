//! What a text says before anybody knows what it means: a tree with lines.

use crate::error::{Category, RecipeError};
use serde_json::{Map, Value};

/// The deepest nesting that is read; configurations are stored as JSON, whose readers stop at 128.
pub(crate) const DEEPEST: usize = 100;

/// A value of the text, and the line where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) line: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    /// Text, number or boolean, with the text as it was written.
    Scalar {
        text: String,
        scalar: Scalar,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// An object that cannot be read: a fault for those who need what is in it.
    Faulty(Box<RecipeError>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Text,
    Boolean(bool),
    Number(serde_json::Number),
    /// `.inf`, `.nan`: a number to YAML, to JSON nothing.
    NoNumber,
}

impl Node {
    pub(crate) fn text(text: impl Into<String>, line: u32) -> Self {
        Node {
            data: Data::Scalar {
                text: text.into(),
                scalar: Scalar::Text,
            },
            line,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match &self.data {
            Data::Null => "null",
            Data::Scalar { scalar, .. } => match scalar {
                Scalar::Text => "text",
                Scalar::Boolean(_) => "a boolean",
                Scalar::Number(_) | Scalar::NoNumber => "a number",
            },
            Data::List(_) => "a list",
            Data::Map(_) | Data::Faulty(_) => "an object",
        }
    }

    /// The JSON value, for the free-form parts of a recipe.
    pub(crate) fn value(&self, pointer: &str) -> Result<Value, RecipeError> {
        Ok(match &self.data {
            Data::Null => Value::Null,
            Data::Scalar { text, scalar } => match scalar {
                Scalar::Text => Value::String(text.clone()),
                Scalar::Boolean(boolean) => Value::Bool(*boolean),
                Scalar::Number(number) => Value::Number(number.clone()),
                Scalar::NoNumber => {
                    let problem = format!("is {text}, which no JSON number can be");
                    return Err(RecipeError::new(
                        Category::Number,
                        pointer,
                        self.line,
                        problem,
                    ));
                }
            },
            Data::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    list.push(item.value(&format!("{pointer}/{index}"))?);
                }
                Value::Array(list)
            }
            Data::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, item) in entries {
                    map.insert(key.clone(), item.value(&child(pointer, key))?);
                }
                Value::Object(map)
            }
            Data::Faulty(error) => return Err((**error).clone()),
        })
    }
}

/// The pointer of a key below another pointer.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Adds an entry; of a key given twice the last value stands at the place of the first.
pub(crate) fn insert(
    entries: &mut Vec<(String, Node)>,
    index: &mut KeyIndex,
    key: String,
    node: Node,
) {
    match index.get(&key) {
        Some(at) => entries[*at].1 = node,
        None => {
            index.insert(key.clone(), entries.len());
            entries.push((key, node));
        }
    }
}

/// Where each key of a map stands.
pub(crate) type KeyIndex = std::collections::HashMap<String, usize>;

/// A decimal number as JSON and Java read it: an integer where it has neither point nor exponent.
///
/// Integers beyond 64 bits become fractions (docs/compatibility.d/recipe.md). A fraction beyond
/// what a double holds is the text that Java writes for it, `Infinity`.
pub(crate) fn decimal(text: &str, line: u32) -> Option<Node> {
    let number = |number| Node {
        data: Data::Scalar {
            text: text.to_owned(),
            scalar: Scalar::Number(number),
        },
        line,
    };
    if !text.contains(['.', 'e', 'E']) {
        if let Ok(integer) = text.parse::<i64>() {
            return Some(number(integer.into()));
        }
        if let Ok(integer) = text.parse::<u64>() {
            return Some(number(integer.into()));
        }
    }
    let fraction: f64 = text.parse().ok()?;
    Some(match serde_json::Number::from_f64(fraction) {
        Some(fraction) => number(fraction),
        None if fraction > 0.0 => Node::text("Infinity", line),
        None => Node::text("-Infinity", line),
    })
}
