//! Files from a web server, whole and right or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use md5::{Digest, Md5};
use ureq::Agent;

use super::{
    error::{DataError, DownloadError},
    fashion_mnist::{Progress, RemoteFile},
};

/// Bytes per read, and so per call of the progress function.
const PIECE: usize = 1 << 16;

/// How long to wait for what, and through whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// For the address of the host, and for a connection to it: short, so that a machine without network goes on at once.
    pub(crate) connect: Duration,
    /// For the next byte.
    pub(crate) silence: Duration,
    /// For a whole file.
    pub(crate) file: Duration,
    /// Whether to go through the proxy that the environment names, as `http_proxy` and the like.
    pub(crate) environment_proxy: bool,
}

impl Settings {
    pub(crate) const DEFAULT: Self = Self {
        connect: Duration::from_secs(3),
        silence: Duration::from_secs(10),
        file: Duration::from_secs(600),
        environment_proxy: true,
    };
}

/// Downloads the files that `directory` does not hold with the right checksum.
pub(crate) fn fetch_missing(
    files: &[RemoteFile],
    base_url: &str,
    directory: &Path,
    settings: Settings,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), DataError> {
    fs::create_dir_all(directory).map_err(|source| DataError::io(directory, source))?;
    let mut config = Agent::config_builder();
    if !settings.environment_proxy {
        config = config.proxy(None);
    }
    let agent = Agent::new_with_config(
        config
            .timeout_resolve(Some(settings.connect))
            .timeout_connect(Some(settings.connect))
            .timeout_per_read(Some(settings.silence))
            .timeout_global(Some(settings.file))
            // Another status than 200, redirections included, is reported as it is.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build(),
    );
    for file in files {
        let path = directory.join(file.name);
        if path.is_file() && md5_of(&path).map_err(|source| DataError::io(&path, source))? == file.md5 {
            continue;
        }
        let url = format!("{}/{}", base_url.trim_end_matches('/'), file.name);
        let download = Download { agent: &agent, url: &url, file, settings };
        let part = PartialFile::create(directory, file.name)?;
        download.receive(&part, progress)?;
        part.finish(&path)?;
    }
    Ok(())
}

/// The MD5 of a file, in hexadecimal digits.
pub(crate) fn md5_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Md5::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hexadecimal(digest)),
            Ok(count) => digest.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hexadecimal(digest: Md5) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Download<'a> {
    agent: &'a Agent,
    url: &'a str,
    file: &'a RemoteFile,
    settings: Settings,
}

impl Download<'_> {
    /// Writes the body of the response, if it is the file.
    fn receive(&self, part: &PartialFile, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), DataError> {
        let expected = self.file.bytes;
        let response = self.agent.get(self.url).call().map_err(|error| self.error(self.before_body(error)))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(self.error(DownloadError::Status { expected: 200, found: status }));
        }
        let announced = response.body().content_length();
        if let Some(announced) = announced.filter(|&announced| announced > expected) {
            return Err(self.error(DownloadError::TooLong { expected, found_at_least: announced }));
        }

        let mut body = response.into_body().into_reader();
        let mut digest = Md5::new();
        let mut received = 0;
        let mut piece = vec![0; PIECE];
        progress(Progress { file: self.file.name, received, expected });
        loop {
            let count = match body.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.error(self.in_body(error.into(), received))),
            };
            received += count as u64;
            if received > expected {
                return Err(self.error(DownloadError::TooLong { expected, found_at_least: received }));
            }
            digest.update(&piece[..count]);
            part.write(&piece[..count])?;
            progress(Progress { file: self.file.name, received, expected });
        }
        if received < expected {
            return Err(self.error(DownloadError::TooShort { expected, found: received }));
        }
        let found = hexadecimal(digest);
        if found != self.file.md5 {
            return Err(self.error(DownloadError::Checksum { expected: self.file.md5.into(), found }));
        }
        Ok(())
    }

    fn error(&self, source: DownloadError) -> DataError {
        DataError::Download { url: self.url.into(), source }
    }

    fn before_body(&self, error: ureq::Error) -> DownloadError {
        match error {
            ureq::Error::Timeout(timeout) => self.timeout(timeout),
            ureq::Error::Io(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                DownloadError::Connection { source: Box::new(error) }
            }
            _ => DownloadError::Protocol { source: Box::new(error) },
        }
    }

    fn in_body(&self, error: ureq::Error, received: u64) -> DownloadError {
        match error {
            ureq::Error::Timeout(timeout) => self.timeout(timeout),
            ureq::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                DownloadError::TooShort { expected: self.file.bytes, found: received }
            }
            error => DownloadError::Protocol { source: Box::new(error) },
        }
    }

    fn timeout(&self, timeout: ureq::Timeout) -> DownloadError {
        let Settings { connect, silence, file, .. } = self.settings;
        let (waiting_for, limit) = match timeout {
            ureq::Timeout::Resolve => ("address of the host", connect),
            ureq::Timeout::Connect => ("connection", connect),
            ureq::Timeout::Global | ureq::Timeout::PerCall => ("complete file", file),
            _ => ("data", silence),
        };
        DownloadError::Timeout { waiting_for, limit }
    }
}

