//! Products with their epilogues, normalization, dropout, and chains of them.

use super::{FINITE_STAYS, MODERATE_STAYS, NAN_IS_MASKED, NAN_STAYS, NO_NAN_OF_FINITE, Op, Rule, SAME, Seen, WIDTH, usual, with};
use crate::support::ends::{biased, biased_relu, relu_backward, stored, updated_by_row};
use selvedge::kernels::dropout::{
    AlphaDropout, Combine, Dropout, alpha_dropout_backward, alpha_dropout_forward, dropout_backward, dropout_forward,
};
use selvedge::kernels::fused::{
    BiasedReluDropout, Masked, batch_norm_relu_dropout_backward, batch_norm_relu_dropout_forward,
    batch_norm_relu_dropout_gradient_sums,
};
use selvedge::kernels::gemm::{
    Accumulated, Biased, BiasedRelu, ReluBackward, Stored, Updated, UpdatedByRow, gemm, gemm_transposed,
};
use selvedge::kernels::norm::{self, GradientSums, Normalization};
use selvedge::kernels::optimizers::{ByRow, Momentum, MomentumKind};
use selvedge::kernels::rng::Stream;
use selvedge::kernels::transpose::{transpose, transpose_added, transpose_masked};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::reference::{self, dropout as dropout_twin, fused as fused_twin, norm as twin};
use selvedge::simd::{Isa, LANES};

const NEVER_SKIPPED: Rule = Rule {
    says: "NaN of infinity times 0, else 0",
    holds: |x, y| y.iter().all(|y| if x.is_finite() { *y == 0.0 } else { y.is_nan() }),
};

/// Rows, columns and depth of the products: C is `[M, WIDTH]`.
const M: usize = 5;
const K: usize = 7;
const STREAM: Stream = Stream { seed: 3, step: 1, layer: 2, first_row: 0 };
const WORDS: usize = WIDTH.div_ceil(LANES);
const RULE: Momentum = Momentum { learning_rate: 0.5, momentum: 0.5, kind: MomentumKind::Nesterov };

/// What a product reads and writes; A is `[M, K]`.
#[derive(Clone)]
struct Product {
    a: Vec<f32>,
    b: Vec<f32>,
    bias: Vec<f32>,
    c: Vec<f32>,
    velocity: Vec<f32>,
    mask: Vec<u16>,
}

fn dropout() -> Dropout {
    Dropout::new(0.25).expect("a rate")
}

impl Product {
    fn usual() -> Self {
        let [c, velocity] = [4, 5].map(|seed| usual(seed, M * WIDTH));
        Self { a: usual(1, M * K), b: usual(2, K * WIDTH), bias: usual(3, WIDTH), c, velocity, mask: vec![u16::MAX; M * WORDS] }
    }

    /// All numbers that are written, the mask as numbers too.
    fn outputs(&self) -> Vec<f32> {
        let mask = self.mask.iter().map(|&word| f32::from(word)).collect::<Vec<f32>>();
        [&self.c[..], &self.velocity, &mask].concat()
    }
}

/// The epilogues by name.
const EPILOGUES: [&str; 8] =
    ["Stored", "Accumulated", "Biased", "BiasedRelu", "BiasedReluDropout", "ReluBackward", "Updated", "UpdatedByRow"];

