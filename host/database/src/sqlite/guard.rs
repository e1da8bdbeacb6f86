//! What a statement may touch. SQLite asks while it prepares one, for everything that it will do, however deep it
//! stands: in views, triggers, foreign keys, subqueries.

use rusqlite::hooks::{AuthAction, AuthContext};
use stepcell_core::grant::{DatabaseAccess, TablePattern};

use super::error::Origin;
use crate::{Error, Refused};

/// Functions that reach past the database: files, code. Most of them are not compiled in, and stay refused if one day
/// they are.
const FUNCTIONS: [&str; 7] =
    ["load_extension", "fts3_tokenizer", "readfile", "writefile", "fsdir", "edit", "sqlite_log"];

/// What virtual tables may be made of: text and space, both kept in tables of their own.
const MODULES: [&str; 6] = ["fts3", "fts4", "fts5", "fts5vocab", "rtree", "rtree_i32"];

/// Functions that stand where a table does, and read nothing but their arguments.
const TABLE_FUNCTIONS: [&str; 2] = ["json_each", "json_tree"];

/// What `pragma_…` tells of one table, which is its argument.
const PRAGMAS_OF_TABLES: [&str; 4] = ["table_info", "table_xinfo", "index_list", "foreign_key_list"];

/// What it tells of all of them.
const PRAGMAS_OF_ALL: [&str; 3] = ["table_list", "index_info", "index_xinfo"];

/// What text indexes ask for themselves.
const PRAGMAS_OF_MODULES: [&str; 2] = ["page_size", "data_version"];

/// What a caller may do, and which kind of statement it runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) access: DatabaseAccess,
    /// Each list has to admit each table.
    pub(super) tables: Vec<Vec<TablePattern>>,
    pub(super) kind: Kind,
}

/// SQLite's own tables are changed and read on the way of some statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rows,
    /// May take rows from anywhere: what it reads of SQLite's own tables may be meant for the caller.
    Create,
    /// `ALTER`, `DROP` and the like.
    Schema,
}

/// What was not admitted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Table {
        name: String,
        /// The view or the trigger that touches it.
        through: Option<String>,
    },
    Access {
        needs: DatabaseAccess,
        does: String,
    },
    /// No access admits it.
    Never(String),
}

impl Kind {
    pub(super) fn of(needs: DatabaseAccess, verb: &str) -> Self {
        match needs {
            DatabaseAccess::Schema if verb.eq_ignore_ascii_case("CREATE") => Self::Create,
            DatabaseAccess::Schema => Self::Schema,
            _ => Self::Rows,
        }
    }
}

impl Scope {
    pub(super) fn judge(&self, context: &AuthContext<'_>) -> Result<(), Refusal> {
        use AuthAction as Is;
        match context.action {
            Is::Select | Is::Recursive => Ok(()),
            Is::Read { table_name, column_name } => self.read(table_name, column_name, context),
            Is::Insert { table_name } => self.write(table_name, "inserts into", context),
            Is::Update { table_name, .. } => self.write(table_name, "updates", context),
            Is::Delete { table_name } => self.write(table_name, "deletes from", context),
            Is::Function { function_name } => function(function_name),
            Is::Pragma { pragma_name, pragma_value } => self.pragma(pragma_name, pragma_value),
            Is::CreateVtable { table_name, module_name } => {
                if !is_in(module_name, &MODULES) {
                    return Err(Refusal::Never(format!("no table can be made of `{module_name}`")));
                }
                self.change(table_name, "creates", context)
            }
            Is::CreateTable { table_name }
            | Is::CreateIndex { table_name, .. }
            | Is::CreateTrigger { table_name, .. } => self.change(table_name, "creates", context),
            Is::CreateView { view_name } => self.change(view_name, "creates", context),
            Is::AlterTable { table_name, .. } => self.change(table_name, "alters", context),
            Is::DropTable { table_name }
            | Is::DropIndex { table_name, .. }
            | Is::DropTrigger { table_name, .. }
            | Is::DropVtable { table_name, .. } => self.change(table_name, "drops", context),
            Is::DropView { view_name } => self.change(view_name, "drops", context),
            Is::Analyze { table_name } => self.change(table_name, "analyzes", context),
            // Its table has no name here. It changes nothing that can be read.
            Is::Reindex { index_name } => {
                self.needs(DatabaseAccess::Schema, || format!("rebuilds `{index_name}`"))
            }
            other => Err(Refusal::Never(forbidden(&other).to_owned())),
        }
    }

    fn read(&self, table: &str, column: &str, context: &AuthContext<'_>) -> Result<(), Refusal> {
        let is_own = is_own(table);
        let is_on_the_way = match self.kind {
            Kind::Rows => false,
            Kind::Create => column.is_empty() || column.eq_ignore_ascii_case("ROWID"),
            Kind::Schema => true,
        };
        if is_own && is_on_the_way || is_in(table, &TABLE_FUNCTIONS) {
            return Ok(());
        }
        // What they tell is asked for once more, with its argument.
        let is_pragma = table
            .strip_prefix("pragma_")
            .is_some_and(|pragma| is_in(pragma, &PRAGMAS_OF_TABLES) || is_in(pragma, &PRAGMAS_OF_ALL));
        if is_pragma {
            return Ok(());
        }
        not_temporary(context)?;
        self.table(table, context)
    }

