//! Weights and whole models on disk.
//!
//! | what | how | file |
//! |---|---|---|
//! | weights | [`Model::save_weights`], [`Model::load_weights`] | safetensors, tensors named as in Keras: `dense/kernel` |
//! | everything: architecture, weights, moving statistics, optimizer with its state, losses, metrics, seed, steps, epochs | [`Model::save`], [`Model::load`] | a checkpoint of this crate |
//!
//! Training that goes on from a saved model ends with the bits of one that was never stopped: the order of rows, the random numbers of dropout and
//! the learning rate of a schedule follow from seed, steps and epochs. A file is replaced whole or not at all, and a file with an error leaves
//! the model as it was.

use super::compile::Compile;
use super::error::ModelError;
use super::graph::{Graph, Lowered, OutputLoss};
use super::metrics::NamedMetric;
use super::model::Model;
use super::optimizers::{Adam, Nadam, Optimizer, Progress, RmsProp, Sgd};
use super::session::Session;
use super::trainable::Trainable;
use crate::exec::Clipping;
use crate::io::{
    Architecture, ArchitectureError, Checkpoint, CheckpointError, FileError, Safetensors, SafetensorsError, SectionReader,
    SectionWriter, Source, TensorError, Tensors, safetensors,
};
use crate::kernels::MatRef;
use crate::kernels::optimizers::NadamProgress;
use crate::plan::{Loss, Region};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Why a model could not be saved or loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum SavingError {
    /// A file of weights.
    Safetensors(FileError<SafetensorsError>),
    /// A checkpoint.
    Checkpoint(FileError<CheckpointError>),
    /// The sections of a checkpoint.
    Section(CheckpointError),
    /// Tensors that do not fit the model.
    Tensor(TensorError),
    /// The description of the network.
    Architecture(ArchitectureError),
    /// The network itself, or its settings.
    Model(ModelError),
    /// A number that stands for nothing.
    Unknown {
        /// Of what.
        what: &'static str,
        /// The number.
        found: u64,
    },
}

impl fmt::Display for SavingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safetensors(source) => source.fmt(f),
            Self::Checkpoint(source) => source.fmt(f),
            Self::Section(source) => source.fmt(f),
            Self::Tensor(source) => source.fmt(f),
            Self::Architecture(source) => source.fmt(f),
            Self::Model(source) => source.fmt(f),
            Self::Unknown { what, found } => write!(f, "a known {what} expected, found number {found}"),
        }
    }
}

impl std::error::Error for SavingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Safetensors(source) => Some(source),
            Self::Checkpoint(source) => Some(source),
            Self::Section(source) => Some(source),
            Self::Tensor(source) => Some(source),
            Self::Architecture(source) => Some(source),
            Self::Model(source) => Some(source),
            Self::Unknown { .. } => None,
        }
    }
}

/// `From` for each error that has one place only.
macro_rules! from {
    ($($source:ty => $variant:ident;)+) => {$(
        impl From<$source> for SavingError {
            fn from(source: $source) -> Self {
                Self::$variant(source)
            }
        }
    )+};
}

from! {
    FileError<SafetensorsError> => Safetensors;
    FileError<CheckpointError> => Checkpoint;
    CheckpointError => Section;
    TensorError => Tensor;
    ArchitectureError => Architecture;
    ModelError => Model;
}

/// The names of the sections.
mod sections {
    pub(super) const ARCHITECTURE: &str = "architecture";
    pub(super) const SETTINGS: &str = "settings";
    pub(super) const PROGRESS: &str = "progress";
    pub(super) const WEIGHTS: &str = "weights";
    pub(super) const STATE: &str = "optimizer_state";
    /// There only if there are metrics: for each its output, its name, and a number.
    pub(super) const METRICS: &str = "metrics";
}

