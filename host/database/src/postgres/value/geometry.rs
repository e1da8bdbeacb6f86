//! Geometric types, in the text that PostgreSQL writes and reads.

use super::{
    reader::{Malformed, Reader},
    text::quoted,
};

pub(super) fn point(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let point = read(&mut Reader::new(raw))?;
    quoted(out, format_args!("{point}"))
}

pub(super) fn lseg(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (from, to) = (read(&mut reader)?, read(&mut reader)?);
    quoted(out, format_args!("[{from},{to}]"))
}

pub(super) fn rectangle(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (high, low) = (read(&mut reader)?, read(&mut reader)?);
    quoted(out, format_args!("{high},{low}"))
}

pub(super) fn line(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (a, b, c) = (reader.f64()?, reader.f64()?, reader.f64()?);
    quoted(out, format_args!("{{{a},{b},{c}}}"))
}

pub(super) fn circle(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (center, radius) = (read(&mut reader)?, reader.f64()?);
    quoted(out, format_args!("<{center},{radius}>"))
}

pub(super) fn path(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let is_closed = reader.u8()? != 0;
    let points = points(&mut reader)?;
    if is_closed { quoted(out, format_args!("({points})")) } else { quoted(out, format_args!("[{points}]")) }
}

pub(super) fn polygon(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let points = points(&mut Reader::new(raw))?;
    quoted(out, format_args!("({points})"))
}

fn read(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(format!("({},{})", reader.f64()?, reader.f64()?))
}

fn points(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let points = (0..reader.count()?).map(|_| read(reader)).collect::<Result<Vec<_>, _>>()?;
    Ok(points.join(","))
}
