//! What may be done with a database.

use std::time::Duration;

use serde_json::Value;

use super::{
    read::list,
    write::{amount, object},
};
use crate::{
    parse::{Field, Fields, Kind, units},
    problem::{Problems, shorten},
};

/// The longest name of a table. PostgreSQL has 63 bytes for one, SQLite no limit.
const MAX_TABLE_BYTES: usize = 128;

/// How far a step may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseAccess {
    Read,
    /// Rows: insert, update, delete. Reading included.
    Write,
    /// Tables and views as well.
    Schema,
}

/// `read`, or `{access: read, tables: [orders, "cust_*"], rows: 1000, bytes: 1MiB, time: 5s}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRule {
    pub access: DatabaseAccess,
    /// `None`: all. Only where the database is SQLite: in PostgreSQL the role's GRANTs decide.
    pub tables: Option<Vec<TablePattern>>,
    /// Rows of one result.
    pub rows: Option<u64>,
    /// Bytes of one result, as JSON.
    pub bytes: Option<u64>,
    /// Of one statement.
    pub time: Option<Duration>,
}

impl DatabaseRule {
    /// Without limits of its own.
    pub fn new(access: DatabaseAccess) -> Self {
        Self { access, tables: None, rows: None, bytes: None, time: None }
    }

    /// How far it goes, or that with tables and limits.
    pub(super) fn read_field(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        const KEYS: [&str; 5] = ["access", "tables", "rows", "bytes", "time"];
        if !matches!(field.node.kind, Kind::Object(_)) {
            return DatabaseAccess::read_field(field, problems).map(Self::new);
        }
        let fields = Fields::of(field.node, field.path, &KEYS, problems)?;
        let access = fields.need("access", "add `access: read`, `write` or `schema`", problems);
        let access = access.and_then(|field| DatabaseAccess::read_field(field, problems));
        let tables = fields.get_any("tables").map(|field| {
            list(
                field,
                "a list of tables, such as `[orders, \"cust_*\"]`",
                problems,
                TablePattern::read_field,
            )
        });
        let rows = fields.get("rows").and_then(|field| field.count(problems));
        let bytes = fields.get("bytes").and_then(|field| field.bytes(problems));
        let time = fields.get("time").and_then(|field| field.timeout(problems));
        Some(Self { access: access?, tables, rows, bytes, time })
    }

    /// As it may stand in the config.
    pub fn to_value(&self) -> Value {
        let Self { access, tables, rows, bytes, time } = self;
        if *self == Self::new(*access) {
            return access.to_string().into();
        }
        let tables = tables.as_ref().map(|tables| tables.iter().map(ToString::to_string).collect());
        object([
            ("access", Some(access.to_string().into())),
            ("tables", tables),
            ("rows", rows.map(units::write_count).map(amount)),
            ("bytes", bytes.map(units::write_bytes).map(amount)),
            ("time", time.map(units::write_duration).map(amount)),
        ])
    }
}

impl DatabaseAccess {
    fn read_field(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        match field.text(problems)? {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "schema" => Some(Self::Schema),
            other => {
                let hint = "write `read`, `write` for rows, or `schema` for tables as well";
                field.invalid(format!("`{}` is no access to a database", shorten(other)), hint, problems);
                None
            }
        }
    }
}

/// A table's name, or its beginning where the last character is `*`. Compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern(pub(super) String);

impl TablePattern {
    /// The error is what to write instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty()
            || text.len() > MAX_TABLE_BYTES
            || name.contains('*')
            || name.contains(char::is_control)
        {
            return Err("write a table's name, or its beginning with `*` behind it, such as `cust_*`");
        }
        Ok(Self(text.to_owned()))
    }

    /// The one that admits nothing but this table; `None` where there is none. A table may be called `*`, and must
    /// not make a line for all of them.
    pub fn of_one(table: &str) -> Option<Self> {
        Self::parse(table).ok().filter(|pattern| !pattern.0.contains('*'))
    }

    fn read_field(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        let text = field.text(problems)?;
        let refused = |hint| field.invalid(format!("`{}` names no table", shorten(text)), hint, problems);
        Self::parse(text).map_err(refused).ok()
    }

    /// Whether it admits whatever `other` does.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match other.0.strip_suffix('*') {
            Some(start) => self.0.ends_with('*') && self.admits(start),
            None => self.admits(&other.0),
        }
    }

    /// Whether the pattern stands for this table.
    pub fn admits(&self, table: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => table.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start)),
            None => self.0.eq_ignore_ascii_case(table),
        }
    }
}

impl std::fmt::Display for DatabaseAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Schema => "schema",
        })
    }
}

impl std::fmt::Display for TablePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
