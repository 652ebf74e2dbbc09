//! Every network that cannot be arranged, and every argument that does not fit a plan, is refused with what was expected and found.

use super::graphs::wide_and_deep;
use super::plan::message;
use super::{Graph, Sample, random};
use selvedge::error::PlanError;
use selvedge::exec::{
    Batch, Clipping, Context, Inputs, Noise, Step, Targets, evaluate, gradients, predict, predict_with_dropout, train_step, update,
};
use selvedge::kernels::gather::Scaling;
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Optimizer};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::parallel::Serial;
use selvedge::plan::{
    Activation, BatchNorm, Dropout, Layer, LayerSpec, Loss, Memory, Network, Operation, Output, Plan, Value, arrange, sequential,
};
use selvedge::simd::Isa;

use Value::{Input as I, Layer as L};

const NORM: BatchNorm = BatchNorm::KERAS;

fn dense(activation: Activation, input: Value) -> LayerSpec {
    LayerSpec::dense(4, activation).of(input)
}

fn identity(activation: Activation, input: Value) -> LayerSpec {
    LayerSpec { activation, ..LayerSpec::identity().of(input) }
}

fn merge(operation: Operation, input: Value) -> LayerSpec {
    LayerSpec { operation, ..LayerSpec::identity().of(input) }
}

#[track_caller]
fn assert_refused(inputs: &[usize], specs: &[LayerSpec], outputs: &[Output], expected: PlanError, text: &str) {
    let found = Graph::arrange(inputs, specs, outputs).expect_err("a network that cannot be arranged");
    assert_eq!(found, expected);
    assert_eq!(found.to_string(), text);
}

/// Of a network whose last layer is its output.
#[track_caller]
fn assert_chain_refused(inputs: &[usize], specs: &[LayerSpec], expected: PlanError, text: &str) {
    assert_refused(inputs, specs, &[Output::of(specs.len() - 1)], expected, text);
}

#[test]
fn values_that_are_not_there() {
    use Activation::{Linear, Relu};
    let before = |layer| PlanError::UnknownValue { layer, found: I(1) };
    let text = "layer 0: an input or an earlier layer expected, found Input(1)";
    assert_chain_refused(&[3], &[dense(Relu, I(1))], before(0), text);
    for later in [1, 2, 7, usize::MAX] {
        let text = format!("layer 1: an input or an earlier layer expected, found Layer({later})");
        let expected = || PlanError::UnknownValue { layer: 1, found: L(later) };
        for second in [dense(Relu, L(later)), merge(Operation::Add(L(later)), L(0)), merge(Operation::Concatenate(L(later)), L(0))]
        {
            assert_chain_refused(&[3], &[dense(Relu, I(0)), second, dense(Relu, L(1))], expected(), &text);
        }
    }
    let columns = PlanError::Columns { layer: 1, expected: 4, found: 3 };
    let text = "layer 1: values of the same width expected, found 4 and 3 columns";
    assert_chain_refused(&[3], &[dense(Linear, I(0)), merge(Operation::Add(I(0)), L(0))], columns, text);
    assert_chain_refused(
        &[3, 5],
        &[dense(Relu, I(0))],
        PlanError::Unused { found: I(1) },
        "a layer that takes every value expected, found none that takes Input(1)",
    );
    assert_chain_refused(
        &[3],
        &[dense(Relu, I(0)), dense(Relu, I(0))],
        PlanError::Unused { found: L(0) },
        "a layer that takes every value expected, found none that takes Layer(0)",
    );
    assert_chain_refused(
        &[0],
        &[identity(Relu, I(0))],
        PlanError::Empty { layer: 0, in_dim: 0, out_dim: 0 },
        "layer 0: at least 1 input and 1 output expected, found 0 and 0",
    );
}

