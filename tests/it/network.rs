//! Which places a step reaches, and what happens where the other side does not behave.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stepcell_tests::{Authority, Dns, Host, Https, Peer, Shop};

async fn request(host: &Host, config: Value) -> Value {
    host.step("http_request", config).await
}

/// A host that lets `http_request` reach what these rules, in YAML, say.
async fn granted(rules: &str) -> Host {
    Host::builder().config(&format!("grants: {{ http_request: {{ http: [{rules}] }} }}")).start().await
}

#[tokio::test]
async fn a_grant_names_methods_and_paths() {
    let shop = Shop::start().await;
    let url = shop.url();
    let host = granted(&format!(
        "{{ url: \"{url}/orders/\", methods: [GET] }}, {{ url: \"{url}/echo\", methods: [POST, PUT] }}"
    ))
    .await;
    for (method, path, reached) in [
        ("GET", "/orders/7", true),
        ("GET", "/orders/../orders/7", true),
        ("POST", "/echo", true),
        ("PUT", "/echo?a=b", true),
        ("POST", "/orders/7", false),
        ("GET", "/echo", false),
        ("GET", "/text", false),
        ("GET", "/orders/../text", false),
        ("GET", "/orders/%2e%2e/text", false),
        ("GET", "/orders", false),
        ("POST", "/echoes", false),
    ] {
        let before = shop.seen().len();
        let step = request(&host, json!({"method": method, "url": format!("{url}{path}")})).await;
        assert_eq!(step["status"] == "succeeded", reached, "{method} {path}: {step:#}");
        assert_eq!(shop.seen().len() - before, usize::from(reached), "{method} {path}");
        if !reached {
            assert_eq!(step["error"]["fault"], "denied", "{method} {path}: {step:#}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_followed_where_each_hop_is_granted() {
    let (first, second) = (Shop::start().await, Shop::start().await);
    let url = format!("{}/go?to={}/orders/7", first.url(), second.url());
    let half = granted(&format!("\"{}\"", first.url())).await;
    let step = request(&half, json!({"url": url})).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    let refusals = half.refusals(&step).await;
    assert!(refusals[0]["target"].as_str().unwrap().starts_with(&second.url()), "{refusals:#?}");
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));

    let whole = granted(&format!("\"{}\", \"{}\"", first.url(), second.url())).await;
    let step = request(&whole, json!({"url": url})).await;
    assert_eq!(step["output"]["body"]["total"], 250, "{step:#}");
}

#[tokio::test]
async fn a_redirect_in_circles_ends() {
    let shop = Shop::start().await;
    let host = granted(&format!("\"{}\"", shop.url())).await;
    // The encoded address decodes to the beginning of itself, which goes nowhere but to `/go` again.
    let step = request(&host, json!({"url": format!("{0}/go?to={0}/go%3fto=%2fgo", shop.url())})).await;
    assert_eq!(step["error"]["fault"], "limit", "{step:#}");
    assert!(shop.seen().len() < 50, "{}", shop.seen().len());
}

#[tokio::test]
async fn requests_and_responses_have_limits() {
    let shop = Shop::start().await;
    let host = granted(&format!("\"{}\"", shop.url())).await;
    let call = async |limits: Value, config: Value| {
        let flow = json!({"name": "limits", "steps": [
            {"id": "a", "type": "http_request", "limits": limits, "config": config},
        ]});
        host.post("/runs?wait=60s", &json!({"flow": flow})).await.1["steps"]["a"].clone()
    };
    let big = json!({"method": "POST", "url": format!("{}/text", shop.url()), "body": "x".repeat(2_000)});
    let step = call(json!({"request": "1KiB"}), big.clone()).await;
    assert_eq!(step["error"]["code"], "http_limit", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("limits.request"), "{step:#}");
    assert_eq!(shop.seen().len(), 0, "what is too large is not sent");
    assert_eq!(call(json!({"request": "2KiB"}), big).await["status"], "succeeded");

    let get = json!({"url": format!("{}/big", shop.url())});
    let step = call(json!({"response": "10KiB"}), get.clone()).await;
    assert_eq!(step["error"]["code"], "http_limit", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("limits.response"), "{step:#}");
    assert_eq!(call(json!({"response": "1MiB"}), get).await["status"], "succeeded");

    let hop = json!({"url": format!("{0}/go?to={0}/text", shop.url())});
    let step = call(json!({"requests": 1}), hop.clone()).await;
    assert_eq!(step["error"]["code"], "http_limit", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("limits.requests"), "{step:#}");
    assert_eq!(call(json!({"requests": 2}), hop).await["status"], "succeeded");
}

#[tokio::test]
async fn a_denied_call_makes_no_connection() {
    let peer = Peer::start().await;
    let host = granted(&format!("{{ url: \"{}/ok\", methods: [POST] }}", peer.url())).await;
    for config in [
        json!({"url": format!("{}/ok", peer.url())}),
        json!({"method": "POST", "url": format!("{}/noise", peer.url())}),
    ] {
        let step = request(&host, config).await;
        assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    }
    assert_eq!(peer.accepted(), 0);
    let step = request(&host, json!({"method": "POST", "url": format!("{}/ok", peer.url())})).await;
    assert_eq!((&step["status"], peer.accepted()), (&json!("succeeded"), 1), "{step:#}");
}

#[tokio::test]
async fn a_peer_that_misbehaves_is_left_in_time_and_named() {
    let peer = Peer::start().await;
    let host = granted(&format!("\"{}\"", peer.url())).await;
    for path in Peer::PATHS {
        let started = Instant::now();
        let flow = json!({"name": "peer", "steps": [{
            "id": "a", "type": "http_request", "limits": {"time": "1s"},
            "config": {"url": format!("{}{path}", peer.url())},
        }]});
        let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
        let error = &run["error"];
        assert_eq!(run["status"], "failed", "{path}: {run:#}");
        assert!(started.elapsed() < Duration::from_secs(5), "{path}: {:?}", started.elapsed());
        let fault = error["fault"].as_str().unwrap();
        assert!(["unavailable", "timeout", "limit"].contains(&fault), "{path}: {run:#}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&peer.address.to_string()), "{path} is not named: {message}");
        peer.until_alone().await;
    }
    assert_eq!(peer.accepted(), Peer::PATHS.len(), "nobody asked twice by itself");
}

#[tokio::test]
async fn a_cancelled_run_hangs_up() {
    let peer = Peer::start().await;
    let host = granted(&format!("\"{}\"", peer.url())).await;
    let run = host
        .submit(&format!(
            "name: hang\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/silent\" }} }}]",
            peer.url()
        ))
        .await;
    stepcell_tests::eventually("the peer is asked", || async { (peer.open() == 1).then_some(()) }).await;
    let (_, cancelled) = host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!(cancelled["status"], "cancelled", "{cancelled:#}");
    peer.until_alone().await;
}

#[tokio::test]
async fn a_place_where_nobody_listens_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let host = granted(&format!("\"http://{address}\"")).await;
    let step = request(&host, json!({"url": format!("http://{address}/")})).await;
    assert_eq!(step["error"]["fault"], "unavailable", "{step:#}");
    assert_eq!(step["error"]["retryable"], true);
    assert!(step["error"]["message"].as_str().unwrap().contains(&address.to_string()), "{step:#}");
}

#[tokio::test]
async fn a_name_reaches_private_places_only_where_its_networks_are_granted() {
    let (peer, dns) = (Peer::start().await, Dns::start().await);
    let port = peer.address.port();
    for name in ["a.shop.example", "b.shop.example", "shop.example", "a.b.shop.example"] {
        dns.set(name, &[&["127.0.0.1"]]);
    }
    let url = |name: &str| json!({"url": format!("http://{name}:{port}/ok")});
    let with = async |rule: String| {
        let builder = Host::builder().config(&format!("network: {{ dns: [\"{}\"] }}", dns.address));
        builder.config(&format!("grants: {{ http_request: {{ http: [{rule}] }} }}")).start().await
    };
    let host = with(format!("\"http://*.shop.example:{port}\"")).await;
    let step = request(&host, url("a.shop.example")).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    let refusals = host.refusals(&step).await;
    assert!(refusals[0]["allow"].as_str().unwrap().contains("networks"), "{refusals:#?}");
    assert_eq!(peer.accepted(), 0);

    let host = with(format!("{{ url: \"http://*.shop.example:{port}\", networks: [127.0.0.1] }}")).await;
    for name in ["a.shop.example", "b.shop.example", "A.Shop.Example."] {
        let step = request(&host, url(name)).await;
        assert_eq!(step["status"], "succeeded", "{name}: {step:#}");
    }
    for name in ["shop.example", "a.b.shop.example"] {
        let step = request(&host, url(name)).await;
        assert_eq!(step["error"]["fault"], "denied", "a wildcard is one label, {name} is not: {step:#}");
    }
    let step = request(&host, url("unknown.shop.example")).await;
    assert_eq!(step["error"]["fault"], "unavailable", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("unknown.shop.example"), "{step:#}");
}

#[tokio::test]
async fn a_name_that_rebinds_is_connected_to_where_it_was_checked() {
    let (first, second, dns) = (Peer::start().await, Peer::start().await, Dns::start().await);
    dns.set("rebinds.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let host = Host::builder()
        .config(&format!("network: {{ dns: [\"{}\"] }}", dns.address))
        .config("grants: { http_request: { http: [{ url: \"http://rebinds.example:*\", networks: [127.0.0.1] }] } }")
        .start()
        .await;
    let url = |peer: &Peer| json!({"url": format!("http://rebinds.example:{}/ok", peer.address.port())});
    let step = request(&host, url(&first)).await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    assert_eq!((first.accepted(), dns.asked().len()), (1, 1), "it was looked up once");
    let step = request(&host, url(&second)).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("127.0.0.2"), "{step:#}");
    assert_eq!(second.accepted(), 0);
}

#[tokio::test]
async fn a_certificate_is_checked_against_the_roots_of_the_config() {
    let (authority, other) = (Authority::new(), Authority::new());
    let app = || axum::Router::new().fallback(async || "secure");
    let https = Https::start(&authority, &["127.0.0.1"], app()).await;
    let misnamed = Https::start(&authority, &["elsewhere.example"], app()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    let trusting = async |text: Option<String>| {
        let grants = "grants: { http_request: { http: [\"https://127.0.0.1:*\"] } }".to_owned();
        let builder = Host::builder().config(&grants);
        let Some(text) = text else { return builder.start().await };
        std::fs::write(&file, text).unwrap();
        builder.config(&format!("network: {{ ca: [\"{}\"] }}", file.display())).start().await
    };
    let fetch = async |host: &Host, server: &Https| {
        request(host, json!({"url": format!("{}/", server.url("127.0.0.1"))})).await
    };
    for stranger in [None, Some(other.pem())] {
        let step = fetch(&trusting(stranger).await, &https).await;
        assert_eq!(step["error"]["fault"], "unavailable", "{step:#}");
        assert!(step["error"]["message"].as_str().unwrap().contains("certificate"), "{step:#}");
    }
    let host = trusting(Some(authority.pem())).await;
    assert_eq!(fetch(&host, &https).await["output"]["body"], "secure");
    let step = fetch(&host, &misnamed).await;
    assert_eq!(step["error"]["fault"], "unavailable", "signed for another name: {step:#}");
    assert_eq!((https.secured(), misnamed.secured()), (1, 0));
}

#[tokio::test]
async fn two_hundred_steps_share_the_connections_that_the_config_allows() {
    let peer = Peer::start().await;
    let host = Host::builder()
        .config("network: { connections: 8 }")
        .config(&format!("grants: {{ http_request: {{ http: [\"{}\"] }} }}", peer.url()))
        .start()
        .await;
    let config = json!({"url": format!("{}/later", peer.url())});
    let steps: Vec<Value> =
        (0..200).map(|n| json!({"id": format!("s{n}"), "type": "http_request", "config": config})).collect();
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": {"name": "many", "steps": steps}})).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert!((2..=8).contains(&peer.most_open()), "{} connections at a time", peer.most_open());
}
