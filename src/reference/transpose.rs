//! [`kernels::transpose`](crate::kernels::transpose), one element at a time.

use crate::kernels::{MatMut, MatRef};
use crate::simd::LANES;

/// `y = x^T`.
///
/// # Panics
/// If `y` is smaller than `x^T`.
pub fn transpose(x: MatRef<'_>, mut y: MatMut<'_>) {
    for i in 0..x.rows() {
        for j in 0..x.columns() {
            y.row_mut(j)[i] = x.row(i)[j];
        }
    }
}

/// `y = y + x^T`.
///
/// # Panics
/// If `y` is smaller than `x^T`.
pub fn transpose_added(x: MatRef<'_>, mut y: MatMut<'_>) {
    for i in 0..x.rows() {
        for j in 0..x.columns() {
            y.row_mut(j)[i] += x.row(i)[j];
        }
    }
}

/// `y = x^T` where bit `i % 16` of word `i / 16` of row `j` of the mask is set, else 0.
///
/// # Panics
/// If `y` is smaller than `x^T`, or the mask too short.
pub fn transpose_masked(x: MatRef<'_>, mask: &[u16], mut y: MatMut<'_>) {
    let words = x.rows().div_ceil(LANES);
    for i in 0..x.rows() {
        for j in 0..x.columns() {
            let kept = mask[j * words + i / LANES] >> (i % LANES) & 1 == 1;
            y.row_mut(j)[i] = if kept { x.row(i)[j] } else { 0.0 };
        }
    }
}
