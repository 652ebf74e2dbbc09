//! [`kernels::activations`](crate::kernels::activations) for one number: the same operations in the same order.

use super::{flush_negligible, math, multiply_add};
use crate::kernels::activations::*;
use crate::kernels::math::SIGMOID_LOWEST;
use crate::simd::Isa;

/// The twin of [`Activation`]: the same formula on one number, with the rounding of `isa`.
pub trait Scalar: Activation {
    /// `y = f(z)`
    fn forward(&self, isa: Isa, z: f32) -> f32;
    /// `dz = f'(z) dy`, with `at` being `z` or `y`, as [`Activation::DERIVATIVE_FROM`] says.
    fn backward(&self, isa: Isa, at: f32, dy: f32) -> f32;
}

impl<A: Scalar> Scalar for Flushed<A> {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        flush_negligible(Scalar::forward(&self.0, isa, math::clamp(z, -REACHED, f32::INFINITY)))
    }
    fn backward(&self, isa: Isa, at: f32, dy: f32) -> f32 {
        let at = match A::DERIVATIVE_FROM {
            Source::Input => math::clamp(at, -REACHED, REACHED),
            Source::Output => at,
        };
        flush_negligible(Scalar::backward(&self.0, isa, at, dy))
    }
}

impl Scalar for Heaviside {
    fn forward(&self, _: Isa, z: f32) -> f32 {
        if z.is_nan() {
            z
        } else if z < 0.0 {
            0.0
        } else {
            1.0
        }
    }
    fn backward(&self, _: Isa, _: f32, dy: f32) -> f32 {
        if dy.is_nan() { dy } else { 0.0 }
    }
}

impl Scalar for Sign {
    fn forward(&self, _: Isa, z: f32) -> f32 {
        if z == 0.0 || z.is_nan() { z } else { z.signum() }
    }
    fn backward(&self, _: Isa, _: f32, dy: f32) -> f32 {
        if dy.is_nan() { dy } else { 0.0 }
    }
}

impl Scalar for Linear {
    fn forward(&self, _: Isa, z: f32) -> f32 {
        z
    }
    fn backward(&self, _: Isa, _: f32, dy: f32) -> f32 {
        dy
    }
}

impl Scalar for Relu {
    fn forward(&self, _: Isa, z: f32) -> f32 {
        if z <= 0.0 { 0.0 } else { z }
    }
    fn backward(&self, _: Isa, y: f32, dy: f32) -> f32 {
        if y <= 0.0 { 0.0 } else { dy }
    }
}

impl Scalar for LeakyRelu {
    fn forward(&self, _: Isa, z: f32) -> f32 {
        if z <= 0.0 { self.slope() * z } else { z }
    }
    fn backward(&self, _: Isa, y: f32, dy: f32) -> f32 {
        if y <= 0.0 { self.slope() * dy } else { dy }
    }
}

impl Scalar for Elu {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        if z > 0.0 { z } else { self.alpha() * math::expm1(isa, z) }
    }
    fn backward(&self, _: Isa, y: f32, dy: f32) -> f32 {
        if y > 0.0 { dy } else { (y + self.alpha()) * dy }
    }
}

impl Scalar for Selu {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        if z > 0.0 { Self::SCALE * z } else { Self::SCALE_ALPHA * math::expm1(isa, z) }
    }
    fn backward(&self, _: Isa, y: f32, dy: f32) -> f32 {
        if y > 0.0 { Self::SCALE * dy } else { (y + Self::SCALE_ALPHA) * dy }
    }
}

impl Scalar for Gelu {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        let tail = math::NormalTail::new(isa, z);
        let (y, y_low) = tail.probability(isa);
        let product = tail.t * y;
        let product_low = multiply_add(isa, tail.t, y_low, multiply_add(isa, tail.t, y, -product));
        let tail = math::scale(product + product_low, tail.n);
        if z < 0.0 { -tail } else { z - tail }
    }
    fn backward(&self, isa: Isa, z: f32, dy: f32) -> f32 {
        let math::NormalTail { t, p, m, inverse, n, .. } = math::NormalTail::new(isa, z);
        let tail = math::scale(multiply_add(isa, t, -DENSITY, m * inverse) * p, n);
        let slope = if z < 0.0 { tail } else { 1.0 - tail };
        slope * dy
    }
}

impl Scalar for GeluTanh {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        let z = math::clamp(z, -Self::FAR, f32::INFINITY);
        let v = z * multiply_add(isa, z * z, Self::CUBIC, Self::LINEAR);
        let (s, n) = math::sigmoid_parts(isa, v);
        math::scale(z * s, n)
    }
    fn backward(&self, isa: Isa, z: f32, dy: f32) -> f32 {
        let z = math::clamp(z, -Self::FAR, Self::FAR);
        let square = z * z;
        let v = z * multiply_add(isa, square, Self::CUBIC, Self::LINEAR);
        let dv = multiply_add(isa, square, 3.0 * Self::CUBIC, Self::LINEAR);
        sigmoid_product_slope(isa, v, z * dv) * dy
    }
}

fn sigmoid_product_slope(isa: Isa, v: f32, a: f32) -> f32 {
    let smaller = math::sigmoid(isa, -v.abs());
    let larger = 1.0 - smaller;
    multiply_add(isa, smaller * larger, a, if v < 0.0 { smaller } else { larger })
}

impl Scalar for Swish {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        let z = math::clamp(z, SIGMOID_LOWEST, f32::INFINITY);
        let (s, n) = math::sigmoid_parts(isa, z);
        math::scale(z * s, n)
    }
    fn backward(&self, isa: Isa, z: f32, dy: f32) -> f32 {
        let z = math::clamp(z, SIGMOID_LOWEST, -SIGMOID_LOWEST);
        sigmoid_product_slope(isa, z, z) * dy
    }
}

impl Scalar for Softplus {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        math::softplus(isa, z)
    }
    fn backward(&self, isa: Isa, y: f32, dy: f32) -> f32 {
        -math::expm1(isa, -y) * dy
    }
}

impl Scalar for Sigmoid {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        math::sigmoid(isa, z)
    }
    fn backward(&self, _: Isa, y: f32, dy: f32) -> f32 {
        y * (1.0 - y) * dy
    }
}

impl Scalar for Tanh {
    fn forward(&self, isa: Isa, z: f32) -> f32 {
        math::tanh(isa, z)
    }
    fn backward(&self, _: Isa, y: f32, dy: f32) -> f32 {
        (1.0 - y) * (1.0 + y) * dy
    }
}

/// `z > 0 ? x : alpha x`, NaN in `z` counting as positive.
pub fn prelu(alpha: f32, z: f32, x: f32) -> f32 {
    if z <= 0.0 { alpha * x } else { x }
}

/// `z > 0 ? 0 : z dy`
pub fn prelu_alpha_term(z: f32, dy: f32) -> f32 {
    if z > 0.0 { 0.0 } else { z * dy }
}
