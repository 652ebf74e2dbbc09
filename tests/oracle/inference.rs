//! Predictions and evaluations of any graph, with and without dropout, against the reference and against each other.

use super::graphs::{by_hand, random_graph};
use super::truth::{minibatch, reference};
use super::{Given, Graph, Sample, Source, bits, parameters, random};
use selvedge::exec::{Context, Inputs, Noise, Report, Targets, evaluate, predict, predict_with_dropout};
use selvedge::kernels::MatMut;
use selvedge::parallel::Serial;
use selvedge::plan::{Dropout, Loss, Plan};
use selvedge::reference::network::Statistics;
use selvedge::simd::Isa;

const BATCH: usize = 9;

fn all_graphs() -> impl Iterator<Item = (String, Graph)> {
    by_hand().into_iter().chain((0..300).map(|seed| (format!("graph {seed}"), random_graph(&mut random(seed)))))
}

/// An instruction set for each graph in turn.
fn isa(i: usize) -> Isa {
    let all: Vec<Isa> = Isa::available().collect();
    all[i % all.len()]
}

/// The network, ready to be asked.
struct Asked<'a> {
    plan: Plan<'a>,
    isa: Isa,
    parameters: &'a [f32],
}

impl Asked<'_> {
    fn with<R>(&self, body: impl FnOnce(&Context<'_>, &mut [f32]) -> R) -> R {
        let executor = Serial::new(self.plan.parts());
        let context = Context { isa: self.isa, plan: &self.plan, executor: &executor };
        body(&context, &mut vec![f32::NAN; self.plan.workspace_len()])
    }

    /// What comes out, as rows without gaps, from matrices with gaps, in which nothing may be written.
    fn predict(&self, inputs: &[Inputs<'_>], noise: Option<Noise>) -> Vec<Vec<f32>> {
        let columns: Vec<usize> = self.plan.outputs().iter().map(|output| self.plan.layers()[output.layer].out_dim).collect();
        let (rows, gap) = (inputs[0].len(), 3);
        let mut buffers: Vec<Vec<f32>> = columns.iter().map(|columns| vec![-7.0; rows * (columns + gap)]).collect();
        let matrices = buffers.iter_mut().zip(&columns);
        let mut outputs: Vec<MatMut<'_>> =
            matrices.map(|(buffer, &columns)| MatMut::new(buffer, rows, columns, columns + gap)).collect();
        self.with(|context, workspace| match noise {
            None => predict(context, inputs, self.parameters, workspace, &mut outputs),
            Some(noise) => predict_with_dropout(context, noise, inputs, self.parameters, workspace, &mut outputs),
        });
        let without_gaps = |(buffer, columns): (Vec<f32>, &usize)| {
            let rows = buffer.chunks(columns + gap);
            rows.clone().for_each(|row| assert_eq!(row[*columns..], [-7.0; 3]));
            rows.flat_map(|row| &row[..*columns]).copied().collect()
        };
        buffers.into_iter().zip(&columns).map(without_gaps).collect()
    }

    fn evaluate(&self, given: &Given<'_>) -> Report {
        self.with(|context, workspace| evaluate(context, &given.batch(), self.parameters, workspace))
    }
}

/// A sample and parameters for a graph.
fn problem(graph: &Graph, seed: u64) -> (Vec<f32>, Sample) {
    let plan = Plan::inference(graph.network(), BATCH, 1);
    let mut random = random(seed);
    (parameters(&plan, &mut random, f32::NAN), Sample::new(&mut random, &plan, BATCH))
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64], case: &str) {
    assert_eq!(found.len(), expected.len(), "{case}");
    for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= 3e-5 * (1.0 + expected.abs()), "{case}, element {i}: {expected} expected, found {found}");
    }
}

fn largest(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best })
}

