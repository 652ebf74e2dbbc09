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

use super::gemm::RowBlocks;
use super::matrix::MatRef;
use crate::simd::{Isa, LANES, MapOp, Simd, SimdOp, slice};
use core::ops::{Add, Range};

/// The number of rows that are summed one after the other: long enough that the tree costs little, short enough that the rounding
/// error of a shard stays small.
pub const MICRO_SHARD: usize = 16;

/// Levels of the tree: enough for 2^32 shards.
const LEVELS: usize = 32;

/// Those of them that the minibatches of every day need.
const LOW_LEVELS: usize = 4;

/// `y[j] = sum over i of x[i][j]`
///
/// # Shapes
/// `x: [rows, n]`, `y: [n]`.
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn column_sums(isa: Isa, x: RowBlocks<'_>, y: &mut [f32]) {
    struct Replace;
    impl MapOp<1, 1> for Replace {
        #[inline(always)]
        fn map<S: Simd>(&self, _: S, sum: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] {
            sum
        }
    }
    assert!(x.columns() == y.len(), "sums of {} columns expected, found {}", x.columns(), y.len());
    column_sums_into(isa, x, 0, Replace, [y]);
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
    assert!(first + len <= x.columns(), "columns up to {} expected, found {}", x.columns(), first + len);
    isa.run(ColumnSums { x, first, op, outputs });
}

struct ColumnSums<'a, O, const N: usize> {
    x: RowBlocks<'a>,
    first: usize,
    op: O,
    outputs: [&'a mut [f32]; N],
}

impl<O: MapOp<1, N>, const N: usize> SimdOp for ColumnSums<'_, O, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let len = self.outputs.first().map_or(0, |output| output.len());
        on_all_columns(simd, len, &mut self);
    }
}

impl<O: MapOp<1, N>, const N: usize> OnColumns for ColumnSums<'_, O, N> {
    #[inline(always)]
    fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, range: Range<usize>) {
        let columns = self.first + range.start..self.first + range.end;
        let mut tree = Tree::new([simd.zero(); V]);
        let rows = self.x.rows();
        for first in (0..rows).step_by(MICRO_SHARD) {
            let mut shard = vectors::<S, V>(simd, self.x.row(first), columns.clone());
            for i in first + 1..rows.min(first + MICRO_SHARD) {
                shard = add_vectors(simd, shard, vectors(simd, self.x.row(i), columns.clone()));
            }
            tree.push(shard, |a, b| add_vectors(simd, a, b));
        }
        let totals = tree.total(|a, b| add_vectors(simd, a, b));
        let mut outputs = [[simd.zero(); V]; N];
        for (vectors, output) in outputs.iter_mut().zip(&self.outputs) {
            *vectors = slice::load(simd, &output[range.clone()]);
        }
        for (j, total) in totals.into_iter().enumerate() {
            let result = self.op.map(simd, [total], outputs.map(|vectors| vectors[j]));
            for (vectors, vector) in outputs.iter_mut().zip(result) {
                vectors[j] = vector;
            }
        }
        for (output, vectors) in self.outputs.iter_mut().zip(outputs) {
            slice::store(simd, vectors, &mut output[range.clone()]);
        }
    }
}

/// What is done with some columns of a matrix, row by row.
pub(super) trait OnColumns {
    /// For columns in `V` vectors, of which only the last may be partial.
    fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, columns: Range<usize>);
}

/// All columns, four vectors at once: what belongs to columns stays in registers from row to row, and sums do not wait for each other.
#[inline(always)]
pub(super) fn on_all_columns<S: Simd>(simd: S, columns: usize, op: &mut impl OnColumns) {
    let whole = columns - columns % (4 * LANES);
    for start in (0..whole).step_by(4 * LANES) {
        op.on_columns::<S, 4>(simd, start..start + 4 * LANES);
    }
    match (columns - whole).div_ceil(LANES) {
        0 => {}
        1 => op.on_columns::<S, 1>(simd, whole..columns),
        2 => op.on_columns::<S, 2>(simd, whole..columns),
        3 => op.on_columns::<S, 3>(simd, whole..columns),
        _ => op.on_columns::<S, 4>(simd, whole..columns),
    }
}

