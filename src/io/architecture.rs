//! [`Architecture`]: the network that a Keras 3 configuration describes.
//!
//! The configuration is JSON: `config.json` of a `.keras` file, `model.to_json()`, or the metadata `config` of a file that
//! `scripts/export_keras.py` has made. Sequential and functional models are read into the same description: a list of layers, and for each
//! call of a layer the calls whose outputs it takes.
//!
//! | Keras class | here |
//! |---|---|
//! | `InputLayer`, `Dense`, `Flatten`, `PReLU`, `BatchNormalization`, `Dropout`, `AlphaDropout`, `Concatenate`, `Add` | the [`LayerKind`] of that name |
//! | `Activation`, `ReLU`, `LeakyReLU`, `ELU`, `Softmax` | [`LayerKind::Activation`] |
//!
//! Left out are initializers, since the weights have values; how the model was compiled; the type of an input's elements; and `training`
//! in the arguments of a call, which Keras overrides. Everything else that would change what the network computes or how it trains is read or
//! refused: constraints, activity regularizers, quantization, shared noise shapes, models inside of models.
//!
//! # Hostile files
//!
//! A configuration has at most [`MAX_JSON`] bytes and nests at most 128 levels deep; memory is at most some 120 times its length.
//! References lead to layers that exist, and never in a circle. Nothing here panics.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use super::error::ArchitectureError;

/// The longest configuration that is read: room for some 500 layers.
pub const MAX_JSON: usize = 1 << 20;

/// A network: layers, and how they are connected.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Architecture {
    /// The name of the model.
    pub name: String,
    /// The layers, in the order of the configuration. Names are unique.
    pub layers: Vec<Layer>,
    /// The inputs of the model, in order.
    pub inputs: Vec<Call>,
    /// The outputs of the model, in order.
    pub outputs: Vec<Call>,
    /// All calls of all layers, each behind those whose outputs it takes.
    pub order: Vec<Call>,
}

/// A layer, and what it is applied to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layer {
    /// The name, which begins the names of its tensors.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Whether training changes it. A batch normalization that is not trainable is always in inference mode.
    pub trainable: bool,
    /// For each call of the layer the outputs that it takes, in order. Most layers are called once; an input is "called" once with none.
    pub calls: Vec<Vec<Call>>,
}

/// One call of one layer, and its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The number of the layer.
    pub layer: usize,
    /// The number of the call of that layer.
    pub call: usize,
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// Rows from outside.
    Input {
        /// The shape of a row.
        shape: Vec<usize>,
    },
    /// `activation(x kernel + bias)`. Tensors: `kernel`, and `bias` if it is used.
    Dense {
        /// The number of outputs.
        units: usize,
        /// What is applied to the outputs.
        activation: Activation,
        /// Whether there is a bias.
        use_bias: bool,
        /// The penalty on the kernel.
        kernel_regularizer: Regularizer,
        /// The penalty on the bias.
        bias_regularizer: Regularizer,
    },
    /// All dimensions of a row in one.
    Flatten,
    /// A function of each element, or softmax over the last dimension.
    Activation(Activation),
    /// `max(0, x) + alpha min(0, x)`. Tensor: `alpha`.
    PRelu {
        /// The dimensions, counted from 1, along which one `alpha` is shared.
        shared_axes: Vec<usize>,
        /// The penalty on `alpha`.
        alpha_regularizer: Regularizer,
    },
    /// Batch normalization. Tensors: `gamma` if `scale`, `beta` if `center`, `moving_mean`, `moving_variance`.
    BatchNormalization {
        /// The dimension that keeps its own statistics; -1 is the last.
        axis: i64,
        /// The share of the old moving statistics.
        momentum: f64,
        /// What is added to the variance.
        epsilon: f64,
        /// Whether `beta` is added.
        center: bool,
        /// Whether `gamma` multiplies.
        scale: bool,
        /// The penalty on `beta`.
        beta_regularizer: Regularizer,
        /// The penalty on `gamma`.
        gamma_regularizer: Regularizer,
    },
    /// Inverted dropout.
    Dropout {
        /// The share that is dropped.
        rate: f64,
        /// The seed, if one was given.
        seed: Option<i64>,
    },
    /// Dropout that keeps mean and variance behind SELU.
    AlphaDropout {
        /// The share that is dropped.
        rate: f64,
        /// The seed, if one was given.
        seed: Option<i64>,
    },
    /// The inputs side by side.
    Concatenate {
        /// The dimension that grows; -1 is the last.
        axis: i64,
    },
    /// The sum of the inputs.
    Add,
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`.
    Linear,
    /// `max(0, x)`.
    Relu,
    /// `x` where it is positive, else `negative_slope x`.
    LeakyRelu {
        /// 0.2 for the function, 0.3 for the layer.
        negative_slope: f64,
    },
    /// `x` where it is positive, else `alpha (exp(x) - 1)`.
    Elu {
        /// 1 by default.
        alpha: f64,
    },
    /// ELU scaled so that mean and variance tend to 0 and 1.
    Selu,
    /// `x Phi(x)` with the error function, not its approximation by tanh.
    Gelu,
    /// `x sigmoid(x)`, also called swish.
    Silu,
    /// `ln(1 + exp(x))`.
    Softplus,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x_i) / sum_j exp(x_j)` over the last dimension.
    Softmax,
}

