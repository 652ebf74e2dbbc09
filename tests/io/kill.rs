//! A process that saves again and again is killed at random moments. The file is always the old one or the new one, and whole.

use super::Scratch;
use selvedge::io::{Checkpoint, SectionWriter, atomic};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// For the child: the directory to save in.
const DIRECTORY: &str = "SELVEDGE_TEST_KILL_DIRECTORY";

/// What is saved in one go. The sections vary in length, so that the pieces of two generations do not make up a third.
fn state(generation: u64) -> Checkpoint {
    let mut weights = SectionWriter::new();
    weights.put_u64(generation).put_f32s(&vec![generation as f32; 20_000 + 1_000 * (generation % 7) as usize]);
    let mut moments = SectionWriter::new();
    moments.put_f32s(&vec![-(generation as f32); 30_000 - 1_000 * (generation % 5) as usize]);
    Checkpoint::new().section("weights", weights).section("moments", moments)
}

fn generation(path: &Path) -> Result<u64, String> {
    let checkpoint = Checkpoint::load(path).map_err(|error| error.to_string())?;
    let generation = checkpoint.reader("weights").unwrap().u64().unwrap();
    assert_eq!(checkpoint, state(generation), "a file of two generations");
    Ok(generation)
}

/// The child: saves until it is killed.
fn save_forever(directory: &Path, save: fn(&Checkpoint, &Path)) -> ! {
    let path = directory.join("state");
    let mut generation = generation(&path).unwrap_or(0);
    loop {
        generation += 1;
        save(&state(generation), &path);
        fs::write(directory.join("ready"), "").unwrap();
    }
}

/// A child that saves, and dies with its owner.
struct Saver(Child);

impl Saver {
    fn new(test: &str, directory: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([test, "--exact", "--include-ignored"]).env(DIRECTORY, directory);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // On Unix this is SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets a child save for a moment, and kills it.
fn run_and_kill(test: &str, directory: &Path, moment: Duration) {
    let ready = directory.join("ready");
    let _ = fs::remove_file(&ready);
    let saver = Saver::new(test, directory);
    let start = Instant::now();
    while !ready.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the child does not save");
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(moment);
    drop(saver);
}

fn replaced_whole(test: &str, kills: usize) {
    if let Some(directory) = env::var_os(DIRECTORY) {
        save_forever(directory.as_ref(), |checkpoint, path| checkpoint.save(path).unwrap());
    }
    let scratch = Scratch::new(test.rsplit("::").next().unwrap());
    let path = scratch.0.join("state");
    state(0).save(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut last, mut interrupted) = (0, 0);
    for kill in 0..kills {
        run_and_kill(test, &scratch.0, Duration::from_micros(random.u64(0..8_000)));
        let found = generation(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        assert!(found > last, "kill {kill}: generation {found} after {last}");
        last = found;
        interrupted += atomic::remove_leftovers(&path).unwrap();
    }
    println!("{kills} kills, {interrupted} of them while a save was under way; {last} saves");
    assert!(interrupted > 0, "no kill came while a save was under way");
}

#[test]
fn a_killed_process_leaves_a_whole_checkpoint() {
    replaced_whole("io::kill::a_killed_process_leaves_a_whole_checkpoint", 100);
}

#[test]
#[ignore = "half a minute"]
fn a_thousand_killed_processes_leave_whole_checkpoints() {
    replaced_whole("io::kill::a_thousand_killed_processes_leave_whole_checkpoints", 1_000);
}

/// The planted fault: what overwrites the file in place is caught.
#[test]
fn a_file_that_is_overwritten_in_place_is_found_torn() {
    const THIS: &str = "io::kill::a_file_that_is_overwritten_in_place_is_found_torn";
    if let Some(directory) = env::var_os(DIRECTORY) {
        save_forever(directory.as_ref(), |checkpoint, path| fs::write(path, checkpoint.to_bytes().unwrap()).unwrap());
    }
    let scratch = Scratch::new("torn");
    let mut random = fastrand::Rng::with_seed(8);
    let torn = (0..200).any(|_| {
        run_and_kill(THIS, &scratch.0, Duration::from_micros(random.u64(0..8_000)));
        generation(&scratch.0.join("state")).is_err()
    });
    assert!(torn, "200 kills and no torn file");
}
