//! [`ProgressBar`]: how far an epoch is, on the terminal.

use super::callback::{BatchLogs, Callback, Run};
use super::callbacks::Logs;
use super::error::ModelError;
use super::history::Epoch;
use super::session::Session;
use indicatif::{ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// A bar is drawn ten times a second: often enough for the eye, seldom enough to cost training nothing.
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(100);

/// A bar for each epoch on standard error: rows done, mean loss, accuracy and metrics so far, rows per second; at the end of the
/// epoch also those of the validation data.
///
/// Where standard error is not a terminal nothing is written. By default a line with the figures of the epoch stays,
/// as in Keras.
///
/// ```
/// # use selvedge::{data::synthetic, model::*};
/// # let train = synthetic::garments(64, 0);
/// # let mut model = Sequential::new(&[28, 28]).add(Flatten).add(Dense::new(10).activation(Activation::Softmax))
/// #     .compile(Compile::new(Sgd::default()))?;
/// model.fit(&train, &Fit::new().epochs(3), &mut [&mut ProgressBar::new()])?;
/// # Ok::<(), ModelError>(())
/// ```
#[derive(Debug)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
    transient: bool,
    run: Run,
    /// When the epoch began, and when the bar was last drawn.
    began: Instant,
    drawn: Instant,
}

impl Default for ProgressBar {
    fn default() -> Self {
        Self::new()
    }
}

impl ProgressBar {
    /// A bar on standard error.
    pub fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    /// Takes the bar away at the end of its epoch, for a program that writes a line of its own then.
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let now = Instant::now();
        Self {
            bar: indicatif::ProgressBar::with_draw_target(None, target),
            transient: false,
            run: Run { epochs: 0, rows: 0, steps: 0 },
            began: now,
            drawn: now,
        }
    }

    fn draw(&mut self, rows: usize, so_far: &Logs) {
        self.drawn = Instant::now();
        let seconds = self.drawn.duration_since(self.began).as_secs_f64();
        // The first steps may be faster than the clock ticks.
        let rows_per_second = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
        self.bar.set_message(format!("{}  {rows_per_second:.0} rows/s", figures("", so_far)));
        self.bar.set_position(rows as u64);
    }
}

/// `loss 0.3456  accuracy 0.8765`, each name behind a prefix.
fn figures(prefix: &str, logs: &Logs) -> String {
    let figures: Vec<String> = logs.iter().map(|(name, value)| format!("{prefix}{name} {value:.4}")).collect();
    figures.join("  ")
}

impl Callback for ProgressBar {
    fn on_train_begin(&mut self, run: Run, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.run = run;
        Ok(())
    }

    fn on_epoch_begin(&mut self, epoch: usize, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.bar.reset();
        let style = ProgressStyle::with_template("{prefix}  {bar:24} {pos}/{len}  {msg}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
        self.bar.set_length(self.run.rows as u64);
        self.bar.set_prefix(format!("epoch {}/{}", epoch + 1, self.run.epochs));
        self.bar.set_message("");
        self.began = Instant::now();
        self.drawn = self.began;
        Ok(())
    }

    fn on_batch_end(&mut self, logs: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
        if !self.bar.is_hidden() && self.drawn.elapsed() >= BETWEEN_DRAWINGS {
            self.draw(logs.rows, &session.logs(&logs.so_far));
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        if !self.transient {
            let rows_per_second = self.run.rows as f64 / logs.seconds.max(f64::MIN_POSITIVE);
            let validation = logs.validation.map(|validation| format!("  {}", figures("val_", &session.logs(&validation))));
            let (training, validation) = (figures("", &session.logs(&logs.training)), validation.unwrap_or_default());
            self.bar.println(format!(
                "epoch {}/{}  {training}{validation}  {rows_per_second:.0} rows/s",
                epoch + 1,
                self.run.epochs
            ));
        }
        self.bar.finish_and_clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synthetic;
    use crate::model::{Activation, Compile, Dense, Evaluation, Fit, Flatten, OutputEvaluation, Sequential, Sgd};
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that keeps what is written on it, without its own movements.
    #[derive(Clone, Debug, Default)]
    struct Recorder(Arc<Mutex<String>>);

    impl Recorder {
        fn text(&self) -> String {
            self.0.lock().expect("no test panics while it writes").clone()
        }
    }

    impl indicatif::TermLike for Recorder {
        fn width(&self) -> u16 {
            200
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("no test panics while it writes").push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn recorded(change: fn(ProgressBar) -> ProgressBar) -> String {
        let recorder = Recorder::default();
        let mut bar = change(ProgressBar::on(ProgressDrawTarget::term_like(Box::new(recorder.clone()))));
        let train = synthetic::garments(64, 0);
        let mut model = Sequential::new(&[28, 28])
            .add(Flatten)
            .add(Dense::new(10).activation(Activation::Softmax))
            .compile(Compile::new(Sgd::default()).threads(1))
            .expect("a model");
        model.fit(&train, &Fit::new().epochs(2).validation_data(&train), &mut [&mut bar]).expect("trained");
        recorder.text()
    }

    #[test]
    fn each_epoch_leaves_a_line_with_its_validation() {
        let text = recorded(|bar| bar);
        for epoch in ["epoch 1/2  loss ", "epoch 2/2  loss "] {
            let line = text.split(epoch).nth(1).expect(epoch);
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!([words[1], words[3], words[5]], ["accuracy", "val_loss", "val_accuracy"], "{text}");
        }
    }

    #[test]
    fn a_transient_bar_leaves_nothing() {
        let text = recorded(ProgressBar::transient);
        assert!(text.contains("epoch 2/2") && !text.contains("val_loss"), "{text}");
    }

    #[test]
    fn the_bar_shows_the_figures_so_far() {
        let recorder = Recorder::default();
        let mut bar = ProgressBar::on(ProgressDrawTarget::term_like(Box::new(recorder.clone())));
        let mut model = Sequential::new(&[2]).add(Dense::new(2)).compile(Compile::new(Sgd::default()).threads(1)).expect("a model");
        let output = OutputEvaluation { loss: 0.25, accuracy: Some(0.75) };
        let so_far = Evaluation::new(0.25, std::iter::once(output));
        let shown = model.session(1, |session| {
            bar.on_train_begin(Run { epochs: 7, rows: 640, steps: 20 }, session)?;
            bar.on_epoch_begin(2, session)?;
            std::thread::sleep(2 * BETWEEN_DRAWINGS);
            bar.on_batch_end(&BatchLogs { batch: 9, rows: 320, batch_loss: 0.25, so_far }, session)
        });
        shown.expect("a session").expect("a bar");
        let text = recorder.text();
        for part in ["epoch 3/7", "320/640", "loss 0.2500  accuracy 0.7500", " rows/s"] {
            assert!(text.contains(part), "{part} expected in {text}");
        }
    }
}
