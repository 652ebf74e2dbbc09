//! Training: weights of rows, held-out rows, streams, sessions, callbacks, and the ways to stop.

use super::graphs::numbers;
use super::{SGD, small_network, weights};
use selvedge::data::{ValidationSplit, synthetic};
use selvedge::exec::{Batch, Inputs, Targets};
use selvedge::kernels::MatRef;
use selvedge::model::callbacks::{
    CsvLogger, EarlyStopping, GradientStatistics, LearningRateScheduler, ReduceLrOnPlateau, TerminateOnNan,
};
use selvedge::model::{
    Activation, Adam, AlphaDropout, BatchLogs, BatchNormalization, Callback, Clipping, Compile, Configuration, Dense, Dropout,
    Epoch, Examples, Fit, Initializer, Loss, Model, ModelError, Nadam, Optimizer, Regularizer, RmsProp, Run, Sequential, Session,
    Sgd,
};
use std::sync::atomic::{AtomicBool, Ordering};

fn linear(seed: u64) -> Model {
    let network = Sequential::new(&[3]).add(Dense::new(2).activation(Activation::Softmax));
    network.compile(Compile::new(SGD).seed(seed).threads(1)).unwrap()
}

#[test]
fn a_row_of_weight_two_counts_as_two_rows_over_the_number_of_rows() {
    let x = numbers(1, 12);
    let labels = [0, 1, 1, 0];
    let doubled: Vec<f32> = [&x[..], &x[3..6]].concat();
    let step = |x: &[f32], labels: &[u32], weights: Option<&[f32]>, class_weights: &[(u32, f32)], rate: f32| {
        let network = Sequential::new(&[3]).add(Dense::new(2).activation(Activation::Softmax));
        let mut model = network.compile(Compile::new(Sgd { learning_rate: rate, ..SGD }).threads(1)).unwrap();
        let mut examples = Examples::new().input(MatRef::new(x, labels.len(), 3, 3)).labels(labels);
        if let Some(weights) = weights {
            examples = examples.sample_weights(weights);
        }
        model.fit(examples, &Fit::new().class_weights(class_weights).shuffle(false), &mut []).unwrap();
        model.weights().flat_map(|(_, m)| (0..m.rows()).flat_map(move |i| m.row(i).to_vec())).collect::<Vec<f32>>()
    };
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    // Five rows divide by 5, four by 4: the same step at 5/4 of the rate.
    let weighted = step(&x, &labels, Some(&[1.0, 2.0, 1.0, 1.0]), &[], 0.1);
    assert!(close(&weighted, &step(&doubled, &[0, 1, 1, 0, 1], None, &[], 0.125)));
    assert!(!close(&weighted, &step(&x, &labels, None, &[], 0.1)));
    let by_class = step(&x, &labels, None, &[(1, 3.0)], 0.1);
    assert_eq!(by_class, step(&x, &labels, Some(&[1.0, 3.0, 3.0, 1.0]), &[], 0.1));
}

#[test]
fn class_weights_and_sample_weights_exclude_each_other() {
    let (x, labels, weights) = ([0.0; 6], [0, 1], [1.0, 1.0]);
    let examples = || Examples::new().input(MatRef::new(&x, 2, 3, 3)).labels(&labels);
    let fit = |examples: Examples<'_>, fit: Fit<'_>| linear(0).fit(examples, &fit, &mut []).unwrap_err().to_string();
    let both = fit(examples().sample_weights(&weights), Fit::new().class_weights(&[(0, 2.0)]));
    assert_eq!(both, "class_weights: no sample weights beside them expected, found both");
    assert_eq!(
        fit(examples().sample_weights(&weights[..1]), Fit::new()),
        "sample_weights: one for each row expected, found 1 of 2 rows"
    );
    let nan = fit(examples(), Fit::new().class_weights(&[(1, f32::NAN)]));
    assert_eq!(nan, "class_weights: finite numbers expected, found NaN for class 1");
}

