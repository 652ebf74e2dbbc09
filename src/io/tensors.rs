//! [`Tensors`]: named arrays of `f32` on their way to or from a file.
//!
//! Names are those of Keras, `<layer>/<variable>`:
//!
//! | variable | shape | layer |
//! |---|---|---|
//! | `kernel` | `[in_dim, out_dim]` | Dense |
//! | `bias` | `[out_dim]` | Dense |
//! | `gamma`, `beta`, `moving_mean`, `moving_variance` | `[features]` | BatchNormalization |
//! | `alpha` | `[features]` | PReLU |
//!
//! A tensor here has no padding. [`Source`] and [`Target`] are views of matrices that may have some.

use std::collections::{BTreeMap, BTreeSet};

use super::error::TensorError;
use crate::kernels::{MatMut, MatRef};

/// An array of `f32`, the last dimension running fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    elements: Vec<f32>,
}

/// Tensors by name, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors(BTreeMap<String, Tensor>);

/// A matrix to be saved as a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    name: &'a str,
    shape: &'a [usize],
    matrix: MatRef<'a>,
}

/// A matrix that a tensor is to be copied into.
#[derive(Debug)]
pub struct Target<'a> {
    name: &'a str,
    shape: &'a [usize],
    matrix: MatMut<'a>,
}

/// The number of elements, unless it overflows.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    // A dimension of 0 does not make the others harmless.
    let product = shape.iter().filter(|dimension| **dimension != 0).try_fold(1usize, |product, &d| product.checked_mul(d))?;
    Some(if shape.contains(&0) { 0 } else { product })
}

fn check_count(shape: &[usize], found: usize) -> Result<(), TensorError> {
    let expected = element_count(shape);
    if expected == Some(found) { Ok(()) } else { Err(TensorError::ElementCount { shape: shape.to_vec(), expected, found }) }
}

impl Tensor {
    /// A tensor of these elements.
    ///
    /// # Errors
    /// [`TensorError::ElementCount`] unless there are as many as the product of the dimensions.
    pub fn new(shape: Vec<usize>, elements: Vec<f32>) -> Result<Self, TensorError> {
        check_count(&shape, elements.len())?;
        Ok(Self { shape, elements })
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, the last dimension running fastest.
    pub fn elements(&self) -> &[f32] {
        &self.elements
    }

    /// The elements, without a copy.
    pub fn into_elements(self) -> Vec<f32> {
        self.elements
    }

    /// The tensor as a matrix: the last dimension makes the columns, all others the rows. Vectors are rows.
    pub fn matrix(&self) -> MatRef<'_> {
        let columns = self.shape.last().copied().unwrap_or(1);
        let rows = self.elements.len().checked_div(columns).unwrap_or(0);
        MatRef::new(&self.elements, rows, columns, columns)
    }
}

impl Tensors {
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor.
    ///
    /// # Errors
    /// [`TensorError::Duplicate`] if there is one of that name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Result<(), TensorError> {
        use std::collections::btree_map::Entry;
        match self.0.entry(name.into()) {
            Entry::Vacant(entry) => {
                entry.insert(tensor);
                Ok(())
            }
            Entry::Occupied(entry) => Err(TensorError::Duplicate { name: entry.key().clone() }),
        }
    }

    /// The tensor of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// The tensor of that name and shape.
    ///
    /// # Errors
    /// [`TensorError::Names`] if there is none of that name, [`TensorError::Shape`] if it has another shape.
    pub fn require(&self, name: &str, shape: &[usize]) -> Result<&Tensor, TensorError> {
        match self.get(name) {
            None => Err(TensorError::Names { missing: vec![name.to_owned()], unexpected: Vec::new() }),
            Some(tensor) if tensor.shape != shape => {
                Err(TensorError::Shape { name: name.to_owned(), expected: shape.to_vec(), found: tensor.shape.clone() })
            }
            Some(tensor) => Ok(tensor),
        }
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and tensors, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Takes out the tensors whose names begin with `prefix`, without the prefix: `take("self_test/")`.
    pub fn take(&mut self, prefix: &str) -> Tensors {
        let (taken, kept): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.0).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.0 = kept;
        Self(taken.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect())
    }

    /// The tensors as what is to be saved.
    pub fn sources(&self) -> Vec<Source<'_>> {
        self.0.iter().map(|(name, tensor)| Source { name, shape: &tensor.shape, matrix: tensor.matrix() }).collect()
    }

    /// Copies every tensor into the target of its name.
    ///
    /// Names and shapes must be exactly those of the targets. They are all checked before the first element is written.
    ///
    /// # Errors
    /// [`TensorError::Names`] with all missing and all unexpected names, else [`TensorError::Shape`]. No target is touched.
    pub fn copy_to(&self, targets: &mut [Target<'_>]) -> Result<(), TensorError> {
        let expected: BTreeSet<&str> = targets.iter().map(|target| target.name).collect();
        let owned = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect::<Vec<_>>();
        let missing = owned(&mut expected.iter().copied().filter(|name| !self.0.contains_key(*name)));
        let unexpected = owned(&mut self.0.keys().map(String::as_str).filter(|name| !expected.contains(name)));
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(TensorError::Names { missing, unexpected });
        }
        let tensors: Vec<&Tensor> =
            targets.iter().map(|target| self.require(target.name, target.shape)).collect::<Result<_, _>>()?;
        for (target, tensor) in targets.iter_mut().zip(tensors) {
            let columns = target.matrix.columns();
            for (i, row) in tensor.elements.chunks_exact(columns.max(1)).enumerate() {
                target.matrix.row_mut(i).copy_from_slice(row);
            }
        }
        Ok(())
    }
}

