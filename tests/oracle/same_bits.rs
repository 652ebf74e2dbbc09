//! What must not change a bit of a result in any graph: parts, threads, instruction sets, sources, what lies in the workspace and in
//! padding, the way that a layer is put together, and the way that a gradient takes to its parameters.

use super::graphs::{by_hand, large_first_layers, random_graph, square_layers, wide_and_deep};
use super::{Buffers, Graph, PLAIN, Sample, Setting, Source, bits, hash, parameters, random, regions, unpadded};
use selvedge::exec::{Clipping, Context, Inputs, Noise, Report, Step, gradients, update};
use selvedge::kernels::optimizers::{
    AdamSettings, AmsGrad, CenteredRmsProp, Momentum, MomentumKind, NadamProgress, Optimizer, RmsPropMomentum, RmsPropSettings, Sgd,
};
use selvedge::parallel::{Executor, Pool, Serial};
use selvedge::plan::{Activation, BatchNorm, Dropout, LayerSpec, Loss, Output, Plan, Value};
use selvedge::simd::Isa;

const PARTS: [usize; 4] = [2, 3, 7, 16];
const BATCH: usize = 11;

/// Every rule, as it is at step `t`.
fn optimizers(t: u64) -> [Optimizer; 10] {
    let momentum = |kind| Momentum { learning_rate: 0.05, momentum: 0.9, kind };
    let (rms, adam) = (RmsPropSettings::default().rule(), AdamSettings::default());
    let mut progress = NadamProgress::default();
    let mut nadam = adam.next_nadam(&mut progress);
    (1..t).for_each(|_| nadam = adam.next_nadam(&mut progress));
    [
        Optimizer::Sgd(Sgd { learning_rate: 0.05 }),
        Optimizer::Momentum(momentum(MomentumKind::Classic)),
        Optimizer::Momentum(momentum(MomentumKind::Nesterov)),
        Optimizer::RmsProp(rms),
        Optimizer::RmsPropMomentum(RmsPropMomentum { rule: rms, momentum: 0.9 }),
        Optimizer::CenteredRmsProp(CenteredRmsProp { rule: rms, momentum: 0.5 }),
        Optimizer::Adam(adam.at_step(t)),
        Optimizer::AmsGrad(AmsGrad(adam.at_step(t))),
        Optimizer::AdamW(adam.at_step_with_decay(t, 0.004)),
        Optimizer::Nadam(nadam),
    ]
}

/// All bits that four steps of Adam leave behind, the third of them on a partial minibatch: parameters with moving statistics, state,
/// and reports.
fn train(graph: &Graph, isa: Isa, executor: &dyn Executor, setting: Setting) -> Vec<u32> {
    train_on(BATCH, graph, isa, executor, setting)
}

/// The same on minibatches of `batch` rows.
fn train_on(batch: usize, graph: &Graph, isa: Isa, executor: &dyn Executor, setting: Setting) -> Vec<u32> {
    let plan = Plan::training(graph.network(), batch, executor.parts());
    let context = Context { isa, plan: &plan, executor };
    let mut random = random(1);
    let optimizer = |t| optimizers(t)[6];
    let mut buffers = Buffers::new(&plan, &optimizer(1), parameters(&plan, &mut random, setting.padding));
    buffers.workspace.fill(setting.workspace);
    buffers.state.fill(setting.padding);
    for state in buffers.state.chunks_exact_mut(plan.parameters_len().max(1)) {
        for region in regions(&plan) {
            let mut matrix = region.of_mut(state);
            (0..region.rows).for_each(|i| matrix.row_mut(i).fill(0.0));
        }
    }
    let mut all = Vec::new();
    for (t, rows) in (1..).zip([batch, batch, batch - 3, batch]) {
        let sample = Sample::new(&mut random, &plan, rows);
        let step = Step { noise: Noise { seed: 3, step: t, first_row: 0 }, ..optimizer(u64::from(t)).into() };
        let Report { loss_sum, outputs } = buffers.step(&context, step, &sample.given_from(setting.source).batch());
        assert!(loss_sum.is_finite(), "step {t}: loss {loss_sum}");
        all.push(loss_sum.to_bits());
        all.extend(outputs.iter().flat_map(|output| [output.loss_sum.to_bits(), output.hits as u32]));
    }
    all.extend(bits(&unpadded(&plan, &buffers.parameters)));
    for state in buffers.state.chunks_exact(plan.parameters_len().max(1)) {
        all.extend(bits(&unpadded(&plan, state)));
    }
    all
}

