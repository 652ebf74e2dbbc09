//! Dropout: some outputs of a layer, chosen anew in each step of training, do not take part in it.
//!
//! | kernel | formula | in place | passes |
//! |---|---|---|---|
//! | [`dropout_forward`] | `x = keep ? x / (1 - rate) : 0`, `mask = keep` or `mask = mask and keep` | yes | 1 |
//! | [`dropout_backward`] | `dy = mask ? dy / (1 - rate) : 0` | yes | 1 |
//! | [`alpha_dropout_forward`] | `x = keep ? a x + b : a alpha' + b` | yes | 1 |
//! | [`alpha_dropout_backward`] | `dy = mask ? a dy : 0` | yes | 1 |
//! | [`dropout_mask`] | `mask = keep` or `mask = mask and keep` | | writes the mask only |
//!
//! `keep` is true where the uniform random number of the element is at least the rate. The comparison is one of integers: the 16 random
//! bits of the element against `rate * 2^16`, rounded to the nearest integer, but a rate between 0 and 1 drops at least one in 2^16 and keeps
//! at least one. More bits would take longer to make than the kernel needs for everything else, and so eight of them are shared with three other
//! elements (see [`rng`](super::rng)). Which bits belong to an element is a matter of [`Stream`] and of its row and column, so masks do not
//! depend on threads, on how the rows are shared, on leading dimensions or on the instruction set, and [`dropout_mask`] can make one again
//! that was not stored. Rows are drawn in pairs: an even row of the minibatch without the odd one behind it takes as long as both.
//!
//! The outputs that stay are divided by the share that stays ("inverted" dropout), so that inference needs no correction.
//!
//! **Masks** have a row for each row of the matrix, of one word for every sixteen columns, as
//! [`BiasedRelu`](super::gemm::BiasedRelu) writes them: bit `j % 16` of word `j / 16` belongs to column `j`, and bits beyond the last
//! column are 0. Joined with the mask of a ReLU ([`Combine::And`]), one mask serves the backward pass of both.
//!
//! **Alpha dropout** (Klambauer and others, "Self-normalizing neural networks", 2017) is for SELU: dropped elements become SELU's limit
//! `alpha' = -alpha * scale`, and `a = ((1 - rate)(1 + rate alpha'^2))^(-1/2)` and `b = -a alpha' rate` bring mean 0 and variance 1 back.

use super::matrix::{MatMut, MatRef};
use super::rng::{GROUP, Generator, Stream};
use super::walk::{BEYOND_CACHES, LARGE};
use crate::simd::{Isa, LANES, Simd, SimdOp, first_bits, slice, unroll};
use core::fmt;
use core::ops::Range;

/// A rate of dropout that there cannot be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateError {
    /// The rate.
    pub found: f64,
    /// Whether a rate of 1 would have been possible.
    pub one_allowed: bool,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = if self.one_allowed { "to 1" } else { "to below 1" };
        write!(f, "a dropout rate from 0 {limit} expected, found {}", self.found)
    }
}

impl core::error::Error for RateError {}

/// The random numbers of 16 bits that are dropped are those below: none below 0, all below 2^16.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Threshold(u32);

impl Threshold {
    fn new(rate: f64) -> Self {
        Self(match rate {
            0.0 => 0,
            1.0 => 1 << 16,
            _ => libm::round(rate * 65536.0).clamp(1.0, 65535.0) as u32,
        })
    }

    /// What is kept of a piece. What will be read and written then comes while numbers are drawn.
    #[inline(always)]
    fn draw<S: Simd>(self, simd: S, generator: &Generator, (rows, columns): &Piece, ahead: Ahead<'_>) -> Kept {
        if self.0 == 0 {
            return all_of(columns.len());
        }
        let mut kept = [[0; COLUMNS / LANES]; ROWS];
        for first in columns.clone().step_by(GROUP) {
            let blocks = generator.blocks_of_draws(simd, first / GROUP);
            let (word, left) = ((first - columns.start) / LANES, columns.end - first);
            let words = word..word + GROUP / LANES;
            let mut i = 0;
            while i < rows.len() {
                let row = generator.row(rows.start + i);
                let draws = generator.draws(simd, &blocks, row);
                if row.is_multiple_of(2) {
                    kept[i][words.clone()].copy_from_slice(&kept_bits(simd, draws.below::<0>(simd, self.0), left));
                    i += 1;
                }
                if i < rows.len() {
                    kept[i][words.clone()].copy_from_slice(&kept_bits(simd, draws.below::<1>(simd, self.0), left));
                    i += 1;
                }
            }
            ahead.ask(simd, rows.clone(), first..columns.end.min(first + GROUP));
        }
        kept
    }
}

