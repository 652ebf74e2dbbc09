//! The matrix products of training and inference, and the square ones by which libraries are compared.
//!
//! Shapes are `m x n x k`: a result of `m` rows and `n` columns, sums over `k`. Leading dimensions are those of a plan, but for matrices that say
//! otherwise.

use super::buffer::Buffer;
use super::rivals::{Operand, Rival, multiply};
use super::{Against, Candidate, Runner, id, isas, repeat};
use selvedge::kernels::gemm::{Biased, BiasedRelu, RowBlocks, Stored, Updated, gemm, gemm_transposed};
use selvedge::kernels::optimizers::{Momentum, MomentumKind};
use selvedge::plan::Region;
use selvedge::simd::{Isa, LANES};
use std::collections::HashSet;
use std::fmt;
use std::hint::black_box;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    /// `C = relu(bias + A B)` with its mask.
    ForwardRelu,
    /// `C = bias + A B`.
    Forward,
    /// `C = A B`.
    Product,
    /// `C = A B` of matrices whose rows follow each other without padding.
    ProductUnpadded,
    /// `W = momentum(W, A^T B)`.
    GradientMomentum,
}
use Operation::{Forward, ForwardRelu, GradientMomentum, Product, ProductUnpadded};

/// What is measured, as (operation, m, n, k), and why.
const TABLE: [(Operation, usize, usize, usize); 38] = [
    // The layers of 784-300-100-10 forward: batch 128, the half of it that each of two threads takes, 32, and its half.
    (ForwardRelu, 128, 300, 784),
    (ForwardRelu, 64, 300, 784),
    (ForwardRelu, 32, 300, 784),
    (ForwardRelu, 16, 300, 784),
    (ForwardRelu, 128, 100, 300),
    (ForwardRelu, 32, 100, 300),
    (ForwardRelu, 16, 100, 300),
    (Forward, 128, 10, 100),
    (Forward, 32, 10, 100),
    // One row through them, and a few rows through the first.
    (ForwardRelu, 1, 300, 784),
    (ForwardRelu, 1, 100, 300),
    (Forward, 1, 10, 100),
    (ForwardRelu, 2, 300, 784),
    (ForwardRelu, 4, 300, 784),
    (ForwardRelu, 8, 300, 784),
    // Their weight gradients at batch 128 and 32.
    (GradientMomentum, 784, 300, 128),
    (GradientMomentum, 784, 300, 32),
    (GradientMomentum, 300, 100, 128),
    (GradientMomentum, 300, 100, 32),
    (GradientMomentum, 100, 10, 128),
    // The input gradient of the second layer at batch 128.
    (Product, 300, 128, 100),
    // Beyond one cache after the other.
    (Product, 512, 512, 512),
    (Product, 1024, 1024, 1024),
    (Product, 2048, 2048, 2048),
    // Minibatches through layers larger than a cache.
    (Forward, 1, 512, 512),
    (Forward, 1, 1024, 1024),
    (Forward, 1, 2048, 2048),
    (Forward, 4, 2048, 2048),
    (Forward, 8, 2048, 2048),
    (Forward, 32, 2048, 2048),
    (Forward, 128, 2048, 2048),
    (Forward, 64, 4096, 4096),
    // Wide and short, tall and narrow.
    (Product, 4, 4096, 256),
    (Product, 16, 2048, 512),
    (Product, 4096, 16, 256),
    (Product, 1000, 300, 784),
    // Rows a multiple of 4 KiB apart, which drive each other out of the caches.
    (ProductUnpadded, 128, 1024, 1024),
    (ProductUnpadded, 1024, 1024, 1024),
];

/// Multiply-adds beyond which the portable instruction set is not measured: it would take longer than all others together.
const PORTABLE_LIMIT: usize = 512 * 512 * 512;

/// Rows up to which a product is limited by how fast B can be read, not by the multiply-adds.
const READING_ROWS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    m: usize,
    n: usize,
    k: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.m, self.n, self.k)
    }
}

/// How the operands of a product lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Layout {
    Padded,
    /// Padded, and the left one is A^T.
    Transposed,
    Unpadded,
}

impl Operation {
    fn layout(self) -> Layout {
        match self {
            ForwardRelu | Forward | Product => Layout::Padded,
            ProductUnpadded => Layout::Unpadded,
            GradientMomentum => Layout::Transposed,
        }
    }

    fn name(self) -> &'static str {
        match self {
            ForwardRelu => "forward_relu",
            Forward => "forward",
            Product => "product",
            ProductUnpadded => "product_unpadded",
            GradientMomentum => "gradient_momentum",
        }
    }
}