impl Model {
    /// Saves all tensors of parameters, moving statistics included, under their names: kernels as `[in_dim, units]`, all others as `[units]`.
    ///
    /// # Errors
    /// If the file cannot be replaced; an old one stays then.
    pub fn save_weights(&self, path: &Path) -> Result<(), SavingError> {
        let tensors: Vec<(&str, Vec<usize>, MatRef<'_>)> =
            self.weights().map(|(name, matrix)| (name, shape(name, matrix), matrix)).collect();
        let sources =
            tensors.iter().map(|(name, shape, matrix)| Source::new(name, shape, *matrix)).collect::<Result<Vec<_>, _>>()?;
        Ok(safetensors::save(path, &sources, &BTreeMap::new())?)
    }

    /// Loads all tensors of parameters; those that the file has beyond them are refused.
    ///
    /// # Errors
    /// If the file cannot be read, or lacks a tensor of the right shape; the model is then left as it was.
    pub fn load_weights(&mut self, path: &Path) -> Result<(), SavingError> {
        let file = Safetensors::load(path)?;
        self.take_weights(&file.tensors)
    }

    /// Takes all tensors of parameters by name, as [`Model::load_weights`] does from a file; what `.keras` files hold are such tensors, too.
    ///
    /// # Errors
    /// If a tensor is missing, has another shape, or is not the model's; the model is then left as it was.
    pub fn take_weights(&mut self, tensors: &Tensors) -> Result<(), SavingError> {
        let mut values = Vec::new();
        let mut known = 0;
        for (name, matrix) in self.weights() {
            values.extend_from_slice(tensors.require(name, &shape(name, matrix))?.elements());
            known += 1;
        }
        if tensors.len() != known {
            let names: Vec<&str> = self.weights().map(|(name, _)| name).collect();
            let found = tensors.iter().map(|(name, _)| name).find(|name| !names.contains(name)).unwrap_or_default();
            return Err(ModelError::UnknownTensor { name: found.to_owned() }.into());
        }
        Ok(self.set_weights(&values)?)
    }

    /// Everything there is to know of the model: to go on training later, or elsewhere.
    pub fn checkpoint(&self) -> Checkpoint {
        checkpoint(&self.graph, &self.network, self.seed, self.clipping(), &self.trainable)
    }

    /// Saves [`Model::checkpoint`].
    ///
    /// # Errors
    /// If the file cannot be replaced; an old one stays then.
    pub fn save(&self, path: &Path) -> Result<(), SavingError> {
        Ok(self.checkpoint().save(path)?)
    }

    /// A model as it was saved, with as many threads as are of use and the best instruction set or the one in `SELVEDGE_ISA`.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a whole and undamaged checkpoint of a model.
    pub fn load(path: &Path) -> Result<Self, SavingError> {
        Self::from_checkpoint(&Checkpoint::load(path)?, None)
    }

    /// [`Model::load`] from memory, with a number of threads.
    ///
    /// # Errors
    /// If the sections are not those of a model.
    pub fn from_checkpoint(checkpoint: &Checkpoint, threads: Option<usize>) -> Result<Self, SavingError> {
        let architecture = checkpoint.get(sections::ARCHITECTURE).unwrap_or_default();
        let Ok(architecture) = str::from_utf8(architecture) else {
            return Err(CheckpointError::NotUtf8 { section: sections::ARCHITECTURE.into() }.into());
        };
        checkpoint.reader(sections::ARCHITECTURE)?;
        let graph = Graph::from_architecture(&Architecture::from_json(architecture)?)?;
        let Settings { seed, losses, clipping, optimizer } = Settings::of(checkpoint)?;
        if losses.len() != graph.outputs.len() {
            return Err(SavingError::Unknown { what: "number of outputs", found: losses.len() as u64 });
        }
        let mut compile = Compile::new(optimizer).clipping(clipping).seed(seed);
        let metrics = metrics(checkpoint)?;
        for (number, (name, OutputLoss { loss, weight })) in graph.output_names().iter().zip(losses).enumerate() {
            let own = metrics.iter().filter(|(output, _)| *output == number as u64).map(|(_, metric)| *metric);
            compile = compile.output_loss(name, loss, weight).output_metrics(name, own);
        }
        if let Some(threads) = threads {
            compile = compile.threads(threads);
        }
        let mut model = Self::new(&graph, compile)?;
        model.restore(checkpoint)?;
        Ok(model)
    }

    /// Takes weights, optimizer state and progress from a checkpoint of the same network and kind of optimizer.
    ///
    /// # Errors
    /// If the sections do not fit the model, which is then left as it was.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), SavingError> {
        restore(&self.network, self.seed, &mut self.trainable, checkpoint)
    }
}

