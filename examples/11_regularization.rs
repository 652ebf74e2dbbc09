//! How is overfitting kept down? l1, l2 and dropout on a few hundred rows.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::synthetic;
use selvedge::model::{Activation, Adam, Compile, Dense, Dropout, Fit, Flatten, Initializer, ProgressBar, Regularizer, Sequential};
use selvedge::pictures::{Histogram, HistogramSet, LineChart, Scale, Series, histogram, line_chart};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (training, validation) = (synthetic::garments(400, 1), synthetic::garments(500, 2));

    let none = Regularizer::default();
    let (mut losses, mut kernels) = (Vec::new(), Vec::new());
    // It shows in the loss: the model is less sure of its mistakes, even where it makes as many.
    println!("{:<8} {:>9} {:>11} {:>10} {:>18}", "", "training", "validation", "accuracy", "weights near zero");
    for (name, regularizer, dropout) in
        [("none", none, 0.0), ("l1", Regularizer::l1(2e-4), 0.0), ("l2", Regularizer::l2(1e-3), 0.0), ("dropout", none, 0.4)]
    {
        let mut network = Sequential::new(&[28, 28]).add(Flatten);
        for units in [100, 100] {
            let dense = Dense::new(units).activation(Activation::Relu).kernel_initializer(Initializer::HeNormal);
            network = network.add(dense.kernel_regularizer(regularizer));
            if dropout > 0.0 {
                network = network.add(Dropout::new(dropout));
            }
        }
        let network = network.add(Dense::new(10).activation(Activation::Softmax).kernel_regularizer(regularizer));
        let mut model = network.compile(Compile::new(Adam::default()).seed(11))?;
        let fit = Fit::new().epochs(40).validation_data(&validation);
        let history = model.fit(&training, &fit, &mut [&mut ProgressBar::new().transient()])?;

        // The loss of a model includes its penalties; that of an output does not, so models can be compared by it.
        let validation_losses: Vec<(f64, f64)> = (history.epochs.iter().enumerate())
            .filter_map(|(epoch, logs)| Some((epoch as f64 + 1.0, logs.validation?.outputs()[0].loss)))
            .collect();
        let weights: Vec<f32> = (model.weights())
            .filter(|(name, _)| *name == "dense/kernel")
            .flat_map(|(_, kernel)| (0..kernel.rows()).flat_map(move |row| kernel.row(row).to_vec()))
            .collect();
        let (before, after) = (model.evaluate(&training)?, model.evaluate(&validation)?);
        let near_zero = weights.iter().filter(|weight| weight.abs() < 1e-3).count() as f64 / weights.len() as f64;
        println!(
            "{name:<8} {:9.4} {:11.4} {:10.4} {:16.1} %",
            before.outputs()[0].loss,
            after.outputs()[0].loss,
            after.accuracy,
            100.0 * near_zero
        );
        losses.push((name, validation_losses));
        kernels.push((name, weights));
    }

    let series: Vec<Series<'_>> = losses.iter().map(|(name, points)| Series::new(name, points)).collect();
    let (title, x_label, y_label, y_scale) = ("Validation loss, without penalties", "epoch", "loss", Scale::Log);
    let chart = LineChart { title, x_label, y_label, series: &series, y_scale, ..LineChart::default() };
    line_chart(folder.join("11_validation_loss.png"), &chart)?;
    let sets: Vec<HistogramSet<'_>> = kernels[..3].iter().map(|(name, weights)| HistogramSet { name, values: weights }).collect();
    let title = "Weights of the first layer: l1 brings many to zero";
    let chart = Histogram { title, x_label: "weight", sets: &sets, bins: 60, range: Some((-0.15, 0.15)) };
    histogram(folder.join("11_weights.png"), &chart)?;
    Ok(())
}
