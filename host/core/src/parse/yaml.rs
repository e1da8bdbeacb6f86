//! YAML 1.2 text to a tree with places.
//!
//! On the events of `saphyr-parser`, and not on a serde reader: those stop at the first mistake and forget
//! lines. The parser keeps its own stack on the heap, so that deep nesting is an error here and not a crash.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::{
    node::{Budget, Entry, Kind, MAX_DEPTH, Node},
    scalar,
};
use crate::problem::{Position, Problems, shorten};

mod advice;

use advice::{QUOTE_IT, UNQUOTED};

/// Reads one document. `None` where it can not be read to its end; the reason is among the problems then.
pub(crate) fn read(text: &str, problems: &mut Problems) -> Option<Node> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::new(text, problems);
    builder.run(&mut parser)?;
    Some(builder.root.unwrap_or(Node { at: Position::START, kind: Kind::Null }))
}

/// A list or mapping that has not ended yet.
struct Frame {
    at: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<(String, Position)>,
        /// It is a `{{ … }}` without quotes, which YAML reads as a mapping in a mapping.
        template: bool,
    },
}

/// What an anchor stands for, with what a copy of it costs.
struct Anchored {
    node: Node,
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Builder<'t, 'p> {
    text: &'t str,
    problems: &'p mut Problems,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    budget: Budget,
    root: Option<Node>,
    documents: usize,
}

impl<'t, 'p> Builder<'t, 'p> {
    fn new(text: &'t str, problems: &'p mut Problems) -> Self {
        Self {
            text,
            problems,
            stack: Vec::new(),
            anchors: HashMap::new(),
            budget: Budget::new(),
            root: None,
            documents: 0,
        }
    }

