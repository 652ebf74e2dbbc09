//! A white picture in memory: lines, areas, text, and the file in the end.

use super::error::PictureError;
use super::palette::{WHITE, opaque};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke, StrokeDash, Transform,
};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// 64 million pixels are 256 MB while the picture is drawn.
const MAX_PIXELS: u64 = 64_000_000;
const MAX_SIDE: u64 = 32_767;

/// Heights of text in pixels.
pub(super) const TITLE: f32 = 20.0;
pub(super) const LABEL: f32 = 16.0;
pub(super) const SMALL: f32 = 14.0;

/// A box in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) right: f32,
    pub(super) bottom: f32,
}

impl Area {
    pub(super) fn width(&self) -> f32 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f32 {
        self.bottom - self.top
    }
}

/// Which point of a text stands at the given x. Vertically the middle of the capital letters stands at the given y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Align {
    Start,
    Middle,
    End,
}

/// How a line looks: `dashes` is 0 for a solid line; larger numbers choose other patterns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen {
    pub(super) colour: [u8; 3],
    pub(super) width: f32,
    pub(super) dashes: usize,
}

pub(super) struct Canvas {
    pixmap: Pixmap,
    face: Face<'static>,
}

impl Canvas {
    /// A white picture.
    pub(super) fn new(width: u64, height: u64) -> Result<Self, PictureError> {
        let too_large = PictureError::TooLarge { width, height };
        if width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS {
            return Err(too_large);
        }
        let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or(too_large)?;
        pixmap.fill(opaque(WHITE));
        Ok(Self { pixmap, face: font()? })
    }

    pub(super) fn rectangle(&mut self, area: Area, colour: [u8; 3], opacity: f32) {
        // Edges on whole pixels are the caller's choice; tiny-skia covers parts of pixels in proportion.
        if let Some(rect) = Rect::from_ltrb(area.left, area.top, area.right, area.bottom) {
            let mut paint = paint(colour);
            paint.shader.apply_opacity(opacity);
            self.pixmap.fill_rect(rect, &paint, Transform::identity(), None);
        }
    }

    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), pen: Pen) {
        let mut path = PathBuilder::new();
        path.move_to(from.0, from.1);
        path.line_to(to.0, to.1);
        self.stroke(path, pen);
    }

    pub(super) fn outline(&mut self, area: Area, pen: Pen) {
        let mut path = PathBuilder::new();
        if let Some(rect) = Rect::from_ltrb(area.left, area.top, area.right, area.bottom) {
            path.push_rect(rect);
        }
        self.stroke(path, pen);
    }

    pub(super) fn stroke(&mut self, path: PathBuilder, pen: Pen) {
        let Some(path) = path.finish() else { return };
        let w = pen.width;
        let dash = match pen.dashes {
            0 => None,
            1 => StrokeDash::new(vec![3.5 * w, 2.5 * w], 0.0),
            2 => StrokeDash::new(vec![1.0, 2.0 * w], 0.0),
            _ => StrokeDash::new(vec![5.0 * w, 2.0 * w, 1.0, 2.0 * w], 0.0),
        };
        let cap = if dash.is_some() { LineCap::Butt } else { LineCap::Round };
        let stroke = Stroke { width: w, line_cap: cap, line_join: LineJoin::Round, dash, ..Stroke::default() };
        self.pixmap.stroke_path(&path, &paint(pen.colour), &stroke, Transform::identity(), None);
    }

    pub(super) fn fill(&mut self, path: PathBuilder, colour: [u8; 3], opacity: f32) {
        let Some(path) = path.finish() else { return };
        let mut paint = paint(colour);
        paint.shader.apply_opacity(opacity);
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    pub(super) fn dot(&mut self, x: f32, y: f32, radius: f32, colour: [u8; 3]) {
        let mut path = PathBuilder::new();
        path.push_circle(x, y, radius);
        self.fill(path, colour, 1.0);
    }

    /// Gives every whole pixel of `area` the colour that `colour` returns for its middle.
    pub(super) fn each_pixel(&mut self, area: Area, mut colour: impl FnMut(f32, f32) -> [u8; 3]) {
        let (width, height) = (self.pixmap.width() as usize, self.pixmap.height() as usize);
        let columns = (area.left.round().max(0.0) as usize)..(area.right.round().max(0.0) as usize).min(width);
        let rows = (area.top.round().max(0.0) as usize)..(area.bottom.round().max(0.0) as usize).min(height);
        let pixels = self.pixmap.pixels_mut();
        for row in rows {
            for column in columns.clone() {
                let [r, g, b] = colour(column as f32 + 0.5, row as f32 + 0.5);
                if let Some(pixel) = PremultipliedColorU8::from_rgba(r, g, b, 255) {
                    pixels[row * width + column] = pixel;
                }
            }
        }
    }

    /// The width of a line of text in pixels.
    pub(super) fn text_width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|letter| Glyph::of(&self.face, letter).advance(&self.face, size)).sum()
    }

    /// The text, or as much of its beginning as fits into `width`, with an ellipsis.
    pub(super) fn fit(&self, text: &str, size: f32, width: f32) -> String {
        if self.text_width(text, size) <= width {
            return text.to_string();
        }
        let mut room = width - self.text_width("…", size);
        let mut kept = String::new();
        for letter in text.chars() {
            room -= Glyph::of(&self.face, letter).advance(&self.face, size);
            if room < 0.0 {
                break;
            }
            kept.push(letter);
        }
        kept.truncate(kept.trim_end().len());
        kept.push('…');
        kept
    }

    pub(super) fn text(&mut self, x: f32, y: f32, text: &str, size: f32, colour: [u8; 3], align: Align) {
        self.text_at(Transform::from_translate(x, y), text, size, colour, align);
    }

    /// Text that reads from the bottom to the top.
    pub(super) fn text_upwards(&mut self, x: f32, y: f32, text: &str, size: f32, colour: [u8; 3], align: Align) {
        self.text_at(Transform::from_translate(x, y).pre_rotate(-90.0), text, size, colour, align);
    }

    fn text_at(&mut self, place: Transform, text: &str, size: f32, colour: [u8; 3], align: Align) {
        let scale = size / f32::from(self.face.units_per_em());
        let shift = match align {
            Align::Start => 0.0,
            Align::Middle => -0.5 * self.text_width(text, size),
            Align::End => -self.text_width(text, size),
        };
        let half_capital = 0.5 * f32::from(self.face.capital_height().unwrap_or(700)) * scale;
        let mut outline = Outline { path: PathBuilder::new(), scale, x: shift, y: half_capital };
        for letter in text.chars() {
            let glyph = Glyph::of(&self.face, letter);
            outline.scale = scale * glyph.size;
            outline.y = half_capital + glyph.lowered * size;
            // A glyph without an outline is a space.
            let _ = self.face.outline_glyph(glyph.id, &mut outline);
            outline.x += glyph.advance(&self.face, size);
        }
        if let Some(path) = outline.path.finish() {
            self.pixmap.fill_path(&path, &paint(colour), FillRule::Winding, place, None);
        }
    }

    /// Encodes the picture and puts it at `path` in one step.
    pub(super) fn save(&self, path: &Path) -> Result<(), PictureError> {
        check_folder(path)?;
        let png = self.pixmap.encode_png().map_err(|error| PictureError::Drawing { reason: error.to_string() })?;
        let failed = |source| PictureError::Write { path: path.to_path_buf(), source };
        let temporary = temporary_name(path).map_err(failed)?;
        let written = write_new(&temporary, &png).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // The first error is the one to report; a temporary file that never came to be cannot be removed.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(failed)
    }
}

