//! Backward: the input gradients of all layers but the first, and with them the gradients by all weighted sums.

use crate::kernels::gemm::{Stored, gemm};
use crate::kernels::transpose::{transpose, transpose_masked};
use crate::kernels::{MatMut, MatRef};
use crate::plan::{Activation, Plan, Region, leading_dimension};
use crate::simd::{Isa, LANES};

/// From the gradient by the last weighted sum to the gradients by all others, for the rows of one part.
///
/// For each layer from the last to the second: `dX^T = W dZ^T`, then `dZ` of the layer before is `dX` where that layer's mask is
/// set. The product reads W by rows, where it lies; what is transposed is as small as the minibatch.
pub(super) fn gradients_of_part(
    isa: Isa,
    plan: &Plan<'_>,
    parameters: &[f32],
    last: MatRef<'_>,
    gradients: &mut [f32],
    masks: &[u16],
    scratch: &mut [f32],
) {
    let rows = last.rows();
    for (i, layer) in plan.layers().iter().enumerate().skip(1).rev() {
        let here = if i + 1 == plan.layers().len() { last } else { plan.output(i, rows).of(gradients) };
        let dz_transposed = Region { offset: 0, rows: layer.out_dim, columns: rows, leading_dimension: leading_dimension(rows) };
        let dx_transposed = Region { rows: layer.in_dim, ..dz_transposed };
        let (dz, dx) = scratch.split_at_mut(dz_transposed.len());
        transpose(isa, here, dz_transposed.of_mut(dz));
        gemm(isa, layer.kernel.of(parameters), dz_transposed.of(dz), &mut Stored { c: dx_transposed.of_mut(dx) });
        let before = plan.output(i - 1, rows).of_mut(gradients);
        match plan.layers()[i - 1].activation {
            Activation::Relu => {
                let (first, len) = plan.mask(i - 1, rows);
                transpose_masked(isa, dx_transposed.of(dx), &masks[first..first + len], before);
            }
            Activation::Linear | Activation::Softmax => transpose(isa, dx_transposed.of(dx), before),
        }
    }
}

/// The gradient by the last layer's weighted sums from the one by its outputs, where that layer is a ReLU. A rare thing to ask for,
/// so plain loops do.
pub(super) fn keep_masked(mask: &[u16], mut gradient: MatMut<'_>) {
    let words = gradient.columns().div_ceil(LANES);
    for (i, words) in mask.chunks_exact(words).enumerate() {
        for (j, g) in gradient.row_mut(i).iter_mut().enumerate() {
            if words[j / LANES] >> (j % LANES) & 1 == 0 {
                *g = 0.0;
            }
        }
    }
}
