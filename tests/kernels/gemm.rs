//! Products and their epilogues: the bits of the three naive loops, for every tile, at every edge.

use crate::support::bits::assert_same;
use crate::support::buffer::{Buffer, Place};
use crate::support::ends::{biased, biased_relu, relu_backward, stored, updated_by_sgd};
use crate::support::factors::Factors;
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::gemm::{Accumulated, Either, Epilogue, Stored, Updated, gemm, gemm_shared, gemm_transposed};
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Sgd};
use selvedge::reference;
use selvedge::simd::{Isa, LANES};

/// The fast product or the naive one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Kernel,
    Twin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stored,
    Accumulated,
    Biased,
    BiasedRelu,
    BiasedReluWithoutMask,
    WithoutBias,
    ReluWithoutBias,
    ReluBackward,
    UpdatedBySgd,
    UpdatedByMomentum,
    UpdatedByNesterov,
}

/// The one has partial sums, the other lets tiles wait and fetches what it needs. `gemm_exact` has the one by itself, and Nesterov's momentum
/// the other.
type TwoEnds<'a> = Either<Accumulated<'a>, Updated<'a, Momentum, 2>>;

pub(super) const KINDS: [Kind; 11] = [
    Kind::Stored,
    Kind::Accumulated,
    Kind::Biased,
    Kind::BiasedRelu,
    Kind::BiasedReluWithoutMask,
    Kind::WithoutBias,
    Kind::ReluWithoutBias,
    Kind::ReluBackward,
    Kind::UpdatedBySgd,
    Kind::UpdatedByMomentum,
    Kind::UpdatedByNesterov,
];

/// What a product reads and writes, whatever its epilogue.
pub(super) struct Outputs {
    pub(super) c: Matrix,
    pub(super) velocity: Matrix,
    pub(super) bias: Buffer<f32>,
    pub(super) mask: Buffer<u16>,
}

/// What the optimizers multiply with.
#[derive(Clone, Copy)]
pub(super) struct Rates {
    pub(super) learning_rate: f32,
    pub(super) momentum: f32,
}

const RATES: Rates = Rates { learning_rate: 0.03, momentum: 0.9 };

impl Outputs {
    fn new(place: Place, (m, n): (usize, usize), padding: usize, numbers: Numbers, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            c: Matrix::new(place, (m, n), Layout::padded(padding), |_, _| numbers.next(&mut rng)),
            velocity: Matrix::new(place, (m, n), Layout::padded(padding), |_, _| numbers.next(&mut rng)),
            bias: Buffer::new(place, numbers.vec(&mut rng, n)),
            mask: Buffer::new(place, (0..m * n.div_ceil(LANES)).map(|_| rng.u16(..)).collect()),
        }
    }
}

