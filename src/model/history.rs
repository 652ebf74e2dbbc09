//! [`History`]: what came of each epoch.

/// Loss and accuracy over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The mean cross-entropy.
    pub loss: f64,
    /// The share of rows that were classified right.
    pub accuracy: f64,
}

/// What came of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Over the rows trained on, each measured before its step.
    pub training: Evaluation,
    /// Over the validation data, after the epoch.
    pub validation: Option<Evaluation>,
    /// The time of the training steps with shuffling and gathering, without validation and callbacks.
    pub seconds: f64,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f32,
}

/// The epochs of a call of [`Model::fit`](super::Model::fit).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In order.
    pub epochs: Vec<Epoch>,
}
