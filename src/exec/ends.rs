//! How the products of a step end.
//!
//! Tiles are compiled for every type of epilogue, three instruction sets and up to twenty-eight shapes. So products that begin and end alike enough
//! share one type, and choose when they run. Unit tests of the kernels take them too: another type would be another half minute of compilation.

use crate::kernels::MatMut;
use crate::kernels::gemm::{Biased, BiasedRelu, Either, ReluBackward, Stored, Updated, UpdatedByRow};
use crate::kernels::optimizers::Sgd;

/// How a product of rows ends: those of the forward pass and those that give the gradient by an input.
pub(crate) type OfRows<'a> = Either<Biased<'a>, Either<BiasedRelu<'a>, ReluBackward<'a>>>;

/// [`Biased`]
pub(crate) fn biased<'a>(bias: &'a [f32], c: MatMut<'a>) -> OfRows<'a> {
    Either::Left(Biased { bias, c })
}

/// [`BiasedRelu`]
pub(crate) fn biased_relu<'a>(bias: &'a [f32], c: MatMut<'a>, mask: &'a mut [u16]) -> OfRows<'a> {
    Either::Right(Either::Left(BiasedRelu { bias, c, mask }))
}

/// [`ReluBackward`]
pub(crate) fn relu_backward<'a>(mask: &'a [u16], c: MatMut<'a>) -> OfRows<'a> {
    Either::Right(Either::Right(ReluBackward { mask, c }))
}

/// How a gradient by weights ends that most people do not use: stored, or in the step of most optimizers.
pub(crate) type OfWeights<'a> = Either<UpdatedByRow<'a>, Either<Stored<'a>, Updated<'a, Sgd, 1>>>;

/// [`UpdatedByRow`]
pub(crate) fn updated_by_row(updated: UpdatedByRow<'_>) -> OfWeights<'_> {
    Either::Left(updated)
}

/// [`Stored`]
pub(crate) fn stored(c: MatMut<'_>) -> OfWeights<'_> {
    Either::Right(Either::Left(Stored { c }))
}

/// [`Updated`] by [`Sgd`]
pub(crate) fn updated(updated: Updated<'_, Sgd, 1>) -> OfWeights<'_> {
    Either::Right(Either::Right(updated))
}
