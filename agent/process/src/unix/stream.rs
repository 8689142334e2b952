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
}

impl InputWriter {
    pub(super) fn new(writer: PipeWriter) -> io::Result<Self> {
        pipe::Sender::from_owned_fd(OwnedFd::from(writer)).map(Self)
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
