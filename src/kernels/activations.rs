//! Activation functions, forward and backward.
//!
//! | struct | `y = f(z)` | `f'` from | `f'` |
//! |---|---|---|---|
//! | [`Heaviside`] | `z >= 0 ? 1 : 0` | output | 0 |
//! | [`Sign`] | `-1`, `0` or `1` | output | 0 |
//! | [`Linear`] | `z` | output | 1 |
//! | [`Relu`] | `z > 0 ? z : 0` | output | `y > 0 ? 1 : 0` |
//! | [`LeakyRelu`] | `z > 0 ? z : slope z` | output | `y > 0 ? 1 : slope` |
//! | [`Elu`] | `z > 0 ? z : alpha (e^z - 1)` | output | `y > 0 ? 1 : y + alpha` |
//! | [`Selu`] | `z > 0 ? scale z : scale alpha (e^z - 1)` | output | `y > 0 ? scale : y + scale alpha` |
//! | [`Gelu`] | `z Phi(z)` | input | `Phi(z) + z phi(z)` |
//! | [`GeluTanh`] | `z sigmoid(v)`, `v = sqrt(8 / pi) (z + 0.044715 z^3)` | input | `s + z s (1 - s) v'` |
//! | [`Swish`] | `z sigmoid(z)` | input | `s + z s (1 - s)` |
//! | [`Softplus`] | `ln(1 + e^z)` | output | `1 - e^-y` |
//! | [`Sigmoid`] | `1 / (1 + e^-z)` | output | `y (1 - y)` |
//! | [`Tanh`] | `tanh z` | output | `(1 - y) (1 + y)` |
//!
//! `Phi` and `phi` are the distribution function and the density of the normal distribution, `s` is the sigmoid above. PReLU has a
//! parameter per feature and so a shape of its own: [`prelu_forward`], [`prelu_backward`], [`prelu_alpha_terms`]. Softmax couples
//! the elements of a row and is no activation in this sense.
//!
//! An activation is a small struct with the trait [`Activation`], which works on one vector; so the same code runs over slices
//! ([`forward`], [`backward`]) and inside other kernels. Where the output determines the derivative, the derivative is taken from
//! it, and `z` need not be stored: [`Activation::DERIVATIVE_FROM`].
//!
//! # Conventions
//!
//! * At the kink of ReLU and its kin the derivative is the one from the left, as if `z` were negative.
//! * NaN in, NaN out, for every function. The derivatives of ReLU, leaky ReLU and PReLU are masks: where the mask is not set, `dy`
//!   is replaced or scaled, and NaN counts as set.
//! * At negative infinity GELU and swish are `-0`, their limit, and not the NaN of `-inf * 0`.
//!
//! # Accuracy
//!
//! Largest error of the forward functions in units in the last place (ULP) of the exact result, with fused multiply-add and without,
//! measured by `tests/exhaustive.rs` over all `2^32` arguments:
//!
//! | sigmoid | tanh | softplus | elu, `alpha = 1` | selu | swish | gelu | gelu, tanh |
//! |---|---|---|---|---|---|---|---|
//! | 0.793, 1.474 | 0.723, 0.809 | 0.976, 0.978 | 0.894, 0.900 | 1.901, 1.901 | 1.522, 2.352 | 1.304, 3.201 | 215, 215 |
//!
//! Relu and its kin are exact but for the product with the slope. GELU multiplies an exponential, a polynomial and a quotient; their
//! rounding errors are kept until the end, which takes 1.8 times as long as without, when the error was 4.6. [`GeluTanh`] says where
//! its large relative errors are. The derivatives have absolute errors, for
//! `dy = 1`, of at most `2^-24` (elu, sigmoid), `2^-23` (tanh, softplus) and `2^-22` (the others), twice that without fused
//! multiply-add; the tests assert these bounds, from `z` by way of `y`, for `|z| <= 30`.
//!
//! A pass reads and writes 4 bytes per element each; backward reads two arrays.

use super::math;
use crate::simd::{Isa, MapOp, Simd, slice};

/// What a derivative is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The argument `z` of the function, which must be stored until the backward pass.
    Input,
    /// The value `y` of the function.
    Output,
}

/// A function of one element with its derivative. Implementations are `#[inline(always)]`.
pub trait Activation: Copy {
    /// Whether [`Activation::backward`] wants `z` or `y`.
    const DERIVATIVE_FROM: Source;
    /// `y = f(z)`
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32;
    /// `dz = f'(z) dy`, with `at` being `z` or `y`, as [`Activation::DERIVATIVE_FROM`] says.
    fn backward<S: Simd>(&self, simd: S, at: S::F32, dy: S::F32) -> S::F32;
}

