//! [`Space`]: which candidates there are, and how they are drawn.

use super::candidate::{Candidate, Value};
use super::error::SearchError;
use crate::data::random::{Purpose, Random};
use std::ops::RangeInclusive;

/// The largest number of candidates of a grid.
pub const MAX_GRID: usize = 1 << 20;

/// Named parameters, each with its distribution.
///
/// | parameter | value `x` | probability | in a grid |
/// |---|---|---|---|
/// | [`integer`](Self::integer) | `low`, ..., `high` | the same for each | yes |
/// | [`log_integer`](Self::log_integer) | `low`, ..., `high`, at least 1 | `ln((x + 1) / x) / ln((high + 1) / low)` | yes |
/// | [`uniform`](Self::uniform) | real, from `low` to `high` | density `1 / (high - low)` | no |
/// | [`log_uniform`](Self::log_uniform) | real, from `low` above 0 to `high` | density `1 / (x ln(high / low))` | no |
/// | [`choice`](Self::choice) | any of a list | the same for each | yes |
///
/// The logarithmic ones give each order of magnitude the same share, which fits whatever acts as a factor: a learning rate, a number of
/// units.
///
/// ```
/// use selvedge::model::search::Space;
///
/// let space = Space::new()
///     .integer("n_hidden", 1..=3)
///     .log_integer("n_neurons", 4..=100)
///     .log_uniform("learning_rate", 3e-4, 3e-2)
///     .choice("activation", ["relu", "selu"]);
/// let candidates = space.random(20, 42)?;
/// assert_eq!(candidates[17], space.sample(42, 17)?);
///
/// let grid = Space::new().integer("n_hidden", 1..=2).choice("n_neurons", [30, 100]).grid()?;
/// let lines: Vec<String> = grid.iter().map(ToString::to_string).collect();
/// assert_eq!(lines, ["n_hidden=1 n_neurons=30", "n_hidden=1 n_neurons=100", "n_hidden=2 n_neurons=30", "n_hidden=2 n_neurons=100"]);
/// # Ok::<(), selvedge::model::search::SearchError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    parameters: Vec<(String, Distribution)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Distribution {
    Integer { low: i64, high: i64 },
    LogInteger { low: i64, high: i64 },
    Uniform { low: f64, high: f64 },
    LogUniform { low: f64, high: f64 },
    Choice(Vec<Value>),
}

impl Space {
    /// Without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// An integer, each of the range equally likely.
    pub fn integer(self, name: &str, range: RangeInclusive<i64>) -> Self {
        self.with(name, Distribution::Integer { low: *range.start(), high: *range.end() })
    }

    /// An integer of at least 1, each order of magnitude equally likely: the whole part of a number whose logarithm is uniform between those of
    /// `low` and `high + 1`.
    pub fn log_integer(self, name: &str, range: RangeInclusive<i64>) -> Self {
        self.with(name, Distribution::LogInteger { low: *range.start(), high: *range.end() })
    }

    /// A real number, all equally likely.
    pub fn uniform(self, name: &str, low: f64, high: f64) -> Self {
        self.with(name, Distribution::Uniform { low, high })
    }

    /// A real number above 0 whose logarithm is uniform, so that each order of magnitude is equally likely.
    pub fn log_uniform(self, name: &str, low: f64, high: f64) -> Self {
        self.with(name, Distribution::LogUniform { low, high })
    }

    /// One of a list, all equally likely.
    pub fn choice(self, name: &str, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.with(name, Distribution::Choice(values.into_iter().map(Into::into).collect()))
    }

    fn with(mut self, name: &str, distribution: Distribution) -> Self {
        self.parameters.push((name.to_owned(), distribution));
        self
    }

