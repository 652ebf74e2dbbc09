//! What does a function answer over the plane? Decision boundaries and contour maps, from values on a grid.

use super::axes::{Axis, Frame, Key, Mark, Panel, Scale, point};
use super::canvas::{Align, Area, Canvas, LABEL, Pen, SMALL};
use super::error::{PictureError, check_at_least, check_length};
use super::line_chart::Series;
use super::palette::{self, INK, MISSING, WHITE};
use std::path::Path;
use tiny_skia::PathBuilder;

/// The points of the plane at which a function was evaluated: `columns` times `rows` of them, evenly spaced, the outermost on the ends of
/// the ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Points along x, at least 2.
    pub columns: usize,
    /// Points along y, at least 2.
    pub rows: usize,
    /// The x of the first and of the last column.
    pub x_range: (f64, f64),
    /// The y of the first and of the last row.
    pub y_range: (f64, f64),
}

impl Grid {
    /// All points as (x, y), in the order in which the values of the function are expected: row by row, the row with the smallest y first.
    ///
    /// ```
    /// # use selvedge::pictures::Grid;
    /// let grid = Grid { columns: 3, rows: 2, x_range: (-1.0, 1.0), y_range: (0.0, 5.0) };
    /// let points: Vec<_> = grid.points().collect();
    /// assert_eq!(points, [(-1.0, 0.0), (0.0, 0.0), (1.0, 0.0), (-1.0, 5.0), (0.0, 5.0), (1.0, 5.0)]);
    /// ```
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let Self { columns, rows, x_range, y_range } = *self;
        let at = |(first, last): (f64, f64), i: usize, count: usize| first + (last - first) * i as f64 / (count.max(2) - 1) as f64;
        (0..rows).flat_map(move |row| (0..columns).map(move |column| (at(x_range, column, columns), at(y_range, row, rows))))
    }

    /// Checks the grid and the number of values on it.
    fn axes(&self, what: &str, values: usize) -> Result<(Axis, Axis), PictureError> {
        check_at_least("columns of the grid", 2, self.columns)?;
        check_at_least("rows of the grid", 2, self.rows)?;
        check_length(what, self.columns.saturating_mul(self.rows), values)?;
        Ok((
            Axis::over("x range of the grid", Scale::Linear, self.x_range)?,
            Axis::over("y range of the grid", Scale::Linear, self.y_range)?,
        ))
    }
}

/// What a classifier answers at the points of a [`Grid`], in the order of [`Grid::points`].
#[derive(Clone, Copy, Debug)]
pub enum Regions<'a> {
    /// The probability of class 1 of two classes, 0 to 1. The boundary is drawn where it crosses one half; NaN is grey.
    Probability(&'a [f64]),
    /// The number of the class. The boundary is where it changes.
    Classes(&'a [usize]),
}

/// What [`decision_boundary`] draws.
#[derive(Clone, Copy, Debug)]
pub struct DecisionBoundary<'a> {
    /// The line of text above the chart.
    pub title: &'a str,
    /// The name of the first input.
    pub x_label: &'a str,
    /// The name of the second input.
    pub y_label: &'a str,
    /// Where the classifier was asked.
    pub grid: Grid,
    /// What it answered.
    pub regions: Regions<'a>,
    /// Data to show on top; what lies outside the grid is left out. May be empty.
    pub points: &'a [(f64, f64)],
    /// The class of each point.
    pub classes: &'a [usize],
    /// The name of each class: two for probabilities.
    pub names: &'a [&'a str],
}

