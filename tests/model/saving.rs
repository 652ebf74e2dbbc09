//! Models on disk: what Keras has trained, what is saved and loaded, and training that goes on as if nothing had happened.

use super::graphs::{compile_wide_and_deep, numbers, wide_and_deep};
use super::{SGD, weights};
use selvedge::data::ValidationSplit;
use selvedge::io::{Checkpoint, KerasFile, Safetensors, Tensors};
use selvedge::kernels::MatRef;
use selvedge::model::callbacks::{EarlyStopping, ModelCheckpoint, ReduceLrOnPlateau, SaveFrequency};
use selvedge::model::{
    Activation, Adam, AlphaDropout, BatchLogs, BatchNormalization, Callback, Clipping, Compile, Dense, Dropout, Examples, Fit,
    Functional, LeakyRelu, Loss, Model, ModelError, Nadam, OneCycle, Optimizer, PRelu, Regularizer, RmsProp, Sequential, Session,
    Sgd,
};
use std::path::{Path, PathBuf};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras").join(name)
}

/// A directory that vanishes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("selvedge-model-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn matrix<'a>(tensors: &'a Tensors, name: &str) -> MatRef<'a> {
    tensors.get(name).unwrap_or_else(|| panic!("{name}")).matrix()
}

fn labels(tensors: &Tensors, name: &str) -> Vec<u32> {
    tensors.get(name).unwrap().elements().iter().map(|&label| label as u32).collect()
}

fn largest_difference(a: MatRef<'_>, b: MatRef<'_>) -> f32 {
    assert_eq!((a.rows(), a.columns()), (b.rows(), b.columns()));
    (0..a.rows()).flat_map(|i| a.row(i).iter().zip(b.row(i)).map(|(a, b)| (a - b).abs())).fold(0.0, f32::max)
}

#[test]
fn a_sequential_model_of_keras_predicts_and_evaluates_the_same() {
    let file = KerasFile::load(&reference("sequential.keras")).unwrap();
    let network = Functional::from_architecture(&file.architecture).unwrap();
    let mut model = network.compile(Compile::new(SGD).threads(2)).unwrap();
    model.take_weights(&file.tensors).unwrap();
    let expected = Safetensors::load(&reference("sequential.expected.safetensors")).unwrap().tensors;
    let labels = labels(&expected, "label/0");
    let examples = || Examples::new().input(matrix(&expected, "input/0")).labels(&labels);
    let predictions = model.predict(examples()).unwrap();
    let difference = largest_difference(predictions.matrix(), matrix(&expected, "output/0"));
    assert!(difference < 1e-5, "{difference}");
    let evaluation = model.evaluate(examples()).unwrap();
    let score = |name: &str| f64::from(expected.get(&format!("score/{name}")).unwrap().elements()[0]);
    assert!((evaluation.loss - score("loss")).abs() < 1e-5, "{} {}", evaluation.loss, score("loss"));
    assert_eq!(evaluation.accuracy, score("accuracy"));
    // Frozen, with the batch normalization folded.
    let frozen = model.freeze(16).unwrap();
    let mut outputs = vec![0.0; 16 * 3];
    frozen.predict(
        &[matrix(&expected, "input/0")],
        &mut frozen.scratch(),
        &mut [selvedge::kernels::MatMut::new(&mut outputs, 16, 3, 3)],
    );
    assert!(largest_difference(MatRef::new(&outputs, 16, 3, 3), matrix(&expected, "output/0")) < 1e-5);
}

