//! The gradient of a training step against derivatives that come from dual numbers, and from back-propagation in `f64`.
//!
//! A step with a learning rate of 1 and no momentum leaves minus the gradient in the velocity, without any rounding.
//!
//! A derivative jumps where the input of a ReLU crosses 0, and there rounding decides on which side it is taken. So data is drawn
//! again until no such input is closer to 0 than [`KINK`]; the derivative at 0 itself has a test of its own.

use super::{Buffers, Data, Graph, Linear, Relu, Softmax, parameters, pick, random, random_chain, unpadded};
use rand::RngExt;
use rand_pcg::Pcg32;
use selvedge::exec::{Batch, Context};
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Optimizer, Sgd};
use selvedge::parallel::{Pool, Serial};
use selvedge::plan::{Activation, Layer, Plan};
use selvedge::reference::network::{self, Network};
use selvedge::simd::Isa;

/// Much more than the rounding error of a weighted sum, and rarely met.
const KINK: f64 = 1e-5;

/// Allowed error of a kernel's or a bias' gradient relative to its norm. To that comes the rounding unit of `f32` times the norm of
/// the whole gradient, because a layer's gradient can be small by cancellation. An element may be wrong by as much of itself, plus
/// its even share of what its kernel or bias may.
const TOLERANCE: f64 = 1e-5;

/// Parameters, or anything in their layout, as a reference network.
fn reference(layers: &[Layer], buffer: &[f32]) -> Network<f64> {
    let lift = |row: &[f32]| row.iter().copied().map(f64::from).collect();
    let dense = |layer: &Layer| network::Dense {
        kernel: (0..layer.in_dim).map(|i| lift(layer.kernel.of(buffer).row(i))).collect(),
        bias: lift(layer.bias.of(buffer).row(0)),
        activation: match layer.spec.activation {
            Relu => network::Activation::Relu,
            // The loss brings the softmax.
            _ => network::Activation::Linear,
        },
    };
    Network { layers: layers.iter().map(dense).collect() }
}

fn rows(data: &Data) -> Vec<Vec<f64>> {
    data.values.chunks(data.in_dim).map(|row| row.iter().copied().map(f64::from).collect()).collect()
}

/// The gradient that a training step computes.
fn gradient(context: &Context<'_>, batch: &Batch<'_>, parameters: &[f32]) -> Network<f64> {
    let plan = context.plan;
    let optimizer = Optimizer::Momentum(Momentum { learning_rate: 1.0, momentum: 0.0, kind: MomentumKind::Classic });
    let mut buffers = Buffers::new(plan, &optimizer, parameters.to_vec());
    buffers.step(context, optimizer, batch);
    let mut gradient = reference(plan.layers(), &buffers.state);
    gradient.parameters_mut().for_each(|g| *g = -*g);
    gradient
}

/// Parameters and data away from kinks.
fn problem(plan: &Plan<'_>, random: &mut Pcg32, rows_of_batch: usize) -> (Vec<f32>, Data) {
    for _ in 0..100 {
        let parameters = parameters(plan, random, f32::NAN);
        let data = Data::new(random, rows_of_batch, plan.in_dim(), plan.out_dim());
        if reference(plan.layers(), &parameters).distance_to_kink(&rows(&data)) > KINK {
            return (parameters, data);
        }
    }
    panic!("no data away from kinks");
}

fn norm<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values.into_iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn dot(a: &Network<f64>, b: &Network<f64>) -> f64 {
    a.parameters().zip(b.parameters()).map(|(a, b)| a * b).sum()
}

/// All kernels and biases, flat.
fn groups(network: &Network<f64>) -> Vec<(String, Vec<f64>)> {
    let named = |(l, layer): (usize, &network::Dense<f64>)| {
        [(format!("kernel {l}"), layer.kernel.concat()), (format!("bias {l}"), layer.bias.clone())]
    };
    network.layers.iter().enumerate().flat_map(named).collect()
}

