//! Losses with their gradients.
//!
//! Every kernel turns the values `x` of the last layer into the gradient by them, in place, and writes the loss of each row. With
//! `f_i = scale * weights[i]` (see [`RowWeights`]) and `n` columns:
//!
//! | kernel | `losses[i] = weights[i] *` | `x[i][j] =` | passes |
//! |---|---|---|---|
//! | [`softmax_cross_entropy`] | `ln(sum over k of exp(x[i][k])) - x[i][label]` | `f_i (softmax(x[i])[j] - (j == label))` | 3, smoothed 4 |
//! | [`softmax_cross_entropy_one_hot`] | `sum over j of y[i][j] (ln(sum over k of exp(x[i][k])) - x[i][j])` | `f_i (softmax(x[i])[j] sum(y[i]) - y[i][j])` | 4 |
//! | [`sigmoid_cross_entropy`] | `mean over j of max(x, 0) - x y + ln(1 + exp(-abs(x)))` | `f_i / n (sigmoid(x) - y)` | 1 |
//! | [`squared_error`] | `mean over j of (x - y)^2` | `f_i / n 2 (x - y)` | 1 |
//! | [`absolute_error`] | `mean over j of abs(x - y)` | `f_i / n sign(x - y)`, 0 of equals | 1 |
//! | [`huber`] | `mean over j of c (abs(x - y) - c / 2)`, `c = min(abs(x - y), delta)` | `f_i / n clamp(x - y, -delta, delta)` | 1 |
//!
//! The passes are over a row, which stays in the cache. Sums along a row are taken in sixteen lanes and their fixed tree, so what becomes
//! of a row depends on nothing but the row, its targets and its weight.
//!
//! # Smoothing
//!
//! The two classification losses take `smoothing`, from 0 to 1: the targets become `y (1 - smoothing) + smoothing / n`, for the sigmoid
//! `y (1 - smoothing) + smoothing / 2`. What counts as right is decided by the targets before that.
//!
//! # Range and accuracy
//!
//! Logits are finite or, for the softmax, also negative infinity: a class of that logit has probability 0. A loss is finite for all finite
//! values and targets, unless it is itself beyond `f32::MAX`, as that of `-f32::MAX` beside `f32::MAX` is; such a loss is infinite.
//! For that, the largest logit is subtracted before the exponential function, differences are taken of halves, and a mean adds what is
//! already divided. Differences below the normal numbers lose their last bit by that.
//! A NaN among the values or targets makes the loss of its row NaN.
//!
//! The terms of each cross-entropy are not negative, so they do not cancel. The gradient of [`sigmoid_cross_entropy`] is accurate also where
//! sigmoid and target are both near 1. The loss by softmax has an absolute error of some `1e-7` where it is near 0.
//!
//! A gradient below `2^-63` is 0. A network that has learned its rows well would else multiply denormal numbers, for each of which some
//! processors take a hundred times as long: on an Intel Xeon, the thirtieth epoch of Adam on Fashion-MNIST took twice as long as the first.
//!
//! The formulas are those of Keras, from logits.

use super::math;
use super::matrix::{MatMut, MatRef};
use super::narrow::{self, OnEachRow};
use super::reduce::argmax_with;
use super::softmax::{exponentials, narrow_exponentials};
use crate::simd::{Isa, LANES, Simd, SimdOp, first_bits, slice};
use core::ops::Range;

/// What the rows of a minibatch count.
#[derive(Clone, Copy, Debug)]
pub struct RowWeights<'a> {
    /// Factor of all gradients, but not of the losses: `1 / rows` gives the gradient of the mean.
    pub scale: f32,
    /// Factor of the loss and of the gradient of each row, 1 if there are none. As in Keras, the mean is still over the number of
    /// rows, not over the sum of the weights.
    pub weights: Option<&'a [f32]>,
}

impl<'a> RowWeights<'a> {
    /// All rows count 1.
    pub const fn equal(scale: f32) -> Self {
        Self { scale, weights: None }
    }

    /// The weight of row `i`.
    #[inline(always)]
    fn weight(&self, i: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[i])
    }

    /// The weights of up to sixteen rows.
    #[inline(always)]
    fn weights<S: Simd>(&self, simd: S, rows: Range<usize>) -> S::F32 {
        match self.weights {
            Some(weights) => simd.load_first(&weights[rows]),
            None => simd.splat(1.0),
        }
    }

    #[track_caller]
    fn check(&self, rows: usize, losses: &[f32]) {
        assert!(rows == losses.len(), "losses of {rows} rows expected, found {}", losses.len());
        if let Some(weights) = self.weights {
            assert!(rows == weights.len(), "weights of {rows} rows expected, found {}", weights.len());
        }
    }
}

