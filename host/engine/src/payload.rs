//! Outputs on their way into the log: small ones as they are, big ones as blobs.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use stepcell_core::{Digest, Json, RunId, event::Payload};
use stepcell_store::{Error, Hold, Store};

/// Keeps an output of a run: in the log itself, or whole as a blob of the run with what cells may see of it.
///
/// `context_fields` names the keys of the output that stay visible. A field that is too big by itself becomes
/// a reference as well.
pub(crate) async fn keep(
    store: &dyn Store,
    run: RunId,
    output: Json,
    max_bytes: u64,
    context_fields: &[String],
) -> Result<Payload, Error> {
    let bytes = output.len() as u64;
    if bytes <= max_bytes {
        return Ok(Payload::Value(output));
    }
    let whole = Bytes::copy_from_slice(output.text().as_bytes());
    let digest = store.put_blob(whole, Hold::Run(run)).await?.digest;
    let fields = visible_fields(&output, context_fields, max_bytes, digest, bytes);
    Ok(Payload::Blob { digest, bytes, fields })
}

/// The whole value of a payload, from the store where it is a blob.
pub(crate) async fn whole(store: &dyn Store, payload: &Payload) -> Result<Json, Error> {
    let Payload::Blob { digest, .. } = payload else {
        return Ok(match payload {
            Payload::Value(json) => json.clone(),
            Payload::Blob { fields, .. } => fields.clone(),
        });
    };
    let damaged = |reason: String| Error::Damaged { what: format!("blob {digest}"), reason };
    let bytes = store.blob(*digest).await?.ok_or_else(|| damaged("it is not there".to_owned()))?;
    let text = String::from_utf8(bytes.into()).map_err(|error| damaged(error.to_string()))?;
    Json::parse(text).map_err(|error| damaged(error.to_string()))
}

fn visible_fields(output: &Json, names: &[String], max_bytes: u64, digest: Digest, bytes: u64) -> Json {
    let mut fields = Map::new();
    for name in names {
        let Some(value) = output.value().get(name) else { continue };
        let field_bytes = value.to_string().len() as u64;
        let shown =
            if field_bytes <= max_bytes { value.clone() } else { reference(digest, field_bytes, Some(name)) };
        fields.insert(name.clone(), shown);
    }
    if let Value::Object(whole) = reference(digest, bytes, None) {
        fields.extend(whole);
    }
    Value::Object(fields).into()
}

/// What stands in a context for a value that is kept as a blob: `{"$blob": {"sha256", "bytes", "field"?}}`.
fn reference(digest: Digest, bytes: u64, field: Option<&str>) -> Value {
    match field {
        None => json!({"$blob": {"sha256": digest, "bytes": bytes}}),
        Some(field) => json!({"$blob": {"sha256": digest, "bytes": bytes, "field": field}}),
    }
}
