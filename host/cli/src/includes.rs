//! Flows in files of their own: `config: { flow: other.yaml }` of a step that runs a flow.
//!
//! The file's flow takes the place of its name before anything is planned or sent, so that what runs is one flow with
//! one digest, wherever its parts came from. A server reads no files for whoever calls it.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use stepcell_core::{
    Catalog,
    flow::MAX_FLOW_BYTES,
    parse::{self, Document, Format, Parsed},
    problem::{Position, Problem},
};

use crate::{
    client::Client,
    error::Error,
    flow_file::FlowText,
    listing::{Entry, Listing},
};

/// How deep files may name files. Protects the stack, and the reader of an error.
const DEPTH_MAX: usize = 8;
/// How many files may be put in, the same one counted each time. Protects memory: each may name others twice.
const FILES_MAX: usize = 100;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The files that were put into a flow.
#[derive(Debug, Default)]
pub(crate) struct Includes(Vec<Included>);

#[derive(Debug)]
struct Included {
    /// Where its flow stands in the whole: `steps[2].config.flow`.
    path: String,
    /// As a user would name it.
    name: String,
    document: Document,
}

/// Puts the files that a flow names in their places, for step types of this catalog.
///
/// Names are relative to the file that has them, and lead to the folder of the flow or below. A flow that names none
/// comes back as it was.
pub(crate) fn resolve(
    flow: &FlowText,
    parsed: Parsed,
    catalog: &Catalog,
) -> Result<(Parsed, Includes), Error> {
    let deferred = |kind: &str| {
        let providers = catalog.types.get(kind).map(|of| of.providers.as_slice()).unwrap_or_default();
        providers.iter().flat_map(|provider| provider.describe.deferred.clone()).collect()
    };
    resolve_with(flow, parsed, &deferred)
}

/// The same for the step types of a server, which is asked only where a text could be a file's name.
pub(crate) async fn resolve_for(
    flow: &FlowText,
    parsed: Parsed,
    client: &Client,
) -> Result<(Parsed, Includes), Error> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        deferred: Vec<String>,
    }
    if !may_include(&parsed.flow.source) {
        return Ok((parsed, Includes::default()));
    }
    let kinds: Vec<Kind> = client.get(&["catalog", "steps"], &[]).await?;
    let deferred = |kind: &str| {
        kinds.iter().filter(|of| of.kind == kind).flat_map(|of| of.deferred.clone()).collect::<Vec<_>>()
    };
    resolve_with(flow, parsed, &deferred)
}

impl Includes {
    /// Problems with the whole, at their places in the files that it was made of.
    pub(crate) fn listing(&self, flow: &FlowText, problems: Vec<Problem>) -> Listing {
        let mut listing = Listing::new(flow.name.clone(), problems);
        self.mend(flow, &mut listing);
        listing
    }

    /// Gives the entries of a listing those places, where the flow was made of several files.
    pub(crate) fn mend(&self, flow: &FlowText, listing: &mut Listing) {
        if !self.0.is_empty() {
            self.place(flow, listing.errors.iter_mut().chain(&mut listing.warnings));
        }
    }

    /// Gives entries the places of their paths in the user's own files.
    pub(crate) fn place<'e>(&self, flow: &FlowText, entries: impl Iterator<Item = &'e mut Entry>) {
        let Ok(outer) = Document::read(&flow.text, flow.format, MAX_FLOW_BYTES) else { return };
        for entry in entries {
            let within = self.0.iter().filter_map(|file| Some((file, below(&entry.path, &file.path)?)));
            let Position { line, column } = match within.max_by_key(|(file, _)| file.path.len()) {
                None => place(&outer, &entry.path, &entry.code),
                Some((file, path)) => {
                    let at = place(&file.document, path, &entry.code);
                    (entry.file, entry.path) = (Some(file.name.clone()), path.to_owned());
                    at
                }
            };
            (entry.line, entry.column) = (line, column);
        }
    }
}

/// What follows `parent` in a path; `None` where the path is not below it.
pub(crate) fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(parent)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest),
        None => (rest.is_empty() || rest.starts_with('[')).then_some(rest),
    }
}

/// A key that should not be there is shown itself, everything else where its value stands.
fn place(document: &Document, path: &str, code: &str) -> Position {
    match path.rsplit_once('.').unwrap_or(("", path)) {
        (parent, key) if code == "unknown_key" => document.locate_key(parent, key),
        _ => document.locate(path),
    }
}