/// Refuses a path whose folder does not exist.
fn check_folder(path: &Path) -> Result<(), PictureError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(PictureError::NoFolder { path: path.to_path_buf(), folder: folder.to_path_buf() })
        }
        _ => Ok(()),
    }
}

/// A name in the same folder (a rename does not cross file systems) that no other thread or process uses.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(temporary))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn paint(colour: [u8; 3]) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(opaque(colour));
    paint.anti_alias = true;
    paint
}

/// The typeface of every picture.
fn font() -> Result<Face<'static>, PictureError> {
    Face::parse(ttf_noto_sans::REGULAR, 0).map_err(|error| PictureError::Drawing { reason: error.to_string() })
}

/// A glyph of the font and how it stands in its line.
struct Glyph {
    id: GlyphId,
    /// In proportion to the size of the text.
    size: f32,
    lowered: f32,
}

impl Glyph {
    /// Digits below the line (x₁) are not in the font: they are made from small digits. Other letters that it lacks get its glyph 0, an
    /// empty box.
    fn of(face: &Face<'_>, letter: char) -> Self {
        let below = u32::from(letter).checked_sub(0x2080).and_then(|digit| char::from_digit(digit, 10));
        let (letter, size, lowered) = below.map_or((letter, 1.0, 0.0), |digit| (digit, 0.68, 0.16));
        Self { id: face.glyph_index(letter).unwrap_or(GlyphId(0)), size, lowered }
    }

    fn advance(&self, face: &Face<'_>, size: f32) -> f32 {
        f32::from(face.glyph_hor_advance(self.id).unwrap_or(0)) * self.size * size / f32::from(face.units_per_em())
    }
}

/// Turns the outline of a glyph (font units, y upwards) into a path (pixels, y downwards).
struct Outline {
    path: PathBuilder,
    scale: f32,
    x: f32,
    y: f32,
}

impl Outline {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
