//! From the activation that a plan names to the kernel that computes it, row by row. Values and gradients of those that fade are [`Flushed`].

use crate::kernels::activations::{
    self as kernels, Elu, Flushed, Gelu, GeluTanh, Heaviside, LeakyRelu, Relu, Selu, Sigmoid, Sign, Softplus, Swish, Tanh,
};
use crate::kernels::{MatMut, MatRef};
use crate::plan::Activation;
use crate::simd::Isa;

/// Evaluates an expression with the kernel of an activation; nothing for those that have none of their own.
macro_rules! with_kernel {
    ($activation:expr, $kernel:ident => $call:expr) => {
        match $activation {
            Activation::Linear | Activation::Softmax | Activation::PRelu => {}
            Activation::Relu => {
                let $kernel = Relu;
                $call
            }
            Activation::LeakyRelu { slope } => {
                let $kernel = LeakyRelu::new(slope);
                $call
            }
            Activation::Elu { alpha } => {
                let $kernel = Flushed(Elu::new(alpha));
                $call
            }
            Activation::Selu => {
                let $kernel = Flushed(Selu);
                $call
            }
            Activation::Gelu => {
                let $kernel = Flushed(Gelu);
                $call
            }
            Activation::GeluTanh => {
                let $kernel = Flushed(GeluTanh);
                $call
            }
            Activation::Swish => {
                let $kernel = Flushed(Swish);
                $call
            }
            Activation::Softplus => {
                let $kernel = Flushed(Softplus);
                $call
            }
            Activation::Sigmoid => {
                let $kernel = Flushed(Sigmoid);
                $call
            }
            Activation::Tanh => {
                let $kernel = Flushed(Tanh);
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

/// `y = f(y)`; a softmax is left to its own kernel. `alpha` are the slopes of a PReLU.
pub(super) fn forward_in_place(isa: Isa, activation: Activation, alpha: &[f32], mut y: MatMut<'_>) {
    for i in 0..y.rows() {
        match activation {
            Activation::PRelu => kernels::prelu_forward_in_place(isa, alpha, y.row_mut(i)),
            _ => with_kernel!(activation, kernel => kernels::forward_in_place(isa, kernel, y.row_mut(i))),
        }
    }
}

/// `y = sigmoid(y)`, however small: for outputs.
pub(super) fn sigmoid_in_place(isa: Isa, mut y: MatMut<'_>) {
    for i in 0..y.rows() {
        kernels::forward_in_place(isa, Sigmoid, y.row_mut(i));
    }
}

/// `y = f(z)`
pub(super) fn forward(isa: Isa, activation: Activation, alpha: &[f32], z: MatRef<'_>, mut y: MatMut<'_>) {
    for i in 0..y.rows() {
        match activation {
            Activation::Linear | Activation::Softmax => y.row_mut(i).copy_from_slice(z.row(i)),
            Activation::PRelu => kernels::prelu_forward(isa, alpha, z.row(i), y.row_mut(i)),
            _ => with_kernel!(activation, kernel => kernels::forward(isa, kernel, z.row(i), y.row_mut(i))),
        }
    }
}

/// `dy = f'(at) dy`, with `at` being the sums if the derivative needs them, else the outputs.
pub(super) fn backward_in_place(isa: Isa, activation: Activation, at: MatRef<'_>, mut dy: MatMut<'_>) {
    for i in 0..dy.rows() {
        with_kernel!(activation, kernel => kernels::backward_in_place(isa, kernel, at.row(i), dy.row_mut(i)));
    }
}

/// `dy = f'(z) dy` of a PReLU; the terms of the gradient by its slopes take the place of `z`.
pub(super) fn prelu_backward_in_place(isa: Isa, alpha: &[f32], mut z: MatMut<'_>, mut dy: MatMut<'_>) {
    for i in 0..dy.rows() {
        kernels::prelu_backward_in_place(isa, alpha, z.row_mut(i), dy.row_mut(i));
    }
}
