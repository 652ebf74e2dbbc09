//! A network in textbook order: no plan, no padding, no parts; one layer after the other, each on all rows of the minibatch.
//!
//! A layer is an operation, then normalization, activation and dropout, as [`LayerSpec`] asks for. The loss is the sum over the outputs
//! of `weight / rows` times the sum over the rows of `weights[row] loss(row)`, plus the penalties. A softmax in front of its
//! cross-entropy, and a sigmoid in front of its own, are part of the loss, which takes what comes before them.
//!
//! The network computes with any [`Number`]. With [`Dual`] the loss brings its derivative in one direction of the space of
//! parameters; [`Network::gradient`] is back-propagation in `f64`, for all of them at once. It takes the derivatives of activations and
//! of losses, which are functions of a number or of a row, from dual numbers, so that no formula stands here twice.

use super::dual::{Dual, Number};
use crate::plan::{Activation, BatchNorm, Dropout, LayerSpec, Loss, Operation, Output, Penalty, Value};
use std::vec;
use std::vec::Vec;

/// A matrix.
pub type Rows<T> = Vec<Vec<T>>;

/// A layer with its parameters; those that it does not have are empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<T> {
    /// What it does.
    pub spec: LayerSpec,
    /// W, a row for each input.
    pub kernel: Rows<T>,
    /// b.
    pub bias: Vec<T>,
    /// The deviation that a normalization gives.
    pub gamma: Vec<T>,
    /// The mean that a normalization gives.
    pub beta: Vec<T>,
    /// The slopes of a PReLU.
    pub alpha: Vec<T>,
    /// The mean that a normalization expects in inference.
    pub moving_mean: Vec<f64>,
    /// The variance that a normalization expects in inference.
    pub moving_variance: Vec<f64>,
}

/// A network with its parameters; also its gradient, or a direction in the space of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<T> {
    /// The layers in the order of computation.
    pub layers: Vec<Layer<T>>,
    /// What is compared with targets.
    pub outputs: Vec<Output>,
}

/// What a network is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Minibatch {
    /// Of each input of the network.
    pub inputs: Vec<Rows<f64>>,
    /// Of each output; classes as a probability for each.
    pub targets: Vec<Rows<f64>>,
    /// What each row counts.
    pub weights: Vec<f64>,
    /// For each layer which elements its dropout keeps; empty if nothing is dropped.
    pub kept: Vec<Rows<bool>>,
}

/// What normalizations use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Mean and variance of the minibatch, as training does.
    OfMinibatch,
    /// The moving ones, as inference does.
    Moving,
}

/// What a layer has computed.
struct Trace<T> {
    /// What the operation gives.
    sums: Rows<T>,
    /// What the normalization makes of it.
    normalized: Rows<T>,
    /// What comes out.
    outputs: Rows<T>,
}

fn lift<T: Number>(rows: &Rows<f64>) -> Rows<T> {
    rows.iter().map(|row| row.iter().map(|&x| T::constant(x)).collect()).collect()
}

fn sigmoid<T: Number>(x: T) -> T {
    T::constant(1.0) / (T::constant(1.0) + (T::constant(0.0) - x).exp())
}

fn softplus<T: Number>(x: T) -> T {
    let (zero, one) = (T::constant(0.0), T::constant(1.0));
    // The exponential stays finite.
    if x.value() > 0.0 { x + (one + (zero - x).exp()).ln() } else { (one + x.exp()).ln() }
}

fn tanh<T: Number>(x: T) -> T {
    T::constant(2.0) * sigmoid(T::constant(2.0) * x) - T::constant(1.0)
}