/// A gradient: a difference times the factor of its row, or 0 where that is negligible.
#[inline(always)]
fn scaled<S: Simd>(simd: S, difference: S::F32, factor: S::F32) -> S::F32 {
    simd.flush_negligible(simd.mul(difference, factor))
}

#[track_caller]
fn check_targets(x: &MatMut<'_>, targets: &MatRef<'_>) {
    let (found, expected) = ((targets.rows(), targets.columns()), (x.rows(), x.columns()));
    assert!(found == expected, "targets: {} x {} expected, found {} x {}", expected.0, expected.1, found.0, found.1);
    assert!(x.columns() > 0, "at least 1 column expected, found 0");
}

/// Softmax and categorical cross-entropy with the index of the true class. Returns how many rows have their largest logit, the first of
/// equals, at the label.
///
/// # Shapes
/// `x: [rows, n]`, `labels: [rows]`, `losses: [rows]`.
///
/// # Panics
/// If the shapes differ or a label is not below `n`.
#[track_caller]
pub fn softmax_cross_entropy(
    isa: Isa,
    x: MatMut<'_>,
    labels: &[u32],
    smoothing: f32,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) -> usize {
    assert!(x.rows() == labels.len(), "labels of {} rows expected, found {}", x.rows(), labels.len());
    rows.check(x.rows(), losses);
    if smoothing == 0.0 {
        narrow::on_each_row(isa, OfLabels { x, labels, rows, losses, hits: 0 })
    } else {
        narrow::on_each_row(isa, OfTargets { x, targets: Labels(labels), smoothing, rows, losses, hits: 0 })
    }
}

/// Softmax and categorical cross-entropy with a probability for each class. Returns how many rows have their largest logit where the
/// largest target is, the first of equals in both.
///
/// # Shapes
/// `x: [rows, n]`, `targets: [rows, n]`, `losses: [rows]`, with `n` at least 1.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn softmax_cross_entropy_one_hot(
    isa: Isa,
    x: MatMut<'_>,
    targets: MatRef<'_>,
    smoothing: f32,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) -> usize {
    check_targets(&x, &targets);
    rows.check(x.rows(), losses);
    narrow::on_each_row(isa, OfTargets { x, targets, smoothing, rows, losses, hits: 0 })
}

/// Sigmoid and binary cross-entropy of each element, whose target is a probability. Returns how many elements are right:
/// `(x > 0) == (y > 0.5)`.
///
/// # Shapes
/// `x: [rows, n]`, `targets: [rows, n]`, `losses: [rows]`, with `n` at least 1.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn sigmoid_cross_entropy(
    isa: Isa,
    x: MatMut<'_>,
    targets: MatRef<'_>,
    smoothing: f32,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) -> usize {
    mean_of_elements(isa, SigmoidCrossEntropy { smoothing }, x, targets, rows, losses)
}

/// The mean of `(x - y)^2` over each row.
///
/// # Shapes
/// `x: [rows, n]`, `targets: [rows, n]`, `losses: [rows]`, with `n` at least 1.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn squared_error(isa: Isa, x: MatMut<'_>, targets: MatRef<'_>, rows: RowWeights<'_>, losses: &mut [f32]) {
    mean_of_elements(isa, SquaredError, x, targets, rows, losses);
}

/// The mean of `abs(x - y)` over each row.
///
/// # Shapes
/// `x: [rows, n]`, `targets: [rows, n]`, `losses: [rows]`, with `n` at least 1.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn absolute_error(isa: Isa, x: MatMut<'_>, targets: MatRef<'_>, rows: RowWeights<'_>, losses: &mut [f32]) {
    mean_of_elements(isa, AbsoluteError, x, targets, rows, losses);
}

/// The mean over each row of `(x - y)^2 / 2` up to a distance of `delta`, and of the tangent to that beyond. `delta` is positive,
/// in Keras 1 by default.
///
/// # Shapes
/// `x: [rows, n]`, `targets: [rows, n]`, `losses: [rows]`, with `n` at least 1.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn huber(isa: Isa, x: MatMut<'_>, targets: MatRef<'_>, delta: f32, rows: RowWeights<'_>, losses: &mut [f32]) {
    mean_of_elements(isa, Huber { delta }, x, targets, rows, losses);
}

