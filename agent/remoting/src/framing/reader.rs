//! The incoming half: bytes in any portions → complete commands.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::{FramingError, HEADER_BYTES, MAX_COMMAND_BYTES, MAX_EMPTY_CHUNKS, MORE};

/// Commands up to this length are copied out of the message they came in. A slice would keep the whole read
/// buffer (64 KiB and more) alive as long as the command waits in a queue.
const COPY_BELOW: usize = 1024;

/// First reservation limit for a command that comes in several chunks, in bytes.
const FIRST_RESERVATION: usize = 64 << 10;

/// Joins chunks into commands.
///
/// Memory held is at most one command (see [`ChunkReader::with_limit`]) plus the bytes last fed.
pub struct ChunkReader {
    limit: usize,
    input: Bytes,
    state: State,
    /// The earlier pieces of the current command.
    partial: BytesMut,
    empty_chunks: usize,
    failed: Option<FramingError>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Waiting for a header; `Some` holds its first byte.
    Header(Option<u8>),
    /// Inside a chunk with this many bytes to come.
    Body { remaining: usize, more: bool },
}

impl fmt::Debug for ChunkReader {
    /// Without the bytes: commands may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkReader")
            .field("limit", &self.limit)
            .field("input_bytes", &self.input.len())
            .field("partial_bytes", &self.partial.len())
            .field("state", &self.state)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self::with_limit(MAX_COMMAND_BYTES)
    }
}

impl ChunkReader {
    /// A reader that accepts commands of up to `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            input: Bytes::new(),
            state: State::Header(None),
            partial: BytesMut::new(),
            empty_chunks: 0,
            failed: None,
        }
    }

    /// Takes bytes as they came from the transport and yields the commands they complete.
    ///
    /// Commands not taken from the iterator are yielded first by the next one.
    pub fn push(&mut self, bytes: impl Into<Bytes>) -> Commands<'_> {
        self.feed(bytes.into());
        Commands { reader: self }
    }

    /// Takes bytes without reading commands; [`ChunkReader::next_command`] does that.
    pub fn feed(&mut self, bytes: Bytes) {
        if self.failed.is_some() {
            return;
        }
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + bytes.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&bytes);
            self.input = joined.freeze();
        }
    }

    /// Whether a command has begun and not ended. At the end of a connection this means data was lost.
    #[must_use]
    pub fn is_mid_command(&self) -> bool {
        !self.partial.is_empty()
            || self.empty_chunks > 0
            || !matches!(self.state, State::Header(None))
    }

    /// Memory reserved for the current command, in bytes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// The next complete command, or `None` when more bytes are needed. Empty commands are skipped
    /// (`ChunkedCommandTransport.closeWrite` sends one).
    ///
    /// # Errors
    /// A command above the limit or one that never ends. The reader stays in that error.
    pub fn next_command(&mut self) -> Result<Option<Bytes>, FramingError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.input = Bytes::new();
            self.partial = BytesMut::new();
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Bytes>, FramingError> {
        loop {
            match self.state {
                State::Header(first) => {
                    let Some(header) = self.read_header(first) else {
                        return Ok(None);
                    };
                    let more = header & MORE != 0;
                    let remaining = usize::from(header & !MORE);
                    self.check_chunk(remaining, more)?;
                    self.state = State::Body { remaining, more };
                }
                State::Body { remaining, more } => {
                    let piece = self.input.split_to(remaining.min(self.input.len()));
                    let left = remaining - piece.len();
                    let ends = left == 0 && !more;
                    if ends && self.partial.is_empty() {
                        self.start_over();
                        if piece.is_empty() {
                            continue;
                        }
                        return Ok(Some(detach_small(piece)));
                    }
                    if self.partial.is_empty() && !piece.is_empty() {
                        let expected = remaining.saturating_mul(if more { 4 } else { 1 });
                        self.partial.reserve(expected.min(FIRST_RESERVATION).min(self.limit));
                    }
                    self.partial.extend_from_slice(&piece);
                    if left > 0 {
                        self.state = State::Body { remaining: left, more };
                        return Ok(None);
                    }
                    self.state = State::Header(None);
                    if ends {
                        let command = std::mem::take(&mut self.partial).freeze();
                        self.start_over();
                        return Ok(Some(command));
                    }
                }
            }
        }
    }

    fn start_over(&mut self) {
        self.state = State::Header(None);
        self.empty_chunks = 0;
    }

    fn read_header(&mut self, first: Option<u8>) -> Option<u16> {
        if let Some(high) = first {
            if !self.input.has_remaining() {
                return None;
            }
            return Some(u16::from_be_bytes([high, self.input.get_u8()]));
        }
        if self.input.len() >= HEADER_BYTES {
            return Some(self.input.get_u16());
        }
        if self.input.has_remaining() {
            self.state = State::Header(Some(self.input.get_u8()));
        }
        None
    }

    /// Refuses a chunk by its header alone, before any of its bytes are kept.
    fn check_chunk(&mut self, length: usize, more: bool) -> Result<(), FramingError> {
        if length > self.limit.saturating_sub(self.partial.len()) {
            return Err(FramingError::CommandTooLong { limit: self.limit });
        }
        if more && length == 0 {
            self.empty_chunks += 1;
            if self.empty_chunks > MAX_EMPTY_CHUNKS {
                return Err(FramingError::EndlessCommand { limit: MAX_EMPTY_CHUNKS });
            }
        }
        Ok(())
    }
}

fn detach_small(command: Bytes) -> Bytes {
    if command.len() <= COPY_BELOW { Bytes::copy_from_slice(&command) } else { command }
}

/// The complete commands in the bytes pushed so far; see [`ChunkReader::push`].
#[derive(Debug)]
pub struct Commands<'a> {
    reader: &'a mut ChunkReader,
}

impl Iterator for Commands<'_> {
    type Item = Result<Bytes, FramingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next_command().transpose()
    }
}
