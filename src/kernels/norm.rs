//! Batch normalization: each column of a minibatch is brought to mean 0 and variance 1, then to a learned mean and deviation.
//!
//! | kernel | formula, per column | reads | writes |
//! |---|---|---|---|
//! | [`statistics`] | `mean = (sum of x) / rows`, `variance = (sum of (x - mean)^2) / rows` | `x` twice | `mean`, `variance` `=` |
//! | [`inverse_deviation`] | `y = 1 / sqrt(variance + epsilon)` | one row | `=` |
//! | [`update_moving`] | `moving = momentum moving + (1 - momentum) batch` | two rows | `=` |
//! | [`batch_norm_forward`] | `y = gamma x' + beta` with `x' = (x - mean) inverse_deviation` | `x` | `y` `=` |
//! | [`gradient_sums`] | `dgamma = sum of dy x'`, `dbeta = sum of dy` | `dy`, `x` | `dgamma`, `dbeta` `=` |
//! | [`batch_norm_backward`] | `dx = gamma inverse_deviation (dy - dbeta / rows - x' dgamma / rows)` | `dy`, `x` | `dx` over `dy` |
//! | [`affine`] | `scale = gamma inverse_deviation`, `shift = beta - mean scale` | four rows | `=` |
//! | [`affine_forward`], [`affine_backward`] | `x = scale x + shift`, `dy = scale dy` | `x`, `dy` | over it |
//! | [`fold_into_previous`], [`fold_into_next`] | a dense layer before or after that does the same alone | kernel, bias | over them |
//!
//! So a training step passes over the activations once for the statistics and once to normalize them, and over gradient and activations
//! twice in the backward pass, of which one writes. `x'` is not stored but made again from `x`.
//!
//! As in Keras, the variance is the biased one, in the statistics of the batch and in the moving ones. Unlike Keras, which subtracts the
//! squared mean from the mean square, it is the mean of squared deviations, which does not cancel.
//!
//! # Threads
//!
//! Sums go over the rows of the whole minibatch, in the order of [`reduce`](super::reduce): row by row within a micro-shard, shards by
//! a fixed tree. There are two ways to share the work, and both give the same bits as one thread:
//!
//! * **by columns**: each thread calls [`statistics`] or [`gradient_sums`] for its own columns of all rows;
//! * **by rows**, in whole micro-shards: each thread calls [`sum_shards`], [`square_shards`] or [`gradient_shards`] for its own
//!   rows, and when all are there, [`combine_shards`] adds the shards of all threads.

use super::gemm::RowBlocks;
use super::matrix::{MatMut, MatRef};
use super::reduce::MICRO_SHARD;
use super::sums::{Terms, Tree, TreeOfColumns, Values, shards, total_of, totals};
use super::walk::{BEYOND_CACHES, LARGE, OnColumns, OnRows, on_all_columns, on_all_rows, vectors};
use crate::simd::{Isa, LANES, MapOp, Simd, SimdOp, slice, unroll};
use core::ops::Range;

/// What Keras adds to a variance before it takes the root.
pub const EPSILON: f32 = 1e-3;
/// The share of the moving statistics that Keras keeps in a step.
pub const MOMENTUM: f64 = 0.99;

/// What columns are normalized with, `[n]` each.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// The mean.
    pub mean: &'a [f32],
    /// `1 / sqrt(variance + epsilon)`, from [`inverse_deviation`].
    pub inverse_deviation: &'a [f32],
    /// The learned deviation.
    pub gamma: &'a [f32],
    /// The learned mean.
    pub beta: &'a [f32],
}

impl Normalization<'_> {
    #[track_caller]
    pub(super) fn check(&self, columns: usize) {
        check_len("mean", columns, self.mean.len());
        check_len("inverse deviation", columns, self.inverse_deviation.len());
        check_len("gamma", columns, self.gamma.len());
        check_len("beta", columns, self.beta.len());
    }
}

impl<'a> Normalization<'a> {
    /// Of some of the columns.
    #[inline(always)]
    pub(super) fn of_columns(&self, columns: Range<usize>) -> Self {
        let Self { mean, inverse_deviation, gamma, beta } = *self;
        let [mean, inverse_deviation, gamma, beta] =
            [mean, inverse_deviation, gamma, beta].map(|of_all: &'a [f32]| &of_all[columns.clone()]);
        Self { mean, inverse_deviation, gamma, beta }
    }
}

/// `x' = (x - mean) inverse_deviation`
#[inline(always)]
fn standardized<S: Simd>(simd: S, x: S::F32, mean: S::F32, inverse_deviation: S::F32) -> S::F32 {
    simd.mul(simd.sub(x, mean), inverse_deviation)
}

#[track_caller]
pub(super) fn check_len(what: &str, expected: usize, found: usize) {
    assert!(expected == found, "{what}: {expected} elements expected, found {found}");
}

#[track_caller]
pub(super) fn check_shape(what: &str, expected: (usize, usize), found: (usize, usize)) {
    assert!(expected == found, "{what}: {} x {} expected, found {} x {}", expected.0, expected.1, found.0, found.1);
}

/// `(x - mean)^2`, where the mean begins with that of column `first`.
#[derive(Clone, Copy)]
struct SquaredDeviations<'a> {
    x: RowBlocks<'a>,
    mean: &'a [f32],
    first: usize,
}

