//! Predictions and evaluation.

use super::loss::Truth;
use super::part::{Noise, Part};
use super::pass::Pass;
use super::small;
use super::{Batch, Context, Inputs, Report, activation, check, check_trains};
use crate::kernels::softmax::softmax_forward;
use crate::kernels::{MatMut, merge};
use crate::parallel::Shares;
use crate::plan::{Activation, Block, BlockRef, MAX_OUTPUTS, Plan, Purpose, Value};
use crate::simd::Isa;

/// The outputs of the network for up to [`Plan::batch`](crate::plan::Plan::batch) rows. Nothing is dropped, and normalizations use their
/// moving statistics.
///
/// Parts share the rows; of a single row, they share the columns of layers with many weights, and nobody is woken for smaller layers.
///
/// # Shapes
/// Of each input `[rows, columns]`, of each output `[rows, out_dim]`.
///
/// # Panics
/// If a buffer is too short, or anything else does not fit the plan.
#[track_caller]
pub fn predict(
    context: &Context<'_>,
    inputs: &[Inputs<'_>],
    parameters: &[f32],
    workspace: &mut [f32],
    outputs: &mut [MatMut<'_>],
) {
    predict_with(context, None, inputs, parameters, workspace, outputs);
}

/// [`predict`] with dropout as in training, for Monte Carlo estimates: one pass for each [`Noise::step`]. Normalizations still use their
/// moving statistics.
///
/// # Panics
/// As [`predict`].
#[track_caller]
pub fn predict_with_dropout(
    context: &Context<'_>,
    noise: Noise,
    inputs: &[Inputs<'_>],
    parameters: &[f32],
    workspace: &mut [f32],
    outputs: &mut [MatMut<'_>],
) {
    predict_with(context, Some(noise), inputs, parameters, workspace, outputs);
}

#[track_caller]
fn predict_with(
    context: &Context<'_>,
    noise: Option<Noise>,
    inputs: &[Inputs<'_>],
    parameters: &[f32],
    workspace: &mut [f32],
    outputs: &mut [MatMut<'_>],
) {
    let plan = context.plan;
    let lengths = [("parameters", plan.parameters_len(), parameters.len()), ("workspace", plan.workspace_len(), workspace.len())];
    check(context, Purpose::Inference, inputs, &lengths);
    let expected = plan.outputs().len();
    assert!(outputs.len() == expected, "{expected} outputs expected, found {}", outputs.len());
    let rows = inputs.first().map_or(0, Inputs::len);
    for (output, found) in plan.outputs().iter().zip(outputs.iter()) {
        let columns = plan.layers()[output.layer].out_dim;
        assert!(
            (found.rows(), found.columns()) == (rows, columns),
            "outputs of {rows} x {columns} expected, found {} x {}",
            found.rows(),
            found.columns()
        );
    }
    if let ([Inputs::Rows(x)], [y], true, None) = (inputs, &mut *outputs, plan.is_small() && rows == 1, noise) {
        small::infer_row(context.isa, plan, parameters, x.row(0), y.row_mut(0));
        return finish(context.isa, plan, plan.layers().len() - 1, y.reborrow());
    }
    if plan.parts() == 1 {
        // Nobody to share with: a call on a small network is short, and this is most of it.
        let part = Part { isa: context.isa, plan, parameters, statistics: &[], noise, inputs, first_row: 0, rows, computed: None };
        let block = &mut Block::carve(plan, workspace);
        part.infer(block);
        for (output, result) in plan.outputs().iter().zip(outputs) {
            part.finish_output(output.layer, block, result.reborrow());
        }
        return;
    }
    let mut rest = outputs.iter_mut();
    let results: [_; MAX_OUTPUTS] = core::array::from_fn(|_| {
        let output = rest.next()?.reborrow();
        let (columns, leading_dimension) = (output.columns(), output.leading_dimension().max(1));
        Some((Shares::new(output.into_data(), plan.rows_per_part(rows) * leading_dimension), columns, leading_dimension))
    });
    Pass::new(context, noise, inputs, workspace).infer(parameters, |part, block| {
        let index = part.first_row / plan.rows_per_part(rows);
        for (output, result) in plan.outputs().iter().zip(results.iter().flatten()) {
            let (shares, columns, leading_dimension) = result;
            let y = MatMut::new(shares.take(index), part.rows, *columns, *leading_dimension);
            part.finish_output(output.layer, block, y);
        }
    });
}

impl Part<'_> {
    /// Hands an output to the caller, finished.
    fn finish_output(&self, layer: usize, block: &Block<'_>, mut y: MatMut<'_>) {
        merge::copy(self.plan.output(layer, self.rows).of(block.outputs), y.reborrow());
        finish(self.isa, self.plan, layer, y);
    }
}

/// The activation of a layer that training computes with the loss.
fn finish(isa: Isa, plan: &Plan<'_>, layer: usize, y: MatMut<'_>) {
    let asked = plan.layers()[layer].spec.activation;
    match asked {
        Activation::Softmax => softmax_forward(isa, y),
        Activation::Sigmoid if asked != plan.activation(layer) => activation::sigmoid_in_place(isa, y),
        _ => {}
    }
}

/// Mean and standard deviation of all outputs of layer `layer` that the last training step on `rows` rows has left in the workspace.
///
/// # Panics
/// If the plan is not for training, there is no such layer, or the workspace is too short.
#[track_caller]
pub fn output_statistics(plan: &Plan<'_>, workspace: &[f32], rows: usize, layer: usize) -> (f64, f64) {
    check_trains(plan);
    let values = BlockRef { plan, blocks: &workspace[..plan.blocks_len()], rows }.value(Value::Layer(layer));
    let elements = (rows * values.columns()).max(1) as f64;
    let sum =
        |term: &dyn Fn(f64) -> f64| (0..rows).flat_map(|i| values.row(i)).map(|&x| term(f64::from(x))).sum::<f64>() / elements;
    let mean = sum(&|x| x);
    (mean, libm::sqrt(sum(&|x| (x - mean) * (x - mean))))
}

/// The losses and the number of right answers for up to [`Plan::batch`](crate::plan::Plan::batch) rows, without penalties.
///
/// # Panics
/// If a buffer is too short, a label is not below the number of outputs, or anything else does not fit the plan.
#[track_caller]
pub fn evaluate(context: &Context<'_>, batch: &Batch<'_>, parameters: &[f32], workspace: &mut [f32]) -> Report {
    let plan = context.plan;
    let lengths = [("parameters", plan.parameters_len(), parameters.len()), ("workspace", plan.workspace_len(), workspace.len())];
    check(context, Purpose::Inference, batch.inputs, &lengths);
    batch.check(plan);
    let truth = Truth { targets: batch.targets, weights: batch.weights, scale: 1.0 };
    let mut pass = Pass::new(context, None, batch.inputs, workspace);
    pass.infer(parameters, |part, block| part.losses(&truth, block));
    pass.report()
}
