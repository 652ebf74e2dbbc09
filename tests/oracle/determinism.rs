//! What must not change a bit of a result: parts, threads, instruction sets, where inputs come from, what lies in the workspace and
//! in padding, and the company of other rows.

use super::{
    Buffers, Data, Given, Graph, Linear, PLAIN, Relu, Setting, Softmax, Source, bits, hash, parameters, random, regions, unpadded,
};
use selvedge::exec::{Context, Inputs, Noise, Report, evaluate, predict, predict_with_dropout};
use selvedge::kernels::gather::Scaling;
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Optimizer};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::parallel::{Executor, Pool, Serial};
use selvedge::plan::{Activation, BatchNorm, Chain, Dropout, LayerSpec, Plan, sequential};
use selvedge::simd::Isa;
use std::sync::atomic::{AtomicUsize, Ordering};

const PARTS: [usize; 6] = [1, 2, 3, 7, 16, 64];
const BATCH: usize = 20;
/// Three whole minibatches and a partial one.
const ROWS: usize = 3 * BATCH + 7;
const STEPS: usize = 50;

const OPTIMIZER: Optimizer = Optimizer::Momentum(Momentum { learning_rate: 0.05, momentum: 0.9, kind: MomentumKind::Nesterov });

fn graph() -> Graph {
    Graph::chain(23, &[(37, Relu), (18, Linear), (7, Softmax)])
}

/// All bits that fifty steps leave behind: parameters, velocities, and the loss and hits of each step.
fn train(seed: u64, isa: Isa, executor: &dyn Executor, setting: Setting) -> Vec<u32> {
    let graph = graph();
    let plan = Plan::training(graph.network(), BATCH, executor.parts());
    let mut random = random(seed);
    let data = Data::new(&mut random, ROWS, plan.in_dim(), plan.out_dim());
    let longer = plan.in_dim() + 5;
    let mut padded = vec![f32::NAN; ROWS * longer];
    for (target, row) in padded.chunks_mut(longer).zip(data.values.chunks(plan.in_dim())) {
        target[..row.len()].copy_from_slice(row);
    }
    // In reverse, so that an order that is ignored shows.
    let order: Vec<u32> = (0..ROWS as u32).rev().collect();
    let reversed: Vec<f32> = order.iter().flat_map(|&i| data.matrix().row(i as usize)).copied().collect();
    let padded: Vec<f32> = padded.chunks(longer).rev().flatten().copied().collect();
    let labels: Vec<u32> = data.labels.iter().rev().copied().collect();

    let mut buffers = Buffers::new(&plan, &OPTIMIZER, parameters(&plan, &mut random, setting.padding));
    buffers.workspace.fill(setting.workspace);
    buffers.state.fill(setting.padding);
    for region in regions(&plan) {
        let mut matrix = region.of_mut(&mut buffers.state);
        (0..region.rows).for_each(|i| matrix.row_mut(i).fill(0.0));
    }
    let context = Context { isa, plan: &plan, executor };
    let mut reports = Vec::new();
    for step in 0..STEPS {
        let first = step * BATCH % (4 * BATCH);
        let rows = first..(first + BATCH).min(ROWS);
        let inputs = match setting.source {
            Source::Rows => Inputs::Rows(MatRef::new(&reversed[first * data.in_dim..], rows.len(), data.in_dim, data.in_dim)),
            Source::PaddedRows => Inputs::Rows(MatRef::new(&padded[first * longer..], rows.len(), data.in_dim, longer)),
            Source::Gathered => Inputs::Gathered { rows: data.matrix(), order: &order[rows.clone()] },
            Source::Bytes => Inputs::Bytes { rows: &data.bytes, order: &order[rows.clone()], scaling: Scaling::UNIT },
        };
        let report = buffers.step(&context, OPTIMIZER, &Given::one(inputs, &labels[rows]).batch());
        let (Report { loss_sum, .. }, hits) = (report, report.hits());
        assert!(loss_sum.is_finite(), "step {step}: loss {loss_sum}");
        reports.extend([loss_sum.to_bits(), hits as u32]);
    }
    reports.extend(bits(&unpadded(&plan, &buffers.parameters)));
    reports.extend(bits(&unpadded(&plan, &buffers.state)));
    reports
}

/// The instruction set whose results `isa` must repeat: all that fuse multiply and add agree, others only with themselves.
fn model_for(isa: Isa) -> Isa {
    if isa.fused() { Isa::available().filter(|isa| isa.fused()).last().unwrap_or(isa) } else { isa }
}

