//! Images that builds need, kept in clusters while the service runs.

use std::sync::Arc;
use std::time::Duration;

use super::state::Service;
use super::store::{Store, StoreError};
use crate::catalog::Catalog;
use crate::cluster::{Cluster, ClusterSettings, Images, add_plan};
use crate::plan::{Plan, PlanRequest, Prepared, Selection};

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(600);
/// Plans of builds of so many days count.
pub const DAYS: i64 = 14;

/// The images of a catalog's examples and of the plans that builds had lately.
///
/// # Errors
/// [`StoreError`].
pub async fn images(
    catalog: &Catalog,
    store: Option<(&Store, i64)>,
    agent: &str,
) -> Result<Images, StoreError> {
    let mut images = Images::new();
    for filed in catalog.examples.values() {
        let example = &filed.value;
        let pipeline = example.pipeline.as_str();
        let request = PlanRequest {
            parameters: example.parameters.clone(),
            facts: example.facts.clone(),
            ..PlanRequest::default()
        };
        // An example that makes no plan is for `lint` to tell.
        let prepared = Prepared::new(catalog, pipeline, &Selection::default());
        if let Ok(plan) = prepared.and_then(|prepared| prepared.plan(&request)) {
            add_plan(&mut images, &plan, agent);
        }
    }
    if let Some((store, now)) = store {
        for text in store.recent_plans(now - DAYS * 24 * 3600).await? {
            if let Ok(plan) = serde_json::from_str::<Plan>(&text) {
                add_plan(&mut images, &plan, agent);
            }
        }
    }
    Ok(images)
}

/// Keeps the images of a cluster until it is dropped. Several replicas that do it do no harm: all
/// of them apply the same.
pub(super) async fn keep(service: Arc<Service>, name: String, settings: ClusterSettings) {
    let Some(wanted) = &settings.images else { return };
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let agent = service.clusters.agent_of(&name);
    let mut before = None;
    loop {
        every.tick().await;
        let loaded = service.catalog.current();
        let recent = Some((&service.store, service.now_signed()));
        let images = match images(&loaded.catalog, recent, &agent).await {
            Ok(images) => images,
            Err(error) => {
                tracing::warn!(%error, "the images of builds could not be read");
                continue;
            }
        };
        if before.as_ref() == Some(&images) {
            continue;
        }
        let kept = match Cluster::connect(&name, &settings).await {
            Ok(cluster) => cluster.keep_images(wanted, &images, &agent).await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(kept) => {
                let (applied, removed) = (kept.applied.len(), kept.removed.len());
                tracing::info!(cluster = name, applied, removed, "images are kept");
                before = Some(images);
            }
            Err(error) => tracing::warn!(cluster = name, %error, "images cannot be kept"),
        }
    }
}
