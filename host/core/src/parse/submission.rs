//! What comes in over HTTP to start a run.

use super::{
    Format, Parsed,
    fields::{Field, Fields},
    keys,
    node::{Kind, Node, Path},
    read, read_any,
};
use crate::{
    Json,
    flow::MAX_FLOW_BYTES,
    problem::{Problem, Problems},
};

mod lines;

pub use lines::{Batch, BatchRun, parse_submissions_jsonl};

/// The largest submission: a flow and its input. Bounds the memory of parsing; the server's own limit on
/// bodies may be lower.
pub const MAX_SUBMISSION_BYTES: usize = MAX_FLOW_BYTES + (16 << 20);

/// The longest idempotency key. It is part of a key in the store.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// The most runs that one submission starts. Bounds the memory of one request, and the time it holds up others.
pub const MAX_INPUTS: usize = 10_000;

const KEYS: [&str; 4] = ["flow", "input", "inputs", "idempotency_key"];
const RETRY_KEYS: [&str; 2] = ["from", "flow"];

/// A request for a run.
#[derive(Debug)]
pub struct Submission {
    pub flow: FlowRef,
    /// `{}` where the submission has none.
    pub input: Json,
    /// One run for each, in place of `input`.
    pub inputs: Option<Vec<Json>>,
    pub idempotency_key: Option<String>,
}

/// The flow of a submission.
#[derive(Debug)]
pub enum FlowRef {
    /// In the submission itself. As [`Parsed`] says, it may hold mistakes, also those of the rest of the
    /// submission: [`Plan::build`](crate::plan::Plan::build) gives them all.
    Inline(Box<Parsed>),
    /// A stored flow.
    Name(String),
}

/// A request to try a run again.
#[derive(Debug)]
pub struct Retry {
    /// The step to begin at.
    pub from: Option<String>,
    /// The flow to run instead of the run's own.
    pub flow: Option<FlowRef>,
}

/// Reads `{"flow": {…} or "name", "input": … or "inputs": […], "idempotency_key"?}`, or a bare flow: a mapping with `steps` and
/// without `flow`. Lines, columns and paths of problems count within the whole text: `flow.steps[2].config.url`.
pub fn parse_submission(text: &str, format: Format) -> Result<Submission, Vec<Problem>> {
    let (root, mut problems) = read(text, format, MAX_SUBMISSION_BYTES)?;
    if root.get("flow").is_none() && root.get("steps").is_some() {
        let flow = FlowRef::Inline(Box::new(Parsed::from_node(root, "", problems)));
        return Ok(Submission { flow, input: empty(), inputs: None, idempotency_key: None });
    }
    let Some(mut submission) = envelope(&root, &mut problems) else { return Err(problems.into_vec()) };
    hand_on(problems, Some(&mut submission.flow))?;
    Ok(submission)
}

/// Reads `{"from": "step", "flow": {…} or "name"}`, either key or none. Places of problems count as in
/// [`parse_submission`].
pub fn parse_retry(text: &str, format: Format) -> Result<Retry, Vec<Problem>> {
    let mut problems = Problems::default();
    let root = read_any(text, format, MAX_SUBMISSION_BYTES, &mut problems);
    let fields = root.as_ref().and_then(|root| Fields::of(root, Path::Root(""), &RETRY_KEYS, &mut problems));
    let Some(fields) = fields else { return Err(problems.into_vec()) };
    keys::check_level(fields.node(), &Path::Root(""), &mut problems);
    let from = fields.get("from").and_then(|field| field.text(&mut problems)).map(str::to_owned);
    let mut flow = fields.get("flow").and_then(|field| flow(field, &mut problems));
    hand_on(problems, flow.as_mut())?;
    Ok(Retry { from, flow })
}

/// Lets the mistakes of an envelope travel with the flow in it, so that they are told with those of the plan.
fn hand_on(mut problems: Problems, flow: Option<&mut FlowRef>) -> Result<(), Vec<Problem>> {
    match flow {
        Some(FlowRef::Inline(parsed)) => {
            problems.extend(std::mem::take(&mut parsed.problems));
            parsed.problems = problems;
            Ok(())
        }
        _ if problems.is_empty() => Ok(()),
        _ => Err(problems.into_vec()),
    }
}

fn envelope(root: &Node, problems: &mut Problems) -> Option<Submission> {
    let fields = Fields::of(root, Path::Root(""), &KEYS, problems)?;
    keys::check_level(root, &Path::Root(""), problems);
    let input = fields.get("input").map(|field| {
        keys::check(field.node, "input", problems);
        Json::from(field.node.to_value())
    });
    let inputs = fields.get("inputs").and_then(|field| inputs(field, &fields, problems));
    let idempotency_key = fields.get("idempotency_key").and_then(|field| idempotency_key(field, problems));
    let hint = "send `{\"flow\": {…} or \"name\", \"input\": {…}}`, or a flow with `name` and `steps`";
    let flow = fields.need("flow", hint, problems).and_then(|field| flow(field, problems))?;
    Some(Submission { flow, input: input.unwrap_or_else(empty), inputs, idempotency_key })
}

fn flow(field: Field<'_, '_>, problems: &mut Problems) -> Option<FlowRef> {
    match &field.node.kind {
        Kind::Object(_) => Some(FlowRef::Inline(Box::new(Parsed::from_node(
            field.node.clone(),
            "flow",
            Problems::default(),
        )))),
        Kind::Text(name) if !name.is_empty() => Some(FlowRef::Name(name.clone())),
        _ => {
            field.wrong_type("a flow or the name of a stored one", problems);
            None
        }
    }
}

/// What `inputs` holds, which `input` can not stand beside.
fn inputs(field: Field<'_, '_>, fields: &Fields<'_, '_>, problems: &mut Problems) -> Option<Vec<Json>> {
    let Kind::Array(items) = &field.node.kind else {
        field.wrong_type("a list with the input of each run", problems);
        return None;
    };
    keys::check(field.node, "inputs", problems);
    if fields.get("input").is_some() {
        field.invalid("`input` and `inputs` can not stand together", "put `input` into the list", problems);
    }
    if items.is_empty() || items.len() > MAX_INPUTS {
        let message = format!("`inputs` has {} inputs", items.len());
        field.invalid(message, &format!("send 1 to {MAX_INPUTS} in one request"), problems);
        return None;
    }
    Some(items.iter().map(|item| Json::from(item.to_value())).collect())
}

fn idempotency_key(field: Field<'_, '_>, problems: &mut Problems) -> Option<String> {
    let text = field.text(problems)?;
    if text.is_empty() || text.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        let message = format!("the idempotency key has {} bytes", text.len());
        field.invalid(message, &format!("use 1 to {MAX_IDEMPOTENCY_KEY_BYTES} bytes"), problems);
        return None;
    }
    Some(text.to_owned())
}

fn empty() -> Json {
    Json::from(serde_json::json!({}))
}
