//! One step, or several, for each item of a list.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

async fn with_shop() -> (Shop, Host) {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).guest("fails").start().await;
    (shop, host)
}

/// A flow of one `for_each`, `m`, with this config.
fn flow(config: Value) -> Value {
    json!({"name": "each", "steps": [{"id": "m", "type": "for_each", "config": config}]})
}

async fn run(host: &Host, config: Value) -> Value {
    let (status, run) = host.post("/runs?wait=60s", &json!({"flow": flow(config)})).await;
    assert_eq!(status, 200, "{run:#}");
    run
}

async fn submit(host: &Host, config: Value) -> String {
    let (status, run) = host.post("/runs", &json!({"flow": flow(config)})).await;
    assert_eq!(status, 202, "{run:#}");
    run["run_id"].as_str().unwrap().to_owned()
}

/// A step that posts the item to a path of the shop.
fn posts(shop: &Shop, path: &str) -> Value {
    let config = json!({"method": "POST", "url": format!("{}{path}", shop.url()), "body": "{{ item }}"});
    json!({"type": "http_request", "config": config})
}

/// All items of step `m`, page by page.
async fn items(host: &Host, run: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = host.get(&format!("/runs/{run}/steps/m/items?limit=700{cursor}")).await;
        assert_eq!(status, 200, "{page:#}");
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 700);
        all.extend(items.iter().cloned());
        match &page["next"] {
            Value::Null => return all,
            Value::String(next) => cursor = format!("&cursor={next}"),
            next => cursor = format!("&cursor={next}"),
        }
    }
}

#[tokio::test]
async fn results_are_in_the_order_of_the_items() {
    let host = Host::start().await;
    let run = host
        .run(
            r#"
name: each
steps:
  - { id: list, type: transform, config: { output: [0.3, 0, 0.1] } }
  - id: m
    type: for_each
    config:
      items: "{{ steps.list }}"
      steps:
        - { id: nap, type: delay, config: { seconds: "{{ item }}" } }
        - { id: told, type: transform, after: nap, config: { output: ["{{ index }}", "{{ item }}", "{{ steps.list | length }}"] } }
"#,
        )
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let told = |index: u8, item: Value| json!({"told": [index, item, 3]});
    let results = [told(0, json!(0.3)), told(1, json!(0)), told(2, json!(0.1))];
    assert_eq!(run["output"]["m"], json!({"results": results, "count": 3}));
}

#[tokio::test]
async fn items_are_steps_of_the_run() {
    let (shop, host) = with_shop().await;
    let mut post = posts(&shop, "/echo");
    post["id"] = json!("post");
    let steps =
        json!([post, {"id": "n", "type": "transform", "config": {"output": "{{ steps.post.body.body }}"}}]);
    let run = run(&host, json!({"items": [7, 8], "steps": steps})).await;
    assert_eq!(run["output"]["m"]["results"], json!([{"n": 7}, {"n": 8}]), "{run:#}");
    assert_eq!(shop.keys().len(), 2, "each item has a key of its own");

    let id = run["run_id"].as_str().unwrap();
    let events = host.events(&run).await;
    let ended: BTreeSet<_> = events
        .iter()
        .filter(|event| event["type"] == "step.succeeded")
        .map(|event| event["step"].as_str().unwrap())
        .collect();
    assert_eq!(ended, BTreeSet::from(["m", "m[0]", "m[0].n", "m[0].post", "m[1]", "m[1].n", "m[1].post"]));
    let (_, page) = host.get(&format!("/runs/{id}/steps/m/items?limit=1")).await;
    let item = &page["items"][0];
    assert_eq!(
        (&item["index"], &item["status"], &item["output"]),
        (&json!(0), &json!("succeeded"), &json!({"n": 7}))
    );
    assert_eq!(item["steps"]["m[0].post"]["attempts"], 1, "{item:#}");
    assert_eq!(run["steps"]["m"]["items"], json!({"total": 2, "succeeded": 2, "failed": 0}));
    assert_eq!(run["steps"].as_object().unwrap().len(), 1, "{run:#}");
    assert_eq!(host.get(&format!("/runs/{id}/steps/n/items")).await.0, 404);
}

