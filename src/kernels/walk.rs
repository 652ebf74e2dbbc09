//! Ways through a matrix, some vectors of columns at a time.

use super::matrix::MatRef;
use crate::simd::{LANES, Simd, slice};
use core::ops::Range;

/// What is done with some columns of a matrix, row by row.
pub(super) trait OnColumns {
    /// Memory that is used for some columns after the other, so that it is made only once.
    type Scratch<S: Simd, const V: usize>;
    /// Makes it.
    fn scratch<S: Simd, const V: usize>(simd: S) -> Self::Scratch<S, V>;
    /// For columns in `V` vectors, of which only the last may be partial.
    fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, columns: Range<usize>, scratch: &mut Self::Scratch<S, V>);
}

/// All columns, [`Simd::COLUMN_VECTORS`] at once: what belongs to columns stays in registers from row to row, and sums do not wait for each
/// other.
#[inline(always)]
pub(super) fn on_all_columns<S: Simd, O: OnColumns>(simd: S, columns: usize, op: &mut O) {
    // A number of vectors must be known where the code is written, so all are; a `const` block keeps those that are not used from being
    // compiled.
    if const { S::COLUMN_VECTORS >= 4 } {
        in_strips::<S, O, 4>(simd, columns, op);
    } else if const { S::COLUMN_VECTORS >= 2 } {
        in_strips::<S, O, 2>(simd, columns, op);
    } else {
        in_strips::<S, O, 1>(simd, columns, op);
    }
}

/// All columns, `V` vectors at once.
#[inline(always)]
pub(super) fn in_strips<S: Simd, O: OnColumns, const V: usize>(simd: S, columns: usize, op: &mut O) {
    let strip = V * LANES;
    let whole = columns - columns % strip;
    let mut scratch = O::scratch(simd);
    for start in (0..whole).step_by(strip) {
        op.on_columns::<S, V>(simd, start..start + strip, &mut scratch);
    }
    match (columns - whole).div_ceil(LANES) {
        0 => {}
        1 if const { V > 1 } => op.on_columns::<S, 1>(simd, whole..columns, &mut O::scratch(simd)),
        2 if const { V > 2 } => op.on_columns::<S, 2>(simd, whole..columns, &mut O::scratch(simd)),
        3 if const { V > 3 } => op.on_columns::<S, 3>(simd, whole..columns, &mut O::scratch(simd)),
        _ => op.on_columns::<S, V>(simd, whole..columns, &mut scratch),
    }
}

/// What is done with some rows of some columns, each row for itself.
pub(super) trait OnRows {
    /// For columns in `V` vectors, of which only the last may be partial.
    fn on_rows<S: Simd, const V: usize>(&mut self, simd: S, rows: Range<usize>, columns: Range<usize>);
}

/// Elements of a matrix that is too large for a cache: 8 MiB. In a cache, the instructions are what counts; in memory, that it is read in
/// the order of the addresses. Unit tests find both ways in small matrices.
pub(super) const LARGE: usize = if cfg!(test) { 1 << 10 } else { 1 << 21 };

/// Elements of a matrix that no cache keeps beside another of its size: 64 MiB. What is written to it comes from main memory first, and comes
/// sooner if it is asked for. From a cache of level 3 it would come in time, and to ask costs more than it gains: the chain of
/// [`fused`](super::fused) takes 0.75 to 0.9 of the time beyond this size on an Intel Xeon of family 6, model 167, and up to 1.2 below it; on a
/// Zen 4, 0.7 to 0.9.
pub(super) const BEYOND_CACHES: usize = if cfg!(test) { 1 << 11 } else { 1 << 24 };

/// All rows of all columns of `x` and of a matrix like it: some rows from their first column to the last, then the next.
#[inline(always)]
pub(super) fn on_all_rows<S: Simd>(simd: S, x: MatRef<'_>, op: &mut impl OnRows) {
    let (rows, columns) = (x.rows(), x.columns());
    let rows_at_once = if rows * columns < LARGE { rows_beside_each_other(x.leading_dimension()) } else { 1 };
    struct SomeRows<'a, O> {
        op: &'a mut O,
        rows: Range<usize>,
    }
    impl<O: OnRows> OnColumns for SomeRows<'_, O> {
        type Scratch<S: Simd, const V: usize> = ();
        #[inline(always)]
        fn scratch<S: Simd, const V: usize>(_: S) {}
        #[inline(always)]
        fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, columns: Range<usize>, (): &mut ()) {
            self.op.on_rows::<S, V>(simd, self.rows.clone(), columns);
        }
    }
    for first in (0..rows).step_by(rows_at_once) {
        let rows = first..rows.min(first + rows_at_once);
        in_strips::<S, _, 4>(simd, columns, &mut SomeRows { op: &mut *op, rows });
    }
}

/// Sixteen rows are so many that what belongs to columns is seldom loaded. But a place of level 1 has room for four of one matrix and four of
/// another.
fn rows_beside_each_other(leading_dimension: usize) -> usize {
    (4 * places_in_level_1(leading_dimension)).min(16)
}

/// In how many places of a cache of level 1, which keeps eight lines for each, the same columns of rows lie: in one if rows are a multiple of 4 KiB
/// apart, in two if of 2 KiB, and so on. More rows than have room there drive each other out before they are used.
pub(super) fn places_in_level_1(leading_dimension: usize) -> usize {
    1024 >> leading_dimension.trailing_zeros().min(10)
}

/// Some columns of a row, in `V` vectors of which only the last may be partial.
#[inline(always)]
pub(super) fn vectors<S: Simd, const V: usize>(simd: S, row: &[f32], columns: Range<usize>) -> [S::F32; V] {
    slice::load(simd, &row[columns])
}
