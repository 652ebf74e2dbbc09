//! Carves the caller's slices into what a plan names.

use super::layer::Layer;
use super::network::STATISTICS;
use super::{Plan, Region, Value, leading_dimension};
use crate::kernels::gemm::RowBlocks;
use crate::kernels::norm::Normalization;
use crate::kernels::{MatMut, MatRef, extent};
use crate::simd::LANES;

/// A value at the start of a cache line. Buffers need no alignment to be correct, but vectors that straddle cache lines are slow.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Aligned<T>(pub T);

/// What training works on; each buffer may be longer than the plan asks for.
#[derive(Debug)]
pub struct Memory<'a> {
    /// At least [`Plan::parameters_len`] elements.
    pub parameters: &'a mut [f32],
    /// At least [`Plan::state_len`] elements, for the number of the optimizer's numbers per parameter.
    pub state: &'a mut [f32],
    /// For steps that look at the whole gradient before they use it, as clipping by norm does: at least [`Plan::parameters_len`] elements,
    /// which may hold anything. Else it may be empty.
    pub gradients: &'a mut [f32],
    /// At least [`Plan::workspace_len`] elements, which may hold anything.
    pub workspace: &'a mut [f32],
}

/// The rows of one part, for writing.
pub(crate) struct Block<'a> {
    pub(crate) inputs: &'a mut [f32],
    pub(crate) outputs: &'a mut [f32],
    pub(crate) gradients: &'a mut [f32],
    /// For each output of the network, how many rows were classified right, and the losses.
    pub(crate) losses: &'a mut [f32],
    pub(crate) targets: &'a mut [f32],
    pub(crate) masks: &'a mut [u16],
    pub(crate) sums: &'a mut [f32],
    pub(crate) scratch: &'a mut [f32],
}

impl<'a> Block<'a> {
    /// Carves a block of [`Plan::block_len`] elements.
    #[inline]
    pub(crate) fn carve(plan: &Plan<'_>, block: &'a mut [f32]) -> Self {
        let (inputs, block) = block.split_at_mut(plan.sizes.inputs);
        let (outputs, block) = block.split_at_mut(plan.sizes.outputs);
        let (gradients, block) = block.split_at_mut(plan.sizes.gradients);
        let (losses, block) = block.split_at_mut(plan.sizes.losses);
        let (targets, block) = block.split_at_mut(plan.sizes.targets);
        let (masks, block) = block.split_at_mut(plan.sizes.masks);
        let (sums, block) = block.split_at_mut(plan.sizes.sums);
        let scratch = &mut block[..plan.sizes.scratch];
        Self { inputs, outputs, gradients, losses, targets, masks: bytemuck::cast_slice_mut(masks), sums, scratch }
    }
}

/// Two regions of one buffer that share no element: one to read, one to write.
///
/// # Panics
/// If the elements from the first to the last of one region include any of the other's. The plan places what is read and what is written in
/// different matrices.
#[inline(always)]
#[track_caller]
pub(crate) fn read_and_write<'a>(buffer: &'a mut [f32], read: Region, write: Region) -> (MatRef<'a>, MatMut<'a>) {
    let span = |region: Region| region.offset..region.offset + extent(region.rows, region.columns, region.leading_dimension);
    let at_start = |region: Region| Region { offset: 0, ..region };
    let Ok([from, to]) = buffer.get_disjoint_mut([span(read), span(write)]) else {
        panic!("separate regions inside the buffer expected, found {read:?} and {write:?}");
    };
    (at_start(read).of(from), at_start(write).of_mut(to))
}

/// The statistics of one normalization over a minibatch, `[out_dim]` each.
pub(crate) struct Statistics<'a> {
    pub(crate) mean: &'a mut [f32],
    pub(crate) variance: &'a mut [f32],
    pub(crate) inverse_deviation: &'a mut [f32],
    pub(crate) dgamma: &'a mut [f32],
    pub(crate) dbeta: &'a mut [f32],
}

