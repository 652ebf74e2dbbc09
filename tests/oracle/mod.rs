//! Networks, data and buffers for the tests of whole steps.

mod clipping;
mod determinism;
mod executors;
mod gradients;
mod graphs;
mod inference;
mod places;
mod plan;
mod refusals;
mod same_bits;
mod statistics;
mod truth;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use selvedge::error::PlanError;
use selvedge::exec::{Batch, Context, Inputs, Report, Step, Targets, train_step};
use selvedge::kernels::MatRef;
use selvedge::kernels::gather::Scaling;
use selvedge::kernels::optimizers::Optimizer;
use selvedge::plan::{Activation, Input, Layer, LayerSpec, Loss, Memory, Network, Output, Plan, Region, Value, arrange};

use Activation::{Linear, Relu, Softmax};

/// Reproducible random numbers.
fn random(seed: u64) -> Pcg32 {
    Pcg32::seed_from_u64(seed)
}

/// An arranged network with its own memory.
#[derive(Clone, Debug)]
struct Graph {
    inputs: Vec<Input>,
    layers: Vec<Layer>,
    outputs: Vec<Output>,
}

impl Graph {
    /// Inputs of these numbers of columns, and layers.
    fn arrange(inputs: &[usize], specs: &[LayerSpec], outputs: &[Output]) -> Result<Self, PlanError> {
        let mut inputs: Vec<Input> = inputs.iter().copied().map(Input::new).collect();
        let mut layers = vec![Layer::EMPTY; specs.len()];
        arrange(&mut inputs, specs, outputs, &mut layers)?;
        Network::new(&inputs, &layers, outputs)?;
        Ok(Self { inputs, layers, outputs: outputs.to_vec() })
    }

    /// Dense layers that follow each other, to classify with.
    fn chain(in_dim: usize, specs: &[(usize, Activation)]) -> Self {
        let before = |i: usize| i.checked_sub(1).map_or(Value::Input(0), Value::Layer);
        let specs = specs.iter().enumerate().map(|(i, &(units, activation))| LayerSpec::dense(units, activation).of(before(i)));
        let specs: Vec<LayerSpec> = specs.collect();
        Self::arrange(&[in_dim], &specs, &[Output::of(specs.len() - 1)]).expect("a network that can be planned")
    }

    fn network(&self) -> Network<'_> {
        Network::new(&self.inputs, &self.layers, &self.outputs).expect("a network that has been checked")
    }
}

/// A random chain of up to four layers of up to 40 units.
fn random_chain(random: &mut Pcg32) -> Graph {
    let hidden = random.random_range(0..4);
    let mut specs: Vec<_> = (0..hidden).map(|_| (random.random_range(1..=40), *pick(random, &[Linear, Relu, Relu]))).collect();
    specs.push((random.random_range(1..=20), *pick(random, &[Linear, Relu, Softmax, Softmax])));
    Graph::chain(random.random_range(1..=40), &specs)
}

fn pick<'a, T>(random: &mut Pcg32, choices: &'a [T]) -> &'a T {
    &choices[random.random_range(0..choices.len())]
}

/// Random parameters that keep the size of what passes through; `padding` everywhere else.
fn parameters(plan: &Plan<'_>, random: &mut Pcg32, padding: f32) -> Vec<f32> {
    let mut buffer = vec![padding; plan.parameters_len()];
    for layer in plan.layers() {
        let bound = (6.0 / (layer.in_dim + layer.out_dim) as f32).sqrt();
        for tensor in layer.tensors().into_iter().filter(|tensor| !tensor.region.is_empty()) {
            let range = match tensor.name {
                "kernel" => -bound..bound,
                "bias" => -0.1..0.1,
                "gamma" | "moving_variance" => 0.5..1.5,
                _ => -0.5..0.5,
            };
            let mut matrix = tensor.region.of_mut(&mut buffer);
            for i in 0..tensor.region.rows {
                matrix.row_mut(i).fill_with(|| random.random_range(range.clone()));
            }
        }
    }
    buffer
}

/// Everything in a layout of parameters but padding: of each layer kernel, bias, gamma, beta, moving statistics and alpha.
fn regions(plan: &Plan<'_>) -> impl Iterator<Item = Region> {
    plan.layers().iter().flat_map(Layer::tensors).map(|tensor| tensor.region).filter(|region| !region.is_empty())
}

