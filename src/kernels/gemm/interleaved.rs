//! Tiles that wait in registers, and are finished while the next is computed.
//!
//! To finish a tile takes few multiply-adds but many other instructions, more than a processor looks ahead: at a depth of 32 an
//! optimizer's step on 24 vectors kept the multiply-adds of the next tile waiting for a tenth of the time. So tiles are half as large here, two
//! of them share the registers, and before each vector of one that is finished go some steps of the other's chains.
#![allow(unsafe_code, reason = "A and B are read through pointers, as in `micro`")]

use super::epilogue::{Epilogue, Place, Work};
use super::micro::{Panel, Product, step};
use crate::simd::{LANES, Simd};

/// The greatest depth at which tiles wait. In a deeper product the end of a tile is a small part of it, and tiles of half the rows read B twice as
/// often, which must then come from the cache of level 2: at a depth of 128 that gains 3 % or costs 10 %, by what else uses the processor.
pub(super) const DEPTH: usize = 64;

/// As many chains as keep the multiply-adds of today's processors busy, if nothing ever holds one up: two at once, four cycles each.
const CHAINS: usize = 8;

/// The most rows of a tile of so many vectors of which the registers hold two; 0 if these are no more chains than that.
pub(super) const fn tile_rows(tile_rows: [usize; 4], vectors: usize) -> usize {
    let rows = tile_rows[vectors - 1] / 2;
    if rows * vectors <= CHAINS { 0 } else { rows }
}

/// All tiles of the panels, whose chains start and end here.
///
/// # Safety
/// All rows and columns of the panels must exist in the product.
#[inline(always)]
pub(super) unsafe fn run<S: Simd, E: Epilogue, const TRANSPOSED: bool, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    product: &Product<'_, TRANSPOSED>,
    panel: &Panel,
    epilogue: &mut E,
) {
    for number in 0..panel.panels {
        let column = panel.column + number * VECTORS * LANES;
        let width = (product.n - column).min(VECTORS * LANES);
        let place = Place { row: panel.row, column, width };
        // SAFETY: the caller promises that these rows and columns exist.
        unsafe {
            if const { S::HALVES_ARE_FASTER } && place.is_half_empty::<VECTORS>() {
                run_panel::<S, E, TRANSPOSED, true, ROWS, VECTORS>(simd, product, (place, panel.tiles), epilogue);
            } else {
                run_panel::<S, E, TRANSPOSED, false, ROWS, VECTORS>(simd, product, (place, panel.tiles), epilogue);
            }
        }
    }
}

/// Tiles below each other from a first one on. If the last vector is known to be `HALF` empty, so much less is multiplied.
///
/// # Safety
/// All rows and columns of the tiles must exist in the product.
#[inline(always)]
unsafe fn run_panel<S: Simd, E: Epilogue, const TRANSPOSED: bool, const HALF: bool, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    product: &Product<'_, TRANSPOSED>,
    (first, tiles): (Place, usize),
    epilogue: &mut E,
) {
    // A copy, so that the compiler knows that no store of the epilogue changes it.
    let product = *product;
    let mut waiting: Option<(Place, [[S::F32; VECTORS]; ROWS])> = None;
    for number in 0..tiles {
        let place = Place { row: first.row + number * ROWS, ..first };
        // SAFETY: the caller promises that these rows and columns exist.
        let mut chains = unsafe { Chains::<S, HALF, ROWS, VECTORS>::new(simd, &product, place) };
        chains.tile = epilogue.begin(simd, place);
        if let Some((place, tile)) = waiting {
            epilogue.finish_interleaved(simd, place, tile, &mut chains);
        }
        chains.advance(simd, chains.remaining);
        waiting = Some((place, chains.tile));
    }
    if let Some((place, tile)) = waiting {
        epilogue.finish(simd, place, tile);
    }
}

/// The chains of a tile, as far as they have got.
struct Chains<S: Simd, const HALF: bool, const ROWS: usize, const VECTORS: usize> {
    tile: [[S::F32; VECTORS]; ROWS],
    /// What the next step reads: a column of A, and a row of B, whose last vector only as far as the mask is set.
    a: *const f32,
    b: *const f32,
    last_mask: S::Mask,
    a_row_stride: usize,
    a_depth_stride: usize,
    b_depth_stride: usize,
    /// Steps that are left, and those of them before the next block.
    remaining: usize,
    in_block: usize,
    per_block: usize,
    /// From behind the end of a block to the start of the next, which may lie before it.
    a_jump: usize,
    b_jump: usize,
    steps_per_share: usize,
}

impl<S: Simd, const HALF: bool, const ROWS: usize, const VECTORS: usize> Chains<S, HALF, ROWS, VECTORS> {
    /// Chains of zeros, before the first step.
    ///
    /// # Safety
    /// The rows and columns of the tile must exist in the product, for as long as the chains do.
    #[inline(always)]
    unsafe fn new<const TRANSPOSED: bool>(simd: S, product: &Product<'_, TRANSPOSED>, place: Place) -> Self {
        let Place { row, column, .. } = place;
        let Product { b_depth_stride, depth, .. } = *product;
        let (a_row_stride, a_depth_stride) = (product.a_row_stride(), product.a_depth_stride());
        Self {
            tile: [[simd.zero(); VECTORS]; ROWS],
            a: product.a.as_ptr().wrapping_add(row * a_row_stride + depth.first * a_depth_stride),
            b: product.b.as_ptr().wrapping_add(product.b_column(column) + depth.first * b_depth_stride),
            last_mask: simd.mask_first(place.last_width::<VECTORS>()),
            a_row_stride,
            a_depth_stride,
            b_depth_stride,
            remaining: depth.len,
            in_block: depth.per_block - depth.first,
            per_block: depth.per_block,
            a_jump: depth.a_block_stride.wrapping_sub(depth.per_block.wrapping_mul(a_depth_stride)),
            b_jump: depth.b_block_stride.wrapping_sub(depth.per_block.wrapping_mul(b_depth_stride)),
            steps_per_share: depth.len / (ROWS * VECTORS),
        }
    }

