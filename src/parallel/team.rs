//! [`Pool`] and [`Team`]: threads that stay for many runs.
#![allow(unsafe_code, reason = "a task that borrows from its caller is handed to threads that outlive the call")]

use super::sync::{AtomicBool, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, UnsafeCell, sequentially_consistent};
use super::{Executor, MAX_PARTS};
use std::any::Any;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

/// Threads to make a [`Team`] of: a rayon pool with the feature `parallel`, else plain threads that live as long as the team.
///
/// Under Miri they are always plain: it stops inside of rayon's queues, at borrows that are not ours, before it has seen the team.
#[derive(Debug)]
pub struct Pool {
    threads: usize,
    /// One thread fewer than the team has: the caller is the first member. `None` if nobody else is needed.
    #[cfg(all(feature = "parallel", not(miri)))]
    workers: Option<rayon::ThreadPool>,
}

impl Pool {
    /// A pool for teams of `threads` threads, the caller's included.
    ///
    /// # Errors
    /// If the system cannot start the threads.
    ///
    /// # Panics
    /// If `threads` is 0 or more than [`MAX_PARTS`].
    pub fn new(threads: usize) -> std::io::Result<Self> {
        assert!((1..=MAX_PARTS).contains(&threads), "1 to {MAX_PARTS} threads expected, found {threads}");
        Ok(Self {
            threads,
            #[cfg(all(feature = "parallel", not(miri)))]
            workers: match threads {
                1 => None,
                _ => {
                    let name = |i: usize| std::format!("selvedge-{}", i + 1);
                    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads - 1).thread_name(name);
                    Some(builder.build().map_err(std::io::Error::other)?)
                }
            },
        })
    }

    /// The number of processors that this process may use, at most [`MAX_PARTS`].
    pub fn default_threads() -> usize {
        std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_PARTS))
    }

    /// The number of threads of a team.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `body` with a team of all threads that exists for the duration of the call. The pool is entered here, once, and left at the end.
    ///
    /// # Panics
    /// If `body` or a task panics.
    pub fn team<R>(&self, body: impl FnOnce(&Team) -> R) -> R {
        self.team_of(self.threads, body)
    }

    /// [`Pool::team`] of so many threads, the caller's included. The others stay asleep.
    ///
    /// # Panics
    /// If `body` or a task panics, or `threads` is 0 or more than the pool has.
    pub fn team_of<R>(&self, threads: usize, body: impl FnOnce(&Team) -> R) -> R {
        assert!((1..=self.threads).contains(&threads), "1 to {} threads expected, found {threads}", self.threads);
        let team = &Team::new(threads);
        if threads == 1 {
            // Nobody else to begin with, and so nothing to allocate.
            return body(team);
        }
        #[cfg(all(feature = "parallel", not(miri)))]
        if let Some(workers) = &self.workers {
            return workers.in_place_scope(|scope| {
                // Each of these keeps a worker to itself, of whom there are as many or more.
                (1..threads).for_each(|index| scope.spawn(move |_| team.work(index)));
                let _dismissal = Dismissal(team);
                body(team)
            });
        }
        std::thread::scope(|scope| {
            for index in 1..threads {
                scope.spawn(move || team.work(index));
            }
            let _dismissal = Dismissal(team);
            body(team)
        })
    }
}

/// A resident team of threads, of which the caller is one.
pub struct Team {
    threads: usize,
    /// Whether a run is going on.
    busy: AtomicBool,
    /// Counts the runs; a change tells the workers that there is a task.
    run: AtomicUsize,
    /// The task of the current run; `None` tells the workers to leave.
    task: UnsafeCell<Option<Task>>,
    /// Workers that have not ended their part of the current run.
    working: AtomicUsize,
    /// The first panic of the current run.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    started: Gate,
    ended: Gate,
}

type Task = *const (dyn Fn(usize) + Sync);

// SAFETY: `task` is the only field that is not `Sync`. It is written by the caller while no worker reads it: before `run` is
// increased and after `working` has come down to zero. Workers read it between the two. What it points to is `Sync`.
unsafe impl Sync for Team {}

impl Team {
    pub(super) fn new(threads: usize) -> Self {
        let team = Self {
            threads,
            busy: AtomicBool::new(false),
            run: AtomicUsize::new(0),
            task: UnsafeCell::new(None),
            working: AtomicUsize::new(0),
            panic: Mutex::new(None),
            started: Gate::new(),
            ended: Gate::new(),
        };
        // Some systems allocate a lock when it is first used.
        drop(lock(&team.panic));
        team
    }

    /// Publishes a task, or with `None` the end, to the workers.
    pub(super) fn publish(&self, task: Option<Task>) {
        // SAFETY: no worker reads the task now; see the remark on `Sync`.
        self.task.with_mut(|slot| unsafe { *slot = task });
        self.working.store(self.threads - 1, Ordering::Relaxed);
        self.run.fetch_add(1, Ordering::SeqCst);
        self.started.open();
    }

    /// What a worker does until the team is dismissed.
    pub(super) fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            self.started.wait(|| self.run.load(Ordering::SeqCst) != seen);
            seen += 1;
            // SAFETY: a run has been published and this worker has not yet reported its end; see the remark on `Sync`.
            let Some(task) = self.task.with(|slot| unsafe { *slot }) else { return };
            // SAFETY: `run` below does not return before `working` is zero, so the task is still borrowed.
            let task = unsafe { &*task };
            self.attempt(|| task(index));
            if self.working.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.ended.open();
            }
        }
    }

    /// Calls a part and keeps its panic for the caller.
    fn attempt(&self, part: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(part)) {
            lock(&self.panic).get_or_insert(payload);
        }
    }
}

