use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::grant::{BlobAccess, DatabaseAccess, Level};

fn read(value: Value, level: Level) -> Grant {
    let (grant, problems) = Grant::read(&value, level);
    assert_eq!(problems, [], "{value}");
    grant
}

#[track_caller]
fn check(operator: Value, narrowing: Value, left: Value) {
    let narrowing = read(narrowing, Level::Narrowing);
    let narrowed = read(operator, Level::Operator).narrowed_by([&narrowing]);
    assert_eq!(narrowed.grant.to_value(), left);
}

#[test]
fn what_the_flow_does_not_mention_stays() {
    let operator =
        json!({"secrets": ["a"], "databases": {"main": "write"}, "email": ["*"], "blobs": "write"});
    check(operator.clone(), json!({}), operator);
}

#[test]
fn what_the_operator_does_not_grant_is_not_won_by_asking() {
    let narrowing = json!({"secrets": ["a"], "databases": {"main": "write"}, "email": ["*"], "blobs": "write", "files": ["/in"]});
    check(json!({}), narrowing, json!({}));
}

#[test]
fn the_smaller_word_holds() {
    check(
        json!({"databases": {"main": {"access": "write", "tables": ["cust_*", "orders"], "rows": 10}, "shop": "read"}}),
        json!({"databases": {"main": {"access": "read", "tables": ["cust_eu*", "ORDERS", "cust_x", "y"], "time": "1s"}}}),
        json!({"databases": {"main": {"access": "read", "tables": ["orders", "cust_eu*", "ORDERS", "cust_x"], "rows": 10, "time": "1s"}}}),
    );
    check(
        json!({"email": ["*@x.org", "a@y.org"], "blobs": "write", "secrets": ["a", "b"]}),
        json!({"email": ["ops@x.org", "*@y.org", "b@z.org"], "blobs": "read", "secrets": ["b", "c"]}),
        json!({"email": ["a@y.org", "ops@x.org"], "blobs": "read", "secrets": ["b"]}),
    );
    check(
        json!({"files": ["./in", {"path": "./out", "access": "write"}]}),
        json!({"files": ["/out", "/other"]}),
        json!({"files": ["./out"]}),
    );
}

#[test]
fn every_level_keeps_its_rules_for_http() {
    let flow = read(json!({"http": ["https://a.example"]}), Level::Narrowing);
    let step = read(json!({"http": []}), Level::Narrowing);
    let operator = Grant::public_http();
    let narrowed = operator.narrowed_by([&flow]);
    assert_eq!(narrowed.http.len(), 2);
    assert!(!narrowed.refuses_http());
    assert!(operator.narrowed_by([&flow, &step]).refuses_http());
    assert!(Grant::default().narrowed_by([]).refuses_http());
}

#[test]
fn a_wider_rule_takes_the_place_of_a_narrower_one() {
    let mut grant = read(
        json!({"http": ["http://b.example", {"url": "https://a.example", "methods": ["GET"]}], "files": ["./in"]}),
        Level::Operator,
    );
    let other = read(
        json!({
            "http": [{"url": "https://a.example", "methods": ["POST", "GET"]}, "https://c.example"],
            "files": [{"path": "./in", "access": "write"}, "./more"],
            "databases": {"main": "read"},
        }),
        Level::Operator,
    );
    grant.widen(&other);
    assert_eq!(
        grant.to_value(),
        json!({
            "http": ["http://b.example", {"url": "https://a.example", "methods": ["POST", "GET"]}, "https://c.example"],
            "databases": {"main": "read"},
            "files": [{"path": "./in", "access": "write"}, "./more"],
        })
    );
}

fn table() -> impl Strategy<Value = String> {
    "[aA]{1,3}b?\\*?|\\*"
}

fn recipient() -> impl Strategy<Value = String> {
    "\\*|\\*@[xy]\\.org|[ab]@[xyXY]\\.org"
}

