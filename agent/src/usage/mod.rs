//! What the stages of builds used, told to the bridge, which sizes their containers by it.
//!
//! A launch of a plan's stage carries `PILOTFISH_BUILD` and `PILOTFISH_STAGE`. What its container used while
//! it ran is measured there (`pilotfish_exec::Meter`): by the agent for its own container, by the exec server
//! for another one. Reports wait in a bounded queue and go out together. No build waits for any of it, and
//! what cannot be told is lost, with a line in the agent's log.

mod tasks;

use std::sync::Arc;
use std::time::Duration;

use pilotfish_exec::{MAX_STAGE_NAME, Stage, Usage};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::bridge::Bridge;

pub(crate) use tasks::{NewTask, Place, Tasks};

/// The container of the agent in a pod, as the kubernetes plugin wants it called.
pub const AGENT_CONTAINER: &str = "jnlp";

/// How many reports wait: stages of some hundred builds that end while the bridge is away.
const MAX_WAITING: usize = 1024;

/// How many go out together.
const MAX_TOGETHER: usize = 100;

/// How long others are waited for that go out together.
const GATHERING: Duration = Duration::from_secs(2);

/// The pauses between tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// How long an agent that ends waits for its last reports.
const FLUSH: Duration = Duration::from_secs(3);

/// Where reports are handed in.
#[derive(Debug, Clone)]
pub struct Usages(mpsc::Sender<Message>);

#[derive(Debug)]
enum Message {
    Report(Value),
    /// Tell at once, and say when that is done.
    Flush(oneshot::Sender<()>),
}

/// The stage that a launch is of, by the environment that the controller gives it.
pub(crate) fn stage_of(environment: &[String]) -> Option<Stage> {
    let value = |name: &str| {
        let of_name = |one: &String| one.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let found = environment.iter().rev().find_map(of_name);
        found.filter(|value| !value.is_empty() && value.len() <= MAX_STAGE_NAME)
    };
    Some(Stage { build: value("PILOTFISH_BUILD")?, stage: value("PILOTFISH_STAGE")? })
}

impl Usages {
    /// Tells this bridge. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(bridge: Arc<Bridge>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        tokio::spawn(tell(bridge, receiver));
        Self(sender)
    }

    /// What a stage used in a container.
    pub(crate) fn report(&self, stage: &Stage, container: &str, usage: Usage) {
        let report = json!({
            "build": stage.build,
            "stage": stage.stage,
            "container": container,
            "seconds": seconds(usage.milliseconds),
            "cpu_seconds": seconds(usage.cpu_milliseconds),
            "peak_memory_bytes": usage.peak_memory_bytes,
            "shared": usage.shared,
        });
        if self.0.try_send(Message::Report(report)).is_err() {
            tracing::warn!(
                stage = stage.stage,
                "what a stage used is not told: {MAX_WAITING} reports wait for the bridge already"
            );
        }
    }

    /// Waits until what was handed in is told, or a short time is over.
    pub async fn flush(&self) {
        let flushed = async {
            let (done, told) = oneshot::channel();
            if self.0.send(Message::Flush(done)).await.is_ok() {
                let _ = told.await;
            }
        };
        if tokio::time::timeout(FLUSH, flushed).await.is_err() {
            tracing::warn!("the agent ends, and the bridge was not told what the last stages used");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no stage runs for a hundred thousand years")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

async fn tell(bridge: Arc<Bridge>, mut messages: mpsc::Receiver<Message>) {
    // Said once, until it is well again: each stage would say the same.
    let mut fails = false;
    while let Some(first) = messages.recv().await {
        let mut reports = Vec::new();
        let mut flushed = None;
        let mut take = |message| match message {
            Message::Report(report) => {
                reports.push(report);
                reports.len() >= MAX_TOGETHER
            }
            Message::Flush(done) => {
                flushed = Some(done);
                true
            }
        };
        let gather = async {
            let mut enough = take(first);
            while !enough && let Some(message) = messages.recv().await {
                enough = take(message);
            }
        };
        let _ = tokio::time::timeout(GATHERING, gather).await;
        if !reports.is_empty() {
            let count = reports.len();
            let pauses = if flushed.is_some() { &[][..] } else { &PAUSES };
            let sent = send(&bridge, json!({ "reports": reports }), pauses).await;
            match &sent {
                Err(problem) if !fails => {
                    tracing::warn!(count, "the bridge was not told what stages used: {problem}");
                }
                Err(problem) => tracing::debug!(count, "not told what stages used: {problem}"),
                Ok(()) if fails => tracing::info!("the bridge is told again what stages used"),
                Ok(()) => {}
            }
            fails = sent.is_err();
        }
        if let Some(done) = flushed {
            let _ = done.send(());
        }
    }
}

async fn send(bridge: &Bridge, body: Value, pauses: &[Duration]) -> Result<(), String> {
    let body = body.to_string();
    for pause in pauses {
        match bridge.report_usage(body.clone()).await {
            Ok(()) => return Ok(()),
            Err(problem) => tracing::debug!("the bridge did not take a report: {problem}"),
        }
        tokio::time::sleep(*pause).await;
    }
    bridge.report_usage(body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_known_by_what_its_launch_carries() {
        let environment =
            |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let both =
            environment(&["PILOTFISH_BUILD=a#1", "PILOTFISH_STAGE=x", "PILOTFISH_STAGE=y=1"]);
        let stage = Stage { build: "a#1".to_owned(), stage: "y=1".to_owned() };
        assert_eq!(stage_of(&both), Some(stage), "the last one counts");
        assert_eq!(stage_of(&both[..1]), None);
        assert_eq!(stage_of(&environment(&["PILOTFISH_BUILD=", "PILOTFISH_STAGE=x"])), None);
        let long = format!("PILOTFISH_BUILD={}", "x".repeat(MAX_STAGE_NAME + 1));
        assert_eq!(stage_of(&environment(&[&long, "PILOTFISH_STAGE=x"])), None);
    }
}
