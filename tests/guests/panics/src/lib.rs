//! Panics, as a program with a mistake in it does.

use stepcell::prelude::*;

/// Looks behind the end of a list.
#[stepcell::step(label = "Panics", icon = "bomb", category = "custom")]
fn panics() -> Result<Value, Failure> {
    let none: Vec<u8> = std::hint::black_box(Vec::new());
    let first = none.first().copied();
    first.map_or_else(|| std::process::abort(), |byte| Ok(json!(byte)))
}
