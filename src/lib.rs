#![doc = include_str!("../README.md")]
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | vector | sixteen `f32`, on every instruction set |
//! | kernel | a function from slices to slices that neither allocates nor starts threads |
//! | epilogue | what happens to the elements of a matrix product while they are still in registers |
//! | twin | the naive loop in [`mod@reference`] that a kernel must equal bit for bit |
//! | plan | the sizes and places of everything that a network needs |
//! | part, run | a run calls a task once for each part; a team of threads takes a part each |
//! | block | the piece of the workspace that belongs to one part |
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "data")]
pub mod data;
pub mod error;
pub mod exec;
#[cfg(feature = "io")]
pub mod io;
pub mod kernels;
#[cfg(feature = "std")]
pub mod memory;
#[cfg(feature = "model")]
pub mod model;
pub mod parallel;
#[cfg(feature = "pictures")]
pub mod pictures;
pub mod plan;
#[cfg(feature = "std")]
pub mod reference;
#[cfg(all(test, any(feature = "data", feature = "io")))]
mod scratch;
pub mod simd;
