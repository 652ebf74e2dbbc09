//! How: slices in, slices out. No allocation, no threads, no globals, and outside of [`gemm`] no unsafe code.
//!
//! | kernel | formula | shapes | in place | writes |
//! |---|---|---|---|---|
//! | [`gemm::gemm`], [`gemm::gemm_shared`] | `C = finish(begin + A B)` | `[m, k] [k, n] -> [m, n]` | as the epilogue says | by epilogue |
//! | [`gemm::gemm_transposed`] | `C = finish(begin + A^T B)` | `[k, m] [k, n] -> [m, n]` | as the epilogue says | by epilogue |
//! | epilogue [`gemm::Stored`] | `C` | `[m, n]` | no | replaces |
//! | epilogue [`gemm::Accumulated`] | `C + A B` | `[m, n]` | yes | adds |
//! | epilogue [`gemm::Biased`] | `bias + A B` | `[n]`, `[m, n]` | no | replaces |
//! | epilogue [`gemm::BiasedRelu`] | `relu(bias + A B)` and mask | `[n]`, `[m, n]` | no | replaces |
//! | epilogue [`gemm::Either`] | one of two others | as they | as they | as they |
//! | epilogue [`gemm::ReluBackward`] | `mask ? A B : 0` | `[m, n]` | no | replaces |
//! | epilogue [`gemm::Updated`] | `w = optimizer(w, A B)` | `[m, n]` | yes | updates |
//! | [`activations::forward`], [`activations::backward`] | `y = f(z)`, `dz = f'(z) dy` | `[n]` | both | replaces |
//! | [`softmax::softmax_forward`] | `y = exp(x) / sum exp(x)` by rows | `[m, n]` | yes | replaces |
//! | [`loss::softmax_cross_entropy`], [`loss::softmax_cross_entropy_one_hot`] | loss by row, `dx = (softmax(x) - truth) scale` | `[m, n]` | yes | replaces |
//! | [`loss::sigmoid_cross_entropy`] | loss by row, `dx = (sigmoid(x) - y) scale / n` | `[m, n]` | yes | replaces |
//! | [`loss::squared_error`], [`loss::absolute_error`], [`loss::huber`] | loss by row, `dx = f'(x - y) scale / n` | `[m, n]` | yes | replaces |
//! | [`optimizers::update`] | `w = optimizer(w, g)` | `[n]` | yes | updates |
//! | [`reduce::column_sums`] | `y[j] = sum over i of x[i][j]` | `[m, n] -> [n]` | no | replaces |
//! | [`reduce::column_sums_into`] | `y[j] = op(sum over i of x[i][j], y[j])` | `[m, n] -> [n]` | yes | by op |
//! | [`reduce::sum`] | `sum over i of x[i]` | `[n]` | no | returns |
//! | [`reduce::mean_and_variance`] | `mean = sum of x / n`, `sum of (x - mean)^2 / n` | `[n]` | no | returns |
//! | [`reduce::first_non_finite`] | first `i` with `x[i]` NaN or infinite | `[n]` | no | returns |
//! | [`reduce::argmax`] | first index of the largest element by row | `[m, n] -> [m]` | no | replaces |
//! | [`dropout::dropout_forward`], [`dropout::dropout_backward`] | `x = keep ? x / (1 - rate) : 0` and mask | `[m, n]` | yes | replaces |
//! | [`dropout::alpha_dropout_forward`], [`dropout::alpha_dropout_backward`] | `x = keep ? a x + b : a alpha' + b` and mask | `[m, n]` | yes | replaces |
//! | [`norm::batch_norm_forward`], [`norm::batch_norm_backward`] | `y = gamma (x - mean) / deviation + beta` | `[m, n]`, `[n]` | backward | replaces |
//! | [`norm::statistics`], [`norm::gradient_sums`] | mean and variance; `dgamma`, `dbeta` | `[m, n] -> [n]` | no | replaces |
//! | [`norm::fold_into_previous`], [`norm::fold_into_next`] | a dense layer that normalizes too | `[k, n]`, `[n]` | yes | updates |
//! | [`fused::batch_norm_relu_dropout_forward`], [`fused::batch_norm_relu_dropout_backward`] | the three, in this order | `[m, n]` | backward | replaces |
//! | [`clipping::sum_of_squares`], [`clipping::factor_by_norm`], [`clipping::factor_by_global_norm`] | what a gradient is scaled with | `[m, n]` | | returns |
//! | [`clipping::sum_of_magnitudes`] | what a penalty is made of, with the sum of squares | `[m, n]` | | returns |
//! | [`rng::uniform`] | Philox4x32-10 by seed, step, layer, row and column | `[m, n]` | no | replaces |
//! | [`gather::gather`], [`gather::gather_bytes`] | `y[i] = x[order[i]]`, scaled | `[any, n] -> [m, n]` | no | replaces |
//! | [`merge::copy`], [`merge::add`] | `y = x`, `y = y + x` | `[m, n]` | `add` | replaces, adds |
//! | [`transpose::transpose`], [`transpose::transpose_masked`], [`transpose::transpose_added`] | `y = x^T`, masked, added | `[m, n] -> [n, m]` | no | replaces, adds |
//!
//! # Names
//!
//! `op_forward` and `op_backward`; gradients `dx`, `dw`, `db`; dimensions of layers `batch, in_dim, out_dim`, of matrices `m, n, k`. A kernel that fuses others lists
//! them in the order in which they run. Shapes travel in [`MatRef`] and [`MatMut`].
//!
//! # How to add a kernel
//!
//! 1. Write its twin in [`reference`](mod@crate::reference), under the same file name: plain loops in textbook order, with
//!    `multiply_add` where the kernel is to fuse.
//! 2. Write its test in `tests/kernels`: bit for bit against the twin, on every instruction set, at every edge, with NaN in all padding and pages without access around the operands. See
//!    it fail.
//! 3. Write the kernel: checks of lengths with both numbers on the first lines, then a private struct that implements
//!    [`SimdOp`](crate::simd::SimdOp) or [`MapOp`](crate::simd::MapOp). No remainder loop, no intrinsic, no unsafe.
//! 4. Add its row to the table above and to the table of its own file, and a bench; and its operands to
//!    `tests/kernels/special_values`, which says what to put in the table below.
//!
//! # Special values
//!
//! What comes out where one operand holds a special value among usual numbers. Where several outputs depend on it the worst is shown,
//! in the order of the list of signs. It is the same on every instruction set; a test compares this table with what it finds.
//!
//! ```text
#![doc = include_str!("special_values.txt")]
//! ```

pub mod activations;
pub mod clipping;
pub mod dropout;
pub mod fused;
pub mod gather;
pub mod gemm;
pub mod loss;
pub mod math;
mod matrix;
pub mod merge;
mod narrow;
pub mod norm;
pub mod optimizers;
pub mod reduce;
pub mod rng;
pub mod softmax;
mod sums;
pub mod transpose;
mod walk;

pub use matrix::{MatMut, MatRef, extent};
