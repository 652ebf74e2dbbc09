//! Layers and networks: names, shapes, merging, and what is refused.

use super::{SGD, weights};
use selvedge::kernels::MatRef;
use selvedge::model::{
    Activation, Adam, Add, AlphaDropout, BatchNormalization, Compile, Concatenate, Dense, Dropout, Examples, Fit, Functional,
    Initializer, LeakyRelu, Loss, Model, ModelError, PRelu, Regularizer, Sequential, Tensor,
};

/// Reproducible numbers from -1 to 1.
pub(super) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| rng.f32() * 2.0 - 1.0).collect()
}

/// The network of the book: one input goes straight to the output, the other through two layers; a second output helps.
pub(super) fn wide_and_deep() -> Functional {
    let mut network = Functional::new().name("wide_and_deep");
    let wide = network.input("wide", &[5]);
    let deep = network.input("deep", &[6]);
    let hidden = network.apply(Dense::new(30).activation(Activation::Relu), &[deep]);
    let hidden = network.apply(Dense::new(30).activation(Activation::Relu), &[hidden]);
    let both = network.apply(Concatenate, &[wide, hidden]);
    let output = network.apply(Dense::new(1).name("main_output"), &[both]);
    let helper = network.apply(Dense::new(1).name("aux_output"), &[hidden]);
    network.outputs(&[output, helper])
}

pub(super) fn compile_wide_and_deep(threads: usize) -> Model {
    let compile = Compile::new(Adam::default())
        .output_loss("main_output", Loss::MeanSquaredError, 0.9)
        .output_loss("aux_output", Loss::MeanSquaredError, 0.1)
        .threads(threads);
    wide_and_deep().compile(compile).unwrap()
}

