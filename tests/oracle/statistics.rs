//! Moving statistics: training moves them by Keras' rule, and nothing else does.

use super::graphs::{by_hand, random_graph};
use super::truth::{minibatch, reference};
use super::{Buffers, Graph, Sample, bits, parameters, random, unpadded};
use selvedge::exec::{Clipping, Context, Noise, Step, gradients, update};
use selvedge::kernels::optimizers::{AdamSettings, Optimizer};
use selvedge::parallel::Serial;
use selvedge::plan::{Layer, Plan, Region};
use selvedge::simd::Isa;

const NOISE: Noise = Noise { seed: 2, step: 5, first_row: 0 };

fn moving(plan: &Plan<'_>) -> Vec<Region> {
    let tensors = plan.layers().iter().flat_map(Layer::tensors).filter(|tensor| !tensor.trainable);
    tensors.map(|tensor| tensor.region).filter(|region| !region.is_empty()).collect()
}

fn values(regions: &[Region], parameters: &[f32]) -> Vec<f32> {
    regions.iter().flat_map(|region| region.of(parameters).row(0)).copied().collect()
}

fn check(name: &str, graph: &Graph, rows: usize, isa: Isa) {
    let parts = 2;
    let plan = Plan::training(graph.network(), rows, parts);
    let regions = moving(&plan);
    if regions.is_empty() {
        return;
    }
    let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
    let mut random = random(1);
    let start = parameters(&plan, &mut random, f32::NAN);
    let sample = Sample::new(&mut random, &plan, rows);
    let given = sample.given();
    let mut truth = reference(&plan, &start);
    truth.move_statistics(&minibatch(&plan, &sample, Some(NOISE)));
    let expected: Vec<f64> =
        truth.layers.iter().flat_map(|layer| [&layer.moving_mean, &layer.moving_variance]).flatten().copied().collect();

    // With a weight decay, which is not for statistics.
    let optimizer = Optimizer::AdamW(AdamSettings::default().at_step_with_decay(1, 0.5));
    for clipping in [Clipping::None, Clipping::Value(0.1), Clipping::GlobalNorm(0.1)] {
        let step = Step { optimizer, clipping, noise: NOISE };
        let mut buffers = Buffers::new(&plan, &optimizer, start.clone());
        buffers.step(&context, step, &given.batch());
        let found = values(&regions, &buffers.parameters);
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 1e-6 * (1.0 + expected.abs()), "{name}, {isa}, {clipping:?}: {expected} expected, found {found}");
        }
    }

    // The gradient moves the statistics and nothing else; the update everything else.
    let mut buffers = Buffers::new(&plan, &optimizer, start.clone());
    gradients(&context, &NOISE, &given.batch(), &mut buffers.memory());
    let after = values(&regions, &buffers.parameters);
    assert_ne!(bits(&after), bits(&values(&regions, &start)), "{name}");
    let mut without = buffers.parameters.clone();
    for region in &regions {
        region.of_mut(&mut without).row_mut(0).copy_from_slice(region.of(&start).row(0));
    }
    assert_eq!(bits(&unpadded(&plan, &without)), bits(&unpadded(&plan, &start)), "{name}");
    update(&context, &Step { optimizer, clipping: Clipping::None, noise: NOISE }, &mut buffers.memory());
    assert_eq!(bits(&values(&regions, &buffers.parameters)), bits(&after), "{name}");
}

#[test]
fn statistics_move_by_the_rule_of_keras() {
    for (name, graph) in by_hand() {
        for isa in Isa::available() {
            for rows in [9, 2, 1] {
                check(&name, &graph, rows, isa);
            }
        }
    }
}

/// Wider than any block of columns that inference takes at a time, with statistics over rows in several shards.
#[test]
fn many_columns_and_rows() {
    use selvedge::plan::{Activation, BatchNorm, LayerSpec, Output, Value};
    let specs = [
        LayerSpec::dense(530, Activation::Relu).batch_norm(BatchNorm::KERAS),
        LayerSpec::dense(3, Activation::Softmax).of(Value::Layer(0)),
    ];
    let graph = Graph::arrange(&[6], &specs, &[Output::of(1)]).expect("a network");
    for isa in Isa::available() {
        check("530 columns", &graph, 70, isa);
    }
}

#[test]
fn statistics_of_random_graphs() {
    let isas: Vec<Isa> = Isa::available().collect();
    for seed in 0..200 {
        let graph = random_graph(&mut random(seed));
        check(&format!("graph {seed}"), &graph, 1 + seed as usize % 13, isas[seed as usize % isas.len()]);
    }
}
