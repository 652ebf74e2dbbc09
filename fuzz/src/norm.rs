//! Batch normalization, alone and fused, as a whole and by columns or by rows.

use super::dropout::stream;
use super::operands::Operands;
use super::support::bits::assert_same;
use super::support::buffer::{Buffer, Place};
use super::support::isas::isas;
use super::support::matrix::{Layout, Matrix};
use super::support::numbers::POISON;
use arbitrary::Result;
use selvedge::kernels::dropout::{Dropout, mask_len};
use selvedge::kernels::fused::{
    Masked, batch_norm_relu_dropout_backward, batch_norm_relu_dropout_forward, batch_norm_relu_dropout_gradient_sums,
};
use selvedge::kernels::norm::{self, GradientSums, Normalization};
use selvedge::kernels::reduce::MICRO_SHARD;
use selvedge::reference::{dropout as dropout_twin, fused as fused_twin, norm as twin};

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| match operands.up_to(2)? {
        0 => training(&mut operands),
        1 => fused(&mut operands),
        _ => inference(&mut operands),
    });
}

/// What columns are normalized with, any numbers.
struct Columns([Buffer<f32>; 4]);

impl Columns {
    fn new(operands: &mut Operands<'_>, n: usize) -> Result<Self> {
        Ok(Self([operands.vector(n)?, operands.vector(n)?, operands.vector(n)?, operands.vector(n)?]))
    }

    fn normalization(&self) -> Normalization<'_> {
        let Self([mean, inverse_deviation, gamma, beta]) = self;
        Normalization { mean, inverse_deviation, gamma, beta }
    }
}

fn poison(len: usize) -> [Vec<f32>; 2] {
    [vec![POISON; len], vec![POISON; len]]
}

/// A shape with at least one row.
fn shape(operands: &mut Operands<'_>) -> Result<(usize, usize)> {
    Ok((operands.length(70)?.max(1), operands.length(50)?))
}

fn training(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = shape(operands)?;
    let (x, dy) = (operands.matrix((m, n))?, operands.matrix((m, n))?);
    let (y, columns) = (operands.target((m, n))?, Columns::new(operands, n)?);
    let normalization = columns.normalization();
    let x = operands.make(&x);
    let first = operands.up_to(n)?;
    let (epsilon, momentum) = (operands.magnitude()?, operands.share()?);
    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n}, {epsilon}, {momentum}");
        let [mut mean, mut variance] = poison(n);
        twin::statistics(isa, x.as_ref(), &mut mean, &mut variance);
        // By columns, in two parts.
        let [mut found_mean, mut found_variance] = poison(n).map(|poison| operands.placed(&poison));
        let (mean_parts, variance_parts) = (found_mean.split_at_mut(first), found_variance.split_at_mut(first));
        norm::statistics(isa, x.as_ref().into(), 0, mean_parts.0, variance_parts.0);
        norm::statistics(isa, x.as_ref().into(), first, mean_parts.1, variance_parts.1);
        assert_same(&found_mean, &mean, &format_args!("{case}: mean, in parts up to {first}"));
        assert_same(&found_variance, &variance, &format_args!("{case}: variance, in parts up to {first}"));
        // By rows, in micro-shards.
        let shards = m.div_ceil(MICRO_SHARD);
        let mut sums = Matrix::new(Place::Heap, (shards, n), Layout::padded(1), |_, _| POISON);
        norm::sum_shards(isa, x.as_ref(), sums.as_mut());
        norm::combine_shards(isa, sums.as_blocks(), 0, m as f32, &mut found_mean);
        assert_same(&found_mean, &mean, &format_args!("{case}: mean of shards"));
        norm::square_shards(isa, x.as_ref(), &mean, sums.as_mut());
        norm::combine_shards(isa, sums.as_blocks(), 0, m as f32, &mut found_variance);
        assert_same(&found_variance, &variance, &format_args!("{case}: variance of shards"));

        let mut expected = vec![POISON; n];
        norm::inverse_deviation(isa, &variance, epsilon, &mut found_variance);
        twin::inverse_deviation(&variance, epsilon, &mut expected);
        assert_same(&found_variance, &expected, &format_args!("{case}: inverse deviation of {variance:?}"));
        let mut moving = operands.placed(normalization.mean);
        let mut expected = normalization.mean.to_vec();
        norm::update_moving(isa, momentum, &mean, &mut moving);
        twin::update_moving(isa, momentum, &mean, &mut expected);
        assert_same(&moving, &expected, &format_args!("{case}: moving mean"));

        let (mut found, mut expected) = (operands.make(&y), y.twin());
        norm::batch_norm_forward(isa, x.as_ref(), normalization, found.as_mut());
        twin::batch_norm_forward(isa, x.as_ref(), &normalization, expected.as_mut());
        found.assert_same(&expected, &format_args!("{case}: forward"));

        let (mut found, mut expected) = (operands.make(&dy), dy.twin());
        let [mut dgamma, mut dbeta] = poison(n);
        twin::gradient_sums(isa, expected.as_ref(), x.as_ref(), &normalization, [&mut dgamma, &mut dbeta]);
        let [mut found_dgamma, mut found_dbeta] = poison(n).map(|poison| operands.placed(&poison));
        let sums = [&mut *found_dgamma, &mut *found_dbeta];
        let [(dgamma_before, dgamma_behind), (dbeta_before, dbeta_behind)] = sums.map(|sums| sums.split_at_mut(first));
        for (first, sums) in [(0, [dgamma_before, dbeta_before]), (first, [dgamma_behind, dbeta_behind])] {
            norm::gradient_sums(isa, found.as_ref().into(), x.as_ref().into(), normalization, first, sums);
        }
        assert_same(&found_dgamma, &dgamma, &format_args!("{case}: gradient by gamma"));
        assert_same(&found_dbeta, &dbeta, &format_args!("{case}: gradient by beta"));
        let sums = GradientSums { dgamma: &found_dgamma, dbeta: &found_dbeta, rows: m };
        norm::batch_norm_backward(isa, x.as_ref(), normalization, sums, found.as_mut());
        twin::batch_norm_backward(isa, x.as_ref(), &normalization, &sums, expected.as_mut());
        found.assert_same(&expected, &format_args!("{case}: backward"));
    }
    Ok(())
}

