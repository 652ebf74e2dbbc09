//! [`RunningMetrics`]: the metrics of a model, summed row by row while minibatches come. Only making one allocates.

use super::metric::NamedMetric;
use super::{Average, Metric, predicted_class};
use crate::exec::Targets;
use crate::kernels::MatMut;
use crate::kernels::activations::{Sigmoid, forward_in_place};
use crate::kernels::softmax::softmax_forward;
use crate::model::graph::Lowered;
use crate::plan::{Activation, Loss};
use crate::simd::Isa;

/// Where the outputs that are measured come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Source {
    /// A step, which computes softmax and sigmoid together with the loss and leaves what they are given.
    Step,
    /// A prediction.
    Prediction,
}

/// The metrics of all outputs of a model, summed over rows.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct RunningMetrics {
    outputs: Vec<MeasuredOutput>,
    sums: Vec<f64>,
    /// A row on its way to probabilities.
    row: Vec<f32>,
}

/// An output that something is measured at.
#[derive(Clone, Debug)]
struct MeasuredOutput {
    output: usize,
    layer: usize,
    loss: Loss,
    activation: Activation,
    metrics: Vec<Measured>,
}

#[derive(Clone, Debug)]
struct Measured {
    named: NamedMetric,
    /// The place of its sums.
    sums: core::ops::Range<usize>,
}

impl RunningMetrics {
    /// Nothing summed yet.
    pub(in crate::model) fn new(network: &Lowered) -> Self {
        let mut running = Self::default();
        for (number, (output, metrics)) in network.outputs.iter().zip(&network.metrics).enumerate() {
            let layer = &network.layers[output.layer];
            let mut measured = Vec::with_capacity(metrics.len());
            for &named in metrics {
                let first = running.sums.len();
                running.sums.resize(first + named.metric.sums(layer.out_dim), 0.0);
                measured.push(Measured { named, sums: first..running.sums.len() });
            }
            if measured.is_empty() {
                continue;
            }
            running.row.resize(running.row.len().max(layer.out_dim), 0.0);
            let (loss, activation) = (output.loss, layer.spec.activation);
            running.outputs.push(MeasuredOutput { output: number, layer: output.layer, loss, activation, metrics: measured });
        }
        running
    }

    /// Forgets all rows.
    pub(in crate::model) fn reset(&mut self) {
        self.sums.fill(0.0);
    }

    /// Whether some metric has to see the outputs, which are not there for nothing.
    pub(in crate::model) fn looks_at_outputs(&self) -> bool {
        !self.sums.is_empty()
    }

    /// Adds the rows of a minibatch: `row(layer, i)` is row `i` of the output of a layer of the plan, `targets` are those of all
    /// outputs.
    pub(in crate::model) fn add<'a>(
        &mut self,
        isa: Isa,
        source: Source,
        rows: usize,
        targets: &[Targets<'_>],
        row: impl Fn(&OutputPlace, usize) -> &'a [f32],
    ) {
        let Self { outputs, sums, row: scratch } = self;
        for output in outputs.iter().filter(|output| output.metrics.iter().any(|metric| !metric.sums.is_empty())) {
            let place = OutputPlace { output: output.output, layer: output.layer };
            let probabilities = output.probabilities(source);
            for i in 0..rows {
                let mut y = row(&place, i);
                if let Some(probabilities) = probabilities {
                    let own = &mut scratch[..y.len()];
                    own.copy_from_slice(y);
                    match probabilities {
                        Probabilities::Softmax => softmax_forward(isa, MatMut::new(own, 1, y.len(), y.len())),
                        Probabilities::Sigmoid => forward_in_place(isa, Sigmoid, own),
                    }
                    y = &scratch[..y.len()];
                }
                let truth = match targets[output.output] {
                    Targets::Labels(labels) => Truth::Label(labels[i] as usize),
                    Targets::Rows(rows) => Truth::Row(rows.row(i)),
                    Targets::Gathered { rows, order } => Truth::Row(rows.row(order[i] as usize)),
                };
                for Measured { named, sums: place } in &output.metrics {
                    named.metric.add(truth, y, &mut sums[place.clone()]);
                }
            }
        }
    }

    /// Each metric by the number of its output and its name, over all rows so far; `accuracy` is that of the loss, by the number of
    /// an output.
    pub(in crate::model) fn results<'a>(
        &'a self,
        accuracy: impl Fn(usize) -> Option<f64> + 'a,
    ) -> impl Iterator<Item = (usize, &'static str, f64)> + 'a {
        let metrics = self.outputs.iter().flat_map(|output| output.metrics.iter().map(move |metric| (output.output, metric)));
        metrics.map(move |(output, Measured { named, sums })| {
            let value = match named.metric {
                Metric::Accuracy => accuracy(output).unwrap_or(f64::NAN),
                metric => metric.result(&self.sums[sums.clone()]),
            };
            (output, named.name, value)
        })
    }
}

/// Which output a row belongs to: by its number, and by the number of its layer in the plan.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct OutputPlace {
    pub(in crate::model) output: usize,
    pub(in crate::model) layer: usize,
}

/// What makes probabilities of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probabilities {
    Softmax,
    Sigmoid,
}

