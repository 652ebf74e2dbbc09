//! Which rows make up which minibatch.
//!
//! Before each epoch [`shuffle`] writes a permutation of all rows, and [`Batches`] cuts it into ranges of `batch_size`, the last one shorter
//! when the rows do not divide evenly. Both as in Keras, except that Keras takes the permutation from a global generator, while here it is a
//! function of the seed and the epoch: training that resumes at epoch 7 sees the batches that it would have seen without the stop.
//!
//! ```
//! use selvedge::data::{Batches, shuffle};
//!
//! let mut order = vec![0; 10];
//! for epoch in 0..3 {
//!     shuffle(&mut order, 42, epoch);
//!     for range in Batches::new(order.len(), 4)? {
//!         let rows: &[u32] = &order[range]; // 4, 4 and 2 rows
//!         # assert!(!rows.is_empty());
//!     }
//! }
//! # Ok::<(), selvedge::data::DataError>(())
//! ```

use std::{iter::FusedIterator, ops::Range};

use super::{
    error::DataError,
    random::{Purpose, Random},
};

/// Overwrites `order` with a random permutation of `0..order.len()` that depends on the seed, the epoch and the length, and on nothing else:
/// not on what `order` held before, the platform, or the version of a library. All permutations are equally likely as far as the 128 bits of
/// the generator's state reach.
///
/// # Panics
/// If `order` has more than 2^32 elements.
pub fn shuffle(order: &mut [u32], seed: u64, epoch: u64) {
    shuffle_for(Purpose::Order, order, seed, epoch);
}

/// [`shuffle`], with a sequence of its own for each purpose.
pub(crate) fn shuffle_for(purpose: Purpose, order: &mut [u32], seed: u64, index: u64) {
    assert!(order.len() as u64 <= 1 << 32, "at most 2^32 rows expected, found {}", order.len());
    for (i, row) in order.iter_mut().enumerate() {
        *row = i as u32;
    }
    Random::new(purpose, seed, index).shuffle(order);
}

/// The ranges `0..batch_size`, `batch_size..2 * batch_size`, ... that cover `0..rows`; the last one may be shorter.
#[derive(Clone, Debug)]
pub struct Batches {
    start: usize,
    rows: usize,
    batch_size: usize,
}

impl Batches {
    /// Batches over that many rows. No rows make no batches.
    ///
    /// # Errors
    /// [`DataError::ZeroBatchSize`].
    pub fn new(rows: usize, batch_size: usize) -> Result<Self, DataError> {
        if batch_size == 0 {
            return Err(DataError::ZeroBatchSize { rows });
        }
        Ok(Self { start: 0, rows, batch_size })
    }
}

impl Iterator for Batches {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.start == self.rows {
            return None;
        }
        let end = self.start + self.batch_size.min(self.rows - self.start);
        let range = self.start..end;
        self.start = end;
        Some(range)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.rows - self.start).div_ceil(self.batch_size);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}
impl FusedIterator for Batches {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shuffled(len: usize, seed: u64, epoch: u64) -> Vec<u32> {
        let mut order = vec![u32::MAX; len];
        shuffle(&mut order, seed, epoch);
        order
    }

    /// Made by an independent program of twenty lines from the definitions of SplitMix64, PCG64, Lemire's method and Fisher and Yates' shuffle.
    /// If this fails, every training run of every user changes: mend the code, not the numbers.
    #[test]
    fn known_answers() {
        assert_eq!(shuffled(12, 0, 0), [8, 6, 0, 10, 9, 4, 5, 3, 11, 7, 1, 2]);
        assert_eq!(shuffled(12, 42, 7), [9, 10, 0, 4, 2, 8, 6, 1, 11, 5, 7, 3]);
        // FNV-1a over the rows of a long one.
        let hash = shuffled(60_000, 42, 3)
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &row| (hash ^ u64::from(row)).wrapping_mul(0x100_0000_01b3));
        assert_eq!(hash, 0x69ed_68bf_8512_b677);
    }

    #[test]
    fn every_row_comes_once() {
        for len in [0, 1, 2, 3, 10, 1000] {
            let mut order = shuffled(len, 7, 0);
            order.sort_unstable();
            assert!(order.iter().enumerate().all(|(i, &row)| row == i as u32), "{len}");
        }
    }

    #[test]
    fn old_content_does_not_matter() {
        let mut order = shuffled(100, 1, 1);
        shuffle(&mut order, 5, 9);
        assert_eq!(order, shuffled(100, 5, 9));
    }

    #[test]
    fn seeds_and_epochs_differ() {
        let first = shuffled(50, 0, 0);
        for (seed, epoch) in [(0, 1), (1, 0), (1, 1), (u64::MAX, 0), (0, u64::MAX)] {
            assert_ne!(first, shuffled(50, seed, epoch), "{seed} {epoch}");
        }
    }

    /// All 24 orders of four rows, each as often as chance would have it.
    #[test]
    fn all_orders_are_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..24_000 {
            *counts.entry(shuffled(4, 3, epoch)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // Five standard deviations of a binomial count.
        assert!(counts.values().all(|count| count.abs_diff(1000) < 155), "{counts:?}");
    }

    #[test]
    fn batches_cover_all_rows_and_keep_the_partial_last() {
        for rows in 0..40 {
            for batch_size in [1, 2, 3, 7, 16, 39, 40, 100, usize::MAX] {
                let batches = Batches::new(rows, batch_size).unwrap();
                assert_eq!(batches.len(), rows.div_ceil(batch_size));
                let mut next = 0;
                for range in batches {
                    assert_eq!(range.start, next);
                    assert!(range.len() == batch_size || range.end == rows);
                    assert!(!range.is_empty());
                    next = range.end;
                }
                assert_eq!(next, rows);
            }
        }
    }

    #[test]
    fn zero_batch_size_is_refused() {
        assert!(matches!(Batches::new(12, 0), Err(DataError::ZeroBatchSize { rows: 12 })));
    }
}
