//! [`kernels::gemm`](crate::kernels::gemm) as the three loops of a textbook.
//!
//! The epilogues are those of the kernels; [`Epilogue`] here says what each does to a single element.

use super::multiply_add;
use super::optimizers::Rule;
use crate::kernels::MatRef;
use crate::kernels::gemm::{Accumulated, Biased, BiasedRelu, Either, ReluBackward, RowBlocks, Stored, Updated};
use crate::simd::{Isa, LANES};

/// The start and the end of the chain of one element of C.
pub trait Epilogue {
    /// What the chain of element `(i, j)` starts from.
    fn begin(&self, i: usize, j: usize) -> f32;
    /// Takes the finished chain of element `(i, j)`.
    fn finish(&mut self, isa: Isa, i: usize, j: usize, value: f32);
}

impl Epilogue for Stored<'_> {
    fn begin(&self, _: usize, _: usize) -> f32 {
        0.0
    }
    fn finish(&mut self, _: Isa, i: usize, j: usize, value: f32) {
        self.c.row_mut(i)[j] = value;
    }
}

impl Epilogue for Accumulated<'_> {
    fn begin(&self, i: usize, j: usize) -> f32 {
        self.c.as_ref().row(i)[j]
    }
    fn finish(&mut self, _: Isa, i: usize, j: usize, value: f32) {
        self.c.row_mut(i)[j] = value;
    }
}

/// An empty bias is none.
fn bias(bias: &[f32], j: usize) -> f32 {
    if bias.is_empty() { 0.0 } else { bias[j] }
}

impl Epilogue for Biased<'_> {
    fn begin(&self, _: usize, j: usize) -> f32 {
        bias(self.bias, j)
    }
    fn finish(&mut self, _: Isa, i: usize, j: usize, value: f32) {
        self.c.row_mut(i)[j] = value;
    }
}

impl Epilogue for BiasedRelu<'_> {
    fn begin(&self, _: usize, j: usize) -> f32 {
        bias(self.bias, j)
    }
    fn finish(&mut self, _: Isa, i: usize, j: usize, value: f32) {
        let dropped = value <= 0.0;
        self.c.row_mut(i)[j] = if dropped { 0.0 } else { value };
        if !self.mask.is_empty() {
            let word = &mut self.mask[i * self.c.columns().div_ceil(LANES) + j / LANES];
            if j.is_multiple_of(LANES) {
                *word = 0;
            }
            *word |= u16::from(!dropped) << (j % LANES);
        }
    }
}

impl Epilogue for ReluBackward<'_> {
    fn begin(&self, _: usize, _: usize) -> f32 {
        0.0
    }
    fn finish(&mut self, _: Isa, i: usize, j: usize, value: f32) {
        let word = self.mask[i * self.c.columns().div_ceil(LANES) + j / LANES];
        self.c.row_mut(i)[j] = if word >> (j % LANES) & 1 == 1 { value } else { 0.0 };
    }
}

impl<L: Epilogue, R: Epilogue> Epilogue for Either<L, R> {
    fn begin(&self, i: usize, j: usize) -> f32 {
        match self {
            Self::Left(epilogue) => epilogue.begin(i, j),
            Self::Right(epilogue) => epilogue.begin(i, j),
        }
    }
    fn finish(&mut self, isa: Isa, i: usize, j: usize, value: f32) {
        match self {
            Self::Left(epilogue) => epilogue.finish(isa, i, j, value),
            Self::Right(epilogue) => epilogue.finish(isa, i, j, value),
        }
    }
}

impl<R: Rule<N>, const N: usize> Epilogue for Updated<'_, R, N> {
    fn begin(&self, _: usize, _: usize) -> f32 {
        0.0
    }
    fn finish(&mut self, isa: Isa, i: usize, j: usize, value: f32) {
        let element = i * self.leading_dimension + j;
        let stepped = self.rule.step(isa, value, self.parameters.each_ref().map(|slice| slice[element]));
        for (slice, value) in self.parameters.iter_mut().zip(stepped) {
            slice[element] = value;
        }
    }
}

/// `C = A B`, begun and finished by an [`Epilogue`]. `a: [m, k]`, `b: [k, n]`.
///
/// # Panics
/// If the epilogue's matrix is smaller than `[m, n]` or B has fewer than `k` rows.
pub fn gemm(isa: Isa, a: MatRef<'_>, b: MatRef<'_>, epilogue: &mut impl Epilogue) {
    for i in 0..a.rows() {
        for j in 0..b.columns() {
            let mut c = epilogue.begin(i, j);
            for p in 0..a.columns() {
                c = multiply_add(isa, a.row(i)[p], b.row(p)[j], c);
            }
            epilogue.finish(isa, i, j, c);
        }
    }
}

/// `C = A^T B`, begun and finished by an [`Epilogue`], for the columns `first..first + m` of A. `a: [k, >= first + m]`, `b: [k, n]`.
///
/// # Panics
/// If the epilogue's matrix is smaller than `[m, n]`, or A or B has not enough rows or columns.
pub fn gemm_transposed(isa: Isa, a: RowBlocks<'_>, (first, m): (usize, usize), b: RowBlocks<'_>, epilogue: &mut impl Epilogue) {
    for i in 0..m {
        for j in 0..b.columns() {
            let mut c = epilogue.begin(i, j);
            for p in 0..a.rows() {
                c = multiply_add(isa, a.row(p)[first + i], b.row(p)[j], c);
            }
            epilogue.finish(isa, i, j, c);
        }
    }
}
