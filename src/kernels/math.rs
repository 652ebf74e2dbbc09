//! Functions of a vector, one element at a time: `exp`, `ln` and what activations and losses are made of.
//!
//! | function | method | max ULP | unfused | range | of NaN, `inf`, `-inf` |
//! |---|---|---|---|---|---|
//! | [`exp`] | `2^n (1 + r + r^2 Q(r))`, `x = n ln 2 + r` | 0.892 | 1.168 | `[0, inf]` | NaN, `inf`, 0 |
//! | [`exp2`] | `2^n (1 + r P(r))`, `x = n + r` | 0.919 | 1.188 | `[0, inf]` | NaN, `inf`, 0 |
//! | [`expm1`] | `(2^n - 1) + 2^n (r + r^2 Q(r))` as a sum of two numbers | 0.990 | 1.124 | `[-1, inf]` | NaN, `inf`, -1 |
//! | [`ln`] | `n ln 2 + f - f^2 / 2 + f^3 P(f)`, `x = 2^n (1 + f)` | 0.874 | 0.878 | | NaN, `inf`, NaN; `-inf` of zeros |
//! | [`log1p`] | as `ln` of `1 + x` with its rounding error | 0.943 | 0.969 | | NaN, `inf`, NaN; `-inf` of -1 |
//! | [`tanh`] | `x + x^3 P(x^2)` below 9/16, then `1 - 2 / (e^2x + 1)` | 0.723 | 0.809 | `[-1, 1]` | NaN, 1, -1 |
//! | [`sigmoid`] | `1 / (1 + e^-x)` or `e^x / (1 + e^x)`, a quotient and its remainder | 0.793 | 1.474 | `[0, 1]` | NaN, 1, 0 |
//! | [`softplus`] | `max(x, 0) + log1p(e^-abs(x))` as a sum of two numbers | 0.976 | 0.978 | `[0, inf]` | NaN, `inf`, 0 |
//! | [`normal_cdf`] | the tail is `e^(-x^2/2) P(q) / (abs(x) + 4)`, `q = (abs(x) - 4) / (abs(x) + 4)` | 1.317 | 2.986 | `[0, 1]` | NaN, 1, 0 |
//!
//! The error is the distance from the truth, computed in `f64`, in units in the last place (ULP): the spacing of `f32` at the truth,
//! so 0.5 would be a correctly rounded result. The first column of it holds for every instruction set with fused multiply-add; there
//! the results are the same bits. The second one was measured with SSE2, which rounds a product before it adds. Measured over all
//! `2^32` arguments by `tests/exhaustive.rs`, which asserts the bounds; the runs are in `tests/RECORD.md`.
//!
//! Denormal numbers are neither flushed nor taken for zero. Where the true function grows, neighbouring arguments may still have
//! values one unit in the wrong order, as an error of up to 1 ULP allows, but not more: with fused multiply-add that is so for about
//! 2,900 of the `2^32` pairs of `exp`, 83,000 of `exp2`, for 7 of `softplus`, and for none of `expm1`, `ln`, `log1p`, `tanh` and `sigmoid`.
//!
//! All functions are free of branches and use only sums, products, quotients, multiply-add, comparisons and integer operations.
//! Reductions to a small interval follow Cody and Waite (*Software Manual for the Elementary Functions*, 1980); the polynomials are
//! minimax (Remez exchange in 160-bit arithmetic, then rounding one coefficient after another and fitting the rest again), with
//! interval, degree and error beside the constants, coefficients of the lowest power first.
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
/// `exp(r) = 1 + r + r^2 Q(r)` for `|r| <= ln(2) / 2`: minimax of degree 4 for the relative error of `exp`, `2^-28.2`.
pub(crate) const EXP: [f32; 5] = [0.499_999_94, 0.166_665_17, 0.041_668_102, 0.008_369_156, 0.001_383_772_1];

/// At and below, `exp2` is at most half of the smallest denormal number.
pub(crate) const EXP2_LOWEST: f32 = -151.0;
/// From 128 on, `exp2` is infinite.
pub(crate) const EXP2_HIGHEST: f32 = 129.0;
/// `2^r = 1 + r P(r)` for `|r| <= 1/2`: minimax of degree 5 for the relative error of `exp2`, `2^-26.2`.
pub(crate) const EXP2: [f32; 6] =
    [core::f32::consts::LN_2, 0.240_225_94, 0.055_503_663, 0.009_625_44, 0.001_338_799_3, 0.000_133_369_3];

