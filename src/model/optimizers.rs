//! Optimizers, with the names and defaults of Keras.
//!
//! | optimizer | defaults |
//! |---|---|
//! | [`Sgd`] | learning rate 0.01, momentum 0, not Nesterov |
//! | [`RmsProp`] | learning rate 0.001, rho 0.9, momentum 0, epsilon 1e-7, not centered |
//! | [`Adam`] | learning rate 0.001, beta_1 0.9, beta_2 0.999, epsilon 1e-7, no weight decay, not AMSGrad |
//! | [`Nadam`] | learning rate 0.001, beta_1 0.9, beta_2 0.999, epsilon 1e-7 |
//!
//! Formulas are in [`kernels::optimizers`](crate::kernels::optimizers).

use super::error::ModelError;
use super::schedules::LearningRateSchedule;
use crate::kernels::optimizers as kernels;
use crate::kernels::optimizers::{
    AdamSettings, AmsGrad, CenteredRmsProp, MomentumKind, NadamProgress, RmsPropMomentum, RmsPropSettings,
};

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent, with or without momentum.
    Sgd(Sgd),
    /// Steps relative to the root of the mean square of the gradient.
    RmsProp(RmsProp),
    /// Steps along the mean of the gradient, relative to the root of its mean square.
    Adam(Adam),
    /// Adam with Nesterov's momentum.
    Nadam(Nadam),
}

/// Gradient descent: `v = momentum v - learning_rate g`, `w = w + v`; with `nesterov`,
/// `w = w + momentum v - learning_rate g`; without momentum, `w = w - learning_rate g`.
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

/// RMSprop: `v = rho v + (1 - rho) g^2`, `w = w - learning_rate g / sqrt(v + epsilon)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// The length of a step where the gradient is as large as usual.
    pub learning_rate: f32,
    /// The share of the mean square that is kept, from 0 to below 1.
    pub rho: f64,
    /// The share of the step that is kept, from 0 to 1.
    pub momentum: f32,
    /// Added to the mean square, under the root; above 0.
    pub epsilon: f64,
    /// Whether steps are relative to the deviation of the gradient, which is its mean square without the square of its mean.
    pub centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { learning_rate: 0.001, rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }
    }
}

/// Adam, with a weight decay AdamW: `m = m + (1 - beta_1) (g - m)`, `v = v + (1 - beta_2) (g^2 - v)`,
/// `w = w - learning_rate c m / (sqrt(v) + epsilon)` with the correction `c = sqrt(1 - beta_2^t) / (1 - beta_1^t)` at step `t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// About the length of a step.
    pub learning_rate: f32,
    /// The share of the mean that is kept, from 0 to below 1.
    pub beta_1: f64,
    /// The share of the mean square that is kept, from 0 to below 1.
    pub beta_2: f64,
    /// Added to the root; above 0.
    pub epsilon: f64,
    /// The share of the learning rate that is taken off every parameter before a step; [`Adam::with_weight_decay`] sets Keras' 0.004.
    pub weight_decay: Option<f64>,
    /// Whether the largest mean square so far is used; not together with a weight decay.
    pub amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, weight_decay: None, amsgrad: false }
    }
}

impl Adam {
    /// AdamW with Keras' defaults.
    pub fn with_weight_decay() -> Self {
        Self { weight_decay: Some(AdamSettings::WEIGHT_DECAY), ..Self::default() }
    }
}

/// Adam with Nesterov's momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nadam {
    /// About the length of a step.
    pub learning_rate: f32,
    /// The share of the mean that is kept, from 0 to below 1.
    pub beta_1: f64,
    /// The share of the mean square that is kept, from 0 to below 1.
    pub beta_2: f64,
    /// Added to the root; above 0.
    pub epsilon: f64,
}

impl Default for Nadam {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl From<Sgd> for Optimizer {
    fn from(optimizer: Sgd) -> Self {
        Self::Sgd(optimizer)
    }
}

impl From<RmsProp> for Optimizer {
    fn from(optimizer: RmsProp) -> Self {
        Self::RmsProp(optimizer)
    }
}

impl From<Adam> for Optimizer {
    fn from(optimizer: Adam) -> Self {
        Self::Adam(optimizer)
    }
}

impl From<Nadam> for Optimizer {
    fn from(optimizer: Nadam) -> Self {
        Self::Nadam(optimizer)
    }
}

/// How far training has come, as far as an optimizer needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Progress {
    steps: u64,
    nadam: NadamProgress,
}

impl Progress {
    /// The steps, and what Nadam keeps.
    #[cfg(feature = "io")]
    pub(super) fn saved(&self) -> (u64, NadamProgress) {
        (self.steps, self.nadam)
    }

    #[cfg(feature = "io")]
    pub(super) fn from_saved(steps: u64, nadam: NadamProgress) -> Self {
        Self { steps, nadam }
    }

    /// The number of steps taken.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}

impl Optimizer {
    /// The current learning rate.
    pub fn learning_rate(&self) -> f32 {
        match self {
            Self::Sgd(Sgd { learning_rate, .. })
            | Self::RmsProp(RmsProp { learning_rate, .. })
            | Self::Adam(Adam { learning_rate, .. })
            | Self::Nadam(Nadam { learning_rate, .. }) => *learning_rate,
        }
    }

