//! The losses of a part, and the gradients by the network's outputs.

use super::Targets;
use super::part::{Part, rows_of};
use crate::kernels::gather::gather;
use crate::kernels::loss::{
    RowWeights, absolute_error, huber, sigmoid_cross_entropy, softmax_cross_entropy, softmax_cross_entropy_one_hot, squared_error,
};
use crate::kernels::{MatMut, MatRef, merge};
use crate::plan::{Block, Loss, Output};
use crate::simd::LANES;

/// What the rows of a part are compared with.
#[derive(Clone, Copy)]
pub(super) struct Truth<'a> {
    /// For each output of the network.
    pub(super) targets: &'a [Targets<'a>],
    /// For each row of the minibatch.
    pub(super) weights: Option<&'a [f32]>,
    /// What the gradients of all rows are multiplied by.
    pub(super) scale: f32,
}

impl Part<'_> {
    /// Losses and right answers of all outputs. In training the gradients go to their places; in inference they take the place of the outputs
    /// and are good for nothing.
    pub(super) fn losses(&self, truth: &Truth<'_>, block: &mut Block<'_>) {
        for (o, output) in self.plan.outputs().iter().enumerate() {
            let values = self.plan.output(output.layer, self.rows);
            let x = if self.trains() {
                let gradient = self.plan.gradient(output.layer, self.rows);
                merge::copy(values.of(block.outputs), gradient.of_mut(block.gradients));
                gradient.of_mut(block.gradients)
            } else {
                values.of_mut(block.outputs)
            };
            let (hits, losses) = block.losses[o * self.plan.losses_of_output()..].split_at_mut(LANES);
            let weights = truth.weights.map(|weights| &weights[self.range()]);
            let weights = RowWeights { scale: truth.scale * output.weight, weights };
            let losses = &mut losses[..self.rows];
            let targets = match truth.targets[o] {
                Targets::Labels(labels) => {
                    // Losses that take no labels have been refused.
                    if let Loss::SparseCategoricalCrossentropy { label_smoothing } = output.loss {
                        let labels = &labels[self.range()];
                        hits[0] = softmax_cross_entropy(self.isa, x, labels, label_smoothing, weights, losses) as f32;
                    }
                    continue;
                }
                Targets::Rows(rows) => rows_of(rows, self.range()),
                Targets::Gathered { rows, order } => {
                    let region = self.plan.target(o, self.rows);
                    gather(self.isa, rows, &order[self.range()], region.of_mut(block.targets));
                    region.of(block.targets)
                }
            };
            hits[0] = self.loss(output, x, targets, weights, losses) as f32;
        }
    }

    fn loss(&self, output: &Output, x: MatMut<'_>, targets: MatRef<'_>, weights: RowWeights<'_>, losses: &mut [f32]) -> usize {
        let isa = self.isa;
        match output.loss {
            Loss::SparseCategoricalCrossentropy { .. } => {}
            Loss::CategoricalCrossentropy { label_smoothing } => {
                return softmax_cross_entropy_one_hot(isa, x, targets, label_smoothing, weights, losses);
            }
            Loss::BinaryCrossentropy { label_smoothing } => {
                return sigmoid_cross_entropy(isa, x, targets, label_smoothing, weights, losses);
            }
            Loss::MeanSquaredError => squared_error(isa, x, targets, weights, losses),
            Loss::MeanAbsoluteError => absolute_error(isa, x, targets, weights, losses),
            Loss::Huber { delta } => huber(isa, x, targets, delta, weights, losses),
        }
        0
    }
}
