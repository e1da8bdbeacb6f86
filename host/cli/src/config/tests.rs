use std::{collections::HashMap, fs, time::Duration};

use tempfile::TempDir;

use super::*;

/// A folder with a config file and a flow, and an environment of its own.
struct Place {
    folder: TempDir,
    variables: HashMap<&'static str, &'static str>,
}

impl Place {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), config).unwrap();
        Self { folder, variables: HashMap::new() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.insert(name, value);
        self
    }

    fn load(&self, flags: &Flags) -> Result<Config, Error> {
        let flow = self.folder.path().join("flow.yaml");
        Config::load_with(flags, Some(&flow), &|name| self.variables.get(name).map(ToString::to_string))
    }

    fn config(&self) -> Config {
        self.load(&Flags::default()).unwrap()
    }

    /// The listing of everything that is wrong, under a file name that is the same everywhere.
    fn problems(&self) -> String {
        match self.load(&Flags::default()) {
            Err(Error::Problems(mut listing)) => {
                listing.file = FILE_NAME.to_owned();
                listing.to_string()
            }
            other => panic!("no problems: {other:?}"),
        }
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = Place::new("").config();
    assert_eq!(config.listen, DEFAULT_LISTEN);
    assert_eq!(config.data, PathBuf::from("stepcell-data"));
    assert_eq!(config.store, StoreKind::Sled);
    assert_eq!(config.limits, Limits::default());
    assert_eq!((&config.concurrency, config.retention), (&Concurrency::default(), Retention::default()));
    assert_eq!((config.events_kept, config.drain), (None, DEFAULT_DRAIN));
    assert_eq!(config.grants.iter().count(), 0);
}

#[test]
fn every_key_is_read() {
    let config = Place::new(
        "listen: localhost:0\ndata: ./d\nstore: memory\nplugins: [p, /q]\n\
         limits: { fuel: 5G, memory: 64MiB, time: 90s, output: 1048576, requests: 20 }\n\
         grants:\n  http_request: { http: ['https://*', 'http://127.0.0.1:8080'] }\n  \
         my_step:\n    http: [{ url: 'https://api.example.com/v1/', methods: [GET], networks: [10.0.0.0/8] }]\n    \
         limits: { memory: 256MiB }\n",
    );
    let folder = config.folder.path().to_owned();
    let config = config.config();
    assert_eq!(config.listen, "127.0.0.1:0".parse().unwrap());
    assert_eq!(config.data, folder.join("./d"));
    assert_eq!(config.store, StoreKind::Memory);
    assert_eq!(config.plugins, [folder.join("p"), PathBuf::from("/q")]);
    let limits = Limits {
        fuel: 5_000_000_000,
        memory: 64 << 20,
        time: Duration::from_secs(90),
        output: 1 << 20,
        requests: 20,
        ..Limits::default()
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.grants.by_type["http_request"].http.as_ref().unwrap().len(), 2);
    assert_eq!(config.grants.by_type["my_step"].limits.memory, Some(256 << 20));
}

#[test]
fn flags_win_over_the_environment_over_the_file() {
    let place = Place::new("listen: 127.0.0.1:1\ndata: a\nplugins: [a]\n");
    assert_eq!(place.config().listen.port(), 1);
    let place = place
        .with("STEPCELL_LISTEN", "127.0.0.1:2")
        .with("STEPCELL_DATA", "b")
        .with("STEPCELL_PLUGINS", "b:c");
    let config = place.config();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.data, PathBuf::from("b"));
    assert_eq!(config.plugins, [PathBuf::from("b"), PathBuf::from("c")]);
    let flags = Flags {
        listen: Some("127.0.0.1:3".to_owned()),
        data: Some("c".into()),
        plugins: vec!["d:e".into()],
        config: None,
    };
    let config = place.load(&flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data, PathBuf::from("c"));
    assert_eq!(config.plugins, [PathBuf::from("d:e")]);
}

