//! [`kernels::loss`](crate::kernels::loss), one element at a time.

use super::math;
use super::reduce::index_of_largest;
use super::softmax::{exponentials, largest};
use crate::kernels::MatMut;
use crate::simd::Isa;

/// Softmax and categorical cross-entropy: turns logits into the gradient by them, and writes the loss of each row. Returns how many
/// rows have their largest logit, the first of equals, at the label.
///
/// # Panics
/// If there are fewer labels or losses than rows, or a label is not below the number of columns.
pub fn softmax_cross_entropy(isa: Isa, mut x: MatMut<'_>, labels: &[u32], scale: f32, losses: &mut [f32]) -> usize {
    let mut hits = 0;
    for i in 0..x.rows() {
        let row = x.row_mut(i);
        let label = labels[i] as usize;
        if index_of_largest(row) == label {
            hits += 1;
        }
        let at_label = row[label] - largest(row);
        let sum = exponentials(isa, row);
        losses[i] = math::ln(isa, sum) - at_label;
        for (j, x) in row.iter_mut().enumerate() {
            let truth = if j == label { 1.0 } else { 0.0 };
            *x = (*x / sum - truth) * scale;
        }
    }
    hits
}
