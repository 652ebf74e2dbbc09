//! Where a plan puts things, and what it refuses.

use super::{Buffers, Data, Given, Graph, Relu, Softmax, parameters, random, random_chain, unpadded};
use rand::RngExt;
use selvedge::error::PlanError;
use selvedge::exec::{Context, Inputs, evaluate, predict, train_step};
use selvedge::kernels::gather::Scaling;
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Optimizer, Sgd};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::parallel::Serial;
use selvedge::plan::{Aligned, Chain, Layer, LayerSpec, Memory, Output, Plan, Purpose, Value, leading_dimension, sequential};
use selvedge::simd::{Isa, LANES};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

const SGD: Optimizer = Optimizer::Sgd(Sgd { learning_rate: 0.1 });
const MOMENTUM: Optimizer = Optimizer::Momentum(Momentum { learning_rate: 0.1, momentum: 0.9, kind: MomentumKind::Classic });

/// A line of a plan's memory map.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) len: usize,
    /// Rows, columns and leading dimension, of a matrix.
    pub(super) matrix: Option<(usize, usize, usize)>,
}

/// What the map says: the lengths of the three buffers, and what lies in parameters and in a block.
pub(super) struct Map {
    pub(super) parameters_len: usize,
    pub(super) workspace_len: usize,
    pub(super) block_len: usize,
    /// Behind the blocks.
    pub(super) statistics_len: usize,
    /// Behind those.
    pub(super) squares_len: usize,
    pub(super) parameters: Vec<Line>,
    pub(super) block: Vec<Line>,
}

impl Map {
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        let text = plan.to_string();
        let number = |word: &str| word.parse::<usize>().expect("a number");
        let mut map = Self {
            parameters_len: 0,
            workspace_len: 0,
            block_len: 0,
            statistics_len: 0,
            squares_len: 0,
            parameters: Vec::new(),
            block: Vec::new(),
        };
        for line in text.lines().skip(2) {
            let (name, rest) = line.split_at(28);
            let words: Vec<&str> = rest.split_whitespace().collect();
            match name.trim_end() {
                "parameters" => map.parameters_len = number(words[0]),
                "workspace" => map.workspace_len = number(words[0]),
                "one block of it" => map.block_len = number(words[0]),
                "statistics" => map.statistics_len = number(words[0]),
                "squares of gradients" => map.squares_len = number(words[0]),
                name => {
                    let (offset, len) = (number(words[0]), number(words[1]));
                    let matrix = (words.len() > 3).then(|| (number(words[2]), number(words[4]), number(words[5])));
                    let lines = if map.block_len > 0 { &mut map.block } else { &mut map.parameters };
                    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
                    lines.push(Line { name, offset, len, matrix });
                }
            }
        }
        map
    }

    pub(super) fn place(&self, name: &str) -> &Line {
        self.block.iter().find(|line| line.name == name).unwrap_or_else(|| panic!("no {name} in the map"))
    }
}

/// Regions follow each other without overlap, start at whole vectors, and end where their buffer ends.
pub(super) fn check_order(lines: &[Line], len: usize, context: &str) {
    let mut next = 0;
    for line in lines {
        assert_eq!(line.offset, next, "{context}: {}", line.name);
        assert!(line.offset.is_multiple_of(LANES), "{context}: {} at {}", line.name, line.offset);
        if let Some((rows, columns, leading_dimension)) = line.matrix {
            assert!(leading_dimension >= columns && leading_dimension.is_multiple_of(LANES), "{context}: {line:?}");
            assert_eq!(line.len, rows * leading_dimension, "{context}: {line:?}");
        }
        next += line.len;
    }
    assert_eq!(next, len, "{context}: the end");
}

#[test]
fn regions_are_disjoint_in_order_and_inside() {
    let mut random = random(1);
    for _ in 0..500 {
        let graph = random_chain(&mut random);
        let (batch, parts) = (random.random_range(1..=300), random.random_range(1..=64));
        let context = format!("{graph:?}, {batch} rows, {parts} parts");
        for plan in [Plan::training(graph.network(), batch, parts), Plan::inference(graph.network(), batch, parts)] {
            let map = Map::of(&plan);
            assert_eq!((map.parameters_len, map.workspace_len), (plan.parameters_len(), plan.workspace_len()), "{context}");
            assert_eq!(map.workspace_len, parts * map.block_len + map.squares_len, "{context}");
            check_order(&map.parameters, map.parameters_len, &context);
            let shapes = map.parameters.iter().map(|line| line.matrix.map(|(rows, columns, _)| rows * columns));
            assert_eq!(shapes.sum::<Option<usize>>(), Some(plan.parameter_count()), "{context}");
            assert_eq!(plan.state_len(2), 2 * plan.parameters_len());
            if plan.purpose() == Purpose::Training {
                check_order(&map.block, map.block_len, &context);
            } else {
                check_turns(&map, &graph.layers, &context);
            }
        }
    }
}

