//! The whole crate but its kernels from outside, in one program.

mod io;
mod model;
mod oracle;
