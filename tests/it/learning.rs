//! Finding out what a flow needs: before it runs, and by a run that collects what was refused.

use std::fs;

use stepcell_tests::{Output, Shop, plugin, stepcell};
use tempfile::TempDir;

/// A snapshot of what a user sees, without what differs from machine to machine.
macro_rules! assert_shown {
    ($output:expr) => {
        insta::with_settings!({filters => vec![
            (r"\b[0-9]+(\.[0-9]+)? ?(µs|us|ms|s)\b", "[TIME]"),
            (r"\b[0-9.]+[kKMG]? fuel", "[FUEL] fuel"),
            (r"127\.0\.0\.1:[0-9]{2,5}", "[SHOP]"),
            (r"[0-9a-f]{64}", "[DIGEST]"),
            (r"[0-9a-f]{12}…?", "[DIGEST]"),
            (r"/\S*/plugins\b", "[PLUGINS]"),
            (r"\b[0-9.]+ (KiB|MiB|KB|MB|kB)\b", "[SIZE]"),
        ]}, {
            insta::assert_snapshot!($output.shown());
        });
    };
}

/// Asks the shop, notes the answer in the database and tells a server of it.
fn flow(shop: &Shop) -> String {
    let url = shop.url();
    format!(
        r#"name: needs
steps:
  - id: order
    type: http_request
    config: {{ url: "{url}/orders/7", headers: {{ authorization: "Bearer {{{{ secret.token }}}}" }} }}
  - id: table
    type: database_query
    after: order
    config: {{ query: "CREATE TABLE IF NOT EXISTS orders (id TEXT, total REAL)" }}
  - id: note
    type: database_query
    after: table
    config: {{ query: "INSERT INTO orders VALUES ($1, $2)", params: ["{{{{ steps.order.body.id }}}}", "{{{{ steps.order.body.total }}}}"] }}
  - id: tell
    type: webhook
    after: note
    config: {{ url: "{url}/text" }}
"#
    )
}

fn folder(shop: &Shop) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("flow.yaml"), flow(shop)).unwrap();
    let secret = format!("secrets: {{ token: {{ value: t0p, hosts: [\"{}\"] }} }}\n", shop.url());
    fs::write(folder.path().join("stepcell.yaml"), secret).unwrap();
    folder
}

/// The commands block; the shop they call lives on this test's runtime.
async fn call(folder: &TempDir, arguments: &'static [&'static str]) -> Output {
    let folder = folder.path().to_owned();
    tokio::task::spawn_blocking(move || stepcell(&folder, arguments)).await.unwrap()
}

#[tokio::test]
async fn learning_prints_the_smallest_grant_and_with_it_the_run_succeeds() {
    let shop = Shop::start().await;
    let folder = folder(&shop);
    let secret = fs::read_to_string(folder.path().join("stepcell.yaml")).unwrap();
    let mut learned = String::new();
    // What comes after a refused step is refused in the next round.
    for _ in 0..8 {
        let round = call(&folder, &["run", "--learn", "flow.yaml"]).await;
        if round.code == Some(0) {
            break;
        }
        assert_eq!(round.code, Some(1), "{}", round.shown());
        learned = round.stdout;
        fs::write(folder.path().join("stepcell.yaml"), format!("{secret}{learned}")).unwrap();
    }
    let done = call(&folder, &["run", "flow.yaml"]).await;
    assert_eq!(done.code, Some(0), "{}", done.shown());
    insta::with_settings!({filters => vec![(r"127\.0\.0\.1:[0-9]{2,5}", "[SHOP]")]}, {
        insta::assert_snapshot!(learned);
    });
}

#[tokio::test]
async fn explain_says_what_each_step_gets_and_why_not_more() {
    let shop = Shop::start().await;
    let folder = folder(&shop);
    let grants = format!(
        "secrets: {{ token: {{ value: t0p, hosts: [\"{0}\"] }} }}\ngrants:\n  http_request: {{ http: [\"{0}\", \"https://*\"] }}\n  database_query: {{ databases: {{ main: {{ access: write, tables: [orders] }} }} }}\n",
        shop.url()
    );
    fs::write(folder.path().join("stepcell.yaml"), grants).unwrap();
    let explained = call(&folder, &["explain", "flow.yaml"]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.shown());
    assert_shown!(explained);
    assert_eq!(shop.seen().len(), 0, "nothing ran");
}

#[test]
fn inspect_lists_what_a_component_can_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["webhook", "database_query", "send_email", "transform"] {
        let file = plugin(name);
        let inspected = stepcell(folder.path(), &["plugins", "inspect", file.to_str().unwrap()]);
        assert_eq!(inspected.code, Some(0), "{}", inspected.shown());
        insta::with_settings!({filters => vec![
            (r"[0-9a-f]{64}", "[DIGEST]"),
            (r"/\S*/plugins\b", "[PLUGINS]"),
            (r"\b[0-9.]+ ?(KiB|MiB|KB|MB|kB|B|bytes)\b", "[SIZE]"),
        ], snapshot_suffix => name}, {
            // The rest is the schema of the config.
            insta::assert_snapshot!(inspected.stdout.split("config schema").next().unwrap());
        });
    }
}