/// The penalty `l1 sum |w| + l2 sum w^2`; both factors are 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Regularizer {
    /// The factor of the sum of absolute values.
    pub l1: f64,
    /// The factor of the sum of squares.
    pub l2: f64,
}

impl LayerKind {
    /// The names of the layer's tensors, in the order in which Keras saves them.
    pub fn variables(&self) -> Vec<&'static str> {
        let some = |names: &[(&'static str, bool)]| names.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        match self {
            Self::Dense { use_bias, .. } => some(&[("kernel", true), ("bias", *use_bias)]),
            Self::PRelu { .. } => some(&[("alpha", true)]),
            Self::BatchNormalization { center, scale, .. } => {
                some(&[("gamma", *scale), ("beta", *center), ("moving_mean", true), ("moving_variance", true)])
            }
            _ => Vec::new(),
        }
    }

    /// How many inputs a call takes: from, to.
    fn arity(&self) -> (usize, usize) {
        match self {
            Self::Input { .. } => (0, 0),
            Self::Concatenate { .. } | Self::Add => (1, usize::MAX),
            _ => (1, 1),
        }
    }
}

impl Architecture {
    /// Reads a configuration.
    ///
    /// # Errors
    /// If it is too long, not JSON, not that of a sequential or functional Keras 3 model, or has something in it that is not
    /// [supported](self).
    pub fn from_json(json: &str) -> Result<Self, ArchitectureError> {
        if json.len() > MAX_JSON {
            return Err(ArchitectureError::TooLarge { limit: MAX_JSON, found: json.len() });
        }
        let model: Value = serde_json::from_str(json).map_err(|error| ArchitectureError::Json { reason: error.to_string() })?;
        let model = Fields::of_object(&model)?;
        let config = model.object("config")?;
        let mut architecture = match model.text("class_name")? {
            "Sequential" => sequential(&config)?,
            "Functional" => functional(&config)?,
            found => return Err(ArchitectureError::ModelClass { found: found.to_owned() }),
        };
        architecture.check_arity()?;
        architecture.order = architecture.execution_order()?;
        Ok(architecture)
    }

    /// The number of the layer of that name.
    pub fn layer(&self, name: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.name == name)
    }

    fn check_arity(&self) -> Result<(), ArchitectureError> {
        for layer in &self.layers {
            let (least, most) = layer.kind.arity();
            if let Some(inputs) = layer.calls.iter().find(|inputs| !(least..=most).contains(&inputs.len())) {
                let name = layer.name.clone();
                return Err(ArchitectureError::InputCount { layer: name, expected: least, found: inputs.len() });
            }
        }
        Ok(())
    }

    /// Kahn's algorithm: whatever waits for nothing more comes next.
    fn execution_order(&self) -> Result<Vec<Call>, ArchitectureError> {
        let mut readers: BTreeMap<Call, Vec<Call>> = BTreeMap::new();
        let mut waits: BTreeMap<Call, usize> = BTreeMap::new();
        let mut ready = VecDeque::new();
        for (layer, calls) in self.layers.iter().map(|layer| &layer.calls).enumerate() {
            for (call, inputs) in calls.iter().enumerate() {
                let reader = Call { layer, call };
                for input in inputs {
                    readers.entry(*input).or_default().push(reader);
                }
                if inputs.is_empty() {
                    ready.push_back(reader);
                } else {
                    waits.insert(reader, inputs.len());
                }
            }
        }
        let mut order = Vec::new();
        while let Some(call) = ready.pop_front() {
            order.push(call);
            for reader in readers.remove(&call).unwrap_or_default() {
                if let Some(waiting) = waits.get_mut(&reader) {
                    *waiting -= 1;
                    if *waiting == 0 {
                        waits.remove(&reader);
                        ready.push_back(reader);
                    }
                }
            }
        }
        match waits.first_key_value() {
            None => Ok(order),
            Some((call, _)) => Err(ArchitectureError::Circle { layer: self.layers[call.layer].name.clone() }),
        }
    }
}

