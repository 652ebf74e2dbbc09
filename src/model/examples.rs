//! [`Examples`]: what a model is trained on, evaluated on or asked about.

use super::error::ModelError;
use super::graph::Lowered;
use crate::data::Dataset;
use crate::exec::{Batch, Inputs, Targets};
use crate::kernels::MatRef;
use crate::kernels::gather::Scaling;
use crate::plan::{Loss, MAX_INPUTS, MAX_OUTPUTS};
use std::borrow::Cow;

/// Rows for each input of a model, and for each output what they are compared with: bytes that are scaled on their way into a minibatch, or floats
/// as they are; labels or rows of numbers.
///
/// ```
/// use selvedge::kernels::MatRef;
/// use selvedge::model::Examples;
///
/// let (wide, deep, prices) = ([0.0; 5 * 3], [0.0; 6 * 3], [1.0, 2.0, 3.0]);
/// let examples = Examples::new()
///     .input(MatRef::new(&wide, 3, 5, 5))
///     .input(MatRef::new(&deep, 3, 6, 6))
///     .targets(MatRef::new(&prices, 3, 1, 1));
/// assert_eq!(examples.len(), 3);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Examples<'a> {
    inputs: Vec<Rows<'a>>,
    targets: Vec<Truth<'a>>,
    weights: Option<Cow<'a, [f32]>>,
}

#[derive(Clone, Copy, Debug)]
enum Rows<'a> {
    Bytes { pixels: &'a [u8], row_len: usize, scaling: Scaling },
    Floats(MatRef<'a>),
}

#[derive(Clone, Debug)]
enum Truth<'a> {
    Labels(Cow<'a, [u32]>),
    Rows(MatRef<'a>),
}

impl Rows<'_> {
    fn len(&self) -> usize {
        match *self {
            Self::Bytes { pixels, row_len, .. } => pixels.len() / row_len.max(1),
            Self::Floats(rows) => rows.rows(),
        }
    }

    fn columns(&self) -> usize {
        match *self {
            Self::Bytes { row_len, .. } => row_len,
            Self::Floats(rows) => rows.columns(),
        }
    }
}

impl Truth<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Rows(rows) => rows.rows(),
        }
    }
}

