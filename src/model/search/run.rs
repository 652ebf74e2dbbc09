//! [`Search`]: runs trials, several at once, and ranks them.

use super::candidate::Candidate;
use super::error::SearchError;
use super::folds::Fold;
use super::results::SearchResults;
use super::trial::{FoldScore, Score, Trial};
use crate::parallel::{MAX_PARTS, Pool};
use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What an objective is to do: train on some rows, score on others, with so many threads.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    /// The number of the trial.
    pub trial: usize,
    /// The number of the fold.
    pub fold: usize,
    /// The rows to train on.
    pub training: &'a [u32],
    /// The rows to score.
    pub validation: &'a [u32],
    /// The threads that it may use, its own included.
    pub threads: usize,
}

/// Tries candidates by cross-validation: each is trained and scored once for each fold, and the mean of its scores ranks it.
///
/// # Threads
/// [`threads`](Self::threads) threads in all, the caller's included, are shared out evenly to
/// [`trials_at_once`](Self::trials_at_once) trials; each trial learns from [`Split::threads`] how many it may use for its steps. The default is as many
/// trials at once as threads, each on one thread: nobody waits at barriers. Fewer trials at once need less memory. Scores do not depend on it.
///
/// # Failures
/// An objective that returns an error or a score that is not finite fails its trial: the trial keeps the message and is ranked last, and the search goes on. A
/// panic is a bug, and ends the search.
///
/// # Many machines, many runs
/// A trial depends on its number only, so machines share a search by running [`only`](Self::only) some numbers each, through whatever
/// scheduler starts them. What one run has finished, another one skips: see [`finished`](Self::finished), and with the feature `search-json`
/// `resume_lines` and `resume_file`. The failed are finished, too.
pub struct Search<'a> {
    candidates: Vec<Candidate>,
    folds: Vec<Fold>,
    fingerprint: u32,
    threads: usize,
    trials_at_once: Option<usize>,
    only: Option<Vec<usize>>,
    finished: Vec<Trial>,
    pub(super) ignored_line: Option<usize>,
    stop_flag: Option<&'a AtomicBool>,
    observers: Vec<Observer<'a>>,
}

type Observer<'a> = Box<dyn FnMut(&Trial) -> Result<(), SearchError> + Send + 'a>;

impl fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { candidates, folds, threads, trials_at_once, finished, .. } = self;
        let mut text = f.debug_struct("Search");
        text.field("candidates", &candidates.len()).field("folds", &folds.len()).field("threads", threads);
        text.field("trials_at_once", trials_at_once).field("finished", &finished.len()).finish_non_exhaustive()
    }
}

impl<'a> Search<'a> {
    /// A search among candidates: trial `i` tries the candidate number `i` on every fold.
    ///
    /// # Errors
    /// If there are no candidates, no folds, or a fold has no rows to train on or to score.
    pub fn new(candidates: Vec<Candidate>, folds: Vec<Fold>) -> Result<Self, SearchError> {
        if candidates.is_empty() {
            return Err(SearchError::setting("candidates", "at least 1", 0));
        }
        if folds.is_empty() {
            return Err(SearchError::setting("folds", "at least 1", 0));
        }
        for (number, fold) in folds.iter().enumerate() {
            for (part, rows) in [("training", &fold.training), ("validation", &fold.validation)] {
                if rows.is_empty() {
                    return Err(SearchError::EmptyFold { fold: number, part });
                }
            }
        }
        Ok(Self {
            candidates,
            fingerprint: Fold::fingerprint(&folds),
            folds,
            threads: Pool::default_threads(),
            trials_at_once: None,
            only: None,
            finished: Vec::new(),
            ignored_line: None,
            stop_flag: None,
            observers: Vec::new(),
        })
    }

    /// The number of threads in all, the caller's included. Default: as many as there are processors.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// The number of trials that run at the same time, if there are so many left. Default: one for each thread.
    pub fn trials_at_once(self, trials: usize) -> Self {
        Self { trials_at_once: Some(trials), ..self }
    }

