//! Of several replicas one leads a duty: it holds the lease of it, in the database or in Kubernetes.

use std::future::Future;
use std::time::{Duration, Instant};

use super::store::{LeaseRow, Store, StoreError};

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

/// Where leases are kept.
pub trait Leases: Sync {
    /// A lease as it stands. It differs after each heartbeat and with each holder.
    type Row: PartialEq + Send;
    /// Why it cannot be read or changed.
    type Error: std::fmt::Display + Send;

    /// Who holds it; empty for nobody.
    fn holder(row: &Self::Row) -> &str;
    /// A lease; it is made where it is not there.
    fn read(&self, name: &str) -> impl Future<Output = Result<Self::Row, Self::Error>> + Send;
    /// Takes a lease that still stands as it was seen. False where it does not.
    fn take(
        &self,
        name: &str,
        seen: &Self::Row,
        holder: &str,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;
    /// Raises the heartbeat. False where another one holds the lease.
    fn renew(
        &self,
        name: &str,
        holder: &str,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;
    /// Lets another one have it at once.
    fn give_up(
        &self,
        name: &str,
        holder: &str,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl Leases for Store {
    type Row = LeaseRow;
    type Error = StoreError;

    fn holder(row: &LeaseRow) -> &str {
        &row.holder
    }

    async fn read(&self, name: &str) -> Result<LeaseRow, StoreError> {
        self.lease(name).await
    }

    async fn take(&self, name: &str, seen: &LeaseRow, holder: &str) -> Result<bool, StoreError> {
        self.take_lease(name, seen, holder).await
    }

    async fn renew(&self, name: &str, holder: &str) -> Result<bool, StoreError> {
        self.renew_lease(name, holder).await
    }

    async fn give_up(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.give_lease_up(name, holder).await
    }
}

/// Runs a duty whenever this replica holds its lease; never ends by itself. The duty is dropped when the
/// lease is lost, so it has to be safe at every point where it waits.
pub async fn lead<L, F, D>(store: &L, name: &str, holder: &str, times: LeaseTimes, mut duty: D)
where
    L: Leases,
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
        let _ = store.give_up(name, holder).await;
    }
}

/// Returns when the lease is taken.
async fn wait_for<L: Leases>(store: &L, name: &str, holder: &str, times: LeaseTimes) {
    let mut seen: Option<(L::Row, Instant)> = None;
    loop {
        match store.read(name).await {
            Ok(row) => {
                let still_since = match &seen {
                    Some((before, since)) if *before == row => *since,
                    _ => Instant::now(),
                };
                let free = L::holder(&row).is_empty() || L::holder(&row) == holder;
                if (free || still_since.elapsed() >= times.still)
                    && matches!(store.take(name, &row, holder).await, Ok(true))
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
async fn hold<L: Leases>(store: &L, name: &str, holder: &str, times: LeaseTimes) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(times.beat).await;
        let left = times.give_up.saturating_sub(renewed.elapsed());
        match tokio::time::timeout(left, store.renew(name, holder)).await {
            Ok(Ok(true)) => renewed = Instant::now(),
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(error)) => tracing::warn!(duty = name, %error, "the lease cannot be renewed"),
        }
        if renewed.elapsed() >= times.give_up {
            return;
        }
    }
}
