//! One row times a matrix that a cache of level 1 holds: the layers of a small network.
//!
//! Their chains take some ten nanoseconds, and so does cutting the product into blocks, panels and tiles. Here are only the chains.
#![allow(unsafe_code, reason = "B is read through pointers, as in `micro`")]

use super::epilogue::{Epilogue, Place};
use super::micro::rows_without_mask;
use super::shapes::most_vectors;
use crate::kernels::activations::{Activation, Relu};
use crate::kernels::matrix::MatRef;
use crate::simd::{Isa, LANES, Simd, SimdOp, unroll};

/// The most elements of B: 32 KiB. More are asked for ahead, by the tiles of `micro`.
const MOST_ELEMENTS: usize = 8 * 1024;

/// The most columns of B. Of more, all that the registers hold go at once in `row`.
pub(crate) const MOST_COLUMNS: usize = 4 * LANES;

/// Whether B is small.
#[inline(always)]
pub(crate) const fn is_small(rows: usize, columns: usize) -> bool {
    columns <= MOST_COLUMNS && columns * rows <= MOST_ELEMENTS
}

/// Whether that is faster than all else.
#[inline(always)]
pub(super) fn is_faster(a: &MatRef<'_>, b: &MatRef<'_>) -> bool {
    a.rows() == 1 && is_small(b.rows(), b.columns())
}

/// The product of matrices that fit each other and the epilogue, A of one row.
#[inline(always)]
pub(super) fn run(isa: Isa, a: &MatRef<'_>, b: &MatRef<'_>, epilogue: &mut impl Epilogue) {
    isa.run(Small { a: a.row(0), b: b.data(), columns: b.columns(), leading_dimension: b.leading_dimension(), epilogue });
}

/// `y = x W + b`, or the ReLU of that, for a single row and whole vectors of columns, for which nothing needs a mask.
///
/// # Shapes
/// In vectors: `kernel: [x.len(), y.len()]` without padding, `bias: [y.len()]` or none.
///
/// # Panics
/// If the shapes do not fit each other, or there are not 1 to 4 vectors.
#[inline(always)]
#[track_caller]
pub(crate) fn layer_forward(
    isa: Isa,
    x: &[f32],
    kernel: &[[f32; LANES]],
    bias: &[[f32; LANES]],
    is_relu: bool,
    y: &mut [[f32; LANES]],
) {
    let (rows, vectors) = (x.len(), y.len());
    assert!((1..=MOST_COLUMNS / LANES).contains(&vectors), "1 to 4 vectors of columns expected, found {vectors}");
    assert!(kernel.len() == rows * vectors, "a kernel of {rows} x {vectors} vectors expected, found {}", kernel.len());
    assert!(bias.is_empty() || bias.len() == vectors, "a bias of {vectors} vectors expected, found {}", bias.len());
    isa.run(Layer { x, kernel, bias, is_relu, y });
}

struct Layer<'a> {
    x: &'a [f32],
    kernel: &'a [[f32; LANES]],
    bias: &'a [[f32; LANES]],
    is_relu: bool,
    y: &'a mut [[f32; LANES]],
}

impl SimdOp for Layer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.y.len() {
            1 => self.vectors::<S, 1>(simd),
            2 => self.vectors::<S, 2>(simd),
            3 => self.vectors::<S, 3>(simd),
            _ => self.vectors::<S, 4>(simd),
        }
    }
}

impl Layer<'_> {
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(self, simd: S) {
        let Self { x, kernel, bias, is_relu, y } = self;
        let mut sums = [simd.zero(); V];
        if let Some(bias) = bias.first_chunk::<V>() {
            unroll!(V, j => sums[j] = simd.load(&bias[j]));
        }
        for (&element, row) in x.iter().zip(kernel.as_chunks::<V>().0) {
            let element = simd.splat(element);
            unroll!(V, j => sums[j] = simd.mul_add(element, simd.load(&row[j]), sums[j]));
        }
        if is_relu {
            unroll!(V, j => sums[j] = Relu.forward(simd, sums[j]));
        }
        if let Some(y) = y.first_chunk_mut::<V>() {
            unroll!(V, j => simd.store(sums[j], &mut y[j]));
        }
    }
}

/// The operands, each of its numbers by itself: a matrix, which the caller has just written number by number, is copied two numbers at once, and
/// waits until they have arrived in the cache.
struct Small<'a, E> {
    a: &'a [f32],
    b: &'a [f32],
    columns: usize,
    leading_dimension: usize,
    epilogue: &'a mut E,
}

impl<E: Epilogue> SimdOp for Small<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let widest = const { most_vectors(S::TILE_ROWS) * LANES };
        let mut column = 0;
        while column < self.columns {
            let place = Place { row: 0, column, width: widest.min(self.columns - column) };
            match place.width.div_ceil(LANES) {
                1 => self.tile::<S, 1>(simd, place),
                2 => self.tile::<S, 2>(simd, place),
                3 => self.tile::<S, 3>(simd, place),
                _ => self.tile::<S, 4>(simd, place),
            }
            column += widest;
        }
    }
}

