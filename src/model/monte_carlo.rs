//! [`MonteCarlo`]: predictions that know how sure they are.

use super::predictions::Predictions;
use crate::plan::Plan;
use crate::simd::Isa;

/// Mean and spread of the outputs over passes with different dropout.
#[derive(Clone, Debug)]
pub struct MonteCarlo {
    isa: Isa,
    rows: usize,
    columns: Vec<usize>,
    passes: usize,
    mean: Vec<f64>,
    /// Sums of squared deviations from the mean, by Welford's method.
    squares: Vec<f64>,
    entropies: Vec<f64>,
}

impl MonteCarlo {
    pub(super) fn new(plan: &Plan<'_>, isa: Isa, rows: usize) -> Self {
        let columns: Vec<usize> = plan.outputs().iter().map(|output| plan.layers()[output.layer].out_dim).collect();
        let len = rows * columns.iter().sum::<usize>();
        Self { isa, rows, columns, passes: 0, mean: vec![0.0; len], squares: vec![0.0; len], entropies: vec![0.0; rows] }
    }

    /// Adds the outputs of a pass.
    pub(super) fn add(&mut self, values: &[f32]) {
        self.passes += 1;
        for ((mean, square), &value) in self.mean.iter_mut().zip(&mut self.squares).zip(values) {
            let before = f64::from(value) - *mean;
            *mean += before / self.passes as f64;
            *square += before * (f64::from(value) - *mean);
        }
        let columns = self.columns.first().copied().unwrap_or(0).max(1);
        for (sum, row) in self.entropies.iter_mut().zip(values.chunks(columns)) {
            *sum += entropy(row.iter().copied().map(f64::from));
        }
    }

    /// The number of passes.
    pub fn passes(&self) -> usize {
        self.passes
    }

    /// The mean outputs over all passes.
    pub fn mean(&self) -> Predictions {
        self.predictions(|i| self.mean[i])
    }

    /// The standard deviation of each output over the passes, as of a whole population.
    pub fn deviation(&self) -> Predictions {
        self.predictions(|i| (self.squares[i] / self.passes.max(1) as f64).sqrt())
    }

    /// The entropy of each row's mean probabilities at the first output, in nats: how unsure the prediction is in all.
    pub fn entropy(&self) -> Vec<f64> {
        let columns = self.columns.first().copied().unwrap_or(0).max(1);
        self.mean.chunks(columns).take(self.rows).map(|row| entropy(row.iter().copied())).collect()
    }

    /// The entropy of the mean less the mean of the entropies, in nats: how much of it comes from the passes not agreeing, so from what the model does
    /// not know.
    pub fn mutual_information(&self) -> Vec<f64> {
        let passes = self.passes.max(1) as f64;
        self.entropy().iter().zip(&self.entropies).map(|(whole, sum)| (whole - sum / passes).max(0.0)).collect()
    }

    fn predictions(&self, value: impl Fn(usize) -> f64) -> Predictions {
        let values = (0..self.mean.len()).map(|i| value(i) as f32).collect();
        Predictions::of_columns(self.isa, self.columns.clone(), self.rows, values)
    }
}

/// `- sum of p ln p`, where nothing comes of a probability of 0.
fn entropy(probabilities: impl Iterator<Item = f64>) -> f64 {
    -probabilities.filter(|&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_certainty_and_of_ignorance() {
        assert_eq!(entropy([1.0, 0.0].into_iter()), 0.0);
        assert!((entropy([0.25; 4].into_iter()) - 4f64.ln()).abs() < 1e-15);
    }
}
