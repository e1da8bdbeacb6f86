//! Folders by grant; without one a step sees nothing of the disk.

use std::{fs, os::unix::fs::symlink};

use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};
use stepcell_tests::Host;

/// `./in` may be read and `./out` written, beside a file that is nobody's business.
async fn granted() -> Host {
    let mut host = Host::builder().guest("uses_files").start().await;
    for folder in ["in", "in/deep", "out", "other"] {
        fs::create_dir(host.folder().join(folder)).unwrap();
    }
    for (file, text) in [
        ("in/a.txt", "a"),
        ("in/deep/b.txt", "b"),
        ("other/private.txt", "private"),
        ("beside.txt", "beside"),
    ] {
        fs::write(host.folder().join(file), text).unwrap();
    }
    host.paste("grants: { uses_files: { files: [\"./in\", { path: ./out, at: /results, access: write }] } }")
        .await;
    host
}

async fn uses(host: &Host, action: &str, path: &str) -> Value {
    let mut config = json!({"action": action, "path": path});
    match action {
        "folders" => config = json!({"action": "folders"}),
        "write" => config["text"] = json!("written"),
        _ => {}
    }
    host.step("uses_files", config).await
}

#[tokio::test]
async fn a_step_sees_nothing_by_default() {
    let host = Host::builder().guest("uses_files").start().await;
    assert_eq!(uses(&host, "folders", "").await["output"], json!([]));
    assert_eq!(uses(&host, "read", "/etc/passwd").await["error"]["code"], "no_folder");
}

#[tokio::test]
async fn granted_folders_are_read_and_written() {
    let host = granted().await;
    let step = uses(&host, "folders", "").await;
    assert_eq!(step["output"], json!(["/in", "/results"]), "{step:#}");
    for (action, path, output) in [
        ("read", "/in/a.txt", json!("a")),
        ("read", "/in/deep/b.txt", json!("b")),
        ("list", "/in", json!(["a.txt", "deep"])),
        ("write", "/results/c.txt", json!(7)),
        ("read", "/results/c.txt", json!("written")),
        ("remove", "/results/c.txt", json!(null)),
    ] {
        let step = uses(&host, action, path).await;
        assert_eq!(step["output"], output, "{action} {path}: {step:#}");
    }
    assert_eq!(fs::read_dir(host.folder().join("out")).unwrap().count(), 0);
}

#[tokio::test]
async fn reading_is_no_writing_and_nothing_leads_out() {
    let host = granted().await;
    symlink(host.folder().join("other/private.txt"), host.folder().join("in/link.txt")).unwrap();
    symlink("../other", host.folder().join("in/folder")).unwrap();
    for (action, path) in [
        ("write", "/in/a.txt"),
        ("write", "/in/new.txt"),
        ("create_folder", "/in/new"),
        ("remove", "/in/a.txt"),
        ("read", "/in/../beside.txt"),
        ("read", "/in/deep/../../beside.txt"),
        ("read", "/in/link.txt"),
        ("read", "/in/folder/private.txt"),
        ("list", "/in/folder"),
        ("read", "/in//../../../../../../etc/passwd"),
        ("write", "/results/../beside.txt"),
        ("read", "/other/private.txt"),
    ] {
        let step = uses(&host, action, path).await;
        assert_eq!(step["status"], "failed", "{action} {path}: {step:#}");
    }
    let step =
        host.step("uses_files", json!({"action": "link", "path": "/results/l", "to": "/etc/passwd"})).await;
    if step["status"] == "succeeded" {
        let step = uses(&host, "read", "/results/l").await;
        assert_eq!(step["status"], "failed", "{step:#}");
    }
    let text = |file: &str| fs::read_to_string(host.folder().join(file)).unwrap();
    assert_eq!([text("in/a.txt"), text("beside.txt"), text("other/private.txt")], ["a", "beside", "private"]);
}

#[tokio::test]
async fn a_flow_leaves_some_of_it() {
    let host = granted().await;
    let run = async |grants: Value, config: Value| {
        let flow = json!({"name": "less", "grants": grants, "steps": [{"id": "a", "type": "uses_files", "config": config}]});
        host.post("/runs?wait=60s", &json!({"flow": flow})).await.1["steps"]["a"].clone()
    };
    let folders = json!({"action": "folders"});
    let step = run(json!({"files": ["/in"]}), folders.clone()).await;
    assert_eq!(step["output"], json!(["/in"]), "{step:#}");
    let step = run(json!({"files": []}), folders).await;
    assert_eq!(step["output"], json!([]), "{step:#}");
    let write = json!({"action": "write", "path": "/results/c.txt", "text": "x"});
    let step = run(json!({"files": ["/results"]}), write.clone()).await;
    assert_eq!(step["status"], "failed", "the flow leaves reading only: {step:#}");
    let step = run(json!({"files": [{"at": "/results", "access": "write"}]}), write).await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
}

#[tokio::test]
async fn a_pipe_is_refused_and_holds_nobody_up() {
    let host = granted().await;
    let pipe = host.folder().join("in/pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    symlink("pipe", host.folder().join("in/link")).unwrap();
    for path in ["/in/pipe", "/in/link"] {
        assert_eq!(uses(&host, "read", path).await["error"]["code"], "unsupported", "{path}");
    }
    assert_eq!(uses(&host, "read", "/in/a.txt").await["output"], "a");
}
