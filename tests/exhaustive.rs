use selvedge::kernels::math;
use selvedge::simd::{Isa, MapOp, Simd, slice};

struct Function {
    name: &'static str,
    truth: fn(f64) -> f64,
    bound: f64,
    run: fn(Isa, &[f32], &mut [f32]),
}

macro_rules! functions { ($($name:ident, $truth:expr, $bound:expr;)*) => {
    [$({
        struct Op;
        impl MapOp<1, 1> for Op {
            #[inline(always)]
            fn map<S: Simd>(&self, simd: S, [x]: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] { [math::$name(simd, x)] }
        }
        Function { name: stringify!($name), truth: $truth, bound: $bound, run: |isa, x, y| slice::map(isa, Op, [x], [y]) }
    }),*]
} }

fn ulps(found: f32, truth: f64) -> f64 {
    if truth.is_nan() || found.is_nan() {
        return if truth.is_nan() && found.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if found.is_infinite() {
        return if (truth as f32) == found { 0.0 } else { f64::INFINITY };
    }
    if truth.is_infinite() {
        return f64::INFINITY;
    }
    let spacing = 2f64.powi((truth.abs().log2().floor() as i32).max(-126) - 23);
    let d = (f64::from(found) - truth).abs() / spacing;
    if d == 0.0 && found.is_sign_negative() != truth.is_sign_negative() { 1.0 } else { d }
}

#[test]
fn strided() {
    let stride: usize = std::env::var("SELVEDGE_STRIDE").map_or(61, |s| s.parse().unwrap());
    for f in functions! { exp, f64::exp, 1.0; exp2, f64::exp2, 1.0; expm1, f64::exp_m1, 1.0; ln, f64::ln, 1.0; log1p, f64::ln_1p, 1.0; tanh, f64::tanh, 1.0; sigmoid, |x| if x > 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }, 1.0; softplus, |x| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }, 1.0; }
    {
        let mut maxima = vec![(0.0, 0.0f32, 0.0f32); Isa::available().count()];
        let mut bits = (0u64..1 << 32).step_by(stride);
        loop {
            let x: Vec<f32> = bits.by_ref().take(4096).map(|b| f32::from_bits(b as u32)).collect();
            if x.is_empty() {
                break;
            }
            let t: Vec<f64> = x.iter().map(|&x| (f.truth)(f64::from(x))).collect();
            let mut y = vec![0.0; x.len()];
            for (isa, max) in Isa::available().zip(&mut maxima) {
                (f.run)(isa, &x, &mut y);
                for ((&x, &y), &t) in x.iter().zip(&y).zip(&t) {
                    let u = ulps(y, t);
                    if u > max.0 {
                        *max = (u, x, y);
                    }
                }
            }
        }
        for (isa, max) in Isa::available().zip(maxima) {
            println!("{} {isa} {max:?} {}", f.name, f.bound);
        }
    }
}
