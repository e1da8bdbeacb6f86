//! What a statement opens, read off the program that SQLite makes of it.
//!
//! The guard is asked for each column that a statement names. It is not asked for columns that SQLite finds by itself,
//! those of `USING` and `NATURAL`, nor for those of a table that `INSERT … SELECT *` copies page by page: such a
//! statement would read a table that no grant names. The program opens every table that it reads, so that none is
//! missed here. It is looked at only where tables are granted one by one.

use std::collections::HashMap;

use super::{
    connection::Connection,
    guard::{Kind, Refusal, Scope, is_own},
    rows::Stopped,
};

/// Columns of what `EXPLAIN` gives.
const OPCODE: usize = 1;
const P2: usize = 3;
const P3: usize = 4;
const P5: usize = 6;

/// In `P5` of an `OpenWrite`: the root is in a register, since the statement makes the table.
const ROOT_IN_REGISTER: i64 = 0x10;

impl Connection {
    /// Refuses a statement that opens a table which is not granted.
    pub(super) fn check_opened(&self, text: &str, scope: &Scope) -> Result<(), Stopped> {
        // `ALTER`, `DROP` and the like give no rows, and their table is asked for.
        if scope.tables.is_empty() || scope.kind == Kind::Schema || explains(text) {
            return Ok(());
        }
        let program = Program::of(self, text)?;
        let refuse = |refusal: Refusal| Stopped::Ours(refusal.into_error(&self.origin, scope.access));
        // A virtual table has no root. Columns that are named are asked for as in any other.
        if program.opens_virtual && joins_by_name(text) {
            let why = "it joins what is no plain table by `USING` or `NATURAL`: write `ON`".to_owned();
            return Err(refuse(Refusal::Never(why)));
        }
        let tables = self.tables_by_root()?;
        for root in program.roots {
            let table = tables.get(&root).map_or("sqlite_schema", String::as_str);
            let is_on_the_way = scope.kind == Kind::Create && is_own(table);
            if !is_on_the_way && !scope.admits(table) {
                return Err(refuse(Refusal::Table { name: table.to_owned(), through: None }));
            }
        }
        Ok(())
    }

    /// The table of each root page, those of indexes included.
    fn tables_by_root(&self) -> Result<HashMap<i64, String>, rusqlite::Error> {
        let aside = self.turn.lock().step_aside();
        let read = || {
            let mut statement = self.sqlite.prepare_cached("SELECT rootpage, tbl_name FROM sqlite_schema")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let tables = read();
        self.turn.lock().come_back(aside);
        tables
    }
}

struct Program {
    roots: Vec<i64>,
    opens_virtual: bool,
}

impl Program {
    fn of(connection: &Connection, text: &str) -> Result<Self, rusqlite::Error> {
        let mut statement = connection.sqlite.prepare(&format!("EXPLAIN {text}"))?;
        let mut rows = statement.raw_query();
        let mut program = Self { roots: Vec::new(), opens_virtual: false };
        while let Some(row) = rows.next()? {
            let opcode: String = row.get(OPCODE)?;
            match opcode.as_str() {
                // The second database is the temporary one, which the guard refuses.
                "OpenRead" | "OpenWrite" | "ReopenIdx"
                    if row.get::<_, i64>(P3)? == 0 && row.get::<_, i64>(P5)? & ROOT_IN_REGISTER == 0 =>
                {
                    program.roots.push(row.get(P2)?);
                }
                "VOpen" => program.opens_virtual = true,
                _ => {}
            }
        }
        Ok(program)
    }
}

/// Such a statement tells of tables and reads none. Behind a comment it is taken for another one, and is a mistake.
fn explains(text: &str) -> bool {
    text.trim_start().get(..7).is_some_and(|word| word.eq_ignore_ascii_case("EXPLAIN"))
}

/// Where the words stand does not matter: too much is refused rather than too little.
fn joins_by_name(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("using") || text.contains("natural")
}