fn softmax<T: Number>(x: &[T]) -> Vec<T> {
    // Any constant may be subtracted; this one keeps the exponentials finite.
    let max = T::constant(largest(x.iter().map(|x| x.value())));
    let sum = x.iter().fold(T::constant(0.0), |sum, &x| sum + (x - max).exp());
    x.iter().map(|&x| (x - max).exp() / sum).collect()
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

/// `f(z)`; `alpha` is the slope of a PReLU.
pub fn activate<T: Number>(activation: Activation, alpha: T, z: T) -> T {
    let constant = T::constant;
    let positive = z.value() > 0.0;
    let exponential = |scale: f64| constant(scale) * (z.exp() - constant(1.0));
    match activation {
        Activation::Linear | Activation::Softmax => z,
        Activation::Relu => {
            if positive {
                z
            } else {
                constant(0.0)
            }
        }
        Activation::LeakyRelu { slope } => {
            if positive {
                z
            } else {
                constant(slope.into()) * z
            }
        }
        Activation::PRelu => {
            if positive {
                z
            } else {
                alpha * z
            }
        }
        Activation::Elu { alpha } => {
            if positive {
                z
            } else {
                exponential(alpha.into())
            }
        }
        Activation::Selu => {
            let (scale, alpha) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_2);
            if positive { constant(scale) * z } else { exponential(scale * alpha) }
        }
        Activation::Gelu => z * z.normal_cdf(),
        Activation::GeluTanh => {
            let inner = constant((2.0 / core::f64::consts::PI).sqrt()) * (z + constant(0.044_715) * z * z * z);
            constant(0.5) * z * (constant(1.0) + tanh(inner))
        }
        Activation::Swish => z * sigmoid(z),
        Activation::Softplus => softplus(z),
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => tanh(z),
        Activation::Heaviside => constant(if z.value() < 0.0 { 0.0 } else { 1.0 }),
        Activation::Sign => constant(if z.value() == 0.0 { 0.0 } else { z.value().signum() }),
    }
}

/// Whether the derivative of an activation jumps where its argument crosses 0.
fn has_kink(activation: Activation) -> bool {
    use Activation::*;
    matches!(activation, Relu | LeakyRelu { .. } | PRelu | Elu { .. } | Selu | Heaviside | Sign)
}

/// What a row costs.
pub fn loss_of_row<T: Number>(loss: Loss, x: &[T], y: &[f64]) -> T {
    let constant = T::constant;
    let sum = |term: &dyn Fn(T, f64) -> T| x.iter().zip(y).fold(constant(0.0), |sum, (&x, &y)| sum + term(x, y));
    let mean = |term: &dyn Fn(T, f64) -> T| sum(term) / constant(x.len() as f64);
    let distance = |x: T, y: f64| if x.value() < y { constant(y) - x } else { x - constant(y) };
    match loss {
        Loss::SparseCategoricalCrossentropy { label_smoothing } | Loss::CategoricalCrossentropy { label_smoothing } => {
            let smoothing = f64::from(label_smoothing);
            let max = constant(largest(x.iter().map(|x| x.value())));
            let log_sum = x.iter().fold(constant(0.0), |sum, &x| sum + (x - max).exp()).ln();
            sum(&|x_j, y| constant(y * (1.0 - smoothing) + smoothing / x.len() as f64) * (log_sum - (x_j - max)))
        }
        Loss::BinaryCrossentropy { label_smoothing } => {
            let smoothing = f64::from(label_smoothing);
            mean(&|x, y| softplus(x) - x * constant(y * (1.0 - smoothing) + smoothing / 2.0))
        }
        Loss::MeanSquaredError => mean(&|x, y| (x - constant(y)) * (x - constant(y))),
        Loss::MeanAbsoluteError => mean(&|x, y| if x.value() == y { constant(0.0) } else { distance(x, y) }),
        Loss::Huber { delta } => mean(&|x, y| {
            let (distance, delta) = (distance(x, y), constant(delta.into()));
            let half = constant(0.5);
            if distance.value() <= delta.value() { half * distance * distance } else { delta * (distance - half * delta) }
        }),
    }
}

