//! Phase B: each part its share of every tensor of parameters.

use super::pass::{columns_per_part, value_of_all_rows};
use super::{Context, Inputs};
use crate::kernels::MatMut;
use crate::kernels::gemm::{RowBlocks, Stored, Updated, UpdatedByRow, gemm_transposed};
use crate::kernels::optimizers::{ByRow, ClippedByValue, Optimizer, Regularized, Rescaled, add_penalty, update};
use crate::kernels::reduce::column_sums_into;
use crate::parallel::Shares;
use crate::plan::{BlockRef, Layer, Penalty, Region, Statistics, Tensor, Value};
use crate::simd::{Isa, MapOp, Simd};

/// What is known when all gradients by weighted sums are there.
pub(super) struct Gradients<'a> {
    pub(super) context: Context<'a>,
    pub(super) inputs: &'a [Inputs<'a>],
    pub(super) blocks: BlockRef<'a, 'a>,
    pub(super) statistics: &'a [f32],
    /// The largest magnitude that an element of a gradient keeps.
    pub(super) limit: f32,
}

/// Calls a generic function with the rule of an optimizer.
macro_rules! with_rule {
    ($optimizer:expr, $rule:ident => $in_registers:expr, $by_rows:expr) => {
        match *$optimizer {
            Optimizer::Sgd($rule) => $in_registers,
            Optimizer::Momentum($rule) => $in_registers,
            Optimizer::RmsProp($rule) => $by_rows,
            Optimizer::RmsPropMomentum($rule) => $by_rows,
            Optimizer::CenteredRmsProp($rule) => $by_rows,
            Optimizer::Adam($rule) => $in_registers,
            Optimizer::AmsGrad($rule) => $by_rows,
            Optimizer::AdamW($rule) => $by_rows,
            Optimizer::Nadam($rule) => $by_rows,
        }
    };
}

/// The parameters, followed by as many kinds of state, in the same layout, as the rule has.
fn with_state<'a, const N: usize>(parameters: &'a mut [f32], state: &'a mut [f32]) -> [&'a mut [f32]; N] {
    let len = parameters.len();
    // Without parameters there are no chunks; a length of 0 would be refused.
    let mut buffers = core::iter::once(parameters).chain(state.chunks_exact_mut(len.max(1)));
    core::array::from_fn(|_| buffers.next().unwrap_or_default())
}

/// The columns of one product whose weights are updated.
struct Columns<'a> {
    x: RowBlocks<'a>,
    first: usize,
    count: usize,
    dz: RowBlocks<'a>,
}

/// Where a kernel's gradient and its update meet.
trait Meeting {
    /// `parameters = rule(x^T dz, parameters)` for some columns of `x`.
    fn update<R: MapOp<1, N> + Copy + Sync, const N: usize>(
        isa: Isa,
        product: &Columns<'_>,
        rule: R,
        parameters: [&mut [f32]; N],
        leading_dimension: usize,
    );
}

/// In registers: fastest, at the price of a copy of every tile for the optimizer. For those that most people use.
struct InRegisters;

impl Meeting for InRegisters {
    fn update<R: MapOp<1, N> + Copy + Sync, const N: usize>(
        isa: Isa,
        product: &Columns<'_>,
        rule: R,
        parameters: [&mut [f32]; N],
        leading_dimension: usize,
    ) {
        let Columns { x, first, count, dz } = *product;
        gemm_transposed(isa, x, (first, count), dz, &mut Updated { rule, parameters, leading_dimension });
    }
}

/// In a buffer of one row of a tile: all other optimizers share one copy of the tiles.
struct ByRows;

impl Meeting for ByRows {
    fn update<R: MapOp<1, N> + Copy + Sync, const N: usize>(
        isa: Isa,
        product: &Columns<'_>,
        rule: R,
        parameters: [&mut [f32]; N],
        leading_dimension: usize,
    ) {
        let Columns { x, first, count, dz } = *product;
        let mut rest = parameters.into_iter();
        let parameters = core::array::from_fn(|_| rest.next().unwrap_or_default());
        gemm_transposed(isa, x, (first, count), dz, &mut UpdatedByRow { isa, rule: &ByRow(rule), parameters, leading_dimension });
    }
}

