//! What the host adds to a call that leaves it: over the same call to the same peer by a plain client.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stepcell_core::{
    Json,
    grant::{DatabaseAccess, Grant, Level},
};
use stepcell_database::{Databases, MAIN, Named, Rule};
use stepcell_engine::Prepared;
use stepcell_sandbox::Options;
use stepcell_tests::{Peer, Postgres};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    bed::{Bed, Work},
    effort::Effort,
    figure::{Figure, Unit},
    stats::{Spread, micros, spread},
};

const CALLS_PER_ROUND: usize = 50;
/// Steps at the same time, and what the pools may hold then.
const STEPS: usize = 200;
/// No call of a benchmark comes near it.
const PATIENCE: Duration = Duration::from_secs(60);
const HTTP_CONNECTIONS: usize = 16;
const POSTGRES_CONNECTIONS: usize = 8;

const POSTGRES_QUERY: &str = "SELECT id, total FROM orders WHERE id = $1::int4";
const SQLITE_QUERY: &str = "SELECT id, total FROM orders WHERE id = $1";
const SCHEMA: &str =
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER); INSERT INTO orders VALUES (7, 250)";

/// The host with what it may reach, and plain clients of the same peers.
struct Outside {
    bed: Bed,
    databases: Databases,
    peer: Peer,
    postgres: Postgres,
    http_client: reqwest::Client,
    postgres_client: tokio_postgres::Client,
    sqlite: Mutex<rusqlite::Connection>,
    _data: TempDir,
}

/// Times of one way out: by a plain client, by our layer over it where there is one, by a cell, and by a run of one
/// step.
#[derive(Default)]
struct Times {
    plain: Vec<Duration>,
    layer: Vec<Duration>,
    cell: Vec<Duration>,
    run: Vec<Duration>,
}

/// What does it by us.
struct Ours {
    work: Work,
    plan: Arc<Prepared>,
}

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let outside = Outside::start().await?;
    let mut times: [Times; 3] = Default::default();
    // Its times are dropped.
    outside.round(&mut Default::default()).await?;
    // In each round everything is measured once, so that a busy minute of the machine hits all of it.
    for _ in 0..effort.of(40, 3) {
        outside.round(&mut times).await?;
    }
    let [http, postgres, sqlite] = &times;
    let mut figures = Vec::new();
    figures.extend(http.figures("HTTP call", "reqwest", Some(150.0))?);
    figures.extend(postgres.figures("PostgreSQL row", "tokio-postgres", Some(200.0))?);
    figures.extend(sqlite.figures("SQLite row", "rusqlite", None)?);
    figures.extend(outside.together().await?);
    outside.bed.stop().await;
    Ok(figures)
}

impl Outside {
    async fn start() -> Result<Self> {
        let (peer, postgres) = (Peer::start().await, Postgres::start());
        let grants = "GRANT SELECT ON orders TO flows_ro";
        // One more would be refused, and fail its step.
        let limit = format!("ALTER ROLE flows CONNECTION LIMIT {POSTGRES_CONNECTIONS}");
        postgres.run(&format!("{SCHEMA}; {grants}; {limit}")).await;
        let data = tempfile::tempdir()?;
        let sqlite = rusqlite::Connection::open(data.path().join("main.db"))?;
        sqlite.execute_batch(SCHEMA)?;

        let mut shop = Named::new(postgres.url("flows"));
        shop.role = Some("flows_ro".to_owned());
        shop.connections = Some(POSTGRES_CONNECTIONS);
        let databases =
            Databases::open(BTreeMap::from([("shop".to_owned(), shop)]), data.path(), &Handle::current())?;
        let http = grant(&json!({ "http": [peer.url()] }))?;
        let query = grant(&json!({ "databases": { "main": "read", "shop": "read" } }))?;
        let shared = databases.clone();
        let bed = Bed::with(|options| {
            let mut connector = options.connector.clone();
            connector.concurrency_max = HTTP_CONNECTIONS;
            let grants =
                BTreeMap::from([("http_request".to_owned(), http), ("database_query".to_owned(), query)]);
            Options { connector, grants, databases: Some(shared), ..options }
        })
        .await?;
        let postgres_client = postgres.connect("postgres").await;
        let (http_client, sqlite) = (reqwest::Client::new(), Mutex::new(sqlite));
        Ok(Self { bed, databases, peer, postgres, http_client, postgres_client, sqlite, _data: data })
    }

    /// Plain calls and cells take turns: a client that calls its peer over and over finds both on one warm core, which
    /// is nothing that a host with more to do ever sees.
    async fn round(&self, [http, postgres, sqlite]: &mut [Times; 3]) -> Result<()> {
        let url = format!("{}/ok", self.peer.url());
        let fetching = self.ours("http_request", &json!({ "url": url }))?;
        let config = json!({ "database": "shop", "query": POSTGRES_QUERY, "params": [7] });
        let querying = self.ours("database_query", &config)?;
        let looking_up = self.ours("database_query", &json!({ "query": SQLITE_QUERY, "params": [7] }))?;
        let statement = self.postgres_client.prepare(POSTGRES_QUERY).await?;
        for _ in 0..CALLS_PER_ROUND {
            http.plain.push(self.plain_http(&url).await?);
            http.cell.extend(self.bed.cells(&fetching.work, 1).await?);
        }
        for _ in 0..CALLS_PER_ROUND {
            postgres.plain.push(self.plain_postgres(&statement).await?);
            postgres.layer.push(self.layer("shop", POSTGRES_QUERY).await?);
            postgres.cell.extend(self.bed.cells(&querying.work, 1).await?);
        }
        for _ in 0..CALLS_PER_ROUND {
            sqlite.plain.push(self.plain_sqlite()?);
            sqlite.layer.push(self.layer(MAIN, SQLITE_QUERY).await?);
            sqlite.cell.extend(self.bed.cells(&looking_up.work, 1).await?);
        }
        for (ours, times) in [(&fetching, http), (&querying, postgres), (&looking_up, sqlite)] {
            times.run.extend(self.bed.runs(&ours.plan, &Json::from(json!({})), CALLS_PER_ROUND).await?);
        }
        Ok(())
    }

