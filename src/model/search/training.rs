//! [`Training`]: from a closure that builds a model to an objective that trains and scores it.

use super::candidate::Candidate;
use super::error::SearchError;
use super::run::Split;
use super::trial::{Score, Trial};
use crate::data::ValidationSplit;
use crate::model::callbacks::EarlyStopping;
use crate::model::{Callback, Evaluation, Examples, Fit, History, Model};
use std::fmt;

/// What makes a model better than another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scorer {
    /// The accuracy of the first output.
    Accuracy,
    /// Minus the sum of the losses of all outputs, without penalties, so that candidates of different regularization are compared by the same measure.
    #[default]
    NegativeLoss,
}

impl Scorer {
    fn score(self, evaluation: &Evaluation) -> Result<f64, SearchError> {
        match self {
            Self::Accuracy => evaluation.outputs().first().and_then(|output| output.accuracy).ok_or(SearchError::NoAccuracy),
            Self::NegativeLoss => Ok(-evaluation.outputs().iter().map(|output| output.loss).sum::<f64>()),
        }
    }
}

/// How a candidate becomes a trained model, and what the model is worth.
///
/// | setting | default |
/// |---|---|
/// | [`fit`](Self::fit) | one epoch of minibatches of 32 rows |
/// | [`early_stopping`](Self::early_stopping) | none |
/// | [`hold_out`](Self::hold_out) | early stopping looks at the rows that are scored |
/// | [`scorer`](Self::scorer) | [`Scorer::NegativeLoss`] |
pub struct Training<'a, B> {
    build: B,
    fit: Box<FitSettings<'a>>,
    early_stopping: Option<EarlyStopping>,
    hold_out: Option<ValidationSplit>,
    scorer: Scorer,
}

type FitSettings<'a> = dyn Fn(&Candidate) -> Result<Fit<'a>, SearchError> + Sync + 'a;

impl<B> fmt::Debug for Training<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { early_stopping, hold_out, scorer, .. } = self;
        let mut text = f.debug_struct("Training");
        text.field("early_stopping", early_stopping).field("hold_out", hold_out).field("scorer", scorer).finish_non_exhaustive()
    }
}

impl<'a, B, E> Training<'a, B>
where
    B: Fn(&Candidate, usize) -> Result<Model, E> + Sync,
    SearchError: From<E>,
{
    /// Builds models with a closure from a candidate and a number of threads, which goes to [`Compile::threads`](crate::model::Compile::threads): a
    /// model of more threads fails its trial.
    pub fn new(build: B) -> Self {
        let fit = Box::new(|_: &Candidate| Ok(Fit::new()));
        Self { build, fit, early_stopping: None, hold_out: None, scorer: Scorer::default() }
    }

    /// How long and by which schedule a candidate is trained. Validation data and splits of these settings are replaced as
    /// [`Training::early_stopping`] needs them.
    pub fn fit(self, fit: impl Fn(&Candidate) -> Result<Fit<'a>, SearchError> + Sync + 'a) -> Self {
        Self { fit: Box::new(fit), ..self }
    }

    /// Ends each training by this rule; it monitors `val_loss` unless told otherwise.
    ///
    /// It looks at the rows that are scored afterwards, which makes scores a little too good, and that the more the longer the patience;
    /// [`Training::hold_out`] avoids that, at the price of fewer rows to train on.
    pub fn early_stopping(self, rule: EarlyStopping) -> Self {
        Self { early_stopping: Some(rule), ..self }
    }

    /// Lets early stopping look at rows held out of those to train on, instead of the rows that are scored.
    pub fn hold_out(self, split: ValidationSplit) -> Self {
        Self { hold_out: Some(split), ..self }
    }

    /// What is to become large.
    pub fn scorer(self, scorer: Scorer) -> Self {
        Self { scorer, ..self }
    }

    /// What [`Search::run`](super::Search::run) takes: copies the rows of a fold, builds the model, trains it, scores it.
    pub fn objective<'s>(
        &'s self,
        examples: &'s Examples<'s>,
    ) -> impl Fn(&Candidate, &Split<'_>) -> Result<Score, SearchError> + Sync + 's {
        move |candidate, split| {
            let training = examples.select(split.training)?;
            let validation = examples.select(split.validation)?;
            let mut model = self.build(candidate, split.threads)?;
            let settings: Fit<'_> = (self.fit)(candidate)?;
            let epochs = match &self.early_stopping {
                None => model.fit(&training, &settings, &mut [])?.epochs.len(),
                Some(rule) => {
                    let settings = match self.hold_out {
                        None => settings.validation_data(&validation),
                        Some(split) => settings.validation_split(split),
                    };
                    let mut rule = rule.clone();
                    let callbacks: &mut [&mut dyn Callback] = &mut [&mut rule];
                    let history = model.fit(&training, &settings, callbacks)?;
                    // The epoch whose weights are there now.
                    let best = rule.best_epoch().filter(|_| rule.restores());
                    best.map_or(history.epochs.len(), |epoch| epoch + 1)
                }
            };
            let value = self.scorer.score(&model.evaluate(&validation)?)?;
            Ok(Score { value, epochs: Some(epochs) })
        }
    }

    /// Trains the candidate of a trial on all rows. There is nothing left to validate on, so there is no early stopping: the training lasts
    /// [`Trial::epochs`], the mean of what it lasted in the folds.
    ///
    /// # Errors
    /// [`SearchError::Failed`] for a failed trial; whatever building and training give.
    pub fn refit(&self, examples: &Examples<'_>, trial: &Trial, threads: usize) -> Result<(Model, History), SearchError> {
        if let Some(failure) = trial.failure.clone() {
            return Err(SearchError::Failed { trial: trial.number, failure });
        }
        let mut model = self.build(&trial.candidate, threads)?;
        let settings = (self.fit)(&trial.candidate)?;
        let settings = match trial.epochs() {
            Some(epochs) => settings.epochs(epochs),
            None => settings,
        };
        let history = model.fit(examples, &settings, &mut [])?;
        Ok((model, history))
    }

    fn build(&self, candidate: &Candidate, threads: usize) -> Result<Model, SearchError> {
        let model = (self.build)(candidate, threads)?;
        if model.threads() > threads {
            return Err(SearchError::Threads { expected: threads, found: model.threads() });
        }
        Ok(model)
    }
}
