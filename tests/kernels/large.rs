//! Matrices that no cache holds are read in another order than small ones. That changes no bit: some of their columns or rows, which
//! are a small matrix, give the same.

use crate::support::bits::assert_same;
use crate::support::buffer::Place;
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::Numbers;
use fastrand::Rng;
use selvedge::kernels::dropout::{Combine, Dropout, dropout_forward};
use selvedge::kernels::norm::{GradientSums, Normalization, batch_norm_backward, batch_norm_forward, gradient_sums, statistics};
use selvedge::kernels::reduce::{column_sums, column_sums_into};
use selvedge::kernels::rng::Stream;
use selvedge::kernels::{MatMut, MatRef};
use selvedge::simd::{LANES, MapOp, Simd};
use std::ops::Range;

/// More than 8 MiB of `f32`, in columns that fill neither a vector nor a strip, and rows that fill no micro-shard.
const ROWS: usize = 1011;
const COLUMNS: usize = 2101;

/// So few columns of all rows, or rows of all columns, are a small matrix.
const FEW: usize = 700;

fn large(seed: u64) -> Matrix {
    let mut rng = Rng::with_seed(seed);
    // A block ends inside a micro-shard.
    let layout = Layout { padding: 3, rows_per_block: 500, gap: 5 };
    Matrix::new(Place::Heap, (ROWS, COLUMNS), layout, |_, _| Numbers::Real.next(&mut rng))
}

fn parts(of: usize) -> impl Iterator<Item = Range<usize>> {
    (0..of).step_by(FEW).map(move |first| first..of.min(first + FEW))
}

fn vectors() -> [Vec<f32>; 4] {
    let mut rng = Rng::with_seed(3);
    [(); 4].map(|()| Numbers::Real.vec(&mut rng, COLUMNS).iter().map(|x| x.abs() + 0.25).collect())
}

fn normalization(vectors: &[Vec<f32>; 4]) -> Normalization<'_> {
    let [mean, inverse_deviation, gamma, beta] = vectors;
    Normalization { mean, inverse_deviation, gamma, beta }
}

/// The sum and nothing else.
struct Replaced;

impl MapOp<1, 1> for Replaced {
    #[inline(always)]
    fn map<S: Simd>(&self, _: S, [sum]: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] {
        [sum]
    }
}

#[test]
fn sums_of_large_matrices_are_those_of_their_columns() {
    let (x, dy, vectors) = (large(1), large(2), vectors());
    let normalization = normalization(&vectors);
    for isa in isas() {
        let mut found = [(); 5].map(|()| vec![0.0; COLUMNS]);
        let mut expected = found.clone();
        let [sums, mean, variance, dgamma, dbeta] = &mut found;
        column_sums(isa, x.as_blocks(), sums);
        statistics(isa, x.as_blocks(), 0, mean, variance);
        gradient_sums(isa, dy.as_blocks(), x.as_blocks(), normalization, 0, [dgamma, dbeta]);
        for columns in parts(COLUMNS) {
            let [sums, mean, variance, dgamma, dbeta] = expected.each_mut().map(|vector| &mut vector[columns.clone()]);
            column_sums_into(isa, x.as_blocks(), columns.start, Replaced, [sums]);
            statistics(isa, x.as_blocks(), columns.start, mean, variance);
            gradient_sums(isa, dy.as_blocks(), x.as_blocks(), normalization, columns.start, [dgamma, dbeta]);
        }
        for (what, (found, expected)) in ["sums", "mean", "variance", "dgamma", "dbeta"].iter().zip(found.iter().zip(&expected)) {
            assert_same(found, expected, &format_args!("{isa}: {what}"));
        }
    }
}

#[test]
fn rows_of_large_matrices_are_computed_as_rows_of_small_ones() {
    let mut rng = Rng::with_seed(1);
    let (x, dy) = (Numbers::Real.vec(&mut rng, ROWS * COLUMNS), Numbers::Real.vec(&mut rng, ROWS * COLUMNS));
    let vectors = vectors();
    let normalization = normalization(&vectors);
    let sums = GradientSums { dgamma: &vectors[0], dbeta: &vectors[3], rows: ROWS };
    let half = Dropout::new(0.5).expect("a rate");
    let mask_columns = COLUMNS.div_ceil(LANES);
    for isa in isas() {
        // All that is computed of some rows.
        let run = |rows: Range<usize>, y: &mut [f32], dx: &mut [f32], mask: &mut [u16]| {
            let elements = rows.start * COLUMNS..rows.end * COLUMNS;
            let x = MatRef::new(&x[elements.clone()], rows.len(), COLUMNS, COLUMNS);
            let stream = Stream { seed: 1, step: 2, layer: 3, first_row: rows.start as u32 };
            batch_norm_forward(isa, x, normalization, MatMut::new(y, rows.len(), COLUMNS, COLUMNS));
            dropout_forward(isa, half, stream, MatMut::new(y, rows.len(), COLUMNS, COLUMNS), mask, Combine::Replace);
            dx.copy_from_slice(&dy[elements]);
            batch_norm_backward(isa, x, normalization, sums, MatMut::new(dx, rows.len(), COLUMNS, COLUMNS));
        };
        let empty = || (vec![0.0; x.len()], vec![0.0; x.len()], vec![0; ROWS * mask_columns]);
        let ((mut y, mut dx, mut mask), (mut expected_y, mut expected_dx, mut expected_mask)) = (empty(), empty());
        run(0..ROWS, &mut y, &mut dx, &mut mask);
        for rows in parts(ROWS) {
            let elements = rows.start * COLUMNS..rows.end * COLUMNS;
            let words = rows.start * mask_columns..rows.end * mask_columns;
            run(rows, &mut expected_y[elements.clone()], &mut expected_dx[elements], &mut expected_mask[words]);
        }
        assert_same(&y, &expected_y, &format_args!("{isa}: normalized and dropped"));
        assert_same(&dx, &expected_dx, &format_args!("{isa}: gradient"));
        assert!(mask == expected_mask, "{isa}: masks differ");
    }
}
