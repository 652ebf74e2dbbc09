//! How do optimizers cross a narrow valley? Gradient descent, momentum, Nesterov's momentum, RMSprop and Adam.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::kernels::optimizers::{AdamSettings, Momentum, MomentumKind, RmsPropSettings, Sgd, update};
use selvedge::pictures::{ContourMap, Grid, LineChart, Scale, Series, contour_map, line_chart};
use selvedge::simd::Isa;
use std::path::PathBuf;

/// A valley along x that is 25 times as steep across; the least value, 0, is at the origin.
fn cost(x: f64, y: f64) -> f64 {
    0.5 * (x * x + 25.0 * y * y)
}

fn gradient(w: &[f32; 2]) -> [f32; 2] {
    [w[0], 25.0 * w[1]]
}

/// The places after each of 60 steps. `step` gets the number of the step, the gradient, and what it changes: the place and two
/// kinds of memory.
fn descend(mut step: impl FnMut(u64, &[f32], [&mut [f32; 2]; 3])) -> Vec<(f64, f64)> {
    let (mut w, mut v, mut m) = ([-9.0, 1.6], [0.0; 2], [0.0; 2]);
    let mut path = vec![(f64::from(w[0]), f64::from(w[1]))];
    for t in 1..=60 {
        step(t, &gradient(&w), [&mut w, &mut v, &mut m]);
        path.push((w[0].into(), w[1].into()));
    }
    path
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let isa = Isa::select()?;

    let learning_rate = 0.03;
    let classic = Momentum { learning_rate, momentum: 0.8, kind: MomentumKind::Classic };
    let nesterov = Momentum { kind: MomentumKind::Nesterov, ..classic };
    let rms_prop = RmsPropSettings { learning_rate: 0.3, ..RmsPropSettings::default() }.rule();
    let adam = AdamSettings { learning_rate: 0.6, ..AdamSettings::default() };
    let paths = [
        ("gradient descent", descend(|_, g, [w, ..]| update(isa, Sgd { learning_rate }, g, [w]))),
        ("momentum", descend(|_, g, [w, v, _]| update(isa, classic, g, [w, v]))),
        ("Nesterov", descend(|_, g, [w, v, _]| update(isa, nesterov, g, [w, v]))),
        ("RMSprop", descend(|_, g, [w, v, _]| update(isa, rms_prop, g, [w, v]))),
        ("Adam", descend(|t, g, [w, v, m]| update(isa, adam.at_step(t), g, [w, m, v]))),
    ];
    // Momentum overshoots and comes back. Near the minimum RMSprop's mean square has faded, so that even a small gradient makes a
    // long step.
    println!("{:<18} {:>14} {:>14} {:>14}", "cost after steps", 10, 30, 60);
    for (name, path) in &paths {
        let cost = |step: usize| cost(path[step].0, path[step].1);
        println!("{name:<18} {:14.6} {:14.6} {:14.6}", cost(10), cost(30), cost(60));
    }

    let series: Vec<Series<'_>> = paths.iter().map(|(name, path)| Series::new(name, path)).collect();
    let grid = Grid { columns: 181, rows: 101, x_range: (-10.0, 4.0), y_range: (-2.0, 2.0) };
    let values: Vec<f64> = grid.points().map(|(x, y)| cost(x, y)).collect();
    for (file, title, paths) in [
        ("05_momentum.png", "Momentum rolls on, Nesterov looks ahead", &series[..3]),
        ("05_adaptive.png", "RMSprop and Adam scale each direction by itself", &series[3..]),
    ] {
        let scale = Scale::Linear;
        let (x_label, y_label, value_label) = ("x", "y", "cost");
        let chart =
            ContourMap { title, x_label, y_label, value_label, grid, values: &values, value_scale: scale, levels: 14, paths };
        contour_map(folder.join(file), &chart)?;
    }

    let by_step = |path: &Vec<(f64, f64)>| path.iter().enumerate().map(|(i, &(x, y))| (i as f64, cost(x, y))).collect();
    let costs: Vec<Vec<(f64, f64)>> = paths.iter().map(|(_, path)| by_step(path)).collect();
    let series: Vec<Series<'_>> = paths.iter().zip(&costs).map(|((name, _), costs)| Series::new(name, costs)).collect();
    let (title, y_scale) = ("How fast they come down", Scale::Log);
    let chart = LineChart { title, x_label: "step", y_label: "cost", series: &series, y_scale, ..LineChart::default() };
    line_chart(folder.join("05_costs.png"), &chart)?;
    Ok(())
}
