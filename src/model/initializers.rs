//! Where do the weights start? Initializers with the names, formulas and defaults of Keras.
//!
//! Signals and gradients keep their size through a deep network when the variance of the weights fits the number of connections.
//! With scale s and fan f (at least 1), the variance is s / f:
//!
//! | initializer | scale | fan | fits the activations |
//! |---|---|---|---|
//! | Glorot (Xavier) | 1 | (fan_in + fan_out) / 2 | none, tanh, sigmoid, softmax; the default of a dense layer |
//! | He | 2 | fan_in | ReLU, leaky ReLU, PReLU, ELU, GELU, swish |
//! | LeCun | 1 | fan_in | SELU |
//!
//! - **Uniform**: between -limit and limit = sqrt(3 s / f).
//! - **Normal**: the normal distribution of standard deviation sqrt(s / f) / 0.87962566..., from which everything beyond two of *these*
//!   standard deviations is drawn again. Cutting the tails shrinks the deviation by that very factor, so that sqrt(s / f) remains.
//!
//! For a kernel of 784 x 300: He deviation 0.0574194563 before the cut, Glorot limit 0.0743979526, LeCun deviation 0.0406016869 before the cut.
//!
//! Sources: Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998, Saxe et al. 2014 (orthogonal).
//!
//! # Same seed, same bits, everywhere
//! The numbers come from PCG64 (XSL-RR, 128 bits of state), keyed by the seed **and** a stream number. Each layer has a stream of its own, so
//! two layers of the same shape never start alike (in Keras one seeded initializer, given to two layers, fills both with the same values).
//! Bits become floats here rather than in a library, in `f64` and rounded once; the only transcendental function is the logarithm of the
//! `libm` crate, which is plain arithmetic and not the platform's. Weights therefore depend on neither machine nor operating system.

use crate::data::random::mix;
use crate::kernels::MatMut;
use core::fmt;
use rand_pcg::{Pcg64, rand_core::Rng};

/// How the weights of a layer start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Initializer {
    /// Uniform of variance 2 / (fan_in + fan_out): the default of a dense layer.
    #[default]
    GlorotUniform,
    /// Truncated normal of variance 2 / (fan_in + fan_out).
    GlorotNormal,
    /// Uniform of variance 2 / fan_in.
    HeUniform,
    /// Truncated normal of variance 2 / fan_in.
    HeNormal,
    /// Uniform of variance 1 / fan_in.
    LeCunUniform,
    /// Truncated normal of variance 1 / fan_in.
    LeCunNormal,
    /// All 0: the default of biases.
    Zeros,
    /// All 1.
    Ones,
    /// All the same.
    Constant(f32),
    /// Every value between the two equally likely. Keras' defaults are -0.05 and 0.05.
    Uniform {
        /// The smallest value.
        low: f32,
        /// The largest value.
        high: f32,
    },
    /// The normal distribution. Keras' defaults are 0 and 0.05.
    Normal {
        /// The mean.
        mean: f32,
        /// The standard deviation, not negative.
        standard_deviation: f32,
    },
    /// The normal distribution without what lies beyond two standard deviations. Keras' defaults are 0 and 0.05.
    TruncatedNormal {
        /// The mean.
        mean: f32,
        /// The standard deviation *before* the cut, not negative; 0.8796 of it remains.
        standard_deviation: f32,
    },
    /// A random matrix Q whose rows (if it has no more rows than columns) or columns (otherwise) are orthonormal, times a gain (Keras' default: 1).
    /// Multiplying with it keeps lengths. All such matrices are equally likely.
    Orthogonal {
        /// The length of the rows or columns.
        gain: f32,
    },
}

/// The number of connections into and out of a unit: for a dense kernel of `in_dim` x `out_dim`, these two.
/// For a convolution both are multiplied by the size of the receptive field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fans {
    /// Connections into a unit.
    pub fan_in: usize,
    /// Connections out of a unit.
    pub fan_out: usize,
}

/// A parameter of an initializer that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum InitializerError {
    /// NaN or infinity.
    NotFinite {
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        found: f32,
    },
    /// A standard deviation below zero.
    NegativeDeviation {
        /// Its value.
        found: f32,
    },
    /// A range that ends before it starts.
    EmptyRange {
        /// Its start.
        low: f32,
        /// Its end.
        high: f32,
    },
}

