//! The config file, the environment and the flags, made into one [`Config`]. Nothing else reads them.

mod capacity;
mod databases;
mod document;
mod email;
mod file;
mod grants;
pub mod interpolate;
mod locate;
mod network;
mod reader;
mod secrets;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use stepcell_core::{Budget, Limits};
use stepcell_sandbox::Secret;

pub(crate) use self::grants::file_key;
use self::interpolate::Variables;
pub use self::{
    capacity::{Concurrency, Retention},
    databases::{DatabaseEntry, MAIN},
    email::EmailEntry,
    grants::Grants,
    network::Network,
    secrets::SecretEntry,
};
use crate::{args::HostArgs, error::Error, listing::Listing};

/// The name that is looked for beside the flow and in the current folder.
pub const FILE_NAME: &str = "stepcell.yaml";

/// Where the server listens unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7420));

/// Where runs are kept unless told otherwise: below the current folder, as the plugins.
pub const DEFAULT_DATA: &str = "stepcell-data";

/// The plugin folder unless told otherwise. It need not be there.
pub const DEFAULT_PLUGINS: &str = "plugins";

/// How long a server that is told to stop lets attempts under way go on, unless told otherwise. Service managers kill
/// after 90 seconds or less.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// Everything that can be configured, with defaults filled in and paths that hold from the current folder.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from, for messages.
    pub file: Option<PathBuf>,
    pub listen: SocketAddr,
    /// Runs, blobs and the host key.
    pub data: PathBuf,
    pub store: StoreKind,
    pub plugins: Vec<PathBuf>,
    /// Of one execution.
    pub limits: Limits,
    /// Of one run.
    pub budget: Budget,
    /// Of runs and steps; what is over waits for its turn.
    pub concurrency: Concurrency,
    /// Of finished runs.
    pub retention: Retention,
    /// How long an event is kept that came before anybody waited for it; the engine's default where it is not set.
    pub events_kept: Option<Duration>,
    /// How long a server that is told to stop lets attempts under way go on.
    pub drain: Duration,
    /// By name. [`MAIN`] is there without being named.
    pub databases: BTreeMap<String, DatabaseEntry>,
    pub secrets: BTreeMap<String, SecretEntry>,
    pub email: Option<EmailEntry>,
    pub network: Network,
    pub grants: Grants,
}

/// Where runs are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoreKind {
    #[default]
    Sled,
    Memory,
}

/// What the flags say; they win over the environment, which wins over the file.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub data: Option<PathBuf>,
    pub plugins: Vec<PathBuf>,
}

impl From<&HostArgs> for Flags {
    fn from(args: &HostArgs) -> Self {
        Self { config: args.config.clone(), plugins: args.plugins.clone(), ..Self::default() }
    }
}

impl Config {
    /// Reads the file and lays the environment and the flags over it. `flow` is the flow file that the command
    /// is about: a config file beside it is found.
    pub fn load(flags: &Flags, flow: Option<&Path>) -> Result<Self, Error> {
        Self::load_with(flags, flow, &|name| std::env::var(name).ok())
    }

    /// The secrets with their values; all that can not be had are told at once.
    pub fn fetch_secrets(&self) -> Result<BTreeMap<String, Secret>, Error> {
        self.fetch_secrets_with(&|name| std::env::var(name).ok())
    }

    /// The secrets by name and hosts alone, for commands that run no step.
    pub fn secrets_without_values(&self) -> BTreeMap<String, Secret> {
        self.secrets.iter().map(|(name, entry)| (name.clone(), entry.without_value())).collect()
    }

    fn fetch_secrets_with(&self, variables: &Variables<'_>) -> Result<BTreeMap<String, Secret>, Error> {
        let mut secrets = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, entry) in &self.secrets {
            match entry.fetch(variables) {
                Ok(secret) => _ = secrets.insert(name.clone(), secret),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            return Ok(secrets);
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        let file = self.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        Err(Error::Problems(Listing::new(file, problems)))
    }

    fn load_with(flags: &Flags, flow: Option<&Path>, variables: &Variables<'_>) -> Result<Self, Error> {
        let found = locate::file(flags.config.as_deref(), flow, variables)?;
        let file = found.as_deref().map(|path| file::read(path, variables)).transpose()?.unwrap_or_default();
        let listen = match flags.listen.clone().map(|text| ("--listen", text)) {
            Some(given) => Some(given),
            None => variables("STEPCELL_LISTEN").map(|text| ("STEPCELL_LISTEN", text)),
        };
        let listen = listen.map(|(source, text)| address(source, &text)).transpose()?;
        let plugins = match flags.plugins.as_slice() {
            [] => variables("STEPCELL_PLUGINS").map(|text| std::env::split_paths(&text).collect()),
            folders => Some(folders.to_vec()),
        };
        let data = flags.data.clone().or_else(|| variables("STEPCELL_DATA").map(PathBuf::from));
        Ok(Self {
            listen: listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            data: data.or(file.data).unwrap_or_else(|| PathBuf::from(DEFAULT_DATA)),
            store: file.store.unwrap_or_default(),
            plugins: plugins.or(file.plugins).unwrap_or_else(|| vec![PathBuf::from(DEFAULT_PLUGINS)]),
            limits: file.limits,
            budget: file.budget,
            concurrency: file.concurrency,
            retention: file.retention,
            events_kept: file.events_kept,
            drain: file.drain.unwrap_or(DEFAULT_DRAIN),
            databases: file.databases,
            secrets: file.secrets,
            email: file.email,
            network: file.network,
            grants: file.grants,
            file: found,
        })
    }
}

fn address(source: &str, text: &str) -> Result<SocketAddr, Error> {
    let invalid = || format!("`{text}` in `{source}` is no address with a port");
    parse_address(text).map_err(|hint| Error::call("listen_invalid", invalid(), hint))
}

/// An IP address and a port; `localhost` is the one name that needs no look-up. The error is what to write.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().ok(),
    };
    let hint = "write an IP address and a port, such as `127.0.0.1:7420`; port 0 takes a free one";
    address.ok_or_else(|| hint.to_owned())
}

#[cfg(test)]
mod tests;
