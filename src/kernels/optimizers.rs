//! Optimizers: one rule per element, as an epilogue of the weight gradient or as a loop over flat slices.
//!
//! | rule | numbers per parameter | formula, in this order |
//! |---|---|---|
//! | [`Sgd`] | | `w = w - learning_rate g` |
//! | [`Momentum`] | velocity `v` | `v = momentum v - learning_rate g`, `w = w + v` |
//! | [`Momentum`], Nesterov | velocity `v` | `v = momentum v - learning_rate g`, `w = w + (momentum v - learning_rate g)` with the new `v` |
//! | [`RmsProp`] | mean square `v` | `v = rho v + (1 - rho) g^2`, `w = w - learning_rate g / sqrt(v + epsilon)` |
//! | [`RmsPropMomentum`] | `v`, velocity `m` | `v` as above, `m = momentum m + learning_rate g / sqrt(v + epsilon)`, `w = w - m` |
//! | [`CenteredRmsProp`] | `v`, `m`, mean `a` | `v` as above, `a = rho a + (1 - rho) g`, then as [`RmsPropMomentum`] with `sqrt(v - a^2 + epsilon)` |
//! | [`Adam`] | mean `m`, mean square `v` | `m = m + (g - m)(1 - beta_1)`, `v = v + (g^2 - v)(1 - beta_2)`, `w = w - alpha m / (sqrt(v) + epsilon)` with `alpha = learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t)` |
//! | [`AmsGrad`] | `m`, `v`, largest `h` | as [`Adam`], with `h = max(h, v)` in place of `v` under the root |
//! | [`AdamW`] | `m`, `v` | `w = w - weight_decay learning_rate w`, then as [`Adam`] |
//! | [`Nadam`] | `m`, `v` | `m`, `v` as [`Adam`], `w = w - learning_rate n / (sqrt(v / (1 - beta_2^t)) + epsilon)` with `n = m u(t+1) / (1 - P(t+1)) + g (1 - u(t)) / (1 - P(t))`, `u(t) = beta_1 (1 - 0.5 * 0.96^t)`, `P(t) = u(1) u(2) ... u(t)` |
//!
//! | around a rule | formula |
//! |---|---|
//! | [`Regularized`] | `g = g + 2 l2 w + l1 sign(w)`, the gradient of `l2 w^2 + l1 abs(w)` |
//! | [`Rescaled`] | `g = factor g`, with a factor from [`clipping`](super::clipping) |
//! | [`ClippedByValue`] | `g = min(max(g, -limit), limit)` |
//! | [`Decayed`] | `w = w - weight_decay learning_rate w` |
//!
//! Names, defaults and formulas are those of Keras 3, which wraps in the order of this table, [`Regularized`] outermost. In
//! particular `epsilon` is under the root in RMSprop, outside of it in Adam ("epsilon hat" of the paper, Kingma and Ba 2015), and
//! outside of the corrected root in Nadam; as the learning rate of [`Momentum`] is inside the velocity, a change of the rate
//! reaches the step at once but the velocity keeps the rate that it was gathered with.
//!
//! An optimizer is a [`MapOp`] with the gradient as its input and the weight, followed by the numbers per parameter in the order of
//! the table, as what it replaces; all of them start at zero. The same operation runs as the epilogue
//! [`Updated`](super::gemm::Updated) of a weight gradient, which then never reaches memory, and with [`update`] over flat slices;
//! the bits are the same.
//!
//! **Scalars** that change with the step are computed once per step, in `f64`, and rounded to `f32`: settings such as
//! [`AdamSettings`] hold what the user chooses, and their `at_step` gives the rule of one step.
//!
//! **Denormals.** Many processors are a hundred times slower on denormal numbers, into which whatever a step multiplies by a factor below 1
//! fades sooner or later: the moments of a parameter without a gradient, and, by a decay or a penalty, the weights of an input that is always
//! zero or of a unit that is dead. So the numbers per parameter are flushed: where `abs(x) < 2^-126`, 0 is stored. What is multiplied once more is
//! 0 where `abs(x) < 2^-63`, so that its square and its product with a learning rate are no denormal numbers either: a gradient with a penalty, a
//! gradient of an optimizer that squares it, the means `m` of Adam and `a` of RMSprop, a weight that has decayed.

use super::matrix::MatRef;
use crate::simd::{Isa, MapOp, Simd, SimdOp, slice};

/// Gradient descent without momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The length of a step, per unit of gradient.
    pub learning_rate: f32,
}

impl MapOp<1, 1> for Sgd {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w]: [S::F32; 1]) -> [S::F32; 1] {
        [simd.add(w, simd.mul(simd.splat(-self.learning_rate), g))]
    }
}

/// Says that a branch is seldom taken, which keeps the other one free of jumps.
#[cold]
#[inline(always)]
fn seldom() {}

/// Gradient descent with momentum, plain or Nesterov's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// The length of a step, per unit of gradient.
    pub learning_rate: f32,
    /// The share of the velocity that is kept.
    pub momentum: f32,
    /// Where the gradient is taken.
    pub kind: MomentumKind,
}

/// Where momentum takes its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MomentumKind {
    /// At the current weights.
    #[default]
    Classic,
    /// Where the velocity is about to lead, in the equivalent form that steps from the current weights.
    Nesterov,
}

impl MapOp<1, 2> for Momentum {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w, v]: [S::F32; 2]) -> [S::F32; 2] {
        let momentum = simd.splat(self.momentum);
        let step = simd.mul(simd.splat(-self.learning_rate), g);
        let v = simd.flush_denormals(simd.mul_add(momentum, v, step));
        let w = match self.kind {
            MomentumKind::Classic => simd.add(w, v),
            MomentumKind::Nesterov => {
                seldom();
                simd.add(w, simd.mul_add(momentum, v, step))
            }
        };
        [w, v]
    }

    #[inline(always)]
    fn takes_rare_branch(&self) -> bool {
        self.kind == MomentumKind::Nesterov
    }

    #[inline(always)]
    fn with_rare_branch(self, taken: bool) -> Self {
        Self { kind: if taken { MomentumKind::Nesterov } else { MomentumKind::Classic }, ..self }
    }
}

