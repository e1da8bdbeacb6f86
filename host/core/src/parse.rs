//! A flow's text to the model, with all its mistakes at once and the place of each.
//!
//! Two steps: a reader for each format makes a tree in which every value knows its place (`node`), and one
//! decoder makes the flow of it. Mistakes that leave a tree do not stop there: they travel with the
//! [`Parsed`] flow to [`Plan::build`](crate::plan::Plan::build), which gives them together with its own.

mod document;
mod fields;
mod flow;
mod json;
mod keys;
mod node;
mod scalar;
mod submission;
pub mod units;
mod yaml;

pub use document::Document;
pub use node::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES};
pub use submission::{
    Batch, BatchRun, FlowRef, MAX_IDEMPOTENCY_KEY_BYTES, MAX_INPUTS, MAX_SUBMISSION_BYTES, Retry, Submission,
    parse_retry, parse_submission, parse_submissions_jsonl,
};

pub(crate) use fields::{Field, Fields};
pub(crate) use flow::{Decoded, decode_body};
pub(crate) use node::{Budget, Kind, Node, Path, join};
pub(crate) use scalar::resolve as plain_scalar;

use serde_json::Value;

use crate::{
    Flow,
    flow::{BodyKind, MAX_FLOW_BYTES},
    problem::{Position, Problem, Problems},
};

/// How a text is written. A flow means the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2 with its core schema. JSON is read as YAML too, but for escapes of UTF-16 pairs.
    Yaml,
    Json,
}

/// A flow with the places of its parts.
///
/// It may hold mistakes: nothing runs of it before [`Plan::build`](crate::plan::Plan::build), which refuses
/// them all at once. Where the flow is only read, look at [`problems`](Self::problems).
#[derive(Debug)]
pub struct Parsed {
    pub flow: Flow,
    pub spans: Spans,
    problems: Problems,
    unread: Vec<String>,
    places: Vec<usize>,
}

impl Parsed {
    /// The mistakes found while reading.
    pub fn problems(&self) -> &[Problem] {
        self.problems.as_slice()
    }

    /// The flow, where reading found no mistake.
    pub fn into_flow(self) -> Result<Flow, Vec<Problem>> {
        if self.problems.is_empty() { Ok(self.flow) } else { Err(self.problems.into_vec()) }
    }

    /// A flow that the host itself stored, without places.
    pub fn from_source(source: &Value) -> Self {
        Self::from_node(Node::from_value(source), "", Problems::default())
    }

    /// What was read, where it stands, and what is wrong with it.
    pub(crate) fn into_parts(self) -> (Decoded, Spans, Problems) {
        let Self { flow, spans, problems, unread, places } = self;
        (Decoded { kind: BodyKind::Flow, flow, unread, places }, spans, problems)
    }

    fn from_node(root: Node, prefix: &'static str, mut problems: Problems) -> Self {
        keys::check(&root, prefix, &mut problems);
        let Decoded { flow, unread, places, .. } = flow::decode(&root, prefix, &mut problems);
        Self { flow, spans: Spans { root, prefix }, problems, unread, places }
    }
}

/// Where the parts of a flow stand in its text.
#[derive(Debug)]
pub struct Spans {
    root: Node,
    /// Where the flow stands in the text: empty for a flow file, `flow` in a submission.
    prefix: &'static str,
}

impl Spans {
    /// The place of a path within the flow (`steps[2].config.url`), or of its nearest parent that is there.
    pub fn locate(&self, path: &str) -> Position {
        self.root.locate(path)
    }

    /// A path within the flow as a problem shows it: from the root of the text.
    pub fn full_path(&self, path: &str) -> String {
        join(self.prefix, path)
    }

    /// The tree of the whole flow.
    pub(crate) fn part(&self) -> Part<'_> {
        Part { root: &self.root, prefix: self.prefix }
    }
}

/// A flow or a body within a text: its tree and the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Part<'n> {
    pub(crate) root: &'n Node,
    pub(crate) prefix: &'n str,
}

impl Part<'_> {
    /// The place of a path within this part, or of its nearest parent that is there.
    pub(crate) fn locate(&self, path: &str) -> Position {
        self.root.locate(path)
    }

    /// The place of a key, where [`locate`](Self::locate) gives that of its value.
    pub(crate) fn locate_key(&self, path: &str, key: &str) -> Position {
        self.root.locate_key(path, key)
    }

    /// The value of a path, if there is one.
    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        self.root.find(path)
    }

    /// A path within this part as a problem shows it: from the root of the text.
    pub(crate) fn full_path(&self, path: &str) -> String {
        join(self.prefix, path)
    }
}

/// Reads a flow of at most [`MAX_FLOW_BYTES`]. An error where there is no tree to go on with: the text is not
/// of its format, too large or too deep, or is no mapping. All other mistakes are in the [`Parsed`].
pub fn parse(text: &str, format: Format) -> Result<Parsed, Vec<Problem>> {
    let (root, problems) = read(text, format, MAX_FLOW_BYTES)?;
    Ok(Parsed::from_node(root, "", problems))
}

/// Reads a document that is a mapping, with the mistakes that leave a tree.
fn read(text: &str, format: Format, bytes_max: usize) -> Result<(Node, Problems), Vec<Problem>> {
    let mut problems = Problems::default();
    match read_any(text, format, bytes_max, &mut problems) {
        Some(root) if matches!(root.kind, Kind::Object(_)) => Ok((root, problems)),
        Some(root) => {
            let message = format!("expected a mapping with `name` and `steps`, found {}", root.what());
            problems.add("", root.at, "wrong_type", message).hint("a flow begins with `name: …`");
            Err(problems.into_vec())
        }
        None => Err(problems.into_vec()),
    }
}

/// Reads a document of any kind; `None`, and a problem, where it can not be read to its end.
fn read_any(text: &str, format: Format, bytes_max: usize, problems: &mut Problems) -> Option<Node> {
    if text.len() > bytes_max {
        let message = format!("the text has {} bytes, the limit is {bytes_max}", text.len());
        problems
            .add("", Position::START, "too_large", message)
            .hint("keep large data out of the flow: pass it as input");
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Yaml => yaml::read(text, problems),
        Format::Json => json::read(text, problems),
    }
}

fn too_deep(problems: &mut Problems, at: Position) {
    let message = format!("nested deeper than {MAX_DEPTH} levels");
    problems.add("", at, "too_deep", message).hint("keep deep data as JSON text, or pass it as input");
}

fn too_large(problems: &mut Problems, at: Position) {
    let message =
        format!("more than {MAX_NODES} values or {MAX_TEXT_BYTES} bytes of text, aliases written out");
    problems.add("", at, "too_large", message).hint("keep large data out of the flow: pass it as input");
}

#[cfg(test)]
mod tests;
