//! [`Network`]: layers, what they take and what comes out, arranged so that concatenations need no copies.

use super::layer::{Input, Layer, Place};
use super::region::{Region, leading_dimension};
use super::spec::{Activation, Dropout, LayerSpec, Loss, Operation, Output, Value};
use crate::error::PlanError;
use crate::kernels::gemm::small::is_small;

/// The most inputs that a network may have.
pub const MAX_INPUTS: usize = 8;
/// The most outputs that a network may have.
pub const MAX_OUTPUTS: usize = 8;

/// Rows of statistics of each normalization: mean, variance, inverse deviation, and the gradients by gamma and beta.
pub(super) const STATISTICS: usize = 5;

/// One limit for all sizes, far below where a product of two of them could overflow.
const LIMIT: usize = isize::MAX as usize / 64;

/// The inputs, the layers and the outputs of a network.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    inputs: &'a [Input],
    layers: &'a [Layer],
    outputs: &'a [Output],
}

impl<'a> Network<'a> {
    /// The parts of a network, arranged for these outputs by [`arrange`].
    ///
    /// # Errors
    /// If there are none or too many of something, an output is no layer or named twice, a loss does not go with the activation that it
    /// follows, or a layer takes something whose activation is computed with the loss.
    pub const fn new(inputs: &'a [Input], layers: &'a [Layer], outputs: &'a [Output]) -> Result<Self, PlanError> {
        if layers.is_empty() {
            return Err(PlanError::NoLayers);
        }
        if inputs.is_empty() || inputs.len() > MAX_INPUTS {
            return Err(PlanError::Count { what: "inputs", limit: MAX_INPUTS, found: inputs.len() });
        }
        if outputs.is_empty() || outputs.len() > MAX_OUTPUTS {
            return Err(PlanError::Count { what: "outputs", limit: MAX_OUTPUTS, found: outputs.len() });
        }
        let mut o = 0;
        while o < outputs.len() {
            let Output { layer, loss, .. } = outputs[o];
            let mut earlier = 0;
            while earlier < o {
                if outputs[earlier].layer == layer {
                    return Err(PlanError::OutputTwice { layer });
                }
                earlier += 1;
            }
            if layer >= layers.len() || !layers[layer].is_output {
                return Err(PlanError::UnknownOutput { layer, layers: layers.len() });
            }
            let activation = layers[layer].spec.activation;
            let contained = loss.contains(activation);
            if matches!(activation, Activation::Softmax) && !contained {
                return Err(PlanError::LossOfActivation { layer });
            }
            if contained && layers[layer].consumers > 0 {
                return Err(PlanError::SoftmaxInside { layer });
            }
            o += 1;
        }
        let mut i = 0;
        while i < layers.len() {
            let network = Self { inputs, layers, outputs };
            if matches!(layers[i].spec.activation, Activation::Softmax) && network.output_of(i).is_none() {
                return Err(PlanError::SoftmaxInside { layer: i });
            }
            if layers[i].consumers == 0 && network.output_of(i).is_none() {
                return Err(PlanError::Unused { found: Value::Layer(i) });
            }
            i += 1;
        }
        let mut i = 0;
        while i < inputs.len() {
            if !is_taken(layers, Value::Input(i)) {
                return Err(PlanError::Unused { found: Value::Input(i) });
            }
            i += 1;
        }
        Ok(Self { inputs, layers, outputs })
    }

    /// The same parts again, which [`Self::new`] has found to fit each other. To find that out takes as long as a row through small layers.
    #[cfg(feature = "model")]
    #[inline]
    pub(crate) const fn checked_before(inputs: &'a [Input], layers: &'a [Layer], outputs: &'a [Output]) -> Self {
        Self { inputs, layers, outputs }
    }

