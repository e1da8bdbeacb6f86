//! The decision: which rules admit a target, which of its addresses they open, and what a refusal says.
//!
//! Every level has to agree: the operator, and the flow and the step as far as they say anything. An address needs
//! one rule of each level that admits the target.

use std::net::IpAddr;

use http::Method;
use stepcell_core::grant::{Grant, Host, HttpRule, Target, address};

use super::Denied;
use crate::access::{Access, Refuser};

/// What was asked for and may be: the rules of each level that admit it as it is written.
pub(super) struct Admitted<'a> {
    access: &'a Access,
    target: &'a Target,
    levels: Vec<Level<'a>>,
}

struct Level<'a> {
    whose: Refuser,
    rules: Vec<&'a HttpRule>,
}

/// Asks every level whether it admits the target as it is written. Nothing is resolved before this.
pub(super) fn target<'a>(
    access: &'a Access,
    target: &'a Target,
    method: &Method,
) -> Result<Admitted<'a>, Denied> {
    let level = |(whose, rules): (Refuser, &'a [HttpRule])| {
        let admitting: Vec<&HttpRule> = rules.iter().filter(|rule| rule.admits(target, method)).collect();
        match admitting.is_empty() {
            true => Err(Refusal { access, whose, rules, target }.of_target(method)),
            false => Ok(Level { whose, rules: admitting }),
        }
    };
    let levels = access.http().map(level).collect::<Result<_, _>>()?;
    let admitted = Admitted { access, target, levels };
    let fixed: &[IpAddr] = match target.host() {
        Host::Address(address) => &[*address],
        host if host.is_localhost() => &Host::LOCALHOST_ADDRESSES,
        Host::Name(_) => return Ok(admitted),
    };
    admitted.addresses(fixed).map(|_| admitted)
}

impl Admitted<'_> {
    /// Whether this address may be connected to.
    pub(super) fn opens(&self, address: IpAddr) -> bool {
        self.levels.iter().all(|level| level.opens(address))
    }

    /// Those of the resolved addresses that may be connected to; at least one.
    pub(super) fn addresses(&self, resolved: &[IpAddr]) -> Result<Vec<IpAddr>, Denied> {
        let mut open = resolved.to_vec();
        for level in &self.levels {
            open.retain(|address| level.opens(*address));
            if open.is_empty() {
                let Self { access, target, .. } = *self;
                return Err(Refusal { access, whose: level.whose, rules: &[], target }.of_addresses(resolved));
            }
        }
        Ok(open)
    }
}

impl Level<'_> {
    fn opens(&self, address: IpAddr) -> bool {
        self.rules.iter().any(|rule| match self.whose {
            Refuser::Operator => rule.admits_address(address),
            Refuser::Narrowing(_) => rule.leaves_address(address),
        })
    }
}

/// Who refuses what, on the way to its words.
struct Refusal<'a> {
    access: &'a Access,
    whose: Refuser,
    rules: &'a [HttpRule],
    target: &'a Target,
}

impl Refusal<'_> {
    fn of_target(&self, method: &Method) -> Denied {
        let near: Vec<&HttpRule> = self.rules.iter().filter(|rule| rule.admits_origin(self.target)).collect();
        let (reason, rule) = if near.is_empty() {
            (self.access.reason(self.whose, &format!("`{}`", self.target.origin())), self.rule())
        } else if let Some(rule) = near.iter().find(|rule| rule.admits(self.target, method_of(rule))) {
            let wider = HttpRule::clone(rule).with_methods(&[method.as_str()]).ok();
            (format!("`{rule}` in {} does not admit the method {method}", self.place()), wider)
        } else {
            let rules = list(near.iter().map(|rule| format!("`{rule}`")));
            (format!("its path or method is not within {}: {rules}", self.place()), self.rule())
        };
        self.denied(reason, rule)
    }

    fn of_addresses(&self, resolved: &[IpAddr]) -> Denied {
        let guarded: Vec<(IpAddr, &str)> = resolved.iter().copied().flat_map(address::guarded).collect();
        let ends = list(guarded.iter().map(|(end, class)| format!("{end}, {class}")));
        match self.target.host() {
            Host::Address(_) => {
                let ends = list(guarded.iter().map(|(end, class)| format!("{end} is {class}")));
                self.denied(format!("{ends}, which needs a line of its own in {}", self.place()), self.rule())
            }
            host if host.is_localhost() => {
                let place = self.place();
                let reason = format!("`localhost` is this host, which needs a line of its own in {place}");
                self.denied(reason, self.rule())
            }
            Host::Name(name) => {
                let networks: Vec<String> = guarded.iter().map(|(end, _)| end.to_string()).collect();
                let rule = HttpRule::parse(&format!("{}/", self.target.origin()));
                let rule = rule.and_then(|rule| rule.with_networks(&networks));
                let place = self.place();
                let reason = format!("`{name}` resolves to {ends}, a network that {place} does not name");
                self.denied(reason, rule.ok())
            }
        }
    }

    /// With the rule in front of those that hold already.
    fn denied(&self, reason: String, rule: Option<HttpRule>) -> Denied {
        let allow = rule.map(|rule| self.access.allow(self.whose, |grant| put_first(grant, rule)));
        Denied { capability: "http", target: self.target.shown(), reason, allow }
    }

    /// The smallest rule for the target.
    fn rule(&self) -> Option<HttpRule> {
        HttpRule::parse(&self.target.origin()).ok()
    }

    fn place(&self) -> String {
        match self.whose {
            Refuser::Operator => format!("the grant of `{}`", self.access.kind),
            Refuser::Narrowing(0) => "the flow's own `grants`".to_owned(),
            Refuser::Narrowing(_) => "the step's own `grants`".to_owned(),
        }
    }
}

fn put_first(grant: &mut Grant, rule: HttpRule) {
    let rules = grant.http.get_or_insert_default();
    // The one that this one widens.
    rules.retain(|kept| kept.to_string() != rule.to_string() || kept.methods().is_empty());
    rules.insert(0, rule);
}

/// A method that the rule admits, to tell whether only the method was in the way.
fn method_of(rule: &HttpRule) -> &Method {
    rule.methods().first().unwrap_or(&Method::GET)
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("; ")
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
