//! Random numbers that are a function of their place: Philox4x32-10.
//!
//! | kernel | formula | writes |
//! |---|---|---|
//! | [`uniform`] | `y[i][j] = floor(word(i, j) / 2^8) / 2^24` | `=` |
//!
//! Philox (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011) turns a counter of four words and a key of
//! two into four random words, in ten rounds of multiplications. There is no state, so a number depends on its place only and not
//! on threads, on the batch's split, on leading dimensions or on the instruction set:
//!
//! | word | holds |
//! |---|---|
//! | key 0, 1 | the lower and the upper half of [`Stream::seed`] |
//! | counter 0 | the block of columns: `16 (j / 64) + j % 16` |
//! | counter 1 | the row in the minibatch: [`Stream::first_row`]` + i` |
//! | counter 2 | [`Stream::step`] |
//! | counter 3 | [`Stream::layer`] |
//!
//! Of the four resulting words, column `j` takes number `j / 16 % 4`: sixteen counters yield four vectors, each for sixteen
//! neighbouring columns.
//!
//! Dropout compares sixteen bits of an element with its rate, but eight decide of nearly all elements. So an element has a byte of its own, and
//! below it one that it shares with the three that are 16, 32 and 48 columns from it, among the same 64: the exclusive or of the own bytes of all
//! four. What becomes of any two elements of a layer is independent, but of two of those four: there the covariance is at most 2^-18, since a
//! lower byte decides nothing unless the upper one equals that of the rate.
//!
//! A counter then serves two rows of eight columns:
//!
//! | | holds |
//! |---|---|
//! | counter 0 | the block of columns: `8 (j / 64) + j % 16 / 2` |
//! | counter 1 | the pair of rows: `(`[`Stream::first_row`]` + i) / 2` |
//! | own byte of an element | in word `j / 16 % 4` the byte `2 (j % 2) + (first_row + i) % 2`, from the lowest on |
//!
//! In both bytes the highest bit counts as inverted: a processor compares signed numbers.

use super::matrix::MatMut;
use crate::simd::{Isa, LANES, Simd, SimdOp, unroll};

/// The columns that take their words from the same counters.
pub(crate) const GROUP: usize = 4 * LANES;

pub(crate) const ROUNDS: usize = 10;
/// The multipliers of the first and the third word of the counter.
pub(crate) const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What is added to the key from round to round: the golden ratio, and the square root of 3 minus 1.
pub(crate) const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Which random numbers: those of one layer in one step of one training, and which rows of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The user's seed.
    pub seed: u64,
    /// The number of the step, or of the pass over the network.
    pub step: u32,
    /// The number of the layer.
    pub layer: u32,
    /// Which row of the minibatch row 0 of the matrix is.
    pub first_row: u32,
}

impl Stream {
    pub(crate) fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }
}

/// The keys of all rounds. A vector takes each from memory, where to work it out would cost a round a fifth of its time.
type Keys = [[u32; 2]; ROUNDS];

fn keys([mut first, mut second]: [u32; 2]) -> Keys {
    let mut keys = [[0; 2]; ROUNDS];
    for key in &mut keys {
        *key = [first, second];
        (first, second) = (first.wrapping_add(KEY_STEPS[0]), second.wrapping_add(KEY_STEPS[1]));
    }
    keys
}

/// A [`Stream`] to draw from.
#[derive(Clone, Copy)]
pub(super) struct Generator {
    stream: Stream,
    keys: Keys,
    /// The step's product in the first round, which is that of all counters.
    of_step: [u32; 2],
}

impl From<Stream> for Generator {
    fn from(stream: Stream) -> Self {
        Self { stream, keys: keys(stream.key()), of_step: mul_u32(stream.step, MULTIPLIERS[1]) }
    }
}

/// One round for eight counters, which lie in the even lanes. What the odd ones hold does not matter, before and after.
#[inline(always)]
fn round<S: Simd>(simd: S, [a, b, c, d]: [S::I32; 4], key: &[u32; 2]) -> [S::I32; 4] {
    let (of_a, of_c) = (simd.mul_even_u32(a, MULTIPLIERS[0]), simd.mul_even_u32(c, MULTIPLIERS[1]));
    let a = simd.xor_i32(simd.xor_i32(simd.odd_to_even(of_c), b), splat(simd, key[0]));
    let c = simd.xor_i32(simd.xor_i32(simd.odd_to_even(of_a), d), splat(simd, key[1]));
    [a, of_c, c, of_a]
}

