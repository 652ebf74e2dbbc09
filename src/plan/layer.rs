//! [`Layer`]: a layer with its shapes and the places of its parameters.

use super::region::{Region, leading_dimension};
use super::spec::{Activation, LayerSpec, Operation, Penalty};
use crate::simd::LANES;

/// Where a value lies: in some columns of a matrix that may be shared with others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// The layer whose matrix it is.
    pub(super) root: usize,
    /// The first column.
    pub(super) column: usize,
}

impl Place {
    pub(super) const UNKNOWN: Self = Self { root: usize::MAX, column: 0 };

    pub(super) const fn is_unknown(&self) -> bool {
        self.root == usize::MAX
    }
}

/// An input of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// The number of columns.
    pub columns: usize,
    /// Elements of all inputs before this one that are gathered by themselves, per row of a minibatch.
    pub(super) before: usize,
    /// Where the input is gathered to, if it is part of a concatenation.
    pub(super) place: Option<Place>,
}

impl Input {
    /// Rows of `columns` elements.
    pub const fn new(columns: usize) -> Self {
        Self { columns, before: 0, place: None }
    }
}

/// A layer with its shapes and the places of its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// What was asked for.
    pub spec: LayerSpec,
    /// The number of inputs.
    pub in_dim: usize,
    /// The number of outputs.
    pub out_dim: usize,
    /// The weights of a product, `[in_dim, out_dim]`.
    pub kernel: Region,
    /// Its bias, `[1, out_dim]`.
    pub bias: Region,
    /// The learned deviation of a normalization, `[1, out_dim]`.
    pub gamma: Region,
    /// Its learned mean, `[1, out_dim]`.
    pub beta: Region,
    /// The mean that inference uses, `[1, out_dim]`; it follows those of the minibatches and has no gradient.
    pub moving_mean: Region,
    /// The variance that inference uses, `[1, out_dim]`; it follows those of the minibatches and has no gradient.
    pub moving_variance: Region,
    /// The slopes of a PReLU, `[1, out_dim]`.
    pub alpha: Region,
    /// Whether it or a layer before it has something to learn.
    pub(crate) learns: bool,
    /// Whether the network's outputs include its output.
    pub(crate) is_output: bool,
    /// How many layers take its output, one that takes it twice counted twice.
    pub(super) consumers: usize,
    /// Whether the only layer that takes its output is a product, which can then apply the mask of its ReLU to the gradient.
    pub(super) feeds_one_product: bool,
    pub(super) output: Place,
    pub(super) gradient: Place,
    /// Elements of all earlier layers' matrices of outputs, per row of a minibatch.
    pub(super) outputs_before: usize,
    /// Elements of all earlier layers' matrices of gradients, per row of a minibatch.
    pub(super) gradients_before: usize,
    /// Elements of all earlier layers' sums that training keeps, per row of a minibatch.
    pub(super) sums_before: usize,
    /// Words of all earlier layers' masks, per row of a minibatch.
    pub(super) words_before: usize,
    /// Elements of all earlier layers' statistics of a minibatch.
    pub(super) statistics_before: usize,
}

/// What an optimizer may change: a matrix of parameters and the penalty for its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// Its name in Keras: `kernel`, `bias`, `gamma`, `beta`, `alpha`, `moving_mean` or `moving_variance`.
    pub name: &'static str,
    /// Where it lies in the buffer of parameters.
    pub region: Region,
    /// The penalty.
    pub penalty: Penalty,
    /// Whether it has a gradient.
    pub trainable: bool,
}

/// How many tensors of a layer have gradients.
pub(crate) const LEARNED_TENSORS: usize = 5;

