//! Random numbers that only a change of this file can change.
//!
//! The raw bits come from PCG64 (`XSL RR 128/64`, O'Neill 2014), whose definition is fixed. What libraries do change between versions,
//! how a seed becomes a state and how bits become bounded integers, is written out here.

use rand_pcg::{Pcg64, rand_core::Rng};

/// PCG's default stream.
const STREAM: u128 = 0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf96;

/// What a sequence is for, so that one seed gives unrelated sequences to unrelated things.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// The order of rows in an epoch.
    Order = 1,
    /// The choice of rows for validation.
    Split = 2,
    /// The drawing of a synthetic row.
    Garment = 3,
    /// The shuffled classes of synthetic rows.
    GarmentClass = 4,
    /// A row of Friedman's regression.
    Friedman = 5,
    /// The hyper-parameters of a trial.
    Trial = 6,
    /// Which rows make up which fold.
    Folds = 7,
}

/// The sequence of random numbers number `index` of a seed.
pub(crate) struct Random(Pcg64);

impl Random {
    /// Two pairs `(seed, index)` never share a state: `mix` is a bijection.
    pub(crate) fn new(purpose: Purpose, seed: u64, index: u64) -> Self {
        let high = mix(mix(seed) ^ purpose as u64);
        let low = mix(high ^ index);
        Self(Pcg64::new((u128::from(high) << 64) | u128::from(low), STREAM))
    }

    /// A uniform integer below `bound`, without bias: the high half of `bits * bound`, drawn again in the few cases where the low half
    /// shows that this value would come up once too often (Lemire 2019, "Fast random integer generation in an interval").
    ///
    /// `bound` must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let too_often = bound.wrapping_neg() % bound; // 2^64 mod bound
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= too_often {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform number in `[0, 1)`, a multiple of 2^-24.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    /// A uniform number in `[0, 1)`, a multiple of 2^-53.
    pub(crate) fn fine_unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A uniform number between `low` and `high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with the given probability.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Puts a slice in random order: Fisher and Yates' shuffle, in Durstenfeld's form, from the last element down.
    pub(crate) fn shuffle(&mut self, slice: &mut [u32]) {
        for i in (1..slice.len()).rev() {
            slice.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood 2014) after one step: a bijection that spreads every bit over all.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published first output of SplitMix64 for seed 0.
    #[test]
    fn mix_is_splitmix64() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn below_is_uniform_and_in_range() {
        let mut random = Random::new(Purpose::Order, 1, 2);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[random.below(7) as usize] += 1;
        }
        // Five standard deviations of a binomial count.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 470), "{counts:?}");
    }

    /// With a bound just above half the range nearly every second draw has to be repeated; without that the low half of the results would
    /// come up twice as often.
    #[test]
    fn below_repeats_biased_draws() {
        let bound = (1_u64 << 63) + (1 << 62); // 3/4 of the range: plain scaling would hit multiples of 3 (mod 3 == 0) twice as often
        let mut random = Random::new(Purpose::Order, 3, 4);
        let mut counts = [0_u32; 3];
        for _ in 0..30_000 {
            counts[(random.below(bound) % 3) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 410), "{counts:?}");
    }

    #[test]
    fn unit_covers_the_half_open_interval() {
        let mut random = Random::new(Purpose::Garment, 0, 0);
        let draws: Vec<f32> = (0..10_000).map(|_| random.unit()).collect();
        assert!(draws.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = draws.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
    }
}
