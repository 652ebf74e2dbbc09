//! Softmax, sums, searches and metrics: a row gives few numbers.

use super::{MODERATE_STAYS, NAN_STAYS, NO_NAN_OF_FINITE, Op, PLACES, Rule, Seen, WIDTH, usual, with};
use selvedge::kernels::clipping::{
    factor_by_global_norm, factor_by_norm, sum_of_magnitudes, sum_of_squares, sums_of_magnitudes, sums_of_squares,
};
use selvedge::kernels::optimizers::Sgd;
use selvedge::kernels::reduce::{argmax, column_sums, column_sums_into, first_non_finite, mean_and_variance, sum};
use selvedge::kernels::softmax::softmax_forward;
use selvedge::kernels::{MatMut, MatRef};
use selvedge::model::metrics::{
    binary_accuracy, categorical_accuracy, mean_absolute_error, mean_squared_error, sparse_categorical_accuracy, top_k_accuracy,
};
use selvedge::reference;

const DISTRIBUTION: Rule = Rule {
    says: "a distribution, of any finite row",
    holds: |x, y| {
        let sum: f64 = y.iter().map(|&y| f64::from(y)).sum();
        !x.is_finite() || y.iter().all(|y| (0.0..=1.0).contains(y)) && (sum - 1.0).abs() < 1e-5
    },
};
const NOT_A_NUMBER_OF_INFINITY: Rule =
    Rule { says: "NaN of infinity", holds: |x, y| x != f32::INFINITY || y.iter().all(|y| y.is_nan()) };
const IMPOSSIBLE: Rule = Rule {
    says: "no probability of negative infinity",
    holds: |x, y| x != f32::NEG_INFINITY || y.iter().all(|y| (0.0..1.0).contains(y)) && y.contains(&0.0),
};
const EQUAL_SHARES: Rule =
    Rule { says: "equal shares of any finite number", holds: |x, y| !x.is_finite() || y.iter().all(|y| *y == 1.0 / WIDTH as f32) };
const FOUND: Rule = Rule { says: "1 where something is not finite", holds: |x, y| y == [f32::from(u8::from(!x.is_finite()))] };
const PASSED_OVER: Rule =
    Rule { says: "the place of the largest, NaN passed over", holds: |x, y| y[0] == f32::from(u8::from(x > 0.99)) };
const WRONG_OF_NAN: Rule = Rule { says: "a row with NaN is wrong", holds: |x, y| !x.is_nan() || y == [0.0] };

fn softmax() -> Vec<Op> {
    let run = |isa, row: Vec<f32>| {
        let (mut found, mut expected) = (row.clone(), row);
        softmax_forward(isa, MatMut::new(&mut found, 1, WIDTH, WIDTH));
        reference::softmax::softmax_forward(isa, MatMut::new(&mut expected, 1, WIDTH, WIDTH));
        Seen { found, expected, reached: (0..WIDTH).collect() }
    };
    vec![
        Op::new("softmax", &[NAN_STAYS, DISTRIBUTION, NOT_A_NUMBER_OF_INFINITY, IMPOSSIBLE], move |isa, x, place| {
            run(isa, with(x, place, usual(1, WIDTH)))
        }),
        Op::new("softmax of a row of nothing else", &[NAN_STAYS, DISTRIBUTION, EQUAL_SHARES], move |isa, x, _| {
            run(isa, vec![x; WIDTH])
        }),
    ]
}

/// Rows of the matrices of which columns are summed: two micro-shards and one row.
const ROWS: usize = 33;

