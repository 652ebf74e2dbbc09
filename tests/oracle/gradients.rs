//! The gradient of a training step against derivatives that come from dual numbers, and from back-propagation in `f64`.
//!
//! A step with a learning rate of 1 and no momentum leaves minus the gradient in the velocity, without any rounding.
//!
//! A derivative jumps where the input of a ReLU crosses 0, and there rounding decides on which side it is taken. So data is drawn
//! again until nothing is closer to such a place than [`KINK`]; the derivative at 0 itself has a test of its own.

use super::graphs::{by_hand, random_graph};
use super::truth::{minibatch, reference};
use super::{Buffers, Graph, Linear, Relu, Sample, Softmax, parameters, pick, random, random_chain, unpadded};
use rand::RngExt;
use rand_pcg::Pcg32;
use selvedge::exec::{Batch, Context, Noise, Step, gradients};
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Optimizer, Sgd};
use selvedge::parallel::{Pool, Serial};
use selvedge::plan::{Activation, Plan};
use selvedge::reference::network::{Minibatch, Network};
use selvedge::simd::Isa;

/// Much more than the rounding error of a weighted sum, and rarely met.
const KINK: f64 = 1e-4;

/// The random numbers of dropout in all of these steps.
const NOISE: Noise = Noise { seed: 0x0123_4567_89ab_cdef, step: 7, first_row: 0 };

/// Allowed error of a kernel's or a bias' gradient relative to its norm. To that comes the rounding unit of `f32` times the norm of
/// the whole gradient, because a layer's gradient can be small by cancellation. An element may be wrong by as much of itself, plus
/// its even share of what its kernel or bias may. With a normalization it is sixteen rounding units, of the norm of what the gradient
/// would be with constant statistics: most of that cancels, and its rounding errors stay.
const TOLERANCE: f64 = 1e-5;

/// The gradient that a training step computes: what an optimizer is given, which must be what [`gradients`] stores, bit for bit.
fn gradient(context: &Context<'_>, batch: &Batch<'_>, parameters: &[f32]) -> Network<f64> {
    let plan = context.plan;
    let optimizer = Optimizer::Momentum(Momentum { learning_rate: 1.0, momentum: 0.0, kind: MomentumKind::Classic });
    let mut buffers = Buffers::new(plan, &optimizer, parameters.to_vec());
    let report = gradients(context, &NOISE, batch, &mut buffers.memory());
    let stored = reference(plan, &buffers.gradients);
    buffers.parameters.copy_from_slice(parameters);
    assert_eq!(buffers.step(context, Step { noise: NOISE, ..optimizer.into() }, batch), report);
    let mut gradient = reference(plan, &buffers.state);
    gradient.parameters_mut().for_each(|g| *g = -*g);
    for (i, (stored, used)) in stored.parameters().zip(gradient.parameters()).enumerate() {
        assert!(stored == used, "element {i}: {stored:e} stored, {used:e} used");
    }
    gradient
}