impl Terms<1> for SquaredDeviations<'_> {
    type Columns<S: Simd, const V: usize> = [S::F32; V];
    fn rows(&self) -> usize {
        self.x.rows()
    }
    fn in_one_block(&self, rows: Range<usize>) -> bool {
        self.x.in_one_block(rows)
    }
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&self, simd: S, columns: Range<usize>) -> [S::F32; V] {
        vectors::<S, V>(simd, self.mean, columns.start - self.first..columns.end - self.first)
    }
    #[inline(always)]
    fn add<S: Simd, const ROWS: usize, const V: usize>(
        &self,
        simd: S,
        first: usize,
        columns: Range<usize>,
        mean: [S::F32; V],
        [mut sums]: [[S::F32; V]; 1],
    ) -> [[S::F32; V]; 1] {
        let (tile, x) = self.x.tile::<ROWS, V>(first, columns);
        for i in 0..ROWS {
            unroll!(V, j => {
                let deviation = simd.sub(tile.load(simd, x, i, j), mean[j]);
                sums[j] = simd.mul_add(deviation, deviation, sums[j]);
            });
        }
        [sums]
    }
    #[inline(always)]
    fn fetch<S: Simd, const ROWS: usize>(&self, simd: S, isa: Isa, first: usize, column: usize) {
        self.x.fetch::<S, ROWS>(simd, isa, first, column);
    }
}

/// The gradient by the outputs of a normalization, as it is or behind a mask.
pub(super) trait GradientByOutputs {
    /// The gradient as it is.
    fn dy(&self) -> RowBlocks<'_>;
    /// Sixteen columns of row `i`, or as many as there are, from `column` on, behind the mask.
    fn masked<S: Simd>(&self, simd: S, dy: S::F32, i: usize, column: usize) -> S::F32;
}

impl GradientByOutputs for RowBlocks<'_> {
    #[inline(always)]
    fn dy(&self) -> RowBlocks<'_> {
        *self
    }
    #[inline(always)]
    fn masked<S: Simd>(&self, _: S, dy: S::F32, _: usize, _: usize) -> S::F32 {
        dy
    }
}

/// `dy x'` and `dy`
#[derive(Clone, Copy)]
pub(super) struct Gradients<'a, G> {
    pub(super) dy: G,
    pub(super) x: RowBlocks<'a>,
    pub(super) normalization: Normalization<'a>,
}

impl<G: GradientByOutputs> Terms<2> for Gradients<'_, G> {
    type Columns<S: Simd, const V: usize> = [[S::F32; V]; 2];
    fn rows(&self) -> usize {
        self.x.rows()
    }
    fn in_one_block(&self, rows: Range<usize>) -> bool {
        self.x.in_one_block(rows.clone()) && self.dy.dy().in_one_block(rows)
    }
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&self, simd: S, columns: Range<usize>) -> [[S::F32; V]; 2] {
        mean_and_inverse_deviation(simd, &self.normalization, columns)
    }
    #[inline(always)]
    fn add<S: Simd, const ROWS: usize, const V: usize>(
        &self,
        simd: S,
        first: usize,
        columns: Range<usize>,
        [mean, inverse_deviation]: [[S::F32; V]; 2],
        [mut dgamma, mut dbeta]: [[S::F32; V]; 2],
    ) -> [[S::F32; V]; 2] {
        let (of_dy, dy) = self.dy.dy().tile::<ROWS, V>(first, columns.clone());
        let (of_x, x) = self.x.tile::<ROWS, V>(first, columns.clone());
        for i in 0..ROWS {
            unroll!(V, j => {
                let dy = self.dy.masked(simd, of_dy.load(simd, dy, i, j), first + i, columns.start + j * LANES);
                let standardized = standardized(simd, of_x.load(simd, x, i, j), mean[j], inverse_deviation[j]);
                dgamma[j] = simd.mul_add(dy, standardized, dgamma[j]);
                dbeta[j] = simd.add(dbeta[j], dy);
            });
        }
        [dgamma, dbeta]
    }
    #[inline(always)]
    fn fetch<S: Simd, const ROWS: usize>(&self, simd: S, isa: Isa, first: usize, column: usize) {
        self.dy.dy().fetch::<S, ROWS>(simd, isa, first, column);
        self.x.fetch::<S, ROWS>(simd, isa, first, column);
    }
}

/// What standardizes some columns.
#[inline(always)]
fn mean_and_inverse_deviation<S: Simd, const V: usize>(
    simd: S,
    normalization: &Normalization<'_>,
    columns: Range<usize>,
) -> [[S::F32; V]; 2] {
    [vectors(simd, normalization.mean, columns.clone()), vectors(simd, normalization.inverse_deviation, columns)]
}

/// Mean and variance of the columns `first..first + n` of a minibatch: `mean = (sum of x) / rows`,
/// `variance = (sum of (x - mean)^2) / rows`.
///
/// # Shapes
/// `x: [rows, >= first + n]`, `mean: [n]`, `variance: [n]`.
///
/// # Panics
/// If the shapes do not fit each other or there is no row.
#[track_caller]
pub fn statistics(isa: Isa, x: RowBlocks<'_>, first: usize, mean: &mut [f32], variance: &mut [f32]) {
    assert!(x.rows() > 0, "at least 1 row expected, found 0");
    check_len("variance", mean.len(), variance.len());
    assert!(first + mean.len() <= x.columns(), "columns up to {} expected, found {}", x.columns(), first + mean.len());
    if x.rows() * mean.len() < LARGE {
        return isa.run(Statistics { x, first, mean, variance });
    }
    let rows = x.rows() as f32;
    totals(isa, Values(x), first, [mean]);
    slice::map(isa, Quotient(rows), [], [mean]);
    totals(isa, SquaredDeviations { x, mean, first }, first, [variance]);
    slice::map(isa, Quotient(rows), [], [variance]);
}

/// `y = y / divisor`
struct Quotient(f32);

impl MapOp<0, 1> for Quotient {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, _: [S::F32; 0], [y]: [S::F32; 1]) -> [S::F32; 1] {
        [simd.div(y, simd.splat(self.0))]
    }
}

struct Statistics<'a> {
    x: RowBlocks<'a>,
    first: usize,
    mean: &'a mut [f32],
    variance: &'a mut [f32],
}

impl SimdOp for Statistics<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let len = self.mean.len();
        on_all_columns(simd, len, &mut self);
    }
}

