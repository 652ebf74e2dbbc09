//! How does something change? Series of points over two axes, and the learning curves of a training run.

use super::axes::{Axis, Key, Mark, Panel, Scale, point};
use super::canvas::{Area, Canvas, Pen};
use super::error::{PictureError, check_at_least, check_length};
use super::palette;
use std::path::Path;

/// A named series of points, drawn in the order in which they are given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Series<'a> {
    /// The name in the key of the chart; an empty name is left out of the key.
    pub name: &'a str,
    /// The points as (x, y). A point that cannot be shown (NaN, infinite, or not positive on a logarithmic axis) is a gap in the line.
    pub points: &'a [(f64, f64)],
    /// How the points are joined; a line by default.
    pub style: SeriesStyle,
}

impl<'a> Series<'a> {
    /// A series drawn as a line.
    pub fn new(name: &'a str, points: &'a [(f64, f64)]) -> Self {
        Self { name, points, style: SeriesStyle::Line }
    }
}

/// How the points of a series are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeriesStyle {
    /// By a solid line; every eighth series and beyond, whose colour is used again, by a dashed one.
    #[default]
    Line,
    /// By a dashed line.
    Dashed,
    /// Not at all: a mark at every point.
    Points,
}

/// What [`line_chart`] draws. Start from `LineChart::default()`: no text, no series, linear axes over all points.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineChart<'a> {
    /// The line of text above the chart.
    pub title: &'a str,
    /// The name of the horizontal axis, with its unit.
    pub x_label: &'a str,
    /// The name of the vertical axis, with its unit.
    pub y_label: &'a str,
    /// The series, at least one, each with at least one point.
    pub series: &'a [Series<'a>],
    /// The ends of the horizontal axis; by default the smallest and the largest x. Lines are cut at the frame.
    pub x_range: Option<(f64, f64)>,
    /// The ends of the vertical axis; by default the smallest and the largest y with a margin. Lines are cut at the frame.
    pub y_range: Option<(f64, f64)>,
    /// Linear by default.
    pub x_scale: Scale,
    /// Linear by default.
    pub y_scale: Scale,
}

/// Up to this many points of a line also get a mark: the reader sees where the line was measured.
const MARKED: usize = 30;

/// Draws series of points as lines over two axes, 900 × 600 pixels, with a grid and a key.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: no series, or a series without points.
/// - [`PictureError::NothingToShow`]: no point of any series can be shown. (Points outside a given range are left out without an error.)
/// - [`PictureError::Range`]: a range that is not `lower < upper`, finite, and positive on a logarithmic axis.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn line_chart(path: impl AsRef<Path>, chart: &LineChart<'_>) -> Result<(), PictureError> {
    let mut canvas = Canvas::new(900, 600)?;
    draw(&mut canvas, Area { left: 0.0, top: 0.0, right: 900.0, bottom: 600.0 }, chart, false)?;
    canvas.save(path.as_ref())
}

/// The measurements of a training run, one per epoch, the first epoch first.
///
/// A measurement that was not made in some epoch is NaN; one that was never made is an empty slice.
#[derive(Clone, Copy, Debug, Default)]
pub struct LearningCurves<'a> {
    /// The loss on the training data: the only one that must not be empty, and whose length is the number of epochs.
    pub training_loss: &'a [f64],
    /// The loss on the validation data.
    pub validation_loss: &'a [f64],
    /// The share of training rows classified right, 0 to 1.
    pub training_accuracy: &'a [f64],
    /// The share of validation rows classified right, 0 to 1.
    pub validation_accuracy: &'a [f64],
}

/// Draws the loss and, beside it, the accuracy per epoch, 1200 × 520 pixels; epochs are counted from 1.
///
/// Training is solid and blue, validation dashed and orange. Without any accuracy there is only the panel of the loss, 900 × 520 pixels.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: no training loss.
/// - [`PictureError::Length`]: another slice that is neither empty nor as long as the training loss.
/// - [`PictureError::NothingToShow`]: a panel without any finite value.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn learning_curves(path: impl AsRef<Path>, curves: &LearningCurves<'_>) -> Result<(), PictureError> {
    let epochs = curves.training_loss.len();
    check_at_least("training loss", 1, epochs)?;
    for (what, values) in [
        ("validation loss", curves.validation_loss),
        ("training accuracy", curves.training_accuracy),
        ("validation accuracy", curves.validation_accuracy),
    ] {
        if !values.is_empty() {
            check_length(what, epochs, values.len())?;
        }
    }
    let panels: Vec<(&str, &[f64], &[f64])> = [
        ("loss", curves.training_loss, curves.validation_loss),
        ("accuracy", curves.training_accuracy, curves.validation_accuracy),
    ]
    .into_iter()
    .filter(|(_, training, validation)| !(training.is_empty() && validation.is_empty()))
    .collect();

    let width: u16 = if panels.len() == 1 { 900 } else { 1200 };
    let mut canvas = Canvas::new(u64::from(width), 520)?;
    let panel_width = f32::from(width) / panels.len() as f32;
    for (i, (what, training, validation)) in panels.into_iter().enumerate() {
        let left = i as f32 * panel_width;
        let area = Area { left, top: 0.0, right: left + panel_width, bottom: 520.0 };
        draw_curves(&mut canvas, area, what, training, validation)?;
    }
    canvas.save(path.as_ref())
}

