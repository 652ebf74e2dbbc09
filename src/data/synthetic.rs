//! Garments drawn by procedure: a stand-in for Fashion-MNIST where its files are not at hand.
//!
//! Each image is a few filled polygons: an outline whose measures are drawn at random for each image, then what is sewn onto it (collar,
//! buttons, sole, straps), then fabric (stripes, checks, a gradient), then noise. The ten classes and their order are those of Fashion-MNIST, and so
//! are the difficulties: shirts, T-shirts, pullovers and coats share one pattern with overlapping measures, and so do the three shoes. A linear
//! model therefore makes more mistakes than a network with a hidden layer, and neither gets everything right.
//!
//! The bytes depend on the seed and the number of the row only. There is no call of a mathematical library whose last bit could differ:
//! everything is `+ - * /` on `f32`, curves included.

use super::{
    dataset::Dataset,
    random::{Purpose, Random},
};
use crate::memory::vec_in_huge_pages;

/// Width and height of an image.
pub const SIDE: usize = 28;

/// The number of classes.
pub const CLASSES: usize = 10;

/// A dataset of that many garments, 28x28 grey levels on black.
///
/// Row `i` depends on `seed` and `i` only, so a longer dataset continues a shorter one. Every ten rows from a multiple of ten on hold each class
/// once, in random order. Rows of different seeds are unrelated: take one seed for training and another one for the test.
///
/// # Panics
/// If there are more rows than [`Dataset::MAX_ROWS`], or than memory.
pub fn garments(rows: usize, seed: u64) -> Dataset {
    assert!(rows <= Dataset::MAX_ROWS, "at most {} rows expected, found {rows}", Dataset::MAX_ROWS);
    let bytes = rows.saturating_mul(SIDE * SIDE);
    let mut pixels = vec_in_huge_pages(bytes);
    pixels.resize(bytes, 0);
    let mut labels = vec![0; rows];
    let draw_run = |first: usize, pixels: &mut [u8], labels: &mut [u8]| {
        for (i, (image, label)) in pixels.chunks_exact_mut(SIDE * SIDE).zip(labels).enumerate() {
            let row = (first + i) as u64;
            *label = class_of(seed, row);
            draw(*label, &mut Random::new(Purpose::Garment, seed, row), image);
        }
    };
    // Rows are independent, so each thread draws a run of them, if there are enough to be worth a thread.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(rows / 256);
    if threads <= 1 {
        draw_run(0, &mut pixels, &mut labels);
    } else {
        let run = rows.div_ceil(threads);
        std::thread::scope(|scope| {
            for (number, (pixels, labels)) in pixels.chunks_mut(run * SIDE * SIDE).zip(labels.chunks_mut(run)).enumerate() {
                scope.spawn(move || draw_run(number * run, pixels, labels));
            }
        });
    }
    match Dataset::new(pixels, &[SIDE, SIDE], labels, CLASSES) {
        Ok(dataset) => dataset,
        Err(error) => panic!("{error}"),
    }
}

/// The class of a row: each run of ten rows has its own permutation of the classes.
fn class_of(seed: u64, row: u64) -> u8 {
    let mut order = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    Random::new(Purpose::GarmentClass, seed, row / CLASSES as u64).shuffle(&mut order);
    order[(row % CLASSES as u64) as usize] as u8
}

fn draw(class: u8, random: &mut Random, image: &mut [u8]) {
    let mut sketch = Sketch::new(random);
    match class {
        0 => top(&mut sketch, random, Top::TShirt),
        1 => trouser(&mut sketch, random),
        2 => top(&mut sketch, random, Top::Pullover),
        3 => dress(&mut sketch, random),
        4 => top(&mut sketch, random, Top::Coat),
        5 => sandal(&mut sketch, random),
        6 => top(&mut sketch, random, Top::Shirt),
        7 => sneaker(&mut sketch, random),
        8 => bag(&mut sketch, random),
        _ => ankle_boot(&mut sketch, random),
    }
    sketch.develop(random, image);
}

// ---------------------------------------------------------------------------------------------------------------------------------
// The garments. Coordinates are pixels from the middle of the image, x to the right, y down; an image reaches from -14 to 14.