/// Mean and variance, by the number of rows, of each column.
fn statistics<T: Number>(x: &Rows<T>) -> (Vec<T>, Vec<T>) {
    let rows = T::constant(x.len() as f64);
    let mean_of = |column: &dyn Fn(&Vec<T>) -> T| x.iter().fold(T::constant(0.0), |sum, row| sum + column(row)) / rows;
    let columns = 0..x[0].len();
    let mean: Vec<T> = columns.clone().map(|j| mean_of(&|row| row[j])).collect();
    let variance = columns.map(|j| mean_of(&|row| (row[j] - mean[j]) * (row[j] - mean[j]))).collect();
    (mean, variance)
}

impl<T: Number> Layer<T> {
    /// The groups of parameters: the rows of W, then b, gamma, beta and alpha.
    pub fn rows(&self) -> impl Iterator<Item = &Vec<T>> {
        self.kernel.iter().chain([&self.bias, &self.gamma, &self.beta, &self.alpha])
    }

    /// [`Layer::rows`], for writing.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut Vec<T>> {
        self.kernel.iter_mut().chain([&mut self.bias, &mut self.gamma, &mut self.beta, &mut self.alpha])
    }

    fn product(&self, x: &[T]) -> Vec<T> {
        let mut z = if self.bias.is_empty() { vec![T::constant(0.0); self.kernel[0].len()] } else { self.bias.clone() };
        for (j, z) in z.iter_mut().enumerate() {
            for (x, row) in x.iter().zip(&self.kernel) {
                *z = *z + *x * row[j];
            }
        }
        z
    }

    /// What a normalization subtracts and what it divides by.
    fn mean_and_deviation(&self, spec: BatchNorm, x: &Rows<T>, which: Statistics) -> (Vec<T>, Vec<T>) {
        let (mean, variance) = match which {
            Statistics::OfMinibatch => statistics(x),
            Statistics::Moving => {
                let lift = |values: &Vec<f64>| values.iter().map(|&x| T::constant(x)).collect::<Vec<T>>();
                (lift(&self.moving_mean), lift(&self.moving_variance))
            }
        };
        let epsilon = T::constant(spec.epsilon.into());
        (mean, variance.into_iter().map(|variance| (variance + epsilon).sqrt()).collect())
    }

    fn normalize(&self, x: &Rows<T>, which: Statistics) -> Rows<T> {
        let Some(spec) = self.spec.normalization else { return x.clone() };
        let (mean, deviation) = self.mean_and_deviation(spec, x, which);
        let element = |(j, &x): (usize, &T)| self.gamma[j] * (x - mean[j]) / deviation[j] + self.beta[j];
        x.iter().map(|row| row.iter().enumerate().map(element).collect()).collect()
    }

    fn slope(&self, j: usize) -> T {
        self.alpha.get(j).copied().unwrap_or(T::constant(0.0))
    }

    /// What the dropout makes of an element: `(a, b)` of `a x + b`.
    fn drop(&self, kept: &Rows<bool>, i: usize, j: usize) -> (f64, f64) {
        let Some(dropout) = self.spec.dropout.filter(|_| !kept.is_empty()) else { return (1.0, 0.0) };
        match dropout {
            Dropout::Plain(rate) => {
                if kept[i][j] {
                    (1.0 / (1.0 - rate), 0.0)
                } else {
                    (0.0, 0.0)
                }
            }
            Dropout::Alpha(rate) => {
                let dropped = -1.050_700_987_355_480_5 * 1.673_263_242_354_377_2;
                let a = ((1.0 - rate) * (1.0 + rate * dropped * dropped)).powf(-0.5);
                let b = -a * dropped * rate;
                if kept[i][j] { (a, b) } else { (0.0, a * dropped + b) }
            }
        }
    }

    fn penalty(&self) -> T {
        let of = |penalty: Penalty, values: &Vec<T>| {
            let (l1, l2) = (T::constant(penalty.l1.into()), T::constant(penalty.l2.into()));
            values.iter().fold(T::constant(0.0), |sum, &w| {
                let size = if w.value() < 0.0 { T::constant(0.0) - w } else { w };
                sum + l1 * size + l2 * w * w
            })
        };
        self.kernel.iter().fold(of(self.spec.bias_penalty, &self.bias), |sum, row| sum + of(self.spec.kernel_penalty, row))
    }
}

