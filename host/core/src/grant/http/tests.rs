use proptest::prelude::*;

use super::*;

fn rule(text: &str) -> HttpRule {
    HttpRule::parse(text).unwrap()
}

#[track_caller]
fn check(text: &str, admitted: &[&str], refused: &[&str]) {
    let rule = rule(text);
    let admits = |url: &&str| rule.admits(&Target::parse(url).unwrap(), &Method::GET);
    for url in admitted {
        assert!(admits(url), "{text} should admit {url}");
    }
    for url in refused {
        assert!(!admits(url), "{text} should refuse {url}");
    }
}

#[test]
fn a_rule_admits_its_own_scheme_host_and_port() {
    check(
        "https://api.example.com",
        &["https://api.example.com", "https://API.example.com.:443/x?y"],
        &[
            "http://api.example.com",
            "https://api.example.com:8443",
            "https://example.com",
            "https://a.api.example.com",
            "https://api.example.com.evil.example",
            "https://1.1.1.1",
        ],
    );
    check("https://bücher.example", &["https://xn--bcher-kva.example"], &["https://bucher.example"]);
}

#[test]
fn a_star_stands_for_any_host_on_the_default_port() {
    check(
        "https://*",
        &["https://a.example", "https://1.1.1.1"],
        &["http://a.example", "https://a.example:8443"],
    );
    check("http://*:*", &["http://a.example", "http://a.example:81"], &["https://a.example"]);
}

#[test]
fn a_wildcard_stands_for_one_label() {
    check(
        "https://*.example.com",
        &["https://a.example.com", "https://B.EXAMPLE.com"],
        &["https://example.com", "https://a.b.example.com", "https://aexample.com", "https://a.example.org"],
    );
}

#[test]
fn an_address_admits_exactly_itself() {
    check(
        "http://127.0.0.1:8080",
        &["http://127.0.0.1:8080/x", "http://0x7f000001:8080"],
        &[
            "http://127.0.0.1",
            "http://127.0.0.2:8080",
            "http://localhost:8080",
            "http://[::ffff:127.0.0.1]:8080",
        ],
    );
    check(
        "http://localhost:8080",
        &["http://LOCALHOST:8080"],
        &["http://127.0.0.1:8080", "http://a.localhost:8080"],
    );
    check("http://[::1]:81", &["http://[0:0::1]:81"], &["http://[::1]", "http://127.0.0.1:81"]);

    let loopback = "127.0.0.1".parse().unwrap();
    assert!(rule("http://127.0.0.1:8080").admits_address(loopback));
    assert!(rule("http://localhost").admits_address(loopback));
    assert!(!rule("http://localhost").admits_address("127.0.0.2".parse().unwrap()));
    assert!(!rule("http://localhost").admits_address("10.0.0.1".parse().unwrap()));
    assert!(!rule("http://127.0.0.1").admits_address("127.0.0.2".parse().unwrap()));
}

#[test]
fn a_name_admits_private_addresses_by_network_only() {
    let private = "10.1.2.3".parse().unwrap();
    assert!(!rule("http://intern.example").admits_address(private));
    assert!(!rule("http://*").admits_address(private));
    let widened = rule("http://intern.example").with_networks(&["10.9.9.9/8", "fd00::1"]).unwrap();
    assert!(widened.admits_address(private));
    assert!(widened.admits_address("fd00::1".parse().unwrap()));
    assert!(!widened.admits_address("fd00::2".parse().unwrap()));
    assert!(!widened.admits_address("192.168.0.1".parse().unwrap()));
}

#[test]
fn methods_narrow() {
    let reading = rule("https://*").with_methods(&["get", "HEAD"]).unwrap();
    let target = Target::parse("https://a.example").unwrap();
    assert!(reading.admits(&target, &Method::GET) && reading.admits(&target, &Method::HEAD));
    assert!(!reading.admits(&target, &Method::POST));
}

#[test]
fn a_rule_that_can_not_be_read_says_why() {
    for (text, reason) in [
        ("example.com", "it has no scheme"),
        ("ftp://a.example", "the scheme is `ftp`, not http or https"),
        ("HTTPS://a.example", "the scheme is `HTTPS`, not http or https"),
        ("https://", "`` is no host: empty host"),
        ("https://user@a.example", "a rule has no user or password"),
        ("https://a.*.example", "`*` stands for the whole host or its first label only"),
        ("https://*a.example", "`*` stands for the whole host or its first label only"),
        ("https://*.10.0.0.1", "an address has no labels for `*` to stand for"),
        ("http://127.1", "`127.1` is an odd way to write 127.0.0.1"),
        ("http://[::ffff:10.0.0.1]", "`[::ffff:10.0.0.1]` is an odd way to write 10.0.0.1"),
        ("http://a.example:0", "`0` is no port from 1 to 65535, nor `*`"),
        ("http://a.example:", "`` is no port from 1 to 65535, nor `*`"),
        ("http://a.example:+80", "`+80` is no port from 1 to 65535, nor `*`"),
        ("https://a.example/v1/*", "a path is a prefix already, it takes no `*`"),
    ] {
        let error = HttpRule::parse(text).unwrap_err();
        assert_eq!((error.rule.as_str(), error.reason.as_str()), (text, reason));
    }
    let error = rule("https://a.example:8443/v1/").with_methods(&["TRACE"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the http rule `https://a.example:8443/v1/` can not be read: `TRACE` is no method that a step can send"
    );
    assert!(rule("http://*").with_methods::<&str>(&[]).is_err());
    assert!(rule("http://*").with_networks(&["10.0.0.0/33"]).is_err());
    assert!(rule("http://*").with_networks(&["::ffff:10.0.0.0/104"]).is_err());
}

/// Few enough values that rules and targets meet often.
fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["example", "a.example", "b.a.example", "localhost", "1.1.1.1", "10.0.0.1"])
            .prop_map(str::to_owned),
        "[ab]{1,2}\\.(a\\.)?example",
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![host(), Just("*".to_owned()), Just("*.example".to_owned()), Just("*.a.example".to_owned())]
}

