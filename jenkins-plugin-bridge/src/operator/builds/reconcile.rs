//! A place for builds is made as its resource says, and kept so.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Namespace, Node, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch};
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::model::{BuildCluster, BuildClusterStatus, Keeper};
use super::render::{self, NAME, PLACE};
use super::target::{self, Target};
use crate::cluster::{Cluster, ClusterError, Images};
use crate::error::Problem;
use crate::operator::context::{Context, now};
use crate::operator::model::Deletion;
use crate::operator::objects::{applying, gone};
use crate::operator::status::set_condition;
use crate::pod::Flavour;

/// Between two looks at a place that is as it should be.
const STEADY: Duration = Duration::from_secs(300);
/// Between two looks at one that waits for its cluster.
const WAITING: Duration = Duration::from_secs(15);

/// How a look ended.
enum Outcome {
    Ready { nodes: u32 },
    NotYet(String),
    Wrong { reason: &'static str, message: String },
}

/// Makes a place as its resource says.
///
/// # Errors
/// What an API server says; it is in the status, too.
pub(in crate::operator) async fn apply(
    place: Arc<BuildCluster>,
    context: &Context,
) -> Result<Action, ClusterError> {
    let problems = render::problems(&place);
    let done = if problems.is_empty() {
        furnish(&place, context).await
    } else {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        Ok(Outcome::Wrong { reason: "InvalidSpec", message: lines.join("\n") })
    };
    let (outcome, error) = match done {
        Ok(outcome) => (outcome, None),
        Err(error) => {
            let message = error.to_string();
            (Outcome::Wrong { reason: "Refused", message }, Some(error))
        }
    };
    tell(&place, context, &outcome).await?;
    match (error, outcome) {
        (Some(error), _) => Err(error),
        (None, Outcome::NotYet(_)) => Ok(Action::requeue(WAITING)),
        (None, _) => Ok(Action::requeue(STEADY)),
    }
}

async fn furnish(place: &BuildCluster, context: &Context) -> Result<Outcome, ClusterError> {
    let cluster = match target::of(context, place).await? {
        Target::Ready(cluster) => cluster,
        Target::NotYet(why) => return Ok(Outcome::NotYet(why)),
        Target::Gone => {
            return Ok(Outcome::NotYet("the object of the cluster is not there".into()));
        }
    };
    let client = cluster.client();
    let spaces: Api<Namespace> = Api::all(client.clone());
    let space = spaces.get_opt(&place.spec.namespace).await;
    let space = space.map_err(|error| ClusterError::of("read the namespace", error))?;
    if space.is_some_and(|one| one.labels().get(PLACE) != Some(&render::place(place))) {
        let message = format!(
            "the namespace {} is there and not of this resource; label it {PLACE}={} to hand it over",
            place.spec.namespace,
            render::place(place)
        );
        return Ok(Outcome::Wrong { reason: "NamespaceTaken", message });
    }
    put(&client, &render::namespace(place)).await?;
    let objects = render::objects(place);
    for object in &objects {
        put(&client, object).await?;
    }
    // What is no longer asked for.
    for kind in ["ResourceQuota", "LimitRange"] {
        if !objects.iter().any(|one| one["kind"] == kind) {
            let api = api(&client, kind, &place.spec.namespace)?;
            gone(api.delete(NAME, &DeleteParams::default()).await, "remove what is old")?;
        }
    }
    keep_images(place, &cluster).await?;
    put(&context.client, &render::profile(place)).await?;
    Ok(Outcome::Ready { nodes: ready_nodes(place, &client).await? })
}

async fn keep_images(place: &BuildCluster, cluster: &Cluster) -> Result<(), ClusterError> {
    let agent = place.spec.images.as_ref().map_or("", |one| one.agent.as_str());
    let before = place.status.as_ref().and_then(|status| status.images);
    let now = place.spec.images.as_ref().map(|one| one.keeper);
    // Only what was made for this resource is removed: the bridge may keep images there, too.
    if let Some(before) = before.filter(|before| Some(*before) != now) {
        let settings = render::settings_of(place, before);
        cluster.keep_images(&settings, &Images::new(), agent).await?;
    }
    if let Some(settings) = render::settings(place) {
        cluster.keep_images(&settings, &render::images(place), agent).await?;
    }
    Ok(())
}

/// Nodes for builds that are ready.
async fn ready_nodes(place: &BuildCluster, client: &Client) -> Result<u32, ClusterError> {
    let selector: Vec<String> =
        place.spec.nodes.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default().labels(&selector.join(","))).await;
    let nodes = nodes.map_err(|error| ClusterError::of("list the nodes", error))?;
    let is_ready = |node: &&Node| {
        let all = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        all.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
    };
    Ok(u32::try_from(nodes.items.iter().filter(is_ready).count()).unwrap_or(u32::MAX))
}

