//! When: runs kernels over a plan. Nothing here allocates.
//!
//! A training step has two phases:
//!
//! * **A**, one run, and two more for each normalization: each part takes its own rows of the minibatch through gather, forward, loss and the whole chain of input
//!   gradients. Parameters are only read, but for the moving statistics of normalizations.
//! * **B**, one run for four layers: each part takes its own rows of each layer's weights over the whole minibatch: the weight gradient in
//!   registers, the optimizer in the epilogue.
//!
//! Every element is computed by one part in one order, so the number of parts cannot change a bit.
//!
//! # What two processors cost each other
//!
//! A line of memory that one processor has read, another can write only after it has taken it back: 7 nanoseconds a line where they share a cache
//! of level 3, 30 where they do not. That, not arithmetic, is most of what a step on two threads loses. So weights are asked for as what will
//! be written, a tile before they are, and stored behind everything else of a tile, or spread over the next one; and those that the other has
//! written are asked for a panel before they are read (`kernels::gemm`).
//!
//! Tried, and left: with those columns of the inputs that belong to a part's weights gathered once more by that part, so that no gathered line
//! is read by two, an epoch on 784-300-100-10 takes the same time on processors that share a cache; on others it seemed some percent faster, in
//! few runs. Rows come from main memory, and to fetch them twice costs what it saves. The first product in stages of four rows, each part with
//! those rows of the weights that it will update: of a step of 32 rows on two threads that is 4 % slower where processors share a cache, and
//! was 10 % faster where they do not, before they asked for what others had written. The first product of all rows, each part with those columns of
//! the weights that it updates, and then each its rows again: nothing at 32 rows and 4 % slower from 64 rows on where processors share no cache,
//! although no weight changes hands, because a processor that reads to the end of its columns is sent the next ones, too. With the weights of each
//! part in a place of their own it is 13 % faster at 32 rows; but then they are not the rows of a matrix that users see. What is left there is 4
//! nanoseconds of the first product for each line that changes hands, in whatever order they are asked for, one in two, one in four or none at all.

mod activation;
mod backward;
mod columns;
pub(crate) mod ends;
mod forward;
mod infer;
mod loss;
mod norms;
mod part;
mod pass;
mod product;
mod small;
mod step;
mod update;

pub use infer::{evaluate, output_statistics, predict, predict_with_dropout};
pub use norms::{penalty, penalty_by_one};
pub use part::Noise;
pub use product::product;
pub use step::{Clipping, Step, gradients, train_step, update};

use crate::kernels::MatRef;
use crate::kernels::gather::Scaling;
use crate::parallel::Executor;
use crate::plan::{Loss, MAX_OUTPUTS, Plan, Purpose};
use crate::simd::Isa;

/// How a step is run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// With which instructions.
    pub isa: Isa,
    /// Where everything lies.
    pub plan: &'a Plan<'a>,
    /// By whom; it must have as many parts as the plan.
    pub executor: &'a dyn Executor,
}

/// Where the rows of a minibatch come from.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Row `i` is row `i` of the matrix, where it lies.
    Rows(MatRef<'a>),
    /// Row `i` is row `order[i]` of the matrix, copied.
    Gathered {
        /// All rows.
        rows: MatRef<'a>,
        /// Which of them make the minibatch.
        order: &'a [u32],
    },
    /// Row `i` is row `order[i]` of bytes without padding, converted. Rows in random order come faster from huge pages, see
    /// `memory::vec_in_huge_pages`.
    Bytes {
        /// All rows.
        rows: &'a [u8],
        /// Which of them make the minibatch.
        order: &'a [u32],
        /// How a byte becomes a number.
        scaling: Scaling,
    },
}

impl Inputs<'_> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.rows(),
            Self::Gathered { order, .. } | Self::Bytes { order, .. } => order.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the rows of a minibatch are compared with.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// The class of each row, for the sparse categorical cross-entropy.
    Labels(&'a [u32]),
    /// Row `i` is row `i` of the matrix; for all other losses.
    Rows(MatRef<'a>),
    /// Row `i` is row `order[i]` of the matrix; for all other losses.
    Gathered {
        /// All rows.
        rows: MatRef<'a>,
        /// Which of them belong to the minibatch.
        order: &'a [u32],
    },
}

impl Targets<'_> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Rows(rows) => rows.rows(),
            Self::Gathered { order, .. } => order.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A minibatch with what its rows are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The rows of each input.
    pub inputs: &'a [Inputs<'a>],
    /// The targets of each output.
    pub targets: &'a [Targets<'a>],
    /// What each row counts; 1 if there are none. The mean of the losses is over the number of rows, as in Keras, not over the sum of the weights.
    pub weights: Option<&'a [f32]>,
}

