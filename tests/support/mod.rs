//! What the tests share: instruction sets, operands with poisoned padding and guarded edges, comparison of bits.

pub(crate) mod bits;
pub(crate) mod buffer;
pub(crate) mod ends;
pub(crate) mod factors;
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) mod guard;
pub(crate) mod isas;
pub(crate) mod matrix;
pub(crate) mod numbers;