/// The matrices that pieces are taken from and written to, as far as it is worth it to ask for their elements.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    isa: Isa,
    x: Option<MatRef<'a>>,
    y: Option<MatRef<'a>>,
}

impl<'a> Ahead<'a> {
    /// Nothing is asked for.
    pub(super) const NOTHING: Self = Self { isa: Isa::PORTABLE, x: None, y: None };

    /// For work in place.
    #[inline(always)]
    fn in_place(isa: Isa, x: MatRef<'a>) -> Self {
        Self { isa, x: Some(x).filter(|x| x.rows() * x.columns() >= LARGE), y: None }
    }

    /// For work from one matrix to another of its size.
    #[inline(always)]
    pub(super) fn new(isa: Isa, x: MatRef<'a>, y: MatRef<'a>) -> Self {
        Self { y: Some(y).filter(|y| y.rows() * y.columns() >= BEYOND_CACHES), ..Self::in_place(isa, x) }
    }

    /// Asks for some columns of some rows of `x`, and of `y` for those of the rows that come after a piece: both at once are more than come
    /// in the time. Only on Intel's processors as what will be written, which is asked for in level 1.
    #[inline(always)]
    fn ask<S: Simd>(&self, simd: S, rows: Range<usize>, columns: Range<usize>) {
        for i in rows {
            if let Some(x) = self.x {
                for line in x.row(i)[columns.clone()].chunks(LANES) {
                    self.isa.prefetch_from_memory(simd, line.as_ptr());
                }
            }
            if let Some(y) = self.y.filter(|y| i + ROWS < y.rows()) {
                for line in y.row(i + ROWS)[columns.clone()].chunks(LANES) {
                    if self.isa.is_intel() { simd.prefetch_to_write(line.as_ptr()) } else { simd.prefetch::<2>(line.as_ptr()) }
                }
            }
        }
    }
}

/// Some rows and columns that are drawn for before they are used: at most [`ROWS`] and [`COLUMNS`], from a multiple of [`GROUP`] on.
pub(super) type Piece = (Range<usize>, Range<usize>);

/// The most rows of a piece: two pairs, for which what belongs to columns is worked out once.
pub(super) const ROWS: usize = 4;

/// The most columns of a piece: 4 KiB of a row.
const COLUMNS: usize = 16 * GROUP;

/// What is kept of a piece: of each row a word for sixteen columns.
pub(super) type Kept = [[u16; COLUMNS / LANES]; ROWS];

/// Everything is kept.
pub(super) const KEPT: Kept = [[u16::MAX; COLUMNS / LANES]; ROWS];

/// Every column of a piece is kept.
#[inline(never)]
fn all_of(columns: usize) -> Kept {
    let (whole, rest) = (columns / LANES, columns % LANES);
    let mut kept = KEPT;
    if rest > 0 {
        kept.iter_mut().for_each(|row| row[whole] = first_bits(rest));
    }
    kept
}

/// The pieces of a matrix in the order of their addresses. Row 0 is row `row_0` of the minibatch; pairs of rows are not separated.
pub(super) fn pieces(row_0: u32, rows: usize, columns: usize) -> impl Iterator<Item = Piece> {
    let less = row_0 as usize % 2;
    let rows = (0..rows + less).step_by(ROWS).map(move |row| row.saturating_sub(less)..rows.min(row + ROWS - less));
    let columns = move || (0..columns).step_by(COLUMNS).map(move |first| first..columns.min(first + COLUMNS));
    rows.flat_map(move |rows| columns().map(move |columns| (rows.clone(), columns)))
}

/// Dropout of a certain rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f64,
    threshold: Threshold,
    scale: f32,
}

impl Dropout {
    /// No dropout: rate 0.
    pub const NONE: Self = Self { rate: 0.0, threshold: Threshold(0), scale: 1.0 };

