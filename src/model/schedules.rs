//! How does the learning rate change while training? Schedules: plain values that turn a step number into a learning rate.
//!
//! A step is one update of the weights, that is one batch, counted from 0: the first update uses `learning_rate(0)`. A schedule holds no
//! state, so a run that was interrupted goes on where it stopped.
//!
//! | schedule | learning rate at step t |
//! |---|---|
//! | [`PowerDecay`] | lr0 / (1 + t / s)^c |
//! | [`ExponentialDecay`] | lr0 * rate^(t / s), or rate^floor(t / s) as a staircase |
//! | [`InverseTimeDecay`] | lr0 / (1 + rate * t / s), or with floor(t / s) as a staircase |
//! | [`PiecewiseConstantDecay`] | values\[i\] for the first i with t <= boundaries\[i\], else the last value |
//! | [`PolynomialDecay`] | (lr0 - end) * (1 - min(t, s) / s)^power + end |
//! | [`CosineDecay`] | half a cosine wave from lr0 down, after a linear warm-up if wanted |
//! | [`OneCycle`] | up, down, and far below the start; momentum the other way |
//!
//! Performance scheduling, which looks at the validation loss, is a callback: `ReduceLrOnPlateau`. A function of the epoch is one, too:
//! `LearningRateScheduler`. A closure `Fn(u64) -> f32` is a schedule as it stands.
//!
//! Exponential, inverse time, piecewise constant, polynomial and cosine decay follow Keras' classes of these names; power scheduling and
//! 1cycle are not in Keras. Everything is computed in `f64` with `libm`'s functions, the same on every platform, and rounded to `f32` once.
//! (Keras computes in `f32`, so the last digits may differ.)

use core::fmt;

/// A learning rate, and perhaps a momentum, for every step.
pub trait LearningRateSchedule {
    /// The learning rate of the update number `step`, counted from 0.
    fn learning_rate(&self, step: u64) -> f32;

    /// The momentum of that update, if the schedule says anything about it. By default it does not.
    fn momentum(&self, step: u64) -> Option<f32> {
        let _ = step;
        None
    }
}

impl<F: Fn(u64) -> f32> LearningRateSchedule for F {
    fn learning_rate(&self, step: u64) -> f32 {
        self(step)
    }
}

/// A parameter of a schedule that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A number of steps that must be at least 1 is 0.
    ZeroSteps {
        /// The parameter.
        parameter: &'static str,
    },
    /// A number is out of its range, infinite or NaN.
    OutOfRange {
        /// The parameter.
        parameter: &'static str,
        /// The range.
        expected: &'static str,
        /// The number.
        found: f64,
    },
    /// There must be one value more than boundaries.
    ValueCount {
        /// The number of values that fits the boundaries.
        expected: usize,
        /// The number of values that came.
        found: usize,
    },
    /// Boundaries must increase.
    NotIncreasing {
        /// The place of the boundary that is not above the one before it.
        index: usize,
        /// The boundary before it.
        previous: u64,
        /// The boundary.
        found: u64,
    },
    /// The last leg of a 1cycle is longer than the whole.
    LastLegTooLong {
        /// The number of all steps.
        total_steps: u64,
        /// The number of last steps.
        found: u64,
    },
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroSteps { parameter } => write!(f, "{parameter}: at least 1 step expected, found 0"),
            Self::OutOfRange { parameter, expected, found } => write!(f, "{parameter}: {expected} expected, found {found}"),
            Self::ValueCount { expected, found } => {
                write!(f, "one value more than boundaries: {expected} values expected, found {found}")
            }
            Self::NotIncreasing { index, previous, found } => {
                write!(f, "boundary {index}: more than the {previous} before it expected, found {found}")
            }
            Self::LastLegTooLong { total_steps, found } => {
                write!(f, "steps of the last leg: at most all {total_steps} steps expected, found {found}")
            }
        }
    }
}

impl core::error::Error for ScheduleError {}

fn check_steps(parameter: &'static str, steps: u64) -> Result<(), ScheduleError> {
    if steps > 0 { Ok(()) } else { Err(ScheduleError::ZeroSteps { parameter }) }
}

/// For learning rates, exponents and the like.
fn check_not_negative(parameter: &'static str, found: f64) -> Result<(), ScheduleError> {
    let expected = "a finite number not below 0";
    if found >= 0.0 && found.is_finite() { Ok(()) } else { Err(ScheduleError::OutOfRange { parameter, expected, found }) }
}

