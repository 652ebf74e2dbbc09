//! Products of small integers, which `f32` computes without rounding, and so do epilogues whose factors are powers of two: equal to the
//! product in `i64`, with operands on the heap and between pages without access.

use crate::support::buffer::{Buffer, Place};
use crate::support::ends::{biased_relu, relu_backward, updated_by_sgd};
use crate::support::factors::Factors;
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use fastrand::Rng;
use selvedge::kernels::gemm::{Accumulated, Biased, Stored, Updated};
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Sgd};
use selvedge::simd::LANES;

/// What becomes of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stored,
    Accumulated,
    Biased,
    Relu,
    ReluBackward,
    Sgd,
    Momentum,
    Nesterov,
}

impl End {
    const ALL: [Self; 8] =
        [Self::Stored, Self::Accumulated, Self::Biased, Self::Relu, Self::ReluBackward, Self::Sgd, Self::Momentum, Self::Nesterov];

    /// Whether C has numbers before the product.
    fn reads_c(self) -> bool {
        matches!(self, Self::Accumulated | Self::Sgd | Self::Momentum | Self::Nesterov)
    }

    /// The formula, for one element: C and the velocity.
    fn exact(self, element: Element) -> (f64, f64) {
        let Element { product, c, bias, velocity, kept } = element;
        let next_velocity = MOMENTUM * velocity - LEARNING_RATE * product;
        match self {
            Self::Stored => (product, velocity),
            Self::Accumulated => (c + product, velocity),
            Self::Biased => (bias + product, velocity),
            Self::Relu => ((bias + product).max(0.0), velocity),
            Self::ReluBackward => (if kept { product } else { 0.0 }, velocity),
            Self::Sgd => (c - LEARNING_RATE * product, velocity),
            Self::Momentum => (c + next_velocity, next_velocity),
            Self::Nesterov => (c + MOMENTUM * next_velocity - LEARNING_RATE * product, next_velocity),
        }
    }
}

/// All that an epilogue may read for an element of C.
struct Element {
    product: f64,
    c: f64,
    bias: f64,
    velocity: f64,
    kept: bool,
}

const LEARNING_RATE: f64 = 0.25;
const MOMENTUM: f64 = 0.5;

/// A random product, on every instruction set.
fn random_product(rng: &mut Rng) {
    let places = [&[Place::Heap], Place::GUARDED].concat();
    let place = places[rng.usize(..places.len())];
    let (m, n, k) = (rng.usize(..=30), rng.usize(..=100), rng.usize(..=40));
    let transposed = rng.bool();
    let end = End::ALL[rng.usize(..End::ALL.len())];
    let padding = [rng.usize(..4), rng.usize(..4), rng.usize(..4)];
    let rows_per_block = rng.usize(1..=k.max(1));
    let mut integer = || f32::from(rng.i8(-64..=64));
    let layout = |padding, gap| Layout { padding, rows_per_block: if transposed { rows_per_block } else { usize::MAX }, gap };
    let a_shape = if transposed { (k, m) } else { (m, k) };
    let a = Matrix::new(place, a_shape, layout(padding[0], 3), |_, _| integer());
    let b = Matrix::new(place, (k, n), layout(padding[1], 0), |_, _| integer());
    let [begin, begin_velocity] = [0; 2].map(|_| Matrix::new(Place::Heap, (m, n), Layout::padded(padding[2]), |_, _| integer()));
    let bias = Buffer::new(place, (0..n).map(|_| integer()).collect());
    let words = n.div_ceil(LANES);
    let mask: Vec<u16> = (0..m * words).map(|_| rng.u16(..)).collect();
    let bit = |mask: &[u16], i: usize, j: usize| mask[i * words + j / LANES] >> (j % LANES) & 1 == 1;

    let mut products = vec![0; m * n];
    for i in 0..m {
        for p in 0..k {
            let element = if transposed { a.row(p)[i] } else { a.row(i)[p] } as i64;
            for (sum, &b) in products[i * n..].iter_mut().zip(b.row(p)) {
                *sum += element * b as i64;
            }
        }
    }

    for isa in isas() {
        let c_before = |i: usize, j: usize| if end.reads_c() { begin.row(i)[j] } else { f32::NAN };
        let mut c = Matrix::new(place, (m, n), Layout::padded(padding[2]), c_before);
        let mut velocity = Matrix::new(place, (m, n), Layout::padded(padding[2]), |i, j| begin_velocity.row(i)[j]);
        let mut found_mask = Buffer::new(place, mask.clone());
        let factors = match transposed {
            true => Factors::Columns(a.as_blocks(), (0, m), b.as_blocks()),
            false => Factors::Rows(a.as_ref(), b.as_ref()),
        };
        let leading_dimension = c.leading_dimension();
        match end {
            End::Stored => factors.multiply(isa, &mut Stored { c: c.as_mut() }),
            End::Accumulated => factors.multiply(isa, &mut Accumulated { c: c.as_mut() }),
            End::Biased => factors.multiply(isa, &mut Biased { bias: &bias, c: c.as_mut() }),
            End::Relu => factors.multiply(isa, &mut biased_relu(&bias, c.as_mut(), &mut found_mask)),
            End::ReluBackward => factors.multiply(isa, &mut relu_backward(&found_mask, c.as_mut())),
            End::Sgd => {
                let rule = Sgd { learning_rate: LEARNING_RATE as f32 };
                factors.multiply(isa, &mut updated_by_sgd(rule, c.data_mut(), leading_dimension));
            }
            End::Momentum | End::Nesterov => {
                let kind = if end == End::Momentum { MomentumKind::Classic } else { MomentumKind::Nesterov };
                let rule = Momentum { learning_rate: LEARNING_RATE as f32, momentum: MOMENTUM as f32, kind };
                let parameters = [c.data_mut(), velocity.data_mut()];
                factors.multiply(isa, &mut Updated { rule, parameters, leading_dimension });
            }
        }
        let case =
            format_args!("{isa}, {m} x {n} x {k}, transposed {transposed}, {end:?}, {rows_per_block} rows per block, {place:?}");
        for i in 0..m {
            for j in 0..n {
                let element = Element {
                    product: products[i * n + j] as f64,
                    c: f64::from(begin.row(i)[j]),
                    bias: f64::from(bias[j]),
                    velocity: f64::from(begin_velocity.row(i)[j]),
                    kept: bit(&mask, i, j),
                };
                let is_kept = if end == End::Relu { element.bias + element.product > 0.0 } else { element.kept };
                let expected = end.exact(element);
                let found = (f64::from(c.row(i)[j]), f64::from(velocity.row(i)[j]));
                assert!(found == expected, "{case}: ({i}, {j}) is {found:?}, {expected:?} expected");
                assert!(bit(&found_mask, i, j) == is_kept, "{case}: the bit of ({i}, {j}) is {}", !is_kept);
            }
        }
        c.assert_padding_untouched(&case);
        velocity.assert_padding_untouched(&case);
    }
}

#[allow(clippy::print_stdout, reason = "the count is the result")]
fn sweep(seed: u64, shapes: usize) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..shapes {
        random_product(&mut rng);
    }
    println!("{shapes} random products are exact on {:?}", isas());
}

#[test]
fn products_of_integers_are_exact() {
    sweep(1, 4_000);
}

/// Some minutes: `cargo test --test main -- --ignored --nocapture products_of_integers`.
#[test]
#[ignore = "takes minutes"]
fn products_of_integers_are_exact_in_a_long_sweep() {
    sweep(2, 400_000);
}