/// Runs the product by rows or, with A transposed, by columns, as kernel and as twin.
fn multiply(isa: Isa, epilogue: &str, by_rows: bool, product: &Product) -> [Vec<f32>; 2] {
    let Product { a, b, bias, .. } = product.clone();
    let transposed: Vec<f32> = (0..K * M).map(|i| a[i % M * K + i / M]).collect();
    let (rows, columns, b) = (MatRef::new(&a, M, K, K), MatRef::new(&transposed, K, M, M), MatRef::new(&b, K, WIDTH, WIDTH));
    macro_rules! product {
        ($epilogue:expr) => {{
            let mut epilogue = $epilogue;
            if by_rows {
                gemm(isa, rows, b, &mut epilogue)
            } else {
                gemm_transposed(isa, columns.into(), (0, M), b.into(), &mut epilogue)
            }
        }};
    }
    macro_rules! naive {
        ($epilogue:expr) => {
            reference::gemm::gemm(isa, rows, b, &mut $epilogue)
        };
    }
    let (mut found, mut expected) = (product.clone(), product.clone());
    {
        let Product { c, velocity, mask, .. } = &mut found;
        match epilogue {
            "Stored" => product!(stored(MatMut::new(c, M, WIDTH, WIDTH))),
            "Accumulated" => product!(Accumulated { c: MatMut::new(c, M, WIDTH, WIDTH) }),
            "Biased" => product!(biased(&bias, MatMut::new(c, M, WIDTH, WIDTH))),
            "BiasedRelu" => product!(biased_relu(&bias, MatMut::new(c, M, WIDTH, WIDTH), mask)),
            "BiasedReluDropout" => {
                let c = MatMut::new(c, M, WIDTH, WIDTH);
                product!(BiasedReluDropout { bias: &bias, dropout: dropout(), stream: STREAM, c, mask });
            }
            "ReluBackward" => product!(relu_backward(mask, MatMut::new(c, M, WIDTH, WIDTH))),
            "Updated" => product!(Updated { rule: RULE, parameters: [c, velocity], leading_dimension: WIDTH }),
            _ => {
                let parameters = [c, velocity, &mut [][..], &mut [][..]].map(|slice: &mut [f32]| slice);
                product!(updated_by_row(UpdatedByRow { isa, rule: &ByRow(RULE), parameters, leading_dimension: WIDTH }));
            }
        }
    }
    {
        let Product { c, velocity, mask, .. } = &mut expected;
        match epilogue {
            "Stored" => naive!(Stored { c: MatMut::new(c, M, WIDTH, WIDTH) }),
            "Accumulated" => naive!(Accumulated { c: MatMut::new(c, M, WIDTH, WIDTH) }),
            "Biased" => naive!(Biased { bias: &bias, c: MatMut::new(c, M, WIDTH, WIDTH) }),
            "BiasedRelu" => naive!(BiasedRelu { bias: &bias, c: MatMut::new(c, M, WIDTH, WIDTH), mask }),
            "BiasedReluDropout" => {
                naive!(BiasedRelu { bias: &bias, c: MatMut::new(c, M, WIDTH, WIDTH), mask });
                dropout_twin::dropout_forward(dropout(), STREAM, MatMut::new(c, M, WIDTH, WIDTH), mask);
            }
            "ReluBackward" => naive!(ReluBackward { mask, c: MatMut::new(c, M, WIDTH, WIDTH) }),
            _ => naive!(Updated { rule: RULE, parameters: [c, velocity], leading_dimension: WIDTH }),
        }
    }
    [found.outputs(), expected.outputs()]
}

