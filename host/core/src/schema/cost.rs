//! What checking with a schema may cost, estimated before it is done.
//!
//! The library remembers results for references that recurse, and for no others: thirty definitions that each
//! refer twice to the next take 2^30 steps. Listing errors remembers nothing at all. So a schema is measured
//! with its references written out.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::InvalidSchema;

/// The most values in a schema with its references written out. Bounds the time of one look at one value.
const MAX_WEIGHT: u64 = 20_000;

/// How deep schema and references may nest. Protects the stack, here and in the library.
const MAX_DEPTH: usize = 256;

/// The most patterns in a schema, and the longest. Compiling one can take milliseconds.
const MAX_PATTERNS: usize = 200;
const MAX_PATTERN_CHARS: usize = 1_000;

/// The most steps, values of the schema times values checked, for telling whether a value fits. About a second.
const MAX_CHECK_STEPS: u64 = 100_000_000;

/// The same for listing every reason, which takes memory for each.
const MAX_LIST_STEPS: u64 = 2_000_000;

/// The measure of a schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Its values, references written out up to where they recurse.
    weight: u64,
    /// References that recurse: each may multiply the steps for each level of the value.
    recursions: u64,
}

/// The measure of a value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    nodes: u64,
    depth: u32,
}

impl Size {
    pub(super) fn of(value: &Value) -> Self {
        let within = |children: &mut dyn Iterator<Item = &Value>| {
            let inner = children.map(Self::of).fold(Self::default(), |sum, child| Self {
                nodes: sum.nodes + child.nodes,
                depth: sum.depth.max(child.depth),
            });
            Self { nodes: inner.nodes + 1, depth: inner.depth + 1 }
        };
        match value {
            Value::Array(items) => within(&mut items.iter()),
            Value::Object(map) => within(&mut map.values()),
            _ => Self { nodes: 1, depth: 0 },
        }
    }
}

impl Cost {
    /// Measures a schema; refuses what refers outside itself or is past a limit.
    pub(super) fn of(schema: &Value) -> Result<Self, InvalidSchema> {
        let mut measure = Measure {
            root: schema,
            anchors: HashMap::new(),
            known: HashMap::new(),
            open: HashSet::new(),
            patterns: 0,
        };
        measure.anchors(schema, "", 0)?;
        measure.walk(schema, Holds::Keywords, "", 0)
    }

    pub(super) fn can_check(self, size: Size) -> bool {
        self.weight.saturating_mul(size.nodes) <= MAX_CHECK_STEPS
    }

    pub(super) fn can_list(self, size: Size) -> bool {
        let levels = self.recursions.max(1).saturating_pow(size.depth);
        self.weight.saturating_mul(size.nodes).saturating_mul(levels) <= MAX_LIST_STEPS
    }

    fn add(self, other: Self, path: &str) -> Result<Self, InvalidSchema> {
        let sum = Self { weight: self.weight + other.weight, recursions: self.recursions + other.recursions };
        if sum.weight > MAX_WEIGHT {
            return Err(invalid(path, format!("over {MAX_WEIGHT} values, references written out")));
        }
        Ok(sum)
    }
}

/// What the keys of a mapping are.
#[derive(Clone, Copy)]
enum Holds {
    Keywords,
    /// Of properties: one may be called `$ref`.
    Names,
}

struct Measure<'v> {
    root: &'v Value,
    anchors: HashMap<&'v str, &'v Value>,
    /// What each reference costs.
    known: HashMap<&'v str, Cost>,
    /// References being written out.
    open: HashSet<&'v str>,
    patterns: usize,
}

