//! Copies what finished builds left at their masters. One replica leads it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::{Archive, Draft, Kept, KeptArtifact};
use crate::masters::Master;
use crate::rest::{RestError, build_path};
use crate::service::Service;
use crate::service::store::{ArchiveRow, StoreError};

/// Builds in one round.
const ROUND: i64 = 16;
/// Builds at the same time.
const AT_ONCE: usize = 2;
/// The most artefacts of a build that are listed.
const ARTIFACTS: usize = 1_000;
/// Tries: with pauses up to an hour that is a day.
const TRIES: i64 = 32;
/// The longest pause, in milliseconds.
const PAUSE_MS: i64 = 3_600_000;
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
pub async fn sweep(service: &Service, archive: &Arc<Archive>) -> Result<(), StoreError> {
    let keep = i64::try_from(archive.keep.as_millis()).unwrap_or(i64::MAX);
    for row in service.store.archives(false, service.now_ms().saturating_sub(keep), 1_000).await? {
        let (place, build) = (Arc::clone(archive), row.build.clone());
        match tokio::task::spawn_blocking(move || place.remove(&build)).await {
            Ok(Ok(())) => service.store.forget_archive(&row.build).await?,
            Ok(Err(error)) => tracing::warn!(build = row.build, %error, "it cannot be removed"),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Why a build is not archived.
enum Trouble {
    /// It will not be.
    Lost(String),
    /// Not now.
    Later(String),
}

impl From<RestError> for Trouble {
    fn from(error: RestError) -> Self {
        match error {
            RestError::Missing { .. } => Self::Lost("its master does not have it".to_owned()),
            other => Self::Later(other.to_string()),
        }
    }
}

fn tried(mut row: ArchiveRow, done: Result<(), Trouble>, now_ms: i64) -> ArchiveRow {
    let (state, error) = match done {
        Ok(()) => ("done", String::new()),
        Err(Trouble::Lost(why)) => ("lost", why),
        Err(Trouble::Later(why)) => {
            row.tries += 1;
            row.next_ms = now_ms + (5_000_i64 << row.tries.clamp(0, 10)).min(PAUSE_MS);
            (if row.tries >= TRIES { "lost" } else { "due" }, why)
        }
    };
    if state == "lost" {
        tracing::warn!(build = row.build, why = error, "a build is not archived");
    }
    state.clone_into(&mut row.state);
    row.error = error;
    row
}

async fn copy(service: &Service, archive: &Arc<Archive>, id: &str) -> Result<(), Trouble> {
    let store = |error: StoreError| Trouble::Later(error.to_string());
    let lost = |why: &str| Trouble::Lost(why.to_owned());
    let build = service.store.routed(id).await.map_err(store)?;
    let build = build.ok_or_else(|| lost("the bridge does not have it any more"))?;
    let attempts = service.store.attempts(id).await.map_err(store)?;
    let attempt = attempts.iter().rev().find(|one| one.url.is_some());
    let attempt = attempt.ok_or_else(|| lost("it never ran"))?;
    let path = attempt.url.as_deref().and_then(build_path);
    let path = path.ok_or_else(|| lost("its address cannot be read"))?;
    let master = service.masters.get(&attempt.master);
    let master = master.ok_or_else(|| lost("its master is not declared any more"))?;
    let mut kept =
        Kept { attempt: attempt.attempt, master: master.name.clone(), ..Kept::default() };
    let log = log(&master, &path, &mut kept).await?;
    let tests = master.client.test_report(&path).await?;
    let (place, id) = (Arc::clone(archive), build.id);
    let draft = beside(move || {
        let draft = place.begin(&id)?;
        if let Some(log) = &log {
            draft.log(log)?;
        }
        if let Some(tests) = &tests {
            draft.tests(tests)?;
        }
        Ok(draft)
    });
    let draft = Arc::new(draft.await?);
    artifacts(&master, &path, archive.artifact_bytes, &draft, &mut kept).await?;
    beside(move || draft.finish(&kept)).await
}

/// Writes, beside the threads that answer requests.
async fn beside<T: Send + 'static>(
    write: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(error)) => Err(Trouble::Later(format!("write it: {error}"))),
        Err(error) => Err(Trouble::Later(error.to_string())),
    }
}

/// The whole log; nothing where it is too large to be asked for.
async fn log(master: &Master, path: &str, kept: &mut Kept) -> Result<Option<Vec<u8>>, Trouble> {
    match master.client.log(path, 0).await {
        // The last lines may be written a moment after the result.
        Ok(piece) if piece.more => Err(Trouble::Later("its log still grows".to_owned())),
        Ok(piece) => Ok(Some(piece.bytes)),
        Err(RestError::TooLarge { limit, .. }) => {
            kept.missing.push(format!("the log has more than {limit} bytes"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps the artefacts that fit, by their numbers. One is in memory at a time.
async fn artifacts(
    master: &Master,
    path: &str,
    limit: u64,
    draft: &Arc<Draft>,
    kept: &mut Kept,
) -> Result<(), Trouble> {
    let names = master.client.artifacts(path).await?;
    if names.len() > ARTIFACTS {
        kept.missing.push(format!("{} artefacts, of which {ARTIFACTS} are listed", names.len()));
    }
    let mut left = limit;
    for (number, name) in names.into_iter().take(ARTIFACTS).enumerate() {
        let mut artifact = KeptArtifact { path: name, bytes: None };
        if left > 0 {
            match master.client.artifact(path, &artifact.path).await {
                Ok(bytes) if bytes.len() as u64 <= left => {
                    left -= bytes.len() as u64;
                    artifact.bytes = Some(bytes.len() as u64);
                    let draft = Arc::clone(draft);
                    beside(move || draft.artifact(number, &bytes)).await?;
                }
                Ok(_) | Err(RestError::TooLarge { .. } | RestError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        kept.artifacts.push(artifact);
    }
    Ok(())
}
