//! Matrices with poisoned padding.

use super::bits::{assert_moved, assert_same};
use super::buffer::{Buffer, Place};
use super::numbers::POISON;
use selvedge::kernels::gemm::RowBlocks;
use selvedge::kernels::{MatMut, MatRef};
use std::fmt::Display;

/// How the rows of a matrix lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Elements between the end of a row and the start of the next.
    pub(crate) padding: usize,
    /// Rows in each block but the last.
    pub(crate) rows_per_block: usize,
    /// Elements between the end of a block and the start of the next, beyond the padding.
    pub(crate) gap: usize,
}

impl Layout {
    /// One block.
    pub(crate) const fn padded(padding: usize) -> Self {
        Self { padding, rows_per_block: usize::MAX, gap: 0 }
    }
}

/// A matrix that owns its elements. Everything in its slice that is not an element is [`POISON`]; on the heap the slice goes on
/// behind the last row, at a guarded place it ends with the last element.
pub(crate) struct Matrix {
    buffer: Buffer<f32>,
    rows: usize,
    columns: usize,
    leading_dimension: usize,
    rows_per_block: usize,
    block_stride: usize,
}

impl Matrix {
    pub(crate) fn new(
        place: Place,
        (rows, columns): (usize, usize),
        layout: Layout,
        mut element: impl FnMut(usize, usize) -> f32,
    ) -> Self {
        let leading_dimension = columns + layout.padding;
        let rows_per_block = layout.rows_per_block.min(rows).max(1);
        let block_stride = rows_per_block * leading_dimension + layout.gap;
        let start = |i: usize| i / rows_per_block * block_stride + i % rows_per_block * leading_dimension;
        let extent = if rows == 0 { 0 } else { start(rows - 1) + columns };
        let mut elements = vec![POISON; if place == Place::Heap { extent + layout.padding + 3 } else { extent }];
        for i in 0..rows {
            for j in 0..columns {
                elements[start(i) + j] = element(i, j);
            }
        }
        Self { buffer: Buffer::new(place, elements), rows, columns, leading_dimension, rows_per_block, block_stride }
    }

    pub(crate) fn as_ref(&self) -> MatRef<'_> {
        assert!(self.rows <= self.rows_per_block, "this matrix has several blocks");
        MatRef::new(&self.buffer, self.rows, self.columns, self.leading_dimension)
    }

    pub(crate) fn as_mut(&mut self) -> MatMut<'_> {
        assert!(self.rows <= self.rows_per_block, "this matrix has several blocks");
        MatMut::new(&mut self.buffer, self.rows, self.columns, self.leading_dimension)
    }

    pub(crate) fn as_blocks(&self) -> RowBlocks<'_> {
        RowBlocks::new(&self.buffer, (self.rows, self.columns, self.leading_dimension), self.rows_per_block, self.block_stride)
    }

    /// The whole slice, padding included.
    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        &mut self.buffer
    }

    pub(crate) fn leading_dimension(&self) -> usize {
        self.leading_dimension
    }

    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.buffer[self.start(i)..][..self.columns]
    }

    fn start(&self, i: usize) -> usize {
        i / self.rows_per_block * self.block_stride + i % self.rows_per_block * self.leading_dimension
    }

    /// # Panics
    /// If an element differs, or if anything that is not an element is not [`POISON`] any more.
    #[track_caller]
    pub(crate) fn assert_same(&self, expected: &Self, case: &dyn Display) {
        for i in 0..self.rows {
            assert_same(self.row(i), expected.row(i), &format_args!("{case}: row {i}"));
        }
        self.assert_padding_untouched(case);
    }

    /// [`Matrix::assert_same`] where numbers are only moved, so that even a NaN keeps its bits.
    ///
    /// # Panics
    /// If a bit of an element differs, or if anything that is not an element is not [`POISON`] any more.
    #[track_caller]
    pub(crate) fn assert_moved(&self, expected: &Self, case: &dyn Display) {
        for i in 0..self.rows {
            assert_moved(self.row(i), expected.row(i), &format_args!("{case}: row {i}"));
        }
        self.assert_padding_untouched(case);
    }

    /// # Panics
    /// If anything that is not an element is not [`POISON`] any more.
    #[track_caller]
    pub(crate) fn assert_padding_untouched(&self, case: &dyn Display) {
        let mut from = 0;
        for i in 0..=self.rows {
            let to = if i == self.rows { self.buffer.len() } else { self.start(i) };
            for (offset, padding) in self.buffer[from..to].iter().enumerate() {
                assert!(padding.to_bits() == POISON.to_bits(), "{case}: padding {offset} before row {i} was written: {padding:e}");
            }
            from = to + self.columns;
        }
    }
}
