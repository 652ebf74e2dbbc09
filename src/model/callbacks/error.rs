//! What a callback refuses.

use core::fmt;

/// A setting or a value that a callback cannot work with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallbackError {
    /// The logs lack the metric that is asked for.
    MissingMetric {
        /// The metric.
        expected: String,
        /// The metrics that there are.
        found: Vec<String>,
    },
    /// Nobody said whether a larger value of this metric is better, and its name does not tell.
    UnknownDirection {
        /// The metric.
        metric: String,
    },
    /// A number is out of its range, infinite or NaN.
    OutOfRange {
        /// What the number is.
        parameter: &'static str,
        /// The range.
        expected: &'static str,
        /// The number.
        found: f64,
    },
    /// A file name that cannot be filled in.
    BadPattern {
        /// The pattern.
        pattern: String,
        /// The position, in bytes, of what is wrong.
        position: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingMetric { expected, found } => {
                write!(f, "metric `{expected}` expected in the logs, found")?;
                if found.is_empty() {
                    write!(f, " none")?;
                }
                for (i, name) in found.iter().enumerate() {
                    write!(f, "{} `{name}`", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::UnknownDirection { metric } => {
                write!(
                    f,
                    "metric `{metric}`: a direction expected, `Monitor::minimize` or `Monitor::maximize`, found a name that does not tell whether \
                     more is better"
                )
            }
            Self::OutOfRange { parameter, expected, found } => write!(f, "{parameter}: {expected} expected, found {found}"),
            Self::BadPattern { pattern, position, expected } => {
                write!(f, "file name `{pattern}`: {expected} expected at byte {position}")
            }
        }
    }
}

impl core::error::Error for CallbackError {}

/// What never fails has no error to convert.
impl From<core::convert::Infallible> for CallbackError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}