#[test]
fn numbers_of_inputs_and_outputs() {
    let count = |what, found| PlanError::Count { what, limit: 8, found };
    let all: Vec<LayerSpec> = (0..9).map(|i| dense(Activation::Linear, I(i))).collect();
    let outputs: Vec<Output> = (0..9).map(Output::of).collect();
    assert_refused(&[1; 9], &all, &outputs, count("inputs", 9), "1 to 8 inputs expected, found 9");
    let of_one: Vec<LayerSpec> = all.iter().map(|spec| spec.of(I(0))).collect();
    assert_refused(&[1], &of_one, &outputs, count("outputs", 9), "1 to 8 outputs expected, found 9");
    assert_refused(&[1], &of_one[..1], &[], count("outputs", 0), "1 to 8 outputs expected, found 0");
    Graph::arrange(&[1; 8], &all[..8], &outputs[..8]).expect("as many as there may be");
    let layers = Graph::chain(3, &[(2, Activation::Relu)]).layers;
    assert_eq!(Network::new(&[], &layers, &outputs[..1]).expect_err("no inputs"), count("inputs", 0));
    let twice = [Output::of(0), Output::of(0)];
    let text = "layer 0: one output of a layer expected, found a second";
    assert_refused(&[1], &of_one[..1], &twice, PlanError::OutputTwice { layer: 0 }, text);
    let unknown = |layer| PlanError::UnknownOutput { layer, layers: 2 };
    for layer in [2, usize::MAX] {
        let text = format!("an output of one of 2 layers expected, found layer {layer}");
        assert_refused(&[1], &of_one[..2], &[Output::of(layer)], unknown(layer), &text);
    }
    // Arranged for other outputs.
    let chain = Graph::chain(3, &[(2, Activation::Relu), (2, Activation::Relu)]);
    let found = Network::new(&chain.inputs, &chain.layers, &outputs[..1]).expect_err("another output");
    assert_eq!(found, unknown(0));
}