/// Softmax cross-entropy where the whole truth is a label.
struct OfLabels<'a> {
    x: MatMut<'a>,
    labels: &'a [u32],
    rows: RowWeights<'a>,
    losses: &'a mut [f32],
    hits: usize,
}

impl OnEachRow for OfLabels<'_> {
    type Output = usize;
    #[inline(always)]
    fn shape(&self) -> (usize, usize) {
        (self.x.rows(), self.x.columns())
    }
    #[inline(always)]
    fn on_row<S: Simd>(&mut self, simd: S, i: usize) {
        let row = self.x.row_mut(i);
        let weight = self.rows.weight(i);
        let label = checked(self.labels[i], i, row.len());
        let max = slice::max_with(simd, row);
        self.hits += usize::from(argmax_with(simd, row, max) == label);
        let at_label = row[label] - max;
        let (sum, last) = exponentials(simd, row, max);
        self.losses[i] = (simd.to_array(math::ln(simd, simd.splat(sum)))[0] - at_label) * weight;
        let truth = Labels(self.labels);
        let (sum, factor) = (simd.splat(sum), simd.splat(self.rows.scale * weight));
        let (whole, tail) = row.as_chunks_mut::<LANES>();
        for (j, chunk) in whole.iter_mut().enumerate() {
            let difference = simd.sub(simd.div(simd.load(chunk), sum), truth.load(simd, i, j * LANES, LANES));
            simd.store(scaled(simd, difference, factor), chunk);
        }
        let difference = simd.sub(simd.div(last, sum), truth.load(simd, i, whole.len() * LANES, tail.len()));
        simd.store_first(scaled(simd, difference, factor), tail);
    }

    #[inline(always)]
    fn on_narrow_rows<S: Simd>(&mut self, simd: S, rows: Range<usize>) {
        let columns = self.x.columns();
        let label = narrow_labels(simd, self.labels, rows.clone(), columns);
        let weight = self.rows.weights(simd, rows.clone());
        let factor = simd.mul(simd.splat(self.rows.scale), weight);

        let mut x = narrow::load(simd, self.x.as_ref(), rows.clone());
        let max = narrow::max(simd, &x[..columns]);
        self.hits += narrow::count_equal(simd, narrow::position(simd, &x[..columns], max), label, rows.len());
        let mut at_label = simd.zero();
        for (j, &column) in x[..columns].iter().enumerate() {
            at_label = simd.select(simd.eq(label, simd.splat(j as f32)), column, at_label);
        }
        let at_label = simd.sub(at_label, max);

        let sum = narrow_exponentials(simd, &mut x, columns, max);
        let loss = simd.mul(simd.sub(math::ln(simd, sum), at_label), weight);
        simd.store_first(loss, &mut self.losses[rows.clone()]);
        for (j, column) in x[..columns].iter_mut().enumerate() {
            let probability = simd.div(*column, sum);
            let at_label = simd.eq(label, simd.splat(j as f32));
            let difference = simd.select(at_label, simd.sub(probability, simd.splat(1.0)), probability);
            *column = scaled(simd, difference, factor);
        }
        narrow::store(simd, x, &mut self.x, rows);
    }

    #[inline(always)]
    fn output(self) -> usize {
        self.hits
    }
}

#[inline(always)]
fn checked(label: u32, row: usize, columns: usize) -> usize {
    let label = label as usize;
    assert!(label < columns, "a label below {columns} expected in row {row}, found {label}");
    label
}

/// The labels of some [narrow] rows of so many columns.
#[inline(always)]
fn narrow_labels<S: Simd>(simd: S, labels: &[u32], rows: Range<usize>, columns: usize) -> S::F32 {
    let mut of_lanes = [0.0; LANES];
    for (label, i) in of_lanes.iter_mut().zip(rows) {
        *label = checked(labels[i], i, columns) as f32;
    }
    simd.load(&of_lanes)
}

/// The probabilities that rows should have.
trait Targets {
    /// The first index of the largest target of row `i`, which has `columns` elements.
    fn argmax<S: Simd>(&self, simd: S, i: usize, columns: usize) -> usize;
    /// Up to sixteen targets of row `i`, from column `start` on.
    fn load<S: Simd>(&self, simd: S, i: usize, start: usize, len: usize) -> S::F32;
    /// Some [narrow] rows of so many columns.
    fn narrow_rows<S: Simd>(&self, simd: S, rows: Range<usize>, columns: usize) -> [S::F32; LANES];
}

