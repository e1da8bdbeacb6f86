use std::{collections::HashMap, fs, sync::Arc};

use serde_json::{Value, json};
use stepcell_core::{
    Digest,
    grant::{Grant, Level},
};
use stepcell_sandbox::GrantSource;

use super::*;
use crate::config::{Config, Flags};

fn grant(value: Value, level: Level) -> Grant {
    let (grant, problems) = Grant::read(&value, level);
    assert_eq!(problems, [], "{value}");
    grant
}

fn config(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stepcell.yaml");
    fs::write(&file, text).unwrap();
    Config::load(&Flags { config: Some(file), ..Flags::default() }, None).unwrap()
}

const CONFIG: &str = r#"
secrets:
  github: { env: GITHUB_TOKEN, hosts: ["https://api.github.com"] }
  unused: { env: UNUSED, hosts: [] }
databases: { shop: { url: "postgres://db.example/shop" } }
"#;

fn imports() -> Vec<String> {
    ["stepcell:http/http@0.1.0", "stepcell:database/database@0.1.0", "wasi:filesystem/types@0.2.3"]
        .map(str::to_owned)
        .into()
}

/// The lines of a plugin of type `t` with this word of the operator.
fn lines(operator: Value, source: GrantSource, flow: Value, step: Value) -> String {
    let word = Word::of((Arc::new(grant(operator, Level::Operator)), source), "t");
    let (flow, step) = (grant(flow, Level::Narrowing), grant(step, Level::Narrowing));
    let levels = [("the flow", &flow), ("the step", &step)];
    capability_lines(&shares(&imports(), true, &word, &levels, &config(CONFIG)), "")
}

#[test]
fn each_capability_says_whose_word_it_is() {
    let operator = json!({
        "http": ["https://*"], "secrets": ["github", "gone"], "databases": {"main": "write", "shop": "read", "old": "read"},
        "email": ["*"],
    });
    let flow = json!({"http": ["https://api.example.com"], "databases": {"main": "read", "old": "read"}});
    insta::assert_snapshot!(lines(operator, GrantSource::Type, flow, json!({"secrets": ["github"]})));
}

#[test]
fn a_file_of_its_own_has_its_own_line() {
    let digest = Digest::of(b"x");
    let shown = lines(json!({"http": ["https://*"]}), GrantSource::File(digest), json!({}), json!({}));
    assert!(shown.contains(&format!("`grants.t@sha256:{digest}`\n")), "{shown}");
}

#[test]
fn nothing_has_a_reason() {
    insta::assert_snapshot!(lines(json!({}), GrantSource::Nothing, json!({}), json!({})));
    insta::assert_snapshot!(lines(
        Grant::public_http().to_value(),
        GrantSource::Shipped,
        json!({}),
        json!({"http": []})
    ));
}

#[test]
fn limits_name_who_set_them() {
    let config = config("limits: { fuel: 5G, time: 30s }\n");
    let operator = grant(json!({"limits": {"memory": "256MiB", "time": "2m"}}), Level::Operator);
    let word = Word::of((Arc::new(operator), GrantSource::Type), "t");
    let flow = LimitsPatch { fuel: Some(20_000_000_000), ..LimitsPatch::default() };
    let step = LimitsPatch { time: Some(std::time::Duration::from_secs(10)), ..LimitsPatch::default() };
    insta::assert_snapshot!(limits(
        &LimitShare::new(&config, &word, &[("the flow", &flow), ("the step", &step)]),
        ""
    ));
}

#[test]
fn grants_of_what_is_not_there_are_doubted() {
    let config = config(
        "secrets: { github: { env: A, hosts: [] } }\n\
         grants:\n  transfrom: {}\n  transform: { secrets: [gitub], databases: { main: read, shop: read }, email: [\"*\"] }\n",
    );
    let mut catalog = Catalog::default();
    catalog.types.insert("transform".to_owned(), stepcell_core::StepType::default());
    insta::assert_snapshot!(doubts(&config, &catalog).join("\n"));
}

/// A flow of one step of type `t`, with what its plugin asks for.
#[track_caller]
fn warned(flow: &str, operator: Value) -> String {
    let describe = serde_json::from_value(json!({
        "type": "t", "label": "T", "icon": "box", "category": "custom", "description": "d", "config_schema": {},
    }));
    let provider = Provider {
        file: "t.wasm".to_owned(),
        digest: Digest::of(b"t"),
        describe: Arc::new(describe.unwrap()),
        pure_step: false,
        control: false,
    };
    let kind = stepcell_core::StepType { providers: vec![Arc::new(provider)] };
    let secrets = ["github", "unused"].map(str::to_owned).into();
    let catalog =
        Catalog { types: [("t".to_owned(), kind)].into_iter().collect(), secrets, ..Catalog::default() };
    let parse = || stepcell_core::parse::parse(flow, stepcell_core::parse::Format::Yaml).unwrap();
    let plan = Plan::build(parse(), &catalog).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (config, word) = (config(CONFIG), grant(operator, Level::Operator));
    let granted: HashMap<&str, Arc<Grant>> = [("t", Arc::new(word))].into();
    let granted = |kind: &str, _| (Arc::clone(&granted[kind]), GrantSource::Type);
    let around = Around { catalog: &catalog, config: &config, imports: &|_| imports(), granted: &granted };
    let explanation = Explanation::with(&plan, &around);
    let listing = crate::listing::Listing::new("flow.yaml", Vec::new());
    listing.with_warnings(warnings(&plan, &explanation, &parse())).to_string()
}

#[test]
fn what_a_step_will_not_get_is_told_in_its_place() {
    let flow = "name: f\nlimits: { fuel: 20G }\nsteps:\n  - id: a\n    type: t\n    limits: { memory: 1GiB, time: 2m }\n";
    insta::assert_snapshot!(warned(flow, json!({"limits": {"time": "90s"}})));
}

#[test]
fn what_the_flow_takes_away_is_meant() {
    let flow = "name: f\ngrants: { http: [] }\nsteps:\n  - id: a\n    type: t\n";
    assert_eq!(warned(flow, json!({"http": ["https://*"], "databases": {"main": "read"}})), "");
    let flow = "name: f\ngrants: { databases: { main: read } }\nsteps:\n  - id: a\n    type: t\n";
    let warned = warned(flow, json!({"http": ["https://*"]}));
    assert!(warned.contains("`t` asks for `databases` and gets nothing of it"), "{warned}");
}

#[test]
fn a_secret_that_is_not_granted_is_told_where_it_stands() {
    let flow = "name: f\nsteps:\n  - id: a\n    type: t\n    config: { h: [\"{{ secret.github }}\"], i: \"{{ secret.unused }}\" }\n    grants: { secrets: [github] }\n";
    let operator = json!({"http": ["https://*"], "databases": {"main": "read"}, "secrets": ["unused"]});
    insta::assert_snapshot!(warned(flow, operator));
}
