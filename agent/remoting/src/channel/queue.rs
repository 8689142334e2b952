//! The commands that wait for the transport, in the order in which they go out.
//!
//! Who can wait reserves room first, so that streams take the transport's pace. Who cannot (the reader
//! task, destructors) appends at once; the reader then stops reading while too much of that waits, which
//! bounds what a peer that sends and does not read can make this side hold.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::{Closed, Queued as Waiting, lock};

/// How many bytes of commands may wait for the transport before those who can wait do.
const ROOM_BYTES: u32 = 2 << 20;

/// How many bytes of commands may be appended without room before the reader stops reading.
const MAX_POSTED_BYTES: usize = 4 << 20;

/// What a queued command takes beside its bytes. It bounds the number of tiny commands.
const COMMAND_BYTES: usize = 64;

pub(crate) struct SendQueue {
    state: Mutex<State>,
    filled: Notify,
    room: Semaphore,
    drained: Notify,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Queued>,
    /// The bytes of all of them.
    bytes: usize,
    posted_bytes: usize,
    finished: bool,
}

struct Queued {
    command: Bytes,
    /// What is given back to `room` once the command is taken; 0 for posted commands.
    reserved: usize,
}

/// Room for one command. Dropped unused, it is given back.
pub(crate) struct Reserved<'q>(SemaphorePermit<'q>);

impl State {
    fn append(&mut self, queued: Queued) {
        self.bytes += queued.command.len();
        self.commands.push_back(queued);
    }
}

impl SendQueue {
    /// What waits for the transport.
    pub(crate) fn waiting(&self) -> Waiting {
        let state = lock(&self.state);
        Waiting { commands: state.commands.len(), bytes: state.bytes }
    }

    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            room: Semaphore::new(ROOM_BYTES as usize),
            drained: Notify::new(),
        }
    }

    /// Waits for room for a command of about so many bytes, first come, first served.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reserved<'_>, Closed> {
        // A command larger than all room waits until the queue is empty.
        let wanted = u32::try_from(bytes + COMMAND_BYTES).unwrap_or(ROOM_BYTES).min(ROOM_BYTES);
        self.room.acquire_many(wanted).await.map(Reserved).map_err(|_| Closed)
    }

    /// Appends a command that has room.
    pub(crate) fn push(&self, room: Reserved<'_>, command: Bytes) -> Result<(), Closed> {
        let mut state = lock(&self.state);
        if state.finished {
            return Err(Closed);
        }
        let reserved = room.0.num_permits();
        room.0.forget();
        state.append(Queued { command, reserved });
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Appends a command at once.
    pub(crate) fn post(&self, command: Bytes) -> Result<(), Closed> {
        let mut state = lock(&self.state);
        if state.finished {
            return Err(Closed);
        }
        state.posted_bytes += command.len() + COMMAND_BYTES;
        state.append(Queued { command, reserved: 0 });
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Appends the last command, if there is one. Nothing can be appended after it.
    pub(crate) fn finish(&self, last: Option<Bytes>) {
        let mut state = lock(&self.state);
        if !state.finished {
            state.finished = true;
            if let Some(command) = last {
                state.append(Queued { command, reserved: 0 });
            }
        }
        drop(state);
        self.room.close();
        self.filled.notify_one();
        self.drained.notify_one();
    }

    /// Finishes, and forgets what waits.
    pub(crate) fn abandon(&self) {
        self.finish(None);
        let mut state = lock(&self.state);
        state.bytes = 0;
        let forgotten = std::mem::take(&mut state.commands);
        drop(state);
        drop(forgotten);
    }

    /// The next command; `None` once the queue is finished and empty. For one task only.
    pub(crate) async fn next(&self) -> Option<Bytes> {
        loop {
            if let Some(command) = self.try_next() {
                return Some(command);
            }
            {
                let state = lock(&self.state);
                if state.finished && state.commands.is_empty() {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// The next command if there is one already.
    pub(crate) fn try_next(&self) -> Option<Bytes> {
        let mut state = lock(&self.state);
        let Queued { command, reserved } = state.commands.pop_front()?;
        state.bytes -= command.len();
        if reserved == 0 {
            let before = state.posted_bytes;
            state.posted_bytes = before.saturating_sub(command.len() + COMMAND_BYTES);
            if before > MAX_POSTED_BYTES && state.posted_bytes <= MAX_POSTED_BYTES {
                self.drained.notify_one();
            }
        }
        drop(state);
        self.room.add_permits(reserved);
        Some(command)
    }

    /// Waits until not too much is posted. For one task only.
    pub(crate) async fn drained(&self) {
        loop {
            {
                let state = lock(&self.state);
                if state.finished || state.posted_bytes <= MAX_POSTED_BYTES {
                    return;
                }
            }
            self.drained.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn command(length: usize) -> Bytes {
        Bytes::from(vec![7; length])
    }

    #[test]
    fn those_who_wait_keep_their_order_and_posts_pass_no_one() {
        let queue = SendQueue::new();
        let first = queue.reserve(1).now_or_never().unwrap().unwrap();
        queue.push(first, Bytes::from_static(b"first")).unwrap();
        queue.post(Bytes::from_static(b"second")).unwrap();
        let third = queue.reserve(1).now_or_never().unwrap().unwrap();
        queue.push(third, Bytes::from_static(b"third")).unwrap();
        queue.finish(Some(Bytes::from_static(b"last")));
        assert_eq!(queue.post(Bytes::new()), Err(Closed));
        assert_eq!(queue.waiting(), Waiting { commands: 4, bytes: 20 });
        let all: Vec<_> = std::iter::from_fn(|| queue.next().now_or_never().unwrap()).collect();
        assert_eq!(all, ["first", "second", "third", "last"]);
        assert_eq!(queue.waiting(), Waiting::default());
    }

    #[test]
    fn room_is_bounded_and_given_back() {
        let queue = SendQueue::new();
        let mut pushed = 0;
        while let Some(room) = queue.reserve(60_000).now_or_never() {
            queue.push(room.unwrap(), command(60_000)).unwrap();
            pushed += 1;
        }
        assert_eq!(pushed, ROOM_BYTES as usize / (60_000 + COMMAND_BYTES));
        assert!(queue.try_next().is_some());
        drop(queue.reserve(60_000).now_or_never().unwrap().unwrap());
        // One larger than everything waits for an empty queue, then passes.
        assert!(queue.reserve(usize::MAX / 2).now_or_never().is_none());
        while queue.try_next().is_some() {}
        assert!(queue.reserve(usize::MAX / 2).now_or_never().is_some());
        queue.finish(None);
        assert!(matches!(queue.reserve(1).now_or_never(), Some(Err(Closed))));
    }

    #[test]
    fn the_reader_waits_for_what_it_posted() {
        let queue = SendQueue::new();
        while queue.drained().now_or_never().is_some() {
            queue.post(command(100_000)).unwrap();
        }
        assert!(queue.try_next().is_some());
        assert!(queue.drained().now_or_never().is_some());
        queue.post(command(1_000_000)).unwrap();
        assert!(queue.drained().now_or_never().is_none());
        queue.abandon();
        assert!(queue.drained().now_or_never().is_some());
        assert_eq!(queue.next().now_or_never(), Some(None));
    }
}
