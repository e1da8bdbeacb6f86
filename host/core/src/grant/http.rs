//! One line of a grant: what may be asked for over HTTP.

use std::{fmt, net::IpAddr};

use http::Method;
use ipnet::IpNet;
use serde_json::Value;

use super::{
    address,
    host::HostPattern,
    path::PathPrefix,
    read::list,
    target::{Scheme, Target},
    write::object,
};
use crate::{
    parse::{Field, Fields, Kind},
    problem::Problems,
};

/// The methods that a step can send; `CONNECT` and `TRACE` are for proxies.
pub const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];

/// Scheme, host, port, path prefix, methods and networks. A request needs one rule that admits all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRule {
    scheme: Scheme,
    host: HostPattern,
    port: Port,
    path: PathPrefix,
    /// Empty: all.
    methods: Vec<Method>,
    /// What a host name may resolve to beside public addresses.
    networks: Vec<IpNet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Any,
    Exactly(u16),
}

/// A rule that can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the http rule `{rule}` can not be read: {reason}")]
pub struct RuleError {
    pub rule: String,
    pub reason: String,
    /// A rule that can be read.
    pub hint: Option<&'static str>,
}

impl HttpRule {
    /// Reads `https://*`, `https://*.example.com/v1/`, `http://127.0.0.1:8080` or `https://example.com:*`.
    /// Without a port it is the scheme's default one. `localhost` and an address admit exactly themselves;
    /// a host name admits private addresses only by [`Self::with_networks`].
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        Self::read(text).map_err(|reason| RuleError {
            rule: text.to_owned(),
            reason,
            hint: Some("write it as `https://api.example.com`, `http://127.0.0.1:8080` or `https://*`"),
        })
    }

    /// Narrows the rule to some methods. None at all is an error: leave the key out to allow all.
    pub fn with_methods<T: AsRef<str>>(mut self, methods: &[T]) -> Result<Self, RuleError> {
        for text in methods {
            let text = text.as_ref();
            let known = METHODS.iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
            let Some(method) = known else {
                return Err(self.error(format!("`{text}` is no method that a step can send")));
            };
            if !self.methods.contains(method) {
                self.methods.push(method.clone());
            }
        }
        if self.methods.is_empty() {
            return Err(self.error("`methods` is empty; leave it out to allow all".to_owned()));
        }
        Ok(self)
    }

    /// The networks that a host name may resolve into beside public addresses.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Widens the rule to private networks, such as `10.0.0.0/8` or a single address.
    pub fn with_networks<T: AsRef<str>>(mut self, networks: &[T]) -> Result<Self, RuleError> {
        for text in networks {
            let text = text.as_ref();
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            match network {
                Ok(network) if mapped(network) => {
                    return Err(self.error(format!("`{text}` is IPv4 in disguise; write it as IPv4")));
                }
                Ok(network) => self.networks.push(network.trunc()),
                Err(_) => {
                    return Err(self.error(format!("`{text}` is no network, such as `10.0.0.0/8`")));
                }
            }
        }
        Ok(self)
    }

    /// Whether scheme, host, port, path and method fit. Where the host is a name, what it resolves to has to
    /// pass [`Self::admits_address`] as well.
    pub fn admits(&self, target: &Target, method: &Method) -> bool {
        self.admits_origin(target) && self.path.admits(target.url().path()) && self.admits_method(method)
    }

    /// Whether this address may be connected to, once [`Self::admits`] said yes.
    pub fn admits_address(&self, address: IpAddr) -> bool {
        self.host.names(address) || address::admitted(address, &self.networks)
    }

    /// As the word of a flow or a step, which only narrows: whether it leaves this address, of what the operator
    /// admits, to a host that [`Self::admits`] said yes to. A rule that names its host leaves the addresses to the
    /// operator, unless it has networks of its own; `*` names none and means the public ones.
    pub fn leaves_address(&self, address: IpAddr) -> bool {
        (self.networks.is_empty() && self.host.is_named()) || self.admits_address(address)
    }

    pub fn any_http() -> Self {
        Self::any(Scheme::Http)
    }

    pub fn any_https() -> Self {
        Self::any(Scheme::Https)
    }

    pub fn admits_origin(&self, target: &Target) -> bool {
        self.scheme == target.scheme()
            && match self.port {
                Port::Any => true,
                Port::Exactly(port) => port == target.port(),
            }
            && self.host.matches(target.host())
    }

    fn admits_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Whether it is a rule for the same address that admits whatever `other` does.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty()
                && other.methods.iter().all(|method| self.methods.contains(method)));
        let networks =
            other.networks.iter().all(|network| self.networks.iter().any(|own| own.contains(network)));
        let Self { scheme, host, port, path, .. } = self;
        (scheme, host, port, path) == (&other.scheme, &other.host, &other.port, &other.path)
            && methods
            && networks
    }

    /// Empty: all.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// A URL pattern, or `{url, methods, networks}`.
    pub(super) fn read_field(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        if !matches!(field.node.kind, Kind::Object(_)) {
            let text = field.text(problems)?;
            return taken(Self::parse(text), field, problems);
        }
        let fields = Fields::of(field.node, field.path, &["url", "methods", "networks"], problems)?;
        let hint = "such as `{ url: \"https://api.example.com/v1/\", methods: [GET] }`";
        let url = fields.need("url", hint, problems);
        let rule = url.and_then(|url| taken(Self::parse(url.text(problems)?), url, problems));
        let narrowed = match fields.get_any("methods") {
            None => rule.clone(),
            Some(field) => {
                let methods = list(field, "a list of methods, such as `[GET]`", problems, text);
                rule.clone().and_then(|rule| taken(rule.with_methods(&methods), field, problems))
            }
        };
        let Some(field) = fields.get_any("networks") else { return narrowed };
        let networks = list(field, "a list of networks, such as `[10.0.0.0/8]`", problems, text);
        // Wrong methods do not keep wrong networks from being told.
        let whole = narrowed.is_some();
        let rule = narrowed.or(rule);
        rule.and_then(|rule| taken(rule.with_networks(&networks), field, problems)).filter(|_| whole)
    }

    /// As it may stand in the config.
    pub fn to_value(&self) -> Value {
        if self.methods.is_empty() && self.networks.is_empty() {
            return self.to_string().into();
        }
        let methods = || self.methods.iter().map(Method::as_str).collect();
        let networks = || self.networks.iter().map(ToString::to_string).collect();
        object([
            ("url", Some(self.to_string().into())),
            ("methods", (!self.methods.is_empty()).then(methods)),
            ("networks", (!self.networks.is_empty()).then(networks)),
        ])
    }

    fn any(scheme: Scheme) -> Self {
        Self {
            scheme,
            host: HostPattern::Any,
            port: Port::Exactly(scheme.default_port()),
            path: PathPrefix::default(),
            methods: Vec::new(),
            networks: Vec::new(),
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some((other, _)) => return Err(format!("the scheme is `{other}`, not http or https")),
            None => return Err("it has no scheme".to_owned()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err("a rule has no user or password".to_owned());
        }
        let (host, port) = split_port(authority);
        Ok(Self {
            scheme,
            host: HostPattern::parse(host)?,
            port: port.map_or(Ok(Port::Exactly(scheme.default_port())), Port::parse)?,
            path: PathPrefix::parse(path)?,
            methods: Vec::new(),
            networks: Vec::new(),
        })
    }

    fn error(&self, reason: String) -> RuleError {
        RuleError { rule: self.to_string(), reason, hint: None }
    }
}

/// The address part, for messages; [`HttpRule::to_value`] is the whole.
impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Port::Any => f.write_str(":*")?,
            Port::Exactly(port) if port == self.scheme.default_port() => {}
            Port::Exactly(port) => write!(f, ":{port}")?,
        }
        self.path.fmt(f)
    }
}

impl Port {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "*" => Ok(Self::Any),
            Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Self::Exactly(port)),
            _ => Err(format!("`{text}` is no port from 1 to 65535, nor `*`")),
        }
    }
}

fn text(field: Field<'_, '_>, problems: &mut Problems) -> Option<String> {
    field.text(problems).map(str::to_owned)
}

fn taken(
    rule: Result<HttpRule, RuleError>,
    field: Field<'_, '_>,
    problems: &mut Problems,
) -> Option<HttpRule> {
    let refused = |error: RuleError| {
        problems
            .add(field.path, field.node.at, "http_rule_invalid", error.to_string())
            .maybe_hint(error.hint.map(str::to_owned));
    };
    rule.map_err(refused).ok()
}

/// `[::1]:80` has its port behind the bracket.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn mapped(network: IpNet) -> bool {
    matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests;
