//! Networks for the tests: picked by hand, so that each kind of layer, of merging and of sharing is there, and drawn at random.

use super::{Graph, pick};
use rand::RngExt;
use rand_pcg::Pcg32;
use selvedge::plan::{Activation, BatchNorm, Dropout, LayerSpec, Loss, Operation, Output, Penalty, Value};

use Activation::*;
use Value::{Input as I, Layer as L};

/// All that can stand between layers.
const ACTIVATIONS: [Activation; 14] = [
    Linear,
    Relu,
    LeakyRelu { slope: 0.2 },
    Elu { alpha: 1.0 },
    Elu { alpha: 0.7 },
    Selu,
    Gelu,
    GeluTanh,
    Swish,
    Softplus,
    Sigmoid,
    Tanh,
    PRelu,
    Sign,
];

const LOSSES: [Loss; 9] = [
    Loss::SparseCategoricalCrossentropy { label_smoothing: 0.0 },
    Loss::SparseCategoricalCrossentropy { label_smoothing: 0.2 },
    Loss::CategoricalCrossentropy { label_smoothing: 0.0 },
    Loss::CategoricalCrossentropy { label_smoothing: 0.1 },
    Loss::BinaryCrossentropy { label_smoothing: 0.0 },
    Loss::BinaryCrossentropy { label_smoothing: 0.3 },
    Loss::MeanSquaredError,
    Loss::MeanAbsoluteError,
    Loss::Huber { delta: 0.4 },
];

const NORM: BatchNorm = BatchNorm::KERAS;

fn dense(units: usize, activation: Activation, input: Value) -> LayerSpec {
    LayerSpec::dense(units, activation).of(input)
}

fn identity(input: Value) -> LayerSpec {
    LayerSpec::identity().of(input)
}

fn activated(activation: Activation, input: Value) -> LayerSpec {
    LayerSpec { activation, ..identity(input) }
}

fn concatenate(first: Value, second: Value) -> LayerSpec {
    LayerSpec { operation: Operation::Concatenate(second), ..identity(first) }
}

fn add(first: Value, second: Value) -> LayerSpec {
    LayerSpec { operation: Operation::Add(second), ..identity(first) }
}

/// A softmax with as many classes, behind a product.
fn classes(count: usize, input: Value) -> LayerSpec {
    dense(count, Softmax, input)
}

fn graph(inputs: &[usize], specs: &[LayerSpec]) -> Graph {
    graph_to(inputs, specs, &[Output::of(specs.len() - 1)])
}

fn graph_to(inputs: &[usize], specs: &[LayerSpec], outputs: &[Output]) -> Graph {
    Graph::arrange(inputs, specs, outputs).unwrap_or_else(|e| panic!("{e}: {specs:?}"))
}

fn squares(layer: usize, weight: f32) -> Output {
    Output { layer, loss: Loss::MeanSquaredError, weight }
}

/// Deep and wide parts of a network, with two inputs and two outputs.
pub(super) fn wide_and_deep() -> Graph {
    let deep = [dense(18, Relu, I(1)), dense(9, Relu, L(0)).batch_norm(NORM).dropout(Dropout::Plain(0.25))];
    let specs = [deep[0], deep[1], concatenate(I(0), L(1)), dense(2, Linear, L(2)), dense(3, Softmax, L(1))];
    graph_to(&[5, 7], &specs, &[squares(3, 0.9), Output { weight: 0.1, ..Output::of(4) }])
}

/// Networks that begin with a product of 67,520 weights, in each form that a first layer can have.
pub(super) fn large_first_layers() -> Vec<(String, Graph)> {
    let mut all: Vec<(String, Graph)> = Vec::new();
    let mut keep = |name: &str, inputs: &[usize], specs: &[LayerSpec]| all.push((name.to_string(), graph(inputs, specs)));
    let (plain, alpha) = (Dropout::Plain(0.4), Dropout::Alpha(0.3));
    for activation in [Relu, Tanh, Gelu, PRelu] {
        keep(&format!("{activation:?}"), &[211], &[dense(320, activation, I(0)), classes(3, L(0))]);
    }
    keep("no bias", &[211], &[dense(320, Relu, I(0)).without_bias(), classes(3, L(0))]);
    keep("ReLU and dropout", &[211], &[dense(320, Relu, I(0)).dropout(plain), classes(3, L(0))]);
    keep("alpha dropout", &[211], &[dense(320, Linear, I(0)).dropout(alpha), classes(3, L(0))]);
    keep("normalization and tanh", &[211], &[dense(320, Tanh, I(0)).batch_norm(NORM), classes(3, L(0))]);
    keep("normalization, ReLU and dropout", &[211], &[dense(320, Relu, I(0)).batch_norm(NORM).dropout(plain), classes(3, L(0))]);
    keep("the only layer", &[500], &[classes(141, I(0))]);
    keep("a depth of which not every part has a share", &[4], &[dense(16_400, Relu, I(0)), classes(3, L(0))]);
    keep("an input beside what is made of it", &[211], &[dense(320, Relu, I(0)), concatenate(I(0), L(0)), classes(3, L(1))]);
    keep("of the second input", &[5, 211], &[dense(320, Relu, I(1)), concatenate(I(0), L(0)), classes(3, L(1))]);
    keep("taken twice", &[211], &[dense(320, Relu, I(0)), dense(320, Tanh, L(0)), add(L(0), L(1)), classes(3, L(2))]);
    all
}

