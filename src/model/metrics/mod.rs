//! How good are the predictions? Counts, scores and the tables that show them.
//!
//! | metric | formula | from |
//! |---|---|---|
//! | accuracy | right / all | labels ([`ConfusionMatrix`]) or scores ([`sparse_categorical_accuracy`], [`categorical_accuracy`]) |
//! | top-k accuracy | rows in which fewer than k classes score strictly higher than the true one / all | scores ([`top_k_accuracy`]) |
//! | binary accuracy | rows in which (p > 0.5) equals the target / all | probabilities ([`binary_accuracy`]) |
//! | precision of class c | TP / (TP + FP): of what was called c, how much is c | [`ConfusionMatrix::class_scores`] |
//! | recall of class c | TP / (TP + FN): of what is c, how much was found | [`ConfusionMatrix::class_scores`] |
//! | F1 of class c | 2 TP / (2 TP + FP + FN), the harmonic mean of the two | [`ConfusionMatrix::class_scores`] |
//! | mean squared error | sum (y - t)^2 / n | [`mean_squared_error`] |
//! | mean absolute error | sum abs(y - t) / n | [`mean_absolute_error`] |
//!
//! A ratio of counts whose denominator is zero (the precision of a class that was never predicted, the accuracy of an empty matrix) is
//! **0**, as with `zero_division=0` in scikit-learn. A mean over no rows at all is refused with [`MetricError::Empty`]: an error of
//! zero would look like a perfect model.
//!
//! These are functions of whole columns of predictions. What `compile` is asked to measure in every epoch is a [`Metric`].
//!
//! A row of scores that holds a NaN is a wrong answer here, whatever its label. (Keras takes the place of the first NaN for the
//! prediction, so that a network full of NaN scores about one in ten on ten balanced classes.)
//!
//! Everything is counted in `u64` or summed in `f64`, in the order of the rows.

mod metric;
mod running;

pub(super) use metric::NamedMetric;
pub use metric::{MAX_METRICS, Metric, MetricChoice};
pub(super) use running::{RunningMetrics, Source};

use crate::kernels::MatRef;
use core::fmt;

/// What a metric refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricError {
    /// A name that no metric has.
    Unknown {
        /// The name.
        found: String,
    },
    /// A confusion matrix needs at least one class.
    NoClasses,
    /// A label is not the number of a class.
    ClassOutOfRange {
        /// Which label: `"true"` or `"predicted"`.
        which: &'static str,
        /// The row of the label in its slice; 0 for a single label.
        row: usize,
        /// The number of classes; labels run from 0 to one less.
        classes: usize,
        /// The label.
        found: usize,
    },
    /// Two things that go together differ in length.
    LengthMismatch {
        /// What was counted.
        what: &'static str,
        /// The length that would fit.
        expected: usize,
        /// The length that came.
        found: usize,
    },
    /// Top-k accuracy with k = 0 would call every answer wrong.
    ZeroK,
    /// There is nothing to take the mean of.
    Empty,
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { found } => {
                let known: Vec<String> = Metric::known().map(|name| format!("`{name}`")).collect();
                write!(f, "metric: one of {} expected, found `{found}`", known.join(", "))
            }
            Self::NoClasses => write!(f, "at least 1 class expected, found 0"),
            Self::ClassOutOfRange { which, row, classes, found } => {
                write!(f, "{which} label in row {row}: a class below {classes} expected, found {found}")
            }
            Self::LengthMismatch { what, expected, found } => write!(f, "{what}: {expected} expected, found {found}"),
            Self::ZeroK => write!(f, "top-k accuracy: k of at least 1 expected, found 0"),
            Self::Empty => write!(f, "at least 1 row expected, found 0"),
        }
    }
}

impl core::error::Error for MetricError {}

fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), MetricError> {
    if expected == found { Ok(()) } else { Err(MetricError::LengthMismatch { what, expected, found }) }
}

fn check_class(which: &'static str, row: usize, classes: usize, found: usize) -> Result<(), MetricError> {
    if found < classes { Ok(()) } else { Err(MetricError::ClassOutOfRange { which, row, classes, found }) }
}

/// `numerator / denominator`, and 0 when the denominator is 0.
fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

