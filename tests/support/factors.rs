//! What a product reads, of either kind.

use selvedge::kernels::MatRef;
use selvedge::kernels::gemm::{Epilogue, RowBlocks, gemm, gemm_transposed};
use selvedge::reference;
use selvedge::simd::Isa;

#[derive(Clone, Copy)]
pub(crate) enum Factors<'a> {
    /// `A B`
    Rows(MatRef<'a>, MatRef<'a>),
    /// `A^T B` for some columns of A: the first and how many.
    Columns(RowBlocks<'a>, (usize, usize), RowBlocks<'a>),
}

impl Factors<'_> {
    pub(crate) fn multiply(&self, isa: Isa, epilogue: &mut impl Epilogue) {
        match *self {
            Self::Rows(a, b) => gemm(isa, a, b, epilogue),
            Self::Columns(a, columns, b) => gemm_transposed(isa, a, columns, b, epilogue),
        }
    }

    pub(crate) fn multiply_naively(&self, isa: Isa, epilogue: &mut impl reference::gemm::Epilogue) {
        match *self {
            Self::Rows(a, b) => reference::gemm::gemm(isa, a, b, epilogue),
            Self::Columns(a, columns, b) => reference::gemm::gemm_transposed(isa, a, columns, b, epilogue),
        }
    }
}
