//! Evaluation and prediction over any number of rows, without allocating.

use super::error::ModelError;
use super::examples::{Examples, Minibatch, OrderedLabels};
use super::graph::Lowered;
use super::history::{Evaluation, OutputEvaluation};
use super::metrics::{RunningMetrics, Source};
use crate::exec::{Context, Noise, Report, evaluate, predict, predict_with_dropout};
use crate::kernels::MatMut;
use crate::memory::Buffer;
use crate::parallel::Executor;
use crate::plan::{MAX_OUTPUTS, Plan};
use crate::simd::Isa;
use core::ops::Range;

/// Rows that go through the network at a time in `evaluate` and `predict`: enough that the weights are read rarely, few enough that the
/// outputs stay in cache. As many for any number of threads, because losses are summed up over them.
const ROWS_AT_ONCE: usize = 1024;

/// The plan for evaluation and prediction.
pub(super) fn inference_plan(network: &Lowered, threads: usize) -> Plan<'_> {
    Plan::inference(network.network(), ROWS_AT_ONCE, threads)
}

/// Memory for evaluation and prediction.
#[derive(Debug)]
pub(super) struct Inference {
    workspace: Buffer,
    /// The rows of a minibatch, by number.
    order: Vec<u32>,
    /// What a question that is asked between two steps has measured, and the outputs of a minibatch if that takes them.
    pub(super) metrics: RunningMetrics,
    outputs: Vec<f32>,
}

impl Inference {
    pub(super) fn new(plan: &Plan<'_>, metrics: RunningMetrics) -> Self {
        let outputs = if metrics.looks_at_outputs() { plan.batch() * outputs_per_row(plan) } else { 0 };
        Self { workspace: Buffer::zeros(plan.workspace_len()), order: vec![0; plan.batch()], metrics, outputs: vec![0.0; outputs] }
    }
}

/// A network with weights and threads, and memory to ask it.
pub(super) struct Asked<'a> {
    pub(super) isa: Isa,
    pub(super) network: &'a Lowered,
    pub(super) executor: &'a dyn Executor,
    pub(super) parameters: &'a [f32],
    pub(super) memory: &'a mut Inference,
}

impl Asked<'_> {
    /// Loss and accuracy over the rows of an evaluation, plus the penalty.
    pub(super) fn evaluate(&mut self, examples: &Examples<'_>, rows: &OrderedRows, penalty: f64) -> Evaluation {
        let plan = inference_plan(self.network, self.executor.parts());
        let context = Context { isa: self.isa, plan: &plan, executor: self.executor };
        let Inference { workspace, metrics, outputs, .. } = &mut *self.memory;
        let mut total = Total::default();
        let mut first = 0;
        metrics.reset();
        for order in rows.order.chunks(plan.batch()) {
            let minibatch = examples.minibatch(order, &rows.labels, first);
            let (batch, count) = (minibatch.batch(), order.len());
            let report = evaluate(&context, &batch, self.parameters, workspace);
            total.add(&report, count, penalty);
            if metrics.looks_at_outputs() {
                // The evaluation leaves gradients where the outputs were.
                let results = &mut matrices(&plan, outputs, 0..count, count);
                predict(&context, batch.inputs, self.parameters, workspace, &mut results[..plan.outputs().len()]);
                metrics.add(self.isa, Source::Prediction, count, batch.targets, |output, i| results[output.output].as_ref().row(i));
            }
            first += count;
        }
        total.mean(&plan).with_metrics(metrics)
    }

    /// The outputs for all rows, one matrix after the other, each without padding. With noise, elements are dropped as in training.
    pub(super) fn predict(&mut self, examples: &Examples<'_>, noise: Option<Noise>, outputs: &mut [f32]) -> Result<(), ModelError> {
        let plan = inference_plan(self.network, self.executor.parts());
        examples.check_rows(self.network)?;
        let rows = examples.len();
        let expected = rows * outputs_per_row(&plan);
        if outputs.len() != expected {
            return Err(ModelError::PredictionCount { expected, found: outputs.len() });
        }
        let context = Context { isa: self.isa, plan: &plan, executor: self.executor };
        let Inference { workspace, order, .. } = &mut *self.memory;
        for first in (0..rows).step_by(plan.batch()) {
            let count = plan.batch().min(rows - first);
            let order = &mut order[..count];
            order.iter_mut().enumerate().for_each(|(i, row)| *row = (first + i) as u32);
            let (inputs, inputs_count) = examples.inputs(order);
            let results = &mut matrices(&plan, outputs, first..first + count, rows)[..plan.outputs().len()];
            let inputs = &inputs[..inputs_count];
            match noise {
                None => predict(&context, inputs, self.parameters, workspace, results),
                Some(noise) => {
                    // Numbers of the row in the pass, so that no minibatch drops what another does.
                    let noise = Noise { first_row: noise.first_row.wrapping_add(first as u32), ..noise };
                    predict_with_dropout(&context, noise, inputs, self.parameters, workspace, results);
                }
            }
        }
        Ok(())
    }
}

