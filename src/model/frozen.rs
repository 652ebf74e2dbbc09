//! [`Frozen`]: a trained model that only predicts, for many callers at once.

use super::error::ModelError;
use super::graph::Lowered;
use super::model::Model;
use crate::exec::{Context, Inputs, predict};
use crate::kernels::norm::{Normalization, affine, fold_into_previous, inverse_deviation};
use crate::kernels::{MatMut, MatRef};
use crate::memory::Buffer;
use crate::parallel::Serial;
use crate::plan::{self, LayerSpec, MAX_INPUTS, MAX_OUTPUTS, Network, Operation, Plan, Sizes, arrange};
use crate::simd::Isa;

/// A trained model that only predicts: `Send + Sync`, without a lock and without an allocation in a call.
///
/// Every caller brings a [`Scratch`] of its own and computes on its own thread, so any number of them may ask at once. A batch normalization that follows a
/// product is folded into its weights, which costs a rounding error and saves its time.
///
/// ```
/// use selvedge::model::{Activation, Compile, Dense, Sequential, Sgd};
///
/// let model = Sequential::new(&[6]).add(Dense::new(3).activation(Activation::Softmax)).compile(Compile::new(Sgd::default()))?;
/// let frozen = model.freeze(1)?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let mut scratch = frozen.scratch();
///             let mut probabilities = [0.0; 3];
///             frozen.predict_row(&[0.5; 6], &mut scratch, &mut probabilities);
///             assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
///         });
///     }
/// });
/// # Ok::<(), selvedge::model::ModelError>(())
/// ```
#[derive(Debug)]
pub struct Frozen {
    inputs: Vec<plan::Input>,
    layers: Vec<plan::Layer>,
    outputs: Vec<plan::Output>,
    sizes: Sizes,
    parameters: Buffer,
    isa: Isa,
}

/// What one caller of a [`Frozen`] model needs.
#[derive(Debug)]
pub struct Scratch(Buffer);

impl Model {
    /// A copy of the model that only predicts, for up to `rows` rows in a call.
    ///
    /// # Errors
    /// If `rows` is 0.
    pub fn freeze(&self, rows: usize) -> Result<Frozen, ModelError> {
        if rows == 0 {
            return Err(ModelError::setting("rows", "at least 1", rows));
        }
        Frozen::new(&self.network, &self.trainable.parameters, self.isa(), rows)
    }
}

impl Frozen {
    fn new(network: &Lowered, trained: &[f32], isa: Isa, rows: usize) -> Result<Self, ModelError> {
        let mut inputs: Vec<_> = network.inputs.iter().map(|input| plan::Input::new(input.columns)).collect();
        let folds = |layer: &plan::Layer| layer.is_product() && layer.spec.normalization.is_some();
        let specs: Vec<LayerSpec> = (network.layers.iter())
            .map(|layer| {
                let mut spec = LayerSpec { dropout: None, ..layer.spec };
                if let (true, Operation::Dense { units, .. }) = (folds(layer), spec.operation) {
                    spec.operation = Operation::Dense { units, use_bias: true };
                    spec.normalization = None;
                }
                spec
            })
            .collect();
        let mut layers = vec![plan::Layer::EMPTY; specs.len()];
        arrange(&mut inputs, &specs, &network.outputs, &mut layers)?;
        let mut parameters = Buffer::zeros(layers.last().map_or(0, plan::Layer::end));
        for (from, to) in network.layers.iter().zip(&layers) {
            for (from, to) in from.tensors().iter().zip(&to.tensors()) {
                for row in 0..from.region.rows.min(to.region.rows) {
                    let mut target = to.region.of_mut(&mut parameters);
                    target.row_mut(row).copy_from_slice(from.region.of(trained).row(row));
                }
            }
            if let (true, Some(spec)) = (folds(from), from.spec.normalization) {
                let row = |region: plan::Region| region.of(trained).row(0);
                let mut deviation = vec![0.0; from.out_dim];
                inverse_deviation(isa, row(from.moving_variance), spec.epsilon, &mut deviation);
                let (mean, gamma, beta) = (row(from.moving_mean), row(from.gamma), row(from.beta));
                let normalization = Normalization { mean, inverse_deviation: &deviation, gamma, beta };
                let (mut scale, mut shift) = (vec![0.0; from.out_dim], vec![0.0; from.out_dim]);
                affine(isa, normalization, &mut scale, &mut shift);
                let (kernel, bias) = parameters[to.range()].split_at_mut(to.kernel.len());
                let kernel = plan::Region { offset: 0, ..to.kernel }.of_mut(kernel);
                fold_into_previous(isa, &scale, &shift, kernel, &mut bias[..to.out_dim]);
            }
        }
        let outputs = network.outputs.clone();
        let sizes = Plan::inference(Network::new(&inputs, &layers, &outputs)?, rows, 1).sizes();
        Ok(Self { inputs, layers, outputs, sizes, parameters, isa })
    }

    fn plan(&self) -> Plan<'_> {
        Plan::of_sizes(Network::checked_before(&self.inputs, &self.layers, &self.outputs), self.sizes)
    }

    /// The largest number of rows of a call.
    pub fn rows(&self) -> usize {
        self.plan().batch()
    }

    /// The memory that a caller needs; it may be used for any number of calls, one at a time.
    pub fn scratch(&self) -> Scratch {
        Scratch(Buffer::zeros(self.plan().workspace_len()))
    }

    /// The outputs for up to [`Frozen::rows`] rows.
    ///
    /// # Shapes
    /// Of each input `[rows, columns]`, of each output `[rows, columns]`.
    ///
    /// # Panics
    /// If the shapes do not fit the model, or the scratch is that of a larger model.
    #[track_caller]
    pub fn predict(&self, inputs: &[MatRef<'_>], scratch: &mut Scratch, outputs: &mut [MatMut<'_>]) {
        assert!(inputs.len() <= MAX_INPUTS, "at most {MAX_INPUTS} inputs expected, found {}", inputs.len());
        assert!(outputs.len() <= MAX_OUTPUTS, "at most {MAX_OUTPUTS} outputs expected, found {}", outputs.len());
        let mut rows = [Inputs::Rows(MatRef::new(&[], 0, 0, 0)); MAX_INPUTS];
        rows.iter_mut().zip(inputs).for_each(|(slot, rows)| *slot = Inputs::Rows(*rows));
        self.predict_inputs(&rows[..inputs.len()], scratch, outputs);
    }

    #[track_caller]
    fn predict_inputs(&self, inputs: &[Inputs<'_>], scratch: &mut Scratch, outputs: &mut [MatMut<'_>]) {
        let context = Context { isa: self.isa, plan: &self.plan(), executor: &Serial::new(1) };
        predict(&context, inputs, &self.parameters, &mut scratch.0, outputs);
    }

    /// The output for one row, of a model with one input and one output.
    ///
    /// # Panics
    /// If `input` or `output` has another length than the model's.
    #[track_caller]
    pub fn predict_row(&self, input: &[f32], scratch: &mut Scratch, output: &mut [f32]) {
        let columns = output.len();
        let input = MatRef::new(input, 1, input.len(), input.len());
        self.predict_inputs(&[Inputs::Rows(input)], scratch, &mut [MatMut::new(output, 1, columns, columns)]);
    }
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Frozen>();
};
