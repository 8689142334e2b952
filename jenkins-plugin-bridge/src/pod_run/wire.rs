//! What the runner in a pod tells: a line of JSON for each event, numbered from 1.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::Outcome;
use crate::run::{Event, RunResult};

/// The version of these messages. Both sides are the same program, but not always the same
/// version of it.
pub(super) const PROTOCOL: u32 = 1;

/// The most bytes of a line that are read: a line of output of 64 KiB whose bytes are all escaped,
/// or the result of a plan with some thousand stages.
pub(super) const MAX_LINE: usize = 4 << 20;

/// The most bytes of all files that are brought back, compressed. A log of Kubernetes is written
/// to the disk of the node and read through the API server: it is no way for large files.
pub(super) const MAX_FILES: usize = 32 << 20;

/// The bytes of a piece of a file. In base64 it fits into the 16 KiB that containerd keeps as one
/// entry of a log.
pub(super) const PIECE: usize = 9 << 10;

/// The file with the results of tests, from which the reports are made.
pub(super) const SUITES: &str = "suites.json";

/// A line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// Its number: what comes twice is taken once, and what is missing is noticed.
    pub n: u64,
    #[serde(flatten)]
    pub message: Message,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Message {
    /// The first.
    Hello { protocol: u32, version: String },
    /// [`Event::Started`].
    Started { id: String, title: String, group: bool },
    /// [`Event::Again`].
    Again { id: String, attempt: u8, reason: String },
    /// [`Event::Step`].
    Step { id: String, name: String },
    /// [`Event::Output`].
    Output { id: String, line: String },
    /// [`Event::Said`].
    Said { id: String, line: String },
    /// [`Event::Ended`].
    Ended {
        id: String,
        title: String,
        group: bool,
        outcome: Outcome,
        reason: String,
        milliseconds: u64,
        rehearsed: bool,
    },
    /// [`Event::Note`].
    Note { text: String },
    /// A piece of a file: gzip, in base64.
    File { path: String, size: u64, data: String, last: bool },
    /// The last, after a run.
    Result { result: Box<RunResult> },
    /// The last, where nothing was run.
    Problem { text: String },
}

impl From<&Event<'_>> for Message {
    fn from(event: &Event<'_>) -> Self {
        let own = |text: &str| text.to_owned();
        match *event {
            Event::Started { id, title, group } => {
                Self::Started { id: own(id), title: own(title), group }
            }
            Event::Again { id, attempt, reason } => {
                Self::Again { id: own(id), attempt, reason: own(reason) }
            }
            Event::Step { id, name } => Self::Step { id: own(id), name: own(name) },
            Event::Output { id, line } => Self::Output { id: own(id), line: own(line) },
            Event::Said { id, line } => Self::Said { id: own(id), line: own(line) },
            Event::Ended { id, title, group, outcome, reason, duration, rehearsed } => {
                Self::Ended {
                    id: own(id),
                    title: own(title),
                    group,
                    outcome,
                    reason: own(reason),
                    milliseconds: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                    rehearsed,
                }
            }
            Event::Note(text) => Self::Note { text: own(text) },
        }
    }
}

impl Message {
    /// The event that it tells, if it tells one.
    pub(super) fn event(&self) -> Option<Event<'_>> {
        Some(match self {
            Self::Started { id, title, group } => Event::Started { id, title, group: *group },
            Self::Again { id, attempt, reason } => Event::Again { id, attempt: *attempt, reason },
            Self::Step { id, name } => Event::Step { id, name },
            Self::Output { id, line } => Event::Output { id, line },
            Self::Said { id, line } => Event::Said { id, line },
            Self::Ended { id, title, group, outcome, reason, milliseconds, rehearsed } => {
                Event::Ended {
                    id,
                    title,
                    group: *group,
                    outcome: *outcome,
                    reason,
                    duration: Duration::from_millis(*milliseconds),
                    rehearsed: *rehearsed,
                }
            }
            Self::Note { text } => Event::Note(text),
            Self::Hello { .. } | Self::File { .. } | Self::Result { .. } | Self::Problem { .. } => {
                return None;
            }
        })
    }
}
