//! What `fit` does with the decisions of the callbacks.

use super::{CsvLogger, EarlyStopping, LearningRateScheduler, ReduceLrOnPlateau, TerminateOnNan};
use crate::model::{BatchLogs, Callback, Epoch, ModelError, Run, Session};
use std::io::Write;

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _: Run, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.train_begin();
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        let value = self.monitored().value(&logs.logs)?;
        let decision = self.epoch_end(epoch, value);
        if decision.snapshot {
            self.best_weights.clear();
            self.best_weights.extend_from_slice(session.parameters());
        }
        if decision.stop {
            session.stop();
        }
        Ok(())
    }

    fn on_train_end(&mut self, session: &mut Session<'_>) -> Result<(), ModelError> {
        if self.restores() { session.restore(&self.best_weights) } else { Ok(()) }
    }
}

impl Callback for ReduceLrOnPlateau {
    fn on_train_begin(&mut self, _: Run, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.train_begin();
        Ok(())
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        let value = self.monitored().value(&logs.logs)?;
        match self.epoch_end(value, session.learning_rate()) {
            Some(learning_rate) => session.set_learning_rate(learning_rate),
            None => Ok(()),
        }
    }
}

impl<F: FnMut(usize, f32) -> f32> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, session: &mut Session<'_>) -> Result<(), ModelError> {
        let learning_rate = self.epoch_begin(epoch, session.learning_rate())?;
        session.set_learning_rate(learning_rate)
    }
}

impl Callback for TerminateOnNan {
    fn on_train_begin(&mut self, _: Run, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.train_begin();
        Ok(())
    }

    fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
        if self.batch_end(logs.batch, logs.batch_loss) {
            session.stop();
        }
        Ok(())
    }
}

impl<W: Write> Callback for CsvLogger<W> {
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Epoch, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.epoch_end(epoch, &logs.logs).map_err(ModelError::Log)
    }
}