impl<'a> Statistics<'a> {
    /// The part of the statistics that belongs to a layer.
    pub(crate) fn of_layer(layer: &Layer, statistics: &'a mut [f32]) -> Self {
        let width = leading_dimension(layer.out_dim);
        let mut rows = statistics[layer.statistics_before..][..STATISTICS * width].chunks_exact_mut(width);
        let mut row = || rows.next().map_or(&mut [][..], |row| &mut row[..layer.out_dim]);
        Self { mean: row(), variance: row(), inverse_deviation: row(), dgamma: row(), dbeta: row() }
    }

    /// What a layer's columns are normalized with, by its statistics and parameters.
    pub(crate) fn normalization<'b>(layer: &Layer, statistics: &'b [f32], parameters: &'b [f32]) -> Normalization<'b> {
        let rows = Self::rows(layer, statistics);
        Normalization {
            mean: rows[0],
            inverse_deviation: rows[2],
            gamma: layer.gamma.of(parameters).row(0),
            beta: layer.beta.of(parameters).row(0),
        }
    }

    /// Mean, variance, inverse deviation and the gradients by gamma and beta.
    pub(crate) fn rows<'b>(layer: &Layer, statistics: &'b [f32]) -> [&'b [f32]; STATISTICS] {
        let width = leading_dimension(layer.out_dim);
        core::array::from_fn(|i| &statistics[layer.statistics_before + i * width..][..layer.out_dim])
    }
}

/// The rows of all parts, for reading: what all of them have written to the same place of their blocks, as one matrix.
#[derive(Clone, Copy)]
pub(crate) struct BlockRef<'p, 'a> {
    pub(crate) plan: &'p Plan<'p>,
    pub(crate) blocks: &'a [f32],
    /// Rows of the minibatch.
    pub(crate) rows: usize,
}

impl<'a> BlockRef<'_, 'a> {
    /// A value of the network; inputs as far as they have been gathered.
    pub(crate) fn value(&self, value: Value) -> RowBlocks<'a> {
        match (self.plan.value(value, 0), value) {
            (Some(region), _) => self.matrix(self.plan.sizes.inputs, region),
            (None, Value::Input(i) | Value::Layer(i)) => self.matrix(0, self.plan.input(i, 0)),
        }
    }

    /// The gradient that a layer's backward pass has left: the one by its weighted sums, or what it passes on.
    pub(crate) fn gradient(&self, layer: usize) -> RowBlocks<'a> {
        self.matrix(self.plan.sizes.inputs + self.plan.sizes.outputs, self.plan.gradient(layer, 0))
    }

    /// The sums that a layer has kept.
    pub(crate) fn sums(&self, layer: usize) -> RowBlocks<'a> {
        let plan = self.plan;
        let kept = plan.sizes.losses + plan.sizes.targets + plan.sizes.masks;
        self.matrix(plan.sizes.inputs + plan.sizes.outputs + plan.sizes.gradients + kept, plan.sums(layer, 0))
    }

    fn matrix(&self, base: usize, region: Region) -> RowBlocks<'a> {
        let data = &self.blocks[base + region.offset..];
        let shape = (self.rows, region.columns, region.leading_dimension);
        RowBlocks::new(data, shape, self.plan.rows_per_part(self.rows), self.plan.block_len())
    }

    /// The losses of all rows of an output, in order.
    pub(crate) fn losses(&self, output: usize) -> impl Iterator<Item = f32> {
        let rows_per_part = self.plan.rows_per_part(self.rows);
        let parts = (0..self.rows).step_by(rows_per_part);
        self.losses_of_parts(output).zip(parts).flat_map(move |(losses, first)| {
            let rows = rows_per_part.min(self.rows - first);
            losses[LANES..][..rows].iter().copied()
        })
    }

    /// How many rows of an output were classified right.
    pub(crate) fn hits(&self, output: usize) -> usize {
        let parts = self.rows.div_ceil(self.plan.rows_per_part(self.rows));
        self.losses_of_parts(output).take(parts).map(|losses| losses[0] as usize).sum()
    }

    /// The losses of each part, behind its hits.
    fn losses_of_parts(&self, output: usize) -> impl Iterator<Item = &'a [f32]> {
        let plan = self.plan;
        let start = plan.sizes.inputs + plan.sizes.outputs + plan.sizes.gradients + output * plan.losses_of_output();
        self.blocks.chunks_exact(plan.block_len()).map(move |block| &block[start..])
    }
}