#[test]
fn held_out_rows_are_not_trained_on() {
    let data = synthetic::garments(60, 0);
    let (training, validation) = data.split(ValidationSplit::Tail(0.25)).unwrap();
    let mut split = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let mut apart = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let fit = Fit::new().epochs(3).batch_size(16);
    let history = split.fit(&data, &fit.clone().validation_split(ValidationSplit::Tail(0.25)), &mut []).unwrap();
    let expected = apart.fit(&training, &fit.validation_data(&validation), &mut []).unwrap();
    assert_eq!(weights(&split), weights(&apart));
    let losses = |history: &selvedge::model::History| history.metric("val_loss");
    assert_eq!(losses(&history), losses(&expected));
    assert_eq!(history.epochs[0].logs.get("val_accuracy"), Some(history.epochs[0].validation.unwrap().accuracy));
    let error = split.fit(&data, &Fit::new().validation_split(ValidationSplit::Tail(1.0)), &mut []).unwrap_err();
    assert_eq!(error.to_string(), "a validation fraction between 0 and 1 (both excluded) expected, found 1");
}

#[test]
fn a_stream_trains_as_the_rows_do() {
    let x = numbers(3, 30 * 3);
    let labels: Vec<u32> = (0..30).map(|i| i % 2).collect();
    let matrix = MatRef::new(&x, 30, 3, 3);
    let mut at_once = linear(1);
    let fit = Fit::new().epochs(3).batch_size(8).shuffle(false);
    let expected = at_once.fit(Examples::floats(matrix, &labels).unwrap(), &fit, &mut []).unwrap();
    let mut streamed = linear(1);
    let batches = |_epoch| {
        x.chunks(8 * 3)
            .zip(labels.chunks(8))
            .map(|(x, labels)| Examples::new().input(MatRef::new(x, labels.len(), 3, 3)).labels(labels))
    };
    let history = streamed.fit_stream(batches, &fit, &mut []).unwrap();
    assert_eq!(weights(&streamed), weights(&at_once));
    assert_eq!(history.metric("loss"), expected.metric("loss"));
    // A minibatch that is too large ends the training.
    let error = streamed.fit_stream(|_| [Examples::floats(matrix, &labels).unwrap()], &fit, &mut []).unwrap_err();
    assert_eq!(error.to_string(), "8 rows expected, found 30");
    let error = streamed.fit_stream(batches, &fit.clone().class_weights(&[(0, 1.0)]), &mut []).unwrap_err();
    assert!(error.to_string().starts_with("class_weights: sample weights expected"), "{error}");
}

#[test]
fn a_loop_of_ones_own_does_what_fit_does() {
    let x = numbers(3, 30 * 3);
    let labels: Vec<u32> = (0..30).map(|i| i % 2).collect();
    let matrix = MatRef::new(&x, 30, 3, 3);
    let mut fitted = linear(1);
    fitted.fit(Examples::floats(matrix, &labels).unwrap(), &Fit::new().batch_size(10).shuffle(false), &mut []).unwrap();
    let mut own = linear(1);
    let losses: Vec<f64> = own
        .session(10, |session| {
            let chunks = x.chunks(30).zip(labels.chunks(10));
            chunks
                .map(|(x, labels)| {
                    let (inputs, targets) = ([Inputs::Rows(MatRef::new(x, 10, 3, 3))], [Targets::Labels(labels)]);
                    session.step(&Batch { inputs: &inputs, targets: &targets, weights: None }).loss
                })
                .collect()
        })
        .unwrap();
    assert_eq!(weights(&own), weights(&fitted));
    assert!(losses.len() == 3 && losses.iter().all(|&loss| loss > 0.0));
    assert_eq!(own.session(0, |_| ()).unwrap_err().to_string(), "batch_size: at least 1 expected, found 0");
    let mut single = linear(1);
    for (x, labels) in x.chunks(30).zip(labels.chunks(10)) {
        single.train_on_batch(Examples::new().input(MatRef::new(x, 10, 3, 3)).labels(labels)).unwrap();
    }
    assert_eq!(weights(&single), weights(&fitted));
}