#[test]
fn a_functional_model_of_keras_predicts_and_evaluates_the_same() {
    let file = KerasFile::load(&reference("wide_and_deep.keras")).unwrap();
    let network = Functional::from_architecture(&file.architecture).unwrap();
    let compile = Compile::new(SGD)
        .output_loss("main", Loss::MeanSquaredError, 0.9)
        .output_loss("auxiliary", Loss::MeanSquaredError, 0.1)
        .threads(1);
    let mut model = network.compile(compile).unwrap();
    model.take_weights(&file.tensors).unwrap();
    let expected = Safetensors::load(&reference("wide_and_deep.expected.safetensors")).unwrap().tensors;
    let examples = Examples::new()
        .input(matrix(&expected, "input/0"))
        .input(matrix(&expected, "input/1"))
        .targets(matrix(&expected, "label/0"))
        .targets(matrix(&expected, "label/1"));
    let predictions = model.predict(&examples).unwrap();
    for output in 0..2 {
        let difference = largest_difference(predictions.output(output).unwrap(), matrix(&expected, &format!("output/{output}")));
        assert!(difference < 1e-5, "output {output}: {difference}");
    }
    let evaluation = model.evaluate(&examples).unwrap();
    let score = |name: &str| f64::from(expected.get(&format!("score/{name}")).unwrap().elements()[0]);
    for (found, expected) in [
        (evaluation.loss, score("loss")),
        (evaluation.outputs()[0].loss, score("main_loss")),
        (evaluation.outputs()[1].loss, score("auxiliary_loss")),
    ] {
        assert!((found - expected).abs() < 1e-5 * expected.max(1.0), "{found} {expected}");
    }
}

/// Ten steps of Keras: batch normalization, penalties, three optimizers, two of them with clipping.
#[test]
fn ten_steps_are_those_of_keras() {
    let cases: [(&str, Optimizer, Clipping); 3] = [
        ("trace_sgd_nesterov", Sgd { learning_rate: 0.05, momentum: 0.9, nesterov: true }.into(), Clipping::None),
        ("trace_adam_clipnorm", Adam { learning_rate: 0.01, ..Adam::default() }.into(), Clipping::Norm(0.2)),
        ("trace_rmsprop_global_clipnorm", RmsProp { learning_rate: 0.01, ..RmsProp::default() }.into(), Clipping::GlobalNorm(0.3)),
    ];
    for (name, optimizer, clipping) in cases {
        let file = Safetensors::load(&reference(&format!("{name}.safetensors"))).unwrap();
        let architecture = selvedge::io::Architecture::from_json(&file.metadata["config"]).unwrap();
        let mut tensors = file.tensors;
        let network = Functional::from_architecture(&architecture).unwrap();
        for threads in [1, 3] {
            let mut model = network.compile(Compile::new(optimizer).clipping(clipping).threads(threads)).unwrap();
            let mut trace = tensors.clone();
            model.take_weights(&trace.take("step_00/")).unwrap();
            let (x, y) = (trace.get("x").unwrap().elements().to_vec(), labels(&trace, "y"));
            let losses = trace.get("loss").unwrap().elements().to_vec();
            for step in 0..10 {
                let rows = MatRef::new(&x[step * 16 * 12..][..16 * 12], 16, 12, 12);
                let found = model.train_on_batch(Examples::new().input(rows).labels(&y[step * 16..][..16])).unwrap().loss;
                assert!((found - f64::from(losses[step])).abs() < 1e-4, "{name}, step {step}: {found} {}", losses[step]);
                let expected = trace.take(&format!("step_{:02}/", step + 1));
                if expected.is_empty() {
                    continue;
                }
                for (tensor, found) in model.weights() {
                    let difference = largest_difference(found, expected.get(tensor).unwrap().matrix());
                    assert!(difference < 1e-4, "{name}, step {}, {tensor}: {difference}", step + 1);
                }
            }
        }
        tensors.take("step_");
    }
}

/// A network with everything that has a state or random numbers.
fn everything() -> Sequential {
    Sequential::new(&[6])
        .add(Dropout::new(0.1))
        .add(Dense::new(20).kernel_regularizer(Regularizer::l1_l2(1e-4, 1e-3)))
        .add(BatchNormalization { momentum: 0.9, epsilon: 1e-3 })
        .add(Activation::Relu)
        .add(Dropout::new(0.3))
        .add(Dense::new(12).use_bias(false))
        .add(PRelu::default())
        .add(Dense::new(10).activation(Activation::LeakyRelu { slope: 0.125 }).name("leaky"))
        .add(LeakyRelu::default())
        .add(Dense::new(9).activation(Activation::Elu { alpha: 0.5 }))
        .add(Dense::new(9).activation(Activation::GeluTanh))
        .add(Dense::new(9).activation(Activation::Selu))
        .add(AlphaDropout::new(0.1))
        .add(Dense::new(3).activation(Activation::Softmax))
}

