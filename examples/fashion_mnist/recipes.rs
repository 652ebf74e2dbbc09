//! Which networks, and how they are trained.
//!
//! `best` and `pixels` were chosen by accuracy on the 5,000 validation rows, without a look at the test rows.
//!
//! `pixels` is the best that was found for networks that are given the pixels, out of some thirty settings of width, epochs, batch size, dropout,
//! optimizer and learning rate, one seed each:
//!
//! | network | optimizer, largest rate | batch | dropout of units, of pixels | epochs | accuracy |
//! |---|---|---|---|---|---|
//! | 784-300-100-10 | Nesterov 0.3 | 128 | 0.2, 0.1 | 16 | 0.9020 |
//! | 784-300-100-10 | Adam 0.002 | 64 | 0.15, 0.1 | 18 | 0.9038 |
//! | 784-512-256-10 | Adam 0.002 | 64 | 0.25, 0.1 | 16 | 0.9018 |
//! | **784-512-256-10** | Adam 0.002 | 64 | 0.25, 0.1 | 24 | 0.9066 |
//! | 784-512-512-10 | Nesterov 0.3 | 128 | 0.3, 0.15 | 24 | 0.9044 |
//!
//! Trained on all 60,000 rows (`--validation-rows 0`) and tested after the choice, the seeds 0 to 4 reached 0.9072, 0.9063, 0.9051, 0.9077 and 0.9052.
//! Mirrored garments, label smoothing, penalties and swish brought nothing.
//!
//! `best` is not given the pixels but the histograms of their gradients ([`selvedge::data::gradient_histograms`]), in which a dense network finds
//! edges and their places without having to learn them: better after an epoch of a smaller network than the course's network after ten. With
//! batch normalization, seeds 10 and 11:
//!
//! | network | optimizer, largest rate | batch | dropout | epochs | accuracy |
//! |---|---|---|---|---|---|
//! | 392-256-10 | Nesterov 0.1 | 64 | 0.2 | 6 | 0.9314, 0.9334 |
//! | 392-256-10 | Nesterov 0.05 | 64 | 0.2 | 8 | 0.9304, 0.9320 |
//! | 392-256-10 | Nesterov 0.1 | 128 | 0.2 | 8 | 0.9312, 0.9318 |
//! | 392-256-10 | Adam 0.002 | 64 | 0.2 | 8 | 0.9324, 0.9330 |
//! | **392-256-10** | Nesterov 0.1 | 64 | 0.2 | 12 | 0.9362, 0.9368 |
//! | 392-512-10 | Nesterov 0.1 | 64 | 0.3 | 12 | 0.9362, 0.9366 |
//! | 392-512-256-10 | Adam 0.002 | 64 | 0.25 | 8 | 0.9360 |
//!
//! Trained on all 60,000 rows and tested after the choice, the seeds 0 to 4 reached 0.9328, 0.9310, 0.9310, 0.9321 and 0.9307, in 2.6 seconds of
//! training on two threads behind 0.25 seconds for the histograms, and 0.9 after 0.41 to 0.85 seconds in all.
//!
//! Cells of 3 pixels were no better than those of 4, cells of 5 and 7 worse; twelve or sixteen directions, or pixels beside the histograms, brought
//! nothing.

use clap::ValueEnum;
use selvedge::data::gradient_histograms::DIRECTIONS;
use selvedge::data::{DataError, Dataset};
use selvedge::model::{
    Activation, Adam, BatchNormalization, Compile, Configuration, CosineDecay, Dense, Dropout, Flatten, Initializer,
    LearningRateSchedule, OneCycle, ScheduleError, Sequential, Sgd,
};
use selvedge::parallel::Executor;
use selvedge::simd::Isa;
use serde::Serialize;
use std::borrow::Cow;

/// The side of a cell of a histogram of gradients, in pixels.
const CELL: usize = 4;

/// A network with the way to train it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Recipe {
    /// 784-300-100-10 with ReLU and momentum; the learning rate falls along half a cosine wave
    Course,
    /// He initialization, ELU, batch normalization, 1cycle, early stopping
    Deep,
    /// LeCun initialization, SELU, alpha dropout, 1cycle, early stopping
    Selu,
    /// 784-512-256-10 with batch normalization, dropout of pixels and units, Adam and 1cycle: the most accurate that was found for pixels
    Pixels,
    /// 392-256-10 on histograms of gradients, with batch normalization, dropout, Nesterov's momentum and 1cycle: the most accurate, and fast
    Best,
}

