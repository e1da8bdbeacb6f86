//! Sets of steps.

/// A set of steps by index, as bits: a flow of ten thousand steps in a row has fifty million ancestors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ancestors(Vec<u64>);

impl Ancestors {
    /// The indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let lowest = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(word * 64 + lowest)
            })
        })
    }

    /// Whether a step is among them.
    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn insert(&mut self, index: usize) {
        let word = index / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (index % 64);
        }
    }

    pub(super) fn extend(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (bits, more) in self.0.iter_mut().zip(&other.0) {
            *bits |= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_set(first: BTreeSet<u16>, second: BTreeSet<u16>) {
            let of = |indices: &BTreeSet<u16>| {
                let mut set = Ancestors::default();
                indices.iter().for_each(|index| set.insert((*index).into()));
                set
            };
            let mut set = of(&first);
            set.extend(&of(&second));
            let expected: Vec<usize> = first.union(&second).map(|index| (*index).into()).collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(set.is_empty(), expected.is_empty());
            prop_assert!((0..70_000).all(|index| set.contains(index) == expected.binary_search(&index).is_ok()));
        }
    }
}
