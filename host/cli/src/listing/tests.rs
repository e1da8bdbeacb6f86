use super::*;

fn entry(line: u32, message: &str, hint: Option<&str>) -> Entry {
    Entry {
        path: "steps[0].type".to_owned(),
        line,
        column: 9,
        code: "unknown_type".to_owned(),
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
        file: None,
    }
}

fn listing() -> Listing {
    Listing {
        file: "flow.yaml".to_owned(),
        errors: vec![
            entry(
                4,
                "there is no step type `htp`",
                Some("did you mean `http_request`?\nsearched: ./plugins"),
            ),
            entry(0, "the flow has no steps", None),
        ],
        warnings: vec![entry(7, "`code` names a step that it does not wait for", Some("after: [fetch]"))],
    }
}

#[test]
fn errors_are_lines_with_their_place_and_hints_follow() {
    insta::assert_snapshot!(listing());
}

#[test]
fn json_has_the_same_keys_for_good_and_bad_files() {
    insta::assert_json_snapshot!(listing().to_json());
    let good = Listing::new("flow.yaml", Vec::new()).to_json();
    assert_eq!(good["valid"], true);
    assert_eq!(good["errors"], json!([]));
}
