//! Code that reads a step which it does not wait for.

use std::collections::BTreeSet;

use super::{
    Ancestors, Builder,
    builder::Draft,
    outside::{Named, Place},
};
use crate::{
    flow::{After, Step},
    parse::join,
};

impl Builder<'_, '_> {
    /// Looks through the texts that are never resolved, such as `inline_code.code`: a step named there is in
    /// the context only if the step waits for it. A warning and no error, as it may be a comment.
    pub(super) fn warn(&mut self, drafts: &mut [Draft], ancestors: &[Ancestors]) {
        for (index, (draft, ancestors)) in drafts.iter_mut().zip(ancestors).enumerate() {
            let own = self.named_by(index);
            for (named, within) in own
                .into_iter()
                .map(|named| (named, false))
                .chain(draft.code.drain(..).map(|named| (named, true)))
            {
                match self.own(&named.id) {
                    Some(found) if found == index || ancestors.contains(found) => {}
                    Some(_) => self.warn_of(index, &named, within),
                    None if self.outside.is_some_and(|outside| outside.has(&named.id)) => {
                        self.outward.code.push(named);
                    }
                    None => {}
                }
            }
        }
    }

    /// The steps that the code of a step names.
    fn named_by(&self, index: usize) -> Vec<Named> {
        let Some((_, step)) = self.decoded.flow.steps.get_index(index) else { return Vec::new() };
        let mut named = Vec::new();
        for (key, text) in self.code_of(step) {
            let path = join(&self.decoded.step_path(index), &format!("config.{key}"));
            let place = Place { path: self.part.full_path(&path), at: self.part.locate(&path) };
            let of_text = steps_named(text);
            named.extend(of_text.into_iter().map(|id| Named { id: id.to_owned(), place: place.clone() }));
        }
        named
    }

    fn code_of<'s>(&self, step: &'s Step) -> Vec<(String, &'s str)> {
        let kind = (self.shared.types.find)(&step.kind);
        let providers = kind.into_iter().flat_map(|kind| &kind.providers);
        let mut keys: Vec<String> =
            providers.flat_map(|provider| provider.describe.literal.keys().cloned()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter().filter_map(|key| Some((key.clone(), step.config.get(&key)?.as_str()?))).collect()
    }

    /// Warns of a step that this one does not wait for; `within` says that the code is in a body of this one.
    fn warn_of(&mut self, index: usize, named: &Named, within: bool) {
        let Some((own, step)) = self.decoded.flow.steps.get_index(index) else { return };
        let Named { id, place } = named;
        let message = format!("this code names step `{id}`, which `{own}` does not wait for");
        let mut entries: Vec<String> = step.after.iter().map(written).collect();
        entries.push(id.clone());
        let which = if within { format!("the step `{own}`") } else { "the step".to_owned() };
        self.shared
            .warnings
            .add(&place.path, place.at, "not_waited_for", message)
            .hint(format!("add `after: [{}]` to {which}", entries.join(", ")));
    }
}

/// What a text names after `steps`, each once.
fn steps_named(text: &str) -> BTreeSet<&str> {
    text.match_indices("steps")
        .filter(|(offset, _)| {
            let before = text.get(..*offset).and_then(|before| before.chars().next_back());
            !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
        })
        .filter_map(|(offset, word)| named(text.get(offset + word.len()..)?))
        .collect()
}

fn written(after: &After) -> String {
    match &after.port {
        Some(port) => format!("{}.{port}", after.step),
        None => after.step.to_string(),
    }
}

/// The name that follows `steps`: `.x`, `["x"]`, `"]["x"]`, `.get("x")`, in either kind of quotes.
fn named(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix("\"]").or_else(|| rest.strip_prefix("']")).unwrap_or(rest);
    let quoted =
        rest.strip_prefix(".get(").or_else(|| rest.strip_prefix("?.[")).or_else(|| rest.strip_prefix('['));
    let rest = match quoted {
        Some(rest) => rest.strip_prefix(['"', '\''])?,
        None => rest.strip_prefix("?.").or_else(|| rest.strip_prefix('.'))?,
    };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rest: &str, expected: Option<&str>) {
        assert_eq!(named(rest), expected, "{rest}");
    }

    #[test]
    fn names_are_found_in_python_and_javascript() {
        check(".a.b", Some("a"));
        check("?.a", Some("a"));
        check("[\"a\"]", Some("a"));
        check("['a']", Some("a"));
        check("\"][\"a\"]", Some("a"));
        check("'].get('a', None)", Some("a"));
        check("\"].items()", Some("items"));
        check("[name]", None);
        check(" = 5", None);
        check("", None);
    }
}