impl Gradients<'_> {
    /// One step of an optimizer, whose gradients never reach memory.
    pub(super) fn update(&self, optimizer: &Optimizer, parameters: &mut [f32], state: &mut [f32]) {
        with_rule!(optimizer, rule =>
            self.update_with::<InRegisters, _, _>(rule, with_state(parameters, state)),
            self.update_with::<ByRows, _, _>(rule, with_state(parameters, state)))
    }

    fn update_with<M: Meeting, R: MapOp<1, N> + Copy + Sync, const N: usize>(&self, rule: R, mut parameters: [&mut [f32]; N]) {
        for (i, layer) in self.context.plan.layers().iter().enumerate() {
            let range = layer.range();
            if !range.is_empty() {
                self.update_layer::<M, R, N>(rule, i, layer, parameters.each_mut().map(|buffer| &mut buffer[range.clone()]));
            }
        }
    }

    fn update_layer<M: Meeting, R: MapOp<1, N> + Copy + Sync, const N: usize>(
        &self,
        rule: R,
        i: usize,
        layer: &Layer,
        parameters: [&mut [f32]; N],
    ) {
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
            let mut rest = buffer;
            let mut end = first_of_layer;
            let mut take = |region: Region, share: usize| {
                let (_, from_here) = core::mem::take(&mut rest).split_at_mut(region.offset - end);
                let (here, behind) = from_here.split_at_mut(region.len());
                (rest, end) = (behind, region.end());
                let used = if region.rows == 1 { region.columns } else { region.len() };
                Shares::new(&mut here[..used.min(region.len())], share)
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
                let product = Columns { x, first, count: rows_per_part.min(layer.in_dim - first), dz };
                match self.adjusted(rule, layer.spec.kernel_penalty) {
                    None => M::update(isa, &product, rule, kernel, leading_dimension),
                    Some(rule) => ByRows::update(isa, &product, rule, kernel, leading_dimension),
                }
            }
            let first = part * width;
            if first >= layer.out_dim {
                return;
            }
            if !layer.bias.is_empty() {
                match self.adjusted(rule, layer.spec.bias_penalty) {
                    None => column_sums_into(isa, dz, first, rule, bias),
                    Some(rule) => column_sums_into(isa, dz, first, rule, bias),
                }
            }
            if let Some([_, _, _, dgamma, dbeta]) = statistics {
                for (gradient, tensor) in [(dgamma, gamma), (dbeta, beta)] {
                    let gradient = &gradient[first..layer.out_dim.min(first + width)];
                    match self.adjusted(rule, Penalty::NONE) {
                        None => update(isa, rule, gradient, tensor),
                        Some(rule) => update(isa, rule, gradient, tensor),
                    }
                }
            }
            if let Some(terms) = terms {
                match self.adjusted(rule, Penalty::NONE) {
                    None => column_sums_into(isa, terms, first, rule, alpha),
                    Some(rule) => column_sums_into(isa, terms, first, rule, alpha),
                }
            }
        });
    }

    /// The rule with penalty and limit; nothing if there are none.
    fn adjusted<R>(&self, rule: R, penalty: Penalty) -> Option<Regularized<ClippedByValue<R>>> {
        if penalty.is_none() && self.limit == f32::INFINITY {
            return None;
        }
        let Penalty { l1, l2 } = penalty;
        Some(Regularized { l1, l2, rule: ClippedByValue { limit: self.limit, rule } })
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
                        gemm_transposed(isa, x, (first, rows), dz, &mut Stored { c });
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

/// One step of an optimizer with gradients that are stored in the layout of the parameters, those of each tensor multiplied by a factor of
/// its own.
pub(super) fn update_stored(
    context: &Context<'_>,
    optimizer: &Optimizer,
    factor: impl Fn(&Tensor) -> f32 + Sync,
    gradients: &[f32],
    (parameters, state): (&mut [f32], &mut [f32]),
) {
    with_rule!(optimizer, rule =>
        update_tensors(context, rule, factor, gradients, with_state(parameters, state)),
        update_tensors(context, rule, factor, gradients, with_state(parameters, state)))
}

fn update_tensors<R: MapOp<1, N> + Copy + Sync, const N: usize>(
    context: &Context<'_>,
    rule: R,
    factor: impl Fn(&Tensor) -> f32 + Sync,
    gradients: &[f32],
    mut parameters: [&mut [f32]; N],
) {
    let Context { isa, plan, executor } = *context;
    let tensors = plan.layers().iter().flat_map(Layer::tensors);
    for tensor in tensors.filter(|tensor| tensor.trainable && !tensor.region.is_empty()) {
        let Region { rows, columns, leading_dimension, .. } = tensor.region;
        let rows_per_part = rows.div_ceil(plan.parts());
        let share = rows_per_part * leading_dimension;
        let shares = parameters.each_mut().map(|buffer| Shares::new(&mut buffer[tensor.region.range()], share));
        let rule = Rescaled { factor: factor(&tensor), rule };
        let gradient = tensor.region.of(gradients);
        executor.run(&|part| {
            let mut rest = shares.each_ref().map(|share| share.take(part));
            let first = (part * rows_per_part).min(rows);
            for i in first..rows.min(first + rows_per_part) {
                let row = rest.each_mut().map(|rest| {
                    let (row, behind) = core::mem::take(rest).split_at_mut(leading_dimension);
                    *rest = behind;
                    &mut row[..columns]
                });
                update(isa, rule, gradient.row(i), row);
            }
        });
    }
}
