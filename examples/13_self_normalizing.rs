//! Can a deep network do without normalization? SELU keeps mean 0 and variance 1 by itself; and two default configurations.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::{ValidationSplit, synthetic};
use selvedge::kernels::gather::Scaling;
use selvedge::kernels::{MatMut, MatRef, reduce};
use selvedge::model::{Activation, Compile, Configuration, Dense, Examples, Fans, Initializer, ProgressBar, Sequential, Sgd};
use selvedge::pictures::{LineChart, Scale, Series, line_chart};
use selvedge::simd::Isa;
use std::path::PathBuf;

const ROWS: usize = 200;
const UNITS: usize = 100;
const LAYERS: usize = 50;

/// Mean and standard deviation of the outputs of each of 50 layers, from standardized inputs.
fn statistics(activation: Activation, initializer: Initializer) -> Result<Vec<(f32, f32)>, Box<dyn std::error::Error>> {
    let mut x = vec![0.0; ROWS * UNITS];
    let normal = Initializer::Normal { mean: 0.0, standard_deviation: 1.0 };
    normal.fill(MatMut::new(&mut x, ROWS, UNITS, UNITS), Fans { fan_in: UNITS, fan_out: UNITS }, 13, 0)?;
    let isa = Isa::select()?;
    let mut result = Vec::new();
    for layer in 0..LAYERS {
        let dense = Dense::new(UNITS).activation(activation).kernel_initializer(initializer);
        let mut model = Sequential::new(&[UNITS]).add(dense).compile(Compile::new(Sgd::default()).seed(layer as u64).threads(1))?;
        let mut y = vec![0.0; ROWS * UNITS];
        model.predict_into(&Examples::new().input(MatRef::new(&x, ROWS, UNITS, UNITS)), &mut y)?;
        x = y;
        let (mean, variance) = reduce::mean_and_variance(isa, &x);
        result.push((mean, variance.sqrt()));
    }
    Ok(result)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;

    // With ReLU He's initialization keeps the size, too, but not the mean of 0.
    println!("{:<16} {:>20} {:>20}", "mean, deviation", "after 1 layer", "after 50 layers");
    let mut curves = Vec::new();
    for (name, activation, initializer) in [
        ("SELU, LeCun", Activation::Selu, Initializer::LeCunNormal),
        ("SELU, He", Activation::Selu, Initializer::HeNormal),
        ("ReLU, He", Activation::Relu, Initializer::HeNormal),
        ("ReLU, Glorot", Activation::Relu, Initializer::GlorotNormal),
        ("tanh, Glorot", Activation::Tanh, Initializer::GlorotNormal),
    ] {
        let layers = statistics(activation, initializer)?;
        let [(mean, deviation), (last_mean, last_deviation)] = [layers[0], layers[LAYERS - 1]];
        println!("{name:<16} {mean:10.3}, {deviation:8.3} {last_mean:10.3}, {last_deviation:8.3}");
        curves.push((name, layers));
    }
    let points: Vec<Vec<(f64, f64)>> = (curves.iter())
        .map(|(_, layers)| layers.iter().enumerate().map(|(i, &(_, deviation))| (i as f64 + 1.0, deviation.into())).collect())
        .collect();
    let series: Vec<Series<'_>> = curves.iter().zip(&points).map(|((name, _), points)| Series::new(name, points)).collect();
    let chart = LineChart {
        title: "How large signals are, through fifty layers",
        x_label: "layer",
        y_label: "standard deviation of the outputs",
        series: &series,
        y_scale: Scale::Log,
        y_range: Some((1e-6, 100.0)),
        ..LineChart::default()
    };
    line_chart(folder.join("13_deviations.png"), &chart)?;

    // The two usual choices, each in one call. SELU needs standardized inputs.
    let (training, validation) = synthetic::garments(2000, 13).split(ValidationSplit::Tail(0.25))?;
    let (mean, deviation) = training.mean_and_standard_deviation()?;
    let scaling = Scaling::standardize(mean, deviation);
    let (training, validation) = (Examples::from(&training).scaling(scaling), Examples::from(&validation).scaling(scaling));
    let hidden = [50; 12];
    let configurations = [
        ("He, ELU, batch norm", Configuration::deep(&[28, 28], &hidden, 10)),
        ("LeCun, SELU, alpha dropout", Configuration::self_normalizing(&[28, 28], &hidden, 10).dropout(0.02)),
    ];
    let mut losses: Vec<Vec<(f64, f64)>> = Vec::new();
    println!();
    for (name, configuration) in &configurations {
        let bar: &mut ProgressBar = &mut ProgressBar::new().transient();
        let (mut model, history) = configuration.clone().seed(13).train(&training, &validation, 20, 32, &mut [bar])?;
        let evaluation = model.evaluate(&validation)?;
        println!(
            "{name:<27} twelve layers, {} epochs: validation loss {:.4}, accuracy {:.4}",
            history.epochs.len(),
            evaluation.loss,
            evaluation.accuracy
        );
        losses.push(history.metric("val_loss").into_iter().enumerate().map(|(i, loss)| (i as f64 + 1.0, loss)).collect());
    }
    let series: Vec<Series<'_>> = configurations.iter().zip(&losses).map(|((name, _), points)| Series::new(name, points)).collect();
    let (title, x_label, y_label) = ("Twelve hidden layers under 1cycle", "epoch", "validation loss");
    line_chart(
        folder.join("13_configurations.png"),
        &LineChart { title, x_label, y_label, series: &series, ..LineChart::default() },
    )?;
    Ok(())
}
