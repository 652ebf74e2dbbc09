//! Where the accumulators of a tile begin, and what becomes of them.

use crate::kernels::matrix::{MatMut, MatRef};
use crate::kernels::optimizers::{MAX_PARAMETERS, RowRule};
use crate::simd::tile::Tile;
use crate::simd::{Isa, LANES, MapOp, Simd, first_bits, slice, unroll};

/// Which part of C a tile is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its first row.
    pub row: usize,
    /// Its first column.
    pub column: usize,
    /// The number of its columns: all of its vectors are whole but the last.
    pub width: usize,
}

impl Place {
    /// Where it lies in a matrix of that leading dimension.
    #[inline(always)]
    #[track_caller]
    pub fn tile<const ROWS: usize, const V: usize>(self, leading_dimension: usize) -> Tile<ROWS, V> {
        Tile::new(leading_dimension, (self.row, self.column, self.width))
    }

    /// The number of columns of the last of its `V` vectors.
    #[inline(always)]
    pub(super) fn last_width<const V: usize>(self) -> usize {
        self.width - (V - 1) * LANES
    }

    /// Whether these fill no more than half of it, which [`Simd::mul_add_half`] is for.
    #[inline(always)]
    pub(super) fn is_half_empty<const V: usize>(self) -> bool {
        self.last_width::<V>() <= LANES / 2
    }
}

/// The start and the end of the chains of a product, one tile of `ROWS` rows and `V` vectors after the other.
pub trait Epilogue {
    /// Whether [`Epilogue::fetch`] does anything.
    const FETCHES: bool = false;
    /// Whether so much is done to a tile that, at small depths, it should wait for [`Epilogue::finish_interleaved`] until the next is
    /// computed.
    const INTERLEAVES: bool = false;

    /// Refuses a product of another shape.
    ///
    /// # Panics
    /// If the epilogue's operands do not fit a product of `m` rows and `n` columns.
    fn check(&self, m: usize, n: usize);
    /// Where chains may be put down, to be taken up again later: `[m, n]`, whose elements are written before the end of the product
    /// anyway. Without such a place every chain runs from its start to its end at once, which is slower for a large depth.
    #[inline(always)]
    fn partial_sums(&mut self) -> Option<MatMut<'_>> {
        None
    }
    /// Asks for what [`Epilogue::finish`] will read of `V` vectors of row `row` from `column` on, while there is time.
    #[inline(always)]
    fn fetch<S: Simd, const V: usize>(&self, simd: S, row: usize, column: usize) {
        let _ = (simd, row, column);
    }
    /// What the chains start from.
    #[inline(always)]
    fn begin<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place) -> [[S::F32; V]; ROWS] {
        let _ = place;
        [[simd.zero(); V]; ROWS]
    }
    /// Takes the finished chains.
    ///
    /// A loop over the rows of the tile has to be written out; see `unroll`.
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]);
    /// [`Epilogue::finish`], with a share of other work before each vector of the tile.
    #[inline(always)]
    fn finish_interleaved<S: Simd, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        place: Place,
        tile: [[S::F32; V]; ROWS],
        work: &mut impl Work<S>,
    ) {
        for _ in 0..ROWS * V {
            work.share(simd);
        }
        self.finish(simd, place, tile);
    }
}

/// Work that is done in as many shares as a tile has vectors.
pub trait Work<S: Simd> {
    /// Does a share; nothing if all is done.
    fn share(&mut self, simd: S);
}

/// What the chains of a tile start from or, if they have started, their sums so far.
#[inline(always)]
pub(super) fn begin_or_load<S: Simd, const ROWS: usize, const V: usize>(
    simd: S,
    epilogue: &mut impl Epilogue,
    place: Place,
    starts: bool,
) -> [[S::F32; V]; ROWS] {
    match epilogue.partial_sums() {
        Some(c) if !starts => load(simd, c, place),
        _ => epilogue.begin(simd, place),
    }
}