    /// Continues the chains by so many steps, or as many as are left.
    #[inline(always)]
    fn advance(&mut self, simd: S, steps: usize) {
        let steps = steps.min(self.remaining);
        self.remaining -= steps;
        for _ in 0..steps {
            // SAFETY: no more steps are made than the depth has rows, whose elements lie inside their slices, as the constructors of
            // `Product` have checked; the rows and columns of the tile exist, as the caller of `new` has promised.
            unsafe {
                step::<S, HALF, ROWS, VECTORS>(simd, (self.a, self.a_row_stride), (self.b, Some(self.last_mask)), &mut self.tile)
            };
            self.a = self.a.wrapping_add(self.a_depth_stride);
            self.b = self.b.wrapping_add(self.b_depth_stride);
            self.in_block -= 1;
            // Without a branch; a loop for each block is slower, where shares are as short as two steps.
            if self.in_block == 0 {
                self.a = self.a.wrapping_add(self.a_jump);
                self.b = self.b.wrapping_add(self.b_jump);
                self.in_block = self.per_block;
            }
        }
    }
}

impl<S: Simd, const HALF: bool, const ROWS: usize, const VECTORS: usize> Work<S> for Chains<S, HALF, ROWS, VECTORS> {
    #[inline(always)]
    fn share(&mut self, simd: S) {
        self.advance(simd, self.steps_per_share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::ends::stored;
    use crate::kernels::MatMut;
    use crate::kernels::gemm::{Cover, Stored, gemm_transposed};
    use crate::kernels::matrix::MatRef;
    use crate::reference::samples::{assert_same_bits, numbers};
    use crate::simd::Isa;

    #[test]
    fn two_tiles_fit_where_one_of_twice_the_rows_does() {
        assert_eq!([1, 2, 3, 4].map(|vectors| tile_rows([8, 8, 8, 6], vectors)), [0, 0, 4, 3]);
        assert_eq!([1, 2, 3, 4].map(|vectors| tile_rows([6, 2, 1, 1], vectors)), [0; 4]);
    }

    /// Stores tiles, counts those that had waited, and asks for more shares of work than there are.
    struct Counting<'a> {
        stored: Stored<'a>,
        interleaved: usize,
    }

    impl Epilogue for Counting<'_> {
        const INTERLEAVES: bool = true;
        fn check(&self, m: usize, n: usize) {
            self.stored.check(m, n);
        }
        #[inline(always)]
        fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, simd: S, place: Place, tile: [[S::F32; V]; ROWS]) {
            self.stored.finish(simd, place, tile);
        }
        #[inline(always)]
        fn finish_interleaved<S: Simd, const ROWS: usize, const V: usize>(
            &mut self,
            simd: S,
            place: Place,
            tile: [[S::F32; V]; ROWS],
            work: &mut impl Work<S>,
        ) {
            for _ in 0..3 * ROWS * V {
                work.share(simd);
            }
            self.interleaved += 1;
            self.stored.finish(simd, place, tile);
        }
    }

    #[test]
    fn interleaved_tiles_have_the_bits_of_others() {
        for isa in Isa::available().map(|isa| isa.on_intel(false)) {
            let tallest = tile_rows(isa.tile_rows(), 4);
            // Last vectors that are whole, empty by a half and by less.
            let shapes = [
                (1, 64, 32),
                (7, 64, 32),
                (8, 64, 32),
                (31, 61, 40),
                (9, 100, 12),
                (9, 56, 8),
                (31, 57, 40),
                (6, 300, 64),
                (20, 49, 0),
                (20, 64, 65),
            ];
            for (m, n, k) in shapes {
                let (a, b) = (numbers(1, k * m), numbers(2, k * n));
                let (a, b) = (MatRef::new(&a, k, m, m), MatRef::new(&b, k, n, n));
                let (mut found, mut expected) = (std::vec![7.0; m * n], std::vec![7.0; m * n]);
                let mut counting = Counting { stored: Stored { c: MatMut::new(&mut found, m, n, n) }, interleaved: 0 };
                gemm_transposed(isa, a.into(), (0, m), b.into(), &mut counting);
                // One tile of the most rows has no other to wait for, and lower ones do not wait.
                let of_the_most_rows = Cover::new(m, tallest.max(1)).parts().filter(|&(_, rows)| rows == tallest).count();
                let expects_some = k <= DEPTH && of_the_most_rows > 1;
                assert_eq!(counting.interleaved > 0, expects_some, "{isa}, {m} x {n} x {k}");
                gemm_transposed(isa, a.into(), (0, m), b.into(), &mut stored(MatMut::new(&mut expected, m, n, n)));
                assert_same_bits((isa, m, n, k), &found, &expected);
            }
        }
    }
}
