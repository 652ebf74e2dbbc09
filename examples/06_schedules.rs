//! How should the learning rate change while training? Six schedules, and what a network makes of them.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::{ValidationSplit, synthetic};
use selvedge::model::callbacks::ReduceLrOnPlateau;
use selvedge::model::{
    Activation, BatchLogs, Callback, Compile, CosineDecay, Dense, ExponentialDecay, Fit, Flatten, LearningRateSchedule, ModelError,
    OneCycle, PiecewiseConstantDecay, PowerDecay, ProgressBar, Sequential, Session, Sgd,
};
use selvedge::pictures::{LineChart, Series, line_chart};
use std::path::PathBuf;

/// A callback of our own: the learning rate of every step.
#[derive(Default)]
struct Rates(Vec<(f64, f64)>);

impl Callback for Rates {
    fn on_batch_end(&mut self, _: &BatchLogs, session: &mut Session<'_>) -> Result<(), ModelError> {
        self.0.push((session.steps() as f64, session.learning_rate().into()));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (training, validation) = synthetic::garments(2000, 6).split(ValidationSplit::Tail(0.2))?;
    let network = Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dense::new(60).activation(Activation::Relu))
        .add(Dense::new(10).activation(Activation::Softmax));

    // 1,600 rows in minibatches of 32 are 50 steps an epoch, 500 in all.
    let power = PowerDecay::new(0.1, 100, 1.0)?;
    let exponential = ExponentialDecay::new(0.1, 200, 0.1)?;
    let piecewise = PiecewiseConstantDecay::new(&[200, 350], &[0.1, 0.03, 0.005])?;
    let cosine = CosineDecay::new(0.0, 450)?.warmup(0.1, 50)?;
    let one_cycle = OneCycle::three_legs(0.1, 500)?;
    let schedules: [(&str, Option<&dyn LearningRateSchedule>); 7] = [
        ("constant", None),
        ("power", Some(&power)),
        ("exponential", Some(&exponential)),
        ("piecewise constant", Some(&piecewise)),
        ("cosine with warm-up", Some(&cosine)),
        ("1cycle", Some(&one_cycle)),
        ("performance", None),
    ];
    let mut traces = Vec::new();
    println!("{:<20} {:>10} {:>17} {:>20}", "schedule", "last rate", "validation loss", "validation accuracy");
    for (name, schedule) in schedules {
        let mut model = network.compile(Compile::new(Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true }).seed(6))?;
        let fit = Fit::new().epochs(10).validation_data(&validation);
        let fit = if let Some(schedule) = schedule { fit.schedule(schedule) } else { fit };
        let mut rates = Rates::default();
        // Performance scheduling asks the validation loss: half the rate after each epoch without progress.
        let mut plateau = ReduceLrOnPlateau::new().patience(1).factor(0.5)?;
        let mut bar = ProgressBar::new().transient();
        let mut callbacks: Vec<&mut dyn Callback> = vec![&mut rates, &mut bar];
        if name == "performance" {
            callbacks.push(&mut plateau);
        }
        let history = model.fit(&training, &fit, &mut callbacks)?;
        let last = history.epochs.last().and_then(|epoch| epoch.validation).unwrap_or_default();
        let rate = rates.0.last().map_or(0.0, |rate| rate.1);
        println!("{name:<20} {rate:10.6} {:17.4} {:20.4}", last.loss, last.accuracy);
        traces.push(rates.0);
    }

    let series: Vec<Series<'_>> = schedules.iter().zip(&traces).map(|((name, _), rates)| Series::new(name, rates)).collect();
    let (title, x_label, y_label) = ("Learning rate at each step", "step", "learning rate");
    line_chart(folder.join("06_schedules.png"), &LineChart { title, x_label, y_label, series: &series, ..LineChart::default() })?;
    let momentum: Vec<(f64, f64)> = (0..500).filter_map(|t| Some((t as f64, one_cycle.momentum(t)?.into()))).collect();
    let scaled: Vec<(f64, f64)> = (0..500).map(|t| (t as f64, f64::from(one_cycle.learning_rate(t)) * 10.0)).collect();
    let series = [Series::new("momentum", &momentum), Series::new("learning rate, times 10", &scaled)];
    let (title, y_label) = ("1cycle: the momentum falls while the learning rate rises", "value");
    line_chart(folder.join("06_one_cycle.png"), &LineChart { title, x_label, y_label, series: &series, ..LineChart::default() })?;
    Ok(())
}
