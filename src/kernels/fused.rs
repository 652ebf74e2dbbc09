//! Layers that follow each other, in one pass over memory.
//!
//! | kernel | the same as | reads | writes |
//! |---|---|---|---|
//! | [`BiasedReluDropout`] | [`BiasedRelu`](super::gemm::BiasedRelu), [`dropout_forward`](super::dropout::dropout_forward) | bias | `C`, mask, once |
//! | [`batch_norm_relu_dropout_forward`] | [`batch_norm_forward`](super::norm::batch_norm_forward), ReLU, [`dropout_forward`](super::dropout::dropout_forward) | `x` | `y`, mask |
//! | [`batch_norm_relu_dropout_gradient_sums`] | [`dropout_backward`](super::dropout::dropout_backward), [`gradient_sums`](super::norm::gradient_sums) | `dy`, `x`, mask | `dgamma`, `dbeta` |
//! | [`batch_norm_relu_dropout_gradient_shards`] | the same, [`gradient_shards`](super::norm::gradient_shards) | `dy`, `x`, mask | shards of both |
//! | [`batch_norm_relu_dropout_backward`] | [`dropout_backward`](super::dropout::dropout_backward), [`batch_norm_backward`](super::norm::batch_norm_backward) | `dy`, `x`, mask | `dx` over `dy` |
//!
//! "The same" is bit for bit. A network without dropout between its layers uses [`Dropout::NONE`], which draws no random numbers. The
//! mask is that of ReLU and dropout together, in the format of [`dropout`](super::dropout).

use super::dropout::{Ahead, Dropout, KEPT, ROWS, check_mask, kept_bits, masks, pieces};
use super::gemm::{Epilogue, Place, RowBlocks, check_bias, load_bias, store};
use super::matrix::{MatMut, MatRef};
use super::norm::{
    BackwardColumns, ForwardColumns, GradientByOutputs, GradientSums, Gradients, Normalization, check_len, check_shape,
};
use super::reduce::MICRO_SHARD;
use super::rng::{GROUP, Generator, Stream};
use super::sums::{shards, totals};
use super::walk::{OnColumns, OnRows, in_strips, on_all_rows, vectors};
use crate::simd::{Isa, LANES, Simd, SimdOp, slice, unroll};
use core::ops::Range;

/// ReLU and dropout of some vectors, of which dropout keeps `kept`. Returns the words of the mask for `columns` columns.
#[inline(always)]
fn relu_dropout<S: Simd, const V: usize>(
    simd: S,
    x: &mut [S::F32; V],
    kept: [u16; V],
    dropout: Dropout,
    columns: usize,
) -> [u16; V] {
    let mut dropped = masks(simd, kept.map(|word| !word));
    unroll!(V, j => {
        dropped[j] = simd.either(dropped[j], simd.le(x[j], simd.zero()));
        x[j] = simd.select(dropped[j], simd.zero(), simd.mul(x[j], simd.splat(dropout.scale())));
    });
    kept_bits(simd, dropped, columns)
}

/// Epilogue of a product: `C = dropout(relu(bias + A B))`, and the mask of the elements that were kept.
pub struct BiasedReluDropout<'a> {
    /// The bias, `[n]`; empty for none.
    pub bias: &'a [f32],
    /// The dropout.
    pub dropout: Dropout,
    /// Where it takes its random numbers.
    pub stream: Stream,
    /// C, `[m, n]`.
    pub c: MatMut<'a>,
    /// The mask, `m` rows of `n.div_ceil(16)` words.
    pub mask: &'a mut [u16],
}

