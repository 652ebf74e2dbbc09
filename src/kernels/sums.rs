//! How quantities are summed over the rows of a minibatch, for some columns at a time, in the order that [`reduce`](super::reduce)
//! lays down.

use super::gemm::RowBlocks;
use super::matrix::MatMut;
use super::reduce::MICRO_SHARD;
use super::walk::{LARGE, OnColumns, on_all_columns};
use crate::simd::{Isa, LANES, MapOp, Simd, SimdOp, slice, unroll};
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
    /// Asks for what belongs to a column in `ROWS` rows, if those are in one block, or lies where it would if there were more of both.
    fn fetch<S: Simd, const ROWS: usize>(&self, simd: S, isa: Isa, first: usize, column: usize);
}

/// The rows of a micro-shard.
#[inline(always)]
fn rows_of<const N: usize>(terms: &impl Terms<N>, shard: usize) -> Range<usize> {
    let first = shard * MICRO_SHARD;
    first..terms.rows().min(first + MICRO_SHARD)
}

/// To which anything may be added without a change, even a negative zero.
const NOTHING: f32 = -0.0;

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
        let rows = rows_of(terms, shard);
        let mut sums = [[simd.splat(NOTHING); V]; N];
        if rows.len() == MICRO_SHARD && terms.in_one_block(rows.clone()) {
            sums = terms.add::<S, MICRO_SHARD, V>(simd, rows.start, columns.clone(), of_columns, sums);
        } else {
            for row in rows {
                sums = terms.add::<S, 1, V>(simd, row, columns.clone(), of_columns, sums);
            }
        }
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
struct Replace;

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

/// Writes the sums over each of some micro-shards, for some columns of the terms.
struct Shards<'a, T, const N: usize> {
    terms: T,
    shards: Range<usize>,
    first: usize,
    outputs: [MatMut<'a>; N],
    isa: Isa,
}

/// How many elements of the terms are asked for before their use: more than memory sends while it answers a request.
const ELEMENTS_AHEAD: usize = 1 << 12;

impl<T: Terms<N>, const N: usize> SimdOp for Shards<'_, T, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Of 1, 2, 4, 8 and 16 rows, with 1, 2 and 4 vectors of each, these of one vector are the best for most matrices: 4 on a Zen 5, 8 on a Xeon and
        // on a Zen 4. Where lines cannot be asked for, a processor has to foresee them, and does so in more streams.
        if const { S::PREFETCHES } {
            match self.isa.is_intel() || self.isa.waits_in_level_2() {
                true => self.by_rows::<S, 8>(simd),
                false => self.by_rows::<S, 4>(simd),
            }
        } else if const { N == 1 } {
            self.by_rows::<S, 16>(simd);
        } else {
            self.by_rows::<S, 8>(simd);
        }
    }
}

impl<T: Terms<N>, const N: usize> Shards<'_, T, N> {
    /// Adds so many rows to sums in memory before the next.
    #[inline(always)]
    fn by_rows<S: Simd, const ROWS: usize>(mut self, simd: S) {
        for (output, shard) in self.shards.clone().enumerate() {
            let rows = rows_of(&self.terms, shard);
            let mut sums = self.outputs.each_mut().map(|sums| sums.row_mut(output));
            sums.iter_mut().for_each(|sums| sums.fill(NOTHING));
            for first in rows.clone().step_by(ROWS) {
                let together = first..rows.end.min(first + ROWS);
                if together.len() == ROWS && self.terms.in_one_block(together.clone()) {
                    add_rows::<S, T, N, ROWS>(simd, self.isa, &self.terms, first, self.first, &mut sums);
                } else {
                    for row in together {
                        add_rows::<S, T, N, 1>(simd, self.isa, &self.terms, row, self.first, &mut sums);
                    }
                }
            }
        }
    }
}

/// Adds `ROWS` rows in one block to the sums of the columns from `first_column` on, and asks for rows that come later.
///
/// All columns of a few rows before the next rows, because so memory is read in the order in which it lies there.
#[inline(always)]
fn add_rows<S: Simd, T: Terms<N>, const N: usize, const ROWS: usize>(
    simd: S,
    isa: Isa,
    terms: &T,
    first: usize,
    first_column: usize,
    sums: &mut [&mut [f32]; N],
) {
    let len = sums.first().map_or(0, |sums| sums.len());
    let later = first + (ELEMENTS_AHEAD / N).div_ceil(len.max(1)).next_multiple_of(ROWS);
    // Vectors that are known to be whole take fewer instructions. But the faster requests follow each other, the fewer are heard: with them
    // that loop is a fifth slower.
    let known = if const { S::PREFETCHES } { 0 } else { len - len % LANES };
    for start in (0..known).step_by(LANES) {
        add_vector::<S, T, N, ROWS>(simd, terms, first, first_column, start..start + LANES, sums);
    }
    for start in (known..len).step_by(LANES) {
        terms.fetch::<S, ROWS>(simd, isa, later, first_column + start);
        add_vector::<S, T, N, ROWS>(simd, terms, first, first_column, start..len.min(start + LANES), sums);
    }
}

