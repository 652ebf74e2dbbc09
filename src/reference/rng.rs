//! [`kernels::rng`](crate::kernels::rng) for one number.

use crate::kernels::rng::{KEY_STEPS, MULTIPLIERS, ROUNDS, Stream};

/// Philox4x32-10.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut words = counter;
    let mut key = key;
    for _ in 0..ROUNDS {
        let [a, c] = [(words[0], MULTIPLIERS[0]), (words[2], MULTIPLIERS[1])].map(|(word, by)| u64::from(word) * u64::from(by));
        words = [(c >> 32) as u32 ^ words[1] ^ key[0], c as u32, (a >> 32) as u32 ^ words[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    words
}

/// The four random words of a block of columns and a row, or a pair of rows.
fn words(stream: Stream, row: u32, block: usize) -> [u32; 4] {
    philox([block as u32, row, stream.step, stream.layer], [stream.seed as u32, (stream.seed >> 32) as u32])
}

/// The random word of row `i` and column `j`.
pub fn word(stream: Stream, i: usize, j: usize) -> u32 {
    words(stream, stream.first_row.wrapping_add(i as u32), 16 * (j / 64) + j % 16)[j / 16 % 4]
}

/// The sixteen random bits of row `i` and column `j`.
pub fn half(stream: Stream, i: usize, j: usize) -> u16 {
    let row = stream.first_row.wrapping_add(i as u32);
    let own = words(stream, row / 2, 8 * (j / 64) + j % 16 / 2).map(|word| word.to_le_bytes()[2 * (j % 2) + row as usize % 2]);
    let shared = own[0] ^ own[1] ^ own[2] ^ own[3];
    u16::from_be_bytes([own[j / 16 % 4], shared].map(|byte| byte ^ 0x80))
}

/// The random number from 0 to below 1 of row `i` and column `j`.
pub fn uniform(stream: Stream, i: usize, j: usize) -> f32 {
    (word(stream, i, j) >> 8) as f32 / 16_777_216.0
}
