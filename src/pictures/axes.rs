//! From values to pixels: scales, ticks, and the frame of a chart with its title, labels and key.

use super::canvas::{Align, Area, Canvas, LABEL, Pen, SMALL, TITLE};
use super::error::PictureError;
use super::palette::{GRID, INK, WHITE};
use tiny_skia::PathBuilder;

/// How values are laid along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences have equal lengths.
    #[default]
    Linear,
    /// Equal ratios have equal lengths. Values that are not positive cannot be shown and count as missing.
    Log,
}

impl Scale {
    /// The position before it is fitted to the axis, or `None` for what the scale cannot show.
    pub(super) fn project(self, value: f64) -> Option<f64> {
        match self {
            Self::Linear => value.is_finite().then_some(value),
            Self::Log => (value.is_finite() && value > 0.0).then(|| value.log10()),
        }
    }

    fn unproject(self, position: f64) -> f64 {
        match self {
            Self::Linear => position,
            Self::Log => 10f64.powf(position),
        }
    }
}

/// One axis: the projected values at its two ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Only whole numbers get a tick: epochs, counts.
    whole: bool,
}

impl Axis {
    /// An axis over a range that the caller gave.
    pub(super) fn over(what: &str, scale: Scale, (lower, upper): (f64, f64)) -> Result<Self, PictureError> {
        let refused = || PictureError::Range { what: what.into(), lower, upper };
        let low = scale.project(lower).ok_or_else(refused)?;
        let high = scale.project(upper).ok_or_else(refused)?;
        // A span of f64::MAX - f64::MIN is infinite.
        if low < high && (high - low).is_finite() { Ok(Self { scale, low, high, whole: false }) } else { Err(refused()) }
    }

    /// An axis that shows all values, with a margin of `margin` of the span at both ends.
    pub(super) fn around(what: &str, scale: Scale, values: impl Iterator<Item = f64>, margin: f64) -> Result<Self, PictureError> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for position in values.filter_map(|value| scale.project(value)) {
            low = low.min(position);
            high = high.max(position);
        }
        if low > high {
            return Err(PictureError::NothingToShow { what: what.into() });
        }
        // One value, or values that differ by rounding only, get room around them; the logarithm of 2 is a fair room for a ratio.
        let smallest = match scale {
            Scale::Linear => (low.abs().max(high.abs()) * 1e-9).max(f64::MIN_POSITIVE),
            Scale::Log => 1e-9,
        };
        let room = if high - low < smallest {
            match scale {
                Scale::Linear if high == 0.0 => 1.0,
                Scale::Linear => 0.5 * high.abs(),
                Scale::Log => 0.3,
            }
        } else {
            margin * (high - low)
        };
        let (low, high) = (low - room, high + room);
        if (high - low).is_finite() && low < high {
            Ok(Self { scale, low, high, whole: false })
        } else {
            Err(PictureError::Range { what: what.into(), lower: scale.unproject(low), upper: scale.unproject(high) })
        }
    }

    pub(super) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// 0 at the lower end, 1 at the upper end; `None` for what the scale cannot show.
    pub(super) fn share(&self, value: f64) -> Option<f64> {
        self.scale.project(value).map(|position| (position - self.low) / (self.high - self.low))
    }

    /// At most about `count` round values inside the axis, with their labels.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let decades = self.high - self.low;
        match self.scale {
            Scale::Log if decades >= 0.7 => self.log_ticks(count.max(2)),
            // Less than a factor of five: round differences are the better ticks.
            _ => linear_ticks(self.scale.unproject(self.low), self.scale.unproject(self.high), count.max(2), self.whole),
        }
    }

    fn log_ticks(&self, count: usize) -> Vec<(f64, String)> {
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let within = |value: f64| (self.low - 1e-9..=self.high + 1e-9).contains(&value.log10());
        let label = |value: f64, exponent: i32| match exponent {
            -4..=5 => (value, format!("{value:.*}", (-exponent).max(0) as usize)),
            _ => (value, minus(format!("{value:.0e}"))),
        };
        let every = |digits: &[f64], stride: usize| -> Vec<(f64, String)> {
            (first..=last)
                .filter(|exponent| exponent.rem_euclid(stride as i32) == 0)
                .flat_map(|exponent| digits.iter().map(move |digit| (digit * 10f64.powi(exponent), exponent)))
                .filter(|&(value, _)| within(value))
                .map(|(value, exponent)| label(value, exponent))
                .collect()
        };
        for digits in [&[1.0, 2.0, 3.0, 5.0, 7.0][..], &[1.0, 2.0, 5.0], &[1.0, 3.0]] {
            let ticks = every(digits, 1);
            if ticks.len() <= count {
                return ticks;
            }
        }
        every(&[1.0], ((self.high - self.low) / count as f64).ceil().max(1.0) as usize)
    }
}

