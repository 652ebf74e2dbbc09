//! [`History`]: what came of each epoch.

use super::callbacks::Logs;
use crate::plan::MAX_OUTPUTS;

/// Loss and accuracy of one output over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutputEvaluation {
    /// The mean loss, without penalties and without the weight of the output.
    pub loss: f64,
    /// The share of rows that were classified right, of the binary cross-entropy the share of elements; nothing where there are no classes.
    pub accuracy: Option<f64>,
}

/// Loss and accuracy over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The mean over the rows of the weighted sum of the losses of all outputs, plus the penalties.
    pub loss: f64,
    /// The accuracy of the first output; 0 where there are no classes.
    pub accuracy: f64,
    outputs: [OutputEvaluation; MAX_OUTPUTS],
    count: usize,
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

    /// Each output by itself.
    pub fn outputs(&self) -> &[OutputEvaluation] {
        &self.outputs[..self.count]
    }

    /// Adds loss and accuracies to logs, under Keras' names: `loss`, `accuracy`, and with several outputs `<output>_loss` and
    /// `<output>_accuracy`.
    pub(super) fn log(&self, prefix: &str, names: &[String], logs: &mut Logs) {
        logs.set(&format!("{prefix}loss"), self.loss);
        let several = self.count > 1;
        for (output, name) in self.outputs().iter().zip(names) {
            let name = if several { format!("{name}_") } else { String::new() };
            if several {
                logs.set(&format!("{prefix}{name}loss"), output.loss);
            }
            if let Some(accuracy) = output.accuracy {
                logs.set(&format!("{prefix}{name}accuracy"), accuracy);
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
    /// The same under Keras' names, and whatever callbacks have added: `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`.
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
