//! The model layer as a user meets it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod fitting;
mod graphs;
mod keras;
mod metrics;
mod saving;
mod search;

use selvedge::data::{Dataset, ValidationSplit, synthetic};
use selvedge::kernels::MatRef;
use selvedge::kernels::gather::Scaling;
use selvedge::model::{
    Activation, Adam, BatchLogs, Callback, Compile, CosineDecay, Dense, Epoch, Examples, Fit, Flatten, Initializer, Model,
    ModelError, Nadam, Optimizer, RmsProp, Run, Sequential, Session, Sgd,
};
use selvedge::parallel::Pool;

fn fashion_network() -> Sequential {
    Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dense::new(300).activation(Activation::Relu))
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10).activation(Activation::Softmax))
}

fn small_network() -> Sequential {
    Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dense::new(24).activation(Activation::Relu))
        .add(Dense::new(10).activation(Activation::Softmax))
}

const SGD: Sgd = Sgd { learning_rate: 0.05, momentum: 0.9, nesterov: false };

fn weights(model: &Model) -> Vec<u32> {
    model.weights().flat_map(|(_, matrix)| (0..matrix.rows()).flat_map(move |i| matrix.row(i)).map(|x| x.to_bits())).collect()
}

#[test]
fn the_summary_is_what_keras_prints() {
    let expected = r#"Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ flatten (Flatten)               │ (None, 784)            │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense (Dense)                   │ (None, 300)            │       235,500 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 100)            │        30,100 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_2 (Dense)                 │ (None, 10)             │         1,010 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 266,610 (1.02 MB)
 Trainable params: 266,610 (1.02 MB)
 Non-trainable params: 0 (0.00 B)"#;
    assert_eq!(fashion_network().summary().unwrap().to_string(), expected);
    assert_eq!(fashion_network().compile(Compile::new(SGD).threads(1)).unwrap().summary().to_string(), expected);
}

#[test]
fn training_learns_and_its_history_says_so() {
    let (train, test) = (synthetic::garments(1200, 0), synthetic::garments(300, 1));
    let mut model = small_network().compile(Compile::new(SGD).threads(2)).unwrap();
    let before = model.evaluate(&test).unwrap();
    let history = model.fit(&train, &Fit::new().epochs(6).validation_data(&test), &mut []).unwrap();
    let after = model.evaluate(&test).unwrap();
    assert!(before.accuracy < 0.4 && after.accuracy > 0.7, "{before:?} {after:?}");
    assert_eq!(history.epochs.len(), 6);
    assert_eq!(history.epochs[5].validation, Some(after));
    assert!(history.epochs[5].training.loss < history.epochs[0].training.loss / 2.0);
    assert!(history.epochs.iter().all(|epoch| epoch.seconds > 0.0 && epoch.learning_rate == 0.05));
    // What predict says, evaluate counts.
    let predictions = model.predict(&test).unwrap();
    let hits =
        predictions.classes().iter().zip(test.labels()).filter(|(predicted, label)| **predicted == u32::from(**label)).count();
    assert_eq!(after.accuracy, hits as f64 / test.len() as f64);
    for i in 0..predictions.matrix().rows() {
        let sum: f32 = predictions.matrix().row(i).iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "row {i}: {sum}");
    }
    let loss: f64 = (0..test.len()).map(|i| -f64::from(predictions.matrix().row(i)[usize::from(test.label(i))]).ln()).sum();
    assert!((after.loss - loss / test.len() as f64).abs() < 1e-4);
}

#[test]
fn weights_depend_on_the_seed_and_not_on_threads_or_calls() {
    let train = synthetic::garments(333, 0);
    let trained = |seed, threads, calls: &[usize]| {
        let mut model = small_network().compile(Compile::new(SGD).seed(seed).threads(threads)).unwrap();
        for &epochs in calls {
            model.fit(&train, &Fit::new().epochs(epochs).batch_size(50), &mut []).unwrap();
        }
        weights(&model)
    };
    let expected = trained(1, 1, &[3]);
    for threads in [2, 3, 7] {
        assert_eq!(trained(1, threads, &[3]), expected, "{threads} threads");
    }
    assert_eq!(trained(1, 2, &[1, 2]), expected, "training in two calls");
    assert_ne!(trained(2, 1, &[3]), expected, "another seed");
}

