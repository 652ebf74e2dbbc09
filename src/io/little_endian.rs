//! Slices of `f32` as bytes, little-endian on every machine, every bit of a NaN included; and the memory for them.

use std::io::{self, Read, Write};

pub(super) fn write_f32s(writer: &mut dyn Write, elements: &[f32]) -> io::Result<()> {
    if cfg!(target_endian = "little") {
        writer.write_all(bytemuck::cast_slice(elements))
    } else {
        elements.iter().try_for_each(|element| writer.write_all(&element.to_le_bytes()))
    }
}

pub(super) fn read_f32s(reader: &mut dyn Read, elements: &mut [f32]) -> io::Result<()> {
    reader.read_exact(bytemuck::cast_slice_mut(elements))?;
    if cfg!(target_endian = "big") {
        for element in elements {
            *element = f32::from_bits(element.to_bits().swap_bytes());
        }
    }
    Ok(())
}

/// So many zeros, or an error if there is no memory for them.
pub(super) fn zeros<T: bytemuck::Zeroable + Clone>(count: u64) -> io::Result<Vec<T>> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(count)?;
    zeros.resize(count, T::zeroed());
    Ok(zeros)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn memory_that_there_is_not_is_an_error() {
        assert_eq!(zeros::<f32>(3).unwrap(), [0.0; 3]);
        for count in [u64::MAX, u64::MAX / 4, 1 << 62] {
            assert_eq!(zeros::<f32>(count).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
