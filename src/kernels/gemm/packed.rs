//! Copies of the panels of a B whose rows drive each other out of the caches.
//!
//! Rows that are a multiple of 2 KiB apart have two places, or one, in a cache of level 1, and few more in one of level 2. Panels of a single vector
//! are a line of each row, which no cache then keeps from one tile to the next. A copy has its lines beside each other: 256 rows are 16 KiB, which stay
//! in level 1, and more a good part of level 2. What that gains is on the module's page. Where rows do not compete, as in a plan, whose rows are padded,
//! a copy takes longer than it saves.
//!
//! Wide panels, whose tiles take their time for each row, need no more than that level 2 keeps them. So the depth is cut into blocks of few rows instead, if
//! sums can wait in C between two blocks; if they cannot, as in the step of an optimizer, wide panels are copied, too. And so they are for many rows on
//! Intel's processors, where C comes back from a slower level 3 for each block.

use super::NARROW_DEPTH;
use super::micro::{Product, SHALLOW, rows_compete};
use super::shapes::{are_quick, panel_vectors};
use crate::simd::{Isa, LANES, Simd, SimdOp};

/// The fewest rows of A for which rows that compete are not read as they lie: three tiles, or two of wide ones.
pub(super) const FEWEST_ROWS: usize = 16;

/// The fewest for which wide panels are copied if sums cannot wait.
const FEWEST_ROWS_OF_WIDE: usize = 128;

/// The fewest for which they are copied on Intel's processors, whether sums can wait or not.
const FEWEST_ROWS_ON_INTEL: usize = 256;

/// Whether that is faster than to read B where it lies.
pub(super) fn is_faster<const TRANSPOSED: bool>(isa: Isa, product: &Product<'_, TRANSPOSED>, sums_can_wait: bool) -> bool {
    let tile_rows = isa.tile_rows();
    // Most rows do not compete: that is asked first.
    rows_compete(product.b_depth_stride)
        && product.depth() > SHALLOW
        && product.is_in_one_block()
        && are_quick(tile_rows)
        && match panel_vectors(tile_rows, product.m()) {
            1 => product.m() >= FEWEST_ROWS,
            _ if sums_can_wait => isa.is_intel() && product.m() >= FEWEST_ROWS_ON_INTEL && a_stays(product),
            _ => product.m() >= FEWEST_ROWS_OF_WIDE,
        }
}

/// Whether A is no reason against copies: if its rows compete as well, fewer of them stay in a cache at once, and there would be a copy for each few. Of a
/// transposed A a block of the depth stays.
fn a_stays<const TRANSPOSED: bool>(product: &Product<'_, TRANSPOSED>) -> bool {
    let deep_rows_compete = product.depth() > NARROW_DEPTH && rows_compete(product.a_depth_stride());
    !(rows_compete(product.a_row_stride()) || deep_rows_compete)
}

/// The product for some vectors of columns from `column` on, with a copy of what it reads of B in `room`. Asks for what the next panel will read of B if
/// it `fetches`.
pub(super) fn panel<'a, const TRANSPOSED: bool>(
    isa: Isa,
    product: &'a Product<'_, TRANSPOSED>,
    (column, vectors): (usize, usize),
    fetches: bool,
    room: &'a mut [[f32; LANES]],
) -> Product<'a, TRANSPOSED> {
    let first = product.depth.first * product.b_depth_stride + column;
    let width = (vectors * LANES).min(product.n() - column);
    let copy = &mut room[..product.depth() * vectors];
    isa.run(Copy { b: &product.b[first..], stride: product.b_depth_stride, width, fetches, copy, vectors });
    product.with_copy((column, vectors), room.as_flattened())
}

/// Copies `width` columns of B, so many whole vectors for each row.
struct Copy<'a> {
    b: &'a [f32],
    stride: usize,
    width: usize,
    fetches: bool,
    copy: &'a mut [[f32; LANES]],
    vectors: usize,
}

