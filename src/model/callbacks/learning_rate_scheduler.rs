//! [`LearningRateScheduler`]: the learning rate of an epoch, from a function.

use super::CallbackError;

/// Asks a function for the learning rate at the **beginning** of each epoch: `f(epoch, current learning rate)`, epochs counted from 0.
///
/// A function that uses the current learning rate compounds: `|_, rate| rate * 0.9` falls with every epoch, while
/// `|epoch, _| 0.01 * 0.9f32.powi(epoch as i32)` knows its place when a run is resumed.
#[derive(Clone, Debug)]
pub struct LearningRateScheduler<F> {
    function: F,
}

impl<F: FnMut(usize, f32) -> f32> LearningRateScheduler<F> {
    /// A scheduler that asks this function.
    pub fn new(function: F) -> Self {
        Self { function }
    }

    /// The learning rate for the epoch that begins.
    ///
    /// # Errors
    /// If the function returns a negative or infinite number or NaN.
    pub fn epoch_begin(&mut self, epoch: usize, learning_rate: f32) -> Result<f32, CallbackError> {
        let next = (self.function)(epoch, learning_rate);
        if next >= 0.0 && next.is_finite() {
            Ok(next)
        } else {
            let (expected, found) = ("a finite number not below 0", f64::from(next));
            Err(CallbackError::OutOfRange { parameter: "scheduled learning rate", expected, found })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_function_of_the_epoch() {
        let mut scheduler = LearningRateScheduler::new(|epoch, _| 1.0 / (2.0 + epoch as f32));
        assert_eq!(scheduler.epoch_begin(0, 9.0), Ok(0.5));
        assert_eq!(scheduler.epoch_begin(2, 9.0), Ok(0.25));
    }

    #[test]
    fn a_function_of_the_current_rate_compounds() {
        let mut scheduler = LearningRateScheduler::new(|_, rate| rate / 2.0);
        let first = scheduler.epoch_begin(0, 0.03).unwrap();
        assert_eq!(scheduler.epoch_begin(1, first), Ok(0.03 / 4.0));
    }

    #[test]
    fn what_is_no_learning_rate_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, -0.1] {
            assert!(LearningRateScheduler::new(|_, _| bad).epoch_begin(0, 0.1).is_err());
        }
        let error = LearningRateScheduler::new(|_, _| -0.5).epoch_begin(0, 0.1).unwrap_err();
        assert_eq!(error.to_string(), "scheduled learning rate: a finite number not below 0 expected, found -0.5");
    }
}
