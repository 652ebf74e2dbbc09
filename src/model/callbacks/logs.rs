//! [`Logs`]: the named numbers that a training run hands to its callbacks.

/// Named numbers in the order in which they were first set: `loss`, metrics, `val_loss`, `learning_rate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    entries: Vec<(String, f64)>,
}

impl Logs {
    /// No numbers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a number, replacing the one of the same name. Only a new name allocates.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.entries.iter_mut().find(|(entry, _)| entry == name) {
            Some((_, old)) => *old = value,
            None => self.entries.push((name.to_owned(), value)),
        }
    }

    /// The number of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(entry, _)| *entry == name).map(|(_, value)| value)
    }

    /// All names and numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Removes all numbers.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

impl<'a> FromIterator<(&'a str, f64)> for Logs {
    fn from_iter<I: IntoIterator<Item = (&'a str, f64)>>(numbers: I) -> Self {
        let mut logs = Self::new();
        for (name, value) in numbers {
            logs.set(name, value);
        }
        logs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_first_mention_and_last_value() {
        let mut logs = Logs::from_iter([("loss", 1.0), ("accuracy", 0.5), ("loss", 2.0)]);
        logs.set("accuracy", 0.75);
        logs.set("val_loss", 3.0);
        let all: Vec<_> = logs.iter().collect();
        assert_eq!(all, [("loss", 2.0), ("accuracy", 0.75), ("val_loss", 3.0)]);
        assert_eq!(logs.get("val_loss"), Some(3.0));
        assert_eq!(logs.get("val"), None);
        logs.clear();
        assert_eq!(logs, Logs::new());
    }
}
