//! [`kernels::dropout`](crate::kernels::dropout) as loops.

use super::multiply_add;
use super::rng::half;
use crate::kernels::MatMut;
use crate::kernels::dropout::{AlphaDropout, Dropout};
use crate::kernels::rng::Stream;
use crate::simd::{Isa, LANES};

/// Whether the element of row `i` and column `j` is kept.
pub fn keeps(rate: f64, stream: Stream, i: usize, j: usize) -> bool {
    let first_kept = match rate {
        0.0 => 0.0,
        1.0 => 65536.0,
        _ => (rate * 65536.0).round().clamp(1.0, 65535.0),
    };
    f64::from(half(stream, i, j)) >= first_kept
}

/// Whether the bit of row `i` and column `j` of a mask for `columns` columns is set.
pub fn bit(mask: &[u16], columns: usize, i: usize, j: usize) -> bool {
    mask[i * columns.div_ceil(LANES) + j / LANES] >> (j % LANES) & 1 == 1
}

/// `y = mask and keep ? y / (1 - rate) : 0`, `mask = mask and keep`
pub fn dropout_forward(dropout: Dropout, stream: Stream, mut x: MatMut<'_>, mask: &mut [u16]) {
    let columns = x.columns();
    for i in 0..x.rows() {
        for (j, x) in x.row_mut(i).iter_mut().enumerate() {
            let keep = keeps(dropout.rate(), stream, i, j);
            if !keep {
                mask[i * columns.div_ceil(LANES) + j / LANES] &= !(1 << (j % LANES));
            }
            *x = if bit(mask, columns, i, j) { *x * dropout.scale() } else { 0.0 };
        }
    }
}

/// `y = keep ? a x + b : a alpha' + b`
pub fn alpha_dropout_forward(isa: Isa, dropout: AlphaDropout, stream: Stream, mut x: MatMut<'_>) {
    for i in 0..x.rows() {
        for (j, x) in x.row_mut(i).iter_mut().enumerate() {
            let keep = keeps(dropout.rate(), stream, i, j);
            *x = if keep { multiply_add(isa, dropout.scale(), *x, dropout.shift()) } else { dropout.dropped() };
        }
    }
}

/// `dy = mask ? factor dy : 0`
pub fn masked_scale(factor: f32, mask: &[u16], mut dy: MatMut<'_>) {
    let columns = dy.columns();
    for i in 0..dy.rows() {
        for (j, dy) in dy.row_mut(i).iter_mut().enumerate() {
            *dy = if bit(mask, columns, i, j) { *dy * factor } else { 0.0 };
        }
    }
}
