//! What the sandbox is started with.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use stepcell_core::{Digest, Limits};
use stepcell_database::Databases;

use crate::{Grant, MailConfig, Secret, connector};

/// Everything the operator decides. The command line fills it in.
#[derive(Clone)]
pub struct Options {
    /// Plugin folders, in the order of the config. Their files win over the built-ins.
    pub folders: Vec<PathBuf>,
    /// Where the plugins that come with the host lie; they get their default grants, by digest.
    pub builtins: Option<PathBuf>,
    /// Compiled code. Only this user may be able to write there: what lies in it is run as it is.
    pub cache: PathBuf,
    /// Makes the randomness of steps unguessable; kept in the data folder.
    pub host_key: [u8; 32],
    /// Of one execution, where no grant says otherwise.
    pub limits: Limits,
    /// By step type.
    pub grants: BTreeMap<String, Grant>,
    /// By step type and file; they win over those by type alone.
    pub file_grants: BTreeMap<(String, Digest), Grant>,
    pub secrets: BTreeMap<String, Secret>,
    /// Opened already. None for a command that runs nothing.
    pub databases: Option<Databases>,
    /// The server that takes mail; nobody sends any where there is none.
    pub email: Option<MailConfig>,
    pub compiler: Compiler,
    /// Whether changes in the folders are followed; a command that ends soon need not.
    pub watch: bool,
    /// Outbound connections.
    pub connector: connector::Options,
}

impl Options {
    /// No folders, no grants, the default limits; `cache` and `compiler` have no default.
    pub fn new(cache: PathBuf, compiler: Compiler) -> Self {
        Self {
            folders: Vec::new(),
            builtins: None,
            cache,
            host_key: [0; 32],
            limits: Limits::default(),
            grants: BTreeMap::new(),
            file_grants: BTreeMap::new(),
            secrets: BTreeMap::new(),
            databases: None,
            email: None,
            compiler,
            watch: false,
            connector: connector::Options::default(),
        }
    }
}

/// The program that compiles one component in a process of its own.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// Usually this very program.
    pub program: PathBuf,
    /// What stands before the two paths, such as `compile-plugin`. The program has to hand the paths to
    /// [`compile_child`](crate::compile_child).
    pub args: Vec<OsString>,
}