    /// Drops each element with probability `rate`. Rate 0 changes nothing, rate 1 drops everything.
    ///
    /// # Errors
    /// If the rate is not from 0 to 1.
    pub fn new(rate: f64) -> Result<Self, RateError> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(RateError { found: rate, one_allowed: true });
        }
        Ok(Self { rate, threshold: Threshold::new(rate), scale: (1.0 / (1.0 - rate)) as f32 })
    }

    /// The probability of being dropped.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The factor of what is kept: `1 / (1 - rate)`, infinite at rate 1.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Whether an element may be dropped.
    #[inline(always)]
    pub(super) fn drops(&self) -> bool {
        self.threshold.0 > 0
    }

    /// What is kept of a piece. What will be read and written then comes while numbers are drawn.
    #[inline(always)]
    pub(super) fn draw<S: Simd>(&self, simd: S, generator: &Generator, piece: &Piece, ahead: Ahead<'_>) -> Kept {
        self.threshold.draw(simd, generator, piece, ahead)
    }
}

/// Alpha dropout of a certain rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlphaDropout {
    rate: f64,
    threshold: Threshold,
    a: f32,
    b: f32,
    dropped: f32,
}

impl AlphaDropout {
    /// The limit of SELU towards negative infinity: `-1.6732632423543772848 * 1.0507009873554804935`.
    pub const ALPHA: f64 = -1.758_099_340_847_376_6;

    /// Drops each element with probability `rate`. Rate 0 changes nothing.
    ///
    /// # Errors
    /// If the rate is not from 0 to below 1.
    pub fn new(rate: f64) -> Result<Self, RateError> {
        if !(0.0..1.0).contains(&rate) {
            return Err(RateError { found: rate, one_allowed: false });
        }
        let a = 1.0 / libm::sqrt((1.0 - rate) * (1.0 + rate * Self::ALPHA * Self::ALPHA));
        // Negative zero, unlike zero, changes no number that it is added to.
        let b = if rate == 0.0 { -0.0 } else { -a * Self::ALPHA * rate };
        Ok(Self { rate, threshold: Threshold::new(rate), a: a as f32, b: b as f32, dropped: (a * Self::ALPHA + b) as f32 })
    }

    /// The probability of being dropped.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The factor `a` of what is kept.
    pub fn scale(&self) -> f32 {
        self.a
    }

    /// What is added to what is kept: `b`.
    pub fn shift(&self) -> f32 {
        self.b
    }

    /// What takes the place of what is dropped.
    pub fn dropped(&self) -> f32 {
        self.dropped
    }
}

/// What a new mask does to the one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Takes its place.
    Replace,
    /// Is joined with it: what either drops is dropped.
    And,
}

/// A rule for one vector.
trait Rule: Copy {
    fn kept<S: Simd>(&self, simd: S, x: S::F32) -> S::F32;
    fn dropped<S: Simd>(&self, simd: S) -> S::F32;

    /// Some columns of a row, whose words of a mask say which are kept.
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, words: &[u16], x: &mut [f32]) {
        let (groups, rest) = x.as_chunks_mut::<GROUP>();
        let (of_groups, of_rest) = words.split_at(groups.len() * (GROUP / LANES));
        for (x, words) in groups.iter_mut().zip(of_groups.as_chunks::<{ GROUP / LANES }>().0) {
            let (mut values, masks) = (slice::load::<S, 4>(simd, x), masks(simd, *words));
            unroll!(4, j => values[j] = simd.select(masks[j], self.kept(simd, values[j]), self.dropped(simd)));
            slice::store(simd, values, x);
        }
        for (x, &word) in rest.chunks_mut(LANES).zip(of_rest) {
            let kept = self.kept(simd, simd.load_first(x));
            simd.store_first(simd.select(simd.mask_from_bits(word), kept, self.dropped(simd)), x);
        }
    }
}

/// What is kept times a factor.
#[derive(Clone, Copy)]
struct Factor(f32);

impl Rule for Factor {
    #[inline(always)]
    fn kept<S: Simd>(&self, simd: S, x: S::F32) -> S::F32 {
        simd.mul(x, simd.splat(self.0))
    }
    #[inline(always)]
    fn dropped<S: Simd>(&self, simd: S) -> S::F32 {
        simd.zero()
    }
}

impl Rule for AlphaDropout {
    #[inline(always)]
    fn kept<S: Simd>(&self, simd: S, x: S::F32) -> S::F32 {
        simd.mul_add(simd.splat(self.a), x, simd.splat(self.b))
    }
    #[inline(always)]
    fn dropped<S: Simd>(&self, simd: S) -> S::F32 {
        simd.splat(self.dropped)
    }
}

