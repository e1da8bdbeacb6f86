//! Whether an event is one that a step waits for.

use serde_json::{Number, Value};

/// Whether `payload` has everything that `pattern` says: a mapping matches one that has its keys with values that
/// match, at any depth, and may have more; all else matches what is equal to it. `1` and `1.0` are equal.
pub(crate) fn matches(payload: &Value, pattern: &Value) -> bool {
    match (payload, pattern) {
        (Value::Object(payload), Value::Object(pattern)) => {
            pattern.iter().all(|(key, pattern)| payload.get(key).is_some_and(|value| matches(value, pattern)))
        }
        _ => equal(payload, pattern),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => equal_numbers(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Whole numbers are compared exactly: as floating point, large ones that differ would be the same.
fn equal_numbers(a: &Number, b: &Number) -> bool {
    if a.is_f64() || b.is_f64() { a.as_f64() == b.as_f64() } else { a == b }
}

#[cfg(test)]
mod tests;
