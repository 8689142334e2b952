//! Builds that come at the same time are written together.
//!
//! SQLite has one writer, and each statement costs it a commit and a trip to its thread. Whoever asks
//! while one is under way waits for it anyway, so all of those go into the next one. Nobody is answered
//! before the commit.

use std::sync::Arc;

use sqlx::AnyPool;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::builds::{BuildRow, insert_builds};
use crate::service::state::StoredPlan;

/// How many builds may wait. Beyond it, askers wait for a place.
const WAITING: usize = 1024;
/// The most builds of one statement: the last one's answer waits for all of them.
const AT_ONCE: usize = 64;

/// The way to the task that writes.
#[derive(Debug, Clone)]
pub(super) struct Together {
    waiting: mpsc::Sender<Waiting>,
}

struct Waiting {
    build: BuildRow,
    plan: Option<Arc<StoredPlan>>,
    kept: oneshot::Sender<BuildRow>,
}

impl Together {
    /// Starts the task. It ends with the last handle.
    pub(super) fn start(pool: AnyPool) -> Self {
        let (waiting, receiver) = mpsc::channel(WAITING);
        tokio::spawn(write(pool, receiver));
        Self { waiting }
    }

    /// Keeps a build together with others; `None` when that failed and the build has to be
    /// kept alone, so that one build's trouble is not that of others.
    pub(super) async fn save(
        &self,
        build: BuildRow,
        plan: Option<Arc<StoredPlan>>,
    ) -> Option<BuildRow> {
        let (kept, answer) = oneshot::channel();
        self.waiting.send(Waiting { build, plan, kept }).await.ok()?;
        answer.await.ok()
    }
}

async fn write(pool: AnyPool, mut waiting: mpsc::Receiver<Waiting>) {
    let mut all = Vec::with_capacity(AT_ONCE);
    while waiting.recv_many(&mut all, AT_ONCE).await > 0 {
        // On failure the senders are dropped, which says so.
        let Ok(rows) = insert(&pool, &all).await else {
            all.clear();
            continue;
        };
        for (one, row) in all.drain(..).zip(rows) {
            let _ = one.kept.send(row);
        }
    }
}

async fn insert(pool: &AnyPool, all: &[Waiting]) -> Result<Vec<BuildRow>, StoreError> {
    let builds: Vec<_> = all.iter().map(|one| (&one.build, one.plan.as_deref())).collect();
    insert_builds(&mut *pool.acquire().await?, &builds).await
}