#[test]
fn parameters_out_of_range() {
    for found in [-1.0, -f32::MIN_POSITIVE, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        for (name, activation) in [("slope", Activation::LeakyRelu { slope: found }), ("alpha", Activation::Elu { alpha: found })] {
            let error = Graph::arrange(&[3], &[dense(activation, I(0))], &[Output::of(0)]).expect_err("a bad parameter");
            assert!(matches!(error, PlanError::Parameter { layer: 0, name: of, .. } if of == name), "{error:?}");
            assert_eq!(error.to_string(), format!("layer 0: {name} of at least 0 expected, found {found}"));
        }
    }
    let rates = |rate| [Dropout::Plain(rate), Dropout::Alpha(rate)];
    for dropout in [-0.1, 1.1, f64::NAN, f64::INFINITY].into_iter().flat_map(rates).chain([Dropout::Alpha(1.0)]) {
        let (Dropout::Plain(rate) | Dropout::Alpha(rate)) = dropout;
        let specs = [identity(Activation::Linear, I(0)).dropout(dropout)];
        let error = Graph::arrange(&[3], &specs, &[Output::of(0)]).expect_err("a bad rate");
        assert!(matches!(error, PlanError::Rate { layer: 0, .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("layer 0: a dropout rate from 0 to 1 expected, found {rate}"));
    }
    let huge = usize::MAX;
    let too_large = PlanError::TooLarge { layer: 0, in_dim: huge, out_dim: huge };
    let text = format!("layer 0: parameters that fit into memory expected, found {huge} x {huge}");
    assert_chain_refused(&[huge], &[identity(Activation::Relu, I(0))], too_large, &text);
    for operation in [Operation::Concatenate(I(0)), Operation::Add(I(0))] {
        let error = Graph::arrange(&[huge / 2 + 1], &[merge(operation, I(0))], &[Output::of(0)]).expect_err("too large");
        assert!(matches!(error, PlanError::TooLarge { layer: 0, .. }), "{error:?}");
    }
}

/// What can be one layer: all others have to be layers of their own.
#[test]
fn parts_that_do_not_go_together() {
    use Activation::*;
    let refused = |spec: LayerSpec, expected: &'static str| {
        let text = format!("layer 0: {expected} expected, found both in one layer");
        assert_chain_refused(&[4], &[spec], PlanError::Merged { layer: 0, expected }, &text);
    };
    let (plain, alpha) = (Dropout::Plain(0.5), Dropout::Alpha(0.5));
    for operation in [Operation::Concatenate(I(0)), Operation::Add(I(0))] {
        let spec = merge(operation, I(0));
        for followed in [spec.batch_norm(NORM), spec.dropout(plain), spec.dropout(alpha), LayerSpec { activation: Relu, ..spec }] {
            refused(followed, "an operation alone");
        }
    }
    for activation in [Gelu, GeluTanh, Swish, PRelu] {
        refused(dense(activation, I(0)).batch_norm(NORM), "a normalization without this activation");
        refused(identity(activation, I(0)).batch_norm(NORM), "a normalization without this activation");
    }
    for activation in [Tanh, Sigmoid, Selu, Gelu, PRelu, Softmax, LeakyRelu { slope: 0.1 }] {
        refused(dense(activation, I(0)).dropout(plain), "an activation without dropout");
    }
    refused(identity(Relu, I(0)).dropout(plain), "an activation without dropout");
    refused(dense(Relu, I(0)).dropout(alpha), "an activation without dropout");
    for fits in [
        dense(Relu, I(0)).dropout(plain),
        dense(Linear, I(0)).dropout(alpha),
        identity(Relu, I(0)).batch_norm(NORM).dropout(plain),
        identity(Tanh, I(0)).batch_norm(NORM),
    ] {
        Graph::arrange(&[4], &[fits], &[Output::of(0)]).unwrap_or_else(|e| panic!("{fits:?}: {e}"));
    }
}

#[test]
fn losses_that_do_not_go_with_activations() {
    use Activation::{Relu, Sigmoid, Softmax};
    let sparse = Loss::SparseCategoricalCrossentropy { label_smoothing: 0.0 };
    let binary = Loss::BinaryCrossentropy { label_smoothing: 0.0 };
    let output = |layer, loss| Output { layer, loss, weight: 1.0 };
    let text = "layer 0: a loss that goes with the activation expected, found one that does not";
    for loss in [binary, Loss::MeanSquaredError, Loss::MeanAbsoluteError, Loss::Huber { delta: 1.0 }] {
        assert_refused(&[3], &[dense(Softmax, I(0))], &[output(0, loss)], PlanError::LossOfActivation { layer: 0 }, text);
    }
    let inside = PlanError::SoftmaxInside { layer: 0 };
    let text = "layer 0: softmax expected on the last layer only, found with layers behind it";
    for (activation, loss) in [(Softmax, sparse), (Sigmoid, binary)] {
        let specs = [dense(activation, I(0)), dense(Relu, L(0))];
        assert_refused(&[3], &specs, &[output(0, loss), output(1, sparse)], inside.clone(), text);
    }
    assert_refused(&[3], &[dense(Softmax, I(0)), dense(Relu, L(0))], &[output(1, sparse)], inside, text);
    // A sigmoid that its loss does not compute can be anywhere.
    let outputs = [output(0, Loss::MeanSquaredError), output(1, sparse)];
    Graph::arrange(&[3], &[dense(Sigmoid, I(0)), dense(Relu, L(0))], &outputs).expect("a network");
}

#[test]
fn chains_in_constants() {
    use Activation::*;
    let relu = LayerSpec::dense(2, Relu);
    let refusals = [
        (
            message(|| _ = sequential(3, [LayerSpec::dense(2, Elu { alpha: -1.0 })])),
            "an activation's parameter is not a finite number of at least 0",
        ),
        (message(|| _ = sequential(3, [relu.dropout(Dropout::Plain(1.5))])), "a dropout rate is not from 0 to 1"),
        (message(|| _ = sequential(3, [relu.dropout(Dropout::Alpha(0.5))])), "parts of a layer do not go together"),
        (message(|| _ = sequential(3, [LayerSpec::dense(2, Softmax), relu])), "softmax is for the last layer only"),
        (
            message(|| _ = sequential(3, [LayerSpec::dense(2, Softmax)]).loss(Loss::MeanSquaredError)),
            "a loss that goes with the last activation expected",
        ),
        (
            message(|| {
                let _ = arrange(&mut [], &[relu, relu], &[], &mut [Layer::EMPTY]);
            }),
            "as many layers as specs expected",
        ),
    ];
    for (found, expected) in refusals {
        assert_eq!(found, expected);
    }
}

const MOMENTUM: Optimizer = Optimizer::Momentum(Momentum { learning_rate: 0.1, momentum: 0.9, kind: MomentumKind::Classic });

/// Lengths of parameters, state, gradients and workspace.
type Lengths = [usize; 4];

/// Calls a function of the training kind with buffers of these lengths.
fn train(call: impl FnOnce(&mut Memory<'_>), lengths: Lengths) -> String {
    let [mut parameters, mut state, mut gradients, mut workspace] = lengths.map(|len| vec![0.1; len]);
    let mut memory =
        Memory { parameters: &mut parameters, state: &mut state, gradients: &mut gradients, workspace: &mut workspace };
    message(|| call(&mut memory))
}

#[test]
fn buffers_that_are_too_short() {
    let graph = wide_and_deep();
    let plan = Plan::training(graph.network(), 4, 1);
    let context = Context { isa: Isa::PORTABLE, plan: &plan, executor: &Serial::new(1) };
    let sample = Sample::new(&mut random(1), &plan, 4);
    let given = sample.given();
    let batch = given.batch();
    let needed: Lengths = [plan.parameters_len(), plan.state_len(1), plan.parameters_len(), plan.workspace_len()];
    let names = ["parameters", "optimizer state", "gradients", "workspace"];
    let plain = Step::new(MOMENTUM);
    let clipped = Step { clipping: Clipping::GlobalNorm(1.0), ..plain };
    for (i, name) in names.into_iter().enumerate() {
        let mut lengths = needed;
        lengths[i] -= 1;
        let expected = format!("{name}: at least {} elements expected, found {}", needed[i], lengths[i]);
        if name != "gradients" {
            assert_eq!(train(|memory| _ = train_step(&context, &plain, &batch, memory), lengths), expected);
        }
        if name != "optimizer state" {
            assert_eq!(train(|memory| _ = gradients(&context, &Noise::default(), &batch, memory), lengths), expected);
        }
        if name != "workspace" {
            assert_eq!(train(|memory| update(&context, &plain, memory), lengths), expected);
        }
        assert_eq!(train(|memory| update(&context, &clipped, memory), lengths), expected);
        assert_eq!(train(|memory| _ = train_step(&context, &clipped, &batch, memory), lengths), expected);
    }
    let inference = Plan::inference(graph.network(), 4, 1);
    let expected = "a plan for training expected, found one for Inference";
    assert_eq!(train(|memory| update(&Context { plan: &inference, ..context }, &clipped, memory), needed), expected);
    // What is not used may be missing.
    let mut memory = needed.map(|len| vec![0.1; len]);
    let [parameters, state, _, workspace] = &mut memory;
    train_step(&context, &plain, &batch, &mut Memory { parameters, state, gradients: &mut [], workspace });
    gradients(
        &context,
        &plain.noise,
        &batch,
        &mut Memory { parameters, state: &mut [], gradients: &mut vec![0.0; needed[2]], workspace },
    );
}

/// Each batch that does not fit, in training and in evaluation.
#[test]
fn minibatches_that_do_not_fit() {
    let graph = wide_and_deep();
    let (training, inference) = (Plan::training(graph.network(), 4, 1), Plan::inference(graph.network(), 4, 1));
    let context = Context { isa: Isa::PORTABLE, plan: &training, executor: &Serial::new(1) };
    let sample = Sample::new(&mut random(1), &training, 4);
    let given = sample.given();
    let (inputs, targets) = (&given.inputs[..], &given.targets[..]);
    let lengths = [training.parameters_len(), training.state_len(1), 0, training.workspace_len()];
    let found = |inputs: &[Inputs<'_>], targets: &[Targets<'_>], weights: Option<&[f32]>| {
        let batch = Batch { inputs, targets, weights };
        let found = train(|memory| _ = train_step(&context, &MOMENTUM.into(), &batch, memory), lengths);
        let parameters = vec![0.1; inference.parameters_len()];
        let mut workspace = vec![0.0; inference.workspace_len()];
        let other = Context { plan: &inference, ..context };
        assert_eq!(message(|| _ = evaluate(&other, &batch, &parameters, &mut workspace)), found);
        found
    };
    let matrix = |rows: usize, columns: usize| MatRef::new(&[0.5; 100], rows, columns, columns);
    let rows = |count, columns| Inputs::Rows(matrix(count, columns));
    let order = [0, 1, 2, 3, 4, 5];
    assert_eq!(found(&inputs[..1], targets, None), "rows of 2 inputs expected, found 1");
    assert_eq!(found(&[inputs[0], inputs[1], inputs[1]], targets, None), "rows of 2 inputs expected, found 3");
    assert_eq!(found(&[rows(5, 5), rows(5, 7)], targets, None), "1 to 4 rows expected, found 5");
    assert_eq!(found(&[rows(0, 5), rows(0, 7)], targets, None), "1 to 4 rows expected, found 0");
    assert_eq!(found(&[inputs[0], rows(3, 7)], targets, None), "4 rows of every input expected, found 3");
    assert_eq!(found(&[inputs[0], rows(4, 8)], targets, None), "rows of 7 inputs expected, found 8");
    let gathered = Inputs::Gathered { rows: matrix(6, 6), order: &order[..4] };
    assert_eq!(found(&[gathered, inputs[1]], targets, None), "rows of 5 inputs expected, found 6");
    let bytes = Inputs::Bytes { rows: &[0; 70], order: &order, scaling: Scaling::UNIT };
    assert_eq!(found(&[inputs[0], bytes], targets, None), "4 rows of every input expected, found 6");

    assert_eq!(found(inputs, &targets[..1], None), "targets of 2 outputs expected, found 1");
    assert_eq!(found(inputs, &[targets[0], Targets::Labels(&[0, 1, 2])], None), "targets of 4 rows expected, found 3");
    assert_eq!(found(inputs, &[Targets::Rows(matrix(3, 2)), targets[1]], None), "targets of 4 rows expected, found 3");
    let short = Targets::Gathered { rows: matrix(6, 2), order: &order[..3] };
    assert_eq!(found(inputs, &[short, targets[1]], None), "targets of 4 rows expected, found 3");
    for wide in [Targets::Rows(matrix(4, 3)), Targets::Gathered { rows: matrix(6, 3), order: &order[..4] }] {
        assert_eq!(found(inputs, &[wide, targets[1]], None), "targets of 2 columns expected, found 3");
    }
    let labels = "rows of 2 numbers as targets of MeanSquaredError expected, found labels";
    assert_eq!(found(inputs, &[targets[1], targets[1]], None), labels);
    let numbers = "labels as targets of SparseCategoricalCrossentropy { label_smoothing: 0.0 } expected, found rows of numbers";
    assert_eq!(found(inputs, &[targets[0], Targets::Rows(matrix(4, 3))], None), numbers);
    assert_eq!(found(inputs, targets, Some(&[1.0; 3])), "weights of 4 rows expected, found 3");
    let label = found(inputs, &[targets[0], Targets::Labels(&[0, 3, 1, 1])], None);
    assert_eq!(label, "a label below 3 expected in row 1, found 3");
}

#[test]
fn plans_executors_and_outputs_that_do_not_fit() {
    let graph = wide_and_deep();
    let (training, inference) = (Plan::training(graph.network(), 4, 1), Plan::inference(graph.network(), 4, 1));
    let sample = Sample::new(&mut random(1), &training, 4);
    let given = sample.given();
    let lengths = [training.parameters_len(), training.state_len(1), training.parameters_len(), training.workspace_len()];
    let right = Context { isa: Isa::PORTABLE, plan: &training, executor: &Serial::new(1) };
    let two = Context { executor: &Serial::new(2), ..right };
    let wrong = Context { plan: &inference, ..right };
    let plans = "a plan for Training expected, found one for Inference";
    for (context, expected) in [(two, "an executor of 1 parts expected, found 2"), (wrong, plans)] {
        let batch = given.batch();
        assert_eq!(train(|memory| _ = train_step(&context, &MOMENTUM.into(), &batch, memory), lengths), expected);
        assert_eq!(train(|memory| _ = gradients(&context, &Noise::default(), &batch, memory), lengths), expected);
    }
    let parameters = vec![0.1; inference.parameters_len()];
    let ask = |context: &Context<'_>, shapes: &[(usize, usize)], missing: [usize; 2]| {
        let mut workspace = vec![0.0; inference.workspace_len() - missing[1]];
        let mut buffers = vec![[0.0; 64]; shapes.len()];
        let matrices = buffers.iter_mut().zip(shapes);
        let mut outputs: Vec<MatMut<'_>> = matrices.map(|(b, &(rows, columns))| MatMut::new(b, rows, columns, columns)).collect();
        let parameters = &parameters[missing[0]..];
        let plain = message(|| predict(context, &given.inputs, parameters, &mut workspace, &mut outputs));
        let noise = Noise::default();
        let with_dropout =
            message(|| predict_with_dropout(context, noise, &given.inputs, parameters, &mut workspace, &mut outputs));
        assert_eq!(plain, with_dropout);
        plain
    };
    let fitting = [(4, 2), (4, 3)];
    assert_eq!(ask(&wrong, &fitting[..1], [0, 0]), "2 outputs expected, found 1");
    assert_eq!(ask(&wrong, &[(4, 2), (3, 3)], [0, 0]), "outputs of 4 x 3 expected, found 3 x 3");
    assert_eq!(ask(&wrong, &[(4, 3), (4, 3)], [0, 0]), "outputs of 4 x 2 expected, found 4 x 3");
    assert_eq!(ask(&right, &fitting, [0, 0]), "a plan for Inference expected, found one for Training");
    let two = Context { plan: &inference, ..two };
    assert_eq!(ask(&two, &fitting, [0, 0]), "an executor of 1 parts expected, found 2");
    let (parameters_len, workspace_len) = (inference.parameters_len(), inference.workspace_len());
    let at_least = |name: &str, len: usize| format!("{name}: at least {len} elements expected, found {}", len - 1);
    assert_eq!(ask(&wrong, &fitting, [1, 0]), at_least("parameters", parameters_len));
    assert_eq!(ask(&wrong, &fitting, [0, 1]), at_least("workspace", workspace_len));
}