/// A chain: each layer takes what the one before gives.
fn sequential(config: &Fields<'_>) -> Result<Architecture, ArchitectureError> {
    let mut layers = Vec::new();
    for (number, value) in config.list("layers")?.iter().enumerate() {
        let (name, kind, trainable) = layer(&Fields::of_layer(value)?)?;
        let is_input = matches!(kind, LayerKind::Input { .. });
        if is_input != (number == 0) {
            let found = if is_input { "an InputLayer" } else { "another layer" };
            let expected = if is_input { "an InputLayer at the start only" } else { "an InputLayer at the start" };
            return Err(ArchitectureError::Field { layer: name, field: "class_name", expected, found: found.to_owned() });
        }
        let calls = vec![if is_input { Vec::new() } else { vec![Call { layer: number - 1, call: 0 }] }];
        layers.push(Layer { name, kind, trainable, calls });
    }
    check_names(&layers)?;
    let Some(last) = layers.len().checked_sub(1) else { return Err(config.wrong("layers", "at least one layer")) };
    let (inputs, outputs) = (vec![Call { layer: 0, call: 0 }], vec![Call { layer: last, call: 0 }]);
    Ok(Architecture { name: config.text("name")?.to_owned(), layers, inputs, outputs, order: Vec::new() })
}

fn functional(config: &Fields<'_>) -> Result<Architecture, ArchitectureError> {
    // First the layers, then the connections, which may lead to layers behind.
    let values = config.list("layers")?.iter().map(Fields::of_layer).collect::<Result<Vec<_>, _>>()?;
    let mut layers = Vec::new();
    for fields in &values {
        let (name, kind, trainable) = layer(fields)?;
        layers.push(Layer { name, kind, trainable, calls: Vec::new() });
    }
    let numbers = check_names(&layers)?;
    for (layer, fields) in layers.iter_mut().zip(&values) {
        for node in fields.list("inbound_nodes")? {
            layer.calls.push(inputs_of_call(fields, node, &numbers)?);
        }
        if matches!(layer.kind, LayerKind::Input { .. }) && layer.calls.is_empty() {
            layer.calls.push(Vec::new());
        }
    }
    let ends = |field| match config.list(field)? {
        // A single one may stand without a list around it.
        [Value::String(_), ..] => Ok(vec![call(config, config.get(field), &numbers)?]),
        several => several.iter().map(|end| call(config, end, &numbers)).collect::<Result<Vec<_>, _>>(),
    };
    let (inputs, outputs) = (ends("input_layers")?, ends("output_layers")?);
    let architecture = Architecture { name: config.text("name")?.to_owned(), layers, inputs, outputs, order: Vec::new() };
    let referred = architecture.layers.iter().flat_map(|layer| layer.calls.iter().flatten());
    for call in referred.chain(&architecture.inputs).chain(&architecture.outputs) {
        let layer = &architecture.layers[call.layer];
        if call.call >= layer.calls.len() {
            let found = format!("call {} of `{}`, which has {}", call.call, layer.name, layer.calls.len());
            return Err(config.wrong_value("inbound_nodes", "a call that there is", found));
        }
    }
    let is_input = |layer: &Layer| matches!(layer.kind, LayerKind::Input { .. });
    let expected: Vec<usize> = (0..architecture.layers.len()).filter(|number| is_input(&architecture.layers[*number])).collect();
    let mut found: Vec<usize> = architecture.inputs.iter().map(|input| input.layer).collect();
    found.sort_unstable();
    if found != expected {
        return Err(config.wrong("input_layers", "every InputLayer once"));
    }
    Ok(architecture)
}