/// Below, `expm1` is -1.
pub(crate) const EXPM1_LOWEST: f32 = -25.0;
/// Of a magnitude below `2^-25`, `expm1(x)` and `log1p(x)` are `x`.
pub(crate) const ALMOST_LINEAR: f32 = 2.980_232_2e-8;
/// `expm1(r) = r + r^2 Q(r)` for `|r| <= ln(2) / 2`: minimax of degree 5 for the relative error of `expm1`, `2^-28.2`.
pub(crate) const EXPM1: [f32; 6] = [0.5, 0.166_666_36, 0.041_666_51, 0.008_341_506, 0.001_393_051_2, 0.000_150_496_33];

/// The bits of 3/4: the mantissa that logarithms work on lies in `[3/4, 3/2)`.
pub(crate) const MANTISSA_BITS: i32 = 0x3f40_0000;
/// `2^23`: times this, a denormal number is normal.
pub(crate) const DENORMAL_SCALE: f32 = 8_388_608.0;
/// `ln(1 + f) = f - f^2 / 2 + f^3 P(f)` for `1 + f` in `[3/4, 3/2]`: minimax of degree 7 for the relative error of `ln`, `2^-27.4`.
pub(crate) const LN: [f32; 8] =
    [0.333_334_5, -0.250_001_04, 0.199_908, -0.166_468_68, 0.144_783_08, -0.131_664_86, 0.104_779_52, -0.045_203_034];
/// `1 / (1 + f)` for `1 + f` in `[3/4, 3/2]`, exact at `f = 0`, else with an error of at most 0.05.
pub(crate) const MANTISSA_INVERSE: [f32; 3] = [1.0, -0.984_375, 0.656_25];

/// From here on `tanh` is taken from the exponential function.
pub(crate) const TANH_SPLIT: f32 = 0.5625;
/// Above, `tanh` is 1.
pub(crate) const TANH_HIGHEST: f32 = 9.02;
/// `tanh(x) = x + x^3 P(x^2)` for `|x| <= 9/16`: minimax of degree 4 for the relative error of `tanh`, `2^-29.4`.
pub(crate) const TANH: [f32; 5] = [-0.333_333_13, 0.133_324_37, -0.053_835_757, 0.021_000_387, -0.006_169_658];

/// Below, `exp` is zero, even after a multiplication by the argument (for `x sigmoid(x)`).
pub(crate) const SIGMOID_LOWEST: f32 = -120.0;
/// Below, `1 + exp(x)` is 1 and `exp(x)` may be denormal.
pub(crate) const NEGLIGIBLE: f32 = -87.0;

/// `1 / (1 + e)` for `0 <= e <= 1`, exact at both ends, else with an error of at most 0.015.
pub(crate) const LOG1P_DERIVATIVE: [f32; 3] = [1.0, -0.828_125, 0.328_125];
/// Above, `softplus(x)` is `x`, and `e^-x` far from the denormal numbers.
pub(crate) const SOFTPLUS_HIGHEST: f32 = 20.0;
/// `2^-50`: below, `log1p(e)` is `e`, whose square would soon be denormal.
pub(crate) const LOG1P_LINEAR: f32 = f32::from_bits(0x2680_0000);

/// Above, the tail of the normal distribution is zero, even after a multiplication by the argument.
pub(crate) const TAIL_HIGHEST: f32 = 15.0;
/// The twelve leading bits of a mantissa, with sign and exponent: the square of such a number is exact.
pub(crate) const HEAD_BITS: i32 = 0xffff_f000_u32 as i32;
/// The tail of the normal distribution times `(t + 4) exp(t^2 / 2)` is `P(q)` with `q = (t - 4) / (t + 4)` for `0 <= t <= 14.5`:
/// minimax of degree 9 for the relative error, `2^-25.6`.
pub(crate) const TAIL: [f32; 10] = [
    0.755_285_14,
    -0.607_896_57,
    0.387_136_25,
    -0.186_523_77,
    0.060_411_196,
    -0.007_522_347_4,
    -0.003_539_195_5,
    0.001_555_374_6,
    0.000_210_115_9,
    -0.000_109_209_69,
];

/// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::F32, c: &[f32; N]) -> S::F32 {
    let mut sum = simd.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = simd.mul_add(sum, x, simd.splat(c));
    }
    sum
}

/// `x`, but at least `lowest` and at most `highest`. NaN stays, since [`Simd::max`] and [`Simd::min`] return their second argument.
#[inline(always)]
pub(crate) fn clamp<S: Simd>(simd: S, x: S::F32, lowest: f32, highest: f32) -> S::F32 {
    simd.min(simd.splat(highest), simd.max(simd.splat(lowest), x))
}

