//! The connection as a state machine, for everyone who wants to know how it is doing.
//!
//! ```text
//!            Probe            Ready           Opened
//! Starting ────────▶ Probing ───────▶ Connecting ────────▶ Connected
//!                     ▲  │ Failed        ▲  │ Failed          │ Lost
//!                     │  ▼        Ready  │  ▼                 ▼
//!                     └──────────────── Pausing ◀─────────────┘
//!                          Probe
//! any ── Stopped ──▶ Ended
//! ```
//!
//! The engine of this module's parent drives it; nothing else may. Reading it costs an atomic load or
//! a short lock, and watching it costs nothing while nothing happens.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// What the connection is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was tried yet.
    #[default]
    Starting,
    /// The controller is asked whether it is ready and, over TCP, where its agent port is.
    Probing,
    /// The controller is ready; the connection is opened and negotiated.
    Connecting,
    /// The channel is open: requests are served.
    Connected,
    /// An attempt failed or the connection was lost, and the next attempt is waited for.
    Pausing,
    /// There is no connection and there will be none: the agent ends.
    Ended,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The controller is asked whether it is ready.
    Probe,
    /// It is ready, so that the connection is opened.
    Ready,
    /// The question or the attempt failed.
    Failed,
    /// The channel is open.
    Opened,
    /// The channel ended.
    Lost(Reason),
    /// The agent gives up or was told to stop.
    Stopped,
}

/// Why a channel ended, and so why the agent connects again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The controller said goodbye: it restarts, or somebody disconnected the node.
    ClosedByController,
    /// This side closed it, as after a request that broke the protocol.
    ClosedHere,
    /// Nothing comes any more although the connection is not closed: a load balancer or a node went away.
    HalfOpen,
    /// The connection broke.
    Broken,
}

impl State {
    /// All of them, in the order of a connection's life.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Probing,
        Self::Connecting,
        Self::Connected,
        Self::Pausing,
        Self::Ended,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Probing => "probing",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Pausing => "pausing",
            Self::Ended => "ended",
        }
    }

    /// The state after an event; `None` where it cannot happen.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        Some(match (self, event) {
            (Self::Ended, _) => return None,
            (_, Event::Stopped) => Self::Ended,
            (Self::Starting | Self::Probing | Self::Pausing, Event::Probe) => Self::Probing,
            // Without a readiness check (`-direct`, or another try of an upgrade) the attempt comes at once.
            (Self::Starting | Self::Probing | Self::Pausing, Event::Ready) => Self::Connecting,
            (Self::Probing | Self::Connecting, Event::Failed) => Self::Pausing,
            (Self::Connecting, Event::Opened) => Self::Connected,
            (Self::Connected, Event::Lost(_)) => Self::Pausing,
            _ => return None,
        })
    }
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ClosedByController, Self::ClosedHere, Self::HalfOpen, Self::Broken];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClosedByController => "closed_by_controller",
            Self::ClosedHere => "closed_here",
            Self::HalfOpen => "half_open",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The state of the agent's connection and how often it was lost.
#[derive(Debug, Default)]
pub struct Monitor {
    state: watch::Sender<State>,
    connections: AtomicU64,
    failures: AtomicU64,
    lost: [AtomicU64; Reason::ALL.len()],
}

impl Monitor {
    /// The state of now.
    #[must_use]
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// A receiver that is woken by each change of the state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// How many channels were opened since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many questions and attempts failed since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many channels ended, by reason. Each is followed by a reconnect, unless the agent ends.
    #[must_use]
    pub fn lost(&self) -> [(Reason, u64); Reason::ALL.len()] {
        Reason::ALL.map(|reason| (reason, self.lost[reason as usize].load(Ordering::Relaxed)))
    }

    /// Takes note of an event. One that cannot happen changes nothing.
    pub(crate) fn happened(&self, event: Event) {
        let Some(next) = self.state().after(event) else {
            tracing::debug!(state = %self.state(), ?event, "an event that the connection's state does not know");
            return;
        };
        match event {
            Event::Opened => self.connections.fetch_add(1, Ordering::Relaxed),
            Event::Failed => self.failures.fetch_add(1, Ordering::Relaxed),
            Event::Lost(reason) => self.lost[reason as usize].fetch_add(1, Ordering::Relaxed),
            Event::Probe | Event::Ready | Event::Stopped => 0,
        };
        self.state.send_if_modified(|state| {
            let changed = *state != next;
            *state = next;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 6] = [
        Event::Probe,
        Event::Ready,
        Event::Failed,
        Event::Opened,
        Event::Lost(Reason::Broken),
        Event::Stopped,
    ];

    /// The whole table, so that a change of it is seen.
    #[test]
    fn the_table_of_transitions() {
        use State::{Connected, Connecting, Ended, Pausing, Probing};
        let table = [
            (State::Starting, [Some(Probing), Some(Connecting), None, None, None, Some(Ended)]),
            (Probing, [Some(Probing), Some(Connecting), Some(Pausing), None, None, Some(Ended)]),
            (Connecting, [None, None, Some(Pausing), Some(Connected), None, Some(Ended)]),
            (Connected, [None, None, None, None, Some(Pausing), Some(Ended)]),
            (Pausing, [Some(Probing), Some(Connecting), None, None, None, Some(Ended)]),
            (Ended, [None; 6]),
        ];
        assert_eq!(table.map(|(from, _)| from), State::ALL);
        for (from, expected) in table {
            assert_eq!(EVENTS.map(|event| from.after(event)), expected, "{from}");
        }
    }

    #[test]
    fn a_life_is_counted_and_seen() {
        let monitor = Monitor::default();
        let mut seen = monitor.subscribe();
        let life = [
            Event::Probe,
            Event::Failed,
            Event::Probe,
            Event::Ready,
            Event::Opened,
            Event::Lost(Reason::HalfOpen),
            Event::Ready,
            Event::Opened,
            // Cannot happen now.
            Event::Failed,
        ];
        for event in life {
            monitor.happened(event);
        }
        assert_eq!(monitor.state(), State::Connected);
        assert!(seen.has_changed().unwrap());
        assert_eq!(*seen.borrow_and_update(), State::Connected);
        assert_eq!((monitor.connections(), monitor.failures()), (2, 1));
        let lost = monitor.lost().map(|(reason, count)| (reason.name(), count));
        let expected =
            [("closed_by_controller", 0), ("closed_here", 0), ("half_open", 1), ("broken", 0)];
        assert_eq!(lost, expected);
        monitor.happened(Event::Stopped);
        monitor.happened(Event::Probe);
        assert_eq!(monitor.state(), State::Ended);
    }
}