fn check_fraction(parameter: &'static str, found: f64) -> Result<(), ScheduleError> {
    let expected = "a number from 0 to 1";
    if (0.0..=1.0).contains(&found) { Ok(()) } else { Err(ScheduleError::OutOfRange { parameter, expected, found }) }
}

/// `step / steps`, rounded down for a staircase.
fn periods(step: u64, steps: u64, staircase: bool) -> f64 {
    if staircase { (step / steps) as f64 } else { step as f64 / steps as f64 }
}

/// Half a cosine wave from 1 (at 0) to 0 (at 1).
fn half_cosine(fraction: f64) -> f64 {
    0.5 * (1.0 + libm::cos(core::f64::consts::PI * fraction))
}

/// Power scheduling: `lr0 / (1 + t / s)^c`. With c = 1 the learning rate is lr0 / 2 after s steps, lr0 / 3 after 2 s, and so on: it
/// falls quickly first, then ever more slowly. The argument `decay=d` of optimizers in old versions of Keras was this, with s = 1 / d and c = 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerDecay {
    initial: f64,
    decay_steps: u64,
    exponent: f64,
}

impl PowerDecay {
    /// Starts at `initial_learning_rate` = lr0, with `decay_steps` = s and `exponent` = c.
    ///
    /// # Errors
    /// If `decay_steps` is 0 or another number is negative or not finite.
    pub fn new(initial_learning_rate: f64, decay_steps: u64, exponent: f64) -> Result<Self, ScheduleError> {
        check_not_negative("initial learning rate", initial_learning_rate)?;
        check_steps("decay steps", decay_steps)?;
        check_not_negative("exponent", exponent)?;
        Ok(Self { initial: initial_learning_rate, decay_steps, exponent })
    }
}

impl LearningRateSchedule for PowerDecay {
    fn learning_rate(&self, step: u64) -> f32 {
        (self.initial / libm::pow(1.0 + periods(step, self.decay_steps, false), self.exponent)) as f32
    }
}

/// What [`ExponentialDecay`] and [`InverseTimeDecay`] are made of: where they start, and what happens how often.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Decay {
    initial: f64,
    decay_steps: u64,
    rate: f64,
    staircase: bool,
}

impl Decay {
    fn new(initial: f64, decay_steps: u64, rate: f64) -> Result<Self, ScheduleError> {
        check_not_negative("initial learning rate", initial)?;
        check_steps("decay steps", decay_steps)?;
        check_not_negative("decay rate", rate)?;
        Ok(Self { initial, decay_steps, rate, staircase: false })
    }

    fn staircase(self) -> Self {
        Self { staircase: true, ..self }
    }

    fn periods(&self, step: u64) -> f64 {
        periods(step, self.decay_steps, self.staircase)
    }
}

/// Exponential scheduling: `lr0 * rate^(t / s)`: every s steps the learning rate is multiplied by the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExponentialDecay(Decay);

impl ExponentialDecay {
    /// Starts at `initial_learning_rate` and multiplies it by `rate` every `decay_steps` steps.
    ///
    /// # Errors
    /// If `decay_steps` is 0 or another number is negative or not finite.
    pub fn new(initial_learning_rate: f64, decay_steps: u64, rate: f64) -> Result<Self, ScheduleError> {
        Decay::new(initial_learning_rate, decay_steps, rate).map(Self)
    }

    /// Falls once every `decay_steps` steps instead of a little in each.
    pub fn staircase(self) -> Self {
        Self(self.0.staircase())
    }
}

impl LearningRateSchedule for ExponentialDecay {
    fn learning_rate(&self, step: u64) -> f32 {
        let Self(decay) = self;
        (decay.initial * libm::pow(decay.rate, decay.periods(step))) as f32
    }
}

/// Inverse time decay: `lr0 / (1 + rate * t / s)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InverseTimeDecay(Decay);

impl InverseTimeDecay {
    /// Starts at `initial_learning_rate`.
    ///
    /// # Errors
    /// If `decay_steps` is 0 or another number is negative or not finite.
    pub fn new(initial_learning_rate: f64, decay_steps: u64, rate: f64) -> Result<Self, ScheduleError> {
        Decay::new(initial_learning_rate, decay_steps, rate).map(Self)
    }

