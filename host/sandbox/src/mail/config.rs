//! The operator's mail server, as the config names it.

use std::{fmt, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lettre::{message::Mailbox, transport::smtp::authentication::Credentials};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use url::{Host, Url};

const URL_HINT: &str = "write `smtps://USER:PASSWORD@mail.example.com`, or `smtp://` with `?tls=required`, \
                        `?tls=opportunistic` or `?tls=none`";
const FROM_HINT: &str = "write an address, `flows@example.com`, or `Name <flows@example.com>`";

/// Where mail is handed in, and whose it is.
#[derive(Clone)]
pub struct MailConfig {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<Login>,
    pub(crate) from: Mailbox,
    /// Beside the platform's.
    pub(super) roots: Vec<CertificateDer<'static>>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Plain,
    /// STARTTLS where the server offers it. Who sits between can take the offer away.
    Opportunistic,
    /// STARTTLS, or no mail.
    Required,
    /// TLS from the first byte.
    Implicit,
}

/// Who we are to the server.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) credentials: Credentials,
    /// The password in every form that goes over the wire, to be kept out of messages.
    pub(super) hidden: Vec<String>,
}

/// What is wrong with `email` in the config. Never holds the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MailConfigError {
    /// Within `email`: `url` or `from`.
    pub key: &'static str,
    pub message: String,
    pub hint: &'static str,
}

impl MailConfig {
    /// `url` is `smtps://` or `smtp://`, the latter with `?tls=required` (the default, but for this very host),
    /// `opportunistic` or `none`; user and password stand in it, percent-encoded. `roots` are trusted beside the
    /// platform's. Connects to nothing.
    pub fn new(url: &str, from: &str, roots: Vec<CertificateDer<'static>>) -> Result<Self, MailConfigError> {
        let bad = |message: &str| MailConfigError { key: "url", message: message.to_owned(), hint: URL_HINT };
        let url = Url::parse(url).map_err(|error| bad(&format!("it is no address: {error}")))?;
        let host = host(&url).ok_or_else(|| bad("it names no host"))?;
        let security = security(&url, is_this_host(&host)).map_err(|message| bad(&message))?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(bad("it has more than a host, a port and `?tls=`"));
        }
        let port = url.port().unwrap_or(match security {
            Security::Plain => 25,
            Security::Opportunistic | Security::Required => 587,
            Security::Implicit => 465,
        });
        let login = login(&url).map_err(bad)?;
        Ok(Self { host: plain(&host), port, security, login, from: sender(from)?, roots })
    }

    /// As messages name it.
    pub(crate) fn server(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Never the login.
impl fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailConfig").field("server", &self.server()).finish_non_exhaustive()
    }
}

fn sender(from: &str) -> Result<Mailbox, MailConfigError> {
    let refused = |message: String| MailConfigError { key: "from", message, hint: FROM_HINT };
    if from.contains(char::is_control) {
        return Err(refused("it holds a control character".to_owned()));
    }
    from.parse().map_err(|_| refused(format!("`{from}` is no address of mail")))
}

fn host(url: &Url) -> Option<Host> {
    // The scheme is none of the web's: the host comes as it was written.
    Host::parse(url.host_str()?).ok()
}

/// Without the brackets of an IPv6 address: that is how it is resolved and verified.
fn plain(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.trim_end_matches('.').to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

fn is_this_host(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name.trim_end_matches('.') == "localhost",
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
    }
}

