//! Where and when: the processor, the date, and records of both beside what was measured.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// Vendor, family and model as the system tells them, which share one microarchitecture; else the architecture.
pub(crate) fn cpu_class() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let value =
            |line: &str| line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned());
        text.lines().find_map(value)
    };
    match (field("vendor_id"), field("cpu family"), field("model")) {
        (Some(vendor), Some(family), Some(model)) => format!("{vendor}-{family}-{model}"),
        _ => std::env::consts::ARCH.to_owned(),
    }
}

/// Today, as `2026-01-31`, or `undated` where there is no command that tells.
pub(crate) fn date() -> String {
    output("date", &["-u", "+%F"]).unwrap_or_else(|| "undated".to_owned())
}

/// Writes `benches/record/<cpu>/<date>.csv`, and beside it `.txt` with what it was measured with. A record of the same day is replaced.
pub(crate) fn record(cpu: &str, csv: &str) -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record").join(cpu);
    fs::create_dir_all(&directory)?;
    let date = date();
    let commands: [(&str, &[&str]); 3] =
        [("git", &["describe", "--always", "--dirty", "--abbrev=40"]), ("rustc", &["-vV"]), ("lscpu", &[])];
    let said = commands.map(|(program, arguments)| {
        let answer = output(program, arguments).unwrap_or_else(|| "not there".to_owned());
        format!("$ {program} {}\n{answer}\n", arguments.join(" "))
    });
    fs::write(directory.join(format!("{date}.txt")), said.join("\n"))?;
    fs::write(directory.join(format!("{date}.csv")), csv)
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
