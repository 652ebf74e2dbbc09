//! From a network to its description in Keras' terms, and back.

use super::error::ModelError;
use super::functional::Functional;
use super::graph::{Graph, InputNode, Node, Source};
use super::initializers::Initializer;
use super::layers::{
    Activation, Add, AlphaDropout, BatchNormalization, Concatenate, Dense, Dropout, Flatten, Kind, Layer, LeakyRelu, PRelu,
    Regularizer,
};
use crate::io::architecture::{self as keras, Architecture, Call, LayerKind};
use serde_json::{Value, json};

/// A layer has its weights for itself here.
const SHARED: &str = "a layer that is called more than once; give each call a layer of its own with a copy of the weights";

impl Functional {
    /// The network that a Keras configuration describes, sequential ones included. Initializers are not part of such a description.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for what cannot be trained or computed here: layers that are called more than once, batch
    /// normalization of another dimension than the columns or without gamma or beta, shared slopes, penalties of anything but
    /// kernels and biases. A frozen batch normalization is refused when the network is compiled.
    pub fn from_architecture(architecture: &Architecture) -> Result<Self, ModelError> {
        Graph::from_architecture(architecture).map(Self::from_graph)
    }
}

impl Graph {
    pub(super) fn from_architecture(architecture: &Architecture) -> Result<Self, ModelError> {
        let mut graph = Self { name: architecture.name.clone(), ..Self::default() };
        let mut sources: Vec<Option<Source>> = vec![None; architecture.layers.len()];
        for (number, input) in architecture.inputs.iter().enumerate() {
            let layer = &architecture.layers[input.layer];
            let LayerKind::Input { shape } = &layer.kind else { continue };
            graph.inputs.push(InputNode { name: layer.name.clone(), shape: shape.clone() });
            sources[input.layer] = Some(Source::Input(number));
        }
        for number in order(architecture) {
            let layer = &architecture.layers[number];
            let unsupported = |what: &'static str| ModelError::Unsupported { layer: layer.name.clone(), what };
            if sources[number].is_some() {
                continue;
            }
            let [inputs] = layer.calls.as_slice() else { return Err(unsupported(SHARED)) };
            let inputs = inputs.iter().map(|call| sources[call.layer].ok_or_else(|| unsupported("a value from nowhere")));
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let source = match (&layer.kind, inputs.as_slice()) {
                // Joining one value alone is the value.
                (LayerKind::Concatenate { .. } | LayerKind::Add, [only]) => *only,
                _ => {
                    let converted = from_kind(&layer.kind).map_err(unsupported)?;
                    graph.nodes.push(Node { layer: converted.name(&layer.name).trainable(layer.trainable), inputs });
                    Source::Node(graph.nodes.len() - 1)
                }
            };
            sources[number] = Some(source);
        }
        for output in &architecture.outputs {
            let layer = architecture.layers[output.layer].name.clone();
            graph.outputs.push(sources[output.layer].ok_or(ModelError::UnknownNode { layer })?);
        }
        Ok(graph)
    }

    /// The configuration as Keras writes it.
    pub(super) fn to_json(&self) -> String {
        let names = self.names();
        let name_of = |source: &Source| match *source {
            Source::Input(i) => &self.inputs[i].name,
            Source::Node(i) => &names[i],
        };
        let inputs = self.inputs.iter().map(|input| {
            let shape: Vec<Value> = std::iter::once(Value::Null).chain(input.shape.iter().map(|&n| json!(n))).collect();
            let config = json!({ "name": input.name, "batch_shape": shape, "dtype": "float32" });
            json!({ "class_name": "InputLayer", "name": input.name, "config": config, "inbound_nodes": [] })
        });
        let nodes = self.nodes.iter().zip(&names).map(|(node, name)| {
            let tensor = |source: &Source| {
                let config = json!({ "shape": [], "dtype": "float32", "keras_history": [name_of(source), 0, 0] });
                json!({ "class_name": "__keras_tensor__", "config": config })
            };
            let tensors: Vec<Value> = node.inputs.iter().map(tensor).collect();
            let argument = if tensors.len() == 1 { tensors[0].clone() } else { Value::Array(tensors) };
            let (class, mut config) = to_config(&node.layer.kind);
            if let Value::Object(config) = &mut config {
                config.insert("name".into(), json!(name));
                config.insert("trainable".into(), json!(node.layer.trainable));
                config.insert("dtype".into(), json!("float32"));
            }
            let inbound = json!([{ "args": [argument], "kwargs": {} }]);
            json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": inbound })
        });
        let layers: Vec<Value> = inputs.chain(nodes).collect();
        let ends = |sources: &mut dyn Iterator<Item = Source>| -> Vec<Value> {
            sources.map(|source| json!([name_of(&source), 0, 0])).collect()
        };
        let config = json!({
            "name": self.name,
            "trainable": true,
            "layers": layers,
            "input_layers": ends(&mut (0..self.inputs.len()).map(Source::Input)),
            "output_layers": ends(&mut self.outputs.iter().copied()),
        });
        json!({ "module": "keras", "class_name": "Functional", "config": config }).to_string()
    }
}

/// The layers so that each comes behind those that it takes: as they stand if that is so, since the order decides which random numbers a
/// dropout takes, else in order of execution.
fn order(architecture: &Architecture) -> Vec<usize> {
    let is_behind =
        |number: usize, call: &Call| call.layer < number || matches!(architecture.layers[call.layer].kind, LayerKind::Input { .. });
    let numbers = 0..architecture.layers.len();
    let stands =
        numbers.clone().all(|number| architecture.layers[number].calls.iter().flatten().all(|call| is_behind(number, call)));
    if stands { numbers.collect() } else { architecture.order.iter().map(|call| call.layer).collect() }
}

