//! Rows of a dataset.

use crate::support::buffer::{Buffer, Place};
use crate::support::isas::isas;
use crate::support::matrix::{Layout, Matrix};
use crate::support::numbers::{Numbers, POISON};
use fastrand::Rng;
use selvedge::kernels::gather::{Scaling, gather, gather_bytes};
use selvedge::reference;
use selvedge::simd::LANES;

const SCALINGS: [Scaling; 3] = [Scaling::UNIT, Scaling { scale: 0.011_3, shift: -0.81 }, Scaling { scale: f32::NAN, shift: 0.0 }];

/// Some rows of `n` out of a dataset of seven, with repetitions, in any order.
pub(super) fn case(place: Place, (m, n): (usize, usize)) {
    const ROWS: usize = 7;
    let mut rng = Rng::with_seed((m * 100 + n) as u64);
    let order = Buffer::new(place, (0..m).map(|_| rng.u32(..ROWS as u32)).collect());
    let bytes = Buffer::new(place, (0..ROWS * n).map(|_| rng.u8(..)).collect());
    let x = Matrix::new(place, (ROWS, n), Layout::padded(n % 3), |_, _| Numbers::Wild.next(&mut rng));
    let y = |place| Matrix::new(place, (m, n), Layout::padded(n % 4), |_, _| POISON);
    for isa in isas() {
        for scaling in SCALINGS {
            let (mut found, mut expected) = (y(place), y(Place::Heap));
            gather_bytes(isa, &bytes, &order, scaling, found.as_mut());
            reference::gather::gather_bytes(isa, &bytes, &order, scaling, expected.as_mut());
            found.assert_same(&expected, &format_args!("{isa}, {m} x {n}, {scaling:?}, {place:?}"));
        }
        let (mut found, mut expected) = (y(place), y(Place::Heap));
        gather(isa, x.as_ref(), &order, found.as_mut());
        reference::gather::gather(x.as_ref(), &order, expected.as_mut());
        found.assert_moved(&expected, &format_args!("{isa}, {m} x {n}, {place:?}"));
    }
}

#[test]
fn gathered_rows_equal_their_twins() {
    for n in (0..=2 * LANES + 1).chain([47, 48, 49, 784]) {
        for m in [0, 1, 2, 9] {
            case(Place::Heap, (m, n));
        }
    }
}

#[test]
fn every_byte_has_its_value() {
    let bytes: Vec<u8> = (0..=255).collect();
    for isa in isas() {
        let mut y = Matrix::new(Place::Heap, (1, 256), Layout::padded(0), |_, _| POISON);
        gather_bytes(isa, &bytes, &[0], Scaling { scale: 2.0, shift: -1.0 }, y.as_mut());
        let expected: Vec<f32> = (0..256).map(|byte| (2 * byte - 1) as f32).collect();
        assert_eq!(y.row(0), expected, "{isa}");
    }
}
