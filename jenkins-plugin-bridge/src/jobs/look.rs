//! Looks at the copies of jobs from time to time, so that drift shows although nobody asks. Nothing is changed at
//! masters.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::copies::{CopyState, inspect_copy};
use crate::masters::{Health, Master, Permission};
use crate::service::Service;
use crate::service::store::{CopyRow, JobRow, StoreError};

/// Between two looks at a copy, in milliseconds.
const COPY_EVERY_MS: i64 = 3_600_000;
/// One that could not be seen is looked at again after so long, in milliseconds.
const FAILED_EVERY_MS: i64 = 300_000;
/// Looks at one master in one round. A round a minute costs a master no more than so many requests, and with up to
/// 720 jobs each copy is looked at within the hour.
const LOOKS: usize = 12;
/// Between two rounds.
pub const ROUND_EVERY: Duration = Duration::from_secs(60);

/// Looks at copies; never ends.
pub async fn look_at_copies(service: &Service, every: Duration) {
    loop {
        if let Err(error) = round(service).await {
            tracing::warn!(%error, "copies of jobs could not be looked at");
        }
        tokio::time::sleep(every).await;
    }
}

/// What is known of copies, by job and master.
type Known<'a> = BTreeMap<(&'a str, &'a str), &'a CopyRow>;

async fn round(service: &Service) -> Result<(), StoreError> {
    let (jobs, copies) = (service.store.jobs().await?, service.store.copies().await?);
    let known: Known<'_> =
        copies.iter().map(|row| ((row.job.as_str(), row.master.as_str()), row)).collect();
    let masters = service.masters.all();
    let now = service.now_ms();
    let looks = masters.iter().map(|master| {
        let due = due(&jobs, &known, master, now);
        async move {
            for job in due {
                look(service, master, job).await?;
            }
            Ok(())
        }
    });
    join_all(looks).await.into_iter().collect()
}

/// The jobs whose copies at a master are to be looked at now, those first that were not for the longest time.
fn due<'a>(jobs: &'a [JobRow], known: &Known<'_>, master: &Master, now: i64) -> Vec<&'a JobRow> {
    // Where the bridge keeps no copies it may not see them either.
    if master.state().health != Health::Healthy || master.spec.permission < Permission::Full {
        return Vec::new();
    }
    let labels = master.labels();
    let mut due: Vec<(i64, &JobRow)> = jobs
        .iter()
        .filter(|job| !job.is_removed)
        .filter(|job| job.spec.labels.iter().all(|label| labels.contains(&label.0)))
        .filter_map(|job| {
            let Some(row) = known.get(&(job.spec.name.as_str(), master.name.as_str())) else {
                return Some((i64::MIN, job));
            };
            let every = match row.state {
                CopyState::Failed { .. } => FAILED_EVERY_MS,
                _ => COPY_EVERY_MS,
            };
            let is_due = row.revision != job.revision || now - row.checked_ms >= every;
            is_due.then_some((row.checked_ms, job))
        })
        .collect();
    due.sort_by_key(|(checked_ms, _)| *checked_ms);
    due.into_iter().take(LOOKS).map(|(_, job)| job).collect()
}

async fn look(service: &Service, master: &Master, job: &JobRow) -> Result<(), StoreError> {
    // Whoever mends the copy meanwhile knows better.
    let checked_ms = service.now_ms();
    let state = inspect_copy(&master.client, &job.spec).await;
    if let CopyState::Drifted { differences } = &state {
        let (master, job) = (&master.name, &job.spec.name);
        tracing::warn!(master, job, ?differences, "a copy of a job has drifted");
    }
    let copy = CopyRow {
        job: job.spec.name.clone(),
        master: master.name.clone(),
        state,
        revision: job.revision,
        checked_ms,
    };
    service.store.save_copy(&copy).await
}
