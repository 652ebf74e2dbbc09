//! [`Dataset`]: rows of bytes with a class each.

use super::{error::DataError, split::ValidationSplit};
use crate::memory::vec_in_huge_pages;

/// Rows of `u8` features, each with a label from `0..classes`, checked once when it is made.
///
/// Features stay bytes in memory; the gather of a minibatch makes `f32` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pixels: Vec<u8>,
    shape: Vec<usize>,
    row_len: usize,
    labels: Vec<u8>,
    classes: usize,
}

/// Mean and standard deviation of each feature, in the unit of the features: 0 to 255.
///
/// The standard deviation is that of the population (divided by the number of rows, not by one less), as in Keras' `Normalization`.
/// It is exactly 0 for a feature that never changes; [`inverse_standard_deviation`](Self::inverse_standard_deviation) takes care of that.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The mean of each feature.
    pub mean: Vec<f32>,
    /// The standard deviation of each feature.
    pub standard_deviation: Vec<f32>,
}

impl Statistics {
    /// What to multiply by after the mean is subtracted: `1 / standard_deviation`, and 0 for a feature that never changes, which therefore
    /// becomes 0 instead of NaN.
    pub fn inverse_standard_deviation(&self) -> Vec<f32> {
        self.standard_deviation.iter().map(|&deviation| if deviation == 0.0 { 0.0 } else { 1.0 / deviation }).collect()
    }
}

impl Dataset {
    /// The most rows a dataset can have: their numbers are `u32`.
    pub const MAX_ROWS: usize = u32::MAX as usize;

    /// A dataset of `labels.len()` rows; row `i` is the `i`-th run of `shape[0] * shape[1] * ...` bytes of `pixels`.
    ///
    /// # Errors
    /// [`DataError::RowShape`], [`DataError::ClassCount`], [`DataError::TooManyRows`], [`DataError::PixelCount`] or
    /// [`DataError::LabelOutOfRange`].
    pub fn new(pixels: Vec<u8>, shape: &[usize], labels: Vec<u8>, classes: usize) -> Result<Self, DataError> {
        let row_len = shape.iter().try_fold(1_usize, |product, &dimension| product.checked_mul(dimension));
        let row_len = match row_len {
            Some(row_len) if row_len > 0 && !shape.is_empty() => row_len,
            _ => return Err(DataError::RowShape { found: shape.to_vec() }),
        };
        if !(1..=256).contains(&classes) {
            return Err(DataError::ClassCount { found: classes });
        }
        let rows = labels.len();
        if rows > Self::MAX_ROWS {
            return Err(DataError::TooManyRows { maximum: Self::MAX_ROWS, found: rows });
        }
        let expected = rows.checked_mul(row_len);
        if expected != Some(pixels.len()) {
            return Err(DataError::PixelCount { rows, row_len, expected, found: pixels.len() });
        }
        if let Some(row) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(DataError::LabelOutOfRange { row, label: labels[row], classes });
        }
        Ok(Self { pixels, shape: shape.to_vec(), row_len, labels, classes })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of features of a row.
    pub fn row_len(&self) -> usize {
        self.row_len
    }

    /// The shape of a row, `[28, 28]` for images of Fashion-MNIST; its product is [`row_len`](Self::row_len).
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of classes: labels are below it.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The features of one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn row(&self, i: usize) -> &[u8] {
        assert!(i < self.len(), "row {i} of a dataset of {} rows", self.len());
        &self.pixels[i * self.row_len..(i + 1) * self.row_len]
    }

