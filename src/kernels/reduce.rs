//! Sums over the rows of a minibatch, in an order that depends on nothing but the number of rows.
//!
//! | kernel | formula | accuracy |
//! |---|---|---|
//! | [`column_sums`] | `y[j] = sum over i of x[i][j]` | error grows with `16 + log2(rows / 16)`, not with `rows` |
//! | [`column_sums_into`] | `outputs[j] = op(y[j], outputs[j])` | the same |
//! | [`sum`] | `sum over i of x[i]` | the same |
//! | [`mean_and_variance`] | `mean = (sum over i of x[i]) / n`, `(sum over i of (x[i] - mean)^2) / n` | error grows with `20 + log2(n / 256)` |
//! | [`first_non_finite`] | first `i` with `x[i]` infinite or NaN | exact |
//! | [`argmax`] | `y[i] = first j with x[i][j] = max over k of x[i][k]` | exact |
//!
//! Rows are summed one after the other inside **micro-shards** of [`MICRO_SHARD`] rows; the shards are added in a fixed tree: a
//! range of shards is the sum of its largest power of two (below the whole) and the rest. So a result is the same however the
//! rows were spread over threads.
//!
//! A matrix of 8 MiB and more is read in the order of its addresses. That takes 8 KiB of stack, and as much again for each time that the
//! number of shards doubles: 136 KiB in all for a million rows.

use super::gemm::RowBlocks;
use super::matrix::MatRef;
use super::sums::{Totals, Tree, Values, totals};
use crate::simd::{Isa, LANES, MapOp, Simd, SimdOp, first_bits, slice};
use core::ops::Add;

/// The number of rows that are summed one after the other: long enough that the tree costs little, short enough that the rounding
/// error of a shard stays small.
pub const MICRO_SHARD: usize = 16;

/// `y[j] = sum over i of x[i][j]`
///
/// # Shapes
/// `x: [rows, n]`, `y: [n]`.
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn column_sums(isa: Isa, x: RowBlocks<'_>, y: &mut [f32]) {
    assert!(x.columns() == y.len(), "sums of {} columns expected, found {}", x.columns(), y.len());
    column_sums_from(isa, x, 0, y);
}

/// `y[j] = sum over i of x[i][first + j]`, for a share of the columns.
///
/// # Panics
/// If `y` reaches beyond the last column.
#[track_caller]
pub(crate) fn column_sums_from(isa: Isa, x: RowBlocks<'_>, first: usize, y: &mut [f32]) {
    check_columns(&x, first, y.len());
    totals(isa, Values(x), first, [y]);
}

#[track_caller]
fn check_columns(x: &RowBlocks<'_>, first: usize, len: usize) {
    assert!(first + len <= x.columns(), "columns up to {} expected, found {}", x.columns(), first + len);
}

/// `outputs[j] = op(sum over i of x[i][first + j], outputs[j])`: with an optimizer for `op`, a whole step of a bias.
///
/// # Shapes
/// `x: [rows, >= first + n]`, every output `[n]`.
///
/// # Panics
/// If the outputs differ in length or reach beyond the last column.
#[track_caller]
pub fn column_sums_into<const N: usize>(isa: Isa, x: RowBlocks<'_>, first: usize, op: impl MapOp<1, N>, outputs: [&mut [f32]; N]) {
    let len = outputs.first().map_or(0, |output| output.len());
    for output in &outputs {
        assert!(output.len() == len, "outputs of one length expected: {len}, found {}", output.len());
    }
    check_columns(&x, first, len);
    isa.run(Totals { terms: Values(x), first, op, outputs });
}

/// `sum over i of x[i]`, as [`column_sums`] adds a matrix of one column.
pub fn sum(x: impl IntoIterator<Item = f32>) -> f32 {
    let mut tree = Tree::new(0.0);
    let mut shard = 0.0;
    let mut count = 0;
    for value in x {
        shard = if count == 0 { value } else { shard + value };
        count += 1;
        if count == MICRO_SHARD {
            tree.push(shard, Add::add);
            count = 0;
        }
    }
    if count > 0 {
        tree.push(shard, Add::add);
    }
    tree.total(0.0, Add::add)
}

