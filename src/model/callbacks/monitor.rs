//! Which number is watched, which way is better, and is this one the best so far? Shared by the callbacks that monitor a metric.

use super::{CallbackError, Logs};
#[cfg(feature = "io")]
use crate::io::{CheckpointError, SectionReader, SectionWriter};

/// Which way a metric gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Less is better: a loss, an error.
    Minimize,
    /// More is better: an accuracy, a score.
    Maximize,
}

impl Direction {
    const MINIMIZE: [&str; 18] = [
        "loss",
        "mse",
        "mean_squared_error",
        "rmse",
        "root_mean_squared_error",
        "mae",
        "mean_absolute_error",
        "mape",
        "mean_absolute_percentage_error",
        "msle",
        "mean_squared_logarithmic_error",
        "huber",
        "log_cosh",
        "hinge",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "kl_divergence",
    ];
    const MAXIMIZE: [&str; 6] = ["accuracy", "acc", "precision", "recall", "f1_score", "auc"];

    /// The direction of a metric with a name that tells: one of a list, in small or capital letters, with or without `val_` in
    /// front, and with or without more words before an underscore (`binary_accuracy`, `price_loss`).
    ///
    /// # Errors
    /// [`CallbackError::UnknownDirection`] for any other name.
    pub fn of_metric(name: &str) -> Result<Self, CallbackError> {
        let lowercase = name.to_ascii_lowercase();
        let ends_with =
            |known: &&str| lowercase.strip_suffix(*known).is_some_and(|before| before.is_empty() || before.ends_with('_'));
        if Self::MINIMIZE.iter().any(ends_with) {
            Ok(Self::Minimize)
        } else if Self::MAXIMIZE.iter().any(ends_with) {
            Ok(Self::Maximize)
        } else {
            Err(CallbackError::UnknownDirection { metric: name.to_owned() })
        }
    }
}

/// A metric that is watched: its name, which way is better, and the best value so far.
///
/// A value improves on another one if it is better by strictly more than `min_delta`: `value + min_delta < reference` when
/// minimizing, `value - min_delta > reference` when maximizing. Anything improves on nothing, except NaN, which never improves on
/// anything.
///
/// The callbacks that monitor a metric take a name that tells the direction, or a monitor:
///
/// ```
/// use selvedge::model::callbacks::{EarlyStopping, Monitor, ReduceLrOnPlateau};
///
/// let stopping = EarlyStopping::new().monitor("val_accuracy")?;
/// let plateau = ReduceLrOnPlateau::new().monitor(Monitor::maximize("my_score"))?;
/// # let _ = (stopping, plateau);
/// # Ok::<(), selvedge::model::callbacks::CallbackError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    name: String,
    direction: Direction,
    /// 0 unless it is set.
    min_delta: Option<f64>,
    best: Option<f64>,
}

impl Monitor {
    /// A metric with a name that tells its direction. Any improvement counts.
    ///
    /// # Errors
    /// [`CallbackError::UnknownDirection`] for any other name.
    pub fn new(name: &str) -> Result<Self, CallbackError> {
        Ok(Self::with_direction(name, Direction::of_metric(name)?))
    }

    /// A metric of which less is better.
    pub fn minimize(name: &str) -> Self {
        Self::with_direction(name, Direction::Minimize)
    }

    /// A metric of which more is better.
    pub fn maximize(name: &str) -> Self {
        Self::with_direction(name, Direction::Maximize)
    }

    fn with_direction(name: &str, direction: Direction) -> Self {
        Self { name: name.to_owned(), direction, min_delta: None, best: None }
    }

    /// How much better a value must be; only the absolute value counts.
    pub fn min_delta(self, min_delta: f64) -> Self {
        Self { min_delta: Some(min_delta.abs()), ..self }
    }

    /// Watches another metric from now on: what the other one does not say stays as it is.
    pub(super) fn switch<E>(&mut self, other: impl TryInto<Self, Error = E>) -> Result<(), CallbackError>
    where
        CallbackError: From<E>,
    {
        let Self { name, direction, min_delta, .. } = other.try_into()?;
        *self = Self { name, direction, min_delta: min_delta.or(self.min_delta), best: self.best };
        Ok(())
    }

    /// The name of the metric.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The direction in which it gets better.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Its value in the logs.
    ///
    /// # Errors
    /// [`CallbackError::MissingMetric`] if it is not there, for instance `val_loss` without validation data.
    pub fn value(&self, logs: &Logs) -> Result<f64, CallbackError> {
        logs.get(&self.name).ok_or_else(|| CallbackError::MissingMetric {
            expected: self.name.clone(),
            found: logs.iter().map(|(name, _)| name.to_owned()).collect(),
        })
    }

    /// Starts from a value that is to be beaten, or from nothing.
    pub fn reset(&mut self, best: Option<f64>) {
        self.best = best;
    }

    /// Whether a value improves on a reference.
    pub fn improves(&self, value: f64, reference: Option<f64>) -> bool {
        let min_delta = self.min_delta.unwrap_or(0.0);
        match (reference, self.direction) {
            (None, _) => !value.is_nan(),
            (Some(reference), Direction::Minimize) => value + min_delta < reference,
            (Some(reference), Direction::Maximize) => value - min_delta > reference,
        }
    }

