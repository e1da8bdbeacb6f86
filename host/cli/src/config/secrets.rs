//! Secrets: where their values come from, and where they may go.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use stepcell_core::{
    grant::{HttpRule, check_name, read_http},
    problem::{Problem, listed},
};
use stepcell_sandbox::Secret;
use zeroize::Zeroizing;

use super::{
    interpolate::Variables,
    reader::{Reader, join},
};

/// The largest secret, in bytes. Protects memory from a file that is none.
const SECRET_BYTES_MAX: usize = 64 << 10;

const KEYS: &[&str] = &["env", "file", "value", "hosts"];
const EXAMPLE: &str = "such as `{ env: GITHUB_TOKEN, hosts: [\"https://api.github.com\"] }`";

/// A secret of the config. Its value is fetched only where something runs.
#[derive(Debug, Clone)]
pub struct SecretEntry {
    source: Source,
    /// Where it may go.
    pub hosts: Vec<HttpRule>,
    /// Where the source stands in the config.
    line: u32,
    column: u32,
    path: String,
}

#[derive(Clone)]
enum Source {
    Env(String),
    File(PathBuf),
    Value(Zeroizing<String>),
}

/// Never the value.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Value(_) => f.write_str("value"),
        }
    }
}

impl SecretEntry {
    /// The secret with its value, or why there is none.
    pub(super) fn fetch(&self, variables: &Variables<'_>) -> Result<Secret, Problem> {
        let value = match &self.source {
            Source::Env(name) => variables(name).map(Zeroizing::new).ok_or_else(|| {
                let message =
                    format!("`{}` is in the environment variable `{name}`, which is not set", self.path);
                self.problem("secret_missing", message, "set it where stepcell is started")
            })?,
            Source::File(path) => read_file(path).map_err(|error| {
                let message =
                    format!("`{}` is in `{}`, which can not be read: {error}", self.path, path.display());
                self.problem("secret_missing", message, "it has to be text that this user may read")
            })?,
            Source::Value(value) => value.clone(),
        };
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            let message = format!("`{}` has {} bytes", self.path, value.len());
            let hint = format!("a secret has 1 to {SECRET_BYTES_MAX} bytes");
            return Err(self.problem("secret_missing", message, &hint));
        }
        Ok(Secret::new(value.as_bytes(), self.hosts.clone()))
    }

    /// By its name and hosts alone, for commands that run no step.
    pub(super) fn without_value(&self) -> Secret {
        Secret::new(Vec::new(), self.hosts.clone())
    }

    fn problem(&self, code: &'static str, message: String, hint: &str) -> Problem {
        let Self { line, column, path, .. } = self;
        let problem = Problem { path: path.clone(), line: *line, column: *column, code, message, hint: None };
        problem.with_hint(hint)
    }
}

/// `secrets`, by name.
pub(super) fn read(
    reader: &mut Reader,
    path: &str,
    value: &Value,
    folder: &Path,
) -> BTreeMap<String, SecretEntry> {
    let empty = Map::new();
    let named = reader.any_object(path, value).unwrap_or(&empty);
    let mut secrets = BTreeMap::new();
    for (name, value) in named {
        let path = join(path, name);
        if let Err(hint) = check_name(name) {
            reader.problem(
                &path,
                "invalid_name",
                format!("`{name}` is no name of a secret"),
                Some(hint.into()),
            );
        }
        secrets.extend(entry(reader, &path, value, folder).map(|entry| (name.clone(), entry)));
    }
    secrets
}

fn entry(reader: &mut Reader, path: &str, value: &Value, folder: &Path) -> Option<SecretEntry> {
    let keys = reader.object(path, value, KEYS)?;
    let sources: Vec<&str> =
        ["env", "file", "value"].into_iter().filter(|key| keys.contains_key(*key)).collect();
    let source = match sources.as_slice() {
        [key] => source(reader, &join(path, key), keys.get(*key)?, folder),
        [] => {
            let message = format!("`{path}` says neither `env`, `file` nor `value`");
            reader.problem(path, "missing_key", message, Some(EXAMPLE.to_owned()));
            None
        }
        several => {
            let message = format!("`{path}` says {} at once", listed(several.iter().copied()));
            reader.problem(path, "invalid_value", message, Some("keep one of them".to_owned()));
            None
        }
    };
    let hosts = match keys.get("hosts") {
        Some(hosts) => {
            let (rules, problems) = read_http(hosts);
            reader.adopt(&join(path, "hosts"), problems);
            rules
        }
        None => {
            let message = format!("`{path}` has no `hosts`");
            let hint = format!("say where it may go, {EXAMPLE}; `[]` is nowhere");
            reader.problem(path, "missing_key", message, Some(hint));
            return None;
        }
    };
    let at = reader.locate(path);
    Some(SecretEntry { source: source?, hosts, line: at.line, column: at.column, path: path.to_owned() })
}

fn source(reader: &mut Reader, path: &str, value: &Value, folder: &Path) -> Option<Source> {
    let text = reader.text(path, value)?;
    match path.rsplit('.').next() {
        Some("env") => Some(Source::Env(text.to_owned())),
        Some("file") => Some(Source::File(folder.join(text))),
        _ => Some(Source::Value(Zeroizing::new(text.to_owned()))),
    }
}

/// Without the line break that editors end a file with.
fn read_file(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    // One byte more than is admitted shows that there is more.
    File::open(path)?.take(SECRET_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    let whole = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text);
    Ok(Zeroizing::new(whole.to_owned()))
}
