//! The results as numbers: how fast, how good, which weights.

use crate::recipes::Recipe;
use selvedge::model::{Callback, Epoch, Examples, Model, ModelError, Session};
use selvedge::parallel::{Executor, Pool};
use selvedge::simd::{Isa, peak};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What `--json` writes. Times are in seconds, rates in billions of floating-point operations a second.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// `Fashion-MNIST` or `synthetic garments`.
    pub(crate) data: &'static str,
    /// Where the data came from, in words.
    pub(crate) source: String,
    /// Rows trained on in each epoch.
    pub(crate) rows: usize,
    pub(crate) validation_rows: usize,
    pub(crate) test_rows: usize,
    pub(crate) recipe: Recipe,
    /// What the training rows took to become what the network is given; nothing if that is the pixels.
    pub(crate) preparation_seconds: f64,
    /// Preparation and training until the first epoch after which 90 % of the test rows were classified right; null if that was never so. Nothing but this figure depends
    /// on it.
    pub(crate) seconds_to_90: Option<f64>,
    pub(crate) isa: &'static str,
    pub(crate) threads: usize,
    pub(crate) batch_size: usize,
    pub(crate) epochs: usize,
    pub(crate) seed: u64,
    pub(crate) learning_rate: f32,
    pub(crate) momentum: f32,
    /// Shuffle, gather, forward, loss, backward and update of each epoch.
    pub(crate) epoch_seconds: Vec<f64>,
    /// Of the median epoch.
    #[serde(flatten)]
    pub(crate) speed: Speed,
    /// After the last epoch; null without validation rows.
    pub(crate) validation_accuracy: Option<f64>,
    pub(crate) validation_loss: Option<f64>,
    pub(crate) test_accuracy: f64,
    pub(crate) test_loss: f64,
    /// SHA-256 over all parameters; see [`weights_hash`].
    pub(crate) weights_hash: String,
}

/// Notes when the test accuracy first reached 90 %.
#[derive(Debug)]
pub(crate) struct Clock<'a> {
    test: &'a Examples<'a>,
    seconds: f64,
    reached: Option<f64>,
}

impl<'a> Clock<'a> {
    /// Looks at these rows after each epoch; so many seconds have passed before the first.
    pub(crate) fn new(test: &'a Examples<'a>, seconds: f64) -> Self {
        Self { test, seconds, reached: None }
    }

    /// Seconds before the first epoch, and of the training steps of the epochs up to that one.
    pub(crate) fn seconds_to_90(&self) -> Option<f64> {
        self.reached
    }
}

impl Callback for Clock<'_> {
    fn on_epoch_end(&mut self, _: usize, logs: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        self.seconds += logs.seconds;
        if self.reached.is_none() && session.evaluate(self.test)?.accuracy >= 0.9 {
            self.reached = Some(self.seconds);
        }
        Ok(())
    }
}

/// How fast training was, beside the limit of the machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Speed {
    /// What the same threads reach in registers; see [`fma_peak_gflops`].
    pub(crate) fma_peak_gflops: f64,
    pub(crate) gflops: f64,
    pub(crate) share_of_peak: f64,
}

impl Speed {
    /// Of an epoch of the median time.
    pub(crate) fn new(operations_per_epoch: f64, epoch_seconds: &[f64], fma_peak_gflops: f64) -> Self {
        let gflops = operations_per_epoch / median(epoch_seconds) / 1e9;
        Self { fma_peak_gflops, gflops, share_of_peak: gflops / fma_peak_gflops }
    }
}

/// The value in the middle, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { 0.5 * (values[middle - 1] + values[middle]) } else { values[middle] }
}

/// The limit of the machine: billions of floating-point operations a second that `threads` threads reach together when they touch nothing but
/// registers. Threads beyond the number of processors add nothing to it.
pub(crate) fn fma_peak_gflops(isa: Isa, threads: usize) -> io::Result<f64> {
    let total = Mutex::new(0.0);
    Pool::new(threads.min(Pool::default_threads()))?.team(|team| {
        team.run(&|_| {
            let gflops = peak::fma_gflops(isa, Duration::from_millis(100));
            *total.lock().unwrap_or_else(PoisonError::into_inner) += gflops;
        });
    });
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// SHA-256, in hexadecimal digits, over all parameters in the order of [`Model::weights`], each as the four bytes of its `f32`, the least
/// significant first. Equal hashes mean equal weights to the last bit.
pub(crate) fn weights_hash(model: &Model) -> String {
    let mut hash = Sha256::new();
    for (_, matrix) in model.weights() {
        for row in 0..matrix.rows() {
            let bytes: Vec<u8> = matrix.row(row).iter().flat_map(|weight| weight.to_le_bytes()).collect();
            hash.update(bytes);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!((median(&[9.0, 1.0, 2.0]), median(&[9.0, 1.0, 2.0, 4.0]), median(&[5.0])), (2.0, 3.0, 5.0));
    }

    #[test]
    fn speed_is_operations_over_time() {
        let speed = Speed::new(6e9, &[3.0, 1.0, 2.0], 12.0);
        assert_eq!((speed.gflops, speed.share_of_peak), (3.0, 0.25));
    }
}
