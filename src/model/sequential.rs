//! [`Sequential`]: layers one after the other.

use super::compile::Compile;
use super::error::ModelError;
use super::graph::{Graph, InputNode, Node, Source};
use super::layers::Layer;
use super::model::Model;
use super::summary::Summary;

/// A network of layers one after the other, before it has weights.
///
/// ```
/// use selvedge::model::{Activation, Compile, Dense, Flatten, Sequential, Sgd};
///
/// let network = Sequential::new(&[28, 28])
///     .add(Flatten)
///     .add(Dense::new(300).activation(Activation::Relu))
///     .add(Dense::new(100).activation(Activation::Relu))
///     .add(Dense::new(10).activation(Activation::Softmax));
/// println!("{}", network.summary()?);
/// let model = network.compile(Compile::new(Sgd::default()))?;
/// # let _ = model;
/// # Ok::<(), selvedge::model::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sequential {
    graph: Graph,
}

impl Sequential {
    /// A network without layers, for inputs of the given shape.
    pub fn new(input_shape: &[usize]) -> Self {
        let inputs = vec![InputNode { name: "input".into(), shape: input_shape.to_vec() }];
        Self { graph: Graph { name: "sequential".into(), inputs, nodes: Vec::new(), outputs: vec![Source::Input(0)] } }
    }

    /// Adds a layer at the end.
    #[allow(clippy::should_implement_trait, reason = "Keras' name")]
    pub fn add(mut self, layer: impl Into<Layer>) -> Self {
        let inputs = self.graph.outputs;
        self.graph.outputs = vec![Source::Node(self.graph.nodes.len())];
        self.graph.nodes.push(Node { layer: layer.into(), inputs });
        self
    }

    /// Names the network; otherwise it is `sequential`.
    pub fn name(mut self, name: &str) -> Self {
        self.graph.name = name.into();
        self
    }

    /// The names of the layers: their own, or made as Keras makes them, the class in snake case, numbered from the second of a class on.
    pub fn layer_names(&self) -> Vec<String> {
        self.graph.names()
    }

    /// The table of layers, output shapes and parameter counts, as Keras prints it.
    ///
    /// # Errors
    /// As [`Sequential::compile`] for the layers.
    pub fn summary(&self) -> Result<Summary, ModelError> {
        self.graph.summary()
    }

    /// Gives the network weights, an optimizer and threads.
    ///
    /// # Errors
    /// If the layers do not fit together, a setting is outside of its range, or the threads cannot be started.
    pub fn compile(&self, settings: Compile) -> Result<Model, ModelError> {
        Model::new(&self.graph, settings)
    }
}
