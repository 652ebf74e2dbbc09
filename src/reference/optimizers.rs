//! [`kernels::optimizers`](crate::kernels::optimizers) for one parameter: the same operations in the same order.
//!
//! A rule takes the gradient, and the weight followed by the parameter's other numbers, of which it gives the new values.

use super::{flush_denormal, flush_negligible, multiply_add};
use crate::kernels::optimizers::{
    Adam, AmsGrad, CenteredRmsProp, ClippedByValue, Decayed, Moments, Momentum, MomentumKind, Nadam, Regularized, Rescaled,
    RmsProp, RmsPropMomentum, Sgd,
};
use crate::simd::Isa;

/// A rule for one parameter.
pub trait Rule<const N: usize> {
    /// The new weight, followed by the parameter's other numbers.
    fn step(&self, isa: Isa, g: f32, parameters: [f32; N]) -> [f32; N];
}

/// A rule over slices.
pub fn update<const N: usize>(isa: Isa, rule: &impl Rule<N>, g: &[f32], mut parameters: [&mut [f32]; N]) {
    for (i, &g) in g.iter().enumerate() {
        let new = rule.step(isa, g, parameters.each_ref().map(|slice| slice[i]));
        for (slice, new) in parameters.iter_mut().zip(new) {
            slice[i] = new;
        }
    }
}

impl Rule<1> for Sgd {
    fn step(&self, _: Isa, g: f32, [w]: [f32; 1]) -> [f32; 1] {
        [w - self.learning_rate * g]
    }
}

impl Rule<2> for Momentum {
    fn step(&self, isa: Isa, g: f32, [w, v]: [f32; 2]) -> [f32; 2] {
        let step = -self.learning_rate * g;
        let v = flush_denormal(multiply_add(isa, self.momentum, v, step));
        match self.kind {
            MomentumKind::Classic => [w + v, v],
            MomentumKind::Nesterov => [w + multiply_add(isa, self.momentum, v, step), v],
        }
    }
}

fn mean_square(isa: Isa, rule: &RmsProp, g: f32, v: f32) -> f32 {
    flush_denormal(multiply_add(isa, rule.rho, v, rule.one_minus_rho * g * g))
}

impl Rule<2> for RmsProp {
    fn step(&self, isa: Isa, g: f32, [w, v]: [f32; 2]) -> [f32; 2] {
        let g = flush_negligible(g);
        let v = mean_square(isa, self, g, v);
        [w - self.learning_rate * g / (v + self.epsilon).sqrt(), v]
    }
}

impl Rule<3> for RmsPropMomentum {
    fn step(&self, isa: Isa, g: f32, [w, v, m]: [f32; 3]) -> [f32; 3] {
        let g = flush_negligible(g);
        let v = mean_square(isa, &self.rule, g, v);
        let step = self.rule.learning_rate * g / (v + self.rule.epsilon).sqrt();
        let m = flush_denormal(multiply_add(isa, self.momentum, m, step));
        [w - m, v, m]
    }
}

impl Rule<4> for CenteredRmsProp {
    fn step(&self, isa: Isa, g: f32, [w, v, m, a]: [f32; 4]) -> [f32; 4] {
        let g = flush_negligible(g);
        let v = mean_square(isa, &self.rule, g, v);
        let a = flush_negligible(multiply_add(isa, self.rule.rho, a, self.rule.one_minus_rho * g));
        let step = self.rule.learning_rate * g / (v - a * a + self.rule.epsilon).sqrt();
        let m = flush_denormal(multiply_add(isa, self.momentum, m, step));
        [w - m, v, m, a]
    }
}

fn moments(isa: Isa, moments: &Moments, g: f32, m: f32, v: f32) -> (f32, f32) {
    let g = flush_negligible(g);
    let m = multiply_add(isa, moments.one_minus_beta_1, g - m, m);
    let v = multiply_add(isa, moments.one_minus_beta_2, g * g - v, v);
    (flush_negligible(m), flush_denormal(v))
}

impl Rule<3> for Adam {
    fn step(&self, isa: Isa, g: f32, [w, m, v]: [f32; 3]) -> [f32; 3] {
        let (m, v) = moments(isa, &self.moments, g, m, v);
        [w - self.alpha * m / (v.sqrt() + self.epsilon), m, v]
    }
}

impl Rule<4> for AmsGrad {
    fn step(&self, isa: Isa, g: f32, [w, m, v, h]: [f32; 4]) -> [f32; 4] {
        let (m, v) = moments(isa, &self.0.moments, g, m, v);
        let h = if h < v || v.is_nan() { v } else { h };
        [w - self.0.alpha * m / (h.sqrt() + self.0.epsilon), m, v, h]
    }
}

impl Rule<3> for Nadam {
    fn step(&self, isa: Isa, g: f32, [w, m, v]: [f32; 3]) -> [f32; 3] {
        let (m, v) = moments(isa, &self.moments, g, m, v);
        let numerator = multiply_add(isa, self.mean, m, self.gradient * flush_negligible(g));
        [w - numerator / ((v * self.mean_square).sqrt() + self.epsilon), m, v]
    }
}

impl<R: Rule<N>, const N: usize> Rule<N> for Regularized<R> {
    fn step(&self, isa: Isa, g: f32, parameters: [f32; N]) -> [f32; N] {
        let w = parameters[0];
        let by_l1 = if w > 0.0 {
            self.l1
        } else if w < 0.0 {
            -self.l1
        } else {
            0.0
        };
        self.rule.step(isa, flush_negligible(multiply_add(isa, 2.0 * self.l2, w, g) + by_l1), parameters)
    }
}

impl<R: Rule<N>, const N: usize> Rule<N> for Rescaled<R> {
    fn step(&self, isa: Isa, g: f32, parameters: [f32; N]) -> [f32; N] {
        self.rule.step(isa, self.factor * g, parameters)
    }
}

impl<R: Rule<N>, const N: usize> Rule<N> for ClippedByValue<R> {
    fn step(&self, isa: Isa, g: f32, parameters: [f32; N]) -> [f32; N] {
        let clipped = if g > self.limit {
            self.limit
        } else if g < -self.limit {
            -self.limit
        } else {
            g
        };
        self.rule.step(isa, clipped, parameters)
    }
}

impl<R: Rule<N>, const N: usize> Rule<N> for Decayed<R> {
    fn step(&self, isa: Isa, g: f32, mut parameters: [f32; N]) -> [f32; N] {
        parameters[0] = flush_negligible(multiply_add(isa, -self.share, parameters[0], parameters[0]));
        self.rule.step(isa, g, parameters)
    }
}
