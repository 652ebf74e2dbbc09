//! The table of floors: what each ratio has reached and must not fall below.

use crate::Ratio;
use crate::common::Candidate;
use std::io;
use std::path::Path;

pub(crate) struct Floor {
    pub(crate) id: String,
    pub(crate) against: String,
    pub(crate) value: f64,
    /// The class of processors that it was set on.
    pub(crate) cpu: String,
}

pub(crate) struct Floors(Vec<Floor>);

impl Floors {
    /// Reads lines of `id,against,floor,cpu,date,reason`. The first line is their heading; a line that starts with `#` is a remark.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let said = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let text =
            std::fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let mut floors = Vec::new();
        for (i, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let fields: Vec<&str> = line.splitn(6, ',').collect();
            let floor = match fields[..] {
                [id, against, value, cpu, _date, _reason] => value
                    .parse()
                    .ok()
                    .filter(|&value: &f64| value > 0.0)
                    .map(|value| Floor { id: id.to_owned(), against: against.to_owned(), value, cpu: cpu.to_owned() }),
                _ => None,
            };
            floors.push(
                floor.ok_or_else(|| said(format!("line {}: id,against,floor,cpu,date,reason expected, found {line}", i + 1)))?,
            );
        }
        Ok(Self(floors))
    }

    /// The floor of a ratio: the one that was set on such a processor, else the lowest that was set on another.
    pub(crate) fn find(&self, id: &str, against: &str, cpu: &str) -> Option<&Floor> {
        let candidates = || self.0.iter().filter(|floor| floor.id == id && floor.against == against);
        candidates().find(|floor| floor.cpu == cpu).or_else(|| candidates().min_by(|a, b| a.value.total_cmp(&b.value)))
    }

    /// Floors that were set on such a processor for something that is not measured any more. With `SELVEDGE_ISA` most are not meant
    /// to be, so then there are none.
    pub(crate) fn gone(&self, cpu: &str, all: &[Candidate]) -> Vec<&Floor> {
        if std::env::var_os("SELVEDGE_ISA").is_some() {
            return Vec::new();
        }
        let measured = |floor: &Floor| {
            let of_id = all.iter().find(|candidate| !candidate.rival && candidate.id == floor.id);
            of_id.is_some_and(|candidate| candidate.against.iter().any(|against| against.reference.to_string() == floor.against))
        };
        self.0.iter().filter(|floor| floor.cpu == cpu && !measured(floor)).collect()
    }
}

/// A line of the table for a ratio that was measured: its lower quartile, rounded down.
pub(crate) fn line(ratio: &Ratio, cpu: &str, date: &str) -> String {
    let Ratio { id, against, low, .. } = ratio;
    format!("{id},{against},{:.3},{cpu},{date},measured", (low * 1000.0).floor() / 1000.0)
}
