//! Every function writes a whole picture that shows its data, or returns a typed error and writes nothing.
#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use tiny_skia::Pixmap;

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("selvedge-pictures-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("picture.png")
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Draws with `draw` and decodes the file. Nothing else may be left in the folder.
fn picture(name: &str, draw: impl FnOnce(&Path) -> Result<(), PictureError>) -> Pixmap {
    let folder = Folder::new(name);
    draw(&folder.file()).unwrap();
    assert_eq!(folder.files(), 1, "a temporary file was left");
    Pixmap::decode_png(&fs::read(folder.file()).unwrap()).unwrap()
}

/// The error of `draw`, which must not leave a file.
fn refused(name: &str, draw: impl FnOnce(&Path) -> Result<(), PictureError>) -> PictureError {
    let folder = Folder::new(name);
    let error = draw(&folder.file()).unwrap_err();
    assert_eq!(folder.files(), 0, "a file was left");
    error
}

fn size(picture: &Pixmap) -> (u32, u32) {
    (picture.width(), picture.height())
}

fn rgb(picture: &Pixmap, x: u32, y: u32) -> [u8; 3] {
    let pixel = picture.pixel(x, y).unwrap();
    [pixel.red(), pixel.green(), pixel.blue()]
}

/// The number of pixels of exactly this colour.
fn count(picture: &Pixmap, [r, g, b]: [u8; 3]) -> usize {
    picture.pixels().iter().filter(|pixel| [pixel.red(), pixel.green(), pixel.blue()] == [r, g, b]).count()
}

fn colours(picture: &Pixmap) -> usize {
    picture.pixels().iter().map(|pixel| (pixel.red(), pixel.green(), pixel.blue())).collect::<HashSet<_>>().len()
}

/// Text must not run into the edge of the picture: the outermost pixels are white.
fn assert_white_edge(picture: &Pixmap) {
    let (width, height) = size(picture);
    for x in 0..width {
        assert_eq!((rgb(picture, x, 0), rgb(picture, x, height - 1)), ([255; 3], [255; 3]), "column {x}");
    }
    for y in 0..height {
        assert_eq!((rgb(picture, 0, y), rgb(picture, width - 1, y)), ([255; 3], [255; 3]), "row {y}");
    }
}

const BLUE: [u8; 3] = [0x00, 0x72, 0xB2];
const VERMILLION: [u8; 3] = [0xD5, 0x5E, 0x00];
const GARMENTS: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

#[test]
fn a_line_chart_shows_its_series_and_its_gaps() {
    let line: Vec<(f64, f64)> = (0..200).map(|i| (f64::from(i), f64::from(i))).collect();
    let mut gap = line.clone();
    gap[60..140].iter_mut().for_each(|point| point.1 = f64::NAN);
    let draw = |name: &str, points: &[(f64, f64)]| {
        let chart = LineChart {
            title: "A title that is far too long for the width of the picture and has to be cut before it reaches the edge of it",
            x_label: "step",
            y_label: "loss",
            series: &[Series::new("training", points)],
            ..LineChart::default()
        };
        picture(name, |path| line_chart(path, &chart))
    };
    let (whole, broken) = (draw("line", &line), draw("gap", &gap));
    assert_eq!(size(&whole), (900, 600));
    assert_white_edge(&whole);
    let (all, left) = (count(&whole, BLUE), count(&broken, BLUE));
    // 80 of 199 segments are missing.
    let share = left as f64 / all as f64;
    assert!(all > 500 && (0.5..0.7).contains(&share), "{left} of {all} blue pixels");
}

#[test]
fn a_logarithmic_axis_bends_the_line_and_drops_what_is_not_positive() {
    // Exponential decay is straight on a logarithmic axis: it passes the middle of the frame, far above the linear curve there.
    let decay: Vec<(f64, f64)> = (0..=100).map(|i| (f64::from(i), (-0.1 * f64::from(i)).exp())).collect();
    let with_zero: Vec<(f64, f64)> = decay.iter().map(|&(x, y)| (x, if x == 50.0 { 0.0 } else { y })).collect();
    let draw = |name: &str, points: &[(f64, f64)], y_scale| {
        let chart = LineChart { series: &[Series::new("", points)], y_scale, ..LineChart::default() };
        picture(name, |path| line_chart(path, &chart))
    };
    // The height of the line at the middle, in pixels from the top.
    let height = |picture: &Pixmap| (0..600).find(|&y| (470..500).any(|x| rgb(picture, x, y) == BLUE));
    let linear = height(&draw("linear", &decay, Scale::Linear)).unwrap();
    let log = height(&draw("log", &decay, Scale::Log)).unwrap();
    assert!((240..330).contains(&log) && linear > 500, "{log} on the logarithmic axis, {linear} on the linear one");
    let zero = LineChart { series: &[Series::new("", &[(0.0, 0.0), (1.0, -1.0)])], y_scale: Scale::Log, ..LineChart::default() };
    assert!(matches!(refused("not-positive", |path| line_chart(path, &zero)), PictureError::NothingToShow { .. }));
    let (whole, gap) = (draw("whole", &decay, Scale::Log), draw("zero", &with_zero, Scale::Log));
    assert!(count(&gap, BLUE) < count(&whole, BLUE), "the zero is no gap");
}

#[test]
fn lines_stay_in_the_frame() {
    let wild: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i) - 50.0, if i % 2 == 0 { 1e30 } else { -1e30 })).collect();
    let (x_range, y_range) = (Some((0.0, 10.0)), Some((-1.0, 1.0)));
    let chart = LineChart { series: &[Series::new("", &wild)], x_range, y_range, ..LineChart::default() };
    let picture = picture("wild", |path| line_chart(path, &chart));
    assert!(count(&picture, BLUE) > 1000);
    assert_white_edge(&picture);
    // The band below the frame, where the labels of the ticks are.
    assert!((0..900).all(|x| (572..600).all(|y| rgb(&picture, x, y) != BLUE)), "the line leaves the frame");
}

