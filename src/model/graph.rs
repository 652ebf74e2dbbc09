//! [`Graph`]: layers applied to values, and what they become in a plan.

use super::error::ModelError;
use super::initializers::{Fans, Initializer};
use super::layers::{AlphaDropout, Dropout, Kind, Layer, LeakyRelu};
use super::metrics::NamedMetric;
use super::summary::{Row, Summary};
use crate::error::PlanError;
use crate::plan::{
    self, Activation, BatchNorm, LayerSpec, Loss, Network, Operation, Output, Penalty, Region, Value, arrange, misplaced,
};

/// What a layer is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An input of the network, by number.
    Input(usize),
    /// The output of a node, by number.
    Node(usize),
}

/// An input of a network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InputNode {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

/// A layer, applied to the outputs of earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) layer: Layer,
    pub(super) inputs: Vec<Source>,
}

/// A network as the user has described it.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) inputs: Vec<InputNode>,
    pub(super) nodes: Vec<Node>,
    pub(super) outputs: Vec<Source>,
}

/// What an output is compared with its targets by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OutputLoss {
    pub(super) loss: Loss,
    pub(super) weight: f32,
}

/// A tensor of parameters with the name of its layer.
#[derive(Clone, Debug)]
pub(super) struct NamedTensor {
    /// `dense_1/kernel`
    pub(super) name: String,
    pub(super) layer: String,
    pub(super) region: Region,
    pub(super) trainable: bool,
    /// Whether its layer was made not trainable.
    frozen: bool,
    initializer: Initializer,
    fans: Fans,
    /// Each tensor has a stream of its own, so that no two ever share their numbers.
    stream: u64,
}

impl NamedTensor {
    /// The number of its elements, without padding.
    pub(super) fn elements(&self) -> usize {
        self.region.rows * self.region.columns
    }

    /// Replaces it in the buffer of parameters, or in one of the same layout, by values without padding.
    pub(super) fn set(&self, buffer: &mut [f32], values: &[f32]) {
        let mut matrix = self.region.of_mut(buffer);
        for (i, row) in values.chunks(self.region.columns).enumerate() {
            matrix.row_mut(i).copy_from_slice(row);
        }
    }

    /// Fills the tensor with what its initializer gives.
    pub(super) fn initialize(&self, parameters: &mut [f32], seed: u64) -> Result<(), ModelError> {
        let filled = self.initializer.fill(self.region.of_mut(parameters), self.fans, seed, self.stream);
        filled.map_err(|source| ModelError::Initializer { layer: self.layer.clone(), source })
    }
}

/// A network as a plan takes it.
#[derive(Clone, Debug)]
pub(super) struct Lowered {
    pub(super) inputs: Vec<plan::Input>,
    pub(super) layers: Vec<plan::Layer>,
    pub(super) outputs: Vec<Output>,
    pub(super) tensors: Vec<NamedTensor>,
    /// For each layer of the plan the name of the layer that it begins with.
    pub(super) layer_names: Vec<String>,
    pub(super) input_names: Vec<String>,
    /// For each output the name of the layer that it comes from.
    pub(super) output_names: Vec<String>,
    /// For each output what is measured beside the loss; nothing until somebody asks.
    pub(super) metrics: Vec<Vec<NamedMetric>>,
}

impl Lowered {
    /// The tensors that would change if their layers were trainable.
    pub(super) fn frozen(&self) -> impl Iterator<Item = &NamedTensor> {
        self.tensors.iter().filter(|tensor| tensor.frozen)
    }

    /// The network, which has been checked when it was lowered.
    pub(super) fn network(&self) -> Network<'_> {
        match Network::new(&self.inputs, &self.layers, &self.outputs) {
            Ok(network) => network,
            Err(error) => unreachable!("{error}"),
        }
    }
}

/// A layer of a plan on its way: which nodes it does the work of.
#[derive(Clone, Copy, Debug)]
struct Merged {
    spec: LayerSpec,
    /// The node of the operation, of the normalization and of a PReLU.
    operation: usize,
    normalization: usize,
    activation: usize,
}

