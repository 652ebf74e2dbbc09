//! Rows to train on: files, datasets, minibatches. Everything here may allocate.
//!
//! | question | file |
//! |---|---|
//! | How is an IDX file read? | [`idx`] |
//! | What is a dataset, and how is it split? | [`dataset`] |
//! | Which rows make up which minibatch? | [`batches`] |
//! | What went wrong? | [`error`] |

pub mod batches;
pub mod dataset;
pub mod error;
pub mod idx;
mod random;

pub use batches::{Batches, shuffle};
pub use dataset::{Dataset, Statistics, ValidationSplit};
pub use error::{DataError, DownloadError, IdxError};
pub use idx::{IdxArray, IdxReader};
