//! Every rule over flat slices: alone, in all wrappers, and chosen and adjusted at run time; the gradient of a penalty.

use super::operands::Operands;
use super::support::bits::assert_same;
use super::support::buffer::Buffer;
use super::support::isas::isas;
use arbitrary::Result;
use selvedge::kernels::optimizers::{
    AdamSettings, Adjusted, AmsGrad, ByRow, CenteredRmsProp, ClippedByValue, Decayed, MAX_PARAMETERS, Momentum, MomentumKind,
    NadamProgress, Optimizer, Regularized, Rescaled, RmsPropMomentum, RmsPropSettings, RowRule, Sgd, add_penalty, update,
};
use selvedge::reference::optimizers::{self as twin, Rule};
use selvedge::simd::{Isa, MapOp};
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
    let rule = operands.up_to(10)?;
    if rule == 10 {
        return penalty(operands);
    }
    let (learning_rate, momentum, epsilon) = (setting(operands)?, setting(operands)? as f32, setting(operands)?);
    let rms = RmsPropSettings { learning_rate, rho: setting(operands)?, epsilon }.rule();
    let adam = AdamSettings { learning_rate, beta_1: setting(operands)?, beta_2: setting(operands)?, epsilon };
    let step = operands.word()? >> operands.up_to(63)?;
    let learning_rate = learning_rate as f32;
    match rule {
        0 => in_every_form(operands, Sgd { learning_rate }, Optimizer::Sgd),
        1 => in_every_form(operands, Momentum { learning_rate, momentum, kind: MomentumKind::Classic }, Optimizer::Momentum),
        2 => in_every_form(operands, Momentum { learning_rate, momentum, kind: MomentumKind::Nesterov }, Optimizer::Momentum),
        3 => in_every_form(operands, rms, Optimizer::RmsProp),
        4 => in_every_form(operands, RmsPropMomentum { rule: rms, momentum }, Optimizer::RmsPropMomentum),
        5 => in_every_form(operands, CenteredRmsProp { rule: rms, momentum }, Optimizer::CenteredRmsProp),
        6 => in_every_form(operands, adam.at_step(step), Optimizer::Adam),
        7 => in_every_form(operands, AmsGrad(adam.at_step(step)), Optimizer::AmsGrad),
        8 => {
            let decay = setting(operands)?;
            in_every_form(operands, adam.at_step_with_decay(step, decay), Optimizer::AdamW)
        }
        _ => {
            let mut progress = NadamProgress { steps: step >> 1, product: operands.share()? };
            in_every_form(operands, adam.next_nadam(&mut progress), Optimizer::Nadam)
        }
    }
}

fn in_every_form<R: MapOp<1, N> + Rule<N> + Copy + Sync + Debug, const N: usize>(
    operands: &mut Operands<'_>,
    rule: R,
    chosen: fn(R) -> Optimizer,
) -> Result<()> {
    match operands.up_to(3)? {
        0 => steps(operands, rule, &ByRow(rule)),
        1 => steps(operands, rule, &Adjusted::new(chosen(rule))),
        2 => {
            let (l1, l2, factor) = (operands.number()?, operands.number()?, operands.number()?);
            let adjusted = Adjusted { l1, l2, limit: operands.magnitude()?, factor, ..Adjusted::new(chosen(rule)) };
            // What changes nothing is left out, with the multiplications by 0 and 1.
            if adjusted.is_plain() {
                return steps(operands, rule, &adjusted);
            }
            let clipped = ClippedByValue { limit: adjusted.limit, rule: Rescaled { factor, rule } };
            steps(operands, Regularized { l1, l2, rule: clipped }, &adjusted)
        }
        _ => {
            let decayed = Decayed::new(setting(operands)?, setting(operands)?, rule);
            let clipped = ClippedByValue { limit: operands.magnitude()?, rule: decayed };
            let rescaled = Rescaled { factor: operands.number()?, rule: clipped };
            let regularized = Regularized { l1: operands.number()?, l2: operands.number()?, rule: rescaled };
            steps(operands, regularized, &ByRow(regularized))
        }
    }
}

/// Up to three steps, by slices and by rows.
fn steps<const N: usize>(
    operands: &mut Operands<'_>,
    rule: impl MapOp<1, N> + Rule<N> + Copy + Debug,
    row_rule: &dyn RowRule,
) -> Result<()> {
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
            row_rule.update_row(isa, g, slices);
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

/// A rule that shows the gradient that it is given, in the place of its second number.
struct Shown;

impl Rule<2> for Shown {
    fn step(&self, _: Isa, g: f32, [w, _]: [f32; 2]) -> [f32; 2] {
        [w, g]
    }
}

/// The gradient of a penalty alone.
fn penalty(operands: &mut Operands<'_>) -> Result<()> {
    let len = operands.length(70)?;
    let (l1, l2, w, g) = (operands.number()?, operands.number()?, operands.vector(len)?, operands.vector(len)?);
    let rule = Regularized { l1, l2, rule: Shown };
    for isa in isas() {
        let mut found = operands.placed(&g);
        add_penalty(isa, l1, l2, &w, &mut found);
        let expected: Vec<f32> = w.iter().zip(g.iter()).map(|(&w, &g)| rule.step(isa, g, [w, 0.0])[1]).collect();
        assert_same(&found, &expected, &format_args!("{isa}, l1 {l1}, l2 {l2}, weights {:?}, gradients {:?}", &*w, &*g));
    }
    Ok(())
}
