//! What layers are asked for.

/// What follows the weighted sum `z` of a dense layer; formulas are in [`kernels::activations`](crate::kernels::activations).
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `y = z`
    #[default]
    Linear,
    /// `y = z` unless `z <= 0`, else 0; computed with its mask while the sum is in registers.
    Relu,
    /// ReLU with a slope for negative sums.
    LeakyRelu {
        /// The slope, at least 0. Keras: 0.2 as an activation, 0.3 as a layer.
        slope: f32,
    },
    /// Exponential below zero.
    Elu {
        /// The limit at negative infinity, negated; at least 0. Keras: 1.
        alpha: f32,
    },
    /// The self-normalizing ELU.
    Selu,
    /// `z` times the share of a normal distribution below it.
    Gelu,
    /// GELU by its approximation with a hyperbolic tangent.
    GeluTanh,
    /// `z` times its sigmoid, also called SiLU.
    Swish,
    /// The smooth ReLU.
    Softplus,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// 0 or 1. Its derivative is 0 everywhere, so the layer and those before it cannot learn.
    Heaviside,
    /// -1, 0 or 1. Its derivative is 0 everywhere, so the layer and those before it cannot learn.
    Sign,
    /// ReLU with a slope for negative sums that is learned, one for each output.
    PRelu,
    /// `y[j] = exp(z[j]) / sum over k of exp(z[k])`; of outputs of the network only, where training fuses it with the cross-entropy.
    Softmax,
}

impl Activation {
    /// Whether the derivative needs `z`, so that training keeps it.
    pub(crate) const fn keeps_sums(self) -> bool {
        matches!(self, Self::Gelu | Self::GeluTanh | Self::Swish | Self::PRelu)
    }

    /// The parameter that is out of its range: not a finite number of at least 0.
    pub(super) const fn invalid_parameter(self) -> Option<(&'static str, f32)> {
        match self {
            Self::LeakyRelu { slope } if !(slope >= 0.0 && slope.is_finite()) => Some(("slope", slope)),
            Self::Elu { alpha } if !(alpha >= 0.0 && alpha.is_finite()) => Some(("alpha", alpha)),
            _ => None,
        }
    }
}

/// Something that a layer can take for its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// An input of the network, by number.
    Input(usize),
    /// The output of a layer, by number; layers take outputs of earlier ones only, so there are no cycles.
    Layer(usize),
}

/// What a layer does first with its input `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// `z = x W + b`
    Dense {
        /// The number of outputs.
        units: usize,
        /// Whether there is a `b`; without, `z = x W`.
        use_bias: bool,
    },
    /// `z = x`, for a normalization, an activation or a dropout of its own.
    Identity,
    /// The columns of `x`, then those of another value. Nothing else may follow in the same layer.
    Concatenate(Value),
    /// `x` plus another value of the same width. Nothing else may follow in the same layer.
    Add(Value),
}

/// Batch normalization; formulas are in [`kernels::norm`](crate::kernels::norm).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// What is added to a variance.
    pub epsilon: f32,
    /// The share of the moving statistics that a step keeps.
    pub momentum: f64,
}

impl BatchNorm {
    /// What Keras does: epsilon 0.001, momentum 0.99.
    pub const KERAS: Self = Self { epsilon: crate::kernels::norm::EPSILON, momentum: crate::kernels::norm::MOMENTUM };
}

/// Dropout, by the probability of an element to be dropped; formulas are in [`kernels::dropout`](crate::kernels::dropout).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dropout {
    /// Dropped elements become 0; the rate is from 0 to 1.
    Plain(f64),
    /// Mean and variance of what a SELU gives are kept; the rate is from 0 to below 1.
    Alpha(f64),
}

impl Dropout {
    pub(super) const fn invalid_rate(self) -> Option<f64> {
        match self {
            Self::Plain(rate) if !(rate >= 0.0 && rate <= 1.0) => Some(rate),
            Self::Alpha(rate) if !(rate >= 0.0 && rate < 1.0) => Some(rate),
            _ => None,
        }
    }
}

/// What is added to the loss for the size of weights: `l1 sum of abs(w) + l2 sum of w^2`, as in Keras without a half.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Penalty {
    /// The factor of the absolute values.
    pub l1: f32,
    /// The factor of the squares.
    pub l2: f32,
}

impl Penalty {
    /// No penalty.
    pub const NONE: Self = Self { l1: 0.0, l2: 0.0 };

    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.l1 == 0.0 && self.l2 == 0.0
    }
}

