//! How far the vector functions are from the truth, for all arguments there are.
//!
//! ```text
//! cargo test --release --test exhaustive                        every 61st of the 2^32 bit patterns
//! cargo test --release --test exhaustive -- --ignored --nocapture    all of them; prints the table of `kernels::math`
//! ```
//! `SELVEDGE_STRIDE` sets another stride, `SELVEDGE_FUNCTION` takes one function of the list.
//!
//! The truth is computed in `f64`. The error is the distance from it to the result, as a real number, in units in the last place:
//! the spacing of `f32` at the truth. A correctly rounded result is off by at most 0.5. NaN must meet NaN, and the sign of a zero
//! counts: a wrong sign is an infinite error. The functions must also stay in their range, and growing functions must grow.
#![allow(clippy::print_stdout, reason = "the tables are read by people")]

use selvedge::kernels::activations::{self, Elu, Gelu, GeluTanh, Selu, Swish};
use selvedge::kernels::math::slices;
use selvedge::simd::Isa;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Function {
    name: &'static str,
    run: fn(Isa, &[f32], &mut [f32]),
    truth: fn(f64) -> f64,
    /// The largest error allowed where multiply-add is fused, and where it is not.
    bounds: [f64; 2],
    /// The smallest and the largest value allowed.
    range: [f32; 2],
    /// Whether the function grows. Then a larger argument may give a value that is smaller by one unit in the last place, which an
    /// error of up to 1 ULP allows, but never by more.
    growing: bool,
    /// The hash of the outputs for all arguments on every instruction set with fused multiply-add, where it has been recorded. Those
    /// for some arguments are in [`RECORDED`].
    hash: Option<u64>,
}

const EVERYTHING: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];
const POSITIVE: [f32; 2] = [0.0, f32::INFINITY];

const FUNCTIONS: [Function; 14] = [
    Function {
        name: "exp",
        run: slices::exp,
        truth: f64::exp,
        bounds: [1.0, 1.25],
        range: POSITIVE,
        growing: true,
        hash: Some(0x49be_1756_b755_29ee),
    },
    Function {
        name: "exp2",
        run: slices::exp2,
        truth: f64::exp2,
        bounds: [1.0, 1.25],
        range: POSITIVE,
        growing: true,
        hash: Some(0x0086_f75b_dfba_ca5f),
    },
    Function {
        name: "expm1",
        run: slices::expm1,
        truth: f64::exp_m1,
        bounds: [1.0, 1.25],
        range: [-1.0, f32::INFINITY],
        growing: true,
        hash: Some(0x35f3_a0f3_ac72_0123),
    },
    Function {
        name: "ln",
        run: slices::ln,
        truth: f64::ln,
        bounds: [1.0, 1.0],
        range: EVERYTHING,
        growing: true,
        hash: Some(0xbf7e_0622_f79e_f9e9),
    },
    Function {
        name: "log1p",
        run: slices::log1p,
        truth: f64::ln_1p,
        bounds: [1.0, 1.25],
        range: EVERYTHING,
        growing: true,
        hash: Some(0xf25f_0e45_2e2a_2562),
    },
    Function {
        name: "tanh",
        run: slices::tanh,
        truth: f64::tanh,
        bounds: [1.0, 1.25],
        range: [-1.0, 1.0],
        growing: true,
        hash: Some(0x5994_7d99_08b9_9325),
    },
    Function {
        name: "sigmoid",
        run: slices::sigmoid,
        truth: sigmoid,
        bounds: [1.0, 2.0],
        range: [0.0, 1.0],
        growing: true,
        hash: Some(0xa234_0356_2368_fd2e),
    },
    Function {
        name: "softplus",
        run: slices::softplus,
        truth: |x| x.max(0.0) + if x.is_nan() { x } else { (-x.abs()).exp().ln_1p() },
        bounds: [1.0, 1.25],
        range: POSITIVE,
        growing: true,
        hash: Some(0xc6e6_8a4c_52c7_7f22),
    },
    Function {
        name: "normal_cdf",
        run: slices::normal_cdf,
        truth: normal_cdf,
        bounds: [1.5, 3.25],
        range: [0.0, 1.0],
        growing: false,
        hash: Some(0xe261_4f47_6e9f_4b1e),
    },
    Function {
        name: "elu",
        run: |isa, x, y| activations::forward(isa, Elu::default(), x, y),
        truth: |x| if x > 0.0 { x } else { x.exp_m1() },
        bounds: [1.0, 1.25],
        range: [-1.0, f32::INFINITY],
        growing: true,
        hash: Some(0x3142_071c_45c2_4b7b),
    },
    Function {
        name: "selu",
        run: |isa, x, y| activations::forward(isa, Selu, x, y),
        truth: |x| 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() },
        bounds: [2.0, 2.0],
        range: [-Selu::SCALE_ALPHA, f32::INFINITY],
        growing: true,
        hash: Some(0xc3d3_f4f6_795f_8a7b),
    },
    Function {
        name: "gelu",
        run: |isa, x, y| activations::forward(isa, Gelu, x, y),
        truth: |x| if x == f64::NEG_INFINITY { -0.0 } else { x * normal_cdf(x) },
        bounds: [1.5, 3.5],
        range: [-0.17, f32::INFINITY],
        growing: false,
        hash: Some(0xbf66_3fb1_2e86_c88d),
    },
    Function {
        name: "gelu tanh",
        run: |isa, x, y| activations::forward(isa, GeluTanh, x, y),
        truth: gelu_tanh,
        bounds: [220.0, 220.0],
        range: [-0.171, f32::INFINITY],
        growing: false,
        hash: Some(0xcfe2_3f8c_ed6a_b119),
    },
    Function {
        name: "swish",
        run: |isa, x, y| activations::forward(isa, Swish, x, y),
        truth: |x| if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(x) },
        bounds: [2.0, 3.0],
        range: [-0.279, f32::INFINITY],
        growing: false,
        hash: Some(0x2a2e_bb4f_ad55_8aa5),
    },
];

