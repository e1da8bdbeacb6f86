//! What a step may reach of the world: the rules, how they are written, and what they admit. Pure: nothing here
//! resolves a name or opens a file.
//!
//! The operator grants by step type, in `stepcell.yaml`; a flow and a step can only narrow that. Both are
//! written alike, so one type serves both: [`Grant`].

pub mod address;
mod database;
mod email;
mod files;
mod host;
mod http;
mod limits;
mod narrow;
mod path;
mod read;
pub mod target;
mod widen;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::LimitsPatch;

pub(crate) use self::limits::{budget, limits};
pub use self::{
    database::{DatabaseAccess, DatabaseRule, TablePattern},
    email::RecipientPattern,
    files::{FileAccess, FileRule},
    http::{HttpRule, METHODS, RuleError},
    narrow::Narrowed,
    read::{
        GrantProblem, Level, MAX_ENTRIES, MAX_NAME_BYTES, check_name, read_budget, read_http, read_limits,
    },
    target::{Host, Scheme, Target, TargetError},
    write::Yaml,
};

/// What is allowed, by capability.
///
/// `None` means: as the operator's word, nothing; as the word of a flow or a step, no narrowing. An empty list is
/// nothing in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// One of them has to admit a request.
    pub http: Option<Vec<HttpRule>>,
    /// Names of secrets in the config.
    pub secrets: Option<BTreeSet<String>>,
    /// By the name of a database in the config.
    pub databases: Option<BTreeMap<String, DatabaseRule>>,
    /// Whom mail may be sent to. One of them has to admit each recipient.
    pub email: Option<Vec<RecipientPattern>>,
    pub blobs: Option<BlobAccess>,
    pub files: Option<Vec<FileRule>>,
    /// As the operator's word: instead of the limits that hold for all step types. A flow and a step set theirs
    /// under their own `limits`.
    pub limits: LimitsPatch,
}

/// What a step may do with the store's blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlobAccess {
    Read,
    /// Reading included.
    Write,
}

impl Grant {
    /// Any public address on the default ports: what the shipped `http_request`, `webhook` and `llm_call` get without
    /// a line of config.
    pub fn public_http() -> Self {
        Self { http: Some(vec![HttpRule::any_http(), HttpRule::any_https()]), ..Self::default() }
    }
}
