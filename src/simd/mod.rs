//! With which instructions: the only home of intrinsics.
//!
//! **A vector is sixteen `f32` on every instruction set**: one register on AVX-512, two on AVX2, four on NEON and SSE2. Rows are
//! padded, masks are packed and row sums are folded in units of [`LANES`], so memory layouts and results do not depend on the
//! machine.
//!
//! # How a kernel is written
//!
//! 1. A kernel is a struct that holds its arguments and implements [`SimdOp`], generic over the token type `S:` [`Simd`].
//! 2. [`Isa::run`] enters a function compiled for the instruction set and hands the operation a token of type `S`.
//! 3. The loops and their masked tails are in [`mod@slice`]; a kernel has no remainder loop of its own.
//!
//! A token is a value that can only be made where the processor has the instructions, so its methods are safe to call.
//!
//! # The inlining rules
//!
//! An intrinsic compiles to one instruction only inside a function with the matching `target_feature`. The function in
//! [`Isa::run`] is the only one that has it; whatever it calls must be inlined into it:
//!
//! * every function that takes a token is `#[inline(always)]`;
//! * an operation applied per vector is a method of a struct ([`MapOp`]), not a closure: a closure is a function of its own,
//!   and the compiler may leave it outside.

mod isa;
#[cfg(all(miri, target_arch = "x86_64"))]
mod miri;
#[cfg(feature = "std")]
pub mod peak;
mod portable;
pub mod slice;
pub mod tile;
mod unroll;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use isa::Isa;
pub(crate) use unroll::unroll;

/// Number of `f32` in a vector, on every instruction set.
pub const LANES: usize = 16;

/// `2^-63`, of which [`Simd::flush_negligible`] keeps what is as large.
pub(crate) const NEGLIGIBLE: f32 = f32::from_bits(0x2000_0000);