    /// Falls once every `decay_steps` steps instead of a little in each.
    pub fn staircase(self) -> Self {
        Self(self.0.staircase())
    }
}

impl LearningRateSchedule for InverseTimeDecay {
    fn learning_rate(&self, step: u64) -> f32 {
        let Self(decay) = self;
        (decay.initial / (1.0 + decay.rate * decay.periods(step))) as f32
    }
}

/// Piecewise constant scheduling: one learning rate up to and **including** the first boundary, the next up to and including the
/// second, and the last one after the last boundary.
#[derive(Clone, Debug, PartialEq)]
pub struct PiecewiseConstantDecay {
    boundaries: Vec<u64>,
    values: Vec<f32>,
}

impl PiecewiseConstantDecay {
    /// `values` has one element more than `boundaries`, which are step numbers.
    ///
    /// # Errors
    /// If the lengths do not fit, the boundaries do not increase, or a value is negative or not finite.
    pub fn new(boundaries: &[u64], values: &[f32]) -> Result<Self, ScheduleError> {
        if values.len() != boundaries.len() + 1 {
            return Err(ScheduleError::ValueCount { expected: boundaries.len() + 1, found: values.len() });
        }
        for (i, pair) in boundaries.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                return Err(ScheduleError::NotIncreasing { index: i + 1, previous: pair[0], found: pair[1] });
            }
        }
        for &value in values {
            check_not_negative("learning rate", f64::from(value))?;
        }
        Ok(Self { boundaries: boundaries.to_vec(), values: values.to_vec() })
    }
}

impl LearningRateSchedule for PiecewiseConstantDecay {
    fn learning_rate(&self, step: u64) -> f32 {
        self.values[self.boundaries.partition_point(|boundary| *boundary < step)]
    }
}

/// Polynomial decay: `(lr0 - end) * (1 - t / s)^power + end` up to step s, then `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolynomialDecay {
    initial: f64,
    decay_steps: u64,
    end: f64,
    power: f64,
    cycle: bool,
}

impl PolynomialDecay {
    /// From `initial_learning_rate` straight down (power 1) to 0.0001 in `decay_steps` steps.
    ///
    /// # Errors
    /// If `decay_steps` is 0 or the learning rate is negative or not finite.
    pub fn new(initial_learning_rate: f64, decay_steps: u64) -> Result<Self, ScheduleError> {
        check_not_negative("initial learning rate", initial_learning_rate)?;
        check_steps("decay steps", decay_steps)?;
        Ok(Self { initial: initial_learning_rate, decay_steps, end: 1e-4, power: 1.0, cycle: false })
    }

    /// Where it ends, instead of at 0.0001.
    ///
    /// # Errors
    /// If it is negative or not finite.
    pub fn end_learning_rate(self, end: f64) -> Result<Self, ScheduleError> {
        check_not_negative("end learning rate", end)?;
        Ok(Self { end, ..self })
    }

    /// The power, instead of 1.
    ///
    /// # Errors
    /// If it is negative or not finite.
    pub fn power(self, power: f64) -> Result<Self, ScheduleError> {
        check_not_negative("power", power)?;
        Ok(Self { power, ..self })
    }

    /// After the end it starts anew: s is then the first multiple of `decay_steps` that t does not exceed, so that the learning
    /// rate jumps up, each time less high, and falls to `end` again.
    pub fn cycle(self) -> Self {
        Self { cycle: true, ..self }
    }
}

impl LearningRateSchedule for PolynomialDecay {
    fn learning_rate(&self, step: u64) -> f32 {
        let periods = periods(step, self.decay_steps, false);
        let done = if self.cycle { periods / libm::ceil(periods).max(1.0) } else { periods.min(1.0) };
        ((self.initial - self.end) * libm::pow(1.0 - done, self.power) + self.end) as f32
    }
}

/// Cosine decay: `lr0 * ((1 - alpha) * (1 + cos(pi t / s)) / 2 + alpha)` up to step s, then `lr0 * alpha`.
///
/// With a warm-up of w steps the learning rate first goes straight from lr0 to the target; the wave starts from the target, and its
/// t is counted from the end of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineDecay {
    initial: f64,
    decay_steps: u64,
    alpha: f64,
    peak: f64,
    warmup_steps: u64,
}

