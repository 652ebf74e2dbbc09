//! The innermost loops, and with `simd` and `parallel` the only unsafe code of the crate.
#![allow(unsafe_code, reason = "A and B are read through pointers: a bounds check per element would cost half of the speed")]

use super::RowBlocks;
use super::epilogue::Epilogue;
use crate::kernels::matrix::MatRef;
use crate::simd::{Isa, LANES, Simd, SimdOp};

/// The operands of a product `[m, k] * [k, n]`, checked: [`Product::of_rows`] and [`Product::of_columns`] make sure that every
/// element that a tile reads lies inside its slice.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    m: usize,
    n: usize,
    a: &'a [f32],
    a_row_stride: usize,
    a_depth_stride: usize,
    b: &'a [f32],
    b_depth_stride: usize,
    depth: Depth,
}

/// The dimension `k` that a product sums over, in blocks.
#[derive(Clone, Copy)]
struct Depth {
    len: usize,
    per_block: usize,
    a_block_stride: usize,
    b_block_stride: usize,
}

impl<'a> Product<'a> {
    /// `A B`.
    #[track_caller]
    pub(super) fn of_rows(a: MatRef<'a>, b: MatRef<'a>) -> Self {
        let (m, k, n) = (a.rows(), a.columns(), b.columns());
        assert!(k == b.rows(), "A is {m} x {k}: B of {k} rows expected, found {}", b.rows());
        // `MatRef` has checked that its rows lie inside its slice.
        Self {
            m,
            n,
            a: a.data(),
            a_row_stride: a.leading_dimension(),
            a_depth_stride: 1,
            b: b.data(),
            b_depth_stride: b.leading_dimension(),
            depth: Depth { len: k, per_block: k.max(1), a_block_stride: 0, b_block_stride: 0 },
        }
    }

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
            a_row_stride: 1,
            a_depth_stride: a.leading_dimension,
            b: b.data,
            b_depth_stride: b.leading_dimension,
            depth: Depth {
                len: k,
                per_block: a.rows_per_block.min(b.rows_per_block),
                a_block_stride: a.block_stride,
                b_block_stride: b.block_stride,
            },
        }
    }

    pub(super) fn m(&self) -> usize {
        self.m
    }

    pub(super) fn n(&self) -> usize {
        self.n
    }
}

/// A run of equal tiles below each other: `tiles` tiles of some rows from `row` on, at the columns from `column` on.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) row: usize,
    pub(super) tiles: usize,
    pub(super) column: usize,
}

