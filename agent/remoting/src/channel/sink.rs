//! Streams of this side that the peer writes to: the queue between the channel's reader task and
//! whoever reads the stream.
//!
//! The reader task queues what arrives and returns at once; whoever reads the queue acknowledges each
//! chunk when it is done with it. The peer's window bounds what can be queued, and the queue is
//! checked against it. Small chunks are joined while they wait, so that a peer that writes single
//! bytes costs no more memory than its window.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::order::IoOrder;
use super::{StreamError, lock};

/// The most that may be queued, in bytes: a window of 1 MiB, of which each UTF-16 unit takes up to three
/// bytes.
const MAX_QUEUED_BYTES: usize = 3 << 20;

/// Chunks are joined up to this size, in bytes.
const JOINED_BYTES: usize = 4 << 10;

/// How many entries may be queued. Joined chunks reach [`JOINED_BYTES`] on average over two entries, so
/// that only a peer that numbers its I/O out of order can get there.
const MAX_ENTRIES: usize = MAX_QUEUED_BYTES / JOINED_BYTES * 2 + 16;

/// What arrives on a stream.
#[derive(Debug)]
pub(crate) enum Arrival {
    Bytes(Bytes),
    Units(Vec<u16>),
    Flush,
    End(Result<(), StreamError>),
}

/// What the peer's window gets back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    pub(crate) units: usize,
}

/// The queueing half, held by the export table: the reader sees its end when the export goes.
pub(crate) struct SinkQueue {
    shared: Arc<SinkShared>,
    detached: bool,
}

#[derive(Default)]
pub(crate) struct SinkShared {
    state: Mutex<SinkState>,
    changed: Notify,
}

#[derive(Default)]
struct SinkState {
    entries: VecDeque<Entry>,
    /// Bytes queued.
    queued: usize,
    /// Nothing more is taken: the stream has ended, was overrun, or its reader went away.
    sealed: bool,
    /// The first half of a character whose second half the next chunk brings.
    high_surrogate: Option<u16>,
}

/// What the reader takes from the queue at once.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The first ioId, 0 for none.
    pub(crate) io: i32,
    pub(crate) taken: Taken,
    pub(crate) data: Bytes,
    pub(crate) end: Option<Result<(), StreamError>>,
    /// Data of several chunks, instead of `data`, until the entry is taken.
    joined: BytesMut,
}

impl SinkQueue {
    pub(crate) fn new(detached: bool) -> (Self, Arc<SinkShared>) {
        let shared = Arc::<SinkShared>::default();
        (Self { shared: Arc::clone(&shared), detached }, shared)
    }

    /// Queues what arrived as the I/O `io`, which is outstanding from then on. False when the stream
    /// takes nothing more.
    pub(crate) fn push(&self, io: i32, arrival: Arrival, order: &IoOrder) -> bool {
        let mut state = lock(&self.shared.state);
        if state.sealed {
            return false;
        }
        let entry = state.entry(io, arrival);
        let fits = state.queued + entry.data.len() <= MAX_QUEUED_BYTES
            && state.entries.len() < MAX_ENTRIES;
        if fits {
            state.sealed = entry.end.is_some();
            state.append(entry, order, self.detached);
        } else {
            // The reader gets what is whole before it gets the error.
            state.sealed = true;
            let overrun = Arrival::End(Err(StreamError::Overrun));
            let overrun = state.entry(0, overrun);
            state.entries.push_back(overrun);
        }
        drop(state);
        self.shared.changed.notify_one();
        fits
    }
}

/// The export is gone, so no more will come.
impl Drop for SinkQueue {
    fn drop(&mut self) {
        lock(&self.shared.state).sealed = true;
        self.shared.changed.notify_one();
    }
}

impl SinkState {
    fn entry(&mut self, io: i32, arrival: Arrival) -> Entry {
        let mut entry = Entry {
            io,
            taken: Taken::default(),
            data: Bytes::new(),
            end: None,
            joined: BytesMut::new(),
        };
        match arrival {
            Arrival::Bytes(data) => {
                entry.taken.bytes = data.len();
                entry.data = data;
            }
            Arrival::Units(units) => {
                entry.taken.units = units.len();
                entry.data = self.text(&units).into();
            }
            Arrival::Flush => {}
            Arrival::End(end) => {
                if self.high_surrogate.take().is_some() {
                    entry.data = Bytes::from_static("\u{FFFD}".as_bytes());
                }
                entry.end = Some(end);
            }
        }
        entry
    }

    /// UTF-8 of the units. A character may be cut in two by the border of chunks.
    fn text(&mut self, units: &[u16]) -> String {
        let (units, high) = match units {
            [rest @ .., last @ 0xD800..=0xDBFF] => (rest, Some(*last)),
            all => (all, None),
        };
        let before = if units.is_empty() && high.is_none() {
            return String::new();
        } else {
            std::mem::replace(&mut self.high_surrogate, high)
        };
        let all = before.into_iter().chain(units.iter().copied());
        char::decode_utf16(all).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    fn append(&mut self, entry: Entry, order: &IoOrder, detached: bool) {
        self.queued += entry.data.len();
        match self.entries.back_mut().filter(|tail| tail.takes(&entry)) {
            Some(tail) => {
                if entry.io != 0 {
                    order.joined(tail.io, entry.io);
                }
                tail.join(entry);
            }
            None => {
                order.arrived(entry.io, detached);
                self.entries.push_back(entry);
            }
        }
    }
}

impl Entry {
    fn len(&self) -> usize {
        self.data.len() + self.joined.len()
    }

