//! A run asks a person.

use futures_util::future::join_all;
use serde_json::{Value, json};
use stepcell_tests::{Host, Output, eventually, stepcell};

/// Asks, and tells at the end what was said.
const ASK: &str = r#"
name: ask
steps:
  - id: ask
    type: wait_for_approval
    config:
      label: "Order {{ input.id }}"
      form:
        type: object
        required: [discount]
        properties: { discount: { type: number, maximum: "{{ input.most }}" } }
  - { id: told, type: transform, config: { output: "{{ steps.ask }}" } }
output: "{{ steps.told }}"
"#;

/// A run of [`ASK`] that waits.
async fn asking(host: &Host) -> String {
    let run = host.submit_with(ASK, json!({"id": "7", "most": 0.3})).await;
    host.until(&run, "waiting").await;
    run
}

fn yes() -> Value {
    json!({"step": "ask", "payload": {"discount": 0.1}, "by": "ada"})
}

/// A run of one approval with steps after these ports, ended; `answer` is what it is told, or nothing.
async fn ended(host: &Host, ports: &[&str], answer: Option<Value>) -> Value {
    let timeout = if answer.is_some() { json!("1h") } else { json!(0.05) };
    let mut steps = vec![
        json!({"id": "ask", "type": "wait_for_approval", "config": {"label": "Order 7", "timeout": timeout}}),
    ];
    for port in ports {
        let after = format!("ask.{port}");
        steps.push(json!({"id": port, "type": "transform", "after": [after], "config": {"output": "{{ steps.ask }}"}}));
    }
    let (_, run) = host.post("/runs", &json!({"flow": {"name": "ports", "steps": steps}})).await;
    let run = run["run_id"].as_str().unwrap();
    if let Some(answer) = answer {
        host.until(run, "waiting").await;
        let (status, resumed) = host.resume(run, &answer).await;
        assert_eq!(status, 200, "{resumed:#}");
    }
    eventually("the run has ended", || async {
        let run = host.show(run).await;
        run["finished_at"].is_string().then_some(run)
    })
    .await
}

#[tokio::test]
async fn who_said_yes_and_when_is_in_the_output_and_in_the_log() {
    let host = Host::start().await;
    let run = asking(&host).await;
    let seen = host.show(&run).await;
    let wait = &seen["steps"]["ask"]["wait"];
    assert_eq!(wait["name"], "approval", "{seen:#}");
    assert_eq!(
        (&wait["form"]["title"], &wait["form"]["required"]),
        (&json!("Order 7"), &json!(["discount"]))
    );

    let (status, resumed) = host.resume(&run, &yes()).await;
    assert_eq!((status.as_u16(), &resumed["run_id"]), (200, &json!(run)), "{resumed:#}");
    let done = host.until(&run, "succeeded").await;
    let told = &done["output"];
    assert_eq!((&told["payload"], &told["by"]), (&json!({"discount": 0.1}), &json!("ada")), "{done:#}");
    assert!(told["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{told:#}");
    assert_eq!(done["steps"]["ask"]["port"], "approved");

    let events = host.events(&done).await;
    let resumed = events.iter().find(|event| event["type"] == "step.resumed").unwrap();
    let signal = &resumed["data"]["signal"];
    assert_eq!(signal["payload"], told["payload"], "{resumed:#}");
    assert_eq!((&signal["by"], &signal["at"]), (&told["by"], &told["at"]));
}

#[tokio::test]
async fn a_payload_that_does_not_fit_the_form_is_refused_with_every_place() {
    let host = Host::start().await;
    let run = asking(&host).await;
    for (payload, places) in [
        (json!({"discount": 0.5}), vec!["payload.discount"]),
        (json!({"discount": "much"}), vec!["payload.discount"]),
        (json!({}), vec!["payload"]),
        (json!(null), vec!["payload"]),
    ] {
        let (status, problem) = host.resume(&run, &json!({"payload": payload})).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("payload_invalid")), "{problem:#}");
        let errors = problem["errors"].as_array().unwrap();
        let found: Vec<_> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
        assert_eq!(found, places, "{problem:#}");
    }
    assert_eq!(host.show(&run).await["status"], "waiting");
    assert_eq!(host.resume(&run, &yes()).await.0, 200);
    host.until(&run, "succeeded").await;
}

#[tokio::test]
async fn a_rejection_takes_its_port_and_needs_no_form() {
    let host = Host::start().await;
    let no = json!({"approved": false, "payload": {"why": "too much"}, "by": "grace"});
    let run = ended(&host, &["approved", "rejected"], Some(no)).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["output"]["rejected"]["payload"], json!({"why": "too much"}));
    assert_eq!(run["output"]["rejected"]["by"], "grace");
    assert_eq!(run["steps"]["approved"]["status"], "skipped");

    let run = asking(&host).await;
    assert_eq!(host.resume(&run, &json!({"approved": false})).await.0, 200);
    host.until(&run, "failed").await;
}

