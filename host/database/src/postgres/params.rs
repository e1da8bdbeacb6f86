//! JSON into what a statement asks for, in PostgreSQL's text form: so every type can be given, those of extensions
//! too, and no digit is lost. PostgreSQL reads the text and says no to what is none of the type.

mod literal;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use serde_json::{Number, Value};
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::rule::EXACT_INTEGER_MAX;

/// One parameter as text; `None` is NULL.
pub(super) struct Param(Option<String>);

/// Values for the types of `$1`, `$2`, …; else what is wrong with which.
pub(super) fn encode(values: &[Value], kinds: &[Type]) -> Result<Vec<Param>, String> {
    if values.len() != kinds.len() {
        let (given, asked) = (values.len(), kinds.len());
        return Err(format!("the statement has {asked} parameter(s), and {given} are given"));
    }
    let text = |(nth, (value, kind)): (usize, (&Value, &Type))| {
        encoded(value, kind).map(Param).map_err(|reason| format!("`${}` {reason}", nth + 1))
    };
    values.iter().zip(kinds).enumerate().map(text).collect()
}

fn encoded(value: &Value, kind: &Type) -> Result<Option<String>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let text = match kind.kind() {
        Kind::Domain(base) => return encoded(value, base),
        Kind::Array(element) => literal::array(value, element)?,
        Kind::Composite(fields) => literal::composite(value, fields)?,
        _ => simple(value, kind)?,
    };
    if text.contains('\0') {
        return Err("holds a zero byte, which PostgreSQL has no text for".to_owned());
    }
    Ok(Some(text))
}

fn simple(value: &Value, kind: &Type) -> Result<String, String> {
    match (kind, value) {
        (&Type::JSON | &Type::JSONB, value) => Ok(value.to_string()),
        (&Type::BYTEA, Value::String(text)) => bytes(text),
        // Whatever the type: its own text.
        (_, Value::String(text)) => Ok(text.clone()),
        (&Type::BOOL, Value::Bool(value)) => Ok(value.to_string()),
        (&Type::INT2 | &Type::INT4 | &Type::INT8 | &Type::OID, Value::Number(number)) => {
            integer(number).ok_or_else(|| refusal(kind, value))
        }
        (&Type::FLOAT4 | &Type::FLOAT8 | &Type::NUMERIC | &Type::MONEY, Value::Number(number)) => {
            Ok(number.to_string())
        }
        (kind, Value::Number(_) | Value::Bool(_)) if takes_any_text(kind) => Ok(value.to_string()),
        _ => Err(refusal(kind, value)),
    }
}

/// Types that every text is one of, so that a number in it means its digits.
fn takes_any_text(kind: &Type) -> bool {
    matches!(*kind, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::UNKNOWN) || kind.name() == "citext"
}

/// Base64, as results have it.
fn bytes(text: &str) -> Result<String, String> {
    let bytes = BASE64_STANDARD
        .decode(text)
        .map_err(|error| format!("is to be base64, since its type is `bytea`: {error}"))?;
    let mut hex = String::from("\\x");
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            hex.extend(char::from_digit(half.into(), 16));
        }
    }
    Ok(hex)
}

/// Also a float that is whole: some languages know no other numbers.
fn integer(number: &Number) -> Option<String> {
    if number.is_i64() || number.is_u64() {
        return Some(number.to_string());
    }
    let float = number.as_f64()?;
    // Beyond that not every whole number is a float, and this one may have been another.
    let is_exact = float.fract() == 0.0 && float.abs() < EXACT_INTEGER_MAX as f64;
    is_exact.then(|| format!("{float:.0}"))
}

fn refusal(kind: &Type, value: &Value) -> String {
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "this number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let kind = kind.name();
    let cast = match value {
        Value::Array(_) | Value::Object(_) => "jsonb",
        Value::Number(number) if number.is_f64() => "float8",
        Value::Number(_) => "int8",
        Value::Bool(_) => "bool",
        Value::Null | Value::String(_) => "text",
    };
    format!(
        "is of type `{kind}` there, and {given} is none: give it as a string, or write `::{cast}` behind it"
    )
}

impl std::fmt::Debug for Param {
    /// The library writes parameters into its log; their values are nobody's business there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
