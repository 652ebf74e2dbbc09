//! Transposition, alone or with a mask.
//!
//! | kernel | formula | in place | reads and writes |
//! |---|---|---|---|
//! | [`transpose`] | `y = x^T` | no | each element once |
//! | [`transpose_added`] | `y = y + x^T` | yes | each element of `x` once |
//! | [`transpose_masked`] | `y = mask ? x^T : 0` | no | each element once |
//!
//! In blocks of sixteen by sixteen, which are turned in registers.

use super::matrix::{MatMut, MatRef};
use crate::simd::tile::Tile;
use crate::simd::{Isa, LANES, Simd, SimdOp};

/// `y = x^T`.
///
/// # Shapes
/// `x: [m, n]`, `y: [n, m]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn transpose(isa: Isa, x: MatRef<'_>, y: MatMut<'_>) {
    check(&x, &y);
    isa.run(Transpose::<false, false> { x, y, mask: &[] });
}

/// `y = y + x^T`.
///
/// # Shapes
/// `x: [m, n]`, `y: [n, m]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn transpose_added(isa: Isa, x: MatRef<'_>, y: MatMut<'_>) {
    check(&x, &y);
    isa.run(Transpose::<true, false> { x, y, mask: &[] });
}

/// `y = x^T` where the mask is set, else 0, whatever `x` is there.
///
/// The mask has a row for each row of `y`, of one word for every sixteen columns, as
/// [`BiasedRelu`](super::gemm::BiasedRelu) writes it: the gradient of a ReLU is its mask.
///
/// # Shapes
/// `x: [m, n]`, `mask: [n, m.div_ceil(16)]`, `y: [n, m]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn transpose_masked(isa: Isa, x: MatRef<'_>, mask: &[u16], y: MatMut<'_>) {
    check(&x, &y);
    let words = y.rows() * y.columns().div_ceil(LANES);
    assert!(mask.len() == words, "a mask of {words} words expected, found {}", mask.len());
    isa.run(Transpose::<false, true> { x, y, mask });
}

#[track_caller]
fn check(x: &MatRef<'_>, y: &MatMut<'_>) {
    assert!(
        (y.rows(), y.columns()) == (x.columns(), x.rows()),
        "a result of {} x {} expected, found {} x {}",
        x.columns(),
        x.rows(),
        y.rows(),
        y.columns()
    );
}

/// `y = x^T`, `ADDED` to `y` or `MASKED`.
struct Transpose<'a, const ADDED: bool, const MASKED: bool> {
    x: MatRef<'a>,
    y: MatMut<'a>,
    mask: &'a [u16],
}

impl<const ADDED: bool, const MASKED: bool> SimdOp for Transpose<'_, ADDED, MASKED> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (m, n) = (self.x.rows(), self.x.columns());
        // Along the rows of `y`: writing goes on where it was, and it is reading that jumps, which the processor does ahead.
        for j in (0..n).step_by(LANES) {
            for i in (0..m).step_by(LANES) {
                let (rows, columns) = ((m - i).min(LANES), (n - j).min(LANES));
                let block = simd.transpose(self.load(simd, (i, rows), (j, columns)));
                self.store(simd, (i, rows), (j, columns), &block);
            }
        }
    }
}

impl<const ADDED: bool, const MASKED: bool> Transpose<'_, ADDED, MASKED> {
    /// Some `rows` from row `i` of `x` on, of which some `columns` from column `j` on.
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, (i, rows): (usize, usize), (j, columns): (usize, usize)) -> [S::F32; LANES] {
        let mut block = [simd.zero(); LANES];
        if rows == LANES {
            let tile = Tile::<LANES, 1>::new(self.x.leading_dimension(), (i, j, columns));
            for (k, row) in block.iter_mut().enumerate() {
                *row = tile.load(simd, self.x.data(), k, 0);
            }
        } else {
            for (k, row) in block.iter_mut().enumerate().take(rows) {
                *row = simd.load_first(&self.x.row(i + k)[j..j + columns]);
            }
        }
        block
    }

    /// The same part of `x`, turned, to `y`.
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, (i, rows): (usize, usize), (j, columns): (usize, usize), block: &[S::F32; LANES]) {
        let leading_dimension = self.y.leading_dimension();
        if columns == LANES {
            let tile = Tile::<LANES, 1>::new(leading_dimension, (j, i, rows));
            for (k, &column) in block.iter().enumerate() {
                self.store_row(simd, (tile, k), (j + k, i), column);
            }
        } else {
            for (k, &column) in block.iter().enumerate().take(columns) {
                let tile = Tile::<1, 1>::new(leading_dimension, (j + k, i, rows));
                self.store_row(simd, (tile, 0), (j + k, i), column);
            }
        }
    }

    /// A column of `x` to row `k` of a tile of `y`, which begins at column `i` of row `j` of `y`.
    #[inline(always)]
    fn store_row<S: Simd, const ROWS: usize>(
        &mut self,
        simd: S,
        (tile, k): (Tile<ROWS, 1>, usize),
        (j, i): (usize, usize),
        column: S::F32,
    ) {
        let column = self.masked(simd, (j, i), column);
        let y = self.y.data_mut();
        let column = if ADDED { simd.add(tile.load(simd, y, k, 0), column) } else { column };
        tile.store(simd, y, (k, 0), column);
    }

    /// What the mask leaves of sixteen elements from column `i` of row `j` of `y` on.
    #[inline(always)]
    fn masked<S: Simd>(&self, simd: S, (j, i): (usize, usize), elements: S::F32) -> S::F32 {
        if !MASKED {
            return elements;
        }
        let word = self.mask[j * self.y.columns().div_ceil(LANES) + i / LANES];
        simd.select(simd.mask_from_bits(word), elements, simd.zero())
    }
}
