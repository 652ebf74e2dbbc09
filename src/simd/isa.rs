//! [`Isa`]: which instruction sets there are, which of them this processor has, whose processor it is, and how to run on one.

use super::{Simd, SimdOp, portable::Portable};
use crate::error::IsaError;

/// An instruction set that this processor has.
///
/// A value is proof of that: the only ways to get one are [`Isa::detect`], [`Isa::available`], [`Isa::from_name`],
/// [`Isa::select`] and [`Isa::PORTABLE`], and they look before they answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa {
    kind: Kind,
    processor: Processor,
}

/// Whose processor it is, as far as some loops of the crate are not the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only processors of these makers are asked who they are"))]
enum Processor {
    Intel,
    /// AMD's families up to 25.
    UpToZen4,
    Other,
}

#[cfg(any(test, target_arch = "x86_64"))]
impl Processor {
    const ALL: [Self; 3] = [Self::Intel, Self::UpToZen4, Self::Other];
}

/// The one list of run-time instruction sets, best first. Each line makes the token, its detection, its name and the function
/// that carries its target features.
macro_rules! instruction_sets {
    ($($kind:ident, $token:path, $name:literal, [$($feature:tt),+];)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        enum Kind {
            $(#[cfg(target_arch = "x86_64")] $kind,)*
            Portable,
        }

        impl Isa {
            /// The names of all instruction sets that the crate knows on this architecture, best first.
            pub const NAMES: &'static [&'static str] = &[
                $(#[cfg(target_arch = "x86_64")] $name,)*
                "portable",
            ];

            /// The instruction sets that this processor has, best first. The portable one is always last.
            pub fn available() -> impl Iterator<Item = Isa> {
                // Compiled for AVX-512, `wide` has intrinsics that Miri does not know.
                let known_to_miri = |name: &&&str| !cfg!(all(miri, target_feature = "avx512f")) || **name != "portable";
                Self::NAMES.iter().filter(known_to_miri).filter_map(|name| Self::from_name(name).ok())
            }

            /// The instruction set of that name.
            ///
            /// # Errors
            /// [`IsaError::Unknown`] for a name that is not in [`Isa::NAMES`], [`IsaError::Unavailable`] for one that this
            /// processor lacks.
            pub fn from_name(name: &str) -> Result<Isa, IsaError> {
                match name {
                    $(
                        #[cfg(target_arch = "x86_64")]
                        $name => {
                            let present = true $(&& detected!($feature))+;
                            if present { Ok(Isa { kind: Kind::$kind, processor: processor() }) } else { Err(IsaError::Unavailable { name: $name }) }
                        }
                    )*
                    "portable" => Ok(Isa::PORTABLE),
                    _ => Err(IsaError::unknown(name)),
                }
            }

            /// The name, as [`Isa::from_name`] takes it.
            pub const fn name(self) -> &'static str {
                match self.kind {
                    $(#[cfg(target_arch = "x86_64")] Kind::$kind => $name,)*
                    Kind::Portable => "portable",
                }
            }

            /// Runs an operation with the instructions of this set.
            #[inline]
            #[allow(unsafe_code, reason = "entering a function with target features is the purpose of this type")]
            pub fn run<O: SimdOp>(self, op: O) -> O::Output {
                match self.kind {
                    $(
                        #[cfg(target_arch = "x86_64")]
                        Kind::$kind => {
                            #[target_feature($(enable = $feature),+)]
                            fn enter<O: SimdOp>(op: O) -> O::Output {
                                // SAFETY: this function can only be entered where the processor has the features.
                                op.run(unsafe { <$token>::new() })
                            }
                            // SAFETY: a value of this kind is only made by `from_name`, after detection of every feature.
                            unsafe { enter(op) }
                        }
                    )*
                    Kind::Portable => op.run(Portable),
                }
            }
        }
    };
}

/// Whether the processor has a feature: asked at run time with `std`, known at compile time without.
#[cfg(all(target_arch = "x86_64", feature = "std"))]
macro_rules! detected {
    ($feature:tt) => {
        std::arch::is_x86_feature_detected!($feature)
    };
}
#[cfg(all(target_arch = "x86_64", not(feature = "std")))]
macro_rules! detected {
    ($feature:tt) => {
        cfg!(target_feature = $feature)
    };
}

instruction_sets! {
    Avx512, super::x86::Avx512, "avx512", ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "bmi1", "bmi2", "popcnt"];
    Avx2, super::x86::Avx2, "avx2", ["avx2", "fma", "bmi1", "bmi2", "popcnt"];
}

/// What the processor says of itself. Miri has none to ask.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the oldest compiler that is promised takes the question for unsafe")]
fn processor() -> Processor {
    use core::arch::x86_64::__cpuid;
    use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
    // A virtual machine leaves the answer to its host, which takes a while.
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    const UNKNOWN: u8 = u8::MAX;
    if cfg!(miri) {
        return Processor::Other;
    }
    if let Some(&answer) = Processor::ALL.get(usize::from(ANSWER.load(Relaxed))) {
        return answer;
    }
    // SAFETY: every processor with these instruction sets has the instruction, and leaves 0 and 1.
    #[allow(unused_unsafe, reason = "safe in later compilers")]
    let [maker, signature] = [0, 1].map(|leaf| unsafe { __cpuid(leaf) });
    let family = match signature.eax >> 8 & 15 {
        15 => 15 + (signature.eax >> 20 & 255),
        family => family,
    };
    let answer = match [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).as_flattened() {
        b"GenuineIntel" => Processor::Intel,
        b"AuthenticAMD" if family <= 25 => Processor::UpToZen4,
        _ => Processor::Other,
    };
    ANSWER.store(answer as u8, Relaxed);
    answer
}