impl<T: Number> Network<T> {
    /// The loss that computes the activation of a layer itself.
    fn loss_with_activation(&self, layer: usize) -> bool {
        let activation = self.layers[layer].spec.activation;
        self.outputs.iter().any(|output| {
            output.layer == layer
                && match output.loss {
                    Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => {
                        activation == Activation::Softmax
                    }
                    Loss::BinaryCrossentropy { .. } => activation == Activation::Sigmoid,
                    _ => false,
                }
        })
    }

    /// The activation of a layer, unless it is part of the loss.
    fn activation(&self, layer: usize) -> Activation {
        if self.loss_with_activation(layer) { Activation::Linear } else { self.layers[layer].spec.activation }
    }

    fn forward(&self, batch: &Minibatch, which: Statistics) -> Vec<Trace<T>> {
        let mut traces: Vec<Trace<T>> = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let value = |value: Value| match value {
                Value::Input(i) => lift(&batch.inputs[i]),
                Value::Layer(i) => traces[i].outputs.clone(),
            };
            let mut sums = value(layer.spec.input);
            match layer.spec.operation {
                Operation::Dense { .. } => sums.iter_mut().for_each(|row| *row = layer.product(row)),
                Operation::Identity => {}
                Operation::Concatenate(second) => {
                    sums.iter_mut().zip(value(second)).for_each(|(row, second)| row.extend(second));
                }
                Operation::Add(second) => {
                    for (x, y) in sums.iter_mut().flatten().zip(value(second).into_iter().flatten()) {
                        *x = *x + y;
                    }
                }
            }
            let normalized = layer.normalize(&sums, which);
            let mut outputs = normalized.clone();
            for (row_number, row) in outputs.iter_mut().enumerate() {
                for (j, y) in row.iter_mut().enumerate() {
                    let (a, b) = layer.drop(&batch.kept[i], row_number, j);
                    *y = T::constant(a) * activate(self.activation(i), layer.slope(j), *y) + T::constant(b);
                }
            }
            traces.push(Trace { sums, normalized, outputs });
        }
        traces
    }

    /// What comes out in inference, through the activations that belong to losses too. Dropout drops what the minibatch says.
    pub fn predict(&self, batch: &Minibatch) -> Vec<Rows<T>> {
        let mut traces = self.forward(batch, Statistics::Moving);
        let finish = |output: &Output| {
            let mut rows = core::mem::take(&mut traces[output.layer].outputs);
            match self.layers[output.layer].spec.activation {
                _ if !self.loss_with_activation(output.layer) => {}
                Activation::Softmax => rows.iter_mut().for_each(|row| *row = softmax(row)),
                _ => rows.iter_mut().flatten().for_each(|y| *y = sigmoid(*y)),
            }
            rows
        };
        self.outputs.iter().map(finish).collect()
    }

    /// Of each output the sum of the losses of all rows, each with the weight of the row.
    pub fn losses(&self, batch: &Minibatch, which: Statistics) -> Vec<T> {
        let traces = self.forward(batch, which);
        let of_output = |(output, targets): (&Output, &Rows<f64>)| {
            let rows = traces[output.layer].outputs.iter().zip(targets).zip(&batch.weights);
            rows.fold(T::constant(0.0), |sum, ((x, y), &w)| sum + T::constant(w) * loss_of_row(output.loss, x, y))
        };
        self.outputs.iter().zip(&batch.targets).map(of_output).collect()
    }

    /// What training makes small: the losses of all outputs over the number of rows, and the penalties.
    pub fn loss(&self, batch: &Minibatch) -> T {
        let rows = batch.weights.len() as f64;
        let losses = self.losses(batch, Statistics::OfMinibatch);
        let losses = self
            .outputs
            .iter()
            .zip(losses)
            .fold(T::constant(0.0), |sum, (output, loss)| sum + T::constant(f64::from(output.weight) / rows) * loss);
        self.layers.iter().fold(losses, |sum, layer| sum + layer.penalty())
    }

    /// Moves the moving statistics by a step of training: each keeps its momentum's share and takes the rest from the minibatch.
    pub fn move_statistics(&mut self, batch: &Minibatch) {
        let traces = self.forward(batch, Statistics::OfMinibatch);
        for (layer, trace) in self.layers.iter_mut().zip(traces) {
            let Some(BatchNorm { momentum, .. }) = layer.spec.normalization else { continue };
            let (mean, variance) = statistics(&trace.sums);
            for (moving, now) in [(&mut layer.moving_mean, mean), (&mut layer.moving_variance, variance)] {
                moving.iter_mut().zip(now).for_each(|(moving, now)| *moving = momentum * *moving + (1.0 - momentum) * now.value());
            }
        }
    }

    /// All parameters with a derivative: for each layer [`Layer::rows`].
    pub fn parameters(&self) -> impl Iterator<Item = T> {
        self.layers.iter().flat_map(Layer::rows).flatten().copied()
    }

    /// [`Network::parameters`], for writing.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.layers.iter_mut().flat_map(Layer::rows_mut).flatten()
    }
}

