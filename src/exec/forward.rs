//! Forward: what each layer makes of the rows of a part.

use super::activation;
use super::ends::{biased, biased_relu};
use super::part::Part;
use crate::kernels::MatMut;
use crate::kernels::dropout::{AlphaDropout, Combine, Dropout, alpha_dropout_forward, dropout_forward};
use crate::kernels::fused::batch_norm_relu_dropout_forward;
use crate::kernels::gemm::{gemm, gemm_shared};
use crate::kernels::merge;
use crate::kernels::norm::{Normalization, affine, affine_forward, batch_norm_forward, inverse_deviation};
use crate::plan::{self, Activation, Block, Layer, Operation, Region, Statistics, leading_dimension};
use crate::simd::Isa;
use core::ops::Range;

/// A row of parameters; empty if the layer does not have it.
#[inline]
pub(super) fn row(region: Region, parameters: &[f32]) -> &[f32] {
    if region.is_empty() { &[] } else { &parameters[region.offset..][..region.columns] }
}

/// Dropout of a rate that the plan has checked.
pub(super) fn dropout(rate: f64) -> Dropout {
    Dropout::new(rate).unwrap_or(Dropout::NONE)
}

/// Alpha dropout of a rate that the plan has checked.
pub(super) fn alpha_dropout(rate: f64) -> Option<AlphaDropout> {
    AlphaDropout::new(rate).ok()
}

