//! Backward: from the gradient by the output of each layer to the gradients by what it takes.

use super::activation;
use super::ends::{biased, relu_backward};
use super::forward::{alpha_dropout, dropout, row};
use super::part::Part;
use crate::kernels::dropout::{Dropout, alpha_dropout_backward, dropout_backward};
use crate::kernels::gemm::gemm;
use crate::kernels::merge;
use crate::kernels::norm::{GradientSums, batch_norm_backward};
use crate::kernels::transpose::{transpose, transpose_added, transpose_masked};
use crate::plan::{self, Activation, Block, Operation, Region, Statistics, Value, read_and_write};

impl Part<'_> {
    /// From the gradient by the output of layer `i` to the gradient by what its normalization has given, or, if it has none, by its sums.
    pub(super) fn begin_backward(&self, i: usize, block: &mut Block<'_>) {
        let (isa, rows) = (self.isa, self.rows);
        let layer = &self.plan.layers()[i];
        let dy = self.plan.gradient(i, rows).of_mut(block.gradients);
        let mask = &block.masks[self.plan.mask(i, rows)];
        let dropout = match (layer.spec.dropout, self.noise) {
            (Some(plan::Dropout::Plain(rate)), Some(_)) => Some(dropout(rate)),
            (Some(plan::Dropout::Alpha(rate)), Some(_)) => {
                if let Some(dropout) = alpha_dropout(rate) {
                    alpha_dropout_backward(isa, dropout, mask, dy);
                }
                return;
            }
            _ => None,
        };
        match self.plan.activation(i) {
            _ if layer.is_masked_on_arrival() => {}
            // The mask is that of both.
            Activation::Relu if layer.masks_relu() => dropout_backward(isa, dropout.unwrap_or(Dropout::NONE), mask, dy),
            Activation::Linear => {
                if let Some(dropout) = dropout {
                    dropout_backward(isa, dropout, mask, dy);
                }
            }
            Activation::PRelu => {
                let sums = self.plan.sums(i, rows);
                if !layer.is_product() {
                    merge::copy(self.value(layer.spec.input, block.inputs, block.outputs), sums.of_mut(block.sums));
                }
                activation::prelu_backward_in_place(isa, row(layer.alpha, self.parameters), sums.of_mut(block.sums), dy);
            }
            activation => {
                let at = match (activation.keeps_sums(), layer.is_product()) {
                    (false, _) => self.plan.output(i, rows).of(block.outputs),
                    (true, true) => self.plan.sums(i, rows).of(block.sums),
                    (true, false) => self.value(layer.spec.input, block.inputs, block.outputs),
                };
                activation::backward_in_place(isa, activation, at, dy);
            }
        }
    }

    /// From there on to the gradients by what layer `i` takes. The gradient by the sums of a product is left behind for its weights.
    pub(super) fn finish_backward(&self, i: usize, minibatch: usize, block: &mut Block<'_>) {
        let layer = &self.plan.layers()[i];
        let passes_on = self.plan.learns(layer.spec.input);
        if layer.spec.normalization.is_some() && (layer.is_product() || passes_on) {
            let normalization = Statistics::normalization(layer, self.statistics, self.parameters);
            let [_, _, _, dgamma, dbeta] = Statistics::rows(layer, self.statistics);
            let x = match layer.is_product() {
                true => self.plan.sums(i, self.rows).of(block.sums),
                false => self.value(layer.spec.input, block.inputs, block.outputs),
            };
            let dy = self.plan.gradient(i, self.rows).of_mut(block.gradients);
            batch_norm_backward(self.isa, x, normalization, GradientSums { dgamma, dbeta, rows: minibatch }, dy);
        }
        match layer.spec.operation {
            Operation::Dense { .. } => self.product_backward(i, block),
            Operation::Identity => self.pass_on(i, layer.spec.input, (0, true), block),
            Operation::Add(second) => {
                self.pass_on(i, layer.spec.input, (0, true), block);
                self.pass_on(i, second, (0, second != layer.spec.input), block);
            }
            Operation::Concatenate(second) => {
                self.pass_on(i, layer.spec.input, (0, true), block);
                self.pass_on(i, second, (layer.in_dim, second != layer.spec.input), block);
            }
        }
    }

    /// The gradient by what a product takes, if it is of use.
    fn product_backward(&self, i: usize, block: &mut Block<'_>) {
        let input = self.plan.layers()[i].spec.input;
        match input {
            Value::Layer(before) if self.plan.learns(input) => {
                if self.plan.transposes_weights(i, self.rows) {
                    self.by_transposed_weights(i, before, block);
                } else {
                    self.by_transposed_gradients(i, before, block);
                }
            }
            _ => {}
        }
    }

    /// `dX = dZ W^T`.
    fn by_transposed_weights(&self, i: usize, before: usize, block: &mut Block<'_>) {
        let (isa, rows) = (self.isa, self.rows);
        let transposed = self.plan.transposed_weights(i);
        transpose(isa, self.plan.layers()[i].kernel.of(self.parameters), transposed.of_mut(block.scratch));
        let weights = transposed.of(block.scratch);
        let (dz, c) = read_and_write(block.gradients, self.plan.gradient(i, rows), self.plan.gradient(before, rows));
        if self.plan.layers()[before].is_masked_on_arrival() {
            gemm(isa, dz, weights, &mut relu_backward(&block.masks[self.plan.mask(before, rows)], c));
        } else {
            gemm(isa, dz, weights, &mut biased(&[], c));
        }
    }

    /// `dX^T = W dZ^T`.
    fn by_transposed_gradients(&self, i: usize, before: usize, block: &mut Block<'_>) {
        let (isa, rows) = (self.isa, self.rows);
        let [dz, dx] = self.plan.transposed_gradients(i, rows);
        transpose(isa, self.plan.gradient(i, rows).of(block.gradients), dz.of_mut(block.scratch));
        let (b, c) = read_and_write(block.scratch, dz, dx);
        gemm(isa, self.plan.layers()[i].kernel.of(self.parameters), b, &mut biased(&[], c));
        let (dx, target) = (dx.of(block.scratch), self.plan.gradient(before, rows).of_mut(block.gradients));
        if self.plan.layers()[before].is_masked_on_arrival() {
            transpose_masked(isa, dx, &block.masks[self.plan.mask(before, rows)], target);
        } else if self.plan.is_last_to_take(i, before) {
            transpose(isa, dx, target);
        } else {
            transpose_added(isa, dx, target);
        }
    }

    /// Hands columns of the gradient of layer `i` on to a value that it takes; `is_first` says that it has not yet done so.
    fn pass_on(&self, i: usize, value: Value, (column, is_first): (usize, bool), block: &mut Block<'_>) {
        let Value::Layer(before) = value else { return };
        let layer = &self.plan.layers()[before];
        if !layer.learns {
            return;
        }
        let here = self.plan.gradient(i, self.rows);
        let here = Region { offset: here.offset + column, columns: layer.out_dim, ..here };
        let there = self.plan.gradient(before, self.rows);
        if there.offset == here.offset {
            // The part of a concatenation.
            return;
        }
        let (from, to) = read_and_write(block.gradients, here, there);
        if is_first && self.plan.is_last_to_take(i, before) {
            merge::copy(from, to);
        } else {
            merge::add(self.isa, from, to);
        }
    }
}
