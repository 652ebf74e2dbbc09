//! Neural networks at full CPU speed, on memory that the caller provides.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

#[cfg(feature = "data")]
pub mod data;
pub mod error;
pub mod exec;
pub mod kernels;
#[cfg(feature = "model")]
pub mod model;
pub mod parallel;
pub mod plan;
#[cfg(feature = "pictures")]
pub mod pictures;
#[cfg(feature = "std")]
pub mod reference;
pub mod simd;