/// Computes a panel in tiles of `rows` rows and `vectors` vectors.
pub(super) fn run_panel<E: Epilogue>(
    isa: Isa,
    (rows, vectors): (usize, usize),
    product: &Product<'_>,
    panel: Panel,
    epilogue: &mut E,
) {
    macro_rules! choose {
        ($($columns:literal: $($height:literal)+;)+) => {
            match (rows, vectors) {
                $($(($height, $columns) => isa.run(Tiles::<E, $height, $columns> { product, panel, epilogue }),)+)+
                _ => unreachable!("no tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    choose! {
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4 5 6;
        3: 1 2 3 4 5 6;
        4: 1 2 3 4 5 6;
    }
}

/// Repeats an expression for each row of a tile, written out: in a loop, which the compiler might leave as one, a row number that is
/// not a constant would send all accumulators through memory.
macro_rules! for_each_row {
    ($rows:expr, $i:ident => $body:expr) => {
        for_each_row!(@ $rows, $i, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $rows:expr, $i:ident, $body:expr, $($row:literal)+) => {
        $(if $row < $rows {
            let $i = $row;
            $body;
        })+
    };
}

struct Tiles<'a, E, const ROWS: usize, const VECTORS: usize> {
    product: &'a Product<'a>,
    panel: Panel,
    epilogue: &'a mut E,
}

impl<E: Epilogue, const ROWS: usize, const VECTORS: usize> SimdOp for Tiles<'_, E, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // A tile that this instruction set cannot hold in registers is never asked for; saying so keeps its code out of the binary.
        if ROWS > S::TILE_ROWS[VECTORS - 1] {
            unreachable!("no tile of {ROWS} rows and {VECTORS} vectors");
        }
        let Panel { row, tiles, column } = self.panel;
        let product = self.product;
        assert!(tiles * ROWS <= product.m - row && column + (VECTORS - 1) * LANES < product.n);
        // Wide tiles do most of the work, so what little a mask costs there is worth a version without.
        let unmasked = VECTORS > 2 || !S::MASKED_LOADS_ARE_FREE;
        if unmasked && product.n - column >= VECTORS * LANES {
            self.run_tiles::<S, true>(simd);
        } else {
            self.run_tiles::<S, false>(simd);
        }
    }
}

impl<E: Epilogue, const ROWS: usize, const VECTORS: usize> Tiles<'_, E, ROWS, VECTORS> {
    /// All tiles of the panel, whose last vector is `WHOLE` or masked.
    #[inline(always)]
    fn run_tiles<S: Simd, const WHOLE: bool>(self, simd: S) {
        let Panel { row, tiles, column } = self.panel;
        let width = if WHOLE { VECTORS * LANES } else { (self.product.n - column).min(VECTORS * LANES) };
        for row in (0..tiles).map(|tile| row + tile * ROWS) {
            let mut accumulators = [[simd.zero(); VECTORS]; ROWS];
            for_each_row!(ROWS, i => accumulators[i] = self.epilogue.begin(simd, row + i, column, width));
            // SAFETY: `run` has checked that all rows and columns of the panel exist.
            unsafe { multiply::<S, ROWS, VECTORS, WHOLE>(simd, self.product, row, column, &mut accumulators) };
            for_each_row!(ROWS, i => self.epilogue.finish(simd, row + i, column, width, accumulators[i]));
        }
    }
}

/// Continues the chains of one tile over the whole depth.
///
/// # Safety
/// Rows `row..row + ROWS` of A must exist, and of B all columns of the vectors from `column` on, but those of the last vector that
/// lie beyond column `n` if it is not `WHOLE`.
#[inline(always)]
unsafe fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize, const WHOLE: bool>(
    simd: S,
    product: &Product<'_>,
    row: usize,
    column: usize,
    accumulators: &mut [[S::F32; VECTORS]; ROWS],
) {
    let Product { a_row_stride, a_depth_stride, b_depth_stride, depth, .. } = *product;
    let last_mask = simd.mask_first((product.n - column).saturating_sub((VECTORS - 1) * LANES));
    let mut tile = *accumulators;
    let mut a_block = product.a.as_ptr().wrapping_add(row * a_row_stride);
    let mut b_block = product.b.as_ptr().wrapping_add(column);
    let mut remaining = depth.len;
    while remaining > 0 {
        let len = remaining.min(depth.per_block);
        let (mut a, mut b) = (a_block, b_block);
        for _ in 0..len {
            let mut b_row = [simd.zero(); VECTORS];
            for (j, vector) in b_row.iter_mut().enumerate() {
                // SAFETY: this is row p of B for a p below the depth, so its `n` columns lie inside the slice, and a vector that
                // reaches beyond them is masked there.
                *vector = unsafe {
                    if WHOLE || j + 1 < VECTORS {
                        simd.load_pointer(b.wrapping_add(j * LANES))
                    } else {
                        simd.load_pointer_masked(b.wrapping_add(j * LANES), last_mask)
                    }
                };
            }
            for (i, line) in tile.iter_mut().enumerate() {
                // SAFETY: element (row + i, p) of A lies inside its slice, as the constructors of `Product` have checked.
                let element = simd.splat(unsafe { *a.wrapping_add(i * a_row_stride) });
                for (accumulator, vector) in line.iter_mut().zip(b_row) {
                    *accumulator = simd.mul_add(element, vector, *accumulator);
                }
            }
            a = a.wrapping_add(a_depth_stride);
            b = b.wrapping_add(b_depth_stride);
        }
        remaining -= len;
        a_block = a_block.wrapping_add(depth.a_block_stride);
        b_block = b_block.wrapping_add(depth.b_block_stride);
    }
    *accumulators = tile;
}
