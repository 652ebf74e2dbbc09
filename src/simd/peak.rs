//! The limit of the machine: how many multiply-adds a second a loop does that touches nothing but registers.

use super::{Isa, Simd, SimdOp};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of the register loop: `rounds` times as many dependent multiply-adds on each of the chains.
struct RegisterLoop {
    rounds: u64,
}

/// Floating-point operations that the loop did, and a value that depends on all of them.
struct Work {
    operations: u64,
    value: f32,
}

impl SimdOp for RegisterLoop {
    type Output = Work;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Work {
        // As many chains as registers allow: enough to hide the latency.
        match S::TILE_ROWS[0] {
            8.. => chains::<S, 12>(simd, self.rounds),
            6..8 => chains::<S, 6>(simd, self.rounds),
            _ => chains::<S, 3>(simd, self.rounds),
        }
    }
}

#[inline(always)]
fn chains<S: Simd, const CHAINS: usize>(simd: S, rounds: u64) -> Work {
    let factor = simd.splat(black_box(0.999));
    let term = simd.splat(black_box(0.001));
    let mut accumulators = [simd.splat(black_box(1.0)); CHAINS];
    for _ in 0..rounds {
        for accumulator in &mut accumulators {
            *accumulator = simd.mul_add(factor, *accumulator, term);
        }
    }
    let mut sum = simd.zero();
    for accumulator in accumulators {
        sum = simd.add(sum, accumulator);
    }
    Work { operations: rounds * CHAINS as u64 * 2 * super::LANES as u64, value: simd.sum_lanes(sum) }
}

/// Billions of floating-point operations a second (a multiply-add is two) that the calling thread reaches in registers: the best of
/// repeated runs of about a millisecond within `duration`.
pub fn fma_gflops(isa: Isa, duration: Duration) -> f64 {
    let start = Instant::now();
    let mut best = 0.0f64;
    loop {
        let begin = Instant::now();
        let work = isa.run(RegisterLoop { rounds: 200_000 });
        let seconds = begin.elapsed().as_secs_f64();
        black_box(work.value);
        best = best.max(work.operations as f64 / seconds / 1e9);
        if start.elapsed() >= duration {
            return best;
        }
    }
}