#[test]
fn line_charts_refuse_what_they_cannot_draw() {
    let draw = |name: &str, chart: LineChart<'_>| refused(name, |path| line_chart(path, &chart));
    let good = [(0.0, 1.0), (1.0, 2.0)];
    let none = draw("no-series", LineChart::default());
    assert!(matches!(none, PictureError::TooFew { at_least: 1, found: 0, .. }), "{none}");
    let empty = draw("empty", LineChart { series: &[Series::new("a", &good), Series::new("b", &[])], ..LineChart::default() });
    assert!(matches!(&empty, PictureError::TooFew { what, found: 0, .. } if what.contains("`b`")), "{empty}");
    let nan = draw("nan", LineChart { series: &[Series::new("a", &[(0.0, f64::NAN)])], ..LineChart::default() });
    assert!(matches!(nan, PictureError::NothingToShow { .. }), "{nan}");
    for (i, (lower, upper)) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)].into_iter().enumerate() {
        let chart = LineChart { series: &[Series::new("a", &good)], y_range: Some((lower, upper)), ..LineChart::default() };
        assert!(matches!(draw(&format!("range-{i}"), chart), PictureError::Range { .. }), "{lower} to {upper}");
    }
    let y_range = Some((0.0, 1.0));
    let log = LineChart { series: &[Series::new("a", &good)], y_range, y_scale: Scale::Log, ..LineChart::default() };
    assert!(matches!(draw("log-range", log), PictureError::Range { .. }));
}

#[test]
fn learning_curves_have_two_panels() {
    let training: Vec<f64> = (1..=12).map(|epoch| 1.0 / f64::from(epoch)).collect();
    let validation: Vec<f64> = training.iter().map(|loss| loss + 0.1).collect();
    let accuracy: Vec<f64> = training.iter().map(|loss| 1.0 - 0.3 * loss).collect();
    let curves = LearningCurves {
        training_loss: &training,
        validation_loss: &validation,
        training_accuracy: &accuracy,
        validation_accuracy: &[],
    };
    let both = picture("curves", |path| learning_curves(path, &curves));
    assert_eq!(size(&both), (1200, 520));
    assert_white_edge(&both);
    let in_half = |colour, columns: std::ops::Range<u32>| {
        columns.flat_map(|x| (0..520).map(move |y| (x, y))).filter(|&(x, y)| rgb(&both, x, y) == colour).count()
    };
    assert!(in_half(BLUE, 0..600) > 200 && in_half(BLUE, 600..1200) > 200);
    assert!(in_half(VERMILLION, 0..600) > 200);
    assert_eq!(in_half(VERMILLION, 600..1200), 0, "there is no validation accuracy");

    let loss =
        picture("loss", |path| learning_curves(path, &LearningCurves { training_loss: &training, ..LearningCurves::default() }));
    assert_eq!(size(&loss), (900, 520));

    let short = LearningCurves { validation_accuracy: &accuracy[..11], ..curves };
    let error = refused("short", |path| learning_curves(path, &short));
    assert!(matches!(&error, PictureError::Length { what, expected: 12, found: 11 } if what == "validation accuracy"), "{error}");
    let nothing = refused("nothing", |path| learning_curves(path, &LearningCurves::default()));
    assert!(matches!(nothing, PictureError::TooFew { .. }), "{nothing}");
}

