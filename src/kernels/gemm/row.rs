//! One row times a matrix that a cache of level 2 holds: as fast as it gives it away.
//!
//! A tile of one row is four vectors wide and goes down its columns: a piece of each row of B, then a jump. Here all columns, or as many as there
//! are registers, go at once, so that B is read from its first element to its last, and asked for into level 1 some rows ahead: 784 x 300 in
//! 5.8 microseconds instead of 7.8 on a Zen 5, where nothing but reading takes 5.2.
#![allow(unsafe_code, reason = "A and B are read through pointers, as in `micro`")]

use super::epilogue::{Epilogue, Place};
use super::micro::{Product, rows_ahead};
use super::shapes::{Cover, are_in_registers};
use super::sweep;
use crate::simd::{Isa, LANES, Simd, SimdOp, unroll};

/// Vectors are taken in groups, which are as wide as the widest tile.
const GROUP: usize = 4;

/// The most rows that B is asked for ahead. A row of a few groups takes as long as level 2 to answer; many rows of almost 4 KiB would drive each other
/// out of level 1 before they are used.
const MOST_ROWS_AHEAD: usize = 3;

/// As many groups as there are registers for.
const MOST_GROUPS: usize = 6;

const fn has_registers(tile_rows: [usize; 4]) -> bool {
    are_in_registers(tile_rows, MOST_GROUPS * GROUP)
}

/// Whether that is faster than tiles. A B that level 2 does not hold is for [`sweep`].
pub(super) fn is_faster(isa: Isa, product: &Product<'_, false>) -> bool {
    // The instruction set last: small products of one row, where each nanosecond shows, end at their size.
    product.m() == 1
        && product.n() > GROUP * LANES
        && product.depth() * product.n() < sweep::SMALLEST
        && has_registers(isa.tile_rows())
}

/// The product.
pub(super) fn run(isa: Isa, product: &Product<'_, false>, epilogue: &mut impl Epilogue) {
    for (first, groups) in Cover::new(product.n().div_ceil(GROUP * LANES), MOST_GROUPS).parts() {
        let column = first * GROUP * LANES;
        macro_rules! choose {
            ($($groups:literal)+) => {
                match groups {
                    $($groups => isa.run(Groups::<_, $groups> { product, column, epilogue }),)+
                    _ => unreachable!("more than one group is not cut into {groups}"),
                }
            };
        }
        choose!(2 3 4 5 6);
    }
}

/// Some groups of columns.
struct Groups<'a, E, const GROUPS: usize> {
    product: &'a Product<'a, false>,
    /// The first.
    column: usize,
    epilogue: &'a mut E,
}

impl<E: Epilogue, const GROUPS: usize> SimdOp for Groups<'_, E, GROUPS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kept out of the binary where it is never asked for, before code is generated.
        if const { !has_registers(S::TILE_ROWS) } {
            unreachable!("too few registers");
        }
        // A copy, so that the compiler knows that no store of the epilogue changes it.
        let product = *self.product;
        assert!(product.m() == 1 && self.column + (GROUPS - 1) * GROUP * LANES < product.n());
        // The columns that are left to the group, of which it may have fewer than its vectors hold.
        let left_to = |group: usize| product.n() - self.column - group * GROUP * LANES;
        let place =
            |group: usize| Place { row: 0, column: self.column + group * GROUP * LANES, width: left_to(group).min(GROUP * LANES) };
        let mut tile = [[simd.zero(); GROUP]; GROUPS];
        unroll!(GROUPS <= 8, i => tile[i] = begin(simd, self.epilogue, place(i)));
        let mut last_masks = [simd.mask_first(0); GROUP];
        unroll!(GROUP, j => last_masks[j] = simd.mask_first(left_to(GROUPS - 1).saturating_sub(j * LANES)));
        let mut a = product.a.as_ptr().wrapping_add(product.depth.first);
        let mut b = product.b.as_ptr().wrapping_add(product.depth.first * product.b_depth_stride + self.column);
        let ahead = rows_ahead(product.b_depth_stride).min(MOST_ROWS_AHEAD) * product.b_depth_stride;
        for _ in 0..product.depth() {
            // SAFETY: it is an element of A, as the constructor of `Product` has checked.
            let element = simd.splat(unsafe { *a });
            unroll!(GROUPS <= 8, i => unroll!(GROUP, j => {
                let source = b.wrapping_add((i * GROUP + j) * LANES);
                // SAFETY: they are columns of a row of B, as the constructor of `Product` has checked; in the last group as far as the
                // mask is set.
                let vector = unsafe {
                    if i + 1 < GROUPS { simd.load_pointer(source) } else { simd.load_pointer_masked(source, last_masks[j]) }
                };
                simd.prefetch::<1>(source.wrapping_add(ahead));
                tile[i][j] = simd.mul_add(element, vector, tile[i][j]);
            }));
            a = a.wrapping_add(1);
            b = b.wrapping_add(product.b_depth_stride);
        }
        unroll!(GROUPS <= 8, i => finish(simd, self.epilogue, place(i), tile[i]));
    }
}

