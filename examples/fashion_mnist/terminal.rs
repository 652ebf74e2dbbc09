//! What the user sees while waiting.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use selvedge::data::fashion_mnist::Progress;
use selvedge::model::{Callback, Epoch, Evaluation, ModelError, Run, Session};
use std::fmt;
use std::io::{self, Write};

/// A bar on standard error for each file of a download; nothing if that is not a terminal.
pub(crate) fn download_bar() -> impl FnMut(Progress<'_>) {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg}  {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    move |progress| {
        if bar.message() != progress.file {
            bar.set_message(progress.file.to_owned());
        }
        bar.set_length(progress.expected);
        bar.set_position(progress.received);
        if progress.received >= progress.expected {
            bar.finish_and_clear();
            bar.reset();
        }
    }
}

/// A callback of our own: a line on standard output after each epoch.
#[derive(Default)]
pub(crate) struct EpochLines {
    run: Option<Run>,
}

impl Callback for EpochLines {
    fn on_train_begin(&mut self, run: Run, _: &mut Session<'_>) -> Result<(), ModelError> {
        self.run = Some(run);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        let Some(run) = self.run else { return Ok(()) };
        let validation = logs.validation.map(|validation| format!(", validation: {}", Figures(validation))).unwrap_or_default();
        let written = writeln!(
            io::stdout(),
            "epoch {:>2}/{}: {}{validation} ({:.2} s, {:.0} rows/s)",
            epoch + 1,
            run.epochs,
            Figures(logs.training),
            logs.seconds,
            run.rows as f64 / logs.seconds,
        );
        if written.is_err() {
            // Nobody reads any more: no reason to go on.
            session.stop();
        }
        Ok(())
    }
}

/// Loss and accuracy as text.
pub(crate) struct Figures(pub(crate) Evaluation);

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}, accuracy {:.4}", self.0.loss, self.0.accuracy)
    }
}
