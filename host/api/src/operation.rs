//! Writes OpenAPI operations: short where all calls are alike.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// One OpenAPI operation under construction.
pub(crate) struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    /// `id` names the call for generated clients.
    pub(crate) fn new(tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self { id, tag, summary, parameters: Vec::new(), body: None, responses: Map::new() }
    }

    /// An optional key of the query string.
    pub(crate) fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("query", name, schema, description)
    }

    /// The key of the calls that start a run.
    pub(crate) fn wait(self) -> Self {
        let schema = json!({"type": "string", "examples": ["10s", "500ms"]});
        self.query("wait", schema, "Wait this long for the run's end, at most ten minutes")
    }

    /// An optional header.
    pub(crate) fn header(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("header", name, schema, description)
    }

    /// The body, with its schema for each content type.
    pub(crate) fn body(mut self, required: bool, content: &[(&str, Value)]) -> Self {
        self.body = Some(json!({"required": required, "content": media(content)}));
        self
    }

    /// An answer that is no problem.
    pub(crate) fn answer(mut self, status: u16, description: &str, content: &[(&str, Value)]) -> Self {
        let mut response = json!({"description": description});
        if let (false, Some(response)) = (content.is_empty(), response.as_object_mut()) {
            response.insert("content".to_owned(), media(content));
        }
        self.responses.insert(status.to_string(), response);
        self
    }

    /// An answer in JSON.
    pub(crate) fn json(self, status: u16, description: &str, schema: Value) -> Self {
        self.answer(status, description, &[("application/json", schema)])
    }

    /// The problems that are to be expected of this call. Any call may also give 403 (host or origin) and 500.
    pub(crate) fn problems(mut self, statuses: &[u16]) -> Self {
        for status in statuses.iter().chain(&[403, 500]) {
            let reason = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
            let response = json!({
                "description": reason.unwrap_or("Problem"),
                "content": {"application/problem+json": {"schema": schema("Problem")}},
            });
            self.responses.insert(status.to_string(), response);
        }
        self
    }

    pub(crate) fn into_value(self, mut parameters: Vec<Value>) -> Value {
        parameters.extend(self.parameters);
        let mut operation = Map::new();
        operation.insert("operationId".to_owned(), json!(self.id));
        operation.insert("tags".to_owned(), json!([self.tag]));
        operation.insert("summary".to_owned(), json!(self.summary));
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), Value::Array(parameters));
        }
        if let Some(body) = self.body {
            operation.insert("requestBody".to_owned(), body);
        }
        operation.insert("responses".to_owned(), Value::Object(self.responses));
        Value::Object(operation)
    }

    fn parameter(mut self, place: &str, name: &str, schema: Value, description: &str) -> Self {
        self.parameters
            .push(json!({"name": name, "in": place, "schema": schema, "description": description}));
        self
    }
}

/// A reference to a named schema of the document.
pub(crate) fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn media(content: &[(&str, Value)]) -> Value {
    content.iter().map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema}))).collect()
}