fn port() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", ":80", ":443", ":81"])
}

fn path() -> impl Strategy<Value = String> {
    "(/(a|b|ab|%2e%2e|%2f|\\.\\.)?){0,4}"
}

fn scheme() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["http", "https"])
}

proptest! {
    #[test]
    fn a_rule_never_admits_more_than_its_pattern(
        rule_scheme in scheme(), pattern in pattern(), rule_port in prop_oneof![port(), Just(":*")],
        prefix in prop::sample::select(vec!["", "/", "/a", "/a/", "/a/b"]),
        scheme in scheme(), host in host(), port in port(), path in path(),
    ) {
        let rule = rule(&format!("{rule_scheme}://{pattern}{rule_port}{prefix}"));
        let target = Target::parse(&format!("{scheme}://{host}{port}{path}")).unwrap();
        if rule.admits(&target, &Method::GET) {
            prop_assert_eq!(rule_scheme, scheme);
            let fits = pattern.strip_prefix('*').map_or(host == pattern, |tail| host.ends_with(tail));
            prop_assert!(fits, "{pattern} admits {host}");
            let default = if scheme == "http" { ":80" } else { ":443" };
            let number = |port: &str| if port.is_empty() { default.to_owned() } else { port.to_owned() };
            prop_assert!(rule_port == ":*" || number(rule_port) == number(port));
            prop_assert!(target.url().path().starts_with(prefix));
        }
    }

    #[test]
    fn narrowing_never_admits_more(
        pattern in pattern(), narrow in pattern(), prefix in prop::sample::select(vec!["/a", "/a/b/", "/b"]),
        host in host(), path in path(),
        method in prop::sample::select(METHODS.to_vec()), methods in prop::sample::subsequence(METHODS.to_vec(), 1..4),
    ) {
        let target = Target::parse(&format!("http://{host}{path}")).unwrap();
        let wide = rule(&format!("http://{pattern}"));
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let methods_only = wide.clone().with_methods(&names).unwrap();
        let path_only = rule(&format!("http://{pattern}{prefix}"));
        for narrowed in [&methods_only, &path_only] {
            prop_assert!(!narrowed.admits(&target, &method) || wide.admits(&target, &method));
        }
        let named = rule(&format!("http://{narrow}"));
        prop_assert!(!named.admits(&target, &method) || rule("http://*").admits(&target, &method));
    }

    #[test]
    fn only_a_network_opens_a_private_address(bits in any::<u32>(), pattern in pattern()) {
        let address = IpAddr::from(std::net::Ipv4Addr::from_bits(bits));
        let rule = rule(&format!("http://{pattern}"));
        let public = address::guarded(address).next().is_none();
        let named = address.to_string() == pattern
            || (pattern == "localhost" && address == IpAddr::from([127, 0, 0, 1]));
        prop_assert_eq!(rule.admits_address(address), public || named);
        let opened = rule.with_networks(&[address.to_string()]).unwrap();
        prop_assert!(opened.admits_address(address));
    }

    #[test]
    fn what_a_rule_shows_is_the_rule(
        scheme in scheme(), pattern in pattern(), port in prop_oneof![port(), Just(":*")],
        prefix in prop::sample::select(vec!["", "/a", "/a/b/"]),
    ) {
        let first = rule(&format!("{scheme}://{pattern}{port}{prefix}"));
        prop_assert_eq!(rule(&first.to_string()), first);
    }
}

#[test]
fn a_narrowing_that_names_its_host_leaves_the_addresses_to_the_operator() {
    let leaves = |rule: &str, networks: &[&str]| {
        let rule = HttpRule::parse(rule).unwrap().with_networks(networks).unwrap();
        ["1.1.1.1", "10.0.0.1", "192.168.0.1"].map(|address| rule.leaves_address(address.parse().unwrap()))
    };
    assert_eq!(leaves("https://intern.example", &[]), [true, true, true]);
    assert_eq!(leaves("https://*.example", &[]), [true, true, true]);
    assert_eq!(leaves("https://intern.example", &["10.0.0.0/8"]), [true, true, false]);
    assert_eq!(leaves("https://*", &[]), [true, false, false]);
    assert_eq!(leaves("https://*", &["10.0.0.0/8"]), [true, true, false]);
}
