//! [`Predictions`]: the outputs of a model for some rows.

use crate::kernels::{MatRef, reduce};
use crate::plan::Plan;
use crate::simd::Isa;

/// The outputs of a model for some rows.
#[derive(Clone, Debug)]
pub struct Predictions {
    isa: Isa,
    rows: usize,
    values: Vec<f32>,
    /// The number of columns of each output.
    columns: Vec<usize>,
}

impl Predictions {
    /// From the values of all outputs, one matrix after the other.
    pub(super) fn new(isa: Isa, plan: &Plan<'_>, rows: usize, values: Vec<f32>) -> Self {
        let columns = plan.outputs().iter().map(|output| plan.layers()[output.layer].out_dim).collect();
        Self::of_columns(isa, columns, rows, values)
    }

    pub(super) fn of_columns(isa: Isa, columns: Vec<usize>, rows: usize, values: Vec<f32>) -> Self {
        Self { isa, rows, values, columns }
    }

    /// Of the first output, one row for each row that was asked about; of a softmax, the probabilities of the classes.
    pub fn matrix(&self) -> MatRef<'_> {
        let columns = self.columns.first().copied().unwrap_or(0);
        MatRef::new(&self.values[..self.rows * columns], self.rows, columns, columns)
    }

    /// One row for each row that was asked about, of an output by number.
    pub fn output(&self, output: usize) -> Option<MatRef<'_>> {
        let &columns = self.columns.get(output)?;
        let before: usize = self.columns[..output].iter().sum();
        Some(MatRef::new(&self.values[self.rows * before..][..self.rows * columns], self.rows, columns, columns))
    }

    /// The class with the largest value of the first output for each row, the first of equals.
    pub fn classes(&self) -> Vec<u32> {
        let mut classes = vec![0; self.rows];
        reduce::argmax(self.isa, self.matrix(), &mut classes);
        classes
    }
}
