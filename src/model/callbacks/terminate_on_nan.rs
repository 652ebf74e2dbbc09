//! [`TerminateOnNan`]: no training on a loss that is no number.

/// Ends the training when the loss of a batch is NaN or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TerminateOnNan {
    found: Option<(usize, f64)>,
}

impl TerminateOnNan {
    /// Nothing found so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets an earlier training.
    pub fn train_begin(&mut self) {
        self.found = None;
    }

    /// Looks at the loss of a batch, counted from 0. Returns whether to end the training.
    #[must_use]
    pub fn batch_end(&mut self, batch: usize, loss: f64) -> bool {
        let stop = !loss.is_finite();
        if stop && self.found.is_none() {
            self.found = Some((batch, loss));
        }
        stop
    }

    /// The first batch whose loss was NaN or infinite, and that loss.
    pub fn found(&self) -> Option<(usize, f64)> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_nan_and_at_infinity() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut terminate = TerminateOnNan::new();
            assert!(!terminate.batch_end(0, 1.0) && !terminate.batch_end(1, f64::MAX));
            assert_eq!(terminate.found(), None);
            assert!(terminate.batch_end(2, bad));
            assert!(terminate.batch_end(3, f64::NAN));
            assert_eq!(terminate.found().map(|(batch, loss)| (batch, loss.to_bits())), Some((2, bad.to_bits())));
            assert!(!terminate.batch_end(4, 0.5));
            terminate.train_begin();
            assert_eq!(terminate.found(), None);
        }
    }
}