    /// All candidates, in the order of counting: the last parameter changes with every candidate, the first one most rarely.
    ///
    /// # Errors
    /// [`SearchError::Space`] if a parameter makes no sense or has no end of values, or there are more than [`MAX_GRID`] candidates.
    pub fn grid(&self) -> Result<Vec<Candidate>, SearchError> {
        self.check()?;
        let mut grid = vec![Candidate::new()];
        for (name, distribution) in &self.parameters {
            let values: Vec<Value> = match distribution {
                Distribution::Integer { low, high } | Distribution::LogInteger { low, high } => {
                    if high.abs_diff(*low) >= MAX_GRID as u64 {
                        return Err(error(name, "a grid of at most 1048576 candidates", format!("{low} to {high}")));
                    }
                    (*low..=*high).map(Value::Integer).collect()
                }
                Distribution::Choice(values) => values.clone(),
                Distribution::Uniform { low, high } | Distribution::LogUniform { low, high } => {
                    return Err(error(name, "a list of values for a grid", format!("all real numbers from {low:?} to {high:?}")));
                }
            };
            let len = grid.len() as u64 * values.len() as u64;
            if len > MAX_GRID as u64 {
                return Err(error(name, "a grid of at most 1048576 candidates", format!("{len}")));
            }
            let with_value =
                |candidate: &Candidate| values.iter().map(|value| candidate.clone().with(name, value.clone())).collect();
            grid = grid.iter().flat_map::<Vec<_>, _>(with_value).collect();
        }
        Ok(grid)
    }

    /// The candidates of a randomized search: [`Space::sample`] for the trials from 0 on. Candidates may repeat.
    ///
    /// # Errors
    /// [`SearchError::Space`] if a parameter makes no sense.
    pub fn random(&self, trials: usize, seed: u64) -> Result<Vec<Candidate>, SearchError> {
        self.check()?;
        Ok((0..trials).map(|trial| self.draw(seed, trial)).collect())
    }

    /// The candidate of a trial. It depends on the space, the seed and the number of the trial only: it is the same on every machine, however
    /// many trials there are and whichever ran before.
    ///
    /// # Errors
    /// [`SearchError::Space`] if a parameter makes no sense.
    pub fn sample(&self, seed: u64, trial: usize) -> Result<Candidate, SearchError> {
        self.check()?;
        Ok(self.draw(seed, trial))
    }

    fn draw(&self, seed: u64, trial: usize) -> Candidate {
        let mut random = Random::new(Purpose::Trial, seed, trial as u64);
        self.parameters
            .iter()
            .fold(Candidate::new(), |candidate, (name, distribution)| candidate.with(name, distribution.draw(&mut random)))
    }

    fn check(&self) -> Result<(), SearchError> {
        for (i, (name, distribution)) in self.parameters.iter().enumerate() {
            if self.parameters[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(error(name, "a name of its own", "two of this name".to_owned()));
            }
            distribution.check(name)?;
        }
        Ok(())
    }
}

impl Distribution {
    fn draw(&self, random: &mut Random) -> Value {
        match self {
            Self::Integer { low, high } => {
                let last = high.abs_diff(*low);
                let offset = if last == u64::MAX { random.bits() } else { random.below(last + 1) };
                Value::Integer(low.wrapping_add(offset as i64))
            }
            // `as` cuts the fraction and holds to the range of `i64`.
            Self::LogInteger { low, high } => {
                let x = log_uniform(*low as f64, *high as f64 + 1.0, random);
                Value::Integer((x as i64).clamp(*low, *high))
            }
            Self::Uniform { low, high } => Value::Real((low + (high - low) * random.fine_unit()).clamp(*low, *high)),
            Self::LogUniform { low, high } => Value::Real(log_uniform(*low, *high, random)),
            Self::Choice(values) => values[random.below(values.len() as u64) as usize].clone(),
        }
    }

