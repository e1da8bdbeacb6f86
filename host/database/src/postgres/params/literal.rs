//! The text forms of arrays and composites: `{1,NULL,"a b"}`, `(1,,"a b")`.

use serde_json::Value;
use tokio_postgres::types::{Field, Type};

use super::{encoded, refusal};

/// A list; also a string, which is a literal of the author's own.
pub(super) fn array(value: &Value, element: &Type) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(values) => {
            let mut text = String::new();
            list(&mut text, values, element)?;
            Ok(text)
        }
        _ => Err(format!("is a list of `{}` there, and no list is given", element.name())),
    }
}

fn list(out: &mut String, values: &[Value], element: &Type) -> Result<(), String> {
    // The one type whose text has commas of its own outside brackets.
    let separator = if *element == Type::BOX { ';' } else { ',' };
    let is_json = matches!(*element, Type::JSON | Type::JSONB);
    out.push('{');
    for (nth, value) in values.iter().enumerate() {
        if nth > 0 {
            out.push(separator);
        }
        match value {
            Value::Array(values) if !is_json => list(out, values, element)?,
            value => match encoded(value, element)? {
                Some(text) => quote(out, &text, "\\\""),
                None => out.push_str("NULL"),
            },
        }
    }
    out.push('}');
    Ok(())
}

/// An object with a value for some or all fields; also a string, as with [`array`].
pub(super) fn composite(value: &Value, fields: &[Field]) -> Result<String, String> {
    let object = match value {
        Value::String(text) => return Ok(text.clone()),
        Value::Object(object) => object,
        value => return Err(refusal(&Type::RECORD, value)),
    };
    if let Some(name) = object.keys().find(|name| fields.iter().all(|field| field.name() != name.as_str())) {
        let names: Vec<&str> = fields.iter().map(Field::name).collect();
        return Err(format!("has no field `{name}`: there are {}", names.join(", ")));
    }
    let mut text = String::from("(");
    for (nth, field) in fields.iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        if let Some(value) = encoded(object.get(field.name()).unwrap_or(&Value::Null), field.type_())? {
            quote(&mut text, &value, "\"\"");
        }
    }
    text.push(')');
    Ok(text)
}

/// Always in quotes: a text that says `NULL` is none. `mark` is how a quote is written in them.
fn quote(out: &mut String, text: &str, mark: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str(mark),
            '\\' => out.push_str("\\\\"),
            character => out.push(character),
        }
    }
    out.push('"');
}
