//! [`Checkpoint`]: a whole training state in one file, or nothing.
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 4 | [`VERSION`] |
//! | 4 | number of sections |
//! | 8 | length of the file |
//! | 4, 8 | of each section: length of its name, length of its bytes |
//! | as said | its name, UTF-8; names are in ascending order, so that equal states are equal files |
//! | as said | its bytes |
//! | 4 | CRC-32 (the one of gzip) of everything before it |
//!
//! All numbers are little-endian. The magic begins with a byte that is not ASCII and has both kinds of line ends, so that a transfer as
//! text is noticed (the idea is that of PNG).
//!
//! The length in the header tells every truncation from a whole file. The checksum tells every single flipped bit, and every run of up to 32
//! damaged bits, for certain, and other damage but for one case in four thousand million. It does not tell an attacker's file from yours: a
//! checksum is no signature.
//!
//! # Hostile files
//!
//! A file is first read once in small pieces to find its checksum, and only then taken apart. Every length is checked against the bytes that
//! the file really has before anything is allocated: memory is at most the length of the file, which is at most [`MAX_BYTES`], and some bytes
//! for each of at most [`MAX_SECTIONS`] sections. Nothing here panics.
//!
//! ```
//! use selvedge::io::{Checkpoint, SectionWriter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = &std::env::temp_dir().join(format!("selvedge-doc-{}.checkpoint", std::process::id()));
//! let mut progress = SectionWriter::new();
//! progress.put_u64(7).put_f64(0.05).put_text("val_loss");
//! let mut weights = SectionWriter::new();
//! weights.put_f32s(&[0.25, -1.5]);
//! Checkpoint::new().section("progress", progress).section("weights", weights).save(path)?;
//!
//! let checkpoint = Checkpoint::load(path)?;
//! let mut progress = checkpoint.reader("progress")?;
//! assert_eq!((progress.u64()?, progress.f64()?, progress.text()?), (7, 0.05, "val_loss"));
//! progress.finish()?;
//! let mut weights = [0.0; 2];
//! checkpoint.reader("weights")?.f32s_into(&mut weights)?;
//! assert_eq!(weights, [0.25, -1.5]);
//! # std::fs::remove_file(path)?;
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{
    atomic,
    error::{CheckpointError, FileError},
    little_endian::{read_f32s, write_f32s, zeros},
};

/// The first bytes of every checkpoint.
pub const MAGIC: [u8; 8] = *b"\x89SELV\r\n\x1a";

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The longest file that [`Checkpoint::load`] reads.
pub const MAX_BYTES: u64 = 4 << 30;

/// The most sections of a checkpoint.
pub const MAX_SECTIONS: usize = 1 << 16;

/// The longest name of a section, in bytes.
pub const MAX_NAME: usize = 1 << 10;

/// Magic, version, number of sections, length of the file.
const HEADER: u64 = 8 + 4 + 4 + 8;

/// The lengths of a section's name and bytes.
const SECTION_HEADER: u64 = 4 + 8;

/// The checksum at the end.
const CHECKSUM: u64 = 4;