/// Garments cut from the same pattern: a body and two sleeves.
#[derive(Clone, Copy, PartialEq)]
enum Top {
    TShirt,
    Pullover,
    Coat,
    Shirt,
}

fn top(sketch: &mut Sketch, random: &mut Random, kind: Top) {
    let shade = sketch.shade;
    // How far down the sleeves reach: 0 at the shoulder, 1 at the hem.
    let sleeve = match kind {
        Top::TShirt => random.between(0.16, 0.46),
        Top::Shirt if random.chance(0.35) => random.between(0.2, 0.5),
        Top::Shirt => random.between(0.65, 0.97),
        Top::Pullover => random.between(0.78, 1.02),
        Top::Coat => random.between(0.75, 1.0),
    };
    let bottom = match kind {
        Top::Coat => random.between(11.0, 13.2),
        Top::TShirt => random.between(9.5, 12.5),
        _ => random.between(9.5, 12.8),
    };
    let chest = random.between(5.2, 6.8);
    let waist = chest * random.between(0.88, 1.02);
    let hem = chest * if kind == Top::Coat { random.between(1.0, 1.22) } else { random.between(0.93, 1.12) };
    let shoulder = chest + random.between(0.2, 1.3);
    let neck = random.between(1.9, 3.0);
    let neck_depth = match kind {
        Top::TShirt => random.between(0.6, 3.2),
        Top::Pullover => random.between(0.2, 2.0),
        Top::Coat => random.between(0.5, 3.5),
        Top::Shirt => random.between(0.2, 2.0),
    };
    let top = -random.between(11.0, 12.6);
    let length = bottom - top;

    // Sleeves: short ones stand off, long ones hang beside the body.
    let reach = length * sleeve * random.between(0.9, 1.0);
    let stand = (2.2 + 5.0 * sleeve * random.between(0.55, 1.0)).min(12.9 - shoulder);
    let (cuff_x, cuff_y) = (shoulder + stand, top + 1.2 + reach);
    let cuff = random.between(1.5, 2.3) + (1.0 - sleeve) * 1.3;
    let armpit = top + random.between(5.4, 7.2);
    for side in [-1.0, 1.0] {
        let sleeve = [
            (side * (shoulder - 1.0), top + 0.9),
            (side * (shoulder + 0.3), top + 1.5),
            (side * (cuff_x + 0.3), cuff_y - 0.6),
            (side * (cuff_x - cuff), cuff_y + 0.5),
            (side * (chest - 0.4), armpit),
        ];
        sketch.fill(&sleeve, shade * 0.93);
        if kind == Top::Pullover && sketch.detail > 0.35 {
            let ribs = [
                (side * (cuff_x + 0.3), cuff_y - 0.6),
                (side * (cuff_x - cuff), cuff_y + 0.5),
                (side * (cuff_x - cuff - 0.2), cuff_y - 0.9),
                (side * (cuff_x + 0.1), cuff_y - 1.9),
            ];
            sketch.fill(&ribs, shade * 0.78);
        }
        // The seam, or the shadow between sleeve and body.
        sketch.stroke((side * chest, armpit - 0.5), (side * waist, cuff_y.min(bottom)), 0.55, shade * 0.25);
    }

    sketch.fill_mirrored(
        &[
            (0.0, top + neck_depth),
            (neck * 0.7, top + neck_depth * 0.6),
            (neck, top),
            (shoulder, top + 1.4),
            (chest, armpit),
            (waist, (armpit + bottom) * 0.5),
            (hem, bottom),
            (0.0, bottom + 0.3),
        ],
        shade,
    );

    let light = if shade > 0.6 { shade * 0.72 } else { (shade * 1.35 + 0.08).min(1.0) };
    match kind {
        Top::TShirt => {
            // Sometimes a print on the chest.
            if random.chance(0.4) {
                let (x, y) = (random.between(-1.0, 1.0), random.between(-4.0, 1.0));
                let (width, height) = (random.between(1.5, 3.5), random.between(1.0, 3.5));
                sketch.fill_ellipse((x, y), width, height, light);
            }
        }
        Top::Pullover => {
            sketch.stroke((-neck, top + 0.3), (0.0, top + neck_depth + 0.6), 0.7, light);
            sketch.stroke((neck, top + 0.3), (0.0, top + neck_depth + 0.6), 0.7, light);
            if sketch.detail > 0.25 {
                sketch.fill(&[(-hem, bottom - 1.3), (hem, bottom - 1.3), (hem, bottom + 0.2), (-hem, bottom + 0.2)], shade * 0.8);
            }
        }
        Top::Coat => {
            let open = random.between(0.25, 0.9);
            sketch.fill(
                &[(-0.2, top + neck_depth), (0.2, top + neck_depth), (open, bottom + 0.4), (-open, bottom + 0.4)],
                shade * 0.18,
            );
            let lapel = random.between(2.5, 6.0);
            for side in [-1.0, 1.0] {
                sketch.fill(&[(side * neck, top), (side * 0.2, top + neck_depth + lapel), (side * (neck + 1.0), top + 2.4)], light);
                if random.chance(0.5) {
                    sketch.stroke((side * 2.0, 4.0), (side * 4.4, 3.6), 0.5, shade * 0.5);
                }
            }
        }
        Top::Shirt => {
            for side in [-1.0, 1.0] {
                sketch.fill(&[(side * neck, top - 0.4), (0.0, top + neck_depth), (side * (neck + 0.3), top + 2.2)], light);
            }
            if sketch.detail > 0.2 {
                sketch.stroke((0.0, top + neck_depth), (0.0, bottom), 0.35, shade * 0.72);
                let buttons = random.between(4.0, 7.0) as i32;
                for button in 1..=buttons {
                    let y = top + neck_depth + (bottom - top - neck_depth) * button as f32 / (buttons + 1) as f32;
                    sketch.fill_ellipse((0.0, y), 0.5, 0.5, light);
                }
            }
        }
    }
}

