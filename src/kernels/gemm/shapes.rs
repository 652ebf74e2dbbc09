//! Which tiles cover a product.

use core::cmp::Reverse;

/// A length cut into parts that differ by at most one: `larger` parts of `size + 1`, then `smaller` parts of `size`.
///
/// An even cut wastes less than full tiles and a remainder: 128 rows are 18 tiles of 6 and 4 of 5, not 21 of 6 and one of 2 that
/// is too short to hide the latency of its multiply-adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// The length of the smaller parts.
    pub size: usize,
    /// How many parts have one more than `size`.
    pub larger: usize,
    /// How many parts have `size`.
    pub smaller: usize,
}

impl Cover {
    /// `len` in the smallest number of parts of at most `longest`.
    ///
    /// # Panics
    /// If `longest` is 0.
    #[inline]
    pub const fn new(len: usize, longest: usize) -> Self {
        if 0 < len && len <= longest {
            // Most often so in small products, of which the divisions below would be a good part.
            return Self { size: len, larger: 0, smaller: 1 };
        }
        Self::of_parts(len, len.div_ceil(longest))
    }

    /// `len` in so many parts; of none, nothing is covered.
    const fn of_parts(len: usize, parts: usize) -> Self {
        if parts == 0 {
            return Self { size: 0, larger: 0, smaller: 0 };
        }
        let larger = len % parts;
        Self { size: len / parts, larger, smaller: parts - larger }
    }

    /// The parts of equal length, as (start, length of a part, number of parts).
    pub(super) fn groups(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let Self { size, larger, smaller } = self;
        [(0, size + 1, larger), (larger * (size + 1), size, smaller)].into_iter().filter(|&(_, _, parts)| parts > 0)
    }

    /// The parts in order, as (start, length).
    pub fn parts(self) -> impl Iterator<Item = (usize, usize)> {
        let Self { size, larger, smaller } = self;
        (0..larger + smaller).map(move |i| (i * size + i.min(larger), size + usize::from(i < larger)))
    }
}

/// The most vectors of a tile, which is one of a single row.
pub(super) const fn most_vectors(tile_rows: [usize; 4]) -> usize {
    let mut vectors = tile_rows.len();
    while vectors > 1 && tile_rows[vectors - 1] == 0 {
        vectors -= 1;
    }
    vectors
}

/// The number of vectors in most panels of a product of `m` rows: the one whose tiles keep most accumulators in registers. Of equals the one
/// of fewer tiles, which read B less often, then the wider one, because a broadcast of A serves more multiply-adds. A panel of a single tile
/// may have a quarter less, as it reads B only once.
pub(super) fn panel_vectors(tile_rows: [usize; 4], m: usize) -> usize {
    if m == 1 {
        // Without a search that takes as long as a small product.
        return most_vectors(tile_rows);
    }
    let key = |&vectors: &usize| {
        let rows = tile_rows[vectors - 1];
        let accumulators = rows.min(m.max(1)) * vectors;
        let tiles = if rows > 0 { m.div_ceil(rows) } else { usize::MAX };
        (accumulators * if tiles <= 1 { 4 } else { 3 }, Reverse(tiles))
    };
    (1..=4).max_by_key(key).unwrap_or(1)
}

/// Whether tiles are quick enough to wait for what they read of B: three rows are not.
pub(super) const fn are_quick(tile_rows: [usize; 4]) -> bool {
    tile_rows[0] > 3
}

/// Whether panels of so many vectors are a line of each row of B, in tiles that wait for those.
pub(super) const fn are_narrow(tile_rows: [usize; 4], vectors: usize) -> bool {
    vectors == 1 && are_quick(tile_rows)
}

