//! Streams of the peer that this side writes to, with the peer's window respected
//! (`ProxyOutputStream`, `ProxyWriter`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use java_object_stream::Datum;
use thiserror::Error;

use super::window::Window;
use super::{COMMAND_ROOM, Channel, Closed, IoScope, Throwable};
use crate::command::Outgoing;

/// The most that one chunk carries: with its command it fits the 64 KiB that a controller takes in one
/// WebSocket message.
pub const MAX_CHUNK_BYTES: usize = 60 << 10;

/// A stream could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The channel ended, or this stream was closed before.
    #[error("the stream is closed")]
    Closed,
    /// The peer takes no more (`NotifyDeadWriter`).
    #[error("the other side closed the pipe")]
    PipeClosed,
    /// The peer broke the stream off with an error.
    #[error("the other side broke the stream off: {0}")]
    BrokenOff(String),
    /// The peer sent more than the window allows.
    #[error("the other side sent more than the window of the stream allows")]
    Overrun,
}

/// A byte stream of the peer. It is ended with [`RemoteOutput::close`]; dropped without, it is
/// released as a JVM's finalizer would.
pub struct RemoteOutput {
    stream: Stream,
}

/// A character stream of the peer.
pub struct RemoteWriter {
    stream: Stream,
}

/// The blocking side of a [`RemoteOutput`], for use outside of the runtime's own threads: on them it
/// panics. What is buffered is lost when it is dropped without being flushed or closed.
pub struct BlockingOutput {
    output: RemoteOutput,
    buffer: BytesMut,
}

struct Stream {
    channel: Channel,
    oid: i32,
    request: i32,
    scope: IoScope,
    window: Arc<Window>,
    open: AtomicBool,
    characters: bool,
}

impl Channel {
    /// The peer's byte stream `oid`. What is written counts towards `scope`; `request` is the id of
    /// the request on whose behalf it is written, 0 for none.
    #[must_use]
    pub fn output(&self, oid: i32, scope: IoScope, request: i32) -> RemoteOutput {
        RemoteOutput { stream: self.stream(oid, scope, request, false) }
    }

    /// The peer's character stream `oid`.
    #[must_use]
    pub fn writer(&self, oid: i32, scope: IoScope) -> RemoteWriter {
        RemoteWriter { stream: self.stream(oid, scope, 0, true) }
    }

    fn stream(&self, oid: i32, scope: IoScope, request: i32, characters: bool) -> Stream {
        let window = self.inner.windows.of(oid);
        let open = AtomicBool::new(true);
        Stream { channel: self.clone(), oid, request, scope, window, open, characters }
    }
}

impl Stream {
    /// Sends a command of this stream that carries so many bytes, with the next ioId.
    async fn send(
        &self,
        bytes: usize,
        command: impl FnOnce(i32) -> Outgoing,
    ) -> Result<(), StreamError> {
        let inner = &self.channel.inner;
        let room = inner.queue.reserve(COMMAND_ROOM + bytes).await?;
        Ok(inner.send_io(Some(room), Some(&self.scope), command)?)
    }

    /// Sends the last command of this stream. It counts as open until that is queued, so that a
    /// dropped future leaves it to be released.
    async fn finish(&self, command: impl FnOnce(i32) -> Outgoing) -> Result<(), StreamError> {
        self.check_open()?;
        let inner = &self.channel.inner;
        let room = inner.queue.reserve(COMMAND_ROOM).await?;
        if !self.shut() {
            return Err(StreamError::Closed);
        }
        Ok(inner.send_io(Some(room), Some(&self.scope), command)?)
    }

    fn check_open(&self) -> Result<(), StreamError> {
        if self.open.load(Ordering::Acquire) { Ok(()) } else { Err(StreamError::Closed) }
    }

    /// Whether it was open until now.
    fn shut(&self) -> bool {
        self.open.swap(false, Ordering::AcqRel)
    }

    /// Gives the stream back. No answer has to wait for that, and a peer that handles it out of line
    /// would take it for the last of the data before it: it is kept out of the scope.
    fn release(&self) {
        if self.shut() {
            let inner = &self.channel.inner;
            let _ = inner.send_io(None, None, |io| self.released(io));
        }
    }

    fn released(&self, io: i32) -> Outgoing {
        if self.characters {
            Outgoing::WriterUnexport { io, oid: self.oid }
        } else {
            Outgoing::StreamUnexport { io, oid: self.oid }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.release();
    }
}

impl From<Closed> for StreamError {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl RemoteOutput {
    /// Writes all of `data`, in chunks, waiting for the peer to take them. A dropped future may have
    /// written a part of it.
    ///
    /// # Errors
    /// When the peer takes no more, or the channel ends.
    pub async fn write(&self, mut data: Bytes) -> Result<(), StreamError> {
        let stream = &self.stream;
        stream.check_open()?;
        while !data.is_empty() {
            let room = stream.window.take(data.len().min(MAX_CHUNK_BYTES)).await?;
            let chunk = data.split_to(room.size);
            let (oid, request) = (stream.oid, stream.request);
            stream.send(room.size, |io| Outgoing::Chunk { io, oid, request, data: chunk }).await?;
            room.used();
        }
        Ok(())
    }

