//! How far a pod has come, from its status and its events.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::pod::AGENT;

/// How long a pod may be kept from starting by what may go away by itself.
pub const PATIENCE: Duration = Duration::from_secs(25);
/// The first pause between two looks at a pod that does not move.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest: a node that is made for a pod takes minutes, and many pods may wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The most bytes of what a cluster says that are kept.
const MAX_WORDS: usize = 2_000;
/// Reasons for which a container waits that do not go away by themselves.
const HOPELESS: [&str; 5] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerError",
    "RunContainerError",
];
/// Reasons that may: a registry that answers the second time, a Secret that is made late.
const DOUBTFUL: [&str; 4] =
    ["ErrImagePull", "CreateContainerConfigError", "RegistryUnavailable", "CrashLoopBackOff"];
/// Events that keep a pod from starting, and may go away.
const HINDRANCES: [&str; 4] =
    ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedCreatePodContainer"];
/// Events that say that a node is being made for the pod: the cluster autoscaler's and
/// Karpenter's.
const NODE_COMES: [&str; 2] = ["TriggeredScaleUp", "Nominated"];

/// When a pod reached the phases of its start, in milliseconds after it was made. Kubernetes
/// keeps times in whole seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phases {
    /// A node was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_ms: Option<u64>,
    /// The last image was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulled_ms: Option<u64>,
    /// The last container had started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// The agent was connected to its controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_ms: Option<u64>,
}

/// Why a pod does not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartFailure {
    /// The reason as Kubernetes names it: `ImagePullBackOff`, `Unschedulable`.
    pub reason: String,
    /// What the cluster says.
    pub message: String,
}

/// How an image of a pod came to its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStart {
    /// The image, as the pod names it.
    pub image: String,
    /// How long it was pulled, in milliseconds; nothing where it was there already.
    pub pull_ms: Option<u64>,
}

/// How the pod of a build started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodStart {
    /// Name of the pod.
    pub pod: String,
    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When it reached which phase.
    pub phases: Phases,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<StartFailure>,
}

/// How a start stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartState {
    /// Not there yet.
    Waiting,
    /// The agent is connected.
    Connected,
    /// It will not start.
    Failed(StartFailure),
}

/// When a pod that does not move is looked at: once patience is over, then ever more rarely.
/// Until then only what moves it can end its start, and that is told by the watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    next: Instant,
    pause: Duration,
}

impl Looks {
    /// Those at a pod that is waited for since then.
    pub(super) fn since(begun: Instant) -> Self {
        Self { next: begun + PATIENCE, pause: PAUSE }
    }

    /// When the next one is due.
    pub(super) fn next(self) -> Instant {
        self.next
    }