#[test]
fn a_minibatch_employs_the_threads_that_have_enough_to_do_unless_somebody_says_how_many() {
    let threads_of = |network: Sequential, compile: Compile, batch_size: usize| {
        let model = network.compile(compile).unwrap();
        (model.training_plan(batch_size).parts(), model.threads())
    };
    let large = || Sequential::new(&[784]).add(Dense::new(1024)).add(Dense::new(10).activation(Activation::Softmax));
    let all = Pool::default_threads();
    assert_eq!(threads_of(small_network(), Compile::new(SGD), 16), (1, all));
    assert_eq!(threads_of(large(), Compile::new(SGD), 512), (all, all));
    assert_eq!(threads_of(small_network(), Compile::new(SGD).threads(3), 16), (3, 3));
    assert_eq!(threads_of(large(), Compile::new(SGD).threads(1), 512), (1, 1));

    // The workspace of the many rows is more than large enough for the few, and the threads come back.
    let data = synthetic::garments(120, 0);
    let trained = |compile: Compile| {
        let mut model = small_network().compile(compile).unwrap();
        for batch_size in [120, 7, 120] {
            model.fit(&data, &Fit::new().epochs(1).batch_size(batch_size), &mut []).unwrap();
            model.predict(&data).unwrap();
        }
        weights(&model)
    };
    assert_eq!(trained(Compile::new(SGD)), trained(Compile::new(SGD).threads(2)));
}

/// More rows than go through the network at once: what is monitored decides when training stops.
#[test]
fn evaluations_do_not_depend_on_threads() {
    let data = synthetic::garments(1500, 0);
    let evaluated = |threads| {
        let mut model =
            small_network().compile(Compile::new(SGD).threads(threads).metrics(["sparse_top_k_categorical_accuracy"])).unwrap();
        format!("{:?}", model.evaluate(&data).unwrap())
    };
    let expected = evaluated(1);
    for threads in [2, 3, 7] {
        assert_eq!(evaluated(threads), expected, "{threads} threads");
    }
}

#[test]
fn bytes_and_floats_train_to_the_same_weights() {
    let train = synthetic::garments(120, 0);
    let scaling = Scaling::standardize(72.0, 90.0);
    let floats: Vec<f32> =
        train.pixels().iter().map(|&pixel| f32::mul_add(f32::from(pixel), scaling.scale, scaling.shift)).collect();
    let labels: Vec<u32> = train.labels().iter().map(|&label| u32::from(label)).collect();
    let trained = |examples: Examples<'_>| {
        let mut model = small_network().compile(Compile::new(SGD).threads(2)).unwrap();
        model.fit(examples, &Fit::new().epochs(2), &mut []).unwrap();
        (model.isa(), weights(&model))
    };
    let (isa, from_bytes) = trained(Examples::from(&train).scaling(scaling));
    let (_, from_floats) = trained(Examples::floats(MatRef::new(&floats, 120, 784, 784), &labels).unwrap());
    if isa.fused() {
        assert_eq!(from_bytes, from_floats);
    }
}

#[test]
fn a_seed_gives_every_tensor_its_own_numbers() {
    let network = Sequential::new(&[8])
        .add(Dense::new(8).bias_initializer(Initializer::GlorotUniform))
        .add(Dense::new(8).kernel_initializer(Initializer::HeNormal).bias_initializer(Initializer::Constant(0.5)));
    let model = network.compile(Compile::new(SGD).threads(1)).unwrap();
    let tensors: Vec<(String, Vec<f32>)> = model
        .weights()
        .map(|(name, matrix)| (name.to_owned(), (0..matrix.rows()).flat_map(|i| matrix.row(i).to_vec()).collect()))
        .collect();
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]);
    assert_eq!(tensors.iter().map(|(_, values)| values.len()).collect::<Vec<_>>(), [64, 8, 64, 8]);
    assert_ne!(tensors[0].1[..8], tensors[1].1[..]);
    assert!(tensors[3].1.iter().all(|&x| x == 0.5));
}