fn trouser(sketch: &mut Sketch, random: &mut Random) {
    let shade = sketch.shade;
    let (top, bottom) = (-random.between(11.5, 13.2), random.between(11.5, 13.2));
    let waist = random.between(2.8, 4.4);
    let hip = waist + random.between(0.3, 1.5);
    let crotch = top + random.between(5.5, 9.0);
    let knee = hip + random.between(-0.5, 0.6);
    let ankle = hip + random.between(-0.9, 1.2);
    let gap = random.between(0.0, 1.6);
    let leg = random.between(0.55, 0.95);
    sketch.fill_mirrored(
        &[
            (0.0, top + 0.4),
            (waist, top),
            (hip, crotch - 1.5),
            (knee, (crotch + bottom) * 0.5),
            (ankle, bottom),
            (gap + (ankle - gap) * (1.0 - leg), bottom),
            (gap * 0.6 + 0.15, (crotch + bottom) * 0.5),
            (0.0, crotch),
        ],
        shade,
    );
    sketch.stroke((0.0, crotch), (0.0, bottom), 0.4 + gap * 0.3, shade * 0.15);
    if sketch.detail > 0.4 {
        sketch.stroke((-waist, top + 1.0), (waist, top + 1.0), 0.8, shade * 0.7);
        sketch.stroke((0.0, top + 1.0), (0.0, crotch), 0.35, shade * 0.6);
    }
}

fn dress(sketch: &mut Sketch, random: &mut Random) {
    let shade = sketch.shade;
    let (top, bottom) = (-random.between(11.5, 13.2), random.between(11.0, 13.2));
    let shoulder = random.between(2.4, 4.6);
    let neck = shoulder * random.between(0.4, 0.75);
    let neck_depth = random.between(0.5, 4.0);
    let chest = random.between(2.8, 4.6);
    let waist = chest * random.between(0.68, 1.0);
    let hem = waist + random.between(0.4, 4.5);
    let armpit = top + random.between(4.0, 5.5);
    let middle = random.between(-4.0, 0.5);
    if random.chance(0.4) {
        let reach = if random.chance(0.3) { random.between(8.0, 17.0) } else { random.between(2.0, 5.0) };
        let stand = shoulder + random.between(1.5, 3.5);
        for side in [-1.0, 1.0] {
            sketch.fill(
                &[
                    (side * (shoulder - 0.8), top + 0.2),
                    (side * (shoulder + 0.4), top + 0.7),
                    (side * stand, top + 1.5 + reach),
                    (side * (stand - 1.7), top + 1.9 + reach),
                    (side * (chest - 0.5), armpit),
                ],
                shade * 0.9,
            );
        }
    }
    sketch.fill_mirrored(
        &[
            (0.0, top + neck_depth),
            (neck, top),
            (shoulder, top + 0.4),
            (chest, armpit),
            (waist, middle),
            (waist + (hem - waist) * 0.6, (middle + bottom) * 0.5),
            (hem, bottom),
            (0.0, bottom + 0.5),
        ],
        shade,
    );
    if sketch.detail > 0.5 {
        sketch.stroke((-waist, middle), (waist, middle), 0.9, shade * 0.55);
    }
}

