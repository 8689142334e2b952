//! Of several replicas one leads a duty: it holds the lease of it in the database.

use std::future::Future;
use std::time::{Duration, Instant};

use super::store::{LeaseRow, Store};

/// Between two heartbeats, and between two looks of those that wait.
pub const BEAT: Duration = Duration::from_secs(3);
/// A heartbeat that stands still for so long is that of a dead holder. With a look every three seconds a
/// killed leader is replaced within 13 s.
pub const STILL: Duration = Duration::from_secs(10);
/// A holder that could not raise its heartbeat for so long stops: before anybody takes over.
const GIVE_UP: Duration = Duration::from_secs(8);

/// How leases are held.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// Between two heartbeats.
    pub beat: Duration,
    /// How long a heartbeat may stand still.
    pub still: Duration,
    /// How long a holder goes on without a heartbeat.
    pub give_up: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { beat: BEAT, still: STILL, give_up: GIVE_UP }
    }
}

/// Runs a duty whenever this replica holds its lease; never ends by itself. The duty is dropped when the
/// lease is lost, so it has to be safe at every point where it waits.
pub async fn lead<F, D>(store: &Store, name: &str, holder: &str, times: LeaseTimes, mut duty: D)
where
    F: Future<Output = ()>,
    D: FnMut() -> F,
{
    loop {
        wait_for(store, name, holder, times).await;
        tracing::info!(duty = name, "this replica leads");
        tokio::select! {
            () = duty() => {}
            () = hold(store, name, holder, times) => {}
        }
        tracing::warn!(duty = name, "this replica leads no more");
        let _ = store.give_lease_up(name, holder).await;
    }
}

/// Returns when the lease is taken.
async fn wait_for(store: &Store, name: &str, holder: &str, times: LeaseTimes) {
    let mut seen: Option<(LeaseRow, Instant)> = None;
    loop {
        match store.lease(name).await {
            Ok(row) => {
                let still_since = match &seen {
                    Some((before, since)) if *before == row => *since,
                    _ => Instant::now(),
                };
                let free = row.holder.is_empty() || row.holder == holder;
                if (free || still_since.elapsed() >= times.still)
                    && matches!(store.take_lease(name, &row, holder).await, Ok(true))
                {
                    return;
                }
                seen = Some((row, still_since));
            }
            Err(error) => tracing::warn!(duty = name, %error, "the lease cannot be read"),
        }
        tokio::time::sleep(times.beat).await;
    }
}

/// Returns when the lease is lost, or might be.
async fn hold(store: &Store, name: &str, holder: &str, times: LeaseTimes) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(times.beat).await;
        let left = times.give_up.saturating_sub(renewed.elapsed());
        match tokio::time::timeout(left, store.renew_lease(name, holder)).await {
            Ok(Ok(true)) => renewed = Instant::now(),
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(error)) => tracing::warn!(duty = name, %error, "the lease cannot be renewed"),
        }
        if renewed.elapsed() >= times.give_up {
            return;
        }
    }
}