impl BiasedReluDropout<'_> {
    /// What dropout keeps of the vectors of a tile.
    #[inline(always)]
    fn kept<S: Simd, const TILE_ROWS: usize, const V: usize>(&self, simd: S, place: Place) -> [[u16; V]; TILE_ROWS] {
        let mut words = [[u16::MAX; V]; TILE_ROWS];
        if !self.dropout.drops() {
            return words;
        }
        let generator = Generator::from(self.stream);
        // Columns are drawn in groups, among which those of a tile may begin.
        let first = place.column / GROUP * GROUP;
        for (words, row) in words.chunks_mut(ROWS).zip((place.row..).step_by(ROWS)) {
            let piece = (row..row + words.len(), first..place.column + place.width);
            let kept = self.dropout.draw(simd, &generator, &piece, Ahead::NOTHING);
            for (words, kept) in words.iter_mut().zip(&kept) {
                words.copy_from_slice(&kept[(place.column - first) / LANES..][..V]);
            }
        }
        words
    }
}

impl Epilogue for BiasedReluDropout<'_> {
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        check_bias(n, self.bias);
        check_shape("C", (m, n), (self.c.rows(), self.c.columns()));
        check_mask(m, n, self.mask);
    }
    #[inline(always)]
    fn partial_sums(&mut self) -> Option<MatMut<'_>> {
        Some(self.c.reborrow())
    }
    #[inline(always)]
    fn begin<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place) -> [[S::F32; V]; ROWS] {
        [load_bias(simd, self.bias, place); ROWS]
    }
    #[inline(always)]
    fn finish<S: Simd, const TILE_ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        place: Place,
        mut tile: [[S::F32; V]; TILE_ROWS],
    ) {
        let (words_per_row, first) = (self.c.columns().div_ceil(LANES), place.column / LANES);
        let kept = self.kept::<S, TILE_ROWS, V>(simd, place);
        unroll!(TILE_ROWS <= 8, i => {
            let words = relu_dropout(simd, &mut tile[i], kept[i], self.dropout, place.width);
            self.mask[(place.row + i) * words_per_row + first..][..V].copy_from_slice(&words);
        });
        store(simd, self.c.reborrow(), place, tile);
    }
}

/// `y = dropout(relu(gamma x' + beta))`, and the mask of the elements that were kept.
///
/// # Shapes
/// `x: [m, n]`, `y: [m, n]`, `mask: [m, n.div_ceil(16)]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn batch_norm_relu_dropout_forward(
    isa: Isa,
    x: MatRef<'_>,
    normalization: Normalization<'_>,
    (dropout, stream): (Dropout, Stream),
    y: MatMut<'_>,
    mask: &mut [u16],
) {
    normalization.check(x.columns());
    check_shape("y", (x.rows(), x.columns()), (y.rows(), y.columns()));
    check_mask(x.rows(), x.columns(), mask);
    isa.run(Forward { isa, x, normalization, dropout, generator: stream.into(), y, mask });
}

struct Forward<'a> {
    isa: Isa,
    x: MatRef<'a>,
    normalization: Normalization<'a>,
    dropout: Dropout,
    generator: Generator,
    y: MatMut<'a>,
    mask: &'a mut [u16],
}

impl SimdOp for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (rows, columns) = (self.x.rows(), self.x.columns());
        let mut kept = KEPT;
        for piece in pieces(self.generator.row(0), rows, columns) {
            if self.dropout.drops() {
                kept = self.dropout.draw(simd, &self.generator, &piece, Ahead::new(self.isa, self.x, self.y.as_ref()));
            }
            let (rows, columns) = piece;
            let (words_per_row, first) = (self.x.columns().div_ceil(LANES), columns.start / LANES);
            for (i, kept) in rows.zip(&kept) {
                let mut row = Row {
                    x: &self.x.row(i)[columns.clone()],
                    normalization: self.normalization.of_columns(columns.clone()),
                    dropout: self.dropout,
                    kept,
                    y: &mut self.y.row_mut(i)[columns.clone()],
                    mask: &mut self.mask[i * words_per_row + first..],
                };
                in_strips::<S, _, 4>(simd, columns.len(), &mut row);
            }
        }
    }
}

/// Some columns of a row, of which dropout keeps `kept`.
struct Row<'a> {
    x: &'a [f32],
    normalization: Normalization<'a>,
    dropout: Dropout,
    kept: &'a [u16],
    y: &'a mut [f32],
    mask: &'a mut [u16],
}

