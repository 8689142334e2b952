//! Pods of builds: rendered for the answers to controllers, and seen to start.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::images::keep;
use super::leader::{LeaseTimes, lead};
use super::plans::BuildPod;
use super::problem::Problem;
use super::state::Service;
use super::store::BuildRow;
use super::usage::sizes_of;
use crate::cluster::{Cluster, GRACE, Seen, tidy_pods, watch_pods};
use crate::error::BridgeError;
use crate::plan::Plan;
use crate::pod::{PodRequest, render};

/// The pod of a build, where the builds of its controller run in pods.
///
/// # Errors
/// A [`Problem`] with everything that the profile cannot give.
pub(super) async fn of_build(
    service: &Service,
    build: &BuildRow,
    plan: &Plan,
) -> Result<Option<BuildPod>, Problem> {
    let Some(profile) = service.clusters.of_controller(&build.controller) else { return Ok(None) };
    let sizes = sizes_of(service, profile, &build.controller, &build.job).await?;
    let request = PodRequest {
        plan,
        digest: &build.digest,
        profile,
        build: &format!("{}#{}", build.job, build.number),
        id: Some(&build.id),
        agent: None,
        sizes: Some(&sizes),
        through_plugin: true,
        runner: None,
    };
    let rendered = render(&request).map_err(|error| match error {
        BridgeError::Plan(found) => BridgeError::Profile(found).into(),
        other => Problem::from(other),
    })?;
    let manifest =
        serde_json::to_value(&rendered.pod).map_err(|error| Problem::internal(&error))?;
    Ok(Some(BuildPod { manifest, routes: rendered.routes }))
}

/// Name of the lease of removing pods.
const LEASE: &str = "pods";

/// Watches the pods of builds in all clusters that profiles name, keeps images where clusters do, and
/// removes pods whose work is over, which one of several replicas does. A cluster that cannot be used
/// is told in the log: plans are made without it.
pub async fn watch(service: &Arc<Service>, holder: String) -> Vec<JoinHandle<()>> {
    let mut all = Vec::new();
    let mut places = Vec::new();
    for (name, settings) in service.clusters.that_keep_images() {
        let (name, settings) = (name.to_owned(), settings.clone());
        all.push(tokio::spawn(keep(Arc::clone(service), name, settings)));
    }
    for (name, settings, namespaces) in service.clusters.in_use() {
        let cluster = match Cluster::connect(&name, &settings).await {
            Ok(cluster) => cluster,
            Err(error) => {
                tracing::warn!(%error, "the starts of pods are not seen");
                continue;
            }
        };
        for namespace in namespaces {
            places.push((cluster.clone(), namespace.clone()));
            let service = Arc::clone(service);
            let seen = move |seen| saw(&service, seen);
            all.push(tokio::spawn(watch_pods(cluster.clone(), namespace, seen)));
        }
    }
    if !places.is_empty() {
        let service = Arc::clone(service);
        all.push(tokio::spawn(async move {
            let duty = || tidy(&service, &places);
            lead(&service.store, LEASE, &holder, LeaseTimes::default(), duty).await;
        }));
    }
    all
}

/// Removes pods whose work is over in all of these places, for as long as it is not dropped.
async fn tidy(service: &Service, places: &[(Cluster, Option<String>)]) {
    let all = places.iter().map(|(cluster, namespace)| {
        tidy_pods(cluster.clone(), namespace.clone(), GRACE, |_| service.metrics.pod_removed())
    });
    join_all(all).await;
}

fn saw(service: &Arc<Service>, seen: Seen) {
    service.metrics.pod_started(&seen.phases, seen.failure.as_ref());
    if let Some(failure) = &seen.failure {
        tracing::warn!(
            pod = seen.pod,
            reason = failure.reason,
            message = failure.message,
            "a pod did not start"
        );
    }
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let now = service.now_signed();
        if let Err(error) = service.store.save_images(&seen.uid, &seen.images, now).await {
            tracing::warn!(%error, "how images came to a node could not be kept");
        }
        let Some(build) = seen.build.clone() else { return };
        let Ok(body) = serde_json::to_string(&seen.start()) else { return };
        if let Err(error) = service.store.save_start(&build, &body, now).await {
            tracing::warn!(%error, "the start of a pod could not be kept");
        }
    });
}