/// How often each class was taken for each class: rows are true classes, columns are predicted ones.
///
/// ```
/// use selvedge::model::{Average, ConfusionMatrix};
///
/// let matrix = ConfusionMatrix::from_labels(3, &[0u8, 1, 2, 2, 2], &[0u8, 0, 2, 2, 1])?;
/// assert_eq!(matrix.accuracy(), 0.6);
/// println!("{matrix}");
/// println!("{}", matrix.report_with_names(&["coat", "shirt", "bag"])?);
/// assert_eq!(matrix.average(Average::Macro).precision, 0.5);
/// # Ok::<(), selvedge::model::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// Row-major, `classes` by `classes`.
    counts: Vec<u64>,
}

/// Precision, recall and F1, of one class or averaged over the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// TP / (TP + FP), from 0 to 1.
    pub precision: f64,
    /// TP / (TP + FN), from 0 to 1.
    pub recall: f64,
    /// 2 TP / (2 TP + FP + FN), from 0 to 1.
    pub f1: f64,
    /// The number of rows whose true class it is; for an average, of all rows.
    pub support: u64,
}

/// How the scores of the classes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The plain mean over all classes of the matrix, those without a row included: every class counts alike.
    Macro,
    /// From the summed counts. With one label per row precision, recall and F1 all equal the accuracy.
    Micro,
    /// The mean weighted by the support of each class: every row counts alike.
    Weighted,
}

impl ConfusionMatrix {
    /// An empty matrix for labels `0..classes`.
    ///
    /// # Errors
    /// [`MetricError::NoClasses`] if `classes` is 0.
    pub fn new(classes: usize) -> Result<Self, MetricError> {
        if classes == 0 {
            return Err(MetricError::NoClasses);
        }
        Ok(Self { classes, counts: vec![0; classes * classes] })
    }

    /// Counts two columns of labels, of any unsigned integers that fit in a `usize` (`u8`, `u16`, `usize`).
    ///
    /// # Errors
    /// If there are no classes, the columns differ in length, or a label is out of range.
    pub fn from_labels<T, P>(classes: usize, true_labels: &[T], predicted_labels: &[P]) -> Result<Self, MetricError>
    where
        T: Copy + Into<usize>,
        P: Copy + Into<usize>,
    {
        let mut matrix = Self::new(classes)?;
        check_length("predicted labels", true_labels.len(), predicted_labels.len())?;
        for (row, (&true_class, &predicted)) in true_labels.iter().zip(predicted_labels).enumerate() {
            matrix.record_row(row, true_class.into(), predicted.into())?;
        }
        Ok(matrix)
    }

    /// Counts one answer.
    ///
    /// # Errors
    /// [`MetricError::ClassOutOfRange`]; then nothing is counted.
    pub fn record(&mut self, true_class: usize, predicted: usize) -> Result<(), MetricError> {
        self.record_row(0, true_class, predicted)
    }

    fn record_row(&mut self, row: usize, true_class: usize, predicted: usize) -> Result<(), MetricError> {
        check_class("true", row, self.classes, true_class)?;
        check_class("predicted", row, self.classes, predicted)?;
        self.counts[true_class * self.classes + predicted] += 1;
        Ok(())
    }

    /// Adds the counts of another matrix, for instance of another fold.
    ///
    /// # Errors
    /// [`MetricError::LengthMismatch`] if the numbers of classes differ; then nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricError> {
        check_length("classes", self.classes, other.classes)?;
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        Ok(())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All counts, row-major: row = true class, column = predicted class.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How often `true_class` was taken for `predicted`; `None` if there is no such class.
    pub fn count(&self, true_class: usize, predicted: usize) -> Option<u64> {
        (true_class < self.classes && predicted < self.classes).then(|| self.counts[true_class * self.classes + predicted])
    }

    /// The number of answers counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of right answers: the sum of the diagonal.
    pub fn correct(&self) -> u64 {
        self.counts.iter().step_by(self.classes + 1).sum()
    }

