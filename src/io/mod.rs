//! Weights and training states in files. Everything here may allocate, and deals in named tensors and bytes only: it knows no model.
//!
//! | question | file |
//! |---|---|
//! | How is a file replaced whole or not at all? | [`atomic`] |
//! | What is a named tensor, and do these fit there? | [`tensors`] |
//! | How are weights exchanged with other libraries? | [`safetensors`] |
//! | How is a whole training state kept? | [`checkpoint`] |
//! | What went wrong? | [`error`] |

pub mod atomic;
pub mod checkpoint;
pub mod error;
mod little_endian;
pub mod safetensors;
#[cfg(test)]
mod scratch;
pub mod tensors;

pub use checkpoint::{Checkpoint, SectionReader, SectionWriter};
pub use error::{CheckpointError, FileError, ReplaceError, ReplaceStep, SafetensorsError, TensorError};
pub use safetensors::Safetensors;
pub use tensors::{Source, Target, Tensor, Tensors};
