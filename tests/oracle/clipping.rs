//! What clipping does to the parameters, against its definition.

use super::graphs::{by_hand, wide_and_deep};
use super::{Buffers, Graph, Sample, parameters, random};
use selvedge::exec::{Clipping, Context, Noise, Step, gradients};
use selvedge::kernels::optimizers::{Optimizer, Sgd};
use selvedge::parallel::Serial;
use selvedge::plan::{Layer, Plan, Tensor};
use selvedge::simd::Isa;

/// The elements of a tensor, without padding.
fn elements(tensor: &Tensor, buffer: &[f32]) -> Vec<f64> {
    (0..tensor.region.rows).flat_map(|i| tensor.region.of(buffer).row(i)).copied().map(f64::from).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// One step at a learning rate of 1 with each limit: every parameter moves by its clipped gradient.
fn check(name: &str, graph: &Graph, isa: Isa) {
    let parts = 3;
    let plan = Plan::training(graph.network(), 9, parts);
    let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
    let mut random = random(1);
    let start = parameters(&plan, &mut random, f32::NAN);
    let sample = Sample::new(&mut random, &plan, 9);
    let optimizer = Optimizer::Sgd(Sgd { learning_rate: 1.0 });
    let noise = Noise { seed: 5, step: 2, first_row: 0 };
    let mut buffers = Buffers::new(&plan, &optimizer, start.clone());
    gradients(&context, &noise, &sample.given().batch(), &mut buffers.memory());
    let tensors: Vec<Tensor> = plan.layers().iter().flat_map(Layer::tensors).collect();
    let tensors: Vec<&Tensor> = tensors.iter().filter(|tensor| tensor.trainable && !tensor.region.is_empty()).collect();
    let gradients: Vec<Vec<f64>> = tensors.iter().map(|tensor| elements(tensor, &buffers.gradients)).collect();
    let (whole, largest) = (norm(&gradients.concat()), gradients.iter().map(|g| norm(g)).fold(0.0, f64::max));
    if whole == 0.0 {
        return;
    }
    // Limits that are reached by some, and by none.
    for share in [0.3, 2.0] {
        let limits = [share * largest / 3.0, share * largest, share * whole].map(|limit| limit as f32);
        for clipping in [Clipping::Value(limits[0]), Clipping::Norm(limits[1]), Clipping::GlobalNorm(limits[2])] {
            let mut buffers = Buffers::new(&plan, &optimizer, start.clone());
            buffers.step(&context, Step { optimizer, clipping, noise }, &sample.given().batch());
            for (tensor, gradient) in tensors.iter().zip(&gradients) {
                let factor = match clipping {
                    Clipping::Norm(limit) => (f64::from(limit) / norm(gradient)).min(1.0),
                    Clipping::GlobalNorm(limit) => (f64::from(limit) / whole).min(1.0),
                    _ => 1.0,
                };
                let (before, after) = (elements(tensor, &start), elements(tensor, &buffers.parameters));
                for ((before, after), g) in before.iter().zip(after).zip(gradient) {
                    let moved = match clipping {
                        Clipping::Value(limit) => g.clamp(-f64::from(limit), f64::from(limit)),
                        _ => factor * g,
                    };
                    let error = (before - moved - after).abs();
                    let allowed = 1e-6 * (moved.abs() + before.abs());
                    assert!(
                        error <= allowed,
                        "{name}, {isa}, {clipping:?}, {}: {before} - {moved} expected, found {after}",
                        tensor.name
                    );
                }
            }
        }
    }
}

#[test]
fn parameters_move_by_the_clipped_gradient() {
    for (name, graph) in by_hand() {
        for isa in Isa::available() {
            check(&name, &graph, isa);
        }
    }
}

/// A gradient that is not a number is neither hidden by a limit nor turned into a step of zeros.
#[test]
fn broken_gradients_stay_visible() {
    let graph = wide_and_deep();
    let plan = Plan::training(graph.network(), 4, 2);
    let context = Context { isa: Isa::detect(), plan: &plan, executor: &Serial::new(2) };
    let mut random = random(2);
    let start = parameters(&plan, &mut random, 0.0);
    let sample = Sample::new(&mut random, &plan, 4);
    let optimizer = Optimizer::Sgd(Sgd { learning_rate: 1.0 });
    for clipping in [Clipping::None, Clipping::Value(1.0), Clipping::Norm(1.0), Clipping::GlobalNorm(1.0)] {
        let mut buffers = Buffers::new(&plan, &optimizer, start.clone());
        buffers.parameters[graph.layers[3].bias.offset] = f32::NAN;
        let report = buffers.step(&context, Step { optimizer, clipping, noise: Noise::default() }, &sample.given().batch());
        assert!(report.loss_sum.is_nan() && report.outputs[0].loss_sum.is_nan() && report.outputs[1].loss_sum.is_finite());
        let first = graph.layers[0].kernel.of(&buffers.parameters);
        // The broken output does not reach the first layer but through the concatenation.
        assert!(first.row(0).iter().any(|w| w.is_nan()), "{clipping:?}");
    }
}