/// In inference the outputs of layers take turns in two places: every output is apart from the one before, the input and the losses.
fn check_turns(map: &Map, layers: &[Layer], context: &str) {
    let (input, losses) = (map.place("input"), map.place("losses"));
    assert_eq!((input.offset, losses.offset + losses.len), (0, map.block_len), "{context}");
    let outputs: Vec<&Line> = (0..layers.len()).map(|i| map.place(&format!("layer {i} output"))).collect();
    for output in &outputs {
        assert!(output.offset >= input.len && output.offset + output.len <= losses.offset, "{context}: {output:?}");
    }
    for pair in outputs.windows(2) {
        let (low, high) = if pair[0].offset < pair[1].offset { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
        assert!(low.offset + low.len <= high.offset, "{context}: {pair:?}");
    }
}

/// What a step leaves in its workspace lies where the map says.
#[test]
fn the_map_is_true() {
    let graph = Graph::chain(6, &[(20, Relu), (3, Softmax)]);
    let (batch, parts) = (10, 4);
    let plan = Plan::training(graph.network(), batch, parts);
    let map = Map::of(&plan);
    let mut random = random(2);
    let data = Data::new(&mut random, batch, 6, 3);
    let start = parameters(&plan, &mut random, f32::NAN);
    let mut buffers = Buffers::new(&plan, &SGD, start.clone());
    let order: Vec<u32> = (0..batch as u32).collect();
    let inputs = Inputs::Bytes { rows: &data.bytes, order: &order, scaling: Scaling::UNIT };
    let context = Context { isa: Isa::detect(), plan: &plan, executor: &Serial::new(parts) };
    let report = buffers.step(&context, SGD, &Given::one(inputs, &data.labels).batch());

    let (mut losses, mut hits, mut last_gradients) = (0.0, 0.0, vec![0.0; 3]);
    for part in 0..parts {
        let block = &buffers.workspace[part * map.block_len..][..map.block_len];
        let rows = (part * 3).min(batch)..(part * 3 + 3).min(batch);
        let matrix = |name: &str| {
            let line = map.place(name);
            let (_, columns, leading_dimension) = line.matrix.expect("a matrix");
            MatRef::new(&block[line.offset..line.offset + line.len], rows.len(), columns, leading_dimension)
        };
        let (input, hidden, gradient) = (matrix("input"), matrix("layer 0 output"), matrix("layer 0 gradient"));
        for (i, row) in rows.clone().enumerate() {
            assert_eq!(input.row(i), data.matrix().row(row));
            for (j, (&y, &dz)) in hidden.row(i).iter().zip(gradient.row(i)).enumerate() {
                let kernel = graph.layers[0].kernel.of(&start);
                let z = (0..6).fold(graph.layers[0].bias.of(&start).row(0)[j], |z, k| input.row(i)[k] * kernel.row(k)[j] + z);
                assert!((y - z.max(0.0)).abs() < 1e-5, "row {row}, unit {j}: {} expected, found {y}", z.max(0.0));
                assert_eq!(dz != 0.0, y > 0.0, "row {row}, unit {j}: gradient {dz} behind output {y}");
            }
            for (sum, g) in last_gradients.iter_mut().zip(matrix("layer 1 gradient").row(i)) {
                *sum += g;
            }
        }
        let place = map.place("losses");
        hits += if rows.is_empty() { 0.0 } else { block[place.offset] };
        losses += block[place.offset + LANES..][..rows.len()].iter().sum::<f32>();
    }
    assert!((losses - report.loss_sum).abs() < 1e-5 && hits as usize == report.hits(), "{losses}, {hits}, {report:?}");
    let (before, after) = (graph.layers[1].bias.of(&start), graph.layers[1].bias.of(&buffers.parameters));
    for ((before, after), g) in before.row(0).iter().zip(after.row(0)).zip(last_gradients) {
        assert!((before - 0.1 * g - after).abs() < 1e-6);
    }
}

#[test]
fn leading_dimensions() {
    for (columns, expected) in [(0, 0), (1, 16), (16, 16), (17, 32), (255, 272), (256, 272), (257, 272), (300, 304), (512, 528)] {
        assert_eq!(leading_dimension(columns), expected, "{columns} columns");
    }
}

static FASHION: Chain<3> =
    sequential(784, [LayerSpec::dense(300, Relu), LayerSpec::dense(100, Relu), LayerSpec::dense(10, Softmax)]);

#[test]
fn parameter_counts() {
    assert_eq!(FASHION.network().layers().iter().map(Layer::parameter_count).collect::<Vec<_>>(), [235_500, 30_100, 1_010]);
    let plan = Plan::training(FASHION.network(), 32, 2);
    assert_eq!(plan.parameter_count(), 266_610);
    assert_eq!(unpadded(&plan, &vec![0.0; plan.parameters_len()]).len(), 266_610);
    // Two operations for each multiply-add: forward, weight gradients, input gradients of all layers but the first.
    assert_eq!(plan.operations_per_row(), 2 * (2 * 784 * 300 + 3 * 300 * 100 + 3 * 100 * 10));
    assert_eq!(Plan::inference(FASHION.network(), 32, 2).operations_per_row(), 2 * (784 * 300 + 300 * 100 + 100 * 10));
}

#[test]
fn memory_maps() {
    assert_eq!(Plan::training(FASHION.network(), 32, 2).to_string(), include_str!("training_map.txt"));
    assert_eq!(Plan::inference(FASHION.network(), 32, 2).to_string(), include_str!("inference_map.txt"));
}

static CHAIN: Chain<2> = sequential(4, [LayerSpec::dense(8, Relu), LayerSpec::dense(3, Softmax)]);
static PLAN: Plan<'static> = Plan::training(CHAIN.network(), 2, 1);
static PARAMETERS: Mutex<Aligned<[f32; PLAN.parameters_len()]>> = Mutex::new(Aligned([0.0; PLAN.parameters_len()]));
static STATE: Mutex<Aligned<[f32; PLAN.state_len(1)]>> = Mutex::new(Aligned([0.0; PLAN.state_len(1)]));
static WORKSPACE: Mutex<Aligned<[f32; PLAN.workspace_len()]>> = Mutex::new(Aligned([0.0; PLAN.workspace_len()]));

/// A plan is a constant, and statics of the sizes that it says are enough to train in.
#[test]
fn a_step_in_statics() {
    let mut parameters = PARAMETERS.lock().expect("parameters");
    let mut state = STATE.lock().expect("state");
    let mut workspace = WORKSPACE.lock().expect("workspace");
    let (parameters, state, workspace) = (&mut parameters.0[..], &mut state.0[..], &mut workspace.0[..]);
    let mut memory = Memory { parameters, state, gradients: &mut [], workspace };
    let inputs = Inputs::Rows(MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, 4, 4));
    let context = Context { isa: Isa::detect(), plan: &PLAN, executor: &Serial::new(1) };
    let report = train_step(&context, &MOMENTUM.into(), &Given::one(inputs, &[0, 2]).batch(), &mut memory);
    // All logits are 0: each row costs ln 3, and every row's first logit is a largest one.
    assert!((report.loss_sum - 2.0 * 3f32.ln()).abs() < 1e-6, "{report:?}");
    assert_eq!(report.hits(), 1);
    // Only the last bias moves: by the rate times (truth - probability), averaged over two rows.
    let bias = PLAN.layers()[1].bias;
    let (moved, still) = (bias.of(memory.parameters).row(0), &memory.parameters[..bias.offset]);
    for (moved, gradient) in moved.iter().zip([1.0 / 3.0 - 0.5, 1.0 / 3.0, 1.0 / 3.0 - 0.5]) {
        assert!((moved + 0.1 * gradient).abs() < 1e-7, "{moved}");
    }
    assert!(still.iter().all(|&w| w == 0.0));
}

