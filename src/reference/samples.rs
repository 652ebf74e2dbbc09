//! Numbers to try kernels on, and how their results are compared.

use std::fmt::Debug;
use std::vec::Vec;

/// Zeros, denormals, limits, infinities and NaN among ordinary numbers.
pub(crate) const SPECIAL: [f32; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    1e-39,
    -1e-39,
    f32::MAX,
    f32::MIN,
    1e-20,
    -1e20,
    0.1,
    -3.5,
    16_777_216.0,
];

/// Numbers from -2 to 2 that depend on the seed only.
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mut z = (seed << 32 | i).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ z >> 31) >> 40) as f32 / (1 << 22) as f32 - 2.0
        })
        .collect()
}

/// Asserts that two results are the same bits; one NaN is as good as another.
#[track_caller]
pub(crate) fn assert_same_bits(context: impl Debug, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{context:?}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{context:?}: element {i} is {found:e}, expected {expected:e}");
    }
}

/// A matrix of ordinary numbers whose padding is NaN.
pub(crate) fn ordinary_matrix(seed: u64, rows: usize, columns: usize, leading_dimension: usize) -> Vec<f32> {
    let mut data = std::vec![f32::NAN; rows * leading_dimension];
    for i in 0..rows {
        data[i * leading_dimension..][..columns].copy_from_slice(&numbers(seed * 1000 + i as u64, columns));
    }
    data
}

/// The same with a special number here and there. Sums of more than a few of its elements are NaN or infinite, and so show little.
pub(crate) fn matrix(seed: u64, rows: usize, columns: usize, leading_dimension: usize) -> Vec<f32> {
    let mut data = ordinary_matrix(seed, rows, columns, leading_dimension);
    for i in 0..rows {
        let row = &mut data[i * leading_dimension..][..columns];
        for (j, x) in row.iter_mut().enumerate().filter(|(j, _)| (i + j) % 5 == 0) {
            *x = SPECIAL[(i + j / 5) % SPECIAL.len()];
        }
    }
    data
}

/// Makes a matrix from a seed, rows, columns and a leading dimension.
type MakeMatrix = fn(u64, usize, usize, usize) -> Vec<f32>;

/// How to make the matrices of a test of kernels that sum up: with special numbers and without. Miri, to which numbers are all alike, has those
/// without.
pub(crate) fn kinds_of_matrices() -> impl Iterator<Item = MakeMatrix> {
    [ordinary_matrix as MakeMatrix, matrix].into_iter().take(if cfg!(miri) { 1 } else { 2 })
}
