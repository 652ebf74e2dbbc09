//! [`kernels::loss`](crate::kernels::loss), one element at a time.

use super::reduce::index_of_largest;
use super::softmax::{exponentials, largest};
use super::{flush_negligible, math, multiply_add, sum_of_lanes};
use crate::kernels::loss::RowWeights;
use crate::kernels::{MatMut, MatRef};
use crate::simd::{Isa, LANES};

fn weight(rows: RowWeights<'_>, i: usize) -> f32 {
    rows.weights.map_or(1.0, |weights| weights[i])
}

/// Softmax and categorical cross-entropy with the index of the true class. Returns how many rows have their largest logit, the first of
/// equals, at the label.
///
/// # Panics
/// If there are fewer labels, losses or weights than rows, or a label is not below the number of columns.
pub fn softmax_cross_entropy(
    isa: Isa,
    mut x: MatMut<'_>,
    labels: &[u32],
    smoothing: f32,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) -> usize {
    let mut hits = 0;
    for i in 0..x.rows() {
        let row = x.row_mut(i);
        let label = labels[i] as usize;
        if smoothing != 0.0 {
            let mut targets = std::vec![0.0; row.len()];
            targets[label] = 1.0;
            hits += softmax_row(isa, row, &targets, smoothing, (rows.scale, weight(rows, i)), &mut losses[i]);
            continue;
        }
        if index_of_largest(row) == label {
            hits += 1;
        }
        let at_label = row[label] - largest(row);
        let sum = exponentials(isa, row);
        losses[i] = (math::ln(isa, sum) - at_label) * weight(rows, i);
        for (j, x) in row.iter_mut().enumerate() {
            let truth = if j == label { 1.0 } else { 0.0 };
            *x = flush_negligible((*x / sum - truth) * (rows.scale * weight(rows, i)));
        }
    }
    hits
}

/// Softmax and categorical cross-entropy with a probability for each class. Returns how many rows have their largest logit where the
/// largest target is, the first of equals in both.
///
/// # Panics
/// If there are not as many losses as rows, or fewer targets or weights.
pub fn softmax_cross_entropy_one_hot(
    isa: Isa,
    mut x: MatMut<'_>,
    targets: MatRef<'_>,
    smoothing: f32,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) -> usize {
    let mut hits = 0;
    for (i, loss) in losses.iter_mut().enumerate() {
        hits += softmax_row(isa, x.row_mut(i), targets.row(i), smoothing, (rows.scale, weight(rows, i)), loss);
    }
    hits
}

/// One row of the above.
fn softmax_row(isa: Isa, x: &mut [f32], targets: &[f32], smoothing: f32, (scale, weight): (f32, f32), loss: &mut f32) -> usize {
    let hit = index_of_largest(x) == index_of_largest(targets);
    let share = smoothing / x.len() as f32;
    let targets: std::vec::Vec<f32> = targets.iter().map(|&y| multiply_add(isa, y, 1.0 - smoothing, share)).collect();
    let max = largest(x);
    let (mut total, mut distance) = ([0.0; LANES], [0.0; LANES]);
    for (j, &y) in targets.iter().enumerate() {
        let lane = j % LANES;
        total[lane] += y;
        if y != 0.0 {
            distance[lane] = multiply_add(isa, y, max * 0.5 - x[j] * 0.5, distance[lane]);
        }
    }
    let (total, distance) = (sum_of_lanes(total), sum_of_lanes(distance));
    let sum = exponentials(isa, x);
    *loss = (math::ln(isa, sum) * total + 2.0 * distance) * weight;
    for (x, y) in x.iter_mut().zip(targets) {
        *x = flush_negligible((*x / sum * total - y) * (scale * weight));
    }
    usize::from(hit)
}

/// The loss of an element and its derivative, each multiplied by something.
trait ElementLoss {
    /// `sum + share loss(x, y)`
    fn accumulate(&self, isa: Isa, x: f32, y: f32, share: f32, sum: f32) -> f32;
    /// `factor d loss(x, y) / dx`
    fn gradient(&self, isa: Isa, x: f32, y: f32, factor: f32) -> f32;
}

fn mean_of_elements(
    isa: Isa,
    loss: impl ElementLoss,
    mut x: MatMut<'_>,
    targets: MatRef<'_>,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) {
    let share = 1.0 / x.columns() as f32;
    for (i, loss_of_row) in losses.iter_mut().enumerate() {
        let mut lanes = [0.0; LANES];
        for (j, (x, &y)) in x.row_mut(i).iter_mut().zip(targets.row(i)).enumerate() {
            let lane = &mut lanes[j % LANES];
            *lane = loss.accumulate(isa, *x, y, share, *lane);
            *x = flush_negligible(loss.gradient(isa, *x, y, rows.scale * weight(rows, i) * share));
        }
        *loss_of_row = sum_of_lanes(lanes) * weight(rows, i);
    }
}

