use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A folder with files of these names and texts.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// `call` runs what stands under `flow`, `each` what stands under `body`.
fn deferred(kind: &str) -> Vec<String> {
    match kind {
        "call" => vec!["flow".to_owned()],
        "each" => vec!["body".to_owned()],
        _ => Vec::new(),
    }
}

fn resolved(folder: &TempDir, name: &str) -> Result<(Parsed, Includes), Error> {
    let flow = FlowText::read(&folder.path().join(name)).unwrap();
    resolve_with(&flow, flow.parse().unwrap(), &deferred)
}

/// The listing of what is wrong, with file names that are the same everywhere.
fn refusal(folder: &TempDir, name: &str) -> String {
    match resolved(folder, name) {
        Err(Error::Problems(listing)) => {
            listing.to_string().replace(&format!("{}/", folder.path().display()), "")
        }
        other => panic!("{other:?}"),
    }
}

fn calling(file: &str) -> String {
    format!("name: f\nsteps:\n  - id: a\n    type: call\n    config: {{ flow: {file} }}\n")
}

const INNER: &str = "name: inner\nsteps:\n  - id: x\n    type: plain\n    config: { flow: other.yaml }\n";

#[test]
fn a_files_flow_takes_the_place_of_its_name() {
    let folder = folder(&[("f.yaml", &calling("sub/inner.yaml")), ("sub/inner.yaml", INNER)]);
    let (parsed, includes) = resolved(&folder, "f.yaml").unwrap();
    let inner =
        json!({"name": "inner", "steps": [{"id": "x", "type": "plain", "config": {"flow": "other.yaml"}}]});
    assert_eq!(parsed.flow.source["steps"][0]["config"]["flow"], inner);
    assert_eq!(includes.0.len(), 1, "`plain` has no key for a flow");
}

#[test]
fn names_are_found_in_bodies_and_in_files_that_were_put_in() {
    let outer = "name: f\nsteps:\n  - id: a\n    type: each\n    config:\n      body: [{ id: b, type: call, config: { flow: sub/b.yml } }]\n";
    let folder = folder(&[
        ("f.yaml", outer),
        ("sub/b.yml", &calling("../c.json")),
        ("c.json", r#"{"name": "c", "steps": []}"#),
    ]);
    let (parsed, includes) = resolved(&folder, "f.yaml").unwrap();
    let inner =
        &parsed.flow.source["steps"][0]["config"]["body"][0]["config"]["flow"]["steps"][0]["config"]["flow"];
    assert_eq!(inner["name"], "c");
    let paths: Vec<_> = includes.0.iter().map(|file| file.path.as_str()).collect();
    let outer = "steps[0].config.body[0].config.flow";
    assert_eq!(paths, [&format!("{outer}.steps[0].config.flow"), outer]);
}

#[test]
fn a_flow_without_files_stays_as_it_is() {
    let folder = folder(&[("f.yaml", INNER)]);
    let (parsed, includes) = resolved(&folder, "f.yaml").unwrap();
    assert!(includes.0.is_empty());
    assert_eq!(
        parsed.spans.locate("steps[0].type"),
        Position { line: 4, column: 11 },
        "places are those of the text"
    );
}

#[test]
fn names_that_lead_nowhere_are_refused_at_their_place() {
    let refused =
        |file: &str| refusal(&folder(&[("f.yaml", &calling(file)), ("list.yaml", "- 1\n")]), "f.yaml");
    insta::assert_snapshot!(
        ["gone.yaml", "../f.yaml", "/etc/hosts.yaml", "f.yaml", "list.yaml"].map(refused).join("\n")
    );
}

#[test]
fn circles_are_refused_in_the_file_that_closes_them() {
    let folder = folder(&[("a.yaml", &calling("b.yaml")), ("b.yaml", &calling("a.yaml"))]);
    assert!(refusal(&folder, "a.yaml").starts_with("b.yaml:5:21: `a.yaml` would be put into itself"));
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_folder() {
    let outside = folder(&[("x.yaml", INNER)]);
    let inside = folder(&[("f.yaml", &calling("x.yaml"))]);
    std::os::unix::fs::symlink(outside.path().join("x.yaml"), inside.path().join("x.yaml")).unwrap();
    assert!(refusal(&inside, "f.yaml").contains("lies outside the folder"));
}

#[test]
fn files_are_bounded_in_depth_and_number() {
    let mut files: Vec<_> = (0..=DEPTH_MAX)
        .map(|level| (format!("{level}.yaml"), calling(&format!("{}.yaml", level + 1))))
        .collect();
    files.push((format!("{}.yaml", DEPTH_MAX + 1), INNER.to_owned()));
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(refusal(&folder(&files), "0.yaml").contains("one file too many"));
    assert!(resolved(&folder(&files), "1.yaml").is_ok());

    let step = |index| format!("  - id: s{index}\n    type: call\n    config: {{ flow: inner.yaml }}\n");
    let many: String = (0..=FILES_MAX).map(step).collect();
    let many = format!("name: f\nsteps:\n{many}");
    assert!(
        refusal(&folder(&[("f.yaml", &many), ("inner.yaml", INNER)]), "f.yaml").contains("one file too many")
    );
}

#[test]
fn problems_are_told_in_the_file_that_has_them() {
    let folder = folder(&[("f.yaml", &calling("inner.yaml")), ("inner.yaml", INNER)]);
    let flow = FlowText::read(&folder.path().join("f.yaml")).unwrap();
    let (_, includes) = resolved(&folder, "f.yaml").unwrap();
    let problem = |path: &str| Problem {
        path: path.to_owned(),
        line: 1,
        column: 99,
        code: "unknown_type",
        message: "no".to_owned(),
        hint: None,
    };
    let problems = vec![problem("steps[0].type"), problem("steps[0].config.flow.steps[0].type")];
    let listing = includes.listing(&flow, problems).to_string();
    let listing = listing.replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(listing, "f.yaml:4:11: no\ninner.yaml:4:11: no\n");
}
