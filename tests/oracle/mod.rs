//! Networks, data and buffers for the tests of whole steps.

mod determinism;
mod executors;
mod gradients;
mod plan;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use selvedge::exec::{Batch, Context, Inputs, Report, train_step};
use selvedge::kernels::MatRef;
use selvedge::kernels::optimizers::Optimizer;
use selvedge::plan::{Activation, Dense, Layer, Memory, Plan};

use Activation::{Linear, Relu, Softmax};

/// Reproducible random numbers.
fn random(seed: u64) -> Pcg32 {
    Pcg32::seed_from_u64(seed)
}

/// The layers of a network.
fn layers(in_dim: usize, specs: &[(usize, Activation)]) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (i, &(units, activation)) in specs.iter().enumerate() {
        let spec = Dense::new(units, activation);
        let layer = layers.last().map_or_else(|| Layer::first(in_dim, spec), |before| before.next(i, spec));
        layers.push(layer.expect("a network that can be planned"));
    }
    layers
}

/// A random network of up to four layers of up to 40 units.
fn random_layers(random: &mut Pcg32) -> Vec<Layer> {
    let hidden = random.random_range(0..4);
    let mut specs: Vec<_> = (0..hidden).map(|_| (random.random_range(1..=40), *pick(random, &[Linear, Relu, Relu]))).collect();
    specs.push((random.random_range(1..=20), *pick(random, &[Linear, Relu, Softmax, Softmax])));
    layers(random.random_range(1..=40), &specs)
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

/// Parameters without their padding.
fn unpadded(plan: &Plan<'_>, buffer: &[f32]) -> Vec<f32> {
    let regions = plan.layers().iter().flat_map(|layer| [layer.kernel, layer.bias]);
    regions.flat_map(|region| (0..region.rows).flat_map(move |i| region.of(buffer).row(i))).copied().collect()
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

    fn batch(&self) -> Batch<'_> {
        Batch { inputs: Inputs::Rows(self.matrix()), labels: &self.labels }
    }
}

/// What a network is trained in.
struct Buffers {
    parameters: Vec<f32>,
    state: Vec<f32>,
    workspace: Vec<f32>,
}

impl Buffers {
    /// With a state of zeros and a workspace of anything.
    fn new(plan: &Plan<'_>, optimizer: &Optimizer, parameters: Vec<f32>) -> Self {
        let state = vec![0.0; plan.state_len(optimizer.numbers_per_parameter())];
        Self { parameters, state, workspace: vec![f32::NAN; plan.workspace_len()] }
    }

    fn step(&mut self, context: &Context<'_>, optimizer: &Optimizer, batch: &Batch<'_>) -> Report {
        let Self { parameters, state, workspace } = self;
        train_step(context, optimizer, batch, &mut Memory { parameters, state, workspace })
    }
}
