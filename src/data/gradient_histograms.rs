//! Histograms of oriented gradients: an image as the directions of the edges in each of its cells.
//!
//! Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005, in the following form. A pixel `I(y, x)` from 0 to 1 has
//! the gradient `g = (I(y, x + 1) - I(y, x - 1), I(y + 1, x) - I(y - 1, x))`, outside of the image being 0. It votes for each of eight
//! directions `d`, 45 degrees apart, with
//!
//! ```text
//! vote(d) = sqrt(|g|) max(0, cos(angle between g and d))^8
//! ```
//!
//! which falls to a half in the middle between two directions. Its votes go to the four cells whose centres are next to it, shared by bilinear
//! weights; what would go to a cell outside of the image is lost. The histogram `h` of a cell becomes the bytes
//!
//! ```text
//! round(255 sqrt(h(d) / sqrt(1/4 + sum of the squares of the histograms of the cell and its neighbours)))
//! ```
//!
//! so that a garment in faint light looks as one in bright light does. The neighbours are those cells of the three by three around it that there are.

use super::{DataError, Dataset};
use crate::parallel::{Executor, Shares};
use crate::simd::{Isa, Simd, SimdOp};

/// The directions of a histogram: direction `k` points at `45 k` degrees, from the first column to the last at 0, from the first row to the last
/// at 90.
pub const DIRECTIONS: usize = 8;

/// What the sum of the squares around a cell is increased by, so that noise in an empty region does not become an edge.
const FLOOR: f32 = 0.25;

type Histogram = [f32; DIRECTIONS];

/// Of 45 degrees.
const DIAGONAL: f32 = core::f32::consts::FRAC_1_SQRT_2;
const COSINES: Histogram = [1.0, DIAGONAL, 0.0, -DIAGONAL, -1.0, -DIAGONAL, 0.0, DIAGONAL];
const SINES: Histogram = [0.0, DIAGONAL, 1.0, DIAGONAL, 0.0, -DIAGONAL, -1.0, -DIAGONAL];

impl Dataset {
    /// The histograms of oriented gradients of all images, as rows of the shape `[height / cell, width / cell, 8]`, with the same labels.
    ///
    /// `cell` is the side of a cell in pixels; 4 suits images of 28 x 28, which become 7 x 7 x 8. Pixels of columns and rows that are left over
    /// vote for the last cells. The bytes do not depend on the instruction set or on the number of parts. They take about four microseconds an
    /// image.
    ///
    /// A dense network sees at once in them what it would have to learn from pixels.
    ///
    /// # Errors
    /// [`DataError::Cells`] if rows are no images, or smaller than a cell.
    pub fn gradient_histograms(&self, cell: usize, isa: Isa, executor: &dyn Executor) -> Result<Self, DataError> {
        let refused = || DataError::Cells { cell, found: self.shape().to_vec() };
        let &[height, width] = self.shape() else { return Err(refused()) };
        let cells = (height.checked_div(cell).unwrap_or(0), width.checked_div(cell).unwrap_or(0));
        if cells.0 == 0 || cells.1 == 0 {
            return Err(refused());
        }
        let len = cells.0 * cells.1 * DIRECTIONS;
        let mut histograms = vec![0; self.len() * len];
        let rows_per_part = self.len().div_ceil(executor.parts()).max(1);
        let shares = Shares::new(&mut histograms, rows_per_part * len);
        executor.run(&|part| {
            let first = (part * rows_per_part).min(self.len());
            let images = &self.pixels()[first * self.row_len()..];
            let histograms = shares.take(part);
            isa.run(Images { images, shape: (height, width), cell, cells, histograms });
        });
        Self::new(histograms, &[cells.0, cells.1, DIRECTIONS], self.labels().to_vec(), self.classes())
    }
}

/// Some images, and where their histograms go.
struct Images<'a> {
    images: &'a [u8],
    shape: (usize, usize),
    cell: usize,
    cells: (usize, usize),
    histograms: &'a mut [u8],
}

impl SimdOp for Images<'_> {
    type Output = ();

    /// Plain loops over the directions, which the compiler makes vectors of: they have only operations that round alike everywhere.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (height, width) = self.shape;
        let (rows, columns) = (places(height, self.cell), places(width, self.cell));
        let mut grid = Grid::new(self.cells);
        let len = self.cells.0 * self.cells.1 * DIRECTIONS;
        for (image, histograms) in self.images.chunks_exact(height * width).zip(self.histograms.chunks_exact_mut(len)) {
            grid.clear();
            grid.vote(image, &rows, &columns);
            grid.normalize(histograms);
        }
    }
}

/// Between the centres of which two cells a row or column of pixels lies: the first one, counted with a border of one cell, and the weight of
/// the second.
struct Place {
    first: usize,
    weight_of_second: f32,
}