/// `2^n` for `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two<S: Simd>(simd: S, n: S::I32) -> S::F32 {
    simd.from_bits(simd.add_i32(simd.shift_left::<23>(n), simd.splat_i32(ONE_BITS)))
}

/// `x * 2^n` for `-252 <= n <= 254`, rounded once: half of the exponent at a time, so that denormal results come out right.
#[inline(always)]
pub(crate) fn scale<S: Simd>(simd: S, x: S::F32, n: S::I32) -> S::F32 {
    let half = simd.shift_right::<1>(n);
    let rest = simd.sub_i32(n, half);
    simd.mul(simd.mul(x, power_of_two(simd, half)), power_of_two(simd, rest))
}

/// The integer nearest to `factor * x`, as a number and as an integer.
#[inline(always)]
fn round<S: Simd>(simd: S, x: S::F32, factor: f32) -> (S::F32, S::I32) {
    let rounder = simd.splat(ROUNDER);
    let shifted = simd.mul_add(x, simd.splat(factor), rounder);
    (simd.sub(shifted, rounder), simd.sub_i32(simd.to_bits(shifted), simd.to_bits(rounder)))
}

/// `x = n ln 2 + r` with `|r| <= ln(2) / 2`: `r` and `n`.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::F32) -> (S::F32, S::I32) {
    let (n, exponent) = round(simd, x, core::f32::consts::LOG2_E);
    let r = simd.mul_add(n, simd.splat(-LN2_HIGH), x);
    (simd.mul_add(n, simd.splat(-LN2_LOW), r), exponent)
}

/// `exp(r)` for a reduced argument.
#[inline(always)]
fn exp_of_reduced<S: Simd>(simd: S, r: S::F32) -> S::F32 {
    exp_of_reduced_in_parts(simd, r).0
}

/// `exp(r) = p + low` for a reduced argument, with `low` below the last digit of `p`.
#[inline(always)]
fn exp_of_reduced_in_parts<S: Simd>(simd: S, r: S::F32) -> (S::F32, S::F32) {
    let one = simd.splat(1.0);
    let q = polynomial(simd, r, &EXP);
    let p = simd.mul_add(simd.mul_add(q, r, one), r, one);
    (p, simd.mul_add(simd.mul(q, r), r, simd.sub(r, simd.sub(p, one))))
}

/// `exp(x) = (p + low) 2^n` with `low` below the last digit of `p`: `p`, `low` and `n`. `x` must be clamped.
#[inline(always)]
fn exp_parts<S: Simd>(simd: S, x: S::F32) -> (S::F32, S::F32, S::I32) {
    let (r, n) = reduce(simd, x);
    let (p, low) = exp_of_reduced_in_parts(simd, r);
    (p, low, n)
}

/// `e^x`. Overflows to infinity, underflows through the denormal numbers to zero.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let (r, n) = reduce(simd, clamp(simd, x, EXP_LOWEST, EXP_HIGHEST));
    scale(simd, exp_of_reduced(simd, r), n)
}

/// `2^x`. Exact for integers.
#[inline(always)]
pub fn exp2<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let x = clamp(simd, x, EXP2_LOWEST, EXP2_HIGHEST);
    let (n, exponent) = round(simd, x, 1.0);
    let r = simd.sub(x, n);
    scale(simd, simd.mul_add(polynomial(simd, r, &EXP2), r, simd.splat(1.0)), exponent)
}

/// `e^x - 1`, without the cancellation near zero.
#[inline(always)]
pub fn expm1<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let clamped = clamp(simd, x, EXPM1_LOWEST, EXP_HIGHEST);
    // The remainder as r + r_low: here its rounding would show, since up to half of the result can cancel.
    let (n, exponent) = round(simd, clamped, core::f32::consts::LOG2_E);
    let r_high = simd.mul_add(n, simd.splat(-LN2_HIGH), clamped);
    let r = simd.mul_add(n, simd.splat(-LN2_LOW), r_high);
    let r_low = simd.mul_add(n, simd.splat(-LN2_LOW), simd.sub(r_high, r));
    let bend = simd.mul_add(simd.mul(polynomial(simd, r, &EXPM1), r), r, r_low);
    // Half of the result is (h - 1/2) + h r + h bend with h = 2^n / 2, a power that does not overflow where the result does not.
    let half = simd.splat(0.5);
    let h = power_of_two(simd, simd.sub_i32(exponent, simd.splat_i32(1)));
    let base = simd.sub(h, half);
    let step = simd.mul(h, r);
    let high = simd.add(base, step);
    let low = simd.sub(step, simd.sub(high, base));
    let base_low = simd.sub(simd.sub(h, base), half);
    let y = simd.add(high, simd.mul_add(h, bend, simd.add(low, base_low)));
    let linear = simd.lt(simd.abs(x), simd.splat(ALMOST_LINEAR));
    simd.select(linear, x, simd.add(y, y))
}

