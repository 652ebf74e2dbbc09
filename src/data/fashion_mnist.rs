//! Fashion-MNIST: 60,000 training and 10,000 test images of garments, 28x28 grey levels, ten classes.
//!
//! Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017;
//! licence MIT, Zalando SE.
//!
//! # Where the files are looked for
//!
//! 1. the directory that the caller names;
//! 2. the directory that the variable `SELVEDGE_DATA` names;
//! 3. `data/fashion-mnist` below the current directory;
//! 4. `selvedge/fashion-mnist` in the user's cache folder, which is also where [`load_or_synthesize`] downloads to.
//!
//! A directory that was named, 1 and 2, must hold the files: it is an error if it does not, and nothing else is taken silently.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use super::{dataset::Dataset, error::DataError, idx::IdxReader, synthetic};

/// The garments by label.
pub const CLASS_NAMES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// The variable that names a directory with the files.
pub const DIRECTORY_VARIABLE: &str = "SELVEDGE_DATA";

/// The address of the official files.
pub const BASE_URL: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";

/// Rows and columns of an image.
const IMAGE: [usize; 2] = [28, 28];

/// What [`load_or_synthesize`] draws when there are no files: as many rows as the real ones.
const SYNTHETIC_TRAIN: (usize, u64) = (60_000, 1);
const SYNTHETIC_TEST: (usize, u64) = (10_000, 2);

/// An official file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name.
    pub name: &'static str,
    /// Its MD5, in hexadecimal digits.
    pub md5: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its size in bytes after decompression.
    pub decompressed_bytes: u64,
}

/// The four files: images and labels for training, images and labels for the test.
pub const FILES: [RemoteFile; 4] = [
    RemoteFile {
        name: "train-images-idx3-ubyte.gz",
        md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        bytes: 26_421_880,
        decompressed_bytes: 47_040_016,
    },
    RemoteFile {
        name: "train-labels-idx1-ubyte.gz",
        md5: "25c81989df183df01b3e8a0aad5dffbe",
        bytes: 29_515,
        decompressed_bytes: 60_008,
    },
    RemoteFile {
        name: "t10k-images-idx3-ubyte.gz",
        md5: "bef4ecab320f06d8554ea6380940ec79",
        bytes: 4_422_102,
        decompressed_bytes: 7_840_016,
    },
    RemoteFile {
        name: "t10k-labels-idx1-ubyte.gz",
        md5: "bb300cfdad3c16e7a12a480ee83cd310",
        bytes: 5_148,
        decompressed_bytes: 10_008,
    },
];

/// Both parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FashionMnist {
    /// For training: 60,000 rows in the official files.
    pub train: Dataset,
    /// For the test: 10,000 rows in the official files.
    pub test: Dataset,
}

/// Where data came from. Its text says so in a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Fashion-MNIST, from files that were there.
    Directory(PathBuf),
    /// Fashion-MNIST, from files that were downloaded just now.
    Downloaded(PathBuf),
    /// Not Fashion-MNIST: [`synthetic::garments`].
    Synthetic {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "Fashion-MNIST from {}", directory.display()),
            Self::Downloaded(directory) => write!(f, "Fashion-MNIST, downloaded to {}", directory.display()),
            Self::Synthetic { reason } => write!(f, "synthetic garments, NOT Fashion-MNIST: {reason}"),
        }
    }
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// Bytes received of it.
    pub received: u64,
    /// Bytes it has.
    pub expected: u64,
}

/// Reads the four [`FILES`] from a directory, each with `.gz` or without.
///
/// # Errors
/// [`DataError::MissingFiles`], and what can be wrong with each file and with both of a part together: [`DataError::Io`], [`DataError::Idx`],
/// [`DataError::ImageShape`], [`DataError::RowCount`], [`DataError::LabelOutOfRange`].
pub fn load(directory: impl AsRef<Path>) -> Result<FashionMnist, DataError> {
    let directory = directory.as_ref();
    require(directory, "the directory to load")?;
    let [train_images, train_labels, test_images, test_labels] = &FILES;
    Ok(FashionMnist {
        train: load_part(directory, train_images, train_labels)?,
        test: load_part(directory, test_images, test_labels)?,
    })
}

