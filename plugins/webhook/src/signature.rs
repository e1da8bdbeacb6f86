//! The symmetric signature of Standard Webhooks: `v1`, HMAC-SHA-256.

use std::time::UNIX_EPOCH;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use stepcell::{clock, http::Request, prelude::*, secrets};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// Whether signing sets this header.
pub(crate) fn is_own(header: &str) -> bool {
    [ID, TIMESTAMP, SIGNATURE].iter().any(|own| own.eq_ignore_ascii_case(header))
}

/// Signs the body as it is now. The id is the same on every attempt, so that the receiver knows what it has seen; the
/// time is the attempt's, so that a late retry is not refused as a replay.
pub(crate) fn add(request: Request, secret: &str, id: &str) -> Result<Request, Failure> {
    let timestamp = clock::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(request.body());
    let signature = STANDARD.encode(secrets::hmac_sha256(secret, &signed)?);
    Ok(request.header(ID, id).header(TIMESTAMP, timestamp).header(SIGNATURE, format!("v1,{signature}")))
}
