//! What to train: networks, metrics, schedules and callbacks with the names and defaults of Keras.

pub mod callbacks;
pub mod initializers;
pub mod metrics;
pub mod schedules;

pub use initializers::{Fans, Initializer, InitializerError};
pub use metrics::{Average, ClassificationReport, ConfusionMatrix, MetricError, Scores};
pub use schedules::{
    CosineDecay, ExponentialDecay, InverseTimeDecay, LearningRateSchedule, OneCycle, PiecewiseConstantDecay, PolynomialDecay,
    PowerDecay, ScheduleError,
};