/// Mean and variance of all elements: `mean = (sum over i of x[i]) / n`, `variance = (sum over i of (x[i] - mean)^2) / n`. Both are
/// NaN if there are none. The deviations are taken from the mean, so a large mean beside a small variance does not cancel.
///
/// The sums take the elements as rows of sixteen, in the order of [`column_sums`], and add the sixteen columns by the fixed tree of
/// [`Simd::sum_lanes`].
pub fn mean_and_variance(isa: Isa, x: &[f32]) -> (f32, f32) {
    struct MeanAndVariance<'a>(&'a [f32]);
    impl SimdOp for MeanAndVariance<'_> {
        type Output = (f32, f32);
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> (f32, f32) {
            let Self(x) = self;
            let count = x.len() as f32;
            let add = |a, b| simd.add(a, b);
            let mut sum = Tree::new(simd.zero());
            for shard in x.chunks(MICRO_SHARD * LANES) {
                let mut lanes = simd.zero();
                for chunk in shard.chunks(LANES) {
                    lanes = simd.add(lanes, simd.load_first(chunk));
                }
                sum.push(lanes, add);
            }
            let mean = simd.sum_lanes(sum.total(simd.zero(), add)) / count;
            let mut squares = Tree::new(simd.zero());
            for shard in x.chunks(MICRO_SHARD * LANES) {
                let mut lanes = simd.zero();
                for chunk in shard.chunks(LANES) {
                    let deviation = simd.sub(simd.load_first(chunk), simd.splat(mean));
                    let more = simd.mul_add(deviation, deviation, lanes);
                    // Lanes behind the end add nothing.
                    lanes = simd.select(simd.mask_first(chunk.len()), more, lanes);
                }
                squares.push(lanes, add);
            }
            (mean, simd.sum_lanes(squares.total(simd.zero(), add)) / count)
        }
    }
    isa.run(MeanAndVariance(x))
}

/// The index of the first element that is infinite or NaN.
pub fn first_non_finite(isa: Isa, x: &[f32]) -> Option<usize> {
    struct FirstNonFinite<'a>(&'a [f32]);
    impl SimdOp for FirstNonFinite<'_> {
        type Output = Option<usize>;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Option<usize> {
            let infinity = simd.splat(f32::INFINITY);
            for (i, chunk) in self.0.chunks(LANES).enumerate() {
                // Lanes behind the end are zero, so finite.
                let finite = simd.mask_to_bits(simd.lt(simd.abs(simd.load_first(chunk)), infinity));
                if finite != u16::MAX {
                    return Some(i * LANES + finite.trailing_ones() as usize);
                }
            }
            None
        }
    }
    isa.run(FirstNonFinite(x))
}

/// The column of the largest element of each row, the first of equals. NaN is passed over; a row of nothing else gives 0.
///
/// # Shapes
/// `x: [rows, n]`, `y: [rows]`.
///
/// # Panics
/// If the numbers of rows differ.
#[track_caller]
pub fn argmax(isa: Isa, x: MatRef<'_>, y: &mut [u32]) {
    struct Argmax<'a> {
        x: MatRef<'a>,
        y: &'a mut [u32],
    }
    impl SimdOp for Argmax<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for (i, index) in self.y.iter_mut().enumerate() {
                let row = self.x.row(i);
                *index = argmax_with(simd, row, slice::max_with(simd, row)) as u32;
            }
        }
    }
    assert!(x.rows() == y.len(), "results for {} rows expected, found {}", x.rows(), y.len());
    isa.run(Argmax { x, y });
}

/// The first index of `largest` in `row`, 0 if it is not there.
#[inline(always)]
pub(super) fn argmax_with<S: Simd>(simd: S, row: &[f32], largest: f32) -> usize {
    let largest = simd.splat(largest);
    for (i, chunk) in row.chunks(LANES).enumerate() {
        let equal = simd.mask_to_bits(simd.eq(simd.load_first(chunk), largest)) & first_bits(chunk.len());
        if equal != 0 {
            return i * LANES + equal.trailing_zeros() as usize;
        }
    }
    0
}