pub(super) fn message(body: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).expect("a message")
}

/// Every argument of a step that does not fit its plan is refused with what was expected and what was found.
#[test]
fn wrong_arguments_are_refused_with_both_numbers() {
    let data = Data::new(&mut random(3), 3, 4, 3);
    let labels = &[0, 1, 2][..];
    let serial = Serial::new(1);
    let isa = Isa::PORTABLE;
    let (parameters_len, workspace_len) = (PLAN.parameters_len(), PLAN.workspace_len());
    let rows = |count: usize| Inputs::Rows(MatRef::new(&data.values, count, 4, 4));
    let context = Context { isa, plan: &PLAN, executor: &serial };
    let train = |context: &Context<'_>, inputs: Inputs<'_>, labels: &[u32], lengths: [usize; 3]| {
        let [mut parameters, mut state, mut workspace] = lengths.map(|len| vec![0.0; len]);
        let mut memory = Memory { parameters: &mut parameters, state: &mut state, gradients: &mut [], workspace: &mut workspace };
        message(|| {
            train_step(context, &MOMENTUM.into(), &Given::one(inputs, labels).batch(), &mut memory);
        })
    };
    let lengths = [parameters_len, parameters_len, workspace_len];
    let short = |i: usize| {
        let mut short = lengths;
        short[i] -= 1;
        short
    };
    let at_least = |name: &str, expected: usize| format!("{name}: at least {expected} elements expected, found {}", expected - 1);
    assert_eq!(train(&context, rows(2), labels, short(0)), at_least("parameters", parameters_len));
    assert_eq!(train(&context, rows(2), labels, short(1)), at_least("optimizer state", parameters_len));
    assert_eq!(train(&context, rows(2), labels, short(2)), at_least("workspace", workspace_len));
    assert_eq!(train(&context, rows(2), &labels[..1], lengths), "targets of 2 rows expected, found 1");
    assert_eq!(train(&context, rows(3), labels, lengths), "1 to 2 rows expected, found 3");
    assert_eq!(train(&context, rows(0), labels, lengths), "1 to 2 rows expected, found 0");
    let wide = Inputs::Rows(MatRef::new(&data.values, 2, 5, 5));
    assert_eq!(train(&context, wide, labels, lengths), "rows of 4 inputs expected, found 5");
    let two = Context { executor: &Serial::new(2), ..context };
    assert_eq!(train(&two, rows(2), labels, lengths), "an executor of 1 parts expected, found 2");

    let inference = Plan::inference(CHAIN.network(), 2, 1);
    let wrong_plan = Context { plan: &inference, ..context };
    assert_eq!(train(&wrong_plan, rows(2), labels, lengths), "a plan for Training expected, found one for Inference");
    let parameters = vec![0.0; parameters_len];
    let run = |context: &Context<'_>, missing: [usize; 2], (rows_out, columns): (usize, usize)| {
        let mut workspace = vec![0.0; inference.workspace_len() - missing[1]];
        let mut outputs = [0.0; 64];
        let outputs = MatMut::new(&mut outputs, rows_out, columns, columns);
        message(|| predict(context, &[rows(2)], &parameters[missing[0]..], &mut workspace, &mut [outputs]))
    };
    assert_eq!(run(&wrong_plan, [1, 0], (2, 3)), at_least("parameters", parameters_len));
    assert_eq!(run(&wrong_plan, [0, 1], (2, 3)), at_least("workspace", inference.workspace_len()));
    assert_eq!(run(&wrong_plan, [0, 0], (1, 3)), "outputs of 2 x 3 expected, found 1 x 3");
    assert_eq!(run(&wrong_plan, [0, 0], (2, 4)), "outputs of 2 x 3 expected, found 2 x 4");
    assert_eq!(run(&context, [0, 0], (2, 3)), "a plan for Inference expected, found one for Training");
    let mut workspace = vec![0.0; inference.workspace_len()];
    let given = Given::one(rows(2), &[0]);
    let found = message(|| {
        evaluate(&wrong_plan, &given.batch(), &parameters, &mut workspace);
    });
    assert_eq!(found, "targets of 2 rows expected, found 1");
}

