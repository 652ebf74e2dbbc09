//! [`KerasFile`]: the `.keras` files of Keras 3.
//!
//! A `.keras` file is a zip archive of three files:
//!
//! | file | what is read |
//! |---|---|
//! | `metadata.json` | the version of Keras, which must be 3 |
//! | `config.json` | the [`Architecture`] |
//! | `model.weights.h5` | the tensors, from HDF5 |
//!
//! HDF5 does not know the names of layers and variables. The weights of a layer stand under `layers/<class>[_<k>]/vars/<i>`: the class in
//! snake case, `k` its number among the layers of that class, without the suffix for the first; `i` in the order of
//! [`LayerKind::variables`]. Newer versions note the name of the layer beside them, which is then compared. The state of the optimizer is left
//! out. Source: `keras/src/saving/saving_lib.py`.
//!
//! Here the tensors have the names `<layer>/<variable>`, as in what `scripts/export_keras.py` makes, which is the way for a file with something
//! in it that is not read here.
//!
//! # Hostile files
//!
//! Sizes are checked before anything is unpacked: a file has at most [`MAX_BYTES`], an unpacked one at most 16 times the length of the whole
//! and 1 MiB (weights hardly shrink, and Keras itself does not even try), a JSON file at most
//! [`MAX_JSON`](super::architecture::MAX_JSON) bytes. Checksums of the archive are verified. All tensors together are no larger than
//! the file of weights. So memory is at most 33 times the length of the file, and what the configuration takes. Nothing here panics.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use flate2::bufread::DeflateDecoder;
use hdf5_pure::{AttrValue, DType, Dataset, Group};
use rawzip::{CompressionMethod, ZipArchive};

use super::{
    architecture::{Architecture, Layer, LayerKind, MAX_JSON},
    error::{FileError, KerasError},
    tensors::{Tensor, Tensors},
};

/// The longest file that is read.
pub const MAX_BYTES: u64 = 1 << 30;

const METADATA: &str = "metadata.json";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.weights.h5";

/// A model as Keras saved it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KerasFile {
    /// The version of Keras that saved it.
    pub keras_version: String,
    /// The layers and how they are connected.
    pub architecture: Architecture,
    /// The weights, named `<layer>/<variable>`.
    pub tensors: Tensors,
}

impl KerasFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is longer than [`MAX_BYTES`], or is not a `.keras` file whose content is [supported](super::architecture).
    pub fn load(path: &Path) -> Result<Self, FileError<KerasError>> {
        let load = || {
            let file = File::open(path).map_err(KerasError::Io)?;
            let length = file.metadata().map_err(KerasError::Io)?.len();
            check_size("a file", MAX_BYTES, length)?;
            let mut bytes = Vec::new();
            BufReader::new(file).take(length).read_to_end(&mut bytes).map_err(KerasError::Io)?;
            Self::from_bytes(&bytes)
        };
        load().map_err(|error| FileError::new(path, error))
    }

    /// Reads bytes in memory.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KerasError> {
        let length = bytes.len() as u64;
        check_size("a file", MAX_BYTES, length)?;
        let mut files = Files::find(bytes)?;
        let keras_version = version(&files.text(METADATA)?)?;
        let architecture = Architecture::from_json(&files.text(CONFIG)?).map_err(KerasError::Architecture)?;
        let weights = files.unpack(WEIGHTS, length.saturating_mul(16).saturating_add(1 << 20))?;
        let tensors = tensors(weights, &architecture)?;
        Ok(Self { keras_version, architecture, tensors })
    }
}

fn check_size(what: &'static str, limit: u64, found: u64) -> Result<(), KerasError> {
    if found <= limit { Ok(()) } else { Err(KerasError::TooLarge { what, limit, found }) }
}

fn version(metadata: &str) -> Result<String, KerasError> {
    let json: serde_json::Value = serde_json::from_str(metadata).map_err(|error| KerasError::Entry {
        name: METADATA,
        expected: "JSON",
        found: error.to_string(),
    })?;
    match json.get("keras_version").and_then(serde_json::Value::as_str) {
        Some(version) if version.starts_with("3.") => Ok(version.to_owned()),
        found => {
            let found = found.unwrap_or("none").chars().take(80).collect();
            Err(KerasError::Entry { name: METADATA, expected: "a `keras_version` of 3", found })
        }
    }
}

