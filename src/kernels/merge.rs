//! Two matrices become one, and a gradient becomes two.
//!
//! | kernel | formula | in place | writes |
//! |---|---|---|---|
//! | [`copy`] | `y = x` | no | replaces |
//! | [`add`] | `y = y + x` | yes | adds |
//!
//! Both serve forward and backward: a sum passes its gradient on to each of its terms as it is, a concatenation by columns.

use super::matrix::{MatMut, MatRef};
use super::norm::check_shape;
use crate::simd::{Isa, MapOp, Simd, slice};

/// `y = x`
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn copy(x: MatRef<'_>, mut y: MatMut<'_>) {
    check_shape("y", (x.rows(), x.columns()), (y.rows(), y.columns()));
    for i in 0..x.rows() {
        y.row_mut(i).copy_from_slice(x.row(i));
    }
}

/// `y = y + x`
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn add(isa: Isa, x: MatRef<'_>, mut y: MatMut<'_>) {
    struct Add;
    impl MapOp<1, 1> for Add {
        #[inline(always)]
        fn map<S: Simd>(&self, simd: S, [x]: [S::F32; 1], [y]: [S::F32; 1]) -> [S::F32; 1] {
            [simd.add(y, x)]
        }
    }
    check_shape("y", (x.rows(), x.columns()), (y.rows(), y.columns()));
    for i in 0..x.rows() {
        slice::map(isa, Add, [x.row(i)], [y.row_mut(i)]);
    }
}
