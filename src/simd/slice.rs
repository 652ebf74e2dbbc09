//! Loops over slices: whole vectors, then one masked tail.
//!
//! The functions take a token, so they can be used inside an operation; [`map`] is the form for callers outside.

#![allow(unsafe_code, reason = "the loop over whole vectors: a check for every slice would cost a third of the speed")]

use super::{Isa, LANES, MapOp, Simd, SimdOp, unroll};

/// Applies `op` to every vector of the slices: reads the inputs, reads and replaces the outputs.
///
/// # Panics
/// If the slices do not all have the same length.
#[track_caller]
pub fn map<const IN: usize, const OUT: usize>(isa: Isa, op: impl MapOp<IN, OUT>, inputs: [&[f32]; IN], outputs: [&mut [f32]; OUT]) {
    struct Map<'a, O, const IN: usize, const OUT: usize> {
        op: O,
        inputs: [&'a [f32]; IN],
        outputs: [&'a mut [f32]; OUT],
    }
    impl<O: MapOp<IN, OUT>, const IN: usize, const OUT: usize> SimdOp for Map<'_, O, IN, OUT> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            map_with(simd, &self.op, self.inputs, self.outputs);
        }
    }
    isa.run(Map { op, inputs, outputs });
}

/// [`map`] for use inside an operation.
///
/// # Panics
/// If the slices do not all have the same length.
#[inline(always)]
#[track_caller]
pub fn map_with<S: Simd, const IN: usize, const OUT: usize>(
    simd: S,
    op: &impl MapOp<IN, OUT>,
    inputs: [&[f32]; IN],
    mut outputs: [&mut [f32]; OUT],
) {
    let len = outputs.first().map_or(0, |output| output.len());
    unroll!(IN, i => check_len(len, inputs[i].len()));
    unroll!(OUT, i => check_len(len, outputs[i].len()));
    let whole = len - len % LANES;
    let (mut sources, mut targets) = ([core::ptr::null(); IN], [core::ptr::null_mut(); OUT]);
    unroll!(IN, i => sources[i] = inputs[i].as_ptr());
    unroll!(OUT, i => targets[i] = outputs[i].as_mut_ptr());
    for start in (0..whole).step_by(LANES) {
        let mut read = [simd.zero(); IN];
        // SAFETY: all slices have `len` elements, and the vector ends at `whole` or before.
        unroll!(IN, i => read[i] = unsafe { simd.load_pointer(sources[i].add(start)) });
        let mut replaced = [simd.zero(); OUT];
        // SAFETY: as above.
        unroll!(OUT, i => replaced[i] = unsafe { simd.load_pointer(targets[i].add(start)) });
        let result = op.map(simd, read, replaced);
        // SAFETY: as above; nothing else refers to the elements of an output while this reference lives.
        unroll!(OUT, i => simd.store(result[i], unsafe { &mut *targets[i].add(start).cast::<[f32; LANES]>() }));
    }
    if whole < len {
        map_range(simd, op, &inputs, &mut outputs, whole, len - whole);
    }
}

#[track_caller]
fn check_len(expected: usize, found: usize) {
    assert!(found == expected, "slices of one length expected: {expected}, found {found}");
}

/// A part of a vector.
#[inline(always)]
fn map_range<S: Simd, const IN: usize, const OUT: usize>(
    simd: S,
    op: &impl MapOp<IN, OUT>,
    inputs: &[&[f32]; IN],
    outputs: &mut [&mut [f32]; OUT],
    start: usize,
    len: usize,
) {
    let mut read = [simd.zero(); IN];
    unroll!(IN, i => read[i] = simd.load_first(&inputs[i][start..start + len]));
    let mut replaced = [simd.zero(); OUT];
    unroll!(OUT, i => replaced[i] = simd.load_first(&outputs[i][start..start + len]));
    let result = op.map(simd, read, replaced);
    unroll!(OUT, i => simd.store_first(result[i], &mut outputs[i][start..start + len]));
}

/// All elements of a slice, in `V` vectors of which only the last may be partial.
///
/// # Panics
/// If the slice has not more than `V - 1` and at most `V` vectors.
#[inline(always)]
pub fn load<S: Simd, const V: usize>(simd: S, source: &[f32]) -> [S::F32; V] {
    let (whole, last) = source.split_at((V - 1) * LANES);
    let mut vectors = [simd.zero(); V];
    let whole = whole.as_chunks::<LANES>().0;
    unroll!(V - 1, j => vectors[j] = simd.load(&whole[j]));
    vectors[V - 1] = simd.load_first(last);
    vectors
}

/// The counterpart of [`load`].
///
/// # Panics
/// As [`load`].
#[inline(always)]
pub fn store<S: Simd, const V: usize>(simd: S, vectors: [S::F32; V], target: &mut [f32]) {
    let (whole, last) = target.split_at_mut((V - 1) * LANES);
    let whole = whole.as_chunks_mut::<LANES>().0;
    unroll!(V - 1, j => simd.store(vectors[j], &mut whole[j]));
    simd.store_first(vectors[V - 1], last);
}

/// Asks for a slice as what will be written, by [`Simd::prefetch_to_write`].
pub fn prefetch_to_write(isa: Isa, slice: &[f32]) {
    struct Fetch<'a>(&'a [f32]);
    impl SimdOp for Fetch<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for line in self.0.chunks(LANES) {
                simd.prefetch_to_write(line.as_ptr());
            }
        }
    }
    isa.run(Fetch(slice));
}

/// The largest element by the rule of [`Simd::max`], negative infinity for an empty slice. NaN is passed over.
#[inline(always)]
pub fn max_with<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let (whole, tail) = values.as_chunks::<LANES>();
    let lowest = simd.splat(f32::NEG_INFINITY);
    let mut largest = lowest;
    for chunk in whole {
        largest = simd.max(simd.load(chunk), largest);
    }
    if !tail.is_empty() {
        let last = simd.select(simd.mask_first(tail.len()), simd.load_first(tail), lowest);
        largest = simd.max(last, largest);
    }
    simd.max_lane(largest)
}
