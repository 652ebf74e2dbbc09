//! Sixteen rows of at most sixteen columns at once, turned: a vector is a column, and a lane is a row.
//!
//! One such row alone leaves a part of its vector empty, and its largest element and its sum are found in one lane after the other.
//! Turned, all lanes work, and what is asked of a row is asked of sixteen. The bits are the same.

use super::matrix::{MatMut, MatRef};
use crate::simd::{Isa, LANES, Simd, SimdOp, first_bits};
use core::ops::Range;

/// What is done with each row of a matrix for itself.
pub(super) trait OnEachRow {
    /// What is known after the last row.
    type Output;
    /// The numbers of rows and of columns.
    fn shape(&self) -> (usize, usize);
    /// With row `i`.
    fn on_row<S: Simd>(&mut self, simd: S, i: usize);
    /// With up to sixteen rows, of at most sixteen columns: the same, by the functions of this module.
    fn on_narrow_rows<S: Simd>(&mut self, simd: S, rows: Range<usize>);
    /// After the last row.
    fn output(self) -> Self::Output;
}

/// All rows of a matrix: sixteen at once if they are narrow, unless they are few.
#[inline(always)]
pub(super) fn on_each_row<O: OnEachRow>(isa: Isa, op: O) -> O::Output {
    /// So many rows take longer one by one.
    const WORTH_TURNING: usize = LANES / 2;

    // Two functions, so that one row does not pay for the registers that sixteen need.
    struct EachRow<O, const NARROW: bool>(O);
    impl<O: OnEachRow, const NARROW: bool> SimdOp for EachRow<O, NARROW> {
        type Output = O::Output;
        #[inline(always)]
        fn run<S: Simd>(mut self, simd: S) -> O::Output {
            let (rows, _) = self.0.shape();
            if NARROW {
                for first in (0..rows).step_by(LANES) {
                    self.0.on_narrow_rows(simd, first..rows.min(first + LANES));
                }
            } else {
                for i in 0..rows {
                    self.0.on_row(simd, i);
                }
            }
            self.0.output()
        }
    }

    let (rows, columns) = op.shape();
    if columns <= LANES && rows >= WORTH_TURNING { isa.run(EachRow::<O, true>(op)) } else { isa.run(EachRow::<O, false>(op)) }
}

/// Some rows, turned. What there is no row or no column for is zero.
#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, x: MatRef<'_>, rows: Range<usize>) -> [S::F32; LANES] {
    let mut block = [simd.zero(); LANES];
    for (row, i) in block.iter_mut().zip(rows) {
        *row = simd.load_first(x.row(i));
    }
    simd.transpose(block)
}

/// The counterpart of [`load`].
#[inline(always)]
pub(super) fn store<S: Simd>(simd: S, columns: [S::F32; LANES], x: &mut MatMut<'_>, rows: Range<usize>) {
    for (row, i) in simd.transpose(columns).into_iter().zip(rows) {
        simd.store_first(row, x.row_mut(i));
    }
}

/// The largest element of each row, as [`slice::max_with`](crate::simd::slice::max_with) finds it.
#[inline(always)]
pub(super) fn max<S: Simd>(simd: S, columns: &[S::F32]) -> S::F32 {
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for &column in columns {
        largest = simd.max(column, largest);
    }
    largest
}

/// The first column of each row that holds `value`, 0 if none does.
#[inline(always)]
pub(super) fn position<S: Simd>(simd: S, columns: &[S::F32], value: S::F32) -> S::F32 {
    let mut first = simd.zero();
    for (j, &column) in columns.iter().enumerate().rev() {
        first = simd.select(simd.eq(column, value), simd.splat(j as f32), first);
    }
    first
}

/// How many of the first `rows` lanes are equal.
#[inline(always)]
pub(super) fn count_equal<S: Simd>(simd: S, a: S::F32, b: S::F32, rows: usize) -> usize {
    (simd.mask_to_bits(simd.eq(a, b)) & first_bits(rows)).count_ones() as usize
}

/// The sum of each row, in the order of [`Simd::sum_lanes`]. Columns that there are not must be zero.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, mut columns: [S::F32; LANES]) -> S::F32 {
    let mut width = LANES / 2;
    while width > 0 {
        for j in 0..width {
            columns[j] = simd.add(columns[j], columns[j + width]);
        }
        width /= 2;
    }
    columns[0]
}
