//! What is true: the kernels again as naive loops in textbook order, under the same file names.
//!
//! For tests, fuzz targets and benches. A kernel equals its twin bit for bit on every instruction set; where the processor's
//! multiply-add is not fused, the twin is told so by [`multiply_add`].

pub mod activations;
pub mod dual;
pub mod gather;
pub mod gemm;
pub mod loss;
pub mod math;
pub mod network;
pub mod optimizers;
pub mod reduce;
pub mod softmax;
pub mod transpose;

use crate::simd::Isa;

/// `a * b + c` as `isa` computes it: rounded once if [`Isa::fused`], else twice.
pub fn multiply_add(isa: Isa, a: f32, b: f32, c: f32) -> f32 {
    if isa.fused() { f32::mul_add(a, b, c) } else { a * b + c }
}