impl SimdOp for Copy<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { b, stride, width, fetches, copy, vectors } = self;
        for (p, copy) in copy.chunks_exact_mut(vectors).enumerate() {
            let row = &b[p * stride..][..width];
            for (vector, copy) in row.chunks(LANES).zip(copy) {
                match vector.try_into() {
                    Ok(vector) => simd.store(simd.load(vector), copy),
                    Err(_) => copy[..vector.len()].copy_from_slice(vector),
                }
                if fetches {
                    simd.prefetch::<2>(vector.as_ptr().wrapping_add(vectors * LANES));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::MatRef;
    use crate::kernels::gemm::RowBlocks;
    use crate::kernels::gemm::twins::Operands;
    use std::vec;

    #[test]
    fn copies_are_made_where_rows_compete_and_of_one_block() {
        let data = vec![0.0; 257 * 512];
        let b = |columns, leading_dimension| MatRef::new(&data, 40, columns, leading_dimension);
        for isa in Isa::with_all_loops() {
            let is_narrow = panel_vectors(isa.tile_rows(), 16) == 1;
            // Where sums can wait, and where they cannot.
            let (few, many) = match are_quick(isa.tile_rows()) {
                false => ([false; 2], [false; 2]),
                true if is_narrow => ([true; 2], [true; 2]),
                true => ([false; 2], [false, true]),
            };
            let very_many = if isa.is_intel() { [many[1]; 2] } else { many };
            for (m, b, expected) in [
                (16, b(100, 512), few),
                (16, b(1024, 1024), few),
                (15, b(1024, 1024), [false; 2]),
                (127, b(1024, 1024), few),
                (128, b(1024, 1024), many),
                (255, b(1024, 1024), many),
                (256, b(1024, 1024), very_many),
                (256, b(100, 528), [false; 2]),
                (128, b(100, 528), [false; 2]),
                (128, b(100, 256), [false; 2]),
            ] {
                let a = MatRef::new(&data, m, 40, 40);
                let found = [true, false].map(|sums_can_wait| is_faster(isa, &Product::of_rows(a, b), sums_can_wait));
                assert_eq!(found, expected, "{isa}, {m} rows, {b:?}");
            }
            let a = MatRef::new(&data, 256, 40, 512);
            let found = is_faster(isa, &Product::of_rows(a, b(1024, 1024)), true);
            assert_eq!(found, few[0], "{isa}, rows of A that compete");
            for (rows_per_block, expected) in [(40, many), (20, [false; 2])] {
                let blocks = RowBlocks::new(&data, (40, 200, 512), rows_per_block, rows_per_block * 512);
                let product = Product::of_columns(blocks, 0, 128, blocks);
                let found = [true, false].map(|sums_can_wait| is_faster(isa, &product, sums_can_wait));
                assert_eq!(found, expected, "{isa}, blocks of {rows_per_block} rows");
            }
            for (k, expected) in [(NARROW_DEPTH, very_many), (NARROW_DEPTH + 1, many)] {
                let blocks = RowBlocks::new(&data, (k, 512, 512), k, k * 512);
                let product = Product::of_columns(blocks, 0, 256, blocks);
                let found = [true, false].map(|sums_can_wait| is_faster(isa, &product, sums_can_wait));
                assert_eq!(found, expected, "{isa}, A transposed, {k} rows");
            }
        }
    }

    /// Depths on both sides of a block and of the longest copy, and a last vector that is not whole. Behind the last row B ends.
    #[test]
    fn copies_change_no_bit() {
        let shapes = [
            (19, 33, 17),
            (128, 33, 17),
            (19, 16, 256),
            (19, 40, 257),
            (19, 7, 600),
            (19, 17, 1024),
            (19, 17, 1025),
            (130, 61, 256),
            (129, 49, 257),
            (128, 64, 300),
            (128, 40, 341),
            (128, 40, 342),
            (256, 49, 17),
            (256, 49, 257),
            (257, 40, 600),
        ];
        for (m, n, k) in shapes.into_iter().filter(|&(m, _, k)| !cfg!(miri) || k == 17 && m <= 128) {
            let operands = Operands::new((m, n, k), 512);
            Isa::with_all_loops().for_each(|isa| operands.assert_bits_of_twins(isa, k));
        }
    }
}
