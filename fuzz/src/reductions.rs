//! Sums, means, norms, and what is largest or not finite.

use super::operands::Operands;
use super::support::bits::assert_same;
use super::support::buffer::Buffer;
use super::support::isas::isas;
use super::support::matrix::Layout;
use super::support::numbers::POISON;
use arbitrary::Result;
use selvedge::kernels::clipping::{sum_of_magnitudes, sum_of_squares, sums_of_magnitudes, sums_of_squares};
use selvedge::kernels::optimizers::{Momentum, MomentumKind};
use selvedge::kernels::reduce::{MICRO_SHARD, argmax, column_sums, column_sums_into, first_non_finite, mean_and_variance, sum};
use selvedge::reference::{clipping, reduce};

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| match operands.up_to(2)? {
        0 => columns(&mut operands),
        1 => rows(&mut operands),
        _ => slices(&mut operands),
    });
}

fn columns(operands: &mut Operands<'_>) -> Result<()> {
    let (rows, before, n, behind) = (operands.length(90)?, operands.up_to(3)?, operands.length(50)?, operands.up_to(3)?);
    let layout = Layout { padding: operands.up_to(17)?, rows_per_block: operands.up_to(rows)? + 1, gap: operands.up_to(17)? };
    let x = operands.matrix_in((rows, before + n + behind), layout)?;
    let x = operands.make(&x);
    let rule = Momentum { learning_rate: operands.number()?, momentum: operands.number()?, kind: MomentumKind::Classic };
    let parameters = [operands.numbers(n)?, operands.numbers(n)?];
    for isa in isas() {
        let case = format_args!("{isa}, {rows} x {n} behind {before} columns, {layout:?}, {rule:?}");
        let poison = vec![POISON; before + n + behind];
        let (mut found, mut expected) = (operands.placed(&poison), poison);
        column_sums(isa, x.as_blocks(), &mut found);
        reduce::column_sums(x.as_blocks(), &mut expected);
        assert_same(&found, &expected, &case);

        let mut expected = parameters.clone();
        let mut found: [Buffer<f32>; 2] = parameters.each_ref().map(|slice| operands.placed(slice));
        column_sums_into(isa, x.as_blocks(), before, rule, found.each_mut().map(|slice| &mut **slice));
        let outputs = expected.each_mut().map(|slice| &mut **slice);
        reduce::column_sums_into(isa, x.as_blocks(), before, &rule, outputs);
        for (found, expected) in found.iter().zip(&expected) {
            assert_same(found, expected, &format_args!("{case}: updated"));
        }
    }
    Ok(())
}

fn rows(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = (operands.length(50)?, operands.length(70)?);
    let x = operands.matrix((m, n))?;
    let x = operands.make(&x);
    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n}");
        let (mut found, mut expected) = (operands.placed(&vec![77; m]), vec![77; m]);
        argmax(isa, x.as_ref(), &mut found);
        reduce::argmax(x.as_ref(), &mut expected);
        assert_eq!(found[..], expected[..], "{case}: the largest");

        let mut shards = operands.placed(&vec![POISON; m.div_ceil(MICRO_SHARD)]);
        let expected = clipping::sum_of_squares(isa, x.as_ref());
        sums_of_squares(isa, x.as_ref(), &mut shards);
        let found = [sum_of_squares(isa, x.as_ref()), sum(shards.iter().copied())];
        assert_same(&found, &[expected; 2], &format_args!("{case}: sum of squares"));
        let expected = clipping::sum_of_magnitudes(isa, x.as_ref());
        sums_of_magnitudes(isa, x.as_ref(), &mut shards);
        let found = [sum_of_magnitudes(isa, x.as_ref()), sum(shards.iter().copied())];
        assert_same(&found, &[expected; 2], &format_args!("{case}: sum of magnitudes"));
    }
    Ok(())
}

fn slices(operands: &mut Operands<'_>) -> Result<()> {
    let len = operands.length(2000)?;
    let x = operands.vector(len)?;
    assert_same(&[sum(x.iter().copied())], &[reduce::sum(&x)], &format_args!("the sum of {len}"));
    for isa in isas() {
        let case = format_args!("{isa}, {len}");
        let (found, expected) = (mean_and_variance(isa, &x), reduce::mean_and_variance(isa, &x));
        assert_same(&[found.0, found.1], &[expected.0, expected.1], &case);
        assert_eq!(first_non_finite(isa, &x), reduce::first_non_finite(&x), "{case}");
    }
    Ok(())
}
