//! [`Trainable`]: what training changes.

use super::error::ModelError;
use super::graph::{Lowered, NamedTensor};
use super::optimizers::{Optimizer, Progress};
use crate::kernels::MatRef;
use crate::memory::Buffer;

/// Weights, optimizer, and how far training has come.
#[derive(Debug)]
pub(super) struct Trainable {
    pub(super) optimizer: Optimizer,
    pub(super) progress: Progress,
    /// Epochs trained so far, over all calls of `fit`.
    pub(super) epochs: u64,
    pub(super) parameters: Buffer,
    pub(super) state: Buffer,
}

impl Trainable {
    pub(super) fn new(network: &Lowered, optimizer: Optimizer, seed: u64) -> Result<Self, ModelError> {
        let len = network.network().layers().last().map_or(0, crate::plan::Layer::end);
        let mut parameters = Buffer::zeros(len);
        for tensor in &network.tensors {
            tensor.initialize(&mut parameters, seed)?;
        }
        let state = Buffer::zeros(len * optimizer.numbers_per_parameter());
        Ok(Self { optimizer, progress: Progress::default(), epochs: 0, parameters, state })
    }

    /// The tensors of parameters, each with its name.
    pub(super) fn weights<'a>(&'a self, network: &'a Lowered) -> impl Iterator<Item = (&'a str, MatRef<'a>)> {
        network.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.region.of(&self.parameters)))
    }

    /// Replaces all parameters, without padding.
    pub(super) fn set_weights(&mut self, network: &Lowered, weights: &[f32]) -> Result<(), ModelError> {
        let expected: usize = network.tensors.iter().map(NamedTensor::elements).sum();
        if weights.len() != expected {
            return Err(ModelError::WeightCount { expected, found: weights.len() });
        }
        let mut rest = weights;
        for tensor in &network.tensors {
            let (values, more) = rest.split_at(tensor.elements());
            tensor.set(&mut self.parameters, values);
            rest = more;
        }
        Ok(())
    }
}
