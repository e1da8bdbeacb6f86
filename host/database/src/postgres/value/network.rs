//! Addresses.

use std::net::IpAddr;

use super::{
    reader::{Malformed, Reader},
    text::quoted,
};

/// `inet` and `cidr`. A host's address is written without the length of its network.
pub(super) fn inet(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (_family, bits, is_cidr, length) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
    let (address, all) = match length {
        4 => (IpAddr::from(reader.bytes::<4>()?), 32),
        16 => (IpAddr::from(reader.bytes::<16>()?), 128),
        _ => return Err(Malformed),
    };
    if is_cidr == 0 && bits == all {
        return quoted(out, format_args!("{address}"));
    }
    quoted(out, format_args!("{address}/{bits}"))
}

/// `macaddr` and `macaddr8`.
pub(super) fn mac(out: &mut Vec<u8>, raw: &[u8]) {
    let parts: Vec<String> = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    out.push(b'"');
    out.extend_from_slice(parts.join(":").as_bytes());
    out.push(b'"');
}
