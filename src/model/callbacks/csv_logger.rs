//! [`CsvLogger`]: one line of numbers per epoch.

use super::Logs;
use std::io::{self, Write};

/// Writes the numbers of every epoch as a line of comma-separated values to anything that can be written to.
///
/// The columns are `epoch` (counted from 0) and the names of the first epoch in alphabetical order. If none of these begins with `val_`, a
/// `val_` column follows for each, since validation may come in a later epoch. What is missing in an epoch is `NA`; what has no column is left out.
/// Each line is flushed, so that a run that breaks off leaves its lines behind.
///
/// As Keras' `CSVLogger`, but lines end with `\n` alone.
#[derive(Debug)]
pub struct CsvLogger<W> {
    writer: W,
    separator: char,
    with_header: bool,
    /// Names of the columns after `epoch`; none before the first line.
    columns: Option<Vec<String>>,
}

impl<W: Write> CsvLogger<W> {
    /// Starts a new table.
    pub fn new(writer: W) -> Self {
        Self { writer, separator: ',', with_header: true, columns: None }
    }

    /// A character other than the comma between two values.
    pub fn separator(self, separator: char) -> Self {
        Self { separator, ..self }
    }

    /// Continues a table that has its header already.
    pub fn without_header(self) -> Self {
        Self { with_header: false, ..self }
    }

    /// Writes the line of an epoch, before the first one also the header.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn epoch_end(&mut self, epoch: usize, logs: &Logs) -> io::Result<()> {
        let columns = match self.columns.take() {
            Some(columns) => columns,
            None => {
                let columns = columns_for(logs);
                if self.with_header {
                    let names = columns.iter().map(|name| quoted(name, self.separator));
                    write_line(&mut self.writer, self.separator, core::iter::once("epoch".to_owned()).chain(names))?;
                }
                columns
            }
        };
        let values = columns.iter().map(|name| logs.get(name).map_or_else(|| "NA".to_owned(), number));
        let written = write_line(&mut self.writer, self.separator, core::iter::once(epoch.to_string()).chain(values));
        // Kept even if the line failed: should it be tried again, there is a header already.
        self.columns = Some(columns);
        written?;
        self.writer.flush()
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

fn columns_for(logs: &Logs) -> Vec<String> {
    let mut columns: Vec<String> = logs.iter().map(|(name, _)| name.to_owned()).collect();
    columns.sort();
    if !columns.iter().any(|name| name.starts_with("val_")) {
        let later: Vec<String> = columns.iter().map(|name| format!("val_{name}")).collect();
        columns.extend(later);
    }
    columns
}

fn write_line(writer: &mut impl Write, separator: char, values: impl Iterator<Item = String>) -> io::Result<()> {
    let mut line = String::new();
    for (i, value) in values.enumerate() {
        if i > 0 {
            line.push(separator);
        }
        line.push_str(&value);
    }
    line.push('\n');
    writer.write_all(line.as_bytes())
}

/// The fewest digits that give the same number again; `nan` in small letters, as most readers expect it.
fn number(value: f64) -> String {
    if value.is_nan() { "nan".to_owned() } else { format!("{value:?}") }
}

/// A name in quotation marks if it needs them.
fn quoted(name: &str, separator: char) -> String {
    if name.contains([separator, '"', '\n', '\r']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(logger: CsvLogger<Vec<u8>>) -> String {
        String::from_utf8(logger.into_inner()).unwrap()
    }

    #[test]
    fn header_is_epoch_and_sorted_names() {
        let mut logger = CsvLogger::new(Vec::new());
        let names = ["loss", "accuracy", "val_loss", "val_accuracy"];
        for epoch in 0..2 {
            let value = |i: usize| (10 * epoch + i) as f64 / 4.0;
            logger.epoch_end(epoch, &names.iter().enumerate().map(|(i, name)| (*name, value(i))).collect()).unwrap();
        }
        assert_eq!(text(logger), "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.25,0.0,0.75,0.5\n1,2.75,2.5,3.25,3.0\n");
    }

    #[test]
    fn columns_for_validation_in_a_later_epoch() {
        let mut logger = CsvLogger::new(Vec::new()).separator('\t');
        logger.epoch_end(0, &Logs::from_iter([("mse", 0.5), ("loss", 1e-7)])).unwrap();
        logger.epoch_end(1, &Logs::from_iter([("mse", 0.5), ("loss", f64::NAN), ("val_mse", 1e300), ("val_loss", -0.1)])).unwrap();
        logger.epoch_end(2, &Logs::from_iter([("surprise", 1.0), ("loss", f64::INFINITY)])).unwrap();
        let expected = "epoch\tloss\tmse\tval_loss\tval_mse\n0\t1e-7\t0.5\tNA\tNA\n1\tnan\t0.5\t-0.1\t1e300\n2\tinf\tNA\tNA\tNA\n";
        assert_eq!(text(logger), expected);
    }

    #[test]
    fn a_table_is_continued() {
        let logs = Logs::from_iter([("loss", 0.5), ("val_loss", 0.25)]);
        let mut logger = CsvLogger::new(Vec::new());
        logger.epoch_end(0, &logs).unwrap();
        let mut logger = CsvLogger::new(logger.into_inner()).without_header();
        logger.epoch_end(1, &logs).unwrap();
        // A second training with the same logger.
        logger.epoch_end(0, &logs).unwrap();
        assert_eq!(text(logger), "epoch,loss,val_loss\n0,0.5,0.25\n1,0.5,0.25\n0,0.5,0.25\n");
    }

    #[test]
    fn names_that_would_break_the_table_are_quoted() {
        let mut logger = CsvLogger::new(Vec::new());
        logger.epoch_end(0, &Logs::from_iter([("a,b", 1.0), ("c\"d", 2.0), ("val_x\ny", 3.0)])).unwrap();
        assert_eq!(text(logger), "epoch,\"a,b\",\"c\"\"d\",\"val_x\ny\"\n0,1.0,2.0,3.0\n");
        let mut logger = CsvLogger::new(Vec::new());
        logger.epoch_end(0, &Logs::new()).unwrap();
        assert_eq!(text(logger), "epoch\n0\n");
    }

    /// Fails in some calls, numbered from 0; counts flushes.
    struct Unreliable {
        written: Vec<u8>,
        calls: usize,
        failing: core::ops::Range<usize>,
        flushes: usize,
    }

    impl Write for Unreliable {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.failing.contains(&(self.calls - 1)) {
                return Err(io::Error::other("disk full"));
            }
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushes += 1;
            Ok(())
        }
    }

    #[test]
    fn failures_are_reported_and_may_be_tried_again() {
        let logs = Logs::from_iter([("loss", 0.5), ("val_loss", 0.25)]);
        for failing in 0..3 {
            let writer = Unreliable { written: Vec::new(), calls: 0, failing: failing..failing + 1, flushes: 0 };
            let mut logger = CsvLogger::new(writer);
            let mut errors = 0;
            for epoch in 0..2 {
                while let Err(error) = logger.epoch_end(epoch, &logs) {
                    assert_eq!(error.to_string(), "disk full");
                    errors += 1;
                }
            }
            let writer = logger.into_inner();
            assert_eq!((errors, writer.flushes), (1, 2), "call {failing} fails");
            assert_eq!(writer.written, b"epoch,loss,val_loss\n0,0.5,0.25\n1,0.5,0.25\n", "call {failing} fails");
        }
    }
}
