//! Phase B: each part its share of every tensor of parameters.

use super::ends::{stored, updated, updated_by_row};
use super::pass::{columns_per_part, value_of_all_rows};
use super::{Context, Inputs};
use crate::kernels::MatMut;
use crate::kernels::gemm::{Epilogue, RowBlocks, Updated, UpdatedByRow, gemm_transposed};
use crate::kernels::optimizers::{Adjusted, MAX_PARAMETERS, Optimizer, RowRule, add_penalty, first};
use crate::kernels::reduce::column_sums_from;
use crate::parallel::{Shares, range_of_share};
use crate::plan::{BlockRef, LEARNED_TENSORS, Layer, Penalty, Region, Statistics, Value};
use crate::simd::slice::prefetch_to_write;
use crate::simd::{Isa, LANES};
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
fn part_of_each<'a>(buffers: &'a mut [&mut [f32]; MAX_PARAMETERS], range: Range<usize>) -> [&'a mut [f32]; MAX_PARAMETERS] {
    buffers.each_mut().map(|buffer| if buffer.is_empty() { &mut [][..] } else { &mut buffer[range.clone()] })
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
    /// for each of these optimizers; all others, and adjusted gradients, in a buffer of one tile, with one copy of the tiles.
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

/// How many layers are updated in one run. Between two runs all parts wait for each other, which takes as long as to update a small layer; to
/// wait for the layer before, there is no reason.
const LAYERS_PER_RUN: usize = 4;

/// The tensors of a layer in some buffers that have the layout of the parameters, in the parts' shares. A buffer may be empty.
struct LayerShares<'a> {
    number: usize,
    layer: &'a Layer,
    rows_per_part: usize,
    columns_per_part: usize,
    buffers: [[Shares<'a, f32>; LEARNED_TENSORS]; MAX_PARAMETERS],
}

impl<'a> LayerShares<'a> {
    fn new((number, layer): (usize, &'a Layer), parts: usize, buffers: [&'a mut [f32]; MAX_PARAMETERS]) -> Self {
        let (rows_per_part, columns_per_part) = (layer.kernel.rows.div_ceil(parts), columns_per_part(layer, parts));
        let buffers = buffers.map(|buffer| {
            let (mut rest, mut end) = (buffer, layer.range().start);
            let mut take = |region: Region, share: usize| {
                let here = take_front(&mut rest, region.offset - end, region.len());
                end = region.end();
                let used = if region.rows == 1 { region.columns } else { region.len() };
                let used = used.min(here.len());
                Shares::new(&mut here[..used], share)
            };
            let kernel = take(layer.kernel, rows_per_part * layer.kernel.leading_dimension);
            let mut row = |region| take(region, columns_per_part);
            [kernel, row(layer.bias), row(layer.gamma), row(layer.beta), row(layer.alpha)]
        });
        Self { number, layer, rows_per_part, columns_per_part, buffers }
    }

    /// Rows of the kernel in a share.
    fn rows(&self, part: usize) -> Range<usize> {
        range_of_share(self.layer.kernel.rows, self.rows_per_part, part)
    }

    /// Columns of the other tensors in a share.
    fn columns(&self, part: usize) -> Range<usize> {
        range_of_share(self.layer.out_dim, self.columns_per_part, part)
    }

    /// A share of each buffer of each tensor.
    fn take(&self, part: usize) -> [[&'a mut [f32]; MAX_PARAMETERS]; LEARNED_TENSORS] {
        core::array::from_fn(|tensor| self.buffers.each_ref().map(|shares| shares[tensor].take(part)))
    }
}

/// Takes a slice of `len` elements from the front of another, behind some that are left out. An empty one gives empty slices.
fn take_front<'a>(rest: &mut &'a mut [f32], left_out: usize, len: usize) -> &'a mut [f32] {
    let from_here = core::mem::take(rest).split_at_mut_checked(left_out).map_or(&mut [][..], |(_, from_here)| from_here);
    let (here, behind) = from_here.split_at_mut_checked(len).unwrap_or_default();
    *rest = behind;
    here
}

/// Each part its shares of all layers with parameters, in buffers that have their layout.
fn on_all_shares(context: &Context<'_>, buffers: [&mut [f32]; MAX_PARAMETERS], work: impl Fn(&LayerShares<'_>, usize) + Sync) {
    let Context { plan, executor, .. } = *context;
    let (mut rest, mut end) = (buffers, 0);
    let mut layers = plan.layers().iter().enumerate().filter(|(_, layer)| !layer.range().is_empty()).peekable();
    while layers.peek().is_some() {
        let some: [Option<LayerShares<'_>>; LAYERS_PER_RUN] = core::array::from_fn(|_| {
            let (number, layer) = layers.next()?;
            let range = layer.range();
            let buffers = rest.each_mut().map(|rest| take_front(rest, range.start - end, range.len()));
            end = range.end;
            Some(LayerShares::new((number, layer), plan.parts(), buffers))
        });
        executor.run(&|part| some.iter().flatten().for_each(|shares| work(shares, part)));
    }
}

