//! Whole networks: a training step, an epoch, predictions.

use super::buffer::{Buffer, byte};
use super::{Against, Candidate, Runner, id, isas, repeat, threads, timed};
use selvedge::data::{Batches, shuffle};
use selvedge::exec::{Batch, Clipping, Context, Inputs, Step, Targets, penalty, predict, train_step};
use selvedge::kernels::MatRef;
use selvedge::kernels::gather::Scaling;
use selvedge::kernels::optimizers::{AdamSettings, Momentum, MomentumKind, Optimizer};
use selvedge::memory::vec_in_huge_pages;
use selvedge::model::{Compile, Dense, Examples, Fit, Model, Sequential, Sgd};
use selvedge::parallel::{Executor, Pool, Serial};
use selvedge::plan::{Activation, BatchNorm, Chain, LayerSpec, Loss, Memory, Network, Penalty, Plan, Region, sequential};
use selvedge::simd::Isa;
use std::hint::black_box;

/// 784-300-100-10, as in the example on Fashion-MNIST.
static CLASSIFIER: Chain<3> = sequential(
    784,
    [LayerSpec::dense(300, Activation::Relu), LayerSpec::dense(100, Activation::Relu), LayerSpec::dense(10, Activation::Softmax)],
);

/// The same with batch normalization before each ReLU.
static NORMALIZED: Chain<3> = sequential(784, [normalized(300), normalized(100), LayerSpec::dense(10, Activation::Softmax)]);

const fn normalized(units: usize) -> LayerSpec {
    LayerSpec::dense(units, Activation::Relu).without_bias().batch_norm(BatchNorm::KERAS)
}

/// The same with a penalty of the weights.
static PENALIZED: Chain<3> =
    sequential(784, [penalized(300, Activation::Relu), penalized(100, Activation::Relu), penalized(10, Activation::Softmax)]);

const fn penalized(units: usize, activation: Activation) -> LayerSpec {
    LayerSpec::dense(units, activation).kernel_penalty(Penalty { l1: 0.0, l2: 1e-4 })
}

/// 6-64-8-4: so small that calls and checks could cost more than the arithmetic.
static TINY: [(&str, Chain<3>); 2] = [("tanh", tiny(Activation::Tanh)), ("relu", tiny(Activation::Relu))];

const fn tiny(activation: Activation) -> Chain<3> {
    sequential(6, [LayerSpec::dense(64, activation), LayerSpec::dense(8, activation), LayerSpec::dense(4, Activation::Linear)])
}

/// Rows of an epoch: as many as Fashion-MNIST has, or few where it only has to be shown that an epoch runs.
fn rows_of_epoch() -> usize {
    if std::env::args().any(|argument| argument == "--test") { 2_000 } else { 60_000 }
}

/// What is trained, and by which rule.
#[derive(Clone, Copy)]
struct Trained {
    name: &'static str,
    chain: &'static Chain<3>,
    optimizer: Optimizer,
    clipping: Clipping,
    /// Whether whole epochs are measured, too, which take seconds.
    epochs: bool,
}

const MOMENTUM: Optimizer = Optimizer::Momentum(Momentum { learning_rate: 1e-3, momentum: 0.9, kind: MomentumKind::Classic });

fn trained() -> [Trained; 6] {
    let settings = AdamSettings { learning_rate: 1e-5, ..AdamSettings::default() };
    let adam = Optimizer::Adam(settings.at_step(1000));
    let adamw = Optimizer::AdamW(settings.at_step_with_decay(1000, AdamSettings::WEIGHT_DECAY));
    let momentum = Trained { name: "momentum", chain: &CLASSIFIER, optimizer: MOMENTUM, clipping: Clipping::None, epochs: true };
    [
        momentum,
        Trained { name: "adam", optimizer: adam, ..momentum },
        Trained { name: "momentum_batch_norm", chain: &NORMALIZED, ..momentum },
        Trained { name: "momentum_global_clipnorm", clipping: Clipping::GlobalNorm(1.0), epochs: false, ..momentum },
        Trained { name: "momentum_l2", chain: &PENALIZED, epochs: false, ..momentum },
        Trained { name: "adamw", optimizer: adamw, epochs: false, ..momentum },
    ]
}

/// The name of the comparison of two threads with one.
const ONE_THREAD: &str = "one thread";