    /// The inputs.
    pub const fn inputs(&self) -> &'a [Input] {
        self.inputs
    }

    /// The layers in the order of computation.
    pub const fn layers(&self) -> &'a [Layer] {
        self.layers
    }

    /// The outputs.
    pub const fn outputs(&self) -> &'a [Output] {
        self.outputs
    }

    /// Which output the output of a layer is.
    pub(crate) const fn output_of(&self, layer: usize) -> Option<usize> {
        let mut o = 0;
        while o < self.outputs.len() {
            if self.outputs[o].layer == layer {
                return Some(o);
            }
            o += 1;
        }
        None
    }

    /// Whether each layer takes the output of the one before, and nothing else takes part.
    pub(super) const fn is_chain(&self) -> bool {
        let mut i = 0;
        while i < self.layers.len() {
            let spec = &self.layers[i].spec;
            let follows = match spec.input {
                Value::Input(_) => i == 0,
                Value::Layer(layer) => layer + 1 == i,
            };
            if !follows || !matches!(spec.operation, Operation::Dense { .. } | Operation::Identity) {
                return false;
            }
            i += 1;
        }
        self.outputs.len() == 1 && self.outputs[0].layer + 1 == self.layers.len()
    }

    /// Whether each layer is a product with a small matrix, without a normalization and with no slopes of its own.
    pub(super) const fn has_small_products_only(&self) -> bool {
        let mut i = 0;
        while i < self.layers.len() {
            let layer = &self.layers[i];
            let is_small = layer.is_product() && is_small(layer.kernel.rows, layer.kernel.leading_dimension);
            if !is_small || layer.spec.normalization.is_some() || !layer.alpha.is_empty() {
                return false;
            }
            i += 1;
        }
        true
    }
}

/// Whether any layer takes a value.
const fn is_taken(layers: &[Layer], value: Value) -> bool {
    let mut i = 0;
    while i < layers.len() {
        let spec = &layers[i].spec;
        if is(Some(spec.input), value) || is(other_input(spec), value) {
            return true;
        }
        i += 1;
    }
    false
}

/// The number of columns of a value, if it exists before layer `before`.
const fn columns(inputs: &[Input], layers: &[Layer], before: usize, value: Value) -> Result<usize, PlanError> {
    match value {
        Value::Input(i) if i < inputs.len() => Ok(inputs[i].columns),
        Value::Layer(i) if i < before => Ok(layers[i].out_dim),
        found => Err(PlanError::UnknownValue { layer: before, found }),
    }
}

/// Finds shapes, and places for parameters and values: `layers[i]` becomes the layer that `specs[i]` asks for.
///
/// The inputs of a concatenation are computed where they belong in it, unless they already are part of another one or outputs of the network,
/// or a layer would read what another part of the same matrix is written beside.
///
/// # Errors
/// If a layer takes what does not come before it, shapes do not fit each other, there is nothing where something is needed, a parameter
/// of an activation or a rate is outside of its range, parts of a layer do not go together, or sizes are too large.
///
/// # Panics
/// If there are not as many layers as specs.
pub const fn arrange(inputs: &mut [Input], specs: &[LayerSpec], outputs: &[Output], layers: &mut [Layer]) -> Result<(), PlanError> {
    assert!(specs.len() == layers.len(), "as many layers as specs expected");
    let mut i = 0;
    while i < inputs.len() {
        // They may have been arranged for another network.
        inputs[i] = Input::new(inputs[i].columns);
        i += 1;
    }
    let mut i = 0;
    let mut offset = 0;
    while i < specs.len() {
        match shape(inputs, layers, i, specs[i], offset) {
            Ok(layer) => {
                offset = layer.end();
                layers[i] = layer;
            }
            Err(error) => return Err(error),
        }
        i += 1;
    }
    let mut o = 0;
    while o < outputs.len() {
        if outputs[o].layer < layers.len() {
            layers[outputs[o].layer].is_output = true;
        }
        o += 1;
    }
    count_consumers(layers);
    find_places(inputs, layers)
}

