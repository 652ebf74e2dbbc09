//! One row times a large matrix, which is as fast as the matrix can be read.
//!
//! A tile goes down some columns of B: it reads a piece of each row, and the next row is kilobytes away. Here some rows of B are read side
//! by side, from their first column to the last, as many streams as a processor foresees. Their elements of A stay in registers meanwhile,
//! and the sums wait in C.
#![allow(unsafe_code, reason = "A and B are read through pointers, as in `micro`")]

use super::epilogue::{Epilogue, Place, begin_or_load, finish_or_store};
use super::micro::Product;
use super::shapes::are_in_registers;
use crate::simd::{Isa, LANES, Simd, SimdOp};

/// The smallest B for which that is faster, in elements: a cache of level 2 (2 MiB at most) is as fast either way.
pub(super) const SMALLEST: usize = 512 * 1024;

/// How many rows of B are read side by side. More are slower again.
const STREAMS: usize = 24;

/// Whether the registers hold an element of A for each stream, and some vectors more.
const fn has_registers(tile_rows: [usize; 4]) -> bool {
    are_in_registers(tile_rows, STREAMS)
}

/// Whether that is faster than tiles.
pub(super) fn is_faster(isa: Isa, product: &Product<'_, false>) -> bool {
    // The instruction set last: small products of one row, where each nanosecond shows, end at their size.
    product.m() == 1 && product.depth() * product.n() >= SMALLEST && has_registers(isa.tile_rows())
}

/// The product, with an epilogue that has partial sums.
pub(super) fn run(isa: Isa, product: &Product<'_, false>, epilogue: &mut impl Epilogue) {
    isa.run(Sweep { product, epilogue });
}

struct Sweep<'a, E> {
    product: &'a Product<'a, false>,
    epilogue: &'a mut E,
}

impl<E: Epilogue> SimdOp for Sweep<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        // Kept out of the binary where it is never asked for, before code is generated.
        if const { !has_registers(S::TILE_ROWS) } {
            unreachable!("too few registers");
        }
        let depth = self.product.depth();
        let mut first = 0;
        while first < depth {
            first += match depth - first {
                STREAMS.. => self.rows::<S, STREAMS>(simd, first),
                _ => self.rows::<S, 1>(simd, first),
            };
        }
    }
}

impl<E: Epilogue> Sweep<'_, E> {
    /// Continues all chains by the next `DEPTH` rows of B, and returns how many that are.
    #[inline(always)]
    fn rows<S: Simd, const DEPTH: usize>(&mut self, simd: S, first: usize) -> usize {
        // A copy, so that the compiler knows that no store of the epilogue changes it.
        let product = *self.product;
        assert!(product.m() == 1 && first + DEPTH <= product.depth());
        let (starts, ends) = (first == 0, first + DEPTH == product.depth());
        let first = product.depth.first + first;
        let mut a = [simd.zero(); DEPTH];
        for (p, element) in a.iter_mut().enumerate() {
            // SAFETY: it is an element of A, as the constructor of `Product` has checked.
            *element = simd.splat(unsafe { *product.a.as_ptr().wrapping_add(first + p) });
        }
        let b = product.b.as_ptr().wrapping_add(first * product.b_depth_stride);
        let chains = Chains::<S, DEPTH> { a, b, b_depth_stride: product.b_depth_stride, starts, ends };
        let (whole, last) = (product.n() / LANES * LANES, product.n() % LANES);
        // SAFETY: these columns of `DEPTH` rows of B lie inside its slice, as the constructor of `Product` has checked.
        unsafe {
            for column in (0..whole).step_by(LANES) {
                chains.advance(simd, Place { row: 0, column, width: LANES }, None, self.epilogue);
            }
            if last > 0 {
                chains.advance(simd, Place { row: 0, column: whole, width: last }, Some(simd.mask_first(last)), self.epilogue);
            }
        }
        DEPTH
    }
}

/// What the chains of all columns have in common for some rows of B.
struct Chains<S: Simd, const DEPTH: usize> {
    /// The elements of A, each in all lanes.
    a: [S::F32; DEPTH],
    b: *const f32,
    b_depth_stride: usize,
    starts: bool,
    ends: bool,
}

impl<S: Simd, const DEPTH: usize> Chains<S, DEPTH> {
    /// Continues the chains of a vector of columns.
    ///
    /// # Safety
    /// Its lanes that are set in the mask, all without one, must be readable in `DEPTH` rows of B.
    #[inline(always)]
    unsafe fn advance(&self, simd: S, place: Place, mask: Option<S::Mask>, epilogue: &mut impl Epilogue) {
        let mut sums: [[S::F32; 1]; 1] = begin_or_load(simd, epilogue, place, self.starts);
        let mut b = self.b.wrapping_add(place.column);
        for element in self.a {
            // SAFETY: the caller promises that the vector is readable.
            let vector = unsafe {
                match mask {
                    None => simd.load_pointer(b),
                    Some(mask) => simd.load_pointer_masked(b, mask),
                }
            };
            sums[0][0] = simd.mul_add(element, vector, sums[0][0]);
            b = b.wrapping_add(self.b_depth_stride);
        }
        finish_or_store(simd, epilogue, place, self.ends, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::ends::biased;
    use crate::kernels::{MatMut, MatRef};
    use crate::reference;
    use crate::reference::samples::{assert_same_bits, numbers};

    /// Depths around multiples of the streams, a last vector that is whole and one that is not.
    #[test]
    fn one_row_has_the_bits_of_its_twin() {
        for (k, n) in [(1, 1), (23, 40), (24, 16), (25, 17), (100, 33)] {
            let ld = n + 5;
            let (a, b, bias) = (numbers(1, k), numbers(2, k * ld), numbers(3, n));
            let (a, b) = (MatRef::new(&a, 1, k, k), MatRef::new(&b, k, n, ld));
            for isa in Isa::available().filter(|isa| has_registers(isa.tile_rows())) {
                let mut expected = std::vec![7.0; n];
                reference::gemm::gemm(isa, a, b, &mut biased(&bias, MatMut::new(&mut expected, 1, n, n)));
                let mut found = std::vec![7.0; n];
                run(isa, &Product::of_rows(a, b), &mut biased(&bias, MatMut::new(&mut found, 1, n, n)));
                assert_same_bits((isa, n, k), &found, &expected);
            }
        }
    }
}