#[tokio::test]
async fn a_rejection_that_nobody_goes_on_from_fails_with_who_said_no() {
    let host = Host::start().await;
    let run = ended(&host, &["approved", "timed_out"], Some(json!({"approved": false, "by": "grace"}))).await;
    let error = &run["error"];
    assert_eq!((&run["status"], &error["code"]), (&json!("failed"), &json!("rejected")), "{run:#}");
    assert_eq!((&error["fault"], &error["kind"]), (&json!("failed"), &json!("business")));
    assert_eq!(error["message"], "`Order 7` was rejected by `grace`");
}

#[tokio::test]
async fn silence_takes_its_port() {
    let host = Host::start().await;
    let run = ended(&host, &["approved", "timed_out"], None).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["output"], json!({"timed_out": {"payload": null, "by": null, "at": null}}));
    assert_eq!(run["steps"]["ask"]["port"], "timed_out");
}

#[tokio::test]
async fn silence_that_nobody_goes_on_from_fails() {
    let host = Host::start().await;
    let run = ended(&host, &["approved", "rejected"], None).await;
    let error = &run["error"];
    assert_eq!((&run["status"], &error["fault"]), (&json!("failed"), &json!("timeout")), "{run:#}");
    assert_eq!(error["code"], "approval_timed_out");
    assert_eq!(run["steps"]["ask"]["attempts"], 1);
}

#[tokio::test]
async fn a_second_resume_is_a_conflict_that_shows_the_first() {
    let host = Host::start().await;
    let run = asking(&host).await;
    assert_eq!(host.resume(&run, &yes()).await.0, 200);
    for answer in [yes(), json!({"step": "ask", "approved": false, "by": "mallory"})] {
        let (status, problem) = host.resume(&run, &answer).await;
        assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("already_resumed")), "{problem:#}");
        assert_eq!(problem["first"]["by"], "ada");
        assert_eq!(problem["first"]["payload"], json!({"discount": 0.1}));
        assert!(problem["first"]["at"].is_string(), "{problem:#}");
    }
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"]["by"], "ada");
    let (status, problem) = host.resume(&run, &yes()).await;
    assert_eq!((status.as_u16(), &problem["first"]["by"]), (409, &json!("ada")), "{problem:#}");
}

#[tokio::test]
async fn of_many_answers_at_once_one_counts() {
    let host = Host::start().await;
    for _ in 0..5 {
        let run = asking(&host).await;
        let names: Vec<String> = (0..16).map(|n| format!("person {n}")).collect();
        let answers = names.iter().map(|by| {
            let answer = json!({"payload": {"discount": 0.1}, "by": by});
            let (host, run) = (&host, &run);
            async move { host.resume(run, &answer).await }
        });
        let answers = join_all(answers).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            answers.iter().zip(&names).partition(|((status, _), _)| *status == 200);
        let [(_, winner)] = won[..] else { panic!("{answers:#?}") };
        for ((status, problem), _) in lost {
            assert_eq!(
                (status.as_u16(), problem["first"]["by"].as_str()),
                (409, Some(winner.as_str())),
                "{problem:#}"
            );
        }
        let done = host.until(&run, "succeeded").await;
        assert_eq!(done["output"]["by"], json!(winner));
        let events = host.events(&done).await;
        assert_eq!(events.iter().filter(|event| event["type"] == "step.resumed").count(), 1);
    }
}

#[tokio::test]
async fn an_approval_waits_through_a_kill() {
    let mut host = Host::start().await;
    let run = asking(&host).await;
    host.restart().await;
    let seen = host.show(&run).await;
    assert_eq!(
        (&seen["status"], &seen["steps"]["ask"]["wait"]["name"]),
        (&json!("waiting"), &json!("approval"))
    );
    assert_eq!(host.resume(&run, &json!({"payload": {"discount": 1}})).await.0, 422);
    assert_eq!(host.resume(&run, &yes()).await.0, 200);
    // What was answered with 200 holds, whatever happens now.
    host.restart().await;
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"]["by"], "ada", "{done:#}");
    assert_eq!(host.resume(&run, &yes()).await.1["first"]["by"], "ada");
}

#[tokio::test]
async fn a_timeout_goes_on_through_a_kill() {
    let mut host = Host::start().await;
    let flow = "name: t\nsteps: [{ id: ask, type: wait_for_approval, config: { timeout: 300ms } }]";
    let run = host.submit(flow).await;
    host.until(&run, "waiting").await;
    host.restart().await;
    let done = host.until(&run, "failed").await;
    assert_eq!(done["error"]["code"], "approval_timed_out", "{done:#}");
    let (status, problem) = host.resume(&run, &json!({})).await;
    assert_eq!(status, 409, "{problem:#}");
}

#[tokio::test]
async fn an_answer_names_its_step_where_several_wait() {
    let host = Host::start().await;
    let run = host
        .submit(
            r#"
name: two
steps:
  - { id: one, type: wait_for_approval }
  - { id: other, type: wait_for_approval }
  - { id: nap, type: delay, config: { seconds: 3600 } }
"#,
        )
        .await;
    host.until(&run, "waiting").await;
    let (status, problem) = host.resume(&run, &json!({})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("ambiguous_step")), "{problem:#}");
    for step in ["one", "other"] {
        assert!(problem["detail"].as_str().unwrap().contains(step), "{problem:#}");
    }
    assert_eq!(host.resume(&run, &json!({"step": "one"})).await.0, 200);
    host.until_step(&run, "one", "succeeded").await;
    // Without a name it may be the same answer once more, and not one to the other question.
    let (status, problem) = host.resume(&run, &json!({})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("already_resumed")), "{problem:#}");
    assert_eq!(host.resume(&run, &json!({"step": "other"})).await.0, 200);
    host.until_step(&run, "other", "succeeded").await;
}