/// Words of a mask of `rows` rows and `columns` columns.
pub const fn mask_len(rows: usize, columns: usize) -> usize {
    rows * columns.div_ceil(LANES)
}

#[track_caller]
pub(super) fn check_mask(rows: usize, columns: usize, mask: &[u16]) {
    let words = mask_len(rows, columns);
    assert!(mask.len() == words, "a mask of {words} words expected, found {}", mask.len());
}

/// `x = keep ? x / (1 - rate) : 0`. The mask may be empty if it is to be replaced and is not wanted.
///
/// With [`Combine::And`] the mask decides together with `keep`: what a ReLU has made 0 stays 0.
///
/// # Shapes
/// `x: [m, n]`, `mask: [m, n.div_ceil(16)]`.
///
/// # Panics
/// If the mask has another length.
#[track_caller]
pub fn dropout_forward(isa: Isa, dropout: Dropout, stream: Stream, x: MatMut<'_>, mask: &mut [u16], combine: Combine) {
    forward(isa, (dropout.threshold, Factor(dropout.scale)), stream, x, mask, combine);
}

/// `x = keep ? a x + b : a alpha' + b`. The mask may be empty if it is not wanted.
///
/// # Shapes
/// `x: [m, n]`, `mask: [m, n.div_ceil(16)]`.
///
/// # Panics
/// If the mask has another length.
#[track_caller]
pub fn alpha_dropout_forward(isa: Isa, dropout: AlphaDropout, stream: Stream, x: MatMut<'_>, mask: &mut [u16]) {
    forward(isa, (dropout.threshold, dropout), stream, x, mask, Combine::Replace);
}

#[track_caller]
fn forward(isa: Isa, (threshold, rule): (Threshold, impl Rule), stream: Stream, x: MatMut<'_>, mask: &mut [u16], combine: Combine) {
    if combine == Combine::And || !mask.is_empty() {
        check_mask(x.rows(), x.columns(), mask);
    }
    isa.run(Forward { isa, threshold, rule, generator: stream.into(), x, mask, combine });
}

struct Forward<'a, R> {
    isa: Isa,
    threshold: Threshold,
    rule: R,
    generator: Generator,
    x: MatMut<'a>,
    mask: &'a mut [u16],
    combine: Combine,
}

impl<R: Rule> SimdOp for Forward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { isa, threshold, rule, generator, mut x, mask, combine } = self;
        let (rows, columns) = (x.rows(), x.columns());
        for piece in pieces(generator.row(0), rows, columns) {
            let mut kept = threshold.draw(simd, &generator, &piece, Ahead::in_place(isa, x.as_ref()));
            if !mask.is_empty() {
                combine_words(mask, columns, &piece, combine, &mut kept);
            }
            let (rows, columns) = piece;
            for (i, words) in rows.zip(&kept) {
                rule.apply(simd, &words[..columns.len().div_ceil(LANES)], &mut x.row_mut(i)[columns.clone()]);
            }
        }
    }
}

/// Combines the words of a piece with those of a mask for `columns` columns: both become the same.
#[inline(always)]
fn combine_words(mask: &mut [u16], columns: usize, (rows, of_piece): &Piece, combine: Combine, kept: &mut Kept) {
    let (words_per_row, first) = (columns.div_ceil(LANES), of_piece.start / LANES);
    for (i, kept) in rows.clone().zip(kept) {
        let words = &mut mask[i * words_per_row + first..][..of_piece.len().div_ceil(LANES)];
        let kept = &mut kept[..words.len()];
        if combine == Combine::And {
            for (kept, word) in kept.iter_mut().zip(&*words) {
                *kept &= word;
            }
        }
        words.copy_from_slice(kept);
    }
}

/// The words of a mask for some vectors of columns, of which `columns` are columns of the matrix: what is not dropped.
///
/// What is dropped is a mask of vectors until here, because one of bits is not free to turn into.
#[inline(always)]
pub(super) fn kept_bits<S: Simd, const V: usize>(simd: S, dropped: [S::Mask; V], columns: usize) -> [u16; V] {
    // What is done for vectors beyond the last one is left out when code is generated.
    let (mut four, mut words) = ([dropped[0]; 4], [0; V]);
    unroll!(V, j => four[j] = dropped[j]);
    let of_columns = if columns >= V * LANES { u64::MAX } else { (1 << columns) - 1 };
    let bits = !simd.masks_to_bits(four) & of_columns;
    unroll!(V, j => words[j] = (bits >> (16 * j)) as u16);
    words
}

