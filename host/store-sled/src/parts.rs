//! Values of any size, cut into parts that are small enough for sled.

use std::cell::RefCell;

use sled::IVec;
use stepcell_core::Digest;

use crate::{changes::KEY_LOG_BYTES, pack};

/// The largest value that goes into sled.
///
/// sled splits a leaf by its number of keys, over 16, not by its size, and writes a leaf of over 128 KiB into a
/// file of its own that nobody ever syncs. So it is not the value that has to stay below that, but twenty of
/// them: 16, one that is being added, and three that a merge may bring.
pub(crate) const VALUE_MAX: usize = 4096;

/// The largest thing that is kept in the tree, packed where that makes it shorter. What is larger gets a file: it
/// would fill a log segment, take most of a page cache, and be written over again whenever a neighbour changes.
pub(crate) const INLINE_MAX: usize = 64 << 10;

/// What is larger is not even packed: it hardly ever gets as small as that.
const PACKED_FROM_MAX: usize = 1 << 20;

/// Scratch space that a thread keeps for the next encoding. More is given back: one huge append would
/// otherwise hold its memory for ever.
const SCRATCH_KEPT_MAX: usize = 256 << 10;

/// What the first part starts with.
const INLINE: u8 = 1;
const IN_FILE: u8 = 2;
const PACKED: u8 = 3;
const HEADER_BYTES: usize = 3;
const FILE_BYTES: usize = 33;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static PACKING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Something encoded: in parts, or too large for the tree.
pub(crate) enum Encoded {
    Parts(Vec<IVec>),
    Large(Vec<u8>),
}

impl Encoded {
    /// What it adds to the log, about.
    pub(crate) fn log_bytes(&self) -> usize {
        match self {
            Self::Parts(parts) => rows_log_bytes(parts),
            // Its run holds the file.
            Self::Large(_) => FILE_BYTES + 3 * KEY_LOG_BYTES,
        }
    }

    /// What it holds in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Parts(_) => self.log_bytes(),
            Self::Large(bytes) => bytes.len(),
        }
    }
}

/// Encodes what `write` writes, and packs it where that makes it shorter.
pub(crate) fn encode<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Encoded, E> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        scratch.extend([INLINE, 0, 0]);
        write(scratch)?;
        let encoded = match packed(scratch) {
            Some(parts) => Encoded::Parts(parts),
            None if scratch.len() > INLINE_MAX => {
                Encoded::Large(scratch.get(HEADER_BYTES..).unwrap_or_default().to_vec())
            }
            None => Encoded::Parts(cut(scratch)),
        };
        scratch.shrink_to(SCRATCH_KEPT_MAX);
        Ok(encoded)
    })
}

/// What rows add to the log, about.
pub(crate) fn rows_log_bytes(rows: &[IVec]) -> usize {
    rows.iter().map(|row| KEY_LOG_BYTES + row.len()).sum()
}

/// What the parts of so many bytes add to it.
pub(crate) fn log_bytes(bytes: usize) -> usize {
    bytes + KEY_LOG_BYTES * (bytes + HEADER_BYTES).div_ceil(VALUE_MAX)
}

/// The parts of bytes that are not large.
pub(crate) fn rows(bytes: &[u8]) -> Vec<IVec> {
    cut(&mut [&[INLINE, 0, 0], bytes].concat())
}

/// Whether so many bytes are kept in a file.
pub(crate) fn is_large(bytes: usize) -> bool {
    bytes > INLINE_MAX - HEADER_BYTES
}

/// The one part that stands for what is in a file.
pub(crate) fn in_file(digest: Digest) -> IVec {
    let mut part = Vec::with_capacity(FILE_BYTES);
    part.push(IN_FILE);
    part.extend(digest.as_bytes());
    IVec::from(part)
}

/// What a first part says about the whole.
pub(crate) enum Head<'a> {
    /// This many more parts follow the bytes that are here.
    Inline {
        here: &'a [u8],
        more: u16,
        /// Of what is packed: how many bytes it has otherwise.
        size: Option<usize>,
    },
    InFile(Digest),
}

/// Reads a first part; `None` if it is none.
pub(crate) fn head(first: &[u8]) -> Option<Head<'_>> {
    match first.split_first()? {
        (&INLINE, rest) => {
            let (count, here) = rest.split_first_chunk::<2>()?;
            Some(Head::Inline { here, more: u16::from_be_bytes(*count).checked_sub(1)?, size: None })
        }
        (&PACKED, rest) => {
            let (count, rest) = rest.split_first_chunk::<2>()?;
            let (size, here) = rest.split_first_chunk::<4>()?;
            let size =
                usize::try_from(u32::from_be_bytes(*size)).ok().filter(|size| *size <= PACKED_FROM_MAX)?;
            let size = Some(size);
            Some(Head::Inline { here, more: u16::from_be_bytes(*count).checked_sub(1)?, size })
        }
        (&IN_FILE, digest) => Some(Head::InFile(Digest::from_bytes(digest.try_into().ok()?))),
        _ => None,
    }
}

