//! The training step.

use super::backward::{gradients_of_part, loss_of_part};
use super::forward::{forward_by_parts, report};
use super::{Batch, Context, Inputs, Report, check};
use crate::kernels::gemm::{RowBlocks, Updated, UpdatedByRow, gemm_transposed};
use crate::kernels::optimizers::{ByRow, Optimizer};
use crate::kernels::reduce::column_sums_into;
use crate::parallel::{Executor, Shares};
use crate::plan::{BlockRef, Layer, Memory, Plan, Purpose};
use crate::simd::{Isa, MapOp, round_up_to_lanes};

/// One step of an optimizer on the mean cross-entropy of a minibatch. Returns losses and right answers from before the step.
///
/// # Panics
/// If a buffer is too short, a label is not below the number of outputs, or anything else does not fit the plan.
#[track_caller]
pub fn train_step(context: &Context<'_>, optimizer: &Optimizer, batch: &Batch<'_>, memory: &mut Memory<'_>) -> Report {
    let Context { isa, plan, executor } = *context;
    let lengths = [
        ("parameters", plan.parameters_len(), memory.parameters.len()),
        ("optimizer state", plan.state_len(optimizer.numbers_per_parameter()), memory.state.len()),
        ("workspace", plan.workspace_len(), memory.workspace.len()),
        ("labels", batch.inputs.len(), batch.labels.len()),
    ];
    check(context, Purpose::Training, &batch.inputs, &lengths);
    let rows = batch.inputs.len();
    // Phase A: each part its rows.
    let (parameters, scale) = (&*memory.parameters, 1.0 / rows as f32);
    forward_by_parts(context, batch, parameters, memory.workspace, |labels, block| {
        loss_of_part(isa, plan, labels, scale, block);
        gradients_of_part(isa, plan, parameters, labels.len(), block);
    });
    let report = report(plan, memory.workspace, rows);
    let phase = Update { isa, plan, executor, inputs: &batch.inputs, blocks: BlockRef { plan, workspace: memory.workspace, rows } };
    let parameters = &mut memory.parameters[..plan.parameters_len()];
    let state = &mut *memory.state;
    match *optimizer {
        Optimizer::Sgd(rule) => phase.run::<InRegisters, _, _>(rule, with_state(parameters, state)),
        Optimizer::Momentum(rule) => phase.run::<InRegisters, _, _>(rule, with_state(parameters, state)),
        Optimizer::RmsProp(rule) => phase.run::<ByRows, _, _>(rule, with_state(parameters, state)),
        Optimizer::RmsPropMomentum(rule) => phase.run::<ByRows, _, _>(rule, with_state(parameters, state)),
        Optimizer::CenteredRmsProp(rule) => phase.run::<ByRows, _, _>(rule, with_state(parameters, state)),
        Optimizer::Adam(rule) => phase.run::<InRegisters, _, _>(rule, with_state(parameters, state)),
        Optimizer::AmsGrad(rule) => phase.run::<ByRows, _, _>(rule, with_state(parameters, state)),
        Optimizer::AdamW(rule) => phase.run::<ByRows, _, _>(rule, with_state(parameters, state)),
        Optimizer::Nadam(rule) => phase.run::<ByRows, _, _>(rule, with_state(parameters, state)),
    }
    report
}

/// The parameters, followed by as many kinds of state, in the same layout, as the rule has.
fn with_state<'a, const N: usize>(parameters: &'a mut [f32], state: &'a mut [f32]) -> [&'a mut [f32]; N] {
    let len = parameters.len();
    let mut buffers = core::iter::once(parameters).chain(state.chunks_exact_mut(len));
    core::array::from_fn(|_| buffers.next().unwrap_or_default())
}

