//! [`PathPattern`]: file names with numbers to fill in, as in `model-{epoch:02}-{val_loss:.2}.safetensors`.

use super::{CallbackError, Logs};
use core::fmt::Write as _;

/// A file name with places for `{epoch}`, `{batch}` (both counted from **1** in names, as in Keras) and the numbers of the logs.
///
/// A colon may follow the name: `{epoch:02}` pads with zeros to two digits, `{epoch:2}` with spaces, `{val_loss:.3}` rounds to three decimals;
/// Python's `02d` and `.3f` are understood, too. `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number { name: String, zeros: bool, width: usize, decimals: Option<usize> },
}

/// The most digits that a name may ask for: file names end somewhere.
const MOST_DIGITS: usize = 64;

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`CallbackError::BadPattern`] with the place of the first mistake.
    pub fn new(pattern: &str) -> Result<Self, CallbackError> {
        let bad = |position, expected| CallbackError::BadPattern { pattern: pattern.to_owned(), position, expected };
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut position = 0;
        while let Some(next) = pattern[position..].chars().next() {
            let rest = &pattern[position..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                text.push(next);
                position += 2;
            } else if next == '{' {
                let length = rest.find('}').ok_or_else(|| bad(pattern.len(), "`}`"))?;
                let (name, format) = rest[1..length].split_once(':').unwrap_or((&rest[1..length], ""));
                if name.is_empty() || name.contains('{') {
                    return Err(bad(position + 1, "the name of a number"));
                }
                pieces.push(Piece::Text(core::mem::take(&mut text)));
                let (zeros, width, decimals) =
                    read_format(format).ok_or_else(|| bad(position + 2 + name.len(), "a format such as `02` or `.3`"))?;
                pieces.push(Piece::Number { name: name.to_owned(), zeros, width, decimals });
                position += length + 1;
            } else if next == '}' {
                return Err(bad(position, "`}}`"));
            } else {
                text.push(next);
                position += next.len_utf8();
            }
        }
        pieces.push(Piece::Text(text));
        Ok(Self { pieces })
    }

    /// The name with the numbers in. `epoch` and `batch` count from 0 here.
    ///
    /// # Errors
    /// [`CallbackError::MissingMetric`] if a number is neither epoch nor batch nor in the logs; an epoch's end has no batch.
    pub fn fill_in(&self, epoch: usize, batch: Option<usize>, logs: &Logs) -> Result<String, CallbackError> {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Number { name, zeros, width, decimals } => {
                    let number = match (name.as_str(), batch) {
                        ("epoch", _) => (epoch + 1) as f64,
                        ("batch", Some(batch)) => (batch + 1) as f64,
                        _ => super::Monitor::minimize(name).value(logs)?,
                    };
                    // Writing to a `String` cannot fail.
                    let _ = match (zeros, decimals) {
                        (true, Some(decimals)) => write!(path, "{number:0width$.decimals$}"),
                        (true, None) => write!(path, "{number:0width$}"),
                        (false, Some(decimals)) => write!(path, "{number:width$.decimals$}"),
                        (false, None) => write!(path, "{number:width$}"),
                    };
                }
            }
        }
        Ok(path)
    }
}

/// `[0][width][.decimals][d|f]`: zeros?, width, decimals.
fn read_format(format: &str) -> Option<(bool, usize, Option<usize>)> {
    let digits = |digits: &str| {
        let number = if digits.is_empty() { 0 } else { digits.parse::<usize>().ok()? };
        (digits.bytes().all(|byte| byte.is_ascii_digit()) && number <= MOST_DIGITS).then_some(number)
    };
    let format = format.strip_suffix(['d', 'f']).unwrap_or(format);
    let (width, decimals) = match format.split_once('.') {
        Some((width, decimals)) if !decimals.is_empty() => (width, Some(digits(decimals)?)),
        Some(_) => return None,
        None => (format, None),
    };
    Some((width.starts_with('0'), digits(width)?, decimals))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filled(pattern: &str) -> String {
        let logs = Logs::from_iter([("val_loss", 0.123_456), ("accuracy", 0.875), ("broken", f64::NAN)]);
        PathPattern::new(pattern).unwrap().fill_in(4, Some(11), &logs).unwrap()
    }

    #[test]
    fn numbers_are_filled_in() {
        assert_eq!(filled("best.safetensors"), "best.safetensors");
        assert_eq!(filled("{epoch:02d}-{val_loss:.2f}.keras"), "05-0.12.keras");
        assert_eq!(filled("été/{epoch:02}b{batch:03}-{val_loss:.3}"), "été/05b012-0.123");
        assert_eq!(filled("{epoch}{batch}{accuracy}"), "5120.875");
        assert_eq!(filled("[{epoch:3}] {accuracy:07.3}"), "[  5] 000.875");
        assert_eq!(filled("{{{epoch}}}"), "{5}");
        assert_eq!(filled("{broken:.2}"), "NaN");
        assert_eq!(filled(""), "");
    }

    #[test]
    fn names_that_are_not_there() {
        let pattern = PathPattern::new("{epoch}-{batch}").unwrap();
        let error = pattern.fill_in(0, None, &Logs::from_iter([("loss", 1.0)])).unwrap_err();
        assert_eq!(error.to_string(), "metric `batch` expected in the logs, found `loss`");
        assert!(PathPattern::new("{val_loss}").unwrap().fill_in(0, None, &Logs::new()).is_err());
    }

    #[test]
    fn mistakes_are_found_where_they_are() {
        let expected = [
            ("a{epoch", 7, "`}`"),
            ("a}b", 1, "`}}`"),
            ("{}", 1, "the name of a number"),
            ("{:02}", 1, "the name of a number"),
            ("{epo{ch}", 1, "the name of a number"),
            ("{epoch:x}", 7, "a format such as `02` or `.3`"),
            ("{epoch:2.}", 7, "a format such as `02` or `.3`"),
            ("{epoch:+2}", 7, "a format such as `02` or `.3`"),
            ("{epoch:65}", 7, "a format such as `02` or `.3`"),
            ("{epoch:.99999999999999999999999}", 7, "a format such as `02` or `.3`"),
        ];
        for (pattern, position, expected) in expected {
            let error = CallbackError::BadPattern { pattern: pattern.to_owned(), position, expected };
            assert_eq!(PathPattern::new(pattern), Err(error));
        }
        let error = PathPattern::new("a}b").unwrap_err();
        assert_eq!(error.to_string(), "file name `a}b`: `}}` expected at byte 1");
    }
}
