//! [`History`]: what came of each epoch.

use super::callbacks::Logs;
use super::metrics::{MAX_METRICS, RunningMetrics};
use crate::plan::MAX_OUTPUTS;

/// Loss and accuracy of one output over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutputEvaluation {
    /// The mean loss, without penalties and without the weight of the output.
    pub loss: f64,
    /// The share of rows that were classified right, of the binary cross-entropy the share of elements; nothing where there are no classes.
    pub accuracy: Option<f64>,
}

/// The value of a metric that `compile` was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct MetricValue {
    /// The number of its output.
    output: usize,
    name: &'static str,
    value: f64,
}

/// Loss, accuracy and metrics over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The mean over the rows of the weighted sum of the losses of all outputs, plus the penalties.
    pub loss: f64,
    /// The accuracy of the first output; 0 where there are no classes.
    pub accuracy: f64,
    outputs: [OutputEvaluation; MAX_OUTPUTS],
    count: usize,
    metrics: [MetricValue; MAX_METRICS],
    metrics_count: usize,
}

impl Evaluation {
    /// From the total loss and each output by itself.
    pub(super) fn new(loss: f64, outputs: impl Iterator<Item = OutputEvaluation>) -> Self {
        let mut evaluation = Self { loss, ..Self::default() };
        for (slot, output) in evaluation.outputs.iter_mut().zip(outputs) {
            *slot = output;
            evaluation.count += 1;
        }
        evaluation.accuracy = evaluation.outputs[0].accuracy.unwrap_or(0.0);
        evaluation
    }

    /// Adds what the metrics have come to.
    pub(super) fn with_metrics(mut self, metrics: &RunningMetrics) -> Self {
        let outputs = self.outputs;
        let values = metrics.results(|output| outputs[output].accuracy);
        for (slot, (output, name, value)) in self.metrics.iter_mut().zip(values) {
            *slot = MetricValue { output, name, value };
            self.metrics_count += 1;
        }
        self
    }

    /// A metric that `compile` was asked for, by its name, of the first output that has it.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics().find(|(_, metric, _)| *metric == name).map(|(_, _, value)| value)
    }

    /// All metrics that `compile` was asked for: the number of the output, the name, the value.
    pub fn metrics(&self) -> impl Iterator<Item = (usize, &'static str, f64)> {
        self.metrics[..self.metrics_count].iter().map(|metric| (metric.output, metric.name, metric.value))
    }

    /// Each output by itself.
    pub fn outputs(&self) -> &[OutputEvaluation] {
        &self.outputs[..self.count]
    }

    /// What [`Evaluation::log`] adds to nothing.
    pub(super) fn logs(&self, names: &[String]) -> Logs {
        let mut logs = Logs::new();
        self.log("", names, &mut logs);
        logs
    }

    /// Adds loss, accuracies and metrics to logs, under Keras' names: `loss`, `accuracy`, `mae`, and with several outputs
    /// `<output>_loss`, `<output>_accuracy`, `<output>_mae`.
    pub(super) fn log(&self, prefix: &str, names: &[String], logs: &mut Logs) {
        logs.set(&format!("{prefix}loss"), self.loss);
        let several = self.count > 1;
        for (number, (output, name)) in self.outputs().iter().zip(names).enumerate() {
            let name = if several { format!("{name}_") } else { String::new() };
            if several {
                logs.set(&format!("{prefix}{name}loss"), output.loss);
            }
            if let Some(accuracy) = output.accuracy {
                logs.set(&format!("{prefix}{name}accuracy"), accuracy);
            }
            for (_, metric, value) in self.metrics().filter(|(output, _, _)| *output == number) {
                logs.set(&format!("{prefix}{name}{metric}"), value);
            }
        }
    }
}

/// What came of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Over the rows trained on, each measured before its step.
    pub training: Evaluation,
    /// Over the validation data, after the epoch.
    pub validation: Option<Evaluation>,
    /// The time of the training steps with shuffling and gathering, without validation and callbacks.
    pub seconds: f64,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f32,
    /// The same under Keras' names, and whatever callbacks have added: `loss`, `accuracy`, `mae`, `val_loss`, `val_accuracy`,
    /// `val_mae`, `learning_rate`.
    pub logs: Logs,
}

/// The epochs of a call of [`Model::fit`](super::Model::fit).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In order.
    pub epochs: Vec<Epoch>,
}

impl History {
    /// The values of a metric, by epoch; NaN where an epoch does not have it.
    pub fn metric(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().map(|epoch| epoch.logs.get(name).unwrap_or(f64::NAN)).collect()
    }
}
