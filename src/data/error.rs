//! What can be wrong with data. Every variant carries what was expected and what was found.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// An error of the [`data`](crate::data) module.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to read or write.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The bytes are not the IDX file that was asked for.
    Idx {
        /// The file; `None` when the bytes came from a reader.
        path: Option<PathBuf>,
        /// What is wrong.
        source: IdxError,
    },
    /// The number of bytes is not rows times features.
    PixelCount {
        /// The number of rows, which is the number of labels.
        rows: usize,
        /// The number of features of a row.
        row_len: usize,
        /// `rows * row_len`; `None` when that overflows.
        expected: Option<usize>,
        /// The number of bytes given.
        found: usize,
    },
    /// The shape of a row has no dimension, a dimension of zero, or a product that overflows.
    RowShape {
        /// The shape given.
        found: Vec<usize>,
    },
    /// More rows than a `u32` can number.
    TooManyRows {
        /// The most rows possible.
        maximum: usize,
        /// The number of rows given.
        found: usize,
    },
    /// The number of classes is outside `1..=256`: labels are bytes.
    ClassCount {
        /// The number given.
        found: usize,
    },
    /// A label is not below the number of classes.
    LabelOutOfRange {
        /// The row, counted from 0.
        row: usize,
        /// Its label.
        label: u8,
        /// The number of classes: labels `0..classes` were expected.
        classes: usize,
    },
    /// The fraction for validation is not between 0 and 1 (both excluded).
    SplitFraction {
        /// The fraction given.
        found: f64,
    },
    /// A split would leave the training or the validation part without a row.
    EmptySplit {
        /// The number of rows to split.
        rows: usize,
        /// The fraction for validation.
        fraction: f64,
        /// Rows that would be left for training.
        train: usize,
        /// Rows that would be left for validation.
        validation: usize,
    },
    /// Statistics of a dataset without rows.
    NoRows,
    /// A batch size of zero.
    ZeroBatchSize {
        /// The number of rows that were to be batched.
        rows: usize,
    },
    /// The images and the labels of one part differ in number.
    RowCount {
        /// The file of the images.
        images: PathBuf,
        /// The number of images.
        expected: usize,
        /// The file of the labels.
        labels: PathBuf,
        /// The number of labels.
        found: usize,
    },
    /// The images of a file have another size.
    ImageShape {
        /// The file.
        path: PathBuf,
        /// Rows and columns expected.
        expected: [usize; 2],
        /// Rows and columns found.
        found: [usize; 2],
    },
    /// Rows are no images of at least one cell.
    Cells {
        /// Rows and columns of a cell, in pixels.
        cell: usize,
        /// The shape of a row.
        found: Vec<usize>,
    },
    /// A directory does not hold the files that it should.
    MissingFiles {
        /// The directory.
        directory: PathBuf,
        /// Who named the directory.
        named_by: &'static str,
        /// Every file expected there, each with or without `.gz`.
        expected: Vec<&'static str>,
        /// Those that are missing.
        missing: Vec<&'static str>,
    },
    /// A file could not be downloaded. Nothing of it is left behind.
    Download {
        /// The address.
        url: String,
        /// What went wrong.
        source: DownloadError,
    },
}

impl DataError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Idx { path: Some(path), source } => write!(f, "{}: {source}", path.display()),
            Self::Idx { path: None, source } => write!(f, "{source}"),
            Self::PixelCount { rows, row_len, expected: Some(expected), found } => {
                write!(f, "{rows} labels and {row_len} features per row expect {expected} bytes, found {found}")
            }
            Self::PixelCount { rows, row_len, expected: None, found } => {
                write!(f, "{rows} labels and {row_len} features per row expect more bytes than can be addressed, found {found}")
            }
            Self::RowShape { found } => write!(f, "a row shape of positive dimensions expected, found {found:?}"),
            Self::TooManyRows { maximum, found } => write!(f, "at most {maximum} rows expected, found {found}"),
            Self::ClassCount { found } => write!(f, "1 to 256 classes expected, found {found}"),
            Self::LabelOutOfRange { row, label, classes } => {
                write!(f, "label below {classes} expected in row {row}, found {label}")
            }
            Self::SplitFraction { found } => {
                write!(f, "a validation fraction between 0 and 1 (both excluded) expected, found {found}")
            }
            Self::EmptySplit { rows, fraction, train, validation } => write!(
                f,
                "a validation fraction of {fraction} splits {rows} rows into {train} for training and {validation} for validation; \
                 at least one in each expected"
            ),
            Self::NoRows => write!(f, "at least one row expected, found none"),
            Self::ZeroBatchSize { rows } => write!(f, "a batch size of at least 1 expected for {rows} rows, found 0"),
            Self::RowCount { images, expected, labels, found } => {
                write!(f, "{} holds {expected} images, but {} holds {found} labels", images.display(), labels.display())
            }
            Self::Cells { cell, found } => {
                write!(f, "images of at least one cell of {cell} x {cell} pixels expected, found rows of shape {found:?}")
            }
            Self::ImageShape { path, expected, found } => write!(
                f,
                "{}: images of {} x {} expected, found {} x {}",
                path.display(),
                expected[0],
                expected[1],
                found[0],
                found[1]
            ),
            Self::MissingFiles { directory, named_by, expected, missing } => write!(
                f,
                "{} ({named_by}) was expected to hold {}, each with or without .gz; missing: {}",
                directory.display(),
                expected.join(", "),
                missing.join(", ")
            ),
            Self::Download { url, source } => write!(f, "{url}: {source}"),
        }
    }
}

