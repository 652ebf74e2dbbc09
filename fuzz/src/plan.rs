//! Random graphs of layers. Their plan keeps parameters apart, their predictions are those of one naive layer after the other, and training
//! depends neither on the number of parts nor on what lies in buffers.

use super::operands::Operands;
use super::support::bits::assert_same;
use super::support::isas::isas;
use super::support::numbers::POISON;
use arbitrary::Result;
use selvedge::exec::{Batch, Clipping, Context, Inputs, OutputReport, Step, Targets, predict, train_step};
use selvedge::kernels::activations::{
    Elu, Flushed, Gelu, GeluTanh, Heaviside, LeakyRelu, Relu, Selu, Sigmoid, Sign, Softplus, Swish, Tanh,
};
use selvedge::kernels::gemm::Biased;
use selvedge::kernels::norm::Normalization;
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Optimizer};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::parallel::Serial;
use selvedge::plan::{
    Activation, BatchNorm, Dropout, Input, Layer, LayerSpec, Loss, Memory, Network, Operation, Output, Plan, Region, Value, arrange,
};
use selvedge::reference::activations::{Scalar, prelu};
use selvedge::reference::{gemm::gemm, norm, softmax::softmax_forward};
use selvedge::simd::{Isa, LANES};

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| match operands.up_to(4)? {
        0 => anything(&mut operands),
        _ => valid(&mut operands),
    });
}

/// What a network is made of.
struct Graph {
    inputs: Vec<Input>,
    layers: Vec<Layer>,
    outputs: Vec<Output>,
}

/// A graph that asks for anything gets an error or a plan, and no panic.
fn anything(operands: &mut Operands<'_>) -> Result<()> {
    let size = |operands: &mut Operands<'_>| {
        Ok(if operands.flag()? { operands.up_to(20)? } else { operands.word()? as usize >> operands.up_to(63)? })
    };
    let value = |operands: &mut Operands<'_>| {
        Ok(if operands.up_to(3)? == 0 { Value::Input(operands.up_to(3)?) } else { Value::Layer(operands.up_to(7)?) })
    };
    let mut inputs: Vec<Input> = (0..operands.up_to(9)?).map(|_| size(operands).map(Input::new)).collect::<Result<_>>()?;
    let mut specs = Vec::new();
    for _ in 0..operands.up_to(7)? {
        let operation = match operands.up_to(3)? {
            0 => Operation::Identity,
            1 => Operation::Concatenate(value(operands)?),
            2 => Operation::Add(value(operands)?),
            _ => Operation::Dense { units: size(operands)?, use_bias: operands.flag()? },
        };
        let normalization = if operands.up_to(3)? == 0 { Some(BatchNorm::KERAS) } else { None };
        let dropout = match operands.up_to(7)? {
            0 => Some(Dropout::Plain(operands.number()?.into())),
            1 => Some(Dropout::Alpha(operands.number()?.into())),
            _ => None,
        };
        let activation = match operands.up_to(3)? {
            0 => Activation::Softmax,
            1 => Activation::Elu { alpha: operands.number()? },
            _ => activation(operands)?,
        };
        specs.push(LayerSpec { operation, normalization, activation, dropout, ..LayerSpec::identity() }.of(value(operands)?));
    }
    let outputs: Vec<Output> = (0..operands.up_to(9)?)
        .map(|_| Ok(Output { loss: loss(operands)?, ..Output::of(operands.up_to(7)?) }))
        .collect::<Result<_>>()?;
    let mut layers = vec![Layer::EMPTY; specs.len()];
    let network = arrange(&mut inputs, &specs, &outputs, &mut layers).and_then(|()| Network::new(&inputs, &layers, &outputs));
    match network {
        Ok(network) if network.layers().iter().all(|layer| layer.in_dim < 1000 && layer.out_dim < 1000) => {
            check_parameters(network)
        }
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty(), "{error:?}"),
    }
    Ok(())
}

