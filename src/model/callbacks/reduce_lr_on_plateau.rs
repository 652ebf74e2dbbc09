//! [`ReduceLrOnPlateau`]: performance scheduling, a smaller learning rate when the validation loss no longer falls.

use super::{CallbackError, Monitor};
#[cfg(feature = "io")]
use crate::io::{CheckpointError, SectionReader, SectionWriter};

/// Multiplies the learning rate by a factor when a metric has stopped improving.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `monitor` | `val_loss`, minimized | the metric |
/// | `factor` | 0.1 | new learning rate = old one times this |
/// | `patience` | 10 | epochs without improvement after which it acts |
/// | `min_delta` | 0.0001 | an improvement must be larger than this |
/// | `cooldown` | 0 | after a reduction the next `cooldown` - 1 epochs do not count towards the patience, so 1 is the same as 0 |
/// | `min_learning_rate` | 0 | it never goes below |
///
/// That is Keras' `ReduceLROnPlateau`. PyTorch's scheduler of the same name compares relatively (`value < best * (1 - threshold)`) and acts
/// one epoch later, when more than `patience` epochs have passed. NaN is never an improvement.
#[derive(Clone, Debug)]
pub struct ReduceLrOnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    cooldown: usize,
    min_learning_rate: f32,
    wait: usize,
    cooldown_left: usize,
}

const DEFAULT_MIN_DELTA: f64 = 1e-4;

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        Self {
            monitor: Monitor::default().min_delta(DEFAULT_MIN_DELTA),
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_learning_rate: 0.0,
            wait: 0,
            cooldown_left: 0,
        }
    }
}

impl ReduceLrOnPlateau {
    /// All defaults.
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

    /// What the learning rate is multiplied by.
    ///
    /// # Errors
    /// Unless it is at least 0 and less than 1.
    pub fn factor(self, factor: f64) -> Result<Self, CallbackError> {
        if (0.0..1.0).contains(&factor) {
            Ok(Self { factor, ..self })
        } else {
            let expected = "a number from 0 to 1, 1 excluded,";
            Err(CallbackError::OutOfRange { parameter: "factor of a reduction", expected, found: factor })
        }
    }

    /// How many epochs without improvement it takes.
    pub fn patience(self, patience: usize) -> Self {
        Self { patience, ..self }
    }

    /// How much better a value must be; only the absolute value counts.
    pub fn min_delta(self, min_delta: f64) -> Self {
        Self { monitor: self.monitor.min_delta(min_delta), ..self }
    }

    /// How many epochs it rests after a reduction.
    pub fn cooldown(self, cooldown: usize) -> Self {
        Self { cooldown, ..self }
    }

    /// Where reductions end.
    ///
    /// # Errors
    /// If it is negative or not finite.
    pub fn min_learning_rate(self, min_learning_rate: f32) -> Result<Self, CallbackError> {
        if min_learning_rate >= 0.0 && min_learning_rate.is_finite() {
            Ok(Self { min_learning_rate, ..self })
        } else {
            let (expected, found) = ("a finite number not below 0", f64::from(min_learning_rate));
            Err(CallbackError::OutOfRange { parameter: "least learning rate", expected, found })
        }
    }

    /// Forgets an earlier training.
    pub fn train_begin(&mut self) {
        self.monitor.reset(None);
        self.wait = 0;
        self.cooldown_left = 0;
    }

    /// Looks at the monitored value of an epoch. Returns the learning rate to go on with, if it is another one.
    #[must_use]
    pub fn epoch_end(&mut self, value: f64, learning_rate: f32) -> Option<f32> {
        if self.cooldown_left > 0 {
            self.cooldown_left -= 1;
        }
        if self.monitor.update(value) {
            self.wait = 0;
            return None;
        }
        if self.cooldown_left > 0 {
            return None;
        }
        self.wait += 1;
        if self.wait < self.patience || learning_rate <= self.min_learning_rate {
            return None;
        }
        self.cooldown_left = self.cooldown;
        self.wait = 0;
        let reduced = (f64::from(learning_rate) * self.factor) as f32;
        Some(reduced.max(self.min_learning_rate))
    }

    #[cfg(feature = "io")]
    pub(super) fn save(&self, writer: &mut SectionWriter) {
        self.monitor.save(writer);
        writer.put_u64(self.wait as u64).put_u64(self.cooldown_left as u64);
    }

