//! Never comes back.

use std::hint::black_box;

use stepcell::prelude::*;

/// Counts for ever.
#[stepcell::step(label = "Tight loop", icon = "repeat", category = "custom")]
fn tight_loop() -> Result<Value, Failure> {
    let mut count = 0_u64;
    loop {
        count = black_box(count).wrapping_add(1);
    }
}