#[test]
fn a_confusion_matrix_colours_by_the_share_of_the_row() {
    // A rare class, always right, and a frequent one, right in half of the cases.
    let picture = picture("confusion", |path| confusion_matrix(path, &[3, 0, 500, 500], 2, &["no", "yes"]));
    assert_white_edge(&picture);
    let darkest = count(&picture, [0x08, 0x30, 0x6B]);
    let half = count(&picture, [0x6B, 0xAE, 0xD6]);
    // A cell has 56 * 56 pixels, most of them without ink.
    assert!((2500..3200).contains(&darkest) && (4500..6300).contains(&half), "{darkest} and {half} pixels");
}

#[test]
fn a_confusion_matrix_has_room_for_long_names() {
    let mut counts = vec![7; 100];
    counts.iter_mut().step_by(11).for_each(|count| *count = 937);
    let small = picture("garments", |path| confusion_matrix(path, &counts, 10, &GARMENTS));
    assert_white_edge(&small);
    let names = GARMENTS.map(|name| name.repeat(9));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = picture("long-names", |path| confusion_matrix(path, &counts, 10, &names));
    assert_white_edge(&large);
    assert!(large.height() > small.height() && large.width() > small.width());
    assert!(large.width() < 1000, "names are cut");
}

#[test]
fn a_confusion_matrix_needs_one_count_per_cell_and_one_name_per_class() {
    let draw =
        |name: &str, counts: &[u64], classes, names: &[&str]| refused(name, |path| confusion_matrix(path, counts, classes, names));
    assert!(matches!(draw("counts", &[1; 8], 3, &["a", "b", "c"]), PictureError::Length { expected: 9, found: 8, .. }));
    assert!(matches!(draw("names", &[1; 9], 3, &["a", "b"]), PictureError::Length { expected: 3, found: 2, .. }));
    assert!(matches!(draw("classes", &[], 0, &[]), PictureError::TooFew { at_least: 1, found: 0, .. }));
    let many = vec![""; 1000];
    assert!(matches!(draw("large", &vec![0; 1_000_000], 1000, &many), PictureError::TooLarge { .. }));
    // Nothing counted is no error: a row without rows of data stays white.
    picture("zeros", |path| confusion_matrix(path, &[0; 4], 2, &["a", "b"]));
    picture("huge", |path| confusion_matrix(path, &[u64::MAX; 4], 2, &["a", "b"]));
}

#[test]
fn an_image_sheet_shows_every_pixel_as_a_square() {
    let pixels = [10, 200, 90, 30];
    let image = |caption: &str| SheetImage { pixels: &pixels, width: 2, height: 2, caption: caption.into() };
    let images: Vec<SheetImage<'_>> = (0..5).map(|_| image("")).collect();
    let sheet = picture("sheet", |path| image_sheet(path, &images, 3));
    // Three columns and two rows of 112 pixels with gaps of 14.
    assert_eq!(size(&sheet), (3 * 126 + 14, 2 * 126 + 14));
    for (grey, copies) in [(10, 5), (200, 5), (90, 5), (30, 5)] {
        assert_eq!(count(&sheet, [grey; 3]), copies * 56 * 56, "grey {grey}");
    }
    assert_eq!((rgb(&sheet, 15, 15), rgb(&sheet, 125, 15), rgb(&sheet, 15, 125)), ([10; 3], [200; 3], [90; 3]));

    let with_text = picture("captions", |path| image_sheet(path, &[image("T-shirt/top 92 %\nis Ankle boot"), image("")], 8));
    assert_white_edge(&with_text);
    assert!(with_text.height() > 126 + 14 && with_text.width() >= 2 * 126 + 14);
    assert!(colours(&with_text) > 20, "no text");
}

