//! A row through a network of small layers, on the stack of its caller.
//!
//! Its multiply-adds take a tenth of a microsecond, and to carve a workspace and look at all that a layer may be takes twice as long. Here is
//! what is left if each layer is a product of few columns. It computes what lies behind the columns as well: whole vectors need no masks, and what
//! has been stored whole can be read at once.

use super::activation;
use crate::kernels::MatMut;
use crate::kernels::gemm::small::{self, MOST_COLUMNS};
use crate::plan::{Activation, Aligned, Layer, Plan, Region};
use crate::simd::Isa;

/// The outputs of a network for which [`Plan::is_small`], before the activation that training computes with the loss.
pub(super) fn infer_row(isa: Isa, plan: &Plan<'_>, parameters: &[f32], x: &[f32], y: &mut [f32]) {
    let [mut even, mut odd] = [Aligned([0.0; MOST_COLUMNS]); 2];
    let (mut to, mut from) = (&mut even.0, &mut odd.0);
    for (i, layer) in plan.layers().iter().enumerate() {
        let x = if i == 0 { x } else { &from[..layer.in_dim] };
        layer_forward(isa, layer, plan.activation(i), parameters, x, to);
        core::mem::swap(&mut from, &mut to);
    }
    y.copy_from_slice(&from[..y.len()]);
}

/// `y = activation(x W + b)`
fn layer_forward(isa: Isa, layer: &Layer, activation: Activation, parameters: &[f32], x: &[f32], y: &mut [f32]) {
    let vectors = |region: Region| parameters[region.range()].as_chunks().0;
    let columns = layer.kernel.leading_dimension;
    let y = &mut y[..columns];
    let is_relu = activation == Activation::Relu;
    small::layer_forward(isa, x, vectors(layer.kernel), vectors(layer.bias), is_relu, y.as_chunks_mut().0);
    if !is_relu && activation != Activation::Linear {
        activation::forward_in_place(isa, activation, &[], MatMut::new(y, 1, columns, columns));
    }
}

#[cfg(test)]
mod tests {
    use crate::exec::{Context, Inputs, Noise, predict, predict_with_dropout};
    use crate::kernels::{MatMut, MatRef};
    use crate::parallel::Serial;
    use crate::plan::{Activation, Dropout, Input, Layer, LayerSpec, Loss, Network, Output, Plan, Value, arrange};
    use crate::reference::samples::{assert_same_bits, matrix, numbers};
    use crate::simd::Isa;
    use std::vec::Vec;

    const ROWS: usize = 5;