fn reductions() -> Vec<Op> {
    let matrix = |x, place: usize| with(x, place * WIDTH + 20, usual(1, ROWS * WIDTH));
    let sums = &[NAN_STAYS, NO_NAN_OF_FINITE, MODERATE_STAYS];
    vec![
        Op::new("sum", sums, |_, x, place| {
            let x = with(x, place, usual(1, WIDTH));
            Seen { found: vec![sum(x.iter().copied())], expected: vec![reference::reduce::sum(&x)], reached: vec![0] }
        }),
        Op::new("column_sums", sums, move |isa, x, place| {
            let x = matrix(x, place);
            let x = MatRef::new(&x, ROWS, WIDTH, WIDTH);
            let (mut found, mut expected) = (vec![-77.0; WIDTH], vec![-77.0; WIDTH]);
            column_sums(isa, x.into(), &mut found);
            reference::reduce::column_sums(x.into(), &mut expected);
            Seen { found, expected, reached: vec![20] }
        }),
        Op::new("column_sums_into a step", sums, move |isa, x, place| {
            let x = matrix(x, place);
            let x = MatRef::new(&x, ROWS, WIDTH, WIDTH);
            let rule = Sgd { learning_rate: 0.5 };
            let (mut found, mut expected) = (usual(2, WIDTH - 3), usual(2, WIDTH - 3));
            column_sums_into(isa, x.into(), 3, rule, [&mut found]);
            reference::reduce::column_sums_into(isa, x.into(), 3, &rule, [&mut expected]);
            Seen { found, expected, reached: vec![17] }
        }),
        Op::new("mean_and_variance", &[NAN_STAYS, MODERATE_STAYS], |isa, x, place| {
            let x = with(x, place, usual(1, WIDTH));
            let (found, expected) = (mean_and_variance(isa, &x), reference::reduce::mean_and_variance(isa, &x));
            Seen { found: vec![found.0, found.1], expected: vec![expected.0, expected.1], reached: vec![0, 1] }
        }),
        Op::new("first_non_finite", &[FOUND], |isa, x, place| {
            let x = with(x, place, usual(1, WIDTH));
            let at = |found: Option<usize>| found.map_or(-1.0, |at| at as f32);
            let (found, expected) = (first_non_finite(isa, &x), reference::reduce::first_non_finite(&x));
            let right = f32::from(u8::from(found == Some(place)));
            Seen { found: vec![at(found), right], expected: vec![at(expected), right], reached: vec![1] }
        }),
        Op::new("argmax", &[PASSED_OVER], |isa, x, place| {
            let x = with(x, place, usual(1, WIDTH).iter().map(|x| x.min(0.98)).collect());
            let x = MatRef::new(&x, 1, WIDTH, WIDTH);
            let ([mut found], [mut expected]) = ([77], [78]);
            argmax(isa, x, std::slice::from_mut(&mut found));
            reference::reduce::argmax(x, std::slice::from_mut(&mut expected));
            let right = f32::from(u8::from(found as usize == place));
            Seen { found: vec![found as f32, right], expected: vec![expected as f32, right], reached: vec![1] }
        }),
        Op::new("sum_of_squares", sums, move |isa, x, place| {
            let x = matrix(x, place);
            let x = MatRef::new(&x, ROWS, WIDTH, WIDTH);
            let mut shards = vec![-77.0; ROWS.div_ceil(selvedge::kernels::reduce::MICRO_SHARD)];
            sums_of_squares(isa, x, &mut shards);
            let expected = reference::clipping::sum_of_squares(isa, x);
            let found = vec![sum_of_squares(isa, x), sum(shards)];
            Seen { found, expected: vec![expected; 2], reached: vec![0, 1] }
        }),
        Op::new("sum_of_magnitudes", sums, move |isa, x, place| {
            let x = matrix(x, place);
            let x = MatRef::new(&x, ROWS, WIDTH, WIDTH);
            let mut shards = vec![-77.0; ROWS.div_ceil(selvedge::kernels::reduce::MICRO_SHARD)];
            sums_of_magnitudes(isa, x, &mut shards);
            let expected = reference::clipping::sum_of_magnitudes(isa, x);
            let found = vec![sum_of_magnitudes(isa, x), sum(shards)];
            Seen { found, expected: vec![expected; 2], reached: vec![0, 1] }
        }),
        // A norm is never negative.
        Op::new("factor_by_norm", &[NAN_STAYS, NO_NAN_OF_FINITE], |_, x, _| {
            let expected = if x.is_nan() { x } else { (2.0 / f64::from(x.abs()).max(2.0)) as f32 };
            Seen { found: vec![factor_by_norm(x.abs(), 2.0)], expected: vec![expected], reached: vec![0] }
        }),
        Op::new("factor_by_global_norm", &[NAN_STAYS, NO_NAN_OF_FINITE], |_, x, _| {
            let expected = if x.is_finite() { (2.0 / f64::from(x.abs()).max(2.0)) as f32 } else { f32::NAN };
            Seen { found: vec![factor_by_global_norm(x.abs(), 2.0)], expected: vec![expected], reached: vec![0] }
        }),
    ]
}