impl OnColumns for Statistics<'_> {
    type Scratch<S: Simd, const V: usize> = TreeOfColumns<S, 1, V>;
    #[inline(always)]
    fn scratch<S: Simd, const V: usize>(simd: S) -> TreeOfColumns<S, 1, V> {
        Tree::new([[simd.zero(); V]])
    }
    /// Both passes over some columns before the next: the second finds them in the cache.
    #[inline(always)]
    fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, range: Range<usize>, tree: &mut TreeOfColumns<S, 1, V>) {
        let rows = simd.splat(self.x.rows() as f32);
        let first = self.first + range.start;
        let columns = first..self.first + range.end;
        let (mean, variance) = (&mut self.mean[range.clone()], &mut self.variance[range]);
        let [mut sums] = total_of(simd, &Values(self.x), columns.clone(), tree);
        unroll!(V, j => sums[j] = simd.div(sums[j], rows));
        slice::store(simd, sums, mean);
        let [mut squares] = total_of(simd, &SquaredDeviations { x: self.x, mean, first }, columns, tree);
        unroll!(V, j => squares[j] = simd.div(squares[j], rows));
        slice::store(simd, squares, variance);
    }
}

/// `y[s][j] = sum over the rows i of micro-shard s of x[i][j]`
///
/// # Shapes
/// `x: [rows, n]`, `y: [rows.div_ceil(MICRO_SHARD), n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn sum_shards(isa: Isa, x: MatRef<'_>, y: MatMut<'_>) {
    check_shape("shards", (x.rows().div_ceil(MICRO_SHARD), x.columns()), (y.rows(), y.columns()));
    shards(isa, Values(x.into()), [y]);
}

/// `y[s][j] = sum over the rows i of micro-shard s of (x[i][j] - mean[j])^2`
///
/// # Shapes
/// `x: [rows, n]`, `mean: [n]`, `y: [rows.div_ceil(MICRO_SHARD), n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn square_shards(isa: Isa, x: MatRef<'_>, mean: &[f32], y: MatMut<'_>) {
    check_shape("shards", (x.rows().div_ceil(MICRO_SHARD), x.columns()), (y.rows(), y.columns()));
    check_len("mean", x.columns(), mean.len());
    shards(isa, SquaredDeviations { x: x.into(), mean, first: 0 }, [y]);
}

/// `y[j] = (sum over s of shards[s][first + j]) / divisor`, by the tree of [`reduce`](super::reduce). The shards of all
/// threads, in the order of their rows, are one matrix.
///
/// # Shapes
/// `shards: [any, >= first + n]`, `y: [n]`.
///
/// # Panics
/// If there are not enough columns.
#[track_caller]
pub fn combine_shards(isa: Isa, shards: RowBlocks<'_>, first: usize, divisor: f32, y: &mut [f32]) {
    assert!(first + y.len() <= shards.columns(), "columns up to {} expected, found {}", shards.columns(), first + y.len());
    isa.run(Combine { shards, first, divisor, y });
}

struct Combine<'a> {
    shards: RowBlocks<'a>,
    first: usize,
    divisor: f32,
    y: &'a mut [f32],
}

impl SimdOp for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (block, y) in self.y.chunks_mut(LANES).enumerate() {
            let first = self.first + block * LANES;
            let mut tree = Tree::new(simd.zero());
            for shard in 0..self.shards.rows() {
                tree.push(simd.load_first(&self.shards.row(shard)[first..first + y.len()]), |a, b| simd.add(a, b));
            }
            let total = tree.total(simd.zero(), |a, b| simd.add(a, b));
            simd.store_first(simd.div(total, simd.splat(self.divisor)), y);
        }
    }
}

/// `y = 1 / sqrt(variance + epsilon)`
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn inverse_deviation(isa: Isa, variance: &[f32], epsilon: f32, y: &mut [f32]) {
    struct InverseDeviation {
        epsilon: f32,
    }
    impl MapOp<1, 1> for InverseDeviation {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [variance]: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] {
            [simd.div(simd.splat(1.0), simd.sqrt(simd.add(variance, simd.splat(self.epsilon))))]
        }
    }
    slice::map(isa, InverseDeviation { epsilon }, [variance], [y]);
}

/// `moving = momentum moving + (1 - momentum) batch`: once per step, for the mean and for the variance. What fades below `2^-126`, like the variance of
/// a unit that has died, is 0.
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn update_moving(isa: Isa, momentum: f64, batch: &[f32], moving: &mut [f32]) {
    struct UpdateMoving {
        kept: f32,
        new: f32,
    }
    impl MapOp<1, 1> for UpdateMoving {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [batch]: [S::F32; 1], [moving]: [S::F32; 1]) -> [S::F32; 1] {
            [simd.flush_denormals(simd.mul_add(moving, simd.splat(self.kept), simd.mul(batch, simd.splat(self.new))))]
        }
    }
    slice::map(isa, UpdateMoving { kept: momentum as f32, new: (1.0 - momentum) as f32 }, [batch], [moving]);
}

/// `y = gamma (x - mean) inverse_deviation + beta`
///
/// # Shapes
/// `x: [m, n]`, `y: [m, n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn batch_norm_forward(isa: Isa, x: MatRef<'_>, normalization: Normalization<'_>, y: MatMut<'_>) {
    normalization.check(x.columns());
    check_shape("y", (x.rows(), x.columns()), (y.rows(), y.columns()));
    // A Zen 4 takes 1.4 times as long if it is asked.
    let asks = isa.is_intel() && x.rows() * x.columns() >= BEYOND_CACHES;
    isa.run(Forward { x, normalization, y, asks });
}

/// How far ahead what will be written is asked for, if it comes from memory: 8 KiB.
const ELEMENTS_AHEAD: usize = 2048;

struct Forward<'a> {
    x: MatRef<'a>,
    normalization: Normalization<'a>,
    y: MatMut<'a>,
    /// Whether elements of `y` are asked for.
    asks: bool,
}

impl SimdOp for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        on_all_rows(simd, self.x, &mut self);
    }
}

