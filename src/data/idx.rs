//! IDX files: the format of MNIST and its relatives, plain or gzip.
//!
//! | bytes | meaning |
//! |---|---|
//! | 2 | zero |
//! | 1 | element type; `0x08` is the unsigned byte, the only one read here |
//! | 1 | number of dimensions `d` |
//! | 4 `d` | the dimensions, big-endian |
//! | product of the dimensions | the elements, the last dimension running fastest |
//!
//! Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits".
//!
//! # Hostile files
//!
//! A file is not trusted. The header is checked in full before anything is allocated for the elements; what is allocated then grows with
//! the bytes that really arrive, to at most four times as much, and never above what the header promises and
//! [`IdxReader::max_bytes`] allows. Decompression stops one byte after the promised end, so a gzip bomb costs no more than an honest file
//! of the promised size. Nothing here panics.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::error::{DataError, IdxError};
use crate::memory::ask_for_huge_pages;

/// The type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;

/// The first two bytes of every gzip file (RFC 1952). An IDX file begins with two zeros, so they cannot be confused.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Memory taken on the word of the header alone. More is taken only as elements arrive.
const FIRST_CAPACITY: usize = 1 << 20;

/// How much more memory is taken when elements have filled it.
const GROWTH: usize = 4;

/// An array of unsigned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    shape: Vec<usize>,
    elements: Vec<u8>,
}

impl IdxArray {
    /// The dimensions; none is zero.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, as many as the product of the dimensions, the last dimension running fastest.
    pub fn elements(&self) -> &[u8] {
        &self.elements
    }

    /// The elements, without a copy.
    pub fn into_elements(self) -> Vec<u8> {
        self.elements
    }
}

/// What to expect of a file.
///
/// ```
/// use selvedge::data::IdxReader;
///
/// let file = [0, 0, 8, 1, 0, 0, 0, 3, 10, 20, 30];
/// let labels = IdxReader::with_dimensions(1).max_bytes(100).read(&file[..])?;
/// assert_eq!(labels.shape(), [3]);
/// assert_eq!(labels.elements(), [10, 20, 30]);
/// # Ok::<(), selvedge::data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IdxReader {
    dimensions: u8,
    max_bytes: usize,
}

impl IdxReader {
    /// The limit when none is set: 1 GiB.
    pub const DEFAULT_MAX_BYTES: usize = 1 << 30;

    /// A reader of arrays with that many dimensions: 1 for labels, 3 for images.
    pub const fn with_dimensions(dimensions: u8) -> Self {
        Self { dimensions, max_bytes: Self::DEFAULT_MAX_BYTES }
    }