impl Factors<'_> {
    fn multiply_on(&self, side: Side, isa: Isa, epilogue: &mut (impl Epilogue + reference::gemm::Epilogue)) {
        match side {
            Side::Kernel => self.multiply_fast(isa, epilogue),
            Side::Twin => self.multiply_naively(isa, epilogue),
        }
    }

    fn multiply_fast(&self, isa: Isa, epilogue: &mut impl Epilogue) {
        match *self {
            // They differ in what they ask for ahead.
            Self::Rows(a, b) if a.rows() % 2 == 0 => gemm_shared(isa, a, b, epilogue),
            _ => self.multiply(isa, epilogue),
        }
    }

    pub(super) fn run(&self, side: Side, isa: Isa, kind: Kind, rates: Rates, outputs: &mut Outputs) {
        let Rates { learning_rate, momentum } = rates;
        let Outputs { c, velocity, bias, mask } = outputs;
        let leading_dimension = c.leading_dimension();
        match kind {
            Kind::Stored => match side {
                Side::Kernel => self.multiply_fast(isa, &mut stored(c.as_mut())),
                Side::Twin => self.multiply_naively(isa, &mut Stored { c: c.as_mut() }),
            },
            Kind::Accumulated => self.multiply_on(side, isa, &mut TwoEnds::Left(Accumulated { c: c.as_mut() })),
            Kind::Biased => self.multiply_on(side, isa, &mut biased(bias, c.as_mut())),
            Kind::BiasedRelu => self.multiply_on(side, isa, &mut biased_relu(bias, c.as_mut(), mask)),
            Kind::BiasedReluWithoutMask => self.multiply_on(side, isa, &mut biased_relu(bias, c.as_mut(), &mut [])),
            Kind::WithoutBias => self.multiply_on(side, isa, &mut biased(&[], c.as_mut())),
            Kind::ReluWithoutBias => self.multiply_on(side, isa, &mut biased_relu(&[], c.as_mut(), mask)),
            Kind::ReluBackward => self.multiply_on(side, isa, &mut relu_backward(mask, c.as_mut())),
            Kind::UpdatedBySgd => {
                let rule = Sgd { learning_rate };
                match side {
                    Side::Kernel => self.multiply_fast(isa, &mut updated_by_sgd(rule, c.data_mut(), leading_dimension)),
                    Side::Twin => self.multiply_naively(isa, &mut Updated { rule, parameters: [c.data_mut()], leading_dimension }),
                }
            }
            Kind::UpdatedByMomentum | Kind::UpdatedByNesterov => {
                let classic = kind == Kind::UpdatedByMomentum;
                let kind = if classic { MomentumKind::Classic } else { MomentumKind::Nesterov };
                let rule = Momentum { learning_rate, momentum, kind };
                let mut updated = Updated { rule, parameters: [c.data_mut(), velocity.data_mut()], leading_dimension };
                match classic {
                    true => self.multiply_on(side, isa, &mut TwoEnds::Right(updated)),
                    false => self.multiply_on(side, isa, &mut updated),
                }
            }
        }
    }
}

/// Compares every epilogue of one product with its twin on every instruction set. The twin depends on the instruction set only by
/// whether its multiply-add is fused.
fn compare(factors: &Factors<'_>, place: Place, (m, n): (usize, usize), padding: usize, numbers: Numbers, case: &str) {
    let seed = (m * 1000 + n) as u64;
    for kind in KINDS {
        let mut twins: [Option<Outputs>; 2] = [None, None];
        for isa in isas() {
            let expected = twins[usize::from(isa.fused())].get_or_insert_with(|| {
                let mut outputs = Outputs::new(Place::Heap, (m, n), padding, numbers, seed);
                factors.run(Side::Twin, isa, kind, RATES, &mut outputs);
                outputs
            });
            let mut found = Outputs::new(place, (m, n), padding, numbers, seed);
            factors.run(Side::Kernel, isa, kind, RATES, &mut found);
            let case = format_args!("{isa}, {kind:?}, {case}, {numbers:?}, {place:?}");
            found.c.assert_same(&expected.c, &format_args!("{case}: C"));
            found.velocity.assert_same(&expected.velocity, &format_args!("{case}: velocity"));
            assert!(found.mask[..] == expected.mask[..], "{case}: mask {:04x?}, expected {:04x?}", &*found.mask, &*expected.mask);
        }
    }
}

/// A few columns or, in a quarter of the cases, as many as bring rows 2 KiB or 4 KiB apart, where panels are copied.
pub(super) fn padding_of_b(rng: &mut Rng, n: usize) -> usize {
    match rng.usize(..4) {
        0 => n.next_multiple_of(512 * rng.usize(1..=2)) - n,
        _ => rng.usize(..20),
    }
}

/// `A B` of one shape.
pub(super) fn rows_case(place: Place, (m, n, k): (usize, usize, usize)) {
    let mut rng = Rng::with_seed((m * 31 + n * 17 + k) as u64);
    let numbers = if rng.bool() { Numbers::Real } else { Numbers::Wild };
    let padding = [rng.usize(..4), padding_of_b(&mut rng, n), rng.usize(..4)];
    let a = Matrix::new(place, (m, k), Layout::padded(padding[0]), |_, _| numbers.next(&mut rng));
    let b = Matrix::new(place, (k, n), Layout::padded(padding[1]), |_, _| numbers.next(&mut rng));
    let factors = Factors::Rows(a.as_ref(), b.as_ref());
    compare(&factors, place, (m, n), padding[2], numbers, &format!("A B, {m} x {n} x {k}, padding {padding:?}"));
}

