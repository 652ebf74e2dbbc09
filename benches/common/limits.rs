//! What the machine can do at best, measured in the same process as what is compared with it.

use super::buffer::Buffer;
use super::{Opened, repeat, timed};
use selvedge::parallel::{Executor, Pool, Shares};
use selvedge::simd::{Isa, LANES, Simd, SimdOp, peak};
use std::hint::black_box;
use std::time::Duration;

/// Multiply-adds in registers on that many threads at once, in FLOP.
pub(super) fn peak(isa: Isa, threads: usize) -> Opened {
    // The register loop tells its rate, not its work: a repetition is one run of the loop, taken as that much work at that rate.
    const WORK: f64 = 1e8;
    let pool = Pool::new(threads).expect("threads");
    let run = move |n| {
        pool.team(|team| {
            let mut seconds = 0.0;
            for _ in 0..n {
                let mut rates = vec![0.0; team.parts()];
                let each = Shares::new(&mut rates, 1);
                team.run(&|part| each.take(part)[0] = peak::fma_gflops(isa, Duration::ZERO));
                seconds += WORK / (rates.iter().sum::<f64>() * 1e9);
            }
            Duration::from_secs_f64(seconds)
        })
    };
    Opened { run: Box::new(run), work: WORK }
}

/// A copy from one half of `bytes` to the other, in bytes read and written.
pub(super) fn copy(bytes: usize) -> Opened {
    let len = (bytes / 2 / size_of::<f32>()).max(1);
    let (source, mut target) = (Buffer::new(len, 1.0), Buffer::zeros(len));
    let run = repeat(move || {
        target.get_mut().copy_from_slice(black_box(source.get()));
        black_box(target.get_mut());
    });
    Opened { run, work: (2 * len * size_of::<f32>()) as f64 }
}

/// Reading `bytes` over and over, in bytes.
pub(super) fn read(isa: Isa, bytes: usize) -> Opened {
    let len = (bytes / size_of::<f32>()).max(1);
    let source = Buffer::new(len, 1.0);
    let run = move |n| {
        timed(n, || {
            black_box(isa.run(Sum(black_box(source.get()))));
        })
    };
    Opened { run: Box::new(run), work: (len * size_of::<f32>()) as f64 }
}

/// The sum of a slice in enough chains that the loads are what limits it. Elements behind the last whole round are left out.
struct Sum<'a>(&'a [f32]);

impl SimdOp for Sum<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        const CHAINS: usize = 4;
        let mut sums = [simd.zero(); CHAINS];
        let (rounds, _) = self.0.as_chunks::<LANES>().0.as_chunks::<CHAINS>();
        for round in rounds {
            for (sum, vector) in sums.iter_mut().zip(round) {
                *sum = simd.add(*sum, simd.load(vector));
            }
        }
        let [a, b, c, d] = sums;
        simd.sum_lanes(simd.add(simd.add(a, b), simd.add(c, d)))
    }
}
