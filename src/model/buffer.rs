//! [`Buffer`]: memory for a plan, at the start of a cache line.

/// `f32` elements of which the first lies at the start of a cache line.
pub(super) struct Buffer {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

const CACHE_LINE: usize = 64;

impl Buffer {
    /// `len` zeros.
    pub(super) fn new(len: usize) -> Self {
        let storage = vec![0.0; len + CACHE_LINE / size_of::<f32>()];
        let start = storage.as_ptr().align_offset(CACHE_LINE).min(storage.len() - len);
        Self { storage, start, len }
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer of {} elements", self.len)
    }
}