impl Executor for Team {
    fn parts(&self) -> usize {
        self.threads
    }

    /// # Panics
    /// Also if called from inside a task of the same team.
    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        assert!(!self.busy.swap(true, Ordering::Acquire), "a team runs one task at a time");
        let erased: *const (dyn Fn(usize) + Sync + '_) = task;
        // SAFETY: only the lifetime changes. Workers use the task only until they have reported the end of their parts, and this
        // function waits for all reports before it returns or unwinds.
        let erased: Task = unsafe { core::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Task>(erased) };
        self.publish(Some(erased));
        self.attempt(|| task(0));
        self.ended.wait(|| self.working.load(Ordering::SeqCst) == 0);
        let panic = lock(&self.panic).take();
        self.busy.store(false, Ordering::Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Sends the workers home when the body of a team ends, also by a panic.
struct Dismissal<'a>(&'a Team);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.publish(None);
    }
}

/// Where threads wait for a condition: spinning at first, because the next run is usually microseconds away; then yielding, in
/// case the thread they wait for needs this processor; then asleep, so that an idle team costs nothing.
struct Gate {
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Gate {
    /// About 10 microseconds: longer than the parts of a step differ, shorter than anyone notices.
    const SPINS: u32 = if cfg!(loom) { 1 } else { 500 };
    /// About 30 microseconds where nothing else wants to run.
    const YIELDS: u32 = if cfg!(loom) { 0 } else { 100 };

    fn new() -> Self {
        let gate = Self { sleepers: AtomicUsize::new(0), lock: Mutex::new(()), wake: Condvar::new() };
        // Some systems allocate these when they are first used.
        drop(lock(&gate.lock));
        gate.wake.notify_all();
        gate
    }

    fn wait(&self, ready: impl Fn() -> bool) {
        for _ in 0..Self::SPINS {
            if ready() {
                return;
            }
            core::hint::spin_loop();
        }
        for _ in 0..Self::YIELDS {
            if ready() {
                return;
            }
            std::thread::yield_now();
        }
        let mut guard = lock(&self.lock);
        // Announced before the last look: whoever makes the condition true after that look sees a sleeper and wakes it.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        sequentially_consistent();
        while !ready() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// To be called after the condition has become true.
    fn open(&self) {
        sequentially_consistent();
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            // The lock waits for a thread that is between its last look and its sleep.
            drop(lock(&self.lock));
            self.wake.notify_all();
        }
    }
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn every_part_runs_once_in_every_run() {
        for threads in [1, 2, 3, 7, 16] {
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            let pool = Pool::new(threads).expect("threads");
            pool.team(|team| {
                // Miri, which looks for data races, takes long for each.
                for run in 0..if cfg!(miri) { 5 } else { 500 } {
                    if run % 100 == 0 {
                        // Long enough for the workers to fall asleep.
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    team.run(&|part| {
                        counts[part].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == run + 1), "{threads} threads, run {run}");
                }
            });
        }
    }

    #[test]
    fn a_panic_in_any_part_reaches_the_caller_and_the_team_goes_on() {
        for guilty in 0..3 {
            Pool::new(3).expect("threads").team(|team| {
                let payload = catch_unwind(AssertUnwindSafe(|| {
                    team.run(&|part| assert!(part != guilty, "part {part} failed"));
                }))
                .expect_err("the panic of a part");
                assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some(&*std::format!("part {guilty} failed")));
                let done = AtomicUsize::new(0);
                team.run(&|_| {
                    done.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(done.into_inner(), 3);
            });
        }
    }

    #[test]
    fn a_panic_in_the_body_ends_the_team() {
        let pool = Pool::new(2).expect("threads");
        catch_unwind(AssertUnwindSafe(|| pool.team(|_| panic!("body")))).expect_err("the panic of the body");
        assert_eq!(pool.team(Executor::parts), 2);
    }

    #[test]
    fn a_team_of_fewer_threads_leaves_the_others_alone() {
        let pool = Pool::new(4).expect("threads");
        for threads in [1, 3, 2, 4] {
            for _ in 0..if cfg!(miri) { 1 } else { 50 } {
                let counts: [AtomicUsize; 4] = std::array::from_fn(|_| AtomicUsize::new(0));
                pool.team_of(threads, |team| {
                    assert_eq!(team.parts(), threads);
                    team.run(&|part| {
                        counts[part].fetch_add(1, Ordering::Relaxed);
                    });
                });
                let expected: Vec<usize> = (0..4).map(|part| usize::from(part < threads)).collect();
                assert_eq!(counts.map(AtomicUsize::into_inner).to_vec(), expected);
            }
        }
    }

    #[test]
    #[should_panic(expected = "1 to 2 threads expected, found 3")]
    fn a_team_of_more_threads_than_there_are_is_refused() {
        Pool::new(2).expect("threads").team_of(3, |_| ());
    }

    #[test]
    #[should_panic(expected = "a team runs one task at a time")]
    fn a_team_is_not_entered_twice() {
        Pool::new(2).expect("threads").team(|team| {
            team.run(&|part| {
                if part == 0 {
                    team.run(&|_| ())
                }
            })
        });
    }
}
