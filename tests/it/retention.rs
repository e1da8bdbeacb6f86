//! Finished runs are kept for as long as the operator says.

use serde_json::{Value, json};
use stepcell_tests::{Host, eventually};

/// A text that is found on the disk nowhere else.
fn payload(n: u64) -> String {
    format!("retained payload {n} ").repeat(20_000)
}

async fn done(host: &Host, n: u64) -> String {
    let flow = json!({"name": "keep", "steps": [
        {"id": "a", "type": "transform", "config": {"output": "{{ input.text }}"}},
    ]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow, "input": {"text": payload(n)}})).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    run["run_id"].as_str().unwrap().to_owned()
}

/// The ids of all runs, newest first, once there are so many.
async fn left(host: &Host, count: usize) -> Vec<String> {
    eventually(&format!("{count} runs are left"), || async {
        let (_, page) = host.get("/runs?limit=100").await;
        let ids: Vec<_> = page["runs"]
            .as_array()?
            .iter()
            .map(|run| run["run_id"].as_str().unwrap_or_default().to_owned())
            .collect();
        (ids.len() == count).then_some(ids)
    })
    .await
}

#[tokio::test]
async fn the_oldest_runs_beyond_the_number_go_with_their_blobs() {
    let mut host = Host::builder().config("retention: { runs: 2 }").start().await;
    let mut runs = Vec::new();
    for n in 0..5 {
        runs.push(done(&host, n).await);
    }
    let parked =
        host.submit("name: ask\nsteps: [{ id: ok, type: wait_for_approval, config: { label: Go } }]").await;
    host.until(&parked, "waiting").await;
    let blobs = host.folder().join("stepcell-data").join("blobs");
    let before = files(&blobs);
    assert!(before >= 5, "outputs of this size are files: {before}");
    // The first look is soon after a start.
    host.restart().await;
    runs.push(parked);
    runs.reverse();
    assert_eq!(left(&host, 3).await, runs[..3]);
    let (status, gone) = host.get(&format!("/runs/{}", runs[5])).await;
    assert_eq!((status.as_u16(), &gone["code"]), (404, &json!("no_such_run")));
    eventually("the blobs of three runs are gone", || async {
        (files(&blobs) <= before * 2 / 5).then_some(())
    })
    .await;
}

/// How many files there are below a folder.
fn files(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { 1 };
    entries.map(|entry| count(entry.unwrap().path())).sum()
}

#[tokio::test]
async fn what_is_too_old_goes_and_what_goes_on_stays() {
    let mut host = Host::builder().config("retention: { age: 1s }").start().await;
    let parked =
        host.submit("name: ask\nsteps: [{ id: ok, type: wait_for_approval, config: { label: Go } }]").await;
    host.until(&parked, "waiting").await;
    for n in 0..3 {
        done(&host, n).await;
    }
    host.restart().await;
    assert_eq!(left(&host, 1).await, std::slice::from_ref(&parked));
    let (status, resumed) = host.resume(&parked, &json!({"payload": null})).await;
    assert_eq!(status, 200, "{resumed:#}");
    let ended = host.until(&parked, "succeeded").await;
    assert!(matches!(ended["finished_at"], Value::String(_)));
}
