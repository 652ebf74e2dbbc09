//! Friedman's first regression: a stand-in for a table of prices or the like, whose best possible error is known.
//!
//! Inputs `x_1, x_2, ...` are uniform in `[0, 1)` and independent of each other; the target depends on the first five:
//!
//! ```text
//! y = 10 sin(pi x_1 x_2) + 20 (x_3 - 1/2)^2 + 10 x_4 + 5 x_5 + noise z,    z normal with mean 0 and variance 1
//! ```
//!
//! All further inputs are irrelevant, which a model has to find out. No model's mean squared error is below `noise^2` in the long run; always
//! answering the mean, about 14.41, leaves `23.8 + noise^2`. A linear model leaves about a quarter of the variance: sine and square need a hidden layer.
//!
//! Source: Friedman 1991, "Multivariate adaptive regression splines", section 4.3. Sine, cosine and logarithm are those of the `libm`
//! crate, plain arithmetic, so that the numbers depend on neither machine nor operating system.

use super::random::{Purpose, Random};
use crate::kernels::MatRef;
use std::f64::consts::PI;

/// Inputs that the target depends on.
pub const RELEVANT: usize = 5;

/// Rows of inputs, each with its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    inputs: Vec<f32>,
    targets: Vec<f32>,
    columns: usize,
}

impl Regression {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The inputs: one row for each target.
    pub fn inputs(&self) -> MatRef<'_> {
        MatRef::new(&self.inputs, self.len(), self.columns, self.columns)
    }

    /// The targets, as rows of one column.
    pub fn targets(&self) -> MatRef<'_> {
        MatRef::new(&self.targets, self.len(), 1, 1)
    }
}

/// That many rows of [`RELEVANT`] plus `irrelevant` inputs. With three irrelevant ones there are eight, as many as in the usual table of
/// Californian house prices.
///
/// `noise` is the standard deviation of what cannot be predicted, in units of the target; its sign does not matter. Row `i` depends on
/// `seed`, `i` and the two other arguments only, so a longer set continues a shorter one.
///
/// # Panics
/// If there are more rows than memory.
///
/// ```
/// let houses = selvedge::data::friedman::regression(100, 3, 1.0, 42);
/// assert_eq!((houses.inputs().rows(), houses.inputs().columns(), houses.targets().columns()), (100, 8, 1));
/// ```
pub fn regression(rows: usize, irrelevant: usize, noise: f32, seed: u64) -> Regression {
    let columns = RELEVANT.saturating_add(irrelevant);
    let mut inputs = vec![0.0; rows.saturating_mul(columns)];
    let mut targets = vec![0.0; rows];
    for (i, (row, target)) in inputs.chunks_exact_mut(columns).zip(&mut targets).enumerate() {
        let mut random = Random::new(Purpose::Friedman, seed, i as u64);
        // First of all, so that further inputs do not change the noise.
        let z = normal(&mut random);
        row.iter_mut().for_each(|x| *x = random.unit());
        *target = (without_noise(row) + f64::from(noise) * z) as f32;
    }
    Regression { inputs, targets, columns }
}

/// What can be predicted from a row.
fn without_noise(row: &[f32]) -> f64 {
    let x = |i: usize| f64::from(row[i]);
    10.0 * libm::sin(PI * x(0) * x(1)) + 20.0 * (x(2) - 0.5) * (x(2) - 0.5) + 10.0 * x(3) + 5.0 * x(4)
}

/// A normal number of mean 0 and variance 1: Box and Muller's transform of two uniform ones.
fn normal(random: &mut Random) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - random.fine_unit()));
    radius * libm::cos(2.0 * PI * random.fine_unit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        (mean, values.map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
    }

    /// The mean is 10 E sin(pi x1 x2) + 20/12 + 10/2 + 5/2, where the first expectation is the sum of (-1)^k pi^(2k+1) / ((2k+1)! (2k+2)^2) = 0.5246...
    #[test]
    fn moments_are_those_of_the_formula() {
        let mut term = PI;
        let mut expectation = 0.0;
        for k in 0..20 {
            expectation += term / f64::from((2 * k + 2) * (2 * k + 2));
            term *= -PI * PI / f64::from((2 * k + 2) * (2 * k + 3));
        }
        let expected = 10.0 * expectation + 20.0 / 12.0 + 5.0 + 2.5;
        let data = regression(40_000, 3, 1.0, 7);
        let (mean, variance) = mean_and_variance(data.targets.iter().map(|&y| f64::from(y)));
        assert!((mean - expected).abs() < 0.12, "{mean} instead of {expected}");
        assert!((variance - 24.8).abs() < 0.8, "{variance}");
        let noise = (0..data.len()).map(|i| f64::from(data.targets[i]) - without_noise(data.inputs().row(i)));
        let (mean, variance) = mean_and_variance(noise);
        assert!(mean.abs() < 0.025 && (variance - 1.0).abs() < 0.035, "{mean} {variance}");
        for column in 0..8 {
            let (mean, variance) = mean_and_variance((0..data.len()).map(|i| f64::from(data.inputs().row(i)[column])));
            assert!((mean - 0.5).abs() < 0.0075 && (variance - 1.0 / 12.0).abs() < 0.002, "column {column}: {mean} {variance}");
        }
    }

    #[test]
    fn a_row_depends_on_its_number_and_the_seed() {
        let (long, short) = (regression(20, 3, 0.5, 1), regression(10, 3, 0.5, 1));
        assert_eq!((&long.inputs[..80], &long.targets[..10]), (&short.inputs[..], &short.targets[..]));
        assert_ne!(long.inputs[..8], long.inputs[8..16]);
        assert_ne!(regression(10, 3, 0.5, 2).inputs, short.inputs);
        assert_eq!(regression(10, 3, 9.0, 1).inputs, short.inputs, "noise does not touch the inputs");
    }

    #[test]
    fn without_noise_the_formula_is_exact() {
        let data = regression(3, 0, 0.0, 1);
        for i in 0..3 {
            let x = data.inputs().row(i);
            let y = 10.0 * (std::f32::consts::PI * x[0] * x[1]).sin() + 20.0 * (x[2] - 0.5).powi(2) + 10.0 * x[3] + 5.0 * x[4];
            assert!((y - data.targets[i]).abs() < 1e-4);
        }
        assert!(regression(0, 3, 1.0, 0).is_empty());
    }
}