    async fn plain_http(&self, url: &str) -> Result<Duration> {
        let started = Instant::now();
        let body = self.http_client.get(url).send().await?.error_for_status()?.bytes().await?;
        // A step gives the body as JSON.
        serde_json::from_slice::<Value>(&body)?;
        Ok(started.elapsed())
    }

    async fn plain_postgres(&self, statement: &tokio_postgres::Statement) -> Result<Duration> {
        let started = Instant::now();
        let row = self.postgres_client.query_one(statement, &[&7_i32]).await?;
        ensure!(row.try_get::<_, i32>("total")? == 250, "another order came back");
        Ok(started.elapsed())
    }

    fn plain_sqlite(&self) -> Result<Duration> {
        let connection = self.sqlite.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let mut statement = connection.prepare_cached(SQLITE_QUERY)?;
        let total: i64 = statement.query_row([7], |row| row.get("total"))?;
        ensure!(total == 250, "another order came back");
        Ok(started.elapsed())
    }

    /// With the grant, the pool and the JSON of a database, and no cell.
    async fn layer(&self, database: &str, statement: &str) -> Result<Duration> {
        let started = Instant::now();
        let rule = Rule {
            access: DatabaseAccess::Read,
            tables: Vec::new(),
            rows: 1_000,
            bytes: 1 << 20,
            deadline: started + PATIENCE,
        };
        let rows = self.databases.query(database, statement, &[json!(7)], &rule).await?;
        ensure!(rows.count == 1, "another order came back");
        Ok(started.elapsed())
    }

    /// The same for a cell, and for a run of one step.
    fn ours(&self, kind: &str, config: &Value) -> Result<Ours> {
        let flow = json!({ "name": "outside", "steps": [{ "id": "a", "type": kind, "config": config }] });
        Ok(Ours { work: self.bed.work(kind, config, &Json::from(json!({})))?, plan: self.bed.plan(&flow)? })
    }

    /// As many steps as there may be: the pools stay within what the config allows, counted by the peers.
    async fn together(&self) -> Result<[Figure; 2]> {
        let http = json!({ "url": format!("{}/later", self.peer.url()) });
        let query = json!({ "database": "shop", "query": "SELECT 1 AS n FROM pg_sleep(0.01)" });
        let mut counts = Vec::new();
        for (kind, config) in [("http_request", http), ("database_query", query)] {
            let step = |n: usize| json!({ "id": format!("s{n}"), "type": kind, "config": config });
            let steps: Vec<Value> = (0..STEPS).map(step).collect();
            let plan = self.bed.plan(&json!({ "name": "together", "steps": steps }))?;
            self.bed.run(&plan, &Json::from(json!({}))).await.with_context(|| format!("{STEPS} × {kind}"))?;
            counts.push(match kind {
                "http_request" => self.peer.most_open() as f64,
                _ => self.postgres.sessions("flows").await as f64,
            });
        }
        // The plain client has one connection, which may be open still.
        let [http, postgres] = counts.try_into().ok().context("two counts")?;
        let what = |peer: &str| format!("{STEPS} steps at a time, connections to {peer}");
        Ok([
            Figure::value(what("an HTTP peer"), Unit::Connections, http)
                .at_most(HTTP_CONNECTIONS as f64 + 1.0),
            Figure::value(what("PostgreSQL"), Unit::Connections, postgres)
                .at_most(POSTGRES_CONNECTIONS as f64),
        ])
    }
}

impl Times {
    fn figures(&self, what: &str, client: &'static str, target: Option<f64>) -> Result<Vec<Figure>> {
        let [plain, cell, run]: [Spread; 3] =
            [spread(&self.plain, micros)?, spread(&self.cell, micros)?, spread(&self.run, micros)?];
        let added = Figure::value(format!("added to a granted {what}"), Unit::Micros, cell.p50 - plain.p50);
        let mut figures = vec![Figure::spread(format!("{what}, {client}"), Unit::Micros, plain)];
        if !self.layer.is_empty() {
            let layer =
                Figure::spread(format!("{what}, no cell"), Unit::Micros, spread(&self.layer, micros)?);
            figures.push(layer.over(client, plain.p50));
        }
        figures.extend([
            Figure::spread(format!("{what}, granted, in a cell"), Unit::Micros, cell).over(client, plain.p50),
            match target {
                Some(target) => added.at_most(target),
                None => added,
            },
            Figure::spread(format!("{what}, a run of one step"), Unit::Micros, run).over(client, plain.p50),
        ]);
        Ok(figures)
    }
}

fn grant(value: &Value) -> Result<Grant> {
    let (grant, problems) = Grant::read(value, Level::Operator);
    ensure!(problems.is_empty(), "the grant can not be read: {problems:?}");
    Ok(grant)
}
