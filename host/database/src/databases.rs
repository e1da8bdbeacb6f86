//! All databases that the config names.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;
use tokio::runtime::Handle;

use crate::{
    Error, Named, Rows, Rule, Transaction,
    backend::Backend,
    statement::{Dialect, Statement},
};

/// The database that is there without being named: a file in the data folder.
pub const MAIN: &str = "main";

const MAIN_URL: &str = "sqlite:main.db";

/// All databases that the config names. Cheap to clone; the connections close with the last clone.
#[derive(Clone)]
pub struct Databases(Arc<BTreeMap<String, Arc<Database>>>);

pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) backend: Backend,
    /// Most time of one statement.
    time: Option<Duration>,
}

impl Databases {
    /// Understands every URL and connects to nothing yet. `data` is the folder that relative files lie in; `runtime`
    /// does the network's work and keeps the time, wherever a call is awaited.
    pub fn open(mut named: BTreeMap<String, Named>, data: &Path, runtime: &Handle) -> Result<Self, Error> {
        named.entry(MAIN.to_owned()).or_insert_with(|| Named::new(MAIN_URL));
        let open = |(name, named): (String, Named)| {
            let time = named.statement_time;
            let backend = Backend::open(&name, named, data, runtime.clone())?;
            Ok((name.clone(), Arc::new(Database { name, backend, time })))
        };
        Ok(Self(Arc::new(named.into_iter().map(open).collect::<Result<_, Error>>()?)))
    }

    /// In the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What of the config leaves a step more than it is granted, or somebody on the way: the database and a sentence.
    /// What only the server knows is among it after the first connection.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let of = |database: &Arc<Database>| {
            let name = database.name.clone();
            database.backend.warnings().into_iter().map(move |warning| (name.clone(), warning))
        };
        self.0.values().flat_map(of).collect()
    }

    /// Runs one statement, in a transaction of its own, and gives its rows. `params` are the values of `$1`, `$2`, ….
    pub async fn query(
        &self,
        database: &str,
        statement: &str,
        params: &[Value],
        rule: &Rule,
    ) -> Result<Rows, Error> {
        let database = self.find(database)?;
        let (statement, rule) = (database.read(statement, rule)?, database.bounded(rule));
        database.backend.query(&statement, params, &rule).await
    }

    /// Runs one statement, in a transaction of its own, and tells how many rows it changed.
    pub async fn execute(
        &self,
        database: &str,
        statement: &str,
        params: &[Value],
        rule: &Rule,
    ) -> Result<u64, Error> {
        let database = self.find(database)?;
        let (statement, rule) = (database.read(statement, rule)?, database.bounded(rule));
        database.backend.execute(&statement, params, &rule).await
    }

    /// Opens a transaction. What runs in it may go as far as this rule, but for the deadline: each statement has its
    /// own.
    pub async fn begin(&self, database: &str, rule: &Rule) -> Result<Transaction, Error> {
        let database = self.find(database)?;
        let open = database.backend.begin(&database.bounded(rule)).await?;
        Ok(Transaction::new(Arc::clone(database), open, rule.access))
    }

    /// How far a grant has to go for a statement, where that can be told before it runs: for the words of a refusal.
    pub fn needs(&self, database: &str, statement: &str) -> Option<DatabaseAccess> {
        let database = self.find(database).ok()?;
        Statement::read(statement, database.dialect()).ok().map(|statement| statement.needs())
    }

    fn find(&self, name: &str) -> Result<&Arc<Database>, Error> {
        self.0.get(name).ok_or_else(|| {
            let names: Vec<_> = self.names().map(|name| format!("`{name}`")).collect();
            Error::Invalid(format!("there is no database `{name}`; the config names {}", names.join(", ")))
        })
    }
}

impl Database {
    /// A statement that the rule's access admits.
    fn read<'a>(&self, text: &'a str, rule: &Rule) -> Result<Statement<'a>, Error> {
        let statement = Statement::read(text, self.dialect())?;
        statement.check(rule.access, &self.name)?;
        Ok(statement)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.backend.dialect()
    }

    fn bounded<'a>(&self, rule: &'a Rule) -> Cow<'a, Rule> {
        let deadline = self.deadline(rule.deadline);
        if deadline == rule.deadline {
            return Cow::Borrowed(rule);
        }
        Cow::Owned(Rule { deadline, ..rule.clone() })
    }

    /// The earlier of this and the config's `statement_time` from now on.
    pub(crate) fn deadline(&self, asked: Instant) -> Instant {
        let own = self.time.and_then(|time| Instant::now().checked_add(time));
        own.map_or(asked, |own| own.min(asked))
    }
}
