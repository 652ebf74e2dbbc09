//! The innermost loops, and with `interleaved`, `sweep`, `simd`, `parallel` and a call to the system in `memory` the only unsafe code of the
//! crate.
#![allow(unsafe_code, reason = "A and B are read through pointers: a bounds check per element would cost half of the speed")]

use super::RowBlocks;
use super::epilogue::{Epilogue, Place, begin_or_load, fetch_sums, finish_or_store};
use super::interleaved;
use crate::kernels::matrix::MatRef;
use crate::kernels::walk::places_in_level_1;
use crate::simd::{Isa, LANES, Simd, SimdOp, unroll};

/// The operands of a product `[m, k] * [k, n]`, checked: [`Product::of_rows`] and [`Product::of_columns`] make sure that every
/// element that a tile reads lies inside its slice.
///
/// The left matrix is what A holds, or its transpose if `TRANSPOSED`. Each has loops of its own: with two strides that are both unknown, the
/// addresses of a step of the chains can take as long as its multiply-adds.
#[derive(Clone, Copy)]
pub(super) struct Product<'a, const TRANSPOSED: bool> {
    m: usize,
    pub(super) n: usize,
    pub(super) a: &'a [f32],
    a_leading_dimension: usize,
    pub(super) b: &'a [f32],
    pub(super) b_depth_stride: usize,
    /// The column of the product that `b` begins with.
    first_column: usize,
    pub(super) depth: Depth,
}

/// The dimension `k` that a product sums over: `len` rows of B from row `first` of a block on, `per_block` in each block.
#[derive(Clone, Copy)]
pub(super) struct Depth {
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) per_block: usize,
    pub(super) a_block_stride: usize,
    pub(super) b_block_stride: usize,
}

/// Refuses a B that does not have a row for each column of A.
#[inline(always)]
#[track_caller]
pub(super) fn check_depth(a: &MatRef<'_>, b: &MatRef<'_>) {
    let (m, k) = (a.rows(), a.columns());
    assert!(k == b.rows(), "A is {m} x {k}: B of {k} rows expected, found {}", b.rows());
}

impl<'a> Product<'a, false> {
    /// `A B`.
    #[track_caller]
    pub(super) fn of_rows(a: MatRef<'a>, b: MatRef<'a>) -> Self {
        check_depth(&a, &b);
        let (m, k, n) = (a.rows(), a.columns(), b.columns());
        // `MatRef` has checked that its rows lie inside its slice.
        Self {
            m,
            n,
            a: a.data(),
            a_leading_dimension: a.leading_dimension(),
            b: b.data(),
            b_depth_stride: b.leading_dimension(),
            first_column: 0,
            depth: Depth { first: 0, len: k, per_block: k.max(1), a_block_stride: 0, b_block_stride: 0 },
        }
    }
}

impl<'a> Product<'a, true> {
    /// `A^T B` for the columns `first..first + m` of A.
    #[track_caller]
    pub(super) fn of_columns(a: RowBlocks<'a>, first: usize, m: usize, b: RowBlocks<'a>) -> Self {
        let (k, n) = (a.rows(), b.columns());
        assert!(k == b.rows(), "A has {k} rows: B of {k} rows expected, found {}", b.rows());
        assert!(
            first.checked_add(m).is_some_and(|end| end <= a.columns()),
            "columns up to {} expected, found {first} and {m} more",
            a.columns()
        );
        assert!(
            a.rows_per_block == b.rows_per_block || k <= a.rows_per_block.min(b.rows_per_block),
            "blocks of {} rows expected as in A, found {}",
            a.rows_per_block,
            b.rows_per_block
        );
        // `RowBlocks` has checked that its rows lie inside its slice.
        Self {
            m,
            n,
            a: if m == 0 || k == 0 { a.data } else { &a.data[first..] },
            a_leading_dimension: a.leading_dimension,
            b: b.data,
            b_depth_stride: b.leading_dimension,
            first_column: 0,
            depth: Depth {
                first: 0,
                len: k,
                per_block: a.rows_per_block.min(b.rows_per_block),
                a_block_stride: a.block_stride,
                b_block_stride: b.block_stride,
            },
        }
    }
}