/// What a recipe does unless the command line says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    /// The largest of the schedule.
    pub(crate) learning_rate: f32,
    /// Of recipes whose schedule moves the momentum, where it begins.
    pub(crate) momentum: f32,
}

impl Recipe {
    pub(crate) fn defaults(self) -> Defaults {
        match self {
            Self::Course => Defaults { epochs: 10, batch_size: 128, learning_rate: 0.04, momentum: 0.9 },
            Self::Deep => Defaults { epochs: 10, batch_size: 128, learning_rate: 0.1, momentum: 0.95 },
            Self::Selu => Defaults { epochs: 10, batch_size: 128, learning_rate: 0.02, momentum: 0.95 },
            Self::Pixels => Defaults { epochs: 24, batch_size: 64, learning_rate: 0.002, momentum: 0.9 },
            Self::Best => Defaults { epochs: 12, batch_size: 64, learning_rate: 0.1, momentum: 0.95 },
        }
    }

    /// What the network is given of some images.
    pub(crate) fn inputs<'a>(self, images: &'a Dataset, isa: Isa, executor: &dyn Executor) -> Result<Cow<'a, Dataset>, DataError> {
        Ok(match self {
            Self::Best => Cow::Owned(images.gradient_histograms(CELL, isa, executor)?),
            _ => Cow::Borrowed(images),
        })
    }

    /// The network.
    pub(crate) fn network(self) -> Sequential {
        match self {
            Self::Course => Sequential::new(&[28, 28])
                .add(Flatten)
                .add(Dense::new(300).activation(Activation::Relu))
                .add(Dense::new(100).activation(Activation::Relu))
                .add(Dense::new(10).activation(Activation::Softmax)),
            Self::Deep => Configuration::deep(&[28, 28], &[300, 100], 10).network(),
            Self::Selu => Configuration::self_normalizing(&[28, 28], &[300, 100], 10).dropout(0.05).network(),
            Self::Pixels => {
                let network = Sequential::new(&[28, 28]).add(Flatten).add(Dropout::new(0.1));
                let network = hidden(hidden(network, 512, 0.25), 256, 0.25);
                network.add(Dense::new(10).activation(Activation::Softmax))
            }
            Self::Best => {
                let network = Sequential::new(&[28 / CELL, 28 / CELL, DIRECTIONS]).add(Flatten);
                hidden(network, 256, 0.2).add(Dense::new(10).activation(Activation::Softmax))
            }
        }
    }

    /// How the network is compiled.
    pub(crate) fn compile(self, learning_rate: f32, momentum: f32) -> Compile {
        match self {
            Self::Pixels => Compile::new(Adam { learning_rate, beta_1: f64::from(momentum), ..Adam::default() }),
            _ => Compile::new(Sgd { learning_rate, momentum, nesterov: self != Self::Course }),
        }
    }

    /// The learning rate, and for those with 1cycle and momentum the latter, of each of so many steps.
    pub(crate) fn schedule(self, learning_rate: f32, steps: u64) -> Result<Box<dyn LearningRateSchedule>, ScheduleError> {
        let largest = f64::from(learning_rate);
        Ok(match self {
            Self::Course => Box::new(CosineDecay::new(largest, steps)?),
            Self::Deep | Self::Selu => Box::new(OneCycle::three_legs(largest, steps)?),
            Self::Pixels | Self::Best => Box::new(OneCycle::cosine(largest, steps)?),
        })
    }

    /// Epochs without a better validation loss after which training stops, to end with the best weights.
    pub(crate) fn patience(self) -> Option<usize> {
        matches!(self, Self::Deep | Self::Selu).then_some(5)
    }
}

/// A hidden layer with normalization before its ReLU and dropout behind it.
fn hidden(network: Sequential, units: usize, rate: f64) -> Sequential {
    network
        .add(Dense::new(units).kernel_initializer(Initializer::HeNormal).use_bias(false))
        // Shorter memory than Keras' 0.99: the schedule ends with steps too small for the statistics to change.
        .add(BatchNormalization { momentum: 0.9, ..BatchNormalization::default() })
        .add(Activation::Relu)
        .add(Dropout::new(rate))
}