/// Where a kernel's gradient and its update meet.
trait Meeting {
    /// `parameters = rule(x^T dz, parameters)` for `rows` columns of `x` from `first` on.
    fn update<R: MapOp<1, N> + Copy + Sync, const N: usize>(
        isa: Isa,
        x: (RowBlocks<'_>, usize, usize),
        dz: RowBlocks<'_>,
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
        (x, first, rows): (RowBlocks<'_>, usize, usize),
        dz: RowBlocks<'_>,
        rule: R,
        parameters: [&mut [f32]; N],
        leading_dimension: usize,
    ) {
        gemm_transposed(isa, x, (first, rows), dz, &mut Updated { rule, parameters, leading_dimension });
    }
}

/// In a buffer of one row of a tile: all optimizers share one copy of the tiles.
struct ByRows;

impl Meeting for ByRows {
    fn update<R: MapOp<1, N> + Copy + Sync, const N: usize>(
        isa: Isa,
        (x, first, rows): (RowBlocks<'_>, usize, usize),
        dz: RowBlocks<'_>,
        rule: R,
        parameters: [&mut [f32]; N],
        leading_dimension: usize,
    ) {
        let mut rest = parameters.into_iter();
        let parameters = core::array::from_fn(|_| rest.next().unwrap_or_default());
        gemm_transposed(isa, x, (first, rows), dz, &mut UpdatedByRow { isa, rule: &ByRow(rule), parameters, leading_dimension });
    }
}

/// Phase B: each part its rows of the weights.
struct Update<'a> {
    isa: Isa,
    plan: &'a Plan<'a>,
    executor: &'a dyn Executor,
    inputs: &'a Inputs<'a>,
    blocks: BlockRef<'a, 'a>,
}

impl Update<'_> {
    /// `parameters` are the weights and the optimizer's numbers, all in the layout of the plan.
    fn run<M: Meeting, R: MapOp<1, N> + Copy + Sync, const N: usize>(&self, rule: R, mut parameters: [&mut [f32]; N]) {
        for (i, layer) in self.plan.layers().iter().enumerate() {
            self.run_layer::<M, R, N>(
                rule,
                i,
                layer,
                parameters.each_mut().map(|buffer| &mut buffer[layer.kernel.offset..layer.bias.end()]),
            );
        }
    }

    fn run_layer<M: Meeting, R: MapOp<1, N> + Copy + Sync, const N: usize>(
        &self,
        rule: R,
        i: usize,
        layer: &Layer,
        parameters: [&mut [f32]; N],
    ) {
        let Self { isa, plan, blocks, .. } = self;
        let x = if i == 0 { self.input() } else { blocks.output(i - 1) };
        let dz = blocks.gradient(i);
        let leading_dimension = layer.kernel.leading_dimension;
        let rows_per_part = layer.in_dim.div_ceil(plan.parts());
        let columns_per_part = round_up_to_lanes(layer.out_dim.div_ceil(plan.parts()));
        let shares = parameters.map(|buffer| {
            let (kernel, bias) = buffer.split_at_mut(layer.kernel.len());
            let bias = &mut bias[..layer.out_dim];
            (Shares::new(kernel, rows_per_part * leading_dimension), Shares::new(bias, columns_per_part))
        });
        self.executor.run(&|part| {
            let first = part * rows_per_part;
            let kernels = shares.each_ref().map(|(kernel, _)| kernel.take(part));
            if first < layer.in_dim {
                let rows = rows_per_part.min(layer.in_dim - first);
                M::update(*isa, (x, first, rows), dz, rule, kernels, leading_dimension);
            }
            let first = part * columns_per_part;
            if first < layer.out_dim {
                column_sums_into(*isa, dz, first, rule, shares.each_ref().map(|(_, bias)| bias.take(part)));
            }
        });
    }

    /// The input of the first layer: where it lies, cut as the parts' blocks are, or as the parts have gathered it.
    fn input(&self) -> RowBlocks<'_> {
        match *self.inputs {
            Inputs::Rows(x) => {
                let per_part = self.plan.rows_per_part(x.rows());
                let shape = (x.rows(), x.columns(), x.leading_dimension());
                RowBlocks::new(x.data(), shape, per_part, per_part * x.leading_dimension())
            }
            Inputs::Gathered { .. } | Inputs::Bytes { .. } => self.blocks.input(),
        }
    }
}