    fn run(&mut self, parser: &mut Parser<'t, StrInput<'t>>) -> Option<()> {
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, span)) => self.event(event, position(span.start))?,
                Err(error) => return self.scan_error(&error),
            }
        }
        Some(())
    }

    fn event(&mut self, event: Event<'_>, at: Position) -> Option<()> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Some(()),
            Event::DocumentStart(_) => self.document(at),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                let tag = self.tag(tag.as_deref(), at);
                let kind = self.scalar(&text, style, tag, at);
                self.finish(
                    Node { at, kind },
                    anchor,
                    text.len(),
                    style == ScalarStyle::Plain && text == "<<",
                )
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), at);
                self.open(Frame { at, anchor, content: Content::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), at);
                self.open(Frame {
                    at,
                    anchor,
                    content: Content::Mapping { entries: Vec::new(), key: None, template: false },
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn document(&mut self, at: Position) -> Option<()> {
        self.documents += 1;
        if self.documents == 1 {
            return Some(());
        }
        self.problems
            .add("", at, "invalid_yaml", "a second YAML document begins here")
            .hint("one file holds one flow: remove the line `---` or split the file");
        None
    }

    fn open(&mut self, frame: Frame) -> Option<()> {
        if self.stack.len() >= MAX_DEPTH {
            return self.too_deep(frame.at);
        }
        self.note_template(frame.at);
        self.stack.push(frame);
        Some(())
    }

    /// A mapping that begins as the first key of a mapping, one column further on, is `{{`.
    fn note_template(&mut self, at: Position) {
        let Some(Frame { at: outer, content: Content::Mapping { entries, key: None, template }, .. }) =
            self.stack.last_mut()
        else {
            return;
        };
        let outer = *outer;
        if entries.is_empty() && outer == (Position { column: at.column.saturating_sub(1), ..at }) {
            *template = true;
            self.problems.add(self.path(), outer, "unquoted_template", UNQUOTED).hint(QUOTE_IT);
            self.problems.gap(outer);
        }
    }

    fn close(&mut self) -> Option<()> {
        let frame = self.stack.pop()?;
        let kind = match frame.content {
            Content::List(items) => Kind::Array(items),
            Content::Mapping { template: true, .. } => Kind::Text(String::new()),
            Content::Mapping { entries, .. } => Kind::Object(entries),
        };
        self.finish(Node { at: frame.at, kind }, frame.anchor, 0, false)
    }

    /// Puts a value where it belongs: the value of the last key, the next item, or a key.
    fn finish(&mut self, node: Node, anchor: usize, bytes: usize, merge_key: bool) -> Option<()> {
        self.charge(Size { nodes: 1, bytes, depth: 0 }, node.at)?;
        if anchor > 0 {
            let size = measure(&node);
            self.charge(size, node.at)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        self.place(node, merge_key)
    }

    fn place(&mut self, node: Node, merge_key: bool) -> Option<()> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Mapping { entries, key, .. } if key.is_some() => {
                if let Some((key, key_at)) = key.take() {
                    entries.push(Entry { key, key_at, value: node });
                }
            }
            Content::Mapping { .. } => self.key(node, merge_key),
        }
        Some(())
    }

    fn key(&mut self, node: Node, merge_key: bool) {
        let at = node.at;
        let text = key_text(node);
        let template =
            matches!(self.stack.last(), Some(Frame { content: Content::Mapping { template: true, .. }, .. }));
        if merge_key {
            self.problems
                .add(self.path(), at, "unsupported_yaml", "merge keys (`<<`) are not part of YAML 1.2")
                .hint("write the keys out, or use an alias for a whole value: `config: *name`");
            self.problems.gap(at);
        } else if text.is_none() && !template {
            self.problems
                .add(self.path(), at, "unsupported_yaml", "a key must be a text, not a list or mapping")
                .hint(QUOTE_IT);
            self.problems.gap(at);
        }
        if let Some(Frame { content: Content::Mapping { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some((text.unwrap_or_default(), at));
        }
    }

    /// Copies what the anchor stands for, within the budget: this is what bounds an expansion bomb.
    fn alias(&mut self, anchor: usize, at: Position) -> Option<()> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            self.problems.add("", at, "invalid_yaml", "the alias refers to a value that contains it");
            return None;
        };
        let size = anchored.size;
        if self.stack.len() + size.depth > MAX_DEPTH {
            return self.too_deep(at);
        }
        self.charge(size, at)?;
        let node = Node { at, kind: self.anchors.get(&anchor)?.node.kind.clone() };
        self.place(node, false)
    }

    fn charge(&mut self, size: Size, at: Position) -> Option<()> {
        let left = self.budget.take(size.nodes, size.bytes);
        if left.is_none() {
            super::too_large(self.problems, at);
        }
        left
    }

    fn too_deep(&mut self, at: Position) -> Option<()> {
        super::too_deep(self.problems, at);
        None
    }

    /// Whether the tag makes a text of the value. Tags of YAML's own schema are admitted, others are not.
    fn tag(&mut self, tag: Option<&Tag>, at: Position) -> bool {
        const CORE: [&str; 7] = ["str", "int", "float", "bool", "null", "seq", "map"];
        let Some(tag) = tag else { return false };
        let plain = (tag.handle == "!" || tag.handle.is_empty()) && matches!(tag.suffix.as_str(), "" | "!");
        let core = tag.is_yaml_core_schema() && CORE.contains(&tag.suffix.as_str());
        if !plain && !core {
            let message = format!("the tag `{}` is not known", shorten(&tag.to_string()));
            self.problems
                .add(self.path(), at, "unsupported_yaml", message)
                .hint("remove it; use quotes where a text is meant");
        }
        plain || tag.suffix == "str"
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, as_text: bool, at: Position) -> Kind {
        if style != ScalarStyle::Plain || as_text {
            return Kind::Text(text.to_owned());
        }
        scalar::resolve(text).unwrap_or_else(|| {
            let message = format!("`{}` is a number that JSON can not hold", shorten(text));
            self.problems
                .add(self.path(), at, "invalid_value", message)
                .hint("put it in quotes where a text is meant");
            self.problems.gap(at);
            Kind::Null
        })
    }

    fn scan_error(&mut self, error: &ScanError) -> Option<()> {
        let at = position(*error.marker());
        // The scanner has a limit of its own, on brackets within brackets; it may look that far ahead of us.
        if error.info().contains("recursion limit") {
            return self.too_deep(at);
        }
        match advice::template_near(self.text, at.line) {
            Some(template_at) => {
                self.problems.add(self.path(), template_at, "unquoted_template", UNQUOTED).hint(QUOTE_IT);
            }
            None => {
                let message = format!("this is not YAML: {}", error.info());
                self.problems.add("", at, "invalid_yaml", message).maybe_hint(advice::on(
                    error.info(),
                    self.text,
                    at,
                ));
            }
        }
        None
    }

    /// The path of what is being read now.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.stack {
            match &frame.content {
                Content::List(items) => path.push_str(&format!("[{}]", items.len())),
                Content::Mapping { key: Some((key, _)), .. } => {
                    path = super::node::join(&path, &shorten(key))
                }
                Content::Mapping { .. } => {}
            }
        }
        path
    }
}

fn key_text(node: Node) -> Option<String> {
    match node.kind {
        Kind::Text(text) => Some(text),
        Kind::Null => Some("null".to_owned()),
        Kind::Bool(value) => Some(value.to_string()),
        Kind::Number(value) => Some(value.to_string()),
        Kind::Array(_) | Kind::Object(_) => None,
    }
}

/// What a copy of a value costs. Recursion is bounded by [`MAX_DEPTH`], as the value is built already.
fn measure(node: &Node) -> Size {
    let own = Size { nodes: 1, bytes: 0, depth: 0 };
    let within = |children: &mut dyn Iterator<Item = Size>| {
        let inner = children.fold(Size::default(), |sum, child| Size {
            nodes: sum.nodes + child.nodes,
            bytes: sum.bytes + child.bytes,
            depth: sum.depth.max(child.depth),
        });
        Size { nodes: inner.nodes + 1, depth: inner.depth + 1, ..inner }
    };
    match &node.kind {
        Kind::Text(text) => Size { bytes: text.len(), ..own },
        Kind::Array(items) => within(&mut items.iter().map(measure)),
        Kind::Object(entries) => within(&mut entries.iter().map(|entry| {
            let value = measure(&entry.value);
            Size { bytes: value.bytes + entry.key.len(), ..value }
        })),
        _ => own,
    }
}

fn position(marker: Marker) -> Position {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: count(marker.line()), column: count(marker.col()).saturating_add(1) }
}

#[cfg(test)]
mod tests;
