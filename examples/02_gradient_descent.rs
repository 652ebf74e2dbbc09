//! How long should a step be? Gradient descent with four learning rates.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::kernels::optimizers::{Sgd, update};
use selvedge::pictures::{LineChart, Scale, Series, line_chart};
use selvedge::simd::Isa;
use std::path::PathBuf;

/// What is to become small, and its slope. The least value, 1, is at 3.
fn cost(w: f64) -> f64 {
    (w - 3.0).powi(2) + 1.0
}

fn slope(w: f32) -> f32 {
    2.0 * (w - 3.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let isa = Isa::select()?;

    // The step is w - learning_rate * slope(w), so the distance to 3 is multiplied by 1 - 2 * learning_rate each time.
    let rates = [("0.01: too small", 0.01), ("0.2: good", 0.2), ("0.95: goes to and fro", 0.95), ("1.02: too large", 1.02)];
    let mut paths = Vec::new();
    println!("start at w = -1; the minimum is at w = 3\n{:<24} {:>12} {:>14}", "learning rate", "w after 25", "cost after 25");
    for (name, learning_rate) in rates {
        let mut w = [-1.0f32];
        let mut path = vec![f64::from(w[0])];
        for _ in 0..25 {
            update(isa, Sgd { learning_rate }, &[slope(w[0])], [&mut w]);
            path.push(f64::from(w[0]));
        }
        println!("{name:<24} {:12.4} {:14.4}", w[0], cost(path[25]));
        paths.push(path);
    }

    let parabola: Vec<(f64, f64)> = (-30..=90).map(|i| f64::from(i) / 10.0).map(|w| (w, cost(w))).collect();
    let on_it: Vec<Vec<(f64, f64)>> = paths.iter().map(|path| path[..10].iter().map(|&w| (w, cost(w))).collect()).collect();
    let mut series = vec![Series::new("cost", &parabola)];
    series.extend(rates.iter().zip(&on_it).map(|((name, _), points)| Series::new(name, points)));
    let title = "The first nine steps, down the cost or up and away";
    let chart = LineChart { title, x_label: "w", y_label: "cost", series: &series, ..LineChart::default() };
    line_chart(folder.join("02_paths.png"), &chart)?;

    let by_step = |path: &Vec<f64>| path.iter().enumerate().map(|(step, &w)| (step as f64, cost(w) - 1.0)).collect();
    let costs: Vec<Vec<(f64, f64)>> = paths.iter().map(by_step).collect();
    let series: Vec<Series<'_>> = rates.iter().zip(&costs).map(|((name, _), points)| Series::new(name, points)).collect();
    let title = "How far the cost is above the least one";
    let chart =
        LineChart { title, x_label: "step", y_label: "cost - 1", series: &series, y_scale: Scale::Log, ..LineChart::default() };
    line_chart(folder.join("02_learning_rates.png"), &chart)?;
    Ok(())
}
