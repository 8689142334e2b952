//! A flag that stops a running file operation from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{FileError, Result};

/// Shared flag: clones stop together. The operation that sees it ends with [`FileError::cancelled`].
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every operation that holds a clone to stop at its next entry or chunk.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once the flag is set.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(FileError::cancelled()) } else { Ok(()) }
    }

    /// Waits in short steps; returns false as soon as the flag is set.
    pub(super) fn sleep(&self, total: Duration) -> bool {
        let step = Duration::from_millis(10);
        let mut left = total;
        while !left.is_zero() {
            if self.is_cancelled() {
                return false;
            }
            let nap = left.min(step);
            std::thread::sleep(nap);
            left -= nap;
        }
        !self.is_cancelled()
    }
}
