//! The agent's log: `tracing` events to standard error, files, and a ring buffer for the controller.
//!
//! An event's target is its logger's name. What tools look for in the Java agent's log is logged under the
//! Java class with a `method` field, and printed like there:
//!
//! ```text
//! Nov 22, 2026 5:19:50 PM hudson.remoting.Launcher createEngine
//! INFO: Setting up agent: linux-1
//! ```
//!
//! Times are UTC, as in the official image; a static binary finds no time zone of the machine it runs on.
//!
//! Two tables of levels decide what is logged. The operator's (`PILOTFISH_LOG`, else `-loggingConfig`,
//! else `INFO`) is for standard error and files. The controller's log recorders
//! (`hudson.logging.LogRecorder$SetLevel`) add to it for the ring buffer alone, so a recorder at `ALL`
//! does not flood the agent's standard error.

mod config;
mod file;
mod format;
mod layer;
mod level;
mod levels;
mod properties;
mod ring;
mod writer;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt as _;

pub use level::JavaLevel;
pub use levels::Levels;
pub use ring::{Record, Ring};

use crate::cli::LoggingOptions;
use config::Plan;
use file::RotatingFile;
use layer::LogLayer;
use writer::{Sink, Writer};

/// Number of records that the controller can fetch, as in the Java agent.
const RING_RECORDS: usize = 256;

/// Why the log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `PILOTFISH_LOG` is no filter.
    #[error(
        "PILOTFISH_LOG={text} is no log filter: use a level (error, warn, info, debug, trace, off) or \
         target=level pairs separated by commas, such as info,jenkins_remoting=debug"
    )]
    Filter {
        /// What it holds.
        text: String,
    },
    /// A log file or the file of `-loggingConfig` cannot be opened.
    #[error("cannot open {} ({option}): {source}", .path.display())]
    Open {
        /// Which option named it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of `-loggingConfig` is too large.
    #[error("{} (-loggingConfig) is larger than {limit} bytes: name a java.util.logging properties file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Largest size.
        limit: u64,
    },
    /// The thread that writes could not be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
}

/// The running log. Cheap to clone.
#[derive(Clone)]
pub struct Logging {
    ring: Arc<Ring>,
    levels: Arc<Levels>,
    writer: Arc<Writer>,
    layer: LogLayer,
}

impl Logging {
    /// Opens the files and starts the thread that writes. Returns warnings about settings that have no
    /// effect.
    ///
    /// # Errors
    /// A filter that cannot be understood or a file that cannot be opened.
    pub fn start(
        options: &LoggingOptions,
        logs_directory: Option<&Path>,
        environment: &[(OsString, OsString)],
    ) -> Result<(Self, Vec<String>), LoggingError> {
        let (plan, warnings) = Plan::new(options, logs_directory, environment)?;
        let mut sinks = Vec::new();
        if let Some(level) = plan.console {
            sinks.push(Sink::new(level, Box::new(io::stderr())));
        }
        for file in plan.files {
            let level = file.level;
            let path = file.pattern.clone();
            let opened = RotatingFile::open(file.into()).map_err(|source| LoggingError::Open {
                option: "log file",
                path,
                source,
            })?;
            sinks.push(Sink::new(level, Box::new(opened)));
        }
        if let (Some(path), Some(level)) = (&options.agent_log, plan.console) {
            let file = File::create(path).map_err(|source| LoggingError::Open {
                option: "-agentLog",
                path: path.clone(),
                source,
            })?;
            sinks.push(Sink::new(level, Box::new(file)));
        }
        let logging = Self::with_sinks(plan.levels, options.format, sinks)?;
        Ok((logging, warnings))
    }

    fn with_sinks(
        levels: Levels,
        format: crate::cli::LogFormat,
        sinks: Vec<Sink>,
    ) -> Result<Self, LoggingError> {
        let ring = Arc::new(Ring::new(RING_RECORDS));
        let levels = Arc::new(levels);
        let writer = Arc::new(Writer::start(sinks).map_err(LoggingError::Thread)?);
        let layer =
            LogLayer::new(Arc::clone(&levels), Arc::clone(&ring), Arc::clone(&writer), format);
        Ok(Self { ring, levels, writer, layer })
    }

    /// Makes this the log of the process. A second call, of a test for example, has no effect.
    pub fn install(&self) {
        let subscriber = tracing_subscriber::registry().with(self.layer.clone());
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// The latest records.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Sets the level of a logger of the controller's log recorders, as
    /// `hudson.logging.LogRecorder$SetLevel` asks. The empty name is the root; `None` (Java: a null
    /// level) lets the logger inherit again.
    pub fn set_level(&self, logger: &str, level: Option<JavaLevel>) {
        self.levels.set_recorder(logger, level);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Waits until everything logged so far is written, for two seconds at most.
    pub fn flush(&self) {
        self.writer.flush();
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").field("levels", &self.levels).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
