//! Models that Keras has saved compute here what they compute there.

use super::reference;
use selvedge::io::architecture::{Activation, Call, LayerKind};
use selvedge::io::{Architecture, KerasFile, Safetensors, Tensors};
use std::collections::BTreeMap;

/// Rows of `f64`.
type Rows = Vec<Vec<f64>>;

fn activate(activation: Activation, row: &mut [f64]) {
    if activation == Activation::Softmax {
        let exps: Vec<f64> = row.iter().map(|x| x.exp()).collect();
        let sum: f64 = exps.iter().sum();
        row.iter_mut().zip(exps).for_each(|(x, exp)| *x = exp / sum);
        return;
    }
    let function: Box<dyn Fn(f64) -> f64> = match activation {
        Activation::Linear => Box::new(|x| x),
        Activation::Relu => Box::new(|x| x.max(0.0)),
        Activation::LeakyRelu { negative_slope } => Box::new(move |x| if x > 0.0 { x } else { negative_slope * x }),
        Activation::Selu => Box::new(|x| {
            let (alpha, scale) = (1.673_263_242_354_377_2, 1.050_700_987_355_480_5);
            scale * if x > 0.0 { x } else { alpha * x.exp_m1() }
        }),
        Activation::Tanh => Box::new(f64::tanh),
        other => panic!("{other:?} is in no reference model"),
    };
    row.iter_mut().for_each(|x| *x = function(*x));
}

/// What the network computes in inference mode, from the definitions.
fn predict(architecture: &Architecture, tensors: &Tensors, inputs: &[Rows]) -> Vec<Rows> {
    let mut values: BTreeMap<Call, Rows> = BTreeMap::new();
    for call in &architecture.order {
        let layer = &architecture.layers[call.layer];
        let sources: Vec<&Rows> = layer.calls[call.call].iter().map(|source| &values[source]).collect();
        let wide = |variable: &str| -> Vec<f64> {
            let tensor = tensors.get(&format!("{}/{variable}", layer.name)).unwrap_or_else(|| panic!("{} {variable}", layer.name));
            tensor.elements().iter().map(|x| f64::from(*x)).collect()
        };
        let mut rows = sources.first().map(|rows| rows.to_vec()).unwrap_or_default();
        match &layer.kind {
            LayerKind::Input { .. } => rows = inputs[architecture.inputs.iter().position(|input| input == call).unwrap()].clone(),
            LayerKind::Dense { units, activation, use_bias, .. } => {
                let kernel = wide("kernel");
                let bias = if *use_bias { wide("bias") } else { vec![0.0; *units] };
                for row in &mut rows {
                    assert_eq!(kernel.len(), row.len() * units);
                    let mut y = bias.clone();
                    row.iter().zip(kernel.chunks(*units)).for_each(|(x, w)| y.iter_mut().zip(w).for_each(|(y, w)| *y += x * w));
                    activate(*activation, &mut y);
                    *row = y;
                }
            }
            LayerKind::Activation(activation) => rows.iter_mut().for_each(|row| activate(*activation, row)),
            LayerKind::PRelu { .. } => {
                let alpha = wide("alpha");
                rows.iter_mut().flat_map(|row| row.iter_mut().zip(&alpha)).for_each(|(x, a)| *x = x.max(0.0) + a * x.min(0.0));
            }
            LayerKind::BatchNormalization { epsilon, .. } => {
                let (gamma, beta, mean, variance) = (wide("gamma"), wide("beta"), wide("moving_mean"), wide("moving_variance"));
                for row in &mut rows {
                    for (j, x) in row.iter_mut().enumerate() {
                        *x = gamma[j] * (*x - mean[j]) / (variance[j] + epsilon).sqrt() + beta[j];
                    }
                }
            }
            LayerKind::Dropout { .. } | LayerKind::AlphaDropout { .. } => {}
            LayerKind::Concatenate { .. } => {
                rows.iter_mut().enumerate().for_each(|(i, row)| *row = sources.iter().flat_map(|rows| rows[i].clone()).collect());
            }
            LayerKind::Add => {
                rows.iter_mut().zip(sources[1]).for_each(|(row, other)| row.iter_mut().zip(other).for_each(|(x, y)| *x += y));
            }
            other => panic!("{other:?} is in no reference model"),
        }
        values.insert(*call, rows);
    }
    architecture.outputs.iter().map(|output| values[output].clone()).collect()
}

/// `<kind>/0`, `<kind>/1`, ... as rows.
fn rows(tensors: &Tensors, kind: &str) -> Vec<Rows> {
    let all = (0..).map_while(|k| tensors.get(&format!("{kind}/{k}")));
    let rows = |matrix: selvedge::kernels::MatRef<'_>| {
        (0..matrix.rows()).map(|i| matrix.row(i).iter().map(|x| f64::from(*x)).collect()).collect()
    };
    all.map(|tensor| rows(tensor.matrix())).collect()
}