#[tokio::test]
async fn lists_of_lists_are_walked_too() {
    let host = Host::start().await;
    let run = host
        .run(
            r#"
name: nested
steps:
  - id: m
    type: for_each
    config:
      items: [{ name: a, of: [1, 2] }, { name: b, of: [] }, { name: c, of: [3] }]
      steps:
        - { id: outer, type: transform, config: { output: "{{ item }}" } }
        - id: inner
          type: for_each
          config:
            items: "{{ item.of }}"
            step_config: { type: transform, config: { output: "{{ steps.outer.name }}{{ item }}{{ index }}" } }
        - { id: told, type: transform, config: { output: "{{ steps.inner.results }}" } }
output: "{{ steps.m.results | map(attribute='told') }}"
"#,
        )
        .await;
    assert_eq!(run["output"], json!([["a10", "a21"], [], ["c30"]]), "{run:#}");
    let id = run["run_id"].as_str().unwrap();
    let (_, page) = host.get(&format!("/runs/{id}/steps/m[0].inner/items")).await;
    assert_eq!(page["items"][1]["output"], "a21", "{page:#}");
}

#[tokio::test]
async fn an_empty_list_is_done() {
    let host = Host::start().await;
    let run =
        run(&host, json!({"items": [], "step_config": {"type": "transform", "config": {"output": 1}}})).await;
    assert_eq!(run["output"]["m"], json!({"results": [], "count": 0}), "{run:#}");
    assert_eq!(run["steps"]["m"]["items"]["total"], 0);
    assert_eq!(items(&host, run["run_id"].as_str().unwrap()).await, Vec::<Value>::new());
}

#[tokio::test]
async fn each_item_is_tried_again_by_itself() {
    let (shop, host) = with_shop().await;
    let mut step = posts(&shop, "/flaky?{{ index }}");
    step["retry"] = json!({"max_attempts": 3, "initial": "1ms"});
    let run = run(&host, json!({"items": [1, 2, 3], "step_config": step})).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(shop.keys().into_values().collect::<Vec<_>>(), [3, 3, 3]);
    for item in items(&host, run["run_id"].as_str().unwrap()).await {
        assert_eq!(item["attempts"], 3, "{item:#}");
    }
    assert_eq!(run["steps"]["m"]["attempts"], 1);
}

#[tokio::test]
async fn a_failed_item_is_an_error_among_the_results() {
    let (_shop, host) = with_shop().await;
    let config = json!({
        "items": ["a", "b", "c"],
        "on_item_error": "continue",
        "steps": [
            {"id": "no", "type": "fails", "if": "{{ item == 'b' }}", "config": {"code": "sold_out"}},
            {"id": "yes", "type": "transform", "if": "{{ item != 'b' }}", "config": {"output": "{{ item }}"}},
        ],
    });
    let run = run(&host, config).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let results = &run["output"]["m"]["results"];
    assert_eq!((&results[0], &results[2]), (&json!({"yes": "a"}), &json!({"yes": "c"})), "{run:#}");
    assert_eq!(
        (&results[1]["error"]["code"], &results[1]["error"]["fault"]),
        (&json!("sold_out"), &json!("failed"))
    );
    assert_eq!(run["steps"]["m"]["items"], json!({"total": 3, "succeeded": 2, "failed": 1}));
    let items = items(&host, run["run_id"].as_str().unwrap()).await;
    assert_eq!((&items[1]["status"], &items[1]["error"]["code"]), (&json!("failed"), &json!("sold_out")));
}

#[tokio::test]
async fn a_failed_item_stops_the_others_and_the_run() {
    let (shop, host) = with_shop().await;
    let url = shop.url();
    let config = json!({
        "items": ["/never?0", "/never?1", "/broken", "/never?3", "/never?4"],
        "concurrency": 3,
        "step_config": {"type": "http_request", "config": {"method": "POST", "url": format!("{url}{{{{ item }}}}")}},
    });
    let run = run(&host, config).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("http_500")), "{run:#}");
    assert_eq!(run["error"]["step"], "m");
    assert!(run["error"]["message"].as_str().unwrap().contains("`m[2]`"), "{run:#}");
    let items = items(&host, run["run_id"].as_str().unwrap()).await;
    let statuses: Vec<_> = items.iter().map(|item| item["status"].as_str().unwrap()).collect();
    assert_eq!(statuses[..3], ["cancelled", "cancelled", "failed"], "{items:#?}");
    assert!(!statuses.contains(&"succeeded") && !statuses.contains(&"running"), "{statuses:?}");
    let late = shop.seen().iter().any(|seen| ["/never?3", "/never?4"].contains(&seen.path.as_str()));
    assert!(!late, "no item began after the failure");
}

#[tokio::test]
async fn no_more_items_than_asked_for_are_at_work() {
    let (shop, host) = with_shop().await;
    let items: Vec<u32> = (0..40).collect();
    let run =
        run(&host, json!({"items": items, "step_config": posts(&shop, "/work"), "concurrency": 3})).await;
    assert_eq!(run["output"]["m"]["count"], 40, "{run:#}");
    let bodies = run["output"]["m"]["results"].as_array().unwrap();
    assert!(bodies.iter().zip(&items).all(|(result, item)| result["body"]["body"] == *item), "{run:#}");
    assert_eq!(shop.most_at_work(), 3);
    assert_eq!(shop.seen().len(), 40);
}