/// Draws the regions that a classifier of two inputs assigns to its classes, and points of known class over them, 800 × 700 pixels.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: a grid of less than 2 × 2 points, or no class names.
/// - [`PictureError::Length`]: answers that do not match the grid, classes that do not match the points, or not two names for probabilities.
/// - [`PictureError::Class`]: a class without a name.
/// - [`PictureError::Range`]: a range of the grid that is not `lower < upper` and finite.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn decision_boundary(path: impl AsRef<Path>, chart: &DecisionBoundary<'_>) -> Result<(), PictureError> {
    let grid = &chart.grid;
    let (x, y) = match chart.regions {
        Regions::Probability(values) => grid.axes("probabilities", values.len())?,
        Regions::Classes(values) => grid.axes("classes of the regions", values.len())?,
    };
    check_length("classes of the points", chart.points.len(), chart.classes.len())?;
    match chart.regions {
        Regions::Probability(_) => check_length("names of the classes", 2, chart.names.len())?,
        Regions::Classes(classes) => {
            check_at_least("names of the classes", 1, chart.names.len())?;
            check_classes("classes of the regions", classes, chart.names.len())?;
        }
    }
    check_classes("classes of the points", chart.classes, chart.names.len())?;

    let mut canvas = Canvas::new(800, 700)?;
    let colour = |class: usize| palette::series(class).0;
    let keys: Vec<Key> = chart
        .names
        .iter()
        .enumerate()
        .map(|(class, name)| Key { name: (*name).into(), mark: Mark::Point(class, colour(class)) })
        .collect();
    let area = Area { left: 0.0, top: 0.0, right: 800.0, bottom: 700.0 };
    let &DecisionBoundary { title, x_label, y_label, .. } = chart;
    let frame = Panel { area, title, x_label, y_label, x, y, keys: &keys, grid: false, names: None }.draw(&mut canvas);
    match chart.regions {
        Regions::Probability(values) => {
            let tint = |class: usize| palette::mix(colour(class), WHITE, 0.35);
            each_share(&mut canvas, &frame, |x, y| {
                let probability = interpolate(grid, values, x, y).clamp(0.0, 1.0);
                match probability {
                    p if p.is_nan() => MISSING,
                    p if p < 0.5 => palette::mix(tint(0), WHITE, 2.0 * p),
                    p => palette::mix(WHITE, tint(1), 2.0 * p - 1.0),
                }
            });
            contour(&mut canvas, &frame, grid, values, 0.5, Pen { colour: INK, width: 2.0, dashes: 0 });
        }
        Regions::Classes(classes) => each_share(&mut canvas, &frame, |x, y| {
            let nearest = |share: f64, count: usize| ((share * (count - 1) as f64).round() as usize).min(count - 1);
            let class = classes[nearest(y, grid.rows) * grid.columns + nearest(x, grid.columns)];
            palette::mix(colour(class), WHITE, 0.65)
        }),
    }
    let radius = if chart.points.len() <= 400 { 4.5 } else { 3.2 };
    for (&at, &class) in chart.points.iter().zip(chart.classes) {
        if let Some(at) = frame.place(at) {
            point(&mut canvas, at, radius, class, colour(class));
        }
    }
    frame.border(&mut canvas);
    canvas.save(path.as_ref())
}

fn check_classes(what: &str, found: &[usize], classes: usize) -> Result<(), PictureError> {
    match found.iter().position(|&class| class >= classes) {
        Some(index) => Err(PictureError::Class { what: what.into(), index, classes, found: found[index] }),
        None => Ok(()),
    }
}

/// What [`contour_map`] draws.
#[derive(Clone, Copy, Debug)]
pub struct ContourMap<'a> {
    /// The line of text above the chart.
    pub title: &'a str,
    /// The name of the first variable.
    pub x_label: &'a str,
    /// The name of the second variable.
    pub y_label: &'a str,
    /// The name of the function, beside its colours.
    pub value_label: &'a str,
    /// Where the function was evaluated.
    pub grid: Grid,
    /// Its values in the order of [`Grid::points`]. What cannot be shown (NaN, infinite, or not positive on a logarithmic scale) is grey.
    pub values: &'a [f64],
    /// How values become colours; logarithmic for the losses near a minimum.
    pub value_scale: Scale,
    /// The number of contour lines, evenly spaced on the scale; 0 for none.
    pub levels: usize,
    /// Paths over the map, each from its ring to its diamond, with a dot at every step if there are at most 100. May be empty.
    pub paths: &'a [Series<'a>],
}

