//! [`kernels::optimizers`](crate::kernels::optimizers) for one parameter at a time.

use super::multiply_add;
use crate::kernels::optimizers::{Momentum, MomentumKind, Sgd};
use crate::simd::Isa;

/// An optimizer's rule for one parameter, which is followed by its state in `parameters`.
pub trait Rule<const N: usize> {
    /// The parameter and its state after one step with gradient `g`.
    fn step(&self, isa: Isa, g: f32, parameters: [f32; N]) -> [f32; N];
}

impl Rule<1> for Sgd {
    fn step(&self, _: Isa, g: f32, [w]: [f32; 1]) -> [f32; 1] {
        [w - self.learning_rate * g]
    }
}

impl Rule<2> for Momentum {
    fn step(&self, isa: Isa, g: f32, [w, v]: [f32; 2]) -> [f32; 2] {
        let step = -(self.learning_rate * g);
        let v = multiply_add(isa, self.momentum, v, step);
        match self.kind {
            MomentumKind::Classic => [w + v, v],
            MomentumKind::Nesterov => [w + multiply_add(isa, self.momentum, v, step), v],
        }
    }
}

/// One step over flat slices: the weights and each kind of state are `parameters`, in this order.
///
/// # Panics
/// If a slice of parameters is shorter than `g`.
pub fn update<const N: usize>(isa: Isa, rule: &impl Rule<N>, g: &[f32], mut parameters: [&mut [f32]; N]) {
    for (i, &g) in g.iter().enumerate() {
        let stepped = rule.step(isa, g, parameters.each_ref().map(|slice| slice[i]));
        for (slice, value) in parameters.iter_mut().zip(stepped) {
            slice[i] = value;
        }
    }
}
