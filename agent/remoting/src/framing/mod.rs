//! Chunk framing: commands cut into chunks with a two-byte header, and joined again.
//!
//! Both directions are one byte stream of chunks; the limits of the messages that carry it mean nothing.
//! A chunk header is a big-endian `u16`: bit 15 says that more chunks of the same command follow, bits 14..0
//! are the length of the payload that follows (`hudson.remoting.ChunkHeader`).

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{ChunkReader, Commands};
pub use writer::{ChunkWriter, ChunkWriterOptions};

/// Length of a chunk header in bytes.
pub const HEADER_BYTES: usize = 2;

/// The longest payload a chunk header can name, in bytes.
pub const MAX_CHUNK_BYTES: usize = 0x7FFF;

/// The longest binary WebSocket message a controller accepts, in bytes. Jetty closes the connection with code
/// 1009 above it (`Binary message too large: … > 65,536`).
pub const MAX_MESSAGE_BYTES: usize = 65_536;

/// Default bound for one incoming command, in bytes.
///
/// Everything large travels in pieces (pipes: at most 8 KiB; class and resource files: up to a few MiB), so
/// only the arguments of a single call count: `writeFile` with a big text, an environment, a list of files.
/// 64 MiB is far above those and still below the memory of a small container, and memory is only taken as
/// the bytes come in.
pub const MAX_COMMAND_BYTES: usize = 64 << 20;

/// How many chunks without payload one command may have while it claims that more follow. An honest peer
/// sends none (an empty chunk only ever ends a command); without a bound, a peer could keep the reader busy for
/// ever with headers alone.
pub const MAX_EMPTY_CHUNKS: usize = 16;

/// Bit 15 of a chunk header.
const MORE: u16 = 0x8000;

/// A peer sent bytes that are not acceptable chunks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// One command is longer than the reader allows.
    #[error(
        "the controller sent a command of more than {limit} bytes, which is more than this agent accepts; \
         pass large data through files or stash instead of step arguments"
    )]
    CommandTooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// A command has too many chunks without payload.
    #[error(
        "the controller sent a command with more than {limit} empty chunks; this is not a Jenkins remoting stream"
    )]
    EndlessCommand {
        /// The bound, in chunks.
        limit: usize,
    },
}