impl<'a> Examples<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows of floats for the next input.
    pub fn input(mut self, rows: MatRef<'a>) -> Self {
        self.inputs.push(Rows::Floats(rows));
        self
    }

    /// Rows of bytes for the next input, each of `row_len` bytes, which become numbers from 0 to 1 unless [`Examples::scaling`] says otherwise.
    pub fn bytes(mut self, pixels: &'a [u8], row_len: usize) -> Self {
        self.inputs.push(Rows::Bytes { pixels, row_len, scaling: Scaling::UNIT });
        self
    }

    /// The class of each row, for the next output.
    pub fn labels(mut self, labels: &'a [u32]) -> Self {
        self.targets.push(Truth::Labels(Cow::Borrowed(labels)));
        self
    }

    /// Rows of numbers for the next output: what a regression is to give, or probabilities of classes.
    pub fn targets(mut self, rows: MatRef<'a>) -> Self {
        self.targets.push(Truth::Rows(rows));
        self
    }

    /// What each row counts. As in Keras, the mean is still over the number of rows.
    pub fn sample_weights(mut self, weights: &'a [f32]) -> Self {
        self.weights = Some(Cow::Borrowed(weights));
        self
    }

    /// Rows of floats with their labels.
    ///
    /// # Errors
    /// If there are not as many labels as rows, or a row holds NaN or an infinity.
    pub fn floats(rows: MatRef<'a>, labels: &'a [u32]) -> Result<Self, ModelError> {
        if labels.len() != rows.rows() {
            return Err(ModelError::LabelCount { expected: rows.rows(), found: labels.len() });
        }
        Ok(Self::unlabelled_floats(rows)?.labels(labels))
    }

    /// Rows of floats, to predict from.
    ///
    /// # Errors
    /// If a row holds NaN or an infinity.
    pub fn unlabelled_floats(rows: MatRef<'a>) -> Result<Self, ModelError> {
        check_finite(rows)?;
        Ok(Self::new().input(rows))
    }

    /// How bytes become numbers; floats are left as they are. Default: from 0 to 1.
    pub fn scaling(mut self, new: Scaling) -> Self {
        for rows in &mut self.inputs {
            if let Rows::Bytes { scaling, .. } = rows {
                *scaling = new;
            }
        }
        self
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.inputs.first().map_or(0, Rows::len)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies of some rows with their targets and weights, in the given order; a row may be named several times.
    ///
    /// # Errors
    /// If a row is not there, or inputs, targets and weights have different numbers of rows.
    pub fn select(&self, rows: &[u32]) -> Result<SelectedExamples, ModelError> {
        let lens = self.inputs.iter().map(Rows::len);
        let lens = lens.chain(self.targets.iter().map(Truth::len)).chain(self.weights.iter().map(|weights| weights.len()));
        for len in lens {
            if len != self.len() {
                return Err(ModelError::RowCount { expected: self.len(), found: len });
            }
        }
        if let Some(row) = rows.iter().find(|&&row| row as usize >= self.len()) {
            return Err(ModelError::setting("rows", "numbers below the number of rows", row));
        }
        let floats = |from: &MatRef<'_>| OwnedFloats {
            values: rows.iter().flat_map(|&row| from.row(row as usize)).copied().collect(),
            columns: from.columns(),
        };
        let inputs = self.inputs.iter().map(|input| match input {
            Rows::Bytes { pixels, row_len, scaling } => OwnedRows::Bytes {
                pixels: rows.iter().flat_map(|&row| &pixels[row as usize * row_len..][..*row_len]).copied().collect(),
                row_len: *row_len,
                scaling: *scaling,
            },
            Rows::Floats(from) => OwnedRows::Floats(floats(from)),
        });
        let targets = self.targets.iter().map(|truth| match truth {
            Truth::Labels(labels) => OwnedTruth::Labels(rows.iter().map(|&row| labels[row as usize]).collect()),
            Truth::Rows(from) => OwnedTruth::Rows(floats(from)),
        });
        let weights = self.weights().map(|weights| rows.iter().map(|&row| weights[row as usize]).collect());
        Ok(SelectedExamples { rows: rows.len(), inputs: inputs.collect(), targets: targets.collect(), weights })
    }

    /// The labels of the first output that has any.
    pub fn class_labels(&self) -> Option<&[u32]> {
        self.targets.iter().find_map(|truth| match truth {
            Truth::Labels(labels) => Some(labels.as_ref()),
            Truth::Rows(_) => None,
        })
    }

    /// What each row counts, if they do not all count 1.
    pub(super) fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Puts the rows named by `order` into the arrays; returns how many inputs there are.
    pub(super) fn inputs<'b>(&'b self, order: &'b [u32]) -> ([Inputs<'b>; MAX_INPUTS], usize) {
        let none = Inputs::Gathered { rows: MatRef::new(&[], 0, 0, 0), order: &[] };
        let mut inputs = [none; MAX_INPUTS];
        for (input, rows) in inputs.iter_mut().zip(&self.inputs) {
            *input = match *rows {
                Rows::Bytes { pixels, scaling, .. } => Inputs::Bytes { rows: pixels, order, scaling },
                Rows::Floats(rows) => Inputs::Gathered { rows, order },
            };
        }
        (inputs, self.inputs.len())
    }

    /// The minibatch of the rows named by `order`, whose labels and weights are those of `labels` from `first` on.
    pub(super) fn minibatch<'b>(&'b self, order: &'b [u32], labels: &'b OrderedLabels, first: usize) -> Minibatch<'b> {
        let mut targets = [Targets::Labels(&[]); MAX_OUTPUTS];
        for (target, (truth, labels)) in targets.iter_mut().zip(self.targets.iter().zip(&labels.labels)) {
            *target = match *truth {
                Truth::Labels(_) => Targets::Labels(&labels[first..first + order.len()]),
                Truth::Rows(rows) => Targets::Gathered { rows, order },
            };
        }
        let weights = labels.weights(first, order.len());
        Minibatch { inputs: self.inputs(order), targets, targets_count: self.targets.len(), weights }
    }

    /// Refuses rows that do not fit a model.
    pub(super) fn check_rows(&self, model: &Lowered) -> Result<(), ModelError> {
        let expected = model.inputs.len();
        if self.inputs.len() != expected {
            return Err(ModelError::Count { what: "inputs", expected, found: self.inputs.len() });
        }
        if self.is_empty() {
            return Err(ModelError::NoRows);
        }
        // Rows are numbered by `u32`.
        if u32::try_from(self.len()).is_err() {
            return Err(ModelError::setting("rows", "at most 4294967295", self.len()));
        }
        for ((input, rows), name) in model.inputs.iter().zip(&self.inputs).zip(&model.input_names) {
            let check = || {
                if rows.columns() != input.columns {
                    return Err(ModelError::InputLength { expected: input.columns, found: rows.columns() });
                }
                if rows.len() != self.len() {
                    return Err(ModelError::RowCount { expected: self.len(), found: rows.len() });
                }
                match rows {
                    Rows::Floats(rows) => check_finite(*rows),
                    Rows::Bytes { .. } => Ok(()),
                }
            };
            check().map_err(|error| error.at("input", name))?;
        }
        Ok(())
    }

    /// Refuses rows, targets or weights that do not fit a model.
    pub(super) fn check(&self, model: &Lowered) -> Result<(), ModelError> {
        self.check_rows(model)?;
        let expected = model.outputs.len();
        if self.targets.len() != expected {
            return Err(ModelError::Count { what: "outputs with targets", expected, found: self.targets.len() });
        }
        for ((output, truth), name) in model.outputs.iter().zip(&self.targets).zip(&model.output_names) {
            let columns = model.layers[output.layer].out_dim;
            self.check_truth(truth, output.loss, columns).map_err(|error| error.at("output", name))?;
        }
        if let Some(weights) = self.weights() {
            if weights.len() != self.len() {
                return Err(ModelError::setting(
                    "sample_weights",
                    "one for each row",
                    format!("{} of {} rows", weights.len(), self.len()),
                ));
            }
            if let Some(row) = weights.iter().position(|weight| !weight.is_finite()) {
                return Err(ModelError::setting("sample_weights", "finite numbers", format!("{} in row {row}", weights[row])));
            }
        }
        Ok(())
    }

    /// Refuses targets that do not fit an output.
    fn check_truth(&self, truth: &Truth<'_>, loss: Loss, columns: usize) -> Result<(), ModelError> {
        match truth {
            Truth::Labels(_) if !loss.takes_labels() => Err(ModelError::TargetKind { loss, expected: "rows of numbers" }),
            Truth::Labels(labels) if labels.len() != self.len() => {
                Err(ModelError::LabelCount { expected: self.len(), found: labels.len() })
            }
            Truth::Labels(labels) => match labels.iter().position(|&label| label as usize >= columns) {
                Some(row) => Err(ModelError::Label { row, classes: columns, found: labels[row] }),
                None => Ok(()),
            },
            Truth::Rows(_) if loss.takes_labels() => Err(ModelError::TargetKind { loss, expected: "labels" }),
            Truth::Rows(rows) if rows.rows() != self.len() => {
                Err(ModelError::RowCount { expected: self.len(), found: rows.rows() })
            }
            Truth::Rows(rows) if rows.columns() != columns => {
                Err(ModelError::TargetLength { expected: columns, found: rows.columns() })
            }
            Truth::Rows(rows) => check_finite(*rows),
        }
    }
}