impl Gradients<'_> {
    /// One step of an optimizer, whose gradients never reach memory.
    pub(super) fn update(&self, optimizer: &Optimizer, parameters: &mut [f32], state: &mut [f32]) {
        on_all_shares(&self.context, with_state(parameters, state), |shares, part| self.update_share(optimizer, shares, part));
    }

    fn update_share(&self, optimizer: &Optimizer, shares: &LayerShares<'_>, part: usize) {
        let (isa, number, layer) = (self.context.isa, shares.number, shares.layer);
        let [kernel, bias, gamma, beta, alpha] = shares.take(part);
        let (rows, columns) = (shares.rows(part), shares.columns(part));
        let dz = self.blocks.gradient(number);
        if !rows.is_empty() {
            let rule = self.adjusted(optimizer, layer.spec.kernel_penalty);
            let x = self.value(layer.spec.input);
            Columns { x, first: rows.start, count: rows.len(), dz }.update(isa, &rule, kernel, layer.kernel.leading_dimension);
        }
        if columns.is_empty() {
            return;
        }
        let rule = self.adjusted(optimizer, Penalty::NONE);
        if !layer.bias.is_empty() {
            update_by_column_sums(isa, dz, columns.start, &self.adjusted(optimizer, layer.spec.bias_penalty), bias);
        }
        if !layer.alpha.is_empty() {
            update_by_column_sums(isa, self.blocks.sums(number), columns.start, &rule, alpha);
        }
        if !layer.gamma.is_empty() {
            let [_, _, _, dgamma, dbeta] = Statistics::rows(layer, self.statistics);
            rule.update_row(isa, &dgamma[columns.clone()], gamma);
            rule.update_row(isa, &dbeta[columns], beta);
        }
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
        on_all_shares(&self.context, with_state(gradients, &mut []), |shares, part| self.store_share(parameters, shares, part));
    }

    fn store_share(&self, parameters: &[f32], shares: &LayerShares<'_>, part: usize) {
        let (isa, number, layer) = (self.context.isa, shares.number, shares.layer);
        let [kernel, bias, gamma, beta, alpha] = shares.take(part).map(|[gradients, ..]| gradients);
        let (rows, columns) = (shares.rows(part), shares.columns(part));
        let dz = self.blocks.gradient(number);
        if !rows.is_empty() {
            let mut c = MatMut::new(kernel, rows.len(), layer.kernel.columns, layer.kernel.leading_dimension);
            gemm_transposed(isa, self.value(layer.spec.input), (rows.start, rows.len()), dz, &mut stored(c.reborrow()));
            let penalty = layer.spec.kernel_penalty;
            if !penalty.is_none() {
                for (i, row) in rows.enumerate() {
                    add_penalty(isa, penalty.l1, penalty.l2, layer.kernel.of(parameters).row(row), c.row_mut(i));
                }
            }
        }
        if columns.is_empty() {
            return;
        }
        if !layer.bias.is_empty() {
            column_sums_from(isa, dz, columns.start, bias);
            let penalty = layer.spec.bias_penalty;
            if !penalty.is_none() {
                add_penalty(isa, penalty.l1, penalty.l2, &layer.bias.of(parameters).row(0)[columns.clone()], bias);
            }
        }
        if !layer.alpha.is_empty() {
            column_sums_from(isa, self.blocks.sums(number), columns.start, alpha);
        }
        if !layer.gamma.is_empty() {
            let [_, _, _, dgamma, dbeta] = Statistics::rows(layer, self.statistics);
            gamma.copy_from_slice(&dgamma[columns.clone()]);
            beta.copy_from_slice(&dbeta[columns]);
        }
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
        column_sums_from(isa, x, first + start, sums);
        rule.update_row(isa, sums, part_of_each(&mut parameters, range));
    }
}

/// How many rows of weights before their update with stored gradients they are asked for.
const ROWS_AHEAD: usize = 4;

/// One step of an optimizer with gradients that are stored in the layout of the parameters. The rule may be another for each tensor of each
/// layer.
pub(super) fn update_stored(
    context: &Context<'_>,
    rule: impl Fn(usize, usize) -> Adjusted + Sync,
    gradients: &[f32],
    (parameters, state): (&mut [f32], &mut [f32]),
) {
    let isa = context.isa;
    on_all_shares(context, with_state(parameters, state), |shares, part| {
        let [mut kernel, others @ ..] = shares.take(part);
        let Region { columns, leading_dimension, .. } = shares.layer.kernel;
        let of_kernel = rule(shares.number, 0);
        for (i, row) in shares.rows(part).enumerate() {
            let start = i * leading_dimension;
            if let Some(later) = kernel[0].get(start + ROWS_AHEAD * leading_dimension..) {
                // In the forward pass the other parts have read them.
                prefetch_to_write(isa, &later[..later.len().min(columns)]);
            }
            let parameters = part_of_each(&mut kernel, start..start + columns);
            of_kernel.update_row(isa, shares.layer.kernel.of(gradients).row(row), parameters);
        }
        let columns = shares.columns(part);
        let of_rows = shares.layer.learned_tensors().into_iter().zip(0..).skip(1);
        for ((tensor, number), parameters) in of_rows.zip(others).filter(|((tensor, _), _)| !tensor.region.is_empty()) {
            let gradient = &tensor.region.of(gradients).row(0)[columns.clone()];
            rule(shares.number, number).update_row(isa, gradient, parameters);
        }
    });
}
