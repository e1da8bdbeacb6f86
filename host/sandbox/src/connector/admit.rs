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
                let reason = format!("`{name}` resolves to {ends}, a network that no line in {place} names");
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
    use std::sync::Arc;

    use super::*;

    fn grant(rules: &[&str]) -> Grant {
        let rules = rules.iter().map(|rule| HttpRule::parse(rule).unwrap()).collect();
        Grant { http: Some(rules), ..Grant::default() }
    }

    fn access(kind: &str, operator: Grant, narrowings: [Grant; 2]) -> Access {
        Access { narrowings: narrowings.map(Arc::new).into(), ..Access::new(kind.into(), Arc::new(operator)) }
    }

    fn operator(grant: Grant) -> Access {
        access("http_request", grant, [Grant::default(), Grant::default()])
    }

    fn refusal(access: &Access, url: &str, method: Method) -> Denied {
        target(access, &Target::parse(url).unwrap(), &method).err().unwrap()
    }

    #[track_caller]
    fn check(denied: &Denied, reason: &str, lines: &str) {
        assert_eq!(denied.reason, reason);
        assert_eq!(denied.allow.as_deref(), Some(lines));
    }

    #[test]
    fn a_host_without_grant_names_its_origin() {
        check(
            &refusal(&operator(Grant::default()), "https://user.example:8443/a/b?key=1", Method::GET),
            "no grant of `http_request` admits `https://user.example:8443`",
            "grants:\n  http_request: { http: [\"https://user.example:8443\"] }",
        );
    }

    #[test]
    fn a_line_keeps_what_is_granted_already() {
        let mut grant = Grant::public_http();
        grant.secrets = Some(["github".to_owned()].into());
        check(
            &refusal(&operator(grant), "http://127.0.0.1/x", Method::GET),
            "127.0.0.1 is a loopback address, which needs a line of its own in the grant of `http_request`",
            "grants:\n  http_request: { http: [\"http://127.0.0.1\", \"http://*\", \"https://*\"], \
             secrets: [github] }",
        );
    }

    #[test]
    fn this_host_names_itself() {
        check(
            &refusal(&operator(Grant::public_http()), "http://localhost/x", Method::GET),
            "`localhost` is this host, which needs a line of its own in the grant of `http_request`",
            "grants:\n  http_request: { http: [\"http://localhost\", \"http://*\", \"https://*\"] }",
        );
    }

    #[test]
    fn a_private_resolution_names_its_networks() {
        let access = operator(Grant::public_http());
        let intern = Target::parse("http://intern.example/a").unwrap();
        let resolved = ["10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()];
        check(
            &target(&access, &intern, &Method::GET).unwrap().addresses(&resolved).unwrap_err(),
            "`intern.example` resolves to 10.1.2.3, a private address; fd00::1, a private address, a network \
             that no line in the grant of `http_request` names",
            "grants:\n  http_request: { http: [{ url: \"http://intern.example\", networks: [10.1.2.3/32, \
             \"fd00::1/128\"] }, \"http://*\", \"https://*\"] }",
        );
    }

    #[test]
    fn only_open_addresses_are_kept() {
        let access = operator(Grant::public_http());
        let mixed = Target::parse("http://mixed.example/").unwrap();
        let public: IpAddr = "1.1.1.1".parse().unwrap();
        let resolved = ["127.0.0.1".parse().unwrap(), public];
        let admitted = target(&access, &mixed, &Method::GET).unwrap();
        assert_eq!(admitted.addresses(&resolved).unwrap(), [public]);
        assert!(admitted.opens(public) && !admitted.opens(resolved[0]));
    }

    #[test]
    fn a_missing_method_is_named_with_its_rule() {
        let rule = HttpRule::parse("https://api.example/v1/").unwrap().with_methods(&["GET"]).unwrap();
        let access = operator(Grant { http: Some(vec![rule]), ..Grant::default() });
        check(
            &refusal(&access, "https://api.example/v1/x", Method::DELETE),
            "`https://api.example/v1/` in the grant of `http_request` does not admit the method DELETE",
            "grants:\n  http_request: { http: [{ url: \"https://api.example/v1/\", methods: [GET, DELETE] }] }",
        );
        check(
            &refusal(&access, "https://api.example/v2/x", Method::GET),
            "its path or method is not within the grant of `http_request`: `https://api.example/v1/`",
            "grants:\n  http_request: { http: [\"https://api.example\", { url: \"https://api.example/v1/\", \
             methods: [GET] }] }",
        );
    }

    #[test]
    fn an_odd_step_type_is_quoted() {
        let access = access("a: b", Grant::default(), [Grant::default(), Grant::default()]);
        let allow = refusal(&access, "http://a.example", Method::GET).allow.unwrap();
        assert_eq!(allow, "grants:\n  \"a: b\": { http: [\"http://a.example\"] }");
    }

    #[test]
    fn every_level_has_to_admit_it() {
        let flow = grant(&["https://a.example", "https://b.example"]);
        let access = access("t", Grant::public_http(), [flow, grant(&["https://b.example/v1/"])]);
        check(
            &refusal(&access, "https://c.example/", Method::GET),
            "the flow's own `grants` do not admit `https://c.example`",
            "grants: { http: [\"https://c.example\", \"https://a.example\", \"https://b.example\"] }",
        );
        check(
            &refusal(&access, "https://a.example/", Method::GET),
            "the step's own `grants` do not admit `https://a.example`",
            "grants: { http: [\"https://a.example\", \"https://b.example/v1/\"] }",
        );
        check(
            &refusal(&access, "http://10.0.0.1/", Method::GET),
            "the flow's own `grants` do not admit `http://10.0.0.1`",
            "grants: { http: [\"http://10.0.0.1\", \"https://a.example\", \"https://b.example\"] }",
        );
        let admitted = Target::parse("https://b.example/v1/x").unwrap();
        assert!(target(&access, &admitted, &Method::GET).is_ok());
    }

    #[test]
    fn a_flow_can_not_widen_the_operators_word() {
        let widest = grant(&["http://*:*", "https://*:*", "http://127.0.0.1"]);
        let access = access("t", Grant::public_http(), [widest.clone(), widest]);
        for url in ["http://127.0.0.1/", "https://a.example:8443/", "http://10.0.0.1/"] {
            let allow = refusal(&access, url, Method::GET).allow.unwrap();
            assert!(allow.starts_with("grants:\n  t: "), "{url}: {allow}");
        }
    }

    #[test]
    fn a_narrowing_leaves_the_addresses_of_a_host_it_names() {
        let intern = HttpRule::parse("http://*.intern").unwrap().with_networks(&["10.0.0.0/8"]).unwrap();
        let own = Grant { http: Some(vec![intern]), ..Grant::default() };
        let place = Target::parse("http://a.intern/").unwrap();
        let resolved: [IpAddr; 1] = ["10.0.0.1".parse().unwrap()];
        let opens = |narrowing: &str| {
            let access = access("t", own.clone(), [grant(&[narrowing]), Grant::default()]);
            target(&access, &place, &Method::GET).unwrap().addresses(&resolved)
        };
        assert_eq!(opens("http://a.intern").unwrap(), resolved);
        check(
            &opens("http://*").unwrap_err(),
            "`a.intern` resolves to 10.0.0.1, a private address, a network that no line in the flow's own `grants` names",
            "grants: { http: [{ url: \"http://a.intern\", networks: [10.0.0.1/32] }, \"http://*\"] }",
        );
    }
}
