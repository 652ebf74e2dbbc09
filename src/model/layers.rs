//! Layers, with the names and defaults of Keras.

use super::initializers::Initializer;
pub use crate::plan::Activation;
use crate::plan::{BatchNorm, Penalty};

/// A layer of a model, with a name of its own or one that the model makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
    pub(super) trainable: bool,
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Flatten,
    Dense(Dense),
    Activation(Activation),
    LeakyRelu(LeakyRelu),
    PRelu(PRelu),
    BatchNormalization(BatchNormalization),
    Dropout(Dropout),
    AlphaDropout(AlphaDropout),
    Concatenate,
    Add,
}

impl Layer {
    /// Names the layer; otherwise the model makes a name from its class.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether training changes its parameters; it does by default. A layer that is not trainable passes gradients on and has no
    /// penalty. A batch normalization, which would have to use its moving statistics in training, is refused when the network is
    /// compiled.
    ///
    /// ```
    /// use selvedge::model::{Activation, Adam, Compile, Dense, Sequential};
    ///
    /// // What was learned elsewhere stays as it is; a new head is trained on it.
    /// let network = Sequential::new(&[8])
    ///     .add(Dense::new(16).activation(Activation::Relu).name("learned").trainable(false))
    ///     .add(Dense::new(3).activation(Activation::Softmax).name("head"));
    /// assert_eq!((network.summary()?.trainable(), network.summary()?.non_trainable()), (16 * 3 + 3, 8 * 16 + 16));
    /// # Ok::<(), selvedge::model::ModelError>(())
    /// ```
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.trainable = trainable;
        self
    }

    /// The name of the layer's class.
    pub fn class_name(&self) -> &'static str {
        match self.kind {
            Kind::Flatten => "Flatten",
            Kind::Dense(_) => "Dense",
            Kind::Activation(_) => "Activation",
            Kind::LeakyRelu(_) => "LeakyReLU",
            Kind::PRelu(_) => "PReLU",
            Kind::BatchNormalization(_) => "BatchNormalization",
            Kind::Dropout(_) => "Dropout",
            Kind::AlphaDropout(_) => "AlphaDropout",
            Kind::Concatenate => "Concatenate",
            Kind::Add => "Add",
        }
    }

    /// The class in snake case, as Keras turns it, from which names are made.
    pub(super) fn base_name(&self) -> &'static str {
        match self.kind {
            Kind::Flatten => "flatten",
            Kind::Dense(_) => "dense",
            Kind::Activation(_) => "activation",
            Kind::LeakyRelu(_) => "leaky_re_lu",
            Kind::PRelu(_) => "p_re_lu",
            Kind::BatchNormalization(_) => "batch_normalization",
            Kind::Dropout(_) => "dropout",
            Kind::AlphaDropout(_) => "alpha_dropout",
            Kind::Concatenate => "concatenate",
            Kind::Add => "add",
        }
    }
}

/// `Layer` from each class, and a name for each on the way.
macro_rules! layer {
    ($($class:ident => $kind:expr;)+) => {$(
        impl From<$class> for Layer {
            fn from(layer: $class) -> Self {
                Self { kind: $kind(layer), name: None, trainable: true }
            }
        }

        impl $class {
            /// The layer with a name; otherwise the model makes one from its class.
            pub fn name(self, name: &str) -> Layer {
                Layer::from(self).name(name)
            }

            /// The layer with parameters that training leaves as they are, or changes: [`Layer::trainable`].
            pub fn trainable(self, trainable: bool) -> Layer {
                Layer::from(self).trainable(trainable)
            }
        }
    )+};
}

layer! {
    Flatten => |_| Kind::Flatten;
    Dense => Kind::Dense;
    LeakyRelu => Kind::LeakyRelu;
    PRelu => Kind::PRelu;
    BatchNormalization => Kind::BatchNormalization;
    Dropout => Kind::Dropout;
    AlphaDropout => Kind::AlphaDropout;
    Concatenate => |_| Kind::Concatenate;
    Add => |_| Kind::Add;
}

/// An activation as a layer of its own.
impl From<Activation> for Layer {
    fn from(activation: Activation) -> Self {
        Self { kind: Kind::Activation(activation), name: None, trainable: true }
    }
}

