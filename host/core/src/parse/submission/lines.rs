//! Many submissions in one text: one JSON document a line.

use std::mem;

use super::{FlowRef, MAX_INPUTS, MAX_SUBMISSION_BYTES, empty, flow, idempotency_key};
use crate::{
    Json,
    parse::{
        Parsed,
        fields::{Field, Fields},
        json, keys,
        node::{Budget, Node, Path},
    },
    problem::{Position, Problem, Problems},
};

const KEYS: [&str; 4] = ["flow", "input", "inputs", "idempotency_key"];

/// The runs of a text that go with one flow. The flow is there once, however many they are.
#[derive(Debug)]
pub struct Batch {
    /// As in [`Submission`](super::Submission); its mistakes count from the first line of the text.
    pub flow: FlowRef,
    pub runs: Vec<BatchRun>,
}

/// One run that a text asks for.
#[derive(Debug)]
pub struct BatchRun {
    /// `{}` where the line has none.
    pub input: Json,
    pub idempotency_key: Option<String>,
    /// Where it stands, counted from 1.
    pub line: u32,
}

/// Reads one submission a line, at most [`MAX_INPUTS`] of them; blank lines are skipped. A line without `flow` goes
/// with the flow of the line before. Lines of problems count within the whole text, paths within the line.
pub fn parse_submissions_jsonl(text: &str) -> Result<Vec<Batch>, Vec<Problem>> {
    let mut reader = Reader::default();
    if text.len() > MAX_SUBMISSION_BYTES {
        let message = format!("the text has {} bytes, the limit is {MAX_SUBMISSION_BYTES}", text.len());
        reader
            .problems
            .add("", Position::START, "too_large", message)
            .hint("send it in parts; a line without `flow` needs one before it in its part");
        return Err(reader.problems.into_vec());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, text) in (1..).zip(text.split('\n')).filter(|(_, text)| !text.trim().is_empty()) {
        if reader.line(line, text).is_none() {
            break;
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    problems: Problems,
    batches: Vec<Batch>,
    budget: Budget,
    runs: usize,
    /// A flow could not be read: lines that go with it are not to blame.
    lost: bool,
}

impl Reader {
    /// Reads a line; `None` where nothing after it is read.
    fn line(&mut self, line: u32, text: &str) -> Option<()> {
        let start = Position { line, column: 1 };
        self.runs += 1;
        if self.runs > MAX_INPUTS {
            let message = format!("there are more than {MAX_INPUTS} lines");
            self.problems.add("", start, "too_large", message).hint("send them in several requests");
            return None;
        }
        match json::read_at(text, start, &mut self.budget, &mut self.problems) {
            Some(root) => self.submission(line, root),
            None if self.budget.is_spent() => return None,
            None => self.lost = true,
        }
        Some(())
    }

    fn submission(&mut self, line: u32, root: Node) {
        if root.get("flow").is_none() && root.get("steps").is_some() {
            let flow = FlowRef::Inline(Box::new(Parsed::from_node(root, "", Problems::default())));
            self.begin(flow);
            return self.run(BatchRun { input: empty(), idempotency_key: None, line });
        }
        let path = Path::Root("");
        let Some(fields) = Fields::of(&root, path, &KEYS, &mut self.problems) else {
            self.lost = true;
            return;
        };
        keys::check_level(&root, &path, &mut self.problems);
        let input = fields.get("input").map(|field| self.input(field));
        let key = fields.get("idempotency_key");
        let idempotency_key = key.and_then(|field| idempotency_key(field, &mut self.problems));
        if let Some(field) = fields.get("inputs") {
            let hint = "write a line with `input` for each run";
            field.invalid("a line starts one run, and `inputs` is for many", hint, &mut self.problems);
        }
        match fields.get("flow") {
            Some(field) => match flow(field, &mut self.problems) {
                Some(flow) => self.begin(flow),
                None => self.lost = true,
            },
            None if self.batches.is_empty() && !self.lost => {
                let hint = "begin with a line that has a flow: `{\"flow\": …, \"input\": …}`";
                self.problems
                    .add("", root.at, "missing_key", "`flow` is missing, and no line before has one")
                    .hint(hint);
                self.lost = true;
            }
            None => {}
        }
        self.run(BatchRun { input: input.unwrap_or_else(empty), idempotency_key, line });
    }

    fn input(&mut self, field: Field<'_, '_>) -> Json {
        keys::check(field.node, "input", &mut self.problems);
        Json::from(field.node.to_value())
    }

    fn begin(&mut self, flow: FlowRef) {
        if !self.batches.last().is_some_and(|last| is_same(&last.flow, &flow)) {
            self.batches.push(Batch { flow, runs: Vec::new() });
        }
    }

    fn run(&mut self, run: BatchRun) {
        // Without a batch there was a problem already, and nothing will run.
        if let Some(batch) = self.batches.last_mut() {
            batch.runs.push(run);
        }
    }

    fn finish(mut self) -> Result<Vec<Batch>, Vec<Problem>> {
        if self.runs == 0 {
            let hint = "write a line such as `{\"flow\": …, \"input\": …}` for each run";
            self.problems.add("", Position::START, "missing_key", "there is no submission").hint(hint);
        }
        if self.problems.is_empty() {
            return Ok(self.batches);
        }
        for batch in &mut self.batches {
            if let FlowRef::Inline(parsed) = &mut batch.flow {
                self.problems.extend(mem::take(&mut parsed.problems));
            }
        }
        Err(self.problems.into_vec())
    }
}

/// Programs write the flow into every line: it is kept once nevertheless.
fn is_same(a: &FlowRef, b: &FlowRef) -> bool {
    match (a, b) {
        (FlowRef::Name(a), FlowRef::Name(b)) => a == b,
        (FlowRef::Inline(a), FlowRef::Inline(b)) => {
            a.problems.is_empty() && b.problems.is_empty() && a.flow.source == b.flow.source
        }
        _ => false,
    }
}