#[test]
fn a_named_file_wins_over_the_one_beside_the_flow() {
    let other = Place::new("listen: 127.0.0.1:9\n");
    let flags = Flags { config: Some(other.folder.path().join(FILE_NAME)), ..Flags::default() };
    let place = Place::new("listen: 127.0.0.1:1\n");
    assert_eq!(place.load(&flags).unwrap().listen.port(), 9);
}

#[test]
fn a_named_file_has_to_be_there() {
    let flags = Flags { config: Some("nowhere.yaml".into()), ..Flags::default() };
    let error = Place::new("").load(&flags).unwrap_err();
    assert_eq!(error.to_string(), "the config file `nowhere.yaml` is not there");
}

#[test]
fn variables_are_filled_in() {
    let place = Place::new("listen: 127.0.0.1:${PORT:-1}\ndata: ${HOME}/d\n").with("HOME", "/h");
    assert_eq!(place.config().listen.port(), 1);
    assert_eq!(place.config().data, PathBuf::from("/h/d"));
    assert_eq!(place.with("PORT", "2").config().listen.port(), 2);
}

#[test]
fn a_variable_adds_no_keys() {
    let place = Place::new("data: ${EVIL}\n").with("EVIL", "x\nstore: memory");
    assert_eq!(place.config().store, StoreKind::Sled);
}

#[test]
fn a_bad_address_is_named_with_its_source() {
    let error = Place::new("").with("STEPCELL_LISTEN", "here").load(&Flags::default()).unwrap_err();
    assert_eq!(error.to_string(), "`here` in `STEPCELL_LISTEN` is no address with a port");
}

#[test]
fn unknown_keys_are_named_with_the_known_ones() {
    insta::assert_snapshot!(Place::new("limit: {}\nroutes: {}\ngrants: { x: { htpp: [] } }\n").problems());
}

#[test]
fn unset_variables_are_found_in_the_line() {
    insta::assert_snapshot!(
        Place::new("data: \"a/${ONE}\" # é\nplugins:\n  - x\n  - é ${TWO:-${THREE}}\n").problems()
    );
}

#[test]
fn wrong_values_are_listed_all_at_once() {
    let place = Place::new(
        "listen: 80\ndata: [x]\nstore: redis\nplugins: x\n\
         limits: { fuel: many, memory: 1.5GiB, time: 60, output: }\n\
         grants:\n  a: { http: ['ftp://x', { methods: [GET] }, { url: 'https://x', methods: [] }] }\n  b: []\n",
    );
    insta::assert_snapshot!(place.problems());
}

#[test]
fn broken_yaml_is_found_in_its_line() {
    let problems = Place::new("listen: 127.0.0.1:1\nlimits: {fuel\n").problems();
    assert!(problems.starts_with("stepcell.yaml:"), "{problems}");
}

/// The config of the design, but for what comes later.
const WHOLE: &str = r#"
listen: 127.0.0.1:7420
data: ./stepcell-data
store: sled
plugins: [./plugins]
limits: { fuel: 10G, memory: 128MiB, time: 60s, output: 16MiB }
budget: { fuel: 100G, requests: 1K, bytes: 1GiB, rows: 1M, tokens: 200K }
concurrency: { runs: 5K, queue: 0, flows: { order-intake: 10 }, steps: { llm_call: 4 } }
retention: { age: 30d, runs: 1M }
events: { keep: 2h }
drain: 10s
databases:
  main: { url: "sqlite:main.db" }
  shop: { url: "${SHOP_URL}", role: flows_ro, connections: 4, time: 5s, ca: [shop.pem] }
secrets:
  github: { env: GITHUB_TOKEN, hosts: ["https://api.github.com"] }
  stripe: { file: stripe.key, hosts: ["https://api.stripe.com"] }
  plain: { value: "s3cr3t-value", hosts: [] }