#[tokio::test]
async fn ten_thousand_items_are_counted_in_a_show_and_listed_in_pages() {
    let host = Host::start().await;
    let flow = json!({
        "name": "many",
        "steps": [{"id": "m", "type": "for_each", "config": {
            "items": "{{ input }}",
            "step_config": {"type": "transform", "config": {"output": {"square": "{{ item * item }}"}}},
        }}],
        "output": "{{ steps.m.results[9999].square }}",
    });
    let numbers: Vec<u32> = (0..10_000).collect();
    let (_, run) = host.post("/runs", &json!({"flow": flow, "input": numbers})).await;
    let id = run["run_id"].as_str().unwrap();
    let done = host.until(id, "succeeded").await;
    assert_eq!(done["output"], 99_980_001, "{:#}", done["output"]);
    let mut show = done.clone();
    show["input"] = Value::Null;
    assert!(show.to_string().len() < 10_000, "{} bytes of show", show.to_string().len());
    assert_eq!(done["steps"]["m"]["items"], json!({"total": 10_000, "succeeded": 10_000, "failed": 0}));
    assert_eq!(done["steps"]["m"]["output"]["count"], 10_000);
    let items = items(&host, id).await;
    assert_eq!(items.len(), 10_000);
    for (n, item) in items.iter().enumerate() {
        assert_eq!((&item["index"], &item["output"]), (&json!(n), &json!({"square": n * n})), "{item:#}");
    }
}

