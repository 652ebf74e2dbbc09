//! [`Callback`]: what happens beside training.

use super::history::{Epoch, Evaluation};
use std::ops::ControlFlow;

/// The size of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The number of epochs.
    pub epochs: usize,
    /// The number of rows of an epoch.
    pub rows: usize,
    /// The number of steps of an epoch.
    pub steps: usize,
}

/// Hooks into [`Model::fit`](super::Model::fit). Every hook does nothing unless it is written.
///
/// A hook that returns [`ControlFlow::Break`] stops training: after the current step or epoch, with the history complete up to there.
pub trait Callback {
    /// Before the first epoch.
    fn on_train_begin(&mut self, _run: Run) {}
    /// Before an epoch, numbered from 0.
    fn on_epoch_begin(&mut self, _epoch: usize) {}
    /// After a step: rows done so far in this epoch, and their loss and accuracy.
    fn on_batch_end(&mut self, _rows: usize, _so_far: Evaluation) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    /// After an epoch and its validation.
    fn on_epoch_end(&mut self, _epoch: usize, _logs: &Epoch) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    /// After the last epoch.
    fn on_train_end(&mut self) {}
}