    /// One was had.
    pub(super) fn looked(&mut self, now: Instant) {
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// When a pod reached its phases.
#[must_use]
pub fn phases(pod: &Pod, events: &[Event]) -> Phases {
    let Some(made) = &pod.metadata.creation_timestamp else { return Phases::default() };
    let after = |time: &Time| {
        let span = time.0.as_millisecond().saturating_sub(made.0.as_millisecond());
        u64::try_from(span).unwrap_or(0)
    };
    let condition = |name: &str| {
        let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut met = all.filter(|one| one.type_ == name && one.status == "True");
        met.next().and_then(|one| one.last_transition_time.as_ref()).map(after)
    };
    let statuses: Vec<&ContainerStatus> = pod.status.iter().flat_map(statuses).collect();
    let expected = pod.spec.as_ref().map_or(0, |spec| {
        spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len)
    });
    let begun: Vec<u64> = statuses.iter().filter_map(|one| begun(one).map(after)).collect();
    let all_begun = expected > 0 && begun.len() == expected;
    let started_ms = begun.into_iter().max().filter(|_| all_begun);
    // What starts has its image; a cluster that forgets its events tells no better.
    let pulled = events.iter().filter(|one| one.reason.as_deref() == Some("Pulled"));
    let pulled = pulled.filter_map(|one| one.last_timestamp.as_ref()).map(after).max();
    Phases {
        scheduled_ms: condition("PodScheduled"),
        pulled_ms: started_ms.map(|started| pulled.unwrap_or(started).min(started)),
        started_ms,
        connected_ms: condition("Ready").filter(|_| is_connected(pod)),
    }
}

/// How the images of a pod came to its node, as the kubelet's events have it: each once, and for one
/// that several containers have the pull, if there was one.
#[must_use]
pub fn image_starts(events: &[Event]) -> Vec<ImageStart> {
    let mut all: Vec<ImageStart> = Vec::new();
    let pulled = events.iter().filter(|one| one.reason.as_deref() == Some("Pulled"));
    for message in pulled.filter_map(|one| one.message.as_deref()) {
        let Some(one) = image_start(message) else { continue };
        match all.iter_mut().find(|known| known.image == one.image) {
            Some(known) => known.pull_ms = known.pull_ms.or(one.pull_ms),
            None => all.push(one),
        }
    }
    all
}

/// Reads `Successfully pulled image "a:1" in 1m2.5s (1m3s including waiting). …` and
/// `Container image "a:1" already present on machine`.
fn image_start(message: &str) -> Option<ImageStart> {
    let (before, rest) = message.split_once('"')?;
    let (image, after) = rest.split_once('"')?;
    let pull_ms = match before {
        "Successfully pulled image " => {
            Some(go_duration(after.strip_prefix(" in ")?.split(' ').next()?)?)
        }
        "Container image " if after.starts_with(" already present") => None,
        _ => return None,
    };
    Some(ImageStart { image: image.to_owned(), pull_ms })
}

/// A duration as Go writes it, `1h2m3.5s` or `350ms`, in milliseconds.
fn go_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim_end_matches('.');
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|one: char| one.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let unit = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = next;
    }
    u64::try_from(Duration::try_from_secs_f64(total).ok()?.as_millis()).ok()
}

/// How the start of a pod stands that has been waited for so long.
#[must_use]
pub fn state(pod: &Pod, events: &[Event], waited: Duration) -> StartState {
    if let Some(failure) = failure(pod, events, waited >= PATIENCE) {
        return StartState::Failed(failure);
    }
    if is_connected(pod) { StartState::Connected } else { StartState::Waiting }
}

/// Whether a container that waits for this reason may never start.
pub(crate) fn is_hindered(reason: &str) -> bool {
    HOPELESS.contains(&reason) || DOUBTFUL.contains(&reason)
}

/// The agent's container is ready when its agent is connected.
fn is_connected(pod: &Pod) -> bool {
    let all = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut agents = all.filter(|one| one.name == AGENT);
    agents.next().is_some_and(|one| one.ready)
}

/// The states of all containers, those that come first included.
pub(crate) fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
}

fn begun(status: &ContainerStatus) -> Option<&Time> {
    let state = status.state.as_ref()?;
    let running = state.running.as_ref().and_then(|one| one.started_at.as_ref());
    running.or_else(|| state.terminated.as_ref().and_then(|one| one.started_at.as_ref()))
}