/// `n ln 2 + ln(1 + f)` for `1 + f` in `[3/4, 3/2]`, as the sum of two numbers of which the second is small.
#[inline(always)]
fn ln_of_parts<S: Simd>(simd: S, n: S::F32, f: S::F32) -> (S::F32, S::F32) {
    let square = simd.mul(f, f);
    let y = simd.mul(simd.mul(polynomial(simd, f, &LN), f), square);
    let y = simd.mul_add(n, simd.splat(LN2_LOW), y);
    let y = simd.mul_add(square, simd.splat(-0.5), y);
    // n * LN2_HIGH + f = high + low without error.
    let high = simd.mul_add(n, simd.splat(LN2_HIGH), f);
    let low = simd.sub(f, simd.mul_add(n, simd.splat(-LN2_HIGH), high));
    (high, simd.add(low, y))
}

/// `y` for positive finite `x`, else what a logarithm of `x` is: negative infinity, infinity or NaN.
#[inline(always)]
fn ln_of_special<S: Simd>(simd: S, x: S::F32, y: S::F32) -> S::F32 {
    let infinity = simd.splat(f32::INFINITY);
    let nan = simd.splat(f32::NAN);
    let y = simd.select(simd.lt(x, infinity), y, simd.select(simd.eq(x, infinity), infinity, nan));
    let y = simd.select(simd.lt(x, simd.zero()), nan, y);
    simd.select(simd.eq(x, simd.zero()), simd.splat(f32::NEG_INFINITY), y)
}

/// The exponent of positive `x` as an integer, such that the mantissa is in `[3/4, 3/2)`.
#[inline(always)]
fn exponent<S: Simd>(simd: S, bits: S::I32) -> S::I32 {
    simd.shift_right::<23>(simd.sub_i32(bits, simd.splat_i32(MANTISSA_BITS)))
}

/// The natural logarithm: of zero negative infinity, of negative numbers NaN.
#[inline(always)]
pub fn ln<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let denormal = simd.lt(x, simd.splat(f32::MIN_POSITIVE));
    let bits = simd.to_bits(simd.select(denormal, simd.mul(x, simd.splat(DENORMAL_SCALE)), x));
    let exponent = exponent(simd, bits);
    let mantissa = simd.from_bits(simd.sub_i32(bits, simd.shift_left::<23>(exponent)));
    let n = simd.add(simd.to_f32(exponent), simd.select(denormal, simd.splat(-23.0), simd.zero()));
    let (high, low) = ln_of_parts(simd, n, simd.sub(mantissa, simd.splat(1.0)));
    ln_of_special(simd, x, simd.add(high, low))
}

/// `ln(1 + x)`, without the rounding of `1 + x`: of -1 negative infinity, below NaN.
#[inline(always)]
pub fn log1p<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    // 1 + x = sum + sum_low without error.
    let sum = simd.add(one, x);
    let part = simd.sub(sum, one);
    let sum_low = simd.add(simd.sub(one, simd.sub(sum, part)), simd.sub(x, part));
    let bits = simd.to_bits(sum);
    let exponent = exponent(simd, bits);
    let f = simd.sub(simd.from_bits(simd.sub_i32(bits, simd.shift_left::<23>(exponent))), one);
    let (high, low) = ln_of_parts(simd, simd.to_f32(exponent), f);
    // sum_low / sum = sum_low / 2^n / (1 + f), which is x where the sum is 1, and needs two digits elsewhere. 4 / 2^n is a normal
    // number for every n.
    let power = power_of_two(simd, simd.sub_i32(simd.splat_i32(2), exponent));
    let f_low = simd.mul(simd.mul(sum_low, power), simd.splat(0.25));
    let inverse = polynomial(simd, f, &MANTISSA_INVERSE);
    let y = simd.add(high, simd.mul_add(f_low, inverse, low));
    let y = ln_of_special(simd, sum, y);
    simd.select(simd.lt(simd.abs(x), simd.splat(ALMOST_LINEAR)), x, y)
}