/// Draws a function of two variables as colours and contour lines, with paths such as those of gradient descent over it, 900 × 700 pixels.
///
/// # Errors
///
/// - [`PictureError::TooFew`]: a grid of less than 2 × 2 points, or a path without points.
/// - [`PictureError::Length`]: values that do not match the grid.
/// - [`PictureError::NothingToShow`]: no value can be shown.
/// - [`PictureError::Range`]: a range of the grid that is not `lower < upper` and finite.
/// - [`PictureError::NoFolder`], [`PictureError::Write`]: the file cannot be written.
pub fn contour_map(path: impl AsRef<Path>, chart: &ContourMap<'_>) -> Result<(), PictureError> {
    let (x, y) = chart.grid.axes("values of the function", chart.values.len())?;
    for (i, path) in chart.paths.iter().enumerate() {
        check_at_least(&format!("points of path {i} (`{}`)", path.name), 1, path.points.len())?;
    }
    let scale = Axis::around("values of the function", chart.value_scale, chart.values.iter().copied(), 0.0)?;
    // From here on a value is its share of the colour scale, so that contours follow a logarithmic scale as well.
    let shares: Vec<f64> = chart.values.iter().map(|&value| scale.share(value).unwrap_or(f64::NAN)).collect();

    let mut canvas = Canvas::new(900, 700)?;
    let pens: Vec<Pen> = (0..chart.paths.len())
        .map(|i| {
            let (colour, dashes) = path_colour(i);
            Pen { colour, width: 2.4, dashes }
        })
        .collect();
    let keys: Vec<Key> =
        chart.paths.iter().zip(&pens).map(|(path, &pen)| Key { name: path.name.into(), mark: Mark::Line(pen) }).collect();
    let area = Area { left: 0.0, top: 0.0, right: 900.0 - COLOUR_BAR, bottom: 700.0 };
    let &ContourMap { title, x_label, y_label, .. } = chart;
    let frame = Panel { area, title, x_label, y_label, x, y, keys: &keys, grid: false, names: None }.draw(&mut canvas);

    each_share(&mut canvas, &frame, |x, y| {
        let share = interpolate(&chart.grid, &shares, x, y);
        if share.is_nan() { MISSING } else { map_colour(share) }
    });
    let line = Pen { colour: palette::mix(INK, WHITE, 0.25), width: 0.8, dashes: 0 };
    for level in 1..=chart.levels {
        contour(&mut canvas, &frame, &chart.grid, &shares, level as f64 / (chart.levels + 1) as f64, line);
    }
    for (path, &pen) in chart.paths.iter().zip(&pens) {
        frame.polyline(&mut canvas, path.points, Pen { colour: WHITE, width: pen.width + 2.4, dashes: 0 });
        frame.polyline(&mut canvas, path.points, pen);
        if path.points.len() <= 100 {
            for (x, y) in path.points.iter().filter_map(|&at| frame.place(at)) {
                canvas.dot(x, y, 3.2, pen.colour);
            }
        }
        let ends = (path.points.first(), path.points.last());
        if let Some((x, y)) = ends.0.and_then(|&start| frame.place(start)) {
            canvas.dot(x, y, 7.0, pen.colour);
            canvas.dot(x, y, 4.2, WHITE);
        }
        if let Some(end) = ends.1.and_then(|&end| frame.place(end)) {
            point(&mut canvas, end, 7.0, 3, pen.colour);
        }
    }
    frame.border(&mut canvas);
    colour_bar(&mut canvas, &frame, &scale, chart.value_label);
    canvas.save(path.as_ref())
}

/// The room for the colour scale at the right of a map.
const COLOUR_BAR: f32 = 130.0;

/// Paths lie on blue and green: they begin with the colours that stand out most.
fn path_colour(i: usize) -> ([u8; 3], usize) {
    const ORDER: [usize; 7] = [1, 6, 3, 0, 4, 2, 5];
    (palette::series(ORDER[i % ORDER.len()]).0, i / ORDER.len())
}

/// Viridis, half faded, so that paths stand out.
fn map_colour(share: f64) -> [u8; 3] {
    palette::mix(palette::viridis(share), WHITE, 0.35)
}

fn colour_bar(canvas: &mut Canvas, frame: &Frame, scale: &Axis, label: &str) {
    let left = frame.area.right + 26.0;
    let bar = Area { left, right: left + 20.0, ..frame.area };
    canvas.each_pixel(bar, |_, y| map_colour(f64::from((bar.bottom - y) / bar.height())));
    let pen = Pen { colour: INK, width: 1.0, dashes: 0 };
    canvas.outline(bar, pen);
    for (value, text) in scale.ticks((bar.height() / 48.0) as usize) {
        let y = bar.bottom - scale.share(value).unwrap_or(0.0) as f32 * bar.height();
        canvas.line((bar.right, y.floor() + 0.5), (bar.right + 5.0, y.floor() + 0.5), pen);
        canvas.text(bar.right + 9.0, y, &text, SMALL, INK, Align::Start);
    }
    let label = canvas.fit(label, LABEL, bar.height());
    canvas.text_upwards(900.0 - 18.0, 0.5 * (bar.top + bar.bottom), &label, LABEL, INK, Align::Middle);
}

/// Colours every pixel of the frame by its position, 0 to 1 from the left and from the bottom.
fn each_share(canvas: &mut Canvas, frame: &Frame, colour: impl Fn(f64, f64) -> [u8; 3]) {
    let area = frame.area;
    canvas.each_pixel(area, |x, y| {
        let share = |part: f32, whole: f32| f64::from(part / whole).clamp(0.0, 1.0);
        colour(share(x - area.left, area.width()), share(area.bottom - y, area.height()))
    });
}

/// The value between the four grid points around a position; NaN if one of those that count is NaN.
fn interpolate(grid: &Grid, values: &[f64], x: f64, y: f64) -> f64 {
    let split = |share: f64, count: usize| {
        let position = share * (count - 1) as f64;
        let low = (position as usize).min(count - 2);
        (low, position - low as f64)
    };
    let ((column, right), (row, up)) = (split(x, grid.columns), split(y, grid.rows));
    let at = |row: usize, column: usize| values[row * grid.columns + column];
    let along = |row: usize| between(at(row, column), at(row, column + 1), right);
    between(along(row), along(row + 1), up)
}

