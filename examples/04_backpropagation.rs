//! What does backpropagation compute? The gradients of a 2-3-1 network, by hand and by the crate.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::exec::{Batch, Inputs, Targets};
use selvedge::kernels::MatRef;
use selvedge::model::{Activation, Compile, Dense, Loss, Sequential, Sgd};
use selvedge::pictures::{BarChart, BarGroup, bar_chart};
use std::path::PathBuf;

const INPUT: [f64; 2] = [0.6, -0.4];
const TARGET: f64 = 1.0;
const W1: [[f64; 3]; 2] = [[0.5, -0.3, 0.8], [0.2, 0.7, -0.6]];
const B1: [f64; 3] = [0.1, -0.2, 0.05];
const W2: [f64; 3] = [0.9, -0.5, 0.4];
const B2: f64 = 0.1;

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Forward and back; the gradients in the order of the weights below.
fn by_hand() -> (f64, Vec<f64>) {
    // Forward: z is the weighted sum, a the activation.
    let a1: [f64; 3] = std::array::from_fn(|j| sigmoid(INPUT[0] * W1[0][j] + INPUT[1] * W1[1][j] + B1[j]));
    let a2 = sigmoid(a1[0] * W2[0] + a1[1] * W2[1] + a1[2] * W2[2] + B2);
    let loss = -(TARGET * a2.ln() + (1.0 - TARGET) * (1.0 - a2).ln());
    // Back: delta is the gradient by z. For sigmoid and negative log-likelihood together it is a - y (not y - a, which climbs).
    let delta2 = a2 - TARGET;
    // Each weight hands back its share; the derivative of the hidden sigmoid is a (1 - a).
    let delta1: [f64; 3] = std::array::from_fn(|j| delta2 * W2[j] * a1[j] * (1.0 - a1[j]));
    // The gradient by a weight is what came in times the delta of where it leads; a bias always has 1 come in.
    let w1 = INPUT.iter().flat_map(|x| delta1.map(|delta| x * delta));
    let w2 = a1.map(|a| a * delta2);
    (loss, w1.chain(delta1).chain(w2).chain([delta2]).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (loss, gradients) = by_hand();

    let network = Sequential::new(&[2])
        .add(Dense::new(3).activation(Activation::Sigmoid).name("hidden"))
        .add(Dense::new(1).activation(Activation::Sigmoid).name("output"));
    let optimizer = Sgd { learning_rate: 0.5, ..Sgd::default() };
    let mut model = network.compile(Compile::new(optimizer).loss(Loss::BinaryCrossentropy { label_smoothing: 0.0 }).threads(1))?;
    let weights: Vec<f64> = W1.into_iter().flatten().chain(B1).chain(W2).chain([B2]).collect();
    model.set_weights(&weights.iter().map(|&w| w as f32).collect::<Vec<f32>>())?;

    let (x, y) = (INPUT.map(|x| x as f32), [TARGET as f32]);
    let (inputs, targets) = ([Inputs::Rows(MatRef::new(&x, 1, 2, 2))], [Targets::Rows(MatRef::new(&y, 1, 1, 1))]);
    let batch = Batch { inputs: &inputs, targets: &targets, weights: None };
    let (computed, before, after) = model.session(1, |session| {
        let tensors = session.gradients(&batch);
        let computed: Vec<(String, f64)> = tensors
            .flat_map(|(name, g)| {
                (0..g.rows())
                    .flat_map(move |i| g.row(i).iter().enumerate().map(move |(j, &g)| (format!("{name}[{i}][{j}]"), f64::from(g))))
            })
            .collect();
        // A step returns the loss before it.
        (computed, session.step(&batch).loss, session.step(&batch).loss)
    })?;

    println!("{:<20} {:>10} {:>10}", "gradient by", "by hand", "selvedge");
    for ((name, found), expected) in computed.iter().zip(&gradients) {
        println!("{name:<20} {expected:10.6} {found:10.6}");
    }
    let difference = computed.iter().zip(&gradients).map(|((_, a), b)| (a - b).abs()).fold(0.0, f64::max);
    println!("largest difference {difference:.1e}");
    println!("loss by hand {loss:.6}, by selvedge {before:.6}, after a step of gradient descent {after:.6}");

    let names: Vec<&str> = computed.iter().map(|(name, _)| name.as_str()).collect();
    let found: Vec<f64> = computed.iter().map(|(_, g)| *g).collect();
    let chart = BarChart {
        title: "Gradients of the 2-3-1 network",
        value_label: "gradient of the loss",
        names: &names,
        groups: &[BarGroup { name: "by hand", values: &gradients }, BarGroup { name: "selvedge", values: &found }],
        digits: 4,
    };
    bar_chart(folder.join("04_gradients.png"), &chart)?;
    Ok(())
}
