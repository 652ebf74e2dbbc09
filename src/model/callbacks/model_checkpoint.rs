//! [`ModelCheckpoint`]: when to save the model, and under which name.

#[cfg(feature = "io")]
use super::monitor::{put_number, take_number};
use super::{CallbackError, Logs, Monitor, PathPattern};
#[cfg(feature = "io")]
use crate::io::{CheckpointError, SectionReader, SectionWriter};
use core::num::NonZeroUsize;

/// Decides when to save the model.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `monitor` | `val_loss`, minimized | the metric that tells what is best |
/// | `save_best_only` | no | saves only if the metric improved |
/// | `initial_value_threshold` | none | with `save_best_only`: a value to beat from the start |
/// | `save_frequency` | after every epoch | or after so many batches, counted across epochs |
///
/// Nothing is forgotten between two trainings, as in Keras: the best model of the first is not overwritten by a worse one of the second.
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    path: PathPattern,
    monitor: Monitor,
    save_best_only: bool,
    frequency: SaveFrequency,
    batches_since_save: usize,
    last_batch: Option<usize>,
    /// The epoch that `fit` is in.
    #[cfg(feature = "io")]
    pub(super) current_epoch: usize,
}

/// How often the model may be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFrequency {
    /// After every epoch.
    Epoch,
    /// After this many batches, counted across epochs. Metrics are then those of an epoch that has only begun.
    Batches(NonZeroUsize),
}

impl ModelCheckpoint {
    /// Saves after every epoch under a name that may hold numbers; see [`PathPattern`].
    ///
    /// # Errors
    /// [`CallbackError::BadPattern`] if the name cannot be read.
    pub fn new(path: &str) -> Result<Self, CallbackError> {
        Ok(Self {
            path: PathPattern::new(path)?,
            monitor: Monitor::default(),
            save_best_only: false,
            frequency: SaveFrequency::Epoch,
            batches_since_save: 0,
            last_batch: None,
            #[cfg(feature = "io")]
            current_epoch: 0,
        })
    }

    /// Monitors another metric: a name that tells its direction, or a [`Monitor`].
    ///
    /// # Errors
    /// [`CallbackError::UnknownDirection`] for a name that does not tell.
    pub fn monitor<E>(mut self, monitor: impl TryInto<Monitor, Error = E>) -> Result<Self, CallbackError>
    where
        CallbackError: From<E>,
    {
        self.monitor.switch(monitor)?;
        Ok(self)
    }

    /// Saves only when the metric is better than ever before.
    pub fn save_best_only(self) -> Self {
        Self { save_best_only: true, ..self }
    }

    /// The value to beat from the start, for instance that of a model saved earlier.
    pub fn initial_value_threshold(mut self, threshold: f64) -> Self {
        self.monitor.reset(Some(threshold));
        self
    }

    /// How often to save.
    pub fn save_frequency(self, frequency: SaveFrequency) -> Self {
        Self { frequency, ..self }
    }

    /// After a batch, both counted from 0: the file to save the model in, if it is time and worth it.
    ///
    /// # Errors
    /// If the metric or a number in the name is missing from the logs.
    pub fn batch_end(&mut self, epoch: usize, batch: usize, logs: &Logs) -> Result<Option<String>, CallbackError> {
        let SaveFrequency::Batches(every) = self.frequency else { return Ok(None) };
        // Batches may be reported in groups, by the last of them. A number that does not grow belongs to a new epoch.
        self.batches_since_save += match self.last_batch {
            Some(last) if batch > last => batch - last,
            _ => batch + 1,
        };
        self.last_batch = Some(batch);
        if self.batches_since_save < every.get() {
            return Ok(None);
        }
        self.batches_since_save = 0;
        self.decide(epoch, Some(batch), logs)
    }

    /// After an epoch, counted from 0: the file to save the model in, if it is time and worth it.
    ///
    /// # Errors
    /// If the metric or a number in the name is missing from the logs.
    pub fn epoch_end(&mut self, epoch: usize, logs: &Logs) -> Result<Option<String>, CallbackError> {
        match self.frequency {
            SaveFrequency::Epoch => self.decide(epoch, None, logs),
            SaveFrequency::Batches(_) => Ok(None),
        }
    }

    fn decide(&mut self, epoch: usize, batch: Option<usize>, logs: &Logs) -> Result<Option<String>, CallbackError> {
        // First everything that can fail.
        let path = self.path.fill_in(epoch, batch, logs)?;
        let save = !self.save_best_only || self.monitor.update(self.monitor.value(logs)?);
        Ok(save.then_some(path))
    }

    /// How often it saves.
    pub fn frequency(&self) -> SaveFrequency {
        self.frequency
    }

    #[cfg(feature = "io")]
    pub(super) fn save(&self, writer: &mut SectionWriter) {
        self.monitor.save(writer);
        writer.put_u64(self.batches_since_save as u64);
        put_number(writer, self.last_batch);
    }

    #[cfg(feature = "io")]
    pub(super) fn load(&mut self, reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        self.monitor.load(reader)?;
        self.batches_since_save = reader.u64()? as usize;
        self.last_batch = take_number(reader)?;
        Ok(())
    }

    /// What is monitored.
    pub fn monitored(&self) -> &Monitor {
        &self.monitor
    }

