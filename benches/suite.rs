//! Every kernel and the whole of training and inference, measured by criterion, with a table of shares of the machine's limits after
//! each group. How to run and read it: BENCHMARKS.md.
#![allow(clippy::print_stdout, reason = "the tables")]

mod common;

use common::{Against, Candidate, Opened, Reference, candidates, median, rate, repetitions};
use criterion::{Criterion, SamplingMode, Throughput};
use std::time::Duration;

/// The groups, in the order in which they are measured.
const GROUPS: [&str; 7] = ["gemm", "elementwise", "optimizers", "train_step", "epoch", "model", "inference"];

/// Criterion's samples, after which it has seen enough of a loop that does the same every time.
const SAMPLES: usize = 10;

/// How long a limit is measured before and after each candidate.
const LIMIT_TIME: Duration = Duration::from_millis(5);

/// Work of a repetition from which on it takes so long that every sample has the same small number of repetitions.
const LONG: f64 = 1e9;

fn main() {
    let candidates = candidates();
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .configure_from_args();
    for group in GROUPS {
        measure(&mut criterion, group, &candidates);
    }
    criterion.final_summary();
}

/// A line of the table after a group.
struct Line<'a> {
    candidate: &'a Candidate,
    rate: f64,
    limit: f64,
}

fn measure(criterion: &mut Criterion, name: &str, candidates: &[Candidate]) {
    let mut group = criterion.benchmark_group(name);
    let mut lines = Vec::new();
    for candidate in candidates {
        let Some(id) = candidate.id.strip_prefix(name).and_then(|id| id.strip_prefix('/')) else { continue };
        let Some(Against { reference, work }) = candidate.against.first() else { continue };
        group.throughput(match reference {
            Reference::Copy { .. } | Reference::Read { .. } => Throughput::Bytes(*work as u64),
            Reference::Peak { .. } | Reference::Other { .. } => Throughput::Elements(*work as u64),
        });
        group.sampling_mode(if *work >= LONG { SamplingMode::Flat } else { SamplingMode::Auto });
        // Set up when criterion asks for it, which it does not for what its filter leaves out.
        let mut opened = None;
        let mut rates = Vec::new();
        group.bench_function(id, |bencher| {
            let (run, ..) = opened.get_or_insert_with(|| {
                let mut limit = reference.open(candidates);
                let before = limit_rate(&mut limit);
                (candidate.open(), limit, before)
            });
            bencher.iter_custom(|n| {
                let taken = run(n);
                rates.push(rate(*work, n, taken));
                taken
            });
        });
        if let Some((_, mut limit, before)) = opened {
            let limit = (before + limit_rate(&mut limit)) / 2.0;
            // The first calls were criterion's warm-up.
            let rate = median(&rates[rates.len().saturating_sub(SAMPLES)..]);
            lines.push(Line { candidate, rate, limit });
        }
    }
    group.finish();
    print(&lines);
}

fn limit_rate(limit: &mut Opened) -> f64 {
    let n = repetitions(&mut limit.run, LIMIT_TIME);
    rate(limit.work, n, (limit.run)(n))
}

fn print(lines: &[Line<'_>]) {
    if lines.is_empty() {
        return;
    }
    println!("\n{:<58} {:>14} {:>7} {:>14} {:>7}", "candidate", "reached", "limit", "", "share");
    for Line { candidate, rate, limit } in lines {
        let Some(Against { reference, .. }) = candidate.against.first() else { continue };
        let unit = match reference {
            Reference::Peak { .. } => "GFLOP/s",
            Reference::Copy { .. } | Reference::Read { .. } => "GB/s",
            Reference::Other { .. } => "G/s",
        };
        let billions = |rate: f64| format!("{:.2} {unit}", rate / 1e9);
        let share = 100.0 * rate / limit;
        let id = if candidate.rival { format!("({})", candidate.id) } else { candidate.id.clone() };
        println!("{id:<58} {:>14} {reference:>7} {:>14} {share:>6.1}%", billions(*rate), billions(*limit));
    }
    println!();
}
