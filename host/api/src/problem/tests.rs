use super::*;
use serde_json::json;
use stepcell_core::run::RunStatus;

fn run() -> RunId {
    RunId::from_bytes([1; 16])
}

#[track_caller]
fn check(error: Error, status: u16, code: &str) {
    let json = Problem::from(error).to_json();
    assert_eq!((json["status"].as_u64(), json["code"].as_str()), (Some(status.into()), Some(code)), "{json}");
}

#[test]
fn errors_of_the_engine_have_their_status() {
    check(Error::NoSuchRun(run()), 404, "no_such_run");
    check(Error::NoSuchStep { run: run(), step: "x".to_owned() }, 404, "no_such_step");
    check(Error::Finished { run: run(), status: RunStatus::Failed }, 409, "run_finished");
    check(Error::Unfinished { run: run(), status: RunStatus::Waiting }, 409, "run_unfinished");
    check(Error::InvalidInput(Vec::new()), 422, "invalid_input");
    check(Error::BlobMissing(Vec::new()), 422, "blob_missing");
    check(Error::TooManyBlobs { most: 1 }, 422, "too_many_blobs");
    check(Error::BlobTooLarge { bytes: 1 }, 413, "blob_too_large");
    check(Error::NotWaiting { run: run(), step: None }, 409, "not_waiting");
    check(Error::AmbiguousStep { run: run(), steps: Vec::new() }, 409, "ambiguous_step");
    check(Error::NoItems { run: run(), step: "x".to_owned() }, 404, "no_items");
    check(Error::NotRetryable { run: run(), status: RunStatus::Running, reason: "x" }, 409, "not_retryable");
    check(Error::PayloadInvalid(Vec::new()), 422, "payload_invalid");
    check(Error::PayloadTooLarge { what: "a payload", bytes: 2, most: 1 }, 413, "payload_too_large");
    check(Error::ReservedEvent { name: "approval".to_owned() }, 400, "reserved_event");
    check(Error::IdempotencyKeyReused { key: "k".to_owned(), run: run() }, 409, "idempotency_key_reused");
    check(Error::Stopping, 503, "stopping");
    check(Error::Store(stepcell_store::Error::Full), 507, "store_full");
    let digest = stepcell_core::Digest::of(b"x");
    check(Error::Store(stepcell_store::Error::BlobMissing { digest }), 422, "blob_missing");
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let after = |millis| {
        let retry_after = Duration::from_millis(millis);
        let problem = Problem::from(Error::QueueFull { queued: 9, wanted: 1, retry_after });
        let response = problem.into_response();
        assert_eq!(response.status(), 429);
        response.headers()[RETRY_AFTER].to_str().unwrap().to_owned()
    };
    assert_eq!((after(0), after(1_000), after(2_001)), ("1".to_owned(), "1".to_owned(), "3".to_owned()));
    assert_eq!(Problem::from(Error::Stopping).into_response().headers()[RETRY_AFTER], "1");
    assert!(!Problem::from(Error::NoSuchRun(run())).into_response().headers().contains_key(RETRY_AFTER));
}

#[test]
fn a_second_resume_sees_the_first() {
    let first = json!({"kind": "signal", "payload": {"ok": true}, "by": "ada"});
    let step = stepcell_core::StepId::new("ask").unwrap();
    let json =
        Problem::from(Error::AlreadyResumed { run: run(), step, first: first.clone().into() }).to_json();
    assert_eq!(
        (&json["status"], &json["code"], &json["first"]),
        (&409.into(), &"already_resumed".into(), &first)
    );
}

#[test]
fn what_the_system_said_stays_in_the_log() {
    let reason = "permission denied: /secret".to_owned();
    let json = Problem::from(Error::Store(stepcell_store::Error::Io { action: "reading", reason })).to_json();
    assert_eq!((&json["status"], &json["code"]), (&500.into(), &"store_io".into()));
    assert!(!json.to_string().contains("secret"), "{json}");
    assert!(json["request_id"].is_string(), "{json}");
}

#[test]
fn problems_are_rfc_9457() {
    let problem = Problem::flow(vec![FlowProblem {
        path: "steps[0].type".to_owned(),
        line: 3,
        column: 11,
        code: "unknown_type",
        message: "no file provides the step type `tranform`".to_owned(),
        hint: Some("did you mean `transform`?".to_owned()),
    }]);
    insta::assert_json_snapshot!(problem.to_json());
    let response = problem.into_response();
    assert_eq!(response.status(), 422);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
}

#[test]
fn runs_that_have_started_are_told_with_what_asked_for_them() {
    let run_id = RunId::from_bytes([7; 16]);
    let problem = |of| Problem::from(Error::Stopping).with_runs(vec![StartedRun { of, run_id }], 3).to_json();
    let by_index = problem(Asking::Index(0));
    assert_eq!(by_index["runs"], json!([{"index": 0, "run_id": run_id}]));
    assert!(
        by_index["detail"].as_str().unwrap().ends_with("; 1 of 3 runs have started, and `runs` names them")
    );
    assert_eq!(problem(Asking::Line(1))["runs"], json!([{"line": 1, "run_id": run_id}]));
    let none = Problem::from(Error::Stopping).with_runs(Vec::new(), 3).to_json();
    assert_eq!(none, Problem::from(Error::Stopping).to_json());
}
