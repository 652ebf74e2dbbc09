//! What can be wrong with files. Every variant carries what was expected and what was found.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

/// An error, and the file it is about.
#[derive(Debug)]
pub struct FileError<E> {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub source: E,
}

impl<E> FileError<E> {
    pub(super) fn new(path: &Path, source: E) -> Self {
        Self { path: path.to_path_buf(), source }
    }

    pub(super) fn map<F>(self, wrap: impl FnOnce(E) -> F) -> FileError<F> {
        FileError { path: self.path, source: wrap(self.source) }
    }
}

impl<E: fmt::Display> fmt::Display for FileError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

impl<E: Error + 'static> Error for FileError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// A file that could not be replaced.
#[derive(Debug)]
pub struct ReplaceError {
    /// The step that failed.
    pub step: ReplaceStep,
    /// What the operating system, or the one who writes, said.
    pub source: io::Error,
}

/// The steps of replacing a file, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplaceStep {
    /// Making the temporary file.
    Create,
    /// Writing to it.
    Write,
    /// Bringing it to the disk.
    Sync,
    /// Renaming it over the file.
    Rename,
    /// Bringing the directory to the disk. The file is the new one by then.
    SyncDirectory,
}

impl fmt::Display for ReplaceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::SyncDirectory => "sync the directory",
        })
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.source)
    }
}

impl Error for ReplaceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Tensors that do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorError {
    /// The names differ from those expected.
    Names {
        /// The names that were expected and are missing.
        missing: Vec<String>,
        /// The names that nobody expected.
        unexpected: Vec<String>,
    },
    /// Two tensors have the same name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// A tensor has another shape.
    Shape {
        /// The name.
        name: String,
        /// The shape expected.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A shape and the number of elements do not agree.
    ElementCount {
        /// The shape.
        shape: Vec<usize>,
        /// Its number of elements; `None` when that overflows.
        expected: Option<usize>,
        /// The number of elements given.
        found: usize,
    },
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names { missing, unexpected } => {
                for (i, (what, names)) in
                    [("missing", missing), ("unexpected", unexpected)].iter().filter(|(_, names)| !names.is_empty()).enumerate()
                {
                    write!(f, "{}{what} tensors: {}", if i == 0 { "" } else { "; " }, names.join(", "))?;
                }
                Ok(())
            }
            Self::Duplicate { name } => write!(f, "tensor `{name}`: one expected, found another of the same name"),
            Self::Shape { name, expected, found } => write!(f, "tensor `{name}`: shape {expected:?} expected, found {found:?}"),
            Self::ElementCount { shape, expected: Some(expected), found } => {
                write!(f, "shape {shape:?}: {expected} elements expected, found {found}")
            }
            Self::ElementCount { shape, expected: None, found } => {
                write!(f, "shape {shape:?}: a number of elements that fits into memory expected, found {found} elements")
            }
        }
    }
}

impl Error for TensorError {}

/// Bytes that are not the safetensors file that was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// The operating system refused to read.
    Io(io::Error),
    /// The file could not be replaced.
    Replace(ReplaceError),
    /// The file, or its header, is longer than the limit.
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// The most bytes allowed.
        limit: u64,
        /// The number of bytes found.
        found: u64,
    },
    /// The file ends too early, or goes on too long.
    Length {
        /// The number of bytes that it should have, as far as could be read.
        expected: u64,
        /// The number of bytes that it has.
        found: u64,
    },
    /// The header is not JSON of the right form.
    Header {
        /// What is wrong and where.
        reason: String,
    },
    /// A tensor, or an entry of the metadata, lacks something or has something else in its place.
    Entry {
        /// The name of the tensor, or `__metadata__`.
        name: String,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A tensor does not begin where the one before ends.
    Offset {
        /// The name.
        name: String,
        /// Where it should begin, counted from the end of the header.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// Shape and number of bytes of a tensor do not agree.
    Size {
        /// The name.
        name: String,
        /// The shape.
        shape: Vec<u64>,
        /// The bytes of that shape; `None` when that overflows.
        expected: Option<u64>,
        /// The bytes that the tensor has.
        found: u64,
    },
    /// The tensors do not fit.
    Tensor(TensorError),
}

impl From<TensorError> for SafetensorsError {
    fn from(error: TensorError) -> Self {
        Self::Tensor(error)
    }
}

impl fmt::Display for SafetensorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(source) => write!(f, "{source}"),
            Self::Replace(source) => write!(f, "{source}"),
            Self::TooLarge { what, limit, found } => write!(f, "{what} of at most {limit} bytes expected, found {found}"),
            Self::Length { expected, found } => write!(f, "{expected} bytes expected, found {found}"),
            Self::Header { reason } => write!(f, "a safetensors header expected, found {reason}"),
            Self::Entry { name, expected, found } => write!(f, "`{name}`: {expected} expected, found {found}"),
            Self::Offset { name, expected, found } => {
                write!(f, "tensor `{name}`: expected to begin at byte {expected} of the data, found at {found}")
            }
            Self::Size { name, shape, expected: Some(expected), found } => {
                write!(f, "tensor `{name}` of shape {shape:?}: {expected} bytes expected, found {found}")
            }
            Self::Size { name, shape, expected: None, found } => {
                write!(f, "tensor `{name}` of shape {shape:?}: a size that fits into memory expected, found {found} bytes")
            }
            Self::Tensor(source) => write!(f, "{source}"),
        }
    }
}