/// `y[i] = f(z[i])`
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn forward(isa: Isa, activation: impl Activation, z: &[f32], y: &mut [f32]) {
    slice::map(isa, Forward(activation), [z], [y]);
}

/// `x[i] = f(x[i])`
pub fn forward_in_place(isa: Isa, activation: impl Activation, x: &mut [f32]) {
    slice::map(isa, Forward(activation), [], [x]);
}

/// `dz[i] = f'(z[i]) dy[i]`, with `at` being `z` or `y`, as [`Activation::DERIVATIVE_FROM`] says.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn backward(isa: Isa, activation: impl Activation, at: &[f32], dy: &[f32], dz: &mut [f32]) {
    slice::map(isa, Backward(activation), [at, dy], [dz]);
}

/// [`backward`] with `dz` in the place of `dy`.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn backward_in_place(isa: Isa, activation: impl Activation, at: &[f32], dy: &mut [f32]) {
    slice::map(isa, Backward(activation), [at], [dy]);
}

struct Forward<A>(A);

impl<A: Activation> MapOp<1, 1> for Forward<A> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [z]: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] {
        [self.0.forward(simd, z)]
    }
}

impl<A: Activation> MapOp<0, 1> for Forward<A> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, _: [S::F32; 0], [x]: [S::F32; 1]) -> [S::F32; 1] {
        [self.0.forward(simd, x)]
    }
}

struct Backward<A>(A);

impl<A: Activation> MapOp<2, 1> for Backward<A> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [at, dy]: [S::F32; 2], _: [S::F32; 1]) -> [S::F32; 1] {
        [self.0.backward(simd, at, dy)]
    }
}

impl<A: Activation> MapOp<1, 1> for Backward<A> {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [at]: [S::F32; 1], [dy]: [S::F32; 1]) -> [S::F32; 1] {
        [self.0.backward(simd, at, dy)]
    }
}

/// Zero where `x` is a number, else NaN.
#[inline(always)]
fn zero_unless_nan<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    simd.select(simd.eq(x, x), simd.zero(), x)
}

/// An activation with an exponential function in it, whose values and gradients are 0 where they are below `2^-63`.
///
/// So it is in the layers of a network, but for outputs: what becomes an operand of a product is no denormal number then, and neither are the terms of
/// that product. A sigmoid, a swish, a softplus or a GELU of large arguments, as those of inputs that nobody has scaled, is one often, and some
/// processors take a hundred times as long for each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flushed<A>(pub A);

/// Where such functions have reached their limits: below its negative, each is its limit or less than `2^-63` away, and above, the derivatives are. So
/// no exponential function is denormal on the way.
pub(crate) const REACHED: f32 = 48.0;

impl<A: Activation> Activation for Flushed<A> {
    const DERIVATIVE_FROM: Source = A::DERIVATIVE_FROM;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        // In this order of arguments NaN stays.
        let z = simd.max(simd.splat(-REACHED), z);
        simd.flush_negligible(self.0.forward(simd, z))
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, at: S::F32, dy: S::F32) -> S::F32 {
        let at = match A::DERIVATIVE_FROM {
            Source::Input => math::clamp(simd, at, -REACHED, REACHED),
            Source::Output => at,
        };
        simd.flush_negligible(self.0.backward(simd, at, dy))
    }
}

/// The step function: 0 for negative `z`, else 1.
///
/// It cannot train: its derivative is zero wherever it exists, so no gradient reaches the weights below it. That is why the
/// threshold units of the perceptron gave way to the sigmoid.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heaviside;

impl Activation for Heaviside {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        let y = simd.select(simd.le(simd.zero(), z), simd.splat(1.0), z);
        simd.select(simd.lt(z, simd.zero()), simd.zero(), y)
    }
    /// Zero; NaN where `dy` is.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, _: S::F32, dy: S::F32) -> S::F32 {
        zero_unless_nan(simd, dy)
    }
}

/// The sign: -1, 0 or 1. Like [`Heaviside`] it cannot train, since its derivative is zero wherever it exists.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sign;

impl Activation for Sign {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        let y = simd.select(simd.lt(simd.zero(), z), simd.splat(1.0), z);
        simd.select(simd.lt(z, simd.zero()), simd.splat(-1.0), y)
    }
    /// Zero; NaN where `dy` is.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, _: S::F32, dy: S::F32) -> S::F32 {
        zero_unless_nan(simd, dy)
    }
}

/// The identity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Linear;

