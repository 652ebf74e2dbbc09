//! [`Region`]: where a matrix lies in a buffer.

use crate::kernels::{MatMut, MatRef};
use crate::simd::{LANES, round_up_to_lanes};
use core::ops::Range;

/// A row-major matrix at a fixed place of a buffer of `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Index of the first element.
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Distance from a row to the next.
    pub leading_dimension: usize,
}

/// The leading dimension for rows of `columns` elements: whole vectors, and not a multiple of 1 KiB, because rows that far apart
/// compete for the same few sets of a cache.
#[inline]
pub const fn leading_dimension(columns: usize) -> usize {
    let whole = round_up_to_lanes(columns);
    if whole > 0 && whole.is_multiple_of(256) { whole + LANES } else { whole }
}

impl Region {
    /// No elements.
    pub const NONE: Self = Self::new(0, 0, 0);

    /// A matrix at `offset`, its rows padded to [`leading_dimension`].
    #[inline]
    pub const fn new(offset: usize, rows: usize, columns: usize) -> Self {
        Self { offset, rows, columns, leading_dimension: leading_dimension(columns) }
    }

    /// Number of elements, the padding of every row included.
    #[inline]
    pub const fn len(&self) -> usize {
        self.rows * self.leading_dimension
    }

    /// Whether there are no elements.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0 || self.columns == 0
    }

    /// Index of the first element behind the region.
    #[inline]
    pub const fn end(&self) -> usize {
        self.offset + self.len()
    }

    /// The elements of the region.
    #[inline]
    pub const fn range(&self) -> Range<usize> {
        self.offset..self.end()
    }

    /// The matrix in its buffer.
    ///
    /// # Panics
    /// If the buffer ends before the region.
    #[inline(always)]
    #[track_caller]
    pub fn of<'a>(&self, buffer: &'a [f32]) -> MatRef<'a> {
        MatRef::new(&buffer[self.offset..], self.rows, self.columns, self.leading_dimension)
    }

    /// The matrix in its buffer, for writing.
    ///
    /// # Panics
    /// If the buffer ends before the region.
    #[inline(always)]
    #[track_caller]
    pub fn of_mut<'a>(&self, buffer: &'a mut [f32]) -> MatMut<'a> {
        MatMut::new(&mut buffer[self.offset..], self.rows, self.columns, self.leading_dimension)
    }
}
