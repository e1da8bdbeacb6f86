//! Values made of values.

use tokio_postgres::types::{Field, Kind, Type};

use super::{
    Unreadable, nested,
    reader::{Malformed, Reader},
    text::string,
};

/// PostgreSQL's own bound on the dimensions of an array.
const DIMENSIONS_MAX: usize = 6;

/// A list, or lists of lists. Where its subscripts begin is not told.
pub(super) fn array(out: &mut Vec<u8>, kind: &Type, raw: &[u8], depth: usize) -> Result<(), Unreadable> {
    let Kind::Array(element) = kind.kind() else { return Err(Unreadable::Malformed) };
    let mut reader = Reader::new(raw);
    let dimensions = reader.count()?;
    let (_has_nulls, _element) = (reader.i32()?, reader.u32()?);
    if dimensions > DIMENSIONS_MAX {
        return Err(Unreadable::Malformed);
    }
    let mut sizes = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        // An empty array has no dimensions; one of nothing at all would let a few bytes become many.
        sizes.push(Some(reader.count()?).filter(|size| *size > 0).ok_or(Malformed)?);
        let _begin = reader.i32()?;
    }
    if sizes.is_empty() {
        out.extend_from_slice(b"[]");
        return Ok(());
    }
    list(out, element, &sizes, &mut reader, depth + 1)
}

fn list(
    out: &mut Vec<u8>,
    element: &Type,
    sizes: &[usize],
    reader: &mut Reader<'_>,
    depth: usize,
) -> Result<(), Unreadable> {
    let Some((size, inner)) = sizes.split_first() else {
        return nested(out, element, reader.value()?, depth);
    };
    out.push(b'[');
    for nth in 0..*size {
        if nth > 0 {
            out.push(b',');
        }
        list(out, element, inner, reader, depth + 1)?;
    }
    out.push(b']');
    Ok(())
}

/// An object by the names of the fields.
pub(super) fn composite(
    out: &mut Vec<u8>,
    fields: &[Field],
    raw: &[u8],
    depth: usize,
) -> Result<(), Unreadable> {
    let mut reader = Reader::new(raw);
    if reader.count()? != fields.len() {
        return Err(Unreadable::Malformed);
    }
    out.push(b'{');
    for (nth, field) in fields.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        string(out, field.name())?;
        out.push(b':');
        let (_kind, value) = (reader.u32()?, reader.value()?);
        nested(out, field.type_(), value, depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

/// A record without a type of its own, such as `ROW(1, 2)`: its fields are called `f1`, `f2` and so on, as in
/// PostgreSQL's own JSON.
pub(super) fn record(out: &mut Vec<u8>, raw: &[u8], depth: usize) -> Result<(), Unreadable> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    out.push(b'{');
    for nth in 1..=count {
        if nth > 1 {
            out.push(b',');
        }
        string(out, &format!("f{nth}"))?;
        out.push(b':');
        let (oid, value) = (reader.u32()?, reader.value()?);
        let kind = Type::from_oid(oid)
            .ok_or_else(|| Unreadable::Unknown(format!("record with a field of type {oid}")))?;
        nested(out, &kind, value, depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

/// `[1,10)`, `(,5]`, `empty`
pub(super) fn range(out: &mut Vec<u8>, element: &Type, raw: &[u8], depth: usize) -> Result<(), Unreadable> {
    Ok(string(out, &shown(element, raw, depth)?)?)
}

/// `{[1,3),[5,7)}`
pub(super) fn multirange(
    out: &mut Vec<u8>,
    range: &Type,
    raw: &[u8],
    depth: usize,
) -> Result<(), Unreadable> {
    // The library gives the ranges' type; asked of it and not assumed, since the word says element.
    let element = if let Kind::Range(element) = range.kind() { element } else { range };
    let mut reader = Reader::new(raw);
    let mut ranges = Vec::new();
    for _ in 0..reader.count()? {
        let raw = reader.value()?.ok_or(Malformed)?;
        ranges.push(shown(element, raw, depth)?);
    }
    Ok(string(out, &format!("{{{}}}", ranges.join(",")))?)
}

fn shown(element: &Type, raw: &[u8], depth: usize) -> Result<String, Unreadable> {
    const EMPTY: u8 = 0x01;
    const LOWER_INCLUSIVE: u8 = 0x02;
    const UPPER_INCLUSIVE: u8 = 0x04;
    const LOWER_INFINITE: u8 = 0x08;
    const UPPER_INFINITE: u8 = 0x10;
    let mut reader = Reader::new(raw);
    let flags = reader.u8()?;
    if flags & EMPTY != 0 {
        return Ok("empty".to_owned());
    }
    let mut bound = |infinite: u8| -> Result<String, Unreadable> {
        if flags & infinite != 0 {
            return Ok(String::new());
        }
        bound(element, reader.value()?, depth + 1)
    };
    let (lower, upper) = (bound(LOWER_INFINITE)?, bound(UPPER_INFINITE)?);
    let begin = if flags & LOWER_INCLUSIVE != 0 { '[' } else { '(' };
    let end = if flags & UPPER_INCLUSIVE != 0 { ']' } else { ')' };
    Ok(format!("{begin}{lower},{upper}{end}"))
}

fn bound(element: &Type, raw: Option<&[u8]>, depth: usize) -> Result<String, Unreadable> {
    let mut json = Vec::new();
    nested(&mut json, element, raw, depth)?;
    let text = match serde_json::from_slice::<String>(&json) {
        Ok(text) => text,
        Err(_) => String::from_utf8(json).map_err(|_| Malformed)?,
    };
    let plain = |character: char| !character.is_whitespace() && !"\"\\,()[]".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text);
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\"")))
}

/// An object of strings.
pub(super) fn hstore(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    out.push(b'{');
    for nth in 0..reader.count()? {
        if nth > 0 {
            out.push(b',');
        }
        let key = reader.value()?.ok_or(Malformed)?;
        super::text::plain(out, key)?;
        out.push(b':');
        match reader.value()? {
            Some(value) => super::text::plain(out, value)?,
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    Ok(())
}
