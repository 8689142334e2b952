//! Pipes to and from a process.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// Reads what a process writes. At its end once every process holding the other side closed it.
#[derive(Debug)]
pub struct OutputReader(pipe::Receiver);

/// Writes what a process reads. Dropping it ends the input of the process.
#[derive(Debug)]
pub struct InputWriter(pipe::Sender);

/// What a pipe holds unless somebody changed it, in bytes.
const DEFAULT_CAPACITY: usize = 64 * 1024;

impl OutputReader {
    pub(super) fn new(reader: PipeReader) -> io::Result<Self> {
        pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map(Self)
    }

    /// The most bytes that can be waiting in the pipe.
    pub(crate) fn capacity(&self) -> usize {
        rustix::pipe::fcntl_getpipe_size(&self.0).unwrap_or(DEFAULT_CAPACITY)
    }

    /// Asks the kernel for a pipe that holds `bytes`, so that reader and writer wake each other less often.
    /// A kernel that does not give them (a user's share is limited) leaves the pipe as it is.
    pub fn widen(&self, bytes: usize) {
        let _ = rustix::pipe::fcntl_setpipe_size(&self.0, bytes);
    }
}

impl InputWriter {
    pub(super) fn new(writer: PipeWriter) -> io::Result<Self> {
        pipe::Sender::from_owned_fd(OwnedFd::from(writer)).map(Self)
    }

    /// As [`OutputReader::widen`].
    pub fn widen(&self, bytes: usize) {
        let _ = rustix::pipe::fcntl_setpipe_size(&self.0, bytes);
    }
}

impl AsyncRead for OutputReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for InputWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pipe_can_be_widened_from_either_end() {
        let (reader, writer) = io::pipe().unwrap();
        let (reader, writer) =
            (OutputReader::new(reader).unwrap(), InputWriter::new(writer).unwrap());
        let before = reader.capacity();
        writer.widen(2 * before);
        assert_eq!(reader.capacity(), 2 * before);
        reader.widen(4 * before);
        assert_eq!(reader.capacity(), 4 * before);
        // More than a pipe may hold: it stays as it is.
        reader.widen(usize::MAX);
        assert_eq!(reader.capacity(), 4 * before);
    }
}