fn draw_curves(canvas: &mut Canvas, area: Area, what: &str, training: &[f64], validation: &[f64]) -> Result<(), PictureError> {
    let per_epoch = |values: &[f64]| -> Vec<(f64, f64)> { values.iter().enumerate().map(|(i, &y)| ((i + 1) as f64, y)).collect() };
    let (training, validation) = (per_epoch(training), per_epoch(validation));
    let title = match what {
        "loss" => "Loss per epoch",
        _ => "Accuracy per epoch",
    };
    let all = [
        Series { name: "training", points: &training, style: SeriesStyle::Line },
        Series { name: "validation", points: &validation, style: SeriesStyle::Dashed },
    ];
    // Validation keeps its colour when it stands alone: an empty series is not drawn.
    let chart = LineChart { title, x_label: "epoch", y_label: what, series: &all, ..LineChart::default() };
    draw(canvas, area, &chart, true)
}

fn draw(canvas: &mut Canvas, area: Area, chart: &LineChart<'_>, epochs: bool) -> Result<(), PictureError> {
    check_at_least("series", 1, chart.series.len())?;
    if !epochs {
        for (i, series) in chart.series.iter().enumerate() {
            check_at_least(&format!("points of series {i} (`{}`)", series.name), 1, series.points.len())?;
        }
    }
    let shown = || {
        let points = chart.series.iter().flat_map(|series| series.points);
        points.filter(|(x, y)| chart.x_scale.project(*x).is_some() && chart.y_scale.project(*y).is_some())
    };
    if shown().next().is_none() {
        return Err(PictureError::NothingToShow { what: "points of the series".into() });
    }
    let x = match chart.x_range {
        Some(range) => Axis::over("horizontal axis", chart.x_scale, range)?,
        None => {
            // A mark on the frame would be half hidden.
            let marked = chart.series.iter().any(|series| series.style == SeriesStyle::Points || series.points.len() <= MARKED);
            let margin = if marked || epochs { 0.03 } else { 0.0 };
            Axis::around("horizontal axis", chart.x_scale, shown().map(|point| point.0), margin)?
        }
    };
    let x = if epochs { x.whole() } else { x };
    let y = match chart.y_range {
        Some(range) => Axis::over("vertical axis", chart.y_scale, range)?,
        None => Axis::around("vertical axis", chart.y_scale, shown().map(|point| point.1), 0.05)?,
    };

    let pens: Vec<Pen> = chart.series.iter().enumerate().map(|(i, series)| pen(i, series.style)).collect();
    let keys: Vec<Key> = chart
        .series
        .iter()
        .zip(&pens)
        .enumerate()
        .filter(|(_, (series, _))| !series.points.is_empty())
        .map(|(i, (series, pen))| {
            let mark = if series.style == SeriesStyle::Points { Mark::Point(i, pen.colour) } else { Mark::Line(*pen) };
            Key { name: series.name.into(), mark }
        })
        .collect();
    let &LineChart { title, x_label, y_label, .. } = chart;
    let frame = Panel { area, title, x_label, y_label, x, y, keys: &keys, grid: true, names: None }.draw(canvas);
    for (i, (series, pen)) in chart.series.iter().zip(&pens).enumerate() {
        if series.style != SeriesStyle::Points {
            frame.polyline(canvas, series.points, *pen);
        }
        if series.style == SeriesStyle::Points {
            for at in series.points.iter().filter_map(|&at| frame.place(at)) {
                point(canvas, at, 4.5, i, pen.colour);
            }
        } else if series.points.len() <= MARKED {
            for (x, y) in series.points.iter().filter_map(|&at| frame.place(at)) {
                canvas.dot(x, y, 3.6, pen.colour);
            }
        }
    }
    Ok(())
}

fn pen(i: usize, style: SeriesStyle) -> Pen {
    let (colour, times_used) = palette::series(i);
    let dashes = times_used + usize::from(style == SeriesStyle::Dashed);
    Pen { colour, width: 2.2, dashes }
}
