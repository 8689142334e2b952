//! A master is brought a step further: what is seen, what comes next, and what the cluster has to look
//! like for that.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use zeroize::Zeroizing;

use super::conditions;
use super::context::{Context, now};
use super::gate::{Gate, judge};
use super::model::JenkinsController;
use super::objects;
use super::observe;
use super::peers;
use super::render::{Revision, home_claim};
use super::status::{JenkinsControllerStatus, Phase, seconds};
use super::step::{Observed, Task, next, wanted};
use super::{check, prune};
use crate::cluster::ClusterError;
use crate::rest::{Client as RestClient, ClientOptions, Login};

/// Between two looks at a master that is as it should be. Changes are seen at once.
const STEADY: Duration = Duration::from_secs(300);
/// Between two looks at one that something is done with.
const BUSY: Duration = Duration::from_secs(3);
/// How long a master may take to say what runs there.
const LOOK: Duration = Duration::from_secs(5);

/// Brings a master a step further.
///
/// # Errors
/// What the API server says.
pub async fn apply(
    controller: Arc<JenkinsController>,
    context: &Context,
) -> Result<Action, ClusterError> {
    let namespace = controller.namespace().unwrap_or_default();
    let api: Api<JenkinsController> = Api::namespaced(context.client.clone(), &namespace);
    // What the watch has may be older than what was written here last.
    let failed = |error| ClusterError::of("read the master", error);
    let Some(controller) = api.get_opt(&controller.name_any()).await.map_err(failed)? else {
        return Ok(Action::await_change());
    };
    if controller.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let before = controller.status.clone().unwrap_or_default();
    let problems = check::problems(&controller);
    let asked = problems.is_empty().then(|| Revision::of(&controller));
    let name = asked.as_ref().map(|revision| revision.name.clone());
    // One at a time passes the gate: what it was judged by is written down before the next one is.
    let turn = match before.phase {
        Phase::Waiting => Some(context.gate.lock().await),
        _ => None,
    };
    let seen = observe(context, &controller, &before, name).await?;
    let mut status = next(&controller.spec, &controller.name_any(), &before, &seen);
    conditions::judge(&mut status, &problems, controller.metadata.generation, seen.now);
    if let Some(revision) = asked.as_ref().filter(|one| status.target.as_ref() == Some(&one.name)) {
        objects::keep_revision(context, &controller, revision).await?;
    }
    if status != before {
        objects::write_status(context, &controller, &status).await?;
    }
    drop(turn);
    if status.phase != before.phase {
        context.tell_phase(&controller, &status).await;
    }
    furnish(context, &controller, &status, asked).await?;
    Ok(match status.phase {
        _ if status.phase != before.phase => Action::requeue(Duration::ZERO),
        Phase::Running | Phase::RestoreFailed => Action::requeue(STEADY),
        Phase::Pending => Action::requeue(STEADY),
        Phase::Failed => Action::requeue(Duration::from_secs(30)),
        _ => Action::requeue(BUSY),
    })
}

/// Makes the cluster look as the status wants it.
async fn furnish(
    context: &Context,
    controller: &JenkinsController,
    status: &JenkinsControllerStatus,
    asked: Option<Revision>,
) -> Result<(), ClusterError> {
    let name = controller.name_any();
    let home = status.home.clone().unwrap_or_else(|| home_claim(&name));
    // A resource that cannot be used changes nothing.
    if asked.is_some() && !controller.spec.paused {
        objects::surround(context, controller, &home).await?;
    }
    if let Some(wanted) = wanted(status) {
        let revision = match asked {
            Some(asked) if asked.name == wanted.revision => asked,
            _ => objects::kept_revision(context, controller, wanted.revision).await?,
        };
        objects::place(context, controller, &revision, wanted.replicas, &home).await?;
        objects::work_on(context, controller, status, &revision, &home).await?;
    }
    if status.phase == Phase::Running {
        prune::remove_old(context, controller, status).await?;
    }
    Ok(())
}

async fn observe(
    context: &Context,
    controller: &JenkinsController,
    status: &JenkinsControllerStatus,
    asked: Option<String>,
) -> Result<Observed, ClusterError> {
    let (namespace, name) = (controller.namespace().unwrap_or_default(), controller.name_any());
    let now = now();
    let waited = now - status.since.as_deref().map_or(now, seconds);
    let waited = Duration::from_secs(u64::try_from(waited).unwrap_or(0));
    let client = &context.client;
    let set = observe::set(client, &namespace, &name, waited).await?;
    let task = match status.phase {
        Phase::BackingUp | Phase::Restoring => {
            observe::task(client, &namespace, status.phase, status.backup.as_ref()).await?
        }
        _ => Task::Running,
    };
    let gate = match status.phase {
        Phase::Waiting => gate(context, controller, set.healthy).await?,
        _ => Gate::Closed(String::new()),
    };
    let busy = match status.phase {
        Phase::Draining if set.healthy => busy(context, controller).await,
        _ => None,
    };
    let backup = match status.phase {
        Phase::Stopping => observe::backup_kind(client, controller).await?,
        _ => None,
    };
    Ok(Observed {
        now,
        asked,
        applied: set.applied,
        pods: set.pods,
        healthy: set.healthy,
        trouble: set.trouble,
        task,
        gate,
        busy,
        backup,
    })
}

async fn gate(
    context: &Context,
    controller: &JenkinsController,
    healthy: bool,
) -> Result<Gate, ClusterError> {
    let key = (controller.namespace().unwrap_or_default(), controller.name_any());
    let mut all = peers::of_resources(&context.client, &context.scope).await?;
    let mut own = all.remove(&key).unwrap_or_default();
    own.ready = healthy;
    let names: Vec<String> = all.keys().map(|(_, name)| name.clone()).collect();
    let mut others: Vec<_> = all.into_values().collect();
    if let Some(question) = &context.bridge {
        match peers::of_bridge(question).await {
            // One that is both a resource and known to the bridge counts once.
            Ok(known) => others.extend(
                known.into_iter().filter(|one| one.name != key.1 && !names.contains(&one.name)),
            ),
            Err(why) => return Ok(Gate::Closed(why)),
        }
    }
    Ok(judge(&own, &others, controller.spec.upgrade.min_others))
}

/// Builds that run on a master; nothing where it cannot be asked.
async fn busy(context: &Context, controller: &JenkinsController) -> Option<u32> {
    let access = controller.spec.bridge.as_ref()?;
    let namespace = controller.namespace()?;
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let secret = secrets.get_opt(&access.token_secret).await.ok()??;
    let token = secret.data?.remove("token")?;
    let token = Zeroizing::new(String::from_utf8(token.0).ok()?);
    let services: Api<Service> = Api::namespaced(context.client.clone(), &namespace);
    let service = services.get_opt(&controller.name_any()).await.ok()??;
    let address = service.spec?.cluster_ip?;
    let mut options =
        ClientOptions::new(format!("http://{address}:8080{}", controller.spec.prefix));
    options.login =
        Some(Login { user: access.user.clone(), token: Zeroizing::new(token.trim().to_owned()) });
    options.timeout = LOOK;
    options.proxy = crate::rest::ProxyChoice::Direct;
    let nodes = match RestClient::new(&options) {
        Ok(client) => client.nodes().await,
        Err(error) => Err(error),
    };
    match nodes {
        Ok(nodes) => Some(nodes.busy),
        Err(error) => {
            tracing::warn!(master = controller.name_any(), %error, "it is not known what runs there");
            None
        }
    }
}
