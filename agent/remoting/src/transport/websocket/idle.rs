//! Silence: when to ping, and when the peer counts as dead.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::transport::options::KeepAlive;

/// When the last byte came, at the level of the connection: a big message over a slow line counts as life.
pub(super) struct Activity {
    start: Instant,
    /// Milliseconds after `start`.
    last_read: AtomicU64,
    /// How often something came. Tells whether anything came after a ping, which a clock that is rounded
    /// cannot.
    reads: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last_read: AtomicU64::new(0), reads: AtomicU64::new(0) }
    }

    pub(super) fn mark(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_read.store(millis, Ordering::Relaxed);
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last_read.load(Ordering::Relaxed))
    }
}

/// Decides when to ping and when to give up.
pub(super) struct IdleWatch {
    keep_alive: KeepAlive,
    activity: Arc<Activity>,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the unanswered ping was sent, and how many reads there were before it.
    pinged: Option<(Instant, u64)>,
}

pub(super) enum IdleAction {
    Ping,
    Dead(Duration),
}

impl IdleWatch {
    pub(super) fn new(keep_alive: KeepAlive, activity: Arc<Activity>) -> Self {
        let first = keep_alive.ping_interval.or(keep_alive.peer_timeout);
        let timer = first.map(|first| Box::pin(tokio::time::sleep(first)));
        Self { keep_alive, activity, timer, pinged: None }
    }

    /// Waits for the next thing to do. The timer runs on while messages come and looks back when it fires, so a
    /// busy connection costs nothing here.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<IdleAction> {
        loop {
            let Some(timer) = &mut self.timer else {
                return Poll::Pending;
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let last = self.activity.last();
            let reads = self.activity.reads();
            self.pinged = self.pinged.filter(|(_, before)| *before == reads);
            let (due, action) =
                match (self.pinged, self.keep_alive.ping_interval, self.keep_alive.peer_timeout) {
                    (None, Some(interval), _) => (last + interval, IdleAction::Ping),
                    (Some((pinged, _)), _, Some(limit)) => {
                        (pinged + limit, IdleAction::Dead(now.saturating_duration_since(last)))
                    }
                    // Without a limit for the answer the ping only keeps the line busy: repeat it.
                    (Some((pinged, _)), Some(interval), None) => {
                        (pinged + interval, IdleAction::Ping)
                    }
                    (_, None, Some(limit)) => {
                        (last + limit, IdleAction::Dead(now.saturating_duration_since(last)))
                    }
                    (_, None, None) => return Poll::Pending,
                };
            // Back after an interval at the latest: an answer that came meanwhile calls for the next ping.
            let soon = self.keep_alive.ping_interval.map_or(due, |interval| now + interval);
            if now < due {
                timer.as_mut().reset(due.min(soon));
                continue;
            }
            if matches!(action, IdleAction::Ping) {
                self.pinged = Some((now, reads));
                let limit = self.keep_alive.peer_timeout.map_or(soon, |limit| now + limit);
                timer.as_mut().reset(soon.min(limit));
            }
            return Poll::Ready(action);
        }
    }
}
