//! Sums and the largest of a row.

use crate::support::bits::{assert_same, same};
use crate::support::buffer::{Buffer, Place};
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Sgd};
use selvedge::kernels::reduce::{MICRO_SHARD, argmax, column_sums, column_sums_into, first_non_finite, mean_and_variance, sum};
use selvedge::reference;
use selvedge::simd::LANES;

/// Numbers of rows around every edge of a micro-shard and of the tree over them.
fn row_counts() -> impl Iterator<Item = usize> {
    let edges = [2, 3, 4, 5, 7, 8, 9, 16, 17].map(|shards| shards * MICRO_SHARD);
    (0..=MICRO_SHARD + 1).chain(edges.into_iter().flat_map(|rows| rows - 1..=rows + 1))
}

/// Column sums of one shape, in some blocks.
pub(super) fn sums_case(place: Place, (rows, n): (usize, usize)) {
    let mut rng = Rng::with_seed((rows * 100 + n) as u64);
    let numbers = if rng.u8(..4) == 0 { Numbers::Wild } else { Numbers::Real };
    let layout = Layout { padding: rng.usize(..4), rows_per_block: rows.div_ceil(rng.usize(1..=5)).max(1), gap: rng.usize(..5) };
    let (before, behind) = (rng.usize(..3), rng.usize(..3));
    let summed = before..before + n;
    let wide =
        Matrix::new(
            place,
            (rows, before + n + behind),
            layout,
            |_, j| {
                if summed.contains(&j) { numbers.next(&mut rng) } else { POISON }
            },
        );
    let narrow = Matrix::new(place, (rows, n), layout, |i, j| wide.row(i)[before + j]);
    let (w, v) = (Numbers::Real.vec(&mut rng, n), Numbers::Real.vec(&mut rng, n));
    for isa in isas() {
        let case = format_args!("{isa}, {rows} x {n}, {layout:?}, {numbers:?}, {place:?}");
        let (mut found, mut expected) = (Buffer::new(place, vec![POISON; n]), vec![POISON; n]);
        column_sums(isa, narrow.as_blocks(), &mut found);
        reference::reduce::column_sums(narrow.as_blocks(), &mut expected);
        assert_same(&found, &expected, &case);
        for (j, &found) in found.iter().enumerate() {
            let column = sum((0..rows).map(|i| narrow.row(i)[j]));
            assert!(same(found, column), "{case}: column {j} sums to {found:e}, on its own to {column:e}");
        }

        let rule = Momentum { learning_rate: 0.1, momentum: 0.9, kind: MomentumKind::Nesterov };
        let (mut found, mut expected) = ([&w, &v].map(|x| Buffer::new(place, x.clone())), [w.clone(), v.clone()]);
        column_sums_into(isa, wide.as_blocks(), before, rule, found.each_mut().map(|x| &mut **x));
        let outputs = expected.each_mut().map(|x| &mut **x);
        reference::reduce::column_sums_into(isa, wide.as_blocks(), before, &rule, outputs);
        for (found, expected) in found.iter().zip(&expected) {
            assert_same(found, expected, &format_args!("{case}: updated"));
        }
    }
}

#[test]
fn column_sums_equal_their_twins() {
    for rows in row_counts() {
        for n in (0..=2 * LANES + 1).chain([47, 48, 49, 100]) {
            sums_case(Place::Heap, (rows, n));
        }
    }
    // Levels of the tree that are made only for so many shards.
    for rows in [64, 65, 128].map(|shards| shards * MICRO_SHARD) {
        for n in [1, 4 * LANES, 4 * LANES + 1] {
            sums_case(Place::Heap, (rows, n));
        }
    }
}

#[test]
fn a_sum_equals_its_twin() {
    let mut rng = Rng::with_seed(1);
    for numbers in [Numbers::Real, Numbers::Wild] {
        for len in row_counts().chain([1000, 4095, 4096, 4097, 100_003]) {
            let x = numbers.vec(&mut rng, len);
            assert_same(&[sum(x.iter().copied())], &[reference::reduce::sum(&x)], &format_args!("{len} {numbers:?}"));
        }
    }
}

/// The tree is a promise, so it is spelled out once: 5 shards are (0 + 1) + (2 + 3), and 4.
#[test]
fn five_shards_are_four_and_one() {
    let mut rng = Rng::with_seed(2);
    let x = Numbers::Real.vec(&mut rng, 4 * MICRO_SHARD + 3);
    let shard: Vec<f32> = x.chunks(MICRO_SHARD).map(|x| x.iter().skip(1).fold(x[0], |sum, x| sum + x)).collect();
    assert_same(&[sum(x)], &[((shard[0] + shard[1]) + (shard[2] + shard[3])) + shard[4]], &"five shards");
}

#[test]
fn a_step_of_gradient_descent_takes_the_sums() {
    for isa in isas() {
        let x = Matrix::new(Place::Heap, (3, 20), Layout::padded(1), |i, j| (i * 20 + j) as f32);
        let mut w = vec![1000.0; 20];
        column_sums_into(isa, x.as_blocks(), 0, Sgd { learning_rate: 2.0 }, [&mut w]);
        let expected: Vec<f32> = (0..20).map(|j| 1000.0 - 2.0 * (60 + 3 * j) as f32).collect();
        assert_eq!(w, expected, "{isa}");
    }
}