impl Activation for Linear {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, _: S, z: S::F32) -> S::F32 {
        z
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, _: S, _: S::F32, dy: S::F32) -> S::F32 {
        dy
    }
}

/// `max(z, 0)` as compare-and-mask: `z` is kept unless `z <= 0`, so NaN stays. The mask of the output is that of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Relu;

impl Activation for Relu {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        simd.select(simd.le(z, simd.zero()), simd.zero(), z)
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, y: S::F32, dy: S::F32) -> S::F32 {
        simd.select(simd.le(y, simd.zero()), simd.zero(), dy)
    }
}

/// `z` for positive `z`, else `slope z`.
///
/// The default is that of Keras' function, 0.2; Keras' layer of this name has 0.3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakyRelu {
    slope: f32,
}

impl LeakyRelu {
    /// # Panics
    /// If the slope is negative or NaN: the sign of the output would not tell that of the input. For such slopes there is PReLU.
    #[track_caller]
    pub fn new(slope: f32) -> Self {
        assert!(slope >= 0.0, "a slope of at least 0 expected, found {slope}");
        Self { slope }
    }

    /// The factor of negative arguments.
    pub const fn slope(&self) -> f32 {
        self.slope
    }
}

impl Default for LeakyRelu {
    fn default() -> Self {
        Self { slope: 0.2 }
    }
}

impl Activation for LeakyRelu {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        simd.select(simd.le(z, simd.zero()), simd.mul(z, simd.splat(self.slope)), z)
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, y: S::F32, dy: S::F32) -> S::F32 {
        simd.select(simd.le(y, simd.zero()), simd.mul(dy, simd.splat(self.slope)), dy)
    }
}

/// `z` for positive `z`, else `alpha (e^z - 1)`. The default of `alpha` is 1, as in Keras.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elu {
    alpha: f32,
}

impl Elu {
    /// # Panics
    /// If `alpha` is negative or NaN: the sign of the output would not tell that of the input.
    #[track_caller]
    pub fn new(alpha: f32) -> Self {
        assert!(alpha >= 0.0, "an alpha of at least 0 expected, found {alpha}");
        Self { alpha }
    }

    /// The magnitude of the lower limit.
    pub const fn alpha(&self) -> f32 {
        self.alpha
    }
}

impl Default for Elu {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl Activation for Elu {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        simd.select(simd.lt(simd.zero(), z), z, simd.mul(math::expm1(simd, z), simd.splat(self.alpha)))
    }
    /// `y + alpha` is exact but for one rounding of at most half a unit in the last place of `alpha`.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, y: S::F32, dy: S::F32) -> S::F32 {
        simd.select(simd.lt(simd.zero(), y), dy, simd.mul(simd.add(y, simd.splat(self.alpha)), dy))
    }
}

/// The self-normalizing [`Elu`]: `scale z` for positive `z`, else `scale alpha (e^z - 1)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Selu;

impl Selu {
    /// The `alpha` for which mean 0 and variance 1 are a stable fixed point.
    pub const ALPHA: f32 = 1.673_263_2;
    /// The scale that belongs to it.
    pub const SCALE: f32 = 1.050_701;
    /// `SCALE * ALPHA`, rounded once.
    pub const SCALE_ALPHA: f32 = 1.758_099_3;
}

impl Activation for Selu {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        let negative = simd.mul(math::expm1(simd, z), simd.splat(Self::SCALE_ALPHA));
        simd.select(simd.lt(simd.zero(), z), simd.mul(z, simd.splat(Self::SCALE)), negative)
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, y: S::F32, dy: S::F32) -> S::F32 {
        let slope = simd.select(simd.lt(simd.zero(), y), simd.splat(Self::SCALE), simd.add(y, simd.splat(Self::SCALE_ALPHA)));
        simd.mul(slope, dy)
    }
}

/// The Gaussian error linear unit, `z Phi(z)`, computed from the tail of the normal distribution and so without cancellation for
/// negative `z`. Not monotonic: the output does not determine the derivative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gelu;

/// `1 / sqrt(2 pi)`
pub(crate) const DENSITY: f32 = 0.398_942_3;