fn products() -> Vec<Op> {
    let mut operations = Vec::new();
    for epilogue in EPILOGUES {
        for by_rows in [true, false] {
            let kernel = if by_rows { "gemm" } else { "gemm_transposed" };
            // What dropout drops is 0; it must be NaN where it is kept.
            let kept = move |row: usize, column: usize| {
                epilogue != "BiasedReluDropout" || dropout_twin::keeps(dropout().rate(), STREAM, row, column)
            };
            let op = |operand: &str, rules: &[Rule], run: fn(&mut Product, f32, usize) -> [Option<usize>; 2]| {
                Op::new(format!("{kernel} {epilogue}, {operand}"), rules, move |isa, x, place| {
                    let mut product = Product::usual();
                    let [row, column] = run(&mut product, x, place);
                    let [found, expected] = multiply(isa, epilogue, by_rows, &product);
                    let reached = (0..M * WIDTH).filter(|i| {
                        let (i, j) = (i / WIDTH, i % WIDTH);
                        row.is_none_or(|row| row == i) && column.is_none_or(|column| column == j) && kept(i, j)
                    });
                    Seen { found, expected, reached: reached.collect() }
                })
            };
            let rules = &[NAN_STAYS, MODERATE_STAYS];
            operations.push(op("A", rules, |product, x, place| {
                product.a[place % M * K + place % K] = x;
                [Some(place % M), None]
            }));
            operations.push(op("B", rules, |product, x, place| {
                product.b[place % K * WIDTH + place] = x;
                [None, Some(place)]
            }));
            if epilogue.starts_with("Biased") {
                operations.push(op("bias", rules, |product, x, place| {
                    product.bias[place] = x;
                    [None, Some(place)]
                }));
            }
            if ["Accumulated", "Updated", "UpdatedByRow"].contains(&epilogue) {
                operations.push(op("C", rules, |product, x, place| {
                    product.c[2 * WIDTH + place] = x;
                    [Some(2), Some(place)]
                }));
            }
            if epilogue == "Stored" {
                operations.push(op("A times 0", &[NEVER_SKIPPED], |product, x, place| {
                    product.a[place % M * K + place % K] = x;
                    product.b.fill(0.0);
                    [Some(place % M), None]
                }));
                operations.push(op("0 times B", &[NEVER_SKIPPED], |product, x, place| {
                    product.b[place % K * WIDTH + place] = x;
                    product.a.fill(0.0);
                    [None, Some(place)]
                }));
            }
        }
    }
    operations
}

/// Mean, inverse deviation, gamma and beta of the columns.
type Columns = [Vec<f32>; 4];

fn columns() -> Columns {
    [1, 2, 3, 4].map(|seed| usual(seed, WIDTH).iter().map(|x| x + 1.5).collect())
}

fn normalization([mean, inverse_deviation, gamma, beta]: &Columns) -> Normalization<'_> {
    Normalization { mean, inverse_deviation, gamma, beta }
}

/// Rows of a minibatch: a micro-shard and one more.
const ROWS: usize = 17;

fn matrix(x: &[f32]) -> MatRef<'_> {
    MatRef::new(x, ROWS, WIDTH, WIDTH)
}

fn matrix_mut(x: &mut [f32]) -> MatMut<'_> {
    MatMut::new(x, ROWS, WIDTH, WIDTH)
}

/// Where a special value stands in a minibatch: in the last row of the first micro-shard.
fn at(place: usize) -> usize {
    15 * WIDTH + place
}

