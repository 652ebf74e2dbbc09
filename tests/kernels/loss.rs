//! Losses: the bits of their twins, their gradients, the values of Keras, and what becomes of extreme rows.

use super::softmax::extreme_rows;
use crate::support::bits::assert_same;
use crate::support::buffer::{Buffer, Place};
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::loss::{self, RowWeights, softmax_cross_entropy, softmax_cross_entropy_one_hot};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::reference;
use selvedge::simd::{Isa, LANES};

/// Softmax cross-entropy with labels everywhere in the row, of one shape.
pub(super) fn case(place: Place, (m, n): (usize, usize)) {
    for isa in isas() {
        for (numbers, scale) in [(Numbers::Real, 1.0), (Numbers::Real, 30.0), (Numbers::Wild, 5.0)] {
            for (padding, smoothing, weighted) in [(0, 0.0, false), (1, 0.0, true), (16, 0.1, false), (2, 1.0, true)] {
                let mut rng = Rng::with_seed((m * 100 + n) as u64);
                let labels: Vec<u32> = (0..m).map(|_| rng.u32(..n as u32)).collect();
                let weights = Buffer::new(place, numbers.vec(&mut rng, m));
                let seed = rng.u64(..);
                let logits = |place| {
                    let mut rng = Rng::with_seed(seed);
                    Matrix::new(place, (m, n), Layout::padded(padding), |_, _| numbers.next(&mut rng) * scale)
                };
                let (mut found, mut expected) = (logits(place), logits(Place::Heap));
                let (mut losses, mut expected_losses) = (Buffer::new(place, vec![POISON; m]), vec![POISON; m]);
                let labels = Buffer::new(place, labels);
                let rows = RowWeights { scale: 1.0 / m.max(1) as f32, weights: weighted.then_some(&weights) };
                let hits = softmax_cross_entropy(isa, found.as_mut(), &labels, smoothing, rows, &mut losses);
                let expected_hits =
                    reference::loss::softmax_cross_entropy(isa, expected.as_mut(), &labels, smoothing, rows, &mut expected_losses);
                let case = format_args!("{isa}, {m} x {n}, {numbers:?} times {scale}, {smoothing}, {weighted}, {place:?}");
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
        for m in [0, 1, 7, 8, 17, 26] {
            case(Place::Heap, (m, n));
        }
    }
}

/// A loss with a target for each element, as kernel, twin and textbook formula.
struct OfTargets {
    name: &'static str,
    kernel: fn(Isa, MatMut<'_>, MatRef<'_>, RowWeights<'_>, &mut [f32]) -> usize,
    twin: fn(Isa, MatMut<'_>, MatRef<'_>, RowWeights<'_>, &mut [f32]) -> usize,
    /// The loss of a row in `f64`.
    formula: fn(x: &[f64], y: &[f64]) -> f64,
}

fn mean(x: &[f64], y: &[f64], loss: impl Fn(f64, f64) -> f64) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| loss(x, y)).sum::<f64>() / x.len() as f64
}

fn softmax_formula(x: &[f64], y: &[f64], smoothing: f64) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ln_sum = x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
    let target = |y: f64| y * (1.0 - smoothing) + smoothing / x.len() as f64;
    x.iter()
        .zip(y)
        .map(|(&x, &y)| (target(y), ln_sum + (largest - x)))
        .filter(|&(y, _)| y != 0.0)
        .map(|(y, surprise)| y * surprise)
        .sum()
}

fn sigmoid_formula(x: f64, y: f64, smoothing: f64) -> f64 {
    let y = y * (1.0 - smoothing) + smoothing / 2.0;
    // -y ln sigmoid(x) - (1 - y) ln sigmoid(-x)
    let minus_ln_sigmoid = |x: f64| (-x.abs()).exp().ln_1p() + (-x).max(0.0);
    y * minus_ln_sigmoid(x) + (1.0 - y) * minus_ln_sigmoid(-x)
}

fn huber_formula(x: f64, y: f64, delta: f64) -> f64 {
    let distance = (x - y).abs();
    if distance <= delta { distance * distance / 2.0 } else { delta * distance - delta * delta / 2.0 }
}

/// One loss: its name, how the functions of its name are called, and its formula.
macro_rules! of_targets {
    ($name:literal, $function:ident ( $($parameter:expr)? ), $formula:expr) => {
        OfTargets {
            name: $name,
            kernel: |isa, x, y, rows, losses| Answers::from(loss::$function(isa, x, y, $($parameter,)? rows, losses)).0,
            twin: |isa, x, y, rows, losses| Answers::from(reference::loss::$function(isa, x, y, $($parameter,)? rows, losses)).0,
            formula: $formula,
        }
    };
}

/// The number of right answers; none where there is no such thing.
struct Answers(usize);

impl From<usize> for Answers {
    fn from(right: usize) -> Self {
        Self(right)
    }
}

impl From<()> for Answers {
    fn from((): ()) -> Self {
        Self(0)
    }
}

const OF_TARGETS: [OfTargets; 9] = [
    of_targets!("softmax", softmax_cross_entropy_one_hot(0.0), |x, y| softmax_formula(x, y, 0.0)),
    of_targets!("smoothed softmax", softmax_cross_entropy_one_hot(0.25), |x, y| softmax_formula(x, y, 0.25)),
    of_targets!("sigmoid", sigmoid_cross_entropy(0.0), |x, y| mean(x, y, |x, y| sigmoid_formula(x, y, 0.0))),
    of_targets!("smoothed sigmoid", sigmoid_cross_entropy(0.25), |x, y| mean(x, y, |x, y| sigmoid_formula(x, y, 0.25))),
    of_targets!("squared", squared_error(), |x, y| mean(x, y, |x, y| (x - y).powi(2))),
    of_targets!("absolute", absolute_error(), |x, y| mean(x, y, |x, y| (x - y).abs())),
    of_targets!("huber", huber(1.0), |x, y| mean(x, y, |x, y| huber_formula(x, y, 1.0))),
    of_targets!("narrow huber", huber(0.125), |x, y| mean(x, y, |x, y| huber_formula(x, y, 0.125))),
    of_targets!("wide huber", huber(f32::INFINITY), |x, y| mean(x, y, |x, y| (x - y).powi(2) / 2.0)),
];

/// All losses with a target for each element, of one shape.
pub(super) fn targets_case(place: Place, (m, n): (usize, usize)) {
    for isa in isas() {
        for OfTargets { name, kernel, twin, .. } in OF_TARGETS {
            for (numbers, scale, padding, weighted) in
                [(Numbers::Real, 1.0, 0, false), (Numbers::Real, 30.0, 1, true), (Numbers::Wild, 5.0, 16, true)]
            {
                let mut rng = Rng::with_seed((m * 100 + n) as u64);
                // Some targets are 0 or 1.
                let targets = Matrix::new(place, (m, n), Layout::padded(n % 3), |_, _| match rng.u8(..4) {
                    0 => 0.0,
                    1 => 1.0,
                    _ => numbers.next(&mut rng).abs(),
                });
                let weights = Buffer::new(place, numbers.vec(&mut rng, m));
                let seed = rng.u64(..);
                let values = |place| {
                    let mut rng = Rng::with_seed(seed);
                    Matrix::new(place, (m, n), Layout::padded(padding), |_, _| numbers.next(&mut rng) * scale)
                };
                let (mut found, mut expected) = (values(place), values(Place::Heap));
                let (mut losses, mut expected_losses) = (Buffer::new(place, vec![POISON; m]), vec![POISON; m]);
                let rows = RowWeights { scale: 1.0 / m.max(1) as f32, weights: weighted.then_some(&weights) };
                let right = kernel(isa, found.as_mut(), targets.as_ref(), rows, &mut losses);
                let expected_right = twin(isa, expected.as_mut(), targets.as_ref(), rows, &mut expected_losses);
                let case = format_args!("{isa}, {name}, {m} x {n}, {numbers:?} times {scale}, {place:?}");
                found.assert_same(&expected, &format_args!("{case}: gradient"));
                assert_same(&losses, &expected_losses, &format_args!("{case}: losses"));
                assert_eq!(right, expected_right, "{case}: right answers");
            }
        }
    }
}

#[test]
fn losses_of_targets_equal_their_twins() {
    for n in (1..=2 * LANES + 1).chain([47, 48, 49, 100, 257]) {
        for m in [0, 1, 7, 8, 17, 26] {
            targets_case(Place::Heap, (m, n));
        }
    }
}

/// Loss, gradient and right answers of one row with a weight.
fn row_of(kernel: &OfTargets, isa: Isa, x: &[f32], y: &[f32], rows: RowWeights<'_>) -> (f32, Vec<f32>, usize) {
    let (mut gradient, mut losses) = (x.to_vec(), [POISON]);
    let n = x.len();
    let right = (kernel.kernel)(isa, MatMut::new(&mut gradient, 1, n, n), MatRef::new(y, 1, n, n), rows, &mut losses);
    (losses[0], gradient, right)
}

/// Against the textbook formula in `f64`, and the gradient against its central differences.
#[test]
fn losses_and_gradients_agree_with_their_formulas() {
    const STEP: f64 = 1e-5;
    for isa in isas() {
        for kernel in &OF_TARGETS {
            let mut rng = Rng::with_seed(5);
            for n in [1, 2, 3, 10, 17, 40] {
                // Distances are never as long as the step from where a derivative jumps.
                let x: Vec<f32> = (0..n).map(|_| f32::from(rng.i8(..)) / 32.0 + 0.011).collect();
                let y: Vec<f32> = (0..n).map(|_| f32::from(rng.u8(..9)) / 8.0).collect();
                let rows = RowWeights { scale: 0.25, weights: Some(&[3.0]) };
                let (found, gradient, _) = row_of(kernel, isa, &x, &y, rows);
                let (mut x, y) = (x.map_f64(), y.map_f64());
                let expected = 3.0 * (kernel.formula)(&x, &y);
                let case = format_args!("{isa}, {}, {n}", kernel.name);
                assert!((f64::from(found) - expected).abs() <= 2e-6 * expected.max(0.1), "{case}: {found}, {expected} expected");
                for (j, &found) in gradient.iter().enumerate() {
                    let at = x[j];
                    let [above, below] = [at + STEP, at - STEP].map(|moved| {
                        x[j] = moved;
                        (kernel.formula)(&x, &y)
                    });
                    x[j] = at;
                    let expected = 0.25 * 3.0 * (above - below) / (2.0 * STEP);
                    let error = (f64::from(found) - expected).abs();
                    assert!(error <= 2e-6 * expected.abs().max(1.0), "{case}: gradient {j} is {found}, {expected} expected");
                }
            }
        }
    }
}

trait MapF64 {
    fn map_f64(&self) -> Vec<f64>;
}

impl MapF64 for Vec<f32> {
    fn map_f64(&self) -> Vec<f64> {
        self.iter().map(|&x| f64::from(x)).collect()
    }
}

/// `sum over rows of weights[i] loss(x[i], y[i]) / rows`, what Keras calls `sum_over_batch_size`.
#[track_caller]
fn assert_mean<const M: usize, const N: usize>(
    kernel: &OfTargets,
    x: [[f32; N]; M],
    y: [[f32; N]; M],
    weights: Option<&[f32]>,
    expected: f64,
) {
    for isa in isas() {
        let (mut x, y, mut losses) = (x.concat(), y.concat(), [POISON; M]);
        let rows = RowWeights { scale: 1.0, weights };
        (kernel.kernel)(isa, MatMut::new(&mut x, M, N, N), MatRef::new(&y, M, N, N), rows, &mut losses);
        let found = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / M as f64;
        assert!((found - expected).abs() <= 1e-6 * expected.max(1.0), "{isa}, {}: {found}, {expected} expected", kernel.name);
    }
}

/// Worked out by hand from the formulas of Keras, to eight digits.
#[test]
fn means_are_those_of_keras() {
    let [softmax, smoothed_softmax, sigmoid, smoothed_sigmoid, squared, absolute, huber, narrow_huber, _] = &OF_TARGETS;
    // Logarithms of the probabilities 0.05, 0.95 and 0.1, 0.8, 0.1: -ln 0.95 = 0.05129329 and -ln 0.1 = 2.30258509.
    let x = [[0.05f32, 0.95, 0.0], [0.1, 0.8, 0.1]].map(|probabilities| probabilities.map(f32::ln));
    let y = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    assert_mean(softmax, x, y, None, 1.176_939_19);
    assert_mean(softmax, x, y, Some(&[0.3, 0.7]), 0.813_598_78);
    // The other two logits are 200 below, with a target of 0.25 / 3 each.
    assert_mean(smoothed_softmax, [[100.0, -100.0, -100.0]], [[1.0, 0.0, 0.0]], None, 33.333_333_3);

    // 0.51 with truth 1 costs ln(1 + exp(-0.51)) = 0.47031332, 2.94 with truth 0 costs 2.94 + ln(1 + exp(-2.94)) = 2.99151571; the
    // others cost 8e-9 and 2.8e-6.
    let x = [[-18.6, 0.51], [2.94, -12.8]];
    let y = [[0.0, 1.0], [0.0, 0.0]];
    assert_mean(sigmoid, x, y, None, 0.865_457_95);
    assert_mean(sigmoid, x, y, Some(&[0.8, 0.2]), 0.243_638_59);
    // With targets 0.875, 0.125 and 0.875 the elements cost 12.5, 12.5 and 87.5.
    assert_mean(smoothed_sigmoid, [[100.0, -100.0, -100.0]], [[1.0, 0.0, 1.0]], None, 37.5);

    let x = [[0.5, 0.5], [2.0, -3.0]];
    // Squares 0.25, 0.25 and 4, 9.
    assert_mean(squared, x, y, None, 3.375);
    assert_mean(squared, x, y, Some(&[2.0, 0.0]), 0.25);
    // Distances 0.5, 0.5 and 2, 3.
    assert_mean(absolute, x, y, None, 1.5);
    assert_mean(absolute, x, y, Some(&[0.0, 1.0]), 1.25);
    // 0.125, 0.125 and 1.5, 2.5.
    assert_mean(huber, x, y, None, 1.0625);
    // 0.0546875 each, then 0.2421875 and 0.3671875.
    assert_mean(narrow_huber, x, y, None, 0.179_687_5);
}

/// Labels and rows with a 1 at the label are the same truth.
#[test]
fn a_label_is_a_row_with_one_probability() {
    let mut rng = Rng::with_seed(3);
    for isa in isas() {
        for n in 1..=40 {
            for smoothing in [0.0, 0.1, 1.0] {
                let label = rng.usize(..n);
                let x: Vec<f32> = (0..n).map(|_| rng.f32() * 20.0 - 10.0).collect();
                let y: Vec<f32> = (0..n).map(|j| f32::from(u8::from(j == label))).collect();
                let rows = RowWeights { scale: 0.7, weights: Some(&[1.3]) };
                let (mut by_label, mut by_row, mut losses) = (x.clone(), x, [[POISON]; 2]);
                let hits = [
                    softmax_cross_entropy(
                        isa,
                        MatMut::new(&mut by_label, 1, n, n),
                        &[label as u32],
                        smoothing,
                        rows,
                        &mut losses[0],
                    ),
                    softmax_cross_entropy_one_hot(
                        isa,
                        MatMut::new(&mut by_row, 1, n, n),
                        MatRef::new(&y, 1, n, n),
                        smoothing,
                        rows,
                        &mut losses[1],
                    ),
                ];
                let case = format_args!("{isa}, {label} of {n}, {smoothing}");
                assert_same(&by_label, &by_row, &case);
                assert_same(&losses[0], &losses[1], &case);
                assert_eq!(hits[0], hits[1], "{case}");
            }
        }
    }
}

/// A loss is finite if its value is below the largest number, wherever the values and targets are.
#[test]
fn losses_of_finite_rows_are_finite_and_right() {
    for isa in isas() {
        for kernel in &OF_TARGETS {
            let of_probabilities = kernel.name.contains("softmax") || kernel.name.contains("sigmoid");
            for x in extreme_rows() {
                let targets: [fn(usize) -> f32; 5] = [
                    |_| 0.0,
                    |j| f32::from(u8::from(j == 0)),
                    |j| (j % 4) as f32 / 3.0,
                    |_| 3e38,
                    |j| if j == 1 { -1e20 } else { 0.0 },
                ];
                for target in &targets[..if of_probabilities { 3 } else { 5 }] {
                    let y: Vec<f32> = (0..x.len()).map(target).collect();
                    let (found, gradient, _) = row_of(kernel, isa, &x, &y, RowWeights::equal(1.0));
                    let expected = (kernel.formula)(&x.map_f64(), &y.map_f64());
                    let case = format_args!("{isa}, {}: {x:?}, {y:?}", kernel.name);
                    if expected > f64::from(f32::MAX) * (1.0 + 1e-6) {
                        assert_eq!(found, f32::INFINITY, "{case}");
                    } else if expected < f64::from(f32::MAX) * (1.0 - 1e-6) {
                        let error = (f64::from(found) - expected).abs();
                        assert!(error <= 1e-5 * expected.max(1.0), "{case}: {found}, {expected} expected");
                    }
                    assert!(gradient.iter().all(|g| !g.is_nan()), "{case}: gradient {gradient:?}");
                    if of_probabilities {
                        let total = y.iter().sum::<f32>().max(1.0);
                        assert!(gradient.iter().all(|g| g.abs() <= total), "{case}: gradient {gradient:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn losses_of_targets_swallow_no_nan() {
    for isa in isas() {
        for kernel in &OF_TARGETS {
            for n in 1..=40 {
                for at in 0..n {
                    let x: Vec<f32> = (0..n).map(|j| j as f32 - 20.0).collect();
                    let y: Vec<f32> = (0..n).map(|j| (j % 2) as f32).collect();
                    let mut broken = x.clone();
                    broken[at] = f32::NAN;
                    let case = format_args!("{isa}, {}, {at} of {n}", kernel.name);
                    let (found, gradient, _) = row_of(kernel, isa, &broken, &y, RowWeights::equal(1.0));
                    assert!(found.is_nan() && gradient[at].is_nan(), "{case}: a NaN value: {found}, {gradient:?}");
                    let mut broken = y.clone();
                    broken[at] = f32::NAN;
                    let (found, gradient, _) = row_of(kernel, isa, &x, &broken, RowWeights::equal(1.0));
                    assert!(found.is_nan() && gradient[at].is_nan(), "{case}: a NaN target: {found}, {gradient:?}");
                    let rows = RowWeights { scale: 1.0, weights: Some(&[f32::NAN]) };
                    let (found, gradient, _) = row_of(kernel, isa, &x, &y, rows);
                    assert!(found.is_nan() && gradient.iter().all(|g| g.is_nan()), "{case}: a NaN weight: {found}, {gradient:?}");
                }
            }
        }
    }
}

/// Where sigmoid and truth are both near 1 (or 0), loss and gradient are the small number that is left; a gradient below `2^-63` is 0.
#[test]
fn a_sure_and_right_sigmoid_keeps_its_digits() {
    let sigmoid = &OF_TARGETS[2];
    for isa in isas() {
        for x in [10.0, 20.0, 43.0, 44.0, 80.0] {
            let rest = f64::exp(-f64::from(x));
            for (x, y, sign) in [(x, 1.0, -1.0), (-x, 0.0, 1.0)] {
                let (found, gradient, right) = row_of(sigmoid, isa, &[x], &[y], RowWeights::equal(1.0));
                assert!((f64::from(found) / rest.ln_1p() - 1.0).abs() < 1e-6, "{isa}: {x} costs {found}");
                let expected = if x.abs() > 43.5 { 0.0 } else { sign * rest / (1.0 + rest) };
                assert!(
                    (f64::from(gradient[0]) - expected).abs() <= 1e-6 * expected.abs(),
                    "{isa}: {x} has the gradient {gradient:?}"
                );
                assert_eq!(right, 1, "{isa}: {x}");
            }
        }
    }
}

/// Of many rows at once, of wide rows, and by targets: probabilities from 1 down to denormal numbers and 0.
#[test]
fn gradients_are_zero_or_have_a_normal_square() {
    let smallest = f32::exp2(-63.0);
    for isa in isas() {
        for n in [10, 16, 40] {
            let logits: Vec<f32> = (0..n).map(|j| -4.5 * (j * 40 / n) as f32).collect();
            let mut targets = vec![0.0; n];
            targets[0] = 1.0;
            let [mut by_label, mut by_targets, mut losses] = [logits.clone(), logits.clone(), vec![0.0]];
            let equal = RowWeights::equal(1.0);
            softmax_cross_entropy(isa, MatMut::new(&mut by_label, 1, n, n), &[0], 0.0, equal, &mut losses);
            let y = MatRef::new(&targets, 1, n, n);
            softmax_cross_entropy_one_hot(isa, MatMut::new(&mut by_targets, 1, n, n), y, 0.0, equal, &mut losses);
            let (_, by_sigmoid, _) = row_of(&OF_TARGETS[2], isa, &logits, &vec![0.0; n], equal);
            for gradient in [by_label, by_targets, by_sigmoid] {
                assert!(gradient.iter().all(|g| *g == 0.0 || g.abs() >= smallest), "{isa}: {gradient:?}");
                assert!(gradient[1..].iter().any(|g| *g > 0.0) && gradient.contains(&0.0), "{isa}: {gradient:?}");
            }
        }
    }
}

#[test]
fn right_answers_are_counted_as_keras_does() {
    let [softmax, _, sigmoid, ..] = &OF_TARGETS;
    for isa in isas() {
        for n in 1..=40 {
            // A logit of 0 and a target of 0.5 are no.
            let x: Vec<f32> = (0..n).map(|j| [0.0, 1.0, -1.0, 2.0][j % 4]).collect();
            let y: Vec<f32> = (0..n).map(|j| [0.5, 0.6, 0.0, 0.5][j % 4]).collect();
            let expected = n - n / 4;
            assert_eq!(row_of(sigmoid, isa, &x, &y, RowWeights::equal(1.0)).2, expected, "{isa}: {n}");
            // The first of equals, among the logits and among the targets.
            for (x_at, y_at) in [(0, 0), (n / 2, n / 2), (0, n - 1)] {
                let x: Vec<f32> = (0..n).map(|j| f32::from(u8::from(j >= x_at))).collect();
                let y: Vec<f32> = (0..n).map(|j| if j >= y_at { 0.25 } else { 0.0 }).collect();
                let expected = usize::from(x_at == y_at);
                assert_eq!(row_of(softmax, isa, &x, &y, RowWeights::equal(1.0)).2, expected, "{isa}: {x_at} and {y_at} of {n}");
            }
        }
    }
}

#[test]
fn an_error_of_nothing_has_no_gradient() {
    for isa in isas() {
        for kernel in &OF_TARGETS[4..] {
            for n in 1..=40 {
                let x: Vec<f32> = (0..n).map(|j| j as f32 * 1e36).collect();
                let (found, gradient, _) = row_of(kernel, isa, &x, &x, RowWeights::equal(1.0));
                assert_eq!((found, gradient), (0.0, vec![0.0; n]), "{isa}, {}, {n}", kernel.name);
            }
        }
    }
}

/// Loss, gradient and hits of one row.
fn loss(isa: Isa, row: &[f32], label: usize) -> (f32, Vec<f32>, usize) {
    let mut x = Matrix::new(Place::Heap, (1, row.len()), Layout::padded(2), |_, j| row[j]);
    let mut losses = [POISON];
    let hits = softmax_cross_entropy(isa, x.as_mut(), &[label as u32], 0.0, RowWeights::equal(1.0), &mut losses);
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
