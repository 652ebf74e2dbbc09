//! Where: all sizes and offsets, computed once, also in a constant.
//!
//! A [`Plan`] says how many elements each buffer needs and what lies where in it:
//!
//! | buffer | contents | elements |
//! |---|---|---|
//! | parameters | per layer: kernel `[in_dim, out_dim]`, bias `[1, out_dim]` | [`Plan::parameters_len`] |
//! | optimizer state | as many copies of the parameters' layout as the optimizer has numbers per parameter | [`Plan::state_len`] |
//! | workspace | a block for each part of a run: its rows of everything below | [`Plan::workspace_len`] |
//!
//! A block of the workspace for training holds, for the part's rows of the minibatch: the gathered input, the outputs of all layers,
//! the gradients by their weighted sums (that of the last layer replaces its output), the losses, the ReLU masks, the sums that a derivative needs, and scratch for
//! transposes. One for inference holds the gathered input, two buffers in which the outputs of the layers take turns, and the
//! losses. Each part writes to its own block only, so parts share no cache line.
//!
//! ```
//! use selvedge::plan::{Activation, Dense, Layer, Plan, sequential};
//!
//! static LAYERS: [Layer; 2] = sequential(4, [Dense::new(8, Activation::Relu), Dense::new(3, Activation::Softmax)]);
//! static PLAN: Plan<'static> = Plan::training(&LAYERS, 32, 1);
//! static WORKSPACE: [f32; PLAN.workspace_len()] = [0.0; PLAN.workspace_len()];
//! assert_eq!(PLAN.parameter_count(), (4 * 8 + 8) + (8 * 3 + 3));
//! println!("{PLAN}");
//! ```

mod buffers;
mod region;
mod spec;

pub use buffers::{Aligned, Memory};
pub(crate) use buffers::{Block, BlockRef};
pub use region::{Region, leading_dimension};
pub use spec::{Activation, Dense, Layer, sequential};

use crate::parallel::MAX_PARTS;
use crate::simd::{LANES, round_up_to_lanes};
use core::fmt;
use core::ops::Range;

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward, backward and update.
    Training,
    /// Forward only: outputs are kept no longer than the next layer needs them.
    Inference,
}

/// The sizes and places of everything that a network needs for minibatches of up to `batch` rows in `parts` parts.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    layers: &'a [Layer],
    batch: usize,
    parts: usize,
    purpose: Purpose,
}

impl<'a> Plan<'a> {
    /// A plan for training.
    ///
    /// # Panics
    /// If there are no layers or no rows, if there are no parts or more than [`MAX_PARTS`], or if the workspace would be larger
    /// than memory can be.
    pub const fn training(layers: &'a [Layer], batch: usize, parts: usize) -> Self {
        Self::new(layers, batch, parts, Purpose::Training)
    }

    /// A plan for inference.
    ///
    /// # Panics
    /// As [`Plan::training`].
    pub const fn inference(layers: &'a [Layer], batch: usize, parts: usize) -> Self {
        Self::new(layers, batch, parts, Purpose::Inference)
    }

    const fn new(layers: &'a [Layer], batch: usize, parts: usize, purpose: Purpose) -> Self {
        assert!(!layers.is_empty(), "at least 1 layer expected, found 0");
        assert!(batch > 0, "at least 1 row expected, found 0");
        assert!(parts > 0 && parts <= MAX_PARTS, "1 to 64 parts expected");
        let plan = Self { layers, batch, parts, purpose };
        // Nothing in a row of the workspace is larger than this sum, and eight such things are less than all of them.
        let last = plan.last();
        let widest = last.outputs_before + last.output_leading_dimension() + leading_dimension(layers[0].in_dim);
        let elements = match batch.checked_add(MAX_PARTS * LANES) {
            Some(rows) => widest.checked_mul(rows),
            None => None,
        };
        assert!(
            matches!(elements, Some(elements) if elements <= isize::MAX as usize / 64),
            "a minibatch that fits into memory expected"
        );
        plan
    }

