//! Metrics that `compile` is asked for: their values, their names, and who can see them.

use super::graphs::{numbers, wide_and_deep};
use super::{SGD, weights};
use selvedge::exec::{Batch, Inputs, Targets};
use selvedge::kernels::MatRef;
use selvedge::model::callbacks::{CsvLogger, EarlyStopping, ReduceLrOnPlateau};
use selvedge::model::{
    Activation, Adam, Average, BatchLogs, BatchNormalization, Callback, Compile, Dense, Dropout, Examples, Fit, Loss, Metric,
    Model, ModelError, Sequential, Session, Sgd, metrics,
};

/// A layer that gives what it is given, through an activation.
fn echo(columns: usize, activation: Activation, compile: Compile) -> Model {
    let mut model =
        Sequential::new(&[columns]).add(Dense::new(columns).activation(activation)).compile(compile.threads(1)).unwrap();
    let mut weights = vec![0.0; columns * columns + columns];
    weights[..columns * columns].iter_mut().step_by(columns + 1).for_each(|diagonal| *diagonal = 1.0);
    model.set_weights(&weights).unwrap();
    model
}

/// What Keras 3.15 gives for `metrics` of the table, whose rows come in two minibatches.
fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{what}: {expected} expected, found {found}");
}

const STILL: Sgd = Sgd { learning_rate: 0.0, momentum: 0.0, nesterov: false };

/// The value of each metric over the rows of a training that changes nothing, and over the same rows in an evaluation.
fn measured(model: &mut Model, examples: &Examples<'_>) -> [Vec<(&'static str, f64)>; 2] {
    let history = model.fit(examples, &Fit::new().batch_size(3).shuffle(false), &mut []).unwrap();
    let values = |evaluation: &selvedge::model::Evaluation| evaluation.metrics().map(|(_, name, value)| (name, value)).collect();
    [values(&history.epochs[0].training), values(&model.evaluate(examples).unwrap())]
}

#[test]
fn errors_of_a_regression_are_those_of_keras() {
    let y = [1.0, -2.0, 0.5, 3.0, 2.0, 0.0, 0.25, 1.5];
    let t = [1.5, -1.0, 0.0, 2.0, 2.5, 0.25, 0.25, -4.0];
    let names = ["mse", "root_mean_squared_error", "mae", "mape", "msle"];
    let mut model = echo(2, Activation::Linear, Compile::new(STILL).loss(Loss::MeanSquaredError).metrics(names));
    let examples = Examples::new().input(MatRef::new(&y, 4, 2, 2)).targets(MatRef::new(&t, 4, 2, 2));
    let expected = [4.132_812_5, 2.032_932_043_075_561_5, 1.15625, 62_500_056.0, 0.151_262_477_040_290_83];
    for found in measured(&mut model, &examples) {
        for ((name, expected), (found_name, found)) in names.iter().zip(expected).zip(found) {
            assert_eq!(*name, found_name);
            close(found, expected, name);
        }
    }
}

#[test]
fn counts_of_a_binary_output_are_those_of_keras() {
    let p: [f32; 8] = [0.9, 0.2, 0.4, 0.5, 0.6, 0.7, 0.1, 0.8];
    let t = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let logits = p.map(|p| (p / (1.0 - p)).ln());
    let names = ["binary_accuracy", "precision", "recall"];
    let loss = Loss::BinaryCrossentropy { label_smoothing: 0.0 };
    let examples = Examples::new().input(MatRef::new(&logits, 4, 2, 2)).targets(MatRef::new(&t, 4, 2, 2));
    // Probabilities, whether the sigmoid is the model's or the loss'.
    for activation in [Activation::Sigmoid, Activation::Linear] {
        let mut model = echo(2, activation, Compile::new(STILL).loss(loss).metrics(names));
        for found in measured(&mut model, &examples) {
            for ((name, expected), (_, found)) in names.iter().zip([0.625, 0.75, 0.6]).zip(found) {
                close(found, expected, name);
            }
        }
        assert_eq!(model.evaluate(&examples).unwrap().accuracy, 0.625);
    }
    // Of one column, the class is there or not.
    let (logits, t): (Vec<f32>, Vec<f32>) = (logits.iter().step_by(2).copied().collect(), t.iter().step_by(2).copied().collect());
    let mut model = echo(1, Activation::Sigmoid, Compile::new(STILL).loss(loss).metrics(["f1_score"]));
    let examples = Examples::new().input(MatRef::new(&logits, 4, 1, 1)).targets(MatRef::new(&t, 4, 1, 1));
    for found in measured(&mut model, &examples) {
        assert_eq!(found, [("f1_score", 0.5)]);
    }
}