impl Error for SafetensorsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::Replace(source) => Some(source),
            Self::Tensor(source) => Some(source),
            _ => None,
        }
    }
}

/// A checkpoint that cannot be saved or is not whole, or a section that holds something else.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused to read.
    Io(io::Error),
    /// The file could not be replaced.
    Replace(ReplaceError),
    /// The name of a section has too many bytes.
    NameTooLong {
        /// The most bytes allowed.
        limit: usize,
        /// The number of bytes given.
        found: usize,
    },
    /// There are too many sections.
    TooManySections {
        /// The most sections allowed.
        limit: usize,
        /// The number given.
        found: usize,
    },
    /// The file does not begin like a checkpoint.
    Magic {
        /// The first bytes of a checkpoint.
        expected: [u8; 8],
        /// The first bytes of the file; zeros stand for what is missing.
        found: [u8; 8],
    },
    /// The checkpoint has another version of the format.
    Version {
        /// The version that is read here.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// The file is longer than the limit.
    TooLarge {
        /// The most bytes allowed.
        limit: u64,
        /// The number of bytes found.
        found: u64,
    },
    /// The file has been cut off, or something has been appended.
    Length {
        /// The number of bytes that it should have.
        expected: u64,
        /// The number of bytes that it has.
        found: u64,
    },
    /// The bytes are not those that were saved.
    Checksum {
        /// The checksum that stands at the end of the file.
        expected: u32,
        /// The checksum of the bytes before it.
        found: u32,
    },
    /// The checksum fits, but this is not a checkpoint that was written by [`Checkpoint::save`](super::Checkpoint::save).
    Malformed {
        /// The number of the section, counted from 0.
        section: u32,
        /// What was expected.
        expected: &'static str,
    },
    /// There is no such section.
    MissingSection {
        /// The name expected.
        expected: String,
        /// The names found.
        found: Vec<String>,
    },
    /// A section ends too early.
    SectionEnd {
        /// The name of the section.
        section: String,
        /// What was to be read there.
        what: &'static str,
        /// The bytes needed for it; the most that a `u64` holds when that overflows.
        expected: u64,
        /// The bytes left.
        found: u64,
    },
    /// A text is not UTF-8.
    NotUtf8 {
        /// The name of the section.
        section: String,
    },
    /// A slice has another length than the one saved.
    Count {
        /// The name of the section.
        section: String,
        /// The number of elements expected.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// A section goes on behind its last value.
    Trailing {
        /// The name of the section.
        section: String,
        /// The bytes left where none was expected.
        found: u64,
    },
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(source) => write!(f, "{source}"),
            Self::Replace(source) => write!(f, "{source}"),
            Self::NameTooLong { limit, found } => {
                write!(f, "the name of a section of at most {limit} bytes expected, found {found}")
            }
            Self::TooManySections { limit, found } => write!(f, "at most {limit} sections expected, found {found}"),
            Self::Magic { expected, found } => write!(
                f,
                "a checkpoint expected, which begins with \"{}\", found \"{}\"",
                expected.escape_ascii(),
                found.escape_ascii()
            ),
            Self::Version { expected, found } => write!(f, "a checkpoint of version {expected} expected, found {found}"),
            Self::TooLarge { limit, found } => write!(f, "at most {limit} bytes expected, found {found}"),
            Self::Length { expected, found } => write!(f, "{expected} bytes expected, found {found}"),
            Self::Checksum { expected, found } => write!(f, "checksum {expected:08x} expected, found {found:08x}"),
            Self::Malformed { section, expected } => write!(f, "section {section}: {expected} expected, found something else"),
            Self::MissingSection { expected, found } => {
                write!(f, "section `{expected}` expected, found ")?;
                if found.is_empty() { f.write_str("none") } else { write!(f, "`{}`", found.join("`, `")) }
            }
            Self::SectionEnd { section, what, expected, found } => {
                write!(f, "section `{section}`: {what} of {expected} bytes expected, found {found} bytes")
            }
            Self::NotUtf8 { section } => write!(f, "section `{section}`: UTF-8 expected, found other bytes"),
            Self::Count { section, expected, found } => {
                write!(f, "section `{section}`: {expected} elements expected, found {found}")
            }
            Self::Trailing { section, found } => write!(f, "section `{section}`: its end expected, found {found} more bytes"),
        }
    }
}