    #[cfg(feature = "io")]
    pub(super) fn load(&mut self, reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        self.monitor.load(reader)?;
        self.wait = reader.u64()? as usize;
        self.cooldown_left = reader.u64()? as usize;
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The learning rate after each epoch, starting with 0.1.
    fn rates(plateau: &mut ReduceLrOnPlateau, losses: &[f64]) -> Vec<f32> {
        let mut learning_rate = 0.1;
        let epoch = |loss: &f64| {
            learning_rate = plateau.epoch_end(*loss, learning_rate).unwrap_or(learning_rate);
            learning_rate
        };
        losses.iter().map(epoch).collect()
    }

    #[track_caller]
    fn follows(mut plateau: ReduceLrOnPlateau, losses: &[f64], expected: &[f64]) {
        let found = rates(&mut plateau, losses);
        assert_eq!(found.len(), expected.len());
        for (found_rate, rate) in found.iter().zip(expected) {
            assert!((f64::from(*found_rate) - rate).abs() <= 1e-6 * rate, "{expected:?} expected, found {found:?}");
        }
    }

    const FLAT: [f64; 9] = [1.0; 9];

    #[test]
    fn patience_and_cooldown() {
        let new = ReduceLrOnPlateau::new;
        let every_epoch = [0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9];
        follows(new().patience(1), &FLAT, &every_epoch);
        follows(new().patience(1).cooldown(1), &FLAT, &every_epoch);
        follows(new().patience(1).cooldown(2), &FLAT, &[0.1, 0.01, 0.01, 0.001, 0.001, 1e-4, 1e-4, 1e-5, 1e-5]);
        follows(new().patience(2).cooldown(2), &FLAT, &[0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 1e-4]);
        follows(new(), &[1.0; 12], &[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]);
    }

    #[test]
    fn least_learning_rate() {
        let plateau = ReduceLrOnPlateau::new().patience(2).factor(0.5).unwrap().min_learning_rate(0.03).unwrap();
        follows(plateau, &FLAT, &[0.1, 0.1, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03, 0.03]);
        let mut plateau = ReduceLrOnPlateau::new().patience(1).min_delta(10.0).min_learning_rate(0.005).unwrap();
        assert_eq!(rates(&mut plateau, &[3.0, 2.0, 1.0, 0.0]), [0.1, 0.01, 0.005, 0.005]);
        assert_eq!(plateau.epoch_end(0.0, 0.005), None, "nothing is left to reduce");
    }

    #[test]
    fn improvements_set_the_patience_back() {
        let plateau = || ReduceLrOnPlateau::new().patience(2);
        follows(plateau(), &[1.0, 1.0, 0.9, 0.9, 0.8, 0.8], &[0.1; 6]);
        follows(plateau(), &[1.0, 1.0, 0.99995, 0.9], &[0.1, 0.1, 0.01, 0.01]);
        let up = plateau().monitor("val_accuracy").unwrap();
        assert_eq!(up.monitored().name(), "val_accuracy");
        follows(up, &[0.5, 0.6, 0.7, 0.7, 0.6, 0.8], &[0.1, 0.1, 0.1, 0.1, 0.01, 0.01]);
        // An improvement during the cooldown is one.
        let mut resting = plateau().cooldown(3);
        let losses = [1.0, 1.0, 1.0, 0.5, 0.7, 0.7, 0.7];
        follows(resting.clone(), &losses, &[0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.001]);
        rates(&mut resting, &losses);
        assert_eq!(resting.best(), Some(0.5));
    }

    #[test]
    fn nan_is_no_improvement() {
        let plateau = || ReduceLrOnPlateau::new().patience(2);
        follows(plateau(), &[f64::NAN, f64::NAN, 1.0, 1.0, 1.0], &[0.1, 0.01, 0.01, 0.01, 0.001]);
    }

    #[test]
    fn the_next_training_starts_afresh() {
        let mut plateau = ReduceLrOnPlateau::new().patience(1).cooldown(2);
        let first = rates(&mut plateau, &[1.0, 1.0, 1.0]);
        plateau.train_begin();
        assert_eq!(plateau.best(), None);
        assert_eq!(rates(&mut plateau, &[2.0, 2.0, 2.0]), first);
    }

    #[test]
    fn senseless_settings_are_refused() {
        for factor in [1.0, 1.5, -0.1, f64::NAN] {
            assert!(ReduceLrOnPlateau::new().factor(factor).is_err());
        }
        let error = ReduceLrOnPlateau::new().factor(1.0).unwrap_err();
        assert_eq!(error.to_string(), "factor of a reduction: a number from 0 to 1, 1 excluded, expected, found 1");
        assert!(ReduceLrOnPlateau::new().min_learning_rate(-0.1).is_err());
        assert!(ReduceLrOnPlateau::new().min_learning_rate(f32::NAN).is_err());
        assert!(ReduceLrOnPlateau::new().monitor("unknown").is_err());
    }
}
