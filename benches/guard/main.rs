//! Measures ratios and fails when one has fallen: shares of the machine's limits, of rivals, of one thread. How to run and read it:
//! BENCHMARKS.md.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

#[path = "../common/mod.rs"]
mod common;
mod environment;
mod floors;
mod options;
mod self_test;

use common::{Against, Candidate, Opened, Runner, candidates, median, quantile, rate, repetitions};
use floors::{Floor, Floors};
use options::Options;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// How far below its floor a ratio may fall, as a share of the floor. Medians of interleaved rounds differ by less from run to run.
const TOLERANCE: f64 = 0.05;

/// How often a ratio that has fallen is measured again, behind all others. A neighbour that takes half of a processor for a minute makes ratios
/// fall without a change in the crate; a slower kernel falls every time.
const MORE_LOOKS: usize = 2;

/// How long and how often.
#[derive(Clone, Copy)]
struct Effort {
    /// How long a round takes for the candidate, and again for the reference.
    time: Duration,
    rounds: usize,
    /// Rounds of what takes more than `10 * time` even once.
    long_rounds: usize,
}

impl Effort {
    const FULL: Self = Self { time: Duration::from_millis(10), rounds: 15, long_rounds: 5 };
    const QUICK: Self = Self { time: Duration::from_millis(2), rounds: 7, long_rounds: 3 };
    /// Only shows that everything runs.
    const TEST: Self = Self { time: Duration::ZERO, rounds: 1, long_rounds: 1 };
}

/// A ratio that was measured.
struct Ratio {
    id: String,
    against: String,
    median: f64,
    /// A quarter of the rounds was below.
    low: f64,
    /// A quarter of the rounds was above.
    high: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Fallen,
    NoFloor,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guard: {error}");
            ExitCode::from(2)
        }
    }
}

/// The candidates that the options ask for. A test takes one of each operation and number of threads: that all of them run is what
/// the test of the suite shows.
fn chosen<'a>(all: &'a [Candidate], options: &Options) -> Vec<&'a Candidate> {
    let mut kinds = HashSet::new();
    let wanted = |candidate: &&Candidate| !candidate.rival && options.filters.iter().all(|part| candidate.id.contains(part));
    let kind = |candidate: &&Candidate| {
        let mut parts = candidate.id.split('/').map(str::to_owned);
        (parts.next(), parts.next(), parts.next_back())
    };
    all.iter().filter(wanted).filter(|candidate| !options.test || kinds.insert(kind(candidate))).collect()
}