impl Network<f64> {
    /// The same network, about to move in a direction: derivatives are those by the distance moved.
    pub fn toward(&self, direction: &Self) -> Network<Dual> {
        let group = |values: &Vec<f64>, derivatives: &Vec<f64>| {
            values.iter().zip(derivatives).map(|(&value, &derivative)| Dual { value, derivative }).collect()
        };
        let layers = self.layers.iter().zip(&direction.layers).map(|(here, there)| Layer {
            spec: here.spec,
            kernel: here.kernel.iter().zip(&there.kernel).map(|(values, derivatives)| group(values, derivatives)).collect(),
            bias: group(&here.bias, &there.bias),
            gamma: group(&here.gamma, &there.gamma),
            beta: group(&here.beta, &there.beta),
            alpha: group(&here.alpha, &there.alpha),
            moving_mean: here.moving_mean.clone(),
            moving_variance: here.moving_variance.clone(),
        });
        Network { layers: layers.collect(), outputs: self.outputs.clone() }
    }

    /// The gradient of [`Network::loss`] by back-propagation.
    pub fn gradient(&self, batch: &Minibatch) -> Self {
        self.back_propagate(batch, true)
    }

    /// What [`Network::gradient`] would be if the statistics of the minibatch were constants. In the true gradient most of that can
    /// cancel, down to nothing for a minibatch of one row; so this is the size of the numbers whose rounding errors are left.
    pub fn gradient_with_constant_statistics(&self, batch: &Minibatch) -> Self {
        self.back_propagate(batch, false)
    }

