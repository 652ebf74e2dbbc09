//! Weights and training states in files. Everything here may allocate, and deals in named tensors and bytes only: it knows no model.
//!
//! | question | file |
//! |---|---|
//! | How is a file replaced whole or not at all? | [`atomic`] |
//! | What is a named tensor, and do these fit there? | [`tensors`] |
//! | How are weights exchanged with other libraries? | [`safetensors`] |
//! | How is a whole training state kept? | [`checkpoint`] |
//! | Which network does a Keras configuration describe? | [`architecture`] |
#![cfg_attr(feature = "keras", doc = "| What is in a `.keras` file? | [`keras`] |")]
//! | What went wrong? | [`error`] |

pub mod architecture;
pub mod atomic;
pub mod checkpoint;
pub mod error;
#[cfg(feature = "keras")]
pub mod keras;
mod little_endian;
pub mod safetensors;
pub mod tensors;

pub use architecture::Architecture;
pub use checkpoint::{Checkpoint, SectionReader, SectionWriter};
#[cfg(feature = "keras")]
pub use error::KerasError;
pub use error::{ArchitectureError, CheckpointError, FileError, ReplaceError, ReplaceStep, SafetensorsError, TensorError};
#[cfg(feature = "keras")]
pub use keras::KerasFile;
pub use safetensors::Safetensors;
pub use tensors::{Source, Target, Tensor, Tensors};
