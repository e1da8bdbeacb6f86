//! Events, made smaller by what all of them say.
//!
//! The log of a small run is mostly the names of what happens, and those of its keys. LZ4 finds them in a text that
//! has them all, and so writes down little more than what is this run's own. It is quick enough to be done for
//! each append. An entropy coder would save a quarter more, with a library in C.

use lz4_flex::block;

/// What events look like. Part of the layout: what was packed by it is unpacked by nothing else, so that another
/// text has to come as another kind of row, beside this one.
const VOCABULARY: &[u8] = include_bytes!("pack/vocabulary.txt");

/// Adds `bytes` to the end of `to`, packed; gives whether that is shorter, and else leaves `to` as it was.
pub(crate) fn pack(bytes: &[u8], to: &mut Vec<u8>) -> bool {
    let start = to.len();
    to.resize(start + block::get_maximum_output_size(bytes.len()), 0);
    let space = to.get_mut(start..).unwrap_or_default();
    match block::compress_into_with_dict(bytes, space, VOCABULARY) {
        Ok(packed) if packed < bytes.len() => {
            to.truncate(start + packed);
            true
        }
        _ => {
            to.truncate(start);
            false
        }
    }
}

/// What was packed, of which it is known how many bytes it has; `None` if it is something else.
pub(crate) fn unpack(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    let found = block::decompress_into_with_dict(packed, &mut bytes, VOCABULARY).ok()?;
    (found == size).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stepcell_core::Digest;

    use super::*;

    #[test]
    fn the_vocabulary_stays_as_it_is() {
        let known = "7a10595e3f629ce56fbb7db94a65a4cd2361ca4a7d29b67285a132d690785033";
        assert_eq!(Digest::of(VOCABULARY).to_string(), known, "stores that were written could not be read");
    }

    #[test]
    fn the_log_of_a_small_run_shrinks_to_half() {
        let log = format!(
            r#"[{{"seq":1,"at":"2031-02-03T04:05:06.789Z","type":"run.created","data":{{"flow":"f","flow_digest":"{0}","input":{{"n":1}},"plugins":{{"t":["{0}"]}}}}}},{{"seq":2,"at":"2031-02-03T04:05:06.791Z","type":"run.started","data":{{}}}},{{"seq":3,"at":"2031-02-03T04:05:06.791Z","type":"run.succeeded","data":{{"output":{{"value":1}}}}}}]"#,
            Digest::of(b"x")
        );
        let mut packed = Vec::new();
        assert!(pack(log.as_bytes(), &mut packed));
        assert!(packed.len() * 2 < log.len(), "{} of {} bytes", packed.len(), log.len());
    }

    #[test]
    fn what_does_not_shrink_is_left() {
        let noise: Vec<u8> = (0..100).flat_map(|n: u32| *Digest::of(&n.to_be_bytes()).as_bytes()).collect();
        for bytes in [b"".as_slice(), b"x", &noise] {
            let mut to = vec![1, 2, 3];
            assert!(!pack(bytes, &mut to));
            assert_eq!(to, [1, 2, 3]);
        }
    }

    #[test]
    fn other_bytes_are_not_unpacked() {
        let mut packed = Vec::new();
        assert!(pack(&[b'x'; 1_000], &mut packed));
        assert!(unpack(&packed, 1_000).is_some());
        for size in [0, 999, 1_001, 60_000] {
            assert_eq!(unpack(&packed, size), None, "{size}");
        }
        assert_eq!(unpack(&packed[..packed.len() - 1], 1_000), None);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(words in prop::collection::vec("[a-z]{0,3}|step\\.started|\"seq\":[0-9]", 0..400)) {
            let text = words.concat();
            let mut packed = Vec::new();
            if pack(text.as_bytes(), &mut packed) {
                prop_assert!(packed.len() < text.len());
                prop_assert_eq!(unpack(&packed, text.len()), Some(text.into_bytes()));
            }
        }

        #[test]
        fn no_bytes_break_the_unpacking(bytes: Vec<u8>, size in 0..70_000_usize) {
            if let Some(unpacked) = unpack(&bytes, size) {
                prop_assert_eq!(unpacked.len(), size);
            }
        }
    }
}
