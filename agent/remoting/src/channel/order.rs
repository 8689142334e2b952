//! Order between streams and requests.
//!
//! Streams are written aside from requests, so a request, or its response, names the last I/O that its
//! sender issued before (`Request.lastIoId`, `Response.lastIoId`): that must be complete first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::sync::Notify;

use super::lock;

/// The peer's I/O that has arrived and is not complete.
#[derive(Default)]
pub(crate) struct IoOrder {
    outstanding: Mutex<BTreeMap<i32, Outstanding>>,
    changed: Notify,
}

/// An I/O, or several of one stream that were joined, by the first id.
struct Outstanding {
    last: i32,
    detached: bool,
}

impl IoOrder {
    /// An I/O has arrived. `detached` ones hold up no request but one that names them: the standard
    /// input of a process that does not read must not stop the builds beside it.
    pub(crate) fn arrived(&self, io: i32, detached: bool) {
        if io != 0 {
            lock(&self.outstanding).insert(io, Outstanding { last: io, detached });
        }
    }

    /// A later I/O of the same stream was joined to `first`. They are complete together.
    pub(crate) fn joined(&self, first: i32, io: i32) {
        if let Some(outstanding) = lock(&self.outstanding).get_mut(&first) {
            outstanding.last = outstanding.last.max(io);
        }
    }

    /// The I/O `io`, and what was joined to it, is complete.
    pub(crate) fn complete(&self, io: i32) {
        if io != 0 && lock(&self.outstanding).remove(&io).is_some() {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn clear(&self) {
        lock(&self.outstanding).clear();
        self.changed.notify_waiters();
    }

    /// Whether nothing up to `last` is outstanding. Ids that are unknown count as complete.
    pub(crate) fn is_complete(&self, last: i32) -> bool {
        let holds_up = |io: &Outstanding| !io.detached || io.last >= last;
        last == 0 || !lock(&self.outstanding).range(..=last).any(|(_, io)| holds_up(io))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.outstanding).len()
    }

    pub(crate) async fn wait(&self, last: i32) {
        loop {
            // Registered before the check, so that a completion in between is not missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_complete(last) {
                return;
            }
            changed.await;
        }
    }
}

/// The I/O issued on behalf of one request: its response names the last of it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct IoScope(Arc<AtomicI32>);

impl IoScope {
    /// An empty scope, for I/O that belongs to no request yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn issued(&self, io: i32) {
        self.0.fetch_max(io, Ordering::AcqRel);
    }

    /// Takes over what another scope issued, as when a process's output must reach the peer before
    /// the answer of `join`.
    pub fn include(&self, other: &Self) {
        self.issued(other.last());
    }

    pub(crate) fn last(&self) -> i32 {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn ready(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_request_waits_for_all_io_up_to_the_one_it_names() {
        let order = IoOrder::default();
        order.arrived(5, false);
        order.arrived(6, false);
        assert!(ready(order.wait(0)) && ready(order.wait(4)));
        assert!(!ready(order.wait(5)) && !ready(order.wait(9)));
        order.complete(5);
        assert!(ready(order.wait(5)) && !ready(order.wait(6)));
        order.complete(6);
        assert!(ready(order.wait(6)));
    }

    #[test]
    fn detached_io_holds_up_only_who_names_it() {
        let order = IoOrder::default();
        order.arrived(5, true);
        assert!(ready(order.wait(6)));
        assert!(!ready(order.wait(5)));
        order.clear();
        assert!(ready(order.wait(5)));
    }

    #[test]
    fn joined_io_is_complete_together() {
        let order = IoOrder::default();
        order.arrived(5, true);
        order.joined(5, 8);
        for named in [5, 6, 8] {
            assert!(!ready(order.wait(named)), "{named}");
        }
        assert!(ready(order.wait(9)) && ready(order.wait(4)));
        order.complete(5);
        assert!(ready(order.wait(8)));
        assert_eq!(order.len(), 0);
    }

    #[test]
    fn a_scope_keeps_the_highest() {
        let (scope, other) = (IoScope::new(), IoScope::new());
        scope.issued(7);
        scope.issued(3);
        other.issued(9);
        assert_eq!(scope.last(), 7);
        scope.include(&other);
        assert_eq!(scope.last(), 9);
    }
}
