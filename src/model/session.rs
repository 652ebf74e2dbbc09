//! [`Session`]: a model in training.

use super::callbacks::Logs;
use super::error::ModelError;
use super::examples::Examples;
use super::graph::Lowered;
use super::history::Evaluation;
use super::inference::{Asked, Inference, OrderedRows, Total, inference_plan, outputs_per_row};
use super::metrics::{RunningMetrics, Source};
use super::predictions::Predictions;
use super::trainable::Trainable;
use crate::exec::{Batch, Clipping, Context, Noise, Report, Step, gradients, penalty, train_step, update};
use crate::kernels::MatRef;
use crate::parallel::Executor;
use crate::plan::{BlockRef, Memory, Plan, Value};
use crate::simd::Isa;
use core::ops::Range;

/// A model in training, its threads at work: what callbacks get, and what a loop of your own trains with.
///
/// ```
/// use selvedge::exec::{Batch, Inputs, Targets};
/// use selvedge::kernels::MatRef;
/// use selvedge::model::{Activation, Adam, Compile, Dense, Sequential};
///
/// let mut model = Sequential::new(&[2]).add(Dense::new(2).activation(Activation::Softmax)).compile(Compile::new(Adam::default()))?;
/// let (rows, labels) = ([0.0, 1.0, 1.0, 0.0], [0, 1]);
/// model.session(2, |session| {
///     for _ in 0..10 {
///         let inputs = [Inputs::Rows(MatRef::new(&rows, 2, 2, 2))];
///         session.step(&Batch { inputs: &inputs, targets: &[Targets::Labels(&labels)], weights: None });
///     }
/// })?;
/// # Ok::<(), selvedge::model::ModelError>(())
/// ```
pub struct Session<'a> {
    #[cfg(feature = "io")]
    pub(super) graph: &'a super::graph::Graph,
    pub(super) network: &'a Lowered,
    pub(super) isa: Isa,
    pub(super) seed: u64,
    pub(super) clipping: Clipping,
    pub(super) trainable: &'a mut Trainable,
    pub(super) executor: &'a dyn Executor,
    pub(super) plan: Plan<'a>,
    pub(super) workspace: &'a mut [f32],
    /// Empty unless clipping needs it, or somebody has asked for gradients.
    pub(super) gradients: &'a mut Vec<f32>,
    pub(super) inference: &'a mut Inference,
    /// Of the epoch that is being trained.
    pub(super) metrics: &'a mut RunningMetrics,
    pub(super) stopped: bool,
    /// Whether a schedule sets the learning rate before every step.
    pub(super) scheduled: bool,
    /// What the tensors of layers that are not trainable hold, during a step.
    pub(super) frozen: &'a mut [f32],
    /// The first epoch of this training that has not been done yet.
    pub(super) first_epoch: usize,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("steps", &self.steps()).field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

impl<'a> Session<'a> {
    /// One step on a minibatch of at most the rows that the session was begun for. Returns what the minibatch gave before the step.
    ///
    /// # Panics
    /// If the minibatch does not fit the network: data from outside go through [`Model::fit`](super::Model::fit), which returns errors.
    #[track_caller]
    pub fn step(&mut self, batch: &Batch<'_>) -> Evaluation {
        let (report, penalty) = self.step_report(batch);
        let mut total = Total::default();
        total.add(&report, batch.inputs.first().map_or(0, crate::exec::Inputs::len), penalty);
        let Inference { metrics, .. } = &mut *self.inference;
        metrics.reset();
        measure(self.isa, &self.plan, self.workspace, batch, metrics);
        total.mean(&self.plan).with_metrics(metrics)
    }

    /// Adds what the last step has computed of its minibatch to the metrics of the epoch.
    pub(super) fn measure_step(&mut self, batch: &Batch<'_>) {
        measure(self.isa, &self.plan, self.workspace, batch, self.metrics);
    }

    /// What an evaluation or a step has given, under Keras' names: `loss`, `accuracy`, `mae`, and with several outputs
    /// `<output>_mae` and so on.
    pub fn logs(&self, evaluation: &Evaluation) -> Logs {
        evaluation.logs(&self.network.output_names)
    }

