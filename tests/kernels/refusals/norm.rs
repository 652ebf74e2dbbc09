//! Batch normalization, dropout, what fuses them, and sums of squares.

use super::{NUMBERS, blocks, matrix};
use selvedge::kernels::clipping::{sums_of_magnitudes, sums_of_squares};
use selvedge::kernels::dropout::{
    AlphaDropout, Combine, Dropout, alpha_dropout_backward, alpha_dropout_forward, dropout_backward, dropout_forward, dropout_mask,
};
use selvedge::kernels::fused::{
    BiasedReluDropout, Masked, batch_norm_relu_dropout_backward, batch_norm_relu_dropout_forward,
    batch_norm_relu_dropout_gradient_shards, batch_norm_relu_dropout_gradient_sums,
};
use selvedge::kernels::gemm::gemm;
use selvedge::kernels::norm::{
    GradientSums, Normalization, affine, affine_backward, affine_forward, batch_norm_backward, batch_norm_forward, combine_shards,
    fold_into_next, fold_into_previous, gradient_shards, gradient_sums, inverse_deviation, square_shards, statistics, sum_shards,
    update_moving,
};
use selvedge::kernels::rng::Stream;
use selvedge::kernels::{MatMut, MatRef};
use selvedge::simd::Isa;

const STREAM: Stream = Stream { seed: 1, step: 2, layer: 3, first_row: 0 };

/// A normalization of five columns, or with one vector of another length.
fn normalization([mean, inverse_deviation, gamma, beta]: [usize; 4]) -> Normalization<'static> {
    Normalization {
        mean: &NUMBERS[..mean],
        inverse_deviation: &NUMBERS[..inverse_deviation],
        gamma: &NUMBERS[..gamma],
        beta: &NUMBERS[..beta],
    }
}

fn five() -> Normalization<'static> {
    normalization([5; 4])
}

/// Gradients by gamma and beta, of so many columns.
fn sums(dgamma: usize, dbeta: usize) -> GradientSums<'static> {
    GradientSums { dgamma: &NUMBERS[..dgamma], dbeta: &NUMBERS[..dbeta], rows: 7 }
}

fn masked(mask: &[u16]) -> Masked<'_> {
    Masked { mask, factor: 2.0 }
}

fn half() -> Dropout {
    Dropout::new(0.5).expect("a rate")
}

fn alpha() -> AlphaDropout {
    AlphaDropout::new(0.5).expect("a rate")
}

/// Two matrices to write to.
fn two(c: &mut [f32], first: (usize, usize), second: (usize, usize)) -> [MatMut<'_>; 2] {
    let (one, other) = c.split_at_mut(50);
    [MatMut::new(one, first.0, first.1, first.1), MatMut::new(other, second.0, second.1, second.1)]
}

/// Two vectors to write to.
fn two_rows(c: &mut [f32], first: usize, second: usize) -> [&mut [f32]; 2] {
    let (one, other) = c.split_at_mut(50);
    [&mut one[..first], &mut other[..second]]
}