#[test]
fn scores_of_classes_are_those_of_keras() {
    let s: [f32; 15] = [0.1, 0.6, 0.3, 0.5, 0.3, 0.2, 0.2, 0.45, 0.35, 0.7, 0.1, 0.2, 0.1, 0.2, 0.7];
    let logits = s.map(|s| s.ln() + 1.0);
    let labels = [1, 2, 2, 0, 1];
    let one_hot: Vec<f32> = labels.iter().flat_map(|&label| (0..3).map(move |class| f32::from(u8::from(class == label)))).collect();
    let asked = [
        (Metric::CategoricalAccuracy, 0.4),
        (Metric::TopKAccuracy(2), 0.8),
        (Metric::F1Score(Average::Macro), 0.388_888_9),
        (Metric::Precision, 0.666_666_666_7),
        (Metric::Recall, 0.4),
    ];
    let by_label = Examples::new().input(MatRef::new(&logits, 5, 3, 3)).labels(&labels);
    let by_row = Examples::new().input(MatRef::new(&logits, 5, 3, 3)).targets(MatRef::new(&one_hot, 5, 3, 3));
    let sparse = Loss::SparseCategoricalCrossentropy { label_smoothing: 0.0 };
    let dense = Loss::CategoricalCrossentropy { label_smoothing: 0.0 };
    for activation in [Activation::Softmax, Activation::Linear] {
        for (loss, examples) in [(sparse, &by_label), (dense, &by_row)] {
            let compile = Compile::new(STILL).loss(loss).metrics(asked.map(|(metric, _)| metric));
            let mut model = echo(3, activation, compile);
            for found in measured(&mut model, examples) {
                for ((metric, expected), (name, found)) in asked.into_iter().zip(found) {
                    assert_eq!(name, metric.name());
                    close(found, expected, name);
                }
            }
            let other = |average, expected| {
                let compile = Compile::new(STILL).loss(loss).metrics([Metric::F1Score(average)]);
                close(echo(3, activation, compile).evaluate(examples).unwrap().metric("f1_score").unwrap(), expected, "f1_score");
            };
            other(Average::Micro, 0.4);
            other(Average::Weighted, 0.333_333_333_3);
        }
    }
}

