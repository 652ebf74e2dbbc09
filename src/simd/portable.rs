//! The token for whatever the crate was compiled for, on the vector types of `wide`.

use super::{LANES, Simd};
use wide::{f32x4, f32x16, i32x16};

/// Whether `wide` multiplies and adds with one rounding on this target.
pub(super) const FUSED: bool = cfg!(any(target_feature = "fma", all(target_arch = "aarch64", target_feature = "neon")));

/// SSE2, NEON, wasm simd128 or scalar code, as the target has it.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Portable {
    /// All bits of a lane set where bit `i` is.
    #[inline(always)]
    fn expand(bits: u16) -> [i32; LANES] {
        core::array::from_fn(|i| -i32::from(bits >> i & 1))
    }
}

impl Simd for Portable {
    type F32 = f32x16;
    type I32 = i32x16;
    type Mask = f32x16;

    // NEON has 32 registers of four lanes, SSE2 sixteen.
    const TILE_ROWS: [usize; 4] = if cfg!(target_arch = "aarch64") { [6, 2, 1, 0] } else { [3, 1, 0, 0] };
    const MASKED_LOADS_ARE_FREE: bool = false;
    const HALVES_ARE_FASTER: bool = false;
    const COLUMN_VECTORS: usize = if cfg!(target_arch = "aarch64") { 2 } else { 1 };
    const PREFETCHES: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x16 {
        f32x16::splat(x)
    }
    #[inline(always)]
    fn load(self, source: &[f32; LANES]) -> f32x16 {
        f32x16::new(*source)
    }
    #[inline(always)]
    fn load_first(self, source: &[f32]) -> f32x16 {
        match source.first_chunk::<LANES>() {
            Some(whole) => self.load(whole),
            None => {
                let mut lanes = [0.0; LANES];
                lanes[..source.len()].copy_from_slice(source);
                f32x16::new(lanes)
            }
        }
    }
    #[inline(always)]
    fn load_u8(self, source: &[u8; LANES]) -> f32x16 {
        f32x16::new(source.map(f32::from))
    }
    #[inline(always)]
    fn store(self, x: f32x16, target: &mut [f32; LANES]) {
        *target = x.to_array();
    }
    #[inline(always)]
    fn store_first(self, x: f32x16, target: &mut [f32]) {
        match target.first_chunk_mut() {
            Some(whole) => self.store(x, whole),
            None => target.copy_from_slice(&x.to_array()[..target.len()]),
        }
    }
    #[inline(always)]
    #[allow(unsafe_code, reason = "the GEMM inner loop reads through pointers")]
    unsafe fn load_pointer(self, source: *const f32) -> f32x16 {
        // SAFETY: the caller promises sixteen readable elements; an array of `f32` needs no more alignment than an `f32`.
        self.load(unsafe { &*source.cast::<[f32; LANES]>() })
    }
    #[inline(always)]
    #[allow(unsafe_code, reason = "the GEMM inner loop reads through pointers")]
    unsafe fn load_pointer_masked(self, source: *const f32, mask: f32x16) -> f32x16 {
        let bits = self.mask_to_bits(mask);
        // SAFETY: the caller promises that every lane set in the mask is readable; no other lane is read.
        f32x16::new(core::array::from_fn(|i| if bits >> i & 1 == 1 { unsafe { source.add(i).read() } } else { 0.0 }))
    }

