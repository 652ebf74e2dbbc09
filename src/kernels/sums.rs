//! How quantities are summed over the rows of a minibatch, for some columns at a time, in the order that [`reduce`](super::reduce)
//! lays down.

use super::gemm::RowBlocks;
use super::matrix::MatMut;
use super::reduce::MICRO_SHARD;
use super::walk::{OnColumns, on_all_columns};
use crate::simd::{MapOp, Simd, SimdOp, slice, unroll};
use core::ops::Range;

/// `N` quantities that are summed over rows.
pub(super) trait Terms<const N: usize> {
    /// What belongs to some columns, and stays in registers from row to row.
    type Columns<S: Simd, const V: usize>: Copy;
    /// The number of rows.
    fn rows(&self) -> usize;
    /// Whether some rows lie at equal distances.
    fn in_one_block(&self, rows: Range<usize>) -> bool;
    /// Loads what belongs to columns in `V` vectors, of which only the last may be partial.
    fn columns<S: Simd, const V: usize>(&self, simd: S, columns: Range<usize>) -> Self::Columns<S, V>;
    /// Adds the quantities of `ROWS` rows in one block, one row after the other.
    fn add<S: Simd, const ROWS: usize, const V: usize>(
        &self,
        simd: S,
        first: usize,
        columns: Range<usize>,
        of_columns: Self::Columns<S, V>,
        sums: [[S::F32; V]; N],
    ) -> [[S::F32; V]; N];
}

/// The sums over the rows of one micro-shard.
#[inline(always)]
fn shard_of<S: Simd, T: Terms<N>, const N: usize, const V: usize>(
    simd: S,
    terms: &T,
    shard: usize,
    columns: Range<usize>,
    of_columns: T::Columns<S, V>,
) -> [[S::F32; V]; N] {
    let first = shard * MICRO_SHARD;
    let rows = first..terms.rows().min(first + MICRO_SHARD);
    // To which anything may be added without a change, even a negative zero.
    let mut sums = [[simd.splat(-0.0); V]; N];
    if rows.len() == MICRO_SHARD && terms.in_one_block(rows.clone()) {
        return terms.add::<S, MICRO_SHARD, V>(simd, first, columns, of_columns, sums);
    }
    for i in rows {
        sums = terms.add::<S, 1, V>(simd, i, columns.clone(), of_columns, sums);
    }
    sums
}

/// The tree of the sums of some columns.
pub(super) type TreeOfColumns<S, const N: usize, const V: usize> = Tree<[[<S as Simd>::F32; V]; N]>;

/// The sums over all rows. The tree may hold what it held for other columns.
#[inline(always)]
pub(super) fn total_of<S: Simd, T: Terms<N>, const N: usize, const V: usize>(
    simd: S,
    terms: &T,
    columns: Range<usize>,
    tree: &mut TreeOfColumns<S, N, V>,
) -> [[S::F32; V]; N] {
    let of_columns = terms.columns::<S, V>(simd, columns.clone());
    tree.clear();
    for shard in 0..terms.rows().div_ceil(MICRO_SHARD) {
        let sums = shard_of::<S, T, N, V>(simd, terms, shard, columns.clone(), of_columns);
        tree.push(sums, |a, b| add(simd, a, b));
    }
    tree.total([[simd.zero(); V]; N], |a, b| add(simd, a, b))
}

#[inline(always)]
fn add<S: Simd, const N: usize, const V: usize>(simd: S, mut a: [[S::F32; V]; N], b: [[S::F32; V]; N]) -> [[S::F32; V]; N] {
    unroll!(N, n => unroll!(V, j => a[n][j] = simd.add(a[n][j], b[n][j])));
    a
}

/// `outputs[j] = op(totals of column first + j, outputs[j])`
pub(super) struct Totals<'a, T, O, const N: usize, const M: usize> {
    pub(super) terms: T,
    pub(super) first: usize,
    pub(super) op: O,
    pub(super) outputs: [&'a mut [f32]; M],
}

/// The totals themselves.
pub(super) struct Replace;

impl<const N: usize> MapOp<N, N> for Replace {
    #[inline(always)]
    fn map<S: Simd>(&self, _: S, totals: [S::F32; N], _: [S::F32; N]) -> [S::F32; N] {
        totals
    }
}

impl<T: Terms<N>, O: MapOp<N, M>, const N: usize, const M: usize> SimdOp for Totals<'_, T, O, N, M> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let len = self.outputs.first().map_or(0, |output| output.len());
        on_all_columns(simd, len, &mut self);
    }
}

