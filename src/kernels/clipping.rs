//! Clipping of gradients by their norm, and the sums that norms and penalties are made of.
//!
//! | kernel | formula | passes |
//! |---|---|---|
//! | [`sum_of_squares`] | `sum over i and j of x[i][j]^2` | reads each element once |
//! | [`sums_of_squares`] | the same for each micro-shard of rows | reads each element once |
//! | [`sum_of_magnitudes`] | `sum over i and j of abs(x[i][j])` | reads each element once |
//! | [`sums_of_magnitudes`] | the same for each micro-shard of rows | reads each element once |
//! | [`factor_by_norm`] | `limit / max(norm, limit)` | |
//! | [`factor_by_global_norm`] | `limit / max(norm, limit)`, NaN unless the norm is finite | |
//!
//! The factor goes into [`Rescaled`](super::optimizers::Rescaled), so the gradient is read once for the norm and once for the step.
//! `clipnorm` of Keras takes the norm of each tensor by itself, `global_clipnorm` that of all tensors together:
//! `sqrt(reduce::sum(sums of squares of the tensors))`.
//!
//! The rows of a micro-shard (see [`reduce`]) are summed one after the other in sixteen lanes, which are added by
//! their fixed tree, and [`reduce::sum`] adds the shards. So threads may share the rows, in
//! whole micro-shards, without changing a bit. Squares overflow where elements are beyond 1.8e19; the norm is then infinite.

use super::matrix::MatRef;
use super::reduce::{self, MICRO_SHARD};
use crate::simd::{Isa, LANES, Simd, SimdOp, unroll};

/// `sum over i and j of x[i][j]^2`
pub fn sum_of_squares(isa: Isa, x: MatRef<'_>) -> f32 {
    reduce::sum(of_shards(isa, Square, x))
}

/// `y[s] = sum over the rows i of micro-shard s and over j of x[i][j]^2`: the share of one thread. [`reduce::sum`] of the results of all
/// threads, in the order of their rows, is [`sum_of_squares`] of the whole, if each thread but the last has whole micro-shards.
///
/// # Shapes
/// `x: [m, n]`, `y: [m.div_ceil(MICRO_SHARD)]`.
///
/// # Panics
/// If `y` has another length.
#[track_caller]
pub fn sums_of_squares(isa: Isa, x: MatRef<'_>, y: &mut [f32]) {
    write_shards(isa, Square, x, y);
}

/// `sum over i and j of abs(x[i][j])`
pub fn sum_of_magnitudes(isa: Isa, x: MatRef<'_>) -> f32 {
    reduce::sum(of_shards(isa, Magnitude, x))
}

/// [`sums_of_squares`] of absolute values, for [`sum_of_magnitudes`].
///
/// # Shapes
/// `x: [m, n]`, `y: [m.div_ceil(MICRO_SHARD)]`.
///
/// # Panics
/// If `y` has another length.
#[track_caller]
pub fn sums_of_magnitudes(isa: Isa, x: MatRef<'_>, y: &mut [f32]) {
    write_shards(isa, Magnitude, x, y);
}

/// What an element adds to a sum.
trait Term: Copy {
    fn add<S: Simd>(self, simd: S, x: S::F32, sum: S::F32) -> S::F32;
}

#[derive(Clone, Copy)]
struct Square;

impl Term for Square {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, x: S::F32, sum: S::F32) -> S::F32 {
        simd.mul_add(x, x, sum)
    }
}

#[derive(Clone, Copy)]
struct Magnitude;

impl Term for Magnitude {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, x: S::F32, sum: S::F32) -> S::F32 {
        simd.add(sum, simd.abs(x))
    }
}

#[track_caller]
fn write_shards(isa: Isa, term: impl Term, x: MatRef<'_>, y: &mut [f32]) {
    let shards = x.rows().div_ceil(MICRO_SHARD);
    assert!(y.len() == shards, "sums of {shards} micro-shards expected, found {}", y.len());
    for (y, sum) in y.iter_mut().zip(of_shards(isa, term, x)) {
        *y = sum;
    }
}

/// The sum of each micro-shard. Four at once as far as they go: the sum of one waits for itself.
fn of_shards<T: Term>(isa: Isa, term: T, x: MatRef<'_>) -> impl Iterator<Item = f32> {
    const ROWS: usize = 4 * MICRO_SHARD;
    let by_four = x.rows() - x.rows() % ROWS;
    let fours = (0..by_four).step_by(ROWS).flat_map(move |first| isa.run(OfShards::<T, 4> { term, x, first }));
    let others = (by_four..x.rows()).step_by(MICRO_SHARD).flat_map(move |first| isa.run(OfShards::<T, 1> { term, x, first }));
    fours.chain(others)
}

/// So many micro-shards from row `first` on, of which only a single one may be partial.
struct OfShards<'a, T, const N: usize> {
    term: T,
    x: MatRef<'a>,
    first: usize,
}

