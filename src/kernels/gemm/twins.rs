//! For tests: the products of a step beside their twins in the reference.

use super::{RowBlocks, Stored, Updated, gemm, gemm_transposed};
use crate::exec::ends::{biased_relu, stored, updated};
use crate::kernels::optimizers::{Momentum, MomentumKind, Sgd};
use crate::kernels::{MatMut, MatRef};
use crate::reference;
use crate::reference::samples::{assert_same_bits, numbers, ordinary_matrix};
use crate::simd::{Isa, LANES};
use std::vec;
use std::vec::Vec;

/// Operands of `[m, n, k]`.
pub(super) struct Operands {
    shape: (usize, usize, usize),
    /// `[m, k]`, and `[k, m]` for products of columns.
    rows: Vec<f32>,
    columns: Vec<f32>,
    /// Its rows are a stride apart. Behind the last one it ends; between the others lies NaN.
    b: Vec<f32>,
    stride: usize,
    bias: Vec<f32>,
}

impl Operands {
    pub(super) fn new((m, n, k): (usize, usize, usize), stride: usize) -> Self {
        let mut b = ordinary_matrix(3, k, n, stride);
        b.truncate((k - 1) * stride + n);
        Self { shape: (m, n, k), rows: numbers(1, m * k), columns: numbers(2, k * m), b, stride, bias: numbers(4, n) }
    }

    /// The product of rows with bias, ReLU and its mask; that of columns in blocks of some rows, which lie behind each other, stored and in
    /// steps of two optimizers: each the same bits as its twin.
    #[track_caller]
    pub(super) fn assert_bits_of_twins(&self, isa: Isa, rows_per_block: usize) {
        let Self { shape: (m, n, k), stride, .. } = *self;
        let context = (isa, isa.is_intel(), m, n, k);
        let (mut found, mut expected) = (vec![7.0; m * n], vec![7.0; m * n]);
        let (mut mask, mut expected_mask) = (vec![7; m * n.div_ceil(LANES)], vec![9; m * n.div_ceil(LANES)]);
        let (a, b) = (MatRef::new(&self.rows, m, k, k), MatRef::new(&self.b, k, n, stride));
        gemm(isa, a, b, &mut biased_relu(&self.bias, MatMut::new(&mut found, m, n, n), &mut mask));
        let twin = &mut biased_relu(&self.bias, MatMut::new(&mut expected, m, n, n), &mut expected_mask);
        reference::gemm::gemm(isa, a, b, twin);
        // One NaN is as good as another, so a NaN would show nothing.
        assert!(expected.iter().all(|x| x.is_finite()), "{context:?}");
        assert_same_bits(("A B", context), &found, &expected);
        assert_eq!(mask, expected_mask, "{context:?}");

        let a = RowBlocks::new(&self.columns, (k, m, m), rows_per_block, rows_per_block * m);
        let b = RowBlocks::new(&self.b, (k, n, stride), rows_per_block, rows_per_block * stride);
        gemm_transposed(isa, a, (0, m), b, &mut stored(MatMut::new(&mut found, m, n, n)));
        reference::gemm::gemm_transposed(isa, a, (0, m), b, &mut Stored { c: MatMut::new(&mut expected, m, n, n) });
        assert_same_bits(("A^T B", context), &found, &expected);

        let by_sgd = |weights| Updated { rule: Sgd { learning_rate: 0.1 }, parameters: [weights], leading_dimension: n };
        gemm_transposed(isa, a, (0, m), b, &mut updated(by_sgd(&mut found)));
        reference::gemm::gemm_transposed(isa, a, (0, m), b, &mut by_sgd(&mut expected));
        assert_same_bits(("weights by SGD", context), &found, &expected);

        let rule = Momentum { learning_rate: 0.1, momentum: 0.9, kind: MomentumKind::Classic };
        let (mut velocity, mut expected_velocity) = (vec![0.5; m * n], vec![0.5; m * n]);
        let by_momentum = |weights, velocity| Updated { rule, parameters: [weights, velocity], leading_dimension: n };
        gemm_transposed(isa, a, (0, m), b, &mut by_momentum(&mut found, &mut velocity));
        reference::gemm::gemm_transposed(isa, a, (0, m), b, &mut by_momentum(&mut expected, &mut expected_velocity));
        assert_same_bits(("weights by momentum", context), &found, &expected);
        assert_same_bits(("velocity", context), &velocity, &expected_velocity);
    }
}
