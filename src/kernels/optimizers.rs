//! Optimizers: one rule per element, as an epilogue of the weight gradient or as a loop over flat slices.
//!
//! | rule | state | formula, in this order |
//! |---|---|---|
//! | [`Sgd`] | none | `w = w - learning_rate g` |
//! | [`Momentum`] | velocity `v` | `v = momentum v - learning_rate g`, `w = w + v` |
//! | [`Momentum`], Nesterov | velocity `v` | `v = momentum v - learning_rate g`, `w = w + (momentum v - learning_rate g)` with the new `v` |
//!
//! As in Keras the learning rate is inside the velocity, so a change of the rate reaches the step at once but the velocity keeps
//! the rate that it was gathered with. `learning_rate g` is rounded, then `momentum v - that` is one fused multiply-add.

//!
//! An optimizer is a [`MapOp`] with the gradient as its input and the weight, followed by the state, as what it replaces. The same
//! operation runs as the epilogue [`Updated`](super::gemm::Updated) of a weight gradient, which then never reaches memory, and
//! with [`update`] over flat slices; the bits are the same.

use crate::simd::{Isa, MapOp, Simd, slice};

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
        let v = simd.mul_add(momentum, v, step);
        let w = match self.kind {
            MomentumKind::Classic => simd.add(w, v),
            MomentumKind::Nesterov => simd.add(w, simd.mul_add(momentum, v, step)),
        };
        [w, v]
    }
}

/// One step of an optimizer over flat slices: the weights and each kind of state are `parameters`, in this order.
///
/// # Panics
/// If the slices do not all have the same length.
#[track_caller]
pub fn update<const N: usize>(isa: Isa, rule: impl MapOp<1, N>, g: &[f32], parameters: [&mut [f32]; N]) {
    slice::map(isa, rule, [g], parameters);
}

/// An optimizer, chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent.
    Sgd(Sgd),
    /// Gradient descent with momentum.
    Momentum(Momentum),
}

impl Optimizer {
    /// How many numbers of state it keeps for each parameter.
    pub const fn numbers_per_parameter(&self) -> usize {
        match self {
            Self::Sgd(_) => 0,
            Self::Momentum(_) => 1,
        }
    }
}