    /// The share of right answers; 0 for an empty matrix.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.total())
    }

    /// Precision, recall, F1 and support of one class; `None` if there is no such class.
    pub fn class_scores(&self, class: usize) -> Option<Scores> {
        (class < self.classes).then(|| self.scores_of(class))
    }

    /// Precision, recall, F1 and support of every class in turn.
    pub fn per_class(&self) -> impl Iterator<Item = Scores> {
        (0..self.classes).map(|class| self.scores_of(class))
    }

    fn scores_of(&self, class: usize) -> Scores {
        let true_positives = self.counts[class * self.classes + class];
        let support: u64 = self.counts[class * self.classes..][..self.classes].iter().sum();
        let predicted: u64 = self.counts[class..].iter().step_by(self.classes).sum();
        Scores {
            precision: ratio(true_positives, predicted),
            recall: ratio(true_positives, support),
            f1: ratio(2 * true_positives, predicted + support),
            support,
        }
    }

    /// Precision, recall and F1 over all classes; the F1 is the average of the classes' F1, not the F1 of the averages.
    /// All are 0 for an empty matrix.
    pub fn average(&self, average: Average) -> Scores {
        let total = self.total();
        if average == Average::Micro {
            let accuracy = self.accuracy();
            return Scores { precision: accuracy, recall: accuracy, f1: accuracy, support: total };
        }
        let mut sum = Scores { precision: 0.0, recall: 0.0, f1: 0.0, support: total };
        let mut weights = 0.0;
        for scores in self.per_class() {
            let weight = if average == Average::Macro { 1.0 } else { scores.support as f64 };
            sum.precision += weight * scores.precision;
            sum.recall += weight * scores.recall;
            sum.f1 += weight * scores.f1;
            weights += weight;
        }
        if weights > 0.0 {
            sum.precision /= weights;
            sum.recall /= weights;
            sum.f1 /= weights;
        }
        sum
    }

    /// The matrix as a table with names for the classes. `Display` of the matrix itself shows numbers.
    ///
    /// # Errors
    /// [`MetricError::LengthMismatch`] unless there is one name per class.
    pub fn table_with_names<N: AsRef<str>>(&self, names: &[N]) -> Result<ConfusionTable<'_>, MetricError> {
        Ok(ConfusionTable { matrix: self, names: self.checked_names(names)? })
    }

    /// The scores of every class and their averages as a table; classes are shown by their numbers.
    pub fn report(&self) -> ClassificationReport {
        ClassificationReport::new(self, self.numbers())
    }

    /// The same with names for the classes.
    ///
    /// # Errors
    /// [`MetricError::LengthMismatch`] unless there is one name per class.
    pub fn report_with_names<N: AsRef<str>>(&self, names: &[N]) -> Result<ClassificationReport, MetricError> {
        Ok(ClassificationReport::new(self, self.checked_names(names)?))
    }

    fn numbers(&self) -> Vec<String> {
        (0..self.classes).map(|class| class.to_string()).collect()
    }

    fn checked_names<N: AsRef<str>>(&self, names: &[N]) -> Result<Vec<String>, MetricError> {
        check_length("names of classes", self.classes, names.len())?;
        Ok(names.iter().map(|name| name.as_ref().to_owned()).collect())
    }
}

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ConfusionTable { matrix: self, names: self.numbers() }.fmt(f)
    }
}

/// A [`ConfusionMatrix`] as text: one line per true class, one column per predicted class, right-aligned under its name.
#[derive(Clone, Debug)]
pub struct ConfusionTable<'a> {
    matrix: &'a ConfusionMatrix,
    names: Vec<String>,
}

