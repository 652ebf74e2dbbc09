//! The example `fashion_mnist` as its user meets it: a process with flags, files, output and an exit code.
#![allow(clippy::print_stderr, reason = "a check that is left out says so")]

use selvedge::data::fashion_mnist::{self, FILES};
use selvedge::data::{Dataset, synthetic};
use selvedge::simd::Isa;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that is removed at the end of its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("example-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// With small files like the official ones.
    fn with_data(train: &Dataset, test: &Dataset) -> Self {
        let folder = Self::new();
        for (dataset, [images, labels]) in [(train, [FILES[0], FILES[1]]), (test, [FILES[2], FILES[3]])] {
            let rows = u32::try_from(dataset.len()).expect("few rows");
            write_idx(&folder.0.join(images.name), &[rows, 28, 28], dataset.pixels());
            write_idx(&folder.0.join(labels.name), &[rows], dataset.labels());
        }
        folder
    }

    fn with_garments() -> Self {
        Self::with_data(&synthetic::garments(300, 1), &synthetic::garments(60, 2))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_idx(path: &Path, shape: &[u32], elements: &[u8]) {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend(elements);
    fs::write(path, bytes).expect("written");
}

/// The example, without any setting of the user's.
fn example() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(BUILT.get_or_init(build));
    command.env_remove("SELVEDGE_ISA").env_remove("SELVEDGE_DATA");
    command
}

/// Builds the example with the profile of this test. Cargo builds examples for a test run too, but those that have tests of their own only
/// as such; and a program left from an earlier build must not be tested in place of this one.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--example",
        "fashion_mnist",
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    cargo.arg("--target-dir").arg(profile.parent().expect("target"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo starts").success(), "the example builds");
    profile.join("examples").join(format!("fashion_mnist{}", std::env::consts::EXE_SUFFIX))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must not panic, whatever else it does.
fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the example starts");
    let errors = text(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code <= 2) && !errors.contains("panicked"), "{command:?}: {output:?}");
    output
}

/// Trains, and returns standard output with the JSON of its last line.
fn train(change: impl FnOnce(&mut Command) -> &mut Command) -> (String, Value) {
    let mut command = example();
    command.args(["--no-pictures", "--json", "-"]);
    change(&mut command);
    let output = run(&mut command);
    let lines = text(&output.stdout);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    let results = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON in the last line");
    (lines, results)
}

fn hash(results: &Value) -> String {
    let hash = results["weights_hash"].as_str().expect("a hash").to_owned();
    assert!(hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
    hash
}

#[test]
fn the_weights_depend_on_the_seed_and_on_nothing_of_the_machine() {
    let data = Folder::with_garments();
    let trained = |settings: &[&str], isa: Isa| {
        let results = train(|command| {
            command.arg("--data").arg(&data.0).args(["--epochs", "2", "--validation-rows", "50", "--batch-size", "33"]);
            command.args(settings).env("SELVEDGE_ISA", isa.name())
        })
        .1;
        assert_eq!(results["isa"], isa.name());
        hash(&results)
    };
    let best = Isa::detect();
    let expected = trained(&["--threads", "1"], best);
    assert_eq!(trained(&["--threads", "1"], best), expected, "another run");
    for threads in ["2", "3"] {
        assert_eq!(trained(&["--threads", threads], best), expected, "{threads} threads");
    }
    for isa in Isa::available().filter(|isa| isa.fused() == best.fused()) {
        assert_eq!(trained(&["--threads", "2"], isa), expected, "{isa}");
    }
    assert_ne!(trained(&["--seed", "1"], best), expected, "another seed");
    assert_ne!(trained(&["--learning-rate", "0.03"], best), expected, "another learning rate");
    assert_ne!(trained(&["--epochs", "1"], best), expected, "fewer epochs");
}

#[test]
fn every_recipe_trains() {
    let data = Folder::with_garments();
    for (recipe, first_layer) in [("course", 300), ("deep", 300), ("selu", 300), ("pixels", 512), ("best", 256)] {
        let (output, results) = train(|command| {
            command.args(["--recipe", recipe, "--epochs", "2", "--validation-rows", "50"]).arg("--data").arg(&data.0)
        });
        assert_eq!(results["recipe"], recipe);
        let inputs = if recipe == "best" { 7 * 7 * 8 } else { 28 * 28 };
        assert!(output.contains(&format!("(None, {inputs})")) && output.contains(&format!("(None, {first_layer})")), "{output}");
        let preparation = results["preparation_seconds"].as_f64().expect("seconds");
        assert!(preparation < 1.0 && (recipe != "best" || preparation > 0.0), "{recipe}: {preparation}");
    }
}

#[test]
fn the_output_says_what_was_done() {
    let data = Folder::with_garments();
    let (output, results) = train(|command| {
        command.arg("--data").arg(&data.0).args(["--epochs", "3", "--validation-rows", "50", "--threads", "2", "--seed", "7"])
    });
    let source = format!("Fashion-MNIST from {}", data.0.display());
    assert_eq!(output.lines().next(), Some(&*format!("data: {source}")));
    for part in ["Total params: 266,610", "epoch  1/3: loss ", "epoch  3/3: loss ", "validation: loss ", "Ankle boot", "f1-score"] {
        assert!(output.contains(part), "{part} expected in {output}");
    }
    for (field, expected) in [
        ("data", Value::from("Fashion-MNIST")),
        ("source", Value::from(source)),
        ("rows", 250.into()),
        ("validation_rows", 50.into()),
        ("test_rows", 60.into()),
        ("isa", Isa::detect().name().into()),
        ("threads", 2.into()),
        ("epochs", 3.into()),
        ("seed", 7.into()),
    ] {
        assert_eq!(results[field], expected, "{field}");
    }
    assert_eq!(results["epoch_seconds"].as_array().map(Vec::len), Some(3));
    let number = |field: &str| results[field].as_f64().unwrap_or_else(|| panic!("{field}: a number expected in {results}"));
    for field in ["learning_rate", "momentum", "batch_size", "fma_peak_gflops", "gflops", "share_of_peak", "test_loss"] {
        assert!(number(field) > 0.0, "{field}");
    }
    assert!((number("share_of_peak") - number("gflops") / number("fma_peak_gflops")).abs() < 1e-9);
    // 1,126,800 operations a row, as in 2 (2 * 784 * 300 + 3 * 300 * 100 + 3 * 100 * 10).
    let mut seconds: Vec<f64> = results["epoch_seconds"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    seconds.sort_by(f64::total_cmp);
    assert!((number("gflops") / (250.0 * 1_126_800.0 / seconds[1] / 1e9) - 1.0).abs() < 1e-9);
    for field in ["test_accuracy", "validation_accuracy"] {
        // Ten classes: guessing reaches 0.1.
        assert!((0.2..=1.0).contains(&number(field)), "{field}: {}", number(field));
    }
}

#[test]
fn minibatches_of_any_size_and_no_validation_will_do() {
    let data = Folder::with_garments();
    for batch_size in ["1", "7", "300", "4294967295"] {
        let (_, results) = train(|command| {
            command.arg("--data").arg(&data.0).args(["--epochs", "1", "--validation-rows", "0", "--batch-size", batch_size])
        });
        assert_eq!((&results["rows"], &results["validation_accuracy"]), (&300.into(), &Value::Null), "batch size {batch_size}");
    }
}

#[test]
fn pictures_and_json_go_where_they_should() {
    let data = Folder::with_garments();
    let folder = Folder::new();
    let output = folder.0.join("made").join("as needed");
    let json = folder.0.join("results.json");
    let mut command = example();
    command.arg("--data").arg(&data.0).args(["--epochs", "1", "--validation-rows", "50", "--threads", "1"]);
    command.arg("--output").arg(&output).arg("--json").arg(&json);
    let lines = text(&run(&mut command).stdout);
    let mut names: Vec<_> = fs::read_dir(&output).expect("a folder").map(|entry| entry.expect("a name").file_name()).collect();
    names.sort();
    assert_eq!(names, ["confusion_matrix.png", "learning_curves.png", "misclassified.png"]);
    for name in names {
        assert!(fs::read(output.join(&name)).expect("a picture").starts_with(b"\x89PNG\r\n\x1a\n"), "{name:?}");
        assert!(lines.contains(&*name.to_string_lossy()), "{name:?} expected in {lines}");
    }
    let written: Value = serde_json::from_slice(&fs::read(&json).expect("results")).expect("JSON");
    assert_eq!(written["epochs"], 1);

    // A network that diverges has no learning curves, and those of the run before are not taken for them.
    let diverged = run(command.args(["--learning-rate", "1e30", "--batch-size", "25"]));
    assert!(diverged.status.success(), "{diverged:?}");
    let lines = text(&diverged.stdout);
    assert!(lines.contains("no picture of the learning curves: the loss was no number in any epoch"), "{lines}");
    assert!(!output.join("learning_curves.png").exists() && output.join("confusion_matrix.png").exists());
    let written: Value = serde_json::from_slice(&fs::read(&json).expect("results")).expect("JSON");
    assert!(written["test_loss"].is_null(), "{written}");
}

#[test]
fn wrong_flags_are_explained_with_exit_code_2() {
    let data = Folder::with_garments();
    let no_rows_left = ["--validation-rows", "300", "--data", &data.0.display().to_string()].map(str::to_owned);
    let cases: &[(&[&str], &str)] = &[
        (&["--epochs", "0"], "1.."),
        (&["--epochs", "-1"], "--epochs"),
        (&["--epochs", "18446744073709551615"], "1.."),
        (&["--batch-size", "0"], "1.."),
        (&["--learning-rate", "-0.1"], "not below 0"),
        (&["--learning-rate", "NaN"], "a finite number"),
        (&["--momentum", "1.5"], "from 0 to 1"),
        (&["--threads", "0"], "1..=64"),
        (&["--threads", "65"], "1..=64"),
        (&["--isa", "sse9"], "available on this processor:"),
        (&["--epoch", "3"], "--epochs"),
        (&["surprise"], "surprise"),
        (&no_rows_left.each_ref().map(String::as_str), "none of 300 rows"),
    ];
    for (flags, expected) in cases {
        let output = run(example().arg("--no-pictures").args(*flags));
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {errors}");
        assert!(errors.contains(expected), "{flags:?}: {expected} expected in {errors}");
    }
    let output = run(example().env("SELVEDGE_ISA", "sse9"));
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("portable"), "{output:?}");
}

#[test]
fn wrong_files_are_explained_with_exit_code_1() {
    let fails = |command: &mut Command, expected: &str| {
        let output = run(command);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {errors}");
        assert!(errors.contains(expected), "{expected} expected in {errors}");
    };
    let plain = || {
        let mut command = example();
        command.arg("--no-pictures");
        command
    };
    let empty = Folder::new();
    fails(plain().arg("--data").arg(&empty.0), FILES[0].name);
    fails(plain().arg("--data").arg(empty.0.join("nowhere")), "nowhere");
    fails(plain().env("SELVEDGE_DATA", &empty.0), "SELVEDGE_DATA");

    let data = Folder::with_garments();
    let images = data.0.join(FILES[2].name);
    let whole = fs::read(&images).expect("images");
    fs::write(&images, &whole[..whole.len() - 1]).expect("written");
    fails(plain().arg("--data").arg(&data.0), FILES[2].name);
    fs::write(&images, whole).expect("written");

    let file = empty.0.join("file");
    fs::write(&file, "").expect("written");
    fails(example().arg("--data").arg(&data.0).arg("--output").arg(file.join("below")), "cannot write");
    fails(plain().arg("--data").arg(&data.0).arg("--json").arg(file.join("below")), "cannot write");
}

#[test]
fn training_ends_when_nobody_reads() {
    let data = Folder::with_garments();
    let mut command = example();
    command.arg("--data").arg(&data.0).args(["--no-pictures", "--validation-rows", "0", "--epochs", "1000000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the example starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the example ends");
    assert!(output.status.code() == Some(1) && !text(&output.stderr).contains("panicked"), "{output:?}");
}

#[test]
fn the_official_files_are_learned_alike_everywhere() {
    let Some(directory) = fashion_mnist::locate(None).expect("files where SELVEDGE_DATA says") else {
        eprintln!("left out: the official files of Fashion-MNIST are not here; set SELVEDGE_DATA to their directory");
        return;
    };
    let official = fashion_mnist::load(&directory).expect("the official files");
    let some = Folder::with_data(&official.train.take(500), &official.test.take(100));
    let trained = |data: &Path, settings: &[&str]| train(|command| command.arg("--data").arg(data).args(settings)).1;
    let few = |threads| hash(&trained(&some.0, &["--epochs", "2", "--validation-rows", "100", "--threads", threads]));
    assert_eq!(few("1"), few("2"));

    if cfg!(debug_assertions) {
        eprintln!("left out: ten epochs on all rows take minutes without optimization; they are part of `cargo test --release`");
        return;
    }
    let [one, two] = ["1", "2"].map(|threads| trained(&directory, &["--threads", threads]));
    assert_eq!(hash(&one), hash(&two));
    assert_eq!((&one["rows"], &one["epoch_seconds"].as_array().map(Vec::len)), (&55_000.into(), &Some(10)));
    // The seeds 0 to 4 reach 0.8900 to 0.8933.
    assert!(one["test_accuracy"].as_f64() >= Some(0.885), "{one}");
}
