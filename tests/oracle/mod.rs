//! Networks, data and buffers for the tests of whole steps.

mod determinism;
mod executors;
mod gradients;
mod plan;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use selvedge::error::PlanError;
use selvedge::exec::{Batch, Context, Inputs, Report, Step, Targets, train_step};
use selvedge::kernels::MatRef;
use selvedge::kernels::optimizers::Optimizer;
use selvedge::plan::{Activation, Input, Layer, LayerSpec, Memory, Network, Output, Plan, Region, Value, arrange};

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
        for (region, bound) in [(layer.kernel, bound), (layer.bias, 0.1)] {
            let mut matrix = region.of_mut(&mut buffer);
            for i in 0..region.rows {
                matrix.row_mut(i).fill_with(|| random.random_range(-bound..bound));
            }
        }
    }
    buffer
}

/// Everything in a layout of parameters but padding: of each layer kernel, bias, gamma, beta, moving statistics and alpha.
fn regions(plan: &Plan<'_>) -> impl Iterator<Item = Region> {
    plan.layers().iter().flat_map(Layer::tensors).map(|tensor| tensor.region)
}

/// Parameters without their padding.
fn unpadded(plan: &Plan<'_>, buffer: &[f32]) -> Vec<f32> {
    regions(plan).flat_map(|region| (0..region.rows).flat_map(move |i| region.of(buffer).row(i))).copied().collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
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

    /// What a network with one input and one output is given, see [`One::batch`].
    fn one(&self) -> One<'_> {
        One::new(Inputs::Rows(self.matrix()), &self.labels)
    }
}

/// The inputs and labels of a network that has one of each.
struct One<'a> {
    inputs: [Inputs<'a>; 1],
    targets: [Targets<'a>; 1],
}

impl<'a> One<'a> {
    fn new(inputs: Inputs<'a>, labels: &'a [u32]) -> Self {
        Self { inputs: [inputs], targets: [Targets::Labels(labels)] }
    }

    fn batch(&self) -> Batch<'_> {
        Batch { inputs: &self.inputs, targets: &self.targets, weights: None }
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