impl Session<'_> {
    /// Everything there is to know of the model, as [`Model::checkpoint`].
    pub fn checkpoint(&self) -> Checkpoint {
        checkpoint(self.graph, self.network, self.seed, self.clipping, self.trainable)
    }

    /// [`Model::restore`] in the middle of training.
    ///
    /// # Errors
    /// As there.
    pub fn restore_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), SavingError> {
        restore(self.network, self.seed, self.trainable, checkpoint)
    }
}

/// How a saved model was compiled.
struct Settings {
    seed: u64,
    losses: Vec<OutputLoss>,
    clipping: Clipping,
    optimizer: Optimizer,
}

impl Settings {
    fn of(checkpoint: &Checkpoint) -> Result<Self, SavingError> {
        let mut reader = checkpoint.reader(sections::SETTINGS)?;
        let seed = reader.u64()?;
        let mut losses = Vec::new();
        for _ in 0..reader.u64()? {
            let loss = take_loss(&mut reader)?;
            losses.push(OutputLoss { loss, weight: reader.f64()? as f32 });
        }
        let (clipping, optimizer) = (take_clipping(&mut reader)?, take_optimizer(&mut reader)?);
        reader.finish()?;
        Ok(Self { seed, losses, clipping, optimizer })
    }
}

/// How a saved model was asked to be measured: the number of an output, a metric of it.
fn metrics(checkpoint: &Checkpoint) -> Result<Vec<(u64, NamedMetric)>, SavingError> {
    let mut metrics = Vec::new();
    if checkpoint.get(sections::METRICS).is_none() {
        return Ok(metrics);
    }
    let mut reader = checkpoint.reader(sections::METRICS)?;
    for _ in 0..reader.u64()? {
        let output = reader.u64()?;
        let name = reader.text()?;
        let named = NamedMetric::from_name(name).map_err(ModelError::from)?;
        metrics.push((output, NamedMetric { metric: named.metric.with_parameter(reader.u64()?), ..named }));
    }
    reader.finish()?;
    Ok(metrics)
}

/// The sections of a model.
pub(super) fn checkpoint(graph: &Graph, network: &Lowered, seed: u64, clipping: Clipping, trainable: &Trainable) -> Checkpoint {
    let mut settings = SectionWriter::new();
    settings.put_u64(seed).put_u64(network.outputs.len() as u64);
    for output in &network.outputs {
        put_loss(&mut settings, output.loss);
        settings.put_f64(f64::from(output.weight));
    }
    put_clipping(&mut settings, clipping);
    put_optimizer(&mut settings, &trainable.optimizer);
    let mut progress = SectionWriter::new();
    let (steps, nadam) = trainable.progress.saved();
    progress.put_u64(steps).put_u64(trainable.epochs).put_u64(nadam.steps).put_f64(nadam.product);
    let tensors = |buffer: &[f32]| {
        let mut writer = SectionWriter::new();
        for tensor in &network.tensors {
            writer.put_f32s(&unpadded(tensor.region, buffer));
        }
        writer
    };
    let parameters = &trainable.parameters;
    let mut state = Vec::new();
    for kind in trainable.state.chunks_exact(parameters.len().max(1)) {
        state.extend_from_slice(&Vec::from(tensors(kind)));
    }
    let checkpoint = Checkpoint::new();
    let asked: Vec<_> =
        network.metrics.iter().enumerate().flat_map(|(output, own)| own.iter().map(move |own| (output, own))).collect();
    let checkpoint = if asked.is_empty() {
        checkpoint
    } else {
        let mut metrics = SectionWriter::new();
        metrics.put_u64(asked.len() as u64);
        for (output, NamedMetric { metric, name }) in asked {
            metrics.put_u64(output as u64).put_text(name).put_u64(metric.parameter());
        }
        checkpoint.section(sections::METRICS, metrics)
    };
    checkpoint
        .section(sections::ARCHITECTURE, graph.to_json())
        .section(sections::SETTINGS, settings)
        .section(sections::PROGRESS, progress)
        .section(sections::WEIGHTS, tensors(parameters))
        .section(sections::STATE, state)
}

