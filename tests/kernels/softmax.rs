//! Softmax: the bits of its twin, and what becomes of extreme rows.

use crate::support::buffer::Place;
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::softmax::softmax_forward;
use selvedge::reference;
use selvedge::simd::{Isa, LANES};

/// Rows of logits around every edge of a vector.
pub(super) fn case(place: Place, (m, n): (usize, usize)) {
    for isa in isas() {
        for (numbers, scale) in [(Numbers::Real, 1.0), (Numbers::Real, 30.0), (Numbers::Wild, 5.0)] {
            for padding in [0, 1, 16] {
                let logits = |place| {
                    let mut rng = Rng::with_seed((m * 100 + n) as u64);
                    Matrix::new(place, (m, n), Layout::padded(padding), |_, _| numbers.next(&mut rng) * scale)
                };
                let (mut found, mut expected) = (logits(place), logits(Place::Heap));
                softmax_forward(isa, found.as_mut());
                reference::softmax::softmax_forward(isa, expected.as_mut());
                found.assert_same(&expected, &format_args!("{isa}, {m} x {n}, {numbers:?} times {scale}, {place:?}"));
            }
        }
    }
}

#[test]
fn softmax_equals_its_twin() {
    for n in (0..=2 * LANES + 1).chain([47, 48, 49, 100, 255, 256, 257]) {
        for m in [0, 1, 7, 8, 17, 26] {
            case(Place::Heap, (m, n));
        }
    }
}

/// The softmax of one row.
fn softmax(isa: Isa, row: &[f32]) -> Vec<f32> {
    let mut x = Matrix::new(Place::Heap, (1, row.len()), Layout::padded(2), |_, j| row[j]);
    softmax_forward(isa, x.as_mut());
    x.row(0).to_vec()
}

/// Rows of finite numbers at the ends of the range, each repeated to several lengths.
pub(super) fn extreme_rows() -> Vec<Vec<f32>> {
    let tiny = f32::from_bits(1);
    let patterns: [&[f32]; 14] = [
        &[0.0],
        &[-0.0],
        &[1.0],
        &[f32::MAX],
        &[f32::MIN],
        &[tiny],
        &[f32::MAX, f32::MIN],
        &[f32::MIN, f32::MAX],
        &[f32::MAX, 0.0],
        &[f32::MIN, 0.0],
        &[tiny, -tiny, 0.0, -0.0],
        &[f32::MIN_POSITIVE, tiny, -f32::MIN_POSITIVE],
        &[1e30, 88.0, -88.0],
        &[104.0, 0.0, -104.0, -1000.0],
    ];
    let lengths = [1, 2, 3, 10, 15, 16, 17, 33];
    patterns.iter().flat_map(|pattern| lengths.map(|n| pattern.iter().copied().cycle().take(n).collect())).collect()
}

#[test]
fn softmax_of_a_finite_row_is_a_distribution() {
    for isa in isas() {
        for row in extreme_rows() {
            let probabilities = softmax(isa, &row);
            assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{isa}: {row:?} became {probabilities:?}");
            let sum: f64 = probabilities.iter().map(|&p| f64::from(p)).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{isa}: {row:?} sums to {sum}");
        }
    }
}

#[test]
fn softmax_of_equal_elements_is_uniform() {
    for isa in isas() {
        for n in 1..=40 {
            for value in [0.0, -3.5, f32::MAX, f32::MIN, f32::from_bits(1)] {
                assert_eq!(softmax(isa, &vec![value; n]), vec![1.0 / n as f32; n], "{isa}, {n} times {value:e}");
            }
        }
    }
}

#[test]
fn softmax_swallows_no_nan_and_no_infinity() {
    for isa in isas() {
        for n in 1..=40 {
            for bad in [f32::NAN, f32::INFINITY, POISON] {
                for at in 0..n {
                    let mut row: Vec<f32> = (0..n).map(|j| j as f32).collect();
                    row[at] = bad;
                    assert!(softmax(isa, &row).iter().all(|p| p.is_nan()), "{isa}: {bad} at {at} of {n} is swallowed");
                }
            }
        }
    }
}

#[test]
fn softmax_gives_negative_infinity_no_probability() {
    for isa in isas() {
        for n in 2..=40 {
            let row: Vec<f32> = (0..n).map(|j| if j % 2 == 0 { f32::NEG_INFINITY } else { 2.0 }).collect();
            for (j, p) in softmax(isa, &row).into_iter().enumerate() {
                let expected = if j % 2 == 0 { 0.0 } else { 1.0 / (n / 2) as f32 };
                assert_eq!(p.to_bits(), f32::to_bits(expected), "{isa}: {j} of {n}");
            }
            // Nothing but negative infinity has no distribution.
            assert!(softmax(isa, &vec![f32::NEG_INFINITY; n]).iter().all(|p| p.is_nan()));
        }
    }
}
