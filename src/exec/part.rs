//! What every step of a part knows, and how it finds its rows.

use super::Inputs;
use crate::kernels::gather::{gather, gather_bytes};
use crate::kernels::merge;
use crate::kernels::rng::Stream;
use crate::kernels::{MatMut, MatRef};
use crate::parallel::range_of_share;
use crate::plan::{Block, Plan, Purpose, Region, Value, read_and_write};
use crate::simd::Isa;
use core::ops::Range;

/// Where dropout takes its random numbers: which ones do not depend on threads, on how rows are shared or on the instruction set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// The user's seed.
    pub seed: u64,
    /// The number of the step, or of the pass over the network.
    pub step: u32,
    /// Which row of the pass the first row of the minibatch is, if a pass takes several; a step has one, so 0.
    pub first_row: u32,
}

/// What one part needs to know to take its rows of a minibatch through the network.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) isa: Isa,
    pub(super) plan: &'a Plan<'a>,
    pub(super) parameters: &'a [f32],
    /// The statistics of normalizations over the minibatch; in inference there are none.
    pub(super) statistics: &'a [f32],
    /// Without it nothing is dropped.
    pub(super) noise: Option<Noise>,
    pub(super) inputs: &'a [Inputs<'a>],
    /// The first of its rows of the minibatch.
    pub(super) first_row: usize,
    /// How many rows it has.
    pub(super) rows: usize,
    /// The layer whose product has been computed before; the inputs have then been gathered, too.
    pub(super) computed: Option<usize>,
}

/// The rows of part `part` of a minibatch of `rows` rows.
pub(super) fn rows_of_part(plan: &Plan<'_>, rows: usize, part: usize) -> Range<usize> {
    range_of_share(rows, plan.rows_per_part(rows), part)
}

impl Part<'_> {
    /// Its rows of the minibatch.
    pub(super) fn range(&self) -> Range<usize> {
        self.first_row..self.first_row + self.rows
    }

    pub(super) fn trains(&self) -> bool {
        self.plan.purpose() == Purpose::Training
    }

    /// The random numbers of a layer.
    pub(super) fn stream(&self, noise: Noise, layer: usize) -> Stream {
        let Noise { seed, step, first_row } = noise;
        Stream { seed, step, layer: layer as u32, first_row: first_row.wrapping_add(self.first_row as u32) }
    }

    /// Gathers the inputs that do not stay where they lie.
    pub(super) fn gather(&self, block: &mut Block<'_>) {
        let rows = self.range();
        for (i, inputs) in self.inputs.iter().enumerate() {
            let target = match (self.plan.value(Value::Input(i), self.rows), inputs) {
                (None, Inputs::Rows(_)) => continue,
                (None, _) => self.plan.input(i, self.rows).of_mut(block.inputs),
                (Some(region), _) => region.of_mut(block.outputs),
            };
            match *inputs {
                Inputs::Rows(x) => merge::copy(rows_of(x, rows.clone()), target),
                Inputs::Gathered { rows: x, order } => gather(self.isa, x, &order[rows.clone()], target),
                Inputs::Bytes { rows: x, order, scaling } => gather_bytes(self.isa, x, &order[rows.clone()], scaling, target),
            }
        }
    }

    /// Where a value that is no output of a layer lies: with the caller, or gathered.
    #[inline(always)]
    fn outside<'b>(&'b self, value: Value, inputs: &'b [f32]) -> MatRef<'b> {
        let (Value::Input(i) | Value::Layer(i)) = value;
        match self.inputs[i] {
            Inputs::Rows(x) => rows_of(x, self.range()),
            _ => self.plan.input(i, self.rows).of(inputs),
        }
    }

    /// A value to read, and the output of a layer to write.
    #[inline(always)]
    pub(super) fn value_and_output<'b>(
        &'b self,
        value: Value,
        layer: usize,
        inputs: &'b [f32],
        outputs: &'b mut [f32],
    ) -> (MatRef<'b>, MatMut<'b>) {
        let target = self.plan.output(layer, self.rows);
        match self.plan.value(value, self.rows) {
            Some(source) => read_and_write(outputs, source, target),
            None => (self.outside(value, inputs), target.of_mut(outputs)),
        }
    }

    /// A value to read.
    pub(super) fn value<'b>(&'b self, value: Value, inputs: &'b [f32], outputs: &'b [f32]) -> MatRef<'b> {
        match self.plan.value(value, self.rows) {
            Some(source) => source.of(outputs),
            None => self.outside(value, inputs),
        }
    }

    /// Copies a value into columns of the output of a layer, unless it is there already.
    pub(super) fn copy_into_columns(&self, value: Value, layer: usize, first: usize, block: &mut Block<'_>) {
        let rows = self.rows;
        let whole = self.plan.output(layer, rows);
        match self.plan.value(value, rows) {
            Some(source) => {
                let target = Region { offset: whole.offset + first, columns: source.columns, ..whole };
                if source.offset != target.offset {
                    // Row by row: both may be columns of the same matrix.
                    for i in 0..rows {
                        let from = source.offset + i * source.leading_dimension;
                        let to = target.offset + i * target.leading_dimension;
                        block.outputs.copy_within(from..from + source.columns, to);
                    }
                }
            }
            None => {
                let x = self.outside(value, block.inputs);
                let target = Region { offset: whole.offset + first, columns: x.columns(), ..whole };
                merge::copy(x, target.of_mut(block.outputs));
            }
        }
    }
}

/// Some rows of a matrix.
#[inline(always)]
pub(super) fn rows_of(x: MatRef<'_>, rows: Range<usize>) -> MatRef<'_> {
    let start = (rows.start * x.leading_dimension()).min(x.data().len());
    MatRef::new(&x.data()[start..], rows.len(), x.columns(), x.leading_dimension())
}
