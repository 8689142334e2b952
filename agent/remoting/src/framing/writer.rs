//! The outgoing half: commands → messages of one or several chunks.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{HEADER_BYTES, MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES, MORE};

/// How commands are cut and gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkWriterOptions {
    chunk_bytes: usize,
    message_bytes: usize,
    one_chunk_per_message: bool,
}

impl Default for ChunkWriterOptions {
    /// Two chunks of 32,766 bytes fill a message of 65,536 bytes exactly; small commands share a message.
    fn default() -> Self {
        Self::batched(MAX_MESSAGE_BYTES / 2 - HEADER_BYTES, MAX_MESSAGE_BYTES)
    }
}

impl ChunkWriterOptions {
    /// What the Java agent sends: chunks of up to 8,192 bytes, each in a message of its own.
    #[must_use]
    pub fn compatible() -> Self {
        Self::single(8192)
    }

    /// Chunks of up to `chunk_bytes` payload, each in a message of its own. The length is put between 1 and
    /// [`MAX_CHUNK_BYTES`].
    #[must_use]
    pub fn single(chunk_bytes: usize) -> Self {
        let chunk_bytes = chunk_bytes.clamp(1, MAX_CHUNK_BYTES);
        Self { chunk_bytes, message_bytes: chunk_bytes + HEADER_BYTES, one_chunk_per_message: true }
    }

    /// Chunks of up to `chunk_bytes` payload, as many in a message as fit into `message_bytes`. The message
    /// length is put between one chunk and [`MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn batched(chunk_bytes: usize, message_bytes: usize) -> Self {
        let chunk_bytes = chunk_bytes.clamp(1, MAX_CHUNK_BYTES);
        let message_bytes = message_bytes.clamp(chunk_bytes + HEADER_BYTES, MAX_MESSAGE_BYTES);
        Self { chunk_bytes, message_bytes, one_chunk_per_message: false }
    }
}

/// Cuts commands into chunks and gathers the chunks into messages.
///
/// The writer holds what was pushed and not yet taken, so a caller that is cancelled between two messages
/// of a command goes on where it stopped and never leaves half a command on the wire.
#[derive(Default)]
pub struct ChunkWriter {
    options: ChunkWriterOptions,
    pending: VecDeque<Bytes>,
    message: BytesMut,
}

impl fmt::Debug for ChunkWriter {
    /// Without the bytes: commands may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkWriter")
            .field("options", &self.options)
            .field("pending_commands", &self.pending.len())
            .field("message_bytes", &self.message.len())
            .finish()
    }
}

impl ChunkWriter {
    /// A writer with these sizes.
    #[must_use]
    pub fn new(options: ChunkWriterOptions) -> Self {
        Self { options, pending: VecDeque::new(), message: BytesMut::new() }
    }

    /// Adds a command. An empty one is dropped: readers ignore it.
    pub fn push(&mut self, command: Bytes) {
        if !command.is_empty() {
            self.pending.push_back(command);
        }
    }

    /// Whether everything pushed was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.message.is_empty()
    }

    /// Whether [`ChunkWriter::full_message`] would yield one.
    #[must_use]
    pub fn has_full_message(&mut self) -> bool {
        self.fill()
    }

    /// The next message, if there is enough for a full one.
    pub fn full_message(&mut self) -> Option<Bytes> {
        self.fill().then(|| self.take_message())
    }

    /// The next message, full or not; `None` when everything was taken.
    pub fn next_message(&mut self) -> Option<Bytes> {
        let full = self.fill();
        (full || !self.message.is_empty()).then(|| self.take_message())
    }

    fn take_message(&mut self) -> Bytes {
        self.message.split().freeze()
    }

    /// Moves chunks into the current message; true when no further chunk may go in.
    fn fill(&mut self) -> bool {
        while let Some(command) = self.pending.front_mut() {
            let length = command.remaining().min(self.options.chunk_bytes);
            let room = self.options.message_bytes - self.message.len();
            // A chunk is not shortened to use up a message: that would cut small commands in two.
            if room < HEADER_BYTES + length
                || (self.options.one_chunk_per_message && !self.message.is_empty())
            {
                return true;
            }
            let more = command.remaining() > length;
            let flag = if more { MORE } else { 0 };
            // A chunk is at most 0x7FFF bytes long: the options see to that.
            let header = u16::try_from(length).unwrap_or(!MORE) | flag;
            self.message.reserve(if more { room } else { HEADER_BYTES + length });
            self.message.put_u16(header);
            self.message.put_slice(&command[..length]);
            command.advance(length);
            if !more {
                self.pending.pop_front();
            }
        }
        let full = if self.options.one_chunk_per_message { 1 } else { self.options.message_bytes };
        self.message.len() >= full
    }
}