/// What the user chooses for RMSprop. Keras' defaults, but that of momentum, which is a rule of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropSettings {
    /// The length of a step where the gradient is as large as usual. Default 0.001.
    pub learning_rate: f64,
    /// The share of the mean square that is kept. Default 0.9.
    pub rho: f64,
    /// Added to the mean square, under the root. Default 1e-7.
    pub epsilon: f64,
}

impl Default for RmsPropSettings {
    fn default() -> Self {
        Self { learning_rate: 0.001, rho: 0.9, epsilon: 1e-7 }
    }
}

impl RmsPropSettings {
    /// The rule, which is the same in every step.
    pub fn rule(&self) -> RmsProp {
        RmsProp {
            learning_rate: self.learning_rate as f32,
            rho: self.rho as f32,
            one_minus_rho: (1.0 - self.rho) as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

/// RMSprop without momentum. Made by [`RmsPropSettings::rule`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    pub(crate) learning_rate: f32,
    pub(crate) rho: f32,
    pub(crate) one_minus_rho: f32,
    pub(crate) epsilon: f32,
}

impl RmsProp {
    /// The new mean square.
    #[inline(always)]
    fn mean_square<S: Simd>(&self, simd: S, g: S::F32, v: S::F32) -> S::F32 {
        let square = simd.mul(simd.mul(simd.splat(self.one_minus_rho), g), g);
        simd.flush_denormals(simd.mul_add(simd.splat(self.rho), v, square))
    }

    /// `learning_rate g / sqrt(square + epsilon)`
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, g: S::F32, square: S::F32) -> S::F32 {
        let root = simd.sqrt(simd.add(square, simd.splat(self.epsilon)));
        simd.div(simd.mul(simd.splat(self.learning_rate), g), root)
    }
}

impl MapOp<1, 2> for RmsProp {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w, v]: [S::F32; 2]) -> [S::F32; 2] {
        let g = simd.flush_negligible(g);
        let v = self.mean_square(simd, g, v);
        [simd.sub(w, self.step(simd, g, v)), v]
    }
}

/// RMSprop with momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropMomentum {
    /// The rule that makes the steps.
    pub rule: RmsProp,
    /// The share of the velocity that is kept.
    pub momentum: f32,
}

impl MapOp<1, 3> for RmsPropMomentum {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w, v, m]: [S::F32; 3]) -> [S::F32; 3] {
        let g = simd.flush_negligible(g);
        let v = self.rule.mean_square(simd, g, v);
        let step = self.rule.step(simd, g, v);
        let m = simd.flush_denormals(simd.mul_add(simd.splat(self.momentum), m, step));
        [simd.sub(w, m), v, m]
    }
}

/// RMSprop that divides by the standard deviation of the gradient in place of its root mean square; with momentum, which may be 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CenteredRmsProp {
    /// The rule that makes the steps.
    pub rule: RmsProp,
    /// The share of the velocity that is kept.
    pub momentum: f32,
}

impl MapOp<1, 4> for CenteredRmsProp {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w, v, m, a]: [S::F32; 4]) -> [S::F32; 4] {
        let g = simd.flush_negligible(g);
        let v = self.rule.mean_square(simd, g, v);
        let new = simd.mul(simd.splat(self.rule.one_minus_rho), g);
        let a = simd.flush_negligible(simd.mul_add(simd.splat(self.rule.rho), a, new));
        let step = self.rule.step(simd, g, simd.sub(v, simd.mul(a, a)));
        let m = simd.flush_denormals(simd.mul_add(simd.splat(self.momentum), m, step));
        [simd.sub(w, m), v, m, a]
    }
}

/// What the user chooses for Adam, AMSGrad, AdamW and Nadam. Keras' defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamSettings {
    /// About the length of a step. Default 0.001.
    pub learning_rate: f64,
    /// The share of the mean that is kept. Default 0.9.
    pub beta_1: f64,
    /// The share of the mean square that is kept. Default 0.999.
    pub beta_2: f64,
    /// Added to the root. Default 1e-7.
    pub epsilon: f64,
}

impl Default for AdamSettings {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl AdamSettings {
    /// The weight decay that Keras gives to AdamW.
    pub const WEIGHT_DECAY: f64 = 0.004;

    fn moments(&self) -> Moments {
        Moments { one_minus_beta_1: (1.0 - self.beta_1) as f32, one_minus_beta_2: (1.0 - self.beta_2) as f32 }
    }

    /// The rule of step `t`, where the first step is 1.
    pub fn at_step(&self, t: u64) -> Adam {
        let t = t as f64;
        let alpha = self.learning_rate * libm::sqrt(1.0 - libm::pow(self.beta_2, t)) / (1.0 - libm::pow(self.beta_1, t));
        Adam { moments: self.moments(), alpha: alpha as f32, epsilon: self.epsilon as f32 }
    }

    /// The rule of step `t` of AdamW, where the first step is 1. Parameters that are excluded from the decay take
    /// [`AdamSettings::at_step`] or a decay of 0.
    pub fn at_step_with_decay(&self, t: u64, weight_decay: f64) -> AdamW {
        Decayed::new(weight_decay, self.learning_rate, self.at_step(t))
    }

