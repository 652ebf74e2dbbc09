//! From a plan, its buffers and a minibatch to the reference network.

use super::Sample;
use selvedge::exec::Noise;
use selvedge::kernels::rng::Stream;
use selvedge::plan::{Dropout, Plan, Region};
use selvedge::reference::dropout::keeps;
use selvedge::reference::network::{Layer, Minibatch, Network, Rows};

fn lift(region: Region, buffer: &[f32]) -> Rows<f64> {
    if region.is_empty() {
        return Vec::new();
    }
    (0..region.rows).map(|i| region.of(buffer).row(i).iter().copied().map(f64::from).collect()).collect()
}

/// Parameters, or anything in their layout, as a reference network.
pub(super) fn reference(plan: &Plan<'_>, buffer: &[f32]) -> Network<f64> {
    let row = |region| lift(region, buffer).concat();
    let layers = plan.layers().iter().map(|layer| Layer {
        spec: layer.spec,
        kernel: lift(layer.kernel, buffer),
        bias: row(layer.bias),
        gamma: row(layer.gamma),
        beta: row(layer.beta),
        alpha: row(layer.alpha),
        moving_mean: row(layer.moving_mean),
        moving_variance: row(layer.moving_variance),
    });
    Network { layers: layers.collect(), outputs: plan.outputs().to_vec() }
}

/// A minibatch for the reference network, of which dropout takes what this noise says; nothing without noise.
pub(super) fn minibatch(plan: &Plan<'_>, sample: &Sample, noise: Option<Noise>) -> Minibatch {
    let lift = |x: selvedge::kernels::MatRef<'_>| -> Rows<f64> {
        (0..x.rows()).map(|i| x.row(i).iter().copied().map(f64::from).collect()).collect()
    };
    let rows = sample.rows();
    let kept = plan.layers().iter().enumerate().map(|(number, layer)| {
        let (Some(Dropout::Plain(rate) | Dropout::Alpha(rate)), Some(Noise { seed, step, first_row })) =
            (layer.spec.dropout, noise)
        else {
            return Vec::new();
        };
        let stream = Stream { seed, step, layer: number as u32, first_row };
        (0..rows).map(|i| (0..layer.out_dim).map(|j| keeps(rate, stream, i, j)).collect()).collect()
    });
    let weights = sample.weights.clone().unwrap_or_else(|| vec![1.0; rows]);
    Minibatch {
        inputs: sample.inputs.iter().map(|input| lift(input.rows())).collect(),
        targets: sample.targets.iter().map(|targets| lift(targets.rows())).collect(),
        weights: weights.into_iter().map(f64::from).collect(),
        kept: kept.collect(),
    }
}