fn optimizers() -> Vec<Optimizer> {
    vec![
        Sgd { learning_rate: 0.05, momentum: 0.9, nesterov: true }.into(),
        RmsProp { centered: true, momentum: 0.5, ..RmsProp::default() }.into(),
        Adam { amsgrad: true, ..Adam::default() }.into(),
        Adam::with_weight_decay().into(),
        Nadam::default().into(),
    ]
}

#[test]
fn training_that_goes_on_from_a_file_is_training_that_was_never_stopped() {
    let scratch = Scratch::new("resume");
    let path = scratch.file("model.checkpoint");
    let x = numbers(1, 50 * 6);
    let labels: Vec<u32> = (0..50).map(|i| i % 3).collect();
    let examples = || Examples::floats(MatRef::new(&x, 50, 6, 6), &labels).unwrap();
    let loss = Loss::SparseCategoricalCrossentropy { label_smoothing: 0.1 };
    for optimizer in optimizers() {
        let schedule = OneCycle::three_legs(0.02, 4 * 4).unwrap();
        let fit = |epochs| Fit::new().epochs(epochs).batch_size(14).schedule(&schedule);
        let compile = || Compile::new(optimizer).loss(loss).seed(5).clipping(Clipping::GlobalNorm(2.0)).threads(2);
        let mut whole = everything().compile(compile()).unwrap();
        whole.fit(examples(), &fit(4), &mut []).unwrap();
        let expected = weights(&whole);
        for stop in 0..=4 {
            let mut first = everything().compile(compile()).unwrap();
            first.fit(examples(), &fit(stop), &mut []).unwrap();
            first.save(&path).unwrap();
            drop(first);
            let threads = 1 + stop % 3;
            let mut second = Model::from_checkpoint(&Checkpoint::load(&path).unwrap(), Some(threads)).unwrap();
            second.fit(examples(), &fit(4 - stop), &mut []).unwrap();
            assert_eq!(weights(&second), expected, "{optimizer:?}, stopped after {stop} epochs, then {threads} threads");
            assert_eq!(second.summary(), whole.summary());
            assert_eq!(second.evaluate(examples()).unwrap(), whole.evaluate(examples()).unwrap());
        }
    }
}

#[test]
fn a_functional_model_comes_back_whole() {
    let scratch = Scratch::new("functional");
    let path = scratch.file("model.checkpoint");
    let (wide, deep, y) = (numbers(1, 50), numbers(2, 60), numbers(3, 10));
    let examples = || {
        let (wide, deep, y) = (MatRef::new(&wide, 10, 5, 5), MatRef::new(&deep, 10, 6, 6), MatRef::new(&y, 10, 1, 1));
        Examples::new().input(wide).input(deep).targets(y).targets(y)
    };
    let mut model = compile_wide_and_deep(1);
    model.fit(examples(), &Fit::new().epochs(3), &mut []).unwrap();
    model.save(&path).unwrap();
    let mut loaded = Model::load(&path).unwrap();
    assert_eq!(weights(&loaded), weights(&model));
    assert_eq!(loaded.evaluate(examples()).unwrap(), model.evaluate(examples()).unwrap());
    for model in [&mut model, &mut loaded] {
        model.fit(examples(), &Fit::new().epochs(2), &mut []).unwrap();
    }
    assert_eq!(weights(&loaded), weights(&model));
}