impl<'a> Source<'a> {
    /// A matrix that is saved under this name, its rows one after the other, without padding.
    ///
    /// # Errors
    /// [`TensorError::ElementCount`] unless the matrix has as many elements as the shape: a bias of shape `[300]` is a matrix of
    /// 1 x 300.
    pub fn new(name: &'a str, shape: &'a [usize], matrix: MatRef<'a>) -> Result<Self, TensorError> {
        check_count(shape, matrix.rows() * matrix.columns())?;
        Ok(Self { name, shape, matrix })
    }

    /// The name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The dimensions.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The elements.
    pub fn matrix(&self) -> MatRef<'a> {
        self.matrix
    }
}

impl<'a> Target<'a> {
    /// A matrix that is filled from the tensor of this name and shape, row by row. Padding is left untouched.
    ///
    /// # Errors
    /// [`TensorError::ElementCount`] unless the matrix has as many elements as the shape.
    pub fn new(name: &'a str, shape: &'a [usize], matrix: MatMut<'a>) -> Result<Self, TensorError> {
        check_count(shape, matrix.rows() * matrix.columns())?;
        Ok(Self { name, shape, matrix })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tensor(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        Tensor::new(shape.to_vec(), (0..count).map(|i| i as f32).collect()).unwrap()
    }

    fn two() -> Tensors {
        let mut tensors = Tensors::new();
        tensors.insert("dense/kernel", tensor(&[2, 3])).unwrap();
        tensors.insert("dense/bias", tensor(&[3])).unwrap();
        tensors
    }

    #[test]
    fn shapes_and_elements_must_agree() {
        for (shape, count) in [(&[][..], 1), (&[0], 0), (&[3, 0, usize::MAX / 4], 0), (&[2, 3, 4], 24)] {
            let tensor = Tensor::new(shape.to_vec(), vec![0.0; count]).unwrap();
            let matrix = tensor.matrix();
            assert_eq!(matrix.rows() * matrix.columns(), count, "{shape:?}");
            assert!(Tensor::new(shape.to_vec(), vec![0.0; count + 1]).is_err());
        }
        let error = Tensor::new(vec![usize::MAX, 2], vec![1.0]).unwrap_err();
        assert_eq!(error, TensorError::ElementCount { shape: vec![usize::MAX, 2], expected: None, found: 1 });
        let matrix = MatRef::new(&[0.0; 6], 2, 3, 3);
        assert!(Source::new("a", &[3, 2], matrix).is_ok());
        assert!(Source::new("a", &[7], matrix).is_err());
        assert!(Target::new("a", &[7], MatMut::new(&mut [0.0; 6], 2, 3, 3)).is_err());
    }

    #[test]
    fn names_are_unique_and_can_be_taken_by_prefix() {
        let mut tensors = two();
        assert_eq!(tensors.insert("dense/bias", tensor(&[1])), Err(TensorError::Duplicate { name: "dense/bias".to_owned() }));
        tensors.insert("dense_1/bias", tensor(&[1])).unwrap();
        let taken = tensors.take("dense/");
        assert_eq!(taken.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["bias", "kernel"]);
        assert_eq!(tensors.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["dense_1/bias"]);
    }

    #[test]
    fn copies_go_around_the_padding() {
        let (mut kernel, mut bias) = ([f32::NAN; 8], [f32::NAN; 4]);
        let targets = &mut [
            Target::new("dense/bias", &[3], MatMut::new(&mut bias, 1, 3, 4)).unwrap(),
            Target::new("dense/kernel", &[2, 3], MatMut::new(&mut kernel, 2, 3, 5)).unwrap(),
        ];
        two().copy_to(targets).unwrap();
        assert_eq!((&kernel[..3], &kernel[5..], &bias[..3]), (&[0.0, 1.0, 2.0][..], &[3.0, 4.0, 5.0][..], &[0.0, 1.0, 2.0][..]));
        assert!(kernel[3].is_nan() && kernel[4].is_nan() && bias[3].is_nan());
    }

    #[test]
    fn what_does_not_fit_is_named_and_nothing_is_touched() {
        let attempt = |names: &[(&str, &[usize])]| {
            let mut memory = vec![vec![7.0f32; 6]; names.len()];
            let mut targets: Vec<Target<'_>> = names
                .iter()
                .zip(&mut memory)
                .map(|((name, shape), memory)| {
                    let count = shape.iter().product();
                    Target::new(name, shape, MatMut::new(&mut memory[..], 1, count, count)).unwrap()
                })
                .collect();
            let error = two().copy_to(&mut targets).unwrap_err();
            assert!(memory.concat().iter().all(|x| *x == 7.0), "{error}");
            error
        };
        let names = |missing: &[&str], unexpected: &[&str]| TensorError::Names {
            missing: missing.iter().map(|name| (*name).to_owned()).collect(),
            unexpected: unexpected.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(attempt(&[("dense/bias", &[3])]), names(&[], &["dense/kernel"]));
        let error = attempt(&[("dense/bias", &[3]), ("dense/gain", &[3])]);
        assert_eq!(error, names(&["dense/gain"], &["dense/kernel"]));
        assert_eq!(error.to_string(), "missing tensors: dense/gain; unexpected tensors: dense/kernel");
        // The same number of elements is not the same shape.
        let error = attempt(&[("dense/bias", &[3]), ("dense/kernel", &[3, 2])]);
        assert_eq!(error.to_string(), "tensor `dense/kernel`: shape [3, 2] expected, found [2, 3]");
        assert!(two().require("dense/bias", &[1, 3]).is_err() && two().require("dense/bias", &[3]).is_ok());
    }
}
