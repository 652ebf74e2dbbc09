//! [`Model`]: a network with weights, an optimizer and threads.

use super::buffer::Buffer;
use super::callback::{Callback, Run};
use super::error::ModelError;
use super::examples::Examples;
use super::graph::{Graph, Lowered, OutputLoss};
use super::history::{Epoch, Evaluation, History};
use super::optimizers::{Optimizer, Progress};
use super::schedules::LearningRateSchedule;
use super::summary::Summary;
use crate::data::{Batches, shuffle};
use crate::exec::{Batch, Context, Noise, Step, Targets, evaluate, predict, train_step};
use crate::kernels::{MatMut, MatRef, reduce};
use crate::parallel::{Executor, MAX_PARTS, Pool};
use crate::plan::{Loss, Memory, Plan};
use crate::simd::Isa;
use std::ops::ControlFlow;
use std::time::Instant;

/// Rows that go through the network at a time in `evaluate` and `predict`, per thread: enough that the weights are read rarely, few
/// enough that the outputs stay in cache.
const INFERENCE_ROWS_PER_THREAD: usize = 128;

/// How a network becomes a [`Model`].
///
/// Defaults: seed 0, as many threads as there are processors, the best instruction set or the one in `SELVEDGE_ISA`.
#[derive(Clone, Copy, Debug)]
pub struct Compile {
    optimizer: Optimizer,
    seed: u64,
    threads: Option<usize>,
    isa: Option<Isa>,
}

impl Compile {
    /// With this optimizer, on the sparse categorical cross-entropy.
    pub fn new(optimizer: impl Into<Optimizer>) -> Self {
        Self { optimizer: optimizer.into(), seed: 0, threads: None, isa: None }
    }

    /// The seed of the initial weights and of the order of rows.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The number of threads, the caller's included. It changes the speed, not the results.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The instruction set.
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }
}

/// How long and on what a model is trained.
///
/// Defaults, as in Keras: 1 epoch, minibatches of 32 rows, shuffled, no validation data, the optimizer's own learning rate.
#[derive(Clone)]
pub struct Fit<'a> {
    epochs: usize,
    batch_size: usize,
    shuffle: bool,
    validation: Option<Examples<'a>>,
    schedule: Option<&'a dyn LearningRateSchedule>,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Self { epochs: 1, batch_size: 32, shuffle: true, validation: None, schedule: None }
    }
}

impl<'a> Fit<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often every row is trained on.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The number of rows of a step. The last minibatch of an epoch may be shorter; its gradient is the mean over its own rows.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Whether rows are put into a new order before each epoch: the same order for the same seed and epoch.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Sets the learning rate (and the momentum, if the schedule has one) before every step. Steps are counted from the model's
    /// first, over all calls of [`Model::fit`]. The optimizer keeps the last values.
    pub fn schedule(mut self, schedule: &'a dyn LearningRateSchedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// What to evaluate on after each epoch.
    pub fn validation_data(mut self, examples: impl Into<Examples<'a>>) -> Self {
        self.validation = Some(examples.into());
        self
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epochs, batch_size, shuffle, .. } = self;
        let mut text = f.debug_struct("Fit");
        text.field("epochs", epochs).field("batch_size", batch_size).field("shuffle", shuffle).finish_non_exhaustive()
    }
}

/// A network with weights, an optimizer and threads.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    network: Lowered,
    isa: Isa,
    pool: Pool,
    seed: u64,
    optimizer: Optimizer,
    progress: Progress,
    /// Epochs trained so far, over all calls of `fit`.
    epochs: u64,
    parameters: Buffer,
    state: Buffer,
    /// For [`Model::inference_plan`].
    inference: Buffer,
}

