//! The training step.

use super::loss::Truth;
use super::norms::squares_of_tensors;
use super::part::Noise;
use super::pass::Pass;
use super::update::{Gradients, update_stored};
use super::{Batch, Context, Report, check, check_lengths};
use crate::kernels::clipping::{factor_by_global_norm, factor_by_norm};
use crate::kernels::optimizers::{Adjusted, Optimizer};
use crate::kernels::reduce;
use crate::plan::{BlockRef, LEARNED_TENSORS, Memory, Plan, Purpose};

/// What becomes of gradients before the optimizer uses them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clipping {
    /// Nothing.
    #[default]
    None,
    /// Each element is brought between minus this and this.
    Value(f32),
    /// Each tensor whose norm is larger than this is scaled to it.
    Norm(f32),
    /// If the norm of all tensors together is larger than this, all are scaled so that it is this.
    GlobalNorm(f32),
}

/// One step of training.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// How parameters change.
    pub optimizer: Optimizer,
    /// What becomes of gradients before that.
    pub clipping: Clipping,
    /// The random numbers of dropout.
    pub noise: Noise,
}

impl Step {
    /// A step of an optimizer without clipping, and with the random numbers of seed 0, step 0.
    pub fn new(optimizer: Optimizer) -> Self {
        Self { optimizer, clipping: Clipping::None, noise: Noise::default() }
    }
}

impl From<Optimizer> for Step {
    fn from(optimizer: Optimizer) -> Self {
        Self::new(optimizer)
    }
}

/// One step of an optimizer on the mean loss of a minibatch. Returns losses and right answers from before the step.
///
/// Gradients meet their parameters in registers and never reach memory, unless they are clipped by a norm, which takes
/// [`Memory::gradients`].
///
/// # Panics
/// If a buffer is too short, a label is not below the number of outputs, or anything else does not fit the plan.
#[track_caller]
pub fn train_step(context: &Context<'_>, step: &Step, batch: &Batch<'_>, memory: &mut Memory<'_>) -> Report {
    if let Clipping::Norm(_) | Clipping::GlobalNorm(_) = step.clipping {
        let report = gradients(context, &step.noise, batch, memory);
        update(context, step, memory);
        return report;
    }
    check_state(context.plan, step, memory);
    let mut pass = phase_a(context, &step.noise, batch, memory.parameters, memory.workspace);
    let report = pass.report();
    let limit = if let Clipping::Value(limit) = step.clipping { limit } else { f32::INFINITY };
    let parameters = &mut memory.parameters[..context.plan.parameters_len()];
    phase_b(&mut pass, limit).update(&step.optimizer, parameters, memory.state);
    report
}

/// The gradient of the mean loss of a minibatch, penalties included, in [`Memory::gradients`], in the layout of the parameters. The
/// parameters stay as they are, but for the moving statistics.
///
/// # Panics
/// As [`train_step`].
#[track_caller]
pub fn gradients(context: &Context<'_>, noise: &Noise, batch: &Batch<'_>, memory: &mut Memory<'_>) -> Report {
    check_gradients(context.plan, memory);
    let mut pass = phase_a(context, noise, batch, memory.parameters, memory.workspace);
    let report = pass.report();
    phase_b(&mut pass, f32::INFINITY).store(memory.parameters, memory.gradients);
    report
}

/// One step of an optimizer with the gradients in [`Memory::gradients`], which stay as they are.
///
/// # Panics
/// If a buffer is too short; the workspace may be, unless gradients are clipped by a norm.
#[track_caller]
pub fn update(context: &Context<'_>, step: &Step, memory: &mut Memory<'_>) {
    let plan = context.plan;
    check_state(plan, step, memory);
    check_gradients(plan, memory);
    let plain = Adjusted::new(step.optimizer);
    let parameters = &mut memory.parameters[..plan.parameters_len()];
    let mut update = |rule: &(dyn Fn(usize, usize) -> Adjusted + Sync)| {
        update_stored(context, rule, memory.gradients, (&mut *parameters, &mut *memory.state));
    };
    match step.clipping {
        Clipping::None => update(&|_, _| plain),
        Clipping::Value(limit) => update(&|_, _| Adjusted { limit, ..plain }),
        Clipping::Norm(limit) => {
            let squares = squares_of_tensors(context, memory.gradients, memory.workspace);
            let norm = |layer, tensor| libm::sqrtf(squares[layer * LEARNED_TENSORS + tensor]);
            update(&|layer, tensor| Adjusted { factor: factor_by_norm(norm(layer, tensor), limit), ..plain });
        }
        Clipping::GlobalNorm(limit) => {
            let squares = squares_of_tensors(context, memory.gradients, memory.workspace);
            let factor = factor_by_global_norm(libm::sqrtf(reduce::sum(squares.iter().copied())), limit);
            update(&|_, _| Adjusted { factor, ..plain });
        }
    }
}

/// Each part its rows: forward, losses, backward.
#[track_caller]
fn phase_a<'a>(
    context: &Context<'a>,
    noise: &Noise,
    batch: &'a Batch<'a>,
    parameters: &mut [f32],
    workspace: &'a mut [f32],
) -> Pass<'a> {
    let plan = context.plan;
    let lengths = [("parameters", plan.parameters_len(), parameters.len()), ("workspace", plan.workspace_len(), workspace.len())];
    check(context, Purpose::Training, batch.inputs, &lengths);
    batch.check(plan);
    let mut pass = Pass::new(context, Some(*noise), batch.inputs, workspace);
    let truth = Truth { targets: batch.targets, weights: batch.weights, scale: 1.0 / pass.rows as f32 };
    pass.train(parameters, &truth);
    pass
}

/// Each part its share of the parameters.
fn phase_b<'b>(pass: &'b mut Pass<'_>, limit: f32) -> Gradients<'b> {
    let Pass { context, inputs, rows, blocks, statistics, .. } = pass;
    Gradients { context: *context, inputs, blocks: BlockRef { plan: context.plan, blocks, rows: *rows }, statistics, limit }
}

#[track_caller]
fn check_state(plan: &Plan<'_>, step: &Step, memory: &Memory<'_>) {
    let state_len = plan.state_len(step.optimizer.numbers_per_parameter());
    let parameters = ("parameters", plan.parameters_len(), memory.parameters.len());
    check_lengths(&[("optimizer state", state_len, memory.state.len()), parameters]);
}

#[track_caller]
fn check_gradients(plan: &Plan<'_>, memory: &Memory<'_>) {
    check_lengths(&[("gradients", plan.parameters_len(), memory.gradients.len())]);
}
