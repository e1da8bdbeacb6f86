//! JSON with `{{ … }}` and `{"$from": …}` in it: compiled once, resolved for every step of every run.
//!
//! A string that is one whole `{{ … }}` gives the value as it is; text around it gives a string, in which
//! strings stand as they are and all other values as JSON text. Everything that a template may use is bounded,
//! see [`limits`]; `{{ '{{' }}` writes the two braces.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use self::{
    eval::Eval,
    limits::Budget,
    names::Names,
    node::{Builder, Node},
    slots::Slots,
    text::Piece,
};
use crate::Json;

mod compile;
mod eval;
mod expr;
mod filters;
mod from;
mod limits;
mod names;
mod node;
mod ops;
mod resolve;
mod slots;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod write;

/// A JSON value with templates in it, ready to be resolved.
#[derive(Debug)]
pub struct Template {
    node: Node,
    slots: Slots,
    references: References,
}

/// What a template may name besides `input`, `steps` and `secret`, and which keys it leaves alone.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Top-level keys that are never resolved and where a template is an error; the value is the key to use
    /// instead.
    pub literal: &'a BTreeMap<String, String>,
    /// Top-level keys that stay as they are, with the templates in them: bodies, which are compiled on their own.
    pub deferred: &'a [String],
    /// More names that stand for a value, such as `item` and `index`.
    pub roots: &'a [&'a str],
}

/// What a template names, each with the paths where it stands, such as `headers.x` or `items[2]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Step ids as written; whether there are such steps is the caller's to check.
    pub steps: BTreeMap<String, Vec<String>>,
    pub input: bool,
    pub secrets: BTreeMap<String, Vec<String>>,
    /// Names that stand for nothing.
    pub unknown: Vec<(String, String)>,
}

/// Something wrong with a template, found before any run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Where, within the compiled value: `url`, `headers.x`, `[2]`; empty for the value itself.
    pub path: String,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// A template that gives no value in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Where, as in [`TemplateProblem`].
    pub path: String,
    /// As written.
    pub expression: String,
    pub reason: String,
    pub hint: Option<String>,
}

/// The outputs that a template may read.
pub trait Steps {
    /// What the step gave; none where it did not run or there is no such step.
    fn output(&self, id: &str) -> Option<Json>;
    /// The steps that have an output, for the message about one that has none.
    fn names(&self) -> Vec<String>;
}

/// What the names in a template stand for.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub input: &'a Json,
    pub steps: &'a dyn Steps,
    /// Values of the extra roots, and of `secret` where there are secrets.
    pub extra: &'a [(&'a str, Json)],
}

impl Default for Options<'_> {
    /// No key is special, and there are no more names.
    fn default() -> Self {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        Self { literal: &NONE, deferred: &[], roots: &[] }
    }
}

impl References {
    /// The secrets that it names.
    pub fn secret_names(&self) -> impl Iterator<Item = &String> {
        self.secrets.keys()
    }
}

impl Template {
    /// Compiles every string and `$from` of `value`; finds all problems at once.
    pub fn compile(value: &Value, options: &Options<'_>) -> Result<Self, Vec<TemplateProblem>> {
        Self::build(options.roots, |builder| builder.top(value, options))
    }

    /// Compiles an `if`: one expression, with or without `{{ }}` around it. What it gives is for [`truthy`].
    /// `roots` are as in [`Options`].
    pub fn compile_condition(text: &str, roots: &[&str]) -> Result<Self, Vec<TemplateProblem>> {
        Self::build(roots, |builder| {
            let expression = match text::split(text) {
                Ok(pieces) => match pieces.as_slice() {
                    [Piece::Expression(expression)] => Ok(*expression),
                    _ if !text.contains("{{") => Ok(text.trim()),
                    _ => Err(compile::Fault::syntax("a condition is one expression, with nothing around it")
                        .hint("write `{{ a and b }}`")),
                },
                Err(fault) => Err(fault),
            };
            expression.map(|text| builder.expression(text)).unwrap_or_else(|fault| {
                builder.problem(fault);
                Node::Static(Json::null())
            })
        })
    }

    /// What it names.
    pub fn references(&self) -> &References {
        &self.references
    }

    /// Whether it gives the same value in every run.
    pub fn is_static(&self) -> bool {
        matches!(self.node, Node::Static(_))
    }

    /// The value in this run. Costs what the template uses: a static one, or one that is a whole output, is
    /// shared and not copied.
    pub fn resolve(&self, scope: &Scope<'_>) -> Result<Json, TemplateError> {
        if let Node::Static(json) = &self.node {
            return Ok(json.clone());
        }
        let outputs: Vec<_> = self.slots.steps.iter().map(|id| scope.steps.output(id)).collect();
        let eval = Eval { slots: &self.slots, scope: *scope, outputs: &outputs, budget: Budget::new() };
        resolve::resolve(&self.node, &eval)
    }

    fn build(
        roots: &[&str],
        build: impl FnOnce(&mut Builder<'_, '_>) -> Node,
    ) -> Result<Self, Vec<TemplateProblem>> {
        let mut names = Names::new(roots);
        let mut builder = Builder { names: &mut names, problems: Vec::new() };
        let node = build(&mut builder);
        let problems = builder.problems;
        if problems.is_empty() {
            Ok(Self { node, slots: names.slots, references: names.references })
        } else {
            Err(problems)
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, expression, reason, .. } = self;
        match path.as_str() {
            "" => write!(f, "`{expression}` gives no value: {reason}"),
            path => write!(f, "`{expression}` at `{path}` gives no value: {reason}"),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Whether a value counts as true: all but `false`, `null`, zero, and the empty string, list and map.
pub fn truthy(value: &Value) -> bool {
    value::Val::from(value).truthy().unwrap_or_default()
}

/// The name that was probably meant.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    /// Names are compared in time that grows with their product.
    const LONGEST: usize = 64;
    const LIKE_ENOUGH: f64 = 0.75;
    if name.len() > LONGEST {
        return None;
    }
    let known = known.filter(|known| known.len() <= LONGEST);
    let scored = known.map(|known| (strsim::normalized_damerau_levenshtein(name, known), known));
    let best = scored.filter(|(score, _)| *score >= LIKE_ENOUGH).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, known)| known)
}