impl Graph {
    /// The names of the nodes: their own, or made as Keras makes them, the class in snake case, numbered from the second of a class on.
    pub(super) fn names(&self) -> Vec<String> {
        let made = |i: usize, node: &Node| {
            let base = node.layer.base_name();
            let unnamed = |earlier: &&Node| earlier.layer.name.is_none() && earlier.layer.base_name() == base;
            match self.nodes[..i].iter().filter(unnamed).count() {
                0 => base.into(),
                count => format!("{base}_{count}"),
            }
        };
        let name = |(i, node): (usize, &Node)| node.layer.name.clone().unwrap_or_else(|| made(i, node));
        self.nodes.iter().enumerate().map(name).collect()
    }

    /// The names of the layers that the outputs come from.
    pub(super) fn output_names(&self) -> Vec<String> {
        let names = self.names();
        let name = |source: &Source| match *source {
            Source::Input(i) => self.inputs.get(i).map(|input| input.name.clone()),
            Source::Node(i) => names.get(i).cloned(),
        };
        self.outputs.iter().map(|source| name(source).unwrap_or_default()).collect()
    }

    /// The shapes of the outputs of all nodes, without the rows.
    fn shapes(&self) -> Result<Vec<Vec<usize>>, ModelError> {
        let names = self.names();
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) || self.inputs.iter().any(|input| input.name == *name) {
                return Err(ModelError::DuplicateName { name: name.clone() });
            }
        }
        let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(self.nodes.len());
        for (node, name) in self.nodes.iter().zip(names) {
            let mut taken = Vec::with_capacity(node.inputs.len());
            for &source in &node.inputs {
                let shape = match source {
                    Source::Input(i) => self.inputs.get(i).map(|input| &input.shape),
                    Source::Node(i) => shapes.get(i),
                };
                taken.push(shape.ok_or_else(|| ModelError::UnknownNode { layer: name.clone() })?.clone());
            }
            let several = matches!(node.layer.kind, Kind::Concatenate | Kind::Add);
            let fits = if several { taken.len() >= 2 } else { taken.len() == 1 };
            if !fits {
                let expected = if several { "at least 2" } else { "1" };
                return Err(ModelError::InputCount { layer: name, expected, found: taken.len() });
            }
            let rank_one = |shape: &Vec<usize>| shape.len() == 1;
            let flat = matches!(node.layer.kind, Kind::Flatten) || taken.iter().all(rank_one);
            if !flat {
                let found = taken.into_iter().find(|shape| !rank_one(shape)).unwrap_or_default();
                return Err(ModelError::NotFlat { layer: name, found });
            }
            shapes.push(match &node.layer.kind {
                Kind::Flatten => vec![product(&taken[0])?],
                Kind::Dense(dense) => vec![dense.units],
                Kind::Concatenate => vec![taken.iter().fold(0, |sum: usize, shape| sum.saturating_add(shape[0]))],
                Kind::Add => {
                    if let Some(found) = taken.iter().find(|shape| **shape != taken[0]) {
                        return Err(ModelError::ShapeMismatch { layer: name, expected: taken[0].clone(), found: found.clone() });
                    }
                    taken.swap_remove(0)
                }
                _ => taken.swap_remove(0),
            });
        }
        Ok(shapes)
    }

    /// The table of layers, output shapes and parameter counts.
    pub(super) fn summary(&self) -> Result<Summary, ModelError> {
        let shapes = self.shapes()?;
        let losses: Vec<_> = self.outputs.iter().map(|_| OutputLoss { loss: Loss::MeanSquaredError, weight: 1.0 }).collect();
        let tensors = self.lower_layers(&losses)?.tensors;
        let row = |((node, name), shape): ((&Node, String), Vec<usize>)| {
            let count = |trainable| {
                let own = tensors.iter().filter(|tensor| tensor.layer == name && tensor.trainable == trainable);
                own.map(NamedTensor::elements).sum()
            };
            let (trainable, rest) = (count(true), count(false));
            Row { class: node.layer.class_name(), output_shape: shape, trainable, non_trainable: rest, name }
        };
        Ok(Summary::new(self.name.clone(), self.nodes.iter().zip(self.names()).zip(shapes).map(row).collect()))
    }

    /// The network as a plan takes it: every node that can is merged into the layer before it.
    pub(super) fn lower(&self, losses: &[OutputLoss]) -> Result<Lowered, ModelError> {
        let lowered = self.lower_layers(losses)?;
        let names = &lowered.layer_names;
        match Network::new(&lowered.inputs, &lowered.layers, &lowered.outputs) {
            Ok(_) => Ok(lowered),
            Err(PlanError::Unused { found: Value::Input(i) }) => Err(ModelError::Unused { name: self.inputs[i].name.clone() }),
            Err(PlanError::Unused { found: Value::Layer(i) }) => Err(ModelError::Unused { name: names[i].clone() }),
            Err(source) => Err(plan_error(source, names, &lowered.outputs, |layer| lowered.layers[layer].spec.activation)),
        }
    }

    /// The layers of the plan, before anybody has asked whether they make a network.
    fn lower_layers(&self, losses: &[OutputLoss]) -> Result<Lowered, ModelError> {
        self.shapes()?;
        let names = self.names();
        let mut layers: Vec<Merged> = Vec::new();
        // Which value of the plan each node has become.
        let mut values: Vec<Value> = Vec::with_capacity(self.nodes.len());
        for (i, node) in self.nodes.iter().enumerate() {
            let value_of = |source: &Source| match *source {
                Source::Input(input) => Value::Input(input),
                Source::Node(node) => values[node],
            };
            let out_of_range = |setting: &'static str, expected: &'static str, found: f64| ModelError::LayerSetting {
                layer: names[i].clone(),
                setting,
                expected,
                found,
            };
            let input = value_of(&node.inputs[0]);
            let spec = LayerSpec::identity().of(input);
            let merged = |layers: &mut Vec<Merged>, change: &dyn Fn(&mut Merged) -> bool| {
                if let Value::Layer(last) = input
                    && self.is_taken_only_by(node.inputs[0], i)
                    && let Some(layer) = layers.get_mut(last)
                    && change(layer)
                {
                    return input;
                }
                let mut layer = Merged { spec, operation: i, normalization: i, activation: i };
                change(&mut layer);
                layers.push(layer);
                Value::Layer(layers.len() - 1)
            };
            // Takes a change of a layer if the plan can do all of it as one.
            let fits = |layer: &mut Merged, free: bool, spec: LayerSpec| {
                let fits = free && misplaced(&spec).is_none();
                if fits {
                    layer.spec = spec;
                }
                fits
            };
            let activation = |layer: &mut Merged, activation: Activation| {
                let free = layer.spec.activation == Activation::Linear && layer.spec.dropout.is_none();
                let fits = fits(layer, free, LayerSpec { activation, ..layer.spec });
                if fits {
                    layer.activation = i;
                }
                fits
            };
            let dropout =
                |layer: &mut Merged, dropout: plan::Dropout| fits(layer, layer.spec.dropout.is_none(), layer.spec.dropout(dropout));
            let value = match &node.layer.kind {
                Kind::Flatten => input,
                Kind::Dense(dense) => {
                    let operation = Operation::Dense { units: dense.units, use_bias: dense.use_bias };
                    let regularizers =
                        [("kernel_regularizer", dense.kernel_regularizer), ("bias_regularizer", dense.bias_regularizer)];
                    for (setting, regularizer) in regularizers {
                        if let Some(factor) = regularizer.invalid_factor() {
                            return Err(out_of_range(setting, "finite factors not below 0", f64::from(factor)));
                        }
                    }
                    // What does not change is not penalized, as in Keras.
                    let [kernel_penalty, bias_penalty] = match node.layer.trainable {
                        true => regularizers.map(|(_, regularizer)| regularizer.penalty()),
                        false => [Penalty::NONE; 2],
                    };
                    let spec = LayerSpec { operation, activation: dense.activation, kernel_penalty, bias_penalty, ..spec };
                    layers.push(Merged { spec, operation: i, normalization: i, activation: i });
                    Value::Layer(layers.len() - 1)
                }
                Kind::Activation(function) => merged(&mut layers, &|layer| activation(layer, *function)),
                Kind::LeakyRelu(LeakyRelu { negative_slope: slope }) if !(slope.is_finite() && *slope >= 0.0) => {
                    return Err(out_of_range("negative_slope", "a finite number not below 0", f64::from(*slope)));
                }
                Kind::LeakyRelu(leaky) => {
                    let function = Activation::LeakyRelu { slope: leaky.negative_slope };
                    merged(&mut layers, &|layer| activation(layer, function))
                }
                Kind::PRelu(_) => merged(&mut layers, &|layer| activation(layer, Activation::PRelu)),
                Kind::BatchNormalization(norm) => {
                    if !node.layer.trainable {
                        let what =
                            "a frozen batch normalization, which would use its moving statistics in training; make it trainable";
                        return Err(ModelError::Unsupported { layer: names[i].clone(), what });
                    }
                    if !(0.0..=1.0).contains(&norm.momentum) {
                        return Err(out_of_range("momentum", "a number from 0 to 1", norm.momentum));
                    }
                    if !(norm.epsilon.is_finite() && norm.epsilon >= 0.0) {
                        return Err(out_of_range("epsilon", "a finite number of at least 0", f64::from(norm.epsilon)));
                    }
                    let norm = BatchNorm { epsilon: norm.epsilon, momentum: norm.momentum };
                    merged(&mut layers, &|layer| {
                        let LayerSpec { normalization, activation, dropout, .. } = layer.spec;
                        let free = normalization.is_none() && activation == Activation::Linear && dropout.is_none();
                        let fits = fits(layer, free, layer.spec.batch_norm(norm));
                        if fits {
                            layer.normalization = i;
                        }
                        fits
                    })
                }
                Kind::Dropout(Dropout { rate }) if !(0.0..=1.0).contains(rate) => {
                    return Err(out_of_range("rate", "a number from 0 to 1", *rate));
                }
                Kind::AlphaDropout(AlphaDropout { rate }) if !(0.0..1.0).contains(rate) => {
                    return Err(out_of_range("rate", "a number of at least 0 and below 1", *rate));
                }
                Kind::Dropout(layer) => merged(&mut layers, &|merged| dropout(merged, plan::Dropout::Plain(layer.rate))),
                Kind::AlphaDropout(layer) => merged(&mut layers, &|merged| dropout(merged, plan::Dropout::Alpha(layer.rate))),
                Kind::Concatenate | Kind::Add => {
                    let mut first = input;
                    for source in &node.inputs[1..] {
                        let other = value_of(source);
                        let operation = match node.layer.kind {
                            Kind::Add => Operation::Add(other),
                            _ => Operation::Concatenate(other),
                        };
                        let spec = LayerSpec { operation, ..LayerSpec::identity() }.of(first);
                        layers.push(Merged { spec, operation: i, normalization: i, activation: i });
                        first = Value::Layer(layers.len() - 1);
                    }
                    first
                }
            };
            values.push(value);
        }
        if self.outputs.is_empty() {
            return Err(ModelError::setting("outputs", "at least 1", 0));
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (&source, loss) in self.outputs.iter().zip(losses) {
            let value = match source {
                Source::Node(i) => values.get(i),
                Source::Input(_) => None,
            };
            let Some(&Value::Layer(layer)) = value else {
                if layers.is_empty() {
                    return Err(ModelError::Plan { source: PlanError::NoLayers, layer: None });
                }
                return Err(ModelError::setting("outputs", "what a layer has computed", "an input as it is"));
            };
            outputs.push(Output { layer, loss: loss.loss, weight: loss.weight });
        }
        self.arranged(&layers, outputs, &names)
    }

    fn arranged(&self, merged: &[Merged], outputs: Vec<Output>, names: &[String]) -> Result<Lowered, ModelError> {
        let layer_names: Vec<String> = merged.iter().map(|layer| names[layer.operation].clone()).collect();
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            inputs.push(plan::Input::new(product(&input.shape)?));
        }
        let specs: Vec<LayerSpec> = merged.iter().map(|layer| layer.spec).collect();
        let mut layers = vec![plan::Layer::EMPTY; specs.len()];
        arrange(&mut inputs, &specs, &outputs, &mut layers)
            .map_err(|source| plan_error(source, &layer_names, &outputs, |layer| specs[layer].activation))?;
        let input_names = self.inputs.iter().map(|input| input.name.clone()).collect();
        let mut tensors = Vec::new();
        let mut products = 0;
        for (i, (layer, merged)) in layers.iter().zip(merged).enumerate() {
            let fans = Fans { fan_in: layer.in_dim, fan_out: layer.out_dim };
            for (number, tensor) in layer.tensors().into_iter().enumerate().filter(|(_, tensor)| !tensor.region.is_empty()) {
                let node = match number {
                    0 | 1 => merged.operation,
                    2..=5 => merged.normalization,
                    _ => merged.activation,
                };
                let initializer = match (&self.nodes[node].layer.kind, tensor.name) {
                    (Kind::Dense(dense), "kernel") => dense.kernel_initializer,
                    (Kind::Dense(dense), "bias") => dense.bias_initializer,
                    (Kind::Dense(_), _) => Initializer::Zeros,
                    (Kind::PRelu(prelu), _) => prelu.alpha_initializer,
                    (_, "gamma" | "moving_variance") => Initializer::Ones,
                    _ => Initializer::Zeros,
                };
                let layer = names[node].clone();
                let stream = match number as u64 {
                    number @ (0 | 1) => 2 * products + number,
                    number => number << 32 | i as u64,
                };
                let (region, trainable) = (tensor.region, tensor.trainable && self.nodes[node].layer.trainable);
                tensors.push(NamedTensor {
                    name: format!("{layer}/{}", tensor.name),
                    layer,
                    region,
                    trainable,
                    frozen: tensor.trainable && !trainable,
                    initializer,
                    fans,
                    stream,
                });
            }
            products += u64::from(layer.is_product());
        }
        Ok(Lowered {
            inputs,
            layers,
            outputs,
            tensors,
            layer_names,
            input_names,
            output_names: self.output_names(),
            metrics: Vec::new(),
        })
    }

    /// Whether nothing but node `i` takes a value, and the value is no output of the network.
    fn is_taken_only_by(&self, source: Source, i: usize) -> bool {
        let source = self.behind_flatten(source);
        let takes = |node: &Node| node.inputs.iter().filter(|&&input| self.behind_flatten(input) == source).count();
        let others: usize =
            self.nodes.iter().enumerate().filter(|(j, node)| *j != i && !is_flatten(node)).map(|(_, node)| takes(node)).sum();
        others == 0 && !self.outputs.iter().any(|&output| self.behind_flatten(output) == source)
    }

    /// What a value really is: flattening changes nothing.
    fn behind_flatten(&self, source: Source) -> Source {
        match source {
            Source::Node(i) if self.nodes.get(i).is_some_and(is_flatten) => self.behind_flatten(self.nodes[i].inputs[0]),
            _ => source,
        }
    }
}

/// The error with the name of the layer that is at fault.
fn plan_error(source: PlanError, names: &[String], outputs: &[Output], activation: impl Fn(usize) -> Activation) -> ModelError {
    if let PlanError::LossOfActivation { layer } = source
        && let (Some(output), Some(name)) = (outputs.iter().find(|output| output.layer == layer), names.get(layer))
    {
        return ModelError::LossOfActivation { output: name.clone(), activation: activation(layer), loss: output.loss };
    }
    let layer = source.layer().and_then(|layer| names.get(layer).cloned());
    ModelError::Plan { source, layer }
}

fn is_flatten(node: &Node) -> bool {
    matches!(node.layer.kind, Kind::Flatten)
}

/// The number of elements of a shape.
fn product(shape: &[usize]) -> Result<usize, ModelError> {
    let product = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    product.ok_or_else(|| ModelError::setting("input_shape", "a size that fits into memory", format!("{shape:?}")))
}
