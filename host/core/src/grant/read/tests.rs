use serde_json::json;

use super::*;
use crate::grant::{DatabaseAccess, FileAccess, Yaml};

/// The whole of a grant as the design has it.
fn whole() -> Value {
    json!({
        "http": ["https://*", {"url": "https://api.example.com/v1/", "methods": ["GET"], "networks": ["10.0.0.0/8"]}],
        "secrets": ["github"],
        "databases": {
            "main": "schema",
            "shop": {"access": "read", "tables": ["orders", "cust_*"], "rows": "1K", "bytes": "1MiB", "time": "5s"},
        },
        "email": ["*@example.com", "ops@x.org"],
        "blobs": "write",
        "files": ["./in", {"path": "./out", "at": "/result", "access": "write"}],
        "limits": {"memory": "256MiB", "requests": 10},
    })
}

#[track_caller]
fn read(value: Value, level: Level) -> Grant {
    let (grant, problems) = Grant::read(&value, level);
    assert_eq!(problems, []);
    grant
}

/// `path code: message` of each problem, with the hint behind it.
fn problems(value: Value, level: Level) -> String {
    let (_, problems) = Grant::read(&value, level);
    let line = |GrantProblem { path, code, message, hint }: &GrantProblem| {
        format!("{path} | {code} | {message} | {}\n", hint.as_deref().unwrap_or("-"))
    };
    problems.iter().map(line).collect()
}

#[test]
fn every_capability_is_read() {
    let grant = read(whole(), Level::Operator);
    assert_eq!(grant.http.as_ref().unwrap().len(), 2);
    assert_eq!(grant.secrets, Some(BTreeSet::from(["github".to_owned()])));
    let databases = grant.databases.unwrap();
    assert_eq!(databases["main"], DatabaseRule::new(DatabaseAccess::Schema));
    let shop = &databases["shop"];
    assert_eq!((shop.access, shop.rows, shop.bytes), (DatabaseAccess::Read, Some(1_000), Some(1 << 20)));
    assert_eq!(shop.time, Some(std::time::Duration::from_secs(5)));
    assert!(shop.tables.as_ref().unwrap().iter().any(|table| table.admits("CUST_eu")));
    assert!(grant.email.unwrap().iter().any(|rule| rule.admits("a@EXAMPLE.com")));
    assert_eq!(grant.blobs, Some(BlobAccess::Write));
    let files = grant.files.unwrap();
    assert_eq!((files[0].at.as_str(), files[0].access), ("/in", FileAccess::Read));
    assert_eq!((files[1].at.as_str(), files[1].access), ("/result", FileAccess::Write));
    assert_eq!((grant.limits.memory, grant.limits.requests), (Some(256 << 20), Some(10)));
}

#[test]
fn what_is_written_is_what_was_read() {
    let grant = read(whole(), Level::Operator);
    assert_eq!(grant.to_value(), whole());
    insta::assert_snapshot!(grant.to_string());
}

#[test]
fn a_line_can_be_pasted_into_the_config() {
    let grant = read(whole(), Level::Operator);
    let document = crate::parse::Document::read(&grant.to_string(), crate::parse::Format::Yaml, 10_000);
    assert_eq!(read(document.unwrap().value(), Level::Operator), grant);
}

#[test]
fn a_flow_names_what_its_steps_see() {
    let grant = read(json!({"files": ["/in", {"at": "/out", "access": "write"}]}), Level::Narrowing);
    let files = grant.files.as_ref().unwrap();
    assert!(files.iter().all(|file| file.path.is_none()));
    assert_eq!(grant.to_value(), json!({"files": ["/in", {"at": "/out", "access": "write"}]}));
}

#[test]
fn an_empty_list_says_nothing_is_allowed_and_a_missing_one_says_nothing() {
    let grant = read(json!({"http": [], "databases": {}}), Level::Narrowing);
    assert_eq!((grant.http, grant.secrets), (Some(Vec::new()), None));
    assert_eq!(grant.databases, Some(BTreeMap::new()));
    assert_eq!(read(Value::Null, Level::Operator), Grant::default());
}

#[test]
fn every_mistake_is_told_at_once() {
    insta::assert_snapshot!(problems(
        json!({
            "htpp": [],
            "http": ["ftp://x", 5, {"methods": ["GET"]}, {"url": "https://x", "methods": ["BREW"], "networks": ["10"]}],
            "secrets": "github",
            "databases": {"main": "all", "a b": "read", "shop": {"tables": ["a*b"], "row": 1}},
            "email": ["example.com", "*@*.org"],
            "blobs": true,
            "files": [".", "./in", "b/in", {"path": "x", "at": "x", "access": "all"}, {"at": "/x"}],
            "limits": {"fuel": 0, "memory": "1.5GiB", "time": 5},
        }),
        Level::Operator
    ));
}

#[test]
fn a_flow_has_other_words() {
    insta::assert_snapshot!(problems(
        json!({"limits": {"fuel": 1}, "http": null, "files": ["in", {"path": "./in"}], "emial": []}),
        Level::Narrowing
    ));
}

#[test]
fn a_grant_that_is_none_is_told_as_one() {
    insta::assert_snapshot!(problems(json!(["https://*"]), Level::Operator));
}

#[test]
fn a_list_has_a_limit() {
    let many = |count: usize| json!({"email": vec!["a@x.org"; count]});
    assert_eq!(problems(many(MAX_ENTRIES), Level::Operator), "");
    assert!(problems(many(MAX_ENTRIES + 1), Level::Operator).contains("email | too_large | 1001 entries"));
}

#[test]
fn a_wrong_rule_allows_nothing() {
    let (grant, _) =
        Grant::read(&json!({"http": 5, "databases": {"main": "al"}, "blobs": 1}), Level::Narrowing);
    assert_eq!(grant.http, Some(Vec::new()));
    assert_eq!(grant.databases, Some(BTreeMap::new()));
}

#[test]
fn names_are_plain() {
    for name in ["a", "GITHUB_TOKEN", "_x", "a-b"] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for name in ["", "1a", "-a", "a b", "a.b", "ä", &"a".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}

#[test]
fn limits_and_budgets_are_read_alike() {
    let value = json!({"fuel": "10G", "requests": 5, "bytes": "1MiB", "tokens": "20K"});
    let (budget, problems) = read_budget(&value);
    assert_eq!((budget.fuel, budget.bytes, problems), (Some(10_000_000_000), Some(1 << 20), Vec::new()));
    assert_eq!(Yaml(&budget.to_value()).to_string(), "{ fuel: 10G, requests: 5, bytes: 1MiB, tokens: 20K }");
    let (limits, problems) = read_limits(&json!({"time": "1m", "rows": 5}));
    assert_eq!(limits.to_string(), "{ time: 1m }");
    assert_eq!(problems[0].code, "unknown_key");
}
