//! [`Compile`]: how a network becomes a model.

use super::error::ModelError;
use super::graph::OutputLoss;
use super::metrics::{MAX_METRICS, MetricChoice, NamedMetric};
use super::optimizers::Optimizer;
use crate::exec::Clipping;
use crate::plan::Loss;
use crate::simd::Isa;

/// How a network becomes a [`Model`](super::Model).
///
/// Defaults: the sparse categorical cross-entropy for every output, no metrics beside loss and accuracy, no clipping, seed 0, as
/// many threads as are of use, the best instruction set or the one in `SELVEDGE_ISA`.
#[derive(Clone, Debug)]
pub struct Compile {
    pub(super) optimizer: Optimizer,
    loss: Loss,
    output_losses: Vec<(String, OutputLoss)>,
    metrics: Vec<MetricChoice>,
    output_metrics: Vec<(String, Vec<MetricChoice>)>,
    pub(super) clipping: Clipping,
    pub(super) seed: u64,
    pub(super) threads: Option<usize>,
    pub(super) isa: Option<Isa>,
}

impl Compile {
    /// With this optimizer.
    pub fn new(optimizer: impl Into<Optimizer>) -> Self {
        Self {
            optimizer: optimizer.into(),
            loss: Loss::SparseCategoricalCrossentropy { label_smoothing: 0.0 },
            output_losses: Vec::new(),
            metrics: Vec::new(),
            output_metrics: Vec::new(),
            clipping: Clipping::None,
            seed: 0,
            threads: None,
            isa: None,
        }
    }

    /// What is to become small, for all outputs that have no loss of their own.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// What is to become small at one output, by the name of its layer, and what it counts in the sum of all.
    pub fn output_loss(mut self, output: &str, loss: Loss, weight: f32) -> Self {
        self.output_losses.push((output.into(), OutputLoss { loss, weight }));
        self
    }

    /// What to measure beside loss and accuracy, at all outputs that have no metrics of their own, by [`Metric`](super::Metric) or
    /// by Keras' name.
    ///
    /// They are in the logs of every epoch, over the rows trained on as `mae` and over the validation data as `val_mae`, so
    /// callbacks can monitor them; with several outputs the name of the output comes before: `val_price_mae`. Training measures
    /// what each step has computed anyway; validation and [`Model::evaluate`](super::Model::evaluate) take a second pass through
    /// the network.
    ///
    /// ```
    /// use selvedge::model::{Adam, Compile, Dense, Loss, Metric, Sequential};
    ///
    /// let compile = Compile::new(Adam::default()).loss(Loss::MeanSquaredError);
    /// let network = Sequential::new(&[8]).add(Dense::new(1));
    /// network.compile(compile.clone().metrics(["mae", "rmse"]))?;
    /// network.compile(compile.clone().metrics([Metric::MeanAbsoluteError]))?;
    /// let error = network.compile(compile.metrics(["mea"])).unwrap_err();
    /// assert!(error.to_string().ends_with("found `mea`"));
    /// # Ok::<(), selvedge::model::ModelError>(())
    /// ```
    pub fn metrics<M: Into<MetricChoice>>(mut self, metrics: impl IntoIterator<Item = M>) -> Self {
        self.metrics = metrics.into_iter().map(Into::into).collect();
        self
    }

    /// What to measure at one output, by the name of its layer, beside its loss and accuracy.
    pub fn output_metrics<M: Into<MetricChoice>>(mut self, output: &str, metrics: impl IntoIterator<Item = M>) -> Self {
        self.output_metrics.push((output.into(), metrics.into_iter().map(Into::into).collect()));
        self
    }

    /// What becomes of gradients before the optimizer uses them: Keras' `clipvalue`, `clipnorm` and `global_clipnorm`.
    pub fn clipping(mut self, clipping: Clipping) -> Self {
        self.clipping = clipping;
        self
    }