/// 1 at the label, else 0.
struct Labels<'a>(&'a [u32]);

impl Targets for Labels<'_> {
    #[inline(always)]
    fn argmax<S: Simd>(&self, _: S, i: usize, columns: usize) -> usize {
        checked(self.0[i], i, columns)
    }
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, i: usize, start: usize, _: usize) -> S::F32 {
        let bits = match (self.0[i] as usize).checked_sub(start) {
            Some(lane) if lane < LANES => 1 << lane,
            _ => 0,
        };
        simd.select(simd.mask_from_bits(bits), simd.splat(1.0), simd.zero())
    }
    #[inline(always)]
    fn narrow_rows<S: Simd>(&self, simd: S, rows: Range<usize>, columns: usize) -> [S::F32; LANES] {
        let label = narrow_labels(simd, self.0, rows, columns);
        let mut targets = [simd.zero(); LANES];
        for (j, target) in targets.iter_mut().enumerate().take(columns) {
            *target = simd.select(simd.eq(label, simd.splat(j as f32)), simd.splat(1.0), simd.zero());
        }
        targets
    }
}

impl Targets for MatRef<'_> {
    #[inline(always)]
    fn argmax<S: Simd>(&self, simd: S, i: usize, _: usize) -> usize {
        let row = self.row(i);
        argmax_with(simd, row, slice::max_with(simd, row))
    }
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, i: usize, start: usize, len: usize) -> S::F32 {
        simd.load_first(&self.row(i)[start..start + len])
    }
    #[inline(always)]
    fn narrow_rows<S: Simd>(&self, simd: S, rows: Range<usize>, _: usize) -> [S::F32; LANES] {
        narrow::load(simd, *self, rows)
    }
}

/// Softmax cross-entropy where every class has a target.
struct OfTargets<'a, T> {
    x: MatMut<'a>,
    targets: T,
    smoothing: f32,
    rows: RowWeights<'a>,
    losses: &'a mut [f32],
    hits: usize,
}

impl<T: Targets> OfTargets<'_, T> {
    /// The target of each lane, smoothed.
    #[inline(always)]
    fn smoothed<S: Simd>(&self, simd: S, target: S::F32) -> S::F32 {
        let share = self.smoothing / self.x.columns() as f32;
        simd.mul_add(target, simd.splat(1.0 - self.smoothing), simd.splat(share))
    }

    /// Up to sixteen smoothed targets; lanes behind the end of the row are zero.
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, i: usize, start: usize, len: usize) -> S::F32 {
        let smoothed = self.smoothed(simd, self.targets.load(simd, i, start, len));
        simd.select(simd.mask_first(len), smoothed, simd.zero())
    }
}

/// `sum + target (max / 2 - x / 2)`, where an impossible class that is not wanted costs nothing.
#[inline(always)]
fn add_distance<S: Simd>(simd: S, target: S::F32, max: S::F32, x: S::F32, sum: S::F32) -> S::F32 {
    let below = half_difference(simd, max, x);
    simd.select(simd.eq(target, simd.zero()), sum, simd.mul_add(target, below, sum))
}

