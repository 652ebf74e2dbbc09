//! PReLU where it lies.

use crate::support::bits::assert_same;
use crate::support::buffer::{Buffer, Place};
use crate::support::isas::isas;
use crate::support::numbers::Numbers;
use fastrand::Rng;
use selvedge::kernels::activations::{prelu_backward_in_place, prelu_forward_in_place};
use selvedge::reference::activations::{prelu, prelu_alpha_term};
use selvedge::simd::LANES;

/// One row, `offset` elements into its buffers.
pub(super) fn case(place: Place, len: usize, offset: usize) {
    for numbers in [Numbers::Real, Numbers::Wild] {
        let mut rng = Rng::with_seed(len as u64);
        let [alpha, z, dy] = [0; 3].map(|_| numbers.vec(&mut rng, offset + len));
        let slopes = Buffer::new(place, alpha.clone());
        for isa in isas() {
            let case = format_args!("{isa}, {len} from {offset}, {numbers:?}, {place:?}");
            let mut found = Buffer::new(place, z.clone());
            prelu_forward_in_place(isa, &slopes[offset..], &mut found[offset..]);
            let behind = |f: &dyn Fn(usize) -> f32, kept: &[f32]| -> Vec<f32> {
                (0..offset + len).map(|i| if i < offset { kept[i] } else { f(i) }).collect()
            };
            assert_same(&found, &behind(&|i| prelu(alpha[i], z[i], z[i]), &z), &format_args!("forward, {case}"));

            let (mut terms, mut dz) = (Buffer::new(place, z.clone()), Buffer::new(place, dy.clone()));
            prelu_backward_in_place(isa, &slopes[offset..], &mut terms[offset..], &mut dz[offset..]);
            assert_same(&terms, &behind(&|i| prelu_alpha_term(z[i], dy[i]), &z), &format_args!("terms, {case}"));
            assert_same(&dz, &behind(&|i| prelu(alpha[i], z[i], dy[i]), &dy), &format_args!("backward, {case}"));
        }
    }
}

#[test]
fn prelu_in_place_equals_its_twin() {
    for len in (0..=2 * LANES + 1).chain([47, 48, 49, 300]) {
        for offset in [0, 1, 5, 15] {
            case(Place::Heap, len, offset);
        }
    }
}