/// Metrics have no twin: what they give is computed here in another way.
fn metrics() -> Vec<Op> {
    let value = |found: f64, expected: f64| Seen { found: vec![found as f32], expected: vec![expected as f32], reached: vec![0] };
    let share = |right: bool| if right { 1.0 } else { 0.0 };
    let mean = |x: &[f32], y: &[f32], of: fn(f64) -> f64| {
        x.iter().zip(y).map(|(&x, &y)| of(f64::from(x) - f64::from(y))).sum::<f64>() / x.len() as f64
    };
    // The class at the last place but one is the largest of the usual numbers.
    let scores = |x: f32, place: usize| {
        let mut row: Vec<f32> = usual(1, WIDTH).iter().map(|x| x.min(0.98)).collect();
        row[30] = 0.99;
        with(x, place, row)
    };
    assert!(!PLACES.contains(&30));
    vec![
        Op::new("mean_squared_error", &[NAN_STAYS, NO_NAN_OF_FINITE], move |_, x, place| {
            let (x, y) = (with(x, place, usual(1, WIDTH)), usual(2, WIDTH));
            value(mean_squared_error(&y, &x).expect("rows"), mean(&x, &y, |x| x * x))
        }),
        Op::new("mean_absolute_error", &[NAN_STAYS, NO_NAN_OF_FINITE], move |_, x, place| {
            let (x, y) = (with(x, place, usual(1, WIDTH)), usual(2, WIDTH));
            value(mean_absolute_error(&x, &y).expect("rows"), mean(&x, &y, f64::abs))
        }),
        Op::new("binary_accuracy", &[WRONG_OF_NAN], move |_, x, _| {
            value(binary_accuracy(&[1.0], &[x]).expect("rows"), share(x > 0.5))
        }),
        Op::new("sparse_categorical_accuracy", &[WRONG_OF_NAN], move |_, x, place| {
            let row = scores(x, place);
            let found = sparse_categorical_accuracy(&[30u8], MatRef::new(&row, 1, WIDTH, WIDTH)).expect("rows");
            value(found, share(x <= 0.99))
        }),
        Op::new("categorical_accuracy", &[WRONG_OF_NAN], move |_, x, place| {
            let (row, target) = (scores(x, place), with(1.0, 30, vec![0.0; WIDTH]));
            let [target, row] = [&target, &row].map(|row| MatRef::new(row, 1, WIDTH, WIDTH));
            value(categorical_accuracy(target, row).expect("rows"), share(x <= 0.99))
        }),
        Op::new("top_k_accuracy, k = 2", &[WRONG_OF_NAN], move |_, x, place| {
            let row = scores(x, place);
            let found = top_k_accuracy(&[30u8], MatRef::new(&row, 1, WIDTH, WIDTH), 2).expect("rows");
            value(found, share(!x.is_nan()))
        }),
    ]
}

pub(super) fn operations() -> Vec<Op> {
    [softmax(), reductions(), metrics()].into_iter().flatten().collect()
}
