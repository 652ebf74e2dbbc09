//! [`kernels::norm`](crate::kernels::norm) as loops.

use super::{flush_denormal, multiply_add};
use crate::kernels::norm::{GradientSums, Normalization};
use crate::kernels::reduce::MICRO_SHARD;
use crate::kernels::{MatMut, MatRef};
use crate::simd::Isa;
use std::vec::Vec;

/// The sum of micro-shards: that of the largest power of two of them below the whole, and that of the rest.
pub fn tree(shards: &[f32]) -> f32 {
    match shards {
        [] => 0.0,
        [shard] => *shard,
        _ => {
            let (low, high) = shards.split_at(shards.len().next_power_of_two() / 2);
            tree(low) + tree(high)
        }
    }
}

/// The sum over rows in micro-shards: `add` adds the term of a row to a sum.
pub fn sum_over_rows(rows: usize, add: impl Fn(f32, usize) -> f32) -> f32 {
    let firsts = (0..rows).step_by(MICRO_SHARD);
    let shards: Vec<f32> = firsts.map(|first| (first..rows.min(first + MICRO_SHARD)).fold(-0.0, &add)).collect();
    tree(&shards)
}

/// `mean = (sum of x) / rows`, `variance = (sum of (x - mean)^2) / rows`
pub fn statistics(isa: Isa, x: MatRef<'_>, mean: &mut [f32], variance: &mut [f32]) {
    let rows = x.rows();
    for (j, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        *mean = sum_over_rows(rows, |sum, i| sum + x.row(i)[j]) / rows as f32;
        let square = |sum, i| multiply_add(isa, x.row(i)[j] - *mean, x.row(i)[j] - *mean, sum);
        *variance = sum_over_rows(rows, square) / rows as f32;
    }
}

/// `y = 1 / sqrt(variance + epsilon)`
pub fn inverse_deviation(variance: &[f32], epsilon: f32, y: &mut [f32]) {
    for (y, variance) in y.iter_mut().zip(variance) {
        *y = 1.0 / (variance + epsilon).sqrt();
    }
}

/// `moving = momentum moving + (1 - momentum) batch`
pub fn update_moving(isa: Isa, momentum: f64, batch: &[f32], moving: &mut [f32]) {
    for (moving, batch) in moving.iter_mut().zip(batch) {
        *moving = flush_denormal(multiply_add(isa, *moving, momentum as f32, batch * (1.0 - momentum) as f32));
    }
}

/// `x' = (x - mean) inverse_deviation`
pub fn standardized(x: MatRef<'_>, normalization: &Normalization<'_>, i: usize, j: usize) -> f32 {
    (x.row(i)[j] - normalization.mean[j]) * normalization.inverse_deviation[j]
}

/// `y = gamma x' + beta`
pub fn batch_norm_forward(isa: Isa, x: MatRef<'_>, normalization: &Normalization<'_>, mut y: MatMut<'_>) {
    for i in 0..x.rows() {
        for (j, y) in y.row_mut(i).iter_mut().enumerate() {
            *y = multiply_add(isa, standardized(x, normalization, i, j), normalization.gamma[j], normalization.beta[j]);
        }
    }
}

/// `dgamma = sum of dy x'`, `dbeta = sum of dy`
pub fn gradient_sums(isa: Isa, dy: MatRef<'_>, x: MatRef<'_>, normalization: &Normalization<'_>, [dgamma, dbeta]: [&mut [f32]; 2]) {
    for (j, (dgamma, dbeta)) in dgamma.iter_mut().zip(dbeta).enumerate() {
        let by_gamma = |sum, i| multiply_add(isa, dy.row(i)[j], standardized(x, normalization, i, j), sum);
        *dgamma = sum_over_rows(x.rows(), by_gamma);
        *dbeta = sum_over_rows(x.rows(), |sum, i| sum + dy.row(i)[j]);
    }
}

/// `dy = gamma inverse_deviation (dy - dbeta / rows - x' dgamma / rows)`
pub fn batch_norm_backward(
    isa: Isa,
    x: MatRef<'_>,
    normalization: &Normalization<'_>,
    sums: &GradientSums<'_>,
    mut dy: MatMut<'_>,
) {
    let share = -1.0 / sums.rows as f32;
    for i in 0..x.rows() {
        for (j, dy) in dy.row_mut(i).iter_mut().enumerate() {
            let by_dbeta = multiply_add(isa, sums.dbeta[j], share, *dy);
            let centered = multiply_add(isa, standardized(x, normalization, i, j), sums.dgamma[j] * share, by_dbeta);
            *dy = normalization.gamma[j] * normalization.inverse_deviation[j] * centered;
        }
    }
}

/// `scale = gamma inverse_deviation`, `shift = beta - mean scale`
pub fn affine(isa: Isa, normalization: &Normalization<'_>, scale: &mut [f32], shift: &mut [f32]) {
    for (j, (scale, shift)) in scale.iter_mut().zip(shift).enumerate() {
        *scale = normalization.gamma[j] * normalization.inverse_deviation[j];
        *shift = multiply_add(isa, normalization.mean[j], -*scale, normalization.beta[j]);
    }
}

/// `x = scale x + shift`
pub fn affine_forward(isa: Isa, scale: &[f32], shift: &[f32], mut x: MatMut<'_>) {
    for i in 0..x.rows() {
        for (j, x) in x.row_mut(i).iter_mut().enumerate() {
            *x = multiply_add(isa, *x, scale[j], shift[j]);
        }
    }
}

/// `dy = scale dy`
pub fn affine_backward(scale: &[f32], mut dy: MatMut<'_>) {
    for i in 0..dy.rows() {
        for (j, dy) in dy.row_mut(i).iter_mut().enumerate() {
            *dy *= scale[j];
        }
    }
}

/// `W'[i][j] = W[i][j] scale[j]`, `b' = b scale + shift`
pub fn fold_into_previous(isa: Isa, scale: &[f32], shift: &[f32], w: MatMut<'_>, b: &mut [f32]) {
    for (j, b) in b.iter_mut().enumerate() {
        *b = multiply_add(isa, *b, scale[j], shift[j]);
    }
    affine_backward(scale, w);
}

/// `W'[i][j] = scale[i] W[i][j]`, `b' = b + shift W`
pub fn fold_into_next(isa: Isa, scale: &[f32], shift: &[f32], mut w: MatMut<'_>, b: &mut [f32]) {
    for i in 0..w.rows() {
        for (w, b) in w.row_mut(i).iter_mut().zip(&mut *b) {
            *b = multiply_add(isa, *w, shift[i], *b);
            *w *= scale[i];
        }
    }
}