/// What the chains of a group start from.
#[inline(always)]
fn begin<S: Simd>(simd: S, epilogue: &mut impl Epilogue, place: Place) -> [S::F32; GROUP] {
    let mut group = [simd.zero(); GROUP];
    macro_rules! choose {
        ($($vectors:literal)+) => {
            match place.width.div_ceil(LANES) {
                $($vectors => {
                    let [begun] = epilogue.begin::<S, 1, $vectors>(simd, place);
                    unroll!($vectors, j => group[j] = begun[j]);
                })+
                _ => unreachable!("no group of {} columns", place.width),
            }
        };
    }
    choose!(1 2 3 4);
    group
}

/// Hands the finished chains of a group on.
#[inline(always)]
fn finish<S: Simd>(simd: S, epilogue: &mut impl Epilogue, place: Place, group: [S::F32; GROUP]) {
    macro_rules! choose {
        ($($vectors:literal)+) => {
            match place.width.div_ceil(LANES) {
                $($vectors => {
                    let mut finished = [simd.zero(); $vectors];
                    unroll!($vectors, j => finished[j] = group[j]);
                    epilogue.finish::<S, 1, $vectors>(simd, place, [finished]);
                })+
                _ => unreachable!("no group of {} columns", place.width),
            }
        };
    }
    choose!(1 2 3 4);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::ends::{OfRows, biased_relu};
    use crate::kernels::{MatMut, MatRef};
    use crate::reference;
    use crate::reference::samples::{assert_same_bits, numbers};
    use std::vec::Vec;

    /// Every number of groups, more than go at once, and last groups of every number of vectors, whole or not.
    #[test]
    fn one_row_has_the_bits_of_its_twin() {
        for n in [65, 80, 96, 100, 128, 129, 180, 192, 230, 256, 300, 320, 384, 385, 460, 832] {
            for k in [0, 1, 7] {
                let ld = n + 5;
                // The last element of B is the last of its slice.
                let (a, b, bias) = (numbers(1, k), numbers(2, (k * ld).saturating_sub(5)), numbers(3, n));
                let (a, b) = (MatRef::new(&a, 1, k, k), MatRef::new(&b, k, n, ld));
                for isa in Isa::available().filter(|isa| has_registers(isa.tile_rows())) {
                    let product = Product::of_rows(a, b);
                    assert!(is_faster(isa, &product));
                    let [mut expected, mut found] = [0; 2].map(|_| (std::vec![7.0; n], std::vec![7; n.div_ceil(LANES)]));
                    let epilogue = |(c, mask): &mut (Vec<f32>, Vec<u16>), f: &dyn Fn(&mut OfRows<'_>)| {
                        f(&mut biased_relu(&bias, MatMut::new(c, 1, n, n), mask));
                    };
                    epilogue(&mut expected, &|epilogue| reference::gemm::gemm(isa, a, b, epilogue));
                    epilogue(&mut found, &|epilogue| run(isa, &product, epilogue));
                    assert_same_bits((isa, n, k), &found.0, &expected.0);
                    assert_eq!(found.1, expected.1, "{isa}, 1 x {n} x {k}");
                }
            }
        }
    }
}
