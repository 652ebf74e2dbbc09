//! [`EarlyStopping`]: stop when the validation loss no longer falls, and go back to the best weights.

#[cfg(feature = "io")]
use super::monitor::{put_number, take_number};
use super::{CallbackError, Monitor};
#[cfg(feature = "io")]
use crate::io::{CheckpointError, SectionReader, SectionWriter};

/// Stops the training when a metric has stopped improving.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `monitor` | `val_loss`, minimized | the metric |
/// | `min_delta` | 0 | an improvement must be larger than this |
/// | `patience` | 0 | epochs without improvement after which it stops; never in the first epoch |
/// | `baseline` | none | a value to improve on: until then epochs count as fruitless even if they improve on each other |
/// | `restore_best_weights` | no | whether the training ends with the weights of the best epoch, *however* it ends |
/// | `start_from_epoch` | 0 | the first epoch (from 0) that is looked at |
///
/// Use: [`train_begin`](Self::train_begin), then [`epoch_end`](Self::epoch_end) after each epoch, then ask
/// [`restores`](Self::restores). The weights themselves are the caller's affair.
///
/// The best epoch is the best one seen, whether or not it beats the baseline, as in Keras. NaN is never an improvement, which Keras lets the
/// first value be.
#[derive(Clone, Debug, Default)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    /// Epochs since the last improvement on best and baseline.
    wait: usize,
    /// The epoch whose weights are, or would be, kept.
    best_epoch: Option<usize>,
    stopped_epoch: Option<usize>,
    has_snapshot: bool,
    /// The parameters of the best epoch, where `fit` asks.
    pub(super) best_weights: Vec<f32>,
}

/// What to do after an epoch.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlyStoppingDecision {
    /// The metric is better than ever before.
    pub improved: bool,
    /// Keep a copy of the current weights; it replaces an earlier copy. Only with `restore_best_weights`.
    pub snapshot: bool,
    /// End the training.
    pub stop: bool,
}

