//! How far a reading is.

use std::fmt;
use std::sync::Arc;

/// How far a reading is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Folders found so far.
    pub folders: usize,
    /// Jobs found so far.
    pub found: usize,
    /// Jobs read so far.
    pub read: usize,
    /// Requests so far.
    pub requests: u64,
    /// Those of them that were further tries.
    pub retries: u64,
}

/// Is told of progress, often. What it does must be quick.
#[derive(Clone)]
pub struct ProgressSink(Arc<dyn Fn(Progress) + Send + Sync>);

impl ProgressSink {
    /// Calls a function.
    pub fn new(function: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(super) fn tell(&self, progress: Progress) {
        (self.0)(progress);
    }
}

impl Default for ProgressSink {
    /// Tells nobody.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressSink")
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} jobs read, {} folders, {} requests",
            self.read, self.found, self.folders, self.requests
        )?;
        if self.retries > 0 {
            write!(f, " ({} of them repeated)", self.retries)?;
        }
        Ok(())
    }
}
