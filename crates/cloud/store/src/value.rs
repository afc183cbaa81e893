//! Values that go in and rows that come out, free of the driver's types.

use crate::StoreError;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};
use std::collections::HashMap;
use std::sync::Arc;

/// One value of a statement or a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Int(_) => "an integer",
            Value::Real(_) => "a real number",
            Value::Text(_) => "text",
            Value::Blob(_) => "a blob",
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $into:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Value {
                $into
            }
        })*
    };
}

value_from! {
    i64 => |value| Value::Int(value),
    i32 => |value| Value::Int(value.into()),
    u32 => |value| Value::Int(value.into()),
    u16 => |value| Value::Int(value.into()),
    u8 => |value| Value::Int(value.into()),
    bool => |value| Value::Int(value.into()),
    f64 => |value| Value::Real(value),
    &str => |value| Value::Text(value.to_owned()),
    String => |value| Value::Text(value),
    &String => |value| Value::Text(value.clone()),
    Vec<u8> => |value| Value::Blob(value),
    &[u8] => |value| Value::Blob(value.to_vec()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// One row of an answer; columns are read by name.
#[derive(Clone, Debug)]
pub struct Row {
    names: Arc<HashMap<String, usize>>,
    values: Vec<Value>,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $get:ident, $(#[$opt_doc:meta])* $opt:ident, $type:ty, $expected:literal, $pattern:pat => $result:expr;)*) => {
        $(
            $(#[$doc])*
            pub fn $get(&self, column: &str) -> Result<$type, StoreError> {
                self.$opt(column)?
                    .ok_or_else(|| mismatch(column, $expected, &Value::Null))
            }

            $(#[$opt_doc])*
            pub fn $opt(&self, column: &str) -> Result<Option<$type>, StoreError> {
                match self.value(column)? {
                    Value::Null => Ok(None),
                    $pattern => Ok(Some($result)),
                    other => Err(mismatch(column, $expected, other)),
                }
            }
        )*
    };
}

impl Row {
    getters! {
        /// A text that cannot be null.
        text,
        /// A text or null.
        opt_text, String, "text", Value::Text(text) => text.clone();
        /// An integer that cannot be null.
        int,
        /// An integer or null.
        opt_int, i64, "an integer", Value::Int(number) => *number;
        /// A blob that cannot be null.
        blob,
        /// A blob or null.
        opt_blob, Vec<u8>, "a blob", Value::Blob(bytes) => bytes.clone();
    }

    /// A number with a fraction that cannot be null; integers are widened.
    pub fn real(&self, column: &str) -> Result<f64, StoreError> {
        match self.value(column)? {
            Value::Real(number) => Ok(*number),
            #[expect(clippy::cast_precision_loss, reason = "what SQL itself does")]
            Value::Int(number) => Ok(*number as f64),
            other => Err(mismatch(column, "a real number", other)),
        }
    }

    /// An integer read as a truth value.
    pub fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    /// The value as it is.
    pub fn value(&self, column: &str) -> Result<&Value, StoreError> {
        self.names
            .get(column)
            .and_then(|index| self.values.get(*index))
            .ok_or_else(|| StoreError::Column {
                column: column.to_owned(),
                expected: "a column of this row",
                found: "absent",
            })
    }
}

fn mismatch(column: &str, expected: &'static str, found: &Value) -> StoreError {
    StoreError::Column {
        column: column.to_owned(),
        expected,
        found: found.type_name(),
    }
}

/// Turns a driver's rows into ours; rows of one answer share their column names.
pub(crate) fn rows(sql_rows: &[SqliteRow]) -> Result<Vec<Row>, sqlx::Error> {
    let Some(first) = sql_rows.first() else {
        return Ok(Vec::new());
    };
    let names = Arc::new(
        first
            .columns()
            .iter()
            .enumerate()
            .map(|(index, column)| (column.name().to_owned(), index))
            .collect::<HashMap<_, _>>(),
    );
    sql_rows
        .iter()
        .map(|row| {
            let values = (0..row.len())
                .map(|index| value(row, index))
                .collect::<Result<_, _>>()?;
            Ok(Row {
                names: Arc::clone(&names),
                values,
            })
        })
        .collect()
}

fn value(row: &SqliteRow, index: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let type_info = raw.type_info();
    Ok(match type_info.name() {
        "INTEGER" | "BOOLEAN" => Value::Int(row.try_get_unchecked(index)?),
        "REAL" => Value::Real(row.try_get_unchecked(index)?),
        "BLOB" => Value::Blob(row.try_get_unchecked(index)?),
        _ => Value::Text(row.try_get_unchecked(index)?),
    })
}
