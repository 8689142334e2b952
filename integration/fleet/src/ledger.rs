//! The ledger: one line for each thing that a build did, written by the master that did it, in one file
//! for the whole fleet. It is what a campaign is judged by.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::FleetError;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The build was asked for at a master.
    Triggered,
    /// It has won its claim.
    Claimed,
    /// It has lost its claim.
    Refused,
    /// The agent of a node, which is named, has connected.
    Online,
    /// It runs on a node, because its job asks for a label: the agent has answered its first request.
    OnNode,
    /// It ran a stage.
    Stage,
    /// It has ended.
    Ended,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds since 1970, by the clock of the machine.
    pub at_us: u64,
    /// The master.
    pub master: String,
    /// Id of the build of the bridge; empty for one that was started by hand.
    pub build: String,
    /// Key of the attempt.
    pub key: String,
    /// What happened.
    pub what: What,
    /// Number of the stage, or the result.
    pub detail: String,
}

/// A ledger that is written.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
}

/// Microseconds since 1970.
#[must_use]
pub fn now_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

impl Ledger {
    /// Opens a ledger to write at its end.
    ///
    /// # Errors
    /// [`FleetError::Io`].
    pub fn open(path: &Path) -> Result<Self, FleetError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(FleetError::io(format!("open {}", path.display())))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes a line. A line is one write of the system, so those of several processes do not mix.
    ///
    /// # Errors
    /// [`FleetError::Io`].
    pub fn write(&mut self, entry: &Entry) -> Result<(), FleetError> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|error| FleetError::Other(format!("a line cannot be written: {error}")))?;
        line.push(b'\n');
        let what = format!("write {}", self.path.display());
        self.file.write_all(&line).map_err(FleetError::io(what))
    }

    /// Reads all lines of a ledger.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn read(path: &Path) -> Result<Vec<Entry>, FleetError> {
        let text = std::fs::read_to_string(path)
            .map_err(FleetError::io(format!("read {}", path.display())))?;
        text.lines()
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|error| FleetError::Other(format!("{line:?} is no entry: {error}")))
            })
            .collect()
    }
}
