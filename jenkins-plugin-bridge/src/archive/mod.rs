//! What builds left behind, kept in a directory: logs, test results, artefacts. They outlive their master.
//!
//! A build is one directory, named by its id, which appears at once and complete. Artefacts are files named
//! by their numbers, so that no name that a build chose is ever a path here.

mod copy;

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use copy::copy_builds;
#[cfg(test)]
pub use copy::sweep;

use crate::rest::TestReport;

/// The most bytes of a piece of a log.
const PIECE_BYTES: u64 = 1 << 20;

/// Where builds are archived, and how much.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: PathBuf,
    /// How long builds are kept.
    pub keep: Duration,
    /// The most bytes of the artefacts of one build.
    pub artifact_bytes: u64,
}

/// What is kept of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The attempt that it is of.
    pub attempt: i64,
    /// Its master.
    pub master: String,
    /// What could not be kept, and why.
    pub missing: Vec<String>,
    /// Its artefacts.
    pub artifacts: Vec<KeptArtifact>,
}

/// An artefact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptArtifact {
    /// Its path, as the build named it.
    pub path: String,
    /// Bytes, where it is kept here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Archive {
    /// Opens an archive. The directory is made where it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(directory: &Path, keep: Duration, artifact_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned(), keep, artifact_bytes })
    }

    /// The directory of a build. An id has letters, digits, `-` and `_` only.
    fn place(&self, build: &str) -> io::Result<PathBuf> {
        let good = |one: char| one.is_ascii_alphanumeric() || "-_".contains(one);
        if build.is_empty() || build.len() > 64 || !build.chars().all(good) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no id of a build"));
        }
        Ok(self.directory.join(build))
    }

    /// What is kept of a build; nothing where it is not archived.
    #[must_use]
    pub fn kept(&self, build: &str) -> Option<Kept> {
        let text = std::fs::read(self.place(build).ok()?.join("kept.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// A piece of the log of a build: bytes, and where the next piece begins. Nothing where it is not kept.
    #[must_use]
    pub fn log(&self, build: &str, offset: u64) -> Option<(Vec<u8>, u64, bool)> {
        let mut file = std::fs::File::open(self.place(build).ok()?.join("log")).ok()?;
        let size = file.metadata().ok()?.len();
        let from = offset.min(size);
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(PIECE_BYTES).read_to_end(&mut bytes).ok()?;
        let next = from + bytes.len() as u64;
        Some((bytes, next.max(offset), next < size))
    }

    /// Test results of a build; nothing where it had none.
    #[must_use]
    pub fn tests(&self, build: &str) -> Option<TestReport> {
        let text = std::fs::read(self.place(build).ok()?.join("tests.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The bytes of an artefact, by its number.
    ///
    /// # Errors
    /// When it is not kept.
    pub fn artifact(&self, build: &str, number: usize) -> io::Result<Vec<u8>> {
        std::fs::read(self.place(build)?.join(number.to_string()))
    }

    /// Begins to put a build here. What an earlier try left is removed.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn begin(&self, build: &str) -> io::Result<Draft> {
        let (place, new) = (self.place(build)?, self.unfinished(build)?);
        remove_directory(&new)?;
        std::fs::create_dir(&new)?;
        Ok(Draft { new, place })
    }

    /// Where a build is that is not complete.
    fn unfinished(&self, build: &str) -> io::Result<PathBuf> {
        let mut name = self.place(build)?.into_os_string();
        name.push(".new");
        Ok(name.into())
    }

    /// Removes a build.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, build: &str) -> io::Result<()> {
        remove_directory(&self.unfinished(build)?)?;
        remove_directory(&self.place(build)?)
    }
}

/// A build that is being put into an archive. It is written piece by piece, as its artefacts need not fit into
/// memory together.
#[derive(Debug)]
pub struct Draft {
    new: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// Keeps the log.
    ///
    /// # Errors
    /// When it cannot be written, as for the others.
    pub fn log(&self, bytes: &[u8]) -> io::Result<()> {
        std::fs::write(self.new.join("log"), bytes)
    }

    /// Keeps test results.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn tests(&self, tests: &TestReport) -> io::Result<()> {
        std::fs::write(self.new.join("tests.json"), serde_json::to_vec(tests)?)
    }

    /// Keeps an artefact by its number.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn artifact(&self, number: usize, bytes: &[u8]) -> io::Result<()> {
        std::fs::write(self.new.join(number.to_string()), bytes)
    }

    /// Has the build appear, all at once. One that is there already stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&self, kept: &Kept) -> io::Result<()> {
        std::fs::write(self.new.join("kept.json"), serde_json::to_vec(kept)?)?;
        match std::fs::rename(&self.new, &self.place) {
            // A leader that died had put it here before.
            Err(_) if self.place.is_dir() => remove_directory(&self.new),
            done => done,
        }
    }
}

fn remove_directory(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_put_read_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::open(&directory.path().join("a/b"), Duration::ZERO, 10).unwrap();
        let artifact = KeptArtifact { path: "../../etc/passwd".to_owned(), bytes: Some(2) };
        let kept = Kept { attempt: 2, artifacts: vec![artifact], ..Kept::default() };
        let log = vec![b'x'; 1_500_000];
        let tests = TestReport { pass_count: 3, ..TestReport::default() };
        // A try that came to nothing.
        archive.begin("r-1").unwrap().log(b"half").unwrap();
        let draft = archive.begin("r-1").unwrap();
        draft.tests(&tests).unwrap();
        draft.artifact(0, b"ok").unwrap();
        draft.log(&log).unwrap();
        assert_eq!(archive.kept("r-1"), None, "not before it is complete");
        draft.finish(&kept).unwrap();
        archive.begin("r-1").unwrap().finish(&Kept::default()).unwrap();
        assert_eq!(archive.kept("r-1"), Some(kept));
        assert_eq!(archive.tests("r-1"), Some(tests));
        assert_eq!(archive.artifact("r-1", 0).unwrap(), b"ok");
        let (first, next, more) = archive.log("r-1", 10).unwrap();
        assert_eq!((first.len(), next, more), (1 << 20, 10 + (1 << 20), true));
        let (rest, next, more) = archive.log("r-1", next).unwrap();
        assert_eq!((first.len() + rest.len() + 10, next, more), (1_500_000, 1_500_000, false));
        assert_eq!(archive.log("r-1", 2_000_000).unwrap(), (Vec::new(), 2_000_000, false));
        archive.begin("r-1").unwrap().log(b"left by a process that died").unwrap();
        archive.remove("r-1").unwrap();
        archive.remove("r-1").unwrap();
        assert_eq!(archive.kept("r-1"), None);
        assert_eq!(std::fs::read_dir(directory.path().join("a/b")).unwrap().count(), 0);
        for bad in ["", "..", "a/b", &"x".repeat(65)] {
            assert!(archive.remove(bad).is_err() && archive.kept(bad).is_none(), "{bad}");
        }
    }
}