/// The hyperbolic tangent. Odd, bit for bit, and never beyond 1.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    let a = simd.abs(x);
    let square = simd.mul(a, a);
    let near = simd.mul_add(simd.mul(polynomial(simd, square, &TANH), square), a, a);
    // 1 - 2 / (exp(2a) + 1) with the denominator as d + d_low
    let clamped = simd.min(simd.splat(TANH_HIGHEST), a);
    let (p, p_low, n) = exp_parts(simd, simd.add(clamped, clamped));
    let power = power_of_two(simd, n);
    let e = simd.mul(p, power);
    let d = simd.add(e, one);
    let d_low = simd.mul_add(p_low, power, simd.sub(one, simd.sub(d, e)));
    let minus_inverse = simd.div(simd.splat(-1.0), d);
    let remainder = simd.mul_add(d_low, minus_inverse, simd.mul_add(d, minus_inverse, one));
    let share = simd.add(minus_inverse, minus_inverse);
    let high = simd.add(one, share);
    let low = simd.sub(share, simd.sub(high, one));
    let far = simd.add(high, simd.mul_add(share, remainder, low));
    let y = simd.select(simd.lt(a, simd.splat(TANH_SPLIT)), near, far);
    let sign = simd.and_i32(simd.to_bits(x), simd.splat_i32(i32::MIN));
    simd.from_bits(simd.or_i32(simd.to_bits(y), sign))
}

/// `sigmoid(x) = y 2^n`: `y` and `n`, still apart so that a product with `x` can be rounded before it becomes denormal.
#[inline(always)]
pub(crate) fn sigmoid_parts<S: Simd>(simd: S, x: S::F32) -> (S::F32, S::I32) {
    let one = simd.splat(1.0);
    let a = simd.max(simd.splat(SIGMOID_LOWEST), simd.sub(simd.zero(), simd.abs(x)));
    let (p, p_low, n) = exp_parts(simd, a);
    // The denominator 1 + exp(-|x|) as d + d_low.
    let power = simd.select(simd.lt(a, simd.splat(NEGLIGIBLE)), simd.zero(), power_of_two(simd, n));
    let e = simd.mul(p, power);
    let d = simd.add(one, e);
    let d_low = simd.mul_add(p_low, power, simd.sub(e, simd.sub(d, one)));
    // The numerator is 1, for negative x it is exp(x) with its power of two left out.
    let negative = simd.lt(x, simd.zero());
    let numerator = simd.select(negative, p, one);
    let numerator_low = simd.select(negative, p_low, simd.zero());
    // A quotient and one correction by its remainder; the signs are such that no negation is needed.
    let minus_inverse = simd.div(simd.splat(-1.0), d);
    let minus_y = simd.mul(numerator, minus_inverse);
    let remainder = simd.add(simd.mul_add(d, minus_y, numerator), numerator_low);
    let remainder = simd.mul_add(d_low, minus_y, remainder);
    let y = simd.sub(simd.zero(), simd.mul_add(remainder, minus_inverse, minus_y));
    let no_bits = simd.to_bits(simd.zero());
    let n = simd.to_bits(simd.select(negative, simd.from_bits(n), simd.from_bits(no_bits)));
    (y, n)
}

/// `1 / (1 + e^-x)`. In `[0, 1]`; for negative `x` accurate down to the denormal numbers.
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let (y, n) = sigmoid_parts(simd, x);
    scale(simd, y, n)
}

/// `ln(1 + e^x)`. Neither overflows nor loses the small results of negative `x`.
#[inline(always)]
pub fn softplus<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    // max(x, 0) + log1p(exp(-|x|)), or x where that is the same. There the exponential function, which would become denormal, is taken nearer to 0.
    let near = simd.min(simd.splat(SOFTPLUS_HIGHEST), x);
    let a = simd.max(simd.splat(SIGMOID_LOWEST), simd.sub(simd.zero(), simd.abs(near)));
    let (p, p_low, n) = exp_parts(simd, a);
    let e = scale(simd, p, n);
    let e_low = scale(simd, p_low, n);
    // 1 + e = 2^k (1 + f) with f in [-1/4, 1/2]
    let one = simd.splat(1.0);
    let half = simd.splat(0.5);
    let upper = simd.lt(half, e);
    let k = simd.select(upper, one, simd.zero());
    let linear = simd.lt(e, simd.splat(LOG1P_LINEAR));
    let f = simd.select(upper, simd.mul(simd.sub(e, one), half), simd.select(linear, simd.zero(), e));
    let (log, log_low) = ln_of_parts(simd, k, f);
    let log = simd.select(linear, e, log);
    // e_low times the derivative 1 / (1 + e) of log1p, for which three digits are enough.
    let derivative = polynomial(simd, e, &LOG1P_DERIVATIVE);
    let low = simd.mul_add(e_low, derivative, log_low);
    let positive = simd.max(x, simd.zero());
    let larger = simd.max(positive, log);
    let smaller = simd.min(positive, log);
    let high = simd.add(larger, smaller);
    let high_low = simd.sub(smaller, simd.sub(high, larger));
    let y = simd.add(high, simd.add(high_low, low));
    simd.select(simd.lt(simd.splat(SOFTPLUS_HIGHEST), x), x, y)
}

