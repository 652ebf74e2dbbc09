//! How: slices in, slices out. No allocation, no threads, no globals, and outside of [`gemm`] no unsafe code.

pub mod clipping;
pub mod dropout;
pub mod fused;
pub mod gather;
pub mod gemm;
pub mod loss;
pub mod math;
mod matrix;
pub mod norm;
pub mod optimizers;
pub mod reduce;
pub mod rng;
pub mod softmax;
pub mod transpose;

pub use matrix::{MatMut, MatRef, extent};
