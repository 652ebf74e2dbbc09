//! Copies of the panels of a B whose rows drive each other out of the caches.
//!
//! Rows that are a multiple of 2 KiB apart have two places, or one, in a cache of level 1, and few more in one of level 2. Panels of a single vector
//! are a line of each row, which no cache then keeps from one tile to the next. A copy has its lines beside each other: 256 rows are 16 KiB, which stay
//! in level 1, and more a good part of level 2. What that gains is on the module's page. Where rows do not compete, as in a plan, whose rows are padded,
//! a copy takes longer than it saves.

use super::micro::{Product, SHALLOW, rows_compete};
use super::shapes::{are_narrow, panel_vectors};
use crate::simd::{Isa, LANES, Simd, SimdOp};

/// The fewest rows of A for which that is faster: three tiles.
pub(super) const FEWEST_ROWS: usize = 16;

/// Whether that is faster than to read B where it lies.
pub(super) fn is_faster<const TRANSPOSED: bool>(isa: Isa, product: &Product<'_, TRANSPOSED>) -> bool {
    let (m, tile_rows) = (product.m(), isa.tile_rows());
    m >= FEWEST_ROWS
        && product.depth() > SHALLOW
        && rows_compete(product.b_depth_stride)
        && product.is_in_one_block()
        && are_narrow(tile_rows, panel_vectors(tile_rows, m))
}

/// The product for the vector of columns from `column` on, with a copy of what it reads of B in `room`. Asks for what the next panel will read of B if
/// it `fetches`.
pub(super) fn panel<'a, const TRANSPOSED: bool>(
    isa: Isa,
    product: &'a Product<'_, TRANSPOSED>,
    column: usize,
    fetches: bool,
    room: &'a mut [[f32; LANES]],
) -> Product<'a, TRANSPOSED> {
    let first = product.depth.first * product.b_depth_stride + column;
    let width = LANES.min(product.n() - column);
    let copy = &mut room[..product.depth()];
    isa.run(Copy { b: &product.b[first..], stride: product.b_depth_stride, width, fetches, copy });
    product.with_copy(column, room.as_flattened())
}

/// Copies `width` columns of B, a whole vector for each row.
struct Copy<'a> {
    b: &'a [f32],
    stride: usize,
    width: usize,
    fetches: bool,
    copy: &'a mut [[f32; LANES]],
}

impl SimdOp for Copy<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { b, stride, width, fetches, copy } = self;
        for (p, copy) in copy.iter_mut().enumerate() {
            let row = &b[p * stride..][..width];
            match row.try_into() {
                Ok(row) => simd.store(simd.load(row), copy),
                Err(_) => copy[..width].copy_from_slice(row),
            }
            if fetches {
                simd.prefetch::<2>(row.as_ptr().wrapping_add(LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::ends::{biased, stored, updated};
    use crate::kernels::gemm::{RowBlocks, Stored, Updated, gemm, gemm_transposed};
    use crate::kernels::optimizers::Sgd;
    use crate::kernels::{MatMut, MatRef};
    use crate::reference;
    use crate::reference::samples::{assert_same_bits, numbers};
    use std::vec;

    #[test]
    fn copies_are_made_where_rows_compete_and_of_one_block() {
        let data = vec![0.0; 40 * 1024];
        let b = |columns, leading_dimension| MatRef::new(&data, 40, columns, leading_dimension);
        for isa in Isa::available() {
            let narrow = isa.tile_rows()[0] > 3 && panel_vectors(isa.tile_rows(), 16) == 1;
            for (m, b, expected) in [
                (16, b(100, 512), narrow),
                (16, b(1024, 1024), narrow),
                (15, b(1024, 1024), false),
                (16, b(100, 528), false),
                (16, b(100, 256), false),
            ] {
                let a = MatRef::new(&data, m, 40, 40);
                assert_eq!(is_faster(isa, &Product::of_rows(a, b)), expected, "{isa}, {m} rows, {b:?}");
            }
            for (rows_per_block, expected) in [(40, narrow), (20, false)] {
                let blocks = RowBlocks::new(&data, (40, 100, 512), rows_per_block, rows_per_block * 512);
                let product = Product::of_columns(blocks, 0, 16, blocks);
                assert_eq!(is_faster(isa, &product), expected, "{isa}, blocks of {rows_per_block} rows");
            }
        }
    }

    /// Depths on both sides of a block and of the longest copy, and a last vector that is not whole. Behind the last row B ends.
    #[test]
    fn copies_change_no_bit() {
        let m = 19;
        for (n, k) in
            [(33, 17), (16, 256), (40, 257), (7, 600), (17, 1024), (17, 1025)].into_iter().filter(|&(_, k)| !cfg!(miri) || k == 17)
        {
            let (a, b, bias) = (numbers(1, m * k), numbers(2, (k - 1) * 512 + n), numbers(3, n));
            let b = MatRef::new(&b, k, n, 512);
            for isa in Isa::available() {
                let (mut found, mut expected) = (vec![7.0; m * n], vec![7.0; m * n]);
                let rows = MatRef::new(&a, m, k, k);
                gemm(isa, rows, b, &mut biased(&bias, MatMut::new(&mut found, m, n, n)));
                reference::gemm::gemm(isa, rows, b, &mut biased(&bias, MatMut::new(&mut expected, m, n, n)));
                assert_same_bits(("A B", isa, n, k), &found, &expected);

                let columns = MatRef::new(&a, k, m, m).into();
                (found, expected) = (vec![7.0; m * n], vec![7.0; m * n]);
                gemm_transposed(isa, columns, (0, m), b.into(), &mut stored(MatMut::new(&mut found, m, n, n)));
                let twin = &mut Stored { c: MatMut::new(&mut expected, m, n, n) };
                reference::gemm::gemm_transposed(isa, columns, (0, m), b.into(), twin);
                assert_same_bits(("A^T B", isa, n, k), &found, &expected);

                let by_sgd = |weights| Updated { rule: Sgd { learning_rate: 0.1 }, parameters: [weights], leading_dimension: n };
                gemm_transposed(isa, columns, (0, m), b.into(), &mut updated(by_sgd(&mut found)));
                reference::gemm::gemm_transposed(isa, columns, (0, m), b.into(), &mut by_sgd(&mut expected));
                assert_same_bits(("A^T B updated", isa, n, k), &found, &expected);
            }
        }
    }
}