    #[inline(always)]
    fn add(self, a: f32x16, b: f32x16) -> f32x16 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x16, b: f32x16) -> f32x16 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x16, b: f32x16) -> f32x16 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x16, b: f32x16) -> f32x16 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x16, b: f32x16, c: f32x16) -> f32x16 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn sqrt(self, x: f32x16) -> f32x16 {
        x.sqrt()
    }
    #[inline(always)]
    fn max(self, a: f32x16, b: f32x16) -> f32x16 {
        b.simd_lt(a).bitselect(a, b)
    }
    #[inline(always)]
    fn min(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_lt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn lt(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn le(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_le(b)
    }
    #[inline(always)]
    fn eq(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn select(self, mask: f32x16, yes: f32x16, no: f32x16) -> f32x16 {
        mask.bitselect(yes, no)
    }
    #[inline(always)]
    fn either(self, a: f32x16, b: f32x16) -> f32x16 {
        a | b
    }
    #[inline(always)]
    fn mask_to_bits(self, mask: f32x16) -> u16 {
        mask.to_bitmask() as u16
    }
    #[inline(always)]
    fn mask_from_bits(self, bits: u16) -> f32x16 {
        bytemuck::cast(Self::expand(bits))
    }

    #[inline(always)]
    fn to_bits(self, x: f32x16) -> i32x16 {
        bytemuck::cast(x)
    }
    #[inline(always)]
    fn from_bits(self, x: i32x16) -> f32x16 {
        bytemuck::cast(x)
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32x16 {
        i32x16::splat(x)
    }
    #[inline(always)]
    fn add_i32(self, a: i32x16, b: i32x16) -> i32x16 {
        a + b
    }
    #[inline(always)]
    fn sub_i32(self, a: i32x16, b: i32x16) -> i32x16 {
        a - b
    }
    #[inline(always)]
    fn and_i32(self, a: i32x16, b: i32x16) -> i32x16 {
        a & b
    }
    #[inline(always)]
    fn or_i32(self, a: i32x16, b: i32x16) -> i32x16 {
        a | b
    }
    #[inline(always)]
    fn xor_i32(self, a: i32x16, b: i32x16) -> i32x16 {
        a ^ b
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, x: i32x16) -> i32x16 {
        x << BITS
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self, x: i32x16) -> i32x16 {
        x >> BITS
    }
    #[inline(always)]
    fn transpose(self, rows: [f32x16; LANES]) -> [f32x16; LANES] {
        // In blocks of four by four, for which there are shuffles; sixteen rows at once are taken apart and put together lane by lane. By
        // reference: a copy of all rows takes longer than to turn them.
        let mut columns = [f32x16::ZERO; LANES];
        let from: &[[f32x4; 4]; LANES] = bytemuck::cast_ref(&rows);
        let to: &mut [[f32x4; 4]; LANES] = bytemuck::cast_mut(&mut columns);
        for i in 0..4 {
            for j in 0..4 {
                let block = f32x4::transpose([from[4 * i][j], from[4 * i + 1][j], from[4 * i + 2][j], from[4 * i + 3][j]]);
                for k in 0..4 {
                    to[4 * j + k][i] = block[k];
                }
            }
        }
        columns
    }
    #[inline(always)]
    fn mul_even_u32(self, a: i32x16, b: u32) -> i32x16 {
        let a: [u32; LANES] = bytemuck::cast(a);
        let products: [u64; LANES] = core::array::from_fn(|i| u64::from(a[i & !1]) * u64::from(b));
        bytemuck::cast::<[u32; LANES], _>(core::array::from_fn(|i| (products[i] >> (32 * (i & 1))) as u32))
    }
    #[inline(always)]
    fn odd_to_even(self, x: i32x16) -> i32x16 {
        let x: [i32; LANES] = bytemuck::cast(x);
        bytemuck::cast::<[i32; LANES], _>(core::array::from_fn(|i| if i % 2 == 0 { x[i + 1] } else { 0 }))
    }
    #[inline(always)]
    fn even_to_odd(self, x: i32x16) -> i32x16 {
        let x: [i32; LANES] = bytemuck::cast(x);
        bytemuck::cast::<[i32; LANES], _>(core::array::from_fn(|i| if i % 2 == 0 { 0 } else { x[i - 1] }))
    }
    #[inline(always)]
    fn top_bytes<const FIRST: usize>(self, x: i32x16) -> i32x16 {
        let x: [i32; LANES] = bytemuck::cast(x);
        bytemuck::cast::<[i32; LANES], _>(core::array::from_fn(|i| x[i & !1] >> (8 * FIRST + 16 * (i % 2)) << 24))
    }
    #[inline(always)]
    fn lt_i32(self, a: i32x16, b: i32x16) -> f32x16 {
        bytemuck::cast(a.simd_lt(b))
    }
    #[inline(always)]
    fn to_f32(self, x: i32x16) -> f32x16 {
        x.round_float()
    }
}