    /// The rule of the next step of Nadam.
    pub fn next_nadam(&self, progress: &mut NadamProgress) -> Nadam {
        let u = |t: f64| self.beta_1 * (1.0 - 0.5 * libm::pow(0.96, t));
        progress.steps += 1;
        let t = progress.steps as f64;
        progress.product *= u(t);
        let (product, next_product) = (progress.product, progress.product * u(t + 1.0));
        Nadam {
            moments: self.moments(),
            mean: (self.learning_rate * u(t + 1.0) / (1.0 - next_product)) as f32,
            gradient: (self.learning_rate * (1.0 - u(t)) / (1.0 - product)) as f32,
            mean_square: (1.0 / (1.0 - libm::pow(self.beta_2, t))) as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

/// The means of Adam and its relatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) one_minus_beta_1: f32,
    pub(crate) one_minus_beta_2: f32,
}

impl Moments {
    /// The new mean and mean square, by a gradient that is 0 where it is negligible.
    #[inline(always)]
    fn update<S: Simd>(&self, simd: S, g: S::F32, m: S::F32, v: S::F32) -> (S::F32, S::F32) {
        let m = simd.mul_add(simd.splat(self.one_minus_beta_1), simd.sub(g, m), m);
        let v = simd.mul_add(simd.splat(self.one_minus_beta_2), simd.sub(simd.mul(g, g), v), v);
        (simd.flush_negligible(m), simd.flush_denormals(v))
    }
}

/// Adam at one step. Made by [`AdamSettings::at_step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    pub(crate) moments: Moments,
    /// The learning rate with both bias corrections.
    pub(crate) alpha: f32,
    pub(crate) epsilon: f32,
}

impl Adam {
    /// `alpha m / (sqrt(square) + epsilon)`
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, m: S::F32, square: S::F32) -> S::F32 {
        simd.div(simd.mul(simd.splat(self.alpha), m), simd.add(simd.sqrt(square), simd.splat(self.epsilon)))
    }
}

impl MapOp<1, 3> for Adam {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w, m, v]: [S::F32; 3]) -> [S::F32; 3] {
        let (m, v) = self.moments.update(simd, simd.flush_negligible(g), m, v);
        [simd.sub(w, self.step(simd, m, v)), m, v]
    }
}

/// AMSGrad at one step: Adam whose steps never grow again because the gradients became smaller. The largest mean square is taken
/// before the bias correction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AmsGrad(
    /// Adam at the same step.
    pub Adam,
);

impl MapOp<1, 4> for AmsGrad {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w, m, v, h]: [S::F32; 4]) -> [S::F32; 4] {
        let (m, v) = self.0.moments.update(simd, simd.flush_negligible(g), m, v);
        // NaN stays, be it in the one or in the other.
        let larger = simd.select(simd.lt(h, v), v, h);
        let h = simd.select(simd.eq(v, v), larger, v);
        [simd.sub(w, self.0.step(simd, m, h)), m, v, h]
    }
}

/// AdamW at one step. Made by [`AdamSettings::at_step_with_decay`].
pub type AdamW = Decayed<Adam>;

/// How far Nadam has come: what it carries from step to step beside the numbers per parameter. A checkpoint must keep it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NadamProgress {
    /// The number of steps taken.
    pub steps: u64,
    /// `u(1) u(2) ... u(steps)`. Keras keeps this product as `f32`.
    pub product: f64,
}

impl Default for NadamProgress {
    fn default() -> Self {
        Self { steps: 0, product: 1.0 }
    }
}

/// Nadam, Adam with Nesterov's momentum, at one step. Made by [`AdamSettings::next_nadam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nadam {
    pub(crate) moments: Moments,
    /// The factor of the mean in a step: `learning_rate u(t+1) / (1 - P(t+1))`.
    pub(crate) mean: f32,
    /// The factor of the gradient in a step: `learning_rate (1 - u(t)) / (1 - P(t))`.
    pub(crate) gradient: f32,
    /// The bias correction of the mean square: `1 / (1 - beta_2^t)`.
    pub(crate) mean_square: f32,
    pub(crate) epsilon: f32,
}

impl MapOp<1, 3> for Nadam {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], [w, m, v]: [S::F32; 3]) -> [S::F32; 3] {
        let g = simd.flush_negligible(g);
        let (m, v) = self.moments.update(simd, g, m, v);
        let numerator = simd.mul_add(simd.splat(self.mean), m, simd.mul(simd.splat(self.gradient), g));
        let root = simd.sqrt(simd.mul(v, simd.splat(self.mean_square)));
        [simd.sub(w, simd.div(numerator, simd.add(root, simd.splat(self.epsilon)))), m, v]
    }
}

/// A rule whose gradient includes that of the penalty `l1 abs(w) + l2 w^2`. The sign of 0 is 0, so l1 does not move a weight off 0. Below `2^-63`
/// the gradient is 0, so l2 does not shrink a weight to a denormal number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regularized<R> {
    /// The factor of the sum of absolute weights in the loss.
    pub l1: f32,
    /// The factor of the sum of squared weights in the loss, without a half.
    pub l2: f32,
    /// The rule.
    pub rule: R,
}

impl<R: MapOp<1, N>, const N: usize> MapOp<1, N> for Regularized<R> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], parameters: [S::F32; N]) -> [S::F32; N] {
        let g = penalized(simd, self.l1, self.l2, parameters[0], g);
        self.rule.map(simd, [g], parameters)
    }
}

/// `g = g + l1 sign(w) + 2 l2 w`: the gradient of the penalty of [`Regularized`], with the same bits.
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn add_penalty(isa: Isa, l1: f32, l2: f32, w: &[f32], g: &mut [f32]) {
    struct Penalty {
        l1: f32,
        l2: f32,
    }
    impl MapOp<1, 1> for Penalty {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [w]: [S::F32; 1], [g]: [S::F32; 1]) -> [S::F32; 1] {
            [penalized(simd, self.l1, self.l2, w, g)]
        }
    }
    slice::map(isa, Penalty { l1, l2 }, [w], [g]);
}