    /// The label of one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn label(&self, i: usize) -> u8 {
        assert!(i < self.len(), "row {i} of a dataset of {} rows", self.len());
        self.labels[i]
    }

    /// The features of all rows, one row after the other.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The labels of all rows.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The number of rows of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for &label in &self.labels {
            counts[usize::from(label)] += 1;
        }
        counts
    }

    /// A copy of the first `n` rows, or of all if there are fewer.
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        let n = n.min(self.len());
        let pixels = &self.pixels[..n * self.row_len];
        let mut copy = vec_in_huge_pages(pixels.len());
        copy.extend_from_slice(pixels);
        self.with_rows(copy, self.labels[..n].to_vec())
    }

    /// A copy of the given rows, in the given order; a row may come more than once.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    #[track_caller]
    pub fn select(&self, rows: &[u32]) -> Self {
        let mut pixels = vec_in_huge_pages(rows.len() * self.row_len);
        let mut labels = Vec::with_capacity(rows.len());
        for &row in rows {
            pixels.extend_from_slice(self.row(row as usize));
            labels.push(self.label(row as usize));
        }
        self.with_rows(pixels, labels)
    }

    /// Copies of the rows for training and for validation, in this order.
    ///
    /// # Errors
    /// [`DataError::SplitFraction`], or [`DataError::EmptySplit`] if one part would have no row.
    pub fn split(&self, split: ValidationSplit) -> Result<(Self, Self), DataError> {
        let (train, validation) = split.rows(self.len(), |row| u32::from(self.labels[row]))?;
        Ok((self.select(&train), self.select(&validation)))
    }

    /// Mean and standard deviation of each feature over all rows.
    ///
    /// The sums of bytes and of their squares are integers and therefore exact; the only rounding is that of the final formulas, in `f64`, and
    /// that to `f32`. The result does not depend on the order of the rows.
    ///
    /// # Errors
    /// [`DataError::NoRows`].
    pub fn statistics(&self) -> Result<Statistics, DataError> {
        if self.is_empty() {
            return Err(DataError::NoRows);
        }
        let mut sums = vec![Sums::default(); self.row_len];
        for row in self.pixels.chunks_exact(self.row_len) {
            for (sums, &pixel) in sums.iter_mut().zip(row) {
                sums.add(pixel);
            }
        }
        let (mean, standard_deviation) = sums.iter().map(|sums| sums.mean_and_deviation(self.len() as u64)).unzip();
        Ok(Statistics { mean, standard_deviation })
    }

    /// Mean and standard deviation over all features of all rows together, in the unit of the features: 0 to 255. Exact as
    /// [`statistics`](Self::statistics).
    ///
    /// # Errors
    /// [`DataError::NoRows`].
    pub fn mean_and_standard_deviation(&self) -> Result<(f32, f32), DataError> {
        if self.is_empty() {
            return Err(DataError::NoRows);
        }
        let mut sums = Sums::default();
        self.pixels.iter().for_each(|&pixel| sums.add(pixel));
        Ok(sums.mean_and_deviation(self.pixels.len() as u64))
    }

    fn with_rows(&self, pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        Self { pixels, shape: self.shape.clone(), row_len: self.row_len, labels, classes: self.classes }
    }
}

/// Exact sums of bytes: even 2^47 squares of 255 fit.
#[derive(Clone, Copy, Default)]
struct Sums {
    values: u64,
    squares: u64,
}

impl Sums {
    fn add(&mut self, pixel: u8) {
        self.values += u64::from(pixel);
        self.squares += u64::from(pixel) * u64::from(pixel);
    }