#[test]
fn networks_that_cannot_be_planned() {
    let huge = usize::MAX;
    let error = |in_dim, units: &[usize]| {
        let specs: Vec<LayerSpec> = units.iter().map(|&units| LayerSpec::dense(units, Relu)).collect();
        let chained = specs.iter().enumerate().map(|(i, spec)| if i == 0 { *spec } else { spec.of(Value::Layer(i - 1)) });
        let outputs = [Output::of(specs.len().saturating_sub(1))];
        Graph::arrange(&[in_dim], &chained.collect::<Vec<_>>(), &outputs).expect_err("a network that cannot be planned")
    };
    assert_eq!(error(3, &[]), PlanError::NoLayers);
    assert_eq!(error(0, &[3]), PlanError::Empty { layer: 0, in_dim: 0, out_dim: 3 });
    assert_eq!(error(3, &[0]), PlanError::Empty { layer: 0, in_dim: 3, out_dim: 0 });
    for (in_dim, out_dim) in [(1, huge), (huge, 1), (huge, huge), (1 << 32, 1 << 32), (1 << 30, 1 << 30), (huge - 15, 16)] {
        assert_eq!(error(in_dim, &[out_dim]), PlanError::TooLarge { layer: 0, in_dim, out_dim });
    }
    assert_eq!(error(3, &[4, 0]), PlanError::Empty { layer: 1, in_dim: 4, out_dim: 0 });
    assert_eq!(error(3, &[4, huge]), PlanError::TooLarge { layer: 1, in_dim: 4, out_dim: huge });
    let texts = [
        (PlanError::NoLayers, "at least 1 layer expected, found 0"),
        (PlanError::Empty { layer: 1, in_dim: 4, out_dim: 0 }, "layer 1: at least 1 input and 1 output expected, found 4 and 0"),
        (PlanError::TooLarge { layer: 2, in_dim: 5, out_dim: 6 }, "layer 2: parameters that fit into memory expected, found 5 x 6"),
        (PlanError::SoftmaxInside { layer: 0 }, "layer 0: softmax expected on the last layer only, found with layers behind it"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
    // Layers that fit one by one, and together do not.
    let error = error(1 << 27, &[1 << 27; 100]);
    assert!(matches!(error, PlanError::TooLarge { in_dim: 0x800_0000, out_dim: 0x800_0000, .. }), "{error:?}");
}

/// Sizes so large that counting them would overflow are refused, never wrapped around.
#[test]
fn plans_that_cannot_be() {
    let refusals = [
        (message(|| _ = Plan::training(CHAIN.network(), 0, 1)), "at least 1 row expected, found 0"),
        (message(|| _ = Plan::inference(CHAIN.network(), 1, 0)), "1 to 64 parts expected"),
        (message(|| _ = Plan::inference(CHAIN.network(), 1, 65)), "1 to 64 parts expected"),
        (
            message(|| _ = sequential(3, [LayerSpec::dense(2, Softmax), LayerSpec::dense(2, Softmax)])),
            "softmax is for the last layer only",
        ),
        (message(|| _ = sequential(0, [LayerSpec::dense(2, Softmax)])), "a layer has no inputs, no outputs or too many"),
        (message(|| _ = sequential(3, [])), "at least 1 layer expected, found 0"),
    ];
    for (found, expected) in refusals {
        assert_eq!(found, expected);
    }
    for batch in (20..usize::BITS).map(|bit| 1 << bit).chain([usize::MAX, usize::MAX - 1024]) {
        for plan in [Plan::training, Plan::inference] {
            match catch_unwind(|| plan(CHAIN.network(), batch, 64)) {
                // In f64 nothing wraps: at least an input and the outputs of each row.
                Ok(plan) => assert!(plan.workspace_len() as f64 >= batch as f64 * 48.0, "{batch} rows: {}", plan.workspace_len()),
                Err(_) => assert!(batch >= 1 << 40, "{batch} rows would fit"),
            }
        }
    }
}

#[test]
fn parts_are_of_use_from_a_million_operations_on() {
    static NETWORK: Chain<2> = sequential(100, [LayerSpec::dense(50, Relu), LayerSpec::dense(10, Softmax)]);
    // 2 * 2 * 100 * 50 + 3 * 2 * 50 * 10 operations, and 2 * 100 * 50 + 2 * 50 * 10 without gradients.
    let training = Plan::training(NETWORK.network(), 1, 1);
    assert_eq!(training.operations_per_row(), 23_000);
    for (rows, most, expected) in [(1, 8, 1), (43, 8, 1), (86, 8, 1), (87, 8, 2), (87, 1, 1), (300, 8, 6), (usize::MAX, 64, 64)] {
        assert_eq!(training.useful_parts(rows, most), expected, "{rows} rows");
    }
    let inference = Plan::inference(NETWORK.network(), 1, 3);
    assert_eq!(inference.operations_per_row(), 11_000);
    assert_eq!([90, 182].map(|rows| inference.useful_parts(rows, 8)), [1, 2]);
}