    /// Sets the most elements (bytes, after decompression and without the header) that a file may have.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Reads a file, plain or gzip whatever its name says.
    ///
    /// # Errors
    /// [`DataError::Io`] if it cannot be opened or read, [`DataError::Idx`] if it is not such a file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<IdxArray, DataError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| DataError::io(path, source))?;
        self.decode(file).map_err(|error| match error {
            IdxError::Io(source) => DataError::io(path, source),
            source => DataError::Idx { path: Some(path.to_path_buf()), source },
        })
    }

    /// Reads to the end of `reader`, plain or gzip. It is buffered here.
    ///
    /// # Errors
    /// [`DataError::Idx`].
    pub fn read(&self, reader: impl Read) -> Result<IdxArray, DataError> {
        self.decode(reader).map_err(|source| DataError::Idx { path: None, source })
    }

    fn decode(&self, reader: impl Read) -> Result<IdxArray, IdxError> {
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let mut start = [0; 2];
        let len = fill(&mut reader, &mut start).map_err(IdxError::Io)?;
        let whole = (&start[..len]).chain(reader);
        if start == GZIP_MAGIC { self.decode_gzip(whole) } else { self.decode_plain(whole) }
    }

    fn decode_plain(&self, mut reader: impl Read) -> Result<IdxArray, IdxError> {
        self.parse(&mut reader).map_err(|failure| match failure {
            Failure::Content(error) => error,
            Failure::Read(source) => IdxError::Io(source),
        })
    }

    /// Several gzip members in a row are one stream (RFC 1952, 2.2); anything else behind the first one is an error.
    fn decode_gzip(&self, reader: impl BufRead) -> Result<IdxArray, IdxError> {
        let mut failed = None;
        let mut decoder = Counting { inner: MultiGzDecoder::new(KeepError { inner: reader, failed: &mut failed }), count: 0 };
        let result = self.parse(&mut decoder);
        let decompressed = decoder.count;
        drop(decoder);
        result.map_err(|failure| match (failure, failed) {
            (Failure::Content(error), _) => error,
            // The compressed bytes themselves could not be read.
            (Failure::Read(_), Some(source)) => IdxError::Io(source),
            (Failure::Read(source), None) if source.kind() == io::ErrorKind::UnexpectedEof => {
                IdxError::GzipTruncated { decompressed }
            }
            (Failure::Read(source), None) => IdxError::GzipCorrupt { decompressed, source },
        })
    }

    /// Header, elements, end.
    fn parse(&self, reader: &mut impl Read) -> Result<IdxArray, Failure> {
        let (dimensions, len) = self.parse_header(reader)?;

        let elements = read_elements(reader, len)?;
        if elements.len() < len {
            return Err(IdxError::PayloadTooShort { expected: len, found: elements.len() }.into());
        }
        // For gzip this is also what compares the checksum.
        if fill(reader, &mut [0])? != 0 {
            return Err(IdxError::PayloadTooLong { expected: len, found_at_least: len + 1 }.into());
        }
        Ok(IdxArray { shape: dimensions.iter().map(|&dimension| dimension as usize).collect(), elements })
    }

    /// The dimensions and their product.
    fn parse_header(&self, reader: &mut impl Read) -> Result<(Vec<u32>, usize), Failure> {
        let mut magic = [0; 4];
        let found = fill(reader, &mut magic)?;
        if found < magic.len() {
            return Err(IdxError::HeaderTruncated { expected: magic.len(), found }.into());
        }
        let [zero, also_zero, element_type, dimension_count] = magic;
        if [zero, also_zero] != [0, 0] {
            return Err(IdxError::Magic { found: magic }.into());
        }
        if element_type != UNSIGNED_BYTE {
            return Err(IdxError::ElementType { expected: UNSIGNED_BYTE, found: element_type }.into());
        }
        if dimension_count != self.dimensions || dimension_count == 0 {
            return Err(IdxError::DimensionCount { expected: self.dimensions, found: dimension_count }.into());
        }

        let mut dimensions = Vec::with_capacity(usize::from(dimension_count));
        for axis in 0..usize::from(dimension_count) {
            let mut bytes = [0; 4];
            let found = fill(reader, &mut bytes)?;
            if found < bytes.len() {
                let expected = magic.len() + 4 * usize::from(dimension_count);
                return Err(IdxError::HeaderTruncated { expected, found: magic.len() + 4 * axis + found }.into());
            }
            dimensions.push(u32::from_be_bytes(bytes));
        }
        if let Some(axis) = dimensions.iter().position(|&dimension| dimension == 0) {
            return Err(IdxError::ZeroDimension { axis, found: dimensions }.into());
        }

        let promised = dimensions.iter().try_fold(1_u64, |product, &dimension| product.checked_mul(dimension.into()));
        match promised.and_then(|promised| usize::try_from(promised).ok()) {
            // `usize::MAX` is left out so that one more can be counted.
            Some(len) if len <= self.max_bytes && len < usize::MAX => Ok((dimensions, len)),
            _ => Err(IdxError::TooLarge { maximum: self.max_bytes, found: promised, dimensions }.into()),
        }
    }
}

/// A wrong content, or a reader that failed: only the caller knows whether that was the decoder or the disk.
enum Failure {
    Content(IdxError),
    Read(io::Error),
}

impl From<IdxError> for Failure {
    fn from(error: IdxError) -> Self {
        Self::Content(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// The next `len` bytes, fewer if the reader ends.
fn read_elements(reader: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut elements = Vec::new();
    loop {
        // Copied, not grown: memory that the system moves may lose its huge pages.
        let mut larger = Vec::new();
        larger.try_reserve_exact(len.min(elements.len().saturating_mul(GROWTH).max(FIRST_CAPACITY)))?;
        ask_for_huge_pages(larger.spare_capacity_mut());
        larger.extend_from_slice(&elements);
        elements = larger;
        let room = elements.capacity().min(len) - elements.len();
        let count = reader.by_ref().take(room as u64).read_to_end(&mut elements)?;
        if count < room || elements.len() == len {
            return Ok(elements);
        }
    }
}

/// Reads until `buffer` is full or the reader ends; the number of bytes read.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Counts the bytes that pass.
struct Counting<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// Sets the errors of the disk aside, so that they are not taken for errors of the gzip decoder, which reports both in the same way.
struct KeepError<'a, R> {
    inner: R,
    failed: &'a mut Option<io::Error>,
}

impl<R> KeepError<'_, R> {
    fn keep<T>(failed: &mut Option<io::Error>, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                *failed = Some(error);
            }
            kind.into()
        })
    }
}

impl<R: Read> Read for KeepError<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::keep(self.failed, self.inner.read(buffer))
    }
}

