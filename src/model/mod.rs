//! What to train: networks, metrics, schedules and callbacks with the names and defaults of Keras.

pub mod initializers;
pub mod metrics;

pub use initializers::{Fans, Initializer, InitializerError};
pub use metrics::{Average, ClassificationReport, ConfusionMatrix, MetricError, Scores};
