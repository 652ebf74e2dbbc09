//! Colours that colour-blind readers can tell apart.

use tiny_skia::Color;

const fn rgb(hex: u32) -> [u8; 3] {
    [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8]
}

/// Okabe and Ito, *Color Universal Design* (2008), without the yellow, which is too pale for a line on white.
const SERIES: [[u8; 3]; 7] =
    [rgb(0x0072B2), rgb(0xD55E00), rgb(0x009E73), rgb(0xCC79A7), rgb(0xE69F00), rgb(0x56B4E9), rgb(0x000000)];

/// Nine evenly spaced colours of viridis (Smith and van der Walt, 2015): lightness grows with the value.
const VIRIDIS: [[u8; 3]; 9] = [
    rgb(0x440154),
    rgb(0x472D7B),
    rgb(0x3B528B),
    rgb(0x2C728E),
    rgb(0x21918C),
    rgb(0x28AE80),
    rgb(0x5EC962),
    rgb(0xADDC30),
    rgb(0xFDE725),
];

/// White to dark blue, after the *Blues* of ColorBrewer.
const BLUES: [[u8; 3]; 5] = [rgb(0xFFFFFF), rgb(0xC6DBEF), rgb(0x6BAED6), rgb(0x2171B5), rgb(0x08306B)];

pub(super) const INK: [u8; 3] = rgb(0x222222);
pub(super) const GRID: [u8; 3] = rgb(0xE2E2E2);
pub(super) const WHITE: [u8; 3] = rgb(0xFFFFFF);
/// For what has no value: NaN on a map.
pub(super) const MISSING: [u8; 3] = rgb(0xB0B0B0);

pub(super) fn opaque([r, g, b]: [u8; 3]) -> Color {
    Color::from_rgba8(r, g, b, 255)
}

/// The colour of series or class number `i`, and how many times the palette was used up before.
pub(super) fn series(i: usize) -> ([u8; 3], usize) {
    (SERIES[i % SERIES.len()], i / SERIES.len())
}

/// `from + (to - from) * share` per channel.
pub(super) fn mix(from: [u8; 3], to: [u8; 3], share: f64) -> [u8; 3] {
    let channel = |i: usize| (f64::from(from[i]) + (f64::from(to[i]) - f64::from(from[i])) * share).round() as u8;
    [channel(0), channel(1), channel(2)]
}

pub(super) fn viridis(share: f64) -> [u8; 3] {
    along(&VIRIDIS, share)
}

pub(super) fn blues(share: f64) -> [u8; 3] {
    along(&BLUES, share)
}

fn along(stops: &[[u8; 3]], share: f64) -> [u8; 3] {
    let position = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    let low = (position as usize).min(stops.len() - 2);
    mix(stops[low], stops[low + 1], position - low as f64)
}
