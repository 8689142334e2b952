//! A look at a build that others wait for: does it still run? A build that was killed gives nothing back.

use std::sync::Arc;

use crate::rest::{JobName, Outcome, RestError};
use crate::service::Service;
use crate::service::store::{LockRow, StoreError};

/// What runs, or whose controller does not answer, keeps what it holds for so long after a look, in milliseconds.
/// The next look comes long before.
const KEPT_MS: i64 = 600_000;

/// What was seen of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It runs, or may run.
    MayRun,
    /// Nothing of it is at work any more.
    Ended,
    /// It is not shown to the bridge.
    Nothing,
}

/// Looks at the build of a holder in the background, and takes what it holds where it has ended. One replica does
/// so at a time.
pub(crate) fn look(service: &Arc<Service>, holder: LockRow) {
    let service = Arc::clone(service);
    tokio::spawn(async move {
        if let Err(error) = looked(&service, &holder).await {
            tracing::warn!(lock = holder.lock, %error, "who holds a lock could not be looked at");
        }
    });
}

async fn looked(service: &Service, holder: &LockRow) -> Result<(), StoreError> {
    if !service.store.begin_look(&holder.place, service.now_ms()).await? {
        return Ok(());
    }
    let build = &holder.place.build;
    let seen = see(service, holder).await?;
    if seen == Seen::Ended {
        let (job, number) = (&holder.job, holder.number);
        tracing::info!(lock = holder.lock, job, number, "a build ended and gave no lock back");
        return service.store.release_locks(build, None).await.map(drop);
    }
    let now = service.now_ms();
    let keep = (seen == Seen::MayRun).then(|| now.saturating_add(KEPT_MS));
    service.store.end_look(build, keep, now).await
}

async fn see(service: &Service, holder: &LockRow) -> Result<Seen, StoreError> {
    let Some(client) = service.controller(&holder.controller) else { return Ok(Seen::Nothing) };
    let Ok(job) = JobName::parse(&holder.job) else { return Ok(Seen::Nothing) };
    match client.outcome(&format!("{}{}/", job.path(), holder.number)).await {
        Ok(Outcome::Runs) => Ok(Seen::MayRun),
        Ok(Outcome::Ended(_)) => Ok(Seen::Ended),
        // A job that the bridge may not see looks the same as one that is gone.
        Ok(Outcome::Missing) if client.is_visible(&job).await.unwrap_or(false) => Ok(Seen::Ended),
        Ok(Outcome::Missing)
        | Err(RestError::Forbidden { .. } | RestError::Login { .. } | RestError::Missing { .. }) => {
            Ok(Seen::Nothing)
        }
        Err(_) => {
            let (name, job, number) = (&holder.controller, &holder.job, holder.number);
            let run = service.store.routed_run(name, job, number).await?;
            Ok(if run.is_some_and(|run| run.is_over) { Seen::Ended } else { Seen::MayRun })
        }
    }
}
