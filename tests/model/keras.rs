//! What Keras' own tests ask of its callbacks, optimizers, layers and trainer, asked of this crate.
//!
//! | tests of Keras | here |
//! |---|---|
//! | `callbacks`: early stopping, plateau, monitor | patience, reuse, baseline, first epoch, cooldown, least rate, `min_delta`: beside the callbacks; through `fit`: [`a_callback_starts_afresh_in_every_fit`], `fitting` |
//! | scheduler of the rate | [`a_rate_has_one_master`], [`the_rate_of_an_epoch_may_depend_on_the_one_before`] |
//! | checkpoint, backup | `saving`, beside `ModelCheckpoint`; a damaged file in `saving` |
//! | lines of numbers, end at NaN | [`a_training_that_ends_at_nan_leaves_a_whole_line`], beside the callbacks |
//! | hooks, keys of logs, state in hooks | [`each_hook_finds_what_is_known_by_then`], [`a_hook_sees_the_step_and_the_next_step_sees_the_hook`], `fitting` |
//! | `optimizers`: golden traces, single steps, defaults | `kernels/optimizers`, `saving` (ten steps of three optimizers) |
//! | weight decay, clipping | [`weights_decay_without_a_gradient`], [`gradients_are_clipped_as_in_keras`] |
//! | `schedules` | beside the schedules |
//! | `trainer`: fit, evaluate, predict, splits, streams, single batches | `mod`, `fitting`, [`the_size_of_minibatches_does_not_change_what_is_measured`], [`predictions_keep_the_order_of_rows`] |
//! | weights of losses and rows, class weights | [`the_loss_is_the_weighted_sum_of_the_outputs`], [`rows_that_count_nothing_teach_nothing`], `fitting` |
//! | metrics: values, names, several outputs, unknown keys | `metrics` |
//! | compiled twice, training or not | [`a_network_may_be_compiled_twice`], [`dropout_is_for_training_only`] |
//! | `layers`: dense, activations, merging, flatten, errors | [`layers_compute_what_their_formulas_say`], [`values_are_joined_in_order`], `graphs` |
//! | batch normalization, dropout | `fitting`, `oracle/statistics`, `kernels` |
//! | `trainable = False` | [`a_frozen_layer_stays_and_what_is_behind_it_learns`], [`frozen_layers_travel_and_are_counted`] |
//! | `initializers`, `regularizers`, `losses` | moments, bounds and known values beside them, `kernels/loss`; [`penalties_are_those_of_keras`], refusals in `graphs` |
//! | `models`: names, shapes, several inputs and outputs, summaries, saved and loaded | `graphs`, `saving` |
//!
//! Left out, since there is no such thing here: gradient accumulation, moving averages of weights, constraints, loss scaling,
//! quantization, LoRA, masks, ragged and sparse tensors, other ranks than rows, sub-models and models called like layers, layers
//! and losses of Python code, several steps per call, metrics with weights of rows, `TerminateOnNaN(raise_error)` (its `found`
//! tells). Done otherwise on purpose: an input that nothing takes, a layer whose output goes nowhere and a metric that is monitored
//! but missing are errors; a NaN is never the best; a frozen batch normalization is refused.

use super::graphs::{compile_wide_and_deep, numbers};
use super::{SGD, weights};
use selvedge::io::Architecture;
use selvedge::kernels::MatRef;
use selvedge::model::callbacks::{CsvLogger, EarlyStopping, LearningRateScheduler, ReduceLrOnPlateau, TerminateOnNan};
use selvedge::model::{
    Activation, Adam, Add, BatchLogs, BatchNormalization, Callback, Clipping, Compile, Concatenate, Dense, Dropout, Epoch,
    Examples, ExponentialDecay, Fit, Functional, Initializer, LeakyRelu, Loss, Model, ModelError, PRelu, Regularizer, RmsProp, Run,
    Sequential, Session, Sgd,
};

/// Rows of numbers without padding.
fn matrix(values: &[f32], columns: usize) -> MatRef<'_> {
    MatRef::new(values, values.len() / columns, columns, columns)
}

