#![doc = include_str!("README.md")]

mod epilogue;
mod interleaved;
mod micro;
mod packed;
mod row;
mod shapes;
pub(crate) mod small;
mod sweep;
#[cfg(test)]
mod twins;

use super::matrix::MatRef;
use crate::simd::tile::Tile;
use crate::simd::{Isa, LANES, Simd};
use core::ops::Range;
pub use epilogue::{Accumulated, Biased, BiasedRelu, Either, Epilogue, Place, ReluBackward, Stored, Updated, UpdatedByRow, Work};
pub(super) use epilogue::{check_bias, load_bias, store};
use micro::{Panel, Product, SHALLOW, check_depth, rows_compete, run_panel};
pub use shapes::Cover;
use shapes::{are_narrow, are_quick, cover_by_panels, panel_vectors};

/// A matrix whose rows lie in blocks of equal size: row `i` starts at
/// `(i / rows_per_block) * block_stride + (i % rows_per_block) * leading_dimension`.
///
/// Each thread keeps its rows of a minibatch in a block of its own; the weight gradient reads them all as one matrix.
#[derive(Clone, Copy, Debug)]
pub struct RowBlocks<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    leading_dimension: usize,
    rows_per_block: usize,
    block_stride: usize,
}

impl<'a> RowBlocks<'a> {
    /// `rows` rows, `rows_per_block` in each block but the last, the blocks `block_stride` elements apart.
    ///
    /// # Panics
    /// If a row would reach beyond `data`, or `rows_per_block` is 0.
    #[track_caller]
    pub fn new(
        data: &'a [f32],
        (rows, columns, leading_dimension): (usize, usize, usize),
        rows_per_block: usize,
        block_stride: usize,
    ) -> Self {
        assert!(rows_per_block > 0, "at least 1 row per block expected, found 0");
        // Without columns no row reaches anywhere.
        let reaching = if columns == 0 { 0 } else { rows };
        let (whole, rest) = (reaching / rows_per_block, reaching % rows_per_block);
        if whole > 0 {
            let last = (whole - 1).saturating_mul(block_stride);
            assert!(last <= data.len(), "{whole} blocks {block_stride} elements apart expected, found {} elements", data.len());
            MatRef::new(&data[last..], rows_per_block, columns, leading_dimension);
        }
        if rest > 0 {
            let last = whole.saturating_mul(block_stride);
            assert!(last <= data.len(), "a block at element {last} expected, found {} elements", data.len());
            MatRef::new(&data[last..], rest, columns, leading_dimension);
        }
        Self { data, rows, columns, leading_dimension, rows_per_block, block_stride }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of rows in every block but the last.
    pub fn rows_per_block(&self) -> usize {
        self.rows_per_block
    }

    /// One row, without padding.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[track_caller]
    pub fn row(&self, i: usize) -> &'a [f32] {
        assert!(i < self.rows, "row {i} of a matrix of {} rows", self.rows);
        if self.columns == 0 {
            return &[];
        }
        let (block, row) = self.block_and_row(i);
        let start = block * self.block_stride + row * self.leading_dimension;
        &self.data[start..start + self.columns]
    }

    /// The block of a row, and which row of the block it is.
    #[inline(always)]
    fn block_and_row(&self, i: usize) -> (usize, usize) {
        // A division takes as long as a sum over some columns of the row; most matrices are one block.
        if i < self.rows_per_block { (0, i) } else { (i / self.rows_per_block, i % self.rows_per_block) }
    }

    /// Whether some rows lie at equal distances.
    #[inline]
    pub(super) fn in_one_block(&self, rows: Range<usize>) -> bool {
        rows.is_empty() || self.block_and_row(rows.start).0 == self.block_and_row(rows.end - 1).0
    }

    /// Some columns of `ROWS` rows in one block: their place, and where that is. There must be such rows and columns.
    #[inline(always)]
    #[track_caller]
    pub(super) fn tile<const ROWS: usize, const V: usize>(
        &self,
        first: usize,
        columns: Range<usize>,
    ) -> (Tile<ROWS, V>, &'a [f32]) {
        debug_assert!(first + ROWS <= self.rows && columns.end <= self.columns && self.in_one_block(first..first + ROWS));
        let (block, row) = self.block_and_row(first);
        (Tile::new(self.leading_dimension, (row, columns.start, columns.len())), &self.data[block * self.block_stride..])
    }