/// Where the toe, the heel and the ground of a shoe are. All shoes point to the left.
struct Foot {
    toe: f32,
    heel: f32,
    ground: f32,
}

impl Foot {
    fn new(random: &mut Random) -> Self {
        Self { toe: -random.between(11.6, 13.3), heel: random.between(11.0, 13.2), ground: random.between(3.5, 7.0) }
    }
}

fn sandal(sketch: &mut Sketch, random: &mut Random) {
    let Foot { toe, heel, ground } = Foot::new(random);
    let shade = sketch.shade;
    // How much higher the heel stands than the toe.
    let raised = if random.chance(0.5) { random.between(2.5, 8.0) } else { random.between(0.2, 2.5) };
    let sole = random.between(0.9, 2.2);
    let arch = toe + (heel - toe) * random.between(0.35, 0.55);
    let heel_top = ground - raised;
    sketch.fill(
        &[
            (toe, ground - sole),
            (arch, ground - sole - raised * 0.2),
            (heel, heel_top - sole),
            (heel, heel_top + 0.3),
            (arch, ground - raised * 0.1),
            (toe + 0.5, ground),
        ],
        shade,
    );
    let heel_width = random.between(0.7, 3.5);
    sketch.fill(
        &[(heel - heel_width, heel_top - 0.4), (heel, heel_top - 0.4), (heel - 0.3, ground), (heel - heel_width * 0.8, ground)],
        shade * 0.85,
    );
    if random.chance(0.25) {
        // A wedge.
        sketch.fill(&[(arch, ground - raised * 0.1), (heel, heel_top), (heel, ground), (arch - 1.0, ground)], shade * 0.6);
    }

    // Straps: over the toes, across, and round the ankle.
    let width = random.between(0.6, 1.7);
    let rise = random.between(2.5, 6.5);
    let strap = shade * random.between(0.7, 1.15);
    let front = toe + random.between(1.0, 3.5);
    sketch.stroke((front, ground - sole), (front + 3.5, ground - sole - rise), width, strap);
    sketch.stroke((front + 3.5, ground - sole - rise), (arch + 1.0, ground - sole - raised * 0.3), width, strap);
    if random.chance(0.75) {
        let ankle = heel_top - random.between(4.0, 8.5);
        sketch.stroke((heel - 0.6, heel_top - sole), (heel - 1.2, ankle), width, strap);
        sketch.stroke((heel - 1.2, ankle), (heel - random.between(6.0, 9.0), ankle + random.between(0.0, 3.0)), width, strap);
    }
    if random.chance(0.5) {
        let x = arch + random.between(-1.0, 3.0);
        sketch.stroke(
            (x, ground - sole - raised * 0.4),
            (x + random.between(0.5, 3.5), heel_top - random.between(3.0, 7.0)),
            width,
            strap,
        );
    }
}

