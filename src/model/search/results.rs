//! [`SearchResults`]: the trials of a search, the best first.

use super::candidate::{Value, short};
use super::trial::Trial;
use std::fmt;
use std::io::{self, Write};

/// A trial and its rank.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedTrial {
    /// One more than the number of trials that are better: the best have rank 1, equals share a rank, the failed share the last one.
    pub rank: usize,
    /// The trial.
    pub trial: Trial,
}

/// The trials of a search, the best first. Equals are in the order of their numbers, the failed ones come last.
///
/// Printed, it is a table; [`SearchResults::write_csv`] writes the same with all digits.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResults {
    rows: Vec<RankedTrial>,
    trials: usize,
    ignored_line: Option<usize>,
}

impl SearchResults {
    /// Ranks what has been finished of a search of that many trials.
    pub(super) fn new(mut finished: Vec<Trial>, trials: usize, ignored_line: Option<usize>) -> Self {
        // Failed ones have no mean, and nothing is less than any number.
        let order = |a: &Trial, b: &Trial| match (a.mean(), b.mean()) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        finished.sort_by_key(|trial| trial.number);
        finished.sort_by(order); // stable
        let mut rows: Vec<RankedTrial> = Vec::with_capacity(finished.len());
        for (i, trial) in finished.into_iter().enumerate() {
            let rank = match rows.last() {
                Some(before) if before.trial.mean() == trial.mean() => before.rank,
                _ => i + 1,
            };
            rows.push(RankedTrial { rank, trial });
        }
        Self { rows, trials, ignored_line }
    }

    /// All finished trials, the best first.
    pub fn rows(&self) -> &[RankedTrial] {
        &self.rows
    }

    /// The best trial; of equals the one of the smallest number. Nothing if none has succeeded.
    pub fn best(&self) -> Option<&Trial> {
        self.rows.first().map(|row| &row.trial).filter(|trial| trial.failure.is_none())
    }

    /// How many trials of the search are not finished: left to other machines, or to a later run.
    pub fn unfinished(&self) -> usize {
        self.trials - self.rows.len()
    }

    /// The number, from 1, of the last line that the search went on from, if the line broke off: it was ignored, and its trial was run again.
    pub fn ignored_line(&self) -> Option<usize> {
        self.ignored_line
    }

    /// The names of all parameters in the order in which they first appear.
    fn parameters(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|row| row.trial.candidate.iter()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn folds(&self) -> usize {
        self.rows.iter().map(|row| row.trial.folds.len()).max().unwrap_or(0)
    }

    /// Writes the table as comma-separated values with all digits, its columns named as in scikit-learn's `cv_results_`: `rank_test_score`,
    /// `trial`, `param_<name>` for each parameter, `mean_test_score`, `std_test_score`, `split<i>_test_score` for each fold, `mean_fit_time`
    /// (seconds of a fold, here with the scoring), `failure`. What there is not, such as the scores of a failed trial, is empty.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn write_csv(&self, mut writer: impl Write) -> io::Result<()> {
        let (parameters, folds) = (self.parameters(), self.folds());
        let mut header = vec!["rank_test_score".to_owned(), "trial".to_owned()];
        header.extend(parameters.iter().map(|name| format!("param_{name}")));
        header.extend(["mean_test_score".to_owned(), "std_test_score".to_owned()]);
        header.extend((0..folds).map(|fold| format!("split{fold}_test_score")));
        header.extend(["mean_fit_time".to_owned(), "failure".to_owned()]);
        write_line(&mut writer, &header)?;
        let number = |x: Option<f64>| x.map_or_else(String::new, |x| format!("{x:?}"));
        for RankedTrial { rank, trial } in &self.rows {
            let mut line = vec![rank.to_string(), trial.number.to_string()];
            line.extend(parameters.iter().map(|name| trial.candidate.get(name).map_or_else(String::new, Value::to_string)));
            line.extend([number(trial.mean()), number(trial.standard_deviation())]);
            line.extend((0..folds).map(|fold| number(trial.folds.get(fold).map(|fold| fold.score))));
            let seconds = (!trial.folds.is_empty()).then(|| trial.seconds() / trial.folds.len() as f64);
            line.extend([number(seconds), trial.failure.clone().unwrap_or_default()]);
            write_line(&mut writer, &line)?;
        }
        writer.flush()
    }
}

fn write_line(writer: &mut impl Write, values: &[String]) -> io::Result<()> {
    let quoted = |value: &String| {
        if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.clone() }
    };
    let line: Vec<String> = values.iter().map(quoted).collect();
    writer.write_all((line.join(",") + "\n").as_bytes())
}