#[test]
fn weights_travel_by_name() {
    let scratch = Scratch::new("weights");
    let path = scratch.file("weights.safetensors");
    let mut from = everything().compile(Compile::new(SGD).seed(1).threads(1)).unwrap();
    let mut to = everything().compile(Compile::new(SGD).seed(2).threads(1)).unwrap();
    from.save_weights(&path).unwrap();
    assert_ne!(weights(&from), weights(&to));
    to.load_weights(&path).unwrap();
    assert_eq!(weights(&from), weights(&to));
    let file = Safetensors::load(&path).unwrap();
    assert_eq!(file.tensors.get("dense/kernel").unwrap().shape(), [6, 20]);
    assert_eq!(file.tensors.get("batch_normalization/moving_variance").unwrap().shape(), [20]);

    // Another network: refused, and left as it was.
    let other = Sequential::new(&[6]).add(Dense::new(21)).add(Dense::new(3));
    let mut other = other.compile(Compile::new(SGD).threads(1)).unwrap();
    let before = weights(&other);
    let error = other.load_weights(&path).unwrap_err().to_string();
    assert!(error.contains("dense/kernel") && error.contains("21") && error.contains("20"), "{error}");
    assert_eq!(weights(&other), before);
    let part = Sequential::new(&[6]).add(Dense::new(20));
    let error = part.compile(Compile::new(SGD).threads(1)).unwrap().load_weights(&path).unwrap_err().to_string();
    assert_eq!(error, "a tensor of the model expected, found `batch_normalization/beta`");
    let error = from.load_weights(&scratch.file("missing")).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_refused_and_leaves_the_model_as_it_was() {
    let network = Sequential::new(&[2]).add(Dense::new(2)).add(BatchNormalization::default()).add(Dense::new(2));
    let mut model = network.compile(Compile::new(Adam::default()).threads(1)).unwrap();
    let bytes = model.checkpoint().to_bytes().unwrap();
    for len in 0..bytes.len() {
        Checkpoint::from_bytes(&bytes[..len]).unwrap_err();
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        Checkpoint::from_bytes(&damaged).unwrap_err();
    }
    // Whole files that are no model: a section is missing, cut off, or longer than it should be.
    let before = weights(&model);
    let whole = model.checkpoint();
    let names: Vec<String> = whole.names().map(str::to_owned).collect();
    for name in &names {
        let others = names.iter().filter(|other| *other != name);
        let without = others.fold(Checkpoint::new(), |c, other| c.section(other.clone(), whole.get(other).unwrap()));
        let error = Model::from_checkpoint(&without, Some(1)).unwrap_err().to_string();
        assert!(error.contains(name.as_str()) || name == "architecture", "{name}: {error}");
        let section = whole.get(name).unwrap();
        for end in [0, section.len() / 2, section.len() - 1] {
            let cut = whole.clone().section(name.clone(), &section[..end]);
            Model::from_checkpoint(&cut, Some(1)).unwrap_err();
            if name != "architecture" && name != "settings" {
                model.restore(&cut).unwrap_err();
            }
        }
        let longer = whole.clone().section(name.clone(), [section, &[0]].concat());
        Model::from_checkpoint(&longer, Some(1)).unwrap_err();
    }
    let mut other = wide_and_deep().compile(Compile::new(Adam::default()).loss(Loss::MeanSquaredError).threads(1)).unwrap();
    other.restore(&whole).unwrap_err();
    let sgd = network.compile(Compile::new(SGD).threads(1)).unwrap().restore(&whole).unwrap_err().to_string();
    assert!(sgd.starts_with("optimizer: that of the checkpoint expected"), "{sgd}");
    assert_eq!(weights(&model), before);
    model.restore(&whole).unwrap();
    assert_eq!(weights(&model), before);
}

#[test]
fn what_keras_can_do_and_we_cannot_is_refused_by_name() {
    let json = |layer: &str| {
        format!(
            r#"{{"class_name": "Sequential", "config": {{"name": "m", "layers": [
                {{"class_name": "InputLayer", "config": {{"name": "x", "batch_shape": [null, 3]}}}}, {layer}]}}}}"#
        )
    };
    let refused = |layer: &str| {
        let architecture = selvedge::io::Architecture::from_json(&json(layer)).unwrap();
        Functional::from_architecture(&architecture).unwrap_err().to_string()
    };
    let norm = r#"{"class_name": "BatchNormalization", "config": {"name": "n", "axis": -1, "momentum": 0.9, "epsilon": 0.001,
        "center": false, "scale": true}}"#;
    assert!(refused(norm).starts_with("layer `n`: something that can be trained here expected, found a batch normalization"));
}

/// Ends the process, as far as `fit` can tell: an error in the middle of an epoch.
struct Crash(u64);

impl Callback for Crash {
    fn on_batch_end(&mut self, _: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
        if session.steps() == self.0 { Err(ModelError::NoRows) } else { Ok(()) }
    }
}