/// Training and validation in minibatches, by any number of threads, with noise and normalization: what is measured is what a
/// column of predictions gives.
#[test]
fn metrics_of_an_epoch_are_those_of_all_its_rows() {
    let (rows, columns) = (301, 6);
    let (x, t) = (numbers(1, rows * columns), numbers(2, rows * 3));
    let examples = Examples::new().input(MatRef::new(&x, rows, columns, columns)).targets(MatRef::new(&t, rows, 3, 3));
    let network = Sequential::new(&[columns])
        .add(Dense::new(9).activation(Activation::Elu { alpha: 1.0 }))
        .add(BatchNormalization::default())
        .add(Dropout::new(0.2))
        .add(Dense::new(3));
    let mut histories = Vec::new();
    for threads in [1, 2, 3] {
        let compile = Compile::new(SGD).loss(Loss::MeanSquaredError).metrics(["mae", "mse"]).threads(threads);
        let mut model = network.compile(compile).unwrap();
        let history = model.fit(&examples, &Fit::new().epochs(2).validation_data(&examples), &mut []).unwrap();
        let last = &history.epochs[1];
        let predictions = model.predict(&examples).unwrap();
        let expected = metrics::mean_absolute_error(&t, predictions.matrix().data()).unwrap();
        close(last.logs.get("val_mae").unwrap(), expected, "val_mae");
        // The same error by another way: the loss.
        close(last.logs.get("val_mse").unwrap(), last.logs.get("val_loss").unwrap(), "val_mse");
        close(last.logs.get("mse").unwrap(), last.logs.get("loss").unwrap(), "mse");
        assert_eq!(model.evaluate(&examples).unwrap().metric("mae"), last.logs.get("val_mae"));
        histories.push((history.metric("mae"), history.metric("val_mae"), weights(&model)));
    }
    assert!(histories.iter().all(|history| *history == histories[0]));
    // Measuring changes no bit of the training.
    let mut bare = network.compile(Compile::new(SGD).loss(Loss::MeanSquaredError).threads(1)).unwrap();
    bare.fit(&examples, &Fit::new().epochs(2).validation_data(&examples), &mut []).unwrap();
    assert_eq!(weights(&bare), histories[0].2);
}

#[test]
fn a_step_and_the_logs_of_a_step_have_the_metrics() {
    struct Errors(Vec<(f64, f64)>);
    impl Callback for Errors {
        fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
            let all = session.logs(&logs.so_far);
            assert_eq!(all.get("mae"), logs.so_far.metric("mae"));
            // A question in between does not disturb the mean of the epoch.
            let (x, t) = ([100.0], [0.0]);
            session.evaluate(&Examples::new().input(MatRef::new(&x, 1, 1, 1)).targets(MatRef::new(&t, 1, 1, 1)))?;
            self.0.push((all.get("mae").unwrap(), all.get("loss").unwrap()));
            Ok(())
        }
    }
    let (x, t) = ([1.0, 2.0, 4.0], [0.0, 0.0, 0.0]);
    let examples = Examples::new().input(MatRef::new(&x, 3, 1, 1)).targets(MatRef::new(&t, 3, 1, 1));
    let mut model = echo(1, Activation::Linear, Compile::new(STILL).loss(Loss::MeanSquaredError).metrics(["mae"]));
    let mut errors = Errors(Vec::new());
    model.fit(&examples, &Fit::new().batch_size(2).shuffle(false), &mut [&mut errors]).unwrap();
    assert_eq!(errors.0, [(1.5, 2.5), (7.0 / 3.0, 7.0)]);
    assert_eq!(model.train_on_batch(&examples).unwrap().metric("mae"), Some(7.0 / 3.0));
    let step = model.session(2, |session| {
        let (inputs, targets) = ([Inputs::Rows(MatRef::new(&x, 2, 1, 1))], [Targets::Rows(MatRef::new(&t, 2, 1, 1))]);
        session.step(&Batch { inputs: &inputs, targets: &targets, weights: None })
    });
    assert_eq!(step.unwrap().metrics().collect::<Vec<_>>(), [(0, "mae", 1.5)], "of this minibatch alone");
}

#[test]
fn weights_of_rows_are_left_out_of_metrics() {
    let (x, t, row_weights) = ([1.0, 2.0], [0.0, 0.0], [0.0, 3.0]);
    let examples = Examples::new().input(MatRef::new(&x, 2, 1, 1)).targets(MatRef::new(&t, 2, 1, 1)).sample_weights(&row_weights);
    let mut model = echo(1, Activation::Linear, Compile::new(STILL).loss(Loss::MeanSquaredError).metrics(["mse"]));
    let evaluation = model.evaluate(&examples).unwrap();
    assert_eq!((evaluation.loss, evaluation.metric("mse")), (6.0, Some(2.5)));
}