fn check_names(layers: &[Layer]) -> Result<BTreeMap<String, usize>, ArchitectureError> {
    let mut numbers = BTreeMap::new();
    for (number, layer) in layers.iter().enumerate() {
        if numbers.insert(layer.name.clone(), number).is_some() {
            return Err(ArchitectureError::Duplicate { name: layer.name.clone() });
        }
    }
    Ok(numbers)
}

/// `{"args": [tensor or list of tensors], "kwargs": {...}}`.
fn inputs_of_call(fields: &Fields<'_>, node: &Value, numbers: &BTreeMap<String, usize>) -> Result<Vec<Call>, ArchitectureError> {
    const FIELD: &str = "inbound_nodes";
    let wrong = || fields.wrong(FIELD, "`args` and `kwargs` of Keras 3");
    let (args, kwargs) = (node.get("args").and_then(Value::as_array), node.get("kwargs").and_then(Value::as_object));
    let (Some(args), Some(kwargs)) = (args, kwargs) else { return Err(wrong()) };
    let mut tensors = Vec::new();
    args.iter().for_each(|argument| collect_tensors(argument, &mut tensors));
    for (key, argument) in kwargs {
        let before = tensors.len();
        collect_tensors(argument, &mut tensors);
        if tensors.len() > before && key != "inputs" {
            return Err(fields.wrong_value(FIELD, "tensors as `inputs` only", format!("a tensor as `{key}`")));
        }
    }
    let history = |tensor: &&Value| tensor.get("config").and_then(|config| config.get("keras_history")).cloned();
    tensors.iter().map(|tensor| call(fields, &history(tensor).ok_or_else(wrong)?, numbers)).collect()
}

fn collect_tensors<'a>(value: &'a Value, tensors: &mut Vec<&'a Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_tensors(value, tensors)),
        Value::Object(object) if object.get("class_name").is_some_and(|class| class == "__keras_tensor__") => tensors.push(value),
        _ => {}
    }
}

/// `[name of the layer, number of the call, 0]`.
fn call(fields: &Fields<'_>, history: &Value, numbers: &BTreeMap<String, usize>) -> Result<Call, ArchitectureError> {
    let wrong = |expected| fields.wrong_value("inbound_nodes", expected, excerpt(history));
    let Some([Value::String(name), call, tensor]) = history.as_array().map(Vec::as_slice) else {
        return Err(wrong("the name of a layer and two numbers"));
    };
    let layer = *numbers.get(name).ok_or_else(|| wrong("a layer that there is"))?;
    let call = call.as_u64().and_then(|call| usize::try_from(call).ok()).ok_or_else(|| wrong("the number of a call"))?;
    if tensor.as_u64() != Some(0) {
        return Err(wrong("a layer with one output"));
    }
    Ok(Call { layer, call })
}

fn layer(fields: &Fields<'_>) -> Result<(String, LayerKind, bool), ArchitectureError> {
    let config = fields.object("config")?;
    let kind = kind(fields.text("class_name")?, &config)?;
    let trainable = config.flag_or("trainable", true)?;
    Ok((config.text("name")?.to_owned(), kind, trainable))
}