    fn back_propagate(&self, batch: &Minibatch, through_statistics: bool) -> Self {
        let traces = self.forward(batch, Statistics::OfMinibatch);
        let rows = batch.weights.len();
        let mut gradient = self.clone();
        gradient.parameters_mut().for_each(|g| *g = 0.0);
        // The gradients by the outputs of all layers.
        let mut dy: Vec<Rows<f64>> = traces.iter().map(|trace| vec![vec![0.0; trace.outputs[0].len()]; rows]).collect();
        for (output, targets) in self.outputs.iter().zip(&batch.targets) {
            for (i, dy) in dy[output.layer].iter_mut().enumerate() {
                let scale = f64::from(output.weight) * batch.weights[i] / rows as f64;
                let mut x: Vec<Dual> = traces[output.layer].outputs[i].iter().map(|&x| Dual::constant(x)).collect();
                for (j, dy) in dy.iter_mut().enumerate() {
                    x[j].derivative = 1.0;
                    *dy += scale * loss_of_row(output.loss, &x, &targets[i]).derivative;
                    x[j].derivative = 0.0;
                }
            }
        }
        for (l, (layer, gradient)) in self.layers.iter().zip(&mut gradient.layers).enumerate().rev() {
            let mut dz = core::mem::take(&mut dy[l]);
            for (i, row) in dz.iter_mut().enumerate() {
                for (j, d) in row.iter_mut().enumerate() {
                    let (z, alpha) = (Dual::constant(traces[l].normalized[i][j]), Dual::constant(layer.slope(j)));
                    *d *= layer.drop(&batch.kept[l], i, j).0;
                    if let Some(dalpha) = gradient.alpha.get_mut(j) {
                        *dalpha += *d * activate(self.activation(l), Dual { derivative: 1.0, ..alpha }, z).derivative;
                    }
                    *d *= activate(self.activation(l), alpha, Dual { derivative: 1.0, ..z }).derivative;
                }
            }
            if let Some(spec) = layer.spec.normalization {
                let x = &traces[l].sums;
                let (mean, deviation) = layer.mean_and_deviation(spec, x, Statistics::OfMinibatch);
                for j in 0..mean.len() {
                    let standardized = |i: usize| (x[i][j] - mean[j]) / deviation[j];
                    gradient.beta[j] = (0..rows).map(|i| dz[i][j]).sum();
                    gradient.gamma[j] = (0..rows).map(|i| dz[i][j] * standardized(i)).sum();
                    let share = if through_statistics { 1.0 / rows as f64 } else { 0.0 };
                    let (by_mean, by_variance) = (gradient.beta[j] * share, gradient.gamma[j] * share);
                    for (i, row) in dz.iter_mut().enumerate() {
                        row[j] = layer.gamma[j] / deviation[j] * (row[j] - by_mean - standardized(i) * by_variance);
                    }
                }
            }
            let mut pass_on = |value: Value, term: &dyn Fn(usize, usize) -> f64| {
                let Value::Layer(before) = value else { return };
                for (i, row) in dy[before].iter_mut().enumerate() {
                    row.iter_mut().enumerate().for_each(|(j, d)| *d += term(i, j));
                }
            };
            match layer.spec.operation {
                Operation::Dense { .. } => {
                    // dW = x^T dz, db = dz summed over the rows, dx = dz W^T
                    pass_on(layer.spec.input, &|i, k| layer.kernel[k].iter().zip(&dz[i]).map(|(w, d)| w * d).sum());
                    for (i, d) in dz.iter().enumerate() {
                        let x = match layer.spec.input {
                            Value::Input(input) => &batch.inputs[input][i],
                            Value::Layer(before) => &traces[before].outputs[i],
                        };
                        for (x, row) in x.iter().zip(&mut gradient.kernel) {
                            row.iter_mut().zip(d).for_each(|(g, d)| *g += x * d);
                        }
                        gradient.bias.iter_mut().zip(d).for_each(|(g, d)| *g += d);
                    }
                    let penalize = |penalty: Penalty, w: &[f64], g: &mut [f64]| {
                        for (g, w) in g.iter_mut().zip(w) {
                            let sign = if *w == 0.0 { 0.0 } else { w.signum() };
                            *g += f64::from(penalty.l1) * sign + 2.0 * f64::from(penalty.l2) * w;
                        }
                    };
                    penalize(layer.spec.bias_penalty, &layer.bias, &mut gradient.bias);
                    layer.kernel.iter().zip(&mut gradient.kernel).for_each(|(w, g)| penalize(layer.spec.kernel_penalty, w, g));
                }
                Operation::Identity => pass_on(layer.spec.input, &|i, j| dz[i][j]),
                Operation::Add(second) => {
                    pass_on(layer.spec.input, &|i, j| dz[i][j]);
                    pass_on(second, &|i, j| dz[i][j]);
                }
                Operation::Concatenate(second) => {
                    let first = match layer.spec.input {
                        Value::Input(input) => batch.inputs[input][0].len(),
                        Value::Layer(before) => traces[before].outputs[0].len(),
                    };
                    pass_on(layer.spec.input, &|i, j| dz[i][j]);
                    pass_on(second, &|i, j| dz[i][first + j]);
                }
            }
        }
        gradient
    }