/// Networks with a square product behind each form of a layer: so many rows as a minibatch of 88 has transpose its 96 x 96 weights for the
/// gradient, and so few as a seventh of it has transpose the gradients.
pub(super) fn square_layers() -> Vec<(String, Graph)> {
    let mut all: Vec<(String, Graph)> = Vec::new();
    let mut keep =
        |name: &str, first: LayerSpec| all.push((name.to_string(), graph(&[7], &[first, dense(96, Tanh, L(0)), classes(3, L(1))])));
    for activation in [Relu, Tanh, Linear, Gelu, PRelu] {
        keep(&format!("{activation:?}"), dense(96, activation, I(0)));
    }
    keep("ReLU and dropout", dense(96, Relu, I(0)).dropout(Dropout::Plain(0.4)));
    keep("alpha dropout", dense(96, Linear, I(0)).dropout(Dropout::Alpha(0.3)));
    keep("normalization and ReLU", dense(96, Relu, I(0)).batch_norm(NORM));
    let twice = [dense(96, Relu, I(0)), dense(96, Tanh, L(0)), add(L(0), L(1)), classes(3, L(2))];
    all.push(("taken twice".to_string(), graph(&[7], &twice)));
    let beside = [dense(96, Relu, I(0)), dense(96, Relu, L(0)), concatenate(I(0), L(1)), classes(3, L(2))];
    all.push(("into a concatenation".to_string(), graph(&[7], &beside)));
    all
}