#[test]
fn summary_of_a_functional_network() {
    let summary = wide_and_deep().summary().unwrap();
    assert_eq!(summary.parameter_counts(), [6 * 30 + 30, 30 * 30 + 30, 0, 36, 31]);
    let text = summary.to_string();
    for line in ["Model: \"wide_and_deep\"", "concatenate (Concatenate)", "(None, 35)", "main_output (Dense)"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn summary_of_batch_normalization_counts_what_is_not_trained() {
    let network = Sequential::new(&[784])
        .add(BatchNormalization::default())
        .add(Dense::new(300).use_bias(false))
        .add(BatchNormalization::default())
        .add(Activation::Relu)
        .add(Dense::new(10).activation(Activation::Softmax));
    let summary = network.summary().unwrap();
    // As Keras counts them: 4 numbers for each column, half of which follow the data.
    assert_eq!(summary.parameter_counts(), [3136, 235_200, 1200, 0, 3010]);
    assert_eq!((summary.trainable(), summary.non_trainable()), (1568 + 235_200 + 600 + 3010, 1568 + 600));
    assert!(summary.to_string().contains(" Non-trainable params: 2,168 (8.47 KB)"), "{summary}");
}

#[test]
fn names_are_those_of_keras_or_the_users() {
    let network = Sequential::new(&[4])
        .add(Dense::new(3))
        .add(BatchNormalization::default())
        .add(LeakyRelu::default())
        .add(PRelu::default())
        .add(Dense::new(3).name("middle"))
        .add(Activation::Relu)
        .add(AlphaDropout::new(0.1))
        .add(Dropout::new(0.1))
        .add(Dense::new(2));
    let expected =
        ["dense", "batch_normalization", "leaky_re_lu", "p_re_lu", "middle", "activation", "alpha_dropout", "dropout", "dense_1"];
    assert_eq!(network.layer_names(), expected);
    let model = network.compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap();
    let names: Vec<&str> = model.weights().map(|(name, _)| name).collect();
    let expected = [
        "dense/kernel",
        "dense/bias",
        "batch_normalization/gamma",
        "batch_normalization/beta",
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
        "p_re_lu/alpha",
        "middle/kernel",
        "middle/bias",
        "dense_1/kernel",
        "dense_1/bias",
    ];
    assert_eq!(names, expected);
    let initial: Vec<f32> = model.weights().map(|(_, matrix)| matrix.row(0)[0]).collect();
    assert_eq!(initial[2..7], [1.0, 0.0, 0.0, 1.0, 0.0]);
}

/// Layers that the plan merges compute what the same layers, kept apart by a branch that uses the value in between, compute.
#[test]
fn merging_changes_nothing() {
    let (rows, columns) = (37, 9);
    let x = numbers(1, rows * columns);
    let y = numbers(2, rows * 4);
    let examples = || Examples::new().input(MatRef::new(&x, rows, columns, columns)).targets(MatRef::new(&y, rows, 4, 4));
    type Layers = fn(&mut Functional, Tensor, &mut dyn FnMut(&mut Functional, Tensor)) -> Tensor;
    let chains: [Layers; 4] = [
        |network, x, between| {
            let x = network.apply(Dense::new(17), &[x]);
            between(network, x);
            network.apply(Activation::Relu, &[x])
        },
        |network, x, between| {
            let x = network.apply(Dense::new(17).activation(Activation::Relu), &[x]);
            between(network, x);
            network.apply(Dropout::new(0.0), &[x])
        },
        |network, x, between| {
            let x = network.apply(Dense::new(17), &[x]);
            between(network, x);
            let x = network.apply(BatchNormalization::default(), &[x]);
            between(network, x);
            network.apply(Activation::Relu, &[x])
        },
        |network, x, between| {
            let x = network.apply(Dense::new(17), &[x]);
            between(network, x);
            network.apply(PRelu { alpha_initializer: Initializer::Constant(0.25) }, &[x])
        },
    ];
    for (number, chain) in chains.iter().enumerate() {
        let trained = |apart: bool| {
            let mut network = Functional::new();
            let input = network.input("x", &[columns]);
            let mut witnesses = Vec::new();
            let hidden = chain(&mut network, input, &mut |network, value| {
                if apart {
                    // A witness that looks at the value with a weight of 0 in the loss.
                    witnesses.push(network.apply(
                        Dense::new(4).kernel_initializer(Initializer::Zeros).name(&format!("witness{}", witnesses.len())),
                        &[value],
                    ));
                }
            });
            let output = network.apply(Dense::new(4).kernel_initializer(Initializer::Ones).name("output"), &[hidden]);
            let mut outputs = vec![output];
            outputs.extend(&witnesses);
            let mut compile = Compile::new(SGD).loss(Loss::MeanSquaredError).seed(3).threads(2);
            for i in 0..witnesses.len() {
                compile = compile.output_loss(&format!("witness{i}"), Loss::MeanSquaredError, 0.0);
            }
            let mut model = network.outputs(&outputs).compile(compile).unwrap();
            let targets = MatRef::new(&y, rows, 4, 4);
            let examples = (0..witnesses.len()).fold(examples(), |examples, _| examples.targets(targets));
            model.fit(examples, &Fit::new().epochs(2).batch_size(16), &mut []).unwrap();
            let of_interest: Vec<Vec<u32>> = model
                .weights()
                .filter(|(name, _)| !name.starts_with("witness") && !name.starts_with("output"))
                .map(|(_, m)| (0..m.rows()).flat_map(|i| m.row(i)).map(|w| w.to_bits()).collect())
                .collect();
            of_interest
        };
        assert_eq!(trained(false), trained(true), "chain {number}");
    }
}

#[test]
fn wide_and_deep_trains_to_the_same_bits_with_any_number_of_threads() {
    let rows = 50;
    let (wide, deep) = (numbers(5, rows * 5), numbers(6, rows * 6));
    let price: Vec<f32> = (0..rows).map(|i| wide[i * 5] + deep[i * 6] * deep[i * 6 + 1]).collect();
    let examples = || {
        Examples::new()
            .input(MatRef::new(&wide, rows, 5, 5))
            .input(MatRef::new(&deep, rows, 6, 6))
            .targets(MatRef::new(&price, rows, 1, 1))
            .targets(MatRef::new(&price, rows, 1, 1))
    };
    let trained = |threads| {
        let mut model = compile_wide_and_deep(threads);
        let before = model.evaluate(examples()).unwrap();
        let history = model.fit(examples(), &Fit::new().epochs(20).batch_size(16), &mut []).unwrap();
        let after = model.evaluate(examples()).unwrap();
        assert!(after.loss < 0.5 * before.loss, "{} {}", before.loss, after.loss);
        let [main, aux] = after.outputs() else { panic!("two outputs") };
        assert!((after.loss - (0.9 * main.loss + 0.1 * aux.loss)).abs() < 1e-6);
        let names: Vec<&str> = history.epochs[0].logs.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["loss", "main_output_loss", "aux_output_loss", "learning_rate"]);
        (weights(&model), model.predict(examples()).unwrap().output(1).unwrap().row(7)[0])
    };
    let expected = trained(1);
    for threads in [2, 3, 7] {
        assert_eq!(trained(threads), expected, "{threads} threads");
    }
}

#[test]
fn graphs_that_make_no_sense_are_refused_by_name() {
    let message =
        |network: &Functional| network.compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap_err().to_string();
    let mut network = Functional::new();
    let x = network.input("x", &[3]);
    let unused = network.input("unused", &[3]);
    let y = network.apply(Dense::new(2), &[x]);
    assert_eq!(message(&network.outputs(&[y])), "`unused`: a layer or an output that takes its values expected, found none");

    let mut network = Functional::new();
    let x = network.input("x", &[3]);
    let a = network.apply(Dense::new(2), &[x]);
    let dangling = network.apply(Dense::new(4).name("dangling"), &[x]);
    assert_eq!(message(&network.outputs(&[a])), "`dangling`: a layer or an output that takes its values expected, found none");
    let _ = (unused, dangling);

    let mut network = Functional::new();
    let x = network.input("x", &[3]);
    let (a, b) = (network.apply(Dense::new(2), &[x]), network.apply(Dense::new(3), &[x]));
    let sum = network.apply(Add, &[a, b]);
    assert_eq!(message(&network.outputs(&[sum])), "layer `add`: values of shape [2] expected, found [3]");

    let mut network = Functional::new();
    let x = network.input("x", &[3]);
    let sum = network.apply(Add, &[x]);
    assert_eq!(message(&network.outputs(&[sum])), "layer `add`: at least 2 inputs expected, found 1");

    let mut network = Functional::new();
    let x = network.input("x", &[3]);
    let y = network.apply(Dense::new(2), &[x, x]);
    assert_eq!(message(&network.outputs(&[y])), "layer `dense`: 1 inputs expected, found 2");

    let mut other = Functional::new();
    let foreign = other.input("x", &[3]);
    let mut network = Functional::new();
    network.input("x", &[3]);
    let y = network.apply(Dense::new(2), &[foreign]);
    assert_eq!(message(&network.outputs(&[y])), "layer `dense`: values of the same network expected, found one of another");

    let twice = Sequential::new(&[3]).add(Dense::new(2).name("a")).add(Dense::new(2).name("a"));
    let error = twice.compile(Compile::new(SGD).threads(1)).unwrap_err();
    assert_eq!(error.to_string(), "a name of its own for every layer expected, found two named `a`");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let compile = |network: Sequential, compile: Compile| network.compile(compile.threads(1)).unwrap_err().to_string();
    let network = || Sequential::new(&[3]);
    let rate = compile(network().add(Dense::new(2)).add(Dropout::new(1.5)).add(Dense::new(2)), Compile::new(SGD));
    assert_eq!(rate, "layer `dropout`, rate: a number from 0 to 1 expected, found 1.5");
    let rate = compile(network().add(AlphaDropout::new(1.0)).add(Dense::new(2)), Compile::new(SGD));
    assert_eq!(rate, "layer `alpha_dropout`, rate: a number of at least 0 and below 1 expected, found 1");
    let inside = compile(network().add(Dense::new(2).activation(Activation::Softmax)).add(Dense::new(2)), Compile::new(SGD));
    assert_eq!(inside, "layer 0: softmax expected on the last layer only, found with layers behind it (`dense`)");
    let softmax = network().add(Dense::new(2).activation(Activation::Softmax));
    let error = compile(softmax, Compile::new(SGD).loss(Loss::MeanSquaredError));
    assert_eq!(error, "output `dense`: a loss that goes with Softmax expected, found MeanSquaredError");
    let error = compile(network().add(Dense::new(2)), Compile::new(SGD).output_loss("price", Loss::MeanSquaredError, 1.0));
    assert_eq!(error, "an output among [\"dense\"] expected, found `price`");
    let momentum = BatchNormalization { momentum: 1.5, ..BatchNormalization::default() };
    assert_eq!(
        compile(network().add(momentum).add(Dense::new(2)), Compile::new(SGD)),
        "layer `batch_normalization`, momentum: a number from 0 to 1 expected, found 1.5"
    );
    let smoothing = Loss::SparseCategoricalCrossentropy { label_smoothing: -0.1 };
    let error = compile(network().add(Dense::new(2)), Compile::new(SGD).loss(smoothing));
    assert_eq!(error, "label_smoothing: a number from 0 to 1 expected, found -0.1");
}

/// Keras adds `l2 sum of w^2` once to the loss of every batch and evaluation.
#[test]
fn penalties_are_part_of_the_loss() {
    let x = numbers(1, 12);
    let network = |l2| {
        let dense = Dense::new(2).kernel_regularizer(Regularizer::l1_l2(0.0, l2)).bias_regularizer(Regularizer::l1(0.5));
        let network = Sequential::new(&[3]).add(dense.bias_initializer(Initializer::Constant(-2.0)));
        network.compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap()
    };
    let targets = [0.0; 8];
    let examples = Examples::new().input(MatRef::new(&x, 4, 3, 3)).targets(MatRef::new(&targets, 4, 2, 2));
    let (mut plain, mut penalized) = (network(0.0), network(0.25));
    let squares: f64 =
        plain.weights().take(1).flat_map(|(_, w)| (0..3).flat_map(move |i| w.row(i))).map(|w| f64::from(w * w)).sum();
    let difference = penalized.evaluate(&examples).unwrap().loss - plain.evaluate(&examples).unwrap().loss;
    assert!((difference - 0.25 * squares).abs() < 1e-6, "{difference} {squares}");
    let first = |model: &mut Model| model.train_on_batch(&examples).unwrap();
    let (plain, penalized) = (first(&mut plain), first(&mut penalized));
    assert!((penalized.loss - plain.loss - difference).abs() < 1e-6);
    // The bias' penalty, 0.5 (2 + 2), is in both.
    assert!((plain.loss - plain.outputs()[0].loss - 2.0).abs() < 1e-6);
}

/// A sigmoid of -50 is no denormal number yet, but its products would be. Where it belongs to the loss, it is an answer.
#[test]
fn values_that_fade_are_zero_but_for_answers() {
    let x = [-50.0, -40.0, -800.0];
    let predicted = |loss| {
        let network = Sequential::new(&[1]).add(Dense::new(1).activation(Activation::Sigmoid));
        let mut model = network.compile(Compile::new(SGD).loss(loss).threads(1)).unwrap();
        model.set_weights(&[1.0, 0.0]).unwrap();
        let predictions = model.predict(Examples::new().input(MatRef::new(&x, 3, 1, 1))).unwrap();
        [0, 1, 2].map(|i| predictions.matrix().row(i)[0])
    };
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let [faded, small, far] = predicted(Loss::MeanSquaredError);
    assert!(faded == 0.0 && far == 0.0);
    assert!((f64::from(small) / sigmoid(-40.0) - 1.0).abs() < 1e-6, "{small:e}");
    let [answer, small, far] = predicted(Loss::BinaryCrossentropy { label_smoothing: 0.0 });
    assert!((f64::from(answer) / sigmoid(-50.0) - 1.0).abs() < 1e-6, "{answer:e}");
    assert!((f64::from(small) / sigmoid(-40.0) - 1.0).abs() < 1e-6 && far == 0.0);
}

/// Threads sum up some rows each, and an evaluation outside of a training does so alone.
#[test]
fn penalties_have_the_same_bits_by_any_number_of_threads() {
    let (x, targets) = (numbers(1, 400), [0.0; 4]);
    let examples = Examples::new().input(MatRef::new(&x, 2, 200, 200)).targets(MatRef::new(&targets, 2, 2, 2));
    let losses = |threads| {
        let dense = |units| Dense::new(units).kernel_regularizer(Regularizer::l1_l2(0.01, 0.1));
        let network = Sequential::new(&[200]).add(dense(33)).add(dense(2));
        let mut model = network.compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(threads)).unwrap();
        let weights: Vec<f64> = model
            .weights()
            .filter(|(_, w)| w.rows() > 1)
            .flat_map(|(_, w)| (0..w.rows()).flat_map(move |i| w.row(i)).map(|&w| f64::from(w)))
            .collect();
        let expected = weights.iter().map(|w| 0.01 * w.abs() + 0.1 * w * w).sum::<f64>();
        let alone = model.evaluate(&examples).unwrap();
        assert!((alone.loss - alone.outputs()[0].loss - expected).abs() < 1e-5, "{threads} threads: {alone:?}, {expected}");
        let inside = model.session(2, |session| session.evaluate(&examples)).unwrap().unwrap();
        [alone, inside, model.train_on_batch(&examples).unwrap()].map(|evaluation| evaluation.loss.to_bits())
    };
    let expected = losses(1);
    assert_eq!(expected, [expected[0]; 3]);
    for threads in [2, 3, 7] {
        assert_eq!(losses(threads), expected, "{threads} threads");
    }
}

