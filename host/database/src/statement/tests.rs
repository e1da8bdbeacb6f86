use proptest::prelude::*;
use stepcell_core::grant::DatabaseAccess::{self, Read, Schema, Write};

use super::{Dialect, Statement};
use crate::{Error, Refused};

const BOTH: [Dialect; 2] = [Dialect::Sqlite, Dialect::Postgres];

#[track_caller]
fn needs(text: &str, dialects: &[Dialect], access: DatabaseAccess) {
    for dialect in dialects {
        let statement = Statement::read(text, *dialect).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(statement.needs(), access, "{dialect:?}: {text}");
    }
}

/// No grant admits it; the message holds its first word.
#[track_caller]
fn never(text: &str, first: &str) {
    for dialect in BOTH {
        match Statement::read(text, dialect).map(|_| ()) {
            Err(Error::Denied { what: Refused::Statement(what), needs: None, message }) => {
                assert_eq!(what, first);
                assert!(message.contains(first), "{message}");
            }
            other => panic!("{dialect:?}: {text}: {other:?}"),
        }
    }
}

#[track_caller]
fn invalid(text: &str, dialects: &[Dialect], why: &str) {
    for dialect in dialects {
        match Statement::read(text, *dialect).map(|_| ()) {
            Err(Error::Invalid(message)) => assert!(message.contains(why), "{message}"),
            other => panic!("{dialect:?}: {text}: {other:?}"),
        }
    }
}

#[track_caller]
fn refusal(text: &str, dialect: Dialect, message: &str) {
    let statement = Statement::read(text, dialect).unwrap();
    let refused = statement.check(Read, "shop").unwrap_err();
    assert_eq!(refused.to_string(), format!("the access to `shop` is `read`, and this statement {message}"));
}

#[test]
fn the_first_words_say_the_class() {
    for read in [
        "SELECT 1",
        "select*from t",
        "  \n-- a\n/* b */ SELECT 1;",
        "VALUES (1)",
        "(SELECT 1) UNION (SELECT 2)",
        "EXPLAIN SELECT 1",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT replace(n, 1, 2) FROM a",
        "SELECT 'insert into t'",
        "SELECT x.update FROM x",
    ] {
        needs(read, &BOTH, Read);
    }
    for write in [
        "INSERT INTO t VALUES (1)",
        "update t SET a = 1",
        "DELETE FROM t",
        "EXPLAIN DELETE FROM t",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "WITH a AS (SELECT 1)\nUPDATE t SET x = 1",
        "WITH a AS (SELECT 1) DELETE FROM t",
    ] {
        needs(write, &BOTH, Write);
    }
    for schema in ["CREATE TABLE t (a)", "ALTER TABLE t ADD b", "DROP TABLE t", "ANALYZE", "REINDEX t"] {
        needs(schema, &BOTH, Schema);
    }
}

#[test]
fn each_dialect_has_classes_of_its_own() {
    needs("REPLACE INTO t VALUES (1)", &[Dialect::Sqlite], Write);
    needs("WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a", &[Dialect::Sqlite], Write);
    needs("WITH a AS (SELECT 1) INSERT OR IGNORE INTO t SELECT * FROM a", &[Dialect::Sqlite], Write);
    needs("EXPLAIN QUERY PLAN UPDATE t SET a = 1", &[Dialect::Sqlite], Write);
    let postgres = [Dialect::Postgres];
    needs("TRUNCATE t", &postgres, Schema);
    needs("COMMENT ON TABLE t IS 'x'", &postgres, Schema);
    needs("REFRESH MATERIALIZED VIEW v", &postgres, Schema);
    needs("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", &postgres, Write);
    needs("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", &postgres, Write);
    needs(
        "WITH a AS (SELECT 1), b AS MATERIALIZED (UPDATE t SET x = 1 RETURNING 1) TABLE b",
        &postgres,
        Write,
    );
    needs("WITH a AS (SELECT 1) SELECT * FROM t FOR NO KEY UPDATE OF t", &postgres, Read);
    needs("SELECT * INTO t FROM s", &postgres, Schema);
    needs("SELECT 1into t", &postgres, Schema);
    needs("WITH a AS (SELECT 1) SELECT * INTO t FROM a", &postgres, Schema);
    needs("SELECT 1 AS into", &postgres, Read);
    needs("EXPLAIN (ANALYZE, FORMAT json) INSERT INTO t VALUES (1)", &postgres, Write);
    needs("EXPLAIN ANALYZE VERBOSE DELETE FROM t", &postgres, Write);
    needs("EXPLAIN (SELECT 1)", &postgres, Read);
}