impl Activation for Gelu {
    const DERIVATIVE_FROM: Source = Source::Input;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        let tail = math::NormalTail::new(simd, z);
        // t (y + y_low), whose rounding error is added before it may become denormal.
        let (y, y_low) = tail.probability(simd);
        let product = simd.mul(tail.t, y);
        let product_low = simd.mul_add(tail.t, y, simd.sub(simd.zero(), product));
        let product_low = simd.mul_add(tail.t, y_low, product_low);
        let tail = math::scale(simd, simd.add(product, product_low), tail.n);
        simd.select(simd.lt(z, simd.zero()), simd.mul(tail, simd.splat(-1.0)), simd.sub(z, tail))
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, z: S::F32, dy: S::F32) -> S::F32 {
        // The absolute error counts here, so the factors are taken as they are.
        let math::NormalTail { t, p, m, inverse, n, .. } = math::NormalTail::new(simd, z);
        let slope = simd.mul_add(t, simd.splat(-DENSITY), simd.mul(m, inverse));
        let tail = math::scale(simd, simd.mul(slope, p), n);
        let slope = simd.select(simd.lt(z, simd.zero()), tail, simd.sub(simd.splat(1.0), tail));
        simd.mul(slope, dy)
    }
}

/// The approximation of [`Gelu`] by the hyperbolic tangent, `z (1 + tanh(v / 2)) / 2 = z sigmoid(v)` with
/// `v = sqrt(8 / pi) (z + 0.044715 z^3)`.
///
/// The rounding of `v` shows in the tail: for negative `z` the relative error grows with `|v|`, to 215 units in the last place at
/// `z = -10`, where the function is `-4.7e-38`; the absolute error stays below `2^-23`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GeluTanh;

impl GeluTanh {
    /// `sqrt(8 / pi)`
    pub(crate) const LINEAR: f32 = 1.595_769_2;
    /// `0.044715 sqrt(8 / pi)`
    pub(crate) const CUBIC: f32 = 0.071_354_814;
    /// Beyond this magnitude the function is `z` or zero.
    pub(crate) const FAR: f32 = 15.0;
}

impl Activation for GeluTanh {
    const DERIVATIVE_FROM: Source = Source::Input;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        let z = simd.max(simd.splat(-Self::FAR), z);
        let v = simd.mul(z, simd.mul_add(simd.mul(z, z), simd.splat(Self::CUBIC), simd.splat(Self::LINEAR)));
        let (s, n) = math::sigmoid_parts(simd, v);
        math::scale(simd, simd.mul(z, s), n)
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, z: S::F32, dy: S::F32) -> S::F32 {
        let z = math::clamp(simd, z, -Self::FAR, Self::FAR);
        let square = simd.mul(z, z);
        let linear = simd.splat(Self::LINEAR);
        let v = simd.mul(z, simd.mul_add(square, simd.splat(Self::CUBIC), linear));
        let dv = simd.mul_add(square, simd.splat(3.0 * Self::CUBIC), linear);
        simd.mul(sigmoid_product_slope(simd, v, simd.mul(z, dv)), dy)
    }
}

/// `s + a s (1 - s)` with the sigmoid `s` of `v`: the derivative of `z s` if `a = z v'`. By way of `sigmoid(-|v|)`, so that `1 - s`
/// does not cancel.
#[inline(always)]
fn sigmoid_product_slope<S: Simd>(simd: S, v: S::F32, a: S::F32) -> S::F32 {
    let smaller = math::sigmoid(simd, simd.sub(simd.zero(), simd.abs(v)));
    let larger = simd.sub(simd.splat(1.0), smaller);
    let s = simd.select(simd.lt(v, simd.zero()), smaller, larger);
    simd.mul_add(simd.mul(smaller, larger), a, s)
}

/// `z sigmoid(z)`, also called SiLU. Not monotonic: the output does not determine the derivative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Swish;

impl Activation for Swish {
    const DERIVATIVE_FROM: Source = Source::Input;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        let z = simd.max(simd.splat(math::SIGMOID_LOWEST), z);
        let (s, n) = math::sigmoid_parts(simd, z);
        math::scale(simd, simd.mul(z, s), n)
    }
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, z: S::F32, dy: S::F32) -> S::F32 {
        let z = math::clamp(simd, z, math::SIGMOID_LOWEST, -math::SIGMOID_LOWEST);
        simd.mul(sigmoid_product_slope(simd, z, z), dy)
    }
}

/// `ln(1 + e^z)`, see [`math::softplus`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Softplus;

impl Activation for Softplus {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        math::softplus(simd, z)
    }
    /// `sigmoid(z) = 1 - e^-y`, to full accuracy for small `y` too.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, y: S::F32, dy: S::F32) -> S::F32 {
        let minus_slope = math::expm1(simd, simd.mul(y, simd.splat(-1.0)));
        simd.mul(minus_slope, simd.mul(dy, simd.splat(-1.0)))
    }
}

/// `1 / (1 + e^-z)`, see [`math::sigmoid`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sigmoid;