    /// Waits until the peer has acknowledged all that was written to the stream.
    ///
    /// # Errors
    /// When the peer takes no more, or the channel ends, first.
    pub async fn acknowledged(&self) -> Result<(), StreamError> {
        self.stream.window.whole().await
    }

    /// Asks the peer to flush the stream.
    ///
    /// # Errors
    /// When the channel ends.
    pub async fn flush(&self) -> Result<(), StreamError> {
        let stream = &self.stream;
        stream.check_open()?;
        let (oid, request) = (stream.oid, stream.request);
        stream.send(0, |io| Outgoing::Flush { io, oid, request }).await
    }

    /// Closes the stream at the peer, with an error if it broke off.
    ///
    /// # Errors
    /// When the channel ends, or the stream was closed before.
    pub async fn close(&self, error: Option<Throwable>) -> Result<(), StreamError> {
        let (oid, request) = (self.stream.oid, self.stream.request);
        let error = error.map_or(Datum::Null, Throwable::into_datum);
        self.stream.finish(|io| Outgoing::Eof { io, oid, request, error }).await
    }

    /// Gives the stream back without closing it at the peer.
    pub async fn release(&self) {
        // Fails when it is closed already, or the channel is.
        self.stream.release();
    }

    /// The blocking side, buffered. To be used on threads that may block only.
    #[must_use]
    pub fn into_blocking(self) -> BlockingOutput {
        BlockingOutput { output: self, buffer: BytesMut::new() }
    }
}

impl RemoteWriter {
    /// Writes all of `text`.
    ///
    /// # Errors
    /// When the peer takes no more, or the channel ends.
    pub async fn write(&self, text: &str) -> Result<(), StreamError> {
        self.stream.check_open()?;
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut rest = units.as_slice();
        while !rest.is_empty() {
            // Windows of character streams count UTF-16 units, of which each takes two bytes.
            let room = self.stream.window.take(rest.len().min(MAX_CHUNK_BYTES / 2)).await?;
            let (chunk, later) = rest.split_at(room.size);
            let (oid, units) = (self.stream.oid, chunk.to_vec());
            self.stream.send(room.size * 2, |io| Outgoing::WriterChunk { io, oid, units }).await?;
            room.used();
            rest = later;
        }
        Ok(())
    }

    /// Asks the peer to flush the stream.
    ///
    /// # Errors
    /// When the channel ends.
    pub async fn flush(&self) -> Result<(), StreamError> {
        self.stream.check_open()?;
        let oid = self.stream.oid;
        self.stream.send(0, |io| Outgoing::WriterFlush { io, oid }).await
    }

    /// Closes the stream at the peer.
    ///
    /// # Errors
    /// When the channel ends, or the stream was closed before.
    pub async fn close(&self) -> Result<(), StreamError> {
        let oid = self.stream.oid;
        self.stream.finish(|io| Outgoing::WriterEof { io, oid }).await
    }
}

impl BlockingOutput {
    /// Sends what is buffered and closes the stream at the peer, with an error if it broke off.
    ///
    /// # Errors
    /// When the peer takes no more, or the channel ends.
    pub fn close(mut self, error: Option<Throwable>) -> Result<(), StreamError> {
        let runtime = self.output.stream.channel.inner.runtime.clone();
        let rest = self.buffer.split().freeze();
        runtime.block_on(async {
            let written = self.output.write(rest).await;
            self.output.close(error).await?;
            written
        })
    }

    fn send(&mut self, all: bool) -> io::Result<()> {
        let runtime = self.output.stream.channel.inner.runtime.clone();
        while self.buffer.len() >= MAX_CHUNK_BYTES || (all && !self.buffer.is_empty()) {
            let chunk = self.buffer.split_to(self.buffer.len().min(MAX_CHUNK_BYTES)).freeze();
            runtime.block_on(self.output.write(chunk)).map_err(into_io)?;
        }
        Ok(())
    }
}

impl io::Write for BlockingOutput {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send(false)?;
        self.buffer.reserve(MAX_CHUNK_BYTES.saturating_sub(self.buffer.len()));
        let room = MAX_CHUNK_BYTES.saturating_sub(self.buffer.len());
        let taken = data.get(..room).unwrap_or(data);
        self.buffer.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send(true)
    }
}

pub(crate) fn into_io(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
