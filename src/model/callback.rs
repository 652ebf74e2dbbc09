//! [`Callback`]: what happens beside training.

use super::error::ModelError;
use super::history::{Epoch, Evaluation};
use super::session::Session;
#[cfg(feature = "io")]
use crate::io::{CheckpointError, SectionReader, SectionWriter};

/// The size of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The number of epochs.
    pub epochs: usize,
    /// The number of rows of an epoch; 0 if it is not known, as with data that stream.
    pub rows: usize,
    /// The number of steps of an epoch; 0 if it is not known.
    pub steps: usize,
}

/// What a step has brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLogs {
    /// The number of the step in its epoch, from 0.
    pub batch: usize,
    /// Rows done so far in this epoch.
    pub rows: usize,
    /// Of the minibatch alone, measured before the step.
    pub batch_loss: f64,
    /// Of all rows so far in this epoch.
    pub so_far: Evaluation,
}

/// Hooks into [`Model::fit`](super::Model::fit). Every hook does nothing unless it is written.
///
/// The [`Session`] is the model in training: hooks may read and change weights and learning rate, evaluate, and stop. A hook that fails ends the
/// training with its error; the weights stay as they are then.
pub trait Callback {
    /// Before the first epoch.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn on_train_begin(&mut self, _run: Run, _session: &mut Session<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    /// Before an epoch, numbered from 0 in each call of `fit`.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn on_epoch_begin(&mut self, _epoch: usize, _session: &mut Session<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    /// Before a step, numbered from 0 in each epoch.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn on_batch_begin(&mut self, _batch: usize, _session: &mut Session<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    /// After a step.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn on_batch_end(&mut self, _logs: &BatchLogs, _session: &mut Session<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    /// After an epoch and its validation. What is changed in the logs, later callbacks and the history see.
    ///
    /// # Errors
    /// Whatever ends the training.
    fn on_epoch_end(&mut self, _epoch: usize, _logs: &mut Epoch, _session: &mut Session<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    /// After the last epoch, however training ended.
    ///
    /// # Errors
    /// What has gone wrong.
    fn on_train_end(&mut self, _session: &mut Session<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    /// Writes what the callback has to remember when a training is broken off and taken up again; nothing by default.
    #[cfg(feature = "io")]
    fn save_state(&self, _writer: &mut SectionWriter) {}
    /// Reads what [`Callback::save_state`] has written, after `on_train_begin`.
    ///
    /// # Errors
    /// If it is something else.
    #[cfg(feature = "io")]
    fn load_state(&mut self, _reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        Ok(())
    }
}
