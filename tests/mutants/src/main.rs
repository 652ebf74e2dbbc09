//! Plants faults in the kernels, one at a time, and counts the ones that a test finds: `mutants HOW_MANY SEED`.
//!
//! The crate takes minutes to build, so it is built once, with all faults in it, each behind a question to an environment variable. What
//! survives is listed, for a person to read: a fault that changes nothing but the time cannot be found by a test, one that changes a result has to be.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line")]

mod mutation;
mod planted;

use planted::{Place, Planter};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use syn::visit_mut::VisitMut;
use wait_timeout::ChildExt;
use walkdir::WalkDir;

/// What the crate's copy asks. No fault is number 0.
const QUESTION: &str = "
pub(crate) fn is_active(number: u32) -> bool {
    static ACTIVE: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *ACTIVE.get_or_init(|| std::env::var(\"SELVEDGE_MUTANT\").ok().and_then(|number| number.parse().ok()).unwrap_or(0)) == number
}
";

/// Tests that may find a fault.
struct Stage {
    program: &'static str,
    filter: &'static [&'static str],
    /// Faults in other files are not worth the time.
    files: &'static str,
}

/// In this order: the quick ones find most.
const STAGES: [Stage; 5] = [
    Stage { program: "fuzz_regressions", filter: &["random_inputs_pass", "inputs_that_once_failed_pass"], files: "src" },
    Stage { program: "selvedge", filter: &["kernels::", "simd::"], files: "src" },
    Stage { program: "kernels", filter: &["--skip", "gemm::", "--skip", "gemm_exact::", "--skip", "guard::"], files: "src" },
    Stage { program: "main", filter: &["oracle::"], files: "src" },
    Stage { program: "kernels", filter: &["gemm::", "gemm_exact::", "guard::"], files: "src/kernels/gemm" },
];

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(count)), Some(Ok(seed)), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: mutants HOW_MANY SEED, as in: mutants 300 1".into());
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let copy = root.join("target/mutants/crate");

    let sources = sources(&root)?;
    let places = plant(&root, &copy, &sources, &BTreeSet::new())?;
    let mut order: Vec<usize> = (1..places.len()).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    let mut left = order.into_iter();
    let mut chosen: BTreeSet<usize> = left.by_ref().take(count as usize).collect();
    println!("{} places for a fault in {} files, {} chosen", places.len() - 1, sources.len(), chosen.len());

    copy_all(&root, &copy)?;
    loop {
        plant(&root, &copy, &sources, &chosen)?;
        let refused = refused_by_the_compiler(&copy)?;
        if refused.is_empty() {
            break;
        }
        println!("{} do not compile, others take their place", refused.len());
        chosen.retain(|number| !refused.contains(number));
        chosen.extend(left.by_ref().take(refused.len()));
    }
    println!("building the tests");
    let programs = Programs::build(&copy)?;
    let honest = programs.run(0, Path::new("src/kernels/gemm"), None)?;
    if let Outcome::Found { program } = honest.outcome {
        return Err(format!("without a fault, {program} fails").into());
    }
    println!("without a fault the tests pass in {:.0?}", honest.times.iter().sum::<Duration>());

    let outcomes = run_all(&programs, &chosen, &places, &honest.times)?;
    let survivors: Vec<usize> =
        outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Survived).map(|&(number, _)| number).collect();
    println!("\nsurvived:");
    for &number in &survivors {
        println!("{}", describe(&places[number]));
    }
    println!("{} of {} found", outcomes.len() - survivors.len(), outcomes.len());
    Ok(())
}

/// The files that faults are planted in: the kernels and the vectors.
fn sources(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut sources = vec![];
    for directory in ["src/kernels", "src/simd"] {
        for entry in WalkDir::new(root.join(directory)).sort_by_file_name() {
            let path = entry?.into_path();
            let is_measured_only = path.ends_with("simd/peak.rs") || path.ends_with("simd/miri.rs");
            if path.extension().is_some_and(|extension| extension == "rs") && !is_measured_only {
                sources.push(path.strip_prefix(root)?.to_path_buf());
            }
        }
    }
    Ok(sources)
}

/// All places, by their numbers. There is none of number 0.
fn plant(root: &Path, copy: &Path, sources: &[PathBuf], chosen: &BTreeSet<usize>) -> Result<Vec<(PathBuf, Place)>, Failure> {
    let mut places = vec![(PathBuf::new(), Place { line: 0, what: "no fault".into() })];
    for source in sources {
        let mut file = syn::parse_file(&fs::read_to_string(root.join(source))?)?;
        let mut planter = Planter { first: places.len(), chosen, found: vec![] };
        planter.visit_file_mut(&mut file);
        places.extend(planter.found.into_iter().map(|place| (source.clone(), place)));
        if !chosen.is_empty() {
            fs::write(copy.join(source), planted::text(&file))?;
        }
    }
    Ok(places)
}