/// The panels of a product of so many vectors, most of `panel_vectors` vectors: the others have one more, if their tiles keep as many
/// accumulators and that comes out even, or else one less. So 19 vectors are 5 panels of 3 and one of 4, not 5 of 3 and 2 of 2 whose tiles
/// read B faster than a cache gives it.
pub(super) fn cover_by_panels(tile_rows: [usize; 4], vectors: usize, panel_vectors: usize) -> Cover {
    let accumulators = |vectors: usize| tile_rows.get(vectors - 1).map_or(0, |rows| rows * vectors);
    let wider = panel_vectors + 1;
    let panels = vectors / panel_vectors;
    if panels > 0 && vectors <= panels * wider && accumulators(wider) >= accumulators(panel_vectors) {
        return Cover::of_parts(vectors, panels);
    }
    Cover::new(vectors, panel_vectors)
}

/// Whether the registers hold so many vectors, and some more: as many as the tiles of the widest panel.
pub(super) const fn are_in_registers(tile_rows: [usize; 4], vectors: usize) -> bool {
    tile_rows[3] * 4 >= vectors
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_cover_is_exact_even_and_smallest() {
        for longest in 1..=12 {
            for len in 0..200 {
                let cover = Cover::new(len, longest);
                let mut next = 0;
                for (start, size) in cover.parts() {
                    assert_eq!(start, next);
                    assert!(size <= longest && (size == cover.size || size == cover.size + 1), "{len} by {longest}: {cover:?}");
                    assert!(size > 0);
                    next += size;
                }
                assert_eq!(next, len);
                assert_eq!(cover.larger + cover.smaller, len.div_ceil(longest));
                let one_by_one = cover.groups().flat_map(|(start, size, parts)| (0..parts).map(move |i| (start + i * size, size)));
                assert!(one_by_one.eq(cover.parts()), "{len} by {longest}: {cover:?}");
            }
        }
    }

    /// Registers for 24 accumulators in tiles of three and of four vectors, and for 6 in tiles of one.
    const AVX512: [usize; 4] = [8, 8, 8, 6];
    const AVX2: [usize; 4] = [6, 2, 1, 1];
    const NEON: [usize; 4] = [6, 2, 1, 0];

    #[test]
    fn panels_keep_most_accumulators_in_fewest_tiles() {
        for (tile_rows, m, expected) in [
            (AVX512, 0, 4),
            (AVX512, 1, 4),
            (AVX512, 5, 4),
            (AVX512, 6, 4),
            (AVX512, 7, 3),
            (AVX512, 8, 3),
            // Two tiles of each kind.
            (AVX512, 12, 4),
            (AVX512, 16, 3),
            (AVX512, 18, 4),
            (AVX512, 128, 3),
            (AVX2, 1, 4),
            (NEON, 1, 3),
            (AVX2, 2, 2),
            (AVX2, 3, 1),
            (AVX2, 128, 1),
            ([3, 1, 0, 0], 128, 1),
        ] {
            assert_eq!(panel_vectors(tile_rows, m), expected, "{m} rows in tiles of {tile_rows:?}");
        }
    }

    #[test]
    fn panels_are_no_narrower_where_some_may_be_wider() {
        let sizes = |tile_rows, vectors, panel_vectors| {
            let cover = cover_by_panels(tile_rows, vectors, panel_vectors);
            cover.parts().map(|(_, size)| size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(AVX512, 19, 3), [4, 3, 3, 3, 3, 3]);
        assert_eq!(sizes(AVX512, 20, 3), [4, 4, 3, 3, 3, 3]);
        assert_eq!(sizes(AVX512, 6, 3), [3, 3]);
        assert_eq!(sizes(AVX512, 5, 3), [3, 2]);
        assert_eq!(sizes(AVX512, 2, 3), [2]);
        assert_eq!(sizes(AVX512, 6, 4), [3, 3]);
        assert_eq!(sizes(AVX2, 7, 1), [1; 7]);
        assert_eq!(sizes(AVX2, 5, 2), [2, 2, 1]);
        assert_eq!(sizes(AVX2, 5, 4), [3, 2]);
        assert_eq!(sizes(NEON, 4, 3), [2, 2]);
    }
}
