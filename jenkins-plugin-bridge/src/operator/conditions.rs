//! What the conditions of a master say, from how it stands.

use super::status::{JenkinsControllerStatus as Status, Phase, set_condition};
use crate::error::Problem;

/// The most bytes of a message; Kubernetes takes 32 KiB.
const MESSAGE: usize = 4096;

/// Sets all conditions.
pub fn judge(status: &mut Status, problems: &[Problem], generation: Option<i64>, now: i64) {
    let mut all = std::mem::take(&mut status.conditions);
    let phase = status.phase.name();
    let mut set = |kind: &str, holds: bool, reason: &str, message: &str| {
        let message = &message[..message.floor_char_boundary(MESSAGE)];
        set_condition(&mut all, kind, holds, (reason, message), generation, now);
    };
    match status.ready {
        true => set("Ready", true, "Healthy", "its login page answers"),
        false => set("Ready", false, phase, &status.message),
    }
    set("Progressing", status.phase.is_progress(), phase, &status.message);
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    match (&status.failed, status.phase) {
        _ if !problems.is_empty() => set("Degraded", true, "InvalidSpec", &lines.join("\n")),
        (_, Phase::Failed | Phase::RestoreFailed) => set("Degraded", true, phase, &status.message),
        (Some(failed), _) => {
            let message = format!("revision {}: {}", failed.revision, failed.message);
            set("Degraded", true, &failed.reason, &message);
        }
        (None, _) => set("Degraded", false, "AsWanted", ""),
    }
    status.conditions = all;
    status.observed_generation = generation;
}
