//! From the rows of a dataset to the rows of a minibatch, in one pass.
//!
//! | kernel | formula |
//! |---|---|
//! | [`gather_bytes`] | `y[i][j] = scale * x[order[i]][j] + shift` from bytes |
//! | [`gather`] | `y[i][j] = x[order[i]][j]` |

use super::matrix::{MatMut, MatRef};
use crate::simd::{Isa, LANES, Simd, SimdOp};

/// How many rows before its use a row is asked for. Rows in random order come from main memory, and there one that is waited for takes
/// longer than all arithmetic on it in the gather. It is used once, and in level 2 takes the place of weights: a step of 512 rows is 1.5 % slower on
/// a Zen 5. A Zen 4 gathers 2.3 times as fast there, and its steps are equal.
const ROWS_AHEAD: usize = 4;

const CACHE_LINE: usize = 64;

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
    isa.run(Gather { isa, rows: Bytes { x, columns: y.columns(), scaling }, order, y });
}

/// `y[i][j] = x[order[i]][j]`
///
/// # Shapes
/// `x: [any, n]`, `order: [m]`, `y: [m, n]`.
///
/// # Panics
/// If the shapes do not fit each other or `order` names a row that is not there.
#[track_caller]
pub fn gather(isa: Isa, x: MatRef<'_>, order: &[u32], y: MatMut<'_>) {
    check(order, &y);
    assert!(x.columns() == y.columns(), "rows of {} columns expected, found {}", x.columns(), y.columns());
    isa.run(Gather { isa, rows: x, order, y });
}

#[track_caller]
fn check(order: &[u32], y: &MatMut<'_>) {
    assert!(order.len() == y.rows(), "an order of {} rows expected, found {}", y.rows(), order.len());
}

/// What rows are gathered from.
trait Rows {
    type Element;
    fn row(&self, i: usize) -> &[Self::Element];
    /// `y = x`, or what is made of it.
    fn take<S: Simd>(&self, simd: S, x: &[Self::Element], y: &mut [f32]);
}

impl Rows for MatRef<'_> {
    type Element = f32;
    #[inline(always)]
    fn row(&self, i: usize) -> &[f32] {
        MatRef::row(self, i)
    }
    #[inline(always)]
    fn take<S: Simd>(&self, _: S, x: &[f32], y: &mut [f32]) {
        y.copy_from_slice(x);
    }
}

struct Bytes<'a> {
    x: &'a [u8],
    columns: usize,
    scaling: Scaling,
}

impl Rows for Bytes<'_> {
    type Element = u8;
    #[inline(always)]
    fn row(&self, i: usize) -> &[u8] {
        &self.x[i * self.columns..][..self.columns]
    }
    #[inline(always)]
    fn take<S: Simd>(&self, simd: S, x: &[u8], y: &mut [f32]) {
        let (scale, shift) = (simd.splat(self.scaling.scale), simd.splat(self.scaling.shift));
        let (whole, tail) = x.as_chunks::<LANES>();
        let (targets, target_tail) = y.as_chunks_mut::<LANES>();
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

struct Gather<'a, R> {
    isa: Isa,
    rows: R,
    order: &'a [u32],
    y: MatMut<'a>,
}

impl<R: Rows> SimdOp for Gather<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let fetch = |&row: &u32| {
            for line in self.rows.row(row as usize).chunks(CACHE_LINE / size_of::<R::Element>()) {
                self.isa.prefetch_from_memory(simd, line.as_ptr().cast());
            }
        };
        self.order.iter().take(ROWS_AHEAD).for_each(fetch);
        for (i, &row) in self.order.iter().enumerate() {
            self.order.get(i + ROWS_AHEAD).into_iter().for_each(fetch);
            self.rows.take(simd, self.rows.row(row as usize), self.y.row_mut(i));
        }
    }
}
