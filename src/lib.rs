//! Neural networks at full CPU speed, on memory that the caller provides.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod error;
pub mod kernels;
#[cfg(feature = "pictures")]
pub mod pictures;
#[cfg(feature = "std")]
pub mod reference;
pub mod simd;
