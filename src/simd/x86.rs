//! Tokens of the x86-64 instruction sets that are chosen at run time.
//!
//! The macro `vector_methods` writes each method around its intrinsic; the safety argument stands there, once.
#![allow(unsafe_code, reason = "intrinsics live here")]

#[cfg(miri)]
use super::miri::{_mm_prefetch, _mm512_cmp_ps_mask, _mm512_max_ps, _mm512_min_ps};
use super::{LANES, Simd};
use core::arch::x86_64::*;

/// Safe methods around intrinsics.
macro_rules! vector_methods {
    ($($name:ident $(<const $constant:ident: $kind:ty>)? ($self:ident $(, $argument:ident: $type:ty)*) -> $result:ty { $body:expr })*) => {
        $(
            #[inline(always)]
            fn $name $(<const $constant: $kind>)? ($self $(, $argument: $type)*) -> $result {
                // SAFETY: a token exists only where the processor has the instructions, and memory is reached only through
                // references, for at most as many elements as they have (whole arrays, or lanes set by `mask_first`).
                unsafe { $body }
            }
        )*
    };
}

/// [`Simd::prefetch`] of both.
#[inline(always)]
fn prefetch<const LEVEL: u32>(source: *const f32) {
    // SAFETY: a prefetch reads nothing that a program could see, and every x86-64 processor has it.
    unsafe {
        match LEVEL {
            1 => _mm_prefetch::<_MM_HINT_T0>(source.cast()),
            _ => _mm_prefetch::<_MM_HINT_T1>(source.cast()),
        }
    }
}

/// [`Simd::prefetch_to_write`] of both. The intrinsic would need a feature that has no name in stable Rust.
#[inline(always)]
fn prefetch_to_write(source: *const f32) {
    #[cfg(not(miri))]
    // SAFETY: a prefetch changes nothing that a program could see. Processors with AVX2 that lack the instruction take it for none.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) source.addr(), options(nomem, nostack, preserves_flags))
    };
    #[cfg(miri)]
    let _ = source;
}

/// Which byte of four lanes each byte of [`Simd::top_bytes`] is, a negative number for a zero.
#[inline(always)]
fn top_bytes<const FIRST: usize>() -> __m128i {
    let from = FIRST as i8;
    // SAFETY: every x86-64 processor has the instructions.
    unsafe { _mm_setr_epi8(-1, -1, -1, from, -1, -1, -1, from + 2, -1, -1, -1, from + 8, -1, -1, -1, from + 10) }
}

/// [`Simd::in_register`].
#[inline]
#[target_feature(enable = "avx512f")]
fn in_register(x: __m512) -> __m512 {
    #[cfg(not(miri))]
    {
        let mut x = x;
        // SAFETY: no instruction at all, with `x` in and out of a register.
        unsafe { core::arch::asm!("/* {x} */", x = inlateout(zmm_reg) x, options(pure, nomem, nostack, preserves_flags)) };
        x
    }
    #[cfg(miri)]
    x
}

/// The bits of the exponent. Zeros and denormals are the numbers without any of them.
const EXPONENT: i32 = 0x7f80_0000;
/// Its two highest bits, of which one is set from `2^-63` on.
const HIGHEST_OF_EXPONENT: i32 = 0x6000_0000;

/// AVX-512 F, BW, DQ and VL: one register a vector.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor must have every feature that `isa.rs` lists for this token.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }

    /// `x` where any of these bits is set, else 0.
    #[inline(always)]
    fn keep_with_any_of(self, bits: i32, x: __m512) -> __m512 {
        // SAFETY: a token exists only where the processor has AVX-512.
        unsafe { _mm512_maskz_mov_ps(_mm512_test_epi32_mask(_mm512_castps_si512(x), _mm512_set1_epi32(bits)), x) }
    }
}

