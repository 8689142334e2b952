//! Signs of life of a child: whatever it says is one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// How often it said something.
#[derive(Default)]
pub(crate) struct Signs {
    count: AtomicU64,
    changed: Notify,
    /// Whether what it says waits for the controller: then its silence means nothing.
    pub(crate) blocked: AtomicBool,
}

impl Signs {
    pub(crate) fn give(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there are more than `seen`.
    pub(crate) async fn more_than(&self, seen: u64) {
        loop {
            // Registered before the check, so that a sign in between is not missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.count() > seen {
                return;
            }
            changed.await;
        }
    }
}