impl OnRows for Forward<'_> {
    #[inline(always)]
    fn on_rows<S: Simd, const V: usize>(&mut self, simd: S, rows: Range<usize>, columns: Range<usize>) {
        let of_columns = ForwardColumns::<S, V>::load(simd, &self.normalization, columns.clone());
        for i in rows {
            let x = vectors::<S, V>(simd, self.x.row(i), columns.clone());
            let y = &mut self.y.row_mut(i)[columns.clone()];
            if self.asks {
                unroll!(V, j => simd.prefetch_to_write(y.as_ptr().wrapping_add(ELEMENTS_AHEAD + j * LANES)));
            }
            slice::store(simd, of_columns.forward(simd, x), y);
        }
    }
}

/// What the forward pass needs of some columns.
#[derive(Clone, Copy)]
pub(super) struct ForwardColumns<S: Simd, const V: usize> {
    mean: [S::F32; V],
    inverse_deviation: [S::F32; V],
    gamma: [S::F32; V],
    beta: [S::F32; V],
}

impl<S: Simd, const V: usize> ForwardColumns<S, V> {
    #[inline(always)]
    pub(super) fn load(simd: S, normalization: &Normalization<'_>, columns: Range<usize>) -> Self {
        let [mean, inverse_deviation] = mean_and_inverse_deviation(simd, normalization, columns.clone());
        let gamma = vectors(simd, normalization.gamma, columns.clone());
        Self { mean, inverse_deviation, gamma, beta: vectors(simd, normalization.beta, columns) }
    }

    /// `gamma x' + beta`
    #[inline(always)]
    pub(super) fn forward(&self, simd: S, mut x: [S::F32; V]) -> [S::F32; V] {
        unroll!(V, j => {
            let standardized = standardized(simd, x[j], self.mean[j], self.inverse_deviation[j]);
            x[j] = simd.mul_add(standardized, self.gamma[j], self.beta[j]);
        });
        x
    }
}

/// The gradients by gamma and beta of the columns `first..first + n`: `dgamma = sum of dy x'`, `dbeta = sum of dy`.
///
/// # Shapes
/// `dy: [rows, >= first + n]`, `x` and what it is normalized with the same, `dgamma: [n]`, `dbeta: [n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn gradient_sums(
    isa: Isa,
    dy: RowBlocks<'_>,
    x: RowBlocks<'_>,
    normalization: Normalization<'_>,
    first: usize,
    [dgamma, dbeta]: [&mut [f32]; 2],
) {
    normalization.check(x.columns());
    check_shape("dy", (x.rows(), x.columns()), (dy.rows(), dy.columns()));
    check_len("dbeta", dgamma.len(), dbeta.len());
    assert!(first + dgamma.len() <= x.columns(), "columns up to {} expected, found {}", x.columns(), first + dgamma.len());
    totals(isa, Gradients { dy, x, normalization }, first, [dgamma, dbeta]);
}

/// The shards of [`gradient_sums`], for the rows of one thread.
///
/// # Shapes
/// `dy: [rows, n]`, `x: [rows, n]`, `dgamma` and `dbeta: [rows.div_ceil(MICRO_SHARD), n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn gradient_shards(
    isa: Isa,
    dy: MatRef<'_>,
    x: MatRef<'_>,
    normalization: Normalization<'_>,
    [dgamma, dbeta]: [MatMut<'_>; 2],
) {
    normalization.check(x.columns());
    check_shape("dy", (x.rows(), x.columns()), (dy.rows(), dy.columns()));
    for shards in [&dgamma, &dbeta] {
        check_shape("shards", (x.rows().div_ceil(MICRO_SHARD), x.columns()), (shards.rows(), shards.columns()));
    }
    shards(isa, Gradients { dy: RowBlocks::from(dy), x: x.into(), normalization }, [dgamma, dbeta]);
}

/// The gradients by gamma and beta of a whole minibatch.
#[derive(Clone, Copy, Debug)]
pub struct GradientSums<'a> {
    /// The gradient by gamma, `[n]`.
    pub dgamma: &'a [f32],
    /// The gradient by beta, `[n]`.
    pub dbeta: &'a [f32],
    /// The rows of the minibatch.
    pub rows: usize,
}

impl GradientSums<'_> {
    #[track_caller]
    pub(super) fn check(&self, columns: usize) {
        check_len("dgamma", columns, self.dgamma.len());
        check_len("dbeta", columns, self.dbeta.len());
        assert!(self.rows > 0, "at least 1 row expected, found 0");
    }
}

/// The gradient by the input, in place of that by the output: `dy = gamma inverse_deviation (dy - dbeta / rows - x' dgamma / rows)`.
///
/// # Shapes
/// `x: [m, n]`, `dy: [m, n]`, which may be some rows of a larger minibatch.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn batch_norm_backward(isa: Isa, x: MatRef<'_>, normalization: Normalization<'_>, sums: GradientSums<'_>, dy: MatMut<'_>) {
    normalization.check(x.columns());
    sums.check(x.columns());
    check_shape("dy", (x.rows(), x.columns()), (dy.rows(), dy.columns()));
    isa.run(Backward { x, normalization, sums, dy });
}

struct Backward<'a> {
    x: MatRef<'a>,
    normalization: Normalization<'a>,
    sums: GradientSums<'a>,
    dy: MatMut<'a>,
}

impl SimdOp for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        on_all_rows(simd, self.x, &mut self);
    }
}

impl OnRows for Backward<'_> {
    #[inline(always)]
    fn on_rows<S: Simd, const V: usize>(&mut self, simd: S, rows: Range<usize>, columns: Range<usize>) {
        let of_columns = BackwardColumns::<S, V>::load(simd, &self.normalization, &self.sums, columns.clone());
        for i in rows {
            let x = vectors::<S, V>(simd, self.x.row(i), columns.clone());
            let dy = &mut self.dy.row_mut(i)[columns.clone()];
            let dx = of_columns.backward(simd, vectors(simd, dy, 0..dy.len()), x);
            slice::store(simd, dx, dy);
        }
    }
}

