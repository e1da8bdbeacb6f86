//! Gives back what it was told.

use stepcell::prelude::*;

/// Gives its context as its output.
#[stepcell::step(label = "Echo context", icon = "message-circle", category = "custom")]
fn echo_context(_config: Map<String, Value>, context: Context) -> Result<Value, Failure> {
    Ok(json!({
        "input": context.input,
        "steps": context.steps,
        "attempt": context.step.attempt,
        "idempotency_key": context.step.idempotency_key,
    }))
}
