//! The duty of looking at masters: the replica that leads it looks, the others read what it saw. Each reads what was
//! said of masters over the API.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::leader::{LeaseTimes, lead};
use super::state::Service;
use super::store::StoreError;
use crate::masters::{
    Declared, MasterDeclaration, Registry, Source, TokenDirectory, WatchOptions, watch,
};

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
    while let Err(error) = service.read_masters().await {
        tracing::warn!(%error, "it could not be read what was said of masters");
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
        if let Err(error) = service.read_masters().await {
            tracing::warn!(%error, "it could not be read what was said of masters");
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

impl Service {
    /// Reads which masters are declared over the API and which are taken out, as any replica may have said.
    ///
    /// # Errors
    /// [`StoreError`]; what is known stays.
    pub(super) async fn read_masters(&self) -> Result<(), StoreError> {
        let mut told = self.masters_turn.lock().await;
        self.masters.set_drains(self.store.drains().await?);
        let declared = self.store.declared_masters().await?;
        let tokens = self.master_tokens.clone();
        let read = tokio::task::spawn_blocking(move || {
            declared.iter().map(|one| with_token(tokens.as_ref(), one)).collect::<Vec<_>>()
        });
        let Ok(read) = read.await else { return Ok(()) };
        let held = read.iter().filter_map(|one| one.hold.as_ref().map(|why| (&one.name, why)));
        let mut problems: BTreeSet<String> =
            held.map(|(name, why)| format!("{name}: {why}")).collect();
        problems.extend(self.masters.declare(Source::Api, read));
        for problem in problems.difference(&told) {
            tracing::warn!(problem, "a master that was declared over the API gets no builds");
        }
        *told = problems;
        Ok(())
    }
}

/// A declared master with its token. Without one it stays among the masters, and says why it gets no builds.
fn with_token(tokens: Option<&TokenDirectory>, one: &MasterDeclaration) -> Declared {
    let read = match tokens {
        Some(tokens) => tokens.token_for(&one.token, &one.url),
        None => Err("the service was started without --master-tokens".to_owned()),
    };
    let (name, mut spec) = (one.name.to_string(), one.spec());
    match read {
        Ok(read) => {
            spec.ca_files.extend(read.ca_file);
            Declared { name, spec, token: Some(read.token), hold: None }
        }
        Err(problem) => Declared { name, spec, token: None, hold: Some(problem) },
    }
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