    /// Runs only the trials of these numbers: `only((machine..trials).step_by(machines))`.
    pub fn only(self, numbers: impl IntoIterator<Item = usize>) -> Self {
        Self { only: Some(numbers.into_iter().collect()), ..self }
    }

    /// Begins no further fold once the flag is set, as for Ctrl-C. A trial that has not all of its folds is not among the results.
    pub fn stop_flag(self, flag: &'a AtomicBool) -> Self {
        Self { stop_flag: Some(flag), ..self }
    }

    /// Calls `observer` with each trial as it finishes, one at a time, on the thread that ran it. Its error ends the search.
    pub fn on_trial(mut self, observer: impl FnMut(&Trial) -> Result<(), SearchError> + Send + 'a) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Takes trials that another run has finished: they are ranked with the others and not run again. A trial may come several times if it ended
    /// the same.
    ///
    /// # Errors
    /// [`SearchError::Trial`] if a trial is not of this search: no such number, another candidate, other folds, or other scores than the
    /// same trial has brought before.
    pub fn finished(mut self, trials: impl IntoIterator<Item = Trial>) -> Result<Self, SearchError> {
        trials.into_iter().try_for_each(|trial| self.add_finished(trial))?;
        Ok(self)
    }

    pub(super) fn add_finished(&mut self, trial: Trial) -> Result<(), SearchError> {
        let mismatch =
            |what, expected: String, found: String| Err(SearchError::Trial { trial: trial.number, what, expected, found });
        let Some(candidate) = self.candidates.get(trial.number) else {
            return mismatch("number", format!("less than {}", self.candidates.len()), trial.number.to_string());
        };
        if trial.candidate != *candidate {
            return mismatch("candidate", format!("`{candidate}`"), format!("`{}`", trial.candidate));
        }
        if trial.fingerprint != self.fingerprint {
            return mismatch("fingerprint of the folds", self.fingerprint.to_string(), trial.fingerprint.to_string());
        }
        let (folds, found) = (self.folds.len(), trial.folds.len());
        if trial.failure.is_none() && found != folds || found > folds {
            return mismatch("number of scores", folds.to_string(), found.to_string());
        }
        if let Some(fold) = trial.folds.iter().find(|fold| !fold.score.is_finite()) {
            return mismatch("score", "a finite number".into(), fold.score.to_string());
        }
        match self.finished.iter().find(|earlier| earlier.number == trial.number) {
            Some(earlier) if earlier.ended_as(&trial) => Ok(()),
            Some(earlier) => {
                let end = |trial: &Trial| trial.mean().map_or("a failure".to_owned(), |mean| format!("the mean {mean:?}"));
                mismatch("result", format!("{}, as before,", end(earlier)), end(&trial))
            }
            None => {
                // The order of its parameters may be another.
                self.finished.push(Trial { candidate: candidate.clone(), ..trial });
                Ok(())
            }
        }
    }

    /// Runs what is not finished, and ranks everything. The objective trains the candidate on some rows and scores it on others; it should depend on nothing
    /// else but the number of the fold.
    ///
    /// # Errors
    /// If a setting is outside of its range, or an observer fails. A failing objective is a failed trial, not an error.
    ///
    /// # Panics
    /// If the objective panics.
    pub fn run<S: Into<Score>, E: fmt::Display>(
        self,
        objective: impl Fn(&Candidate, &Split<'_>) -> Result<S, E> + Sync,
    ) -> Result<SearchResults, SearchError> {
        if self.threads == 0 {
            return Err(SearchError::setting("threads", "at least 1", 0));
        }
        let at_once = self.trials_at_once.unwrap_or(self.threads);
        if !(1..=self.threads).contains(&at_once) {
            return Err(SearchError::setting("trials_at_once", format!("1 to the {} threads", self.threads), at_once));
        }
        let queue = self.queue()?;
        let at_once = at_once.min(queue.len()).max(1);
        let Self { candidates, folds, fingerprint, threads, finished, ignored_line, stop_flag, observers, .. } = self;

        let next = AtomicUsize::new(0);
        let sink = Mutex::new(Sink { finished, observers, error: None });
        let stopped = || stop_flag.is_some_and(|flag| flag.load(Ordering::Relaxed));
        let work = |threads: usize| {
            let _end = EndOnPanic { next: &next, end: queue.len() };
            while let Some(&number) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                let candidate = &candidates[number];
                let mut trial = Trial { number, candidate: candidate.clone(), fingerprint, folds: Vec::new(), failure: None };
                for (i, fold) in folds.iter().enumerate() {
                    if stopped() {
                        return;
                    }
                    let Fold { training, validation } = fold;
                    let clock = Instant::now();
                    let score = objective(candidate, &Split { trial: number, fold: i, training, validation, threads });
                    let seconds = clock.elapsed().as_secs_f64();
                    match score.map(Into::into) {
                        Ok(Score { value, epochs }) if value.is_finite() => {
                            trial.folds.push(FoldScore { score: value, epochs, seconds });
                            continue;
                        }
                        Ok(Score { value, .. }) => {
                            trial.failure = Some(format!("fold {i}: a finite score expected, found {value}"))
                        }
                        Err(error) => trial.failure = Some(format!("fold {i}: {error}")),
                    }
                    break;
                }
                if !lock(&sink).take(trial) {
                    next.store(queue.len(), Ordering::Relaxed);
                }
            }
        };
        // The first ones take what is left over when threads are shared out evenly.
        let share = |worker: usize| (threads / at_once + usize::from(worker < threads % at_once)).min(MAX_PARTS);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..at_once)
                .map(|worker| {
                    scope.spawn({
                        let work = &work;
                        move || work(share(worker))
                    })
                })
                .collect();
            work(share(0));
            for other in others {
                if let Err(panic) = other.join() {
                    resume_unwind(panic);
                }
            }
        });
        let Sink { finished, error, .. } = sink.into_inner().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => Err(error),
            None => Ok(SearchResults::new(finished, candidates.len(), ignored_line)),
        }
    }

    /// The numbers of the trials to run, in order.
    fn queue(&self) -> Result<Vec<usize>, SearchError> {
        let mut wanted = vec![self.only.is_none(); self.candidates.len()];
        for &number in self.only.iter().flatten() {
            match wanted.get_mut(number) {
                Some(wanted) => *wanted = true,
                None => {
                    let expected = format!("numbers below the {} candidates", self.candidates.len());
                    return Err(SearchError::setting("only", expected, number));
                }
            }
        }
        self.finished.iter().for_each(|trial| wanted[trial.number] = false);
        Ok((0..wanted.len()).filter(|&number| wanted[number]).collect())
    }
}

