//! From what layers are asked for to what they look like: shapes, parameter counts and the places of their parameters.

use super::Region;
use super::region::leading_dimension;
use crate::error::PlanError;
use crate::simd::LANES;

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
    /// `y[j] = exp(z[j]) / sum over k of exp(z[k])`; of the last layer only, where training fuses it with the cross-entropy.
    Softmax,
}

impl Activation {
    /// Whether the derivative needs `z`, so that training keeps it.
    pub(super) const fn keeps_sums(self) -> bool {
        matches!(self, Self::Gelu | Self::GeluTanh | Self::Swish)
    }

    /// The parameter that is out of its range: not a finite number of at least 0.
    const fn invalid_parameter(self) -> Option<(&'static str, f32)> {
        match self {
            Self::LeakyRelu { slope } if !(slope >= 0.0 && slope.is_finite()) => Some(("slope", slope)),
            Self::Elu { alpha } if !(alpha >= 0.0 && alpha.is_finite()) => Some(("alpha", alpha)),
            _ => None,
        }
    }
}

/// A dense layer that is asked for: `y = activation(x W + b)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dense {
    /// The number of outputs.
    pub units: usize,
    /// What follows the weighted sum.
    pub activation: Activation,
}

impl Dense {
    /// A layer of `units` outputs.
    pub const fn new(units: usize, activation: Activation) -> Self {
        Self { units, activation }
    }
}

/// A dense layer with its place in the network and in the buffer of parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// The number of inputs.
    pub in_dim: usize,
    /// The number of outputs.
    pub out_dim: usize,
    /// What follows the weighted sum.
    pub activation: Activation,
    /// The weights, `[in_dim, out_dim]`.
    pub kernel: Region,
    /// The bias, `[1, out_dim]`.
    pub bias: Region,
    /// Elements of all earlier layers' outputs, per row of a minibatch.
    pub(super) outputs_before: usize,
    /// Elements of all earlier layers' weighted sums that training keeps, per row of a minibatch.
    pub(super) sums_before: usize,
    /// Words of all earlier layers' masks, per row of a minibatch.
    pub(super) words_before: usize,
}

impl Layer {
    const NONE: Self = Self {
        in_dim: 0,
        out_dim: 0,
        activation: Activation::Linear,
        kernel: Region::new(0, 0, 0),
        bias: Region::new(0, 0, 0),
        outputs_before: 0,
        sums_before: 0,
        words_before: 0,
    };

    /// The first layer of a network of `in_dim` inputs.
    ///
    /// # Errors
    /// [`PlanError::Empty`] if there are no inputs or no units, [`PlanError::TooLarge`] if the parameters cannot be counted.
    pub const fn first(in_dim: usize, spec: Dense) -> Result<Self, PlanError> {
        Self { out_dim: in_dim, ..Self::NONE }.followed_by(0, spec)
    }

    /// The layer that follows this one, which is number `index`.
    ///
    /// # Errors
    /// As [`Layer::first`], and [`PlanError::SoftmaxInside`] if this layer is a softmax, which nothing may follow.
    pub const fn next(&self, index: usize, spec: Dense) -> Result<Self, PlanError> {
        if matches!(self.activation, Activation::Softmax) {
            return Err(PlanError::SoftmaxInside { layer: index - 1 });
        }
        self.followed_by(index, spec)
    }

    const fn followed_by(&self, layer: usize, spec: Dense) -> Result<Self, PlanError> {
        let (in_dim, out_dim) = (self.out_dim, spec.units);
        let offset = self.bias.end();
        // What comes before the first layer has inputs for outputs, which are kept elsewhere.
        let width = if self.in_dim == 0 { 0 } else { self.output_leading_dimension() };
        let outputs_before = self.outputs_before + width;
        let sums_before = self.sums_before + self.sums_leading_dimension();
        let words_before = self.words_before + self.mask_words();
        if in_dim == 0 || out_dim == 0 {
            return Err(PlanError::Empty { layer, in_dim, out_dim });
        }
        if let Some((name, found)) = spec.activation.invalid_parameter() {
            return Err(PlanError::Parameter { layer, name, found });
        }
        // One limit for all sizes, far below where a product of two of them could overflow.
        const LIMIT: usize = isize::MAX as usize / 64;
        if in_dim > LIMIT || out_dim > LIMIT {
            return Err(PlanError::TooLarge { layer, in_dim, out_dim });
        }
        let elements = match in_dim.checked_add(1) {
            Some(rows) => rows.checked_mul(leading_dimension(out_dim)),
            None => None,
        };
        match elements {
            Some(elements) if elements <= LIMIT && offset <= LIMIT && outputs_before <= LIMIT => {}
            _ => return Err(PlanError::TooLarge { layer, in_dim, out_dim }),
        }
        let kernel = Region::new(offset, in_dim, out_dim);
        let bias = Region::new(kernel.end(), 1, out_dim);
        Ok(Self { in_dim, out_dim, activation: spec.activation, kernel, bias, outputs_before, sums_before, words_before })
    }

    /// The number of parameters: `in_dim * out_dim + out_dim`.
    pub const fn parameter_count(&self) -> usize {
        self.in_dim * self.out_dim + self.out_dim
    }

    /// The distance from a row of outputs to the next.
    pub(super) const fn output_leading_dimension(&self) -> usize {
        leading_dimension(self.out_dim)
    }

    /// The distance from a row of weighted sums to the next; 0 if they are not kept.
    pub(super) const fn sums_leading_dimension(&self) -> usize {
        if self.activation.keeps_sums() { leading_dimension(self.out_dim) } else { 0 }
    }

    /// Words of a row of the mask; 0 without a mask.
    pub(super) const fn mask_words(&self) -> usize {
        if matches!(self.activation, Activation::Relu) { self.out_dim.div_ceil(LANES) } else { 0 }
    }
}

/// The layers of a network of `in_dim` inputs, each of which takes the outputs of the one before.
///
/// This can be evaluated in a constant, so that buffers of exactly the right size can be statics.
///
/// # Panics
/// Where [`Layer::first`] and [`Layer::next`] give errors, and if there are no layers; in a constant that is a compile error.
pub const fn sequential<const N: usize>(in_dim: usize, specs: [Dense; N]) -> [Layer; N] {
    assert!(N > 0, "at least 1 layer expected, found 0");
    let mut layers = [Layer::NONE; N];
    let mut i = 0;
    while i < N {
        let layer = if i == 0 { Layer::first(in_dim, specs[0]) } else { layers[i - 1].next(i, specs[i]) };
        layers[i] = match layer {
            Ok(layer) => layer,
            Err(PlanError::SoftmaxInside { .. }) => panic!("softmax is for the last layer only"),
            Err(PlanError::Parameter { .. }) => panic!("an activation's parameter is not a finite number of at least 0"),
            Err(_) => panic!("a layer has no inputs, no outputs or too many"),
        };
        i += 1;
    }
    layers
}