/// The API of objects of a kind that [`render`] makes.
fn api(client: &Client, kind: &str, namespace: &str) -> Result<Api<DynamicObject>, ClusterError> {
    let resource = match kind {
        "Namespace" => {
            return Ok(Api::all_with(client.clone(), &ApiResource::erase::<Namespace>(&())));
        }
        "ConfigMap" => ApiResource::erase::<ConfigMap>(&()),
        "LimitRange" => ApiResource::erase::<LimitRange>(&()),
        "NetworkPolicy" => ApiResource::erase::<NetworkPolicy>(&()),
        "ResourceQuota" => ApiResource::erase::<ResourceQuota>(&()),
        "Role" => ApiResource::erase::<Role>(&()),
        "RoleBinding" => ApiResource::erase::<RoleBinding>(&()),
        other => {
            return Err(ClusterError::Unreachable {
                action: "apply an object".to_owned(),
                message: format!("the kind {other} is not known here"),
            });
        }
    };
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

async fn put(client: &Client, object: &Value) -> Result<(), ClusterError> {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let api = api(client, kind, text("namespace"))?;
    let done = api.patch(text("name"), &applying(), &Patch::Apply(object)).await;
    done.map(drop).map_err(|error| ClusterError::of(&format!("apply the {kind}"), error))
}

/// Writes the status, and an event where it is another one.
async fn tell(
    place: &BuildCluster,
    context: &Context,
    outcome: &Outcome,
) -> Result<(), ClusterError> {
    let before = place.status.clone().unwrap_or_default();
    let generation = place.metadata.generation;
    let mut status = BuildClusterStatus { observed_generation: generation, ..before.clone() };
    let is_virtual =
        matches!(place.spec.nodes.flavour, Flavour::Eci | Flavour::Aci | Flavour::VirtualKubelet);
    let (reason, message) = match outcome {
        // Such nodes are always there; others may be made when they are needed.
        Outcome::Ready { nodes: 0 } if is_virtual => {
            ("NoNodes", "no node for builds is ready".into())
        }
        Outcome::Ready { nodes } => ("Furnished", format!("{nodes} nodes for builds are ready")),
        Outcome::NotYet(why) => ("WaitingForCluster", why.clone()),
        Outcome::Wrong { reason, message } => (*reason, message.clone()),
    };
    if let Outcome::Ready { nodes } = outcome {
        status.nodes = Some(*nodes);
        status.profile = Some(render::profile_name(place));
        status.images = place.spec.images.as_ref().map(|one| one.keeper);
    }
    let is_ready = reason == "Furnished";
    let is_wrong = matches!(outcome, Outcome::Wrong { .. });
    let waits = matches!(outcome, Outcome::NotYet(_));
    for (kind, holds) in [("Ready", is_ready), ("Progressing", waits), ("Degraded", is_wrong)] {
        let words = (reason, message.as_str());
        set_condition(&mut status.conditions, kind, holds, words, generation, now());
    }
    status.message = message;
    if status == before {
        return Ok(());
    }
    let object = json!({
        "apiVersion": BuildCluster::api_version(&()), "kind": BuildCluster::kind(&()),
        "metadata": {"name": place.name_any()}, "status": status,
    });
    let namespace = place.namespace().unwrap_or_default();
    let api: Api<BuildCluster> = Api::namespaced(context.client.clone(), &namespace);
    let done = api.patch_status(&place.name_any(), &applying(), &Patch::Apply(&object)).await;
    done.map_err(|error| ClusterError::of("write the status", error))?;
    context.tell(&place.object_ref(&()), reason, &status.message, is_wrong).await;
    Ok(())
}

/// Removes a place that is deleted, where that is asked for. A cluster that is gone takes it along.
///
/// # Errors
/// What an API server says.
pub(in crate::operator) async fn clean_up(
    place: &BuildCluster,
    context: &Context,
) -> Result<Action, ClusterError> {
    if place.spec.deletion == Deletion::Retain || !render::problems(place).is_empty() {
        return Ok(Action::await_change());
    }
    let Target::Ready(cluster) = target::of(context, place).await? else {
        return Ok(Action::await_change());
    };
    if let Some(keeper) = place.status.as_ref().and_then(|status| status.images)
        && keeper == Keeper::ImageCache
    {
        let settings = render::settings_of(place, keeper);
        cluster.keep_images(&settings, &Images::new(), "").await?;
    }
    let spaces: Api<Namespace> = Api::all(cluster.client());
    let space = spaces.get_opt(&place.spec.namespace).await;
    let space = space.map_err(|error| ClusterError::of("read the namespace", error))?;
    if space.is_some_and(|one| one.labels().get(PLACE) == Some(&render::place(place))) {
        let done = spaces.delete(&place.spec.namespace, &DeleteParams::default()).await;
        gone(done, "delete the namespace")?;
    }
    Ok(Action::await_change())
}