fn places(len: usize, cell: usize) -> Vec<Place> {
    let place = |i: usize| {
        let position = (i as f32 + 0.5) / cell as f32 + 0.5;
        Place { first: position as usize, weight_of_second: position.fract() }
    };
    (0..len).map(place).collect()
}

/// The histograms of an image, with a border that takes what is lost: one cell before, and behind, where pixels may be left over, two.
struct Grid {
    cells: (usize, usize),
    stride: usize,
    histograms: Vec<Histogram>,
    squares: Vec<f32>,
}

impl Grid {
    fn new(cells: (usize, usize)) -> Self {
        let (rows, stride) = (cells.0 + 3, cells.1 + 3);
        Self { cells, stride, histograms: vec![[0.0; DIRECTIONS]; rows * stride], squares: vec![0.0; rows * stride] }
    }

    fn clear(&mut self) {
        self.histograms.fill([0.0; DIRECTIONS]);
    }

    #[inline(always)]
    fn vote(&mut self, image: &[u8], rows: &[Place], columns: &[Place]) {
        let width = columns.len();
        for (y, row) in rows.iter().enumerate() {
            let line = |y: Option<usize>| y.and_then(|y| image.get(y * width..(y + 1) * width));
            let (above, here, below) = (line(y.checked_sub(1)), &image[y * width..(y + 1) * width], line(Some(y + 1)));
            for (x, column) in columns.iter().enumerate() {
                let pixel = |line: Option<&[u8]>, x: usize| line.and_then(|line| line.get(x)).map_or(0, |&pixel| i32::from(pixel));
                let dx = pixel(Some(here), x + 1) - pixel(Some(here), x.wrapping_sub(1));
                let dy = pixel(below, x) - pixel(above, x);
                if (dx, dy) == (0, 0) {
                    continue;
                }
                let (dx, dy) = (dx as f32, dy as f32);
                let length = (dx * dx + dy * dy).sqrt();
                let (dx, dy, strength) = (dx / length, dy / length, (length / 255.0).sqrt());
                let mut votes = [0.0; DIRECTIONS];
                for ((vote, x), y) in votes.iter_mut().zip(COSINES).zip(SINES) {
                    let cosine = (dx * x + dy * y).max(0.0);
                    let square = cosine * cosine;
                    let fourth = square * square;
                    *vote = strength * (fourth * fourth);
                }
                let start = row.first * self.stride + column.first;
                let (down, right) = (row.weight_of_second, column.weight_of_second);
                self.add(start, (1.0 - down) * (1.0 - right), &votes);
                self.add(start + 1, (1.0 - down) * right, &votes);
                self.add(start + self.stride, down * (1.0 - right), &votes);
                self.add(start + self.stride + 1, down * right, &votes);
            }
        }
    }

    #[inline(always)]
    fn add(&mut self, cell: usize, weight: f32, votes: &Histogram) {
        for (sum, vote) in self.histograms[cell].iter_mut().zip(votes) {
            *sum += weight * vote;
        }
    }