#[test]
fn predictions_and_evaluations_are_those_of_the_reference() {
    for (i, (name, graph)) in all_graphs().enumerate() {
        let (parameters, sample) = problem(&graph, i as u64);
        let asked = Asked { plan: Plan::inference(graph.network(), BATCH, 1 + i % 4), isa: isa(i), parameters: &parameters };
        let (plan, case) = (&asked.plan, format!("{name}, {}\n{graph:?}\n", isa(i)));
        let network = reference(plan, &parameters);
        let given = sample.given();
        let found = asked.predict(&given.inputs, None);
        let batch = minibatch(plan, &sample, None);
        for (found, expected) in found.iter().zip(network.predict(&batch)) {
            assert_close(found, &expected.concat(), &case);
        }
        let noise = Noise { seed: 77, step: 3, first_row: 1000 * i as u32 };
        let dropped = minibatch(plan, &sample, Some(noise));
        for (found, expected) in asked.predict(&given.inputs, Some(noise)).iter().zip(network.predict(&dropped)) {
            assert_close(found, &expected.concat(), &format!("with dropout: {case}"));
        }

        let report = asked.evaluate(&given);
        let losses = network.losses(&batch, Statistics::Moving);
        let mut sum = 0.0;
        for (o, (output, loss)) in plan.outputs().iter().zip(losses).enumerate() {
            let found = report.outputs[o];
            assert_close(&[found.loss_sum], &[loss], &format!("loss {o}: {case}"));
            sum += f64::from(output.weight) * loss;
            let columns = plan.layers()[output.layer].out_dim;
            let rows = || asked_rows(&found_rows(&asked, &given, o), columns);
            let expected = match (output.loss, &given.targets[o]) {
                (Loss::SparseCategoricalCrossentropy { .. }, Targets::Labels(labels)) => {
                    rows().iter().zip(*labels).filter(|(row, label)| largest(row) == **label as usize).count()
                }
                (Loss::CategoricalCrossentropy { .. }, Targets::Rows(y)) => {
                    rows().iter().enumerate().filter(|(i, row)| largest(row) == largest(y.row(*i))).count()
                }
                (Loss::BinaryCrossentropy { .. }, Targets::Rows(y)) => {
                    let is_probability = matches!(plan.layers()[output.layer].spec.activation, selvedge::plan::Activation::Sigmoid);
                    let threshold = if is_probability { 0.5 } else { 0.0 };
                    let right = |(i, row): (usize, &Vec<f32>)| {
                        row.iter().zip(y.row(i)).filter(|(x, y)| (**x > threshold) == (**y > 0.5)).count()
                    };
                    rows().iter().enumerate().map(right).sum()
                }
                _ => 0,
            };
            assert_eq!(found.hits, expected, "hits of output {o}: {case}");
        }
        assert_close(&[report.loss_sum], &[sum], &format!("all losses: {case}"));
        assert_eq!(report.outputs[plan.outputs().len()..].iter().find(|output| **output != Default::default()), None, "{case}");
    }
}

fn found_rows(asked: &Asked<'_>, given: &Given<'_>, output: usize) -> Vec<f32> {
    asked.predict(&given.inputs, None).swap_remove(output)
}

fn asked_rows(values: &[f32], columns: usize) -> Vec<Vec<f32>> {
    values.chunks(columns).map(<[f32]>::to_vec).collect()
}

