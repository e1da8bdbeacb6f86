//! Memory and tables of one cell, and the memory of all cells together.

use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use crate::machine::TABLE_ELEMENTS_MAX;

/// Elements of all tables of a cell together, eight bytes each. A bound beside the one on memory.
const TABLE_ELEMENTS_TOTAL_MAX: usize = 2 * TABLE_ELEMENTS_MAX;
/// Instances within one cell; the component itself decides how many there are, and no limit of ours is lower.
const INSTANCES_MAX: usize = 10_000;

/// Bytes of memory of all cells of this process together. A cell's own limit protects nobody where hundreds
/// of cells use theirs; past this sum no memory grows until a cell has ended.
const ALL_CELLS_MEMORY_MAX: usize = 4 << 30;

/// Bytes of memory that cells have now. One count for the process: what runs out is the process's memory.
static ALL_CELLS_MEMORY: AtomicUsize = AtomicUsize::new(0);

/// What a cell asked for and did not get. Guests see no more than a failed allocation, which most answer with
/// a trap that says nothing; this is the reason behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Memories would have had this many bytes in all.
    Memory { wanted: u64 },
    /// All cells together have no more to give.
    AllCells,
    /// Tables would have had this many elements in all.
    Table { wanted: u64 },
}

/// Counts the memories and tables of one cell, all instances together.
pub(crate) struct Limiter {
    memory_max: usize,
    memory: usize,
    table_elements: usize,
    refused: Option<Refused>,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        let memory_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        Self { memory_max, memory: 0, table_elements: 0, refused: None }
    }

    /// The last thing that was refused.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    pub(crate) fn table_elements_max() -> usize {
        TABLE_ELEMENTS_TOTAL_MAX
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_max {
            self.refused = Some(Refused::Memory { wanted: total as u64 });
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if !take_of_all(total - self.memory) {
            self.refused = Some(Refused::AllCells);
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS_TOTAL_MAX || desired > TABLE_ELEMENTS_MAX {
            self.refused = Some(Refused::Table { wanted: total as u64 });
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        ALL_CELLS_MEMORY.fetch_sub(self.memory, Ordering::Relaxed);
    }
}

fn take_of_all(bytes: usize) -> bool {
    let taken = |used: usize| used.checked_add(bytes).filter(|used| *used <= ALL_CELLS_MEMORY_MAX);
    ALL_CELLS_MEMORY.try_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cells_count_together_and_give_back() {
        let mut one = Limiter::new(u64::MAX);
        let mut two = Limiter::new(u64::MAX);
        assert!(one.memory_growing(0, ALL_CELLS_MEMORY_MAX - 100, None).unwrap());
        assert!(!two.memory_growing(0, ALL_CELLS_MEMORY_MAX / 2, None).unwrap());
        assert_eq!(two.refused(), Some(Refused::AllCells));
        drop(one);
        assert!(two.memory_growing(0, ALL_CELLS_MEMORY_MAX / 2, None).unwrap());
    }

    #[test]
    fn all_memories_count_together() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert_eq!(limiter.refused(), Some(Refused::Memory { wanted: 120 }));
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert!(!limiter.memory_growing(100, 101, None).unwrap());
    }

    #[test]
    fn a_memory_at_its_own_maximum_is_no_limit_of_ours() {
        let mut limiter = Limiter::new(100);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(limiter.refused(), None);
    }

    #[test]
    fn tables_are_counted_too() {
        let mut limiter = Limiter::new(100);
        assert!(!limiter.table_growing(0, TABLE_ELEMENTS_MAX + 1, None).unwrap());
        assert!(matches!(limiter.refused(), Some(Refused::Table { .. })));
    }
}
