//! A minibatch on its way through the network: the runs of phase A.
//!
//! Between two runs all parts wait for each other. That is needed at the normalizations only, whose statistics are those of all rows: the
//! layers up to a normalization are one run, its statistics by columns the next, and so on; backward in the same way.

use super::loss::Truth;
use super::part::{Noise, Part, rows_of_part};
use super::{Context, Inputs, OutputReport, Report};
use crate::kernels::gemm::RowBlocks;
use crate::kernels::norm::{Normalization, gradient_sums, inverse_deviation, statistics, update_moving};
use crate::kernels::reduce;
use crate::parallel::Shares;
use crate::plan::{Block, BlockRef, Layer, Statistics, Value};
use crate::simd::round_up_to_lanes;

/// A minibatch, and where it is worked on.
pub(super) struct Pass<'a> {
    pub(super) context: Context<'a>,
    pub(super) noise: Option<Noise>,
    pub(super) inputs: &'a [Inputs<'a>],
    pub(super) rows: usize,
    pub(super) blocks: &'a mut [f32],
    pub(super) statistics: &'a mut [f32],
}

impl<'a> Pass<'a> {
    pub(super) fn new(context: &Context<'a>, noise: Option<Noise>, inputs: &'a [Inputs<'a>], workspace: &'a mut [f32]) -> Self {
        let rows = inputs.first().map_or(0, Inputs::len);
        let (blocks, statistics) = workspace.split_at_mut(context.plan.blocks_len());
        Self { context: *context, noise, inputs, rows, blocks, statistics }
    }

    /// One run: each part that has rows does a task in its block.
    pub(super) fn run(&mut self, parameters: &[f32], task: impl Fn(&Part<'_>, &mut Block<'_>) + Sync) {
        let Context { isa, plan, executor } = self.context;
        let (noise, inputs, rows, statistics) = (self.noise, self.inputs, self.rows, &*self.statistics);
        let blocks = Shares::new(self.blocks, plan.block_len());
        executor.run(&|part| {
            let range = rows_of_part(plan, rows, part);
            if range.is_empty() {
                return;
            }
            let (first_row, rows) = (range.start, range.len());
            let of_part = Part { isa, plan, parameters, statistics, noise, inputs, first_row, rows, computed: None };
            task(&of_part, &mut Block::carve(plan, blocks.take(part)));
        });
    }

    /// All layers forward, and then something else: each part its rows, without waiting anywhere, or a single row by columns.
    pub(super) fn infer(&mut self, parameters: &[f32], next: impl Fn(&Part<'_>, &mut Block<'_>) + Sync) {
        if self.rows == 1 {
            return self.infer_by_columns(parameters, next);
        }
        self.run(parameters, |part, block| {
            part.infer(block);
            next(part, block);
        });
    }

    /// Forward, losses and backward; moves the moving statistics.
    pub(super) fn train(&mut self, parameters: &mut [f32], truth: &Truth<'_>) {
        let plan = self.context.plan;
        let (layers, rows) = (plan.layers().len(), self.rows);
        let is_normalized = |i: &usize| !plan.layers()[*i].gamma.is_empty();
        let mut from = None;
        for i in (0..layers).filter(is_normalized) {
            self.run(parameters, |part, block| {
                part.layers_forward(part.continue_forward(from, block)..i, block);
                part.normalized_begin(i, block);
            });
            self.find_statistics(i, parameters);
            from = Some(i);
        }
        // The last of these runs turns around at the losses.
        let mut stops = (0..layers).rev().filter(is_normalized);
        let mut stop = stops.next();
        self.run(parameters, |part, block| {
            part.layers_forward(part.continue_forward(from, block)..layers, block);
            part.losses(truth, block);
            part.layers_backward(layers, stop, rows, block);
        });
        while let Some(i) = stop {
            self.find_gradient_sums(i, parameters);
            stop = stops.next();
            self.run(parameters, |part, block| {
                part.finish_backward(i, rows, block);
                part.layers_backward(i, stop, rows, block);
            });
        }
    }

    /// The statistics of what normalization `i` is given, by columns.
    fn find_statistics(&mut self, i: usize, parameters: &mut [f32]) {
        let Context { isa, plan, executor } = self.context;
        let layer = &plan.layers()[i];
        let Some(spec) = layer.spec.normalization else { return };
        let width = columns_per_part(layer, plan.parts());
        let x = normalized(&blocks(plan, self.blocks, self.rows), self.inputs, i);
        let Statistics { mean, variance, inverse_deviation: deviation, .. } = Statistics::of_layer(layer, self.statistics);
        let (_, moving) = parameters.split_at_mut(layer.moving_mean.offset);
        let (moving_mean, moving_variance) = moving.split_at_mut(layer.moving_mean.len());
        let columns = [mean, variance, deviation, &mut moving_mean[..layer.out_dim], &mut moving_variance[..layer.out_dim]];
        let columns = columns.map(|columns| Shares::new(columns, width));
        executor.run(&|part| {
            let first = part * width;
            if first >= layer.out_dim {
                return;
            }
            let [mean, variance, deviation, moving_mean, moving_variance] = columns.each_ref().map(|columns| columns.take(part));
            statistics(isa, x, first, mean, variance);
            update_moving(isa, spec.momentum, mean, moving_mean);
            update_moving(isa, spec.momentum, variance, moving_variance);
            inverse_deviation(isa, variance, spec.epsilon, deviation);
        });
    }

    /// The gradients by gamma and beta of normalization `i`, by columns.
    fn find_gradient_sums(&mut self, i: usize, parameters: &[f32]) {
        let Context { isa, plan, executor } = self.context;
        let layer = &plan.layers()[i];
        let width = columns_per_part(layer, plan.parts());
        let blocks = blocks(plan, self.blocks, self.rows);
        let (dy, x) = (blocks.gradient(i), normalized(&blocks, self.inputs, i));
        let Statistics { mean, inverse_deviation, dgamma, dbeta, .. } = Statistics::of_layer(layer, self.statistics);
        let (gamma, beta) = (layer.gamma.of(parameters).row(0), layer.beta.of(parameters).row(0));
        let normalization = Normalization { mean, inverse_deviation, gamma, beta };
        let columns = [dgamma, dbeta].map(|columns| Shares::new(columns, width));
        executor.run(&|part| {
            let first = part * width;
            if first < layer.out_dim {
                gradient_sums(isa, dy, x, normalization, first, columns.each_ref().map(|columns| columns.take(part)));
            }
        });
    }

    /// Adds up what the parts have left in their blocks.
    pub(super) fn report(&self) -> Report {
        let plan = self.context.plan;
        let blocks = blocks(plan, self.blocks, self.rows);
        let mut report = Report::default();
        for (o, (result, output)) in report.outputs.iter_mut().zip(plan.outputs()).enumerate() {
            *result = OutputReport { loss_sum: reduce::sum(blocks.losses(o)), hits: blocks.hits(o) };
            report.loss_sum += output.weight * result.loss_sum;
        }
        report
    }
}

impl Part<'_> {
    /// From the inputs through all layers.
    pub(super) fn infer(&self, block: &mut Block<'_>) {
        self.gather(block);
        self.layers_forward(0..self.plan.layers().len(), block);
    }