fn linear_ticks(lower: f64, upper: f64, count: usize, whole: bool) -> Vec<(f64, String)> {
    let raw = (upper - lower) / count as f64;
    let power = 10f64.powf(raw.log10().floor());
    let mut step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|&step| step >= raw).unwrap_or(10.0 * power);
    if whole {
        step = step.max(1.0);
    }
    let magnitude = lower.abs().max(upper.abs());
    let exponent = (step.log10() + 1e-9).floor() as i32;
    let scientific = !(1e-3..1e6).contains(&magnitude);
    let first = (lower / step - 1e-9).ceil();
    // The number of ticks is bounded even where the step is lost in the rounding of the bounds.
    (0..=count)
        .map(|i| (first + i as f64) * step)
        .take_while(|&value| value <= upper + 1e-9 * step)
        .map(|value| {
            let value = if value.abs() < 0.5 * step { 0.0 } else { value };
            let text = if value == 0.0 {
                "0".to_string()
            } else if scientific {
                let digits = (value.abs().log10().floor() as i32 - exponent).clamp(0, 15);
                format!("{value:.*e}", digits as usize)
            } else {
                format!("{value:.*}", (-exponent).clamp(0, 15) as usize)
            };
            (value, minus(text))
        })
        .collect()
}

/// Sets a real minus sign in place of the hyphen.
pub(super) fn minus(text: String) -> String {
    text.replace('-', "\u{2212}")
}

/// What stands before a name in the key of a chart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    Line(Pen),
    Point(usize, [u8; 3]),
    Patch([u8; 3], f32),
}

/// One entry of the key of a chart.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) mark: Mark,
}

/// A chart to be laid out in `area`.
pub(super) struct Panel<'a> {
    pub(super) area: Area,
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) keys: &'a [Key],
    /// Lines across the frame at the ticks; a map covers them anyway.
    pub(super) grid: bool,
    /// Instead of ticks on the vertical axis, room of this width for names that the caller writes.
    pub(super) names: Option<f32>,
}

const KEY_ROW: f32 = 24.0;
const MARK: f32 = 30.0;
const AXIS: Pen = Pen { colour: INK, width: 1.0, dashes: 0 };