#[inline(always)]
fn penalized<S: Simd>(simd: S, l1: f32, l2: f32, w: S::F32, g: S::F32) -> S::F32 {
    let zero = simd.zero();
    let negative = simd.select(simd.lt(w, zero), simd.splat(-l1), zero);
    let signed = simd.select(simd.lt(zero, w), simd.splat(l1), negative);
    simd.flush_negligible(simd.add(simd.mul_add(simd.splat(2.0 * l2), w, g), signed))
}

/// A rule whose gradient is multiplied by a factor: clipping by norm, gradient accumulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescaled<R> {
    /// The factor.
    pub factor: f32,
    /// The rule.
    pub rule: R,
}

impl<R: MapOp<1, N>, const N: usize> MapOp<1, N> for Rescaled<R> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], parameters: [S::F32; N]) -> [S::F32; N] {
        self.rule.map(simd, [simd.mul(simd.splat(self.factor), g)], parameters)
    }
}

/// A rule whose gradient is clipped, each element by itself. NaN stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClippedByValue<R> {
    /// The largest magnitude that an element keeps.
    pub limit: f32,
    /// The rule.
    pub rule: R,
}

impl<R: MapOp<1, N>, const N: usize> MapOp<1, N> for ClippedByValue<R> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [g]: [S::F32; 1], parameters: [S::F32; N]) -> [S::F32; N] {
        // In this order of arguments NaN stays.
        let g = simd.min(simd.splat(self.limit), simd.max(simd.splat(-self.limit), g));
        self.rule.map(simd, [g], parameters)
    }
}

/// A rule with decoupled weight decay: the weight shrinks before the step, and the gradient knows nothing of it. Below `2^-63` it is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decayed<R> {
    /// The share of the weight that is lost: weight decay times learning rate.
    pub(crate) share: f32,
    pub(crate) rule: R,
}

impl<R> Decayed<R> {
    /// Wraps a rule.
    pub fn new(weight_decay: f64, learning_rate: f64, rule: R) -> Self {
        Self { share: (weight_decay * learning_rate) as f32, rule }
    }
}

impl<R: MapOp<1, N>, const N: usize> MapOp<1, N> for Decayed<R> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, g: [S::F32; 1], mut parameters: [S::F32; N]) -> [S::F32; N] {
        parameters[0] = simd.flush_negligible(simd.mul_add(simd.splat(-self.share), parameters[0], parameters[0]));
        self.rule.map(simd, g, parameters)
    }
}

/// One step of an optimizer over flat slices: the weights and each kind of number per parameter are `parameters`, in the order of the
/// table.
///
/// # Panics
/// If the slices do not all have the same length.
#[track_caller]
pub fn update<const N: usize>(isa: Isa, rule: impl MapOp<1, N>, g: &[f32], parameters: [&mut [f32]; N]) {
    slice::map(isa, rule, [g], parameters);
}

/// The most numbers that an optimizer has for each parameter, the parameter itself included.
pub const MAX_PARAMETERS: usize = 4;

/// An optimizer that is called by reference, for some rows of parameters at a time, so that nothing is compiled anew for each optimizer.
pub trait RowRule: Sync {
    /// [`update`] of some rows, which begin `leading_dimension` elements apart in each kind of number. Slices beyond the numbers that the optimizer
    /// has are not looked at.
    ///
    /// # Panics
    /// If a slice ends before the last row.
    fn update_rows(&self, isa: Isa, g: MatRef<'_>, parameters: [&mut [f32]; MAX_PARAMETERS], leading_dimension: usize);

    /// [`update`] of a row.
    ///
    /// # Panics
    /// If a slice is shorter.
    fn update_row(&self, isa: Isa, g: &[f32], parameters: [&mut [f32]; MAX_PARAMETERS]) {
        self.update_rows(isa, MatRef::new(g, 1, g.len(), g.len()), parameters, g.len());
    }
}

impl<R: RowRule + ?Sized> RowRule for &R {
    fn update_rows(&self, isa: Isa, g: MatRef<'_>, parameters: [&mut [f32]; MAX_PARAMETERS], leading_dimension: usize) {
        (**self).update_rows(isa, g, parameters, leading_dimension);
    }
}

/// Makes a [`RowRule`] of an optimizer with `N` numbers for each parameter, the parameter itself included.
#[derive(Clone, Copy, Debug)]
pub struct ByRow<R, const N: usize>(pub R);

impl<R: MapOp<1, N> + Copy + Sync, const N: usize> RowRule for ByRow<R, N> {
    fn update_rows(&self, isa: Isa, g: MatRef<'_>, parameters: [&mut [f32]; MAX_PARAMETERS], leading_dimension: usize) {
        isa.run(Rows { rule: self.0, g, parameters: first(parameters), leading_dimension });
    }
}

struct Rows<'a, R, const N: usize> {
    rule: R,
    g: MatRef<'a>,
    parameters: [&'a mut [f32]; N],
    leading_dimension: usize,
}

impl<R: MapOp<1, N>, const N: usize> SimdOp for Rows<'_, R, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rule, g, mut parameters, leading_dimension } = self;
        for i in 0..g.rows() {
            let row = i * leading_dimension..i * leading_dimension + g.columns();
            slice::map_with(simd, &rule, [g.row(i)], parameters.each_mut().map(|slice| &mut slice[row.clone()]));
        }
    }
}

/// The first `N` slices: the parameters and what an optimizer keeps of them.
pub fn first<const N: usize>(parameters: [&mut [f32]; MAX_PARAMETERS]) -> [&mut [f32]; N] {
    let mut rest = parameters.into_iter();
    core::array::from_fn(|_| rest.next().unwrap_or_default())
}

/// Evaluates an expression with the rule that an optimizer is.
macro_rules! with_rule {
    ($optimizer:expr, $rule:ident => $call:expr) => {
        match $optimizer {
            Optimizer::Sgd($rule) => $call,
            Optimizer::Momentum($rule) => $call,
            Optimizer::RmsProp($rule) => $call,
            Optimizer::RmsPropMomentum($rule) => $call,
            Optimizer::CenteredRmsProp($rule) => $call,
            Optimizer::Adam($rule) => $call,
            Optimizer::AmsGrad($rule) => $call,
            Optimizer::AdamW($rule) => $call,
            Optimizer::Nadam($rule) => $call,
        }
    };
}

