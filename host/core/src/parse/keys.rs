//! A key stands once in its mapping.

use super::node::{Kind, Node, Path};
use crate::problem::{Problems, shorten};

/// Reports every key that is there twice. Recursion is bounded by the depth that the readers admit.
pub(crate) fn check(root: &Node, prefix: &str, problems: &mut Problems) {
    walk(root, &Path::Root(prefix), problems);
}

fn walk(node: &Node, path: &Path<'_>, problems: &mut Problems) {
    match &node.kind {
        Kind::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &path.index(index), problems);
            }
        }
        Kind::Object(entries) => {
            check_level(node, path, problems);
            for entry in entries {
                walk(&entry.value, &path.key(&entry.key), problems);
            }
        }
        _ => {}
    }
}

/// The same for one mapping, without what is in it.
pub(crate) fn check_level(node: &Node, path: &Path<'_>, problems: &mut Problems) {
    let Kind::Object(entries) = &node.kind else { return };
    // Sorted rather than hashed: no copy of a key, and no worse than n log n for a mapping of many.
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    for (first, second) in sorted.iter().zip(sorted.iter().skip(1)) {
        if first.key == second.key {
            let message =
                format!("`{}` is already there, on line {}", shorten(&first.key), first.key_at.line);
            problems
                .add(path.key(&second.key), second.key_at, "duplicate_key", message)
                .hint("remove one of the two");
        }
    }
}