impl Simd for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;
    type Mask = __mmask16;

    // 32 registers: 8 * 3 or 6 * 4 accumulators, three or four for a row of B, one for a broadcast of A. Narrower tiles need no more than eight
    // chains to hide the latency of the multiply-adds, but those of two vectors read B less often with eight rows; each further height is code.
    const TILE_ROWS: [usize; 4] = [8, 8, 8, 6];
    const MASKED_LOADS_ARE_FREE: bool = true;
    // On processors that do 512 bits in two turns of 256.
    const HALVES_ARE_FASTER: bool = true;
    const COLUMN_VECTORS: usize = 4;
    const PREFETCHES: bool = true;

    #[inline(always)]
    fn prefetch<const LEVEL: u32>(self, source: *const f32) {
        prefetch::<LEVEL>(source);
    }

    #[inline(always)]
    fn prefetch_to_write(self, source: *const f32) {
        prefetch_to_write(source);
    }

    #[inline(always)]
    fn flush_denormals(self, x: __m512) -> __m512 {
        self.keep_with_any_of(EXPONENT, x)
    }

    #[inline(always)]
    fn flush_negligible(self, x: __m512) -> __m512 {
        self.keep_with_any_of(HIGHEST_OF_EXPONENT, x)
    }

    vector_methods! {
        splat(self, x: f32) -> __m512 { _mm512_set1_ps(x) }
        load(self, source: &[f32; LANES]) -> __m512 { _mm512_loadu_ps(source.as_ptr()) }
        load_u8(self, source: &[u8; LANES]) -> __m512 { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(source.as_ptr().cast()))) }
        store(self, x: __m512, target: &mut [f32; LANES]) -> () { _mm512_storeu_ps(target.as_mut_ptr(), x) }
        add(self, a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        sub(self, a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        mul(self, a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        div(self, a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        mul_add_half(self, a: __m512, b: __m512, c: __m512) -> __m512 {{
            _mm512_zextps256_ps512(_mm256_fmadd_ps(_mm512_castps512_ps256(a), _mm512_castps512_ps256(b), _mm512_castps512_ps256(c)))
        }}
        in_register(self, x: __m512) -> __m512 { in_register(x) }
        sqrt(self, x: __m512) -> __m512 { _mm512_sqrt_ps(x) }
        max(self, a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        min(self, a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        lt(self, a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
        le(self, a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b) }
        eq(self, a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
        select(self, mask: __mmask16, yes: __m512, no: __m512) -> __m512 { _mm512_mask_blend_ps(mask, no, yes) }
        to_bits(self, x: __m512) -> __m512i { _mm512_castps_si512(x) }
        from_bits(self, x: __m512i) -> __m512 { _mm512_castsi512_ps(x) }
        splat_i32(self, x: i32) -> __m512i { _mm512_set1_epi32(x) }
        add_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        sub_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        and_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        or_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        xor_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_xor_si512(a, b) }
        shift_left<const BITS: u32>(self, x: __m512i) -> __m512i { _mm512_slli_epi32::<BITS>(x) }
        shift_right<const BITS: u32>(self, x: __m512i) -> __m512i { _mm512_srai_epi32::<BITS>(x) }
        lt_i32(self, a: __m512i, b: __m512i) -> __mmask16 { _mm512_cmplt_epi32_mask(a, b) }
        mul_even_u32(self, a: __m512i, b: u32) -> __m512i { _mm512_mul_epu32(a, _mm512_set1_epi32(b as i32)) }
        odd_to_even(self, x: __m512i) -> __m512i { _mm512_srli_epi64::<32>(x) }
        even_to_odd(self, x: __m512i) -> __m512i { _mm512_slli_epi64::<32>(x) }
        top_bytes<const FIRST: usize>(self, x: __m512i) -> __m512i { _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(top_bytes::<FIRST>())) }
        to_f32(self, x: __m512i) -> __m512 { _mm512_cvtepi32_ps(x) }
    }

    #[inline(always)]
    fn load_first(self, source: &[f32]) -> __m512 {
        match source.first_chunk::<LANES>() {
            Some(whole) => self.load(whole),
            // SAFETY: the mask has one lane for each element of `source`.
            None => unsafe { self.load_pointer_masked(source.as_ptr(), self.mask_first(source.len())) },
        }
    }

    #[inline(always)]
    fn store_first(self, x: __m512, target: &mut [f32]) {
        match target.first_chunk_mut::<LANES>() {
            Some(whole) => self.store(x, whole),
            // SAFETY: the mask has one lane for each element of `target`.
            None => unsafe { _mm512_mask_storeu_ps(target.as_mut_ptr(), self.mask_first(target.len()), x) },
        }
    }

    #[inline(always)]
    fn transpose(self, rows: [__m512; LANES]) -> [__m512; LANES] {
        // Four rounds: pairs of lanes, pairs of pairs, then the four quarters of a register, twice.
        let mut pairs = rows;
        let mut fours = rows;
        let mut halves = rows;
        let mut columns = rows;
        // SAFETY: a token exists only where the processor has AVX-512.
        unsafe {
            for i in (0..LANES).step_by(2) {
                pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
                pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
            }
            for i in (0..LANES).step_by(4) {
                for half in 0..2 {
                    let (a, b) = (_mm512_castps_pd(pairs[i + half]), _mm512_castps_pd(pairs[i + 2 + half]));
                    fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
            }
            // fours[4 r + c]: quarter q holds column 4 q + c of rows 4 r to 4 r + 3.
            for c in 0..4 {
                for pair in 0..2 {
                    let (a, b) = (fours[8 * pair + c], fours[8 * pair + 4 + c]);
                    halves[8 * pair + c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
                    halves[8 * pair + 4 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b);
                }
            }
            for c in 0..4 {
                for odd in 0..2 {
                    let (a, b) = (halves[4 * odd + c], halves[8 + 4 * odd + c]);
                    columns[4 * odd + c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
                    columns[8 + 4 * odd + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b);
                }
            }
        }
        columns
    }

    #[inline(always)]
    fn either(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }

    #[inline(always)]
    fn mask_to_bits(self, mask: __mmask16) -> u16 {
        mask
    }

    #[inline(always)]
    fn mask_from_bits(self, bits: u16) -> __mmask16 {
        bits
    }

    #[inline(always)]
    unsafe fn load_pointer(self, source: *const f32) -> __m512 {
        // SAFETY: the caller promises sixteen readable elements.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn load_pointer_masked(self, source: *const f32, mask: __mmask16) -> __m512 {
        // SAFETY: the caller promises that every lane set in the mask is readable.
        unsafe { _mm512_maskz_loadu_ps(mask, source) }
    }
}

/// AVX2 with FMA: two registers a vector, lanes 0 to 7 in the first.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor must have every feature that `isa.rs` lists for this token.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Applies a 256-bit intrinsic to both halves.
macro_rules! halves {
    ($intrinsic:ident $(::<$constant:ident>)? ($($argument:expr),+)) => {
        [$intrinsic $(::<$constant>)? ($($argument[0]),+), $intrinsic $(::<$constant>)? ($($argument[1]),+)]
    };
}

impl Avx2 {
    /// `x` where any of these bits is set, else 0. The sign is none of them.
    #[inline(always)]
    fn keep_with_any_of(self, bits: i32, x: [__m256; 2]) -> [__m256; 2] {
        let (set, zero) = (self.and_i32(self.to_bits(x), self.splat_i32(bits)), self.splat_i32(0));
        // SAFETY: a token exists only where the processor has AVX2.
        let any = unsafe { halves!(_mm256_cmpgt_epi32(set, zero)) };
        self.from_bits(self.and_i32(self.to_bits(x), any))
    }

    /// Eight half rows turned into eight half columns.
    #[inline(always)]
    fn transpose_half(self, rows: [__m256; 8]) -> [__m256; 8] {
        let mut pairs = rows;
        let mut fours = rows;
        let mut columns = rows;
        // SAFETY: a token exists only where the processor has AVX2.
        unsafe {
            for i in (0..8).step_by(2) {
                pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
                pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
            }
            for i in [0, 4] {
                for half in 0..2 {
                    let (a, b) = (_mm256_castps_pd(pairs[i + half]), _mm256_castps_pd(pairs[i + 2 + half]));
                    fours[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                    fours[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
                }
            }
            for c in 0..4 {
                columns[c] = _mm256_permute2f128_ps::<0x20>(fours[c], fours[4 + c]);
                columns[4 + c] = _mm256_permute2f128_ps::<0x31>(fours[c], fours[4 + c]);
            }
        }
        columns
    }

    /// A comparison mask whose lanes 0 to 7 are the low eight bits.
    #[inline(always)]
    fn half_mask(self, bits: u16) -> __m256 {
        // SAFETY: a token exists only where the processor has AVX2.
        unsafe {
            let lane_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let set = _mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), lane_bit);
            _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane_bit))
        }
    }
}

impl Simd for Avx2 {
    type F32 = [__m256; 2];
    type I32 = [__m256i; 2];
    type Mask = [__m256; 2];

    // 16 registers, two a vector: 6 * 1 vectors are 12 accumulators, two registers hold a row of B, one a broadcast of A. One row takes four
    // vectors, eight chains that hide the latency of the multiply-adds, which read B themselves.
    const TILE_ROWS: [usize; 4] = [6, 2, 1, 1];
    const MASKED_LOADS_ARE_FREE: bool = false;
    const HALVES_ARE_FASTER: bool = true;
    const COLUMN_VECTORS: usize = 2;
    const PREFETCHES: bool = true;

    #[inline(always)]
    fn prefetch<const LEVEL: u32>(self, source: *const f32) {
        prefetch::<LEVEL>(source);
    }

    #[inline(always)]
    fn prefetch_to_write(self, source: *const f32) {
        prefetch_to_write(source);
    }

    #[inline(always)]
    fn flush_denormals(self, x: [__m256; 2]) -> [__m256; 2] {
        self.keep_with_any_of(EXPONENT, x)
    }

    #[inline(always)]
    fn flush_negligible(self, x: [__m256; 2]) -> [__m256; 2] {
        self.keep_with_any_of(HIGHEST_OF_EXPONENT, x)
    }

    vector_methods! {
        splat(self, x: f32) -> [__m256; 2] { [_mm256_set1_ps(x); 2] }
        load(self, source: &[f32; LANES]) -> [__m256; 2] { [_mm256_loadu_ps(source.as_ptr()), _mm256_loadu_ps(source.as_ptr().add(8))] }
        load_u8(self, source: &[u8; LANES]) -> [__m256; 2] {{
            let bytes = _mm_loadu_si128(source.as_ptr().cast());
            [_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)))]
        }}
        store(self, x: [__m256; 2], target: &mut [f32; LANES]) -> () {{
            _mm256_storeu_ps(target.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(target.as_mut_ptr().add(8), x[1]);
        }}
        add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_add_ps(a, b)) }
        sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_sub_ps(a, b)) }
        mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_mul_ps(a, b)) }
        div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_div_ps(a, b)) }
        mul_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_fmadd_ps(a, b, c)) }
        mul_add_half(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] { [_mm256_fmadd_ps(a[0], b[0], c[0]), c[1]] }
        sqrt(self, x: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_sqrt_ps(x)) }
        max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_max_ps(a, b)) }
        min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_min_ps(a, b)) }
        lt(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
        le(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b)) }
        eq(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) }
        select(self, mask: [__m256; 2], yes: [__m256; 2], no: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_blendv_ps(no, yes, mask)) }
        either(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] { halves!(_mm256_or_ps(a, b)) }
        mask_to_bits(self, mask: [__m256; 2]) -> u16 { (_mm256_movemask_ps(mask[0]) | _mm256_movemask_ps(mask[1]) << 8) as u16 }
        masks_to_bits(self, masks: [[__m256; 2]; 4]) -> u64 {{
            // Lanes become bytes of two vectors, whose blocks of four lanes are then in another order. No closures: they would be calls.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let mut bits = [0; 2];
            for half in 0..2 {
                let (a, b) = (masks[2 * half], masks[2 * half + 1]);
                let a = _mm256_packs_epi32(_mm256_castps_si256(a[0]), _mm256_castps_si256(a[1]));
                let b = _mm256_packs_epi32(_mm256_castps_si256(b[0]), _mm256_castps_si256(b[1]));
                let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
                bits[half] = _mm256_movemask_epi8(bytes) as u32;
            }
            u64::from(bits[0]) | u64::from(bits[1]) << 32
        }}
        masks_from_bits(self, bits: u64) -> [[__m256; 2]; 4] {{
            // A word for 32 lanes, of which each takes its bit.
            let words = [_mm256_set1_epi32(bits as i32), _mm256_set1_epi32((bits >> 32) as i32)];
            let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let bits = [bits, _mm256_slli_epi32::<8>(bits), _mm256_slli_epi32::<16>(bits), _mm256_slli_epi32::<24>(bits)];
            let mut masks = [[_mm256_setzero_ps(); 2]; 4];
            for lanes in 0..8 {
                let bit = bits[lanes % 4];
                masks[lanes / 2][lanes % 2] = _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(words[lanes / 4], bit), bit));
            }
            masks
        }}
        to_bits(self, x: [__m256; 2]) -> [__m256i; 2] { halves!(_mm256_castps_si256(x)) }
        from_bits(self, x: [__m256i; 2]) -> [__m256; 2] { halves!(_mm256_castsi256_ps(x)) }
        splat_i32(self, x: i32) -> [__m256i; 2] { [_mm256_set1_epi32(x); 2] }
        add_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] { halves!(_mm256_add_epi32(a, b)) }
        sub_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] { halves!(_mm256_sub_epi32(a, b)) }
        and_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] { halves!(_mm256_and_si256(a, b)) }
        or_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] { halves!(_mm256_or_si256(a, b)) }
        xor_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] { halves!(_mm256_xor_si256(a, b)) }
        lt_i32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256; 2] { self.from_bits(halves!(_mm256_cmpgt_epi32(b, a))) }
        mul_even_u32(self, a: [__m256i; 2], b: u32) -> [__m256i; 2] {{
            let b = [_mm256_set1_epi32(b as i32); 2];
            halves!(_mm256_mul_epu32(a, b))
        }}
        odd_to_even(self, x: [__m256i; 2]) -> [__m256i; 2] { [_mm256_srli_epi64::<32>(x[0]), _mm256_srli_epi64::<32>(x[1])] }
        even_to_odd(self, x: [__m256i; 2]) -> [__m256i; 2] { [_mm256_slli_epi64::<32>(x[0]), _mm256_slli_epi64::<32>(x[1])] }
        top_bytes<const FIRST: usize>(self, x: [__m256i; 2]) -> [__m256i; 2] {{
            let bytes = [_mm256_broadcastsi128_si256(top_bytes::<FIRST>()); 2];
            halves!(_mm256_shuffle_epi8(x, bytes))
        }}
        to_f32(self, x: [__m256i; 2]) -> [__m256; 2] { halves!(_mm256_cvtepi32_ps(x)) }
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self, x: [__m256i; 2]) -> [__m256i; 2] {
        // The shift count is a register operand here because the immediate form wants an `i32` constant; it compiles to the same.
        // SAFETY: a token exists only where the processor has AVX2.
        unsafe { [_mm256_sll_epi32(x[0], _mm_cvtsi32_si128(BITS as i32)), _mm256_sll_epi32(x[1], _mm_cvtsi32_si128(BITS as i32))] }
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self, x: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: a token exists only where the processor has AVX2.
        unsafe { [_mm256_sra_epi32(x[0], _mm_cvtsi32_si128(BITS as i32)), _mm256_sra_epi32(x[1], _mm_cvtsi32_si128(BITS as i32))] }
    }

    #[inline(always)]
    fn transpose(self, rows: [[__m256; 2]; LANES]) -> [[__m256; 2]; LANES] {
        let mut columns = rows;
        for vertical in 0..2 {
            for horizontal in 0..2 {
                let mut block = [rows[0][0]; 8];
                for (i, half) in block.iter_mut().enumerate() {
                    *half = rows[8 * vertical + i][horizontal];
                }
                for (i, half) in self.transpose_half(block).into_iter().enumerate() {
                    columns[8 * horizontal + i][vertical] = half;
                }
            }
        }
        columns
    }

    #[inline(always)]
    fn mask_from_bits(self, bits: u16) -> [__m256; 2] {
        [self.half_mask(bits), self.half_mask(bits >> 8)]
    }

    #[inline(always)]
    fn load_first(self, source: &[f32]) -> [__m256; 2] {
        match source.first_chunk::<LANES>() {
            Some(whole) => self.load(whole),
            // SAFETY: the mask has one lane for each element of `source`.
            None => unsafe { self.load_pointer_masked(source.as_ptr(), self.mask_first(source.len())) },
        }
    }

    #[inline(always)]
    fn store_first(self, x: [__m256; 2], target: &mut [f32]) {
        match target.first_chunk_mut::<LANES>() {
            Some(whole) => self.store(x, whole),
            None => {
                let mask = self.to_bits(self.mask_first(target.len()));
                // Half a vector without a mask where it is whole, and nothing where it is empty: AMD's processors make some forty operations of a
                // store through a mask. To write eight, four, two and one elements, or the last eight of all, is faster yet by itself, but in the
                // tiles of some epilogues sums then leave their registers.
                // SAFETY: a token exists only where the processor has AVX2, and the mask has one lane for each element of `target`.
                unsafe {
                    match target.first_chunk_mut::<8>() {
                        None => _mm256_maskstore_ps(target.as_mut_ptr(), mask[0], x[0]),
                        Some(half) => {
                            _mm256_storeu_ps(half.as_mut_ptr(), x[0]);
                            if target.len() > 8 {
                                _mm256_maskstore_ps(target.as_mut_ptr().add(8), mask[1], x[1]);
                            }
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn load_pointer(self, source: *const f32) -> [__m256; 2] {
        // SAFETY: the caller promises sixteen readable elements.
        unsafe { [_mm256_loadu_ps(source), _mm256_loadu_ps(source.add(8))] }
    }

    #[inline(always)]
    unsafe fn load_pointer_masked(self, source: *const f32, mask: [__m256; 2]) -> [__m256; 2] {
        let mask = self.to_bits(mask);
        // SAFETY: the caller promises that every lane set in the mask is readable; lanes that are not set are not touched.
        unsafe { [_mm256_maskload_ps(source, mask[0]), _mm256_maskload_ps(source.wrapping_add(8), mask[1])] }
    }
}