#[test]
fn image_sheets_refuse_what_they_cannot_draw() {
    let draw = |name: &str, images: &[SheetImage<'_>], columns| refused(name, |path| image_sheet(path, images, columns));
    let image = |width, height, pixels| SheetImage { pixels, width, height, caption: String::new() };
    let short = draw("short", &[image(2, 2, &[0; 4]), image(2, 3, &[0; 5])], 2);
    assert!(matches!(&short, PictureError::Length { what, expected: 6, found: 5 } if what.contains("image 1")), "{short}");
    assert!(matches!(draw("none", &[], 2), PictureError::TooFew { .. }));
    assert!(matches!(draw("columns", &[image(1, 1, &[0])], 0), PictureError::TooFew { .. }));
    assert!(matches!(draw("flat", &[image(0, 3, &[])], 1), PictureError::TooFew { .. }));
    assert!(matches!(draw("overflow", &[image(usize::MAX, 2, &[0])], 1), PictureError::Length { .. }));
    let many = vec![image(1, 1, &[0]); 10_000];
    assert!(matches!(draw("large", &many, 10_000), PictureError::TooLarge { .. }));
}

#[test]
fn the_length_of_a_bar_is_its_value() {
    let draw = |name: &str, values: &[f64]| {
        let groups = [BarGroup { name: "", values }];
        picture(name, |path| {
            bar_chart(path, &BarChart { names: &GARMENTS[..values.len()], groups: &groups, ..BarChart::default() })
        })
    };
    let bars = draw("bars", &[100.0, 50.0, -25.0, f64::NAN]);
    assert_white_edge(&bars);
    // The longest run of bar colour in a row of pixels, per bar.
    let mut lengths: Vec<u32> = Vec::new();
    let mut inside = false;
    for y in 0..bars.height() {
        let ink = (0..900)
            .filter(|&x| {
                let [r, g, b] = rgb(&bars, x, y);
                r < 40 && g > 100 && b > 150
            })
            .count() as u32;
        if ink > 50 && !inside {
            lengths.push(0);
        }
        inside = ink > 50;
        if let (true, Some(length)) = (inside, lengths.last_mut()) {
            *length = ink.max(*length);
        }
    }
    let [hundred, fifty, minus] = lengths[..] else { panic!("three bars expected, found {lengths:?}") };
    assert!(hundred.abs_diff(2 * fifty) <= 4 && hundred.abs_diff(4 * minus) <= 8, "{lengths:?}");

    let short = BarChart { names: &["a", "b"], groups: &[BarGroup { name: "g", values: &[1.0] }], ..BarChart::default() };
    assert!(matches!(refused("short-bars", |path| bar_chart(path, &short)), PictureError::Length { expected: 2, found: 1, .. }));
    let nan = BarChart { names: &["a"], groups: &[BarGroup { name: "g", values: &[f64::NAN] }], ..BarChart::default() };
    assert!(matches!(refused("nan-bars", |path| bar_chart(path, &nan)), PictureError::NothingToShow { .. }));
    assert!(matches!(refused("no-bars", |path| bar_chart(path, &BarChart::default())), PictureError::TooFew { .. }));
    draw("zero-bars", &[0.0, 0.0]);
}

#[test]
fn a_histogram_writes_a_picture_or_refuses() {
    let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin()).collect();
    let sets = [HistogramSet { name: "layer 1", values: &values }, HistogramSet { name: "layer 2", values: &values[..10] }];
    let chart = Histogram { title: "Activations", x_label: "value", sets: &sets, ..Histogram::default() };
    let both = picture("histogram", |path| histogram(path, &chart));
    assert_eq!(size(&both), (900, 600));
    assert_white_edge(&both);
    assert!(count(&both, BLUE) > 300 && count(&both, VERMILLION) > 300);

    assert!(matches!(refused("sets", |path| histogram(path, &Histogram::default())), PictureError::TooFew { .. }));
    assert!(matches!(refused("bins", |path| histogram(path, &Histogram { bins: 0, ..chart })), PictureError::TooFew { .. }));
    let outside = Histogram { range: Some((5.0, 6.0)), ..chart };
    assert!(matches!(refused("outside", |path| histogram(path, &outside)), PictureError::NothingToShow { .. }));
    let nan = [HistogramSet { name: "", values: &[f32::NAN] }];
    assert!(matches!(
        refused("nan-set", |path| histogram(path, &Histogram { sets: &nan, ..chart })),
        PictureError::NothingToShow { .. }
    ));
}