impl fmt::Display for ConfusionTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CORNER: &str = "true \\ predicted";
        let classes = self.matrix.classes;
        let first = self.names.iter().map(|name| width(name)).max().unwrap_or(0).max(CORNER.len());
        let columns: Vec<usize> = (0..classes)
            .map(|class| {
                let largest = self.matrix.counts[class..].iter().step_by(classes).max().copied().unwrap_or(0);
                width(&largest.to_string()).max(width(&self.names[class]))
            })
            .collect();

        write!(f, "{CORNER:>first$}")?;
        for (name, column) in self.names.iter().zip(&columns) {
            write!(f, "  {name:>column$}")?;
        }
        writeln!(f)?;
        for (name, row) in self.names.iter().zip(self.matrix.counts.chunks_exact(classes)) {
            write!(f, "{name:>first$}")?;
            for (count, column) in row.iter().zip(&columns) {
                write!(f, "  {count:>column$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The width that the formatter gives to a text: its number of `char`s.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// The scores of every class, the accuracy and the macro and weighted averages.
///
/// `Display` lays them out as scikit-learn's `classification_report` does, with two decimals.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassificationReport {
    /// Name and scores, in the order of the classes.
    pub classes: Vec<(String, Scores)>,
    /// The share of right answers.
    pub accuracy: f64,
    /// The plain mean over the classes.
    pub macro_average: Scores,
    /// The mean over the classes, weighted by their support.
    pub weighted_average: Scores,
}

impl ClassificationReport {
    fn new(matrix: &ConfusionMatrix, names: Vec<String>) -> Self {
        Self {
            classes: names.into_iter().zip(matrix.per_class()).collect(),
            accuracy: matrix.accuracy(),
            macro_average: matrix.average(Average::Macro),
            weighted_average: matrix.average(Average::Weighted),
        }
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.classes.iter().map(|(name, _)| width(name)).max().unwrap_or(0).max("weighted avg".len());
        let line = |f: &mut fmt::Formatter<'_>, name: &str, scores: &Scores| {
            let Scores { precision, recall, f1, support } = scores;
            writeln!(f, "{name:>first$}  {precision:>9.2} {recall:>9.2} {f1:>9.2} {support:>9}")
        };
        writeln!(f, "{:>first$}  {:>9} {:>9} {:>9} {:>9}\n", "", "precision", "recall", "f1-score", "support")?;
        for (name, scores) in &self.classes {
            line(f, name, scores)?;
        }
        let total = self.macro_average.support;
        writeln!(f, "\n{:>first$}  {:>9} {:>9} {:>9.2} {total:>9}", "accuracy", "", "", self.accuracy)?;
        line(f, "macro avg", &self.macro_average)?;
        line(f, "weighted avg", &self.weighted_average)
    }
}

/// The place of the largest score, the first one if several are equal. `None` if the row is empty or holds a NaN.
pub fn predicted_class(scores: &[f32]) -> Option<usize> {
    let mut best = 0;
    for (class, &score) in scores.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        if score > scores[best] {
            best = class;
        }
    }
    (!scores.is_empty()).then_some(best)
}

/// The share of rows whose [`predicted_class`] is the label.
///
/// # Shapes
/// `scores` is rows x classes (probabilities or logits), `labels` has one class number per row.
///
/// # Errors
/// If the lengths differ, a label is out of range, or there are no rows.
pub fn sparse_categorical_accuracy<T: Copy + Into<usize>>(labels: &[T], scores: MatRef<'_>) -> Result<f64, MetricError> {
    share_of_rows(labels, scores, |label, row| predicted_class(row) == Some(label))
}

/// The share of rows in which scores and one-hot target have their largest value, the first one if several are equal, in the same place.
///
/// # Shapes
/// `targets` and `scores` are rows x classes.
///
/// # Errors
/// If the shapes differ or there are no rows.
pub fn categorical_accuracy(targets: MatRef<'_>, scores: MatRef<'_>) -> Result<f64, MetricError> {
    check_length("rows of scores", targets.rows(), scores.rows())?;
    check_length("columns of scores", targets.columns(), scores.columns())?;
    let correct = |i: &usize| predicted_class(scores.row(*i)).is_some_and(|class| predicted_class(targets.row(*i)) == Some(class));
    share((0..scores.rows()).filter(correct).count(), scores.rows())
}

/// The share of rows in which fewer than `k` classes score strictly higher than the true one.
///
/// So ties are decided in favour of the true class, as in Keras: with all scores equal every row is right.
/// A `k` of the number of classes or more makes every row without NaN right.
///
/// # Shapes
/// `scores` is rows x classes (probabilities or logits), `labels` has one class number per row.
///
/// # Errors
/// If `k` is 0, the lengths differ, a label is out of range, or there are no rows.
pub fn top_k_accuracy<T: Copy + Into<usize>>(labels: &[T], scores: MatRef<'_>, k: usize) -> Result<f64, MetricError> {
    if k == 0 {
        return Err(MetricError::ZeroK);
    }
    share_of_rows(labels, scores, |label, row| {
        let higher = row.iter().filter(|score| **score > row[label]).count();
        higher < k && !row.iter().any(|score| score.is_nan())
    })
}

fn share_of_rows<T: Copy + Into<usize>>(
    labels: &[T],
    scores: MatRef<'_>,
    is_right: impl Fn(usize, &[f32]) -> bool,
) -> Result<f64, MetricError> {
    check_length("labels", scores.rows(), labels.len())?;
    let mut right = 0;
    for (i, label) in labels.iter().enumerate() {
        let label = (*label).into();
        check_class("true", i, scores.columns(), label)?;
        right += usize::from(is_right(label, scores.row(i)));
    }
    share(right, labels.len())
}