impl<const TRANSPOSED: bool> Product<'_, TRANSPOSED> {
    /// From an element of A to the one below it.
    #[inline(always)]
    pub(super) fn a_row_stride(&self) -> usize {
        if TRANSPOSED { 1 } else { self.a_leading_dimension }
    }

    /// From an element of A to the next of its row.
    #[inline(always)]
    pub(super) fn a_depth_stride(&self) -> usize {
        if TRANSPOSED { self.a_leading_dimension } else { 1 }
    }

    pub(super) fn m(&self) -> usize {
        self.m
    }

    pub(super) fn n(&self) -> usize {
        self.n
    }

    pub(super) fn depth(&self) -> usize {
        self.depth.len
    }

    /// Where the first row of a block of B has a column of the product.
    #[inline(always)]
    pub(super) fn b_column(&self, column: usize) -> usize {
        column - self.first_column
    }

    /// Whether the rows of B that it sums over lie at equal distances.
    pub(super) fn is_in_one_block(&self) -> bool {
        self.depth.len <= self.depth.per_block - self.depth.first
    }

    /// The product for some vectors of columns from `column` on, which reads `copy` instead of B: so many whole vectors for each row. It must be in
    /// one block.
    #[track_caller]
    pub(super) fn with_copy<'a>(&'a self, (column, vectors): (usize, usize), copy: &'a [f32]) -> Product<'a, TRANSPOSED> {
        let (Depth { first, len, .. }, stride) = (self.depth, vectors * LANES);
        assert!(self.is_in_one_block() && len > 0 && copy.len() >= len * stride && column < self.n);
        Product {
            n: self.n.min(column + stride),
            a: &self.a[first * self.a_depth_stride()..],
            b: copy,
            b_depth_stride: stride,
            first_column: column,
            depth: Depth { first: 0, len, per_block: len, a_block_stride: 0, b_block_stride: 0 },
            ..*self
        }
    }

    /// The part of the product that sums over `len` of the depth from `first` on.
    #[track_caller]
    pub(super) fn part(&self, first: usize, len: usize) -> Self {
        let Depth { per_block, a_block_stride, b_block_stride, .. } = self.depth;
        assert!(first.checked_add(len).is_some_and(|end| end <= self.depth.len));
        let first = self.depth.first + first;
        let block = first / per_block;
        Self {
            a: &self.a[block * a_block_stride..],
            b: &self.b[block * b_block_stride..],
            depth: Depth { first: first % per_block, len, ..self.depth },
            ..*self
        }
    }
}

/// Whether a tile is limited by how fast B arrives from the cache of level 2.
const fn few_rows(rows: usize) -> bool {
    rows <= 2
}

/// Whether every step asks for a row of B, a few rows ahead: in tiles of few rows, of up to four where 32 registers hold wide ones, and in those that
/// are unmasked.
///
/// With sixteen registers these are of a single vector, whose row of B is one line somewhere in level 2, not a few beside each other; with a mask in a
/// register, one more address would send a sum of the tile through memory. With 32 registers only Intel's processors have them.
const fn asks_for_rows(rows: usize, vectors: usize, unmasked: bool) -> bool {
    few_rows(rows) || unmasked || vectors >= 3 && rows <= 4
}

/// How many rows of the next panel a tile asks for at once: each time is a branch, and many requests would wait for each other.
const ROWS_PER_FETCH: usize = 4;

/// How many rows ahead B is asked for by every step: no more than have room beside each other, see [`places_in_level_1`]. Where that is no danger,
/// from 8 to 32 rows ahead are equally fast.
pub(super) fn rows_ahead(b_depth_stride: usize) -> usize {
    (2 * places_in_level_1(b_depth_stride)).min(12)
}

