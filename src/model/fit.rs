//! [`Fit`]: how long and on what a model is trained, and the loop that does it.

use super::callback::{BatchLogs, Callback, Run};
use super::callbacks::Logs;
use super::error::ModelError;
use super::examples::{Examples, OrderedLabels};
use super::graph::Lowered;
use super::history::{Epoch, History};
use super::inference::{OrderedRows, Total};
use super::model::Model;
use super::schedules::LearningRateSchedule;
use super::session::Session;
use crate::data::{Batches, ValidationSplit, shuffle};
use crate::exec::Batch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// How long and on what a model is trained.
///
/// Defaults, as in Keras: 1 epoch, minibatches of 32 rows, shuffled, no validation data, the optimizer's own learning rate, all rows and classes
/// count 1.
#[derive(Clone)]
pub struct Fit<'a> {
    epochs: usize,
    batch_size: usize,
    shuffle: bool,
    validation: Option<Examples<'a>>,
    validation_split: Option<ValidationSplit>,
    class_weights: Vec<(u32, f32)>,
    schedule: Option<&'a dyn LearningRateSchedule>,
    stop_flag: Option<&'a AtomicBool>,
    #[cfg(feature = "io")]
    backup: Option<&'a std::path::Path>,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Self {
            epochs: 1,
            batch_size: 32,
            shuffle: true,
            validation: None,
            validation_split: None,
            class_weights: Vec::new(),
            schedule: None,
            stop_flag: None,
            #[cfg(feature = "io")]
            backup: None,
        }
    }
}

impl<'a> Fit<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often every row is trained on.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The number of rows of a step. The last minibatch of an epoch may be shorter; its gradient is the mean over its own rows.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Whether rows are put into a new order before each epoch: the same order for the same seed and epoch.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Sets the learning rate (and the momentum, if the schedule has one) before every step. Steps are counted from the model's
    /// first, over all calls of [`Model::fit`]. The optimizer keeps the last values.
    pub fn schedule(mut self, schedule: &'a dyn LearningRateSchedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// What to evaluate on after each epoch.
    pub fn validation_data(mut self, examples: impl Into<Examples<'a>>) -> Self {
        self.validation = Some(examples.into());
        self
    }

    /// Which of the rows to hold out, and to evaluate on after each epoch. Validation data take precedence, as in Keras.
    pub fn validation_split(mut self, split: ValidationSplit) -> Self {
        self.validation_split = Some(split);
        self
    }

    /// What the rows of a class count in training; 1 if it is not named. Not together with sample weights.
    pub fn class_weights(mut self, weights: &[(u32, f32)]) -> Self {
        self.class_weights = weights.to_vec();
        self
    }

    /// Ends the training after the current step once the flag is set, as for Ctrl-C. Callbacks see the end as they see any other: an early stopping that
    /// restores the best weights does so.
    pub fn stop_flag(mut self, flag: &'a AtomicBool) -> Self {
        self.stop_flag = Some(flag);
        self
    }

    /// Saves everything to a file after each epoch, callbacks included, and begins where that file ends if there is one: a training that is broken off,
    /// by a crash or the power, and started again the same way ends with the bits of one that was not. When it is done the file is removed.
    /// Keras' `BackupAndRestore`.
    #[cfg(feature = "io")]
    pub fn backup_and_restore(mut self, path: &'a std::path::Path) -> Self {
        self.backup = Some(path);
        self
    }

    /// What each row counts.
    fn weights(&self, training: &Examples<'_>, model: &Lowered) -> Result<Option<Vec<f32>>, ModelError> {
        if self.class_weights.is_empty() {
            return Ok(training.weights().map(<[f32]>::to_vec));
        }
        if training.weights().is_some() {
            return Err(ModelError::setting("class_weights", "no sample weights beside them", "both"));
        }
        if let Some((class, weight)) = self.class_weights.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(ModelError::setting("class_weights", "finite numbers", format!("{weight} for class {class}")));
        }
        let labels = training.class_labels().ok_or_else(|| ModelError::setting("class_weights", "labels", "rows of numbers"))?;
        let classes =
            model.outputs.iter().find(|output| output.loss.takes_labels()).map_or(0, |output| model.layers[output.layer].out_dim);
        if let Some((class, _)) = self.class_weights.iter().find(|(class, _)| *class as usize >= classes) {
            let found = format!("class {class} of an output of {classes}");
            return Err(ModelError::setting("class_weights", "classes that the model has", found));
        }
        let weight = |label| self.class_weights.iter().find(|(class, _)| class == label).map_or(1.0, |(_, weight)| *weight);
        Ok(Some(labels.iter().map(weight).collect()))
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epochs, batch_size, shuffle, validation_split, class_weights, .. } = self;
        let mut text = f.debug_struct("Fit");
        text.field("epochs", epochs).field("batch_size", batch_size).field("shuffle", shuffle);
        text.field("validation_split", validation_split).field("class_weights", class_weights).finish_non_exhaustive()
    }
}

