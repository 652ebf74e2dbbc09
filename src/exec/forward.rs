//! Forward: from the rows of a minibatch to outputs, predictions and losses.

use super::backward::keep_masked;
use super::{Batch, Context, Inputs, Report, check};
use crate::kernels::gather::{gather, gather_bytes};
use crate::kernels::gemm::{Biased, BiasedRelu, gemm};
use crate::kernels::loss::softmax_cross_entropy;
use crate::kernels::softmax::softmax_forward;
use crate::kernels::{MatMut, MatRef, reduce};
use crate::parallel::Shares;
use crate::plan::{Activation, Block, BlockRef, Layer, Plan, Purpose, Region};
use crate::simd::Isa;
use core::ops::Range;

/// The rows of a part.
pub(super) fn rows_of_part(plan: &Plan<'_>, rows: usize, part: usize) -> Range<usize> {
    let per_part = plan.rows_per_part(rows);
    (part * per_part).min(rows)..((part + 1) * per_part).min(rows)
}

/// The inputs of a part: where they lie, or gathered into its block.
pub(super) fn inputs_of_part<'a>(
    isa: Isa,
    inputs: &Inputs<'a>,
    in_dim: usize,
    rows: Range<usize>,
    block: &'a mut [f32],
) -> MatRef<'a> {
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

/// One layer without its softmax: `y = activation(x W + b)`, and its mask if there is room for one.
pub(super) fn layer_forward(isa: Isa, layer: &Layer, parameters: &[f32], x: MatRef<'_>, y: MatMut<'_>, mask: &mut [u16]) {
    let kernel = layer.kernel.of(parameters);
    let bias = layer.bias.of(parameters).row(0);
    match layer.activation {
        Activation::Relu => gemm(isa, x, kernel, &mut BiasedRelu { bias, c: y, mask }),
        Activation::Linear | Activation::Softmax => gemm(isa, x, kernel, &mut Biased { bias, c: y }),
    }
}

/// All layers but the last; returns the input of the last one.
pub(super) fn hidden_forward<'a>(
    isa: Isa,
    plan: &Plan<'_>,
    parameters: &[f32],
    x: MatRef<'a>,
    outputs: &'a mut [f32],
    masks: &mut [u16],
) -> (MatRef<'a>, &'a mut [f32]) {
    let rows = x.rows();
    let hidden = plan.layers().len() - 1;
    for (i, layer) in plan.layers()[..hidden].iter().enumerate() {
        let mask = match plan.purpose() {
            Purpose::Training => {
                let (first, len) = plan.mask(i, rows);
                &mut masks[first..first + len]
            }
            Purpose::Inference => &mut [],
        };
        if i == 0 {
            layer_forward(isa, layer, parameters, x, plan.output(0, rows).of_mut(outputs), mask);
        } else {
            let (before, here) = Block::outputs_around(outputs, plan, i, rows);
            let y = Region { offset: 0, ..plan.output(i, rows) };
            let x = Region { offset: 0, ..plan.output(i - 1, rows) };
            layer_forward(isa, layer, parameters, x.of(before), y.of_mut(here), mask);
        }
    }
    if hidden == 0 {
        return (x, outputs);
    }
    let (before, here) = Block::outputs_around(outputs, plan, hidden, rows);
    (Region { offset: 0, ..plan.output(hidden - 1, rows) }.of(before), here)
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
        let block = Block::carve(plan, blocks.take(part));
        let count = rows.len();
        let x = inputs_of_part(isa, inputs, plan.in_dim(), rows, block.input);
        let (x, _) = hidden_forward(isa, plan, parameters, x, block.outputs, block.masks);
        let mut y = MatMut::new(results.take(part), count, plan.out_dim(), leading_dimension);
        let last = &plan.layers()[plan.layers().len() - 1];
        layer_forward(isa, last, parameters, x, y.reborrow(), &mut []);
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
    let Context { isa, plan, executor } = *context;
    let lengths = [
        ("parameters", plan.parameters_len(), parameters.len()),
        ("workspace", plan.workspace_len(), workspace.len()),
        ("labels", batch.inputs.len(), batch.labels.len()),
    ];
    check(context, Purpose::Inference, &batch.inputs, &lengths);
    let rows = batch.inputs.len();
    let blocks = Shares::new(workspace, plan.block_len());
    executor.run(&|part| {
        let rows = rows_of_part(plan, rows, part);
        if rows.is_empty() {
            return;
        }
        let block = Block::carve(plan, blocks.take(part));
        let labels = &batch.labels[rows.clone()];
        let x = inputs_of_part(isa, &batch.inputs, plan.in_dim(), rows, block.input);
        logits_and_loss(isa, plan, parameters, x, labels, 1.0, (block.outputs, block.masks, block.losses, block.hits));
    });
    report(plan, workspace, rows)
}

/// Forward and loss of one part; the output of the last layer becomes the gradient by its weighted sums.
pub(super) fn logits_and_loss<'a>(
    isa: Isa,
    plan: &Plan<'_>,
    parameters: &[f32],
    x: MatRef<'a>,
    labels: &[u32],
    scale: f32,
    (outputs, masks, losses, hits): (&'a mut [f32], &mut [u16], &mut [f32], &mut f32),
) {
    let rows = x.rows();
    let last = plan.layers().len() - 1;
    let (x, outputs) = hidden_forward(isa, plan, parameters, x, outputs, masks);
    let mut logits = Region { offset: 0, ..plan.output(last, rows) }.of_mut(outputs);
    let (first, len) = match plan.purpose() {
        Purpose::Training => plan.mask(last, rows),
        Purpose::Inference => (0, 0),
    };
    let mask = &mut masks[first..first + len];
    layer_forward(isa, &plan.layers()[last], parameters, x, logits.reborrow(), mask);
    *hits = softmax_cross_entropy(isa, logits.reborrow(), labels, scale, &mut losses[..rows]) as f32;
    if !mask.is_empty() {
        keep_masked(mask, logits);
    }
}

/// Adds up what the parts have left in their blocks.
pub(super) fn report(plan: &Plan<'_>, workspace: &[f32], rows: usize) -> Report {
    let blocks = BlockRef { plan, workspace, rows };
    Report { loss_sum: reduce::sum(blocks.losses()), hits: blocks.hits() }
}
