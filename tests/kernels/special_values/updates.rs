//! Optimizers and what is around them, sums and copies of matrices.

use super::{
    FINITE_STAYS, MODERATE_STAYS, NAN_STAYS, NO_NAN_OF_FINITE, NO_NAN_OF_NUMBERS, Op, Rule, SAME, Seen, WIDTH, usual, with,
};
use selvedge::kernels::gather::gather;
use selvedge::kernels::merge;
use selvedge::kernels::optimizers::{
    AdamSettings, AmsGrad, CenteredRmsProp, ClippedByValue, Momentum, MomentumKind, NadamProgress, Regularized, Rescaled,
    RmsPropMomentum, RmsPropSettings, Sgd, add_penalty, update,
};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::reference;
use selvedge::reference::optimizers::Rule as Twin;
use selvedge::simd::MapOp;

/// The state of an optimizer never shrinks the step to 0, so the weight of a NaN is one.
const WEIGHT_LIMITED: Rule = Rule { says: "a step of at most the limit", holds: |x, y| x.is_nan() || (y[0] - 0.5).abs() <= 0.51 };

/// One step with a special gradient, with a special weight, and with a special number of each state.
fn steps<R: MapOp<1, N> + Twin<N> + Copy + 'static, const N: usize>(name: &str, by_gradient: &[Rule], rule: R) -> Vec<Op> {
    let run = move |isa, g: Vec<f32>, parameters: [Vec<f32>; N], place: usize| {
        let (mut found, mut expected) = (parameters.clone(), parameters);
        update(isa, rule, &g, found.each_mut().map(Vec::as_mut_slice));
        reference::optimizers::update(isa, &rule, &g, expected.each_mut().map(Vec::as_mut_slice));
        Seen { found: found.concat(), expected: expected.concat(), reached: vec![place] }
    };
    // Squares are positive, and so are these.
    let usual_parameters = |place: usize| -> [Vec<f32>; N] {
        std::array::from_fn(|n| with(0.5, place, usual(n + 2, WIDTH).iter().map(|x| x.abs()).collect()))
    };
    let mut operations = vec![Op::new(format!("{name}, gradient"), by_gradient, move |isa, x, place| {
        run(isa, with(x, place, usual(1, WIDTH)), usual_parameters(place), place)
    })];
    for n in 0..N {
        let operand = ["weight", "first state", "second state", "third state"][n];
        // A finite square may be negative here, which no optimizer makes it.
        let rules: &[Rule] = if n == 0 { &[NAN_STAYS, NO_NAN_OF_FINITE] } else { &[NAN_STAYS] };
        operations.push(Op::new(format!("{name}, {operand}"), rules, move |isa, x, place| {
            let mut parameters = usual_parameters(place);
            parameters[n][place] = x;
            run(isa, with(0.25, place, usual(1, WIDTH)), parameters, place)
        }));
    }
    operations
}

fn optimizers() -> Vec<Op> {
    let momentum = |kind| Momentum { learning_rate: 0.01, momentum: 0.9, kind };
    let rms = RmsPropSettings { learning_rate: 0.01, ..Default::default() }.rule();
    let settings = AdamSettings { learning_rate: 0.01, ..Default::default() };
    let adam = settings.at_step(3);
    let clipped = ClippedByValue { limit: 1.0, rule: Sgd { learning_rate: 0.5 } };
    let plain = &[NAN_STAYS, FINITE_STAYS];
    let adaptive = &[NAN_STAYS, NO_NAN_OF_FINITE, FINITE_STAYS];
    [
        steps("Sgd", plain, Sgd { learning_rate: 0.01 }),
        steps("Momentum", plain, momentum(MomentumKind::Classic)),
        steps("Momentum of Nesterov", plain, momentum(MomentumKind::Nesterov)),
        steps("RmsProp", adaptive, rms),
        steps("RmsPropMomentum", adaptive, RmsPropMomentum { rule: rms, momentum: 0.9 }),
        // The square of the mean overflows together with the mean square.
        steps("CenteredRmsProp", &[NAN_STAYS, MODERATE_STAYS], CenteredRmsProp { rule: rms, momentum: 0.9 }),
        steps("Adam", adaptive, adam),
        steps("AmsGrad", adaptive, AmsGrad(adam)),
        steps("AdamW", adaptive, settings.at_step_with_decay(3, 0.004)),
        steps("Nadam", adaptive, settings.next_nadam(&mut NadamProgress::default())),
        steps("ClippedByValue", &[NAN_STAYS, NO_NAN_OF_NUMBERS, WEIGHT_LIMITED], clipped),
        steps("Rescaled", plain, Rescaled { factor: 0.5, rule: Sgd { learning_rate: 0.01 } }),
        steps("Regularized", plain, Regularized { l1: 0.01, l2: 0.02, rule: Sgd { learning_rate: 0.01 } }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A rule that shows the gradient that it is given, in the place of its second number.
#[derive(Clone, Copy)]
struct Shown;

impl Twin<2> for Shown {
    fn step(&self, _: selvedge::simd::Isa, g: f32, [w, _]: [f32; 2]) -> [f32; 2] {
        [w, g]
    }
}

fn penalties() -> Vec<Op> {
    let op = |name: &str, special: usize| {
        Op::new(format!("add_penalty, {name}"), &[NAN_STAYS, FINITE_STAYS], move |isa, x, place| {
            let mut operands = [usual(1, WIDTH), usual(2, WIDTH)];
            operands[special][place] = x;
            let [w, g] = operands;
            let mut found = g.clone();
            add_penalty(isa, 0.25, 0.125, &w, &mut found);
            let rule = Regularized { l1: 0.25, l2: 0.125, rule: Shown };
            let expected = w.iter().zip(g).map(|(&w, g)| rule.step(isa, g, [w, 0.0])[1]).collect();
            Seen { found, expected, reached: vec![place] }
        })
    };
    vec![op("weights", 0), op("gradient", 1)]
}

fn moves() -> Vec<Op> {
    vec![
        Op::new("merge copy", &[SAME], |_, x, place| {
            let x = with(x, place, usual(1, WIDTH));
            let mut found = vec![-77.0; WIDTH];
            merge::copy(MatRef::new(&x, 1, WIDTH, WIDTH), MatMut::new(&mut found, 1, WIDTH, WIDTH));
            Seen { found, expected: x, reached: vec![place] }
        }),
        Op::new("merge add", &[NAN_STAYS, NO_NAN_OF_NUMBERS, FINITE_STAYS], |isa, x, place| {
            let x = with(x, place, usual(1, WIDTH));
            let (mut found, mut expected) = (usual(2, WIDTH), usual(2, WIDTH));
            merge::add(isa, MatRef::new(&x, 1, WIDTH, WIDTH), MatMut::new(&mut found, 1, WIDTH, WIDTH));
            reference::merge::add(MatRef::new(&x, 1, WIDTH, WIDTH), MatMut::new(&mut expected, 1, WIDTH, WIDTH));
            Seen { found, expected, reached: vec![place] }
        }),
        Op::new("gather", &[SAME], |isa, x, place| {
            let x = with(x, WIDTH + place, usual(1, 3 * WIDTH));
            let mut found = vec![-77.0; WIDTH];
            gather(isa, MatRef::new(&x, 3, WIDTH, WIDTH), &[1], MatMut::new(&mut found, 1, WIDTH, WIDTH));
            Seen { found, expected: x[WIDTH..2 * WIDTH].to_vec(), reached: vec![place] }
        }),
    ]
}

pub(super) fn operations() -> Vec<Op> {
    [optimizers(), penalties(), moves()].into_iter().flatten().collect()
}
