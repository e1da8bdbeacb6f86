//! Two hosts on one data folder.

use serde_json::json;
use stepcell_tests::{Host, stepcell};

#[tokio::test]
async fn a_second_host_on_the_folder_is_refused_and_hurts_nobody() {
    let host = Host::start().await;
    let run = host.submit("name: nap\nsteps: [{ id: a, type: delay, config: { seconds: 1 } }]").await;
    let second = stepcell(host.folder(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""), "{}", second.shown());
    assert!(second.stderr.contains("in use by another process"), "{}", second.shown());
    assert!(second.stderr.contains("hint:") && second.stderr.contains("`--data`"), "{}", second.shown());
    let run = host.until(&run, "succeeded").await;
    assert_eq!(run["output"]["a"], json!({"delayed_seconds": 1}), "{run:#}");
}

/// Who was killed holds nothing: neither the folder nor the port.
#[tokio::test]
async fn the_folder_of_a_killed_host_is_free_at_once() {
    let mut host = Host::start().await;
    for _ in 0..3 {
        host.restart().await;
        assert_eq!(host.get("/runs").await.0, 200);
    }
}
