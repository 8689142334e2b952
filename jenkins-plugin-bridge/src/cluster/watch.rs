//! Watches the pods of all builds in a cluster, whoever made them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use tokio::time::Instant;

use super::connect::Cluster;
use super::error::causes;
use super::start::{
    ImageStart, Looks, PATIENCE, Phases, PodStart, StartFailure, StartState, image_starts, phases,
    state,
};
use crate::pod::BUILD_ID;

/// The most pods that are kept in mind; of more, some are not reported.
const PODS: usize = 20_000;
/// How often it is seen which pods that wait are due for a look. It costs no call.
const LOOK: Duration = Duration::from_secs(5);

/// The end of a pod's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Id of the build in the service, where the pod has one.
    pub build: Option<String>,
    /// The pod's own id, which no other pod ever has.
    pub uid: String,
    /// Name of the pod.
    pub pod: String,
    /// Its node.
    pub node: Option<String>,
    /// When it reached which phase.
    pub phases: Phases,
    /// How its images came to the node.
    pub images: Vec<ImageStart>,
    /// Why it failed, if it did.
    pub failure: Option<StartFailure>,
}

impl Seen {
    /// Without what only the service knows it by.
    #[must_use]
    pub fn start(self) -> PodStart {
        PodStart { pod: self.pod, node: self.node, phases: self.phases, failure: self.failure }
    }
}

struct Waiting {
    pod: Pod,
    since: Instant,
    looks: Looks,
}

/// Watches until it is dropped; `seen` hears of each pod once, when its agent is connected or its
/// start failed.
pub async fn watch_pods(cluster: Cluster, namespace: Option<String>, seen: impl Fn(Seen)) {
    let config = Config::default().labels("app.kubernetes.io/name=pilotfish-build");
    let pods = cluster.pods(namespace.as_deref());
    let mut stream = std::pin::pin!(watcher(pods, config).default_backoff());
    let mut waiting: HashMap<String, Waiting> = HashMap::new();
    let mut done: HashSet<String> = HashSet::new();
    // Those of a new list; what was deleted before it is in no event.
    let mut listed: HashSet<String> = HashSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut changed = Vec::new();
        tokio::select! {
            event = stream.next() => match event {
                Some(Ok(event @ (Event::Apply(_) | Event::InitApply(_)))) => {
                    let is_listed = matches!(event, Event::InitApply(_));
                    let (Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
                    let Some(uid) = pod.metadata.uid.clone() else { continue };
                    if is_listed {
                        listed.insert(uid.clone());
                    }
                    if let Some(one) = waiting.get_mut(&uid) {
                        one.pod = pod;
                    } else if done.contains(&uid) || waiting.len() >= PODS {
                        continue;
                    } else {
                        let since = Instant::now();
                        let looks = Looks::since(since);
                        waiting.insert(uid.clone(), Waiting { pod, since, looks });
                    }
                    changed.push(uid);
                }
                Some(Ok(Event::Delete(pod))) => {
                    let uid = pod.metadata.uid.unwrap_or_default();
                    waiting.remove(&uid);
                    done.remove(&uid);
                }
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitDone)) => {
                    waiting.retain(|uid, _| listed.contains(uid));
                    done.retain(|uid| listed.contains(uid));
                    listed = HashSet::new();
                }
                Some(Err(error)) => {
                    tracing::warn!(cluster = cluster.name, error = causes(&error), "pods cannot be watched");
                }
                None => return,
            },
            now = look.tick() => {
                for (uid, one) in waiting.iter_mut().filter(|(_, one)| one.looks.next() <= now) {
                    one.looks.looked(now);
                    changed.push(uid.clone());
                }
            }
        }
        for uid in changed {
            let Some(one) = waiting.get(&uid) else { continue };
            let waited = one.since.elapsed();
            // Most of what pods do needs no events to be understood.
            let quick = state(&one.pod, &[], waited);
            if quick == StartState::Waiting && waited < PATIENCE {
                continue;
            }
            let events = cluster.events_of(&one.pod).await.unwrap_or_default();
            let failure = match state(&one.pod, &events, waited) {
                StartState::Waiting => continue,
                StartState::Connected => None,
                StartState::Failed(failure) => Some(failure),
            };
            let annotations = one.pod.metadata.annotations.as_ref();
            seen(Seen {
                build: annotations.and_then(|all| all.get(BUILD_ID)).cloned(),
                uid: uid.clone(),
                pod: one.pod.metadata.name.clone().unwrap_or_default(),
                node: one.pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
                phases: phases(&one.pod, &events),
                images: image_starts(&events),
                failure,
            });
            waiting.remove(&uid);
            if done.len() < PODS {
                done.insert(uid);
            }
        }
    }
}
