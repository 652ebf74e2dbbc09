//! From the rows of a dataset to the rows of a minibatch, in one pass.
//!
//! | kernel | formula |
//! |---|---|
//! | [`gather_bytes`] | `y[i][j] = scale * x[order[i]][j] + shift` from bytes |
//! | [`gather`] | `y[i][j] = x[order[i]][j]` |

use super::matrix::{MatMut, MatRef};
use crate::simd::{Isa, LANES, Simd, SimdOp};

/// How bytes become numbers: `scale * byte + shift`, one fused multiply-add.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// The value of one grey level.
    pub scale: f32,
    /// The value of byte 0.
    pub shift: f32,
}

impl Scaling {
    /// From 0 to 1.
    pub const UNIT: Self = Self { scale: 1.0 / 255.0, shift: 0.0 };

    /// Mean 0 and standard deviation 1 for bytes of the given mean and deviation; a deviation of 0 only shifts.
    pub fn standardize(mean: f32, deviation: f32) -> Self {
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 1.0 };
        Self { scale, shift: -mean * scale }
    }
}

/// `y[i][j] = scale * x[order[i]][j] + shift`
///
/// # Shapes
/// `x: [any, n]` bytes without padding, `order: [m]`, `y: [m, n]`.
///
/// # Panics
/// If `order` has another length or names a row that is not there.
#[track_caller]
pub fn gather_bytes(isa: Isa, x: &[u8], order: &[u32], scaling: Scaling, y: MatMut<'_>) {
    check(order, &y);
    isa.run(GatherBytes { x, order, scaling, y });
}

/// `y[i][j] = x[order[i]][j]`
///
/// # Shapes
/// `x: [any, n]`, `order: [m]`, `y: [m, n]`.
///
/// # Panics
/// If the shapes do not fit each other or `order` names a row that is not there.
#[track_caller]
pub fn gather(x: MatRef<'_>, order: &[u32], mut y: MatMut<'_>) {
    check(order, &y);
    assert!(x.columns() == y.columns(), "rows of {} columns expected, found {}", x.columns(), y.columns());
    for (i, &row) in order.iter().enumerate() {
        y.row_mut(i).copy_from_slice(x.row(row as usize));
    }
}

#[track_caller]
fn check(order: &[u32], y: &MatMut<'_>) {
    assert!(order.len() == y.rows(), "an order of {} rows expected, found {}", y.rows(), order.len());
}

struct GatherBytes<'a> {
    x: &'a [u8],
    order: &'a [u32],
    scaling: Scaling,
    y: MatMut<'a>,
}

impl SimdOp for GatherBytes<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let columns = self.y.columns();
        let (scale, shift) = (simd.splat(self.scaling.scale), simd.splat(self.scaling.shift));
        for (i, &row) in self.order.iter().enumerate() {
            let row = row as usize;
            let (whole, tail) = self.x[row * columns..][..columns].as_chunks::<LANES>();
            let (targets, target_tail) = self.y.row_mut(i).as_chunks_mut::<LANES>();
            for (bytes, target) in whole.iter().zip(targets) {
                simd.store(simd.mul_add(simd.load_u8(bytes), scale, shift), target);
            }
            if !tail.is_empty() {
                let mut bytes = [0; LANES];
                bytes[..tail.len()].copy_from_slice(tail);
                simd.store_first(simd.mul_add(simd.load_u8(&bytes), scale, shift), target_tail);
            }
        }
    }
}
