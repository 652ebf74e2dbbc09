//! [`Fold`], [`KFold`] and [`StratifiedKFold`]: which rows are trained on and which are scored.

use super::error::SearchError;
use crate::data::ValidationSplit;
use crate::data::random::{Purpose, Random};
use crate::model::ModelError;

/// The rows to train on and the rows to score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The numbers of the rows to train on.
    pub training: Vec<u32>,
    /// The numbers of the rows to score.
    pub validation: Vec<u32>,
}

impl Fold {
    /// One fold by a split of rows `0..rows`, for data so large that a single validation set says enough. A stratified split needs the class of each row in
    /// `labels`; the others do not look at it.
    ///
    /// # Errors
    /// If the fraction makes no sense for this number of rows, or a stratified split has not a label for each row.
    pub fn hold_out(split: ValidationSplit, rows: usize, labels: &[u32]) -> Result<Self, SearchError> {
        check_row_numbers(rows)?;
        if matches!(split, ValidationSplit::Stratified { .. }) && labels.len() != rows {
            return Err(ModelError::LabelCount { expected: rows, found: labels.len() }.into());
        }
        let (training, validation) = split.rows(rows, |row| labels.get(row).copied().unwrap_or(0)).map_err(ModelError::from)?;
        Ok(Self { training, validation })
    }

    /// A number that tells lists of folds apart: FNV-1a over their row numbers, folded to 32 bits.
    pub(super) fn fingerprint(folds: &[Self]) -> u32 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |number: u32| {
            number.to_le_bytes().iter().for_each(|&byte| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        };
        for part in folds.iter().flat_map(|fold| [&fold.training, &fold.validation]) {
            add(part.len() as u32);
            part.iter().copied().for_each(&mut add);
        }
        (hash >> 32) as u32 ^ hash as u32
    }
}

/// K-fold cross-validation: the rows are cut into `k` parts of nearly the same size, and each part is scored by a model that was trained on
/// all the others.
///
/// Of `n` rows, each of the first `n mod k` parts has `n / k + 1`, the others `n / k`. Parts are runs of neighbours unless rows are shuffled; the row
/// numbers of a fold are in increasing order in any case.
///
/// ```
/// use selvedge::model::search::KFold;
///
/// let folds = KFold::new(3).split(7)?;
/// assert_eq!(folds[0].validation, [0, 1, 2]);
/// assert_eq!(folds[1].validation, [3, 4]);
/// assert_eq!(folds[1].training, [0, 1, 2, 5, 6]);
/// # Ok::<(), selvedge::model::search::SearchError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KFold {
    folds: usize,
    seed: Option<u64>,
}

impl KFold {
    /// That many folds, without shuffling.
    pub fn new(folds: usize) -> Self {
        Self { folds, seed: None }
    }

    /// Chooses the rows of each part at random, by a seed.
    pub fn shuffle(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The folds of that many rows.
    ///
    /// # Errors
    /// [`SearchError::FoldCount`] for fewer than 2 folds, [`SearchError::TooFewRows`] for more folds than rows.
    pub fn split(&self, rows: usize) -> Result<Vec<Fold>, SearchError> {
        check_counts(self.folds, rows)?;
        let mut order: Vec<u32> = (0..rows as u32).collect();
        if let Some(seed) = self.seed {
            Random::new(Purpose::Folds, seed, 0).shuffle(&mut order);
        }
        let mut part_of = vec![0; rows];
        let (size, larger) = (rows / self.folds, rows % self.folds);
        let mut rest = order.as_slice();
        for part in 0..self.folds {
            let (members, others) = rest.split_at(size + usize::from(part < larger));
            members.iter().for_each(|&row| part_of[row as usize] = part);
            rest = others;
        }
        Ok(folds_of_parts(&part_of, self.folds))
    }
}

/// K-fold cross-validation that gives each part its share of every class, up to less than one row; parts differ by at most one row.
///
/// The rows, sorted by class, are dealt out to the parts in turn like cards. Rows of a class are dealt in their own order unless they are
/// shuffled.
///
/// ```
/// use selvedge::model::search::StratifiedKFold;
///
/// let labels = [0, 0, 0, 0, 1, 1, 0, 0];
/// let folds = StratifiedKFold::new(2).split(&labels)?;
/// assert_eq!(folds[0].validation, [0, 2, 4, 6]);
/// assert_eq!(folds[1].validation, [1, 3, 5, 7]);
/// # Ok::<(), selvedge::model::search::SearchError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StratifiedKFold {
    folds: usize,
    seed: Option<u64>,
}