/// The tail of the normal distribution at `t = |x|`, in factors that are not rounded: the probability of more than `t` is
/// `(p + p_low) (m + m_low) / (d + d_low) 2^n`, the density at `t` is `(p + p_low) 2^n / sqrt(2 pi)`.
pub(crate) struct NormalTail<S: Simd> {
    /// `|x|`, clamped.
    pub(crate) t: S::F32,
    pub(crate) p: S::F32,
    p_low: S::F32,
    pub(crate) m: S::F32,
    m_low: S::F32,
    d: S::F32,
    d_low: S::F32,
    /// `1 / d`, rounded.
    pub(crate) inverse: S::F32,
    pub(crate) n: S::I32,
}

impl<S: Simd> NormalTail<S> {
    #[inline(always)]
    pub(crate) fn new(simd: S, x: S::F32) -> Self {
        let (one, four) = (simd.splat(1.0), simd.splat(4.0));
        let t = simd.min(simd.splat(TAIL_HIGHEST), simd.abs(x));
        // -t^2 / 2 = high + low. One number for it would be off by many digits of the exponential function.
        let head = simd.from_bits(simd.and_i32(simd.to_bits(t), simd.splat_i32(HEAD_BITS)));
        let minus_half = simd.splat(-0.5);
        let high = simd.mul(simd.mul(head, head), minus_half);
        let low = simd.mul(simd.mul(simd.add(t, head), simd.sub(t, head)), minus_half);
        let (n, exponent) = round(simd, simd.add(high, low), core::f32::consts::LOG2_E);
        let high = simd.mul_add(n, simd.splat(-LN2_HIGH), high);
        let low = simd.mul_add(n, simd.splat(-LN2_LOW), low);
        let r = simd.add(high, low);
        let r_low = simd.sub(low, simd.sub(r, high));
        let (p, p_low) = exp_of_reduced_in_parts(simd, r);
        let p_low = simd.add(p_low, r_low);
        let d = simd.add(t, four);
        let d_low = simd.sub(t, simd.sub(d, four));
        let inverse = simd.div(one, d);
        // q = (t - 4) / (t + 4), corrected by its remainder t - 4 (q + 1) - q t.
        let quotient = simd.mul(simd.sub(t, four), inverse);
        let remainder = simd.mul_add(simd.add(quotient, one), simd.splat(-4.0), t);
        let remainder = simd.mul_add(quotient, simd.mul(t, simd.splat(-1.0)), remainder);
        let correction = simd.mul(remainder, inverse);
        let q = simd.add(quotient, correction);
        let q_low = simd.sub(correction, simd.sub(q, quotient));
        // P(q) by Horner's rule, the last two steps of it with their rounding errors, and those of q times P'(q).
        let [c0, c1, upper @ ..] = &TAIL;
        let sum = polynomial(simd, q, upper);
        let (sum, sum_low) = horner_step(simd, (sum, simd.zero()), q, *c1);
        let (m, m_low) = horner_step(simd, (sum, sum_low), q, *c0);
        let slope = simd.mul_add(q, simd.splat(3.0 * TAIL[3]), simd.splat(2.0 * TAIL[2]));
        let slope = simd.mul_add(q, slope, simd.splat(*c1));
        let m_low = simd.mul_add(q_low, slope, m_low);
        Self { t, p, p_low, m, m_low, d, d_low, inverse, n: exponent }
    }