fn security(url: &Url, this_host: bool) -> Result<Security, String> {
    let mut tls = None;
    for (key, value) in url.query_pairs() {
        if key != "tls" || tls.replace(value).is_some() {
            return Err(format!("it has the parameter `{}`, and may have one `tls`", key.escape_debug()));
        }
    }
    match (url.scheme(), tls.as_deref()) {
        ("smtps", None) => Ok(Security::Implicit),
        ("smtps", Some(_)) => Err("`smtps` is TLS already, and takes no `tls`".to_owned()),
        // What leaves this host leaves it encrypted, unless somebody wrote otherwise.
        ("smtp", None) if this_host => Ok(Security::Plain),
        ("smtp", None | Some("required")) => Ok(Security::Required),
        ("smtp", Some("opportunistic")) => Ok(Security::Opportunistic),
        ("smtp", Some("none")) => Ok(Security::Plain),
        ("smtp", Some(other)) => Err(format!("`{}` is no value of `tls`", other.escape_debug())),
        (other, _) => Err(format!("`{other}` is no scheme of a mail server")),
    }
}

fn login(url: &Url) -> Result<Option<Login>, &'static str> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
    let user = decoded(url.username()).map_err(|_| "its user is no UTF-8")?;
    let password = decoded(url.password().unwrap_or_default()).map_err(|_| "its password is no UTF-8")?;
    match (user.is_empty(), password.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(Login::new(user, password))),
        _ => Err("it has a user without a password, or a password without a user"),
    }
}

impl Login {
    fn new(user: String, password: String) -> Self {
        let hidden = vec![
            BASE64_STANDARD.encode(format!("\0{user}\0{password}")),
            BASE64_STANDARD.encode(&password),
            password.clone(),
        ];
        Self { credentials: Credentials::new(user, password), hidden }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<MailConfig, MailConfigError> {
        MailConfig::new(url, "flows@example.com", Vec::new())
    }

    #[track_caller]
    fn check(url: &str, server: &str, security: Security, login: bool) {
        let config = config(url).unwrap();
        assert_eq!((config.server().as_str(), config.security), (server, security), "{url}");
        assert_eq!(config.login.is_some(), login, "{url}");
    }

    #[test]
    fn what_leaves_this_host_is_encrypted_by_default() {
        check("smtp://mail.example.com", "mail.example.com:587", Security::Required, false);
        check("smtps://mail.example.com", "mail.example.com:465", Security::Implicit, false);
        check("smtp://127.0.0.1:2525", "127.0.0.1:2525", Security::Plain, false);
        check("smtp://[::1]", "[::1]:25", Security::Plain, false);
        check("smtp://localhost", "localhost:25", Security::Plain, false);
        check("smtp://relay?tls=none", "relay:25", Security::Plain, false);
        check("smtp://relay:26?tls=opportunistic", "relay:26", Security::Opportunistic, false);
        check("smtps://me%40x.org:p%3Aw@mail.example.com/", "mail.example.com:465", Security::Implicit, true);
    }

    #[track_caller]
    fn check_refused(url: &str, message: &str) {
        let error = config(url).unwrap_err();
        assert!(error.message.contains(message), "{url}: {error}");
        assert!(!error.message.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_no_mail_server_is_refused() {
        check_refused("mail.example.com", "no address");
        check_refused("http://mail.example.com", "`http` is no scheme");
        check_refused("smtp://mail.example.com?tls=maybe", "`maybe`");
        check_refused("smtp://mail.example.com?password=hunter2", "`password`");
        check_refused("smtps://mail.example.com?tls=none", "TLS already");
        check_refused("smtp://mail.example.com/inbox", "more than a host");
        check_refused("smtp://:hunter2@mail.example.com", "without a user");
        check_refused("smtp:mail.example.com", "no host");
    }

    #[test]
    fn the_sender_is_one_address() {
        let error = MailConfig::new("smtp://localhost", "a@x.org, b@x.org", Vec::new()).unwrap_err();
        assert_eq!(error.key, "from");
        let error = MailConfig::new("smtp://localhost", "a@x.org\r\nbcc: b@x.org", Vec::new()).unwrap_err();
        assert_eq!(error.key, "from");
        assert!(MailConfig::new("smtp://localhost", "Flows <flows@x.org>", Vec::new()).is_ok());
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = config("smtp://me:hunter2@mail.example.com").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