/// Keeps what a hook has seen.
#[derive(Default)]
struct Probe {
    parameters: Vec<Vec<f32>>,
    learning_rates: Vec<f32>,
}

impl Callback for Probe {
    fn on_epoch_end(&mut self, _: usize, logs: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        self.parameters.push(session.parameters().to_vec());
        self.learning_rates.push(logs.learning_rate);
        Ok(())
    }
}

/// A learning rate that grows until the validation loss gets worse, so that there is a best epoch before the last.
fn growing(epoch: usize, _: f32) -> f32 {
    0.02 * 2.5f32.powi(epoch as i32)
}

#[test]
fn early_stopping_ends_with_the_best_weights() {
    let data = synthetic::garments(240, 0);
    let (training, validation) = data.split(ValidationSplit::Tail(0.25)).unwrap();
    let network = small_network;
    let mut model = network().compile(Compile::new(SGD).threads(2)).unwrap();
    let (mut stopping, mut probe) = (EarlyStopping::new().patience(2).restore_best_weights(), Probe::default());
    let mut rates = LearningRateScheduler::new(growing);
    let fit = Fit::new().epochs(30).batch_size(16).validation_data(&validation);
    let history = model.fit(&training, &fit, &mut [&mut rates, &mut probe, &mut stopping]).unwrap();
    let losses = history.metric("val_loss");
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap();
    assert!(best + 3 == losses.len() && losses.len() < 30, "{losses:?}");
    assert_eq!(stopping.best_epoch(), Some(best));
    // Bit for bit what the best epoch had, so it predicts exactly as that did.
    assert_eq!(model.evaluate(&validation).unwrap().loss, losses[best]);
    model.session(1, |session| assert_eq!(session.parameters(), probe.parameters[best])).unwrap();
    assert_eq!(probe.learning_rates[..3], [growing(0, 0.0), growing(1, 0.0), growing(2, 0.0)]);
}

#[test]
fn a_stop_flag_leaves_the_best_weights() {
    struct Interrupt<'a>(&'a AtomicBool, usize);
    impl Callback for Interrupt<'_> {
        fn on_batch_end(&mut self, _: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
            // In the middle of an epoch, as Ctrl-C would.
            if session.steps() == self.1 as u64 {
                self.0.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
    }
    let data = synthetic::garments(120, 0);
    let flag = AtomicBool::new(false);
    let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let mut stopping = EarlyStopping::new().patience(100).restore_best_weights();
    let fit = Fit::new().epochs(30).batch_size(30).validation_data(&data).stop_flag(&flag);
    let history = model.fit(&data, &fit, &mut [&mut stopping, &mut Interrupt(&flag, 10)]).unwrap();
    assert_eq!(history.epochs.len(), 3, "two whole epochs of four steps, and one that was broken off");
    let losses = history.metric("val_loss");
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(model.evaluate(&data).unwrap().loss, best);
}

#[test]
fn a_missing_metric_ends_the_training_with_an_error_after_on_train_end() {
    #[derive(Default)]
    struct Ends(usize);
    impl Callback for Ends {
        fn on_train_end(&mut self, _: &mut Session<'_>) -> Result<(), ModelError> {
            self.0 += 1;
            Ok(())
        }
    }
    let data = synthetic::garments(20, 0);
    let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let (mut stopping, mut ends) = (EarlyStopping::new(), Ends::default());
    let error = model.fit(&data, &Fit::new(), &mut [&mut stopping, &mut ends]).unwrap_err();
    assert_eq!(error.to_string(), "metric `val_loss` expected in the logs, found `loss`, `accuracy`, `learning_rate`");
    assert_eq!(ends.0, 1);
}

