//! [`kernels::gather`](crate::kernels::gather), one element at a time.

use super::multiply_add;
use crate::kernels::gather::Scaling;
use crate::kernels::{MatMut, MatRef};
use crate::simd::Isa;

/// `y[i][j] = scale * x[order[i]][j] + shift` from bytes in rows without padding.
///
/// # Panics
/// If `order` is longer than `y` has rows or names a row that is not there.
pub fn gather_bytes(isa: Isa, x: &[u8], order: &[u32], scaling: Scaling, mut y: MatMut<'_>) {
    for (i, &row) in order.iter().enumerate() {
        for j in 0..y.columns() {
            let byte = x[row as usize * y.columns() + j];
            y.row_mut(i)[j] = multiply_add(isa, scaling.scale, f32::from(byte), scaling.shift);
        }
    }
}

/// `y[i][j] = x[order[i]][j]`
///
/// # Panics
/// If `order` is longer than `y` has rows or names a row that is not there.
pub fn gather(x: MatRef<'_>, order: &[u32], mut y: MatMut<'_>) {
    for (i, &row) in order.iter().enumerate() {
        for j in 0..y.columns() {
            y.row_mut(i)[j] = x.row(row as usize)[j];
        }
    }
}
