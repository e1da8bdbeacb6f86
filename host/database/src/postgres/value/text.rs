//! What is text in JSON, as it is or in the form that PostgreSQL writes.

use std::io::Write;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::reader::{Malformed, Reader};

/// A JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) -> Result<(), Malformed> {
    serde_json::to_writer(out, text).map_err(|_| Malformed)
}

/// A text that holds nothing which JSON would escape.
pub(super) fn quoted(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) -> Result<(), Malformed> {
    write!(out, "\"{text}\"").map_err(|_| Malformed)
}

pub(super) fn plain(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    string(out, std::str::from_utf8(raw).map_err(|_| Malformed)?)
}

/// A version, which is 1, and a text.
pub(super) fn versioned(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    match raw.split_first() {
        Some((1, text)) => plain(out, text),
        _ => Err(Malformed),
    }
}

/// The type `"char"`: one byte.
pub(super) fn char(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    match Reader::new(raw).u8()? {
        0 => string(out, ""),
        byte if byte.is_ascii() => string(out, char::from(byte).encode_utf8(&mut [0; 4])),
        byte => string(out, &format!("\\{byte:03o}")),
    }
}

pub(super) fn bytea(out: &mut Vec<u8>, raw: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(BASE64_STANDARD.encode(raw).as_bytes());
    out.push(b'"');
}

pub(super) fn hex(out: &mut Vec<u8>, raw: &[u8]) {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).map_or(b'0', |digit| digit as u8);
    out.push(b'"');
    out.extend(
        raw.iter().flat_map(|byte| [byte >> 4, byte & 15].map(|half| digit(half).to_ascii_uppercase())),
    );
    out.push(b'"');
}

pub(super) fn uuid(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let uuid = uuid::Uuid::from_slice(raw).map_err(|_| Malformed)?;
    quoted(out, format_args!("{uuid}"))
}

/// `bit` and `varbit`: a digit for each bit.
pub(super) fn bits(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    let bytes = reader.rest();
    if bytes.len() != count.div_ceil(8) {
        return Err(Malformed);
    }
    let digits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| b'0' + ((byte >> bit) & 1)));
    out.push(b'"');
    out.extend(digits.take(count));
    out.push(b'"');
    Ok(())
}

/// `'word':1A,2 'other':3`
pub(super) fn tsvector(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let mut shown = String::new();
    for _ in 0..reader.count()? {
        let word = std::str::from_utf8(reader.until_zero()?).map_err(|_| Malformed)?;
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push('\'');
        shown.push_str(&word.replace('\\', "\\\\").replace('\'', "''"));
        shown.push('\'');
        for nth in 0..reader.u16()? {
            shown.push(if nth == 0 { ':' } else { ',' });
            let place = reader.u16()?;
            shown.push_str(&(place & 0x3fff).to_string());
            shown.push_str(match place >> 14 {
                3 => "A",
                2 => "B",
                1 => "C",
                _ => "",
            });
        }
    }
    string(out, &shown)
}

pub(super) fn tid(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (block, offset) = (reader.u32()?, reader.u16()?);
    quoted(out, format_args!("({block},{offset})"))
}

pub(super) fn lsn(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (high, low) = (reader.u32()?, reader.u32()?);
    quoted(out, format_args!("{high:X}/{low:X}"))
}
