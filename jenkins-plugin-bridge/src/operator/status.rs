//! How a resource stands, as its status says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How a master stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JenkinsControllerStatus {
    /// Generation of the resource that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is being done.
    pub phase: Phase,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether it answers.
    pub ready: bool,
    /// What it waits for, or what went wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The revision that was healthy last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The revision that is being installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// A revision that was given up and is not tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
    /// The claim that holds the home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The backup that was made last, or is being made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Conditions `Ready`, `Progressing` and `Degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What is being done with a master.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing yet.
    #[default]
    Pending,
    /// It starts for the first time.
    Creating,
    /// It is as it should be.
    Running,
    /// It is to be changed, and other masters are too few.
    Waiting,
    /// It is to be stopped, and builds run.
    Draining,
    /// It is being stopped.
    Stopping,
    /// Its home is being kept.
    BackingUp,
    /// It starts as the new one.
    Starting,
    /// The new one did not get healthy and is being stopped.
    Reverting,
    /// Its home is being put back.
    Restoring,
    /// It starts as the old one.
    Restarting,
    /// It does not start.
    Failed,
    /// Its home could not be put back.
    RestoreFailed,
}

impl Phase {
    /// Whether a change is under way, so that no other master may be stopped.
    #[must_use]
    pub fn is_upgrade(self) -> bool {
        matches!(
            self,
            Self::Draining
                | Self::Stopping
                | Self::BackingUp
                | Self::Starting
                | Self::Reverting
                | Self::Restoring
                | Self::Restarting
        )
    }

    /// Whether something is being done or waited for.
    #[must_use]
    pub fn is_progress(self) -> bool {
        self.is_upgrade() || matches!(self, Self::Pending | Self::Creating | Self::Waiting)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Creating => "Creating",
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Draining => "Draining",
            Self::Stopping => "Stopping",
            Self::BackingUp => "BackingUp",
            Self::Starting => "Starting",
            Self::Reverting => "Reverting",
            Self::Restoring => "Restoring",
            Self::Restarting => "Restarting",
            Self::Failed => "Failed",
            Self::RestoreFailed => "RestoreFailed",
        }
    }
}

/// A revision that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Which.
    pub revision: String,
    /// `RolledBack` or `BackupFailed`.
    pub reason: String,
    /// Why.
    pub message: String,
}

/// A backup of a home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Name of the VolumeSnapshot, or of the archive without its ending.
    pub name: String,
    /// How it is kept.
    pub kind: BackupKind,
    /// The revision that the home was of.
    pub revision: String,
}

/// How a backup is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// A VolumeSnapshot.
    Snapshot,
    /// An archive on the claim for backups.
    Archive,
}

/// A condition, as `metav1.Condition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why.
    pub message: String,
    /// Generation that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status changed last.
    pub last_transition_time: String,
}

/// Sets a condition. The time of the change stays where the status is the same.
pub fn set_condition(
    all: &mut Vec<Condition>,
    kind: &str,
    holds: bool,
    (reason, message): (&str, &str),
    generation: Option<i64>,
    now: i64,
) {
    let status = if holds { "True" } else { "False" };
    let before = all.iter().find(|one| one.kind == kind && one.status == status);
    let since = before.map_or_else(|| stamp(now), |one| one.last_transition_time.clone());
    let condition = Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: since,
    };
    match all.iter_mut().find(|one| one.kind == kind) {
        Some(one) => *one = condition,
        None => all.push(condition),
    }
}

/// Seconds since 1970 as Kubernetes writes times.
#[must_use]
pub fn stamp(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// What [`stamp`] has written; 0 for anything else.
#[must_use]
pub fn seconds(stamp: &str) -> i64 {
    OffsetDateTime::parse(stamp, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp)
}