#[test]
fn set_weights_takes_what_weights_gives() {
    let test = synthetic::garments(40, 3);
    let mut one = small_network().compile(Compile::new(SGD).seed(1).threads(1)).unwrap();
    let mut other = small_network().compile(Compile::new(SGD).seed(2).threads(2)).unwrap();
    let values: Vec<f32> = weights(&one).into_iter().map(f32::from_bits).collect();
    let before = weights(&other);
    assert!(matches!(other.set_weights(&values[1..]), Err(ModelError::WeightCount { expected, found }) if found + 1 == expected));
    assert_eq!(weights(&other), before, "a refused call changes nothing");
    other.set_weights(&values).unwrap();
    assert_eq!(one.evaluate(&test).unwrap(), other.evaluate(&test).unwrap());
}

#[derive(Default)]
struct Recorder {
    events: Vec<String>,
    stop_after_rows: Option<usize>,
    stop_after_epoch: Option<usize>,
}

impl Callback for Recorder {
    fn on_train_begin(&mut self, run: Run, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.events.push(format!("train {} {} {}", run.epochs, run.rows, run.steps));
        Ok(())
    }
    fn on_epoch_begin(&mut self, epoch: usize, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.events.push(format!("epoch {epoch}"));
        Ok(())
    }
    fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
        assert!(logs.so_far.loss > 0.0);
        self.events.push(format!("{} rows", logs.rows));
        if self.stop_after_rows == Some(logs.rows) {
            session.stop();
        }
        Ok(())
    }
    fn on_epoch_end(&mut self, epoch: usize, _: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        self.events.push(format!("end {epoch}"));
        if self.stop_after_epoch == Some(epoch) {
            session.stop();
        }
        Ok(())
    }
    fn on_train_end(&mut self, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.events.push("done".into());
        Ok(())
    }
}

