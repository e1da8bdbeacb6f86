//! Rows into JSON text, as they come, within the rule's limits.

use std::{collections::HashSet, pin::Pin};

use futures_util::TryStreamExt;
use tokio_postgres::{
    Column, Error as Refusal, Row, RowStream,
    types::{FromSql, Type},
};

use super::{
    call::{Call, Outcome},
    value,
};
use crate::{Error, Rows};

/// Reads to the end. The outer error is ours, and more rows may be on the way; after the inner one there is nothing.
pub(super) async fn read(
    mut stream: Pin<&mut RowStream>,
    columns: &[Column],
    call: &Call<'_>,
) -> Result<Result<Outcome, Refusal>, Error> {
    let (origin, rule) = (call.origin, call.rule);
    let keys = keys(columns);
    let (mut json, mut count) = (vec![b'['], 0_u64);
    loop {
        let row = match stream.try_next().await {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !call.wants_rows {
            continue;
        }
        if count >= rule.rows {
            return Err(origin.too_many_rows(rule.rows));
        }
        if count > 0 {
            json.push(b',');
        }
        count += 1;
        append(&mut json, &row, &keys, call)?;
    }
    json.push(b']');
    let json = String::from_utf8(json).map_err(|error| origin.unavailable(error))?;
    let affected = stream.rows_affected().unwrap_or(0);
    let count = if columns.is_empty() { affected } else { count };
    Ok(Ok(Outcome { rows: Rows { json, count }, affected }))
}

fn append(json: &mut Vec<u8>, row: &Row, keys: &[String], call: &Call<'_>) -> Result<(), Error> {
    let origin = call.origin;
    json.push(b'{');
    for (nth, (column, key)) in row.columns().iter().zip(keys).enumerate() {
        if nth > 0 {
            json.push(b',');
        }
        json.extend_from_slice(key.as_bytes());
        let raw: Option<Raw<'_>> = row.try_get(nth).map_err(|error| origin.unavailable(error))?;
        value::write(json, column.type_(), raw.map(|raw| raw.0))
            .map_err(|problem| origin.unreadable(&problem, column))?;
        bound(json, call)?;
    }
    json.push(b'}');
    bound(json, call)?;
    Ok(())
}

/// After each value: as JSON one may be several times as large as it came. The bracket to come counts too.
fn bound(json: &[u8], call: &Call<'_>) -> Result<(), Error> {
    let most = call.rule.bytes;
    let is_within = u64::try_from(json.len()).is_ok_and(|length| length < most);
    if is_within { Ok(()) } else { Err(call.origin.too_many_bytes(most)) }
}

/// `"name":` for each column. A name that is there already gets `_2`, `_3` and so on.
fn keys(columns: &[Column]) -> Vec<String> {
    let mut taken = HashSet::new();
    let key = |column: &Column| {
        let mut name = column.name().to_owned();
        let mut nth = 1;
        while !taken.insert(name.clone()) {
            nth += 1;
            name = format!("{}_{nth}", column.name());
        }
        format!("{}:", serde_json::Value::String(name))
    };
    columns.iter().map(key).collect()
}

/// A value as the server sent it.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