/// Makes rows out of whatever shape the input has: 28 x 28 becomes 784. Rows are stored flat already, so this costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flatten;

/// Puts the columns of several values beside each other. Each value is computed where it belongs, so this costs nothing where that can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Concatenate;

/// Adds several values of the same width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Add;

/// A penalty for the size of weights, added to the loss: `l1 sum of abs(w) + l2 sum of w^2`, as in Keras without a half.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Regularizer {
    /// The factor of the absolute values.
    pub l1: f32,
    /// The factor of the squares.
    pub l2: f32,
}

impl Regularizer {
    /// `l1 sum of abs(w)`; Keras' default factor is 0.01.
    pub const fn l1(l1: f32) -> Self {
        Self { l1, l2: 0.0 }
    }

    /// `l2 sum of w^2`; Keras' default factor is 0.01.
    pub const fn l2(l2: f32) -> Self {
        Self { l1: 0.0, l2 }
    }

    /// Both.
    pub const fn l1_l2(l1: f32, l2: f32) -> Self {
        Self { l1, l2 }
    }

    pub(super) fn penalty(self) -> Penalty {
        Penalty { l1: self.l1, l2: self.l2 }
    }

    /// The factor that makes no sense.
    pub(super) fn invalid_factor(self) -> Option<f32> {
        [self.l1, self.l2].into_iter().find(|factor| !(factor.is_finite() && *factor >= 0.0))
    }
}

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
    pub(super) use_bias: bool,
    pub(super) kernel_initializer: Initializer,
    pub(super) bias_initializer: Initializer,
    pub(super) kernel_regularizer: Regularizer,
    pub(super) bias_regularizer: Regularizer,
}

impl Dense {
    /// A layer of `units` outputs: linear, with a bias, Glorot-uniform weights, biases zero, no penalties.
    pub fn new(units: usize) -> Self {
        Self {
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            kernel_regularizer: Regularizer::default(),
            bias_regularizer: Regularizer::default(),
        }
    }

    /// Sets the activation.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets whether there is a bias. In front of a batch normalization it would be useless.
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
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

    /// Sets the penalty of the weights.
    pub fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel_regularizer = regularizer;
        self
    }

    /// Sets the penalty of the biases.
    pub fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias_regularizer = regularizer;
        self
    }
}

/// ReLU with a fixed slope for negative values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakyRelu {
    /// The slope, at least 0. The layer's default in Keras is 0.3, the activation's 0.2.
    pub negative_slope: f32,
}

impl Default for LeakyRelu {
    fn default() -> Self {
        Self { negative_slope: 0.3 }
    }
}

/// ReLU with a slope for negative values that is learned, one for each column.
#[derive(Clone, Debug, PartialEq)]
pub struct PRelu {
    /// How the slopes start; zeros by default.
    pub alpha_initializer: Initializer,
}

impl Default for PRelu {
    fn default() -> Self {
        Self { alpha_initializer: Initializer::Zeros }
    }
}

/// Batch normalization: in training each column of a minibatch is brought to mean 0 and variance 1, in inference by the moving statistics of
/// training; then to a learned mean and deviation, which start as 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormalization {
    /// The share of the moving statistics that a step keeps, from 0 to 1; 0.99 by default.
    pub momentum: f64,
    /// What is added to the variance; 0.001 by default.
    pub epsilon: f32,
}

impl Default for BatchNormalization {
    fn default() -> Self {
        let BatchNorm { epsilon, momentum } = BatchNorm::KERAS;
        Self { momentum, epsilon }
    }
}

/// Dropout: in training each element becomes 0 with probability `rate`, and the others are divided by `1 - rate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// From 0 to 1.
    pub rate: f64,
}

impl Dropout {
    /// Dropout of a rate.
    pub const fn new(rate: f64) -> Self {
        Self { rate }
    }
}

/// Alpha dropout, which keeps mean and variance of what SELU gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlphaDropout {
    /// From 0 to below 1.
    pub rate: f64,
}

impl AlphaDropout {
    /// Alpha dropout of a rate.
    pub const fn new(rate: f64) -> Self {
        Self { rate }
    }
}