impl Model {
    pub(super) fn new(graph: &Graph, settings: Compile) -> Result<Self, ModelError> {
        let Compile { optimizer, seed, threads, isa } = settings;
        optimizer.check()?;
        let threads = threads.unwrap_or_else(Pool::default_threads);
        if !(1..=MAX_PARTS).contains(&threads) {
            return Err(ModelError::setting("threads", "1 to 64", threads));
        }
        let isa = match isa {
            Some(isa) => isa,
            None => Isa::select()?,
        };
        let loss = OutputLoss { loss: Loss::SparseCategoricalCrossentropy { label_smoothing: 0.0 }, weight: 1.0 };
        let network = graph.lower(&vec![loss; graph.outputs.len()])?;
        let plan = Plan::inference(network.network(), INFERENCE_ROWS_PER_THREAD * threads, threads);
        let mut parameters = Buffer::new(plan.parameters_len());
        for tensor in &network.tensors {
            tensor.initialize(parameters.as_mut_slice(), seed)?;
        }
        let (state, inference) = (plan.state_len(optimizer.numbers_per_parameter()), plan.workspace_len());
        Ok(Self {
            graph: graph.clone(),
            network,
            isa,
            pool: Pool::new(threads).map_err(ModelError::Threads)?,
            seed,
            optimizer,
            progress: Progress::default(),
            epochs: 0,
            state: Buffer::new(state),
            inference: Buffer::new(inference),
            parameters,
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

    /// The number of threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The memory map of a training step on minibatches of `batch_size` rows.
    pub fn training_plan(&self, batch_size: usize) -> Plan<'_> {
        Plan::training(self.network.network(), batch_size, self.pool.threads())
    }

    fn inference_plan(&self) -> Plan<'_> {
        inference_plan(&self.network, &self.pool)
    }

    /// The tensors of parameters in plan order, each with its name: that of its layer and `/kernel`, `/bias`, `/gamma`, `/beta`,
    /// `/moving_mean`, `/moving_variance` or `/alpha`. Kernels are `[in_dim, units]`, all others one row.
    pub fn weights(&self) -> impl Iterator<Item = (&str, MatRef<'_>)> {
        self.network.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.region.of(self.parameters.as_slice())))
    }

    /// Replaces all parameters, given in the order of [`Model::weights`] without padding. The optimizer's state stays as it is.
    ///
    /// # Errors
    /// If there are more or fewer; the model is then left as it was.
    pub fn set_weights(&mut self, weights: &[f32]) -> Result<(), ModelError> {
        let expected: usize = self.network.tensors.iter().map(|tensor| tensor.region.rows * tensor.region.columns).sum();
        if weights.len() != expected {
            return Err(ModelError::WeightCount { expected, found: weights.len() });
        }
        let mut rest = weights;
        for tensor in &self.network.tensors {
            let mut matrix = tensor.region.of_mut(self.parameters.as_mut_slice());
            for row in 0..matrix.rows() {
                let (values, more) = rest.split_at(tensor.region.columns);
                matrix.row_mut(row).copy_from_slice(values);
                rest = more;
            }
        }
        Ok(())
    }

    /// Trains on rows with labels. Training goes on where an earlier call has ended.
    ///
    /// # Errors
    /// If the rows or labels do not fit the model or a setting is outside of its range; the model is then left as it was. If a
    /// schedule gives a learning rate that is none, after the steps before it.
    pub fn fit<'a>(
        &mut self,
        training: impl Into<Examples<'a>>,
        settings: &Fit<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History, ModelError> {
        let training = training.into();
        let classes = self.inference_plan().out_dim();
        training.check(self.inference_plan().in_dim(), classes)?;
        if let Some(validation) = &settings.validation {
            validation.check(self.inference_plan().in_dim(), classes)?;
        }
        let batches = Batches::new(training.len(), settings.batch_size)?;
        // A minibatch never has more rows than there are.
        let batch_size = settings.batch_size.min(training.len());
        let run = Run { epochs: settings.epochs, rows: training.len(), steps: training.len().div_ceil(batch_size) };

        let Self { network, isa, pool, seed, optimizer, progress, epochs, parameters, state, inference, .. } = self;
        let plan = Plan::training(network.network(), batch_size, pool.threads());
        let mut workspace = Buffer::new(plan.workspace_len());
        let mut order: Vec<u32> = (0..training.len() as u32).collect();
        let mut labels = training.labels().to_vec();
        let mut validator = settings
            .validation
            .as_ref()
            .map(|examples| Evaluator::new(inference_plan(network, pool), examples, inference.as_mut_slice()));
        // Room for what most runs need: nothing is gained by reserving what an absurd number of epochs would.
        let mut history = History { epochs: Vec::with_capacity(settings.epochs.min(1024)) };
        let mut result = Ok(());

        pool.team(|team| {
            let context = Context { isa: *isa, plan: &plan, executor: team };
            callbacks.iter_mut().for_each(|callback| callback.on_train_begin(run));
            for epoch in 0..settings.epochs {
                callbacks.iter_mut().for_each(|callback| callback.on_epoch_begin(epoch));
                let mut stop = ControlFlow::Continue(());
                let mut seconds = 0.0;
                let mut clock = Instant::now();
                if settings.shuffle {
                    shuffle(&mut order, *seed, *epochs);
                    for (label, &row) in labels.iter_mut().zip(&order) {
                        *label = training.labels()[row as usize];
                    }
                }
                let mut total = Total::default();
                for range in batches.clone() {
                    if let Some(schedule) = settings.schedule {
                        result = optimizer.follow(schedule, progress.steps());
                        if result.is_err() {
                            stop = ControlFlow::Break(());
                            break;
                        }
                    }
                    let rows = range.len();
                    let batch = Batch {
                        inputs: &[training.inputs(&order[range.clone()])],
                        targets: &[Targets::Labels(&labels[range])],
                        weights: None,
                    };
                    let mut memory = Memory {
                        parameters: parameters.as_mut_slice(),
                        state: state.as_mut_slice(),
                        gradients: &mut [],
                        workspace: workspace.as_mut_slice(),
                    };
                    let noise = Noise { seed: *seed, step: progress.steps() as u32 };
                    let step = Step { noise, ..Step::new(optimizer.next_step(progress)) };
                    total.add(train_step(&context, &step, &batch, &mut memory), rows);
                    if !callbacks.is_empty() {
                        seconds += clock.elapsed().as_secs_f64();
                        for callback in callbacks.iter_mut() {
                            stop = strongest(stop, callback.on_batch_end(total.rows, total.mean()));
                        }
                        clock = Instant::now();
                        if stop.is_break() {
                            break;
                        }
                    }
                }
                seconds += clock.elapsed().as_secs_f64();
                *epochs += 1;
                let validation = validator.as_mut().map(|validator| validator.run(*isa, team, parameters.as_slice()));
                let logs = Epoch { training: total.mean(), validation, seconds, learning_rate: optimizer.learning_rate() };
                history.epochs.push(logs);
                for callback in callbacks.iter_mut() {
                    stop = strongest(stop, callback.on_epoch_end(epoch, &logs));
                }
                if stop.is_break() {
                    break;
                }
            }
            callbacks.iter_mut().for_each(|callback| callback.on_train_end());
        });
        result.map(|()| history)
    }

    /// Loss and accuracy over rows with labels.
    ///
    /// # Errors
    /// If the rows or labels do not fit the model.
    pub fn evaluate<'a>(&mut self, examples: impl Into<Examples<'a>>) -> Result<Evaluation, ModelError> {
        let examples = examples.into();
        examples.check(self.inference_plan().in_dim(), self.inference_plan().out_dim())?;
        let Self { network, isa, pool, parameters, inference, .. } = self;
        let mut evaluator = Evaluator::new(inference_plan(network, pool), &examples, inference.as_mut_slice());
        Ok(pool.team(|team| evaluator.run(*isa, team, parameters.as_slice())))
    }

    /// The outputs for rows; labels are not looked at.
    ///
    /// # Errors
    /// If the rows do not fit the model.
    pub fn predict<'a>(&mut self, examples: impl Into<Examples<'a>>) -> Result<Predictions, ModelError> {
        let examples = examples.into();
        examples.check_rows(self.inference_plan().in_dim())?;
        let Self { network, isa, pool, parameters, inference, .. } = self;
        let plan = inference_plan(network, pool);
        let columns = plan.out_dim();
        let mut values = vec![0.0; examples.len() * columns];
        let order: Vec<u32> = (0..examples.len() as u32).collect();
        pool.team(|team| {
            let context = Context { isa: *isa, plan: &plan, executor: team };
            for (order, outputs) in order.chunks(plan.batch()).zip(values.chunks_mut(plan.batch() * columns)) {
                let outputs = MatMut::new(outputs, order.len(), columns, columns);
                predict(&context, &[examples.inputs(order)], parameters.as_slice(), inference.as_mut_slice(), &mut [outputs]);
            }
        });
        Ok(Predictions { isa: *isa, values, columns })
    }
}

