//! [`GradientStatistics`]: how strong the signals are in each layer, forward and backward.

use crate::exec::{Batch, Inputs, Targets};
use crate::model::{Callback, Epoch, ModelError, Session};

/// How the outputs of a layer are spread.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerStatistics {
    /// The name of the layer.
    pub name: String,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
}

/// How large the gradient by a tensor is.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientSize {
    /// The name of the tensor: `dense/kernel`.
    pub name: String,
    /// The root of the mean square of its elements.
    pub root_mean_square: f64,
}

/// After each epoch, takes a minibatch through the network and back, and keeps mean and deviation of what each layer puts out, and the root
/// mean square of each gradient. Where the latter shrink from layer to layer towards the input, gradients vanish; where they grow, they explode.
///
/// The model is left as it was. The minibatch must not have more rows than a step of the training.
#[derive(Debug)]
pub struct GradientStatistics<'a> {
    inputs: Vec<Inputs<'a>>,
    targets: Vec<Targets<'a>>,
    parameters: Vec<f32>,
    /// For each epoch, from the first layer to the last.
    pub activations: Vec<Vec<LayerStatistics>>,
    /// For each epoch, from the first tensor to the last.
    pub gradients: Vec<Vec<GradientSize>>,
}

impl<'a> GradientStatistics<'a> {
    /// Measures on this minibatch.
    pub fn new(inputs: &[Inputs<'a>], targets: &[Targets<'a>]) -> Self {
        let (activations, gradients) = (Vec::new(), Vec::new());
        Self { inputs: inputs.to_vec(), targets: targets.to_vec(), parameters: Vec::new(), activations, gradients }
    }
}

impl Callback for GradientStatistics<'_> {
    fn on_epoch_end(&mut self, _: usize, _: &mut Epoch, session: &mut Session<'_>) -> Result<(), ModelError> {
        let rows = self.inputs.first().map_or(0, Inputs::len);
        if rows == 0 || rows > session.batch_size() {
            return Err(ModelError::RowCount { expected: session.batch_size(), found: rows });
        }
        self.parameters.clear();
        self.parameters.extend_from_slice(session.parameters());
        let batch = Batch { inputs: &self.inputs, targets: &self.targets, weights: None };
        let gradients = session.gradients(&batch).map(|(name, gradient)| {
            let elements = (gradient.rows() * gradient.columns()).max(1) as f64;
            let squares: f64 = (0..gradient.rows()).flat_map(|i| gradient.row(i)).map(|&g| f64::from(g) * f64::from(g)).sum();
            GradientSize { name: name.to_owned(), root_mean_square: (squares / elements).sqrt() }
        });
        self.gradients.push(gradients.collect());
        let activations = session.activations(rows);
        self.activations
            .push(activations.map(|(name, mean, deviation)| LayerStatistics { name: name.to_owned(), mean, deviation }).collect());
        session.restore(&self.parameters)
    }
}
