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
use super::start::{Phases, PodStart, StartFailure, StartState, phases, state};
use crate::pod::BUILD_ID;

/// The most pods that are kept in mind; of more, some are not reported.
const PODS: usize = 20_000;
/// How often pods that wait are looked at again, since nothing may change while they wait.
const LOOK: Duration = Duration::from_secs(5);

/// The end of a pod's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Id of the build in the service, where the pod has one.
    pub build: Option<String>,
    /// Name of the pod.
    pub pod: String,
    /// Its node.
    pub node: Option<String>,
    /// When it reached which phase.
    pub phases: Phases,
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
}

/// Watches until it is dropped; `seen` hears of each pod once, when its agent is connected or its
/// start failed.
pub async fn watch_pods(cluster: Cluster, namespace: Option<String>, seen: impl Fn(Seen)) {
    let config = Config::default().labels("app.kubernetes.io/name=pilotfish-build");
    let pods = cluster.pods(namespace.as_deref());
    let mut stream = std::pin::pin!(watcher(pods, config).default_backoff());
    let mut waiting: HashMap<String, Waiting> = HashMap::new();
    let mut done: HashSet<String> = HashSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut changed = Vec::new();
        tokio::select! {
            event = stream.next() => match event {
                Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                    let Some(uid) = pod.metadata.uid.clone() else { continue };
                    if done.contains(&uid) || waiting.len() >= PODS {
                        continue;
                    }
                    let since = waiting.get(&uid).map_or_else(Instant::now, |one| one.since);
                    waiting.insert(uid.clone(), Waiting { pod, since });
                    changed.push(uid);
                }
                Some(Ok(Event::Delete(pod))) => {
                    let uid = pod.metadata.uid.unwrap_or_default();
                    waiting.remove(&uid);
                    done.remove(&uid);
                }
                Some(Ok(Event::Init | Event::InitDone)) => {}
                Some(Err(error)) => {
                    tracing::warn!(cluster = cluster.name, error = causes(&error), "pods cannot be watched");
                }
                None => return,
            },
            _ = look.tick() => {
                let late = |one: &Waiting| one.since.elapsed() >= super::start::PATIENCE;
                changed.extend(waiting.iter().filter(|(_, one)| late(one)).map(|(uid, _)| uid.clone()));
            }
        }
        for uid in changed {
            let Some(one) = waiting.get(&uid) else { continue };
            let waited = one.since.elapsed();
            // Most of what pods do needs no events to be understood.
            let quick = state(&one.pod, &[], waited);
            if quick == StartState::Waiting && waited < super::start::PATIENCE {
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
                pod: one.pod.metadata.name.clone().unwrap_or_default(),
                node: one.pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
                phases: phases(&one.pod, &events),
                failure,
            });
            waiting.remove(&uid);
            if done.len() < PODS {
                done.insert(uid);
            }
        }
    }
}
