//! Phase B: each part its share of every tensor of parameters.

use super::ends::{stored, updated, updated_by_row};
use super::pass::{columns_per_part, value_of_all_rows};
use super::{Context, Inputs};
use crate::kernels::MatMut;
use crate::kernels::gemm::{Epilogue, RowBlocks, Updated, UpdatedByRow, gemm_transposed};
use crate::kernels::optimizers::{Adjusted, MAX_PARAMETERS, Optimizer, RowRule, add_penalty, first};
use crate::kernels::reduce::column_sums_into;
use crate::parallel::Shares;
use crate::plan::{BlockRef, Layer, Penalty, Region, Statistics, Tensor, Value};
use crate::simd::{Isa, LANES, MapOp, Simd};
use core::ops::Range;

/// What is known when all gradients by weighted sums are there.
pub(super) struct Gradients<'a> {
    pub(super) context: Context<'a>,
    pub(super) inputs: &'a [Inputs<'a>],
    pub(super) blocks: BlockRef<'a, 'a>,
    pub(super) statistics: &'a [f32],
    /// The largest magnitude that an element of a gradient keeps.
    pub(super) limit: f32,
}

/// The parameters, followed by as many kinds of state, in the same layout, as the optimizer has; the rest is empty.
fn with_state<'a>(parameters: &'a mut [f32], state: &'a mut [f32]) -> [&'a mut [f32]; MAX_PARAMETERS] {
    let len = parameters.len();
    let mut buffers = core::iter::once(parameters).chain(state.chunks_exact_mut(len.max(1)));
    core::array::from_fn(|_| buffers.next().unwrap_or_default())
}

/// A part of each buffer that there is.
fn part_of_each(buffers: [&mut [f32]; MAX_PARAMETERS], range: Range<usize>) -> [&mut [f32]; MAX_PARAMETERS] {
    buffers.map(|buffer| if buffer.is_empty() { buffer } else { &mut buffer[range.clone()] })
}

/// The columns of one product whose weights are updated.
struct Columns<'a> {
    x: RowBlocks<'a>,
    first: usize,
    count: usize,
    dz: RowBlocks<'a>,
}

impl Columns<'_> {
    /// `parameters = rule(x^T dz, parameters)`. The gradient and what most people use meet in registers, at the price of a copy of every tile
    /// for each of these optimizers; all others, and adjusted gradients, in a buffer of one row of a tile, with one copy of the tiles.
    fn update(&self, isa: Isa, rule: &Adjusted, parameters: [&mut [f32]; MAX_PARAMETERS], leading_dimension: usize) {
        let is_plain = rule.is_plain();
        match rule.optimizer {
            Optimizer::Sgd(rule) if is_plain => {
                self.finished_by(isa, &mut updated(Updated { rule, parameters: first(parameters), leading_dimension }));
            }
            Optimizer::Momentum(rule) if is_plain => {
                self.finished_by(isa, &mut Updated { rule, parameters: first(parameters), leading_dimension });
            }
            Optimizer::Adam(rule) if is_plain => {
                self.finished_by(isa, &mut Updated { rule, parameters: first(parameters), leading_dimension });
            }
            _ => self.finished_by(isa, &mut updated_by_row(UpdatedByRow { isa, rule, parameters, leading_dimension })),
        }
    }

    /// The gradient, finished by an epilogue.
    fn finished_by(&self, isa: Isa, epilogue: &mut impl Epilogue) {
        gemm_transposed(isa, self.x, (self.first, self.count), self.dz, epilogue);
    }
}