impl<T: Targets> OnEachRow for OfTargets<'_, T> {
    type Output = usize;
    #[inline(always)]
    fn shape(&self) -> (usize, usize) {
        (self.x.rows(), self.x.columns())
    }
    #[inline(always)]
    fn on_row<S: Simd>(&mut self, simd: S, i: usize) {
        let columns = self.x.columns();
        let weight = self.rows.weight(i);
        let factor = simd.splat(self.rows.scale * weight);
        let right = self.targets.argmax(simd, i, columns);
        let max = slice::max_with(simd, self.x.row_mut(i));
        self.hits += usize::from(argmax_with(simd, self.x.row_mut(i), max) == right);

        // The sum of all targets, and half of how far the logits are below the largest, weighted by the targets.
        let (mut total, mut distance) = (simd.zero(), simd.zero());
        for start in (0..columns).step_by(LANES) {
            let len = LANES.min(columns - start);
            let target = self.load(simd, i, start, len);
            let x = simd.load_first(&self.x.row_mut(i)[start..start + len]);
            total = simd.add(total, target);
            distance = add_distance(simd, target, simd.splat(max), x, distance);
        }
        let (total, distance) = (simd.sum_lanes(total), simd.sum_lanes(distance));

        let (sum, last) = exponentials(simd, self.x.row_mut(i), max);
        let ln_sum = simd.to_array(math::ln(simd, simd.splat(sum)))[0];
        self.losses[i] = (ln_sum * total + (distance + distance)) * weight;

        let (sum, total) = (simd.splat(sum), simd.splat(total));
        for start in (0..columns).step_by(LANES) {
            let len = LANES.min(columns - start);
            let target = self.load(simd, i, start, len);
            let chunk = &mut self.x.row_mut(i)[start..start + len];
            let exponential = if len == LANES { simd.load_first(chunk) } else { last };
            let probability = simd.div(exponential, sum);
            let difference = simd.sub(simd.mul(probability, total), target);
            simd.store_first(scaled(simd, difference, factor), chunk);
        }
    }

    #[inline(always)]
    fn on_narrow_rows<S: Simd>(&mut self, simd: S, rows: Range<usize>) {
        let columns = self.x.columns();
        let weight = self.rows.weights(simd, rows.clone());
        let factor = simd.mul(simd.splat(self.rows.scale), weight);

        let mut targets = self.targets.narrow_rows(simd, rows.clone(), columns);
        let mut x = narrow::load(simd, self.x.as_ref(), rows.clone());
        let max = narrow::max(simd, &x[..columns]);
        let right = narrow::position(simd, &targets[..columns], narrow::max(simd, &targets[..columns]));
        self.hits += narrow::count_equal(simd, narrow::position(simd, &x[..columns], max), right, rows.len());

        let mut distances = [simd.zero(); LANES];
        for ((target, &x), distance) in targets.iter_mut().zip(&x).zip(&mut distances).take(columns) {
            *target = self.smoothed(simd, *target);
            *distance = add_distance(simd, *target, max, x, *distance);
        }
        let (total, distance) = (narrow::sum(simd, targets), narrow::sum(simd, distances));

        let sum = narrow_exponentials(simd, &mut x, columns, max);
        let loss = simd.add(simd.mul(math::ln(simd, sum), total), simd.add(distance, distance));
        simd.store_first(simd.mul(loss, weight), &mut self.losses[rows.clone()]);
        for (column, target) in x.iter_mut().zip(targets).take(columns) {
            let probability = simd.div(*column, sum);
            *column = scaled(simd, simd.sub(simd.mul(probability, total), target), factor);
        }
        narrow::store(simd, x, &mut self.x, rows);
    }

    #[inline(always)]
    fn output(self) -> usize {
        self.hits
    }
}

/// `x / 2 - y / 2`, which is finite for all finite numbers.
#[inline(always)]
fn half_difference<S: Simd>(simd: S, x: S::F32, y: S::F32) -> S::F32 {
    let half = simd.splat(0.5);
    simd.sub(simd.mul(x, half), simd.mul(y, half))
}

/// A loss that is the mean of the losses of the elements of a row.
trait ElementLoss {
    /// `sum + share loss(x, y)`
    fn accumulate<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, share: S::F32, sum: S::F32) -> S::F32;
    /// `factor d loss(x, y) / dx`
    fn gradient<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, factor: S::F32) -> S::F32;
    /// A bit for each lane that is a right answer, if that means something.
    #[inline(always)]
    fn right<S: Simd>(&self, _: S, _x: S::F32, _y: S::F32) -> u16 {
        0
    }
}

#[track_caller]
fn mean_of_elements(
    isa: Isa,
    loss: impl ElementLoss,
    x: MatMut<'_>,
    targets: MatRef<'_>,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) -> usize {
    check_targets(&x, &targets);
    rows.check(x.rows(), losses);
    isa.run(MeanOfElements { loss, x, targets, rows, losses })
}

struct MeanOfElements<'a, L> {
    loss: L,
    x: MatMut<'a>,
    targets: MatRef<'a>,
    rows: RowWeights<'a>,
    losses: &'a mut [f32],
}

impl<L: ElementLoss> SimdOp for MeanOfElements<'_, L> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> usize {
        let share = 1.0 / self.x.columns() as f32;
        let mut right = 0;
        for (i, loss) in self.losses.iter_mut().enumerate() {
            let weight = self.rows.weight(i);
            let (share, factor) = (simd.splat(share), simd.splat(self.rows.scale * weight * share));
            let mut sum = simd.zero();
            for (x, y) in self.x.row_mut(i).chunks_mut(LANES).zip(self.targets.row(i).chunks(LANES)) {
                let inside = simd.mask_first(x.len());
                let (values, targets) = (simd.load_first(x), simd.load_first(y));
                // Lanes behind the end of the row add nothing.
                sum = simd.select(inside, self.loss.accumulate(simd, values, targets, share, sum), sum);
                right += (self.loss.right(simd, values, targets) & first_bits(x.len())).count_ones() as usize;
                simd.store_first(simd.flush_negligible(self.loss.gradient(simd, values, targets, factor)), x);
            }
            *loss = simd.sum_lanes(sum) * weight;
        }
        right
    }
}

