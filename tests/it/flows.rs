//! What an author writes, and how it runs.

use serde_json::{Value, json};
use stepcell_tests::{Host, HostBuilder, Shop};

fn builder() -> HostBuilder {
    Host::builder().guest("echo_context").guest("fails").guest("big_output")
}

fn status(run: &Value, step: &str) -> String {
    run["steps"][step]["status"].as_str().unwrap_or("absent").to_owned()
}

#[tokio::test]
async fn a_template_keeps_the_type_of_its_value() {
    let host = Host::start().await;
    let run = host
        .run(
            r#"
name: types
steps:
  - id: a
    type: transform
    config: { output: { n: 1, list: [1, 2.5, null], text: "x" } }
  - id: b
    type: transform
    config: { output: { whole: "{{ steps.a.list }}", mixed: "n={{ steps.a.n }}", sum: "{{ steps.a.n + 1 }}" } }
output: "{{ steps.b }}"
"#,
        )
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["output"], json!({"whole": [1, 2.5, null], "mixed": "n=1", "sum": 2}));
}

#[tokio::test]
async fn a_condition_runs_one_subtree_and_skips_the_other() {
    let host = Host::start().await;
    let run = host
        .run(
            r#"
name: branches
steps:
  - { id: big, type: condition, config: { expression: "{{ 3 > 2 }}" } }
  - { id: yes, type: transform, after: [big.true], config: { output: 1 } }
  - { id: no, type: transform, after: [big.false], config: { output: 2 } }
  - { id: below, type: transform, config: { output: "{{ steps.no }}" } }
  - { id: joined, type: transform, after: [yes, below], config: { output: joined } }
"#,
        )
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["steps"]["big"]["port"], "true");
    let statuses = ["yes", "no", "below", "joined"].map(|step| status(&run, step));
    assert_eq!(statuses, ["succeeded", "skipped", "skipped", "succeeded"]);
    assert_eq!(run["output"], json!({"joined": "joined"}));
}

#[tokio::test]
async fn a_false_if_skips_what_refers_to_the_step() {
    let host = Host::start().await;
    let run = host
        .run(
            r#"
name: ifs
steps:
  - { id: a, type: transform, if: "{{ input.go }}", config: { output: 1 } }
  - { id: b, type: transform, config: { output: "{{ steps.a }}" } }
  - { id: c, type: transform, if: "{{ not input.missing | default(false) }}", config: { output: 3 } }
"#,
        )
        .await;
    // `input.go` is not there: an error of the step that asks for it, with what there is.
    assert_eq!(run["status"], "failed", "{run:#}");
    assert_eq!(run["error"]["code"], "template_failed");

    let flow = json!({"name": "ifs", "steps": [
        {"id": "a", "type": "transform", "if": "{{ input.go }}", "config": {"output": 1}},
        {"id": "b", "type": "transform", "config": {"output": "{{ steps.a }}"}},
    ]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow, "input": {"go": false}})).await;
    assert_eq!((status(&run, "a"), status(&run, "b")), ("skipped".into(), "skipped".into()), "{run:#}");
    assert_eq!(run["status"], "succeeded");
}

#[tokio::test]
async fn an_error_can_be_gone_over_or_replaced() {
    let host = builder().start().await;
    let run = host
        .run(
            r#"
name: errors
steps:
  - { id: a, type: fails, on_error: continue, config: { code: nope } }
  - { id: b, type: transform, config: { output: "{{ steps.a.error.code }}" } }
  - { id: c, type: fails, on_error: { use: { n: 7 } }, config: { code: nope } }
  - { id: d, type: transform, config: { output: "{{ steps.c.n }}" } }
output: { b: "{{ steps.b }}", d: "{{ steps.d }}" }
"#,
        )
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["output"], json!({"b": "nope", "d": 7}));
    assert_eq!(status(&run, "a"), "failed");
}

#[tokio::test]
async fn a_step_that_says_no_fails_the_run_as_a_business_failure() {
    let host = builder().start().await;
    let run = host
        .run(
            r#"
name: no
steps:
  - { id: a, type: fails, config: { code: out_of_stock } }
  - { id: b, type: transform, after: a, config: { output: 1 } }
"#,
        )
        .await;
    assert_eq!(run["status"], "failed");
    assert_eq!(run["error"]["kind"], "business");
    assert_eq!(run["error"]["code"], "out_of_stock");
    assert_eq!(run["error"]["step"], "a");
    assert_eq!(status(&run, "b"), "cancelled");
}

#[tokio::test]
async fn a_retry_has_the_same_idempotency_key() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    let run = host
        .run(&format!(
            r#"
name: retries
steps:
  - id: a
    type: http_request
    retry: {{ max_attempts: 5, initial: 10ms, jitter: false }}
    config: {{ method: POST, url: "{}/flaky" }}
"#,
            shop.url()
        ))
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["steps"]["a"]["attempts"], 3);
    assert_eq!(run["steps"]["a"]["output"]["body"], json!({"attempt": 3}));
    let keys: Vec<_> =
        shop.seen().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_step_sees_its_ancestors_and_no_others() {
    let host = builder().start().await;
    let run = host
        .run_with(
            r#"
name: context
steps:
  - { id: a, type: transform, config: { output: 1 } }
  - { id: other, type: transform, config: { output: 2 } }
  - { id: b, type: transform, config: { output: "{{ steps.a }}" } }
  - { id: c, type: echo_context, after: b, config: {} }
output: "{{ steps.c }}"
"#,
            json!({"x": 1}),
        )
        .await;
    assert_eq!(run["output"]["input"], json!({"x": 1}), "{run:#}");
    assert_eq!(run["output"]["steps"], json!({"a": 1, "b": 1}));
    assert_eq!(run["output"]["attempt"], 1);
}