impl Model {
    /// Trains on rows with targets. Training goes on where an earlier call has ended.
    ///
    /// # Errors
    /// If rows, targets or settings do not fit the model; the model is then left as it was. If a schedule gives a learning rate that is none,
    /// or a callback fails, after the steps before it.
    pub fn fit<'a>(
        &mut self,
        training: impl Into<Examples<'a>>,
        settings: &Fit<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History, ModelError> {
        let training = training.into();
        training.check(&self.network)?;
        let rows = training.len();
        let (used, held_out) = match (&settings.validation, settings.validation_split) {
            (None, Some(split)) => {
                if let (ValidationSplit::Stratified { .. }, None) = (split, training.class_labels()) {
                    return Err(ModelError::setting("validation_split", "labels to stratify by", "rows of numbers"));
                }
                let labels = training.class_labels().unwrap_or_default();
                let (used, held_out) = split.rows(rows, |row| labels.get(row).copied().unwrap_or(0))?;
                (Some(used), Some((&training, OrderedRows::new(&training, held_out))))
            }
            (None, None) => (None, None),
            (Some(validation), _) => {
                validation.check(&self.network)?;
                (None, Some((validation, OrderedRows::all(validation))))
            }
        };
        let weights = settings.weights(&training, &self.network)?;
        let rows = used.as_ref().map_or(rows, Vec::len);
        let batches = Batches::new(rows, settings.batch_size)?;
        // A minibatch never has more rows than there are.
        let batch_size = settings.batch_size.min(rows);
        let run = Run { epochs: settings.epochs, rows, steps: rows.div_ceil(batch_size) };
        let mut order = used.clone().unwrap_or_else(|| (0..rows as u32).collect());
        let mut labels = OrderedLabels::new(&training, rows, weights.is_some());
        labels.arrange(&training, weights.as_deref(), &order);

        self.train(run, batch_size, settings, held_out, callbacks, |epoch| {
            if settings.shuffle {
                shuffle(&mut order, epoch.session.seed, epoch.session.epochs());
                if let Some(used) = &used {
                    order.iter_mut().for_each(|row| *row = used[*row as usize]);
                }
                labels.arrange(&training, weights.as_deref(), &order);
            }
            for range in batches.clone() {
                let (first, order) = (range.start, &order[range]);
                epoch.step(&training.minibatch(order, &labels, first).batch(), order.len())?;
                if epoch.session.is_stopped() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Trains on minibatches that come one after the other, for data that are larger than memory: `batches` is called before each epoch with its
    /// number, and each of its items is one minibatch of at most [`Fit::batch_size`] rows. Shuffling is up to whoever makes them.
    ///
    /// # Errors
    /// As [`Model::fit`]; a minibatch that does not fit ends the training after those before it. A validation split or class weights need all rows, so
    /// they are refused.
    pub fn fit_stream<'a, I: IntoIterator<Item = Examples<'a>>>(
        &mut self,
        mut batches: impl FnMut(usize) -> I,
        settings: &Fit<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History, ModelError> {
        if settings.validation_split.is_some() {
            return Err(ModelError::setting("validation_split", "validation data", "a split of rows that stream"));
        }
        if !settings.class_weights.is_empty() {
            return Err(ModelError::setting("class_weights", "sample weights", "weights of classes of rows that stream"));
        }
        if settings.batch_size == 0 {
            return Err(crate::data::DataError::ZeroBatchSize { rows: 0 }.into());
        }
        if let Some(validation) = &settings.validation {
            validation.check(&self.network)?;
        }
        let held_out = settings.validation.as_ref().map(|validation| (validation, OrderedRows::all(validation)));
        let run = Run { epochs: settings.epochs, rows: 0, steps: 0 };
        let mut number = 0;
        self.train(run, settings.batch_size, settings, held_out, callbacks, |epoch| {
            for examples in batches(number) {
                epoch.step_on(&examples)?;
                if epoch.session.is_stopped() {
                    break;
                }
            }
            number += 1;
            Ok(())
        })
    }

    /// One step on one minibatch. Returns what it gave before the step.
    ///
    /// # Errors
    /// If rows or targets do not fit the model; the model is then left as it was.
    pub fn train_on_batch<'a>(&mut self, examples: impl Into<Examples<'a>>) -> Result<super::Evaluation, ModelError> {
        let examples = examples.into();
        examples.check(&self.network)?;
        let rows = OrderedRows::all(&examples);
        self.session(examples.len(), |session| session.step(&rows.minibatch(&examples).batch()))
    }

    /// Epochs of steps that `feed` takes, with validation, callbacks and history.
    fn train(
        &mut self,
        run: Run,
        batch_size: usize,
        settings: &Fit<'_>,
        held_out: Option<(&Examples<'_>, OrderedRows)>,
        callbacks: &mut [&mut dyn Callback],
        mut feed: impl FnMut(&mut EpochInProgress<'_, '_, '_>) -> Result<(), ModelError>,
    ) -> Result<History, ModelError> {
        // Room for what most runs need: nothing is gained by reserving what an absurd number of epochs would.
        let mut history = History { epochs: Vec::with_capacity(settings.epochs.min(1024)) };
        let names = self.graph.output_names();
        let result = self.session(batch_size, |session| {
            session.scheduled = settings.schedule.is_some();
            let mut callbacks = Callbacks(callbacks);
            let mut result = callbacks.each(|callback| callback.on_train_begin(run, session));
            #[cfg(feature = "io")]
            if let (Ok(()), Some(path)) = (&result, settings.backup) {
                result = backup::take_up(path, session, &mut callbacks);
            }
            for number in session.first_epoch..settings.epochs {
                if result.is_err() || session.is_stopped() {
                    break;
                }
                result = epoch(number, session, settings, &held_out, &names, &mut callbacks, &mut feed).map(|epoch| {
                    history.epochs.push(epoch);
                });
                #[cfg(feature = "io")]
                if let (Ok(()), Some(path)) = (&result, settings.backup) {
                    result = backup::save(path, number + 1, session, &callbacks);
                }
            }
            // Whatever has happened, everybody hears of the end; the first error is the one that counts.
            result = result.and(callbacks.each(|callback| callback.on_train_end(session)));
            #[cfg(feature = "io")]
            if let (Ok(()), Some(path)) = (&result, settings.backup) {
                result = backup::remove(path);
            }
            result
        })?;
        result.map(|()| history)
    }
}

/// One epoch, its validation and its callbacks.
fn epoch(
    number: usize,
    session: &mut Session<'_>,
    settings: &Fit<'_>,
    held_out: &Option<(&Examples<'_>, OrderedRows)>,
    names: &[String],
    callbacks: &mut Callbacks<'_, '_>,
    feed: &mut dyn FnMut(&mut EpochInProgress<'_, '_, '_>) -> Result<(), ModelError>,
) -> Result<Epoch, ModelError> {
    callbacks.each(|callback| callback.on_epoch_begin(number, session))?;
    let (clock, total) = (Instant::now(), Total::default());
    session.metrics.reset();
    let mut epoch = EpochInProgress { session, callbacks: &mut *callbacks.0, settings, total, batch: 0, seconds: 0.0, clock };
    feed(&mut epoch)?;
    let EpochInProgress { total, seconds, clock, .. } = epoch;
    let seconds = seconds + clock.elapsed().as_secs_f64();
    session.trainable.epochs += 1;
    let training = total.mean(&session.plan).with_metrics(session.metrics);
    let validation = held_out.as_ref().map(|(examples, rows)| session.evaluate_rows(examples, rows));
    let mut logs = Logs::new();
    training.log("", names, &mut logs);
    if let Some(validation) = validation {
        validation.log("val_", names, &mut logs);
    }
    logs.set("learning_rate", f64::from(session.learning_rate()));
    let mut epoch = Epoch { training, validation, seconds, learning_rate: session.learning_rate(), logs };
    callbacks.each(|callback| callback.on_epoch_end(number, &mut epoch, session))?;
    Ok(epoch)
}

/// All callbacks, in order.
struct Callbacks<'c, 'd>(&'c mut [&'d mut dyn Callback]);

impl Callbacks<'_, '_> {
    /// Calls a hook of each, also after one has failed; the first error counts.
    fn each(&mut self, mut hook: impl FnMut(&mut dyn Callback) -> Result<(), ModelError>) -> Result<(), ModelError> {
        let mut result = Ok(());
        for callback in self.0.iter_mut() {
            let next = hook(*callback);
            result = result.and(next);
        }
        result
    }
}

/// An epoch whose steps are being taken.
struct EpochInProgress<'e, 's, 'c> {
    session: &'e mut Session<'s>,
    callbacks: &'e mut [&'c mut dyn Callback],
    settings: &'e Fit<'e>,
    total: Total,
    batch: usize,
    /// The time of the steps so far, without callbacks.
    seconds: f64,
    clock: Instant,
}

impl EpochInProgress<'_, '_, '_> {
    /// One step with its callbacks.
    fn step(&mut self, batch: &Batch<'_>, rows: usize) -> Result<(), ModelError> {
        let session = &mut *self.session;
        if let Some(schedule) = self.settings.schedule {
            let step = session.trainable.progress.steps();
            session.trainable.optimizer.follow(schedule, step)?;
        }
        if !self.callbacks.is_empty() {
            self.seconds += self.clock.elapsed().as_secs_f64();
            Callbacks(self.callbacks).each(|callback| callback.on_batch_begin(self.batch, session))?;
            self.clock = Instant::now();
        }
        let (report, penalty) = session.step_report(batch);
        self.total.add(&report, rows, penalty);
        session.measure_step(batch);
        if !self.callbacks.is_empty() {
            self.seconds += self.clock.elapsed().as_secs_f64();
            let batch_loss = f64::from(report.loss_sum) / rows as f64 + penalty;
            let so_far = self.total.mean(&session.plan).with_metrics(session.metrics);
            let logs = BatchLogs { batch: self.batch, rows: self.total.rows, batch_loss, so_far };
            Callbacks(self.callbacks).each(|callback| callback.on_batch_end(&logs, session))?;
            self.clock = Instant::now();
        }
        self.batch += 1;
        if self.settings.stop_flag.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            session.stop();
        }
        Ok(())
    }

    /// One step on examples that nobody has looked at.
    fn step_on(&mut self, examples: &Examples<'_>) -> Result<(), ModelError> {
        examples.check(self.session.network)?;
        let (rows, limit) = (examples.len(), self.session.batch_size());
        if rows > limit {
            return Err(ModelError::RowCount { expected: limit, found: rows });
        }
        self.step(&OrderedRows::all(examples).minibatch(examples).batch(), rows)
    }
}

/// The file that a training is taken up from.
#[cfg(feature = "io")]
mod backup {
    use super::{Callbacks, ModelError, Session};
    use crate::io::{Checkpoint, SectionWriter};
    use crate::model::SavingError;
    use std::path::Path;

    const EPOCHS: &str = "epochs_of_fit";

    fn callback(number: usize) -> String {
        format!("callback_{number}")
    }

    fn failed(error: impl Into<SavingError>) -> ModelError {
        ModelError::Backup(Box::new(error.into()))
    }

    /// Everything as it was after the last whole epoch, if there is such a file.
    pub(super) fn take_up(path: &Path, session: &mut Session<'_>, callbacks: &mut Callbacks<'_, '_>) -> Result<(), ModelError> {
        if !path.try_exists().map_err(ModelError::Log)? {
            return Ok(());
        }
        let checkpoint = Checkpoint::load(path).map_err(failed)?;
        let mut epochs = checkpoint.reader(EPOCHS).map_err(failed)?;
        let first_epoch = epochs.u64().map_err(failed)? as usize;
        for (number, callback) in callbacks.0.iter_mut().enumerate() {
            let mut reader = checkpoint.reader(&self::callback(number)).map_err(failed)?;
            callback.load_state(&mut reader).and_then(|()| reader.finish()).map_err(failed)?;
        }
        session.restore_checkpoint(&checkpoint).map_err(failed)?;
        session.first_epoch = first_epoch;
        Ok(())
    }

    /// Everything as it is after so many epochs.
    pub(super) fn save(path: &Path, epochs: usize, session: &Session<'_>, callbacks: &Callbacks<'_, '_>) -> Result<(), ModelError> {
        let mut done = SectionWriter::new();
        done.put_u64(epochs as u64);
        let mut checkpoint = session.checkpoint().section(EPOCHS, done);
        for (number, callback) in callbacks.0.iter().enumerate() {
            let mut writer = SectionWriter::new();
            callback.save_state(&mut writer);
            checkpoint = checkpoint.section(self::callback(number), writer);
        }
        checkpoint.save(path).map_err(failed)
    }

    /// The training is done.
    pub(super) fn remove(path: &Path) -> Result<(), ModelError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ModelError::Log(error)),
            _ => Ok(()),
        }
    }
}
