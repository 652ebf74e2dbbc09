//! Copies and sums of matrices.

use crate::support::buffer::Place;
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::merge::{add, copy};
use selvedge::reference;
use selvedge::simd::LANES;

/// One shape.
pub(super) fn case(place: Place, (m, n): (usize, usize)) {
    let mut rng = Rng::with_seed((m * 100 + n) as u64);
    let padding = [rng.usize(..4), rng.usize(..4)];
    let x = Matrix::new(place, (m, n), Layout::padded(padding[0]), |_, _| Numbers::Wild.next(&mut rng));
    let case = format!("{m} x {n}, padding {padding:?}, {place:?}");
    let y = |place| Matrix::new(place, (m, n), Layout::padded(padding[1]), |_, _| POISON);
    let (mut found, mut expected) = (y(place), y(Place::Heap));
    copy(x.as_ref(), found.as_mut());
    reference::merge::copy(x.as_ref(), expected.as_mut());
    found.assert_moved(&expected, &format_args!("{case}, copied"));

    let y = |place| {
        let mut rng = Rng::with_seed((m * 7 + n) as u64);
        Matrix::new(place, (m, n), Layout::padded(padding[1]), |_, _| Numbers::Wild.next(&mut rng))
    };
    for isa in isas() {
        let (mut found, mut expected) = (y(place), y(Place::Heap));
        add(isa, x.as_ref(), found.as_mut());
        reference::merge::add(x.as_ref(), expected.as_mut());
        found.assert_same(&expected, &format_args!("{isa}, {case}, added"));
    }
}

#[test]
fn merges_equal_their_twins() {
    for m in [0, 1, 2, 5] {
        for n in (0..=2 * LANES + 1).chain([47, 48, 49, 300]) {
            case(Place::Heap, (m, n));
        }
    }
}
