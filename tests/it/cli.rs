//! The command line, as a shell sees it.

use std::{fs, path::Path};

use serde_json::json;
use stepcell_tests::{Host, guest, stepcell};
use tempfile::TempDir;

const GOOD: &str =
    "name: good\nsteps:\n  - { id: a, type: transform, config: { output: \"{{ input.n }}\" } }\n";
const BAD: &str = r#"name: bad
steps:
  - id: a
    type: transfrom
    config: { output: {{ input.n }} }
  - id: b
    type: transform
    config: { output: "{{ steps.c }}" }
    extra: 1
"#;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A snapshot of what a user sees, without what differs from machine to machine.
macro_rules! assert_shown {
    ($output:expr) => {
        insta::with_settings!({filters => vec![
            (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{22}", "[RUN]"),
            (r"\b[0-9]+(\.[0-9]+)? ?(µs|us|ms|s)\b", "[TIME]"),
            (r"\b[0-9.]+[kMG]? fuel", "[FUEL] fuel"),
            (r"/\S*/plugins\b", "[PLUGINS]"),
        ]}, {
            insta::assert_snapshot!($output.shown());
        });
    };
}

#[test]
fn run_prints_the_output_and_shows_the_steps() {
    let folder = folder(&[("good.yaml", GOOD)]);
    let output = stepcell(folder.path(), &["run", "good.yaml", "--input", "{n: 7}"]);
    assert_eq!(output.code, Some(0), "{}", output.shown());
    assert_eq!(output.json(), json!({"a": 7}));
    assert!(output.stderr.contains('a') && output.stderr.contains("succeeded"), "{}", output.shown());
}

#[test]
fn validate_lists_every_mistake_with_its_place() {
    let folder = folder(&[("bad.yaml", BAD), ("good.yaml", GOOD)]);
    let output = stepcell(folder.path(), &["validate", "bad.yaml"]);
    assert_eq!(output.code, Some(2));
    assert_shown!(output);
    assert_eq!(stepcell(folder.path(), &["validate", "good.yaml"]).code, Some(0));
}

#[test]
fn a_failed_run_and_a_wrong_call_differ_in_the_exit_code() {
    let plugins = tempfile::tempdir().unwrap();
    fs::copy(guest("fails"), plugins.path().join("fails.wasm")).unwrap();
    let folder =
        folder(&[("no.yaml", "name: no\nsteps: [{ id: a, type: fails, config: { code: sold_out } }]")]);
    let at = plugins.path().to_str().unwrap();
    let failed = stepcell(folder.path(), &["run", "no.yaml", "--plugins", at]);
    assert_eq!(failed.code, Some(1), "{}", failed.shown());
    assert!(failed.stderr.contains("sold_out"), "{}", failed.shown());
    for wrong in [&["run", "absent.yaml"][..], &["run", "no.yaml"], &["run"], &["frobnicate"]] {
        let output = stepcell(folder.path(), wrong);
        assert_eq!(output.code, Some(2), "{wrong:?}: {}", output.shown());
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{}", output.shown());
    }
}

#[test]
fn json_output_is_the_run() {
    let folder = folder(&[("good.yaml", GOOD)]);
    let run = stepcell(folder.path(), &["run", "good.yaml", "--input", "{n: 7}", "--output", "json"]).json();
    assert_eq!(
        (&run["status"], &run["steps"]["a"]["type"]),
        (&json!("succeeded"), &json!("transform")),
        "{run:#}"
    );
}

#[test]
fn another_address_is_refused_until_there_are_tokens() {
    let folder = folder(&[]);
    let output = stepcell(folder.path(), &["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.code, Some(2), "{}", output.shown());
    assert!(output.stderr.contains("0.0.0.0"), "{}", output.shown());
}

#[test]
fn a_wrong_config_is_told_with_its_place() {
    let folder =
        folder(&[("good.yaml", GOOD), ("stepcell.yaml", "lisen: 127.0.0.1:1\nlimits: { fuel: lots }\n")]);
    let output = stepcell(folder.path(), &["run", "good.yaml"]);
    assert_eq!(output.code, Some(2));
    assert_shown!(output);
}

#[test]
fn plugins_can_be_looked_into() {
    let folder = folder(&[]);
    let list = stepcell(folder.path(), &["plugins", "list", "--output", "json"]);
    assert!(list.stdout.contains("inline_code"), "{}", list.shown());
    let file = stepcell_tests::plugin("http_request");
    let inspected = stepcell(folder.path(), &["plugins", "inspect", file.to_str().unwrap()]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.shown());
    assert!(inspected.stdout.contains("stepcell:http"), "{}", inspected.shown());
    fs::write(folder.path().join("noise.wasm"), "noise").unwrap();
    let checked = stepcell(folder.path(), &["plugins", "check", "noise.wasm"]);
    assert_eq!(checked.code, Some(2), "{}", checked.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_drives_a_served_host() {
    let host = Host::start().await;
    let folder = folder(&[("good.yaml", GOOD), ("bad.yaml", BAD)]);
    let call = |folder: &Path, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--url", &host.url]);
        stepcell(folder, &all)
    };
    let submitted = call(folder.path(), &["submit", "good.yaml", "--input", "{n: 7}", "--wait"]);
    assert_eq!(submitted.code, Some(0), "{}", submitted.shown());
    assert_eq!(submitted.json(), json!({"a": 7}));
    assert_eq!(call(folder.path(), &["submit", "bad.yaml"]).code, Some(2));

    let runs = call(folder.path(), &["runs", "list", "--output", "json"]);
    let id = runs.json()["runs"][0]["run_id"].as_str().unwrap().to_owned();
    for command in [&["runs", "show", &id][..], &["runs", "events", &id], &["runs", "logs", &id, "a"]] {
        let output = call(folder.path(), command);
        assert_eq!(output.code, Some(0), "{}", output.shown());
    }
    let cancelled = call(folder.path(), &["runs", "cancel", &id]);
    assert_ne!(cancelled.code, Some(0), "{}", cancelled.shown());
}

#[test]
fn every_example_validates() {
    let folder = folder(&[]);
    let root = stepcell_tests::root();
    let config = root.join("examples/stepcell.yaml");
    let plugins = fs::read_dir(root.join("plugins")).unwrap();
    let flows = fs::read_dir(root.join("examples")).unwrap();
    let files = plugins.map(|plugin| plugin.unwrap().path().join("example.yaml"));
    let files: Vec<_> =
        files.chain(flows.map(|flow| flow.unwrap().path())).filter(|file| *file != config).collect();
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let arguments = ["validate", file.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let output = stepcell(folder.path(), &arguments);
        assert_eq!(output.code, Some(0), "{}: {}", file.display(), output.shown());
    }
}