/// Where finished trials go.
struct Sink<'a> {
    finished: Vec<Trial>,
    observers: Vec<Observer<'a>>,
    error: Option<SearchError>,
}

impl Sink<'_> {
    /// Keeps a trial and tells the observers; whether the search goes on.
    fn take(&mut self, trial: Trial) -> bool {
        if self.error.is_none() {
            self.error = self.observers.iter_mut().try_for_each(|observer| observer(&trial)).err();
            self.finished.push(trial);
        }
        self.error.is_none()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves nothing to do to the other workers when one panics.
struct EndOnPanic<'a> {
    next: &'a AtomicUsize,
    end: usize,
}

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.next.store(self.end, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::search::{KFold, Space};
    use std::convert::Infallible;

    fn search<'a>(trials: usize) -> Search<'a> {
        let candidates = Space::new().uniform("x", 0.0, 1.0).random(trials, 5).unwrap();
        Search::new(candidates, KFold::new(3).split(10).unwrap()).unwrap().threads(1)
    }

    fn objective(candidate: &Candidate, split: &Split<'_>) -> Result<f64, SearchError> {
        let x = candidate.real("x")?;
        Ok(x * (1 + split.fold) as f64 + f64::from(split.validation.iter().sum::<u32>()))
    }

    /// What does not depend on the clock.
    fn without_seconds(results: &SearchResults) -> Vec<(usize, Trial)> {
        let trial = |trial: &Trial| {
            let mut trial = trial.clone();
            trial.folds.iter_mut().for_each(|fold| fold.seconds = 0.0);
            trial
        };
        results.rows().iter().map(|row| (row.rank, trial(&row.trial))).collect()
    }

    #[test]
    fn every_candidate_is_scored_on_every_fold() {
        let results = search(4).run(objective).unwrap();
        assert_eq!((results.rows().len(), results.unfinished()), (4, 0));
        let best = results.best().unwrap();
        let x = best.candidate.real("x").unwrap();
        assert_eq!(best.folds.iter().map(|fold| fold.score).collect::<Vec<_>>(), [x + 6.0, 2.0 * x + 15.0, 3.0 * x + 24.0]);
        assert!((best.mean().unwrap() - (2.0 * x + 15.0)).abs() < 1e-12);
        assert!(results.rows().iter().all(|row| row.trial.candidate.real("x").unwrap() <= x));
    }

    #[test]
    fn parallel_is_as_serial_and_never_oversubscribed() {
        let expected = without_seconds(&search(13).run(objective).unwrap());
        for (threads, at_once, trials) in [(2, 2, 13), (5, 2, 13), (7, 7, 13), (4, 1, 13), (8, 8, 3)] {
            let (now, most, shares) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(vec![]));
            let counted = |candidate: &Candidate, split: &Split<'_>| {
                let busy = now.fetch_add(split.threads, Ordering::SeqCst) + split.threads;
                most.fetch_max(busy, Ordering::SeqCst);
                lock(&shares).push(split.threads);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(split.threads, Ordering::SeqCst);
                objective(candidate, split)
            };
            let results = search(13).only(0..trials).threads(threads).trials_at_once(at_once).run(counted).unwrap();
            if trials == 13 {
                assert_eq!(without_seconds(&results), expected, "{threads} threads, {at_once} trials");
            }
            assert!(most.into_inner() <= threads, "{threads} threads, {at_once} trials");
            let least = threads / at_once.min(trials);
            assert!(lock(&shares).iter().all(|&share| share == least || share == least + 1));
        }
    }

    #[test]
    fn a_resumed_search_equals_an_uninterrupted_one() {
        let expected = without_seconds(&search(9).run(objective).unwrap());
        let runs = AtomicUsize::new(0);
        let counted = |candidate: &Candidate, split: &Split<'_>| {
            runs.fetch_add(1, Ordering::Relaxed);
            objective(candidate, split)
        };
        // An observer ends the first run after four trials.
        let mut seen = Vec::new();
        let interrupted = search(9).on_trial(|trial| {
            seen.push(trial.clone());
            if seen.len() == 4 { Err(std::io::Error::other("full").into()) } else { Ok(()) }
        });
        assert_eq!(interrupted.run(counted).unwrap_err().to_string(), "the trials could not be read or written: full");
        assert_eq!((seen.len(), runs.swap(0, Ordering::Relaxed)), (4, 12));
        let results = search(9).finished(seen.clone()).unwrap().finished(seen).unwrap().run(counted).unwrap();
        assert_eq!((without_seconds(&results), runs.into_inner()), (expected, 15));
    }

    #[test]
    fn machines_share_a_search() {
        let mut all = Vec::new();
        for machine in 0..3 {
            let results = search(10).only((machine..10).step_by(3)).run(objective).unwrap();
            assert_eq!(results.unfinished(), 10 - results.rows().len());
            all.extend(results.rows().iter().map(|row| row.trial.clone()));
        }
        let never = |_: &Candidate, _: &Split<'_>| -> Result<f64, Infallible> { unreachable!("all trials are finished") };
        let merged = search(10).finished(all).unwrap().run(never).unwrap();
        assert_eq!(without_seconds(&merged), without_seconds(&search(10).run(objective).unwrap()));
    }

    #[test]
    fn failures_are_ranked_last() {
        let results = search(6).run(|candidate, split| match (split.trial, split.fold) {
            (1, 0) => Err("no memory".to_owned()),
            (4, 1) => Ok(f64::NAN),
            _ => objective(candidate, split).map_err(|error| error.to_string()),
        });
        let results = results.unwrap();
        let failed: Vec<_> =
            results.rows()[4..].iter().map(|row| (row.rank, row.trial.number, row.trial.failure.clone().unwrap())).collect();
        let expected = [(5, 1, "fold 0: no memory".to_owned()), (5, 4, "fold 1: a finite score expected, found NaN".to_owned())];
        assert_eq!(failed, expected);
        assert!(results.rows()[..4].iter().all(|row| row.trial.failure.is_none()));
        let unknown = search(1).run(|candidate, _| candidate.real("y")).unwrap();
        assert_eq!(unknown.best(), None);
    }

    #[test]
    fn a_panic_ends_the_search() {
        let runs = AtomicUsize::new(0);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            search(1000).threads(2).run(|_, split| -> Result<f64, Infallible> {
                runs.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(100));
                if split.trial == 1 {
                    panic!("planted")
                }
                Ok(0.0)
            })
        }));
        assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"planted"));
        assert!(runs.into_inner() < 2000, "the other worker has gone on to the end");
    }

    #[test]
    fn a_flag_stops_between_folds() {
        let flag = AtomicBool::new(false);
        let results = search(5).stop_flag(&flag).run(|candidate, split| {
            flag.store((split.trial, split.fold) == (2, 1), Ordering::Relaxed);
            objective(candidate, split)
        });
        let results = results.unwrap();
        assert_eq!((results.rows().len(), results.unfinished()), (2, 3));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let message = |search: Search<'_>| search.run(objective).unwrap_err().to_string();
        assert_eq!(message(search(2).threads(0)), "threads: at least 1 expected, found 0");
        assert_eq!(message(search(2).threads(2).trials_at_once(3)), "trials_at_once: 1 to the 2 threads expected, found 3");
        assert_eq!(message(search(2).trials_at_once(0)), "trials_at_once: 1 to the 1 threads expected, found 0");
        assert_eq!(message(search(2).only([1, 2])), "only: numbers below the 2 candidates expected, found 2");
        let new = |candidates, folds| Search::new(candidates, folds).unwrap_err().to_string();
        assert_eq!(new(vec![], KFold::new(2).split(4).unwrap()), "candidates: at least 1 expected, found 0");
        assert_eq!(new(vec![Candidate::new()], vec![]), "folds: at least 1 expected, found 0");
        let empty = Fold { training: vec![1], validation: vec![] };
        assert_eq!(new(vec![Candidate::new()], vec![empty]), "fold 0: at least 1 row for validation expected, found 0");
    }

    #[test]
    fn trials_of_another_search_are_refused() {
        let trial = search(2).only([1]).run(objective).unwrap().best().unwrap().clone();
        let message = |change: &dyn Fn(&mut Trial)| {
            let mut changed = trial.clone();
            change(&mut changed);
            search(2).finished([trial.clone(), changed]).unwrap_err().to_string()
        };
        assert_eq!(message(&|trial| trial.number = 2), "trial 2, number: less than 2 expected, found 2");
        assert!(message(&|trial| trial.number = 0).starts_with("trial 0, candidate: `x=0."));
        assert!(message(&|trial| trial.fingerprint ^= 1).starts_with("trial 1, fingerprint of the folds: "));
        assert_eq!(message(&|trial| trial.folds.truncate(2)), "trial 1, number of scores: 3 expected, found 2");
        assert_eq!(message(&|trial| trial.folds[0].score = f64::NAN), "trial 1, score: a finite number expected, found NaN");
        assert!(message(&|trial| trial.folds[0].score += 3.0).contains("trial 1, result: the mean "));
        let failed = message(&|trial| trial.failure = Some("no".into()));
        assert!(failed.ends_with(", as before, expected, found a failure"), "{failed}");
    }
}
