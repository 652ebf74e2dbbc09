//! The tests of the crate from outside, in one binary.

mod kernels;
mod support;
