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
    assert!(config.grants.is_empty());
}

#[test]
fn every_key_is_read() {
    let config = Place::new(
        "listen: localhost:0\ndata: ./d\nstore: memory\nplugins: [p, /q]\n\
         limits: { fuel: 5G, memory: 64MiB, time: 90s, output: 1048576 }\n\
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
    let limits =
        Limits { fuel: 5_000_000_000, memory: 64 << 20, time: Duration::from_secs(90), output: 1 << 20 };
    assert_eq!(config.limits, limits);
    assert_eq!(config.grants["http_request"].http.len(), 2);
    assert_eq!(config.grants["my_step"].limits.memory, Some(256 << 20));
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
    insta::assert_snapshot!(Place::new("limit: {}\nsecrets: {}\ngrants: { x: { htpp: [] } }\n").problems());
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
