//! Masters that `JenkinsController` resources declare: made and kept by the operator, or watched only. Each replica
//! of the service follows the resources itself; while the API server is away what was declared before holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use zeroize::Zeroizing;

use super::file::{Label, Labels, MasterSpec};
use super::registry::{Declared, MOST, Registry, Source};
use crate::catalog::model::Identifier;
use crate::cluster::causes;
use crate::operator::render::PORT;
use crate::operator::{JenkinsController, Scope};

/// The most bytes of a token.
const TOKEN_BYTES: usize = 4096;
/// How often Secrets are read again: one request for each master.
const SECRETS_EVERY: Duration = Duration::from_secs(60);
/// The key of a Secret that has the token.
const TOKEN_KEY: &str = "token";

type Key = (String, String);

/// Where resources are.
#[derive(Clone)]
pub struct Resources {
    /// Their cluster.
    pub client: Client,
    /// Their namespaces.
    pub scope: Scope,
    /// This program is not in that cluster: masters are reached at the address of people, not at their Service.
    pub is_outside: bool,
}

/// What is known of resources and their tokens.
#[derive(Default)]
struct Known {
    controllers: BTreeMap<Key, JenkinsController>,
    tokens: BTreeMap<Key, Zeroizing<String>>,
    /// What was said of each, so that it is said once.
    told: BTreeSet<String>,
}

fn key(controller: &JenkinsController) -> Key {
    (controller.namespace().unwrap_or_default(), controller.name_any())
}

/// Keeps the declared masters of a registry as the resources are, until it is dropped. `changed` hears of each time
/// that they may have changed.
pub async fn follow_resources(registry: &Registry, from: Resources, changed: impl Fn()) {
    let api = from.scope.api::<JenkinsController>(&from.client);
    let mut stream = std::pin::pin!(watcher(api, Config::default()).default_backoff());
    let mut again = tokio::time::interval(SECRETS_EVERY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = Known::default();
    let mut listed = BTreeMap::new();
    loop {
        tokio::select! {
            event = stream.next() => match event {
                Some(Ok(Event::Init)) => {
                    listed.clear();
                    continue;
                }
                Some(Ok(Event::InitApply(one))) => {
                    listed.insert(key(&one), one);
                    continue;
                }
                Some(Ok(Event::InitDone)) => known.controllers = std::mem::take(&mut listed),
                Some(Ok(Event::Apply(one))) => {
                    known.controllers.insert(key(&one), one);
                }
                Some(Ok(Event::Delete(one))) => {
                    known.controllers.remove(&key(&one));
                }
                Some(Err(error)) => {
                    let error = causes(&error);
                    tracing::warn!(error, "JenkinsController resources cannot be followed");
                    continue;
                }
                None => return,
            },
            _ = again.tick() => {}
        }
        take(registry, &from, &mut known).await;
        changed();
    }
}

async fn take(registry: &Registry, from: &Resources, known: &mut Known) {
    let mut problems = BTreeSet::new();
    let mut all = Vec::new();
    let controllers: Vec<_> = known.controllers.values().cloned().collect();
    if controllers.len() > MOST {
        problems
            .insert(format!("there are {} resources; the first {MOST} count", controllers.len()));
    }
    for controller in controllers.iter().take(MOST) {
        let Some(spec) = spec(controller, from.is_outside) else { continue };
        match token(&from.client, controller, &mut known.tokens).await {
            Ok(token) => all.push(Declared {
                name: controller.name_any(),
                spec,
                token: Some(token),
                hold: hold(controller),
            }),
            Err(problem) => {
                let (namespace, name) = key(controller);
                problems.insert(format!("{namespace}/{name}: {problem}"));
            }
        }
    }
    problems.extend(registry.declare(Source::Resource, all));
    for problem in problems.difference(&known.told) {
        tracing::warn!(problem, "a declared master gets no builds");
    }
    known.told = problems;
}

/// What a resource declares; nothing where the bridge is not to log in there.
#[must_use]
pub fn spec(controller: &JenkinsController, is_outside: bool) -> Option<MasterSpec> {
    let (namespace, name) = key(controller);
    let spec = &controller.spec;
    let bridge = spec.bridge.as_ref()?;
    let own = format!("http://{name}.{namespace}.svc:{PORT}{}/", spec.prefix);
    Some(MasterSpec {
        url: spec.url.clone().filter(|_| is_outside).unwrap_or(own),
        user: bridge.user.clone(),
        // Its token is in a Secret.
        token_file: PathBuf::new(),
        ca_files: Vec::new(),
        proxy: None,
        labels: Labels::Named(spec.labels.iter().cloned().map(Label).collect()),
        capacity: bridge.capacity,
        permission: bridge.permission,
        zone: bridge.zone.clone().map(Identifier::made),
        cluster: None,
        maintenance: Vec::new(),
        look_every: None,
    })
}

/// Why a master gets no builds although it may answer: it is being changed until the new one has passed its gate.
#[must_use]
pub fn hold(controller: &JenkinsController) -> Option<String> {
    if controller.metadata.deletion_timestamp.is_some() {
        return Some("its resource is being deleted".to_owned());
    }
    let status = controller.status.as_ref()?;
    let words = if status.message.is_empty() { "" } else { ": " };
    let text = || format!("it is being changed ({}{words}{})", status.phase.name(), status.message);
    status.phase.is_upgrade().then(text)
}

/// The token of the bridge at a master; what was read before where the API server does not answer.
async fn token(
    client: &Client,
    controller: &JenkinsController,
    before: &mut BTreeMap<Key, Zeroizing<String>>,
) -> Result<Zeroizing<String>, String> {
    let namespace = controller.namespace().unwrap_or_default();
    let Some(bridge) = &controller.spec.bridge else { return Err("no login".to_owned()) };
    let name = bridge.token_secret.clone();
    let key = (namespace.clone(), name.clone());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret = match secrets.get_opt(&name).await {
        Ok(secret) => secret,
        Err(error) => {
            let problem = format!("the Secret {name} cannot be read: {}", causes(&error));
            return before.get(&key).cloned().ok_or(problem);
        }
    };
    before.remove(&key);
    let secret = secret.ok_or_else(|| format!("there is no Secret {name}"))?;
    let bytes = secret.data.as_ref().and_then(|data| data.get(TOKEN_KEY));
    let bytes = bytes.ok_or_else(|| format!("the Secret {name} has no key `{TOKEN_KEY}`"))?;
    let text = std::str::from_utf8(&bytes.0).ok().map(str::trim);
    let text = text.filter(|text| !text.is_empty() && text.len() <= TOKEN_BYTES);
    let text = text.ok_or_else(|| format!("what is in the Secret {name} is no token"))?;
    let token = Zeroizing::new(text.to_owned());
    before.insert(key, token.clone());
    Ok(token)
}