fn check_finite(rows: MatRef<'_>) -> Result<(), ModelError> {
    for row in 0..rows.rows() {
        if let Some(column) = rows.row(row).iter().position(|x| !x.is_finite()) {
            return Err(ModelError::NotFinite { row, column, found: rows.row(row)[column] });
        }
    }
    Ok(())
}

/// A minibatch of examples that have been checked.
pub(super) struct Minibatch<'a> {
    inputs: ([Inputs<'a>; MAX_INPUTS], usize),
    targets: [Targets<'a>; MAX_OUTPUTS],
    targets_count: usize,
    weights: Option<&'a [f32]>,
}

impl Minibatch<'_> {
    /// As a step takes it.
    pub(super) fn batch(&self) -> Batch<'_> {
        let (inputs, count) = &self.inputs;
        Batch { inputs: &inputs[..*count], targets: &self.targets[..self.targets_count], weights: self.weights }
    }
}

/// Labels and weights of all rows in the order of an epoch, so that those of a minibatch lie behind each other.
#[derive(Debug, Default)]
pub(super) struct OrderedLabels {
    labels: Vec<Vec<u32>>,
    weights: Vec<f32>,
}

impl OrderedLabels {
    /// Room for the labels of all outputs that have any, and for weights if they are asked for.
    pub(super) fn new(examples: &Examples<'_>, rows: usize, weighted: bool) -> Self {
        let labels = |truth: &Truth<'_>| match truth {
            Truth::Labels(_) => vec![0; rows],
            Truth::Rows(_) => Vec::new(),
        };
        Self { labels: examples.targets.iter().map(labels).collect(), weights: vec![0.0; if weighted { rows } else { 0 }] }
    }

    /// Puts labels and the given weights of all rows into order.
    pub(super) fn arrange(&mut self, examples: &Examples<'_>, weights: Option<&[f32]>, order: &[u32]) {
        for (labels, truth) in self.labels.iter_mut().zip(&examples.targets) {
            if let Truth::Labels(all) = truth {
                labels.iter_mut().zip(order).for_each(|(label, &row)| *label = all[row as usize]);
            }
        }
        if let Some(all) = weights {
            self.weights.iter_mut().zip(order).for_each(|(weight, &row)| *weight = all[row as usize]);
        }
    }

    /// The weights of some rows; none if all count 1.
    fn weights(&self, first: usize, rows: usize) -> Option<&[f32]> {
        if self.weights.is_empty() { None } else { Some(&self.weights[first..first + rows]) }
    }
}