    /// Begins a run forward: behind normalization `from`, or at the inputs. Returns the first layer to compute.
    fn continue_forward(&self, from: Option<usize>, block: &mut Block<'_>) -> usize {
        match from {
            None => {
                self.gather(block);
                0
            }
            Some(i) => {
                self.normalized_finish(i, block);
                i + 1
            }
        }
    }

    /// The layers before `end` backward, down to the middle of normalization `stop`, or to the inputs.
    fn layers_backward(&self, end: usize, stop: Option<usize>, minibatch: usize, block: &mut Block<'_>) {
        for i in (stop.map_or(0, |stop| stop + 1)..end).rev() {
            if self.plan.layers()[i].learns {
                self.begin_backward(i, block);
                self.finish_backward(i, minibatch, block);
            }
        }
        if let Some(stop) = stop {
            self.begin_backward(stop, block);
        }
    }
}

fn blocks<'p, 'a>(plan: &'p crate::plan::Plan<'p>, blocks: &'a [f32], rows: usize) -> BlockRef<'p, 'a> {
    BlockRef { plan, blocks, rows }
}

/// The number of columns for each part, in whole vectors.
pub(super) fn columns_per_part(layer: &Layer, parts: usize) -> usize {
    round_up_to_lanes(layer.out_dim.div_ceil(parts))
}

/// What normalization `i` was given.
fn normalized<'a>(blocks: &BlockRef<'_, 'a>, inputs: &[Inputs<'a>], i: usize) -> RowBlocks<'a> {
    let layer = &blocks.plan.layers()[i];
    if layer.is_product() { blocks.sums(i) } else { value_of_all_rows(blocks, inputs, layer.spec.input) }
}

/// A value of the whole minibatch: as the parts have left it, or an input where it lies, cut as the parts' blocks are.
pub(super) fn value_of_all_rows<'a>(blocks: &BlockRef<'_, 'a>, inputs: &[Inputs<'a>], value: Value) -> RowBlocks<'a> {
    match value {
        Value::Input(i) if blocks.plan.value(value, 0).is_none() => match inputs[i] {
            Inputs::Rows(x) => {
                let per_part = blocks.plan.rows_per_part(x.rows());
                let shape = (x.rows(), x.columns(), x.leading_dimension());
                RowBlocks::new(x.data(), shape, per_part, per_part * x.leading_dimension())
            }
            Inputs::Gathered { .. } | Inputs::Bytes { .. } => blocks.value(value),
        },
        _ => blocks.value(value),
    }
}
