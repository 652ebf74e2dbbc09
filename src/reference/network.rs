//! A dense network in textbook order: no plan, no padding, no parts, one row after the other.
//!
//! For layers `l = 1..=L`: `z_l = x_{l-1} W_l + b_l`, `x_l = h_l(z_l)`. The loss is the mean over the rows of
//! `ln(sum over k of exp(x_L[k])) - x_L[label]`: the cross-entropy of the softmax of the outputs, so a network that ends in a softmax
//! is one that is [`Activation::Linear`] at its end here.
//!
//! The network computes with any [`Number`]. With [`Dual`] the loss brings its derivative in one direction of the space of
//! parameters; [`Network::gradient`] is back-propagation in `f64`, for all of them at once.

use super::dual::{Dual, Number};
use std::vec;
use std::vec::Vec;

/// What follows a weighted sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `h(z) = z`
    Linear,
    /// `h(z) = z` unless `z <= 0`, else 0; its derivative at 0 is 0.
    Relu,
}

/// `x W + b` and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense<T> {
    /// W, a row for each input.
    pub kernel: Vec<Vec<T>>,
    /// b.
    pub bias: Vec<T>,
    /// h.
    pub activation: Activation,
}

impl<T: Number> Dense<T> {
    fn weighted_sums(&self, x: &[T]) -> Vec<T> {
        let mut z = self.bias.clone();
        for (j, z) in z.iter_mut().enumerate() {
            for (x, row) in x.iter().zip(&self.kernel) {
                *z = *z + *x * row[j];
            }
        }
        z
    }

    fn activate(&self, z: T) -> T {
        match self.activation {
            Activation::Relu if z.value() <= 0.0 => T::constant(0.0),
            _ => z,
        }
    }

    /// The groups of parameters: the rows of W, then b.
    pub fn rows(&self) -> impl Iterator<Item = &Vec<T>> {
        self.kernel.iter().chain([&self.bias])
    }

    /// [`Dense::rows`], for writing.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut Vec<T>> {
        self.kernel.iter_mut().chain([&mut self.bias])
    }
}

/// The parameters of a network; also its gradient, or a direction in the space of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<T> {
    /// The layers in the order of computation.
    pub layers: Vec<Dense<T>>,
}

impl<T: Number> Network<T> {
    /// The outputs for one row.
    pub fn forward(&self, x: &[f64]) -> Vec<T> {
        let x = x.iter().map(|&x| T::constant(x)).collect();
        self.layers.iter().fold(x, |x: Vec<T>, layer| layer.weighted_sums(&x).into_iter().map(|z| layer.activate(z)).collect())
    }

    /// The mean cross-entropy of some rows.
    pub fn loss(&self, inputs: &[Vec<f64>], labels: &[u32]) -> T {
        let mut sum = T::constant(0.0);
        for (x, &label) in inputs.iter().zip(labels) {
            let outputs = self.forward(x);
            // Any constant may be subtracted; this one keeps the exponentials finite.
            let max = T::constant(largest(outputs.iter().map(|x| x.value())));
            let exponentials = outputs.iter().fold(T::constant(0.0), |sum, &x| sum + (x - max).exp());
            sum = sum + exponentials.ln() - (outputs[label as usize] - max);
        }
        sum / T::constant(inputs.len() as f64)
    }

    /// All parameters: for each layer the rows of W, then b.
    pub fn parameters(&self) -> impl Iterator<Item = T> {
        self.layers.iter().flat_map(Dense::rows).flatten().copied()
    }

    /// [`Network::parameters`], for writing.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.layers.iter_mut().flat_map(Dense::rows_mut).flatten()
    }
}

impl Network<f64> {
    /// The same network, about to move in a direction: derivatives are those by the distance moved.
    pub fn toward(&self, direction: &Self) -> Network<Dual> {
        let group = |values: &Vec<f64>, derivatives: &Vec<f64>| {
            values.iter().zip(derivatives).map(|(&value, &derivative)| Dual { value, derivative }).collect()
        };
        let layers = self.layers.iter().zip(&direction.layers).map(|(here, there)| Dense {
            kernel: here.kernel.iter().zip(&there.kernel).map(|(values, derivatives)| group(values, derivatives)).collect(),
            bias: group(&here.bias, &there.bias),
            activation: here.activation,
        });
        Network { layers: layers.collect() }
    }

