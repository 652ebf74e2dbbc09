//! Which classes are taken for which?

use super::canvas::{Align, Area, Canvas, LABEL, Pen, SMALL, TITLE};
use super::error::{PictureError, check_at_least, check_length};
use super::palette::{self, GRID, INK, MISSING, WHITE};
use std::path::Path;

/// Draws how often each true class (row) was predicted as each class (column).
///
/// `counts[truth * classes + predicted]` is written in the cells; the colour of a cell is its share of the row, so that rare classes are as
/// visible as frequent ones. The share of every row on the diagonal (the recall) stands at its right, the share of all (the accuracy) in the
/// title. The picture grows with the number of classes, about 56 pixels each.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: no class.
/// - [`PictureError::Length`]: not `classes * classes` counts, or not `classes` names.
/// - [`PictureError::TooLarge`]: several hundred classes.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn confusion_matrix(path: impl AsRef<Path>, counts: &[u64], classes: usize, names: &[&str]) -> Result<(), PictureError> {
    check_at_least("classes", 1, classes)?;
    check_length("names of the classes", classes, names.len())?;
    // A product that overflows cannot be the length of a slice.
    check_length("counts", classes.saturating_mul(classes), counts.len())?;

    let ruler = Canvas::new(1, 1)?;
    let names: Vec<String> = names.iter().map(|name| ruler.fit(name, SMALL, 200.0)).collect();
    let longest_name = names.iter().map(|name| ruler.text_width(name, SMALL)).fold(0.0, f32::max).ceil();
    let longest_count = counts.iter().max().map_or(0.0, |count| ruler.text_width(&count.to_string(), SMALL));
    let cell = (longest_count + 16.0).ceil().max(56.0);
    let upright = longest_name > cell - 6.0;

    let left = 52.0 + longest_name + 10.0;
    let top = 88.0;
    let side = cell * classes as f32;
    let below = if upright { longest_name + 16.0 } else { 28.0 };
    let title = title(counts, classes);
    let width = (left + side + 84.0).max(ruler.text_width(&title, TITLE) + 40.0);
    let height = top + side + below + 44.0;
    let mut canvas = Canvas::new(width.ceil() as u64, height.ceil() as u64)?;

    canvas.text(0.5 * width, 28.0, &title, TITLE, INK, Align::Middle);
    canvas.text(left + 0.5 * side, 60.0, "colour: share of the row", SMALL, palette::mix(INK, WHITE, 0.35), Align::Middle);
    canvas.text(left + side + 12.0, top - 14.0, "recall", SMALL, INK, Align::Start);
    for (truth, row) in counts.chunks_exact(classes).enumerate() {
        let total: u128 = row.iter().map(|&count| u128::from(count)).sum();
        let y = top + cell * truth as f32;
        canvas.text(left - 10.0, y + 0.5 * cell, &names[truth], SMALL, INK, Align::End);
        for (predicted, &count) in row.iter().enumerate() {
            let share = if total == 0 { 0.0 } else { count as f64 / total as f64 };
            let x = left + cell * predicted as f32;
            let area = Area { left: x, top: y, right: x + cell, bottom: y + cell };
            canvas.rectangle(area, palette::blues(share), 1.0);
            let ink = match (count, share > 0.5) {
                (0, _) => MISSING,
                (_, true) => WHITE,
                (_, false) => INK,
            };
            canvas.text(x + 0.5 * cell, y + 0.5 * cell, &count.to_string(), SMALL, ink, Align::Middle);
        }
        let recall = if total == 0 { "–".to_string() } else { percent(u128::from(row[truth]), total) };
        canvas.text(left + side + 12.0, y + 0.5 * cell, &recall, SMALL, INK, Align::Start);
    }
    for (i, name) in names.iter().enumerate() {
        let middle = left + cell * (i as f32 + 0.5);
        if upright {
            canvas.text_upwards(middle, top + side + 10.0, name, SMALL, INK, Align::End);
        } else {
            canvas.text(middle, top + side + 16.0, name, SMALL, INK, Align::Middle);
        }
    }
    let thin = Pen { colour: GRID, width: 1.0, dashes: 0 };
    for i in 1..classes {
        let at = cell * i as f32 + 0.5;
        canvas.line((left + at, top), (left + at, top + side), thin);
        canvas.line((left, top + at), (left + side, top + at), thin);
    }
    let frame = Area { left: left + 0.5, top: top + 0.5, right: left + side + 0.5, bottom: top + side + 0.5 };
    canvas.outline(frame, Pen { colour: INK, width: 1.0, dashes: 0 });
    canvas.text(left + 0.5 * side, height - 24.0, "predicted class", LABEL, INK, Align::Middle);
    canvas.text_upwards(28.0, top + 0.5 * side, "true class", LABEL, INK, Align::Middle);
    canvas.save(path.as_ref())
}

fn title(counts: &[u64], classes: usize) -> String {
    let total: u128 = counts.iter().map(|&count| u128::from(count)).sum();
    let right: u128 = counts.iter().step_by(classes + 1).map(|&count| u128::from(count)).sum();
    if total == 0 { "Nothing was counted".into() } else { format!("{right} of {total} right: {}", percent(right, total)) }
}

fn percent(part: u128, total: u128) -> String {
    format!("{:.1} %", 100.0 * part as f64 / total as f64)
}