#[tokio::test]
async fn what_does_not_wait_can_not_be_answered() {
    let host = Host::start().await;
    let run = host.submit("name: nap\nsteps: [{ id: nap, type: delay, config: { seconds: 3600 } }]").await;
    host.until(&run, "waiting").await;
    for answer in [json!({}), json!({"step": "nap"})] {
        let (status, problem) = host.resume(&run, &answer).await;
        assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("not_waiting")), "{problem:#}");
    }
    assert_eq!(host.resume(&run, &json!({"step": "nobody"})).await.0, 404);
    assert_eq!(host.resume("01890a5d-ac96-774b-bcce-b302099a8057", &json!({})).await.0, 404);
    assert_eq!(host.resume(&run, &json!({"stepp": "nap"})).await.0, 400);
}

#[tokio::test]
async fn a_cancelled_run_takes_no_answer() {
    let host = Host::start().await;
    let run = asking(&host).await;
    host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    let (status, problem) = host.resume(&run, &yes()).await;
    assert_eq!(status, 409, "{problem:#}");
    assert_eq!(host.show(&run).await["status"], "cancelled");
}

/// Calls the binary against a host.
fn call(host: &Host, arguments: &[&str]) -> Output {
    let mut all = arguments.to_vec();
    all.extend(["--url", &host.url, "--output", "json"]);
    stepcell(host.folder(), &all)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_claim_is_played_in_a_shell() {
    let host = Host::start().await;
    let flow = stepcell_tests::root().join("examples/expense-approval.yaml");
    let submit = |input: &str| {
        let submitted = call(&host, &["submit", flow.to_str().unwrap(), "--input", input]);
        assert_eq!(submitted.code, Some(0), "{}", submitted.shown());
        submitted.json()["run_id"].as_str().unwrap().to_owned()
    };
    let lines = "[{what: train, amount: 480}, {what: hotel, amount: 210, account: 6670}]";
    let claim = |id: &str| format!("{{id: {id}, employee: Ada, lines: {lines}}}");
    let (paid, refused) = (submit(&claim("E-7")), submit(&claim("E-8")));
    let small = submit("{id: E-9, employee: Bob, lines: [{what: pens, amount: 11.9}]}");
    for run in [&paid, &refused] {
        host.until_step(run, "ask", "waiting").await;
    }
    let answer =
        |run: &str, more: &[&str]| call(&host, &[&["runs", "resume", run, "--by", "grace"], more].concat());
    let wrong = answer(&paid, &["--payload", "{cost_center: moon}"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.shown());
    assert_eq!(wrong.json()["errors"][0]["path"], "payload.cost_center", "{}", wrong.shown());
    let yes = answer(&paid, &["--payload", "{cost_center: research}"]);
    assert_eq!(yes.code, Some(0), "{}", yes.shown());
    assert_eq!(answer(&paid, &["--reject"]).code, Some(2), "it was answered");
    assert_eq!(answer(&refused, &["--reject"]).code, Some(0));

    let done = host.until(&refused, "succeeded").await;
    assert_eq!(done["output"], json!({"refused": {"by": "grace", "claim": "E-8"}}), "{done:#}");
    for (run, claim, amount) in [(&paid, "E-7", 690.0), (&small, "E-9", 11.9)] {
        host.until_step(run, "transfer", "waiting").await;
        assert_eq!(host.send("transfer", &json!({"claim": claim, "amount": amount})).await, 1);
    }
    let done = host.until(&paid, "succeeded").await;
    assert_eq!(done["output"]["approved"], json!({"by": "grace", "cost_center": "research"}), "{done:#}");
    let entries = json!([
        {"number": "E-7/1", "account": 6650, "text": "train", "net": 403.36, "tax": 76.64},
        {"number": "E-7/2", "account": 6670, "text": "hotel", "net": 176.47, "tax": 33.53},
    ]);
    assert_eq!(done["output"]["paid"], json!({"amount": 690.0, "entries": entries}), "{done:#}");
    let done = host.until(&small, "succeeded").await;
    assert_eq!(done["output"].as_object().unwrap().keys().collect::<Vec<_>>(), ["paid"], "{done:#}");
}
