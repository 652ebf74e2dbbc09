//! The whole crate from outside, in one program.

mod io;
mod kernels;
mod model;
mod oracle;
mod support;
