//! Copies what finished builds left at their masters. One replica leads it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};

use super::{Archive, ArchiveError, Draft, Kept, KeptArtifact, Object, Writing, hex};
use crate::masters::Master;
use crate::rest::{Download, RestError, build_path};
use crate::service::Service;
use crate::service::store::{ArchiveRow, StoreError};

/// Builds in one round.
const ROUND: i64 = 16;
/// Builds at the same time.
const AT_ONCE: usize = 2;
/// The most artefacts of a build that are listed.
const ARTIFACTS: usize = 1_000;
/// Tries to read from a master: with pauses up to an hour that is a day.
const TRIES: i64 = 32;
/// The most bytes of a log: people look at its end, and at nothing of one that is longer.
const LOG_BYTES: u64 = 1 << 30;
/// The longest pause, in milliseconds.
const PAUSE_MS: i64 = 3_600_000;
/// The most builds that are removed at a time.
const SWEPT: i64 = 1_000;
/// Between two removals of what is old.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Copies builds; never ends.
pub async fn copy_builds(service: &Arc<Service>, tick: Duration) {
    let Some(archive) = service.archive.clone() else { return std::future::pending().await };
    let mut swept: Option<tokio::time::Instant> = None;
    loop {
        if let Err(error) = round(service, &archive).await {
            tracing::warn!(%error, "builds could not be archived");
        }
        if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            swept = Some(tokio::time::Instant::now());
            if let Err(error) = sweep(service, &archive).await {
                tracing::warn!(%error, "old archives could not be removed");
            }
        }
        tokio::time::sleep(tick).await;
    }
}

