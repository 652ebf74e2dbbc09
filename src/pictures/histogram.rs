//! How are values distributed?

use super::axes::{Axis, Key, Mark, Panel, Scale};
use super::canvas::{Area, Canvas, Pen};
use super::error::{PictureError, check_at_least};
use super::palette;
use std::path::Path;
use tiny_skia::PathBuilder;

/// A named set of values.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistogramSet<'a> {
    /// The name in the key of the chart.
    pub name: &'a str,
    /// The values, in any order. What is NaN, infinite or out of range is in no bin; the key says how many such values there were.
    pub values: &'a [f32],
}

/// What [`histogram`] draws. Start from `Histogram::default()`: 40 bins over all finite values.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a> {
    /// The line of text above the chart.
    pub title: &'a str,
    /// The name of the horizontal axis, with its unit.
    pub x_label: &'a str,
    /// The sets of values, drawn over one another; at least one.
    pub sets: &'a [HistogramSet<'a>],
    /// The number of bins, all of one width.
    pub bins: usize,
    /// The lower end of the first bin and the upper end of the last one, which belongs to it; by default the smallest and the largest value.
    pub range: Option<(f64, f64)>,
}

impl Default for Histogram<'_> {
    fn default() -> Self {
        Self { title: "", x_label: "", sets: &[], bins: 40, range: None }
    }
}

/// Draws the share of the values of each set that falls into each bin, 900 × 600 pixels.
///
/// The height of a bin is its share of all values of its set (those outside the range included), so that sets of different sizes compare.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: no set, a set without values, or no bin.
/// - [`PictureError::NothingToShow`]: no finite value in range.
/// - [`PictureError::Range`]: a range that is not `lower < upper` and finite.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn histogram(path: impl AsRef<Path>, chart: &Histogram<'_>) -> Result<(), PictureError> {
    check_at_least("sets of values", 1, chart.sets.len())?;
    check_at_least("bins", 1, chart.bins)?;
    for (i, set) in chart.sets.iter().enumerate() {
        check_at_least(&format!("values of set {i} (`{}`)", set.name), 1, set.values.len())?;
    }
    let x = match chart.range {
        Some(range) => Axis::over("range of the values", Scale::Linear, range)?,
        None => {
            let values = chart.sets.iter().flat_map(|set| set.values).map(|&value| f64::from(value));
            Axis::around("values", Scale::Linear, values, 0.0)?
        }
    };
    let counted: Vec<(Vec<f64>, usize)> = chart.sets.iter().map(|set| shares(set.values, chart.bins, &x)).collect();
    let highest = counted.iter().flat_map(|(shares, _)| shares).copied().fold(0.0, f64::max);
    if highest == 0.0 {
        return Err(PictureError::NothingToShow { what: "values in the range of the histogram".into() });
    }
    let y = Axis::over("shares", Scale::Linear, (0.0, 1.05 * highest))?;

    // One set needs no strong outline; of several each must be seen through the others.
    let opacity = if chart.sets.len() == 1 { 0.75 } else { 0.18 };
    let pens: Vec<Pen> = (0..chart.sets.len())
        .map(|i| {
            let (colour, dashes) = palette::series(i);
            Pen { colour, width: 1.8, dashes }
        })
        .collect();
    let keys: Vec<Key> = chart
        .sets
        .iter()
        .zip(&counted)
        .zip(&pens)
        .map(|((set, (_, outside)), pen)| {
            let name = match (set.name, outside) {
                (name, 0) => name.to_string(),
                (name, outside) => format!("{name} ({outside} not shown)").trim_start().to_string(),
            };
            Key { name, mark: Mark::Patch(pen.colour, opacity) }
        })
        .collect();

    let mut canvas = Canvas::new(900, 600)?;
    let area = Area { left: 0.0, top: 0.0, right: 900.0, bottom: 600.0 };
    let &Histogram { title, x_label, .. } = chart;
    let frame = Panel { area, title, x_label, y_label: "share of the values", x, y, keys: &keys, grid: true, names: None }
        .draw(&mut canvas);
    for ((shares, _), pen) in counted.iter().zip(&pens) {
        let steps = || {
            let (mut path, height) = (PathBuilder::new(), frame.area.height());
            path.move_to(frame.area.left, frame.area.bottom);
            for (bin, share) in shares.iter().enumerate() {
                let edge = |bin: usize| frame.area.left + frame.area.width() * bin as f32 / shares.len() as f32;
                let top = frame.area.bottom - y.share(*share).unwrap_or(0.0) as f32 * height;
                path.line_to(edge(bin), top);
                path.line_to(edge(bin + 1), top);
            }
            path.line_to(frame.area.right, frame.area.bottom);
            path
        };
        canvas.fill(steps(), pen.colour, opacity);
        canvas.stroke(steps(), *pen);
    }
    frame.border(&mut canvas);
    canvas.save(path.as_ref())
}

/// The share of the values in each bin, and how many values are in none.
fn shares(values: &[f32], bins: usize, x: &Axis) -> (Vec<f64>, usize) {
    let mut counts = vec![0usize; bins];
    let mut outside = 0;
    for &value in values {
        match x.share(f64::from(value)) {
            Some(share) if (0.0..=1.0).contains(&share) => counts[((share * bins as f64) as usize).min(bins - 1)] += 1,
            _ => outside += 1,
        }
    }
    (counts.into_iter().map(|count| count as f64 / values.len() as f64).collect(), outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bin_or_reported() {
        let x = Axis::over("values", Scale::Linear, (0.0, 4.0)).expect("a good range");
        let values = [0.0, 0.5, 1.0, 3.999, 4.0, 4.001, -0.001, f32::NAN, f32::INFINITY, 2.0];
        assert_eq!(shares(&values, 4, &x), (vec![0.2, 0.1, 0.1, 0.2], 4));
    }
}
