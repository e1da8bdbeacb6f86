//! `json` and `jsonb`: as they are.

use serde::de::IgnoredAny;

use super::{
    reader::{Malformed, Reader},
    text,
};

pub(super) fn json(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let json = std::str::from_utf8(raw).map_err(|_| Malformed)?;
    // PostgreSQL takes escapes of half a character and nests without end; what no reader of the whole result could
    // read is given as a text.
    if is_readable(json) {
        out.extend_from_slice(raw);
        return Ok(());
    }
    text::string(out, json)
}

pub(super) fn jsonb(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    match reader.u8()? {
        1 => json(out, reader.rest()),
        _ => Err(Malformed),
    }
}

fn is_readable(json: &str) -> bool {
    // Only the reader of values looks into escapes; most texts have none.
    if json.contains("\\u") {
        return serde_json::from_str::<serde_json::Value>(json).is_ok();
    }
    serde_json::from_str::<IgnoredAny>(json).is_ok() && depth(json) <= super::NESTING_MAX
}

/// How deep brackets nest; those in texts count too, which errs on the safe side.
fn depth(json: &str) -> usize {
    let (mut deepest, mut now) = (0_usize, 0_usize);
    for byte in json.bytes() {
        match byte {
            b'[' | b'{' => now = now.saturating_add(1),
            b']' | b'}' => now = now.saturating_sub(1),
            _ => continue,
        }
        deepest = deepest.max(now);
    }
    deepest
}
