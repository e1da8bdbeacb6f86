//! JSON into parameters.

use rusqlite::{Statement, types::Value as Sql};
use serde_json::Value;

use super::rows::Stopped;
use crate::Error;

/// Values as SQLite knows them.
pub(super) fn values(params: &[Value]) -> Result<Vec<Sql>, Error> {
    params.iter().enumerate().map(|(nth, value)| sql(value, nth + 1)).collect()
}

/// To SQLite `$1` is a name, and its parameters are numbered in the order in which they stand.
pub(super) fn bind(statement: &mut Statement<'_>, values: &[Sql]) -> Result<(), Stopped> {
    let mut asked = 0;
    for index in 1..=statement.parameter_count() {
        let number = number(statement.parameter_name(index)).map_err(Stopped::Ours)?;
        asked = asked.max(number);
        let Some(value) = number.checked_sub(1).and_then(|nth| values.get(nth)) else { continue };
        statement.raw_bind_parameter(index, value)?;
    }
    if asked != values.len() {
        let given = values.len();
        let message = format!("the statement has {asked} parameter(s), and {given} are given");
        return Err(Stopped::Ours(Error::Invalid(message)));
    }
    Ok(())
}

fn number(name: Option<&str>) -> Result<usize, Error> {
    let Some(name) = name else {
        return Err(Error::Invalid("`?` is no parameter here: write `$1`, `$2`, …".to_owned()));
    };
    if let Some((parameter, kind)) = name.split_once("::") {
        let advice = format!("write CAST({parameter} AS {kind})");
        return Err(Error::Invalid(format!("`{name}` is no parameter, since SQLite has no `::`: {advice}")));
    }
    // Without a sign or leading zeros: each parameter has one name.
    let number =
        name.strip_prefix('$').filter(|digits| digits.starts_with(|first| matches!(first, '1'..='9')));
    let number = number.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Error::Invalid(format!("`{name}` is no parameter: write `$1`, `$2`, …")))
}

fn sql(value: &Value, number: usize) -> Result<Sql, Error> {
    Ok(match value {
        Value::Null => Sql::Null,
        Value::Bool(value) => Sql::Integer((*value).into()),
        Value::String(text) => Sql::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Sql::Text(value.to_string()),
        Value::Number(value) => match (value.as_i64(), value.as_f64()) {
            (Some(integer), _) => Sql::Integer(integer),
            (None, Some(float)) if !value.is_u64() => Sql::Real(float),
            _ => {
                let advice = "give it as a string";
                return Err(Error::Invalid(format!(
                    "`${number}` is no integer of 64 bits with a sign: {advice}"
                )));
            }
        },
    })
}