#[test]
fn a_plateau_lowers_the_learning_rate() {
    let data = synthetic::garments(40, 0);
    let network = Sequential::new(&[28, 28]).add(selvedge::model::Flatten).add(Dense::new(10).activation(Activation::Softmax));
    let mut model = network.compile(Compile::new(Sgd { learning_rate: 0.0, ..SGD }).threads(1)).unwrap();
    model.session(1, |session| session.set_learning_rate(1e-12)).unwrap().unwrap();
    let mut plateau = ReduceLrOnPlateau::new().monitor("loss").unwrap().patience(1).factor(0.5).unwrap();
    let history = model.fit(&data, &Fit::new().epochs(4), &mut [&mut plateau]).unwrap();
    let rates: Vec<f32> = history.epochs.iter().map(|epoch| epoch.learning_rate).collect();
    assert_eq!(rates, [1e-12, 1e-12, 0.5e-12, 0.25e-12]);
    assert_eq!(
        model.session(1, |session| session.set_learning_rate(f32::NAN)).unwrap().unwrap_err().to_string(),
        "learning_rate: a finite number not below 0 expected, found NaN"
    );
}

#[test]
fn training_that_explodes_is_ended() {
    let data = synthetic::garments(64, 0);
    let mut model = small_network().compile(Compile::new(Sgd { learning_rate: 1e30, ..SGD }).threads(1)).unwrap();
    let mut terminate = TerminateOnNan::new();
    let history = model.fit(&data, &Fit::new().epochs(5).batch_size(8), &mut [&mut terminate]).unwrap();
    let (batch, loss) = terminate.found().unwrap();
    assert!(!loss.is_finite() && batch < 8 && history.epochs.len() == 1);
}

#[test]
fn logs_are_written_as_lines() {
    let data = synthetic::garments(20, 0);
    let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let mut text = Vec::new();
    model.fit(&data, &Fit::new().epochs(2).validation_data(&data), &mut [&mut CsvLogger::new(&mut text)]).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "epoch,accuracy,learning_rate,loss,val_accuracy,val_loss");
    assert!(lines.len() == 3 && lines[2].starts_with("1,"), "{text}");
}

#[test]
fn hooks_come_in_order() {
    #[derive(Default)]
    struct Order(Vec<String>);
    impl Callback for Order {
        fn on_train_begin(&mut self, run: Run, _: &mut Session<'_>) -> Result<(), ModelError> {
            self.0.push(format!("train {run:?}"));
            Ok(())
        }
        fn on_epoch_begin(&mut self, epoch: usize, _: &mut Session<'_>) -> Result<(), ModelError> {
            self.0.push(format!("epoch {epoch}"));
            Ok(())
        }
        fn on_batch_begin(&mut self, batch: usize, session: &mut Session<'_>) -> Result<(), ModelError> {
            self.0.push(format!("batch {batch} step {}", session.steps()));
            Ok(())
        }
        fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
            self.0.push(format!("batch {} done, {} rows, step {}", logs.batch, logs.rows, session.steps()));
            Ok(())
        }
        fn on_epoch_end(&mut self, epoch: usize, logs: &mut Epoch, _: &mut Session<'_>) -> Result<(), ModelError> {
            logs.logs.set("mine", 1.5);
            self.0.push(format!("epoch {epoch} done"));
            Ok(())
        }
        fn on_train_end(&mut self, _: &mut Session<'_>) -> Result<(), ModelError> {
            self.0.push("end".into());
            Ok(())
        }
    }
    let data = synthetic::garments(10, 0);
    let mut model = small_network().compile(Compile::new(SGD).threads(1)).unwrap();
    let mut order = Order::default();
    let history = model.fit(&data, &Fit::new().batch_size(8), &mut [&mut order]).unwrap();
    let expected = [
        "train Run { epochs: 1, rows: 10, steps: 2 }",
        "epoch 0",
        "batch 0 step 0",
        "batch 0 done, 8 rows, step 1",
        "batch 1 step 1",
        "batch 1 done, 10 rows, step 2",
        "epoch 0 done",
        "end",
    ];
    assert_eq!(order.0, expected);
    assert_eq!(history.metric("mine"), [1.5]);
}