/// Whether rows so far apart have so few places in a cache of level 1: 2 KiB, or a multiple of it.
pub(super) fn rows_compete(b_depth_stride: usize) -> bool {
    rows_ahead(b_depth_stride) <= 4
}

/// In a product that is no deeper, that row is one of the next panel instead.
pub(super) const SHALLOW: usize = 16;

/// Whether tiles of that shape have a version for rows of B that can be read in whole vectors: the tallest, which do most of the work.
const fn has_unmasked_version<S: Simd>(rows: usize, vectors: usize) -> bool {
    let is_wide = vectors >= 3 || !S::MASKED_LOADS_ARE_FREE;
    is_wide && rows + 1 >= S::TILE_ROWS[vectors - 1]
}

/// Whether that version is only for panels whose vectors are all whole. Where a mask has a register of its own, the version has masked steps, too,
/// for rows behind which B ends.
const fn are_all_whole<S: Simd>(unmasked: bool) -> bool {
    unmasked && !S::MASKED_LOADS_ARE_FREE
}

/// Whether tiles of that shape have chains of their own for a last vector that is half empty: the tallest, which do most of the work.
const fn has_halves<S: Simd>(rows: usize, vectors: usize) -> bool {
    S::HALVES_ARE_FASTER && !few_rows(rows) && rows + 2 >= S::TILE_ROWS[vectors - 1]
}

/// A run of equal tiles below each other: `tiles` tiles of some rows from `row` on, at the columns from `column` on. And as many more
/// such runs, beside each other, as make it `panels`.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) row: usize,
    pub(super) tiles: usize,
    pub(super) column: usize,
    pub(super) panels: usize,
    /// Whether the chains start here, or continue from the sums of the depth before.
    pub(super) starts: bool,
    /// Whether the chains end here, or leave their sums for the depth behind.
    pub(super) ends: bool,
    /// Whether its tiles ask for the next panel, or leave it to the processor.
    pub(super) fetches: bool,
    /// Whether tiles read whole vectors of B wherever it has them, and ask for rows ahead, also where masked loads are free: see
    /// [`Isa::is_intel`].
    pub(super) unmasked: bool,
    /// Whether tiles wait for the next where their epilogue has a reason: see [`interleaved`].
    pub(super) interleaves: bool,
    /// The tiles of other panels at these columns above it, and how many there are in all.
    pub(super) tiles_above: usize,
    pub(super) tiles_in_all: usize,
}

