//! [`replace`]: a file is replaced whole or not at all.
//!
//! | step | call | after a fault here, and after a crash |
//! |---|---|---|
//! | 1 | create `.<name>.<process>-<count>.tmp` in the directory of the file | the old file |
//! | 2 | write everything | the old file |
//! | 3 | sync the temporary file | the old file |
//! | 4 | rename it over the file, which is atomic on one file system | the old file or the new one |
//! | 5 | sync the directory (Unix) | the new file; after a loss of power perhaps the old one |
//!
//! Without step 3 the rename can reach the disk before the bytes do. A fault removes the temporary file; a killed process cannot, so
//! [`remove_leftovers`] does.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use super::error::{FileError, ReplaceError, ReplaceStep};

/// Replaces the file at `path`, or makes it, with what `write` writes.
///
/// Whatever happens, the file is the old one or the new one, and whole; see the table of the [module](self). Several threads and
/// processes may replace the same file: the last one to rename wins. A symbolic link is itself replaced by a file, and permissions
/// are those of a new file.
///
/// # Errors
/// [`ReplaceError`] names the step that failed. Up to [`ReplaceStep::Rename`] the old file is untouched and the temporary file
/// removed; at [`ReplaceStep::SyncDirectory`] the new file is in place. An error that `write` returns is one of
/// [`ReplaceStep::Write`].
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), FileError<ReplaceError>> {
    replace_on(&OperatingSystem, path, write)
}

