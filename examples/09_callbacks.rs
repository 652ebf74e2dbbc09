//! When to stop, when to slow down, what to write down? Callbacks, and one of our own.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::{ValidationSplit, synthetic};
use selvedge::model::callbacks::{
    CsvLogger, EarlyStopping, LearningRateScheduler, ModelCheckpoint, ReduceLrOnPlateau, TerminateOnNan,
};
use selvedge::model::{
    Activation, Callback, Compile, Dense, Epoch, Fit, Flatten, Model, ModelError, ProgressBar, Sequential, Session, Sgd,
};
use selvedge::pictures::{LearningCurves, learning_curves};
use std::fs::File;
use std::path::PathBuf;

/// A callback of our own: by how much the validation loss is above that of training. What it adds to the logs, the table and the
/// history get, too.
struct Overfitting;

impl Callback for Overfitting {
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Epoch, _: &mut Session<'_>) -> Result<(), ModelError> {
        if let Some(validation) = logs.validation {
            let ratio = validation.loss / logs.training.loss;
            logs.logs.set("val_train_ratio", ratio);
            println!("epoch {:>2}: loss {:.4}, val/train {ratio:.2}", epoch + 1, logs.training.loss);
        }
        Ok(())
    }
}

/// The network, with a learning rate to start from.
fn model(learning_rate: f32) -> Result<Model, ModelError> {
    let network = Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10).activation(Activation::Softmax));
    network.compile(Compile::new(Sgd { learning_rate, momentum: 0.9, nesterov: false }).seed(9))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (training, validation) = synthetic::garments(800, 9).split(ValidationSplit::Tail(0.4))?;

    // Ends with the best weights once four epochs have brought nothing; halves the learning rate after two of them.
    let mut stopping = EarlyStopping::new().patience(4).restore_best_weights();
    let mut plateau = ReduceLrOnPlateau::new().patience(2).factor(0.5)?;
    let mut table = CsvLogger::new(File::create(folder.join("09_epochs.csv"))?);
    let mut trained = model(0.05)?;
    let fit = Fit::new().epochs(100).batch_size(16).validation_data(&validation);
    let callbacks: &mut [&mut dyn Callback] =
        &mut [&mut Overfitting, &mut stopping, &mut plateau, &mut table, &mut ProgressBar::new().transient()];
    let history = trained.fit(&training, &fit, callbacks)?;
    let restored = trained.evaluate(&validation)?;
    let best = stopping.best_epoch().unwrap_or_default();
    println!("stopped after {} of 100 epochs, with the weights of epoch {}", history.epochs.len(), best + 1);
    println!("best validation loss {:.6}, of the restored weights {:.6}", history.metric("val_loss")[best], restored.loss);
    let rate = |epoch: Option<&Epoch>| epoch.map_or(0.0, |epoch| epoch.learning_rate);
    println!("learning rate: {} at first, {} at last", rate(history.epochs.first()), rate(history.epochs.last()));

    // Ten times the learning rate in every epoch, until the loss is no number any more: from there no training comes back.
    let mut growing = LearningRateScheduler::new(|_, rate| 10.0 * rate);
    let mut terminate = TerminateOnNan::new();
    let exploded = model(0.05)?.fit(&training, &Fit::new().epochs(100), &mut [&mut growing, &mut terminate])?;
    if let Some((batch, loss)) = terminate.found() {
        let rate = rate(exploded.epochs.last());
        println!("exploded in batch {} of epoch {}: loss {loss} at learning rate {rate:.0e}", batch + 1, exploded.epochs.len());
    }

    // Callbacks work without `fit`, too: after which epochs would the best model so far have been saved, and under which name?
    let mut checkpoint = ModelCheckpoint::new("garments-{epoch:02d}-{val_loss:.3f}")?.save_best_only();
    let mut names = Vec::new();
    for (number, epoch) in history.epochs.iter().enumerate() {
        names.extend(checkpoint.epoch_end(number, &epoch.logs)?);
    }
    println!("checkpoints of the best so far: {} of {} epochs, the last {:?}", names.len(), history.epochs.len(), names.last());

    let curves = LearningCurves {
        training_loss: &history.metric("loss"),
        validation_loss: &history.metric("val_loss"),
        training_accuracy: &history.metric("accuracy"),
        validation_accuracy: &history.metric("val_accuracy"),
    };
    learning_curves(folder.join("09_learning_curves.png"), &curves)?;
    Ok(())
}