impl Isa {
    /// The instruction set that the crate was compiled for: SSE2, NEON, wasm simd128 or scalar code, by way of `wide`.
    pub const PORTABLE: Isa = Isa { kind: Kind::Portable, processor: Processor::Other };

    /// The best instruction set of this processor.
    pub fn detect() -> Isa {
        Self::available().next().unwrap_or(Self::PORTABLE)
    }

    /// The instruction set named by the environment variable `SELVEDGE_ISA`, else the best one.
    ///
    /// # Errors
    /// As [`Isa::from_name`]: a name that cannot be honoured is never replaced in silence.
    #[cfg(feature = "std")]
    pub fn select() -> Result<Isa, IsaError> {
        match std::env::var_os("SELVEDGE_ISA") {
            Some(name) => Self::from_name(&name.to_string_lossy()),
            None => Ok(Self::detect()),
        }
    }

    /// Whether `a * b + c` is rounded once. All instruction sets for which this is true compute the same bits.
    pub const fn fused(self) -> bool {
        match self.kind {
            Kind::Portable => super::portable::FUSED,
            #[cfg(target_arch = "x86_64")]
            _ => true,
        }
    }

    /// Whether the processor is one of Intel's. Those with AVX-512 multiply as fast as a Zen 5, two vectors a cycle, but their kernels want other loops:
    /// a masked load takes one of the two places of a multiply-add; six instructions begin in a cycle, not eight; they look less far ahead; and half a
    /// vector is multiplied in one place only, so it takes as long as a whole one.
    pub(crate) const fn is_intel(self) -> bool {
        matches!(self.processor, Processor::Intel)
    }

    /// Whether lines of main memory are asked for in level 2. Level 1 of AMD's processors up to Zen 4 waits for 24 lines at most, which is half of what
    /// memory would send; level 2 waits for more. In sums over the rows of 56,000 x 304 elements a Zen 4 reads 2.7 times as fast so.
    pub(crate) const fn waits_in_level_2(self) -> bool {
        matches!(self.processor, Processor::UpToZen4)
    }

    /// [`Simd::prefetch`] of a line of main memory into the cache that waits for it best.
    #[inline(always)]
    pub(crate) fn prefetch_from_memory<S: Simd>(self, simd: S, source: *const f32) {
        if self.waits_in_level_2() { simd.prefetch::<2>(source) } else { simd.prefetch::<1>(source) }
    }

    /// The same instruction set, with the loops for Intel's processors or with those for unknown ones.
    #[cfg(test)]
    pub(crate) const fn on_intel(self, is_intel: bool) -> Isa {
        Isa { processor: if is_intel { Processor::Intel } else { Processor::Other }, ..self }
    }

    /// Every instruction set that is available here, with the loops for each kind of processor.
    #[cfg(test)]
    pub(crate) fn with_all_loops() -> impl Iterator<Item = Isa> {
        Self::available().flat_map(|isa| Processor::ALL.map(|processor| Isa { processor, ..isa }))
    }

    /// [`Simd::COLUMN_VECTORS`] of this instruction set.
    pub(crate) fn column_vectors(self) -> usize {
        struct ColumnVectors;
        impl SimdOp for ColumnVectors {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::COLUMN_VECTORS
            }
        }
        self.run(ColumnVectors)
    }

    /// [`Simd::TILE_ROWS`] of this instruction set.
    pub(crate) fn tile_rows(self) -> [usize; 4] {
        struct TileRows;
        impl SimdOp for TileRows {
            type Output = [usize; 4];
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> [usize; 4] {
                S::TILE_ROWS
            }
        }
        self.run(TileRows)
    }
}

impl core::fmt::Debug for Isa {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::fmt::Display for Isa {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_one_that_the_system_names() {
        let text = std::fs::read_to_string("/proc/cpuinfo").expect("a description of the processors");
        let field = |name| text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split(": ").nth(1));
        let family: u32 = field("cpu family").and_then(|family| family.parse().ok()).expect("a family");
        let (is_intel, is_amd) = (field("vendor_id") == Some("GenuineIntel"), field("vendor_id") == Some("AuthenticAMD"));
        // The second answers are remembered.
        for isa in [Isa::available(), Isa::available()].into_iter().flatten().filter(|&isa| isa != Isa::PORTABLE) {
            assert_eq!(isa.is_intel(), is_intel, "{isa}");
            assert_eq!(isa.waits_in_level_2(), is_amd && family <= 25, "{isa}, family {family}");
        }
        assert!(!Isa::PORTABLE.is_intel() && !Isa::PORTABLE.waits_in_level_2());
    }
}