    /// The best value so far, with `save_best_only`.
    pub fn best(&self) -> Option<f64> {
        self.monitor.best()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Direction;
    use super::*;

    fn batches(n: usize) -> SaveFrequency {
        SaveFrequency::Batches(NonZeroUsize::new(n).unwrap())
    }

    /// The files of a run with these validation losses.
    fn files(checkpoint: &mut ModelCheckpoint, losses: &[f64]) -> Vec<String> {
        let epoch = |(epoch, loss): (usize, &f64)| checkpoint.epoch_end(epoch, &Logs::from_iter([("val_loss", *loss)])).unwrap();
        losses.iter().enumerate().filter_map(epoch).collect()
    }

    #[test]
    fn every_epoch_whatever_the_metric() {
        let mut checkpoint = ModelCheckpoint::new("{epoch:02}.safetensors").unwrap();
        assert_eq!(files(&mut checkpoint, &[1.0, 2.0, f64::NAN]), ["01.safetensors", "02.safetensors", "03.safetensors"]);
        assert_eq!(checkpoint.epoch_end(0, &Logs::new()), Ok(Some("01.safetensors".to_owned())), "no metric is needed");
        assert_eq!(checkpoint.batch_end(0, 0, &Logs::new()), Ok(None));
    }

    #[test]
    fn only_the_best() {
        let mut checkpoint = ModelCheckpoint::new("{epoch}").unwrap().save_best_only();
        assert_eq!(files(&mut checkpoint, &[f64::NAN, 1.0, 1.0, 0.9, 2.0, 0.8]), ["2", "4", "6"]);
        // The next training has to beat the first.
        assert_eq!(files(&mut checkpoint, &[0.9, 0.8, 0.7]), ["3"]);
        assert_eq!(checkpoint.best(), Some(0.7));
    }

    #[test]
    fn initial_value_threshold() {
        let up = || ModelCheckpoint::new("best").unwrap().save_best_only().monitor("val_acc").unwrap();
        let logs = |accuracy| Logs::from_iter([("val_acc", accuracy)]);
        assert_eq!(up().initial_value_threshold(-0.01).epoch_end(0, &logs(0.0)), Ok(Some("best".to_owned())));
        assert_eq!(up().initial_value_threshold(0.5).epoch_end(0, &logs(0.5)), Ok(None));
        assert_eq!(up().epoch_end(0, &logs(0.0)), Ok(Some("best".to_owned())));
        // A loss is never below 0.
        let mut down = ModelCheckpoint::new("best").unwrap().save_best_only().initial_value_threshold(0.0);
        assert_eq!(files(&mut down, &[0.5, 0.1, 0.0]), [""; 0]);
        let later = ModelCheckpoint::new("best").unwrap().initial_value_threshold(0.5).monitor("val_acc").unwrap().save_best_only();
        assert_eq!(later.clone().epoch_end(0, &logs(0.4)), Ok(None));
        assert_eq!(later.monitored().direction(), Direction::Maximize);
    }

    #[test]
    fn a_missing_metric_is_an_error_and_changes_nothing() {
        let mut checkpoint = ModelCheckpoint::new("best").unwrap().save_best_only().monitor(Monitor::minimize("x")).unwrap();
        let error = checkpoint.epoch_end(0, &Logs::from_iter([("loss", 1.0)])).unwrap_err();
        assert_eq!(error, CallbackError::MissingMetric { expected: "x".to_owned(), found: vec!["loss".to_owned()] });
        assert!(ModelCheckpoint::new("best").unwrap().monitor("x").is_err());
        let mut checkpoint = ModelCheckpoint::new("{accuracy}").unwrap().save_best_only();
        assert!(checkpoint.epoch_end(0, &Logs::from_iter([("val_loss", 1.0)])).is_err());
        assert_eq!(checkpoint.best(), None, "a model that was not saved is not the best");
        assert!(ModelCheckpoint::new("{").is_err());
    }

    #[test]
    fn batches_are_counted_across_epochs() {
        // Five batches per epoch, saved every fifteen.
        let mut checkpoint = ModelCheckpoint::new("epoch{epoch:02}").unwrap().save_frequency(batches(15));
        let mut saved = Vec::new();
        for epoch in 0..10 {
            for batch in 0..5 {
                saved.extend(checkpoint.batch_end(epoch, batch, &Logs::new()).unwrap());
            }
            assert_eq!(checkpoint.epoch_end(epoch, &Logs::new()), Ok(None));
        }
        assert_eq!(saved, ["epoch03", "epoch06", "epoch09"]);
    }

    #[test]
    fn batches_in_the_name_and_in_groups() {
        let mut every = ModelCheckpoint::new("{epoch:02}-{batch:02}").unwrap().save_frequency(batches(1));
        let mut saved = Vec::new();
        for (epoch, batch) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            saved.extend(every.batch_end(epoch, batch, &Logs::new()).unwrap());
        }
        assert_eq!(saved, ["01-01", "01-02", "02-01", "02-02"]);
        // Groups of four batches: 4, 8, 10 (the epoch ends), 4, 8, 10; seven batches are full at 8, 4 (2 + 4 + ...) and 10.
        let mut grouped = ModelCheckpoint::new("{epoch}-{batch}").unwrap().save_frequency(batches(7));
        let mut saved = Vec::new();
        for (epoch, batch) in [(0, 3), (0, 7), (0, 9), (1, 3), (1, 7), (1, 9)] {
            saved.extend(grouped.batch_end(epoch, batch, &Logs::new()).unwrap());
        }
        assert_eq!(saved, ["1-8", "2-8"]);
    }
}
