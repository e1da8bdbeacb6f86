//! Computes, and does nothing else.

mod computing;

use stepcell::prelude::*;

#[stepcell::data]
struct Config {
    /// Which number.
    n: u32,
}

/// Gives a number of Fibonacci's.
#[stepcell::step(label = "Fibo", icon = "activity", category = "custom")]
fn fibo(config: Config) -> Result<u64, Failure> {
    Ok(computing::fibo(config.n))
}