    fn check(&self, name: &str) -> Result<(), SearchError> {
        match self {
            Self::LogInteger { low, high } if *low < 1 => Err(error(name, "integers of at least 1", format!("{low} to {high}"))),
            Self::Integer { low, high } | Self::LogInteger { low, high } if low > high => {
                Err(error(name, "a range with at least 1 value", format!("{low} to {high}")))
            }
            // Written so that NaN is refused; the difference of two finite numbers may be infinite.
            Self::Uniform { low, high } if !(low < high && (high - low).is_finite()) => {
                Err(error(name, "a finite range from a smaller to a larger number", format!("{low:?} to {high:?}")))
            }
            Self::LogUniform { low, high } if !(*low > 0.0 && low < high && high.is_finite()) => {
                Err(error(name, "a finite range from a smaller to a larger number above 0", format!("{low:?} to {high:?}")))
            }
            Self::Choice(values) if values.is_empty() => Err(error(name, "at least 1 value", "none".to_owned())),
            Self::Choice(values) => match values.iter().find(|value| matches!(value, Value::Real(x) if !x.is_finite())) {
                Some(value) => Err(error(name, "finite numbers", value.to_string())),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// A number whose logarithm is uniform. Logarithm and exponential are plain arithmetic of the `libm` crate, the same on every machine.
fn log_uniform(low: f64, high: f64, random: &mut Random) -> f64 {
    let (from, to) = (libm::log(low), libm::log(high));
    libm::exp(from + (to - from) * random.fine_unit()).clamp(low, high)
}

fn error(parameter: &str, expected: &'static str, found: String) -> SearchError {
    SearchError::Space { parameter: parameter.to_owned(), expected, found }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DRAWS: usize = 20_000;

    fn reals(space: &Space) -> Vec<f64> {
        space.random(DRAWS, 3).unwrap().iter().map(|candidate| candidate.real("x").unwrap()).collect()
    }

    fn integers(space: &Space) -> Vec<i64> {
        space.random(DRAWS, 3).unwrap().iter().map(|candidate| candidate.integer("x").unwrap()).collect()
    }

    fn check_moments(values: &[f64], mean: f64, variance: f64) {
        let n = values.len() as f64;
        let found = values.iter().sum::<f64>() / n;
        // Five standard deviations of the mean.
        assert!((found - mean).abs() < 5.0 * (variance / n).sqrt(), "mean {found} instead of {mean}");
        let found = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        assert!((found / variance - 1.0).abs() < 0.05, "variance {found} instead of {variance}");
    }

    #[test]
    fn uniform_numbers() {
        let values = reals(&Space::new().uniform("x", -1.0, 3.0));
        check_moments(&values, 1.0, 16.0 / 12.0);
        assert!(values.iter().all(|x| (-1.0..=3.0).contains(x)));
    }

    #[test]
    fn log_uniform_numbers() {
        let values = reals(&Space::new().log_uniform("x", 3e-4, 3e-2));
        assert!(values.iter().all(|x| (3e-4..=3e-2).contains(x)));
        let logarithms: Vec<f64> = values.iter().map(|x| x.ln()).collect();
        check_moments(&logarithms, 3e-3_f64.ln(), 100_f64.ln().powi(2) / 12.0);
    }

    #[test]
    fn integers_are_equally_likely() {
        let values = integers(&Space::new().integer("x", -2..=2));
        for n in -2..=2 {
            let count = values.iter().filter(|&&value| value == n).count();
            assert!(count.abs_diff(DRAWS / 5) < 290, "{n}: {count}");
        }
        assert!(values.iter().all(|n| (-2..=2).contains(n)));
        let values = integers(&Space::new().integer("x", i64::MIN..=i64::MAX));
        assert!(values.iter().filter(|&&n| n < 0).count().abs_diff(DRAWS / 2) < 360);
        assert_eq!(integers(&Space::new().integer("x", 7..=7))[..3], [7, 7, 7]);
    }

    #[test]
    fn orders_of_magnitude_of_integers_are_equally_likely() {
        let values = integers(&Space::new().log_integer("x", 1..=7));
        for n in 1..=7 {
            let share = ((n as f64 + 1.0) / n as f64).ln() / 8_f64.ln();
            let count = values.iter().filter(|&&value| value == n).count() as f64;
            let deviation = (DRAWS as f64 * share * (1.0 - share)).sqrt();
            assert!((count - DRAWS as f64 * share).abs() < 5.0 * deviation, "{n}: {count}");
        }
        assert!(values.iter().all(|n| (1..=7).contains(n)));
        assert!(integers(&Space::new().log_integer("x", 1..=i64::MAX)).iter().all(|&n| n >= 1));
    }

    #[test]
    fn choices_are_equally_likely() {
        let candidates = Space::new().choice("x", ["a", "b", "c"]).random(DRAWS, 1).unwrap();
        for text in ["a", "b", "c"] {
            let count = candidates.iter().filter(|candidate| candidate.text("x").unwrap() == text).count();
            assert!(count.abs_diff(DRAWS / 3) < 340, "{text}: {count}");
        }
    }

    /// Numbers that must never change: machines of different builds share searches.
    #[test]
    fn a_trial_depends_on_seed_and_number_only() {
        let space = Space::new().integer("n", 1..=100).log_uniform("rate", 1e-4, 1e-1).choice("c", ["a", "b", "c"]);
        let expected = "n=51 rate=0.01885433829549256 c=b";
        assert_eq!(space.sample(42, 17).unwrap().to_string(), expected);
        for trials in [18, 30] {
            assert_eq!(space.random(trials, 42).unwrap()[17].to_string(), expected);
        }
        assert_ne!(space.sample(43, 17).unwrap(), space.sample(42, 17).unwrap());
        assert_ne!(space.sample(42, 16).unwrap(), space.sample(42, 17).unwrap());
    }

    #[test]
    fn a_grid_counts() {
        let grid = Space::new().integer("a", 1..=2).choice("b", [0.5, 0.25, 1.0]).log_integer("c", 5..=6).grid().unwrap();
        let values: Vec<(i64, f64, i64)> =
            grid.iter().map(|c| (c.integer("a").unwrap(), c.real("b").unwrap(), c.integer("c").unwrap())).collect();
        let expected = [1, 2].into_iter().flat_map(|a| [0.5, 0.25, 1.0].map(|b| [5, 6].map(|c| (a, b, c)))).flatten();
        assert_eq!(values, expected.collect::<Vec<_>>());
        assert_eq!(Space::new().grid().unwrap(), [Candidate::new()], "one candidate without parameters");
    }

    #[test]
    fn spaces_without_sense_are_refused() {
        let message = |space: Space| space.sample(0, 0).unwrap_err().to_string();
        let new = Space::new;
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        let empty = new().integer("n", 3..=1);
        assert_eq!(message(empty), "parameter `n`: a range with at least 1 value expected, found 3 to 1");
        assert_eq!(message(new().log_integer("n", 0..=3)), "parameter `n`: integers of at least 1 expected, found 0 to 3");
        let range = "parameter `x`: a finite range from a smaller to a larger number";
        assert_eq!(message(new().uniform("x", 1.0, 1.0)), format!("{range} expected, found 1.0 to 1.0"));
        assert_eq!(message(new().uniform("x", f64::NAN, 1.0)), format!("{range} expected, found NaN to 1.0"));
        assert_eq!(message(new().uniform("x", -1e308, 1e308)), format!("{range} expected, found -1e308 to 1e308"));
        assert_eq!(message(new().log_uniform("x", 0.0, 1.0)), format!("{range} above 0 expected, found 0.0 to 1.0"));
        assert_eq!(message(new().choice("c", [""; 0])), "parameter `c`: at least 1 value expected, found none");
        assert_eq!(message(new().choice("c", [1.0, f64::NAN])), "parameter `c`: finite numbers expected, found NaN");
        let twice = new().integer("n", 1..=2).choice("n", ["a"]);
        assert_eq!(message(twice), "parameter `n`: a name of its own expected, found two of this name");
        let message = |space: Space| space.grid().unwrap_err().to_string();
        let real = "parameter `x`: a list of values for a grid expected, found all real numbers from 0.0 to 1.0";
        assert_eq!(message(new().uniform("x", 0.0, 1.0)), real);
        let large = "parameter `n`: a grid of at most 1048576 candidates expected, found";
        assert_eq!(message(new().integer("n", 1..=1 << 40)), format!("{large} 1 to 1099511627776"));
        assert_eq!(message(new().integer("m", 1..=1 << 15).integer("n", 1..=1 << 15)), format!("{large} 1073741824"));
    }
}
