//! What `fit` does with the decisions of the callbacks.

use super::{CsvLogger, EarlyStopping, LearningRateScheduler, ReduceLrOnPlateau, TerminateOnNan};
#[cfg(feature = "io")]
use super::{ModelCheckpoint, SaveFrequency};
#[cfg(feature = "io")]
use crate::io::{CheckpointError, SectionReader, SectionWriter};
use crate::model::{BatchLogs, Callback, Epoch, ModelError, Run, Session};
use std::io::Write;
#[cfg(feature = "io")]
use std::path::Path;

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

    #[cfg(feature = "io")]
    fn save_state(&self, writer: &mut SectionWriter) {
        self.save(writer);
        writer.put_f32s(&self.best_weights);
    }

    #[cfg(feature = "io")]
    fn load_state(&mut self, reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        self.load(reader)?;
        self.best_weights = reader.f32s()?;
        Ok(())
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

    #[cfg(feature = "io")]
    fn save_state(&self, writer: &mut SectionWriter) {
        self.save(writer);
    }

    #[cfg(feature = "io")]
    fn load_state(&mut self, reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        self.load(reader)
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

#[cfg(feature = "io")]
impl Callback for ModelCheckpoint {
    fn on_epoch_begin(&mut self, epoch: usize, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.current_epoch = epoch;
        Ok(())
    }

    fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
        if let SaveFrequency::Epoch = self.frequency() {
            return Ok(());
        }
        match self.batch_end(self.current_epoch, logs.batch, &session.logs(&logs.so_far))? {
            Some(path) => save(session, &path),
            None => Ok(()),
        }
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        match self.epoch_end(epoch, &logs.logs)? {
            Some(path) => save(session, &path),
            None => Ok(()),
        }
    }

    fn save_state(&self, writer: &mut SectionWriter) {
        self.save(writer);
    }

    fn load_state(&mut self, reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        self.load(reader)
    }
}

#[cfg(feature = "io")]
fn save(session: &Session<'_>, path: &str) -> Result<(), ModelError> {
    session.checkpoint().save(Path::new(path)).map_err(|error| ModelError::Backup(Box::new(error.into())))
}
