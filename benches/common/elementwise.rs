//! Functions of vectors, rows and matrices: what is limited by memory, or should be.

use super::buffer::{Buffer, byte};
use super::{Against, Candidate, Runner, id, isas, repeat};
use selvedge::kernels::activations::{self, Elu, Gelu, GeluTanh, Relu, Swish, Tanh};
use selvedge::kernels::dropout::{AlphaDropout, Combine, Dropout, alpha_dropout_forward, dropout_backward, dropout_forward};
use selvedge::kernels::fused::batch_norm_relu_dropout_forward;
use selvedge::kernels::gather::{Scaling, gather, gather_bytes};
use selvedge::kernels::gemm::RowBlocks;
use selvedge::kernels::loss::{
    RowWeights, sigmoid_cross_entropy, softmax_cross_entropy, softmax_cross_entropy_one_hot, squared_error,
};
use selvedge::kernels::math;
use selvedge::kernels::norm::{GradientSums, Normalization, batch_norm_backward, batch_norm_forward, gradient_sums, statistics};
use selvedge::kernels::reduce::column_sums;
use selvedge::kernels::rng::Stream;
use selvedge::kernels::softmax::softmax_forward;
use selvedge::kernels::transpose::{transpose, transpose_masked};
use selvedge::plan::Region;
use selvedge::simd::{Isa, LANES, MapOp, Simd, slice};
use std::hint::black_box;

/// Elements of a slice: input and output lie in the second level of cache.
const CACHED: usize = 1 << 16;

/// Elements of a slice: more than any cache holds. Only for two functions, the heaviest and the lightest kind.
const UNCACHED: usize = 1 << 24;

/// Bytes of an element.
const F32: usize = size_of::<f32>();

pub(super) fn candidates() -> Vec<Candidate> {
    let mut all = Vec::new();
    for isa in isas() {
        for (name, function) in FUNCTIONS {
            let lengths: &[usize] = if matches!(name, "exp" | "relu") { &[CACHED, UNCACHED] } else { &[CACHED] };
            for &len in lengths {
                let against = vec![Against::copy(2 * len * F32, 2 * len * F32)];
                all.push(Candidate::new(id("elementwise", name, isa, len, 1), against, move || open_function(function, isa, len)));
            }
        }
        for kernel in &KERNELS {
            for &(m, n) in kernel.shapes {
                let against = vec![(kernel.against)(isa, m, n)];
                let id = id("elementwise", kernel.name, isa, format_args!("{m}x{n}"), 1);
                all.push(Candidate::new(id, against, move || (kernel.open)(isa, m, n)));
            }
        }
    }
    all
}

type Function = fn(Isa, &[f32], &mut [f32]);

/// A table of functions `y[i] = f(x[i])`, from their names in `kernels::math`.
macro_rules! functions {
    ($($name:ident),+) => {
        [$({
            struct Op;
            impl MapOp<1, 1> for Op {
                #[inline(always)]
                fn map<S: Simd>(&self, simd: S, [x]: [S::F32; 1], _: [S::F32; 1]) -> [S::F32; 1] {
                    [math::$name(simd, x)]
                }
            }
            let function: Function = |isa, x, y| slice::map(isa, Op, [x], [y]);
            (stringify!($name), function)
        }),+]
    };
}

const FUNCTIONS: [(&str, Function); 13] = {
    let [exp, exp2, expm1, ln, log1p, tanh, sigmoid, softplus] = functions![exp, exp2, expm1, ln, log1p, tanh, sigmoid, softplus];
    let relu: Function = |isa, x, y| activations::forward(isa, Relu, x, y);
    let elu: Function = |isa, x, y| activations::forward(isa, Elu::new(1.0), x, y);
    let gelu: Function = |isa, x, y| activations::forward(isa, Gelu, x, y);
    let gelu_tanh: Function = |isa, x, y| activations::forward(isa, GeluTanh, x, y);
    let swish: Function = |isa, x, y| activations::forward(isa, Swish, x, y);
    [
        exp,
        exp2,
        expm1,
        ln,
        log1p,
        tanh,
        sigmoid,
        softplus,
        ("relu", relu),
        ("elu", elu),
        ("gelu", gelu),
        ("gelu_tanh", gelu_tanh),
        ("swish", swish),
    ]
};