fn share(right: usize, rows: usize) -> Result<f64, MetricError> {
    if rows == 0 { Err(MetricError::Empty) } else { Ok(right as f64 / rows as f64) }
}

/// The share of elements in which `probability > 0.5` (strictly) equals the target, 0 or 1. A NaN is wrong.
///
/// # Errors
/// If the lengths differ or there are no elements.
pub fn binary_accuracy(targets: &[f32], probabilities: &[f32]) -> Result<f64, MetricError> {
    check_length("probabilities", targets.len(), probabilities.len())?;
    let is_right = |(target, p): &(&f32, &f32)| !p.is_nan() && f32::from(u8::from(**p > 0.5)) == **target;
    share(targets.iter().zip(probabilities).filter(is_right).count(), targets.len())
}

/// `sum (prediction - target)^2 / n`.
///
/// # Errors
/// If the lengths differ or there are no elements.
pub fn mean_squared_error(targets: &[f32], predictions: &[f32]) -> Result<f64, MetricError> {
    mean_over_pairs(targets, predictions, |difference| difference * difference)
}

/// `sum abs(prediction - target) / n`.
///
/// # Errors
/// If the lengths differ or there are no elements.
pub fn mean_absolute_error(targets: &[f32], predictions: &[f32]) -> Result<f64, MetricError> {
    mean_over_pairs(targets, predictions, f64::abs)
}

fn mean_over_pairs(targets: &[f32], predictions: &[f32], of: impl Fn(f64) -> f64) -> Result<f64, MetricError> {
    check_length("predictions", targets.len(), predictions.len())?;
    if targets.is_empty() {
        return Err(MetricError::Empty);
    }
    let sum: f64 =
        targets.iter().zip(predictions).map(|(&target, &prediction)| of(f64::from(prediction) - f64::from(target))).sum();
    Ok(sum / targets.len() as f64)
}

/// A mean that grows batch by batch, each value weighted: an epoch's loss is the mean of its batches' losses, weighted by their sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunningMean {
    sum: f64,
    weights: f64,
}

impl RunningMean {
    /// Adds the mean `value` of a batch of `weight` rows. A batch of no rows changes nothing, even if its mean is NaN.
    pub fn add(&mut self, value: f64, weight: usize) {
        if weight > 0 {
            self.sum += value * weight as f64;
            self.weights += weight as f64;
        }
    }

