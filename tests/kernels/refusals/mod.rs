//! What does not fit is refused, with both numbers.

use crate::support::ends::{biased, biased_relu, relu_backward, stored, updated_by_row, updated_by_sgd};
use selvedge::kernels::activations::prelu_forward_in_place;
use selvedge::kernels::gather::{Scaling, gather, gather_bytes};
use selvedge::kernels::gemm::{Accumulated, RowBlocks, UpdatedByRow, gemm, gemm_shared, gemm_transposed};
use selvedge::kernels::loss::{RowWeights, softmax_cross_entropy, softmax_cross_entropy_one_hot, squared_error};
use selvedge::kernels::merge::{add, copy};
use selvedge::kernels::optimizers::{ByRow, Sgd, add_penalty, update};
use selvedge::kernels::reduce::{argmax, column_sums, column_sums_into};
use selvedge::kernels::transpose::{transpose, transpose_added, transpose_masked};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::simd::Isa;

const SGD: Sgd = Sgd { learning_rate: 0.1 };
const EQUAL: RowWeights<'_> = RowWeights::equal(1.0);
static NUMBERS: [f32; 100] = [1.0; 100];

/// A matrix without padding.
fn matrix(rows: usize, columns: usize) -> MatRef<'static> {
    MatRef::new(&NUMBERS, rows, columns, columns)
}

fn blocks(rows: usize, columns: usize, rows_per_block: usize) -> RowBlocks<'static> {
    RowBlocks::new(&NUMBERS, (rows, columns, columns), rows_per_block, rows_per_block * columns)
}

/// One test for each refusal: its name, the message, and what is refused. `$isa` is any instruction set, `$c` memory to write to.
macro_rules! refusals {
    ($isa:ident, $c:ident: $($name:ident, $message:literal => $refused:expr;)+) => {$(
        #[test]
        #[should_panic(expected = $message)]
        fn $name() {
            let $isa = Isa::detect();
            let _ = $isa;
            let $c = &mut [0.0f32; 100][..];
            let _ = &$c;
            let _ = $refused;
        }
    )+};
}

mod norm;

