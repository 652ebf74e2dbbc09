//! The numbered examples as a reader runs them: processes that take a folder, print numbers and leave pictures.

use selvedge::data::{fashion_mnist::FILES, synthetic};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A numbered example: its name, the files that it leaves, and what it must say for its point to be made.
struct Example {
    name: &'static str,
    files: &'static [&'static str],
    says: &'static [&'static str],
}

static EXAMPLES: [Example; 18] = [
    Example {
        name: "01_activations",
        files: &["01_rectifier_derivatives.png", "01_rectifiers.png", "01_step_derivatives.png", "01_step_functions.png"],
        says: &["heaviside: the derivative is 0 everywhere", "sign: the derivative is 0 everywhere"],
    },
    Example {
        name: "02_gradient_descent",
        files: &["02_learning_rates.png", "02_paths.png"],
        says: &["0.2: good                      3.0000         1.0000"],
    },
    Example {
        name: "03_logistic_regression",
        files: &["03_decision_boundary.png"],
        says: &["trained:   loss 0.25", "by hand:   loss 0.25"],
    },
    Example { name: "04_backpropagation", files: &["04_gradients.png"], says: &["output/bias[0][0]     -0.326418  -0.326418"] },
    Example { name: "05_momentum", files: &["05_adaptive.png", "05_costs.png", "05_momentum.png"], says: &["Nesterov  "] },
    Example { name: "06_schedules", files: &["06_one_cycle.png", "06_schedules.png"], says: &["1cycle  ", "performance  "] },
    Example {
        name: "07_fashion_mnist_sequential",
        files: &["07_confusion_matrix.png", "07_learning_curves.png"],
        says: &["Total params: 266,610", "weighted avg"],
    },
    Example {
        name: "08_fashion_mnist_functional",
        files: &["08_outputs.png"],
        says: &["concatenate (Concatenate)", "helper  loss"],
    },
    Example {
        name: "09_callbacks",
        files: &["09_epochs.csv", "09_learning_curves.png"],
        says: &["of 100 epochs, with the weights of epoch", "exploded in batch", "checkpoints of the best so far"],
    },
    Example {
        name: "10_batch_normalization",
        files: &["10_training_loss.png", "10_validation_loss.png"],
        says: &["folded into the weights, probabilities differ by at most"],
    },
    Example { name: "11_regularization", files: &["11_validation_loss.png", "11_weights.png"], says: &["dropout  "] },
    Example {
        name: "12_monte_carlo_dropout",
        files: &["12_most_doubt.png", "12_one_garment.png"],
        says: &["accuracy of the mean of 100 passes"],
    },
    Example {
        name: "13_self_normalizing",
        files: &["13_configurations.png", "13_deviations.png"],
        says: &["SELU, LeCun", "LeCun, SELU, alpha dropout"],
    },
    Example { name: "14_vanishing_gradients", files: &["14_by_epoch.png", "14_by_layer.png"], says: &["ReLU, too large, clipped"] },
    Example {
        name: "15_hyper_parameter_search",
        files: &["15_grid.png", "15_randomized.png"],
        says: &["trained on all rows: mean squared error", "activation  n_neurons"],
    },
    Example {
        name: "16_regression",
        files: &["16_learning_curves.png", "16_predictions.png"],
        says: &["the last three do not matter"],
    },
    Example {
        name: "17_save_and_resume",
        files: &["17_after_four_epochs.selvedge", "17_resumed.png", "17_weights.safetensors"],
        says: &["the same weights, bit for bit: true", "the same loss from the weights alone: true"],
    },
    Example { name: "18_plan_by_hand", files: &["18_spiral.png"], says: &["step 600:", "60 of 60 right"] },
];

/// A folder that is removed at the end of its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("course-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Builds all of them with the profile of this test, since a program left from an earlier build must not be tested. Returns their
/// folder.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    cargo.arg("--target-dir").arg(profile.parent().expect("target"));
    cargo.args(EXAMPLES.iter().flat_map(|example| ["--example", example.name]));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo starts").success(), "the examples build");
    profile.join("examples")
}

/// A few garments under the official names, so that no example looks for data elsewhere.
fn write_garments(folder: &Path) {
    for (rows, seed, [images, labels]) in [(700, 1, [FILES[0], FILES[1]]), (200, 2, [FILES[2], FILES[3]])] {
        let dataset = synthetic::garments(rows as usize, seed);
        let write = |name: &str, shape: &[u32], elements: &[u8]| {
            let mut bytes = vec![0, 0, 8, shape.len() as u8];
            bytes.extend(shape.iter().flat_map(|n: &u32| n.to_be_bytes()));
            bytes.extend(elements);
            fs::write(folder.join(name), bytes).expect("written");
        };
        write(images.name, &[rows, 28, 28], dataset.pixels());
        write(labels.name, &[rows], dataset.labels());
    }
}

/// Those that train for more than a few seconds where nothing is optimized.
const SLOW: [&str; 6] = [
    "06_schedules",
    "10_batch_normalization",
    "11_regularization",
    "12_monte_carlo_dropout",
    "13_self_normalizing",
    "14_vanishing_gradients",
];

#[test]
fn every_quick_example_makes_its_point_and_leaves_its_pictures() {
    run(EXAMPLES.iter().filter(|example| !SLOW.contains(&example.name)));
}

#[test]
#[ignore = "a minute; run it in a release build"]
fn every_slow_example_makes_its_point_and_leaves_its_pictures() {
    run(EXAMPLES.iter().filter(|example| SLOW.contains(&example.name)));
}

fn run(examples: impl Iterator<Item = &'static Example>) {
    let programs = build();
    for Example { name, files, says } in examples {
        let (folder, data) = (Folder::new(name), Folder::new(&format!("{name}-data")));
        write_garments(&data.0);
        let clock = Instant::now();
        let mut command = Command::new(programs.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
        let output = command.arg(&folder.0).env("SELVEDGE_DATA", &data.0).env_remove("SELVEDGE_ISA").output().expect("it starts");
        let elapsed = clock.elapsed();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(elapsed < Duration::from_secs(60), "{name} took {elapsed:?}");
        for line in *says {
            assert!(text.contains(line), "{name} does not say `{line}`:\n{text}");
        }
        let found: BTreeSet<String> = fs::read_dir(&folder.0)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(found, files.iter().map(|file| (*file).to_owned()).collect(), "{name}");
        for file in files.iter().filter(|file| file.ends_with(".png")) {
            let bytes = fs::read(folder.0.join(file)).expect("readable");
            assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() > 5000, "{name}: {file} has {} bytes", bytes.len());
        }
    }
}

#[test]
fn the_table_of_contents_has_every_example_and_every_picture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let numbered: BTreeSet<String> = fs::read_dir(&folder)
        .expect("the examples")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    assert_eq!(numbered, EXAMPLES.iter().map(|example| example.name.to_owned()).collect());
    let contents = fs::read_to_string(folder.join("README.md")).expect("the table of contents");
    for Example { name, files, .. } in &EXAMPLES {
        let number = &name[..2];
        let row = contents.lines().find(|line| line.starts_with(&format!("| {number} "))).unwrap_or_default();
        for expected in [name].into_iter().chain(*files) {
            assert!(row.contains(expected), "`{expected}` in the row of {number}, found `{row}`");
        }
    }
}

#[test]
fn fashion_mnist_fits_on_a_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/07_fashion_mnist_sequential.rs");
    let lines = fs::read_to_string(path).expect("the example").lines().count();
    assert!(lines <= 40, "at most 40 lines expected, found {lines}");
}