#[inline(always)]
fn splat<S: Simd>(simd: S, word: u32) -> S::I32 {
    simd.splat_i32(word as i32)
}

/// The lower and the upper word of a product.
#[inline(always)]
fn mul_u32(a: u32, b: u32) -> [u32; 2] {
    let product = u64::from(a) * u64::from(b);
    [product as u32, (product >> 32) as u32]
}

/// Eight blocks of columns, in the even lanes, and what the first rounds make of them for whatever row.
///
/// A round multiplies the first and the third word, so block and row, the first and the second, meet in the third round only. Until then
/// some words depend on the block alone, some on the row alone, and one is a word of the one kind in exclusive or with one of the other.
#[derive(Clone, Copy)]
pub(super) struct Blocks<S: Simd> {
    /// Of the third word after two rounds what depends on the block alone.
    third: S::I32,
    /// The same of the words after three rounds, but for the second, of which nothing does.
    next: [S::I32; 3],
}

impl Generator {
    #[inline(always)]
    fn blocks<S: Simd>(&self, simd: S, blocks: S::I32) -> Blocks<S> {
        let Self { stream: Stream { layer, .. }, keys, of_step } = self;
        let of_block = simd.mul_even_u32(blocks, MULTIPLIERS[0]);
        let third = simd.xor_i32(simd.odd_to_even(of_block), splat(simd, layer ^ keys[0][1]));
        let of_third = simd.mul_even_u32(third, MULTIPLIERS[1]);
        let first = simd.xor_i32(simd.odd_to_even(of_third), splat(simd, of_step[0] ^ keys[1][0]));
        let of_first = simd.mul_even_u32(first, MULTIPLIERS[0]);
        let next_first = simd.xor_i32(of_third, splat(simd, keys[2][0]));
        let next_third = simd.xor_i32(simd.odd_to_even(of_first), splat(simd, keys[2][1]));
        Blocks { third: of_block, next: [next_first, next_third, of_first] }
    }

    /// The words of the blocks for a second word of the counters, in the even lanes.
    #[inline(always)]
    fn words<S: Simd>(&self, simd: S, blocks: &Blocks<S>, row: u32) -> [S::I32; 4] {
        let Self { keys, of_step, .. } = self;
        let of_row = mul_u32(of_step[1] ^ row ^ keys[0][0], MULTIPLIERS[0]);
        let third = simd.xor_i32(blocks.third, splat(simd, of_row[1] ^ keys[1][1]));
        let of_third = simd.mul_even_u32(third, MULTIPLIERS[1]);
        let [first, third, fourth] = blocks.next;
        let first = simd.xor_i32(simd.odd_to_even(of_third), first);
        let mut words = [first, of_third, simd.xor_i32(third, splat(simd, of_row[0])), fourth];
        for key in &keys[3..] {
            words = round(simd, words, key);
        }
        words
    }

    /// The row in the minibatch of row `i` of the matrix.
    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> u32 {
        self.stream.first_row.wrapping_add(i as u32)
    }

    /// The blocks of the columns `64 group .. 64 group + 64`, for [`Self::draws`].
    #[inline(always)]
    pub(super) fn blocks_of_draws<S: Simd>(&self, simd: S, group: usize) -> Blocks<S> {
        self.blocks(simd, lane_numbers::<S, 2>(simd, group * LANES / 2))
    }

    /// Draws for the columns of the blocks in a row of the minibatch, and in the one with which it makes a pair.
    #[inline(always)]
    pub(super) fn draws<S: Simd>(&self, simd: S, blocks: &Blocks<S>, row: u32) -> Draws<S> {
        let words = self.words(simd, blocks, row / 2);
        let shared = simd.xor_i32(simd.xor_i32(words[0], words[1]), simd.xor_i32(words[2], words[3]));
        Draws { words, shared }
    }
}

/// Sixteen random bits for each element of 64 columns of an even row and of the odd one behind it.
#[derive(Clone, Copy)]
pub(super) struct Draws<S: Simd> {
    /// The own bytes of two rows and two neighbouring columns in each even lane.
    words: [S::I32; 4],
    /// The bytes that four elements share.
    shared: S::I32,
}