    /// One step, and the penalty of the weights before it.
    #[track_caller]
    pub(super) fn step_report(&mut self, batch: &Batch<'_>) -> (Report, f64) {
        let penalty = self.penalty();
        let freezes = !self.frozen.is_empty();
        if freezes {
            let parameters = &self.trainable.parameters;
            frozen(self.network, self.frozen).for_each(|(range, copy)| copy.copy_from_slice(&parameters[range]));
        }
        let Trainable { optimizer, progress, parameters, state, .. } = &mut *self.trainable;
        let noise = Noise { seed: self.seed, step: progress.steps() as u32, first_row: 0 };
        let step = Step { optimizer: optimizer.next_step(progress), clipping: self.clipping, noise };
        let context = Context { isa: self.isa, plan: &self.plan, executor: self.executor };
        let mut memory = Memory { parameters, state, gradients: self.gradients, workspace: self.workspace };
        let report = match self.clipping {
            // A norm is that of what is trained.
            Clipping::Norm(_) | Clipping::GlobalNorm(_) if freezes => {
                let report = gradients(&context, &noise, batch, &mut memory);
                self.network.frozen().for_each(|tensor| memory.gradients[tensor.region.range()].fill(0.0));
                update(&context, &step, &mut memory);
                report
            }
            _ => train_step(&context, &step, batch, &mut memory),
        };
        if freezes {
            frozen(self.network, self.frozen).for_each(|(range, copy)| memory.parameters[range].copy_from_slice(copy));
        }
        (report, penalty)
    }

