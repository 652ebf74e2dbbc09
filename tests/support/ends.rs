//! How products end, in the types that a training step has: tiles are compiled for each type, instruction set and shape, and those of the crate
//! itself need not be compiled again. Others are tried by themselves.

use selvedge::kernels::MatMut;
use selvedge::kernels::gemm::{Biased, BiasedRelu, Either, ReluBackward, Stored, Updated, UpdatedByRow};
use selvedge::kernels::optimizers::Sgd;

/// How a product of rows ends.
pub(crate) type OfRows<'a> = Either<Biased<'a>, Either<BiasedRelu<'a>, ReluBackward<'a>>>;

/// How a gradient by weights ends.
pub(crate) type OfWeights<'a> = Either<UpdatedByRow<'a>, Either<Stored<'a>, Updated<'a, Sgd, 1>>>;

pub(crate) fn biased<'a>(bias: &'a [f32], c: MatMut<'a>) -> OfRows<'a> {
    Either::Left(Biased { bias, c })
}

pub(crate) fn biased_relu<'a>(bias: &'a [f32], c: MatMut<'a>, mask: &'a mut [u16]) -> OfRows<'a> {
    Either::Right(Either::Left(BiasedRelu { bias, c, mask }))
}

pub(crate) fn relu_backward<'a>(mask: &'a [u16], c: MatMut<'a>) -> OfRows<'a> {
    Either::Right(Either::Right(ReluBackward { mask, c }))
}

pub(crate) fn updated_by_row(end: UpdatedByRow<'_>) -> OfWeights<'_> {
    Either::Left(end)
}

pub(crate) fn stored(c: MatMut<'_>) -> OfWeights<'_> {
    Either::Right(Either::Left(Stored { c }))
}

pub(crate) fn updated_by_sgd(rule: Sgd, weights: &mut [f32], leading_dimension: usize) -> OfWeights<'_> {
    Either::Right(Either::Right(Updated { rule, parameters: [weights], leading_dimension }))
}
