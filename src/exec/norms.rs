//! Sums over whole tensors, for the norms of gradients and the penalties of weights: each part some of the rows.

use super::{Context, check_lengths, check_trains};
use crate::kernels::MatRef;
use crate::kernels::clipping::{sum_of_magnitudes, sum_of_squares, sums_of_magnitudes, sums_of_squares};
use crate::kernels::reduce::{self, MICRO_SHARD};
use crate::parallel::{Shares, range_of_share};
use crate::plan::{LEARNED_TENSORS, Layer, Penalty};
use crate::simd::Isa;

/// What is summed up: the sum over a matrix, and those over its micro-shards.
#[derive(Clone, Copy)]
struct Sums {
    whole: fn(Isa, MatRef<'_>) -> f32,
    of_shards: fn(Isa, MatRef<'_>, &mut [f32]),
}

const MAGNITUDES: Sums = Sums { whole: sum_of_magnitudes, of_shards: sums_of_magnitudes };
const SQUARES: Sums = Sums { whole: sum_of_squares, of_shards: sums_of_squares };

/// What the penalties add to the loss: for each tensor that has one `l1 sum of abs(w) + l2 sum of w^2`. The workspace is one between two steps.
///
/// # Panics
/// If the plan is not for training or a buffer is too short.
#[track_caller]
pub fn penalty(context: &Context<'_>, parameters: &[f32], workspace: &mut [f32]) -> f64 {
    check_lengths(&[("parameters", context.plan.parameters_len(), parameters.len())]);
    let (_, room) = room_for_sums(context, workspace);
    penalty_with(context.plan.layers(), parameters, |sums, weights| sum_by_all(context, sums, weights, room))
}

/// [`penalty`] of some layers by the caller alone, with the same bits.
///
/// # Panics
/// If the parameters are too few.
#[track_caller]
pub fn penalty_by_one(isa: Isa, layers: &[Layer], parameters: &[f32]) -> f64 {
    penalty_with(layers, parameters, |sums, weights| (sums.whole)(isa, weights))
}

#[track_caller]
fn penalty_with(layers: &[Layer], parameters: &[f32], mut sum: impl FnMut(Sums, MatRef<'_>) -> f32) -> f64 {
    let mut total = 0.0;
    for tensor in layers.iter().flat_map(Layer::learned_tensors) {
        let Penalty { l1, l2 } = tensor.penalty;
        for (factor, sums) in [(l1, MAGNITUDES), (l2, SQUARES)] {
            if factor != 0.0 {
                total += f64::from(factor) * f64::from(sum(sums, tensor.region.of(parameters)));
            }
        }
    }
    total
}

/// The sum of squares of each tensor of each layer, zeros for those that it does not have. The workspace keeps all else that it holds.
#[track_caller]
pub(super) fn squares_of_tensors<'a>(context: &Context<'_>, gradients: &[f32], workspace: &'a mut [f32]) -> &'a [f32] {
    let (squares, room) = room_for_sums(context, workspace);
    let tensors = context.plan.layers().iter().flat_map(Layer::learned_tensors);
    for (tensor, square) in tensors.zip(squares.iter_mut()) {
        *square = sum_by_all(context, SQUARES, tensor.region.of(gradients), room);
    }
    squares
}

/// Where sums are written: those of all tensors, and those of the micro-shards of one.
#[track_caller]
fn room_for_sums<'a>(context: &Context<'_>, workspace: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
    let plan = context.plan;
    check_trains(plan);
    check_lengths(&[("workspace", plan.workspace_len(), workspace.len())]);
    workspace[plan.sums_range()].split_at_mut(plan.layers().len() * LEARNED_TENSORS)
}

/// The sum over a matrix, each part its micro-shards, whose sums go to the front of `room`.
fn sum_by_all(context: &Context<'_>, sums: Sums, x: MatRef<'_>, room: &mut [f32]) -> f32 {
    let Context { isa, plan, executor } = *context;
    let room = &mut room[..x.rows().div_ceil(MICRO_SHARD)];
    if room.len() <= 1 {
        return (sums.whole)(isa, x);
    }
    let per_part = room.len().div_ceil(plan.parts());
    let shares = Shares::new(&mut *room, per_part);
    executor.run(&|part| {
        let rows = range_of_share(x.rows(), per_part * MICRO_SHARD, part);
        let x = MatRef::new(&x.data()[rows.start * x.leading_dimension()..], rows.len(), x.columns(), x.leading_dimension());
        (sums.of_shards)(isa, x, shares.take(part));
    });
    reduce::sum(room.iter().copied())
}
