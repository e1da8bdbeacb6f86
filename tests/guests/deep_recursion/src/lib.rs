//! Calls itself until the stack is used up.

use std::hint::black_box;

use stepcell::prelude::*;

/// Descends without end.
#[stepcell::step(label = "Deep recursion", icon = "arrow-down", category = "custom")]
fn deep_recursion() -> Result<Value, Failure> {
    Ok(json!(descend(1)))
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn descend(depth: u64) -> u64 {
    // Work after the call keeps it from becoming a loop.
    black_box(descend(black_box(depth + 1))) + 1
}
