//! Gathered rows, transposed and merged matrices: copies, of which every bit counts, even of a NaN, and sums.

use super::operands::Operands;
use super::support::isas::isas;
use arbitrary::Result;
use selvedge::kernels::gather::{Scaling, gather, gather_bytes};
use selvedge::kernels::merge;
use selvedge::kernels::transpose::{transpose, transpose_added, transpose_masked};
use selvedge::reference;
use selvedge::simd::LANES;

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| match operands.up_to(2)? {
        0 => gathered(&mut operands),
        1 => transposed(&mut operands),
        _ => merged(&mut operands),
    });
}

fn gathered(operands: &mut Operands<'_>) -> Result<()> {
    let (rows, m, n) = (operands.up_to(9)? + 1, operands.up_to(9)?, operands.length(70)?);
    let x = operands.matrix((rows, n))?;
    let y = operands.target((m, n))?;
    let order: Vec<u32> = (0..m).map(|_| Ok(operands.up_to(rows - 1)? as u32)).collect::<Result<_>>()?;
    let order = operands.placed(&order);
    let bytes: Vec<u8> = operands.words(rows * n)?.into_iter().map(|word| word as u8).collect();
    let bytes = operands.placed(&bytes);
    let scaling = Scaling { scale: operands.number()?, shift: operands.number()? };
    for isa in isas() {
        let (mut found, mut expected) = (operands.make(&y), y.twin());
        gather_bytes(isa, &bytes, &order, scaling, found.as_mut());
        reference::gather::gather_bytes(isa, &bytes, &order, scaling, expected.as_mut());
        found.assert_same(&expected, &format_args!("{isa}, {m} x {n} of {rows}, {scaling:?}"));
        let (x, mut found, mut expected) = (operands.make(&x), operands.make(&y), y.twin());
        gather(isa, x.as_ref(), &order, found.as_mut());
        reference::gather::gather(x.as_ref(), &order, expected.as_mut());
        found.assert_moved(&expected, &format_args!("{isa}, {m} x {n} of {rows}"));
    }
    Ok(())
}

fn transposed(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = (operands.length(70)?, operands.length(70)?);
    let x = operands.matrix((m, n))?;
    let y = operands.target((n, m))?;
    let mask = operands.words(n * m.div_ceil(LANES))?;
    let (x, mask) = (operands.make(&x), operands.placed(&mask));
    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n}");
        let (mut found, mut expected) = (operands.make(&y), y.twin());
        transpose(isa, x.as_ref(), found.as_mut());
        reference::transpose::transpose(x.as_ref(), expected.as_mut());
        found.assert_moved(&expected, &case);
        transpose_masked(isa, x.as_ref(), &mask, found.as_mut());
        reference::transpose::transpose_masked(x.as_ref(), &mask, expected.as_mut());
        found.assert_moved(&expected, &format_args!("{case}, masked"));
        transpose_added(isa, x.as_ref(), found.as_mut());
        reference::transpose::transpose_added(x.as_ref(), expected.as_mut());
        found.assert_same(&expected, &format_args!("{case}, added"));
    }
    Ok(())
}

fn merged(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = (operands.up_to(9)?, operands.length(70)?);
    let (x, y, target) = (operands.matrix((m, n))?, operands.matrix((m, n))?, operands.target((m, n))?);
    let x = operands.make(&x);
    let (mut found, mut expected) = (operands.make(&target), target.twin());
    merge::copy(x.as_ref(), found.as_mut());
    reference::merge::copy(x.as_ref(), expected.as_mut());
    found.assert_moved(&expected, &format_args!("{m} x {n}, copied"));
    for isa in isas() {
        let (mut found, mut expected) = (operands.make(&y), y.twin());
        merge::add(isa, x.as_ref(), found.as_mut());
        reference::merge::add(x.as_ref(), expected.as_mut());
        found.assert_same(&expected, &format_args!("{isa}, {m} x {n}, added"));
    }
    Ok(())
}