    /// The layers in the order of computation.
    pub const fn layers(&self) -> &'a [Layer] {
        self.layers
    }

    /// The largest number of rows of a minibatch.
    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// The number of parts of a run.
    pub const fn parts(&self) -> usize {
        self.parts
    }

    /// What the plan is for.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The number of inputs of the network.
    pub const fn in_dim(&self) -> usize {
        self.layers[0].in_dim
    }

    /// The number of outputs of the network.
    pub const fn out_dim(&self) -> usize {
        self.last().out_dim
    }

    const fn last(&self) -> &'a Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// The number of trainable parameters.
    pub const fn parameter_count(&self) -> usize {
        let mut count = 0;
        let mut i = 0;
        while i < self.layers.len() {
            count += self.layers[i].parameter_count();
            i += 1;
        }
        count
    }

    /// Elements of the buffer of parameters, padding included.
    pub const fn parameters_len(&self) -> usize {
        self.last().bias.end()
    }

    /// Elements of the buffer of optimizer state, for an optimizer that keeps `per_parameter` numbers for each parameter.
    pub const fn state_len(&self, per_parameter: usize) -> usize {
        per_parameter * self.parameters_len()
    }

    /// Elements of the workspace.
    pub const fn workspace_len(&self) -> usize {
        self.parts * self.block_len()
    }

    /// The number of rows of each part, but for the last ones, when a minibatch has `rows` rows.
    pub const fn rows_per_part(&self, rows: usize) -> usize {
        rows.div_ceil(self.parts)
    }

    /// The number of floating-point operations of one row: two for each multiply-add of the products, in training those of forward,
    /// weight gradient and input gradient, which the first layer does not need.
    pub const fn operations_per_row(&self) -> usize {
        let mut operations = 0;
        let mut i = 0;
        while i < self.layers.len() {
            let products = match self.purpose {
                Purpose::Inference => 1,
                Purpose::Training if i == 0 => 2,
                Purpose::Training => 3,
            };
            operations += products * 2 * self.layers[i].in_dim * self.layers[i].out_dim;
            i += 1;
        }
        operations
    }

    /// The most rows that a part can have.
    const fn block_rows(&self) -> usize {
        self.rows_per_part(self.batch)
    }

    /// Whether the gradient by the weighted sums of the last layer takes the place of that layer's output.
    pub(crate) const fn replaces_last_output(&self) -> bool {
        matches!(self.last().activation, Activation::Linear | Activation::Softmax)
    }

    /// Elements of the part of the workspace that belongs to one part of a run.
    pub(crate) const fn block_len(&self) -> usize {
        let kept = self.masks_len() + self.sums_len();
        self.input_len() + self.outputs_len() + self.gradients_len() + self.losses_len() + kept + self.scratch_len()
    }

    const fn input_len(&self) -> usize {
        self.block_rows() * leading_dimension(self.in_dim())
    }

    const fn outputs_len(&self) -> usize {
        match self.purpose {
            Purpose::Training => self.block_rows() * (self.last().outputs_before + self.last().output_leading_dimension()),
            Purpose::Inference => self.turn_len(0) + self.turn_len(1),
        }
    }

    const fn gradients_len(&self) -> usize {
        match self.purpose {
            Purpose::Training if !self.replaces_last_output() => self.outputs_len(),
            Purpose::Training => self.block_rows() * self.last().outputs_before,
            Purpose::Inference => 0,
        }
    }

    const fn masks_len(&self) -> usize {
        match self.purpose {
            // Two words fit into an element.
            Purpose::Training => {
                round_up_to_lanes((self.block_rows() * (self.last().words_before + self.last().mask_words())).div_ceil(2))
            }
            Purpose::Inference => 0,
        }
    }

    const fn sums_len(&self) -> usize {
        match self.purpose {
            Purpose::Training => self.block_rows() * (self.last().sums_before + self.last().sums_leading_dimension()),
            Purpose::Inference => 0,
        }
    }

    /// A loss for each row, behind the number of rows that were classified right.
    const fn losses_len(&self) -> usize {
        LANES + round_up_to_lanes(self.block_rows())
    }

    /// For the input gradients of all layers but the first: a gradient transposed, and the product, which is transposed too.
    const fn scratch_len(&self) -> usize {
        match self.purpose {
            Purpose::Training => {
                let (mut widest_in, mut widest_out) = (0, 0);
                let mut i = 1;
                while i < self.layers.len() {
                    let layer = &self.layers[i];
                    widest_in = if layer.in_dim > widest_in { layer.in_dim } else { widest_in };
                    widest_out = if layer.out_dim > widest_out { layer.out_dim } else { widest_out };
                    i += 1;
                }
                (widest_in + widest_out) * leading_dimension(self.block_rows())
            }
            Purpose::Inference => 0,
        }
    }

    /// In inference, elements of the buffer that layers take turns in: number 0 for even layers, 1 for odd ones.
    const fn turn_len(&self, turn: usize) -> usize {
        let mut widest = 0;
        let mut i = turn;
        while i < self.layers.len() {
            let width = self.layers[i].output_leading_dimension();
            widest = if width > widest { width } else { widest };
            i += 2;
        }
        self.block_rows() * widest
    }

    /// Where the output of a layer lies among the outputs of a block, for `rows` rows; its gradient lies at the same place among
    /// the gradients.
    pub(crate) const fn output(&self, layer: usize, rows: usize) -> Region {
        let offset = match self.purpose {
            Purpose::Training => self.block_rows() * self.layers[layer].outputs_before,
            Purpose::Inference => {
                if layer.is_multiple_of(2) {
                    0
                } else {
                    self.turn_len(0)
                }
            }
        };
        Region::new(offset, rows, self.layers[layer].out_dim)
    }

    /// The words of a layer's mask among the masks of a block.
    pub(crate) const fn mask(&self, layer: usize, rows: usize) -> Range<usize> {
        let layer = &self.layers[layer];
        let first = self.block_rows() * layer.words_before;
        first..first + rows * layer.mask_words()
    }

    /// Where the weighted sums of a layer lie among those of a block; empty if they are not kept.
    pub(crate) const fn sums(&self, layer: usize, rows: usize) -> Region {
        let layer = &self.layers[layer];
        let offset = self.block_rows() * layer.sums_before;
        Region::new(offset, if layer.activation.keeps_sums() { rows } else { 0 }, layer.out_dim)
    }
}

