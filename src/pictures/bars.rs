//! How do named things compare?

use super::axes::{Axis, Key, Mark, Panel, Scale, minus};
use super::canvas::{Align, Area, Canvas, Pen, SMALL};
use super::error::{PictureError, check_at_least, check_length};
use super::palette::{self, INK};
use std::path::Path;

/// One value per name: the bars of one colour.
#[derive(Clone, Copy, Debug, Default)]
pub struct BarGroup<'a> {
    /// The name in the key of the chart; an empty name is left out of the key.
    pub name: &'a str,
    /// One value for each name of the chart. A value that is not finite has no bar; it is written instead.
    pub values: &'a [f64],
}

/// What [`bar_chart`] draws.
#[derive(Clone, Copy, Debug, Default)]
pub struct BarChart<'a> {
    /// The line of text above the chart.
    pub title: &'a str,
    /// The name of the axis along which the bars grow, with its unit.
    pub value_label: &'a str,
    /// The names, from the top to the bottom.
    pub names: &'a [&'a str],
    /// The values, at least one group.
    pub groups: &'a [BarGroup<'a>],
    /// Digits after the point of the values written at the bars.
    pub digits: usize,
}

/// Draws bars that grow from zero to the right (negative values to the left), each with its value; names stand at the left.
///
/// Bars lie, so that long names stay readable. The picture is 900 pixels wide and grows in height with the number of bars.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: no name or no group.
/// - [`PictureError::Length`]: a group that has not one value for each name.
/// - [`PictureError::NothingToShow`]: no finite value.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn bar_chart(path: impl AsRef<Path>, chart: &BarChart<'_>) -> Result<(), PictureError> {
    check_at_least("names", 1, chart.names.len())?;
    check_at_least("groups of bars", 1, chart.groups.len())?;
    for (i, group) in chart.groups.iter().enumerate() {
        check_length(&format!("values of group {i} (`{}`)", group.name), chart.names.len(), group.values.len())?;
    }
    let values = || chart.groups.iter().flat_map(|group| group.values).copied().filter(|value| value.is_finite());
    if values().next().is_none() {
        return Err(PictureError::NothingToShow { what: "values of the bars".into() });
    }

    let ruler = Canvas::new(1, 1)?;
    let write = |value: f64| minus(format!("{value:.*}", chart.digits));
    let widest_value = values().map(|value| ruler.text_width(&write(value), SMALL)).fold(0.0, f32::max);
    let names: Vec<String> = chart.names.iter().map(|name| ruler.fit(name, SMALL, 260.0)).collect();
    let names_width = names.iter().map(|name| ruler.text_width(name, SMALL)).fold(0.0, f32::max);

    let bar = if chart.groups.len() == 1 { 24.0 } else { 20.0 };
    let row = bar * chart.groups.len() as f32 + 14.0;
    let height = 150.0 + row * names.len() as f32 + 24.0 * (chart.groups.len() as f32 / 4.0).ceil();
    let mut canvas = Canvas::new(900, height.ceil() as u64)?;

    // Room for the written values beyond the longest bars.
    let (low, high) = values().fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    let room = f64::from((widest_value + 14.0) / (860.0 - names_width)).min(0.3) * (high - low) * 1.25;
    let low = if low < 0.0 { low - room } else { 0.0 };
    let high = if high > 0.0 || low == 0.0 { high + room } else { 0.0 };
    let x = if low == high {
        Axis::over("values", Scale::Linear, (0.0, 1.0))?
    } else {
        Axis::over("values", Scale::Linear, (low, high))?
    };
    let y = Axis::over("names", Scale::Linear, (0.0, names.len() as f64))?;
    let colours: Vec<[u8; 3]> = (0..chart.groups.len()).map(|i| palette::series(i).0).collect();
    let keys: Vec<Key> = chart
        .groups
        .iter()
        .zip(&colours)
        .map(|(group, &colour)| Key { name: group.name.into(), mark: Mark::Patch(colour, 0.9) })
        .collect();
    let area = Area { left: 0.0, top: 0.0, right: 900.0, bottom: height };
    let (title, x_label, names_room) = (chart.title, chart.value_label, Some(names_width));
    let frame = Panel { area, title, x_label, y_label: "", x, y, keys: &keys, grid: true, names: names_room }.draw(&mut canvas);

    let zero = frame.area.left + x.share(0.0).unwrap_or(0.0) as f32 * frame.area.width();
    let row = frame.area.height() / names.len() as f32;
    let bar = (row - 14.0) / chart.groups.len() as f32;
    for (i, name) in names.iter().enumerate() {
        let top = frame.area.top + row * i as f32;
        canvas.text(frame.area.left - 10.0, top + 0.5 * row, name, SMALL, INK, Align::End);
        for (g, (group, &colour)) in chart.groups.iter().zip(&colours).enumerate() {
            let (top, value) = (top + 7.0 + bar * g as f32, group.values[i]);
            let text = write(value);
            let share = x.share(value);
            let end = share.map_or(zero, |share| frame.area.left + share as f32 * frame.area.width());
            let area = Area { left: zero.min(end), top: top + 1.0, right: zero.max(end), bottom: top + bar - 1.0 };
            canvas.rectangle(area, colour, 0.9);
            let (at, align) = if value < 0.0 && value.is_finite() { (end - 6.0, Align::End) } else { (end + 6.0, Align::Start) };
            canvas.text(at, top + 0.5 * bar, &text, SMALL, INK, align);
        }
    }
    canvas.line((zero, frame.area.top), (zero, frame.area.bottom), Pen { colour: INK, width: 1.0, dashes: 0 });
    frame.border(&mut canvas);
    canvas.save(path.as_ref())
}