/// Some rows of the matrix of each output, which lie one after the other, each of `rows` rows without padding.
fn matrices<'a>(plan: &Plan<'_>, values: &'a mut [f32], range: Range<usize>, rows: usize) -> [MatMut<'a>; MAX_OUTPUTS] {
    let mut rest = values;
    let mut layers = plan.outputs().iter();
    core::array::from_fn(|_| {
        let columns = layers.next().map_or(0, |output| plan.layers()[output.layer].out_dim);
        let (here, behind) = core::mem::take(&mut rest).split_at_mut(rows * columns);
        rest = behind;
        MatMut::new(&mut here[range.start * columns..range.end * columns], range.len(), columns, columns)
    })
}

/// The number of columns of all outputs together.
pub(super) fn outputs_per_row(plan: &Plan<'_>) -> usize {
    plan.outputs().iter().map(|output| plan.layers()[output.layer].out_dim).sum()
}

/// Rows in a certain order, with their labels and weights.
#[derive(Debug)]
pub(super) struct OrderedRows {
    order: Vec<u32>,
    labels: OrderedLabels,
}

impl OrderedRows {
    pub(super) fn new(examples: &Examples<'_>, order: Vec<u32>) -> Self {
        let mut labels = OrderedLabels::new(examples, order.len(), examples.weights().is_some());
        labels.arrange(examples, examples.weights(), &order);
        Self { order, labels }
    }

    /// All rows as they stand.
    pub(super) fn all(examples: &Examples<'_>) -> Self {
        Self::new(examples, (0..examples.len() as u32).collect())
    }

    /// All of them as one minibatch.
    pub(super) fn minibatch<'a>(&'a self, examples: &'a Examples<'_>) -> Minibatch<'a> {
        examples.minibatch(&self.order, &self.labels, 0)
    }
}

/// Sums over minibatches.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    loss: f64,
    outputs: [(f64, usize); MAX_OUTPUTS],
    pub(super) rows: usize,
}

impl Total {
    /// Adds a minibatch of so many rows, whose mean loss comes with a penalty.
    pub(super) fn add(&mut self, report: &Report, rows: usize, penalty: f64) {
        self.loss += f64::from(report.loss_sum) + penalty * rows as f64;
        for ((loss, hits), output) in self.outputs.iter_mut().zip(&report.outputs) {
            *loss += f64::from(output.loss_sum);
            *hits += output.hits;
        }
        self.rows += rows;
    }

    pub(super) fn mean(&self, plan: &Plan<'_>) -> Evaluation {
        let rows = self.rows.max(1) as f64;
        let outputs = plan.outputs().iter().zip(&self.outputs).map(|(output, (loss, hits))| {
            let elements = match output.loss.elements_that_can_be_right(plan.layers()[output.layer].out_dim) {
                0 => None,
                elements => Some(elements as f64),
            };
            OutputEvaluation { loss: loss / rows, accuracy: elements.map(|elements| *hits as f64 / (rows * elements)) }
        });
        Evaluation::new(self.loss / rows, outputs)
    }
}
