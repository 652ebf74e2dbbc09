//! Shows that the guard sees what it is there for: it is run on a candidate as it is and on the same one made slower, and must return
//! success and failure.

use crate::common::Candidate;
use crate::{Effort, Ratio, measure};
use std::error::Error;
use std::process::{Command, Stdio};
use std::{env, fs};

/// The slowed candidate takes that many times as long.
const SLOWNESS: u64 = 9;
/// The floor lies between, as far from one as from the other, so that a busy machine cannot confuse them.
const FLOOR: f64 = 1.0 / 3.0;

pub(crate) fn run(all: &[Candidate]) -> Result<(), Box<dyn Error>> {
    let candidate = all.iter().find(|candidate| !candidate.rival).ok_or("no candidates")?;
    let against = candidate.against.first().ok_or("nothing to compare with")?;
    let reference = against.reference.open(all);
    let Ratio { id, against, median, .. } = measure(candidate, &mut candidate.open(), 1, against, reference, Effort::QUICK);

    let floors = env::temp_dir().join(format!("selvedge-guard-{}.csv", std::process::id()));
    fs::write(&floors, format!("id,against,floor,cpu,date,reason\n{id},{against},{},any,today,self-test\n", median * FLOOR))?;
    let guard = |slow: &[String]| -> Result<_, Box<dyn Error>> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--quick", "--filter", &id, "--floors"]).arg(&floors).args(slow).stdout(Stdio::null());
        Ok(command.status()?.code())
    };
    let codes = guard(&[]).and_then(|as_it_is| Ok((as_it_is, guard(&["--slow".into(), format!("{id}={SLOWNESS}")])?)));
    fs::remove_file(&floors)?;
    match codes? {
        (Some(0), Some(1)) => Ok(()),
        (as_it_is, slowed) => {
            Err(format!("exit codes 0 and, for {id} slowed, 1 expected, found {as_it_is:?} and {slowed:?}").into())
        }
    }
}