/// What the backward pass needs of some columns.
pub(super) struct BackwardColumns<S: Simd, const V: usize> {
    mean: [S::F32; V],
    inverse_deviation: [S::F32; V],
    /// `-dgamma / rows`
    dgamma: [S::F32; V],
    dbeta: [S::F32; V],
    /// `gamma inverse_deviation`
    factor: [S::F32; V],
    /// `-1 / rows`
    share: S::F32,
}

impl<S: Simd, const V: usize> BackwardColumns<S, V> {
    #[inline(always)]
    pub(super) fn load(simd: S, normalization: &Normalization<'_>, sums: &GradientSums<'_>, columns: Range<usize>) -> Self {
        let [mean, inverse_deviation] = mean_and_inverse_deviation(simd, normalization, columns.clone());
        let mut factor = vectors::<S, V>(simd, normalization.gamma, columns.clone());
        let mut dgamma = vectors::<S, V>(simd, sums.dgamma, columns.clone());
        let share = simd.splat(-1.0 / sums.rows as f32);
        unroll!(V, j => {
            factor[j] = simd.mul(factor[j], inverse_deviation[j]);
            dgamma[j] = simd.mul(dgamma[j], share);
        });
        Self { mean, inverse_deviation, dgamma, dbeta: vectors(simd, sums.dbeta, columns), factor, share }
    }

    /// `gamma inverse_deviation (dy - dbeta / rows - x' dgamma / rows)`
    #[inline(always)]
    pub(super) fn backward(&self, simd: S, mut dy: [S::F32; V], x: [S::F32; V]) -> [S::F32; V] {
        unroll!(V, j => {
            let by_dbeta = simd.mul_add(self.dbeta[j], self.share, dy[j]);
            let standardized = standardized(simd, x[j], self.mean[j], self.inverse_deviation[j]);
            dy[j] = simd.mul(self.factor[j], simd.mul_add(standardized, self.dgamma[j], by_dbeta));
        });
        dy
    }
}

/// Normalization with fixed statistics as one factor and one summand: `scale = gamma inverse_deviation`, `shift = beta - mean scale`.
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn affine(isa: Isa, normalization: Normalization<'_>, scale: &mut [f32], shift: &mut [f32]) {
    struct ToAffine;
    impl MapOp<4, 2> for ToAffine {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [mean, inverse_deviation, gamma, beta]: [S::F32; 4], _: [S::F32; 2]) -> [S::F32; 2] {
            let scale = simd.mul(gamma, inverse_deviation);
            let negative = simd.mul(scale, simd.splat(-1.0));
            [scale, simd.mul_add(mean, negative, beta)]
        }
    }
    let Normalization { mean, inverse_deviation, gamma, beta } = normalization;
    slice::map(isa, ToAffine, [mean, inverse_deviation, gamma, beta], [scale, shift]);
}

struct ScaleShift;
impl MapOp<2, 1> for ScaleShift {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [scale, shift]: [S::F32; 2], [x]: [S::F32; 1]) -> [S::F32; 1] {
        [simd.mul_add(x, scale, shift)]
    }
}

struct Scale;
impl MapOp<1, 1> for Scale {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [scale]: [S::F32; 1], [x]: [S::F32; 1]) -> [S::F32; 1] {
        [simd.mul(x, scale)]
    }
}

/// An operation on every row of a matrix, with the same inputs.
struct EachRow<'a, O, const IN: usize> {
    op: O,
    inputs: [&'a [f32]; IN],
    x: MatMut<'a>,
}

impl<O: MapOp<IN, 1>, const IN: usize> SimdOp for EachRow<'_, O, IN> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for i in 0..self.x.rows() {
            slice::map_with(simd, &self.op, self.inputs, [self.x.row_mut(i)]);
        }
    }
}

/// `x = scale x + shift`: batch normalization in inference, with [`affine`] of the moving statistics.
///
/// # Shapes
/// `scale: [n]`, `shift: [n]`, `x: [m, n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn affine_forward(isa: Isa, scale: &[f32], shift: &[f32], x: MatMut<'_>) {
    check_len("scale", x.columns(), scale.len());
    check_len("shift", x.columns(), shift.len());
    isa.run(EachRow { op: ScaleShift, inputs: [scale, shift], x });
}

/// `dy = scale dy`: the gradient by the input where the statistics are fixed.
///
/// # Shapes
/// `scale: [n]`, `dy: [m, n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn affine_backward(isa: Isa, scale: &[f32], dy: MatMut<'_>) {
    check_len("scale", dy.columns(), scale.len());
    isa.run(EachRow { op: Scale, inputs: [scale], x: dy });
}

/// Gives the normalization of a dense layer's outputs to the layer: `(x W + b) scale + shift = x W' + b'` with
/// `W'[i][j] = W[i][j] scale[j]`, `b' = b scale + shift`. Nothing may lie between the two.
///
/// # Shapes
/// `scale: [out_dim]`, `shift: [out_dim]`, `w: [in_dim, out_dim]`, `b: [out_dim]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn fold_into_previous(isa: Isa, scale: &[f32], shift: &[f32], w: MatMut<'_>, b: &mut [f32]) {
    check_len("bias", w.columns(), b.len());
    check_len("scale", w.columns(), scale.len());
    slice::map(isa, ScaleShift, [scale, shift], [b]);
    isa.run(EachRow { op: Scale, inputs: [scale], x: w });
}