/// `n` rounded up to a whole number of vectors.
///
/// # Panics
/// If the result does not fit in a `usize`.
pub const fn round_up_to_lanes(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// A token of an instruction set: proof that the processor has it, and its operations on vectors of [`LANES`] elements.
///
/// Every operation gives the same bits on every instruction set that has a fused multiply-add (see [`Isa::fused`]).
/// There are no estimates of reciprocals or roots here, since those differ between processors.
///
/// A lane that a partial load does not read is zero. Lanes of a partial store that are not written leave memory untouched.
#[allow(clippy::wrong_self_convention, reason = "a token is a receiver in name only: the operand is the argument")]
pub trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen `f32`.
    type F32: Copy;
    /// Sixteen `i32`.
    type I32: Copy;
    /// One truth value per lane.
    type Mask: Copy;

    /// The largest number of rows of a GEMM tile of 1, 2, 3 and 4 vectors in a row for which all accumulators stay in registers;
    /// 0 where a tile so wide does not fit.
    const TILE_ROWS: [usize; 4];
    /// Whether a masked load is about as fast as another, so that GEMM tiles need no version of their own for whole vectors; but for processors of
    /// Intel's, see `Isa::is_intel`.
    const MASKED_LOADS_ARE_FREE: bool;
    /// Whether [`Simd::mul_add_half`] takes half the time of [`Simd::mul_add`], so that GEMM tiles need a version of their own for a last
    /// vector that is half empty.
    const HALVES_ARE_FASTER: bool;
    /// How many vectors of columns are taken at once on the way through rows, for what is summed and what belongs to columns to stay in
    /// registers: 1, 2 or 4.
    const COLUMN_VECTORS: usize;
    /// Whether there is an instruction for [`Simd::prefetch`].
    const PREFETCHES: bool;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// Sixteen elements.
    fn load(self, source: &[f32; LANES]) -> Self::F32;
    /// The first elements of `source`: sixteen, or as many as there are; the other lanes are zero.
    fn load_first(self, source: &[f32]) -> Self::F32;
    /// Sixteen bytes as numbers from 0 to 255.
    fn load_u8(self, source: &[u8; LANES]) -> Self::F32;
    /// Writes sixteen elements.
    fn store(self, x: Self::F32, target: &mut [f32; LANES]);
    /// Writes the first lanes: sixteen, or as many as `target` has elements.
    fn store_first(self, x: Self::F32, target: &mut [f32]);

    /// Sixteen elements at `source`.
    ///
    /// # Safety
    /// `source` must be valid for reading sixteen `f32`; it need not be aligned to a vector.
    #[allow(unsafe_code, reason = "the GEMM inner loop reads through pointers")]
    unsafe fn load_pointer(self, source: *const f32) -> Self::F32;
    /// The elements at `source` whose lane is set in `mask`; the other lanes are zero and are not read.
    ///
    /// # Safety
    /// `source` must be valid for reading at every lane set in `mask`.
    #[allow(unsafe_code, reason = "the GEMM inner loop reads through pointers")]
    unsafe fn load_pointer_masked(self, source: *const f32, mask: Self::Mask) -> Self::F32;

    /// Asks for the cache line at `source` to be brought into the cache of level 1 or 2, where there is an instruction for that. Any
    /// address will do.
    #[inline(always)]
    fn prefetch<const LEVEL: u32>(self, source: *const f32) {
        let _ = source;
    }

    /// [`Simd::prefetch`] of a line that will be written: into level 1, and out of the caches of other processors, which hold up a store to a
    /// line that they have read.
    #[inline(always)]
    fn prefetch_to_write(self, source: *const f32) {
        let _ = source;
    }

    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c` with one rounding where [`Isa::fused`] says so, else with two.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// [`Simd::mul_add`] in the first eight lanes; the others are unspecified.
    #[inline(always)]
    fn mul_add_half(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        self.mul_add(a, b, c)
    }
    /// `x`, of which the compiler knows no more than that it is in a register.
    ///
    /// Whole vectors and halves of one broadcast would be two broadcasts to it, the second from the first, which takes time from the
    /// multiply-adds.
    #[inline(always)]
    fn in_register(self, x: Self::F32) -> Self::F32 {
        x
    }
    /// The square root, correctly rounded.
    fn sqrt(self, x: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`: `b` where either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`: `b` where either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `a < b`, false where either is NaN.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`, false where either is NaN.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a == b`, false where either is NaN.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `yes` where the mask is set, else `no`.
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// Set where either mask is.
    fn either(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Bit `i` of the result is lane `i` of the mask.
    fn mask_to_bits(self, mask: Self::Mask) -> u16;
    /// [`Self::mask_to_bits`] of four masks at once, those of the first as the lowest bits.
    #[inline(always)]
    fn masks_to_bits(self, masks: [Self::Mask; 4]) -> u64 {
        let mut bits = 0;
        for (i, mask) in masks.into_iter().enumerate() {
            bits |= u64::from(self.mask_to_bits(mask)) << (16 * i);
        }
        bits
    }
    /// Lane `i` of the result is bit `i`.
    fn mask_from_bits(self, bits: u16) -> Self::Mask;
    /// [`Self::mask_from_bits`] of four masks at once, the first from the lowest bits.
    #[inline(always)]
    fn masks_from_bits(self, bits: u64) -> [Self::Mask; 4] {
        let mut masks = [self.mask_from_bits(bits as u16); 4];
        for (i, mask) in masks.iter_mut().enumerate() {
            *mask = self.mask_from_bits((bits >> (16 * i)) as u16);
        }
        masks
    }

    /// The bits of each lane.
    fn to_bits(self, x: Self::F32) -> Self::I32;
    /// Lanes from their bits.
    fn from_bits(self, x: Self::I32) -> Self::F32;
    /// All lanes `x`.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// `a + b`, wrapping.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`, wrapping.
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a & b`
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a | b`
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a ^ b`
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `x << BITS`
    fn shift_left<const BITS: u32>(self, x: Self::I32) -> Self::I32;
    /// `x >> BITS`, copying the sign bit.
    fn shift_right<const BITS: u32>(self, x: Self::I32) -> Self::I32;
    /// The products of the even lanes, unsigned, with `b`: their lower halves in the even lanes, their upper ones in the odd lanes behind.
    fn mul_even_u32(self, a: Self::I32, b: u32) -> Self::I32;
    /// Each odd lane in the even lane before it, zeros in the odd lanes.
    fn odd_to_even(self, x: Self::I32) -> Self::I32;
    /// Each even lane in the odd lane behind it, zeros in the even lanes.
    fn even_to_odd(self, x: Self::I32) -> Self::I32;
    /// Of the bytes of each even lane, numbered from the lowest, `FIRST` as the highest byte of its lane and `FIRST + 2` as that of the odd lane
    /// behind, whose other bytes are 0.
    fn top_bytes<const FIRST: usize>(self, x: Self::I32) -> Self::I32;
    /// `a < b`, signed.
    fn lt_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// Each lane as the nearest `f32`.
    fn to_f32(self, x: Self::I32) -> Self::F32;

    /// Sixteen rows of sixteen turned into columns.
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES];

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }

    /// The first `n` lanes set, all of them if `n` is sixteen or more.
    #[inline(always)]
    fn mask_first(self, n: usize) -> Self::Mask {
        self.mask_from_bits(first_bits(n))
    }

    /// `|x|`: clears the sign bit.
    #[inline(always)]
    fn abs(self, x: Self::F32) -> Self::F32 {
        self.from_bits(self.and_i32(self.to_bits(x), self.splat_i32(i32::MAX)))
    }

    /// `x`, or 0 where `x` is denormal. NaN stays.
    #[inline(always)]
    fn flush_denormals(self, x: Self::F32) -> Self::F32 {
        self.select(self.lt(self.abs(x), self.splat(f32::MIN_POSITIVE)), self.zero(), x)
    }

    /// `x`, or 0 where `|x| < 2^-63`, whose square would be denormal. NaN stays.
    #[inline(always)]
    fn flush_negligible(self, x: Self::F32) -> Self::F32 {
        self.select(self.lt(self.abs(x), self.splat(NEGLIGIBLE)), self.zero(), x)
    }

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, x: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        self.store(x, &mut lanes);
        lanes
    }

    /// The sum of the lanes by a fixed tree: lane `i` with lane `i + 8`, then `i + 4`, `i + 2`, `i + 1`.
    #[inline(always)]
    fn sum_lanes(self, x: Self::F32) -> f32 {
        let mut lanes = self.to_array(x);
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        lanes[0]
    }

    /// The largest lane, taken in the order of [`Simd::sum_lanes`] with the rule of [`Simd::max`].
    #[inline(always)]
    fn max_lane(self, x: Self::F32) -> f32 {
        let mut lanes = self.to_array(x);
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] = if lanes[i] > lanes[i + width] { lanes[i] } else { lanes[i + width] };
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// The bits of the first `n` lanes, all of them if `n` is sixteen or more.
#[inline(always)]
pub(crate) fn first_bits(n: usize) -> u16 {
    if n >= LANES { u16::MAX } else { (1 << n) - 1 }
}

/// An operation that [`Isa::run`] runs with the instructions of an instruction set.
pub trait SimdOp {
    /// What the operation returns.
    type Output;
    /// Runs with the given token. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// What is done to each vector of some slices: reads `IN` inputs, reads and replaces `OUT` others.
///
/// [`slice::map`] brings the loop and the tail.
pub trait MapOp<const IN: usize, const OUT: usize> {
    /// The new values of the outputs. Implementations are `#[inline(always)]`.
    fn map<S: Simd>(&self, simd: S, inputs: [S::F32; IN], outputs: [S::F32; OUT]) -> [S::F32; OUT];

    /// Whether a setting makes [`map`](Self::map) take a branch that is seldom taken. A branch at every vector shows, so who maps many vectors
    /// asks once, and then goes on [`with_rare_branch`](Self::with_rare_branch). Default: there is none.
    #[inline(always)]
    fn takes_rare_branch(&self) -> bool {
        false
    }

    /// The same operation, with that setting as the compiler knows it.
    #[inline(always)]
    #[must_use]
    fn with_rare_branch(self, _taken: bool) -> Self
    where
        Self: Sized,
    {
        self
    }
}
