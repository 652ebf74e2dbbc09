//! Neural networks at full CPU speed, on memory that the caller provides.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "data")]
pub mod data;
pub mod error;
pub mod kernels;
#[cfg(feature = "std")]
pub mod reference;
pub mod simd;