impl fmt::Display for SearchResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parameters, folds) = (self.parameters(), self.folds());
        let mut header = vec!["rank".to_owned(), "trial".to_owned()];
        header.extend(parameters.iter().map(|&name| name.to_owned()));
        header.extend(["mean".to_owned(), "std".to_owned()]);
        header.extend((0..folds).map(|fold| format!("fold {fold}")));
        header.push("seconds".to_owned());
        let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), short);
        let cells = |RankedTrial { rank, trial }: &RankedTrial| {
            let mut line = vec![rank.to_string(), trial.number.to_string()];
            line.extend(parameters.iter().map(|name| trial.candidate.get(name).map_or_else(|| "-".to_owned(), Value::short)));
            line.extend([number(trial.mean()), number(trial.standard_deviation())]);
            line.extend((0..folds).map(|fold| number(trial.folds.get(fold).map(|fold| fold.score))));
            line.push(format!("{:.1}", trial.seconds()));
            line
        };
        let lines: Vec<Vec<String>> = std::iter::once(header).chain(self.rows.iter().map(cells)).collect();
        let widths: Vec<usize> =
            (0..lines[0].len()).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                write!(f, "{}{cell:>width$}", if column == 0 { "" } else { "  " })?;
            }
            if let Some(failure) = i.checked_sub(1).and_then(|row| self.rows[row].trial.failure.as_ref()) {
                write!(f, "  {}", failure.replace(['\n', '\r'], " "))?;
            }
        }
        if self.unfinished() > 0 {
            write!(f, "\n{} of {} trials not finished", self.unfinished(), self.trials)?;
        }
        match self.ignored_line {
            Some(line) => write!(f, "\nline {line} broke off and was ignored"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::search::{Candidate, FoldScore};

    fn trial(number: usize, candidate: Candidate, scores: &[f64], failure: Option<&str>) -> Trial {
        let folds = scores.iter().map(|&score| FoldScore { score, epochs: None, seconds: 0.25 }).collect();
        Trial { number, candidate, fingerprint: 0, folds, failure: failure.map(str::to_owned) }
    }

    fn results() -> SearchResults {
        let with = |n: i32, x: f64| Candidate::new().with("n", n).with("rate", x);
        let finished = vec![
            trial(4, with(1, 0.5), &[0.25], Some("fold 1: \"no\", it said")),
            trial(3, with(1, 0.1), &[0.25, 0.75], None),
            trial(0, with(2, 1.0 / 3.0).with("kind", "a"), &[0.5, 0.5], None),
            trial(1, with(3, 1e-5), &[0.875, 0.625], None),
            trial(2, with(3, 10.0), &[], Some("fold 0: broken")),
            trial(5, with(4, 10.0), &[0.0, 0.25], None),
        ];
        SearchResults::new(finished, 7, Some(9))
    }

    #[test]
    fn equals_share_a_rank_and_failures_come_last() {
        let results = results();
        let ranks: Vec<(usize, usize)> = results.rows().iter().map(|row| (row.rank, row.trial.number)).collect();
        assert_eq!(ranks, [(1, 1), (2, 0), (2, 3), (4, 5), (5, 2), (5, 4)]);
        assert_eq!((results.best().unwrap().number, results.unfinished()), (1, 1));
        let best = results.best().unwrap();
        assert_eq!((best.mean(), best.standard_deviation(), best.seconds()), (Some(0.75), Some(0.125), 0.5));
        assert_eq!((results.rows()[5].trial.mean(), results.rows()[5].trial.standard_deviation()), (None, None));
        let failed = SearchResults::new(vec![trial(0, Candidate::new(), &[], Some("no"))], 1, None);
        assert_eq!(failed.best(), None);
    }

    #[test]
    fn the_table() {
        let expected = "\
rank  trial  n     rate  kind   mean    std  fold 0  fold 1  seconds
   1      1  3     1e-5     -   0.75  0.125   0.875   0.625      0.5
   2      0  2  0.33333     a    0.5      0     0.5     0.5      0.5
   2      3  1      0.1     -    0.5   0.25    0.25    0.75      0.5
   4      5  4       10     -  0.125  0.125       0    0.25      0.5
   5      2  3       10     -      -      -       -       -      0.0  fold 0: broken
   5      4  1      0.5     -      -      -    0.25       -      0.2  fold 1: \"no\", it said
1 of 7 trials not finished
line 9 broke off and was ignored";
        assert_eq!(results().to_string(), expected);
    }

    #[test]
    fn comma_separated_values() {
        let mut bytes = Vec::new();
        results().write_csv(&mut bytes).unwrap();
        let expected = "\
rank_test_score,trial,param_n,param_rate,param_kind,mean_test_score,std_test_score,split0_test_score,split1_test_score,mean_fit_time,failure
1,1,3,1e-5,,0.75,0.125,0.875,0.625,0.25,
2,0,2,0.3333333333333333,a,0.5,0.0,0.5,0.5,0.25,
2,3,1,0.1,,0.5,0.25,0.25,0.75,0.25,
4,5,4,10.0,,0.125,0.125,0.0,0.25,0.25,
5,2,3,10.0,,,,,,,fold 0: broken
5,4,1,0.5,,,,0.25,,0.25,\"fold 1: \"\"no\"\", it said\"
";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn epochs_of_a_refit() {
        let mut trial = trial(0, Candidate::new(), &[0.0, 0.0, 0.0], None);
        assert_eq!(trial.epochs(), None);
        for (fold, epochs) in trial.folds.iter_mut().zip([3, 4, 4]) {
            fold.epochs = Some(epochs);
        }
        assert_eq!(trial.epochs(), Some(4), "11 / 3 rounded");
    }
}
