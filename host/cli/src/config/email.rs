//! The server that takes mail.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stepcell_sandbox::MailConfig;
use zeroize::Zeroizing;

use super::reader::{Reader, join};

const KEYS: &[&str] = &["url", "from", "ca"];
const EXAMPLE: &str =
    "such as `{ url: \"smtps://USER:PASSWORD@mail.example.com\", from: flows@example.com }`";

/// `email` of the config; it was checked when it was read.
#[derive(Clone)]
pub struct EmailEntry {
    /// May hold a password.
    pub url: Zeroizing<String>,
    pub from: String,
    /// Files with roots that are trusted beside the platform's.
    pub ca: Vec<PathBuf>,
}

/// Never the password.
impl fmt::Debug for EmailEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailEntry").field("from", &self.from).field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// `email`.
pub(super) fn read(reader: &mut Reader, path: &str, value: &Value, folder: &Path) -> Option<EmailEntry> {
    let keys = reader.object(path, value, KEYS)?;
    let mut text = |key: &str| {
        let Some(value) = keys.get(key) else {
            reader.problem(path, "missing_key", format!("`{path}` has no `{key}`"), Some(EXAMPLE.to_owned()));
            return None;
        };
        reader.text(&join(path, key), value).map(str::to_owned)
    };
    let (url, from) = (text("url"), text("from"));
    let ca = reader.paths(&join(path, "ca"), keys.get("ca"), folder);
    let entry = EmailEntry { url: Zeroizing::new(url?), from: from?, ca };
    if let Err(error) = MailConfig::new(&entry.url, &entry.from, Vec::new()) {
        let path = join(path, error.key);
        let message = format!("`{path}` can not be used: {error}");
        reader.problem(&path, "invalid_value", message, Some(error.hint.to_owned()));
        return None;
    }
    Some(entry)
}
