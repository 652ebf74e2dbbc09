//! Functions and activations, one element at a time.

use super::operands::Operands;
use super::support::bits::assert_same;
use super::support::isas::isas;
use arbitrary::Result;
use selvedge::kernels::activations::{
    self, Elu, Flushed, Gelu, GeluTanh, Heaviside, LeakyRelu, Linear, Relu, Selu, Sigmoid, Sign, Softplus, Swish, Tanh,
};
use selvedge::kernels::math::slices;
use selvedge::reference::activations::{self as twin, Scalar};
use selvedge::reference::math;
use selvedge::simd::Isa;

type Function = (fn(Isa, &[f32], &mut [f32]), fn(Isa, f32) -> f32);

const FUNCTIONS: [Function; 9] = [
    (slices::exp, math::exp),
    (slices::exp2, math::exp2),
    (slices::expm1, math::expm1),
    (slices::ln, math::ln),
    (slices::log1p, math::log1p),
    (slices::tanh, math::tanh),
    (slices::sigmoid, math::sigmoid),
    (slices::softplus, math::softplus),
    (slices::normal_cdf, math::normal_cdf),
];

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| case(&mut operands));
}

fn case(operands: &mut Operands<'_>) -> Result<()> {
    match operands.up_to(15)? {
        0 => functions(operands),
        1 => prelu(operands),
        2 => activation(operands, Heaviside),
        3 => activation(operands, Sign),
        4 => activation(operands, Linear),
        5 => activation(operands, Relu),
        6 => {
            let slope = LeakyRelu::new(operands.magnitude()?);
            activation(operands, slope)
        }
        7 => {
            let alpha = Elu::new(operands.magnitude()?);
            activation(operands, alpha)
        }
        8 => activation(operands, Selu),
        9 => activation(operands, Gelu),
        10 => activation(operands, GeluTanh),
        11 => activation(operands, Swish),
        12 => activation(operands, Softplus),
        13 => activation(operands, Sigmoid),
        14 => activation(operands, Flushed(Swish)),
        _ => activation(operands, Tanh),
    }
}

fn functions(operands: &mut Operands<'_>) -> Result<()> {
    let len = operands.length(70)?;
    let x = operands.vector(len)?;
    for (function, (kernel, twin)) in FUNCTIONS.into_iter().enumerate() {
        for isa in isas() {
            let mut found = operands.placed(&x);
            kernel(isa, &x, &mut found);
            let expected: Vec<f32> = x.iter().map(|&x| twin(isa, x)).collect();
            assert_same(&found, &expected, &format_args!("{isa}, function {function} of {:?}", &*x));
        }
    }
    Ok(())
}

fn activation(operands: &mut Operands<'_>, activation: impl Scalar + std::fmt::Debug) -> Result<()> {
    let len = operands.length(70)?;
    let (z, dy) = (operands.vector(len)?, operands.vector(len)?);
    for isa in isas() {
        let case = format_args!("{isa}, {activation:?} of {:?}", &*z);
        let expected: Vec<f32> = z.iter().map(|&z| Scalar::forward(&activation, isa, z)).collect();
        let (mut found, mut in_place) = (operands.placed(&dy), operands.placed(&z));
        activations::forward(isa, activation, &z, &mut found);
        activations::forward_in_place(isa, activation, &mut in_place);
        assert_same(&found, &expected, &case);
        assert_same(&in_place, &expected, &format_args!("{case}, in place"));

        let case = format_args!("{isa}, {activation:?} backward at {:?}, {:?}", &*z, &*dy);
        let expected: Vec<f32> = z.iter().zip(dy.iter()).map(|(&z, &dy)| Scalar::backward(&activation, isa, z, dy)).collect();
        let mut in_place = operands.placed(&dy);
        activations::backward(isa, activation, &z, &dy, &mut found);
        activations::backward_in_place(isa, activation, &z, &mut in_place);
        assert_same(&found, &expected, &case);
        assert_same(&in_place, &expected, &format_args!("{case}, in place"));
    }
    Ok(())
}

fn prelu(operands: &mut Operands<'_>) -> Result<()> {
    let len = operands.length(70)?;
    let (alpha, z, dy) = (operands.vector(len)?, operands.vector(len)?, operands.vector(len)?);
    for isa in isas() {
        let case = format_args!("{isa}, PReLU of {:?} with {:?}, {:?}", &*z, &*alpha, &*dy);
        let expected = |twin: &dyn Fn(usize) -> f32| (0..len).map(twin).collect::<Vec<f32>>();
        let mut found = operands.placed(&dy);
        activations::prelu_forward(isa, &alpha, &z, &mut found);
        assert_same(&found, &expected(&|i| twin::prelu(alpha[i], z[i], z[i])), &case);
        activations::prelu_backward(isa, &alpha, &z, &dy, &mut found);
        assert_same(&found, &expected(&|i| twin::prelu(alpha[i], z[i], dy[i])), &case);
        activations::prelu_alpha_terms(isa, &z, &dy, &mut found);
        assert_same(&found, &expected(&|i| twin::prelu_alpha_term(z[i], dy[i])), &case);

        let mut y = operands.placed(&z);
        activations::prelu_forward_in_place(isa, &alpha, &mut y);
        assert_same(&y, &expected(&|i| twin::prelu(alpha[i], z[i], z[i])), &format_args!("{case}, in place"));
        let (mut terms, mut dz) = (operands.placed(&z), operands.placed(&dy));
        activations::prelu_backward_in_place(isa, &alpha, &mut terms, &mut dz);
        assert_same(&terms, &expected(&|i| twin::prelu_alpha_term(z[i], dy[i])), &format_args!("{case}, in place: terms"));
        assert_same(&dz, &expected(&|i| twin::prelu(alpha[i], z[i], dy[i])), &format_args!("{case}, in place: backward"));
    }
    Ok(())
}