/// The counterpart of [`kept_bits`]: the lanes whose bits are set.
#[inline(always)]
pub(super) fn masks<S: Simd, const V: usize>(simd: S, words: [u16; V]) -> [S::Mask; V] {
    let mut bits = 0;
    unroll!(V, j => bits |= u64::from(words[j]) << (16 * j));
    let four = simd.masks_from_bits(bits);
    let mut masks = [four[0]; V];
    unroll!(V, j => masks[j] = four[j]);
    masks
}

/// The mask alone, as [`dropout_forward`] makes it.
///
/// # Shapes
/// `mask: [m, columns.div_ceil(16)]` for any `m`.
///
/// # Panics
/// If the mask does not have whole rows.
#[track_caller]
pub fn dropout_mask(isa: Isa, dropout: Dropout, stream: Stream, columns: usize, mask: &mut [u16], combine: Combine) {
    let words = columns.div_ceil(LANES);
    assert!(
        mask.is_empty() || words > 0 && mask.len().is_multiple_of(words),
        "rows of {words} words expected, found {}",
        mask.len()
    );
    isa.run(Mask { threshold: dropout.threshold, generator: stream.into(), columns, mask, combine });
}

struct Mask<'a> {
    threshold: Threshold,
    generator: Generator,
    columns: usize,
    mask: &'a mut [u16],
    combine: Combine,
}

impl SimdOp for Mask<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.mask.len() / self.columns.div_ceil(LANES).max(1);
        for piece in pieces(self.generator.row(0), rows, self.columns) {
            let mut kept = self.threshold.draw(simd, &self.generator, &piece, Ahead::NOTHING);
            combine_words(self.mask, self.columns, &piece, self.combine, &mut kept);
        }
    }
}

/// `dy = mask ? dy / (1 - rate) : 0`: the gradient by the input of dropout, and of a ReLU before it if the mask is that of both.
///
/// # Shapes
/// `mask: [m, n.div_ceil(16)]`, `dy: [m, n]`.
///
/// # Panics
/// If the mask has another length.
#[track_caller]
pub fn dropout_backward(isa: Isa, dropout: Dropout, mask: &[u16], dy: MatMut<'_>) {
    check_mask(dy.rows(), dy.columns(), mask);
    isa.run(Backward { rule: Factor(dropout.scale), mask, dy });
}

/// `dy = mask ? a dy : 0`: the gradient by the input of alpha dropout.
///
/// # Shapes
/// `mask: [m, n.div_ceil(16)]`, `dy: [m, n]`.
///
/// # Panics
/// If the mask has another length.
#[track_caller]
pub fn alpha_dropout_backward(isa: Isa, dropout: AlphaDropout, mask: &[u16], dy: MatMut<'_>) {
    check_mask(dy.rows(), dy.columns(), mask);
    isa.run(Backward { rule: Factor(dropout.a), mask, dy });
}

struct Backward<'a> {
    rule: Factor,
    mask: &'a [u16],
    dy: MatMut<'a>,
}