impl Gradients<'_> {
    /// One step of an optimizer, whose gradients never reach memory.
    pub(super) fn update(&self, optimizer: &Optimizer, parameters: &mut [f32], state: &mut [f32]) {
        let mut parameters = with_state(parameters, state);
        for (i, layer) in self.context.plan.layers().iter().enumerate() {
            let range = layer.range();
            if !range.is_empty() {
                self.update_layer(optimizer, i, layer, part_of_each(parameters.each_mut().map(|buffer| &mut **buffer), range));
            }
        }
    }

    fn update_layer(&self, optimizer: &Optimizer, i: usize, layer: &Layer, parameters: [&mut [f32]; MAX_PARAMETERS]) {
        let Context { isa, plan, executor } = self.context;
        let leading_dimension = layer.kernel.leading_dimension;
        let rows_per_part = layer.in_dim.div_ceil(plan.parts());
        let width = columns_per_part(layer, plan.parts());
        let dz = self.blocks.gradient(i);
        let x = layer.is_product().then(|| self.value(layer.spec.input));
        let statistics = (!layer.gamma.is_empty()).then(|| Statistics::rows(layer, self.statistics));
        let terms = (!layer.alpha.is_empty()).then(|| self.blocks.sums(i));
        let first_of_layer = layer.range().start;
        let shares = parameters.map(|buffer| {
            let (mut rest, mut end) = (buffer, first_of_layer);
            // Empty slices of buffers that the optimizer does not have.
            let mut take = |region: Region, share: usize| {
                let from_here =
                    core::mem::take(&mut rest).split_at_mut_checked(region.offset - end).map_or(&mut [][..], |(_, rest)| rest);
                let (here, behind) = from_here.split_at_mut_checked(region.len()).unwrap_or_default();
                (rest, end) = (behind, region.end());
                let used = if region.rows == 1 { region.columns } else { region.len() };
                let used = used.min(here.len());
                Shares::new(&mut here[..used], share)
            };
            let kernel = take(layer.kernel, rows_per_part * leading_dimension);
            [kernel, take(layer.bias, width), take(layer.gamma, width), take(layer.beta, width), take(layer.alpha, width)]
        });
        executor.run(&|part| {
            let [kernel, bias, gamma, beta, alpha] =
                core::array::from_fn(|tensor| shares.each_ref().map(|shares| shares[tensor].take(part)));
            let first = part * rows_per_part;
            if let Some(x) = x
                && first < layer.in_dim
            {
                let count = rows_per_part.min(layer.in_dim - first);
                let rule = self.adjusted(optimizer, layer.spec.kernel_penalty);
                Columns { x, first, count, dz }.update(isa, &rule, kernel, leading_dimension);
            }
            let first = part * width;
            if first >= layer.out_dim {
                return;
            }
            let rule = self.adjusted(optimizer, Penalty::NONE);
            if !layer.bias.is_empty() {
                update_by_column_sums(isa, dz, first, &self.adjusted(optimizer, layer.spec.bias_penalty), bias);
            }
            if let Some([_, _, _, dgamma, dbeta]) = statistics {
                let columns = first..layer.out_dim.min(first + width);
                rule.update_row(isa, &dgamma[columns.clone()], gamma);
                rule.update_row(isa, &dbeta[columns], beta);
            }
            if let Some(terms) = terms {
                update_by_column_sums(isa, terms, first, &rule, alpha);
            }
        });
    }

    /// The optimizer with a penalty and the limit.
    fn adjusted(&self, optimizer: &Optimizer, penalty: Penalty) -> Adjusted {
        Adjusted { l1: penalty.l1, l2: penalty.l2, limit: self.limit, ..Adjusted::new(*optimizer) }
    }

    fn value(&self, value: Value) -> RowBlocks<'_> {
        value_of_all_rows(&self.blocks, self.inputs, value)
    }

    /// Writes the gradients of all tensors, that of their penalties included, in the layout of the parameters.
    pub(super) fn store(&self, parameters: &[f32], gradients: &mut [f32]) {
        let Context { isa, plan, executor } = self.context;
        for (i, layer) in plan.layers().iter().enumerate() {
            let dz = self.blocks.gradient(i);
            if layer.is_product() {
                let (x, Region { leading_dimension, columns, .. }) = (self.value(layer.spec.input), layer.kernel);
                let rows_per_part = layer.in_dim.div_ceil(plan.parts());
                let shares = Shares::new(&mut gradients[layer.kernel.range()], rows_per_part * leading_dimension);
                executor.run(&|part| {
                    let first = part * rows_per_part;
                    if first < layer.in_dim {
                        let rows = rows_per_part.min(layer.in_dim - first);
                        let c = MatMut::new(shares.take(part), rows, columns, leading_dimension);
                        gemm_transposed(isa, x, (first, rows), dz, &mut stored(c));
                    }
                });
            }
            let mut row = |region: Region, values: &dyn Fn(&mut [f32])| {
                if !region.is_empty() {
                    values(&mut gradients[region.range()][..region.columns]);
                }
            };
            row(layer.bias, &|row| column_sums_into(isa, dz, 0, Replaced, [row]));
            row(layer.gamma, &|row| row.copy_from_slice(Statistics::rows(layer, self.statistics)[3]));
            row(layer.beta, &|row| row.copy_from_slice(Statistics::rows(layer, self.statistics)[4]));
            row(layer.alpha, &|row| column_sums_into(isa, self.blocks.sums(i), 0, Replaced, [row]));
            for Tensor { region, penalty, .. } in layer.tensors().into_iter().filter(|tensor| !tensor.penalty.is_none()) {
                for j in 0..region.rows {
                    let weights = region.of(parameters).row(j);
                    add_penalty(isa, penalty.l1, penalty.l2, weights, region.of_mut(gradients).row_mut(j));
                }
            }
        }
    }
}