fn normalizations() -> Vec<Op> {
    let rules = &[NAN_STAYS, MODERATE_STAYS];
    let mut operations = vec![
        Op::new("batch_norm statistics", rules, |isa, x, place| {
            let x = with(x, at(place), usual(1, ROWS * WIDTH));
            let [mut mean, mut variance, mut expected_mean, mut expected_variance] = [(); 4].map(|()| vec![-77.0; WIDTH]);
            norm::statistics(isa, matrix(&x).into(), 0, &mut mean, &mut variance);
            twin::statistics(isa, matrix(&x), &mut expected_mean, &mut expected_variance);
            let reached = vec![place, WIDTH + place];
            Seen { found: [mean, variance].concat(), expected: [expected_mean, expected_variance].concat(), reached }
        }),
        Op::new(
            "batch_norm inverse_deviation",
            &[NAN_STAYS, Rule { says: "finite of any variance", holds: |x, y| !x.is_finite() || x < 0.0 || y[0].is_finite() }],
            |isa, x, place| {
                let variance = with(x, place, usual(1, WIDTH).iter().map(|x| x.abs()).collect());
                let (mut found, mut expected) = (vec![-77.0; WIDTH], vec![-77.0; WIDTH]);
                norm::inverse_deviation(isa, &variance, norm::EPSILON, &mut found);
                twin::inverse_deviation(&variance, norm::EPSILON, &mut expected);
                Seen { found, expected, reached: vec![place] }
            },
        ),
        Op::new("batch_norm update_moving", &[NAN_STAYS, FINITE_STAYS], |isa, x, place| {
            let batch = with(x, place, usual(1, WIDTH));
            let (mut found, mut expected) = (usual(2, WIDTH), usual(2, WIDTH));
            norm::update_moving(isa, norm::MOMENTUM, &batch, &mut found);
            twin::update_moving(isa, norm::MOMENTUM, &batch, &mut expected);
            Seen { found, expected, reached: vec![place] }
        }),
    ];
    let forward = |isa, x: Vec<f32>, columns: &Columns, reached| {
        let (mut found, mut expected) = (vec![-77.0; ROWS * WIDTH], vec![-77.0; ROWS * WIDTH]);
        norm::batch_norm_forward(isa, matrix(&x), normalization(columns), matrix_mut(&mut found));
        twin::batch_norm_forward(isa, matrix(&x), &normalization(columns), matrix_mut(&mut expected));
        let (mut affine, mut affine_expected) = (vec![-77.0; 2 * WIDTH], vec![-77.0; 2 * WIDTH]);
        let (scale, shift) = affine.split_at_mut(WIDTH);
        norm::affine(isa, normalization(columns), scale, shift);
        let (expected_scale, expected_shift) = affine_expected.split_at_mut(WIDTH);
        twin::affine(isa, &normalization(columns), expected_scale, expected_shift);
        Seen { found: [found, affine].concat(), expected: [expected, affine_expected].concat(), reached }
    };
    operations.push(Op::new("batch_norm_forward, x", rules, move |isa, x, place| {
        forward(isa, with(x, at(place), usual(1, ROWS * WIDTH)), &columns(), vec![at(place)])
    }));
    for (i, name) in ["mean", "inverse deviation", "gamma", "beta"].into_iter().enumerate() {
        operations.push(Op::new(format!("batch_norm_forward and affine, {name}"), rules, move |isa, x, place| {
            let mut columns = columns();
            columns[i][place] = x;
            // The whole column, and its shift.
            let mut reached: Vec<usize> = (0..ROWS).map(|row| row * WIDTH + place).collect();
            reached.push((ROWS + 1) * WIDTH + place);
            forward(isa, usual(1, ROWS * WIDTH), &columns, reached)
        }));
    }
    let backward = |isa, x: Vec<f32>, dy: Vec<f32>, place| {
        let columns = columns();
        let normalization = normalization(&columns);
        let [mut dgamma, mut dbeta, mut expected_dgamma, mut expected_dbeta] = [(); 4].map(|()| vec![-77.0; WIDTH]);
        norm::gradient_sums(isa, matrix(&dy).into(), matrix(&x).into(), normalization, 0, [&mut dgamma, &mut dbeta]);
        twin::gradient_sums(isa, matrix(&dy), matrix(&x), &normalization, [&mut expected_dgamma, &mut expected_dbeta]);
        let sums = GradientSums { dgamma: &dgamma, dbeta: &dbeta, rows: ROWS };
        let (mut found, mut expected) = (dy.clone(), dy);
        norm::batch_norm_backward(isa, matrix(&x), normalization, sums, matrix_mut(&mut found));
        twin::batch_norm_backward(isa, matrix(&x), &normalization, &sums, matrix_mut(&mut expected));
        // The gradient by gamma, and through it the whole column.
        let reached = (0..=ROWS).map(|row| row * WIDTH + place).collect();
        Seen { found: [found, dgamma, dbeta].concat(), expected: [expected, expected_dgamma, expected_dbeta].concat(), reached }
    };
    operations.push(Op::new("batch_norm_backward, x", &[NAN_STAYS], move |isa, x, place| {
        backward(isa, with(x, at(place), usual(1, ROWS * WIDTH)), usual(2, ROWS * WIDTH), place)
    }));
    operations.push(Op::new("batch_norm_backward, dy", rules, move |isa, x, place| {
        backward(isa, usual(1, ROWS * WIDTH), with(x, at(place), usual(2, ROWS * WIDTH)), place)
    }));
    operations
}