impl fmt::Display for InitializerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { parameter, found } => {
                write!(f, "{parameter} of an initializer: a finite number expected, found {found}")
            }
            Self::NegativeDeviation { found } => {
                write!(f, "standard deviation of an initializer: a number not below 0 expected, found {found}")
            }
            Self::EmptyRange { low, high } => write!(f, "range of an initializer: low <= high expected, found {low} and {high}"),
        }
    }
}

impl core::error::Error for InitializerError {}

/// The standard deviation of the standard normal distribution cut at -2 and 2.
const DEVIATION_AFTER_THE_CUT: f64 = 0.879_625_661_034_239_8;

/// The distance from the mean, in standard deviations, beyond which a truncated normal value is drawn again.
const CUT: f64 = 2.0;

impl Initializer {
    /// Fills a matrix. Values are drawn row by row and do not depend on the leading dimension; padding is left untouched.
    ///
    /// Equal `seed` and `stream` give equal values; `stream` is the number of the layer, or any other number that no other
    /// matrix of the network has.
    ///
    /// # Errors
    /// If a parameter is not finite, a standard deviation is negative or a range is empty; nothing is written then.
    pub fn fill(&self, weights: MatMut<'_>, fans: Fans, seed: u64, stream: u64) -> Result<(), InitializerError> {
        self.check()?;
        let mut random = Random::new(seed, stream);
        match *self {
            Self::Zeros => fill_with(weights, || 0.0),
            Self::Ones => fill_with(weights, || 1.0),
            Self::Constant(value) => fill_with(weights, || value),
            Self::Uniform { low, high } => fill_uniform(weights, f64::from(low), f64::from(high), &mut random),
            Self::Normal { mean, standard_deviation } => {
                let (mean, standard_deviation) = (f64::from(mean), f64::from(standard_deviation));
                fill_with(weights, || (mean + standard_deviation * random.normal()) as f32);
            }
            Self::TruncatedNormal { mean, standard_deviation } => {
                fill_truncated_normal(weights, f64::from(mean), f64::from(standard_deviation), &mut random);
            }
            Self::Orthogonal { gain } => fill_orthogonal(weights, f64::from(gain), &mut random),
            Self::GlorotUniform | Self::HeUniform | Self::LeCunUniform => {
                let limit = self.limit(fans);
                fill_uniform(weights, -limit, limit, &mut random);
            }
            Self::GlorotNormal | Self::HeNormal | Self::LeCunNormal => {
                fill_truncated_normal(weights, 0.0, self.deviation_before_the_cut(fans), &mut random);
            }
        }
        Ok(())
    }

    /// Scale over fan, for the initializers that adapt to the fans; 0 for the others.
    fn variance(&self, Fans { fan_in, fan_out }: Fans) -> f64 {
        let (scale, fan) = match self {
            Self::GlorotUniform | Self::GlorotNormal => (1.0, (fan_in as f64 + fan_out as f64) / 2.0),
            Self::HeUniform | Self::HeNormal => (2.0, fan_in as f64),
            Self::LeCunUniform | Self::LeCunNormal => (1.0, fan_in as f64),
            _ => (0.0, 1.0),
        };
        scale / fan.max(1.0)
    }

    /// The bound of the uniform distribution of this variance.
    fn limit(&self, fans: Fans) -> f64 {
        (3.0 * self.variance(fans)).sqrt()
    }

    /// The standard deviation of the normal distribution that has this variance once it is cut.
    fn deviation_before_the_cut(&self, fans: Fans) -> f64 {
        self.variance(fans).sqrt() / DEVIATION_AFTER_THE_CUT
    }

    fn check(&self) -> Result<(), InitializerError> {
        let finite = |parameter, found: f32| {
            if found.is_finite() { Ok(()) } else { Err(InitializerError::NotFinite { parameter, found }) }
        };
        match *self {
            Self::Constant(value) => finite("value", value),
            Self::Orthogonal { gain } => finite("gain", gain),
            Self::Uniform { low, high } => {
                finite("low", low)?;
                finite("high", high)?;
                if low <= high { Ok(()) } else { Err(InitializerError::EmptyRange { low, high }) }
            }
            Self::Normal { mean, standard_deviation } | Self::TruncatedNormal { mean, standard_deviation } => {
                finite("mean", mean)?;
                finite("standard deviation", standard_deviation)?;
                if standard_deviation >= 0.0 {
                    Ok(())
                } else {
                    Err(InitializerError::NegativeDeviation { found: standard_deviation })
                }
            }
            _ => Ok(()),
        }
    }
}