/// The graphs picked by hand, and as many at random as make a test of a second or two.
fn all_graphs() -> Vec<(String, Graph)> {
    let drawn = (0..100).map(|seed| (format!("graph {seed}"), random_graph(&mut random(seed))));
    by_hand().into_iter().chain(drawn).collect()
}

/// The instruction set whose results `isa` must repeat: all that fuse multiply and add agree, others only with themselves.
fn model_for(isa: Isa) -> Isa {
    if isa.fused() { Isa::available().filter(|isa| isa.fused()).last().unwrap_or(isa) } else { isa }
}

#[test]
fn parts_and_instruction_sets() {
    for (name, graph) in all_graphs() {
        for isa in Isa::available() {
            let expected = train(&graph, model_for(isa), &Serial::new(1), PLAIN);
            for parts in PARTS {
                assert!(train(&graph, isa, &Serial::new(parts), PLAIN) == expected, "{name}: {isa}, {parts} parts\n{graph:?}");
            }
        }
    }
}

/// A first layer of many weights, which all parts read and each updates some of.
#[test]
fn large_first_layers_in_parts() {
    let pool = Pool::new(2).expect("threads");
    for (name, graph) in large_first_layers() {
        for isa in Isa::available() {
            let expected = train_on(40, &graph, model_for(isa), &Serial::new(1), PLAIN);
            let check = |found: Vec<u32>, case: &str| assert!(found == expected, "{name}: {isa}, {case}\n{graph:?}");
            for parts in [2, 3] {
                check(train_on(40, &graph, isa, &Serial::new(parts), PLAIN), &format!("{parts} parts"));
            }
            for source in [Source::PaddedRows, Source::Gathered, Source::Bytes] {
                let setting = Setting { source, workspace: f32::NAN, padding: f32::NAN };
                check(train_on(40, &graph, isa, &Serial::new(2), setting), &format!("{setting:?}"));
            }
            check(pool.team(|team| train_on(40, &graph, isa, team, PLAIN)), "threads");
        }
    }
}

/// Gradients by the input of a product are the same by transposed weights and by transposed gradients.
#[test]
fn transposed_weights_or_gradients() {
    for (name, graph) in square_layers() {
        for isa in Isa::available() {
            let [many_rows, few_rows] = [1, 7].map(|parts| train_on(88, &graph, isa, &Serial::new(parts), PLAIN));
            assert!(many_rows == few_rows, "{name}: {isa}\n{graph:?}");
        }
    }
}

/// The weights after training are the recorded ones, on any machine: a run on one kind of processor cannot compare with another.
#[test]
fn recorded_bits() {
    let graphs = all_graphs();
    for isa in Isa::available().filter(|isa| isa.fused()) {
        let found = hash(graphs.iter().flat_map(|(_, graph)| train(graph, isa, &Serial::new(3), PLAIN)));
        assert_eq!(found, 0x128e_29b0_8d2f_b97a, "{isa}: {found:#018x}");
    }
}

#[test]
fn threads() {
    let isa = Isa::detect();
    let pool = Pool::new(3).expect("threads");
    for (name, graph) in all_graphs() {
        let expected = train(&graph, isa, &Serial::new(1), PLAIN);
        let found = pool.team(|team| train(&graph, isa, team, PLAIN));
        assert!(found == expected, "{name}\n{graph:?}");
    }
}

