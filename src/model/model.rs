//! [`Model`]: a network with weights, an optimizer and threads.

use super::callbacks::Logs;
use super::compile::Compile;
use super::error::ModelError;
use super::examples::Examples;
use super::graph::{Graph, Lowered};
use super::history::Evaluation;
use super::inference::{Asked, Inference, OrderedRows, inference_plan, outputs_per_row};
use super::metrics::RunningMetrics;
use super::predictions::Predictions;
use super::session::Session;
use super::summary::Summary;
use super::trainable::Trainable;
use crate::exec::{Clipping, Noise, penalty_by_one};
use crate::kernels::MatRef;
use crate::memory::Buffer;
use crate::parallel::{MAX_PARTS, Pool};
use crate::plan::Plan;
use crate::simd::Isa;

/// How many times as many rows as a step a single question must have to employ as many threads, which sleep until then and take 20 to 100
/// microseconds to begin: a row of 784-300-100-10 takes 8 microseconds on the caller alone and 35 with a second thread, 64 rows 233 and
/// 138 to 273.
const ROWS_TO_WAKE_FOR: usize = 10;

/// A network with weights, an optimizer and threads.
#[derive(Debug)]
pub struct Model {
    pub(super) graph: Graph,
    pub(super) network: Lowered,
    pub(super) seed: u64,
    pub(super) trainable: Trainable,
    isa: Isa,
    clipping: Clipping,
    pool: Pool,
    /// Whether every minibatch employs all threads of the pool, because somebody has said how many.
    employs_all: bool,
    inference: Inference,
    /// For the last size of minibatches.
    workspace: Buffer,
    gradients: Vec<f32>,
    /// Of the epoch that is being trained.
    metrics: RunningMetrics,
    /// Room for the parameters that training leaves as they are.
    frozen: Vec<f32>,
}

impl Model {
    pub(super) fn new(graph: &Graph, settings: Compile) -> Result<Self, ModelError> {
        settings.optimizer.check()?;
        settings.check_clipping()?;
        let losses = settings.losses(&graph.output_names())?;
        let metrics = settings.named_metrics(&graph.output_names(), &losses)?;
        let Compile { optimizer, clipping, seed, threads, isa, .. } = settings;
        let employs_all = threads.is_some();
        let threads = threads.unwrap_or_else(Pool::default_threads);
        if !(1..=MAX_PARTS).contains(&threads) {
            return Err(ModelError::setting("threads", "1 to 64", threads));
        }
        let isa = match isa {
            Some(isa) => isa,
            None => Isa::select()?,
        };
        let network = Lowered { metrics, ..graph.lower(&losses)? };
        let metrics = RunningMetrics::new(&network);
        Ok(Self {
            graph: graph.clone(),
            isa,
            clipping,
            pool: Pool::new(threads).map_err(ModelError::Threads)?,
            employs_all,
            seed,
            trainable: Trainable::new(&network, optimizer, seed)?,
            inference: Inference::new(&inference_plan(&network, threads), metrics.clone()),
            metrics,
            frozen: vec![0.0; network.frozen().map(|tensor| tensor.region.len()).sum()],
            workspace: Buffer::zeros(0),
            gradients: Vec::new(),
            network,
        })
    }

    /// The table of layers, output shapes and parameter counts, as Keras prints it.
    pub fn summary(&self) -> Summary {
        // The layers were planned when the model was made, so they can be planned again.
        self.graph.summary().unwrap_or_else(|_| Summary::new(String::new(), Vec::new()))
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    #[cfg(feature = "io")]
    pub(super) fn clipping(&self) -> Clipping {
        self.clipping
    }

    /// The number of threads; a minibatch may employ fewer, see [`Compile::threads`].
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The memory map of a training step on minibatches of `batch_size` rows; its parts are the threads that such a minibatch employs.
    pub fn training_plan(&self, batch_size: usize) -> Plan<'_> {
        let plan = |parts| Plan::training(self.network.network(), batch_size, parts);
        plan(self.employed(&plan(1), batch_size))
    }

    /// How many threads so many rows employ.
    fn employed(&self, plan: &Plan<'_>, rows: usize) -> usize {
        if self.employs_all { self.threads() } else { plan.useful_parts(rows, self.threads()) }
    }

    /// The tensors of parameters in plan order, each with its name: that of its layer and `/kernel`, `/bias`, `/gamma`, `/beta`,
    /// `/moving_mean`, `/moving_variance` or `/alpha`. Kernels are `[in_dim, units]`, all others one row.
    pub fn weights(&self) -> impl Iterator<Item = (&str, MatRef<'_>)> {
        self.trainable.weights(&self.network)
    }

    /// Replaces all parameters, given in the order of [`Model::weights`] without padding. The optimizer's state stays as it is.
    ///
    /// # Errors
    /// If there are more or fewer; the model is then left as it was.
    pub fn set_weights(&mut self, weights: &[f32]) -> Result<(), ModelError> {
        self.trainable.set_weights(&self.network, weights)
    }

