//! Nothing allocates after planning, on any thread.
//!
//! The allocator counts every call while it is armed, whichever thread makes it. So this is a program of its own, without the
//! harness, whose threads would be counted too.
#![allow(unsafe_code, reason = "a counting allocator is an allocator")]
#![allow(clippy::print_stdout, reason = "without the usual harness this test says itself how it went")]

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use selvedge::exec::{
    Batch, Clipping, Context, Inputs, Noise, Step, Targets, evaluate, gradients, predict, predict_with_dropout, train_step, update,
};
use selvedge::kernels::gather::Scaling;
use selvedge::kernels::optimizers::{AdamSettings, Momentum, MomentumKind, NadamProgress, Optimizer, Sgd};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::model::callbacks::{EarlyStopping, ReduceLrOnPlateau, TerminateOnNan};
use selvedge::model::{
    Activation as ModelActivation, Adam, BatchLogs, BatchNormalization, Callback, Compile, Dense, Dropout, Examples, Fit, Model,
    ModelError, OneCycle, ProgressBar, Regularizer, Sequential, Session,
};
use selvedge::parallel::{Executor, Pool, Serial, Team};
use selvedge::plan::{
    Activation, BatchNorm, Chain, Dropout as PlanDropout, Input, Layer, LayerSpec, Loss, Memory, Network, Operation, Output,
    Penalty, Plan, Value, arrange, sequential,
};
use selvedge::simd::Isa;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

struct Counting;

