//! Rows into JSON text, as they come, within the rule's limits.

use std::collections::HashSet;

use rusqlite::Statement;

use super::{
    call::Call,
    value::{self, Declared},
};
use crate::{Error, Rows};

/// A column's name as JSON with its colon, and what its values are.
struct Column {
    key: String,
    declared: Declared,
}

/// Why reading stopped.
pub(super) enum Stopped {
    Refused(rusqlite::Error),
    Ours(Error),
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error)
    }
}

/// Reads to the end.
pub(super) fn read(statement: &mut Statement<'_>, call: &Call) -> Result<Rows, Stopped> {
    let (mut json, mut count) = (vec![b'['], 0_u64);
    let mut rows = statement.raw_query();
    let mut columns = None;
    while let Some(row) = rows.next()? {
        // Not before the first row: until then another connection may have changed what `*` stands for.
        let columns = columns.get_or_insert_with(|| self::columns(row.as_ref()));
        if !call.wants_rows {
            continue;
        }
        if count >= call.rows {
            return Err(Stopped::Ours(call.too_many_rows()));
        }
        if count > 0 {
            json.push(b',');
        }
        count += 1;
        append(&mut json, row, columns, call)?;
    }
    json.push(b']');
    let json =
        String::from_utf8(json).map_err(|_| Stopped::Ours(call.origin.unavailable("its text is no text")))?;
    Ok(Rows { json, count })
}

fn append(
    json: &mut Vec<u8>,
    row: &rusqlite::Row<'_>,
    columns: &[Column],
    call: &Call,
) -> Result<(), Stopped> {
    json.push(b'{');
    for (nth, column) in columns.iter().enumerate() {
        if nth > 0 {
            json.push(b',');
        }
        json.extend_from_slice(column.key.as_bytes());
        let value = row.get_ref(nth)?;
        // Before a large value is copied.
        call.check_bytes(json.len().saturating_add(value::least_bytes(value)))?;
        value::write(json, value, column.declared)
            .map_err(|error| Stopped::Ours(call.origin.unavailable(&error.to_string())))?;
    }
    json.push(b'}');
    // The last bracket counts too.
    call.check_bytes(json.len() + 1)
}

fn columns(statement: &Statement<'_>) -> Vec<Column> {
    let mut taken = HashSet::new();
    let column = |column: rusqlite::Column<'_>| {
        let mut name = column.name().to_owned();
        let mut nth = 1;
        while !taken.insert(name.clone()) {
            nth += 1;
            name = format!("{}_{nth}", column.name());
        }
        let key = format!("{}:", serde_json::Value::String(name));
        Column { key, declared: Declared::read(column.decl_type()) }
    };
    statement.columns().map(column).collect()
}