fn inference_plan<'a>(network: &'a Lowered, pool: &Pool) -> Plan<'a> {
    Plan::inference(network.network(), INFERENCE_ROWS_PER_THREAD * pool.threads(), pool.threads())
}

fn strongest(a: ControlFlow<()>, b: ControlFlow<()>) -> ControlFlow<()> {
    if a.is_break() { a } else { b }
}

/// Sums over the minibatches of an epoch.
#[derive(Default)]
struct Total {
    loss: f64,
    hits: usize,
    rows: usize,
}

impl Total {
    fn add(&mut self, report: crate::exec::Report, rows: usize) {
        self.loss += f64::from(report.loss_sum);
        self.hits += report.hits();
        self.rows += rows;
    }

    fn mean(&self) -> Evaluation {
        let rows = self.rows.max(1) as f64;
        Evaluation { loss: self.loss / rows, accuracy: self.hits as f64 / rows }
    }
}

/// What a repeated evaluation on the same rows needs.
struct Evaluator<'a> {
    plan: Plan<'a>,
    examples: &'a Examples<'a>,
    order: Vec<u32>,
    workspace: &'a mut [f32],
}

impl<'a> Evaluator<'a> {
    fn new(plan: Plan<'a>, examples: &'a Examples<'a>, workspace: &'a mut [f32]) -> Self {
        Self { plan, examples, order: (0..examples.len() as u32).collect(), workspace }
    }

    fn run(&mut self, isa: Isa, executor: &dyn Executor, parameters: &[f32]) -> Evaluation {
        let context = Context { isa, plan: &self.plan, executor };
        let mut total = Total::default();
        let size = self.plan.batch();
        for (order, labels) in self.order.chunks(size).zip(self.examples.labels().chunks(size)) {
            let batch = Batch { inputs: &[self.examples.inputs(order)], targets: &[Targets::Labels(labels)], weights: None };
            total.add(evaluate(&context, &batch, parameters, self.workspace), order.len());
        }
        total.mean()
    }
}

/// The outputs of a model for some rows.
#[derive(Clone, Debug)]
pub struct Predictions {
    isa: Isa,
    values: Vec<f32>,
    columns: usize,
}

impl Predictions {
    /// One row for each row that was asked about; of a softmax, the probabilities of the classes.
    pub fn matrix(&self) -> MatRef<'_> {
        MatRef::new(&self.values, self.values.len() / self.columns, self.columns, self.columns)
    }

    /// The class with the largest output for each row, the first of equals.
    pub fn classes(&self) -> Vec<u32> {
        let mut classes = vec![0; self.matrix().rows()];
        reduce::argmax(self.isa, self.matrix(), &mut classes);
        classes
    }
}
