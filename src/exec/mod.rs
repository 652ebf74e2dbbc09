//! When: runs kernels over a plan. Nothing here allocates.
//!
//! A training step has two phases:
//!
//! * **A**, one run: each part takes its own rows of the minibatch through gather, forward, loss and the whole chain of input
//!   gradients. Parameters are only read.
//! * **B**, one run for each layer: each part takes its own rows of the layer's weights over the whole minibatch: the weight gradient in registers, the
//!   optimizer in the epilogue.
//!
//! Every element is computed by one part in one order, so the number of parts cannot change a bit.

mod activation;
mod backward;
mod forward;
mod product;
mod step;

pub use forward::{evaluate, predict};
pub use product::product;
pub use step::train_step;

use crate::kernels::MatRef;
use crate::kernels::gather::Scaling;
use crate::parallel::Executor;
use crate::plan::{Plan, Purpose};
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
    /// Row `i` is row `order[i]` of bytes without padding, converted.
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

/// A minibatch with its labels.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The rows.
    pub inputs: Inputs<'a>,
    /// The class of each row.
    pub labels: &'a [u32],
}

/// What came of a minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// The sum of the losses of all rows.
    pub loss_sum: f32,
    /// How many rows were classified right.
    pub hits: usize,
}

/// What every entry checks: the executor, the purpose of the plan, the number of rows, and the lengths of buffers as (name, expected, found).
#[track_caller]
fn check(context: &Context<'_>, purpose: Purpose, inputs: &Inputs<'_>, buffers: &[(&str, usize, usize)]) {
    let plan = context.plan;
    assert!(plan.purpose() == purpose, "a plan for {purpose:?} expected, found one for {:?}", plan.purpose());
    let parts = context.executor.parts();
    assert!(parts == plan.parts(), "an executor of {} parts expected, found {parts}", plan.parts());
    let rows = inputs.len();
    assert!((1..=plan.batch()).contains(&rows), "1 to {} rows expected, found {rows}", plan.batch());
    if let Inputs::Rows(x) | Inputs::Gathered { rows: x, .. } = inputs {
        assert!(x.columns() == plan.in_dim(), "rows of {} inputs expected, found {}", plan.in_dim(), x.columns());
    }
    for (name, expected, found) in buffers {
        assert!(found >= expected, "{name}: at least {expected} elements expected, found {found}");
    }
}
