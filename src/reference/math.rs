//! [`kernels::math`](crate::kernels::math) for one number: the same operations in the same order.

use super::multiply_add;
use crate::kernels::math::{EXP, EXP_HIGHEST, EXP_LOWEST, LN, LN2_HIGH, LN2_LOW, ONE_BITS, ROUNDER, SQRT_HALF_BITS};
use crate::simd::Isa;

fn polynomial(isa: Isa, x: f32, c: &[f32]) -> f32 {
    c.iter().rev().copied().reduce(|sum, c| multiply_add(isa, sum, x, c)).unwrap_or(0.0)
}

/// `2^n` for `-126 <= n <= 127`, anything else outside.
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n << 23).wrapping_add(ONE_BITS) as u32)
}

fn scale(x: f32, n: i32) -> f32 {
    let half = n >> 1;
    x * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// The exponential function.
pub fn exp(isa: Isa, x: f32) -> f32 {
    let x = if EXP_LOWEST > x { EXP_LOWEST } else { x };
    let x = if EXP_HIGHEST < x { EXP_HIGHEST } else { x };
    let rounded = multiply_add(isa, x, core::f32::consts::LOG2_E, ROUNDER);
    let n = rounded - ROUNDER;
    let r = multiply_add(isa, n, -LN2_HIGH, x);
    let r = multiply_add(isa, n, -LN2_LOW, r);
    let p = multiply_add(isa, polynomial(isa, r, &EXP), r, 1.0);
    let p = multiply_add(isa, p, r, 1.0);
    scale(p, (rounded.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32))
}

/// The natural logarithm.
pub fn ln(isa: Isa, x: f32) -> f32 {
    if x == 0.0 {
        return f32::NEG_INFINITY;
    }
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    if x == f32::INFINITY {
        return x;
    }
    let denormal = x < f32::MIN_POSITIVE;
    let bits = (if denormal { x * 8_388_608.0 } else { x }).to_bits() as i32;
    let exponent = (bits - SQRT_HALF_BITS) >> 23;
    let mantissa = f32::from_bits((bits - (exponent << 23)) as u32);
    ln_of_parts(isa, exponent as f32 - if denormal { 23.0 } else { 0.0 }, mantissa - 1.0)
}

fn ln_of_parts(isa: Isa, n: f32, f: f32) -> f32 {
    let square = f * f;
    let y = polynomial(isa, f, &LN) * f * square;
    let y = multiply_add(isa, n, LN2_LOW, y);
    let y = multiply_add(isa, square, -0.5, y);
    let high = multiply_add(isa, n, LN2_HIGH, f);
    let low = f - multiply_add(isa, n, -LN2_HIGH, high);
    high + (low + y)
}
