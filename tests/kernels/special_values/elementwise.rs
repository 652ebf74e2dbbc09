//! Functions and activations.

use super::{
    BOUNDED, FINITE_STAYS, NAN_IS_MASKED, NAN_STAYS, NO_NAN_OF_FINITE, NO_NAN_OF_NUMBERS, Op, Rule, SAME, SHARES, Seen, WIDTH,
    usual, with,
};
use selvedge::kernels::activations::{
    self, Elu, Flushed, Gelu, GeluTanh, Heaviside, LeakyRelu, Linear, Relu, Selu, Sigmoid, Sign, Softplus, Source, Swish, Tanh,
};
use selvedge::kernels::math::slices;
use selvedge::reference::activations::{self as twin, Scalar};
use selvedge::reference::math;
use selvedge::simd::Isa;

const LOGARITHM: Rule =
    Rule { says: "NaN of negative numbers only", holds: |x, y| y.iter().all(|y| y.is_nan() == (x.is_nan() || x < 0.0)) };
const LOGARITHM_OF_ONE_MORE: Rule =
    Rule { says: "NaN of numbers below -1 only", holds: |x, y| y.iter().all(|y| y.is_nan() == (x.is_nan() || x < -1.0)) };
const NOT_NEGATIVE: Rule = Rule { says: "not negative", holds: |x, y| x.is_nan() || y.iter().all(|y| *y >= 0.0) };
const OVERFLOWS: Rule = Rule {
    says: "infinite from ln(f32::MAX) on, not before",
    holds: |x, y| x.is_nan() || y.iter().all(|y| y.is_infinite() == (f64::from(x) > f64::from(f32::MAX).ln())),
};
const AT_LEAST_MINUS_ONE: Rule = Rule { says: "at least -1", holds: |x, y| x.is_nan() || y.iter().all(|y| *y >= -1.0) };
const SIGN_OF_X: Rule = Rule {
    says: "the sign of x, and of its zeros",
    holds: |x, y| x.is_nan() || y.iter().all(|y| y.is_sign_negative() == x.is_sign_negative()),
};
const NAN_COUNTS_AS_POSITIVE: Rule =
    Rule { says: "the gradient where z is NaN", holds: |x, y| !x.is_nan() || y.iter().all(|y| *y == 0.75) };
const ZERO_UNLESS_NAN: Rule =
    Rule { says: "0 of numbers", holds: |x, y| y.iter().all(|y| if x.is_nan() { y.is_nan() } else { *y == 0.0 }) };
const NOT_READ: Rule = Rule { says: "z is not read", holds: |_, y| y.iter().all(|y| *y == 0.75 || *y == 0.0) };

fn map(
    name: impl Into<String>,
    rules: &[Rule],
    kernel: impl Fn(Isa, &[f32], &mut [f32]) + 'static,
    twin: impl Fn(Isa, f32) -> f32 + 'static,
) -> Op {
    Op::new(name, rules, move |isa, x, place| {
        let x = with(x, place, usual(1, WIDTH));
        let mut found = vec![-77.0; WIDTH];
        kernel(isa, &x, &mut found);
        Seen { found, expected: x.iter().map(|&x| twin(isa, x)).collect(), reached: vec![place] }
    })
}

fn functions() -> Vec<Op> {
    let common = [NAN_STAYS, NO_NAN_OF_NUMBERS];
    let rules = |more: &[Rule]| [&common[..], more].concat();
    vec![
        map("exp", &rules(&[NOT_NEGATIVE, OVERFLOWS]), slices::exp, math::exp),
        map("exp2", &rules(&[NOT_NEGATIVE]), slices::exp2, math::exp2),
        map("expm1", &rules(&[AT_LEAST_MINUS_ONE, OVERFLOWS, SIGN_OF_X]), slices::expm1, math::expm1),
        map("ln", &[NAN_STAYS, LOGARITHM], slices::ln, math::ln),
        map("log1p", &[NAN_STAYS, LOGARITHM_OF_ONE_MORE], slices::log1p, math::log1p),
        map("tanh", &rules(&[BOUNDED, SIGN_OF_X]), slices::tanh, math::tanh),
        map("sigmoid", &rules(&[SHARES]), slices::sigmoid, math::sigmoid),
        map("softplus", &rules(&[NOT_NEGATIVE, FINITE_STAYS]), slices::softplus, math::softplus),
        map("normal_cdf", &rules(&[SHARES]), slices::normal_cdf, math::normal_cdf),
    ]
}

/// What a derivative does with a NaN in `z`, and with a gradient where `z` is negative.
#[derive(Clone, Copy, PartialEq)]
enum Derivative {
    Smooth,
    /// 0 of negative `z`.
    Mask,
    /// Two slopes.
    Kink,
    /// No slope at all.
    Flat,
    /// 1.
    One,
}

