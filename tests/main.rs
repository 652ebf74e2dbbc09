//! The whole crate from outside, in one program.

mod model;
mod oracle;
//! The tests of the crate from outside, in one binary.

mod kernels;
mod support;
