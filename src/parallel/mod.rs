//! Who runs the parts of a step: the calling thread, or a resident team.
//!
//! A step is a few **runs**. A run calls one task once for each part, and ends when all parts have ended; between two runs the
//! caller has everything to itself. What a part may write it takes from a [`Shares`]: a slice cut into one share for each part.
//!
//! Nothing here allocates or spawns during a run: the threads of a [`Team`] are there before it and wait (they spin for a bounded
//! time, then yield, then sleep).

#[cfg(all(test, loom))]
mod model;
mod shares;
#[cfg(feature = "std")]
mod sync;
#[cfg(feature = "std")]
mod team;

pub use shares::Shares;
pub(crate) use shares::range_of_share;
#[cfg(feature = "std")]
pub use team::{Pool, Team};

/// The largest number of parts that a run may have.
pub const MAX_PARTS: usize = 64;

/// Runs a task in parts.
pub trait Executor: Sync {
    /// The number of parts of a run.
    fn parts(&self) -> usize;

    /// Calls `task(0)` to `task(parts - 1)`, each once, in any order and on any thread, and returns when all have returned.
    ///
    /// # Panics
    /// If the task panics, after all parts have ended.
    fn run(&self, task: &(dyn Fn(usize) + Sync));
}

/// Runs all parts one after the other on the calling thread.
///
/// With more than one part it does what a team does, in another order: results are the same.
#[derive(Clone, Copy, Debug)]
pub struct Serial {
    parts: usize,
}

impl Serial {
    /// An executor of `parts` parts.
    ///
    /// # Panics
    /// If `parts` is 0 or more than [`MAX_PARTS`].
    pub const fn new(parts: usize) -> Self {
        assert!(parts > 0 && parts <= MAX_PARTS, "1 to 64 parts expected");
        Self { parts }
    }
}

impl Executor for Serial {
    fn parts(&self) -> usize {
        self.parts
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        (0..self.parts).for_each(task);
    }
}
