//! `llm_call` against a server that speaks each provider's published format.

use serde_json::{Value, json};
use stepcell_tests::{
    Host, Llm,
    llm::{ANSWER, ANSWER_TOKENS, Mood, PROMPT_TOKENS},
};

const KEY: &str = "sk-9Jx2-not-a-real-key";
const PROVIDERS: [&str; 4] = ["anthropic", "openai", "google", "openai_compatible"];

async fn granted() -> (Llm, Host) {
    let llm = Llm::start(KEY).await;
    let url = llm.url();
    let secret = |name: &&str| format!("{name}: {{ env: LLM_KEY, hosts: [\"{url}\"] }}");
    let host = Host::builder()
        .variable("LLM_KEY", KEY)
        .variable("WRONG_KEY", "sk-wrong")
        .config(&format!(
            "secrets: {{ {}, wrong: {{ env: WRONG_KEY, hosts: [\"{url}\"] }} }}",
            PROVIDERS.iter().map(secret).collect::<Vec<_>>().join(", ")
        ))
        .config(&format!(
            "grants: {{ llm_call: {{ http: [\"{url}\"], secrets: [{}, wrong] }} }}",
            PROVIDERS.join(", ")
        ))
        .start()
        .await;
    (llm, host)
}

fn ask(llm: &Llm, provider: &str, more: Value) -> Value {
    let mut config = json!({"provider": provider, "model": "m-1", "base_url": llm.url()});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[tokio::test]
async fn a_prompt_gets_an_answer_from_each_provider() {
    let (llm, host) = granted().await;
    for provider in PROVIDERS {
        let step = host.step("llm_call", ask(&llm, provider, json!({"prompt": "Who?"}))).await;
        let output = &step["output"];
        assert_eq!(output["content"], ANSWER, "{provider}: {:?} {step:#}", llm.wrong());
        assert_eq!((&output["model"], &output["provider"]), (&json!("m-1"), &json!(provider)), "{step:#}");
        let usage = json!({
            "input_tokens": PROMPT_TOKENS,
            "output_tokens": ANSWER_TOKENS,
            "total_tokens": PROMPT_TOKENS + ANSWER_TOKENS,
        });
        assert_eq!(output["usage"], usage, "{step:#}");
    }
}

#[tokio::test]
async fn a_conversation_goes_out_in_each_format() {
    let (llm, host) = granted().await;
    for provider in PROVIDERS {
        let more = json!({
            "system_prompt": "Be brief.",
            "messages": [
                {"role": "user", "content": "Who?"},
                {"role": "assistant", "content": "Who what?"},
                {"role": "user", "content": "Wrote it."},
            ],
            "max_tokens": 50,
            "temperature": 0.5,
        });
        let step = host.step("llm_call", ask(&llm, provider, more)).await;
        assert_eq!(step["status"], "succeeded", "{provider}: {:?} {step:#}", llm.wrong());
    }
    let asked: Vec<String> =
        llm.asked().iter().map(|asked| format!("{} {:#}", asked.path, asked.body)).collect();
    insta::assert_snapshot!(asked.join("\n"));
}

#[tokio::test]
async fn errors_of_the_provider_are_typed_and_told() {
    let (llm, host) = granted().await;
    for provider in PROVIDERS {
        for (mood, fault, code, retryable) in [
            (Mood::Refuse(400, None), "config", "llm_invalid_request", false),
            (Mood::Refuse(401, None), "denied", "llm_denied", false),
            (Mood::Refuse(403, None), "denied", "llm_denied", false),
            (Mood::Refuse(404, None), "config", "llm_not_found", false),
            (Mood::Refuse(429, None), "unavailable", "llm_rate_limited", true),
            (Mood::Refuse(500, None), "unavailable", "llm_overloaded", true),
            (Mood::Refuse(503, None), "unavailable", "llm_overloaded", true),
            (Mood::Refuse(529, None), "unavailable", "llm_overloaded", true),
            (Mood::Truncated, "unavailable", "http_unavailable", true),
            (Mood::OtherShape, "failed", "llm_response", false),
        ] {
            llm.next(mood);
            let step = host.step("llm_call", ask(&llm, provider, json!({"prompt": "Who?"}))).await;
            let error = &step["error"];
            let told = (&error["fault"], &error["code"], &error["retryable"]);
            assert_eq!(
                told,
                (&json!(fault), &json!(code), &json!(retryable)),
                "{provider} {mood:?}: {step:#}"
            );
            assert!(!error.to_string().contains(KEY), "{error:#}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_denied_and_not_shown() {
    let (llm, host) = granted().await;
    for provider in PROVIDERS {
        let config = ask(&llm, provider, json!({"prompt": "Who?", "api_key": "{{ secret.wrong }}"}));
        let step = host.step("llm_call", config).await;
        assert_eq!(step["error"]["code"], "llm_denied", "{provider}: {step:#}");
        assert!(!step.to_string().contains("sk-wrong"), "{step:#}");
    }
    assert_eq!(llm.asked().len(), 0);
}

#[tokio::test]
async fn retry_after_is_carried_on() {
    let (llm, host) = granted().await;
    for provider in PROVIDERS {
        llm.next(Mood::Refuse(429, Some(2)));
        let flow = json!({"name": "later", "steps": [{
            "id": "a", "type": "llm_call", "retry": {"max_attempts": 2, "initial": "1ms"},
            "config": ask(&llm, provider, json!({"prompt": "Who?"})),
        }]});
        let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
        assert_eq!(run["output"]["a"]["content"], ANSWER, "{provider}: {run:#}");
        let events = host.events(&run).await;
        let retrying = events.iter().find(|event| event["type"] == "step.retrying").unwrap();
        let at = |event: &Value| event.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let wait = at(&retrying["data"]["at"]).duration_since(at(&retrying["at"]));
        assert!((1.9..4.0).contains(&wait.as_secs_f64()), "{provider}: {wait:?}");
    }
}

#[tokio::test]
async fn a_model_that_says_nothing_is_left_in_time() {
    let (llm, host) = granted().await;
    llm.next(Mood::Silent);
    let flow = json!({"name": "silent", "steps": [{
        "id": "a", "type": "llm_call", "limits": {"time": "500ms"},
        "config": ask(&llm, "anthropic", json!({"prompt": "Who?"})),
    }]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(run["error"]["code"], "time_exceeded", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains(&llm.address.to_string()), "{run:#}");
}

#[tokio::test]
async fn an_unknown_provider_is_told_the_known_ones() {
    let (llm, host) = granted().await;
    let config = ask(&llm, "mistrall", json!({"prompt": "Who?"}));
    let flow = json!({"name": "unknown", "steps": [{"id": "a", "type": "llm_call", "config": config}]});
    let (status, problem) = host.post("/runs", &json!({"flow": flow})).await;
    assert_eq!(status, 422, "{problem:#}");
    let text = problem["errors"][0]["message"].as_str().unwrap();
    for provider in PROVIDERS {
        assert!(text.contains(provider), "{text}");
    }
    // Where it is known only when the step runs, the step fails.
    let config = ask(&llm, "{{ input.provider }}", json!({"prompt": "Who?"}));
    let flow = json!({"name": "unknown", "steps": [{"id": "a", "type": "llm_call", "config": config}]});
    let (_, run) =
        host.post("/runs?wait=60s", &json!({"flow": flow, "input": {"provider": "mistrall"}})).await;
    assert_eq!(run["error"]["fault"], "config", "{run:#}");
    let text = run["error"]["message"].as_str().unwrap();
    for provider in PROVIDERS {
        assert!(text.contains(provider), "{text}");
    }
}
