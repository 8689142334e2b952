//! Plays recordings against the scripted agent.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a failure is a failed test")]

use std::time::Duration;

use pilotfish_replay::facts::Recorded;
use pilotfish_replay::needs_jvm::NeedsJvm;
use pilotfish_replay::plan::{self, Plan};
use pilotfish_replay::recording::Recording;
use pilotfish_replay::report::Report;
use pilotfish_replay::scripted::{self, Alterations};
use pilotfish_replay::server::Door;
use pilotfish_replay::session::{Pace, Session, Settings};

/// As fast as it goes; what is lost on purpose need not be waited for long.
pub const SETTINGS: Settings = Settings {
    pace: Pace::Immediate,
    patience: Duration::from_secs(20),
    grace: Duration::from_millis(500),
    releases: false,
};

pub fn plan(recording: &Recording) -> Plan {
    plan::make(recording, &NeedsJvm::default()).unwrap()
}

pub async fn against_scripted(
    recording: &Recording,
    plan: &Plan,
    altered: &Alterations,
    settings: Settings,
) -> Report {
    let door = Door::open().await.unwrap();
    let url = door.url().unwrap();
    let facts = Recorded::of(recording);
    let controller = async {
        let link = door.accept(&recording.response).await.unwrap();
        Session::new(link, recording, plan, &facts, settings, &[]).play().await
    };
    let agent = scripted::play(&url, recording, plan, altered);
    tokio::pin!(controller, agent);
    tokio::select! {
        report = &mut controller => report,
        result = &mut agent => {
            result.unwrap();
            controller.await
        }
    }
}