/// A layer with shapes and places of parameters.
const fn shape(inputs: &[Input], layers: &[Layer], i: usize, spec: LayerSpec, offset: usize) -> Result<Layer, PlanError> {
    let in_dim = match columns(inputs, layers, i, spec.input) {
        Ok(columns) => columns,
        Err(error) => return Err(error),
    };
    let out_dim = match spec.operation {
        Operation::Dense { units, .. } => units,
        Operation::Identity => in_dim,
        Operation::Concatenate(other) | Operation::Add(other) => match columns(inputs, layers, i, other) {
            Ok(columns) if matches!(spec.operation, Operation::Concatenate(_)) => in_dim.saturating_add(columns),
            Ok(columns) if columns == in_dim => in_dim,
            Ok(columns) => return Err(PlanError::Columns { layer: i, expected: in_dim, found: columns }),
            Err(error) => return Err(error),
        },
    };
    if in_dim == 0 || out_dim == 0 {
        return Err(PlanError::Empty { layer: i, in_dim, out_dim });
    }
    if let Some((name, found)) = spec.activation.invalid_parameter() {
        return Err(PlanError::Parameter { layer: i, name, found });
    }
    if let Some(dropout) = spec.dropout
        && let Some(found) = dropout.invalid_rate()
    {
        return Err(PlanError::Rate { layer: i, found });
    }
    let elements = match in_dim.checked_add(16) {
        Some(rows) => rows.checked_mul(leading_dimension(if out_dim > LIMIT { LIMIT } else { out_dim })),
        None => None,
    };
    match elements {
        Some(elements) if elements <= LIMIT && out_dim <= LIMIT && offset <= LIMIT => {}
        _ => return Err(PlanError::TooLarge { layer: i, in_dim, out_dim }),
    }
    if let Some(expected) = misplaced(&spec) {
        return Err(PlanError::Merged { layer: i, expected });
    }
    let is_product = matches!(spec.operation, Operation::Dense { .. });
    let kernel = Region::new(offset, if is_product { in_dim } else { 0 }, out_dim);
    let has_bias = matches!(spec.operation, Operation::Dense { use_bias: true, .. });
    let bias = Region::new(kernel.end(), has_bias as usize, out_dim);
    let normalized = spec.normalization.is_some() as usize;
    let gamma = Region::new(bias.end(), normalized, out_dim);
    let beta = Region::new(gamma.end(), normalized, out_dim);
    let moving_mean = Region::new(beta.end(), normalized, out_dim);
    let moving_variance = Region::new(moving_mean.end(), normalized, out_dim);
    let alpha = Region::new(moving_variance.end(), matches!(spec.activation, Activation::PRelu) as usize, out_dim);
    let own = is_product || !gamma.is_empty() || !alpha.is_empty();
    let learns = own
        || learns(layers, spec.input)
        || match spec.operation {
            Operation::Concatenate(other) | Operation::Add(other) => learns(layers, other),
            _ => false,
        };
    Ok(Layer { spec, in_dim, out_dim, kernel, bias, gamma, beta, moving_mean, moving_variance, alpha, learns, ..Layer::EMPTY })
}

/// What a layer may be whose parts do not go together; nothing if they do.
pub(crate) const fn misplaced(spec: &LayerSpec) -> Option<&'static str> {
    let (joins, is_product) = match spec.operation {
        Operation::Concatenate(_) | Operation::Add(_) => (true, false),
        Operation::Dense { .. } => (false, true),
        Operation::Identity => (false, false),
    };
    let plain = matches!(spec.activation, Activation::Linear);
    // One mask can serve the backward pass of activation and dropout.
    let dropout_fits = match (spec.dropout, spec.activation) {
        (None, _) | (_, Activation::Linear) => true,
        (Some(Dropout::Plain(_)), Activation::Relu) => is_product || spec.normalization.is_some(),
        _ => false,
    };
    if joins && (spec.normalization.is_some() || !plain || spec.dropout.is_some()) {
        Some("an operation alone")
    } else if spec.normalization.is_some() && spec.activation.keeps_sums() {
        Some("a normalization without this activation")
    } else if !dropout_fits {
        Some("an activation without dropout")
    } else {
        None
    }
}

/// Whether a gradient by this value is of use.
const fn learns(layers: &[Layer], value: Value) -> bool {
    match value {
        Value::Input(_) => false,
        Value::Layer(i) => layers[i].learns,
    }
}

