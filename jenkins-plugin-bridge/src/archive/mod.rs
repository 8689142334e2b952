//! What builds left behind: logs, test results, artefacts. They outlive their master.
//!
//! They are kept in a directory or in a bucket of S3. Artefacts are named by their numbers there, so that no
//! name that a build chose is ever a path.

mod copy;
mod disk;
mod error;
mod place;
pub mod s3;
#[cfg(test)]
pub mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use copy::copy_builds;
#[cfg(test)]
pub use copy::sweep;
pub use error::ArchiveError;
pub use place::{Object, Reading, Writing};

use crate::rest::TestReport;
use disk::Disk;
use place::Place;

/// The most bytes of a piece of a log.
const PIECE_BYTES: u64 = 1 << 20;
/// The most bytes of what is kept as JSON: as much as a master's answer, from which it comes.
const JSON_BYTES: u64 = 64 << 20;

/// Where builds are archived, and how much.
#[derive(Debug, Clone)]
pub struct Archive {
    place: Arc<dyn Place>,
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
    /// SHA-256 of the bytes in hexadecimal, where it is kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Archive {
    /// Opens an archive in a directory, which is made where it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(
        directory: &Path,
        keep: Duration,
        artifact_bytes: u64,
    ) -> Result<Self, ArchiveError> {
        Ok(Self { place: Arc::new(Disk::open(directory)?), keep, artifact_bytes })
    }

    /// An archive in a bucket.
    #[must_use]
    pub fn in_bucket(bucket: s3::Bucket, keep: Duration, artifact_bytes: u64) -> Self {
        Self { place: Arc::new(bucket), keep, artifact_bytes }
    }

    /// Makes sure that something can be written, read and removed.
    ///
    /// # Errors
    /// What is in the way; [`ArchiveError::is_passing`] where it may be otherwise later.
    pub async fn check(&self) -> Result<(), ArchiveError> {
        self.place.check().await
    }

    /// What is kept of a build; nothing where it is not archived.
    ///
    /// # Errors
    /// [`ArchiveError`], as for all that read.
    pub async fn kept(&self, build: &str) -> Result<Option<Kept>, ArchiveError> {
        self.json(build, Object::Kept).await
    }

    /// A piece of the log of a build: bytes, where the next piece begins, and whether there is one. Nothing
    /// where it is not kept.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn log(
        &self,
        build: &str,
        offset: u64,
    ) -> Result<Option<(Vec<u8>, u64, bool)>, ArchiveError> {
        let read = self.place.read(id(build)?, Object::Log, offset, PIECE_BYTES).await?;
        let Some(Reading { size, pieces }) = read else { return Ok(None) };
        let bytes = whole(pieces).await?;
        let next = offset + bytes.len() as u64;
        Ok(Some((bytes, next, next < size)))
    }

    /// Test results of a build; nothing where it had none.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn tests(&self, build: &str) -> Result<Option<TestReport>, ArchiveError> {
        self.json(build, Object::Tests).await
    }

    /// An artefact, by its number; nothing where it is not kept. It is compared with its digest as it is read:
    /// what is not as it was kept ends with [`ArchiveError::Damaged`].
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn artifact(
        &self,
        build: &str,
        number: usize,
    ) -> Result<Option<Reading>, ArchiveError> {
        let kept = self.kept(build).await?.unwrap_or_default();
        let Some(artifact) = kept.artifacts.into_iter().nth(number) else { return Ok(None) };
        let Some(bytes) = artifact.bytes else { return Ok(None) };
        let object = Object::Artifact(number);
        let read = self.place.read(id(build)?, object, 0, u64::MAX).await?;
        let damaged = |reason: String| damaged(build, object, reason);
        match (read, artifact.sha256) {
            (Some(read), _) if read.size != bytes => {
                Err(damaged(format!("it has {} bytes, and {bytes} were kept", read.size)))
            }
            (Some(read), Some(sha256)) => Ok(Some(compared(read, sha256, build, object))),
            (Some(read), None) => Ok(Some(read)),
            (None, _) => Err(damaged("it is gone".to_owned())),
        }
    }

    /// Begins to put a build here. What an earlier try left unfinished is removed.
    ///
    /// # Errors
    /// When nothing can be written.
    pub async fn begin(&self, build: &str) -> Result<Draft, ArchiveError> {
        self.place.begin(id(build)?).await?;
        Ok(Draft { place: Arc::clone(&self.place), build: build.to_owned() })
    }

    /// Removes a build.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove(&self, build: &str) -> Result<(), ArchiveError> {
        self.place.remove(id(build)?).await
    }

    async fn json<T: serde::de::DeserializeOwned>(
        &self,
        build: &str,
        object: Object,
    ) -> Result<Option<T>, ArchiveError> {
        let read = self.place.read(id(build)?, object, 0, JSON_BYTES).await?;
        let Some(Reading { pieces, .. }) = read else { return Ok(None) };
        let bytes = whole(pieces).await?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| damaged(build, object, error.to_string()))
    }
}

