//! Products of small integers, which `f32` computes without rounding: equal to the product in `i64`.

use crate::support::buffer::Place;
use crate::support::factors::Factors;
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use fastrand::Rng;
use selvedge::kernels::gemm::{Accumulated, Biased, Stored};

/// What the chains start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Zero,
    C,
    Bias,
}

/// A random product, on every instruction set.
fn random_product(rng: &mut Rng) {
    let (m, n, k) = (rng.usize(..=30), rng.usize(..=100), rng.usize(..=40));
    let transposed = rng.bool();
    let start = [Start::Zero, Start::C, Start::Bias][rng.usize(..3)];
    let padding = [rng.usize(..4), rng.usize(..4), rng.usize(..4)];
    let rows_per_block = rng.usize(1..=k.max(1));
    let mut integer = || f32::from(rng.i8(-64..=64));
    let layout = |padding, gap| Layout { padding, rows_per_block: if transposed { rows_per_block } else { usize::MAX }, gap };
    let a_shape = if transposed { (k, m) } else { (m, k) };
    let a = Matrix::new(Place::Heap, a_shape, layout(padding[0], 3), |_, _| integer());
    let b = Matrix::new(Place::Heap, (k, n), layout(padding[1], 0), |_, _| integer());
    let begin = Matrix::new(Place::Heap, (m, n), Layout::padded(padding[2]), |_, _| integer());
    let bias: Vec<f32> = (0..n).map(|_| integer()).collect();

    let mut exact = Vec::with_capacity(m * n);
    for i in 0..m {
        let first = exact.len();
        exact.extend((0..n).map(|j| match start {
            Start::Zero => 0,
            Start::C => begin.row(i)[j] as i64,
            Start::Bias => bias[j] as i64,
        }));
        for p in 0..k {
            let element = if transposed { a.row(p)[i] } else { a.row(i)[p] } as i64;
            for (sum, &b) in exact[first..].iter_mut().zip(b.row(p)) {
                *sum += element * b as i64;
            }
        }
    }

    for isa in isas() {
        let mut c = Matrix::new(Place::Heap, (m, n), Layout::padded(padding[2]), |i, j| match start {
            Start::C => begin.row(i)[j],
            _ => f32::NAN,
        });
        let factors = match transposed {
            true => Factors::Columns(a.as_blocks(), (0, m), b.as_blocks()),
            false => Factors::Rows(a.as_ref(), b.as_ref()),
        };
        match start {
            Start::Zero => factors.multiply(isa, &mut Stored { c: c.as_mut() }),
            Start::C => factors.multiply(isa, &mut Accumulated { c: c.as_mut() }),
            Start::Bias => factors.multiply(isa, &mut Biased { bias: &bias, c: c.as_mut() }),
        }
        let case = format_args!("{isa}, {m} x {n} x {k}, transposed {transposed}, from {start:?}, {rows_per_block} rows per block");
        for i in 0..m {
            for j in 0..n {
                let (found, expected) = (c.row(i)[j], exact[i * n + j]);
                assert!(f64::from(found) == expected as f64, "{case}: ({i}, {j}) is {found}, {expected} expected");
            }
        }
        c.assert_padding_untouched(&case);
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

/// About a minute: `cargo test --test main -- --ignored --nocapture products_of_integers`.
#[test]
#[ignore = "takes about a minute"]
fn products_of_integers_are_exact_in_a_long_sweep() {
    sweep(2, 400_000);
}