/// The second value that a layer takes.
pub(crate) const fn other_input(spec: &LayerSpec) -> Option<Value> {
    match spec.operation {
        Operation::Concatenate(other) | Operation::Add(other) => Some(other),
        _ => None,
    }
}

/// Whether two values are the same.
const fn is(value: Option<Value>, other: Value) -> bool {
    match (value, other) {
        (Some(Value::Input(a)), Value::Input(b)) | (Some(Value::Layer(a)), Value::Layer(b)) => a == b,
        _ => false,
    }
}

const fn count_consumers(layers: &mut [Layer]) {
    let mut i = 0;
    while i < layers.len() {
        let (mut consumers, mut products) = (0, 0);
        let mut later = i + 1;
        while later < layers.len() {
            let spec = layers[later].spec;
            consumers += is(Some(spec.input), Value::Layer(i)) as usize + is(other_input(&spec), Value::Layer(i)) as usize;
            products += (layers[later].is_product() && is(Some(spec.input), Value::Layer(i))) as usize;
            later += 1;
        }
        layers[i].consumers = consumers;
        layers[i].feeds_one_product = consumers == 1 && products == 1 && !layers[i].is_output;
        i += 1;
    }
}

/// Gives values their places: the parts of a concatenation in its matrix where that can be, everything else in a matrix of its own.
const fn find_places(inputs: &mut [Input], layers: &mut [Layer]) -> Result<(), PlanError> {
    // From the end, so that a concatenation has its place before its parts are asked for theirs.
    let mut i = layers.len();
    while i > 0 {
        i -= 1;
        if layers[i].output.is_unknown() {
            layers[i].output = Place { root: i, column: 0 };
        }
        if layers[i].gradient.is_unknown() {
            layers[i].gradient = Place { root: i, column: 0 };
        }
        if let Operation::Concatenate(second) = layers[i].spec.operation {
            let (first, width) = (layers[i].spec.input, layers[i].in_dim);
            place_part(inputs, layers, i, first, 0);
            place_part(inputs, layers, i, second, width);
        }
    }
    let (mut gathered, mut outputs, mut gradients, mut i) = (0usize, 0usize, 0usize, 0);
    while i < inputs.len() {
        inputs[i].before = gathered;
        if inputs[i].columns > LIMIT || gathered > LIMIT {
            return Err(PlanError::TooLarge { layer: 0, in_dim: inputs[i].columns, out_dim: 0 });
        }
        if inputs[i].place.is_none() {
            gathered += leading_dimension(inputs[i].columns);
        }
        i += 1;
    }
    let (mut sums, mut words, mut statistics) = (0usize, 0usize, 0usize);
    let mut i = 0;
    while i < layers.len() {
        let layer = &mut layers[i];
        let width = leading_dimension(layer.out_dim);
        layer.outputs_before = outputs;
        layer.gradients_before = gradients;
        layer.sums_before = sums;
        layer.words_before = words;
        layer.statistics_before = statistics;
        outputs += if layer.output.root == i { width } else { 0 };
        gradients += if layer.gradient.root == i { width } else { 0 };
        sums += layer.sums_leading_dimension();
        words += layer.mask_words();
        statistics += if layer.gamma.is_empty() { 0 } else { STATISTICS * width };
        if outputs > LIMIT || statistics > LIMIT {
            return Err(PlanError::TooLarge { layer: i, in_dim: layer.in_dim, out_dim: layer.out_dim });
        }
        i += 1;
    }
    Ok(())
}

/// Lets a part of concatenation `i`, its columns from `column` on, share the concatenation's matrix, if nothing stands against it.
const fn place_part(inputs: &mut [Input], layers: &mut [Layer], i: usize, part: Value, column: usize) {
    let Place { root, column: first } = layers[i].output;
    let place = Place { root, column: first + column };
    if reads_beside(inputs, layers, root, part) {
        return;
    }
    match part {
        Value::Input(input) => {
            if inputs[input].place.is_none() {
                inputs[input].place = Some(place);
            }
        }
        Value::Layer(layer) => {
            // The loss of an output takes the place of its values in evaluation, so these are in nobody else's matrix.
            if !layers[layer].output.is_unknown() || layers[layer].is_output {
                return;
            }
            layers[layer].output = place;
            // With other consumers the gradient is a sum, of which the concatenation's columns are only one term.
            if layers[layer].consumers == 1 {
                let Place { root, column: first } = layers[i].gradient;
                layers[layer].gradient = Place { root, column: first + column };
            }
        }
    }
}

