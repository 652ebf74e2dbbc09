//! [`Buffer`]: memory for a plan.

use super::huge_pages::{CAN_ASK, HUGE_PAGE, vec_in_huge_pages};
use crate::plan::Aligned;
use core::ops::{Deref, DerefMut};
use std::vec::Vec;

/// A slice of `f32` for a plan: parameters, optimizer state or workspace.
///
/// The first element lies at the start of a cache line; on Linux, from 1 MiB on, at the start of a huge page, see
/// [`vec_in_huge_pages`]. There a buffer takes up to 4 MiB more than its elements do: before the first page and in the last.
///
/// ```
/// use selvedge::memory::Buffer;
///
/// let mut workspace = Buffer::zeros(1000);
/// workspace[999] = 1.0;
/// assert_eq!(workspace.iter().sum::<f32>(), 1.0);
/// assert!(workspace.as_ptr().addr() % 64 == 0);
/// ```
pub struct Buffer {
    storage: Vec<f32>,
    start: usize,
}

const CACHE_LINE: usize = align_of::<Aligned<f32>>();

/// Half a huge page: less would leave most of it empty.
const SMALLEST_IN_HUGE_PAGES: usize = HUGE_PAGE / 2;

impl Buffer {
    /// `len` zeros.
    ///
    /// # Panics
    /// If that is more than memory.
    #[track_caller]
    pub fn zeros(len: usize) -> Self {
        let is_large = CAN_ASK && len >= SMALLEST_IN_HUGE_PAGES / size_of::<f32>();
        let alignment = if is_large { HUGE_PAGE } else { CACHE_LINE };
        let elements = alignment / size_of::<f32>();
        // The last page has to be there as a whole.
        let mut storage: Vec<f32> = vec_in_huge_pages(len.next_multiple_of(elements) + elements);
        let start = storage.as_ptr().align_offset(alignment).min(elements);
        storage.resize(start + len, 0.0);
        Self { storage, start }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.storage[self.start..]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..]
    }
}

impl core::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Buffer of {} elements", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_start_of_a_line_or_of_a_page() {
        let page = HUGE_PAGE / size_of::<f32>();
        for len in [0, 1, 15, 16, 17, 1000, page / 2 - 1, page / 2, page, page + 1, 3 * page - 1] {
            let mut buffer = Buffer::zeros(len);
            let alignment = if CAN_ASK && len >= page / 2 { HUGE_PAGE } else { CACHE_LINE };
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % alignment), (len, 0));
            assert!(buffer.iter().all(|x| *x == 0.0));
            buffer.fill(1.0);
            assert_eq!(buffer.iter().sum::<f32>(), len as f32);
        }
    }
}