/// Takes weights, optimizer state and progress from a checkpoint of the same network and kind of optimizer; all or nothing.
pub(super) fn restore(network: &Lowered, seed: u64, trainable: &mut Trainable, checkpoint: &Checkpoint) -> Result<(), SavingError> {
    let mut progress = checkpoint.reader(sections::PROGRESS)?;
    let (steps, epochs) = (progress.u64()?, progress.u64()?);
    let nadam = NadamProgress { steps: progress.u64()?, product: progress.f64()? };
    progress.finish()?;
    let Settings { optimizer, .. } = Settings::of(checkpoint)?;
    if optimizer.numbers_per_parameter() != trainable.optimizer.numbers_per_parameter() {
        return Err(ModelError::setting("optimizer", "that of the checkpoint", format!("{:?}", trainable.optimizer)).into());
    }
    let mut next = Trainable::new(network, optimizer, seed)?;
    next.progress = Progress::from_saved(steps, nadam);
    next.epochs = epochs;
    let read = |reader: &mut SectionReader<'_>, buffer: &mut [f32]| -> Result<(), CheckpointError> {
        for tensor in &network.tensors {
            let mut values = vec![0.0; tensor.elements()];
            reader.f32s_into(&mut values)?;
            tensor.set(buffer, &values);
        }
        Ok(())
    };
    let mut weights = checkpoint.reader(sections::WEIGHTS)?;
    read(&mut weights, &mut next.parameters)?;
    weights.finish()?;
    let mut state = checkpoint.reader(sections::STATE)?;
    let len = next.parameters.len();
    for kind in next.state.chunks_exact_mut(len.max(1)) {
        read(&mut state, kind)?;
    }
    state.finish()?;
    *trainable = next;
    Ok(())
}

/// The shape under which a tensor is saved: rows of biases and the like are vectors in Keras.
fn shape(name: &str, matrix: MatRef<'_>) -> Vec<usize> {
    if name.ends_with("/kernel") { vec![matrix.rows(), matrix.columns()] } else { vec![matrix.columns()] }
}

fn unpadded(region: Region, buffer: &[f32]) -> Vec<f32> {
    (0..region.rows).flat_map(|i| region.of(buffer).row(i)).copied().collect()
}

fn put_loss(writer: &mut SectionWriter, loss: Loss) {
    let (number, parameter) = match loss {
        Loss::SparseCategoricalCrossentropy { label_smoothing } => (0, label_smoothing),
        Loss::CategoricalCrossentropy { label_smoothing } => (1, label_smoothing),
        Loss::BinaryCrossentropy { label_smoothing } => (2, label_smoothing),
        Loss::MeanSquaredError => (3, 0.0),
        Loss::MeanAbsoluteError => (4, 0.0),
        Loss::Huber { delta } => (5, delta),
    };
    writer.put_u64(number).put_f64(f64::from(parameter));
}