/// The parts of what starts with a header, packed; none where that makes it no shorter, or not small enough.
fn packed(bytes: &[u8]) -> Option<Vec<IVec>> {
    let bytes = bytes.get(HEADER_BYTES..)?;
    let size = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= PACKED_FROM_MAX)?;
    PACKING.with_borrow_mut(|to| {
        to.clear();
        to.extend([PACKED, 0, 0]);
        to.extend(size.to_be_bytes());
        let fits = pack::pack(bytes, to) && to.len() <= INLINE_MAX;
        let parts = fits.then(|| cut(to));
        to.shrink_to(SCRATCH_KEPT_MAX);
        parts
    })
}

/// Cuts what starts with space for a header, and fills the header in.
fn cut(bytes: &mut [u8]) -> Vec<IVec> {
    // `INLINE_MAX` bytes make far fewer parts than a `u16` counts.
    let count = u16::try_from(bytes.len().div_ceil(VALUE_MAX)).unwrap_or(u16::MAX);
    for (to, from) in bytes.iter_mut().skip(1).zip(count.to_be_bytes()) {
        *to = from;
    }
    bytes.chunks(VALUE_MAX).map(IVec::from).collect()
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    /// What can not be packed.
    fn noise(size: usize) -> Vec<u8> {
        (0_u64..).flat_map(|n| *Digest::of(&n.to_be_bytes()).as_bytes()).take(size).collect()
    }

    fn encoded(bytes: &[u8]) -> Encoded {
        encode::<()>(|to| {
            to.extend(bytes);
            Ok(())
        })
        .unwrap()
    }

    #[track_caller]
    fn check_parts(size: usize, expected: usize) {
        let Encoded::Parts(parts) = encoded(&noise(size)) else { panic!("{size} bytes are not in parts") };
        assert_eq!(parts.len(), expected, "{size}");
        assert!(parts.iter().all(|part| part.len() <= VALUE_MAX));
        let Some(Head::Inline { here, more, size: None }) = head(&parts[0]) else { panic!("no head") };
        assert_eq!(usize::from(more), expected - 1);
        assert_eq!(here.len() + parts[1..].iter().map(|part| part.len()).sum::<usize>(), size);
    }

    #[test]
    fn parts_are_small_and_together_whole() {
        check_parts(0, 1);
        check_parts(VALUE_MAX - HEADER_BYTES, 1);
        check_parts(VALUE_MAX - HEADER_BYTES + 1, 2);
        check_parts(INLINE_MAX - HEADER_BYTES, 16);
    }

    #[test]
    fn what_repeats_itself_is_packed() {
        for size in [100, VALUE_MAX, INLINE_MAX - HEADER_BYTES, 4 * INLINE_MAX] {
            let Encoded::Parts(parts) = encoded(&vec![7; size]) else {
                panic!("{size} bytes are not in parts")
            };
            let Some(Head::Inline { here, more: 0, size: Some(found) }) = head(&parts[0]) else {
                panic!("{size} bytes are not packed")
            };
            assert_eq!(found, size);
            assert!(here.len() * 2 < size, "{size} bytes are still {}", here.len());
            assert_eq!(pack::unpack(here, size), Some(vec![7; size]));
        }
    }

    /// The log of a long run, as far as it does not repeat itself.
    #[test]
    fn what_is_large_until_it_is_packed_is_cut() {
        let long: Vec<u8> =
            noise(8_000).into_iter().flat_map(|byte| iter::once(byte).chain([b'0'; 19])).collect();
        let Encoded::Parts(parts) = encoded(&long) else { panic!("it is not in parts") };
        let Some(Head::Inline { here, more, size: Some(size) }) = head(&parts[0]) else { panic!("no head") };
        assert_eq!((size, usize::from(more) + 1), (long.len(), parts.len()));
        let packed =
            [here].into_iter().chain(parts[1..].iter().map(|part| &part[..])).collect::<Vec<_>>().concat();
        assert_eq!(pack::unpack(&packed, size), Some(long));
    }

    #[test]
    fn what_is_too_large_is_not_cut() {
        for large in [noise(INLINE_MAX - HEADER_BYTES + 1), vec![7; PACKED_FROM_MAX + 1]] {
            assert!(matches!(encoded(&large), Encoded::Large(bytes) if bytes == large));
        }
        let digest = Digest::of(b"x");
        assert!(matches!(head(&in_file(digest)), Some(Head::InFile(found)) if found == digest));
    }

    #[test]
    fn a_strange_head_is_none() {
        let (packed, endless) = ([PACKED, 0, 1, 0, 0, 0], [PACKED, 0, 1, 255, 255, 255, 255]);
        let cut: [&[u8]; 4] = [&[], &[INLINE], &[IN_FILE, 1, 2], &packed];
        for strange in cut.into_iter().chain([&[9_u8, 0, 1][..], &[INLINE, 0, 0], &endless]) {
            assert!(head(strange).is_none(), "{strange:?}");
        }
    }
}