static ARMED: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn count() {
    if ARMED.load(Ordering::SeqCst) {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The heap calls of all threads during `body`.
fn heap_calls(body: impl FnOnce()) -> usize {
    CALLS.store(0, Ordering::SeqCst);
    ARMED.store(true, Ordering::SeqCst);
    body();
    ARMED.store(false, Ordering::SeqCst);
    CALLS.load(Ordering::SeqCst)
}

/// Hidden layers with a mask and with sums that are kept, a partial last vector everywhere.
static SMALL: Chain<3> = sequential(
    19,
    [LayerSpec::dense(33, Activation::Relu), LayerSpec::dense(9, Activation::Gelu), LayerSpec::dense(5, Activation::Softmax)],
);
static FASHION: Chain<3> = sequential(
    784,
    [LayerSpec::dense(300, Activation::Relu), LayerSpec::dense(100, Activation::Relu), LayerSpec::dense(10, Activation::Softmax)],
);
const BATCH: usize = 8;

/// Trains, evaluates and predicts from every kind of input, `steps` times, with a full batch, with a partial one and with one row in turn.
fn all_entries(network: Network<'_>, steps: usize, isa: Isa, executor: &dyn Executor) {
    let (training, inference) =
        (Plan::training(network, BATCH, executor.parts()), Plan::inference(network, BATCH, executor.parts()));
    let (in_dim, out_dim) = (training.in_dim(), training.out_dim());
    let mut random = Pcg32::seed_from_u64(1);
    let bytes: Vec<u8> = (0..2 * BATCH * in_dim).map(|_| random.random_range(0..=255)).collect();
    let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let labels: Vec<u32> = (0..BATCH).map(|_| random.random_range(0..out_dim as u32)).collect();
    let order: Vec<u32> = (0..BATCH).map(|_| random.random_range(0..2 * BATCH as u32)).collect();
    let mut parameters: Vec<f32> = (0..training.parameters_len()).map(|_| random.random_range(-0.1..0.1)).collect();
    let mut workspace = vec![0.0; training.workspace_len().max(inference.workspace_len())];
    let mut outputs = vec![0.0; BATCH * out_dim];
    let optimizers = [
        Optimizer::Sgd(Sgd { learning_rate: 0.01 }),
        Optimizer::Momentum(Momentum { learning_rate: 0.01, momentum: 0.9, kind: MomentumKind::Nesterov }),
        Optimizer::Adam(AdamSettings::default().at_step(1)),
        Optimizer::Nadam(AdamSettings::default().next_nadam(&mut NadamProgress::default())),
    ];
    let mut states = optimizers.map(|optimizer| vec![0.0; training.state_len(optimizer.numbers_per_parameter())]);
    // Time for workers to fall asleep: waking them is counted too.
    std::thread::sleep(Duration::from_millis(2));
    let calls = heap_calls(|| {
        for step in 0..steps {
            let rows = [BATCH, BATCH - 3, 1][step % 3];
            let all = MatRef::new(&values, 2 * BATCH, in_dim, in_dim);
            let inputs = match step / 3 % 3 {
                0 => Inputs::Rows(MatRef::new(&values, rows, in_dim, in_dim)),
                1 => Inputs::Gathered { rows: all, order: &order[..rows] },
                _ => Inputs::Bytes { rows: &bytes, order: &order[..rows], scaling: Scaling::UNIT },
            };
            let (inputs, targets) = ([inputs], [Targets::Labels(&labels[..rows])]);
            let batch = Batch { inputs: &inputs, targets: &targets, weights: None };
            let context = Context { isa, plan: &training, executor };
            let i = step % optimizers.len();
            let mut memory =
                Memory { parameters: &mut parameters, state: &mut states[i], gradients: &mut [], workspace: &mut workspace };
            train_step(&context, &optimizers[i].into(), &batch, &mut memory);
            let context = Context { plan: &inference, ..context };
            evaluate(&context, &batch, &parameters, &mut workspace);
            predict(
                &context,
                &inputs,
                &parameters,
                &mut workspace,
                &mut [MatMut::new(&mut outputs[..rows * out_dim], rows, out_dim, out_dim)],
            );
        }
    });
    assert_eq!(calls, 0, "heap calls in {steps} steps of {isa} in {} parts", executor.parts());
    assert!(parameters.iter().chain(&outputs).all(|x| x.is_finite()));
}

/// A network of every kind of layer, with two inputs and two outputs.
fn graph_entries(steps: usize, isa: Isa, executor: &dyn Executor) {
    let (normalization, penalty) = (BatchNorm::KERAS, Penalty { l1: 1e-4, l2: 1e-4 });
    let merge = |operation, input| LayerSpec { operation, ..LayerSpec::identity().of(input) };
    let hidden = LayerSpec::dense(33, Activation::Relu).of(Value::Input(1)).kernel_penalty(penalty);
    let specs = [
        LayerSpec::identity().of(Value::Input(1)).batch_norm(normalization),
        hidden.of(Value::Layer(0)).batch_norm(normalization).dropout(PlanDropout::Plain(0.2)),
        LayerSpec::dense(33, Activation::PRelu).of(Value::Layer(1)),
        merge(Operation::Add(Value::Layer(1)), Value::Layer(2)),
        merge(Operation::Concatenate(Value::Layer(3)), Value::Input(0)),
        LayerSpec::dense(9, Activation::Selu).of(Value::Layer(4)),
        LayerSpec::identity().of(Value::Layer(5)).dropout(PlanDropout::Alpha(0.1)),
        LayerSpec::dense(5, Activation::Softmax).of(Value::Layer(6)),
        LayerSpec::dense(2, Activation::Linear).of(Value::Layer(3)).without_bias(),
    ];
    let outputs = [Output::of(7), Output { layer: 8, loss: Loss::Huber { delta: 1.0 }, weight: 0.5 }];
    let (mut inputs, mut layers) = ([Input::new(6), Input::new(19)], [Layer::EMPTY; 9]);
    arrange(&mut inputs, &specs, &outputs, &mut layers).expect("a network");
    let network = Network::new(&inputs, &layers, &outputs).expect("a network");
    let (training, inference) =
        (Plan::training(network, BATCH, executor.parts()), Plan::inference(network, BATCH, executor.parts()));

    let mut random = Pcg32::seed_from_u64(2);
    let bytes: Vec<u8> = (0..2 * BATCH * 19).map(|_| random.random_range(0..=255)).collect();
    let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let labels: Vec<u32> = (0..BATCH).map(|_| random.random_range(0..5)).collect();
    let order: Vec<u32> = (0..BATCH).map(|_| random.random_range(0..2 * BATCH as u32)).collect();
    let mut parameters: Vec<f32> = (0..training.parameters_len()).map(|_| random.random_range(0.01..0.1)).collect();
    let mut stored = vec![0.0; training.parameters_len()];
    let mut workspace = vec![0.0; training.workspace_len().max(inference.workspace_len())];
    let mut results = [vec![0.0; BATCH * 5], vec![0.0; BATCH * 2]];
    let optimizer = Optimizer::Adam(AdamSettings::default().at_step(1));
    let mut state = vec![0.0; training.state_len(optimizer.numbers_per_parameter())];
    let clippings = [Clipping::GlobalNorm(0.1), Clipping::None, Clipping::Value(0.01), Clipping::Norm(0.1)];
    std::thread::sleep(Duration::from_millis(2));
    let calls = heap_calls(|| {
        for step in 0..steps {
            let rows = if step % 2 == 0 { BATCH } else { BATCH - 3 };
            let matrix = |columns| MatRef::new(&values, 2 * BATCH, columns, columns);
            let first = |columns| Inputs::Rows(MatRef::new(&values, rows, columns, columns));
            let gathered = |columns| Inputs::Gathered { rows: matrix(columns), order: &order[..rows] };
            let inputs = match step / 2 % 3 {
                0 => [first(6), first(19)],
                1 => [gathered(6), first(19)],
                _ => [first(6), Inputs::Bytes { rows: &bytes, order: &order[..rows], scaling: Scaling::UNIT }],
            };
            let targets = [Targets::Labels(&labels[..rows]), Targets::Gathered { rows: matrix(2), order: &order[..rows] }];
            let batch = Batch { inputs: &inputs, targets: &targets, weights: Some(&values[..rows]) };
            let context = Context { isa, plan: &training, executor };
            let noise = Noise { seed: 1, step: step as u32, first_row: 0 };
            let step = Step { optimizer, clipping: clippings[step % clippings.len()], noise };
            let mut memory =
                Memory { parameters: &mut parameters, state: &mut state, gradients: &mut stored, workspace: &mut workspace };
            train_step(&context, &step, &batch, &mut memory);
            gradients(&context, &noise, &batch, &mut memory);
            update(&context, &step, &mut memory);
            let context = Context { plan: &inference, ..context };
            evaluate(&context, &batch, &parameters, &mut workspace);
            let [classes, numbers] = &mut results;
            let mut outputs = [MatMut::new(classes, rows, 5, 5), MatMut::new(numbers, rows, 2, 2)];
            predict(&context, &inputs, &parameters, &mut workspace, &mut outputs);
            predict_with_dropout(&context, noise, &inputs, &parameters, &mut workspace, &mut outputs);
        }
    });
    assert_eq!(calls, 0, "heap calls in {steps} steps of a graph, {isa} in {} parts", executor.parts());
    assert!(parameters.iter().chain(results.iter().flatten()).all(|x| x.is_finite()));
}

/// Arms the counter after the first step of each epoch and looks at it after the last.
struct Armed {
    steps: usize,
    counted: usize,
}

impl Callback for Armed {
    fn on_batch_end(&mut self, logs: &BatchLogs, _: &mut Session<'_>) -> Result<(), ModelError> {
        if logs.batch == 0 {
            CALLS.store(0, Ordering::SeqCst);
            ARMED.store(true, Ordering::SeqCst);
        } else if logs.batch + 1 == self.steps {
            ARMED.store(false, Ordering::SeqCst);
            assert_eq!(CALLS.load(Ordering::SeqCst), 0, "heap calls in the steps of an epoch");
            self.counted += 1;
        }
        Ok(())
    }
}

/// The steps of `fit` with what watches each of them, predictions of a session and of a frozen model, and passes with dropout. Returns the model, whose
/// threads are to end when nothing is counted any more.
fn model_entries(threads: usize) -> Model {
    let network = Sequential::new(&[19])
        .add(Dropout::new(0.1))
        .add(Dense::new(33).use_bias(false).kernel_regularizer(Regularizer::l2(1e-4)))
        .add(BatchNormalization::default())
        .add(ModelActivation::Relu)
        .add(Dropout::new(0.2))
        .add(Dense::new(5).activation(ModelActivation::Softmax));
    let metrics = ["top_k_categorical_accuracy", "f1_score", "precision"];
    let compile = Compile::new(Adam::default()).clipping(Clipping::GlobalNorm(1.0)).metrics(metrics).threads(threads);
    let mut model = network.compile(compile).expect("a model");
    let mut random = Pcg32::seed_from_u64(1);
    let x: Vec<f32> = (0..200 * 19).map(|_| random.random_range(-1.0..1.0)).collect();
    let labels: Vec<u32> = (0..200).map(|_| random.random_range(0..5)).collect();
    let rows = MatRef::new(&x, 200, 19, 19);
    let examples = Examples::floats(rows, &labels).expect("examples");
    let schedule = OneCycle::three_legs(0.01, 3 * 13).expect("a schedule");
    let fit = Fit::new().epochs(3).batch_size(16).schedule(&schedule).validation_data(&examples).class_weights(&[(1, 2.0)]);
    let mut armed = Armed { steps: 13, counted: 0 };
    let (mut bar, mut nan) = (ProgressBar::new(), TerminateOnNan::new());
    let (mut stopping, mut plateau) = (EarlyStopping::new().patience(9), ReduceLrOnPlateau::new());
    let mut callbacks: [&mut dyn Callback; 5] = [&mut bar, &mut nan, &mut stopping, &mut plateau, &mut armed];
    model.fit(&examples, &fit, &mut callbacks).expect("training");
    assert_eq!(armed.counted, 3);

    let mut values = vec![0.0; 200 * 5];
    let frozen = model.freeze(200).expect("a frozen model");
    let mut scratch = frozen.scratch();
    assert_eq!(heap_calls(|| frozen.predict(&[rows], &mut scratch, &mut [MatMut::new(&mut values, 200, 5, 5)])), 0, "frozen");
    model
        .session(16, |session| {
            // The threads have come when one prediction is done.
            session.predict_into(&examples, &mut values).expect("predictions");
            let calls = heap_calls(|| {
                session.predict_into(&examples, &mut values).expect("predictions");
                for pass in 0..10 {
                    session.predict_with_dropout(&examples, 1, pass, &mut values).expect("predictions");
                }
            });
            assert_eq!(calls, 0, "predictions of a session");
        })
        .expect("a session");
    if threads == 1 {
        assert_eq!(heap_calls(|| model.predict_into(&examples, &mut values).expect("predictions")), 0, "predictions of a model");
    }
    model
}

/// The detector sees one allocation and its release, also on a thread of the team only.
fn planted_allocations(executor: &dyn Executor) {
    for guilty in 0..executor.parts() {
        let calls = heap_calls(|| {
            executor.run(&|part| {
                if part == guilty {
                    drop(std::hint::black_box(vec![part as u8; 100]));
                }
            });
        });
        assert_eq!(calls, 2, "heap calls of part {guilty}");
    }
    let mut vector: Vec<u8> = vec![1; 10];
    assert_eq!(heap_calls(|| std::hint::black_box(&mut vector).reserve_exact(1000)), 1, "a reallocation");
    assert_eq!(heap_calls(|| drop(std::hint::black_box(vec![0u64; 1000]))), 2, "zeroed memory and its release");
    assert_eq!(heap_calls(|| ()), 0, "nothing");
}

fn main() {
    let pools = [1, 2, 3].map(|threads| Pool::new(threads).expect("threads"));
    let [one, two, three] = &pools;
    // All teams are there before anything is counted and until everything has been: threads that start or end allocate.
    let counted = one.team(|one| two.team(|two| three.team(|three| count_everything([one, two, three]))));
    println!(
        "test result: ok. {counted} passed; 0 failed (0 heap calls in training, evaluation and prediction; planted ones were seen)"
    );
}

/// Counts, and fails at the first heap call; returns how many networks, executors and instruction sets were tried.
fn count_everything(teams: [&Team; 3]) -> usize {
    let mut counted = 0;
    let serials = [1, 2, 3].map(Serial::new);
    for team in teams {
        team.run(&|_| ());
    }
    for executor in teams {
        planted_allocations(executor);
    }
    let models = [1, 2, 3].map(model_entries);
    counted += models.len();
    let isa = Isa::detect();
    for executor in serials.iter().map(|serial| serial as &dyn Executor).chain(teams.map(|team| team as &dyn Executor)) {
        all_entries(SMALL.network(), 1000, isa, executor);
        all_entries(FASHION.network(), 12, isa, executor);
        graph_entries(120, isa, executor);
        counted += 3;
    }
    for isa in Isa::available() {
        all_entries(SMALL.network(), 12, isa, &serials[1]);
        graph_entries(12, isa, &serials[1]);
        counted += 2;
    }
    drop(models);
    counted
}