#[test]
fn what_changes_the_session_is_refused_whatever_the_grant() {
    for (text, first) in [
        ("SET ROLE postgres", "SET"),
        ("RESET ALL", "RESET"),
        ("DO $$ BEGIN END $$", "DO"),
        ("CALL p()", "CALL"),
        ("COPY t TO PROGRAM 'x'", "COPY"),
        ("BEGIN", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("SAVEPOINT a", "SAVEPOINT"),
        ("RELEASE a", "RELEASE"),
        ("PRAGMA writable_schema = 1", "PRAGMA"),
        ("/* SELECT */ attach 'x' AS y", "ATTACH"),
        ("DETACH y", "DETACH"),
        ("VACUUM INTO 'x'", "VACUUM"),
        ("LISTEN a", "LISTEN"),
        ("NOTIFY a", "NOTIFY"),
        ("GRANT ALL ON t TO x", "GRANT"),
        ("LOCK t", "LOCK"),
        ("PREPARE a AS SELECT 1", "PREPARE"),
        ("EXECUTE a", "EXECUTE"),
        ("DECLARE a CURSOR FOR SELECT 1", "DECLARE"),
        ("DISCARD ALL", "DISCARD"),
        ("SHOW all", "SHOW"),
        ("1", "1"),
    ] {
        never(text, first);
    }
    never("EXPLAIN EXECUTE a", "EXPLAIN");
    never("(DELETE FROM t)", "(");
    never("EXPLAIN EXPLAIN SELECT 1", "EXPLAIN");
}

#[test]
fn a_call_holds_one_statement() {
    for two in [
        "SELECT 1; SELECT 2",
        "SELECT 1;;DROP TABLE t",
        "SELECT 1 /* ; */ ; -- x\n DROP TABLE t",
        ";SELECT 1",
        "SELECT ';'; SELECT 1",
        "SELECT \";\"; SELECT 1",
        "SELECT 1; -- hidden\rDROP TABLE t\n;x",
    ] {
        invalid(two, &BOTH, "more than one statement");
    }
    invalid("SELECT $x('); DROP TABLE t; --'", &[Dialect::Sqlite], "more than one");
    invalid("SELECT 1; /* /* */ DROP TABLE t; --*/", &[Dialect::Sqlite], "more than one");
    invalid("SELECT [;]; DROP TABLE t", &[Dialect::Sqlite], "more than one");
    invalid(r"SELECT E'\'; SELECT '; DROP TABLE t; --'", &[Dialect::Postgres], "more than one");
    invalid("SELECT $a$;$b$;$a$; DROP TABLE t", &[Dialect::Postgres], "more than one");
    needs("SELECT 1;; -- end", &BOTH, Read);
    needs("SELECT ';', \";\" /* ; */ -- ;", &BOTH, Read);
    needs("SELECT `;`, [;]", &[Dialect::Sqlite], Read);
    needs("SELECT $a$;$$;$a$, $1, 'a' /* /* ; */ ; */", &[Dialect::Postgres], Read);
    needs("SELECT E'a'\n -- ;\n 'b\\';c'", &[Dialect::Postgres], Read);
}

#[test]
fn a_body_s_statements_are_its_own() {
    let trigger =
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM a; SELECT CASE 1 WHEN 1 THEN 2 END; END";
    needs(trigger, &[Dialect::Sqlite], Schema);
    needs(&format!("{trigger};"), &[Dialect::Sqlite], Schema);
    invalid(&format!("{trigger}; DROP TABLE t"), &[Dialect::Sqlite], "more than one");
    invalid("CREATE TABLE trigger (a); BEGIN; END", &[Dialect::Sqlite], "more than one");
    let postgres = [Dialect::Postgres];
    needs("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", &postgres, Schema);
    needs("CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)", &postgres, Schema);
}

#[test]
fn what_is_no_statement_is_told() {
    invalid("", &BOTH, "no statement");
    invalid(" -- SELECT 1", &BOTH, "no statement");
    invalid(";", &BOTH, "no statement");
    invalid("SELECT 'a", &BOTH, "a string");
    invalid("SELECT \"a", &BOTH, "a name in quotes");
    invalid("SELECT 1 /* a", &[Dialect::Postgres], "a comment");
    invalid("SELECT $$a", &[Dialect::Postgres], "dollar signs");
    invalid("SELECT 1\0; DROP TABLE t", &BOTH, "zero byte");
    let long = format!("SELECT '{}'", "a".repeat(super::STATEMENT_BYTES_MAX));
    assert!(matches!(Statement::read(&long, Dialect::Sqlite), Err(Error::Limit(_))));
}

#[test]
fn a_refusal_says_what_the_statement_does_and_to_which_table() {
    let sqlite = Dialect::Sqlite;
    refusal("INSERT INTO orders VALUES (1)", sqlite, "inserts into `orders`");
    refusal("INSERT OR REPLACE INTO main.orders VALUES (1)", sqlite, "inserts into `orders`");
    refusal("/* a */ update [my orders] SET a = 1", sqlite, "updates `my orders`");
    refusal("DROP TABLE IF EXISTS orders", sqlite, "drops `orders`");
    refusal("CREATE VIRTUAL TABLE notes USING fts5(a)", sqlite, "creates `notes`");
    refusal("ANALYZE", sqlite, "is a `ANALYZE`");
    let postgres = Dialect::Postgres;
    refusal("WITH a AS (SELECT 1) DELETE FROM ONLY shop.\"Orders\"", postgres, "deletes from `Orders`");
    refusal("SELECT 1 INTO t", postgres, "makes the table `t`");
    refusal("TRUNCATE TABLE t", postgres, "truncates `t`");
    refusal("UPDATE 1", postgres, "updates rows");
}

#[test]
fn a_refusal_is_found_fast_however_the_statement_is_nested() {
    let nested = format!("DELETE FROM t WHERE {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let started = std::time::Instant::now();
    refusal(&nested, Dialect::Postgres, "deletes from `t`");
    refusal(&nested, Dialect::Sqlite, "deletes from `t`");
    assert!(started.elapsed().as_secs() < 5);
}

/// Pieces of SQL that begin or end something.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: [&str; 43] = [
        "SELECT 1",
        "SELECT",
        "1",
        ";",
        "; ",
        "'",
        "''",
        "\"",
        "`",
        "[",
        "]",
        "--",
        "\n",
        "\r",
        "/*",
        "*/",
        "/",
        "*",
        "$",
        "$1",
        "$a",
        "$a(",
        "::",
        ":",
        "@x(",
        "#",
        "(",
        ")",
        " ",
        "x",
        "x'",
        "E'",
        "\\",
        "$$",
        "é",
        "\u{feff}",
        "END",
        "BEGIN",
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1",
        ",",
        "\u{b}",
        "\t",
        "-",
    ];
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..16).prop_map(|pieces| pieces.concat())
}

/// Whether SQLite itself finds more behind the first statement.
fn has_tail(sqlite: &rusqlite::Connection, text: &str) -> bool {
    matches!(sqlite.prepare(text), Err(rusqlite::Error::MultipleStatement))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn two_statements_are_never_taken_for_one(text in pieces()) {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        sqlite.execute_batch("CREATE TABLE t (x)").unwrap();
        for text in [format!("SELECT 1{text}"), format!("SELECT 1{text}; SELECT 2"), text] {
            if Statement::read(&text, Dialect::Sqlite).is_ok() {
                prop_assert!(!has_tail(&sqlite, &text), "{text:?}");
            }
        }
    }

    #[test]
    fn nothing_makes_the_lexer_panic(text in ".{0,200}", pieces in pieces()) {
        for dialect in BOTH {
            let _ = Statement::read(&text, dialect).map(|_| ());
            let _ = Statement::read(&pieces, dialect).map(|statement| statement.check(Read, "x"));
        }
    }
}