impl<T: Terms<N>, O: MapOp<N, M>, const N: usize, const M: usize> OnColumns for Totals<'_, T, O, N, M> {
    type Scratch<S: Simd, const V: usize> = TreeOfColumns<S, N, V>;
    #[inline(always)]
    fn scratch<S: Simd, const V: usize>(simd: S) -> TreeOfColumns<S, N, V> {
        Tree::new([[simd.zero(); V]; N])
    }
    #[inline(always)]
    fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, range: Range<usize>, tree: &mut TreeOfColumns<S, N, V>) {
        let totals = total_of(simd, &self.terms, self.first + range.start..self.first + range.end, tree);
        let mut outputs = [[simd.zero(); V]; M];
        unroll!(M, m => outputs[m] = slice::load(simd, &self.outputs[m][range.clone()]));
        unroll!(V, j => {
            let (mut of_vector, mut replaced) = ([simd.zero(); N], [simd.zero(); M]);
            unroll!(N, n => of_vector[n] = totals[n][j]);
            unroll!(M, m => replaced[m] = outputs[m][j]);
            let result = self.op.map(simd, of_vector, replaced);
            unroll!(M, m => outputs[m][j] = result[m]);
        });
        unroll!(M, m => slice::store(simd, outputs[m], &mut self.outputs[m][range.clone()]));
    }
}

/// Writes the sums of each micro-shard.
pub(super) struct Shards<'a, T, const N: usize> {
    pub(super) terms: T,
    pub(super) outputs: [MatMut<'a>; N],
}

impl<T: Terms<N>, const N: usize> SimdOp for Shards<'_, T, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let columns = self.outputs.first().map_or(0, MatMut::columns);
        on_all_columns(simd, columns, &mut self);
    }
}

impl<T: Terms<N>, const N: usize> OnColumns for Shards<'_, T, N> {
    type Scratch<S: Simd, const V: usize> = ();
    #[inline(always)]
    fn scratch<S: Simd, const V: usize>(_: S) {}
    #[inline(always)]
    fn on_columns<S: Simd, const V: usize>(&mut self, simd: S, columns: Range<usize>, (): &mut ()) {
        let of_columns = self.terms.columns::<S, V>(simd, columns.clone());
        for shard in 0..self.terms.rows().div_ceil(MICRO_SHARD) {
            let sums = shard_of::<S, T, N, V>(simd, &self.terms, shard, columns.clone(), of_columns);
            unroll!(N, n => slice::store(simd, sums[n], &mut self.outputs[n].row_mut(shard)[columns.clone()]));
        }
    }
}

/// `x`
pub(super) struct Values<'a>(pub(super) RowBlocks<'a>);

impl Terms<1> for Values<'_> {
    type Columns<S: Simd, const V: usize> = ();
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn in_one_block(&self, rows: Range<usize>) -> bool {
        self.0.in_one_block(rows)
    }
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&self, _: S, _: Range<usize>) {}
    #[inline(always)]
    fn add<S: Simd, const ROWS: usize, const V: usize>(
        &self,
        simd: S,
        first: usize,
        columns: Range<usize>,
        (): (),
        mut sums: [[S::F32; V]; 1],
    ) -> [[S::F32; V]; 1] {
        let (tile, x) = self.0.tile::<ROWS, V>(first, columns);
        for i in 0..ROWS {
            sums = add(simd, sums, [tile.load_row(simd, x, i)]);
        }
        sums
    }
}

/// Partial sums of 1, 2, 4, ... shards, of which those exist whose bit is set in the number of shards. A shard is whatever can be
/// added: a number, or the vectors of some columns.
///
/// To write all levels would take longer than to add a few shards, so most are made when there are so many.
pub(super) struct Tree<T> {
    low: [T; 2],
    middle: Option<[T; 4]>,
    /// In all there are enough for 2^32 shards.
    high: Option<[T; 26]>,
    shards: u32,
}

impl<T: Copy> Tree<T> {
    /// No shards yet, of which the sum is `zero`.
    #[inline(always)]
    pub(super) fn new(zero: T) -> Self {
        Self { low: [zero; _], middle: None, high: None, shards: 0 }
    }

    /// No shards again. What the levels hold stays there, but is not read.
    #[inline(always)]
    fn clear(&mut self) {
        self.shards = 0;
    }

    /// A level, `new` if there was none.
    #[inline(always)]
    fn level(&mut self, i: usize, new: T) -> &mut T {
        match i {
            0..2 => &mut self.low[i],
            2..6 => &mut self.middle.get_or_insert([new; _])[i - 2],
            _ => &mut self.high.get_or_insert([new; _])[i - 6],
        }
    }

    /// Adds a shard, and every level that it completes, like a carry.
    #[inline(always)]
    pub(super) fn push(&mut self, shard: T, add: impl Fn(T, T) -> T) {
        let mut carry = shard;
        let completed = self.shards.trailing_ones() as usize;
        for i in 0..completed {
            carry = add(*self.level(i, carry), carry);
        }
        *self.level(completed, carry) = carry;
        self.shards += 1;
    }

    /// The sum of all levels, from the shortest on; `zero` if there are no shards.
    #[inline(always)]
    pub(super) fn total(&mut self, zero: T, add: impl Fn(T, T) -> T) -> T {
        let mut total = None;
        for i in 0..(u32::BITS - self.shards.leading_zeros()) as usize {
            if self.shards >> i & 1 == 1 {
                let level = *self.level(i, zero);
                total = Some(total.map_or(level, |shorter| add(level, shorter)));
            }
        }
        total.unwrap_or(zero)
    }
}