/// `A^T B` of one shape, for some columns of A, in some blocks.
pub(super) fn columns_case(place: Place, (m, n, k): (usize, usize, usize)) {
    let mut rng = Rng::with_seed((m * 31 + n * 17 + k) as u64);
    let numbers = if rng.bool() { Numbers::Real } else { Numbers::Wild };
    let padding = [rng.usize(..4), padding_of_b(&mut rng, n), rng.usize(..4)];
    let (first, behind) = (rng.usize(..3), rng.usize(..3));
    let rows_per_block = k.div_ceil(rng.usize(1..=5)).max(1);
    let [a_layout, b_layout] = [0, 1].map(|i| Layout { padding: padding[i], rows_per_block, gap: rng.usize(..20) });
    // Columns of A that the product is not asked for are poison, too.
    let asked = first..first + m;
    let a = Matrix::new(
        place,
        (k, first + m + behind),
        a_layout,
        |_, j| {
            if asked.contains(&j) { numbers.next(&mut rng) } else { POISON }
        },
    );
    let b = Matrix::new(place, (k, n), b_layout, |_, _| numbers.next(&mut rng));
    let factors = Factors::Columns(a.as_blocks(), (first, m), b.as_blocks());
    let case = format!("A^T B, {m} x {n} x {k}, {a_layout:?}, {b_layout:?}, first column {first}");
    compare(&factors, place, (m, n), padding[2], numbers, &case);
}

/// Rows around every height of a tile, once and twice. Under Miri, which takes ten thousand times as long, tiles and what is left of one.
const ROWS: &[usize] = if cfg!(miri) { &[1, 9] } else { &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 23, 24, 25] };
const DEPTHS: &[usize] = if cfg!(miri) { &[3] } else { &[0, 1, 2, 3, 15, 16, 17, 33] };

/// Columns up to two vectors, then around every whole number of vectors up to nine.
fn columns() -> impl Iterator<Item = usize> {
    let all = (0..=2 * LANES + 1).chain((3..=9).flat_map(|vectors| vectors * LANES - 1..=vectors * LANES + 1));
    all.filter(|n| !cfg!(miri) || [1, LANES, 2 * LANES + 1, 5 * LANES - 1].contains(n))
}

#[test]
fn products_of_rows_equal_their_twins() {
    for &m in ROWS {
        for n in columns() {
            for &k in DEPTHS {
                rows_case(Place::Heap, (m, n, k));
            }
        }
    }
}

#[test]
fn products_of_columns_equal_their_twins() {
    for &m in ROWS {
        for n in columns() {
            for &k in DEPTHS {
                columns_case(Place::Heap, (m, n, k));
            }
        }
    }
}

/// Large, then deep enough for the chains to be interrupted once and twice, with enough rows to be cut, too, and then with a B that no
/// cache keeps.
#[test]
fn larger_products_equal_their_twins() {
    let large = [(128, 100, 784), (100, 300, 128), (300, 10, 100), (1, 300, 784), (784, 17, 5), (37, 500, 3)];
    let deep = [(1, 70, 2500), (7, 33, 1025), (9, 130, 1400), (150, 20, 1100), (70, 12, 2051)];
    for shape in large.into_iter().chain(deep) {
        rows_case(Place::Heap, shape);
        columns_case(Place::Heap, shape);
    }
    for shape in [(1, 2055, 1030), (1, 1024, 528), (2, 1030, 2050), (5, 2050, 1030)] {
        rows_case(Place::Heap, shape);
    }
}