/// Each layer type in each form, with names.
pub(super) fn by_hand() -> Vec<(String, Graph)> {
    let mut all: Vec<(String, Graph)> = Vec::new();
    let mut keep = |name: &str, graph: Graph| all.push((name.to_string(), graph));
    for activation in ACTIVATIONS {
        let name = |form: &str| format!("{activation:?} {form}");
        keep(&name("behind a product"), graph(&[5], &[dense(17, activation, I(0)), classes(3, L(0))]));
        keep(&name("by itself"), graph(&[5], &[dense(18, Linear, I(0)), activated(activation, L(0)), classes(3, L(1))]));
        keep(&name("on the input"), graph(&[19], &[activated(activation, I(0)), classes(3, L(0))]));
        keep(&name("as output"), graph_to(&[5], &[dense(4, activation, I(0))], &[squares(0, 1.0)]));
        if !matches!(activation, Gelu | GeluTanh | Swish | PRelu) {
            let normalized = dense(17, activation, I(0)).batch_norm(NORM);
            keep(&name("behind a normalized product"), graph(&[5], &[normalized, classes(3, L(0))]));
            let normalized = activated(activation, L(0)).batch_norm(NORM);
            keep(&name("behind a normalization"), graph(&[5], &[dense(17, Tanh, I(0)), normalized, classes(3, L(1))]));
        }
    }
    for loss in LOSSES {
        let own = match loss {
            Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => Softmax,
            Loss::BinaryCrossentropy { .. } => Sigmoid,
            _ => Tanh,
        };
        for activation in [Linear, own] {
            let specs = [dense(17, Relu, I(0)), dense(4, activation, L(0))];
            keep(&format!("{loss:?} of {activation:?}"), graph_to(&[5], &specs, &[Output { layer: 1, loss, weight: 1.5 }]));
        }
        let specs = [dense(18, Relu, I(0)), activated(own, L(0)).batch_norm(NORM)];
        keep(&format!("{loss:?} of a normalization"), graph_to(&[5], &specs, &[Output { layer: 1, loss, weight: 0.5 }]));
    }

    let (plain, alpha) = (Dropout::Plain(0.4), Dropout::Alpha(0.3));
    keep("no bias", graph(&[5], &[dense(17, Relu, I(0)).without_bias(), classes(3, L(0)).without_bias()]));
    keep("normalized, no bias", graph(&[5], &[dense(17, Relu, I(0)).without_bias().batch_norm(NORM), classes(3, L(0))]));
    keep("normalization of the input", graph(&[5], &[identity(I(0)).batch_norm(NORM), classes(3, L(0))]));
    keep("normalization, ReLU and dropout of the input", {
        graph(&[18], &[activated(Relu, I(0)).batch_norm(NORM).dropout(plain), classes(3, L(0))])
    });
    keep("two normalizations in a row", {
        let specs = [dense(6, Linear, I(0)).batch_norm(NORM), identity(L(0)).batch_norm(NORM), classes(3, L(1))];
        graph(&[5], &specs)
    });
    keep("dropout of the input", graph(&[18], &[identity(I(0)).dropout(plain), classes(3, L(0))]));
    keep("alpha dropout of the input", graph(&[18], &[identity(I(0)).dropout(alpha), classes(3, L(0))]));
    for (name, dropout) in [("dropout", plain), ("alpha dropout", alpha), ("everything dropped", Dropout::Plain(1.0))] {
        let norm = |spec: LayerSpec| spec.batch_norm(NORM);
        keep(&format!("{name} behind a product"), graph(&[5], &[dense(17, Linear, I(0)).dropout(dropout), classes(3, L(0))]));
        keep(&format!("{name} behind a normalized product"), {
            graph(&[5], &[norm(dense(17, Linear, I(0))).dropout(dropout), classes(3, L(0))])
        });
        keep(&format!("{name} behind a SELU"), {
            graph(&[5], &[dense(17, Selu, I(0)), identity(L(0)).dropout(dropout), classes(3, L(1))])
        });
        keep(&format!("{name} of a value taken twice"), {
            let specs = [dense(17, Tanh, I(0)), identity(L(0)).dropout(dropout), add(L(0), L(1)), classes(3, L(2))];
            graph(&[5], &specs)
        });
    }
    keep("ReLU and dropout", graph(&[5], &[dense(17, Relu, I(0)).dropout(plain), classes(3, L(0))]));
    keep("normalization, ReLU and dropout", {
        graph(&[5], &[dense(17, Relu, I(0)).batch_norm(NORM).dropout(plain), classes(3, L(0))])
    });
    keep("dropout of an output", graph(&[5], &[dense(4, Linear, I(0)).dropout(plain)]));

    keep("wide and deep", wide_and_deep());
    keep("a value taken by several", {
        let specs = [dense(17, Relu, I(0)), dense(5, Tanh, L(0)), dense(6, Gelu, L(0)), concatenate(L(1), L(2))];
        let specs = [&specs[..], &[concatenate(L(3), L(0)), classes(4, L(4))]].concat();
        graph(&[5], &specs)
    });
    keep("a ReLU taken by two products", {
        let specs = [dense(17, Relu, I(0)), dense(5, Linear, L(0)), dense(5, Linear, L(0)), add(L(1), L(2))];
        graph(&[5], &specs)
    });
    keep("a ReLU taken by a product and a sum", {
        graph(&[5], &[dense(17, Relu, I(0)), dense(17, Relu, L(0)), add(L(1), L(0)), classes(3, L(2))])
    });
    keep("a normalization of a value taken twice", {
        let specs = [dense(17, Tanh, I(0)), identity(L(0)).batch_norm(NORM), add(L(1), L(0)), classes(3, L(2))];
        graph(&[5], &specs)
    });
    keep("a sum with itself", graph(&[5], &[dense(18, Relu, I(0)), add(L(0), L(0)), classes(3, L(1))]));
    keep("a sum of an input with itself", graph(&[18], &[add(I(0), I(0)), classes(3, L(0))]));
    keep("a sum of two inputs", graph(&[18, 18], &[add(I(0), I(1)), classes(3, L(0))]));
    keep("a sum of what learns and what does not", {
        graph(&[18], &[activated(Tanh, I(0)), dense(18, Relu, I(0)), add(L(0), L(1)), classes(3, L(2))])
    });
    keep("a concatenation with itself", graph(&[5], &[dense(9, Relu, I(0)), concatenate(L(0), L(0)), classes(3, L(1))]));
    keep("a concatenation of an input with itself", graph(&[18], &[concatenate(I(0), I(0)), classes(3, L(0))]));
    keep("an input beside what is made of it", graph(&[5], &[dense(9, Relu, I(0)), concatenate(I(0), L(0)), classes(3, L(1))]));
    keep("a part of a concatenation made of its neighbour", {
        let specs = [dense(9, Tanh, I(0)), dense(7, Tanh, L(0)), concatenate(L(0), L(1)), concatenate(L(2), L(1))];
        graph(&[5], &[&specs[..], &[classes(3, L(3))]].concat())
    });
    keep("nested concatenations", {
        let parts = [dense(7, Relu, I(0)), dense(9, Linear, I(1)).batch_norm(NORM), dense(5, PRelu, I(0))];
        let merged = [concatenate(L(0), L(1)), concatenate(L(3), L(2)), concatenate(I(1), L(4)), classes(3, L(5))];
        graph(&[5, 4], &[&parts[..], &merged].concat())
    });
    keep("concatenations that share a part", {
        let parts = [dense(7, Relu, I(0)), dense(9, Tanh, I(0)), dense(5, Relu, I(0)).dropout(plain)];
        let merged = [concatenate(L(0), L(1)), concatenate(L(1), L(2)), concatenate(L(3), L(4)), classes(3, L(5))];
        graph(&[5], &[&parts[..], &merged].concat())
    });
    keep("a concatenation taken by several", {
        let parts = [dense(7, Relu, I(0)), dense(9, Tanh, I(0)), concatenate(L(0), L(1)), dense(16, Relu, L(2))];
        graph(&[5], &[&parts[..], &[add(L(2), L(3)), identity(L(4)).batch_norm(NORM), classes(3, L(5))]].concat())
    });
    keep("a concatenation of an output with another layer", {
        let specs = [dense(7, Tanh, I(0)), dense(9, Tanh, I(0)), concatenate(L(0), L(1)), classes(3, L(2))];
        graph_to(&[5], &specs, &[Output::of(3), squares(0, 0.7)])
    });
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        keep("a concatenation and its parts as outputs", {
            let specs = [dense(7, Tanh, I(0)), dense(9, Linear, L(0)), concatenate(L(0), L(1))];
            graph_to(&[5], &specs, &order.map(|layer| squares(layer, 0.5 + layer as f32)))
        });
    }
    keep("an output that is passed through", {
        graph_to(&[5], &[dense(7, Tanh, I(0)), identity(L(0))], &[squares(0, 1.0), squares(1, 1.0)])
    });
    keep("an output that feeds other layers", {
        let specs = [dense(6, Tanh, I(0)), dense(8, Relu, L(0)), classes(3, L(1))];
        graph_to(&[5], &specs, &[squares(0, 0.3), Output::of(2)])
    });
    keep("an output with a ReLU that feeds one product", {
        graph_to(&[5], &[dense(6, Relu, I(0)), classes(3, L(0))], &[squares(0, 0.3), Output::of(1)])
    });
    keep("outputs that learn nothing", {
        let specs = [dense(6, Relu, I(0)), activated(Tanh, I(1)), add(I(1), L(1))];
        graph_to(&[5, 3], &specs, &[squares(0, 1.0), squares(1, 1.0), squares(2, 1.0)])
    });
    keep("residual blocks", {
        let block = [identity(L(0)).batch_norm(NORM), activated(Relu, L(1)), dense(17, Linear, L(2)), add(L(0), L(3))];
        let more = [dense(17, Relu, L(4)).batch_norm(NORM), dense(17, Linear, L(5)), add(L(6), L(4)), classes(3, L(7))];
        graph(&[5], &[&[dense(17, Linear, I(0))], &block[..], &more].concat())
    });
    keep("single columns", {
        let specs = [dense(1, Relu, I(0)).batch_norm(NORM), dense(1, PRelu, L(0)), concatenate(L(1), I(0))];
        graph_to(&[1], &specs, &[squares(2, 1.0)])
    });
    keep("penalties", {
        let (l1, l2) = (Penalty { l1: 0.01, l2: 0.0 }, Penalty { l1: 0.02, l2: 0.03 });
        let hidden = LayerSpec { bias_penalty: l1, ..dense(17, Relu, I(0)).kernel_penalty(l2).batch_norm(NORM) };
        let last = LayerSpec { bias_penalty: Penalty { l1: 0.0, l2: 0.5 }, ..classes(3, L(0)).kernel_penalty(l1) };
        let slopes = dense(9, PRelu, L(0)).kernel_penalty(Penalty { l1: 0.3, l2: 0.2 });
        graph(&[5], &[hidden, slopes, last.of(L(1))])
    });
    all
}