/// Computes a panel in tiles of `rows` rows and `vectors` vectors.
pub(super) fn run_panel<E: Epilogue, const TRANSPOSED: bool>(
    isa: Isa,
    (rows, vectors): (usize, usize),
    product: &Product<'_, TRANSPOSED>,
    panel: &Panel,
    epilogue: &mut E,
) {
    macro_rules! choose {
        ($($columns:literal: $($height:literal)+;)+) => {
            match (rows, vectors) {
                $($(($height, $columns) => isa.run(Tiles::<E, TRANSPOSED, $height, $columns> { product, panel, epilogue }),)+)+
                _ => unreachable!("no tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    choose! {
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4 5 6 7 8;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
}

struct Tiles<'a, E, const TRANSPOSED: bool, const ROWS: usize, const VECTORS: usize> {
    product: &'a Product<'a, TRANSPOSED>,
    panel: &'a Panel,
    epilogue: &'a mut E,
}

impl<E: Epilogue, const TRANSPOSED: bool, const ROWS: usize, const VECTORS: usize> SimdOp
    for Tiles<'_, E, TRANSPOSED, ROWS, VECTORS>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // A tile that this instruction set cannot hold in registers is never asked for; saying so, before code is generated, keeps it out
        // of the binary and of the time to compile it. So do the other constants in blocks.
        if const { ROWS > S::TILE_ROWS[VECTORS - 1] } {
            unreachable!("no tile of {ROWS} rows and {VECTORS} vectors");
        }
        let Panel { row, tiles, column, panels, starts, ends, .. } = *self.panel;
        let product = self.product;
        let width = panels * VECTORS * LANES;
        assert!(panels > 0 && tiles * ROWS <= product.m - row);
        assert!(column >= product.first_column && column + width - LANES < product.n);
        // Lower tiles are few, what an even cut leaves over.
        if const { E::INTERLEAVES && ROWS == interleaved::tile_rows(S::TILE_ROWS, VECTORS) }
            && (self.panel.interleaves && tiles > 1 && starts && ends)
        {
            // SAFETY: the rows and columns of the panel exist, as has been checked above.
            return unsafe { interleaved::run::<S, E, TRANSPOSED, ROWS, VECTORS>(simd, product, self.panel, self.epilogue) };
        }
        // Where masks cost something, the tallest tiles, which do most of the work, have a version without.
        let unmasked = if S::MASKED_LOADS_ARE_FREE { self.panel.unmasked } else { product.n - column >= width };
        if const { has_unmasked_version::<S>(ROWS, VECTORS) } && unmasked {
            self.run_tiles::<S, true>(simd);
        } else {
            self.run_tiles::<S, false>(simd);
        }
    }
}

impl<E: Epilogue, const TRANSPOSED: bool, const ROWS: usize, const VECTORS: usize> Tiles<'_, E, TRANSPOSED, ROWS, VECTORS> {
    /// All tiles of the panels, in the version that is `UNMASKED` or in the other.
    #[inline(always)]
    fn run_tiles<S: Simd, const UNMASKED: bool>(self, simd: S) {
        // Copies, so that the compiler knows that no store of the epilogue changes them.
        let (product, panel) = (*self.product, *self.panel);
        let fetches = panel.fetches && !few_rows(ROWS);
        let steps_per_fetch = match fetches {
            // A row at a time: many requests at once would wait for each other.
            _ if E::FETCHES => product.depth.len.div_ceil(ROWS),
            true => panel.tiles_in_all * ROWS_PER_FETCH,
            false => usize::MAX,
        };
        for number in 0..panel.panels {
            let column = panel.column + number * VECTORS * LANES;
            let width = match are_all_whole::<S>(UNMASKED) {
                true => VECTORS * LANES,
                false => (product.n - column).min(VECTORS * LANES),
            };
            let next_panel = match column + width {
                end if end < product.n => width,
                // The first panel is the next again, for the rows below.
                _ => column.wrapping_neg(),
            };
            let ahead = match product.depth.len {
                ..=SHALLOW => next_panel,
                _ => rows_ahead(product.b_depth_stride) * product.b_depth_stride,
            };
            for number in 0..panel.tiles {
                let row = panel.row + number * ROWS;
                let place = Place { row, column, width };
                // The tiles of a panel ask for the next one in turns, so that it comes evenly.
                let to_fetch = next_panel.wrapping_add((panel.tiles_above + number) * ROWS_PER_FETCH * product.b_depth_stride);
                let mut tile = begin_or_load(simd, self.epilogue, place, panel.starts);
                if !panel.starts {
                    fetch_sums::<S, ROWS, VECTORS>(simd, self.epilogue, row + ROWS, column);
                }
                let mut next = row;
                let fetch = |b: *const f32| {
                    if const { E::FETCHES } {
                        self.epilogue.fetch::<S, VECTORS>(simd, next, column);
                        next += 1;
                    } else if fetches {
                        ask_for::<S, VECTORS>(simd, b.wrapping_add(to_fetch), product.b_depth_stride);
                    }
                };
                // SAFETY: `run` has checked that all rows and columns of the panel exist.
                unsafe {
                    multiply::<S, TRANSPOSED, UNMASKED, ROWS, VECTORS>(
                        simd,
                        &product,
                        place,
                        ahead,
                        (steps_per_fetch, fetch),
                        &mut tile,
                    )
                };
                finish_or_store(simd, self.epilogue, place, panel.ends, tile);
            }
        }
    }
}