/// The fractions of the arguments that are looked at quickly, and the hashes of their outputs on every instruction set with fused
/// multiply-add. By these a run on one kind of processor compares with all others.
const STRIDES: [usize; 2] = [61, 20_011];
const RECORDED: [(&str, [u64; STRIDES.len()]); 14] = [
    ("exp", [0x1c1e_8b78_346e_d8ed, 0xc794_c6e3_be2d_2e0b]),
    ("exp2", [0xebcb_01cc_7414_08fd, 0xef91_e737_2999_8e40]),
    ("expm1", [0x38a2_0bc1_20d0_bb35, 0x0a0a_6bf7_7d80_9ce9]),
    ("ln", [0x20f7_8485_0538_f514, 0x3524_9bb4_f474_5b24]),
    ("log1p", [0x09c1_c8eb_a710_843a, 0xc2c4_fe00_a739_f3e9]),
    ("tanh", [0x8329_19c3_020a_1aea, 0x7ab4_abcb_9373_5ad7]),
    ("sigmoid", [0xa647_081b_c26f_4242, 0xca67_caa4_2914_e491]),
    ("softplus", [0x2bbb_5760_2d6f_1473, 0x7436_eded_f118_a8e0]),
    ("normal_cdf", [0xe20b_39e8_7ee3_9f9e, 0x0c8b_3e87_1cbd_19db]),
    ("elu", [0x9bc3_747f_8582_fd5d, 0xd1ed_7468_abf2_b583]),
    ("selu", [0xba25_7f46_ec17_8681, 0x1f6f_8b12_2988_3b60]),
    ("gelu", [0x50d1_b8e3_76b9_fabb, 0xb035_9672_2549_4845]),
    ("gelu tanh", [0xe1a2_c9d8_7f56_31e1, 0xb642_504e_46e6_900e]),
    ("swish", [0xb47a_62f4_7d0b_318f, 0x77c3_a9c9_c1ba_4310]),
];

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

fn gelu_tanh(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return -0.0;
    }
    // `(1 + tanh(u)) / 2` is `sigmoid(2 u)`.
    x * sigmoid((8.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
}

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * core::f64::consts::FRAC_1_SQRT_2)
}