#[test]
fn gradients_by_name_are_those_of_a_step() {
    let x = numbers(3, 12);
    let labels = [0, 1, 1, 0];
    let mut model = linear(1);
    let before = weights(&model);
    let (inputs, targets) = ([Inputs::Rows(MatRef::new(&x, 4, 3, 3))], [Targets::Labels(&labels)]);
    let batch = Batch { inputs: &inputs, targets: &targets, weights: None };
    let gradient: Vec<(String, Vec<f32>)> = model
        .session(4, |session| {
            let gradients = session.gradients(&batch);
            gradients.map(|(name, m)| (name.to_owned(), (0..m.rows()).flat_map(|i| m.row(i).to_vec()).collect())).collect()
        })
        .unwrap();
    assert_eq!(gradient.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["dense/kernel", "dense/bias"]);
    assert_eq!(weights(&model), before);
    model.session(4, |session| session.step(&batch)).unwrap();
    let expected: Vec<f32> =
        gradient.iter().flat_map(|(_, g)| g).zip(&before).map(|(g, &w)| f32::from_bits(w) - SGD.learning_rate * g).collect();
    for (expected, found) in expected.iter().zip(weights(&model)) {
        assert!((expected - f32::from_bits(found)).abs() < 1e-6);
    }
}

/// Clipping by a norm that is never reached changes nothing but the path.
#[test]
fn clipping_takes_the_longer_path_to_the_same_weights() {
    let data = synthetic::garments(40, 0);
    let trained = |clipping| {
        let mut model = small_network().compile(Compile::new(SGD).clipping(clipping).threads(2)).unwrap();
        model.fit(&data, &Fit::new().epochs(2), &mut []).unwrap();
        weights(&model)
    };
    let plain = trained(Clipping::None);
    for clipping in [Clipping::Value(1e9), Clipping::Norm(1e9), Clipping::GlobalNorm(1e9)] {
        assert_eq!(trained(clipping), plain, "{clipping:?}");
    }
    for clipping in [Clipping::Value(1e-3), Clipping::Norm(1e-3), Clipping::GlobalNorm(1e-3)] {
        assert_ne!(trained(clipping), plain, "{clipping:?}");
    }
    let error = small_network().compile(Compile::new(SGD).clipping(Clipping::Norm(0.0))).unwrap_err();
    assert_eq!(error.to_string(), "clipping: a finite number above 0 expected, found 0");
}

/// The weights of an input that is always zero have no gradient: a penalty or a decay shrinks them, for 3,000 steps of which each takes a tenth
/// or more of weights that are not yet tiny.
#[test]
fn weights_without_a_gradient_do_not_become_denormal() {
    let x: Vec<f32> = numbers(1, 24).into_iter().enumerate().map(|(i, x)| if i % 3 == 2 { 0.0 } else { x }).collect();
    let y = numbers(2, 8);
    let sgd = Optimizer::from(Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: false });
    let adam = Adam { learning_rate: 0.01, ..Adam::default() };
    let cases = [
        (sgd, 0.5),
        (Sgd { learning_rate: 0.1, momentum: 0.5, nesterov: true }.into(), 0.5),
        (RmsProp { learning_rate: 0.01, ..RmsProp::default() }.into(), 0.02),
        (adam.into(), 0.001),
        (Nadam { learning_rate: 0.01, ..Nadam::default() }.into(), 0.001),
        (Adam { weight_decay: Some(10.0), ..adam }.into(), 0.0),
    ];
    for (optimizer, l2) in cases {
        for clipping in [Clipping::None, Clipping::Value(0.5), Clipping::Norm(0.5), Clipping::GlobalNorm(0.5)] {
            let network = Sequential::new(&[3])
                .add(Dense::new(5).kernel_regularizer(Regularizer::l2(l2)))
                .add(BatchNormalization::default())
                .add(Dense::new(1));
            let compile = Compile::new(optimizer).loss(Loss::MeanSquaredError).clipping(clipping).threads(1);
            let mut model = network.compile(compile).unwrap();
            let examples = Examples::new().input(MatRef::new(&x, 8, 3, 3)).targets(MatRef::new(&y, 8, 1, 1));
            model.fit(examples, &Fit::new().epochs(3000).batch_size(8), &mut []).unwrap();
            let (_, kernel) = model.weights().next().unwrap();
            let context = format!("{optimizer:?}, l2 {l2}, {clipping:?}: {kernel:?}");
            assert!(kernel.row(2).iter().all(|w| w.abs() < 1e-6), "{context}");
            assert!((0..3).all(|i| kernel.row(i).iter().all(|w| !w.is_subnormal())), "{context}");
        }
    }
}