fn valid(operands: &mut Operands<'_>) -> Result<()> {
    let graph = graph(operands)?;
    let network = Network::new(&graph.inputs, &graph.layers, &graph.outputs).expect("a network that was just checked");
    check_parameters(network);
    let (rows, parts) = (operands.up_to(19)? + 1, operands.up_to(6)? + 1);
    let batch = rows + operands.up_to(4)?;
    let plan = Plan::inference(network, batch, parts);
    let mut parameters = vec![POISON; plan.parameters_len()];
    for region in regions(network) {
        let numbers = operands.numbers(region.rows * region.columns)?;
        for (i, row) in numbers.chunks_exact(region.columns).enumerate() {
            region.of_mut(&mut parameters).row_mut(i).copy_from_slice(row);
        }
    }
    let inputs = graph.inputs.iter().map(|input| operands.numbers(rows * input.columns)).collect::<Result<Vec<_>>>()?;
    let given: Vec<Inputs<'_>> =
        graph.inputs.iter().zip(&inputs).map(|(input, x)| Inputs::Rows(matrix(x, rows, input.columns))).collect();

    for isa in isas() {
        let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
        let widths: Vec<usize> = graph.outputs.iter().map(|output| graph.layers[output.layer].out_dim).collect();
        let mut found: Vec<Vec<f32>> = widths.iter().map(|width| vec![POISON; rows * width]).collect();
        let mut outputs: Vec<MatMut<'_>> =
            found.iter_mut().zip(&widths).map(|(y, &width)| MatMut::new(y, rows, width, width)).collect();
        let mut workspace = vec![POISON; plan.workspace_len()];
        predict(&context, &given, &parameters, &mut workspace, &mut outputs);
        let expected = naive(isa, &graph.layers, &inputs, rows, &parameters);
        for (output, found) in graph.outputs.iter().zip(&found) {
            let case = format_args!("{isa}, layer {} of {}, {rows} rows, {parts} parts", output.layer, Specs(&graph.layers));
            assert_same(found, &expected[output.layer], &case);
        }
    }
    train(operands, &graph, &given, (rows, batch, parts), &parameters)
}

/// Two steps, with one part and with several, with zeros in buffers and with anything.
fn train(
    operands: &mut Operands<'_>,
    graph: &Graph,
    inputs: &[Inputs<'_>],
    (rows, batch, parts): (usize, usize, usize),
    parameters: &[f32],
) -> Result<()> {
    let network = Network::new(&graph.inputs, &graph.layers, &graph.outputs).expect("a network that was just checked");
    let weights = if operands.flag()? { Some(operands.numbers(rows)?) } else { None };
    let clipping = match operands.up_to(3)? {
        0 => Clipping::Value(0.5),
        1 => Clipping::Norm(0.5),
        2 => Clipping::GlobalNorm(0.5),
        _ => Clipping::None,
    };
    let rule = Momentum { learning_rate: 0.1, momentum: 0.9, kind: MomentumKind::Nesterov };
    let step = Step { clipping, ..Step::new(Optimizer::Momentum(rule)) };
    let mut truth = Vec::new();
    for output in &graph.outputs {
        let width = graph.layers[output.layer].out_dim;
        let labels: Vec<u32> = (0..rows).map(|i| (i * 7 % width) as u32).collect();
        truth.push((width, labels, operands.numbers(rows * width)?));
    }
    let targets: Vec<Targets<'_>> = graph
        .outputs
        .iter()
        .zip(&truth)
        .map(|(output, (width, labels, numbers))| match output.loss.takes_labels() {
            true => Targets::Labels(labels),
            false => Targets::Rows(matrix(numbers, rows, *width)),
        })
        .collect();
    let minibatch = Batch { inputs, targets: &targets, weights: weights.as_deref() };
    for isa in isas() {
        let [expected, found] = [(1, 0.0), (parts, POISON)].map(|(parts, anything)| {
            let plan = Plan::training(network, batch, parts);
            let mut parameters = parameters.to_vec();
            let mut state = vec![0.0; plan.state_len(1)];
            let mut gradients = vec![anything; plan.parameters_len()];
            let mut workspace = vec![anything; plan.workspace_len()];
            let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
            let mut results = Vec::new();
            for _ in 0..2 {
                let mut memory =
                    Memory { parameters: &mut parameters, state: &mut state, gradients: &mut gradients, workspace: &mut workspace };
                let report = train_step(&context, &step, &minibatch, &mut memory);
                results.push(report.loss_sum);
                for OutputReport { loss_sum, hits } in report.outputs {
                    results.extend([loss_sum, hits as f32]);
                }
            }
            for region in regions(network) {
                for i in 0..region.rows {
                    results.extend(region.of(&parameters).row(i));
                    results.extend(region.of(&state).row(i));
                }
            }
            results
        });
        let case = format_args!("{isa}, training {}, {rows} rows, {parts} parts, {clipping:?}", Specs(&graph.layers));
        assert_same(&found, &expected, &case);
    }
    Ok(())
}

/// The layers, for the description of a case.
struct Specs<'a>(&'a [Layer]);

