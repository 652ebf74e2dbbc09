//! Transposition.

use crate::support::buffer::{Buffer, Place};
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::transpose::{transpose, transpose_added, transpose_masked};
use selvedge::reference;
use selvedge::simd::LANES;

/// One shape: alone, with a mask, and added to something.
pub(super) fn case(place: Place, (m, n): (usize, usize)) {
    let mut rng = Rng::with_seed((m * 100 + n) as u64);
    let padding = [rng.usize(..4), rng.usize(..4)];
    let x = Matrix::new(place, (m, n), Layout::padded(padding[0]), |_, _| Numbers::Wild.next(&mut rng));
    // Bits of columns that do not exist are set here and there, too.
    let mask = Buffer::new(place, (0..n * m.div_ceil(LANES)).map(|_| rng.u16(..)).collect());
    let y = |place| Matrix::new(place, (n, m), Layout::padded(padding[1]), |_, _| POISON);
    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n}, padding {padding:?}, {place:?}");
        let (mut found, mut expected) = (y(place), y(Place::Heap));
        transpose(isa, x.as_ref(), found.as_mut());
        reference::transpose::transpose(x.as_ref(), expected.as_mut());
        found.assert_moved(&expected, &case);

        let (mut found, mut expected) = (y(place), y(Place::Heap));
        transpose_masked(isa, x.as_ref(), &mask, found.as_mut());
        reference::transpose::transpose_masked(x.as_ref(), &mask, expected.as_mut());
        found.assert_moved(&expected, &format_args!("{case}, masked"));

        let y = |place| {
            let mut rng = Rng::with_seed((m * 7 + n) as u64);
            Matrix::new(place, (n, m), Layout::padded(padding[1]), |_, _| Numbers::Wild.next(&mut rng))
        };
        let (mut found, mut expected) = (y(place), y(Place::Heap));
        transpose_added(isa, x.as_ref(), found.as_mut());
        reference::transpose::transpose_added(x.as_ref(), expected.as_mut());
        found.assert_same(&expected, &format_args!("{case}, added"));
    }
}

#[test]
fn transposes_equal_their_twins() {
    let sizes = || (0..=2 * LANES + 1).chain([47, 48, 49]);
    for m in sizes() {
        for n in sizes() {
            case(Place::Heap, (m, n));
        }
    }
    case(Place::Heap, (300, 128));
}

#[test]
fn a_mask_drops_even_nan_and_infinity() {
    for isa in isas() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = Matrix::new(Place::Heap, (20, 3), Layout::padded(1), |_, _| bad);
            let mut y = Matrix::new(Place::Heap, (3, 20), Layout::padded(1), |_, _| POISON);
            transpose_masked(isa, x.as_ref(), &[0; 6], y.as_mut());
            for j in 0..3 {
                assert!(y.row(j).iter().all(|y| y.to_bits() == 0), "{isa}: {bad} passes an empty mask");
            }
        }
    }
}