    /// How close anything comes to where a derivative jumps, which is at 0 of some activations and at the target of the absolute error:
    /// the smallest distance. Exact zeros are zeros in any arithmetic, so they do not count.
    pub fn distance_to_kink(&self, batch: &Minibatch) -> f64 {
        let traces = self.forward(batch, Statistics::OfMinibatch);
        let kinked = (0..self.layers.len()).filter(|&i| has_kink(self.activation(i)));
        let sums = kinked.flat_map(|i| traces[i].normalized.iter().flatten().copied());
        let absolute = self.outputs.iter().zip(&batch.targets).filter(|(output, _)| output.loss == Loss::MeanAbsoluteError);
        let differences = absolute.flat_map(|(output, targets)| {
            traces[output.layer].outputs.iter().flatten().zip(targets.iter().flatten()).map(|(x, y)| x - y)
        });
        sums.chain(differences).filter(|&z| z != 0.0).fold(f64::INFINITY, |distance, z| distance.min(z.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(units: usize, activation: Activation, input: Value, kernel: Rows<f64>, bias: Vec<f64>) -> Layer<f64> {
        Layer {
            spec: LayerSpec::dense(units, activation).of(input),
            kernel,
            bias,
            gamma: vec![],
            beta: vec![],
            alpha: vec![],
            moving_mean: vec![],
            moving_variance: vec![],
        }
    }

    fn minibatch(x: &[f64], targets: Rows<f64>, layers: usize) -> Minibatch {
        let inputs = vec![x.iter().map(|&x| vec![x]).collect()];
        Minibatch { inputs, targets: vec![targets], weights: vec![1.0; x.len()], kept: vec![vec![]; layers] }
    }

    #[track_caller]
    fn assert_close(found: impl IntoIterator<Item = f64>, expected: impl IntoIterator<Item = f64>) {
        let (found, expected): (Vec<f64>, Vec<f64>) = (found.into_iter().collect(), expected.into_iter().collect());
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12, "{expected} expected, found {found}");
        }
    }

    /// One input, one hidden ReLU, two outputs; every number worked out by hand.
    #[test]
    fn a_network_small_enough_for_paper() {
        let network = Network {
            layers: vec![
                dense(1, Activation::Relu, Value::Input(0), vec![vec![2.0]], vec![-1.0]),
                dense(2, Activation::Softmax, Value::Layer(0), vec![vec![1.0, -1.0]], vec![0.0, 0.0]),
            ],
            outputs: vec![Output::of(1)],
        };
        // x = 1: z = 1, logits (1, -1). The probability of class 1 is 1 / (1 + e^2).
        let batch = minibatch(&[1.0], vec![vec![0.0, 1.0]], 2);
        let p = 1.0 / (1.0 + 2f64.exp());
        assert_close(network.predict(&batch)[0][0].clone(), [1.0 - p, p]);
        assert_close([network.loss(&batch)], [-p.ln()]);
        // By the logits (1 - p, p - 1); by the hidden unit their difference, 2 (1 - p).
        let q = 1.0 - p;
        assert_close(network.gradient(&batch).parameters(), [2.0 * q, 2.0 * q, q, -q, q, -q]);
        assert_eq!(network.distance_to_kink(&batch), 1.0);
        // x = 0: z = -1, nothing passes.
        let dead = network.gradient(&minibatch(&[0.0], vec![vec![0.0, 1.0]], 2));
        assert_eq!(dead.parameters().collect::<Vec<_>>(), [0.0, 0.0, 0.0, 0.0, 0.5, -0.5]);
    }

    /// Two rows 1 and 3 of one column: mean 2, variance 1, so that they become -1 and 1; every number worked out by hand.
    #[test]
    fn a_normalization_small_enough_for_paper() {
        let spec = LayerSpec::identity().batch_norm(BatchNorm { epsilon: 0.0, momentum: 0.75 });
        let mut network = Network {
            layers: vec![Layer {
                spec,
                kernel: vec![],
                bias: vec![],
                gamma: vec![2.0],
                beta: vec![0.5],
                alpha: vec![],
                moving_mean: vec![1.0],
                moving_variance: vec![4.0],
            }],
            outputs: vec![Output { layer: 0, loss: Loss::MeanSquaredError, weight: 3.0 }],
        };
        // Outputs -1.5 and 2.5, distances from the targets 0.5 and 1.5.
        let batch = minibatch(&[1.0, 3.0], vec![vec![-2.0], vec![1.0]], 1);
        assert_close([network.loss(&batch)], [3.0 * (0.25 + 2.25) / 2.0]);
        // By the outputs 3 / 2 times twice the distances: 1.5 and 4.5.
        assert_close(network.gradient(&batch).parameters(), [-1.5 + 4.5, 1.5 + 4.5]);
        // By the moving statistics (x - 1) / 2, times 2, plus 0.5.
        assert_close(network.predict(&batch)[0].concat(), [0.5, 2.5]);
        network.move_statistics(&batch);
        assert_close([network.layers[0].moving_mean[0], network.layers[0].moving_variance[0]], [1.25, 3.25]);
    }

    /// Tabulated values.
    #[test]
    fn activations_and_losses() {
        let cases = [
            (Activation::Relu, -2.0, 0.0),
            (Activation::LeakyRelu { slope: 0.25 }, -2.0, -0.5),
            (Activation::PRelu, -2.0, -6.0),
            (Activation::Elu { alpha: 0.5 }, -1.0, -0.316_060_279_414_278_84),
            (Activation::Selu, -1.0, -1.111_330_737_812_562_8),
            (Activation::Selu, 1.0, 1.050_700_987_355_480_5),
            (Activation::Gelu, 1.0, 0.841_344_746_068_542_9),
            (Activation::GeluTanh, 1.0, 0.841_191_990_608_276_6),
            (Activation::Swish, 1.0, 0.731_058_578_630_004_9),
            (Activation::Softplus, 1.0, 1.313_261_687_518_222_8),
            (Activation::Softplus, -1.0, 0.313_261_687_518_222_8),
            (Activation::Sigmoid, 1.0, 0.731_058_578_630_004_9),
            (Activation::Tanh, 1.0, 0.761_594_155_955_764_9),
            (Activation::Heaviside, 0.0, 1.0),
            (Activation::Sign, -0.5, -1.0),
        ];
        for (activation, z, y) in cases {
            assert!((activate(activation, 3.0, z) - y).abs() < 1e-12, "{activation:?}({z}): {y} expected");
        }
        let x = [1.0, -2.0];
        let ln = |x: f64| x.ln();
        let softplus = [1.313_261_687_518_222_8, 0.126_928_011_042_972_5];
        let losses = [
            (Loss::CategoricalCrossentropy { label_smoothing: 0.0 }, [1.0, 0.0], ln(1.0 + (-3f64).exp())),
            (Loss::CategoricalCrossentropy { label_smoothing: 0.5 }, [1.0, 0.0], ln(1.0 + (-3f64).exp()) + 0.25 * 3.0),
            (Loss::BinaryCrossentropy { label_smoothing: 0.0 }, [1.0, 0.0], (softplus[0] - 1.0 + softplus[1]) / 2.0),
            (Loss::BinaryCrossentropy { label_smoothing: 0.5 }, [1.0, 0.0], (softplus[0] - 0.75 + softplus[1] + 0.5) / 2.0),
            (Loss::MeanSquaredError, [2.0, 0.0], 2.5),
            (Loss::MeanAbsoluteError, [2.0, 0.0], 1.5),
            (Loss::Huber { delta: 1.0 }, [1.5, 0.0], (0.125 + 1.5) / 2.0),
        ];
        for (loss, y, expected) in losses {
            let found = loss_of_row(loss, &x, &y);
            assert!((found - expected).abs() < 1e-12, "{loss:?}: {expected} expected, found {found}");
        }
    }
}
