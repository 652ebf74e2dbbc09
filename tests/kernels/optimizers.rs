//! Optimizers over flat slices.

use crate::support::bits::assert_same;
use crate::support::buffer::{Buffer, Place};
use crate::support::isas::isas;
use crate::support::numbers::Numbers;
use fastrand::Rng;
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Regularized, Sgd, add_penalty, update};
use selvedge::reference::{self, optimizers::Rule};
use selvedge::simd::{Isa, LANES, MapOp};

/// Three steps, from parameters and gradients that lie `offset` elements into their buffers.
fn steps<const N: usize>(
    isa: Isa,
    rule: impl MapOp<1, N> + Rule<N> + Copy,
    place: Place,
    (len, offset): (usize, usize),
    case: &str,
) {
    for numbers in [Numbers::Real, Numbers::Wild] {
        let mut rng = Rng::with_seed(len as u64);
        let start: [Vec<f32>; N] = std::array::from_fn(|_| numbers.vec(&mut rng, offset + len));
        let (mut found, mut expected) = (start.each_ref().map(|x| Buffer::new(place, x.clone())), start);
        for step in 0..3 {
            let g = Buffer::new(place, numbers.vec(&mut rng, offset + len));
            update(isa, rule, &g[offset..], found.each_mut().map(|x| &mut x[offset..]));
            reference::optimizers::update(isa, &rule, &g[offset..], expected.each_mut().map(|x| &mut x[offset..]));
            for (found, expected) in found.iter().zip(&expected) {
                assert_same(
                    found,
                    expected,
                    &format_args!("{isa}, {case}, {len} from {offset}, {numbers:?}, step {step}, {place:?}"),
                );
            }
        }
    }
}

/// A rule that shows the gradient that it is given, in the place of its second number.
struct Shown;

impl Rule<2> for Shown {
    fn step(&self, _: Isa, g: f32, [w, _]: [f32; 2]) -> [f32; 2] {
        [w, g]
    }
}

/// The gradient of a penalty is the one that [`Regularized`] gives its rule.
fn penalties(isa: Isa, (l1, l2): (f32, f32), place: Place, (len, offset): (usize, usize)) {
    for numbers in [Numbers::Real, Numbers::Wild] {
        let mut rng = Rng::with_seed(len as u64);
        let [w, g] = [0; 2].map(|_| numbers.vec(&mut rng, offset + len));
        let (weights, mut found) = (Buffer::new(place, w.clone()), Buffer::new(place, g.clone()));
        add_penalty(isa, l1, l2, &weights[offset..], &mut found[offset..]);
        let rule = Regularized { l1, l2, rule: Shown };
        let element = |i: usize| if i < offset { g[i] } else { rule.step(isa, g[i], [w[i], 0.0])[1] };
        let expected: Vec<f32> = (0..offset + len).map(element).collect();
        assert_same(&found, &expected, &format_args!("{isa}, {len} from {offset}, l1 {l1}, l2 {l2}, {numbers:?}, {place:?}"));
    }
}

/// Every rule over slices of one length.
pub(super) fn case(place: Place, len: usize, offset: usize) {
    for isa in isas() {
        steps(isa, Sgd { learning_rate: 0.03 }, place, (len, offset), "gradient descent");
        for kind in [MomentumKind::Classic, MomentumKind::Nesterov] {
            let rule = Momentum { learning_rate: 0.03, momentum: 0.9, kind };
            steps(isa, rule, place, (len, offset), &format!("{rule:?}"));
        }
        for factors in [(0.01, 0.02), (0.0, 0.3), (0.3, 0.0)] {
            penalties(isa, factors, place, (len, offset));
        }
    }
}

#[test]
fn optimizers_equal_their_twins() {
    for len in (0..=2 * LANES + 1).chain([47, 48, 49, 1000]) {
        for offset in [0, 1, 5, 15] {
            case(Place::Heap, len, offset);
        }
    }
}

/// Weights after five steps from 1, with the gradients 0.01, 1, 1, 1, 1, as Keras computes them.
#[test]
fn optimizers_step_as_keras_does() {
    let momentum = |kind| Momentum { learning_rate: 0.01, momentum: 0.9, kind };
    let plain = [0.9999, 0.9899, 0.9799, 0.9699, 0.9599];
    let classic = [0.9999, 0.98981, 0.970_729, 0.943_556_1, 0.909_100_49];
    let nesterov = [0.99981, 0.980_729, 0.953_556_1, 0.919_100_49, 0.878_090_441];
    for isa in isas() {
        let (mut w, mut classic_w, mut nesterov_w) = ([1.0], [1.0], [1.0]);
        let (mut classic_v, mut nesterov_v) = ([0.0], [0.0]);
        for (step, g) in [0.01, 1.0, 1.0, 1.0, 1.0].into_iter().enumerate() {
            update(isa, Sgd { learning_rate: 0.01 }, &[g], [&mut w]);
            update(isa, momentum(MomentumKind::Classic), &[g], [&mut classic_w, &mut classic_v]);
            update(isa, momentum(MomentumKind::Nesterov), &[g], [&mut nesterov_w, &mut nesterov_v]);
            for (found, expected) in [(w, plain), (classic_w, classic), (nesterov_w, nesterov)] {
                let error = (f64::from(found[0]) - expected[step]).abs();
                assert!(error < 2e-7, "{isa}, step {step}: {} expected, found {}", expected[step], found[0]);
            }
        }
    }
}