fn activation<A: Scalar + 'static>(name: &str, activation: A, forward: &[Rule], derivative: Derivative) -> Vec<Op> {
    let at = move |isa, z: f32| if A::DERIVATIVE_FROM == Source::Input { z } else { Scalar::forward(&activation, isa, z) };
    let by_z: &[Rule] = match derivative {
        Derivative::Smooth => &[NAN_STAYS, BOUNDED],
        Derivative::Mask | Derivative::Kink => &[NAN_COUNTS_AS_POSITIVE, BOUNDED],
        Derivative::Flat | Derivative::One => &[NOT_READ],
    };
    let by_dy: &[Rule] = if derivative == Derivative::Flat { &[ZERO_UNLESS_NAN] } else { &[NAN_STAYS, NO_NAN_OF_NUMBERS] };
    let by_dy_below: &[Rule] = if derivative == Derivative::Mask { &[NAN_IS_MASKED] } else { by_dy };
    let backward = move |isa, z: &[f32], dy: &[f32], place| {
        let at: Vec<f32> = z.iter().map(|&z| at(isa, z)).collect();
        let mut found = dy.to_vec();
        activations::backward_in_place(isa, activation, &at, &mut found);
        let expected = at.iter().zip(dy).map(|(&at, &dy)| Scalar::backward(&activation, isa, at, dy)).collect();
        Seen { found, expected, reached: vec![place] }
    };
    vec![
        map(
            name,
            forward,
            move |isa, x, y| activations::forward(isa, activation, x, y),
            move |isa, x| Scalar::forward(&activation, isa, x),
        ),
        Op::new(format!("{name} backward, z"), by_z, move |isa, x, place| {
            backward(isa, &with(x, place, usual(1, WIDTH)), &with(0.75, place, usual(2, WIDTH)), place)
        }),
        Op::new(format!("{name} backward, dy at z = 1/2"), by_dy, move |isa, x, place| {
            backward(isa, &with(0.5, place, usual(1, WIDTH)), &with(x, place, usual(2, WIDTH)), place)
        }),
        Op::new(format!("{name} backward, dy at z = -1/2"), by_dy_below, move |isa, x, place| {
            backward(isa, &with(-0.5, place, usual(1, WIDTH)), &with(x, place, usual(2, WIDTH)), place)
        }),
    ]
}

fn prelu() -> Vec<Op> {
    let run = |isa, [alpha, z, dy]: [&[f32]; 3], place| {
        let [mut y, mut dz, mut terms] = [(); 3].map(|()| vec![-77.0; WIDTH]);
        activations::prelu_forward(isa, alpha, z, &mut y);
        activations::prelu_backward(isa, alpha, z, dy, &mut dz);
        activations::prelu_alpha_terms(isa, z, dy, &mut terms);
        let (mut y_in_place, mut terms_in_place, mut dz_in_place) = (z.to_vec(), z.to_vec(), dy.to_vec());
        activations::prelu_forward_in_place(isa, alpha, &mut y_in_place);
        activations::prelu_backward_in_place(isa, alpha, &mut terms_in_place, &mut dz_in_place);
        let of = |f: &dyn Fn(usize) -> f32| (0..WIDTH).map(f).collect::<Vec<f32>>();
        let expected_y = of(&|i| twin::prelu(alpha[i], z[i], z[i]));
        let expected_dz = of(&|i| twin::prelu(alpha[i], z[i], dy[i]));
        let expected_terms = of(&|i| twin::prelu_alpha_term(z[i], dy[i]));
        (
            [y, dz, terms, y_in_place, dz_in_place, terms_in_place].concat(),
            [&expected_y[..], &expected_dz, &expected_terms, &expected_y, &expected_dz, &expected_terms].concat(),
            place,
        )
    };
    // Outputs come as y, dz and terms, and again in place.
    let seen = |(found, expected, place): (Vec<f32>, Vec<f32>, usize), outputs: &[usize]| Seen {
        found,
        expected,
        reached: outputs.iter().flat_map(|output| [output * WIDTH + place, (output + 3) * WIDTH + place]).collect(),
    };
    let operand = move |operand: usize, z: f32, x: f32, place: usize| {
        let mut all = [usual(1, WIDTH), with(z, place, usual(2, WIDTH)), usual(3, WIDTH)];
        all[operand][place] = x;
        all
    };
    let op = |name: &str, rules: &[Rule], special: usize, z: f32, outputs: &'static [usize]| {
        Op::new(format!("prelu {name}"), rules, move |isa, x, place| {
            let [alpha, z, dy] = operand(special, z, x, place);
            seen(run(isa, [&alpha, &z, &dy], place), outputs)
        })
    };
    vec![
        op("forward, z", &[NAN_STAYS, NO_NAN_OF_NUMBERS], 1, 0.0, &[0]),
        op("forward, alpha at z = -1/2", &[NAN_STAYS, FINITE_STAYS], 0, -0.5, &[0]),
        op("backward, dy at z = 1/2", &[NAN_STAYS, SAME], 2, 0.5, &[1]),
        op("backward, dy at z = -1/2", &[NAN_STAYS, FINITE_STAYS], 2, -0.5, &[1, 2]),
        op("terms of alpha, z", &[NAN_STAYS, NO_NAN_OF_FINITE], 1, 0.0, &[2]),
    ]
}

pub(super) fn operations() -> Vec<Op> {
    use Derivative::{Flat, Kink, Mask, One, Smooth};
    let any = &[NAN_STAYS, NO_NAN_OF_NUMBERS];
    let finite = &[NAN_STAYS, NO_NAN_OF_NUMBERS, FINITE_STAYS];
    let share = &[NAN_STAYS, SHARES];
    let bounded = &[NAN_STAYS, BOUNDED];
    let positive = &[NAN_STAYS, FINITE_STAYS, NOT_NEGATIVE];
    [
        functions(),
        activation("heaviside", Heaviside, share, Flat),
        activation("sign", Sign, bounded, Flat),
        activation("linear", Linear, &[SAME], One),
        activation("relu", Relu, positive, Mask),
        activation("leaky_relu", LeakyRelu::default(), finite, Kink),
        activation("elu", Elu::default(), finite, Smooth),
        // The scale of SELU is above 1.
        activation("selu", Selu, any, Smooth),
        activation("gelu", Gelu, finite, Smooth),
        activation("gelu_tanh", GeluTanh, finite, Smooth),
        activation("swish", Swish, finite, Smooth),
        activation("softplus activation", Softplus, positive, Smooth),
        activation("sigmoid activation", Sigmoid, share, Smooth),
        activation("tanh activation", Tanh, bounded, Smooth),
        activation("flushed sigmoid", Flushed(Sigmoid), share, Smooth),
        prelu(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
