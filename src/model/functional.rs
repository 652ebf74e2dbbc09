//! [`Functional`]: layers applied to values, in any shape without cycles.

use super::compile::Compile;
use super::error::ModelError;
use super::graph::{Graph, InputNode, Node, Source};
use super::layers::Layer;
use super::model::Model;
use super::summary::Summary;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value of a [`Functional`] network: an input, or the output of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    source: Source,
    /// The network that it belongs to.
    network: u64,
}

/// A network of layers applied to values, before it has weights. A value may be taken by any number of layers, and a layer can only take
/// values that are there already, so there are no cycles.
///
/// Wide and deep: one input goes straight to the output, the other through two layers first.
///
/// ```
/// use selvedge::model::{Activation, Adam, Compile, Concatenate, Dense, Functional, Loss};
///
/// let mut network = Functional::new();
/// let wide = network.input("wide", &[5]);
/// let deep = network.input("deep", &[6]);
/// let hidden = network.apply(Dense::new(30).activation(Activation::Relu), &[deep]);
/// let hidden = network.apply(Dense::new(30).activation(Activation::Relu), &[hidden]);
/// let both = network.apply(Concatenate, &[wide, hidden]);
/// let price = network.apply(Dense::new(1).name("price"), &[both]);
/// let helper = network.apply(Dense::new(1).name("helper"), &[hidden]);
/// let network = network.outputs(&[price, helper]);
/// let compile = Compile::new(Adam::default())
///     .output_loss("price", Loss::MeanSquaredError, 0.9)
///     .output_loss("helper", Loss::MeanSquaredError, 0.1);
/// let model = network.compile(compile)?;
/// # let _ = model;
/// # Ok::<(), selvedge::model::ModelError>(())
/// ```
#[derive(Debug)]
pub struct Functional {
    graph: Graph,
    id: u64,
}

impl Default for Functional {
    fn default() -> Self {
        Self::new()
    }
}

impl Functional {
    /// A network without inputs, layers and outputs.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { graph: Graph { name: "functional".into(), ..Graph::default() }, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Names the network; otherwise it is `functional`.
    pub fn name(mut self, name: &str) -> Self {
        self.graph.name = name.into();
        self
    }

    /// Adds an input of the given shape, without the rows.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Tensor {
        self.graph.inputs.push(InputNode { name: name.into(), shape: shape.to_vec() });
        Tensor { source: Source::Input(self.graph.inputs.len() - 1), network: self.id }
    }

    /// Applies a layer to one value, or to several if it joins them.
    pub fn apply(&mut self, layer: impl Into<Layer>, inputs: &[Tensor]) -> Tensor {
        let inputs = inputs.iter().map(|&tensor| self.source(tensor)).collect();
        self.graph.nodes.push(Node { layer: layer.into(), inputs });
        Tensor { source: Source::Node(self.graph.nodes.len() - 1), network: self.id }
    }

    /// Says what comes out, in this order.
    pub fn outputs(mut self, outputs: &[Tensor]) -> Self {
        self.graph.outputs = outputs.iter().map(|&tensor| self.source(tensor)).collect();
        self
    }

    /// A value of another network becomes one that does not exist; it is refused when the network is compiled.
    fn source(&self, tensor: Tensor) -> Source {
        if tensor.network == self.id { tensor.source } else { Source::Node(usize::MAX) }
    }

    /// The table of layers, output shapes and parameter counts, as Keras prints it.
    ///
    /// # Errors
    /// As [`Functional::compile`] for the layers.
    pub fn summary(&self) -> Result<Summary, ModelError> {
        self.graph.summary()
    }

    /// Gives the network weights, an optimizer and threads.
    ///
    /// # Errors
    /// If a layer takes a value of another network or too many of them, shapes do not fit, an input or a layer goes nowhere, a setting is
    /// outside of its range, or the threads cannot be started.
    pub fn compile(&self, settings: Compile) -> Result<Model, ModelError> {
        Model::new(&self.graph, settings)
    }
}
