//! Charts as PNG files, from plain slices.
//!
//! | function | what it draws |
//! |---|---|
//! | [`line_chart`] | series of points joined by lines, linear or logarithmic axes |
//! | [`learning_curves`] | loss and accuracy per epoch, side by side |
//! | [`confusion_matrix`] | counts per true and predicted class, coloured by the share of the row |
//! | [`image_sheet`] | small grey images, enlarged, with a caption under each |
//! | [`bar_chart`] | one bar per name, or a group of bars per name |
//! | [`histogram`] | how values are distributed, one or several sets |
//! | [`decision_boundary`] | what a classifier of two inputs answers over the plane, with the points it was given |
//! | [`contour_map`] | a function of two variables as colour and contour lines, with the paths of descents over it |
//!
//! Every function checks its input first, draws in memory, writes to a temporary name in the same folder and renames, so that `path` holds
//! the old picture or the whole new one. The folder must exist. The file is a PNG file whatever the extension of its name.
//!
//! The colours are those of Okabe and Ito (*Color Universal Design*, 2008), which colour-blind readers can tell apart; more than seven series
//! also differ by dashes, and the points of classes by shape. Text is set in Noto Sans, which has Latin, Greek and Cyrillic letters.
//! Drawing is left to `tiny-skia` and the outlines of letters to `ttf-parser`: both are pure Rust.
//!
//! ```
//! use selvedge::pictures::{LineChart, Scale, Series, line_chart};
//!
//! # fn main() -> Result<(), selvedge::pictures::PictureError> {
//! let loss: Vec<(f64, f64)> = (1..=20).map(|epoch| (f64::from(epoch), 1.0 / f64::from(epoch))).collect();
//! let path = std::env::temp_dir().join("selvedge-loss.png");
//! line_chart(
//!     &path,
//!     &LineChart {
//!         title: "Training",
//!         x_label: "epoch",
//!         y_label: "loss",
//!         series: &[Series::new("SGD", &loss)],
//!         y_scale: Scale::Log,
//!         ..LineChart::default()
//!     },
//! )?;
//! # let _ = std::fs::remove_file(path);
//! # Ok(())
//! # }
//! ```

mod axes;
mod bars;
mod canvas;
mod confusion_matrix;
mod error;
mod field;
mod histogram;
mod image_sheet;
mod line_chart;
mod palette;
#[cfg(test)]
mod tests;

pub use axes::Scale;
pub use bars::{BarChart, BarGroup, bar_chart};
pub use confusion_matrix::confusion_matrix;
pub use error::PictureError;
pub use field::{ContourMap, DecisionBoundary, Grid, Regions, contour_map, decision_boundary};
pub use histogram::{Histogram, HistogramSet, histogram};
pub use image_sheet::{SheetImage, image_sheet};
pub use line_chart::{LearningCurves, LineChart, Series, SeriesStyle, learning_curves, line_chart};
