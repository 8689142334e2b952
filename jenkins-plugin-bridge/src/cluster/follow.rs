//! Follows the start of a pod until its agent is connected or it is clear that it will not be.

use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::watch_object;
use tokio::time::{Instant, sleep_until};

use super::connect::Cluster;
use super::error::{ClusterError, causes};
use super::start::{
    Looks, PATIENCE, Phases, StartFailure, StartState, ended_container, phases, state,
};
use crate::pod::AGENT;

/// The most events that are read of a pod.
const EVENTS: u32 = 200;

/// What came of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// When it reached which phase.
    pub phases: Phases,
    /// Why it failed, if it did.
    pub failure: Option<StartFailure>,
    /// Whether the agent's container has ended.
    pub agent_ended: bool,
}

/// How long a start is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The agent is connected. Images of tools may still be on their way.
    Connected,
    /// All containers have started, and the agent's is ready.
    AllStarted,
}

/// A phase that a pod reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A node was found.
    Scheduled,
    /// All images were there.
    Pulled,
    /// All containers had started.
    Started,
    /// The agent was connected.
    Connected,
}

impl Step {
    /// Those of a pod that has come so far.
    fn reached(phases: &Phases) -> impl Iterator<Item = Self> {
        [
            (Self::Scheduled, phases.scheduled_ms),
            (Self::Pulled, phases.pulled_ms),
            (Self::Started, phases.started_ms),
            (Self::Connected, phases.connected_ms),
        ]
        .into_iter()
        .filter_map(|(step, at)| at.map(|_| step))
    }

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pulled => "pulled",
            Self::Started => "started",
            Self::Connected => "connected",
        }
    }
}

impl Cluster {
    /// Follows a pod until its start is over or failed; `told` hears of each phase once.
    ///
    /// # Errors
    /// When the cluster no longer answers.
    pub async fn follow(
        &self,
        pod: &Pod,
        until: Until,
        mut told: impl FnMut(Step, Duration),
    ) -> Result<Followed, ClusterError> {
        let begun = Instant::now();
        let name = pod.metadata.name.clone().unwrap_or_default();
        let namespace = self.namespace_of(pod).to_owned();
        let mut sights = std::pin::pin!(watch_object(self.pods(Some(&namespace)), &name));
        let mut looks = Looks::since(begun);
        let mut now = pod.clone();
        let mut last_step: Option<Step> = None;
        loop {
            tokio::select! {
                sight = sights.next() => match sight {
                    Some(Ok(Some(seen))) => now = seen,
                    Some(Ok(None)) | None => {
                        let message = "somebody deleted the pod".to_owned();
                        let failure = StartFailure { reason: "Deleted".to_owned(), message };
                        let phases = phases(&now, &[]);
                        return Ok(Followed { phases, failure: Some(failure), agent_ended: false });
                    }
                    // The watch tries again by itself, slower each time.
                    Some(Err(error)) if begun.elapsed() < PATIENCE => {
                        tracing::debug!(error = causes(&error), "the pod cannot be watched");
                        continue;
                    }
                    Some(Err(error)) => return Err(ClusterError::Unreachable {
                        action: "show the pod".to_owned(), message: causes(&error),
                    }),
                },
                () = sleep_until(looks.next()) => looks.looked(Instant::now()),
            }
            // A pod that waits, and may, is understood without its events.
            let waited = begun.elapsed();
            let is_plain = waited < PATIENCE && state(&now, &[], waited) == StartState::Waiting;
            let events = match is_plain {
                true => Vec::new(),
                false => self.events_of(&now).await.unwrap_or_default(),
            };
            let reached = phases(&now, &events);
            let before = last_step;
            for step in Step::reached(&reached).filter(|one| Some(*one) > before) {
                told(step, begun.elapsed());
                last_step = Some(step);
            }
            let failure = match state(&now, &events, waited) {
                StartState::Waiting => continue,
                StartState::Connected
                    if until == Until::AllStarted && reached.started_ms.is_none() =>
                {
                    continue;
                }
                StartState::Connected => None,
                StartState::Failed(failure) => Some(failure),
            };
            let agent_ended = ended_container(&now, AGENT).is_some();
            return Ok(Followed { phases: reached, failure, agent_ended });
        }
    }

    /// Waits until a container of a pod has ended or the pod is gone: why, in the cluster's words.
    pub async fn ended(&self, pod: &Pod, container: &str) -> String {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let pods = self.pods(Some(self.namespace_of(pod)));
        let mut sights = std::pin::pin!(watch_object(pods, &name));
        loop {
            match sights.next().await {
                Some(Ok(Some(seen))) => {
                    if let Some(why) = ended_container(&seen, container) {
                        return why;
                    }
                }
                Some(Ok(None)) | None => return "somebody deleted the pod".to_owned(),
                // The watch tries again by itself, slower each time.
                Some(Err(error)) => {
                    tracing::debug!(error = causes(&error), "the pod cannot be watched");
                }
            }
        }
    }

    /// The events of a pod, the oldest first.
    pub(super) async fn events_of(&self, pod: &Pod) -> Result<Vec<Event>, ClusterError> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(self.client.clone(), self.namespace_of(pod));
        let parameters =
            ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(EVENTS);
        let list = events.list(&parameters).await;
        let mut all =
            list.map_err(|error| ClusterError::of("list the events of the pod", error))?.items;
        let time = |one: &Event| {
            let known = one.last_timestamp.as_ref().or(one.first_timestamp.as_ref());
            known.map(|it| it.0).or(one.event_time.as_ref().map(|it| it.0))
        };
        all.sort_by_key(time);
        Ok(all)
    }
}
