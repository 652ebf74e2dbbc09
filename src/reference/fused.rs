//! [`kernels::fused`](crate::kernels::fused) as one layer after the other.

use super::dropout::{dropout_forward, masked_scale};
use super::norm::{batch_norm_backward, batch_norm_forward};
use crate::kernels::dropout::Dropout;
use crate::kernels::fused::Masked;
use crate::kernels::norm::{GradientSums, Normalization};
use crate::kernels::rng::Stream;
use crate::kernels::{MatMut, MatRef};
use crate::simd::{Isa, LANES};

/// `x = relu(x)`, and the mask of the elements that were kept: all but those `<= 0`.
pub fn relu(mut x: MatMut<'_>, mask: &mut [u16]) {
    mask.fill(0);
    let words_per_row = x.columns().div_ceil(LANES);
    for i in 0..x.rows() {
        for (j, x) in x.row_mut(i).iter_mut().enumerate() {
            if *x <= 0.0 {
                *x = 0.0;
            } else {
                mask[i * words_per_row + j / LANES] |= 1 << (j % LANES);
            }
        }
    }
}

/// `y = dropout(relu(gamma x' + beta))`, and the mask of the elements that were kept.
pub fn batch_norm_relu_dropout_forward(
    isa: Isa,
    x: MatRef<'_>,
    normalization: &Normalization<'_>,
    (dropout, stream): (Dropout, Stream),
    mut y: MatMut<'_>,
    mask: &mut [u16],
) {
    batch_norm_forward(isa, x, normalization, y.reborrow());
    relu(y.reborrow(), mask);
    dropout_forward(dropout, stream, y, mask);
}

/// `dy = mask ? factor dy : 0`, then as batch normalization alone.
pub fn batch_norm_relu_dropout_backward(
    isa: Isa,
    x: MatRef<'_>,
    normalization: &Normalization<'_>,
    sums: &GradientSums<'_>,
    masked: Masked<'_>,
    mut dy: MatMut<'_>,
) {
    masked_scale(masked.factor, masked.mask, dy.reborrow());
    batch_norm_backward(isa, x, normalization, sums, dy);
}
