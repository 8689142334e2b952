//! Removes the pods of the bridge whose work is over.
//!
//! A pod whose agent has ended runs nothing that anybody waits for, but its other containers may
//! go on and hold a node. Pods that the kubernetes plugin made are that plugin's to remove.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::connect::Cluster;
use super::error::causes;
use crate::pod::AGENT;

/// The label of pods that [`Cluster::create`] made: of no others is one removed.
pub(super) const MADE_HERE: (&str, &str) = ("pilotfish.io/made-by", "bridge");
/// The annotation with which a pod is left as it is.
pub const KEEP: &str = "pilotfish.io/keep";
/// How long a pod whose agent has ended is left: its other containers end by themselves meanwhile,
/// and logs are read.
pub const GRACE: Duration = Duration::from_secs(60);
/// How often it is seen which pods are due. It costs no call.
const LOOK: Duration = Duration::from_secs(5);
/// How long a pod is left that could not be deleted.
const AGAIN: Duration = Duration::from_secs(30);
/// The most pods that are kept in mind; more wait until some are gone.
const PODS: usize = 20_000;

/// Why the work of a pod is over; `None` while it goes on.
#[must_use]
pub fn over(pod: &Pod) -> Option<&'static str> {
    let kept = pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(KEEP));
    if kept || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    match status.phase.as_deref() {
        Some("Succeeded") => return Some("it succeeded"),
        Some("Failed") => return Some("it failed"),
        _ => {}
    }
    let agent = status.container_statuses.iter().flatten().find(|one| one.name == AGENT)?;
    // With the restart policy of these pods what has ended does not begin again.
    agent.state.as_ref()?.terminated.as_ref().map(|_| "its agent has ended")
}

struct Over {
    pod: Pod,
    why: &'static str,
    due: Instant,
}

/// Removes pods of the bridge once their work has been over for so long, until it is dropped;
/// `removed` hears of each. One watch; no other call but for deletions.
pub async fn tidy_pods(
    cluster: Cluster,
    namespace: Option<String>,
    grace: Duration,
    removed: impl Fn(&str),
) {
    let config = Config::default().labels(&format!("{}={}", MADE_HERE.0, MADE_HERE.1));
    let pods = cluster.pods(namespace.as_deref());
    let mut stream = pin!(watcher(pods, config).default_backoff());
    let mut all: HashMap<String, Over> = HashMap::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = stream.next() => match event {
                Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                    let Some(uid) = pod.metadata.uid.clone() else { continue };
                    let Some(why) = over(&pod) else {
                        all.remove(&uid);
                        continue;
                    };
                    if let Some(known) = all.get_mut(&uid) {
                        known.pod = pod;
                    } else if all.len() < PODS {
                        // By a clock of our own: those of nodes may be wrong.
                        all.insert(uid, Over { pod, why, due: Instant::now() + grace });
                    }
                }
                Some(Ok(Event::Delete(pod))) => {
                    all.remove(&pod.metadata.uid.unwrap_or_default());
                }
                Some(Ok(Event::Init | Event::InitDone)) => {}
                Some(Err(error)) => {
                    tracing::warn!(
                        cluster = cluster.name,
                        error = causes(&error),
                        "pods that have ended cannot be watched"
                    );
                }
                None => return,
            },
            now = look.tick() => {
                for one in all.values_mut().filter(|one| one.due <= now) {
                    let pod = one.pod.metadata.name.as_deref().unwrap_or_default();
                    // Once it is gone the watch says so.
                    one.due = now + AGAIN;
                    match cluster.delete(&one.pod).await {
                        Ok(()) => {
                            tracing::info!(cluster = cluster.name, pod, why = one.why, "a pod is removed");
                            removed(pod);
                        }
                        Err(error) => {
                            tracing::warn!(cluster = cluster.name, pod, %error, "a pod stays");
                        }
                    }
                }
            }
        }
    }
}