impl<T: Term, const N: usize> SimdOp for OfShards<'_, T, N> {
    type Output = [f32; N];
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [f32; N] {
        let Self { term, x, first } = self;
        let mut sums = [simd.zero(); N];
        for i in first..x.rows().min(first + MICRO_SHARD) {
            let rows: [&[f32]; N] = core::array::from_fn(|shard| x.row(i + shard * MICRO_SHARD));
            for start in (0..x.columns()).step_by(LANES) {
                let columns = start..x.columns().min(start + LANES);
                unroll!(N, shard => sums[shard] = term.add(simd, simd.load_first(&rows[shard][columns.clone()]), sums[shard]));
            }
        }
        let mut totals = [0.0; N];
        unroll!(N, shard => totals[shard] = simd.sum_lanes(sums[shard]));
        totals
    }
}

/// The factor that brings a gradient of the given norm down to `limit`; 1 if it is not above. NaN gives NaN.
pub fn factor_by_norm(norm: f32, limit: f32) -> f32 {
    if norm <= limit { 1.0 } else { limit / norm }
}

/// [`factor_by_norm`] for the norm of all gradients together, NaN if that is infinite, so that a broken step is not taken for a step
/// of zeros.
pub fn factor_by_global_norm(norm: f32, limit: f32) -> f32 {
    if norm == f32::INFINITY { f32::NAN } else { factor_by_norm(norm, limit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::clipping as reference;
    use crate::reference::samples::{SPECIAL, assert_same_bits, numbers};
    use std::vec;

    type Whole = fn(Isa, MatRef<'_>) -> f32;
    type OfShards = fn(Isa, MatRef<'_>, &mut [f32]);

    /// Sums over a matrix, over its micro-shards, and the twin of the first.
    const KERNELS: [(Whole, OfShards, Whole); 2] = [
        (sum_of_squares, sums_of_squares, reference::sum_of_squares),
        (sum_of_magnitudes, sums_of_magnitudes, reference::sum_of_magnitudes),
    ];

    #[test]
    fn sums_equal_their_twin_however_the_rows_are_shared() {
        for isa in Isa::available() {
            for rows in [0, 1, 15, 16, 17, 33, 100] {
                for columns in [0, 1, 15, 16, 17, 33] {
                    let ld = columns + 3;
                    let mut data = vec![f32::NAN; rows * ld];
                    for i in 0..rows {
                        data[i * ld..i * ld + columns].copy_from_slice(&numbers(i as u64, columns));
                    }
                    let x = MatRef::new(&data, rows, columns, ld);
                    for (whole, of_shards, twin) in KERNELS {
                        let expected = twin(isa, x);
                        assert_same_bits((isa, rows, columns), &[whole(isa, x)], &[expected]);
                        let mut shards = vec![0.0; rows.div_ceil(MICRO_SHARD)];
                        let first = rows.min(2 * MICRO_SHARD);
                        let (low, high) = shards.split_at_mut(first.div_ceil(MICRO_SHARD));
                        of_shards(isa, MatRef::new(&data, first, columns, ld), low);
                        of_shards(isa, MatRef::new(&data[first * ld..], rows - first, columns, ld), high);
                        assert_same_bits((isa, rows, columns), &[reduce::sum(shards)], &[expected]);
                    }
                }
            }
            for special in SPECIAL {
                let mut data = numbers(7, 40);
                data[23] = special;
                let x = MatRef::new(&data, 2, 20, 20);
                for (whole, _, twin) in KERNELS {
                    assert_same_bits((isa, special), &[whole(isa, x)], &[twin(isa, x)]);
                }
            }
        }
    }

    #[test]
    fn sums_are_accurate() {
        let data = numbers(1, 784 * 300);
        let squares: f64 = data.iter().map(|&x| f64::from(x).powi(2)).sum();
        let magnitudes: f64 = data.iter().map(|&x| f64::from(x).abs()).sum();
        for isa in Isa::available() {
            for (rows, columns) in [(784, 300usize), (1, 784 * 300)] {
                let bound = (MICRO_SHARD * columns.div_ceil(LANES)) as f64 * 2f64.powi(-24);
                for ((whole, ..), exact) in KERNELS.into_iter().zip([squares, magnitudes]) {
                    let found = f64::from(whole(isa, MatRef::new(&data, rows, columns, columns)));
                    assert!((found / exact - 1.0).abs() < bound.min(1e-5), "{isa}: {found} {exact}");
                }
            }
        }
    }

    #[test]
    fn factors_bring_the_norm_down_to_the_limit() {
        for factor in [factor_by_norm, factor_by_global_norm] {
            assert_eq!(factor(5.0, 1.0), 0.2);
            assert_eq!(factor(0.5, 1.0), 1.0);
            assert_eq!(factor(0.0, 1.0), 1.0);
            assert!(factor(f32::NAN, 1.0).is_nan());
        }
        assert_eq!(factor_by_norm(f32::INFINITY, 1.0), 0.0);
        assert!(factor_by_global_norm(f32::INFINITY, 1.0).is_nan());
    }
}