fn open_function(function: Function, isa: Isa, len: usize) -> Runner {
    let (x, mut y) = (Buffer::new(len, 8.0), Buffer::zeros(len));
    repeat(move || {
        function(isa, black_box(x.get()), y.get_mut());
        black_box(y.get_mut());
    })
}

/// A kernel on matrices of `m` rows and `n` columns.
struct Kernel {
    name: &'static str,
    shapes: &'static [(usize, usize)],
    /// The limit, for an instruction set, `m` and `n`.
    against: fn(Isa, usize, usize) -> Against,
    open: fn(Isa, usize, usize) -> Runner,
}

/// Rows to gather from: as many as Fashion-MNIST has, and for `f32` as many as are larger than any cache.
const BYTE_ROWS: usize = 60_000;
const F32_ROWS: usize = 20_000;

static KERNELS: [Kernel; 20] = [
    Kernel {
        name: "tanh_backward",
        shapes: &[(128, 512)],
        against: |_, m, n| Against::copy(3 * m * n * F32, 3 * m * n * F32),
        open: |isa, m, n| {
            let (y, dy, mut dz) = (Buffer::new(m * n, 1.0), Buffer::new(m * n, 1.0), Buffer::zeros(m * n));
            repeat(move || activations::backward(isa, Tanh, black_box(y.get()), dy.get(), dz.get_mut()))
        },
    },
    Kernel {
        name: "gelu_backward",
        shapes: &[(128, 512)],
        against: |_, m, n| Against::copy(3 * m * n * F32, 3 * m * n * F32),
        open: |isa, m, n| {
            let (z, dy, mut dz) = (Buffer::new(m * n, 8.0), Buffer::new(m * n, 1.0), Buffer::zeros(m * n));
            repeat(move || activations::backward(isa, Gelu, black_box(z.get()), dy.get(), dz.get_mut()))
        },
    },
    Kernel {
        name: "softmax",
        shapes: &[(1000, 10), (1000, 100)],
        against: |_, m, n| Against::copy(m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let (region, mut x) = matrix(m, n);
            repeat(move || softmax_forward(isa, region.of_mut(black_box(x.get_mut()))))
        },
    },
    Kernel {
        name: "softmax_cross_entropy",
        shapes: &[(32, 10), (512, 10), (512, 100)],
        against: |_, m, n| Against::copy(m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let (region, mut x) = matrix(m, n);
            let labels: Vec<u32> = (0..m).map(|i| (usize::from(byte(i)) % n) as u32).collect();
            let mut losses = vec![0.0; m];
            repeat(move || {
                black_box(softmax_cross_entropy(
                    isa,
                    region.of_mut(x.get_mut()),
                    black_box(&labels),
                    0.0,
                    RowWeights::equal(1.0),
                    &mut losses,
                ));
            })
        },
    },
    Kernel {
        name: "softmax_cross_entropy_one_hot",
        shapes: &[(32, 10), (512, 10), (512, 100)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 3 * m * n * F32),
        open: |isa, m, n| {
            let ((region, mut x), (_, y), mut losses) = (matrix(m, n), matrix(m, n), vec![0.0; m]);
            repeat(move || {
                let (x, y) = (region.of_mut(x.get_mut()), region.of(black_box(y.get())));
                black_box(softmax_cross_entropy_one_hot(isa, x, y, 0.1, RowWeights::equal(1.0), &mut losses));
            })
        },
    },
    Kernel {
        name: "sigmoid_cross_entropy",
        shapes: &[(512, 10), (512, 100)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 3 * m * n * F32),
        open: |isa, m, n| {
            let ((region, mut x), (_, y), mut losses) = (matrix(m, n), matrix(m, n), vec![0.0; m]);
            repeat(move || {
                let (x, y) = (region.of_mut(x.get_mut()), region.of(black_box(y.get())));
                black_box(sigmoid_cross_entropy(isa, x, y, 0.1, RowWeights::equal(1.0), &mut losses));
            })
        },
    },
    Kernel {
        name: "squared_error",
        shapes: &[(512, 10), (512, 784)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 3 * m * n * F32),
        open: |isa, m, n| {
            let ((region, mut x), (_, y), mut losses) = (matrix(m, n), matrix(m, n), vec![0.0; m]);
            repeat(move || {
                squared_error(isa, region.of_mut(x.get_mut()), region.of(black_box(y.get())), RowWeights::equal(1.0), &mut losses);
            })
        },
    },
    Kernel {
        name: "transpose",
        shapes: &[(128, 100), (300, 128), (1024, 1024)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((from, x), (to, mut y)) = (matrix(m, n), matrix(n, m));
            repeat(move || transpose(isa, from.of(black_box(x.get())), to.of_mut(y.get_mut())))
        },
    },
    Kernel {
        name: "transpose_masked",
        shapes: &[(300, 128)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((from, x), (to, mut y)) = (matrix(m, n), matrix(n, m));
            let mask: Vec<u16> = (0..n * m.div_ceil(LANES)).map(|i| u16::from(byte(i)) * 257).collect();
            repeat(move || transpose_masked(isa, from.of(black_box(x.get())), &mask, to.of_mut(y.get_mut())))
        },
    },
    Kernel {
        name: "gather_bytes",
        shapes: &[(32, 784), (512, 784)],
        // What is read was never in a cache; what is written stays there.
        against: |_, m, n| Against::copy(BYTE_ROWS * n, m * n * (1 + F32)),
        open: |isa, m, n| {
            let x: Vec<u8> = (0..BYTE_ROWS * n).map(byte).collect();
            let (region, mut y) = matrix(m, n);
            let mut orders = orders(BYTE_ROWS, m);
            repeat(move || gather_bytes(isa, black_box(&x), &orders(), Scaling::UNIT, region.of_mut(y.get_mut())))
        },
    },
    Kernel {
        name: "gather",
        shapes: &[(32, 784), (512, 784)],
        against: |_, m, n| Against::copy(F32_ROWS * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((from, x), (to, mut y)) = (matrix(F32_ROWS, n), matrix(m, n));
            let mut orders = orders(F32_ROWS, m);
            repeat(move || gather(isa, from.of(black_box(x.get())), &orders(), to.of_mut(y.get_mut())))
        },
    },
    Kernel {
        name: "column_sums",
        shapes: &[(32, 300), (512, 300), (512, 10), (8192, 2048)],
        against: |isa, m, n| Against::read(isa, m * n * F32),
        open: |isa, m, n| {
            let (region, x) = matrix(m, n);
            let mut y = vec![0.0; n];
            repeat(move || {
                column_sums(isa, RowBlocks::from(region.of(black_box(x.get()))), &mut y);
                black_box(&mut y);
            })
        },
    },
    Kernel {
        name: "batch_norm_statistics",
        shapes: &[(128, 300), (512, 300), (8192, 2048)],
        // Two passes: the variance is taken around the mean.
        against: |isa, m, n| Against::read(isa, 2 * m * n * F32),
        open: |isa, m, n| {
            let (region, x) = matrix(m, n);
            let (mut mean, mut variance) = (vec![0.0; n], vec![0.0; n]);
            repeat(move || {
                statistics(isa, RowBlocks::from(region.of(black_box(x.get()))), 0, &mut mean, &mut variance);
                black_box((&mut mean, &mut variance));
            })
        },
    },
    Kernel {
        name: "batch_norm",
        shapes: &[(128, 512), (8192, 2048)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let (region, x) = matrix(m, n);
            let (columns, mut y) = (Buffer::new(n, 1.0), Buffer::zeros(region.len()));
            repeat(move || {
                batch_norm_forward(isa, region.of(black_box(x.get())), normalization(columns.get()), region.of_mut(y.get_mut()));
            })
        },
    },
    Kernel {
        name: "batch_norm_gradient_sums",
        shapes: &[(128, 512), (8192, 2048)],
        against: |isa, m, n| Against::read(isa, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((region, x), (_, dy), columns) = (matrix(m, n), matrix(m, n), Buffer::new(n, 1.0));
            let (mut dgamma, mut dbeta) = (vec![0.0; n], vec![0.0; n]);
            repeat(move || {
                let [x, dy] = [&x, &dy].map(|matrix| RowBlocks::from(region.of(black_box(matrix.get()))));
                gradient_sums(isa, dy, x, normalization(columns.get()), 0, [&mut dgamma, &mut dbeta]);
            })
        },
    },
    Kernel {
        name: "batch_norm_backward",
        shapes: &[(128, 512), (8192, 2048)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 3 * m * n * F32),
        open: |isa, m, n| {
            // No gradient, which stays so however often it is passed back.
            let ((region, x), columns, zeros) = (matrix(m, n), Buffer::new(n, 1.0), vec![0.0; n]);
            let mut dy = Buffer::zeros(region.len());
            repeat(move || {
                let sums = GradientSums { dgamma: &zeros, dbeta: &zeros, rows: m };
                let dy = region.of_mut(dy.get_mut());
                batch_norm_backward(isa, region.of(black_box(x.get())), normalization(columns.get()), sums, dy);
            })
        },
    },
    Kernel {
        name: "batch_norm_relu_dropout",
        shapes: &[(128, 512), (8192, 2048)],
        against: |_, m, n| Against::copy(2 * m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((region, x), columns) = (matrix(m, n), Buffer::new(n, 1.0));
            let (mut y, mut mask) = (Buffer::zeros(region.len()), vec![0; m * n.div_ceil(LANES)]);
            repeat(move || {
                let (x, y) = (region.of(black_box(x.get())), region.of_mut(y.get_mut()));
                batch_norm_relu_dropout_forward(isa, x, normalization(columns.get()), (half(), STREAM), y, &mut mask);
            })
        },
    },
    Kernel {
        name: "dropout",
        shapes: &[(128, 512), (8192, 2048)],
        against: |_, m, n| Against::copy(m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((region, mut x), mut mask) = (matrix(m, n), vec![0; m * n.div_ceil(LANES)]);
            repeat(move || dropout_forward(isa, half(), STREAM, region.of_mut(black_box(x.get_mut())), &mut mask, Combine::Replace))
        },
    },
    Kernel {
        name: "dropout_backward",
        shapes: &[(128, 512), (8192, 2048)],
        against: |_, m, n| Against::copy(m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((region, mut dy), mask) = (matrix(m, n), vec![0x5a5a; m * n.div_ceil(LANES)]);
            repeat(move || dropout_backward(isa, half(), black_box(&mask), region.of_mut(dy.get_mut())))
        },
    },
    Kernel {
        name: "alpha_dropout",
        shapes: &[(128, 512), (8192, 2048)],
        against: |_, m, n| Against::copy(m * n * F32, 2 * m * n * F32),
        open: |isa, m, n| {
            let ((region, mut x), mut mask) = (matrix(m, n), vec![0; m * n.div_ceil(LANES)]);
            let dropout = AlphaDropout::new(0.5).expect("a rate");
            repeat(move || alpha_dropout_forward(isa, dropout, STREAM, region.of_mut(black_box(x.get_mut())), &mut mask))
        },
    },
];

const STREAM: Stream = Stream { seed: 1, step: 2, layer: 3, first_row: 0 };

fn half() -> Dropout {
    Dropout::new(0.5).expect("a rate")
}

fn normalization(columns: &[f32]) -> Normalization<'_> {
    Normalization { mean: columns, inverse_deviation: columns, gamma: columns, beta: columns }
}

fn matrix(m: usize, n: usize) -> (Region, Buffer) {
    let region = Region::new(0, m, n);
    (region, Buffer::new(region.len(), 1.0))
}

/// One minibatch of `m` of `rows` shuffled rows after the other.
fn orders(rows: usize, m: usize) -> impl FnMut() -> Vec<u32> {
    let mut order = vec![0; rows];
    selvedge::data::shuffle(&mut order, 0, 0);
    let mut minibatches = 0;
    move || {
        minibatches = (minibatches + 1) % (rows / m);
        order[minibatches * m..][..m].to_vec()
    }
}