    /// Asks for what lies at a column of `ROWS` rows, if those are in one block, or where it would if there were more rows and columns. None has
    /// to exist: nothing is read.
    #[inline(always)]
    pub(super) fn fetch<S: Simd, const ROWS: usize>(&self, simd: S, isa: Isa, first: usize, column: usize) {
        let (block, row) = self.block_and_row(first);
        let start =
            block.wrapping_mul(self.block_stride).wrapping_add(row.wrapping_mul(self.leading_dimension)).wrapping_add(column);
        for i in 0..ROWS {
            let at = start.wrapping_add(i.wrapping_mul(self.leading_dimension));
            isa.prefetch_from_memory(simd, self.data.as_ptr().wrapping_add(at));
        }
    }
}

impl<'a> From<MatRef<'a>> for RowBlocks<'a> {
    fn from(matrix: MatRef<'a>) -> Self {
        Self {
            data: matrix.data(),
            rows: matrix.rows(),
            columns: matrix.columns(),
            leading_dimension: matrix.leading_dimension(),
            rows_per_block: matrix.rows().max(1),
            block_stride: 0,
        }
    }
}

/// `C = A B`, begun and finished by an [`Epilogue`].
///
/// # Shapes
/// `a: [m, k]`, `b: [k, n]`, the epilogue's matrix `[m, n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn gemm(isa: Isa, a: MatRef<'_>, b: MatRef<'_>, epilogue: &mut impl Epilogue) {
    gemm_from(isa, a, b, OUTSIDE, epilogue);
}

/// [`gemm`] where other threads have written B since this one has read it, like the weights of a step on many threads. So it comes
/// from their caches, however small it is.
///
/// # Shapes
/// `a: [m, k]`, `b: [k, n]`, the epilogue's matrix `[m, n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn gemm_shared(isa: Isa, a: MatRef<'_>, b: MatRef<'_>, epilogue: &mut impl Epilogue) {
    gemm_from(isa, a, b, SHARED, epilogue);
}

/// [`gemm`] that asks for what it will read of B if that has at least so many elements.
#[track_caller]
fn gemm_from(isa: Isa, a: MatRef<'_>, b: MatRef<'_>, outside: usize, epilogue: &mut impl Epilogue) {
    check_depth(&a, &b);
    epilogue.check(a.rows(), b.columns());
    if small::is_faster(&a, &b) {
        return small::run(isa, &a, &b, epilogue);
    }
    let product = Product::of_rows(a, b);
    if sweep::is_faster(isa, &product) && epilogue.partial_sums().is_some() {
        return sweep::run(isa, &product, epilogue);
    }
    if row::is_faster(isa, &product) {
        return row::run(isa, &product, epilogue);
    }
    run(isa, &product, outside, epilogue);
}

/// `C = A^T B`, begun and finished by an [`Epilogue`], for the columns `first..first + m` of A.
///
/// # Shapes
/// `a: [k, >= first + m]`, `b: [k, n]`, the epilogue's matrix `[m, n]`: its row 0 belongs to column `first` of A.
///
/// # Panics
/// If the shapes do not fit each other, or A and B are cut into different blocks.
#[track_caller]
pub fn gemm_transposed(isa: Isa, a: RowBlocks<'_>, (first, m): (usize, usize), b: RowBlocks<'_>, epilogue: &mut impl Epilogue) {
    let product = Product::of_columns(a, first, m, b);
    epilogue.check(product.m(), product.n());
    run(isa, &product, OUTSIDE, epilogue);
}

/// The longest depth at once: a panel of B this deep, and the next one, stay in a cache of level 2 while all tiles of a panel read them
/// (four vectors of 1024 rows are 256 KiB).
const DEPTH: usize = 1024;

/// The number of elements of B from which on it must come from memory, as it is more than a cache of level 3 leaves to one core (8 MiB).
const FAR: usize = 2 * 1024 * 1024;