fn largest_difference(a: &[Rows], b: &[Rows]) -> f64 {
    assert_eq!(a.len(), b.len());
    let flat = |rows: &[Rows]| rows.iter().flatten().flatten().copied().collect::<Vec<f64>>();
    let (a, b) = (flat(a), flat(b));
    assert!(a.len() == b.len() && !a.is_empty());
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The tensors of the export without its self-test, and the self-test.
fn export(name: &str) -> (Architecture, Tensors, Tensors) {
    let mut export = Safetensors::load(&reference(&format!("{name}.safetensors"))).unwrap();
    let self_test = export.tensors.take("self_test/");
    (Architecture::from_json(&export.metadata["config"]).unwrap(), export.tensors, self_test)
}

const MODELS: [&str; 2] = ["sequential", "wide_and_deep"];

#[test]
fn the_file_and_its_export_hold_the_same_bits() {
    for name in MODELS {
        let file = KerasFile::load(&reference(&format!("{name}.keras"))).unwrap();
        let (architecture, tensors, _) = export(name);
        assert_eq!(file.keras_version, "3.15.1");
        assert_eq!(file.architecture, architecture);
        assert_eq!(file.tensors, tensors);
    }
}

#[test]
fn predictions_are_those_of_keras() {
    for name in MODELS {
        let file = KerasFile::load(&reference(&format!("{name}.keras"))).unwrap();
        let expected = Safetensors::load(&reference(&format!("{name}.expected.safetensors"))).unwrap().tensors;
        let found = predict(&file.architecture, &file.tensors, &rows(&expected, "input"));
        let difference = largest_difference(&found, &rows(&expected, "output"));
        assert!(difference < 2e-6, "{name}: {difference}");
        let (architecture, tensors, self_test) = export(name);
        let found = predict(&architecture, &tensors, &rows(&self_test, "input"));
        let difference = largest_difference(&found, &rows(&self_test, "output"));
        assert!(difference < 2e-6, "{name}: {difference}");
    }
}

#[test]
fn scores_are_those_of_keras() {
    let expected = Safetensors::load(&reference("sequential.expected.safetensors")).unwrap().tensors;
    let score = |name: &str| f64::from(expected.require(&format!("score/{name}"), &[1]).unwrap().elements()[0]);
    let (architecture, tensors, _) = export("sequential");
    let output = &predict(&architecture, &tensors, &rows(&expected, "input"))[0];
    let labels = expected.get("label/0").unwrap().elements();
    let entropy: f64 = output.iter().zip(labels).map(|(row, label)| -row[*label as usize].ln()).sum();
    let kernel = tensors.get("dense_1/kernel").unwrap().elements();
    let penalty: f64 = 0.01 * kernel.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
    let loss = entropy / labels.len() as f64 + penalty;
    assert!((loss - score("loss")).abs() < 1e-5, "{loss} {}", score("loss"));
    let most = |row: &[f64]| (0..row.len()).max_by(|i, j| row[*i].total_cmp(&row[*j])).unwrap();
    let hits = output.iter().zip(labels).filter(|(row, label)| most(row) == **label as usize).count();
    assert_eq!(hits as f64 / labels.len() as f64, score("accuracy"));
}

/// Steps 0, 1, 2, 5 and 10 of the traces are there, and training has changed the weights.
#[test]
fn the_traces_are_complete() {
    for (name, optimizer) in [("sgd_nesterov", "SGD"), ("adam_clipnorm", "Adam"), ("rmsprop_global_clipnorm", "RMSprop")] {
        let mut trace = Safetensors::load(&reference(&format!("trace_{name}.safetensors"))).unwrap();
        assert_eq!(trace.metadata["optimizer"], optimizer);
        let architecture = Architecture::from_json(&trace.metadata["config"]).unwrap();
        let variables = architecture.layers.iter().flat_map(|layer| {
            layer.kind.variables().into_iter().map(|variable| format!("{}/{variable}", layer.name)).collect::<Vec<_>>()
        });
        let mut variables: Vec<String> = variables.collect();
        variables.sort();
        let mut before = Tensors::new();
        for step in [0, 1, 2, 5, 10] {
            let weights = trace.tensors.take(&format!("step_{step:02}/"));
            assert_eq!(weights.iter().map(|(name, _)| name).collect::<Vec<_>>(), variables);
            assert!(weights.iter().all(|(name, tensor)| before.get(name) != Some(tensor)), "{name} {step}");
            before = weights;
        }
        assert_eq!(trace.tensors.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["loss", "x", "y"]);
        assert!(trace.tensors.require("loss", &[10]).is_ok() && trace.tensors.require("x", &[160, 12]).is_ok());
    }
}

#[test]
fn damaged_files_give_errors_and_no_panic() {
    let bytes = std::fs::read(reference("sequential.keras")).unwrap();
    for length in (0..bytes.len()).step_by(97) {
        assert!(KerasFile::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    let whole = KerasFile::from_bytes(&bytes).unwrap();
    let mut damaged = bytes.clone();
    for position in (0..bytes.len()).step_by(13) {
        damaged[position] ^= 1 << (position % 8);
        // Some bytes mean nothing. No damage changes a weight.
        if let Ok(file) = KerasFile::from_bytes(&damaged) {
            assert_eq!(file, whole, "{position}");
        }
        damaged[position] = bytes[position];
    }
}
