//! A PostgreSQL server that the operator named.

use serde_json::{Value, json};
use stepcell_tests::{Host, Postgres};

/// `shop` as the role `flows_ro`, and as the user `flows` itself; `database_query` may `access` both.
async fn host(postgres: &Postgres, access: &str) -> Host {
    let url = postgres.url("flows");
    Host::builder()
        .config(&format!(
            "databases: {{ shop: {{ url: \"{url}\", role: flows_ro }}, own: {{ url: \"{url}\" }} }}"
        ))
        .config(&format!(
            "grants: {{ database_query: {{ databases: {{ shop: {access}, own: {access} }} }} }}"
        ))
        .start()
        .await
}

async fn query(host: &Host, database: &str, text: &str, params: Value) -> Value {
    host.step("database_query", json!({"database": database, "query": text, "params": params})).await
}

#[tokio::test]
async fn the_role_of_the_config_decides_over_tables() {
    let postgres = Postgres::start();
    postgres
        .run(
            "CREATE TABLE orders (id INTEGER, total NUMERIC(20, 2)); INSERT INTO orders VALUES (1, 9.50);
             CREATE TABLE users (name TEXT); GRANT SELECT ON orders TO flows_ro; GRANT ALL ON users TO flows;
             CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM users'",
        )
        .await;
    let host = host(&postgres, "write").await;
    let step = query(&host, "shop", "SELECT id, total FROM orders WHERE id = $1", json!([1])).await;
    assert_eq!(step["output"], json!({"rows": [{"id": 1, "total": "9.50"}], "count": 1}), "{step:#}");
    for text in [
        "SELECT * FROM users",
        "SELECT peek()",
        "UPDATE orders SET total = 0",
        "INSERT INTO orders VALUES (2, 1)",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "SET ROLE postgres",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION postgres",
        "SELECT set_config('role', 'postgres', false)",
        "COPY orders TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
    ] {
        let step = query(&host, "shop", text, json!([])).await;
        assert_eq!(step["status"], "failed", "{text}: {step:#}");
    }
    assert_eq!(postgres.count("SELECT count(*) FROM orders WHERE total = 9.5").await, 1);
}

#[tokio::test]
async fn reading_is_no_writing() {
    let postgres = Postgres::start();
    postgres
        .run(
            "CREATE TABLE t (n INTEGER); GRANT ALL ON t TO flows; GRANT CREATE ON SCHEMA public TO flows;
             CREATE FUNCTION sneak() RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (1)'",
        )
        .await;
    let host = host(&postgres, "read").await;
    for text in
        ["INSERT INTO t VALUES (1)", "SELECT sneak()", "CREATE TABLE u (n INTEGER)", "SELECT nextval('t')"]
    {
        let step = query(&host, "own", text, json!([])).await;
        assert_eq!(step["status"], "failed", "{text}: {step:#}");
    }
    // The guard is one of each statement: no setting outlives it.
    for text in ["SET default_transaction_read_only = off", "COMMIT", "SET TRANSACTION READ WRITE"] {
        query(&host, "own", text, json!([])).await;
        let step = query(&host, "own", "INSERT INTO t VALUES (1)", json!([])).await;
        assert_eq!(step["error"]["fault"], "denied", "{text}: {step:#}");
    }
    assert_eq!(postgres.count("SELECT count(*) FROM t").await, 0);
    assert_eq!(
        query(&host, "own", "SELECT count(*) AS n FROM t", json!([])).await["output"]["rows"],
        json!([{"n": 0}])
    );
}

#[tokio::test]
async fn writing_is_no_schema() {
    let postgres = Postgres::start();
    postgres
        .run("CREATE TABLE t (n INTEGER); GRANT ALL ON t TO flows; GRANT CREATE ON SCHEMA public TO flows")
        .await;
    let mut host = host(&postgres, "write").await;
    let step = query(&host, "own", "INSERT INTO t VALUES ($1), ($2)", json!([1, 2])).await;
    assert_eq!(step["output"], json!({"rows": [], "count": 2}), "{step:#}");
    let create = "CREATE TABLE u (n INTEGER)";
    let step = query(&host, "own", create, json!([])).await;
    assert_eq!(step["error"]["code"], "database_denied", "{step:#}");
    let allow = host.refusals(&step).await[0]["allow"].as_str().unwrap().to_owned();
    host.paste(&allow).await;
    let step = query(&host, "own", create, json!([])).await;
    assert_eq!(step["status"], "succeeded", "{allow}: {step:#}");
}