pub(super) fn candidates() -> Vec<Candidate> {
    let mut all = Vec::new();
    let mut rivals = HashSet::new();
    for (operation, m, n, k) in TABLE {
        let shape = Shape { m, n, k };
        let operations = 2 * m * n * k;
        let layout = operation.layout();
        for isa in isas() {
            if isa == Isa::PORTABLE && m * n * k > PORTABLE_LIMIT {
                continue;
            }
            let mut against = vec![Against::peak(isa, 1, operations)];
            if m <= READING_ROWS {
                against.insert(0, Against::read(isa, Region::new(0, k, n).len() * size_of::<f32>()));
            }
            // The rivals choose their instructions themselves: they take the best.
            if isa == Isa::detect() {
                against.extend(Rival::ALL.map(|rival| Against::other(rival.name(), rival_id(rival, layout, shape))));
            }
            let id = id("gemm", operation.name(), isa, shape, 1);
            all.push(Candidate::new(id, against, move || open(operation, isa, shape)));
        }
        if rivals.insert((layout, shape)) {
            all.extend(Rival::ALL.map(|rival| Candidate {
                rival: true,
                ..Candidate::new(rival_id(rival, layout, shape), vec![Against::peak(Isa::detect(), 1, operations)], move || {
                    open_rival(rival, layout, shape)
                })
            }));
        }
    }
    all
}

fn rival_id(rival: Rival, layout: Layout, shape: Shape) -> String {
    let operation = match layout {
        Layout::Padded => rival.name().to_owned(),
        Layout::Transposed => format!("{}_transposed", rival.name()),
        Layout::Unpadded => format!("{}_unpadded", rival.name()),
    };
    id("gemm", &operation, "own", shape, 1)
}

/// The operands.
struct Operands {
    a: Buffer,
    b: Buffer,
    c: Buffer,
    a_region: Region,
    b_region: Region,
    c_region: Region,
}

impl Operands {
    fn new(layout: Layout, Shape { m, n, k }: Shape) -> Self {
        let region = |rows, columns| match layout {
            Layout::Padded | Layout::Transposed => Region::new(0, rows, columns),
            Layout::Unpadded => Region { leading_dimension: columns, ..Region::new(0, rows, columns) },
        };
        let a_region = if layout == Layout::Transposed { region(k, m) } else { region(m, k) };
        let (b_region, c_region) = (region(k, n), region(m, n));
        Self {
            a: Buffer::new(a_region.len(), 1.0),
            b: Buffer::new(b_region.len(), 1.0),
            c: Buffer::zeros(c_region.len()),
            a_region,
            b_region,
            c_region,
        }
    }
}

fn open(operation: Operation, isa: Isa, shape: Shape) -> Runner {
    let Operands { a, b, mut c, a_region, b_region, c_region } = Operands::new(operation.layout(), shape);
    let bias = Buffer::new(shape.n, 1.0);
    match operation {
        ForwardRelu => {
            let mut mask = vec![0; shape.m * shape.n.div_ceil(LANES)];
            repeat(move || {
                let (a, b) = (a_region.of(black_box(a.get())), b_region.of(black_box(b.get())));
                gemm(isa, a, b, &mut BiasedRelu { bias: bias.get(), c: c_region.of_mut(c.get_mut()), mask: &mut mask });
            })
        }
        Forward => repeat(move || {
            let (a, b) = (a_region.of(black_box(a.get())), b_region.of(black_box(b.get())));
            gemm(isa, a, b, &mut Biased { bias: bias.get(), c: c_region.of_mut(c.get_mut()) });
        }),
        Product | ProductUnpadded => repeat(move || {
            let (a, b) = (a_region.of(black_box(a.get())), b_region.of(black_box(b.get())));
            gemm(isa, a, b, &mut Stored { c: c_region.of_mut(c.get_mut()) });
        }),
        GradientMomentum => {
            // So small a rate that no number of repetitions leads the weights anywhere.
            let rule = Momentum { learning_rate: 1e-9, momentum: 0.9, kind: MomentumKind::Classic };
            let mut velocity = Buffer::zeros(c_region.len());
            let leading_dimension = c_region.leading_dimension;
            repeat(move || {
                let (a, b) = (a_region.of(black_box(a.get())), b_region.of(black_box(b.get())));
                let parameters = [c.get_mut(), velocity.get_mut()];
                let epilogue = &mut Updated { rule, parameters, leading_dimension };
                gemm_transposed(isa, RowBlocks::from(a), (0, shape.m), RowBlocks::from(b), epilogue);
            })
        }
    }
}

/// The same product on the same data, without what selvedge does in its epilogue.
fn open_rival(rival: Rival, layout: Layout, shape: Shape) -> Runner {
    let Operands { a, b, mut c, a_region, b_region, c_region } = Operands::new(layout, shape);
    repeat(move || {
        let (a, b) = (Operand::new(a_region.of(black_box(a.get()))), Operand::new(b_region.of(black_box(b.get()))));
        multiply(rival, if layout == Layout::Transposed { a.transposed() } else { a }, b, c_region.of_mut(c.get_mut()));
    })
}