/// Compares numbers by a millionth.
#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(close), "{expected:?} expected, found {found:?}");
}

fn regression(sgd: Sgd) -> Model {
    let network = Sequential::new(&[2]).add(Dense::new(1));
    network.compile(Compile::new(sgd).loss(Loss::MeanSquaredError).metrics(["mae"]).threads(1)).unwrap()
}

const X: [f32; 10] = [0.1, 0.9, -0.4, 0.3, 0.8, -0.7, 0.2, 0.2, -0.9, 0.5];
const T: [f32; 5] = [0.5, -0.25, 0.75, 0.0, -1.0];

fn examples() -> Examples<'static> {
    Examples::new().input(matrix(&X, 2)).targets(matrix(&T, 1))
}

/// Values of all parameters, in order.
fn values(model: &Model) -> Vec<f32> {
    weights(model).into_iter().map(f32::from_bits).collect()
}

#[test]
fn a_callback_starts_afresh_in_every_fit() {
    // Nothing changes, so nothing improves after the first epoch of each call.
    let mut model = regression(Sgd { learning_rate: 1e-12, ..SGD });
    let mut stopping = EarlyStopping::new().monitor("loss").unwrap().patience(2).min_delta(1e-3);
    let mut plateau = ReduceLrOnPlateau::new().monitor("loss").unwrap().patience(1).factor(0.5).unwrap();
    for call in 0..2 {
        let history = model.fit(examples(), &Fit::new().epochs(9), &mut [&mut stopping, &mut plateau]).unwrap();
        assert_eq!((history.epochs.len(), stopping.stopped_epoch()), (3, Some(2)), "call {call}");
        let rates: Vec<f32> = history.epochs.iter().map(|epoch| epoch.learning_rate).collect();
        let start = 1e-12 / [1.0, 4.0][call];
        assert_close(&rates.iter().map(|rate| rate / start).collect::<Vec<_>>(), &[1.0, 1.0, 0.5]);
    }
}

#[test]
fn a_rate_has_one_master() {
    let schedule = ExponentialDecay::new(0.1, 10, 0.5).unwrap();
    let fit = Fit::new().epochs(3).schedule(&schedule);
    let mut scheduler = LearningRateScheduler::new(|_, rate| rate / 2.0);
    let mut plateau = ReduceLrOnPlateau::new().monitor("loss").unwrap().patience(1).min_delta(100.0);
    let callbacks: [&mut dyn Callback; 2] = [&mut scheduler, &mut plateau];
    for callback in callbacks {
        let error = regression(SGD).fit(examples(), &fit, &mut [callback]).unwrap_err().to_string();
        assert!(error.starts_with("learning_rate: a schedule or a callback that sets it, not both expected, found "), "{error}");
    }
    // Without a schedule both may.
    regression(SGD).fit(examples(), &Fit::new().epochs(3), &mut [&mut scheduler, &mut plateau]).unwrap();
}

#[test]
fn the_rate_of_an_epoch_may_depend_on_the_one_before() {
    let mut halves = LearningRateScheduler::new(|_, rate| rate / 2.0);
    let mut model = regression(Sgd { learning_rate: 0.5, ..SGD });
    let history = model.fit(examples(), &Fit::new().epochs(3), &mut [&mut halves]).unwrap();
    assert_eq!(history.metric("learning_rate"), [0.25, 0.125, 0.0625]);
}

