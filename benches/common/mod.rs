//! What is measured: one table of candidates for the criterion groups and for the guard, so that nothing is written twice.
//!
//! | question | file |
//! |---|---|
//! | What can the machine do at best? | [`limits`] |
//! | Which matrix products, and who competes? | [`gemm`], [`rivals`] |
//! | Which functions of vectors, rows and matrices? | [`elementwise`] |
//! | Which optimizers? | [`optimizers`] |
//! | Which networks? | [`network`] |
//!
//! A candidate is named `group/operation/instruction set/shape/threads`, for example `gemm/forward_relu/avx512/128x300x784/1`.

mod buffer;
mod elementwise;
mod gemm;
mod limits;
mod network;
mod optimizers;
mod rivals;

use selvedge::parallel::Pool;
use selvedge::simd::Isa;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};

/// Repeats something that many times and says how long that took; what it needs is set up before the clock starts.
pub(crate) type Runner = Box<dyn FnMut(u64) -> Duration>;

/// Something that is measured.
pub(crate) struct Candidate {
    /// `group/operation/instruction set/shape/threads`
    pub(crate) id: String,
    /// Whether it is somebody else's code, here only to be compared with.
    pub(crate) rival: bool,
    /// What it is compared with: a limit of the machine first.
    pub(crate) against: Vec<Against>,
    open: Box<dyn Fn() -> Runner>,
}

/// What a candidate is compared with.
pub(crate) struct Against {
    pub(crate) reference: Reference,
    /// How much one repetition of the candidate does, in the unit of the reference.
    pub(crate) work: f64,
}

/// Whose rate a candidate's rate is divided by.
pub(crate) enum Reference {
    /// Multiply-adds in registers, in FLOP, on all threads at once.
    Peak { isa: Isa, threads: usize },
    /// A copy inside a working set of that size, in bytes read and written.
    Copy { bytes: usize },
    /// Reading that many bytes over and over, in bytes.
    Read { isa: Isa, bytes: usize },
    /// Another candidate, in repetitions.
    Other { name: &'static str, id: String },
}

/// Something that can be repeated, and how much one repetition does.
pub(crate) struct Opened {
    pub(crate) run: Runner,
    pub(crate) work: f64,
}

impl Candidate {
    fn new(id: String, against: Vec<Against>, open: impl Fn() -> Runner + 'static) -> Self {
        Self { id, rival: false, against, open: Box::new(open) }
    }

    /// Sets up the data.
    pub(crate) fn open(&self) -> Runner {
        (self.open)()
    }
}

impl Against {
    /// A share of the multiply-adds that the threads could do.
    fn peak(isa: Isa, threads: usize, operations: usize) -> Self {
        Self { reference: Reference::Peak { isa, threads }, work: operations as f64 }
    }

    /// A share of the bandwidth of a copy: `moved` bytes read and written in memory of `working_set` bytes.
    fn copy(working_set: usize, moved: usize) -> Self {
        Self { reference: Reference::Copy { bytes: working_set }, work: moved as f64 }
    }

    /// A share of the bandwidth of reading `bytes`.
    fn read(isa: Isa, bytes: usize) -> Self {
        Self { reference: Reference::Read { isa, bytes }, work: bytes as f64 }
    }

    /// How often it is done while the other candidate does the same once.
    fn other(name: &'static str, id: String) -> Self {
        Self { reference: Reference::Other { name, id }, work: 1.0 }
    }
}

impl Reference {
    /// Sets up the data. `all` are the candidates among which the other one is.
    pub(crate) fn open(&self, all: &[Candidate]) -> Opened {
        match self {
            Self::Peak { isa, threads } => limits::peak(*isa, *threads),
            Self::Copy { bytes } => limits::copy(*bytes),
            Self::Read { isa, bytes } => limits::read(*isa, *bytes),
            Self::Other { id, .. } => {
                let other = all.iter().find(|candidate| candidate.id == *id);
                Opened { run: other.unwrap_or_else(|| panic!("no candidate {id}")).open(), work: 1.0 }
            }
        }
    }
}

impl Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Peak { .. } => "peak",
            Self::Copy { .. } => "copy",
            Self::Read { .. } => "read",
            Self::Other { name, .. } => name,
        })
    }
}

/// Everything that this machine can measure.
pub(crate) fn candidates() -> Vec<Candidate> {
    let mut all = gemm::candidates();
    all.extend(elementwise::candidates());
    all.extend(optimizers::candidates());
    all.extend(network::candidates());
    all
}

/// The median: of an even number, the lower one of the two in the middle. 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which `share` of the others lie. 0 of none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share) as usize).copied().unwrap_or(0.0)
}

/// Repetitions that take about `time`, at least one. Finding out warms up; no time needs no finding out.
pub(crate) fn repetitions(run: &mut Runner, time: Duration) -> u64 {
    if time.is_zero() {
        return 1;
    }
    let mut n = 1;
    loop {
        let taken = run(n);
        if taken * 4 >= time || n > u64::MAX / 4 {
            let per_repetition = taken.as_secs_f64().max(1e-9) / n as f64;
            return ((time.as_secs_f64() / per_repetition) as u64).max(1);
        }
        n *= 4;
    }
}

/// Work per second.
pub(crate) fn rate(work: f64, n: u64, taken: Duration) -> f64 {
    work * n as f64 / taken.as_secs_f64().max(1e-9)
}

fn id(group: &str, operation: &str, isa: impl Display, shape: impl Display, threads: impl Display) -> String {
    format!("{group}/{operation}/{isa}/{shape}/{threads}")
}

fn timed(n: u64, mut body: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        body();
    }
    start.elapsed()
}

fn repeat(mut body: impl FnMut() + 'static) -> Runner {
    Box::new(move |n| timed(n, &mut body))
}

/// The instruction sets to measure: all of this processor, or the one that `SELVEDGE_ISA` names. The best comes first.
fn isas() -> Vec<Isa> {
    match std::env::var_os("SELVEDGE_ISA") {
        Some(_) => vec![Isa::select().unwrap_or_else(|error| panic!("SELVEDGE_ISA: {error}"))],
        None => Isa::available().collect(),
    }
}

/// One thread, and two where there are two.
fn threads() -> impl Iterator<Item = usize> {
    1..=Pool::default_threads().min(2)
}