/// Asks for some rows of a panel of B, from `b` on.
#[inline(always)]
fn ask_for<S: Simd, const VECTORS: usize>(simd: S, b: *const f32, b_depth_stride: usize) {
    for row in 0..ROWS_PER_FETCH {
        unroll!(VECTORS, j => simd.prefetch::<2>(b.wrapping_add(row * b_depth_stride + j * LANES)));
    }
}

/// Continues the chains of one tile over the depth of a product. Where every step asks for a row of B, that lies `ahead` elements behind the one
/// that it reads. Calls `fetch`, with the row of B that comes next, before the first and then after every `steps_per_fetch` steps.
///
/// # Safety
/// The rows and columns of the tile must exist in the product.
#[inline(always)]
unsafe fn multiply<S: Simd, const TRANSPOSED: bool, const UNMASKED: bool, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    product: &Product<'_, TRANSPOSED>,
    place: Place,
    ahead: usize,
    (steps_per_fetch, mut fetch): (usize, impl FnMut(*const f32)),
    accumulators: &mut [[S::F32; VECTORS]; ROWS],
) {
    let Product { b_depth_stride, depth, .. } = *product;
    let (a_row_stride, a_depth_stride) = (product.a_row_stride(), product.a_depth_stride());
    let last_mask = simd.mask_first(place.last_width::<VECTORS>());
    let mut tile = *accumulators;
    let (mut a_block, mut b_block) = (place.row * a_row_stride, product.b_column(place.column));
    let (mut first, mut remaining) = (depth.first, depth.len);
    while remaining > 0 {
        let len = remaining.min(depth.per_block - first);
        let (a, b) = (a_block + first * a_depth_stride, b_block + first * b_depth_stride);
        let mut steps = Steps::<_, TRANSPOSED> {
            a: product.a.as_ptr().wrapping_add(a),
            a_row_stride,
            a_depth_stride,
            b: product.b.as_ptr().wrapping_add(b),
            b_depth_stride,
            ahead,
            steps_per_fetch,
            fetch: &mut fetch,
        };
        let (steps_at_first, mask) = match (UNMASKED, S::MASKED_LOADS_ARE_FREE) {
            (true, false) => (len, None),
            (false, true) => (len, Some(last_mask)),
            _ => (rows_without_mask(product.b.len(), b, (len, b_depth_stride), VECTORS), None),
        };
        // SAFETY: rows `first..first + len` of the block are rows of A and B, whose elements lie inside their slices, as the
        // constructors of `Product` have checked, and so do whole vectors of the first rows of B where they are not masked.
        unsafe {
            if const { !UNMASKED && has_halves::<S>(ROWS, VECTORS) } && place.is_half_empty::<VECTORS>() {
                steps.run::<S, UNMASKED, true, ROWS, VECTORS>(simd, steps_at_first, mask, &mut tile);
            } else {
                steps.run::<S, UNMASKED, false, ROWS, VECTORS>(simd, steps_at_first, mask, &mut tile);
            }
            // Where all vectors are whole, or all rows are read through the mask, none is left.
            if const { UNMASKED == S::MASKED_LOADS_ARE_FREE } {
                steps.run::<S, false, false, ROWS, VECTORS>(simd, len - steps_at_first, Some(last_mask), &mut tile);
            }
        }
        (first, remaining) = (0, remaining - len);
        a_block += depth.a_block_stride;
        b_block += depth.b_block_stride;
    }
    *accumulators = tile;
}

/// How many of some rows of B may be read in whole vectors from the element `first` on, `stride` elements apart: all but the last ones, mostly
/// one, behind whose columns B ends. What a vector holds beyond the columns goes into lanes that are never stored.
#[inline(always)]
pub(super) fn rows_without_mask(b_len: usize, first: usize, (rows, stride): (usize, usize), vectors: usize) -> usize {
    let mut unmasked = rows;
    while unmasked > 0 && first + (unmasked - 1) * stride + vectors * LANES > b_len {
        unmasked -= 1;
    }
    unmasked
}