/// The number of elements of B from which on a cache of level 2 does not keep it, beside all else, from one product to the next (1 MiB).
const OUTSIDE: usize = 256 * 1024;

/// The number of elements of B from which on it is asked for where other threads have written it (64 KiB).
const SHARED: usize = 16 * 1024;

/// The longest depth at once of panels that are a single vector wide and do not stay in a cache of level 2: these stay even in level 1 (16 KiB).
const NARROW_DEPTH: usize = 256;

/// The longest depth at once, in panels of so many vectors.
///
/// A B from memory is read far faster if what is read next to each other in time also lies next to each other. So panels are then
/// shallower, and the next one, which is fetched meanwhile, begins where this one ends. One or two rows leave no time for anything but
/// reading: they go through all columns of a few rows of B before they go on to the next rows.
///
/// Shallower still are narrow panels of many rows, if B comes from memory, and all panels if its rows drive each other out of the caches; see
/// [`packed`]; a copy of a wide one takes part of what is in level 2. With AVX2 on a Zen 3, 128 x 2048 x 2048 takes 0.93 of the time that it takes at
/// once. Tiles of three rows take their time.
fn longest_depth<const TRANSPOSED: bool>(
    tile_rows: [usize; 4],
    vectors: usize,
    product: &Product<'_, TRANSPOSED>,
    copies: bool,
) -> usize {
    let (m, is_far) = (product.m(), product.depth() * product.n() >= FAR);
    let are_narrow = are_narrow(tile_rows, vectors);
    match m {
        packed::FEWEST_ROWS.. if are_quick(tile_rows) && rows_compete(product.b_depth_stride) => match are_narrow || copies {
            true => NARROW_DEPTH,
            false => rows_that_stay(product.b_depth_stride).clamp(SHALLOW, DEPTH),
        },
        64.. if are_narrow && is_far => NARROW_DEPTH,
        _ if !is_far => DEPTH,
        1 | 2 => SHALLOW,
        _ => DEPTH / 2,
    }
}

/// The number of elements of A at once: they stay there, too, while all panels of B come by. 256 KiB, and 512 KiB of the 2 MiB that Intel's
/// servers have, whose level 3 is slower: 1024 x 1024 x 1024 takes 0.92 of the time.
const fn elements_of_a(isa: Isa) -> usize {
    if isa.is_intel() { 128 * 1024 } else { 64 * 1024 }
}

/// How many rows that compete stay in a cache of level 2, some columns of each: as many as half of 1 MiB reaches over. Of empty rows, which need no
/// distance, all.
fn rows_that_stay(stride: usize) -> usize {
    128 * 1024 / stride.max(1)
}

/// The number of rows of A at once, of so many elements. Copies of B are made for all of them, so that fewer would take longer.
fn rows_of_a<const TRANSPOSED: bool>(isa: Isa, product: &Product<'_, TRANSPOSED>, depth: usize, copies: bool) -> usize {
    let stride = product.a_row_stride();
    let compete = !TRANSPOSED && rows_compete(stride);
    let rows = elements_of_a(isa) / depth.max(1);
    if compete && !copies { rows.min(rows_that_stay(stride)).max(SHALLOW) } else { rows.max(1) }
}

/// The product in tiles, which ask for a B of at least so many elements.
fn run<E: Epilogue, const TRANSPOSED: bool>(isa: Isa, product: &Product<'_, TRANSPOSED>, outside: usize, epilogue: &mut E) {
    let sums_can_wait = epilogue.partial_sums().is_some();
    if !packed::is_faster(isa, product, sums_can_wait) {
        return in_tiles(isa, product, outside, &mut [], epilogue);
    }
    let depth = if sums_can_wait { product.depth().min(NARROW_DEPTH) } else { product.depth() };
    let vectors = depth * panel_vectors(isa.tile_rows(), product.m());
    if vectors <= NARROW_DEPTH {
        in_tiles_of_copies::<NARROW_DEPTH, E, TRANSPOSED>(isa, product, outside, epilogue);
    } else {
        // What has no room in this is not copied: a stack should not hold more.
        in_tiles_of_copies::<DEPTH, E, TRANSPOSED>(isa, product, outside, epilogue);
    }
}