impl OnColumns for Row<'_> {
    type Scratch<S: Simd, const V: usize> = ();
    #[inline(always)]
    fn scratch<S: Simd, const V: usize>(_: S) {}
    #[inline(always)]
    fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, columns: Range<usize>, (): &mut ()) {
        let first = columns.start / LANES;
        let mut kept = [0; V];
        kept.copy_from_slice(&self.kept[first..first + V]);
        let of_columns = ForwardColumns::<S, V>::load(simd, &self.normalization, columns.clone());
        let mut values = of_columns.forward(simd, vectors(simd, self.x, columns.clone()));
        let words = relu_dropout(simd, &mut values, kept, self.dropout, columns.len());
        self.mask[first..first + V].copy_from_slice(&words);
        slice::store(simd, values, &mut self.y[columns]);
    }
}

/// A mask and the factor of what it keeps, for the backward pass: the gradient by what ReLU and dropout were given is
/// `mask ? factor dy : 0`.
#[derive(Clone, Copy, Debug)]
pub struct Masked<'a> {
    /// The mask of ReLU and dropout together.
    pub mask: &'a [u16],
    /// [`Dropout::scale`].
    pub factor: f32,
}

impl Masked<'_> {
    #[inline(always)]
    fn gradient<S: Simd>(&self, simd: S, dy: S::F32, word: usize) -> S::F32 {
        let scaled = simd.mul(dy, simd.splat(self.factor));
        simd.select(simd.mask_from_bits(self.mask[word]), scaled, simd.zero())
    }
}

/// The gradient by the outputs, behind the mask.
#[derive(Clone, Copy)]
struct MaskedGradient<'a> {
    dy: MatRef<'a>,
    masked: Masked<'a>,
}

impl GradientByOutputs for MaskedGradient<'_> {
    #[inline(always)]
    fn dy(&self) -> RowBlocks<'_> {
        self.dy.into()
    }
    #[inline(always)]
    fn masked<S: Simd>(&self, simd: S, dy: S::F32, i: usize, column: usize) -> S::F32 {
        self.masked.gradient(simd, dy, i * self.dy.columns().div_ceil(LANES) + column / LANES)
    }
}

/// The checked terms of the gradients by gamma and beta.
#[track_caller]
fn gradients<'a>(
    dy: MatRef<'a>,
    x: MatRef<'a>,
    normalization: Normalization<'a>,
    masked: Masked<'a>,
) -> Gradients<'a, MaskedGradient<'a>> {
    normalization.check(x.columns());
    check_shape("dy", (x.rows(), x.columns()), (dy.rows(), dy.columns()));
    check_mask(x.rows(), x.columns(), masked.mask);
    Gradients { dy: MaskedGradient { dy, masked }, x: x.into(), normalization }
}

/// The gradients by gamma and beta: `dgamma = sum of dz x'`, `dbeta = sum of dz` with `dz = mask ? factor dy : 0`.
///
/// # Shapes
/// `dy: [rows, n]`, `x: [rows, n]`, the mask `[rows, n.div_ceil(16)]`, `dgamma: [n]`, `dbeta: [n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn batch_norm_relu_dropout_gradient_sums(
    isa: Isa,
    dy: MatRef<'_>,
    x: MatRef<'_>,
    normalization: Normalization<'_>,
    masked: Masked<'_>,
    [dgamma, dbeta]: [&mut [f32]; 2],
) {
    check_len("dgamma", x.columns(), dgamma.len());
    check_len("dbeta", x.columns(), dbeta.len());
    totals(isa, gradients(dy, x, normalization, masked), 0, [dgamma, dbeta]);
}