    #[inline(always)]
    fn normalize(&mut self, bytes: &mut [u8]) {
        let inside = |cell: usize, cells: usize| (1..=cells).contains(&cell);
        for (i, (square, histogram)) in self.squares.iter_mut().zip(&self.histograms).enumerate() {
            let is_inside = inside(i / self.stride, self.cells.0) && inside(i % self.stride, self.cells.1);
            *square = if is_inside { histogram.iter().map(|h| h * h).sum() } else { 0.0 };
        }
        for (i, bytes) in bytes.as_chunks_mut::<DIRECTIONS>().0.iter_mut().enumerate() {
            let cell = (i / self.cells.1 + 1) * self.stride + i % self.cells.1 + 1;
            let neighbours = [cell - self.stride, cell, cell + self.stride];
            let around: f32 = neighbours.iter().flat_map(|&middle| &self.squares[middle - 1..=middle + 1]).sum();
            let norm = (FLOOR + around).sqrt();
            for (byte, h) in bytes.iter_mut().zip(self.histograms[cell]) {
                *byte = (255.0 * (h / norm).sqrt() + 0.5) as u8;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::parallel::Serial;

    fn images(pixels: Vec<u8>, shape: [usize; 2]) -> Dataset {
        let rows = pixels.len() / (shape[0] * shape[1]);
        Dataset::new(pixels, &shape, vec![0; rows], 1).unwrap()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(1);
        (0..len).map(|_| random.u8(..)).collect()
    }

    /// In the order of the definition, with angles, in `f64`.
    fn by_definition(image: &[u8], (height, width): (usize, usize), cell: usize) -> Vec<f64> {
        let pixel = |y: i32, x: i32| {
            let inside = (0..height as i32).contains(&y) && (0..width as i32).contains(&x);
            if inside { f64::from(image[y as usize * width + x as usize]) / 255.0 } else { 0.0 }
        };
        let (rows, columns) = ((height / cell) as i32, (width / cell) as i32);
        let hat = |pixel: i32, of: i32| (1.0 - ((f64::from(pixel) + 0.5) / cell as f64 - 0.5 - f64::from(of)).abs()).max(0.0);
        let mut histograms = vec![[0.0; DIRECTIONS]; (rows * columns) as usize];
        for (y, x) in (0..height as i32).flat_map(|y| (0..width as i32).map(move |x| (y, x))) {
            let (gx, gy) = (pixel(y, x + 1) - pixel(y, x - 1), pixel(y + 1, x) - pixel(y - 1, x));
            for (k, (i, j)) in (0..DIRECTIONS).flat_map(|k| (0..rows * columns).map(move |c| (k, (c / columns, c % columns)))) {
                let angle = gy.atan2(gx) - (45.0 * k as f64).to_radians();
                let vote = gx.hypot(gy).sqrt() * angle.cos().max(0.0).powi(8);
                histograms[(i * columns + j) as usize][k] += vote * hat(y, i) * hat(x, j);
            }
        }
        let mut bytes = Vec::new();
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let is_near = |c: i32| (c / columns - i).abs() <= 1 && (c % columns - j).abs() <= 1;
            let near = (0..rows * columns).filter(|&c| is_near(c)).flat_map(|c| histograms[c as usize]);
            let norm = (0.25 + near.map(|h| h * h).sum::<f64>()).sqrt();
            bytes.extend(histograms[(i * columns + j) as usize].map(|h| 255.0 * (h / norm).sqrt()));
        }
        bytes
    }

    #[test]
    fn the_bytes_are_those_of_the_definition() {
        for (shape, cell) in [([28, 28], 4), ([9, 14], 4), ([5, 3], 1), ([3, 3], 3), ([7, 1], 1)] {
            let images = images(noise(3 * shape[0] * shape[1]), shape);
            let found = images.gradient_histograms(cell, Isa::detect(), &Serial::new(1)).unwrap();
            assert_eq!(found.shape(), [shape[0] / cell, shape[1] / cell, DIRECTIONS]);
            for i in 0..3 {
                for (found, expected) in found.row(i).iter().zip(by_definition(images.row(i), shape.into(), cell)) {
                    assert!((f64::from(*found) - expected).abs() <= 0.51, "{shape:?} {cell}: {expected} expected, found {found}");
                }
            }
        }
    }

    #[test]
    fn an_edge_is_seen_in_its_direction_only() {
        // Dark on the left, bright on the right.
        let step: Vec<u8> = (0..64).map(|i| if i % 8 < 4 { 0 } else { 200 }).collect();
        let found = images(step, [8, 8]).gradient_histograms(8, Isa::detect(), &Serial::new(1)).unwrap();
        let row = found.row(0);
        assert!(row[0] > 100 && row[0] / 2 > row[1].max(row[7]), "{row:?}");
        // The bright part ends at the right edge of the image, at the top and at the bottom.
        assert!(row[2] == row[6] && row[4] > 0, "{row:?}");
    }

    #[test]
    fn parts_and_instruction_sets_change_nothing() {
        let images = images(noise(11 * 100), [10, 10]);
        let expected = images.gradient_histograms(3, Isa::detect(), &Serial::new(1)).unwrap();
        for isa in Isa::available() {
            for parts in [1, 2, 3, 16] {
                assert_eq!(images.gradient_histograms(3, isa, &Serial::new(parts)).unwrap(), expected, "{isa} {parts}");
            }
        }
        assert!(images.take(0).gradient_histograms(3, Isa::detect(), &Serial::new(2)).unwrap().is_empty());
    }

    #[test]
    fn an_empty_image_has_no_edges() {
        let found = images(vec![0; 64], [8, 8]).gradient_histograms(4, Isa::detect(), &Serial::new(1)).unwrap();
        assert_eq!(found.pixels(), [0; 32]);
    }

    #[test]
    fn rows_without_a_cell_are_refused() {
        let refused = |dataset: &Dataset, cell| {
            let error = dataset.gradient_histograms(cell, Isa::detect(), &Serial::new(1)).unwrap_err();
            assert!(matches!(&error, DataError::Cells { found, .. } if found == dataset.shape()), "{error}");
        };
        let images = images(noise(20), [4, 5]);
        refused(&images, 0);
        refused(&images, 5);
        refused(&Dataset::new(noise(20), &[20], vec![0], 1).unwrap(), 2);
    }
}