fn take_loss(reader: &mut SectionReader<'_>) -> Result<Loss, SavingError> {
    let (number, parameter) = (reader.u64()?, reader.f64()? as f32);
    Ok(match number {
        0 => Loss::SparseCategoricalCrossentropy { label_smoothing: parameter },
        1 => Loss::CategoricalCrossentropy { label_smoothing: parameter },
        2 => Loss::BinaryCrossentropy { label_smoothing: parameter },
        3 => Loss::MeanSquaredError,
        4 => Loss::MeanAbsoluteError,
        5 => Loss::Huber { delta: parameter },
        found => return Err(SavingError::Unknown { what: "loss", found }),
    })
}

fn put_clipping(writer: &mut SectionWriter, clipping: Clipping) {
    let (number, limit) = match clipping {
        Clipping::None => (0, 0.0),
        Clipping::Value(limit) => (1, limit),
        Clipping::Norm(limit) => (2, limit),
        Clipping::GlobalNorm(limit) => (3, limit),
    };
    writer.put_u64(number).put_f64(f64::from(limit));
}

fn take_clipping(reader: &mut SectionReader<'_>) -> Result<Clipping, SavingError> {
    let (number, limit) = (reader.u64()?, reader.f64()? as f32);
    Ok(match number {
        0 => Clipping::None,
        1 => Clipping::Value(limit),
        2 => Clipping::Norm(limit),
        3 => Clipping::GlobalNorm(limit),
        found => return Err(SavingError::Unknown { what: "clipping", found }),
    })
}

fn put_optimizer(writer: &mut SectionWriter, optimizer: &Optimizer) {
    let rate = |rate: f32| f64::from(rate);
    match *optimizer {
        Optimizer::Sgd(Sgd { learning_rate, momentum, nesterov }) => {
            writer.put_u64(0).put_f64(rate(learning_rate)).put_f64(rate(momentum)).put_u64(u64::from(nesterov));
        }
        Optimizer::RmsProp(RmsProp { learning_rate, rho, momentum, epsilon, centered }) => {
            writer
                .put_u64(1)
                .put_f64(rate(learning_rate))
                .put_f64(rho)
                .put_f64(rate(momentum))
                .put_f64(epsilon)
                .put_u64(u64::from(centered));
        }
        Optimizer::Adam(Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, amsgrad }) => {
            writer.put_u64(2).put_f64(rate(learning_rate)).put_f64(beta_1).put_f64(beta_2).put_f64(epsilon);
            writer.put_u64(u64::from(weight_decay.is_some())).put_f64(weight_decay.unwrap_or(0.0)).put_u64(u64::from(amsgrad));
        }
        Optimizer::Nadam(Nadam { learning_rate, beta_1, beta_2, epsilon }) => {
            writer.put_u64(3).put_f64(rate(learning_rate)).put_f64(beta_1).put_f64(beta_2).put_f64(epsilon);
        }
    }
}

fn take_optimizer(reader: &mut SectionReader<'_>) -> Result<Optimizer, SavingError> {
    let number = reader.u64()?;
    let learning_rate = reader.f64()? as f32;
    Ok(match number {
        0 => Sgd { learning_rate, momentum: reader.f64()? as f32, nesterov: reader.u64()? != 0 }.into(),
        1 => {
            let (rho, momentum, epsilon) = (reader.f64()?, reader.f64()? as f32, reader.f64()?);
            RmsProp { learning_rate, rho, momentum, epsilon, centered: reader.u64()? != 0 }.into()
        }
        2 => {
            let (beta_1, beta_2, epsilon) = (reader.f64()?, reader.f64()?, reader.f64()?);
            let (decays, weight_decay) = (reader.u64()? != 0, reader.f64()?);
            let weight_decay = decays.then_some(weight_decay);
            Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, amsgrad: reader.u64()? != 0 }.into()
        }
        3 => Nadam { learning_rate, beta_1: reader.f64()?, beta_2: reader.f64()?, epsilon: reader.f64()? }.into(),
        found => return Err(SavingError::Unknown { what: "optimizer", found }),
    })
}