/// Whether a gradient is the true one, within [`TOLERANCE`].
fn compare(found: &Network<f64>, truth: &Network<f64>) -> Result<(), String> {
    let whole = norm(&truth.parameters().collect::<Vec<_>>());
    for ((name, found), (_, truth)) in groups(found).iter().zip(groups(truth)) {
        let size = norm(&truth);
        let error = norm(&found.iter().zip(&truth).map(|(found, truth)| found - truth).collect::<Vec<_>>());
        let allowed = TOLERANCE * size + f64::from(f32::EPSILON) * whole;
        if error.is_nan() || error > allowed {
            return Err(format!("{name}: norm {size:e}, error {error:e}, allowed {allowed:e}"));
        }
        let share = allowed / (truth.len() as f64).sqrt();
        for (i, (found, truth)) in found.iter().zip(&truth).enumerate() {
            let allowed = TOLERANCE * truth.abs() + share;
            if (found - truth).abs() > allowed {
                return Err(format!("{name}, element {i}: {truth:e} expected, found {found:e}, allowed {allowed:e}"));
            }
        }
    }
    Ok(())
}

/// A direction of random signs.
fn direction(like: &Network<f64>, random: &mut Pcg32) -> Network<f64> {
    let mut direction = like.clone();
    direction.parameters_mut().for_each(|v| *v = if random.random_bool(0.5) { 1.0 } else { -1.0 });
    direction
}

/// The derivative in a direction, by dual numbers.
fn derivative(network: &Network<f64>, direction: &Network<f64>, data: &Data) -> f64 {
    network.toward(direction).loss(&rows(data), &data.labels).derivative
}

/// All derivatives, by dual numbers, one parameter at a time.
fn derivatives(network: &Network<f64>, data: &Data) -> Network<f64> {
    let mut nowhere = network.clone();
    nowhere.parameters_mut().for_each(|v| *v = 0.0);
    let mut all = nowhere.clone();
    for (i, result) in all.parameters_mut().enumerate() {
        let mut direction = nowhere.clone();
        *direction.parameters_mut().nth(i).expect("as many parameters") = 1.0;
        *result = derivative(network, &direction, data);
    }
    all
}

struct Case {
    in_dim: usize,
    specs: &'static [(usize, Activation)],
    batch: usize,
    parts: usize,
}

/// One layer and more, widths around a vector, hidden layers with and without ReLU, single rows, parts of unequal size and empty.
const SMALL: &[Case] = &[
    Case { in_dim: 3, specs: &[(2, Softmax)], batch: 1, parts: 1 },
    Case { in_dim: 7, specs: &[(5, Linear)], batch: 6, parts: 4 },
    Case { in_dim: 1, specs: &[(1, Relu), (2, Softmax)], batch: 5, parts: 2 },
    Case { in_dim: 5, specs: &[(17, Relu), (3, Softmax)], batch: 7, parts: 3 },
    Case { in_dim: 6, specs: &[(16, Linear), (4, Softmax)], batch: 4, parts: 2 },
    Case { in_dim: 9, specs: &[(15, Relu), (13, Linear), (7, Relu), (6, Softmax)], batch: 17, parts: 5 },
    Case { in_dim: 4, specs: &[(33, Relu), (2, Relu), (19, Softmax)], batch: 3, parts: 7 },
    // The loss takes any outputs for logits, also those of a ReLU.
    Case { in_dim: 4, specs: &[(8, Relu), (18, Relu)], batch: 5, parts: 2 },
    Case { in_dim: 4, specs: &[(5, Relu)], batch: 5, parts: 2 },
];

#[test]
fn every_element_of_small_networks() {
    let mut random = random(1);
    for (i, case) in SMALL.iter().enumerate() {
        let graph = Graph::chain(case.in_dim, case.specs);
        let plan = Plan::training(graph.network(), case.batch, case.parts);
        let (parameters, data) = problem(&plan, &mut random, case.batch);
        let truth = derivatives(&reference(&graph.layers, &parameters), &data);
        for isa in Isa::available() {
            let context = Context { isa, plan: &plan, executor: &Serial::new(case.parts) };
            compare(&gradient(&context, &data.one().batch(), &parameters), &truth)
                .unwrap_or_else(|e| panic!("case {i}, {isa}: {e}"));
        }
    }
}