/// Whether everything holds.
fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let options = Options::parse(lexopt::Parser::from_env())?;
    if options.help {
        print!("{}", options::HELP);
        return Ok(true);
    }
    let cpu = environment::cpu_class();
    let floors = Floors::read(&options.floors)?;
    let all = candidates();
    let chosen = chosen(&all, &options);
    if chosen.is_empty() {
        return Err(format!("no candidate has an id that contains {}", options.filters.join(" and ")).into());
    }
    if options.list {
        for candidate in &chosen {
            for Against { reference, .. } in &candidate.against {
                println!("{},{reference}", candidate.id);
            }
        }
        return Ok(true);
    }
    if !options.calibrate {
        println!("{:<58} {:<14} {:>8} {:>17} {:>8}  verdict", "candidate", "against", "measured", "middle half", "floor");
    }
    let mut csv = String::from("id,against,measured,low,high,floor\n");
    let look = |candidate: &Candidate, run: &mut Runner, against: &Against| {
        let slowness = options.slow.as_ref().filter(|slow| slow.id == candidate.id).map_or(1, |slow| slow.factor);
        let ratio = measure(candidate, run, slowness, against, against.reference.open(&all), options.effort);
        let floor = floors.find(&ratio.id, &ratio.against, &cpu);
        let verdict = judge(&ratio, floor);
        (ratio, floor, verdict)
    };
    let (mut ratios, mut fallen, mut without_floor) = (0, Vec::new(), 0);
    for &candidate in &chosen {
        let mut run = candidate.open();
        for against in &candidate.against {
            let (ratio, floor, verdict) = look(candidate, &mut run, against);
            ratios += 1;
            without_floor += usize::from(verdict == Verdict::NoFloor);
            if verdict == Verdict::Fallen {
                fallen.push((candidate, against));
            }
            if options.calibrate {
                println!("{}", floors::line(&ratio, &cpu, &environment::date()));
            } else {
                print_ratio(&ratio, floor, verdict, &cpu);
            }
            let Ratio { id, against, median, low, high } = &ratio;
            let floor = floor.map_or(String::new(), |floor| floor.value.to_string());
            writeln!(csv, "{id},{against},{median:.4},{low:.4},{high:.4},{floor}")?;
        }
    }
    if options.record {
        environment::record(&cpu, &csv)?;
    }
    if options.test {
        self_test::run(&all)?;
        println!("{ratios} ratios were taken once, which says that they can be taken, and a slowed candidate was caught");
        return Ok(true);
    }
    if options.calibrate {
        return Ok(true);
    }
    for _ in 0..MORE_LOOKS {
        if fallen.is_empty() {
            break;
        }
        println!("{} measured again:", fallen.len());
        fallen.retain(|(candidate, against)| {
            let (ratio, floor, verdict) = look(candidate, &mut candidate.open(), against);
            print_ratio(&ratio, floor, verdict, &cpu);
            verdict == Verdict::Fallen
        });
    }
    let fallen = fallen.len();
    let gone = if options.filters.is_empty() { floors.gone(&cpu, &all) } else { Vec::new() };
    for Floor { id, against, .. } in &gone {
        println!("{id:<58} {against:<14} has a floor but was not measured");
    }
    println!(
        "{ratios} ratios: {fallen} more than {} % below the floor, {without_floor} without one; {} floors without a ratio",
        100.0 * TOLERANCE,
        gone.len()
    );
    Ok(fallen == 0 && gone.is_empty())
}

/// The rate of a candidate in shares of the reference's: the two take turns, and each turn of the candidate is divided by the mean of
/// the reference's turns before and after it, so that what disturbs the machine for longer than a turn disturbs both.
fn measure(
    candidate: &Candidate,
    run: &mut Runner,
    slowness: u64,
    against: &Against,
    mut reference: Opened,
    effort: Effort,
) -> Ratio {
    let n = repetitions(run, effort.time);
    let reference_n = repetitions(&mut reference.run, effort.time);
    let mut turn = || rate(reference.work, reference_n, (reference.run)(reference_n));
    let mut before = turn();
    let mut ratios = Vec::new();
    let mut rounds = effort.rounds;
    while ratios.len() < rounds {
        let taken = run(n * slowness);
        if taken > 10 * effort.time {
            rounds = rounds.min(effort.long_rounds);
        }
        let after = turn();
        ratios.push(rate(against.work, n, taken) / ((before + after) / 2.0));
        before = after;
    }
    Ratio {
        id: candidate.id.clone(),
        against: against.reference.to_string(),
        median: median(&ratios),
        low: quantile(&ratios, 0.25),
        high: quantile(&ratios, 0.75),
    }
}

fn judge(ratio: &Ratio, floor: Option<&Floor>) -> Verdict {
    match floor {
        None => Verdict::NoFloor,
        Some(floor) if ratio.median < floor.value * (1.0 - TOLERANCE) => Verdict::Fallen,
        Some(_) => Verdict::Holds,
    }
}

fn print_ratio(ratio: &Ratio, floor: Option<&Floor>, verdict: Verdict, cpu: &str) {
    let Ratio { id, against, median, low, high } = ratio;
    let value = floor.map_or(String::from("-"), |floor| format!("{:.3}", floor.value));
    let verdict = match verdict {
        Verdict::Holds => "holds",
        Verdict::Fallen => "FALLEN",
        Verdict::NoFloor => "no floor",
    };
    let elsewhere = floor.filter(|floor| floor.cpu != cpu).map_or(String::new(), |floor| format!(" (floor set on {})", floor.cpu));
    println!("{id:<58} {against:<14} {median:>8.3} {low:>8.3}-{high:<8.3} {value:>8}  {verdict}{elsewhere}");
}