impl Error for CheckpointError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::Replace(source) => Some(source),
            _ => None,
        }
    }
}

/// A configuration that is not that of a network known here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// The configuration is too long.
    TooLarge {
        /// The most bytes allowed.
        limit: usize,
        /// The number of bytes found.
        found: usize,
    },
    /// The configuration is not JSON.
    Json {
        /// What is wrong and where.
        reason: String,
    },
    /// The model is neither sequential nor functional.
    ModelClass {
        /// Its class.
        found: String,
    },
    /// A layer of a class that is not supported.
    LayerClass {
        /// The name of the layer.
        layer: String,
        /// Its class.
        found: String,
    },
    /// A field is missing, of another kind, or asks for something that is not supported.
    Field {
        /// The name of the layer; empty for the model.
        layer: String,
        /// The field.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
        /// The beginning of what was found; `null` where there is nothing.
        found: String,
    },
    /// Two layers have the same name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// A layer is called with too few or too many inputs.
    InputCount {
        /// The name of the layer.
        layer: String,
        /// The number of inputs expected, at least.
        expected: usize,
        /// The number found.
        found: usize,
    },
    /// A layer waits for its own output.
    Circle {
        /// The name of a layer that does, or that waits for one that does.
        layer: String,
    },
}

impl fmt::Display for ArchitectureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit, found } => write!(f, "a configuration of at most {limit} bytes expected, found {found}"),
            Self::Json { reason } => write!(f, "a configuration in JSON expected, found {reason}"),
            Self::ModelClass { found } => write!(f, "a model of class Sequential or Functional expected, found {found}"),
            Self::LayerClass { layer, found } => write!(f, "layer `{layer}`: a supported class expected, found {found}"),
            Self::Field { layer, field, expected, found } if layer.is_empty() => {
                write!(f, "`{field}`: {expected} expected, found {found}")
            }
            Self::Field { layer, field, expected, found } => {
                write!(f, "layer `{layer}`, `{field}`: {expected} expected, found {found}")
            }
            Self::Duplicate { name } => write!(f, "layer `{name}`: one expected, found another of the same name"),
            Self::InputCount { layer, expected, found } => write!(f, "layer `{layer}`: {expected} inputs expected, found {found}"),
            Self::Circle { layer } => write!(f, "layer `{layer}`: inputs that come before it expected, found a circle"),
        }
    }
}

impl Error for ArchitectureError {}

/// Bytes that are not a `.keras` file that can be read here.
#[cfg(feature = "keras")]
#[derive(Debug)]
#[non_exhaustive]
pub enum KerasError {
    /// The operating system refused to read.
    Io(io::Error),
    /// Something is longer than its limit.
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// The most bytes allowed.
        limit: u64,
        /// The number of bytes found.
        found: u64,
    },
    /// The file is not a zip archive.
    Zip {
        /// What is wrong.
        reason: String,
    },
    /// A file in the archive is missing, damaged, or something else.
    Entry {
        /// The file in the archive.
        name: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The network is not known here.
    Architecture(ArchitectureError),
    /// The file of weights is not HDF5, or lacks something.
    Hdf5 {
        /// The group or dataset.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A variable is another one than the configuration says.
    Variable {
        /// The group or dataset.
        path: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The tensors do not fit.
    Tensor(TensorError),
}

#[cfg(feature = "keras")]
impl fmt::Display for KerasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(source) => write!(f, "{source}"),
            Self::TooLarge { what, limit, found } => write!(f, "{what}: at most {limit} bytes expected, found {found}"),
            Self::Zip { reason } => write!(f, "a zip archive expected, found: {reason}"),
            Self::Entry { name, expected, found } => write!(f, "{name}: {expected} expected, found {found}"),
            Self::Architecture(source) => write!(f, "{source}"),
            Self::Hdf5 { path, reason } => write!(f, "weights, `{path}`: HDF5 expected, found: {reason}"),
            Self::Variable { path, expected, found } => write!(f, "weights, `{path}`: {expected} expected, found {found}"),
            Self::Tensor(source) => write!(f, "{source}"),
        }
    }
}

#[cfg(feature = "keras")]
impl Error for KerasError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::Architecture(source) => Some(source),
            Self::Tensor(source) => Some(source),
            _ => None,
        }
    }
}
