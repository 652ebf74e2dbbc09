//! Which garment is it? Fashion-MNIST, from import to confusion matrix.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]
use selvedge::data::{ValidationSplit, fashion_mnist};
use selvedge::model::{Activation, Compile, ConfusionMatrix, Dense, Fit, Flatten, ProgressBar, Sequential, Sgd};
use selvedge::pictures::{LearningCurves, confusion_matrix, learning_curves};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (data, source) = fashion_mnist::load_or_synthesize(None, &mut |_| ())?;
    println!("{source}");
    let (training, validation) = data.train.take(10_000).split(ValidationSplit::Tail(0.2))?;

    let network = Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dense::new(300).activation(Activation::Relu))
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10).activation(Activation::Softmax));
    println!("{}", network.summary()?);
    let mut model = network.compile(Compile::new(Sgd { learning_rate: 0.02, ..Sgd::default() }).seed(42))?;
    let fit = Fit::new().epochs(10).validation_data(&validation);
    let history = model.fit(&training, &fit, &mut [&mut ProgressBar::new()])?;

    let evaluation = model.evaluate(&data.test)?;
    println!("test: loss {:.4}, accuracy {:.4}", evaluation.loss, evaluation.accuracy);
    let predicted: Vec<usize> = model.predict(&data.test)?.classes().iter().map(|&class| class as usize).collect();
    let matrix = ConfusionMatrix::from_labels(10, data.test.labels(), &predicted)?;
    println!("{}", matrix.report_with_names(&fashion_mnist::CLASS_NAMES)?);
    confusion_matrix(folder.join("07_confusion_matrix.png"), matrix.counts(), 10, &fashion_mnist::CLASS_NAMES)?;
    let curves = LearningCurves {
        training_loss: &history.metric("loss"),
        validation_loss: &history.metric("val_loss"),
        training_accuracy: &history.metric("accuracy"),
        validation_accuracy: &history.metric("val_accuracy"),
    };
    Ok(learning_curves(folder.join("07_learning_curves.png"), &curves)?)
}
