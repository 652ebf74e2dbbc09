//! Where: all sizes and offsets, computed once, also in a constant.
//!
//! A [`Plan`] says how many elements each buffer needs and what lies where in it:
//!
//! | buffer | contents | elements |
//! |---|---|---|
//! | parameters | per layer, as far as it has them: kernel, bias, gamma, beta, moving mean and variance, alpha | [`Plan::parameters_len`] |
//! | optimizer state | as many copies of the parameters' layout as the optimizer has numbers per parameter | [`Plan::state_len`] |
//! | workspace | a block for each part of a run: its rows of everything below; then the statistics of normalizations; then sums of squares of gradients | [`Plan::workspace_len`] |
//!
//! A block of the workspace for training holds, for the part's rows of the minibatch: the gathered inputs, the outputs of all layers,
//! the gradients by them, the losses, the gathered targets, the masks of ReLU and dropout, the sums that a normalization or a derivative needs, and scratch for
//! transposes. One for inference holds the inputs, the outputs (in two buffers that take turns, if each layer takes the output of the
//! one before), losses and targets. Each part writes to its own block only, so parts share no cache line.
//!
//! The parts of a concatenation are computed where they belong in it, so it costs nothing where that can be; see [`arrange`].
//!
//! ```
//! use selvedge::plan::{Activation, Chain, LayerSpec, Plan, sequential};
//!
//! static CHAIN: Chain<2> = sequential(4, [LayerSpec::dense(8, Activation::Relu), LayerSpec::dense(3, Activation::Softmax)]);
//! static PLAN: Plan<'static> = Plan::training(CHAIN.network(), 32, 1);
//! static WORKSPACE: [f32; PLAN.workspace_len()] = [0.0; PLAN.workspace_len()];
//! assert_eq!(PLAN.parameter_count(), (4 * 8 + 8) + (8 * 3 + 3));
//! println!("{PLAN}");
//! ```

mod buffers;
mod display;
mod layer;
mod network;
mod region;
mod spec;

pub use buffers::{Aligned, Memory};
pub(crate) use buffers::{Block, BlockRef, Statistics, read_and_write};
pub(crate) use layer::LEARNED_TENSORS;
pub use layer::{Input, Layer, Tensor};
#[cfg(feature = "model")]
pub(crate) use network::misplaced;
pub(crate) use network::other_input;
pub use network::{Chain, MAX_INPUTS, MAX_OUTPUTS, Network, arrange, sequential};
pub use region::{Region, leading_dimension};
pub use spec::{Activation, BatchNorm, Dropout, LayerSpec, Loss, Operation, Output, Penalty, Value};

use crate::kernels::reduce::MICRO_SHARD;
use crate::parallel::MAX_PARTS;
use crate::simd::{LANES, round_up_to_lanes};
use core::ops::Range;
use layer::Place;
use network::STATISTICS;

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward, backward and update.
    Training,
    /// Forward only.
    Inference,
}

/// How many floating-point operations a part should have to do at least, for [`Plan::useful_parts`].
const OPERATIONS_PER_PART: usize = 1_000_000;

/// The sizes and places of everything that a network needs for minibatches of up to `batch` rows in `parts` parts.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    network: Network<'a>,
    sizes: Sizes,
}

/// All that a plan says, but for what is in the network itself: how many elements there are of each kind. A step on a small network takes less time
/// than to count them again would. So who owns a network, and cannot keep a plan that borrows it, keeps these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    batch: usize,
    parts: usize,
    purpose: Purpose,
    /// Whether outputs need to be kept only until the next layer has read them.
    takes_turns: bool,
    /// Whether a row needs none of these.
    is_small: bool,
    /// The most rows that a part can have.
    block_rows: usize,
    inputs: usize,
    outputs: usize,
    /// Elements of the first of the two buffers of outputs that take turns.
    even_outputs: usize,
    gradients: usize,
    losses: usize,
    targets: usize,
    masks: usize,
    sums: usize,
    scratch: usize,
    /// Elements of all of these.
    block: usize,
    statistics: usize,
    squares: usize,
}

impl<'a> Plan<'a> {
    /// A plan for training.
    ///
    /// # Panics
    /// If there are no rows, if there are no parts or more than [`MAX_PARTS`], or if the workspace would be larger than memory can be.
    pub const fn training(network: Network<'a>, batch: usize, parts: usize) -> Self {
        Self::new(network, batch, parts, Purpose::Training)
    }

