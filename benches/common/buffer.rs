//! [`Buffer`]: numbers where a caller who cares about speed would have them.

use selvedge::memory;

/// `f32` elements, those of a large one in huge pages.
pub(crate) struct Buffer(memory::Buffer);

impl Buffer {
    /// `len` numbers between `-scale` and `scale`, the same in every run.
    pub(crate) fn new(len: usize, scale: f32) -> Self {
        let mut buffer = memory::Buffer::zeros(len);
        for (i, element) in buffer.iter_mut().enumerate() {
            *element = (f32::from(byte(i)) / 127.5 - 1.0) * scale;
        }
        Self(buffer)
    }

    pub(crate) fn zeros(len: usize) -> Self {
        Self::new(len, 0.0)
    }

    pub(crate) fn get(&self) -> &[f32] {
        &self.0
    }

    pub(crate) fn get_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// Bytes without a pattern that a branch predictor or a prefetcher could learn.
pub(crate) fn byte(i: usize) -> u8 {
    let mut x = (i as u32).wrapping_mul(0x9e37_79b9);
    x ^= x >> 15;
    x = x.wrapping_mul(0x85eb_ca6b);
    (x >> 24) as u8
}