refusals! { isa, c:
    a_matrix_in_too_short_a_slice,
    "a matrix of 3 x 4 with leading dimension 5 expects Some(14) elements, found 13" => MatRef::new(&c[..13], 3, 4, 5);
    a_writable_matrix_in_too_short_a_slice,
    "a matrix of 3 x 4 with leading dimension 5 expects Some(14) elements, found 13" => MatMut::new(&mut c[..13], 3, 4, 5);
    a_matrix_of_overlapping_rows,
    "leading dimension of at least 4 expected for 4 columns, found 3" => MatRef::new(c, 2, 4, 3);
    a_matrix_beyond_the_address_space,
    "expects None elements, found 100" => MatRef::new(c, usize::MAX, 4, usize::MAX);
    a_row_that_is_not_there,
    "row 3 of a matrix of 3 rows" => matrix(3, 4).row(3);
    a_row_of_blocks_that_is_not_there,
    "row 3 of a matrix of 3 rows" => blocks(3, 4, 2).row(3);

    blocks_without_rows,
    "at least 1 row per block expected, found 0" => RowBlocks::new(c, (2, 2, 2), 0, 4);
    blocks_too_far_apart,
    "2 blocks 101 elements apart expected, found 100 elements" => RowBlocks::new(c, (4, 2, 2), 2, 101);
    a_rest_too_far_behind,
    "a block at element 101 expected, found 100 elements" => RowBlocks::new(c, (3, 2, 2), 2, 101);
    a_last_block_in_too_short_a_slice,
    "a matrix of 2 x 2 with leading dimension 2 expects Some(4) elements, found 3" => RowBlocks::new(&c[..11], (4, 2, 2), 2, 8);
    a_rest_in_too_short_a_slice,
    "a matrix of 1 x 2 with leading dimension 2 expects Some(2) elements, found 1" => RowBlocks::new(&c[..9], (3, 2, 2), 2, 8);
    // The start of the last block, reckoned without care, is element 1.
    blocks_beyond_the_address_space,
    "elements apart expected, found 100 elements" => RowBlocks::new(c, (4, 1, 1), 1, usize::MAX / 3 * 2 + 1);

    a_product_of_two_depths,
    "A is 2 x 3: B of 3 rows expected, found 4" => gemm(isa, matrix(2, 3), matrix(4, 5), &mut stored(MatMut::new(c, 2, 5, 5)));
    a_shared_product_of_two_depths,
    "A is 2 x 3: B of 3 rows expected, found 4" =>
        gemm_shared(isa, matrix(2, 3), matrix(4, 5), &mut stored(MatMut::new(c, 2, 5, 5)));
    a_product_into_a_smaller_matrix,
    "C: 2 x 5 expected, found 2 x 4" => gemm(isa, matrix(2, 3), matrix(3, 5), &mut stored(MatMut::new(c, 2, 4, 4)));
    a_product_added_to_a_larger_matrix,
    "C: 2 x 5 expected, found 3 x 5" => gemm(isa, matrix(2, 3), matrix(3, 5), &mut Accumulated { c: MatMut::new(c, 3, 5, 5) });
    a_bias_of_another_length,
    "bias: 5 elements expected, found 4" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut biased(&[0.0; 4], MatMut::new(c, 2, 5, 5)));
    a_biased_product_into_another_matrix,
    "C: 2 x 5 expected, found 5 x 2" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut biased(&[0.0; 5], MatMut::new(c, 5, 2, 2)));
    a_mask_of_another_length,
    "mask: 4 elements expected, found 2" =>
        gemm(isa, matrix(2, 1), matrix(1, 17), &mut biased_relu(&[0.0; 17], MatMut::new(c, 2, 17, 17), &mut [0; 2]));
    a_mask_of_another_length_for_a_gradient,
    "mask: 4 elements expected, found 2" =>
        gemm(isa, matrix(2, 1), matrix(1, 17), &mut relu_backward(&[0; 2], MatMut::new(c, 2, 17, 17)));
    a_masked_gradient_into_another_matrix,
    "C: 2 x 5 expected, found 1 x 5" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut relu_backward(&[0; 2], MatMut::new(c, 1, 5, 5)));
    the_left_of_two_into_another_matrix,
    "C: 2 x 5 expected, found 1 x 5" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut biased(&[], MatMut::new(c, 1, 5, 5)));
    the_right_of_two_into_another_matrix,
    "C: 2 x 5 expected, found 1 x 5" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut stored(MatMut::new(c, 1, 5, 5)));
    a_relu_with_a_bias_of_another_length,
    "bias: 5 elements expected, found 6" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut biased_relu(&[0.0; 6], MatMut::new(c, 2, 5, 5), &mut []));
    a_relu_into_another_matrix,
    "C: 2 x 5 expected, found 1 x 5" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut biased_relu(&[0.0; 5], MatMut::new(c, 1, 5, 5), &mut []));
    weights_too_short_for_their_gradient,
    "a matrix of 2 x 5 with leading dimension 6 expects Some(11) elements, found 10" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut updated_by_sgd(SGD, &mut c[..10], 6));
    weights_too_short_for_any_rule,
    "a matrix of 2 x 5 with leading dimension 6 expects Some(11) elements, found 10" => {
        let parameters = [&mut c[..10], &mut [], &mut [], &mut []];
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut updated_by_row(UpdatedByRow { isa, rule: &ByRow(SGD), parameters, leading_dimension: 6 }));
    };
    weights_of_overlapping_rows,
    "leading dimension of at least 5 expected for 5 columns, found 4" =>
        gemm(isa, matrix(2, 3), matrix(3, 5), &mut updated_by_sgd(SGD, c, 4));
    a_transposed_product_of_two_depths,
    "A has 3 rows: B of 3 rows expected, found 4" =>
        gemm_transposed(isa, blocks(3, 2, 3), (0, 2), blocks(4, 5, 4), &mut stored(MatMut::new(c, 2, 5, 5)));
    a_transposed_product_of_columns_that_are_not_there,
    "columns up to 4 expected, found 2 and 3 more" =>
        gemm_transposed(isa, blocks(3, 4, 3), (2, 3), blocks(3, 5, 3), &mut stored(MatMut::new(c, 3, 5, 5)));
    a_transposed_product_of_columns_beyond_the_address_space,
    "and 3 more" =>
        gemm_transposed(isa, blocks(3, 4, 3), (usize::MAX, 3), blocks(3, 5, 3), &mut stored(MatMut::new(c, 3, 5, 5)));
    a_transposed_product_of_different_blocks,
    "blocks of 2 rows expected as in A, found 3" =>
        gemm_transposed(isa, blocks(4, 2, 2), (0, 2), blocks(4, 5, 3), &mut stored(MatMut::new(c, 2, 5, 5)));

    sums_of_another_length,
    "sums of 4 columns expected, found 3" => column_sums(isa, blocks(2, 4, 2), &mut c[..3]);
    sums_of_columns_that_are_not_there,
    "columns up to 4 expected, found 5" => column_sums_into(isa, blocks(2, 4, 2), 3, SGD, [&mut c[..2]]);
    results_for_other_rows,
    "results for 3 rows expected, found 2" => argmax(isa, matrix(3, 4), &mut [0; 2]);

    labels_for_other_rows,
    "labels of 2 rows expected, found 3" => softmax_cross_entropy(isa, MatMut::new(c, 2, 4, 4), &[0; 3], 0.0, EQUAL, &mut [0.0; 2]);
    losses_for_other_rows,
    "losses of 2 rows expected, found 1" => softmax_cross_entropy(isa, MatMut::new(c, 2, 4, 4), &[0; 2], 0.0, EQUAL, &mut [0.0; 1]);
    a_label_that_is_not_there,
    "a label below 4 expected in row 1, found 4" =>
        softmax_cross_entropy(isa, MatMut::new(c, 2, 4, 4), &[3, 4], 0.0, EQUAL, &mut [0.0; 2]);
    a_smoothed_label_that_is_not_there,
    "a label below 4 expected in row 1, found 4" =>
        softmax_cross_entropy(isa, MatMut::new(c, 2, 4, 4), &[3, 4], 0.1, EQUAL, &mut [0.0; 2]);
    weights_for_other_rows,
    "weights of 2 rows expected, found 3" =>
        softmax_cross_entropy(isa, MatMut::new(c, 2, 4, 4), &[0; 2], 0.0, RowWeights { weights: Some(&[1.0; 3]), ..EQUAL }, &mut [0.0; 2]);
    targets_of_another_shape,
    "targets: 2 x 4 expected, found 4 x 2" =>
        softmax_cross_entropy_one_hot(isa, MatMut::new(c, 2, 4, 4), matrix(4, 2), 0.0, EQUAL, &mut [0.0; 2]);
    one_hot_targets_for_other_losses,
    "losses of 2 rows expected, found 3" =>
        softmax_cross_entropy_one_hot(isa, MatMut::new(c, 2, 4, 4), matrix(2, 4), 0.0, EQUAL, &mut [0.0; 3]);
    targets_for_other_losses,
    "losses of 2 rows expected, found 3" => squared_error(isa, MatMut::new(c, 2, 4, 4), matrix(2, 4), EQUAL, &mut [0.0; 3]);
    the_mean_of_nothing,
    "at least 1 column expected, found 0" => squared_error(isa, MatMut::new(c, 2, 0, 4), matrix(2, 0), EQUAL, &mut [0.0; 2]);

    an_order_of_another_length,
    "an order of 2 rows expected, found 3" => gather(isa, matrix(3, 4), &[0; 3], MatMut::new(c, 2, 4, 4));
    an_order_of_rows_of_another_length,
    "rows of 5 columns expected, found 4" => gather(isa, matrix(3, 5), &[0; 2], MatMut::new(c, 2, 4, 4));
    an_order_of_a_row_that_is_not_there,
    "row 3 of a matrix of 3 rows" => gather(isa, matrix(3, 4), &[0, 3], MatMut::new(c, 2, 4, 4));
    an_order_for_bytes_of_another_length,
    "an order of 2 rows expected, found 3" => gather_bytes(isa, &[0; 12], &[0; 3], Scaling::UNIT, MatMut::new(c, 2, 4, 4));
    an_order_of_bytes_that_are_not_there,
    "out of range for slice of length" => gather_bytes(isa, &[0; 12], &[0, 3], Scaling::UNIT, MatMut::new(c, 2, 4, 4));

    a_transpose_into_another_shape,
    "a result of 4 x 3 expected, found 3 x 4" => transpose(isa, matrix(3, 4), MatMut::new(c, 3, 4, 4));
    a_masked_transpose_into_another_shape,
    "a result of 4 x 3 expected, found 3 x 4" => transpose_masked(isa, matrix(3, 4), &[0; 4], MatMut::new(c, 3, 4, 4));
    a_transpose_with_a_mask_of_another_length,
    "a mask of 4 words expected, found 3" => transpose_masked(isa, matrix(3, 4), &[0; 3], MatMut::new(c, 4, 3, 3));

    an_added_transpose_into_another_shape,
    "a result of 4 x 3 expected, found 3 x 4" => transpose_added(isa, matrix(3, 4), MatMut::new(c, 3, 4, 4));
    a_copy_into_another_shape,
    "y: 3 x 4 expected, found 4 x 3" => copy(matrix(3, 4), MatMut::new(c, 4, 3, 3));
    a_sum_with_another_shape,
    "y: 3 x 4 expected, found 3 x 5" => add(isa, matrix(3, 4), MatMut::new(c, 3, 5, 5));
    slopes_of_another_length,
    "slices of one length expected: 6, found 5" => prelu_forward_in_place(isa, &[0.0; 5], &mut c[..6]);
    a_penalty_of_another_length,
    "slices of one length expected: 6, found 5" => add_penalty(isa, 0.1, 0.1, &[0.0; 5], &mut c[..6]);
    a_gradient_of_another_length,
    "slices of one length expected: 6, found 5" => update(isa, SGD, &[0.0; 5], [&mut c[..6]]);
}

#[test]
fn rows_without_columns_are_empty() {
    assert_eq!(RowBlocks::from(MatRef::new(&[], 3, 0, 5)).row(2), [0.0; 0]);
    assert_eq!(MatRef::new(&[], 3, 0, 5).row(2), [0.0; 0]);
}
