//! Rows to train on: files, datasets, minibatches. Everything here may allocate.
//!
//! | question | file |
//! |---|---|
//! | What is a dataset, and how is it split? | [`dataset`] |
//! | Which rows make up which minibatch? | [`batches`] |
//! | What do images look like by their edges? | [`gradient_histograms`] |
//! | Where does Fashion-MNIST come from? | [`fashion_mnist`] |
//! | What is drawn when it cannot be had? | [`synthetic`] |
//! | What can a regression be tried on? | [`friedman`] |
//! | How is an IDX file read? | [`idx`] |
//! | What went wrong? | [`error`] |

pub mod batches;
pub mod dataset;
#[cfg(feature = "download")]
mod download;
pub mod error;
pub mod fashion_mnist;
pub mod friedman;
pub mod gradient_histograms;
pub mod idx;
pub(crate) mod random;
mod split;
pub mod synthetic;

pub use batches::{Batches, shuffle};
pub use dataset::{Dataset, Statistics};
pub use error::{DataError, DownloadError, IdxError};
pub use idx::{IdxArray, IdxReader};
pub use split::ValidationSplit;