/// Row `i` of a batch comes out as that row alone does, whatever the parts and the source; so do its losses.
#[test]
fn rows_do_not_know_each_other() {
    for (i, (name, graph)) in all_graphs().enumerate() {
        let (parameters, sample) = problem(&graph, i as u64);
        let case = format!("{name}, {}\n{graph:?}\n", isa(i));
        let alone = Asked { plan: Plan::inference(graph.network(), 1, 1), isa: isa(i), parameters: &parameters };
        let whole = sample.given();
        let rows: Vec<(Vec<Vec<f32>>, Report)> = (0..BATCH)
            .map(|row| {
                let one = Given {
                    inputs: sample
                        .inputs
                        .iter()
                        .map(|input| {
                            Inputs::Rows(selvedge::kernels::MatRef::new(input.rows().row(row), 1, input.columns, input.columns))
                        })
                        .collect(),
                    targets: whole
                        .targets
                        .iter()
                        .map(|targets| match targets {
                            Targets::Labels(labels) => Targets::Labels(&labels[row..=row]),
                            Targets::Rows(y) => {
                                Targets::Rows(selvedge::kernels::MatRef::new(y.row(row), 1, y.columns(), y.columns()))
                            }
                            Targets::Gathered { .. } => unreachable!("rows were asked for"),
                        })
                        .collect(),
                    weights: whole.weights.map(|weights| &weights[row..=row]),
                };
                (alone.predict(&one.inputs, None), alone.evaluate(&one))
            })
            .collect();
        for parts in [1, 2, 5, 16] {
            let together = Asked { plan: Plan::inference(graph.network(), BATCH, parts), ..alone };
            for source in [Source::Rows, Source::PaddedRows, Source::Gathered, Source::Bytes] {
                let given = sample.given_from(source);
                for (o, found) in together.predict(&given.inputs, None).iter().enumerate() {
                    let expected: Vec<f32> = rows.iter().flat_map(|(outputs, _)| outputs[o].clone()).collect();
                    assert!(bits(found) == bits(&expected), "{parts} parts, {source:?}, output {o}: {case}");
                }
                let report = together.evaluate(&given);
                for (o, found) in report.outputs.iter().enumerate() {
                    let of_rows = rows.iter().map(|(_, report)| report.outputs[o]);
                    let losses = selvedge::kernels::reduce::sum(of_rows.clone().map(|output| output.loss_sum));
                    assert_eq!(found.loss_sum.to_bits(), losses.to_bits(), "{parts} parts, {source:?}, output {o}: {case}");
                    assert_eq!(found.hits, of_rows.map(|output| output.hits).sum::<usize>(), "{parts} parts, {source:?}: {case}");
                }
            }
        }
    }
}

/// Predictions with dropout: those without, where nothing is dropped; the same for any parts; others for other steps and seeds.
#[test]
fn dropout_in_predictions() {
    for (i, (name, mut graph)) in all_graphs().enumerate() {
        let (parameters, sample) = problem(&graph, i as u64);
        let given = sample.given();
        let rates = graph.layers.iter().filter_map(|layer| match layer.spec.dropout? {
            Dropout::Plain(rate) | Dropout::Alpha(rate) => Some(rate),
        });
        let drops = rates.clone().any(|rate| rate > 0.0);
        let by_chance = rates.clone().any(|rate| rate > 0.0 && rate < 1.0);
        let asked = Asked { plan: Plan::inference(graph.network(), BATCH, 1), isa: isa(i), parameters: &parameters };
        let noise = Noise { seed: 1, step: 1, first_row: 0 };
        let first = asked.predict(&given.inputs, Some(noise));
        for parts in [2, 5] {
            let parted = Asked { plan: Plan::inference(graph.network(), BATCH, parts), ..asked };
            assert!(parted.predict(&given.inputs, Some(noise)) == first, "{name}, {parts} parts");
        }
        if !drops {
            assert!(asked.predict(&given.inputs, None) == first, "{name}");
        }
        if by_chance && !name.starts_with("graph") {
            assert!(asked.predict(&given.inputs, None) != first, "{name}");
            assert!(asked.predict(&given.inputs, Some(Noise { step: 2, ..noise })) != first, "{name}");
            assert!(asked.predict(&given.inputs, Some(Noise { seed: 2, ..noise })) != first, "{name}");
            assert!(asked.predict(&given.inputs, Some(Noise { first_row: 2, ..noise })) != first, "{name}");
        }
        for layer in &mut graph.layers {
            layer.spec.dropout = layer.spec.dropout.map(|dropout| match dropout {
                Dropout::Plain(_) => Dropout::Plain(0.0),
                Dropout::Alpha(_) => Dropout::Alpha(0.0),
            });
        }
        let asked = Asked { plan: Plan::inference(graph.network(), BATCH, 1), isa: isa(i), parameters: &parameters };
        let [without, with] = [None, Some(noise)].map(|noise| asked.predict(&given.inputs, noise));
        assert!(without == with, "{name}, rate 0");
    }
}
