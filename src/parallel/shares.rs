//! [`Shares`]: one mutable slice for the parts of a run.
#![allow(
    unsafe_code,
    reason = "no safe type hands out disjoint pieces of a slice by index, to threads that were not spawned for it, without allocating"
)]

use super::MAX_PARTS;
use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

const WORDS: usize = MAX_PARTS / u32::BITS as usize;

/// What share `index` is of `len` things that are cut into shares of `len_of_share`; behind the end it is empty.
pub(crate) fn range_of_share(len: usize, len_of_share: usize, index: usize) -> Range<usize> {
    let start = index.saturating_mul(len_of_share).min(len);
    start..start + len_of_share.min(len - start)
}

/// A mutable slice cut into equal shares, each of which can be taken once, from any thread.
///
/// The shared form of `chunks_mut`: share `i` is the elements from `i * len_of_share` on, up to the next share or the end of the
/// slice; behind the end it is empty.
pub struct Shares<'a, T> {
    start: *mut T,
    len: usize,
    len_of_share: usize,
    /// One bit for each share that has been taken.
    taken: [AtomicU32; WORDS],
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: through a shared reference a thread can only get at shares that no other thread gets, which is sending them to it.
unsafe impl<T: Send> Sync for Shares<'_, T> {}
// SAFETY: this is a mutable slice and a few numbers.
unsafe impl<T: Send> Send for Shares<'_, T> {}

impl<'a, T> Shares<'a, T> {
    /// Cuts a slice.
    pub fn new(slice: &'a mut [T], len_of_share: usize) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            len_of_share,
            taken: [const { AtomicU32::new(0) }; WORDS],
            slice: PhantomData,
        }
    }

    /// Takes share `index`.
    ///
    /// # Panics
    /// If it has been taken before, or `index` is [`MAX_PARTS`] or more.
    pub fn take(&self, index: usize) -> &'a mut [T] {
        assert!(index < MAX_PARTS, "a share below {MAX_PARTS} expected, found {index}");
        let (word, bit) = (index / 32, 1 << (index % 32));
        let before = self.taken[word].fetch_or(bit, Ordering::Relaxed);
        assert!(before & bit == 0, "share {index} has been taken before");
        let range = range_of_share(self.len, self.len_of_share, index);
        // SAFETY: the range lies inside the slice that is borrowed for 'a. Ranges of different shares do not overlap, and the bit
        // above lets each share be taken only once, so the result is the only reference to it.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_chunks_of_the_slice() {
        for len in 0..20 {
            for len_of_share in 1..8 {
                let mut values: std::vec::Vec<usize> = (0..len).collect();
                let expected: std::vec::Vec<std::vec::Vec<usize>> = values.chunks(len_of_share).map(<[usize]>::to_vec).collect();
                let shares = Shares::new(&mut values, len_of_share);
                for index in (0..MAX_PARTS).rev() {
                    assert_eq!(shares.take(index), expected.get(index).map_or(&[][..], |chunk| chunk));
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "share 1 has been taken before")]
    fn a_share_is_taken_once() {
        let mut values = [0; 4];
        let shares = Shares::new(&mut values, 2);
        let _first = shares.take(1);
        let _second = shares.take(1);
    }
}
