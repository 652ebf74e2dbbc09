//! IDX files: what is read is what a parser says that was written from the table of the format alone, for honest and for hostile files.

use super::operands::Operands;
use arbitrary::Result;
use flate2::read::MultiGzDecoder;
use flate2::{Compression, write::GzEncoder};
use selvedge::data::{DataError, IdxArray, IdxReader};
use std::io::{Read, Write};

/// Compares one case; bytes that are no case are passed over.
pub fn run(bytes: &[u8]) {
    let _ = Operands::new(bytes).and_then(case);
}

fn case(mut operands: Operands<'_>) -> Result<()> {
    let dimensions = operands.up_to(4)? as u8;
    let max_bytes = operands.up_to(5000)?;
    let reader = IdxReader::with_dimensions(dimensions).max_bytes(max_bytes);
    match operands.up_to(3)? {
        // Any bytes, which the fuzzer may learn to make a file or a gzip file of.
        0 => compare(reader, operands.rest(), dimensions, max_bytes),
        // Any bytes inside of gzip, which a checksum would hide from it.
        1 => compare(reader, &gzip(&[operands.rest()]), dimensions, max_bytes),
        // A right file, or almost.
        wrapping => {
            let shape: Vec<u32> = (0..dimensions).map(|_| Ok(operands.up_to(20)? as u32)).collect::<Result<_>>()?;
            let len: usize = shape.iter().map(|&dimension| dimension as usize).product();
            let (cut, more) = (operands.up_to(9)?.saturating_sub(7), operands.up_to(9)?.saturating_sub(7));
            let broken = if operands.up_to(3)? == 0 { Some((operands.up_to(40)?, operands.word()? as u8)) } else { None };
            let split = operands.up_to(30)?;
            let mut file = vec![0, 0, 8, dimensions];
            file.extend(shape.iter().flat_map(|dimension| dimension.to_be_bytes()));
            file.extend(operands.rest().iter().copied().cycle().chain(std::iter::repeat(7)).take(len));
            file.truncate(file.len() - cut);
            file.extend(vec![9; more]);
            if wrapping == 2 {
                flip(&mut file, broken);
                compare(reader, &file, dimensions, max_bytes);
            } else {
                let (first, second) = file.split_at(split.min(file.len()));
                let mut file = gzip(&[first, second]);
                flip(&mut file, broken);
                compare(reader, &file, dimensions, max_bytes);
            }
        }
    }
    Ok(())
}

fn flip(file: &mut [u8], broken: Option<(usize, u8)>) {
    if let Some((at, bits)) = broken
        && let Some(byte) = file.get_mut(at)
    {
        *byte ^= bits;
    }
}

/// Each part as a member of its own.
fn gzip(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        let mut encoder = GzEncoder::new(&mut bytes, Compression::fast());
        encoder.write_all(part).and_then(|()| encoder.finish().map(drop)).expect("a vector takes all bytes");
    }
    bytes
}

fn compare(reader: IdxReader, file: &[u8], dimensions: u8, max_bytes: usize) {
    let expected = if file.starts_with(&[0x1f, 0x8b]) {
        let (mut plain, enough) = (Vec::new(), 4 + 4 * usize::from(dimensions) + max_bytes + 1);
        // A stream that goes on behind all that can be right has no end to be checked.
        let whole = MultiGzDecoder::new(file).take(enough as u64).read_to_end(&mut plain);
        whole.ok().and_then(|_| parse(&plain, dimensions, max_bytes))
    } else {
        parse(file, dimensions, max_bytes)
    };
    let found = reader.read(file);
    match (&found, &expected) {
        (Ok(found), Some((shape, elements))) => {
            assert_eq!((found.shape(), found.elements()), (&shape[..], &elements[..]), "{file:?}");
        }
        (Err(error), None) => assert_describes(error),
        _ => panic!("{dimensions} dimensions of up to {max_bytes} bytes in {file:?}: {expected:?} expected, found {found:?}"),
    }
    // The same in small pieces.
    let dripping = reader.read(Dripping(file));
    assert_eq!(dripping.ok().map(IdxArray::into_elements), expected.map(|(_, elements)| elements), "{file:?} in pieces");
}

/// Shape and elements of a plain file.
fn parse(file: &[u8], dimensions: u8, max_bytes: usize) -> Option<(Vec<usize>, Vec<u8>)> {
    let (header, rest) = file.split_at_checked(4)?;
    if header != [0, 0, 8, dimensions] || dimensions == 0 {
        return None;
    }
    let (shape, elements) = rest.split_at_checked(4 * usize::from(dimensions))?;
    let (shape, _) = shape.as_chunks::<4>();
    let shape: Vec<u32> = shape.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect();
    let promised: u128 = shape.iter().map(|&dimension| u128::from(dimension)).product();
    let right = promised > 0 && promised == elements.len() as u128 && elements.len() <= max_bytes;
    right.then(|| (shape.iter().map(|&dimension| dimension as usize).collect(), elements.to_vec()))
}

/// An error that can be printed says something.
fn assert_describes(error: &DataError) {
    assert!(!error.to_string().is_empty(), "{error:?}");
}

/// A reader of one byte at a time.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(1);
        self.0.read(&mut buffer[..len])
    }
}