/// The directory to load from, see [where the files are looked for](self#where-the-files-are-looked-for); `None` if none was named and none of
/// the usual ones holds the files.
///
/// # Errors
/// [`DataError::MissingFiles`] if a directory was named, by `explicit` or by the variable, and does not hold the files.
pub fn locate(explicit: Option<&Path>) -> Result<Option<PathBuf>, DataError> {
    let usual = [Some(Path::new("data").join("fashion-mnist")), cache_directory()];
    locate_among(explicit, env::var_os(DIRECTORY_VARIABLE), usual.into_iter().flatten())
}

/// The directory for downloads: `selvedge/fashion-mnist` in the user's cache folder. `None` if the system does not say where that is.
///
/// | system | cache folder |
/// |---|---|
/// | Windows | `%LOCALAPPDATA%` |
/// | macOS | `$HOME/Library/Caches` |
/// | others | `$XDG_CACHE_HOME` if that is an absolute path, else `$HOME/.cache` |
pub fn cache_directory() -> Option<PathBuf> {
    cache_folder(env::consts::OS, |name| env::var_os(name)).map(|folder| folder.join("selvedge").join("fashion-mnist"))
}

/// Downloads those of the [`FILES`] that `directory` does not hold yet, with their checksums checked. The directory is made if necessary.
///
/// Each file is written beside its place under another name and moved there once it is complete, right and on the disk: there is never half a
/// file under an official name, and nothing is left of a failed download. A file that is there with another checksum is replaced.
///
/// `base_url` is [`BASE_URL`] or a mirror, with or without a final slash; only `http` is spoken, the checksums take care of the rest. A
/// connection is given up after 3 s, a silent server after 10 s, a file after 10 minutes.
///
/// # Errors
/// [`DataError::Download`] or [`DataError::Io`].
#[cfg(feature = "download")]
pub fn download(base_url: &str, directory: impl AsRef<Path>, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), DataError> {
    super::download::fetch_missing(&FILES, base_url, directory.as_ref(), super::download::Settings::DEFAULT, progress)
}

