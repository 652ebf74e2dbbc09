//! Trials as lines of JSON: what a search writes while it runs, and what it goes on from.
//!
//! Why lines: a run that is killed loses the line it was writing and nothing else, and the files of many machines are merged by putting them
//! one after the other. Why JSON: whoever looks at a search with another tool reads it without asking us for a format. A real number is written with
//! the fewest digits that give the same bits again.

use super::candidate::{Candidate, Value};
use super::error::SearchError;
use super::run::Search;
use super::trial::Trial;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

impl Trial {
    /// The trial as one line of JSON with its end of line:
    /// `{"trial":3,"candidate":{"n_hidden":2,"rate":0.01},"fingerprint":7,"folds":[{"score":-0.5,"epochs":9,"seconds":1.25}],"failure":null}`.
    ///
    /// JSON knows no infinite number and no NaN: where somebody has put one, it becomes `null`, which no search accepts.
    ///
    /// # Errors
    /// None that a trial of a search could cause.
    pub fn to_line(&self) -> Result<String, SearchError> {
        let mut line = serde_json::to_string(self).map_err(std::io::Error::other)?;
        line.push('\n');
        Ok(line)
    }
}

impl Search<'_> {
    /// Goes on from the lines that other runs have written, in any order: their trials are not run again.
    ///
    /// A last line that broke off is ignored, and [`SearchResults::ignored_line`](super::SearchResults::ignored_line) tells its number.
    ///
    /// # Errors
    /// [`SearchError::Line`] with the number of the line if a line is no trial or, as in [`Search::finished`], none of this search.
    pub fn resume_lines(mut self, lines: &[u8]) -> Result<Self, SearchError> {
        self.read(lines)?;
        Ok(self)
    }

    /// How many bytes belong to whole lines.
    fn read(&mut self, lines: &[u8]) -> Result<usize, SearchError> {
        let mut whole = 0;
        for (i, line) in lines.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let number = i + 1;
            match serde_json::from_slice(line) {
                Ok(trial) => {
                    self.add_finished(trial).map_err(|error| SearchError::Line { line: number, source: Box::new(error) })?;
                    whole += line.len();
                }
                Err(error) if error.is_eof() && !line.ends_with(b"\n") => self.ignored_line = Some(number),
                Err(error) => return Err(SearchError::Line { line: number, source: Box::new(error) }),
            }
        }
        Ok(whole)
    }
}

impl<'a> Search<'a> {
    /// Goes on from a file of lines, and adds a line to it as each trial finishes, so that the search survives whatever ends it. The file is made if it is not
    /// there, and locked while the search runs: machines that run at the same time need a file each. A last line that broke off is cut
    /// off.
    ///
    /// # Errors
    /// As [`Search::resume_lines`], and [`SearchError::Io`] if the file cannot be read or written or another search has it.
    pub fn resume_file(mut self, path: impl AsRef<Path>) -> Result<Self, SearchError> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() != std::io::ErrorKind::Unsupported => return Err(error.into()),
            Err(TryLockError::WouldBlock) => return Err(std::io::Error::other("another search writes to this file").into()),
            _ => {}
        }
        let mut lines = Vec::new();
        file.read_to_end(&mut lines)?;
        let whole = self.read(&lines)?;
        if whole < lines.len() {
            file.set_len(whole as u64)?;
            file.seek(SeekFrom::End(0))?;
        } else if lines.last().is_some_and(|&byte| byte != b'\n') {
            file.write_all(b"\n")?;
        }
        Ok(self.on_trial(move |trial| {
            file.write_all(trial.to_line()?.as_bytes())?;
            Ok(file.sync_data()?)
        }))
    }
}