impl Layer {
    /// A layer that has not been arranged yet.
    pub const EMPTY: Self = Self {
        spec: LayerSpec::identity(),
        in_dim: 0,
        out_dim: 0,
        kernel: Region::NONE,
        bias: Region::NONE,
        gamma: Region::NONE,
        beta: Region::NONE,
        moving_mean: Region::NONE,
        moving_variance: Region::NONE,
        alpha: Region::NONE,
        learns: false,
        is_output: false,
        consumers: 0,
        feeds_one_product: false,
        output: Place::UNKNOWN,
        gradient: Place::UNKNOWN,
        outputs_before: 0,
        gradients_before: 0,
        sums_before: 0,
        words_before: 0,
        statistics_before: 0,
    };

    /// All tensors of parameters, in the order of the buffer; those that the layer does not have are empty.
    pub const fn tensors(&self) -> [Tensor; 7] {
        const fn tensor(name: &'static str, region: Region, penalty: Penalty, trainable: bool) -> Tensor {
            Tensor { name, region, penalty, trainable }
        }
        [
            tensor("kernel", self.kernel, self.spec.kernel_penalty, true),
            tensor("bias", self.bias, self.spec.bias_penalty, true),
            tensor("gamma", self.gamma, Penalty::NONE, true),
            tensor("beta", self.beta, Penalty::NONE, true),
            tensor("moving_mean", self.moving_mean, Penalty::NONE, false),
            tensor("moving_variance", self.moving_variance, Penalty::NONE, false),
            tensor("alpha", self.alpha, Penalty::NONE, true),
        ]
    }

    /// Those that have gradients: kernel, bias, gamma, beta and alpha.
    pub(crate) const fn learned_tensors(&self) -> [Tensor; LEARNED_TENSORS] {
        let [kernel, bias, gamma, beta, _, _, alpha] = self.tensors();
        [kernel, bias, gamma, beta, alpha]
    }

    /// The number of parameters that an optimizer changes.
    pub const fn parameter_count(&self) -> usize {
        let mut count = 0;
        let tensors = self.learned_tensors();
        let mut i = 0;
        while i < tensors.len() {
            count += tensors[i].region.rows * tensors[i].region.columns;
            i += 1;
        }
        count
    }

    /// The number of parameters that follow the minibatches: the moving statistics of a normalization.
    pub const fn moving_count(&self) -> usize {
        self.moving_mean.columns * self.moving_mean.rows + self.moving_variance.columns * self.moving_variance.rows
    }

    /// The elements of all of the layer's tensors.
    pub(crate) const fn range(&self) -> core::ops::Range<usize> {
        self.kernel.offset..self.end()
    }

    /// Index of the first element behind the layer's parameters.
    pub(crate) const fn end(&self) -> usize {
        self.alpha.end()
    }

    /// Whether the layer has a product.
    pub(crate) const fn is_product(&self) -> bool {
        matches!(self.spec.operation, Operation::Dense { .. })
    }

    /// Whether training keeps sums: what normalization, or an activation whose derivative needs it, was given, or the terms of a gradient
    /// by slopes.
    pub(crate) const fn keeps_sums(&self) -> bool {
        let of_product = self.is_product() && (self.spec.normalization.is_some() || self.spec.activation.keeps_sums());
        of_product || matches!(self.spec.activation, Activation::PRelu)
    }

    /// The distance from a row of sums to the next; 0 if they are not kept.
    pub(super) const fn sums_leading_dimension(&self) -> usize {
        if self.keeps_sums() { leading_dimension(self.out_dim) } else { 0 }
    }

    /// Whether a ReLU is computed together with its mask.
    pub(crate) const fn masks_relu(&self) -> bool {
        matches!(self.spec.activation, Activation::Relu) && (self.is_product() || self.spec.normalization.is_some())
    }

    /// Words of a row of the mask; 0 without a mask.
    pub(crate) const fn mask_words(&self) -> usize {
        if self.masks_relu() || self.spec.dropout.is_some() { self.out_dim.div_ceil(LANES) } else { 0 }
    }

    /// Whether the layer after this one applies the mask of this one's ReLU to the gradient that it passes back.
    pub(crate) const fn is_masked_on_arrival(&self) -> bool {
        self.feeds_one_product && self.masks_relu() && self.spec.normalization.is_none() && self.spec.dropout.is_none()
    }
}
