//! The whole crate from outside, in one program.

mod model;
mod oracle;
