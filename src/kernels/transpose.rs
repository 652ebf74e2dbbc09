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
    isa.run(Transpose { x, y, then: Then::Store });
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
    isa.run(Transpose { x, y, then: Then::Add });
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
    isa.run(Transpose { x, y, then: Then::Mask(mask) });
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

/// What becomes of a column that has been turned into a row.
#[derive(Clone, Copy)]
enum Then<'a> {
    Store,
    Add,
    Mask(&'a [u16]),
}

struct Transpose<'a> {
    x: MatRef<'a>,
    y: MatMut<'a>,
    then: Then<'a>,
}

impl SimdOp for Transpose<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (m, n) = (self.x.rows(), self.x.columns());
        let words = m.div_ceil(LANES);
        for i in (0..m).step_by(LANES) {
            let rows = (m - i).min(LANES);
            for j in (0..n).step_by(LANES) {
                let columns = (n - j).min(LANES);
                let mut block = [simd.zero(); LANES];
                for (k, row) in block.iter_mut().enumerate().take(rows) {
                    *row = simd.load_first(&self.x.row(i + k)[j..j + columns]);
                }
                let block = simd.transpose(block);
                for (k, column) in block.into_iter().enumerate().take(columns) {
                    let y = &mut self.y.row_mut(j + k)[i..i + rows];
                    let column = match self.then {
                        Then::Store => column,
                        Then::Add => simd.add(simd.load_first(y), column),
                        Then::Mask(mask) => {
                            let kept = simd.mask_from_bits(mask[(j + k) * words + i / LANES]);
                            simd.select(kept, column, simd.zero())
                        }
                    };
                    simd.store_first(column, y);
                }
            }
        }
    }
}