#[test]
fn a_training_that_ends_at_nan_leaves_a_whole_line() {
    // Constant weights of a hundred thousand through five layers: the first loss is infinite.
    let hidden = (0..5).fold(Sequential::new(&[2]), |network, _| {
        network.add(Dense::new(2).activation(Activation::Relu).kernel_initializer(Initializer::Constant(1e8)))
    });
    let mut model = hidden.add(Dense::new(1)).compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap();
    let (mut end, mut text) = (TerminateOnNan::new(), Vec::new());
    let fit = Fit::new().epochs(20).batch_size(2).shuffle(false).validation_data(examples());
    let history = model.fit(examples(), &fit, &mut [&mut end, &mut CsvLogger::new(&mut text)]).unwrap();
    assert!(history.epochs.len() == 1 && !history.epochs[0].training.loss.is_finite());
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "epoch,learning_rate,loss,val_loss"));
    let fields: Vec<&str> = lines[1].split(',').collect();
    assert!(fields.len() == 4 && !fields[2].parse::<f64>().unwrap().is_finite(), "{text}");
}

#[test]
fn each_hook_finds_what_is_known_by_then() {
    #[derive(Default)]
    struct Keys(Vec<Vec<String>>);
    impl Keys {
        fn keep<'a>(&mut self, names: impl Iterator<Item = (&'a str, f64)>) {
            self.0.push(names.map(|(name, _)| name.to_owned()).collect());
        }
    }
    impl Callback for Keys {
        fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
            self.keep(session.logs(&logs.so_far).iter());
            Ok(())
        }
        fn on_epoch_end(&mut self, _: usize, logs: &mut Epoch, _: &mut Session<'_>) -> Result<(), ModelError> {
            self.keep(logs.logs.iter());
            Ok(())
        }
    }
    let mut keys = Keys::default();
    regression(SGD).fit(examples(), &Fit::new().batch_size(4).validation_data(examples()), &mut [&mut keys]).unwrap();
    let step = vec!["loss".to_owned(), "mae".to_owned()];
    let epoch = ["loss", "mae", "val_loss", "val_mae", "learning_rate"].map(str::to_owned).to_vec();
    assert_eq!(keys.0, [step.clone(), step, epoch]);
}

#[test]
fn a_hook_sees_the_step_and_the_next_step_sees_the_hook() {
    #[derive(Default)]
    struct Freezer {
        first: Vec<f32>,
        last: Vec<f32>,
    }
    impl Callback for Freezer {
        fn on_train_begin(&mut self, _: Run, session: &mut Session<'_>) -> Result<(), ModelError> {
            self.first = session.parameters().to_vec();
            Ok(())
        }
        fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
            assert_eq!(session.steps(), logs.batch as u64 + 1);
            assert_ne!(session.parameters(), self.first, "the weights are those after the step");
            // Each step begins where the first did.
            session.restore(&self.first)
        }
        fn on_epoch_end(&mut self, _: usize, _: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
            self.last = session.parameters().to_vec();
            Ok(())
        }
    }
    let mut freezer = Freezer::default();
    let mut model = regression(Sgd { momentum: 0.0, ..SGD });
    let before = weights(&model);
    let expected = model.evaluate(examples()).unwrap().loss;
    let history = model.fit(examples(), &Fit::new().batch_size(1).shuffle(false), &mut [&mut freezer]).unwrap();
    assert_eq!((weights(&model), &freezer.last), (before, &freezer.first));
    assert!((history.epochs[0].training.loss - expected).abs() < 1e-6, "every loss is that of the first weights");
}

#[test]
fn weights_decay_without_a_gradient() {
    // Rows that count nothing give no gradient.
    let adam = Adam { learning_rate: 1.0, weight_decay: Some(0.004), ..Adam::default() };
    let mut model =
        Sequential::new(&[1]).add(Dense::new(1)).compile(Compile::new(adam).loss(Loss::MeanSquaredError).threads(1)).unwrap();
    model.set_weights(&[2.0, 3.0]).unwrap();
    let nothing = || Examples::new().input(matrix(&[1.0], 1)).targets(matrix(&[0.0], 1)).sample_weights(&[0.0]);
    for _ in 0..3 {
        model.train_on_batch(nothing()).unwrap();
    }
    // Biases decay as well.
    assert_close(&values(&model), &[1.976_096, 2.964_144]);
}

