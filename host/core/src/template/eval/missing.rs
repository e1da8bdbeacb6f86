//! What is not there: where the path ends, and what there is instead.

use super::Eval;
use crate::{
    ids::shorten,
    template::{
        expr::Root,
        filters::FILTERS,
        nearest,
        value::{Key, Reason, Val, place},
    },
};

/// How many names a message lists.
const MOST_NAMES: usize = 12;
/// How many names of a map are looked at for a message. It is made before it is known whether it is needed.
const MOST_LOOKED_AT: usize = 100;

/// What lies at a key of a value that is no plain path.
pub(super) fn child<'a>(of: Val<'a>, key: &Key) -> Val<'a> {
    let found = match (&of, key) {
        // The first thing that is missing is what the message is about.
        (Val::Missing(_), _) => return of,
        (map, Key::Name(name)) => map.entry(name),
        (list, Key::Index(index)) => {
            place(*index, list.length().unwrap_or_default()).and_then(|index| list.item(index))
        }
    };
    found.unwrap_or_else(|| Val::missing(self::key("the value", &of, key)))
}

/// A name that stands for nothing in this run.
pub(super) fn root(eval: &Eval<'_>, root: Root) -> Reason {
    match root {
        Root::Input => Reason::new("there is no `input`"),
        Root::Extra(slot) => {
            let name = eval.slots.extra(slot);
            let known = eval.scope.extra.iter().map(|(name, _)| *name).chain(["input", "steps"]);
            let known: Vec<_> = known.collect();
            Reason::new(format!("there is no `{}` here", shorten(name)))
                .hint(format!("there is {}", listed(&known, 0)))
        }
        Root::Step(slot) => {
            let id = eval.slots.step(slot);
            let names = eval.scope.steps.names();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let reason = Reason::new(format!("step `{}` has no output: it did not run", shorten(id)));
            match names.as_slice() {
                [] => reason.hint("no step has one; give a value for this case with `| default(…)`"),
                names => reason.hint(format!(
                    "there is one of {}; give a value for this case with `| default(…)`",
                    listed(names, 0)
                )),
            }
        }
    }
}

/// A key that a value does not have.
pub(super) fn key(of: &str, value: &Val<'_>, key: &Key) -> Reason {
    let of = if of.starts_with("the ") { of.to_owned() } else { format!("`{}`", shorten(of)) };
    match (value, key) {
        (list, Key::Index(index)) if list.is_list() => {
            let length = list.length().unwrap_or_default();
            Reason::new(format!("{of} has {length} items, none at {index}"))
        }
        (map, Key::Name(name)) if map.is_map() => {
            let entries: Vec<_> = map.entries().map(|(name, _)| name).take(MOST_LOOKED_AT).collect();
            let known: Vec<&str> = entries.iter().map(|name| &**name).collect();
            let more = map.length().unwrap_or_default().saturating_sub(known.len());
            let reason = if known.is_empty() {
                Reason::new(format!("{of} has no `{}`; it is empty", shorten(name)))
            } else {
                Reason::new(format!("{of} has no `{}`; it has {}", shorten(name), listed(&known, more)))
            };
            match nearest(name, known.iter().copied()) {
                Some(near) => reason.hint(format!("did you mean `{}`?", shorten(near))),
                None => reason,
            }
        }
        (other, Key::Index(index)) => {
            Reason::new(format!("{of} is {}, it has no item {index}", other.kind()))
        }
        (other, Key::Name(name)) => {
            let reason = Reason::new(format!("{of} is {}, it has no `{}`", other.kind(), shorten(name)));
            if FILTERS.iter().any(|filter| filter.name == &**name) {
                reason.hint(format!("`{name}` is a filter: write `| {name}`"))
            } else {
                reason
            }
        }
    }
}

/// A path as one would write it.
pub(super) fn path_text(eval: &Eval<'_>, root: Root, keys: &[Key]) -> String {
    let mut text = match root {
        Root::Input => "input".to_owned(),
        Root::Step(slot) => format!("steps.{}", eval.slots.step(slot)),
        Root::Extra(slot) => eval.slots.extra(slot).to_owned(),
    };
    for key in keys {
        text.push_str(&match key {
            Key::Name(name) if is_plain(name) => format!(".{name}"),
            Key::Name(name) => format!("[{name:?}]"),
            Key::Index(index) => format!("[{index}]"),
        });
    }
    text
}

fn is_plain(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

fn listed(names: &[&str], more: usize) -> String {
    let mut text: Vec<_> = names.iter().take(MOST_NAMES).map(|name| format!("`{}`", shorten(name))).collect();
    let more = more + names.len().saturating_sub(MOST_NAMES);
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}