    /// Whether a value improves on the best so far; if so, it is the best from now on.
    pub fn update(&mut self, value: f64) -> bool {
        let improved = self.improves(value, self.best);
        if improved {
            self.best = Some(value);
        }
        improved
    }

    /// The best value so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}

impl Default for Monitor {
    /// `val_loss`, to be minimized.
    fn default() -> Self {
        Self::minimize("val_loss")
    }
}

impl TryFrom<&str> for Monitor {
    type Error = CallbackError;

    fn try_from(name: &str) -> Result<Self, CallbackError> {
        Self::new(name)
    }
}

/// What is written of a value that may not be there.
#[cfg(feature = "io")]
pub(super) fn put_number(writer: &mut SectionWriter, number: Option<usize>) {
    writer.put_u64(u64::from(number.is_some())).put_u64(number.unwrap_or(0) as u64);
}

#[cfg(feature = "io")]
pub(super) fn take_number(reader: &mut SectionReader<'_>) -> Result<Option<usize>, CheckpointError> {
    let (there, number) = (reader.u64()? != 0, reader.u64()? as usize);
    Ok(there.then_some(number))
}

#[cfg(feature = "io")]
impl Monitor {
    /// Writes the best value.
    pub(super) fn save(&self, writer: &mut SectionWriter) {
        writer.put_u64(u64::from(self.best.is_some())).put_f64(self.best.unwrap_or(0.0));
    }

    pub(super) fn load(&mut self, reader: &mut SectionReader<'_>) -> Result<(), CheckpointError> {
        let (there, best) = (reader.u64()? != 0, reader.f64()?);
        self.best = there.then_some(best);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_tell_the_direction() {
        for name in [
            "loss",
            "val_loss",
            "val_mse",
            "val_MAE",
            "mape",
            "hinge",
            "mean_absolute_error",
            "price_loss",
            "val_sparse_categorical_crossentropy",
        ] {
            assert_eq!(Direction::of_metric(name), Ok(Direction::Minimize), "{name}");
        }
        for name in ["acc", "val_accuracy", "f1_score", "sparse_top_k_categorical_accuracy", "binary_accuracy", "val_auc", "recall"]
        {
            assert_eq!(Direction::of_metric(name), Ok(Direction::Maximize), "{name}");
        }
        for name in ["unknown", "", "gloss", "loss_", "macc", "learning_rate"] {
            assert_eq!(Direction::of_metric(name), Err(CallbackError::UnknownDirection { metric: name.to_owned() }));
        }
        assert!(Monitor::new("unknown").unwrap_err().to_string().starts_with("metric `unknown`"));
    }

    #[test]
    fn a_missing_metric_is_an_error_that_lists_the_others() {
        let logs = Logs::from_iter([("loss", 0.5), ("accuracy", 0.75)]);
        assert_eq!(Monitor::new("accuracy").unwrap().value(&logs), Ok(0.75));
        let error = Monitor::default().value(&logs).unwrap_err();
        assert_eq!(error.to_string(), "metric `val_loss` expected in the logs, found `loss`, `accuracy`");
        let error = Monitor::default().value(&Logs::new()).unwrap_err();
        assert_eq!(error.to_string(), "metric `val_loss` expected in the logs, found none");
    }

    #[test]
    fn another_metric_keeps_the_settings() {
        let mut monitor = Monitor::default().min_delta(0.25);
        monitor.reset(Some(0.5));
        monitor.switch("val_accuracy").unwrap();
        assert_eq!((monitor.name(), monitor.direction(), monitor.best()), ("val_accuracy", Direction::Maximize, Some(0.5)));
        assert!(!monitor.improves(0.75, Some(0.5)) && monitor.improves(0.8, Some(0.5)));
        monitor.switch(Monitor::minimize("x").min_delta(0.125)).unwrap();
        assert!(!monitor.improves(0.375, Some(0.5)) && monitor.improves(0.25, Some(0.5)));
        assert!(monitor.switch("x").is_err());
    }

    #[test]
    fn improvement_is_strictly_more_than_min_delta() {
        let mut down = Monitor::minimize("loss").min_delta(-0.25);
        assert!(down.update(1.0));
        assert!(!down.update(0.75), "exactly min_delta");
        assert!(down.update(0.5));
        assert_eq!(down.best(), Some(0.5));
        let mut up = Monitor::maximize("accuracy").min_delta(0.25);
        assert!(up.update(1.0));
        assert!(!up.update(1.25), "exactly min_delta");
        assert!(up.update(1.5));
        let mut equal = Monitor::minimize("loss");
        assert!(equal.update(1.0) && !equal.update(1.0));
    }

    #[test]
    fn nan_is_never_an_improvement_and_never_stands_in_the_way() {
        for mut monitor in [Monitor::minimize("x"), Monitor::maximize("x")] {
            assert!(!monitor.update(f64::NAN));
            assert_eq!(monitor.best(), None);
            assert!(monitor.update(0.5));
            assert!(!monitor.update(f64::NAN));
            assert_eq!(monitor.best(), Some(0.5));
        }
    }
}
