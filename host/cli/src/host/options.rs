//! The config as the sandbox takes it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use stepcell_core::{Digest, grant::Grant};
use stepcell_database::{Databases, Named};
use stepcell_sandbox::{
    Compiler, MailConfig, Options,
    connector::{self, NameServers, certificates_from_pem},
    shipped_grant,
};

use tokio::runtime::Handle;

use super::folders;
use crate::{
    args::Global,
    config::{Config, DEFAULT_PLUGINS, DatabaseEntry, EmailEntry, Network},
    error::Error,
    output::note,
};

/// The largest file of certificates, in bytes. Protects memory from a path that names something else; the roots
/// of a whole platform take a quarter of it.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

type Certificate = rustls::pki_types::CertificateDer<'static>;

/// For commands that run steps: with the values of the secrets.
pub(super) async fn running(
    config: &Config,
    global: &Global,
    host_key: [u8; 32],
    watch: bool,
) -> Result<Options, Error> {
    let (config, global) = (config.clone(), global.clone());
    blocking(move || {
        let secrets = config.fetch_secrets()?;
        let email = config.email.as_ref().map(|email| mail(email, &config.network)).transpose()?;
        let connector = connector(&config.network)?;
        let databases = Some(databases(&config)?);
        Ok(Options { secrets, databases, email, connector, host_key, watch, ..plain(&config, &global)? })
    })
    .await
}

/// For commands that look at plugins and run no step of a flow.
pub(super) async fn describing(config: &Config, global: &Global) -> Result<Options, Error> {
    let (config, global) = (config.clone(), global.clone());
    blocking(move || {
        let secrets = config.secrets_without_values();
        Ok(Options { secrets, host_key: fresh_key(), ..plain(&config, &global)? })
    })
    .await
}

/// For runs that end with the process: nobody asks for the same randomness again.
pub(super) fn fresh_key() -> [u8; 32] {
    rand::random()
}

/// What a file gets by default, if it is one of those that come with the host, wherever it lies.
pub(super) async fn shipped(
    builtins: Option<PathBuf>,
    digest: Option<Digest>,
) -> Result<Option<Arc<Grant>>, Error> {
    let (Some(folder), Some(digest)) = (builtins, digest) else { return Ok(None) };
    blocking(move || Ok(shipped_grant(&folder, digest))).await
}

/// What needs nothing but the config itself.
fn plain(config: &Config, global: &Global) -> Result<Options, Error> {
    let program = std::env::current_exe().map_err(|error| {
        Error::system("this program can not find its own file, which compiles plugins", error)
    })?;
    note_missing(&config.plugins);
    let builtins = folders::builtins(&program);
    let compiler = Compiler { program, args: vec!["compile-plugin".into()] };
    Ok(Options {
        folders: config.plugins.clone(),
        builtins,
        limits: config.limits,
        grants: config.grants.by_type.clone(),
        file_grants: config.grants.by_file.clone(),
        ..Options::new(folders::cache(global.cache.as_deref())?, compiler)
    })
}

/// A folder that somebody named is missed. The server goes on looking for it.
fn note_missing(folders: &[PathBuf]) {
    let missing = |folder: &&PathBuf| folder.as_path() != Path::new(DEFAULT_PLUGINS) && !folder.is_dir();
    for folder in folders.iter().filter(missing) {
        note(&format!("warning: the plugin folder `{}` is not there", folder.display()));
    }
}

fn connector(network: &Network) -> Result<connector::Options, Error> {
    let mut options = connector::Options { extra_roots: roots(&network.ca)?, ..Default::default() };
    if let Some(connections) = network.connections {
        options.concurrency_max = connections;
    }
    if let Some(connect) = network.connect {
        options.connect_timeout = connect;
    }
    if !network.dns.is_empty() {
        let servers = NameServers::new(&network.dns)
            .map_err(|error| Error::system("the name servers of `network.dns` can not be used", error))?;
        options.resolver = Arc::new(servers);
    }
    Ok(options)
}

fn databases(config: &Config) -> Result<Databases, Error> {
    let mut named = BTreeMap::new();
    for (name, entry) in &config.databases {
        let DatabaseEntry { url, role, connections, time, ca } = entry;
        let mut trusted = roots(ca)?;
        // SQLite has nobody to trust.
        if !url.starts_with("sqlite:") {
            trusted.extend(roots(&config.network.ca)?);
        }
        let database = Named {
            url: url.to_string(),
            role: role.clone(),
            connections: *connections,
            statement_time: *time,
            ca: trusted,
        };
        named.insert(name.clone(), database);
    }
    Databases::open(named, &config.data, &Handle::current()).map_err(|error| {
        Error::call(
            "config_invalid",
            format!("the databases can not be used: {error}"),
            "mend `databases` in the config",
        )
    })
}

fn mail(email: &EmailEntry, network: &Network) -> Result<MailConfig, Error> {
    let mut trusted = roots(&network.ca)?;
    trusted.extend(roots(&email.ca)?);
    MailConfig::new(&email.url, &email.from, trusted).map_err(|error| {
        Error::call("config_invalid", format!("`email.{}` can not be used: {error}", error.key), error.hint)
    })
}

/// The certificates of all files.
fn roots(files: &[PathBuf]) -> Result<Vec<Certificate>, Error> {
    let mut found = Vec::new();
    for file in files {
        let certificates =
            read(file).map_err(anyhow::Error::from).and_then(|pem| Ok(certificates_from_pem(&pem)?));
        found.extend(certificates.map_err(|error| {
            Error::call(
                "certificates_invalid",
                format!("the certificates in `{}` can not be used: {error:#}", file.display()),
                "`ca` names PEM files with the certificates of authorities",
            )
        })?);
    }
    Ok(found)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(CERTIFICATES_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Files are read on a thread that may wait for them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::system("reading the config's files was cut short", error))?
}
