//! The other libraries that multiply matrices in Rust, by one call. Both use the best instructions of the processor, and one thread.
#![allow(unsafe_code, reason = "they take pointers")]

use selvedge::kernels::{MatMut, MatRef};

/// Another library.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rival {
    MatrixMultiply,
    Gemm,
}

impl Rival {
    pub(super) const ALL: [Self; 2] = [Self::MatrixMultiply, Self::Gemm];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MatrixMultiply => "matrixmultiply",
            Self::Gemm => "gemm",
        }
    }
}

/// A matrix, or its transpose, where it lies.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    matrix: MatRef<'a>,
    transposed: bool,
}

impl<'a> Operand<'a> {
    pub(super) fn new(matrix: MatRef<'a>) -> Self {
        Self { matrix, transposed: false }
    }

    pub(super) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn shape(&self) -> (usize, usize) {
        let (rows, columns) = (self.matrix.rows(), self.matrix.columns());
        if self.transposed { (columns, rows) } else { (rows, columns) }
    }

    /// From a row to the next, from a column to the next.
    fn strides(&self) -> (isize, isize) {
        let row = self.matrix.leading_dimension() as isize;
        if self.transposed { (1, row) } else { (row, 1) }
    }
}

/// `C = A B`
///
/// # Panics
/// If the shapes do not fit each other.
pub(super) fn multiply(rival: Rival, a: Operand<'_>, b: Operand<'_>, c: MatMut<'_>) {
    let ((m, k), (depth, n)) = (a.shape(), b.shape());
    assert!(k == depth && (c.rows(), c.columns()) == (m, n), "shapes that fit each other expected");
    let ((a_row, a_column), (b_row, b_column)) = (a.strides(), b.strides());
    let (a, b, c_row) = (a.matrix.data().as_ptr(), b.matrix.data().as_ptr(), c.leading_dimension() as isize);
    let c = c.into_data().as_mut_ptr();
    match rival {
        // SAFETY: `MatRef` and `MatMut` have checked that all elements of their shapes lie inside their slices, and the shapes fit.
        Rival::MatrixMultiply => unsafe {
            matrixmultiply::sgemm(m, k, n, 1.0, a, a_row, a_column, b, b_row, b_column, 0.0, c, c_row, 1);
        },
        Rival::Gemm => {
            let (fresh, one_thread) = (false, gemm::Parallelism::None);
            // SAFETY: as above.
            unsafe {
                gemm::gemm(
                    m, n, k, c, 1, c_row, fresh, a, a_column, a_row, b, b_column, b_row, 0.0, 1.0, false, false, false, one_thread,
                );
            }
        }
    }
}