impl<S: Simd> Draws<S> {
    /// Where the draws of the even or the odd row are below a number from 0 to 2^16.
    #[inline(always)]
    pub(super) fn below<const ODD: usize>(&self, simd: S, number: u32) -> [S::Mask; 4] {
        // The highest byte of a lane as a signed number. None is as large as the largest of all, which stands for a limit that all are below.
        let limit = |byte: u32| ((i64::from(byte) - 128) << 24).min(i64::from(i32::MAX)) as i32;
        // Where the lower byte is below that of the number, an upper byte may be one larger.
        let (upper, lower) = (number >> 8, number & 0xff);
        let is_below = simd.lt_i32(simd.top_bytes::<ODD>(self.shared), simd.splat_i32(limit(lower)));
        let [next, upper] = [upper + 1, upper].map(|byte| simd.from_bits(simd.splat_i32(limit(byte))));
        let limits = simd.to_bits(simd.select(is_below, next, upper));
        let mut below = [is_below; 4];
        unroll!(4, k => below[k] = simd.lt_i32(simd.top_bytes::<ODD>(self.words[k]), limits));
        below
    }
}

/// The integers from 0 to 15, each divided by `BY`, plus `first`.
#[inline(always)]
fn lane_numbers<S: Simd, const BY: usize>(simd: S, first: usize) -> S::I32 {
    // As bits of floating-point numbers.
    let numbers = const {
        let mut numbers = [0.0; LANES];
        let mut lane = 0;
        while lane < LANES {
            numbers[lane] = f32::from_bits((lane / BY) as u32);
            lane += 1;
        }
        numbers
    };
    simd.add_i32(simd.to_bits(simd.load(&numbers)), simd.splat_i32(first as i32))
}

/// Uniform random numbers from 0 to below 1, multiples of `2^-24`.
///
/// # Shapes
/// `y: [m, n]`.
pub fn uniform(isa: Isa, stream: Stream, y: MatMut<'_>) {
    isa.run(Uniform { generator: stream.into(), y });
}

struct Uniform<'a> {
    generator: Generator,
    y: MatMut<'a>,
}