fn failure(pod: &Pod, events: &[Event], patience_is_over: bool) -> Option<StartFailure> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Failed") {
        let reason = status.reason.clone().unwrap_or_else(|| "Failed".to_owned());
        let message = status.message.clone();
        let ended = statuses(status).find_map(ended);
        let message = message.or(ended.map(|one| one.message)).unwrap_or_default();
        return Some(failed(&reason, &message));
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(failed("Deleted", "somebody deleted the pod"));
    }
    for one in statuses(status) {
        if let Some(ended) = ended(one) {
            return Some(ended);
        }
        let waiting = one.state.as_ref().and_then(|state| state.waiting.as_ref());
        let Some(waiting) = waiting else { continue };
        let reason = waiting.reason.as_deref().unwrap_or_default();
        if HOPELESS.contains(&reason) || (patience_is_over && DOUBTFUL.contains(&reason)) {
            // A back-off says only that it waits; what went wrong is in the event before it.
            let words = pull_words(events, &one.image)
                .filter(|_| reason.ends_with("BackOff"))
                .or(waiting.message.clone())
                .unwrap_or_default();
            return Some(failed(reason, &format!("container {}: {words}", one.name)));
        }
    }
    if !patience_is_over {
        return None;
    }
    let named = |names: &[&str]| {
        let fits = |one: &&Event| one.reason.as_deref().is_some_and(|it| names.contains(&it));
        events.iter().rev().find(fits)
    };
    let unscheduled = status.conditions.iter().flatten().find(|one| {
        one.type_ == "PodScheduled"
            && one.status == "False"
            && one.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = unscheduled
        && named(&NODE_COMES).is_none()
    {
        return Some(failed("Unschedulable", condition.message.as_deref().unwrap_or_default()));
    }
    let nothing_runs = statuses(status).all(|one| begun(one).is_none());
    named(&HINDRANCES).filter(|_| nothing_runs).map(|event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        failed(reason, event.message.as_deref().unwrap_or_default())
    })
}

/// A container that ended before the agent was connected. The one that copies the program ends
/// well.
fn ended(status: &ContainerStatus) -> Option<StartFailure> {
    let end = status.state.as_ref()?.terminated.as_ref()?;
    if end.exit_code == 0 && status.name != AGENT {
        return None;
    }
    let reason = end.reason.clone().unwrap_or_else(|| "Error".to_owned());
    let words = end.message.as_deref().unwrap_or("its log says more");
    let text = format!("container {} ended with {}: {}", status.name, end.exit_code, words.trim());
    Some(failed(&reason, &text))
}

/// Why a container of a pod runs no more, where it does not: its end, or that of the pod.
pub(super) fn ended_container(pod: &Pod, name: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let of_pod = || {
        let reason = status.reason.as_deref().unwrap_or("Failed");
        let message = status.message.as_deref().unwrap_or_default();
        failed(reason, message)
    };
    let end = statuses(status).find(|one| one.name == name);
    let end = end.and_then(|one| one.state.as_ref()).and_then(|state| state.terminated.as_ref());
    match (end, status.phase.as_deref()) {
        // An eviction or a deadline says more than the exit code that came of it.
        (_, Some("Failed")) if status.reason.is_some() => {
            let why = of_pod();
            Some(format!("{}: {}", why.reason, why.message))
        }
        (Some(end), _) => {
            let reason = end.reason.as_deref().unwrap_or("Error");
            let words = end.message.as_deref().unwrap_or_default();
            let why = failed(reason, &format!("container {name} ended with {}", end.exit_code));
            let words = if words.is_empty() { String::new() } else { format!(": {words}") };
            Some(format!("{}: {}{words}", why.reason, why.message))
        }
        (None, Some("Failed" | "Succeeded")) => {
            let why = of_pod();
            Some(format!("{}: {}", why.reason, why.message))
        }
        (None, _) => None,
    }
}

/// What was said when an image could not be pulled.
fn pull_words(events: &[Event], image: &str) -> Option<String> {
    let mut told = events.iter().rev().filter(|one| one.reason.as_deref() == Some("Failed"));
    let about = |one: &&Event| one.message.as_deref().is_some_and(|text| text.contains(image));
    let first = told.clone().filter(about).find(|one| {
        one.message.as_deref().is_some_and(|text| text.starts_with("Failed to pull image"))
    });
    first.or_else(|| told.find(about)).and_then(|one| one.message.clone())
}

fn failed(reason: &str, message: &str) -> StartFailure {
    let mut message = message.to_owned();
    if message.len() > MAX_WORDS {
        message.truncate(message.floor_char_boundary(MAX_WORDS));
        message.push('…');
    }
    StartFailure { reason: reason.to_owned(), message }
}

impl Phases {
    /// The phases with their names, in order.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("scheduled", self.scheduled_ms),
            ("pulled", self.pulled_ms),
            ("started", self.started_ms),
            ("connected", self.connected_ms),
        ]
    }
}