#[test]
fn gradients_are_clipped_as_in_keras() {
    // A gradient of (50, 100), and by the bias 100.
    let step = |clipping, use_bias| {
        let network = Sequential::new(&[2]).add(Dense::new(1).kernel_initializer(Initializer::Zeros).use_bias(use_bias));
        let sgd = Sgd { learning_rate: 1.0, momentum: 0.0, nesterov: false };
        let mut model = network.compile(Compile::new(sgd).loss(Loss::MeanSquaredError).clipping(clipping).threads(1)).unwrap();
        model.train_on_batch(Examples::new().input(matrix(&[0.5, 1.0], 2)).targets(matrix(&[-50.0], 1))).unwrap();
        values(&model)
    };
    assert_close(&step(Clipping::None, false), &[-50.0, -100.0]);
    assert_close(&step(Clipping::Value(1.0), false), &[-1.0, -1.0]);
    assert_close(&step(Clipping::Value(60.0), false), &[-50.0, -60.0]);
    let root = 5f32.sqrt();
    for clipping in [Clipping::Norm(1.0), Clipping::GlobalNorm(1.0)] {
        assert_close(&step(clipping, false), &[-1.0 / root, -2.0 / root]);
    }
    // Each tensor by itself, or all by one factor: the norm of (50, 100, 100) is 150.
    assert_close(&step(Clipping::Norm(1.0), true), &[-1.0 / root, -2.0 / root, -1.0]);
    assert_close(&step(Clipping::GlobalNorm(1.0), true), &[-1.0 / 3.0, -2.0 / 3.0, -2.0 / 3.0]);
    assert_close(&step(Clipping::GlobalNorm(1000.0), true), &[-50.0, -100.0, -100.0]);
}

#[test]
fn the_size_of_minibatches_does_not_change_what_is_measured() {
    let mut losses = Vec::new();
    for batch_size in [1, 2, 4, 5, 32] {
        let mut model = regression(Sgd { learning_rate: 0.0, ..SGD });
        let history = model.fit(examples(), &Fit::new().batch_size(batch_size), &mut []).unwrap();
        losses.push((history.metric("loss")[0], history.metric("mae")[0]));
        let evaluation = model.evaluate(examples()).unwrap();
        losses.push((evaluation.loss, evaluation.metric("mae").unwrap()));
    }
    let (loss, mae) = losses[0];
    assert!(losses.iter().all(|(a, b)| (a - loss).abs() < 1e-7 && (b - mae).abs() < 1e-7), "{losses:?}");
}

#[test]
fn predictions_keep_the_order_of_rows() {
    // More rows than go through the network at a time.
    let rows = 1001;
    let x = numbers(5, rows * 2);
    for threads in [1, 2, 3] {
        let mut model = Sequential::new(&[2])
            .add(Dense::new(7).activation(Activation::Tanh))
            .add(Dense::new(3))
            .compile(Compile::new(SGD).threads(threads))
            .unwrap();
        let all = model.predict(Examples::new().input(matrix(&x, 2))).unwrap();
        for row in [0, 1, 127, 128, 129, 255, 256, 383, 384, 500, 768, 999, 1000] {
            let alone = model.predict(Examples::new().input(matrix(&x[2 * row..2 * row + 2], 2))).unwrap();
            assert_eq!(alone.matrix().row(0), all.matrix().row(row), "row {row}, {threads} threads");
        }
    }
}

#[test]
fn the_loss_is_the_weighted_sum_of_the_outputs() {
    let mut model = compile_wide_and_deep(1);
    let (wide, deep, y) = (numbers(1, 50), numbers(2, 60), numbers(3, 10));
    let examples = Examples::new().input(matrix(&wide, 5)).input(matrix(&deep, 6)).targets(matrix(&y, 1)).targets(matrix(&y, 1));
    let evaluation = model.evaluate(&examples).unwrap();
    let [main, helper] = evaluation.outputs() else { panic!("two outputs") };
    assert!((evaluation.loss - (0.9 * main.loss + 0.1 * helper.loss)).abs() < 1e-6, "{evaluation:?}");
    assert!(main.loss > 0.0 && helper.loss > 0.0 && main.accuracy.is_none());
}