fn inference() -> Vec<Op> {
    let rules = &[NAN_STAYS, MODERATE_STAYS];
    let affine = |isa, x: Vec<f32>, scale: &[f32], shift: &[f32], reached| {
        let (mut found, mut expected) = (x.clone(), x);
        norm::affine_forward(isa, scale, shift, matrix_mut(&mut found));
        twin::affine_forward(isa, scale, shift, matrix_mut(&mut expected));
        Seen { found, expected, reached }
    };
    // Both foldings: weights, then the bias.
    let fold = |isa, w: Vec<f32>, bias: Vec<f32>, [scale, shift]: [&[f32]; 2], next: bool, reached| {
        let (mut found, mut found_bias, mut expected, mut expected_bias) = (w.clone(), bias.clone(), w, bias);
        if next {
            norm::fold_into_next(isa, &scale[..ROWS], &shift[..ROWS], matrix_mut(&mut found), &mut found_bias);
            twin::fold_into_next(isa, &scale[..ROWS], &shift[..ROWS], matrix_mut(&mut expected), &mut expected_bias);
        } else {
            norm::fold_into_previous(isa, scale, shift, matrix_mut(&mut found), &mut found_bias);
            twin::fold_into_previous(isa, scale, shift, matrix_mut(&mut expected), &mut expected_bias);
        }
        Seen { found: [found, found_bias].concat(), expected: [expected, expected_bias].concat(), reached }
    };
    let column = |place: usize| (0..ROWS).map(move |row| row * WIDTH + place);
    vec![
        Op::new("affine_forward, x", rules, move |isa, x, place| {
            affine(isa, with(x, at(place), usual(1, ROWS * WIDTH)), &usual(2, WIDTH), &usual(3, WIDTH), vec![at(place)])
        }),
        Op::new("affine_forward, scale", rules, move |isa, x, place| {
            let scale = with(x, place, usual(2, WIDTH));
            affine(isa, usual(1, ROWS * WIDTH), &scale, &usual(3, WIDTH), column(place).collect())
        }),
        Op::new("affine_backward, dy", &[NAN_STAYS, FINITE_STAYS], move |isa, x, place| {
            let (dy, scale) = (with(x, at(place), usual(1, ROWS * WIDTH)), usual(2, WIDTH));
            let (mut found, mut expected) = (dy.clone(), dy);
            norm::affine_backward(isa, &scale, matrix_mut(&mut found));
            twin::affine_backward(&scale, matrix_mut(&mut expected));
            Seen { found, expected, reached: vec![at(place)] }
        }),
        Op::new("fold_into_previous, weights", &[NAN_STAYS, FINITE_STAYS], move |isa, x, place| {
            let w = with(x, at(place), usual(1, ROWS * WIDTH));
            fold(isa, w, usual(2, WIDTH), [&usual(3, WIDTH), &usual(4, WIDTH)], false, vec![at(place)])
        }),
        Op::new("fold_into_previous, scale", rules, move |isa, x, place| {
            let scale = with(x, place, usual(3, WIDTH));
            let reached = column(place).chain([ROWS * WIDTH + place]).collect();
            fold(isa, usual(1, ROWS * WIDTH), usual(2, WIDTH), [&scale, &usual(4, WIDTH)], false, reached)
        }),
        Op::new("fold_into_next, weights", rules, move |isa, x, place| {
            let w = with(x, at(place), usual(1, ROWS * WIDTH));
            let reached = vec![at(place), ROWS * WIDTH + place];
            fold(isa, w, usual(2, WIDTH), [&usual(3, WIDTH), &usual(4, WIDTH)], true, reached)
        }),
        Op::new("fold_into_next, shift", rules, move |isa, x, place| {
            let shift = with(x, place % ROWS, usual(4, WIDTH));
            let reached = (0..WIDTH).map(|j| ROWS * WIDTH + j).collect();
            fold(isa, usual(1, ROWS * WIDTH), usual(2, WIDTH), [&usual(3, WIDTH), &shift], true, reached)
        }),
    ]
}

