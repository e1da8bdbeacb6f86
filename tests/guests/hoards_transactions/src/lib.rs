//! Opens one transaction after the other and closes none.

use stepcell::{database::Transaction, prelude::*};

#[stepcell::data]
struct Config {
    database: String,
    /// How many it wants.
    wanted: u32,
}

/// Gives how many transactions it held at the same time, and why it got no more.
#[stepcell::step(label = "Hoards transactions", icon = "layers", category = "custom")]
fn hoards_transactions(config: Config) -> Result<Value, Failure> {
    let mut held = Vec::new();
    let mut refusal = None;
    for _ in 0..config.wanted {
        match Transaction::begin(&config.database) {
            Ok(transaction) => held.push(transaction),
            Err(failure) => {
                refusal =
                    Some(json!({ "fault": failure.fault, "code": failure.code, "message": failure.message }));
                break;
            }
        }
    }
    Ok(json!({ "held": held.len(), "refusal": refusal }))
}
