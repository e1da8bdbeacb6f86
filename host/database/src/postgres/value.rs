//! Values as PostgreSQL sends them (its binary format) into JSON.
//!
//! What a reader of JSON would round is a string: `numeric` always, an integer beyond 2^53, a float that is no
//! number. Text that PostgreSQL would read back is kept as it writes it, so that a result may be a parameter again.

mod geometry;
mod json;
mod nested;
mod network;
mod number;
mod reader;
mod text;
mod time;

use tokio_postgres::types::{Kind, Type};

pub(super) use self::reader::Malformed;

/// How deep values may nest, in records, arrays and the like: readers of JSON give up at about 128, and the host's
/// stack has an end.
const NESTING_MAX: usize = 64;

/// Why a value has no JSON form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A type of an extension, or one too old to be known. Its name.
    Unknown(String),
    /// Deeper than [`NESTING_MAX`].
    Deep,
    /// Not what the type's binary format says: the type was altered since the statement was prepared, or the peer
    /// is no PostgreSQL.
    Malformed,
}

impl From<Malformed> for Unreadable {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// Appends one value; `None` is NULL.
pub(super) fn write(out: &mut Vec<u8>, kind: &Type, raw: Option<&[u8]>) -> Result<(), Unreadable> {
    nested(out, kind, raw, 0)
}

fn nested(out: &mut Vec<u8>, kind: &Type, raw: Option<&[u8]>, depth: usize) -> Result<(), Unreadable> {
    if depth > NESTING_MAX {
        return Err(Unreadable::Deep);
    }
    let Some(raw) = raw else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    match kind.kind() {
        Kind::Domain(base) => nested(out, base, Some(raw), depth),
        Kind::Array(_) => nested::array(out, kind, raw, depth),
        Kind::Composite(fields) => nested::composite(out, fields, raw, depth),
        Kind::Range(element) => nested::range(out, element, raw, depth),
        Kind::Multirange(range) => nested::multirange(out, range, raw, depth),
        Kind::Enum(_) => Ok(text::plain(out, raw)?),
        _ if *kind == Type::RECORD => nested::record(out, raw, depth),
        _ => simple(out, kind, raw),
    }
}

fn simple(out: &mut Vec<u8>, kind: &Type, raw: &[u8]) -> Result<(), Unreadable> {
    match *kind {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => {
            text::plain(out, raw)?;
        }
        Type::CSTRING | Type::REFCURSOR => text::plain(out, raw)?,
        Type::CHAR => text::char(out, raw)?,
        Type::BOOL => number::bool(out, raw)?,
        Type::INT2 => number::int2(out, raw)?,
        Type::INT4 => number::int4(out, raw)?,
        Type::INT8 => number::int8(out, raw)?,
        Type::FLOAT4 => number::float4(out, raw)?,
        Type::FLOAT8 => number::float8(out, raw)?,
        Type::NUMERIC => number::numeric(out, raw)?,
        Type::MONEY => number::money(out, raw)?,
        Type::XID8 => number::xid8(out, raw)?,
        Type::JSON => json::json(out, raw)?,
        Type::JSONB => json::jsonb(out, raw)?,
        Type::JSONPATH => text::versioned(out, raw)?,
        Type::BYTEA => text::bytea(out, raw),
        Type::UUID => text::uuid(out, raw)?,
        Type::BIT | Type::VARBIT => text::bits(out, raw)?,
        Type::TS_VECTOR => text::tsvector(out, raw)?,
        Type::TID => text::tid(out, raw)?,
        Type::PG_LSN => text::lsn(out, raw)?,
        Type::DATE => time::date(out, raw)?,
        Type::TIME => time::time(out, raw)?,
        Type::TIMETZ => time::timetz(out, raw)?,
        Type::TIMESTAMP => time::timestamp(out, raw, "")?,
        Type::TIMESTAMPTZ => time::timestamp(out, raw, "Z")?,
        Type::INTERVAL => time::interval(out, raw)?,
        Type::INET | Type::CIDR => network::inet(out, raw)?,
        Type::MACADDR | Type::MACADDR8 => network::mac(out, raw),
        Type::POINT => geometry::point(out, raw)?,
        Type::LSEG => geometry::lseg(out, raw)?,
        Type::BOX => geometry::rectangle(out, raw)?,
        Type::LINE => geometry::line(out, raw)?,
        Type::CIRCLE => geometry::circle(out, raw)?,
        Type::PATH => geometry::path(out, raw)?,
        Type::POLYGON => geometry::polygon(out, raw)?,
        Type::VOID => out.extend_from_slice(b"null"),
        _ if number::is_oid(kind) => number::oid(out, raw)?,
        _ => extension(out, kind, raw)?,
    }
    Ok(())
}

/// Types that an extension brings have no fixed number; the ones that people use most are known by their names.
fn extension(out: &mut Vec<u8>, kind: &Type, raw: &[u8]) -> Result<(), Unreadable> {
    match kind.name() {
        "citext" => text::plain(out, raw)?,
        "ltree" | "lquery" | "ltxtquery" => text::versioned(out, raw)?,
        "hstore" => nested::hstore(out, raw)?,
        "vector" => number::vector(out, raw)?,
        "geometry" | "geography" => text::hex(out, raw),
        name => return Err(Unreadable::Unknown(name.to_owned())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_postgres::types::Type;

    use super::write;

    /// Every type that PostgreSQL itself brings has a number below this.
    const OIDS: u32 = 16_384;

    fn kinds() -> Vec<Type> {
        (0..OIDS).filter_map(Type::from_oid).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// A peer may send anything: what comes of it is JSON or an error.
        #[test]
        fn whatever_a_value_holds_nothing_panics(
            kind in prop::sample::select(kinds()),
            raw in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..64),
                // Small numbers are what counts and lengths are made of.
                prop::collection::vec(prop_oneof![4 => Just(0_u8), 2 => 0..8_u8, 1 => any::<u8>()], 0..64),
            ],
        ) {
            let mut json = Vec::new();
            if write(&mut json, &kind, Some(&raw)).is_ok() {
                let read = serde_json::from_slice::<serde_json::Value>(&json);
                prop_assert!(read.is_ok(), "{kind}: {}", String::from_utf8_lossy(&json));
            }
        }
    }
}