fn fused(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = shape(operands)?;
    let (x, dy) = (operands.matrix((m, n))?, operands.matrix((m, n))?);
    let (y, columns) = (operands.target((m, n))?, Columns::new(operands, n)?);
    let normalization = columns.normalization();
    let x = operands.make(&x);
    let dropout = Dropout::new(operands.share()?).unwrap_or(Dropout::NONE);
    let stream = stream(operands)?;
    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n}, {dropout:?}, {stream:?}");
        let (mut found, mut expected) = (operands.make(&y), y.twin());
        let mut mask = vec![0xa5a5; mask_len(m, n)];
        let mut found_mask = operands.placed(&mask);
        let random = (dropout, stream);
        batch_norm_relu_dropout_forward(isa, x.as_ref(), normalization, random, found.as_mut(), &mut found_mask);
        fused_twin::batch_norm_relu_dropout_forward(isa, x.as_ref(), &normalization, random, expected.as_mut(), &mut mask);
        found.assert_same(&expected, &format_args!("{case}: forward"));
        assert_eq!(found_mask[..], mask[..], "{case}: mask");

        let masked = Masked { mask: &found_mask, factor: dropout.scale() };
        let (mut found, mut expected, mut unmasked) = (operands.make(&dy), dy.twin(), dy.twin());
        dropout_twin::masked_scale(masked.factor, masked.mask, unmasked.as_mut());
        let [mut dgamma, mut dbeta] = poison(n);
        twin::gradient_sums(isa, unmasked.as_ref(), x.as_ref(), &normalization, [&mut dgamma, &mut dbeta]);
        let [mut found_dgamma, mut found_dbeta] = poison(n).map(|poison| operands.placed(&poison));
        let sums = [&mut *found_dgamma, &mut *found_dbeta];
        batch_norm_relu_dropout_gradient_sums(isa, found.as_ref(), x.as_ref(), normalization, masked, sums);
        assert_same(&found_dgamma, &dgamma, &format_args!("{case}: gradient by gamma"));
        assert_same(&found_dbeta, &dbeta, &format_args!("{case}: gradient by beta"));
        let sums = GradientSums { dgamma: &found_dgamma, dbeta: &found_dbeta, rows: m };
        batch_norm_relu_dropout_backward(isa, x.as_ref(), normalization, sums, masked, found.as_mut());
        fused_twin::batch_norm_relu_dropout_backward(isa, x.as_ref(), &normalization, &sums, masked, expected.as_mut());
        found.assert_same(&expected, &format_args!("{case}: backward"));
    }
    Ok(())
}

fn inference(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = shape(operands)?;
    let x = operands.matrix((m, n))?;
    let columns = Columns::new(operands, n)?;
    let (scale, shift) = (operands.vector(n)?, operands.vector(n)?);
    let (row_scale, row_shift) = (operands.vector(m)?, operands.vector(m)?);
    let bias = operands.numbers(n)?;
    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n}");
        let [mut expected_scale, mut expected_shift] = poison(n);
        let [mut found_scale, mut found_shift] = poison(n).map(|poison| operands.placed(&poison));
        norm::affine(isa, columns.normalization(), &mut found_scale, &mut found_shift);
        twin::affine(isa, &columns.normalization(), &mut expected_scale, &mut expected_shift);
        assert_same(&found_scale, &expected_scale, &format_args!("{case}: scale"));
        assert_same(&found_shift, &expected_shift, &format_args!("{case}: shift"));

        let (mut found, mut expected) = (operands.make(&x), x.twin());
        norm::affine_forward(isa, &scale, &shift, found.as_mut());
        twin::affine_forward(isa, &scale, &shift, expected.as_mut());
        found.assert_same(&expected, &format_args!("{case}: affine"));
        norm::affine_backward(isa, &scale, found.as_mut());
        twin::affine_backward(&scale, expected.as_mut());
        found.assert_same(&expected, &format_args!("{case}: affine backward"));

        let (mut found, mut expected) = (operands.make(&x), x.twin());
        let (mut found_bias, mut expected_bias) = (operands.placed(&bias), bias.clone());
        norm::fold_into_previous(isa, &scale, &shift, found.as_mut(), &mut found_bias);
        twin::fold_into_previous(isa, &scale, &shift, expected.as_mut(), &mut expected_bias);
        norm::fold_into_next(isa, &row_scale, &row_shift, found.as_mut(), &mut found_bias);
        twin::fold_into_next(isa, &row_scale, &row_shift, expected.as_mut(), &mut expected_bias);
        found.assert_same(&expected, &format_args!("{case}: folded weights"));
        assert_same(&found_bias, &expected_bias, &format_args!("{case}: folded bias"));
    }
    Ok(())
}