#[test]
fn callbacks_see_every_step_and_may_stop() {
    let train = synthetic::garments(10, 0);
    let run = |recorder: &mut Recorder| {
        let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
        model.fit(&train, &Fit::new().epochs(3).batch_size(4), &mut [recorder]).unwrap().epochs.len()
    };
    let mut whole = Recorder::default();
    assert_eq!(run(&mut whole), 3);
    assert_eq!(whole.events[..6], ["train 3 10 3", "epoch 0", "4 rows", "8 rows", "10 rows", "end 0"]);
    assert_eq!(whole.events.last().unwrap(), "done");
    let mut after_epoch = Recorder { stop_after_epoch: Some(1), ..Recorder::default() };
    assert_eq!(run(&mut after_epoch), 2);
    assert_eq!(after_epoch.events[after_epoch.events.len() - 2..], ["end 1", "done"]);
    let mut after_step = Recorder { stop_after_rows: Some(8), ..Recorder::default() };
    assert_eq!(run(&mut after_step), 1);
    assert_eq!(after_step.events, ["train 3 10 3", "epoch 0", "4 rows", "8 rows", "end 0", "done"]);
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected_and_found() {
    let message = |error: ModelError| error.to_string();
    let compile = |network: Sequential| message(network.compile(Compile::new(SGD).threads(1)).unwrap_err());
    assert_eq!(compile(Sequential::new(&[4])), "at least 1 layer expected, found 0");
    assert_eq!(
        compile(Sequential::new(&[4]).add(Dense::new(0))),
        "layer 0: at least 1 input and 1 output expected, found 4 and 0 (`dense`)"
    );
    assert_eq!(
        compile(Sequential::new(&[2, 2]).add(Dense::new(3))),
        "layer `dense`: rows expected, found inputs of shape [2, 2]; put Flatten before it"
    );
    assert_eq!(
        compile(Sequential::new(&[4]).add(Dense::new(3).activation(Activation::Softmax)).add(Dense::new(3))),
        "layer 0: softmax expected on the last layer only, found with layers behind it (`dense`)"
    );
    assert_eq!(
        compile(Sequential::new(&[usize::MAX]).add(Dense::new(3))),
        format!("layer 0: parameters that fit into memory expected, found {} x 3 (`dense`)", usize::MAX)
    );
    let settings = |compile: Compile| message(small_network().compile(compile).unwrap_err());
    assert_eq!(settings(Compile::new(SGD).threads(0)), "threads: 1 to 64 expected, found 0");
    assert_eq!(settings(Compile::new(SGD).threads(65)), "threads: 1 to 64 expected, found 65");
    let sgd = |learning_rate, momentum| settings(Compile::new(Sgd { learning_rate, momentum, nesterov: false }));
    assert_eq!(sgd(-0.5, 0.0), "learning_rate: a finite number not below 0 expected, found -0.5");
    assert_eq!(sgd(f32::NAN, 0.0), "learning_rate: a finite number not below 0 expected, found NaN");
    assert_eq!(sgd(0.1, 1.5), "momentum: a number from 0 to 1 expected, found 1.5");

    let train = synthetic::garments(20, 0);
    let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let before = weights(&model);
    let few = Dataset::new(vec![0; 30], &[3], vec![0; 10], 10).unwrap();
    assert_eq!(message(model.fit(&few, &Fit::new(), &mut []).unwrap_err()), "input `input`: rows of 784 inputs expected, found 3");
    assert_eq!(message(model.predict(&few).unwrap_err()), "input `input`: rows of 784 inputs expected, found 3");
    assert_eq!(message(model.evaluate(&few).unwrap_err()), "input `input`: rows of 784 inputs expected, found 3");
    let zeros = vec![0.0; 2 * 784];
    let matrix = MatRef::new(&zeros, 2, 784, 784);
    let labelled = |labels: &[u32]| Examples::floats(matrix, labels).map(|examples| examples.class_labels().unwrap().to_vec());
    assert_eq!(message(labelled(&[1]).unwrap_err()), "labels of 2 rows expected, found 1");
    let wrong = [0, 10];
    let examples = Examples::floats(matrix, &wrong).unwrap();
    assert_eq!(
        message(model.fit(examples, &Fit::new(), &mut []).unwrap_err()),
        "output `dense_1`: row 1: a label below 10 expected, found 10"
    );
    let unlabelled = Examples::unlabelled_floats(matrix).unwrap();
    assert_eq!(message(model.evaluate(unlabelled).unwrap_err()), "outputs with targets: 1 expected, found 0");
    let none = Examples::unlabelled_floats(MatRef::new(&[], 0, 784, 784)).unwrap();
    assert_eq!(message(model.predict(none).unwrap_err()), "at least 1 row expected, found 0");
    let mut with_nan = zeros.clone();
    with_nan[785] = f32::NAN;
    let error = Examples::unlabelled_floats(MatRef::new(&with_nan, 2, 784, 784)).unwrap_err();
    assert_eq!(message(error), "row 1, column 1: a finite number expected, found NaN");
    let no_batch = model.fit(&train, &Fit::new().batch_size(0), &mut []).unwrap_err();
    assert!(matches!(no_batch, ModelError::Data(_)), "{no_batch}");
    let validation = model.fit(&train, &Fit::new().validation_data(&few), &mut []).unwrap_err();
    assert_eq!(message(validation), "input `input`: rows of 784 inputs expected, found 3");
    assert_eq!(weights(&model), before, "a refused call changes nothing");
}

#[test]
fn every_optimizer_learns_and_does_not_know_the_threads() {
    let (train, test) = (synthetic::garments(600, 0), synthetic::garments(200, 1));
    let rms = RmsProp::default();
    let optimizers: [Optimizer; 10] = [
        Sgd { learning_rate: 0.1, ..Sgd::default() }.into(),
        SGD.into(),
        Sgd { nesterov: true, ..SGD }.into(),
        rms.into(),
        RmsProp { momentum: 0.5, ..rms }.into(),
        RmsProp { centered: true, ..rms }.into(),
        Adam::default().into(),
        Adam { amsgrad: true, ..Adam::default() }.into(),
        Adam::with_weight_decay().into(),
        Nadam::default().into(),
    ];
    for optimizer in optimizers {
        let train = |threads| {
            let mut model = small_network().compile(Compile::new(optimizer).threads(threads)).unwrap();
            model.fit(&train, &Fit::new().epochs(8), &mut []).unwrap();
            let accuracy = model.evaluate(&test).unwrap().accuracy;
            assert!(accuracy > 0.6, "{optimizer:?}: {accuracy}");
            weights(&model)
        };
        assert_eq!(train(1), train(3), "{optimizer:?}");
    }
}

#[test]
fn every_activation_learns_but_those_without_a_derivative() {
    let (train, test) = (synthetic::garments(600, 0), synthetic::garments(200, 1));
    let accuracy = |activation| {
        let network = Sequential::new(&[28, 28]).add(Flatten);
        let network = network.add(Dense::new(32).activation(activation)).add(Dense::new(16).activation(activation));
        let network = network.add(Dense::new(10).activation(Activation::Softmax));
        let mut model = network.compile(Compile::new(Adam::default()).threads(2)).unwrap();
        let before = weights(&model);
        model.fit(&train, &Fit::new().epochs(10), &mut []).unwrap();
        let first_kernel = 784 * 32;
        (model.evaluate(&test).unwrap().accuracy, before[..first_kernel] != weights(&model)[..first_kernel])
    };
    use Activation::{Elu, Gelu, GeluTanh, Heaviside, LeakyRelu, Linear, Relu, Selu, Sigmoid, Sign, Softplus, Swish, Tanh};
    let smooth = [Linear, Relu, LeakyRelu { slope: 0.2 }, Elu { alpha: 1.0 }, Selu, Gelu, GeluTanh, Swish, Softplus, Sigmoid, Tanh];
    for activation in smooth {
        let (accuracy, moved) = accuracy(activation);
        assert!(accuracy > 0.5 && moved, "{activation:?}: {accuracy}");
    }
    for activation in [Heaviside, Sign] {
        let (_, moved) = accuracy(activation);
        assert!(!moved, "{activation:?}: the first layer got a gradient");
    }
}

#[test]
fn a_schedule_sets_the_rate_of_every_step_over_all_calls() {
    let train = synthetic::garments(10, 0);
    let rates = std::cell::RefCell::new(Vec::new());
    let schedule = |step: u64| {
        rates.borrow_mut().push(step);
        0.5 / (1.0 + step as f32)
    };
    let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let fit = Fit::new().epochs(2).batch_size(4).schedule(&schedule);
    let history = model.fit(&train, &fit, &mut []).unwrap();
    assert_eq!(history.epochs.iter().map(|epoch| epoch.learning_rate).collect::<Vec<_>>(), [0.5 / 3.0, 0.5 / 6.0]);
    model.fit(&train, &fit, &mut []).unwrap();
    assert_eq!(*rates.borrow(), (0..12).collect::<Vec<u64>>());

    // The same as setting the rates by hand, a step a call.
    let mut scheduled = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let decay = CosineDecay::new(0.1, 8).unwrap();
    scheduled.fit(&train, &Fit::new().epochs(2).batch_size(4).schedule(&decay), &mut []).unwrap();
    let mut other = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    other.fit(&train, &Fit::new().epochs(2).batch_size(4), &mut []).unwrap();
    assert_ne!(weights(&scheduled), weights(&other));

    let nan = |step: u64| if step < 4 { 0.1 } else { f32::NAN };
    let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let error = model.fit(&train, &Fit::new().epochs(2).batch_size(4).schedule(&nan), &mut []).unwrap_err();
    assert_eq!(error.to_string(), "learning_rate: a finite number not below 0 expected, found NaN");
}

#[test]
fn odd_sizes_train() {
    let train = synthetic::garments(37, 0);
    let (train, validation) = train.split(ValidationSplit::Tail(0.3)).unwrap();
    for batch_size in [1, 7, 25, 26, 1000] {
        let mut model = small_network().compile(Compile::new(SGD).threads(3)).unwrap();
        let fit = Fit::new().epochs(2).batch_size(batch_size).validation_data(&validation);
        let history = model.fit(&train, &fit, &mut []).unwrap();
        assert!(history.epochs.iter().all(|epoch| epoch.training.loss.is_finite()), "batch size {batch_size}");
    }
}