impl std::fmt::Display for Specs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|layer| layer.spec)).finish()
    }
}

fn matrix(elements: &[f32], rows: usize, columns: usize) -> MatRef<'_> {
    MatRef::new(elements, rows, columns, columns)
}

fn activation(operands: &mut Operands<'_>) -> Result<Activation> {
    Ok(match operands.up_to(13)? {
        0 => Activation::LeakyRelu { slope: 0.25 },
        1 => Activation::Elu { alpha: 1.5 },
        2 => Activation::Selu,
        3 => Activation::Gelu,
        4 => Activation::GeluTanh,
        5 => Activation::Swish,
        6 => Activation::Softplus,
        7 => Activation::Sigmoid,
        8 => Activation::Tanh,
        9 => Activation::Heaviside,
        10 => Activation::Sign,
        11 => Activation::PRelu,
        12 => Activation::Relu,
        _ => Activation::Linear,
    })
}

fn loss(operands: &mut Operands<'_>) -> Result<Loss> {
    let label_smoothing = if operands.flag()? { 0.0 } else { 0.125 };
    Ok(match operands.up_to(5)? {
        0 => Loss::SparseCategoricalCrossentropy { label_smoothing },
        1 => Loss::CategoricalCrossentropy { label_smoothing },
        2 => Loss::BinaryCrossentropy { label_smoothing },
        3 => Loss::MeanSquaredError,
        4 => Loss::MeanAbsoluteError,
        _ => Loss::Huber { delta: 1.0 },
    })
}

