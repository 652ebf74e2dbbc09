//! [`kernels::clipping`](crate::kernels::clipping) as loops.

use super::{multiply_add, sum_of_lanes};
use crate::kernels::MatRef;
use crate::kernels::reduce::{MICRO_SHARD, sum};
use crate::simd::{Isa, LANES};

/// `sum over i and j of x[i][j]^2`
pub fn sum_of_squares(isa: Isa, x: MatRef<'_>) -> f32 {
    let mut shards = std::vec::Vec::new();
    for i in 0..x.rows() {
        if i % MICRO_SHARD == 0 {
            shards.push([0.0; LANES]);
        }
        for (j, &x) in x.row(i).iter().enumerate() {
            let shard = &mut shards[i / MICRO_SHARD];
            shard[j % LANES] = multiply_add(isa, x, x, shard[j % LANES]);
        }
    }
    sum(shards.into_iter().map(sum_of_lanes))
}