fn from_kind(kind: &LayerKind) -> Result<Layer, &'static str> {
    let regularizer = |r: &keras::Regularizer| Regularizer::l1_l2(r.l1 as f32, r.l2 as f32);
    let none = |r: &keras::Regularizer| *r == keras::Regularizer::default();
    Ok(match kind {
        LayerKind::Input { .. } => return Err("an input that is not among the model's"),
        LayerKind::Flatten => Flatten.into(),
        LayerKind::Dense { units, activation, use_bias, kernel_regularizer, bias_regularizer } => Dense::new(*units)
            .activation(from_activation(*activation)?)
            .use_bias(*use_bias)
            .kernel_regularizer(regularizer(kernel_regularizer))
            .bias_regularizer(regularizer(bias_regularizer))
            .into(),
        LayerKind::Activation(keras::Activation::LeakyRelu { negative_slope }) => {
            LeakyRelu { negative_slope: *negative_slope as f32 }.into()
        }
        LayerKind::Activation(activation) => from_activation(*activation)?.into(),
        LayerKind::PRelu { shared_axes, alpha_regularizer } => {
            if !shared_axes.is_empty() || !none(alpha_regularizer) {
                return Err("a PReLU with shared slopes or a penalty");
            }
            PRelu { alpha_initializer: Initializer::Zeros }.into()
        }
        LayerKind::BatchNormalization { axis, momentum, epsilon, center, scale, beta_regularizer, gamma_regularizer } => {
            if !matches!(axis, -1 | 1) || !center || !scale || !none(beta_regularizer) || !none(gamma_regularizer) {
                return Err("a batch normalization of another dimension, without gamma or beta, or with a penalty");
            }
            BatchNormalization { momentum: *momentum, epsilon: *epsilon as f32 }.into()
        }
        LayerKind::Dropout { rate, .. } => Dropout::new(*rate).into(),
        LayerKind::AlphaDropout { rate, .. } => AlphaDropout::new(*rate).into(),
        LayerKind::Concatenate { axis } => {
            if !matches!(axis, -1 | 1) {
                return Err("a concatenation along another dimension than the columns");
            }
            Concatenate.into()
        }
        LayerKind::Add => Add.into(),
    })
}

fn from_activation(activation: keras::Activation) -> Result<Activation, &'static str> {
    Ok(match activation {
        keras::Activation::Linear => Activation::Linear,
        keras::Activation::Relu => Activation::Relu,
        keras::Activation::LeakyRelu { negative_slope } => Activation::LeakyRelu { slope: negative_slope as f32 },
        keras::Activation::Elu { alpha } => Activation::Elu { alpha: alpha as f32 },
        keras::Activation::Selu => Activation::Selu,
        keras::Activation::Gelu => Activation::Gelu,
        keras::Activation::GeluTanh => Activation::GeluTanh,
        keras::Activation::Silu => Activation::Swish,
        keras::Activation::Softplus => Activation::Softplus,
        keras::Activation::Sigmoid => Activation::Sigmoid,
        keras::Activation::Tanh => Activation::Tanh,
        keras::Activation::Softmax => Activation::Softmax,
        keras::Activation::Heaviside => Activation::Heaviside,
        keras::Activation::Sign => Activation::Sign,
    })
}

/// The class of a layer and its configuration, without what all layers have.
fn to_config(kind: &Kind) -> (&'static str, Value) {
    let regularizer = |Regularizer { l1, l2 }: Regularizer| {
        if l1 == 0.0 && l2 == 0.0 { Value::Null } else { json!({ "class_name": "L1L2", "config": { "l1": l1, "l2": l2 } }) }
    };
    match kind {
        Kind::Flatten => ("Flatten", json!({})),
        Kind::Dense(dense) => (
            "Dense",
            json!({
                "units": dense.units,
                "activation": to_activation(dense.activation),
                "use_bias": dense.use_bias,
                "kernel_regularizer": regularizer(dense.kernel_regularizer),
                "bias_regularizer": regularizer(dense.bias_regularizer),
            }),
        ),
        Kind::Activation(Activation::PRelu) | Kind::PRelu(_) => ("PReLU", json!({})),
        Kind::Activation(activation) => ("Activation", json!({ "activation": to_activation(*activation) })),
        Kind::LeakyRelu(leaky) => ("LeakyReLU", json!({ "negative_slope": leaky.negative_slope })),
        Kind::BatchNormalization(norm) => (
            "BatchNormalization",
            json!({ "axis": -1, "momentum": norm.momentum, "epsilon": norm.epsilon, "center": true, "scale": true }),
        ),
        Kind::Dropout(dropout) => ("Dropout", json!({ "rate": dropout.rate })),
        Kind::AlphaDropout(dropout) => ("AlphaDropout", json!({ "rate": dropout.rate })),
        Kind::Concatenate => ("Concatenate", json!({ "axis": -1 })),
        Kind::Add => ("Add", json!({})),
    }
}

fn to_activation(activation: Activation) -> Value {
    json!(match activation {
        Activation::LeakyRelu { slope } => return json!({ "class_name": "LeakyReLU", "config": { "negative_slope": slope } }),
        Activation::Elu { alpha } => return json!({ "class_name": "ELU", "config": { "alpha": alpha } }),
        Activation::Relu => "relu",
        Activation::Selu => "selu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_tanh",
        Activation::Swish => "silu",
        Activation::Softplus => "softplus",
        Activation::Sigmoid => "sigmoid",
        Activation::Tanh => "tanh",
        Activation::Heaviside => "heaviside",
        Activation::Sign => "sign",
        Activation::Softmax => "softmax",
        // A PReLU is a layer, since it has slopes of its own.
        Activation::Linear | Activation::PRelu => "linear",
    })
}
