//! A secret goes to the host that it is bound to, and is seen nowhere else.

use serde_json::{Value, json};
use stepcell_tests::{Host, HostBuilder, Shop};

/// Long and odd enough to be in no file by chance.
const VALUE: &str = "s3cr3t-Qm7vKx2LhT9";

/// `token` is bound to the shop, which `http_request` may call with it.
fn builder(shop: &Shop) -> HostBuilder {
    let url = shop.url();
    Host::builder()
        .variable("SHOP_TOKEN", VALUE)
        .config(&format!("secrets: {{ token: {{ env: SHOP_TOKEN, hosts: [\"{url}\"] }} }}"))
        .config(&format!(
            "grants: {{ http_request: {{ http: [\"http://127.0.0.1:*\"], secrets: [token] }}, webhook: {{ http: [\"{url}\"], secrets: [token] }} }}"
        ))
}

async fn request(host: &Host, config: Value) -> Value {
    host.step("http_request", config).await
}

/// The text of a placeholder in what a server or a cell got.
fn placeholder(text: &str) -> &str {
    let start = text.find("secret_").unwrap_or_else(|| panic!("no placeholder: {text}"));
    &text[start..start + "secret_".len() + 32]
}

#[tokio::test]
async fn it_reaches_its_host_in_header_query_json_and_form() {
    let shop = Shop::start().await;
    let host = builder(&shop).start().await;
    let step = request(
        &host,
        json!({
            "method": "POST",
            "url": format!("{}/echo", shop.url()),
            "headers": {"Authorization": "Bearer {{ secret.token }}", "X-Two": "{{ secret.token }}{{ secret.token }}"},
            "params": {"key": "{{ secret.token }}"},
            "body": {"deep": [{"key": "k:{{ secret.token }}"}]},
        }),
    )
    .await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    let step = request(
        &host,
        json!({
            "method": "POST",
            "url": format!("{}/echo?in_url={{{{ secret.token }}}}", shop.url()),
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            "body": "user=ada&key={{ secret.token }}",
        }),
    )
    .await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    let seen = shop.seen();
    assert_eq!(seen[0].header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
    assert_eq!(seen[0].header("x-two"), Some(format!("{VALUE}{VALUE}").as_str()));
    assert_eq!(seen[0].path, format!("/echo?key={VALUE}"));
    assert_eq!(seen[0].body, json!({"deep": [{"key": format!("k:{VALUE}")}]}).to_string());
    assert_eq!(seen[0].header("content-length"), Some(seen[0].body.len().to_string().as_str()));
    assert_eq!(seen[1].path, format!("/echo?in_url={VALUE}"));
    assert_eq!(seen[1].body, format!("user=ada&key={VALUE}"));
}

#[tokio::test]
async fn a_value_with_odd_characters_is_encoded_where_it_stands() {
    let shop = Shop::start().await;
    let value = "a\"b\\c&d=e f%+/#é";
    let host = builder(&shop).variable("SHOP_TOKEN", value).start().await;
    let config = json!({
        "method": "POST",
        "url": format!("{}/echo", shop.url()),
        "params": {"key": "{{ secret.token }}", "z": 1},
        "body": {"key": "{{ secret.token }}"},
    });
    let step = request(&host, config).await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    let form = json!({
        "method": "POST",
        "url": format!("{}/echo", shop.url()),
        "headers": {"content-type": "application/x-www-form-urlencoded"},
        "body": "key={{ secret.token }}&z=1",
    });
    let step = request(&host, form).await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    let seen = shop.seen();
    let pairs = |text: &str| {
        let url = reqwest::Url::parse(&format!("http://h/?{text}")).unwrap();
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect::<Vec<_>>()
    };
    let expected = [("key".to_owned(), value.to_owned()), ("z".to_owned(), "1".to_owned())];
    assert_eq!(pairs(seen[0].path.split_once('?').unwrap().1), expected);
    assert_eq!(serde_json::from_str::<Value>(&seen[0].body).unwrap(), json!({"key": value}));
    assert_eq!(pairs(&seen[1].body), expected);
}

#[tokio::test]
async fn another_host_gets_the_placeholder_at_most() {
    let (bound, other) = (Shop::start().await, Shop::start().await);
    let host = builder(&bound).start().await;
    let step = request(
        &host,
        json!({"url": format!("{}/text", other.url()), "headers": {"authorization": "Bearer {{ secret.token }}"}}),
    )
    .await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    let refusals = host.refusals(&step).await;
    assert_eq!(refusals[0]["capability"], "secrets", "{refusals:#?}");
    assert_eq!(other.seen().len(), 0, "{:?}", other.seen());
    // On a redirect away from its host it stays behind, as credentials do.
    let step = request(
        &host,
        json!({
            "url": format!("{}/go?to={}/mirror", bound.url(), other.url()),
            "headers": {"x-token": "{{ secret.token }}", "x-kept": "yes"},
        }),
    )
    .await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    assert_eq!(bound.seen()[0].header("x-token"), Some(VALUE));
    let seen = &other.seen()[0];
    assert_eq!((seen.header("x-token"), seen.header("x-kept")), (None, Some("yes")), "{seen:?}");
}

#[tokio::test]
async fn cells_see_a_placeholder_that_differs_from_run_to_run_and_from_step_to_step() {
    let shop = Shop::start().await;
    let host = builder(&shop).config("").start().await;
    let flow = r#"
name: peeks
steps:
  - { id: a, type: inline_code, config: { input: "{{ secret.token }}", code: "print(input)\nresult = input" } }
  - { id: b, type: inline_code, config: { language: javascript, input: "{{ secret.token }}", code: "console.log(input); return input" } }
"#;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let run = host.run(flow).await;
        assert_eq!(run["status"], "succeeded", "{run:#}");
        for step in ["a", "b"] {
            let output = run["steps"][step]["output"]["result"].as_str().unwrap().to_owned();
            assert_eq!(placeholder(&output), output, "the cell saw something else");
            seen.push(output);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[tokio::test]
async fn it_is_in_no_event_answer_log_or_file() {
    let shop = Shop::start().await;
    let mut host = builder(&shop).talkative().start().await;
    let url = shop.url();
    let mut all = String::new();
    for path in ["/mirror", "/broken", "/never", "/big"] {
        let flow = json!({"name": "leaks", "input": {}, "steps": [
            {"id": "told", "type": "inline_code", "config": {"input": "{{ secret.token }}", "code": "print('marker-7f3a', input)\nresult = input"}},
            {"id": "call", "type": "http_request", "timeout": "2s", "config": {
                "method": "POST",
                "url": format!("{url}{path}?key={{{{ secret.token }}}}"),
                "headers": {"authorization": "Bearer {{ secret.token }}"},
                "body": {"key": "{{ secret.token }}"},
            }},
        ]});
        let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
        let id = run["run_id"].as_str().unwrap();
        all.push_str(&run.to_string());
        all.push_str(&json!(host.events(&run).await).to_string());
        for step in ["told", "call"] {
            let log = host
                .request(reqwest::Method::GET, &format!("/runs/{id}/steps/{step}/log"))
                .send()
                .await
                .unwrap();
            all.push_str(&log.text().await.unwrap());
        }
        let (_, page) = host.get("/runs").await;
        all.push_str(&page.to_string());
    }
    assert_eq!(shop.seen().len(), 4, "each of them was sent");
    assert!(shop.seen().iter().all(|seen| seen.body.contains(VALUE)), "{:?}", shop.seen());
    assert!(all.contains("marker-7f3a") && all.contains("secret_"), "the test looks at nothing: {all}");
    assert!(!all.contains(VALUE), "{all}");
    assert!(host.log().contains("TRACE"), "the host was to log everything");
    host.restart().await;
    assert!(!host.files_with("marker-7f3a").is_empty(), "the search finds what is there");
    assert_eq!(host.files_with(VALUE), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn an_echo_is_masked() {
    let shop = Shop::start().await;
    let host = builder(&shop).start().await;
    let step = request(
        &host,
        json!({
            "method": "POST",
            "url": format!("{}/mirror?key={{{{ secret.token }}}}", shop.url()),
            "headers": {"authorization": "Bearer {{ secret.token }}"},
            "body": {"key": "{{ secret.token }}"},
        }),
    )
    .await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    assert!(shop.seen()[0].body.contains(VALUE));
    let (body, back) = (&step["output"]["body"], &step["output"]["headers"]["x-back"]);
    for text in [body, back] {
        let text = text.as_str().unwrap();
        assert!(!text.contains(VALUE), "{text}");
    }
    // Everything else of the answer is as it was.
    assert!(body.as_str().unwrap().contains("content-type: application/json"), "{body}");
}

#[tokio::test]
async fn text_that_came_in_as_data_is_not_swapped() {
    let shop = Shop::start().await;
    let host = builder(&shop).start().await;
    let url = format!("{}/echo", shop.url());
    // As a template, in the input.
    let flow = json!({"name": "data", "steps": [{"id": "a", "type": "http_request", "config": {
        "method": "POST", "url": url, "body": {"text": "{{ input.text }}"},
    }}]});
    let input = json!({"text": "{{ secret.token }}"});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow, "input": input})).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");

    // As a placeholder of another step of the same run, and of another run.
    let steps = json!([
        {"id": "peek", "type": "inline_code", "config": {"input": "{{ secret.token }}", "code": "result = input"}},
        {"id": "send", "type": "http_request", "config": {
            "method": "POST", "url": url,
            "body": {"stolen": "{{ steps.peek.result }}", "given": "{{ input.given }}"},
        }},
    ]);
    let flow = json!({"name": "data", "steps": steps});
    let (_, first) = host.post("/runs?wait=60s", &json!({"flow": flow, "input": {"given": ""}})).await;
    assert_eq!(first["status"], "succeeded", "{first:#}");
    let stolen = first["steps"]["peek"]["output"]["result"].as_str().unwrap().to_owned();
    let (_, second) = host.post("/runs?wait=60s", &json!({"flow": flow, "input": {"given": stolen}})).await;
    assert_eq!(second["status"], "succeeded", "{second:#}");

    let seen = shop.seen();
    assert_eq!(seen[0].body, json!({"text": "{{ secret.token }}"}).to_string());
    assert_eq!(placeholder(&seen[1].body), stolen);
    assert!(seen[2].body.contains(&stolen), "{}", seen[2].body);
    assert!(seen.iter().all(|seen| !seen.body.contains(VALUE)), "{seen:?}");
}

#[tokio::test]
async fn a_secret_that_is_not_there_fails_validation() {
    let shop = Shop::start().await;
    let host = builder(&shop).start().await;
    let (status, problem) = host
        .post_yaml(
            "/runs",
            "name: t\nsteps:\n  - id: a\n    type: http_request\n    config: { url: \"http://127.0.0.1/\", headers: { x: \"{{ secret.tokn }}\" } }",
        )
        .await;
    assert_eq!(status, 422, "{problem:#}");
    let error = &problem["errors"][0];
    assert_eq!((&error["code"], &error["line"]), (&json!("unknown_secret"), &json!(5)), "{problem:#}");
    let text = format!("{} {}", error["message"], error["hint"]);
    assert!(text.contains("tokn") && text.contains("token"), "it names what there is: {text}");
    assert_eq!(host.get("/runs").await.1["runs"], json!([]));
}

#[tokio::test]
async fn a_secret_may_be_a_file_or_a_value() {
    let shop = Shop::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-the-file\n").unwrap();
    let url = shop.url();
    let host = Host::builder()
        .config(&format!(
            "secrets:\n  a: {{ file: \"{}\", hosts: [\"{url}\"] }}\n  b: {{ value: from-the-config, hosts: [\"{url}\"] }}",
            file.path().display()
        ))
        .config(&format!("grants: {{ http_request: {{ http: [\"{url}\"], secrets: [a, b] }} }}"))
        .start()
        .await;
    let step = request(
        &host,
        json!({"url": format!("{url}/text"), "headers": {"x-a": "{{ secret.a }}", "x-b": "{{ secret.b }}"}}),
    )
    .await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    let seen = &shop.seen()[0];
    assert_eq!((seen.header("x-a"), seen.header("x-b")), (Some("from-the-file"), Some("from-the-config")));
}
