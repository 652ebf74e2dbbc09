//! Intrinsics that Miri does not know, in plain Rust under their own names: `x86.rs` takes these in their place when Miri runs it.
//!
//! Miri interprets the intrinsics of SSE2, AVX, AVX2 and FMA, and those of AVX-512 that are made of portable vector operations. What
//! is here calls LLVM for a single instruction instead. None of it but the prefetch gets a pointer, and that reads nothing, so Miri
//! sees every access to memory that the kernels make.
#![allow(unsafe_code, reason = "intrinsics live here")]

use core::arch::x86_64::{__m512, __mmask16, _CMP_EQ_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _mm512_loadu_ps, _mm512_storeu_ps};

fn lanes(x: __m512) -> [f32; 16] {
    let mut lanes = [0.0; 16];
    // SAFETY: the array has sixteen elements, and whoever has a vector of AVX-512 has its instructions.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), x) };
    lanes
}

fn each(a: __m512, b: __m512, f: impl Fn(f32, f32) -> f32) -> __m512 {
    let (a, b) = (lanes(a), lanes(b));
    let result: [f32; 16] = core::array::from_fn(|i| f(a[i], b[i]));
    // SAFETY: as above.
    unsafe { _mm512_loadu_ps(result.as_ptr()) }
}

// Unsafe as vector intrinsics are, so that a call is the same text.

pub(super) unsafe fn _mm512_max_ps(a: __m512, b: __m512) -> __m512 {
    each(a, b, |a, b| if a > b { a } else { b })
}

pub(super) unsafe fn _mm512_min_ps(a: __m512, b: __m512) -> __m512 {
    each(a, b, |a, b| if a < b { a } else { b })
}

pub(super) unsafe fn _mm512_cmp_ps_mask<const PREDICATE: i32>(a: __m512, b: __m512) -> __mmask16 {
    let holds = match PREDICATE {
        _CMP_EQ_OQ => |a: f32, b: f32| a == b,
        _CMP_LT_OQ => |a: f32, b: f32| a < b,
        _CMP_LE_OQ => |a: f32, b: f32| a <= b,
        _ => unimplemented!("the kernels do not compare like this"),
    };
    let (a, b) = (lanes(a), lanes(b));
    (0..16).fold(0, |mask, i| mask | __mmask16::from(holds(a[i], b[i])) << i)
}

pub(super) unsafe fn _mm_prefetch<const HINT: i32>(_: *const i8) {}