#[test]
fn names_of_several_outputs_are_those_of_keras() {
    let mut network = selvedge::model::Functional::new();
    let input = network.input("x", &[3]);
    let price = network.apply(Dense::new(1).name("price"), &[input]);
    let kind = network.apply(Dense::new(3).activation(Activation::Softmax).name("kind"), &[input]);
    let network = network.outputs(&[price, kind]);
    let compile = Compile::new(SGD)
        .output_loss("price", Loss::MeanSquaredError, 1.0)
        .output_metrics("price", ["mae", "RootMeanSquaredError"])
        .output_metrics("kind", ["acc", "sparse_top_k_categorical_accuracy"])
        .threads(1);
    let mut model = network.compile(compile).unwrap();
    let (x, prices, kinds) = (numbers(1, 24), numbers(2, 8), [0, 1, 2, 0, 1, 2, 0, 1]);
    let examples = Examples::new().input(MatRef::new(&x, 8, 3, 3)).targets(MatRef::new(&prices, 8, 1, 1)).labels(&kinds);
    let mut text = Vec::new();
    let history = model.fit(&examples, &Fit::new().validation_data(&examples), &mut [&mut CsvLogger::new(&mut text)]).unwrap();
    // Of Keras, but for the accuracy, which is there without being asked for.
    let expected = [
        "kind_acc",
        "kind_accuracy",
        "kind_loss",
        "kind_sparse_top_k_categorical_accuracy",
        "loss",
        "price_RootMeanSquaredError",
        "price_loss",
        "price_mae",
    ];
    let mut names: Vec<&str> = history.epochs[0].logs.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let validation: Vec<String> = expected.iter().map(|name| format!("val_{name}")).collect();
    let all: Vec<&str> = expected[..4].iter().chain(&["learning_rate"]).chain(&expected[4..]).copied().collect();
    let mut all: Vec<&str> = all.into_iter().chain(validation.iter().map(String::as_str)).collect();
    all.sort_unstable();
    assert_eq!(names, all);
    assert_eq!(String::from_utf8(text).unwrap().lines().next().unwrap(), format!("epoch,{}", all.join(",")));
    let epoch = &history.epochs[0];
    assert_eq!(epoch.logs.get("kind_acc"), epoch.training.outputs()[1].accuracy);
    assert_eq!(epoch.logs.get("val_kind_sparse_top_k_categorical_accuracy"), Some(1.0), "three classes are among five");
    let evaluation = model.evaluate(&examples).unwrap();
    assert_eq!(evaluation.metric("mae"), epoch.logs.get("val_price_mae"));
    let logs = model.logs(&evaluation);
    let validation: Vec<(String, f64)> = logs.iter().map(|(name, value)| (format!("val_{name}"), value)).collect();
    assert!(validation.len() == 8 && validation.iter().all(|(name, value)| epoch.logs.get(name) == Some(*value)));
    // Metrics for all outputs that have none of their own.
    let compile = Compile::new(SGD).loss(Loss::MeanSquaredError).metrics(["mae"]).output_metrics("aux_output", ["mse"]).threads(1);
    let model = wide_and_deep().compile(compile).unwrap();
    drop(model);
}