    fn takes(&self, next: &Self) -> bool {
        let small = next.data.is_empty() || self.len() + next.data.len() <= JOINED_BYTES;
        // Who waits for an id waits for all lower ones, so the lowest stands for all.
        let ascending = next.io == 0 || (self.io != 0 && self.io < next.io);
        small && ascending && next.end.is_none() && self.end.is_none()
    }

    fn join(&mut self, next: Self) {
        self.taken.bytes += next.taken.bytes;
        self.taken.units += next.taken.units;
        if next.data.is_empty() {
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(JOINED_BYTES);
            self.joined.extend_from_slice(&std::mem::take(&mut self.data));
        }
        self.joined.extend_from_slice(&next.data);
    }
}

impl SinkShared {
    /// The next entry; `None` when no more will come. For one reader only.
    pub(crate) async fn next(&self) -> Option<Entry> {
        loop {
            {
                let mut state = lock(&self.state);
                if let Some(mut entry) = state.entries.pop_front() {
                    state.queued = state.queued.saturating_sub(entry.len());
                    if !entry.joined.is_empty() {
                        entry.data = std::mem::take(&mut entry.joined).freeze();
                    }
                    return Some(entry);
                }
                if state.sealed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The reader goes away: takes nothing more, and gives what was queued.
    pub(crate) fn shut(&self) -> VecDeque<Entry> {
        let mut state = lock(&self.state);
        state.sealed = true;
        state.queued = 0;
        std::mem::take(&mut state.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn taken(shared: &SinkShared) -> Option<Entry> {
        shared.next().now_or_never().flatten()
    }

    #[test]
    fn single_bytes_are_joined_and_complete_together() {
        let order = IoOrder::default();
        let (queue, shared) = SinkQueue::new(false);
        for io in 1..=5000 {
            assert!(queue.push(io, Arrival::Bytes(Bytes::from_static(b"x")), &order));
        }
        assert!(queue.push(5001, Arrival::Flush, &order));
        assert_eq!(order.len(), 2);
        let first = taken(&shared).unwrap();
        assert_eq!((first.io, first.data.len(), first.taken.bytes), (1, 4096, 4096));
        assert!(!order.is_complete(1) && !order.is_complete(4096));
        order.complete(first.io);
        assert!(order.is_complete(4096) && !order.is_complete(5001));
        let second = taken(&shared).unwrap();
        assert_eq!((second.io, second.data.len()), (4097, 904));
        order.complete(second.io);
        assert!(order.is_complete(5001));
    }

    #[test]
    fn large_chunks_are_not_copied() {
        let order = IoOrder::default();
        let (queue, shared) = SinkQueue::new(false);
        let chunk = Bytes::from(vec![1; 8192]);
        for io in 1..=2 {
            assert!(queue.push(io, Arrival::Bytes(chunk.clone()), &order));
        }
        assert_eq!(taken(&shared).unwrap().data.as_ptr(), chunk.as_ptr());
        assert_eq!(taken(&shared).unwrap().data.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn a_character_cut_in_two_is_whole_again() {
        let order = IoOrder::default();
        let (queue, shared) = SinkQueue::new(false);
        let units: Vec<u16> = "a😀b".encode_utf16().collect();
        for (io, part) in [(1, &units[..2]), (2, &units[2..]), (3, &units[1..2])] {
            assert!(queue.push(io, Arrival::Units(part.to_vec()), &order));
        }
        assert!(queue.push(4, Arrival::End(Ok(())), &order));
        let entry = taken(&shared).unwrap();
        assert_eq!(entry.data, "a😀b");
        assert_eq!(entry.taken, Taken { bytes: 0, units: 5 });
        let end = taken(&shared).unwrap();
        assert_eq!((&end.data[..], end.end), ("\u{FFFD}".as_bytes(), Some(Ok(()))));
        assert!(taken(&shared).is_none());
    }

    #[test]
    fn an_overrun_ends_the_stream_after_what_is_whole() {
        let order = IoOrder::default();
        let (queue, shared) = SinkQueue::new(false);
        let chunk = Bytes::from(vec![1; 60 << 10]);
        let mut pushed = 0;
        while queue.push(pushed + 1, Arrival::Bytes(chunk.clone()), &order) {
            pushed += 1;
        }
        assert!(!queue.push(9999, Arrival::Flush, &order));
        assert!((pushed as usize) * chunk.len() > MAX_QUEUED_BYTES - chunk.len());
        for _ in 0..pushed {
            assert_eq!(taken(&shared).unwrap().end, None);
        }
        assert_eq!(taken(&shared).unwrap().end, Some(Err(StreamError::Overrun)));
        assert!(taken(&shared).is_none());
    }

    #[test]
    fn ids_out_of_order_are_bounded_too() {
        let order = IoOrder::default();
        let (queue, shared) = SinkQueue::new(false);
        let mut io = i32::MAX;
        while queue.push(io, Arrival::Flush, &order) {
            io -= 1;
        }
        assert!(shared.shut().len() <= MAX_ENTRIES + 1);
    }
}
