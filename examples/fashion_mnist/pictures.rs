//! What came of training, as pictures.

use selvedge::data::Dataset;
use selvedge::data::fashion_mnist::CLASS_NAMES;
use selvedge::model::{ConfusionMatrix, Evaluation, History, Predictions};
use selvedge::pictures::{LearningCurves, PictureError, SheetImage, confusion_matrix, image_sheet, learning_curves};
use std::fs;
use std::path::Path;

/// Garments on the sheet of mistakes.
const MISTAKES: usize = 40;
const MISTAKES_PER_ROW: usize = 8;

/// Loss and accuracy per epoch. Returns whether there is anything to draw: a network whose loss was never a number has no picture.
pub(crate) fn draw_learning_curves(path: &Path, history: &History) -> Result<bool, PictureError> {
    let training =
        |figure: fn(Evaluation) -> f64| -> Vec<f64> { history.epochs.iter().map(|epoch| figure(epoch.training)).collect() };
    let validation = |figure: fn(Evaluation) -> f64| -> Vec<f64> {
        history.epochs.iter().filter_map(|epoch| epoch.validation).map(figure).collect()
    };
    let drawn = learning_curves(
        path,
        &LearningCurves {
            training_loss: &training(|x| x.loss),
            validation_loss: &validation(|x| x.loss),
            training_accuracy: &training(|x| x.accuracy),
            validation_accuracy: &validation(|x| x.accuracy),
        },
    );
    match drawn {
        Err(PictureError::NothingToShow { .. }) => {
            forget(path);
            Ok(false)
        }
        _ => drawn.map(|()| true),
    }
}

/// Removes a picture of an earlier run, which would be taken for this run's. It need not exist.
fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

/// How often each garment was taken for each.
pub(crate) fn draw_confusion_matrix(path: &Path, matrix: &ConfusionMatrix) -> Result<(), PictureError> {
    confusion_matrix(path, matrix.counts(), matrix.classes(), &CLASS_NAMES)
}

/// The mistakes of which the model was surest, with what it said and what is true. Returns the number of garments drawn; if there is none,
/// there is no picture either.
pub(crate) fn draw_mistakes(path: &Path, test: &Dataset, predictions: &Predictions) -> Result<usize, PictureError> {
    let probabilities = predictions.matrix();
    let mut mistakes: Vec<(f32, usize, usize)> = (predictions.classes().into_iter().enumerate())
        .map(|(row, class)| (probabilities.row(row)[class as usize], row, class as usize))
        .filter(|&(_, row, class)| class != usize::from(test.label(row)))
        .collect();
    mistakes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let images: Vec<SheetImage<'_>> = (mistakes.into_iter().take(MISTAKES))
        .map(|(probability, row, class)| SheetImage {
            pixels: test.row(row),
            width: test.shape()[1],
            height: test.shape()[0],
            caption: format!(
                "{} {:.0} %\ntrue: {}",
                CLASS_NAMES[class],
                100.0 * probability,
                CLASS_NAMES[usize::from(test.label(row))]
            ),
        })
        .collect();
    if images.is_empty() {
        forget(path);
        return Ok(0);
    }
    image_sheet(path, &images, MISTAKES_PER_ROW)?;
    Ok(images.len())
}
