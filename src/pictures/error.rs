//! What can be wrong with the input of a picture, or with its file.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A picture that cannot be drawn or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum PictureError {
    /// A slice does not have the length that the other arguments ask for.
    Length {
        /// Which slice.
        what: String,
        /// The length that was asked for.
        expected: usize,
        /// The length of the slice.
        found: usize,
    },
    /// Fewer things than the picture needs.
    TooFew {
        /// Which things.
        what: String,
        /// The smallest number.
        at_least: usize,
        /// The number that was given.
        found: usize,
    },
    /// No value can be shown: all are NaN or infinite, or not positive on a logarithmic axis.
    NothingToShow {
        /// Which values.
        what: String,
    },
    /// A range is not `lower < upper` with finite bounds, or its lower bound is not positive on a logarithmic axis.
    Range {
        /// Which range.
        what: String,
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },
    /// A class number that has no name.
    Class {
        /// Which class numbers.
        what: String,
        /// Where the number stands.
        index: usize,
        /// The number of classes: numbers must be below it.
        classes: usize,
        /// The number.
        found: usize,
    },
    /// The picture would be larger than 64 million pixels or 32,767 pixels on a side.
    TooLarge {
        /// The width in pixels.
        width: u64,
        /// The height in pixels.
        height: u64,
    },
    /// The folder in which the picture should be written does not exist.
    NoFolder {
        /// The path of the picture.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The file could not be written.
    Write {
        /// The path of the picture.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The letters or the PNG encoder could not be used; not a fault of the input.
    Drawing {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { what, expected, found } => write!(f, "{what}: expected a length of {expected}, found {found}"),
            Self::TooFew { what, at_least, found } => write!(f, "{what}: expected at least {at_least}, found {found}"),
            Self::NothingToShow { what } => write!(f, "{what}: expected at least one value that the axes can show, found none"),
            Self::Range { what, lower, upper } => {
                write!(
                    f,
                    "{what}: expected finite bounds, the lower below the upper (and positive on a logarithmic axis), found {lower} to {upper}"
                )
            }
            Self::Class { what, index, classes, found } => {
                write!(f, "{what}, index {index}: expected a class below {classes}, found {found}")
            }
            Self::TooLarge { width, height } => {
                write!(f, "expected a picture of at most 64 million pixels and 32,767 on a side, found {width} by {height}")
            }
            Self::NoFolder { path, folder } => {
                write!(f, "cannot write {}: the folder {} does not exist", path.display(), folder.display())
            }
            Self::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
            Self::Drawing { reason } => write!(f, "cannot draw: {reason}"),
        }
    }
}

impl std::error::Error for PictureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}

pub(super) fn check_length(what: &str, expected: usize, found: usize) -> Result<(), PictureError> {
    if expected == found { Ok(()) } else { Err(PictureError::Length { what: what.into(), expected, found }) }
}

pub(super) fn check_at_least(what: &str, at_least: usize, found: usize) -> Result<(), PictureError> {
    if found >= at_least { Ok(()) } else { Err(PictureError::TooFew { what: what.into(), at_least, found }) }
}