/// What is done with some rows of some columns, each row for itself.
pub(super) trait OnRows {
    /// For columns in `V` vectors, of which only the last may be partial.
    fn on_rows<S: Simd, const V: usize>(&mut self, simd: S, rows: Range<usize>, columns: Range<usize>);
}

/// All rows of all columns: some rows from their first column to the last, then the next. In a matrix that no cache holds, a walk down
/// four vectors of columns would open another page for every row.
#[inline(always)]
pub(super) fn on_all_rows<S: Simd>(simd: S, (rows, columns): (usize, usize), op: &mut impl OnRows) {
    /// Few enough that all their pages stay known, many enough that what belongs to columns is seldom loaded.
    const ROWS_AT_ONCE: usize = 16;
    struct SomeRows<'a, O> {
        op: &'a mut O,
        rows: Range<usize>,
    }
    impl<O: OnRows> OnColumns for SomeRows<'_, O> {
        #[inline(always)]
        fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, columns: Range<usize>) {
            self.op.on_rows::<S, V>(simd, self.rows.clone(), columns);
        }
    }
    for first in (0..rows).step_by(ROWS_AT_ONCE) {
        let rows = first..rows.min(first + ROWS_AT_ONCE);
        on_all_columns(simd, columns, &mut SomeRows { op: &mut *op, rows });
    }
}

/// Some columns of a row, in `V` vectors of which only the last may be partial.
#[inline(always)]
pub(super) fn vectors<S: Simd, const V: usize>(simd: S, row: &[f32], columns: Range<usize>) -> [S::F32; V] {
    slice::load(simd, &row[columns])
}

/// Partial sums of 1, 2, 4, ... shards, of which those exist whose bit is set in the number of shards. A shard is whatever can be
/// added: a number, or the vectors of some columns.
pub(super) struct Tree<T> {
    low: [T; LOW_LEVELS],
    /// Written when there are so many shards: to clear them all would take longer than to add a few shards.
    high: Option<[T; LEVELS - LOW_LEVELS]>,
    shards: u32,
}

impl<T: Copy> Tree<T> {
    /// No shards yet, of which the sum is `zero`.
    #[inline(always)]
    pub(super) fn new(zero: T) -> Self {
        Self { low: [zero; LOW_LEVELS], high: None, shards: 0 }
    }

    /// Adds a shard, and every level that it completes, like a carry.
    #[inline(always)]
    pub(super) fn push(&mut self, shard: T, add: impl Fn(T, T) -> T) {
        let mut carry = shard;
        let completed = self.shards.trailing_ones() as usize;
        for level in &self.low[..completed.min(LOW_LEVELS)] {
            carry = add(*level, carry);
        }
        if completed < LOW_LEVELS {
            self.low[completed] = carry;
        } else {
            let completed = completed - LOW_LEVELS;
            let high = self.high.get_or_insert([carry; LEVELS - LOW_LEVELS]);
            for level in &high[..completed] {
                carry = add(*level, carry);
            }
            high[completed] = carry;
        }
        self.shards += 1;
    }

    /// The sum of all levels, from the shortest on.
    #[inline(always)]
    pub(super) fn total(&self, add: impl Fn(T, T) -> T) -> T {
        // Still `zero` if there are no shards.
        let mut total = self.low[0];
        let mut shorter = 0;
        for (i, level) in self.low.iter().chain(self.high.iter().flatten()).enumerate() {
            if self.shards >> i & 1 == 1 {
                total = if shorter == 0 { *level } else { add(*level, total) };
                shorter += 1;
            }
        }
        total
    }
}

/// The sums of `V` pairs of vectors.
#[inline(always)]
pub(super) fn add_vectors<S: Simd, const V: usize>(simd: S, mut a: [S::F32; V], b: [S::F32; V]) -> [S::F32; V] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = simd.add(*a, b);
    }
    a
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
    tree.total(Add::add)
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
            let mean = simd.sum_lanes(sum.total(add)) / count;
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
            (mean, simd.sum_lanes(squares.total(add)) / count)
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
        let equal = simd.mask_to_bits(simd.eq(simd.load_first(chunk), largest)) & simd.mask_to_bits(simd.mask_first(chunk.len()));
        if equal != 0 {
            return i * LANES + equal.trailing_zeros() as usize;
        }
    }
    0
}
