//! Plugin folders: what is taken in, what is refused, and what happens when files change.

use serde_json::json;

use super::*;
use crate::GrantSource;

#[tokio::test]
async fn components_and_core_modules_are_taken() {
    let files = [("a.wasm", Guest::echo("a").component()), ("b.wasm", Guest::echo("b").module())];
    let host = Host::with(&files, |_| {}).await;
    assert!(host.sandbox.ready());
    for kind in ["a", "b"] {
        assert_eq!(done(host.run(kind, "{}").await), "{}");
    }
    assert_eq!(host.info("a.wasm").unwrap().digest, Some(Digest::of(&files[0].1)));
    assert_eq!(host.info("b.wasm").unwrap().digest, Some(Digest::of(&files[1].1)));
}

#[tokio::test]
async fn a_file_that_is_no_plugin_is_refused_and_stops_nothing_else() {
    let echo = Guest::echo("good").component();
    let unknown = r#"(component (import "wasi:keyvalue/store@0.2.0" (instance)))"#;
    let files = [
        ("cut.wasm", echo[..echo.len() / 2].to_vec()),
        ("described.wasm", Guest::echo("d").describing("category", json!("none")).component()),
        ("empty.wasm", wat::parse_str("(component)").unwrap()),
        ("good.wasm", echo),
        ("junk.wasm", b"\0asm\x0d\0\x01\0\x01\x03abc".to_vec()),
        ("module.wasm", wat::parse_str("(module)").unwrap()),
        ("text.wasm", b"hello".to_vec()),
        ("unknown.wasm", wat::parse_str(unknown).unwrap()),
    ];
    let host = Host::with(&files, |_| {}).await;
    let check = |name: &str, reason: &str| {
        let refused = host.refusal(name).unwrap_or_else(|| panic!("{name} is not refused"));
        assert!(refused.contains(reason), "{name}: {refused}");
    };
    check("cut.wasm", "ends in the middle");
    check("described.wasm", "`category`");
    check("empty.wasm", "exports neither");
    check("junk.wasm", "no valid component");
    check("module.wasm", "exports neither");
    check("text.wasm", "no WebAssembly file");
    check("unknown.wasm", "imports `wasi:keyvalue/store@0.2.0`");
    assert_eq!(done(host.run("good", "{}").await), "{}");
    assert_eq!(host.sandbox.catalog().types.len(), 1);
}

#[tokio::test]
async fn a_description_that_never_ends_is_refused() {
    let guest = Guest::echo("t").importing("(func $forever (loop (br 0))) (start $forever)", "");
    let host = Host::with(&[("loop.wasm", guest.component())], |_| {}).await;
    let refusal = host.refusal("loop.wasm").unwrap();
    assert!(refusal.contains("`describe` failed: the step used up its fuel"), "{refusal}");
}

#[tokio::test]
async fn a_file_that_is_dropped_in_is_taken_up() {
    let host = Host::start().await;
    assert!(host.provider("t").is_none());
    host.put("t.wasm", &Guest::echo("t").component());
    host.until(|host| host.provider("t")).await;
    assert_eq!(done(host.run("t", "{}").await), "{}");
    fs::remove_file(host.folder().join("t.wasm")).unwrap();
    host.until(|host| host.provider("t").is_none().then_some(())).await;
    assert!(host.sandbox.list().is_empty());
}

#[tokio::test]
async fn a_replaced_file_serves_new_runs_and_the_old_one_those_that_pinned_it() {
    let host = Host::with(&[("t.wasm", Guest::says("t", "1").component())], |_| {}).await;
    let old = host.provider("t").unwrap();
    host.put(".next", &Guest::says("t", "2").component());
    fs::rename(host.folder().join(".next"), host.folder().join("t.wasm")).unwrap();
    let new = host.until(|host| host.provider("t").filter(|new| new.digest != old.digest)).await;
    assert_eq!(done(host.sandbox.run(call(new, "{}")).await), "2");
    let pinned = host.sandbox.pinned(old.digest).await.unwrap();
    assert_eq!(done(host.sandbox.run(call(pinned, "{}")).await), "1");
}

