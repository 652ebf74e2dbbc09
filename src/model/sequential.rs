//! [`Sequential`]: layers one after the other.

use super::error::ModelError;
use super::layers::Layer;
use super::model::{Compile, Model};
use super::summary::{Row, Summary};
use crate::plan;

/// A network of layers one after the other, before it has weights.
///
/// ```
/// use selvedge::model::{Activation, Compile, Dense, Flatten, Sequential, Sgd};
///
/// let network = Sequential::new(&[28, 28])
///     .add(Flatten)
///     .add(Dense::new(300).activation(Activation::Relu))
///     .add(Dense::new(100).activation(Activation::Relu))
///     .add(Dense::new(10).activation(Activation::Softmax));
/// println!("{}", network.summary()?);
/// let model = network.compile(Compile::new(Sgd::default()))?;
/// # let _ = model;
/// # Ok::<(), selvedge::model::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sequential {
    name: String,
    input_shape: Vec<usize>,
    layers: Vec<Layer>,
}

/// A dense layer ready to be given weights.
pub(super) struct PlannedDense<'a> {
    pub(super) name: String,
    pub(super) layer: &'a super::layers::Dense,
    pub(super) planned: plan::Layer,
}

impl Sequential {
    /// A network without layers, for inputs of the given shape.
    pub fn new(input_shape: &[usize]) -> Self {
        Self { name: "sequential".into(), input_shape: input_shape.to_vec(), layers: Vec::new() }
    }

    /// Adds a layer at the end.
    #[allow(clippy::should_implement_trait, reason = "Keras' name")]
    pub fn add(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Names the network; otherwise it is `sequential`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The names of the layers, made as Keras makes them: the class in snake case, numbered from the second of a class on.
    pub fn layer_names(&self) -> Vec<String> {
        self.layers
            .iter()
            .enumerate()
            .map(|(i, layer)| {
                let base = layer.base_name();
                match self.layers[..i].iter().filter(|earlier| earlier.base_name() == base).count() {
                    0 => base.into(),
                    count => format!("{base}_{count}"),
                }
            })
            .collect()
    }

    /// The table of layers, output shapes and parameter counts, as Keras prints it.
    ///
    /// # Errors
    /// As [`Sequential::compile`] for the layers.
    pub fn summary(&self) -> Result<Summary, ModelError> {
        let dense = self.planned()?;
        let mut shape = self.input_shape.clone();
        let mut rows = Vec::with_capacity(self.layers.len());
        let mut next = dense.iter();
        for (layer, name) in self.layers.iter().zip(self.layer_names()) {
            let mut parameters = 0;
            match layer {
                Layer::Flatten(_) => shape = vec![shape.iter().product()],
                Layer::Dense(dense) => {
                    shape = vec![dense.units];
                    parameters = next.next().map_or(0, |dense| dense.planned.parameter_count());
                }
            }
            rows.push(Row { name, class: layer.class_name(), output_shape: shape.clone(), parameters });
        }
        Ok(Summary::new(self.name.clone(), rows))
    }

    /// Gives the network weights, an optimizer and threads.
    ///
    /// # Errors
    /// If the layers do not fit together, a setting is outside of its range, or the threads cannot be started.
    pub fn compile(&self, settings: Compile) -> Result<Model, ModelError> {
        Model::new(self, settings)
    }

    /// The dense layers with their shapes and the places of their parameters.
    pub(super) fn planned(&self) -> Result<Vec<PlannedDense<'_>>, ModelError> {
        let mut planned: Vec<PlannedDense<'_>> = Vec::new();
        let in_dim = self.input_shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let in_dim = in_dim
            .ok_or_else(|| ModelError::setting("input_shape", "a size that fits into memory", format!("{:?}", self.input_shape)))?;
        let mut flat = self.input_shape.len() == 1;
        for (layer, name) in self.layers.iter().zip(self.layer_names()) {
            let layer = match layer {
                Layer::Flatten(_) => {
                    flat = true;
                    continue;
                }
                Layer::Dense(layer) => layer,
            };
            if !flat {
                return Err(ModelError::NotFlat { layer: name, found: self.input_shape.clone() });
            }
            let place = match planned.last() {
                None => plan::Layer::first(in_dim, layer.spec())?,
                Some(last) => last.planned.next(planned.len(), layer.spec())?,
            };
            planned.push(PlannedDense { name, layer, planned: place });
        }
        if planned.is_empty() {
            return Err(crate::error::PlanError::NoLayers.into());
        }
        Ok(planned)
    }
}
