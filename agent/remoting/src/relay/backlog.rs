//! The commands that wait for the child, bounded in bytes.
//!
//! The channel's reader task fills it and never waits. What can be refused is refused when it is full;
//! what cannot, answers to the child and acknowledgements, may go beyond that up to a second bound,
//! after which the child is given up.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

use super::RelayLimits;
use crate::channel::lock;

/// What a command takes beside its bytes. It bounds the number of tiny commands.
const COMMAND_BYTES: usize = 64;

/// What a command is, which says what happens to it when there is no room, and whether it waits until
/// the child is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request with this id.
    Request(i32),
    /// A call on an object of the child's own: whatever sets the child up may wait for it, as the
    /// controller calls the child's class loader before it answers the first call from there.
    CallBack,
    /// The cancel of a request; it must not get there before the request.
    Cancel,
    /// Data of a stream.
    Data,
    /// Anything that somebody in the child waits for.
    Answer,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

pub(crate) struct Backlog {
    limit: usize,
    hard_limit: usize,
    state: Mutex<State>,
    filled: Notify,
    overflow: Notify,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Bytes>,
    /// Requests and cancels until the child is set up.
    held_back: VecDeque<(Kind, Bytes)>,
    bytes: usize,
    open: bool,
    finished: bool,
    overflown: bool,
}

impl Backlog {
    pub(crate) fn new(limits: &RelayLimits) -> Self {
        Self {
            limit: limits.queued_bytes,
            hard_limit: limits.queued_bytes_at_most.max(limits.queued_bytes),
            state: Mutex::default(),
            filled: Notify::new(),
            overflow: Notify::new(),
        }
    }

    /// Appends a command. Of what cannot be refused, all fits, or the child is given up.
    pub(crate) fn push(&self, command: Bytes, kind: Kind) -> Result<(), Full> {
        let mut state = lock(&self.state);
        if state.finished {
            // Nobody waits for anything any more.
            return Ok(());
        }
        let size = command.len() + COMMAND_BYTES;
        let refusable = matches!(kind, Kind::Request(_) | Kind::CallBack | Kind::Data);
        let limit = if refusable { self.limit } else { self.hard_limit };
        if state.bytes > 0 && state.bytes.saturating_add(size) > limit {
            if refusable {
                return Err(Full);
            }
            state.overflown = true;
            drop(state);
            self.overflow.notify_one();
            return Ok(());
        }
        state.bytes += size;
        if !state.open && matches!(kind, Kind::Request(_) | Kind::Cancel) {
            state.held_back.push_back((kind, command));
            return Ok(());
        }
        state.commands.push_back(command);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Lets the requests pass that were held back, and all that follow.
    pub(crate) fn open(&self) {
        let mut state = lock(&self.state);
        state.open = true;
        let held_back = std::mem::take(&mut state.held_back);
        state.commands.extend(held_back.into_iter().map(|(_, command)| command));
        drop(state);
        self.filled.notify_one();
    }

    /// Takes a request back that is still held back. False when there is none.
    pub(crate) fn take_back(&self, id: i32) -> bool {
        let mut state = lock(&self.state);
        let found = state.held_back.iter().position(|(kind, _)| *kind == Kind::Request(id));
        let Some((_, command)) = found.and_then(|index| state.held_back.remove(index)) else {
            return false;
        };
        state.bytes = state.bytes.saturating_sub(command.len() + COMMAND_BYTES);
        true
    }

    /// Forgets what waits, appends a last command, and takes nothing more.
    pub(crate) fn finish(&self, last: Option<Bytes>) {
        let mut state = lock(&self.state);
        if !state.finished {
            *state = State { finished: true, ..State::default() };
            state.commands.extend(last);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Forgets everything, for the next child.
    pub(crate) fn reset(&self) {
        *lock(&self.state) = State::default();
    }

    /// The next command; `None` once it is finished and empty. For one task only.
    pub(crate) async fn next(&self) -> Option<Bytes> {
        loop {
            if let Some(command) = self.try_next() {
                return Some(command);
            }
            if lock(&self.state).finished {
                return None;
            }
            self.filled.notified().await;
        }
    }

    /// The next command if there is one already.
    pub(crate) fn try_next(&self) -> Option<Bytes> {
        let mut state = lock(&self.state);
        let command = state.commands.pop_front()?;
        state.bytes = state.bytes.saturating_sub(command.len() + COMMAND_BYTES);
        Some(command)
    }

    /// Waits until something was lost that cannot be refused. For one task only.
    pub(crate) async fn overflown(&self) {
        while !lock(&self.state).overflown {
            self.overflow.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn backlog(queued_bytes: usize, queued_bytes_at_most: usize) -> Backlog {
        Backlog::new(&RelayLimits { queued_bytes, queued_bytes_at_most, ..RelayLimits::default() })
    }

    fn next(backlog: &Backlog) -> Option<Option<Bytes>> {
        backlog.next().now_or_never()
    }

    #[test]
    fn requests_wait_until_it_is_open_and_keep_their_order() {
        let backlog = backlog(1000, 1000);
        backlog.push(Bytes::from_static(b"one"), Kind::Request(1)).unwrap();
        backlog.push(Bytes::from_static(b"two"), Kind::Request(2)).unwrap();
        backlog.push(Bytes::from_static(b"cancel one"), Kind::Cancel).unwrap();
        backlog.push(Bytes::from_static(b"answer"), Kind::Answer).unwrap();
        assert_eq!(next(&backlog), Some(Some(Bytes::from_static(b"answer"))));
        assert_eq!(next(&backlog), None);
        assert!(backlog.take_back(2) && !backlog.take_back(2));
        backlog.open();
        backlog.push(Bytes::from_static(b"three"), Kind::Request(3)).unwrap();
        for expected in ["one", "cancel one", "three"] {
            assert_eq!(next(&backlog).unwrap().unwrap(), expected);
        }
        assert!(!backlog.take_back(3));
        assert_eq!(lock(&backlog.state).bytes, 0);
    }

    #[test]
    fn what_can_be_refused_is_and_what_cannot_is_bounded_too() {
        let backlog = backlog(1000, 2000);
        backlog.open();
        let command = |bytes: usize| Bytes::from(vec![0; bytes - COMMAND_BYTES]);
        backlog.push(command(5000), Kind::Data).expect("one always fits");
        assert_eq!(backlog.push(command(100), Kind::Data), Err(Full));
        assert!(next(&backlog).is_some());
        backlog.push(command(1000), Kind::Data).unwrap();
        assert_eq!(backlog.push(command(100), Kind::Request(1)), Err(Full));
        backlog.push(command(1000), Kind::Answer).unwrap();
        assert!(backlog.overflown().now_or_never().is_none());
        backlog.push(command(100), Kind::Answer).unwrap();
        assert!(backlog.overflown().now_or_never().is_some());
        backlog.finish(Some(Bytes::from_static(b"close")));
        backlog.push(command(100), Kind::Answer).unwrap();
        assert_eq!(next(&backlog), Some(Some(Bytes::from_static(b"close"))));
        assert_eq!(next(&backlog), Some(None));
        backlog.reset();
        assert_eq!(next(&backlog), None);
    }
}
