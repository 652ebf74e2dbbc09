//! Does batch normalization help, and where does it go? Ten layers at a high learning rate: without it, and with it before or after
//! the activation.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::{ValidationSplit, synthetic};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::model::{Activation, BatchNormalization, Compile, Dense, Fit, Flatten, Initializer, ProgressBar, Sequential, Sgd};
use selvedge::pictures::{LineChart, Scale, Series, line_chart};
use std::path::PathBuf;

/// Where the normalizations are.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    Before,
    After,
}

fn network(place: Place) -> Sequential {
    let mut network = Sequential::new(&[28, 28]).add(Flatten);
    if !matches!(place, Place::Nowhere) {
        // As the first layer it standardizes the pixels.
        network = network.add(BatchNormalization::default());
    }
    for units in [50; 10] {
        let dense = Dense::new(units).kernel_initializer(Initializer::HeNormal);
        let elu = Activation::Elu { alpha: 1.0 };
        network = match place {
            Place::Nowhere => network.add(dense.activation(elu)),
            // The normalization has an offset of its own, so a bias in front of it would be useless.
            Place::Before => network.add(dense.use_bias(false)).add(BatchNormalization::default()).add(elu),
            Place::After => network.add(dense.activation(elu)).add(BatchNormalization::default()),
        };
    }
    network.add(Dense::new(10).activation(Activation::Softmax))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (training, validation) = synthetic::garments(2500, 10).split(ValidationSplit::Tail(0.2))?;

    let mut curves = Vec::new();
    for (name, place) in
        [("none", Place::Nowhere), ("before the activation", Place::Before), ("after the activation", Place::After)]
    {
        let mut model = network(place).compile(Compile::new(Sgd { learning_rate: 0.1, ..Sgd::default() }).seed(10))?;
        let fit = Fit::new().epochs(12).validation_data(&validation);
        let history = model.fit(&training, &fit, &mut [&mut ProgressBar::new().transient()])?;
        let evaluation = model.evaluate(&validation)?;
        println!("{name:<22} validation loss {:.4}, accuracy {:.4}", evaluation.loss, evaluation.accuracy);
        curves.push((name, history.metric("loss"), history.metric("val_loss")));

        if let Place::Before = place {
            println!("{}", model.summary());
            // For inference a normalization is a multiplication and an addition, which go into the weights before it.
            let mut rows = vec![0.0; 500 * 784];
            rows.iter_mut().zip(validation.pixels()).for_each(|(x, &pixel)| *x = f32::from(pixel) / 255.0);
            let frozen = model.freeze(500)?;
            let mut folded = vec![0.0; 500 * 10];
            frozen.predict(
                &[MatRef::new(&rows, 500, 784, 784)],
                &mut frozen.scratch(),
                &mut [MatMut::new(&mut folded, 500, 10, 10)],
            );
            let predictions = model.predict(&validation)?;
            let difference = (0..500)
                .flat_map(|i| predictions.matrix().row(i).iter().zip(&folded[10 * i..]))
                .fold(0.0, |largest: f32, (a, b)| largest.max((a - b).abs()));
            println!("folded into the weights, probabilities differ by at most {difference:.1e}");
        }
    }

    for (file, title, values) in [
        ("10_training_loss.png", "Training loss by place of batch normalization", 0),
        ("10_validation_loss.png", "Validation loss by place of batch normalization", 1),
    ] {
        let points: Vec<Vec<(f64, f64)>> = (curves.iter())
            .map(|(_, training, validation)| {
                let losses = if values == 0 { training } else { validation };
                losses.iter().enumerate().map(|(epoch, &loss)| (epoch as f64 + 1.0, loss)).collect()
            })
            .collect();
        let series: Vec<Series<'_>> = curves.iter().zip(&points).map(|((name, ..), points)| Series::new(name, points)).collect();
        let (x_label, y_label, y_scale) = ("epoch", "loss", Scale::Log);
        line_chart(folder.join(file), &LineChart { title, x_label, y_label, series: &series, y_scale, ..LineChart::default() })?;
    }
    Ok(())
}
