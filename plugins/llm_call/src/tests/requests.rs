//! The exact shape of what goes out.

use stepcell::serde_json;

use super::*;

/// Every key that says what to ask.
fn full() -> Value {
    json!({
        "system_prompt": "Be brief.",
        "messages": [
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": "Yes?" },
            { "role": "user", "content": "Go" },
        ],
        "max_tokens": 9,
        "temperature": 0.5,
    })
}

#[track_caller]
fn check(request: &Request, url: &str, headers: &[(&str, &str)], body: Value) {
    assert_eq!((request.method(), request.url()), ("POST", url));
    let sent: Vec<_> = request.headers().iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(sent, headers);
    assert_eq!(serde_json::from_slice::<Value>(request.body()).unwrap(), body);
    assert_eq!((request.timeout_value(), request.redirects_value()), (None, 0));
}

#[test]
fn anthropic_gets_messages_with_the_system_beside_them() {
    check(
        &sent(config("anthropic", full())),
        "https://api.anthropic.com/v1/messages",
        &[
            ("x-api-key", "placeholder-of-the-key:anthropic"),
            ("anthropic-version", "2023-06-01"),
            ("content-type", "application/json"),
        ],
        json!({
            "model": "m",
            "max_tokens": 9,
            "system": "Be brief.",
            "messages": [
                { "role": "user", "content": "Hi" },
                { "role": "assistant", "content": "Yes?" },
                { "role": "user", "content": "Go" },
            ],
            "temperature": 0.5,
        }),
    );
}

#[test]
fn openai_gets_the_system_as_the_first_message() {
    check(
        &sent(config("openai", full())),
        "https://api.openai.com/v1/chat/completions",
        &[("authorization", "Bearer placeholder-of-the-key:openai"), ("content-type", "application/json")],
        json!({
            "model": "m",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "Hi" },
                { "role": "assistant", "content": "Yes?" },
                { "role": "user", "content": "Go" },
            ],
            "max_completion_tokens": 9,
            "temperature": 0.5,
        }),
    );
}

#[test]
fn google_gets_contents_with_roles_of_its_own() {
    check(
        &sent(config("google", full())),
        "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
        &[("x-goog-api-key", "placeholder-of-the-key:google"), ("content-type", "application/json")],
        json!({
            "contents": [
                { "role": "user", "parts": [{ "text": "Hi" }] },
                { "role": "model", "parts": [{ "text": "Yes?" }] },
                { "role": "user", "parts": [{ "text": "Go" }] },
            ],
            "systemInstruction": { "parts": [{ "text": "Be brief." }] },
            "generationConfig": { "maxOutputTokens": 9, "temperature": 0.5 },
        }),
    );
}

#[test]
fn a_compatible_server_gets_the_older_word_for_tokens() {
    let more = json!({ "base_url": "http://127.0.0.1:11434/v1", "prompt": "Hi", "max_tokens": 9 });
    check(
        &sent(config("openai_compatible", more)),
        "http://127.0.0.1:11434/v1/chat/completions",
        &[
            ("authorization", "Bearer placeholder-of-the-key:openai_compatible"),
            ("content-type", "application/json"),
        ],
        json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 9 }),
    );
}

#[test]
fn what_is_not_asked_for_does_not_go_out() {
    let bodies = [
        (
            "anthropic",
            json!({ "model": "m", "max_tokens": 4096, "messages": [{ "role": "user", "content": "Hi" }] }),
        ),
        ("openai", json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] })),
        ("google", json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }] })),
    ];
    for (provider, body) in bodies {
        let request = sent(config(provider, json!({ "prompt": "Hi" })));
        assert_eq!(serde_json::from_slice::<Value>(request.body()).unwrap(), body, "{provider}");
    }
}

#[test]
fn another_server_is_asked_at_the_same_path() {
    let url = |provider, base_url| {
        sent(config(provider, json!({ "prompt": "Hi", "base_url": base_url }))).url().to_owned()
    };
    assert_eq!(url("anthropic", "http://127.0.0.1:1"), "http://127.0.0.1:1/v1/messages");
    assert_eq!(url("openai", "http://127.0.0.1:1"), "http://127.0.0.1:1/v1/chat/completions");
    assert_eq!(url("google", "http://127.0.0.1:1/"), "http://127.0.0.1:1/v1beta/models/m:generateContent");
    assert_eq!(url("openai_compatible", "https://h/api/v1/"), "https://h/api/v1/chat/completions");
}

