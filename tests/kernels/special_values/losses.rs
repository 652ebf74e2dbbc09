//! Losses: their values and their gradients.

use super::{CLASSES, FINITE_STAYS, NAN_STAYS, NO_NAN_OF_FINITE, Op, Rule, Seen, WIDTH, usual, with};
use crate::support::isas::isas;
use selvedge::kernels::loss::{self, RowWeights};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::reference::loss as twin;
use selvedge::simd::Isa;

/// A loss of one row, which turns its values into the gradient: given values, targets and weights.
type Loss = fn(Isa, MatMut<'_>, MatRef<'_>, RowWeights<'_>, &mut [f32]);

struct Named {
    name: &'static str,
    kernel: Loss,
    twin: Loss,
    /// The loss of one element in `f64`, where it is a mean over elements.
    formula: Option<fn(f64, f64) -> f64>,
}

macro_rules! loss {
    ($name:literal, $function:ident ( $($parameter:expr)? ), $formula:expr) => {
        Named {
            name: $name,
            kernel: |isa, x, y, rows, losses| {
                let _ = loss::$function(isa, x, y, $($parameter,)? rows, losses);
            },
            twin: |isa, x, y, rows, losses| {
                let _ = twin::$function(isa, x, y, $($parameter,)? rows, losses);
            },
            formula: $formula,
        }
    };
}

fn sigmoid_formula(x: f64, y: f64) -> f64 {
    x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()
}

const HUBER_DELTA: f32 = 1.0;
fn huber_formula(x: f64, y: f64) -> f64 {
    let distance = (x - y).abs();
    if distance <= 1.0 { distance * distance / 2.0 } else { distance - 0.5 }
}

#[allow(clippy::let_underscore_untyped, reason = "some give the number of right answers, some nothing")]
const LOSSES: [Named; 7] = [
    loss!("softmax_cross_entropy_one_hot", softmax_cross_entropy_one_hot(0.0), None),
    loss!("softmax_cross_entropy_one_hot, smoothed", softmax_cross_entropy_one_hot(0.25), None),
    loss!("sigmoid_cross_entropy", sigmoid_cross_entropy(0.0), Some(sigmoid_formula)),
    loss!("sigmoid_cross_entropy, smoothed", sigmoid_cross_entropy(0.25), Some(|x, y| sigmoid_formula(x, y * 0.75 + 0.125))),
    loss!("squared_error", squared_error(), Some(|x, y| (x - y) * (x - y))),
    loss!("absolute_error", absolute_error(), Some(|x, y| (x - y).abs())),
    loss!("huber", huber(HUBER_DELTA), Some(huber_formula)),
];

/// The loss, followed by the gradients.
fn run(isa: Isa, Named { kernel, twin, .. }: &Named, x: &[f32], y: &[f32], weight: f32) -> [Vec<f32>; 2] {
    [kernel, twin].map(|loss| {
        let (mut values, mut losses, weights) = (x.to_vec(), [-77.0], [weight]);
        let n = x.len();
        let rows = RowWeights { scale: 0.5, weights: Some(&weights) };
        loss(isa, MatMut::new(&mut values, 1, n, n), MatRef::new(y, 1, n, n), rows, &mut losses);
        [&losses[..], &values].concat()
    })
}

const LOSS_SQUARED: Rule = Rule {
    says: "a finite loss below sqrt(f32::MAX), and finite gradients",
    holds: |x, y| !x.is_finite() || (x.abs() > 1e19 || y[0].is_finite()) && y[1..].iter().all(|y| y.is_finite()),
};
/// A probability of `f32::MAX` is none, but must not make NaN either.
const GRADIENT_FINITE: Rule = Rule {
    says: "finite gradients, and a loss that is no NaN",
    holds: |x, y| !x.is_finite() || !y[0].is_nan() && y[1..].iter().all(|y| y.is_finite()),
};

fn of_targets() -> Vec<Op> {
    let mut operations = Vec::new();
    for (i, Named { name, formula, .. }) in LOSSES.iter().enumerate() {
        let squares = *name == "squared_error";
        let by_value = if squares { LOSS_SQUARED } else { FINITE_STAYS };
        let by_target = if squares { LOSS_SQUARED } else { GRADIENT_FINITE };
        // A mean over elements has a gradient for each; the softmax couples the row.
        let coupled = formula.is_none();
        let reached = move |place: usize| if coupled { (0..=WIDTH).collect() } else { vec![0, 1 + place] };
        let probabilities = || usual(2, WIDTH).iter().map(|y| y.abs() / WIDTH as f32).collect::<Vec<f32>>();
        operations.push(Op::new(format!("{name}, values"), &[NAN_STAYS, by_value], move |isa, x, place| {
            let [found, expected] = run(isa, &LOSSES[i], &with(x, place, usual(1, WIDTH)), &probabilities(), 1.0);
            Seen { found, expected, reached: reached(place) }
        }));
        operations.push(Op::new(format!("{name}, targets"), &[NAN_STAYS, by_target], move |isa, x, place| {
            let [found, expected] = run(isa, &LOSSES[i], &usual(1, WIDTH), &with(x, place, probabilities()), 1.0);
            Seen { found, expected, reached: reached(place) }
        }));
        operations.push(Op::new(format!("{name}, weights"), &[NAN_STAYS, NO_NAN_OF_FINITE], move |isa, x, _| {
            let [found, expected] = run(isa, &LOSSES[i], &usual(1, WIDTH), &probabilities(), x);
            Seen { found, expected, reached: (0..=WIDTH).collect() }
        }));
    }
    operations
}

/// With the index of the true class, which is that of the special value, or another.
fn of_labels() -> Vec<Op> {
    let op = |name: &str, smoothing: f32, right: bool| {
        Op::new(format!("softmax_cross_entropy{name}"), &[NAN_STAYS, FINITE_STAYS], move |isa, x, place| {
            let label = [if right { place as u32 } else { 20 }];
            let [found, expected] = [loss::softmax_cross_entropy, twin::softmax_cross_entropy].map(|loss| {
                let (mut values, mut losses) = (with(x, place, usual(1, WIDTH)), [-77.0]);
                loss(isa, MatMut::new(&mut values, 1, WIDTH, WIDTH), &label, smoothing, RowWeights::equal(0.5), &mut losses);
                [&losses[..], &values].concat()
            });
            Seen { found, expected, reached: (0..=WIDTH).collect() }
        })
    };
    vec![
        op(", at the label", 0.0, true),
        op(", not at the label", 0.0, false),
        op(", smoothed, at the label", 0.1, true),
        op(", smoothed, not at the label", 0.1, false),
    ]
}

pub(super) fn operations() -> Vec<Op> {
    [of_labels(), of_targets()].into_iter().flatten().collect()
}

fn same_formula(found: f32, truth: f64) -> bool {
    (f64::from(found) - truth).abs() <= 1e-5 * truth.abs() + 1e-6
}

/// Every class as value beside every class as target: finite wherever the formula, in `f64`, is a number that `f32` has.
#[test]
fn losses_of_any_two_finite_numbers_are_finite_unless_they_are_beyond_the_range() {
    let finite = || CLASSES.into_iter().filter(|(_, x)| x.is_finite());
    let mut infinite = 0;
    for isa in isas() {
        for loss in &LOSSES {
            for ((x_class, x), (y_class, y)) in finite().flat_map(|x| finite().map(move |y| (x, y))) {
                let [found, _] = run(isa, loss, &[x], &[y], 1.0);
                let case = format!("{} of {x_class} ({x:e}), target {y_class} ({y:e}), on {isa}", loss.name);
                // The gradient of a squared error may be beyond the range, too.
                let infinite_both = found[0].is_infinite() && found[1].is_infinite();
                assert!(found[1].is_finite() || infinite_both, "{case}: the gradient is {}", found[1]);
                // Of one class the softmax is 1.
                let truth = loss.formula.map_or(0.0, |formula| formula(x.into(), y.into()));
                if truth.abs() > f64::from(f32::MAX) * (1.0 - 1e-6) {
                    assert!(!found[0].is_nan(), "{case}: the loss is NaN");
                    infinite += usize::from(found[0].is_infinite());
                } else if truth.abs() > f64::from(f32::MIN_POSITIVE) {
                    assert!(same_formula(found[0], truth), "{case}: a loss of {truth:e} expected, found {:e}", found[0]);
                } else {
                    assert!(found[0].abs() <= 1e-30, "{case}: a loss of {truth:e} expected, found {:e}", found[0]);
                }
            }
        }
    }
    assert!(infinite > 0, "the classes reach beyond the range");
}

/// Rows of two classes as logits, each as the true one.
#[test]
fn softmax_cross_entropy_of_any_two_finite_logits_is_finite_unless_it_is_beyond_the_range() {
    let finite = || CLASSES.into_iter().filter(|(_, x)| x.is_finite());
    for isa in isas() {
        for ((x_class, x), (y_class, y)) in finite().flat_map(|x| finite().map(move |y| (x, y))) {
            let (mut values, mut losses) = ([x, y], [-77.0]);
            loss::softmax_cross_entropy(isa, MatMut::new(&mut values, 1, 2, 2), &[0], 0.0, RowWeights::equal(1.0), &mut losses);
            let case = format!("{x_class} ({x:e}) beside {y_class} ({y:e}) on {isa}");
            let difference = f64::from(y) - f64::from(x);
            let truth = difference.max(0.0) + (-difference.abs()).exp().ln_1p();
            assert!(values.iter().all(|x| (-1.0..=1.0).contains(x)), "{case}: gradients {values:?}");
            if truth > f64::from(f32::MAX) {
                assert_eq!(losses[0], f32::INFINITY, "{case}");
            } else {
                assert!(same_formula(losses[0], truth), "{case}: a loss of {truth:e} expected, found {:e}", losses[0]);
            }
        }
    }
}
