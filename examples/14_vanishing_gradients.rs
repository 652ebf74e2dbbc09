//! Why did deep networks not train? The gradient of each layer, measured by a callback while training.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::{Dataset, synthetic};
use selvedge::exec::{Batch, Clipping, Inputs, Targets};
use selvedge::kernels::gather::Scaling;
use selvedge::model::{
    Activation, BatchNormalization, Callback, Compile, Dense, Epoch, Fit, Flatten, Initializer, ModelError, ProgressBar, Run,
    Sequential, Session, Sgd,
};
use selvedge::pictures::{LineChart, Scale, Series, line_chart};
use std::path::PathBuf;

const LAYERS: usize = 20;

/// The norm of the gradient of each kernel on the first rows: before training, and after each epoch.
struct GradientNorms<'a> {
    data: &'a Dataset,
    order: Vec<u32>,
    labels: Vec<u32>,
    norms: Vec<Vec<f64>>,
}

impl<'a> GradientNorms<'a> {
    fn new(data: &'a Dataset, rows: usize) -> Self {
        let labels = data.labels()[..rows].iter().map(|&label| label.into()).collect();
        Self { data, order: (0..rows as u32).collect(), labels, norms: Vec::new() }
    }

    fn measure(&mut self, session: &mut Session<'_>) {
        let inputs = [Inputs::Bytes { rows: self.data.pixels(), order: &self.order, scaling: Scaling::UNIT }];
        let targets = [Targets::Labels(&self.labels)];
        let batch = Batch { inputs: &inputs, targets: &targets, weights: None };
        let gradients = session.gradients(&batch);
        let kernels = gradients.filter(|(name, _)| name.ends_with("/kernel"));
        let norm = kernels.map(|(_, g)| (0..g.rows()).flat_map(|i| g.row(i)).map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt());
        self.norms.push(norm.collect());
    }
}

impl Callback for GradientNorms<'_> {
    fn on_train_begin(&mut self, _: Run, session: &mut Session<'_>) -> Result<(), ModelError> {
        self.measure(session);
        Ok(())
    }

    fn on_epoch_end(&mut self, _: usize, _: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        self.measure(session);
        Ok(())
    }
}

/// Twenty hidden layers and an output.
fn deep(activation: Activation, initializer: Initializer, normalized: bool) -> Sequential {
    let mut network = Sequential::new(&[28, 28]).add(Flatten);
    for _ in 0..LAYERS {
        network = network.add(Dense::new(40).kernel_initializer(initializer));
        if normalized {
            network = network.add(BatchNormalization::default());
        }
        network = network.add(activation);
    }
    network.add(Dense::new(10).activation(Activation::Softmax))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let training = synthetic::garments(1000, 14);

    // He's standard deviation for 40 inputs is 0.22. A third more in each of twenty layers is 350 times as much in all.
    let wide = Initializer::Normal { mean: 0.0, standard_deviation: 0.3 };
    let elu = Activation::Elu { alpha: 1.0 };
    let cases = [
        ("sigmoid, Glorot", deep(Activation::Sigmoid, Initializer::GlorotUniform, false), Clipping::None),
        ("ReLU, Glorot", deep(Activation::Relu, Initializer::GlorotUniform, false), Clipping::None),
        ("ReLU, He", deep(Activation::Relu, Initializer::HeNormal, false), Clipping::None),
        ("ELU, He, batch norm", deep(elu, Initializer::HeNormal, true), Clipping::None),
        ("ReLU, too large", deep(Activation::Relu, wide, false), Clipping::None),
        ("ReLU, too large, clipped", deep(Activation::Relu, wide, false), Clipping::GlobalNorm(1.0)),
    ];
    let mut measured = Vec::new();
    println!("{:<25} {:>12} {:>12} {:>14} {:>14}", "gradient norms", "first layer", "last layer", "loss, epoch 1", "loss, epoch 8");
    for (name, network, clipping) in cases {
        let mut model = network.compile(Compile::new(Sgd { learning_rate: 0.03, ..Sgd::default() }).clipping(clipping).seed(14))?;
        let mut norms = GradientNorms::new(&training, 32);
        let history = model.fit(&training, &Fit::new().epochs(8), &mut [&mut norms, &mut ProgressBar::new().transient()])?;
        let losses = history.metric("loss");
        let start = &norms.norms[0];
        println!("{name:<25} {:12.1e} {:12.1e} {:14.4} {:14.4}", start[0], start[LAYERS], losses[0], losses[7]);
        measured.push((name, norms.norms));
    }

    let points: Vec<Vec<(f64, f64)>> = (measured[..5].iter())
        .map(|(_, norms)| norms[0].iter().enumerate().map(|(layer, &norm)| (layer as f64 + 1.0, norm)).collect())
        .collect();
    let series: Vec<Series<'_>> = measured.iter().zip(&points).map(|((name, _), points)| Series::new(name, points)).collect();
    let (title, x_label, y_label) =
        ("Gradients by layer before training: vanishing, exploding, and right", "layer", "norm of the gradient");
    let chart = LineChart { title, x_label, y_label, series: &series, y_scale: Scale::Log, ..LineChart::default() };
    line_chart(folder.join("14_by_layer.png"), &chart)?;

    let by_epoch = |case: usize, layer: usize| -> Vec<(f64, f64)> {
        measured[case].1.iter().enumerate().map(|(epoch, norms)| (epoch as f64, norms[layer])).collect()
    };
    let points = [by_epoch(0, 0), by_epoch(0, LAYERS), by_epoch(3, 0), by_epoch(3, LAYERS)];
    let names =
        ["sigmoid, first layer", "sigmoid, last layer", "ELU and batch norm, first layer", "ELU and batch norm, last layer"];
    let series: Vec<Series<'_>> = names.iter().zip(&points).map(|(name, points)| Series::new(name, points)).collect();
    let (title, x_label) = ("Gradients while training", "epoch");
    let chart = LineChart { title, x_label, y_label, series: &series, y_scale: Scale::Log, ..LineChart::default() };
    line_chart(folder.join("14_by_epoch.png"), &chart)?;
    Ok(())
}