impl Panel<'_> {
    /// Draws everything around the data and returns where the data goes.
    pub(super) fn draw(&self, canvas: &mut Canvas) -> Frame {
        let Area { left, top, right, bottom } = self.area;
        let mut inner = Area { left: left + 16.0, top: top + 14.0, right: right - 22.0, bottom: bottom - 14.0 };
        let middle = 0.5 * (left + right);

        if !self.title.is_empty() {
            let title = canvas.fit(self.title, TITLE, self.area.width() - 32.0);
            canvas.text(middle, inner.top + 12.0, &title, TITLE, INK, Align::Middle);
            inner.top += 34.0;
        }
        let rows = self.key_rows(canvas, inner.width());
        for row in &rows {
            draw_key_row(canvas, row, middle, inner.top + 0.5 * KEY_ROW);
            inner.top += KEY_ROW;
        }
        inner.top = (inner.top + if rows.is_empty() { 4.0 } else { 8.0 }).round() + 0.5;

        if !self.x_label.is_empty() {
            inner.bottom -= 26.0;
        }
        inner.bottom = (inner.bottom - 22.0).round() + 0.5;
        let y_ticks = if self.names.is_some() { Vec::new() } else { self.y.ticks((inner.height() / 48.0) as usize) };
        let widest_tick = y_ticks.iter().map(|(_, text)| canvas.text_width(text, SMALL)).fold(0.0, f32::max);
        let widest = self.names.unwrap_or(widest_tick);
        if !self.y_label.is_empty() {
            inner.left += 26.0;
        }
        inner.left = (inner.left + widest + 8.0).round() + 0.5;
        let x_ticks = self.spaced_x_ticks(canvas, inner.width());
        if let Some((value, text)) = x_ticks.last() {
            let end =
                inner.left + self.x.share(*value).unwrap_or(0.0) as f32 * inner.width() + 0.5 * canvas.text_width(text, SMALL);
            inner.right -= (end - (right - 4.0)).max(0.0);
        }
        inner.right = inner.right.round() + 0.5;

        let frame = Frame { area: inner, x: self.x, y: self.y };
        self.draw_ticks(canvas, &frame, &x_ticks, &y_ticks);
        if !self.x_label.is_empty() {
            let text = canvas.fit(self.x_label, LABEL, self.area.width() - 32.0);
            canvas.text(0.5 * (inner.left + inner.right), bottom - 20.0, &text, LABEL, INK, Align::Middle);
        }
        if !self.y_label.is_empty() {
            let text = canvas.fit(self.y_label, LABEL, self.area.height() - 32.0);
            // A label longer than the frame is centred on the panel, so that it is not cut.
            let tall = canvas.text_width(&text, LABEL) > inner.height();
            let y = if tall { 0.5 * (top + bottom) } else { 0.5 * (inner.top + inner.bottom) };
            canvas.text_upwards(left + 24.0, y, &text, LABEL, INK, Align::Middle);
        }
        frame.border(canvas);
        frame
    }

    /// The most ticks whose labels keep a distance.
    fn spaced_x_ticks(&self, canvas: &Canvas, width: f32) -> Vec<(f64, String)> {
        let mut count = (width / 60.0).max(2.0) as usize;
        loop {
            let ticks = self.x.ticks(count);
            let places: Vec<(f32, f32)> = ticks
                .iter()
                .map(|(value, text)| (self.x.share(*value).unwrap_or(0.0) as f32 * width, 0.5 * canvas.text_width(text, SMALL)))
                .collect();
            let apart = places.windows(2).all(|pair| pair[1].0 - pair[1].1 - pair[0].0 - pair[0].1 >= 14.0);
            if apart || count <= 2 {
                return ticks;
            }
            count -= 1;
        }
    }

    fn draw_ticks(&self, canvas: &mut Canvas, frame: &Frame, x_ticks: &[(f64, String)], y_ticks: &[(f64, String)]) {
        let Area { left, top, right, bottom } = frame.area;
        let grid = Pen { colour: GRID, width: 1.0, dashes: 0 };
        for (value, text) in x_ticks {
            let x = left + frame.x.share(*value).unwrap_or(0.0) as f32 * frame.area.width();
            // The middle of a pixel gives a sharp line.
            let sharp = x.floor() + 0.5;
            if self.grid {
                canvas.line((sharp, top), (sharp, bottom), grid);
            }
            canvas.line((sharp, bottom), (sharp, bottom + 5.0), AXIS);
            canvas.text(x, bottom + 15.0, text, SMALL, INK, Align::Middle);
        }
        for (value, text) in y_ticks {
            let y = bottom - frame.y.share(*value).unwrap_or(0.0) as f32 * frame.area.height();
            let sharp = y.floor() + 0.5;
            if self.grid {
                canvas.line((left, sharp), (right, sharp), grid);
            }
            canvas.line((left - 5.0, sharp), (left, sharp), AXIS);
            canvas.text(left - 9.0, y, text, SMALL, INK, Align::End);
        }
    }

    /// The key, broken into rows of at most `width` pixels, with the width of every entry.
    fn key_rows(&self, canvas: &Canvas, width: f32) -> Vec<Vec<(Key, f32)>> {
        let mut rows: Vec<Vec<(Key, f32)>> = Vec::new();
        let mut room = 0.0;
        for key in self.keys.iter().filter(|key| !key.name.is_empty()) {
            let name = canvas.fit(&key.name, SMALL, width - MARK - 24.0);
            let needed = MARK + 8.0 + canvas.text_width(&name, SMALL) + 20.0;
            if rows.is_empty() || needed > room {
                rows.push(Vec::new());
                room = width;
            }
            room -= needed;
            if let Some(row) = rows.last_mut() {
                row.push((Key { name, mark: key.mark }, needed));
            }
        }
        rows
    }
}