/// C of `A^T B` with operands in the given layouts.
fn transposed_product(isa: Isa, (m, n, k): (usize, usize, usize), layouts: [Layout; 2]) -> Matrix {
    let mut rng = Rng::with_seed(7);
    let a = Matrix::new(Place::Heap, (k, m), layouts[0], |_, _| Numbers::Real.next(&mut rng));
    let b = Matrix::new(Place::Heap, (k, n), layouts[1], |_, _| Numbers::Real.next(&mut rng));
    let mut c = Matrix::new(Place::Heap, (m, n), Layout::padded(1), |_, _| 0.0);
    gemm_transposed(isa, a.as_blocks(), (0, m), b.as_blocks(), &mut stored(c.as_mut()));
    c
}

#[test]
fn blocks_of_the_depth_do_not_change_a_bit() {
    for isa in isas() {
        for (m, n) in [(1, 1), (5, 16), (12, 33), (13, 65), (25, 48)] {
            for k in [1, 2, 5, 16, 17, 40, 61] {
                let whole = transposed_product(isa, (m, n, k), [Layout::padded(0); 2]);
                for blocks in 1..=5usize.min(k) {
                    // `k` is seldom a multiple, so the last block is shorter.
                    let layout = |padding, gap| Layout { padding, rows_per_block: k.div_ceil(blocks), gap };
                    let found = transposed_product(isa, (m, n, k), [layout(3, 5), layout(0, 17)]);
                    found.assert_same(&whole, &format_args!("{isa}, {m} x {n} x {k} in {blocks} blocks"));
                }
            }
        }
    }
}

/// Rows 2 KiB apart, which narrow panels of many rows take in blocks of the depth.
#[test]
fn rows_that_compete_for_a_cache_do_not_change_a_bit() {
    for isa in isas() {
        let (m, n, k) = (70, 30, 600);
        let stored = |padding| transposed_product(isa, (m, n, k), [Layout::padded(0), Layout::padded(padding)]);
        stored(512 - n).assert_same(&stored(1), &format_args!("{isa}, {m} x {n} x {k}"));
    }
}

#[test]
fn a_product_in_parts_of_the_depth_is_the_whole_product() {
    let mut rng = Rng::with_seed(8);
    for isa in isas() {
        for (m, n, k) in [(1, 1, 2), (7, 31, 9), (12, 64, 33), (13, 49, 40)] {
            let a = Matrix::new(Place::Heap, (k, m), Layout::padded(2), |_, _| Numbers::Real.next(&mut rng));
            let b = Matrix::new(Place::Heap, (k, n), Layout::padded(1), |_, _| Numbers::Real.next(&mut rng));
            let mut whole = Matrix::new(Place::Heap, (m, n), Layout::padded(3), |_, _| f32::NAN);
            gemm_transposed(isa, a.as_blocks(), (0, m), b.as_blocks(), &mut stored(whole.as_mut()));
            for first in 0..=k {
                let part = |x: &Matrix, from: usize, to: usize| {
                    let columns = x.row(0).len();
                    Matrix::new(Place::Heap, (to - from, columns), Layout::padded(1), |i, j| x.row(from + i)[j])
                };
                let mut c = Matrix::new(Place::Heap, (m, n), Layout::padded(3), |_, _| f32::NAN);
                let (upper, lower) = ((part(&a, 0, first), part(&b, 0, first)), (part(&a, first, k), part(&b, first, k)));
                gemm_transposed(isa, upper.0.as_blocks(), (0, m), upper.1.as_blocks(), &mut stored(c.as_mut()));
                gemm_transposed(isa, lower.0.as_blocks(), (0, m), lower.1.as_blocks(), &mut Accumulated { c: c.as_mut() });
                c.assert_same(&whole, &format_args!("{isa}, {m} x {n}, depth {first} + {}", k - first));
            }
        }
    }
}