    /// `variance = (n * sum of squares - (sum)^2) / n^2`; the difference is taken in integers, so nothing cancels.
    fn mean_and_deviation(&self, n: u64) -> (f32, f32) {
        let difference = u128::from(n) * u128::from(self.squares) - u128::from(self.values) * u128::from(self.values);
        let n = n as f64;
        ((self.values as f64 / n) as f32, ((difference as f64).sqrt() / n) as f32)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Row `i` is `[i, 2 i]` (mod 256), and its label is `i % classes`.
    fn numbered(rows: usize, classes: usize) -> Dataset {
        let pixels = (0..rows).flat_map(|i| [i as u8, (2 * i) as u8]).collect();
        Dataset::new(pixels, &[2], (0..rows).map(|i| (i % classes) as u8).collect(), classes).unwrap()
    }

    fn first_pixels(dataset: &Dataset) -> Vec<u8> {
        (0..dataset.len()).map(|i| dataset.row(i)[0]).collect()
    }

    #[test]
    fn rows_and_labels() {
        let dataset = Dataset::new((0..12).collect(), &[3, 2], vec![0, 9], 10).unwrap();
        assert_eq!((dataset.len(), dataset.row_len(), dataset.classes()), (2, 6, 10));
        assert_eq!(dataset.shape(), [3, 2]);
        assert_eq!(dataset.row(1), [6, 7, 8, 9, 10, 11]);
        assert_eq!(dataset.label(1), 9);
        assert!(!dataset.is_empty());
        assert!(dataset.take(0).is_empty());
        assert_eq!(dataset.take(1).pixels(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(dataset.take(100), dataset);
        assert_eq!(dataset.select(&[1, 1, 0]).labels(), [9, 9, 0]);
    }

    #[test]
    fn inconsistent_parts_are_refused() {
        let new =
            |pixels: usize, shape: &[usize], labels: &[u8], classes| Dataset::new(vec![0; pixels], shape, labels.to_vec(), classes);
        assert!(matches!(
            new(11, &[3, 2], &[0, 1], 10),
            Err(DataError::PixelCount { rows: 2, row_len: 6, expected: Some(12), found: 11 })
        ));
        assert!(matches!(new(11, &[usize::MAX], &[0, 1], 10), Err(DataError::PixelCount { expected: None, .. })));
        assert!(matches!(new(12, &[3, 2], &[0, 10], 10), Err(DataError::LabelOutOfRange { row: 1, label: 10, classes: 10 })));
        assert!(matches!(new(0, &[], &[], 10), Err(DataError::RowShape { .. })));
        assert!(matches!(new(0, &[3, 0], &[0], 10), Err(DataError::RowShape { .. })));
        assert!(matches!(new(0, &[usize::MAX, 2], &[], 10), Err(DataError::RowShape { .. })));
        assert!(matches!(new(0, &[1], &[], 0), Err(DataError::ClassCount { found: 0 })));
        assert!(matches!(new(0, &[1], &[], 257), Err(DataError::ClassCount { found: 257 })));
        assert!(new(1, &[1], &[255], 256).is_ok());
        assert!(new(0, &[1], &[], 1).is_ok());
    }

    /// Values of Keras' rule, `int(math.floor(n * (1.0 - split)))`, float traps included.
    #[test]
    fn tail_is_that_of_keras() {
        let train_rows = |rows, fraction| numbered(rows, 1).split(ValidationSplit::Tail(fraction)).map(|(train, _)| train.len());
        for (rows, fraction, expected) in
            [(100, 0.8, 19), (10, 0.2, 8), (10, 0.1, 9), (10, 0.7, 3), (3, 0.5, 1), (2, 0.5, 1), (1000, 0.1, 900), (100, 0.9, 9)]
        {
            assert_eq!(train_rows(rows, fraction).unwrap(), expected, "{rows} {fraction}");
        }
        assert!(matches!(train_rows(10, 0.9), Err(DataError::EmptySplit { rows: 10, train: 0, validation: 10, .. })));
        assert!(matches!(train_rows(1, 0.5), Err(DataError::EmptySplit { rows: 1, .. })));
        assert!(matches!(train_rows(0, 0.5), Err(DataError::EmptySplit { rows: 0, .. })));
        // 1 - 1e-17 is 1, so that nothing would be left for validation.
        assert!(matches!(train_rows(10, 1e-17), Err(DataError::EmptySplit { train: 10, validation: 0, .. })));
        for fraction in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(train_rows(10, fraction), Err(DataError::SplitFraction { .. })), "{fraction}");
        }

        let (train, validation) = numbered(10, 2).split(ValidationSplit::Tail(0.3)).unwrap();
        assert_eq!(first_pixels(&train), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(first_pixels(&validation), [7, 8, 9]);
        assert_eq!(validation.labels(), [1, 0, 1]);
    }

    #[test]
    fn random_splits_are_partitions_that_the_seed_decides() {
        let dataset = numbered(200, 4);
        for make in [(|seed| ValidationSplit::ShuffledTail { fraction: 0.25, seed }) as fn(u64) -> ValidationSplit, |seed| {
            ValidationSplit::Stratified { fraction: 0.25, seed }
        }] {
            let (train, validation) = dataset.split(make(1)).unwrap();
            assert_eq!((train.len(), validation.len()), (150, 50));
            for part in [&train, &validation] {
                assert!(
                    (0..part.len())
                        .all(|i| part.label(i) == part.row(i)[0] % 4 && part.row(i)[1] == part.row(i)[0].wrapping_mul(2))
                );
            }
            let mut all = [first_pixels(&train), first_pixels(&validation)].concat();
            all.sort_unstable();
            assert_eq!(all, (0..200).collect::<Vec<u8>>());

            assert_eq!(dataset.split(make(1)).unwrap(), (train, validation.clone()));
            assert_ne!(first_pixels(&dataset.split(make(2)).unwrap().1), first_pixels(&validation));
            assert_ne!(first_pixels(&validation), (150..200).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn stratified_keeps_the_share_of_each_class() {
        // 50, 30, 13 and 7 rows, sorted by class: a plain tail would take the last classes only. 20 rows are shared as 10, 6, 2.6 and 1.4.
        let labels: Vec<u8> = [(0, 50), (1, 30), (2, 13), (3, 7)].iter().flat_map(|&(class, n)| vec![class; n]).collect();
        let dataset = Dataset::new((0..100).collect(), &[1], labels, 5).unwrap();
        let (train, validation) = dataset.split(ValidationSplit::Stratified { fraction: 0.2, seed: 4 }).unwrap();
        assert_eq!(validation.class_counts(), [10, 6, 3, 1, 0]);
        assert_eq!(train.class_counts(), [40, 24, 10, 6, 0]);
        assert!(first_pixels(&train).is_sorted() && first_pixels(&validation).is_sorted());
    }

    #[test]
    fn statistics_match_the_textbook() {
        let dataset = Dataset::new(vec![1, 7, 0, 3, 7, 255, 4, 7, 0, 8, 7, 255], &[3], vec![0; 4], 1).unwrap();
        let statistics = dataset.statistics().unwrap();
        assert_eq!(statistics.mean, [4.0, 7.0, 127.5]);
        assert_eq!(statistics.standard_deviation, [6.5_f32.sqrt(), 0.0, 127.5]);
        assert_eq!(statistics.inverse_standard_deviation(), [1.0 / 6.5_f32.sqrt(), 0.0, 1.0 / 127.5]);

        // Two passes in f64 over all twelve.
        let values: Vec<f64> = dataset.pixels().iter().map(|&pixel| f64::from(pixel)).collect();
        let mean = values.iter().sum::<f64>() / 12.0;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 12.0;
        let found = dataset.mean_and_standard_deviation().unwrap();
        assert!((f64::from(found.0) - mean).abs() < 1e-5 && (f64::from(found.1) - variance.sqrt()).abs() < 1e-5, "{found:?}");

        assert!(matches!(dataset.take(0).statistics(), Err(DataError::NoRows)));
        assert!(matches!(dataset.take(0).mean_and_standard_deviation(), Err(DataError::NoRows)));
    }
}
