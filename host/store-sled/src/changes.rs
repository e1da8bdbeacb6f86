//! The rows that a batch sets and removes.

use sled::IVec;

/// What a row takes in the log beside its key and its value, about.
const ROW_LOG_BYTES: usize = 40;
/// What a row takes there beside its value, about, and at the most.
pub(crate) const KEY_LOG_BYTES: usize = 110;

/// Where a removed row would have the size of its value.
const REMOVED: u32 = u32::MAX;

/// In order: of several changes of a row the last one counts.
#[derive(Default)]
pub(crate) struct Changes {
    rows: Vec<(IVec, Option<IVec>)>,
    log_bytes: usize,
}

impl Changes {
    pub(crate) fn insert(&mut self, key: impl Into<IVec>, value: impl Into<IVec>) {
        self.push(key.into(), Some(value.into()));
    }

    pub(crate) fn remove(&mut self, key: impl Into<IVec>) {
        self.push(key.into(), None);
    }

    /// What all of it adds to the log, about.
    pub(crate) fn log_bytes(&self) -> usize {
        self.log_bytes
    }

    pub(crate) fn into_batch(self) -> sled::Batch {
        batch_of(self.rows)
    }

    /// Cut into batches that each add so much to the log, about; a single row may add more. Each row is in one of them.
    pub(crate) fn into_batches(mut self, most: usize) -> Vec<sled::Batch> {
        // Stable, so that the last change of a row is behind the others.
        self.rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (mut batches, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut changes = self.rows.into_iter().peekable();
        while let Some((key, value)) = changes.next() {
            if changes.peek().is_some_and(|(next, _)| *next == key) {
                continue;
            }
            let adds = log_bytes(&key, value.as_ref());
            if bytes + adds > most && !rows.is_empty() {
                batches.push(batch_of(std::mem::take(&mut rows)));
                bytes = 0;
            }
            bytes += adds;
            rows.push((key, value));
        }
        batches.push(batch_of(rows));
        batches
    }

    /// As bytes that [`decode`](Self::decode) reads.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.log_bytes);
        for (key, value) in &self.rows {
            // Both are far smaller than a `u32` counts.
            let size = |row: &IVec| u32::try_from(row.len()).unwrap_or(REMOVED);
            bytes.extend(size(key).to_be_bytes());
            bytes.extend(value.as_ref().map_or(REMOVED, size).to_be_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value.as_deref().unwrap_or_default());
        }
        bytes
    }

    /// `None` for what is nothing that was encoded.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut changes = Self::default();
        while !bytes.is_empty() {
            let (key_size, rest) = bytes.split_first_chunk()?;
            let (value_size, rest) = rest.split_first_chunk()?;
            let (key, rest) = rest.split_at_checked(size_of_row(*key_size)?)?;
            let value_size = match u32::from_be_bytes(*value_size) {
                REMOVED => None,
                _ => Some(size_of_row(*value_size)?),
            };
            let (value, rest) = rest.split_at_checked(value_size.unwrap_or(0))?;
            changes.push(IVec::from(key), value_size.map(|_| IVec::from(value)));
            bytes = rest;
        }
        Some(changes)
    }

    fn push(&mut self, key: IVec, value: Option<IVec>) {
        self.log_bytes += log_bytes(&key, value.as_ref());
        self.rows.push((key, value));
    }
}

fn log_bytes(key: &IVec, value: Option<&IVec>) -> usize {
    ROW_LOG_BYTES + key.len() + value.map_or(0, |value| value.len())
}

fn size_of_row(bytes: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

fn batch_of(rows: Vec<(IVec, Option<IVec>)>) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in rows {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes(rows: &[(Vec<u8>, Option<Vec<u8>>)]) -> Changes {
        let mut changes = Changes::default();
        for (key, value) in rows {
            match value {
                Some(value) => changes.insert(key.as_slice(), value.as_slice()),
                None => changes.remove(key.as_slice()),
            }
        }
        changes
    }

    fn rows() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
        let bytes = |least| prop::collection::vec(0..4_u8, least..4);
        prop::collection::vec((bytes(1), prop::option::of(bytes(0))), 0..40)
    }

    /// What batches make of an empty tree, one after the other.
    fn applied(batches: Vec<sled::Batch>) -> Vec<(IVec, IVec)> {
        let db = sled::Config::new().temporary(true).open().unwrap();
        batches.into_iter().for_each(|batch| db.apply_batch(batch).unwrap());
        db.iter().collect::<sled::Result<_>>().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn many_small_batches_do_what_one_does(rows in rows(), most in 0..500_usize) {
            let batches = changes(&rows).into_batches(most);
            prop_assert_eq!(applied(batches), applied(vec![changes(&rows).into_batch()]));
        }
    }

    proptest! {
        #[test]
        fn changes_come_back(rows in rows()) {
            let changes = changes(&rows);
            let bytes = changes.encode();
            let found = Changes::decode(&bytes).unwrap();
            prop_assert_eq!(found.rows, changes.rows);
            prop_assert_eq!(found.log_bytes, changes.log_bytes);
            for cut in 0..bytes.len() {
                // A cut between two rows leaves fewer of them: that is found by the digest.
                prop_assert!(Changes::decode(&bytes[..cut]).is_none_or(|found| found.rows.len() < rows.len()));
            }
        }
    }
}