#[tokio::test]
async fn no_logged_item_runs_again_after_a_kill() {
    let (shop, mut host) = with_shop().await;
    let items_given: Vec<u32> = (0..60).collect();
    let run =
        submit(&host, json!({"items": items_given, "step_config": posts(&shop, "/work"), "concurrency": 4}))
            .await;
    shop.until_seen(25).await;
    let logged = host.show(&run).await["steps"]["m"]["items"]["succeeded"].as_u64().unwrap();
    host.restart().await;
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"]["m"]["count"], 60, "{done:#}");
    let keys = shop.keys();
    assert_eq!(keys.len(), 60, "an item keeps its key");
    let again = keys.values().filter(|times| **times > 1).count();
    assert!(again <= 4 && logged >= 10, "{again} items ran again, {logged} were logged: {keys:?}");
    assert!(keys.values().all(|times| *times <= 2), "{keys:?}");
    let events = host.events(&done).await;
    let ended = events.iter().filter(|event| event["type"] == "step.succeeded");
    let ended: Vec<_> = ended.map(|event| event["step"].to_string()).collect();
    assert_eq!(
        (ended.len(), ended.iter().collect::<BTreeSet<_>>().len()),
        (61, 61),
        "every end is in the log once"
    );
}

#[tokio::test]
async fn a_wait_within_an_item_lives_through_a_kill() {
    let mut host = Host::start().await;
    let config = json!({"items": ["a", "b"], "step_config":
        {"type": "wait_for_event", "config": {"event_name": "go", "match": {"to": "{{ item }}"}}}});
    let run = submit(&host, config).await;
    host.until(&run, "waiting").await;
    assert_eq!(host.send("go", &json!({"to": "b"})).await, 1);
    host.restart().await;
    assert_eq!(host.send("go", &json!({"to": "a"})).await, 1);
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"]["m"]["results"], json!([{"to": "a"}, {"to": "b"}]), "{done:#}");
}

#[tokio::test]
async fn an_item_is_approved_by_its_name() {
    let host = Host::start().await;
    let config = json!({"items": [1, 2], "steps": [{"id": "ask", "type": "wait_for_approval"}]});
    let run = submit(&host, config).await;
    host.until(&run, "waiting").await;
    assert_eq!(host.resume(&run, &json!({})).await.1["code"], "ambiguous_step");
    for n in [1, 0] {
        let answer = json!({"step": format!("m[{n}].ask"), "payload": n});
        let (status, resumed) = host.resume(&run, &answer).await;
        assert_eq!(status, 200, "{resumed:#}");
    }
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"]["m"]["results"][1]["ask"]["payload"], 1, "{done:#}");
}

#[tokio::test]
async fn a_cancel_stops_every_item() {
    let (shop, host) = with_shop().await;
    let items_given: Vec<u32> = (0..20).collect();
    let run =
        submit(&host, json!({"items": items_given, "step_config": posts(&shop, "/gate"), "concurrency": 4}))
            .await;
    shop.until_seen(4).await;
    let (status, cancelled) = host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!((status.as_u16(), &cancelled["status"]), (200, &json!("cancelled")), "{cancelled:#}");
    shop.open();
    let seen = items(&host, &run).await;
    assert!(seen[..4].iter().all(|item| item["status"] == "cancelled"), "{seen:#?}");
    // Another run goes through the same shop: had the first gone on, it would have asked by now.
    self::run(&host, json!({"items": [1], "step_config": posts(&shop, "/echo")})).await;
    assert_eq!(shop.seen().len(), 5);
}

#[tokio::test]
async fn the_body_is_checked_with_the_flow() {
    let host = Host::start().await;
    let wrong = |config: Value| {
        let host = &host;
        async move {
            let (status, problem) = host.post("/runs", &json!({"flow": flow(config)})).await;
            assert_eq!(status, 422, "{problem:#}");
            let error = problem["errors"][0].clone();
            (error["code"].as_str().unwrap().to_owned(), error["path"].as_str().unwrap().to_owned())
        }
    };
    let (code, path) = wrong(json!({"items": [], "step_config": {"type": "transfrom", "config": {}}})).await;
    assert_eq!((code.as_str(), path.as_str()), ("unknown_type", "flow.steps[0].config.step_config.type"));
    let (code, path) =
        wrong(json!({"items": [], "step_config": {"type": "delay", "config": {"minutes": 1}}})).await;
    assert!(["unknown_key", "missing_key"].contains(&code.as_str()), "{code} {path}");
    assert!(path.starts_with("flow.steps[0].config.step_config.config"), "{path}");
    let inner = json!([{"id": "a", "type": "transform", "config": {"output": "{{ steps.nobody }}"}}]);
    let (code, path) = wrong(json!({"items": [], "steps": inner})).await;
    assert_eq!(
        (code.as_str(), path.as_str()),
        ("unknown_step", "flow.steps[0].config.steps[0].config.output")
    );
}

#[tokio::test]
async fn a_body_too_many_or_too_few_is_the_configs_fault() {
    let host = Host::start().await;
    let step = json!({"type": "transform", "config": {"output": 1}});
    for config in [
        json!({"items": []}),
        json!({"items": [], "step_config": step, "steps": [{"id": "b", "type": "transform", "config": {"output": 1}}]}),
    ] {
        let step = host.step("for_each", config).await;
        assert_eq!(
            (&step["error"]["fault"], &step["error"]["code"]),
            (&json!("config"), &json!("config_invalid")),
            "{step:#}"
        );
    }
}

#[tokio::test]
async fn a_secret_of_the_flow_reaches_each_item() {
    let shop = Shop::start().await;
    let url = shop.url();
    let config = format!(
        "secrets: {{ key: {{ value: s3cr3t-of-mine, hosts: [\"{url}\"] }} }}\n\
         grants: {{ http_request: {{ http: [\"{url}\"], secrets: [key] }} }}"
    );
    let host = Host::builder().config(&config).start().await;
    let step = json!({"type": "http_request", "config": {
        "url": format!("{url}/echo?{{{{ item }}}}"), "headers": {"x-key": "{{ secret.key }}"}}});
    let run = run(&host, json!({"items": [1, 2], "step_config": step})).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let keys: Vec<_> = shop.seen().iter().map(|seen| seen.header("x-key").map(str::to_owned)).collect();
    assert_eq!(keys, [Some("s3cr3t-of-mine".to_owned()), Some("s3cr3t-of-mine".to_owned())]);
    // The text of an item is data, whatever it looks like.
    let step = json!({"type": "http_request", "config": {"url": format!("{url}/echo"), "headers": {"x-key": "{{ item }}"}}});
    let flow = flow(json!({"items": "{{ input }}", "step_config": step}));
    host.post("/runs?wait=60s", &json!({"flow": flow, "input": ["{{ secret.key }}"]})).await;
    let last = shop.seen().pop().unwrap();
    assert_eq!(last.header("x-key"), Some("{{ secret.key }}"));
}

#[tokio::test]
async fn the_examples_of_steps_with_bodies_hold() {
    let host = Host::start().await;
    let (_, catalog) = host.get("/catalog/steps").await;
    for kind in ["delay", "for_each", "sub_flow"] {
        let entry = catalog.as_array().unwrap().iter().find(|entry| entry["type"] == kind).unwrap();
        let examples = entry["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{kind}");
        for example in examples {
            let step = host.step(kind, example["config"].clone()).await;
            assert_eq!(step["output"], example["output"], "{step:#}");
        }
    }
}