pub(super) fn candidates() -> Vec<Candidate> {
    let isas = isas();
    let mut all = Vec::new();
    for trained in trained() {
        // The best instruction set has to do for all but the first.
        for &isa in if trained.name == "momentum" { &isas[..] } else { &isas[..1] } {
            for threads in threads() {
                for batch in [32, 128, 512] {
                    all.push(training("train_step", trained, isa, batch, threads, batch, open_train_step));
                }
            }
        }
        for threads in threads().filter(|_| trained.epochs) {
            for batch in [32, 128, 512] {
                all.push(training("epoch", trained, isas[0], batch, threads, rows_of_epoch(), open_epoch));
            }
        }
    }
    // A small model: threads that have too little to do must not slow it down.
    for (operation, open) in [("fit", open_fit as fn(Option<usize>) -> Runner), ("predict", open_predict_rows)] {
        let one_thread = id("model", operation, isas[0], "8-30-30-1x32", 1);
        let by_default = id("model", operation, isas[0], "8-30-30-1x32", "default");
        all.push(Candidate::new(one_thread.clone(), Vec::new(), move || open(Some(1))));
        all.push(Candidate::new(by_default, vec![Against::other(ONE_THREAD, one_thread)], move || open(None)));
    }
    for &isa in &isas {
        for threads in threads() {
            for batch in [1, 32, 1000] {
                // Threads share the rows, or of a single one the columns; 32 rows would show neither better.
                if threads == 1 || batch != 32 {
                    all.push(inference(isa, batch, threads));
                }
            }
        }
        for (name, chain) in &TINY {
            let operations = Plan::inference(chain.network(), 1, 1).operations_per_row();
            let mut tiny = |operation, open: fn(&'static Chain<3>, Isa) -> Runner| {
                let against = vec![Against::peak(isa, 1, operations), Against::other("loop", loop_id(name))];
                let id = id("inference", operation, isa, tiny_size(name), 1);
                all.push(Candidate::new(id, against, move || open(chain, isa)));
            };
            tiny("predict", |chain, isa| open_predict(chain.network(), isa, 1, 1));
            tiny("predict_row", open_predict_row);
        }
    }
    let operations = Plan::inference(TINY[0].1.network(), 1, 1).operations_per_row();
    let mut rival = |name, open: fn() -> Runner| {
        let against = vec![Against::peak(Isa::PORTABLE, 1, operations)];
        all.push(Candidate { rival: true, ..Candidate::new(loop_id(name), against, open) });
    };
    rival("tanh", || open_loop(f32::tanh));
    rival("relu", || open_loop(|z| z.max(0.0)));
    all
}

fn training(
    group: &str,
    trained: Trained,
    isa: Isa,
    batch: usize,
    threads: usize,
    rows: usize,
    open: fn(Trained, Isa, usize, usize) -> Runner,
) -> Candidate {
    let id = |threads| id(group, trained.name, isa, format_args!("784-300-100-10x{batch}"), threads);
    let operations = rows * Plan::training(trained.chain.network(), batch, threads).operations_per_row();
    let mut against = vec![Against::peak(isa, threads, operations)];
    if threads > 1 {
        against.push(Against::other(ONE_THREAD, id(1)));
    }
    Candidate::new(id(threads), against, move || open(trained, isa, batch, threads))
}

fn inference(isa: Isa, batch: usize, threads: usize) -> Candidate {
    let id = |threads| id("inference", "predict", isa, format_args!("784-300-100-10x{batch}"), threads);
    let plan = Plan::inference(CLASSIFIER.network(), batch, threads);
    let mut against = vec![match batch {
        // Every weight is used once, so the limit is how fast they can be read.
        1 => Against::read(isa, plan.parameters_len() * size_of::<f32>()),
        _ => Against::peak(isa, threads, batch * plan.operations_per_row()),
    }];
    if threads > 1 {
        against.push(Against::other(ONE_THREAD, id(1)));
    }
    Candidate::new(id(threads), against, move || open_predict(CLASSIFIER.network(), isa, batch, threads))
}

/// A network in training, and who trains it.
struct Training {
    isa: Isa,
    step: Step,
    plan: Plan<'static>,
    parameters: Buffer,
    state: Buffer,
    gradients: Buffer,
    workspace: Buffer,
}