fn plane() -> Grid {
    Grid { columns: 41, rows: 41, x_range: (-1.0, 1.0), y_range: (-1.0, 1.0) }
}

#[test]
fn a_decision_boundary_lies_where_the_answer_changes() {
    // Class 1 in the upper right quarter only: this also tells up from down and left from right.
    let quarter: Vec<usize> = plane().points().map(|(x, y)| usize::from(x > 0.0 && y > 0.0)).collect();
    let chart = DecisionBoundary {
        title: "Quarter",
        x_label: "x₁",
        y_label: "x₂",
        grid: plane(),
        regions: Regions::Classes(&quarter),
        points: &[(-0.5, -0.5), (7.0, 7.0)],
        classes: &[1, 0],
        names: &["other", "quarter"],
    };
    let regions = picture("regions", |path| decision_boundary(path, &chart));
    assert_eq!(size(&regions), (800, 700));
    assert_white_edge(&regions);
    let (blue, orange) = (palette::mix(BLUE, [255; 3], 0.65), palette::mix(VERMILLION, [255; 3], 0.65));
    assert_eq!((rgb(&regions, 650, 150), rgb(&regions, 150, 150)), (orange, blue));
    assert_eq!((rgb(&regions, 150, 600), rgb(&regions, 650, 600)), (blue, blue));
    // The point of class 1 stands in the lower left; the one of class 0 is outside.
    let found = (380..600).any(|y| (100..400).any(|x| rgb(&regions, x, y) == VERMILLION));
    assert!(found, "the point is missing");

    let probability: Vec<f64> = plane().points().map(|(x, _)| 0.5 + 0.5 * x).collect();
    let smooth = picture("probability", |path| {
        decision_boundary(path, &DecisionBoundary { regions: Regions::Probability(&probability), ..chart })
    });
    // The boundary is an upright dark line in the middle of the frame.
    let dark = (300..600).find(|&x| (100..600).all(|y| rgb(&smooth, x, y).iter().all(|&channel| channel < 90)));
    assert!(dark.is_some_and(|x| (400..460).contains(&x)), "{dark:?}");
    let ([r0, _, b0], [r1, _, b1]) = (rgb(&smooth, 100, 300), rgb(&smooth, 770, 300));
    assert!(b0 > r0 && r1 > b1, "blue at the left, orange at the right");
}

#[test]
fn decision_boundaries_refuse_what_does_not_match() {
    let answers = vec![0usize; 41 * 41];
    let good = DecisionBoundary {
        title: "",
        x_label: "",
        y_label: "",
        grid: plane(),
        regions: Regions::Classes(&answers),
        points: &[(0.0, 0.0)],
        classes: &[0],
        names: &["a", "b"],
    };
    let draw = |name: &str, chart: DecisionBoundary<'_>| refused(name, |path| decision_boundary(path, &chart));
    let short = DecisionBoundary { regions: Regions::Classes(&answers[1..]), ..good };
    assert!(matches!(draw("short-grid", short), PictureError::Length { expected: 1681, found: 1680, .. }));
    assert!(matches!(
        draw("no-classes", DecisionBoundary { classes: &[], ..good }),
        PictureError::Length { expected: 1, found: 0, .. }
    ));
    assert!(matches!(
        draw("class", DecisionBoundary { classes: &[2], ..good }),
        PictureError::Class { index: 0, classes: 2, found: 2, .. }
    ));
    let three = DecisionBoundary { regions: Regions::Probability(&[0.0; 1681]), names: &["a", "b", "c"], ..good };
    assert!(matches!(draw("three", three), PictureError::Length { expected: 2, found: 3, .. }));
    let thin = Grid { columns: 1, ..plane() };
    assert!(matches!(draw("thin", DecisionBoundary { grid: thin, ..good }), PictureError::TooFew { at_least: 2, found: 1, .. }));
    let turned = Grid { x_range: (1.0, -1.0), ..plane() };
    assert!(matches!(draw("turned", DecisionBoundary { grid: turned, ..good }), PictureError::Range { .. }));
}

