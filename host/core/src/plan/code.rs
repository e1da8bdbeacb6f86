//! Code that reads a step which it does not wait for.

use super::{Ancestors, Builder};
use crate::{
    flow::{After, Step},
    parse::join,
    problem::{Problem, Problems},
};

impl Builder<'_> {
    /// Looks through the texts that are never resolved, such as `inline_code.code`: a step named there is in
    /// the context only if the step waits for it. A warning and no error, as it may be a comment.
    pub(super) fn warnings(&self, ancestors: &[Ancestors]) -> Vec<Problem> {
        let mut warnings = Problems::default();
        for (index, step) in self.parsed.flow.steps.values().enumerate() {
            let Some(ancestors) = ancestors.get(index) else { continue };
            for (key, text) in self.code_of(step) {
                let path = join(&self.parsed.step_path(index), &format!("config.{key}"));
                for named in self.steps_named(text) {
                    if named != index && !ancestors.contains(named) {
                        self.warn(step, named, &path, &mut warnings);
                    }
                }
            }
        }
        warnings.into_vec()
    }

    fn code_of<'s>(&self, step: &'s Step) -> Vec<(String, &'s str)> {
        let kind = (self.types.find)(&step.kind);
        let providers = kind.into_iter().flat_map(|kind| &kind.providers);
        let mut keys: Vec<String> =
            providers.flat_map(|provider| provider.describe.literal.keys().cloned()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter().filter_map(|key| Some((key.clone(), step.config.get(&key)?.as_str()?))).collect()
    }

    /// The steps that a text names, each once.
    fn steps_named(&self, text: &str) -> Vec<usize> {
        let mut found: Vec<usize> = text
            .match_indices("steps")
            .filter(|(offset, _)| {
                let before = text.get(..*offset).and_then(|before| before.chars().next_back());
                !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
            })
            .filter_map(|(offset, word)| named(text.get(offset + word.len()..)?))
            .filter_map(|id| self.by_id.get(id).copied())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn warn(&self, step: &Step, named: usize, path: &str, warnings: &mut Problems) {
        let Some((id, _)) = self.parsed.flow.steps.get_index(named) else { return };
        let spans = &self.parsed.spans;
        let message = format!("this code names step `{id}`, which `{}` does not wait for", step.id);
        let mut entries: Vec<String> = step.after.iter().map(written).collect();
        entries.push(id.to_string());
        warnings
            .add(spans.full_path(path), spans.locate(path), "not_waited_for", message)
            .hint(format!("add `after: [{}]` to the step", entries.join(", ")));
    }
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