/// Whether any text could be the name of a file that is to be put in. The parser has bounded how deep this goes.
fn may_include(value: &Value) -> bool {
    match value {
        Value::String(text) => is_file_name(text),
        Value::Array(items) => items.iter().any(may_include),
        Value::Object(map) => map.values().any(may_include),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_file_name(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}

/// Which config keys of a step type hold what runs later; none for an unknown type.
type Deferred<'a> = dyn Fn(&str) -> Vec<String> + 'a;

fn resolve_with(
    flow: &FlowText,
    parsed: Parsed,
    deferred: &Deferred<'_>,
) -> Result<(Parsed, Includes), Error> {
    if !may_include(&parsed.flow.source) {
        return Ok((parsed, Includes::default()));
    }
    let path = Path::new(&flow.name);
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    // The empty path is the current folder, and has no canonical form.
    let canonical = |path: &Path| Path::new(".").join(path).canonicalize();
    let (Ok(root), Ok(file)) = (canonical(&folder), canonical(path)) else {
        return Ok((parsed, Includes::default()));
    };
    let document = flow.document()?;
    let mut resolver = Resolver { deferred, root, included: Vec::new(), bytes: 0 };
    let mut source = parsed.flow.source.clone();
    let outer =
        File { name: flow.name.clone(), folder, document: &document, path: String::new(), chain: vec![file] };
    resolver.flow(&mut source, "", &outer)?;
    let includes = Includes(resolver.included);
    if includes.0.is_empty() {
        return Ok((parsed, includes));
    }
    // Nobody has seen this text: what is wrong with it gets its place from its path.
    let whole = parse::parse(&source.to_string(), Format::Json);
    Ok((whole.map_err(|problems| Error::Problems(includes.listing(flow, problems)))?, includes))
}

/// A file whose names are being looked at.
struct File<'a> {
    name: String,
    folder: PathBuf,
    document: &'a Document,
    /// Where its flow stands in the whole.
    path: String,
    /// The files that led here, itself last.
    chain: Vec<PathBuf>,
}

struct Resolver<'a> {
    deferred: &'a Deferred<'a>,
    /// What no name leads out of.
    root: PathBuf,
    included: Vec<Included>,
    /// Of all files that were put in.
    bytes: usize,
}

impl Resolver<'_> {
    fn flow(&mut self, flow: &mut Value, path: &str, file: &File<'_>) -> Result<(), Error> {
        let steps = flow.get_mut("steps").and_then(Value::as_array_mut);
        self.steps(steps.into_iter().flatten(), &join(path, "steps"), file)
    }

    fn steps<'v>(
        &mut self,
        steps: impl Iterator<Item = &'v mut Value>,
        path: &str,
        file: &File<'_>,
    ) -> Result<(), Error> {
        for (index, step) in steps.enumerate() {
            self.step(step, &format!("{path}[{index}]"), file)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &mut Value, path: &str, file: &File<'_>) -> Result<(), Error> {
        let Some(kind) = step.get("type").and_then(Value::as_str) else { return Ok(()) };
        for key in (self.deferred)(kind) {
            if let Some(body) = step.get_mut("config").and_then(|config| config.get_mut(&key)) {
                self.body(body, &join(&join(path, "config"), &key), file)?;
            }
        }
        Ok(())
    }

    /// A step, a list of steps, a flow, or the name of a file with a flow.
    fn body(&mut self, body: &mut Value, path: &str, file: &File<'_>) -> Result<(), Error> {
        match body {
            Value::String(name) if is_file_name(name) => {
                let name = name.clone();
                *body = self.include(&name, path, file)?;
                Ok(())
            }
            Value::Array(steps) => self.steps(steps.iter_mut(), path, file),
            _ if body.get("steps").is_some() => self.flow(body, path, file),
            _ => self.step(body, path, file),
        }
    }

    fn include(&mut self, name: &str, path: &str, file: &File<'_>) -> Result<Value, Error> {
        let refused = |why: String, hint: &str| refuse(file, path, format!("`{name}` {why}"), hint);
        if file.chain.len() > DEPTH_MAX || self.included.len() >= FILES_MAX {
            let why = format!("is one file too many: {FILES_MAX} can be put in, {DEPTH_MAX} deep");
            return Err(refused(why, "put some of the flows into one file"));
        }
        let named = file.folder.join(name);
        let target = Path::new(".").join(&named).canonicalize();
        let target = target.map_err(|error| {
            refused(format!("can not be read: {error}"), "name a flow file, relative to this one")
        })?;
        if Path::new(name).is_absolute() || !target.starts_with(&self.root) {
            let hint = "move it into the folder of the flow, or below";
            return Err(refused("lies outside the folder of the flow".to_owned(), hint));
        }
        if file.chain.contains(&target) {
            return Err(refused("would be put into itself".to_owned(), "a flow can not run itself"));
        }
        let text = FlowText::read(&named)?;
        self.bytes += text.text.len();
        if self.bytes > MAX_FLOW_BYTES {
            let why = format!("is too much: all files together may have {MAX_FLOW_BYTES} bytes");
            return Err(refused(why, "keep large data out of the flow: pass it as input"));
        }
        let document = text.document()?;
        let mut flow = document.value();
        if !flow.get("steps").is_some_and(Value::is_array) {
            return Err(refused("is no flow: it has no list of `steps`".to_owned(), "name a flow file"));
        }
        let inner = File {
            name: text.name,
            folder: named.parent().unwrap_or(Path::new("")).to_owned(),
            document: &document,
            path: join(&file.path, path),
            chain: file.chain.iter().cloned().chain([target]).collect(),
        };
        self.flow(&mut flow, "", &inner)?;
        let File { name, path, .. } = inner;
        self.included.push(Included { path, name, document });
        Ok(flow)
    }
}

fn refuse(file: &File<'_>, path: &str, message: String, hint: &str) -> Error {
    let Position { line, column } = file.document.locate(path);
    let (path, code, hint) = (path.to_owned(), "include_invalid", Some(hint.to_owned()));
    Error::Problems(Listing::new(
        file.name.clone(),
        vec![Problem { path, line, column, code, message, hint }],
    ))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests;