    /// A plan for inference.
    ///
    /// # Panics
    /// As [`Plan::training`].
    pub const fn inference(network: Network<'a>, batch: usize, parts: usize) -> Self {
        Self::new(network, batch, parts, Purpose::Inference)
    }

    const fn new(network: Network<'a>, batch: usize, parts: usize, purpose: Purpose) -> Self {
        assert!(batch > 0, "at least 1 row expected, found 0");
        assert!(parts > 0 && parts <= MAX_PARTS, "1 to 64 parts expected");
        let takes_turns = matches!(purpose, Purpose::Inference) && network.is_chain();
        let is_small = takes_turns && network.has_small_products_only();
        let sizes = Sizes {
            batch,
            parts,
            purpose,
            takes_turns,
            is_small,
            block_rows: 0,
            inputs: 0,
            outputs: 0,
            even_outputs: 0,
            gradients: 0,
            losses: 0,
            targets: 0,
            masks: 0,
            sums: 0,
            scratch: 0,
            block: 0,
            statistics: 0,
            squares: 0,
        };
        let mut plan = Self { network, sizes };
        // Nothing in a row of the workspace is larger than this sum, and eight such things are less than all of them.
        let mut widest = plan.inputs_per_row() + plan.outputs_per_row() + plan.last().statistics_before;
        let mut i = 0;
        while i < network.layers().len() {
            widest += leading_dimension(network.layers()[i].out_dim);
            i += 1;
        }
        let elements = match batch.checked_add(MAX_PARTS * LANES) {
            Some(rows) => widest.checked_mul(rows),
            None => None,
        };
        assert!(
            matches!(elements, Some(elements) if elements <= isize::MAX as usize / 64),
            "a minibatch that fits into memory expected"
        );
        plan.sizes = plan.count();
        plan
    }

    /// The plan of these sizes for the network that they are of.
    #[cfg(feature = "model")]
    #[inline]
    pub(crate) const fn of_sizes(network: Network<'a>, sizes: Sizes) -> Self {
        Self { network, sizes }
    }

    /// What it says beside the network.
    #[cfg(feature = "model")]
    pub(crate) const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Counts elements of all kinds.
    const fn count(&self) -> Sizes {
        let last = self.last();
        let is_training = matches!(self.sizes.purpose, Purpose::Training);
        let rows = self.rows_per_part(self.sizes.batch);
        let width = leading_dimension(last.out_dim);
        let even_outputs = if self.sizes.takes_turns { rows * self.widest_output(0) } else { 0 };
        let outputs =
            if self.sizes.takes_turns { even_outputs + rows * self.widest_output(1) } else { rows * self.outputs_per_row() };
        let mut counted = Sizes {
            block_rows: rows,
            inputs: rows * self.inputs_per_row(),
            outputs,
            even_outputs,
            losses: self.outputs().len() * losses_of_output(rows),
            targets: rows * self.targets_before(self.outputs().len()),
            scratch: self.count_scratch(rows),
            ..self.sizes
        };
        if is_training {
            counted.gradients = rows * (last.gradients_before + width);
            // Two words fit into an element.
            counted.masks = round_up_to_lanes((rows * (last.words_before + last.mask_words())).div_ceil(2));
            counted.sums = rows * (last.sums_before + last.sums_leading_dimension());
            counted.statistics = last.statistics_before + if last.gamma.is_empty() { 0 } else { STATISTICS * width };
            counted.squares = self.layers().len() * LEARNED_TENSORS + self.most_rows_of_weights().div_ceil(MICRO_SHARD);
        }
        let values = counted.inputs + counted.outputs + counted.gradients + counted.losses + counted.targets;
        counted.block = values + counted.masks + counted.sums + counted.scratch;
        counted
    }

