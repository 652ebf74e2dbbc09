//! A single row on many parts: layers of many weights by columns.
//!
//! A row takes as long as its weights take to arrive, and shared by rows, one part would have to read them all. Here each part computes some
//! columns of a layer. It reads those of the weights, which stay in its cache from one row to the next. Behind such a layer all parts wait for
//! each other, so everything else about the row is done by the caller.

use super::Context;
use super::ends::{biased, biased_relu};
use super::forward::row;
use super::part::Part;
use super::pass::{Pass, columns_per_part};
use crate::kernels::gemm::gemm;
use crate::kernels::{MatMut, MatRef};
use crate::parallel::{Executor, Shares};
use crate::plan::{Block, Layer};

/// Weights of the fewest elements that are worth a run. As many take 2 microseconds to read from a cache of level 2, and a run of two parts
/// takes half of one; half as many are as fast either way.
const MANY_WEIGHTS: usize = 1 << 16;

/// Whether the product of a layer is worth a run.
fn has_many_weights(layer: &Layer) -> bool {
    layer.is_product() && layer.kernel.len() >= MANY_WEIGHTS
}

impl Pass<'_> {
    /// All layers forward for the only row, and then something else.
    pub(super) fn infer_by_columns(&mut self, parameters: &[f32], next: impl FnOnce(&Part<'_>, &mut Block<'_>)) {
        let Context { isa, plan, executor } = self.context;
        let (noise, inputs, statistics) = (self.noise, self.inputs, &*self.statistics);
        let part = Part { isa, plan, parameters, statistics, noise, inputs, first_row: 0, rows: 1, computed: None };
        let block = &mut Block::carve(plan, &mut self.blocks[..plan.block_len()]);
        part.gather(block);
        for (i, layer) in plan.layers().iter().enumerate() {
            let is_shared = has_many_weights(layer);
            if is_shared {
                part.product_by_columns(i, executor, block);
            }
            Part { computed: is_shared.then_some(i), ..part }.layers_forward(i..i + 1, block);
        }
        next(&part, block);
    }
}

impl Part<'_> {
    /// The product of layer `i` with the only row, each part of the executor its columns.
    fn product_by_columns(&self, i: usize, executor: &dyn Executor, block: &mut Block<'_>) {
        let layer = &self.plan.layers()[i];
        let (kernel, bias) = (layer.kernel.of(self.parameters), row(layer.bias, self.parameters));
        let (x, y) = self.value_and_output(layer.spec.input, i, block.inputs, block.outputs);
        let width = columns_per_part(layer, executor.parts());
        let shares = Shares::new(&mut y.into_data()[..layer.out_dim], width);
        executor.run(&|part| {
            let y = shares.take(part);
            if y.is_empty() {
                return;
            }
            let (first, columns) = (part * width, y.len());
            let kernel = MatRef::new(&kernel.data()[first..], kernel.rows(), columns, kernel.leading_dimension());
            let bias = if bias.is_empty() { bias } else { &bias[first..first + columns] };
            let y = MatMut::new(y, 1, columns, columns);
            gemm(self.isa, x, kernel, &mut if self.ends_with_relu(i) { biased_relu(bias, y, &mut []) } else { biased(bias, y) });
        });
    }
}