fn kind(class: &str, config: &Fields<'_>) -> Result<LayerKind, ArchitectureError> {
    if class != "InputLayer" {
        check_precision(config)?;
        config.must_be_null(&["activity_regularizer", "quantization_config"])?;
    }
    Ok(match class {
        "InputLayer" => {
            let shape = config.list("batch_shape")?.get(1..).unwrap_or_default();
            let known = shape.iter().map(|d| d.as_u64().and_then(|d| usize::try_from(d).ok()).filter(|d| *d > 0));
            let shape = known.collect::<Option<Vec<usize>>>().filter(|shape| !shape.is_empty());
            LayerKind::Input { shape: shape.ok_or_else(|| config.wrong("batch_shape", "a known shape of a row"))? }
        }
        "Dense" => {
            config.must_be_null(&["kernel_constraint", "bias_constraint", "lora_rank"])?;
            LayerKind::Dense {
                units: config.positive("units")?,
                activation: activation(config)?,
                use_bias: config.flag("use_bias")?,
                kernel_regularizer: config.regularizer("kernel_regularizer")?,
                bias_regularizer: config.regularizer("bias_regularizer")?,
            }
        }
        "Flatten" => LayerKind::Flatten,
        "Activation" => LayerKind::Activation(activation(config)?),
        "ReLU" | "LeakyReLU" | "ELU" | "Softmax" => LayerKind::Activation(activation_layer(class, config)?),
        "PReLU" => {
            config.must_be_null(&["alpha_constraint"])?;
            let shared = match config.get("shared_axes") {
                Value::Null => Some(Vec::new()),
                axes => axes.as_array().and_then(|axes| axes.iter().map(|axis| axis.as_u64().map(|axis| axis as usize)).collect()),
            };
            LayerKind::PRelu {
                shared_axes: shared.ok_or_else(|| config.wrong("shared_axes", "a list of dimensions"))?,
                alpha_regularizer: config.regularizer("alpha_regularizer")?,
            }
        }
        "BatchNormalization" => {
            config.must_be_null(&["beta_constraint", "gamma_constraint"])?;
            if config.flag_or("renorm", false)? {
                return Err(config.wrong("renorm", "false"));
            }
            LayerKind::BatchNormalization {
                axis: config.integer("axis")?,
                momentum: config.number("momentum")?,
                epsilon: config.number("epsilon")?,
                center: config.flag("center")?,
                scale: config.flag("scale")?,
                beta_regularizer: config.regularizer("beta_regularizer")?,
                gamma_regularizer: config.regularizer("gamma_regularizer")?,
            }
        }
        "Dropout" | "AlphaDropout" => {
            config.must_be_null(&["noise_shape"])?;
            let rate = config.number("rate")?;
            let seed = match config.get("seed") {
                Value::Null => None,
                _ => Some(config.integer("seed")?),
            };
            if class == "Dropout" { LayerKind::Dropout { rate, seed } } else { LayerKind::AlphaDropout { rate, seed } }
        }
        "Concatenate" => LayerKind::Concatenate { axis: config.integer("axis")? },
        "Add" => LayerKind::Add,
        found => {
            let layer = config.text("name")?.to_owned();
            return Err(ArchitectureError::LayerClass { layer, found: found.to_owned() });
        }
    })
}

/// Variables must be `f32`; Keras may have computed with less.
fn check_precision(config: &Fields<'_>) -> Result<(), ArchitectureError> {
    const FIELD: &str = "dtype";
    let policy = match config.get(FIELD) {
        Value::Null => "float32",
        Value::String(name) => name,
        _ => config.object(FIELD)?.object("config")?.text("name")?,
    };
    let known = ["float32", "mixed_float16", "mixed_bfloat16"].contains(&policy);
    if known { Ok(()) } else { Err(config.wrong(FIELD, "float32, mixed_float16 or mixed_bfloat16")) }
}

/// The field `activation`: a name, or a layer that serves as a function.
fn activation(config: &Fields<'_>) -> Result<Activation, ArchitectureError> {
    const FIELD: &str = "activation";
    match config.get(FIELD) {
        Value::Null => Ok(Activation::Linear),
        Value::String(name) => activation_function(name).ok_or_else(|| config.wrong(FIELD, "a known activation")),
        _ => {
            let layer = config.object(FIELD)?;
            let class = layer.text("class_name")?;
            if !["ReLU", "LeakyReLU", "ELU", "Softmax"].contains(&class) {
                return Err(config.wrong(FIELD, "a known activation"));
            }
            activation_layer(class, &layer.object("config")?)
        }
    }
}

fn activation_function(name: &str) -> Option<Activation> {
    Some(match name {
        "linear" => Activation::Linear,
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { negative_slope: 0.2 },
        "elu" => Activation::Elu { alpha: 1.0 },
        "selu" => Activation::Selu,
        "gelu" => Activation::Gelu,
        "silu" | "swish" => Activation::Silu,
        "softplus" => Activation::Softplus,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "softmax" => Activation::Softmax,
        _ => return None,
    })
}

