//! Which hyper-parameters? A randomized search for a regression and a grid for a classification, both cross-validated.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use indicatif::ProgressBar;
use selvedge::data::{friedman, synthetic};
use selvedge::model::callbacks::EarlyStopping;
use selvedge::model::search::{Candidate, KFold, Scorer, Search, SearchError, Space, StratifiedKFold, Training};
use selvedge::model::{Activation, Adam, Compile, Dense, Examples, Fit, Flatten, Loss, Model, Sequential};
use selvedge::pictures::{BarChart, BarGroup, LineChart, Scale, Series, SeriesStyle, bar_chart, line_chart};
use std::path::{Path, PathBuf};

/// A network of `n_hidden` layers of `n_neurons` each for eight inputs, trained with `learning_rate`.
fn regression(candidate: &Candidate, threads: usize) -> Result<Model, SearchError> {
    let mut network = Sequential::new(&[8]);
    for _ in 0..candidate.count("n_hidden")? {
        network = network.add(Dense::new(candidate.count("n_neurons")?).activation(Activation::Relu));
    }
    let optimizer = Adam { learning_rate: candidate.real("learning_rate")? as f32, ..Adam::default() };
    Ok(network.add(Dense::new(1)).compile(Compile::new(optimizer).loss(Loss::MeanSquaredError).seed(15).threads(threads))?)
}

/// A classifier of garments with one hidden layer.
fn classification(candidate: &Candidate, threads: usize) -> Result<Model, SearchError> {
    let activation = if candidate.text("activation")? == "relu" { Activation::Relu } else { Activation::Tanh };
    let network = Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dense::new(candidate.count("n_neurons")?).activation(activation))
        .add(Dense::new(10).activation(Activation::Softmax));
    Ok(network.compile(Compile::new(Adam::default()).seed(15).threads(threads))?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    randomized(&folder)?;
    grid(&folder)
}

fn randomized(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (data, test) = (friedman::regression(600, 3, 1.0, 1), friedman::regression(500, 3, 1.0, 2));
    let examples = Examples::new().input(data.inputs()).targets(data.targets());
    let training = Training::new(regression)
        .fit(|_| Ok(Fit::new().epochs(60)))
        .early_stopping(EarlyStopping::new().patience(8).restore_best_weights());
    let candidates = Space::new()
        .integer("n_hidden", 0..=3)
        .log_integer("n_neurons", 4..=64)
        .log_uniform("learning_rate", 3e-4, 0.1)
        .random(20, 3)?;

    let bar = ProgressBar::new(candidates.len() as u64);
    let search = Search::new(candidates, KFold::new(3).shuffle(15).split(data.len())?)?.on_trial(|_| {
        bar.inc(1);
        Ok(())
    });
    let results = search.run(training.objective(&examples))?;
    bar.finish_and_clear();
    println!("randomized search, scores are minus the mean squared error\n{results}");
    let best = results.best().ok_or("every trial has failed")?;
    let (mut model, _) = training.refit(&examples, best, 1)?;
    let evaluation = model.evaluate(Examples::new().input(test.inputs()).targets(test.targets()))?;
    println!(
        "trial {}, trained on all rows: mean squared error {:.3} on new ones, of which 1 is noise\n",
        best.number, evaluation.loss
    );

    let of_layers = |layers: usize| -> Vec<(f64, f64)> {
        let trials = results.rows().iter().map(|row| &row.trial);
        let those = trials.filter(|trial| trial.candidate.count("n_hidden").is_ok_and(|n| n == layers));
        those.filter_map(|trial| Some((trial.candidate.real("learning_rate").ok()?, -trial.mean()?))).collect()
    };
    let points = [0, 1, 2, 3].map(of_layers);
    let names = ["no hidden layer", "1 hidden layer", "2 hidden layers", "3 hidden layers"];
    let series: Vec<Series<'_>> = (names.iter().zip(&points).filter(|(_, points)| !points.is_empty()))
        .map(|(name, points)| Series { name, points, style: SeriesStyle::Points })
        .collect();
    let chart = LineChart {
        title: "Twenty random candidates",
        x_label: "learning rate",
        y_label: "mean squared error over three folds",
        series: &series,
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        ..LineChart::default()
    };
    Ok(line_chart(folder.join("15_randomized.png"), &chart)?)
}

fn grid(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let data = synthetic::garments(600, 15);
    let examples = Examples::from(&data);
    let labels: Vec<u32> = data.labels().iter().map(|&label| label.into()).collect();
    let training = Training::new(classification).fit(|_| Ok(Fit::new().epochs(10))).scorer(Scorer::Accuracy);
    let space = Space::new().choice("activation", ["relu", "tanh"]).choice("n_neurons", [4, 16, 64]);
    // Each fold has as many garments of each class as the others.
    let folds = StratifiedKFold::new(3).shuffle(15).split(&labels)?;
    let results = Search::new(space.grid()?, folds)?.run(training.objective(&examples))?;
    println!("grid, scores are accuracies\n{results}");

    let rows = results.rows().iter().map(|row| &row.trial);
    let (names, scores): (Vec<String>, Vec<(f64, f64)>) = rows
        .map(|trial| {
            (trial.candidate.to_string(), (trial.mean().unwrap_or(f64::NAN), trial.standard_deviation().unwrap_or(f64::NAN)))
        })
        .unzip();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (means, deviations): (Vec<f64>, Vec<f64>) = scores.into_iter().unzip();
    let chart = BarChart {
        title: "Six candidates of a grid, three folds each",
        value_label: "accuracy",
        names: &names,
        groups: &[BarGroup { name: "mean", values: &means }, BarGroup { name: "standard deviation", values: &deviations }],
        digits: 3,
    };
    Ok(bar_chart(folder.join("15_grid.png"), &chart)?)
}