impl Error for DataError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Idx { source, .. } => Some(source),
            Self::Download { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why bytes are not the IDX file that was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdxError {
    /// The reader failed.
    Io(io::Error),
    /// The gzip stream ends too early.
    GzipTruncated {
        /// Decompressed bytes that came before the end.
        decompressed: u64,
    },
    /// The gzip stream is damaged: a bad header, a bad block or a wrong checksum.
    GzipCorrupt {
        /// Decompressed bytes that came before the damage was noticed.
        decompressed: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// The file ends inside its header.
    HeaderTruncated {
        /// Bytes that the header takes, as far as it is known.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The file does not begin with two zero bytes.
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The elements are not unsigned bytes.
    ElementType {
        /// The type code expected: `0x08`, unsigned byte.
        expected: u8,
        /// The type code found.
        found: u8,
    },
    /// The array has another number of dimensions.
    DimensionCount {
        /// The number asked for.
        expected: u8,
        /// The number found.
        found: u8,
    },
    /// A dimension is zero.
    ZeroDimension {
        /// Which one, counted from 0.
        axis: usize,
        /// All dimensions found.
        found: Vec<u32>,
    },
    /// The array is larger than the reader is allowed to take.
    TooLarge {
        /// The most bytes allowed.
        maximum: usize,
        /// The bytes that the header promises; `None` when their number does not fit in 64 bits.
        found: Option<u64>,
        /// The dimensions that the header promises.
        dimensions: Vec<u32>,
    },
    /// Fewer bytes follow the header than it promises.
    PayloadTooShort {
        /// Bytes promised.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// More bytes follow the header than it promises. Reading stopped at the first of them.
    PayloadTooLong {
        /// Bytes promised.
        expected: usize,
        /// Bytes there are at least.
        found_at_least: usize,
    },
}

impl fmt::Display for IdxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(source) => write!(f, "{source}"),
            Self::GzipTruncated { decompressed } => {
                write!(f, "the gzip stream ends too early, after {decompressed} decompressed bytes")
            }
            Self::GzipCorrupt { decompressed, source } => {
                write!(f, "the gzip stream is damaged, noticed after {decompressed} decompressed bytes: {source}")
            }
            Self::HeaderTruncated { expected, found } => {
                write!(f, "an IDX header of {expected} bytes expected, found {found} bytes")
            }
            Self::Magic { found } => write!(f, "an IDX file begins with the bytes 00 00, found {found:02x?}"),
            Self::ElementType { expected, found } => {
                write!(f, "IDX element type {expected:#04x} (unsigned byte) expected, found {found:#04x}")
            }
            Self::DimensionCount { expected, found } => write!(f, "an IDX array of {expected} dimensions expected, found {found}"),
            Self::ZeroDimension { axis, found } => {
                write!(f, "positive IDX dimensions expected, found {found:?} (axis {axis} is zero)")
            }
            Self::TooLarge { maximum, found: Some(found), dimensions } => {
                write!(f, "an IDX array of at most {maximum} bytes expected, found {dimensions:?}, which is {found} bytes")
            }
            Self::TooLarge { maximum, found: None, dimensions } => {
                write!(f, "an IDX array of at most {maximum} bytes expected, found {dimensions:?}, which overflows 64 bits")
            }
            Self::PayloadTooShort { expected, found } => {
                write!(f, "the IDX header promises {expected} bytes, found {found}")
            }
            Self::PayloadTooLong { expected, found_at_least } => {
                write!(f, "the IDX header promises {expected} bytes, found at least {found_at_least}")
            }
        }
    }
}

impl Error for IdxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(source) | Self::GzipCorrupt { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a file could not be downloaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum DownloadError {
    /// No connection: the host is unknown, refuses, or cannot be reached.
    Connection {
        /// What the network said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server was too slow.
    Timeout {
        /// What was waited for.
        waiting_for: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The server answered with another status than 200.
    Status {
        /// The status expected: 200.
        expected: u16,
        /// The status found.
        found: u16,
    },
    /// The body ended too early.
    TooShort {
        /// Bytes expected.
        expected: u64,
        /// Bytes received.
        found: u64,
    },
    /// The body is longer than the file. Reading stopped at the first byte too many.
    TooLong {
        /// Bytes expected.
        expected: u64,
        /// Bytes announced or received.
        found_at_least: u64,
    },
    /// The bytes have another checksum.
    Checksum {
        /// The MD5 expected, in hexadecimal digits.
        expected: String,
        /// The MD5 found.
        found: String,
    },
    /// The server did not speak HTTP as it should, or the connection broke.
    Protocol {
        /// What the HTTP library said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl fmt::Display for DownloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection { source } => write!(f, "no connection: {source}"),
            Self::Timeout { waiting_for, limit } => write!(f, "no {waiting_for} within {} s", limit.as_secs_f64()),
            Self::Status { expected, found } => write!(f, "HTTP status {expected} expected, found {found}"),
            Self::TooShort { expected, found } => write!(f, "{expected} bytes expected, the body ended after {found}"),
            Self::TooLong { expected, found_at_least } => write!(f, "{expected} bytes expected, found at least {found_at_least}"),
            Self::Checksum { expected, found } => write!(f, "MD5 {expected} expected, found {found}"),
            Self::Protocol { source } => write!(f, "{source}"),
        }
    }
}

impl Error for DownloadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connection { source } | Self::Protocol { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