#[test]
fn batch_normalization_follows_the_data_and_predicts_by_what_it_has_seen() {
    let x: Vec<f32> = numbers(9, 64 * 2).iter().map(|x| 5.0 + 2.0 * x).collect();
    let network = Sequential::new(&[2]).add(BatchNormalization { momentum: 0.5, epsilon: 1e-3 }).add(Dense::new(1));
    let mut model =
        network.compile(Compile::new(Sgd { learning_rate: 0.0, ..SGD }).loss(Loss::MeanSquaredError).threads(2)).unwrap();
    let targets = [0.0; 64];
    let examples = || Examples::new().input(MatRef::new(&x, 64, 2, 2)).targets(MatRef::new(&targets, 64, 1, 1));
    model.train_on_batch(examples()).unwrap();
    let moving: Vec<(String, Vec<f32>)> = model.weights().map(|(name, m)| (name.to_owned(), m.row(0).to_vec())).collect();
    let column: Vec<f64> = x.iter().step_by(2).map(|&x| f64::from(x)).collect();
    let mean = column.iter().sum::<f64>() / 64.0;
    let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 64.0;
    assert_eq!(moving[2].0, "batch_normalization/moving_mean");
    assert!((f64::from(moving[2].1[0]) - 0.5 * mean).abs() < 1e-6);
    assert!((f64::from(moving[3].1[0]) - (0.5 + 0.5 * variance)).abs() < 1e-6);
}