impl SimdOp for Uniform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let low_bits = simd.splat_i32(0x00ff_ffff);
        let unit = simd.splat(1.0 / 16_777_216.0);
        let (columns, y) = (self.y.columns(), &mut self.y);
        for first in (0..columns).step_by(GROUP) {
            let even = lane_numbers::<S, 1>(simd, first / 4);
            let [even, odd] = [even, simd.odd_to_even(even)].map(|blocks| self.generator.blocks(simd, blocks));
            for i in 0..y.rows() {
                let [even, odd] = [&even, &odd].map(|blocks| self.generator.words(simd, blocks, self.generator.row(i)));
                let chunks = y.row_mut(i)[first..].chunks_mut(LANES);
                for ((even, odd), chunk) in even.into_iter().zip(odd).zip(chunks) {
                    let (even, odd) = (simd.from_bits(even), simd.from_bits(simd.even_to_odd(odd)));
                    let word = simd.to_bits(simd.select(simd.mask_from_bits(0x5555), even, odd));
                    let integer = simd.and_i32(simd.shift_right::<8>(word), low_bits);
                    simd.store_first(simd.mul(simd.to_f32(integer), unit), chunk);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::rng as reference;
    use std::vec;

    /// The counters and keys for which the authors of Philox publish results, with those results.
    const KNOWN: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];

    struct Philox {
        counter: [u32; 4],
        key: [u32; 2],
    }
    impl SimdOp for Philox {
        type Output = [[u32; LANES]; 4];
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [[u32; LANES]; 4] {
            let [block, row, step, layer] = self.counter;
            let seed = u64::from(self.key[0]) | u64::from(self.key[1]) << 32;
            let generator = Generator::from(Stream { seed, step, layer, first_row: 0 });
            let words = generator.words(simd, &generator.blocks(simd, splat(simd, block)), row);
            words.map(|words| simd.to_array(simd.from_bits(words)).map(f32::to_bits))
        }
    }

    #[test]
    fn known_answers() {
        for (counter, key, expected) in KNOWN {
            assert_eq!(reference::philox(counter, key), expected);
            for isa in Isa::available() {
                for (words, expected) in isa.run(Philox { counter, key }).iter().zip(expected) {
                    assert!(words.iter().step_by(2).all(|&word| word == expected), "{isa}: {words:x?}, expected {expected:x}");
                }
            }
        }
    }

    #[test]
    fn integer_operations_are_those_of_one_number() {
        const SOME: u16 = 0x5a01;
        struct Integers {
            a: [u32; LANES],
            b: u32,
        }
        impl SimdOp for Integers {
            type Output = ([[u32; LANES]; 5], [u16; 2]);
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) -> Self::Output {
                let a = simd.to_bits(simd.load(&self.a.map(f32::from_bits)));
                let [of_even, of_odd] = [simd.top_bytes::<0>(a), simd.top_bytes::<1>(a)];
                let results = [simd.mul_even_u32(a, self.b), simd.odd_to_even(a), simd.even_to_odd(a), of_even, of_odd];
                let below = simd.lt_i32(a, simd.splat_i32(self.b as i32));
                let or_some = simd.either(below, simd.mask_from_bits(SOME));
                let masks = [simd.mask_to_bits(below), simd.mask_to_bits(or_some)];
                (results.map(|x| simd.to_array(simd.from_bits(x)).map(f32::to_bits)), masks)
            }
        }
        let interesting =
            [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, 0xffff_ffff, MULTIPLIERS[0], MULTIPLIERS[1], 0x1234_5678];
        for (shift, &b) in interesting.iter().enumerate() {
            let a: [u32; LANES] = core::array::from_fn(|i| interesting[(i + shift) % interesting.len()]);
            // What becomes of an even lane and of the odd one behind it.
            let pairs = |f: fn(u32, u32, u32) -> [u32; 2]| core::array::from_fn(|i| f(a[i & !1], a[i | 1], b)[i % 2]);
            let expected = [
                pairs(|even, _, b| {
                    let product = u64::from(even) * u64::from(b);
                    [product as u32, (product >> 32) as u32]
                }),
                pairs(|_, odd, _| [odd, 0]),
                pairs(|even, _, _| [0, even]),
                pairs(|even, _, _| [even << 24, even >> 16 << 24]),
                pairs(|even, _, _| [even >> 8 << 24, even >> 24 << 24]),
            ];
            let below = (0..LANES).fold(0, |bits, i| bits | u16::from((a[i] as i32) < b as i32) << i);
            for isa in Isa::available() {
                assert_eq!(isa.run(Integers { a, b }), (expected, [below, below | SOME]), "{isa} {b:x}");
            }
        }
    }

    #[test]
    fn numbers_equal_their_twin_wherever_the_matrix_lies() {
        let stream = Stream { seed: 0x0123_4567_89ab_cdef, step: 3, layer: 2, first_row: u32::MAX - 1 };
        for isa in Isa::available() {
            for columns in [0, 1, 15, 16, 17, 63, 64, 65, 130] {
                for padding in [0, 5] {
                    let (rows, ld) = (4, columns + padding);
                    let mut y = vec![f32::NAN; rows * ld];
                    uniform(isa, stream, MatMut::new(&mut y, rows, columns, ld));
                    for i in 0..rows {
                        for j in 0..ld {
                            let found = y[i * ld + j];
                            if j >= columns {
                                assert!(found.is_nan(), "padding");
                            } else {
                                assert_eq!(found, reference::uniform(stream, i, j), "{isa} {columns} {i} {j}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_part_of_a_stream_changes_the_numbers() {
        let stream = Stream { seed: 1, step: 1, layer: 1, first_row: 1 };
        let numbers = |stream| {
            let mut y = [0.0; 128];
            uniform(Isa::detect(), stream, MatMut::new(&mut y, 1, 128, 128));
            y
        };
        let others = [
            Stream { seed: 2, ..stream },
            Stream { seed: 1 | 1 << 32, ..stream },
            Stream { step: 2, ..stream },
            Stream { layer: 2, ..stream },
            Stream { first_row: 2, ..stream },
        ];
        for other in others {
            let equal = numbers(stream).iter().zip(numbers(other)).filter(|(a, b)| **a == *b).count();
            assert!(equal <= 1, "{other:?}: {equal} equal numbers");
        }
    }
}
