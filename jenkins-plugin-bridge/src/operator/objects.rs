//! Writing what a master is made of: server-side apply, and objects that are made once.

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::MANAGER;
use super::backup;
use super::context::Context;
use super::model::JenkinsController;
use super::observe::snapshots;
use super::render::{self, INSTANCE, Revision};
use super::status::{Backup, BackupKind, JenkinsControllerStatus, Phase};
use crate::cluster::ClusterError;

/// The parameters of all that is applied: what was changed by hand is put back.
pub(super) fn applying() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

fn api<K>(context: &Context, controller: &JenkinsController) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    let namespace = controller.namespace().unwrap_or_default();
    Api::namespaced(context.client.clone(), &namespace)
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

async fn apply<K>(api: &Api<K>, object: &Value) -> Result<(), ClusterError>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let done = api.patch(name_of(object), &applying(), &Patch::Apply(object)).await;
    let kind = object["kind"].as_str().unwrap_or_default();
    done.map(drop).map_err(|error| ClusterError::of(&format!("apply the {kind}"), error))
}

/// Makes an object. One of its name that is there stays as it is.
async fn create<K>(api: &Api<K>, object: &Value) -> Result<(), ClusterError>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let kind = object["kind"].as_str().unwrap_or_default();
    let failed = |error| ClusterError::of(&format!("make the {kind}"), error);
    let typed: K = serde_json::from_value(object.clone())
        .map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let parameters =
        PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &typed).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Keeps a revision before anything is done for it.
pub(super) async fn keep_revision(
    context: &Context,
    controller: &JenkinsController,
    revision: &Revision,
) -> Result<(), ClusterError> {
    create(&api::<ControllerRevision>(context, controller), &revision.object(controller)).await
}

/// A revision that was kept.
pub(super) async fn kept_revision(
    context: &Context,
    controller: &JenkinsController,
    revision: &str,
) -> Result<Revision, ClusterError> {
    let name = format!("{}-{revision}", controller.name_any());
    let failed = |error| ClusterError::of("read a revision", error);
    let found = api::<ControllerRevision>(context, controller).get(&name).await.map_err(failed)?;
    let data = found.data.map_or(Value::Null, |data| data.0);
    serde_json::from_value(data).map_err(|error| failed(kube::Error::SerdeError(error)))
}

/// Writes the status.
pub(super) async fn write_status(
    context: &Context,
    controller: &JenkinsController,
    status: &JenkinsControllerStatus,
) -> Result<(), ClusterError> {
    let object = json!({
        "apiVersion": JenkinsController::api_version(&()),
        "kind": JenkinsController::kind(&()),
        "metadata": {"name": controller.name_any()},
        "status": status,
    });
    let api = api::<JenkinsController>(context, controller);
    let done = api.patch_status(&controller.name_any(), &applying(), &Patch::Apply(&object)).await;
    done.map(drop).map_err(|error| ClusterError::of("write the status", error))
}

/// Claim, service and ingress.
pub(super) async fn surround(
    context: &Context,
    controller: &JenkinsController,
    home: &str,
) -> Result<(), ClusterError> {
    let mut has_ingress = false;
    for mut object in render::surroundings(controller) {
        match object["kind"].as_str().unwrap_or_default() {
            "PersistentVolumeClaim" => {
                // After a snapshot was put back the home is in another claim.
                object["metadata"]["name"] = json!(home);
                apply(&api::<PersistentVolumeClaim>(context, controller), &object).await?;
            }
            "Service" => apply(&api::<Service>(context, controller), &object).await?,
            _ => {
                has_ingress = true;
                apply(&api::<Ingress>(context, controller), &object).await?;
            }
        }
    }
    if !has_ingress {
        let name = controller.name_any();
        let own = ListParams::default().labels(&format!("{INSTANCE}={name}"));
        let api = api::<Ingress>(context, controller);
        let failed = |error| ClusterError::of("remove the Ingress", error);
        for one in api.list(&own).await.map_err(failed)?.items {
            if one.name_any() == name {
                api.delete(&name, &DeleteParams::default()).await.map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// The StatefulSet with its files.
pub(super) async fn place(
    context: &Context,
    controller: &JenkinsController,
    revision: &Revision,
    replicas: u32,
    home: &str,
) -> Result<(), ClusterError> {
    create(&api::<ConfigMap>(context, controller), &revision.config_map).await?;
    let set = revision.placed(replicas, home);
    apply(&api::<StatefulSet>(context, controller), &set).await
}

/// The backup, or its restoring.
pub(super) async fn work_on(
    context: &Context,
    controller: &JenkinsController,
    status: &JenkinsControllerStatus,
    revision: &Revision,
    home: &str,
) -> Result<(), ClusterError> {
    let Some(one) = &status.backup else { return Ok(()) };
    let image = revision.image();
    match (status.phase, one.kind) {
        (Phase::BackingUp, BackupKind::Archive) => {
            let settings = &controller.spec.backup;
            let storage = settings.storage.as_ref().unwrap_or(&controller.spec.storage);
            let claim = render::backup_claim(&controller.name_any());
            let claim = render::claim(controller, &claim, storage, None);
            apply(&api::<PersistentVolumeClaim>(context, controller), &claim).await?;
            let job = backup::backup(controller, one, home, image);
            create(&api::<Job>(context, controller), &job).await
        }
        (Phase::BackingUp, BackupKind::Snapshot) => {
            let namespace = controller.namespace().unwrap_or_default();
            let snapshot = backup::backup(controller, one, home, image);
            create::<DynamicObject>(&snapshots(&context.client, &namespace), &snapshot).await
        }
        (Phase::Restoring, BackupKind::Archive) => {
            let job = backup::restore(controller, one, home, image);
            create(&api::<Job>(context, controller), &job).await
        }
        (Phase::Restoring, BackupKind::Snapshot) => restored(context, controller, one).await,
        _ => Ok(()),
    }
}

/// A claim that is filled from a snapshot.
async fn restored(
    context: &Context,
    controller: &JenkinsController,
    backup: &Backup,
) -> Result<(), ClusterError> {
    let name = backup::restored_claim(backup);
    let claim = render::claim(controller, &name, &controller.spec.storage, Some(&backup.name));
    create(&api::<PersistentVolumeClaim>(context, controller), &claim).await
}

/// What is not there is gone.
pub(super) fn gone<T>(done: Result<T, kube::Error>, action: &str) -> Result<(), ClusterError> {
    match done {
        Ok(_) => Ok(()),
        Err(error) => match ClusterError::of(action, error) {
            error if error.is_missing() => Ok(()),
            error => Err(error),
        },
    }
}