    /// The mean of all rows so far; `None` before the first.
    pub fn mean(&self) -> Option<f64> {
        (self.weights > 0.0).then(|| self.sum / self.weights)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of scikit-learn's documentation.
    fn small() -> ConfusionMatrix {
        ConfusionMatrix::from_labels(3, &[0u8, 1, 2, 2, 2], &[0u8, 0, 2, 2, 1]).unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{expected} expected, found {found}");
    }

    #[test]
    fn counts_have_true_classes_in_rows() {
        let matrix = small();
        assert_eq!(matrix.counts(), [1, 0, 0, 1, 0, 0, 0, 1, 2]);
        assert_eq!(matrix.count(1, 0), Some(1));
        assert_eq!(matrix.count(0, 1), Some(0));
        assert_eq!(matrix.count(0, 3), None);
        assert_eq!(matrix.count(3, 0), None);
        assert_eq!((matrix.total(), matrix.correct(), matrix.classes()), (5, 3, 3));
    }

    #[test]
    fn scores_by_hand() {
        let matrix = small();
        let expected = [(0.5, 1.0, 2.0 / 3.0, 1), (0.0, 0.0, 0.0, 1), (1.0, 2.0 / 3.0, 0.8, 3)];
        for (scores, (precision, recall, f1, support)) in matrix.per_class().zip(expected) {
            close(scores.precision, precision);
            close(scores.recall, recall);
            close(scores.f1, f1);
            assert_eq!(scores.support, support);
        }
        assert_eq!(matrix.class_scores(2), matrix.per_class().nth(2));
        assert_eq!(matrix.class_scores(3), None);
        let average = matrix.average(Average::Macro);
        close(average.precision, 0.5);
        close(average.recall, 5.0 / 9.0);
        close(average.f1, (2.0 / 3.0 + 0.8) / 3.0);
        let average = matrix.average(Average::Weighted);
        close(average.precision, 0.7);
        close(average.recall, 0.6);
        close(average.f1, (2.0 / 3.0 + 2.4) / 5.0);
        assert_eq!(average.support, 5);
        assert_eq!(matrix.average(Average::Micro), Scores { precision: 0.6, recall: 0.6, f1: 0.6, support: 5 });
    }

    #[test]
    fn classes_without_rows_or_predictions_score_zero() {
        let mut matrix = ConfusionMatrix::new(3).unwrap();
        let zero = Scores { precision: 0.0, recall: 0.0, f1: 0.0, support: 0 };
        for average in [Average::Macro, Average::Micro, Average::Weighted] {
            assert_eq!(matrix.average(average), zero);
        }
        assert_eq!(matrix.accuracy(), 0.0);
        assert!(matrix.per_class().all(|scores| scores == zero));
        matrix.record(0, 0).unwrap();
        assert_eq!(matrix.class_scores(2), Some(zero));
        close(matrix.average(Average::Macro).f1, 1.0 / 3.0);
        close(matrix.average(Average::Weighted).f1, 1.0);
    }

    #[test]
    fn report_is_laid_out_as_in_scikit_learn() {
        let expected = "              precision    recall  f1-score   support

     class 0       0.50      1.00      0.67         1
     class 1       0.00      0.00      0.00         1
     class 2       1.00      0.67      0.80         3

    accuracy                           0.60         5
   macro avg       0.50      0.56      0.49         5
weighted avg       0.70      0.60      0.61         5
";
        let report = small().report_with_names(&["class 0", "class 1", "class 2"]).unwrap();
        assert_eq!(report.to_string(), expected);
        assert!(small().report().to_string().contains("\n           2       1.00      0.67"));
        let long = small().report_with_names(&["a name of 19 letters", "b", "c"]).unwrap().to_string();
        assert!(long.lines().filter(|line| !line.is_empty()).all(|line| line.len() == 20 + 41), "{long}");
    }

    #[test]
    fn table_shows_names_and_counts() {
        let mut matrix = small();
        for _ in 0..1000 {
            matrix.record(1, 2).unwrap();
        }
        let expected = "\
true \\ predicted  0  1     2
               0  1  0     0
               1  1  0  1000
               2  0  1     2
";
        assert_eq!(matrix.to_string(), expected);
        let expected = "\
true \\ predicted  été  boots   bag
             été    1      0     0
           boots    1      0  1000
             bag    0      1     2
";
        assert_eq!(matrix.table_with_names(&["été", "boots", "bag"]).unwrap().to_string(), expected);
    }

    #[test]
    fn bad_labels_and_lengths_are_refused() {
        assert_eq!(ConfusionMatrix::new(0), Err(MetricError::NoClasses));
        let mut matrix = small();
        let before = matrix.clone();
        assert_eq!(matrix.record(3, 0), Err(MetricError::ClassOutOfRange { which: "true", row: 0, classes: 3, found: 3 }));
        let error = matrix.record(0, 9).unwrap_err();
        assert_eq!(error.to_string(), "predicted label in row 0: a class below 3 expected, found 9");
        assert_eq!(matrix, before);
        assert_eq!(
            ConfusionMatrix::from_labels(3, &[0u8, 1], &[0usize, 7]),
            Err(MetricError::ClassOutOfRange { which: "predicted", row: 1, classes: 3, found: 7 })
        );
        assert_eq!(
            ConfusionMatrix::from_labels(3, &[0u8, 1], &[0u8]),
            Err(MetricError::LengthMismatch { what: "predicted labels", expected: 2, found: 1 })
        );
        assert!(matrix.report_with_names(&["a", "b"]).is_err());
        assert!(matrix.table_with_names(&["a", "b", "c", "d"]).is_err());
        assert!(matrix.merge(&ConfusionMatrix::new(4).unwrap()).is_err());
        matrix.merge(&before).unwrap();
        assert_eq!(matrix.counts(), [2, 0, 0, 2, 0, 0, 0, 2, 4]);
    }

    #[test]
    fn accuracy_takes_the_first_maximum_and_no_nan() {
        assert_eq!(predicted_class(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(predicted_class(&[f32::NEG_INFINITY; 2]), Some(0));
        assert_eq!(predicted_class(&[1.0, f32::NAN]), None);
        assert_eq!(predicted_class(&[]), None);
        // Padding between the rows would win if it were read.
        let data = [0.1, 0.9, 9.0, 0.6, 0.4, 9.0, f32::NAN, 0.0, 9.0, 0.2, 0.2];
        let scores = MatRef::new(&data, 4, 2, 3);
        assert_eq!(sparse_categorical_accuracy(&[1u8, 0, 0, 0], scores), Ok(0.75));
        assert_eq!(sparse_categorical_accuracy(&[0usize, 0, 1, 1], scores), Ok(0.25));
        let one_hot = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        assert_eq!(categorical_accuracy(MatRef::new(&one_hot, 4, 2, 2), scores), Ok(0.75));
        assert_eq!(
            sparse_categorical_accuracy(&[0u8, 2, 0, 0], scores),
            Err(MetricError::ClassOutOfRange { which: "true", row: 1, classes: 2, found: 2 })
        );
        assert!(sparse_categorical_accuracy(&[0u8], scores).is_err());
        assert_eq!(sparse_categorical_accuracy::<u8>(&[], MatRef::new(&[], 0, 2, 2)), Err(MetricError::Empty));
        assert!(categorical_accuracy(MatRef::new(&one_hot, 2, 4, 4), scores).is_err());
    }

    #[test]
    fn top_k_decides_ties_for_the_true_class() {
        let data = [0.1, 0.9, 0.8, 0.05, 0.95, 0.0];
        let scores = MatRef::new(&data, 2, 3, 3);
        assert_eq!(top_k_accuracy(&[2u8, 2], scores, 1), Ok(0.0));
        assert_eq!(top_k_accuracy(&[2u8, 2], scores, 2), Ok(0.5));
        assert_eq!(top_k_accuracy(&[2u8, 2], scores, 3), Ok(1.0));
        assert_eq!(top_k_accuracy(&[2u8, 2], scores, 99), Ok(1.0));
        let tied = [0.3, 0.3, 0.3, 0.1];
        let scores = MatRef::new(&tied, 1, 4, 4);
        assert_eq!(top_k_accuracy(&[2u8], scores, 1), Ok(1.0));
        assert_eq!(top_k_accuracy(&[3u8], scores, 3), Ok(0.0));
        let nan = [0.3, f32::NAN, 0.3, 0.1];
        assert_eq!(top_k_accuracy(&[2u8], MatRef::new(&nan, 1, 4, 4), 4), Ok(0.0));
        assert_eq!(top_k_accuracy(&[2u8], scores, 0), Err(MetricError::ZeroK));
        assert!(top_k_accuracy(&[4u8], scores, 1).is_err());
    }

    #[test]
    fn one_half_is_not_above_the_threshold() {
        // Keras' documentation: targets [1, 1, 0, 0], predictions [0.98, 1, 0, 0.6] give 0.75.
        assert_eq!(binary_accuracy(&[1.0, 1.0, 0.0, 0.0], &[0.98, 1.0, 0.0, 0.6]), Ok(0.75));
        assert_eq!(binary_accuracy(&[0.0, 0.0, 1.0], &[0.5, 0.5, 0.500_001]), Ok(1.0));
        assert_eq!(binary_accuracy(&[0.0, 1.0], &[f32::NAN, f32::NAN]), Ok(0.0));
        assert_eq!(binary_accuracy(&[], &[]), Err(MetricError::Empty));
        assert!(binary_accuracy(&[0.0], &[]).is_err());
    }

    #[test]
    fn regression_errors_by_hand() {
        let (targets, predictions) = ([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]);
        assert_eq!(mean_squared_error(&targets, &predictions), Ok(0.375));
        assert_eq!(mean_absolute_error(&targets, &predictions), Ok(0.5));
        assert!(mean_squared_error(&[1.0, 2.0], &[1.0, f32::NAN]).unwrap().is_nan());
        assert_eq!(mean_squared_error(&[], &[]), Err(MetricError::Empty));
        assert_eq!(
            mean_absolute_error(&[1.0], &[]),
            Err(MetricError::LengthMismatch { what: "predictions", expected: 1, found: 0 })
        );
    }

    #[test]
    fn a_short_last_batch_weighs_less() {
        let mut mean = RunningMean::default();
        assert_eq!(mean.mean(), None);
        mean.add(1.0, 32);
        mean.add(f64::NAN, 0);
        mean.add(4.0, 16);
        assert_eq!(mean.mean(), Some(2.0));
        mean.add(f64::NAN, 1);
        assert!(mean.mean().unwrap().is_nan());
    }
}
