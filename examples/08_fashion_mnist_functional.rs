//! What if layers do not follow each other in a row? Wide and deep on Fashion-MNIST, with two inputs and two outputs.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::{Dataset, fashion_mnist};
use selvedge::kernels::MatRef;
use selvedge::model::{Activation, Compile, Concatenate, Dense, Examples, Fit, Flatten, Functional, Loss, ProgressBar, RmsProp};
use selvedge::pictures::{LineChart, Series, SeriesStyle, line_chart};
use std::path::PathBuf;

/// How bright each of the 28 lines and each of the 28 columns of an image is, from 0 to 1.
fn profiles(data: &Dataset) -> Vec<f32> {
    let brightness = |pixels: &mut dyn Iterator<Item = &u8>| pixels.map(|&pixel| f32::from(pixel)).sum::<f32>() / (28.0 * 255.0);
    (0..data.len())
        .flat_map(|row| {
            let lines = (0..28).map(move |i| brightness(&mut data.row(row)[28 * i..][..28].iter()));
            lines.chain((0..28).map(move |j| brightness(&mut data.row(row)[j..].iter().step_by(28))))
        })
        .collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (data, source) = fashion_mnist::load_or_synthesize(None, &mut |_| ())?;
    println!("{source}");

    // The image goes through the deep part; what somebody has thought of, the profile of the silhouette, goes past it.
    let mut network = Functional::new().name("wide_and_deep");
    let image = network.input("image", &[28, 28]);
    let profile = network.input("profile", &[56]);
    let pixels = network.apply(Flatten, &[image]);
    let hidden = network.apply(Dense::new(100).activation(Activation::Relu), &[pixels]);
    let hidden = network.apply(Dense::new(50).activation(Activation::Relu), &[hidden]);
    let both = network.apply(Concatenate, &[profile, hidden]);
    let main = network.apply(Dense::new(10).activation(Activation::Softmax).name("main"), &[both]);
    // The helper makes the deep part useful by itself; it counts a tenth.
    let helper = network.apply(Dense::new(10).activation(Activation::Softmax).name("helper"), &[hidden]);
    let network = network.outputs(&[main, helper]);
    println!("{}", network.summary()?);

    let loss = Loss::SparseCategoricalCrossentropy { label_smoothing: 0.0 };
    let compile = Compile::new(RmsProp::default()).output_loss("main", loss, 0.9).output_loss("helper", loss, 0.1);
    let mut model = network.compile(compile.seed(42))?;

    // Both outputs are compared with the same labels.
    let labels = |data: &Dataset| -> Vec<u32> { data.labels().iter().map(|&label| label.into()).collect() };
    let (training, test) = (data.train.take(10_000), data.test.take(2_000));
    let (training_labels, test_labels) = (labels(&training), labels(&test));
    let (training_profiles, test_profiles) = (profiles(&training), profiles(&test));
    let (training_rows, test_rows) = (training.len(), test.len());
    let training = Examples::from(&training).input(MatRef::new(&training_profiles, training_rows, 56, 56)).labels(&training_labels);
    let test = Examples::from(&test).input(MatRef::new(&test_profiles, test_rows, 56, 56)).labels(&test_labels);
    let fit = Fit::new().epochs(8).validation_data(&test);
    let history = model.fit(&training, &fit, &mut [&mut ProgressBar::new()])?;
    let evaluation = model.evaluate(&test)?;
    for (name, output) in ["main", "helper"].iter().zip(evaluation.outputs()) {
        println!("{name:<7} loss {:.4}, accuracy {:.4}", output.loss, output.accuracy.unwrap_or_default());
    }

    let metric = |name: &str| -> Vec<(f64, f64)> {
        history.metric(name).into_iter().enumerate().map(|(epoch, value)| (epoch as f64 + 1.0, value)).collect()
    };
    let names = ["main_accuracy", "val_main_accuracy", "helper_accuracy", "val_helper_accuracy"];
    let points = names.map(metric);
    let series: Vec<Series<'_>> = (names.iter().zip(&points))
        .map(|(name, points)| {
            let style = if name.starts_with("val") { SeriesStyle::Dashed } else { SeriesStyle::Line };
            Series { name, points, style }
        })
        .collect();
    let (title, x_label, y_label) = ("Both outputs of wide and deep", "epoch", "accuracy");
    line_chart(folder.join("08_outputs.png"), &LineChart { title, x_label, y_label, series: &series, ..LineChart::default() })?;
    Ok(())
}