fn draw_key_row(canvas: &mut Canvas, row: &[(Key, f32)], middle: f32, y: f32) {
    let width: f32 = row.iter().map(|(_, width)| width).sum::<f32>() - 20.0;
    let mut x = middle - 0.5 * width;
    for (key, width) in row {
        match key.mark {
            Mark::Line(pen) => canvas.line((x, y), (x + MARK, y), pen),
            Mark::Point(shape, colour) => point(canvas, (x + 0.5 * MARK, y), 5.5, shape, colour),
            Mark::Patch(colour, opacity) => {
                let area = Area { left: x + 8.0, top: y - 7.0, right: x + MARK, bottom: y + 7.0 };
                canvas.rectangle(area, colour, opacity);
                canvas.outline(area, Pen { colour, width: 1.0, dashes: 0 });
            }
        }
        canvas.text(x + MARK + 8.0, y, &key.name, SMALL, INK, Align::Start);
        x += width;
    }
}

/// A disc, square, triangle or diamond with a white edge.
pub(super) fn point(canvas: &mut Canvas, (x, y): (f32, f32), radius: f32, shape: usize, colour: [u8; 3]) {
    for (radius, colour) in [(1.25 * radius, WHITE), (radius, colour)] {
        let mut path = PathBuilder::new();
        let corners: &[(f32, f32)] = match shape % 4 {
            0 => {
                path.push_circle(x, y, radius);
                &[]
            }
            1 => &[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
            2 => &[(0.0, -1.15), (1.05, 0.75), (-1.05, 0.75)],
            _ => &[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)],
        };
        for (i, (dx, dy)) in corners.iter().enumerate() {
            let (px, py) = (x + dx * radius, y + dy * radius);
            if i == 0 { path.move_to(px, py) } else { path.line_to(px, py) }
        }
        if !corners.is_empty() {
            path.close();
        }
        canvas.fill(path, colour, 1.0);
    }
}

/// Where the data of a chart goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) area: Area,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    fn pixel(&self, (x, y): (f64, f64)) -> (f32, f32) {
        (self.area.left + x as f32 * self.area.width(), self.area.bottom - y as f32 * self.area.height())
    }

    fn shares(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some((self.x.share(x)?, self.y.share(y)?))
    }

    /// The pixel of a point, or `None` if it lies outside the frame or cannot be shown.
    pub(super) fn place(&self, point: (f64, f64)) -> Option<(f32, f32)> {
        let (x, y) = self.shares(point)?;
        let inside = |share: f64| (-1e-9..=1.0 + 1e-9).contains(&share);
        (inside(x) && inside(y)).then(|| self.pixel((x, y)))
    }

    /// A line through the points, cut at the frame. It is interrupted where a point cannot be shown; a point that stands alone between two
    /// such gaps becomes a dot.
    pub(super) fn polyline(&self, canvas: &mut Canvas, points: &[(f64, f64)], pen: Pen) {
        let mut path = PathBuilder::new();
        let mut pen_at = None;
        let shares: Vec<Option<(f64, f64)>> = points.iter().map(|&point| self.shares(point)).collect();
        for pair in shares.windows(2) {
            let (Some(from), Some(to)) = (pair[0], pair[1]) else { continue };
            let Some((start, end)) = cut(from, to) else { continue };
            let (start, end) = (self.pixel(start), self.pixel(end));
            if pen_at != Some(start) {
                path.move_to(start.0, start.1);
            }
            path.line_to(end.0, end.1);
            pen_at = Some(end);
        }
        canvas.stroke(path, pen);
        for (i, point) in points.iter().enumerate() {
            let gap = |i: Option<usize>| i.and_then(|i| shares.get(i)).copied().flatten().is_none();
            let alone = gap(i.checked_sub(1)) && gap(Some(i + 1));
            if let (true, Some((x, y))) = (alone, self.place(*point)) {
                canvas.dot(x, y, 1.6 * pen.width, pen.colour);
            }
        }
    }

    pub(super) fn border(&self, canvas: &mut Canvas) {
        canvas.outline(self.area, AXIS);
    }
}

