//! [`kernels::clipping`](crate::kernels::clipping) as loops.

use super::{multiply_add, sum_of_lanes};
use crate::kernels::MatRef;
use crate::kernels::reduce::{MICRO_SHARD, sum};
use crate::simd::{Isa, LANES};

/// `sum over i and j of x[i][j]^2`
pub fn sum_of_squares(isa: Isa, x: MatRef<'_>) -> f32 {
    total(x, |x, sum| multiply_add(isa, x, x, sum))
}

/// `sum over i and j of abs(x[i][j])`
pub fn sum_of_magnitudes(_: Isa, x: MatRef<'_>) -> f32 {
    total(x, |x, sum| sum + x.abs())
}

fn total(x: MatRef<'_>, add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut shards = std::vec::Vec::new();
    for i in 0..x.rows() {
        if i % MICRO_SHARD == 0 {
            shards.push([0.0; LANES]);
        }
        for (j, &x) in x.row(i).iter().enumerate() {
            let sum = &mut shards[i / MICRO_SHARD][j % LANES];
            *sum = add(x, *sum);
        }
    }
    sum(shards.into_iter().map(sum_of_lanes))
}
