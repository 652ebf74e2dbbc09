//! Why did step functions give way to smooth ones? Activations and their derivatives.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::kernels::activations::{
    Activation, Elu, Gelu, Heaviside, LeakyRelu, Relu, Selu, Sigmoid, Sign, Softplus, Source, Swish, Tanh, backward, forward,
};
use selvedge::pictures::{LineChart, Series, line_chart};
use selvedge::simd::Isa;
use std::path::PathBuf;

/// The name of a function, its values and its derivatives.
type Curve = (&'static str, Vec<f32>, Vec<f32>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let isa = Isa::select()?;

    let z: Vec<f32> = (-1000..=1000).map(|i| i as f32 / 200.0).collect();
    let steps = [curve(isa, "heaviside", Heaviside, &z), curve(isa, "sign", Sign, &z)];
    let smooth = [curve(isa, "sigmoid", Sigmoid, &z), curve(isa, "tanh", Tanh, &z)];
    let rectifiers = [
        curve(isa, "relu", Relu, &z),
        curve(isa, "leaky relu", LeakyRelu::default(), &z),
        curve(isa, "elu", Elu::default(), &z),
        curve(isa, "selu", Selu, &z),
        curve(isa, "gelu", Gelu, &z),
        curve(isa, "swish", Swish, &z),
        curve(isa, "softplus", Softplus, &z),
    ];

    println!("{:<11} {:>7} {:>7} {:>7} {:>9} {:>7} {:>7}", "", "f(-2)", "f(0)", "f(2)", "f'(-2)", "f'(0)", "f'(2)");
    let all = || steps.iter().chain(&smooth).chain(&rectifiers);
    for (name, y, dy) in all() {
        let [low, middle, high] = [600, 1000, 1400];
        println!("{name:<11} {:7.3} {:7.3} {:7.3} {:9.3} {:7.3} {:7.3}", y[low], y[middle], y[high], dy[low], dy[middle], dy[high]);
    }
    for (name, ..) in all().filter(|(.., dy)| dy.iter().all(|&d| d == 0.0)) {
        println!("{name}: the derivative is 0 everywhere, so no gradient passes and nothing below it can learn");
    }

    let old: Vec<Curve> = steps.into_iter().chain(smooth).collect();
    let values: fn(&Curve) -> &[f32] = |curve| &curve.1;
    let derivatives: fn(&Curve) -> &[f32] = |curve| &curve.2;
    for (file, title, curves, what, range) in [
        ("01_step_functions.png", "Step functions and their smooth successors", &old[..], values, (-1.25, 1.25)),
        ("01_step_derivatives.png", "Their derivatives: those of the steps are zero", &old, derivatives, (-0.25, 1.25)),
        ("01_rectifiers.png", "ReLU and its kin", &rectifiers, values, (-2.0, 3.0)),
        ("01_rectifier_derivatives.png", "Derivatives of ReLU and its kin", &rectifiers, derivatives, (-0.25, 2.0)),
    ] {
        let points: Vec<Vec<(f64, f64)>> =
            (curves.iter()).map(|curve| z.iter().zip(what(curve)).map(|(&z, &y)| (z.into(), y.into())).collect()).collect();
        let series: Vec<Series<'_>> = curves.iter().zip(&points).map(|(curve, points)| Series::new(curve.0, points)).collect();
        let (x_label, y_label, y_range) = ("z", "value", Some(range));
        let chart = LineChart { title, x_label, y_label, series: &series, y_range, ..LineChart::default() };
        line_chart(folder.join(file), &chart)?;
    }
    Ok(())
}

/// A derivative is what comes back for a gradient of 1; some are computed from `z`, most from `f(z)`.
fn curve<A: Activation>(isa: Isa, name: &'static str, activation: A, z: &[f32]) -> Curve {
    let (mut y, mut dz) = (vec![0.0; z.len()], vec![0.0; z.len()]);
    forward(isa, activation, z, &mut y);
    let at = if A::DERIVATIVE_FROM == Source::Input { z } else { &y };
    backward(isa, activation, at, &vec![1.0; z.len()], &mut dz);
    (name, y, dz)
}