/// A name that may be one of a directory or the beginning of one of an object.
fn id(build: &str) -> Result<&str, ArchiveError> {
    let good = |one: char| one.is_ascii_alphanumeric() || "-_".contains(one);
    if build.is_empty() || build.len() > 64 || !build.chars().all(good) {
        return Err(ArchiveError::Id(build.chars().take(64).collect()));
    }
    Ok(build)
}

fn damaged(build: &str, object: Object, reason: String) -> ArchiveError {
    ArchiveError::Damaged { object: format!("{object} of the build {build}"), reason }
}

async fn whole(
    pieces: stream::BoxStream<'static, Result<Bytes, ArchiveError>>,
) -> Result<Vec<u8>, ArchiveError> {
    pieces
        .try_fold(Vec::new(), async |mut all, piece| {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

/// The same pieces. The last one is given once all of them have this digest.
fn compared(read: Reading, sha256: String, build: &str, object: Object) -> Reading {
    let size = read.size;
    let wrong = damaged(build, object, "its digest is another one".to_owned());
    let state = (read.pieces, Sha256::new(), size, sha256, wrong);
    let pieces =
        stream::try_unfold(state, async |(mut pieces, mut digest, left, sha256, wrong)| {
            let Some(piece) = pieces.try_next().await? else { return Ok(None) };
            digest.update(&piece);
            let left = left.saturating_sub(piece.len() as u64);
            if left == 0 && hex(&digest.clone().finalize()) != sha256 {
                return Err(wrong);
            }
            Ok(Some((piece, (pieces, digest, left, sha256, wrong))))
        });
    Reading { size, pieces: pieces.boxed() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A build that is being put into an archive. It is written piece by piece: nothing of it need fit into memory.
#[derive(Debug)]
pub struct Draft {
    place: Arc<dyn Place>,
    build: String,
}

impl Draft {
    /// Begins to keep an object.
    ///
    /// # Errors
    /// When it cannot be written, as for the others.
    pub async fn write(&self, object: Object) -> Result<Box<dyn Writing>, ArchiveError> {
        self.place.write(&self.build, object).await
    }

    /// Keeps test results.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn tests(&self, tests: &TestReport) -> Result<(), ArchiveError> {
        let mut writing = self.write(Object::Tests).await?;
        writing.write(self.encoded(Object::Tests, tests)?).await?;
        writing.finish().await
    }

    /// Has the build appear.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn finish(&self, kept: &Kept) -> Result<(), ArchiveError> {
        self.place.finish(&self.build, self.encoded(Object::Kept, kept)?).await
    }

    fn encoded(&self, object: Object, value: &impl Serialize) -> Result<Bytes, ArchiveError> {
        let bytes = serde_json::to_vec(value);
        bytes.map(Bytes::from).map_err(|error| damaged(&self.build, object, error.to_string()))
    }
}