impl CosineDecay {
    /// From `initial_learning_rate` to 0 in `decay_steps` steps, without a warm-up.
    ///
    /// # Errors
    /// If `decay_steps` is 0 or the learning rate is negative or not finite.
    pub fn new(initial_learning_rate: f64, decay_steps: u64) -> Result<Self, ScheduleError> {
        check_not_negative("initial learning rate", initial_learning_rate)?;
        check_steps("decay steps", decay_steps)?;
        Ok(Self { initial: initial_learning_rate, decay_steps, alpha: 0.0, peak: initial_learning_rate, warmup_steps: 0 })
    }

    /// The share of the highest learning rate that remains at the end, instead of 0.
    ///
    /// # Errors
    /// If it is not from 0 to 1.
    pub fn alpha(self, alpha: f64) -> Result<Self, ScheduleError> {
        check_fraction("alpha", alpha)?;
        Ok(Self { alpha, ..self })
    }

    /// Starts with `steps` steps from the initial learning rate up to `target`; the decay follows and takes its `decay_steps` in addition.
    ///
    /// # Errors
    /// If the target is negative or not finite.
    pub fn warmup(self, target: f64, steps: u64) -> Result<Self, ScheduleError> {
        check_not_negative("target of the warm-up", target)?;
        Ok(Self { peak: target, warmup_steps: steps, ..self })
    }
}

impl LearningRateSchedule for CosineDecay {
    fn learning_rate(&self, step: u64) -> f32 {
        let rate = match step.checked_sub(self.warmup_steps) {
            None => (self.peak - self.initial) * (step as f64 / self.warmup_steps as f64) + self.initial,
            Some(step) => {
                let done = periods(step, self.decay_steps, false).min(1.0);
                self.peak * ((1.0 - self.alpha) * half_cosine(done) + self.alpha)
            }
        };
        rate as f32
    }
}

/// 1cycle scheduling (Smith 2018): the learning rate grows to its maximum, shrinks again, and ends several orders of magnitude lower; the momentum
/// does the opposite, since a large learning rate with a large momentum diverges. It changes with every batch, and the number of all batches
/// (epochs times batches per epoch) must be known. After the last step it stays where it is.
///
/// ```text
/// three legs                          cosine
///       /\        <- max                   _
///      /  \                               / \
///     /    \      <- start               /   `.
///           `--.  <- last               '      `-.__
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    total_steps: u64,
    max: f64,
    start: f64,
    last: f64,
    high_momentum: f64,
    low_momentum: f64,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    ThreeLegs { last_steps: u64 },
    Cosine { rise: f64 },
}

/// A corner of the curve: where it is, and what holds there.
struct Corner {
    step: f64,
    learning_rate: f64,
    momentum: f64,
}

impl OneCycle {
    /// The version of Aurélien Géron's book. Of n steps the last l = n / 10 + 1 (rounded down) form the third leg; with half = (n - l) / 2 (rounded down):
    ///
    /// | leg | steps | learning rate | momentum |
    /// |---|---|---|---|
    /// | 1 | 0 to half | max / 10 to max | 0.95 to 0.85 |
    /// | 2 | half to 2 half | max to max / 10 | 0.85 to 0.95 |
    /// | 3 | 2 half to n | max / 10 to max / 10000 | 0.95 |
    ///
    /// All legs are straight lines.
    ///
    /// # Errors
    /// If `total_steps` is 0 or the learning rate is negative or not finite.
    pub fn three_legs(max_learning_rate: f64, total_steps: u64) -> Result<Self, ScheduleError> {
        check_not_negative("highest learning rate", max_learning_rate)?;
        check_steps("total steps", total_steps)?;
        let start = max_learning_rate / 10.0;
        Ok(Self {
            total_steps,
            max: max_learning_rate,
            start,
            last: start / 1000.0,
            high_momentum: 0.95,
            low_momentum: 0.85,
            shape: Shape::ThreeLegs { last_steps: total_steps / 10 + 1 },
        })
    }

