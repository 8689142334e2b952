//! Reaps orphans when this process is PID 1 of a container, or a subreaper.
//!
//! Orphans become children of PID 1, and stay zombies until it asks for their status. The usual
//! loop around `waitpid(-1)` would also take the statuses of the children this crate started. So
//! the numbers of those are kept from before they can end until tokio has collected them, and
//! every other zombie child is waited for by its number.
//!
//! Other code of the process must start its children through this crate while a reaper runs: a
//! child nobody registered looks like an orphan, and its status would be taken.

use std::time::Duration;

use crate::ProcessError;
use crate::unix::{SigchldStream, become_subreaper, reap_orphans};

/// Collects the status of every orphan that ends as a child of this process.
#[derive(Debug)]
pub struct Reaper {
    ends: SigchldStream,
}

impl Reaper {
    /// A reaper for a process that adopts orphans already, as PID 1 does.
    ///
    /// # Errors
    /// [`ProcessError::Reaper`] if the system refuses the handler of child signals.
    pub fn new() -> Result<Self, ProcessError> {
        Ok(Self { ends: SigchldStream::new().map_err(ProcessError::Reaper)? })
    }

    /// A reaper, with this process made the one that adopts the orphans among its descendants:
    /// for a PID 1 that does not reap.
    ///
    /// # Errors
    /// [`ProcessError::Reaper`] if the system refuses either.
    pub fn as_subreaper() -> Result<Self, ProcessError> {
        let reaper = Self::new()?;
        become_subreaper().map_err(ProcessError::Reaper)?;
        Ok(reaper)
    }

    /// Whether this process is PID 1, so that nobody else reaps.
    #[must_use]
    pub fn is_needed() -> bool {
        std::process::id() == 1
    }

    /// Reaps until the runtime ends. Spawn it as a task.
    pub async fn run(mut self) {
        loop {
            // Before the first signal too: orphans may have ended before this was made. Not on the
            // thread that serves the channel: the list of processes is some hundred small reads.
            let looked = tokio::task::spawn_blocking(reap).await;
            match looked {
                Ok(Some(_)) => {
                    if !self.ends.next().await {
                        return;
                    }
                }
                Ok(None) => tokio::time::sleep(WHILE_STARTING).await,
                Err(_) => return,
            }
        }
    }

    /// Reaps what has ended; the number of orphans. `None` while a process is being started: whose
    /// child a zombie is cannot be told then, so look again.
    pub fn reap(&self) -> Option<usize> {
        reap()
    }
}

/// How long to wait where a process is being started.
const WHILE_STARTING: Duration = Duration::from_millis(20);

fn reap() -> Option<usize> {
    match reap_orphans() {
        Ok(reaped) => {
            for orphan in reaped.iter().flatten() {
                tracing::debug!(pid = orphan.pid, status = %orphan.status, "reaped an orphan");
            }
            reaped.map(|reaped| reaped.len())
        }
        Err(error) => {
            tracing::warn!(%error, "cannot reap orphans now, trying again at the next end");
            Some(0)
        }
    }
}