/// The order of a chain is a promise, so it is tried on numbers for which every other order gives another result.
#[test]
fn a_chain_runs_from_the_bias_through_increasing_depth() {
    for isa in isas() {
        let a = [1.0f32, 1.0, 1.0, 1.0];
        for (m, n) in [(1, 1), (6, 16), (13, 70)] {
            let a = Matrix::new(Place::Heap, (m, 4), Layout::padded(1), |_, p| a[p]);
            let b = Matrix::new(Place::Heap, (4, n), Layout::padded(1), |p, _| [1.0, 1e8, -1e8, 3.0][p]);
            let bias = vec![5.0; n];
            let mut c = Matrix::new(Place::Heap, (m, n), Layout::padded(1), |_, _| f32::NAN);
            gemm(isa, a.as_ref(), b.as_ref(), &mut biased(&bias, c.as_mut()));
            for i in 0..m {
                // 5 + 1 is lost in 1e8, whose neighbours are 8 apart, but for rounding up to 8; then 8 + 3.
                assert_same(c.row(i), &vec![11.0; n], &isa);
            }
        }
    }
}

/// `|c - exact| <= gamma_k (|A| |B| + |bias|)` with `gamma_k = k u / (1 - k u)`, `u = 2^-24`, for every element of one product; `gamma_(k + 1)` where
/// products are rounded for themselves. Returns how many elements there are.
fn within_the_bound(rng: &mut Rng, (m, n, k): (usize, usize, usize)) -> usize {
    let u = 2f64.powi(-24);
    let mut real = |_, _| Numbers::Real.next(rng) * 2f32.powi(rng.i32(-8..8));
    let a = Matrix::new(Place::Heap, (m, k), Layout::padded(1), &mut real);
    let b = Matrix::new(Place::Heap, (k, n), Layout::padded(1), &mut real);
    let bias: Vec<f32> = (0..n).map(|j| real(0, j)).collect();
    // The numbers of a row are summed side by side, as their products in `f64` are exact and what they sum up to nearly is.
    let mut truth = Vec::with_capacity(m * n);
    for i in 0..m {
        let first = truth.len();
        truth.extend(bias.iter().map(|&bias| (f64::from(bias), f64::from(bias).abs())));
        for (p, &element) in a.row(i).iter().enumerate() {
            for ((exact, magnitude), &b) in truth[first..].iter_mut().zip(b.row(p)) {
                let product = f64::from(element) * f64::from(b);
                *exact += product;
                *magnitude += product.abs();
            }
        }
    }
    for isa in isas() {
        let roundings = (k + usize::from(!isa.fused())) as f64;
        let gamma = roundings * u / (1.0 - roundings * u);
        let mut c = Matrix::new(Place::Heap, (m, n), Layout::padded(1), |_, _| f32::NAN);
        gemm(isa, a.as_ref(), b.as_ref(), &mut biased(&bias, c.as_mut()));
        for (i, truth) in truth.chunks(n).enumerate() {
            for (j, (&found, &(exact, magnitude))) in c.row(i).iter().zip(truth).enumerate() {
                let (error, bound) = ((f64::from(found) - exact).abs(), gamma * magnitude);
                assert!(error <= bound * (1.0 + 1e-6), "{isa}, {m} x {n} x {k}: ({i}, {j}) is off by {error:e}, bound {bound:e}");
            }
        }
    }
    isas().len() * m * n
}

#[test]
fn products_stay_within_the_bound_of_their_rounding_errors() {
    let mut rng = Rng::with_seed(9);
    for shape in [(3, 17, 1), (12, 48, 10), (13, 65, 100), (5, 33, 784), (2, 16, 5000)] {
        within_the_bound(&mut rng, shape);
    }
}

/// A minute and a half: `cargo test --test kernels -- --ignored --nocapture thousand_million`.
#[test]
#[ignore = "takes more than a minute"]
#[allow(clippy::print_stdout, reason = "the count is the result")]
fn a_thousand_million_elements_stay_within_the_bound_of_their_rounding_errors() {
    let mut rng = Rng::with_seed(10);
    let mut elements = 0;
    while elements < 1_000_000_000 {
        // As many deep products as shallow ones, to each power of two.
        let deepest = 1 << rng.u32(0..=9);
        let shape = (rng.usize(1..=200), rng.usize(1..=700), rng.usize(1..=deepest));
        elements += within_the_bound(&mut rng, shape);
    }
    println!("{elements} elements are within the bound on {:?}", isas());
}