impl StratifiedKFold {
    /// That many folds, without shuffling.
    pub fn new(folds: usize) -> Self {
        Self { folds, seed: None }
    }

    /// Chooses the rows of each part at random within each class, by a seed.
    pub fn shuffle(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The folds of rows with these classes.
    ///
    /// # Errors
    /// As [`KFold::split`], and [`SearchError::TooFewMembers`] if a class has fewer rows than there are folds, so that it would be missing where it is
    /// scored.
    pub fn split(&self, labels: &[u32]) -> Result<Vec<Fold>, SearchError> {
        check_counts(self.folds, labels.len())?;
        let mut by_class: Vec<u32> = (0..labels.len() as u32).collect();
        by_class.sort_by_key(|&row| labels[row as usize]); // stable
        for members in by_class.chunk_by_mut(|&a, &b| labels[a as usize] == labels[b as usize]) {
            let class = labels[members[0] as usize];
            if members.len() < self.folds {
                return Err(SearchError::TooFewMembers { folds: self.folds, class, found: members.len() });
            }
            if let Some(seed) = self.seed {
                Random::new(Purpose::Folds, seed, 1 + u64::from(class)).shuffle(members);
            }
        }
        let mut part_of = vec![0; labels.len()];
        by_class.iter().enumerate().for_each(|(position, &row)| part_of[row as usize] = position % self.folds);
        Ok(folds_of_parts(&part_of, self.folds))
    }
}

fn check_counts(folds: usize, rows: usize) -> Result<(), SearchError> {
    if folds < 2 {
        return Err(SearchError::FoldCount { found: folds });
    }
    if folds > rows {
        return Err(SearchError::TooFewRows { folds, found: rows });
    }
    check_row_numbers(rows)
}

/// Rows are numbered by `u32`.
fn check_row_numbers(rows: usize) -> Result<(), SearchError> {
    u32::try_from(rows).map(|_| ()).map_err(|_| SearchError::setting("rows", "at most 4294967295", rows))
}

/// For each part the fold that scores it.
fn folds_of_parts(part_of: &[usize], folds: usize) -> Vec<Fold> {
    let fold = |part| {
        let (validation, training) = (0..part_of.len() as u32).partition(|&row| part_of[row as usize] == part);
        Fold { training, validation }
    };
    (0..folds).map(fold).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Each row is scored once, and trained on everywhere else.
    fn check_partition(folds: &[Fold], rows: usize) {
        let mut scored: Vec<u32> = folds.iter().flat_map(|fold| fold.validation.clone()).collect();
        scored.sort_unstable();
        assert_eq!(scored, (0..rows as u32).collect::<Vec<_>>());
        for fold in folds {
            assert!(fold.training.is_sorted() && fold.validation.is_sorted());
            let mut all = [fold.training.clone(), fold.validation.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..rows as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn folds_partition_the_rows() {
        for (rows, k) in [(2, 2), (10, 3), (11, 3), (12, 3), (37, 5), (5, 5)] {
            for split in [KFold::new(k), KFold::new(k).shuffle(9)] {
                let folds = split.split(rows).unwrap();
                check_partition(&folds, rows);
                let sizes: Vec<usize> = folds.iter().map(|fold| fold.validation.len()).collect();
                let expected: Vec<usize> = (0..k).map(|part| rows / k + usize::from(part < rows % k)).collect();
                assert_eq!(sizes, expected);
            }
        }
        let shuffled = KFold::new(4).shuffle(1).split(40).unwrap();
        assert_eq!(shuffled, KFold::new(4).shuffle(1).split(40).unwrap());
        assert_ne!(shuffled, KFold::new(4).shuffle(2).split(40).unwrap());
        assert_ne!(shuffled, KFold::new(4).split(40).unwrap());
    }

    #[test]
    fn every_part_has_its_share_of_every_class() {
        let labels: Vec<u32> = (0..103).map(|i| [0, 0, 0, 5, 2, 0, 2][i % 7]).collect();
        for split in [StratifiedKFold::new(4), StratifiedKFold::new(4).shuffle(3)] {
            let folds = split.split(&labels).unwrap();
            check_partition(&folds, labels.len());
            for class in [0, 2, 5] {
                let all = labels.iter().filter(|&&label| label == class).count();
                for fold in &folds {
                    let here = fold.validation.iter().filter(|&&row| labels[row as usize] == class).count();
                    assert!(here == all / 4 || here == all.div_ceil(4), "class {class}: {here} of {all}");
                }
            }
            assert!(folds.iter().all(|fold| [25, 26].contains(&fold.validation.len())));
        }
        let seed = |seed| StratifiedKFold::new(4).shuffle(seed).split(&labels).unwrap();
        assert_eq!(seed(3), seed(3));
        assert_ne!(seed(3), seed(4));
    }

    #[test]
    fn impossible_folds_are_refused() {
        let message = |result: Result<Vec<Fold>, SearchError>| result.unwrap_err().to_string();
        assert_eq!(message(KFold::new(1).split(10)), "at least 2 folds expected, found 1");
        assert_eq!(message(KFold::new(0).split(10)), "at least 2 folds expected, found 0");
        assert_eq!(message(KFold::new(3).split(2)), "at least 3 rows for 3 folds expected, found 2");
        assert_eq!(message(StratifiedKFold::new(1).split(&[0, 1])), "at least 2 folds expected, found 1");
        assert_eq!(message(StratifiedKFold::new(2).split(&[])), "at least 2 rows for 2 folds expected, found 0");
        let rare = "at least 3 rows of class 7 for 3 folds expected, found 2";
        assert_eq!(message(StratifiedKFold::new(3).split(&[0, 7, 0, 7, 0])), rare);
    }

    #[test]
    fn a_held_out_part_is_a_fold() {
        let fold = Fold::hold_out(ValidationSplit::Tail(0.25), 8, &[]).unwrap();
        assert_eq!((fold.training, fold.validation), (vec![0, 1, 2, 3, 4, 5], vec![6, 7]));
        let stratified = ValidationSplit::Stratified { fraction: 0.5, seed: 1 };
        let fold = Fold::hold_out(stratified, 4, &[0, 0, 1, 1]).unwrap();
        assert!(fold.validation[0] < 2 && fold.validation[1] >= 2);
        assert_eq!(Fold::hold_out(stratified, 4, &[]).unwrap_err().to_string(), "labels of 4 rows expected, found 0");
        assert!(Fold::hold_out(ValidationSplit::Tail(1.5), 4, &[]).is_err());
    }

    #[test]
    fn fingerprints_tell_folds_apart() {
        let folds = KFold::new(3).split(9).unwrap();
        let print = Fold::fingerprint(&folds);
        assert_eq!(print, Fold::fingerprint(&KFold::new(3).split(9).unwrap()));
        assert_ne!(print, Fold::fingerprint(&KFold::new(3).shuffle(1).split(9).unwrap()));
        assert_ne!(print, Fold::fingerprint(&KFold::new(3).split(10).unwrap()));
        assert_ne!(print, Fold::fingerprint(&folds[..2]));
    }
}
