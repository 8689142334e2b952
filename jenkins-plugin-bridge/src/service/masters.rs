//! The duty of looking at masters: the replica that leads it looks, the others read what it saw.

use std::sync::Arc;
use std::time::Duration;

use super::leader::{LeaseTimes, lead};
use super::state::Service;
use super::store::StoreError;
use crate::masters::{Registry, WatchOptions, watch};

/// Name of the lease.
const LEASE: &str = "masters";
/// How often what is seen is written down, and read by those that do not look.
const SHARE_EVERY: Duration = Duration::from_secs(2);

/// Looks at the masters whenever this replica leads that, and otherwise takes over what the leader saw.
/// Never ends by itself.
pub async fn watch_masters(
    service: Arc<Service>,
    holder: String,
    options: WatchOptions,
    lease: LeaseTimes,
) {
    // Before anything is given to a master.
    while let Err(error) = service.read_drains().await {
        tracing::warn!(%error, "it could not be read which masters are taken out");
        tokio::time::sleep(SHARE_EVERY).await;
    }
    let duty = || look(&service, options);
    let lead = lead(&service.store, LEASE, &holder, lease, duty);
    tokio::join!(lead, follow(&service));
}

async fn look(service: &Arc<Service>, options: WatchOptions) {
    service.leads_masters(true);
    let _end = Ended(service);
    let (task, _changes) = watch(Arc::clone(&service.masters), options);
    let _task = AbortOnDrop(task);
    loop {
        tokio::time::sleep(SHARE_EVERY).await;
        for master in service.masters.all() {
            let (state, now) = (master.state(), service.now_ms());
            if let Err(error) = service.store.save_master_state(&master.name, &state, now).await {
                tracing::warn!(%error, "what was seen of a master could not be kept");
                break;
            }
        }
    }
}

async fn follow(service: &Service) {
    loop {
        if let Err(error) = service.read_drains().await {
            tracing::warn!(%error, "it could not be read which masters are taken out");
        }
        if !service.is_leading_masters()
            && let Err(error) = take_over(&service.store, &service.masters).await
        {
            tracing::warn!(%error, "what was seen of masters could not be read");
        }
        tokio::time::sleep(SHARE_EVERY).await;
    }
}

async fn take_over(store: &super::Store, registry: &Registry) -> Result<(), StoreError> {
    for (name, state) in store.master_states().await? {
        if let Some(master) = registry.get(&name) {
            master.set_state(state);
        }
    }
    Ok(())
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Ended<'a>(&'a Service);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.leads_masters(false);
    }
}