email: { url: "smtp://127.0.0.1:2525", from: "flows@example.com" }
network: { ca: [ours.pem], dns: ["127.0.0.1:53"], connections: 64, connect: 2s }
grants:
  http_request: { http: ["https://*", "http://127.0.0.1:8080"], secrets: [github] }
  database_query: { databases: { main: schema, shop: read } }
  my_step: { http: [{ url: "https://api.example.com/v1/", methods: [GET], networks: [10.0.0.0/8] }], limits: { memory: 256MiB } }
  my_step@sha256:0000000000000000000000000000000000000000000000000000000000000001: { files: ["./in"] }
"#;

fn whole() -> Place {
    Place::new(WHOLE).with("SHOP_URL", "postgres://flows:pa55w0rd@db.example/shop")
}

#[test]
fn the_config_of_the_design_is_read() {
    let place = whole();
    let folder = place.folder.path();
    let config = place.config();
    assert_eq!(config.budget.tokens, Some(200_000));
    let concurrency = Concurrency {
        runs: Some(5_000),
        queue: Some(0),
        flows: BTreeMap::from([("order-intake".to_owned(), 10)]),
        steps: BTreeMap::from([("llm_call".to_owned(), 4)]),
    };
    assert_eq!(config.concurrency, concurrency);
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(config.retention, Retention { age: Some(month), runs: Some(1_000_000) });
    assert_eq!(
        (config.events_kept, config.drain),
        (Some(Duration::from_secs(7_200)), Duration::from_secs(10))
    );
    let shop = &config.databases["shop"];
    assert_eq!(shop.url.as_str(), "postgres://flows:pa55w0rd@db.example/shop");
    assert_eq!((shop.role.as_deref(), shop.connections), (Some("flows_ro"), Some(4)));
    assert_eq!((shop.time, &shop.ca), (Some(Duration::from_secs(5)), &vec![folder.join("shop.pem")]));
    assert_eq!(config.secrets["github"].hosts.len(), 1);
    assert_eq!(config.email.as_ref().unwrap().from, "flows@example.com");
    let network = Network {
        ca: vec![folder.join("ours.pem")],
        dns: vec!["127.0.0.1:53".parse().unwrap()],
        connections: Some(64),
        connect: Some(Duration::from_secs(2)),
    };
    assert_eq!(config.network, network);
    let keys: Vec<String> = config.grants.iter().map(|(key, _)| key).collect();
    assert_eq!(keys[..3], ["database_query", "http_request", "my_step"]);
    let digest = keys[3].strip_prefix("my_step@sha256:").unwrap().parse().unwrap();
    let (grant, source) = config.grants.of("my_step", Some(digest)).unwrap();
    assert_eq!(source, stepcell_sandbox::GrantSource::File(digest));
    // The folder holds wherever the line is pasted.
    assert_eq!(grant.files.as_ref().unwrap()[0].path, Some(folder.join("./in")));
    assert_eq!(config.grants.of("my_step", None).unwrap().1, stepcell_sandbox::GrantSource::Type);
    assert!(config.grants.of("transform", Some(digest)).is_none());
}

