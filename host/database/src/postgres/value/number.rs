//! Numbers, and what is near to them.

use std::{fmt::Write as _, io::Write as _};

use serde::Serialize;
use tokio_postgres::types::Type;

use super::{
    reader::{Malformed, Reader},
    text,
};
use crate::rule::EXACT_INTEGER_MAX;

pub(super) fn bool(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    json(out, &(Reader::new(raw).u8()? != 0))
}

pub(super) fn int2(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    json(out, &Reader::new(raw).i16()?)
}

pub(super) fn int4(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    json(out, &Reader::new(raw).i32()?)
}

pub(super) fn int8(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let number = Reader::new(raw).i64()?;
    if number.unsigned_abs() <= EXACT_INTEGER_MAX {
        return json(out, &number);
    }
    text::quoted(out, format_args!("{number}"))
}

pub(super) fn xid8(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let number = Reader::new(raw).u64()?;
    if number <= EXACT_INTEGER_MAX {
        return json(out, &number);
    }
    text::quoted(out, format_args!("{number}"))
}

/// Object identifiers and the names that stand for them: their number.
pub(super) fn is_oid(kind: &Type) -> bool {
    matches!(
        *kind,
        Type::OID
            | Type::XID
            | Type::CID
            | Type::REGPROC
            | Type::REGPROCEDURE
            | Type::REGOPER
            | Type::REGOPERATOR
            | Type::REGCLASS
            | Type::REGTYPE
            | Type::REGROLE
            | Type::REGNAMESPACE
            | Type::REGCONFIG
            | Type::REGDICTIONARY
            | Type::REGCOLLATION
    )
}

pub(super) fn oid(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    json(out, &Reader::new(raw).u32()?)
}

pub(super) fn float4(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let number = Reader::new(raw).f32()?;
    if number.is_finite() { json(out, &number) } else { no_number(out, number.into()) }
}

pub(super) fn float8(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let number = Reader::new(raw).f64()?;
    if number.is_finite() { json(out, &number) } else { no_number(out, number) }
}

fn no_number(out: &mut Vec<u8>, number: f64) -> Result<(), Malformed> {
    text::string(
        out,
        if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        },
    )
}

/// Always a string, with all the digits that PostgreSQL would write: a rule that looked at the value would let one
/// column give numbers today and strings tomorrow.
pub(super) fn numeric(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (count, weight, sign, scale) = (reader.u16()?, reader.i16()?, reader.u16()?, reader.u16()?);
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xc000 => return text::string(out, "NaN"),
        0xd000 => return text::string(out, "Infinity"),
        0xf000 => return text::string(out, "-Infinity"),
        _ => return Err(Malformed),
    };
    // Each of them stands for four decimal digits; the first one for 10000^weight.
    let digits = (0..count).map(|_| reader.u16()).collect::<Result<Vec<_>, _>>()?;
    let digit = |power: i32| {
        usize::try_from(i32::from(weight) - power)
            .ok()
            .and_then(|place| digits.get(place))
            .copied()
            .unwrap_or(0)
    };
    let mut shown = String::from(sign);
    let whole: String = (0..=i32::from(weight).max(0)).rev().fold(String::new(), |mut whole, power| {
        let _ = write!(whole, "{:04}", digit(power));
        whole
    });
    let whole = whole.trim_start_matches('0');
    shown.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        shown.push('.');
        let end = shown.len() + usize::from(scale);
        let mut power = -1;
        while shown.len() < end {
            let _ = write!(shown, "{:04}", digit(power));
            power -= 1;
        }
        shown.truncate(end);
    }
    text::string(out, &shown)
}

/// An amount with two decimals, as in most currencies: which one it is, and so how many it has, is a setting of the
/// server that the value does not carry.
pub(super) fn money(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let cents = Reader::new(raw).i64()?;
    let (sign, amount) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
    text::quoted(out, format_args!("{sign}{}.{:02}", amount / 100, amount % 100))
}

/// The `vector` of pgvector: a list of numbers.
pub(super) fn vector(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (count, _) = (reader.u16()?, reader.u16()?);
    let numbers = (0..count).map(|_| reader.f32()).collect::<Result<Vec<_>, _>>()?;
    json(out, &numbers)
}

fn json(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), Malformed> {
    serde_json::to_writer(&mut *out, value)
        .and_then(|()| out.flush().map_err(serde_json::Error::io))
        .map_err(|_| Malformed)
}