/// Grants over few names, so that two of them meet often.
fn grant() -> impl Strategy<Value = Value> {
    let access = prop::sample::select(vec!["read", "write", "schema"]);
    let rule = (access, prop::option::of(prop::collection::vec(table(), 0..3)), prop::option::of(1_u64..4));
    let rule = rule.prop_map(|(access, tables, rows)| {
        let mut rule = json!({"access": access});
        rule.as_object_mut().unwrap().extend(tables.map(|tables| ("tables".to_owned(), tables.into())));
        rule.as_object_mut().unwrap().extend(rows.map(|rows| ("rows".to_owned(), rows.into())));
        rule
    });
    let databases = prop::option::of(prop::collection::btree_map("[mn]", rule, 0..3));
    let email = prop::option::of(prop::collection::vec(recipient(), 0..3));
    let secrets = prop::option::of(prop::collection::vec("[st]", 0..3));
    let blobs = prop::option::of(prop::sample::select(vec!["read", "write"]));
    (databases, email, secrets, blobs).prop_map(|(databases, email, secrets, blobs)| {
        let mut map = serde_json::Map::new();
        map.extend(databases.map(|given| ("databases".to_owned(), json!(given))));
        map.extend(email.map(|given| ("email".to_owned(), json!(given))));
        map.extend(secrets.map(|given| ("secrets".to_owned(), json!(given))));
        map.extend(blobs.map(|given| ("blobs".to_owned(), json!(given))));
        Value::Object(map)
    })
}

/// Whether a level allows something: `silent` is what it means to say nothing.
struct Asked<'a> {
    database: &'a str,
    access: DatabaseAccess,
    table: &'a str,
    rows: u64,
    recipient: &'a str,
    secret: &'a str,
    blobs: BlobAccess,
}

impl Asked<'_> {
    fn allowed(&self, grant: &Grant, silent: bool) -> [bool; 4] {
        let rule = |rule: &DatabaseRule| {
            let table = rule.tables.as_ref().is_none_or(|list| list.iter().any(|own| own.admits(self.table)));
            rule.access >= self.access && table && rule.rows.is_none_or(|rows| rows >= self.rows)
        };
        [
            grant.databases.as_ref().map_or(silent, |all| all.get(self.database).is_some_and(rule)),
            grant.email.as_ref().map_or(silent, |all| all.iter().any(|own| own.admits(self.recipient))),
            grant.secrets.as_ref().map_or(silent, |all| all.contains(self.secret)),
            grant.blobs.map_or(silent, |own| own >= self.blobs),
        ]
    }
}

proptest! {
    #[test]
    fn narrowed_allows_what_every_level_allows_and_nothing_else(
        operator in grant(), flow in grant(), step in grant(),
        database in "[mn]", table in "[aA]{1,3}b?", rows in 1_u64..4, recipient in "[ab]@[xy]\\.org", secret in "[st]",
        access in prop::sample::select(vec![DatabaseAccess::Read, DatabaseAccess::Write, DatabaseAccess::Schema]),
        blobs in prop::sample::select(vec![BlobAccess::Read, BlobAccess::Write]),
    ) {
        let asked = Asked { database: &database, access, table: &table, rows, recipient: &recipient, secret: &secret, blobs };
        let operator = read(operator, Level::Operator);
        let (flow, step) = (read(flow, Level::Narrowing), read(step, Level::Narrowing));
        let narrowed = operator.narrowed_by([&flow, &step]).grant;
        let levels = [asked.allowed(&operator, false), asked.allowed(&flow, true), asked.allowed(&step, true)];
        let every: Vec<bool> = (0..4).map(|which| levels.iter().all(|level| level[which])).collect();
        prop_assert_eq!(asked.allowed(&narrowed, false).to_vec(), every);
    }

    #[test]
    fn widened_allows_what_either_allows(
        one in grant(), other in grant(),
        database in "[mn]", table in "[aA]{1,3}b?", rows in 1_u64..4, recipient in "[ab]@[xy]\\.org", secret in "[st]",
        access in prop::sample::select(vec![DatabaseAccess::Read, DatabaseAccess::Write, DatabaseAccess::Schema]),
        blobs in prop::sample::select(vec![BlobAccess::Read, BlobAccess::Write]),
    ) {
        let asked = Asked { database: &database, access, table: &table, rows, recipient: &recipient, secret: &secret, blobs };
        let (one, other) = (read(one, Level::Operator), read(other, Level::Operator));
        let mut both = one.clone();
        both.widen(&other);
        let either = asked.allowed(&one, false).into_iter().zip(asked.allowed(&other, false));
        for (either, both) in either.zip(asked.allowed(&both, false)) {
            // Two rules for a database give one, with the larger of each part: it can allow more than either.
            prop_assert!(both || !(either.0 || either.1));
        }
        prop_assert_eq!(both.narrowed_by([&both]).grant, Grant { http: None, ..both.clone() });
        let mut again = both.clone();
        again.widen(&other);
        prop_assert_eq!(again, both);
    }

    #[test]
    fn a_grant_is_written_as_it_is_read(value in grant()) {
        let grant = read(value, Level::Operator);
        prop_assert_eq!(read(grant.to_value(), Level::Operator), grant);
    }
}