/// Parameters without their padding.
fn unpadded(plan: &Plan<'_>, buffer: &[f32]) -> Vec<f32> {
    regions(plan).flat_map(|region| (0..region.rows).flat_map(move |i| region.of(buffer).row(i))).copied().collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The hash of some words (64 bits, FNV-1a by whole words), to be written down: it is the same in every version of everything.
fn hash(words: impl IntoIterator<Item = u32>) -> u64 {
    words.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Rows of bytes, the same as numbers from 0 to 1, and a class for each.
struct Data {
    in_dim: usize,
    bytes: Vec<u8>,
    values: Vec<f32>,
    labels: Vec<u32>,
}

impl Data {
    fn new(random: &mut Pcg32, rows: usize, in_dim: usize, classes: usize) -> Self {
        let bytes: Vec<u8> = (0..rows * in_dim).map(|_| random.random_range(0..=255)).collect();
        let values = bytes.iter().map(|&byte| f32::from(byte) * (1.0 / 255.0)).collect();
        let labels = (0..rows).map(|_| random.random_range(0..classes as u32)).collect();
        Self { in_dim, bytes, values, labels }
    }

    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn matrix(&self) -> MatRef<'_> {
        MatRef::new(&self.values, self.rows(), self.in_dim, self.in_dim)
    }

    /// What a network with one input and one output is given.
    fn given(&self) -> Given<'_> {
        Given::one(Inputs::Rows(self.matrix()), &self.labels)
    }
}

/// What makes a [`Batch`], which borrows it.
#[derive(Clone)]
struct Given<'a> {
    inputs: Vec<Inputs<'a>>,
    targets: Vec<Targets<'a>>,
    weights: Option<&'a [f32]>,
}

impl<'a> Given<'a> {
    /// For a network with one input and one output, which classifies.
    fn one(inputs: Inputs<'a>, labels: &'a [u32]) -> Self {
        Self { inputs: vec![inputs], targets: vec![Targets::Labels(labels)], weights: None }
    }

    fn batch(&self) -> Batch<'_> {
        Batch { inputs: &self.inputs, targets: &self.targets, weights: self.weights }
    }
}

/// Where the rows of a minibatch come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Rows,
    /// In rows that are longer than the data, with NaN behind it.
    PaddedRows,
    Gathered,
    Bytes,
}

/// What a run leaves to vary; the results of all these must be equal.
#[derive(Clone, Copy, Debug)]
struct Setting {
    source: Source,
    workspace: f32,
    /// The padding of parameters and of the optimizer's state.
    padding: f32,
}

const PLAIN: Setting = Setting { source: Source::Rows, workspace: 0.0, padding: 0.0 };

/// Numbers for some columns of all rows, in each of the forms that they can be given in.
#[derive(Debug)]
struct Columns {
    columns: usize,
    values: Vec<f32>,
    padded: Vec<f32>,
    /// With the rows in reverse, so that an order that is ignored shows.
    reversed: Vec<f32>,
    reversed_bytes: Vec<u8>,
}

impl Columns {
    const PADDING: usize = 5;

    /// Bytes, and the same as numbers from 0 to 1.
    fn new(rows: usize, columns: usize, mut byte: impl FnMut(usize, usize) -> u8) -> Self {
        let element = |i: usize| byte(i / columns, i % columns);
        let bytes: Vec<u8> = (0..rows * columns).map(element).collect();
        let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * (1.0 / 255.0)).collect();
        let padded = values.chunks(columns).flat_map(|row| row.iter().copied().chain([f32::NAN; Self::PADDING])).collect();
        let reversed = values.chunks(columns).rev().flatten().copied().collect();
        let reversed_bytes = bytes.chunks(columns).rev().flatten().copied().collect();
        Self { columns, values, padded, reversed, reversed_bytes }
    }

    fn matrix<'a>(&self, data: &'a [f32], leading_dimension: usize) -> MatRef<'a> {
        MatRef::new(data, data.len() / leading_dimension, self.columns, leading_dimension)
    }

    fn rows(&self) -> MatRef<'_> {
        self.matrix(&self.values, self.columns)
    }

    fn padded_rows(&self) -> MatRef<'_> {
        self.matrix(&self.padded, self.columns + Self::PADDING)
    }

    fn reversed_rows(&self) -> MatRef<'_> {
        self.matrix(&self.reversed, self.columns)
    }
}

