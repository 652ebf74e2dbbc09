//! Optimizers, with the names and defaults of Keras.

use super::error::ModelError;
use crate::kernels::optimizers as kernels;
use crate::kernels::optimizers::MomentumKind;

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent, with or without momentum.
    Sgd(Sgd),
}

/// Gradient descent: `v = momentum v - learning_rate g`, `w = w + v`; with `nesterov`,
/// `w = w + momentum v - learning_rate g`; without momentum, `w = w - learning_rate g`.
///
/// Defaults: learning rate 0.01, momentum 0, not Nesterov.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The length of a step, per unit of gradient.
    pub learning_rate: f32,
    /// The share of the velocity that is kept, from 0 to 1.
    pub momentum: f32,
    /// Whether the gradient is taken where the velocity is about to lead.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0, nesterov: false }
    }
}

impl From<Sgd> for Optimizer {
    fn from(optimizer: Sgd) -> Self {
        Self::Sgd(optimizer)
    }
}

impl Optimizer {
    /// The current learning rate.
    pub fn learning_rate(&self) -> f32 {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate,
        }
    }

    /// Changes the learning rate from the next step on.
    pub fn set_learning_rate(&mut self, learning_rate: f32) {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate = learning_rate,
        }
    }

    /// Refuses settings outside of their ranges.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let Self::Sgd(Sgd { learning_rate, momentum, .. }) = *self;
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            return Err(ModelError::setting("learning_rate", "a finite number not below 0", learning_rate));
        }
        if !(0.0..=1.0).contains(&momentum) {
            return Err(ModelError::setting("momentum", "a number from 0 to 1", momentum));
        }
        Ok(())
    }

    /// The kernel of the next step.
    pub(super) fn kernel(&self) -> kernels::Optimizer {
        match *self {
            Self::Sgd(Sgd { learning_rate, momentum: 0.0, .. }) => kernels::Optimizer::Sgd(kernels::Sgd { learning_rate }),
            Self::Sgd(Sgd { learning_rate, momentum, nesterov }) => {
                let kind = if nesterov { MomentumKind::Nesterov } else { MomentumKind::Classic };
                kernels::Optimizer::Momentum(kernels::Momentum { learning_rate, momentum, kind })
            }
        }
    }
}
