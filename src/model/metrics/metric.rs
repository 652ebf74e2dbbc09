//! [`Metric`]: what `compile` is asked to measure beside the loss.

use super::{Average, MetricError};
use crate::plan::Loss;
use core::str::FromStr;

/// The most metrics of a model, over all outputs together; the accuracy that needs no asking is not counted.
pub const MAX_METRICS: usize = 16;

/// Something that is measured beside the loss, over the rows of an epoch, of the validation data and of
/// [`evaluate`](crate::model::Model::evaluate). Rows count alike, whatever their weights, as in Keras' `metrics=`.
///
/// `y` are outputs, of a cross-entropy probabilities; `t` are targets, of labels 1 for the class and 0 for all others.
///
/// | metric | name in logs | formula | targets |
/// |---|---|---|---|
/// | [`Accuracy`](Self::Accuracy) | `accuracy` | that of the loss: classes, or elements of the binary cross-entropy | of a cross-entropy |
/// | [`BinaryAccuracy`](Self::BinaryAccuracy) | `binary_accuracy` | elements in which `(y > 0.5) = t`, over all | any |
/// | [`CategoricalAccuracy`](Self::CategoricalAccuracy) | `categorical_accuracy` | rows whose largest `y` and largest `t` are in the same place, over all | any |
/// | [`TopKAccuracy`](Self::TopKAccuracy) | `top_k_categorical_accuracy` | rows in which fewer than k outputs are larger than that of the true class, over all | any |
/// | [`Precision`](Self::Precision) | `precision` | TP / (TP + FP) over all elements, an element called true if `y > 0.5` | any |
/// | [`Recall`](Self::Recall) | `recall` | TP / (TP + FN), likewise | any |
/// | [`F1Score`](Self::F1Score) | `f1_score` | 2 TP / (2 TP + FP + FN) of each class, averaged; the largest `y` is the class, of a single column `y > 0.5` | any |
/// | [`MeanSquaredError`](Self::MeanSquaredError) | `mean_squared_error` | mean of `(y - t)^2` | numbers |
/// | [`RootMeanSquaredError`](Self::RootMeanSquaredError) | `root_mean_squared_error` | its root | numbers |
/// | [`MeanAbsoluteError`](Self::MeanAbsoluteError) | `mean_absolute_error` | mean of `abs(y - t)` | numbers |
/// | [`MeanAbsolutePercentageError`](Self::MeanAbsolutePercentageError) | `mean_absolute_percentage_error` | 100 times the mean of `abs(y - t) / max(abs(t), 1e-7)` | numbers |
/// | [`MeanSquaredLogarithmicError`](Self::MeanSquaredLogarithmicError) | `mean_squared_logarithmic_error` | mean of `(ln(1 + max(y, 1e-7)) - ln(1 + max(t, 1e-7)))^2` | numbers |
///
/// A metric can be named as in Keras, and is then logged under that name: `acc`, `mse`, `mae`, `mape`, `msle`,
/// `sparse_categorical_accuracy`, `sparse_top_k_categorical_accuracy` (k = 5), `rmse`, the classes in `CamelCase`.
///
/// # Differences from Keras
/// - Categorical and top-k accuracy take labels and rows of numbers alike, so nothing depends on the word `sparse`.
/// - The F1 score of a name is the macro average; Keras' is one number for each class. Of equal outputs the first is the class, not
///   all of them.
/// - Outputs of a cross-entropy without softmax or sigmoid become probabilities before they are measured, as they do in the loss.
///   Keras compares such logits with 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// The accuracy that goes with the loss. It is logged without being asked for, and costs nothing.
    Accuracy,
    /// The share of elements on the right side of 0.5.
    BinaryAccuracy,
    /// The share of rows whose class is right.
    CategoricalAccuracy,
    /// The share of rows whose class is among the k best.
    TopKAccuracy(usize),
    /// Of what was called true, how much is.
    Precision,
    /// Of what is true, how much was found.
    Recall,
    /// The harmonic mean of precision and recall of each class, averaged over the classes.
    F1Score(Average),
    /// The mean of squared differences.
    MeanSquaredError,
    /// The root of the mean of squared differences.
    RootMeanSquaredError,
    /// The mean of absolute differences.
    MeanAbsoluteError,
    /// The mean of absolute differences in hundredths of the target.
    MeanAbsolutePercentageError,
    /// The mean of squared differences of logarithms.
    MeanSquaredLogarithmicError,
}

/// Every metric with its names, its own first.
const NAMES: [(&[&str], Metric); 12] = [
    (&["accuracy", "acc", "Accuracy"], Metric::Accuracy),
    (&["binary_accuracy", "BinaryAccuracy"], Metric::BinaryAccuracy),
    (
        &["categorical_accuracy", "CategoricalAccuracy", "sparse_categorical_accuracy", "SparseCategoricalAccuracy"],
        Metric::CategoricalAccuracy,
    ),
    (
        &[
            "top_k_categorical_accuracy",
            "TopKCategoricalAccuracy",
            "sparse_top_k_categorical_accuracy",
            "SparseTopKCategoricalAccuracy",
        ],
        Metric::TopKAccuracy(5),
    ),
    (&["precision", "Precision"], Metric::Precision),
    (&["recall", "Recall"], Metric::Recall),
    (&["f1_score", "F1Score"], Metric::F1Score(Average::Macro)),
    (&["mean_squared_error", "mse", "MSE", "MeanSquaredError"], Metric::MeanSquaredError),
    (&["root_mean_squared_error", "rmse", "RMSE", "RootMeanSquaredError"], Metric::RootMeanSquaredError),
    (&["mean_absolute_error", "mae", "MAE", "MeanAbsoluteError"], Metric::MeanAbsoluteError),
    (&["mean_absolute_percentage_error", "mape", "MAPE", "MeanAbsolutePercentageError"], Metric::MeanAbsolutePercentageError),
    (&["mean_squared_logarithmic_error", "msle", "MSLE", "MeanSquaredLogarithmicError"], Metric::MeanSquaredLogarithmicError),
];