#[test]
fn a_training_that_is_broken_off_is_taken_up_where_the_last_epoch_ended() {
    let scratch = Scratch::new("backup");
    let backup = scratch.file("backup");
    let x = numbers(1, 50 * 6);
    let labels: Vec<u32> = (0..50).map(|i| i % 3).collect();
    let examples = || Examples::floats(MatRef::new(&x, 50, 6, 6), &labels).unwrap();
    let fit = || Fit::new().epochs(12).batch_size(20).validation_split(ValidationSplit::Tail(0.2));
    let callbacks = || {
        let plateau = ReduceLrOnPlateau::new().patience(1).factor(0.5).unwrap();
        (EarlyStopping::new().patience(4).restore_best_weights(), plateau)
    };
    let compile = || everything().compile(Compile::new(Adam { learning_rate: 0.05, ..Adam::default() }).threads(1)).unwrap();
    let mut whole = compile();
    let (mut stopping, mut plateau) = callbacks();
    let history = whole.fit(examples(), &fit(), &mut [&mut plateau, &mut stopping]).unwrap();
    assert!(plateau.best().is_some() && history.epochs.last().unwrap().learning_rate < 0.05);
    // Two steps an epoch: crashes in the middle of the first, the second and the fifth.
    for crash in [1, 3, 9] {
        let (mut stopping, mut plateau) = callbacks();
        let settings = fit().backup_and_restore(&backup);
        let error = compile().fit(examples(), &settings, &mut [&mut plateau, &mut stopping, &mut Crash(crash)]).unwrap_err();
        assert!(matches!(error, ModelError::NoRows));
        assert_eq!(backup.exists(), crash > 2);
        // Started again: everything is new but the file.
        let (mut stopping, mut plateau) = callbacks();
        let mut again = compile();
        let rest = again.fit(examples(), &settings, &mut [&mut plateau, &mut stopping, &mut Crash(u64::MAX)]).unwrap();
        assert_eq!(weights(&again), weights(&whole), "crash at step {crash}");
        let first = history.epochs.len() - rest.epochs.len();
        assert_eq!(rest.metric("val_loss"), history.metric("val_loss")[first..]);
        assert_eq!(first as u64, (crash - 1) / 2);
        assert!(!backup.exists(), "a training that is done leaves no backup");
    }
    std::fs::write(&backup, "no checkpoint").unwrap();
    let error = compile().fit(examples(), &fit().backup_and_restore(&backup), &mut []).unwrap_err();
    assert!(matches!(error, ModelError::Backup(_)), "{error}");
}

#[test]
fn checkpoints_are_saved_when_the_metric_improves() {
    let scratch = Scratch::new("checkpoints");
    let x = numbers(1, 30 * 6);
    let labels: Vec<u32> = (0..30).map(|i| i % 3).collect();
    let examples = || Examples::floats(MatRef::new(&x, 30, 6, 6), &labels).unwrap();
    let mut model = everything().compile(Compile::new(SGD).threads(1)).unwrap();
    let best = scratch.file("best");
    let each = scratch.file("epoch-{epoch:02}.checkpoint");
    let mut best_only = ModelCheckpoint::new(best.to_str().unwrap()).unwrap().save_best_only();
    let mut every = ModelCheckpoint::new(each.to_str().unwrap()).unwrap();
    let fit = Fit::new().epochs(4).validation_data(examples());
    let history = model.fit(examples(), &fit, &mut [&mut best_only, &mut every]).unwrap();
    let losses = history.metric("val_loss");
    let mut saved = Model::load(&best).unwrap();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(saved.evaluate(examples()).unwrap().loss, least);
    let files = std::fs::read_dir(&scratch.0).unwrap().count();
    assert_eq!(files, 5, "best and one for each of four epochs");
    let by_batch = scratch.file("batch");
    let mut frequent = ModelCheckpoint::new(by_batch.to_str().unwrap())
        .unwrap()
        .save_frequency(SaveFrequency::Batches(std::num::NonZeroUsize::new(2).unwrap()));
    model.fit(examples(), &Fit::new().batch_size(15), &mut [&mut frequent]).unwrap();
    assert_eq!(weights(&Model::load(&by_batch).unwrap()), weights(&model));
    let nowhere = scratch.file("missing/model");
    let mut lost = ModelCheckpoint::new(nowhere.to_str().unwrap()).unwrap();
    let error = model.fit(examples(), &Fit::new(), &mut [&mut lost]).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}