impl MeasuredOutput {
    /// What is still to be applied to the outputs before they are compared.
    fn probabilities(&self, source: Source) -> Option<Probabilities> {
        let (needed, applied) = match self.loss {
            Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => {
                (Probabilities::Softmax, self.activation == Activation::Softmax)
            }
            Loss::BinaryCrossentropy { .. } => (Probabilities::Sigmoid, self.activation == Activation::Sigmoid),
            _ => return None,
        };
        (source == Source::Step || !applied).then_some(needed)
    }
}

/// What a row is compared with.
#[derive(Clone, Copy)]
enum Truth<'a> {
    Label(usize),
    Row(&'a [f32]),
}

impl Truth<'_> {
    fn at(self, column: usize) -> f32 {
        match self {
            Self::Label(label) => f32::from(u8::from(label == column)),
            Self::Row(row) => row[column],
        }
    }

    fn class(self) -> Option<usize> {
        match self {
            Self::Label(label) => Some(label),
            Self::Row(row) => predicted_class(row),
        }
    }
}

/// Keras' smallest number that is not taken for zero.
const EPSILON: f64 = 1e-7;

impl Metric {
    /// How many sums it keeps, at an output of so many columns.
    fn sums(self, columns: usize) -> usize {
        match self {
            Self::Accuracy => 0,
            Self::F1Score(_) => 3 * columns,
            _ => 2,
        }
    }

    /// Adds a row to its sums: what is right or wrong, and the number of elements or rows; the counts that precision and recall are
    /// ratios of; for each class true positives, predictions and rows.
    fn add(self, truth: Truth<'_>, y: &[f32], sums: &mut [f64]) {
        let mut mean = |row: &dyn Fn(usize, f32) -> f64| {
            sums[0] += y.iter().enumerate().map(|(column, &y)| row(column, y)).sum::<f64>();
            sums[1] += y.len() as f64;
        };
        let difference = |column, y| f64::from(y) - f64::from(truth.at(column));
        let positive = |y: f32| y > 0.5;
        match self {
            Self::Accuracy => {}
            Self::BinaryAccuracy => {
                let is_right = |column, y: f32| !y.is_nan() && f32::from(u8::from(positive(y))) == truth.at(column);
                mean(&|column, y| f64::from(u8::from(is_right(column, y))));
            }
            Self::CategoricalAccuracy => {
                let is_right = predicted_class(y).is_some_and(|class| truth.class() == Some(class));
                sums[0] += f64::from(u8::from(is_right));
                sums[1] += 1.0;
            }
            Self::TopKAccuracy(k) => {
                let higher = |class: usize| y.iter().filter(|other| **other > y[class]).count();
                let is_right = truth.class().is_some_and(|class| higher(class) < k) && !y.iter().any(|y| y.is_nan());
                sums[0] += f64::from(u8::from(is_right));
                sums[1] += 1.0;
            }
            Self::Precision | Self::Recall => {
                for (column, &y) in y.iter().enumerate() {
                    let (called, is) = (positive(y), truth.at(column) != 0.0);
                    let counts = if self == Self::Precision { called } else { is };
                    sums[0] += f64::from(u8::from(called && is));
                    sums[1] += f64::from(u8::from(counts));
                }
            }
            Self::F1Score(_) => {
                let called = match y {
                    [y] => positive(*y).then_some(0),
                    _ => predicted_class(y),
                };
                for (column, sums) in sums.chunks_exact_mut(3).enumerate() {
                    let (called, is) = (called == Some(column), truth.at(column) != 0.0);
                    sums[0] += f64::from(u8::from(called && is));
                    sums[1] += f64::from(u8::from(called));
                    sums[2] += f64::from(u8::from(is));
                }
            }
            Self::MeanSquaredError | Self::RootMeanSquaredError => mean(&|column, y| difference(column, y) * difference(column, y)),
            Self::MeanAbsoluteError => mean(&|column, y| difference(column, y).abs()),
            Self::MeanAbsolutePercentageError => {
                mean(&|column, y| 100.0 * difference(column, y).abs() / f64::from(truth.at(column)).abs().max(EPSILON));
            }
            Self::MeanSquaredLogarithmicError => {
                // A NaN stays one.
                let log = |x: f32| if f64::from(x) < EPSILON { EPSILON.ln_1p() } else { f64::from(x).ln_1p() };
                mean(&|column, y| (log(y) - log(truth.at(column))).powi(2));
            }
        }
    }

    /// What its sums come to; 0 where nothing was counted.
    fn result(self, sums: &[f64]) -> f64 {
        let ratio = |numerator: f64, denominator: f64| if denominator == 0.0 { 0.0 } else { numerator / denominator };
        match self {
            Self::F1Score(average) => {
                let classes = || sums.chunks_exact(3).map(|sums| (sums[0], sums[1], sums[2]));
                let f1 = |(right, called, is): (f64, f64, f64)| ratio(2.0 * right, called + is);
                match average {
                    Average::Micro => {
                        f1(classes().fold((0.0, 0.0, 0.0), |sum, class| (sum.0 + class.0, sum.1 + class.1, sum.2 + class.2)))
                    }
                    Average::Macro => ratio(classes().map(f1).sum(), classes().count() as f64),
                    Average::Weighted => {
                        ratio(classes().map(|class| class.2 * f1(class)).sum(), classes().map(|class| class.2).sum())
                    }
                }
            }
            Self::RootMeanSquaredError => ratio(sums[0], sums[1]).sqrt(),
            _ => ratio(sums[0], sums[1]),
        }
    }
}