impl Metric {
    /// The names of all metrics.
    pub fn known() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(names, _)| names[0])
    }

    /// Its name in logs, unless it was asked for by another one.
    pub fn name(self) -> &'static str {
        let same = |metric: &Metric| core::mem::discriminant(metric) == core::mem::discriminant(&self);
        NAMES.iter().find(|(_, metric)| same(metric)).map_or("", |(names, _)| names[0])
    }

    /// The number that tells it from others of its name; 0 where there are none.
    #[cfg(feature = "io")]
    pub(in crate::model) fn parameter(self) -> u64 {
        match self {
            Self::TopKAccuracy(k) => k as u64,
            Self::F1Score(Average::Micro) => 1,
            Self::F1Score(Average::Weighted) => 2,
            _ => 0,
        }
    }

    /// The metric of the same name with a parameter.
    #[cfg(feature = "io")]
    pub(in crate::model) fn with_parameter(self, parameter: u64) -> Self {
        match (self, parameter) {
            (Self::TopKAccuracy(_), k) => Self::TopKAccuracy(usize::try_from(k).unwrap_or(usize::MAX)),
            (Self::F1Score(_), 1) => Self::F1Score(Average::Micro),
            (Self::F1Score(_), 2) => Self::F1Score(Average::Weighted),
            _ => self,
        }
    }

    /// What it needs that outputs compared by this loss do not have, or a parameter that makes no sense.
    pub(in crate::model) fn refusal(self, loss: Loss) -> Option<&'static str> {
        match self {
            Self::Accuracy if loss.elements_that_can_be_right(1) == 0 => Some("a loss that chooses classes"),
            Self::TopKAccuracy(0) => Some("k of at least 1"),
            Self::MeanSquaredError
            | Self::RootMeanSquaredError
            | Self::MeanAbsoluteError
            | Self::MeanAbsolutePercentageError
            | Self::MeanSquaredLogarithmicError
                if loss.takes_labels() =>
            {
                Some("rows of numbers as targets")
            }
            _ => None,
        }
    }
}

impl FromStr for Metric {
    type Err = MetricError;

    /// The metric that has this name in Keras.
    fn from_str(name: &str) -> Result<Self, MetricError> {
        Ok(NamedMetric::from_name(name)?.metric)
    }
}

/// A metric and what it is called in logs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::model) struct NamedMetric {
    pub(in crate::model) metric: Metric,
    pub(in crate::model) name: &'static str,
}

impl NamedMetric {
    pub(in crate::model) fn from_name(name: &str) -> Result<Self, MetricError> {
        let found = NAMES.iter().find_map(|(names, metric)| {
            let name = names.iter().find(|known| **known == name)?;
            Some(Self { metric: *metric, name })
        });
        found.ok_or_else(|| MetricError::Unknown { found: name.to_owned() })
    }
}

/// A metric that is asked for, by itself or by its name in Keras; a name that is none is refused by
/// [`compile`](crate::model::Sequential::compile).
#[derive(Clone, Debug, PartialEq)]
pub struct MetricChoice(Result<NamedMetric, MetricError>);

impl MetricChoice {
    pub(in crate::model) fn named(&self) -> Result<NamedMetric, MetricError> {
        self.0.clone()
    }
}

impl From<Metric> for MetricChoice {
    fn from(metric: Metric) -> Self {
        Self(Ok(NamedMetric { metric, name: metric.name() }))
    }
}

impl From<NamedMetric> for MetricChoice {
    fn from(named: NamedMetric) -> Self {
        Self(Ok(named))
    }
}

impl From<&str> for MetricChoice {
    fn from(name: &str) -> Self {
        Self(NamedMetric::from_name(name))
    }
}

impl From<String> for MetricChoice {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_those_of_keras() {
        for (name, metric) in [
            ("accuracy", Metric::Accuracy),
            ("acc", Metric::Accuracy),
            ("sparse_categorical_accuracy", Metric::CategoricalAccuracy),
            ("sparse_top_k_categorical_accuracy", Metric::TopKAccuracy(5)),
            ("mae", Metric::MeanAbsoluteError),
            ("MAE", Metric::MeanAbsoluteError),
            ("MeanAbsoluteError", Metric::MeanAbsoluteError),
            ("f1_score", Metric::F1Score(Average::Macro)),
        ] {
            assert_eq!(name.parse(), Ok(metric), "{name}");
            assert_eq!(NamedMetric::from_name(name).unwrap().name, name);
        }
        assert_eq!(Metric::TopKAccuracy(3).name(), "top_k_categorical_accuracy");
        assert_eq!(Metric::F1Score(Average::Micro).name(), "f1_score");
        for name in Metric::known() {
            assert_eq!(name.parse::<Metric>().unwrap().name(), name);
        }
    }

    #[test]
    fn no_name_stands_for_two_metrics() {
        let all: Vec<&str> = NAMES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        for (i, name) in all.iter().enumerate() {
            assert!(!all[..i].contains(name), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_are_known() {
        let error = "mea".parse::<Metric>().unwrap_err();
        assert_eq!(error, MetricError::Unknown { found: "mea".to_owned() });
        let message = error.to_string();
        assert!(message.starts_with("metric: one of `accuracy`, `binary_accuracy`, "), "{message}");
        assert!(message.ends_with("`mean_squared_logarithmic_error` expected, found `mea`"), "{message}");
    }
}