    /// The network.
    #[inline]
    pub const fn network(&self) -> Network<'a> {
        self.network
    }

    /// The layers in the order of computation.
    #[inline]
    pub const fn layers(&self) -> &'a [Layer] {
        self.network.layers()
    }

    /// The inputs of the network.
    #[inline]
    pub const fn inputs(&self) -> &'a [Input] {
        self.network.inputs()
    }

    /// The outputs of the network.
    #[inline]
    pub const fn outputs(&self) -> &'a [Output] {
        self.network.outputs()
    }

    /// The largest number of rows of a minibatch.
    pub const fn batch(&self) -> usize {
        self.sizes.batch
    }

    /// The number of parts of a run.
    pub const fn parts(&self) -> usize {
        self.sizes.parts
    }

    /// What the plan is for.
    pub const fn purpose(&self) -> Purpose {
        self.sizes.purpose
    }

    /// The number of columns of the first input of the network.
    pub const fn in_dim(&self) -> usize {
        self.inputs()[0].columns
    }

    /// The number of columns of the first output of the network.
    pub const fn out_dim(&self) -> usize {
        self.layers()[self.outputs()[0].layer].out_dim
    }

    const fn last(&self) -> &'a Layer {
        &self.layers()[self.layers().len() - 1]
    }

    /// The number of parameters that an optimizer changes.
    pub const fn parameter_count(&self) -> usize {
        let mut count = 0;
        let mut i = 0;
        while i < self.layers().len() {
            count += self.layers()[i].parameter_count();
            i += 1;
        }
        count
    }

    /// Elements of the buffer of parameters, padding included.
    pub const fn parameters_len(&self) -> usize {
        self.last().end()
    }

    /// Elements of the buffer of optimizer state, for an optimizer that keeps `per_parameter` numbers for each parameter.
    pub const fn state_len(&self, per_parameter: usize) -> usize {
        per_parameter * self.parameters_len()
    }

    /// Elements of the workspace.
    pub const fn workspace_len(&self) -> usize {
        self.sums_range().end
    }

    /// The number of rows of each part, but for the last ones, when a minibatch has `rows` rows.
    pub const fn rows_per_part(&self, rows: usize) -> usize {
        rows.div_ceil(self.sizes.parts)
    }

    /// How many parts have enough to do with minibatches of `rows` rows: as many as there are millions of operations, see
    /// [`Plan::operations_per_row`], but at least 1 and at most `most`. How many parts the plan has does not matter.
    ///
    /// The parts of a step wait for each other twice or more, and each reads what the others have written. On two processors of a Xeon that
    /// share no cache, that takes as long as two million operations of each: a step of 8-30-30-1 on 32 rows takes 13 microseconds on two
    /// threads and 6 on one, 784-30-10-10 is as fast either way, and 784-100-50-10 takes 78 instead of 98. Processors that share a cache
    /// wait for less.
    pub const fn useful_parts(&self, rows: usize, most: usize) -> usize {
        let parts = rows.saturating_mul(self.operations_per_row()) / OPERATIONS_PER_PART;
        match parts {
            0 => 1,
            _ if parts > most => most,
            _ => parts,
        }
    }

    /// The number of floating-point operations of one row: two for each multiply-add of the products, in training those of forward,
    /// weight gradient and input gradient, which layers with nothing to learn before them do not need.
    pub const fn operations_per_row(&self) -> usize {
        let mut operations = 0;
        let mut i = 0;
        while i < self.layers().len() {
            let layer = &self.layers()[i];
            let products = match self.sizes.purpose {
                Purpose::Inference => 1,
                Purpose::Training if self.learns(layer.spec.input) => 3,
                Purpose::Training => 2,
            };
            if layer.is_product() {
                operations += products * 2 * layer.in_dim * layer.out_dim;
            }
            i += 1;
        }
        operations
    }

    /// Whether a gradient by this value is of use.
    pub(crate) const fn learns(&self, value: Value) -> bool {
        match value {
            Value::Input(_) => false,
            Value::Layer(i) => self.layers()[i].learns,
        }
    }

    /// Whether this is inference by layers that a row passes on the stack of its caller: small products, each of the output of the one before.
    #[inline]
    pub(crate) const fn is_small(&self) -> bool {
        self.sizes.is_small
    }

    /// What a layer applies in `train_step` and `evaluate`: nothing if its activation is computed with the loss.
    #[inline]
    pub(crate) const fn activation(&self, layer: usize) -> Activation {
        let activation = self.layers()[layer].spec.activation;
        match self.network.output_of(layer) {
            Some(o) if self.outputs()[o].loss.contains(activation) => Activation::Linear,
            _ => activation,
        }
    }

    /// Whether layer `i` is the last to take a value, and so the first to give a gradient by it; the loss of an output comes before all layers.
    pub(crate) const fn is_last_to_take(&self, i: usize, value: usize) -> bool {
        let mut later = i + 1;
        while later < self.layers().len() {
            let spec = &self.layers()[later].spec;
            let other = other_input(spec);
            if matches!(spec.input, Value::Layer(layer) if layer == value)
                || matches!(other, Some(Value::Layer(layer)) if layer == value)
            {
                return false;
            }
            later += 1;
        }
        !self.layers()[value].is_output
    }

    /// Elements of all blocks.
    pub(crate) const fn blocks_len(&self) -> usize {
        self.sizes.parts * self.sizes.block
    }

    /// What norms of gradients are made of: the sum of squares of each tensor that has a gradient, then room for those of the micro-shards of
    /// one of them, which penalties need, too.
    pub(crate) const fn sums_range(&self) -> Range<usize> {
        let start = self.blocks_len() + self.sizes.statistics;
        start..start + self.sizes.squares
    }

    /// Elements of the part of the workspace that belongs to one part of a run.
    pub(crate) const fn block_len(&self) -> usize {
        self.sizes.block
    }

    const fn most_rows_of_weights(&self) -> usize {
        let (mut most, mut i) = (1, 0);
        while i < self.layers().len() {
            let rows = self.layers()[i].kernel.rows;
            most = if rows > most { rows } else { most };
            i += 1;
        }
        most
    }

    const fn inputs_per_row(&self) -> usize {
        let last = &self.inputs()[self.inputs().len() - 1];
        last.before + if last.place.is_none() { leading_dimension(last.columns) } else { 0 }
    }

    const fn outputs_per_row(&self) -> usize {
        // The matrix of the last layer is its own: it is part of no concatenation.
        self.last().outputs_before + leading_dimension(self.last().out_dim)
    }

    /// The elements of a row of the widest of layers `first`, `first + 2` and so on: the layers of a chain take turns in two buffers.
    const fn widest_output(&self, first: usize) -> usize {
        let mut widest = 0;
        let mut i = first;
        while i < self.layers().len() {
            let width = leading_dimension(self.layers()[i].out_dim);
            widest = if width > widest { width } else { widest };
            i += 2;
        }
        widest
    }

    pub(crate) const fn losses_of_output(&self) -> usize {
        losses_of_output(self.sizes.block_rows)
    }

    /// Elements of a row of targets of all outputs before `output` whose losses take any.
    const fn targets_before(&self, output: usize) -> usize {
        let mut elements = 0;
        let mut o = 0;
        while o < output {
            let Output { layer, loss, .. } = self.outputs()[o];
            elements += if loss.takes_labels() { 0 } else { leading_dimension(self.layers()[layer].out_dim) };
            o += 1;
        }
        elements
    }

    /// Whether layer `i`, a product, computes the gradient by its input as `dX = dZ W^T`, with transposed weights, if there are so many rows.
    /// Else it is `dX^T = W dZ^T`, with transposed gradients. The bits are the same.
    #[inline]
    pub(crate) const fn transposes_weights(&self, i: usize, rows: usize) -> bool {
        let Value::Layer(before) = self.layers()[i].spec.input else { return false };
        let [by_sums, by_input] = self.transposed_gradients(i, rows);
        // Twice as many weights take as long: they are read by rows, and the product is written where it belongs. A gradient that is to be
        // added to another has to be somewhere else first, which the transposed one is.
        self.is_last_to_take(i, before) && self.transposed_weights(i).len() <= 2 * (by_sums.len() + by_input.len())
    }

    /// Where the transposed weights of layer `i`, a product, lie in the scratch of a block.
    pub(crate) const fn transposed_weights(&self, i: usize) -> Region {
        let layer = &self.layers()[i];
        Region::new(0, layer.out_dim, layer.in_dim)
    }

    /// Where its transposed gradients lie there, for `rows` rows: by its sums, and by its input.
    pub(crate) const fn transposed_gradients(&self, i: usize, rows: usize) -> [Region; 2] {
        let layer = &self.layers()[i];
        let by_sums = Region::new(0, layer.out_dim, rows);
        [by_sums, Region::new(by_sums.len(), layer.in_dim, rows)]
    }

    /// For training, of the widest layer that gives a gradient to another: its weights transposed, or a gradient transposed and the
    /// product, which is transposed too. For inference, scale and shift of a normalization.
    const fn count_scratch(&self, rows: usize) -> usize {
        let mut scratch = 0;
        let mut i = 0;
        while i < self.layers().len() {
            let layer = &self.layers()[i];
            let elements = match self.sizes.purpose {
                // If so many rows transpose weights, fewer rows that do not need less than that.
                Purpose::Training if layer.is_product() && self.learns(layer.spec.input) => {
                    match self.transposes_weights(i, rows) {
                        true => self.transposed_weights(i).len(),
                        false => {
                            let [by_sums, by_input] = self.transposed_gradients(i, rows);
                            by_sums.len() + by_input.len()
                        }
                    }
                }
                Purpose::Inference if !layer.gamma.is_empty() => 2 * leading_dimension(layer.out_dim),
                _ => 0,
            };
            scratch = if elements > scratch { elements } else { scratch };
            i += 1;
        }
        scratch
    }

    /// Where an input is gathered to among the inputs of a block, for `rows` rows, unless it lies among the outputs.
    #[inline]
    pub(crate) const fn input(&self, input: usize, rows: usize) -> Region {
        let Input { columns, before, .. } = self.inputs()[input];
        Region::new(self.sizes.block_rows * before, rows, columns)
    }

    /// Where a value lies among the outputs of a block, for `rows` rows; nowhere for most inputs.
    #[inline(always)]
    pub(crate) const fn value(&self, value: Value, rows: usize) -> Option<Region> {
        match value {
            Value::Layer(i) => Some(self.output(i, rows)),
            Value::Input(i) => match self.inputs()[i].place {
                Some(place) => Some(self.in_outputs(place, rows, self.inputs()[i].columns)),
                None => None,
            },
        }
    }

    /// Where the output of a layer lies among the outputs of a block, for `rows` rows.
    #[inline]
    pub(crate) const fn output(&self, layer: usize, rows: usize) -> Region {
        if self.sizes.takes_turns {
            let offset = if layer.is_multiple_of(2) { 0 } else { self.sizes.even_outputs };
            return Region::new(offset, rows, self.layers()[layer].out_dim);
        }
        self.in_outputs(self.layers()[layer].output, rows, self.layers()[layer].out_dim)
    }

    #[inline]
    const fn in_outputs(&self, place: Place, rows: usize, columns: usize) -> Region {
        let root = &self.layers()[place.root];
        let offset = self.sizes.block_rows * root.outputs_before + place.column;
        Region { offset, rows, columns, leading_dimension: leading_dimension(root.out_dim) }
    }

    /// Where the gradient by the output of a layer lies among the gradients of a block, for `rows` rows.
    pub(crate) const fn gradient(&self, layer: usize, rows: usize) -> Region {
        let Layer { gradient, out_dim, .. } = self.layers()[layer];
        let root = &self.layers()[gradient.root];
        let offset = self.sizes.block_rows * root.gradients_before + gradient.column;
        Region { offset, rows, columns: out_dim, leading_dimension: leading_dimension(root.out_dim) }
    }

    /// Where the targets of an output lie among the targets of a block, for `rows` rows.
    pub(crate) const fn target(&self, output: usize, rows: usize) -> Region {
        let offset = self.sizes.block_rows * self.targets_before(output);
        Region::new(offset, rows, self.layers()[self.outputs()[output].layer].out_dim)
    }

    /// The words of a layer's mask among the masks of a block.
    pub(crate) const fn mask(&self, layer: usize, rows: usize) -> Range<usize> {
        let layer = &self.layers()[layer];
        let first = self.sizes.block_rows * layer.words_before;
        first..first + rows * layer.mask_words()
    }

    /// Where the sums of a layer lie among those of a block; empty if they are not kept.
    pub(crate) const fn sums(&self, layer: usize, rows: usize) -> Region {
        let layer = &self.layers()[layer];
        let offset = self.sizes.block_rows * layer.sums_before;
        Region::new(offset, if layer.keeps_sums() { rows } else { 0 }, layer.out_dim)
    }
}

/// For each output the number of rows that were classified right, behind it a loss for each row.
const fn losses_of_output(rows: usize) -> usize {
    LANES + round_up_to_lanes(rows)
}
