//! Keeps texts in the store and reads what is there.

use stepcell::{blobs, prelude::*};

#[stepcell::data]
struct Config {
    #[serde(default)]
    put: Vec<String>,
    /// Puts as many zeros instead.
    #[serde(default)]
    put_bytes: Option<usize>,
    #[serde(default)]
    get: Vec<String>,
}

/// Gives the ids of what it put and the texts of what it got.
#[stepcell::step(label = "Uses blobs", icon = "archive", category = "custom")]
fn uses_blobs(config: Config) -> Result<Value, Failure> {
    let mut put = config.put.iter().map(|text| blobs::put(text.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    if let Some(bytes) = config.put_bytes {
        put.push(blobs::put(&vec![0; bytes])?);
    }
    let got = config.get.iter().map(|id| blobs::get(id)).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<_> = got.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    Ok(json!({ "put": put, "got": texts }))
}
