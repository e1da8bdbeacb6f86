//! The host part of a rule.

use std::{fmt, net::IpAddr};

use super::target::{Host, check_name};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// `*`
    Any,
    /// `*.example.com`: exactly one label more, as in a TLS certificate.
    Below(String),
    /// A name or an address literal.
    Exactly(Host),
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if name.contains('*') {
            return Err("`*` stands for the whole host or its first label only".to_owned());
        }
        match (wildcard, parse_host(name)?) {
            (false, host) => Ok(Self::Exactly(host)),
            (true, Host::Name(name)) => Ok(Self::Below(name)),
            (true, Host::Address(_)) => Err("an address has no labels for `*` to stand for".to_owned()),
        }
    }

    pub(super) fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exactly(own), host) => own == host,
            (Self::Below(base), Host::Name(name)) => {
                name.split_once('.').is_some_and(|(_, rest)| rest == base)
            }
            (Self::Below(_), Host::Address(_)) => false,
        }
    }

    /// Whether somebody had certain hosts in mind.
    pub(super) fn is_named(&self) -> bool {
        !matches!(self, Self::Any)
    }

    /// Whether the operator named this very address: such a rule needs no network beside it.
    pub(super) fn names(&self, address: IpAddr) -> bool {
        match self {
            Self::Exactly(Host::Address(own)) => own.to_canonical() == address.to_canonical(),
            Self::Exactly(host) if host.is_localhost() => Host::LOCALHOST_ADDRESSES.contains(&address),
            _ => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(base) => write!(f, "*.{base}"),
            Self::Exactly(host) => host.fmt(f),
        }
    }
}

/// As in a URL, but an address has to stand in its usual form: `127.1` in a config is a slip, not a wish.
fn parse_host(text: &str) -> Result<Host, String> {
    match url::Host::parse(text).map_err(|error| format!("`{text}` is no host: {error}"))? {
        url::Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            check_name(name).map_err(str::to_owned)?;
            Ok(Host::Name(name.to_owned()))
        }
        url::Host::Ipv4(address) if address.to_string() != text => {
            Err(format!("`{text}` is an odd way to write {address}"))
        }
        url::Host::Ipv4(address) => Ok(Host::Address(address.into())),
        url::Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(v4) => Err(format!("`{text}` is an odd way to write {v4}")),
            None => Ok(Host::Address(address.into())),
        },
    }
}
