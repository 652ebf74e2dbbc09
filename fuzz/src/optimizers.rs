//! Every rule over flat slices, alone and in all wrappers.

use super::operands::Operands;
use super::support::bits::assert_same;
use super::support::buffer::Buffer;
use super::support::isas::isas;
use arbitrary::Result;
use selvedge::kernels::optimizers::{
    AdamSettings, AmsGrad, ByRow, CenteredRmsProp, ClippedByValue, Decayed, MAX_PARAMETERS, Momentum, MomentumKind, NadamProgress,
    Regularized, Rescaled, RmsPropMomentum, RmsPropSettings, RowRule, Sgd, update,
};
use selvedge::reference::optimizers::{self as twin, Rule};
use selvedge::simd::MapOp;
use std::array;
use std::fmt::Debug;

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| case(&mut operands));
}

fn setting(operands: &mut Operands<'_>) -> Result<f64> {
    Ok(if operands.up_to(3)? == 0 { operands.number()?.into() } else { operands.share()? })
}

fn case(operands: &mut Operands<'_>) -> Result<()> {
    let rule = operands.up_to(9)?;
    let (learning_rate, momentum, epsilon) = (setting(operands)?, setting(operands)? as f32, setting(operands)?);
    let rms = RmsPropSettings { learning_rate, rho: setting(operands)?, epsilon }.rule();
    let adam = AdamSettings { learning_rate, beta_1: setting(operands)?, beta_2: setting(operands)?, epsilon };
    let step = operands.word()? >> operands.up_to(63)?;
    let learning_rate = learning_rate as f32;
    match rule {
        0 => bare_and_wrapped(operands, Sgd { learning_rate }),
        1 => bare_and_wrapped(operands, Momentum { learning_rate, momentum, kind: MomentumKind::Classic }),
        2 => bare_and_wrapped(operands, Momentum { learning_rate, momentum, kind: MomentumKind::Nesterov }),
        3 => bare_and_wrapped(operands, rms),
        4 => bare_and_wrapped(operands, RmsPropMomentum { rule: rms, momentum }),
        5 => bare_and_wrapped(operands, CenteredRmsProp { rule: rms, momentum }),
        6 => bare_and_wrapped(operands, adam.at_step(step)),
        7 => bare_and_wrapped(operands, AmsGrad(adam.at_step(step))),
        8 => {
            let decay = setting(operands)?;
            bare_and_wrapped(operands, adam.at_step_with_decay(step, decay))
        }
        _ => {
            let mut progress = NadamProgress { steps: step >> 1, product: operands.share()? };
            bare_and_wrapped(operands, adam.next_nadam(&mut progress))
        }
    }
}

fn bare_and_wrapped<const N: usize>(
    operands: &mut Operands<'_>,
    rule: impl MapOp<1, N> + Rule<N> + Copy + Sync + Debug,
) -> Result<()> {
    if operands.flag()? {
        return steps(operands, rule);
    }
    let decayed = Decayed::new(setting(operands)?, setting(operands)?, rule);
    let clipped = ClippedByValue { limit: operands.magnitude()?, rule: decayed };
    let rescaled = Rescaled { factor: operands.number()?, rule: clipped };
    let regularized = Regularized { l1: operands.number()?, l2: operands.number()?, rule: rescaled };
    steps(operands, regularized)
}

/// Up to three steps.
fn steps<const N: usize>(operands: &mut Operands<'_>, rule: impl MapOp<1, N> + Rule<N> + Copy + Sync + Debug) -> Result<()> {
    let len = operands.length(70)?;
    let mut start: [Vec<f32>; N] = array::from_fn(|_| Vec::new());
    for slice in &mut start {
        *slice = operands.numbers(len)?;
    }
    let gradients = (0..=operands.up_to(2)?).map(|_| operands.vector(len)).collect::<Result<Vec<_>>>()?;
    for isa in isas() {
        let mut found: [Buffer<f32>; N] = start.each_ref().map(|slice| operands.placed(slice));
        let mut by_row: [Buffer<f32>; N] = start.each_ref().map(|slice| operands.placed(slice));
        let mut expected = start.clone();
        for (step, g) in gradients.iter().enumerate() {
            update(isa, rule, g, found.each_mut().map(|slice| &mut **slice));
            let mut slices = by_row.iter_mut();
            let slices: [&mut [f32]; MAX_PARAMETERS] = array::from_fn(|_| slices.next().map_or(&mut [][..], |slice| slice));
            ByRow(rule).update_row(isa, g, slices);
            twin::update(isa, &rule, g, expected.each_mut().map(|slice| &mut **slice));
            for (number, expected) in expected.iter().enumerate() {
                let case = format_args!("{isa}, {rule:?}, {len} parameters, step {step}, number {number}");
                assert_same(&found[number], expected, &case);
                assert_same(&by_row[number], expected, &format_args!("{case}, by row"));
            }
        }
    }
    Ok(())
}