#[test]
fn sources_and_the_contents_of_workspace_and_padding() {
    for (i, (name, graph)) in all_graphs().into_iter().enumerate() {
        let isas: Vec<Isa> = Isa::available().collect();
        let isa = isas[i % isas.len()];
        let expected = train(&graph, isa, &Serial::new(3), PLAIN);
        for source in [Source::PaddedRows, Source::Gathered, Source::Bytes] {
            for (workspace, padding) in [(f32::NAN, f32::NAN), (f32::MAX, f32::NEG_INFINITY)] {
                let setting = Setting { source, workspace, padding };
                let found = train(&graph, isa, &Serial::new(3), setting);
                assert!(found == expected, "{name}: {isa}, {setting:?}\n{graph:?}");
            }
        }
    }
}

/// Each input may come from somewhere else.
#[test]
fn inputs_from_different_sources() {
    let graph = wide_and_deep();
    let plan = Plan::training(graph.network(), BATCH, 2);
    let context = Context { isa: Isa::detect(), plan: &plan, executor: &Serial::new(2) };
    let mut random = random(5);
    let start = parameters(&plan, &mut random, 0.0);
    let sample = Sample::new(&mut random, &plan, BATCH);
    let run = |inputs: Vec<Inputs<'_>>| {
        let mut given = sample.given();
        given.inputs = inputs;
        let mut buffers = Buffers::new(&plan, &optimizers(1)[0], start.clone());
        buffers.step(&context, optimizers(1)[0], &given.batch());
        bits(&unpadded(&plan, &buffers.parameters))
    };
    let [rows, gathered, bytes] =
        [Source::PaddedRows, Source::Gathered, Source::Bytes].map(|source| sample.given_from(source).inputs);
    let expected = run(sample.given().inputs);
    assert_eq!(run(vec![rows[0], bytes[1]]), expected);
    assert_eq!(run(vec![bytes[0], rows[1]]), expected);
    assert_eq!(run(vec![gathered[0], bytes[1]]), expected);
}

/// A gradient that is stored first gives every optimizer the same bits as one that meets its parameters in registers; so do limits
/// that nothing reaches, with which a step goes the same way.
#[test]
fn stored_gradients() {
    let isas: Vec<Isa> = Isa::available().collect();
    for (i, (name, graph)) in all_graphs().into_iter().enumerate() {
        let (isa, parts) = (isas[i % isas.len()], 1 + i % 5);
        let plan = Plan::training(graph.network(), BATCH, parts);
        let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
        let mut random = random(6);
        let start = parameters(&plan, &mut random, f32::NAN);
        let samples = [0, 1].map(|_| Sample::new(&mut random, &plan, BATCH));
        for rule in 0..optimizers(1).len() {
            let run = |stored: bool, clipping: Clipping| {
                let mut buffers = Buffers::new(&plan, &optimizers(1)[rule], start.clone());
                for (t, sample) in (1..).zip(&samples) {
                    let step =
                        Step { optimizer: optimizers(t)[rule], clipping, noise: Noise { seed: 9, step: t as u32, first_row: 0 } };
                    if stored {
                        gradients(&context, &step.noise, &sample.given().batch(), &mut buffers.memory());
                        update(&context, &step, &mut buffers.memory());
                    } else {
                        buffers.step(&context, step, &sample.given().batch());
                    }
                }
                let state = buffers.state.chunks_exact(plan.parameters_len().max(1)).flat_map(|state| unpadded(&plan, state));
                (unpadded(&plan, &buffers.parameters), state.collect::<Vec<f32>>())
            };
            // Zeros may differ in their sign.
            let expected = run(false, Clipping::None);
            assert!(expected.0.iter().chain(&expected.1).all(|x| x.is_finite()), "{name}");
            let case = format!("{name}: {isa}, {parts} parts, {:?}", optimizers(1)[rule]);
            assert!(run(true, Clipping::None) == expected, "{case}\n{graph:?}");
            for clipping in [Clipping::Value(1e9), Clipping::Norm(1e9), Clipping::GlobalNorm(1e9)] {
                assert!(run(false, clipping) == expected, "{case}, {clipping:?}\n{graph:?}");
            }
            let clipped = run(false, Clipping::Value(0.01));
            assert!(run(true, Clipping::Value(0.01)) == clipped, "{case}, clipped\n{graph:?}");
        }
    }
}

