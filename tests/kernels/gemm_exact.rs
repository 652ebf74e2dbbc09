//! Products of small integers, which `f32` computes without rounding, and so do epilogues whose factors are powers of two: equal to the
//! product in `i64`, with operands on the heap and between pages without access.

use super::gemm::{KINDS, Kind, Outputs, Rates, Side, padding_of_b};
use crate::support::buffer::{Buffer, Place};
use crate::support::factors::Factors;
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use fastrand::Rng;
use selvedge::kernels::dropout::mask_len;
use selvedge::kernels::gemm::Accumulated;
use selvedge::reference::dropout::bit;

/// Powers of two.
const RATES: Rates = Rates { learning_rate: 0.25, momentum: 0.5 };

/// All that an epilogue may read for an element of C.
struct Element {
    product: f64,
    c: f64,
    bias: f64,
    velocity: f64,
    kept: bool,
}

/// What the formulas make of an element.
#[derive(Debug, PartialEq)]
struct Expected {
    c: f64,
    velocity: f64,
    kept: bool,
}

impl Element {
    fn after(self, kind: Kind) -> Expected {
        let Self { product, c, bias, velocity, kept } = self;
        let (learning_rate, momentum) = (f64::from(RATES.learning_rate), f64::from(RATES.momentum));
        let unchanged = Expected { c, velocity, kept };
        let next_velocity = momentum * velocity - learning_rate * product;
        match kind {
            Kind::Stored | Kind::WithoutBias => Expected { c: product, ..unchanged },
            Kind::Accumulated => Expected { c: c + product, ..unchanged },
            Kind::Biased => Expected { c: bias + product, ..unchanged },
            Kind::BiasedRelu => Expected { c: (bias + product).max(0.0), kept: bias + product > 0.0, ..unchanged },
            Kind::BiasedReluWithoutMask => Expected { c: (bias + product).max(0.0), ..unchanged },
            Kind::ReluWithoutBias => Expected { c: product.max(0.0), kept: product > 0.0, ..unchanged },
            Kind::ReluBackward => Expected { c: if kept { product } else { 0.0 }, ..unchanged },
            Kind::UpdatedBySgd => Expected { c: c - learning_rate * product, ..unchanged },
            Kind::UpdatedByMomentum => Expected { c: c + next_velocity, velocity: next_velocity, kept },
            Kind::UpdatedByNesterov => {
                Expected { c: c + momentum * next_velocity - learning_rate * product, velocity: next_velocity, kept }
            }
        }
    }
}

/// Whether C has numbers before the product.
fn reads_c(kind: Kind) -> bool {
    matches!(kind, Kind::Accumulated | Kind::UpdatedBySgd | Kind::UpdatedByMomentum | Kind::UpdatedByNesterov)
}

/// A random product, on every instruction set.
fn random_product(rng: &mut Rng) {
    let places = [&[Place::Heap], Place::GUARDED].concat();
    let place = places[rng.usize(..places.len())];
    let (m, n, k) = (rng.usize(..=30), rng.usize(..=100), rng.usize(..=40));
    let transposed = rng.bool();
    let kind = KINDS[rng.usize(..KINDS.len())];
    let padding = [rng.usize(..4), padding_of_b(rng, n), rng.usize(..4)];
    let rows_per_block = rng.usize(1..=k.max(1));
    let mut integer = || f32::from(rng.i8(-64..=64));
    let layout = |padding, gap| Layout { padding, rows_per_block: if transposed { rows_per_block } else { usize::MAX }, gap };
    let a_shape = if transposed { (k, m) } else { (m, k) };
    let a = Matrix::new(place, a_shape, layout(padding[0], 3), |_, _| integer());
    let b = Matrix::new(place, (k, n), layout(padding[1], 0), |_, _| integer());
    let [begin, begin_velocity] = [0; 2].map(|_| Matrix::new(Place::Heap, (m, n), Layout::padded(padding[2]), |_, _| integer()));
    let bias: Vec<f32> = (0..n).map(|_| integer()).collect();
    let mask: Vec<u16> = (0..mask_len(m, n)).map(|_| rng.u16(..)).collect();

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
        let c_before = |i: usize, j: usize| if reads_c(kind) { begin.row(i)[j] } else { f32::NAN };
        let mut found = Outputs {
            c: Matrix::new(place, (m, n), Layout::padded(padding[2]), c_before),
            velocity: Matrix::new(place, (m, n), Layout::padded(padding[2]), |i, j| begin_velocity.row(i)[j]),
            bias: Buffer::new(place, bias.clone()),
            mask: Buffer::new(place, mask.clone()),
        };
        let factors = match transposed {
            true => Factors::Columns(a.as_blocks(), (0, m), b.as_blocks()),
            false => Factors::Rows(a.as_ref(), b.as_ref()),
        };
        match kind {
            // By itself; `run` has it as one of two.
            Kind::Accumulated => factors.multiply(isa, &mut Accumulated { c: found.c.as_mut() }),
            _ => factors.run(Side::Kernel, isa, kind, RATES, &mut found),
        }
        let case =
            format_args!("{isa}, {m} x {n} x {k}, transposed {transposed}, {kind:?}, {rows_per_block} rows per block, {place:?}");
        for i in 0..m {
            for j in 0..n {
                let element = Element {
                    product: products[i * n + j] as f64,
                    c: f64::from(begin.row(i)[j]),
                    bias: f64::from(bias[j]),
                    velocity: f64::from(begin_velocity.row(i)[j]),
                    kept: bit(&mask, n, i, j),
                };
                let expected = element.after(kind);
                let found = Expected {
                    c: f64::from(found.c.row(i)[j]),
                    velocity: f64::from(found.velocity.row(i)[j]),
                    kept: bit(&found.mask, n, i, j),
                };
                assert!(found == expected, "{case}: ({i}, {j}) is {found:?}, {expected:?} expected");
            }
        }
        found.c.assert_padding_untouched(&case);
        found.velocity.assert_padding_untouched(&case);
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

/// Some minutes: `cargo test --test kernels -- --ignored --nocapture products_of_integers`.
#[test]
#[ignore = "takes minutes"]
fn products_of_integers_are_exact_in_a_long_sweep() {
    sweep(2, 400_000);
}