impl Training {
    fn new(Trained { chain, optimizer, clipping, .. }: Trained, isa: Isa, batch: usize, threads: usize) -> Self {
        let plan = Plan::training(chain.network(), batch, threads);
        Self {
            isa,
            step: Step { clipping, ..Step::new(optimizer) },
            plan,
            parameters: parameters(&plan),
            state: Buffer::zeros(plan.state_len(optimizer.numbers_per_parameter())),
            gradients: Buffer::zeros(if clipping == Clipping::None { 0 } else { plan.parameters_len() }),
            workspace: Buffer::zeros(plan.workspace_len()),
        }
    }

    fn step(&mut self, executor: &dyn Executor, batch: &Batch<'_>) {
        let context = Context { isa: self.isa, plan: &self.plan, executor };
        let (parameters, state, workspace) = (self.parameters.get_mut(), self.state.get_mut(), self.workspace.get_mut());
        black_box(penalty(&context, parameters, workspace));
        let mut memory = Memory { parameters, state, gradients: self.gradients.get_mut(), workspace };
        black_box(train_step(&context, &self.step, black_box(batch), &mut memory));
    }
}

/// Weights of a magnitude that keeps activations and losses ordinary numbers.
fn parameters(plan: &Plan<'_>) -> Buffer {
    Buffer::new(plan.parameters_len(), 0.05)
}

fn labels(rows: usize) -> Vec<u32> {
    (0..rows).map(|i| u32::from(byte(i)) % 10).collect()
}

/// The calling thread alone, or with the others of a pool.
enum Workers {
    Serial,
    Pool(Pool),
}

impl Workers {
    fn new(threads: usize) -> Self {
        if threads == 1 { Self::Serial } else { Self::Pool(Pool::new(threads).expect("threads")) }
    }

    fn enter<R>(&self, body: impl FnOnce(&dyn Executor) -> R) -> R {
        match self {
            Self::Serial => body(&Serial::new(1)),
            Self::Pool(pool) => pool.team(|team| body(team)),
        }
    }
}

/// A step on a minibatch that lies where it is used.
fn open_train_step(trained: Trained, isa: Isa, batch: usize, threads: usize) -> Runner {
    let mut training = Training::new(trained, isa, batch, threads);
    let region = Region::new(0, batch, 784);
    let (x, labels, workers) = (Buffer::new(region.len(), 1.0), labels(batch), Workers::new(threads));
    Box::new(move |n| {
        let (inputs, targets) = ([Inputs::Rows(region.of(x.get()))], [Targets::Labels(&labels)]);
        let batch = Batch { inputs: &inputs, targets: &targets, weights: None };
        workers.enter(|executor| {
            // Wakes the team.
            training.step(executor, &batch);
            timed(n, || training.step(executor, &batch))
        })
    })
}

/// Everything that an epoch does: shuffle, gather and convert the bytes, step.
fn open_epoch(trained: Trained, isa: Isa, batch: usize, threads: usize) -> Runner {
    let mut training = Training::new(trained, isa, batch, threads);
    // As in a dataset.
    let rows = rows_of_epoch();
    let mut pixels = vec_in_huge_pages(rows * 784);
    pixels.extend((0..rows * 784).map(byte));
    let (labels, workers) = (labels(rows), Workers::new(threads));
    let (mut order, mut epochs, mut batch_labels) = (vec![0; rows], 0, Vec::with_capacity(batch));
    Box::new(move |n| {
        workers.enter(|executor| {
            timed(n, || {
                shuffle(&mut order, 42, epochs);
                epochs += 1;
                for range in Batches::new(rows, batch).expect("a batch size") {
                    let order = &order[range];
                    batch_labels.clear();
                    batch_labels.extend(order.iter().map(|&row| labels[row as usize]));
                    let inputs = Inputs::Bytes { rows: &pixels, order, scaling: Scaling::UNIT };
                    let targets = [Targets::Labels(&batch_labels)];
                    training.step(executor, &Batch { inputs: &[inputs], targets: &targets, weights: None });
                }
            })
        })
    })
}

/// A model for eight features, on so many threads or on those that it chooses, with rows and targets for it.
fn small_model(threads: Option<usize>) -> (Model, Buffer, Buffer) {
    let mut compile = Compile::new(Sgd::default()).loss(Loss::MeanSquaredError);
    if let Some(threads) = threads {
        compile = compile.threads(threads);
    }
    let hidden = || Dense::new(30).activation(Activation::Relu);
    let network = Sequential::new(&[8]).add(hidden()).add(hidden()).add(Dense::new(1));
    (network.compile(compile).expect("a model"), Buffer::new(8 * 3200, 1.0), Buffer::new(3200, 1.0))
}

