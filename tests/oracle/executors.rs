//! Teams under stress: more threads than processors, nothing to do, and parts that fail.

use super::{Buffers, Data, Given, Graph, Relu, Softmax, bits, parameters, random};
use selvedge::exec::{Context, Inputs};
use selvedge::kernels::optimizers::{Optimizer, Sgd};
use selvedge::parallel::{Executor, Pool};
use selvedge::plan::Plan;
use selvedge::simd::Isa;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const OPTIMIZER: Optimizer = Optimizer::Sgd(Sgd { learning_rate: 0.1 });

/// Sixteen threads where there are fewer processors: whoever waits must let the others run.
#[test]
fn an_oversubscribed_team_makes_progress() {
    let start = Instant::now();
    Pool::new(16).expect("threads").team(|team| {
        let done = AtomicU64::new(0);
        for _ in 0..2000 {
            team.run(&|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(done.into_inner(), 2000 * 16);
    });
    let elapsed = start.elapsed();
    // Under a second where nothing else runs; waiting out a time slice for each thread in each run would take minutes.
    assert!(elapsed < Duration::from_secs(20), "2,000 runs took {elapsed:?}");
}

/// Processor time that the calling thread has used.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What all workers of a team use between two runs, while the caller does `body`, in nanoseconds.
#[cfg(unix)]
fn used_by_workers(team: &dyn Executor, body: impl FnOnce()) -> u64 {
    let used = AtomicU64::new(0);
    let account = |sign: fn(u64) -> u64| {
        team.run(&|part| {
            if part > 0 {
                used.fetch_add(sign(processor_time().as_nanos() as u64), Ordering::Relaxed);
            }
        });
    };
    account(u64::wrapping_neg);
    body();
    account(|now| now);
    used.into_inner()
}

/// An idle team sleeps. Each worker asks for its own processor time, so other tests are not counted.
#[cfg(unix)]
#[test]
fn an_idle_team_uses_no_processor() {
    for threads in [2, 4] {
        let idle = Duration::from_millis(300);
        let used = Pool::new(threads).expect("threads").team(|team| used_by_workers(team, || std::thread::sleep(idle)));
        assert!(Duration::from_nanos(used) <= Duration::from_millis(20), "{threads} threads used {used} ns while idle");
    }
}

/// The measurement above sees a worker that spins.
#[cfg(unix)]
#[test]
fn a_busy_worker_is_seen() {
    let used = Pool::new(2).expect("threads").team(|team| {
        used_by_workers(team, || {
            team.run(&|part| {
                let start = processor_time();
                while part > 0 && processor_time() - start < Duration::from_millis(30) {}
            });
        })
    });
    assert!(Duration::from_nanos(used) > Duration::from_millis(20), "a busy worker used {used} ns");
}

/// A label that no output stands for, in the rows of each part in turn: the step panics with both numbers, no parameter has moved,
/// and the team goes on.
#[test]
fn a_step_that_fails_changes_no_parameter() {
    let graph = Graph::chain(5, &[(17, Relu), (3, Softmax)]);
    let threads = 3;
    let plan = Plan::training(graph.network(), 9, threads);
    let mut random = random(1);
    let parameters = parameters(&plan, &mut random, 0.0);
    let data = Data::new(&mut random, 9, 5, 3);
    Pool::new(threads).expect("threads").team(|team| {
        let context = Context { isa: Isa::detect(), plan: &plan, executor: team };
        for part in 0..threads {
            let mut buffers = Buffers::new(&plan, &OPTIMIZER, parameters.clone());
            let mut labels = data.labels.clone();
            labels[part * 3 + 1] = 3;
            let given = Given::one(Inputs::Rows(data.matrix()), &labels);
            let panic = catch_unwind(AssertUnwindSafe(|| buffers.step(&context, OPTIMIZER, &given.batch())))
                .expect_err("a label too large");
            assert_eq!(panic.downcast_ref::<String>().expect("a message"), "a label below 3 expected in row 1, found 3");
            assert_eq!(bits(&buffers.parameters), bits(&parameters));
            let report = buffers.step(&context, OPTIMIZER, &data.given().batch());
            assert!(report.loss_sum.is_finite());
            assert_ne!(bits(&buffers.parameters), bits(&parameters));
        }
    });
}
