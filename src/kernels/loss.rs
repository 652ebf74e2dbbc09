//! Losses with their gradients.
//!
//! | kernel | formula | in place | passes |
//! |---|---|---|---|
//! | [`softmax_cross_entropy`] | `losses[i] = ln(sum over k of exp(x[i][k])) - x[i][label]`, `x[i][j] = (softmax(x[i])[j] - (j == label)) * scale` | yes | 3 over a row, in cache |
//!
//! The gradient is that of the *negative* log-likelihood, probability minus truth; with `scale = 1 / rows` it is the gradient of the
//! mean. The largest element is subtracted first, so gradients are finite for every finite row, and so is every loss that is not
//! itself beyond `f32::MAX`, as that of `-f32::MAX` beside `f32::MAX`; such a loss is infinite.

use super::math;
use super::matrix::MatMut;
use super::reduce::argmax_with;
use super::softmax::exponentials;
use crate::simd::{Isa, LANES, Simd, SimdOp, slice};

/// Softmax and categorical cross-entropy: turns logits into the gradient by them, and writes the loss of each row. Returns how many
/// rows have their largest logit, the first of equals, at the label.
///
/// # Shapes
/// `x: [rows, n]`, `labels: [rows]`, `losses: [rows]`.
///
/// # Panics
/// If the shapes differ or a label is not below `n`.
#[track_caller]
pub fn softmax_cross_entropy(isa: Isa, x: MatMut<'_>, labels: &[u32], scale: f32, losses: &mut [f32]) -> usize {
    assert!(x.rows() == labels.len(), "labels of {} rows expected, found {}", x.rows(), labels.len());
    assert!(x.rows() == losses.len(), "losses of {} rows expected, found {}", x.rows(), losses.len());
    isa.run(SoftmaxCrossEntropy { x, labels, scale, losses })
}

struct SoftmaxCrossEntropy<'a> {
    x: MatMut<'a>,
    labels: &'a [u32],
    scale: f32,
    losses: &'a mut [f32],
}

impl SimdOp for SoftmaxCrossEntropy<'_> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> usize {
        let mut hits = 0;
        for (i, (&label, loss)) in self.labels.iter().zip(self.losses).enumerate() {
            let row = self.x.row_mut(i);
            let label = label as usize;
            assert!(label < row.len(), "a label below {} expected in row {i}, found {label}", row.len());
            let max = slice::max_with(simd, row);
            hits += usize::from(argmax_with(simd, row, max) == label);
            let at_label = row[label] - max;
            let sum = exponentials(simd, row, max);
            *loss = simd.to_array(math::ln(simd, simd.splat(sum)))[0] - at_label;
            let gradient_at_label = (row[label] / sum - 1.0) * self.scale;
            let (sum, scale) = (simd.splat(sum), simd.splat(self.scale));
            for chunk in row.chunks_mut(LANES) {
                let gradient = simd.mul(simd.div(simd.load_first(chunk), sum), scale);
                simd.store_first(gradient, chunk);
            }
            row[label] = gradient_at_label;
        }
        hits
    }
}
