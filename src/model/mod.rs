//! What to train: networks, metrics, schedules and callbacks with the names and defaults of Keras.

#[cfg(feature = "io")]
mod architecture;
mod callback;
pub mod callbacks;
mod compile;
mod configurations;
mod error;
mod examples;
mod fit;
mod frozen;
mod functional;
mod graph;
mod history;
mod inference;
pub mod initializers;
pub mod layers;
pub mod metrics;
#[allow(clippy::module_inception, reason = "the model is what this module is named after")]
mod model;
mod monte_carlo;
pub mod optimizers;
mod predictions;
#[cfg(feature = "progress")]
mod progress;
#[cfg(feature = "io")]
mod saving;
pub mod schedules;
pub mod search;
mod sequential;
mod session;
mod summary;
mod trainable;

pub use callback::{BatchLogs, Callback, Run};
pub use compile::Compile;
pub use configurations::Configuration;
pub use error::ModelError;
pub use examples::{Examples, SelectedExamples};
pub use fit::Fit;
pub use frozen::{Frozen, Scratch};
pub use functional::{Functional, Tensor};
pub use history::{Epoch, Evaluation, History, OutputEvaluation};
pub use layers::{
    Activation, Add, AlphaDropout, BatchNormalization, Concatenate, Dense, Dropout, Flatten, Layer, LeakyRelu, PRelu, Regularizer,
};
pub use model::Model;
pub use monte_carlo::MonteCarlo;
pub use optimizers::{Adam, Nadam, Optimizer, RmsProp, Sgd};
pub use predictions::Predictions;
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
#[cfg(feature = "io")]
pub use saving::SavingError;
pub use sequential::Sequential;
pub use session::Session;
pub use summary::Summary;

pub use crate::data::ValidationSplit;
pub use crate::exec::Clipping;
pub use crate::plan::Loss;

pub use initializers::{Fans, Initializer, InitializerError};
pub use metrics::{Average, ClassificationReport, ConfusionMatrix, Metric, MetricChoice, MetricError, Scores};
pub use schedules::{
    CosineDecay, ExponentialDecay, InverseTimeDecay, LearningRateSchedule, OneCycle, PiecewiseConstantDecay, PolynomialDecay,
    PowerDecay, ScheduleError,
};