/// The product in tiles that read copies of B, of as many vectors at once. Not inlined: no other product has the stack for copies.
#[inline(never)]
fn in_tiles_of_copies<const VECTORS: usize, E: Epilogue, const TRANSPOSED: bool>(
    isa: Isa,
    product: &Product<'_, TRANSPOSED>,
    outside: usize,
    epilogue: &mut E,
) {
    in_tiles(isa, product, outside, &mut [[0.0; LANES]; VECTORS], epilogue);
}

/// The product in tiles, which read a copy of B where there is room for one of a panel.
#[inline(never)]
fn in_tiles<E: Epilogue, const TRANSPOSED: bool>(
    isa: Isa,
    product: &Product<'_, TRANSPOSED>,
    outside: usize,
    room: &mut [[f32; LANES]],
    epilogue: &mut E,
) {
    let (m, n, k) = (product.m(), product.n(), product.depth());
    if m == 0 || n == 0 {
        return;
    }
    let tile_rows = isa.tile_rows();
    let (panel_vectors, copies) = (panel_vectors(tile_rows, m), !room.is_empty());
    let vectors = n.div_ceil(LANES);
    if vectors <= panel_vectors && m <= tile_rows[vectors - 1] && k <= DEPTH {
        // One tile: in a small network, to cover it would take longer than to compute it.
        let panel = Panel {
            row: 0,
            tiles: 1,
            column: 0,
            panels: 1,
            starts: true,
            ends: true,
            fetches: false,
            unmasked: isa.is_intel(),
            interleaves: false,
            tiles_above: 0,
            tiles_in_all: 1,
        };
        return run_panel(isa, (m, vectors), product, &panel, epilogue);
    }
    let fetches = k * n >= outside;
    let interleaves = E::INTERLEAVES && k <= interleaved::DEPTH && !isa.is_intel();
    let panels = cover_by_panels(tile_rows, vectors, panel_vectors);
    let depths = match epilogue.partial_sums() {
        Some(_) if k > 0 => Cover::new(k, longest_depth(tile_rows, panel_vectors, product, copies)),
        // All at once, and even no depth at all has a start and an end.
        _ => Cover { size: k, larger: 0, smaller: 1 },
    };
    for (first, len) in depths.parts() {
        let part = product.part(first, len);
        for (first_row, rows) in Cover::new(m, rows_of_a(isa, product, len, copies)).parts() {
            for (first_vector, vectors, panels) in panels.groups() {
                let tallest = match interleaved::tile_rows(tile_rows, vectors) {
                    rows if rows > 0 && interleaves => rows,
                    _ => tile_rows[vectors - 1],
                };
                let tiles = Cover::new(rows, tallest);
                let packs = (1..=room.len()).contains(&(len * vectors));
                // Panels of one tile are computed without coming back here.
                let beside = if tiles.larger + tiles.smaller == 1 && !packs { panels } else { 1 };
                for panel in (0..panels).step_by(beside) {
                    let panel = Panel {
                        row: first_row,
                        tiles: tiles.larger,
                        column: (first_vector + panel * vectors) * LANES,
                        panels: beside,
                        starts: first == 0,
                        ends: first + len == k,
                        fetches: fetches && !packs,
                        unmasked: isa.is_intel(),
                        interleaves,
                        tiles_above: 0,
                        tiles_in_all: tiles.larger + tiles.smaller,
                    };
                    let copied = packs.then(|| packed::panel(isa, &part, (panel.column, vectors), fetches, room));
                    let part = copied.as_ref().unwrap_or(&part);
                    let row = first_row + tiles.larger * (tiles.size + 1);
                    let below = Panel { row, tiles: tiles.smaller, tiles_above: tiles.larger, ..panel };
                    for (rows, panel) in [(tiles.size + 1, panel), (tiles.size, below)] {
                        if panel.tiles > 0 {
                            run_panel(isa, (rows, vectors), part, &panel, epilogue);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::twins::Operands;
    use super::*;

    /// Tiles of the two highest heights and lower ones, of 3 and 4 vectors of which the last is whole or is not, in one block of the depth and in
    /// two. Behind the last row B ends, and whatever else is read beyond a row is NaN.
    #[test]
    fn the_loops_for_intel_have_the_bits_of_others() {
        let shapes = [
            (8, 48, 40),
            (23, 45, 17),
            (17, 61, 9),
            (6, 64, 33),
            (11, 100, 12),
            (9, 112, 5),
            (8, 40, 1030),
            (3, 300, 7),
            (20, 17, 1),
        ];
        for (m, n, k) in shapes.into_iter().filter(|&(.., k)| !cfg!(miri) || k < 10) {
            let operands = Operands::new((m, n, k), n + 5);
            for isa in Isa::with_all_loops() {
                operands.assert_bits_of_twins(isa, k.div_ceil(2));
            }
        }
    }

    #[test]
    fn as_many_rows_of_a_are_taken_at_once_as_a_cache_keeps() {
        let data = std::vec![0.0; 64 * 2048];
        let isa = Isa::detect().on_intel(false);
        let rows = |leading_dimension, depth, copies| {
            let a = MatRef::new(&data, 32, 784, leading_dimension);
            let product = Product::of_rows(a, MatRef::new(&data, 784, 10, 16));
            let (on_others, on_intel) = (isa, isa.on_intel(true));
            assert!(rows_of_a(on_intel, &product, depth, copies) >= rows_of_a(on_others, &product, depth, copies));
            rows_of_a(on_others, &product, depth, copies)
        };
        assert_eq!([rows(784, 784, false), rows(1040, 256, false)], [83, 256]);
        assert_eq!([rows(1024, 784, false), rows(1024, 256, false), rows(2048, 64, false)], [83, 128, 64]);
        assert_eq!(rows(1024, 256, true), 256);
        let empty = Product::of_rows(MatRef::new(&data, 32, 0, 0), MatRef::new(&data, 0, 10, 16));
        assert!(rows_of_a(isa, &empty, 0, false) >= 32);
        let a = MatRef::new(&data, 16, 1024, 2048).into();
        let b = MatRef::new(&data, 16, 10, 16).into();
        let product = Product::of_columns(a, 0, 1024, b);
        assert_eq!([false, true].map(|is_intel| rows_of_a(isa.on_intel(is_intel), &product, 16, false)), [4096, 8192]);
    }

    #[test]
    fn panels_are_shallow_where_no_cache_keeps_them() {
        const AVX512: [usize; 4] = [8, 8, 8, 6];
        const AVX2: [usize; 4] = [6, 2, 1, 1];
        const PORTABLE: [usize; 4] = [3, 1, 0, 0];
        let data = std::vec![0.0; 2064 * 1024];
        for (tile_rows, vectors, m, (n, leading_dimension), expected) in [
            (AVX2, 1, 64, (100, 100), DEPTH),
            (AVX2, 1, 16, (100, 512), NARROW_DEPTH),
            (AVX2, 1, 15, (100, 512), DEPTH),
            (AVX2, 1, 64, (2048, 2064), NARROW_DEPTH),
            (AVX2, 1, 63, (2048, 2064), DEPTH / 2),
            (AVX2, 4, 1, (2048, 2048), SHALLOW),
            (AVX512, 3, 64, (100, 512), 256),
            (AVX512, 3, 64, (100, 528), DEPTH),
            (AVX512, 3, 16, (1024, 1024), 128),
            (AVX512, 3, 15, (1024, 1024), DEPTH),
            (AVX512, 3, 64, (2048, 2048), 64),
            (AVX512, 3, 64, (2048, 2064), DEPTH / 2),
            (PORTABLE, 1, 64, (100, 512), DEPTH),
        ] {
            let product = Product::of_rows(MatRef::new(&data, m, 1024, 1024), MatRef::new(&data, 1024, n, leading_dimension));
            let found = longest_depth(tile_rows, vectors, &product, false);
            assert_eq!(found, expected, "{m} rows in tiles of {tile_rows:?}, B of {n} columns {leading_dimension} apart");
        }
        let product = Product::of_rows(MatRef::new(&data, 256, 1024, 1024), MatRef::new(&data, 1024, 1024, 1024));
        assert_eq!(longest_depth(AVX512, 3, &product, true), NARROW_DEPTH, "with copies");
    }
}