/// Gives the normalization of a dense layer's inputs to the layer: `(x scale + shift) W + b = x W' + b'` with
/// `W'[i][j] = scale[i] W[i][j]`, `b' = b + shift W`, one chain of fused multiply-adds over `i`. Nothing may lie between the two.
///
/// # Shapes
/// `scale: [in_dim]`, `shift: [in_dim]`, `w: [in_dim, out_dim]`, `b: [out_dim]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn fold_into_next(isa: Isa, scale: &[f32], shift: &[f32], w: MatMut<'_>, b: &mut [f32]) {
    struct FoldIntoNext<'a> {
        scale: &'a [f32],
        shift: &'a [f32],
        w: MatMut<'a>,
        b: &'a mut [f32],
    }
    struct Row {
        scale: f32,
        shift: f32,
    }
    impl MapOp<0, 2> for Row {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, _: [S::F32; 0], [w, b]: [S::F32; 2]) -> [S::F32; 2] {
            [simd.mul(w, simd.splat(self.scale)), simd.mul_add(w, simd.splat(self.shift), b)]
        }
    }
    impl SimdOp for FoldIntoNext<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(mut self, simd: S) {
            for (i, (&scale, &shift)) in self.scale.iter().zip(self.shift).enumerate() {
                slice::map_with(simd, &Row { scale, shift }, [], [self.w.row_mut(i), self.b]);
            }
        }
    }
    check_len("scale", w.rows(), scale.len());
    check_len("shift", w.rows(), shift.len());
    check_len("bias", w.columns(), b.len());
    isa.run(FoldIntoNext { scale, shift, w, b });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::norm as reference;
    use crate::reference::samples::{SPECIAL, assert_same_bits, kinds_of_matrices, numbers};
    use std::vec;
    use std::vec::Vec;

    /// Mean, inverse deviation, gamma and beta.
    fn vectors(n: usize) -> [Vec<f32>; 4] {
        let positive = |seed| numbers(seed, n).into_iter().map(|x| x.abs() + 0.25).collect();
        [numbers(100, n), positive(101), positive(102), numbers(103, n)]
    }

    fn normalization([mean, inverse_deviation, gamma, beta]: &[Vec<f32>; 4]) -> Normalization<'_> {
        Normalization { mean, inverse_deviation, gamma, beta }
    }

    #[test]
    fn kernels_equal_their_twins() {
        for isa in Isa::with_all_loops() {
            let widths = (0..=33).chain([65, 130]).filter(|n| !cfg!(miri) || [1, 16, 65].contains(n));
            let shapes = widths.flat_map(|n| [1, 3, 16, 17, 100].map(|rows| (n, rows)));
            for ((n, rows), matrix) in shapes.flat_map(|shape| kinds_of_matrices().map(move |matrix| (shape, matrix))) {
                let (ld, context) = (n + 3, (isa, rows, n));
                let data = matrix(1, rows, n, ld);
                let gradient = matrix(2, rows, n, ld);
                let (x, dy) = (MatRef::new(&data, rows, n, ld), MatRef::new(&gradient, rows, n, ld));
                let mut found: [Vec<f32>; 2] = [vec![f32::NAN; n], vec![f32::NAN; n]];
                let mut expected = found.clone();
                let [mean, variance] = &mut found;
                statistics(isa, x.into(), 0, mean, variance);
                let [mean, variance] = &mut expected;
                reference::statistics(isa, x, mean, variance);
                assert_same_bits(context, &found.concat(), &expected.concat());

                let vectors = vectors(n);
                let normalization = normalization(&vectors);
                let (mut y, mut expected_y) = (vec![f32::NAN; rows * ld], vec![f32::NAN; rows * ld]);
                batch_norm_forward(isa, x, normalization, MatMut::new(&mut y, rows, n, ld));
                reference::batch_norm_forward(isa, x, &normalization, MatMut::new(&mut expected_y, rows, n, ld));
                assert_same_bits(context, &y, &expected_y);

                gradient_sums(isa, dy.into(), x.into(), normalization, 0, found.each_mut().map(Vec::as_mut_slice));
                reference::gradient_sums(isa, dy, x, &normalization, expected.each_mut().map(Vec::as_mut_slice));
                assert_same_bits(context, &found.concat(), &expected.concat());

                let sums = GradientSums { dgamma: &vectors[0], dbeta: &vectors[3], rows: 7 };
                let (mut dx, mut expected_dx) = (gradient.clone(), gradient.clone());
                batch_norm_backward(isa, x, normalization, sums, MatMut::new(&mut dx, rows, n, ld));
                reference::batch_norm_backward(isa, x, &normalization, &sums, MatMut::new(&mut expected_dx, rows, n, ld));
                assert_same_bits(context, &dx, &expected_dx);

                let [scale, shift] = &mut found;
                affine(isa, normalization, scale, shift);
                let [expected_scale, expected_shift] = &mut expected;
                reference::affine(isa, &normalization, expected_scale, expected_shift);
                assert_same_bits(context, scale, expected_scale);
                assert_same_bits(context, shift, expected_shift);
                let (mut y, mut expected_y) = (data.clone(), data.clone());
                affine_forward(isa, scale, shift, MatMut::new(&mut y, rows, n, ld));
                reference::affine_forward(isa, scale, shift, MatMut::new(&mut expected_y, rows, n, ld));
                assert_same_bits(context, &y, &expected_y);
                affine_backward(isa, scale, MatMut::new(&mut y, rows, n, ld));
                reference::affine_backward(scale, MatMut::new(&mut expected_y, rows, n, ld));
                assert_same_bits(context, &y, &expected_y);

                let (mut b, mut expected_b) = (numbers(5, n), numbers(5, n));
                fold_into_previous(isa, scale, shift, MatMut::new(&mut y, rows, n, ld), &mut b);
                reference::fold_into_previous(isa, scale, shift, MatMut::new(&mut expected_y, rows, n, ld), &mut expected_b);
                let (scale, shift) = (numbers(6, rows), numbers(7, rows));
                fold_into_next(isa, &scale, &shift, MatMut::new(&mut y, rows, n, ld), &mut b);
                reference::fold_into_next(isa, &scale, &shift, MatMut::new(&mut expected_y, rows, n, ld), &mut expected_b);
                assert_same_bits(context, &y, &expected_y);
                assert_same_bits(context, &b, &expected_b);
            }
            for len in 0..=33 {
                let positive: Vec<f32> = numbers(8, len).iter().map(|x| x.abs()).chain(SPECIAL).collect();
                let (mut found, mut expected) = (vec![0.0; positive.len()], vec![0.0; positive.len()]);
                inverse_deviation(isa, &positive, EPSILON, &mut found);
                reference::inverse_deviation(&positive, EPSILON, &mut expected);
                assert_same_bits((isa, len), &found, &expected);
                update_moving(isa, MOMENTUM, &positive, &mut found);
                reference::update_moving(isa, MOMENTUM, &positive, &mut expected);
                assert_same_bits((isa, len), &found, &expected);
            }
        }
    }

    #[test]
    fn sums_are_the_same_however_the_work_is_shared() {
        let (rows, n, ld) = (119, 37, 40);
        let data: Vec<f32> = numbers(1, rows * ld);
        let gradient: Vec<f32> = numbers(2, rows * ld);
        let (x, dy) = (MatRef::new(&data, rows, n, ld), MatRef::new(&gradient, rows, n, ld));
        let vectors = vectors(n);
        let normalization = normalization(&vectors);
        for isa in Isa::with_all_loops() {
            let (mut mean, mut variance) = (vec![0.0; n], vec![0.0; n]);
            statistics(isa, x.into(), 0, &mut mean, &mut variance);
            let (mut dgamma, mut dbeta) = (vec![0.0; n], vec![0.0; n]);
            gradient_sums(isa, dy.into(), x.into(), normalization, 0, [&mut dgamma, &mut dbeta]);
            for first in 0..n {
                let (mut part, mut part_variance) = (mean.clone(), variance.clone());
                part[first..].fill(0.0);
                part_variance[first..].fill(0.0);
                statistics(isa, x.into(), first, &mut part[first..], &mut part_variance[first..]);
                assert_same_bits((isa, first), &part, &mean);
                assert_same_bits((isa, first), &part_variance, &variance);
            }
            for rows_per_part in [MICRO_SHARD, 3 * MICRO_SHARD, 8 * MICRO_SHARD] {
                let shards = rows.div_ceil(MICRO_SHARD);
                let mut buffers: [Vec<f32>; 4] = core::array::from_fn(|_| vec![0.0; shards * n]);
                for first in (0..rows).step_by(rows_per_part) {
                    let count = rows_per_part.min(rows - first);
                    let part = |data| MatRef::new(data, count, n, ld);
                    let (x, dy) = (part(&data[first * ld..]), part(&gradient[first * ld..]));
                    let place = first / MICRO_SHARD * n;
                    let [sums, squares, dgamma, dbeta] =
                        buffers.each_mut().map(|buffer| MatMut::new(&mut buffer[place..], count.div_ceil(MICRO_SHARD), n, n));
                    sum_shards(isa, x, sums);
                    square_shards(isa, x, &mean, squares);
                    gradient_shards(isa, dy, x, normalization, [dgamma, dbeta]);
                }
                let divisors = [rows as f32, rows as f32, 1.0, 1.0];
                for ((buffer, divisor), expected) in buffers.iter().zip(divisors).zip([&mean, &variance, &dgamma, &dbeta]) {
                    let mut y = vec![0.0; n];
                    let (low, high) = y.split_at_mut(20);
                    combine_shards(isa, MatRef::new(buffer, shards, n, n).into(), 0, divisor, low);
                    combine_shards(isa, MatRef::new(buffer, shards, n, n).into(), 20, divisor, high);
                    assert_same_bits((isa, rows_per_part), &y, expected);
                }
            }
        }
    }

    /// Batch normalization in f64: the sum of `weights * y`, of which the gradients are taken.
    fn weighted_sum(x: &[f64], [gamma, beta]: [&[f64]; 2], weights: &[f64], n: usize) -> f64 {
        let rows = x.len() / n;
        (0..n)
            .map(|j| {
                let column = || (0..rows).map(|i| x[i * n + j]);
                let mean = column().sum::<f64>() / rows as f64;
                let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
                let inverse_deviation = 1.0 / (variance + f64::from(EPSILON)).sqrt();
                let y = column().map(|x| gamma[j] * (x - mean) * inverse_deviation + beta[j]);
                y.enumerate().map(|(i, y)| weights[i * n + j] * y).sum::<f64>()
            })
            .sum()
    }

    #[test]
    fn gradients_are_those_of_central_differences() {
        let (rows, n) = (21, 5);
        let (x, weights, gamma, beta) = (numbers(1, rows * n), numbers(2, rows * n), numbers(3, n), numbers(4, n));
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let exact: [Vec<f64>; 3] = {
            let mut inputs = [wide(&x), wide(&gamma), wide(&beta)];
            let weights = wide(&weights);
            core::array::from_fn(|k| {
                (0..inputs[k].len())
                    .map(|i| {
                        let mut at = |offset: f64| {
                            let before = inputs[k][i];
                            inputs[k][i] = before + offset;
                            let value = weighted_sum(&inputs[0], [&inputs[1], &inputs[2]], &weights, n);
                            inputs[k][i] = before;
                            value
                        };
                        (at(1e-5) - at(-1e-5)) / 2e-5
                    })
                    .collect()
            })
        };
        for isa in Isa::available() {
            let matrix = MatRef::new(&x, rows, n, n);
            let (mut mean, mut variance, mut inverse) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
            statistics(isa, matrix.into(), 0, &mut mean, &mut variance);
            inverse_deviation(isa, &variance, EPSILON, &mut inverse);
            let normalization = Normalization { mean: &mean, inverse_deviation: &inverse, gamma: &gamma, beta: &beta };
            let (mut dgamma, mut dbeta) = (vec![0.0; n], vec![0.0; n]);
            let dy = MatRef::new(&weights, rows, n, n);
            gradient_sums(isa, dy.into(), matrix.into(), normalization, 0, [&mut dgamma, &mut dbeta]);
            let mut dx = weights.clone();
            let sums = GradientSums { dgamma: &dgamma, dbeta: &dbeta, rows };
            batch_norm_backward(isa, matrix, normalization, sums, MatMut::new(&mut dx, rows, n, n));
            // Sums of 21 terms of size 2 in single precision; the differences are exact to about 1e-9.
            for (found, exact) in [(&dx, &exact[0]), (&dgamma, &exact[1]), (&dbeta, &exact[2])] {
                for (found, exact) in found.iter().zip(exact) {
                    assert!((f64::from(*found) - exact).abs() < 5e-6, "{isa}: {found} {exact}");
                }
            }
        }
    }

    #[test]
    fn a_large_mean_does_not_spoil_the_variance() {
        let (rows, n) = (128, 20);
        let x: Vec<f32> = numbers(1, rows * n).iter().map(|x| 10_000.0 + x).collect();
        for isa in Isa::available() {
            let (mut mean, mut variance) = (vec![0.0; n], vec![0.0; n]);
            statistics(isa, MatRef::new(&x, rows, n, n).into(), 0, &mut mean, &mut variance);
            for j in 0..n {
                let column = || x.iter().skip(j).step_by(n).map(|&x| f64::from(x));
                let exact_mean = column().sum::<f64>() / rows as f64;
                let exact = column().map(|x| (x - exact_mean).powi(2)).sum::<f64>() / rows as f64;
                assert!((f64::from(mean[j]) / exact_mean - 1.0).abs() < 1e-6, "{isa}: {} {exact_mean}", mean[j]);
                assert!((f64::from(variance[j]) / exact - 1.0).abs() < 1e-5, "{isa}: {} {exact}", variance[j]);
            }
        }
    }

    #[test]
    fn columns_come_out_with_mean_beta_and_deviation_gamma() {
        let (rows, n) = (200, 18);
        let mut x = numbers(1, rows * n);
        x.iter_mut().skip(3).step_by(n).for_each(|x| *x = 7.0);
        let (gamma, beta) = (vec![2.0; n], vec![0.5; n]);
        for isa in Isa::available() {
            let (mut mean, mut variance, mut inverse) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
            let matrix = MatRef::new(&x, rows, n, n);
            statistics(isa, matrix.into(), 0, &mut mean, &mut variance);
            inverse_deviation(isa, &variance, 0.0, &mut inverse);
            inverse[3] = 1.0 / EPSILON.sqrt();
            let normalization = Normalization { mean: &mean, inverse_deviation: &inverse, gamma: &gamma, beta: &beta };
            let mut y = vec![0.0; rows * n];
            batch_norm_forward(isa, matrix, normalization, MatMut::new(&mut y, rows, n, n));
            statistics(isa, MatRef::new(&y, rows, n, n).into(), 0, &mut mean, &mut variance);
            for j in 0..n {
                let expected = if j == 3 { 0.0 } else { 4.0 };
                assert!(
                    (mean[j] - 0.5).abs() < 1e-6 && (variance[j] - expected).abs() < 1e-5,
                    "{isa} {j} {} {}",
                    mean[j],
                    variance[j]
                );
            }
        }
    }

    #[test]
    fn moving_statistics_follow_the_batch() {
        let mut moving = [0.0, 1.0];
        for _ in 0..100 {
            update_moving(Isa::detect(), MOMENTUM, &[1.0, 3.0], &mut moving);
        }
        let exact = 1.0 - 0.99f64.powi(100);
        assert!((f64::from(moving[0]) - exact).abs() < 1e-5, "{moving:?}");
        assert!((f64::from(moving[1]) - (1.0 + 2.0 * exact)).abs() < 1e-5, "{moving:?}");
        for _ in 0..10_000 {
            update_moving(Isa::detect(), MOMENTUM, &[0.0, 1.0], &mut moving);
        }
        assert_eq!(moving[0], 0.0);
    }

    #[test]
    fn folded_layers_compute_the_same() {
        let (in_dim, middle, out_dim) = (7, 19, 5);
        let (x, w1, b1) = (numbers(1, in_dim), numbers(2, in_dim * middle), numbers(3, middle));
        let (w2, b2) = (numbers(4, middle * out_dim), numbers(5, out_dim));
        let dense = |x: &[f64], w: &[f32], b: &[f32]| -> Vec<f64> {
            let n = b.len();
            (0..n).map(|j| f64::from(b[j]) + x.iter().enumerate().map(|(i, x)| x * f64::from(w[i * n + j])).sum::<f64>()).collect()
        };
        let vectors = vectors(middle);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let hidden = dense(&wide, &w1, &b1);
        let normalized = hidden.iter().enumerate().map(|(j, h)| {
            let [mean, inverse, gamma, beta] = vectors.each_ref().map(|vector| f64::from(vector[j]));
            gamma * (h - mean) * inverse + beta
        });
        let expected = dense(&normalized.collect::<Vec<f64>>(), &w2, &b2);
        for isa in Isa::available() {
            let (mut scale, mut shift) = (vec![0.0; middle], vec![0.0; middle]);
            affine(isa, normalization(&vectors), &mut scale, &mut shift);
            let (mut w, mut b) = (w1.clone(), b1.clone());
            fold_into_previous(isa, &scale, &shift, MatMut::new(&mut w, in_dim, middle, middle), &mut b);
            let previous = dense(&dense(&wide, &w, &b), &w2, &b2);
            let (mut w, mut b) = (w2.clone(), b2.clone());
            fold_into_next(isa, &scale, &shift, MatMut::new(&mut w, middle, out_dim, out_dim), &mut b);
            let next = dense(&dense(&wide, &w1, &b1), &w, &b);
            for (found, expected) in previous.iter().chain(&next).zip(expected.iter().chain(&expected)) {
                assert!((found - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{isa}: {found} {expected}");
            }
        }
    }
}
