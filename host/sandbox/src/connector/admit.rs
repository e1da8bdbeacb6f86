//! The decision: which rules admit a target, which of its addresses they open, and what a refusal says.

use std::{fmt::Write as _, net::IpAddr};

use http::Method;

use stepcell_core::grant::{Host, Target, address};

use super::Denied;
use crate::{Grant, HttpRule};

/// The rules that admit the target as it is written. Nothing is resolved before this.
pub(super) fn target<'grant>(
    grant: &'grant Grant,
    kind: &str,
    target: &Target,
    method: &Method,
) -> Result<Vec<&'grant HttpRule>, Denied> {
    let rules: Vec<&HttpRule> = grant.http.iter().flatten().filter(|rule| rule.admits(target, method)).collect();
    if rules.is_empty() {
        return Err(refuse_target(grant, kind, target, method));
    }
    let fixed: &[IpAddr] = match target.host() {
        Host::Address(address) => &[*address],
        host if host.is_localhost() => &Host::LOCALHOST_ADDRESSES,
        Host::Name(_) => return Ok(rules),
    };
    addresses(grant, &rules, kind, target, fixed).map(|_| rules)
}

/// Those of the resolved addresses that may be connected to; at least one.
pub(super) fn addresses(
    grant: &Grant,
    rules: &[&HttpRule],
    kind: &str,
    target: &Target,
    resolved: &[IpAddr],
) -> Result<Vec<IpAddr>, Denied> {
    let open: Vec<IpAddr> = resolved.iter().copied().filter(|address| opens(rules, *address)).collect();
    if open.is_empty() { Err(refuse_addresses(grant, kind, target, resolved)) } else { Ok(open) }
}

pub(super) fn opens(rules: &[&HttpRule], address: IpAddr) -> bool {
    rules.iter().any(|rule| rule.admits_address(address))
}

fn refuse_target(grant: &Grant, kind: &str, target: &Target, method: &Method) -> Denied {
    let near: Vec<&HttpRule> = grant.http.iter().flatten().filter(|rule| rule.admits_origin(target)).collect();
    let (reason, line) = if near.is_empty() {
        (format!("no grant of `{kind}` admits `{}`", target.origin()), Line::origin(target))
    } else if let Some(rule) = near.iter().find(|rule| rule.admits(target, method_of(rule))) {
        let mut line = Line::of(rule);
        line.methods.push(method.clone());
        (format!("the grant `{rule}` of `{kind}` does not admit the method {method}"), line)
    } else {
        let rules = list(near.iter().map(|rule| format!("`{rule}`")));
        (format!("its path or method is not within the grant of `{kind}`: {rules}"), Line::origin(target))
    };
    Denied { target: target.shown(), reason, allow: Some(line.yaml(kind, grant)) }
}

/// A method that the rule admits, to tell whether only the method was in the way.
fn method_of(rule: &HttpRule) -> &Method {
    rule.methods().first().unwrap_or(&Method::GET)
}

fn refuse_addresses(grant: &Grant, kind: &str, target: &Target, resolved: &[IpAddr]) -> Denied {
    let guarded: Vec<(IpAddr, &str)> = resolved.iter().copied().flat_map(address::guarded).collect();
    let mut line = Line::origin(target);
    let reason = match target.host() {
        Host::Address(_) => {
            let what = list(guarded.iter().map(|(end, class)| format!("{end} is {class}")));
            format!("{what}, which needs a grant of its own")
        }
        host if host.is_localhost() => "`localhost` is this host, which needs a grant of its own".to_owned(),
        Host::Name(name) => {
            line.url.push('/');
            for (end, _) in &guarded {
                let network = ipnet::IpNet::from(*end);
                if !line.networks.contains(&network) {
                    line.networks.push(network);
                }
            }
            let what = list(guarded.iter().map(|(end, class)| format!("{end}, {class}")));
            format!("`{name}` resolves to {what}, and no grant of `{kind}` names that network")
        }
    };
    Denied { target: target.shown(), reason, allow: Some(line.yaml(kind, grant)) }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("; ")
}

/// The smallest rule that would do.
struct Line {
    url: String,
    methods: Vec<Method>,
    networks: Vec<ipnet::IpNet>,
}

impl Line {
    fn origin(target: &Target) -> Self {
        Self { url: target.origin(), methods: Vec::new(), networks: Vec::new() }
    }

    fn of(rule: &HttpRule) -> Self {
        Self { url: rule.to_string(), methods: rule.methods().to_vec(), networks: rule.networks().to_vec() }
    }

    /// The grant of the type with this rule in front. The rules that hold already stand behind it: a grant in
    /// the config replaces a default one, and nobody should lose what worked by adding a line.
    fn yaml(&self, kind: &str, grant: &Grant) -> String {
        let kept =
            grant.http.iter().flatten().map(Self::of).filter(|kept| kept.url != self.url || kept.methods.is_empty());
        let rules = std::iter::once(self.rule()).chain(kept.map(|kept| kept.rule()));
        format!("grants:\n  {}: {{ http: [{}] }}", key(kind), join(rules))
    }