fn sneaker(sketch: &mut Sketch, random: &mut Random) {
    let Foot { toe, heel, ground } = Foot::new(random);
    let shade = sketch.shade;
    let sole = random.between(1.0, 2.4);
    let collar = ground - random.between(6.0, 9.6);
    let tongue = toe + (heel - toe) * random.between(0.48, 0.64);
    let toe_height = random.between(2.0, 3.6);
    let lift = random.between(-0.6, 1.6);
    sketch.fill(
        &[
            (toe, ground - sole * 0.8),
            (toe + 0.6, ground - toe_height),
            (toe + 4.5, ground - toe_height - 1.2),
            (tongue, collar - lift),
            (tongue + 1.8, collar - lift + 0.3),
            ((tongue + heel) * 0.5 + 1.0, collar + 1.4),
            (heel - 1.0, collar - 0.2),
            (heel, collar + 0.8),
            (heel, ground - sole * 0.6),
        ],
        shade,
    );
    let light = if random.chance(0.7) { random.between(0.75, 1.0) } else { shade * 0.45 };
    sketch.fill(&[(toe, ground - sole), (heel + 0.2, ground - sole), (heel, ground), (toe + 0.8, ground + 0.1)], light);
    if sketch.detail > 0.25 {
        // Laces, and a band on the side.
        for lace in 0..3 {
            let t = (lace as f32 + 0.8) / 4.0;
            let (x, y) =
                (toe + 4.5 + (tongue - toe - 4.5) * t, ground - toe_height - 1.2 + (collar - ground + toe_height + 1.2) * t);
            sketch.stroke((x - 0.3, y + 0.2), (x + 1.6, y + 1.7), 0.45, light);
        }
    }
    if random.chance(0.6) {
        let x = tongue - random.between(1.0, 3.0);
        sketch.stroke((x, ground - sole), (x + random.between(2.0, 5.0), collar + 2.2), random.between(0.6, 1.4), light * 0.8);
    }
}

fn ankle_boot(sketch: &mut Sketch, random: &mut Random) {
    let Foot { toe, heel, ground } = Foot::new(random);
    let shade = sketch.shade;
    let ground = ground + random.between(2.0, 6.0);
    let shaft = ground - random.between(10.5, 21.5);
    let sole = random.between(0.6, 2.0);
    let raised = if random.chance(0.45) { random.between(1.5, 5.0) } else { random.between(0.0, 1.2) };
    let front = heel - random.between(8.0, 11.5);
    let toe_height = random.between(2.4, 4.0);
    let instep = ground - toe_height - random.between(2.5, 4.5) - raised * 0.4;
    sketch.fill(
        &[
            (toe, ground - sole),
            (toe + 0.5, ground - toe_height),
            (toe + 4.0, ground - toe_height - 1.0),
            (front - 3.0, instep + 1.4),
            (front, instep - 1.2),
            (front + random.between(-0.8, 0.6), shaft),
            (heel - random.between(0.0, 1.0), shaft + random.between(-0.6, 0.6)),
            (heel - 0.5, instep),
            (heel, ground - raised),
            (toe + (heel - toe) * 0.5, ground - raised * 0.3),
            (toe + 3.0, ground),
        ],
        shade,
    );
    let heel_width = random.between(1.5, 5.0);
    let dark = shade * random.between(0.35, 0.8);
    sketch.fill(
        &[
            (heel - heel_width, ground - raised - 1.0),
            (heel, ground - raised - 1.0),
            (heel - 0.2, ground),
            (heel - heel_width * 0.9, ground),
        ],
        dark,
    );
    sketch.fill(&[(toe, ground - sole), (front, ground - sole), (front, ground), (toe + 0.6, ground)], dark);
    if random.chance(0.4) {
        // An elastic panel or a zip.
        sketch.stroke((heel - 4.5, instep), (heel - 4.5, shaft + 1.0), random.between(0.5, 2.0), shade * 0.6);
    }
}