/// Parameters and data away from kinks.
fn problem(plan: &Plan<'_>, random: &mut Pcg32, rows: usize) -> (Vec<f32>, Sample, Minibatch) {
    for _ in 0..300 {
        let parameters = parameters(plan, random, f32::NAN);
        let sample = Sample::new(random, plan, rows);
        let batch = minibatch(plan, &sample, Some(NOISE));
        if reference(plan, &parameters).distance_to_kink(&batch) > KINK {
            return (parameters, sample, batch);
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

/// All tensors of parameters, flat.
fn tensors(network: &Network<f64>) -> Vec<(String, Vec<f64>)> {
    let layers = network.layers.iter().enumerate().flat_map(|(l, layer)| {
        let tensors = [&layer.kernel.concat(), &layer.bias, &layer.gamma, &layer.beta, &layer.alpha].map(Clone::clone);
        ["kernel", "bias", "gamma", "beta", "alpha"].map(|name| format!("{name} {l}")).into_iter().zip(tensors)
    });
    layers.filter(|(_, tensor)| !tensor.is_empty()).collect()
}

/// What a gradient is compared with.
struct Truth {
    gradient: Network<f64>,
    /// The norm of all of it, or of what cancels to it.
    size: f64,
    /// How much of that rounding may leave.
    rounding: f64,
}

impl Truth {
    /// By back-propagation in `f64`.
    fn new(network: &Network<f64>, batch: &Minibatch) -> Self {
        let norm = |gradient: &Network<f64>| norm(&gradient.parameters().collect::<Vec<_>>());
        let gradient = network.gradient(batch);
        let size = norm(&gradient).max(norm(&network.gradient_with_constant_statistics(batch)));
        let is_normalized = network.layers.iter().any(|layer| layer.spec.normalization.is_some());
        Self { gradient, size, rounding: f64::from(f32::EPSILON) * if is_normalized { 16.0 } else { 1.0 } }
    }

    /// Whether a gradient is the true one, within [`TOLERANCE`].
    fn compare(&self, found: &Network<f64>) -> Result<(), String> {
        for ((name, found), (_, truth)) in tensors(found).iter().zip(tensors(&self.gradient)) {
            let size = norm(&truth);
            let error = norm(&found.iter().zip(&truth).map(|(found, truth)| found - truth).collect::<Vec<_>>());
            let allowed = TOLERANCE * size + self.rounding * self.size;
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
}

/// A direction of random signs.
fn direction(like: &Network<f64>, random: &mut Pcg32) -> Network<f64> {
    let mut direction = like.clone();
    direction.parameters_mut().for_each(|v| *v = if random.random_bool(0.5) { 1.0 } else { -1.0 });
    direction
}

/// The derivative in a direction, by dual numbers.
fn derivative(network: &Network<f64>, direction: &Network<f64>, batch: &Minibatch) -> f64 {
    network.toward(direction).loss(batch).derivative
}

/// All derivatives, by dual numbers, one parameter at a time.
fn derivatives(network: &Network<f64>, batch: &Minibatch) -> Network<f64> {
    let mut nowhere = network.clone();
    nowhere.parameters_mut().for_each(|v| *v = 0.0);
    let mut all = nowhere.clone();
    for (i, result) in all.parameters_mut().enumerate() {
        let mut direction = nowhere.clone();
        *direction.parameters_mut().nth(i).expect("as many parameters") = 1.0;
        *result = derivative(network, &direction, batch);
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

/// Every element by dual numbers; back-propagation in `f64` has to find the same, so that it may stand in for dual numbers where there
/// are too many.
fn check_every_element(name: &str, graph: &Graph, (batch, parts): (usize, usize), random: &mut Pcg32) {
    let plan = Plan::training(graph.network(), batch, parts);
    let (parameters, sample, minibatch) = problem(&plan, random, batch);
    let network = reference(&plan, &parameters);
    let (by_duals, truth) = (derivatives(&network, &minibatch), Truth::new(&network, &minibatch));
    for (i, (found, expected)) in truth.gradient.parameters().zip(by_duals.parameters()).enumerate() {
        assert!((found - expected).abs() <= 1e-12 * truth.size, "{name}: {i}: {expected:e} expected, back-propagated {found:e}");
    }
    let truth = Truth { gradient: by_duals, ..truth };
    for isa in Isa::available() {
        let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
        let found = gradient(&context, &sample.given().batch(), &parameters);
        truth.compare(&found).unwrap_or_else(|e| panic!("{name}, {batch} rows, {parts} parts, {isa}: {e}\n{graph:?}"));
    }
}

#[test]
fn every_element_of_small_chains() {
    let mut random = random(1);
    for (i, case) in SMALL.iter().enumerate() {
        let graph = Graph::chain(case.in_dim, case.specs);
        check_every_element(&format!("case {i}"), &graph, (case.batch, case.parts), &mut random);
    }
}

/// Graphs by hand on five rows in two parts, and on one row in three, where normalizations let nothing pass back.
#[test]
fn every_element_of_graphs() {
    let mut random = random(11);
    for (name, graph) in by_hand() {
        check_every_element(&name, &graph, (5, 2), &mut random);
        check_every_element(&name, &graph, (1, 3), &mut random);
    }
}

#[test]
fn directions_and_elements_of_the_fashion_network() {
    let mut random = random(2);
    let graph = Graph::chain(784, &[(300, Relu), (100, Relu), (10, Softmax)]);
    let plan = Plan::training(graph.network(), 8, 3);
    let (parameters, sample, minibatch) = problem(&plan, &mut random, 8);
    let network = reference(&plan, &parameters);
    let truth = Truth::new(&network, &minibatch);
    let found: Vec<_> = Isa::available()
        .map(|isa| gradient(&Context { isa, plan: &plan, executor: &Serial::new(3) }, &sample.given().batch(), &parameters))
        .collect();
    for _ in 0..3 {
        let v = direction(&network, &mut random);
        let (expected, along) = (derivative(&network, &v, &minibatch), dot(&v, &truth.gradient));
        assert!((along - expected).abs() <= 1e-12 * truth.size, "{expected:e} expected, found {along:e}");
        for (isa, found) in Isa::available().zip(&found) {
            let error = (dot(&v, found) - expected).abs();
            assert!(error <= TOLERANCE * truth.size, "{isa}: {expected:e} expected, error {error:e}, norm {:e}", truth.size);
        }
    }
    for (isa, found) in Isa::available().zip(&found) {
        truth.compare(found).unwrap_or_else(|e| panic!("{isa}: {e}"));
    }
}

/// A random minibatch of a random network: back-propagation in `f64` against dual numbers in one direction, and every element of the
/// step's gradient against back-propagation.
fn check_at_random(seed: u64, graph: &Graph, random: &mut Pcg32) {
    let isas: Vec<Isa> = Isa::available().collect();
    let (batch, parts) = (random.random_range(1..=20), random.random_range(1..=8));
    let plan = Plan::training(graph.network(), batch, parts);
    let rows = random.random_range(1..=batch);
    let (parameters, sample, minibatch) = problem(&plan, random, rows);
    let network = reference(&plan, &parameters);
    let truth = Truth::new(&network, &minibatch);
    let v = direction(&network, random);
    let (expected, along) = (derivative(&network, &v, &minibatch), dot(&v, &truth.gradient));
    assert!((along - expected).abs() <= 1e-12 * truth.size, "seed {seed}: {expected:e} expected, found {along:e}\n{graph:?}");
    let isa = *pick(random, &isas);
    let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
    let found = gradient(&context, &sample.given().batch(), &parameters);
    let case = format_args!("seed {seed}, {isa}, {rows} of {batch} rows, {parts} parts");
    truth.compare(&found).unwrap_or_else(|e| panic!("{case}: {e}\n{graph:?}"));
}

#[test]
fn random_chains() {
    for seed in 0..1000 {
        let random = &mut random(seed);
        check_at_random(seed, &random_chain(random), random);
    }
}

#[test]
fn random_graphs() {
    for seed in 0..1000 {
        let random = &mut random(seed);
        check_at_random(seed, &random_graph(random), random);
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
    let sample = Sample::new(&mut random, &plan, 4);
    let truth = Truth::new(&reference(&plan, &parameters), &minibatch(&plan, &sample, None));
    for isa in Isa::available() {
        let context = Context { isa, plan: &plan, executor: &Serial::new(2) };
        let found = gradient(&context, &sample.given().batch(), &parameters);
        assert!(found.layers[0].rows().flatten().all(|&g| g == 0.0), "{isa}");
        truth.compare(&found).unwrap_or_else(|e| panic!("{isa}: {e}"));
    }
}

/// Every rule moves the weights by the gradient that the velocity shows.
#[test]
fn every_optimizer_uses_the_same_gradient() {
    let graph = Graph::chain(9, &[(17, Relu), (4, Softmax)]);
    let plan = Plan::training(graph.network(), 6, 2);
    let mut random = random(5);
    let (parameters, sample, _) = problem(&plan, &mut random, 6);
    let given = sample.given();
    for isa in Isa::available() {
        let context = Context { isa, plan: &plan, executor: &Serial::new(2) };
        let gradient: Vec<f32> = gradient(&context, &given.batch(), &parameters).parameters().map(|g| g as f32).collect();
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
            buffers.step(&context, optimizer, &given.batch());
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
    let (parameters, sample, minibatch) = problem(&plan, &mut random, 9);
    let network = reference(&plan, &parameters);
    let truth = Truth { gradient: derivatives(&network, &minibatch), ..Truth::new(&network, &minibatch) };
    Pool::new(2).expect("threads").team(|team| {
        let context = Context { isa: Isa::detect(), plan: &plan, executor: team };
        truth.compare(&gradient(&context, &sample.given().batch(), &parameters)).unwrap_or_else(|e| panic!("{e}"));
    });
}

/// The comparison refuses one element that is off by a thousandth, wherever it is not negligible, and NaN anywhere.
#[test]
fn a_wrong_gradient_is_refused() {
    for graph in [Graph::chain(6, &[(9, Relu), (4, Softmax)]), super::graphs::wide_and_deep()] {
        let plan = Plan::training(graph.network(), 5, 1);
        let (parameters, _, minibatch) = problem(&plan, &mut random(7), 5);
        let truth = Truth::new(&reference(&plan, &parameters), &minibatch);
        let right = &truth.gradient;
        truth.compare(right).expect("equal gradients");
        let size = norm(&right.parameters().collect::<Vec<_>>()) / (plan.parameter_count() as f64).sqrt();
        let (mut large, mut refused) = (0, 0);
        for i in 0..plan.parameter_count() {
            let mut wrong = right.clone();
            let element = wrong.parameters_mut().nth(i).expect("as many parameters");
            if element.abs() >= 0.1 * size {
                *element *= 1.001;
                large += 1;
                refused += usize::from(truth.compare(&wrong).is_err());
            }
            *wrong.parameters_mut().nth(i).expect("as many parameters") = f64::NAN;
            truth.compare(&wrong).expect_err("NaN");
        }
        assert!(large > plan.parameter_count() / 3 && refused == large, "{refused} of {large} refused");
    }
}