#[test]
fn a_models_name_stays_one_segment_of_the_path() {
    let of = |model| {
        let config = json!({ "provider": "google", "model": model, "prompt": "Hi" });
        let request = sent(config);
        let path = request.url().strip_prefix("https://generativelanguage.googleapis.com/v1beta/models/");
        path.unwrap().to_owned()
    };
    assert_eq!(of("models/gemini-2.5-flash"), "gemini-2.5-flash:generateContent");
    assert_eq!(of("../files?x#y"), "..%2Ffiles%3Fx%23y:generateContent");
}

#[test]
fn a_given_key_is_taken_instead_of_the_secret() {
    let request = sent(config("anthropic", json!({ "prompt": "Hi", "api_key": "given" })));
    assert_eq!(request.header_value("x-api-key"), Some("given"));
    let more = json!({ "prompt": "Hi", "api_key": "given", "base_url": "http://h" });
    let request = sent(config("openai_compatible", more));
    assert_eq!(request.header_value("authorization"), Some("Bearer given"));
}

/// Runs the step where no secret is granted.
fn without_secret(config: Value) -> (Result<Value, Failure>, Option<Request>) {
    let (sent, response) = (Rc::new(RefCell::new(None)), said("openai", "ok"));
    let seen = Rc::clone(&sent);
    let _http = http::mock(move |request| {
        seen.replace(Some(request.clone()));
        Ok(response.clone())
    });
    let _secrets = secrets::mock(|_| Err(Failure::denied("there is no such secret").code("secrets_denied")));
    (testing::execute::<llm_call>(config), sent.take())
}

#[test]
fn a_compatible_server_may_do_without_a_key() {
    let more = json!({ "prompt": "Hi", "base_url": "http://127.0.0.1:1" });
    let (result, request) = without_secret(config("openai_compatible", more));
    assert_eq!(result.unwrap()["content"], "ok");
    assert_eq!(request.unwrap().header_value("authorization"), None);
}

#[test]
fn a_provider_without_its_key_is_not_asked() {
    for provider in ["anthropic", "openai", "google"] {
        let (result, request) = without_secret(config(provider, json!({ "prompt": "Hi" })));
        let failure = result.unwrap_err();
        assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Denied, Some("secrets_denied")));
        assert!(request.is_none(), "{provider}");
    }
}

#[test]
fn an_unknown_provider_is_told_the_known_ones() {
    let (result, request) = call(config("mistral", json!({ "prompt": "Hi" })), Response::new(200));
    let failure = result.unwrap_err();
    assert_eq!(failure.fault, Fault::Config);
    let message = "`config.provider`: unknown variant `mistral`, \
                   expected one of `anthropic`, `openai`, `google`, `openai_compatible`";
    assert_eq!(failure.message, message);
    assert!(request.is_none());
}

#[test]
fn a_wrong_config_asks_nobody() {
    for more in [
        json!({}),
        json!({ "prompt": "Hi", "messages": [{ "role": "user", "content": "Hi" }] }),
        json!({ "messages": [{ "role": "tool", "content": "Hi" }] }),
        json!({ "messages": [{ "role": "user" }] }),
        json!({ "messages": "Hi" }),
        json!({ "prompt": "Hi", "max_tokens": 0 }),
        json!({ "prompt": "Hi", "temperature": "warm" }),
        json!({ "prompt": "Hi", "api_key": " " }),
        json!({ "prompt": "Hi", "model": "" }),
        json!({ "prompt": "Hi", "stream": true }),
        json!({ "prompt": "Hi", "provider": "openai_compatible" }),
    ] {
        let (result, request) = call(config("openai", more.clone()), Response::new(200));
        assert_eq!(result.unwrap_err().fault, Fault::Config, "{more}");
        assert!(request.is_none(), "{more}");
    }
}