/// The shards of [`batch_norm_relu_dropout_gradient_sums`], for the rows of one thread.
///
/// # Shapes
/// `dy: [rows, n]`, `x: [rows, n]`, the mask `[rows, n.div_ceil(16)]`, `dgamma` and `dbeta: [rows.div_ceil(MICRO_SHARD), n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn batch_norm_relu_dropout_gradient_shards(
    isa: Isa,
    dy: MatRef<'_>,
    x: MatRef<'_>,
    normalization: Normalization<'_>,
    masked: Masked<'_>,
    [dgamma, dbeta]: [MatMut<'_>; 2],
) {
    for shards in [&dgamma, &dbeta] {
        check_shape("shards", (x.rows().div_ceil(MICRO_SHARD), x.columns()), (shards.rows(), shards.columns()));
    }
    shards(isa, gradients(dy, x, normalization, masked), [dgamma, dbeta]);
}

/// The gradient by the input, in place of that by the output:
/// `dy = gamma inverse_deviation (dz - dbeta / rows - x' dgamma / rows)` with `dz = mask ? factor dy : 0`.
///
/// # Shapes
/// `x: [m, n]`, the mask `[m, n.div_ceil(16)]`, `dy: [m, n]`, which may be some rows of a larger minibatch.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn batch_norm_relu_dropout_backward(
    isa: Isa,
    x: MatRef<'_>,
    normalization: Normalization<'_>,
    sums: GradientSums<'_>,
    masked: Masked<'_>,
    dy: MatMut<'_>,
) {
    normalization.check(x.columns());
    sums.check(x.columns());
    check_shape("dy", (x.rows(), x.columns()), (dy.rows(), dy.columns()));
    check_mask(x.rows(), x.columns(), masked.mask);
    isa.run(Backward { x, normalization, sums, masked, dy });
}