impl Part<'_> {
    /// The layers of a range, each of them whole.
    pub(super) fn layers_forward(&self, layers: Range<usize>, block: &mut Block<'_>) {
        for i in layers {
            self.layer_forward(i, block);
        }
    }

    fn layer_forward(&self, i: usize, block: &mut Block<'_>) {
        let layer = &self.plan.layers()[i];
        match layer.spec.operation {
            Operation::Concatenate(second) => {
                self.copy_into_columns(layer.spec.input, i, 0, block);
                self.copy_into_columns(second, i, layer.in_dim, block);
            }
            Operation::Add(second) => {
                let (x, y) = self.value_and_output(layer.spec.input, i, block.inputs, block.outputs);
                merge::copy(x, y);
                let (x, y) = self.value_and_output(second, i, block.inputs, block.outputs);
                merge::add(self.isa, x, y);
            }
            _ if layer.spec.normalization.is_some() => {
                self.normalized_begin(i, block);
                self.normalized_finish(i, block);
            }
            Operation::Dense { .. } => {
                self.product_forward(i, layer, block);
                self.dropout_forward(i, layer, block);
            }
            Operation::Identity => {
                let alpha = row(layer.alpha, self.parameters);
                let (x, y) = self.value_and_output(layer.spec.input, i, block.inputs, block.outputs);
                activation::forward(self.isa, self.plan.activation(i), alpha, x, y);
                self.dropout_forward(i, layer, block);
            }
        }
    }

    /// `y = activation(x W + b)`, with the mask or the sums that the backward pass wants.
    fn product_forward(&self, i: usize, layer: &Layer, block: &mut Block<'_>) {
        self.product(i, layer, block);
        let activation = self.plan.activation(i);
        if matches!(activation, Activation::Relu | Activation::Linear) {
            return;
        }
        let alpha = row(layer.alpha, self.parameters);
        let y = self.plan.output(i, self.rows).of_mut(block.outputs);
        if self.trains() && layer.keeps_sums() {
            activation::forward(self.isa, activation, alpha, self.plan.sums(i, self.rows).of(block.sums), y);
        } else {
            activation::forward_in_place(self.isa, activation, alpha, y);
        }
    }

    /// Whether the product of layer `i` ends with its ReLU.
    pub(super) fn ends_with_relu(&self, i: usize) -> bool {
        self.plan.activation(i) == Activation::Relu && self.plan.layers()[i].spec.normalization.is_none()
    }

    /// `x W + b` of layer `i`, unless it is there already: with ReLU and its mask to the outputs, unless a normalization comes before; else to
    /// the sums if they are kept, or to the outputs.
    fn product(&self, i: usize, layer: &Layer, block: &mut Block<'_>) {
        if self.computed == Some(i) {
            return;
        }
        let isa = self.isa;
        let (kernel, bias) = (layer.kernel.of(self.parameters), row(layer.bias, self.parameters));
        let (x, y) = self.value_and_output(layer.spec.input, i, block.inputs, block.outputs);
        let mut end = if self.ends_with_relu(i) {
            biased_relu(bias, y, if self.trains() { &mut block.masks[self.plan.mask(i, self.rows)] } else { &mut [] })
        } else if self.trains() && layer.keeps_sums() {
            biased(bias, self.plan.sums(i, self.rows).of_mut(block.sums))
        } else {
            biased(bias, y)
        };
        if self.trains() && self.plan.parts() > 1 {
            // Each part has just written its share of the weights.
            gemm_shared(isa, x, kernel, &mut end);
        } else {
            gemm(isa, x, kernel, &mut end);
        }
    }

    /// The dropout at the end of a layer whose ReLU, if it has one, has left its mask.
    fn dropout_forward(&self, i: usize, layer: &Layer, block: &mut Block<'_>) {
        let (Some(spec), Some(noise)) = (layer.spec.dropout, self.noise) else { return };
        let y = self.plan.output(i, self.rows).of_mut(block.outputs);
        let (mask, combine) = match self.trains() {
            true if layer.masks_relu() => (&mut block.masks[self.plan.mask(i, self.rows)], Combine::And),
            true => (&mut block.masks[self.plan.mask(i, self.rows)], Combine::Replace),
            false => (&mut [][..], Combine::Replace),
        };
        match spec {
            plan::Dropout::Plain(rate) => dropout_forward(self.isa, dropout(rate), self.stream(noise, i), y, mask, combine),
            plan::Dropout::Alpha(rate) => {
                if let Some(dropout) = alpha_dropout(rate) {
                    alpha_dropout_forward(self.isa, dropout, self.stream(noise, i), y, mask);
                }
            }
        }
    }

    /// What comes before the normalization of layer `i`: in training its product goes to the sums, in inference to the output.
    pub(super) fn normalized_begin(&self, i: usize, block: &mut Block<'_>) {
        let layer = &self.plan.layers()[i];
        if layer.is_product() {
            self.product(i, layer, block);
        } else if !self.trains() {
            let (x, y) = self.value_and_output(layer.spec.input, i, block.inputs, block.outputs);
            merge::copy(x, y);
        }
    }

    /// The normalization of layer `i` and what follows it.
    pub(super) fn normalized_finish(&self, i: usize, block: &mut Block<'_>) {
        let (isa, rows) = (self.isa, self.rows);
        let layer = &self.plan.layers()[i];
        if !self.trains() {
            let mut y = self.plan.output(i, rows).of_mut(block.outputs);
            normalize_by_moving_statistics(isa, layer, self.parameters, block.scratch, y.reborrow());
            activation::forward_in_place(isa, self.plan.activation(i), &[], y);
            return self.dropout_forward(i, layer, block);
        }
        let normalization = Statistics::normalization(layer, self.statistics, self.parameters);
        let sums = self.plan.sums(i, rows);
        let (x, y) = if layer.is_product() {
            (sums.of(block.sums), self.plan.output(i, rows).of_mut(block.outputs))
        } else {
            self.value_and_output(layer.spec.input, i, block.inputs, block.outputs)
        };
        if layer.masks_relu() {
            let noise = self.noise.unwrap_or_default();
            let dropout = match (layer.spec.dropout, self.noise) {
                (Some(plan::Dropout::Plain(rate)), Some(_)) => dropout(rate),
                _ => Dropout::NONE,
            };
            let mask = &mut block.masks[self.plan.mask(i, rows)];
            batch_norm_relu_dropout_forward(isa, x, normalization, (dropout, self.stream(noise, i)), y, mask);
        } else {
            batch_norm_forward(isa, x, normalization, y);
            let y = self.plan.output(i, rows).of_mut(block.outputs);
            activation::forward_in_place(isa, self.plan.activation(i), &[], y);
            self.dropout_forward(i, layer, block);
        }
    }
}

/// `y = gamma (y - moving mean) / deviation + beta`, by a scale and a shift for each column.
fn normalize_by_moving_statistics(isa: Isa, layer: &Layer, parameters: &[f32], scratch: &mut [f32], y: MatMut<'_>) {
    let Some(spec) = layer.spec.normalization else { return };
    let (scale, shift) = scratch.split_at_mut(leading_dimension(layer.out_dim));
    let (scale, shift) = (&mut scale[..layer.out_dim], &mut shift[..layer.out_dim]);
    let mut deviation = [0.0; 16 * crate::simd::LANES];
    for first in (0..layer.out_dim).step_by(deviation.len()) {
        let columns = first..layer.out_dim.min(first + deviation.len());
        let deviation = &mut deviation[..columns.len()];
        let part = |region: Region| &row(region, parameters)[columns.clone()];
        inverse_deviation(isa, part(layer.moving_variance), spec.epsilon, deviation);
        let normalization = Normalization {
            mean: part(layer.moving_mean),
            inverse_deviation: deviation,
            gamma: part(layer.gamma),
            beta: part(layer.beta),
        };
        affine(isa, normalization, &mut scale[columns.clone()], &mut shift[columns.clone()]);
    }
    affine_forward(isa, scale, shift, y);
}
