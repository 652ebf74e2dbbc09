//! Losses with their gradients, and softmax.

use super::operands::Operands;
use super::support::bits::assert_same;
use super::support::isas::isas;
use super::support::numbers::POISON;
use arbitrary::Result;
use selvedge::kernels::loss::{self, RowWeights};
use selvedge::kernels::softmax::softmax_forward;
use selvedge::kernels::{MatMut, MatRef};
use selvedge::reference;
use selvedge::simd::Isa;

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| case(&mut operands));
}

/// What a loss is given beside the values.
struct Truth<'a> {
    labels: &'a [u32],
    targets: MatRef<'a>,
    /// The smoothing, or what Huber's loss has in its place.
    setting: f32,
    rows: RowWeights<'a>,
}

type Loss = fn(Isa, MatMut<'_>, &Truth<'_>, &mut [f32]) -> usize;

const LOSSES: [(&str, Loss, Loss); 6] = [
    (
        "softmax with labels",
        |isa, x, t, losses| loss::softmax_cross_entropy(isa, x, t.labels, t.setting, t.rows, losses),
        |isa, x, t, losses| reference::loss::softmax_cross_entropy(isa, x, t.labels, t.setting, t.rows, losses),
    ),
    (
        "softmax",
        |isa, x, t, losses| loss::softmax_cross_entropy_one_hot(isa, x, t.targets, t.setting, t.rows, losses),
        |isa, x, t, losses| reference::loss::softmax_cross_entropy_one_hot(isa, x, t.targets, t.setting, t.rows, losses),
    ),
    (
        "sigmoid",
        |isa, x, t, losses| loss::sigmoid_cross_entropy(isa, x, t.targets, t.setting, t.rows, losses),
        |isa, x, t, losses| reference::loss::sigmoid_cross_entropy(isa, x, t.targets, t.setting, t.rows, losses),
    ),
    (
        "squared",
        |isa, x, t, losses| {
            loss::squared_error(isa, x, t.targets, t.rows, losses);
            0
        },
        |isa, x, t, losses| {
            reference::loss::squared_error(isa, x, t.targets, t.rows, losses);
            0
        },
    ),
    (
        "absolute",
        |isa, x, t, losses| {
            loss::absolute_error(isa, x, t.targets, t.rows, losses);
            0
        },
        |isa, x, t, losses| {
            reference::loss::absolute_error(isa, x, t.targets, t.rows, losses);
            0
        },
    ),
    (
        "huber",
        |isa, x, t, losses| {
            loss::huber(isa, x, t.targets, t.setting, t.rows, losses);
            0
        },
        |isa, x, t, losses| {
            reference::loss::huber(isa, x, t.targets, t.setting, t.rows, losses);
            0
        },
    ),
];

fn case(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = (operands.up_to(5)?, operands.length(50)?.max(1));
    let (x, targets) = (operands.matrix((m, n))?, operands.matrix((m, n))?);
    let targets = operands.make(&targets);
    let labels: Vec<u32> = (0..m).map(|_| Ok(operands.up_to(n - 1)? as u32)).collect::<Result<_>>()?;
    let labels = operands.placed(&labels);
    let setting = if operands.flag()? { 0.0 } else { operands.magnitude()? };
    let weights = if operands.flag()? { Some(operands.vector(m)?) } else { None };
    let rows = RowWeights { scale: operands.number()?, weights: weights.as_deref() };
    let truth = Truth { labels: &labels, targets: targets.as_ref(), setting, rows };
    for isa in isas() {
        for (name, kernel, twin) in LOSSES {
            let case = format_args!("{isa}, {name}, {m} x {n}, {setting}, {rows:?}");
            let (mut found, mut expected) = (operands.make(&x), x.twin());
            let (mut losses, mut expected_losses) = (operands.placed(&vec![POISON; m]), vec![POISON; m]);
            let right = kernel(isa, found.as_mut(), &truth, &mut losses);
            let expected_right = twin(isa, expected.as_mut(), &truth, &mut expected_losses);
            found.assert_same(&expected, &format_args!("{case}: gradient"));
            assert_same(&losses, &expected_losses, &format_args!("{case}: losses"));
            assert_eq!(right, expected_right, "{case}: right answers");
        }
        let (mut found, mut expected) = (operands.make(&x), x.twin());
        softmax_forward(isa, found.as_mut());
        reference::softmax::softmax_forward(isa, expected.as_mut());
        found.assert_same(&expected, &format_args!("{isa}, softmax alone, {m} x {n}"));
    }
    Ok(())
}