/// An epoch of a hundred minibatches.
fn open_fit(threads: Option<usize>) -> Runner {
    let (mut model, x, y) = small_model(threads);
    repeat(move || {
        let (x, y) = (MatRef::new(x.get(), 3200, 8, 8), MatRef::new(y.get(), 3200, 1, 1));
        model.fit(Examples::new().input(x).targets(y), &Fit::new().epochs(1).batch_size(32), &mut []).expect("rows that fit");
    })
}

/// The outputs for 32 rows.
fn open_predict_rows(threads: Option<usize>) -> Runner {
    let (mut model, x, _) = small_model(threads);
    let mut y = [0.0; 32];
    repeat(move || {
        let examples = Examples::new().input(MatRef::new(&x.get()[..32 * 8], 32, 8, 8));
        model.predict_into(black_box(&examples), &mut y).expect("rows that fit");
        black_box(&y);
    })
}

fn open_predict(network: Network<'static>, isa: Isa, batch: usize, threads: usize) -> Runner {
    let plan = Plan::inference(network, batch, threads);
    let (parameters, mut workspace) = (parameters(&plan), Buffer::zeros(plan.workspace_len()));
    let (x_region, y_region) = (Region::new(0, batch, plan.in_dim()), Region::new(0, batch, plan.out_dim()));
    let (x, mut y, workers) = (Buffer::new(x_region.len(), 1.0), Buffer::zeros(y_region.len()), Workers::new(threads));
    Box::new(move |n| {
        workers.enter(|executor| {
            let context = Context { isa, plan: &plan, executor };
            let mut predict = || {
                let inputs = [Inputs::Rows(x_region.of(black_box(x.get())))];
                predict(&context, &inputs, parameters.get(), workspace.get_mut(), &mut [y_region.of_mut(y.get_mut())]);
                black_box(y.get());
            };
            // Wakes the team.
            predict();
            timed(n, predict)
        })
    })
}

/// The same as a user of a model asks for it.
fn open_predict_row(chain: &Chain<3>, isa: Isa) -> Runner {
    let layers = chain.network().layers().iter().map(|layer| Dense::new(layer.out_dim).activation(layer.spec.activation));
    let mut model = Sequential::new(&[chain.network().inputs()[0].columns]);
    for layer in layers {
        model = model.add(layer);
    }
    let frozen = model.compile(Compile::new(Sgd::default()).isa(isa)).and_then(|model| model.freeze(1)).expect("a model");
    let (mut scratch, x, mut y) = (frozen.scratch(), [0.5; 6], [0.0; 4]);
    repeat(move || {
        frozen.predict_row(black_box(&x), &mut scratch, &mut y);
        black_box(&y);
    })
}

fn tiny_size(activation: &str) -> String {
    format!("6-64-8-4x1-{activation}")
}

fn loop_id(activation: &str) -> String {
    id("inference", "loop", "compiler", tiny_size(activation), 1)
}

/// The tiny network as a careful programmer would write it for one purpose: fixed sizes, weights by rows so that the compiler can
/// use vectors, nothing checked.
fn open_loop(activation: impl Fn(f32) -> f32 + Copy + 'static) -> Runner {
    fn layer<const IN: usize, const OUT: usize>(x: &[f32; IN], w: &[[f32; OUT]; IN], b: &[f32; OUT]) -> [f32; OUT] {
        let mut z = *b;
        for (x, w) in x.iter().zip(w) {
            for (z, w) in z.iter_mut().zip(w) {
                *z += x * w;
            }
        }
        z
    }
    fn weights<const IN: usize, const OUT: usize>() -> Box<[[f32; OUT]; IN]> {
        Box::new(std::array::from_fn(|i| std::array::from_fn(|j| (f32::from(byte(i * OUT + j)) / 127.5 - 1.0) * 0.05)))
    }
    let (x, w1, w2, w3) = ([0.5; 6], weights::<6, 64>(), weights::<64, 8>(), weights::<8, 4>());
    let (b1, b2, b3) = ([0.1; 64], [0.1; 8], [0.1; 4]);
    repeat(move || {
        let y = layer(black_box(&x), black_box(&w1), &b1).map(activation);
        let y = layer(&y, black_box(&w2), &b2).map(activation);
        black_box(layer(&y, black_box(&w3), &b3));
    })
}
