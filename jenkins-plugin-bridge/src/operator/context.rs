//! What all of the operator shares.

use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use tokio::sync::Mutex;

use super::MANAGER;
use super::model::JenkinsController;
use super::peers::{BridgeQuestion, Scope};
use super::status::{JenkinsControllerStatus, Phase};

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// The most bytes of the text of an event.
const NOTE: usize = 1000;

/// What all of the operator shares.
pub struct Context {
    /// The cluster that resources are in.
    pub client: Client,
    /// Where resources are looked for.
    pub scope: Scope,
    /// Whom to ask for further masters.
    pub bridge: Option<BridgeQuestion>,
    /// Held while it is judged whether a master may be stopped.
    pub gate: Mutex<()>,
    recorder: Recorder,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Context {
    /// Puts it together; `holder` names this replica in events.
    #[must_use]
    pub fn new(client: Client, scope: Scope, bridge: Option<BridgeQuestion>, holder: &str) -> Self {
        let reporter =
            Reporter { controller: MANAGER.to_owned(), instance: Some(holder.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, scope, bridge, gate: Mutex::default(), recorder }
    }

    /// Tells of a phase, in an event of its master.
    pub(super) async fn tell_phase(
        &self,
        controller: &JenkinsController,
        status: &JenkinsControllerStatus,
    ) {
        let is_trouble = matches!(
            status.phase,
            Phase::Reverting | Phase::Restoring | Phase::Failed | Phase::RestoreFailed
        );
        let mut note = status.message.clone();
        if status.phase == Phase::Running && status.failed.is_none() {
            note = format!("revision {}", status.revision.as_deref().unwrap_or_default());
        }
        tracing::info!(
            master = controller.metadata.name,
            phase = status.phase.name(),
            message = note,
            "a master is a step further"
        );
        self.tell(&controller.object_ref(&()), status.phase.name(), &note, is_trouble).await;
    }

    /// An event of an object. One that cannot be written is no reason to stop.
    pub(super) async fn tell(
        &self,
        object: &ObjectReference,
        reason: &str,
        note: &str,
        is_trouble: bool,
    ) {
        let note = &note[..note.floor_char_boundary(NOTE)];
        let event = Event {
            type_: if is_trouble { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: (!note.is_empty()).then(|| note.to_owned()),
            action: reason.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, object).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }
}