struct Backward<'a> {
    x: MatRef<'a>,
    normalization: Normalization<'a>,
    sums: GradientSums<'a>,
    masked: Masked<'a>,
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
        let words_per_row = self.x.columns().div_ceil(LANES);
        for i in rows {
            let x = vectors::<S, V>(simd, self.x.row(i), columns.clone());
            let dy = &mut self.dy.row_mut(i)[columns.clone()];
            let mut dz = vectors::<S, V>(simd, dy, 0..dy.len());
            unroll!(V, j => dz[j] = self.masked.gradient(simd, dz[j], i * words_per_row + columns.start / LANES + j));
            slice::store(simd, of_columns.backward(simd, dz, x), dy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::dropout::{Combine, dropout_backward, dropout_forward, mask_len};
    use crate::kernels::norm::{batch_norm_backward, batch_norm_forward, gradient_shards, gradient_sums};
    use crate::reference::fused as reference;
    use crate::reference::samples::{assert_same_bits, kinds_of_matrices, numbers};
    use std::vec;
    use std::vec::Vec;

    const STREAM: Stream = Stream { seed: 3, step: 2, layer: 1, first_row: 9 };

    fn rates() -> [Dropout; 3] {
        [Dropout::NONE, Dropout::new(0.3).expect("a rate"), Dropout::new(1.0).expect("a rate")]
    }

    #[test]
    fn no_dropout_is_rate_0() {
        assert_eq!(Dropout::NONE, Dropout::new(0.0).expect("a rate"));
    }

    #[test]
    fn fused_equals_unfused() {
        for isa in Isa::available() {
            for n in (0..=33).chain([64, 65, 130, 1100]).filter(|n| !cfg!(miri) || [17, 65].contains(n)) {
                let cases = rates().into_iter().zip(if cfg!(miri) { [3; 3] } else { [3, 17, 33] });
                for ((dropout, rows), matrix) in cases.flat_map(|case| kinds_of_matrices().map(move |matrix| (case, matrix))) {
                    let (ld, context) = (n + 3, (isa, n, rows, dropout.rate()));
                    let (data, gradient) = (matrix(1, rows, n, ld), matrix(2, rows, n, ld));
                    let (x, dy) = (MatRef::new(&data, rows, n, ld), MatRef::new(&gradient, rows, n, ld));
                    let (mean, inverse, gamma, beta) = (numbers(3, n), numbers(4, n), numbers(5, n), numbers(6, n));
                    let normalization = Normalization { mean: &mean, inverse_deviation: &inverse, gamma: &gamma, beta: &beta };
                    let (mut y, mut mask) = (vec![f32::NAN; rows * ld], vec![0xabcd; mask_len(rows, n)]);
                    let matrix = MatMut::new(&mut y, rows, n, ld);
                    batch_norm_relu_dropout_forward(isa, x, normalization, (dropout, STREAM), matrix, &mut mask);
                    let (mut unfused, mut unfused_mask) = (vec![f32::NAN; rows * ld], vec![0xabcd; mask_len(rows, n)]);
                    let mut matrix = MatMut::new(&mut unfused, rows, n, ld);
                    batch_norm_forward(isa, x, normalization, matrix.reborrow());
                    reference::relu(matrix.reborrow(), &mut unfused_mask);
                    dropout_forward(isa, dropout, STREAM, matrix, &mut unfused_mask, Combine::And);
                    assert_same_bits(context, &y, &unfused);
                    assert_eq!(mask, unfused_mask, "{context:?}");
                    let matrix = MatMut::new(&mut unfused, rows, n, ld);
                    let by_twin = (dropout, STREAM);
                    reference::batch_norm_relu_dropout_forward(isa, x, &normalization, by_twin, matrix, &mut unfused_mask);
                    assert_same_bits(context, &y, &unfused);
                    assert_eq!(mask, unfused_mask, "{context:?}");

                    let masked = Masked { mask: &mask, factor: dropout.scale() };
                    let mut dz = gradient.clone();
                    dropout_backward(isa, dropout, &mask, MatMut::new(&mut dz, rows, n, ld));
                    let dz = MatRef::new(&dz, rows, n, ld);
                    let mut sums: [Vec<f32>; 2] = [vec![f32::NAN; n], vec![f32::NAN; n]];
                    let mut unfused_sums = sums.clone();
                    let outputs = sums.each_mut().map(Vec::as_mut_slice);
                    batch_norm_relu_dropout_gradient_sums(isa, dy, x, normalization, masked, outputs);
                    gradient_sums(isa, dz.into(), x.into(), normalization, 0, unfused_sums.each_mut().map(Vec::as_mut_slice));
                    assert_same_bits(context, &sums.concat(), &unfused_sums.concat());
                    let shards = rows.div_ceil(MICRO_SHARD);
                    let mut buffers: [Vec<f32>; 2] = [vec![f32::NAN; shards * n], vec![f32::NAN; shards * n]];
                    let mut unfused_buffers = buffers.clone();
                    let outputs = buffers.each_mut().map(|buffer| MatMut::new(buffer, shards, n, n));
                    batch_norm_relu_dropout_gradient_shards(isa, dy, x, normalization, masked, outputs);
                    let outputs = unfused_buffers.each_mut().map(|buffer| MatMut::new(buffer, shards, n, n));
                    gradient_shards(isa, dz, x, normalization, outputs);
                    assert_same_bits(context, &buffers.concat(), &unfused_buffers.concat());

                    let sums = GradientSums { dgamma: &mean, dbeta: &beta, rows };
                    let mut dx = gradient.clone();
                    batch_norm_relu_dropout_backward(isa, x, normalization, sums, masked, MatMut::new(&mut dx, rows, n, ld));
                    let mut unfused = gradient.clone();
                    dropout_backward(isa, dropout, &mask, MatMut::new(&mut unfused, rows, n, ld));
                    batch_norm_backward(isa, x, normalization, sums, MatMut::new(&mut unfused, rows, n, ld));
                    assert_same_bits(context, &dx, &unfused);
                    let mut twin = gradient.clone();
                    let matrix = MatMut::new(&mut twin, rows, n, ld);
                    reference::batch_norm_relu_dropout_backward(isa, x, &normalization, &sums, masked, matrix);
                    assert_same_bits(context, &dx, &twin);
                }
            }
        }
    }
}
