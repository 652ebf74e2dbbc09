//! What is true: the kernels again as naive loops in textbook order, under the same file names.
//!
//! For tests, fuzz targets and benches. A kernel equals its twin bit for bit on every instruction set; where the processor's
//! multiply-add is not fused, the twin is told so by [`multiply_add`].

pub mod activations;
pub mod clipping;
pub mod dropout;
pub mod dual;
pub mod fused;
pub mod gather;
pub mod gemm;
pub mod loss;
pub mod math;
pub mod merge;
pub mod network;
pub mod norm;
pub mod optimizers;
pub mod reduce;
pub mod rng;
#[cfg(test)]
pub(crate) mod samples;
pub mod softmax;
pub mod transpose;

use crate::simd::{Isa, LANES, NEGLIGIBLE};

/// `a * b + c` as `isa` computes it: rounded once if [`Isa::fused`], else twice.
pub fn multiply_add(isa: Isa, a: f32, b: f32, c: f32) -> f32 {
    if isa.fused() { f32::mul_add(a, b, c) } else { a * b + c }
}

/// `x`, or 0 where it is denormal, as [`Simd::flush_denormals`](crate::simd::Simd::flush_denormals) has it.
pub(crate) fn flush_denormal(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
}

/// `x`, or 0 where `|x| < 2^-63`, as [`Simd::flush_negligible`](crate::simd::Simd::flush_negligible) has it.
pub(crate) fn flush_negligible(x: f32) -> f32 {
    if x.abs() < NEGLIGIBLE { 0.0 } else { x }
}

/// The sum of sixteen lanes as [`Simd::sum_lanes`](crate::simd::Simd::sum_lanes) adds them.
pub(crate) fn sum_of_lanes(lanes: [f32; LANES]) -> f32 {
    fn half(lanes: &[f32]) -> std::vec::Vec<f32> {
        let (low, high) = lanes.split_at(lanes.len() / 2);
        low.iter().zip(high).map(|(a, b)| a + b).collect()
    }
    half(&half(&half(&half(&lanes))))[0]
}