/// Data in any case: the files if [`locate`] finds them, else (with the feature `download`) the files from [`BASE_URL`], kept in
/// [`cache_directory`], else as many synthetic garments. The [`Source`] says which; show it to the user.
///
/// `progress` hears of each piece of a download.
///
/// # Errors
/// Those of [`locate`] and [`load`]: files that are there but wrong are an error, never a reason for other data.
pub fn load_or_synthesize(
    directory: Option<&Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(FashionMnist, Source), DataError> {
    first_of(locate(directory)?, || download_to_cache(progress), synthesize)
}

/// The files found, else the files downloaded, else what is drawn. A download that fails says why.
fn first_of(
    found: Option<PathBuf>,
    download: impl FnOnce() -> Result<PathBuf, String>,
    draw: impl FnOnce() -> FashionMnist,
) -> Result<(FashionMnist, Source), DataError> {
    if let Some(directory) = found {
        return Ok((load(&directory)?, Source::Directory(directory)));
    }
    match download() {
        Ok(directory) => Ok((load(&directory)?, Source::Downloaded(directory))),
        Err(reason) => Ok((draw(), Source::Synthetic { reason })),
    }
}

fn synthesize() -> FashionMnist {
    FashionMnist {
        train: synthetic::garments(SYNTHETIC_TRAIN.0, SYNTHETIC_TRAIN.1),
        test: synthetic::garments(SYNTHETIC_TEST.0, SYNTHETIC_TEST.1),
    }
}

#[cfg(feature = "download")]
fn download_to_cache(progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf, String> {
    let directory = cache_directory().ok_or("no directory holds the files, and the system names no cache folder to download to")?;
    match download(BASE_URL, &directory, progress) {
        Ok(()) => Ok(directory),
        Err(error) => Err(format!("no directory holds the files, and they could not be downloaded: {error}")),
    }
}

#[cfg(not(feature = "download"))]
fn download_to_cache(_: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf, String> {
    Err("no directory holds the files, and the feature `download` is off".into())
}

fn load_part(directory: &Path, images: &RemoteFile, labels: &RemoteFile) -> Result<Dataset, DataError> {
    // `require` saw the files; should one vanish in between, opening it fails under its official name.
    let path_of = |file: &RemoteFile| find(directory, file).unwrap_or_else(|| directory.join(file.name));
    let (images_path, labels_path) = (path_of(images), path_of(labels));

    let read = |path: &Path, dimensions, file: &RemoteFile| {
        IdxReader::with_dimensions(dimensions).max_bytes(file.decompressed_bytes as usize).read_file(path)
    };
    let pixels = read(&images_path, 3, images)?;
    let labels = read(&labels_path, 1, labels)?;
    let (rows, shape) = (pixels.shape()[0], [pixels.shape()[1], pixels.shape()[2]]);
    if shape != IMAGE {
        return Err(DataError::ImageShape { path: images_path, expected: IMAGE, found: shape });
    }
    let labels = labels.into_elements();
    if labels.len() != rows {
        return Err(DataError::RowCount { images: images_path, expected: rows, labels: labels_path, found: labels.len() });
    }
    Dataset::new(pixels.into_elements(), &IMAGE, labels, CLASS_NAMES.len())
}

/// A file with `.gz` or without.
fn find(directory: &Path, file: &RemoteFile) -> Option<PathBuf> {
    let plain = file.name.trim_end_matches(".gz");
    [file.name, plain].iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

fn require(directory: &Path, named_by: &'static str) -> Result<(), DataError> {
    let missing: Vec<_> = FILES.iter().filter(|file| find(directory, file).is_none()).map(|file| file.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let expected = FILES.iter().map(|file| file.name).collect();
    Err(DataError::MissingFiles { directory: directory.to_path_buf(), named_by, expected, missing })
}

fn locate_among(
    explicit: Option<&Path>,
    variable: Option<OsString>,
    usual: impl Iterator<Item = PathBuf>,
) -> Result<Option<PathBuf>, DataError> {
    if let Some(directory) = explicit {
        require(directory, "the directory that was asked for")?;
        return Ok(Some(directory.to_path_buf()));
    }
    // An empty variable is as good as none.
    if let Some(directory) = variable.filter(|directory| !directory.is_empty()).map(PathBuf::from) {
        require(&directory, "named by the variable SELVEDGE_DATA")?;
        return Ok(Some(directory));
    }
    Ok(usual.into_iter().find(|directory| require(directory, "").is_ok()))
}

fn cache_folder(system: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The standard for XDG_CACHE_HOME has relative paths ignored; so are they everywhere here.
    let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match system {
        "windows" => path("LOCALAPPDATA"),
        "macos" => path("HOME").map(|home| home.join("Library").join("Caches")),
        _ => path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stderr)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    fn idx(dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
        bytes.extend(elements);
        bytes
    }

    fn write_images(directory: &Path, name: &str, rows: usize, side: usize) {
        fs::write(directory.join(name), idx(&[rows as u32, side as u32, side as u32], &vec![7; rows * side * side])).unwrap();
    }

    /// Files like the official ones, with few rows. One is plain under the name of a gzip file: names do not count.
    fn small_files() -> Scratch {
        let scratch = Scratch::new();
        write_images(scratch.path(), "train-images-idx3-ubyte.gz", 3, 28);
        fs::write(scratch.path().join("train-labels-idx1-ubyte"), idx(&[3], &[9, 0, 4])).unwrap();
        write_images(scratch.path(), "t10k-images-idx3-ubyte", 2, 28);
        fs::write(scratch.path().join("t10k-labels-idx1-ubyte"), idx(&[2], &[1, 2])).unwrap();
        scratch
    }

    #[test]
    fn loads_files_with_or_without_gz() {
        let scratch = small_files();
        let data = load(scratch.path()).unwrap();
        assert_eq!((data.train.labels(), data.test.labels()), (&[9, 0, 4][..], &[1, 2][..]));
        assert_eq!((data.train.shape(), data.train.classes()), (&[28, 28][..], 10));
    }

    #[test]
    fn missing_files_are_named() {
        let scratch = Scratch::new();
        let Err(DataError::MissingFiles { directory, expected, missing, .. }) = load(scratch.path()) else { panic!() };
        assert_eq!(directory, scratch.path());
        assert_eq!((expected.len(), missing.len()), (4, 4));
        assert!(matches!(load(scratch.path().join("nowhere")), Err(DataError::MissingFiles { missing, .. }) if missing.len() == 4));

        let scratch = small_files();
        fs::remove_file(scratch.path().join("t10k-labels-idx1-ubyte")).unwrap();
        let error = load(scratch.path()).unwrap_err();
        assert!(matches!(&error, DataError::MissingFiles { missing, .. } if missing == &["t10k-labels-idx1-ubyte.gz"]));
        let text = error.to_string();
        assert!(
            FILES.iter().all(|file| text.contains(file.name)) && text.contains(&scratch.path().display().to_string()),
            "{text}"
        );
    }

    #[test]
    fn inconsistent_files_are_refused() {
        let scratch = small_files();
        write_images(scratch.path(), "t10k-images-idx3-ubyte", 2, 27);
        let error = load(scratch.path()).unwrap_err();
        assert!(matches!(error, DataError::ImageShape { expected: [28, 28], found: [27, 27], .. }), "{error}");

        write_images(scratch.path(), "t10k-images-idx3-ubyte", 5, 28);
        let error = load(scratch.path()).unwrap_err();
        assert!(matches!(error, DataError::RowCount { expected: 5, found: 2, .. }), "{error}");

        let scratch = small_files();
        fs::write(scratch.path().join("t10k-labels-idx1-ubyte"), idx(&[2], &[1, 10])).unwrap();
        let error = load(scratch.path()).unwrap_err();
        assert!(matches!(error, DataError::LabelOutOfRange { row: 1, label: 10, classes: 10 }), "{error}");

        // More rows than the official file has are refused by the header alone.
        let scratch = small_files();
        fs::write(scratch.path().join("t10k-images-idx3-ubyte"), idx(&[10_001, 28, 28], &[])).unwrap();
        let error = load(scratch.path()).unwrap_err();
        assert!(matches!(error, DataError::Idx { path: Some(_), source: super::super::IdxError::TooLarge { .. } }), "{error}");
    }

    #[test]
    fn a_named_directory_is_taken_or_an_error() {
        let (full, other, empty) = (small_files(), small_files(), Scratch::new());
        let path = |scratch: &Scratch| Some(scratch.path().to_path_buf());
        let locate = |explicit: Option<&Scratch>, variable: Option<&Scratch>, usual: &[&Scratch]| {
            let variable = variable.map(|scratch| scratch.path().as_os_str().to_owned());
            locate_among(explicit.map(Scratch::path), variable, usual.iter().map(|scratch| scratch.path().to_path_buf()))
        };
        assert_eq!(locate(Some(&full), Some(&other), &[&other]).unwrap(), path(&full));
        assert!(matches!(locate(Some(&empty), Some(&full), &[&full]), Err(DataError::MissingFiles { .. })));
        assert_eq!(locate(None, Some(&full), &[&other]).unwrap(), path(&full));
        assert!(matches!(locate(None, Some(&empty), &[&full]), Err(DataError::MissingFiles { .. })));
        assert_eq!(locate(None, None, &[&empty, &full, &other]).unwrap(), path(&full));
        assert_eq!(locate(None, None, &[&empty]).unwrap(), None);
        assert_eq!(locate_among(None, Some(OsString::new()), [full.path().to_path_buf()].into_iter()).unwrap(), path(&full));
    }

    #[test]
    #[cfg(unix)]
    fn cache_folders_of_the_systems() {
        let variables = |name: &str| match name {
            "HOME" => Some("/home/ada".into()),
            "XDG_CACHE_HOME" => Some("/cache".into()),
            "LOCALAPPDATA" => Some("/local".into()),
            _ => None,
        };
        let only_home = |name: &str| variables(name).filter(|_| name == "HOME");
        let relative = |name: &str| if name == "XDG_CACHE_HOME" { Some("cache".into()) } else { variables(name) };
        assert_eq!(cache_folder("linux", variables), Some("/cache".into()));
        assert_eq!(cache_folder("linux", only_home), Some("/home/ada/.cache".into()));
        assert_eq!(cache_folder("freebsd", relative), Some("/home/ada/.cache".into()));
        assert_eq!(cache_folder("macos", variables), Some("/home/ada/Library/Caches".into()));
        assert_eq!(cache_folder("windows", variables), Some("/local".into()));
        assert_eq!(cache_folder("linux", |_| None), None);
    }

    #[test]
    fn sources_say_plainly_what_they_are() {
        assert_eq!(Source::Directory("here".into()).to_string(), "Fashion-MNIST from here");
        assert!(Source::Downloaded("here".into()).to_string().contains("downloaded to here"));
        let text = Source::Synthetic { reason: "no network".into() }.to_string();
        assert!(text.contains("NOT Fashion-MNIST") && text.contains("no network"));
    }

    #[test]
    fn other_data_is_taken_only_where_there_are_no_files() {
        let (good, bad) = (small_files(), small_files());
        fs::write(bad.path().join("t10k-labels-idx1-ubyte"), "damaged").unwrap();
        let path = |scratch: &Scratch| scratch.path().to_path_buf();
        let drawn = || FashionMnist { train: synthetic::garments(20, 1), test: synthetic::garments(10, 2) };
        let never_download = || -> Result<PathBuf, String> { panic!("downloaded") };
        let never_draw = || -> FashionMnist { panic!("drawn") };

        let (data, source) = first_of(Some(path(&good)), never_download, never_draw).unwrap();
        assert_eq!((data.train.len(), source), (3, Source::Directory(path(&good))));
        assert!(matches!(first_of(Some(path(&bad)), never_download, never_draw), Err(DataError::Idx { .. })));

        let (data, source) = first_of(None, || Ok(path(&good)), never_draw).unwrap();
        assert_eq!((data.train.len(), source), (3, Source::Downloaded(path(&good))));
        assert!(first_of(None, || Ok(path(&bad)), never_draw).is_err());

        let (data, source) = first_of(None, || Err("no network".into()), drawn).unwrap();
        assert_eq!((data.train.len(), source), (20, Source::Synthetic { reason: "no network".into() }));
    }

    #[test]
    fn the_official_files() {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fashion-mnist");
        let directory = env::var_os(DIRECTORY_VARIABLE).map_or(beside, PathBuf::from);
        if require(&directory, "").is_err() {
            eprintln!("skipped: Fashion-MNIST files not found");
            return;
        }
        let FashionMnist { train, test } = load(&directory).unwrap();
        assert_eq!((train.len(), test.len()), (60_000, 10_000));
        assert_eq!(train.class_counts(), [6000; 10]);
        assert_eq!(test.class_counts(), [1000; 10]);
        assert_eq!(train.labels()[..10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
        assert_eq!(test.labels()[..10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
        // Known figures of the training images, scaled to 0..=1: mean 0.2860, standard deviation 0.3530.
        let (mean, deviation) = train.mean_and_standard_deviation().unwrap();
        assert!((mean / 255.0 - 0.2860).abs() < 1e-4 && (deviation / 255.0 - 0.3530).abs() < 1e-4, "{mean} {deviation}");

        for file in FILES {
            let Some(path) = find(&directory, &file).filter(|path| path.extension().is_some_and(|end| end == "gz")) else {
                continue;
            };
            assert_eq!(fs::metadata(&path).unwrap().len(), file.bytes);
            #[cfg(feature = "download")]
            assert_eq!(super::super::download::md5_of(&path).unwrap(), file.md5);
        }
        assert_eq!(FILES[0].decompressed_bytes, 16 + train.pixels().len() as u64);
        assert_eq!(FILES[1].decompressed_bytes, 8 + train.labels().len() as u64);
        assert_eq!(FILES[2].decompressed_bytes, 16 + test.pixels().len() as u64);
        assert_eq!(FILES[3].decompressed_bytes, 8 + test.labels().len() as u64);
    }
}