refusals! { isa, c:
    statistics_of_nothing,
    "at least 1 row expected, found 0" => statistics(isa, MatRef::new(&[], 0, 3, 3).into(), 0, &mut c[..3], &mut [0.0; 3]);
    statistics_of_two_lengths,
    "variance: 3 elements expected, found 2" => statistics(isa, blocks(2, 3, 2), 0, &mut c[..3], &mut [0.0; 2]);
    statistics_of_columns_that_are_not_there,
    "columns up to 3 expected, found 4" => statistics(isa, blocks(2, 3, 2), 1, &mut c[..3], &mut [0.0; 3]);
    sums_of_other_shards,
    "shards: 2 x 3 expected, found 1 x 3" => sum_shards(isa, matrix(17, 3), MatMut::new(c, 1, 3, 3));
    squares_of_other_shards,
    "shards: 2 x 3 expected, found 2 x 4" => square_shards(isa, matrix(17, 3), &[0.0; 3], MatMut::new(c, 2, 4, 4));
    squares_about_another_mean,
    "mean: 3 elements expected, found 4" => square_shards(isa, matrix(17, 3), &[0.0; 4], MatMut::new(c, 2, 3, 3));
    shards_of_columns_that_are_not_there,
    "columns up to 3 expected, found 4" => combine_shards(isa, blocks(2, 3, 2), 2, 1.0, &mut c[..2]);
    deviations_of_another_length,
    "slices of one length expected: 6, found 5" => inverse_deviation(isa, &[0.0; 5], 1e-3, &mut c[..6]);
    moving_statistics_of_another_length,
    "slices of one length expected: 6, found 5" => update_moving(isa, 0.9, &[0.0; 5], &mut c[..6]);

    a_mean_of_another_length,
    "mean: 5 elements expected, found 4" => batch_norm_forward(isa, matrix(2, 5), normalization([4, 5, 5, 5]), MatMut::new(c, 2, 5, 5));
    a_deviation_of_another_length,
    "inverse deviation: 5 elements expected, found 6" =>
        batch_norm_forward(isa, matrix(2, 5), normalization([5, 6, 5, 5]), MatMut::new(c, 2, 5, 5));
    a_gamma_of_another_length,
    "gamma: 5 elements expected, found 4" => batch_norm_forward(isa, matrix(2, 5), normalization([5, 5, 4, 5]), MatMut::new(c, 2, 5, 5));
    a_beta_of_another_length,
    "beta: 5 elements expected, found 6" => batch_norm_forward(isa, matrix(2, 5), normalization([5, 5, 5, 6]), MatMut::new(c, 2, 5, 5));
    a_normalization_into_another_matrix,
    "y: 2 x 5 expected, found 3 x 5" => batch_norm_forward(isa, matrix(2, 5), five(), MatMut::new(c, 3, 5, 5));
    gradient_sums_by_another_normalization,
    "mean: 5 elements expected, found 4" =>
        gradient_sums(isa, blocks(4, 5, 4), blocks(4, 5, 4), normalization([4; 4]), 0, two_rows(c, 5, 5));
    gradient_sums_of_two_matrices,
    "dy: 4 x 5 expected, found 3 x 5" => gradient_sums(isa, blocks(3, 5, 3), blocks(4, 5, 4), five(), 0, two_rows(c, 5, 5));
    gradient_sums_of_two_lengths,
    "dbeta: 3 elements expected, found 2" => gradient_sums(isa, blocks(4, 5, 4), blocks(4, 5, 4), five(), 0, two_rows(c, 3, 2));
    gradient_sums_of_columns_that_are_not_there,
    "columns up to 5 expected, found 6" => gradient_sums(isa, blocks(4, 5, 4), blocks(4, 5, 4), five(), 3, two_rows(c, 3, 3));
    gradient_shards_by_another_normalization,
    "gamma: 5 elements expected, found 6" =>
        gradient_shards(isa, matrix(17, 5), matrix(17, 5), normalization([5, 5, 6, 5]), two(c, (2, 5), (2, 5)));
    gradient_shards_of_two_matrices,
    "dy: 17 x 5 expected, found 16 x 5" => gradient_shards(isa, matrix(16, 5), matrix(17, 5), five(), two(c, (2, 5), (2, 5)));
    gradient_shards_into_another_matrix,
    "shards: 2 x 5 expected, found 1 x 5" => gradient_shards(isa, matrix(17, 5), matrix(17, 5), five(), two(c, (1, 5), (2, 5)));
    gradient_shards_of_beta_into_another_matrix,
    "shards: 2 x 5 expected, found 2 x 4" => gradient_shards(isa, matrix(17, 5), matrix(17, 5), five(), two(c, (2, 5), (2, 4)));
    a_backward_pass_through_another_normalization,
    "beta: 5 elements expected, found 4" =>
        batch_norm_backward(isa, matrix(2, 5), normalization([5, 5, 5, 4]), sums(5, 5), MatMut::new(c, 2, 5, 5));
    a_backward_pass_with_other_sums_by_gamma,
    "dgamma: 5 elements expected, found 4" => batch_norm_backward(isa, matrix(2, 5), five(), sums(4, 5), MatMut::new(c, 2, 5, 5));
    a_backward_pass_with_other_sums_by_beta,
    "dbeta: 5 elements expected, found 6" => batch_norm_backward(isa, matrix(2, 5), five(), sums(5, 6), MatMut::new(c, 2, 5, 5));
    a_backward_pass_into_another_matrix,
    "dy: 2 x 5 expected, found 5 x 2" => batch_norm_backward(isa, matrix(2, 5), five(), sums(5, 5), MatMut::new(c, 5, 2, 2));

    a_scale_and_shift_of_another_length,
    "slices of one length expected" => affine(isa, five(), &mut c[..5], &mut [0.0; 4]);
    a_scale_of_another_length,
    "scale: 5 elements expected, found 4" => affine_forward(isa, &[1.0; 4], &[0.0; 5], MatMut::new(c, 2, 5, 5));
    a_shift_of_another_length,
    "shift: 5 elements expected, found 6" => affine_forward(isa, &[1.0; 5], &[0.0; 6], MatMut::new(c, 2, 5, 5));
    a_scale_of_another_length_for_a_gradient,
    "scale: 5 elements expected, found 6" => affine_backward(isa, &[1.0; 6], MatMut::new(c, 2, 5, 5));
    a_scale_folded_into_other_outputs,
    "scale: 5 elements expected, found 4" => fold_into_previous(isa, &[1.0; 4], &[0.0; 5], MatMut::new(c, 2, 5, 5), &mut [0.0; 5]);
    a_bias_folded_for_other_outputs,
    "bias: 5 elements expected, found 2" => fold_into_previous(isa, &[1.0; 5], &[0.0; 5], MatMut::new(c, 2, 5, 5), &mut [0.0; 2]);
    a_shift_folded_into_other_outputs,
    "slices of one length expected: 5, found 4" =>
        fold_into_previous(isa, &[1.0; 5], &[0.0; 4], MatMut::new(c, 2, 5, 5), &mut [0.0; 5]);
    a_scale_folded_into_other_inputs,
    "scale: 2 elements expected, found 5" => fold_into_next(isa, &[1.0; 5], &[0.0; 2], MatMut::new(c, 2, 5, 5), &mut [0.0; 5]);
    a_shift_folded_into_other_inputs,
    "shift: 2 elements expected, found 3" => fold_into_next(isa, &[1.0; 2], &[0.0; 3], MatMut::new(c, 2, 5, 5), &mut [0.0; 5]);
    a_bias_folded_for_other_inputs,
    "bias: 5 elements expected, found 2" => fold_into_next(isa, &[1.0; 2], &[0.0; 2], MatMut::new(c, 2, 5, 5), &mut [0.0; 2]);

    a_dropout_with_another_mask,
    "a mask of 4 words expected, found 2" => dropout_forward(isa, half(), STREAM, MatMut::new(c, 2, 17, 17), &mut [0; 2], Combine::Replace);
    a_dropout_joined_with_no_mask,
    "a mask of 4 words expected, found 0" => dropout_forward(isa, half(), STREAM, MatMut::new(c, 2, 17, 17), &mut [], Combine::And);
    an_alpha_dropout_with_another_mask,
    "a mask of 4 words expected, found 5" => alpha_dropout_forward(isa, alpha(), STREAM, MatMut::new(c, 2, 17, 17), &mut [0; 5]);
    a_mask_of_less_than_a_row,
    "rows of 2 words expected, found 3" => dropout_mask(isa, half(), STREAM, 17, &mut [0; 3], Combine::Replace);
    a_mask_of_no_columns,
    "rows of 0 words expected, found 1" => dropout_mask(isa, half(), STREAM, 0, &mut [0; 1], Combine::Replace);
    a_gradient_of_dropout_with_another_mask,
    "a mask of 4 words expected, found 3" => dropout_backward(isa, half(), &[0; 3], MatMut::new(c, 2, 17, 17));
    a_gradient_of_alpha_dropout_with_another_mask,
    "a mask of 4 words expected, found 0" => alpha_dropout_backward(isa, alpha(), &[], MatMut::new(c, 2, 17, 17));

    a_chain_by_another_normalization,
    "mean: 5 elements expected, found 6" =>
        batch_norm_relu_dropout_forward(isa, matrix(2, 5), normalization([6; 4]), (half(), STREAM), MatMut::new(c, 2, 5, 5), &mut [0; 2]);
    a_chain_into_another_matrix,
    "y: 2 x 5 expected, found 2 x 4" =>
        batch_norm_relu_dropout_forward(isa, matrix(2, 5), five(), (half(), STREAM), MatMut::new(c, 2, 4, 4), &mut [0; 2]);
    a_chain_with_another_mask,
    "a mask of 2 words expected, found 3" =>
        batch_norm_relu_dropout_forward(isa, matrix(2, 5), five(), (half(), STREAM), MatMut::new(c, 2, 5, 5), &mut [0; 3]);
    gradient_sums_of_a_chain_by_another_normalization,
    "inverse deviation: 5 elements expected, found 4" => batch_norm_relu_dropout_gradient_sums(
        isa, matrix(2, 5), matrix(2, 5), normalization([5, 4, 5, 5]), masked(&[0; 2]), two_rows(c, 5, 5));
    gradient_sums_of_a_chain_of_two_matrices,
    "dy: 2 x 5 expected, found 3 x 5" =>
        batch_norm_relu_dropout_gradient_sums(isa, matrix(3, 5), matrix(2, 5), five(), masked(&[0; 2]), two_rows(c, 5, 5));
    gradient_sums_of_a_chain_with_another_mask,
    "a mask of 2 words expected, found 1" =>
        batch_norm_relu_dropout_gradient_sums(isa, matrix(2, 5), matrix(2, 5), five(), masked(&[0; 1]), two_rows(c, 5, 5));
    gradient_sums_of_a_chain_of_another_length,
    "dgamma: 5 elements expected, found 4" =>
        batch_norm_relu_dropout_gradient_sums(isa, matrix(2, 5), matrix(2, 5), five(), masked(&[0; 2]), two_rows(c, 4, 5));
    gradient_sums_of_a_chain_by_beta_of_another_length,
    "dbeta: 5 elements expected, found 6" =>
        batch_norm_relu_dropout_gradient_sums(isa, matrix(2, 5), matrix(2, 5), five(), masked(&[0; 2]), two_rows(c, 5, 6));
    gradient_shards_of_a_chain_of_two_matrices,
    "dy: 17 x 5 expected, found 17 x 4" =>
        batch_norm_relu_dropout_gradient_shards(isa, matrix(17, 4), matrix(17, 5), five(), masked(&[0; 17]), two(c, (2, 5), (2, 5)));
    gradient_shards_of_a_chain_into_another_matrix,
    "shards: 2 x 5 expected, found 3 x 5" =>
        batch_norm_relu_dropout_gradient_shards(isa, matrix(17, 5), matrix(17, 5), five(), masked(&[0; 17]), two(c, (3, 5), (2, 5)));
    gradient_shards_of_a_chain_by_beta_into_another_matrix,
    "shards: 2 x 5 expected, found 2 x 6" =>
        batch_norm_relu_dropout_gradient_shards(isa, matrix(17, 5), matrix(17, 5), five(), masked(&[0; 17]), two(c, (2, 5), (2, 6)));
    a_backward_pass_through_a_chain_by_another_normalization,
    "gamma: 5 elements expected, found 4" => batch_norm_relu_dropout_backward(
        isa, matrix(2, 5), normalization([5, 5, 4, 5]), sums(5, 5), masked(&[0; 2]), MatMut::new(c, 2, 5, 5));
    a_backward_pass_through_a_chain_with_other_sums,
    "dbeta: 5 elements expected, found 4" =>
        batch_norm_relu_dropout_backward(isa, matrix(2, 5), five(), sums(5, 4), masked(&[0; 2]), MatMut::new(c, 2, 5, 5));
    a_backward_pass_through_a_chain_into_another_matrix,
    "dy: 2 x 5 expected, found 3 x 5" =>
        batch_norm_relu_dropout_backward(isa, matrix(2, 5), five(), sums(5, 5), masked(&[0; 2]), MatMut::new(c, 3, 5, 5));
    a_backward_pass_through_a_chain_with_another_mask,
    "a mask of 2 words expected, found 4" =>
        batch_norm_relu_dropout_backward(isa, matrix(2, 5), five(), sums(5, 5), masked(&[0; 4]), MatMut::new(c, 2, 5, 5));

    a_product_with_dropout_and_another_bias,
    "bias: 5 elements expected, found 4" => gemm(isa, matrix(2, 3), matrix(3, 5),
        &mut BiasedReluDropout { bias: &[0.0; 4], dropout: half(), stream: STREAM, c: MatMut::new(c, 2, 5, 5), mask: &mut [0; 2] });
    a_product_with_dropout_into_another_matrix,
    "C: 2 x 5 expected, found 2 x 4" => gemm(isa, matrix(2, 3), matrix(3, 5),
        &mut BiasedReluDropout { bias: &[0.0; 5], dropout: half(), stream: STREAM, c: MatMut::new(c, 2, 4, 4), mask: &mut [0; 2] });
    a_product_with_dropout_and_another_mask,
    "a mask of 2 words expected, found 1" => gemm(isa, matrix(2, 3), matrix(3, 5),
        &mut BiasedReluDropout { bias: &[0.0; 5], dropout: half(), stream: STREAM, c: MatMut::new(c, 2, 5, 5), mask: &mut [0; 1] });

    squares_of_another_number_of_shards,
    "sums of 2 micro-shards expected, found 1" => sums_of_squares(isa, matrix(17, 3), &mut c[..1]);
    magnitudes_of_another_number_of_shards,
    "sums of 2 micro-shards expected, found 3" => sums_of_magnitudes(isa, matrix(17, 3), &mut c[..3]);
}