    /// The version of PyTorch's `OneCycleLR`: half a cosine wave from max / 25 up to max, which it reaches at step 0.3 n - 1, and another down to
    /// max / 250000 at step n - 1. Momentum goes from 0.95 to 0.85 and back in the same way.
    ///
    /// # Errors
    /// If `total_steps` is 0 or the learning rate is negative or not finite.
    pub fn cosine(max_learning_rate: f64, total_steps: u64) -> Result<Self, ScheduleError> {
        check_not_negative("highest learning rate", max_learning_rate)?;
        check_steps("total steps", total_steps)?;
        let start = max_learning_rate / 25.0;
        Ok(Self {
            total_steps,
            max: max_learning_rate,
            start,
            last: start / 1e4,
            high_momentum: 0.95,
            low_momentum: 0.85,
            shape: Shape::Cosine { rise: 0.3 },
        })
    }

    /// Other learning rates at the start and at the very end.
    ///
    /// # Errors
    /// If one is negative or not finite.
    pub fn ends(self, start: f64, last: f64) -> Result<Self, ScheduleError> {
        check_not_negative("start learning rate", start)?;
        check_not_negative("last learning rate", last)?;
        Ok(Self { start, last, ..self })
    }

    /// Other momenta than 0.95 (while the learning rate is low) and 0.85 (while it is high).
    ///
    /// # Errors
    /// If one is not from 0 to 1.
    pub fn momenta(self, high: f64, low: f64) -> Result<Self, ScheduleError> {
        check_fraction("high momentum", high)?;
        check_fraction("low momentum", low)?;
        Ok(Self { high_momentum: high, low_momentum: low, ..self })
    }

    /// Three straight legs, the last of them `steps` long (one more if the rest is odd).
    ///
    /// # Errors
    /// If that is more than all steps.
    pub fn last_steps(self, steps: u64) -> Result<Self, ScheduleError> {
        if steps > self.total_steps {
            return Err(ScheduleError::LastLegTooLong { total_steps: self.total_steps, found: steps });
        }
        // A last leg of no length would have no end to reach.
        check_steps("steps of the last leg", steps)?;
        Ok(Self { shape: Shape::ThreeLegs { last_steps: steps }, ..self })
    }

    /// Cosine waves, with another share of steps than 0.3 for the rise.
    ///
    /// # Errors
    /// If it is not between 0 and 1, both excluded.
    pub fn rise(self, share: f64) -> Result<Self, ScheduleError> {
        if share > 0.0 && share < 1.0 {
            Ok(Self { shape: Shape::Cosine { rise: share }, ..self })
        } else {
            let expected = "a number between 0 and 1, both excluded";
            Err(ScheduleError::OutOfRange { parameter: "share of the rise", expected, found: share })
        }
    }

    /// Learning rate and momentum at a step.
    fn at(&self, step: u64) -> (f64, f64) {
        let low = |step, learning_rate| Corner { step, learning_rate, momentum: self.high_momentum };
        let high = |step| Corner { step, learning_rate: self.max, momentum: self.low_momentum };
        let step = step as f64;
        match self.shape {
            Shape::ThreeLegs { last_steps } => {
                let half = (self.total_steps - last_steps) / 2;
                let (first, second) = (half as f64, 2.0 * half as f64);
                let corners = [low(0.0, self.start), high(first), low(second, self.start), low(self.total_steps as f64, self.last)];
                along(&corners, step, |fraction| fraction)
            }
            Shape::Cosine { rise } => {
                let (n, end) = (self.total_steps as f64, self.total_steps as f64 - 1.0);
                along(&[low(0.0, self.start), high(rise * n - 1.0), low(end, self.last)], step, |fraction| {
                    1.0 - half_cosine(fraction)
                })
            }
        }
    }
}

/// Follows the corners to `step`; `ease` bends the way from one corner (0) to the next (1). Corners without steps between them are passed over.
fn along(corners: &[Corner], step: f64, ease: impl Fn(f64) -> f64) -> (f64, f64) {
    let last_leg = corners.len() - 2;
    let leg = (0..last_leg).find(|i| step < corners[i + 1].step).unwrap_or(last_leg);
    let (from, to) = (&corners[leg], &corners[leg + 1]);
    // Should rounding leave the last leg without length, `min` turns the NaN into the end of it.
    let way = ease(((step - from.step) / (to.step - from.step)).min(1.0));
    let between = |from: f64, to: f64| from + (to - from) * way;
    (between(from.learning_rate, to.learning_rate), between(from.momentum, to.momentum))
}

impl LearningRateSchedule for OneCycle {
    fn learning_rate(&self, step: u64) -> f32 {
        self.at(step).0 as f32
    }

