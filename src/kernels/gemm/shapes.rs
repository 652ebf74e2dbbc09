//! Which tiles cover a product.

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
        let parts = len.div_ceil(longest);
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

/// The number of vectors in a panel of a product of `m` rows: the one whose tiles keep most accumulators in registers, the wider
/// one of equals because a broadcast of A then serves more multiply-adds. A panel of a single tile may have a quarter less, as it reads B
/// only once.
pub(super) fn widest_panel(tile_rows: [usize; 4], m: usize) -> usize {
    if m == 1 {
        // The widest of all, without a search that takes as long as a small product.
        return tile_rows.iter().rposition(|&rows| rows > 0).map_or(1, |last| last + 1);
    }
    let accumulators = |vectors: usize| tile_rows[vectors - 1].min(m.max(1)) * vectors;
    let weight = |vectors: usize| if m <= tile_rows[vectors - 1] { 4 } else { 3 };
    (1..=4).max_by_key(|&vectors| accumulators(vectors) * weight(vectors)).unwrap_or(1)
}

/// Whether the registers hold so many vectors, and some more: as many as the tiles of the widest panel.
pub(super) const fn are_in_registers(tile_rows: [usize; 4], vectors: usize) -> bool {
    tile_rows[3] * 4 >= vectors
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
