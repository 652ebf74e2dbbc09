//! A small part of a matrix, as large as what is kept in registers.
#![allow(unsafe_code, reason = "a tile is checked once: a check for each of its rows takes as long as what is done with the row")]

use super::{LANES, Simd, unroll};

/// Where a tile lies in a slice: `ROWS` rows of a row-major matrix, of `V` vectors of which only the last may be partial.
///
/// It is a place, not a part of a slice, because weights and the state of their optimizer have the same places.
#[derive(Clone, Copy, Debug)]
pub struct Tile<const ROWS: usize, const V: usize> {
    start: usize,
    leading_dimension: usize,
    /// The elements of the last vector.
    last: usize,
    end: usize,
}

impl<const ROWS: usize, const V: usize> Tile<ROWS, V> {
    /// The `width` columns from `column` on, from row `row` on.
    ///
    /// # Panics
    /// If the columns are not more than `V - 1` and at most `V` vectors.
    #[inline(always)]
    #[track_caller]
    pub fn new(leading_dimension: usize, (row, column, width): (usize, usize, usize)) -> Self {
        if ROWS == 0 || width <= (V - 1) * LANES || width > V * LANES {
            refuse_width(ROWS, V, width);
        }
        let start = row.checked_mul(leading_dimension).and_then(|start| start.checked_add(column));
        let reach = leading_dimension.checked_mul(ROWS - 1).and_then(|reach| reach.checked_add(width));
        let (start, end) = match (start, reach) {
            (Some(start), Some(reach)) => (start, start.saturating_add(reach)),
            _ => (usize::MAX, usize::MAX),
        };
        Self { start, leading_dimension, last: width - (V - 1) * LANES, end }
    }

    /// Where vector `j` of row `i` begins.
    #[inline(always)]
    #[track_caller]
    fn at(&self, len: usize, i: usize, j: usize) -> usize {
        // No slice is as long as `usize::MAX`, which stands for more.
        if self.end > len || i >= ROWS || j >= V {
            refuse(self.end, len);
        }
        self.start + i * self.leading_dimension + j * LANES
    }

    /// Vector `j` of row `i`, with zeros where it has no elements.
    ///
    /// # Panics
    /// If the tile reaches beyond the slice.
    #[inline(always)]
    #[track_caller]
    pub fn load<S: Simd>(&self, simd: S, matrix: &[f32], i: usize, j: usize) -> S::F32 {
        let at = self.at(matrix.len(), i, j);
        // SAFETY: `at` has checked that all vectors of all rows lie inside the slice, the last vector of a row as far as it goes.
        unsafe {
            let source = matrix.as_ptr().add(at);
            // Loads through a mask are free where something hides them, but some processors do not foresee them: a Zen 5 took twice as long for
            // sums from memory, whose loads were all of that kind.
            if j + 1 < V || self.last == LANES && (V == 1 || !S::MASKED_LOADS_ARE_FREE) {
                simd.load_pointer(source)
            } else {
                simd.load_pointer_masked(source, simd.mask_first(self.last))
            }
        }
    }

    /// All vectors of row `i`.
    ///
    /// # Panics
    /// If the tile reaches beyond the slice.
    #[inline(always)]
    #[track_caller]
    pub fn load_row<S: Simd>(&self, simd: S, matrix: &[f32], i: usize) -> [S::F32; V] {
        let mut vectors = [simd.zero(); V];
        unroll!(V, j => vectors[j] = self.load(simd, matrix, i, j));
        vectors
    }

    /// Replaces vector `j` of row `i`.
    ///
    /// # Panics
    /// If the tile reaches beyond the slice.
    #[inline(always)]
    #[track_caller]
    pub fn store<S: Simd>(&self, simd: S, matrix: &mut [f32], (i, j): (usize, usize), vector: S::F32) {
        let at = self.at(matrix.len(), i, j);
        if j + 1 < V {
            // SAFETY: as in `load`; all bits are a number, so an array may be where there were elements.
            simd.store(vector, unsafe { &mut *matrix.as_mut_ptr().add(at).cast::<[f32; LANES]>() });
        } else {
            // SAFETY: the same.
            simd.store_first(vector, unsafe { core::slice::from_raw_parts_mut(matrix.as_mut_ptr().add(at), self.last) });
        }
    }

    /// Replaces all vectors of row `i`.
    ///
    /// # Panics
    /// If the tile reaches beyond the slice.
    #[inline(always)]
    #[track_caller]
    pub fn store_row<S: Simd>(&self, simd: S, matrix: &mut [f32], i: usize, vectors: [S::F32; V]) {
        unroll!(V, j => self.store(simd, matrix, (i, j), vectors[j]));
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse_width(rows: usize, vectors: usize, width: usize) -> ! {
    panic!("no tile of {rows} rows and {vectors} vectors has {width} columns");
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse(end: usize, len: usize) -> ! {
    panic!("a vector of a tile up to element {end} expected, found {len} elements");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, SimdOp};
    use std::vec::Vec;

    /// Doubles a tile of 3 rows and 2 vectors.
    struct Doubled<'a>(&'a mut [f32], usize, (usize, usize, usize));

    impl SimdOp for Doubled<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let tile = Tile::<3, 2>::new(self.1, self.2);
            for i in 0..3 {
                let [first, last] = tile.load_row(simd, self.0, i);
                tile.store_row(simd, self.0, i, [simd.add(first, first), simd.add(last, last)]);
            }
        }
    }

    #[test]
    fn a_tile_is_its_elements_and_no_others() {
        for isa in Isa::available() {
            for width in LANES + 1..=2 * LANES {
                for (row, column) in [(0, 0), (2, 5)] {
                    let leading_dimension = 37;
                    // The last element of the tile is the last of the slice.
                    let mut matrix: Vec<f32> = (0..(row + 2) * leading_dimension + column + width).map(|x| x as f32).collect();
                    isa.run(Doubled(&mut matrix, leading_dimension, (row, column, width)));
                    for (at, found) in matrix.into_iter().enumerate() {
                        let (i, j) = (at / leading_dimension, at % leading_dimension);
                        let inside = (row..row + 3).contains(&i) && (column..column + width).contains(&j);
                        assert_eq!(found, at as f32 * if inside { 2.0 } else { 1.0 }, "{isa}, width {width}, row {i}, column {j}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a vector of a tile up to element 107 expected, found 106 elements")]
    fn a_tile_beyond_the_slice_is_refused() {
        Isa::PORTABLE.run(Doubled(&mut [0.0; 106], 37, (0, 2, 31)));
    }

    #[test]
    #[should_panic(expected = "expected, found 106 elements")]
    fn a_tile_beyond_all_memory_is_refused() {
        Isa::PORTABLE.run(Doubled(&mut [0.0; 106], usize::MAX / 2 + 1, (0, 0, 31)));
    }

    #[test]
    #[should_panic(expected = "no tile of 3 rows and 2 vectors has 16 columns")]
    fn a_tile_of_fewer_vectors_is_refused() {
        Tile::<3, 2>::new(37, (0, 0, 16));
    }
}