#[tokio::test]
async fn a_slow_copy_is_waited_for() {
    let host = Host::start().await;
    let bytes = Guest::echo("t").component();
    let (start, rest) = bytes.split_at(bytes.len() / 2);
    host.put("t.wasm", start);
    // It is found, and then read and found to be cut short: two changes that the library tells of.
    let mut changes = 0;
    let read = host.sandbox.shared().library.changed(|_| {
        changes += usize::from(host.info("t.wasm").is_some());
        (changes == 2).then_some(())
    });
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(host.refusal("t.wasm"), None);
    host.put("t.wasm", &[start, rest].concat());
    host.until(|host| host.provider("t")).await;
}

#[tokio::test]
async fn a_pinned_plugin_is_found_in_the_cache_after_a_restart() {
    let host = Host::with(&[("t.wasm", Guest::says("t", "1").component())], |_| {}).await;
    let digest = host.provider("t").unwrap().digest;
    let Host { temp, sandbox } = host;
    drop(sandbox);
    fs::remove_file(temp.path().join("plugins/t.wasm")).unwrap();
    let sandbox = Sandbox::start(options(temp.path())).await.unwrap();
    sandbox.settled().await;
    let pinned = sandbox.pinned(digest).await.unwrap();
    assert_eq!(pinned.digest, digest);
    assert_eq!(done(sandbox.run(call(pinned, "{}")).await), "1");
    assert!(sandbox.pinned(Digest::of(b"never seen")).await.is_none());
}

#[tokio::test]
async fn a_warm_start_compiles_nothing() {
    let host = Host::with(&[("t.wasm", Guest::echo("t").component())], |_| {}).await;
    let Host { temp, sandbox } = host;
    drop(sandbox);
    let mut options = options(temp.path());
    options.compiler.program = "/there/is/no/compiler".into();
    let sandbox = Sandbox::start(options).await.unwrap();
    sandbox.settled().await;
    assert!(sandbox.catalog().types.contains_key("t"), "{:?}", sandbox.list());
}

#[tokio::test]
async fn the_first_folder_wins_and_the_loser_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let builtins = temp.path().join("builtins");
    fs::create_dir(&builtins).unwrap();
    fs::write(builtins.join("a.wasm"), Guest::says("t", "1").component()).unwrap();
    let files =
        [("y.wasm", Guest::says("t", "2").component()), ("z.wasm", Guest::says("t", "3").component())];
    let host = Host::with(&files, |options| options.builtins = Some(builtins)).await;
    assert_eq!(done(host.run("t", "{}").await), "2");
    for loser in ["a.wasm", "z.wasm"] {
        assert!(host.refusal(loser).unwrap().contains("y.wasm"));
    }
}

#[tokio::test]
async fn several_files_serve_one_type_by_match() {
    let guest = |text: &str, language: &str| {
        Guest::says("code", text).describing("match", json!({"language": language})).component()
    };
    let files = [
        ("all.wasm", Guest::says("code", "0").component()),
        ("x.wasm", guest("1", "x")),
        ("y.wasm", guest("2", "y")),
    ];
    let host = Host::with(&files, |_| {}).await;
    let catalog = host.sandbox.catalog();
    let route =
        |language: &str| catalog.types["code"].route(&json!({"language": language})).unwrap().file.clone();
    assert!(route("x").ends_with("x.wasm"));
    assert!(route("y").ends_with("y.wasm"));
    assert!(route("z").ends_with("all.wasm"));
}

