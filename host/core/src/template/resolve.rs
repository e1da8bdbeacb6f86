//! Resolves a template and writes its JSON text in one go.

use std::cell::RefCell;

use serde::{Serialize, Serializer};

use super::{
    TemplateError,
    eval::Eval,
    expr::{Expr, Path, Root},
    limits::Budget,
    node::{Leaf, Node, Part},
    ops,
    value::{Reason, Val},
    write::{Name, Pen, Written},
};
use crate::Json;

/// The value of a template in one run.
pub(super) fn resolve<'a>(node: &'a Node, eval: &'a Eval<'a>) -> Result<Json, TemplateError> {
    if let Some(shared) = whole(node, eval) {
        return shared;
    }
    let out = Out { eval, pen: &Pen::new(&eval.budget, Budget::result), failed: &RefCell::new(None) };
    Json::from_serialize(&Placed { node, out, depth: 0 }).map_err(|error| {
        out.failed.borrow_mut().take().unwrap_or_else(|| {
            let reason = out.pen.reason(&error);
            TemplateError {
                path: String::new(),
                expression: String::new(),
                reason: reason.message,
                hint: reason.hint,
            }
        })
    })
}

/// What needs no writing: it is shared.
fn whole(node: &Node, eval: &Eval<'_>) -> Option<Result<Json, TemplateError>> {
    let (root, place, source) = match node {
        Node::Static(json) => return Some(Ok(json.clone())),
        Node::Whole(leaf) => match &leaf.what {
            Expr::Path(Path { root, keys }) if keys.is_empty() => (*root, &leaf.place, leaf.source.clone()),
            _ => return None,
        },
        Node::From(leaf) if leaf.what.is_whole() => (leaf.what.root, &leaf.place, leaf.source.clone()),
        _ => return None,
    };
    Some(eval.root(root).cloned().map_err(|reason| failure(place, source, reason)))
}

fn failure(place: &str, expression: String, reason: Reason) -> TemplateError {
    let Reason { message, hint } = reason;
    TemplateError { path: place.to_owned(), expression, reason: message, hint }
}

#[derive(Clone, Copy)]
struct Out<'a> {
    eval: &'a Eval<'a>,
    pen: &'a Pen<'a>,
    failed: &'a RefCell<Option<TemplateError>>,
}

struct Placed<'a> {
    node: &'a Node,
    out: Out<'a>,
    depth: usize,
}

impl Serialize for Placed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { node, out, depth } = *self;
        match node {
            Node::Static(json) => out.pen.raw(json, depth, serializer),
            Node::Whole(leaf) => out.leaf(leaf, serializer, |serializer| match &leaf.what {
                Expr::Path(path) if path.keys.is_empty() => out.root(path.root, depth, serializer),
                expr => out.value(out.eval.eval(expr), depth, serializer),
            }),
            Node::Mixed(leaf) => out.leaf(leaf, serializer, |serializer| {
                let text = out.mixed(&leaf.what).map_err(|reason| out.pen.stop::<S::Error>(reason))?;
                out.pen.text(&text, serializer)
            }),
            Node::From(leaf) => out.leaf(leaf, serializer, |serializer| {
                if leaf.what.is_whole() {
                    return out.root(leaf.what.root, depth, serializer);
                }
                out.value(leaf.what.resolve(out.eval), depth, serializer)
            }),
            Node::List(nodes) => {
                out.pen.open(nodes.len(), depth)?;
                serializer.collect_seq(nodes.iter().map(|node| Placed { node, out, depth: depth + 1 }))
            }
            Node::Map(nodes) => {
                out.pen.open(nodes.len(), depth)?;
                serializer.collect_map(
                    nodes.iter().map(|(key, node)| {
                        (Name { key, pen: out.pen }, Placed { node, out, depth: depth + 1 })
                    }),
                )
            }
        }
    }
}

impl<'a> Out<'a> {
    /// Adds to a failure where it happened.
    fn leaf<S: Serializer, T>(
        &self,
        leaf: &Leaf<T>,
        serializer: S,
        write: impl FnOnce(S) -> Result<S::Ok, S::Error>,
    ) -> Result<S::Ok, S::Error> {
        write(serializer).inspect_err(|error| {
            let reason = self.pen.take().unwrap_or_else(|| Reason::new(error.to_string()));
            *self.failed.borrow_mut() = Some(failure(&leaf.place, leaf.source.clone(), reason));
        })
    }

    fn root<S: Serializer>(&self, root: Root, depth: usize, serializer: S) -> Result<S::Ok, S::Error> {
        match self.eval.root(root) {
            Ok(json) => self.pen.raw(json, depth, serializer),
            Err(reason) => Err(self.pen.stop(reason)),
        }
    }

    fn value<S: Serializer>(
        &self,
        made: Result<Val<'a>, Reason>,
        depth: usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match made.and_then(Val::there) {
            Ok(value) => Written { value: &value, pen: self.pen, depth }.serialize(serializer),
            Err(reason) => Err(self.pen.stop(reason)),
        }
    }

    fn mixed(&self, parts: &'a [Part]) -> Result<String, Reason> {
        let mut text = String::new();
        for part in parts {
            let value;
            let piece = match part {
                Part::Text(piece) => piece.as_str(),
                Part::Expr(expr) => {
                    value = ops::text_of(self.eval.eval(expr)?, &self.eval.budget)?;
                    &*value
                }
            };
            self.eval.budget.make(piece.len())?;
            text.push_str(piece);
        }
        Ok(text)
    }
}
