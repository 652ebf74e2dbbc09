//! The first product of a step on few rows, in stages, so that weights stay with the part that updates them.
//!
//! A part updates its own rows of the weights, but on its rows of the minibatch it needs all weights. So in every step every line of them
//! is copied from one processor to the others, and taken away from these again before it can be written. With many rows that is hidden
//! behind the arithmetic. With sixteen rows for each of two parts it took longer than the arithmetic of the whole update: 110
//! microseconds of the 215 of a step of 784-300-100-10.
//!
//! Here a part reads the rows of the weights that it will update, and no others. They are a part of the depth of the product, so the
//! chain of each element begins with part 0 and is handed on from part to part:
//!
//! | stage | part 0, first half of the depth | part 1, second half |
//! |---|---|---|
//! | 0 | its inputs, rows of unit 0 | its inputs |
//! | 1 | rows of unit 1 | rows of unit 0 |
//! | 2 | rows of unit 2 | rows of unit 1 |
//! | ... | | |
//!
//! The order of each chain is what it always is, so no bit changes. Each stage is a run, and units that follow each other lie in blocks
//! of different parts, so a block is used by one part at a time.

use super::pass::{Pass, has_many_weights};
use crate::plan::Plan;
use crate::simd::Isa;
use core::ops::Range;

/// Rows that are handed on at once: the fewer, the shorter parts wait in the first and the last stages, but less than four multiply too
/// seldom with what they load of the weights.
const UNIT: usize = 4;

/// Rows of a part with which stages are worth it: with fewer, too many stages have parts that wait; with more, the update has arithmetic
/// enough to hide what it waits for. Measured on two parts: 16 rows 0.64 -> 0.69 of the peak, 32 rows 0.77 with and without. Where a
/// line takes longest from processor to processor, 16 rows 0.25 -> 0.45.
const ROWS: Range<usize> = 13..25;

/// Whether stages are worth it for a minibatch of `rows` rows.
fn are_worth_it(isa: Isa, plan: &Plan<'_>, rows: usize) -> bool {
    let layer = &plan.layers()[0];
    // With fewer registers, a few rows do not keep the multiply-adds busy.
    let has_registers = isa.tile_rows().iter().all(|rows| *rows >= UNIT);
    has_registers && has_many_weights(layer) && plan.parts() > 1 && ROWS.contains(&plan.rows_per_part(rows))
}

impl Pass<'_> {
    /// Gathers the inputs and computes the product of the first layer in stages, if they are worth it.
    pub(super) fn begin_in_stages(&mut self, parameters: &[f32]) {
        let plan = self.context.plan;
        if !are_worth_it(self.context.isa, plan, self.rows) {
            return;
        }
        let (parts, in_dim) = (plan.parts(), plan.layers()[0].in_dim);
        let units = parts * plan.rows_per_part(self.rows).div_ceil(UNIT);
        for stage in 0..units + parts - 1 {
            let unit_of = |part| stage.checked_sub(part).filter(|unit| *unit < units);
            // In the first stage each part is in its own block.
            let owner_of = |part| if stage == 0 { Some(part) } else { unit_of(part).map(|unit| unit % parts) };
            self.run_in_blocks(parameters, owner_of, |part, of_owner, block| {
                if stage == 0 {
                    of_owner.gather(block);
                }
                let Some(unit) = unit_of(part) else { return };
                let rows = share(unit / parts, UNIT, of_owner.rows);
                let depth = share(part, in_dim.div_ceil(parts), in_dim);
                if !rows.is_empty() && !depth.is_empty() {
                    of_owner.product(0, rows, depth, block);
                }
            });
        }
        self.computed = Some(0);
    }
}

/// Share `i` of `len` things in shares of `size`, of which the last may be smaller or empty.
fn share(i: usize, size: usize, len: usize) -> Range<usize> {
    (i * size).min(len)..((i + 1) * size).min(len)
}
