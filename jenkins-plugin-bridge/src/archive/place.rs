//! Where an archive keeps things: named objects of builds, on a disk or in a bucket.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::ArchiveError;

/// What is kept of a build, one object each. No name that a build chose is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// Its log.
    Log,
    /// Its test results, as JSON.
    Tests,
    /// An artefact, by its number.
    Artifact(usize),
    /// What is kept, as JSON. It is written last: a build without it is not there.
    Kept,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Tests => f.write_str("tests.json"),
            Self::Artifact(number) => write!(f, "{number}"),
            Self::Kept => f.write_str("kept.json"),
        }
    }
}

/// An object that is being read.
pub struct Reading {
    /// Bytes of the whole object.
    pub size: u64,
    /// What is read of it.
    pub pieces: BoxStream<'static, Result<Bytes, ArchiveError>>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("size", &self.size).finish_non_exhaustive()
    }
}

/// An object that is being written. It is there once it is finished. One that is dropped goes when its build is
/// begun again, or removed.
#[async_trait]
pub trait Writing: Send {
    /// Writes some more.
    async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError>;
    /// Has it be there.
    async fn finish(self: Box<Self>) -> Result<(), ArchiveError>;
    /// Removes what was written, as far as that is possible now.
    async fn abandon(self: Box<Self>);
}

/// A place for the objects of builds. An id of a build was checked before.
#[async_trait]
pub trait Place: fmt::Debug + Send + Sync {
    /// Makes sure that something can be written, read and removed.
    async fn check(&self) -> Result<(), ArchiveError>;
    /// Begins a build. What unfinished writing left of an earlier try is removed.
    async fn begin(&self, build: &str) -> Result<(), ArchiveError>;
    /// Begins to write an object of a build that was begun.
    async fn write(&self, build: &str, object: Object) -> Result<Box<dyn Writing>, ArchiveError>;
    /// Has the build appear, with what is kept of it.
    async fn finish(&self, build: &str, kept: Bytes) -> Result<(), ArchiveError>;
    /// Reads so many bytes of an object at most, from one on; nothing where it is not there.
    async fn read(
        &self,
        build: &str,
        object: Object,
        from: u64,
        most: u64,
    ) -> Result<Option<Reading>, ArchiveError>;
    /// Removes a build, whatever is there of it.
    async fn remove(&self, build: &str) -> Result<(), ArchiveError>;
}