#[test]
fn secrets_are_never_shown() {
    let config = whole().config();
    let shown = format!("{config:?}");
    for hidden in ["s3cr3t-value", "pa55w0rd", "postgres://"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    let misplaced = Place::new(
        "secrets: { a: ghp_misplaced, b: { value: [ghp_list], hosts: [] }, c: { value: 1234567, hosts: [] } }\n\
         databases: { a: \"mysql://u:ghp_url@x/y\", b: { url: \"mysql://u:ghp_url@x/y\" } }\n\
         email: { url: \"imap://u:ghp_mail@x/y\", from: f@x.org }\n",
    );
    let problems = misplaced.problems();
    assert!(!problems.contains("ghp_") && !problems.contains("1234567"), "{problems}");
    insta::assert_snapshot!(problems);
}

#[test]
fn services_are_checked_all_at_once() {
    let place = Place::new(
        "budget: { fuel: 0, row: 1 }\n\
         databases:\n  a b: { url: \"sqlite:x.db\" }\n  c: { role: x }\n  d: { url: \"sqlite:d.db\", role: r, connections: 0 }\n\
         secrets:\n  a: { hosts: [] }\n  b: { env: A, file: B, hosts: [] }\n  c: { env: A }\n  d: { env: A, hosts: [\"ftp://x\"], host: 1 }\n\
         email: { url: \"smtp://mail.example.com\" }\n\
         network: { ca: x.pem, dns: [\"1.1.1.1\"], connections: many, proxy: x }\n\
         grants:\n  x@sha256:12: {}\n  y: { limits: { fuel: many } }\n",
    );
    insta::assert_snapshot!(place.problems());
}

#[test]
fn amounts_at_a_time_are_checked_all_at_once() {
    let place = Place::new(
        "concurrency: { runs: 0, queue: -1, flows: { a: 0, b: 2 }, steps: [llm_call], step: 1 }\n\
         retention: { age: 30, runs: many }\nevents: { keep: 31d }\ndrain: { time: 30s }\n",
    );
    insta::assert_snapshot!(place.problems());
}

#[test]
fn the_values_of_secrets_are_fetched_for_a_run() {
    let place = Place::new(
        "secrets:\n  a: { env: A, hosts: [] }\n  b: { file: b.key, hosts: [\"https://x.org\"] }\n  c: { value: c, hosts: [] }\n",
    );
    let fetch = |place: &Place| {
        place.config().fetch_secrets_with(&|name| place.variables.get(name).map(ToString::to_string))
    };
    let Err(Error::Problems(mut listing)) = fetch(&place) else { panic!("fetched") };
    listing.file = FILE_NAME.to_owned();
    let folder = place.folder.path().display().to_string();
    insta::assert_snapshot!(listing.to_string().replace(&folder, "FOLDER"));
    fs::write(place.folder.path().join("b.key"), "line one\r\n").unwrap();
    let place = place.with("A", "a");
    let secrets = fetch(&place).unwrap();
    assert_eq!(secrets.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(secrets["b"].hosts.len(), 1);
    let place = place.with("A", "");
    assert!(matches!(fetch(&place), Err(Error::Problems(_))), "an empty secret is none");
    assert_eq!(place.config().secrets_without_values().len(), 3);
}

#[test]
fn the_example_is_read_with_and_without_its_comments() {
    let example = include_str!("../../../../examples/stepcell.yaml");
    let config = Place::new(example).config();
    assert_eq!((config.secrets.len(), config.grants.iter().count()), (2, 4));
    // Its comments that are keys, in place of the grants that they would repeat.
    let whole: Vec<String> = example
        .lines()
        .filter(|line| !line.starts_with("  http_request:") && !line.starts_with("  database_query:"))
        .map(|line| match line.trim_start().strip_prefix("# ") {
            Some(rest) if is_key(rest) => format!("{}{rest}", &line[..line.len() - line.trim_start().len()]),
            _ => line.to_owned(),
        })
        .collect();
    let place = Place::new(&whole.join("\n"))
        .with("SHOP_DATABASE", "postgres://db.example/shop")
        .with("SMTP_USER", "u")
        .with("SMTP_PASSWORD", "p");
    let config = place.config();
    assert_eq!(config.limits, Limits::default(), "the defaults are those of the comment");
    assert_eq!((config.databases.len(), config.secrets.len(), config.grants.iter().count()), (2, 4, 6));
    assert!(config.email.is_some() && config.budget.rows == Some(1_000_000));
    assert_eq!(config.network.connections, Some(512));
    let default = stepcell_engine::Admission::default();
    let Concurrency { runs, queue, flows, steps } = config.concurrency;
    assert_eq!((runs, queue), (Some(default.active), Some(default.queue)), "as are those of runs at a time");
    assert_eq!((flows.len(), steps.len(), config.retention.runs), (1, 1, Some(1_000_000)));
    assert_eq!(config.events_kept, Some(stepcell_engine::DEFAULT_EVENTS_KEPT));
    assert_eq!(config.drain, DEFAULT_DRAIN);
}

/// Whether a comment is a key with its value, and no sentence.
fn is_key(comment: &str) -> bool {
    let key = comment.trim_start().split(':').next().unwrap_or_default();
    comment.contains(':')
        && !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