impl RowRule for Optimizer {
    fn update_rows(&self, isa: Isa, g: MatRef<'_>, parameters: [&mut [f32]; MAX_PARAMETERS], leading_dimension: usize) {
        with_rule!(*self, rule => ByRow(rule).update_rows(isa, g, parameters, leading_dimension));
    }
}

/// An optimizer whose gradient is that of a penalty, too, and then clipped and multiplied by a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjusted {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The factor of the sum of absolute weights in the loss.
    pub l1: f32,
    /// The factor of the sum of squared weights in the loss, without a half.
    pub l2: f32,
    /// The largest magnitude that an element of the gradient keeps.
    pub limit: f32,
    /// What the clipped gradient is multiplied by.
    pub factor: f32,
}

impl Adjusted {
    /// No penalty, no limit, factor 1.
    pub fn new(optimizer: Optimizer) -> Self {
        Self { optimizer, l1: 0.0, l2: 0.0, limit: f32::INFINITY, factor: 1.0 }
    }

    /// Whether gradients stay as they are. The settings of the optimizer, which may be NaN, have no say in it.
    pub fn is_plain(&self) -> bool {
        let Self { l1, l2, limit, factor, .. } = *self;
        (l1, l2, limit, factor) == (0.0, 0.0, f32::INFINITY, 1.0)
    }

    fn update_rows_with<R: MapOp<1, N> + Copy + Sync, const N: usize>(
        &self,
        rule: R,
        isa: Isa,
        g: MatRef<'_>,
        parameters: [&mut [f32]; MAX_PARAMETERS],
        leading_dimension: usize,
    ) {
        let Self { l1, l2, limit, factor, .. } = *self;
        ByRow(Regularized { l1, l2, rule: ClippedByValue { limit, rule: Rescaled { factor, rule } } }).update_rows(
            isa,
            g,
            parameters,
            leading_dimension,
        );
    }
}

impl RowRule for Adjusted {
    fn update_rows(&self, isa: Isa, g: MatRef<'_>, parameters: [&mut [f32]; MAX_PARAMETERS], leading_dimension: usize) {
        if self.is_plain() {
            return self.optimizer.update_rows(isa, g, parameters, leading_dimension);
        }
        with_rule!(self.optimizer, rule => self.update_rows_with(rule, isa, g, parameters, leading_dimension));
    }
}

/// The rule of one step, chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent.
    Sgd(Sgd),
    /// Gradient descent with momentum.
    Momentum(Momentum),
    /// RMSprop.
    RmsProp(RmsProp),
    /// RMSprop with momentum.
    RmsPropMomentum(RmsPropMomentum),
    /// RMSprop by the deviation of the gradient.
    CenteredRmsProp(CenteredRmsProp),
    /// Adam.
    Adam(Adam),
    /// Adam with steps that never grow again.
    AmsGrad(AmsGrad),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Adam with Nesterov's momentum.
    Nadam(Nadam),
}