#[test]
fn directions_and_elements_of_the_fashion_network() {
    let mut random = random(2);
    let graph = Graph::chain(784, &[(300, Relu), (100, Relu), (10, Softmax)]);
    let plan = Plan::training(graph.network(), 8, 3);
    let (parameters, data) = problem(&plan, &mut random, 8);
    let network = reference(&graph.layers, &parameters);
    let truth = network.gradient(&rows(&data), &data.labels);
    let size = norm(&truth.parameters().collect::<Vec<_>>());
    let found: Vec<_> = Isa::available()
        .map(|isa| gradient(&Context { isa, plan: &plan, executor: &Serial::new(3) }, &data.one().batch(), &parameters))
        .collect();
    for _ in 0..3 {
        let v = direction(&network, &mut random);
        let expected = derivative(&network, &v, &data);
        assert!((dot(&v, &truth) - expected).abs() <= 1e-12 * size, "{expected:e} expected, found {:e}", dot(&v, &truth));
        for (isa, found) in Isa::available().zip(&found) {
            let error = (dot(&v, found) - expected).abs();
            assert!(error <= TOLERANCE * size, "{isa}: {expected:e} expected, error {error:e}, norm {size:e}");
        }
    }
    for (isa, found) in Isa::available().zip(&found) {
        compare(found, &truth).unwrap_or_else(|e| panic!("{isa}: {e}"));
    }
}

#[test]
fn random_networks() {
    let isas: Vec<Isa> = Isa::available().collect();
    for seed in 0..1000 {
        let random = &mut random(seed);
        let graph = random_chain(random);
        let (batch, parts) = (random.random_range(1..=20), random.random_range(1..=8));
        let plan = Plan::training(graph.network(), batch, parts);
        let rows_of_batch = random.random_range(1..=batch);
        let (parameters, data) = problem(&plan, random, rows_of_batch);
        let network = reference(&graph.layers, &parameters);
        let truth = network.gradient(&rows(&data), &data.labels);
        let v = direction(&network, random);
        let (expected, along) = (derivative(&network, &v, &data), dot(&v, &truth));
        let size = norm(&truth.parameters().collect::<Vec<_>>());
        assert!((along - expected).abs() <= 1e-12 * size, "seed {seed}: {expected:e} expected, found {along:e}");
        let isa = *pick(random, &isas);
        let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
        let found = gradient(&context, &data.one().batch(), &parameters);
        compare(&found, &truth).unwrap_or_else(|e| panic!("seed {seed}, {isa}, {batch} rows, {parts} parts: {e}\n{graph:?}"));
    }
}

/// Back-propagation in `f64` is right in every element, so it may stand in for dual numbers where there are too many.
#[test]
fn back_propagation_of_the_reference() {
    let mut random = random(3);
    for (i, case) in SMALL.iter().enumerate() {
        let graph = Graph::chain(case.in_dim, case.specs);
        let plan = Plan::training(graph.network(), case.batch, case.parts);
        let (parameters, data) = problem(&plan, &mut random, case.batch);
        let network = reference(&graph.layers, &parameters);
        let truth = derivatives(&network, &data);
        let found = network.gradient(&rows(&data), &data.labels);
        let size = norm(&truth.parameters().collect::<Vec<_>>());
        for (j, (found, truth)) in found.parameters().zip(truth.parameters()).enumerate() {
            assert!((found - truth).abs() <= 1e-12 * size, "case {i}, parameter {j}: {truth:e} expected, found {found:e}");
        }
    }
}

/// At a weighted sum of exactly 0 a ReLU is off, and off means zero gradients, not small ones.
#[test]
fn the_derivative_at_a_kink_is_zero() {
    let graph = Graph::chain(5, &[(20, Relu), (3, Softmax)]);
    let plan = Plan::training(graph.network(), 4, 2);
    let mut random = random(4);
    let mut parameters = parameters(&plan, &mut random, 0.0);
    parameters[..graph.layers[0].bias.end()].fill(0.0);
    let data = Data::new(&mut random, 4, 5, 3);
    let truth = reference(&graph.layers, &parameters).gradient(&rows(&data), &data.labels);
    for isa in Isa::available() {
        let found = gradient(&Context { isa, plan: &plan, executor: &Serial::new(2) }, &data.one().batch(), &parameters);
        assert!(found.layers[0].rows().flatten().all(|&g| g == 0.0), "{isa}");
        compare(&found, &truth).unwrap_or_else(|e| panic!("{isa}: {e}"));
    }
}