impl SimdOp for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let words_per_row = self.dy.columns().div_ceil(LANES);
        for i in 0..self.dy.rows() {
            self.rule.apply(simd, &self.mask[i * words_per_row..][..words_per_row], self.dy.row_mut(i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::ends::biased_relu;
    use crate::kernels::MatRef;
    use crate::kernels::gemm::gemm;
    use crate::kernels::rng::uniform;
    use crate::reference::dropout as reference;
    use crate::reference::samples::{assert_same_bits, matrix, numbers};
    use std::vec;
    use std::vec::Vec;

    const STREAM: Stream = Stream { seed: 42, step: 7, layer: 1, first_row: 5 };

    fn full_mask(rows: usize, columns: usize) -> Vec<u16> {
        let row = (0..columns.div_ceil(LANES))
            .map(|word| if columns - word * LANES >= LANES { u16::MAX } else { (1 << (columns % LANES)) - 1 });
        row.collect::<Vec<u16>>().repeat(rows)
    }

    #[test]
    fn kernels_equal_their_twins() {
        for isa in Isa::available() {
            for columns in (0..=33).chain([63, 64, 65, 130, 1100]).filter(|n| !cfg!(miri) || [16, 65].contains(n)) {
                for (rate, ld) in [(0.0, columns), (0.3, columns + 5), (0.5, columns), (1.0, columns + 1)] {
                    // So many that they are taken in several goes, both in a cache and from memory.
                    let (rows, context) = (if cfg!(miri) { 3 } else { 19 }, (isa, columns, rate));
                    let dropout = Dropout::new(rate).expect("a rate");
                    let before = matrix(1, rows, columns, ld);
                    let (mut found, mut expected) = (before.clone(), before.clone());
                    let mut expected_mask = full_mask(rows, columns);
                    reference::dropout_forward(dropout, STREAM, MatMut::new(&mut expected, rows, columns, ld), &mut expected_mask);
                    let mut mask = vec![0xabcd; mask_len(rows, columns)];
                    dropout_forward(isa, dropout, STREAM, MatMut::new(&mut found, rows, columns, ld), &mut mask, Combine::Replace);
                    assert_same_bits(context, &found, &expected);
                    assert_eq!(mask, expected_mask, "{context:?}");
                    // Without a mask, and the mask alone.
                    found.copy_from_slice(&before);
                    dropout_forward(isa, dropout, STREAM, MatMut::new(&mut found, rows, columns, ld), &mut [], Combine::Replace);
                    assert_same_bits(context, &found, &expected);
                    mask.fill(0xabcd);
                    dropout_mask(isa, dropout, STREAM, columns, &mut mask, Combine::Replace);
                    assert_eq!(mask, expected_mask, "{context:?}");
                    // Joined with another mask.
                    let other: Vec<u16> = full_mask(rows, columns).iter().map(|word| word & 0x5a3c).collect();
                    let mut expected_mask = other.clone();
                    expected.copy_from_slice(&before);
                    reference::dropout_forward(dropout, STREAM, MatMut::new(&mut expected, rows, columns, ld), &mut expected_mask);
                    found.copy_from_slice(&before);
                    mask.copy_from_slice(&other);
                    dropout_forward(isa, dropout, STREAM, MatMut::new(&mut found, rows, columns, ld), &mut mask, Combine::And);
                    assert_same_bits(context, &found, &expected);
                    assert_eq!(mask, expected_mask, "{context:?}");
                    mask.copy_from_slice(&other);
                    dropout_mask(isa, dropout, STREAM, columns, &mut mask, Combine::And);
                    assert_eq!(mask, expected_mask, "{context:?}");
                    // Backward.
                    (found, expected) = (before.clone(), before.clone());
                    dropout_backward(isa, dropout, &mask, MatMut::new(&mut found, rows, columns, ld));
                    reference::masked_scale(dropout.scale(), &mask, MatMut::new(&mut expected, rows, columns, ld));
                    assert_same_bits(context, &found, &expected);
                    if rate < 1.0 {
                        let alpha = AlphaDropout::new(rate).expect("a rate");
                        (found, expected) = (before.clone(), before.clone());
                        alpha_dropout_forward(isa, alpha, STREAM, MatMut::new(&mut found, rows, columns, ld), &mut mask);
                        reference::alpha_dropout_forward(isa, alpha, STREAM, MatMut::new(&mut expected, rows, columns, ld));
                        assert_same_bits(context, &found, &expected);
                        let mut keep = vec![0; mask.len()];
                        dropout_mask(isa, dropout, STREAM, columns, &mut keep, Combine::Replace);
                        assert_eq!(mask, keep, "{context:?}");
                        (found, expected) = (before.clone(), before.clone());
                        alpha_dropout_backward(isa, alpha, &mask, MatMut::new(&mut found, rows, columns, ld));
                        reference::masked_scale(alpha.scale(), &mask, MatMut::new(&mut expected, rows, columns, ld));
                        assert_same_bits(context, &found, &expected);
                    }
                }
            }
        }
    }

    #[test]
    fn rate_0_changes_no_bit_and_rate_1_leaves_nothing() {
        let before = matrix(1, 2, 40, 40);
        for isa in Isa::available() {
            let mut x = before.clone();
            dropout_forward(
                isa,
                Dropout::new(0.0).expect("a rate"),
                STREAM,
                MatMut::new(&mut x, 2, 40, 40),
                &mut [],
                Combine::Replace,
            );
            assert_same_bits(isa, &x, &before);
            alpha_dropout_forward(isa, AlphaDropout::new(0.0).expect("a rate"), STREAM, MatMut::new(&mut x, 2, 40, 40), &mut []);
            assert_same_bits(isa, &x, &before);
            dropout_forward(
                isa,
                Dropout::new(1.0).expect("a rate"),
                STREAM,
                MatMut::new(&mut x, 2, 40, 40),
                &mut [],
                Combine::Replace,
            );
            assert_same_bits(isa, &x, &[0.0; 80]);
        }
    }

    /// Where the upper byte is one of its ends, or the lower one is.
    #[test]
    fn every_kind_of_threshold_is_that_of_the_twin() {
        let (rows, columns) = (if cfg!(miri) { 2 } else { 64 }, 64);
        for isa in Isa::available() {
            for first_kept in [1, 2, 255, 256, 257, 0x7fff, 0x8000, 0x8001, 0xfeff, 0xff00, 0xff01, 0xfffe, 0xffff] {
                let rate = f64::from(first_kept) / 65536.0;
                let mut mask = vec![0; mask_len(rows, columns)];
                dropout_mask(isa, Dropout::new(rate).expect("a rate"), STREAM, columns, &mut mask, Combine::Replace);
                for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                    assert_eq!(
                        reference::bit(&mask, columns, i, j),
                        reference::keeps(rate, STREAM, i, j),
                        "{isa} {first_kept} {i} {j}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_number_equal_to_the_rate_is_kept() {
        for isa in Isa::available() {
            for j in 0..70 {
                let number = f64::from(crate::reference::rng::half(STREAM, 0, j));
                for (beyond, kept) in [(0.0, true), (0.4, true), (0.5, false), (1.0, false)] {
                    let dropout = Dropout::new((number + beyond) / 65536.0).expect("a rate");
                    let mut mask = [0; 5];
                    dropout_mask(isa, dropout, STREAM, 70, &mut mask, Combine::Replace);
                    assert_eq!(reference::bit(&mask, 70, 0, j), kept, "{isa} {j} {beyond}");
                }
            }
        }
    }

    #[test]
    fn the_smallest_rate_drops_something_and_the_largest_keeps_something() {
        let (rows, columns) = (2048, 1024);
        for (rate, expected) in [(1e-9, 1.0), (1.0 - 1e-9, 65535.0)] {
            let dropout = Dropout::new(rate).expect("a rate");
            let mut mask = vec![0; mask_len(rows, columns)];
            dropout_mask(Isa::detect(), dropout, STREAM, columns, &mut mask, Combine::Replace);
            let dropped: u32 = mask.iter().map(|word| word.count_zeros()).sum();
            let draws = (rows * columns) as f64 / 65536.0;
            assert!(
                (f64::from(dropped) - draws * expected).abs() < 4.0 * draws.sqrt(),
                "rate {rate}: {dropped} of {draws} * 65536"
            );
        }
    }

    #[test]
    fn masks_do_not_depend_on_the_split_of_the_rows() {
        let dropout = Dropout::new(0.4).expect("a rate");
        let (rows, columns) = (13, 70usize);
        let words = columns.div_ceil(LANES);
        let mut whole = vec![0; rows * words];
        dropout_mask(Isa::detect(), dropout, STREAM, columns, &mut whole, Combine::Replace);
        for isa in Isa::available() {
            for first in 0..rows {
                let mut parts = vec![0; rows * words];
                let (low, high) = parts.split_at_mut(first * words);
                dropout_mask(isa, dropout, STREAM, columns, low, Combine::Replace);
                let rest = Stream { first_row: STREAM.first_row + first as u32, ..STREAM };
                dropout_mask(isa, dropout, rest, columns, high, Combine::Replace);
                assert_eq!(parts, whole, "{isa} {first}");
            }
        }
    }

    #[test]
    fn one_mask_serves_relu_and_dropout() {
        let (m, k, n) = (4, 3, 37);
        let dropout = Dropout::new(0.5).expect("a rate");
        let (a, b, bias) = (numbers(1, m * k), numbers(2, k * n), numbers(3, n));
        for isa in Isa::available() {
            let (mut y, mut mask) = (vec![0.0; m * n], vec![0; mask_len(m, n)]);
            let c = MatMut::new(&mut y, m, n, n);
            gemm(isa, MatRef::new(&a, m, k, k), MatRef::new(&b, k, n, n), &mut biased_relu(&bias, c, &mut mask));
            let relu = (y.clone(), mask.clone());
            dropout_forward(isa, dropout, STREAM, MatMut::new(&mut y, m, n, n), &mut mask, Combine::And);
            let mut dy = vec![1.0; m * n];
            dropout_backward(isa, dropout, &mask, MatMut::new(&mut dy, m, n, n));
            for i in 0..m {
                for j in 0..n {
                    let keep = relu.0[i * n + j] > 0.0 && reference::keeps(0.5, STREAM, i, j);
                    assert_eq!(reference::bit(&mask, n, i, j), keep);
                    assert_eq!(y[i * n + j], if keep { 2.0 * relu.0[i * n + j] } else { 0.0 });
                    assert_eq!(dy[i * n + j], if keep { 2.0 } else { 0.0 });
                }
            }
        }
    }

    /// At a rate that upper bytes decide alone, and at one where lower ones decide, too.
    #[test]
    fn neighbours_are_independent() {
        let (rows, columns) = (400, 640);
        let n = (rows * columns) as f64;
        for rate in [0.5, 0.3] {
            let dropout = Dropout::new(rate).expect("a rate");
            let draw = |stream| {
                let mut mask = vec![0; mask_len(rows, columns)];
                dropout_mask(Isa::detect(), dropout, stream, columns, &mut mask, Combine::Replace);
                mask
            };
            let mask = draw(STREAM);
            let others = [
                ("seed", draw(Stream { seed: 43, ..STREAM })),
                ("step", draw(Stream { step: 8, ..STREAM })),
                ("layer", draw(Stream { layer: 2, ..STREAM })),
                ("row", draw(Stream { first_row: 6, ..STREAM })),
                ("pair of rows", draw(Stream { first_row: 7, ..STREAM })),
                ("column", mask.iter().map(|word| word.rotate_left(1)).collect()),
                ("word", mask.iter().skip(1).chain(&mask[..1]).copied().collect()),
                ("group", mask.iter().skip(4).chain(&mask[..4]).copied().collect()),
            ];
            let alike = rate * rate + (1.0 - rate) * (1.0 - rate);
            for (name, other) in others {
                let equal: u32 = mask.iter().zip(&other).map(|(a, b)| (a ^ b).count_zeros()).sum();
                let distance = (f64::from(equal) - n * alike) / (n * alike * (1.0 - alike)).sqrt();
                assert!(distance.abs() < 4.0, "rate {rate}, {name}: {distance} deviations off");
            }
        }
    }

    #[test]
    fn alpha_dropout_keeps_mean_and_variance() {
        for (rate, a, b) in
            [(0.1, 0.9212845162, 0.1619709701), (0.2, 0.8789035834, 0.3090399621), (0.5, 0.8864048947, 0.7791939305)]
        {
            let dropout = AlphaDropout::new(rate).expect("a rate");
            assert!((f64::from(dropout.scale()) - a).abs() < 1e-7 && (f64::from(dropout.shift()) - b).abs() < 1e-7, "{rate}");
            assert!((f64::from(dropout.dropped()) - (a * AlphaDropout::ALPHA + b)).abs() < 2e-7, "{rate}");
            // Over numbers of mean 0 and variance 1: 2 sqrt(3) times a uniform one around 0.
            let (rows, columns) = (500, 640);
            let mut x = vec![0.0; rows * columns];
            uniform(Isa::detect(), Stream { seed: 9, ..STREAM }, MatMut::new(&mut x, rows, columns, columns));
            x.iter_mut().for_each(|x| *x = (*x - 0.5) * 12f32.sqrt());
            alpha_dropout_forward(Isa::detect(), dropout, STREAM, MatMut::new(&mut x, rows, columns, columns), &mut []);
            let n = x.len() as f64;
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 4.0 / n.sqrt() && (variance - 1.0).abs() < 8.0 / n.sqrt(), "{rate}: {mean} {variance}");
        }
        let exact = -1.673_263_242_354_377_3_f64 * 1.050_700_987_355_480_5;
        assert!((AlphaDropout::ALPHA - exact).abs() < 1e-15);
    }

    #[test]
    fn impossible_rates_are_refused() {
        for rate in [-0.1, 1.5, f64::NAN, f64::INFINITY] {
            assert!(Dropout::new(rate).is_err());
            assert!(AlphaDropout::new(rate).is_err());
        }
        assert!(Dropout::new(1.0).is_ok());
        let error = AlphaDropout::new(1.0).expect_err("a refusal");
        assert_eq!(std::format!("{error}"), "a dropout rate from 0 to below 1 expected, found 1");
        assert_eq!(Dropout::new(0.2).expect("a rate").scale(), 1.25);
    }
}
