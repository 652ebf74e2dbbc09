//! What can be asked of the guard.

use crate::Effort;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Measures the speed of selvedge as ratios and fails when one has fallen.

usage: cargo bench --bench guard -- [options]

  --filter PART    only candidates whose id contains PART; may be repeated, then all parts must be there
  --quick          shorter and fewer rounds: a first look, not a verdict
  --floors FILE    the table of floors, benches/floors.csv if not given
  --calibrate      print what was measured as lines for the table of floors, and judge nothing
  --record         also write benches/record/CPU/DATE.csv, and beside it .txt with commit, compiler and processor
  --list           print the ids and what they are compared with
  --test           take one ratio of each kind, and show that a slowed candidate is caught
  --help           print this

SELVEDGE_ISA=NAME restricts it to one instruction set.

Each line is the candidate's rate divided by that of
  peak             multiply-adds in registers, same instruction set, same number of threads
  copy, read       a copy or reading, of a working set of the same size
  matrixmultiply, gemm, loop    another library, or a loop written by hand, doing the same work
  one thread       itself, with one thread

exit codes: 0 all hold, 1 one is more than 5 % below its floor or has a floor but was not measured, 2 wrong usage
";

/// Makes a candidate slower by repeating it `factor` times where it should be once: shows that the guard sees it.
pub(crate) struct Slow {
    pub(crate) id: String,
    pub(crate) factor: u64,
}

pub(crate) struct Options {
    pub(crate) effort: Effort,
    pub(crate) filters: Vec<String>,
    pub(crate) floors: PathBuf,
    pub(crate) slow: Option<Slow>,
    pub(crate) calibrate: bool,
    pub(crate) record: bool,
    pub(crate) list: bool,
    pub(crate) test: bool,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self {
            effort: Effort::FULL,
            filters: Vec::new(),
            floors: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floors.csv")),
            slow: None,
            calibrate: false,
            record: false,
            list: false,
            test: false,
            help: false,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("filter") => options.filters.push(arguments.value()?.string()?),
                // As criterion takes its filter.
                Value(filter) => options.filters.push(filter.string()?),
                Long("quick") => options.effort = Effort::QUICK,
                Long("floors") => options.floors = arguments.value()?.into(),
                Long("slow") => options.slow = Some(arguments.value()?.parse_with(slow)?),
                Long("calibrate") => options.calibrate = true,
                Long("record") => options.record = true,
                Long("list") => options.list = true,
                Long("test") => (options.test, options.effort) = (true, Effort::TEST),
                Short('h') | Long("help") => options.help = true,
                // Cargo says so to every bench.
                Long("bench") => {}
                other => return Err(other.unexpected()),
            }
        }
        if options.record && (options.test || !options.filters.is_empty() || options.effort.rounds < Effort::FULL.rounds) {
            return Err("--record keeps everything, measured in full: not with --filter, --quick or --test".into());
        }
        Ok(options)
    }
}

fn slow(text: &str) -> Result<Slow, String> {
    let parts = text.rsplit_once('=').and_then(|(id, factor)| Some((id, factor.parse().ok()?)));
    match parts {
        Some((id, factor)) if factor > 0 => Ok(Slow { id: id.to_owned(), factor }),
        _ => Err(format!("ID=FACTOR expected with a whole factor, found {text}")),
    }
}
