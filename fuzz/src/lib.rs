//! The bodies of the fuzz targets: each takes any bytes, makes operands of them, and compares the crate with its reference.
//!
//! They are plain functions, so that `tests/fuzz_regressions.rs` can run them, too: on inputs that once failed, and on random ones.

pub mod data_movement;
pub mod dropout;
pub mod elementwise;
pub mod gemm;
pub mod idx;
pub mod losses;
pub mod norm;
mod operands;
pub mod optimizers;
pub mod plan;
pub mod reductions;
#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod support;

/// What a target does with bytes.
type Body = fn(&[u8]);

/// Each target under the name of its file in `fuzz_targets`.
pub const TARGETS: [(&str, Body); 10] = [
    ("data_movement", data_movement::run),
    ("dropout", dropout::run),
    ("elementwise", elementwise::run),
    ("gemm", gemm::run),
    ("idx", idx::run),
    ("losses", losses::run),
    ("norm", norm::run),
    ("optimizers", optimizers::run),
    ("plan", plan::run),
    ("reductions", reductions::run),
];