/// Asks for the sums of `ROWS` rows from `row` on, in time for [`begin_or_load`]. None has to exist.
///
/// Chains wait for what they start from, and a C of some size is not in a cache of level 2: with AVX2 on a Zen 3, 2048 x 2048 x 2048 takes 0.93 of
/// the time without.
#[inline(always)]
pub(super) fn fetch_sums<S: Simd, const ROWS: usize, const V: usize>(
    simd: S,
    epilogue: &mut impl Epilogue,
    row: usize,
    column: usize,
) {
    if let Some(mut c) = epilogue.partial_sums() {
        let leading_dimension = c.leading_dimension();
        for i in 0..ROWS {
            fetch_vectors::<S, V>(simd, c.data_mut(), (row + i) * leading_dimension + column);
        }
    }
}

/// Takes the finished chains of a tile or, if they do not end here, puts their sums down.
#[inline(always)]
pub(super) fn finish_or_store<S: Simd, const ROWS: usize, const V: usize>(
    simd: S,
    epilogue: &mut impl Epilogue,
    place: Place,
    ends: bool,
    tile: [[S::F32; V]; ROWS],
) {
    match epilogue.partial_sums() {
        Some(c) if !ends => store(simd, c, place, tile),
        _ => epilogue.finish(simd, place, tile),
    }
}

/// A tile of C.
#[inline(always)]
fn load<S: Simd, const ROWS: usize, const V: usize>(simd: S, mut c: MatMut<'_>, place: Place) -> [[S::F32; V]; ROWS] {
    let source = place.tile::<ROWS, V>(c.leading_dimension());
    let mut tile = [[simd.zero(); V]; ROWS];
    unroll!(ROWS <= 8, i => tile[i] = source.load_row(simd, c.data_mut(), i));
    tile
}

/// Replaces a tile of C.
#[inline(always)]
pub(in crate::kernels) fn store<S: Simd, const ROWS: usize, const V: usize>(
    simd: S,
    mut c: MatMut<'_>,
    place: Place,
    tile: [[S::F32; V]; ROWS],
) {
    let target = place.tile::<ROWS, V>(c.leading_dimension());
    unroll!(ROWS <= 8, i => target.store_row(simd, c.data_mut(), i, tile[i]));
}

/// The bias of some columns; zeros if it is empty.
#[inline(always)]
pub(in crate::kernels) fn load_bias<S: Simd, const V: usize>(simd: S, bias: &[f32], place: Place) -> [S::F32; V] {
    if bias.is_empty() { [simd.zero(); V] } else { slice::load(simd, &bias[place.column..place.column + place.width]) }
}

/// Refuses a bias that is neither empty nor as long as a row of C.
#[track_caller]
pub(in crate::kernels) fn check_bias(n: usize, bias: &[f32]) {
    if !bias.is_empty() {
        check_len("bias", n, bias.len());
    }
}

#[track_caller]
fn check_shape(what: &str, expected: (usize, usize), found: (usize, usize)) {
    assert!(expected == found, "{what}: {} x {} expected, found {} x {}", expected.0, expected.1, found.0, found.1);
}

#[track_caller]
fn check_len(what: &str, expected: usize, found: usize) {
    assert!(expected == found, "{what}: {expected} elements expected, found {found}");
}

/// `C = A B`.
pub struct Stored<'a> {
    /// C, `[m, n]`.
    pub c: MatMut<'a>,
}

impl Epilogue for Stored<'_> {
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        check_shape("C", (m, n), (self.c.rows(), self.c.columns()));
    }
    #[inline(always)]
    fn partial_sums(&mut self) -> Option<MatMut<'_>> {
        Some(self.c.reborrow())
    }
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]) {
        store(simd, self.c.reborrow(), place, tile);
    }
}

/// `C = C + A B`: the chains continue from C.
pub struct Accumulated<'a> {
    /// C, `[m, n]`.
    pub c: MatMut<'a>,
}

impl Epilogue for Accumulated<'_> {
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        check_shape("C", (m, n), (self.c.rows(), self.c.columns()));
    }
    #[inline(always)]
    fn partial_sums(&mut self) -> Option<MatMut<'_>> {
        Some(self.c.reborrow())
    }
    #[inline(always)]
    fn begin<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place) -> [[S::F32; V]; ROWS] {
        load(simd, self.c.reborrow(), place)
    }
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]) {
        store(simd, self.c.reborrow(), place, tile);
    }
}

