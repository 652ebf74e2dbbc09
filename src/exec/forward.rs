//! Forward: from the rows of a minibatch to outputs, predictions and losses.

use super::{Batch, Context, Inputs, Report, activation, check};
use crate::kernels::gather::{gather, gather_bytes};
use crate::kernels::gemm::{Biased, BiasedRelu, gemm};
use crate::kernels::loss::{RowWeights, softmax_cross_entropy};
use crate::kernels::softmax::softmax_forward;
use crate::kernels::{MatMut, MatRef, reduce};
use crate::parallel::Shares;
use crate::plan::{Activation, Block, BlockRef, Layer, Plan, Purpose, Region};
use crate::simd::Isa;
use core::ops::Range;

/// The rows of a part.
fn rows_of_part(plan: &Plan<'_>, rows: usize, part: usize) -> Range<usize> {
    let per_part = plan.rows_per_part(rows);
    (part * per_part).min(rows)..((part + 1) * per_part).min(rows)
}

/// The inputs of a part: where they lie, or gathered into its block.
fn inputs_of_part<'a>(isa: Isa, inputs: &Inputs<'a>, in_dim: usize, rows: Range<usize>, block: &'a mut [f32]) -> MatRef<'a> {
    let region = Region::new(0, rows.len(), in_dim);
    match *inputs {
        Inputs::Rows(x) => {
            let start = (rows.start * x.leading_dimension()).min(x.data().len());
            return MatRef::new(&x.data()[start..], rows.len(), in_dim, x.leading_dimension());
        }
        Inputs::Gathered { rows: x, order } => gather(x, &order[rows], region.of_mut(block)),
        Inputs::Bytes { rows: x, order, scaling } => gather_bytes(isa, x, &order[rows], scaling, region.of_mut(block)),
    }
    region.of(block)
}

/// Room for what a layer's backward pass wants to know; empty where it wants nothing, and in inference.
pub(super) struct Kept<'a> {
    /// Which elements a ReLU kept.
    mask: &'a mut [u16],
    /// The weighted sums.
    sums: &'a mut [f32],
}

impl<'a> Kept<'a> {
    /// For layer `i`, out of the masks and sums of a block.
    fn of_layer(plan: &Plan<'_>, i: usize, rows: usize, masks: &'a mut [u16], sums: &'a mut [f32]) -> Self {
        match plan.purpose() {
            Purpose::Training => Self { mask: &mut masks[plan.mask(i, rows)], sums: &mut sums[plan.sums(i, rows).range()] },
            Purpose::Inference => Self { mask: &mut [], sums: &mut [] },
        }
    }
}

/// One layer without its softmax: `y = activation(x W + b)`.
fn layer_forward(isa: Isa, layer: &Layer, parameters: &[f32], x: MatRef<'_>, mut y: MatMut<'_>, kept: Kept<'_>) {
    let kernel = layer.kernel.of(parameters);
    let bias = layer.bias.of(parameters).row(0);
    if let Activation::Relu = layer.activation {
        gemm(isa, x, kernel, &mut BiasedRelu { bias, c: y, mask: kept.mask });
    } else if kept.sums.is_empty() {
        gemm(isa, x, kernel, &mut Biased { bias, c: y.reborrow() });
        activation::forward_in_place(isa, layer.activation, y);
    } else {
        let region = Region::new(0, x.rows(), layer.out_dim);
        gemm(isa, x, kernel, &mut Biased { bias, c: region.of_mut(kept.sums) });
        activation::forward(isa, layer.activation, region.of(kept.sums), y);
    }
}

/// All layers but the last; returns the input of the last one, and where its output belongs.
fn hidden_forward<'a>(
    isa: Isa,
    plan: &Plan<'_>,
    parameters: &[f32],
    x: MatRef<'a>,
    outputs: &'a mut [f32],
    (masks, sums): (&mut [u16], &mut [f32]),
) -> (MatRef<'a>, &'a mut [f32]) {
    let rows = x.rows();
    let hidden = plan.layers().len() - 1;
    for (i, layer) in plan.layers()[..hidden].iter().enumerate() {
        let kept = Kept::of_layer(plan, i, rows, masks, sums);
        if i == 0 {
            layer_forward(isa, layer, parameters, x, plan.output(i, rows).of_mut(outputs), kept);
        } else {
            let (before, here) = Block::outputs_around(outputs, plan, i, rows);
            layer_forward(isa, layer, parameters, before, here, kept);
        }
    }
    match hidden {
        0 => (x, outputs),
        _ => {
            let (before, here) = Block::outputs_around(outputs, plan, hidden, rows);
            (before, here.into_data())
        }
    }
}

