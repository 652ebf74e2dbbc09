//! How many elements dropout keeps, over very many.

use crate::support::isas::isas;
use selvedge::kernels::dropout::{Combine, Dropout, dropout_mask};
use selvedge::kernels::rng::Stream;
use selvedge::simd::Isa;

/// Rows and columns of the masks.
const ROWS: usize = 1000;
const COLUMNS: usize = 1024;

/// Elements kept at a rate, over `steps` masks.
fn kept(isa: Isa, rate: f64, steps: u32) -> u64 {
    let dropout = Dropout::new(rate).expect("a rate");
    let mut mask = vec![0u16; ROWS * COLUMNS / 16];
    let mut kept = 0;
    for step in 0..steps {
        let stream = Stream { seed: 20_261_123, step, layer: 3, first_row: 0 };
        dropout_mask(isa, dropout, stream, COLUMNS, &mut mask, Combine::Replace);
        kept += mask.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    }
    kept
}

/// The distance of what is kept from what should be, in standard deviations of a binomial distribution.
fn sigmas(isa: Isa, rate: f64, steps: u32) -> f64 {
    let draws = f64::from(steps) * (ROWS * COLUMNS) as f64;
    (kept(isa, rate, steps) as f64 - draws * (1.0 - rate)) / (draws * rate * (1.0 - rate)).sqrt()
}

#[test]
fn keep_rates_over_a_million_draws() {
    for isa in isas() {
        for rate in 1..=9 {
            let rate = f64::from(rate) / 10.0;
            let off = sigmas(isa, rate, 1);
            assert!(off.abs() < 4.0, "{isa}, rate {rate}: {off} standard deviations");
        }
    }
    // The measure is sharp: a rate that is wrong by half a percent is seen.
    let wrong = (kept(Isa::detect(), 0.305, 1) as f64 - 0.7 * 1_024_000.0) / (1_024_000.0 * 0.21f64).sqrt();
    assert!(wrong.abs() > 4.0, "{wrong}");
}

/// Some seconds: `cargo test --release --test kernels -- --ignored --nocapture keep_rates`.
#[test]
#[ignore = "takes some seconds in a release build, minutes in another"]
#[allow(clippy::print_stdout, reason = "a long run says what it has found")]
fn keep_rates_over_a_billion_draws() {
    for rate in 1..=9 {
        let rate = f64::from(rate) / 10.0;
        let off = sigmas(Isa::detect(), rate, 977);
        println!("rate {rate}: {off:+.2} standard deviations from the truth over {} draws", 977 * ROWS * COLUMNS);
        assert!(off.abs() < 4.0, "rate {rate}: {off} standard deviations");
    }
}
