//! Uses a secret that it never sees.

use stepcell::{http, prelude::*, secrets};

#[stepcell::data(open)]
struct Config {
    secret: String,
    #[serde(flatten)]
    how: How,
}

#[stepcell::data]
#[serde(tag = "how", rename_all = "snake_case")]
enum How {
    /// Gives the placeholder itself.
    Placeholder {},
    /// Sends it in `authorization`.
    Header { url: String },
    /// Sends it in the query.
    Query { url: String },
    /// Sends it in the body.
    Body { url: String },
    /// Sends it as the user's password.
    Basic { url: String, user: String },
    /// Hashes the text with it.
    Hmac { text: String },
}

/// Gives `{placeholder}`, `{status, body}` of what answered, or `{hmac}`.
#[stepcell::step(label = "Uses secrets", icon = "key", category = "custom")]
fn uses_secrets(config: Config) -> Result<Value, Failure> {
    let name = config.secret;
    let token = || secrets::placeholder(&name);
    let request = match config.how {
        How::Placeholder {} => return Ok(json!({ "placeholder": token()? })),
        How::Hmac { text } => {
            return Ok(json!({ "hmac": hex(&secrets::hmac_sha256(&name, text.as_bytes())?) }));
        }
        How::Header { url } => http::get(url).header("authorization", format!("Bearer {}", token()?)),
        How::Query { url } => http::get(url).query("key", token()?),
        How::Body { url } => http::post(url).json(&json!({ "key": token()? })),
        How::Basic { url, user } => http::get(url).header("authorization", secrets::basic(&user, &name)?),
    };
    let response = request.send()?;
    Ok(json!({ "status": response.status(), "body": response.text() }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
