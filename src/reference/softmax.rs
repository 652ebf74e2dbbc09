//! [`kernels::softmax`](crate::kernels::softmax), one element at a time.

use super::math;
use crate::kernels::MatMut;
use crate::simd::{Isa, LANES};

/// `x[i][j] = exp(x[i][j]) / sum over k of exp(x[i][k])`, in place.
pub fn softmax_forward(isa: Isa, mut x: MatMut<'_>) {
    for i in 0..x.rows() {
        let row = x.row_mut(i);
        let sum = exponentials(isa, row);
        for x in row {
            *x /= sum;
        }
    }
}

/// The largest element that is not NaN, negative infinity if there is none.
pub(super) fn largest(x: &[f32]) -> f32 {
    let mut largest = f32::NEG_INFINITY;
    for &x in x {
        if x > largest {
            largest = x;
        }
    }
    largest
}

/// `x[j] = exp(x[j] - max x)`, in place; returns their sum, in sixteen lanes that are then added by the tree of
/// [`Simd::sum_lanes`](crate::simd::Simd::sum_lanes).
pub(super) fn exponentials(isa: Isa, x: &mut [f32]) -> f32 {
    let largest = largest(x);
    let mut lanes = [0.0; LANES];
    for (j, x) in x.iter_mut().enumerate() {
        *x = math::exp(isa, *x - largest);
        lanes[j % LANES] += *x;
    }
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}