    fn write(&self, table: &str, does: &str, context: &AuthContext<'_>) -> Result<(), Refusal> {
        if is_own(table) {
            return match self.kind {
                Kind::Rows => Err(Refusal::Never(format!("`{table}` is SQLite's own table"))),
                // It holds itself that they are written on the way only.
                Kind::Create | Kind::Schema => {
                    self.needs(DatabaseAccess::Schema, || format!("{does} `{table}`"))
                }
            };
        }
        not_temporary(context)?;
        self.needs(DatabaseAccess::Write, || format!("{does} `{table}`"))?;
        self.table(table, context)
    }

    fn change(&self, table: &str, does: &str, context: &AuthContext<'_>) -> Result<(), Refusal> {
        not_temporary(context)?;
        self.needs(DatabaseAccess::Schema, || format!("{does} `{table}`"))?;
        // Which it makes for itself.
        if is_own(table) { Ok(()) } else { self.table(table, context) }
    }

    fn pragma(&self, name: &str, value: Option<&str>) -> Result<(), Refusal> {
        let is_admitted = match value {
            Some(table) if is_in(name, &PRAGMAS_OF_TABLES) => self.admits(table),
            Some(_) if is_in(name, &PRAGMAS_OF_ALL) => self.tables.is_empty(),
            None => {
                is_in(name, &PRAGMAS_OF_MODULES) || is_in(name, &PRAGMAS_OF_ALL) && self.tables.is_empty()
            }
            Some(_) => false,
        };
        match value {
            _ if is_admitted => Ok(()),
            Some(table) if is_in(name, &PRAGMAS_OF_TABLES) => {
                Err(Refusal::Table { name: table.to_owned(), through: None })
            }
            _ => Err(Refusal::Never(format!("the pragma `{name}` is out of reach"))),
        }
    }

    fn table(&self, name: &str, context: &AuthContext<'_>) -> Result<(), Refusal> {
        if self.admits(name) {
            return Ok(());
        }
        let through = context.accessor.filter(|accessor| *accessor != name).map(str::to_owned);
        Err(Refusal::Table { name: name.to_owned(), through })
    }

    pub(super) fn admits(&self, table: &str) -> bool {
        self.tables.iter().all(|list| list.iter().any(|pattern| pattern.admits(table)))
    }

    fn needs(&self, needs: DatabaseAccess, does: impl FnOnce() -> String) -> Result<(), Refusal> {
        if needs <= self.access { Ok(()) } else { Err(Refusal::Access { needs, does: does() }) }
    }
}

impl Refusal {
    pub(super) fn into_error(self, origin: &Origin, access: DatabaseAccess) -> Error {
        let database = &origin.database;
        match self {
            Self::Table { name, through } => {
                let through = through.map(|name| format!(" through `{name}`")).unwrap_or_default();
                let message = format!(
                    "the tables granted of `{database}` do not hold `{name}`, which this statement touches{through}"
                );
                Error::Denied { what: Refused::Table(name), needs: None, message }
            }
            Self::Access { needs, does } => {
                let message = format!("the access to `{database}` is `{access}`, and this statement {does}");
                Error::Denied { what: Refused::Statement(does), needs: Some(needs), message }
            }
            Self::Never(why) => {
                let message = format!("no grant of `{database}` admits this statement: {why}");
                Error::Denied { what: Refused::Statement(why), needs: None, message }
            }
        }
    }
}

/// Tables that SQLite keeps for itself; nobody else's name may begin so.
pub(super) fn is_own(table: &str) -> bool {
    table.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
}

/// They would be seen by the next caller of the connection.
fn not_temporary(context: &AuthContext<'_>) -> Result<(), Refusal> {
    match context.database_name {
        Some("temp") => Err(Refusal::Never("temporary tables outlive the call".to_owned())),
        _ => Ok(()),
    }
}

fn function(name: &str) -> Result<(), Refusal> {
    if is_in(name, &FUNCTIONS) {
        return Err(Refusal::Never(format!("the function `{name}` is out of reach")));
    }
    Ok(())
}

fn forbidden(action: &AuthAction<'_>) -> &'static str {
    use AuthAction as Is;
    match action {
        Is::Attach { .. } | Is::Detach { .. } => "other files are out of reach",
        Is::Transaction { .. } | Is::Savepoint { .. } => "the call is a transaction itself",
        Is::CreateTempIndex { .. }
        | Is::CreateTempTable { .. }
        | Is::CreateTempTrigger { .. }
        | Is::CreateTempView { .. }
        | Is::DropTempIndex { .. }
        | Is::DropTempTable { .. }
        | Is::DropTempTrigger { .. }
        | Is::DropTempView { .. } => "temporary tables outlive the call",
        _ => "nobody knows what it does",
    }
}

fn is_in(name: &str, list: &[&str]) -> bool {
    list.iter().any(|other| other.eq_ignore_ascii_case(name))
}
