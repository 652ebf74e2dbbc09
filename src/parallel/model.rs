//! A team in every order in which its threads can run and their accesses take effect: `scripts/loom.sh`.

use super::Executor;
use super::sync::{AtomicUsize, Ordering, UnsafeCell};
use super::team::Team;
use loom::sync::Arc;
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::Vec;

/// A team of loom's threads, for all orders with at most so many interruptions of a thread that could have gone on.
fn in_every_order(threads: usize, interruptions: usize, body: impl Fn(&Team) + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    model.check(move || {
        let team = Arc::new(Team::new(threads));
        let workers: Vec<_> = (1..threads)
            .map(|index| {
                let team = team.clone();
                thread::spawn(move || team.work(index))
            })
            .collect();
        body(&team);
        team.publish(None);
        workers.into_iter().for_each(|worker| worker.join().expect("a worker that leaves"));
    });
}

/// A number for each part, as little protected as what a part computes: loom reports an access that another one may meet.
struct Cells(Vec<UnsafeCell<usize>>);

// SAFETY: not any; loom is here to tell.
#[allow(unsafe_code, reason = "whether threads may share it is what is tested")]
unsafe impl Sync for Cells {}

impl Cells {
    fn new(parts: usize) -> Self {
        Self((0..parts).map(|_| UnsafeCell::new(0)).collect())
    }

    #[allow(unsafe_code, reason = "as above")]
    fn increase(&self, part: usize) {
        // SAFETY: loom checks it.
        self.0[part].with_mut(|cell| unsafe { *cell += 1 });
    }

    #[allow(unsafe_code, reason = "as above")]
    fn sum(&self) -> usize {
        // SAFETY: loom checks it.
        self.0.iter().map(|cell| cell.with(|cell| unsafe { *cell })).sum()
    }
}

/// After a run its caller sees what every part has written, and every part of the next run what all have written before.
fn runs_are_seen(threads: usize, runs: usize, interruptions: usize) {
    in_every_order(threads, interruptions, move |team| {
        let cells = Cells::new(threads);
        for run in 1..=runs {
            team.run(&|part| cells.increase((part + run) % threads));
            assert_eq!(cells.sum(), threads * run);
        }
    });
}

#[test]
fn two_threads_see_each_other() {
    runs_are_seen(2, 3, 4);
}

#[test]
fn three_threads_see_each_other() {
    runs_are_seen(3, 1, 3);
    runs_are_seen(3, 2, 2);
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_goes_on() {
    for guilty in 0..2 {
        in_every_order(2, 3, move |team| {
            let failed = catch_unwind(AssertUnwindSafe(|| team.run(&|part| assert!(part != guilty, "planted"))));
            assert!(failed.is_err());
            let done = AtomicUsize::new(0);
            team.run(&|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 2);
        });
    }
}

#[test]
fn a_team_that_nothing_is_asked_of_ends() {
    in_every_order(3, 3, |_| ());
}