struct SigmoidCrossEntropy {
    smoothing: f32,
}

impl SigmoidCrossEntropy {
    fn smoothed(&self, isa: Isa, y: f32) -> f32 {
        multiply_add(isa, y, 1.0 - self.smoothing, self.smoothing * 0.5)
    }
}

impl ElementLoss for SigmoidCrossEntropy {
    fn accumulate(&self, isa: Isa, x: f32, y: f32, share: f32, sum: f32) -> f32 {
        let y = self.smoothed(isa, y);
        let doubt = if x > 0.0 { 1.0 - y } else { y };
        let loss = multiply_add(isa, x.abs(), doubt, math::softplus(isa, -x.abs()));
        multiply_add(isa, loss, share, sum)
    }
    fn gradient(&self, isa: Isa, x: f32, y: f32, factor: f32) -> f32 {
        let y = self.smoothed(isa, y);
        if x > 0.0 { (1.0 - y - math::sigmoid(isa, -x)) * factor } else { (math::sigmoid(isa, x) - y) * factor }
    }
}

struct SquaredError;

impl ElementLoss for SquaredError {
    fn accumulate(&self, isa: Isa, x: f32, y: f32, share: f32, sum: f32) -> f32 {
        let half = x * 0.5 - y * 0.5;
        multiply_add(isa, half * (share * 4.0), half, sum)
    }
    fn gradient(&self, _: Isa, x: f32, y: f32, factor: f32) -> f32 {
        (x * 0.5 - y * 0.5) * (factor * 4.0)
    }
}

struct AbsoluteError;

impl ElementLoss for AbsoluteError {
    fn accumulate(&self, isa: Isa, x: f32, y: f32, share: f32, sum: f32) -> f32 {
        multiply_add(isa, (x * 0.5 - y * 0.5).abs(), share * 2.0, sum)
    }
    fn gradient(&self, _: Isa, x: f32, y: f32, factor: f32) -> f32 {
        let sign = if x > y {
            1.0
        } else if x < y {
            -1.0
        } else {
            x - y
        };
        sign * factor
    }
}

struct Huber {
    delta: f32,
}

impl ElementLoss for Huber {
    fn accumulate(&self, isa: Isa, x: f32, y: f32, share: f32, sum: f32) -> f32 {
        let half = (x * 0.5 - y * 0.5).abs();
        let clamped = if half > self.delta * 0.5 { self.delta * 0.5 } else { half };
        multiply_add(isa, clamped * (share * 4.0), multiply_add(isa, clamped, -0.5, half), sum)
    }
    fn gradient(&self, _: Isa, x: f32, y: f32, factor: f32) -> f32 {
        math::clamp(x - y, -self.delta, self.delta) * factor
    }
}

/// Sigmoid and binary cross-entropy of each element. Returns how many elements are right: `(x > 0) == (y > 0.5)`.
///
/// # Panics
/// If there are not as many losses as rows, or fewer targets or weights.
pub fn sigmoid_cross_entropy(
    isa: Isa,
    mut x: MatMut<'_>,
    targets: MatRef<'_>,
    smoothing: f32,
    rows: RowWeights<'_>,
    losses: &mut [f32],
) -> usize {
    let mut right = 0;
    for i in 0..x.rows() {
        right += x.row_mut(i).iter().zip(targets.row(i)).filter(|&(&x, &y)| (x > 0.0) == (y > 0.5)).count();
    }
    mean_of_elements(isa, SigmoidCrossEntropy { smoothing }, x, targets, rows, losses);
    right
}

/// The mean of `(x - y)^2` over each row.
///
/// # Panics
/// If there are not as many losses as rows, or fewer targets or weights.
pub fn squared_error(isa: Isa, x: MatMut<'_>, targets: MatRef<'_>, rows: RowWeights<'_>, losses: &mut [f32]) {
    mean_of_elements(isa, SquaredError, x, targets, rows, losses);
}

/// The mean of `abs(x - y)` over each row.
///
/// # Panics
/// If there are not as many losses as rows, or fewer targets or weights.
pub fn absolute_error(isa: Isa, x: MatMut<'_>, targets: MatRef<'_>, rows: RowWeights<'_>, losses: &mut [f32]) {
    mean_of_elements(isa, AbsoluteError, x, targets, rows, losses);
}

/// The mean over each row of `(x - y)^2 / 2` up to a distance of `delta`, and of the tangent to that beyond.
///
/// # Panics
/// If there are not as many losses as rows, or fewer targets or weights.
pub fn huber(isa: Isa, x: MatMut<'_>, targets: MatRef<'_>, delta: f32, rows: RowWeights<'_>, losses: &mut [f32]) {
    mean_of_elements(isa, Huber { delta }, x, targets, rows, losses);
}
