//! Every kernel against its twin, at its edges, and refusing what does not fit: one program, which builds beside the one for all else.

mod dropout_rates;
mod fused;
mod gather;
mod gemm;
mod gemm_exact;
mod guard;
mod isas;
mod large;
mod loss;
mod merge;
mod optimizers;
mod prelu;
mod reduce;
mod refusals;
mod softmax;
mod special_values;
#[path = "../support/mod.rs"]
mod support;
mod transpose;