/// Sections of bytes by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    sections: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// No sections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section, or replaces the one of that name. The bytes may come from a [`SectionWriter`].
    pub fn section(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.sections.insert(name.into(), bytes.into());
        self
    }

    /// The bytes of a section.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.sections.get(name).map(Vec::as_slice)
    }

    /// The names of the sections, in ascending order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// A reader of the values of a section.
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`] if there is none of that name.
    pub fn reader(&self, name: &str) -> Result<SectionReader<'_>, CheckpointError> {
        match self.sections.get_key_value(name) {
            Some((name, bytes)) => Ok(SectionReader { name, rest: bytes }),
            None => {
                let found = self.names().map(str::to_owned).collect();
                Err(CheckpointError::MissingSection { expected: name.to_owned(), found })
            }
        }
    }

    /// Saves everything; the file is [replaced whole](atomic).
    ///
    /// # Errors
    /// If there are more than [`MAX_SECTIONS`] sections, a name is longer than [`MAX_NAME`], or the file cannot be replaced.
    pub fn save(&self, path: &Path) -> Result<(), FileError<CheckpointError>> {
        self.check().map_err(|error| FileError::new(path, error))?;
        let replaced = atomic::replace(path, |writer| self.write(writer));
        replaced.map_err(|error| error.map(CheckpointError::Replace))
    }

    /// The bytes that [`save`](Self::save) writes.
    ///
    /// # Errors
    /// As for [`save`](Self::save).
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        self.check()?;
        let mut bytes = Vec::new();
        self.write(&mut bytes).map_err(CheckpointError::Io)?;
        Ok(bytes)
    }

    /// Reads a file of at most [`MAX_BYTES`].
    ///
    /// # Errors
    /// If the file cannot be read, or is not a whole and undamaged checkpoint of this version.
    pub fn load(path: &Path) -> Result<Self, FileError<CheckpointError>> {
        Self::load_at_most(path, MAX_BYTES)
    }

    /// Reads a file of at most `max_bytes`.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_at_most(path: &Path, max_bytes: u64) -> Result<Self, FileError<CheckpointError>> {
        let load = || {
            let file = File::open(path).map_err(CheckpointError::Io)?;
            let length = file.metadata().map_err(CheckpointError::Io)?.len();
            if length > max_bytes {
                return Err(CheckpointError::TooLarge { limit: max_bytes, found: length });
            }
            Self::read(&mut BufReader::new(file), length)
        };
        load().map_err(|error| FileError::new(path, error))
    }

    /// Reads bytes in memory.
    ///
    /// # Errors
    /// If they are not a whole and undamaged checkpoint of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::read(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    fn check(&self) -> Result<(), CheckpointError> {
        if self.sections.len() > MAX_SECTIONS {
            return Err(CheckpointError::TooManySections { limit: MAX_SECTIONS, found: self.sections.len() });
        }
        match self.names().find(|name| name.len() > MAX_NAME) {
            Some(name) => Err(CheckpointError::NameTooLong { limit: MAX_NAME, found: name.len() }),
            None => Ok(()),
        }
    }

    /// Numbers and names are within bounds, see [`check`](Self::check).
    fn write(&self, writer: &mut dyn Write) -> io::Result<()> {
        let sections = self.sections.iter().map(|(name, bytes)| SECTION_HEADER + name.len() as u64 + bytes.len() as u64);
        let length = HEADER + sections.sum::<u64>() + CHECKSUM;
        let mut writer = Checksummed { inner: writer, hasher: crc32fast::Hasher::new() };
        writer.write_all(&MAGIC)?;
        writer.write_all(&VERSION.to_le_bytes())?;
        writer.write_all(&(self.sections.len() as u32).to_le_bytes())?;
        writer.write_all(&length.to_le_bytes())?;
        for (name, bytes) in &self.sections {
            writer.write_all(&(name.len() as u32).to_le_bytes())?;
            writer.write_all(&(bytes.len() as u64).to_le_bytes())?;
            writer.write_all(name.as_bytes())?;
            writer.write_all(bytes)?;
        }
        let checksum = writer.hasher.finalize();
        writer.inner.write_all(&checksum.to_le_bytes())
    }

    fn read(reader: &mut (impl Read + Seek), length: u64) -> Result<Self, CheckpointError> {
        let count = read_header(reader, length)?;
        verify_checksum(reader, length)?;
        reader.seek(SeekFrom::Start(HEADER)).map_err(CheckpointError::Io)?;
        let mut sections = BTreeMap::new();
        let mut left = length - HEADER - CHECKSUM;
        for section in 0..count {
            let malformed = |expected| CheckpointError::Malformed { section, expected };
            left = left.checked_sub(SECTION_HEADER).ok_or(malformed("the lengths of its name and bytes"))?;
            let name_length = u64::from(u32::from_le_bytes(read_array(reader)?));
            let bytes_length = u64::from_le_bytes(read_array(reader)?);
            left = name_length
                .checked_add(bytes_length)
                .and_then(|both| left.checked_sub(both))
                .ok_or(malformed("as many bytes as its lengths say"))?;
            let name = String::from_utf8(read_bytes(reader, name_length)?).map_err(|_| malformed("a name in UTF-8"))?;
            if sections.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(malformed("a name behind that of the section before"));
            }
            sections.insert(name, read_bytes(reader, bytes_length)?);
        }
        if left > 0 {
            return Err(CheckpointError::Malformed { section: count, expected: "the end of the file" });
        }
        Ok(Self { sections })
    }
}

/// Checks everything up to the sections, and returns their number.
fn read_header(reader: &mut impl Read, length: u64) -> Result<u32, CheckpointError> {
    let mut magic = [0; 8];
    let there = length.min(8) as usize;
    reader.read_exact(&mut magic[..there]).map_err(CheckpointError::Io)?;
    // The beginning of a checkpoint that has been cut off says more about its length than about what it is.
    if magic[..there] != MAGIC[..there] {
        return Err(CheckpointError::Magic { expected: MAGIC, found: magic });
    }
    if length < HEADER + CHECKSUM {
        return Err(CheckpointError::Length { expected: HEADER + CHECKSUM, found: length });
    }
    let version = u32::from_le_bytes(read_array(reader)?);
    if version != VERSION {
        return Err(CheckpointError::Version { expected: VERSION, found: version });
    }
    let count = u32::from_le_bytes(read_array(reader)?);
    let expected = u64::from_le_bytes(read_array(reader)?);
    if expected != length {
        return Err(CheckpointError::Length { expected, found: length });
    }
    if count as usize > MAX_SECTIONS {
        return Err(CheckpointError::TooManySections { limit: MAX_SECTIONS, found: count as usize });
    }
    Ok(count)
}

fn verify_checksum(reader: &mut (impl Read + Seek), length: u64) -> Result<(), CheckpointError> {
    reader.rewind().map_err(CheckpointError::Io)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; 64 << 10];
    let mut left = length - CHECKSUM;
    while left > 0 {
        let piece = &mut piece[..left.min(64 << 10) as usize];
        reader.read_exact(piece).map_err(CheckpointError::Io)?;
        hasher.update(piece);
        left -= piece.len() as u64;
    }
    let (expected, found) = (u32::from_le_bytes(read_array(reader)?), hasher.finalize());
    if found == expected { Ok(()) } else { Err(CheckpointError::Checksum { expected, found }) }
}

fn read_array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], CheckpointError> {
    let mut array = [0; N];
    reader.read_exact(&mut array).map_err(CheckpointError::Io)?;
    Ok(array)
}

/// The caller has checked that the file has so many bytes.
fn read_bytes(reader: &mut impl Read, length: u64) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = zeros(length).map_err(CheckpointError::Io)?;
    reader.read_exact(&mut bytes).map_err(CheckpointError::Io)?;
    Ok(bytes)
}

struct Checksummed<'a> {
    inner: &'a mut dyn Write,
    hasher: crc32fast::Hasher,
}

impl Write for Checksummed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The values of a section, one after the other, little-endian. Texts and slices have their length, a `u64`, before them.
#[derive(Clone, Debug, Default)]
pub struct SectionWriter {
    bytes: Vec<u8>,
}

impl SectionWriter {
    /// An empty section.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an integer.
    pub fn put_u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a number, every bit of it.
    pub fn put_f64(&mut self, value: f64) -> &mut Self {
        self.put_u64(value.to_bits())
    }

    /// Appends a text.
    pub fn put_text(&mut self, text: &str) -> &mut Self {
        self.put_u64(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a slice, every bit of it.
    pub fn put_f32s(&mut self, elements: &[f32]) -> &mut Self {
        self.put_u64(elements.len() as u64);
        self.bytes.reserve(size_of_val(elements));
        // Writing to memory cannot fail.
        let _ = write_f32s(&mut self.bytes, elements);
        self
    }
}

impl From<SectionWriter> for Vec<u8> {
    fn from(writer: SectionWriter) -> Self {
        writer.bytes
    }
}

/// Reads what a [`SectionWriter`] has written, in the same order.
///
/// A value that is not there is an error; a section does not say of what type its values are.
#[derive(Clone, Debug)]
pub struct SectionReader<'a> {
    name: &'a str,
    rest: &'a [u8],
}

impl<'a> SectionReader<'a> {
    /// The next integer.
    ///
    /// # Errors
    /// [`CheckpointError::SectionEnd`] if the section ends before it does. So do all other methods.
    pub fn u64(&mut self) -> Result<u64, CheckpointError> {
        self.word("an integer")
    }

    /// The next number.
    ///
    /// # Errors
    /// As for [`u64`](Self::u64).
    pub fn f64(&mut self) -> Result<f64, CheckpointError> {
        self.word("a number").map(f64::from_bits)
    }

    /// The next text.
    ///
    /// # Errors
    /// As for [`u64`](Self::u64), and [`CheckpointError::NotUtf8`].
    pub fn text(&mut self) -> Result<&'a str, CheckpointError> {
        let length = self.word("the length of a text")?;
        let bytes = self.bytes("a text", length)?;
        str::from_utf8(bytes).map_err(|_| CheckpointError::NotUtf8 { section: self.name.to_owned() })
    }

    /// The next slice.
    ///
    /// # Errors
    /// As for [`u64`](Self::u64).
    pub fn f32s(&mut self) -> Result<Vec<f32>, CheckpointError> {
        let bytes = self.elements(None)?;
        let mut elements = vec![0.0; bytes.len() / size_of::<f32>()];
        self.copy(bytes, &mut elements)?;
        Ok(elements)
    }

    /// The next slice, which must have the length of `elements`.
    ///
    /// # Errors
    /// As for [`u64`](Self::u64), and [`CheckpointError::Count`]. `elements` is then untouched.
    pub fn f32s_into(&mut self, elements: &mut [f32]) -> Result<(), CheckpointError> {
        let bytes = self.elements(Some(elements.len() as u64))?;
        self.copy(bytes, elements)
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// [`CheckpointError::Trailing`] if something is.
    pub fn finish(self) -> Result<(), CheckpointError> {
        match self.rest.len() as u64 {
            0 => Ok(()),
            found => Err(CheckpointError::Trailing { section: self.name.to_owned(), found }),
        }
    }

    fn word(&mut self, what: &'static str) -> Result<u64, CheckpointError> {
        let mut word = [0; 8];
        word.copy_from_slice(self.bytes(what, 8)?);
        Ok(u64::from_le_bytes(word))
    }

    /// The bytes of a slice of so many elements, if that is known.
    fn elements(&mut self, expected: Option<u64>) -> Result<&'a [u8], CheckpointError> {
        let found = self.word("the length of a slice")?;
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(CheckpointError::Count { section: self.name.to_owned(), expected, found });
        }
        self.bytes("a slice", found.saturating_mul(size_of::<f32>() as u64))
    }

    fn copy(&self, mut bytes: &[u8], elements: &mut [f32]) -> Result<(), CheckpointError> {
        read_f32s(&mut bytes, elements).map_err(CheckpointError::Io)
    }

    fn bytes(&mut self, what: &'static str, count: u64) -> Result<&'a [u8], CheckpointError> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let Some((bytes, rest)) = split else {
            let found = self.rest.len() as u64;
            return Err(CheckpointError::SectionEnd { section: self.name.to_owned(), what, expected: count, found });
        };
        self.rest = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;

    /// Every kind of value, and sections of every awkward kind.
    fn small() -> Checkpoint {
        let mut values = SectionWriter::new();
        values.put_u64(u64::MAX).put_f64(-0.0).put_text("größer").put_f32s(&[1.5, f32::NEG_INFINITY]).put_text("").put_f32s(&[]);
        let mut nan = SectionWriter::new();
        nan.put_f32s(&[f32::from_bits(0x7fa0_0001), f32::from_bits(1)]).put_f64(f64::from_bits(0x7ff4_0000_0000_0001));
        Checkpoint::new().section("values", values).section("nan", nan).section("", b"nameless".to_vec()).section("ü/empty", [])
    }

    #[test]
    fn what_is_saved_is_loaded_bit_for_bit() {
        let scratch = Scratch::new();
        let path = scratch.path().join("state");
        small().save(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), small().to_bytes().unwrap());
        let loaded = Checkpoint::load(&path).unwrap();
        assert_eq!(loaded, small());
        assert_eq!(loaded.names().collect::<Vec<_>>(), ["", "nan", "values", "ü/empty"]);
        assert_eq!((loaded.get(""), loaded.get("ü/empty"), loaded.get("other")), (Some(&b"nameless"[..]), Some(&[][..]), None));
        let mut values = loaded.reader("values").unwrap();
        assert_eq!((values.u64().unwrap(), values.f64().unwrap().to_bits()), (u64::MAX, (-0.0f64).to_bits()));
        assert_eq!((values.text().unwrap(), values.f32s().unwrap()), ("größer", vec![1.5, f32::NEG_INFINITY]));
        assert_eq!((values.text().unwrap(), values.f32s().unwrap()), ("", vec![]));
        values.finish().unwrap();
        let mut nan = loaded.reader("nan").unwrap();
        let mut elements = [0.0; 2];
        nan.f32s_into(&mut elements).unwrap();
        assert_eq!(elements.map(f32::to_bits), [0x7fa0_0001, 1]);
        assert_eq!(nan.f64().unwrap().to_bits(), 0x7ff4_0000_0000_0001);
        assert_eq!(Checkpoint::from_bytes(&Checkpoint::new().to_bytes().unwrap()).unwrap(), Checkpoint::new());
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let bytes = Checkpoint::new().section("b", [7]).section("a", [8, 9]).to_bytes().unwrap();
        let body = [
            &b"\x89SELV\r\n\x1a\x01\0\0\0\x02\0\0\0\x39\0\0\0\0\0\0\0"[..],
            b"\x01\0\0\0\x02\0\0\0\0\0\0\0a\x08\x09",
            b"\x01\0\0\0\x01\0\0\0\0\0\0\0b\x07",
        ]
        .concat();
        assert_eq!(bytes[..bytes.len() - 4], body);
        // The check value that every description of this CRC gives.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        assert_eq!(bytes[bytes.len() - 4..], crc32fast::hash(&body).to_le_bytes());
    }

    #[test]
    fn every_truncation_and_every_appended_byte_is_detected() {
        let bytes = small().to_bytes().unwrap();
        for length in 0..bytes.len() {
            let error = Checkpoint::from_bytes(&bytes[..length]).unwrap_err();
            assert!(matches!(error, CheckpointError::Length { found, .. } if found == length as u64), "{length}: {error}");
        }
        let error = Checkpoint::from_bytes(&[&bytes[..], &[0]].concat()).unwrap_err();
        assert!(matches!(error, CheckpointError::Length { .. }), "{error}");
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let mut bytes = small().to_bytes().unwrap();
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Checkpoint::from_bytes(&bytes).unwrap_err();
            let fits = match bit / 8 {
                0..8 => matches!(error, CheckpointError::Magic { .. }),
                8..12 => matches!(error, CheckpointError::Version { .. }),
                12..16 => matches!(error, CheckpointError::Checksum { .. } | CheckpointError::TooManySections { .. }),
                16..24 => matches!(error, CheckpointError::Length { .. }),
                _ => matches!(error, CheckpointError::Checksum { .. }),
            };
            assert!(fits, "bit {bit}: {error}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Checkpoint::from_bytes(&bytes).is_ok());
    }

    /// Bytes whose length and checksum are right, whatever the rest says.
    fn forged(count: u32, sections: &[u8]) -> Vec<u8> {
        let length = HEADER + sections.len() as u64 + CHECKSUM;
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &count.to_le_bytes(), &length.to_le_bytes(), sections].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn forged_section(name_length: u32, bytes_length: u64, rest: &[u8]) -> Vec<u8> {
        [&name_length.to_le_bytes()[..], &bytes_length.to_le_bytes(), rest].concat()
    }

    #[test]
    fn forged_lengths_and_names_are_refused_before_anything_is_allocated() {
        let one = forged_section(1, 2, b"abc");
        assert!(Checkpoint::from_bytes(&forged(1, &one)).is_ok());
        for (count, sections) in [
            (0, one.clone()),
            (2, one.clone()),
            (1, [&one[..], b"x"].concat()),
            (1, one[..8].to_vec()),
            (1, forged_section(1, 3, b"abc")),
            (1, forged_section(4, 0, b"abc")),
            (1, forged_section(u32::MAX, 0, b"abc")),
            (1, forged_section(1, u64::MAX, b"abc")),
            (1, forged_section(1, u64::MAX - 1, b"abc")),
            (1, forged_section(1, 1 << 50, b"abc")),
            (1, forged_section(1, 2, b"\xffbc")),
            // The same name twice, and names in descending order.
            (2, one.repeat(2)),
            (2, [forged_section(1, 0, b"b"), forged_section(1, 0, b"a")].concat()),
        ] {
            let error = Checkpoint::from_bytes(&forged(count, &sections)).unwrap_err();
            assert!(matches!(error, CheckpointError::Malformed { .. }), "{count} {sections:?}: {error}");
        }
        let error = Checkpoint::from_bytes(&forged(u32::MAX, &one)).unwrap_err();
        assert!(matches!(error, CheckpointError::TooManySections { .. }), "{error}");
    }

    #[test]
    fn values_that_are_not_there_are_refused() {
        let mut writer = SectionWriter::new();
        writer.put_u64(u64::MAX).put_f32s(&[1.0, 2.0]);
        let checkpoint = Checkpoint::new().section("s", writer).section("short", [1; 7]).section("bad", forged_section(2, 1, b""));
        let reader = || checkpoint.reader("s").unwrap();
        for error in [reader().text().unwrap_err(), reader().f32s().unwrap_err()] {
            assert!(matches!(error, CheckpointError::SectionEnd { expected: u64::MAX, found: 16, .. }), "{error}");
        }
        let mut elements = [7.0; 3];
        let mut after = reader();
        after.u64().unwrap();
        let error = after.clone().f32s_into(&mut elements).unwrap_err();
        assert_eq!(error.to_string(), "section `s`: 3 elements expected, found 2");
        assert_eq!(elements, [7.0; 3]);
        assert_eq!(after.clone().finish().unwrap_err().to_string(), "section `s`: its end expected, found 16 more bytes");
        let error = checkpoint.reader("short").unwrap().f64().unwrap_err();
        assert_eq!(error.to_string(), "section `short`: a number of 8 bytes expected, found 7 bytes");
        let error = checkpoint.reader("other").unwrap_err();
        assert_eq!(error.to_string(), "section `other` expected, found `bad`, `s`, `short`");
        let bytes = [&1u64.to_le_bytes()[..], b"\xff"].concat();
        let checkpoint = Checkpoint::new().section("text", bytes);
        assert!(matches!(checkpoint.reader("text").unwrap().text(), Err(CheckpointError::NotUtf8 { .. })));
    }

    #[test]
    fn files_that_are_too_long_missing_or_something_else() {
        let scratch = Scratch::new();
        let path = scratch.path().join("state");
        assert!(matches!(Checkpoint::load(&path).unwrap_err().source, CheckpointError::Io(_)));
        small().save(&path).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert!(Checkpoint::load_at_most(&path, length).is_ok());
        let error = Checkpoint::load_at_most(&path, length - 1).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: at most {} bytes expected, found {length}", path.display(), length - 1));
        fs::write(&path, "not a checkpoint").unwrap();
        assert!(matches!(Checkpoint::load(&path).unwrap_err().source, CheckpointError::Magic { .. }));
    }

    #[test]
    fn what_could_not_be_loaded_is_not_saved() {
        let scratch = Scratch::new();
        let path = scratch.path().join("state");
        let error = Checkpoint::new().section("n".repeat(MAX_NAME + 1), []).save(&path).unwrap_err();
        assert!(matches!(error.source, CheckpointError::NameTooLong { .. }));
        let many = (0..=MAX_SECTIONS).fold(Checkpoint::new(), |checkpoint, i| checkpoint.section(i.to_string(), []));
        assert!(matches!(many.to_bytes(), Err(CheckpointError::TooManySections { .. })));
        assert!(!path.exists());
        let longest = Checkpoint::new().section("n".repeat(MAX_NAME), []);
        assert!(Checkpoint::from_bytes(&longest.to_bytes().unwrap()).is_ok());
    }
}