impl Batch<'_> {
    /// Refuses targets and weights that do not fit the plan or the number of rows.
    #[track_caller]
    fn check(&self, plan: &Plan<'_>) {
        let rows = self.inputs.first().map_or(0, Inputs::len);
        let expected = plan.outputs().len();
        assert!(self.targets.len() == expected, "targets of {expected} outputs expected, found {}", self.targets.len());
        for (output, targets) in plan.outputs().iter().zip(self.targets) {
            assert!(targets.len() == rows, "targets of {rows} rows expected, found {}", targets.len());
            let Loss::SparseCategoricalCrossentropy { .. } = output.loss else {
                let expected = plan.layers()[output.layer].out_dim;
                let (Targets::Rows(values) | Targets::Gathered { rows: values, .. }) = targets else {
                    panic!("rows of {expected} numbers as targets of {:?} expected, found labels", output.loss);
                };
                assert!(values.columns() == expected, "targets of {expected} columns expected, found {}", values.columns());
                continue;
            };
            assert!(
                matches!(targets, Targets::Labels(_)),
                "labels as targets of {:?} expected, found rows of numbers",
                output.loss
            );
        }
        if let Some(weights) = self.weights {
            assert!(weights.len() == rows, "weights of {rows} rows expected, found {}", weights.len());
        }
    }
}

/// What came of an output for a minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutputReport {
    /// The sum of the losses of all rows.
    pub loss_sum: f32,
    /// How many rows were classified right; of the binary cross-entropy, how many elements; 0 where there are no classes.
    pub hits: usize,
}

/// What came of a minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// The sum of the losses of all rows and outputs, each output with its weight, without penalties.
    pub loss_sum: f32,
    /// Of each output of the network; the rest is zero.
    pub outputs: [OutputReport; MAX_OUTPUTS],
}

impl Report {
    /// How many rows the first output has classified right.
    pub fn hits(&self) -> usize {
        self.outputs[0].hits
    }
}

/// What every entry checks: the executor, the purpose of the plan, the inputs, and the lengths of buffers as (name, expected, found).
#[track_caller]
fn check(context: &Context<'_>, purpose: Purpose, inputs: &[Inputs<'_>], buffers: &[(&str, usize, usize)]) {
    let plan = context.plan;
    assert!(plan.purpose() == purpose, "a plan for {purpose:?} expected, found one for {:?}", plan.purpose());
    let parts = context.executor.parts();
    assert!(parts == plan.parts(), "an executor of {} parts expected, found {parts}", plan.parts());
    let expected = plan.inputs().len();
    assert!(inputs.len() == expected, "rows of {expected} inputs expected, found {}", inputs.len());
    let rows = inputs.first().map_or(0, Inputs::len);
    assert!((1..=plan.batch()).contains(&rows), "1 to {} rows expected, found {rows}", plan.batch());
    for (input, found) in plan.inputs().iter().zip(inputs) {
        assert!(found.len() == rows, "{rows} rows of every input expected, found {}", found.len());
        if let Inputs::Rows(x) | Inputs::Gathered { rows: x, .. } = found {
            assert!(x.columns() == input.columns, "rows of {} inputs expected, found {}", input.columns, x.columns());
        }
    }
    check_lengths(buffers);
}

/// The lengths of buffers as (name, expected, found).
#[track_caller]
fn check_lengths(buffers: &[(&str, usize, usize)]) {
    for (name, expected, found) in buffers {
        assert!(found >= expected, "{name}: at least {expected} elements expected, found {found}");
    }
}

/// That a plan is for training.
#[track_caller]
fn check_trains(plan: &Plan<'_>) {
    assert!(plan.purpose() == Purpose::Training, "a plan for training expected, found one for {:?}", plan.purpose());
}
