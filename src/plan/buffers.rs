//! Carves the caller's slices into what a plan names.

use super::{Plan, Region};
use crate::kernels::gemm::RowBlocks;
use crate::kernels::{MatMut, MatRef};

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
    /// At least [`Plan::workspace_len`] elements, which may hold anything.
    pub workspace: &'a mut [f32],
}

/// The rows of one part, for writing.
pub(crate) struct Block<'a> {
    pub(crate) outputs: &'a mut [f32],
    pub(crate) gradients: &'a mut [f32],
    /// How many rows were classified right.
    pub(crate) hits: &'a mut f32,
    pub(crate) losses: &'a mut [f32],
    pub(crate) masks: &'a mut [u16],
    pub(crate) sums: &'a mut [f32],
    pub(crate) scratch: &'a mut [f32],
}

impl<'a> Block<'a> {
    /// Carves a block of [`Plan::block_len`] elements into room for the gathered input and everything else.
    pub(crate) fn carve(plan: &Plan<'_>, block: &'a mut [f32]) -> (&'a mut [f32], Self) {
        let (input, block) = block.split_at_mut(plan.input_len());
        let (outputs, block) = block.split_at_mut(plan.outputs_len());
        let (gradients, block) = block.split_at_mut(plan.gradients_len());
        let (losses, block) = block.split_at_mut(plan.losses_len());
        let (masks, block) = block.split_at_mut(plan.masks_len());
        let (sums, block) = block.split_at_mut(plan.sums_len());
        let scratch = &mut block[..plan.scratch_len()];
        let (hits, losses) = losses.split_at_mut(crate::simd::LANES);
        let masks = bytemuck::cast_slice_mut(masks);
        (input, Self { outputs, gradients, hits: &mut hits[0], losses, masks, sums, scratch })
    }

    /// The output of the layer before `layer`, and room for the output of `layer`.
    pub(crate) fn outputs_around(outputs: &'a mut [f32], plan: &Plan<'_>, layer: usize, rows: usize) -> (MatRef<'a>, MatMut<'a>) {
        let (before, here) = (plan.output(layer - 1, rows), plan.output(layer, rows));
        let at_start = |region: Region| Region { offset: 0, ..region };
        if before.offset < here.offset {
            let (low, high) = outputs.split_at_mut(here.offset);
            (before.of(low), at_start(here).of_mut(high))
        } else {
            let (low, high) = outputs.split_at_mut(before.offset);
            (at_start(before).of(high), here.of_mut(low))
        }
    }
}

/// The rows of all parts, for reading: what all of them have written to the same place of their blocks, as one matrix.
pub(crate) struct BlockRef<'p, 'a> {
    pub(crate) plan: &'p Plan<'p>,
    pub(crate) workspace: &'a [f32],
    /// Rows of the minibatch.
    pub(crate) rows: usize,
}

impl<'a> BlockRef<'_, 'a> {
    /// The gathered input.
    pub(crate) fn input(&self) -> RowBlocks<'a> {
        self.matrix(0, Region::new(0, 0, self.plan.in_dim()))
    }

    /// The output of a layer.
    pub(crate) fn output(&self, layer: usize) -> RowBlocks<'a> {
        self.matrix(self.plan.input_len(), self.plan.output(layer, 0))
    }

    /// The gradient by the weighted sum of a layer.
    pub(crate) fn gradient(&self, layer: usize) -> RowBlocks<'a> {
        if layer + 1 == self.plan.layers().len() && self.plan.replaces_last_output() {
            return self.output(layer);
        }
        self.matrix(self.plan.input_len() + self.plan.outputs_len(), self.plan.output(layer, 0))
    }

    fn matrix(&self, base: usize, region: Region) -> RowBlocks<'a> {
        let data = &self.workspace[base + region.offset..];
        let shape = (self.rows, region.columns, region.leading_dimension);
        RowBlocks::new(data, shape, self.plan.rows_per_part(self.rows), self.plan.block_len())
    }

    /// The losses of all rows, in order.
    pub(crate) fn losses(&self) -> impl Iterator<Item = f32> {
        let (blocks, rows_per_part) = (self.blocks(), self.plan.rows_per_part(self.rows));
        blocks.zip((0..self.rows).step_by(rows_per_part)).flat_map(move |(block, first)| {
            let rows = rows_per_part.min(self.rows - first);
            block[crate::simd::LANES..][..rows].iter().copied()
        })
    }

    /// How many rows were classified right.
    pub(crate) fn hits(&self) -> usize {
        let parts = self.rows.div_ceil(self.plan.rows_per_part(self.rows));
        self.blocks().take(parts).map(|block| block[0] as usize).sum()
    }

    /// The losses of each part, behind its hits.
    fn blocks(&self) -> impl Iterator<Item = &'a [f32]> {
        let start = self.plan.input_len() + self.plan.outputs_len() + self.plan.gradients_len();
        self.workspace.chunks_exact(self.plan.block_len()).map(move |block| &block[start..])
    }
}
