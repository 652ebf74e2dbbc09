//! Softmax cross-entropy: the bits of its twin, and what becomes of extreme rows.

use super::softmax::extreme_rows;
use crate::support::bits::assert_same;
use crate::support::buffer::{Buffer, Place};
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::loss::softmax_cross_entropy;
use selvedge::reference;
use selvedge::simd::{Isa, LANES};

/// One shape, with labels everywhere in the row.
pub(super) fn case(place: Place, (m, n): (usize, usize)) {
    for isa in isas() {
        for (numbers, scale) in [(Numbers::Real, 1.0), (Numbers::Real, 30.0), (Numbers::Wild, 5.0)] {
            for padding in [0, 1, 16] {
                let mut rng = Rng::with_seed((m * 100 + n) as u64);
                let labels: Vec<u32> = (0..m).map(|_| rng.u32(..n as u32)).collect();
                let seed = rng.u64(..);
                let logits = |place| {
                    let mut rng = Rng::with_seed(seed);
                    Matrix::new(place, (m, n), Layout::padded(padding), |_, _| numbers.next(&mut rng) * scale)
                };
                let (mut found, mut expected) = (logits(place), logits(Place::Heap));
                let (mut losses, mut expected_losses) = (Buffer::new(place, vec![POISON; m]), vec![POISON; m]);
                let labels = Buffer::new(place, labels);
                let mean = 1.0 / m.max(1) as f32;
                let hits = softmax_cross_entropy(isa, found.as_mut(), &labels, mean, &mut losses);
                let expected_hits =
                    reference::loss::softmax_cross_entropy(isa, expected.as_mut(), &labels, mean, &mut expected_losses);
                let case = format_args!("{isa}, {m} x {n}, {numbers:?} times {scale}, {place:?}");
                found.assert_same(&expected, &format_args!("{case}: gradient"));
                assert_same(&losses, &expected_losses, &format_args!("{case}: losses"));
                assert_eq!(hits, expected_hits, "{case}: hits");
            }
        }
    }
}

#[test]
fn the_loss_equals_its_twin() {
    for n in (1..=2 * LANES + 1).chain([47, 48, 49, 100, 257]) {
        for m in [0, 1, 2, 7] {
            case(Place::Heap, (m, n));
        }
    }
}

/// Loss, gradient and hits of one row.
fn loss(isa: Isa, row: &[f32], label: usize) -> (f32, Vec<f32>, usize) {
    let mut x = Matrix::new(Place::Heap, (1, row.len()), Layout::padded(2), |_, j| row[j]);
    let mut losses = [POISON];
    let hits = softmax_cross_entropy(isa, x.as_mut(), &[label as u32], 1.0, &mut losses);
    (losses[0], x.row(0).to_vec(), hits)
}

/// `ln(sum over k of exp(x[k])) - x[label]` in `f64`.
fn exact(row: &[f32], label: usize) -> f64 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).sum();
    sum.ln() + (f64::from(max) - f64::from(row[label]))
}

#[test]
fn the_loss_of_a_finite_row_is_finite_and_right() {
    for isa in isas() {
        for row in extreme_rows() {
            for label in 0..row.len() {
                let (found, gradient, _) = loss(isa, &row, label);
                let exact = exact(&row, label);
                // A row may reach over more than the largest number: then the loss itself does, and is infinite.
                if exact > f64::from(f32::MAX) {
                    assert_eq!(found, f32::INFINITY, "{isa}: {row:?} at {label}");
                } else {
                    let error = (f64::from(found) - exact).abs();
                    assert!(
                        found.is_finite() && error <= 1e-6 * exact.max(1.0),
                        "{isa}: {row:?} at {label}: {found}, {exact} expected"
                    );
                }
                assert!(gradient.iter().all(|g| (-1.0..=1.0).contains(g)), "{isa}: {row:?} at {label}: gradient {gradient:?}");
                let sum: f64 = gradient.iter().map(|&g| f64::from(g)).sum();
                assert!(sum.abs() < 1e-5, "{isa}: {row:?} at {label}: the gradient sums to {sum}");
            }
        }
    }
}

#[test]
fn the_loss_swallows_no_nan() {
    for isa in isas() {
        for n in 1..=40 {
            for at in 0..n {
                let mut row: Vec<f32> = (0..n).map(|j| j as f32).collect();
                row[at] = f32::NAN;
                for label in [0, at, n - 1] {
                    let (found, gradient, _) = loss(isa, &row, label);
                    assert!(found.is_nan(), "{isa}: NaN at {at} of {n}, label {label}: the loss is {found}");
                    assert!(gradient.iter().all(|g| g.is_nan()), "{isa}: NaN at {at} of {n}, label {label}: {gradient:?}");
                }
            }
        }
    }
}

#[test]
fn an_impossible_label_costs_infinitely_much() {
    for isa in isas() {
        let (found, gradient, hits) = loss(isa, &[0.0, f32::NEG_INFINITY, 0.0], 1);
        assert_eq!((found, gradient, hits), (f32::INFINITY, vec![0.5, -1.0, 0.5], 0));
    }
}

#[test]
fn the_first_of_equals_is_the_hit() {
    for isa in isas() {
        for n in 2..=40 {
            let row = vec![1.5; n];
            let hits: Vec<usize> = (0..n).map(|label| loss(isa, &row, label).2).collect();
            assert_eq!((hits[0], hits.iter().sum()), (1, 1), "{isa}, {n} equal logits");
        }
    }
}