/// `C = bias + A B`, the bias added to every row.
pub struct Biased<'a> {
    /// The bias, `[n]`; empty for none.
    pub bias: &'a [f32],
    /// C, `[m, n]`.
    pub c: MatMut<'a>,
}

impl Epilogue for Biased<'_> {
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        check_bias(n, self.bias);
        check_shape("C", (m, n), (self.c.rows(), self.c.columns()));
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
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]) {
        store(simd, self.c.reborrow(), place, tile);
    }
}

/// `C = relu(bias + A B)`, and a mask of the elements that were kept.
///
/// An element is kept unless it is `<= 0`, so NaN is kept. Bit `j % 16` of word `j / 16` of a row of the mask belongs to column `j`;
/// bits beyond the last column are 0.
pub struct BiasedRelu<'a> {
    /// The bias, `[n]`; empty for none.
    pub bias: &'a [f32],
    /// C, `[m, n]`.
    pub c: MatMut<'a>,
    /// The mask, `m` rows of `n.div_ceil(16)` words; empty if it is not wanted.
    pub mask: &'a mut [u16],
}

impl Epilogue for BiasedRelu<'_> {
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        check_bias(n, self.bias);
        check_shape("C", (m, n), (self.c.rows(), self.c.columns()));
        if !self.mask.is_empty() {
            check_len("mask", m * n.div_ceil(LANES), self.mask.len());
        }
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
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, mut tile: [[S::F32; V]; ROWS]) {
        let (words_per_row, first) = (self.c.columns().div_ceil(LANES), place.column / LANES);
        let target = place.tile::<ROWS, V>(self.c.leading_dimension());
        unroll!(ROWS <= 8, i => {
            let words = relu(simd, &mut tile[i], place.width);
            // A row at once: there are no registers for the masks of all.
            target.store_row(simd, self.c.data_mut(), i, tile[i]);
            if !self.mask.is_empty() {
                self.mask[(place.row + i) * words_per_row + first..][..V].copy_from_slice(&words);
            }
        });
    }
}

/// ReLU of a row of a tile, and its words of the mask.
#[inline(always)]
fn relu<S: Simd, const V: usize>(simd: S, values: &mut [S::F32; V], width: usize) -> [u16; V] {
    let mut words = [0; V];
    unroll!(V, j => {
        let dropped = simd.le(values[j], simd.zero());
        values[j] = simd.select(dropped, simd.zero(), values[j]);
        words[j] = !simd.mask_to_bits(dropped) & first_bits(width - j * LANES);
    });
    words
}

/// `C = mask ? A B : 0`, whatever the product is there.
///
/// With the mask of a [`BiasedRelu`] and the gradient by its output for `A B`, C is the gradient by `bias + A B`.
pub struct ReluBackward<'a> {
    /// The mask, `m` rows of `n.div_ceil(16)` words.
    pub mask: &'a [u16],
    /// C, `[m, n]`.
    pub c: MatMut<'a>,
}

impl Epilogue for ReluBackward<'_> {
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        check_shape("C", (m, n), (self.c.rows(), self.c.columns()));
        check_len("mask", m * n.div_ceil(LANES), self.mask.len());
    }
    #[inline(always)]
    fn partial_sums(&mut self) -> Option<MatMut<'_>> {
        Some(self.c.reborrow())
    }
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, mut tile: [[S::F32; V]; ROWS]) {
        let (words_per_row, first) = (self.c.columns().div_ceil(LANES), place.column / LANES);
        unroll!(ROWS <= 8, i => {
            let words = &self.mask[(place.row + i) * words_per_row + first..][..V];
            unroll!(V, j => tile[i][j] = simd.select(simd.mask_from_bits(words[j]), tile[i][j], simd.zero()));
        });
        store(simd, self.c.reborrow(), place, tile);
    }
}

/// One of two epilogues, chosen when the product runs.
///
/// The tiles are compiled for every type of epilogue, and nothing else in this crate takes as long to compile. This type has both sets of ends behind one
/// set of chains, for the price of a branch in each tile.
pub enum Either<L, R> {
    /// The one.
    Left(L),
    /// The other.
    Right(R),
}

