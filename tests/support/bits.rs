//! Comparison bit for bit.

use std::fmt::Display;

/// Whether two numbers have the same bits, or are both NaN: which NaN comes out of an operation is outside of the promise.
pub(crate) fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// # Panics
/// If the slices differ in length or in a bit of an element.
#[track_caller]
pub(crate) fn assert_same(found: &[f32], expected: &[f32], case: &dyn Display) {
    assert_eq!(found.len(), expected.len(), "{case}: lengths");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            same(found, expected),
            "{case}: element {i} is {found:e} ({:08x}), {expected:e} ({:08x}) expected",
            found.to_bits(),
            expected.to_bits()
        );
    }
}

/// [`assert_same`] where numbers are only moved, so that even a NaN keeps its bits.
///
/// # Panics
/// If the slices differ in length or in a bit.
#[track_caller]
pub(crate) fn assert_moved(found: &[f32], expected: &[f32], case: &dyn Display) {
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected), "{case}");
}