    fn rule(&self) -> String {
        let url = quoted(&self.url);
        if self.methods.is_empty() && self.networks.is_empty() {
            url
        } else {
            let mut rule = format!("{{ url: {url}");
            if !self.methods.is_empty() {
                let _ = write!(rule, ", methods: [{}]", join(self.methods.iter()));
            }
            if !self.networks.is_empty() {
                let networks = self.networks.iter().map(|network| quoted(&network.to_string()));
                let _ = write!(rule, ", networks: [{}]", join(networks));
            }
            rule.push_str(" }");
            rule
        }
    }
}

fn join(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// JSON strings are YAML strings.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn key(kind: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let first = kind.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if first && kind.bytes().all(plain) { kind.to_owned() } else { quoted(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(rules: &[&str]) -> Grant {
        let http = rules.iter().map(|rule| HttpRule::parse(rule).unwrap()).collect();
        Grant { http: Some(http), ..Grant::default() }
    }

    fn refusal(grant: &Grant, url: &str, method: Method) -> Denied {
        target(grant, "http_request", &Target::parse(url).unwrap(), &method).unwrap_err()
    }

    #[track_caller]
    fn check(denied: &Denied, reason: &str, rule: &str) {
        assert_eq!(denied.reason, reason);
        let expected = format!("grants:\n  http_request: {{ http: [{rule}] }}");
        assert_eq!(denied.allow.as_deref(), Some(expected.as_str()));
    }

    #[test]
    fn a_host_without_grant_names_its_origin() {
        check(
            &refusal(&Grant::default(), "https://user.example:8443/a/b?key=1", Method::GET),
            "no grant of `http_request` admits `https://user.example:8443`",
            "\"https://user.example:8443\"",
        );
    }

    #[test]
    fn a_private_literal_names_itself() {
        check(
            &refusal(&Grant::public_http(), "http://127.0.0.1/x", Method::GET),
            "127.0.0.1 is a loopback address, which needs a grant of its own",
            "\"http://127.0.0.1\", \"http://*\", \"https://*\"",
        );
        check(
            &refusal(&Grant::public_http(), "http://localhost/x", Method::GET),
            "`localhost` is this host, which needs a grant of its own",
            "\"http://localhost\", \"http://*\", \"https://*\"",
        );
    }

    #[test]
    fn a_private_resolution_names_its_networks() {
        let grant = Grant::public_http();
        let intern = Target::parse("http://intern.example/a").unwrap();
        let rules = target(&grant, "http_request", &intern, &Method::GET).unwrap();
        let resolved = ["10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()];
        check(
            &addresses(&grant, &rules, "http_request", &intern, &resolved).unwrap_err(),
            "`intern.example` resolves to 10.1.2.3, a private address; fd00::1, a private address, and no \
             grant of `http_request` names that network",
            "{ url: \"http://intern.example/\", networks: [\"10.1.2.3/32\", \"fd00::1/128\"] }, \
             \"http://*\", \"https://*\"",
        );
    }

    #[test]
    fn only_open_addresses_are_kept() {
        let grant = Grant::public_http();
        let mixed = Target::parse("http://mixed.example/").unwrap();
        let rules = target(&grant, "http_request", &mixed, &Method::GET).unwrap();
        let public: IpAddr = "1.1.1.1".parse().unwrap();
        let resolved = ["127.0.0.1".parse().unwrap(), public];
        assert_eq!(addresses(&grant, &rules, "http_request", &mixed, &resolved).unwrap(), [public]);
    }

    #[test]
    fn a_missing_method_is_named_with_its_rule() {
        let mut grant = grant(&["https://api.example/v1/"]);
        let rules = grant.http.iter().flatten();
        grant.http = Some(rules.map(|rule| rule.clone().with_methods(&["GET"]).unwrap()).collect());
        check(
            &refusal(&grant, "https://api.example/v1/x", Method::DELETE),
            "the grant `https://api.example/v1/` of `http_request` does not admit the method DELETE",
            "{ url: \"https://api.example/v1/\", methods: [GET, DELETE] }",
        );
        check(
            &refusal(&grant, "https://api.example/v2/x", Method::GET),
            "its path or method is not within the grant of `http_request`: `https://api.example/v1/`",
            "\"https://api.example\", { url: \"https://api.example/v1/\", methods: [GET] }",
        );
    }

    #[test]
    fn an_odd_step_type_is_quoted() {
        let (grant, place) = (Grant::default(), Target::parse("http://a.example").unwrap());
        let allow = target(&grant, "a: b", &place, &Method::GET).unwrap_err().allow.unwrap();
        assert_eq!(allow, "grants:\n  \"a: b\": { http: [\"http://a.example\"] }");
    }
}