/// A minibatch for any network.
struct Sample {
    inputs: Vec<Columns>,
    /// Of each output, as a number for each column.
    targets: Vec<Columns>,
    /// Of each output, the class that has the probability 1 in [`Sample::targets`], for losses that take it.
    labels: Vec<Vec<u32>>,
    takes_labels: Vec<bool>,
    weights: Option<Vec<f32>>,
    order: Vec<u32>,
}

impl Sample {
    fn new(random: &mut Pcg32, plan: &Plan<'_>, rows: usize) -> Self {
        let inputs = plan.inputs().iter().map(|input| Columns::new(rows, input.columns, |_, _| random.random()));
        let inputs = inputs.collect();
        let (mut targets, mut labels, mut takes_labels) = (Vec::new(), Vec::new(), Vec::new());
        for output in plan.outputs() {
            let columns = plan.layers()[output.layer].out_dim;
            let classes: Vec<u32> = (0..rows).map(|_| random.random_range(0..columns as u32)).collect();
            targets.push(Columns::new(rows, columns, |i, j| match output.loss {
                Loss::SparseCategoricalCrossentropy { .. } => {
                    if classes[i] as usize == j {
                        255
                    } else {
                        0
                    }
                }
                _ => random.random(),
            }));
            labels.push(classes);
            takes_labels.push(output.loss.takes_labels());
        }
        let weights = random.random_bool(0.5).then(|| {
            let weight = |i| if i % 5 == 3 { 0.0 } else { random.random_range(0.0..2.0) };
            (0..rows).map(weight).collect()
        });
        Self { inputs, targets, labels, takes_labels, weights, order: (0..rows as u32).rev().collect() }
    }

    fn rows(&self) -> usize {
        self.order.len()
    }

    fn given(&self) -> Given<'_> {
        self.given_from(Source::Rows)
    }

    fn given_from(&self, source: Source) -> Given<'_> {
        let order = &self.order;
        let inputs = self.inputs.iter().map(|input| match source {
            Source::Rows => Inputs::Rows(input.rows()),
            Source::PaddedRows => Inputs::Rows(input.padded_rows()),
            Source::Gathered => Inputs::Gathered { rows: input.reversed_rows(), order },
            Source::Bytes => Inputs::Bytes { rows: &input.reversed_bytes, order, scaling: Scaling::UNIT },
        });
        let targets =
            self.targets.iter().zip(&self.labels).zip(&self.takes_labels).map(|((targets, labels), takes_labels)| match source {
                _ if *takes_labels => Targets::Labels(labels),
                Source::Rows => Targets::Rows(targets.rows()),
                Source::PaddedRows => Targets::Rows(targets.padded_rows()),
                Source::Gathered | Source::Bytes => Targets::Gathered { rows: targets.reversed_rows(), order },
            });
        Given { inputs: inputs.collect(), targets: targets.collect(), weights: self.weights.as_deref() }
    }
}

/// What a network is trained in.
struct Buffers {
    parameters: Vec<f32>,
    state: Vec<f32>,
    gradients: Vec<f32>,
    workspace: Vec<f32>,
}

impl Buffers {
    /// With a state of zeros, and gradients and a workspace of anything.
    fn new(plan: &Plan<'_>, optimizer: &Optimizer, parameters: Vec<f32>) -> Self {
        let state = vec![0.0; plan.state_len(optimizer.numbers_per_parameter())];
        let gradients = vec![f32::NAN; plan.parameters_len()];
        Self { parameters, state, gradients, workspace: vec![f32::NAN; plan.workspace_len()] }
    }

    fn memory(&mut self) -> Memory<'_> {
        let Self { parameters, state, gradients, workspace } = self;
        Memory { parameters, state, gradients, workspace }
    }

    fn step(&mut self, context: &Context<'_>, step: impl Into<Step>, batch: &Batch<'_>) -> Report {
        train_step(context, &step.into(), batch, &mut self.memory())
    }
}
