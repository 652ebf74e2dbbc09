//! What does it take without the model layer? A plan made at compile time, static buffers, and no allocation in training.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::exec::{Batch, Context, Inputs, Targets, predict, train_step};
use selvedge::kernels::optimizers::{AdamSettings, Optimizer};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::model::{Fans, Initializer};
use selvedge::parallel::Serial;
use selvedge::pictures::{DecisionBoundary, Grid, Regions, decision_boundary};
use selvedge::plan::{Activation, Aligned, Chain, LayerSpec, Memory, Plan, sequential};
use selvedge::simd::Isa;
use std::path::PathBuf;
use std::sync::Mutex;

// A mistake in here, such as a softmax in the middle, does not compile.
static CHAIN: Chain<3> = sequential(
    2,
    [LayerSpec::dense(32, Activation::Tanh), LayerSpec::dense(32, Activation::Tanh), LayerSpec::dense(3, Activation::Softmax)],
);
static TRAINING: Plan<'static> = Plan::training(CHAIN.network(), ROWS, 1);
static INFERENCE: Plan<'static> = Plan::inference(CHAIN.network(), ROWS, 1);
const ROWS: usize = 60;

// The exact sizes are known to the compiler. Whoever trains holds the lock; on a microcontroller these could be arrays on the
// stack.
static PARAMETERS: Mutex<Aligned<[f32; TRAINING.parameters_len()]>> = Mutex::new(Aligned([0.0; TRAINING.parameters_len()]));
static STATE: Mutex<Aligned<[f32; TRAINING.state_len(2)]>> = Mutex::new(Aligned([0.0; TRAINING.state_len(2)]));
static WORKSPACE: Mutex<Aligned<[f32; TRAINING.workspace_len()]>> = Mutex::new(Aligned([0.0; TRAINING.workspace_len()]));

/// Three arms of a spiral, 20 points each.
fn spiral() -> ([f32; 2 * ROWS], [u32; ROWS]) {
    let (mut points, mut arms) = ([0.0; 2 * ROWS], [0; ROWS]);
    for (i, (point, arm)) in points.chunks_mut(2).zip(&mut arms).enumerate() {
        *arm = (i % 3) as u32;
        let radius = (i / 3 + 1) as f32 / 20.0;
        let angle = 4.0 * radius + *arm as f32 * std::f32::consts::TAU / 3.0;
        point.copy_from_slice(&[radius * angle.cos(), radius * angle.sin()]);
    }
    (points, arms)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    println!("{TRAINING}");
    let mut parameters = PARAMETERS.lock()?;
    let (mut state, mut workspace) = (STATE.lock()?, WORKSPACE.lock()?);
    let bytes = size_of_val(&parameters.0) + size_of_val(&state.0) + size_of_val(&workspace.0);
    println!("everything that training needs: {bytes} bytes");

    for (i, layer) in TRAINING.layers().iter().enumerate() {
        let fans = Fans { fan_in: layer.in_dim, fan_out: layer.out_dim };
        Initializer::GlorotUniform.fill(layer.kernel.of_mut(&mut parameters.0), fans, 18, i as u64)?;
    }

    let (points, arms) = spiral();
    let context = Context { isa: Isa::select()?, plan: &TRAINING, executor: &Serial::new(1) };
    let inputs = [Inputs::Rows(MatRef::new(&points, ROWS, 2, 2))];
    let batch = Batch { inputs: &inputs, targets: &[Targets::Labels(&arms)], weights: None };
    let adam = AdamSettings { learning_rate: 0.01, ..AdamSettings::default() };
    for step in 1..=600 {
        let mut memory =
            Memory { parameters: &mut parameters.0, state: &mut state.0, gradients: &mut [], workspace: &mut workspace.0 };
        let report = train_step(&context, &Optimizer::Adam(adam.at_step(step)).into(), &batch, &mut memory);
        if step == 1 || step % 100 == 0 {
            println!("step {step:>3}: loss {:.4}, {} of {ROWS} right", report.loss_sum / ROWS as f32, report.hits());
        }
    }

    // The picture may allocate; the predictions for it do not.
    let grid = Grid { columns: 240, rows: 240, x_range: (-1.2, 1.2), y_range: (-1.2, 1.2) };
    let context = Context { plan: &INFERENCE, ..context };
    let places: Vec<f32> = grid.points().flat_map(|(x, y)| [x as f32, y as f32]).collect();
    let mut classes = Vec::new();
    for rows in places.chunks(2 * ROWS) {
        let mut probabilities = [0.0; 3 * ROWS];
        let inputs = [Inputs::Rows(MatRef::new(rows, ROWS, 2, 2))];
        let output = MatMut::new(&mut probabilities, ROWS, 3, 3);
        predict(&context, &inputs, &parameters.0, &mut workspace.0, &mut [output]);
        classes
            .extend(probabilities.chunks(3).map(|p| (0..3).fold(0, |best, class| if p[class] > p[best] { class } else { best })));
    }
    let known: Vec<(f64, f64)> = points.chunks(2).map(|point| (point[0].into(), point[1].into())).collect();
    let chart = DecisionBoundary {
        title: "Three arms of a spiral, learned in static memory",
        x_label: "x",
        y_label: "y",
        grid,
        regions: Regions::Classes(&classes),
        points: &known,
        classes: &arms.map(|arm| arm as usize),
        names: &["first arm", "second arm", "third arm"],
    };
    decision_boundary(folder.join("18_spiral.png"), &chart)?;
    Ok(())
}