/// Every rule moves the weights by the gradient that the velocity shows.
#[test]
fn every_optimizer_uses_the_same_gradient() {
    let graph = Graph::chain(9, &[(17, Relu), (4, Softmax)]);
    let plan = Plan::training(graph.network(), 6, 2);
    let mut random = random(5);
    let (parameters, data) = problem(&plan, &mut random, 6);
    for isa in Isa::available() {
        let context = Context { isa, plan: &plan, executor: &Serial::new(2) };
        let gradient: Vec<f32> = gradient(&context, &data.one().batch(), &parameters).parameters().map(|g| g as f32).collect();
        let learning_rate = 0.1;
        let nesterov = Momentum { learning_rate, momentum: 0.5, kind: MomentumKind::Nesterov };
        let classic = Momentum { kind: MomentumKind::Classic, ..nesterov };
        // With a velocity of zero at the start: by what share of the plain step each rule moves.
        for (optimizer, share) in [
            (Optimizer::Sgd(Sgd { learning_rate }), 1.0),
            (Optimizer::Momentum(classic), 1.0),
            (Optimizer::Momentum(nesterov), 1.5),
        ] {
            let mut buffers = Buffers::new(&plan, &optimizer, parameters.clone());
            buffers.step(&context, optimizer, &data.one().batch());
            let (before, after) = (unpadded(&plan, &parameters), unpadded(&plan, &buffers.parameters));
            for ((before, after), g) in before.iter().zip(after).zip(&gradient) {
                // The product by 1.5 is the only rounding that the rule may place elsewhere.
                let expected = before + share * (-learning_rate * g);
                assert!(
                    (after - expected).abs() <= f32::EPSILON * expected.abs(),
                    "{optimizer:?}: {expected} expected, found {after}"
                );
            }
        }
    }
}

#[test]
fn two_threads_compute_the_same_gradient() {
    let mut random = random(6);
    let graph = Graph::chain(20, &[(30, Relu), (5, Softmax)]);
    let plan = Plan::training(graph.network(), 9, 2);
    let (parameters, data) = problem(&plan, &mut random, 9);
    let truth = derivatives(&reference(&graph.layers, &parameters), &data);
    Pool::new(2).expect("threads").team(|team| {
        let context = Context { isa: Isa::detect(), plan: &plan, executor: team };
        compare(&gradient(&context, &data.one().batch(), &parameters), &truth).unwrap_or_else(|e| panic!("{e}"));
    });
}

/// The comparison refuses one element that is off by a thousandth, wherever it is not negligible, and NaN anywhere.
#[test]
fn a_wrong_gradient_is_refused() {
    let graph = Graph::chain(6, &[(9, Relu), (4, Softmax)]);
    let plan = Plan::training(graph.network(), 5, 1);
    let (parameters, data) = problem(&plan, &mut random(7), 5);
    let truth = reference(&graph.layers, &parameters).gradient(&rows(&data), &data.labels);
    compare(&truth, &truth).expect("equal gradients");
    let size = norm(&truth.parameters().collect::<Vec<_>>()) / (plan.parameter_count() as f64).sqrt();
    let mut tried = 0;
    for i in 0..plan.parameter_count() {
        let mut wrong = truth.clone();
        let element = wrong.parameters_mut().nth(i).expect("as many parameters");
        if element.abs() >= 0.1 * size {
            *element *= 1.001;
            tried += 1;
            compare(&wrong, &truth).expect_err("an element off by a thousandth");
        }
        *wrong.parameters_mut().nth(i).expect("as many parameters") = f64::NAN;
        compare(&wrong, &truth).expect_err("NaN");
    }
    assert!(tried > plan.parameter_count() / 2, "only {tried} elements");
}