    /// Changes the learning rate from the next step on.
    pub fn set_learning_rate(&mut self, new: f32) {
        match self {
            Self::Sgd(Sgd { learning_rate, .. })
            | Self::RmsProp(RmsProp { learning_rate, .. })
            | Self::Adam(Adam { learning_rate, .. })
            | Self::Nadam(Nadam { learning_rate, .. }) => *learning_rate = new,
        }
    }

    /// Takes the learning rate, and the momentum if there is one, of a step from a schedule.
    pub(super) fn follow(&mut self, schedule: &dyn LearningRateSchedule, step: u64) -> Result<(), ModelError> {
        let mut next = *self;
        next.set_learning_rate(schedule.learning_rate(step));
        if let (Self::Sgd(Sgd { momentum, .. }) | Self::RmsProp(RmsProp { momentum, .. }), Some(new)) =
            (&mut next, schedule.momentum(step))
        {
            // An optimizer without momentum has no room for a velocity.
            *momentum = if *momentum == 0.0 { 0.0 } else { new };
        }
        next.check()?;
        *self = next;
        Ok(())
    }

    /// Refuses settings outside of their ranges.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let learning_rate = self.learning_rate();
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            return Err(ModelError::setting("learning_rate", "a finite number not below 0", learning_rate));
        }
        let share = |name, found: f64| match (0.0..1.0).contains(&found) {
            true => Ok(()),
            false => Err(ModelError::setting(name, "a number from 0 to below 1", found)),
        };
        let momentum = |found: f32| match (0.0..=1.0).contains(&found) {
            true => Ok(()),
            false => Err(ModelError::setting("momentum", "a number from 0 to 1", found)),
        };
        let epsilon = |found: f64| match found.is_finite() && found as f32 > 0.0 {
            true => Ok(()),
            false => Err(ModelError::setting("epsilon", "a finite number above 0", found)),
        };
        match *self {
            Self::Sgd(sgd) => momentum(sgd.momentum),
            Self::RmsProp(rms) => share("rho", rms.rho).and(momentum(rms.momentum)).and(epsilon(rms.epsilon)),
            Self::Adam(adam) => {
                let decay = adam.weight_decay.unwrap_or(0.0);
                if !(decay.is_finite() && decay >= 0.0) {
                    return Err(ModelError::setting("weight_decay", "a finite number not below 0", decay));
                }
                if adam.amsgrad && adam.weight_decay.is_some() {
                    return Err(ModelError::setting("amsgrad", "no weight decay beside it", decay));
                }
                share("beta_1", adam.beta_1).and(share("beta_2", adam.beta_2)).and(epsilon(adam.epsilon))
            }
            Self::Nadam(nadam) => share("beta_1", nadam.beta_1).and(share("beta_2", nadam.beta_2)).and(epsilon(nadam.epsilon)),
        }
    }

    /// How many numbers of state it keeps for each parameter.
    pub(super) fn numbers_per_parameter(&self) -> usize {
        self.next_step(&mut Progress::default()).numbers_per_parameter()
    }

    /// The rule of the next step.
    pub(super) fn next_step(&self, progress: &mut Progress) -> kernels::Optimizer {
        progress.steps += 1;
        match *self {
            Self::Sgd(Sgd { learning_rate, momentum: 0.0, .. }) => kernels::Optimizer::Sgd(kernels::Sgd { learning_rate }),
            Self::Sgd(Sgd { learning_rate, momentum, nesterov }) => {
                let kind = if nesterov { MomentumKind::Nesterov } else { MomentumKind::Classic };
                kernels::Optimizer::Momentum(kernels::Momentum { learning_rate, momentum, kind })
            }
            Self::RmsProp(RmsProp { learning_rate, rho, momentum, epsilon, centered }) => {
                let rule = RmsPropSettings { learning_rate: learning_rate.into(), rho, epsilon }.rule();
                match (centered, momentum) {
                    (true, _) => kernels::Optimizer::CenteredRmsProp(CenteredRmsProp { rule, momentum }),
                    (false, 0.0) => kernels::Optimizer::RmsProp(rule),
                    (false, _) => kernels::Optimizer::RmsPropMomentum(RmsPropMomentum { rule, momentum }),
                }
            }
            Self::Adam(Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, amsgrad }) => {
                let settings = AdamSettings { learning_rate: learning_rate.into(), beta_1, beta_2, epsilon };
                let adam = settings.at_step(progress.steps);
                match weight_decay {
                    Some(decay) => kernels::Optimizer::AdamW(settings.at_step_with_decay(progress.steps, decay)),
                    None if amsgrad => kernels::Optimizer::AmsGrad(AmsGrad(adam)),
                    None => kernels::Optimizer::Adam(adam),
                }
            }
            Self::Nadam(Nadam { learning_rate, beta_1, beta_2, epsilon }) => {
                let settings = AdamSettings { learning_rate: learning_rate.into(), beta_1, beta_2, epsilon };
                kernels::Optimizer::Nadam(settings.next_nadam(&mut progress.nadam))
            }
        }
    }
}
