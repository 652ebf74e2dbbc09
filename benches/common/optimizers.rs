//! Optimizers over flat slices.

use super::buffer::Buffer;
use super::{Against, Candidate, Runner, id, isas, repeat};
use selvedge::kernels::optimizers::{AdamSettings, Momentum, MomentumKind, RmsPropSettings, Sgd, update};
use selvedge::simd::{Isa, MapOp};
use std::hint::black_box;

/// Elements of a slice: about the parameters of 784-300-100-10, and more than any cache holds.
const LENGTHS: [usize; 2] = [266_624, 1 << 24];

/// So small a rate that no number of repetitions leads the weights anywhere.
const LEARNING_RATE: f32 = 1e-9;

pub(super) fn candidates() -> Vec<Candidate> {
    let momentum = |kind| Momentum { learning_rate: LEARNING_RATE, momentum: 0.9, kind };
    let learning_rate = f64::from(LEARNING_RATE);
    let mut all = Vec::new();
    for isa in isas() {
        for len in LENGTHS {
            all.push(candidate::<1>("sgd", isa, len, Sgd { learning_rate: LEARNING_RATE }));
            all.push(candidate::<2>("momentum", isa, len, momentum(MomentumKind::Classic)));
            all.push(candidate::<2>("nesterov", isa, len, momentum(MomentumKind::Nesterov)));
            all.push(candidate::<2>("rmsprop", isa, len, RmsPropSettings { learning_rate, ..Default::default() }.rule()));
            all.push(candidate::<3>("adam", isa, len, AdamSettings { learning_rate, ..Default::default() }.at_step(1)));
        }
    }
    all
}

/// An optimizer of `N - 1` numbers of state per parameter: it reads the gradient, and reads and writes the `N` others.
fn candidate<const N: usize>(name: &str, isa: Isa, len: usize, rule: impl MapOp<1, N> + Copy + 'static) -> Candidate {
    let slice = len * size_of::<f32>();
    let against = vec![Against::copy((1 + N) * slice, (1 + 2 * N) * slice)];
    Candidate::new(id("optimizers", name, isa, len, 1), against, move || open(isa, len, rule))
}

fn open<const N: usize>(isa: Isa, len: usize, rule: impl MapOp<1, N> + Copy + 'static) -> Runner {
    let g = Buffer::new(len, 1.0);
    let mut parameters: [Buffer; N] = std::array::from_fn(|_| Buffer::zeros(len));
    repeat(move || update(isa, rule, black_box(g.get()), parameters.each_mut().map(Buffer::get_mut)))
}