/// The same of whichever it is.
macro_rules! of_either {
    ($either:expr, $epilogue:ident => $of_epilogue:expr) => {
        match $either {
            Either::Left($epilogue) => $of_epilogue,
            Either::Right($epilogue) => $of_epilogue,
        }
    };
}

impl<L: Epilogue, R: Epilogue> Epilogue for Either<L, R> {
    const FETCHES: bool = L::FETCHES || R::FETCHES;
    const INTERLEAVES: bool = L::INTERLEAVES || R::INTERLEAVES;
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        of_either!(self, epilogue => epilogue.check(m, n));
    }
    #[inline(always)]
    fn partial_sums(&mut self) -> Option<MatMut<'_>> {
        of_either!(self, epilogue => epilogue.partial_sums())
    }
    #[inline(always)]
    fn fetch<S: Simd, const V: usize>(&self, simd: S, row: usize, column: usize) {
        of_either!(self, epilogue => epilogue.fetch::<S, V>(simd, row, column));
    }
    #[inline(always)]
    fn begin<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place) -> [[S::F32; V]; ROWS] {
        of_either!(self, epilogue => epilogue.begin(simd, place))
    }
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]) {
        of_either!(self, epilogue => epilogue.finish(simd, place, tile));
    }
    #[inline(always)]
    fn finish_interleaved<S: Simd, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        place: Place,
        tile: [[S::F32; V]; ROWS],
        work: &mut impl Work<S>,
    ) {
        of_either!(self, epilogue => epilogue.finish_interleaved(simd, place, tile, work));
    }
}

/// Asks for `V` vectors from `start` on, which will be written.
///
/// Weights and state of a layer are more than a cache of level 2 holds, and a product of few rows leaves little time to wait for them. The
/// weights have been read by all other parts, and a store to a line that another processor has waits until it is gone there.
#[inline(always)]
fn fetch_vectors<S: Simd, const V: usize>(simd: S, slice: &[f32], start: usize) {
    unroll!(V, j => simd.prefetch_to_write(slice.as_ptr().wrapping_add(start + j * LANES)));
}

/// One step of an optimizer, with the product as the gradient: `w = rule(w, A B)`.
///
/// The weights of a tile are written when all of its state is, because other threads have read them; or, at small depths, each vector in its
/// time, while the next tile is computed. See the module's page.
pub struct Updated<'a, R, const N: usize> {
    /// The optimizer.
    pub rule: R,
    /// The weights, followed by the optimizer's state in the same layout.
    pub parameters: [&'a mut [f32]; N],
    /// The leading dimension of the weights.
    pub leading_dimension: usize,
}

impl<R: MapOp<1, N> + Copy, const N: usize> Epilogue for Updated<'_, R, N> {
    const FETCHES: bool = true;
    // Without state there is little to do, not worth the time to compile it.
    const INTERLEAVES: bool = N > 1;
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        for slice in &self.parameters {
            MatRef::new(slice, m, n, self.leading_dimension);
        }
    }
    #[inline(always)]
    fn fetch<S: Simd, const V: usize>(&self, simd: S, row: usize, column: usize) {
        for slice in &self.parameters {
            fetch_vectors::<S, V>(simd, slice, row * self.leading_dimension + column);
        }
    }
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]) {
        // Asked once for the tile, not for each of its vectors: 2 % at a depth of 128.
        if self.rule.takes_rare_branch() {
            self.finish_at_once::<S, true, ROWS, V>(simd, place, tile);
        } else {
            self.finish_at_once::<S, false, ROWS, V>(simd, place, tile);
        }
    }
    #[inline(always)]
    fn finish_interleaved<S: Simd, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        place: Place,
        tile: [[S::F32; V]; ROWS],
        work: &mut impl Work<S>,
    ) {
        let (rule, leading_dimension) = (self.rule, self.leading_dimension);
        let mut parameters = self.parameters.each_mut().map(|slice| &mut **slice);
        let target = place.tile::<ROWS, V>(leading_dimension);
        // The tile behind the next, which is computed now.
        let ahead = (place.row + 2 * ROWS) * leading_dimension + place.column;
        unroll!(ROWS <= 8, i => unroll!(V, j => {
            work.share(simd);
            for slice in &parameters {
                fetch_vectors::<S, 1>(simd, slice, ahead + i * leading_dimension + j * LANES);
            }
            let value = update_state(simd, &rule, &mut parameters, target, (i, j), tile[i][j]);
            if let Some(weights) = parameters.first_mut() {
                target.store(simd, weights, (i, j), value);
            }
        }));
    }
}

