//! What do these images look like? Many small grey images on one sheet.

use super::canvas::{Align, Area, Canvas, Pen, SMALL};
use super::error::{PictureError, check_at_least, check_length};
use super::palette::{GRID, INK};
use std::path::Path;

/// One grey image and the text below it.
#[derive(Clone, Debug, Default)]
pub struct SheetImage<'a> {
    /// The image row by row from the top, 0 black to 255 white.
    pub pixels: &'a [u8],
    /// Pixels per row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Any number of lines, separated by `\n`; a line wider than twice the image is cut with an ellipsis.
    pub caption: String,
}

/// Images are enlarged by the smallest whole factor that brings the longer side of the largest image to this many pixels.
const ENLARGED: usize = 112;
const GAP: usize = 14;
const LINE: usize = 20;

/// Draws images in rows of `columns`, left to right, each with its caption below.
///
/// All are enlarged by the same whole factor, every pixel to a square, so that the reader sees the very pixels that the network saw:
/// 28 × 28 pixels become 112 × 112.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: no image, no column, or an image without pixels.
/// - [`PictureError::Length`]: an image without exactly `width * height` pixels.
/// - [`PictureError::TooLarge`]: more images than fit into a picture.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn image_sheet(path: impl AsRef<Path>, images: &[SheetImage<'_>], columns: usize) -> Result<(), PictureError> {
    check_at_least("images", 1, images.len())?;
    check_at_least("columns", 1, columns)?;
    for (i, image) in images.iter().enumerate() {
        check_at_least(&format!("width of image {i}"), 1, image.width)?;
        check_at_least(&format!("height of image {i}"), 1, image.height)?;
        check_length(&format!("pixels of image {i}"), image.width.saturating_mul(image.height), image.pixels.len())?;
    }
    let largest = |side: fn(&SheetImage<'_>) -> usize| images.iter().map(side).max().unwrap_or(1);
    let (width, height) = (largest(|image| image.width), largest(|image| image.height));
    let factor = ENLARGED.div_ceil(width.max(height));
    let (width, height) = (width * factor, height * factor);

    let ruler = Canvas::new(1, 1)?;
    let captions: Vec<Vec<String>> =
        images.iter().map(|image| image.caption.lines().map(|line| ruler.fit(line, SMALL, 2.0 * width as f32)).collect()).collect();
    let widest = captions.iter().flatten().map(|line| ruler.text_width(line, SMALL)).fold(0.0, f32::max);
    let lines = captions.iter().map(Vec::len).max().unwrap_or(0);
    let columns = columns.min(images.len());
    let cell_width = width.max(widest.ceil() as usize) + GAP;
    let cell_height = height + GAP + if lines == 0 { 0 } else { lines * LINE + 6 };
    let rows = images.len().div_ceil(columns);
    let mut canvas = Canvas::new((columns * cell_width + GAP) as u64, (rows * cell_height + GAP) as u64)?;

    for (i, (image, caption)) in images.iter().zip(&captions).enumerate() {
        let cell_left = GAP + (i % columns) * cell_width;
        let cell_top = GAP + (i / columns) * cell_height;
        let left = (cell_left + (cell_width - GAP - image.width * factor) / 2) as f32;
        // Images of different heights stand on one line, next to their captions.
        let top = (cell_top + height - image.height * factor) as f32;
        let area = Area { left, top, right: left + (image.width * factor) as f32, bottom: top + (image.height * factor) as f32 };
        canvas.each_pixel(area, |x, y| {
            let (column, row) = ((x - left) as usize / factor, (y - top) as usize / factor);
            [image.pixels[row * image.width + column]; 3]
        });
        // A white image on a white sheet needs an edge.
        let edge = Area { left: left - 0.5, top: top - 0.5, right: area.right + 0.5, bottom: area.bottom + 0.5 };
        canvas.outline(edge, Pen { colour: GRID, width: 1.0, dashes: 0 });
        let middle = cell_left as f32 + 0.5 * (cell_width - GAP) as f32;
        for (line, text) in caption.iter().enumerate() {
            let y = (cell_top + height + 6 + line * LINE + LINE / 2) as f32;
            canvas.text(middle, y, text, SMALL, INK, Align::Middle);
        }
    }
    canvas.save(path.as_ref())
}
