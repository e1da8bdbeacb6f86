use stepcell_core::event::StepStarted;

use super::*;
use crate::{driver::Outbox, load};

/// Any event will do, and a step in flight may start again.
fn again() -> EventKind {
    EventKind::StepStarted(StepStarted { attempt: 1, idempotency_key: "k".to_owned() })
}

#[tokio::test]
async fn another_look_at_a_long_run_copies_nothing() {
    let host = Host::new().await;
    let (left, plan) = Left::new(&host, &flow("e", "echo", &json!({})), None);
    let left = (0..2_500).fold(left.run(EventKind::RunStarted), |left, _| left.step("a", again()));
    let run = left.write(&*host.store, &plan).await;
    let engine = host.engine.inner();
    let first = Arc::as_ptr(&load::seen(engine, run).await.unwrap());
    let mut state = load::state(engine, run).await.unwrap();
    let mut outbox = Outbox::new(run, state.seq);
    for _ in 0..1_500 {
        outbox.emit(&mut state, Some(StepId::new("a").unwrap()), again()).unwrap();
    }
    outbox.synced(engine, &state).await.unwrap();
    let second = load::seen(engine, run).await.unwrap();
    assert_eq!((Arc::as_ptr(&second), &*second), (first, &state));
    // Who still looks at what was keeps it as it was.
    outbox.emit(&mut state, Some(StepId::new("a").unwrap()), again()).unwrap();
    outbox.synced(engine, &state).await.unwrap();
    assert_eq!(load::seen(engine, run).await.unwrap().seq, second.seq + 1);
}