/// A graph that must be possible.
fn graph(operands: &mut Operands<'_>) -> Result<Graph> {
    let mut values: Vec<(Value, usize)> = Vec::new();
    for i in 0..=operands.up_to(2)? {
        values.push((Value::Input(i), operands.length(40)?.max(1)));
    }
    let inputs: Vec<Input> = values.iter().map(|&(_, columns)| Input::new(columns)).collect();
    let mut taken = vec![false; inputs.len()];
    let mut specs: Vec<LayerSpec> = Vec::new();
    for _ in 0..=operands.up_to(4)? {
        // Most layers take what has just been made.
        let first = values.len() - 1 - operands.up_to(values.len() - 1)?.saturating_sub(operands.up_to(2)?);
        let second = operands.up_to(values.len() - 1)?;
        let operation = match operands.up_to(5)? {
            0 => Operation::Identity,
            1 | 2 => Operation::Concatenate(values[second].0),
            3 if values[second].1 == values[first].1 => Operation::Add(values[second].0),
            _ => Operation::Dense { units: operands.length(40)?.max(1), use_bias: operands.flag()? },
        };
        taken[first] = true;
        let mut spec = LayerSpec { operation, ..LayerSpec::identity() }.of(values[first].0);
        let columns = match operation {
            Operation::Identity => values[first].1,
            Operation::Dense { units, .. } => units,
            Operation::Concatenate(_) | Operation::Add(_) => {
                taken[second] = true;
                let added = matches!(operation, Operation::Add(_));
                values[first].1 + if added { 0 } else { values[second].1 }
            }
        };
        if matches!(operation, Operation::Identity | Operation::Dense { .. }) {
            decorate(operands, &mut spec)?;
        }
        values.push((Value::Layer(specs.len()), columns));
        specs.push(spec);
        taken.push(false);
    }
    for i in 0..inputs.len() {
        if !taken[i] {
            specs.push(LayerSpec::dense(3, Activation::Tanh).of(Value::Input(i)));
            taken.push(false);
        }
    }
    let mut outputs = Vec::new();
    for (i, spec) in specs.iter_mut().enumerate() {
        let (is_last, merges) =
            (!taken[inputs.len() + i], !matches!(spec.operation, Operation::Identity | Operation::Dense { .. }));
        if is_last {
            let loss = loss(operands)?;
            let of_classes = matches!(loss, Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. });
            if of_classes && !merges && spec.dropout.is_none() && operands.flag()? {
                spec.activation = Activation::Softmax;
            }
            outputs.push(Output { loss, weight: 0.5, ..Output::of(i) });
        } else if operands.up_to(5)? == 0 {
            outputs.push(Output { loss: Loss::MeanSquaredError, ..Output::of(i) });
        }
    }
    let mut graph = Graph { inputs, layers: vec![Layer::EMPTY; specs.len()], outputs };
    let Graph { inputs, layers, outputs } = &mut graph;
    if let Err(error) = arrange(inputs, &specs, outputs, layers).and_then(|()| Network::new(inputs, layers, outputs).map(drop)) {
        panic!("{error}: {specs:?}, {outputs:?}");
    }
    Ok(graph)
}

/// What may follow an operation in the same layer.
fn decorate(operands: &mut Operands<'_>, spec: &mut LayerSpec) -> Result<()> {
    spec.activation = activation(operands)?;
    let keeps_sums = matches!(spec.activation, Activation::Gelu | Activation::GeluTanh | Activation::Swish | Activation::PRelu);
    if !keeps_sums && operands.up_to(3)? == 0 {
        spec.normalization = Some(BatchNorm::KERAS);
    }
    let is_masked = matches!(spec.operation, Operation::Dense { .. }) || spec.normalization.is_some();
    let rate = operands.share()? * 0.9;
    spec.dropout = match (spec.activation, operands.up_to(3)?) {
        (Activation::Linear, 0) => Some(Dropout::Alpha(rate)),
        (Activation::Linear, 1) => Some(Dropout::Plain(rate)),
        (Activation::Relu, 0 | 1) if is_masked => Some(Dropout::Plain(rate)),
        _ => None,
    };
    Ok(())
}

/// All tensors of parameters.
fn regions(network: Network<'_>) -> impl Iterator<Item = Region> {
    network.layers().iter().flat_map(Layer::tensors).map(|tensor| tensor.region).filter(|region| !region.is_empty())
}

/// Tensors follow each other in whole vectors, and there are as many numbers in them as the layers were asked for.
fn check_parameters(network: Network<'_>) {
    let plan = Plan::training(network, 1, 1);
    let mut next = 0;
    for region in regions(network) {
        assert!(region.offset == next && next.is_multiple_of(LANES) && region.leading_dimension >= region.columns, "{region:?}");
        next += region.rows * region.leading_dimension;
    }
    assert_eq!(next, plan.parameters_len(), "{}", Specs(network.layers()));
    let mut count = 0;
    for layer in network.layers() {
        count += match layer.spec.operation {
            Operation::Dense { units, use_bias } => (layer.in_dim + usize::from(use_bias)) * units,
            _ => 0,
        };
        count += layer.out_dim * if layer.spec.normalization.is_some() { 2 } else { 0 };
        count += layer.out_dim * usize::from(layer.spec.activation == Activation::PRelu);
    }
    assert_eq!(plan.parameter_count(), count, "{}", Specs(network.layers()));
}

