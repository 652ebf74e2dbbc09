//! Weights in the safetensors format, which most libraries read and write.
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 | `n`, the length of the header, little-endian |
//! | `n` | the header: JSON, filled up with spaces so that the data begins at a multiple of 8 |
//! | the rest | the data of all tensors, little-endian, the last dimension running fastest |
//!
//! The header maps each name to `{"dtype": "F32", "shape": [784, 300], "data_offsets": [begin, end]}`, counted from the end of the header,
//! and `__metadata__` to pairs of strings. Source: the format description in the repository of `huggingface/safetensors`; what is written
//! here equals the bytes of that crate, which is not used itself: with it would come ten more crates, a parser of Rust among them.
//!
//! # What is refused
//!
//! Reading is strict. Every tensor must be `F32`, every name and key unique, no key unknown, every shape agree with its bytes, and the
//! tensors must cover the data without a hole or an overlap.
//!
//! # Hostile files
//!
//! Everything is checked before anything is allocated for the data. A header may have [`MAX_HEADER`] bytes and takes at most 40 times its
//! length; elements take exactly the bytes that the file really has, at most [`MAX_BYTES`]. Nothing here panics.
//!
//! ```
//! use selvedge::io::{Safetensors, Source, safetensors};
//! use selvedge::kernels::MatRef;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = &std::env::temp_dir().join(format!("selvedge-doc-{}.safetensors", std::process::id()));
//! // Two rows of two, each with an element of padding.
//! let kernel = MatRef::new(&[1.0, 2.0, 0.0, 3.0, 4.0, 0.0], 2, 2, 3);
//! let metadata = [("made by".to_owned(), "an example".to_owned())].into();
//! safetensors::save(path, &[Source::new("dense/kernel", &[2, 2], kernel)?], &metadata)?;
//!
//! let file = Safetensors::load(path)?;
//! assert_eq!(file.metadata["made by"], "an example");
//! assert_eq!(file.tensors.require("dense/kernel", &[2, 2])?.elements(), [1.0, 2.0, 3.0, 4.0]);
//! # std::fs::remove_file(path)?;
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use serde_core::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    atomic,
    error::{FileError, SafetensorsError, TensorError},
    little_endian::{read_f32s, write_f32s, zeros},
    tensors::{Source, Tensor, Tensors},
};

/// The longest header that is read or written: room for some 40,000 tensors.
pub const MAX_HEADER: u64 = 4 << 20;

/// The longest file that is read.
pub const MAX_BYTES: u64 = 4 << 30;

const METADATA: &str = "__metadata__";
const ELEMENT: &str = "F32";

/// Pairs of strings that go with the tensors.
pub type Metadata = BTreeMap<String, String>;

/// A file in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Safetensors {
    /// The pairs of strings.
    pub metadata: Metadata,
    /// The tensors.
    pub tensors: Tensors,
}

impl Safetensors {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is longer than [`MAX_BYTES`], or is [refused](self#what-is-refused).
    pub fn load(path: &Path) -> Result<Self, FileError<SafetensorsError>> {
        let read = || {
            let file = File::open(path).map_err(SafetensorsError::Io)?;
            let length = file.metadata().map_err(SafetensorsError::Io)?.len();
            read(BufReader::new(file), length)
        };
        read().map_err(|error| FileError::new(path, error))
    }

    /// Reads bytes in memory.
    ///
    /// # Errors
    /// If they are too many or [refused](self#what-is-refused).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SafetensorsError> {
        read(bytes, bytes.len() as u64)
    }
}