    /// The probability of more than `t`, without its factor `2^n`, as the sum of two numbers of which the second is small.
    #[inline(always)]
    pub(crate) fn probability(&self, simd: S) -> (S::F32, S::F32) {
        let minus = |x| simd.sub(simd.zero(), x);
        let product = simd.mul(self.p, self.m);
        let product_low = simd.mul_add(self.p, self.m, minus(product));
        let product_low = simd.mul_add(self.p, self.m_low, product_low);
        let product_low = simd.mul_add(self.p_low, self.m, product_low);
        // A quotient and one correction by its remainder.
        let y = simd.mul(product, self.inverse);
        let minus_y = minus(y);
        let remainder = simd.add(simd.mul_add(self.d, minus_y, product), product_low);
        let remainder = simd.mul_add(self.d_low, minus_y, remainder);
        (y, simd.mul(remainder, self.inverse))
    }
}

/// `(sum + sum_low) x + c`, a step of Horner's rule, as the sum of two numbers of which the second is small.
#[inline(always)]
fn horner_step<S: Simd>(simd: S, (sum, sum_low): (S::F32, S::F32), x: S::F32, c: f32) -> (S::F32, S::F32) {
    let c = simd.splat(c);
    let product = simd.mul(sum, x);
    let product_low = simd.mul_add(sum, x, simd.sub(simd.zero(), product));
    let next = simd.add(c, product);
    let next_low = simd.sub(product, simd.sub(next, c));
    (next, simd.add(simd.mul_add(sum_low, x, product_low), next_low))
}

/// The distribution function of the normal distribution, `(1 + erf(x / sqrt(2))) / 2`.
#[inline(always)]
pub fn normal_cdf<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let tail = NormalTail::new(simd, x);
    let (y, y_low) = tail.probability(simd);
    let y = scale(simd, simd.add(y, y_low), tail.n);
    simd.select(simd.lt(x, simd.zero()), y, simd.sub(simd.splat(1.0), y))
}

/// The functions of this module over slices: `function(isa, x, y)` writes `y[i] = function(x[i])`.
pub mod slices {
    use crate::simd::{Isa, MapOp, Simd, slice};

    macro_rules! over_slices {
        ($($name:ident: $formula:literal),*) => {
            $(
                #[doc = concat!("`y[i] = ", $formula, "`, see [`", stringify!($name), "`](super::", stringify!($name), ").")]
                ///
                /// # Panics
                /// If the slices differ in length.
                #[track_caller]
                pub fn $name(isa: Isa, x: &[f32], y: &mut [f32]) {
                    struct Op;
                    impl MapOp<1, 1> for Op {
                        #[inline(always)]
                        fn map<S: Simd>(&self, simd: S, [x]: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] {
                            [super::$name(simd, x)]
                        }
                    }
                    slice::map(isa, Op, [x], [y]);
                }
            )*
        };
    }

