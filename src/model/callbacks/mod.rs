//! What happens between the batches and epochs of a training run? The decisions of Keras' callbacks, as plain values.
//!
//! | callback | asked | decides |
//! |---|---|---|
//! | [`EarlyStopping`] | after an epoch | whether to stop, when to keep the weights, whether to put the best ones back |
//! | [`ReduceLrOnPlateau`] | after an epoch | the next learning rate (performance scheduling) |
//! | [`LearningRateScheduler`] | before an epoch | the learning rate of the epoch |
//! | [`ModelCheckpoint`] | after a batch, after an epoch | whether to save, and under which name |
//! | [`TerminateOnNan`] | after a batch | whether to stop |
//! | [`CsvLogger`] | after an epoch | writes a line |
//! | [`GradientStatistics`] | after an epoch | nothing; it measures each layer's signals and gradients |
//!
//! None of their decisions knows a model or a training loop: a loop of your own asks them as well as `fit` does, to which each of them is a
//! [`Callback`](super::Callback).
//!
//! ```
//! use selvedge::model::callbacks::EarlyStopping;
//!
//! let mut stopping = EarlyStopping::new().patience(2).restore_best_weights();
//! for (epoch, loss) in [0.9, 0.5, 0.6, 0.7, 0.4].into_iter().enumerate() {
//!     let decision = stopping.epoch_end(epoch, loss);
//!     if decision.snapshot { /* copy the weights */ }
//!     if decision.stop { break; }
//! }
//! assert_eq!((stopping.best_epoch(), stopping.stopped_epoch()), (Some(1), Some(3)));
//! ```
//!
//! # Differences from Keras
//! - A NaN is never an improvement. In Keras the first value counts as one even when it is NaN, and then nothing can beat it.
//! - A metric that is monitored but missing, and an unknown direction, are errors rather than warnings.

mod csv_logger;
mod early_stopping;
mod error;
mod gradient_statistics;
mod hooks;
mod learning_rate_scheduler;
mod logs;
mod model_checkpoint;
mod monitor;
mod path_pattern;
mod reduce_lr_on_plateau;
mod terminate_on_nan;

pub use csv_logger::CsvLogger;
pub use early_stopping::{EarlyStopping, EarlyStoppingDecision};
pub use error::CallbackError;
pub use gradient_statistics::{GradientSize, GradientStatistics, LayerStatistics};
pub use learning_rate_scheduler::LearningRateScheduler;
pub use logs::Logs;
pub use model_checkpoint::{ModelCheckpoint, SaveFrequency};
pub use monitor::{Direction, Monitor};
pub use path_pattern::PathPattern;
pub use reduce_lr_on_plateau::ReduceLrOnPlateau;
pub use terminate_on_nan::TerminateOnNan;
