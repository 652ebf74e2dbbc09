//! How: slices in, slices out. No allocation, no threads, no globals, and outside of `gemm` no unsafe code.

pub mod activations;
pub mod math;
mod matrix;

pub use matrix::{MatMut, MatRef, extent};