fn bag(sketch: &mut Sketch, random: &mut Random) {
    let shade = sketch.shade;
    let half = random.between(7.0, 12.8);
    let bottom = random.between(7.0, 12.5);
    let top = bottom - random.between(9.0, 17.0);
    let slant = half * random.between(0.78, 1.02);
    let band = shade * random.between(0.6, 1.1);

    // The handle: an arc over the bag, or none.
    if random.chance(0.85) {
        let height = random.between(2.5, (top + 13.5).clamp(2.6, 10.0));
        let reach = slant * random.between(0.35, 0.8);
        let width = random.between(0.7, 1.6);
        let arc = |t: f32| (reach * (1.0 - t * t) / (1.0 + t * t), top + 0.5 - height * 2.0 * t / (1.0 + t * t));
        for step in 0..6 {
            let (from, to) = (arc(step as f32 / 6.0), arc((step + 1) as f32 / 6.0));
            sketch.stroke(from, to, width, band);
            sketch.stroke((-from.0, from.1), (-to.0, to.1), width, band);
        }
    }
    sketch.fill_mirrored(
        &[(0.0, top), (slant * 0.92, top), (slant, top + 1.0), (half, bottom - 1.2), (half * 0.94, bottom), (0.0, bottom)],
        shade,
    );
    if random.chance(0.55) {
        // A flap.
        let flap = top + (bottom - top) * random.between(0.3, 0.6);
        sketch.fill_mirrored(&[(0.0, top), (slant * 0.92, top), (slant * 0.9, flap - 1.5), (0.0, flap)], shade * 0.82);
        sketch.stroke((-slant * 0.9, flap - 1.2), (0.0, flap + 0.2), 0.5, shade * 0.4);
        sketch.stroke((slant * 0.9, flap - 1.2), (0.0, flap + 0.2), 0.5, shade * 0.4);
        sketch.fill_ellipse((0.0, flap - 0.8), 0.9, 0.8, (shade * 1.5).min(1.0));
    } else if random.chance(0.6) {
        sketch.stroke((-slant * 0.9, top + 1.8), (slant * 0.9, top + 1.8), 0.6, shade * 0.5);
    }
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Pen and paper.

type Point = (f32, f32);

/// A pattern in the fabric.
#[derive(Clone, Copy)]
enum Fabric {
    Plain,
    /// Stripes across `direction`, as many per pixel as `frequency` says.
    Stripes {
        direction: Point,
        frequency: f32,
        depth: f32,
    },
    Checks {
        frequency: f32,
        depth: f32,
    },
}

/// A drawing in progress: grey levels in `0..=1`, and how coordinates of the garment become pixels.
struct Sketch {
    canvas: [f32; SIDE * SIDE],
    /// The columns of the matrix from garment to pixels, and the pixel of the garment's origin.
    across: Point,
    down: Point,
    origin: Point,
    /// The grey level of the cloth.
    shade: f32,
    /// How much of the detail is drawn, in `0..1`.
    detail: f32,
}

/// Lines of samples in a row of pixels. Along a line the coverage is exact.
const LINES: usize = 4;

impl Sketch {
    /// Empty paper with a random position, size, slant, and cloth.
    fn new(random: &mut Random) -> Self {
        let (width, height) = (random.between(0.84, 1.05), random.between(0.86, 1.05));
        // Tangent of half the angle of rotation; the squares in the denominators make sine and cosine of it.
        let t = random.between(-0.035, 0.035);
        let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let slant = random.between(-0.05, 0.05);
        Self {
            canvas: [0.0; SIDE * SIDE],
            across: (cosine * width, sine * width),
            down: ((slant - sine) * height, cosine * height),
            origin: (14.0 + random.between(-1.3, 1.3), 14.0 + random.between(-1.3, 1.3)),
            shade: if random.chance(0.3) { random.between(0.18, 0.45) } else { random.between(0.45, 0.95) },
            detail: random.unit(),
        }
    }

    fn to_pixels(&self, (x, y): Point) -> Point {
        (self.origin.0 + self.across.0 * x + self.down.0 * y, self.origin.1 + self.across.1 * x + self.down.1 * y)
    }

    /// Paints a polygon over what is there; where it crosses itself, the even-odd rule decides.
    fn fill(&mut self, points: &[Point], shade: f32) {
        let shade = shade.clamp(0.0, 1.0);
        let mut corners = [(0.0, 0.0); 32];
        let corners = &mut corners[..points.len()];
        for (corner, &point) in corners.iter_mut().zip(points) {
            *corner = self.to_pixels(point);
        }
        for y in 0..SIDE {
            let mut coverage = [0.0; SIDE];
            let mut touched = false;
            for line in 0..LINES {
                let level = y as f32 + (line as f32 + 0.5) / LINES as f32;
                let mut crossings = [0.0; 32];
                let mut count = 0;
                let mut from = corners[corners.len() - 1];
                for &to in corners.iter() {
                    if (from.1 <= level) != (to.1 <= level) {
                        crossings[count] = from.0 + (to.0 - from.0) * (level - from.1) / (to.1 - from.1);
                        count += 1;
                    }
                    from = to;
                }
                let crossings = &mut crossings[..count];
                crossings.sort_unstable_by(f32::total_cmp);
                for span in crossings.chunks_exact(2) {
                    touched = true;
                    let (start, end) = (span[0].clamp(0.0, SIDE as f32), span[1].clamp(0.0, SIDE as f32));
                    let first = start as usize;
                    let pixels = first..SIDE.min(end as usize + 1).max(first);
                    for (x, coverage) in pixels.clone().zip(&mut coverage[pixels]) {
                        *coverage += (end.min(x as f32 + 1.0) - start.max(x as f32)) / LINES as f32;
                    }
                }
            }
            if touched {
                for (pixel, coverage) in self.canvas[y * SIDE..(y + 1) * SIDE].iter_mut().zip(coverage) {
                    *pixel += (shade - *pixel) * coverage.clamp(0.0, 1.0);
                }
            }
        }
    }

    /// Paints the polygon of the points and of their mirror images on the left. The first and the last point lie on the axis `x = 0`.
    fn fill_mirrored(&mut self, right: &[Point], shade: f32) {
        let mut points = [(0.0, 0.0); 32];
        let mut count = 0;
        for &point in right {
            points[count] = point;
            count += 1;
        }
        for &(x, y) in right.iter().rev().filter(|(x, _)| *x != 0.0) {
            points[count] = (-x, y);
            count += 1;
        }
        self.fill(&points[..count], shade);
    }

    fn fill_ellipse(&mut self, (x, y): Point, width: f32, height: f32, shade: f32) {
        // The rational parametrization of the circle over one quadrant after the other.
        let mut points = [(0.0, 0.0); 16];
        for (i, point) in points.iter_mut().enumerate() {
            let t = (i % 4) as f32 / 4.0;
            let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
            let (cosine, sine) = [(cosine, sine), (-sine, cosine), (-cosine, -sine), (sine, -cosine)][i / 4];
            *point = (x + width * cosine, y + height * sine);
        }
        self.fill(&points, shade);
    }

    /// Paints a straight line.
    fn stroke(&mut self, from: Point, to: Point, width: f32, shade: f32) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = (dx * dx + dy * dy).sqrt();
        if length > 0.0 {
            let (x, y) = (-dy / length * width * 0.5, dx / length * width * 0.5);
            self.fill(&[(from.0 + x, from.1 + y), (to.0 + x, to.1 + y), (to.0 - x, to.1 - y), (from.0 - x, from.1 - y)], shade);
        }
    }

    /// Fabric, light, noise and bytes.
    fn develop(&self, random: &mut Random, image: &mut [u8]) {
        let fabric = match random.unit() {
            x if x < 0.62 => Fabric::Plain,
            x if x < 0.74 => {
                Fabric::Stripes { direction: (0.0, 1.0), frequency: random.between(0.12, 0.4), depth: random.between(0.15, 0.6) }
            }
            x if x < 0.86 => {
                Fabric::Stripes { direction: (1.0, 0.0), frequency: random.between(0.12, 0.4), depth: random.between(0.15, 0.6) }
            }
            x if x < 0.92 => {
                Fabric::Stripes { direction: (0.7, 0.7), frequency: random.between(0.12, 0.3), depth: random.between(0.15, 0.5) }
            }
            _ => Fabric::Checks { frequency: random.between(0.12, 0.35), depth: random.between(0.15, 0.5) },
        };
        let light: Point = (random.between(-0.012, 0.012), random.between(-0.012, 0.012));
        let noise = random.between(0.02, 0.16);
        let phase = random.unit();
        let mirrored = random.chance(0.12);

        for (y, row) in image.chunks_exact_mut(SIDE).enumerate() {
            for (x, byte) in row.iter_mut().enumerate() {
                let grey = self.canvas[y * SIDE + if mirrored { SIDE - 1 - x } else { x }];
                let (u, v) = (x as f32 - 13.5, y as f32 - 13.5);
                let pattern = match fabric {
                    Fabric::Plain => 1.0,
                    Fabric::Stripes { direction, frequency, depth } => {
                        1.0 - depth * triangle((u * direction.0 + v * direction.1) * frequency + phase)
                    }
                    Fabric::Checks { frequency, depth } => {
                        1.0 - depth * 0.5 * (triangle(u * frequency + phase) + triangle(v * frequency + phase))
                    }
                };
                // The four halves of 64 bits: their sum is nearly normal, with mean 0 and variance 1/3.
                let bits = random.bits();
                let sum: u32 = (0..4).map(|i| (bits >> (16 * i)) as u32 & 0xffff).sum();
                let grain = (sum as f32 - 131_070.0) / 65_535.0;
                let lit = grey * pattern * (1.0 + light.0 * u + light.1 * v) * (1.0 + noise * grain);
                *byte = (lit * 255.0).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// A wave of period 1 between 0 and 1.
fn triangle(x: f32) -> f32 {
    let fraction = x - x.floor();
    if fraction < 0.5 { 2.0 * fraction } else { 2.0 - 2.0 * fraction }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn a_row_depends_on_the_seed_and_its_number_only() {
        // Some drawn by one thread, some by several.
        let long = garments(1203, 5);
        for rows in [0, 1, 2, 25, 102, 511, 512, 513, 1202] {
            assert_eq!(garments(rows, 5), long.take(rows), "{rows}");
        }
        let other = garments(1203, 6);
        assert_ne!(other.labels()[..103], long.labels()[..103]);
        assert!((0..1203).all(|i| other.row(i) != long.row(i)));
    }

    /// The same bytes on every platform, and after every change that is not meant to change a drawing.
    #[test]
    fn known_answer() {
        let dataset = garments(200, 7);
        assert_eq!(dataset.labels()[..10], [8, 6, 4, 7, 9, 2, 0, 5, 1, 3]);
        assert_eq!(hash(dataset.labels()), 0x3ae0_6859_9be1_51eb);
        assert_eq!(hash(dataset.pixels()), 0xc05a_823e_af22_2ea0);
    }

    #[test]
    fn classes_are_balanced_in_shuffled_order() {
        let dataset = garments(1000, 3);
        assert_eq!((dataset.shape(), dataset.classes()), (&[28, 28][..], 10));
        for start in (0..1000).step_by(10) {
            let mut ten = dataset.labels()[start..start + 10].to_vec();
            assert!(start > 0 || !ten.is_sorted());
            ten.sort_unstable();
            assert_eq!(ten, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
        assert_ne!(dataset.labels()[..10], dataset.labels()[10..20]);
    }

    /// Every garment is visible, lies within the image for the most part, and leaves black around it.
    #[test]
    fn garments_are_in_the_image() {
        let dataset = garments(2000, 11);
        for i in 0..dataset.len() {
            let covered = dataset.row(i).iter().filter(|&&pixel| pixel > 8).count();
            assert!((25..700).contains(&covered), "row {i}, class {}: {covered} pixels", dataset.label(i));
        }
    }

    /// The nearest mean image of a class is right much more often than chance, and far from always: there is something to learn, and
    /// something that is not linear.
    #[test]
    fn class_means_tell_much_but_not_all() {
        let (train, test) = (garments(2000, 1), garments(1000, 2));
        let mut means = vec![[0.0_f32; SIDE * SIDE]; CLASSES];
        for i in 0..train.len() {
            for (mean, &pixel) in means[usize::from(train.label(i))].iter_mut().zip(train.row(i)) {
                *mean += f32::from(pixel) / (train.len() / CLASSES) as f32;
            }
        }
        let distance = |mean: &[f32], row: &[u8]| mean.iter().zip(row).map(|(m, &p)| (m - f32::from(p)).powi(2)).sum::<f32>();
        let right = (0..test.len()).filter(|&i| {
            let nearest =
                (0..CLASSES).min_by(|&a, &b| distance(&means[a], test.row(i)).total_cmp(&distance(&means[b], test.row(i))));
            nearest == Some(usize::from(test.label(i)))
        });
        let right = right.count();
        assert!((500..900).contains(&right), "{right} of 1000");
    }
}
