//! Dropout, alpha dropout and the random numbers that they take.

use super::operands::Operands;
use super::support::isas::isas;
use arbitrary::Result;
use selvedge::kernels::dropout::{
    AlphaDropout, Combine, Dropout, alpha_dropout_backward, alpha_dropout_forward, dropout_backward, dropout_forward, dropout_mask,
};
use selvedge::kernels::rng::{Stream, uniform};
use selvedge::reference::dropout as twin;
use selvedge::reference::rng;
use selvedge::simd::LANES;

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(|mut operands| case(&mut operands));
}

fn rate(operands: &mut Operands<'_>) -> Result<f64> {
    Ok(match operands.up_to(3)? {
        0 => f64::from_bits(operands.word()?),
        1 => [0.0, 1.0, -0.0, 0.5][operands.up_to(3)?],
        _ => operands.share()?,
    })
}

/// Any stream, as random numbers are made for.
pub(crate) fn stream(operands: &mut Operands<'_>) -> Result<Stream> {
    let [seed, words, first_row] = [operands.word()?, operands.word()?, operands.word()?];
    Ok(Stream { seed, step: words as u32, layer: (words >> 32) as u32, first_row: first_row as u32 })
}

/// A mask without bits beyond the last column: all of the others, or any of them.
fn mask(operands: &mut Operands<'_>, (m, n): (usize, usize)) -> Result<(Vec<u16>, Vec<u16>)> {
    let words = n.div_ceil(LANES);
    let mut some = operands.words(m * words)?;
    let mut all = vec![u16::MAX; m * words];
    if !n.is_multiple_of(LANES) {
        for mask in [&mut some, &mut all] {
            for last in mask.iter_mut().skip(words - 1).step_by(words) {
                *last &= (1 << (n % LANES)) - 1;
            }
        }
    }
    Ok((all, some))
}

fn case(operands: &mut Operands<'_>) -> Result<()> {
    let (m, n) = (operands.up_to(5)?, operands.length(200)?);
    let (rate, stream) = (rate(operands)?, stream(operands)?);
    let x = operands.matrix((m, n))?;
    let (all, some) = mask(operands, (m, n))?;

    let dropout = Dropout::new(rate);
    assert_eq!(dropout.is_ok(), (0.0..=1.0).contains(&rate), "a rate of {rate}");
    let alpha = AlphaDropout::new(rate);
    assert_eq!(alpha.is_ok(), (0.0..1.0).contains(&rate), "a rate of {rate}");

    for isa in isas() {
        let case = format_args!("{isa}, {m} x {n}, rate {rate}, {stream:?}");
        if let Ok(dropout) = &dropout {
            for (combine, before) in [(Combine::Replace, &all), (Combine::And, &some)] {
                let (mut found, mut expected) = (operands.make(&x), x.twin());
                // What is replaced may be anything.
                let given = if combine == Combine::And { &some } else { &vec![0xa5a5; some.len()] };
                let (mut found_mask, mut expected_mask) = (operands.placed(given), before.clone());
                dropout_forward(isa, *dropout, stream, found.as_mut(), &mut found_mask, combine);
                twin::dropout_forward(*dropout, stream, expected.as_mut(), &mut expected_mask);
                found.assert_same(&expected, &format_args!("{case}, {combine:?}"));
                assert_eq!(found_mask[..], expected_mask[..], "{case}, {combine:?}: mask");

                let mut alone = operands.placed(given);
                dropout_mask(isa, *dropout, stream, n, &mut alone, combine);
                assert_eq!(alone[..], expected_mask[..], "{case}, {combine:?}: the mask alone");
            }
            let (mut found, mut expected) = (operands.make(&x), x.twin());
            dropout_backward(isa, *dropout, &operands.placed(&some), found.as_mut());
            twin::masked_scale(dropout.scale(), &some, expected.as_mut());
            found.assert_same(&expected, &format_args!("{case}, backward"));
        }
        if let Ok(alpha) = &alpha {
            let (mut found, mut expected) = (operands.make(&x), x.twin());
            let mut found_mask = operands.placed(&vec![0xa5a5; some.len()]);
            alpha_dropout_forward(isa, *alpha, stream, found.as_mut(), &mut found_mask);
            twin::alpha_dropout_forward(isa, *alpha, stream, expected.as_mut());
            found.assert_same(&expected, &format_args!("{case}, alpha"));
            for i in 0..m {
                for j in 0..n {
                    assert_eq!(twin::bit(&found_mask, n, i, j), twin::keeps(rate, stream, i, j), "{case}, alpha: bit {i}, {j}");
                }
            }
            let (mut found, mut expected) = (operands.make(&x), x.twin());
            alpha_dropout_backward(isa, *alpha, &operands.placed(&some), found.as_mut());
            twin::masked_scale(alpha.scale(), &some, expected.as_mut());
            found.assert_same(&expected, &format_args!("{case}, alpha backward"));
        }
        let mut found = operands.make(&x);
        uniform(isa, stream, found.as_mut());
        found.assert_padding_untouched(&case);
        for i in 0..m {
            for (j, found) in found.row(i).iter().enumerate() {
                assert_eq!(found.to_bits(), rng::uniform(stream, i, j).to_bits(), "{case}: random number {i}, {j}");
            }
        }
    }
    Ok(())
}