#[tokio::test]
async fn only_listed_files_of_the_host_get_its_default_grants() {
    let host = Host::with(&[], |options| {
        let builtins = options.cache.with_file_name("builtins");
        fs::create_dir(&builtins).unwrap();
        let listed = Guest::echo("listed").component();
        fs::write(builtins.join("listed.wasm"), &listed).unwrap();
        let bare = Guest::echo("bare").component();
        fs::write(builtins.join("bare.wasm"), &bare).unwrap();
        fs::write(builtins.join("other.wasm"), Guest::echo("other").component()).unwrap();
        let list = json!({
            "listed": { "digest": Digest::of(&listed), "grants": { "http": ["https://*"] } },
            "bare": { "digest": Digest::of(&bare) },
        });
        fs::write(builtins.join("builtins.json"), list.to_string()).unwrap();
        options.builtins = Some(builtins);
    })
    .await;
    let granted = |kind: &str| {
        let provider = host.provider(kind).unwrap();
        let (grant, source) = host.sandbox.grant_of(kind, provider.digest);
        (grant.http.is_some(), source)
    };
    assert_eq!(granted("listed"), (true, GrantSource::Shipped));
    assert_eq!(granted("bare"), (false, GrantSource::Nothing));
    assert_eq!(granted("other"), (false, GrantSource::Nothing));
}

#[tokio::test]
async fn a_cache_that_others_can_write_to_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let options = options(temp.path());
    fs::create_dir(&options.cache).unwrap();
    fs::set_permissions(&options.cache, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Sandbox::start(options).await.err().unwrap();
    assert_eq!(error.code(), "cache_unusable");
    assert!(error.to_string().contains("others can write to it"), "{error}");
}

#[tokio::test]
async fn a_compiler_that_dies_is_told_by_its_signal() {
    let host = Host::with(&[("t.wasm", Guest::echo("t").component())], |options| {
        options.compiler =
            Compiler { program: "/bin/sh".into(), args: vec!["-c".into(), "kill -ABRT $$".into()] };
    })
    .await;
    let refusal = host.refusal("t.wasm").unwrap();
    assert!(refusal.contains("ended by signal 6"), "{refusal}");
}

#[tokio::test]
async fn a_plugin_is_installed_replaced_and_removed() {
    let host = Host::start().await;
    let info = host.sandbox.install(Guest::says("t", "1").component().into()).await.unwrap();
    assert!(info.file.ends_with("plugins/t.wasm"), "{}", info.file);
    assert_eq!(done(host.run("t", "{}").await), "1");
    host.sandbox.install(Guest::says("t", "2").component().into()).await.unwrap();
    assert_eq!(done(host.run("t", "{}").await), "2");
    assert_eq!(host.sandbox.list().len(), 1);
    let removed = host.sandbox.remove("t".to_owned()).await.unwrap();
    assert_eq!(removed.len(), 1);
    assert!(host.provider("t").is_none());
    let failure = host.sandbox.remove("t".to_owned()).await.unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("unknown_type"));
}

#[tokio::test]
async fn what_is_no_plugin_is_not_installed() {
    let host = Host::start().await;
    for bytes in [b"hello".to_vec(), wat::parse_str("(component)").unwrap()] {
        let failure = host.sandbox.install(bytes.into()).await.unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("plugin_refused"));
    }
    assert_eq!(fs::read_dir(host.folder()).unwrap().count(), 0);
}

#[tokio::test]
async fn one_file_can_be_inspected_by_itself() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("t.wasm");
    fs::write(&file, Guest::echo("t").component()).unwrap();
    let info = crate::inspect(&file, options(temp.path())).await.unwrap();
    assert_eq!(info.state, PluginState::Ready { kind: "t".to_owned() });
    fs::write(&file, "hello").unwrap();
    let info = crate::inspect(&file, options(temp.path())).await.unwrap();
    assert!(matches!(info.state, PluginState::Refused { .. }));
    let error = crate::inspect(&temp.path().join("none"), options(temp.path())).await.unwrap_err();
    assert_eq!(error.code(), "file_unreadable");
}