#[test]
fn monte_carlo_spreads_where_there_is_dropout_only() {
    let x = numbers(4, 20 * 6);
    let examples = Examples::unlabelled_floats(MatRef::new(&x, 20, 6, 6)).unwrap();
    let model = |rate| {
        let network = Sequential::new(&[6])
            .add(Dense::new(64).activation(Activation::Relu))
            .add(Dropout::new(rate))
            .add(Dense::new(3).activation(Activation::Softmax));
        network.compile(Compile::new(SGD).threads(2)).unwrap()
    };
    let mut certain = model(0.0);
    let result = certain.predict_monte_carlo(&examples, 5, 1).unwrap();
    let plain = certain.predict(&examples).unwrap();
    assert_eq!(result.mean().matrix().row(3), plain.matrix().row(3));
    assert!(result.deviation().matrix().row(3).iter().all(|&s| s == 0.0));
    assert!(result.mutual_information().iter().all(|&i| i < 1e-6));

    let mut unsure = model(0.5);
    let result = unsure.predict_monte_carlo(&examples, 400, 1).unwrap();
    let again = unsure.predict_monte_carlo(&examples, 400, 1).unwrap();
    assert_eq!(result.mean().matrix().row(0), again.mean().matrix().row(0));
    let other = unsure.predict_monte_carlo(&examples, 400, 2).unwrap();
    assert_ne!(result.mean().matrix().row(0), other.mean().matrix().row(0));
    assert_eq!(result.passes(), 400);
    for row in 0..20 {
        assert!(result.deviation().matrix().row(row).iter().all(|&s| s > 0.0 && s < 0.5));
        assert!(result.entropy()[row] <= 3f64.ln() + 1e-9 && result.mutual_information()[row] > 0.0);
        let sum: f32 = result.mean().matrix().row(row).iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
    assert_eq!(unsure.predict_monte_carlo(&examples, 0, 1).unwrap_err().to_string(), "passes: at least 1 expected, found 0");
}

/// The same row again and again, more than go through the network at once.
#[test]
fn what_monte_carlo_drops_of_a_row_depends_on_its_number_and_not_on_threads() {
    let x = numbers(4, 6).repeat(1100);
    let examples = Examples::unlabelled_floats(MatRef::new(&x, 1100, 6, 6)).unwrap();
    let outputs = |threads| {
        let network = Sequential::new(&[6]).add(Dropout::new(0.5)).add(Dense::new(3));
        let mut model = network.compile(Compile::new(SGD).threads(threads)).unwrap();
        model.predict_monte_carlo(&examples, 1, 1).unwrap().mean().matrix().data().to_vec()
    };
    let expected = outputs(1);
    let repeats = (1..1060).filter(|first| expected[..40 * 3] == expected[first * 3..][..40 * 3]).count();
    assert_eq!(repeats, 0, "rows that repeat what was dropped of the first 40");
    for threads in [2, 3] {
        assert_eq!(outputs(threads), expected, "{threads} threads");
    }
}

#[test]
fn a_frozen_model_predicts_as_its_model_on_many_threads() {
    let x = numbers(4, 20 * 6);
    let network = Sequential::new(&[6])
        .add(Dense::new(40).use_bias(false))
        .add(BatchNormalization { momentum: 0.5, epsilon: 1e-3 })
        .add(Activation::Relu)
        .add(Dropout::new(0.5))
        .add(Dense::new(16).activation(Activation::Tanh))
        .add(BatchNormalization::default())
        .add(Dense::new(3).activation(Activation::Softmax));
    let mut model = network.compile(Compile::new(SGD).threads(2)).unwrap();
    let labels: Vec<u32> = (0..20).map(|i| i % 3).collect();
    let matrix = MatRef::new(&x, 20, 6, 6);
    model.fit(Examples::floats(matrix, &labels).unwrap(), &Fit::new().epochs(5), &mut []).unwrap();
    let expected = model.predict(Examples::unlabelled_floats(matrix).unwrap()).unwrap();
    let frozen = model.freeze(20).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (frozen, expected, x) = (&frozen, &expected, &x);
            scope.spawn(move || {
                let mut scratch = frozen.scratch();
                for i in (thread..20).step_by(4) {
                    let mut row = [0.0; 3];
                    frozen.predict_row(&x[i * 6..i * 6 + 6], &mut scratch, &mut row);
                    for (found, expected) in row.iter().zip(expected.matrix().row(i)) {
                        assert!((found - expected).abs() < 1e-6, "row {i}: {row:?}");
                    }
                }
            });
        }
    });
    assert_eq!(model.freeze(0).unwrap_err().to_string(), "rows: at least 1 expected, found 0");
}

#[test]
fn default_configurations_learn() {
    let (training, validation) = synthetic::garments(600, 0).split(ValidationSplit::Tail(0.2)).unwrap();
    let (mean, deviation) = training.mean_and_standard_deviation().unwrap();
    let scaling = selvedge::kernels::gather::Scaling::standardize(mean, deviation);
    for configuration in [
        Configuration::deep(&[28, 28], &[32, 32], 10).dropout(0.1),
        Configuration::self_normalizing(&[28, 28], &[32, 32], 10).dropout(0.05),
    ] {
        let examples = |dataset| Examples::from(dataset).scaling(scaling);
        let (mut model, history) = configuration.train(examples(&training), examples(&validation), 6, 32, &mut []).unwrap();
        let best = history.metric("val_loss").into_iter().fold(f64::INFINITY, f64::min);
        let evaluation = model.evaluate(examples(&validation)).unwrap();
        assert_eq!(evaluation.loss, best);
        assert!(evaluation.accuracy > 0.6, "{}", evaluation.accuracy);
    }
}

