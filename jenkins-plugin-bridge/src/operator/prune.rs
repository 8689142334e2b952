//! What is no longer needed: old revisions, their files, snapshots beyond those that are kept; and the
//! volumes of a master that is deleted.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::context::Context;
use super::model::{Deletion, JenkinsController};
use super::objects::gone;
use super::observe::snapshots;
use super::render::{INSTANCE, MANAGED, NAMED};
use super::status::{BackupKind, JenkinsControllerStatus};
use crate::cluster::ClusterError;

/// Removes what is not needed for going on or for going back.
pub(super) async fn remove_old(
    context: &Context,
    controller: &JenkinsController,
    status: &JenkinsControllerStatus,
) -> Result<(), ClusterError> {
    let name = controller.name_any();
    let needed = [status.revision.as_ref(), status.target.as_ref()];
    let needed: Vec<String> =
        needed.into_iter().flatten().map(|one| format!("{name}-{one}")).collect();
    let is_old = |one: &str| !needed.iter().any(|needed| needed == one);
    remove::<ControllerRevision>(context, controller, &is_old).await?;
    remove::<ConfigMap>(context, controller, &is_old).await?;
    if status.backup.as_ref().is_some_and(|one| one.kind == BackupKind::Snapshot) {
        remove_snapshots(context, controller).await?;
    }
    Ok(())
}

async fn remove<K>(
    context: &Context,
    controller: &JenkinsController,
    is_old: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(), ClusterError>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let namespace = controller.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    let failed = |error| ClusterError::of("remove what is old", error);
    for one in api.list(&own(controller)).await.map_err(failed)?.items {
        if is_old(&one.name_any()) {
            gone(
                api.delete(&one.name_any(), &DeleteParams::default()).await,
                "remove what is old",
            )?;
        }
    }
    Ok(())
}

/// What the operator made for a master.
fn own(controller: &JenkinsController) -> ListParams {
    let name = controller.name_any();
    ListParams::default().labels(&format!("{}={},{INSTANCE}={name}", MANAGED.0, MANAGED.1))
}

async fn remove_snapshots(
    context: &Context,
    controller: &JenkinsController,
) -> Result<(), ClusterError> {
    let namespace = controller.namespace().unwrap_or_default();
    let api = snapshots(&context.client, &namespace);
    let all = api.list(&own(controller)).await;
    let all = all.map_err(|error| ClusterError::of("list the snapshots", error))?;
    // Their names are in the order of time.
    let mut names: Vec<String> = all.items.iter().map(|one| one.name_any()).collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    let keep = usize::try_from(controller.spec.backup.keep).unwrap_or(usize::MAX);
    for name in names.iter().skip(keep) {
        gone(api.delete(name, &DeleteParams::default()).await, "remove a snapshot")?;
    }
    Ok(())
}

/// Stops a master that is deleted, and removes its volumes where that is asked for. What it owns goes with
/// it.
///
/// # Errors
/// What the API server says; [`ClusterError::Waiting`] while its pod is there.
pub async fn clean_up(
    controller: &JenkinsController,
    context: &Context,
) -> Result<Action, ClusterError> {
    let (namespace, name) = (controller.namespace().unwrap_or_default(), controller.name_any());
    let client = &context.client;
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
    gone(sets.delete(&name, &DeleteParams::foreground()).await, "delete the StatefulSet")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let selector = format!("{}={},{INSTANCE}={name}", NAMED.0, NAMED.1);
    let left = pods.list(&ListParams::default().labels(&selector)).await;
    let left = left.map_err(|error| ClusterError::of("list the pods", error))?.items.len();
    if left > 0 {
        // A home may be mounted once: whoever makes a master of this name again waits for this one.
        return Err(ClusterError::Waiting { what: format!("the pod of {name} is stopped") });
    }
    if controller.spec.deletion == Deletion::Delete {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
        let failed = |error| ClusterError::of("delete the claims", error);
        for claim in claims.list(&own(controller)).await.map_err(failed)?.items {
            let done = claims.delete(&claim.name_any(), &DeleteParams::default()).await;
            gone(done, "delete a claim")?;
        }
    }
    Ok(Action::requeue(Duration::ZERO))
}
