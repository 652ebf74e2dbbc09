//! Products of both kinds, in blocks, with every epilogue.

use super::dropout::stream;
use super::operands::Operands;
use super::support::buffer::Buffer;
use super::support::ends::{OfRows, OfWeights, biased_relu, relu_backward, updated_by_row};
use super::support::factors::Factors;
use super::support::isas::isas;
use super::support::matrix::{Layout, Matrix};
use arbitrary::Result;
use selvedge::kernels::dropout::Dropout;
use selvedge::kernels::fused::BiasedReluDropout;
use selvedge::kernels::gemm::{Accumulated, Biased, BiasedRelu, Either, ReluBackward, Stored, Updated, UpdatedByRow};
use selvedge::kernels::optimizers::{ByRow, Momentum, MomentumKind};
use selvedge::reference;
use selvedge::simd::LANES;

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| case(&mut operands));
}

/// What an epilogue reads and writes.
struct Outputs {
    c: Matrix,
    velocity: Matrix,
    mask: Buffer<u16>,
}

fn case(operands: &mut Operands<'_>) -> Result<()> {
    // Tiles are up to 4 vectors wide, and panels of them lie side by side.
    let (m, n, k) = (operands.up_to(30)?, operands.length(150)?, operands.up_to(20)?);
    let kind = operands.up_to(8)?;
    let by_rows = operands.flag()?;
    let (a, b, first);
    if by_rows {
        first = 0;
        a = operands.matrix((m, k))?;
        b = operands.matrix((k, n))?;
    } else {
        first = operands.up_to(3)?;
        let behind = operands.up_to(3)?;
        let rows_per_block = operands.up_to(k)? + 1;
        let mut layout = || Ok(Layout { padding: operands.up_to(17)?, rows_per_block, gap: operands.up_to(17)? });
        let (a_layout, b_layout) = (layout()?, layout()?);
        a = operands.matrix_in((k, first + m + behind), a_layout)?;
        b = operands.matrix_in((k, n), b_layout)?;
    }
    let (a, b) = (operands.make(&a), operands.make(&b));
    let factors = match by_rows {
        true => Factors::Rows(a.as_ref(), b.as_ref()),
        false => Factors::Columns(a.as_blocks(), (first, m), b.as_blocks()),
    };

    let padding = Layout::padded(operands.up_to(17)?);
    let (c, velocity) = (operands.matrix_in((m, n), padding)?, operands.matrix_in((m, n), padding)?);
    // None every fourth time.
    let bias_len = if operands.up_to(3)? == 0 { 0 } else { n };
    let bias = operands.vector(bias_len)?;
    let mask = operands.words(m * n.div_ceil(LANES))?;
    let rule = Momentum { learning_rate: operands.number()?, momentum: operands.number()?, kind: MomentumKind::Nesterov };
    let dropout = Dropout::new(operands.share()?).unwrap_or(Dropout::NONE);
    let stream = stream(operands)?;

    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n} x {k} by rows {by_rows}, epilogue {kind}, {rule:?}, {dropout:?}, {stream:?}");
        let mut found = Outputs { c: operands.make(&c), velocity: operands.make(&velocity), mask: operands.placed(&mask) };
        let mut expected = Outputs { c: c.twin(), velocity: velocity.twin(), mask: operands.placed(&mask) };
        let leading_dimension = found.c.leading_dimension();
        match kind {
            0 => {
                factors.multiply(isa, &mut OfWeights::Right(Either::Left(Stored { c: found.c.as_mut() })));
                factors.multiply_naively(isa, &mut Stored { c: expected.c.as_mut() });
            }
            1 => {
                factors.multiply(isa, &mut Accumulated { c: found.c.as_mut() });
                factors.multiply_naively(isa, &mut Accumulated { c: expected.c.as_mut() });
            }
            2 => {
                factors.multiply(isa, &mut OfRows::Left(Biased { bias: &bias, c: found.c.as_mut() }));
                factors.multiply_naively(isa, &mut Biased { bias: &bias, c: expected.c.as_mut() });
            }
            3 => {
                factors.multiply(isa, &mut biased_relu(&bias, found.c.as_mut(), &mut found.mask));
                factors.multiply_naively(isa, &mut BiasedRelu { bias: &bias, c: expected.c.as_mut(), mask: &mut expected.mask });
            }
            4 => {
                factors.multiply(isa, &mut biased_relu(&bias, found.c.as_mut(), &mut []));
                factors.multiply_naively(isa, &mut BiasedRelu { bias: &bias, c: expected.c.as_mut(), mask: &mut [] });
            }
            5 => {
                let Outputs { c, mask, .. } = &mut found;
                factors.multiply(isa, &mut BiasedReluDropout { bias: &bias, dropout, stream, c: c.as_mut(), mask });
                let Outputs { c, mask, .. } = &mut expected;
                factors.multiply_naively(isa, &mut BiasedRelu { bias: &bias, c: c.as_mut(), mask });
                reference::dropout::dropout_forward(dropout, stream, c.as_mut(), mask);
            }
            8 => {
                factors.multiply(isa, &mut relu_backward(&found.mask, found.c.as_mut()));
                factors.multiply_naively(isa, &mut ReluBackward { mask: &expected.mask, c: expected.c.as_mut() });
            }
            _ => {
                let Outputs { c, velocity, .. } = &mut found;
                let parameters = [c.data_mut(), velocity.data_mut()];
                if kind == 6 {
                    factors.multiply(isa, &mut Updated { rule, parameters, leading_dimension });
                } else {
                    let [w, v] = parameters;
                    let by_row = ByRow(rule);
                    let parameters = [w, v, &mut [], &mut []];
                    let end = UpdatedByRow { isa, rule: &by_row, parameters, leading_dimension };
                    factors.multiply(isa, &mut updated_by_row(end));
                }
                let Outputs { c, velocity, .. } = &mut expected;
                let parameters = [c.data_mut(), velocity.data_mut()];
                factors.multiply_naively(isa, &mut Updated { rule, parameters, leading_dimension });
            }
        }
        found.c.assert_same(&expected.c, &format_args!("{case}: C"));
        found.velocity.assert_same(&expected.velocity, &format_args!("{case}: velocity"));
        assert_eq!(found.mask[..], expected.mask[..], "{case}: mask");
    }
    Ok(())
}
