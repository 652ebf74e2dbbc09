//! [`Buffer`]: numbers at the start of a cache line, as a caller who cares about speed would provide them.

use selvedge::plan::Aligned;

const PER_LINE: usize = 16;

/// `f32` elements of which the first lies at the start of a cache line.
pub(crate) struct Buffer {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` numbers between `-scale` and `scale`, the same in every run.
    pub(crate) fn new(len: usize, scale: f32) -> Self {
        let mut storage = vec![0.0; len + PER_LINE];
        let start = storage.as_ptr().align_offset(align_of::<Aligned<f32>>()).min(PER_LINE);
        for (i, element) in storage.iter_mut().enumerate() {
            *element = (f32::from(byte(i)) / 127.5 - 1.0) * scale;
        }
        Self { storage, start, len }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        Self::new(len, 0.0)
    }

    pub(crate) fn get(&self) -> &[f32] {
        &self.storage[self.start..][..self.len]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..][..self.len]
    }
}

/// Bytes without a pattern that a branch predictor or a prefetcher could learn.
pub(crate) fn byte(i: usize) -> u8 {
    let mut x = (i as u32).wrapping_mul(0x9e37_79b9);
    x ^= x >> 15;
    x = x.wrapping_mul(0x85eb_ca6b);
    (x >> 24) as u8
}