    /// The seed of the initial weights, of the order of rows and of dropout.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The number of threads, the caller's included. It changes the speed, not the results.
    ///
    /// Without it there are as many as there are processors, of which each minibatch employs only those that have enough to do: small networks
    /// are trained faster by the caller alone. See [`Plan::useful_parts`](crate::plan::Plan::useful_parts).
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The instruction set.
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// The loss of each output.
    pub(super) fn losses(&self, outputs: &[String]) -> Result<Vec<OutputLoss>, ModelError> {
        if let Some((name, _)) = self.output_losses.iter().find(|(name, _)| !outputs.contains(name)) {
            return Err(ModelError::UnknownOutput { name: name.clone(), outputs: outputs.to_vec() });
        }
        let loss_of = |name: &String| {
            let own = self.output_losses.iter().rev().find(|(output, _)| output == name);
            own.map_or(OutputLoss { loss: self.loss, weight: 1.0 }, |(_, loss)| *loss)
        };
        let losses: Vec<OutputLoss> = outputs.iter().map(loss_of).collect();
        for OutputLoss { loss, weight } in &losses {
            if !weight.is_finite() {
                return Err(ModelError::setting("loss weight", "a finite number", weight));
            }
            match *loss {
                Loss::SparseCategoricalCrossentropy { label_smoothing: s }
                | Loss::CategoricalCrossentropy { label_smoothing: s }
                | Loss::BinaryCrossentropy { label_smoothing: s }
                    if !(0.0..=1.0).contains(&s) =>
                {
                    return Err(ModelError::setting("label_smoothing", "a number from 0 to 1", s));
                }
                Loss::Huber { delta } if !(delta.is_finite() && delta > 0.0) => {
                    return Err(ModelError::setting("delta", "a finite number above 0", delta));
                }
                _ => {}
            }
        }
        Ok(losses)
    }

    /// The metrics of each output.
    pub(super) fn named_metrics(&self, outputs: &[String], losses: &[OutputLoss]) -> Result<Vec<Vec<NamedMetric>>, ModelError> {
        if let Some((name, _)) = self.output_metrics.iter().find(|(name, _)| !outputs.contains(name)) {
            return Err(ModelError::UnknownOutput { name: name.clone(), outputs: outputs.to_vec() });
        }
        let metrics_of = |(output, OutputLoss { loss, .. }): (&String, &OutputLoss)| {
            let own = self.output_metrics.iter().rev().find(|(name, _)| name == output);
            let choices = own.map_or(&self.metrics, |(_, choices)| choices);
            let metrics = choices.iter().map(MetricChoice::named).collect::<Result<Vec<_>, _>>()?;
            for (i, NamedMetric { metric, name }) in metrics.iter().enumerate() {
                if let Some(expected) = metric.refusal(*loss) {
                    return Err(ModelError::MetricOfOutput { metric: name, output: output.clone(), expected, loss: *loss });
                }
                if metrics[..i].iter().any(|earlier| earlier.name == *name) {
                    return Err(ModelError::setting(
                        "metrics",
                        "every name once at an output",
                        format!("two `{name}` at `{output}`"),
                    ));
                }
            }
            Ok(metrics)
        };
        let metrics = outputs.iter().zip(losses).map(metrics_of).collect::<Result<Vec<_>, _>>()?;
        let count: usize = metrics.iter().map(Vec::len).sum();
        if count > MAX_METRICS {
            return Err(ModelError::setting("metrics", "at most 16 over all outputs", count));
        }
        Ok(metrics)
    }

    /// Refuses limits that are none.
    pub(super) fn check_clipping(&self) -> Result<(), ModelError> {
        match self.clipping {
            Clipping::Value(limit) | Clipping::Norm(limit) | Clipping::GlobalNorm(limit) if !(limit.is_finite() && limit > 0.0) => {
                Err(ModelError::setting("clipping", "a finite number above 0", limit))
            }
            _ => Ok(()),
        }
    }
}
