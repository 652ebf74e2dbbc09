//! [`kernels::merge`](crate::kernels::merge), one element at a time.

use crate::kernels::{MatMut, MatRef};

/// `y = x`
///
/// # Panics
/// If `y` is smaller than `x`.
pub fn copy(x: MatRef<'_>, mut y: MatMut<'_>) {
    for i in 0..x.rows() {
        for j in 0..x.columns() {
            y.row_mut(i)[j] = x.row(i)[j];
        }
    }
}

/// `y = y + x`
///
/// # Panics
/// If `y` is smaller than `x`.
pub fn add(x: MatRef<'_>, mut y: MatMut<'_>) {
    for i in 0..x.rows() {
        for j in 0..x.columns() {
            y.row_mut(i)[j] += x.row(i)[j];
        }
    }
}