    /// The gradient of [`Network::loss`] by back-propagation.
    pub fn gradient(&self, inputs: &[Vec<f64>], labels: &[u32]) -> Self {
        let mut gradient = self.clone();
        gradient.parameters_mut().for_each(|g| *g = 0.0);
        for (row, &label) in inputs.iter().zip(labels) {
            let (mut x, mut z) = (vec![row.clone()], Vec::new());
            for (l, layer) in self.layers.iter().enumerate() {
                z.push(layer.weighted_sums(&x[l]));
                x.push(z[l].iter().map(|&z| layer.activate(z)).collect());
            }
            // d loss / d x_L = (softmax(x_L) - truth) / rows
            let outputs = &x[self.layers.len()];
            let max = largest(outputs.iter().copied());
            let sum: f64 = outputs.iter().map(|x| (x - max).exp()).sum();
            let mut dx: Vec<f64> = outputs.iter().map(|x| (x - max).exp() / sum).collect();
            dx[label as usize] -= 1.0;
            dx.iter_mut().for_each(|dx| *dx /= inputs.len() as f64);
            for (l, (layer, gradient)) in self.layers.iter().zip(&mut gradient.layers).enumerate().rev() {
                // dz = h'(z) dx, dW = x^T dz, db = dz, and dx = dz W^T for the layer before.
                let dead = |z: f64| layer.activation == Activation::Relu && z <= 0.0;
                let dz: Vec<f64> = dx.iter().zip(&z[l]).map(|(&dx, &z)| if dead(z) { 0.0 } else { dx }).collect();
                for (x, row) in x[l].iter().zip(&mut gradient.kernel) {
                    row.iter_mut().zip(&dz).for_each(|(g, dz)| *g += x * dz);
                }
                gradient.bias.iter_mut().zip(&dz).for_each(|(g, dz)| *g += dz);
                dx = layer.kernel.iter().map(|row| row.iter().zip(&dz).map(|(w, dz)| w * dz).sum()).collect();
            }
        }
        gradient
    }

    /// How close any weighted sum in front of a ReLU comes to 0, where its derivative jumps: the smallest magnitude.
    pub fn distance_to_kink(&self, inputs: &[Vec<f64>]) -> f64 {
        let mut distance = f64::INFINITY;
        for row in inputs {
            let mut x = row.clone();
            for layer in &self.layers {
                let z = layer.weighted_sums(&x);
                if layer.activation == Activation::Relu {
                    distance = z.iter().fold(distance, |distance, z| distance.min(z.abs()));
                }
                x = z.into_iter().map(|z| layer.activate(z)).collect();
            }
        }
        distance
    }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One input, one hidden ReLU, two outputs; every number worked out by hand.
    #[test]
    fn a_network_small_enough_for_paper() {
        let network = Network {
            layers: vec![
                Dense { kernel: vec![vec![2.0]], bias: vec![-1.0], activation: Activation::Relu },
                Dense { kernel: vec![vec![1.0, -1.0]], bias: vec![0.0, 0.0], activation: Activation::Linear },
            ],
        };
        // x = 1: z = 1, logits (1, -1). The probability of class 1 is 1 / (1 + e^2).
        let (inputs, labels) = (vec![vec![1.0]], [1]);
        assert_eq!(network.forward(&inputs[0]), [1.0, -1.0]);
        let p = 1.0 / (1.0 + 2f64.exp());
        assert!((network.loss(&inputs, &labels) + p.ln()).abs() < 1e-15);
        // By the logits (1 - p, p - 1); by the hidden unit their difference, 2 (1 - p).
        let gradient: Vec<f64> = network.gradient(&inputs, &labels).parameters().collect();
        let q = 1.0 - p;
        for (found, expected) in gradient.iter().zip([2.0 * q, 2.0 * q, q, -q, q, -q]) {
            assert!((found - expected).abs() < 1e-15, "{expected} expected, found {found}");
        }
        assert_eq!(network.distance_to_kink(&inputs), 1.0);
        // x = 0: z = -1, nothing passes.
        let dead = network.gradient(&[vec![0.0]], &labels);
        assert_eq!(dead.parameters().collect::<Vec<_>>(), [0.0, 0.0, 0.0, 0.0, 0.5, -0.5]);
    }
}