    /// Calls `test` with the layers, each of which takes the output of the one before, their last output under a loss.
    fn with_chain(in_dim: usize, specs: &[LayerSpec], loss: Loss, test: impl FnOnce(Network<'_>)) {
        let specs: Vec<_> = (specs.iter().enumerate())
            .map(|(i, spec)| spec.of(if i == 0 { Value::Input(0) } else { Value::Layer(i - 1) }))
            .collect();
        let (mut inputs, mut layers) = ([Input::new(in_dim)], std::vec![Layer::EMPTY; specs.len()]);
        let outputs = [Output { loss, ..Output::of(specs.len() - 1) }];
        arrange(&mut inputs, &specs, &outputs, &mut layers).expect("layers");
        test(Network::new(&inputs, &layers, &outputs).expect("a network"));
    }

    /// Numbers for all parameters, and NaN between them.
    fn parameters(plan: &Plan<'_>) -> Vec<f32> {
        let mut parameters = std::vec![f32::NAN; plan.parameters_len()];
        for (i, region) in plan.layers().iter().flat_map(|layer| [layer.kernel, layer.bias]).enumerate() {
            let mut tensor = region.of_mut(&mut parameters);
            for row in 0..region.rows {
                tensor.row_mut(row).copy_from_slice(&numbers((100 * i + row) as u64, region.columns));
            }
        }
        parameters
    }

    #[test]
    fn a_row_has_the_bits_that_it_has_among_others() {
        let activations = [
            Activation::Linear,
            Activation::Relu,
            Activation::LeakyRelu { slope: 0.1 },
            Activation::Elu { alpha: 0.7 },
            Activation::Selu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Swish,
            Activation::Softplus,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Heaviside,
            Activation::Sign,
        ];
        let losses = [
            (Activation::Softmax, Loss::CategoricalCrossentropy { label_smoothing: 0.0 }),
            (Activation::Sigmoid, Loss::BinaryCrossentropy { label_smoothing: 0.0 }),
            (Activation::Relu, Loss::MeanSquaredError),
        ];
        for (i, activation) in activations.into_iter().enumerate().filter(|(i, _)| !cfg!(miri) || [1, 10].contains(i)) {
            let (last, loss) = losses[i % losses.len()];
            let shapes = [(6, [64, 8, 4]), (1, [33, 17, 1]), (130, [48, 64, 16])];
            for (in_dim, units) in shapes.into_iter().filter(|(in_dim, _)| !cfg!(miri) || *in_dim == 1) {
                let dense = LayerSpec::dense;
                let specs = [dense(units[0], activation), dense(units[1], activation).without_bias(), dense(units[2], last)];
                with_chain(in_dim, &specs, loss, |network| {
                    let data = matrix(i as u64, ROWS, in_dim, in_dim + 3);
                    let x = MatRef::new(&data, ROWS, in_dim, in_dim + 3);
                    for isa in Isa::available() {
                        let predicted = |parts: usize, x: MatRef<'_>| {
                            let plan = Plan::inference(network, ROWS, parts);
                            assert!(plan.is_small());
                            let (parameters, mut workspace) = (parameters(&plan), std::vec![f32::NAN; plan.workspace_len()]);
                            let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
                            let mut y = std::vec![f32::NAN; x.rows() * units[2]];
                            let outputs = &mut [MatMut::new(&mut y, x.rows(), units[2], units[2])];
                            predict(&context, &[Inputs::Rows(x)], &parameters, &mut workspace, outputs);
                            y
                        };
                        let among_others = predicted(1, x);
                        for (row, expected) in among_others.chunks(units[2]).enumerate() {
                            for parts in [1, 2] {
                                let alone = predicted(parts, MatRef::new(x.row(row), 1, in_dim, in_dim));
                                assert_same_bits((isa, activation, in_dim, row, parts), &alone, expected);
                            }
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn a_row_is_dropped_where_it_is_asked_for() {
        let dropped = LayerSpec::dense(20, Activation::Relu).dropout(Dropout::Plain(1.0));
        with_chain(3, &[dropped, LayerSpec::dense(2, Activation::Linear).without_bias()], Loss::MeanSquaredError, |network| {
            let plan = Plan::inference(network, 1, 1);
            let (parameters, mut workspace) = (parameters(&plan), std::vec![0.0; plan.workspace_len()]);
            let context = Context { isa: Isa::detect(), plan: &plan, executor: &Serial::new(1) };
            let x = [Inputs::Rows(MatRef::new(&[0.5; 3], 1, 3, 3))];
            let mut y = [7.0; 2];
            predict(&context, &x, &parameters, &mut workspace, &mut [MatMut::new(&mut y, 1, 2, 2)]);
            assert!(y.iter().all(|&y| y != 0.0));
            let noise = Noise::default();
            predict_with_dropout(&context, noise, &x, &parameters, &mut workspace, &mut [MatMut::new(&mut y, 1, 2, 2)]);
            assert_eq!(y, [0.0; 2]);
        });
    }

    #[test]
    fn small_are_chains_of_products_with_small_matrices() {
        let dense = |units| LayerSpec::dense(units, Activation::Relu);
        let of = |spec: LayerSpec| [spec, dense(3)];
        for (in_dim, specs, expected) in [
            (6, of(dense(64)), true),
            (128, of(dense(64)), true),
            (129, of(dense(64)), false),
            (6, of(dense(65)), false),
            (6, of(LayerSpec::dense(8, Activation::PRelu)), false),
            (6, of(dense(8).batch_norm(crate::plan::BatchNorm::KERAS)), false),
            (6, of(LayerSpec::identity()), false),
        ] {
            with_chain(in_dim, &specs, Loss::MeanSquaredError, |network| {
                assert_eq!(Plan::inference(network, 1, 1).is_small(), expected, "{in_dim}, {specs:?}");
                assert!(!Plan::training(network, 1, 1).is_small());
            });
        }
    }
}
