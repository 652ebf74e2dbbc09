//! Softmax.
//!
//! | kernel | formula | in place | passes |
//! |---|---|---|---|
//! | [`softmax_forward`] | `x[i][j] = exp(x[i][j] - m) / sum over k of exp(x[i][k] - m)`, `m = max over k of x[i][k]` | yes | 3 over a row, in cache |
//!
//! Finite for every finite row: the largest exponent is 0, so the sum is at least 1. A NaN or an infinity in a row makes the whole row
//! NaN, but for negative infinity beside finite elements, which has probability 0. A row is summed in sixteen lanes and their fixed tree, so a row's
//! result depends on nothing but the row.

use super::math;
use super::matrix::MatMut;
use super::narrow::{self, OnEachRow};
use crate::simd::{Isa, LANES, Simd, slice};
use core::ops::Range;

/// `x[i][j] = exp(x[i][j]) / sum over k of exp(x[i][k])`, in place.
pub fn softmax_forward(isa: Isa, x: MatMut<'_>) {
    narrow::on_each_row(isa, Softmax { x });
}

struct Softmax<'a> {
    x: MatMut<'a>,
}

impl OnEachRow for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn shape(&self) -> (usize, usize) {
        (self.x.rows(), self.x.columns())
    }
    #[inline(always)]
    fn on_row<S: Simd>(&mut self, simd: S, i: usize) {
        let row = self.x.row_mut(i);
        let max = slice::max_with(simd, row);
        let (sum, last) = exponentials(simd, row, max);
        let sum = simd.splat(sum);
        let (whole, tail) = row.as_chunks_mut::<LANES>();
        for chunk in whole {
            simd.store(simd.div(simd.load(chunk), sum), chunk);
        }
        simd.store_first(simd.div(last, sum), tail);
    }
    #[inline(always)]
    fn on_narrow_rows<S: Simd>(&mut self, simd: S, rows: Range<usize>) {
        let columns = self.x.columns();
        let mut x = narrow::load(simd, self.x.as_ref(), rows.clone());
        let max = narrow::max(simd, &x[..columns]);
        let sum = narrow_exponentials(simd, &mut x, columns, max);
        for column in &mut x[..columns] {
            *column = simd.div(*column, sum);
        }
        narrow::store(simd, x, &mut self.x, rows);
    }

    #[inline(always)]
    fn output(self) {}
}

/// `x[j] = exp(x[j] - max)`, in place; returns their sum.
///
/// The exponentials of a last vector that is not whole are returned too instead of being written: a processor waits long to read again what
/// it has just written with a mask.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(simd: S, x: &mut [f32], max: f32) -> (f32, S::F32) {
    let max = simd.splat(max);
    let mut sum = simd.zero();
    let (whole, tail) = x.as_chunks_mut::<LANES>();
    for chunk in whole {
        let exponential = math::exp(simd, simd.sub(simd.load(chunk), max));
        simd.store(exponential, chunk);
        sum = simd.add(sum, exponential);
    }
    let mut last = simd.zero();
    if !tail.is_empty() {
        last = math::exp(simd, simd.sub(simd.load_first(tail), max));
        // Lanes behind the end of the row add nothing.
        sum = simd.add(sum, simd.select(simd.mask_first(tail.len()), last, simd.zero()));
    }
    (simd.sum_lanes(sum), last)
}

/// [`exponentials`] of [narrow] rows of so many columns.
#[inline(always)]
pub(super) fn narrow_exponentials<S: Simd>(simd: S, x: &mut [S::F32; LANES], columns: usize, max: S::F32) -> S::F32 {
    for column in &mut x[..columns] {
        *column = math::exp(simd, simd.sub(*column, max));
    }
    narrow::sum(simd, *x)
}