impl Activation for Sigmoid {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        math::sigmoid(simd, z)
    }
    /// Near `y = 1` the rounding of `y` shows: the absolute error of `y (1 - y)` is about `2^-25`.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, y: S::F32, dy: S::F32) -> S::F32 {
        simd.mul(simd.mul(y, simd.sub(simd.splat(1.0), y)), dy)
    }
}

/// The hyperbolic tangent, see [`math::tanh`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tanh;

impl Activation for Tanh {
    const DERIVATIVE_FROM: Source = Source::Output;
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, z: S::F32) -> S::F32 {
        math::tanh(simd, z)
    }
    /// Near `|y| = 1` the rounding of `y` shows: the absolute error of `1 - y^2` is about `2^-24`.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, y: S::F32, dy: S::F32) -> S::F32 {
        let one = simd.splat(1.0);
        simd.mul(simd.mul(simd.sub(one, y), simd.add(one, y)), dy)
    }
}

/// PReLU of one row: `y[j] = z[j] > 0 ? z[j] : alpha[j] z[j]`, with a trained `alpha` per feature. Any sign of `alpha` is allowed, so
/// its derivatives need `z`.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn prelu_forward(isa: Isa, alpha: &[f32], z: &[f32], y: &mut [f32]) {
    struct Op;
    impl MapOp<2, 1> for Op {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [alpha, z]: [S::F32; 2], _: [S::F32; 1]) -> [S::F32; 1] {
            [prelu(simd, alpha, z, z)]
        }
    }
    slice::map(isa, Op, [alpha, z], [y]);
}

/// PReLU of one row, backward to its argument: `dz[j] = z[j] > 0 ? dy[j] : alpha[j] dy[j]`.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn prelu_backward(isa: Isa, alpha: &[f32], z: &[f32], dy: &[f32], dz: &mut [f32]) {
    struct Op;
    impl MapOp<3, 1> for Op {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [alpha, z, dy]: [S::F32; 3], _: [S::F32; 1]) -> [S::F32; 1] {
            [prelu(simd, alpha, z, dy)]
        }
    }
    slice::map(isa, Op, [alpha, z, dy], [dz]);
}

/// [`prelu_forward`] in place.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn prelu_forward_in_place(isa: Isa, alpha: &[f32], x: &mut [f32]) {
    struct Op;
    impl MapOp<1, 1> for Op {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [alpha]: [S::F32; 1], [z]: [S::F32; 1]) -> [S::F32; 1] {
            [prelu(simd, alpha, z, z)]
        }
    }
    slice::map(isa, Op, [alpha], [x]);
}

/// [`prelu_backward`] and [`prelu_alpha_terms`] in one pass: `dz` takes the place of `dy`, and the terms that of `z`.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn prelu_backward_in_place(isa: Isa, alpha: &[f32], z: &mut [f32], dy: &mut [f32]) {
    struct Op;
    impl MapOp<1, 2> for Op {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [alpha]: [S::F32; 1], [z, dy]: [S::F32; 2]) -> [S::F32; 2] {
            [prelu_alpha_term(simd, z, dy), prelu(simd, alpha, z, dy)]
        }
    }
    slice::map(isa, Op, [alpha], [z, dy]);
}

/// PReLU of one row, backward to its parameters: `terms[j] = z[j] > 0 ? 0 : z[j] dy[j]`. The gradient of `alpha` is the sum of these
/// over the rows of the batch.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn prelu_alpha_terms(isa: Isa, z: &[f32], dy: &[f32], terms: &mut [f32]) {
    struct Op;
    impl MapOp<2, 1> for Op {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [z, dy]: [S::F32; 2], _: [S::F32; 1]) -> [S::F32; 1] {
            [prelu_alpha_term(simd, z, dy)]
        }
    }
    slice::map(isa, Op, [z, dy], [terms]);
}

/// `z > 0 ? x : alpha x`: with `x = z` PReLU itself, with `x = dy` its gradient. NaN in `z` counts as positive.
#[inline(always)]
pub fn prelu<S: Simd>(simd: S, alpha: S::F32, z: S::F32, x: S::F32) -> S::F32 {
    simd.select(simd.le(z, simd.zero()), simd.mul(alpha, x), x)
}