/// Saves tensors and metadata; the file is [replaced whole](atomic).
///
/// # Errors
/// [`TensorError::Duplicate`] for a name given twice or the reserved name `__metadata__`; [`SafetensorsError::TooLarge`] for a header
/// that is too long; [`SafetensorsError::Replace`] if the file cannot be replaced.
pub fn save(path: &Path, tensors: &[Source<'_>], metadata: &Metadata) -> Result<(), FileError<SafetensorsError>> {
    let (header, order) = header(tensors, metadata).map_err(|error| FileError::new(path, error))?;
    let replaced = atomic::replace(path, |writer| write(writer, &header, &order));
    replaced.map_err(|error| error.map(SafetensorsError::Replace))
}

/// The bytes that [`save`] writes.
///
/// # Errors
/// As for [`save`].
pub fn to_bytes(tensors: &[Source<'_>], metadata: &Metadata) -> Result<Vec<u8>, SafetensorsError> {
    let (header, order) = header(tensors, metadata)?;
    let mut bytes = Vec::new();
    write(&mut bytes, &header, &order).map_err(SafetensorsError::Io)?;
    Ok(bytes)
}

fn write(writer: &mut dyn Write, header: &[u8], tensors: &[Source<'_>]) -> io::Result<()> {
    writer.write_all(&(header.len() as u64).to_le_bytes())?;
    writer.write_all(header)?;
    for tensor in tensors {
        let matrix = tensor.matrix();
        for i in 0..matrix.rows() {
            write_f32s(writer, matrix.row(i))?;
        }
    }
    Ok(())
}

/// The header, and the tensors in the order of their names.
fn header<'a>(tensors: &[Source<'a>], metadata: &Metadata) -> Result<(Vec<u8>, Vec<Source<'a>>), SafetensorsError> {
    let mut order = tensors.to_vec();
    order.sort_by_key(Source::name);
    let reserved = order.iter().map(Source::name).find(|name| *name == METADATA);
    let repeated = order.windows(2).find(|pair| pair[0].name() == pair[1].name()).map(|pair| pair[0].name());
    if let Some(name) = reserved.or(repeated) {
        return Err(TensorError::Duplicate { name: name.to_owned() }.into());
    }
    let mut entries = Vec::with_capacity(order.len() + 1);
    if !metadata.is_empty() {
        let pairs: Vec<String> = metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
        entries.push(format!("\"{METADATA}\":{{{}}}", pairs.join(",")));
    }
    let mut begin = 0;
    for tensor in &order {
        let mut shape = String::new();
        for (i, dimension) in tensor.shape().iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(shape, "{}{dimension}", if i == 0 { "" } else { "," });
        }
        let end = begin + tensor.matrix().rows() * tensor.matrix().columns() * size_of::<f32>();
        entries.push(format!(
            "{}:{{\"dtype\":\"{ELEMENT}\",\"shape\":[{shape}],\"data_offsets\":[{begin},{end}]}}",
            quoted(tensor.name())
        ));
        begin = end;
    }
    let mut header = format!("{{{}}}", entries.join(",")).into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    check_header_length(header.len() as u64)?;
    Ok((header, order))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn check_header_length(found: u64) -> Result<(), SafetensorsError> {
    if found <= MAX_HEADER { Ok(()) } else { Err(SafetensorsError::TooLarge { what: "a header", limit: MAX_HEADER, found }) }
}

/// What the header says of a tensor, checked against itself.
struct Entry {
    name: String,
    shape: Vec<usize>,
    count: usize,
    begin: u64,
    end: u64,
}

fn read(mut reader: impl Read, length: u64) -> Result<Safetensors, SafetensorsError> {
    if length > MAX_BYTES {
        return Err(SafetensorsError::TooLarge { what: "a file", limit: MAX_BYTES, found: length });
    }
    if length < 8 {
        return Err(SafetensorsError::Length { expected: 8, found: length });
    }
    let mut header_length = [0; 8];
    reader.read_exact(&mut header_length).map_err(SafetensorsError::Io)?;
    let header_length = u64::from_le_bytes(header_length);
    check_header_length(header_length)?;
    if 8 + header_length > length {
        return Err(SafetensorsError::Length { expected: 8 + header_length, found: length });
    }
    let mut header = vec![0; header_length as usize];
    reader.read_exact(&mut header).map_err(SafetensorsError::Io)?;
    let (metadata, mut entries) = parse_header(&header)?;
    drop(header);
    // Each begins where the one before ends; those without elements may stand anywhere in between.
    entries.sort_by_key(|entry| (entry.begin, entry.end));
    let mut end = 0;
    for entry in &entries {
        if entry.begin != end {
            return Err(SafetensorsError::Offset { name: entry.name.clone(), expected: end, found: entry.begin });
        }
        end = entry.end;
    }
    let expected = end.saturating_add(8 + header_length);
    if expected != length {
        return Err(SafetensorsError::Length { expected, found: length });
    }
    let mut tensors = Tensors::new();
    for Entry { name, shape, count, .. } in entries {
        let mut elements = zeros(count as u64).map_err(SafetensorsError::Io)?;
        read_f32s(&mut reader, &mut elements).map_err(SafetensorsError::Io)?;
        tensors.insert(name, Tensor::new(shape, elements)?)?;
    }
    Ok(Safetensors { metadata, tensors })
}

fn parse_header(header: &[u8]) -> Result<(Metadata, Vec<Entry>), SafetensorsError> {
    let pairs: Pairs<Pairs<Field>> =
        serde_json::from_slice(header).map_err(|error| SafetensorsError::Header { reason: error.to_string() })?;
    let mut metadata = None;
    let mut entries = Vec::new();
    for (name, fields) in pairs.0 {
        if name == METADATA {
            if metadata.replace(parse_metadata(fields)?).is_some() {
                return Err(TensorError::Duplicate { name }.into());
            }
        } else {
            entries.push(parse_entry(name, fields)?);
        }
    }
    Ok((metadata.unwrap_or_default(), entries))
}

fn parse_metadata(fields: Pairs<Field>) -> Result<Metadata, SafetensorsError> {
    let wrong = |expected, found| SafetensorsError::Entry { name: METADATA.to_owned(), expected, found };
    let mut metadata = Metadata::new();
    for (key, field) in fields.0 {
        let Field::Text(value) = field else { return Err(wrong("a string", format!("numbers for `{key}`"))) };
        if metadata.contains_key(&key) {
            return Err(wrong("every key once", format!("`{key}` again")));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn parse_entry(name: String, fields: Pairs<Field>) -> Result<Entry, SafetensorsError> {
    let (mut dtype, mut shape, mut offsets) = (None, None, None);
    for (key, field) in fields.0 {
        let repeated = match (key.as_str(), field) {
            ("dtype", Field::Text(text)) => dtype.replace(text).is_some(),
            ("shape", Field::Numbers(numbers)) => shape.replace(numbers).is_some(),
            ("data_offsets", Field::Numbers(numbers)) => offsets.replace(numbers).is_some(),
            _ => {
                let expected = "a string `dtype`, numbers `shape` and `data_offsets`, nothing else";
                return Err(SafetensorsError::Entry { name, expected, found: format!("`{key}`") });
            }
        };
        if repeated {
            return Err(SafetensorsError::Entry { name, expected: "every key once", found: format!("`{key}` again") });
        }
    }
    if dtype.as_deref() != Some(ELEMENT) {
        let found = dtype.unwrap_or_else(|| "none".to_owned());
        return Err(SafetensorsError::Entry { name, expected: "dtype F32", found });
    }
    let Some(dimensions) = shape else {
        return Err(SafetensorsError::Entry { name, expected: "`shape`", found: "none".to_owned() });
    };
    let Some(&[begin, end]) = offsets.as_deref().filter(|offsets| offsets.is_sorted()) else {
        let expected = "`data_offsets` of a begin and an end not before it";
        let found = offsets.map_or_else(|| "none".to_owned(), |offsets| format!("{offsets:?}"));
        return Err(SafetensorsError::Entry { name, expected, found });
    };
    let shape: Option<Vec<usize>> = dimensions.iter().map(|dimension| usize::try_from(*dimension).ok()).collect();
    let count = shape.as_deref().and_then(super::tensors::element_count);
    let size = count.and_then(|count| (count as u64).checked_mul(size_of::<f32>() as u64));
    match (shape, count) {
        (Some(shape), Some(count)) if size == Some(end - begin) => Ok(Entry { name, shape, count, begin, end }),
        _ => Err(SafetensorsError::Size { name, shape: dimensions, expected: size, found: end - begin }),
    }
}

/// A JSON object as it stands there, so that a key that comes twice is seen.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor(std::marker::PhantomData))
    }
}

/// The only values that the header has below its objects.
enum Field {
    Text(String),
    Numbers(Vec<u64>),
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor;
        impl<'de> Visitor<'de> for FieldVisitor {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of numbers")
            }

            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(Field::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(Field::Numbers(numbers))
            }
        }
        deserializer.deserialize_any(FieldVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tensors::Target;
    use super::*;
    use crate::kernels::{MatMut, MatRef};
    use crate::scratch::Scratch;
    use ::safetensors as oracle;
    use std::fs;

    /// A file with this header and so many bytes of data.
    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
    }

    fn error(header: &str, data: usize) -> SafetensorsError {
        Safetensors::from_bytes(&file(header, data)).unwrap_err()
    }

    fn some_metadata() -> Metadata {
        Metadata::from([("note".to_owned(), "\"quotes\" \\ and\nlines \u{1} größer".to_owned())])
    }

    #[test]
    fn padded_matrices_are_written_without_padding_and_read_back() {
        let scratch = Scratch::new();
        let path = scratch.path().join("weights.safetensors");
        let kernel = [1.0, 2.0, 3.0, f32::NAN, 4.0, 5.0, -0.0, f32::NAN];
        let mean = [f32::from_bits(0x7fa0_0001), f32::MIN_POSITIVE / 2.0, f32::NAN];
        let sources = [
            Source::new("dense/kernel", &[2, 3], MatRef::new(&kernel, 2, 3, 4)).unwrap(),
            Source::new("batch_normalization/moving_mean", &[2], MatRef::new(&mean, 1, 2, 3)).unwrap(),
            Source::new("empty", &[0, 3], MatRef::new(&[], 0, 3, 3)).unwrap(),
        ];
        save(&path, &sources, &some_metadata()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), to_bytes(&sources, &some_metadata()).unwrap());
        let loaded = Safetensors::load(&path).unwrap();
        assert_eq!(loaded.metadata, some_metadata());
        let (mut kernel, mut mean, mut empty) = ([7.0; 12], [7.0; 2], [7.0]);
        let targets = &mut [
            Target::new("empty", &[0, 3], MatMut::new(&mut empty, 0, 3, 3)).unwrap(),
            Target::new("dense/kernel", &[2, 3], MatMut::new(&mut kernel, 2, 3, 7)).unwrap(),
            Target::new("batch_normalization/moving_mean", &[2], MatMut::new(&mut mean, 1, 2, 2)).unwrap(),
        ];
        loaded.tensors.copy_to(targets).unwrap();
        assert_eq!(kernel, [1.0, 2.0, 3.0, 7.0, 7.0, 7.0, 7.0, 4.0, 5.0, -0.0, 7.0, 7.0]);
        assert!(kernel[9].is_sign_negative());
        assert_eq!(mean.map(f32::to_bits), [0x7fa0_0001, (f32::MIN_POSITIVE / 2.0).to_bits()]);
        // What was read is written to the same bytes.
        assert_eq!(to_bytes(&loaded.tensors.sources(), &loaded.metadata).unwrap(), fs::read(&path).unwrap());
    }

    #[test]
    fn the_bytes_are_those_of_the_original_library() {
        for metadata in [Metadata::new(), some_metadata()] {
            for shapes in [&[][..], &[&[3, 5][..], &[5], &[], &[2, 1, 3], &[0]], &[&[1]]] {
                let elements: Vec<f32> = (0..100).map(|i| i as f32 * 0.37 - 5.0).collect();
                let names: Vec<String> = (0..shapes.len()).map(|i| format!("layer_{}/\"kernel\"", (i * 7) % 5)).collect();
                let mut sources = Vec::new();
                let mut theirs = Vec::new();
                for (name, shape) in names.iter().zip(shapes) {
                    let count = shape.iter().product();
                    sources.push(Source::new(name, shape, MatRef::new(&elements, 1, count, count)).unwrap());
                    let bytes: &[u8] = bytemuck::cast_slice(&elements[..count]);
                    let view = oracle::tensor::TensorView::new(oracle::Dtype::F32, shape.to_vec(), bytes).unwrap();
                    theirs.push((name, view));
                }
                let ours = to_bytes(&sources, &metadata).unwrap();
                let their_metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
                assert_eq!(ours, oracle::serialize(theirs, their_metadata).unwrap());
                // And the library reads them.
                let read = oracle::SafeTensors::deserialize(&ours).unwrap();
                assert_eq!(read.len(), shapes.len());
                assert_eq!(Safetensors::from_bytes(&ours).unwrap().tensors.len(), shapes.len());
            }
        }
    }

    #[test]
    fn a_header_may_be_written_in_many_ways() {
        let header = r#" { "b" : {"data_offsets":[4,12], "shape":[1,2],"dtype":"F32"}, "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
            "z":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}, "__metadata__" : {} }  "#;
        let mut bytes = file(header, 12);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&2.5f32.to_le_bytes());
        let read = Safetensors::from_bytes(&bytes).unwrap();
        assert_eq!(read.tensors.require("b", &[1, 2]).unwrap().elements(), [0.0, 2.5]);
        assert_eq!(read.tensors.require("a", &[]).unwrap().elements(), [0.0]);
        assert_eq!((read.tensors.len(), read.metadata.len()), (3, 0));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let entry = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(Safetensors::from_bytes(&file(&entry("\"F32\"", "[2]", "[0,8]"), 8)).is_ok());
        for (dtype, shape, offsets, data, expected) in [
            ("\"F16\"", "[2]", "[0,4]", 4, "`a`: dtype F32 expected, found F16"),
            ("\"F32\"", "[3]", "[0,8]", 8, "tensor `a` of shape [3]: 12 bytes expected, found 8"),
            ("\"F32\"", "[2]", "[4,12]", 12, "tensor `a`: expected to begin at byte 0 of the data, found at 4"),
            ("\"F32\"", "[2]", "[8,0]", 8, "`a`: `data_offsets` of a begin and an end not before it expected, found [8, 0]"),
            ("\"F32\"", "[2]", "[0,8,8]", 8, "`a`: `data_offsets` of a begin and an end not before it expected, found [0, 8, 8]"),
            (
                "\"F32\"",
                "\"2\"",
                "[0,8]",
                8,
                "`a`: a string `dtype`, numbers `shape` and `data_offsets`, nothing else expected, found `shape`",
            ),
            (
                "\"F32\"",
                "[4611686018427387904,4,0]",
                "[0,0]",
                0,
                "tensor `a` of shape [4611686018427387904, 4, 0]: a size that fits into memory expected, found 0 bytes",
            ),
        ] {
            assert_eq!(error(&entry(dtype, shape, offsets), data).to_string(), expected);
        }
        let offsets = [("[0,8]", 4), ("[0,8]", 12), ("[0,8]", 0)];
        for (offsets, data) in offsets {
            let error = error(&entry("\"F32\"", "[2]", offsets), data);
            assert!(matches!(error, SafetensorsError::Length { .. }), "{error}");
        }
        let a = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        let b = |begin, end| format!(r#""b":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{end}]}}"#);
        assert!(Safetensors::from_bytes(&file(&format!("{{{a},{}}}", b(4, 8)), 8)).is_ok());
        // The same name, an overlap, a hole.
        let duplicate = error(&format!("{{{a},{}}}", a.replace("[0,4]", "[4,8]")), 8);
        assert!(matches!(duplicate, SafetensorsError::Tensor(TensorError::Duplicate { .. })), "{duplicate}");
        for (begin, end) in [(0, 4), (8, 12)] {
            let error = error(&format!("{{{a},{}}}", b(begin, end)), 12);
            assert!(matches!(error, SafetensorsError::Offset { .. }), "{error}");
        }
        for header in [
            r#"{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":"x"}}"#,
            r#"{"a":{"dtype":"F32","shape":[1]}}"#,
            r#"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#,
            r#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#,
            r#"{"__metadata__":{"k":[1]}}"#,
            r#"{"__metadata__":{"k":"1","k":"2"}}"#,
        ] {
            assert!(matches!(error(header, 4), SafetensorsError::Entry { .. }), "{header}");
        }
        let twice = error(r#"{"__metadata__":{},"__metadata__":{}}"#, 0);
        assert!(matches!(twice, SafetensorsError::Tensor(TensorError::Duplicate { .. })), "{twice}");
        for header in [
            "",
            "[]",
            "null",
            "{",
            "{}{}",
            r#"{"a":1}"#,
            r#"{"a":{"shape":[-1]}}"#,
            r#"{"a":{"shape":[1.5]}}"#,
            "{\"a\":{\"\u{0}\"}}",
        ] {
            assert!(matches!(error(header, 0), SafetensorsError::Header { .. }), "{header}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(error(&format!("{{\"a\":{{\"shape\":{deep}"), 0), SafetensorsError::Header { .. }));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        let header = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
        assert!(Safetensors::from_bytes(&header(2)).is_ok());
        assert!(matches!(Safetensors::from_bytes(&header(1)), Err(SafetensorsError::Header { .. })));
        assert!(matches!(Safetensors::from_bytes(&header(3)), Err(SafetensorsError::Length { expected: 11, found: 10 })));
        for length in [MAX_HEADER + 1, 1 << 40, u64::MAX] {
            assert!(matches!(Safetensors::from_bytes(&header(length)), Err(SafetensorsError::TooLarge { .. })), "{length}");
        }
        assert!(matches!(read(&[][..], MAX_BYTES + 1), Err(SafetensorsError::TooLarge { .. })));
        let bytes = file(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#, 12);
        for length in 0..bytes.len() {
            assert!(Safetensors::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn flipped_bits_never_panic() {
        let sources = [Source::new("dense/kernel", &[2, 1], MatRef::new(&[1.0, 2.0], 2, 1, 1)).unwrap()];
        let mut bytes = to_bytes(&sources, &some_metadata()).unwrap();
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = Safetensors::from_bytes(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn names_that_clash_are_not_saved() {
        let one = |name: &'static str| Source::new(name, &[1], MatRef::new(&[1.0], 1, 1, 1)).unwrap();
        for sources in [[one("a"), one("a")], [one("a"), one(METADATA)]] {
            let error = to_bytes(&sources, &Metadata::new()).unwrap_err();
            assert!(matches!(error, SafetensorsError::Tensor(TensorError::Duplicate { .. })), "{error}");
        }
        let long = Metadata::from([("k".to_owned(), "v".repeat(MAX_HEADER as usize))]);
        assert!(matches!(to_bytes(&[], &long), Err(SafetensorsError::TooLarge { .. })));
    }
}
