//! Where the database is and how to log in, as the URL in the config says it.

use std::{net::IpAddr, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

/// Of one connection, where the URL sets no `connect_timeout`: a step should have time left to try again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the peer may leave sent bytes unanswered, where the URL sets no `tcp_user_timeout`: a machine that is
/// gone says nothing, and a pool full of connections to it would be of no use.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// After how long without traffic a connection is probed, so that nothing on the way forgets it.
const KEEPALIVE: Duration = Duration::from_secs(60);

const PORT: u16 = 5432;

/// A URL that was understood.
pub(super) struct Address {
    /// Everything but hosts and ports.
    pub(super) login: Config,
    /// Tried in this order.
    pub(super) hosts: Vec<Peer>,
    pub(super) security: Security,
}

/// One host of the URL.
pub(super) struct Peer {
    /// Its name, for TLS, or a folder with sockets.
    pub(super) host: Host,
    /// The URL's word over the name servers'.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

/// How far a connection is secured, named as in the URL's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Disable,
    /// TLS where the server has it. Protects against nobody who can change the traffic, so that no certificate is
    /// checked either.
    Prefer,
    /// TLS or nothing. The certificate is checked, without its name, only where the config gives authorities (`ca`):
    /// so it is everywhere else, and servers with a certificate of their own making are common.
    Require,
    /// The certificate has to be signed by an authority, whatever the name in it.
    VerifyCa,
    /// The name has to be right as well.
    VerifyFull,
}

impl Address {
    /// `has_authorities`: the config names certificates for this database, which says that they are to be checked.
    pub(super) fn read(url: &str, has_authorities: bool) -> Result<Self, String> {
        let (url, mode) = without_mode(url);
        let security = match mode.as_deref() {
            None if has_authorities => Security::VerifyFull,
            None => Security::Prefer,
            Some(mode) => Security::read(mode)?,
        };
        // The library's error names options, never values, so that no password is in it.
        let config: Config = url.parse().map_err(|error: tokio_postgres::Error| reason(&error))?;
        if config.get_user().is_none() {
            return Err("there is no user in it: write postgres://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        let hosts = hosts(&config);
        if hosts.is_empty() {
            return Err("there is no host in it: write postgres://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        let mut login = login(&config);
        login.ssl_mode(security.asked());
        Ok(Self { login, hosts, security })
    }

    /// `HOST:PORT`, or the folder of the socket; all of them where there are several.
    pub(super) fn peer(&self) -> String {
        let shown = |Peer { host, port, .. }: &Peer| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(folder) => folder.display().to_string(),
        };
        self.hosts.iter().map(shown).collect::<Vec<_>>().join(",")
    }

    /// Whether every host is this machine, so that nobody is on the way.
    pub(super) fn is_local(&self) -> bool {
        self.hosts.iter().all(|Peer { host, address, .. }| match (host, address) {
            (_, Some(address)) => address.is_loopback(),
            (Host::Tcp(name), None) => {
                name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
            (Host::Unix(_), None) => true,
        })
    }
}

impl Security {
    fn read(mode: &str) -> Result<Self, String> {
        match mode {
            "disable" => Ok(Self::Disable),
            "prefer" | "allow" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err("`sslmode` is one of disable, prefer, require, verify-ca, verify-full".to_owned()),
        }
    }

    /// What the library has to ask the server for.
    fn asked(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

/// Takes `sslmode` out: the library knows only some of its values. Not by a parser of URLs, which refuse those with
/// several hosts.
fn without_mode(url: &str) -> (String, Option<String>) {
    let Some((front, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut mode = None;
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.strip_prefix("sslmode=") {
            Some(value) => mode = Some(value.to_owned()),
            None => kept.push(pair),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    (format!("{front}{mark}{}", kept.join("&")), mode)
}

fn hosts(config: &Config) -> Vec<Peer> {
    let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let peer = |nth: usize| {
        let address = addresses.get(nth).copied();
        let host =
            names.get(nth).cloned().or_else(|| address.map(|address| Host::Tcp(address.to_string())))?;
        let port = ports.get(nth).or(ports.first()).copied().unwrap_or(PORT);
        Some(Peer { host, address, port })
    };
    (0..names.len().max(addresses.len())).filter_map(peer).collect()
}

fn login(config: &Config) -> Config {
    let mut login = Config::new();
    if let Some(user) = config.get_user() {
        login.user(user);
    }
    if let Some(password) = config.get_password() {
        login.password(password);
    }
    if let Some(name) = config.get_dbname() {
        login.dbname(name);
    }
    if let Some(options) = config.get_options() {
        login.options(options);
    }
    login
        .application_name(config.get_application_name().unwrap_or("stepcell"))
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .ssl_negotiation(config.get_ssl_negotiation())
        .connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT))
        .tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(SILENCE_MAX))
        .keepalives_idle(KEEPALIVE);
    login
}

/// The library's error with what is behind it, on one line.
pub(super) fn reason(error: &tokio_postgres::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        let part = match error.downcast_ref::<std::io::Error>() {
            // The number of the system's error says nothing to a reader.
            Some(io) if io.raw_os_error().is_some() => io.kind().to_string(),
            _ => error.to_string(),
        };
        if !parts.iter().any(|earlier| earlier.contains(&part)) {
            parts.push(part);
        }
        next = error.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::{Address, Security};

    fn address(url: &str) -> Address {
        Address::read(url, false).unwrap_or_else(|reason| panic!("{url}: {reason}"))
    }

    #[track_caller]
    fn refused(url: &str, why: &str) {
        let reason = Address::read(url, false).err().unwrap_or_default();
        assert!(reason.contains(why), "{url}: {reason}");
        assert!(!reason.contains("hidden"), "{reason}");
    }

    #[test]
    fn a_peer_is_host_and_port_without_the_login() {
        assert_eq!(address("postgres://me:hidden@db.example.com/shop").peer(), "db.example.com:5432");
        assert_eq!(address("postgres://me:hidden@[::1]:5433/shop").peer(), "[::1]:5433");
        assert_eq!(address("postgres://me:hidden@a:1,b:2/shop").peer(), "a:1,b:2");
        assert_eq!(address("postgres:///shop?host=/run/postgresql&user=me").peer(), "/run/postgresql");
    }

    #[test]
    fn the_mode_of_tls_is_the_url_s_and_else_what_there_is() {
        let security = |url: &str, ca| Address::read(url, ca).unwrap().security;
        assert_eq!(security("postgres://me@h/d", false), Security::Prefer);
        assert_eq!(security("postgres://me@h/d", true), Security::VerifyFull);
        assert_eq!(security("postgres://me@h/d?sslmode=require", true), Security::Require);
        assert_eq!(
            security("postgres://me@h/d?application_name=x&sslmode=verify-full", false),
            Security::VerifyFull
        );
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_password() {
        refused("postgres://me:hidden@h/d?sslmode=yes", "verify-full");
        refused("postgres://me:hidden@h/d?sslrootcert=x", "sslrootcert");
        refused("postgres://h/d?password=hidden", "no user");
        refused("postgres:///d?user=me&password=hidden", "no host");
        refused("me:hidden@h", "");
    }

    #[test]
    fn only_loopback_and_sockets_are_local() {
        assert!(address("postgres://me@127.0.0.1/d").is_local());
        assert!(address("postgres://me@localhost,[::1]/d").is_local());
        assert!(address("postgres:///d?host=/run/postgresql&user=me").is_local());
        assert!(address("postgres://me@db.example.com/d?hostaddr=127.0.0.1").is_local());
        assert!(!address("postgres://me@127.0.0.1,db.example.com/d").is_local());
    }
}