/// `z > 0 ? 0 : z dy`, what one element adds to the gradient of its `alpha`. NaN in `z` stays.
#[inline(always)]
pub fn prelu_alpha_term<S: Simd>(simd: S, z: S::F32, dy: S::F32) -> S::F32 {
    simd.select(simd.lt(simd.zero(), z), simd.zero(), simd.mul(z, dy))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::reference::activations::{self as twin, Scalar};
    use crate::reference::math::special_values;
    use crate::simd::LANES;

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    fn normal_cdf(z: f64) -> f64 {
        0.5 * libm::erfc(-z * core::f64::consts::FRAC_1_SQRT_2)
    }

    fn sigmoid(z: f64) -> f64 {
        1.0 / (1.0 + (-z).exp())
    }

    fn elu(z: f64, scale: f64, alpha: f64) -> f64 {
        scale * if z > 0.0 { z } else { alpha * z.exp_m1() }
    }

    /// Runs a generic test function with every activation, its formula in `f64`, and the largest absolute error of its derivative.
    macro_rules! with_every_activation {
        ($test:ident) => {
            $test("heaviside", Heaviside, |z| if z >= 0.0 { 1.0 } else { 0.0 }, 0.0);
            $test("sign", Sign, |z| if z == 0.0 { z } else { z.signum() }, 0.0);
            $test("linear", Linear, |z| z, 0.0);
            $test("relu", Relu, |z| if z > 0.0 { z } else { 0.0 }, 0.0);
            $test("leaky_relu", LeakyRelu::default(), |z| if z > 0.0 { z } else { f64::from(0.2f32) * z }, 0.0);
            $test("leaky_relu 3", LeakyRelu::new(3.0), |z| if z > 0.0 { z } else { 3.0 * z }, 0.0);
            $test("elu", Elu::default(), |z| elu(z, 1.0, 1.0), 2f64.powi(-24));
            $test("elu 0", Elu::new(0.0), |z| elu(z, 1.0, 0.0), 0.0);
            $test("elu 1.7", Elu::new(1.7), |z| elu(z, 1.0, f64::from(1.7f32)), 2f64.powi(-22));
            $test("selu", Selu, |z| elu(z, 1.050_700_987_355_480_5, 1.673_263_242_354_377_2), 2f64.powi(-22));
            $test("gelu", Gelu, |z| z * normal_cdf(z), 2f64.powi(-22));
            $test(
                "gelu tanh",
                GeluTanh,
                |z| z * sigmoid((8.0 / core::f64::consts::PI).sqrt() * (z + 0.044715 * z * z * z)),
                2f64.powi(-22),
            );
            $test("swish", Swish, |z| z * sigmoid(z), 2f64.powi(-22));
            $test("softplus", Softplus, |z| z.max(0.0) + (-z.abs()).exp().ln_1p(), 2f64.powi(-23));
            $test("sigmoid", Sigmoid, sigmoid, 2f64.powi(-24));
            $test("tanh", Tanh, f64::tanh, 2f64.powi(-23));
            $test("flushed sigmoid", Flushed(Sigmoid), sigmoid, 2f64.powi(-24));
            $test("flushed swish", Flushed(Swish), |z| z * sigmoid(z), 2f64.powi(-22));
        };
    }

    #[test]
    fn equal_to_the_twin_on_every_isa() {
        fn test<A: Scalar>(name: &str, activation: A, _: fn(f64) -> f64, _: f64) {
            let spread = (0..=u32::MAX).step_by(9_000_011).map(f32::from_bits);
            let at: Vec<f32> = special_values().into_iter().chain(spread).chain((-400..400).map(|i| i as f32 * 0.031)).collect();
            let mut result = vec![0.0; at.len()];
            for isa in Isa::available() {
                forward(isa, activation, &at, &mut result);
                for (&z, &y) in at.iter().zip(&result) {
                    let expected = Scalar::forward(&activation, isa, z);
                    assert!(same(y, expected), "{name} of {z:e} on {isa}: {expected:e} expected, found {y:e}");
                }
                for dy in special_values() {
                    result.fill(dy);
                    backward_in_place(isa, activation, &at, &mut result);
                    for (&at, &dz) in at.iter().zip(&result) {
                        let expected = Scalar::backward(&activation, isa, at, dy);
                        assert!(
                            same(dz, expected),
                            "{name} backward of {dy:e} at {at:e} on {isa}: {expected:e} expected, found {dz:e}"
                        );
                    }
                }
            }
        }
        with_every_activation!(test);
    }

    #[test]
    fn every_length_at_every_offset_in_place_or_not() {
        fn test<A: Scalar>(name: &str, activation: A, _: fn(f64) -> f64, _: f64) {
            let z: Vec<f32> = (0..60).map(|i| (i as f32 - 25.0) * 0.17).collect();
            let dy: Vec<f32> = (0..60).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
            for isa in Isa::available() {
                for (len, offset) in (0..=2 * LANES + 1).flat_map(|len| [0, 1, 5].map(|offset| (len, offset))) {
                    let part = offset..offset + len;
                    let mut all = [vec![-77.0; 60], z.clone(), vec![-77.0; 60], dy.clone()];
                    let [y, y_in_place, dz, dz_in_place] = &mut all;
                    forward(isa, activation, &z[part.clone()], &mut y[part.clone()]);
                    forward_in_place(isa, activation, &mut y_in_place[part.clone()]);
                    backward(isa, activation, &z[part.clone()], &dy[part.clone()], &mut dz[part.clone()]);
                    backward_in_place(isa, activation, &z[part.clone()], &mut dz_in_place[part.clone()]);
                    for i in 0..60 {
                        let inside = part.contains(&i);
                        let expected = if inside {
                            let y = Scalar::forward(&activation, isa, z[i]);
                            let dz = Scalar::backward(&activation, isa, z[i], dy[i]);
                            [y, y, dz, dz]
                        } else {
                            [-77.0, z[i], -77.0, dy[i]]
                        };
                        let found = [all[0][i], all[1][i], all[2][i], all[3][i]];
                        assert_eq!(found, expected, "{name} on {isa}, length {len}, offset {offset}, element {i}");
                    }
                }
            }
        }
        with_every_activation!(test);
    }

    /// The derivative, taken through the `f32` output where the output is its source, against the central difference of the formula
    /// in `f64`.
    #[test]
    fn derivatives_are_within_their_bounds() {
        fn test<A: Activation>(name: &str, activation: A, formula: fn(f64) -> f64, bound: f64) {
            let z: Vec<f32> = (-30_011..30_011).filter(|&i| i != 0).map(|i| i as f32 * 1e-3).collect();
            for isa in Isa::available() {
                // Rounded twice, a product and sum may lose another bit.
                let bound = if isa.fused() { bound } else { 2.0 * bound } + 1e-9;
                let mut y = vec![0.0; z.len()];
                forward(isa, activation, &z, &mut y);
                let at = if A::DERIVATIVE_FROM == Source::Input { &z } else { &y };
                let mut dz = vec![1.0; z.len()];
                backward_in_place(isa, activation, at, &mut dz);
                for (&z, dz) in z.iter().zip(dz) {
                    let (z, step) = (f64::from(z), 1e-5);
                    let truth = (formula(z + step) - formula(z - step)) / (2.0 * step);
                    let error = (f64::from(dz) - truth).abs();
                    assert!(error <= bound, "{name}' of {z} on {isa}: {truth} expected, found {dz}, error 2^{:.2}", error.log2());
                }
            }
        }
        with_every_activation!(test);
    }

    #[test]
    fn nan_is_never_swallowed() {
        fn test<A: Activation>(name: &str, activation: A, _: fn(f64) -> f64, _: f64) {
            // A mask replaces or scales what is not selected, and a constant derivative does not look at its place.
            let mask = ["relu", "leaky_relu", "leaky_relu 3"].contains(&name);
            let constant = ["heaviside", "sign", "linear"].contains(&name);
            for isa in Isa::available() {
                for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
                    let mut y = [nan];
                    forward_in_place(isa, activation, &mut y);
                    assert!(y[0].is_nan(), "{name} of NaN on {isa}");
                    for other in special_values().into_iter().filter(|other| !other.is_nan()) {
                        let mut dz = [nan];
                        backward_in_place(isa, activation, &[other], &mut dz);
                        assert!(dz[0].is_nan() || mask && other <= 0.0, "{name} backward of NaN at {other} on {isa}");
                        dz = [other];
                        backward_in_place(isa, activation, &[nan], &mut dz);
                        let expected = if constant && name != "linear" { 0.0 } else { other };
                        let kept = (mask || constant) && same(dz[0], expected);
                        assert!(dz[0].is_nan() || kept, "{name} backward of {other} at NaN on {isa}");
                    }
                }
            }
        }
        with_every_activation!(test);
    }

    #[test]
    fn limits_are_exact() {
        let infinity = f32::INFINITY;
        fn values<A: Activation>(isa: Isa, activation: A) -> [f32; 6] {
            let mut y = [f32::NEG_INFINITY, -1e30, -0.0, 0.0, 1e30, f32::INFINITY];
            forward_in_place(isa, activation, &mut y);
            y
        }
        let bits = |values: [f32; 6]| values.map(f32::to_bits);
        for isa in Isa::available() {
            let expect = |name: &str, found: [f32; 6], expected: [f32; 6]| {
                assert_eq!(bits(found), bits(expected), "{name} on {isa}: {expected:?} expected, found {found:?}");
            };
            expect("heaviside", values(isa, Heaviside), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
            expect("sign", values(isa, Sign), [-1.0, -1.0, -0.0, 0.0, 1.0, 1.0]);
            expect("linear", values(isa, Linear), [-infinity, -1e30, -0.0, 0.0, 1e30, infinity]);
            expect("relu", values(isa, Relu), [0.0, 0.0, 0.0, 0.0, 1e30, infinity]);
            expect("leaky_relu", values(isa, LeakyRelu::new(0.5)), [-infinity, -0.5e30, -0.0, 0.0, 1e30, infinity]);
            expect("elu", values(isa, Elu::new(2.0)), [-2.0, -2.0, -0.0, 0.0, 1e30, infinity]);
            let (scale, limit) = (Selu::SCALE, -Selu::SCALE_ALPHA);
            expect("selu", values(isa, Selu), [limit, limit, -0.0, 0.0, scale * 1e30, infinity]);
            expect("gelu", values(isa, Gelu), [-0.0, -0.0, -0.0, 0.0, 1e30, infinity]);
            expect("gelu tanh", values(isa, GeluTanh), [-0.0, -0.0, -0.0, 0.0, 1e30, infinity]);
            expect("swish", values(isa, Swish), [-0.0, -0.0, -0.0, 0.0, 1e30, infinity]);
            let half = core::f32::consts::LN_2;
            expect("softplus", values(isa, Softplus), [0.0, 0.0, half, half, 1e30, infinity]);
            expect("sigmoid", values(isa, Sigmoid), [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]);
            expect("tanh", values(isa, Tanh), [-1.0, -1.0, -0.0, 0.0, 1.0, 1.0]);
        }
    }

    #[test]
    fn step_functions_cannot_train() {
        for isa in Isa::available() {
            let (y, dy) = ([0.0, 1.0, -1.0], [3.0, -4.0, f32::INFINITY]);
            let mut dz = [9.0; 3];
            backward(isa, Heaviside, &y, &dy, &mut dz);
            assert_eq!(dz, [0.0; 3]);
            backward(isa, Sign, &y, &dy, &mut dz);
            assert_eq!(dz, [0.0; 3]);
        }
    }

    /// The approximation by the hyperbolic tangent, as its documentation states it.
    #[test]
    fn gelu_tanh_is_within_its_bounds() {
        let z: Vec<f32> = (-160_000..160_000).map(|i| i as f32 * 1e-4).collect();
        let mut y = vec![0.0; z.len()];
        for isa in Isa::available() {
            forward(isa, GeluTanh, &z, &mut y);
            for (&z, &y) in z.iter().zip(&y) {
                let truth =
                    f64::from(z) * sigmoid((8.0 / core::f64::consts::PI).sqrt() * (f64::from(z) + 0.044715 * f64::from(z).powi(3)));
                let error = (f64::from(y) - truth).abs();
                let bound = if z < 0.0 { 2f64.powi(-23) } else { 4.0 * f64::from(f32::EPSILON) * truth };
                assert!(error <= bound, "gelu tanh of {z} on {isa}: {truth} expected, found {y}");
            }
        }
    }

    #[test]
    fn prelu_is_its_twin() {
        let special = special_values();
        let alphas = [-0.5, 0.0, 0.25, 2.0, f32::INFINITY, f32::NAN];
        let row = |f: &dyn Fn(f32) -> f32| special.iter().map(|&x| f(x)).collect::<Vec<f32>>();
        for isa in Isa::available() {
            for (&alpha, &dy) in alphas.iter().flat_map(|alpha| special.iter().map(move |dy| (alpha, dy))) {
                let (alphas, gradients) = (vec![alpha; 40], vec![dy; 40]);
                let mut found = vec![vec![0.0; 40]; 3];
                prelu_forward(isa, &alphas, &special, &mut found[0]);
                prelu_backward(isa, &alphas, &special, &gradients, &mut found[1]);
                prelu_alpha_terms(isa, &special, &gradients, &mut found[2]);
                let expected = [
                    row(&|z| twin::prelu(alpha, z, z)),
                    row(&|z| twin::prelu(alpha, z, dy)),
                    row(&|z| twin::prelu_alpha_term(z, dy)),
                ];
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!(same(*found, *expected), "alpha {alpha}, dy {dy} on {isa}: {expected} expected, found {found}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a slope of at least 0 expected, found -0.1")]
    fn negative_slope_is_refused() {
        LeakyRelu::new(-0.1);
    }

    #[test]
    #[should_panic(expected = "an alpha of at least 0 expected, found NaN")]
    fn alpha_must_be_a_number() {
        Elu::new(f32::NAN);
    }
}
