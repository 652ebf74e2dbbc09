//! Where is the boundary between two classes? Logistic regression with two features.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::kernels::MatRef;
use selvedge::model::{Activation, Adam, Compile, Dense, Examples, Fit, Loss, Sequential};
use selvedge::pictures::{DecisionBoundary, Grid, Regions, decision_boundary};
use std::path::PathBuf;

/// The rule that nature follows: who has studied and slept for so many hours passes with this probability.
fn passes(studied: f32, slept: f32) -> f32 {
    1.0 / (1.0 + (-(1.2 * studied + 0.8 * slept - 10.0)).exp())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;

    let mut random = fastrand::Rng::with_seed(3);
    let x: Vec<f32> = (0..400).flat_map(|_| [10.0 * random.f32(), 2.0 + 8.0 * random.f32()]).collect();
    let y: Vec<f32> = x.chunks(2).map(|row| f32::from(random.f32() < passes(row[0], row[1]))).collect();
    let examples = Examples::new().input(MatRef::new(&x, 400, 2, 2)).targets(MatRef::new(&y, 400, 1, 1));

    let network = Sequential::new(&[2]).add(Dense::new(1).activation(Activation::Sigmoid));
    let compile = Compile::new(Adam { learning_rate: 0.02, ..Adam::default() });
    let mut model = network.compile(compile.loss(Loss::BinaryCrossentropy { label_smoothing: 0.0 }).threads(1))?;
    let untrained = model.evaluate(&examples)?;
    model.fit(&examples, &Fit::new().epochs(200), &mut [])?;
    let trained = model.evaluate(&examples)?;
    println!("untrained: loss {:.4}, accuracy {:.4}", untrained.loss, untrained.accuracy);
    println!("trained:   loss {:.4}, accuracy {:.4}", trained.loss, trained.accuracy);

    // The loss is the negative log-likelihood per row: -ln p for those who passed, -ln(1 - p) for those who failed.
    let predictions = model.predict(&examples)?;
    let p = |row: usize| f64::from(predictions.matrix().row(row)[0]);
    let log_likelihood: f64 = (0..400).map(|row| if y[row] == 1.0 { p(row).ln() } else { (1.0 - p(row)).ln() }).sum();
    println!("by hand:   loss {:.4}", -log_likelihood / 400.0);
    for (name, values) in model.weights() {
        println!("{name}: {:?}", (0..values.rows()).map(|i| values.row(i)[0]).collect::<Vec<f32>>());
    }
    println!("the rule behind the data: 1.2, 0.8 and -10");

    let grid = Grid { columns: 80, rows: 70, x_range: (0.0, 10.0), y_range: (2.0, 10.0) };
    let places: Vec<f32> = grid.points().flat_map(|(studied, slept)| [studied as f32, slept as f32]).collect();
    let answers = model.predict(Examples::unlabelled_floats(MatRef::new(&places, 80 * 70, 2, 2))?)?;
    let probabilities: Vec<f64> = (0..80 * 70).map(|i| answers.matrix().row(i)[0].into()).collect();
    let points: Vec<(f64, f64)> = x.chunks(2).map(|row| (row[0].into(), row[1].into())).collect();
    let classes: Vec<usize> = y.iter().map(|&y| y as usize).collect();
    let chart = DecisionBoundary {
        title: "Who passes?",
        x_label: "hours of study",
        y_label: "hours of sleep",
        grid,
        regions: Regions::Probability(&probabilities),
        points: &points,
        classes: &classes,
        names: &["failed", "passed"],
    };
    decision_boundary(folder.join("03_decision_boundary.png"), &chart)?;
    Ok(())
}