impl Serialize for Candidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Candidate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters with integers, numbers and texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Candidate, A::Error> {
                let mut candidate = Candidate::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if candidate.get(&name).is_some() {
                        return Err(A::Error::custom(format!("parameter `{name}`: one value expected, found two")));
                    }
                    candidate = candidate.with(&name, value);
                }
                Ok(candidate)
            }
        }

        deserializer.deserialize_map(Values)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::search::{KFold, SearchResults, Space, Split};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn search<'a>() -> Search<'a> {
        let space = Space::new().integer("n", 1..=9).log_uniform("rate", 1e-9, 1e9).choice("kind", ["a \"b\"", "ü\n", "1"]);
        Search::new(space.random(8, 1).unwrap(), KFold::new(2).split(6).unwrap()).unwrap().threads(1)
    }

    fn objective(candidate: &Candidate, split: &Split<'_>) -> Result<f64, SearchError> {
        if split.trial == 3 {
            return candidate.real("ra\"te");
        }
        Ok(candidate.real("rate")? / 3.0 + split.fold as f64)
    }

    fn append(lines: &mut String, trial: &Trial) -> Result<(), SearchError> {
        lines.push_str(&trial.to_line()?);
        Ok(())
    }

    fn lines_of(search: Search<'_>) -> String {
        let mut lines = String::new();
        search.on_trial(|trial| append(&mut lines, trial)).run(objective).unwrap();
        lines
    }

    /// Results whose seconds are those of the lines.
    fn without_run(lines: &str) -> SearchResults {
        let never = |_: &Candidate, _: &Split<'_>| -> Result<f64, SearchError> { unreachable!("all trials are finished") };
        search().resume_lines(lines.as_bytes()).unwrap().run(never).unwrap()
    }

    #[test]
    fn trials_survive_as_lines() {
        let mut lines = String::new();
        let results = search().on_trial(|trial| append(&mut lines, trial)).run(objective).unwrap();
        assert_eq!(lines.lines().count(), 8);
        assert_eq!(without_run(&lines), results, "bit for bit, seconds included");
        let mut reversed: Vec<&str> = lines.split_inclusive('\n').collect();
        reversed.reverse();
        assert_eq!(without_run(&reversed.concat()), results, "in any order");
        assert_eq!(without_run(lines.trim_end()), results, "without the last end of line");
        assert_eq!(without_run(&lines.replace('\n', "\r\n")), results);
    }

    #[test]
    fn a_line_is_plain_json() {
        let candidate = Candidate::new().with("n_hidden", 2).with("rate", 0.01).with("activation", "relu").with("whole", 3.0);
        let folds = vec![crate::model::search::FoldScore { score: -0.5, epochs: Some(9), seconds: 1.25 }];
        let trial = Trial { number: 3, candidate, fingerprint: 7, folds, failure: None };
        let expected = concat!(
            r#"{"trial":3,"candidate":{"n_hidden":2,"rate":0.01,"activation":"relu","whole":3.0},"fingerprint":7,"#,
            r#""folds":[{"score":-0.5,"epochs":9,"seconds":1.25}],"failure":null}"#,
            "\n"
        );
        assert_eq!(trial.to_line().unwrap(), expected);
        assert_eq!(serde_json::from_str::<Trial>(expected).unwrap(), trial);
    }

    /// Wherever a run is killed, the next one goes on.
    #[test]
    fn a_line_may_break_off_anywhere() {
        let lines = lines_of(search());
        let last = lines[..lines.len() - 1].rfind('\n').unwrap() + 1;
        for end in last + 1..lines.len() - 1 {
            let results = search().resume_lines(&lines.as_bytes()[..end]).unwrap().run(objective).unwrap();
            assert_eq!((results.ignored_line(), results.rows().len()), (Some(8), 8), "{end} bytes");
        }
        let results = search().resume_lines(&lines.as_bytes()[..last]).unwrap().run(objective).unwrap();
        assert_eq!(results.ignored_line(), None);
    }

    #[test]
    fn a_wrong_line_is_refused_with_its_number() {
        let lines = lines_of(search());
        let message = |from: &str, to: &str| {
            assert!(lines.contains(from), "{from}");
            search().resume_lines(lines.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
        };
        let broken = message("\n{\"trial\":1,", "\n{\"trial\":1");
        assert!(broken.starts_with("line 2: "), "{broken}");
        assert!(message("\n", "\n\n").starts_with("line 2: "));
        assert!(message("\"trial\":4,", "\"trial\":-4,").starts_with("line 5: invalid value"));
        assert!(message("\"trial\":5,", "\"trial\":5,\"more\":1,").starts_with("line 6: unknown field `more`"));
        assert!(message("\"trial\":5,", "\"trial\":2,").starts_with("line 6: trial 2, candidate: "));
        assert!(message("\"n\":", "\"n\":5,\"n\":").contains("parameter `n`: one value expected, found two"));
        assert!(message("\"score\":", "\"score\":null,\"x\":").starts_with("line 1: invalid type: null"));
        let tail = search().resume_lines(format!("{lines}garbage").as_bytes()).unwrap_err().to_string();
        assert!(tail.starts_with("line 9: expected value"), "no line of ours that broke off: {tail}");
        let error = search().resume_lines(b"[]\n").unwrap_err();
        assert!(matches!(error, SearchError::Line { line: 1, .. }));
    }

    #[test]
    fn a_file_is_gone_on_with() {
        let path = std::env::temp_dir().join(format!("selvedge-search-{}.jsonl", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let runs = AtomicUsize::new(0);
        let counted = |candidate: &Candidate, split: &Split<'_>| {
            runs.fetch_add(1, Ordering::Relaxed);
            objective(candidate, split)
        };
        search().resume_file(&path).unwrap().only(0..3).run(counted).unwrap();
        assert_eq!(runs.swap(0, Ordering::Relaxed), 6);
        // Killed in the middle of a line.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 9);
        std::fs::write(&path, &bytes).unwrap();
        let results = search().resume_file(&path).unwrap().run(counted).unwrap();
        assert_eq!((runs.swap(0, Ordering::Relaxed), results.ignored_line()), (11, Some(3)), "one trial fails at once");
        // Without its last end of line, as an editor may leave it.
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 8);
        std::fs::write(&path, text.lines().take(7).collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(search().resume_file(&path).unwrap().run(counted).unwrap().ignored_line(), None);
        assert_eq!(runs.swap(0, Ordering::Relaxed), 2);
        assert_eq!(search().resume_file(&path).unwrap().run(counted).unwrap(), results_of(&path));
        assert_eq!(runs.into_inner(), 0);
        let one = search().resume_file(&path).unwrap();
        let other = search().resume_file(&path).unwrap_err().to_string();
        assert!(other.ends_with("another search writes to this file"), "{other}");
        drop(one);
        std::fs::remove_file(&path).unwrap();
    }

    fn results_of(path: &Path) -> SearchResults {
        without_run(&std::fs::read_to_string(path).unwrap())
    }
}
