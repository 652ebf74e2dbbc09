//! Backward: from the loss to the gradients by the weighted sums of all layers.

use super::activation;
use crate::kernels::MatRef;
use crate::kernels::gemm::{Stored, gemm};
use crate::kernels::loss::{RowWeights, softmax_cross_entropy};
use crate::kernels::transpose::{transpose, transpose_masked};
use crate::plan::{Activation, Block, Plan, Region, leading_dimension};
use crate::simd::Isa;

/// The loss of one part, and the gradient by the weighted sums of the last layer. The gradient replaces the output where the
/// derivative of the last activation does not need it, which is so for softmax and linear layers.
pub(super) fn loss_of_part(isa: Isa, plan: &Plan<'_>, labels: &[u32], scale: f32, block: &mut Block<'_>) {
    let rows = labels.len();
    let last = plan.layers().len() - 1;
    let losses = &mut block.losses[..rows];
    let output = plan.output(last, rows);
    *block.hits = if plan.replaces_last_output() {
        softmax_cross_entropy(isa, output.of_mut(block.outputs), labels, 0.0, RowWeights::equal(scale), losses)
    } else {
        block.gradients[output.range()].copy_from_slice(&block.outputs[output.range()]);
        let hits = softmax_cross_entropy(isa, output.of_mut(block.gradients), labels, 0.0, RowWeights::equal(scale), losses);
        let activation = plan.layers()[last].activation;
        activation::backward_in_place(
            isa,
            activation,
            derivative_at(plan, last, rows, block.outputs, block.sums),
            output.of_mut(block.gradients),
        );
        hits
    } as f32;
}

/// From the gradient by the last weighted sums to the gradients by all others, for the rows of one part.
///
/// For each layer from the last to the second: `dX^T = W dZ^T`, then `dZ` of the layer before is `dX` times the derivative of that
/// layer's activation. The product reads W by rows, where it lies; what is transposed is as small as the minibatch.
pub(super) fn gradients_of_part(isa: Isa, plan: &Plan<'_>, parameters: &[f32], rows: usize, block: &mut Block<'_>) {
    let last = plan.layers().len() - 1;
    for (i, layer) in plan.layers().iter().enumerate().skip(1).rev() {
        let from_outputs = i == last && plan.replaces_last_output();
        let here = plan.output(i, rows).of(if from_outputs { block.outputs } else { block.gradients });
        let dz_transposed = Region { offset: 0, rows: layer.out_dim, columns: rows, leading_dimension: leading_dimension(rows) };
        let dx_transposed = Region { rows: layer.in_dim, ..dz_transposed };
        let (dz, dx) = block.scratch.split_at_mut(dz_transposed.len());
        transpose(isa, here, dz_transposed.of_mut(dz));
        gemm(isa, layer.kernel.of(parameters), dz_transposed.of(dz), &mut Stored { c: dx_transposed.of_mut(dx) });
        let mut before = plan.output(i - 1, rows).of_mut(block.gradients);
        match plan.layers()[i - 1].activation {
            Activation::Relu => transpose_masked(isa, dx_transposed.of(dx), &block.masks[plan.mask(i - 1, rows)], before),
            activation => {
                transpose(isa, dx_transposed.of(dx), before.reborrow());
                activation::backward_in_place(isa, activation, derivative_at(plan, i - 1, rows, block.outputs, block.sums), before);
            }
        }
    }
}

/// What the derivative of a layer's activation is taken from: its sums if they are kept, else its outputs.
fn derivative_at<'a>(plan: &Plan<'_>, layer: usize, rows: usize, outputs: &'a [f32], sums: &'a [f32]) -> MatRef<'a> {
    let kept = plan.sums(layer, rows);
    if kept.is_empty() { plan.output(layer, rows).of(outputs) } else { kept.of(sums) }
}
