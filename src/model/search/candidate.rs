//! [`Candidate`]: one choice of hyper-parameters.

use super::error::SearchError;
use std::fmt;

/// The value of a hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "search-json", derive(serde::Serialize, serde::Deserialize), serde(untagged))]
pub enum Value {
    /// A whole number, such as a number of layers.
    Integer(i64),
    /// A number, such as a learning rate.
    Real(f64),
    /// The name of a choice, such as an activation.
    Text(String),
}

impl Value {
    /// What kind of value it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "the integer",
            Self::Real(_) => "the real number",
            Self::Text(_) => "the text",
        }
    }

    /// In few characters, for a table.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Real(x) => short(*x),
            _ => self.to_string(),
        }
    }
}

/// A number with five significant digits.
pub(super) fn short(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude == 0.0 || !x.is_finite() {
        format!("{x}")
    } else if (1e-3..1e5).contains(&magnitude) {
        let decimals = (4 - magnitude.log10().floor() as i32).max(0) as usize;
        let text = format!("{x:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        let text = format!("{x:.4e}");
        match text.split_once('e') {
            Some((digits, exponent)) => format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.')),
            None => text,
        }
    }
}

impl fmt::Display for Value {
    /// A real number with the fewest digits that give it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Real(x) => write!(f, "{x:?}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Self::Integer(n.into())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Integer(n)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Real(x)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// One choice of hyper-parameters: named values. Two candidates are equal if they have the same values under the same names, in whatever order.
///
/// ```
/// use selvedge::model::search::Candidate;
///
/// let candidate = Candidate::new().with("n_hidden", 2).with("learning_rate", 0.01).with("activation", "selu");
/// assert_eq!((candidate.count("n_hidden")?, candidate.real("learning_rate")?), (2, 0.01));
/// assert_eq!(candidate.integer("activation").unwrap_err().to_string(), "parameter `activation`: an integer expected, found the text selu");
/// assert_eq!(candidate.to_string(), "n_hidden=2 learning_rate=0.01 activation=selu");
/// # Ok::<(), selvedge::model::search::SearchError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    values: Vec<(String, Value)>,
}

impl Candidate {
    /// Without any parameter: what a search that only cross-validates one model tries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value; an earlier one of the same name is replaced.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.to_owned(), value)),
        }
        self
    }

    /// The values with their names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a parameter, if there is one of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// An integer.
    ///
    /// # Errors
    /// [`SearchError::UnknownParameter`] if there is no parameter of this name, [`SearchError::ParameterKind`] if it is of another kind.
    pub fn integer(&self, name: &str) -> Result<i64, SearchError> {
        match self.value(name)? {
            Value::Integer(n) => Ok(*n),
            other => Err(kind(name, "an integer", other)),
        }
    }

    /// An integer of at least 0, as a number of layers or units.
    ///
    /// # Errors
    /// As [`Candidate::integer`], and [`SearchError::ParameterKind`] if it is below 0.
    pub fn count(&self, name: &str) -> Result<usize, SearchError> {
        let value = self.value(name)?;
        let count = if let Value::Integer(n) = value { usize::try_from(*n).ok() } else { None };
        count.ok_or_else(|| kind(name, "an integer of at least 0", value))
    }

    /// A real number. An integer is none: `1.0` has to be written for it.
    ///
    /// # Errors
    /// As [`Candidate::integer`].
    pub fn real(&self, name: &str) -> Result<f64, SearchError> {
        match self.value(name)? {
            Value::Real(x) => Ok(*x),
            other => Err(kind(name, "a real number", other)),
        }
    }

    /// The name of a choice.
    ///
    /// # Errors
    /// As [`Candidate::integer`].
    pub fn text(&self, name: &str) -> Result<&str, SearchError> {
        match self.value(name)? {
            Value::Text(text) => Ok(text),
            other => Err(kind(name, "a text", other)),
        }
    }

    fn value(&self, name: &str) -> Result<&Value, SearchError> {
        self.get(name).ok_or_else(|| SearchError::UnknownParameter {
            name: name.to_owned(),
            known: self.values.iter().map(|(name, _)| name.clone()).collect(),
        })
    }
}

fn kind(name: &str, expected: &'static str, found: &Value) -> SearchError {
    SearchError::ParameterKind { name: name.to_owned(), expected, found: found.clone() }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.values.len() == other.values.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_given_by_kind_and_name() {
        let candidate = Candidate::new().with("a", 1).with("b", 2.5).with("c", "relu").with("d", -3).with("a", 7);
        assert_eq!(candidate.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert!(matches!((candidate.integer("a"), candidate.count("a")), (Ok(7), Ok(7))));
        assert!(matches!((candidate.real("b"), candidate.text("c")), (Ok(2.5), Ok("relu"))));
        assert!(matches!(candidate.integer("d"), Ok(-3)));
        let message = |error: Option<SearchError>| error.map(|error| error.to_string()).unwrap_or_default();
        let negative = "parameter `d`: an integer of at least 0 expected, found the integer -3";
        assert_eq!(message(candidate.count("d").err()), negative);
        assert_eq!(message(candidate.real("a").err()), "parameter `a`: a real number expected, found the integer 7");
        assert_eq!(message(candidate.text("b").err()), "parameter `b`: a text expected, found the real number 2.5");
        let unknown = r#"a parameter among ["a", "b", "c", "d"] expected, found `e`"#;
        assert_eq!(message(candidate.integer("e").err()), unknown);
    }

    #[test]
    fn equal_whatever_the_order() {
        let one = Candidate::new().with("a", 1).with("b", 2.0);
        assert_eq!(one, Candidate::new().with("b", 2.0).with("a", 1));
        assert_ne!(one, Candidate::new().with("b", 2).with("a", 1), "an integer is no real number");
        assert_ne!(one, Candidate::new().with("a", 1));
        assert_ne!(one, one.clone().with("c", 1));
    }

    #[test]
    fn short_numbers() {
        let cases = [(0.0, "0"), (1.0, "1"), (100.0, "100"), (0.012_345_67, "0.012346"), (12_345.6, "12346"), (1e-7, "1e-7")];
        let more = [(-2.5e9, "-2.5e9"), (0.001, "0.001"), (f64::NAN, "NaN"), (-0.25, "-0.25"), (10_000.0, "10000"), (1e5, "1e5")];
        for (x, expected) in cases.into_iter().chain(more) {
            assert_eq!(short(x), expected);
        }
    }
}
