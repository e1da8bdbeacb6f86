//! A JSON value whose strings and `$from` maps are compiled.

use serde_json::{Map, Value};

use super::{
    Options, TemplateProblem,
    compile::{self, Fault},
    expr::Expr,
    from::{self, From},
    names::Names,
    text::{self, Piece},
};
use crate::Json;

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// The same in every run, as JSON text.
    Static(Json),
    /// One expression; the value keeps its type.
    Whole(Box<Leaf<Expr>>),
    /// Text around expressions; the value is a string.
    Mixed(Box<Leaf<Vec<Part>>>),
    From(Box<Leaf<From>>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What is evaluated, and where it stands.
#[derive(Debug)]
pub(super) struct Leaf<T> {
    pub(super) place: String,
    /// As written.
    pub(super) source: String,
    pub(super) what: T,
}

#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    Expr(Expr),
}

/// Compiles a value and all that is in it.
pub(super) struct Builder<'n, 'o> {
    pub(super) names: &'n mut Names<'o>,
    pub(super) problems: Vec<TemplateProblem>,
}

impl Builder<'_, '_> {
    /// The top of a config, whose keys may be literal or deferred.
    pub(super) fn top(&mut self, value: &Value, options: &Options<'_>) -> Node {
        let Value::Object(entries) = value else { return self.node(value) };
        if from::is_from(entries) || options.literal.is_empty() && options.deferred.is_empty() {
            return self.node(value);
        }
        let mut nodes = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let node = self.at(&Step::Key(key), |builder| {
                builder.check_key(key);
                if let Some(instead) = options.literal.get(key) {
                    builder.check_literal(key, value, instead);
                    Node::Static(Json::from(value.clone()))
                } else if options.deferred.contains(key) {
                    Node::Static(Json::from(value.clone()))
                } else {
                    builder.node(value)
                }
            });
            nodes.push((key.clone(), node));
        }
        joined(value, nodes, Node::Map, |(_, node)| node)
    }

    pub(super) fn node(&mut self, value: &Value) -> Node {
        match value {
            Value::String(text) => self.text(text).unwrap_or_else(|| Node::Static(Json::from(value.clone()))),
            Value::Array(items) => {
                let nodes = items.iter().enumerate();
                let nodes =
                    nodes.map(|(index, item)| self.at(&Step::Index(index), |builder| builder.node(item)));
                let nodes = nodes.collect();
                joined(value, nodes, Node::List, |node| node)
            }
            Value::Object(entries) if from::is_from(entries) => self.from(entries),
            Value::Object(entries) => {
                let nodes = entries.iter().map(|(key, item)| {
                    let node = self.at(&Step::Key(key), |builder| {
                        builder.check_key(key);
                        builder.node(item)
                    });
                    (key.clone(), node)
                });
                let nodes = nodes.collect();
                joined(value, nodes, Node::Map, |(_, node)| node)
            }
            _ => Node::Static(Json::from(value.clone())),
        }
    }

    /// A whole expression, as an `if` has it.
    pub(super) fn expression(&mut self, text: &str) -> Node {
        match compile::compile(text, self.names) {
            Ok(what) => Node::Whole(Box::new(self.leaf(format!("{{{{ {text} }}}}"), what))),
            Err(fault) => {
                self.problem(fault);
                Node::Static(Json::null())
            }
        }
    }

    pub(super) fn problem(&mut self, fault: Fault) {
        let Fault { code, message, hint } = fault;
        self.problems.push(TemplateProblem { path: self.names.place.clone(), code, message, hint });
    }

    /// None for plain text.
    fn text(&mut self, text: &str) -> Option<Node> {
        if !text.contains("{{") && !text.contains("{%") {
            return None;
        }
        let pieces = match text::split(text) {
            Ok(pieces) => pieces,
            Err(fault) => {
                self.problem(fault);
                return None;
            }
        };
        match pieces.as_slice() {
            [Piece::Text(_)] => None,
            [Piece::Expression(expression)] => Some(self.expression(expression)),
            pieces => {
                let parts = pieces.iter().filter_map(|piece| match piece {
                    Piece::Text(text) => Some(Part::Text((*text).to_owned())),
                    Piece::Expression(text) => match compile::compile(text, self.names) {
                        Ok(expr) => Some(Part::Expr(expr)),
                        Err(fault) => {
                            self.problem(fault);
                            None
                        }
                    },
                });
                let parts = parts.collect();
                Some(Node::Mixed(Box::new(self.leaf(text.to_owned(), parts))))
            }
        }
    }

    fn from(&mut self, map: &Map<String, Value>) -> Node {
        match from::compile(map, self.names) {
            Ok(what) => Node::From(Box::new(self.leaf(Value::Object(map.clone()).to_string(), what))),
            Err(fault) => {
                self.problem(fault);
                Node::Static(Json::null())
            }
        }
    }

    fn leaf<T>(&self, source: String, what: T) -> Leaf<T> {
        Leaf { place: self.names.place.clone(), source, what }
    }

    fn check_key(&mut self, key: &str) {
        if key.contains("{{") {
            self.problem(
                Fault::new("template_key", "a key can not be a template")
                    .hint("build the map in one expression, such as `{{ {input.name: 1} }}`"),
            );
        }
    }

    /// Braces alone are no template: code has them too. One that names something of the run is.
    fn check_literal(&mut self, key: &str, value: &Value, instead: &str) {
        match value {
            Value::String(text) if names_something(text, self.names) => self.problem(
                Fault::new(
                    "template_literal",
                    format!("`{key}` is never resolved, so a template in it does nothing"),
                )
                .hint(format!("pass the value in through `{instead}`")),
            ),
            Value::Array(items) => items.iter().for_each(|item| self.check_literal(key, item, instead)),
            Value::Object(entries) => {
                entries.values().for_each(|item| self.check_literal(key, item, instead))
            }
            _ => {}
        }
    }

    fn at<T>(&mut self, step: &Step<'_>, build: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.names.place.len();
        match step {
            Step::Key(key) if length == 0 => self.names.place.push_str(key),
            Step::Key(key) => {
                self.names.place.push('.');
                self.names.place.push_str(key);
            }
            Step::Index(index) => self.names.place.push_str(&format!("[{index}]")),
        }
        let built = build(self);
        self.names.place.truncate(length);
        built
    }
}

enum Step<'k> {
    Key(&'k str),
    Index(usize),
}

/// Goes from one `}}` to the next, so that its time grows with the text and no faster.
fn names_something(text: &str, names: &Names<'_>) -> bool {
    let mut found = names.same_roots();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("}}") {
        if let Some((_, inner)) = before.rsplit_once("{{") {
            let _ = compile::compile(inner.trim(), &mut found);
        }
        rest = after;
    }
    found.any()
}

/// A list or map: static as a whole where all of its parts are.
fn joined<T>(value: &Value, nodes: Vec<T>, join: fn(Vec<T>) -> Node, node: fn(&T) -> &Node) -> Node {
    if nodes.iter().all(|part| matches!(node(part), Node::Static(_))) {
        return Node::Static(Json::from(value.clone()));
    }
    join(nodes)
}