/// A random network of up to three inputs, eight layers, and as many outputs as nothing else takes, or more.
pub(super) fn random_graph(random: &mut Pcg32) -> Graph {
    let inputs: Vec<usize> = (0..random.random_range(1..=3)).map(|_| random.random_range(1..=20)).collect();
    let count = random.random_range(inputs.len()..=8);
    let (mut specs, mut widths, mut consumers): (Vec<LayerSpec>, Vec<usize>, Vec<usize>) = Default::default();
    for i in 0..count {
        let any = |random: &mut Pcg32| match random.random_range(0..inputs.len() + 2 * i) {
            // Layers twice as often as inputs, the last ones most often.
            number if number < inputs.len() => I(number),
            number if number < inputs.len() + i => L(number - inputs.len()),
            _ => L(i - 1 - random.random_range(0..i.min(2))),
        };
        let width = |value: Value, widths: &[usize]| match value {
            I(input) => inputs[input],
            L(layer) => widths[layer],
        };
        // Every input is taken by somebody.
        let input = if i < inputs.len() { I(i) } else { any(random) };
        let in_dim = width(input, &widths);
        let other = any(random);
        let spec = match random.random_range(0..20) {
            0..4 if in_dim + width(other, &widths) <= 60 => concatenate(input, other),
            4..7 => {
                let same = (0..inputs.len()).map(I).chain((0..i).map(L)).filter(|&value| width(value, &widths) == in_dim);
                add(input, *pick(random, &same.collect::<Vec<_>>()))
            }
            7..12 => decorate(random, identity(input)),
            _ => {
                // Few different widths, so that sums find partners.
                let units = *pick(random, &[1, 5, 16, 17, 17, 33]);
                let spec = decorate(random, dense(units, Linear, input));
                let spec = if random.random_bool(0.2) { spec.without_bias() } else { spec };
                let penalty = |random: &mut Pcg32| match random.random_bool(0.1) {
                    true => Penalty { l1: random.random_range(0.0..0.05), l2: random.random_range(0.0..0.05) },
                    false => Penalty::NONE,
                };
                LayerSpec { bias_penalty: penalty(random), ..spec.kernel_penalty(penalty(random)) }
            }
        };
        let (out_dim, second) = match spec.operation {
            Operation::Dense { units, .. } => (units, None),
            Operation::Identity => (in_dim, None),
            Operation::Concatenate(second) => (in_dim + width(second, &widths), Some(second)),
            Operation::Add(second) => (in_dim, Some(second)),
        };
        for value in [Some(input), second].into_iter().flatten() {
            if let L(layer) = value {
                consumers[layer] += 1;
            }
        }
        specs.push(spec);
        widths.push(out_dim);
        consumers.push(0);
    }
    let mut outputs = Vec::new();
    for (i, spec) in specs.iter_mut().enumerate() {
        let taken = consumers[i] > 0;
        if taken && random.random_bool(0.85) {
            continue;
        }
        // One class alone has the probability 1, whatever it learns: nothing but rounding errors would be left to compare.
        let loss = if widths[i] == 1 { Loss::Huber { delta: 0.4 } } else { *pick(random, &LOSSES) };
        let computed = match loss {
            Loss::BinaryCrossentropy { .. } => Sigmoid,
            Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => Softmax,
            _ => Linear,
        };
        let is_merge = matches!(spec.operation, Operation::Concatenate(_) | Operation::Add(_));
        if taken || is_merge || spec.dropout.is_some() {
            // The loss takes anything but its own activation.
            if spec.activation == computed && computed != Linear {
                spec.activation = Tanh;
            }
        } else if random.random_bool(0.5) {
            spec.activation = computed;
        }
        outputs.push(Output { layer: i, loss, weight: random.random_range(0.3..2.0) });
    }
    outputs.sort_by_key(|output| (output.layer * 7 + 3) % 10);
    graph_to(&inputs, &specs, &outputs)
}

/// Normalization, activation and dropout, as far as they go together.
fn decorate(random: &mut Pcg32, spec: LayerSpec) -> LayerSpec {
    let mut spec = spec;
    if random.random_bool(0.3) {
        spec.normalization = Some(BatchNorm { epsilon: *pick(random, &[1e-3, 0.1]), momentum: 0.9 });
    }
    let other = *pick(random, &ACTIVATIONS);
    spec.activation = *pick(random, &[Linear, Linear, Relu, Relu, Relu, other]);
    if spec.normalization.is_some() && matches!(spec.activation, Gelu | GeluTanh | Swish | PRelu) {
        spec.activation = Tanh;
    }
    let is_product = matches!(spec.operation, Operation::Dense { .. });
    let rate = *pick(random, &[0.0, 0.1, 0.5]);
    match spec.activation {
        Linear if random.random_bool(0.3) => spec.dropout(*pick(random, &[Dropout::Plain(rate), Dropout::Alpha(rate)])),
        Relu if random.random_bool(0.3) && (is_product || spec.normalization.is_some()) => spec.dropout(Dropout::Plain(rate)),
        _ => spec,
    }
}