/// The distance of `found` from `truth` in units in the last place.
fn ulps(found: f32, truth: f64) -> f64 {
    if found.is_nan() || truth.is_nan() {
        return if found.is_nan() && truth.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if found.is_sign_negative() != truth.is_sign_negative() {
        return f64::INFINITY;
    }
    if found.is_infinite() && (truth as f32).is_infinite() {
        return 0.0;
    }
    // Infinity stands where the next number after the largest would stand.
    let found = if found.is_infinite() { 2f64.powi(128).copysign(truth) } else { f64::from(found) };
    let exponent = ((truth.to_bits() >> 52 & 0x7ff) as i64 - 1023).clamp(-126, 127);
    let inverse_spacing = f64::from_bits(((23 - exponent + 1023) as u64) << 52);
    (found - truth).abs() * inverse_spacing
}

/// What was seen of one function on one instruction set.
#[derive(Clone, Copy)]
struct Seen {
    ulps: f64,
    argument: f32,
    value: f32,
    out_of_range: usize,
    /// Pairs of neighbouring arguments whose values are in the wrong order: by one unit in the last place or more, and by more.
    steps_back: usize,
    long_steps_back: usize,
    /// The last value, NaN before the first.
    last: f32,
    hash: u64,
}

impl Seen {
    const NOTHING: Seen = Seen {
        ulps: 0.0,
        argument: 0.0,
        value: 0.0,
        out_of_range: 0,
        steps_back: 0,
        long_steps_back: 0,
        last: f32::NAN,
        hash: 0xcbf2_9ce4_8422_2325,
    };

    fn hash(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn look(&mut self, function: &Function, x: &[f32], y: &[f32], truth: &[f64]) {
        for ((&x, &y), &truth) in x.iter().zip(y).zip(truth) {
            let ulps = ulps(y, truth);
            if ulps > self.ulps {
                (self.ulps, self.argument, self.value) = (ulps, x, y);
            }
            self.out_of_range += usize::from(y < function.range[0] || y > function.range[1]);
            self.hash(u64::from(if y.is_nan() { f32::NAN.to_bits() } else { y.to_bits() }));
        }
        // The arguments of a block have one sign and grow in magnitude.
        for (&x, &y) in x.iter().zip(y) {
            let (smaller, larger) = if x.is_sign_negative() { (y, self.last) } else { (self.last, y) };
            self.steps_back += usize::from(larger < smaller);
            self.long_steps_back += usize::from(larger.next_up() < smaller);
            self.last = y;
        }
    }

    /// The next block.
    fn join(&mut self, next: &Seen) {
        if next.ulps > self.ulps {
            (self.ulps, self.argument, self.value) = (next.ulps, next.argument, next.value);
        }
        self.out_of_range += next.out_of_range;
        self.steps_back += next.steps_back;
        self.long_steps_back += next.long_steps_back;
        self.hash(next.hash);
    }
}

/// Looks at one function on the given instruction sets, with two threads. A block is `2^24` bit patterns.
fn look_at(function: &Function, isas: &[Isa], stride: usize) -> Vec<Seen> {
    const BLOCKS: usize = 256;
    const PIECE: usize = 4096;
    let next = AtomicUsize::new(0);
    let blocks = Mutex::new(vec![vec![Seen::NOTHING; isas.len()]; BLOCKS]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut outputs = vec![vec![0.0; PIECE]; isas.len()];
                loop {
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    if block >= BLOCKS {
                        break;
                    }
                    let mut seen = vec![Seen::NOTHING; isas.len()];
                    let mut same = vec![vec![true; isas.len()]; isas.len()];
                    let first = (block << 24).next_multiple_of(stride);
                    let patterns: Vec<u32> = (first..(block + 1) << 24).step_by(stride).map(|bits| bits as u32).collect();
                    for piece in patterns.chunks(PIECE) {
                        let x: Vec<f32> = piece.iter().map(|&bits| f32::from_bits(bits)).collect();
                        let truth: Vec<f64> = x.iter().map(|&x| (function.truth)(f64::from(x))).collect();
                        for (i, &isa) in isas.iter().enumerate() {
                            let (earlier, rest) = outputs.split_at_mut(i);
                            let y = &mut rest[0][..x.len()];
                            (function.run)(isa, &x, y);
                            // Where all bits so far are those of another instruction set, so is what is to be seen.
                            let bits = bytemuck::cast_slice::<f32, u32>(y);
                            let equal =
                                |j: &usize| same[*j][i] && bytemuck::cast_slice::<f32, u32>(&earlier[*j][..x.len()]) == bits;
                            let equal_to = (0..i).find(equal);
                            match equal_to {
                                Some(j) => seen[i] = seen[j],
                                None => seen[i].look(function, &x, y, &truth),
                            }
                            (0..i).for_each(|j| same[j][i] = equal_to == Some(j));
                        }
                    }
                    blocks.lock().expect("no thread panicked")[block] = seen;
                }
            });
        }
    });
    let blocks = blocks.into_inner().expect("no thread panicked");
    let mut total = vec![Seen::NOTHING; isas.len()];
    for block in &blocks {
        for (total, seen) in total.iter_mut().zip(block) {
            total.join(seen);
        }
    }
    total
}