/// How many steps before it is read a line of a transposed A is asked for. Each step reads another line, a whole row further, which no
/// processor foresees; where another part has written it, it lies in that part's cache or in level 3.
///
/// In training steps of 784-300-100-10 that gains 1.5 % at 512 rows with AVX-512, and 2 to 7 % from 64 rows on with AVX2, whose narrow
/// tiles read A more often. From 4 to 16 steps are alike.
const STEPS_AHEAD: usize = 8;

/// Where the next step of a tile's chains reads, and what is fetched meanwhile.
struct Steps<'a, F, const TRANSPOSED: bool> {
    a: *const f32,
    a_row_stride: usize,
    a_depth_stride: usize,
    b: *const f32,
    b_depth_stride: usize,
    ahead: usize,
    steps_per_fetch: usize,
    fetch: &'a mut F,
}

impl<F: FnMut(*const f32), const TRANSPOSED: bool> Steps<'_, F, TRANSPOSED> {
    /// Continues the chains by `len` steps.
    ///
    /// # Safety
    /// In each step, `ROWS` elements of A and `VECTORS` vectors of B, the last one as far as the mask is set, must be readable.
    #[inline(always)]
    unsafe fn run<S: Simd, const UNMASKED: bool, const HALF: bool, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        len: usize,
        last_mask: Option<S::Mask>,
        tile: &mut [[S::F32; VECTORS]; ROWS],
    ) {
        let mut rest = len;
        while rest > 0 {
            let now = rest.min(self.steps_per_fetch);
            (self.fetch)(self.b);
            for _ in 0..now {
                // SAFETY: the caller promises that these elements of A and B are readable.
                unsafe { step::<S, HALF, ROWS, VECTORS>(simd, (self.a, self.a_row_stride), (self.b, last_mask), tile) };
                if const { TRANSPOSED } {
                    // As far as the tile below reads: the tile above has asked for what this one does.
                    simd.prefetch::<1>(self.a.wrapping_add(STEPS_AHEAD * self.a_depth_stride + 2 * ROWS - 1));
                }
                if const { asks_for_rows(ROWS, VECTORS, UNMASKED) } {
                    unroll!(VECTORS, j => simd.prefetch::<1>(self.b.wrapping_add(j * LANES).wrapping_add(self.ahead)));
                }
                self.a = self.a.wrapping_add(self.a_depth_stride);
                self.b = self.b.wrapping_add(self.b_depth_stride);
            }
            rest -= now;
        }
    }
}

/// Continues the chains of a tile by one step, with a column of A and a row of B.
///
/// # Safety
/// `ROWS` elements of A, each a stride behind the one before, and `VECTORS` vectors of B, the last one as far as the mask is set, must be
/// readable.
#[inline(always)]
pub(super) unsafe fn step<S: Simd, const HALF: bool, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    (a, a_row_stride): (*const f32, usize),
    (b, last_mask): (*const f32, Option<S::Mask>),
    tile: &mut [[S::F32; VECTORS]; ROWS],
) {
    let mut b_row = [simd.zero(); VECTORS];
    unroll!(VECTORS, j => {
        let source = b.wrapping_add(j * LANES);
        // SAFETY: the caller promises that these elements of B are readable.
        b_row[j] = unsafe {
            match last_mask {
                Some(mask) if j + 1 == VECTORS => simd.load_pointer_masked(source, mask),
                _ => simd.load_pointer(source),
            }
        };
    });
    unroll!(ROWS <= 8, i => {
        // SAFETY: the caller promises that these elements of A are readable.
        let mut element = simd.splat(unsafe { *a.wrapping_add(i * a_row_stride) });
        if const { HALF && VECTORS > 1 } {
            element = simd.in_register(element);
        }
        unroll!(VECTORS, j => {
            tile[i][j] = match HALF && j + 1 == VECTORS {
                true => simd.mul_add_half(element, b_row[j], tile[i][j]),
                false => simd.mul_add(element, b_row[j], tile[i][j]),
            };
        });
    });
}