/// The files in the archive that are read.
struct Files<'a> {
    archive: rawzip::ZipSliceArchive<&'a [u8]>,
    found: BTreeMap<&'static str, (rawzip::ZipArchiveEntryWayfinder, CompressionMethod)>,
}

impl<'a> Files<'a> {
    fn find(bytes: &'a [u8]) -> Result<Self, KerasError> {
        let zip = |error: rawzip::Error| KerasError::Zip { reason: error.to_string() };
        let archive = ZipArchive::from_slice(bytes).map_err(zip)?;
        let mut found = BTreeMap::new();
        let mut entries = archive.entries();
        while let Some(entry) = entries.next_entry().map_err(zip)? {
            let path = entry.file_path();
            let Some(name) = [METADATA, CONFIG, WEIGHTS].into_iter().find(|name| name.as_bytes() == path.as_bytes()) else {
                continue;
            };
            if found.insert(name, (entry.wayfinder(), entry.compression_method())).is_some() {
                return Err(KerasError::Entry { name, expected: "one", found: "another of the same name".to_owned() });
            }
        }
        Ok(Self { archive, found })
    }

    fn text(&mut self, name: &'static str) -> Result<String, KerasError> {
        let bytes = self.unpack(name, MAX_JSON as u64)?;
        String::from_utf8(bytes).map_err(|error| KerasError::Entry { name, expected: "UTF-8", found: error.to_string() })
    }

    /// The content, which grows as it arrives and never beyond the limit.
    fn unpack(&mut self, name: &'static str, limit: u64) -> Result<Vec<u8>, KerasError> {
        let broken = |found| KerasError::Entry { name, expected: "an intact file", found };
        let Some(&(wayfinder, method)) = self.found.get(name) else { return Err(broken("none".to_owned())) };
        check_size(name, limit, wayfinder.uncompressed_size_hint())?;
        let entry = self.archive.get_entry(wayfinder).map_err(|error| broken(error.to_string()))?;
        let mut bytes = Vec::new();
        let mut read = |reader: &mut dyn Read| {
            // One more than allowed shows that there is more.
            let read = entry.verifying_reader(reader.take(limit + 1)).read_to_end(&mut bytes);
            check_size(name, limit, bytes.len() as u64)?;
            read.map_err(|error| broken(error.to_string()))
        };
        match method {
            CompressionMethod::STORE => read(&mut entry.data())?,
            CompressionMethod::DEFLATE => read(&mut DeflateDecoder::new(entry.data()))?,
            other => {
                let found = format!("compression {other:?}");
                return Err(KerasError::Entry { name, expected: "a stored or deflated file", found });
            }
        };
        Ok(bytes)
    }
}

fn tensors(weights: Vec<u8>, architecture: &Architecture) -> Result<Tensors, KerasError> {
    // Several datasets may point at the same bytes.
    let mut left = weights.len() as u64;
    let file = hdf5_pure::File::from_bytes(weights).map_err(hdf5("/"))?;
    let groups = file.group("layers").map_err(hdf5("layers"))?;
    let mut expected = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for layer in &architecture.layers {
        let Some(class) = saved_class(&layer.kind) else { continue };
        let count = counts.entry(class).or_default();
        let group = if *count == 0 { class.to_owned() } else { format!("{class}_{count}") };
        *count += 1;
        expected.insert(group, layer);
    }
    // A layer with weights that the configuration does not have would mean that layers are counted otherwise here.
    for group in groups.groups().map_err(hdf5("layers"))? {
        if !expected.contains_key(&group) && !variables_of(&groups, &group)?.1.is_empty() {
            let path = format!("layers/{group}/vars");
            return Err(KerasError::Variable { path, expected: "no variables".to_owned(), found: "some".to_owned() });
        }
    }
    let mut tensors = Tensors::new();
    for (group, layer) in expected {
        let (vars, found) = variables_of(&groups, &group)?;
        check_variables(&group, layer, &vars, found)?;
        for (i, variable) in layer.kind.variables().into_iter().enumerate() {
            let path = format!("layers/{group}/vars/{i}");
            let dataset = vars.dataset(&i.to_string()).map_err(hdf5(&path))?;
            tensors
                .insert(format!("{}/{variable}", layer.name), tensor(&path, &dataset, &mut left)?)
                .map_err(KerasError::Tensor)?;
        }
    }
    Ok(tensors)
}

