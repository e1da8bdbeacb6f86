//! <https://ai.google.dev/api/generate-content>

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER, ANSWER_TOKENS, Dialect, PROMPT_TOKENS, Wrong, header, shape, within};

pub(super) struct Google;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    contents: Vec<Content>,
    #[serde(default, rename = "systemInstruction")]
    _system: Option<Content>,
    #[serde(default)]
    generation_config: Option<GenerationConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// May be left out in a system instruction.
    #[serde(default)]
    role: Option<Role>,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Model,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "text")]
    _text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GenerationConfig {
    #[serde(default, rename = "maxOutputTokens")]
    _max_output_tokens: Option<u64>,
    #[serde(default)]
    temperature: Option<f64>,
}

impl Dialect for Google {
    fn read(key: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, Wrong> {
        // Google tells a missing key (403) from a wrong one (400), and never says 401.
        match header(headers, "x-goog-api-key") {
            "" => return Err(Wrong { status: StatusCode::FORBIDDEN, message: "no API key".to_owned() }),
            given if given != key => return Err(Wrong::request("API key not valid.")),
            _ => {}
        }
        let model = path
            .strip_prefix("/v1beta/models/")
            .or_else(|| path.strip_prefix("/v1/models/"))
            .and_then(|call| call.strip_suffix(":generateContent"))
            .ok_or_else(|| Wrong {
                status: StatusCode::NOT_FOUND,
                message: format!("{path} is not found"),
            })?;
        let request: Request = shape(headers, body)?;
        let config = request.generation_config;
        within("generationConfig.temperature", config.and_then(|config| config.temperature), 2.0)?;
        if request.contents.is_empty() {
            return Err(Wrong::request("contents is not specified"));
        }
        let odd = |content: &Content| content.role.is_none() || content.parts.is_empty();
        if request.contents.iter().any(odd) {
            return Err(Wrong::request("contents: each needs a role and parts"));
        }
        Ok(model.to_owned())
    }

    fn answer(model: &str) -> Value {
        json!({
            "candidates": [{
                "content": { "parts": [{ "text": ANSWER }], "role": "model" },
                "finishReason": "STOP",
                "index": 0,
            }],
            "usageMetadata": {
                "promptTokenCount": PROMPT_TOKENS,
                "candidatesTokenCount": ANSWER_TOKENS,
                "totalTokenCount": PROMPT_TOKENS + ANSWER_TOKENS,
            },
            "modelVersion": model,
            "responseId": "mAitaLmkHPPlz7IP_pXYqAc",
        })
    }

    fn error(status: StatusCode, message: &str) -> Value {
        let (name, reason) = match status.as_u16() {
            400 if message.starts_with("API key") => ("INVALID_ARGUMENT", Some("API_KEY_INVALID")),
            400 => ("INVALID_ARGUMENT", None),
            401 => ("UNAUTHENTICATED", None),
            403 => ("PERMISSION_DENIED", None),
            404 => ("NOT_FOUND", None),
            429 => ("RESOURCE_EXHAUSTED", None),
            503 => ("UNAVAILABLE", None),
            _ => ("INTERNAL", None),
        };
        let details: Vec<Value> = reason
            .into_iter()
            .map(|reason| {
                json!({
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": reason,
                    "domain": "googleapis.com",
                })
            })
            .collect();
        json!({ "error": { "code": status.as_u16(), "message": message, "status": name, "details": details } })
    }
}
