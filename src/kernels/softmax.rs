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
use crate::simd::{Isa, LANES, Simd, SimdOp, slice};

/// `x[i][j] = exp(x[i][j]) / sum over k of exp(x[i][k])`, in place.
pub fn softmax_forward(isa: Isa, x: MatMut<'_>) {
    isa.run(Softmax { x });
}

struct Softmax<'a> {
    x: MatMut<'a>,
}

impl SimdOp for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for i in 0..self.x.rows() {
            let row = self.x.row_mut(i);
            let max = slice::max_with(simd, row);
            let sum = simd.splat(exponentials(simd, row, max));
            for chunk in row.chunks_mut(LANES) {
                let quotient = simd.div(simd.load_first(chunk), sum);
                simd.store_first(quotient, chunk);
            }
        }
    }
}

/// `x[j] = exp(x[j] - max)`, in place; returns their sum.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(simd: S, x: &mut [f32], max: f32) -> f32 {
    let max = simd.splat(max);
    let mut sum = simd.zero();
    for chunk in x.chunks_mut(LANES) {
        let exponential = math::exp(simd, simd.sub(simd.load_first(chunk), max));
        simd.store_first(exponential, chunk);
        // Lanes behind the end of the row add nothing.
        sum = simd.add(sum, simd.select(simd.mask_first(chunk.len()), exponential, simd.zero()));
    }
    simd.sum_lanes(sum)
}