#[test]
fn parts_and_instruction_sets() {
    for isa in Isa::available() {
        let expected = train(1, model_for(isa), &Serial::new(1), PLAIN);
        for parts in PARTS {
            assert_eq!(train(1, isa, &Serial::new(parts), PLAIN), expected, "{isa}, {parts} parts");
        }
    }
}

/// The weights after training are the recorded ones, on any machine: a run on one kind of processor cannot compare with another.
#[test]
fn recorded_bits() {
    for isa in Isa::available().filter(|isa| isa.fused()) {
        let found = hash(train(1, isa, &Serial::new(3), PLAIN));
        assert_eq!(found, 0x589c_8366_017b_669b, "{isa}: {found:#018x}");
    }
}

#[test]
fn threads() {
    let isa = Isa::detect();
    let expected = train(2, isa, &Serial::new(1), PLAIN);
    for threads in PARTS {
        let found = Pool::new(threads).expect("threads").team(|team| train(2, isa, team, PLAIN));
        assert_eq!(found, expected, "{threads} threads");
    }
}

#[test]
fn sources_of_inputs() {
    for isa in Isa::available() {
        let expected = train(3, isa, &Serial::new(3), PLAIN);
        for source in [Source::PaddedRows, Source::Gathered, Source::Bytes] {
            assert_eq!(train(3, isa, &Serial::new(3), Setting { source, ..PLAIN }), expected, "{isa}, {source:?}");
        }
    }
}

#[test]
fn contents_of_the_workspace_and_of_padding() {
    // Bytes are gathered, so they leave no part of the workspace unused.
    let plain = Setting { source: Source::Bytes, ..PLAIN };
    for isa in Isa::available() {
        let expected = train(4, isa, &Serial::new(3), plain);
        for (workspace, padding) in [(f32::NAN, 0.0), (f32::MAX, f32::NAN)] {
            let setting = Setting { workspace, padding, ..plain };
            assert_eq!(train(4, isa, &Serial::new(3), setting), expected, "{isa}, {setting:?}");
        }
    }
}

#[test]
fn seeds_matter() {
    let hashes = [5, 6, 7].map(|seed| hash(train(seed, Isa::detect(), &Serial::new(2), PLAIN)));
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2], "{hashes:?}");
}

/// Fifty steps are enough to learn the labels of a few rows by heart, so the comparisons above are about weights that moved.
#[test]
fn training_lowers_the_loss() {
    let bits = train(8, Isa::detect(), &Serial::new(2), PLAIN);
    let losses: Vec<f32> = bits[..2 * STEPS].chunks(2).map(|report| f32::from_bits(report[0])).collect();
    let epoch = |losses: &[f32]| losses.iter().sum::<f32>() / ROWS as f32;
    let (first, last) = (epoch(&losses[..4]), epoch(&losses[44..48]));
    assert!(last < 0.8 * first, "mean loss {first} in the first epoch, {last} in the last whole one");
}

/// Row `i` of a batch comes out as that row alone does, in predictions and in losses, whatever the parts.
#[test]
fn rows_do_not_know_each_other() {
    let graph = graph();
    let mut random = random(9);
    let alone = Plan::inference(graph.network(), 1, 1);
    let parameters = parameters(&alone, &mut random, f32::NAN);
    let data = Data::new(&mut random, BATCH, alone.in_dim(), alone.out_dim());
    let row = |i: usize| Inputs::Rows(MatRef::new(data.matrix().row(i), 1, data.in_dim, data.in_dim));
    for isa in Isa::available() {
        let mut workspace = vec![f32::NAN; alone.workspace_len()];
        let context = Context { isa, plan: &alone, executor: &Serial::new(1) };
        let mut expected = vec![0.0; BATCH * alone.out_dim()];
        let mut reports = Vec::new();
        for (i, y) in expected.chunks_mut(alone.out_dim()).enumerate() {
            let outputs = MatMut::new(y, 1, alone.out_dim(), alone.out_dim());
            predict(&context, &[row(i)], &parameters, &mut workspace, &mut [outputs]);
            let given = Given::one(row(i), &data.labels[i..=i]);
            reports.push(evaluate(&context, &given.batch(), &parameters, &mut workspace));
            let sum: f32 = y.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "probabilities of row {i} have the sum {sum}");
        }
        for parts in PARTS {
            for rows in [BATCH, BATCH - 1, 2, 1] {
                let plan = Plan::inference(graph.network(), BATCH, parts);
                let mut workspace = vec![f32::MAX; plan.workspace_len()];
                let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
                // Outputs in longer rows: what lies between them stays.
                let longer = plan.out_dim() + 3;
                let mut outputs = vec![-1.0; rows * longer];
                let inputs = Inputs::Rows(MatRef::new(&data.values, rows, data.in_dim, data.in_dim));
                let matrix = MatMut::new(&mut outputs, rows, plan.out_dim(), longer);
                predict(&context, &[inputs], &parameters, &mut workspace, &mut [matrix]);
                for (i, (found, expected)) in outputs.chunks(longer).zip(expected.chunks(plan.out_dim())).enumerate() {
                    assert_eq!(bits(&found[..plan.out_dim()]), bits(expected), "{isa}, {parts} parts, row {i} of {rows}");
                    assert_eq!(found[plan.out_dim()..], [-1.0; 3], "{isa}, {parts} parts: behind row {i} of {rows}");
                }
                let given = Given::one(inputs, &data.labels[..rows]);
                let report = evaluate(&context, &given.batch(), &parameters, &mut workspace);
                assert_eq!(
                    report.hits(),
                    reports[..rows].iter().map(Report::hits).sum::<usize>(),
                    "{isa}, {parts} parts, {rows} rows"
                );
                let losses = reports[..rows].iter().map(|report| report.loss_sum);
                assert_eq!(report.loss_sum, selvedge::kernels::reduce::sum(losses), "{isa}, {parts} parts, {rows} rows");
            }
        }
    }
}