#[test]
fn a_contour_map_shows_values_lines_and_paths() {
    let bowl: Vec<f64> = plane().points().map(|(x, y)| x * x + y * y).collect();
    let path: Vec<(f64, f64)> = (0..20).map(|i| (0.9 * 0.8f64.powi(i), 0.7 * 0.6f64.powi(i))).collect();
    let chart = ContourMap {
        title: "Bowl",
        x_label: "w₁",
        y_label: "w₂",
        value_label: "loss",
        grid: plane(),
        values: &bowl,
        value_scale: Scale::Linear,
        levels: 0,
        paths: &[],
    };
    let draw = |name: &str, chart: ContourMap<'_>| picture(name, |path| contour_map(path, &chart));
    let (plain, lines) = (draw("plain", chart), draw("lines", ContourMap { levels: 8, ..chart }));
    let paths = [Series::new("descent", &path)];
    let descent = draw("descent", ContourMap { paths: &paths, ..chart });
    assert_eq!(size(&plain), (900, 700));
    assert_white_edge(&descent);
    let differ = |a: &Pixmap, b: &Pixmap| a.pixels().iter().zip(b.pixels()).filter(|(a, b)| a != b).count();
    assert!(differ(&plain, &lines) > 3000, "no contour lines");
    assert!(count(&descent, VERMILLION) > 500 && count(&plain, VERMILLION) == 0);

    // The minimum is not positive: without a colour on a logarithmic scale, and only it and the cells around it.
    let grey = count(&draw("log-bowl", ContourMap { value_scale: Scale::Log, ..chart }), palette::MISSING);
    let share = grey as f64 / (670.0 * 560.0);
    assert!((0.5..2.0).contains(&(share * 1600.0 / 4.0)), "{grey} grey pixels");

    let short = refused("short-map", |path| contour_map(path, &ContourMap { values: &bowl[1..], ..chart }));
    assert!(matches!(short, PictureError::Length { expected: 1681, found: 1680, .. }), "{short}");
    let nan = refused("nan-map", |path| contour_map(path, &ContourMap { values: &[f64::NAN; 1681], ..chart }));
    assert!(matches!(nan, PictureError::NothingToShow { .. }), "{nan}");
    let empty = refused("empty-path", |path| contour_map(path, &ContourMap { paths: &[Series::new("p", &[])], ..chart }));
    assert!(matches!(empty, PictureError::TooFew { .. }), "{empty}");
    // One value everywhere still has a colour.
    draw("flat-map", ContourMap { values: &[3.0; 1681], levels: 5, ..chart });
}

#[test]
fn files_are_replaced_whole_and_errors_name_the_path() {
    let chart = |path: &Path| confusion_matrix(path, &[1], 1, &["a"]);
    let folder = Folder::new("files");
    fs::write(folder.file(), b"old").unwrap();
    chart(&folder.file()).unwrap();
    assert_eq!((&fs::read(folder.file()).unwrap()[..8], folder.files()), (&b"\x89PNG\r\n\x1a\n"[..], 1));

    let missing = folder.0.join("missing").join("picture.png");
    let error = chart(&missing).unwrap_err();
    assert!(
        matches!(&error, PictureError::NoFolder { path, folder } if *path == missing && folder.ends_with("missing")),
        "{error}"
    );
    assert!(error.to_string().contains("picture.png"));

    // A folder stands where the picture should be: the rename fails, and the temporary file goes away.
    let occupied = folder.0.join("occupied");
    fs::create_dir(&occupied).unwrap();
    let error = chart(&occupied).unwrap_err();
    assert!(matches!(&error, PictureError::Write { path, .. } if *path == occupied), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(folder.files(), 2, "a temporary file was left");
    assert!(matches!(chart(Path::new("")).unwrap_err(), PictureError::Write { .. }));
}
