//! [`kernels::reduce`](crate::kernels::reduce): the tree of micro-shards as it is defined, by recursion.

use super::optimizers::Rule;
use super::softmax::largest;
use super::{multiply_add, sum_of_lanes};
use crate::kernels::MatRef;
use crate::kernels::gemm::RowBlocks;
use crate::kernels::reduce::MICRO_SHARD;
use crate::simd::{Isa, LANES};
use std::vec::Vec;

/// `sum over i of x[i]`: one after the other in a micro-shard; several shards are the sum of their largest power of two (below the
/// whole) and the rest.
pub fn sum(x: &[f32]) -> f32 {
    if x.len() <= MICRO_SHARD {
        return x.iter().copied().reduce(|sum, x| sum + x).unwrap_or(0.0);
    }
    let shards = x.len().div_ceil(MICRO_SHARD);
    let (power_of_two, rest) = x.split_at(shards.next_power_of_two() / 2 * MICRO_SHARD);
    sum(power_of_two) + sum(rest)
}

fn column(x: RowBlocks<'_>, j: usize) -> Vec<f32> {
    (0..x.rows()).map(|i| x.row(i)[j]).collect()
}

/// `y[j] = sum over i of x[i][j]`
///
/// # Panics
/// If `y` is longer than a row of `x`.
pub fn column_sums(x: RowBlocks<'_>, y: &mut [f32]) {
    for (j, y) in y.iter_mut().enumerate() {
        *y = sum(&column(x, j));
    }
}

/// One step of an optimizer on `outputs`, with `sum over i of x[i][first + j]` as gradient `j`.
///
/// # Panics
/// If the outputs differ in length or reach beyond the last column.
pub fn column_sums_into<const N: usize>(isa: Isa, x: RowBlocks<'_>, first: usize, rule: &impl Rule<N>, outputs: [&mut [f32]; N]) {
    let len = outputs.first().map_or(0, |output| output.len());
    let sums: Vec<f32> = (first..first + len).map(|j| sum(&column(x, j))).collect();
    super::optimizers::update(isa, rule, &sums, outputs);
}

/// Mean and variance of all elements: sixteen columns, each summed as [`sum`] does, then added by the tree of sixteen lanes.
pub fn mean_and_variance(isa: Isa, x: &[f32]) -> (f32, f32) {
    // The shards of a column start from zero, for which the sum does not differ, but for the sign of a sum of negative zeros.
    let total = |term: &dyn Fn(f32, f32) -> f32| {
        let mut lanes = [0.0; LANES];
        for (lane, total) in lanes.iter_mut().enumerate() {
            let mut shards = Vec::new();
            for shard in x.chunks(MICRO_SHARD * LANES) {
                shards.push(shard.iter().skip(lane).step_by(LANES).fold(0.0, |sum, &x| term(x, sum)));
            }
            *total = tree(&shards);
        }
        sum_of_lanes(lanes)
    };
    let count = x.len() as f32;
    let mean = total(&|x, sum| sum + x) / count;
    let variance = total(&|x, sum| multiply_add(isa, x - mean, x - mean, sum)) / count;
    (mean, variance)
}

/// Several shards are the sum of their largest power of two (below the whole) and the rest.
fn tree(shards: &[f32]) -> f32 {
    match shards {
        [] => 0.0,
        [shard] => *shard,
        _ => {
            let (power_of_two, rest) = shards.split_at(shards.len().next_power_of_two() / 2);
            tree(power_of_two) + tree(rest)
        }
    }
}

/// The index of the first element that is infinite or NaN.
pub fn first_non_finite(x: &[f32]) -> Option<usize> {
    x.iter().position(|x| !x.is_finite())
}

/// The column of the largest element of each row, the first of equals. NaN is passed over; a row of nothing else gives 0.
///
/// # Panics
/// If `y` is longer than `x` has rows.
pub fn argmax(x: MatRef<'_>, y: &mut [u32]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = index_of_largest(x.row(i)) as u32;
    }
}

pub(super) fn index_of_largest(x: &[f32]) -> usize {
    let largest = largest(x);
    x.iter().position(|&x| x == largest).unwrap_or(0)
}