/// `y = x`
struct Replaced;

impl MapOp<1, 1> for Replaced {
    #[inline(always)]
    fn map<S: Simd>(&self, _: S, x: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] {
        x
    }
}

/// One step of an optimizer whose gradient is the sum of the rows of `x`, for the columns from `first` on.
fn update_by_column_sums(isa: Isa, x: RowBlocks<'_>, first: usize, rule: &Adjusted, parameters: [&mut [f32]; MAX_PARAMETERS]) {
    let mut parameters = parameters;
    let columns = parameters[0].len();
    let mut sums = [0.0; 16 * LANES];
    for start in (0..columns).step_by(sums.len()) {
        let range = start..columns.min(start + sums.len());
        let sums = &mut sums[..range.len()];
        column_sums_into(isa, x, first + start, Replaced, [sums]);
        rule.update_row(isa, sums, part_of_each(parameters.each_mut().map(|buffer| &mut **buffer), range));
    }
}

/// One step of an optimizer with gradients that are stored in the layout of the parameters, those of each tensor multiplied by a factor of
/// its own.
pub(super) fn update_stored(
    context: &Context<'_>,
    optimizer: &Optimizer,
    factor: impl Fn(&Tensor) -> f32,
    gradients: &[f32],
    (parameters, state): (&mut [f32], &mut [f32]),
) {
    let Context { isa, plan, executor } = *context;
    let mut parameters = with_state(parameters, state);
    let tensors = plan.layers().iter().flat_map(Layer::tensors);
    for tensor in tensors.filter(|tensor| tensor.trainable && !tensor.region.is_empty()) {
        let Region { rows, columns, leading_dimension, .. } = tensor.region;
        let rows_per_part = rows.div_ceil(plan.parts());
        let buffers = part_of_each(parameters.each_mut().map(|buffer| &mut **buffer), tensor.region.range());
        let shares = buffers.map(|buffer| Shares::new(buffer, rows_per_part * leading_dimension));
        let rule = Adjusted { factor: factor(&tensor), ..Adjusted::new(*optimizer) };
        let gradient = tensor.region.of(gradients);
        executor.run(&|part| {
            let mut buffers = shares.each_ref().map(|share| share.take(part));
            let first = (part * rows_per_part).min(rows);
            for (i, row) in (first..rows.min(first + rows_per_part)).enumerate() {
                let start = i * leading_dimension;
                let parameters = part_of_each(buffers.each_mut().map(|buffer| &mut **buffer), start..start + columns);
                rule.update_row(isa, gradient.row(row), parameters);
            }
        });
    }
}