/// A file under a name of its own, in the directory where it is to be; removed unless it is finished.
struct PartialFile {
    path: PathBuf,
    /// `None` once it is finished.
    file: Option<File>,
}

impl PartialFile {
    fn create(directory: &Path, name: &str) -> Result<Self, DataError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".{name}.{}-{count}.part", process::id()));
        // Truncated rather than refused: what is there can only be left from a process of the same number that is gone.
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(|source| DataError::io(&path, source))?;
        Ok(Self { path, file: Some(file) })
    }

    fn write(&self, bytes: &[u8]) -> Result<(), DataError> {
        self.file.as_ref().map_or(Ok(()), |mut file| file.write_all(bytes)).map_err(|source| DataError::io(&self.path, source))
    }

    /// To the disk, and to its final name.
    fn finish(mut self, path: &Path) -> Result<(), DataError> {
        let file = self.file.take();
        let synced = file.as_ref().map_or(Ok(()), File::sync_all);
        drop(file); // Windows renames closed files only.
        let renamed = synced.and_then(|()| fs::rename(&self.path, path));
        if let Err(source) = renamed {
            let _ = fs::remove_file(&self.path);
            return Err(DataError::io(path, source));
        }
        // The name itself is on the disk once the directory is.
        #[cfg(unix)]
        if let Some(directory) = path.parent() {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(|source| DataError::io(directory, source))?;
        }
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        thread,
        time::Instant,
    };

    use super::*;
    use crate::scratch::Scratch;

    const HELLO: RemoteFile =
        RemoteFile { name: "hello.gz", md5: "5d41402abc4b2a76b9719d911017c592", bytes: 5, decompressed_bytes: 5 };
    const WORLD: RemoteFile =
        RemoteFile { name: "world.gz", md5: "7d793037a0760186574b0282f2f435e7", bytes: 5, decompressed_bytes: 5 };

    const QUICK: Settings = Settings {
        connect: Duration::from_millis(500),
        silence: Duration::from_millis(300),
        file: Duration::from_secs(5),
        environment_proxy: false,
    };

    /// A server on this machine that answers each connection with `answer(path, stream)`, as long as the test process lives.
    fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap();
                answer(request.split(' ').nth(1).unwrap_or_default(), &mut stream);
            }
        });
        url
    }

    fn send(stream: &mut TcpStream, text: &str) {
        let _ = stream.write_all(text.as_bytes());
    }

    /// A complete answer.
    fn respond(stream: &mut TcpStream, body: &str) {
        send(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()));
    }

    fn names(scratch: &Scratch) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The error of fetching `HELLO`, after which nothing may be left.
    fn failure(url: &str) -> DownloadError {
        let scratch = Scratch::new();
        let error = fetch_missing(&[HELLO], url, scratch.path(), QUICK, &mut |_| {}).unwrap_err();
        assert_eq!(names(&scratch), Vec::<String>::new(), "{error}");
        let DataError::Download { url: found, source } = error else { panic!("{error}") };
        assert!(found.ends_with("/hello.gz"), "{found}");
        source
    }

    #[test]
    fn fetches_what_is_missing_or_wrong() {
        let url = serve(|path, stream| respond(stream, if path == "/hello.gz" { "hello" } else { "world" }));
        let scratch = Scratch::new();
        let directory = scratch.path().join("made/on/the/way");
        let mut reports = Vec::new();
        let mut fetch = |url: &str| {
            reports.clear();
            fetch_missing(&[HELLO, WORLD], url, &directory, QUICK, &mut |p| {
                reports.push((p.file.to_owned(), p.received, p.expected))
            })
            .unwrap();
            reports.clone()
        };

        let (hello, world) = ("hello.gz".to_owned(), "world.gz".to_owned());
        let of = |file: &String| [(file.clone(), 0, 5), (file.clone(), 5, 5)];
        assert_eq!(fetch(&url), [of(&hello), of(&world)].concat());
        assert_eq!(fs::read(directory.join("hello.gz")).unwrap(), b"hello");
        assert_eq!(fs::read(directory.join("world.gz")).unwrap(), b"world");

        assert_eq!(fetch("http://127.0.0.1:1/"), []);
        fs::write(directory.join("world.gz"), "other").unwrap();
        assert_eq!(fetch(url.trim_end_matches('/')), of(&world));
        assert_eq!(fs::read(directory.join("world.gz")).unwrap(), b"world");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }

    #[test]
    fn a_body_without_length_is_read_to_its_end() {
        let url = serve(|_, stream| send(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"));
        let scratch = Scratch::new();
        fetch_missing(&[HELLO], &url, scratch.path(), QUICK, &mut |_| {}).unwrap();
        assert_eq!(names(&scratch), ["hello.gz"]);
    }

    #[test]
    fn wrong_checksum() {
        let error = failure(&serve(|_, stream| respond(stream, "hallo")));
        let DownloadError::Checksum { expected, found } = error else { panic!("{error}") };
        assert_eq!((expected.as_str(), found.as_str()), (HELLO.md5, "598d4c200461b81522a3328565c25f7c"));
    }

    #[test]
    fn truncated_body() {
        // Less than announced, announced honestly, and not announced.
        for header in ["Content-Length: 5\r\n", "Content-Length: 3\r\n", ""] {
            let answer = format!("HTTP/1.1 200 OK\r\n{header}Connection: close\r\n\r\nhel");
            let error = failure(&serve(move |_, stream| send(stream, &answer)));
            assert!(matches!(error, DownloadError::TooShort { expected: 5, found: 3 }), "{header}: {error:?}");
        }
    }

    #[test]
    fn endless_body() {
        let error = failure(&serve(|_, stream| {
            send(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while stream.write_all(&[b'a'; 1 << 16]).is_ok() {}
        }));
        assert!(
            matches!(error, DownloadError::TooLong { expected: 5, found_at_least } if found_at_least <= PIECE as u64),
            "{error:?}"
        );

        let error = failure(&serve(|_, stream| respond(stream, "hello, world")));
        assert!(matches!(error, DownloadError::TooLong { expected: 5, found_at_least: 12 }), "{error:?}");
    }

    #[test]
    fn other_status() {
        for status in [404, 500, 301, 204] {
            let answer = format!(
                "HTTP/1.1 {status} Whatever\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let error = failure(&serve(move |_, stream| send(stream, &answer)));
            assert!(matches!(error, DownloadError::Status { expected: 200, found } if found == status), "{status}: {error:?}");
        }
    }

    #[test]
    fn refused_connection() {
        // A port that was free a moment ago.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = failure(&url);
        assert!(matches!(error, DownloadError::Connection { .. }), "{error:?}");
    }

    #[test]
    fn not_http() {
        let error = failure(&serve(|_, stream| send(stream, "220 mail ready\r\n\r\n")));
        assert!(matches!(error, DownloadError::Protocol { .. }), "{error:?}");
    }

    #[test]
    fn slow_server() {
        let stall = |start: &'static str| {
            serve(move |_, stream| {
                send(stream, start);
                thread::sleep(Duration::from_secs(4));
            })
        };
        for url in [stall(""), stall("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")] {
            let start = Instant::now();
            let error = failure(&url);
            assert!(matches!(error, DownloadError::Timeout { waiting_for: "data", .. }), "{error:?}");
            assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        }
    }

    /// A server that is never silent for long, and never done.
    #[test]
    fn dripping_server() {
        let url = serve(|_, stream| {
            send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            while stream.write_all(b"a").is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        let scratch = Scratch::new();
        let large = RemoteFile { bytes: 1_000_000, ..HELLO };
        let settings = Settings { file: Duration::from_millis(600), silence: Duration::from_secs(3), ..QUICK };
        let error = fetch_missing(&[large], &url, scratch.path(), settings, &mut |_| {}).unwrap_err();
        let DataError::Download { source, .. } = error else { panic!("{error}") };
        assert!(matches!(source, DownloadError::Timeout { waiting_for: "complete file", .. }), "{source:?}");
        assert_eq!(names(&scratch), Vec::<String>::new());
    }

    /// A disk that does not take the file is told from a server that does not give it.
    #[test]
    fn a_file_in_the_place_of_the_directory() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        fs::write(&path, "").unwrap();
        let error = fetch_missing(&[HELLO], "http://127.0.0.1:1/", &path, QUICK, &mut |_| {}).unwrap_err();
        assert!(matches!(&error, DataError::Io { path: found, .. } if *found == path), "{error:?}");
    }
}
