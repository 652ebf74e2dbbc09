//! [`ValidationSplit`]: which rows are held out for validation.

use super::{
    batches::shuffle_for,
    error::DataError,
    random::{Purpose, Random},
};

/// How rows are chosen for validation. Each takes the fraction of the rows (between 0 and 1, both excluded) that goes to validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValidationSplit {
    /// The last rows, as Keras' `validation_split`: training takes the first `floor(rows * (1 - fraction))` rows, computed in `f64`.
    ///
    /// The rounding of `f64` is Keras' too: `1 - 0.8` is a little less than 0.2, so that of 100 rows 19 are left for training, not 20.
    Tail(f64),
    /// As many rows as [`Tail`](Self::Tail), but of a random order. Both parts are in that order.
    ShuffledTail {
        /// The fraction for validation.
        fraction: f64,
        /// What the order depends on, together with the number of rows.
        seed: u64,
    },
    /// As many rows as [`Tail`](Self::Tail), chosen at random within each class, so that each class has its share in both parts, up to less than
    /// one row. Both parts keep the order of the dataset.
    Stratified {
        /// The fraction for validation.
        fraction: f64,
        /// What the choice depends on, together with the labels.
        seed: u64,
    },
}

impl ValidationSplit {
    /// The rows for training and for validation, in this order, out of `rows` rows; `class` tells the class of each.
    pub(crate) fn rows(self, rows: usize, class: impl Fn(usize) -> u32) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        let (Self::Tail(fraction) | Self::ShuffledTail { fraction, .. } | Self::Stratified { fraction, .. }) = self;
        let train = training_rows(rows, fraction)?;
        let mut order: Vec<u32> = (0..rows as u32).collect();
        match self {
            Self::Tail(_) => {}
            Self::ShuffledTail { seed, .. } => shuffle_for(Purpose::Split, &mut order, seed, 0),
            Self::Stratified { seed, .. } => return Ok(stratify(rows, rows - train, seed, class)),
        }
        let validation = order.split_off(train);
        Ok((order, validation))
    }
}

/// How many rows Keras leaves for training.
fn training_rows(rows: usize, fraction: f64) -> Result<usize, DataError> {
    // Written so that NaN is refused.
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(DataError::SplitFraction { found: fraction });
    }
    let train = (rows as f64 * (1.0 - fraction)).floor() as usize;
    if train == 0 || train == rows {
        return Err(DataError::EmptySplit { rows, fraction, train, validation: rows - train });
    }
    Ok(train)
}

/// The rows for training and `validation` rows that are spread over the classes in proportion, by the method of largest remainders:
/// each class gives the whole part of its share, and the classes with the largest remainders (the first of equals) give one more.
fn stratify(rows: usize, validation: usize, seed: u64, class: impl Fn(usize) -> u32) -> (Vec<u32>, Vec<u32>) {
    let mut members: Vec<Vec<u32>> = Vec::new();
    for row in 0..rows {
        let class = class(row) as usize;
        if members.len() <= class {
            members.resize_with(class + 1, Vec::new);
        }
        members[class].push(row as u32);
    }
    let share = |class: usize| members[class].len() as u128 * validation as u128;
    let all = rows as u128;
    let mut quota: Vec<usize> = (0..members.len()).map(|class| (share(class) / all) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..members.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(share(class) % all));
    let left = validation - quota.iter().sum::<usize>();
    for &class in &by_remainder[..left] {
        quota[class] += 1;
    }

    let mut is_validation = vec![false; rows];
    for (class, members) in members.iter_mut().enumerate() {
        Random::new(Purpose::Split, seed, 1 + class as u64).shuffle(members);
        for &row in &members[members.len() - quota[class]..] {
            is_validation[row as usize] = true;
        }
    }
    (0..rows as u32).partition(|&row| !is_validation[row as usize])
}