    /// Puts the threads to work for steps on minibatches of up to `batch_size` rows: a training loop of your own.
    ///
    /// # Errors
    /// If the batch size is 0 or such a minibatch cannot fit into memory.
    pub fn session<R>(&mut self, batch_size: usize, body: impl FnOnce(&mut Session<'_>) -> R) -> Result<R, ModelError> {
        if batch_size == 0 {
            return Err(ModelError::setting("batch_size", "at least 1", batch_size));
        }
        let threads = self.training_plan(batch_size).parts();
        let Self { network, seed, trainable, isa, clipping, pool, inference, workspace, gradients, metrics, frozen, .. } = self;
        let plan = Plan::training(network.network(), batch_size, threads);
        if workspace.len() < plan.workspace_len() {
            *workspace = Buffer::zeros(plan.workspace_len());
        }
        if let Clipping::Norm(_) | Clipping::GlobalNorm(_) = clipping {
            gradients.resize(plan.parameters_len(), 0.0);
        }
        Ok(pool.team_of(threads, |team| {
            body(&mut Session {
                #[cfg(feature = "io")]
                graph: &self.graph,
                network,
                isa: *isa,
                seed: *seed,
                clipping: *clipping,
                trainable,
                executor: team,
                plan,
                workspace,
                gradients,
                inference,
                metrics,
                stopped: false,
                scheduled: false,
                frozen,
                first_epoch: 0,
            })
        }))
    }

    /// Loss, accuracy and metrics over rows with targets.
    ///
    /// # Errors
    /// If the rows or targets do not fit the model.
    pub fn evaluate<'a>(&mut self, examples: impl Into<Examples<'a>>) -> Result<Evaluation, ModelError> {
        let examples = examples.into();
        examples.check(&self.network)?;
        let penalty = penalty_by_one(self.isa, &self.network.layers, &self.trainable.parameters);
        let rows = OrderedRows::all(&examples);
        Ok(self.ask(examples.len(), |mut asked| asked.evaluate(&examples, &rows, penalty)))
    }

    /// What an evaluation has given, under Keras' names: `loss`, `accuracy`, `mae`, and with several outputs `<output>_mae` and so
    /// on.
    pub fn logs(&self, evaluation: &Evaluation) -> Logs {
        evaluation.logs(&self.network.output_names)
    }

    /// The outputs for rows; targets are not looked at.
    ///
    /// # Errors
    /// If the rows do not fit the model.
    pub fn predict<'a>(&mut self, examples: impl Into<Examples<'a>>) -> Result<Predictions, ModelError> {
        let examples = examples.into();
        let mut values = vec![0.0; examples.len() * self.outputs_per_row()];
        self.predict_into(&examples, &mut values)?;
        Ok(Predictions::new(self.isa, &inference_plan(&self.network, self.threads()), examples.len(), values))
    }

    /// [`Model::predict`] without allocating, but for what it takes to call the threads together if there are several: [`Session::predict_into`] has them already. The outputs go to `values`, of each output a matrix without padding, one after the other.
    ///
    /// # Errors
    /// If the rows do not fit the model, or `values` has another length than rows times columns of all outputs.
    pub fn predict_into(&mut self, examples: &Examples<'_>, values: &mut [f32]) -> Result<(), ModelError> {
        self.ask(examples.len(), |mut asked| asked.predict(examples, None, values))
    }

    /// Predictions with dropout as in training, for `passes` passes whose random numbers depend on `seed`: what a row's outputs scatter around shows
    /// how sure the model is. Batch normalizations stay in inference mode. Nothing allocates once the first pass has begun.
    ///
    /// # Errors
    /// If the rows do not fit the model, or there are no passes.
    pub fn predict_monte_carlo<'a>(
        &mut self,
        examples: impl Into<Examples<'a>>,
        passes: usize,
        seed: u64,
    ) -> Result<super::MonteCarlo, ModelError> {
        let examples = examples.into();
        let len = examples.len() * self.outputs_per_row();
        let mut result = super::MonteCarlo::new(&inference_plan(&self.network, self.threads()), self.isa, examples.len());
        if passes == 0 {
            return Err(ModelError::setting("passes", "at least 1", passes));
        }
        let mut values = vec![0.0; len];
        self.ask(passes.saturating_mul(examples.len()), |mut asked| {
            for pass in 0..passes {
                asked.predict(&examples, Some(Noise { seed, step: pass as u32, first_row: 0 }), &mut values)?;
                result.add(&values);
            }
            Ok(())
        })
        .map(|()| result)
    }

    fn outputs_per_row(&self) -> usize {
        outputs_per_row(&inference_plan(&self.network, self.threads()))
    }

    /// Puts the threads to work for a question about so many rows.
    fn ask<R>(&mut self, rows: usize, question: impl FnOnce(Asked<'_>) -> R) -> R {
        let threads = self.employed(&inference_plan(&self.network, 1), rows / ROWS_TO_WAKE_FOR);
        let Self { network, isa, pool, trainable, inference, .. } = self;
        let parameters = &trainable.parameters;
        pool.team_of(threads, |executor| question(Asked { isa: *isa, network, executor, parameters, memory: inference }))
    }
}
