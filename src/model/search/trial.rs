//! [`Trial`]: what came of one candidate.

use super::candidate::Candidate;

/// What one fold says of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The larger, the better: an accuracy, or a loss with a minus before it.
    pub value: f64,
    /// After how many epochs the model was as it was scored, if that is to guide a refit.
    pub epochs: Option<usize>,
}

impl From<f64> for Score {
    fn from(value: f64) -> Self {
        Self { value, epochs: None }
    }
}

/// The score of one fold, and what it took.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "search-json", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct FoldScore {
    /// The larger, the better; always finite.
    pub score: f64,
    /// After how many epochs the model was as it was scored.
    pub epochs: Option<usize>,
    /// The time of training and scoring.
    pub seconds: f64,
}

/// What came of one candidate.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "search-json", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Trial {
    /// Its number in the search, from 0.
    #[cfg_attr(feature = "search-json", serde(rename = "trial"))]
    pub number: usize,
    /// What was tried.
    pub candidate: Candidate,
    /// Tells the folds of this search from others, so that scores of different rows are never ranked together.
    pub fingerprint: u32,
    /// The scores of the folds in order; of a failed trial those before the failure.
    pub folds: Vec<FoldScore>,
    /// Why it has failed, if it has.
    pub failure: Option<String>,
}

impl Trial {
    /// The mean of the scores; nothing if it has failed.
    pub fn mean(&self) -> Option<f64> {
        let n = self.folds.len() as f64;
        (self.failure.is_none() && n > 0.0).then(|| self.folds.iter().map(|fold| fold.score / n).sum())
    }

    /// How far the scores scatter around their mean: the root of the mean square of the differences, with the number of folds as divisor.
    pub fn standard_deviation(&self) -> Option<f64> {
        let mean = self.mean()?;
        let squares: f64 = self.folds.iter().map(|fold| (fold.score - mean) * (fold.score - mean)).sum();
        Some((squares / self.folds.len() as f64).sqrt())
    }

    /// The time of all its folds.
    pub fn seconds(&self) -> f64 {
        // From 0 on: the sum of nothing would be -0.
        self.folds.iter().fold(0.0, |sum, fold| sum + fold.seconds)
    }

    /// For how many epochs to train on all rows: the mean over the folds, rounded, at least 1; nothing if a fold does not say.
    pub fn epochs(&self) -> Option<usize> {
        let epochs: Option<Vec<usize>> = self.folds.iter().map(|fold| fold.epochs).collect();
        let epochs = epochs.filter(|epochs| !epochs.is_empty())?;
        let mean = epochs.iter().map(|&n| n as f64).sum::<f64>() / epochs.len() as f64;
        Some((mean.round() as usize).max(1))
    }

    /// Whether it ended as another one, whatever time that took.
    pub(super) fn ended_as(&self, other: &Self) -> bool {
        let scores = |trial: &Self| trial.folds.iter().map(|fold| (fold.score, fold.epochs)).collect::<Vec<_>>();
        self.failure == other.failure && scores(self) == scores(other)
    }
}
