//! From the activation that a plan names to the kernel that computes it, row by row.

use crate::kernels::activations::{
    self as kernels, Elu, Gelu, GeluTanh, Heaviside, LeakyRelu, Relu, Selu, Sigmoid, Sign, Softplus, Swish, Tanh,
};
use crate::kernels::{MatMut, MatRef};
use crate::plan::Activation;
use crate::simd::Isa;

/// Evaluates an expression with the kernel of an activation; nothing for those that have none of their own.
macro_rules! with_kernel {
    ($activation:expr, $kernel:ident => $call:expr) => {
        match $activation {
            Activation::Linear | Activation::Softmax => {}
            Activation::Relu => {
                let $kernel = Relu;
                $call
            }
            Activation::LeakyRelu { slope } => {
                let $kernel = LeakyRelu::new(slope);
                $call
            }
            Activation::Elu { alpha } => {
                let $kernel = Elu::new(alpha);
                $call
            }
            Activation::Selu => {
                let $kernel = Selu;
                $call
            }
            Activation::Gelu => {
                let $kernel = Gelu;
                $call
            }
            Activation::GeluTanh => {
                let $kernel = GeluTanh;
                $call
            }
            Activation::Swish => {
                let $kernel = Swish;
                $call
            }
            Activation::Softplus => {
                let $kernel = Softplus;
                $call
            }
            Activation::Sigmoid => {
                let $kernel = Sigmoid;
                $call
            }
            Activation::Tanh => {
                let $kernel = Tanh;
                $call
            }
            Activation::Heaviside => {
                let $kernel = Heaviside;
                $call
            }
            Activation::Sign => {
                let $kernel = Sign;
                $call
            }
        }
    };
}

/// `y = f(y)`; a softmax is left to its own kernel.
pub(super) fn forward_in_place(isa: Isa, activation: Activation, mut y: MatMut<'_>) {
    for i in 0..y.rows() {
        with_kernel!(activation, kernel => kernels::forward_in_place(isa, kernel, y.row_mut(i)));
    }
}

/// `y = f(z)`
pub(super) fn forward(isa: Isa, activation: Activation, z: MatRef<'_>, mut y: MatMut<'_>) {
    for i in 0..y.rows() {
        with_kernel!(activation, kernel => kernels::forward(isa, kernel, z.row(i), y.row_mut(i)));
    }
}

/// `dy = f'(at) dy`, with `at` being the sums if the plan keeps them, else the outputs.
pub(super) fn backward_in_place(isa: Isa, activation: Activation, at: MatRef<'_>, mut dy: MatMut<'_>) {
    for i in 0..dy.rows() {
        with_kernel!(activation, kernel => kernels::backward_in_place(isa, kernel, at.row(i), dy.row_mut(i)));
    }
}