impl Optimizer {
    /// How many numbers of state it keeps for each parameter.
    pub const fn numbers_per_parameter(&self) -> usize {
        match self {
            Self::Sgd(_) => 0,
            Self::Momentum(_) | Self::RmsProp(_) => 1,
            Self::RmsPropMomentum(_) | Self::Adam(_) | Self::AdamW(_) | Self::Nadam(_) => 2,
            Self::CenteredRmsProp(_) | Self::AmsGrad(_) => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::ends::{stored, updated, updated_by_row};
    use crate::kernels::MatMut;
    use crate::kernels::gemm::{RowBlocks, Updated, UpdatedByRow, gemm_transposed};
    use crate::reference::optimizers::{self as reference, Rule};
    use crate::reference::samples::{SPECIAL, assert_same_bits, numbers};
    use std::vec;
    use std::vec::Vec;

    /// Calls a generic function with every rule, plain and wrapped.
    macro_rules! for_every_rule {
        ($check:ident) => {
            let settings = AdamSettings { learning_rate: 0.01, ..Default::default() };
            let rms = RmsPropSettings { learning_rate: 0.01, ..Default::default() }.rule();
            let adam = settings.at_step(3);
            let momentum = |kind| Momentum { learning_rate: 0.1, momentum: 0.9, kind };
            $check("sgd", Sgd { learning_rate: 0.1 });
            $check("momentum", momentum(MomentumKind::Classic));
            $check("nesterov", momentum(MomentumKind::Nesterov));
            $check("rmsprop", rms);
            $check("rmsprop momentum", RmsPropMomentum { rule: rms, momentum: 0.9 });
            $check("rmsprop centered", CenteredRmsProp { rule: rms, momentum: 0.9 });
            $check("adam", adam);
            $check("amsgrad", AmsGrad(adam));
            $check("adamw", settings.at_step_with_decay(3, 0.004));
            $check("nadam", settings.next_nadam(&mut NadamProgress::default()));
            let clipped = ClippedByValue { limit: 0.75, rule: Rescaled { factor: 0.6, rule: adam } };
            $check("regularized", Regularized { l1: 0.01, l2: 0.02, rule: clipped });
        };
    }

    /// Positive where an optimizer keeps squares.
    fn parameters<const N: usize>(len: usize) -> [Vec<f32>; N] {
        core::array::from_fn(|n| numbers(10 + n as u64, len).into_iter().map(|x| if n == 0 { x } else { x.abs() }).collect())
    }

    /// Numbers around `2^-63`, below which some are flushed.
    fn fading() -> [f32; 12] {
        core::array::from_fn(|i| libm::exp2f(-58.75 - i as f32))
    }

    fn check_against_twin<R: MapOp<1, N> + Rule<N> + Copy, const N: usize>(name: &str, rule: R) {
        for isa in Isa::available() {
            for len in 0..=33 {
                for offset in 0..3 {
                    let g = numbers(1, len + offset);
                    let mut found: [Vec<f32>; N] = parameters(len + offset);
                    let mut expected = found.clone();
                    update(isa, rule, &g[offset..], found.each_mut().map(|slice| &mut slice[offset..]));
                    reference::update(isa, &rule, &g[offset..], expected.each_mut().map(|slice| &mut slice[offset..]));
                    for (found, expected) in found.iter().zip(&expected) {
                        assert_same_bits((name, isa, len, offset), found, expected);
                    }
                }
            }
            for values in [SPECIAL.to_vec(), fading().to_vec()] {
                let count = values.len();
                for n in 0..count.pow(2) {
                    let mut found: [Vec<f32>; N] =
                        core::array::from_fn(|k| vec![values[n / count.pow(k as u32 % 2) % count]; count]);
                    let mut expected = found.clone();
                    update(isa, rule, &values, found.each_mut().map(Vec::as_mut_slice));
                    reference::update(isa, &rule, &values, expected.each_mut().map(Vec::as_mut_slice));
                    for (found, expected) in found.iter().zip(&expected) {
                        assert_same_bits((name, isa, n), found, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn rules_equal_their_twins() {
        for_every_rule!(check_against_twin);
    }

    /// The operands of a weight gradient.
    type Operands<'a> = (RowBlocks<'a>, (usize, usize), RowBlocks<'a>);

    /// Compares a product with a fused update, given the leading dimension of the parameters, with a stored gradient and an update of its own.
    fn check_fused<R: MapOp<1, N> + Copy, const N: usize>(
        name: &str,
        rule: R,
        fused_product: impl Fn(Isa, Operands<'_>, [&mut [f32]; N], usize),
    ) {
        let (k, m, n, ld) = (5, 7, 21, 24);
        let (a, b) = (numbers(2, k * m), numbers(3, k * n));
        let (a, b) = (MatRef::new(&a, k, m, m), MatRef::new(&b, k, n, n));
        for isa in Isa::available() {
            let mut fused: [Vec<f32>; N] = parameters(m * ld);
            let mut unfused = fused.clone();
            let before = fused.clone();
            let (rows, columns) = (RowBlocks::from(a), RowBlocks::from(b));
            fused_product(isa, (rows, (0, m), columns), fused.each_mut().map(Vec::as_mut_slice), ld);
            let mut gradient = vec![f32::NAN; m * ld];
            gemm_transposed(isa, rows, (0, m), columns, &mut stored(MatMut::new(&mut gradient, m, n, ld)));
            for i in 0..m {
                let row = i * ld..i * ld + n;
                update(isa, rule, &gradient[row.clone()], unfused.each_mut().map(|slice| &mut slice[row.clone()]));
            }
            for ((fused, unfused), before) in fused.iter().zip(&unfused).zip(&before) {
                assert_same_bits((name, isa), fused, unfused);
                assert!(fused.iter().zip(before).enumerate().all(|(i, (new, old))| i % ld < n || new == old), "padding");
            }
        }
    }

    fn check_in_registers<R: MapOp<1, N> + Copy, const N: usize>(name: &str, rule: R) {
        check_fused(name, rule, |isa, (a, columns, b), parameters, leading_dimension| {
            gemm_transposed(isa, a, columns, b, &mut Updated { rule, parameters, leading_dimension });
        });
    }

    fn check_by_row<R: MapOp<1, N> + Copy + Sync, const N: usize>(name: &str, rule: R) {
        check_fused(name, rule, |isa, (a, columns, b), parameters, leading_dimension| {
            let mut rest = parameters.into_iter();
            let parameters = core::array::from_fn(|_| rest.next().unwrap_or_default());
            let end = UpdatedByRow { isa, rule: &ByRow(rule), parameters, leading_dimension };
            gemm_transposed(isa, a, columns, b, &mut updated_by_row(end));
        });
    }

    #[test]
    fn the_epilogues_equal_the_update_of_a_stored_gradient() {
        // Every rule in every tile would be minutes of compilation.
        let rule = Sgd { learning_rate: 0.1 };
        check_fused("sgd", rule, |isa, (a, columns, b), parameters, leading_dimension| {
            gemm_transposed(isa, a, columns, b, &mut updated(Updated { rule, parameters, leading_dimension }));
        });
        check_in_registers("nesterov", Momentum { learning_rate: 0.1, momentum: 0.9, kind: MomentumKind::Nesterov });
        check_in_registers("adam", AdamSettings::default().at_step(3));
        for_every_rule!(check_by_row);
    }

    /// Weights of steps 1 to 5 of a parameter that starts at 1, where the gradient is 0.01 at first and then 1.
    fn trace<R: MapOp<1, N>, const N: usize>(mut rule: impl FnMut(u64) -> R) -> [f32; 5] {
        let mut parameters = [0.0; N];
        parameters[0] = 1.0;
        core::array::from_fn(|i| {
            let g = if i == 0 { 0.01 } else { 1.0 };
            update(Isa::detect(), rule(i as u64 + 1), &[g], parameters.each_mut().map(core::slice::from_mut));
            parameters[0]
        })
    }

    #[test]
    fn traces_are_those_of_keras() {
        let momentum = |kind| move |_| Momentum { learning_rate: 0.01, momentum: 0.9, kind };
        let rms = RmsPropSettings::default().rule();
        let adam = AdamSettings::default();
        let odd = AdamSettings { learning_rate: 0.5, beta_1: 0.5, beta_2: 0.67, epsilon: 1e-5 };
        let (mut progress, mut odd_progress) = (NadamProgress::default(), NadamProgress::default());
        let traces: [(&str, [f32; 5], [f64; 5]); 11] = [
            ("SGD", trace(|_| Sgd { learning_rate: 0.01 }), [0.9999, 0.9899, 0.9799, 0.9699, 0.9599]),
            ("momentum", trace(momentum(MomentumKind::Classic)), [0.9999, 0.98981, 0.970729, 0.9435561, 0.90910049]),
            ("Nesterov", trace(momentum(MomentumKind::Nesterov)), [0.99981, 0.980729, 0.9535561, 0.91910049, 0.878090441]),
            ("RMSprop", trace(|_| rms), [0.9968534161, 0.9936912823, 0.9913971745, 0.9894762538, 0.9877710366]),
            (
                "RMSprop, momentum",
                trace(|_| RmsPropMomentum { rule: rms, momentum: 0.9 }),
                [0.9968534161, 0.9908593568, 0.9831705957, 0.9743297899, 0.9646678475],
            ),
            (
                "RMSprop, centered",
                trace(|_| CenteredRmsProp { rule: rms, momentum: 0.0 }),
                [0.9966850323, 0.9933485146, 0.9907969606, 0.9885449068, 0.9864376008],
            ),
            ("Adam", trace(|t| adam.at_step(t)), [0.9990003161, 0.9982495219, 0.9973874231, 0.9964752934, 0.9955348432]),
            // The mean square only grows here, so its maximum changes nothing.
            (
                "AMSGrad",
                trace(|t| AmsGrad(adam.at_step(t))),
                [0.9990003161, 0.9982495219, 0.9973874231, 0.9964752934, 0.9955348432],
            ),
            (
                "AdamW without decay",
                trace(|t| adam.at_step_with_decay(t, 0.0)),
                [0.9990003161, 0.9982495219, 0.9973874231, 0.9964752934, 0.9955348432],
            ),
            (
                "Nadam",
                trace(|_| adam.next_nadam(&mut progress)),
                [0.9989372228, 0.9979148812, 0.9970979450, 0.9963337267, 0.9955802264],
            ),
            (
                "Nadam(0.5, 0.5, 0.67, 1e-5)",
                trace(|_| odd.next_nadam(&mut odd_progress)),
                [0.4280913085, -0.1717305299, -0.7083895282, -1.2299290363, -1.7454064966],
            ),
        ];
        for (name, found, expected) in traces {
            for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{name}, step {}: {found}, expected {expected}", step + 1);
            }
        }
    }

    #[test]
    fn the_maximum_of_amsgrad_is_the_one_of_the_plain_mean_square() {
        let settings = AdamSettings { learning_rate: 0.5, beta_1: 0.0, beta_2: 0.5, epsilon: 1e-7 };
        let mut p = [1.0f32, 0.0, 0.0, 0.0];
        let mut exact = [1.0f64, 0.0, 0.0];
        for (t, g) in [(1u64, 2.0f32), (2, 0.5), (3, 0.25)] {
            update(Isa::detect(), AmsGrad(settings.at_step(t)), &[g], p.each_mut().map(core::slice::from_mut));
            let g = f64::from(g);
            exact[1] += (g * g - exact[1]) * 0.5;
            exact[2] = exact[2].max(exact[1]);
            exact[0] -= 0.5 * (1.0 - 0.5f64.powi(t as i32)).sqrt() * g / (exact[2].sqrt() + 1e-7);
        }
        assert!((f64::from(p[0]) - exact[0]).abs() < 1e-6, "{} {}", p[0], exact[0]);
        assert_eq!(f64::from(p[3]), exact[2]);
    }

    fn single_step<R: MapOp<1, N>, const N: usize>(rule: R) -> [f32; 4] {
        let mut parameters = [[0.0; 4]; N];
        parameters[0] = [1.0, 2.0, 3.0, 4.0];
        update(Isa::detect(), rule, &[1.0, 6.0, 7.0, 2.0], parameters.each_mut().map(|p| &mut p[..]));
        parameters[0]
    }

    #[test]
    fn single_steps_are_those_of_keras() {
        let settings = AdamSettings { learning_rate: 0.5, ..Default::default() };
        let rms = RmsPropSettings { learning_rate: 0.5, ..Default::default() };
        let cases = [
            (single_step(settings.at_step(1)), [0.5, 1.5, 2.5, 3.5]),
            (single_step(rms.rule()), [-0.5811388, 0.4188612, 1.4188612, 2.4188612]),
            (single_step(settings.next_nadam(&mut NadamProgress::default())), [0.4686, 1.4686, 2.4686, 3.4686]),
        ];
        for (found, expected) in cases {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 5e-5, "{found} {expected}");
            }
        }
        let mut parameters = [[2.0f32], [0.0], [0.0]];
        for t in 1..=3 {
            let rule = AdamSettings { learning_rate: 1.0, ..Default::default() }.at_step_with_decay(t, 0.004);
            update(Isa::detect(), rule, &[0.0], parameters.each_mut().map(|p| &mut p[..]));
        }
        assert!((parameters[0][0] - 1.9760959).abs() < 1e-6, "{}", parameters[0][0]);
    }

    #[test]
    fn penalties_and_limits_reach_the_gradient() {
        let sgd = Sgd { learning_rate: 1.0 };
        let step = |rule: &dyn Fn(&[f32], &mut [f32]), g: f32, w: f32| {
            let mut w = [w];
            rule(&[g], &mut w);
            w[0]
        };
        let regularized = |l1, l2| move |g: &[f32], w: &mut [f32]| update(Isa::detect(), Regularized { l1, l2, rule: sgd }, g, [w]);
        assert_eq!(step(&regularized(0.25, 0.0), 0.0, 2.0), 1.75);
        assert_eq!(step(&regularized(0.25, 0.0), 0.0, -2.0), -1.75);
        assert_eq!(step(&regularized(0.25, 0.0), 0.0, 0.0), 0.0);
        assert_eq!(step(&regularized(0.0, 0.125), 0.0, 2.0), 1.5);
        assert_eq!(step(&regularized(0.25, 0.125), 1.0, -2.0), -2.25);
        let clipped = |g: &[f32], w: &mut [f32]| update(Isa::detect(), ClippedByValue { limit: 0.5, rule: sgd }, g, [w]);
        assert_eq!(step(&clipped, 3.0, 0.0), -0.5);
        assert_eq!(step(&clipped, -3.0, 0.0), 0.5);
        assert_eq!(step(&clipped, 0.25, 0.0), -0.25);
        assert!(step(&clipped, f32::NAN, 0.0).is_nan());
        // A penalty is part of the gradient, so it is clipped with it; the decay is not.
        let both = |g: &[f32], w: &mut [f32]| {
            let rule = Decayed::new(0.25, 1.0, sgd);
            update(Isa::detect(), Regularized { l1: 8.0, l2: 0.0, rule: ClippedByValue { limit: 0.5, rule } }, g, [w])
        };
        assert_eq!(step(&both, 0.0, 2.0), 1.0);
    }

    fn check_no_denormals<R: MapOp<1, N> + Copy, const N: usize>(name: &str, rule: R) {
        for isa in Isa::available() {
            let mut parameters = [[1e-36]; N];
            for step in 0..10_000 {
                update(isa, rule, &[0.0], parameters.each_mut().map(|p| &mut p[..]));
                for state in &parameters[1..] {
                    assert!(!state[0].is_subnormal(), "{name} {isa} {step}: {:e}", state[0]);
                }
            }
            for (i, state) in parameters[1..].iter().enumerate() {
                // The largest mean square of AMSGrad never shrinks, and a penalty is a gradient that stays.
                let remains = name == "amsgrad" && i == 2 || name == "regularized";
                assert!(remains || state[0] == 0.0, "{name} {isa}: {:e}", state[0]);
            }
        }
    }

    #[test]
    fn moments_of_parameters_without_gradient_end_at_zero() {
        for_every_rule!(check_no_denormals);
    }

    /// Weights of 1 and of about the smallest normal number, which shrink for 10,000 steps without a gradient of their own, by rules of which each
    /// step takes a tenth at least.
    #[test]
    fn weights_that_shrink_do_not_become_denormal() {
        let sgd = Sgd { learning_rate: 1.0 };
        let momentum = Momentum { learning_rate: 0.1, momentum: 0.5, kind: MomentumKind::Classic };
        let adam = AdamSettings { learning_rate: 0.01, ..Default::default() }.at_step(1);
        let (l1, l2) = (0.0, 0.1);
        let rules: [&dyn RowRule; 5] = [
            &ByRow::<_, 1>(Regularized { l1, l2, rule: sgd }),
            &ByRow::<_, 2>(Regularized { l1, l2: 0.8, rule: momentum }),
            &ByRow::<_, 3>(Regularized { l1, l2, rule: adam }),
            &ByRow::<_, 1>(Decayed::new(0.1, 1.0, sgd)),
            &ByRow::<_, 3>(Decayed::new(0.1, 1.0, adam)),
        ];
        for isa in Isa::available() {
            for (number, rule) in rules.into_iter().enumerate() {
                let mut parameters = [[1.0, -2e-38, 2e-38]; MAX_PARAMETERS];
                parameters[1..].fill([0.0; 3]);
                let mut before = parameters[0];
                for _ in 0..10_000 {
                    before = parameters[0];
                    rule.update_row(isa, &[0.0; 3], parameters.each_mut().map(|p| &mut p[..]));
                }
                assert_eq!(before, parameters[0], "rule {number} on {isa} still moves");
                assert!(
                    parameters[0].iter().all(|w| !w.is_subnormal() && w.abs() < 1e-6),
                    "rule {number} on {isa}: {parameters:?}"
                );
            }
        }
    }

    /// Found by fuzzing: compared with itself, a rule with NaN seemed to be adjusted, and zero penalties were multiplied by weights that are NaN.
    #[test]
    fn settings_that_are_no_numbers_are_no_adjustment() {
        let rule = AdamSettings { learning_rate: f64::NAN, ..AdamSettings::default() }.at_step(1);
        let adjusted = Adjusted::new(Optimizer::Adam(rule));
        assert!(adjusted.is_plain());
        for changed in [
            Adjusted { l1: 0.1, ..adjusted },
            Adjusted { l2: 0.1, ..adjusted },
            Adjusted { limit: 1.0, ..adjusted },
            Adjusted { factor: 0.5, ..adjusted },
        ] {
            assert!(!changed.is_plain(), "{changed:?}");
        }
    }

    #[test]
    fn numbers_per_parameter_are_those_of_the_rule() {
        fn numbers<R: MapOp<1, N>, const N: usize>(_: &R) -> usize {
            N - 1
        }
        let adam = AdamSettings::default().at_step(1);
        let rms = RmsPropSettings::default().rule();
        let nadam = AdamSettings::default().next_nadam(&mut NadamProgress::default());
        let (momentum, centered) = (RmsPropMomentum { rule: rms, momentum: 0.9 }, CenteredRmsProp { rule: rms, momentum: 0.9 });
        for (optimizer, expected) in [
            (Optimizer::RmsProp(rms), numbers(&rms)),
            (Optimizer::RmsPropMomentum(momentum), numbers(&momentum)),
            (Optimizer::CenteredRmsProp(centered), numbers(&centered)),
            (Optimizer::Adam(adam), numbers(&adam)),
            (Optimizer::AmsGrad(AmsGrad(adam)), numbers(&AmsGrad(adam))),
            (Optimizer::AdamW(Decayed::new(0.004, 0.001, adam)), numbers(&adam)),
            (Optimizer::Nadam(nadam), numbers(&nadam)),
        ] {
            assert_eq!(optimizer.numbers_per_parameter(), expected, "{optimizer:?}");
        }
    }
}
