//! [`ModelError`].

use super::callbacks::CallbackError;
use super::initializers::InitializerError;
use super::metrics::MetricError;
use super::schedules::ScheduleError;
use crate::data::DataError;
use crate::error::{IsaError, PlanError};
use crate::plan::{Activation, Loss};
use std::fmt;

/// What is wrong with a model, its settings or what it was given.
#[derive(Debug)]
#[non_exhaustive]
pub enum ModelError {
    /// The layers do not fit together.
    Plan {
        /// What is wrong.
        source: PlanError,
        /// The name of the layer that is at fault, if it is one.
        layer: Option<String>,
    },
    /// Two inputs or layers have the same name.
    DuplicateName {
        /// The name.
        name: String,
    },
    /// An input or a layer whose values go nowhere.
    Unused {
        /// Its name.
        name: String,
    },
    /// A layer takes something that is not in this network.
    UnknownNode {
        /// The layer.
        layer: String,
    },
    /// Something that a description of a network asks for, and that cannot be done here.
    Unsupported {
        /// The layer.
        layer: String,
        /// What it asks for.
        what: &'static str,
    },
    /// A tensor that belongs to no layer of the model.
    UnknownTensor {
        /// Its name.
        name: String,
    },
    /// A layer takes too many or too few values.
    InputCount {
        /// The layer.
        layer: String,
        /// How many it should take.
        expected: &'static str,
        /// How many it takes.
        found: usize,
    },
    /// A layer takes values of different shapes.
    ShapeMismatch {
        /// The layer.
        layer: String,
        /// The shape of its first value.
        expected: Vec<usize>,
        /// The shape that differs.
        found: Vec<usize>,
    },
    /// The instruction set cannot be used.
    Isa(IsaError),
    /// An initializer's parameters make no sense.
    Initializer {
        /// The layer.
        layer: String,
        /// What is wrong.
        source: InitializerError,
    },
    /// The data are at fault.
    Data(DataError),
    /// The threads could not be started.
    Threads(std::io::Error),
    /// A setting is outside of its range.
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A setting of a layer is outside of its range.
    LayerSetting {
        /// The layer.
        layer: String,
        /// The setting.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// An image goes into a layer that takes rows.
    NotFlat {
        /// The layer.
        layer: String,
        /// The shape of what it is given.
        found: Vec<usize>,
    },
    /// Something is wrong with the rows of one input or output.
    At {
        /// Which, as ``input `deep` ``.
        place: String,
        /// What is wrong.
        source: Box<Self>,
    },
    /// A loss that cannot follow an activation: a softmax takes a categorical cross-entropy, and a cross-entropy takes logits or
    /// its own activation.
    LossOfActivation {
        /// The output.
        output: String,
        /// Its activation.
        activation: Activation,
        /// Its loss.
        loss: Loss,
    },
    /// Rows have another length than the model's input.
    InputLength {
        /// The length of the model's input.
        expected: usize,
        /// The length of the rows.
        found: usize,
    },
    /// A model has another number of inputs or outputs.
    Count {
        /// Of what.
        what: &'static str,
        /// How many the model has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A name that is not among the outputs.
    UnknownOutput {
        /// The name.
        name: String,
        /// The names of the outputs.
        outputs: Vec<String>,
    },
    /// A metric is at fault, for instance its name.
    Metric(MetricError),
    /// A metric that an output does not have.
    MetricOfOutput {
        /// The name of the metric.
        metric: &'static str,
        /// The output.
        output: String,
        /// What the metric needs.
        expected: &'static str,
        /// The loss of the output.
        loss: Loss,
    },
    /// Several things that belong to the same rows have different numbers of rows.
    RowCount {
        /// The number of rows of the first.
        expected: usize,
        /// The number of rows of another.
        found: usize,
    },
    /// A loss takes another kind of targets.
    TargetKind {
        /// The loss.
        loss: Loss,
        /// What it takes.
        expected: &'static str,
    },
    /// Targets have another length than the output.
    TargetLength {
        /// The number of outputs.
        expected: usize,
        /// The length of a row of targets.
        found: usize,
    },
    /// Room for another number of outputs than there are.
    PredictionCount {
        /// The number of rows times that of outputs.
        expected: usize,
        /// The elements there is room for.
        found: usize,
    },
    /// A schedule is at fault.
    Schedule(ScheduleError),
    /// The backup of a training is at fault.
    #[cfg(feature = "io")]
    Backup(Box<super::SavingError>),
    /// A file of a training could not be written.
    Log(std::io::Error),
    /// A callback is at fault.
    Callback(CallbackError),
    /// There are not as many labels as rows.
    LabelCount {
        /// The number of rows.
        expected: usize,
        /// The number of labels.
        found: usize,
    },
    /// A label names a class that the model has no output for.
    Label {
        /// The row.
        row: usize,
        /// The number of outputs.
        classes: usize,
        /// The label.
        found: u32,
    },
    /// There are no rows.
    NoRows,
    /// A row holds NaN or an infinity.
    NotFinite {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// What it holds.
        found: f32,
    },
    /// The weights have another number of parameters than the model.
    WeightCount {
        /// The number of the model's parameters.
        expected: usize,
        /// The number of weights.
        found: usize,
    },
}

impl ModelError {
    /// This error, with the input or the output that it is about.
    pub(super) fn at(self, kind: &'static str, name: &str) -> Self {
        Self::At { place: format!("{kind} `{name}`"), source: Box::new(self) }
    }

    pub(super) fn setting(name: &'static str, expected: &'static str, found: impl fmt::Display) -> Self {
        Self::Setting { name, expected, found: found.to_string() }
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan { source, layer: None } => source.fmt(f),
            Self::Plan { source, layer: Some(layer) } => write!(f, "{source} (`{layer}`)"),
            Self::DuplicateName { name } => write!(f, "a name of its own for every layer expected, found two named `{name}`"),
            Self::Unused { name } => write!(f, "`{name}`: a layer or an output that takes its values expected, found none"),
            Self::UnknownNode { layer } => write!(f, "layer `{layer}`: values of the same network expected, found one of another"),
            Self::Unsupported { layer, what } => {
                write!(f, "layer `{layer}`: something that can be trained here expected, found {what}")
            }
            Self::UnknownTensor { name } => write!(f, "a tensor of the model expected, found `{name}`"),
            Self::InputCount { layer, expected, found } => write!(f, "layer `{layer}`: {expected} inputs expected, found {found}"),
            Self::ShapeMismatch { layer, expected, found } => {
                write!(f, "layer `{layer}`: values of shape {expected:?} expected, found {found:?}")
            }
            Self::Isa(source) => source.fmt(f),
            Self::Data(source) => source.fmt(f),
            Self::Initializer { layer, source } => write!(f, "layer `{layer}`: {source}"),
            Self::Threads(source) => write!(f, "the threads could not be started: {source}"),
            Self::Setting { name, expected, found } => write!(f, "{name}: {expected} expected, found {found}"),
            Self::LayerSetting { layer, setting, expected, found } => {
                write!(f, "layer `{layer}`, {setting}: {expected} expected, found {found}")
            }
            Self::NotFlat { layer, found } => {
                write!(f, "layer `{layer}`: rows expected, found inputs of shape {found:?}; put Flatten before it")
            }
            Self::At { place, source } => write!(f, "{place}: {source}"),
            Self::LossOfActivation { output, activation, loss } => {
                write!(f, "output `{output}`: a loss that goes with {activation:?} expected, found {loss:?}")
            }
            Self::InputLength { expected, found } => write!(f, "rows of {expected} inputs expected, found {found}"),
            Self::Count { what, expected, found } => write!(f, "{what}: {expected} expected, found {found}"),
            Self::UnknownOutput { name, outputs } => write!(f, "an output among {outputs:?} expected, found `{name}`"),
            Self::Metric(source) => source.fmt(f),
            Self::MetricOfOutput { metric, output, expected, loss } => {
                write!(f, "metric `{metric}` of output `{output}`: {expected} expected, found {loss:?}")
            }
            Self::RowCount { expected, found } => write!(f, "{expected} rows expected, found {found}"),
            Self::TargetKind { loss, expected } => write!(f, "{expected} as targets of {loss:?} expected, found the other kind"),
            Self::TargetLength { expected, found } => write!(f, "targets of {expected} columns expected, found {found}"),
            Self::PredictionCount { expected, found } => write!(f, "room for {expected} outputs expected, found {found}"),
            Self::Schedule(source) => source.fmt(f),
            #[cfg(feature = "io")]
            Self::Backup(source) => source.fmt(f),
            Self::Log(source) => write!(f, "a file of the training could not be written: {source}"),
            Self::Callback(source) => source.fmt(f),
            Self::LabelCount { expected, found } => write!(f, "labels of {expected} rows expected, found {found}"),
            Self::Label { row, classes, found } => write!(f, "row {row}: a label below {classes} expected, found {found}"),
            Self::NoRows => f.write_str("at least 1 row expected, found 0"),
            Self::NotFinite { row, column, found } => {
                write!(f, "row {row}, column {column}: a finite number expected, found {found}")
            }
            Self::WeightCount { expected, found } => write!(f, "{expected} weights expected, found {found}"),
        }
    }
}

impl std::error::Error for ModelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Plan { source, .. } => Some(source),
            Self::At { source, .. } => Some(source),
            Self::Isa(source) => Some(source),
            Self::Data(source) => Some(source),
            Self::Schedule(source) => Some(source),
            #[cfg(feature = "io")]
            Self::Backup(source) => Some(source),
            Self::Log(source) => Some(source),
            Self::Callback(source) => Some(source),
            Self::Initializer { source, .. } => Some(source),
            Self::Metric(source) => Some(source),
            Self::Threads(source) => Some(source),
            _ => None,
        }
    }
}

impl From<PlanError> for ModelError {
    fn from(source: PlanError) -> Self {
        Self::Plan { source, layer: None }
    }
}

impl From<IsaError> for ModelError {
    fn from(source: IsaError) -> Self {
        Self::Isa(source)
    }
}

impl From<DataError> for ModelError {
    fn from(source: DataError) -> Self {
        Self::Data(source)
    }
}

impl From<MetricError> for ModelError {
    fn from(source: MetricError) -> Self {
        Self::Metric(source)
    }
}

impl From<CallbackError> for ModelError {
    fn from(source: CallbackError) -> Self {
        Self::Callback(source)
    }
}

impl From<ScheduleError> for ModelError {
    fn from(source: ScheduleError) -> Self {
        Self::Schedule(source)
    }
}
