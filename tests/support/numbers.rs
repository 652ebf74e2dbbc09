//! Random operands.

use fastrand::Rng;

/// A signalling NaN: what lies in all padding. Any arithmetic on it gives NaN, and copied it is recognized by its bits.
pub(crate) const POISON: f32 = f32::from_bits(0x7fa0_0001);

/// Numbers that are treated wrongly first.
pub(crate) const SPECIAL: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    f32::from_bits(1),
    -f32::from_bits(1),
    f32::from_bits(0x007f_ffff),
    f32::MAX,
    f32::MIN,
    f32::EPSILON,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    -f32::NAN,
];

/// A kind of random numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    /// Between -1 and 1.
    Real,
    /// The same, with a special number here and there.
    Wild,
}

impl Numbers {
    pub(crate) fn next(self, rng: &mut Rng) -> f32 {
        match self {
            Self::Wild if rng.u8(..) < 16 => SPECIAL[rng.usize(..SPECIAL.len())],
            _ => rng.f32() * 2.0 - 1.0,
        }
    }

    pub(crate) fn vec(self, rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next(rng)).collect()
    }
}