    over_slices! {
        exp: "e^x[i]",
        exp2: "2^x[i]",
        expm1: "e^x[i] - 1",
        ln: "ln x[i]",
        log1p: "ln(1 + x[i])",
        tanh: "tanh x[i]",
        sigmoid: "1 / (1 + e^-x[i])",
        softplus: "ln(1 + e^x[i])",
        normal_cdf: "(1 + erf(x[i] / sqrt(2))) / 2"
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::slices;
    use crate::reference::math as twin;
    use crate::simd::{Isa, LANES};

    type Kernel = fn(Isa, &[f32], &mut [f32]);
    type Twin = fn(Isa, f32) -> f32;
    /// Arguments with their exact values.
    type Values = &'static [(f32, f32)];

    const FUNCTIONS: [(&str, Kernel, Twin); 9] = [
        ("exp", slices::exp, twin::exp),
        ("exp2", slices::exp2, twin::exp2),
        ("expm1", slices::expm1, twin::expm1),
        ("ln", slices::ln, twin::ln),
        ("log1p", slices::log1p, twin::log1p),
        ("tanh", slices::tanh, twin::tanh),
        ("sigmoid", slices::sigmoid, twin::sigmoid),
        ("softplus", slices::softplus, twin::softplus),
        ("normal_cdf", slices::normal_cdf, twin::normal_cdf),
    ];

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    /// Special values, then all exponents and signs with mantissas that jump about.
    fn arguments(stride: usize) -> Vec<f32> {
        let spread = (0..=u32::MAX).step_by(stride).map(f32::from_bits);
        twin::special_values().into_iter().chain(spread).collect()
    }

    #[test]
    fn equal_to_the_twin_on_every_isa() {
        let x = arguments(40_009);
        let mut y = vec![0.0; x.len()];
        for (name, kernel, twin) in FUNCTIONS {
            for isa in Isa::available() {
                kernel(isa, &x, &mut y);
                for (&x, &y) in x.iter().zip(&y) {
                    let expected = twin(isa, x);
                    assert!(same(y, expected), "{name} of {x:e} on {isa}: {expected:e} expected, found {y:e}");
                }
            }
        }
    }

    #[test]
    fn every_length_at_every_offset_writes_its_slice_and_no_more() {
        let x = arguments(10_000_019);
        for (name, kernel, twin) in FUNCTIONS {
            for isa in Isa::available() {
                for len in 0..=2 * LANES + 1 {
                    for offset in [0, 1, 7, 40] {
                        let mut y = vec![-77.0; offset + len + LANES];
                        kernel(isa, &x[offset..offset + len], &mut y[offset..offset + len]);
                        for (i, &y) in y.iter().enumerate() {
                            let inside = (offset..offset + len).contains(&i);
                            let expected = if inside { twin(isa, x[i]) } else { -77.0 };
                            assert!(same(y, expected), "{name} on {isa}, length {len}, offset {offset}, element {i}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn limits_are_exact() {
        const INFINITY: f32 = f32::INFINITY;
        const NAN: f32 = f32::NAN;
        const TINY: f32 = f32::from_bits(1);
        let table: &[(&str, Kernel, Values)] = &[
            (
                "exp",
                slices::exp,
                &[(0.0, 1.0), (-0.0, 1.0), (INFINITY, INFINITY), (-INFINITY, 0.0), (88.72284, INFINITY), (-103.9, TINY)],
            ),
            (
                "exp2",
                slices::exp2,
                &[(0.0, 1.0), (128.0, INFINITY), (-149.0, TINY), (-150.0, 0.0), (-INFINITY, 0.0), (INFINITY, INFINITY)],
            ),
            (
                "expm1",
                slices::expm1,
                &[(0.0, 0.0), (-0.0, -0.0), (TINY, TINY), (-INFINITY, -1.0), (INFINITY, INFINITY), (-20.0, -1.0)],
            ),
            (
                "ln",
                slices::ln,
                &[
                    (0.0, -INFINITY),
                    (-0.0, -INFINITY),
                    (1.0, 0.0),
                    (INFINITY, INFINITY),
                    (-TINY, NAN),
                    (-INFINITY, NAN),
                    (TINY, -103.278_93),
                ],
            ),
            (
                "log1p",
                slices::log1p,
                &[
                    (-1.0, -INFINITY),
                    (-1.0 - f32::EPSILON, NAN),
                    (-0.0, -0.0),
                    (TINY, TINY),
                    (INFINITY, INFINITY),
                    (-INFINITY, NAN),
                    (f32::MAX, 88.722_84),
                ],
            ),
            ("tanh", slices::tanh, &[(0.0, 0.0), (-0.0, -0.0), (TINY, TINY), (INFINITY, 1.0), (-INFINITY, -1.0), (10.0, 1.0)]),
            ("sigmoid", slices::sigmoid, &[(0.0, 0.5), (-0.0, 0.5), (INFINITY, 1.0), (-INFINITY, 0.0), (-103.9, TINY)]),
            (
                "softplus",
                slices::softplus,
                &[(INFINITY, INFINITY), (-INFINITY, 0.0), (f32::MAX, f32::MAX), (-103.9, TINY), (0.0, core::f32::consts::LN_2)],
            ),
            ("normal_cdf", slices::normal_cdf, &[(0.0, 0.5), (-0.0, 0.5), (INFINITY, 1.0), (-INFINITY, 0.0)]),
        ];
        for isa in Isa::available() {
            for &(name, kernel, values) in table {
                for &(x, expected) in values.iter().chain(&[(NAN, NAN), (-NAN, NAN), (f32::from_bits(0x7f80_0001), NAN)]) {
                    let mut y = [0.0];
                    kernel(isa, &[x], &mut y);
                    assert!(same(y[0], expected), "{name} of {x:e} on {isa}: {expected:e} expected, found {:e}", y[0]);
                }
            }
        }
    }

    #[test]
    fn tanh_is_odd_bit_for_bit() {
        let x = arguments(1_000_003);
        let minus_x: Vec<f32> = x.iter().map(|x| -x).collect();
        let (mut y, mut of_minus_x) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        for isa in Isa::available() {
            slices::tanh(isa, &x, &mut y);
            slices::tanh(isa, &minus_x, &mut of_minus_x);
            for ((&y, &of_minus_x), &x) in y.iter().zip(&of_minus_x).zip(&x) {
                assert!(same(-y, of_minus_x), "tanh of {x:e} and its negative on {isa}");
            }
        }
    }
}