    /// The gradients of a minibatch, penalties included, by the names of the tensors. The moving statistics of batch normalizations move as
    /// in a step, and nothing else does. Only the first call allocates.
    ///
    /// # Panics
    /// As [`Session::step`].
    #[track_caller]
    pub fn gradients<'s>(&'s mut self, batch: &Batch<'_>) -> impl Iterator<Item = (&'s str, MatRef<'s>)> + use<'s, 'a> {
        let Trainable { progress, parameters, state, .. } = &mut *self.trainable;
        self.gradients.resize(self.plan.parameters_len(), 0.0);
        let noise = Noise { seed: self.seed, step: progress.steps() as u32, first_row: 0 };
        let context = Context { isa: self.isa, plan: &self.plan, executor: self.executor };
        let mut memory = Memory { parameters, state, gradients: self.gradients, workspace: self.workspace };
        gradients(&context, &noise, batch, &mut memory);
        let trainable = self.network.tensors.iter().filter(|tensor| tensor.trainable);
        trainable.map(|tensor| (tensor.name.as_str(), tensor.region.of(self.gradients)))
    }

    /// Mean and standard deviation of what each layer has put out for the last minibatch of a step or of [`Session::gradients`], of which there were `rows`
    /// rows: in a network that keeps its signals alive both stay about the same from layer to layer. A layer that was merged into another, as an
    /// activation into the product before it, goes by the name of the first.
    pub fn activations(&self, rows: usize) -> impl Iterator<Item = (&str, f64, f64)> {
        let rows = rows.min(self.plan.batch());
        let names = self.network.layer_names.iter().enumerate();
        names.map(move |(i, name)| {
            let (mean, deviation) = crate::exec::output_statistics(&self.plan, self.workspace, rows, i);
            (name.as_str(), mean, deviation)
        })
    }

    /// The largest number of rows of a step.
    pub fn batch_size(&self) -> usize {
        self.plan.batch()
    }

    /// Steps taken so far, over all sessions of the model.
    pub fn steps(&self) -> u64 {
        self.trainable.progress.steps()
    }

    /// Epochs trained so far, over all calls of [`Model::fit`](super::Model::fit).
    pub fn epochs(&self) -> u64 {
        self.trainable.epochs
    }

    /// The current learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.trainable.optimizer.learning_rate()
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// If it is not a finite number of at least 0, or [`Fit::schedule`](super::Fit::schedule) sets it before every step; the old
    /// one stays.
    pub fn set_learning_rate(&mut self, learning_rate: f32) -> Result<(), ModelError> {
        if self.scheduled {
            let found = format!("{learning_rate} for a rate that the schedule sets before every step");
            return Err(ModelError::setting("learning_rate", "a schedule or a callback that sets it, not both", found));
        }
        let mut next = self.trainable.optimizer;
        next.set_learning_rate(learning_rate);
        next.check()?;
        self.trainable.optimizer = next;
        Ok(())
    }

    /// Ends the training after the current step or epoch.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether somebody has ended the training.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The tensors of parameters, each with its name, as [`Model::weights`](super::Model::weights).
    pub fn weights(&self) -> impl Iterator<Item = (&str, MatRef<'_>)> {
        self.trainable.weights(self.network)
    }

    /// All parameters in the layout of the plan, padding included: what [`Session::restore`] takes.
    pub fn parameters(&self) -> &[f32] {
        &self.trainable.parameters
    }

    /// Puts parameters back.
    ///
    /// # Errors
    /// If there are more or fewer; nothing is changed then.
    pub fn restore(&mut self, parameters: &[f32]) -> Result<(), ModelError> {
        let here = &mut self.trainable.parameters;
        if parameters.len() != here.len() {
            return Err(ModelError::WeightCount { expected: here.len(), found: parameters.len() });
        }
        here.copy_from_slice(parameters);
        Ok(())
    }

    /// Loss, accuracy and metrics of the current weights.
    ///
    /// # Errors
    /// If the rows or targets do not fit the model.
    pub fn evaluate(&mut self, examples: &Examples<'_>) -> Result<Evaluation, ModelError> {
        examples.check(self.network)?;
        Ok(self.evaluate_rows(examples, &OrderedRows::all(examples)))
    }

    /// The outputs of the current weights.
    ///
    /// # Errors
    /// If the rows do not fit the model.
    pub fn predict(&mut self, examples: &Examples<'_>) -> Result<Predictions, ModelError> {
        let plan = inference_plan(self.network, self.executor.parts());
        let mut values = vec![0.0; examples.len() * outputs_per_row(&plan)];
        self.asked().predict(examples, None, &mut values)?;
        Ok(Predictions::new(self.isa, &plan, examples.len(), values))
    }

    /// [`Model::predict_into`](super::Model::predict_into) of the current weights.
    ///
    /// # Errors
    /// As there.
    pub fn predict_into(&mut self, examples: &Examples<'_>, values: &mut [f32]) -> Result<(), ModelError> {
        self.asked().predict(examples, None, values)
    }

    /// One pass of [`Model::predict_monte_carlo`](super::Model::predict_monte_carlo): the outputs with the dropout of pass `pass`.
    ///
    /// # Errors
    /// As for [`Session::predict_into`].
    pub fn predict_with_dropout(
        &mut self,
        examples: &Examples<'_>,
        seed: u64,
        pass: u32,
        values: &mut [f32],
    ) -> Result<(), ModelError> {
        self.asked().predict(examples, Some(Noise { seed, step: pass, first_row: 0 }), values)
    }

    /// Loss and accuracy over rows that have been checked.
    pub(super) fn evaluate_rows(&mut self, examples: &Examples<'_>, rows: &OrderedRows) -> Evaluation {
        let penalty = self.penalty();
        self.asked().evaluate(examples, rows, penalty)
    }

    /// What the penalties of the weights add to the loss.
    fn penalty(&mut self) -> f64 {
        let context = Context { isa: self.isa, plan: &self.plan, executor: self.executor };
        penalty(&context, &self.trainable.parameters, self.workspace)
    }

    fn asked(&mut self) -> Asked<'_> {
        let Self { isa, network, executor, trainable, inference, .. } = self;
        Asked { isa: *isa, network, executor: *executor, parameters: &trainable.parameters, memory: inference }
    }
}

/// Each tensor that training leaves as it is, by its place among the parameters, with its part of a copy.
fn frozen<'a>(network: &'a Lowered, copy: &'a mut [f32]) -> impl Iterator<Item = (Range<usize>, &'a mut [f32])> {
    let mut rest = copy;
    network.frozen().map(move |tensor| {
        let (here, behind) = core::mem::take(&mut rest).split_at_mut(tensor.region.len());
        rest = behind;
        (tensor.region.range(), here)
    })
}

/// Adds what a step has left of its minibatch in the workspace.
fn measure(isa: Isa, plan: &Plan<'_>, workspace: &[f32], batch: &Batch<'_>, metrics: &mut RunningMetrics) {
    if !metrics.looks_at_outputs() {
        return;
    }
    let rows = batch.inputs.first().map_or(0, crate::exec::Inputs::len);
    let blocks = BlockRef { plan, blocks: &workspace[..plan.blocks_len()], rows };
    metrics.add(isa, Source::Step, rows, batch.targets, |output, i| blocks.value(Value::Layer(output.layer)).row(i));
}
