//! Can training go on where it has ended? Save, load, resume: the same weights, bit for bit.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::{ValidationSplit, synthetic};
use selvedge::model::{Activation, Adam, Compile, Dense, Dropout, Fit, Flatten, Model, ProgressBar, Sequential};
use selvedge::pictures::{LineChart, Series, SeriesStyle, line_chart};
use std::path::PathBuf;

/// All weights as bits.
fn bits(model: &Model) -> Vec<u32> {
    let rows = model.weights().flat_map(|(_, matrix)| (0..matrix.rows()).map(move |row| matrix.row(row)));
    rows.flatten().map(|weight| weight.to_bits()).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (training, validation) = synthetic::garments(1500, 17).split(ValidationSplit::Tail(0.2))?;
    let network = Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation(Activation::Softmax));
    let fit = |epochs| Fit::new().epochs(epochs).validation_data(&validation);

    // Ten epochs without a break.
    let mut whole = network.compile(Compile::new(Adam::default()).seed(17))?;
    let history = whole.fit(&training, &fit(10), &mut [&mut ProgressBar::new().transient()])?;

    // Four epochs, a file, and in the loaded model the six others: Adam's means, the order of rows and dropout go on as if nothing
    // had been.
    let file = folder.join("17_after_four_epochs.selvedge");
    let mut first = network.compile(Compile::new(Adam::default()).seed(17))?;
    let first_history = first.fit(&training, &fit(4), &mut [])?;
    first.save(&file)?;
    drop(first);
    let mut resumed = Model::load(&file)?;
    let second_history = resumed.fit(&training, &fit(6), &mut [])?;
    println!("the file has {} bytes for {} weights", std::fs::metadata(&file)?.len(), bits(&resumed).len());
    println!("without a break: {:?}", whole.evaluate(&validation)?.loss);
    println!("resumed:         {:?}", resumed.evaluate(&validation)?.loss);
    println!("the same weights, bit for bit: {}", bits(&whole) == bits(&resumed));

    // Weights alone, for other programs: a safetensors file, which Python reads too.
    let weights = folder.join("17_weights.safetensors");
    resumed.save_weights(&weights)?;
    let mut copy = network.compile(Compile::new(Adam::default()))?;
    copy.load_weights(&weights)?;
    println!("the same loss from the weights alone: {}", copy.evaluate(&validation)?.loss == resumed.evaluate(&validation)?.loss);

    let points = |losses: Vec<f64>, first: usize| -> Vec<(f64, f64)> {
        losses.into_iter().enumerate().map(|(i, loss)| ((i + first) as f64, loss)).collect()
    };
    let [whole, before, after] =
        [(&history, 1), (&first_history, 1), (&second_history, 5)].map(|(h, first)| points(h.metric("val_loss"), first));
    let chart = LineChart {
        title: "Resumed training lies on that without a break",
        x_label: "epoch",
        y_label: "validation loss",
        series: &[
            Series::new("without a break", &whole),
            Series { name: "until saved", points: &before, style: SeriesStyle::Points },
            Series { name: "after loading", points: &after, style: SeriesStyle::Points },
        ],
        ..LineChart::default()
    };
    line_chart(folder.join("17_resumed.png"), &chart)?;
    Ok(())
}