/// All layers, without a softmax at the end: the output of the last one is where the plan says.
fn network_forward(isa: Isa, plan: &Plan<'_>, parameters: &[f32], x: MatRef<'_>, block: &mut Block<'_>) {
    let rows = x.rows();
    let last = plan.layers().len() - 1;
    let kept = (&mut *block.masks, &mut *block.sums);
    let (x, y) = hidden_forward(isa, plan, parameters, x, block.outputs, kept);
    let region = plan.output(last, rows);
    let y = Region { offset: if last == 0 { region.offset } else { 0 }, ..region }.of_mut(y);
    let kept = Kept::of_layer(plan, last, rows, block.masks, block.sums);
    layer_forward(isa, &plan.layers()[last], parameters, x, y, kept);
}

/// The outputs of the network for up to [`Plan::batch`] rows.
///
/// # Shapes
/// `inputs: [rows, in_dim]`, `outputs: [rows, out_dim]`.
///
/// # Panics
/// If a buffer is too short, or anything else does not fit the plan.
#[track_caller]
pub fn predict(context: &Context<'_>, inputs: &Inputs<'_>, parameters: &[f32], workspace: &mut [f32], outputs: MatMut<'_>) {
    let Context { isa, plan, executor } = *context;
    let lengths = [("parameters", plan.parameters_len(), parameters.len()), ("workspace", plan.workspace_len(), workspace.len())];
    check(context, Purpose::Inference, inputs, &lengths);
    let rows = inputs.len();
    assert!(
        (outputs.rows(), outputs.columns()) == (rows, plan.out_dim()),
        "outputs of {rows} x {} expected, found {} x {}",
        plan.out_dim(),
        outputs.rows(),
        outputs.columns()
    );
    let leading_dimension = outputs.leading_dimension().max(1);
    let results = Shares::new(outputs.into_data(), plan.rows_per_part(rows) * leading_dimension);
    let blocks = Shares::new(workspace, plan.block_len());
    executor.run(&|part| {
        let rows = rows_of_part(plan, rows, part);
        if rows.is_empty() {
            return;
        }
        let (input, block) = Block::carve(plan, blocks.take(part));
        let count = rows.len();
        let x = inputs_of_part(isa, inputs, plan.in_dim(), rows, input);
        let (x, _) = hidden_forward(isa, plan, parameters, x, block.outputs, (block.masks, block.sums));
        let mut y = MatMut::new(results.take(part), count, plan.out_dim(), leading_dimension);
        let last = &plan.layers()[plan.layers().len() - 1];
        layer_forward(isa, last, parameters, x, y.reborrow(), Kept { mask: &mut [], sums: &mut [] });
        if let Activation::Softmax = last.activation {
            softmax_forward(isa, y);
        }
    });
}

/// The cross-entropy and the number of right answers for up to [`Plan::batch`] rows.
///
/// # Panics
/// If a buffer is too short, a label is not below the number of outputs, or anything else does not fit the plan.
#[track_caller]
pub fn evaluate(context: &Context<'_>, batch: &Batch<'_>, parameters: &[f32], workspace: &mut [f32]) -> Report {
    let Context { isa, plan, .. } = *context;
    let lengths = [
        ("parameters", plan.parameters_len(), parameters.len()),
        ("workspace", plan.workspace_len(), workspace.len()),
        ("labels", batch.inputs.len(), batch.labels.len()),
    ];
    check(context, Purpose::Inference, &batch.inputs, &lengths);
    forward_by_parts(context, batch, parameters, workspace, |labels, block| {
        let outputs = plan.output(plan.layers().len() - 1, labels.len()).of_mut(block.outputs);
        let losses = &mut block.losses[..labels.len()];
        *block.hits = softmax_cross_entropy(isa, outputs, labels, 0.0, RowWeights::equal(1.0), losses) as f32;
    });
    report(plan, workspace, batch.inputs.len())
}

/// One run: each part takes its own rows of a minibatch through the network, and then does `next` with their labels and its block.
pub(super) fn forward_by_parts(
    context: &Context<'_>,
    batch: &Batch<'_>,
    parameters: &[f32],
    workspace: &mut [f32],
    next: impl Fn(&[u32], &mut Block<'_>) + Sync,
) {
    let Context { isa, plan, executor } = *context;
    let blocks = Shares::new(workspace, plan.block_len());
    executor.run(&|part| {
        let rows = rows_of_part(plan, batch.inputs.len(), part);
        if rows.is_empty() {
            return;
        }
        let (input, mut block) = Block::carve(plan, blocks.take(part));
        let labels = &batch.labels[rows.clone()];
        let x = inputs_of_part(isa, &batch.inputs, plan.in_dim(), rows, input);
        network_forward(isa, plan, parameters, x, &mut block);
        next(labels, &mut block);
    });
}

/// Adds up what the parts have left in their blocks.
pub(super) fn report(plan: &Plan<'_>, workspace: &[f32], rows: usize) -> Report {
    let blocks = BlockRef { plan, workspace, rows };
    Report { loss_sum: reduce::sum(blocks.losses()), hits: blocks.hits() }
}