/// The crate with all of its tests, and the question. What an earlier copy had and the crate no longer has must not be there.
fn copy_all(root: &Path, copy: &Path) -> Result<(), Failure> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    let is_made = |path: &Path| [".git", "target", "corpus", "artifacts", "mutants"].iter().any(|name| path.ends_with(name));
    for entry in WalkDir::new(root).into_iter().filter_entry(|entry| entry.depth() == 0 || !is_made(entry.path())) {
        let entry = entry?;
        let target = copy.join(entry.path().strip_prefix(root)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    fs::write(copy.join("src/mutants.rs"), QUESTION)?;
    let library = copy.join("src/lib.rs");
    let honest = fs::read_to_string(&library)?;
    fs::write(library, format!("{honest}\nmod mutants;\n"))?;
    Ok(())
}

fn cargo(copy: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    // Faults make for warnings and for lints that would be errors.
    cargo.args(arguments).current_dir(copy).env("RUSTFLAGS", "--cap-lints=warn -Awarnings").env("CARGO_INCREMENTAL", "0");
    cargo.env("CARGO_TARGET_DIR", copy.with_file_name("target"));
    cargo
}

/// The lines of JSON that cargo has printed.
fn messages(output: &[u8]) -> impl Iterator<Item = serde_json::Value> {
    output.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// The faults that the compiler finds.
fn refused_by_the_compiler(copy: &Path) -> Result<BTreeSet<usize>, Failure> {
    let output = cargo(copy, &["check", "--lib", "--message-format", "json"]).stderr(Stdio::null()).output()?;
    let mut refused = BTreeSet::new();
    for message in messages(&output.stdout).filter(|message| message["message"]["level"] == "error") {
        for span in message["message"]["spans"].as_array().into_iter().flatten() {
            let file = fs::read_to_string(copy.join(span["file_name"].as_str().unwrap_or_default()))?;
            let line = span["line_start"].as_u64().unwrap_or_default().saturating_sub(1) as usize;
            let number =
                |line: &str| line.strip_prefix("crate :: mutants :: is_active (")?.split('u').next()?.trim().parse::<usize>().ok();
            refused.extend(file.lines().nth(line).and_then(number));
        }
        if refused.is_empty() {
            return Err(format!("an error that belongs to no fault: {}", message["message"]["rendered"]).into());
        }
    }
    Ok(refused)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Found { program: &'static str },
    Survived,
}

struct Run {
    outcome: Outcome,
    /// Of each stage.
    times: Vec<Duration>,
}

/// The programs of the tests, in the order of the stages.
struct Programs {
    paths: Vec<PathBuf>,
    directory: PathBuf,
}

impl Programs {
    fn build(copy: &Path) -> Result<Self, Failure> {
        let arguments = [
            "test",
            "--no-run",
            "--lib",
            "--test",
            "fuzz_regressions",
            "--test",
            "kernels",
            "--test",
            "main",
            "--message-format",
            "json",
        ];
        let output = cargo(copy, &arguments).stderr(Stdio::inherit()).output()?;
        let built: Vec<_> = messages(&output.stdout).filter(|message| message["executable"].is_string()).collect();
        let path = |Stage { program, .. }: &Stage| {
            let message = built.iter().find(|message| message["target"]["name"] == *program);
            let message = message.ok_or_else(|| format!("{program} has not been built"))?;
            Ok::<_, Failure>(PathBuf::from(message["executable"].as_str().unwrap_or_default()))
        };
        let paths = STAGES.iter().map(path).collect::<Result<_, _>>()?;
        Ok(Self { paths, directory: copy.to_path_buf() })
    }

    /// Runs the stages until one fails, or takes ten times as long as without a fault.
    fn run(&self, number: usize, file: &Path, honest: Option<&[Duration]>) -> Result<Run, Failure> {
        let mut times = vec![];
        for (i, (path, Stage { program, filter, files })) in self.paths.iter().zip(STAGES).enumerate() {
            if !file.starts_with(files) {
                continue;
            }
            let limit = honest.map_or(Duration::from_secs(3600), |times| times[i] * 10 + Duration::from_secs(5));
            let begin = Instant::now();
            let mut child = Command::new(path)
                .args(filter)
                .current_dir(&self.directory)
                .env("SELVEDGE_MUTANT", number.to_string())
                .env("RUST_TEST_THREADS", "1")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let status = child.wait_timeout(limit)?;
            if status.is_none() {
                child.kill()?;
                child.wait()?;
            }
            times.push(begin.elapsed());
            if !status.is_some_and(|status| status.success()) {
                return Ok(Run { outcome: Outcome::Found { program }, times });
            }
        }
        Ok(Run { outcome: Outcome::Survived, times })
    }
}

/// Every fault, some at once. Each is told of as it is done.
fn run_all(
    programs: &Programs,
    chosen: &BTreeSet<usize>,
    places: &[(PathBuf, Place)],
    honest: &[Duration],
) -> Result<Vec<(usize, Outcome)>, Failure> {
    let (queue, outcomes) = (Mutex::new(chosen.iter().copied()), Mutex::new(vec![]));
    let work = || -> Result<(), Failure> {
        loop {
            // The lock is free again before the fault runs.
            let next = queue.lock().map_err(|_| "another thread has failed")?.next();
            let Some(number) = next else { return Ok(()) };
            let outcome = programs.run(number, &places[number].0, Some(honest))?.outcome;
            let mut outcomes = outcomes.lock().map_err(|_| "another thread has failed")?;
            outcomes.push((number, outcome));
            let said = match outcome {
                Outcome::Found { program } => format!("found by {program}"),
                Outcome::Survived => "SURVIVED".into(),
            };
            println!("{}/{} {said}: {}", outcomes.len(), chosen.len(), describe(&places[number]));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..thread::available_parallelism()?.get()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread has panicked")?)
    })?;
    let mut outcomes = outcomes.into_inner().map_err(|_| "a thread has panicked")?;
    outcomes.sort_unstable_by_key(|&(number, _)| number);
    Ok(outcomes)
}

fn describe((path, place): &(PathBuf, Place)) -> String {
    format!("{}:{}: {}", path.display(), place.line, place.what)
}