/// [`add_rows`] for some columns, at most a vector.
#[inline(always)]
fn add_vector<S: Simd, T: Terms<N>, const N: usize, const ROWS: usize>(
    simd: S,
    terms: &T,
    first: usize,
    first_column: usize,
    range: Range<usize>,
    sums: &mut [&mut [f32]; N],
) {
    let columns = first_column + range.start..first_column + range.end;
    let of_columns = terms.columns::<S, 1>(simd, columns.clone());
    let mut vectors = [[simd.zero()]; N];
    unroll!(N, n => vectors[n] = slice::load(simd, &sums[n][range.clone()]));
    vectors = terms.add::<S, ROWS, 1>(simd, first, columns, of_columns, vectors);
    unroll!(N, n => slice::store(simd, vectors[n], &mut sums[n][range.clone()]));
}

/// The sums over every micro-shard, for all columns.
pub(super) fn shards<T: Terms<N>, const N: usize>(isa: Isa, terms: T, outputs: [MatMut<'_>; N]) {
    let shards = 0..terms.rows().div_ceil(MICRO_SHARD);
    isa.run(Shards { terms, shards, first: 0, outputs, isa });
}

/// The totals of the columns `first..first + n`, by the way that suits the size of the matrix.
pub(super) fn totals<T: Terms<N> + Copy, const N: usize>(isa: Isa, terms: T, first: usize, outputs: [&mut [f32]; N]) {
    let len = outputs.first().map_or(0, |output| output.len());
    // A row that is one strip is read as a whole, and so in the order of the addresses, whatever the size.
    if terms.rows() * len < LARGE || len <= isa.column_vectors() * LANES {
        isa.run(Totals { terms, first, op: Replace, outputs });
    } else {
        totals_of_large(isa, terms, first, outputs);
    }
}

/// [`totals`] of at least one row and one column.
///
/// Not a part of its callers, which take no sums on their stack for a matrix that is not large.
#[inline(never)]
fn totals_of_large<T: Terms<N> + Copy, const N: usize>(isa: Isa, terms: T, first: usize, mut outputs: [&mut [f32]; N]) {
    let len = outputs.first().map_or(0, |output| output.len());
    let shards = 0..terms.rows().div_ceil(MICRO_SHARD);
    let levels = shards.len().next_power_of_two().ilog2().max(1) as usize;
    let mut sums = Sums([0.0; SUMS]);
    let strips = len.div_ceil((SUMS / levels).min(SUMS_OF_A_LEVEL) / (N * LANES) * LANES);
    let strip = len.div_ceil(strips).next_multiple_of(LANES);
    for start in (0..len).step_by(strip) {
        let range = start..len.min(start + strip);
        let outputs = outputs.each_mut().map(|output| &mut output[range.clone()]);
        sums_of_large(isa, terms, shards.clone(), first + start, outputs, &mut sums.0);
    }
}

/// Sums that lie on the stack, for each term and each level of the tree those of some columns: 128 KiB.
const SUMS: usize = if cfg!(test) { 1 << 9 } else { 1 << 15 };

/// Sums of one level: so few that they stay in a cache of level 1, of so many columns that memory is read in long pieces.
const SUMS_OF_A_LEVEL: usize = if cfg!(test) { 1 << 6 } else { 1 << 11 };

/// They are read and written for every few rows, and a vector across two lines of a cache takes twice as long.
#[repr(align(64))]
struct Sums([f32; SUMS]);

/// The sums of some columns over some shards of a large matrix, one term after the other: those of the largest power of two of shards
/// below the whole, and those of the rest. So shards are read in the order in which memory holds them.
fn sums_of_large<T: Terms<N> + Copy, const N: usize>(
    isa: Isa,
    terms: T,
    shards: Range<usize>,
    first: usize,
    mut outputs: [&mut [f32]; N],
    memory: &mut [f32],
) {
    let len = outputs.first().map_or(0, |output| output.len());
    if shards.len() == 1 {
        let outputs = outputs.map(|output| MatMut::new(output, 1, len, len));
        return isa.run(Shards { terms, shards, first, outputs, isa });
    }
    let middle = shards.start + shards.len().next_power_of_two() / 2;
    sums_of_large(isa, terms, shards.start..middle, first, outputs.each_mut().map(|output| &mut **output), memory);
    let lines = len.next_multiple_of(LANES);
    let (rest, memory) = memory.split_at_mut(N * lines);
    let mut of_terms = rest.chunks_exact_mut(lines);
    let mut rest: [&mut [f32]; N] = core::array::from_fn(|_| &mut of_terms.next().unwrap_or_default()[..len]);
    sums_of_large(isa, terms, middle..shards.end, first, rest.each_mut().map(|rest| &mut **rest), memory);
    for (rest, output) in rest.iter().zip(outputs) {
        slice::map(isa, Add, [rest], [output]);
    }
}

/// `sum = sum + rest`
struct Add;

impl MapOp<1, 1> for Add {
    #[inline(always)]
    fn map<S: Simd>(&self, simd: S, [rest]: [S::F32; 1], [sum]: [S::F32; 1]) -> [S::F32; 1] {
        [simd.add(sum, rest)]
    }
}

/// `x`
#[derive(Clone, Copy)]
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
    #[inline(always)]
    fn fetch<S: Simd, const ROWS: usize>(&self, simd: S, isa: Isa, first: usize, column: usize) {
        self.0.fetch::<S, ROWS>(simd, isa, first, column);
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