/// A ReLU keeps what is not `<= 0`: NaN stays NaN and its bit is set.
#[test]
fn relu_keeps_nan_and_drops_both_zeros() {
    let values =
        [f32::NAN, -f32::NAN, 0.0, -0.0, f32::from_bits(1), -f32::from_bits(1), f32::INFINITY, f32::NEG_INFINITY, 2.0, -2.0];
    let kept = [true, true, false, false, true, false, true, false, true, false];
    for isa in isas() {
        for n in [values.len(), 16, 17, 33, 70] {
            // With depth 0 the chain is the bias alone.
            let bias: Vec<f32> = (0..n).map(|j| values[j % values.len()]).collect();
            let empty = Matrix::new(Place::Heap, (2, 0), Layout::padded(0), |_, _| 0.0);
            let b = Matrix::new(Place::Heap, (0, n), Layout::padded(0), |_, _| 0.0);
            let mut c = Matrix::new(Place::Heap, (2, n), Layout::padded(1), |_, _| 7.0);
            let mut mask = vec![0xffff; 2 * n.div_ceil(LANES)];
            gemm(isa, empty.as_ref(), b.as_ref(), &mut biased_relu(&bias, c.as_mut(), &mut mask));
            for i in 0..2 {
                for j in 0..n {
                    let (value, kept) = (values[j % values.len()], kept[j % values.len()]);
                    let expected = if kept { value } else { 0.0 };
                    assert_same(&c.row(i)[j..=j], &[expected], &format_args!("{isa}, {value:e}"));
                    let word = mask[i * n.div_ceil(LANES) + j / LANES];
                    assert_eq!(word >> (j % LANES) & 1 == 1, kept, "{isa}, {value:e}");
                }
            }
        }
    }
}

/// Lanes behind the last column hold infinity times zero, which is NaN, and a ReLU would keep it.
#[test]
fn bits_of_columns_that_do_not_exist_are_zero() {
    for isa in isas() {
        for n in 1..=70 {
            let a = Matrix::new(Place::Heap, (3, 1), Layout::padded(1), |_, _| f32::INFINITY);
            let b = Matrix::new(Place::Heap, (1, n), Layout::padded(1), |_, _| 1.0);
            let mut c = Matrix::new(Place::Heap, (3, n), Layout::padded(1), |_, _| 7.0);
            let words = n.div_ceil(LANES);
            let mut mask = vec![0xffff; 3 * words];
            gemm(isa, a.as_ref(), b.as_ref(), &mut biased_relu(&vec![0.0; n], c.as_mut(), &mut mask));
            for row in mask.chunks(words) {
                let kept: Vec<bool> = (0..words * LANES).map(|j| row[j / LANES] >> (j % LANES) & 1 == 1).collect();
                let expected: Vec<bool> = (0..words * LANES).map(|j| j < n).collect();
                assert_eq!(kept, expected, "{isa}, {n} columns");
            }
        }
    }
}

#[test]
fn a_nan_reaches_its_row_and_column_and_nothing_else() {
    for isa in isas() {
        for (m, n, k) in [(5, 20, 3), (13, 65, 17)] {
            let (i, p, j) = (m - 1, k / 2, n - 1);
            let a = Matrix::new(Place::Heap, (m, k), Layout::padded(1), |r, q| if (r, q) == (i, p) { f32::NAN } else { 1.0 });
            let b = Matrix::new(Place::Heap, (k, n), Layout::padded(1), |q, c| if (q, c) == (p, j) { f32::NAN } else { 1.0 });
            let mut c = Matrix::new(Place::Heap, (m, n), Layout::padded(1), |_, _| f32::NAN);
            gemm(isa, a.as_ref(), b.as_ref(), &mut stored(c.as_mut()));
            for row in 0..m {
                for column in 0..n {
                    let value = c.row(row)[column];
                    assert_eq!(value.is_nan(), row == i || column == j, "{isa}: ({row}, {column}) is {value}");
                }
            }
        }
    }
}
