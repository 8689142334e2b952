//! What is written down about the builds of one master, beside what that master says.

use super::model::{Build, BuildState};
use crate::rest::{AtWork, Outcome, Place, Ran, build_path};

/// A trigger that is not answered for so long is looked for, in milliseconds. Requests are given up
/// before.
pub const TRIGGER_PATIENCE_MS: i64 = 20_000;

/// What is found about a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All is as it is written.
    Same,
    /// It waits there as this item.
    Waits(i64),
    /// It is not in the queue: its item has to be asked for.
    AskPlace(u64),
    /// Neither in the queue nor known by an item: its key has to be looked for among the last builds.
    Search,
    /// It is not among what runs: its result has to be asked for.
    AskOutcome(String),
    /// It did not start there and will not.
    NotStarted(String),
    /// It ran there and ended before it claimed its build.
    EndedUnclaimed(String),
    /// It has ended.
    Ended {
        /// How.
        result: String,
        /// Why, for people.
        reason: String,
    },
    /// It runs as it is written, although nobody knew for a while.
    Runs,
    /// It was running, and its master does not know it.
    Gone,
}

/// The first look: the queue and what runs.
#[must_use]
pub fn reconcile(build: &Build, at_work: &AtWork, now_ms: i64) -> Finding {
    match build.state {
        BuildState::Waiting | BuildState::Finished => Finding::Same,
        BuildState::Triggering | BuildState::Queued => {
            let key = build.key.as_deref();
            let item =
                at_work.waiting.iter().find(|item| key.is_some() && item.key.as_deref() == key);
            if let Some(item) = item {
                let id = i64::try_from(item.id).unwrap_or(0);
                let known = build.state == BuildState::Queued && build.queue_item == Some(id);
                return if known { Finding::Same } else { Finding::Waits(id) };
            }
            match (build.state, build.queue_item.and_then(|item| u64::try_from(item).ok())) {
                (BuildState::Queued, Some(item)) => Finding::AskPlace(item),
                (BuildState::Queued, None) => Finding::Search,
                // The answer may still come.
                _ if now_ms - build.changed_ms < TRIGGER_PATIENCE_MS => Finding::Same,
                _ => Finding::Search,
            }
        }
        // How its run ends is how its pod was deleted.
        BuildState::Unknown if build.is_being_fenced() => Finding::Same,
        BuildState::Running | BuildState::Unknown => {
            let Some(path) = build.url.as_deref().and_then(build_path) else {
                return Finding::Gone;
            };
            match (at_work.running.contains(&path), build.state) {
                (true, BuildState::Running) if build.reason.is_empty() => Finding::Same,
                (true, _) => Finding::Runs,
                (false, _) => Finding::AskOutcome(path),
            }
        }
    }
}

/// What became of an item that is not in the queue any more.
#[must_use]
pub fn of_place(place: &Place) -> Finding {
    match place {
        Place::Waits => Finding::Same,
        // What was started claims its build; what has ended without that is found by its key.
        Place::Build(_) | Place::Missing => Finding::Search,
        Place::Cancelled => Finding::Ended {
            result: "ABORTED".into(),
            reason: "its item was cancelled at the master".into(),
        },
    }
}

/// What the last builds of its job say about a build that was not claimed.
#[must_use]
pub fn of_builds(build: &Build, ran: &[Ran]) -> Finding {
    let key = build.key.as_deref();
    let item = build.queue_item.and_then(|item| u64::try_from(item).ok());
    let by_key = ran.iter().find(|one| key.is_some() && one.key.as_deref() == key);
    // A job whose definition was changed in between: it ran, and knew nothing of a claim.
    let without = || ran.iter().find(|one| one.key.is_none() && item.is_some() && one.item == item);
    match by_key.or_else(without) {
        None => Finding::NotStarted("its master has neither an item nor a build of it".into()),
        Some(one) => match &one.outcome {
            // It is about to claim its build.
            Outcome::Runs => Finding::Same,
            Outcome::Ended(result) if one.key.is_none() => Finding::Ended {
                result: "FAILURE".into(),
                reason: format!(
                    "build {} there ran without its key and ended as {result}: the job declares its \
                     parameters no more. `jobs keep` mends it",
                    one.number
                ),
            },
            Outcome::Ended(result) => Finding::EndedUnclaimed(format!(
                "build {} there ended as {result} before it could claim this one",
                one.number
            )),
            Outcome::Missing => Finding::Same,
        },
    }
}

/// What the master says of a build that was running.
#[must_use]
pub fn of_outcome(outcome: &Outcome) -> Finding {
    match outcome {
        Outcome::Runs => Finding::Runs,
        Outcome::Ended(result) => Finding::Ended { result: result.clone(), reason: String::new() },
        Outcome::Missing => Finding::Gone,
    }
}
