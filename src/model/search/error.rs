//! [`SearchError`].

use super::candidate::Value;
use crate::model::ModelError;
use std::fmt;

/// What is wrong with a search, its space, its folds or the lines it is to go on from.
#[derive(Debug)]
#[non_exhaustive]
pub enum SearchError {
    /// A candidate has no parameter of this name.
    UnknownParameter {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A parameter is of another kind.
    ParameterKind {
        /// Its name.
        name: String,
        /// What was asked for.
        expected: &'static str,
        /// Its value.
        found: Value,
    },
    /// A parameter of a space makes no sense.
    Space {
        /// Its name.
        parameter: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A setting is outside of its range.
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Fewer than two folds.
    FoldCount {
        /// How many.
        found: usize,
    },
    /// More folds than rows.
    TooFewRows {
        /// The number of folds.
        folds: usize,
        /// The number of rows.
        found: usize,
    },
    /// More folds than rows of a class.
    TooFewMembers {
        /// The number of folds.
        folds: usize,
        /// The class.
        class: u32,
        /// The number of its rows.
        found: usize,
    },
    /// A fold without rows to train on, or without rows to score.
    EmptyFold {
        /// The fold.
        fold: usize,
        /// What it lacks.
        part: &'static str,
    },
    /// A model was built for more threads than its trial has.
    Threads {
        /// The threads of the trial.
        expected: usize,
        /// The threads of the model.
        found: usize,
    },
    /// The scorer needs classes, and the model's first output has none.
    NoAccuracy,
    /// A trial that has failed was asked for.
    Failed {
        /// The trial.
        trial: usize,
        /// Why it has failed.
        failure: String,
    },
    /// A finished trial is not of this search.
    Trial {
        /// Its number.
        trial: usize,
        /// What is wrong with it.
        what: &'static str,
        /// What this search has.
        expected: String,
        /// What the trial has.
        found: String,
    },
    /// A line is no trial, or none of this search.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be read or written.
    Io(std::io::Error),
    /// A model could not be built, trained or evaluated.
    Model(ModelError),
}

impl SearchError {
    pub(super) fn setting(name: &'static str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::Setting { name, expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownParameter { name, known } => write!(f, "a parameter among {known:?} expected, found `{name}`"),
            Self::ParameterKind { name, expected, found } => {
                write!(f, "parameter `{name}`: {expected} expected, found {} {found}", found.kind())
            }
            Self::Space { parameter, expected, found } => write!(f, "parameter `{parameter}`: {expected} expected, found {found}"),
            Self::Setting { name, expected, found } => write!(f, "{name}: {expected} expected, found {found}"),
            Self::FoldCount { found } => write!(f, "at least 2 folds expected, found {found}"),
            Self::TooFewRows { folds, found } => write!(f, "at least {folds} rows for {folds} folds expected, found {found}"),
            Self::TooFewMembers { folds, class, found } => {
                write!(f, "at least {folds} rows of class {class} for {folds} folds expected, found {found}")
            }
            Self::EmptyFold { fold, part } => write!(f, "fold {fold}: at least 1 row for {part} expected, found 0"),
            Self::Threads { expected, found } => {
                write!(f, "a model of at most {expected} threads expected, found {found}; compile it for the threads of its trial")
            }
            Self::NoAccuracy => f.write_str("an output with classes expected for the accuracy, found none"),
            Self::Failed { trial, failure } => write!(f, "trial {trial}: scores expected, found a failure: {failure}"),
            Self::Trial { trial, what, expected, found } => {
                write!(f, "trial {trial}, {what}: {expected} expected, found {found}")
            }
            Self::Line { line, source } => write!(f, "line {line}: {source}"),
            Self::Io(source) => write!(f, "the trials could not be read or written: {source}"),
            Self::Model(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for SearchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Line { source, .. } => Some(&**source),
            Self::Io(source) => Some(source),
            Self::Model(source) => Some(source),
            _ => None,
        }
    }
}

impl From<ModelError> for SearchError {
    fn from(source: ModelError) -> Self {
        Self::Model(source)
    }
}

impl From<std::io::Error> for SearchError {
    fn from(source: std::io::Error) -> Self {
        Self::Io(source)
    }
}
