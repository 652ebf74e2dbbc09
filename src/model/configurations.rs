//! [`Configuration`]: two sets of choices that are right for most deep networks, each in one call.
//!
//! | choice | [`Configuration::deep`] | [`Configuration::self_normalizing`] |
//! |---|---|---|
//! | initializer | He normal | LeCun normal |
//! | activation | ELU | SELU |
//! | normalization | batch norm before each activation, products without bias | none: the network keeps mean 0 and variance 1 by itself, if its inputs have them |
//! | regularization | early stopping, which restores the best weights; optionally dropout | early stopping; optionally alpha dropout |
//! | optimizer | momentum 0.95, Nesterov | momentum 0.95, Nesterov |
//! | schedule | 1cycle, step by step | 1cycle, step by step |

use super::callbacks::EarlyStopping;
use super::compile::Compile;
use super::error::ModelError;
use super::initializers::Initializer;
use super::layers::{Activation, AlphaDropout, BatchNormalization, Dense, Dropout, Flatten};
use super::model::Model;
use super::optimizers::Sgd;
use super::schedules::{OneCycle, ScheduleError};
use super::sequential::Sequential;
use super::{Callback, Examples, Fit, History};

/// A network with the choices that go with it.
///
/// ```
/// use selvedge::data::{ValidationSplit, synthetic};
/// use selvedge::model::{Configuration, Examples};
///
/// let (training, validation) = synthetic::garments(300, 0).split(ValidationSplit::Tail(0.2))?;
/// let configuration = Configuration::deep(&[28, 28], &[32, 32], 10);
/// let (model, history) = configuration.train(&training, &validation, 3, 32, &mut [])?;
/// # let _ = (model, history);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Configuration {
    input_shape: Vec<usize>,
    hidden: Vec<usize>,
    classes: usize,
    kind: Kind,
    dropout: f64,
    max_learning_rate: f64,
    patience: usize,
    compile: Compile,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Deep,
    SelfNormalizing,
}

impl Configuration {
    /// He initialization, ELU, batch normalization. Highest learning rate 0.05, patience 10, no dropout.
    pub fn deep(input_shape: &[usize], hidden: &[usize], classes: usize) -> Self {
        Self::new(Kind::Deep, input_shape, hidden, classes, 0.05)
    }

    /// LeCun initialization and SELU. Highest learning rate 0.02, patience 10, no dropout. The inputs should have mean 0 and variance 1.
    pub fn self_normalizing(input_shape: &[usize], hidden: &[usize], classes: usize) -> Self {
        Self::new(Kind::SelfNormalizing, input_shape, hidden, classes, 0.02)
    }

    fn new(kind: Kind, input_shape: &[usize], hidden: &[usize], classes: usize, max_learning_rate: f64) -> Self {
        let (input_shape, hidden) = (input_shape.to_vec(), hidden.to_vec());
        let compile = Compile::new(Sgd { learning_rate: max_learning_rate as f32 / 10.0, momentum: 0.95, nesterov: true });
        Self { input_shape, hidden, classes, kind, dropout: 0.0, max_learning_rate, patience: 10, compile }
    }

    /// Dropout, or alpha dropout, behind every hidden layer.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.dropout = rate;
        self
    }

    /// The highest learning rate of the 1cycle schedule.
    pub fn max_learning_rate(mut self, learning_rate: f64) -> Self {
        self.max_learning_rate = learning_rate;
        self
    }

    /// Epochs without improvement of the validation loss after which training stops.
    pub fn patience(mut self, patience: usize) -> Self {
        self.patience = patience;
        self
    }

    /// The seed of everything random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.compile = self.compile.seed(seed);
        self
    }

    /// The number of threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.compile = self.compile.threads(threads);
        self
    }

    /// The network.
    pub fn network(&self) -> Sequential {
        let mut network = Sequential::new(&self.input_shape);
        if self.input_shape.len() != 1 {
            network = network.add(Flatten);
        }
        for &units in &self.hidden {
            let dense = Dense::new(units);
            network = match self.kind {
                Kind::Deep => network
                    .add(dense.kernel_initializer(Initializer::HeNormal).use_bias(false))
                    .add(BatchNormalization::default())
                    .add(Activation::Elu { alpha: 1.0 }),
                Kind::SelfNormalizing => {
                    network.add(dense.kernel_initializer(Initializer::LeCunNormal).activation(Activation::Selu))
                }
            };
            if self.dropout > 0.0 {
                network = match self.kind {
                    Kind::Deep => network.add(Dropout::new(self.dropout)),
                    Kind::SelfNormalizing => network.add(AlphaDropout::new(self.dropout)),
                };
            }
        }
        network.add(Dense::new(self.classes).activation(Activation::Softmax))
    }

    /// The schedule of a training of so many steps.
    ///
    /// # Errors
    /// If there are no steps, or the learning rate makes no sense.
    pub fn schedule(&self, steps: u64) -> Result<OneCycle, ScheduleError> {
        OneCycle::three_legs(self.max_learning_rate, steps)
    }

    /// Compiles the network and trains it for up to `epochs` epochs; the model has the weights of the epoch with the least validation loss.
    ///
    /// # Errors
    /// As [`Sequential::compile`] and [`Model::fit`].
    pub fn train<'a, 'b>(
        &self,
        training: impl Into<Examples<'a>>,
        validation: impl Into<Examples<'b>>,
        epochs: usize,
        batch_size: usize,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<(Model, History), ModelError> {
        let (training, validation) = (training.into(), validation.into());
        let mut model = self.network().compile(self.compile.clone())?;
        let steps = training.len().div_ceil(batch_size.max(1)) * epochs;
        let schedule = self.schedule(steps as u64)?;
        let fit = Fit::new().epochs(epochs).batch_size(batch_size).schedule(&schedule).validation_data(&validation);
        let mut stopping = EarlyStopping::new().patience(self.patience).restore_best_weights();
        let mut all: Vec<&mut dyn Callback> = vec![&mut stopping];
        for callback in callbacks {
            all.push(&mut **callback);
        }
        let history = model.fit(training, &fit, &mut all)?;
        Ok((model, history))
    }
}