/// A row of random numbers in which the element at a place is kept, or dropped.
fn stream(rate: f64, place: usize, kept: bool) -> Stream {
    let mut streams = (0..).map(|step| Stream { step, ..STREAM });
    streams.find(|&stream| dropout_twin::keeps(rate, stream, 0, place) == kept).unwrap_or(STREAM)
}

fn dropouts() -> Vec<Op> {
    let alpha = || AlphaDropout::new(0.25).expect("a rate");
    let one_row = |numbers: &mut [f32], run: &mut dyn FnMut(MatMut<'_>)| run(MatMut::new(numbers, 1, WIDTH, WIDTH));
    let mut operations = Vec::new();
    for kept in [true, false] {
        let state = if kept { "kept" } else { "dropped" };
        let rules: &[Rule] = if kept { &[NAN_STAYS, NO_NAN_OF_FINITE, MODERATE_STAYS] } else { &[NAN_IS_MASKED] };
        operations.push(Op::new(format!("dropout_forward, {state}"), rules, move |isa, x, place| {
            let (dropout, stream) = (dropout(), stream(0.25, place, kept));
            let (mut found, mut expected) = (with(x, place, usual(1, WIDTH)), with(x, place, usual(1, WIDTH)));
            let (mut mask, mut expected_mask) = (vec![0; WORDS], vec![u16::MAX; WORDS]);
            one_row(&mut found, &mut |x| dropout_forward(isa, dropout, stream, x, &mut mask, Combine::Replace));
            one_row(&mut expected, &mut |x| dropout_twin::dropout_forward(dropout, stream, x, &mut expected_mask));
            Seen { found, expected, reached: vec![place] }
        }));
        operations.push(Op::new(format!("dropout_backward, {state}"), rules, move |isa, x, place| {
            let mut mask = vec![0x5555; WORDS];
            mask[WORDS - 1] = 1;
            mask[place / LANES] &= !(1 << (place % LANES));
            mask[place / LANES] |= u16::from(kept) << (place % LANES);
            let (mut found, mut expected) = (with(x, place, usual(1, WIDTH)), with(x, place, usual(1, WIDTH)));
            one_row(&mut found, &mut |dy| dropout_backward(isa, dropout(), &mask, dy));
            one_row(&mut expected, &mut |dy| dropout_twin::masked_scale(dropout().scale(), &mask, dy));
            let (mut of_alpha, mut expected_of_alpha) = (with(x, place, usual(1, WIDTH)), with(x, place, usual(1, WIDTH)));
            one_row(&mut of_alpha, &mut |dy| alpha_dropout_backward(isa, alpha(), &mask, dy));
            one_row(&mut expected_of_alpha, &mut |dy| dropout_twin::masked_scale(alpha().scale(), &mask, dy));
            let (found, expected) = ([found, of_alpha].concat(), [expected, expected_of_alpha].concat());
            Seen { found, expected, reached: vec![place, WIDTH + place] }
        }));
        let dropped = Rule { says: "the number for what is dropped", holds: |_, y| (y[0] + 1.0).abs() < 0.5 };
        let rules: &[Rule] = if kept { rules } else { &[dropped] };
        operations.push(Op::new(format!("alpha_dropout_forward, {state}"), rules, move |isa, x, place| {
            let (dropout, stream) = (alpha(), stream(0.25, place, kept));
            let (mut found, mut expected) = (with(x, place, usual(1, WIDTH)), with(x, place, usual(1, WIDTH)));
            one_row(&mut found, &mut |x| alpha_dropout_forward(isa, dropout, stream, x, &mut []));
            one_row(&mut expected, &mut |x| dropout_twin::alpha_dropout_forward(isa, dropout, stream, x));
            Seen { found, expected, reached: vec![place] }
        }));
    }
    operations
}

fn fused() -> Vec<Op> {
    let forward = |isa, x: Vec<f32>, columns: &Columns, place| {
        let (mut found, mut expected) = (vec![-77.0; ROWS * WIDTH], vec![-77.0; ROWS * WIDTH]);
        let (mut mask, mut expected_mask) = (vec![0; ROWS * WORDS], vec![0; ROWS * WORDS]);
        let chain = (dropout(), STREAM);
        batch_norm_relu_dropout_forward(isa, matrix(&x), normalization(columns), chain, matrix_mut(&mut found), &mut mask);
        fused_twin::batch_norm_relu_dropout_forward(
            isa,
            matrix(&x),
            &normalization(columns),
            chain,
            matrix_mut(&mut expected),
            &mut expected_mask,
        );
        let as_numbers = |mask: Vec<u16>| mask.into_iter().map(f32::from).collect::<Vec<f32>>();
        // In row 15 for the minibatch, in the whole column for its statistics; what is dropped is 0.
        let reached = move |rows: std::ops::Range<usize>| {
            let kept = rows.filter(move |&row| dropout_twin::keeps(0.25, STREAM, row, place));
            kept.map(|row| row * WIDTH + place).collect::<Vec<usize>>()
        };
        let (found, expected) = ([found, as_numbers(mask)].concat(), [expected, as_numbers(expected_mask)].concat());
        (found, expected, reached)
    };
    let backward = |isa, x: Vec<f32>, dy: Vec<f32>, set: bool, place: usize| {
        let columns = columns();
        let normalization = normalization(&columns);
        let mut mask = vec![0x5555; ROWS * WORDS];
        mask.iter_mut().skip(WORDS - 1).step_by(WORDS).for_each(|word| *word = 1);
        let word = &mut mask[15 * WORDS + place / LANES];
        *word = *word & !(1 << (place % LANES)) | u16::from(set) << (place % LANES);
        let masked = Masked { mask: &mask, factor: dropout().scale() };
        let mut unmasked = dy.clone();
        dropout_twin::masked_scale(masked.factor, &mask, matrix_mut(&mut unmasked));
        let [mut dgamma, mut dbeta, mut expected_dgamma, mut expected_dbeta] = [(); 4].map(|()| vec![-77.0; WIDTH]);
        let sums = [&mut dgamma[..], &mut dbeta];
        batch_norm_relu_dropout_gradient_sums(isa, matrix(&dy), matrix(&x), normalization, masked, sums);
        twin::gradient_sums(isa, matrix(&unmasked), matrix(&x), &normalization, [&mut expected_dgamma, &mut expected_dbeta]);
        let sums = GradientSums { dgamma: &dgamma, dbeta: &dbeta, rows: ROWS };
        let (mut found, mut expected) = (dy.clone(), dy);
        batch_norm_relu_dropout_backward(isa, matrix(&x), normalization, sums, masked, matrix_mut(&mut found));
        fused_twin::batch_norm_relu_dropout_backward(isa, matrix(&x), &normalization, &sums, masked, matrix_mut(&mut expected));
        Seen {
            found: [found, dgamma, dbeta].concat(),
            expected: [expected, expected_dgamma, expected_dbeta].concat(),
            reached: (0..=ROWS).map(|row| row * WIDTH + place).collect(),
        }
    };
    let finite = Rule { says: "a masked gradient is not read", holds: |_, y| y.iter().all(|y| y.is_finite()) };
    vec![
        Op::new("batch_norm_relu_dropout_forward, x", &[NAN_STAYS, MODERATE_STAYS], move |isa, x, place| {
            let (found, expected, reached) = forward(isa, with(x, at(place), usual(1, ROWS * WIDTH)), &columns(), place);
            Seen { found, expected, reached: reached(15..16) }
        }),
        Op::new("batch_norm_relu_dropout_forward, mean", &[NAN_STAYS, MODERATE_STAYS], move |isa, x, place| {
            let mut columns = columns();
            columns[0][place] = x;
            let (found, expected, reached) = forward(isa, usual(1, ROWS * WIDTH), &columns, place);
            Seen { found, expected, reached: reached(0..ROWS) }
        }),
        Op::new("batch_norm_relu_dropout_backward, x", &[NAN_STAYS], move |isa, x, place| {
            backward(isa, with(x, at(place), usual(1, ROWS * WIDTH)), usual(2, ROWS * WIDTH), true, place)
        }),
        Op::new("batch_norm_relu_dropout_backward, dy", &[NAN_STAYS, MODERATE_STAYS], move |isa, x, place| {
            backward(isa, usual(1, ROWS * WIDTH), with(x, at(place), usual(2, ROWS * WIDTH)), true, place)
        }),
        Op::new("batch_norm_relu_dropout_backward, dy masked", &[finite], move |isa, x, place| {
            backward(isa, usual(1, ROWS * WIDTH), with(x, at(place), usual(2, ROWS * WIDTH)), false, place)
        }),
    ]
}

fn transposes() -> Vec<Op> {
    // `[ROWS, WIDTH]` becomes `[WIDTH, ROWS]`.
    const MASK_WORDS: usize = ROWS.div_ceil(LANES);
    let turned = |place: usize| vec![place * ROWS + 15];
    let mask = |set: bool, place: usize| {
        let mut mask = vec![0; WIDTH * MASK_WORDS];
        mask[place * MASK_WORDS] = u16::from(set) << 15;
        mask
    };
    let masked = move |isa, x, place, set| {
        let x = with(x, at(place), usual(1, ROWS * WIDTH));
        let (mut found, mut expected) = (vec![-77.0; ROWS * WIDTH], vec![-77.0; ROWS * WIDTH]);
        transpose_masked(isa, matrix(&x), &mask(set, place), MatMut::new(&mut found, WIDTH, ROWS, ROWS));
        reference::transpose::transpose_masked(matrix(&x), &mask(set, place), MatMut::new(&mut expected, WIDTH, ROWS, ROWS));
        Seen { found, expected, reached: turned(place) }
    };
    vec![
        Op::new("transpose", &[SAME], move |isa, x, place| {
            let x = with(x, at(place), usual(1, ROWS * WIDTH));
            let (mut found, mut expected) = (vec![-77.0; ROWS * WIDTH], vec![-77.0; ROWS * WIDTH]);
            transpose(isa, matrix(&x), MatMut::new(&mut found, WIDTH, ROWS, ROWS));
            reference::transpose::transpose(matrix(&x), MatMut::new(&mut expected, WIDTH, ROWS, ROWS));
            Seen { found, expected, reached: turned(place) }
        }),
        Op::new("transpose_added", &[NAN_STAYS, FINITE_STAYS], move |isa, x, place| {
            let x = with(x, at(place), usual(1, ROWS * WIDTH));
            let (mut found, mut expected) = (usual(2, ROWS * WIDTH), usual(2, ROWS * WIDTH));
            transpose_added(isa, matrix(&x), MatMut::new(&mut found, WIDTH, ROWS, ROWS));
            reference::transpose::transpose_added(matrix(&x), MatMut::new(&mut expected, WIDTH, ROWS, ROWS));
            Seen { found, expected, reached: turned(place) }
        }),
        Op::new("transpose_masked, kept", &[SAME], move |isa, x, place| masked(isa, x, place, true)),
        Op::new("transpose_masked, dropped", &[NAN_IS_MASKED], move |isa, x, place| masked(isa, x, place, false)),
    ]
}

pub(super) fn operations() -> Vec<Op> {
    [products(), normalizations(), inference(), dropouts(), fused(), transposes()].into_iter().flatten().collect()
}