impl EarlyStopping {
    /// All defaults: stops after the first epoch whose `val_loss` is not less than the least before.
    pub fn new() -> Self {
        Self::default()
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

    /// How much better a value must be; only the absolute value counts.
    pub fn min_delta(self, min_delta: f64) -> Self {
        Self { monitor: self.monitor.min_delta(min_delta), ..self }
    }

    /// How many epochs without improvement it takes.
    pub fn patience(self, patience: usize) -> Self {
        Self { patience, ..self }
    }

    /// A value to improve on.
    pub fn baseline(self, baseline: f64) -> Self {
        Self { baseline: Some(baseline), ..self }
    }

    /// Ends with the weights of the best epoch.
    pub fn restore_best_weights(self) -> Self {
        Self { restore_best_weights: true, ..self }
    }

    /// Ignores the epochs before this one.
    pub fn start_from_epoch(self, epoch: usize) -> Self {
        Self { start_from_epoch: epoch, ..self }
    }

    /// Forgets an earlier training.
    pub fn train_begin(&mut self) {
        self.monitor.reset(None);
        self.wait = 0;
        self.best_epoch = None;
        self.stopped_epoch = None;
        self.has_snapshot = false;
    }

    /// Looks at the monitored value of an epoch, counted from 0.
    pub fn epoch_end(&mut self, epoch: usize, value: f64) -> EarlyStoppingDecision {
        let mut decision = EarlyStoppingDecision::default();
        if epoch < self.start_from_epoch {
            return decision;
        }
        decision.improved = self.monitor.update(value);
        // The first epoch is kept even if its value is NaN: there must be something to go back to.
        decision.snapshot = self.restore_best_weights && (decision.improved || !self.has_snapshot);
        self.has_snapshot |= decision.snapshot;
        if decision.improved || decision.snapshot {
            self.best_epoch = Some(epoch);
        }

        self.wait += 1;
        if decision.improved {
            if self.baseline.is_none() || self.monitor.improves(value, self.baseline) {
                self.wait = 0;
            }
        } else if self.wait >= self.patience && epoch > 0 {
            self.stopped_epoch = Some(epoch);
            decision.stop = true;
        }
        decision
    }

    /// Whether the kept weights are to be put back at the end of the training, whoever ended it.
    pub fn restores(&self) -> bool {
        self.has_snapshot
    }

    /// Writes what it remembers, but for the weights.
    #[cfg(feature = "io")]
    pub(super) fn save(&self, writer: &mut SectionWriter) {
        self.monitor.save(writer);
        writer.put_u64(self.wait as u64).put_u64(u64::from(self.has_snapshot));
        put_number(writer, self.best_epoch);
        put_number(writer, self.stopped_epoch);
    }

    #[cfg(feature = "io")]
    pub(super) fn load(&mut self, reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        self.monitor.load(reader)?;
        self.wait = reader.u64()? as usize;
        self.has_snapshot = reader.u64()? != 0;
        self.best_epoch = take_number(reader)?;
        self.stopped_epoch = take_number(reader)?;
        Ok(())
    }

    /// What is monitored.
    pub fn monitored(&self) -> &Monitor {
        &self.monitor
    }

    /// The best value so far.
    pub fn best(&self) -> Option<f64> {
        self.monitor.best()
    }

    /// The epoch of the best value; with `restore_best_weights` the one whose weights are kept.
    pub fn best_epoch(&self) -> Option<usize> {
        self.best_epoch
    }

    /// The epoch after which it said stop.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::*;

    /// A model whose only weight is the number of the epoch.
    struct Outcome {
        last_epoch: usize,
        kept: Option<usize>,
    }

    /// Trains until it stops or `losses` are used up.
    fn train(stopping: &mut EarlyStopping, losses: &[f64]) -> Outcome {
        let mut outcome = Outcome { last_epoch: 0, kept: None };
        stopping.train_begin();
        for (epoch, &loss) in losses.iter().enumerate() {
            outcome.last_epoch = epoch;
            let decision = stopping.epoch_end(epoch, loss);
            if decision.snapshot {
                outcome.kept = Some(epoch);
            }
            if decision.stop {
                break;
            }
        }
        assert_eq!(stopping.restores(), outcome.kept.is_some());
        outcome
    }

    #[test]
    fn patience() {
        let losses = [10.0, 9.0, 8.0, 9.0, 8.9, 8.8, 8.7, 8.6, 8.5];
        for (patience, stopped) in [(0, 3), (1, 3), (2, 4), (3, 5)] {
            let mut stopping = EarlyStopping::new().patience(patience);
            let outcome = train(&mut stopping, &losses);
            assert_eq!(outcome.last_epoch, stopped, "patience {patience}");
            assert_eq!(stopping.stopped_epoch(), Some(stopped), "patience {patience}");
            assert_eq!(stopping.best_epoch(), Some(2));
            assert_eq!(stopping.best(), Some(8.0));
            assert_eq!(outcome.kept, None, "nothing is kept unless asked for");
        }
        let mut patient = EarlyStopping::new().patience(7);
        assert_eq!(train(&mut patient, &losses).last_epoch, 8);
        assert_eq!(patient.stopped_epoch(), None);
    }

    #[test]
    fn best_weights_are_restored() {
        let mut stopping = EarlyStopping::new().patience(2).restore_best_weights();
        let outcome = train(&mut stopping, &[0.2, 0.15, 0.1, 0.11, 0.12]);
        assert_eq!((outcome.last_epoch, outcome.kept), (4, Some(2)));
        assert_eq!(stopping.stopped_epoch(), Some(4));
    }

    #[test]
    fn best_weights_are_restored_without_a_stop() {
        let mut stopping = EarlyStopping::new().patience(9).restore_best_weights();
        let outcome = train(&mut stopping, &[0.2, 0.1, 0.3]);
        assert_eq!((outcome.last_epoch, outcome.kept, stopping.stopped_epoch()), (2, Some(1), None));
        assert!(stopping.restores());
    }

    #[test]
    fn no_epoch_beats_the_baseline() {
        let losses = [0.9, 0.8, 0.7, 0.71, 0.72, 0.73];
        let mut stopping = EarlyStopping::new().patience(5).baseline(0.5).restore_best_weights();
        let outcome = train(&mut stopping, &losses);
        assert_eq!((outcome.last_epoch, outcome.kept), (4, Some(2)), "five epochs, back to the third");
        // Another callback ends the training after four epochs.
        let outcome = train(&mut stopping, &losses[..4]);
        assert_eq!((outcome.last_epoch, outcome.kept), (3, Some(2)));
        // While it still improves, it goes on even beyond its patience.
        let mut stopping = EarlyStopping::new().patience(2).baseline(0.1);
        assert_eq!(train(&mut stopping, &[0.9, 0.8, 0.7, 0.6, 0.65, 0.5]).last_epoch, 4);
        // A baseline that is beaten sets the patience back.
        let mut stopping = EarlyStopping::new().patience(2).baseline(0.65);
        assert_eq!(train(&mut stopping, &[0.9, 0.8, 0.6, 0.7, 0.7, 0.7]).last_epoch, 4);
    }

    #[test]
    fn small_improvements_do_not_count() {
        let mut stopping = EarlyStopping::new().patience(2).min_delta(0.1).restore_best_weights();
        let outcome = train(&mut stopping, &[1.0, 0.95, 0.91, 0.85, 0.84, 0.83]);
        assert_eq!((outcome.last_epoch, outcome.kept), (2, Some(0)));
    }

    #[test]
    fn start_from_epoch() {
        let mut stopping = EarlyStopping::new().patience(1).start_from_epoch(2).restore_best_weights();
        let outcome = train(&mut stopping, &[1.0, 2.0, 3.0, 3.0, 2.9, 2.95]);
        assert_eq!((outcome.last_epoch, outcome.kept), (3, Some(2)));
        let mut stopping = EarlyStopping::new().start_from_epoch(2);
        assert_eq!(train(&mut stopping, &[1.0, 2.0, 3.0, 4.0, 5.0]).last_epoch, 3);
    }

    #[test]
    fn a_first_nan_is_no_best() {
        let mut stopping = EarlyStopping::new().patience(2).restore_best_weights();
        let outcome = train(&mut stopping, &[f64::NAN, 1.0, 0.5, 0.4]);
        assert_eq!((outcome.last_epoch, outcome.kept, stopping.best()), (3, Some(3), Some(0.4)), "Keras stops at 2 with epoch 0");
        let outcome = train(&mut stopping, &[f64::NAN; 9]);
        assert_eq!((outcome.last_epoch, outcome.kept, stopping.best()), (1, Some(0), None));
        let outcome = train(&mut stopping, &[1.0, f64::NAN, f64::NAN, 0.1]);
        assert_eq!((outcome.last_epoch, outcome.kept), (2, Some(0)));
    }

    #[test]
    fn an_accuracy_is_maximized() {
        let mut stopping =
            EarlyStopping::new().monitor("val_accuracy").expect("a known name").restore_best_weights().min_delta(0.01);
        let outcome = train(&mut stopping, &[0.5, 0.8, 0.805, 0.9]);
        assert_eq!((outcome.last_epoch, outcome.kept), (2, Some(1)));
        assert_eq!((stopping.monitored().name(), stopping.monitored().direction()), ("val_accuracy", Direction::Maximize));
        // The order of the settings does not matter.
        let stopping = EarlyStopping::new().min_delta(0.01).monitor(Monitor::maximize("val_mse")).expect("a monitor");
        assert!(!stopping.monitor.improves(0.805, Some(0.8)) && stopping.monitor.improves(0.82, Some(0.8)));
        assert!(EarlyStopping::new().monitor("unknown").is_err());
    }

    #[test]
    fn the_next_training_starts_afresh() {
        let mut stopping = EarlyStopping::new().patience(1).restore_best_weights();
        train(&mut stopping, &[0.1, 0.2]);
        stopping.train_begin();
        let fresh = (stopping.best(), stopping.best_epoch(), stopping.stopped_epoch(), stopping.wait, stopping.restores());
        assert_eq!(fresh, (None, None, None, 0, false));
        assert_eq!(train(&mut stopping, &[0.9, 0.8, 0.7]).last_epoch, 2);
    }

    #[test]
    fn decisions_one_by_one() {
        let mut stopping = EarlyStopping::new().patience(1).restore_best_weights();
        let decision = |improved, snapshot, stop| EarlyStoppingDecision { improved, snapshot, stop };
        assert_eq!(stopping.epoch_end(0, f64::NAN), decision(false, true, false), "never in the first epoch");
        assert_eq!(stopping.epoch_end(1, 0.5), decision(true, true, false));
        assert_eq!(stopping.epoch_end(2, 0.5), decision(false, false, true));
    }
}