fn activation_layer(class: &str, config: &Fields<'_>) -> Result<Activation, ArchitectureError> {
    Ok(match class {
        "ReLU" => {
            config.must_be_null(&["max_value"])?;
            if config.number("threshold")? != 0.0 {
                return Err(config.wrong("threshold", "0"));
            }
            match config.number("negative_slope")? {
                0.0 => Activation::Relu,
                negative_slope => Activation::LeakyRelu { negative_slope },
            }
        }
        "LeakyReLU" => Activation::LeakyRelu { negative_slope: config.number("negative_slope")? },
        "ELU" => Activation::Elu { alpha: config.number("alpha")? },
        // Softmax, the only other class that comes here.
        _ => match config.integer("axis")? {
            -1 => Activation::Softmax,
            _ => return Err(config.wrong("axis", "-1")),
        },
    })
}

/// An object of the configuration, and the layer it belongs to.
struct Fields<'a> {
    layer: &'a str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of_object(value: &'a Value) -> Result<Self, ArchitectureError> {
        match value {
            Value::Object(object) => Ok(Self { layer: "", object }),
            other => Err(ArchitectureError::Json { reason: format!("{} instead of an object", excerpt(other)) }),
        }
    }

    fn of_layer(value: &'a Value) -> Result<Self, ArchitectureError> {
        let object = Self::of_object(value)?.object;
        let name = value.get("config").and_then(|config| config.get("name")).and_then(Value::as_str);
        Ok(Self { layer: name.unwrap_or_default(), object })
    }

    fn get(&self, field: &str) -> &'a Value {
        self.object.get(field).unwrap_or(&Value::Null)
    }

    fn wrong(&self, field: &'static str, expected: &'static str) -> ArchitectureError {
        self.wrong_value(field, expected, excerpt(self.get(field)))
    }

    fn wrong_value(&self, field: &'static str, expected: &'static str, found: String) -> ArchitectureError {
        ArchitectureError::Field { layer: self.layer.to_owned(), field, expected, found }
    }

    fn object(&self, field: &'static str) -> Result<Fields<'a>, ArchitectureError> {
        match self.get(field) {
            Value::Object(object) => Ok(Fields { layer: self.layer, object }),
            _ => Err(self.wrong(field, "an object")),
        }
    }

    fn list(&self, field: &'static str) -> Result<&'a [Value], ArchitectureError> {
        self.get(field).as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(field, "a list"))
    }

    fn text(&self, field: &'static str) -> Result<&'a str, ArchitectureError> {
        self.get(field).as_str().ok_or_else(|| self.wrong(field, "a string"))
    }

    fn number(&self, field: &'static str) -> Result<f64, ArchitectureError> {
        self.get(field).as_f64().ok_or_else(|| self.wrong(field, "a number"))
    }

    fn integer(&self, field: &'static str) -> Result<i64, ArchitectureError> {
        self.get(field).as_i64().ok_or_else(|| self.wrong(field, "an integer"))
    }

    fn positive(&self, field: &'static str) -> Result<usize, ArchitectureError> {
        let number = self.get(field).as_u64().and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| self.wrong(field, "a positive integer"))
    }

    fn flag(&self, field: &'static str) -> Result<bool, ArchitectureError> {
        self.get(field).as_bool().ok_or_else(|| self.wrong(field, "true or false"))
    }

    fn flag_or(&self, field: &'static str, default: bool) -> Result<bool, ArchitectureError> {
        if self.object.contains_key(field) { self.flag(field) } else { Ok(default) }
    }

    /// What is not supported and not asked for.
    fn must_be_null(&self, fields: &[&'static str]) -> Result<(), ArchitectureError> {
        match fields.iter().find(|field| !self.get(field).is_null()) {
            None => Ok(()),
            Some(field) => Err(self.wrong(field, "null")),
        }
    }

    fn regularizer(&self, field: &'static str) -> Result<Regularizer, ArchitectureError> {
        if self.get(field).is_null() {
            return Ok(Regularizer::default());
        }
        let regularizer = self.object(field)?;
        let config = regularizer.object("config")?;
        match regularizer.text("class_name")? {
            "L1" => Ok(Regularizer { l1: config.number("l1")?, l2: 0.0 }),
            "L2" => Ok(Regularizer { l1: 0.0, l2: config.number("l2")? }),
            "L1L2" => Ok(Regularizer { l1: config.number("l1")?, l2: config.number("l2")? }),
            _ => Err(self.wrong(field, "L1, L2 or L1L2")),
        }
    }
}

/// The beginning of a value, for an error.
fn excerpt(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).chain("...".chars()).collect() }
}