impl<'a> From<&'a Dataset> for Examples<'a> {
    fn from(dataset: &'a Dataset) -> Self {
        let labels = dataset.labels().iter().map(|&label| u32::from(label)).collect();
        let examples = Self::new().bytes(dataset.pixels(), dataset.row_len());
        Self { targets: vec![Truth::Labels(labels)], ..examples }
    }
}

impl<'a> From<&'a Examples<'_>> for Examples<'a> {
    fn from(examples: &'a Examples<'_>) -> Self {
        let targets = |truth: &'a Truth<'_>| match truth {
            Truth::Labels(labels) => Truth::Labels(Cow::Borrowed(labels.as_ref())),
            Truth::Rows(rows) => Truth::Rows(*rows),
        };
        Self {
            inputs: examples.inputs.clone(),
            targets: examples.targets.iter().map(targets).collect(),
            weights: examples.weights.as_deref().map(Cow::Borrowed),
        }
    }
}

/// Rows that [`Examples::select`] has copied; a reference to them is as good as [`Examples`].
#[derive(Clone, Debug)]
pub struct SelectedExamples {
    rows: usize,
    inputs: Vec<OwnedRows>,
    targets: Vec<OwnedTruth>,
    weights: Option<Vec<f32>>,
}

#[derive(Clone, Debug)]
enum OwnedRows {
    Bytes { pixels: Vec<u8>, row_len: usize, scaling: Scaling },
    Floats(OwnedFloats),
}

#[derive(Clone, Debug)]
enum OwnedTruth {
    Labels(Vec<u32>),
    Rows(OwnedFloats),
}

#[derive(Clone, Debug)]
struct OwnedFloats {
    values: Vec<f32>,
    columns: usize,
}

impl OwnedFloats {
    fn borrow(&self, rows: usize) -> MatRef<'_> {
        MatRef::new(&self.values, rows, self.columns, self.columns)
    }
}

impl<'a> From<&'a SelectedExamples> for Examples<'a> {
    fn from(selected: &'a SelectedExamples) -> Self {
        let inputs = selected.inputs.iter().map(|input| match input {
            OwnedRows::Bytes { pixels, row_len, scaling } => Rows::Bytes { pixels, row_len: *row_len, scaling: *scaling },
            OwnedRows::Floats(floats) => Rows::Floats(floats.borrow(selected.rows)),
        });
        let targets = selected.targets.iter().map(|truth| match truth {
            OwnedTruth::Labels(labels) => Truth::Labels(Cow::Borrowed(labels)),
            OwnedTruth::Rows(floats) => Truth::Rows(floats.borrow(selected.rows)),
        });
        Self { inputs: inputs.collect(), targets: targets.collect(), weights: selected.weights.as_deref().map(Cow::Borrowed) }
    }
}
