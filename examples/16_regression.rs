//! What if the answer is a number? Regression with eight inputs, five of which matter.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::friedman::{self, Regression};
use selvedge::kernels::MatRef;
use selvedge::model::callbacks::EarlyStopping;
use selvedge::model::metrics::{mean_absolute_error, mean_squared_error};
use selvedge::model::{Activation, Adam, BatchNormalization, Compile, Dense, Examples, Fit, Loss, ProgressBar, Sequential};
use selvedge::pictures::{LineChart, Scale, Series, SeriesStyle, line_chart};
use std::path::PathBuf;

fn examples(rows: &Regression) -> Examples<'_> {
    Examples::new().input(rows.inputs()).targets(rows.targets())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    // Eight inputs, and noise of deviation 1: no model gets below a mean squared error of about 1.
    let [training, validation, test] = [(1500, 1), (500, 2), (500, 3)].map(|(rows, seed)| friedman::regression(rows, 3, 1.0, seed));

    // The normalization standardizes the inputs.
    let linear = Sequential::new(&[8]).add(BatchNormalization::default()).add(Dense::new(1));
    let deep = Sequential::new(&[8])
        .add(BatchNormalization::default())
        .add(Dense::new(50).activation(Activation::Relu))
        .add(Dense::new(50).activation(Activation::Relu))
        .add(Dense::new(1));
    let truth = test.targets().data();
    println!("{:<8} {:>20} {:>20}", "test", "mean squared error", "mean absolute error");
    for (name, network) in [("linear", linear), ("deep", deep)] {
        let compile = Compile::new(Adam { learning_rate: 0.01, ..Adam::default() }).loss(Loss::MeanSquaredError);
        let mut model = network.compile(compile.seed(16))?;
        let mut stopping = EarlyStopping::new().patience(10).restore_best_weights();
        let fit = Fit::new().epochs(100).validation_data(examples(&validation));
        let history = model.fit(examples(&training), &fit, &mut [&mut stopping, &mut ProgressBar::new().transient()])?;
        let predictions = model.predict(examples(&test))?;
        let predicted = predictions.matrix().data();
        let (squared, absolute) = (mean_squared_error(truth, predicted)?, mean_absolute_error(truth, predicted)?);
        println!("{name:<8} {squared:20.3} {absolute:20.3}");
        if name == "linear" {
            continue;
        }

        let [training_loss, validation_loss] = ["loss", "val_loss"].map(|metric| -> Vec<(f64, f64)> {
            history.metric(metric).into_iter().enumerate().map(|(epoch, loss)| (epoch as f64 + 1.0, loss)).collect()
        });
        let chart = LineChart {
            title: "Mean squared error by epoch",
            x_label: "epoch",
            y_label: "loss",
            series: &[Series::new("training", &training_loss), Series::new("validation", &validation_loss)],
            y_scale: Scale::Log,
            ..LineChart::default()
        };
        line_chart(folder.join("16_learning_curves.png"), &chart)?;
        let points: Vec<(f64, f64)> = truth.iter().zip(predicted).map(|(&y, &p)| (y.into(), p.into())).collect();
        let diagonal = [(0.0, 0.0), (28.0, 28.0)];
        let chart = LineChart {
            title: "Predicted and true values of the test",
            x_label: "true",
            y_label: "predicted",
            series: &[
                Series { name: "a row of the test", points: &points, style: SeriesStyle::Points },
                Series { name: "as it should be", points: &diagonal, style: SeriesStyle::Dashed },
            ],
            ..LineChart::default()
        };
        line_chart(folder.join("16_predictions.png"), &chart)?;

        // Which inputs does the model look at? One is moved from 0 to 1, all others stay in the middle.
        let moved: Vec<f32> = (0..8)
            .flat_map(|j| [0.0, 1.0].map(|x| std::array::from_fn::<f32, 8, _>(|i| if i == j { x } else { 0.5 })))
            .flatten()
            .collect();
        let answers = model.predict(Examples::unlabelled_floats(MatRef::new(&moved, 16, 8, 8))?)?;
        let effects: Vec<String> = answers.matrix().data().chunks(2).map(|pair| format!("{:.1}", pair[1] - pair[0])).collect();
        println!("from 0 to 1, each input changes the answer by {}; the last three do not matter", effects.join(", "));
    }
    Ok(())
}
