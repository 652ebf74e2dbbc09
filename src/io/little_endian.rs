//! Slices of `f32` as bytes, little-endian on every machine, every bit of a NaN included.

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