/// The class in snake case, of layers that have weights.
fn saved_class(kind: &LayerKind) -> Option<&'static str> {
    match kind {
        LayerKind::Dense { .. } => Some("dense"),
        LayerKind::PRelu { .. } => Some("p_re_lu"),
        LayerKind::BatchNormalization { .. } => Some("batch_normalization"),
        _ => None,
    }
}

/// The group `vars` of a layer, and the names in it.
fn variables_of(layers: &Group, group: &str) -> Result<(Group, Vec<String>), KerasError> {
    let path = format!("layers/{group}/vars");
    let vars = layers.group(group).and_then(|group| group.group("vars")).map_err(hdf5(&path))?;
    let names = vars.datasets().map_err(hdf5(&path))?;
    Ok((vars, names))
}

/// The right number of variables, of the right layer.
fn check_variables(group: &str, layer: &Layer, vars: &Group, mut found: Vec<String>) -> Result<(), KerasError> {
    let path = || format!("layers/{group}/vars");
    let mut expected: Vec<String> = (0..layer.kind.variables().len()).map(|i| i.to_string()).collect();
    expected.sort();
    found.sort();
    if found != expected {
        return Err(KerasError::Variable { path: path(), expected: expected.join(", "), found: found.join(", ") });
    }
    let attributes = vars.attrs().map_err(hdf5(&path()))?;
    match attributes.get("name").and_then(AttrValue::as_str) {
        Some(name) if name != layer.name => {
            let expected = format!("those of layer `{}`", layer.name);
            Err(KerasError::Variable { path: path(), expected, found: format!("those of `{name}`") })
        }
        _ => Ok(()),
    }
}

/// Takes the size of the tensor from the bytes that are `left`.
fn tensor(path: &str, dataset: &Dataset, left: &mut u64) -> Result<Tensor, KerasError> {
    let wrong =
        |expected: &str, found: String| KerasError::Variable { path: path.to_owned(), expected: expected.to_owned(), found };
    let dtype = dataset.dtype().map_err(hdf5(path))?;
    if dtype != DType::F32 {
        return Err(wrong("f32", dtype.to_string()));
    }
    if dataset.is_chunked() {
        return Err(wrong("contiguous data", "chunks".to_owned()));
    }
    let dimensions = dataset.shape().map_err(hdf5(path))?;
    let shape: Option<Vec<usize>> = dimensions.iter().map(|dimension| usize::try_from(*dimension).ok()).collect();
    let count = shape.as_deref().and_then(super::tensors::element_count);
    let size = count.and_then(|count| count.checked_mul(size_of::<f32>()));
    match (shape, size) {
        (Some(shape), Some(size)) if size as u64 <= *left => {
            *left -= size as u64;
            let elements = dataset.read_f32().map_err(hdf5(path))?;
            Tensor::new(shape, elements).map_err(KerasError::Tensor)
        }
        _ => Err(wrong("tensors that together are smaller than the file", format!("shape {dimensions:?}"))),
    }
}