async fn round(service: &Arc<Service>, archive: &Arc<Archive>) -> Result<(), StoreError> {
    let due = service.store.archives(true, service.now_ms(), ROUND).await?;
    let tried: Vec<_> = stream::iter(due)
        .map(|row| async move {
            let done = copy(service, archive, &row.build).await;
            let row = tried(row, done, service.now_ms());
            service.store.archive_tried(&row).await
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    tried.into_iter().collect()
}

/// Removes what was kept for long enough.
///
/// # Errors
/// [`StoreError`].
pub async fn sweep(service: &Service, archive: &Archive) -> Result<(), StoreError> {
    let keep = i64::try_from(archive.keep.as_millis()).unwrap_or(i64::MAX);
    let before = service.now_ms().saturating_sub(keep);
    for row in service.store.archives(false, before, SWEPT).await? {
        match archive.remove(&row.build).await {
            Ok(()) => service.store.forget_archive(&row.build).await?,
            Err(error) => {
                tracing::warn!(build = row.build, %error, "it cannot be removed");
                // The others cannot be, either; and new ones wait.
                if error.is_passing() {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Why a build is not archived.
enum Trouble {
    /// It will not be.
    Lost(String),
    /// Its master does not give it now.
    Later(String),
    /// It cannot be kept now. That is tried as long as builds are kept.
    Unkept(String),
}

impl From<RestError> for Trouble {
    fn from(error: RestError) -> Self {
        match error {
            RestError::Missing { .. } => Self::Lost("its master does not have it".to_owned()),
            other => Self::Later(other.to_string()),
        }
    }
}

impl From<ArchiveError> for Trouble {
    fn from(error: ArchiveError) -> Self {
        Self::Unkept(error.to_string())
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Unkept(error.to_string())
    }
}

fn tried(mut row: ArchiveRow, done: Result<(), Trouble>, now_ms: i64) -> ArchiveRow {
    row.tries = match &done {
        Ok(()) | Err(Trouble::Lost(_)) => row.tries,
        Err(Trouble::Later(_)) => row.tries + 1,
        // Its master has tries left when it can be kept again.
        Err(Trouble::Unkept(_)) => row.tries.max((row.tries + 1).min(TRIES / 2)),
    };
    let (state, error) = match done {
        Ok(()) => ("done", String::new()),
        Err(Trouble::Lost(why)) => ("lost", why),
        Err(Trouble::Later(why)) if row.tries >= TRIES => ("lost", why),
        Err(Trouble::Later(why) | Trouble::Unkept(why)) => {
            row.next_ms = now_ms + (5_000_i64 << row.tries.clamp(0, 10)).min(PAUSE_MS);
            ("due", why)
        }
    };
    if state != "done" {
        let (build, tries) = (&row.build, row.tries);
        tracing::warn!(build, tries, state, why = error, "a build is not archived");
    }
    state.clone_into(&mut row.state);
    row.error = error;
    row
}

async fn copy(service: &Service, archive: &Archive, id: &str) -> Result<(), Trouble> {
    let lost = |why: &str| Trouble::Lost(why.to_owned());
    // A leader that died had put it here before, when its master may have had more of it.
    if archive.kept(id).await?.is_some() {
        return Ok(());
    }
    let build = service.store.routed(id).await?;
    let build = build.ok_or_else(|| lost("the bridge does not have it any more"))?;
    let attempts = service.store.attempts(id).await?;
    let attempt = attempts.iter().rev().find(|one| one.url.is_some());
    let attempt = attempt.ok_or_else(|| lost("it never ran"))?;
    let path = attempt.url.as_deref().and_then(build_path);
    let path = path.ok_or_else(|| lost("its address cannot be read"))?;
    let master = service.masters.get(&attempt.master);
    let master = master.ok_or_else(|| lost("its master is not declared any more"))?;
    let mut kept =
        Kept { attempt: attempt.attempt, master: master.name.clone(), ..Kept::default() };
    let draft = archive.begin(&build.id).await?;
    log(&master, &path, &draft, &mut kept).await?;
    if let Some(tests) = master.client.test_report(&path).await? {
        draft.tests(&tests).await?;
    }
    artifacts(&master, &path, archive.artifact_bytes, &draft, &mut kept).await?;
    draft.finish(&kept).await?;
    Ok(())
}

/// The whole log.
async fn log(master: &Master, path: &str, draft: &Draft, kept: &mut Kept) -> Result<(), Trouble> {
    let (from, grows) = master.client.whole_log(path).await?;
    if grows {
        // The last lines may be written a moment after the result.
        return Err(Trouble::Later("its log still grows".to_owned()));
    }
    if pour(from, draft.write(Object::Log).await?, LOG_BYTES).await?.is_none() {
        kept.missing.push(format!("the log has more than {LOG_BYTES} bytes"));
    }
    Ok(())
}

/// Keeps the artefacts that fit, by their numbers.
async fn artifacts(
    master: &Master,
    path: &str,
    limit: u64,
    draft: &Draft,
    kept: &mut Kept,
) -> Result<(), Trouble> {
    let names = master.client.artifacts(path).await?;
    if names.len() > ARTIFACTS {
        kept.missing.push(format!("{} artefacts, of which {ARTIFACTS} are listed", names.len()));
    }
    let mut left = limit;
    for (number, name) in names.into_iter().take(ARTIFACTS).enumerate() {
        let mut artifact = KeptArtifact { path: name, ..KeptArtifact::default() };
        if left > 0 {
            match master.client.artifact(path, &artifact.path).await {
                Ok(from) if from.announced().is_some_and(|bytes| bytes > left) => {}
                Ok(from) => {
                    let into = draft.write(Object::Artifact(number)).await?;
                    if let Some((bytes, sha256)) = pour(from, into, left).await? {
                        left -= bytes;
                        (artifact.bytes, artifact.sha256) = (Some(bytes), Some(sha256));
                    }
                }
                Err(RestError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        kept.artifacts.push(artifact);
    }
    Ok(())
}

/// Keeps what comes from a master: how many bytes, and their digest. Nothing is kept where more than so many
/// come.
async fn pour(
    mut from: Download<'_>,
    mut into: Box<dyn Writing>,
    most: u64,
) -> Result<Option<(u64, String)>, Trouble> {
    let (mut bytes, mut digest) = (0, Sha256::new());
    let done: Result<bool, Trouble> = async {
        while let Some(piece) = from.next().await? {
            bytes += piece.len() as u64;
            if bytes > most {
                return Ok(false);
            }
            digest.update(&piece);
            into.write(piece).await?;
        }
        Ok(true)
    }
    .await;
    match done {
        Ok(true) => {
            into.finish().await?;
            Ok(Some((bytes, hex(&digest.finalize()))))
        }
        Ok(false) => {
            into.abandon().await;
            Ok(None)
        }
        Err(trouble) => {
            into.abandon().await;
            Err(trouble)
        }
    }
}