#[tokio::test]
async fn a_big_output_is_a_reference_for_cells_and_whole_for_templates() {
    let host = builder().start().await;
    let run = host
        .run(
            r#"
name: big
steps:
  - { id: a, type: big_output, config: { bytes: 5000 } }
  - { id: seen, type: echo_context, after: a, config: {} }
  - { id: size, type: transform, config: { output: "{{ steps.a.text | length }}" } }
output: { seen: "{{ steps.seen.steps.a }}", size: "{{ steps.size }}" }
"#,
        )
        .await;
    assert_eq!(run["output"]["size"], 5000, "{run:#}");
    assert_eq!(run["output"]["seen"]["bytes"], 5000);
    assert!(run["output"]["seen"].get("text").is_none(), "{run:#}");
    assert_eq!(run["output"]["seen"]["$blob"]["sha256"].as_str().map(str::len), Some(64));
}

#[tokio::test]
async fn what_is_too_much_for_one_output_is_given_by_reference() {
    let host = builder().start().await;
    let steps: String = ["a", "b", "c", "d", "e"]
        .map(|id| format!("  - {{ id: {id}, type: big_output, config: {{ bytes: 14000000 }} }}\n"))
        .concat();
    let run = host.run(&format!("name: heap\nsteps:\n{steps}")).await;
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["output"]["e"]["$blob"]["bytes"], run["steps"]["e"]["output"]["$blob"]["bytes"]);
    assert!(run["output"]["e"]["$blob"]["bytes"].as_u64() > Some(14_000_000), "{}", run["output"]["e"]);
    let all = "[steps.a.text, steps.b.text, steps.c.text, steps.d.text, steps.e.text] | length";
    let run = host.run(&format!("name: heap\nsteps:\n{steps}output: {{ all: \"{{{{ {all} }}}}\" }}")).await;
    assert_eq!(run["error"]["code"], "outputs_exceeded");
}

#[tokio::test]
async fn a_template_that_fails_names_step_expression_and_what_there_is() {
    let host = Host::start().await;
    let run = host
        .run(
            r#"
name: wrong
steps:
  - { id: a, type: transform, config: { output: { x: 1, y: 2 } } }
  - { id: b, type: transform, config: { output: { deep: "{{ steps.a.z }}" } } }
"#,
        )
        .await;
    assert_eq!(run["error"]["code"], "template_failed");
    assert_eq!(run["error"]["fault"], "config");
    assert_eq!(run["error"]["step"], "b");
    let message = run["error"]["message"].as_str().unwrap();
    for part in ["config.output.deep", "steps.a.z", "x", "y"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[tokio::test]
async fn json_path_means_the_same_as_a_template() {
    let host = Host::start().await;
    let run = host
        .run_with(
            r#"
name: paths
steps:
  - { id: a, type: transform, config: { output: { items: [{ n: 1 }, { n: 2 }] } } }
  - id: b
    type: transform
    config:
      output:
        one: { $from: { step: a }, path: "$.items[1].n" }
        all: { $from: { step: a }, path: "$.items[*].n" }
        id: { $from: { workflow: input }, path: id }
output: "{{ steps.b }}"
"#,
            json!({"id": "7"}),
        )
        .await;
    assert_eq!(run["output"], json!({"one": 2, "all": [1, 2], "id": "7"}), "{run:#}");
}

#[tokio::test]
async fn a_timer_fires_while_another_step_is_under_way() {
    let shop = Shop::start().await;
    let host = builder().config(&shop.grant()).start().await;
    let run = host
        .submit(&format!(
            r#"
name: beside
steps:
  - {{ id: hangs, type: http_request, config: {{ url: "{}/never" }} }}
  - {{ id: nap, type: delay, config: {{ seconds: 0.1 }} }}
"#,
            shop.url()
        ))
        .await;
    let seen = host.until_step(&run, "nap", "succeeded").await;
    assert_eq!(seen["steps"]["hangs"]["status"], "running", "{seen:#}");
}

#[tokio::test]
async fn a_context_has_a_largest_size() {
    let host = builder().start().await;
    let mut steps: Vec<Value> = (0..220)
        .map(
            |n| json!({"id": format!("s{n}"), "type": "transform", "config": {"output": "{{ input.text }}"}}),
        )
        .collect();
    let after: Vec<String> = (0..220).map(|n| format!("s{n}")).collect();
    steps.push(json!({"id": "all", "type": "echo_context", "after": after, "config": {}}));
    let flow = json!({"name": "wide", "steps": steps});
    let input = json!({"text": "x".repeat(90_000)});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow, "input": input})).await;
    assert_eq!(run["error"]["code"], "context_exceeded", "{:#}", run["error"]);
}