/// Whether a layer would read from the matrix of layer `root` while it writes to other columns of it, if `part` were placed there.
const fn reads_beside(inputs: &[Input], layers: &[Layer], root: usize, part: Value) -> bool {
    let mut i = 0;
    while i < layers.len() {
        let spec = &layers[i].spec;
        if !matches!(spec.operation, Operation::Concatenate(_)) {
            let writes = layers[i].output.root == root || is(Some(part), Value::Layer(i));
            let (first, second) = (spec.input, other_input(spec));
            let reads = is(Some(first), part) || is(second, part);
            let reads = reads || lies_in(inputs, layers, root, Some(first)) || lies_in(inputs, layers, root, second);
            if writes && reads {
                return true;
            }
        }
        i += 1;
    }
    false
}

/// Whether a value lies in the matrix of layer `root`.
const fn lies_in(inputs: &[Input], layers: &[Layer], root: usize, value: Option<Value>) -> bool {
    match value {
        None => false,
        Some(Value::Input(i)) => matches!(inputs[i].place, Some(place) if place.root == root),
        Some(Value::Layer(i)) => layers[i].output.root == root,
    }
}

/// A network whose layers follow each other, with its own memory for the description.
#[derive(Clone, Copy, Debug)]
pub struct Chain<const LAYERS: usize> {
    inputs: [Input; 1],
    layers: [Layer; LAYERS],
    outputs: [Output; 1],
}

impl<const LAYERS: usize> Chain<LAYERS> {
    /// Minimizes another loss.
    ///
    /// # Panics
    /// If the loss does not go with the activation of the last layer; in a constant that is a compile error.
    pub const fn loss(mut self, loss: Loss) -> Self {
        self.outputs[0].loss = loss;
        let _ = self.network();
        self
    }

    /// The network.
    ///
    /// # Panics
    /// Never: it has been checked when the chain was made.
    pub const fn network(&self) -> Network<'_> {
        match Network::new(&self.inputs, &self.layers, &self.outputs) {
            Ok(network) => network,
            Err(PlanError::SoftmaxInside { .. }) => panic!("softmax is for the last layer only"),
            Err(PlanError::LossOfActivation { .. }) => panic!("a loss that goes with the last activation expected"),
            Err(_) => panic!("a network expected"),
        }
    }
}

/// The layers of a network of `in_dim` inputs, each of which takes the outputs of the one before, whatever input they were asked for with. The
/// loss is the sparse categorical cross-entropy.
///
/// This can be evaluated in a constant, so that buffers of exactly the right size can be statics.
///
/// # Panics
/// Where [`arrange`] and [`Network::new`] give errors; in a constant that is a compile error.
pub const fn sequential<const LAYERS: usize>(in_dim: usize, mut specs: [LayerSpec; LAYERS]) -> Chain<LAYERS> {
    assert!(LAYERS > 0, "at least 1 layer expected, found 0");
    let mut i = 0;
    while i < LAYERS {
        specs[i].input = if i == 0 { Value::Input(0) } else { Value::Layer(i - 1) };
        i += 1;
    }
    let mut chain = Chain { inputs: [Input::new(in_dim)], layers: [Layer::EMPTY; LAYERS], outputs: [Output::of(LAYERS - 1)] };
    match arrange(&mut chain.inputs, &specs, &chain.outputs, &mut chain.layers) {
        Ok(()) => {}
        Err(PlanError::Parameter { .. }) => panic!("an activation's parameter is not a finite number of at least 0"),
        Err(PlanError::Rate { .. }) => panic!("a dropout rate is not from 0 to 1"),
        Err(PlanError::Merged { .. }) => panic!("parts of a layer do not go together"),
        Err(_) => panic!("a layer has no inputs, no outputs or too many"),
    }
    let _ = chain.network();
    chain
}