    fn momentum(&self, step: u64) -> Option<f32> {
        Some(self.at(step).1 as f32)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[track_caller]
    fn close(found: f32, expected: f64) {
        assert!((f64::from(found) - expected).abs() <= 1e-7 * expected.abs(), "{expected} expected, found {found}");
    }

    #[track_caller]
    fn follows(schedule: &dyn LearningRateSchedule, expected: &[(u64, f64)]) {
        for &(step, rate) in expected {
            close(schedule.learning_rate(step), rate);
        }
    }

    #[test]
    fn power() {
        follows(&PowerDecay::new(0.1, 1000, 1.0).unwrap(), &[(0, 0.1), (1000, 0.05), (2000, 0.1 / 3.0)]);
        follows(&PowerDecay::new(0.1, 1000, 0.5).unwrap(), &[(0, 0.1), (3000, 0.05)]);
    }

    #[test]
    fn exponential() {
        let decay = ExponentialDecay::new(0.01, 20, 0.1).unwrap();
        follows(&decay, &[(0, 0.01), (10, 0.003_162_277_660_168_379_4), (20, 0.001), (30, 0.000_316_227_766_016_838)]);
        follows(&ExponentialDecay::new(0.05, 10, 0.96).unwrap(), &[(5, 0.048_989_794_855_663_56)]);
        let staircase = ExponentialDecay::new(0.1, 3, 0.96).unwrap().staircase();
        follows(&staircase, &[(1, 0.1), (2, 0.1), (3, 0.096), (5, 0.096), (100, 0.025_998_643_584_136_14)]);
    }

    #[test]
    fn inverse_time() {
        follows(&InverseTimeDecay::new(0.1, 1, 0.5).unwrap(), &[(0, 0.1), (1, 0.2 / 3.0), (3, 0.04)]);
        follows(&InverseTimeDecay::new(0.1, 10, 0.96).unwrap(), &[(5, 0.067_567_567_567_567_57)]);
        follows(&InverseTimeDecay::new(0.1, 3, 0.5).unwrap().staircase(), &[(2, 0.1), (100, 0.1 / 17.5)]);
    }

    #[test]
    fn boundaries_belong_to_the_piece_before_them() {
        let pieces = PiecewiseConstantDecay::new(&[100, 110, 120], &[1.0, 0.1, 0.01, 0.001]).unwrap();
        let expected =
            [(0, 1.0), (100, 1.0), (101, 0.1), (105, 0.1), (110, 0.1), (111, 0.01), (120, 0.01), (121, 0.001), (999, 0.001)];
        follows(&pieces, &expected);
        follows(&PiecewiseConstantDecay::new(&[], &[0.5]).unwrap(), &[(0, 0.5), (u64::MAX, 0.5)]);
    }

    #[test]
    fn polynomial() {
        let linear = PolynomialDecay::new(0.05, 10).unwrap();
        follows(&linear, &[(0, 0.05), (5, 0.025_05), (10, 1e-4), (15, 1e-4)]);
        follows(&linear.end_learning_rate(0.0).unwrap(), &[(5, 0.025), (10, 0.0)]);
        let to_a_thousandth = linear.end_learning_rate(0.001).unwrap();
        follows(&to_a_thousandth, &[(5, 0.0255), (10, 0.001), (15, 0.001)]);
        // In the cycle the end is reached at 10, and 15 is three quarters of the way to 20.
        follows(&to_a_thousandth.cycle(), &[(0, 0.05), (10, 0.001), (11, 0.45 * 0.049 + 0.001), (15, 0.013_25), (20, 0.001)]);
        let root = to_a_thousandth.power(0.5).unwrap();
        follows(&root, &[(0, 0.05), (5, 0.035_648_232_278_140_83), (10, 0.001), (15, 0.001)]);
    }

    #[test]
    fn cosine() {
        let decay = CosineDecay::new(1.0, 1000).unwrap();
        follows(
            &decay,
            &[(0, 1.0), (250, 0.853_553_390_593_273_7), (500, 0.5), (750, 0.146_446_609_406_726_27), (1000, 0.0), (1250, 0.0)],
        );
        let remains = decay.alpha(0.1).unwrap();
        follows(&remains, &[(0, 1.0), (250, 0.868_198_051_533_946_4), (500, 0.55), (750, 0.231_801_948_466_053_65), (1250, 0.1)]);
        let warm = CosineDecay::new(0.0, 1000).unwrap().warmup(10.0, 2000).unwrap();
        let expected = [
            (0, 0.0),
            (250, 1.25),
            (1999, 9.995),
            (2000, 10.0),
            (2250, 8.535_533_905_932_737),
            (2500, 5.0),
            (3000, 0.0),
            (9000, 0.0),
        ];
        follows(&warm, &expected);
        follows(&CosineDecay::new(1.0, 10).unwrap().warmup(3.0, 4).unwrap(), &[(0, 1.0), (1, 1.5), (4, 3.0), (9, 1.5)]);
    }

    #[test]
    fn one_cycle_with_three_legs() {
        // n = 100: the last leg has 11 steps, the first two 44 each, one step is left over to the last.
        let cycle = OneCycle::three_legs(0.05, 100).unwrap();
        let expected = [
            (0, 0.005, 0.95),
            (1, 0.006_022_727_272_727_273, 0.947_727_272_727_272_6),
            (22, 0.0275, 0.9),
            (44, 0.05, 0.85),
            (45, 0.048_977_272_727_272_73, 0.852_272_727_272_727_3),
            (66, 0.0275, 0.9),
            (88, 0.005, 0.95),
            (89, 0.004_583_75, 0.95),
            (94, 0.002_502_5, 0.95),
            (99, 0.000_421_25, 0.95),
            (100, 0.000_005, 0.95),
            (1_000_000, 0.000_005, 0.95),
        ];
        for (step, rate, momentum) in expected {
            close(cycle.learning_rate(step), rate);
            close(cycle.momentum(step).unwrap(), momentum);
        }
        follows(&OneCycle::three_legs(0.05, 1).unwrap(), &[(0, 0.005), (1, 0.000_005)]);
        follows(&OneCycle::three_legs(0.05, 2).unwrap(), &[(0, 0.005), (1, 0.002_502_5)]);
        follows(&OneCycle::three_legs(0.05, 3).unwrap(), &[(0, 0.005), (1, 0.05), (2, 0.005)]);
        let other = cycle.ends(0.01, 0.0).unwrap().last_steps(20).unwrap().momenta(0.9, 0.5).unwrap();
        follows(&other, &[(0, 0.01), (40, 0.05), (80, 0.01), (90, 0.005), (100, 0.0)]);
        close(other.momentum(40).unwrap(), 0.5);
        close(other.momentum(90).unwrap(), 0.9);
    }

    /// The values of PyTorch's own test of `OneCycleLR` with cosine annealing: maximum 25, ends 1 and 0.5, momenta 22 and 1 (here a
    /// hundredth of them), 10 steps; then its defaults.
    #[test]
    fn one_cycle_as_in_pytorch() {
        let cycle = OneCycle::cosine(25.0, 10).unwrap().ends(1.0, 0.5).unwrap().momenta(0.22, 0.01).unwrap();
        let rates = [
            1.0,
            13.0,
            25.0,
            23.786_868_631_804_634,
            20.387_750_072_769_485,
            15.475_881_440_964_852,
            10.024_118_559_035_148,
            5.112_249_927_230_515,
            1.713_131_368_195_366_8,
            0.5,
            0.5,
        ];
        let momenta = [
            0.22,
            0.115,
            0.01,
            0.020_398_268_870_245_99,
            0.049_533_570_804_832_97,
            0.091_635_301_934_587,
            0.138_364_698_065_413,
            0.180_466_429_195_167_03,
            0.209_601_731_129_754,
            0.22,
            0.22,
        ];
        for (step, (rate, momentum)) in rates.into_iter().zip(momenta).enumerate() {
            close(cycle.learning_rate(step as u64), rate);
            close(cycle.momentum(step as u64).unwrap(), momentum);
        }
        let expected = [
            (100, 0, 0.004, 0.95),
            (100, 10, 0.029_516_394_846_410_08, 0.923_420_422_034_989_5),
            (100, 29, 0.1, 0.85),
            (100, 60, 0.058_928_009_028_552_88, 0.891_072_155_260_068_1),
            (100, 99, 4e-7, 0.95),
            (5, 1, 0.095_048_463_201_347_38, 0.854_951_556_604_879),
            (3, 0, 0.099_441_543_545_091_19, 0.850_558_458_688_743_6),
            (3, 2, 4e-7, 0.95),
            (1, 0, 4e-7, 0.95),
        ];
        for (steps, step, rate, momentum) in expected {
            let cycle = OneCycle::cosine(0.1, steps).unwrap();
            close(cycle.learning_rate(step), rate);
            close(cycle.momentum(step).unwrap(), momentum);
        }
        // The rise ends where the second wave begins, at step 0.5 * 2 - 1 = 0.
        follows(&OneCycle::cosine(0.1, 2).unwrap().rise(0.5).unwrap(), &[(0, 0.1), (1, 4e-7)]);
        assert!(OneCycle::cosine(0.1, 1).unwrap().rise(1.0 - f64::EPSILON / 2.0).unwrap().learning_rate(0).is_finite());
    }

    #[test]
    fn only_one_cycle_speaks_of_momentum_and_closures_are_schedules() {
        let halving = |step: u64| 1.0 / (1 << step) as f32;
        follows(&halving, &[(0, 1.0), (3, 0.125)]);
        assert_eq!(LearningRateSchedule::momentum(&halving, 0), None);
        assert_eq!(PowerDecay::new(0.1, 1000, 1.0).unwrap().momentum(5), None);
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let zero = ScheduleError::ZeroSteps { parameter: "decay steps" };
        assert_eq!(PowerDecay::new(0.1, 0, 1.0), Err(zero));
        assert_eq!(ExponentialDecay::new(0.1, 0, 0.9), Err(zero));
        assert_eq!(InverseTimeDecay::new(0.1, 0, 0.9), Err(zero));
        assert_eq!(PolynomialDecay::new(0.1, 0), Err(zero));
        assert_eq!(CosineDecay::new(0.1, 0), Err(zero));
        assert_eq!(OneCycle::three_legs(0.1, 0).unwrap_err().to_string(), "total steps: at least 1 step expected, found 0");
        assert!(OneCycle::cosine(0.1, 0).is_err());
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(PowerDecay::new(bad, 1, 1.0).is_err() && PowerDecay::new(0.1, 1, bad).is_err());
            assert!(ExponentialDecay::new(bad, 1, 1.0).is_err() && ExponentialDecay::new(0.1, 1, bad).is_err());
            assert!(InverseTimeDecay::new(bad, 1, 1.0).is_err() && InverseTimeDecay::new(0.1, 1, bad).is_err());
            let polynomial = PolynomialDecay::new(0.1, 1).unwrap();
            assert!(
                PolynomialDecay::new(bad, 1).is_err()
                    && polynomial.end_learning_rate(bad).is_err()
                    && polynomial.power(bad).is_err()
            );
            let cosine = CosineDecay::new(0.1, 1).unwrap();
            assert!(CosineDecay::new(bad, 1).is_err() && cosine.alpha(bad).is_err() && cosine.warmup(bad, 1).is_err());
            let cycle = OneCycle::three_legs(0.1, 10).unwrap();
            assert!(OneCycle::three_legs(bad, 1).is_err() && OneCycle::cosine(bad, 1).is_err() && cycle.rise(bad).is_err());
            assert!(cycle.ends(bad, 0.1).is_err() && cycle.ends(0.1, bad).is_err());
            assert!(cycle.momenta(bad, 0.1).is_err() && cycle.momenta(0.1, bad).is_err());
        }
        assert!(CosineDecay::new(0.1, 1).unwrap().alpha(1.1).is_err());
        let cycle = OneCycle::three_legs(0.1, 10).unwrap();
        assert_eq!(cycle.last_steps(11), Err(ScheduleError::LastLegTooLong { total_steps: 10, found: 11 }));
        assert!(cycle.last_steps(10).is_ok() && cycle.last_steps(0).is_err());
        assert!(cycle.rise(0.0).is_err() && cycle.rise(1.0).is_err());
        assert_eq!(
            PiecewiseConstantDecay::new(&[1, 2], &[0.1, 0.2]).unwrap_err().to_string(),
            "one value more than boundaries: 3 values expected, found 2"
        );
        assert_eq!(
            PiecewiseConstantDecay::new(&[1, 5, 5], &[0.1; 4]).unwrap_err().to_string(),
            "boundary 2: more than the 5 before it expected, found 5"
        );
        assert_eq!(
            PiecewiseConstantDecay::new(&[1], &[0.1, -0.5]).unwrap_err().to_string(),
            "learning rate: a finite number not below 0 expected, found -0.5"
        );
    }
}