/// Counts the runs of an executor.
struct Counting<'a> {
    executor: &'a dyn Executor,
    runs: AtomicUsize,
}

impl Executor for Counting<'_> {
    fn parts(&self) -> usize {
        self.executor.parts()
    }
    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.executor.run(task);
    }
}

/// A row alone comes out with the same bits from any number of parts. Only layers of 65,536 weights are worth a run.
#[test]
fn one_row_by_columns() {
    let chain: Chain<5> = sequential(
        270,
        [
            LayerSpec::dense(260, Activation::Relu),
            LayerSpec::dense(256, Activation::Tanh).without_bias().batch_norm(BatchNorm::KERAS),
            LayerSpec::dense(100, Activation::PRelu),
            LayerSpec::dense(700, Activation::Relu).dropout(Dropout::Plain(0.3)),
            LayerSpec::dense(10, Activation::Softmax),
        ],
    );
    let network = chain.network();
    let mut random = random(10);
    let parameters = parameters(&Plan::inference(network, 1, 1), &mut random, f32::NAN);
    let data = Data::new(&mut random, 3, 270, 10);
    let order = [2];
    let given = Given::one(Inputs::Bytes { rows: &data.bytes, order: &order, scaling: Scaling::UNIT }, &data.labels[2..]);
    let inputs = given.batch().inputs;
    let ask = |isa: Isa, executor: &dyn Executor| {
        let plan = Plan::inference(network, 3, executor.parts());
        let context = Context { isa, plan: &plan, executor };
        let mut workspace = vec![f32::NAN; plan.workspace_len()];
        let (mut y, mut dropped) = ([0.0; 10], [0.0; 10]);
        predict(&context, inputs, &parameters, &mut workspace, &mut [MatMut::new(&mut y, 1, 10, 10)]);
        let (noise, target) = (Noise { seed: 3, step: 1, first_row: 0 }, MatMut::new(&mut dropped, 1, 10, 10));
        predict_with_dropout(&context, noise, inputs, &parameters, &mut workspace, &mut [target]);
        assert_ne!(y, dropped);
        let report = evaluate(&context, &given.batch(), &parameters, &mut workspace);
        [bits(&y), bits(&dropped), vec![report.loss_sum.to_bits(), report.hits() as u32]].concat()
    };
    for isa in Isa::available() {
        let expected = ask(isa, &Serial::new(1));
        for parts in PARTS.into_iter().filter(|parts| *parts > 1) {
            let counting = Counting { executor: &Serial::new(parts), runs: AtomicUsize::new(0) };
            assert_eq!(ask(isa, &counting), expected, "{isa}, {parts} parts");
            // Three questions, in which the first, the second and the fourth layer are large.
            assert_eq!(counting.runs.into_inner(), 9, "{isa}, {parts} parts");
        }
    }
    let expected = ask(Isa::detect(), &Serial::new(1));
    Pool::new(3).expect("threads").team(|team| assert_eq!(ask(Isa::detect(), team), expected));
}
