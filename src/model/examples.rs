//! [`Examples`]: what a model is trained on, evaluated on or asked about.

use super::error::ModelError;
use crate::data::Dataset;
use crate::exec::Inputs;
use crate::kernels::MatRef;
use crate::kernels::gather::Scaling;
use std::borrow::Cow;

/// Rows, with or without labels: bytes that are scaled on their way into a minibatch, or floats as they are.
#[derive(Clone, Debug)]
pub struct Examples<'a> {
    rows: Rows<'a>,
    /// Empty if there are none.
    labels: Cow<'a, [u32]>,
}

#[derive(Clone, Copy, Debug)]
enum Rows<'a> {
    Bytes { pixels: &'a [u8], row_len: usize, scaling: Scaling },
    Floats(MatRef<'a>),
}

impl<'a> Examples<'a> {
    /// Rows of floats with their labels.
    ///
    /// # Errors
    /// If there are not as many labels as rows, or a row holds NaN or an infinity.
    pub fn floats(rows: MatRef<'a>, labels: &'a [u32]) -> Result<Self, ModelError> {
        if labels.len() != rows.rows() {
            return Err(ModelError::LabelCount { expected: rows.rows(), found: labels.len() });
        }
        Ok(Self { labels: Cow::Borrowed(labels), ..Self::unlabelled_floats(rows)? })
    }

    /// Rows of floats, to predict from.
    ///
    /// # Errors
    /// If a row holds NaN or an infinity.
    pub fn unlabelled_floats(rows: MatRef<'a>) -> Result<Self, ModelError> {
        for row in 0..rows.rows() {
            if let Some(column) = rows.row(row).iter().position(|x| !x.is_finite()) {
                return Err(ModelError::NotFinite { row, column, found: rows.row(row)[column] });
            }
        }
        Ok(Self { rows: Rows::Floats(rows), labels: Cow::Borrowed(&[]) })
    }

    /// How bytes become numbers; floats are left as they are. Default: from 0 to 1.
    pub fn scaling(mut self, new: Scaling) -> Self {
        if let Rows::Bytes { scaling, .. } = &mut self.rows {
            *scaling = new;
        }
        self
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match self.rows {
            Rows::Bytes { pixels, row_len, .. } => pixels.len() / row_len,
            Rows::Floats(rows) => rows.rows(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of a row.
    pub fn row_len(&self) -> usize {
        match self.rows {
            Rows::Bytes { row_len, .. } => row_len,
            Rows::Floats(rows) => rows.columns(),
        }
    }

    /// The class of each row.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The rows named by `order`.
    pub(super) fn inputs<'b>(&'b self, order: &'b [u32]) -> Inputs<'b> {
        match self.rows {
            Rows::Bytes { pixels, scaling, .. } => Inputs::Bytes { rows: pixels, order, scaling },
            Rows::Floats(rows) => Inputs::Gathered { rows, order },
        }
    }

    /// Refuses rows that do not fit a model.
    pub(super) fn check_rows(&self, in_dim: usize) -> Result<(), ModelError> {
        if self.is_empty() {
            return Err(ModelError::NoRows);
        }
        if self.row_len() != in_dim {
            return Err(ModelError::InputLength { expected: in_dim, found: self.row_len() });
        }
        // Rows are numbered by `u32`.
        if u32::try_from(self.len()).is_err() {
            return Err(ModelError::setting("rows", "at most 4294967295", self.len()));
        }
        Ok(())
    }

    /// Refuses rows or labels that do not fit a model.
    pub(super) fn check(&self, in_dim: usize, classes: usize) -> Result<(), ModelError> {
        self.check_rows(in_dim)?;
        if self.labels.len() != self.len() {
            return Err(ModelError::LabelCount { expected: self.len(), found: self.labels.len() });
        }
        match self.labels.iter().position(|&label| label as usize >= classes) {
            Some(row) => Err(ModelError::Label { row, classes, found: self.labels[row] }),
            None => Ok(()),
        }
    }
}

impl<'a> From<&'a Dataset> for Examples<'a> {
    fn from(dataset: &'a Dataset) -> Self {
        Self {
            rows: Rows::Bytes { pixels: dataset.pixels(), row_len: dataset.row_len(), scaling: Scaling::UNIT },
            labels: dataset.labels().iter().map(|&label| u32::from(label)).collect(),
        }
    }
}