/// Looks at every function and collects what is wrong.
fn look_at_all(stride: usize) {
    let isas: Vec<Isa> = Isa::available().collect();
    let wanted = std::env::var("SELVEDGE_FUNCTION").ok();
    let mut faults = String::new();
    for function in FUNCTIONS.iter().filter(|function| wanted.as_deref().is_none_or(|name| name == function.name)) {
        let mut fused_hash = None;
        let recorded = match STRIDES.iter().position(|&recorded| recorded == stride) {
            Some(i) => Some(RECORDED.iter().find(|(name, _)| *name == function.name).expect("the hashes of every function").1[i]),
            None => function.hash.filter(|_| stride == 1),
        };
        for (isa, seen) in isas.iter().zip(look_at(function, &isas, stride)) {
            let Seen { ulps, argument, value, out_of_range, steps_back, long_steps_back, hash, .. } = seen;
            let name = function.name;
            println!("{name:10} {isa:8} {ulps:.4} ULP at {argument:e} ({value:e}), steps back {steps_back}, hash {hash:016x}");
            let bound = function.bounds[usize::from(!isa.fused())];
            if ulps > bound {
                let _ =
                    writeln!(faults, "{name} of {argument:e} on {isa} is {value:e}: off by {ulps} ULP, at most {bound} expected");
            }
            if out_of_range > 0 {
                let _ = writeln!(faults, "{name} on {isa} leaves {:?} for {out_of_range} arguments", function.range);
            }
            if function.growing && long_steps_back > 0 {
                let _ =
                    writeln!(faults, "{name} on {isa} falls by more than one unit between {long_steps_back} pairs of neighbours");
            }
            if isa.fused() && *fused_hash.get_or_insert(hash) != hash {
                let _ = writeln!(faults, "{name} on {isa} has other bits than on {}", isas[0]);
            }
            if let (true, Some(expected)) = (isa.fused(), recorded)
                && hash != expected
            {
                let _ = writeln!(faults, "{name} on {isa}: hash {expected:016x} expected, found {hash:016x}");
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn some_arguments() {
    let stride = match std::env::var("SELVEDGE_STRIDE") {
        Ok(stride) => stride.parse().expect("SELVEDGE_STRIDE is a number"),
        // Without optimization a vector function takes a hundred times as long.
        Err(_) => STRIDES[usize::from(cfg!(debug_assertions))],
    };
    look_at_all(stride);
}

#[test]
#[ignore = "takes minutes; run it in a release build"]
fn all_arguments() {
    look_at_all(1);
}

#[test]
fn the_measure_sees_what_is_wrong() {
    let next = |x: f32| f32::from_bits(x.to_bits() + 1);
    assert_eq!(ulps(1.0, 1.0), 0.0);
    assert_eq!(ulps(next(1.0), 1.0), 1.0);
    assert_eq!(ulps(next(next(3.0)), 3.0), 2.0);
    assert_eq!(ulps(f32::from_bits(1), 0.0), 1.0);
    assert_eq!(ulps(0.0, f64::from(f32::from_bits(3))), 3.0);
    assert_eq!(ulps(f32::INFINITY, f64::from(f32::MAX)), 1.0);
    assert_eq!(ulps(f32::INFINITY, 1e300), 0.0);
    for (found, truth) in
        [(-0.0, 0.0), (0.0, -0.0), (f32::NAN, 1.0), (1.0, f64::NAN), (f32::MAX, f64::INFINITY), (-f32::INFINITY, f64::INFINITY)]
    {
        assert_eq!(ulps(found, truth), f64::INFINITY, "{found} for {truth}");
    }
    // A planted fault: results that are two units in the last place too large.
    let faulty = Function {
        run: |isa, x, y| {
            slices::exp(isa, x, y);
            y.iter_mut().for_each(|y| *y *= 1.0 + 2.0 * f32::EPSILON);
        },
        ..FUNCTIONS[0]
    };
    assert!(look_at(&faulty, &[Isa::PORTABLE], 1_000_003)[0].ulps > faulty.bounds[1]);
}
