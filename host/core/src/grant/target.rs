//! Where a request is to go, as its author wrote it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use url::Url;

/// The longest URL in bytes. Protects logs, events and the peer's own limits.
pub const MAX_URL_BYTES: usize = 16 << 10;
/// How much of an address that does not parse is repeated in a message.
const MAX_SHOWN_CHARS: usize = 200;

/// An address that no grant could ever admit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{target}` is refused: {reason}")]
pub struct TargetError {
    /// As much of it as may be shown: never user info or query.
    pub target: String,
    pub reason: String,
}

impl TargetError {
    fn new(target: String, reason: impl Into<String>) -> Self {
        Self { target, reason: reason.into() }
    }
}

/// A URL that could be asked for: `http` or `https`, no user info, a host in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// Normalised, without fragment.
    url: Url,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

/// Lower case, IDNA applied, no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

impl Target {
    /// Refuses whatever no grant could ever admit.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let refuse = |reason: String| TargetError::new(shown_raw(text), reason);
        if text.len() > MAX_URL_BYTES {
            return Err(refuse(format!("the address is longer than {MAX_URL_BYTES} bytes")));
        }
        // The parser would drop tabs and line breaks in silence; another reader may see another host.
        if text.chars().any(char::is_control) {
            return Err(refuse("the address holds a control character".to_owned()));
        }
        let url = Url::parse(text).map_err(|error| refuse(format!("no absolute URL: {error}")))?;
        Self::from_url(url)
    }

    /// A redirect's `Location`, relative to this target.
    pub fn join(&self, location: &str) -> Result<Self, TargetError> {
        if location.chars().any(char::is_control) {
            return Err(TargetError::new(shown_raw(location), "the address holds a control character"));
        }
        match self.url.join(location) {
            Ok(url) if url.as_str().len() <= MAX_URL_BYTES => Self::from_url(url),
            Ok(url) => Err(TargetError::new(
                shown_url(&url),
                format!("the address is longer than {MAX_URL_BYTES} bytes"),
            )),
            Err(error) => Err(TargetError::new(shown_raw(location), format!("no URL: {error}"))),
        }
    }

    fn from_url(mut url: Url) -> Result<Self, TargetError> {
        let refuse = |url: &Url, reason: &str| Err(TargetError::new(shown_url(url), reason));
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return refuse(&url, &format!("the scheme is `{other}`, not http or https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(&url, "the address holds a user or password; use a header");
        }
        let host = match url.host() {
            Some(url::Host::Ipv4(address)) => Host::Address(address.into()),
            Some(url::Host::Ipv6(address)) => Host::Address(address.into()),
            Some(url::Host::Domain(name)) => Host::Name(name.strip_suffix('.').unwrap_or(name).to_owned()),
            None => return refuse(&url, "the address has no host"),
        };
        if let Host::Name(name) = &host {
            if let Err(reason) = check_name(name) {
                return refuse(&url, reason);
            }
            // Without the trailing dot everywhere: in `Host`, in the server name and in what is shown.
            if url.host_str() != Some(name) && url.set_host(Some(name)).is_err() {
                return refuse(&url, "the host is no host name");
            }
        }
        let port = url.port_or_known_default().unwrap_or(0);
        if port == 0 {
            return refuse(&url, "the port is 0");
        }
        url.set_fragment(None);
        Ok(Self { scheme, host, port, url })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Without fragment.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// `https://example.com`, with the port where it is not the default one.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    /// What goes into the `Host` header.
    pub fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    /// `example.com:443`, for messages about a connection.
    pub fn peer(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Origin and path. Without the query, which may hold a key.
    pub fn shown(&self) -> String {
        format!("{}{}", self.origin(), self.url.path())
    }

    /// The request line's target.
    pub fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

impl Scheme {
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl Host {
    /// The one name that is never asked of the network (RFC 6761).
    pub const LOCALHOST: &'static str = "localhost";
    pub const LOCALHOST_ADDRESSES: [IpAddr; 2] =
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

    pub fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == Self::LOCALHOST)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// The URL parser lets through much that no name server knows; a resolver may read such a name in its own way.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    const MAX_NAME_BYTES: usize = 253;
    const MAX_LABEL_BYTES: usize = 63;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.len() > MAX_NAME_BYTES {
        return Err("the host name is longer than 253 bytes");
    }
    if name.split('.').any(|label| label.is_empty() || label.len() > MAX_LABEL_BYTES) {
        return Err("the host name has an empty label or one over 63 bytes");
    }
    if !name.bytes().all(|byte| byte == b'.' || legal(byte)) {
        return Err("the host name holds a character that host names do not have");
    }
    Ok(())
}

/// As much of a refused address as may stand in an event: no user info, no query, not too long.
fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    // Schemes without an authority refuse these two; they have nothing to hide there either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().chars().take(MAX_SHOWN_CHARS).collect()
}

/// The same for what is no URL: all up to the last `@` goes, however odd.
fn shown_raw(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = match (text.find("//"), text.rfind('@')) {
        (Some(start), Some(at)) if at > start => {
            format!("{}//{}", text.get(..start).unwrap_or_default(), text.get(at + 1..).unwrap_or_default())
        }
        (None, Some(at)) => text.get(at + 1..).unwrap_or_default().to_owned(),
        _ => text.to_owned(),
    };
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, origin: &str, path: &str) {
        let target = Target::parse(text).unwrap();
        assert_eq!((target.origin().as_str(), target.path_and_query()), (origin, path), "{text}");
    }

    #[test]
    fn a_host_has_one_spelling() {
        check("HTTP://EXAMPLE.com", "http://example.com", "/");
        check("http://example.com.:80/", "http://example.com", "/");
        check("https://example.com:443/a?b#c", "https://example.com", "/a?b");
        check("http://bücher.example/ü", "http://xn--bcher-kva.example", "/%C3%BC");
        check("http://0x7f.1:8080/a/../b", "http://127.0.0.1:8080", "/b");
        check("http://2130706433", "http://127.0.0.1", "/");
        check("http://127.0.0.1./", "http://127.0.0.1", "/");
        check("http://%31%32%37.0.0.1/", "http://127.0.0.1", "/");
        check("http://[0:0::1]:81/", "http://[::1]:81", "/");
        check("http://example.com\\@evil.example/", "http://example.com", "/@evil.example/");
    }

    #[test]
    fn a_refused_address_shows_no_secret() {
        let shown = |text: &str| Target::parse(text).unwrap_err().target;
        assert_eq!(shown("http://user:pass@example.com/a?key=1"), "http://example.com/a");
        assert_eq!(shown("http://user:p@ss@exa mple.com/"), "http://exa mple.com/");
        assert_eq!(shown("ftp://example.com/x"), "ftp://example.com/x");
        assert_eq!(shown(&format!("x{}", "y".repeat(1000))).len(), MAX_SHOWN_CHARS);
    }

    #[test]
    fn a_redirect_is_read_like_the_first_address() {
        let target = Target::parse("https://example.com/a/b?c").unwrap();
        assert_eq!(target.join("../d").unwrap().url().as_str(), "https://example.com/d");
        assert_eq!(target.join("//other.example").unwrap().origin(), "https://other.example");
        assert!(target.join("ftp://example.com/").is_err());
        assert!(target.join("//user@example.com/").is_err());
        assert!(target.join("http://127.0.0.1\t.example.com/").is_err());
    }
}