/// The largest of rows of one shape.
pub(super) fn argmax_case(place: Place, (rows, n): (usize, usize)) {
    for numbers in [Numbers::Real, Numbers::Wild] {
        let mut rng = Rng::with_seed((rows * 100 + n) as u64);
        // Few different numbers, so that there are equals.
        let x = Matrix::new(place, (rows, n), Layout::padded(n % 3), |_, _| (numbers.next(&mut rng) * 4.0).round());
        for isa in isas() {
            let (mut found, mut expected) = (Buffer::new(place, vec![77; rows]), vec![77; rows]);
            argmax(isa, x.as_ref(), &mut found);
            reference::reduce::argmax(x.as_ref(), &mut expected);
            assert_eq!(&found[..], &expected[..], "{isa}, {rows} x {n}, {numbers:?}, {place:?}");
        }
    }
}

#[test]
fn argmax_equals_its_twin() {
    for n in (0..=2 * LANES + 1).chain([47, 48, 49, 257]) {
        for rows in [0, 1, 2, 7] {
            argmax_case(Place::Heap, (rows, n));
        }
    }
}

#[test]
fn argmax_takes_the_first_of_equals_and_passes_over_nan() {
    let rows: [(&[f32], u32); 9] = [
        (&[1.0, 3.0, 3.0], 1),
        (&[0.0, -0.0], 0),
        (&[-0.0, 0.0], 0),
        (&[f32::NAN, 1.0, 2.0], 2),
        (&[2.0, f32::NAN, 1.0], 0),
        (&[f32::NAN, f32::NAN], 0),
        (&[f32::NEG_INFINITY, f32::NAN, f32::NEG_INFINITY], 0),
        (&[f32::NAN, f32::NEG_INFINITY], 1),
        (&[f32::MIN, f32::INFINITY, f32::MAX], 1),
    ];
    for isa in isas() {
        for (row, expected) in rows {
            // In front of the row, numbers that are below all of it.
            for shift in [0, 1, 14, 15, 16, 17, 40] {
                let n = shift + row.len();
                let element = |j: usize| if j < shift { f32::NAN } else { row[j - shift] };
                let x = Matrix::new(Place::Heap, (1, n), Layout::padded(1), |_, j| element(j));
                let mut found = [99];
                argmax(isa, x.as_ref(), &mut found);
                let nothing = row.iter().all(|x| x.is_nan());
                let expected = if nothing { 0 } else { shift as u32 + expected };
                assert_eq!(found[0], expected, "{isa}: {row:?} behind {shift} NaN");
            }
        }
    }
}

/// Lengths around every edge of a vector and of a shard of vectors.
fn lengths() -> impl Iterator<Item = usize> {
    let shard = MICRO_SHARD * LANES;
    let edges = [1, 2, 3, 4, 7, 8].map(|shards| shards * shard);
    (0..=2 * LANES + 1).chain(edges.into_iter().flat_map(|len| [len - 1, len, len + 1, len + LANES]))
}

/// Mean, variance and the first element that is not finite, of one length.
pub(super) fn whole_case(place: Place, len: usize) {
    for numbers in [Numbers::Real, Numbers::Wild] {
        let mut rng = Rng::with_seed(len as u64);
        let x = Buffer::new(place, numbers.vec(&mut rng, len));
        for isa in isas() {
            let case = format_args!("{isa}, {len} {numbers:?}, {place:?}");
            let (found, expected) = (mean_and_variance(isa, &x), reference::reduce::mean_and_variance(isa, &x));
            assert_same(&[found.0, found.1], &[expected.0, expected.1], &case);
            assert_eq!(first_non_finite(isa, &x), reference::reduce::first_non_finite(&x), "{case}");
        }
    }
}

#[test]
fn mean_and_variance_equal_their_twin() {
    for len in lengths() {
        whole_case(Place::Heap, len);
    }
}

#[test]
fn mean_and_variance_are_accurate_beside_a_large_mean() {
    let mut rng = Rng::with_seed(4);
    let x: Vec<f32> = (0..100_003).map(|_| 1000.0 + rng.f32()).collect();
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / x.len() as f64;
    for isa in isas() {
        let found = mean_and_variance(isa, &x);
        assert!((f64::from(found.0) - mean).abs() < 1e-4, "{isa}: a mean of {}, {mean} expected", found.0);
        assert!((f64::from(found.1) / variance - 1.0).abs() < 1e-6, "{isa}: a variance of {}, {variance} expected", found.1);
        assert_eq!(mean_and_variance(isa, &[3.0, 5.0]), (4.0, 1.0), "{isa}");
        assert!(mean_and_variance(isa, &[]).0.is_nan(), "{isa}");
    }
}

#[test]
fn the_first_that_is_not_finite_is_found() {
    for isa in isas() {
        for len in lengths() {
            let mut x = vec![f32::MAX; len];
            assert_eq!(first_non_finite(isa, &x), None, "{isa}, {len}");
            for at in (0..len).rev().step_by(if len > 100 { 13 } else { 1 }) {
                x[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][at % 3];
                assert_eq!(first_non_finite(isa, &x), Some(at), "{isa}, {at} of {len}");
            }
        }
    }
}