impl<R: MapOp<1, N> + Copy, const N: usize> Updated<'_, R, N> {
    /// The state of a whole tile, then its weights. Whether the rule takes its `RARE` branch is known to the compiler.
    #[inline(always)]
    fn finish_at_once<S: Simd, const RARE: bool, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        place: Place,
        mut tile: [[S::F32; V]; ROWS],
    ) {
        // Copies, so that the compiler knows that no store to the parameters changes them.
        let (rule, mut parameters) = (self.rule.with_rare_branch(RARE), self.parameters.each_mut().map(|slice| &mut **slice));
        let target = place.tile::<ROWS, V>(self.leading_dimension);
        unroll!(ROWS <= 8, i => unroll!(V, j => {
            tile[i][j] = update_state(simd, &rule, &mut parameters, target, (i, j), tile[i][j]);
        }));
        if let Some(weights) = parameters.first_mut() {
            unroll!(ROWS <= 8, i => target.store_row(simd, weights, i, tile[i]));
        }
    }
}

/// Writes the state of a vector of parameters, and returns the weights.
#[inline(always)]
fn update_state<S: Simd, R: MapOp<1, N>, const N: usize, const ROWS: usize, const V: usize>(
    simd: S,
    rule: &R,
    parameters: &mut [&mut [f32]; N],
    target: Tile<ROWS, V>,
    (i, j): (usize, usize),
    gradient: S::F32,
) -> S::F32 {
    let mut vectors = [simd.zero(); N];
    unroll!(N, n => vectors[n] = target.load(simd, parameters[n], i, j));
    let updated = rule.map(simd, [gradient], vectors);
    unroll!(N, n => if n > 0 {
        target.store(simd, parameters[n], (i, j), updated[n]);
    });
    updated[0]
}

/// [`Updated`] for any optimizer, with the same bits: the gradient of a tile goes through a small buffer to a rule that is called by
/// reference.
///
/// [`Updated`] is compiled for every tile and every optimizer; this, which is a little slower, for every tile only once.
pub struct UpdatedByRow<'a> {
    /// The instruction set to run the rule with.
    pub isa: Isa,
    /// The optimizer.
    pub rule: &'a dyn RowRule,
    /// The weights, followed by the optimizer's state in the same layout; empty slices where the optimizer has fewer.
    pub parameters: [&'a mut [f32]; MAX_PARAMETERS],
    /// The leading dimension of the weights.
    pub leading_dimension: usize,
}

impl UpdatedByRow<'_> {
    /// The rows of a tile. Once for all tiles: to call it costs less than any rule.
    #[inline(never)]
    fn update_rows(&mut self, place: Place, gradients: &[[f32; 4 * LANES]]) {
        let Place { row, column, width } = place;
        let start = row * self.leading_dimension + column;
        let parameters = self.parameters.each_mut().map(|slice| slice.get_mut(start..).unwrap_or_default());
        let gradients = MatRef::new(gradients.as_flattened(), gradients.len(), width, 4 * LANES);
        self.rule.update_rows(self.isa, gradients, parameters, self.leading_dimension);
    }
}

impl Epilogue for UpdatedByRow<'_> {
    const FETCHES: bool = true;
    #[track_caller]
    fn check(&self, m: usize, n: usize) {
        for slice in self.parameters.iter().filter(|slice| !slice.is_empty()) {
            MatRef::new(slice, m, n, self.leading_dimension);
        }
    }
    #[inline(always)]
    fn fetch<S: Simd, const V: usize>(&self, simd: S, row: usize, column: usize) {
        for slice in self.parameters.iter().filter(|slice| !slice.is_empty()) {
            fetch_vectors::<S, V>(simd, slice, row * self.leading_dimension + column);
        }
    }
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]) {
        let mut gradients = [[0.0; 4 * LANES]; ROWS];
        unroll!(ROWS <= 8, i => slice::store(simd, tile[i], &mut gradients[i][..place.width]));
        self.update_rows(place, &gradients);
    }
}