#[test]
fn errors_name_inputs_and_targets() {
    let mut model = compile_wide_and_deep(1);
    let (wide, deep, y) = ([0.0; 10], [0.0; 12], [0.0; 2]);
    let matrix = |values, columns| MatRef::new(values, 2, columns, columns);
    let good = || Examples::new().input(matrix(&wide, 5)).input(matrix(&deep, 6));
    let message = |result: Result<_, ModelError>| result.map(|_: selvedge::model::Evaluation| ()).unwrap_err().to_string();
    assert_eq!(message(model.evaluate(Examples::new().input(matrix(&wide, 5)))), "inputs: 2 expected, found 1");
    assert_eq!(message(model.evaluate(good())), "outputs with targets: 2 expected, found 0");
    assert_eq!(message(model.evaluate(good().targets(matrix(&y, 1)))), "outputs with targets: 2 expected, found 1");
    let labels = [0, 0];
    let error = message(model.evaluate(good().targets(matrix(&y, 1)).labels(&labels)));
    assert_eq!(error, "output `aux_output`: rows of numbers as targets of MeanSquaredError expected, found the other kind");
    let swapped = Examples::new().input(matrix(&deep, 6)).input(matrix(&wide, 5));
    assert_eq!(message(model.evaluate(swapped)), "input `wide`: rows of 5 inputs expected, found 6");
    let short = Examples::new().input(matrix(&wide, 5)).input(MatRef::new(&deep, 1, 6, 6));
    assert_eq!(message(model.evaluate(short)), "input `deep`: 2 rows expected, found 1");
    let nan = [0.0, f32::NAN];
    let error = message(model.evaluate(good().targets(matrix(&nan, 1)).targets(matrix(&y, 1))));
    assert_eq!(error, "output `main_output`: row 1, column 0: a finite number expected, found NaN");
}