fn between(low: f64, high: f64, share: f64) -> f64 {
    low * (1.0 - share) + high * share
}

/// The line on which the values are `level`, found cell by cell (marching squares, Lorensen and Cline 1987 in two dimensions).
fn contour(canvas: &mut Canvas, frame: &Frame, grid: &Grid, values: &[f64], level: f64, pen: Pen) {
    let mut path = PathBuilder::new();
    let pixel = |column: f64, row: f64| {
        let (x, y) = (column / (grid.columns - 1) as f64, row / (grid.rows - 1) as f64);
        (frame.area.left + x as f32 * frame.area.width(), frame.area.bottom - y as f32 * frame.area.height())
    };
    for row in 0..grid.rows - 1 {
        for column in 0..grid.columns - 1 {
            for [from, to] in cell_segments(
                [(0, 0), (0, 1), (1, 1), (1, 0)].map(|(up, right)| values[(row + up) * grid.columns + column + right]),
                level,
            )
            .into_iter()
            .flatten()
            {
                let (from, to) =
                    (pixel(column as f64 + from.0, row as f64 + from.1), pixel(column as f64 + to.0, row as f64 + to.1));
                path.move_to(from.0, from.1);
                path.line_to(to.0, to.1);
            }
        }
    }
    canvas.stroke(path, pen);
}

type Segment = [(f64, f64); 2];

/// The contour inside a cell with these corners, counter-clockwise from the lower left: none, one or two segments.
fn cell_segments(corners: [f64; 4], level: f64) -> [Option<Segment>; 2] {
    if corners.iter().any(|value| value.is_nan()) {
        return [None; 2];
    }
    const PLACES: [(f64, f64); 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
    let above = corners.map(|value| value >= level);
    // Edge i joins corner i and the next one.
    let crossing = |i: usize| {
        let next = (i + 1) % 4;
        let share = (level - corners[i]) / (corners[next] - corners[i]);
        (between(PLACES[i].0, PLACES[next].0, share), between(PLACES[i].1, PLACES[next].1, share))
    };
    let mut crossed = [0; 4];
    let mut count = 0;
    for i in 0..4 {
        if above[i] != above[(i + 1) % 4] {
            crossed[count] = i;
            count += 1;
        }
    }
    match count {
        2 => [Some([crossing(crossed[0]), crossing(crossed[1])]), None],
        4 => {
            // A saddle: the middle of the cell tells which corners belong together. Edges 3 and 0 meet at corner 0.
            let middle_above = corners.iter().sum::<f64>() / 4.0 >= level;
            let corner_alone = if middle_above == above[0] { [[0, 1], [2, 3]] } else { [[3, 0], [1, 2]] };
            corner_alone.map(|[a, b]| Some([crossing(a), crossing(b)]))
        }
        _ => [None; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contours_of_a_cell() {
        assert_eq!(cell_segments([0.0; 4], 0.5), [None; 2]);
        assert_eq!(cell_segments([0.0, 1.0, f64::NAN, 0.0], 0.5), [None; 2]);
        // Values grow to the right: an upright line at 0.25.
        assert_eq!(cell_segments([0.0, 2.0, 2.0, 0.0], 0.5), [Some([(0.25, 0.0), (0.25, 1.0)]), None]);
        // Saddles: lower left and upper right are high. A high middle joins them and cuts off the two low corners.
        assert_eq!(cell_segments([1.0, 0.0, 1.0, 0.0], 0.5), [Some([(0.5, 0.0), (1.0, 0.5)]), Some([(0.5, 1.0), (0.0, 0.5)])]);
        assert_eq!(cell_segments([1.0, 0.0, 1.0, 0.0], 0.75), [Some([(0.0, 0.25), (0.25, 0.0)]), Some([(1.0, 0.75), (0.75, 1.0)])]);
    }

    #[test]
    fn interpolation_meets_the_grid_and_runs_evenly_between() {
        let grid = Grid { columns: 3, rows: 2, x_range: (0.0, 2.0), y_range: (0.0, 1.0) };
        let values: Vec<f64> = grid.points().map(|(x, y)| 3.0 * x + 10.0 * y).collect();
        for (x, y) in [(0.0, 0.0), (0.5, 1.0), (1.0, 1.0), (0.25, 0.5), (0.9, 0.1)] {
            assert!((interpolate(&grid, &values, x, y) - (6.0 * x + 10.0 * y)).abs() < 1e-12);
        }
    }
}