impl<'v> Measure<'v> {
    /// Notes anchors and counts patterns, each once.
    fn anchors(&mut self, value: &'v Value, path: &str, depth: usize) -> Result<(), InvalidSchema> {
        check_depth(path, depth)?;
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.anchors(item, &format!("{path}[{index}]"), depth + 1)?;
                }
            }
            Value::Object(map) => {
                if let Some(Value::String(anchor)) = map.get("$anchor") {
                    self.anchors.insert(anchor, value);
                }
                if let Some(Value::String(pattern)) = map.get("pattern") {
                    self.pattern(path, pattern)?;
                }
                if let Some(Value::Object(patterns)) = map.get("patternProperties") {
                    patterns.keys().try_for_each(|pattern| self.pattern(path, pattern))?;
                }
                for (key, inner) in map {
                    self.anchors(inner, &crate::parse::join(path, key), depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn pattern(&mut self, path: &str, pattern: &str) -> Result<(), InvalidSchema> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(invalid(path, format!("over {MAX_PATTERNS} patterns")));
        }
        if pattern.chars().nth(MAX_PATTERN_CHARS).is_some() {
            return Err(invalid(path, format!("a pattern has over {MAX_PATTERN_CHARS} characters")));
        }
        Ok(())
    }

    fn walk(
        &mut self,
        value: &'v Value,
        holds: Holds,
        path: &str,
        depth: usize,
    ) -> Result<Cost, InvalidSchema> {
        check_depth(path, depth)?;
        let own = Cost { weight: 1, recursions: 0 };
        match value {
            Value::Array(items) => items.iter().enumerate().try_fold(own, |sum, (index, item)| {
                let path = format!("{path}[{index}]");
                sum.add(self.walk(item, Holds::Keywords, &path, depth + 1)?, &path)
            }),
            Value::Object(map) => map.iter().try_fold(own, |sum, (key, inner)| {
                let path = crate::parse::join(path, key);
                let cost = match holds {
                    Holds::Names => self.walk(inner, Holds::Keywords, &path, depth + 1)?,
                    Holds::Keywords => self.keyword(key, inner, &path, depth)?,
                };
                sum.add(cost, &path)
            }),
            _ => Ok(own),
        }
    }

    fn keyword(
        &mut self,
        key: &str,
        value: &'v Value,
        path: &str,
        depth: usize,
    ) -> Result<Cost, InvalidSchema> {
        match (key, value) {
            // The definitions count where they are referred to.
            ("$defs" | "definitions", Value::Object(_)) => Ok(Cost { weight: 0, recursions: 0 }),
            ("$ref", Value::String(target)) => self.reference(target, path, depth + 1),
            ("$dynamicRef", Value::String(_)) => {
                Err(invalid(path, "`$dynamicRef` is not supported".to_owned()))
            }
            ("$id", Value::String(_)) if depth > 0 => {
                Err(invalid(path, "`$id` is supported at the root only".to_owned()))
            }
            // Values, which may have keys that only look like keywords.
            ("enum" | "const" | "default" | "examples", _) => {
                Ok(Cost { weight: Size::of(value).nodes, recursions: 0 })
            }
            ("properties" | "patternProperties" | "dependentSchemas", _) => {
                self.walk(value, Holds::Names, path, depth + 1)
            }
            _ => self.walk(value, Holds::Keywords, path, depth + 1),
        }
    }

    fn reference(&mut self, target: &'v str, path: &str, depth: usize) -> Result<Cost, InvalidSchema> {
        if let Some(known) = self.known.get(target) {
            return Ok(*known);
        }
        if self.open.contains(target) {
            return Ok(Cost { weight: 1, recursions: 1 });
        }
        let value = self.resolve(target, path)?;
        self.open.insert(target);
        let cost = self.walk(value, Holds::Keywords, path, depth)?;
        self.open.remove(target);
        self.known.insert(target, cost);
        Ok(cost)
    }

    fn resolve(&self, target: &str, path: &str) -> Result<&'v Value, InvalidSchema> {
        let Some(fragment) = target.strip_prefix('#') else {
            let message = format!(
                "`$ref: {}` leads out of the schema; nothing is fetched",
                crate::problem::shorten(target)
            );
            return Err(invalid(path, message));
        };
        let found = match fragment {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            anchor => self.anchors.get(anchor).copied(),
        };
        found.ok_or_else(|| {
            invalid(path, format!("`$ref: {}` leads nowhere", crate::problem::shorten(target)))
        })
    }
}

fn check_depth(path: &str, depth: usize) -> Result<(), InvalidSchema> {
    if depth > MAX_DEPTH {
        return Err(invalid(path, format!("nested deeper than {MAX_DEPTH} levels, references written out")));
    }
    Ok(())
}

fn invalid(path: &str, message: String) -> InvalidSchema {
    InvalidSchema { path: crate::problem::shorten(path), message }
}