impl<E: Epilogue> Small<'_, E> {
    /// The chains of `V` vectors of columns, from their start to their end.
    #[inline(always)]
    fn tile<S: Simd, const V: usize>(&mut self, simd: S, place: Place) {
        // Kept out of the binary where it is never asked for, before code is generated.
        if const { V > most_vectors(S::TILE_ROWS) } {
            unreachable!("no tile of {V} vectors");
        }
        let (a, b, leading_dimension) = (self.a, self.b, self.leading_dimension);
        let unmasked = rows_without_mask(b.len(), place.column, (a.len(), leading_dimension), V);
        let last_mask = simd.mask_first(place.last_width::<V>());
        let row = b.as_ptr().wrapping_add(place.column);
        let mut tile = self.epilogue.begin::<S, 1, V>(simd, place);
        // SAFETY: these columns of the rows of B lie inside its slice, as `MatRef` has checked, and so do whole vectors of those without mask.
        unsafe {
            let row = steps(simd, &a[..unmasked], (row, leading_dimension), None, &mut tile[0]);
            steps(simd, &a[unmasked..], (row, leading_dimension), Some(last_mask), &mut tile[0]);
        }
        self.epilogue.finish(simd, place, tile);
    }
}

/// Adds some elements of A, each times its row of B, from `row` on. Returns the row behind.
///
/// # Safety
/// `V` vectors of each row must be readable, the last one of them as far as there is no mask or the mask is set.
#[inline(always)]
unsafe fn steps<S: Simd, const V: usize>(
    simd: S,
    a: &[f32],
    (mut row, leading_dimension): (*const f32, usize),
    last_mask: Option<S::Mask>,
    sums: &mut [S::F32; V],
) -> *const f32 {
    for &element in a {
        let element = simd.splat(element);
        unroll!(V, j => {
            let source = row.wrapping_add(j * LANES);
            // SAFETY: the caller promises it.
            let vector = unsafe {
                match last_mask {
                    Some(mask) if j + 1 == V => simd.load_pointer_masked(source, mask),
                    _ => simd.load_pointer(source),
                }
            };
            sums[j] = simd.mul_add(element, vector, sums[j]);
        });
        row = row.wrapping_add(leading_dimension);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::ends::{OfRows, biased_relu};
    use crate::kernels::MatMut;
    use crate::kernels::gemm::gemm;
    use crate::reference;
    use crate::reference::samples::{assert_same_bits, numbers};
    use std::vec::Vec;

    #[test]
    fn a_small_row_has_the_bits_of_its_twin() {
        for n in (1..=MOST_COLUMNS).filter(|n| n % 16 < 10) {
            for (k, padding) in [(0, 0), (1, 0), (2, 5), (7, 0), (9, 30), (120, 3)] {
                let leading_dimension = n + padding;
                // The last element of B is the last of its slice.
                let elements = (k * leading_dimension).saturating_sub(padding);
                let (a, b, bias) = (numbers(1, k), numbers(2, elements), numbers(3, n));
                let (a, b) = (MatRef::new(&a, 1, k, k), MatRef::new(&b, k, n, leading_dimension));
                assert!(is_faster(&a, &b), "1 x {n} x {k}");
                for isa in Isa::available() {
                    let [mut expected, mut found] = [0; 2].map(|_| (std::vec![7.0; n], std::vec![7; n.div_ceil(LANES)]));
                    fn epilogue<'a>(bias: &'a [f32], (c, mask): &'a mut (Vec<f32>, Vec<u16>)) -> OfRows<'a> {
                        let n = c.len();
                        biased_relu(bias, MatMut::new(c, 1, n, n), mask)
                    }
                    reference::gemm::gemm(isa, a, b, &mut epilogue(&bias, &mut expected));
                    gemm(isa, a, b, &mut epilogue(&bias, &mut found));
                    assert_same_bits((isa, n, k), &found.0, &expected.0);
                    assert_eq!(found.1, expected.1, "{isa}, 1 x {n} x {k}");
                }
            }
        }
    }

    #[test]
    fn layers_of_other_shapes_are_refused() {
        let forward = |rows: usize, kernel: usize, bias: usize, vectors: usize| {
            let zeros = |len: usize| std::vec![[0.0; LANES]; len];
            let (x, kernel, bias, mut y) = (std::vec![0.0; rows], zeros(kernel), zeros(bias), zeros(vectors));
            std::panic::catch_unwind(move || layer_forward(Isa::detect(), &x, &kernel, &bias, true, &mut y)).is_ok()
        };
        assert!(forward(3, 6, 2, 2) && forward(3, 6, 0, 2) && forward(0, 0, 4, 4));
        assert!(!forward(3, 5, 2, 2), "a kernel that is too short");
        assert!(!forward(3, 7, 2, 2), "a kernel that is too long");
        assert!(!forward(3, 6, 1, 2), "a bias that is too short");
        assert!(!forward(3, 0, 0, 0), "no vectors");
        assert!(!forward(3, 15, 5, 5), "more vectors than registers hold");
    }

    #[test]
    fn what_is_not_small_is_left_to_others() {
        let data = std::vec![0.0; 2 * MOST_ELEMENTS];
        let matrix = |rows, columns| MatRef::new(&data, rows, columns, columns);
        for (m, n, k, expected) in [(1, 64, 128, true), (1, 64, 129, false), (1, 65, 1, false), (2, 4, 4, false), (0, 4, 4, false)]
        {
            assert_eq!(is_faster(&matrix(m, k), &matrix(k, n)), expected, "{m} x {n} x {k}");
        }
    }
}