fn hdf5(path: &str) -> impl Fn(hdf5_pure::Error) -> KerasError + '_ {
    move |error| KerasError::Hdf5 { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hdf5_pure::FileBuilder;
    use std::io::Write;

    const SEQUENTIAL: &[u8] = include_bytes!("../../tests/data/keras/sequential.keras");

    /// The content of the three files of the reference model.
    fn parts() -> [(&'static str, Vec<u8>); 3] {
        let mut files = Files::find(SEQUENTIAL).unwrap();
        [METADATA, CONFIG, WEIGHTS].map(|name| (name, files.unpack(name, MAX_BYTES).unwrap()))
    }

    fn zip(files: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
        let mut output = Vec::new();
        let mut archive = rawzip::ZipArchiveWriter::new(&mut output);
        for (name, content) in files {
            let (mut entry, config) = archive.new_file(name).compression_method(method).start().unwrap();
            let descriptor = if method == CompressionMethod::DEFLATE {
                let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default()));
                writer.write_all(content).unwrap();
                let (encoder, descriptor) = writer.finish().unwrap();
                encoder.finish().unwrap();
                descriptor
            } else {
                let mut writer = config.wrap(&mut entry);
                writer.write_all(content).unwrap();
                writer.finish().unwrap().1
            };
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
        output
    }

    /// The error for the reference model with other content in one file.
    fn error(name: &str, content: Vec<u8>) -> String {
        let mut parts = parts();
        parts.iter_mut().find(|part| part.0 == name).unwrap().1 = content;
        KerasFile::from_bytes(&zip(&parts, CompressionMethod::DEFLATE)).unwrap_err().to_string()
    }

    /// The error for the reference model with one word of its configuration replaced everywhere.
    fn configured(from: &str, to: &str) -> String {
        let config = String::from_utf8(parts()[1].1.clone()).unwrap();
        assert!(config.contains(from), "{from}");
        error(CONFIG, config.replace(from, to).into_bytes())
    }

    #[test]
    fn archives_may_be_stored_or_deflated_and_hold_more() {
        let expected = KerasFile::from_bytes(SEQUENTIAL).unwrap();
        let mut files = parts().to_vec();
        files.insert(1, ("assets/vocabulary.txt", b"words".to_vec()));
        for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
            assert_eq!(KerasFile::from_bytes(&zip(&files, method)).unwrap(), expected);
        }
        let error = KerasFile::from_bytes(&zip(&files, CompressionMethod::ZSTD)).unwrap_err().to_string();
        assert!(error.starts_with("metadata.json: a stored or deflated file expected, found compression"), "{error}");
    }

    #[test]
    fn bombs_are_refused_before_they_go_off() {
        // Zeros shrink by a factor of a thousand.
        let files = |bomb: &str| parts().map(|(name, content)| (name, if name == bomb { vec![0; 64 << 20] } else { content }));
        for name in [METADATA, CONFIG, WEIGHTS] {
            let bomb = zip(&files(name), CompressionMethod::DEFLATE);
            let error = KerasFile::from_bytes(&bomb).unwrap_err();
            assert!(matches!(error, KerasError::TooLarge { found: 67_108_864, .. }), "{error}");
        }
        // One that says that it is small: no byte behind the limit is unpacked.
        let mut liar = zip(&files(WEIGHTS), CompressionMethod::DEFLATE);
        let size = (64u32 << 20).to_le_bytes();
        let places: Vec<usize> = (0..liar.len() - 4).filter(|at| liar[*at..at + 4] == size).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|at| liar[*at..at + 4].copy_from_slice(&1000u32.to_le_bytes()));
        let limit = 16 * liar.len() as u64 + (1 << 20);
        let error = KerasFile::from_bytes(&liar).unwrap_err();
        let refused = match &error {
            KerasError::TooLarge { found, .. } => *found == limit + 1,
            KerasError::Entry { .. } => true,
            _ => false,
        };
        assert!(refused, "{error}");
    }

    #[test]
    fn archives_without_or_with_too_many_files() {
        assert!(matches!(KerasFile::from_bytes(b"not a zip archive"), Err(KerasError::Zip { .. })));
        for missing in 0..3 {
            let mut files = parts().to_vec();
            let name = files.remove(missing).0;
            let error = KerasFile::from_bytes(&zip(&files, CompressionMethod::STORE)).unwrap_err();
            assert_eq!(error.to_string(), format!("{name}: an intact file expected, found none"));
            let mut files = parts().to_vec();
            files.push(files[missing].clone());
            let error = KerasFile::from_bytes(&zip(&files, CompressionMethod::STORE)).unwrap_err();
            assert_eq!(error.to_string(), format!("{name}: one expected, found another of the same name"));
        }
        // A checksum that does not fit.
        let mut damaged = SEQUENTIAL.to_vec();
        let at = damaged
            .windows(7)
            .position(|window| window == b"\"selu\", ")
            .or(damaged.windows(6).position(|w| w == b"\"selu\""))
            .unwrap();
        damaged[at + 1..at + 5].copy_from_slice(b"relu");
        let error = KerasFile::from_bytes(&damaged).unwrap_err().to_string();
        assert!(error.starts_with("config.json: an intact file expected, found"), "{error}");
    }

    #[test]
    fn other_versions_and_texts_are_refused() {
        assert_eq!(
            error(METADATA, br#"{"keras_version": "2.15.0"}"#.to_vec()),
            "metadata.json: a `keras_version` of 3 expected, found 2.15.0"
        );
        assert_eq!(error(METADATA, b"{}".to_vec()), "metadata.json: a `keras_version` of 3 expected, found none");
        assert!(error(METADATA, b"{".to_vec()).starts_with("metadata.json: JSON expected, found"));
        assert!(error(CONFIG, b"\xff".to_vec()).starts_with("config.json: UTF-8 expected, found"));
        assert!(error(WEIGHTS, b"not HDF5".to_vec()).starts_with("weights, `/`: HDF5 expected, found"));
    }

    #[test]
    fn weights_of_another_network_are_refused() {
        assert_eq!(
            configured("\"name\": \"dense_1\"", "\"name\": \"hidden\""),
            "weights, `layers/dense_1/vars`: those of layer `hidden` expected, found those of `dense_1`"
        );
        assert_eq!(configured("\"use_bias\": true", "\"use_bias\": false"), "weights, `layers/dense/vars`: 0 expected, found 0, 1");
        let without = |layer: usize| {
            let mut config: serde_json::Value = serde_json::from_slice(&parts()[1].1).unwrap();
            config.pointer_mut("/config/layers").unwrap().as_array_mut().unwrap().remove(layer);
            error(CONFIG, config.to_string().into_bytes())
        };
        assert_eq!(without(5), "weights, `layers/dense_2/vars`: no variables expected, found some");
        assert_eq!(without(2), "weights, `layers/batch_normalization/vars`: no variables expected, found some");
    }

    /// A model of one layer of 2 x 1 without a bias, with these weights.
    fn small(fill: impl FnOnce(&mut hdf5_pure::DatasetBuilder) -> &mut hdf5_pure::DatasetBuilder) -> Result<KerasFile, KerasError> {
        let config = r#"{"class_name": "Sequential", "config": {"name": "small", "layers": [
            {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": [null, 2]}},
            {"class_name": "Dense", "config": {"name": "dense", "units": 1, "use_bias": false, "activation": null}}]}}"#;
        let mut weights = FileBuilder::new();
        let mut layers = weights.create_group("layers");
        let mut dense = layers.create_group("dense");
        let mut vars = dense.create_group("vars");
        fill(vars.create_dataset("0"));
        let vars = vars.finish();
        dense.add_group(vars);
        let dense = dense.finish();
        layers.add_group(dense);
        let layers = layers.finish();
        weights.add_group(layers);
        let files =
            [(METADATA, br#"{"keras_version": "3.0.0"}"#.to_vec()), (CONFIG, config.into()), (WEIGHTS, weights.finish().unwrap())];
        KerasFile::from_bytes(&zip(&files, CompressionMethod::STORE))
    }

    #[test]
    fn only_contiguous_f32_is_read() {
        let file = small(|dataset| dataset.with_f32_data(&[1.0, 2.0]).with_shape(&[2, 1])).unwrap();
        assert_eq!(file.tensors.require("dense/kernel", &[2, 1]).unwrap().elements(), [1.0, 2.0]);
        let error = small(|dataset| dataset.with_f64_data(&[1.0, 2.0]).with_shape(&[2, 1])).unwrap_err();
        assert_eq!(error.to_string(), "weights, `layers/dense/vars/0`: f32 expected, found f64");
        let error = small(|dataset| dataset.with_f32_data(&[1.0, 2.0]).with_shape(&[2, 1]).with_chunks(&[1, 1])).unwrap_err();
        assert_eq!(error.to_string(), "weights, `layers/dense/vars/0`: contiguous data expected, found chunks");
    }
}