struct SigmoidCrossEntropy {
    smoothing: f32,
}

impl SigmoidCrossEntropy {
    /// The probability that the answer of greater probability should not have: `x > 0 ? 1 - y : y` with `y` smoothed.
    #[inline(always)]
    fn doubt<S: Simd>(&self, simd: S, x: S::F32, y: S::F32) -> S::F32 {
        let y = simd.mul_add(y, simd.splat(1.0 - self.smoothing), simd.splat(self.smoothing * 0.5));
        simd.select(simd.lt(simd.zero(), x), simd.sub(simd.splat(1.0), y), y)
    }
}

impl ElementLoss for SigmoidCrossEntropy {
    /// `max(x, 0) - x y` is `abs(x) doubt`.
    #[inline(always)]
    fn accumulate<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, share: S::F32, sum: S::F32) -> S::F32 {
        let distance = simd.abs(x);
        let rest = math::softplus(simd, simd.sub(simd.zero(), distance));
        simd.mul_add(simd.mul_add(distance, self.doubt(simd, x, y), rest), share, sum)
    }
    /// `sigmoid(x) - y` is `sigmoid(-abs(x)) - doubt`, or for positive `x` the negative of that.
    #[inline(always)]
    fn gradient<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, factor: S::F32) -> S::F32 {
        let smaller = math::sigmoid(simd, simd.sub(simd.zero(), simd.abs(x)));
        let doubt = self.doubt(simd, x, y);
        let positive = simd.lt(simd.zero(), x);
        let gradient = simd.sub(simd.select(positive, doubt, smaller), simd.select(positive, smaller, doubt));
        simd.mul(gradient, factor)
    }
    #[inline(always)]
    fn right<S: Simd>(&self, simd: S, x: S::F32, y: S::F32) -> u16 {
        let answer = simd.mask_to_bits(simd.lt(simd.zero(), x));
        let truth = simd.mask_to_bits(simd.lt(simd.splat(0.5), y));
        !(answer ^ truth)
    }
}

struct SquaredError;

impl ElementLoss for SquaredError {
    #[inline(always)]
    fn accumulate<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, share: S::F32, sum: S::F32) -> S::F32 {
        let half = half_difference(simd, x, y);
        simd.mul_add(simd.mul(half, simd.mul(share, simd.splat(4.0))), half, sum)
    }
    #[inline(always)]
    fn gradient<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, factor: S::F32) -> S::F32 {
        simd.mul(half_difference(simd, x, y), simd.mul(factor, simd.splat(4.0)))
    }
}

struct AbsoluteError;

impl ElementLoss for AbsoluteError {
    #[inline(always)]
    fn accumulate<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, share: S::F32, sum: S::F32) -> S::F32 {
        simd.mul_add(simd.abs(half_difference(simd, x, y)), simd.add(share, share), sum)
    }
    #[inline(always)]
    fn gradient<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, factor: S::F32) -> S::F32 {
        // The difference itself is the sign where it is zero or NaN.
        let sign = simd.select(simd.lt(x, y), simd.splat(-1.0), simd.sub(x, y));
        simd.mul(simd.select(simd.lt(y, x), simd.splat(1.0), sign), factor)
    }
}

struct Huber {
    delta: f32,
}

impl ElementLoss for Huber {
    #[inline(always)]
    fn accumulate<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, share: S::F32, sum: S::F32) -> S::F32 {
        let half = simd.abs(half_difference(simd, x, y));
        let clamped = simd.min(simd.splat(self.delta * 0.5), half);
        let height = simd.mul_add(clamped, simd.splat(-0.5), half);
        simd.mul_add(simd.mul(clamped, simd.mul(share, simd.splat(4.0))), height, sum)
    }
    #[inline(always)]
    fn gradient<S: Simd>(&self, simd: S, x: S::F32, y: S::F32, factor: S::F32) -> S::F32 {
        simd.mul(math::clamp(simd, simd.sub(x, y), -self.delta, self.delta), factor)
    }
}