#[test]
fn rows_that_count_nothing_teach_nothing() {
    let mut model = regression(SGD);
    let before = weights(&model);
    let nothing = [0.0; 5];
    let loss = model.train_on_batch(examples().sample_weights(&nothing)).unwrap().loss;
    assert_eq!((loss, weights(&model)), (0.0, before));
    // The mean is over all rows, whatever they count.
    let one = [0.0, 0.0, 5.0, 0.0, 0.0];
    let found = model.evaluate(examples().sample_weights(&one)).unwrap().loss;
    let third = Examples::new().input(matrix(&X[4..6], 2)).targets(matrix(&T[2..3], 1));
    assert!((found - model.evaluate(third).unwrap().loss).abs() < 1e-6);
}

#[test]
fn a_network_may_be_compiled_twice() {
    let network = Sequential::new(&[2]).add(Dense::new(1));
    let compile = |optimizer: selvedge::model::Optimizer| {
        network.compile(Compile::new(optimizer).loss(Loss::MeanSquaredError).threads(1)).unwrap()
    };
    let (mut one, other) = (compile(SGD.into()), compile(Adam::default().into()));
    let before = weights(&other);
    assert_eq!(weights(&one), before, "the same seed");
    one.fit(examples(), &Fit::new(), &mut []).unwrap();
    assert!(weights(&other) == before && weights(&one) != before);
}

#[test]
fn dropout_is_for_training_only() {
    let network = |rate| Sequential::new(&[2]).add(Dropout::new(rate)).add(Dense::new(1));
    let compile = |rate| {
        let sgd = Sgd { learning_rate: 0.0, ..SGD };
        network(rate).compile(Compile::new(sgd).loss(Loss::MeanSquaredError).threads(1)).unwrap()
    };
    // At rate 1 nothing is left but the bias, which is zero: the loss is the mean of squared targets.
    let (mut all, mut none) = (compile(1.0), compile(0.0));
    let squares = T.iter().map(|t| f64::from(t * t)).sum::<f64>() / 5.0;
    assert!((all.train_on_batch(examples()).unwrap().loss - squares).abs() < 1e-6);
    assert_eq!(all.evaluate(examples()).unwrap(), none.evaluate(examples()).unwrap());
    assert_eq!(all.predict(examples()).unwrap().matrix().row(3), none.predict(examples()).unwrap().matrix().row(3));
    assert!((none.train_on_batch(examples()).unwrap().loss - squares).abs() > 1e-3);
}

#[test]
fn layers_compute_what_their_formulas_say() {
    let x = [-10.0, -5.0, 0.0, 5.0, 10.0];
    let apply = |layer: selvedge::model::Layer| {
        let mut model =
            Sequential::new(&[5]).add(layer).compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap();
        model.predict(Examples::new().input(matrix(&x, 5))).unwrap().matrix().row(0).to_vec()
    };
    assert_close(&apply(LeakyRelu::default().into()), &[-3.0, -1.5, 0.0, 5.0, 10.0]);
    assert_close(&apply(LeakyRelu { negative_slope: 0.5 }.into()), &[-5.0, -2.5, 0.0, 5.0, 10.0]);
    assert_close(&apply(PRelu { alpha_initializer: Initializer::Constant(0.1) }.into()), &[-1.0, -0.5, 0.0, 5.0, 10.0]);
    assert_close(&apply(Activation::Relu.into()), &[0.0, 0.0, 0.0, 5.0, 10.0]);
    let elu = |x: f32| if x > 0.0 { x } else { 0.5 * x.exp_m1() };
    assert_close(&apply(Activation::Elu { alpha: 0.5 }.into()), &x.map(elu));
    assert_close(&apply(Activation::Tanh.into()), &x.map(f32::tanh));
    // Kernels are `[inputs, units]`.
    let mut model = Sequential::new(&[2])
        .add(Dense::new(3).activation(Activation::Relu))
        .compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1))
        .unwrap();
    model.set_weights(&[1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 10.0, 20.0, 30.0]).unwrap();
    let y = model.predict(Examples::new().input(matrix(&[1.0, 2.0, -5.0, 10.0], 2))).unwrap();
    assert_close(y.matrix().row(0), &[3.0, 28.0, 21.0]);
    assert_close(y.matrix().row(1), &[0.0, 80.0, 0.0]);
}