/// The memory map: every region of every buffer with its place, shape and size.
impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purpose = match self.purpose {
            Purpose::Training => "training",
            Purpose::Inference => "inference",
        };
        writeln!(f, "{purpose}, up to {} rows in {} parts; offsets and lengths in f32", self.batch, self.parts)?;
        writeln!(f, "{:<28} {:>10} {:>10} {:>16} {:>8} {:>10}", "region", "offset", "length", "shape", "leading", "KiB")?;
        let kib = |len: usize| len as f64 * 4.0 / 1024.0;
        let total = |f: &mut fmt::Formatter<'_>, name: &str, len: usize| {
            writeln!(f, "{name:<28} {:>10} {len:>10} {:>16} {:>8} {:>10.1}", "", "", "", kib(len))
        };
        let matrix = |f: &mut fmt::Formatter<'_>, layer: Option<usize>, what: &str, base: usize, region: Region| {
            match layer {
                Some(layer) => write!(f, "  layer {layer:<4} {what:<15}")?,
                None => write!(f, "  {what:<26}")?,
            }
            let (offset, len) = (base + region.offset, region.len());
            write!(f, " {offset:>10} {len:>10} {:>7} x {:<6} {:>8}", region.rows, region.columns, region.leading_dimension)?;
            writeln!(f, " {:>10.1}", kib(len))
        };
        let rest = |f: &mut fmt::Formatter<'_>, name: &str, offset: usize, len: usize| {
            writeln!(f, "  {name:<26} {offset:>10} {len:>10} {:>16} {:>8} {:>10.1}", "", "", kib(len))
        };
        total(f, "parameters", self.parameters_len())?;
        for (i, layer) in self.layers.iter().enumerate() {
            matrix(f, Some(i), "kernel", 0, layer.kernel)?;
            matrix(f, Some(i), "bias", 0, layer.bias)?;
        }
        total(f, "workspace", self.workspace_len())?;
        total(f, "one block of it", self.block_len())?;
        let rows = self.block_rows();
        matrix(f, None, "input", 0, Region::new(0, rows, self.in_dim()))?;
        for i in 0..self.layers.len() {
            matrix(f, Some(i), "output", self.input_len(), self.output(i, rows))?;
        }
        let gradients = self.input_len() + self.outputs_len();
        let losses = gradients + self.gradients_len();
        if let Purpose::Training = self.purpose {
            for i in 0..self.layers.len() - usize::from(self.replaces_last_output()) {
                matrix(f, Some(i), "gradient", gradients, self.output(i, rows))?;
            }
        }
        rest(f, "losses", losses, self.losses_len())?;
        if let Purpose::Training = self.purpose {
            rest(f, "masks", losses + self.losses_len(), self.masks_len())?;
            let sums = losses + self.losses_len() + self.masks_len();
            for i in (0..self.layers.len()).filter(|&i| self.layers[i].activation.keeps_sums()) {
                matrix(f, Some(i), "sums", sums, self.sums(i, rows))?;
            }
            rest(f, "transposes", sums + self.sums_len(), self.scratch_len())?;
        }
        Ok(())
    }
}