fn fill_with(mut weights: MatMut<'_>, mut next: impl FnMut() -> f32) {
    for i in 0..weights.rows() {
        weights.row_mut(i).fill_with(&mut next);
    }
}

fn fill_uniform(weights: MatMut<'_>, low: f64, high: f64, random: &mut Random) {
    fill_with(weights, || (low + (high - low) * random.uniform()) as f32);
}

fn fill_truncated_normal(weights: MatMut<'_>, mean: f64, standard_deviation: f64, random: &mut Random) {
    fill_with(weights, || {
        loop {
            let deviations = random.normal();
            if deviations.abs() <= CUT {
                return (mean + standard_deviation * deviations) as f32;
            }
        }
    });
}

/// The Q of the QR decomposition of a matrix of normal values, for the R with a positive diagonal. These signs make every
/// orthogonal matrix equally likely, and Gram-Schmidt yields them by itself. A second pass removes what rounding left of the first.
fn fill_orthogonal(mut weights: MatMut<'_>, gain: f64, random: &mut Random) {
    let (rows, columns) = (weights.rows(), weights.columns());
    let (count, length) = (rows.min(columns), rows.max(columns));
    if count == 0 {
        return;
    }
    let mut vectors = vec![0.0; count * length];
    for done in 0..count {
        let (earlier, rest) = vectors.split_at_mut(done * length);
        let vector = &mut rest[..length];
        loop {
            vector.fill_with(|| random.normal());
            for _ in 0..2 {
                for other in earlier.chunks_exact(length) {
                    let along = dot(vector, other);
                    vector.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
                }
            }
            // A vector that lies in the span of the earlier ones has no direction of its own left: draw another.
            let norm = dot(vector, vector).sqrt();
            if norm > 1e-6 {
                vector.iter_mut().for_each(|x| *x /= norm);
                break;
            }
        }
    }
    for i in 0..rows {
        for (j, weight) in weights.row_mut(i).iter_mut().enumerate() {
            *weight = (gain * if rows < columns { vectors[i * length + j] } else { vectors[j * length + i] }) as f32;
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Portable random numbers: a generator of bits, and how they become floats.
struct Random {
    bits: Pcg64,
    /// The polar method makes two normal values at a time; this is the second.
    spare: Option<f64>,
}

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        let (seed, stream) = (mix(seed), mix(stream));
        // Generators of this family are correlated when their states and increments are close, as seeds and layer numbers are:
        // hence the mixing, and an increment that follows from both.
        let state = u128::from(seed) << 64 | u128::from(stream);
        let increment = u128::from(mix(seed ^ stream.rotate_left(32))) << 64 | u128::from(mix(seed.wrapping_add(stream)));
        Self { bits: Pcg64::new(state, increment), spare: None }
    }

    /// Every multiple of 2^-53 in [0, 1) equally likely.
    fn uniform(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.bits.next_u64() >> 11) as f64 * SCALE
    }

    /// The standard normal distribution, by Marsaglia's polar method: a point in the unit disc, pushed outwards.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let stretch = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(y * stretch);
                return x * stretch;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HIDDEN: Fans = Fans { fan_in: 784, fan_out: 300 };

    /// A matrix of fans' shape without padding.
    fn filled(initializer: Initializer, fans: Fans, seed: u64, stream: u64) -> Vec<f32> {
        let mut data = vec![f32::NAN; fans.fan_in * fans.fan_out];
        initializer.fill(MatMut::new(&mut data, fans.fan_in, fans.fan_out, fans.fan_out), fans, seed, stream).unwrap();
        data
    }

    fn mean_and_deviation(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    fn largest(values: &[f32]) -> f64 {
        values.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max)
    }

    /// The bits below were worked out apart from this code: PCG64 in big integers, checked against its published sequence.
    #[test]
    fn known_answers() {
        let first = |initializer: Initializer, seed, stream| {
            let mut data = [0.0; 6];
            initializer.fill(MatMut::new(&mut data, 2, 3, 3), HIDDEN, seed, stream).unwrap();
            data.map(f32::to_bits)
        };
        assert_eq!(
            first(Initializer::GlorotUniform, 42, 0),
            [0xbcc2_9549, 0x3d18_892a, 0x3d18_410c, 0xbbf9_ff85, 0x3b91_57b4, 0xbd18_f23b]
        );
        assert_eq!(
            first(Initializer::HeNormal, 42, 1),
            [0xbc9d_0164, 0xbd64_a23e, 0xbd66_d20f, 0xbd52_e0eb, 0x3d09_9821, 0xbc64_6718]
        );
        assert_eq!(
            first(Initializer::Normal { mean: 0.0, standard_deviation: 1.0 }, u64::MAX, 7),
            [0xbf46_0fa5, 0xbec3_1118, 0x3ee8_aeeb, 0xbf28_a85b, 0xbf19_74d0, 0x3f0e_3b10]
        );
    }

    #[test]
    fn splitmix_known_answer() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    /// Worked out by hand, for the shapes of the network 784-300-100-10 and a single unit.
    #[test]
    fn limits_and_deviations_are_those_of_the_formulas() {
        let fans = |fan_in, fan_out| Fans { fan_in, fan_out };
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{expected} expected, found {found}");
        let limits = [
            (Initializer::GlorotUniform, fans(784, 300), 0.074_397_952_6),
            (Initializer::GlorotUniform, fans(300, 100), 0.122_474_487_1),
            (Initializer::GlorotUniform, fans(100, 10), 0.233_549_683_2),
            (Initializer::GlorotUniform, fans(1, 1), 1.732_050_807_6),
            (Initializer::HeUniform, fans(784, 300), 0.087_481_776_5),
            (Initializer::LeCunUniform, fans(784, 300), 0.061_858_957_4),
        ];
        for (initializer, fans, limit) in limits {
            close(initializer.limit(fans), limit);
        }
        let deviations = [
            (Initializer::HeNormal, fans(784, 300), 0.057_419_456_3),
            (Initializer::LeCunNormal, fans(784, 300), 0.040_601_686_9),
            (Initializer::GlorotNormal, fans(784, 300), 0.048_831_770_0),
            (Initializer::HeNormal, fans(2, 1), 1.136_847_234_3),
        ];
        for (initializer, fans, deviation) in deviations {
            close(initializer.deviation_before_the_cut(fans), deviation);
        }
        // The variance of the normal distribution between -2 and 2 is 1 - 4 phi(2) / (2 Phi(2) - 1).
        let density = (-2.0_f64).exp() / (2.0 * core::f64::consts::PI).sqrt();
        let inside = libm::erf(core::f64::consts::SQRT_2);
        assert!((DEVIATION_AFTER_THE_CUT.powi(2) - (1.0 - 4.0 * density / inside)).abs() < 1e-14);
    }

    #[test]
    fn uniform_bounds_and_moments() {
        // Glorot: sqrt(6 / (784 + 300)); He: sqrt(6 / 784); LeCun: sqrt(3 / 784).
        let expected = [
            (Initializer::GlorotUniform, 0.074_397_952_6),
            (Initializer::HeUniform, 0.087_481_776_5),
            (Initializer::LeCunUniform, 0.061_858_957_4),
            (Initializer::Uniform { low: -0.05, high: 0.05 }, 0.05),
        ];
        for (initializer, limit) in expected {
            let values = filled(initializer, HIDDEN, 1, 2);
            let (mean, deviation) = mean_and_deviation(&values);
            assert!(mean.abs() < 0.01 * limit, "{initializer:?}: mean {mean}");
            assert!((deviation / (limit / 3.0_f64.sqrt()) - 1.0).abs() < 0.01, "{initializer:?}: deviation {deviation}");
            let largest = largest(&values);
            assert!(largest <= limit * 1.000_000_1 && largest > 0.9999 * limit, "{initializer:?}: largest {largest}");
        }
    }

    #[test]
    fn truncated_normal_bounds_and_moments() {
        // What remains after the cut is sqrt(scale / fan); the cut is at twice the deviation before it.
        let expected = [
            (Initializer::HeNormal, 0.057_419_456_3, (2.0_f64 / 784.0).sqrt()),
            (Initializer::LeCunNormal, 0.040_601_686_9, (1.0_f64 / 784.0).sqrt()),
            (Initializer::GlorotNormal, (2.0_f64 / 1084.0).sqrt() / 0.879_625_661, (2.0_f64 / 1084.0).sqrt()),
            (Initializer::TruncatedNormal { mean: 0.0, standard_deviation: 0.05 }, 0.05, 0.05 * 0.879_625_661),
        ];
        for (initializer, before, after) in expected {
            let values = filled(initializer, HIDDEN, 3, 4);
            let (mean, deviation) = mean_and_deviation(&values);
            assert!(mean.abs() < 0.01 * after, "{initializer:?}: mean {mean}");
            assert!((deviation / after - 1.0).abs() < 0.01, "{initializer:?}: deviation {deviation}");
            let largest = largest(&values);
            assert!(largest <= 2.0 * before * 1.000_000_1 && largest > 1.99 * before, "{initializer:?}: largest {largest}");
        }
    }

    #[test]
    fn normal_moments_and_tails() {
        let values = filled(Initializer::Normal { mean: 3.0, standard_deviation: 2.0 }, HIDDEN, 5, 6);
        let (mean, deviation) = mean_and_deviation(&values);
        assert!((mean - 3.0).abs() < 0.03 && (deviation - 2.0).abs() < 0.02, "{mean} {deviation}");
        let beyond = |k: f32| values.iter().filter(|x| (**x - 3.0).abs() > 2.0 * k).count() as f64 / values.len() as f64;
        assert!((beyond(1.0) - 0.3173).abs() < 0.005 && (beyond(2.0) - 0.0455).abs() < 0.002, "{} {}", beyond(1.0), beyond(2.0));
        let cut = filled(Initializer::TruncatedNormal { mean: 3.0, standard_deviation: 2.0 }, HIDDEN, 5, 6);
        assert!(cut.iter().all(|x| (-1.0..=7.0).contains(x)));
    }

    #[test]
    fn constants() {
        let fans = Fans { fan_in: 3, fan_out: 5 };
        assert_eq!(filled(Initializer::Zeros, fans, 0, 0), [0.0; 15]);
        assert_eq!(filled(Initializer::Ones, fans, 0, 0), [1.0; 15]);
        assert_eq!(filled(Initializer::Constant(-2.5), fans, 0, 0), [-2.5; 15]);
        assert_eq!(filled(Initializer::Uniform { low: 0.5, high: 0.5 }, fans, 0, 0), [0.5; 15]);
        assert_eq!(filled(Initializer::Normal { mean: 0.5, standard_deviation: 0.0 }, fans, 0, 0), [0.5; 15]);
    }

    #[test]
    fn every_stream_and_seed_has_its_own_values() {
        let fans = Fans { fan_in: 32, fan_out: 32 };
        let of = |seed, stream| filled(Initializer::GlorotUniform, fans, seed, stream);
        assert_eq!(of(7, 3), of(7, 3));
        let keys = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (1, 2), (u64::MAX, 0), (0, u64::MAX)];
        let matrices: Vec<_> = keys.iter().map(|(seed, stream)| of(*seed, *stream)).collect();
        for (i, a) in matrices.iter().enumerate() {
            for b in &matrices[..i] {
                // In 2^24 or so different values a few coincide by chance, wherever they stand.
                let shared = a.iter().filter(|x| b.contains(x)).count();
                assert!(shared <= 4, "{shared} of 1024 values in both");
                // For independent uniform values the correlation is normal with deviation 1 / 32.
                let limit_squared = 6.0 / 64.0;
                let correlation = a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>() / 1024.0 * 3.0 / limit_squared;
                assert!(correlation.abs() < 5.0 / 32.0, "correlation {correlation}");
            }
        }
    }

    #[test]
    fn padding_is_untouched_and_changes_nothing() {
        let all = [
            Initializer::GlorotUniform,
            Initializer::HeNormal,
            Initializer::Ones,
            Initializer::Normal { mean: 0.0, standard_deviation: 1.0 },
            Initializer::Orthogonal { gain: 1.0 },
        ];
        let fans = Fans { fan_in: 4, fan_out: 3 };
        for initializer in all {
            let mut padded = [f32::MAX; 4 * 5];
            initializer.fill(MatMut::new(&mut padded, 4, 3, 5), fans, 1, 1).unwrap();
            let dense = filled(initializer, fans, 1, 1);
            for (padded, dense) in padded.chunks(5).zip(dense.chunks(3)) {
                assert_eq!(padded[..3], *dense, "{initializer:?}");
                assert_eq!(padded[3..], [f32::MAX; 2], "{initializer:?}");
            }
        }
    }

    #[test]
    fn orthogonal_rows_or_columns() {
        let shapes = [(1, 1), (1, 9), (9, 1), (20, 20), (20, 33), (33, 20), (64, 64), (300, 100), (100, 300)];
        for ((fan_in, fan_out), gain) in shapes.into_iter().flat_map(|shape| [1.0, 2.0, 0.5, -3.0].map(|gain| (shape, gain))) {
            let q = filled(Initializer::Orthogonal { gain }, Fans { fan_in, fan_out }, 8, 9);
            // Gram matrix of the shorter side: gain squared times the identity.
            let at = |i: usize, k: usize| f64::from(if fan_in < fan_out { q[i * fan_out + k] } else { q[k * fan_out + i] });
            let (count, length) = (fan_in.min(fan_out), fan_in.max(fan_out));
            let square = f64::from(gain * gain);
            for i in 0..count {
                for j in 0..=i {
                    let product: f64 = (0..length).map(|k| at(i, k) * at(j, k)).sum();
                    let expected = if i == j { square } else { 0.0 };
                    assert!((product - expected).abs() < 5e-7 * square, "{fan_in} x {fan_out}, {gain}, {i} . {j}: {product}");
                }
            }
        }
        // No sign is preferred: the first element of a 2 x 2 matrix is positive in half of the streams.
        let positive =
            |stream: &u64| filled(Initializer::Orthogonal { gain: 1.0 }, Fans { fan_in: 2, fan_out: 2 }, 0, *stream)[0] > 0.0;
        let positives = (0..400).filter(positive).count();
        assert!((150..=250).contains(&positives), "{positives} of 400");
    }

    #[test]
    fn empty_matrices_and_fans() {
        for initializer in [Initializer::HeNormal, Initializer::GlorotUniform, Initializer::Orthogonal { gain: 1.0 }] {
            filled(initializer, Fans { fan_in: 0, fan_out: 5 }, 0, 0);
            filled(initializer, Fans { fan_in: 5, fan_out: 0 }, 0, 0);
        }
        // A fan below 1 counts as 1.
        let mut data = [f32::NAN; 100];
        Initializer::LeCunUniform.fill(MatMut::new(&mut data, 1, 100, 100), Fans { fan_in: 0, fan_out: 0 }, 0, 0).unwrap();
        let largest = largest(&data);
        assert!(largest <= 3.0_f64.sqrt() && largest > 1.5, "{largest}");
    }

    #[test]
    fn senseless_parameters_are_refused_and_nothing_is_written() {
        let refused = |initializer: Initializer| {
            let mut data = [7.0; 4];
            let error = initializer.fill(MatMut::new(&mut data, 2, 2, 2), HIDDEN, 0, 0).unwrap_err();
            assert_eq!(data, [7.0; 4]);
            error.to_string()
        };
        assert_eq!(refused(Initializer::Constant(f32::INFINITY)), "value of an initializer: a finite number expected, found inf");
        assert_eq!(
            refused(Initializer::Uniform { low: 1.0, high: 0.5 }),
            "range of an initializer: low <= high expected, found 1 and 0.5"
        );
        assert_eq!(
            refused(Initializer::TruncatedNormal { mean: 0.0, standard_deviation: -1.0 }),
            "standard deviation of an initializer: a number not below 0 expected, found -1"
        );
        refused(Initializer::Uniform { low: f32::NAN, high: 0.5 });
        refused(Initializer::Uniform { low: 0.0, high: f32::INFINITY });
        refused(Initializer::Normal { mean: f32::NAN, standard_deviation: 1.0 });
        refused(Initializer::Normal { mean: 0.0, standard_deviation: f32::NAN });
        refused(Initializer::Orthogonal { gain: f32::NAN });
    }
}
