//! Snippets in a flow: useful, and in a cell.

use serde_json::{Value, json};
use stepcell_tests::Host;

async fn code(host: &Host, language: &str, code: &str, input: Value) -> Value {
    let config = json!({"language": language, "code": code, "input": input});
    let flow = json!({"name": "code", "steps": [{"id": "a", "type": "inline_code", "config": config}]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow, "input": {"id": 7}})).await;
    run["steps"]["a"].clone()
}

#[tokio::test]
async fn snippets_compute() {
    let host = Host::start().await;
    let cases = [
        ("python", "result = {'sum': sum(input), 'id': context['input']['id']}"),
        ("javascript", "result = {sum: input.reduce((a, b) => a + b), id: context.input.id}"),
        ("javascript", "return {sum: input.reduce((a, b) => a + b), id: context.input.id}"),
    ];
    for (language, text) in cases {
        let step = code(&host, language, text, json!([1, 2, 3])).await;
        assert_eq!(step["output"], json!({"result": {"sum": 6, "id": 7}}), "{text}: {step:#}");
    }
}

#[tokio::test]
async fn python_is_the_default() {
    let host = Host::start().await;
    let run = host
        .run("name: d\nsteps: [{ id: a, type: inline_code, config: { code: \"result = len('abc')\" } }]")
        .await;
    assert_eq!(run["output"], json!({"a": {"result": 3}}), "{run:#}");
}

#[tokio::test]
async fn the_pure_parts_of_pythons_library_can_be_imported() {
    let host = Host::start().await;
    let text = "
import json, math, re, datetime, statistics, random, itertools, functools, collections, decimal, fractions
import base64, hashlib, string, textwrap, uuid, csv, urllib.parse
year = datetime.datetime.now(datetime.timezone.utc).year
result = [math.floor(2.5), hashlib.sha256(b'x').hexdigest()[:8], urllib.parse.quote('a b'), year >= 2026, 0 <= random.random() < 1, len(str(uuid.uuid4()))]
";
    let step = code(&host, "python", text, json!(null)).await;
    assert_eq!(step["output"]["result"], json!([2, "2d711642", "a%20b", true, true, 36]), "{step:#}");
}

#[tokio::test]
async fn random_differs_from_run_to_run() {
    let host = Host::start().await;
    for (language, text) in
        [("python", "import random\nresult = random.random()"), ("javascript", "return Math.random()")]
    {
        let one = code(&host, language, text, json!(null)).await;
        let two = code(&host, language, text, json!(null)).await;
        assert!(one["output"]["result"].is_f64(), "{one:#}");
        assert_ne!(one["output"], two["output"], "{language}");
    }
}

#[tokio::test]
async fn errors_come_back_with_type_and_line() {
    let host = Host::start().await;
    let cases = [
        ("python", "x = 1\nraise ValueError('no good')", ["ValueError", "no good", "line 2"]),
        ("python", "x = 1\ny = = 2", ["SyntaxError", "invalid syntax", "line 2"]),
        ("javascript", "let x = 1;\nthrow new TypeError('no good')", ["TypeError", "no good", "line 2"]),
        ("javascript", "let x = 1;\nlet = = 2", ["SyntaxError", "", "line 2"]),
    ];
    for (language, text, parts) in cases {
        let step = code(&host, language, text, json!(null)).await;
        assert_eq!(step["status"], "failed", "{step:#}");
        assert_eq!(step["error"]["kind"], "business", "{step:#}");
        let message = step["error"]["message"].as_str().unwrap();
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}

#[tokio::test]
async fn a_missing_result_is_told() {
    let host = Host::start().await;
    for (language, text) in [("python", "x = 1"), ("javascript", "let x = 1")] {
        let step = code(&host, language, text, json!(null)).await;
        assert_eq!(step["error"]["code"], "missing_result", "{step:#}");
    }
}

#[tokio::test]
async fn dangerous_things_do_not_work() {
    let host = Host::start().await;
    let cases = [
        ("python", "import os\nresult = os.listdir('/')"),
        ("python", "result = open('/etc/passwd').read()"),
        ("python", "import socket\nresult = 1"),
        ("python", "import subprocess\nresult = 1"),
        (
            "python",
            "result = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'FileIO'][0]('/etc/passwd').read().decode()",
        ),
        ("javascript", "return fetch('http://example.com')"),
        ("javascript", "return require('fs').readFileSync('/etc/passwd')"),
        ("javascript", "return process.env"),
    ];
    for (language, text) in cases {
        let step = code(&host, language, text, json!(null)).await;
        assert_eq!(step["status"], "failed", "{text}: {step:#}");
    }
}

#[tokio::test]
async fn an_endless_loop_uses_up_its_fuel() {
    let host = Host::builder().config("limits: { fuel: 300M }").start().await;
    for (language, text) in [("python", "while True: pass"), ("javascript", "for (;;);")] {
        let step = code(&host, language, text, json!(null)).await;
        assert_eq!(step["error"]["code"], "fuel_exhausted", "{step:#}");
    }
}

#[tokio::test]
async fn a_long_sleep_is_refused_with_a_hint() {
    let host = Host::start().await;
    let step = code(&host, "python", "import time\ntime.sleep(5)\nresult = 1", json!(null)).await;
    let error = &step["error"];
    assert_eq!((&error["fault"], &error["code"]), (&json!("limit"), &json!("sleep_too_long")), "{step:#}");
    assert!(error["hint"].as_str().unwrap().contains("`delay`"), "{step:#}");
}

#[tokio::test]
async fn a_template_in_code_is_refused_and_input_is_named() {
    let host = Host::start().await;
    let (status, problem) = host
        .post_yaml(
            "/runs",
            "name: t\nsteps: [{ id: a, type: inline_code, config: { code: \"result = '{{ input.x }}'\" } }]",
        )
        .await;
    assert_eq!(status, 422);
    let error = &problem["errors"][0];
    assert!(format!("{} {}", error["message"], error["hint"]).contains("input"), "{problem:#}");
}

#[tokio::test]
async fn one_catalog_entry_stands_for_both_languages() {
    let host = Host::start().await;
    let (_, catalog) = host.get("/catalog/steps").await;
    let entries: Vec<_> =
        catalog.as_array().unwrap().iter().filter(|entry| entry["type"] == "inline_code").collect();
    assert_eq!(entries.len(), 1);
    let languages = &entries[0]["config_schema"]["properties"]["language"]["enum"];
    let mut languages: Vec<_> =
        languages.as_array().unwrap().iter().map(|language| language.as_str().unwrap()).collect();
    languages.sort_unstable();
    assert_eq!(languages, ["javascript", "python"]);
}