impl<R: BufRead> BufRead for KeepError<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Self::keep(self.failed, self.inner.fill_buf())
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// An IDX file with this header and as many elements as given.
    fn file(dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, UNSIGNED_BYTE, dimensions.len() as u8];
        bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
        bytes.extend(elements);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn small() -> Vec<u8> {
        file(&[2, 3, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    }

    fn decode(bytes: &[u8]) -> Result<IdxArray, IdxError> {
        IdxReader::with_dimensions(3).max_bytes(1000).decode(bytes)
    }

    /// A reader that gives one byte at a time, and fails at the end if it is told to.
    struct Dripping<'a> {
        bytes: &'a [u8],
        fails: bool,
    }

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.bytes.is_empty() && self.fails {
                return Err(io::Error::other("the disk is gone"));
            }
            let len = buffer.len().min(1);
            self.bytes.read(&mut buffer[..len])
        }
    }

    #[test]
    fn reads_plain_and_gzip() {
        for bytes in [small(), gzip(&small())] {
            let array = decode(&bytes).unwrap();
            assert_eq!(array.shape(), [2, 3, 2]);
            assert_eq!(array.elements(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
            assert_eq!(IdxReader::with_dimensions(3).decode(Dripping { bytes: &bytes, fails: false }).unwrap(), array);
        }
    }

    #[test]
    fn gzip_members_are_joined() {
        let whole = small();
        let mut bytes = gzip(&whole[..20]);
        bytes.extend(gzip(&whole[20..]));
        assert_eq!(decode(&bytes).unwrap(), decode(&whole).unwrap());
    }

    #[test]
    fn hostile_files_are_refused() {
        let mut wrong_checksum = gzip(&small());
        let checksum = wrong_checksum.len() - 8;
        wrong_checksum[checksum] ^= 1;
        let mut garbage_behind = gzip(&small());
        garbage_behind.extend(b"garbage");
        let twelve = [0; 12];

        type Check = fn(&IdxError) -> bool;
        let table: Vec<(&str, Vec<u8>, Check)> = vec![
            ("empty", vec![], |e| matches!(e, IdxError::HeaderTruncated { expected: 4, found: 0 })),
            ("one byte", vec![0], |e| matches!(e, IdxError::HeaderTruncated { expected: 4, found: 1 })),
            ("half a header", small()[..9].to_vec(), |e| matches!(e, IdxError::HeaderTruncated { expected: 16, found: 9 })),
            ("text", b"<html>404</html>".to_vec(), |e| matches!(e, IdxError::Magic { found } if found == b"<htm")),
            ("floats", vec![0, 0, 0x0d, 3, 0, 0], |e| matches!(e, IdxError::ElementType { expected: 8, found: 0x0d })),
            ("labels", file(&[12], &twelve), |e| matches!(e, IdxError::DimensionCount { expected: 3, found: 1 })),
            ("no dimension", file(&[], &[1]), |e| matches!(e, IdxError::DimensionCount { expected: 3, found: 0 })),
            ("zero rows", file(&[0, 28, 28], &[]), |e| matches!(e, IdxError::ZeroDimension { axis: 0, .. })),
            ("zero times huge", file(&[u32::MAX, u32::MAX, 0], &[]), |e| matches!(e, IdxError::ZeroDimension { axis: 2, .. })),
            ("over the limit", file(&[1, 7, 143], &[0; 1001]), |e| {
                matches!(e, IdxError::TooLarge { maximum: 1000, found: Some(1001), .. })
            }),
            ("huge", file(&[u32::MAX, u32::MAX, 1], &[]), |e| matches!(e, IdxError::TooLarge { found: Some(_), .. })),
            ("overflow", file(&[u32::MAX; 3], &[]), |e| matches!(e, IdxError::TooLarge { found: None, .. })),
            // 2^96, whose low 64 bits are zero.
            ("wraps to zero", file(&[1 << 31, 1 << 31, 4], &[]), |e| matches!(e, IdxError::TooLarge { found: None, .. })),
            ("too short", small()[..27].to_vec(), |e| matches!(e, IdxError::PayloadTooShort { expected: 12, found: 11 })),
            ("no payload", file(&[10, 10, 10], &[]), |e| matches!(e, IdxError::PayloadTooShort { expected: 1000, found: 0 })),
            ("too long", file(&[2, 3, 2], &[0; 15]), |e| {
                matches!(e, IdxError::PayloadTooLong { expected: 12, found_at_least: 13 })
            }),
            ("gzip magic only", GZIP_MAGIC.to_vec(), |e| matches!(e, IdxError::GzipTruncated { decompressed: 0 })),
            ("gzip, other method", vec![0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 0], |e| matches!(e, IdxError::GzipCorrupt { .. })),
            ("gzip, too short", gzip(&small()[..27]), |e| matches!(e, IdxError::PayloadTooShort { expected: 12, found: 11 })),
            ("gzip, too long", gzip(&file(&[2, 3, 2], &[0; 15])), |e| matches!(e, IdxError::PayloadTooLong { .. })),
            ("gzip in gzip", gzip(&gzip(&small())), |e| matches!(e, IdxError::Magic { .. })),
            ("gzip, wrong checksum", wrong_checksum, |e| matches!(e, IdxError::GzipCorrupt { decompressed: 28, .. })),
            ("gzip, garbage behind", garbage_behind, |e| {
                matches!(e, IdxError::GzipCorrupt { decompressed: 28, .. } | IdxError::GzipTruncated { decompressed: 28 })
            }),
        ];
        for (name, bytes, is_expected) in table {
            let error = decode(&bytes).expect_err(name);
            assert!(is_expected(&error), "{name}: {error:?}");
            assert!(!error.to_string().is_empty());
        }
    }

    /// 256 MiB of zeros in a quarter of a megabyte: only what the header promises is decompressed.
    #[test]
    fn a_gzip_bomb_stops_at_the_promised_size() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&file(&[1, 10, 10], &[])).unwrap();
        for _ in 0..256 {
            encoder.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();

        let mut reader = io::Cursor::new(&bomb);
        let error = IdxReader::with_dimensions(3).decode(&mut reader).unwrap_err();
        assert!(matches!(error, IdxError::PayloadTooLong { expected: 100, found_at_least: 101 }), "{error:?}");
        assert!(reader.position() <= 1 << 16, "{} compressed bytes were read", reader.position());
    }

    /// A header that promises far more than any machine has, allowed by the limit, is no danger as long as nothing follows.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn memory_grows_with_what_arrives() {
        let bytes = file(&[1 << 31, 1 << 31, 1], &[0; 10]);
        let error = IdxReader::with_dimensions(3).max_bytes(usize::MAX).decode(&bytes[..]).unwrap_err();
        assert!(matches!(error, IdxError::PayloadTooShort { expected, found: 10 } if expected == 1 << 62), "{error:?}");
    }

    #[test]
    fn files_around_each_step_of_growth() {
        let steps = [FIRST_CAPACITY, FIRST_CAPACITY * GROWTH, FIRST_CAPACITY * GROWTH * GROWTH];
        for len in steps.into_iter().flat_map(|step| [step - 1, step, step + 1]) {
            let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let array = IdxReader::with_dimensions(3).decode(&file(&[1, len as u32, 1], &payload)[..]).unwrap();
            assert!(array.elements() == payload, "{len} elements");
            assert_eq!(array.into_elements().capacity(), len);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for whole in [small(), gzip(&small())] {
            for len in 0..whole.len() {
                let error = decode(&whole[..len]).expect_err("a truncated file");
                let of_gzip = matches!(error, IdxError::GzipTruncated { .. });
                let of_content = matches!(error, IdxError::HeaderTruncated { .. } | IdxError::PayloadTooShort { .. });
                // One byte of the gzip magic is too short for anything.
                assert_eq!(of_gzip, whole[0] == 0x1f && len > 1, "{len}: {error:?}");
                assert!(of_gzip || of_content, "{len}: {error:?}");
            }
        }
    }

    #[test]
    fn every_bit_flip_gives_an_error_or_a_consistent_array() {
        for (whole, header) in [(small(), 16), (gzip(&small()), usize::MAX)] {
            for bit in 0..whole.len().min(header) * 8 {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if let Ok(array) = decode(&bytes) {
                    assert_eq!(array.shape().iter().product::<usize>(), array.elements().len(), "bit {bit}");
                    assert_eq!(array.elements(), decode(&whole).unwrap().elements(), "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_failing_disk_is_not_taken_for_a_damaged_file() {
        for whole in [small(), gzip(&small())] {
            for len in 0..=whole.len() {
                let error = IdxReader::with_dimensions(3).decode(Dripping { bytes: &whole[..len], fails: true }).unwrap_err();
                assert!(matches!(&error, IdxError::Io(source) if source.to_string() == "the disk is gone"), "{len}: {error:?}");
            }
        }
    }

    #[test]
    fn errors_of_files_name_them() {
        let path = Path::new("no/such/file");
        let error = IdxReader::with_dimensions(1).read_file(path).unwrap_err();
        assert!(matches!(&error, DataError::Io { path: found, .. } if found == path));
        assert!(error.to_string().starts_with("no/such/file: "));
        assert!(std::error::Error::source(&error).is_some());
    }
}