#[tokio::test]
async fn every_type_comes_back_as_sensible_json() {
    let postgres = Postgres::start();
    let host = host(&postgres, "read").await;
    for (expression, expected) in [
        ("true", json!(true)),
        ("32767::int2", json!(32767)),
        // A reader of JSON may round what is beyond 2^53.
        ("9223372036854775807::int8", json!("9223372036854775807")),
        ("0.5::float8", json!(0.5)),
        ("12345678901234567890.123456789::numeric", json!("12345678901234567890.123456789")),
        ("'NaN'::float8", json!("NaN")),
        ("'text'", json!("text")),
        ("'x'::varchar(3)", json!("x")),
        ("NULL", json!(null)),
        ("'2024-02-29T12:00:00+02'::timestamptz", json!("2024-02-29T10:00:00Z")),
        ("'2024-02-29 12:00:00.5'::timestamp", json!("2024-02-29T12:00:00.5")),
        ("'2024-02-29'::date", json!("2024-02-29")),
        ("'12:30:00'::time", json!("12:30:00")),
        ("'\\x00ff'::bytea", json!("AP8=")),
        ("'{\"a\": [1, null]}'::jsonb", json!({"a": [1, null]})),
        ("'67e55044-10b1-426f-9247-bb680e5fe0c8'::uuid", json!("67e55044-10b1-426f-9247-bb680e5fe0c8")),
        ("ARRAY[1, NULL, 3]", json!([1, null, 3])),
        ("ARRAY[['a', 'b'], ['c', 'd']]", json!([["a", "b"], ["c", "d"]])),
        ("'10.0.0.0/8'::inet", json!("10.0.0.0/8")),
    ] {
        let step = query(&host, "own", &format!("SELECT {expression} AS v"), json!([])).await;
        assert_eq!(step["output"]["rows"], json!([{ "v": expected }]), "{expression}: {step:#}");
    }
    let params = json!([7, "text", null, [1, 2], {"a": 1}, "12.50", true, "2024-02-29T10:00:00Z"]);
    let text = "SELECT $1::int8 AS a, $2::text AS b, $3::int4 AS c, $4::int4[] AS d, $5::jsonb AS e, $6::numeric AS f, \
                $7::bool AS g, $8::timestamptz AS h";
    let step = query(&host, "own", text, params).await;
    let row = json!({
        "a": 7, "b": "text", "c": null, "d": [1, 2], "e": {"a": 1}, "f": "12.50", "g": true, "h": "2024-02-29T10:00:00Z",
    });
    assert_eq!(step["output"]["rows"], json!([row]), "{step:#}");
}

#[tokio::test]
async fn mistakes_are_the_callers() {
    let postgres = Postgres::start();
    let host = host(&postgres, "read").await;
    for (text, params, code) in [
        ("SELECT FROM WHERE", json!([]), "database_rejected"),
        ("SELECT * FROM nowhere", json!([]), "database_rejected"),
        ("SELECT 1; SELECT 2", json!([]), "database_invalid"),
        ("SELECT $1::int4, $2::int4", json!([1]), "database_invalid"),
        ("SELECT 1 / 0", json!([]), "database_rejected"),
    ] {
        let step = query(&host, "own", text, params).await;
        assert_eq!(step["error"]["code"], code, "{text}: {step:#}");
    }
    let step = query(&host, "own", "SELECT 1 / 0", json!([])).await;
    assert!(step["error"].to_string().contains("22012"), "the database's own code is told: {step:#}");
}

#[tokio::test]
async fn a_slow_statement_is_stopped_and_its_connection_is_good_again() {
    let postgres = Postgres::start();
    let host = host(&postgres, "{ access: read, time: 300ms }").await;
    let step = query(&host, "own", "SELECT pg_sleep(60)", json!([])).await;
    assert_eq!(step["error"]["code"], "database_timeout", "{step:#}");
    postgres.until_idle("flows").await;
    assert_eq!(query(&host, "own", "SELECT 1 AS n", json!([])).await["status"], "succeeded");
}

#[tokio::test]
async fn a_cancelled_run_stops_its_statement() {
    let postgres = Postgres::start();
    let host = host(&postgres, "read").await;
    let run = host
        .submit("name: long\nsteps: [{ id: a, type: database_query, config: { database: own, query: \"SELECT pg_sleep(60)\" } }]")
        .await;
    stepcell_tests::eventually("the statement runs", || async {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'flows' AND state = 'active'";
        (postgres.count(busy).await == 1).then_some(())
    })
    .await;
    host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    postgres.until_idle("flows").await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_until_it_is_back() {
    let mut postgres = Postgres::start();
    let host = host(&postgres, "read").await;
    assert_eq!(query(&host, "own", "SELECT 1 AS n", json!([])).await["status"], "succeeded");
    postgres.kill();
    let step = query(&host, "own", "SELECT 1 AS n", json!([])).await;
    assert_eq!(step["error"]["code"], "database_unavailable", "{step:#}");
    assert_eq!(step["error"]["retryable"], true);
    assert!(step["error"]["message"].as_str().unwrap().contains(&postgres.address()), "{step:#}");
    assert!(!step.to_string().contains("flows:flows"), "{step:#}");
    postgres.restart();
    let run = host
        .run(
            "name: back\nsteps: [{ id: a, type: database_query, retry: { max_attempts: 50, initial: 100ms, factor: 1 }, config: { database: own, query: SELECT 1 AS n } }]",
        )
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
}

#[tokio::test]
async fn two_hundred_steps_share_the_connections_that_the_config_allows() {
    let postgres = Postgres::start();
    // The server itself refuses one more.
    postgres.run("ALTER ROLE flows CONNECTION LIMIT 4").await;
    let host = Host::builder()
        .config(&format!("databases: {{ own: {{ url: \"{}\", connections: 4 }} }}", postgres.url("flows")))
        .config("grants: { database_query: { databases: { own: read } } }")
        .start()
        .await;
    let step = |n: u32| {
        json!({"id": format!("s{n}"), "type": "database_query", "config": {
            "database": "own", "query": "SELECT $1::int4 AS n FROM pg_sleep(0.01)", "params": [n],
        }})
    };
    let steps: Vec<Value> = (0..200).map(step).collect();
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": {"name": "many", "steps": steps}})).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["output"]["s199"]["rows"], json!([{"n": 199}]), "{run:#}");
    assert!((2..=4).contains(&postgres.sessions("flows").await));
}