#[test]
fn values_are_joined_in_order() {
    let mut network = Functional::new();
    let (a, b) = (network.input("a", &[2]), network.input("b", &[2]));
    let sum = network.apply(Add, &[a, b, a]);
    let beside = network.apply(Concatenate, &[b, a, b]);
    let network = network.outputs(&[sum, beside]);
    let mut model = network.compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap();
    let (a, b) = ([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]);
    let y = model.predict(Examples::new().input(matrix(&a, 2)).input(matrix(&b, 2))).unwrap();
    let rows = |output: usize| [0, 1].map(|row| y.output(output).unwrap().row(row).to_vec());
    assert_eq!(rows(0), [[12.0, 24.0], [36.0, 48.0]]);
    assert_eq!(rows(1), [[10.0, 20.0, 1.0, 2.0, 10.0, 20.0], [30.0, 40.0, 3.0, 4.0, 30.0, 40.0]]);
}

#[test]
fn penalties_are_those_of_keras() {
    let penalty = |regularizer| {
        let dense = Dense::new(2).use_bias(false).kernel_regularizer(regularizer);
        let network = Sequential::new(&[2]).add(dense);
        let mut model = network.compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap();
        model.set_weights(&[1.0, -2.0, -3.0, 0.5]).unwrap();
        let evaluation = model.evaluate(Examples::new().input(matrix(&X, 2)).targets(matrix(&X, 2))).unwrap();
        evaluation.loss - evaluation.outputs()[0].loss
    };
    // The sum of magnitudes is 6.5, that of squares 14.25.
    for (regularizer, expected) in [
        (Regularizer::l1(0.1), 0.65),
        (Regularizer::l2(0.1), 1.425),
        (Regularizer::l1_l2(0.2, 0.01), 1.4425),
        (Regularizer::l1_l2(0.0, 0.0), 0.0),
    ] {
        assert!((penalty(regularizer) - expected).abs() < 1e-6, "{regularizer:?}");
    }
    for (regularizer, found) in
        [(Regularizer::l1(-0.5), "-0.5"), (Regularizer::l2(f32::NAN), "NaN"), (Regularizer::l2(f32::INFINITY), "inf")]
    {
        let network = Sequential::new(&[2]).add(Dense::new(2).bias_regularizer(regularizer));
        let error = network.compile(Compile::new(SGD).threads(1)).unwrap_err().to_string();
        assert_eq!(error, format!("layer `dense`, bias_regularizer: finite factors not below 0 expected, found {found}"));
    }
}