/// Removes the temporary files that killed processes have left beside `path`, and says how many there were.
///
/// Call it while nobody replaces that file, for instance when training starts.
///
/// # Errors
/// Those of listing the directory and of removing a file.
pub fn remove_leftovers(path: &Path) -> io::Result<usize> {
    let prefix = temporary_prefix(path)?;
    let mut removed = 0;
    for entry in fs::read_dir(directory(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let middle = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()).and_then(|rest| rest.strip_suffix(b".tmp"));
        if middle.is_some_and(|middle| middle.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The calls that replacing a file makes: a test can let any of them fail.
trait Disk {
    type File: Write;
    /// Makes a file that does not exist yet.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

struct OperatingSystem;

impl Disk for OperatingSystem {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Other systems do not open directories.
    #[cfg(not(unix))]
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

fn replace_on<D: Disk>(
    disk: &D,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError<ReplaceError>> {
    let failed = |step| move |source| FileError::new(path, ReplaceError { step, source });
    let (file, mut temporary) = Temporary::create(disk, path).map_err(failed(ReplaceStep::Create))?;
    let mut buffer = BufWriter::new(file);
    write(&mut buffer).map_err(failed(ReplaceStep::Write))?;
    let file = buffer.into_inner().map_err(|error| failed(ReplaceStep::Write)(error.into_error()))?;
    disk.sync(&file).map_err(failed(ReplaceStep::Sync))?;
    drop(file);
    disk.rename(&temporary.path, path).map_err(failed(ReplaceStep::Rename))?;
    temporary.there = false;
    disk.sync_directory(directory(path)).map_err(failed(ReplaceStep::SyncDirectory))
}

/// Removes the temporary file on an error and on a panic of the one who writes.
struct Temporary<'a, D: Disk> {
    disk: &'a D,
    path: PathBuf,
    there: bool,
}

impl<'a, D: Disk> Temporary<'a, D> {
    /// Under a name that no other call in any process that runs has.
    fn create(disk: &'a D, path: &Path) -> io::Result<(D::File, Self)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (directory, prefix) = (directory(path), temporary_prefix(path)?);
        loop {
            let mut name = prefix.clone();
            name.push(format!("{}-{}.tmp", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
            let path = directory.join(name);
            match disk.create(&path) {
                // Left behind by a process that had the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((created?, Self { disk, path, there: true })),
            }
        }
    }
}

impl<D: Disk> Drop for Temporary<'_, D> {
    fn drop(&mut self) {
        if self.there {
            // The fault that led here is reported; a second one adds nothing.
            let _ = self.disk.remove(&self.path);
        }
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary_prefix(path: &Path) -> io::Result<OsString> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path of a file expected"))?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scratch::Scratch;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const OLD: &[u8] = b"the old content, which is longer than the new one";
    const NEW: &[u8] = b"the new content";

    /// What happens at the call that fails.
    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        /// The call reports an error; later calls work.
        Error,
        /// The machine stops: nothing works from here on, not even cleaning up.
        Crash,
    }

    /// The operating system, whose call number `fail_at` fails. A write that fails has written half of its bytes.
    struct Faulty {
        fault: Fault,
        fail_at: usize,
        calls: Cell<usize>,
    }

    impl Faulty {
        fn call(&self) -> io::Result<()> {
            let call = self.calls.replace(self.calls.get() + 1);
            let fails = call == self.fail_at || (self.fault == Fault::Crash && call > self.fail_at);
            if fails { Err(io::Error::other("planted")) } else { Ok(()) }
        }
    }

    struct FaultyFile<'a> {
        disk: &'a Faulty,
        file: File,
    }

    impl Write for FaultyFile<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Err(error) = self.disk.call() {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
                return Err(error);
            }
            self.file.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> Disk for &'a Faulty {
        type File = FaultyFile<'a>;

        fn create(&self, path: &Path) -> io::Result<FaultyFile<'a>> {
            self.call()?;
            Ok(FaultyFile { disk: self, file: OperatingSystem.create(path)? })
        }

        fn sync(&self, file: &FaultyFile<'a>) -> io::Result<()> {
            self.call()?;
            OperatingSystem.sync(&file.file)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.call()?;
            OperatingSystem.rename(from, to)
        }

        fn sync_directory(&self, path: &Path) -> io::Result<()> {
            self.call()?;
            OperatingSystem.sync_directory(path)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.call()?;
            OperatingSystem.remove(path)
        }
    }

    fn files(scratch: &Scratch) -> usize {
        fs::read_dir(scratch.path()).unwrap().count()
    }

    /// Three writes that the buffer passes on one by one: each is longer than it.
    fn write_in_pieces(writer: &mut dyn Write) -> io::Result<()> {
        (0..3).try_for_each(|i| writer.write_all(&[i; 10_000]))
    }

    #[test]
    fn a_file_is_made_and_replaced() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        for content in [OLD, NEW, b""] {
            replace(&path, |writer| writer.write_all(content)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(files(&scratch), 1);
        }
    }

    #[test]
    fn a_fault_at_any_call_leaves_the_old_file_or_the_new_one() {
        let mut steps = Vec::new();
        for fault in [Fault::Error, Fault::Crash] {
            for fail_at in 0.. {
                let scratch = Scratch::new();
                let path = scratch.path().join("file");
                fs::write(&path, OLD).unwrap();
                let disk = Faulty { fault, fail_at, calls: Cell::new(0) };
                let result = replace_on(&&disk, &path, write_in_pieces);
                let found = fs::read(&path).unwrap();
                let Err(error) = result else {
                    assert_eq!(found.len(), 30_000);
                    break;
                };
                assert_eq!((error.path.as_path(), error.source.source.to_string().as_str()), (path.as_path(), "planted"));
                let step = error.source.step;
                if step == ReplaceStep::SyncDirectory {
                    assert_eq!(found.len(), 30_000, "{fail_at}");
                } else {
                    assert_eq!(found, OLD, "{fail_at}");
                }
                // Only a machine that has stopped leaves its temporary file behind.
                let left = fault == Fault::Crash && !matches!(step, ReplaceStep::Create | ReplaceStep::SyncDirectory);
                assert_eq!(files(&scratch), 1 + usize::from(left), "{fail_at}");
                assert_eq!(remove_leftovers(&path).unwrap(), usize::from(left));
                assert_eq!(files(&scratch), 1);
                steps.push(step);
            }
        }
        use ReplaceStep::{Create, Rename, Sync, SyncDirectory, Write};
        let expected = [Create, Write, Write, Write, Sync, Rename, SyncDirectory];
        assert_eq!(steps, [expected, expected].concat(), "every call has failed once");
    }

    #[test]
    fn an_error_or_a_panic_of_the_writer_leaves_the_old_file() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        fs::write(&path, OLD).unwrap();
        let error = replace(&path, |writer| {
            writer.write_all(NEW)?;
            Err(io::Error::other("no more"))
        })
        .unwrap_err();
        assert_eq!(error.source.step, ReplaceStep::Write);
        assert_eq!(error.to_string(), format!("{}: write: no more", path.display()));
        let panicking = || replace(&path, |_| panic!("planted"));
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        assert_eq!((fs::read(&path).unwrap(), files(&scratch)), (OLD.to_vec(), 1));
    }

    #[test]
    fn paths_that_are_no_files() {
        let scratch = Scratch::new();
        let step = |path: &Path| replace(path, |_| Ok(())).unwrap_err().source.step;
        assert_eq!(step(&scratch.path().join("..")), ReplaceStep::Create);
        assert_eq!(step(&scratch.path().join("missing/file")), ReplaceStep::Create);
        fs::create_dir(scratch.path().join("directory")).unwrap();
        assert_eq!(step(&scratch.path().join("directory")), ReplaceStep::Rename);
        assert_eq!(files(&scratch), 1);
    }

    #[test]
    fn only_temporary_files_of_that_file_are_leftovers() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        for name in ["file", ".file.1-2.tmp", ".file.1-3.tmp", ".file.b.1-2.tmp", ".file.tmp", ".other.1-2.tmp", "file.1-2.tmp"] {
            fs::write(scratch.path().join(name), NEW).unwrap();
        }
        assert_eq!(remove_leftovers(&path).unwrap(), 2);
        assert_eq!((files(&scratch), path.exists()), (5, true));
    }

    #[test]
    fn leftovers_of_a_process_of_the_same_number_do_not_stand_in_the_way() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        for count in 0..1000 {
            fs::write(scratch.path().join(format!(".file.{}-{count}.tmp", process::id())), OLD).unwrap();
        }
        replace(&path, |writer| writer.write_all(NEW)).unwrap();
        assert_eq!((fs::read(&path).unwrap(), files(&scratch)), (NEW.to_vec(), 1001));
        assert_eq!(remove_leftovers(&path).unwrap(), 1000);
    }

    #[test]
    fn threads_that_replace_the_same_file_do_not_mix() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        replace(path, |writer| writer.write_all(&[thread; 50_000])).unwrap();
                        let found = fs::read(path).unwrap();
                        assert!(found.len() == 50_000 && found.iter().all(|byte| *byte == found[0]));
                    }
                });
            }
        });
        assert_eq!(files(&scratch), 1);
    }
}