#[test]
fn callbacks_monitor_metrics() {
    let (x, t) = (numbers(1, 40), numbers(2, 20));
    let examples = Examples::new().input(MatRef::new(&x, 20, 2, 2)).targets(MatRef::new(&t, 20, 1, 1));
    let model = |metrics: &[&str]| {
        let compile = Compile::new(SGD).loss(Loss::MeanSquaredError).metrics(metrics.iter().copied()).threads(1);
        Sequential::new(&[2]).add(Dense::new(1)).compile(compile).unwrap()
    };
    let fit = Fit::new().epochs(30).validation_data(&examples);
    let mut stopping = EarlyStopping::new().monitor("val_mae").unwrap().patience(2).min_delta(0.05).restore_best_weights();
    let mut plateau = ReduceLrOnPlateau::new().monitor("mae").unwrap().patience(1).min_delta(0.05);
    let history = model(&["mae"]).fit(&examples, &fit, &mut [&mut stopping, &mut plateau]).unwrap();
    let best = stopping.best_epoch().unwrap();
    assert_eq!(stopping.best(), Some(history.metric("val_mae")[best]));
    assert!(history.epochs.len() < 30 && history.epochs.last().unwrap().learning_rate < 0.05);
    // A metric that nobody has asked for.
    let error = model(&["mse"]).fit(&examples, &fit, &mut [&mut EarlyStopping::new().monitor("val_mae").unwrap()]).unwrap_err();
    let expected = "metric `val_mae` expected in the logs, found `loss`, `mse`, `val_loss`, `val_mse`, `learning_rate`";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn metrics_that_do_not_fit_are_refused_by_name() {
    let regression = |metrics: &[&str]| {
        let compile = Compile::new(SGD).loss(Loss::MeanSquaredError).metrics(metrics.iter().copied()).threads(1);
        Sequential::new(&[2]).add(Dense::new(1).name("price")).compile(compile).unwrap_err().to_string()
    };
    let unknown = regression(&["mae", "mena"]);
    assert!(unknown.starts_with("metric: one of `accuracy`, ") && unknown.ends_with(" expected, found `mena`"), "{unknown}");
    let classes = "metric `acc` of output `price`: a loss that chooses classes expected, found MeanSquaredError";
    assert_eq!(regression(&["acc"]), classes);
    assert_eq!(regression(&["mae", "mae"]), "metrics: every name once at an output expected, found two `mae` at `price`");
    let classification = |compile: Compile| {
        Sequential::new(&[2])
            .add(Dense::new(3).activation(Activation::Softmax))
            .compile(compile.threads(1))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        classification(Compile::new(SGD).metrics(["mae"])),
        "metric `mae` of output `dense`: rows of numbers as targets expected, found SparseCategoricalCrossentropy { label_smoothing: 0.0 }"
    );
    let zero = classification(Compile::new(SGD).metrics([Metric::TopKAccuracy(0)]));
    assert!(zero.starts_with("metric `top_k_categorical_accuracy` of output `dense`: k of at least 1 expected"), "{zero}");
    assert_eq!(
        classification(Compile::new(SGD).output_metrics("dence", ["accuracy"])),
        "an output among [\"dense\"] expected, found `dence`"
    );
    let mut network = selvedge::model::Functional::new();
    let x = network.input("x", &[2]);
    let outputs: Vec<_> = (0..6).map(|i| network.apply(Dense::new(1).name(&format!("out{i}")), &[x])).collect();
    let compile = Compile::new(SGD).loss(Loss::MeanSquaredError).metrics(["mae", "mse", "rmse"]).threads(1);
    let many = network.outputs(&outputs).compile(compile).unwrap_err();
    assert_eq!(many.to_string(), "metrics: at most 16 over all outputs expected, found 18");
}

#[test]
fn a_saved_model_keeps_its_metrics() {
    let asked = [Metric::TopKAccuracy(2).into(), Metric::F1Score(Average::Weighted).into(), metrics::MetricChoice::from("acc")];
    let mut model = echo(3, Activation::Softmax, Compile::new(Adam::default()).metrics(asked));
    let x = numbers(1, 60);
    let labels: Vec<u32> = (0..20).map(|i| i % 3).collect();
    let examples = Examples::new().input(MatRef::new(&x, 20, 3, 3)).labels(&labels);
    let expected = model.evaluate(&examples).unwrap();
    let names: Vec<&str> = expected.metrics().map(|(_, name, _)| name).collect();
    assert_eq!(names, ["top_k_categorical_accuracy", "f1_score", "acc"]);
    let mut loaded = Model::from_checkpoint(&model.checkpoint(), Some(1)).unwrap();
    assert_eq!(loaded.evaluate(&examples).unwrap(), expected);
}
