//! What is seen of a master in its cluster.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};

use super::backup::{backup_job, restore_job, restored_claim};
use super::model::{BackupMethod, JenkinsController};
use super::render::{INSTANCE, NAMED, REVISION};
use super::status::{Backup, BackupKind, Phase};
use super::step::Task;
use crate::cluster::{ClusterError, start};

/// A container that ended so often does not start by being started again.
const ENDS: i32 = 2;

/// The group of snapshots.
const SNAPSHOTS: &str = "snapshot.storage.k8s.io/v1";

/// How the StatefulSet and its pods stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetState {
    /// Its revision.
    pub applied: Option<String>,
    /// Pods that exist.
    pub pods: usize,
    /// Its pod is that of the revision and answers.
    pub healthy: bool,
    /// Why its pod will not start.
    pub trouble: Option<String>,
}

/// VolumeSnapshots.
pub(super) fn snapshots(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource {
        group: "snapshot.storage.k8s.io".into(),
        version: "v1".into(),
        api_version: SNAPSHOTS.into(),
        kind: "VolumeSnapshot".into(),
        plural: "volumesnapshots".into(),
    };
    Api::namespaced_with(client.clone(), namespace, &kind)
}

/// Reads the StatefulSet of a master and its pods. `waited` is how long its start is waited for.
///
/// # Errors
/// What the API server says.
pub async fn set(
    client: &Client,
    namespace: &str,
    name: &str,
    waited: Duration,
) -> Result<SetState, ClusterError> {
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let failed = |error| ClusterError::of("read the StatefulSet", error);
    let set = sets.get_opt(name).await.map_err(failed)?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let own = format!("{}={},{INSTANCE}={name}", NAMED.0, NAMED.1);
    let pods = pods.list(&ListParams::default().labels(&own)).await;
    let pods = pods.map_err(|error| ClusterError::of("list the pods", error))?.items;
    Ok(judge(set.as_ref(), &pods, waited))
}

/// How they stand.
#[must_use]
pub fn judge(set: Option<&StatefulSet>, pods: &[Pod], waited: Duration) -> SetState {
    let Some(set) = set else {
        return SetState { pods: pods.len(), ..SetState::default() };
    };
    let applied = set.annotations().get(REVISION).cloned();
    let is_own = |pod: &&Pod| {
        pod.metadata.deletion_timestamp.is_none()
            && pod.annotations().get(REVISION) == applied.as_ref()
    };
    let current = pods.iter().find(is_own);
    let wants = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let healthy = wants == 1 && pods.len() == 1 && current.is_some_and(is_ready);
    let trouble = current.and_then(|pod| trouble(pod, waited));
    SetState { applied, pods: pods.len(), healthy, trouble }
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    all.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

/// Why a pod will not start, once it was waited for long enough.
fn trouble(pod: &Pod, waited: Duration) -> Option<String> {
    let status = pod.status.as_ref()?;
    let patience_is_over = waited >= start::PATIENCE;
    start::statuses(status).find_map(|one| {
        let waiting = one.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let ends = reason == "CrashLoopBackOff" && one.restart_count >= ENDS;
        let hindered = patience_is_over && start::is_hindered(reason);
        if !ends && !hindered {
            return None;
        }
        let last = one.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        let words = match last {
            Some(last) if ends => {
                format!("it ended with {}, {} times", last.exit_code, one.restart_count)
            }
            _ => waiting.message.clone().unwrap_or_default(),
        };
        Some(format!("container {} does not start ({reason}): {words}", one.name))
    })
}

/// How the backup of a phase, or its restoring, stands.
///
/// # Errors
/// What the API server says.
pub async fn task(
    client: &Client,
    namespace: &str,
    phase: Phase,
    backup: Option<&Backup>,
) -> Result<Task, ClusterError> {
    let Some(backup) = backup else { return Ok(Task::Running) };
    match (phase, backup.kind) {
        (Phase::BackingUp, BackupKind::Archive) => {
            job(client, namespace, &backup_job(backup)).await
        }
        (Phase::Restoring, BackupKind::Archive) => {
            job(client, namespace, &restore_job(backup)).await
        }
        (Phase::BackingUp, BackupKind::Snapshot) => {
            let found = snapshots(client, namespace).get_opt(&backup.name).await;
            let found = found.map_err(|error| ClusterError::of("read the snapshot", error))?;
            Ok(found.map_or(Task::Running, |one| snapshot(&one)))
        }
        (Phase::Restoring, BackupKind::Snapshot) => {
            // It is filled when the first pod has it: such a claim may wait for that.
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            let found = claims.get_opt(&restored_claim(backup)).await;
            let found = found.map_err(|error| ClusterError::of("read the claim", error))?;
            Ok(found.map_or(Task::Running, |_| Task::Done))
        }
        _ => Ok(Task::Running),
    }
}

fn snapshot(object: &DynamicObject) -> Task {
    let status = &object.data["status"];
    if status["readyToUse"] == true {
        return Task::Done;
    }
    match status["error"]["message"].as_str() {
        Some(message) => Task::Failed(message.to_owned()),
        None => Task::Running,
    }
}

async fn job(client: &Client, namespace: &str, name: &str) -> Result<Task, ClusterError> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let job = jobs.get_opt(name).await.map_err(|error| ClusterError::of("read the job", error))?;
    let Some(status) = job.and_then(|job| job.status) else { return Ok(Task::Running) };
    let condition = |kind: &str| {
        let all = status.conditions.iter().flatten();
        all.into_iter().find(|one| one.type_ == kind && one.status == "True")
    };
    if condition("Complete").is_some() {
        return Ok(Task::Done);
    }
    let Some(failed) = condition("Failed") else { return Ok(Task::Running) };
    let mut words = failed.message.clone().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let own = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let pods = pods.list(&own).await;
    let pods = pods.map_err(|error| ClusterError::of("list the pods of a job", error))?.items;
    let statuses = pods.iter().flat_map(|pod| pod.status.iter().flat_map(start::statuses));
    let mut ends = statuses.filter_map(|one| one.state.as_ref()?.terminated.as_ref());
    if let Some(last) = ends.find_map(|one| one.message.as_deref()) {
        words = format!("{words}: {}", last.trim());
    }
    Ok(Task::Failed(format!("the job {name} failed: {words}")))
}

/// How the home of a master is kept in its cluster.
///
/// # Errors
/// What the API server says; a snapshot where the cluster has none.
pub async fn backup_kind(
    client: &Client,
    controller: &JenkinsController,
) -> Result<Option<BackupKind>, ClusterError> {
    let settings = &controller.spec.backup;
    match settings.method {
        BackupMethod::None => Ok(None),
        BackupMethod::Archive => Ok(Some(BackupKind::Archive)),
        BackupMethod::Snapshot => Ok(Some(BackupKind::Snapshot)),
        BackupMethod::Auto if settings.snapshot_class.is_none() => Ok(Some(BackupKind::Archive)),
        BackupMethod::Auto => match client.list_api_group_resources(SNAPSHOTS).await {
            Ok(list) if list.resources.iter().any(|one| one.name == "volumesnapshots") => {
                Ok(Some(BackupKind::Snapshot))
            }
            Ok(_) => Ok(Some(BackupKind::Archive)),
            Err(error) => match ClusterError::of("look for snapshots", error) {
                error if error.is_missing() => Ok(Some(BackupKind::Archive)),
                error => Err(error),
            },
        },
    }
}