/// A network whose first half is frozen trains its second half as that would be trained alone on what the first half gives.
#[test]
fn a_frozen_layer_stays_and_what_is_behind_it_learns() {
    let (x, labels): (Vec<f32>, Vec<u32>) = (numbers(1, 60 * 4), (0..60).map(|i| i % 3).collect());
    let regularizer = Regularizer::l2(0.1);
    let body = |trainable| {
        let first = Dense::new(8).activation(Activation::Relu).kernel_regularizer(regularizer).name("body").trainable(trainable);
        Sequential::new(&[4]).add(first).add(PRelu::default().trainable(trainable))
    };
    let head = |network: Sequential| {
        network
            .add(Dense::new(5).activation(Activation::Tanh).name("hidden"))
            .add(Dense::new(3).activation(Activation::Softmax).name("head"))
    };
    let optimizers: [selvedge::model::Optimizer; 4] =
        [SGD.into(), RmsProp::default().into(), Adam { weight_decay: Some(0.1), ..Adam::default() }.into(), Adam::default().into()];
    for (optimizer, clipping) in
        optimizers.into_iter().zip([Clipping::None, Clipping::Value(0.01), Clipping::GlobalNorm(0.05), Clipping::Norm(0.05)])
    {
        let compile = || Compile::new(optimizer).clipping(clipping).threads(2);
        let mut whole = head(body(false)).compile(compile()).unwrap();
        let frozen: usize = 4 * 8 + 8 + 8;
        let before = values(&whole);
        // What the frozen part gives, by a model of its own.
        let mut first = body(true).compile(compile().loss(Loss::MeanSquaredError)).unwrap();
        first.set_weights(&before[..frozen]).unwrap();
        let given = first.predict(Examples::new().input(matrix(&x, 4))).unwrap();
        let mut alone = head(Sequential::new(&[8])).compile(compile()).unwrap();
        alone.set_weights(&before[frozen..]).unwrap();
        let fit = Fit::new().epochs(3).batch_size(16);
        let history = whole.fit(Examples::floats(matrix(&x, 4), &labels).unwrap(), &fit, &mut []).unwrap();
        let expected = alone.fit(Examples::floats(given.matrix(), &labels).unwrap(), &fit, &mut []).unwrap();
        let after = values(&whole);
        assert_eq!(after[..frozen], before[..frozen], "{clipping:?}");
        assert_eq!(after[frozen..], values(&alone), "{clipping:?}");
        assert_ne!(after[frozen..], before[frozen..]);
        // What does not change is not penalized.
        assert_eq!(history.metric("loss"), expected.metric("loss"));
    }
}

#[test]
fn frozen_layers_travel_and_are_counted() {
    let network = Sequential::new(&[4]).add(Dense::new(8).name("body").trainable(false)).add(Dense::new(3).name("head"));
    let summary = network.summary().unwrap();
    assert_eq!((summary.trainable(), summary.non_trainable()), (8 * 3 + 3, 4 * 8 + 8));
    let model = network.compile(Compile::new(SGD).threads(1)).unwrap();
    let mut loaded = Model::from_checkpoint(&model.checkpoint(), Some(1)).unwrap();
    let before = weights(&loaded);
    let (x, labels) = (numbers(1, 40), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
    loaded.fit(Examples::floats(matrix(&x, 4), &labels).unwrap(), &Fit::new(), &mut []).unwrap();
    assert!(weights(&loaded)[..40] == before[..40] && weights(&loaded)[40..] != before[40..]);
    // As Keras would have to do it, a normalization would take its moving statistics.
    let norm = Sequential::new(&[4]).add(BatchNormalization::default().trainable(false)).add(Dense::new(3));
    let error = norm.compile(Compile::new(SGD).threads(1)).unwrap_err().to_string();
    assert!(error.starts_with("layer `batch_normalization`: ") && error.ends_with("make it trainable"), "{error}");
}

#[test]
fn a_shared_layer_is_refused_with_what_to_do() {
    let tensor = |layer: &str, call: usize| {
        format!(
            r#"{{"args": [{{"class_name": "__keras_tensor__", "config": {{"keras_history": ["{layer}", {call}, 0]}}}}], "kwargs": {{}}}}"#
        )
    };
    let json = format!(
        r#"{{"class_name": "Functional", "config": {{"name": "twins", "layers": [
            {{"class_name": "InputLayer", "config": {{"name": "x", "batch_shape": [null, 3]}}, "inbound_nodes": []}},
            {{"class_name": "Flatten", "config": {{"name": "both"}}, "inbound_nodes": [{}, {}]}}],
            "input_layers": [["x", 0, 0]], "output_layers": [["both", 1, 0]]}}}}"#,
        tensor("x", 0),
        tensor("both", 0)
    );
    let architecture = Architecture::from_json(&json).unwrap();
    assert_eq!(
        Functional::from_architecture(&architecture).unwrap_err().to_string(),
        "layer `both`: something that can be trained here expected, found a layer that is called more than once; give each call a layer of \
         its own with a copy of the weights"
    );
}