/// The outputs of all layers, one naive layer after the other.
fn naive(isa: Isa, layers: &[Layer], inputs: &[Vec<f32>], rows: usize, parameters: &[f32]) -> Vec<Vec<f32>> {
    let mut outputs: Vec<Vec<f32>> = Vec::new();
    for layer in layers {
        let value = |value: Value| match value {
            Value::Input(i) => &inputs[i],
            Value::Layer(i) => &outputs[i],
        };
        let (x, width) = (value(layer.spec.input), layer.out_dim);
        let row = |region: Region| region.of(parameters).row(0);
        let mut y = match layer.spec.operation {
            Operation::Identity => x.clone(),
            Operation::Add(other) => x.iter().zip(value(other)).map(|(x, other)| x + other).collect(),
            Operation::Concatenate(other) => {
                let pairs = x.chunks(layer.in_dim).zip(value(other).chunks(width - layer.in_dim));
                pairs.flat_map(|(x, other)| [x, other].concat()).collect()
            }
            Operation::Dense { use_bias, .. } => {
                let bias = if use_bias { row(layer.bias).to_vec() } else { vec![0.0; width] };
                let mut y = vec![POISON; rows * width];
                let c = MatMut::new(&mut y, rows, width, width);
                gemm(isa, matrix(x, rows, layer.in_dim), layer.kernel.of(parameters), &mut Biased { bias: &bias, c });
                y
            }
        };
        if let Some(BatchNorm { epsilon, .. }) = layer.spec.normalization {
            let [mut deviation, mut scale, mut shift] = [const { Vec::new() }; 3].map(|_: Vec<f32>| vec![POISON; width]);
            norm::inverse_deviation(row(layer.moving_variance), epsilon, &mut deviation);
            let (mean, gamma, beta) = (row(layer.moving_mean), row(layer.gamma), row(layer.beta));
            let normalization = Normalization { mean, inverse_deviation: &deviation, gamma, beta };
            norm::affine(isa, &normalization, &mut scale, &mut shift);
            norm::affine_forward(isa, &scale, &shift, MatMut::new(&mut y, rows, width, width));
        }
        match layer.spec.activation {
            Activation::Softmax => softmax_forward(isa, MatMut::new(&mut y, rows, width, width)),
            Activation::PRelu => {
                for (j, y) in y.iter_mut().enumerate() {
                    *y = prelu(row(layer.alpha)[j % width], *y, *y);
                }
            }
            activation => y.iter_mut().for_each(|y| *y = activated(isa, activation, *y)),
        }
        outputs.push(y);
    }
    outputs
}

fn activated(isa: Isa, activation: Activation, z: f32) -> f32 {
    match activation {
        Activation::Relu => Scalar::forward(&Relu, isa, z),
        Activation::LeakyRelu { slope } => Scalar::forward(&LeakyRelu::new(slope), isa, z),
        Activation::Elu { alpha } => Scalar::forward(&Flushed(Elu::new(alpha)), isa, z),
        Activation::Selu => Scalar::forward(&Flushed(Selu), isa, z),
        Activation::Gelu => Scalar::forward(&Flushed(Gelu), isa, z),
        Activation::GeluTanh => Scalar::forward(&Flushed(GeluTanh), isa, z),
        Activation::Swish => Scalar::forward(&Flushed(Swish), isa, z),
        Activation::Softplus => Scalar::forward(&Flushed(Softplus), isa, z),
        Activation::Sigmoid => Scalar::forward(&Flushed(Sigmoid), isa, z),
        Activation::Tanh => Scalar::forward(&Flushed(Tanh), isa, z),
        Activation::Heaviside => Scalar::forward(&Heaviside, isa, z),
        Activation::Sign => Scalar::forward(&Sign, isa, z),
        _ => z,
    }
}