/// A layer that is asked for: an operation, then normalization, activation and dropout, each of which may be missing.
///
/// All of it is one layer of a plan where one pass over memory does all of it; the parts can as well be layers of their own, with the
/// same results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerSpec {
    /// What the layer takes.
    pub input: Value,
    /// What it does first.
    pub operation: Operation,
    /// Whether and how columns are normalized.
    pub normalization: Option<BatchNorm>,
    /// What follows.
    pub activation: Activation,
    /// Whether and how elements are dropped in training. Behind a product or a normalization only with ReLU or no activation
    /// between them: other derivatives need what the dropout destroys, so there it is a layer of its own.
    pub dropout: Option<Dropout>,
    /// The penalty of the weights of a product.
    pub kernel_penalty: Penalty,
    /// The penalty of its bias.
    pub bias_penalty: Penalty,
}

impl LayerSpec {
    /// A layer of input 0 that does nothing.
    pub const fn identity() -> Self {
        Self {
            input: Value::Input(0),
            operation: Operation::Identity,
            normalization: None,
            activation: Activation::Linear,
            dropout: None,
            kernel_penalty: Penalty::NONE,
            bias_penalty: Penalty::NONE,
        }
    }

    /// `activation(x W + b)` with `units` outputs.
    pub const fn dense(units: usize, activation: Activation) -> Self {
        Self { operation: Operation::Dense { units, use_bias: true }, activation, ..Self::identity() }
    }

    /// Takes this value.
    pub const fn of(self, input: Value) -> Self {
        Self { input, ..self }
    }

    /// Leaves out the bias of a product.
    pub const fn without_bias(self) -> Self {
        match self.operation {
            Operation::Dense { units, .. } => Self { operation: Operation::Dense { units, use_bias: false }, ..self },
            _ => self,
        }
    }

    /// Normalizes before the activation.
    pub const fn batch_norm(self, normalization: BatchNorm) -> Self {
        Self { normalization: Some(normalization), ..self }
    }

    /// Drops elements at the end.
    pub const fn dropout(self, dropout: Dropout) -> Self {
        Self { dropout: Some(dropout), ..self }
    }

    /// Penalizes the weights of a product.
    pub const fn kernel_penalty(self, kernel_penalty: Penalty) -> Self {
        Self { kernel_penalty, ..self }
    }
}

/// What is to become small: the mean over the rows of one of these; formulas are in [`kernels::loss`](crate::kernels::loss).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// Softmax cross-entropy with the number of a class as target. Takes the outputs for logits, unless they come from a softmax.
    SparseCategoricalCrossentropy {
        /// How much of the target is spread evenly over all classes.
        label_smoothing: f32,
    },
    /// Softmax cross-entropy with a probability for each class as target. Takes the outputs for logits, unless they come from a softmax.
    CategoricalCrossentropy {
        /// How much of the target is spread evenly over all classes.
        label_smoothing: f32,
    },
    /// Sigmoid cross-entropy of each output by itself. Takes the outputs for logits, unless they come from a sigmoid.
    BinaryCrossentropy {
        /// How far targets are moved towards 1/2.
        label_smoothing: f32,
    },
    /// The mean square of differences.
    MeanSquaredError,
    /// The mean absolute difference.
    MeanAbsoluteError,
    /// Square near zero, linear from `delta` on.
    Huber {
        /// Where it becomes linear.
        delta: f32,
    },
}

impl Loss {
    /// Whether targets are numbers of classes, rather than rows of numbers.
    pub const fn takes_labels(self) -> bool {
        matches!(self, Self::SparseCategoricalCrossentropy { .. })
    }

    /// Of how many elements of a row with this many columns it can be said that they are right: one where a class is chosen, all of the binary
    /// cross-entropy, none of the others.
    pub const fn elements_that_can_be_right(self, columns: usize) -> usize {
        match self {
            Self::SparseCategoricalCrossentropy { .. } | Self::CategoricalCrossentropy { .. } => 1,
            Self::BinaryCrossentropy { .. } => columns,
            _ => 0,
        }
    }

    /// Whether loss and activation are computed as one, from the values in front of the activation.
    pub(super) const fn contains(self, activation: Activation) -> bool {
        match self {
            Self::SparseCategoricalCrossentropy { .. } | Self::CategoricalCrossentropy { .. } => {
                matches!(activation, Activation::Softmax)
            }
            Self::BinaryCrossentropy { .. } => matches!(activation, Activation::Sigmoid),
            _ => false,
        }
    }
}

/// An output of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// The layer whose output it is.
    pub layer: usize,
    /// What is to become small.
    pub loss: Loss,
    /// The factor of this loss in the sum of all.
    pub weight: f32,
}

impl Output {
    /// The output of a layer, with the sparse categorical cross-entropy and weight 1.
    pub const fn of(layer: usize) -> Self {
        Self { layer, loss: Loss::SparseCategoricalCrossentropy { label_smoothing: 0.0 }, weight: 1.0 }
    }
}