/// Parts share the rows of which a norm is made, and nobody sees it.
#[test]
fn steps_that_a_norm_shortens() {
    let isas: Vec<Isa> = Isa::available().collect();
    let mut shortened = 0;
    for (i, (name, graph)) in all_graphs().into_iter().enumerate() {
        let isa = isas[i % isas.len()];
        let run = |parts: usize, clipping: Clipping| {
            let plan = Plan::training(graph.network(), BATCH, parts);
            let context = Context { isa, plan: &plan, executor: &Serial::new(parts) };
            let mut random = random(7);
            let start = parameters(&plan, &mut random, f32::NAN);
            let sample = Sample::new(&mut random, &plan, BATCH);
            let optimizer = optimizers(1)[1];
            let mut buffers = Buffers::new(&plan, &optimizer, start);
            buffers.step(&context, Step { clipping, ..Step::new(optimizer) }, &sample.given().batch());
            unpadded(&plan, &buffers.parameters)
        };
        let far = run(1, Clipping::None);
        for clipping in [Clipping::Norm(1e-3), Clipping::GlobalNorm(1e-3)] {
            let expected = run(1, clipping);
            shortened += usize::from(expected != far);
            for parts in [2, 3, 7, 16] {
                assert!(run(parts, clipping) == expected, "{name}: {isa}, {parts} parts, {clipping:?}\n{graph:?}");
            }
        }
    }
    // Not those whose gradient is zero.
    assert!(shortened > all_graphs().len(), "{shortened} of {} steps", 2 * all_graphs().len());
}

/// A layer does the same whether its parts are merged or layers of their own. Dropout takes its random numbers by the number of the
/// layer, so layers that do nothing stand in front of the merged one.
#[test]
fn merged_and_separate_layers() {
    let norm = BatchNorm { epsilon: 0.01, momentum: 0.9 };
    let outputs = [Output { layer: 5, loss: Loss::MeanSquaredError, weight: 1.0 }];
    let number = |specs: Vec<LayerSpec>| -> Graph {
        let specs: Vec<LayerSpec> = specs
            .into_iter()
            .enumerate()
            .map(|(i, spec)| {
                spec.of(match i {
                    0 => Value::Input(0),
                    _ => Value::Layer(i - 1),
                })
            })
            .collect();
        Graph::arrange(&[7], &specs, &outputs).expect("a network")
    };
    let (nothing, first) = (LayerSpec::identity(), LayerSpec::dense(18, Activation::Tanh));
    let last = LayerSpec::dense(2, Activation::Linear);
    for activation in [Activation::Linear, Activation::Relu, Activation::Tanh, Activation::Gelu, Activation::PRelu] {
        for product in [false, true] {
            for normalized in [false, true] {
                for dropout in [None, Some(Dropout::Plain(0.3)), Some(Dropout::Alpha(0.3))] {
                    let base = if product { LayerSpec::dense(18, Activation::Linear) } else { nothing };
                    let merged = LayerSpec { normalization: normalized.then_some(norm), activation, dropout, ..base };
                    let separate = [
                        base,
                        LayerSpec { normalization: merged.normalization, ..nothing },
                        LayerSpec { activation, ..nothing },
                        LayerSpec { dropout, ..nothing },
                    ];
                    let separate = number([&[first], &separate[..], &[last]].concat());
                    let together = [first, nothing, nothing, nothing, merged, last];
                    let kept_sums = matches!(activation, Activation::Gelu | Activation::PRelu);
                    let plain = matches!(dropout, Some(Dropout::Plain(_)));
                    let fits = match activation {
                        Activation::Linear => true,
                        Activation::Relu => dropout.is_none() || plain && (product || normalized),
                        _ => dropout.is_none() && !(normalized && kept_sums),
                    };
                    if !fits {
                        continue;
                    }
                    let together = number(together.to_vec());
                    for isa in Isa::available() {
                        let [separate, together] = [&separate, &together].map(|graph| train(graph, isa, &Serial::new(2), PLAIN));
                        assert!(separate == together, "{merged:?}, {isa}");
                    }
                }
            }
        }
    }
}
