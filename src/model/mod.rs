//! What to train: networks, metrics, schedules and callbacks with the names and defaults of Keras.

mod buffer;
mod callback;
pub mod callbacks;
mod error;
mod examples;
mod functional;
mod graph;
mod history;
pub mod initializers;
pub mod layers;
pub mod metrics;
#[allow(clippy::module_inception, reason = "the model is what this module is named after")]
mod model;
pub mod optimizers;
#[cfg(feature = "progress")]
mod progress;
pub mod schedules;
mod sequential;
mod summary;

pub use callback::{Callback, Run};
pub use error::ModelError;
pub use examples::Examples;
pub use functional::{Functional, Tensor};
pub use history::{Epoch, Evaluation, History};
pub use layers::{
    Activation, Add, AlphaDropout, BatchNormalization, Concatenate, Dense, Dropout, Flatten, Layer, LeakyRelu, PRelu, Regularizer,
};
pub use model::{Compile, Fit, Model, Predictions};
pub use optimizers::{Adam, Nadam, Optimizer, RmsProp, Sgd};
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
pub use sequential::Sequential;
pub use summary::Summary;

pub use crate::plan::Loss;

pub use initializers::{Fans, Initializer, InitializerError};
pub use metrics::{Average, ClassificationReport, ConfusionMatrix, MetricError, Scores};
pub use schedules::{
    CosineDecay, ExponentialDecay, InverseTimeDecay, LearningRateSchedule, OneCycle, PiecewiseConstantDecay, PolynomialDecay,
    PowerDecay, ScheduleError,
};
