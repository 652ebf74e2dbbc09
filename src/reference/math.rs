//! [`kernels::math`](crate::kernels::math) for one number: the same operations in the same order.
//!
//! The coefficients are those of the kernels, so a twin says that a vector function is computed as meant; that it is also true is
//! shown against `f64` in `tests/exhaustive.rs`.

use super::multiply_add;
use crate::kernels::math::*;
use crate::simd::Isa;
use core::f32::consts::LOG2_E;

fn polynomial(isa: Isa, x: f32, c: &[f32]) -> f32 {
    c.iter().rev().copied().reduce(|sum, c| multiply_add(isa, sum, x, c)).unwrap_or(0.0)
}

/// `x` within the bounds, NaN unchanged.
pub(crate) fn clamp(x: f32, lowest: f32, highest: f32) -> f32 {
    if x < lowest {
        lowest
    } else if x > highest {
        highest
    } else {
        x
    }
}

/// `2^n` for `-126 <= n <= 127`, without meaning elsewhere.
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n << 23).wrapping_add(ONE_BITS) as u32)
}

pub(crate) fn scale(x: f32, n: i32) -> f32 {
    let half = n >> 1;
    x * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

fn round(isa: Isa, x: f32, factor: f32) -> (f32, i32) {
    let shifted = multiply_add(isa, x, factor, ROUNDER);
    (shifted - ROUNDER, (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32))
}

fn reduce(isa: Isa, x: f32) -> (f32, i32) {
    let (n, exponent) = round(isa, x, LOG2_E);
    (multiply_add(isa, n, -LN2_LOW, multiply_add(isa, n, -LN2_HIGH, x)), exponent)
}

fn exp_of_reduced_in_parts(isa: Isa, r: f32) -> (f32, f32) {
    let q = polynomial(isa, r, &EXP);
    let p = multiply_add(isa, multiply_add(isa, q, r, 1.0), r, 1.0);
    (p, multiply_add(isa, q * r, r, r - (p - 1.0)))
}

fn exp_parts(isa: Isa, x: f32) -> (f32, f32, i32) {
    let (r, n) = reduce(isa, x);
    let (p, low) = exp_of_reduced_in_parts(isa, r);
    (p, low, n)
}

/// `e^x`
pub fn exp(isa: Isa, x: f32) -> f32 {
    let (r, n) = reduce(isa, clamp(x, EXP_LOWEST, EXP_HIGHEST));
    scale(exp_of_reduced_in_parts(isa, r).0, n)
}

/// `2^x`
pub fn exp2(isa: Isa, x: f32) -> f32 {
    let x = clamp(x, EXP2_LOWEST, EXP2_HIGHEST);
    let (n, exponent) = round(isa, x, 1.0);
    let r = x - n;
    scale(multiply_add(isa, polynomial(isa, r, &EXP2), r, 1.0), exponent)
}

/// `e^x - 1`
pub fn expm1(isa: Isa, x: f32) -> f32 {
    if x.abs() < ALMOST_LINEAR {
        return x;
    }
    let x = clamp(x, EXPM1_LOWEST, EXP_HIGHEST);
    let (n, exponent) = round(isa, x, LOG2_E);
    let r_high = multiply_add(isa, n, -LN2_HIGH, x);
    let r = multiply_add(isa, n, -LN2_LOW, r_high);
    let r_low = multiply_add(isa, n, -LN2_LOW, r_high - r);
    let bend = multiply_add(isa, polynomial(isa, r, &EXPM1) * r, r, r_low);
    let h = power_of_two(exponent.wrapping_sub(1));
    let base = h - 0.5;
    let step = h * r;
    let high = base + step;
    let low = step - (high - base);
    let base_low = (h - base) - 0.5;
    2.0 * (high + multiply_add(isa, h, bend, low + base_low))
}

fn ln_of_parts(isa: Isa, n: f32, f: f32) -> (f32, f32) {
    let square = f * f;
    let y = polynomial(isa, f, &LN) * f * square;
    let y = multiply_add(isa, n, LN2_LOW, y);
    let y = multiply_add(isa, square, -0.5, y);
    let high = multiply_add(isa, n, LN2_HIGH, f);
    let low = f - multiply_add(isa, n, -LN2_HIGH, high);
    (high, low + y)
}

/// What the logarithm is where it is not an ordinary number.
fn ln_of_special(x: f32) -> Option<f32> {
    match x {
        0.0 => Some(f32::NEG_INFINITY),
        f32::INFINITY => Some(f32::INFINITY),
        x if x > 0.0 => None,
        _ => Some(f32::NAN),
    }
}

fn split_exponent(x: f32) -> (i32, f32) {
    let bits = x.to_bits() as i32;
    let exponent = (bits - MANTISSA_BITS) >> 23;
    (exponent, f32::from_bits((bits - (exponent << 23)) as u32))
}

/// `ln x`
pub fn ln(isa: Isa, x: f32) -> f32 {
    ln_of_special(x).unwrap_or_else(|| {
        let denormal = x < f32::MIN_POSITIVE;
        let (exponent, mantissa) = split_exponent(if denormal { x * DENORMAL_SCALE } else { x });
        let (high, low) = ln_of_parts(isa, exponent as f32 - if denormal { 23.0 } else { 0.0 }, mantissa - 1.0);
        high + low
    })
}

/// `ln(1 + x)`
pub fn log1p(isa: Isa, x: f32) -> f32 {
    if x.abs() < ALMOST_LINEAR {
        return x;
    }
    let sum = 1.0 + x;
    ln_of_special(sum).unwrap_or_else(|| {
        let part = sum - 1.0;
        let sum_low = (1.0 - (sum - part)) + (x - part);
        let (exponent, mantissa) = split_exponent(sum);
        let f = mantissa - 1.0;
        let (high, low) = ln_of_parts(isa, exponent as f32, f);
        let f_low = sum_low * power_of_two(2 - exponent) * 0.25;
        high + multiply_add(isa, f_low, polynomial(isa, f, &MANTISSA_INVERSE), low)
    })
}

/// The hyperbolic tangent.
pub fn tanh(isa: Isa, x: f32) -> f32 {
    let a = x.abs();
    let y = if a < TANH_SPLIT {
        let square = a * a;
        multiply_add(isa, polynomial(isa, square, &TANH) * square, a, a)
    } else {
        let (p, p_low, n) = exp_parts(isa, 2.0 * clamp(a, 0.0, TANH_HIGHEST));
        let power = power_of_two(n);
        let e = p * power;
        let d = e + 1.0;
        let d_low = multiply_add(isa, p_low, power, 1.0 - (d - e));
        let minus_inverse = -1.0 / d;
        let remainder = multiply_add(isa, d_low, minus_inverse, multiply_add(isa, d, minus_inverse, 1.0));
        let share = minus_inverse + minus_inverse;
        let high = 1.0 + share;
        let low = share - (high - 1.0);
        high + multiply_add(isa, share, remainder, low)
    };
    y.copysign(x)
}

pub(crate) fn sigmoid_parts(isa: Isa, x: f32) -> (f32, i32) {
    let a = clamp(-x.abs(), SIGMOID_LOWEST, 0.0);
    let (p, p_low, n) = exp_parts(isa, a);
    let power = if a < NEGLIGIBLE { 0.0 } else { power_of_two(n) };
    let e = p * power;
    let d = 1.0 + e;
    let d_low = multiply_add(isa, p_low, power, e - (d - 1.0));
    let (numerator, numerator_low, n) = if x < 0.0 { (p, p_low, n) } else { (1.0, 0.0, 0) };
    let minus_inverse = -1.0 / d;
    let minus_y = numerator * minus_inverse;
    let remainder = multiply_add(isa, d, minus_y, numerator) + numerator_low;
    let remainder = multiply_add(isa, d_low, minus_y, remainder);
    (0.0 - multiply_add(isa, remainder, minus_inverse, minus_y), n)
}

/// `1 / (1 + e^-x)`
pub fn sigmoid(isa: Isa, x: f32) -> f32 {
    let (y, n) = sigmoid_parts(isa, x);
    scale(y, n)
}

/// `ln(1 + e^x)`
pub fn softplus(isa: Isa, x: f32) -> f32 {
    if x > SOFTPLUS_HIGHEST {
        return x;
    }
    let (p, p_low, n) = exp_parts(isa, clamp(-x.abs(), SIGMOID_LOWEST, 0.0));
    let e = scale(p, n);
    let e_low = scale(p_low, n);
    let is_linear = e < LOG1P_LINEAR;
    let (k, f) = if e > 0.5 { (1.0, (e - 1.0) * 0.5) } else { (0.0, if is_linear { 0.0 } else { e }) };
    let (log, log_low) = ln_of_parts(isa, k, f);
    let log = if is_linear { e } else { log };
    let low = multiply_add(isa, e_low, polynomial(isa, e, &LOG1P_DERIVATIVE), log_low);
    let positive = if x > 0.0 { x } else { 0.0 };
    let (larger, smaller) = if positive > log { (positive, log) } else { (log, positive) };
    let high = larger + smaller;
    high + (smaller - (high - larger) + low)
}

pub(crate) struct NormalTail {
    pub(crate) t: f32,
    pub(crate) p: f32,
    p_low: f32,
    pub(crate) m: f32,
    m_low: f32,
    d: f32,
    d_low: f32,
    pub(crate) inverse: f32,
    pub(crate) n: i32,
}

impl NormalTail {
    pub(crate) fn new(isa: Isa, x: f32) -> Self {
        let t = clamp(x.abs(), 0.0, TAIL_HIGHEST);
        let head = f32::from_bits(t.to_bits() & HEAD_BITS as u32);
        let high = head * head * -0.5;
        let low = (t + head) * (t - head) * -0.5;
        let (n, exponent) = round(isa, high + low, LOG2_E);
        let high = multiply_add(isa, n, -LN2_HIGH, high);
        let low = multiply_add(isa, n, -LN2_LOW, low);
        let r = high + low;
        let r_low = low - (r - high);
        let (p, p_low) = exp_of_reduced_in_parts(isa, r);
        let d = t + 4.0;
        let inverse = 1.0 / d;
        let quotient = (t - 4.0) * inverse;
        let remainder = multiply_add(isa, quotient + 1.0, -4.0, t);
        let correction = multiply_add(isa, quotient, -t, remainder) * inverse;
        let q = quotient + correction;
        let q_low = correction - (q - quotient);
        let (mut m, mut m_low) = (polynomial(isa, q, &TAIL[2..]), 0.0);
        for c in [TAIL[1], TAIL[0]] {
            let product = m * q;
            let product_low = multiply_add(isa, m, q, -product);
            m = c + product;
            m_low = multiply_add(isa, m_low, q, product_low) + (product - (m - c));
        }
        let slope = multiply_add(isa, q, multiply_add(isa, q, 3.0 * TAIL[3], 2.0 * TAIL[2]), TAIL[1]);
        let m_low = multiply_add(isa, q_low, slope, m_low);
        Self { t, p, p_low: p_low + r_low, m, m_low, d, d_low: t - (d - 4.0), inverse, n: exponent }
    }

    pub(crate) fn probability(&self, isa: Isa) -> (f32, f32) {
        let product = self.p * self.m;
        let product_low = multiply_add(isa, self.p, self.m, -product);
        let product_low = multiply_add(isa, self.p, self.m_low, product_low);
        let product_low = multiply_add(isa, self.p_low, self.m, product_low);
        let y = product * self.inverse;
        let remainder = multiply_add(isa, self.d, -y, product) + product_low;
        let remainder = multiply_add(isa, self.d_low, -y, remainder);
        (y, remainder * self.inverse)
    }
}

/// The distribution function of the normal distribution.
pub fn normal_cdf(isa: Isa, x: f32) -> f32 {
    let tail = NormalTail::new(isa, x);
    let (y, y_low) = tail.probability(isa);
    let y = scale(y + y_low, tail.n);
    if x < 0.0 { y } else { 1.0 - y }
}

/// Forty arguments at which functions go wrong: zeros, denormal and extreme numbers, infinities, NaN (quiet and signalling), and
/// the places where exponentials overflow, underflow or round to 1.
pub fn special_values() -> [f32; 40] {
    let tiny = f32::from_bits(1);
    let denormal = f32::from_bits(0x007f_ffff);
    let signalling = f32::from_bits(0x7f80_0001);
    let positive = [
        0.0,
        tiny,
        denormal,
        f32::MIN_POSITIVE,
        1e-30,
        ALMOST_LINEAR,
        f32::EPSILON,
        0.5,
        1.0 - f32::EPSILON / 2.0,
        1.0,
        1.0 + f32::EPSILON,
        9.01,
        17.4,
        88.722_84,
        103.972_08,
        150.0,
        1e20,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    let mut all = [0.0; 40];
    for (pair, x) in all.chunks_exact_mut(2).zip(positive) {
        pair[0] = x;
        pair[1] = if x.is_nan() { signalling } else { -x };
    }
    all
}
