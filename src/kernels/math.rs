//! Functions of a vector.

use crate::simd::Simd;

/// `ln 2 = LN2_HIGH + LN2_LOW`. The high part has 15 significant bits, so its product with any exponent is exact, fused or not.
pub(crate) const LN2_HIGH: f32 = f32::from_bits(0x3f31_7200);
/// `ln 2 - LN2_HIGH`, rounded.
pub(crate) const LN2_LOW: f32 = 1.428_606_8e-6;
/// `1.5 * 2^23`: a number of small magnitude added to it is rounded to an integer, which then stands in the low bits of the sum.
pub(crate) const ROUNDER: f32 = 12_582_912.0;
/// The bits of 1.
pub(crate) const ONE_BITS: i32 = 0x3f80_0000;

/// Below, `exp` is less than half of the smallest denormal number.
pub(crate) const EXP_LOWEST: f32 = -104.0;
/// Above, `exp` is infinite.
pub(crate) const EXP_HIGHEST: f32 = 89.0;
/// `exp(r) = 1 + r + r^2 Q(r)` for `|r| <= ln(2) / 2`. Minimax for the relative error of `exp`, which is `2^-28.2`. Lowest power first.
pub(crate) const EXP: [f32; 5] = [0.499_999_94, 0.166_665_17, 0.041_668_102, 0.008_369_156, 0.001_383_772_1];

/// The bits of `sqrt(1/2)`: the mantissa that `ln` works on lies in `[sqrt(1/2), sqrt(2))`.
pub(crate) const SQRT_HALF_BITS: i32 = 0x3f35_04f3;
/// `ln(1 + f) = f - f^2 / 2 + f^3 P(f)` for `1 + f` in `[sqrt(1/2), sqrt(2)]`. Minimax for the relative error of `ln`, which is
/// `2^-26.85`. Lowest power first.
pub(crate) const LN: [f32; 8] =
    [0.333_333_3, -0.250_008_23, 0.200_012_6, -0.166_231_92, 0.142_008_78, -0.131_626_3, 0.127_728_76, -0.076_424_256];

/// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::F32, c: &[f32; N]) -> S::F32 {
    let mut sum = simd.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = simd.mul_add(sum, x, simd.splat(c));
    }
    sum
}

/// `x * 2^n` for `-252 <= n <= 254`, rounded once: half of the exponent at a time, so that denormal results come out right.
#[inline(always)]
fn scale<S: Simd>(simd: S, x: S::F32, n: S::I32) -> S::F32 {
    let one = simd.splat_i32(ONE_BITS);
    let half = simd.shift_right::<1>(n);
    let rest = simd.sub_i32(n, half);
    let power = |n: S::I32| simd.from_bits(simd.add_i32(simd.shift_left::<23>(n), one));
    simd.mul(simd.mul(x, power(half)), power(rest))
}

/// The exponential function.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    // In this order of arguments NaN stays.
    let x = simd.min(simd.splat(EXP_HIGHEST), simd.max(simd.splat(EXP_LOWEST), x));
    let rounder = simd.splat(ROUNDER);
    let rounded = simd.mul_add(x, simd.splat(core::f32::consts::LOG2_E), rounder);
    let n = simd.sub(rounded, rounder);
    let r = simd.mul_add(n, simd.splat(-LN2_HIGH), x);
    let r = simd.mul_add(n, simd.splat(-LN2_LOW), r);
    let q = polynomial(simd, r, &EXP);
    let p = simd.mul_add(simd.mul_add(q, r, one), r, one);
    scale(simd, p, simd.sub_i32(simd.to_bits(rounded), simd.to_bits(rounder)))
}

/// The natural logarithm.
#[inline(always)]
pub fn ln<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let denormal = simd.lt(x, simd.splat(f32::MIN_POSITIVE));
    let bits = simd.to_bits(simd.select(denormal, simd.mul(x, simd.splat(8_388_608.0)), x));
    let exponent = simd.shift_right::<23>(simd.sub_i32(bits, simd.splat_i32(SQRT_HALF_BITS)));
    let mantissa = simd.from_bits(simd.sub_i32(bits, simd.shift_left::<23>(exponent)));
    let n = simd.add(simd.to_f32(exponent), simd.select(denormal, simd.splat(-23.0), simd.zero()));
    let y = ln_of_parts(simd, n, simd.sub(mantissa, simd.splat(1.0)));
    let infinity = simd.splat(f32::INFINITY);
    let special = simd.select(simd.lt(simd.zero(), x), infinity, simd.splat(f32::NAN));
    let y = simd.select(simd.lt(x, infinity), y, special);
    let y = simd.select(simd.lt(x, simd.zero()), simd.splat(f32::NAN), y);
    simd.select(simd.eq(x, simd.zero()), simd.splat(f32::NEG_INFINITY), y)
}

/// `n ln 2 + ln(1 + f)` for `1 + f` in `[sqrt(1/2), sqrt(2)]`.
#[inline(always)]
fn ln_of_parts<S: Simd>(simd: S, n: S::F32, f: S::F32) -> S::F32 {
    let square = simd.mul(f, f);
    let y = simd.mul(simd.mul(polynomial(simd, f, &LN), f), square);
    let y = simd.mul_add(n, simd.splat(LN2_LOW), y);
    let y = simd.mul_add(square, simd.splat(-0.5), y);
    // The sum n * LN2_HIGH + f as `high + low` without error.
    let high = simd.mul_add(n, simd.splat(LN2_HIGH), f);
    let low = simd.sub(f, simd.mul_add(n, simd.splat(-LN2_HIGH), high));
    simd.add(high, simd.add(low, y))
}
