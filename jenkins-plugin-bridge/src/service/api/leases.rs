//! Bodies of requests and answers about leases: locks of stages, and milestones.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::leases::{SILENT_MS, position};
use crate::service::store::LockRow;

/// The next one asks so often, in seconds.
const NEXT_SECONDS: u32 = 5;
/// The others do, in seconds; whoever is silent for a minute is passed over.
const OTHER_SECONDS: u32 = 15;
const _: () = assert!((OTHER_SECONDS as i64) * 3000 < SILENT_MS);

/// Which stage is meant. The name of its lock is in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageQuery {
    /// Id of the stage in the plan of the build.
    pub stage: String,
}

/// How it stands with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockState {
    /// The stage has it.
    Held,
    /// It waits for it.
    Waiting,
}

/// How it stands with the lock of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockAnswer {
    /// Name of the lock.
    pub lock: String,
    /// Id of the stage.
    pub stage: String,
    /// How it stands.
    pub state: LockState,
    /// The place in the line of whoever waits: 1 for the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Who has it, where another stage does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<LockPlace>,
    /// Since when it is held, or waited for, in milliseconds since 1970.
    pub since_ms: i64,
    /// When the lease ends unless it is asked for again, or the build is seen to run.
    pub expires_ms: i64,
    /// When to ask again, where it waits. Whoever does not ask for a minute is passed over until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_in_seconds: Option<u32>,
    /// Why it waits, for people; empty where it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A stage of a build that holds a lock or waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockPlace {
    /// Id of the build.
    pub build: String,
    /// Its controller.
    pub controller: String,
    /// Its job.
    pub job: String,
    /// Its number there.
    pub number: i64,
    /// Id of the stage.
    pub stage: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// The path of its page here.
    pub page: String,
}

/// A lock with its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Name of the lock.
    pub lock: String,
    /// Who has it; nobody where the next one has not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<LockPlace>,
    /// Who waits, in order.
    pub waiting: Vec<LockPlace>,
}

/// Whether a build goes on at a milestone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneAnswer {
    /// Name of the milestone.
    pub milestone: String,
    /// It has passed it, now or before. Otherwise a newer build has, and this one ends.
    pub passed: bool,
    /// Why it ends, for people; empty where it goes on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Which lock is taken from its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakQuery {
    /// Name of the lock.
    pub lock: String,
    /// Id of the build that holds it: one that has got it in the meantime keeps it.
    pub build: String,
}

/// Whether something was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// False where there was nothing.
    pub released: bool,
}

impl LockPlace {
    /// A row as it is told.
    #[must_use]
    pub fn of(row: &LockRow) -> Self {
        Self {
            build: row.place.build.clone(),
            controller: row.controller.clone(),
            job: row.job.clone(),
            number: row.number,
            stage: row.place.stage.clone(),
            since_ms: row.place.held_ms.unwrap_or(row.asked_ms),
            page: format!("/builds/{}", row.place.build),
        }
    }

    fn words(&self) -> String {
        format!("stage {} of {} #{} at {}", self.stage, self.job, self.number, self.controller)
    }
}

impl LockAnswer {
    /// How it stands with the stages of a build, in the lines of all locks.
    #[must_use]
    pub fn of_build(rows: &[LockRow], build: &str) -> Vec<Self> {
        let lines = rows.chunk_by(|one, other| one.lock == other.lock);
        lines
            .flat_map(|line| {
                let own = line.iter().filter(|row| row.place.build == build);
                own.map(|row| Self::of(row, line))
            })
            .collect()
    }

    /// Why each run waits that does, by its controller, job and number.
    #[must_use]
    pub fn reasons(rows: &[LockRow]) -> BTreeMap<(String, String, i64), String> {
        let mut all = BTreeMap::new();
        for line in rows.chunk_by(|one, other| one.lock == other.lock) {
            for row in line.iter().filter(|row| row.place.held_ms.is_none()) {
                let key = (row.controller.clone(), row.job.clone(), row.number);
                let reason = format!("stage {}: {}", row.place.stage, Self::of(row, line).reason);
                all.entry(key).or_insert(reason);
            }
        }
        all
    }

    /// How it stands with a stage in a line, which is of one lock and in order.
    #[must_use]
    pub fn of(row: &LockRow, line: &[LockRow]) -> Self {
        let place = &row.place;
        let is_held = place.held_ms.is_some();
        let places = line.iter().map(|row| &row.place);
        let position = position(places, &place.build, &place.stage);
        let holder = line.iter().find(|one| one.place.held_ms.is_some()).map(LockPlace::of);
        let reason = match &holder {
            _ if is_held => String::new(),
            Some(holder) => {
                format!("place {position} for the lock {}: {} has it", row.lock, holder.words())
            }
            None => format!("place {position} for the lock {}, which is free", row.lock),
        };
        let again = if position == 1 { NEXT_SECONDS } else { OTHER_SECONDS };
        Self {
            lock: row.lock.clone(),
            stage: place.stage.clone(),
            state: if is_held { LockState::Held } else { LockState::Waiting },
            position: (!is_held).then_some(position),
            holder: holder.filter(|_| !is_held),
            since_ms: place.held_ms.unwrap_or(row.asked_ms),
            expires_ms: place.expires_ms,
            again_in_seconds: (!is_held).then_some(again),
            reason,
        }
    }
}

impl Line {
    /// All lines, of rows that stand by lock and in order.
    #[must_use]
    pub fn all(rows: &[LockRow]) -> Vec<Self> {
        let of = |rows: &[LockRow]| Self {
            lock: rows.first().map(|row| row.lock.clone()).unwrap_or_default(),
            holder: rows.iter().find(|row| row.place.held_ms.is_some()).map(LockPlace::of),
            waiting: rows
                .iter()
                .filter(|row| row.place.held_ms.is_none())
                .map(LockPlace::of)
                .collect(),
        };
        rows.chunk_by(|one, other| one.lock == other.lock).map(of).collect()
    }
}
