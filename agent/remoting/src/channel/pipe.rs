//! The reading end of an exported stream.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::output::into_io;
use super::sink::{SinkShared, Taken};
use super::{Channel, StreamError};
use crate::command::Outgoing;

/// The reading end of an exported stream. Dropped before the end of the stream, it makes the peer's
/// writer fail with its next write.
pub struct PipeReader {
    channel: Channel,
    oid: i32,
    shared: Arc<SinkShared>,
    /// What was handed out last and is to be acknowledged once the reader asks for more.
    handed_out: Option<(i32, Taken)>,
    /// How the stream ended, once what came before is handed out.
    end: Option<Result<(), StreamError>>,
}

/// The blocking side of a [`PipeReader`], for use outside of the runtime's own threads.
pub struct BlockingPipeReader {
    reader: PipeReader,
    chunk: Bytes,
}

impl PipeReader {
    pub(crate) fn new(channel: Channel, oid: i32, shared: Arc<SinkShared>) -> Self {
        Self { channel, oid, shared, handed_out: None, end: None }
    }

    /// The next chunk, or `None` at the end of the stream. Asking for it acknowledges the one before.
    /// A dropped future loses nothing.
    ///
    /// # Errors
    /// When the peer broke the stream off, dropped it, or the channel ended; the same again when asked
    /// again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            self.acknowledge();
            if let Some(end) = &self.end {
                return end.clone().map(|()| None);
            }
            let Some(entry) = self.shared.next().await else {
                self.end = Some(Err(StreamError::Closed));
                continue;
            };
            self.handed_out = Some((entry.io, entry.taken));
            if entry.end.is_some() {
                self.end = entry.end;
            }
            if !entry.data.is_empty() {
                return Ok(Some(entry.data));
            }
            if let Some(end) = &self.end {
                // The end counts as taken once the reader asks again or goes away: what it does at the
                // end, such as closing a file, comes first.
                return end.clone().map(|()| None);
            }
        }
    }

    /// The blocking side. To be used on threads that may block only, such as those of
    /// `tokio::task::spawn_blocking`: elsewhere it panics.
    #[must_use]
    pub fn into_blocking(self) -> BlockingPipeReader {
        BlockingPipeReader { reader: self, chunk: Bytes::new() }
    }

    fn acknowledge(&mut self) {
        if let Some((io, taken)) = self.handed_out.take() {
            self.channel.inner.order.complete(io);
            self.channel.inner.give_back(self.oid, taken);
        }
    }
}

impl Drop for PipeReader {
    /// What the peer still sends is acknowledged and dropped, and the peer is told, so that neither
    /// its window nor a request that waits for the I/O stays stuck. The export goes too: the channel
    /// treats what comes for an unknown oid in the same way.
    fn drop(&mut self) {
        self.acknowledge();
        let inner = &self.channel.inner;
        drop(inner.exports.remove(self.oid));
        let mut told = self.end.is_some();
        for entry in self.shared.shut() {
            if !told && entry.taken != Taken::default() {
                told = true;
                inner.notify_dead(self.oid, entry.taken);
            }
            inner.order.complete(entry.io);
            inner.give_back(self.oid, entry.taken);
        }
    }
}

impl super::Inner {
    /// Gives the peer's window back what was taken.
    pub(crate) fn give_back(&self, oid: i32, taken: Taken) {
        let size = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        if taken.bytes > 0 {
            self.post(Outgoing::Ack { oid, size: size(taken.bytes) });
        }
        if taken.units > 0 {
            self.post(Outgoing::WriterAck { oid, size: size(taken.units) });
        }
    }

    /// Tells the peer that nobody reads its stream any more.
    pub(crate) fn notify_dead(&self, oid: i32, taken: Taken) {
        self.post(if taken.units > 0 {
            Outgoing::WriterNotifyDead { oid }
        } else {
            Outgoing::NotifyDeadWriter { oid }
        });
    }
}

impl io::Read for BlockingPipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.chunk.is_empty() {
            let runtime = self.reader.channel.inner.runtime.clone();
            match runtime.block_on(self.reader.next()).map_err(into_io)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let taken = self.chunk.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..taken) {
            self.chunk.copy_to_slice(buffer);
        }
        Ok(taken)
    }
}
