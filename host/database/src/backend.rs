//! The kinds of databases that there are.
//!
//! What every kind holds to: it connects when it is first used, shares its connections among all callers, and never
//! has more of them than its config says. Its futures may be awaited anywhere, also outside the host's runtime.
//! Dropping one stops the statement; its connection is clean before anybody else gets it, or closed. A call is over
//! at [`Rule::deadline`].

use std::{path::Path, time::Instant};

use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;
use tokio::runtime::Handle;

use crate::{
    Error, Named, Rows, Rule,
    postgres::{self, Postgres},
    sqlite::{self, Sqlite},
    statement::{Dialect, Statement},
};

/// One database.
pub(crate) enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// An open transaction of one. Dropped, it is rolled back.
pub(crate) enum Open {
    Sqlite(sqlite::Transaction),
    Postgres(postgres::Transaction),
}

impl Backend {
    /// By the scheme of the URL. Connects to nothing yet.
    pub(crate) fn open(name: &str, named: Named, data: &Path, runtime: Handle) -> Result<Self, Error> {
        let Named { url, role, connections, ca, statement_time: _ } = named;
        match url.split_once(':') {
            Some(("sqlite", place)) => {
                if role.is_some() || !ca.is_empty() {
                    let why = "`role` and `ca` are for PostgreSQL";
                    return Err(Error::Invalid(format!("the database `{name}` is SQLite: {why}")));
                }
                let connections = connections.unwrap_or(sqlite::CONNECTIONS);
                Ok(Self::Sqlite(Sqlite::open(name, place, data, connections, runtime)?))
            }
            Some(("postgres" | "postgresql", _)) => {
                let connections = connections.unwrap_or(postgres::CONNECTIONS);
                let settings = postgres::Settings { url, role, connections, authorities: ca };
                Ok(Self::Postgres(Postgres::open(name, settings, runtime)?))
            }
            // Whatever it is, a password may be in it.
            _ => Err(Error::Invalid(format!(
                "the URL of the database `{name}` is wrong: it begins with `sqlite:` or `postgres://`"
            ))),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// What of the config leaves a step more than it is granted, or somebody on the way.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self {
            Self::Sqlite(_) => Vec::new(),
            Self::Postgres(postgres) => postgres.warnings(),
        }
    }

    /// In a transaction of its own.
    pub(crate) async fn query(
        &self,
        statement: &Statement<'_>,
        params: &[Value],
        rule: &Rule,
    ) -> Result<Rows, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query(statement, params, rule).await,
            Self::Postgres(postgres) => postgres.query(statement.text(), params, rule).await,
        }
    }

    /// In a transaction of its own.
    pub(crate) async fn execute(
        &self,
        statement: &Statement<'_>,
        params: &[Value],
        rule: &Rule,
    ) -> Result<u64, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.execute(statement, params, rule).await,
            Self::Postgres(postgres) => {
                Ok(changed(statement, postgres.execute(statement.text(), params, rule).await?))
            }
        }
    }

    /// What runs in it may go as far as this rule.
    pub(crate) async fn begin(&self, rule: &Rule) -> Result<Open, Error> {
        match self {
            Self::Sqlite(sqlite) => Ok(Open::Sqlite(sqlite.begin(rule).await?)),
            Self::Postgres(postgres) => Ok(Open::Postgres(postgres.begin(rule).await?)),
        }
    }
}

impl Open {
    pub(crate) async fn query(
        &mut self,
        statement: &Statement<'_>,
        params: &[Value],
        deadline: Instant,
    ) -> Result<Rows, Error> {
        match self {
            Self::Sqlite(open) => open.query(statement, params, deadline).await,
            Self::Postgres(open) => open.query(statement.text(), params, deadline).await,
        }
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Statement<'_>,
        params: &[Value],
        deadline: Instant,
    ) -> Result<u64, Error> {
        match self {
            Self::Sqlite(open) => open.execute(statement, params, deadline).await,
            Self::Postgres(open) => {
                Ok(changed(statement, open.execute(statement.text(), params, deadline).await?))
            }
        }
    }

    pub(crate) async fn commit(self, deadline: Instant) -> Result<(), Error> {
        match self {
            Self::Sqlite(open) => open.commit(deadline).await,
            Self::Postgres(open) => open.commit(deadline).await,
        }
    }
}

/// PostgreSQL counts the rows that a statement read as well.
fn changed(statement: &Statement<'_>, counted: u64) -> u64 {
    if statement.needs() == DatabaseAccess::Write { counted } else { 0 }
}
