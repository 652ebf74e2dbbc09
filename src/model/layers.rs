//! Layers, with the names and defaults of Keras.

use super::initializers::Initializer;
use crate::plan;
pub use crate::plan::Activation;

/// A layer of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Layer {
    /// Makes rows out of whatever shape the input has.
    Flatten(Flatten),
    /// `y = activation(x W + b)`
    Dense(Dense),
}

impl Layer {
    /// The name of the layer's class.
    pub fn class_name(&self) -> &'static str {
        match self {
            Self::Flatten(_) => "Flatten",
            Self::Dense(_) => "Dense",
        }
    }

    /// The class in lower case, from which names are made.
    pub(super) fn base_name(&self) -> &'static str {
        match self {
            Self::Flatten(_) => "flatten",
            Self::Dense(_) => "dense",
        }
    }
}

impl From<Flatten> for Layer {
    fn from(layer: Flatten) -> Self {
        Self::Flatten(layer)
    }
}

impl From<Dense> for Layer {
    fn from(layer: Dense) -> Self {
        Self::Dense(layer)
    }
}

/// Makes rows out of whatever shape the input has: 28 x 28 becomes 784. Rows are stored flat already, so this costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flatten;

/// A dense layer: `y = activation(x W + b)` with `W` of shape `[in_dim, units]`.
///
/// ```
/// use selvedge::model::{Activation, Dense, Initializer};
///
/// let layer = Dense::new(300).activation(Activation::Relu).kernel_initializer(Initializer::HeNormal);
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    pub(super) units: usize,
    pub(super) activation: Activation,
    pub(super) kernel_initializer: Initializer,
    pub(super) bias_initializer: Initializer,
}

impl Dense {
    /// A layer of `units` outputs: linear, Glorot-uniform weights, biases zero.
    pub fn new(units: usize) -> Self {
        Self {
            units,
            activation: Activation::Linear,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }

    /// Sets the activation.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets how the weights start.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// Sets how the biases start.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    pub(super) fn spec(&self) -> plan::Dense {
        plan::Dense::new(self.units, self.activation)
    }
}