/// Sigmoids in fifteen layers with small weights let hardly any gradient through to the first; the callback shows it, and leaves no trace.
#[test]
fn vanishing_gradients_are_made_visible() {
    let x = numbers(2, 40 * 8);
    let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let matrix = MatRef::new(&x, 40, 8, 8);
    let network = |activation, initializer| {
        let hidden = (0..15).fold(Sequential::new(&[8]), |network, _| {
            network.add(Dense::new(16).activation(activation).kernel_initializer(initializer))
        });
        let network = hidden.add(Dense::new(2).activation(Activation::Softmax));
        network.compile(Compile::new(SGD).threads(2)).unwrap()
    };
    let measured = |activation, initializer| {
        let (inputs, targets) = ([Inputs::Rows(matrix)], [Targets::Labels(&labels)]);
        let mut statistics = GradientStatistics::new(&inputs, &targets);
        let (mut watched, mut alone) = (network(activation, initializer), network(activation, initializer));
        let fit = Fit::new().epochs(2).batch_size(40);
        watched.fit(Examples::floats(matrix, &labels).unwrap(), &fit, &mut [&mut statistics]).unwrap();
        alone.fit(Examples::floats(matrix, &labels).unwrap(), &fit, &mut []).unwrap();
        assert_eq!(weights(&watched), weights(&alone));
        assert_eq!((statistics.gradients.len(), statistics.activations.len()), (2, 2));
        assert_eq!(statistics.activations[0].len(), 16);
        assert_eq!(statistics.gradients[0][0].name, "dense/kernel");
        let kernels: Vec<f64> = statistics.gradients[1]
            .iter()
            .filter(|tensor| tensor.name.ends_with("/kernel"))
            .map(|tensor| tensor.root_mean_square)
            .collect();
        kernels[0] / kernels[14]
    };
    let sigmoid = measured(Activation::Sigmoid, Initializer::GlorotNormal);
    let selu = measured(Activation::Selu, Initializer::LeCunNormal);
    assert!(sigmoid < 1e-6, "{sigmoid}");
    assert!(selu > 1e-2, "{selu}");
}

/// SELU, LeCun initialization and alpha dropout keep mean 0 and variance 1 through twenty layers; what else one might choose does not.
#[test]
fn a_self_normalizing_network_keeps_its_signals() {
    let (rows, columns) = (256, 256);
    // Sums of twelve uniform numbers: mean 0, variance 1.
    let uniform = numbers(8, 12 * rows * columns);
    let x: Vec<f32> = uniform.chunks(12).map(|chunk| 0.5 * chunk.iter().sum::<f32>()).collect();
    let labels = vec![0; rows];
    let measured = |activation, initializer, rate| {
        let network = (0..20).fold(Sequential::new(&[columns]), |network, _| {
            let network = network.add(Dense::new(256).activation(activation).kernel_initializer(initializer));
            network.add(AlphaDropout::new(rate))
        });
        let network = network.add(Dense::new(2).activation(Activation::Softmax));
        let mut model = network.compile(Compile::new(Sgd { learning_rate: 0.0, ..SGD }).seed(2).threads(2)).unwrap();
        let (inputs, targets) = ([Inputs::Rows(MatRef::new(&x, rows, columns, columns))], [Targets::Labels(&labels)]);
        model
            .session(rows, |session| {
                session.step(&Batch { inputs: &inputs, targets: &targets, weights: None });
                session.activations(rows).take(40).map(|(_, mean, deviation)| (mean, deviation * deviation)).collect::<Vec<_>>()
            })
            .unwrap()
    };
    let stays =
        |statistics: &[(f64, f64)]| statistics.iter().all(|(mean, variance)| mean.abs() < 0.1 && (variance - 1.0).abs() < 0.2);
    for rate in [0.0, 0.05, 0.1] {
        let statistics = measured(Activation::Selu, Initializer::LeCunNormal, rate);
        assert_eq!(statistics.len(), 40);
        assert!(stays(&statistics), "rate {rate}: {statistics:?}");
    }
    assert!(!stays(&measured(Activation::Relu, Initializer::LeCunNormal, 0.0)));
    assert!(
        !stays(&measured(Activation::Selu, Initializer::GlorotNormal, 0.0))
            || !stays(&measured(Activation::Tanh, Initializer::GlorotNormal, 0.0))
    );
}