/// The part of a segment inside the unit square (Sutherland and Hodgman, 1974): one side of the square after the other moves the end that
/// lies beyond it onto it. An end is put on the side exactly, so that even ends that are 1e30 squares away leave a line and no rounding.
fn cut(from: (f64, f64), to: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
    let (mut from, mut to) = ([from.0, from.1], [to.0, to.1]);
    for (axis, side, inwards) in [(0, 0.0, 1.0), (0, 1.0, -1.0), (1, 0.0, 1.0), (1, 1.0, -1.0)] {
        let beyond = |end: [f64; 2]| inwards * (end[axis] - side) < 0.0;
        let meet = |outer: [f64; 2], inner: [f64; 2]| {
            let share = (side - outer[axis]) / (inner[axis] - outer[axis]);
            let mut end = [outer[0] + share * (inner[0] - outer[0]), outer[1] + share * (inner[1] - outer[1])];
            end[axis] = side;
            end
        };
        match (beyond(from), beyond(to)) {
            (true, true) => return None,
            (true, false) => from = meet(from, to),
            (false, true) => to = meet(to, from),
            (false, false) => {}
        }
    }
    Some(((from[0], from[1]), (to[0], to[1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, count: usize) -> Vec<String> {
        axis.ticks(count).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = |scale, range| Axis::over("axis", scale, range).expect("a good range");
        assert_eq!(labels(&axis(Scale::Linear, (0.0, 1.0)), 5), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&axis(Scale::Linear, (-1.3, 1.9)), 4), ["\u{2212}1", "0", "1"]);
        assert_eq!(labels(&axis(Scale::Linear, (0.0, 2e6)), 4), ["0", "5e5", "1.0e6", "1.5e6", "2.0e6"]);
        assert_eq!(labels(&axis(Scale::Log, (1e-3, 1.0)), 4), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&axis(Scale::Log, (1e-8, 1e-6)), 3), ["1e\u{2212}8", "1e\u{2212}7", "1e\u{2212}6"]);
        assert_eq!(labels(&axis(Scale::Log, (0.2, 0.6)), 5), ["0.2", "0.3", "0.4", "0.5", "0.6"]);
        assert_eq!(labels(&axis(Scale::Linear, (1.0, 3.0)).whole(), 9), ["1", "2", "3"]);
    }

    #[test]
    fn ticks_end_whatever_the_range() {
        for (lower, upper) in [(1e16, 1e16 + 4.0), (-1e300, 1e300), (1e-310, 2e-310), (0.0, f64::MIN_POSITIVE), (-1e-9, 1e9)] {
            let axis = Axis::over("axis", Scale::Linear, (lower, upper)).expect("a good range");
            assert!(axis.ticks(8).len() <= 9, "{lower} to {upper}");
        }
    }

    #[test]
    fn a_segment_is_cut_at_the_frame() {
        assert_eq!(cut((0.5, -1.0), (0.5, 3.0)), Some(((0.5, 0.0), (0.5, 1.0))));
        assert_eq!(cut((0.1, 0.2), (0.3, 0.4)), Some(((0.1, 0.2), (0.3, 0.4))));
        assert_eq!(cut((0.5, -1e30), (0.5, 1e30)), Some(((0.5, 0.0), (0.5, 1.0))));
        assert_eq!(cut((-1.0, 0.0), (3.0, 1.0)), Some(((0.0, 0.25), (1.0, 0.5))));
        assert_eq!(cut((-1.0, 0.5), (-0.1, 0.5)), None);
        assert_eq!(cut((2.0, 0.0), (0.0, 3.0)), None);
    }

    #[test]
    fn equal_values_get_room() {
        for (scale, value) in [(Scale::Linear, 0.0), (Scale::Linear, -7.0), (Scale::Linear, 1e-12), (Scale::Log, 0.01)] {
            let axis = Axis::around("axis", scale, [value, value].into_iter(), 0.05).expect("a value");
            assert!((axis.share(value).expect("shown") - 0.5).abs() < 1e-12, "{value}");
        }
    }
}
